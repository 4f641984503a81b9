"""Methods that find a mask in an image: the library's by name, or functions of yours."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np

from dermolib._validation import (
    Image,
    Mask,
    check_choice,
    check_mask,
    did_you_mean,
    expected,
    name_of,
    require,
)
from dermolib.preprocessing.functions import call_foreign, fingerprint

__all__ = ["MaskMethod", "MethodChoice", "check_parameters", "json_value", "pick_method"]

MethodChoice: TypeAlias = str | Callable[..., Mask]


@dataclass(frozen=True)
class MaskMethod:
    """A method: what finds the mask of an image, or those of a batch."""

    name: str
    mask: Callable[..., Mask]
    batch: Callable[..., Any] | str | None = None  # or its name, since it needs torch
    own: bool = False  # of the library

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Defaults of the options, as the function has them."""
        parameters = list(inspect.signature(self.mask).parameters.values())[1:]
        return {one.name: one.default for one in parameters if one.default is not one.empty}

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Complete options by the defaults; refuse those that the method does not have."""
        known = ", ".join(self.defaults) or "which has none"
        for name in given.keys() - self.defaults.keys():
            what = f"one of the options of {self.name!r}, {known}"
            raise TypeError(expected(name, what, repr(name), did_you_mean(name, self.defaults)))
        return {**self.defaults, **given}

    def __call__(self, image: Image, **options: Any) -> Mask:
        """Find the mask of an image."""
        image = np.ascontiguousarray(image)
        if self.own:
            return self.mask(image, **options)
        name = f"{name_of(self.mask)}(image)"
        return check_mask(call_foreign(self.mask, image, **options), image.shape[:2], name)

    def fingerprint(self) -> str:
        """Tell methods apart by name, foreign ones by their code too."""
        return self.name if self.own else f"{self.name} {fingerprint(self.mask)}"


def json_value(argument: Any) -> Any:
    """Write an argument of a method as a JSON value of which equal ones look equal."""
    if argument is None or isinstance(argument, (str, bool)):
        return argument
    if isinstance(argument, MaskMethod):
        return argument.fingerprint()
    if callable(argument):
        return fingerprint(argument)
    return float(argument) if math.isfinite(argument) else str(argument)


_Method = TypeVar("_Method", bound=MaskMethod)


def pick_method(
    method: MethodChoice | MaskMethod, known: Mapping[str, _Method], make: type[_Method]
) -> _Method:
    """Look a method up among the known ones, or make one of a function."""
    if isinstance(method, make):
        return method
    if callable(method):
        check_parameters(method, "method")
        return make(name_of(method), method)
    check_choice(method, "method", sorted(known))
    return known[method]


def check_parameters(function: Callable[..., Mask], argument: str) -> None:
    """Refuse a function whose parameters after the image cannot be options."""
    what = "a function of an image, whose further parameters have names and defaults"
    try:
        signature = inspect.signature(function)
        _, *others = signature.parameters.values()
    except ValueError:  # it takes nothing, or hides what it takes
        raise TypeError(expected(argument, what, name_of(function))) from None
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    fit = all(
        (one.kind in kinds and one.default is not one.empty) or one.kind is one.VAR_POSITIONAL
        for one in others
    )
    require(fit, argument, what, f"{name_of(function)}{signature}", error=TypeError)

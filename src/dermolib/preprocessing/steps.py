"""Steps of a preparation: what they are called, what decides their result, and how they run."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from dermolib._validation import (
    Image,
    Mask,
    check_choice,
    check_image,
    check_type,
    expected,
    listed,
    require,
)
from dermolib.preprocessing.border import Box, crop_border, field_of_view
from dermolib.preprocessing.color import shades_of_gray
from dermolib.preprocessing.functions import fingerprint
from dermolib.preprocessing.hair.registry import (
    DEFAULT_METHOD,
    find_method,
    occlusion_removal,
)
from dermolib.preprocessing.methods import json_value

__all__ = ["STEPS", "Pipeline", "Prepared", "Step"]

Step: TypeAlias = str | Callable[..., Image]
"""A name of `STEPS`, or a function from image to image, or a `functools.partial` of one."""

STEPS: dict[str, Callable[..., Image]] = {
    "crop_border": crop_border,
    "occlusion_removal": occlusion_removal,
    "shades_of_gray": shades_of_gray,
}
"""Functions that a step can be named by."""

_NAMES = {function: name for name, function in STEPS.items()}
_PLAIN = (str, bool, int, float, type(None))
_TRIED = 256  # px a side of the image that steps are tried out on


class Prepared(NamedTuple):
    """An image after its steps, and what they did.

    Attributes:
        image: Image (H, W, 3), uint8 RGB.
        mask: Lesion mask (H, W), bool, or None where there is none.
        box: Part of the image that is left, in pixels of the file.
        masked_fraction: Fraction of pixels that hair removal replaced, 0..1.
    """

    image: Image
    mask: Mask | None
    box: Box
    masked_fraction: float


class _Named(NamedTuple):
    """A step with its name, the options that were given for it, and a digest of foreign code."""

    name: str
    function: Callable[..., Image]
    options: dict[str, Any]
    source: str


class Pipeline:
    """Steps in their order.

    Args:
        steps: Names, functions, or partial functions.
        masks: Whether there will be lesion masks, with which no foreign step may change the size.

    Raises:
        TypeError: A step is none of these, has options that are not plain values or that it does
            not know, or returns something else than an image.
        ValueError: A name is unknown, an option is out of range, or a step cannot take an image.
    """

    def __init__(self, steps: Iterable[Step], *, masks: bool = False) -> None:
        """Look the steps up, and try them out."""
        # Neither keeps an order, or the options that someone meant to give as values
        unfit = isinstance(steps, (str, bytes, Mapping, AbstractSet))
        got = repr(steps) if isinstance(steps, str) else f"an object of type {type(steps).__name__}"
        hint = "Write them between `[` and `]`, with options by `functools.partial`."
        listing = not unfit and hasattr(steps, "__iter__")
        require(listing, "steps", "a list of steps in their order", got, hint, error=TypeError)
        self._steps = [_named(step, f"steps[{place}]") for place, step in enumerate(steps)]
        # Gray stripes, since some steps divide by what varies
        gray = (112 + np.indices((_TRIED, _TRIED)).sum(axis=0) % 32).astype(np.uint8)
        tried = np.repeat(gray[..., None], 3, axis=2)
        self.run(tried, np.zeros(gray.shape, np.bool_) if masks else None)

    def settings(self) -> list[dict[str, Any]]:
        """Gather what decides the result of each step, as JSON values."""
        return [_settings(step) for step in self._steps]

    def run(self, image: Image, mask: Mask | None) -> Prepared:
        """Take an image through all steps; it is not modified.

        Args:
            image: Image (H, W, 3), uint8 RGB.
            mask: Lesion mask (H, W), bool, cut where the image is cut; or None.

        Returns:
            The image after the last step.

        Raises:
            TypeError: A step returns something else than an image.
            ValueError: A step cannot take the image, or one other than ``crop_border`` changes the
                size while there is a mask.
        """
        box, fraction = Box.full(image.shape), 0.0
        for step in self._steps:
            if step.function is crop_border:
                part = field_of_view(image, **step.options)
                image = part.crop(image)
                mask = None if mask is None else part.crop(mask)
                starts = (box.top, box.top, box.left, box.left)
                box = Box(*map(sum, zip(part, starts, strict=True)))
            elif step.function is occlusion_removal:
                image, hair = occlusion_removal(image, return_mask=True, **step.options)
                fraction = int(np.count_nonzero(hair)) / hair.size
            else:
                image = _run_foreign(step, image, mask)
        return Prepared(image, mask, box, fraction)


def _named(step: Any, place: str) -> _Named:
    function, options = step, {}
    if isinstance(step, functools.partial):
        function = step.func
        options = {
            option: value.item() if isinstance(value, np.generic) else value
            for option, value in sorted(step.keywords.items())
        }
        got = f"one with positional arguments ({listed(map(repr, step.args))})"
        what = "a partial function with keywords alone"
        require(not step.args, place, what, got, error=TypeError)
    if isinstance(function, str):
        check_choice(function, place, STEPS)
        function = STEPS[function]
    what = "a name, a function with a name of its own, or a `functools.partial` of one"
    check_type(function, place, FunctionType, what)
    hint = "Define it with `def` at the top of a module: its name tells stores apart."
    named = "<" not in function.__qualname__
    require(named, place, what, function.__qualname__, hint, error=TypeError)
    name = _NAMES.get(function) or f"{function.__module__}:{function.__qualname__}"
    _check_options(function, options, place, name)
    if function is occlusion_removal:  # workers know no name that was registered here
        options["method"] = find_method(options.get("method", DEFAULT_METHOD))
    source = "" if function in _NAMES else fingerprint(function).split()[-1]
    return _Named(name, function, options, source)


def _check_options(
    function: Callable[..., Image], options: dict[str, Any], place: str, name: str
) -> None:
    for option, value in options.items():
        where = f"{place}.{option}"
        own = function is occlusion_removal and option == "return_mask"
        require(not own, where, "left to the preparation", repr(value), error=TypeError)
        chosen = function is occlusion_removal and option in ("method", "fill")
        if not (chosen and callable(value)):
            check_type(value, where, _PLAIN, "a number, a text, True, False or None")
    try:
        inspect.signature(function).bind(None, **options)
    except TypeError as error:
        what = "a function of an image, with options that it has"
        raise TypeError(expected(place, what, f"{name}: {error}")) from None


def _settings(step: _Named) -> dict[str, Any]:
    """Note all options, defaults too: other defaults in another version are other settings."""
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(step.function).parameters.values()
        # What is not a plain value stands in the source
        if parameter.default is not inspect.Parameter.empty
        and isinstance(parameter.default, _PLAIN)
    }
    options = {**defaults, **step.options}
    if step.function is occlusion_removal:
        del options["return_mask"]
        given = {name: value for name, value in step.options.items() if name not in defaults}
        options |= options["method"].options(given)
    noted = {name: json_value(value) for name, value in sorted(options.items())}
    return {"step": step.name, "options": noted} | ({"source": step.source} if step.source else {})


def _run_foreign(step: _Named, image: Image, mask: Mask | None) -> Image:
    """Run a step of which nothing is known, not even whether it changes what it is given."""
    try:
        made = step.function(image.copy(), **step.options)
    except Exception as error:
        if not step.source:
            raise
        what = f"a step that can take an image of {image.shape[0]} x {image.shape[1]} px"
        got = f"{type(error).__name__}: {error}".removesuffix(".")
        raise ValueError(expected(step.name, what, got)) from error
    check_image(made, step.name)
    what = f"a step that keeps the size {image.shape[:2]}, since there is a mask"
    hint = "Of the steps that cut, `crop_border` alone can cut a mask as well."
    kept = mask is None or made.shape == image.shape
    require(kept, step.name, what, made.shape[:2], hint)
    return made

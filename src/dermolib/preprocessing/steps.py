"""Steps of a preparation: what they are called, what decides their result, and how they run."""

import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from dermolib._validation import Image, Mask, check_choice, check_image, expected, listed
from dermolib.preprocessing.border import Box, crop_border, field_of_view
from dermolib.preprocessing.color import shades_of_gray
from dermolib.preprocessing.hair.registry import occlusion_removal, removal_options

__all__ = ["STEPS", "Pipeline", "Prepared", "Step"]

Step: TypeAlias = str | Callable[..., Image]
"""A name of `STEPS`, or a function from image to image, or a `functools.partial` of one."""

STEPS: dict[str, Callable[..., Image]] = {
    "crop_border": crop_border,
    "occlusion_removal": occlusion_removal,
    "shades_of_gray": shades_of_gray,
}
"""Functions that a step can be named by."""

_TRIED = 256  # px a side of the image that steps are tried out on


@dataclass(frozen=True)
class Prepared:
    """An image after its steps, and what they did.

    Attributes:
        image: Image (H, W, 3), uint8 RGB.
        mask: Lesion mask (H, W), bool, or None where there is none.
        box: Part of the image that is left, in pixels of the file.
        share_masked: Share of pixels that hair removal replaced, 0..1.
    """

    image: Image
    mask: Mask | None
    box: Box
    share_masked: float


@dataclass(frozen=True)
class _Named:
    """A step with its name, and the options that were given for it."""

    name: str
    function: Callable[..., Image]
    options: tuple[tuple[str, Any], ...]
    source: str


class Pipeline:
    """Steps in their order.

    Args:
        steps: Names, functions, or partial functions.
        masks: Whether there will be lesion masks, with which no step of others may change the size.

    Raises:
        TypeError: A step is none of these, has options that are not plain values or that it does
            not know, or returns something else than an image.
        ValueError: A name is unknown, an option is out of range, or a step cannot take an image.
    """

    def __init__(self, steps: Iterable[Step], *, masks: bool = False) -> None:
        """Look the steps up, and try them out."""
        # Neither keeps an order, or the options that someone meant to give as values
        unfit = isinstance(steps, (str, bytes, Mapping, AbstractSet))
        if unfit or not hasattr(steps, "__iter__"):
            text = isinstance(steps, str)
            got = repr(steps) if text else f"an object of type {type(steps).__name__}"
            remedy = "Write them between `[` and `]`, with options by `functools.partial`."
            raise TypeError(expected("steps", "a list of steps in their order", got, remedy))
        self._steps = [_named(step, f"steps[{place}]") for place, step in enumerate(steps)]
        tried = _drawn()
        self.run(tried, np.zeros(tried.shape[:2], np.bool_) if masks else None)

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
        box, share = Box.full(image.shape), 0.0
        for step in self._steps:
            if step.function is crop_border:
                part = field_of_view(image, **dict(step.options))
                image = part.crop(image)
                mask = None if mask is None else part.crop(mask)
                box = _within(box, part)
            elif step.function is occlusion_removal:
                image, hair = occlusion_removal(image, return_mask=True, **dict(step.options))
                share = int(np.count_nonzero(hair)) / hair.size
            else:
                image = _own(step, image, mask)
        return Prepared(image, mask, box, share)


def _named(step: Any, place: str) -> _Named:
    function, options = step, {}
    if isinstance(step, functools.partial):
        function, options = step.func, dict(step.keywords)
        if step.args:
            what = "a partial function with keywords alone"
            got = f"one with positional arguments ({listed(map(repr, step.args))})"
            raise TypeError(expected(place, what, got))
    if isinstance(function, str):
        check_choice(function, place, STEPS)
        function = STEPS[function]
    _check_function(function, place)
    names = {known: name for name, known in STEPS.items()}
    name = names.get(function, f"{function.__module__}:{function.__qualname__}")
    options = {
        option: value.item() if isinstance(value, np.generic) else value
        for option, value in sorted(options.items())
    }
    _check_options(function, options, place, name)
    source = "" if function in names else _source_digest(function, place)
    return _Named(name, function, tuple(options.items()), source)


def _check_function(function: Any, place: str) -> None:
    what = "a name, a function with a name of its own, or a `functools.partial` of one"
    if not inspect.isfunction(function):
        raise TypeError(expected(place, what, f"an object of type {type(function).__name__}"))
    if "<" in function.__qualname__:
        remedy = "Define it with `def` at the top of a module: its name tells stores apart."
        raise TypeError(expected(place, what, function.__qualname__, remedy))


def _check_options(
    function: Callable[..., Image], options: dict[str, Any], place: str, name: str
) -> None:
    for option, value in options.items():
        if function is occlusion_removal and option == "return_mask":
            raise TypeError(expected(f"{place}.{option}", "left to the preparation", repr(value)))
        if not _is_plain(value):
            what = "a number, a text, True, False or None"
            got = f"an object of type {type(value).__name__}"
            raise TypeError(expected(f"{place}.{option}", what, got))
    try:
        inspect.signature(function).bind(None, **options)
    except TypeError as error:
        what = "a function of an image, with options that it has"
        raise TypeError(expected(place, what, f"{name}: {error}")) from None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _settings(step: _Named) -> dict[str, Any]:
    """Note all options, defaults too: other defaults in another version are other settings."""
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(step.function).parameters.values()
        # What is no plain value stands in the source
        if parameter.default is not inspect.Parameter.empty and _is_plain(parameter.default)
    }
    options = {**defaults, **dict(step.options)}
    if step.function is occlusion_removal:
        del options["return_mask"]
        given = {name: value for name, value in step.options if name not in defaults}
        options |= removal_options(options["method"], given)
    plain = {name: _plain(value) for name, value in sorted(options.items())}
    noted: dict[str, Any] = {"step": step.name, "options": plain}
    if step.source:
        noted["source"] = step.source
    return noted


def _plain(value: Any) -> Any:
    """Make numbers that are equal look equal, and infinity a text that JSON has."""
    if value is None or isinstance(value, (str, bool)):
        return value
    return float(value) if math.isfinite(value) else str(value)


def _source_digest(function: Callable[..., Any], place: str) -> str:
    """Digest the code of a function of others."""
    try:
        source = inspect.getsource(function)
    except OSError:
        what = "a function whose source can be read"
        remedy = "Define it in a file: its code tells stores apart."
        raise TypeError(expected(place, what, function.__qualname__, remedy)) from None
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _within(box: Box, part: Box) -> Box:
    """Say where a part of a box lies in what the box lies in."""
    return Box(
        box.top + part.top, box.top + part.bottom, box.left + part.left, box.left + part.right
    )


def _drawn() -> Image:
    """Draw what steps are tried out on: grey stripes, since some divide by what varies."""
    rows, columns = np.indices((_TRIED, _TRIED))
    grey = 112 + (rows + columns) % 32
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def _own(step: _Named, image: Image, mask: Mask | None) -> Image:
    """Run a step of which nothing is known, not even whether it changes what it is given."""
    try:
        made = step.function(image.copy(), **dict(step.options))
    except Exception as error:
        if not step.source:
            raise
        what = f"a step that can take an image of {image.shape[0]} x {image.shape[1]} px"
        got = f"{type(error).__name__}: {error}".removesuffix(".")
        raise ValueError(expected(step.name, what, got)) from error
    check_image(made, step.name)
    if mask is not None and made.shape != image.shape:
        what = f"a step that keeps the size {image.shape[:2]}, since there is a mask"
        remedy = "Of the steps that cut, `crop_border` alone can cut a mask as well."
        raise ValueError(expected(step.name, what, f"{made.shape[:2]}", remedy))
    return made

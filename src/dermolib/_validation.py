"""Argument checks, the wording of errors, and the types that all rooms share."""

import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_LISTED = 5

Image: TypeAlias = npt.NDArray[np.uint8]
"""RGB image (H, W, 3), uint8 in 0..255."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Mask (H, W), bool."""

Indices: TypeAlias = npt.NDArray[np.intp]
"""Row numbers (N,)."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A path as text or path object."""


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not where it was looked for."""

    def __init__(self, path: Path, layout: str) -> None:
        """Name the path that lacks the data and the layout expected there."""
        self.path = path
        self.layout = layout
        super().__init__(f"Expected `{path}` to exist, but it does not. Expected layout: {layout}.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the two arguments, so that the error crosses process borders."""
        return type(self), (self.path, self.layout)


def expected(name: str, what: str, got: object, hint: str = "") -> str:
    """Word an error: what was expected of `name`, what came instead, and what to do."""
    sentence = f"Expected `{name}` to be {what}, but got {got}."
    return f"{sentence} {hint}" if hint else sentence


def require(
    condition: object,
    name: str,
    what: str,
    got: object,
    hint: str = "",
    *,
    error: type[Exception] = ValueError,
) -> None:
    """Raise `error`, worded by `expected`, unless the condition holds."""
    if not condition:
        raise error(expected(name, what, got, hint))


def listed(values: Iterable[object], *, most: int = _LISTED) -> str:
    """Name the first few of many values and say how many more there are."""
    values = list(values)
    shown = ", ".join(str(value) for value in values[:most])
    more = len(values) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def check_number(
    value: Any,
    name: str,
    *,
    low: float = float("-inf"),
    high: float = float("inf"),
    above: float | None = None,
    below: float | None = None,
    integer: bool = False,
) -> None:
    """Refuse what is not a number within [low, high], above `above` and below `below`."""
    what = _number_words(low, high, above, below, integer=integer)
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kinds):
        raise TypeError(expected(name, what, f"{value!r} of type {type(value).__name__}"))
    within = (above is None or value > above) and (below is None or value < below)
    if not within or not low <= value <= high:
        raise ValueError(expected(name, what, repr(value)))


def _number_words(
    low: float, high: float, above: float | None, below: float | None, *, integer: bool
) -> str:
    kind = "an integer" if integer else "a number"
    if below is not None and np.isfinite(below):
        words = _number_words(low, high, above, None, integer=integer)
        return f"{words}{' and' if words != kind else ''} below {below:g}"
    if below is not None:
        kind = "a finite number"
    if above is not None:
        return f"{kind} above {above:g}" + (f" and up to {high:g}" if np.isfinite(high) else "")
    if np.isfinite(low) and np.isfinite(high):
        return f"{kind} in {low:g}..{high:g}"
    if np.isfinite(low):
        return f"{kind} of {low:g} or more"
    if np.isfinite(high):
        return f"{kind} of up to {high:g}"
    return kind


def check_type(
    value: Any, name: str, kinds: type | tuple[type, ...], what: str, hint: str = ""
) -> None:
    """Refuse what is not an instance of one of some types."""
    got = f"an object of type {type(value).__name__}"
    require(isinstance(value, kinds), name, what, got, hint, error=TypeError)


def check_flag(value: Any, name: str) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        got = f"{value!r} of type {type(value).__name__}"
        raise TypeError(expected(name, "True or False", got))


def plain(value: Any) -> Any:
    """Turn numbers and strings of NumPy, in lists, tuples and mappings too, into Python's own."""
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def check_choice(value: Any, name: str, choices: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones, and list those."""
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return
    close = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else ""
    what = f"one of {', '.join(map(repr, choices))}"
    raise ValueError(expected(name, what, repr(value), hint))


def check_image(image: Any, name: str = "image") -> Image:
    """Refuse what is not an RGB image (H, W, 3) uint8 with at least one pixel."""
    what = "an RGB image (H, W, 3) of dtype uint8"
    if not isinstance(image, np.ndarray):
        hint = "Convert it with `numpy.asarray`, channels last." if hasattr(image, "shape") else ""
        raise TypeError(expected(name, what, f"an object of type {type(image).__name__}", hint))
    if image.dtype != np.uint8:
        raise TypeError(expected(name, what, f"dtype {image.dtype}", _dtype_hint(image.dtype)))
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(expected(name, what, f"shape {image.shape}", _shape_hint(image.shape)))
    return image


def _dtype_hint(dtype: np.dtype[Any]) -> str:
    if np.issubdtype(dtype, np.floating):
        return "Scale values in [0, 1] with `(image * 255).round().astype('uint8')`."
    if dtype == np.uint16:
        return "Scale 16-bit values with `(image // 257).astype('uint8')`."
    return ""


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "Repeat a grey image with `numpy.repeat(image[..., None], 3, axis=2)`."
    if len(shape) == 3 and shape[2] == 4:
        return "Drop the alpha channel with `image[..., :3]`."
    if len(shape) == 3 and shape[0] == 3:
        return "Move the channels last with `numpy.moveaxis(image, 0, 2)`."
    return ""


def check_mask(mask: Any, shape: tuple[int, int], name: str = "mask") -> Mask:
    """Refuse what is not a boolean mask (H, W) of the given shape."""
    what = f"a mask {shape} of dtype bool"
    if not isinstance(mask, np.ndarray):
        raise TypeError(expected(name, what, f"an object of type {type(mask).__name__}"))
    if mask.dtype != np.bool_:
        raise TypeError(expected(name, what, f"dtype {mask.dtype}", "Use `mask > 0`."))
    if mask.shape != shape:
        raise ValueError(expected(name, what, f"shape {mask.shape}"))
    return mask


def check_masks(masks: Any, shape: tuple[int, ...], name: str = "masks") -> None:
    """Refuse what is not a boolean tensor of masks (N, H, W) of the given shape."""
    import torch  # its callers have it; whoever checks an array need not load it

    what = f"a tensor of masks {shape} of dtype bool"
    if not isinstance(masks, torch.Tensor):
        raise TypeError(expected(name, what, f"an object of type {type(masks).__name__}"))
    if masks.dtype != torch.bool:
        raise TypeError(expected(name, what, f"dtype {masks.dtype}", "Use `masks > 0`."))
    if masks.shape != shape:
        raise ValueError(expected(name, what, f"shape {tuple(masks.shape)}"))


def outside() -> int:
    """Count the frames up to the caller who is no part of dermolib: the stack level of a warning.

    A warning should name the line of the user, however many functions lie between.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("dermolib."):
        level, frame = level + 1, frame.f_back
    return level

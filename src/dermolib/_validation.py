"""Argument checks, the wording of errors, and the types that all rooms share."""

import difflib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

_LISTED = 5
_PASSED = ("dermolib.", "lightning.", "torch.", "torchmetrics.")  # which call us for a user

Image: TypeAlias = npt.NDArray[np.uint8]
"""RGB image (H, W, 3), uint8 in 0..255."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Mask (H, W), bool."""

Indices: TypeAlias = npt.NDArray[np.intp]
"""Row numbers (N,)."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A path as text or path object."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not where it was looked for."""

    def __init__(self, path: Path, layout: str) -> None:
        """Name the path where data are missing and the layout expected there."""
        self.path = path
        self.layout = layout
        found = (
            "to be a folder, but it is a file" if path.is_file() else "to exist, but it does not"
        )
        sentence = f"Expected `{path}` {found}. Expected layout: {layout}."
        super().__init__(printable(sentence))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the two arguments, so that the error crosses process borders."""
        return type(self), (self.path, self.layout)


def expected(name: str, what: str, got: object, hint: str = "") -> str:
    """Word an error: what was expected of `name`, what came instead, and what to do."""
    sentence = f"Expected `{name}` to be {what}, but got {got}."
    return printable(f"{sentence} {hint}" if hint else sentence)


def printable(text: object, *, keep: str = "") -> str:
    """Escape what a terminal would obey: control characters, and those that turn the direction."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        one
        if one.isprintable() or one in keep
        else one.encode("unicode_escape", "surrogatepass").decode("ascii")
        for one in text
    )


def warn(message: str) -> None:
    """Warn the caller who is no part of dermolib, in words that a terminal can print."""
    warnings.warn(printable(message), UserWarning, stacklevel=find_stack_level())


def as_path(value: Any, name: str) -> Path:
    """Make a path of text, bytes or a path object, and refuse what can be none."""
    try:
        path = Path(os.fsdecode(value))
    except TypeError:
        got = f"an object of type {type(value).__name__}"
        raise TypeError(expected(name, "a path", got)) from None
    require("\0" not in str(path), name, "a path without a null character", path)
    return path


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
    kind = "an integer" if integer else "a finite number" if below == np.inf else "a number"
    words = [] if above is None else [f"above {above:g}"]
    if np.isfinite(low) and np.isfinite(high):
        words.append(f"in {low:g}..{high:g}")
    elif np.isfinite(low):
        words.append(f"of {low:g} or more")
    elif np.isfinite(high):
        words.append(f"{'' if words else 'of '}up to {high:g}")
    if below is not None and np.isfinite(below):
        words.append(f"below {below:g}")
    return " ".join(filter(None, [kind, " and ".join(words)]))


def check_type(
    value: Any, name: str, kinds: type | tuple[type, ...], what: str, hint: str = ""
) -> None:
    """Refuse what is not an instance of one of some types."""
    got = f"an object of type {type(value).__name__}"
    require(isinstance(value, kinds), name, what, got, hint, error=TypeError)


def check_flag(value: Any, name: str) -> None:
    """Refuse what is neither True nor False."""
    got = f"{value!r} of type {type(value).__name__}"
    require(isinstance(value, (bool, np.bool_)), name, "True or False", got, error=TypeError)


def name_of(function: Callable[..., Any]) -> str:
    """Name a function, that of a `functools.partial`, or the class of another callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def also_takes_shape(function: _Function) -> _Function:
    """Let a function of an image be called with ``shape=image.shape`` too, see `without_shape`."""

    @functools.wraps(function)
    def call(image: Any, *others: Any, **options: Any) -> Any:
        return function(image, *others, **without_shape(options, image))

    return call  # type: ignore[return-value] # it takes all that the function takes


def without_shape(options: dict[str, Any], image: Any) -> dict[str, Any]:
    """Leave out the shape of an image, which `albumentations.Lambda` hands to what it calls.

    Any other shape reaches the function, which refuses it as any keyword that it does not have.
    """
    shape = options.get("shape")
    if isinstance(shape, tuple) and shape == getattr(image, "shape", None):
        return {name: value for name, value in options.items() if name != "shape"}
    return options


def check_call(
    function: Callable[..., Any],
    named: Iterable[str],
    placed: Sequence[str] = (),
    hint: str = "",
) -> None:
    """Refuse a function that cannot be called with arguments by place and by name."""
    named = list(named)
    if not takes(function, named, placed):
        name = name_of(function)
        call = ", ".join([*placed, *(f"{one}=..." for one in named)])
        what = f"a function that can be called as `{name.rpartition('.')[2]}({call})`"
        got = f"one that takes {listed(inspect.signature(function).parameters) or 'nothing'}"
        raise TypeError(expected(name, what, got, hint))


def takes(
    function: Callable[..., Any], named: Iterable[str] = (), placed: Sequence[Any] = ()
) -> bool:
    """Tell whether a function takes arguments by place and by name; one without signature may."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True  # some that are written in C have none
    try:
        signature.bind(*placed, **dict.fromkeys(named))
    except TypeError:
        return False
    return True


def to_python(value: Any) -> Any:
    """Turn numbers and strings of NumPy, in lists, tuples and mappings too, into Python's own."""
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {to_python(key): to_python(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_python(one) for one in value]
    return value


def check_choice(value: Any, name: str, choices: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones, and list those."""
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return
    what = f"one of {', '.join(map(repr, choices))}"
    raise ValueError(expected(name, what, repr(value), did_you_mean(value, choices)))


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """Ask whether the known name was meant that is close to an unknown one, if any is."""
    close = difflib.get_close_matches(str(value), list(choices), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def check_image(image: Any, name: str = "image") -> Image:
    """Refuse what is not an RGB image (H, W, 3) uint8 with at least one pixel."""
    what = "an RGB image (H, W, 3) of dtype uint8"
    hint = "Convert it with `numpy.asarray`, channels last." if hasattr(image, "shape") else ""
    pillow = hasattr(image, "convert") and hasattr(image, "mode")
    hint = 'Convert it with `numpy.asarray(image.convert("RGB"))`.' if pillow else hint
    check_type(image, name, np.ndarray, what, hint)
    if image.dtype != np.uint8:
        kind = "f" if image.dtype.kind == "f" else image.dtype
        raise TypeError(expected(name, what, f"dtype {image.dtype}", _DTYPE_HINTS.get(kind, "")))
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(expected(name, what, f"shape {image.shape}", _shape_hint(image.shape)))
    checked: Image = image
    return checked


def check_pillow(image: Any, name: str = "image") -> Image:
    """Refuse an image of PIL that is not RGB; return its pixels."""
    hint = 'Convert it with `image.convert("RGB")`.'
    what = "a PIL image of mode RGB"
    require(image.mode == "RGB", name, what, f"one of mode {image.mode}", hint)
    return np.array(image)


_DTYPE_HINTS: dict[Any, str] = {
    "f": "Scale values in [0, 1] with `(image * 255).round().astype('uint8')`.",
    np.dtype(np.uint16): "Scale 16-bit values with `(image // 257).astype('uint8')`.",
}


def _shape_hint(shape: tuple[int, ...]) -> str:
    if 0 in shape:
        return "It has no pixel: look at how it was cropped or read."
    if len(shape) == 2:
        return "Repeat a gray image with `numpy.repeat(image[..., None], 3, axis=2)`."
    if len(shape) == 3 and shape[2] == 4:
        return "Drop the alpha channel with `image[..., :3]`."
    channels_first = len(shape) == 3 and shape[0] == 3
    return "Move the channels last with `numpy.moveaxis(image, 0, 2)`." if channels_first else ""


def check_mask(mask: Any, shape: tuple[int, ...], name: str = "mask") -> Mask:
    """Refuse what is not a boolean mask (H, W) of the given shape."""
    _check_mask(mask, np.ndarray, np.bool_, name, f"a mask {shape} of dtype bool")
    require(mask.shape == shape, name, f"a mask {shape} of dtype bool", f"shape {mask.shape}")
    return np.asarray(mask, np.bool_)


def check_masks(masks: Any, shape: tuple[int, ...], name: str = "masks") -> None:
    """Refuse what is not a boolean tensor of masks (N, H, W) of the given shape."""
    import torch  # its callers have it; whoever checks an array need not load it

    what = f"a tensor of masks {shape} of dtype bool"
    _check_mask(masks, torch.Tensor, torch.bool, name, what)
    require(masks.shape == shape, name, what, f"shape {tuple(masks.shape)}")


def _check_mask(mask: Any, kind: type, dtype: Any, name: str, what: str) -> None:
    check_type(mask, name, kind, what)
    hint = f"Use `{name} > 0`."
    require(mask.dtype == dtype, name, what, f"dtype {mask.dtype}", hint, error=TypeError)


def find_stack_level() -> int:
    """Count the frames up to the caller outside of this library and those that it runs on.

    A warning should name the line of the user, however many functions lie between.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PASSED):
        level, frame = level + 1, frame.f_back
    return level

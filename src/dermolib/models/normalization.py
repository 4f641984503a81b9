"""Mean and standard deviation of pixels: ImageNet's, and the check of others."""

from collections.abc import Iterable
from typing import Any

from dermolib._validation import check_number, expected

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet, red, green, blue, in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet, red, green, blue, in [0, 1]."""

_CHANNELS = 3
_WHAT = "three numbers, one for red, green and blue, of pixels in [0, 1]"


def checked_mean(mean: Any) -> tuple[float, float, float]:
    """Give the mean as plain numbers, or refuse it."""
    values = _three(mean, "mean")
    for channel, value in enumerate(values):
        check_number(value, f"mean[{channel}]", low=0, high=1)
    return _plain(values)


def checked_std(std: Any) -> tuple[float, float, float]:
    """Give the standard deviation as plain numbers, or refuse it."""
    values = _three(std, "std")
    for channel, value in enumerate(values):
        check_number(value, f"std[{channel}]", above=0, high=1)
    return _plain(values)


def _three(values: Any, name: str) -> list[Any]:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, dict)):
        raise TypeError(expected(name, _WHAT, f"an object of type {type(values).__name__}"))
    listed = list(values)
    if len(listed) != _CHANNELS:
        raise ValueError(expected(name, _WHAT, f"{len(listed)}"))
    return listed


def _plain(values: list[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue

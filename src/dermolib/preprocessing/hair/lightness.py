"""The lightness of CIE LUV in 256 steps, exact for each of the 16,777,216 colors."""

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image

__all__ = ["STEPS_PER_UNIT", "lightness"]

STEPS_PER_UNIT = 2.55
"""Steps of `lightness` in one unit of L*, so that 0..100 becomes 0..255."""

_LUMINANCE = (0.212671, 0.715160, 0.072169)  # of linear red, green and blue, ITU-R BT.709, D65
_UNITS = (1 << 16) - 4  # of luminance, so few that the rounded sum for white still fits 16 bits
_DOUBTFUL = 254  # stands for "look again": of all steps the rarest in dermoscopic images
_WIDE_LUT = tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 13)  # of 16-bit values, faster
_STRIP = 1 << 18  # pixels, so that what lies between stays near and calls cost nothing


def lightness(image: Image) -> npt.NDArray[np.uint8]:
    """Compute L* of CIE LUV (which is that of CIE LAB), rounded to 256 steps.

    Equal to rounding ``2.55 * skimage.color.rgb2luv(image)[..., 0]`` for every color.

    Args:
        image: Image (H, W, 3), uint8 sRGB; it is not modified.

    Returns:
        Lightness (H, W), uint8; 255 is L* = 100.

    Examples:
        >>> lightness(np.array([[[0, 0, 0], [119, 119, 119], [255, 255, 255]]], np.uint8))
        array([[  0, 128, 255]], dtype=uint8)
    """
    exact, rounded, step, border, marked = _tables()
    colors = np.ascontiguousarray(image).reshape(1, -1, 3)
    light = np.empty((1, colors.shape[1]), np.uint8)
    # A sum in 16 bits settles the step of about 98 pixels in 100
    for first in range(0, light.size, _STRIP):
        here = colors[:, first : first + _STRIP]
        units = _sum_of(rounded, here)
        strip = light[:, first : first + _STRIP]
        if _WIDE_LUT:
            cv2.LUT(units, marked, dst=strip)
        else:  # each index fits: this mode neither checks them nor copies the output
            np.take(marked, units, mode="wrap", out=strip)
        doubtful = np.flatnonzero(strip == _DOUBTFUL)
        luminance = _sum_of(exact, here.take(doubtful, axis=1))
        units = np.rint(luminance * _UNITS).astype(np.uint16)
        strip[0, doubtful] = step.take(units) + (luminance >= border.take(units))
    return light.reshape(image.shape[:2])


def _sum_of(tables: list[npt.NDArray[Any]], colors: Image) -> Any:
    """Look up each channel of colors (1, N, 3) and add up."""
    if not colors.size:
        return np.zeros(colors.shape[:2])
    red, green, blue = map(cv2.LUT, cv2.split(colors), tables)
    return cv2.add(cv2.add(red, green, dst=red), blue, dst=red)


@functools.cache
def _tables() -> Any:
    """Tabulate shares of luminance by channel and steps by units of luminance.

    Returns:
        Shares in 64 bits, and rounded to units; step of each unit, the luminance within it from
        which the next step begins, and the steps with those marked that the rounding leaves open.
    """
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    exact = [weight * linear for weight in _LUMINANCE]
    rounded = [np.rint(_UNITS * share).astype(np.uint16) for share in exact]
    errors = [_UNITS * share - units for share, units in zip(exact, rounded, strict=True)]
    # The luminance at which each step begins, the inverse of L*
    star = (np.arange(256) - 0.5) / STEPS_PER_UNIT
    cubic = ((star + 16) / 116) ** 3
    borders = np.where(cubic > 0.008856, cubic, star / 903.3)
    units = np.arange(1 << 16)
    slack = 1e-6  # far above what 64-bit arithmetic errs, far below one unit
    lowest = (units + sum(error.min() for error in errors) - slack) / _UNITS
    highest = (units + sum(error.max() for error in errors) + slack) / _UNITS
    low, high = (np.searchsorted(borders, ends, side="right") - 1 for ends in (lowest, highest))
    # There is room for one border between the two
    doubtful = low < high
    step = np.maximum(low, 0).astype(np.uint8)
    border = np.where(doubtful, borders[high], np.inf)
    return exact, rounded, step, border, np.where(doubtful, np.uint8(_DOUBTFUL), step)

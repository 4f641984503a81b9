"""The lightness of CIE LUV in 256 steps, exact for each of the 16,777,216 colours."""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image

__all__ = ["STEPS_PER_UNIT", "lightness", "positions"]

STEPS_PER_UNIT = 2.55
"""Steps of `lightness` in one unit of L*, so that 0..100 becomes 0..255."""

_LUMINANCE = (0.212671, 0.715160, 0.072169)  # of linear red, green and blue, ITU-R BT.709, D65
_UNITS = (1 << 16) - 4  # of luminance, so few that the rounded sum for white still fits 16 bits
_DOUBTFUL = 254  # stands for "look again": of all steps the rarest in dermoscopic images
_PAIRS = 1 << 15  # of pixels in one strip, so that what lies between stays in the cache


class _Tables(NamedTuple):
    """What is looked up, exactly (64-bit) and in whole units of luminance (16-bit)."""

    shares: list[npt.NDArray[np.float64]]
    pair_units: list[npt.NDArray[np.int32]]
    step_of_units: npt.NDArray[np.uint8]
    border_above: npt.NDArray[np.float64]
    marked_step_of_units: npt.NDArray[np.uint8]


def lightness(image: Image) -> npt.NDArray[np.uint8]:
    """Compute L* of CIE LUV (which is that of CIE LAB), rounded to 256 steps.

    Equal to rounding ``2.55 * skimage.color.rgb2luv(image)[..., 0]`` for every colour. The
    luminance is summed up in 16 bits, which settles the step of about 99 pixels in 100; the others
    are computed once more in 64 bits.

    Args:
        image: Image (H, W, 3), uint8 sRGB; it is not modified.

    Returns:
        Lightness (H, W), uint8; 255 is L* = 100.

    Examples:
        >>> lightness(np.array([[[0, 0, 0], [119, 119, 119], [255, 255, 255]]], np.uint8))
        array([[  0, 128, 255]], dtype=uint8)
    """
    light = np.empty(image.shape[:2], np.uint8)
    colours = np.ascontiguousarray(image).reshape(-1, 3)
    _settle_pairs(colours, light.reshape(-1))
    doubtful = positions(light.reshape(-1) == _DOUBTFUL)
    for first in range(0, len(doubtful), 2 * _PAIRS):
        some = doubtful[first : first + 2 * _PAIRS]
        np.put(light, some, _exact_steps(colours.take(some, axis=0)))
    return light


def positions(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """List where flags (N,) are set, in half the time of NumPy where few are.

    Args:
        flags: Flags (N,), contiguous.

    Returns:
        Positions in ascending order.

    Examples:
        >>> positions(np.arange(12) % 5 == 4)
        array([4, 9])
    """
    whole = len(flags) // 8 * 8
    words = flags[:whole].view(np.uint64)
    some = np.flatnonzero(words != 0)
    within = np.flatnonzero(words[some].view(np.bool_))
    return np.concatenate(
        [8 * some[within // 8] + within % 8, whole + np.flatnonzero(flags[whole:])]
    )


def _settle_pairs(colours: npt.NDArray[np.uint8], light: npt.NDArray[np.uint8]) -> None:
    """Write the steps that 16 bits settle, and `_DOUBTFUL` for the other pixels.

    The six bytes of two pixels are three words of two bytes. Three tables give the share of each
    word in the luminance of the two pixels, which are summed up side by side in 32 bits.
    """
    tables = _tables()
    pairs = len(colours) // 2
    words = colours[: 2 * pairs].reshape(-1).view(np.uint16).reshape(1, pairs, 3)
    size = min(pairs, _PAIRS)
    # Made once, since memory that is new takes longer to touch than to fill
    channels = [np.empty((1, size), np.uint16) for _ in range(3)]
    units = [np.empty((1, size), np.int32) for _ in range(3)]
    light[2 * pairs :] = _DOUBTFUL
    for first in range(0, pairs, _PAIRS):
        count = min(size, pairs - first)
        split = [channel[:, :count] for channel in channels]
        shares = [unit[:, :count] for unit in units]
        cv2.split(words[:, first : first + count], split)
        for channel, table, share in zip(split, tables.pair_units, shares, strict=True):
            _look_up(table, channel, share)
        total = np.add(shares[0], shares[1], out=shares[0])
        np.add(total, shares[2], out=total)
        steps = light[2 * first : 2 * (first + count)]
        _look_up(tables.marked_step_of_units, total.view(np.uint16), steps[None])


def _look_up(table: npt.NDArray[Any], index: npt.NDArray[np.uint16], out: npt.NDArray[Any]) -> None:
    if _has_wide_lut():
        cv2.LUT(index, table, dst=out)
    else:  # each index fits; `wrap` is the mode that neither checks them nor copies the output
        np.take(table, index, mode="wrap", out=out)


@functools.cache
def _has_wide_lut() -> bool:
    """Tell whether OpenCV looks up 16-bit values, as it does from 4.13 on, twice as fast."""
    try:
        cv2.LUT(np.zeros((1, 1), np.uint16), np.zeros(1 << 16, np.uint8))
    except cv2.error:
        return False
    return True


def _exact_steps(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Compute the steps of colours (N, 3)."""
    tables = _tables()
    luminance = np.zeros((1, len(colours)))
    for channel, share in zip(cv2.split(colours[None]), tables.shares, strict=True):
        luminance += cv2.LUT(channel, share)
    units = np.rint(luminance * _UNITS).astype(np.uint16)
    above: npt.NDArray[np.bool_] = luminance >= tables.border_above.take(units)
    return tables.step_of_units.take(units) + above.astype(np.uint8)


@functools.cache
def _tables() -> _Tables:
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    red, green, blue = shares = [weight * linear for weight in _LUMINANCE]
    none = np.zeros(256)
    bytes_of_words = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    exact = _UNITS * np.array(
        [  # of the two bytes of each word of a pair, to its first and to its second pixel
            [[red, green], [none, none]],
            [[blue, none], [none, red]],
            [[none, none], [green, blue]],
        ]
    )
    sums = exact[:, :, 0, bytes_of_words[:, 0]] + exact[:, :, 1, bytes_of_words[:, 1]]
    rounded = np.rint(sums)
    errors = sums - rounded
    lowest, highest = errors.min(axis=2).sum(axis=0).min(), errors.max(axis=2).sum(axis=0).max()
    pairs = np.ascontiguousarray(rounded.astype(np.uint16).transpose(0, 2, 1))
    pair_units = list(pairs.view(np.int32)[..., 0])
    return _Tables(shares, pair_units, *_step_tables(lowest, highest))


def _step_tables(
    lowest: float, highest: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Make tables by units whose sum errs by so much: step, border above it if any, marked step."""
    units = np.arange(1 << 16)
    slack = 1e-6  # far above what 64-bit arithmetic errs, far below one unit
    borders = _borders()
    low = np.searchsorted(borders, (units + lowest - slack) / _UNITS, side="right") - 1
    high = np.searchsorted(borders, (units + highest + slack) / _UNITS, side="right") - 1
    # A border lies between the two or not; there is room for one alone
    doubtful = low < high
    step = np.maximum(low, 0).astype(np.uint8)
    border = np.where(doubtful, borders[high], np.inf)
    return step, border, np.where(doubtful, np.uint8(_DOUBTFUL), step)


def _borders() -> npt.NDArray[np.float64]:
    """Make the luminance at which each step begins, the inverse of L*."""
    star = (np.arange(256) - 0.5) / STEPS_PER_UNIT
    cubic = ((star + 16) / 116) ** 3
    return np.where(cubic > 0.008856, cubic, star / 903.3)

"""The lightness of CIE LUV in 256 steps, exact for each of the 16,777,216 colours."""

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._types import Image

__all__ = ["STEPS_PER_UNIT", "lightness"]

STEPS_PER_UNIT = 2.55
"""Steps of `lightness` in one unit of L*, so that 0..100 becomes 0..255."""

_LUMINANCE = (0.212671, 0.715160, 0.072169)  # of linear red, green and blue, ITU-R BT.709, D65
_BUCKETS = 1 << 16


def lightness(image: Image) -> npt.NDArray[np.uint8]:
    """Compute L* of CIE LUV (which is that of CIE LAB), rounded to 256 steps.

    Equal to rounding ``2.55 * skimage.color.rgb2luv(image)[..., 0]`` for every colour.

    Args:
        image: Image (H, W, 3), uint8 sRGB.

    Returns:
        Lightness (H, W), uint8; 255 is L* = 100.
    """
    luminance = np.zeros(image.shape[:2])
    for channel, table in zip(cv2.split(image), _CHANNEL_TABLES, strict=True):
        luminance += cv2.LUT(channel, table)
    # Each bucket of luminance holds at most one border between two steps
    bucket = (luminance * (_BUCKETS - 1)).astype(np.uint16)
    above: npt.NDArray[np.bool_] = luminance >= _BORDER_OF_BUCKET[bucket]
    return _STEP_OF_BUCKET[bucket] + above.astype(np.uint8)


def _channel_tables() -> list[npt.NDArray[np.float64]]:
    """Make the share of each channel value in the luminance 0..1."""
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return [share * linear for share in _LUMINANCE]


def _borders() -> npt.NDArray[np.float64]:
    """Make the luminance at which each step begins, the inverse of L*."""
    star = (np.arange(256) - 0.5) / STEPS_PER_UNIT
    cubic = ((star + 16) / 116) ** 3
    return np.where(cubic > 0.008856, cubic, star / 903.3)


_CHANNEL_TABLES = _channel_tables()
_BORDERS = _borders()
_STEP_OF_BUCKET = (
    np.searchsorted(_BORDERS, np.arange(_BUCKETS) / (_BUCKETS - 1), side="right") - 1
).astype(np.uint8)
_BORDER_OF_BUCKET = np.append(_BORDERS, np.inf)[_STEP_OF_BUCKET.astype(np.intp) + 1]

"""Color constancy: estimate the illuminant and divide it out."""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import (
    Image,
    also_takes_shape,
    check_image,
    check_number,
    expected,
    require,
)

__all__ = ["correct", "illuminant", "shades_of_gray"]

_LENGTH = math.sqrt(3)  # of an illuminant, so that neutral light is (1, 1, 1)
_STRIP = 1 << 18  # pixels; OpenCV counts in 32-bit floats, which are exact up to 1 << 24


@also_takes_shape
def shades_of_gray(image: Image, *, p: float = 6) -> Image:
    """Correct the color of the light by shades of gray: the p-norm of the image becomes neutral.

    Each channel is divided by its component of `illuminant`, rounded to the nearest integer and
    clipped at 255. Gray and black images stay as they are. The illuminant has the length sqrt(3),
    as is usual in dermoscopy: neutral light changes nothing, and a cast is removed at about the
    same brightness. The input is not modified. Memory: about 3 bytes per pixel, the result.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        p: Minkowski norm, 1 or more. 1 takes the mean for neutral ("gray world"), ``math.inf`` the
            brightest value of each channel ("white patch"), 6 is what the reference recommends.

    Returns:
        Image (H, W, 3), uint8.

    Raises:
        TypeError: `image` is not a uint8 array, or `p` is not a number.
        ValueError: `image` is not RGB, or `p` is below 1.

    References:
        Finlayson, Trezzi: Shades of Gray and Colour Constancy. Color and Imaging Conference 12,
        2004. https://doi.org/10.2352/CIC.2004.12.1.art00008

        Barata, Celebi, Marques: Improving Dermoscopy Image Classification Using Color Constancy.
        IEEE J. Biomedical and Health Informatics 19, 2015. https://doi.org/10.1109/JBHI.2014.2336473

    Examples:
        >>> reddish = np.full((2, 2, 3), [200, 100, 100], np.uint8)
        >>> shades_of_gray(reddish)[0, 0].tolist()
        [141, 141, 141]
    """
    return correct(image, illuminant(image, p=p))


def illuminant(image: Image, *, p: float = 6) -> npt.NDArray[np.float64]:
    """Estimate the color of the light: the Minkowski p-norm of each channel, from its histogram.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        p: Minkowski norm, see `shades_of_gray`.

    Returns:
        Light (3,), float64, of length sqrt(3), so that neutral light is (1, 1, 1); that is also
        returned for a black image. A channel that is zero everywhere is 0.

    Examples:
        >>> illuminant(np.full((2, 2, 3), [200, 100, 100], np.uint8)).round(3).tolist()
        [1.414, 0.707, 0.707]
    """
    check_image(image)
    check_number(p, "p", low=1)
    norms = np.array([_norm(counts, p) for counts in _histograms(image)])
    if not norms.any():
        return np.ones(3)
    light: npt.NDArray[np.float64] = norms / np.linalg.norm(norms) * _LENGTH
    return light


@also_takes_shape
def correct(image: Image, illuminant: npt.ArrayLike, *, strength: float = 1.0) -> Image:
    """Divide an image by the color of its light, wholly or in part.

    Each channel is divided by its `illuminant` raised to `strength`, rounded to the nearest integer
    and clipped at 255. With a strength of 0 the result equals the image. The input is not modified.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        illuminant: Light (3,), finite and not negative; it is taken as it is, at any length. A
            channel whose light is 0 cannot be divided and stays as it is.
        strength: Fraction of the cast that is removed, on a logarithmic scale, 0..1.

    Returns:
        Image (H, W, 3), uint8, a new array.

    Raises:
        TypeError: `image` is not a uint8 array, or `illuminant` or `strength` are not numeric.
        ValueError: `image` is not RGB, or `illuminant` or `strength` are out of range.

    Examples:
        >>> reddish = np.full((2, 2, 3), [200, 100, 100], np.uint8)
        >>> correct(reddish, [1, 0.5, 2])[0, 0].tolist()
        [200, 200, 50]
        >>> correct(reddish, [4, 1, 1], strength=0.5)[0, 0].tolist()
        [100, 100, 100]
    """
    check_image(image)
    what = "three finite numbers of 0 or more"
    try:
        light = np.asarray(illuminant, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(expected("illuminant", what, repr(illuminant))) from None
    require(light.shape == (3,), "illuminant", what, f"shape {light.shape}")
    fit = np.isfinite(light).all() and (light >= 0).all()
    require(fit, "illuminant", what, light.tolist())
    check_number(strength, "strength", low=0, high=1)
    divisor = np.where(light > 0, light, 1.0) ** strength
    with np.errstate(over="ignore"):  # light near 0 makes what is clipped in any case
        values = np.arange(256)[:, None] / divisor
    table = np.rint(np.minimum(values, 255)).astype(np.uint8)[None]
    corrected = np.empty(image.shape, np.uint8)
    for rows in _strips(image):
        cv2.LUT(np.ascontiguousarray(image[rows]), table, dst=corrected[rows])
    return corrected


def _norm(counts: npt.NDArray[np.float64], p: float) -> float:
    """Compute the p-norm of values that occur so often, in units in which the largest is 1."""
    present = np.flatnonzero(counts)
    largest = present[-1]
    if largest == 0:
        return 0.0
    weights = counts[present] / counts.sum()
    mean = (weights * (present / largest) ** p).sum()
    return float(largest * mean ** (1 / p))


def _histograms(image: Image) -> npt.NDArray[np.float64]:
    """Count the values of each channel: (3, 256)."""
    counts = np.zeros((3, 256))
    for rows in _strips(image):
        strip = np.ascontiguousarray(image[rows])
        for channel in range(3):
            counts[channel] += cv2.calcHist([strip], [channel], None, [256], [0, 256]).ravel()
    return counts


def _strips(image: Image) -> Iterator[slice]:
    """Give runs of rows, so that what a strided image needs copied stays small."""
    height, width = image.shape[:2]
    step = max(1, _STRIP // width)
    return (slice(first, first + step) for first in range(0, height, step))

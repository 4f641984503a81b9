"""A perceptual hash of an image, whose values a flip or a 90° rotation only rearranges.

The image is resized to a small gray square, of which the cosine transform keeps the low
frequencies. A flip changes the signs of every second coefficient, and a rotation also swaps rows
and columns, so that the hashes of all eight orientations follow from that of one.

The dark border of a dermoscope has more contrast than skin: behind the same border, all images
would look the same. Pixels that are dark on the whole way to an edge of the image therefore do not
count, and the square holds what is left. Nothing is decided by a threshold: how much a pixel counts
follows continuously from its brightness, so that a compressed copy, whose border is a pixel wider
here and there, has nearly the same hash.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, check_image
from dermolib.io import resize_image

__all__ = ["HASH_BYTES", "HASH_SIDE", "SCALE", "orientations", "perceptual_hash"]

HASH_SIDE = 8
"""Frequencies in each direction; JPEG and resizing change higher ones more."""

HASH_BYTES = HASH_SIDE * HASH_SIDE
"""Size of a hash in bytes."""

SCALE = 127
"""Length of the hash of an image of high contrast, read as `HASH_BYTES` signed numbers."""

_SQUARE = 32  # px, side of the small image
_SOFT = 8.0  # gray levels; compression noise is absolute, so faint images are not scaled up fully
_FLAT = 2.0  # gray levels of contrast below which an image is featureless
_BRIGHT = 0.9  # fraction of pixels that are darker than what stands for the light of the image
_BLACKEST = 0.15  # of the light, which what stands for black is at most
_DARK, _LIT = 0.2, 0.8  # between black and light: from which on a pixel counts, and counts fully
_DIMMEST = 20  # gray level of the light below which an image is black as a whole
_RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_FADE = 1.0  # px of the square over which pixels towards the border count less and less
_TAIL = 0.02  # of the field: its ends follow from where so much of it begins, and twice as much
_FREQUENCIES, _PIXELS = np.arange(HASH_SIDE)[:, None], np.arange(_SQUARE) + 0.5
_COSINES = np.cos(np.pi * _FREQUENCIES * _PIXELS / _SQUARE) / _SQUARE  # rows of the transform
_COSINES[1:] *= np.sqrt(2)
_SIGNS = ((-1) ** np.arange(HASH_SIDE)).astype(np.int8)


def perceptual_hash(image: Image) -> npt.NDArray[np.uint8]:
    """Compute the hash of an image: 64 cosine coefficients of its gray values.

    The distance of two hashes is the Euclidean one in the best of eight orientations, over 127: 0
    for the same image, about 1 for unrelated ones. It changes little when an image is resized,
    recompressed, flipped, rotated by 90°, or changed in brightness or contrast (a faint image more
    than others), and much when it is cropped by as little as 2 % on each side or rotated by a few
    degrees. Color is ignored. It is not secure: an image can be made to have any hash. Memory:
    about 1 byte per pixel beside the image.

    Of an image with a dark border, which takes in a corner of it, only the field of view counts:
    images that share a border are no more similar for it. A copy whose border is cut away, or that
    shows the skin which a border hides, has another hash.

    Args:
        image: Image (H, W, 3), uint8 RGB, of any size; it is not modified. The aspect ratio does
            not matter: every image is resized to a square.

    Returns:
        Hash (`HASH_BYTES`,), signed bytes stored as uint8, rows of an 8 x 8 block of which the
        first is 0 (the mean is left out). All are 0 where the image is featureless: its gray values
        vary by less than two levels at the scale of an eighth of the image, or of its field of
        view, as in one of a single color. All such images have the same hash.

    Raises:
        TypeError: `image` is not a uint8 array.
        ValueError: `image` is not RGB.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. Thesis, FH
        Hagenberg, 2010. https://phash.org/docs/pubs/thesis_zauner.pdf (the cosine transform of a
        small gray image; only its signs were kept there)

    Examples:
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> perceptual_hash(image).any().item()
        False
        >>> image[:20, :50] = 200
        >>> rotated = perceptual_hash(np.rot90(image))
        >>> any((rotated == one).all() for one in orientations(perceptual_hash(image)))
        True
    """
    check_image(image)
    small = resize_image(image, (_SQUARE, _SQUARE))
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    lit = _lit(gray)
    border = min(1.0, 2 * (1 - float(lit[:: _SQUARE - 1, :: _SQUARE - 1].min())))
    values = _field(gray, lit, border) if border else gray.astype(np.float64)
    block = _COSINES @ values @ _COSINES.T
    block[0, 0] = 0
    contrast = float(np.sqrt((block**2).sum()))
    if contrast < _FLAT:
        return np.zeros(HASH_BYTES, np.uint8)
    coefficients = np.rint(block * (SCALE / np.hypot(contrast, _SOFT))).astype(np.int8)
    return np.asarray(coefficients.view(np.uint8).ravel())


def orientations(hashes: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the hashes (..., 64) of the images in all eight orientations.

    As they are, mirrored left to right, upside down, and both; then all with rows and columns
    swapped.
    """
    blocks = hashes.view(np.int8).reshape(*hashes.shape[:-1], HASH_SIDE, HASH_SIDE)
    for swapped in (blocks, blocks.swapaxes(-1, -2)):
        for rows in (np.ones_like(_SIGNS), _SIGNS):
            for columns in (np.ones_like(_SIGNS), _SIGNS):
                flipped = swapped * (rows[:, None] * columns)
                yield np.ascontiguousarray(flipped).view(np.uint8).reshape(hashes.shape)


def _lit(gray: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Compute how much of the light of the image each pixel has, 0..1 from `_DARK` to `_LIT`.

    In an image that is black as a whole, all have. Gray values, since compression changes the
    largest channel more.
    """
    place = int(_BRIGHT * gray.size)
    light = float(np.partition(gray, place, axis=None)[place])
    if light < _DIMMEST:
        return np.ones(gray.shape, np.float32)
    black = min(float(gray.min()), _BLACKEST * light)
    fractions = (gray.astype(np.float32) - black) / (light - black)
    return np.asarray(np.clip((fractions - _DARK) / (_LIT - _DARK), 0, 1), np.float32)


def _field(gray: npt.NDArray[Any], lit: npt.NDArray[Any], border: float) -> npt.NDArray[Any]:
    """Resize the field of view to the whole square, as differences from its mean gray value.

    How much the darkest corner is border, 0..1, is how much dark pixels at the edges are left out.
    """
    # As much light as a pixel has met on its way from each edge; along rows, accumulation is slow
    seen = _met_from_both_ends(lit)
    seen = cv2.min(seen, cv2.transpose(_met_from_both_ends(cv2.transpose(lit))))
    seen = 1 - border * (1 - seen)
    within = cv2.erode(seen, _RIM, borderType=cv2.BORDER_REPLICATE)
    weights = seen * cv2.GaussianBlur(within, (0, 0), _FADE, borderType=cv2.BORDER_REPLICATE)
    faded = weights * (gray - (weights * gray).sum() / weights.sum())
    rows, columns = (_averages(seen.sum(axis=axis, dtype=np.float64)) for axis in (1, 0))
    return np.asarray(rows @ faded @ columns.T)


def _met_from_both_ends(lit: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the most light from the first row to each pixel or from the last, the lesser one."""
    from_first, from_last = (np.maximum.accumulate(some) for some in (lit, lit[::-1]))
    return cv2.min(from_first, np.ascontiguousarray(from_last[::-1]))


def _averages(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make the matrix (_SQUARE, N) that averages lines of these weights (N,) between their ends.

    The ends are fractions of a line: they are where a field that begins evenly would begin.
    """
    filled = np.concatenate([[0], np.cumsum(weights)]) / weights.sum()
    tails = [_TAIL, 2 * _TAIL, 1 - 2 * _TAIL, 1 - _TAIL]
    first, second, third, last = np.interp(tails, filled, np.arange(len(filled)))
    low, high = max(0.0, 2 * first - second), min(float(len(weights)), 2 * last - third)
    edges, lines = np.linspace(low, high, _SQUARE + 1), np.arange(len(weights))
    overlap = np.minimum(edges[1:, None], lines + 1) - np.maximum(edges[:-1, None], lines)
    return np.asarray(np.clip(overlap, 0, None) * (_SQUARE / (high - low)))

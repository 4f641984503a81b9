"""A perceptual hash of an image, whose values a flip or a 90° rotation only rearranges.

The image is resized to a small gray square, of which the cosine transform keeps the low
frequencies. A flip changes the signs of every second coefficient, and a rotation also swaps rows
and columns, so that the hashes of all eight orientations follow from that of one.
"""

from collections.abc import Iterator

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

    Args:
        image: Image (H, W, 3), uint8 RGB, of any size; it is not modified. The aspect ratio does
            not matter: every image is resized to a square.

    Returns:
        Hash (`HASH_BYTES`,), signed bytes stored as uint8, rows of an 8 x 8 block of which the
        first is 0 (the mean is left out). All are 0 where the image is featureless: its gray values
        vary by less than two levels at the scale of an eighth of the image, as in one of a single
        color. All such images have the same hash.

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
    gray = cv2.cvtColor(resize_image(image, (_SQUARE, _SQUARE)), cv2.COLOR_RGB2GRAY)
    block = _COSINES @ gray.astype(np.float64) @ _COSINES.T
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

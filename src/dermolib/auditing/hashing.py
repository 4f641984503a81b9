"""A fingerprint of what an image shows, which a flip or a quarter turn only rearranges.

The image is squeezed to a small grey square, of which the cosine transform keeps the low
frequencies. A flip changes the signs of every second coefficient and a turn also swaps rows with
columns, so that the fingerprints of all eight orientations follow from that of one.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, check_image
from dermolib.io import resize_image

__all__ = ["HASH_BYTES", "SCALE", "orientations", "perceptual_hash"]

_SIDE = 8  # frequencies in each direction; JPEG and resizing change higher ones more
_SQUARE = 32  # pixels of the side of the small image
_SOFT = (
    8.0  # grey levels; noise of files is absolute, so faint images are not blown up to full size
)
_FLAT = 2.0  # grey levels of contrast under which there is nothing to recognise

HASH_BYTES = _SIDE * _SIDE
"""Size of a fingerprint in bytes."""

SCALE = 127
"""Length of the fingerprint of an image of high contrast, read as `HASH_BYTES` signed numbers."""


def _cosines() -> npt.NDArray[np.float64]:
    """Make the first rows of the cosine transform, scaled so that coefficients are grey levels."""
    frequencies, pixels = np.arange(_SIDE)[:, None], np.arange(_SQUARE) + 0.5
    waves = np.cos(np.pi * frequencies * pixels / _SQUARE) / _SQUARE
    waves[1:] *= np.sqrt(2)
    return np.asarray(waves)


_COSINES = _cosines()
_SIGNS = (-1) ** np.arange(_SIDE)


def perceptual_hash(image: Image) -> npt.NDArray[np.uint8]:
    """Compute the fingerprint of an image: 64 cosine coefficients of its grey values.

    The distance of two fingerprints is the Euclidean one in the best of eight orientations, over
    `SCALE`: 0 for the same picture, about 1 for unrelated ones. It changes little when an image is
    resized, compressed again, or made lighter or stronger in contrast (a faint image suffers more
    from that), and no more when it is flipped or turned by quarters. It changes much when an image
    is cropped, by as little as 2 % on each side, or turned by a few degrees. Colour is not looked
    at. It is no proof against intent: who wants to may change an image so that its fingerprint
    differs, or draw another with the same.

    Args:
        image: Image (H, W, 3), uint8 RGB, of any size; it is not modified. The proportions do not
            matter: every image is squeezed to a square.

    Returns:
        Fingerprint (`HASH_BYTES`,), signed bytes stored as uint8, rows of an 8 x 8 block of which
        the first is 0 (the mean is left out). All are 0 where the image is featureless: its grey
        values vary by less than two levels at the scale of an eighth of the image, as in one of
        a single colour. Such an image resembles every other one of its kind.

    Raises:
        TypeError: `image` is no uint8 array.
        ValueError: `image` is not RGB.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. Thesis, FH
        Hagenberg, 2010. https://phash.org/docs/pubs/thesis_zauner.pdf (the cosine transform of a
        small grey image; its signs alone were kept there)

    Examples:
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> perceptual_hash(image).any().item()
        False
        >>> image[:20, :50] = 200
        >>> turned = perceptual_hash(np.rot90(image))
        >>> any((turned == one).all() for one in orientations(perceptual_hash(image)))
        True
    """
    check_image(image)
    grey = cv2.cvtColor(resize_image(image, (_SQUARE, _SQUARE)), cv2.COLOR_RGB2GRAY)
    block = _COSINES @ grey.astype(np.float64) @ _COSINES.T
    block[0, 0] = 0
    contrast = float(np.sqrt((block**2).sum()))
    if contrast < _FLAT:
        return np.zeros(HASH_BYTES, np.uint8)
    coefficients = np.rint(block * (SCALE / np.hypot(contrast, _SOFT))).astype(np.int8)
    return np.asarray(coefficients.view(np.uint8).ravel())


def orientations(hashes: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Compute the fingerprints of the flipped and turned images from those of the images.

    Args:
        hashes: Fingerprints (..., `HASH_BYTES`), uint8.

    Yields:
        Eight arrays of the same shape: as it is, mirrored left to right, upside down, and both;
        then the same with rows and columns swapped.
    """
    blocks = hashes.view(np.int8).reshape(*hashes.shape[:-1], _SIDE, _SIDE)
    signs = _SIGNS.astype(np.int8)
    for turned in (blocks, blocks.swapaxes(-1, -2)):
        for rows in (np.ones_like(signs), signs):
            for columns in (np.ones_like(signs), signs):
                flipped = turned * (rows[:, None] * columns)
                yield np.ascontiguousarray(flipped).view(np.uint8).reshape(hashes.shape)

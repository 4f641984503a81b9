"""What the search is measured against: 64 signs of the cosine transform, and all pairs."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy.fft import dctn

from dermolib._validation import Image
from dermolib.auditing.duplicates import Duplicates
from dermolib.auditing.hashing import SCALE, orientations

__all__ = ["all_pairs", "sign_distances", "sign_hash"]

_ROWS = 500  # of a block of all pairs


def sign_hash(image: Image) -> np.uint64:
    """Compute the usual perceptual hash of 64 bits.

    The grey image is brought to 32 x 32, and a bit tells whether one of the 8 x 8 lowest
    frequencies is above their median.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. Thesis, FH
        Hagenberg, 2010.
    """
    grey = (
        PillowImage.fromarray(image).convert("L").resize((32, 32), PillowImage.Resampling.LANCZOS)
    )
    low = dctn(np.asarray(grey, np.float64))[:8, :8]
    return np.uint64(np.packbits(low > np.median(low)).view(np.uint64)[0])


def sign_distances(
    turned: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Count the bits in which hashes differ from others, in the best of eight orientations.

    Args:
        turned: Hashes (N, 8) of all orientations of the images.
        others: Hashes (M,).

    Yields:
        Distances of the rows of one block from all others.
    """
    for start in range(0, len(turned), _ROWS):
        block = turned[start : start + _ROWS]
        best = np.full((len(block), len(others)), 64, np.uint8)
        for one in block.T:
            np.minimum(best, np.bitwise_count(one[:, None] ^ others), out=best)
        yield best


def all_pairs(hashes: npt.NDArray[np.uint8], tolerance: float) -> Duplicates:
    """Compare all pairs of fingerprints in eight orientations, by matrix products.

    Args:
        hashes: Fingerprints (N, 64).
        tolerance: Largest distance of a pair.

    Returns:
        All pairs, none left out.
    """
    rows = hashes.view(np.int8).astype(np.float32)
    lengths = (rows**2).sum(axis=1)
    pairs, squares = [], []
    for start in range(0, len(rows), _ROWS):
        later = rows[start:].T
        eight = orientations(hashes[start : start + _ROWS])
        best = next(eight).view(np.int8).astype(np.float32) @ later
        for one in eight:
            np.maximum(best, one.view(np.int8).astype(np.float32) @ later, out=best)
        apart = lengths[start : start + _ROWS, None] + lengths[start:] - 2 * best
        first, second = np.nonzero(apart <= (tolerance * SCALE) ** 2)
        first, second = first[first < second], second[first < second]
        pairs.append(np.stack([first, second], axis=1) + start)
        squares.append(apart[first, second])
    distances = np.sqrt(np.concatenate(squares).astype(np.float64)) / SCALE
    return Duplicates(np.concatenate(pairs), distances)

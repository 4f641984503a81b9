"""What the search is measured against: 64 signs of the cosine transform, and all pairs."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy.fft import dctn

from dermolib._validation import Image
from dermolib.auditing import Duplicates
from dermolib.auditing.hashing import SCALE, orientations

__all__ = ["all_pairs", "sign_distances", "sign_hash"]

_ROWS = 500  # of a block of all pairs


def sign_hash(image: Image) -> np.uint64:
    """Compute the usual perceptual hash: which of 8 x 8 frequencies are above their median.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. Thesis, FH
        Hagenberg, 2010.
    """
    gray = PillowImage.fromarray(image).convert("L")
    small = gray.resize((32, 32), PillowImage.Resampling.LANCZOS)
    low = dctn(np.asarray(small, np.float64))[:8, :8]
    return np.uint64(np.packbits(low > np.median(low)).view(np.uint64)[0])


def sign_distances(
    oriented: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Count the bits in which hashes (N, 8) of all orientations differ from others (M,), at best.

    Yields blocks of rows of the distances (N, M).
    """
    for start in range(0, len(oriented), _ROWS):
        block = oriented[start : start + _ROWS]
        best = np.full((len(block), len(others)), 64, np.uint8)
        for one in block.T:
            np.minimum(best, np.bitwise_count(one[:, None] ^ others), out=best)
        yield best


def all_pairs(hashes: npt.NDArray[np.uint8], tolerance: float) -> Duplicates:
    """Compare all pairs of hashes (N, 64) in eight orientations, by products of matrices."""
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

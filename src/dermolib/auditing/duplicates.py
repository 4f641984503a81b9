"""Near-duplicates among many images, found from their hashes without comparing all pairs.

Each hash has descriptors, which a flip or a rotation of the image does not change, and in which two
hashes within the tolerance cannot differ by much. Leaves of a k-d tree of descriptors are compared
by matrix products unless they are further apart than the tolerance, and the remaining candidates
exactly, in all eight orientations: the result is that of all pairs, whatever the hashes are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, check_number, require
from dermolib.auditing.hashing import HASH_BYTES, HASH_SIDE, SCALE, orientations
from dermolib.datasets.groups import connected_groups

__all__ = ["Duplicates", "find_duplicates"]

_DESCRIPTORS = 32  # with the most variance, of `HASH_BYTES`; the others separate few pairs
_LEADING = 16  # descriptors by which whole leaves and single rows are skipped
_LEAF = 256  # rows of a leaf at most
_BLOCK = 8192  # rows that a leaf is compared with at once: 8 MB of float32
_DENSE = 0.02  # fraction of candidates in a block from which matrix products are cheaper than lists
_NO_BYTE = 128  # as a signed byte it has no opposite, which a flip needs

_Hashes: TypeAlias = npt.NDArray[np.uint8]
_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of rows that show the same image.

    Attributes:
        pairs: Row numbers (P, 2), first < second, sorted.
        distances: Distance of each pair (P,), 0 for equal hashes, at most the tolerance.
    """

    pairs: Indices
    distances: npt.NDArray[np.float64]

    def groups(self, n: int) -> Indices:
        """Number the groups of rows that pairs connect, directly or through others.

        Args:
            n: Number of rows that were searched.

        Returns:
            Group of each row (n,), numbered from 0 in the order of first rows. A row without a
            duplicate is a group of its own.

        Raises:
            TypeError: `n` is not an integer.
            ValueError: `n` is not above all row numbers of the pairs.

        Examples:
            >>> Duplicates(np.array([[0, 2], [2, 3]]), np.zeros(2)).groups(5).tolist()
            [0, 1, 0, 0, 2]
        """
        check_number(n, "n", low=int(self.pairs.max(initial=-1)) + 1, integer=True)
        return connected_groups(n, self.pairs)


def find_duplicates(
    hashes: npt.NDArray[np.uint8], *, tolerance: float = 0.1, most: int = 32
) -> Duplicates:
    """Find all pairs of hashes that are near each other, up to flips and 90° rotations.

    The result is that of a comparison of all pairs, with two exceptions that keep it small.
    Featureless images, whose hash is 0 throughout, are left out. Where many rows are near each
    other, as copies of one image are, each is in at least `most` of its pairs, and further pairs
    are kept only where they connect a group: there are at most ``(most + 1) * N``, and
    `Duplicates.groups` is complete. Memory grows linearly with N; hashes made for the purpose can
    bring the time to that of all pairs.

    Args:
        hashes: Hashes (N, `HASH_BYTES`), uint8, of `perceptual_hash`; not modified.
        tolerance: Largest distance of a pair, 0..0.5. Of dermoscopic images, half the size and
            JPEG quality 60 together change the hash by 0.05 at most. Among 10,015 of them, no
            different images were nearer than 0.12, and two hundred pairs were up to 0.2. A dark
            border that images share makes them no nearer, see `perceptual_hash`.
        most: Number of pairs of a row from which on it need not be in all, 1 or more.

    Returns:
        Pairs and their distances.

    Raises:
        TypeError: `hashes` is not a uint8 array, or an option is not a number.
        ValueError: `hashes` has another shape or a byte of 128, or an option is out of range.

    References:
        Bentley: Multidimensional binary search trees used for associative searching.
        Communications of the ACM 18(9), 1975. https://doi.org/10.1145/361002.361007

    Examples:
        >>> hashes = np.random.default_rng(0).integers(1, 60, (5, 64), dtype=np.uint8)
        >>> hashes[4] = hashes[1]
        >>> find_duplicates(hashes).pairs.tolist()
        [[1, 4]]
    """
    _check_hashes(hashes)
    check_number(tolerance, "tolerance", low=0, high=0.5)
    check_number(most, "most", low=1, integer=True)
    rows = np.flatnonzero(hashes.any(axis=1))
    tree = _build_tree(hashes[rows])
    pairs = _Pairs(len(rows), most)
    for leaf in range(len(tree.starts) - 1):
        for near in _near(tree, leaf, (tolerance * SCALE) ** 2, pairs):
            pairs.add(*near)
    return pairs.result(rows[tree.order])


def _check_hashes(hashes: Any) -> None:
    what = f"hashes (N, {HASH_BYTES}) of dtype uint8"
    hint = "Stack the results of `perceptual_hash`."
    dtype = getattr(hashes, "dtype", None)
    got = f"dtype {dtype}" if dtype else f"an object of type {type(hashes).__name__}"
    array = isinstance(hashes, np.ndarray) and dtype == np.uint8
    require(array, "hashes", what, got, hint, error=TypeError)
    require(hashes.shape[1:] == (HASH_BYTES,), "hashes", what, f"shape {hashes.shape}", hint)
    require((hashes != _NO_BYTE).all(), "hashes", what, f"a byte of {_NO_BYTE}", hint)


class _Tree(NamedTuple):
    """N rows sorted into L leaves."""

    order: Indices  # row number of each position (N,); all else is in this order
    hashes: _Hashes  # (N, HASH_BYTES)
    descriptors: _Floats  # (N, _DESCRIPTORS)
    leading: _Floats  # the first of the descriptors (N, _LEADING), contiguous
    starts: Indices  # first position of each leaf, and N (L + 1,)
    low: _Floats  # smallest leading descriptors of each leaf (L, _LEADING)
    high: _Floats  # largest leading descriptors


def _build_tree(hashes: _Hashes) -> _Tree:
    """Halve the rows along the descriptor with the most variance, until they fit into leaves."""
    descriptors = _descriptors(hashes)
    leading = np.ascontiguousarray(descriptors[:, :_LEADING])
    leaves: list[Indices] = []
    stack = [np.arange(len(hashes))] if len(hashes) else []
    while stack:
        rows = stack.pop()
        if len(rows) <= _LEAF:
            leaves.append(rows)
            continue
        widest = int(leading[rows].var(axis=0).argmax())
        halves = rows[np.argpartition(leading[rows, widest], len(rows) // 2)]
        stack += [halves[len(rows) // 2 :], halves[: len(rows) // 2]]
    order = np.concatenate([*leaves, np.empty(0, np.intp)])
    starts = np.cumsum([0, *map(len, leaves)])
    leading = leading[order]
    low, high = (
        bound.reduceat(leading, starts[:-1]) if leaves else leading
        for bound in (np.minimum, np.maximum)
    )
    return _Tree(order, hashes[order], descriptors[order], leading, starts, low, high)


def _descriptors(hashes: _Hashes) -> _Floats:
    """Compute invariants of flips and 90° rotations, no further apart than the hashes are.

    With even u and v, a flip changes nothing and a rotation swaps (u, v) and (v, u): their sum
    stays, and their difference but for its sign. With odd ones a flip also changes the sign of
    both. With one even and one odd, either sign may change: the larger and the smaller magnitude
    stay. The axes are rotated so that the first have the most variance, which keeps distances.
    """
    blocks = hashes.view(np.int8).reshape(-1, HASH_SIDE, HASH_SIDE).astype(np.float32)
    values = np.empty_like(blocks)
    for u in range(HASH_SIDE):
        values[:, u, u] = blocks[:, u, u] if u % 2 == 0 else np.abs(blocks[:, u, u])
        for v in range(u):
            one, other = blocks[:, u, v], blocks[:, v, u]
            if (u + v) % 2:
                values[:, u, v] = np.maximum(np.abs(one), np.abs(other))
                values[:, v, u] = np.minimum(np.abs(one), np.abs(other))
            else:
                total = (one + other) * np.float32(0.5**0.5)
                values[:, u, v] = np.abs(total) if u % 2 else total
                values[:, v, u] = np.abs(one - other) * np.float32(0.5**0.5)
    flat = values.reshape(-1, HASH_BYTES)
    if len(flat):
        flat -= flat.mean(axis=0)
    axes = np.linalg.eigh(flat.T @ flat)[1][:, ::-1]
    return np.asarray(flat @ axes[:, :_DESCRIPTORS], np.float32)


def _near(
    tree: _Tree, leaf: int, bound: float, pairs: "_Pairs"
) -> Iterator[tuple[Indices, Indices, _Floats]]:
    """Yield near pairs of a leaf with itself and later ones: positions and squared distances."""
    here = np.arange(*tree.starts[leaf : leaf + 2])
    lengths = (tree.descriptors[here] ** 2).sum(axis=1, keepdims=True)
    loose = bound + 1 + 1e-4 * float(lengths.max())  # descriptors are rounded, distances are not
    there = pairs.unsettled(here, _within_reach(tree, leaf, loose))
    rotated = np.stack(list(orientations(tree.hashes[here]))).view(np.int8).astype(np.float32)
    left = np.hstack([-2 * tree.descriptors[here], lengths, np.ones_like(lengths)])
    for start in range(0, len(there), _BLOCK):
        block = there[start : start + _BLOCK]
        descriptors = tree.descriptors[block]
        lengths = (descriptors**2).sum(axis=1, keepdims=True)
        # One product is a**2 - 2ab + b**2
        gaps = left @ np.hstack([descriptors, np.ones_like(lengths), lengths]).T
        codes = tree.hashes[block].view(np.int8).astype(np.float32)
        first, second, squares = _exact(rotated, codes, gaps <= loose)
        found = (squares <= bound) & (here[first] < block[second])
        yield here[first[found]], block[second[found]], squares[found]


def _within_reach(tree: _Tree, leaf: int, loose: float) -> Indices:
    """Find the positions from a leaf on that are no further from its box than `loose`, squared."""
    box = tree.low[leaf], tree.high[leaf]
    close = _gaps(*box, tree.low[leaf:], tree.high[leaf:]) <= loose
    there = tree.starts[leaf] + np.flatnonzero(np.repeat(close, np.diff(tree.starts[leaf:])))
    leading = tree.leading[there]
    return np.asarray(there[_gaps(*box, leading, leading) <= loose])


def _gaps(low: _Floats, high: _Floats, lows: _Floats, highs: _Floats) -> _Floats:
    """Compute the squared distances of a box from many."""
    apart = np.maximum(np.maximum(lows - high, low - highs), 0)
    return np.asarray((apart**2).sum(axis=1), np.float32)


def _exact(
    rotated: _Floats, codes: _Floats, candidates: npt.NDArray[np.bool_]
) -> tuple[Indices, Indices, _Floats]:
    """Measure candidates in the best of all orientations.

    Products and sums of signed bytes are integers that float32 holds exactly.
    """
    first, second = np.nonzero(candidates)
    if len(first) >= _DENSE * candidates.size:
        best = rotated[0] @ codes.T
        for one in rotated[1:]:
            np.maximum(best, one @ codes.T, out=best)
        products = best[first, second]
    else:
        products = np.full(len(first), -np.inf, np.float32)
        for one in rotated:
            np.maximum(products, np.einsum("ck,ck->c", one[first], codes[second]), out=products)
    lengths = (rotated[0] ** 2).sum(axis=1)[first] + (codes**2).sum(axis=1)[second]
    return first, second, lengths - 2 * products


class _Pairs:
    """The pairs found so far, thinned where rows have many."""

    def __init__(self, rows: int, most: int) -> None:
        self.most = most
        self.used = np.zeros(rows, np.intp)
        self.first = np.arange(rows)  # a row of the same group, the same for all of them
        self.kept = [(np.empty((0, 2), np.intp), np.empty(0, np.float32))]

    def unsettled(self, here: Indices, there: Indices) -> Indices:
        """Leave out rows with which a leaf could only form pairs that would not be kept."""
        groups = self.first[here]
        if (self.used[here] < self.most).any() or (groups != groups[0]).any():
            return there
        open_yet = (self.used[there] < self.most) | (self.first[there] != groups[0])
        return np.asarray(there[open_yet])

    def add(self, first: Indices, second: Indices, squares: _Floats) -> None:
        """Keep pairs of rows that have few yet, and those that connect groups."""
        ends = np.stack([first, second], axis=1)
        before = pd.Series(ends.ravel()).groupby(ends.ravel()).cumcount().to_numpy()
        keep = np.any(self.used[ends] + before.reshape(-1, 2) < self.most, axis=1)
        _connect(self.first, ends[keep])
        keep[np.flatnonzero(~keep)[_connect(self.first, ends[~keep])]] = True
        np.add.at(self.used, ends[keep].ravel(), 1)
        self.kept.append((ends[keep], squares[keep]))

    def result(self, rows: Indices) -> Duplicates:
        """Return all pairs that were kept, as the rows at these positions."""
        positions, squares = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        pairs = np.sort(rows[positions], axis=1)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return Duplicates(pairs[order], np.sqrt(squares[order].astype(np.float64)) / SCALE)


def _connect(first: Indices, pairs: Indices) -> Indices:
    """Connect groups (N,) in place, each under its least row; return the fewest pairs for that."""
    joins: list[Indices] = []
    rest = np.arange(len(pairs))
    while True:
        ends = np.sort(first[pairs[rest]], axis=1)
        apart = ends[:, 0] < ends[:, 1]
        rest, ends = rest[apart], ends[apart]
        if not len(rest):
            return np.concatenate([*joins, rest])
        order = np.lexsort((ends[:, 0], ends[:, 1]))
        later, positions = np.unique(ends[order, 1], return_index=True)
        chosen = order[positions]
        first[later] = ends[chosen, 0]
        joins.append(rest[chosen])
        while (first[first] < first).any():
            first[:] = first[first]

"""Near-duplicates among many images, found from their fingerprints without comparing all pairs.

Each fingerprint has traits: numbers that a flip or a turn of the image leaves alone, and that two
fingerprints within the tolerance cannot have far apart. Rows are sorted into leaves of a tree by
their traits, leaves whose boxes lie further apart than the tolerance are never compared, and the
others by matrix products, block by block. What is left is measured exactly in all eight
orientations. So the answer is that of all pairs, whatever the fingerprints are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dermolib._validation import Indices, check_number, expected
from dermolib.auditing.hashing import HASH_BYTES, SCALE, orientations

__all__ = ["Duplicates", "find_duplicates"]

_TRAITS = 32  # traits with the most variance, of `HASH_BYTES`; the others tell few pairs apart
_LEAF = 256  # rows of a leaf at most
_LEADING = 16  # traits by which whole leaves and single rows are left out
_BLOCK = 8192  # rows that a leaf is compared with at once: 8 MB of float32
_DENSE = 0.02  # share of candidates in a block from which matrix products are cheaper than lists
_SIDE = round(HASH_BYTES**0.5)
_NEVER = 128  # as a signed byte it has no opposite, which a flip needs

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of rows that show the same picture.

    Attributes:
        pairs: Row numbers (P, 2), first < second, sorted.
        distances: Distance of each pair (P,), 0 for equal fingerprints, at most the tolerance.
    """

    pairs: Indices
    distances: npt.NDArray[np.float64]

    def groups(self, n: int) -> Indices:
        """Number the groups of rows that pairs connect, directly or through others.

        Args:
            n: Number of rows that were searched.

        Returns:
            Number of the group of each row (n,), counted from 0 in the order of first rows. A row
            without a duplicate is a group of its own.

        Raises:
            TypeError: `n` is no integer.
            ValueError: `n` is not above all row numbers of the pairs.

        Examples:
            >>> Duplicates(np.array([[0, 2], [2, 3]]), np.zeros(2)).groups(5).tolist()
            [0, 1, 0, 0, 2]
        """
        least = int(self.pairs.max()) + 1 if self.pairs.size else 0
        check_number(n, "n", low=least, integer=True)
        first = np.arange(n)
        _join(first, self.pairs)
        return np.asarray(np.unique(first, return_inverse=True)[1])


def find_duplicates(
    hashes: npt.NDArray[np.uint8], *, tolerance: float = 0.1, most: int = 32
) -> Duplicates:
    """Find all pairs of fingerprints that are near each other, up to flips and quarter turns.

    The answer is the one that a comparison of all pairs would give, with two exceptions that keep
    it small. Rows whose fingerprint is 0 throughout (featureless images, see `perceptual_hash`)
    are left out: any two of them would be a pair, and none is a finding. Where many rows are near
    each other, as copies of one image are, each is still in at least `most` of its pairs, but
    further ones are kept only where they hold a group together. So there are at most
    ``(most + 1) * N`` pairs, and `Duplicates.groups` tells in full which rows belong together.

    Memory grows with N alone. Time depends on how many rows have similar traits: fingerprints made
    for the purpose can bring it to that of all pairs. The same fingerprints in the same order give
    the same answer.

    Args:
        hashes: Fingerprints (N, `HASH_BYTES`), uint8, as `perceptual_hash` makes them; not
            modified. The two sides of a split are searched together: concatenate them.
        tolerance: Largest distance of a pair, 0..0.5. Of dermoscopic images, half the size and
            JPEG quality 60 together move the fingerprint by 0.05 at most. Among 10,015 of them,
            no different pictures were nearer than 0.11, and a few hundred pairs were up to 0.2.
        most: Number of pairs of a row from which on it need not be in all, 1 or more.

    Returns:
        Pairs and their distances.

    Raises:
        TypeError: `hashes` is no uint8 array, or an option is no number.
        ValueError: `hashes` has another shape or a byte of 128, which no fingerprint has, or an
            option is out of range.

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
    tree = _grow(hashes[rows])
    pairs = _Pairs(len(rows), most)
    for leaf in range(len(tree.starts) - 1):
        for near in _near(tree, leaf, (tolerance * SCALE) ** 2, pairs):
            pairs.add(*near)
    return pairs.result(rows[tree.order])


class _Tree(NamedTuple):
    """Rows sorted into leaves.

    Attributes:
        order: Row number of each place (N,); all else is in this order.
        hashes: Fingerprints (N, HASH_BYTES).
        traits: Traits (N, _TRAITS).
        leading: The first of the traits, contiguous.
        starts: First place of each leaf, and N (L + 1,).
        low: Least leading traits of each leaf (L, _LEADING).
        high: Largest leading traits.
    """

    order: Indices
    hashes: npt.NDArray[np.uint8]
    traits: _Floats
    leading: _Floats
    starts: Indices
    low: _Floats
    high: _Floats


def _grow(hashes: npt.NDArray[np.uint8]) -> _Tree:
    """Compute the traits of all rows and halve them along the most variable trait, and again."""
    traits = _traits(hashes)
    leading = np.ascontiguousarray(traits[:, :_LEADING])
    leaves: list[Indices] = []
    stack = [np.arange(len(hashes))]
    while stack:
        rows = stack.pop()
        if len(rows) <= _LEAF:
            leaves += [rows] if len(rows) else []
            continue
        widest = int(leading[rows].var(axis=0).argmax())
        halves = rows[np.argpartition(leading[rows, widest], len(rows) // 2)]
        stack += [halves[len(rows) // 2 :], halves[: len(rows) // 2]]
    order = np.concatenate([*leaves, np.empty(0, np.intp)])
    starts = np.cumsum([0, *map(len, leaves)])
    leading = leading[order]
    low = np.minimum.reduceat(leading, starts[:-1]) if leaves else leading
    high = np.maximum.reduceat(leading, starts[:-1]) if leaves else leading
    return _Tree(order, hashes[order], traits[order], leading, starts, low, high)


def _traits(hashes: npt.NDArray[np.uint8]) -> _Floats:
    """Compute what flips and turns leave alone, never further apart than the fingerprints are.

    With even u and v, a flip changes nothing and a turn swaps (u, v) and (v, u): their sum stays,
    and their difference but for its sign. With odd ones a flip also changes the sign of both. With
    one even and one odd, either sign may change: the larger and the smaller magnitude stay. Each
    pair of traits moves no further than its pair of coefficients. The axes are turned so that the
    first have the most variance, which changes no distance.
    """
    blocks = hashes.view(np.int8).reshape(-1, _SIDE, _SIDE).astype(np.float32)
    traits = np.empty_like(blocks)
    for u in range(_SIDE):
        traits[:, u, u] = blocks[:, u, u] if u % 2 == 0 else np.abs(blocks[:, u, u])
        for v in range(u):
            one, other = blocks[:, u, v], blocks[:, v, u]
            if (u + v) % 2:
                larger = np.maximum(np.abs(one), np.abs(other))
                smaller = np.minimum(np.abs(one), np.abs(other))
                traits[:, u, v], traits[:, v, u] = larger, smaller
            else:
                total = (one + other) * np.float32(0.5**0.5)
                traits[:, u, v] = np.abs(total) if u % 2 else total
                traits[:, v, u] = np.abs(one - other) * np.float32(0.5**0.5)
    flat = traits.reshape(-1, HASH_BYTES)
    if len(flat):
        flat -= flat.mean(axis=0)
    axes = np.linalg.eigh(flat.T @ flat)[1][:, ::-1]
    return np.asarray(flat @ axes[:, :_TRAITS], np.float32)


def _near(
    tree: _Tree, leaf: int, bound: float, pairs: "_Pairs"
) -> Iterator[tuple[Indices, Indices, _Floats]]:
    """Find the pairs of a leaf with itself and with later ones, in blocks.

    Yields:
        Places of first and second rows, and squared distances up to `bound`, which are exact.
    """
    here = np.arange(*tree.starts[leaf : leaf + 2])
    lengths = (tree.traits[here] ** 2).sum(axis=1, keepdims=True)
    loose = bound + 1 + 1e-4 * float(lengths.max())  # traits are rounded, distances are not
    there = pairs.unsettled(here, _within_reach(tree, leaf, loose))
    turned = np.stack(list(orientations(tree.hashes[here]))).view(np.int8).astype(np.float32)
    left = np.hstack([-2 * tree.traits[here], lengths, np.ones_like(lengths)])
    for start in range(0, len(there), _BLOCK):
        block = there[start : start + _BLOCK]
        traits = tree.traits[block]
        lengths = (traits**2).sum(axis=1, keepdims=True)
        # One product is a**2 - 2ab + b**2
        gaps = left @ np.hstack([traits, np.ones_like(lengths), lengths]).T
        codes = tree.hashes[block].view(np.int8).astype(np.float32)
        first, second, squares = _exact(turned, codes, gaps <= loose)
        found = (squares <= bound) & (here[first] < block[second])
        yield here[first[found]], block[second[found]], squares[found]


def _within_reach(tree: _Tree, leaf: int, loose: float) -> Indices:
    """Find the places from a leaf on that are no further from its box than `loose`, squared."""
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
    turned: _Floats, codes: _Floats, maybe: npt.NDArray[np.bool_]
) -> tuple[Indices, Indices, _Floats]:
    """Measure candidates in the best of all orientations.

    Products and sums of signed bytes are whole numbers that float32 holds exactly.
    """
    first, second = np.nonzero(maybe)
    if len(first) >= _DENSE * maybe.size:
        best = turned[0] @ codes.T
        for one in turned[1:]:
            np.maximum(best, one @ codes.T, out=best)
        products = best[first, second]
    else:
        products = np.full(len(first), -np.inf, np.float32)
        for one in turned:
            np.maximum(products, np.einsum("ck,ck->c", one[first], codes[second]), out=products)
    lengths = (turned[0] ** 2).sum(axis=1)[first] + (codes**2).sum(axis=1)[second]
    return first, second, lengths - 2 * products


class _Pairs:
    """The pairs found so far, thinned where rows have many."""

    def __init__(self, rows: int, most: int) -> None:
        self.most = most
        self.used = np.zeros(rows, np.intp)
        self.first = np.arange(rows)  # a row of the same group, the same for all of them
        self.kept: list[tuple[Indices, _Floats]] = []

    def unsettled(self, here: Indices, there: Indices) -> Indices:
        """Leave out rows with which a leaf could only form pairs that would not be kept."""
        groups = self.first[here]
        if (self.used[here] < self.most).any() or (groups != groups[0]).any():
            return there
        open_yet = (self.used[there] < self.most) | (self.first[there] != groups[0])
        return np.asarray(there[open_yet])

    def add(self, first: Indices, second: Indices, squares: _Floats) -> None:
        """Keep pairs of rows that have few yet, and those that join groups."""
        ends = np.stack([first, second], axis=1)
        keep = (self.used[ends] + _ranks(ends.ravel()).reshape(-1, 2) < self.most).any(axis=1)
        self._keep(ends[keep], squares[keep])
        rest, others = ends[~keep], squares[~keep]
        joins = _join(self.first, rest)
        self._keep(rest[joins], others[joins])

    def _keep(self, ends: Indices, squares: _Floats) -> None:
        if len(ends):
            np.add.at(self.used, ends.ravel(), 1)
            _join(self.first, ends)
            self.kept.append((ends, squares))

    def result(self, rows: Indices) -> Duplicates:
        """Give back all pairs that were kept, as the rows that stand at these places."""
        none = np.empty((0, 2), np.intp)
        places = np.concatenate([none, *(ends for ends, _ in self.kept)])
        squares = np.concatenate([none[:, 0], *(squares for _, squares in self.kept)])
        pairs = np.sort(rows[places], axis=1)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return Duplicates(pairs[order], np.sqrt(squares[order]) / SCALE)


def _join(first: Indices, pairs: Indices) -> Indices:
    """Join the groups that pairs connect, each under the least of its rows.

    Args:
        first: The least row of the group of each row (N,); changed in place.
        pairs: Pairs of rows (P, 2).

    Returns:
        Numbers of the fewest pairs that connect the same rows.
    """
    joins: list[Indices] = []
    rest = np.arange(len(pairs))
    while True:
        ends = np.sort(first[pairs[rest]], axis=1)
        apart = ends[:, 0] < ends[:, 1]
        rest, ends = rest[apart], ends[apart]
        if not len(rest):
            return np.concatenate([*joins, rest])
        order = np.lexsort((ends[:, 0], ends[:, 1]))
        later, places = np.unique(ends[order, 1], return_index=True)
        chosen = order[places]
        first[later] = ends[chosen, 0]
        joins.append(rest[chosen])
        while (first[first] < first).any():
            first[:] = first[first]


def _ranks(values: Indices) -> Indices:
    """Count for each value how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    ranks = np.empty_like(values)
    ranks[order] = np.arange(len(values)) - np.repeat(begins, np.diff(begins, append=len(values)))
    return ranks


def _check_hashes(hashes: Any) -> None:
    """Refuse what is not an array of fingerprints."""
    what = f"fingerprints (N, {HASH_BYTES}) of dtype uint8"
    remedy = "Stack what `perceptual_hash` gives for each image."
    if not isinstance(hashes, np.ndarray):
        got = f"an object of type {type(hashes).__name__}"
        raise TypeError(expected("hashes", what, got, remedy))
    if hashes.dtype != np.uint8:
        raise TypeError(expected("hashes", what, f"dtype {hashes.dtype}", remedy))
    if hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES:
        raise ValueError(expected("hashes", what, f"shape {hashes.shape}", remedy))
    if (hashes == _NEVER).any():
        raise ValueError(expected("hashes", what, f"a byte of {_NEVER}", remedy))

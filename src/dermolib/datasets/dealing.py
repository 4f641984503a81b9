"""Groups of rows dealt out to sides, so that each side gets its share of every class."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from dermolib._validation import Indices

__all__ = ["deal"]

_Counts = npt.NDArray[np.float64]
_SMALLEST_STEP = 4  # of groups of a kind, which are dealt out in steps of this part of them


def deal(
    labels: npt.NDArray[np.int64],
    groups: Indices,
    shares: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> Indices:
    """Deal groups out to sides.

    Groups that hold the same numbers of each class are of one kind, and most groups of a large set
    are of a few kinds. Kinds are dealt out from the largest group to the smallest, each step to the
    side that comes nearest to its shares by it: the sum over classes of the squared relative
    deviation, and that of the number of rows. A side that would be empty gets the smallest group of
    the side with most groups. So the work grows with the number of kinds and not
    with that of groups, and the many small groups at the end even out what the large ones left.

    Args:
        labels: Label of each row (N,), any whole numbers.
        groups: Group of each row (N,), 0..G-1, each with a row at least.
        shares: Share of each side (S,), together 1.
        generator: Draws the order of groups of about one size, and which groups of a kind go where.

    Returns:
        Side of each group (G,), 0..S-1.
    """
    counts = _counts(labels, groups)
    kinds, kind_of_group = np.unique(counts, axis=0, return_inverse=True)
    order = np.lexsort((generator.random(len(kind_of_group)), kind_of_group.reshape(-1)))
    number = np.bincount(kind_of_group.reshape(-1), minlength=len(kinds))
    begin = np.cumsum([0, *number])
    weights = kinds / counts.sum(axis=0)  # of each class, and of the rows, in shares of the whole
    sizes = np.floor(2 * np.log2(weights.sum(axis=1)))
    sides = np.empty(len(counts), dtype=np.intp)
    dealt = np.zeros((len(shares), weights.shape[1]))
    for kind in np.lexsort((generator.random(len(kinds)), -sizes)):
        place = begin[kind]
        while left := begin[kind + 1] - place:
            side, step = _nearest(dealt, weights[kind], shares, left)
            dealt[side] += step * weights[kind]
            sides[order[place : place + step]] = side
            place += step
    _fill_empty(sides, counts[:, -1], len(shares))
    return sides


def _counts(labels: npt.NDArray[np.int64], groups: Indices) -> _Counts:
    """Count the rows of each class in each group, and all rows of it in the last column."""
    classes, place = np.unique(labels, return_inverse=True)
    shape = (int(groups.max()) + 1, len(classes))
    ones = np.ones(len(labels))
    counts = coo_array((ones, (groups, place)), shape=shape).toarray()
    return np.column_stack([counts, counts.sum(axis=1)])


def _fill_empty(sides: Indices, sizes: npt.NDArray[np.float64], number: int) -> None:
    """Give each side that has none a group, in place."""
    for side in range(number):
        count = np.bincount(sides, minlength=number)
        if count[side] == 0 and count.max() > 1:
            groups = np.flatnonzero(sides == count.argmax())
            sides[groups[sizes[groups].argmin()]] = side


def _nearest(
    dealt: _Counts, group: _Counts, shares: npt.NDArray[np.float64], left: int
) -> tuple[int, int]:
    """Find the side whose deviation grows least, or shrinks most, relative to its share.

    Of the groups that are left, several go there at once while the side does not get too much.
    """
    off = dealt - shares[:, None]
    step = max(1, left // (_SMALLEST_STEP * len(shares)))
    while True:
        more = step * group
        side = int(np.argmin((more * (2 * off + more)).sum(axis=1) / shares))
        if step == 1 or (group * (off[side] + more)).sum() <= 0:
            return side, step
        step //= 2

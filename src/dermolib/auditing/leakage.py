"""What two sides share that they may not: lesions, patients, ids, and images made of images."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices
from dermolib.auditing.splits import Sides

__all__ = ["SHARED", "leak_counts", "on_both", "pairs_of_sides", "shared"]

SHARED: tuple[str, ...] = ("lesion", "patient", "id", "origin")
"""Columns whose values no two sides may share."""

Flags = npt.NDArray[np.bool_]
"""Flags (N,), one for each row of `Sides`."""


def pairs_of_sides(sides: Sides) -> Iterator[tuple[int, int]]:
    """Go through all pairs of sides, in their order."""
    return combinations(range(len(sides.names)), 2)


def shared(sides: Sides, column: str) -> tuple[pd.DataFrame, dict[tuple[int, int], Flags]]:
    """Find values of a column that stand on two sides.

    Of ``origin`` only those count to which an augmented image belongs: others are equal ids.

    Args:
        sides: Rows of all sides.
        column: One of `SHARED`.

    Returns:
        A row for each value and pair of sides, and for each pair which rows of the two have such
        a value (N,).
    """
    code, names = _codes(sides, column)
    found = []
    flags: dict[tuple[int, int], Flags] = {}
    for pair in pairs_of_sides(sides):
        flags[pair] = on_both(code, sides, pair)
        if column == "origin":
            made = flags[pair] & (sides.column("parent_id") != "")
            flags[pair] &= np.isin(code, code[made])
        found.append(_listed(sides, column, code, names, pair, flags[pair]))
    nothing = pd.DataFrame(columns=pd.Index(_names(column)))
    return pd.concat(found, ignore_index=True) if found else nothing, flags


def leak_counts(sides: Sides, by: dict[str, dict[tuple[int, int], Flags]]) -> pd.DataFrame:
    """Count the images of two sides that share something, by what they share and in all.

    Args:
        sides: Rows of all sides.
        by: For each kind of leak and each pair of sides the rows concerned (N,).

    Returns:
        Table with the columns ``first``, ``second``, ``by``, ``first_images`` and
        ``second_images``; ``by`` is a key of the argument or ``"any"``.
    """
    rows = []
    for pair in pairs_of_sides(sides):
        kinds = {kind: flags[pair] for kind, flags in by.items() if pair in flags}
        together = np.logical_or.reduce([*kinds.values(), np.zeros(len(sides), np.bool_)])
        for kind, flags in [*kinds.items(), ("any", together)]:
            counts = [int((flags & (sides.side == side)).sum()) for side in pair]
            rows.append((*(sides.names[side] for side in pair), kind, *counts))
    columns = ["first", "second", "by", "first_images", "second_images"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _codes(sides: Sides, column: str) -> tuple[Indices, npt.NDArray[np.object_]]:
    """Number the values of a column in the order of the alphabet; -1 where there is none."""
    values = pd.Series(sides.column(column), dtype=object)
    code, names = pd.factorize(values.mask(values == ""), sort=True)
    return code, np.asarray(names, dtype=object)


def on_both(code: Indices, sides: Sides, pair: tuple[int, int]) -> Flags:
    """Flag the rows of two sides whose code stands on both of them (N,); below 0 is no code."""
    first, second = (np.unique(code[(sides.side == side) & (code >= 0)]) for side in pair)
    both = np.intersect1d(first, second, assume_unique=True)
    return np.asarray(np.isin(code, both) & np.isin(sides.side, pair))


def _listed(
    sides: Sides,
    column: str,
    code: Indices,
    names: npt.NDArray[np.object_],
    pair: tuple[int, int],
    flags: Flags,
) -> pd.DataFrame:
    """List the values of the flagged rows with their ids on both sides."""
    ids = [_ids_by_code(sides, code, flags & (sides.side == side)) for side in pair]
    both = sorted(ids[0])
    columns = {column: pd.Series(names[both], dtype=object)}
    for word, side, by_code in zip(("first", "second"), pair, ids, strict=True):
        listed = [by_code[number] for number in both]
        columns[word] = pd.Series([sides.names[side]] * len(both), dtype=object)
        columns[f"{word}_count"] = pd.Series(map(len, listed), dtype=np.int64)
        columns[f"{word}_ids"] = pd.Series(listed, dtype=object)
    return pd.DataFrame(columns)[_names(column)]


def _names(column: str) -> list[str]:
    return ["first", "second", column, "first_count", "second_count", "first_ids", "second_ids"]


def _ids_by_code(sides: Sides, code: Indices, flags: Flags) -> dict[int, tuple[str, ...]]:
    rows = np.flatnonzero(flags)
    rows = rows[np.argsort(code[rows], kind="stable")]
    codes, starts = np.unique(code[rows], return_index=True)
    ids = sides.column("id")
    return {
        int(number): tuple(ids[part])
        for number, part in zip(codes, np.split(rows, starts)[1:], strict=True)
    }

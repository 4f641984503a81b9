"""How far two sides are apart in what they hold, against what chance alone would do."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, check_number
from dermolib.auditing.leakage import pairs_of_sides
from dermolib.auditing.splits import AGES, UNKNOWN, Sides, class_name

__all__ = ["LARGE", "SHIFT_COLUMNS", "SMALL", "find_shifts"]

SHIFT_COLUMNS: tuple[str, ...] = ("age", "sex", "site", "class", "source")
"""What is compared."""

SMALL, LARGE = 0.05, 0.15
"""Below the first a distance is small, from the second on large: conventions of this library."""

_TABLE = (
    "first", "second", "column", "measure", "distance", "chance", "p_value", "reading",
    "first_known", "second_known", "first_median", "second_median", "largest", "first_share",
    "second_share",
)  # fmt: skip
_LEVEL = 0.95
_ENOUGH = 2  # groups on each side, below which there is nothing to deal out


def find_shifts(sides: Sides, *, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """Compare the distributions of each pair of sides.

    Ages are compared by the statistic of Kolmogorov and Smirnov, the largest difference between
    the shares of images up to an age. Sex, site, class and source (the collection) are compared by
    the distance in total variation, the share of images of one side that would have to change their
    value to match the other. Both lie in 0..1, whatever the number of images; rows without a value,
    or of an impossible age, are left out.

    Even a random split has a distance above 0. So the sides are dealt out anew many times, by
    whole groups as they stand on a side: patients where known, else lesions, else images. That is
    what keeps ten images of one patient from counting as ten. ``chance`` is the distance that 95
    of 100 such splits stay below or at. A distance within it is read as none. One beyond it is
    read by its size, not by its p-value, which a large set makes small for any difference.

    Args:
        sides: Rows of all sides.
        permutations: How many times to deal out, 0 or more; without, chance is not known.
        seed: Seed of the dealing, 0 or more.

    Returns:
        A row for each pair of sides and each column that both know, with ``distance``, ``chance``
        and ``p_value`` (nan where not known), ``reading`` (``"none"``, ``"small"``, ``"moderate"``
        or ``"large"``), medians of the ages, and the value whose shares differ most.

    References:
        Groups dealt out as a whole: Gail et al., Statistics in Medicine 15(11), 1996,
        https://doi.org/10.1002/(SICI)1097-0258(19960615)15:11%3C1069::AID-SIM220%3E3.0.CO;2-Q.
        The p-value, (1 + b) / (1 + m): Phipson and Smyth, Statistical Applications in Genetics
        and Molecular Biology 9(1), 2010, https://doi.org/10.2202/1544-6115.1585.
    """
    check_number(permutations, "permutations", low=0, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    found = []
    for pair in pairs_of_sides(sides):
        rows = np.flatnonzero(np.isin(sides.side, pair))
        values = {name: _values(sides, rows, name) for name in SHIFT_COLUMNS}
        in_first = sides.side[rows] == pair[0]
        known = {
            name: column
            for name, column in values.items()
            if all((column.code[flags] >= 0).any() for flags in (in_first, ~in_first))
        }
        dealt = _dealt(sides, rows, in_first, known, permutations, seed)
        names = tuple(sides.names[side] for side in pair)
        found += [
            {"first": names[0], "second": names[1], "column": name}
            | _compared(column, in_first, dealt[name])
            for name, column in known.items()
        ]
    return pd.DataFrame(found, columns=pd.Index(_TABLE))


class _Column:
    """Values of one column as numbers of its levels, -1 where unknown."""

    def __init__(self, values: pd.Series, *, ordered: bool) -> None:
        self.code, levels = pd.factorize(values, sort=True)
        self.levels = np.asarray(levels)
        self.ordered = ordered
        self._known = self.code >= 0
        self._total = self.counts(np.ones(len(self.code), np.bool_))

    def counts(self, flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Count the rows of each level among the flagged ones."""
        chosen = self.code[flags & self._known]
        return np.bincount(chosen, minlength=len(self.levels)).astype(np.float64)

    def distance(self, in_first: npt.NDArray[np.bool_]) -> float:
        """Measure how far the flagged rows are from the others; nan where a side has none."""
        first = self.counts(in_first)
        second = self._total - first
        if not first.any() or not second.any():
            return float("nan")
        difference = first / first.sum() - second / second.sum()
        if self.ordered:
            return float(np.abs(np.cumsum(difference)).max())
        return float(np.abs(difference).sum() / 2)


def _values(sides: Sides, rows: Indices, name: str) -> _Column:
    if name == "age":
        ages = pd.Series(sides.column("age")[rows])
        return _Column(ages.where(ages.between(*AGES)), ordered=True)
    if name == "class":
        labels = pd.Series(sides.column("label")[rows])
        return _Column(labels.where(labels != UNKNOWN).astype("Int64"), ordered=False)
    values = pd.Series(sides.column(name)[rows], dtype=object)
    return _Column(values.mask(values == ""), ordered=False)


def _dealt(
    sides: Sides,
    rows: Indices,
    in_first: npt.NDArray[np.bool_],
    columns: dict[str, _Column],
    permutations: int,
    seed: int,
) -> dict[str, npt.NDArray[np.float64]]:
    """Measure the distances of sides that are dealt out anew by whole groups."""
    group, of_first = _groups(sides, rows, in_first)
    distances: dict[str, list[float]] = {name: [] for name in columns}
    generator = np.random.default_rng(seed)
    if min(of_first.sum(), (~of_first).sum()) < _ENOUGH:
        permutations = 0
    for _ in range(permutations):
        drawn = generator.permutation(of_first)[group]
        for name, column in columns.items():
            distances[name].append(column.distance(drawn))
    return {name: np.array(of, np.float64) for name, of in distances.items()}


def _groups(
    sides: Sides, rows: Indices, in_first: npt.NDArray[np.bool_]
) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Number the groups as they stand on a side, and say of which side each is."""
    lesion, patient = sides.column("lesion")[rows], sides.column("patient")[rows]
    kind = np.where(patient != "", 0, np.where(lesion != "", 1, 2))
    name = np.where(kind == 0, patient, np.where(kind == 1, lesion, sides.column("origin")[rows]))
    keys = pd.MultiIndex.from_arrays([in_first, kind, name])
    group, unique = pd.factorize(keys)
    return group, unique.get_level_values(0).to_numpy(np.bool_)


def _compared(
    column: _Column, in_first: npt.NDArray[np.bool_], dealt: npt.NDArray[np.float64]
) -> dict[str, Any]:
    distance = column.distance(in_first)
    dealt = dealt[~np.isnan(dealt)]
    chance = float(np.quantile(dealt, _LEVEL, method="higher")) if dealt.size else float("nan")
    beyond = (dealt >= distance - 1e-12).sum()  # equal but for rounding counts as reached
    first, second = column.counts(in_first), column.counts(~in_first)
    found: dict[str, Any] = {
        "measure": "Kolmogorov-Smirnov" if column.ordered else "total variation",
        "distance": distance,
        "chance": chance,
        "p_value": float((1 + beyond) / (1 + dealt.size)) if dealt.size else float("nan"),
        "reading": _reading(distance, chance),
        "first_known": int(first.sum()),
        "second_known": int(second.sum()),
    }
    if column.ordered:
        medians = (_median(column.levels, counts) for counts in (first, second))
        return found | dict(zip(("first_median", "second_median"), medians, strict=True))
    shares = first / first.sum(), second / second.sum()
    most = int(np.argmax(np.abs(shares[0] - shares[1])))
    level = column.levels[most]
    name = level if isinstance(level, str) else class_name(int(level))
    return found | {
        "largest": name,
        "first_share": float(shares[0][most]),
        "second_share": float(shares[1][most]),
    }


def _median(levels: npt.NDArray[Any], counts: npt.NDArray[np.float64]) -> float:
    cumulated = np.cumsum(counts)
    middle = np.searchsorted(cumulated, [(cumulated[-1] - 1) // 2, cumulated[-1] // 2], "right")
    return float(np.mean(levels[middle]))


def _reading(distance: float, chance: float) -> str:
    if distance <= chance + 1e-12:
        return "none"
    if distance < SMALL:
        return "small"
    return "moderate" if distance < LARGE else "large"

"""Distribution shift: how far two splits differ, against random splits of the same images."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array

from dermolib._validation import Indices
from dermolib.auditing.rows import AGES, UNKNOWN, Splits

__all__ = ["LARGE", "SHIFT_COLUMNS", "SMALL", "find_shifts"]

SHIFT_COLUMNS: tuple[str, ...] = ("age", "sex", "site", "class", "source")
"""What is compared."""

SMALL, LARGE = 0.05, 0.15
"""A distance below the first is small, from the second on large: conventions of this library."""

_TABLE = (
    "first", "second", "column", "measure", "distance", "null_quantile", "p_value", "severity",
    "first_known", "second_known", "first_median", "second_median", "category", "first_fraction",
    "second_fraction",
)  # fmt: skip
_LEVEL = 0.95
_ROUNDING = 1e-12
_FEWEST = 2  # groups in each split, with fewer of which there is nothing to permute

_Floats = npt.NDArray[np.float64]


def find_shifts(splits: Splits, *, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """Compare the distributions of each pair of splits; the columns are those of `AuditReport`.

    Whole groups are permuted between the two splits: patients where known, else lesions, else
    images, so that ten images of one patient do not count as ten. A distance beyond the null
    quantile is judged by its size, not by its p-value, which a large set makes small for any
    difference: (1 + b) / (1 + m) of Phipson and Smyth, https://doi.org/10.2202/1544-6115.1585.
    """
    found = []
    for pair in splits.pairs:
        names = {"first": splits.names[pair[0]], "second": splits.names[pair[1]]}
        found += [names | row for row in _compared(splits, pair, permutations, seed)]
    return pd.DataFrame(found, columns=pd.Index(_TABLE))


def _compared(
    splits: Splits, pair: tuple[int, int], permutations: int, seed: int
) -> list[dict[str, Any]]:
    rows = np.flatnonzero(np.isin(splits["split"], pair))
    in_first = splits["split"][rows] == pair[0]
    group, group_in_first = _groups(splits, rows, in_first)
    columns = []  # name, levels, and images of each level in each group (L, G)
    for name in SHIFT_COLUMNS:
        code, levels = pd.factorize(_values(splits, rows, name), sort=True)
        known = code >= 0
        if (known & in_first).any() and (known & ~in_first).any():
            images = (np.ones(known.sum()), (code[known], group[known]))
            counts = coo_array(images, shape=(len(levels), len(group_in_first))).tocsr()
            named = [splits.class_name(label) for label in levels] if name == "class" else levels
            columns.append((name, np.asarray(named), counts))
    generator = np.random.default_rng(seed)
    if min(group_in_first.sum(), (~group_in_first).sum()) < _FEWEST:
        permutations = 0
    drawn: list[list[_Floats]] = [[] for _ in columns]
    for _ in range(permutations):
        permuted = generator.permutation(group_in_first)
        for (_, _, counts), images_in_first in zip(columns, drawn, strict=True):
            images_in_first.append(counts @ permuted)
    return [
        _described(
            name, levels, counts @ group_in_first, np.asarray(counts.sum(axis=1)), np.array(firsts)
        )
        for (name, levels, counts), firsts in zip(columns, drawn, strict=True)
    ]


def _groups(
    splits: Splits, rows: Indices, in_first: npt.NDArray[np.bool_]
) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Number the groups (N,), each within its split, and flag those of the first split (G,)."""
    patient, lesion, origin = (splits[name][rows] for name in ("patient", "lesion", "origin"))
    kind = np.where(patient != "", 0, np.where(lesion != "", 1, 2))
    name = np.where(kind == 0, patient, np.where(kind == 1, lesion, origin))
    group = pd.factorize((pd.factorize(name)[0] * 3 + kind) * 2 + in_first)[0]
    return np.asarray(group, np.intp), in_first[~pd.Series(group).duplicated()]


def _values(splits: Splits, rows: Indices, name: str) -> pd.Series:
    """Read a column of `SHIFT_COLUMNS`, missing where not known."""
    if name == "age":
        ages = pd.Series(splits["age"][rows])
        return ages.where(ages.between(*AGES))
    if name == "class":
        labels = pd.Series(splits["label"][rows])
        return labels.where(labels != UNKNOWN).astype("Int64")
    values = pd.Series(splits[name][rows], dtype=object)
    return values.mask(values == "")


def _distance(name: str, first: _Floats, total: _Floats) -> Any:
    """Measure how far counts of levels (..., L) are from the rest of the total; nan without any."""
    second = total - first
    with np.errstate(invalid="ignore"):
        first = first / first.sum(axis=-1, keepdims=True)
        difference = first - second / second.sum(axis=-1, keepdims=True)
    if name == "age":
        return np.abs(np.cumsum(difference, axis=-1)).max(axis=-1)
    return np.abs(difference).sum(axis=-1) / 2


def _described(
    name: str, levels: npt.NDArray[Any], first: _Floats, total: _Floats, permuted: _Floats
) -> dict[str, Any]:
    second, distance = total - first, float(_distance(name, first, total))
    null = _distance(name, permuted, total) if len(permuted) else np.empty(0)
    null = null[~np.isnan(null)]
    reached = (null >= distance - _ROUNDING).sum()
    quantile = float(np.quantile(null, _LEVEL, method="higher")) if null.size else float("nan")
    size = ("small", "moderate", "large")[int(np.digitize(distance, (SMALL, LARGE)))]
    found: dict[str, Any] = {
        "column": name,
        "measure": "Kolmogorov-Smirnov" if name == "age" else "total variation",
        "distance": distance,
        "null_quantile": quantile,
        "p_value": float((1 + reached) / (1 + null.size)) if null.size else float("nan"),
        "severity": "none" if distance <= quantile + _ROUNDING else size,
        "first_known": int(first.sum()),
        "second_known": int(second.sum()),
    }
    if name == "age":
        medians = [float(np.median(levels.repeat(n.astype(int)))) for n in (first, second)]
        return found | dict(zip(("first_median", "second_median"), medians, strict=True))
    fractions = first / first.sum(), second / second.sum()
    most = int(np.argmax(np.abs(fractions[0] - fractions[1])))
    category = levels[most]
    return found | {
        "category": category,
        "first_fraction": float(fractions[0][most]),
        "second_fraction": float(fractions[1][most]),
    }

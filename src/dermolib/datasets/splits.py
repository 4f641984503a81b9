"""Splits that keep every lesion on one side."""

import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from dermolib._checks import check_number, expected
from dermolib._types import Indices
from dermolib.datasets.tables import group_names

__all__ = ["Grouped", "grouped_split"]

_MOST_FOLDS = 20


class Grouped(Protocol):
    """What can be split: labels and groups, row by row."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,)."""

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of each row (N,)."""


def grouped_split(
    dataset_or_table: Grouped | pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
) -> list[Indices]:
    """Split rows so that no lesion stands on two sides and each side has its share of each class.

    Rows go by whole lesions, so a share is met as nearly as the sizes of the lesions allow, and
    fractions are rounded to parts of 1/20 or larger. Where no class has as many rows as there are
    equal parts to deal out (5 for 80/20), classes are not balanced any more, lesions still are. The
    result depends on the rows and the seed alone.

    Args:
        dataset_or_table: An `ISICDataset`, anything with ``labels`` and ``groups``, or a table with
            the columns ``label`` and ``lesion`` (empty where unknown: such a row is a lesion of its
            own), and ``id`` and ``source`` where it has augmented images.
        fractions: Share of each side, above 0, together 1.
        seed: Seed of the assignment, 0 or more.

    Returns:
        Row numbers of each side, sorted, each row on exactly one side.

    Raises:
        TypeError: The table lacks a column, or an argument is no number.
        ValueError: The fractions do not fit, or there are fewer lesions than parts to deal out.

    References:
        Kaufman et al., Leakage in data mining, ACM TKDD 6(4), 2012,
        https://doi.org/10.1145/2382577.2382579.

    Examples:
        >>> import pandas as pd
        >>> lesions = [f"L{row // 2}" for row in range(40)]
        >>> table = pd.DataFrame({"label": 0, "lesion": lesions})
        >>> train, validation = grouped_split(table, fractions=(0.75, 0.25))
        >>> len(train), len(validation)
        (30, 10)
        >>> bool(set(table.lesion[train]) & set(table.lesion[validation]))
        False
    """
    check_number(seed, "seed", low=0, integer=True)
    folds = _folds(fractions)
    labels, groups = _labels_and_groups(dataset_or_table)
    total = sum(folds)
    if total == 1:
        return [np.arange(len(labels))]
    lesions = len(np.unique(groups))
    if lesions < total:
        what = f"rows of at least {total} lesions for the fractions {tuple(fractions)}"
        raise ValueError(expected("dataset_or_table", what, f"rows of {lesions}"))
    fold_of_row = _assign(labels, groups, total, seed)
    side_of_fold = np.repeat(np.arange(len(folds)), folds)
    side = side_of_fold[fold_of_row]
    return [np.flatnonzero(side == number) for number in range(len(folds))]


def _folds(fractions: Sequence[float]) -> list[int]:
    """Turn fractions into numbers of equal folds."""
    for fraction in fractions:
        check_number(fraction, "fractions", above=0, high=1)
    if not len(fractions) or abs(sum(fractions) - 1) > 1e-6:
        what = "shares that are together 1"
        raise ValueError(expected("fractions", what, f"{tuple(fractions)}"))
    parts = [Fraction(float(fraction)).limit_denominator(_MOST_FOLDS) for fraction in fractions]
    total = int(np.lcm.reduce([part.denominator for part in parts]))
    if total > _MOST_FOLDS or sum(parts) != 1:
        total = _MOST_FOLDS
    edges = np.rint(np.cumsum([0.0, *fractions]) * total).astype(int)
    folds = [int(count) for count in np.diff(edges)]
    if min(folds) == 0:
        remedy = f"The smallest share that can be dealt out is 1/{_MOST_FOLDS}."
        raise ValueError(expected("fractions", "shares", f"{tuple(fractions)}", remedy))
    return folds


def _labels_and_groups(
    source: Grouped | pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], Indices]:
    if not isinstance(source, pd.DataFrame):
        return source.labels, _numbered(source.groups)
    lacking = [column for column in ("label", "lesion") if column not in source.columns]
    if lacking:
        columns = ", ".join(map(str, source.columns))
        what = f"a table with the column `{lacking[0]}`"
        raise TypeError(expected("dataset_or_table", what, f"the columns {columns}"))
    # Names that no lesion has, so that a row of unknown lesion joins no other
    own = pd.DataFrame({"id": [f"\0{row}" for row in range(len(source))], "source": ""})
    for column in sorted({"lesion", "id", "source"} & set(source.columns)):
        own[column] = source[column].astype(object).fillna("").astype(str).to_numpy(object)
    labels = pd.to_numeric(source["label"], errors="coerce").to_numpy(np.float64)
    if not (labels == labels.round()).all() or labels.min(initial=0) < 0:
        what = "a table whose labels are whole numbers of 0 or more"
        raise ValueError(expected("dataset_or_table", what, "others"))
    return labels.astype(np.int64), _numbered(group_names(own))


def _numbered(groups: npt.NDArray[np.object_]) -> Indices:
    return np.unique(groups.astype(str), return_inverse=True)[1]


def _assign(labels: npt.NDArray[np.int64], groups: Indices, total: int, seed: int) -> Indices:
    stratified = np.bincount(labels).max() >= total  # scikit-learn refuses to stratify fewer
    kind = StratifiedGroupKFold if stratified else GroupKFold
    splitter = kind(n_splits=total, shuffle=True, random_state=seed)
    fold_of_row = np.zeros(len(labels), dtype=np.intp)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is dealt out as far as it goes, as documented
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, rows) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            fold_of_row[rows] = fold
    return fold_of_row

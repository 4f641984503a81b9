"""Splits that keep every lesion and every patient on one side."""

import csv
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, SupportsIndex

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, PathLike, check_number, expected, listed, outside
from dermolib.datasets.dealing import deal
from dermolib.datasets.groups import joined_groups
from dermolib.datasets.reading import Choice, read_csv
from dermolib.io import whole_file
from dermolib.labels import DIAGNOSES

__all__ = ["Grouped", "Split", "grouped_split", "load_split"]

_NAMES = ("train", "validation", "test")
_UNKNOWN = -1  # in the place of the label of rows that have none


class Grouped(Protocol):
    """What can be split: labels and groups, row by row."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,)."""

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of each row (N,)."""


class Split(list[Indices]):
    """Row numbers of each side, and how far each side is from what was asked for.

    It is a list of arrays, so that ``train, validation = split`` takes it apart.

    Attributes:
        names: Name of each side: train, validation and test, or fold_0, fold_1, ...
        counts: Table of the rows of each class (index, by code; ``unknown`` for rows without label)
            on each side (columns).
    """

    def __init__(
        self, sides: Iterable[Indices], *, names: Sequence[str], counts: pd.DataFrame, ids: Any
    ) -> None:
        """Take the sides as they are."""
        super().__init__(sides)
        self.names = tuple(names)
        self.counts = counts
        self._ids = ids

    @property
    def shares(self) -> pd.DataFrame:
        """Table of the share of each class on each side and, in the column ``all``, overall."""
        counts = self.counts.assign(all=self.counts.sum(axis=1))
        return counts / counts.sum(axis=0)

    @property
    def deviation(self) -> pd.DataFrame:
        """How far the share of each class on each side is from that on the whole, in -1..1."""
        shares = self.shares
        return shares[list(self.names)].sub(shares["all"], axis=0)

    @property
    def largest_deviation(self) -> float:
        """The largest of `deviation` without its sign."""
        return float(self.deviation.abs().to_numpy().max())

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle with what belongs to the list."""
        return _made, (list(self), self.names, self.counts, self._ids)

    def __str__(self) -> str:
        """Print a table of the rows and the share of each class on each side."""
        counts = self.counts.assign(all=self.counts.sum(axis=1))
        counts.loc["rows"] = counts.sum()
        shares = (100 * counts / counts.loc["rows"]).round(2)
        table = pd.DataFrame(index=counts.index)
        for name in counts:
            table[name], table[f"{name} %"] = counts[name], shares[name]
        largest = f"Largest deviation of a share: {100 * self.largest_deviation:.2f} points."
        return f"{table.to_string()}\n{largest}"

    def save(self, path: PathLike) -> None:
        """Write the side of each image as CSV with the columns ``ID`` and ``SPLIT``.

        Args:
            path: Target, written whole or not at all.

        Raises:
            ValueError: What was split has no ids.
        """
        if self._ids is None:
            remedy = "Split a dataset, or a table with the column `id`."
            raise ValueError(expected("split", "one of rows with ids", "none", remedy))
        side = np.empty(len(self._ids), dtype=object)
        for name, rows in zip(self.names, self, strict=True):
            side[rows] = name
        with whole_file(path) as target, target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("ID", "SPLIT"))
            writer.writerows(zip(self._ids, side, strict=True))


def grouped_split(
    dataset_or_table: Grouped | pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.8, 0.2),
    folds: int | None = None,
    seed: int = 0,
    duplicates: npt.ArrayLike | None = None,
) -> Split:
    """Split rows so that no lesion and no patient stands on two sides, each class in its share.

    Rows go by whole groups: those of a patient where it is known, else those of a lesion, else the
    single image. A share is met as nearly as the sizes of the groups allow. The result depends on
    the rows (with ids: not on their order), the fractions and the seed alone.

    Args:
        dataset_or_table: An `ISICDataset`, anything with ``labels`` and ``groups``, or a table with
            the columns ``label`` and ``lesion`` (empty where unknown: such a row is a lesion of its
            own), and where it has them ``patient``, ``id`` and ``parent_id``. Rows without a label
            are dealt out as a class of their own.
        fractions: Share of each side, above 0, together 1.
        folds: Number of sides of equal size, 2 or more, in place of `fractions`: each is what one
            round of a cross-validation is tested on.
        seed: Seed of the assignment, 0 or more.
        duplicates: Pairs of row numbers (P, 2) of images that belong together though their lesions
            are not known to, such as ``find_duplicates(...).pairs``; they come to the same side.

    Returns:
        Row numbers of each side, sorted, each row on exactly one side, with the shares of the
        classes.

    Raises:
        TypeError: The table lacks a column, or an argument is no number.
        ValueError: The fractions do not fit, there are fewer groups than sides, or a pair is not
            of rows.

    References:
        Kaufman et al., Leakage in data mining, ACM TKDD 6(4), 2012,
        https://doi.org/10.1145/2382577.2382579.

    Examples:
        >>> lesions = [f"L{row // 2}" for row in range(40)]
        >>> table = pd.DataFrame({"label": 0, "lesion": lesions})
        >>> split = grouped_split(table, fractions=(0.75, 0.25))
        >>> train, validation = split
        >>> len(train), len(validation), split.largest_deviation
        (30, 10, 0.0)
        >>> set(table["lesion"][train]) & set(table["lesion"][validation])
        set()
    """
    check_number(seed, "seed", low=0, integer=True)
    shares = _shares(fractions, folds)
    labels, groups, ids = _read(dataset_or_table, duplicates)
    count = int(groups.max(initial=-1)) + 1
    if count < len(shares):
        what = f"rows of at least {len(shares)} groups, one for each side"
        got = f"rows of {count}"
        remedy = "A group is what shares a patient or a lesion."
        raise ValueError(expected("dataset_or_table", what, got, remedy))
    side_of_group = deal(labels, groups, shares, np.random.default_rng(seed))
    side = side_of_group[groups]
    sides = [np.flatnonzero(side == number) for number in range(len(shares))]
    if folds is None and len(sides) <= len(_NAMES):
        names = _NAMES[: len(sides)]
    else:
        names = tuple(f"fold_{number}" for number in range(len(sides)))
    return _made(sides, names, _counts(labels, sides, names), ids)


def load_split(path: PathLike, dataset_or_table: Any) -> Split:
    """Read a split that `Split.save` or others wrote, for the rows of a dataset or table.

    Args:
        path: CSV file with the columns ``ID`` and ``SPLIT``.
        dataset_or_table: Rows that were split, in any order: an `ISICDataset`, or a table with the
            column ``id``.

    Returns:
        Split with the sides in the order train, validation, test, then by name.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: The rows have no ids.
        ValueError: The file is no such table, or its ids are not those of the rows.

    Warns:
        UserWarning: A lesion or patient stands on two sides.
    """
    table = _table_of(dataset_or_table)
    if "id" not in table:
        raise TypeError(expected("dataset_or_table", "rows with ids", "none"))
    name, ids = str(path), table["id"].astype(str)
    columns = read_csv(Path(path), _columns(name))
    written = pd.Series(columns["SPLIT"], index=columns["ID"], dtype=object)
    twice = written.index[written.index.duplicated()]
    if len(twice):
        raise ValueError(
            expected(name, "a table in which each id stands once", f"{twice[0]} twice")
        )
    unknown, lacking = set(written.index) - set(ids), set(ids) - set(written.index)
    if unknown or lacking:
        got = f"{len(lacking)} of them missing and {len(unknown)} others"
        got += f" ({listed(sorted(lacking or unknown))})"
        raise ValueError(expected(name, "a split of the ids of the rows", got))
    if (written == "").any():
        got = f"none for {listed(written.index[written == ''])}"
        raise ValueError(expected(name, "a table with a side for each id", got))
    names = sorted(set(written), key=_rank)
    side = ids.map(written).to_numpy(object)
    sides = [np.flatnonzero(side == text) for text in names]
    torn = _torn(joined_groups(table), np.unique(side.astype(str), return_inverse=True)[1])
    if torn:
        text = f"{name} has {torn:,} lesions or patients on two sides: scores will be too good."
        warnings.warn(text, stacklevel=outside())
    labels = _table_labels(table) if "label" in table else np.full(len(table), _UNKNOWN)
    return _made(sides, names, _counts(labels, sides, names), table["id"].to_numpy(object))


def _columns(name: str) -> Choice:
    """Make the function that finds ID and SPLIT in a header."""

    def choose(header: Sequence[str]) -> dict[str, int]:
        upper = [text.strip().upper() for text in header]
        if not {"ID", "SPLIT"} <= set(upper):
            what = "a table with the columns ID and SPLIT"
            raise ValueError(expected(name, what, f"the columns {listed(header)}"))
        return {text: upper.index(text) for text in ("ID", "SPLIT")}

    return choose


def _rank(name: str) -> tuple[int, str, int]:
    """Order sides: train, validation, test, then by name, in which numbers count as numbers."""
    text = name.rstrip("0123456789")
    number = int(name[len(text) :] or 0)
    return (_NAMES.index(name) if name in _NAMES else len(_NAMES), text, number)


def _torn(groups: Indices, sides: Indices) -> int:
    """Count the groups that stand on several sides."""
    pairs = np.unique(np.stack([groups, sides]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _made(sides: list[Indices], names: Sequence[str], counts: pd.DataFrame, ids: Any) -> Split:
    return Split(sides, names=names, counts=counts, ids=ids)


def _shares(fractions: Sequence[float], folds: int | None) -> npt.NDArray[np.float64]:
    if folds is not None:
        check_number(folds, "folds", low=2, integer=True)
        return np.full(folds, 1 / folds)
    if isinstance(fractions, (int, float, str)) or not hasattr(fractions, "__len__"):
        raise TypeError(expected("fractions", "a share for each side", repr(fractions)))
    for fraction in fractions:
        check_number(fraction, "fractions", above=0, high=1)
    if not len(fractions) or abs(sum(fractions) - 1) > 1e-6:
        what = "shares that are together 1"
        raise ValueError(expected("fractions", what, f"{tuple(fractions)}"))
    return np.asarray(fractions, np.float64) / sum(fractions)


def _read(
    source: Grouped | pd.DataFrame, duplicates: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.int64], Indices, npt.NDArray[np.object_] | None]:
    """Read labels, groups (0..G-1, numbered by name) and ids."""
    table = _table_of(source)
    if "label" not in table and not isinstance(source, pd.DataFrame):
        table = table.assign(label=pd.Series(pd.NA, index=table.index, dtype="Int64"))
    lacking = [column for column in ("label", "lesion") if column not in table.columns]
    if lacking:
        columns = ", ".join(map(str, table.columns))
        what = f"a table with the column `{lacking[0]}`"
        raise TypeError(expected("dataset_or_table", what, f"the columns {columns}"))
    pairs = None if duplicates is None else _pairs(duplicates, len(table))
    ids = table["id"].to_numpy(object) if "id" in table else None
    return _table_labels(table), _ordered(joined_groups(table, pairs), ids), ids


def _table_of(source: Any) -> pd.DataFrame:
    """Find the table of a dataset; that of another library has the labels and groups it tells."""
    if isinstance(source, pd.DataFrame):
        return source
    table = getattr(source, "table", None)
    if isinstance(table, pd.DataFrame):
        return table
    what = "a dataset with `labels` and `groups`, or a table"
    if not hasattr(source, "labels") or not hasattr(source, "groups"):
        remedy = (
            "Take rows of a dataset with `dataset.subset(rows)`."
            if hasattr(source, "indices")
            else ""
        )
        got = f"an object of type {type(source).__name__}"
        raise TypeError(expected("dataset_or_table", what, got, remedy))
    if len(source.labels) != len(source.groups):
        got = f"{len(source.labels)} labels and {len(source.groups)} groups"
        raise ValueError(expected("dataset_or_table", what, got))
    return pd.DataFrame({"label": source.labels, "lesion": source.groups})


def _ordered(groups: Indices, ids: npt.NDArray[np.object_] | None) -> Indices:
    """Number groups by the smallest of their ids, so that the order of the rows does not matter."""
    if ids is None or not len(ids):
        return groups
    place = np.argsort(np.argsort(ids.astype(str), kind="stable"), kind="stable")
    first = np.full(int(groups.max()) + 1, len(ids))
    np.minimum.at(first, groups, place)
    return np.argsort(np.argsort(first))[groups]


def _pairs(duplicates: npt.ArrayLike, number: int) -> Indices:
    what = f"pairs (P, 2) of row numbers in 0..{number - 1}"
    try:
        pairs = np.asarray(duplicates)
    except ValueError as error:
        raise ValueError(expected("duplicates", what, error)) from error
    if pairs.size == 0:
        return np.empty((0, 2), np.intp)
    whole = np.issubdtype(pairs.dtype, np.integer) and pairs.ndim == 2 and pairs.shape[1] == 2
    if not whole or pairs.min() < 0 or pairs.max() >= number:
        raise ValueError(expected("duplicates", what, f"{pairs.dtype} of shape {pairs.shape}"))
    return pairs.astype(np.intp)


def _table_labels(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    labels = pd.to_numeric(table["label"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    known = ~table["label"].isna().to_numpy()
    good = (labels[known] == labels[known].round()) & (labels[known] >= 0)
    if not good.all():
        what = "a table whose labels are whole numbers of 0 or more"
        raise ValueError(expected("dataset_or_table", what, "others"))
    return np.where(known, np.nan_to_num(labels), _UNKNOWN).astype(np.int64)


def _counts(
    labels: npt.NDArray[np.int64], sides: Sequence[Indices], names: Sequence[str]
) -> pd.DataFrame:
    classes = np.unique(labels)
    codes = {diagnosis.index: diagnosis.code for diagnosis in DIAGNOSES} | {_UNKNOWN: "unknown"}
    counts = {
        name: (labels[rows][:, None] == classes).sum(axis=0)
        for name, rows in zip(names, sides, strict=True)
    }
    return pd.DataFrame(counts, index=[codes.get(int(label), str(label)) for label in classes])

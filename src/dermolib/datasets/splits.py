"""Stratified splits that keep every lesion and every patient in one split."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array

from dermolib._validation import (
    Indices,
    PathLike,
    as_path,
    check_choice,
    check_number,
    listed,
    printable,
    require,
    warn,
)
from dermolib.datasets.columns import clean_name, map_unique, read_columns
from dermolib.datasets.groups import joined_groups, row_pairs
from dermolib.io import write_table
from dermolib.labels import label_space_of

__all__ = ["SPLITS", "Grouped", "Split", "as_split", "grouped_split", "load_split"]

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "tr"),
    "validation": ("validation", "val", "valid", "validate", "vld", "dev", "development"),
    "test": ("test", "testing", "tst", "te"),
}
"""Splits in their order, with what others call them in any letter case, also as in ``test_set``."""

_MEANING = {name: split for split, names in SPLITS.items() for name in names}
_NAMES = tuple(SPLITS)
_SET = re.compile(r"[\W_]*(?:set|split|data|dataset|subset|images)?")
_DIGITS = "0123456789"
_UNKNOWN = -1  # in the place of the label of rows that have none
_MOST_LEVELS = 50  # of a column to stratify by
_SMALLEST_STEP = 4  # groups of a kind are assigned in steps of at most this part of them
_Counts = npt.NDArray[np.float64]


class Grouped(Protocol):
    """What can be split: labels and groups, row by row."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,)."""

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of each row (N,)."""


class Split(list[Indices]):
    """Row numbers of each split, and how well each is stratified.

    It is a list of arrays, so that ``train, validation = split`` unpacks it.

    Attributes:
        names: Names of the splits: train, validation and test, or fold_0, fold_1, ...
        counts: Table of the number of rows of each class (index, by code; ``unknown`` for rows
            without label) in each split (columns).
        balance: Table of the columns of `stratify`: the fraction of rows with each value, or the
            mean of a column of probabilities (index), in each split and overall (columns).
    """

    def __init__(
        self,
        splits: Iterable[Indices],
        names: Sequence[str],
        counts: pd.DataFrame,
        ids: Any,
        balance: pd.DataFrame | None = None,
    ) -> None:
        """Take the splits as they are."""
        super().__init__(splits)
        self.names = tuple(names)
        self.counts = counts
        self._ids = ids
        self.balance = pd.DataFrame(columns=[*names, "all"]) if balance is None else balance

    @property
    def fractions(self) -> pd.DataFrame:
        """Table of the fraction of each class in each split and, in the column ``all``, overall."""
        counts = self.counts.assign(all=self.counts.sum(axis=1))
        return counts / counts.sum(axis=0)

    @property
    def deviation(self) -> pd.DataFrame:
        """Difference of the fraction of each class in each split from that overall, in -1..1."""
        fractions = self.fractions
        return fractions[list(self.names)].sub(fractions["all"], axis=0)

    @property
    def largest_deviation(self) -> float:
        """Largest absolute `deviation`."""
        return float(self.deviation.abs().to_numpy().max())

    def rounds(self) -> list[tuple[Indices, Indices]]:
        """Pair the rows of all other folds with those of each: the rounds of a cross-validation.

        Scikit-learn takes them as they are: ``cross_val_score(model, X, y, cv=folds.rounds())``.

        Returns:
            Rows to train on and rows to test on, sorted, for each fold.

        Raises:
            ValueError: These are no folds but splits with a purpose: a test set never trains.

        Examples:
            >>> table = pd.DataFrame({"label": 0, "lesion": ["a", "a", "b", "c"]})
            >>> folds = grouped_split(table, folds=3)
            >>> [(train.tolist(), test.tolist()) for train, test in folds.rounds()]
            [([2, 3], [0, 1]), ([0, 1, 2], [3]), ([0, 1, 3], [2])]
        """
        named = [name for name in self.names if name in _NAMES]
        hint = "Split with `folds=5`."
        require(not named, "split", "folds of a cross-validation", listed(self.names), hint)
        rows = np.sort(np.concatenate(self))
        return [(np.setdiff1d(rows, test, assume_unique=True), test) for test in self]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle with the attributes."""
        return type(self), (list(self), self.names, self.counts, self._ids, self.balance)

    def __str__(self) -> str:
        """Print a table of the number and percentage of rows of each class in each split."""
        counts = self.counts.assign(all=self.counts.sum(axis=1))
        counts.loc["rows"] = counts.sum()
        percent = (100 * counts / counts.loc["rows"]).round(2)
        table = pd.DataFrame(index=counts.index)
        for name in counts:
            table[name], table[f"{name} %"] = counts[name], percent[name]
        largest = f"Largest deviation of a fraction: {100 * self.largest_deviation:.2f} points."
        parts = [table.to_string(), largest]
        if len(self.balance):
            parts.append((100 * self.balance).round(2).add_suffix(" %").to_string())
        return printable("\n".join(parts), keep="\n")

    def save(self, path: PathLike) -> None:
        """Write the split of each image as CSV with the columns ``ID`` and ``SPLIT``.

        Args:
            path: Target, written whole or not at all.

        Raises:
            ValueError: What was split has no ids.
        """
        hint = "Split a dataset, or a table with the column `id`."
        require(self._ids is not None, "split", "one of rows with ids", "none", hint)
        split_of = np.empty(len(self._ids), dtype=object)
        for name, rows in zip(self.names, self, strict=True):
            split_of[rows] = name
        table = zip(map(str, self._ids), split_of, strict=True)
        write_table(path, ("ID", "SPLIT"), table, quoted=False, ending="\r\n")


def grouped_split(
    dataset_or_table: Grouped | pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.8, 0.2),
    folds: int | None = None,
    seed: int = 0,
    duplicates: npt.ArrayLike | pd.DataFrame | PathLike | None = None,
    stratify: Sequence[str] | pd.DataFrame | None = None,
) -> Split:
    """Split rows, stratified by class, so that no lesion and no patient is in two splits.

    Rows are assigned by whole groups: those of a patient where it is known, else those of a lesion,
    else the single image. Fractions are met as nearly as the sizes of the groups allow. The result
    depends on the rows (with ids: not on their order), the fractions and the seed alone.

    Args:
        dataset_or_table: An `ISICDataset`, anything with ``labels`` and ``groups``, or a table with
            the columns ``label`` and ``lesion`` (empty where unknown: such a row is a lesion of its
            own), and where it has them ``patient``, ``id`` and ``parent_id``. Rows without a label
            count as a class of their own.
        fractions: Fraction of each split, above 0, together 1.
        folds: Number of splits of equal size, 2 or more, in place of `fractions`: each is the test
            set of one round of a cross-validation, see `Split.rounds`.
        seed: Seed of the assignment, 0 or more.
        duplicates: Pairs of images that belong together though their lesions are not known to;
            they go to the same split. Row numbers (P, 2) such as ``find_duplicates(...).pairs``; or
            the table of `dermolib.auditing.find_recaptures`, the ``recaptures`` or ``duplicates``
            of a report of `dermolib.audit`, or any data frame or CSV file of pairs that a person
            confirmed, with the ids of both in the columns ``first`` and ``second``. An id that is
            not in the table still joins the images that are paired with it.
        stratify: What to keep even beside the class: names of columns of the table, such as
            ``["source", "sex"]``, or a data frame with further columns, such as that of
            `dermolib.preprocessing.artifact_table`, row by row or with the ids as its index. Each
            value of a column, also a missing one, gets its fraction of each split; of decimal
            numbers of 0 or more, such as probabilities, each split gets its fraction of the sum.

    Returns:
        Row numbers of each split, sorted; each row is in exactly one.

    Raises:
        TypeError: A column of the table is missing, or an argument is not a number.
        DatasetNotFoundError: There is no such file of pairs.
        ValueError: The fractions do not add up to 1, there are fewer groups than splits, a pair
            is not one of row numbers, no id of the pairs is one of the table, or a column to
            stratify by is missing, of another length, negative, or of more than 50 values.

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
        >>> table["ink"] = [1, 1, 0, 0, 0] * 8
        >>> grouped_split(table, folds=2, stratify=["ink"]).balance
             fold_0  fold_1  all
        ink     0.4     0.4  0.4
    """
    check_number(seed, "seed", low=0, integer=True)
    wanted = _fractions(fractions, folds)
    table = _table_of(dataset_or_table)
    if "label" not in table and not isinstance(dataset_or_table, pd.DataFrame):
        table = table.assign(label=pd.Series(pd.NA, index=table.index, dtype="Int64"))
    got = f"the columns {', '.join(map(str, table))}"
    for name in ("label", "lesion"):
        what = f"a table with the column `{name}`"
        require(name in table, "dataset_or_table", what, got, error=TypeError)
    pairs = None if duplicates is None else row_pairs(duplicates, table, "duplicates")
    ids = table["id"].to_numpy(object) if "id" in table else None
    labels, groups = _labels(table), _ordered(joined_groups(table, pairs), ids)
    count = int(groups.max(initial=-1)) + 1
    what = f"rows of at least {len(wanted)} groups, one for each split"
    hint = "A group is what shares a patient or a lesion."
    require(count >= len(wanted), "dataset_or_table", what, f"rows of {count}", hint)
    even = _stratified(stratify, table)
    assigned = _assign_groups(
        labels, groups, wanted, np.random.default_rng(seed), even.to_numpy(np.float64)
    )
    split_of = assigned[groups]
    splits = [np.flatnonzero(split_of == number) for number in range(len(wanted))]
    named = folds is None and len(splits) <= len(_NAMES)
    names = _NAMES[: len(splits)] if named else [f"fold_{n}" for n in range(len(splits))]
    counts = _class_counts(labels, splits, names, dataset_or_table)
    means = {name: even.iloc[rows].mean() for name, rows in zip(names, splits, strict=True)}
    return Split(splits, names, counts, ids, pd.DataFrame(means | {"all": even.mean()}))


def as_split(name: Any, splits: Collection[str] = _NAMES) -> str:
    """Find which of some splits a name means: ``val``, ``Valid`` and ``dev`` are validation.

    Args:
        name: Name in any letter case, also as in ``test_set``.
        splits: Splits that there are.

    Raises:
        ValueError: It means none of them.

    Examples:
        >>> as_split("VAL"), as_split(" Training set"), as_split("dev", ["train", "val"])
        ('validation', 'train', 'val')
    """
    meant = {_meaning(split): split for split in splits}
    found = meant.get(_meaning(name)) if isinstance(name, str) else None
    check_choice(found or name, "split", splits)
    return found or str(name)


def load_split(path: PathLike, dataset_or_table: Any) -> Split:
    """Read a split that `Split.save` or others wrote, for the rows of a dataset or table.

    The file may be edited by hand: it has no digest. Each row must be in it once, and an edit that
    puts a lesion in two splits is warned of. Splits have names that `dermolib.datasets.as_split`
    knows, or numbers, such as ``fold_0``; another name is refused, since its place in the order is
    not known.

    Args:
        path: CSV file with the columns ``ID`` and ``SPLIT``.
        dataset_or_table: Rows that were split, in any order: an `ISICDataset`, or a table with the
            column ``id``.

    Returns:
        Splits in the order train, validation, test, whatever the file calls them, then by number.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: The rows have no ids.
        ValueError: The file has other columns, other ids than the rows, an id twice or without a
            split, a name that is neither known nor numbered, or two names for one split.

    Warns:
        UserWarning: A lesion or patient is in two splits.
    """
    table = _table_of(dataset_or_table)
    require("id" in table, "dataset_or_table", "rows with ids", "none", error=TypeError)
    name, ids = str(path), table["id"].astype(str).str.strip()
    written_ids, written_names = read_columns(as_path(path, "path"), ("ID", "SPLIT"))
    index = [text.strip() for text in written_ids]
    written = pd.Series(map_unique(clean_name, written_names), index=index, dtype=object)
    twice = list(written.index[written.index.duplicated()])
    require(not twice, name, "a table in which each id appears once", f"{listed(twice)} twice")
    unknown, absent = {*written.index} - {*ids}, {*ids} - {*written.index}
    got = f"{len(absent)} of them missing and {len(unknown)} others"
    got += f" ({listed(sorted(absent or unknown))})"
    require(not unknown and not absent, name, "a split of the ids of the rows", got)
    empty = list(written.index[written == ""])
    require(not empty, name, "a table with a split for each id", f"none for {listed(empty)}")
    meaning = _check_names(name, written.unique())
    names = sorted({*meaning.values()}, key=_rank)
    split_of = ids.map(written.map(meaning)).to_numpy(object)
    splits = [np.flatnonzero(split_of == text) for text in names]
    pairs = np.unique([joined_groups(table), pd.factorize(split_of)[0]], axis=1)
    if torn := int((np.bincount(pairs[0]) > 1).sum()):
        text = f"{name} has {torn:,} lesions or patients in two splits: scores will be too good."
        warn(text)
    labels = _labels(table) if "label" in table else np.full(len(table), _UNKNOWN)
    return Split(
        splits,
        names,
        _class_counts(labels, splits, names, dataset_or_table),
        table["id"].to_numpy(object),
    )


def _meaning(name: str) -> str:
    """Give the split that a name means, or the name itself, stripped."""
    text = name.strip()
    for word in _MEANING:
        begins = text.lower().startswith(word)
        if begins and _SET.fullmatch(text.lower(), len(word)):
            return _MEANING[word]
    return text


def _rank(name: str) -> tuple[int, str, int, str]:
    """Order splits: train, validation, test, then by name, in which numbers count as numbers."""
    text = name.rstrip(_DIGITS)
    number, split = name[len(text) :].lstrip("0"), _meaning(text)
    place = _NAMES.index(split) if split in _NAMES else len(_NAMES)
    return place, text, len(number), number


def _check_names(file: str, written: Iterable[str]) -> dict[str, str]:
    """Map the names of a file to splits; refuse one that has no place and two for one split."""
    meaning = {name: _meaning(name) for name in written}
    what = f"a split into {listed(_NAMES)}, or numbered ones such as fold_0"
    others = [name for name in meaning.values() if name not in _NAMES and name[-1] not in _DIGITS]
    near = difflib.get_close_matches(others[0], _MEANING, n=1) if others else []
    hint = f"Did you mean {near[0]!r}?" if near else "Rename them in the file."
    require(not others, file, what, listed(map(repr, others)), hint)
    for split in _NAMES:
        same = {name.lower() for name in meaning if meaning[name] == split}
        got, hint = listed(map(repr, sorted(same))), f"All of them mean {split}: write one."
        require(len(same) < 2, file, "a split with one name for each split", got, hint)
    return meaning


def _fractions(fractions: Sequence[float], folds: int | None) -> npt.NDArray[np.float64]:
    if folds is not None:
        check_number(folds, "folds", low=2, integer=True)
        return np.full(folds, 1 / folds)
    fits = hasattr(fractions, "__len__") and not isinstance(fractions, str)
    what = "a fraction for each split"
    require(fits, "fractions", what, repr(fractions), error=TypeError)
    for fraction in fractions:
        check_number(fraction, "fractions", above=0, high=1)
    total = sum(fractions)
    require(abs(total - 1) <= 1e-6, "fractions", "numbers that add up to 1", f"{(*fractions,)}")
    return np.asarray(fractions, np.float64) / total


def _table_of(source: Any) -> pd.DataFrame:
    """Find the table of a dataset, or make that of another library's labels and groups."""
    if isinstance(source, pd.DataFrame):
        return source
    table = getattr(source, "table", None)
    if isinstance(table, pd.DataFrame):
        return table
    what, got = "a dataset with `labels` and `groups`, or a table", type(source).__name__
    hint = "Take rows with `dataset.subset(rows)`." if hasattr(source, "indices") else ""
    fits = hasattr(source, "labels") and hasattr(source, "groups")
    require(fits, "dataset_or_table", what, f"an object of type {got}", hint, error=TypeError)
    got = f"{len(source.labels)} labels and {len(source.groups)} groups"
    require(len(source.labels) == len(source.groups), "dataset_or_table", what, got)
    return pd.DataFrame({"label": source.labels, "lesion": source.groups})


def _ordered(groups: Indices, ids: npt.NDArray[np.object_] | None) -> Indices:
    """Number groups by the smallest of their ids, so that the order of the rows does not matter."""
    if ids is None or not len(ids):
        return groups
    place = np.argsort(np.argsort(ids.astype(str), kind="stable"), kind="stable")
    first = np.full(int(groups.max()) + 1, len(ids))
    np.minimum.at(first, groups, place)
    return np.argsort(np.argsort(first))[groups]


def _stratified(stratify: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Turn columns into numbers of which each split is to get its fraction: (N, M), named."""
    if stratify is None:
        return pd.DataFrame(index=range(len(table)))
    columns = _columns_of(stratify, table)
    parts = [_numbers_of(column, str(name)) for name, column in columns.items()]
    return pd.concat([pd.DataFrame(index=range(len(table))), *parts], axis=1)


def _columns_of(stratify: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Find columns in the table, or bring those of another table into the order of its rows."""
    if not isinstance(stratify, pd.DataFrame):
        listing = isinstance(stratify, (list, tuple)) and all(isinstance(n, str) for n in stratify)
        what, got = "a list of names of columns, or a data frame", repr(stratify)
        require(listing, "stratify", what, got, error=TypeError)
        absent = [name for name in stratify if name not in table]
        got, hint = listed(absent), f"The table has {listed(table.columns, most=20)}."
        require(not absent, "stratify", "names of columns of the table", got, hint)
        return table[[*stratify]].reset_index(drop=True)
    columns = stratify if "id" not in table else _in_order(stratify, table["id"].astype(str))
    require(len(columns) == len(table), "stratify", _rows_or_ids(table), f"{len(columns):,} rows")
    return columns.reset_index(drop=True)


def _in_order(columns: pd.DataFrame, ids: "pd.Series[str]") -> pd.DataFrame:
    """Bring rows that have ids as their index into the order of these; leave others as they are."""
    index = columns.index.astype(str)
    known = ids.isin(index)
    named = columns.index.name == "id" or known.any()
    numbered = isinstance(columns.index, pd.RangeIndex)
    if index.tolist() == ids.tolist() or not (known.all() or (named and not numbered)):
        return columns
    what = _rows_or_ids(ids)
    require(known.all(), "stratify", what, f"one without {listed(ids[~known])}")
    twice = index[index.duplicated()].unique()
    require(index.is_unique, "stratify", what, f"one with several rows of {listed(twice)}")
    return columns.iloc[index.get_indexer(pd.Index(ids))]


def _rows_or_ids(rows: "pd.DataFrame | pd.Series[str]") -> str:
    return f"a data frame of {len(rows):,} rows, or with the ids of all rows as its index"


def _numbers_of(column: "pd.Series[Any]", name: str) -> pd.DataFrame:
    """Turn a column into numbers (N, M): decimal ones as they are, and a flag for each value."""
    missing = column.isna() | (column.astype(object) == "")
    if pd.api.types.is_float_dtype(column):
        numbers = column.fillna(0).astype(np.float64)
        fits = bool(((numbers >= 0) & np.isfinite(numbers)).all())
        what = f"columns of which {name!r} has numbers of 0 or more"
        require(fits, "stratify", what, repr(float(numbers.min())))
        found = {name: numbers}
    else:
        found = _flags_of(column[~missing].astype(object), name)
        found = {key: flag.reindex(column.index, fill_value=0.0) for key, flag in found.items()}
    if missing.any():
        found[f"{name}: missing"] = missing.astype(np.float64)
    return pd.DataFrame(found)


def _flags_of(values: "pd.Series[Any]", name: str) -> dict[str, "pd.Series[Any]"]:
    """Flag each value; of a column of flags only the true ones, which the others follow from."""
    levels = sorted(values.unique(), key=str)
    what = f"columns of which {name!r} has up to {_MOST_LEVELS} values"
    hint = "Cut numbers into bands with `pandas.cut`, and make a column of ids the index."
    require(len(levels) <= _MOST_LEVELS, "stratify", what, f"{len(levels):,}", hint)
    if {*levels} <= {0, 1}:
        return {name: (values == 1).astype(float)}
    return {f"{name}: {level}": (values == level).astype(float) for level in levels}


def _labels(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    labels = pd.to_numeric(table["label"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    known = ~table["label"].isna().to_numpy()
    good = (labels[known] == labels[known].round()) & (labels[known] >= 0)
    what = "a table whose labels are integers of 0 or more"
    require(good.all(), "dataset_or_table", what, "others")
    return np.where(known, np.nan_to_num(labels), _UNKNOWN).astype(np.int64)


def _class_counts(
    labels: npt.NDArray[np.int64], splits: Sequence[Indices], names: Sequence[str], source: Any
) -> pd.DataFrame:
    """Count the rows of each class that has some, by its code in the label space of the source."""
    classes, codes = np.unique(labels), label_space_of(source).codes
    told = classes.max(initial=0) < len(codes)  # else the labels are of a space that is not known
    names_of = {**dict(enumerate(codes if told else ())), _UNKNOWN: "unknown"}
    counts = [(labels[rows][:, None] == classes).sum(axis=0) for rows in splits]
    index = [names_of.get(int(label), str(label)) for label in classes]
    return pd.DataFrame(dict(zip(names, counts, strict=True)), index=index)


def _assign_groups(
    labels: npt.NDArray[np.int64],
    groups: Indices,
    fractions: npt.NDArray[np.float64],
    generator: np.random.Generator,
    even: _Counts,
) -> Indices:
    """Assign groups (G,) to splits so that each comes near its fraction of every class.

    Columns (N, M) of numbers are kept even as classes are.

    Groups with the same number of rows of each class are of one kind, and most groups of a large
    set are of a few kinds. Kinds are assigned from the largest group to the smallest, each step to
    the split that comes nearest to its fractions by it, in squared relative deviation over classes
    and rows. So the work grows with the number of kinds, not of groups, and the many small groups
    at the end even out what the large ones left.
    """
    classes, column = np.unique(labels, return_inverse=True)
    shape = (int(groups.max()) + 1, len(classes))
    counts = coo_array((np.ones(len(labels)), (groups, column)), shape=shape).toarray()
    sums = [np.bincount(groups, numbers, len(counts)) for numbers in even.T if numbers.any()]
    counts = np.column_stack([counts, *sums, counts.sum(axis=1)])
    kinds, kind_of_group = np.unique(counts, axis=0, return_inverse=True)
    order = np.lexsort((generator.random(len(kind_of_group)), kind_of_group.reshape(-1)))
    number = np.bincount(kind_of_group.reshape(-1), minlength=len(kinds))
    begin = np.cumsum([0, *number])
    weights = kinds / counts.sum(axis=0)  # of each class, and of the rows, as fractions of all
    sizes = np.floor(2 * np.log2(weights.sum(axis=1)))
    split_of = np.empty(len(counts), dtype=np.intp)
    assigned = np.zeros((len(fractions), weights.shape[1]))
    for kind in np.lexsort((generator.random(len(kinds)), -sizes)):
        place = begin[kind]
        while left := begin[kind + 1] - place:
            split, step = _nearest(assigned, weights[kind], fractions, left)
            assigned[split] += step * weights[kind]
            split_of[order[place : place + step]] = split
            place += step
    _fill_empty(split_of, counts[:, -1], len(fractions))
    return split_of


def _nearest(
    assigned: _Counts, group: _Counts, fractions: npt.NDArray[np.float64], left: int
) -> tuple[int, int]:
    """Find the split whose deviation grows least, or shrinks most, relative to its fraction.

    Of the groups that are left, several go there at once while the split does not get too much.
    """
    off = assigned - fractions[:, None]
    step = max(1, left // (_SMALLEST_STEP * len(fractions)))
    while True:
        more = step * group
        split = int(np.argmin((more * (2 * off + more)).sum(axis=1) / fractions))
        if step == 1 or (group * (off[split] + more)).sum() <= 0:
            return split, step
        step //= 2


def _fill_empty(split_of: Indices, sizes: npt.NDArray[np.float64], number: int) -> None:
    """Give each split that has none a group, in place: the smallest of the split with most."""
    for split in range(number):
        count = np.bincount(split_of, minlength=number)
        if count[split] == 0 and count.max() > 1:
            groups = np.flatnonzero(split_of == count.argmax())
            split_of[groups[sizes[groups].argmin()]] = split

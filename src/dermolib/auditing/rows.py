"""The rows of all splits in one table and one fixed order, and what is wrong with them."""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, listed, require
from dermolib.datasets.columns import as_text, clean_name
from dermolib.labels import LabelSpace, label_space_of

__all__ = ["AGES", "METADATA", "UNKNOWN", "Splits", "gather", "row_problems"]

METADATA: tuple[str, ...] = ("age", "sex", "site", "lesion", "patient", "year")
"""Columns whose missing values are counted."""

AGES = 0.0, 120.0
"""Lowest and highest possible age in years."""

UNKNOWN = -1
"""Label of a row without one."""

_TEXTS = (
    "id", "lesion", "patient", "diagnosis", "sex", "site", "source", "parent_id", "image_path",
    "mask_path",
)  # fmt: skip
_PATHS = ("image_path", "mask_path")
_NAMES = ("lesion", "patient")
_NUMBERS = ("age", "year")
_HIGHEST_LABEL = 1_000_000  # far above any number of classes, and exact as a float
_HINT = "Read it with `dermolib.datasets.read_table`, which gives the columns these names."


@dataclass(frozen=True)
class Splits:
    """Rows of all splits, sorted by split and id, so that the order of a table changes nothing.

    Attributes:
        names: Names of the splits.
        columns: Columns (N,) by name: ``split`` (index into `names`), ``label`` (-1 where unknown),
            the numbers ``age`` and ``year``, and texts, empty where unknown. ``origin`` is the id
            of the image that an image was made from over all steps, or its own; of images made from
            each other, the first of them. An augmented image has the lesion and the patient of its
            origin where it has none itself.
        given: Columns that each split came with.
        label_space: Classes of the labels.
    """

    names: tuple[str, ...]
    columns: dict[str, npt.NDArray[Any]]
    given: tuple[frozenset[str], ...]
    label_space: LabelSpace

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column (N,)."""
        return self.columns[column]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self["split"])

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of splits."""
        return list(combinations(range(len(self.names)), 2))

    def known(self, column: str) -> npt.NDArray[np.bool_]:
        """Flag the rows (N,) with a value in a column."""
        if column == "label":
            return np.asarray(self[column] != UNKNOWN)
        return np.asarray(self[column] != "" if column in _TEXTS else ~np.isnan(self[column]))

    def rows_of(self, split: int) -> Indices:
        """Return the row numbers of a split."""
        return np.flatnonzero(self["split"] == split)

    def where(self, row: int) -> tuple[str, str, str]:
        """Return the name of the split, the id and the image path of a row."""
        name = self.names[self["split"][row]]
        return name, str(self["id"][row]), str(self["image_path"][row])

    def class_name(self, label: int) -> str:
        """Return the code of a label, or the number of one beyond the classes."""
        codes = self.label_space.codes
        return codes[label] if 0 <= label < len(codes) else str(label)


def gather(train: Any, test: Any) -> Splits:
    """Put the rows of all splits into one table; refuse what is not a split."""
    named = _named(train, test)
    tables = {name: _table(name, data) for name, data in named.items()}
    labeled = [
        name for name, table in tables.items() if "label" in table and table["label"].notna().any()
    ]
    spaces = {label_space_of(named[name]): name for name in labeled or named}
    what, hint = "splits with labels of one label space", "Read both with the same `label_space=`."
    got = listed(f"{space} in {name}" for space, name in spaces.items())
    require(len(spaces) == 1, "train", what, got, hint)
    parts = [_normalized(name, table) for name, table in tables.items()]
    # Each is released at once: the texts of a million rows take 100 MB
    columns = {name: np.concatenate([part.pop(name) for part in parts]) for name in [*parts[0]]}
    columns["split"] = np.repeat(np.arange(len(parts)), [len(table) for table in tables.values()])
    order = _order(columns)
    columns = {name: columns.pop(name)[order] for name in [*columns]}
    _add_origin(columns)
    given = tuple(frozenset(map(str, table.columns)) for table in tables.values())
    return Splits(tuple(tables), columns, given, *spaces)


def _named(train: Any, test: Any) -> dict[str, Any]:
    if not isinstance(train, Mapping):
        return {"train": train} if test is None else {"train": train, "test": test}
    got, hint = type(test).__name__, "Name all splits in the mapping."
    require(test is None, "test", "None beside a mapping", got, hint, error=TypeError)
    named = {str(name): data for name, data in train.items()}
    what = "a mapping of at least one split, with different names"
    require(named and len(named) == len(train), "train", what, repr(list(train)))
    return named


def _table(name: str, data: Any) -> Any:
    table: Any = data if isinstance(data, pd.DataFrame) else getattr(data, "table", None)
    what = "an ISICDataset, a table, or a mapping of names to them"
    got = f"an object of type {type(data).__name__}"
    require(isinstance(table, pd.DataFrame), name, what, got, _HINT, error=TypeError)
    columns = table.columns
    got = f"the columns {listed(columns)}" if len(columns) else "no columns"
    require("id" in columns, name, "a table with a column `id`", got, _HINT)
    twice = columns[columns.duplicated()].tolist()
    require(not twice, name, "a table with each column once", f"{listed(twice)} twice")
    return table


def _normalized(name: str, table: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, npt.NDArray[Any]] = {text: _texts(table, text) for text in _TEXTS}
    columns |= {number: _numbers(name, table, number) for number in (*_NUMBERS, "label")}
    labels = columns["label"]
    known = ~np.isnan(labels)
    wrong = known & ~((labels >= 0) & (labels <= _HIGHEST_LABEL) & (labels == np.rint(labels)))
    got = f"{labels[wrong.argmax()]:g} in row {wrong.argmax()}" if wrong.any() else ""
    what = "a table whose labels are integers of 0 or more, or missing"
    require(not got, name, what, got, _HINT)
    columns["label"] = np.where(known, labels, UNKNOWN).astype(np.int64)
    return columns


def _texts(table: pd.DataFrame, column: str) -> npt.NDArray[np.object_]:
    """Read a column as text: empty where missing, whole numbers without a decimal point."""
    if column not in table:
        return np.full(len(table), "", dtype=object)
    values = table[column].to_numpy(object)
    filled = np.where(pd.isna(values), "", values)
    if column in (*_NAMES, "diagnosis", "sex", "site"):  # placeholders are not known
        return np.array([clean_name(text) for text in filled], dtype=object)
    texts = map(as_text, filled)
    return np.array([*texts] if column in _PATHS else [*map(str.strip, texts)], dtype=object)


def _numbers(name: str, table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    if column not in table:
        return np.full(len(table), np.nan)
    values = table[column]
    what, hint = (
        f"a table whose column `{column}` has numbers",
        "Take a number, as `.dt.year` does.",
    )
    is_date = values.dtype.kind in "mM"  # which pandas turns into nanoseconds
    require(not is_date, name, what, "dates or times", hint, error=TypeError)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & values.notna().to_numpy()
    first = int(wrong.argmax()) if wrong.any() else None
    got = "" if first is None else f"{reprlib.repr(values.iloc[first])} in row {first}"
    require(first is None, name, what, got, _HINT, error=TypeError)
    return numbers


def _order(columns: dict[str, npt.NDArray[Any]]) -> Indices:
    """Sort rows by split, id and file; rows that agree in these, by all other columns."""
    keys = ["split", "id", "image_path"]
    codes = [pd.factorize(columns[name], sort=True)[0] for name in keys]
    if pd.DataFrame(dict(zip(keys, codes, strict=True))).duplicated().any():
        others = sorted(columns.keys() - set(keys))
        codes += [pd.factorize(columns[name], sort=True)[0] for name in others]
    return np.lexsort(codes[::-1])


def _add_origin(columns: dict[str, npt.NDArray[Any]]) -> None:
    """Follow augmented images to what they were made from, over all splits."""
    parent_id = columns["parent_id"]
    code, names = pd.factorize(columns["id"])
    row = np.flatnonzero(~pd.Index(code).duplicated())  # first row of each id
    source = parent_id[row]
    # A row without an id is the origin of nothing
    parent = np.where(source == "", -1, pd.Index(names).get_indexer(pd.Index(source)))
    root = _roots(parent)[code]
    origin = row[root]
    outside = (parent_id[origin] != "") & (parent[root] < 0)  # made from what no split has
    columns["origin"] = np.where(outside, parent_id[origin], np.asarray(names, object)[root])
    for column in _NAMES:
        own = columns[column]
        columns[column] = np.where((own == "") & (parent_id != ""), own[origin], own)


def _roots(parent: Indices) -> Indices:
    """Follow each of N parents (-1: none) to the end of its chain, or the least of its circle."""
    root = np.where(parent >= 0, parent, np.arange(len(parent)))
    least = np.arange(len(parent))
    for _ in range(len(parent).bit_length()):  # each turn doubles the steps taken
        least = np.minimum(least, least[root])
        root = root[root]
    return np.where(parent[root] >= 0, least[root], root)


def row_problems(splits: Splits) -> Iterator[tuple[str, ...]]:
    """Yield split, id, image path, kind, reason and detail of each problem of the rows."""
    for number, name in enumerate(splits.names):
        if not len(splits.rows_of(number)):
            yield name, "", "", "empty split", "the split has no images", ""
    ids, age, label = splits["id"], splits["age"], splits["label"]
    for row in np.flatnonzero(ids == "").tolist():
        yield (*splits.where(row), "no id", "the row has no id", "")
    keys = pd.DataFrame({"split": splits["split"], "id": pd.factorize(ids)[0]})
    counts = keys.groupby(["split", "id"])["id"].transform("size").to_numpy()
    first = ~keys.duplicated().to_numpy() & (ids != "")
    for row in np.flatnonzero((counts > 1) & first).tolist():
        reason = "the id occurs more than once in its split"
        yield (*splits.where(row), "duplicate id", reason, f"{counts[row]:,} rows")
    for row in np.flatnonzero((age < AGES[0]) | (age > AGES[1])).tolist():
        reason = f"age outside {AGES[0]:g}..{AGES[1]:g} years"
        yield (*splits.where(row), "impossible value", reason, f"{age[row]:g}")
    last = len(splits.label_space) - 1
    for row in np.flatnonzero(label > last).tolist():
        reason = f"label outside 0..{last}"
        yield (*splits.where(row), "impossible value", reason, str(label[row]))
    yield from _patient_problems(splits)


def _patient_problems(splits: Splits) -> Iterator[tuple[str, ...]]:
    known = np.flatnonzero(splits.known("lesion") & splits.known("patient"))
    lesion, patient = splits["lesion"][known], splits["patient"][known]
    rows = pd.DataFrame({"row": known, "lesion": lesion, "patient": patient})
    several = rows[rows.groupby("lesion")["patient"].transform("nunique") > 1]
    listed = sorted(zip(several["lesion"], several["patient"], several["row"], strict=True))
    for name, group in groupby(listed, key=itemgetter(0)):
        _, patients, numbers = zip(*group, strict=True)
        detail = f"{name}: {', '.join(dict.fromkeys(patients))}"
        where = splits.where(min(numbers))
        yield (*where, "multiple patients", "one lesion of multiple patients", detail)

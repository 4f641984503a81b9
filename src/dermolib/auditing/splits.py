"""What is audited, as one table: the rows of all sides under each other, in one fixed order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, expected, listed
from dermolib.auditing.words import plain
from dermolib.datasets.identifiers import MISSING, as_text, clean_name
from dermolib.labels import DIAGNOSES

__all__ = ["AGES", "METADATA", "UNKNOWN", "Sides", "class_name", "gather"]

METADATA: tuple[str, ...] = ("age", "sex", "site", "lesion", "patient", "year")
"""Columns whose gaps are counted."""

AGES = 0.0, 120.0
"""Least and largest age in years that a person can have."""

UNKNOWN = -1
"""Label of a row that has none."""

_TEXTS = (
    "id", "lesion", "patient", "diagnosis", "sex", "site", "source", "parent_id", "image_path",
)  # fmt: skip
_NAMES = ("lesion", "patient")
_NUMBERS = ("age", "year")
_LARGEST_LABEL = 1_000_000  # far above any vocabulary, and safe as a whole number
_WHAT = "an ISICDataset, a table, or a mapping of names to them"
_READ = "Read it with `dermolib.datasets.read_table`, which gives the columns these names."


@dataclass(frozen=True)
class Sides:
    """Rows of all sides, sorted by side and id, so that the order of a table changes nothing.

    Attributes:
        names: Names of the sides.
        columns: Columns (N,) by name: ``side`` (place in `names`), ``id``, ``label`` (-1 where
            unknown), ``diagnosis``, ``lesion``, ``patient``, ``age``, ``sex``, ``site``, ``year``,
            ``source``, ``parent_id``, ``image_path`` and ``origin``: the id of the image that the
            image was made from over all steps, or its own; of images made from each other, the
            first of them. An augmented image has the lesion and the patient of its origin. Texts
            are objects, empty where unknown, without white space around them (paths keep it). A
            whole number is written without a point, as a lesion or patient also where it is a text
            such as ``"1.0"``, since a gap makes a column of numbers one of floats. A lesion,
            patient or diagnosis such as ``"nan"``, ``"N/A"`` or ``"unknown"`` is not known.
        given: Columns that each side came with.
    """

    names: tuple[str, ...]
    columns: dict[str, npt.NDArray[Any]]
    given: tuple[frozenset[str], ...]

    @property
    def side(self) -> npt.NDArray[np.int64]:
        """Side of each row (N,)."""
        return self.columns["side"]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column (N,)."""
        return self.columns[name]

    def known(self, name: str) -> npt.NDArray[np.bool_]:
        """Tell which rows have a value in a column (N,)."""
        values = self.columns[name]
        if name == "label":
            return np.asarray(values != UNKNOWN)
        return np.asarray(values != "" if name in _TEXTS else ~np.isnan(values))

    def rows_of(self, side: int) -> Indices:
        """Return the numbers of the rows of a side."""
        return np.flatnonzero(self.side == side)

    def sizes(self) -> list[int]:
        """Count the rows of each side."""
        return [int(count) for count in np.bincount(self.side, minlength=len(self.names))]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.side)


def class_name(label: int) -> str:
    """Give the code of a label, such as ``"MEL"``; the number of one that the vocabulary lacks."""
    return DIAGNOSES[label].code if 0 <= label < len(DIAGNOSES) else str(label)


def gather(train: Any, test: Any) -> Sides:
    """Put the rows of all sides under each other.

    Args:
        train: Dataset, table, or a mapping of names to them.
        test: The second side; None where there is one only, or a mapping.

    Returns:
        All rows.

    Raises:
        TypeError: Something is no dataset and no table, or a column has values of another kind.
        ValueError: A table lacks the column ``id``, or a mapping has no side.
    """
    given = _named(train, test)
    tables = [_read(name, data) for name, data in given.items()]
    parts = [_normal(name, table) for name, table in zip(given, tables, strict=True)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["side"] = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    order = _order(columns)
    columns = {name: values[order] for name, values in columns.items()}
    _add_origin(columns)
    return Sides(
        names=tuple(given),
        columns=columns,
        given=tuple(frozenset(map(str, table.columns)) for table in tables),
    )


def _order(columns: dict[str, npt.NDArray[Any]]) -> Indices:
    """Sort rows by side, id and file; rows that agree in these, by all else that they say."""
    keys = ["side", "id", "image_path"]
    codes = [pd.factorize(columns[name], sort=True)[0] for name in keys]
    if pd.DataFrame(dict(zip(keys, codes, strict=True))).duplicated().any():
        others = sorted(columns.keys() - set(keys))
        codes += [pd.factorize(columns[name], sort=True)[0] for name in others]
    return np.lexsort(codes[::-1])


def _named(train: Any, test: Any) -> dict[str, Any]:
    if not isinstance(train, Mapping):
        return {"train": train} if test is None else {"train": train, "test": test}
    if test is not None:
        remedy = "Name all sides in the mapping."
        raise TypeError(expected("test", "None beside a mapping", type(test).__name__, remedy))
    if not train:
        raise ValueError(expected("train", "a mapping with at least one side", "an empty one"))
    named = {str(name): data for name, data in train.items()}
    if len(named) < len(train):
        raise ValueError(expected("train", "a mapping of different names", "one twice"))
    return named


def _read(name: str, data: Any) -> pd.DataFrame:
    table = getattr(data, "table", data)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(expected(name, _WHAT, f"an object of type {type(data).__name__}", _READ))
    if "id" not in table.columns:
        got = f"the columns {listed(table.columns)}" if len(table.columns) else "no columns"
        raise ValueError(expected(name, "a table with a column `id`", got, _READ))
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(expected(name, "a table with each column once", f"{twice[0]!r} twice"))
    return table


def _normal(name: str, table: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, npt.NDArray[Any]] = {text: _texts(table, text) for text in _TEXTS}
    columns |= {number: _numbers(name, table, number) for number in _NUMBERS}
    labels = _numbers(name, table, "label")
    known = ~np.isnan(labels)
    wrong = known & ~((labels >= 0) & (labels <= _LARGEST_LABEL) & (labels == np.rint(labels)))
    if wrong.any():
        what = "a table whose labels are whole numbers of 0 or more, or missing"
        row = int(wrong.argmax())
        raise ValueError(expected(name, what, f"{labels[row]:g} in row {row}", _READ))
    columns["label"] = np.where(known, labels, UNKNOWN).astype(np.int64)
    return columns


def _texts(table: pd.DataFrame, column: str) -> npt.NDArray[np.object_]:
    if column not in table.columns:
        return np.full(len(table), "", dtype=object)
    values = table[column].to_numpy(object)
    filled = np.where(pd.isna(values), "", values)
    if column in _NAMES:
        return np.array([clean_name(text) for text in filled], dtype=object)
    texts = [text if type(text) is str else as_text(text) for text in filled]
    if column != "image_path":
        texts = [text.strip() for text in texts]
    if column == "diagnosis":  # a placeholder would be at odds with a code
        texts = ["" if text.lower() in MISSING else text for text in texts]
    return np.array(texts, dtype=object)


def _numbers(name: str, table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    if column not in table.columns:
        return np.full(len(table), np.nan)
    values = table[column]
    what = f"a table whose column `{column}` has numbers"
    if values.dtype.kind in "mM":  # which pandas would turn into nanoseconds
        remedy = "Take the year with `.dt.year`." if column == "year" else _READ
        raise TypeError(expected(name, what, "dates or times", remedy))
    try:
        return pd.to_numeric(values, errors="raise").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise TypeError(expected(name, what, _first_wrong(values), _READ)) from None


def _first_wrong(values: pd.Series) -> str:
    """Name the first value that is no number, and its row from 0 on."""
    for row, value in enumerate(values.tolist()):
        try:
            float(0 if pd.api.types.is_scalar(value) and pd.isna(value) else value)
        except (TypeError, ValueError):
            return f"{plain(repr(value))} in row {row}"
    return "others"


def _add_origin(columns: dict[str, npt.NDArray[Any]]) -> None:
    """Follow augmented images to what they were made from, over all sides."""
    parent_id = columns["parent_id"]
    code, names = pd.factorize(columns["id"])
    row = np.flatnonzero(~pd.Index(code).duplicated())  # the first of each id, in their order
    source = parent_id[row]
    # A row without an id is the origin of nothing
    parent = np.where(source == "", -1, pd.Index(names).get_indexer(pd.Index(source)))
    root = _roots(parent)[code]
    place = row[root]
    outside = (parent_id[place] != "") & (parent[root] < 0)  # made from what no side has
    columns["origin"] = np.where(outside, parent_id[place], np.asarray(names, object)[root])
    for column in _NAMES:
        own = columns[column]
        columns[column] = np.where((own == "") & (parent_id != ""), own[place], own)


def _roots(parent: Indices) -> Indices:
    """Follow each number to the last of its chain, or to the least of the circle it ends in.

    Args:
        parent: What each number comes from (N,), -1 for nothing.

    Returns:
        Numbers (N,).
    """
    root = np.where(parent >= 0, parent, np.arange(len(parent)))
    least = np.arange(len(parent))
    for _ in range(len(parent).bit_length()):  # each turn doubles the steps taken
        least = np.minimum(least, least[root])
        root = root[root]
    return np.where(parent[root] >= 0, least[root], root)

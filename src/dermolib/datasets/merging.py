"""Tables of several collections merged into one row per image, with their disagreements."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, require
from dermolib.datasets.groups import connected_groups
from dermolib.datasets.tables import read_table
from dermolib.labels import LabelSpace, label_space_of

__all__ = ["Merged", "merge_tables"]

# Each collection has its own words for these, so other words are no contradiction
_NOT_COMPARED = ("id", "diagnosis", "year", "source", "image_path", "mask_path")
_GROUPS = ("lesion", "patient")
_FILES = ("image_path", "mask_path")
_TYPES = {"label": "Int64", "age": "float64", "year": "Int16", "malignant": "boolean"}
_MAY_BE = {"akiec": ("ak", "sccis")}  # what a code that may be several may stand for


class Merged(NamedTuple):
    """A merged table and what its sources disagree on."""

    table: pd.DataFrame
    """One row for each image."""
    conflicts: pd.DataFrame
    """A row for each value that was overruled, with the columns ``id``, ``column``, ``kept``,
    ``kept_source``, ``other`` and ``other_source``."""

    def __repr__(self) -> str:
        """Count the rows and the conflicts."""
        return f"Merged({len(self.table):,} rows, {len(self.conflicts):,} conflicts)"


def merge_tables(
    tables: Sequence[pd.DataFrame],
    *,
    label_space: str | LabelSpace | Sequence[str] | None = None,
) -> Merged:
    """Merge tables of readers: rows of one id become one.

    Each value comes from the first table that knows it, so that images of HAM10000 whose code is
    ambiguous get the diagnosis of ISIC 2019. Different values of label, lesion, patient, age, sex
    or site are reported as conflicts; collections may name one site differently. Lesions that share
    an image become one, and so do patients: all their rows get the first name, so that a split
    keeps them together.

    Args:
        tables: Tables of `dermolib.datasets.read_table` or of the readers, the most trusted first.
        label_space: Classes of the labels, see `dermolib.datasets.read_table`; may be left out
            where all tables have the same.

    Returns:
        Table with the rows in the order in which their ids first appear, and the conflicts.

    Raises:
        TypeError: A table is not a data frame.
        ValueError: There is no table, one is invalid, or they have labels of different spaces.

    Examples:
        >>> first = pd.DataFrame({"id": ["A"], "age": [np.nan], "sex": ["male"], "source": ["x"]})
        >>> second = pd.DataFrame({"id": ["A"], "age": [40.0], "sex": ["female"], "source": ["y"]})
        >>> table, conflicts = merge_tables([first, second])
        >>> table[["id", "age", "sex", "source"]].to_numpy().tolist()
        [['A', 40.0, 'male', 'x']]
        >>> conflicts[["id", "column", "kept", "other"]].to_numpy().tolist()
        [['A', 'sex', 'male', 'female']]
    """
    read = _read_tables(tables, label_space)
    space = label_space_of(read[0])
    names = list(dict.fromkeys(name for table in read for name in table.columns))
    rows = {name: _stacked(read, name) for name in names}
    groups, ids = pd.factorize(rows["id"].to_numpy(object))
    kept, found = {}, []
    for name, values in rows.items():
        first = _first_known(groups, len(ids), values)
        kept[name] = values.iloc[first].reset_index(drop=True)
        if name not in _NOT_COMPARED:
            found.append(_differences(name, first[groups], rows))
    table = pd.DataFrame(kept)
    table.attrs["label_space"] = space.to_dict()
    for name in _GROUPS:
        table[name] = _joined(table[name].to_numpy(object), rows[name].to_numpy(object), groups)
    if "label" in table:
        found.append(_impossible(table, rows, groups, space))
        if not table["label"].isna().any():
            table["label"] = table["label"].astype(np.int64)
    return Merged(table, pd.concat(found, ignore_index=True))


def _read_tables(tables: Any, label_space: Any) -> list[pd.DataFrame]:
    several = isinstance(tables, Sequence) and len(tables) > 0
    require(several, "tables", "a list of one table or more", type(tables).__name__)
    read = []
    for place, table in enumerate(tables):
        name, got = f"tables[{place}]", f"an object of type {type(table).__name__}"
        hint = "Pass the `table` of a dataset." if hasattr(table, "table") else ""
        require(isinstance(table, pd.DataFrame), name, "a data frame", got, hint, error=TypeError)
        rows = read_table(table, label_space=label_space, name=name)
        for name in _FILES:
            if name in table:
                rows[name] = np.where(table[name].isna(), "", table[name].to_numpy(object))
        read.append(rows)
    spaces = list(dict.fromkeys(map(label_space_of, read)))
    hint = 'Say which is wanted: `label_space="..."`.'
    what, got = "tables of one label space", " and ".join(map(str, spaces))
    require(len(spaces) == 1, "tables", what, got, hint)
    return read


def _stacked(tables: Sequence[pd.DataFrame], name: str) -> "pd.Series[Any]":
    """Stack a column of all tables; where a table does not have it, its values are missing."""
    kind: Any = _TYPES.get(name, object)
    nothing = "" if kind is object else pd.NA
    parts: list[Any] = [
        table[name].astype(kind) if name in table else pd.Series([nothing] * len(table), dtype=kind)
        for table in tables
    ]
    stacked: pd.Series[Any] = pd.concat(parts, ignore_index=True)
    return stacked


def _known(values: "pd.Series[Any]") -> npt.NDArray[np.bool_]:
    known = ~values.isna().to_numpy()
    if values.dtype == object:
        known &= values.to_numpy(object) != ""
    return known


def _first_known(groups: Indices, number: int, values: "pd.Series[Any]") -> Indices:
    """Find the first row of each group that knows its value, else its first row."""
    rows = np.arange(len(groups))
    rank = np.where(_known(values), rows, rows + len(groups))
    first = np.full(number, 2 * len(groups))
    np.minimum.at(first, groups, rank)
    return first % len(groups)


def _joined(
    kept: npt.NDArray[np.object_], all_rows: npt.NDArray[np.object_], groups: Indices
) -> npt.NDArray[np.object_]:
    """Give one name to all names that one image has in different tables."""
    codes, names = pd.factorize(np.concatenate([kept, all_rows]))
    own, others = codes[: len(kept)][groups], codes[len(kept) :]
    joined = (names[own] != "") & (names[others] != "") & (own != others)
    if not joined.any():
        return kept
    part = connected_groups(len(names), np.stack([own[joined], others[joined]], axis=1))
    first = np.unique(part, return_index=True)[1]  # names stand in the order of their rows
    return names[first[part]][codes[: len(kept)]]


def _impossible(
    table: pd.DataFrame, rows: dict[str, "pd.Series[Any]"], groups: Indices, space: LabelSpace
) -> pd.DataFrame:
    """Find codes that may be several diagnoses, but not the one that another table gives."""
    code = rows["diagnosis"].str.lower()
    label = table["label"].to_numpy(np.float64, na_value=np.nan)[groups]
    odd = np.zeros(len(groups), np.bool_)
    for name, finer in _MAY_BE.items():
        labels = [place for place in map(space.place, (name, *finer)) if place is not None]
        odd |= (code == name).to_numpy() & ~np.isnan(label) & ~np.isin(label, labels)
    first = _first_known(groups, len(table), rows["label"])
    kept = table["label"].iloc[groups].reset_index(drop=True)
    return _conflicts("label", kept, rows["diagnosis"], np.flatnonzero(odd), first[groups], rows)


def _differences(name: str, kept: Indices, rows: dict[str, "pd.Series[Any]"]) -> pd.DataFrame:
    """Find the known values of a column that differ from the kept ones."""
    values = rows[name]
    own = values.iloc[kept].reset_index(drop=True)
    differ = _known(values) & (own != values).fillna(value=False).to_numpy(np.bool_)
    return _conflicts(name, own, values, np.flatnonzero(differ), kept, rows)


def _conflicts(
    name: str,
    kept: "pd.Series[Any]",
    other: "pd.Series[Any]",
    found: Indices,
    kept_rows: Indices,
    rows: dict[str, "pd.Series[Any]"],
) -> pd.DataFrame:
    source = rows["source"].to_numpy(object)
    columns = {
        "id": rows["id"].iloc[found].to_numpy(object),
        "column": name,
        "kept": kept.iloc[found].to_numpy(object),
        "kept_source": source[kept_rows[found]],
        "other": other.iloc[found].to_numpy(object),
        "other_source": source[found],
    }
    return pd.DataFrame(columns, columns=list(columns), dtype=object)

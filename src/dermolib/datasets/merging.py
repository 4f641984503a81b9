"""Tables of several collections to one, an image once, and what they disagree on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._checks import expected, listed

__all__ = ["Merged", "merge_tables"]

# Collections name these in their own words, so that other words are no contradiction
_NOT_COMPARED = ("id", "diagnosis", "year", "source", "image_path", "mask_path")


class Merged(NamedTuple):
    """One table of several, and what they disagree on."""

    table: pd.DataFrame
    """One row for each image."""
    conflicts: pd.DataFrame
    """A row for each value that was left out, with the columns ``id``, ``column``, ``kept``,
    ``kept_source``, ``other`` and ``other_source``."""


def merge_tables(tables: Sequence[pd.DataFrame]) -> Merged:
    """Merge tables of readers: rows of one id become one.

    Of each column the first table that knows a value gives it, so that HAM10000's images whose code
    does not tell the diagnosis get that of ISIC 2019. Tables that know different values of label,
    lesion, patient, age, sex or site are told in the conflicts; sites in the words of two
    collections may differ without a contradiction.

    Args:
        tables: Tables of the readers, the most trusted first.

    Returns:
        Table with the rows in the order in which their ids first appear, and the conflicts.

    Raises:
        TypeError: A table is no data frame with the column ``id``.
        ValueError: There is no table.

    Examples:
        >>> first = pd.DataFrame({"id": ["A"], "age": [np.nan], "sex": ["male"], "source": ["x"]})
        >>> second = pd.DataFrame({"id": ["A"], "age": [40.0], "sex": ["female"], "source": ["y"]})
        >>> table, conflicts = merge_tables([first, second])
        >>> table.to_numpy().tolist(), conflicts.to_numpy().tolist()
        ([['A', 40.0, 'male', 'x']], [['A', 'sex', 'male', 'x', 'female', 'y']])
    """
    _check_tables(tables)
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    rows = {name: _stacked(tables, name) for name in names}
    groups, ids = pd.factorize(rows["id"].to_numpy(object))
    kept, conflicts = {}, []
    source = rows.get("source", pd.Series([""] * len(groups), dtype=object)).to_numpy(object)
    for name, values in rows.items():
        first = _first_known(groups, len(ids), values)
        kept[name] = values.iloc[first].reset_index(drop=True)
        if name not in _NOT_COMPARED:
            conflicts.append(_conflicts(name, values, first[groups], rows["id"], source))
    found = pd.concat(conflicts, ignore_index=True) if conflicts else _conflict_table({})
    table = pd.DataFrame(kept)
    if "label" in table and not table["label"].isna().any():
        table["label"] = table["label"].astype(np.int64)
    return Merged(table, found)


def _check_tables(tables: Any) -> None:
    if isinstance(tables, pd.DataFrame) or not len(tables):
        raise ValueError(expected("tables", "a list of one table or more", type(tables).__name__))
    for place, table in enumerate(tables):
        if not isinstance(table, pd.DataFrame) or "id" not in table:
            got = f"columns {listed(getattr(table, 'columns', ()))}"
            raise TypeError(expected(f"tables[{place}]", "a table with a column `id`", got))


def _stacked(tables: Sequence[pd.DataFrame], name: str) -> "pd.Series[Any]":
    """Stack a column of all tables; where one lacks it, its rows know nothing."""
    known = next(table[name] for table in tables if name in table)
    text = not pd.api.types.is_numeric_dtype(known)
    parts: list[Any] = [
        table[name].astype(_type_of(name, known))
        if name in table
        else pd.Series(
            [""] * len(table) if text else [pd.NA] * len(table), dtype=_type_of(name, known)
        )
        for table in tables
    ]
    stacked: pd.Series[Any] = pd.concat(parts, ignore_index=True)
    return stacked


def _type_of(name: str, known: "pd.Series[Any]") -> Any:
    """Choose a type that can say that a value is not known."""
    if name == "label":
        return "Int64"
    if pd.api.types.is_bool_dtype(known.dtype):
        return "boolean"
    return known.dtype


def _known(values: "pd.Series[Any]") -> npt.NDArray[np.bool_]:
    known = ~values.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(values):
        known &= values.to_numpy(object) != ""
    return known


def _first_known(
    groups: npt.NDArray[np.intp], number: int, values: "pd.Series[Any]"
) -> npt.NDArray[np.intp]:
    """Find the first row of each group that knows its value, else its first row."""
    rows = np.arange(len(groups))
    rank = np.where(_known(values), rows, rows + len(groups))
    first = np.full(number, 2 * len(groups))
    np.minimum.at(first, groups, rank)
    return first % len(groups) if len(groups) else first


def _conflicts(
    name: str,
    values: "pd.Series[Any]",
    kept: npt.NDArray[np.intp],
    ids: "pd.Series[Any]",
    source: npt.NDArray[np.object_],
) -> pd.DataFrame:
    own, other = values.iloc[kept].reset_index(drop=True), values
    differ = _known(values) & (own != other).fillna(value=False).to_numpy(np.bool_)
    rows = np.flatnonzero(differ)
    return _conflict_table(
        {
            "id": ids.iloc[rows].to_numpy(object),
            "column": name,
            "kept": own.iloc[rows].to_numpy(object),
            "kept_source": source[kept[rows]],
            "other": other.iloc[rows].to_numpy(object),
            "other_source": source[rows],
        }
    )


def _conflict_table(columns: dict[str, Any]) -> pd.DataFrame:
    names = ("id", "column", "kept", "kept_source", "other", "other_source")
    return pd.DataFrame(columns, columns=list(names), dtype=object)

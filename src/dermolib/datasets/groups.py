"""Which rows belong together: images of one lesion, of one patient, or made from one another."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermolib._validation import Indices, as_path, expected, listed, require
from dermolib.datasets.columns import Columns, Texts, as_text, clean_name, read_csv, read_frame

__all__ = [
    "connected_groups",
    "group_names",
    "join_lesions",
    "join_pairs",
    "joined_groups",
    "row_pairs",
]

_ENDS = (("first_id", "second_id"), ("first", "second"))  # in a report, `first` is a split
_GROUPS = (("first_lesion", "second_lesion"), ("first_group", "second_group"))
_ROWS = ("first_row", "second_row")
_ONE_LESION = ("recapture", "near", "identical")  # kinds of pairs of images of one lesion
_NEIGHBORS = "shared skin"  # kind of pairs of one patient, not of one lesion


def group_names(table: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Name the group of each row: its patient, else its lesion, else the image itself.

    Rows are of one group where they share a patient or a lesion, where one was made from the other,
    or where a chain of such rows joins them.

    Args:
        table: Table with the columns ``id`` and, where known, ``lesion``, ``patient`` and
            ``parent_id`` of `dermolib.datasets.read_table`.

    Returns:
        Names (N,). A group has the patient of its first row that has one, else the lesion of its
        first row that has one, else the id of its first row or of that row's parent.
    """
    texts = _texts(table)
    groups = joined_groups(table)
    names = np.empty(int(groups.max(initial=-1)) + 1, dtype=object)
    origin = np.where(texts["parent_id"] == "", texts["id"], texts["parent_id"])
    for values in (origin, texts["lesion"], texts["patient"]):
        rows = np.flatnonzero(values != "")[::-1]  # so that the first of each group comes last
        names[groups[rows]] = values[rows]
    return names[groups]


def join_pairs(table: pd.DataFrame, pairs: Any, name: str) -> Texts:
    """Name the lesion (N,) of each row, where pairs that `row_pairs` takes each show one.

    Lesions that are joined take the name of them that comes first in the order of text, which does
    not depend on the order of the rows; where none has a name, the first of their ids. All others
    stay as they are. Where the pairs name the lesions of their images, those of images that are not
    in the table count as well, so that parts of a collection get the names of the whole.
    """
    columns, name = _read_pairs(pairs, name)
    found = _row_pairs(columns, pairs, table, name, lesions=True)
    if columns is None or "first_lesion" not in columns:
        return join_lesions(table, found)
    own = table[[column for column in ("id", "parent_id", "lesion") if column in table]]
    whole = pd.concat([own, _other_images(columns, table)], ignore_index=True)
    found = _row_pairs(columns, pairs, whole, name, lesions=True)
    return join_lesions(whole, found)[: len(table)]


def _other_images(columns: Columns, table: pd.DataFrame) -> pd.DataFrame:
    """List the images that pairs name with their lesions, and that are not in the table."""
    ends = [
        pd.DataFrame({"id": columns[end], "lesion": columns[f"{end}_lesion"]})
        for end in ("first", "second")
    ]
    images = pd.concat(ends).drop_duplicates("id")
    return images[~images["id"].isin(table["id"].map(as_text))]


def join_lesions(table: pd.DataFrame, pairs: Indices) -> Texts:
    """Name the lesion (N,) of each row as `join_pairs`, where pairs of rows (P, 2) show one."""
    names = _texts(table)["lesion"]
    own = pd.DataFrame(
        {name: table[name] for name in ("id", "parent_id", "lesion") if name in table}
    )
    published, joined = joined_groups(own), joined_groups(own, pairs)
    parts = np.unique(np.stack([joined, published]), axis=1)[0]
    torn = np.bincount(parts, minlength=len(table))[joined] > 1
    rows = pd.DataFrame({"joined": joined, "name": names, "id": table["id"].map(as_text)})[torn]
    first = rows.groupby("joined")["id"].min()
    first.update(rows[rows["name"] != ""].groupby("joined")["name"].min())
    made = names.copy()
    made[torn] = first.loc[rows["joined"]]
    return made


def row_pairs(pairs: Any, table: pd.DataFrame, name: str, *, lesions: bool = False) -> Indices:
    """Find the rows (P, 2) of a table that pairs name by row numbers or ids.

    Args:
        pairs: Row numbers (P, 2); a data frame or a CSV file with the ids ``first_id`` and
            ``second_id``, or ``first`` and ``second``, or with the row numbers ``first_row`` and
            ``second_row`` for a table without ids.
        table: Rows, with the column ``id`` where pairs are named by it. Ids that it does not have
            join those that it has.
        name: Name of the pairs in errors.
        lesions: Whether to leave out the pairs that show one patient but two lesions.

    Returns:
        Pairs that join the same rows as those given.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: Ids are given for rows without ids.
        ValueError: There are other columns, no id is one of the table, or row numbers are none.
    """
    columns, name = _read_pairs(pairs, name)
    return _row_pairs(columns, pairs, table, name, lesions=lesions)


def _read_pairs(pairs: Any, name: str) -> tuple[Columns | None, str]:
    """Read pairs that are named by ids, None for row numbers; and name them for errors."""
    if isinstance(pairs, (str, bytes, os.PathLike)):
        path = as_path(pairs, name)
        return read_csv(path, lambda header: _columns(header, str(path))), str(path)
    if not isinstance(pairs, pd.DataFrame):
        return None, name
    return read_frame(pairs, lambda header: _columns(header, name)), name


def _row_pairs(
    columns: Columns | None, pairs: Any, table: pd.DataFrame, name: str, *, lesions: bool
) -> Indices:
    """Find the rows (P, 2) of pairs as `_read_pairs` gives them."""
    if columns is None:
        return _pairs_by_row(pairs, len(table), name)
    by_row = isinstance(pairs, pd.DataFrame) and _ROWS[0] in pairs
    if by_row and ("id" not in table or _are_rows(columns, pairs)):
        kept = ~_neighbors(columns) if lesions else slice(None)
        return _pairs_by_row(pairs[[*_ROWS]].to_numpy()[kept], len(table), name)
    return _pairs_by_id(columns, table, name, lesions=lesions)


def _columns(header: Sequence[str], name: str) -> dict[str, int]:
    """Find the places of both ids, and of the kind where there is one."""
    texts = [text.strip().lower() for text in header]
    found = next((ends for ends in _ENDS if {*ends} <= {*texts}), None)
    what = "pairs with the columns `first` and `second`"
    hint = "A table of `find_recaptures` has them."
    require(found, name, what, f"the columns {listed(header)}", hint)
    places = dict(zip(("first", "second"), map(texts.index, found or ()), strict=True))
    groups = next((ends for ends in _GROUPS if {*ends} <= {*texts}), ())
    places |= {
        f"{end}_lesion": texts.index(group) for end, group in zip(places, groups, strict=False)
    }
    return places | ({"kind": texts.index("kind")} if "kind" in texts else {})


def _are_rows(columns: Columns, pairs: pd.DataFrame) -> bool:
    """Tell whether images were named by row numbers, since they had no ids."""
    ends = ("first", "second")
    return all(
        (columns[end] == pairs[row].map(as_text).to_numpy(object)).all()
        for end, row in zip(ends, _ROWS, strict=True)
    )


def _neighbors(columns: Columns) -> npt.NDArray[np.bool_]:
    """Flag the pairs (P,) of neighboring lesions of one patient."""
    kinds = columns.get("kind", np.full(len(columns.rows), "", dtype=object))
    found = [kind.strip().lower() for kind in kinds]
    others = {*found} - {"", _NEIGHBORS, *_ONE_LESION}
    what = f"{', '.join(_ONE_LESION)} or {_NEIGHBORS}"
    require(not others, "kind", what, listed(sorted(others)))
    return np.array([kind == _NEIGHBORS for kind in found], np.bool_)


def _pairs_by_id(columns: Columns, table: pd.DataFrame, name: str, *, lesions: bool) -> Indices:
    """Pair the rows whose ids pairs connect, each with the first of its group."""
    require("id" in table, name, "row numbers, since the rows have no ids", "ids", error=TypeError)
    kept = ~_neighbors(columns) if lesions else np.ones(len(columns.rows), np.bool_)
    ends = [
        np.array([text.strip() for text in columns[end]], object) for end in ("first", "second")
    ]
    empty = columns.rows[(ends[0] == "") | (ends[1] == "")].tolist()
    require(not empty, name, "pairs of two ids each", f"an empty one in row {listed(empty)}")
    codes, ids = pd.factorize(np.concatenate(ends))
    known = pd.Index(ids).get_indexer(table["id"].map(lambda value: as_text(value).strip()))
    what, hint = "pairs of ids of the table", "An id is the name of a file without its extension."
    got = f"only other ids ({listed(ids)})"
    require(not len(ids) or (known >= 0).any(), name, what, got, hint)
    group = connected_groups(len(ids), codes.reshape(2, -1).T[kept])
    rows = np.flatnonzero(known >= 0)
    groups = group[known[rows]]
    first = pd.Series(rows).groupby(groups).transform("first").to_numpy(np.intp)
    return np.asarray(np.stack([first, rows], axis=1)[first != rows])


def _pairs_by_row(pairs: Any, number: int, name: str) -> Indices:
    what = f"pairs (P, 2) of row numbers in 0..{number - 1}"
    try:
        found = np.asarray(pairs)
    except ValueError as error:
        raise ValueError(expected(name, what, error)) from error
    if found.size == 0:
        return np.empty((0, 2), np.intp)
    whole = np.issubdtype(found.dtype, np.integer) and found.ndim == 2 and found.shape[1] == 2
    fits = whole and found.min() >= 0 and found.max() < number
    hint = "Give pairs of ids as a table with the columns `first` and `second`."
    require(fits, name, what, f"{found.dtype} of shape {found.shape}", hint)
    return found.astype(np.intp)


def joined_groups(table: pd.DataFrame, pairs: Indices | None = None) -> Indices:
    """Number the groups (N,) of `group_names` from 0, joined further by pairs of rows (P, 2)."""
    number = len(table)
    texts = _texts(table)
    edges, nodes = [np.empty((2, 0), np.intp) if pairs is None else np.asarray(pairs).T], number
    for columns in ([texts["id"], texts["parent_id"]], [texts["lesion"]], [texts["patient"]]):
        codes, names = pd.factorize(np.concatenate(columns))
        rows = np.tile(np.arange(number), len(columns))
        known = names[codes] != ""
        edges.append(np.stack([rows[known], nodes + codes[known]]))
        nodes += len(names)
    return connected_groups(nodes, np.concatenate(edges, axis=1).T)[:number]


def connected_groups(count: int, pairs: Indices) -> Indices:
    """Number the groups of `count` rows that pairs (P, 2) connect, in the order of first rows."""
    links = (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1]))
    found = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return pd.factorize(found)[0]


def _texts(table: pd.DataFrame) -> Mapping[str, Texts]:
    """Read the columns that join rows as clean names; an id is always known."""
    texts = {}
    for name in ("id", "lesion", "patient", "parent_id"):
        texts[name] = np.full(len(table), "", dtype=object)
        if name in table:
            codes, values = pd.factorize(table[name].astype(object))
            names = [*map(str if name == "id" else clean_name, values), ""]  # the last is missing
            texts[name] = np.array(names, dtype=object)[codes]
    return texts

"""Which rows belong together: images of one lesion, of one patient, or made from one another."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermolib._validation import Indices
from dermolib.datasets.columns import Texts, clean_name

__all__ = ["connected_groups", "group_names", "joined_groups"]


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

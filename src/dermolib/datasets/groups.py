"""Which rows belong together: images of one lesion, of one patient, or made from one another."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermolib._validation import Indices
from dermolib.datasets.identifiers import clean_name

__all__ = ["connected_groups", "group_names", "joined_groups"]

_READ = ("id", "lesion", "patient", "parent_id")


def group_names(table: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Name the group of each row: its patient, else its lesion, else the image itself.

    Rows are of one group where they share a patient or a lesion, where one was made from the other,
    or where a chain of such rows joins them.

    Args:
        table: Table with the columns ``id`` and, where known, ``lesion``, ``patient`` and
            ``parent_id`` of `dermolib.datasets.read_table`.

    Returns:
        Names (N,). A group has the patient of its first row that has one, else the lesion of its
        first row that has one, else the id that its first row has or was made from.
    """
    texts = _texts(table)
    groups = joined_groups(table)
    count = int(groups.max(initial=-1)) + 1
    names = np.empty(count, dtype=object)
    origin = np.where(texts["parent_id"] == "", texts["id"], texts["parent_id"])
    for values in (origin, texts["lesion"], texts["patient"]):
        rows = np.flatnonzero(values != "")[::-1]  # so that the first of each group comes last
        names[groups[rows]] = values[rows]
    return names[groups]


def joined_groups(table: pd.DataFrame, pairs: Indices | None = None) -> Indices:
    """Number the groups of `group_names`, joined further by pairs of rows.

    Args:
        table: Table as in `group_names`.
        pairs: Row numbers (P, 2) of images that belong together, such as near-duplicates.

    Returns:
        Group of each row (N,), 0..G-1.
    """
    number = len(table)
    texts = _texts(table)
    edges, nodes = [], number
    origins = [texts["id"], texts["parent_id"]]
    for columns in (origins, [texts["lesion"]], [texts["patient"]]):
        codes, names = pd.factorize(np.concatenate(columns))
        rows = np.tile(np.arange(number), len(columns))
        known = names[codes] != ""
        edges.append(np.stack([rows[known], nodes + codes[known]]))
        nodes += len(names)
    if pairs is not None and len(pairs):
        edges.append(np.asarray(pairs).T)
    return connected_groups(nodes, np.concatenate(edges, axis=1).T)[:number]


def connected_groups(count: int, pairs: Indices) -> Indices:
    """Number the groups of `count` rows that pairs (P, 2) connect, in the order of first rows."""
    links = (np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1]))
    found = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return pd.factorize(found)[0]


def _texts(table: pd.DataFrame) -> Mapping[str, npt.NDArray[np.object_]]:
    texts = dict.fromkeys(_READ, np.full(len(table), "", dtype=object))
    for name in set(_READ) & set(table.columns):
        codes, values = pd.factorize(table[name].astype(object))
        # The last is what is missing; an id is never that
        clean = str if name == "id" else clean_name
        known = np.array([*map(clean, values), ""], dtype=object)
        texts[name] = known[codes]
    return texts

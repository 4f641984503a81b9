"""Corrected lesion ids: lesions that pairs of images show to be one get one name."""

from typing import Any

import pandas as pd

from dermolib._validation import PathLike, require
from dermolib.datasets.columns import clean_name
from dermolib.datasets.groups import join_pairs
from dermolib.io import write_table

__all__ = ["join_groups"]

_COLUMNS = ("ID", "PUBLISHED_LESION_ID", "LESION_ID")


def join_groups(
    table: Any, pairs: pd.DataFrame | PathLike, *, path: PathLike | None = None
) -> pd.DataFrame:
    """Give one lesion id to the lesions that pairs of images show to be one.

    Joined lesions take the first of their published ids in the order of text; where none of them
    has one, the first of the ids of their images. All other rows keep theirs. The result does not
    depend on the order of rows or pairs. A split of the table by `dermolib.grouped_split` then
    keeps each joined lesion in one split. Parts of a collection get the same ids as the whole where
    the pairs name the lesions of both images, in the columns ``first_group`` and ``second_group``
    or ``first_lesion`` and ``second_lesion``.

    Args:
        table: `dermolib.ISICDataset` or table with the column ``id`` and, where known, ``lesion``
            and ``parent_id``; not modified.
        pairs: Pairs of images of one lesion: the table of `find_recaptures`, ``recaptures`` of an
            `AuditReport`, or any data frame or CSV file with the ids of both in the columns
            ``first`` and ``second``, such as the pairs that a person confirmed on the page of
            the audit. A pair whose ``kind`` is ``"shared skin"`` shows two lesions of one patient,
            and joins nothing. An id that is not in the table joins the images paired with it.
        path: CSV file to write, one row for each image: ``ID``, ``PUBLISHED_LESION_ID`` and the
            corrected ``LESION_ID``, which `dermolib.datasets.read_table` reads.

    Returns:
        The table with the corrected column ``lesion``.

    Raises:
        DatasetNotFoundError: There is no such file of pairs.
        TypeError: `table` is neither a dataset nor a table, or its rows have no ids.
        ValueError: The pairs have other columns or an empty id, or none of their ids is in the
            table.

    Examples:
        >>> table = pd.DataFrame({"id": ["a", "b", "c", "d"], "lesion": ["L2", "L2", "L1", "L3"]})
        >>> pairs = pd.DataFrame({"first": ["b"], "second": ["c"]})
        >>> join_groups(table, pairs)["lesion"].tolist()
        ['L1', 'L1', 'L1', 'L3']
    """
    rows: pd.DataFrame = getattr(table, "table", table)
    got = f"an object of type {type(table).__name__}"
    fits = isinstance(rows, pd.DataFrame)
    require(fits, "table", "an ISICDataset or a table", got, error=TypeError)
    require("id" in rows, "table", "a table with the column `id`", "none", error=TypeError)
    lesions = join_pairs(rows, pairs, "pairs")
    if path is not None:
        published = rows["lesion"].map(clean_name) if "lesion" in rows else [""] * len(rows)
        write_table(path, _COLUMNS, zip(rows["id"], published, lesions, strict=True))
    return rows.assign(lesion=lesions)

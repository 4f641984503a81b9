"""Rows that are wrong by themselves or against others, and sides that have none."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dermolib.auditing.splits import AGES, Sides
from dermolib.labels import DIAGNOSES

__all__ = ["NO_IMAGE", "place", "row_problems"]

NO_IMAGE = "no image"
"""Kind of the problem of a side without rows."""


def row_problems(sides: Sides) -> Iterator[tuple[str, ...]]:
    """Find empty sides, rows without an id, repeated ids, impossible values, and odd patients.

    Args:
        sides: Rows of all sides.

    Yields:
        Side, id, path of the image, kind, reason and detail of each.
    """
    for name, size in zip(sides.names, sides.sizes(), strict=True):
        if not size:
            yield name, "", "", NO_IMAGE, "the side has no image", ""
    yield from _ids(sides)
    yield from _values(sides)
    yield from _patients(sides)


def place(sides: Sides, row: int) -> tuple[str, str, str]:
    """Name the side, the id and the path of a row."""
    ids, paths = sides.column("id"), sides.column("image_path")
    return sides.names[sides.side[row]], str(ids[row]), str(paths[row])


def _ids(sides: Sides) -> Iterator[tuple[str, ...]]:
    ids = sides.column("id")
    for row in np.flatnonzero(ids == "").tolist():
        yield (*place(sides, row), "no id", "the row has no id", "")
    keys = pd.DataFrame({"side": sides.side, "id": ids})
    counts = keys.groupby(["side", "id"])["id"].transform("size").to_numpy()
    first = ~keys.duplicated().to_numpy()
    reason = "the id stands several times on its side"
    for row in np.flatnonzero((counts > 1) & first & (ids != "")).tolist():
        yield (*place(sides, row), "repeated id", reason, f"{counts[row]:,} rows")


def _values(sides: Sides) -> Iterator[tuple[str, ...]]:
    age, label = sides.column("age"), sides.column("label")
    low, high = AGES
    reason = f"an age outside {low:g}..{high:g} years"
    for row in np.flatnonzero((age < low) | (age > high)).tolist():
        yield (*place(sides, row), "impossible value", reason, f"{age[row]:g}")
    last = len(DIAGNOSES) - 1
    for row in np.flatnonzero(label > last).tolist():
        words = f"a label outside 0..{last}"
        yield (*place(sides, row), "impossible value", words, str(label[row]))


def _patients(sides: Sides) -> Iterator[tuple[str, ...]]:
    lesion, patient = sides.column("lesion"), sides.column("patient")
    known = np.flatnonzero((lesion != "") & (patient != ""))
    frame = pd.DataFrame({"row": known, "lesion": lesion[known], "patient": patient[known]})
    several = frame[frame.groupby("lesion")["patient"].transform("nunique") > 1]
    for name, group in several.groupby("lesion"):
        words = f"{name}: {', '.join(sorted(set(group['patient'])))}"
        where = place(sides, int(group["row"].min()))
        yield (*where, "several patients", "one lesion has several patients", words)

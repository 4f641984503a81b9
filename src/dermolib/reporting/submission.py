"""Predictions as the file that the challenge scores."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import PathLike, expected, listed
from dermolib.io import whole_file
from dermolib.labels import DIAGNOSES

__all__ = ["write_submission"]


def write_submission(
    path: PathLike,
    ids: Sequence[str],
    labels: npt.ArrayLike,
    *,
    expected_ids: Iterable[str] | None = None,
) -> Path:
    r"""Write predictions in the challenge's form ``ID,CLASS``, whole or not at all.

    Args:
        path: Target file; its folder is made where missing.
        ids: Id of each image, in the order in which rows are written.
        labels: Predicted index of each image (N,), whole numbers 0..7; the file holds the
            challenge's numbers 1..8.
        expected_ids: Ids that the file must hold, in any order, such as those of the sample
            submission. Not checked where None.

    Returns:
        `path` as a path.

    Raises:
        TypeError: An id is no text, or labels are no whole numbers.
        ValueError: There is no id, an id is empty or repeated, the lengths differ, a label is not
            in 0..7, or the ids are not the expected ones.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_submission(f"{folder}/answer.csv", ["ISIC_2", "ISIC_1"], [0, 7])
        ...     path.read_text()
        'ID,CLASS\nISIC_2,1\nISIC_1,8\n'
    """
    ids = _check_ids(ids)
    indices = _check_labels(labels, len(ids))
    if expected_ids is not None:
        _check_expected(ids, set(expected_ids))
    path = Path(path)
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "CLASS"))
        rows = zip(ids, indices, strict=True)
        writer.writerows((name, DIAGNOSES[index].number) for name, index in rows)
    return path


def _check_ids(ids: Sequence[Any]) -> list[str]:
    ids = list(ids)
    odd = [name for name in ids if not isinstance(name, str)]
    if odd:
        raise TypeError(expected("ids", "text", f"{odd[0]!r} of type {type(odd[0]).__name__}"))
    if not ids or not all(name.strip() for name in ids):
        got = "an empty one" if ids else "none"
        raise ValueError(expected("ids", "at least one id, none of them empty", got))
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        remedy = "Give one prediction for each image."
        raise ValueError(expected("ids", "different ids", f"repeated {listed(repeated)}", remedy))
    return ids


def _check_labels(labels: npt.ArrayLike, number: int) -> list[int]:
    indices = np.asarray(labels)
    highest = len(DIAGNOSES) - 1
    what = f"whole numbers (N,) in 0..{highest}"
    if indices.ndim != 1:
        remedy = "Turn scores (N, 8) into labels with `scores.argmax(axis=1)`."
        raise ValueError(expected("labels", what, f"shape {indices.shape}", remedy))
    if len(indices) != number:
        what = f"{number} labels, one for each id"
        raise ValueError(expected("labels", what, f"{len(indices)}"))
    if not np.issubdtype(indices.dtype, np.integer):
        raise TypeError(expected("labels", what, f"dtype {indices.dtype}"))
    odd = indices[(indices < 0) | (indices > highest)]
    if odd.size:
        remedy = "Labels are indices; the challenge's numbers 1..8 are one higher."
        raise ValueError(expected("labels", what, listed(odd.tolist()), remedy))
    return [int(index) for index in indices]


def _check_expected(ids: Sequence[str], wanted: set[str]) -> None:
    lacking = sorted(wanted.difference(ids))
    extra = [name for name in ids if name not in wanted]
    parts = [
        f"{len(names):,} {word} ({listed(names)})"
        for word, names in (("lacking", lacking), ("too many", extra))
        if names
    ]
    if parts:
        what = f"the {len(wanted):,} expected ids"
        raise ValueError(expected("ids", what, " and ".join(parts)))

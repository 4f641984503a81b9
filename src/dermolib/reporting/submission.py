"""Predictions as the file that the challenge scores."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import PathLike, listed, require
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
    r"""Write predictions in the challenge's format ``ID,CLASS``; an error leaves no partial file.

    Args:
        path: File to write; its folder is created if needed.
        ids: Id of each image, in the order of the rows to write.
        labels: Predicted label of each image (N,), integers in 0..7; the file holds the
            challenge's class numbers 1..8.
        expected_ids: Ids that the file must contain, in any order, such as those of the sample
            submission; not checked if None.

    Returns:
        `path` as a path.

    Raises:
        TypeError: An id is not text, or labels are not integers.
        ValueError: There is no id, an id is empty or repeated, the lengths differ, a label is not
            in 0..7, or the ids are not the expected ones.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_submission(f"{folder}/answer.csv", ["ISIC_2", "ISIC_1"], [0, 7])
        ...     path.read_text()
        'ID,CLASS\nISIC_2,1\nISIC_1,8\n'
    """
    ids, labels, path = list(ids), np.asarray(labels), Path(path)
    _check_ids(ids, expected_ids)
    _check_labels(labels, len(ids))
    with whole_file(path) as temporary:
        table = pd.DataFrame({"ID": ids, "CLASS": labels + 1})
        table.to_csv(temporary, index=False, lineterminator="\n")
    return path


def _check_ids(ids: list[Any], expected_ids: Iterable[str] | None) -> None:
    odd = [repr(name) for name in ids if not isinstance(name, str)]
    require(not odd, "ids", "text", listed(odd), error=TypeError)
    filled = bool(ids) and all(map(str.strip, ids))
    require(filled, "ids", "at least one id, none empty", "an empty one" if ids else "none")
    repeated = listed(name for name, count in Counter(ids).items() if count > 1)
    hint = "Give one prediction per image."
    require(not repeated, "ids", "unique", f"repeated {repeated}", hint)
    wanted = set(ids if expected_ids is None else expected_ids)
    differences = {"missing": sorted(wanted - {*ids}), "unexpected": sorted({*ids} - wanted)}
    got = [f"{len(names):,} {how} ({listed(names)})" for how, names in differences.items() if names]
    require(not got, "ids", f"the {len(wanted):,} expected ids", " and ".join(got))


def _check_labels(labels: npt.NDArray[np.int64], number: int) -> None:
    what = f"integers (N,) in 0..{len(DIAGNOSES) - 1}"
    hint = "Turn scores (N, 8) into labels with `scores.argmax(axis=1)`."
    require(labels.ndim == 1, "labels", what, f"shape {labels.shape}", hint)
    require(len(labels) == number, "labels", f"{number} labels, one per id", len(labels))
    integer = np.issubdtype(labels.dtype, np.integer)
    require(integer, "labels", what, f"dtype {labels.dtype}", error=TypeError)
    odd = labels[(labels < 0) | (labels >= len(DIAGNOSES))].tolist()
    hint = "Labels are indices; the challenge's class numbers 1..8 are one higher."
    require(not odd, "labels", what, listed(odd), hint)

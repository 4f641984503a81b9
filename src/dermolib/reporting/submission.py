"""Predictions as the file that the challenge scores."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import (
    PathLike,
    as_path,
    listed,
    require,
)
from dermolib.io import write_table
from dermolib.labels import DIAGNOSES, warn_if_from_one

__all__ = ["write_submission"]

_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
        ValueError: There is no id, an id is empty, repeated or has control characters, the lengths
            differ, a label is not in 0..7, or the ids are not the expected ones.
        UserWarning: The labels seem to begin at 1; a warning.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_submission(f"{folder}/answer.csv", ["ISIC_2", "ISIC_1"], [0, 7])
        ...     path.read_text()
        'ID,CLASS\nISIC_2,1\nISIC_1,8\n'
    """
    ids, labels, path = list(ids), np.asarray(labels), as_path(path, "path")
    names: list[Any] = ids
    odd = [repr(name) for name in names if not isinstance(name, str)]
    require(not odd, "ids", "text", listed(odd), error=TypeError)
    empty = "an empty one" if ids else "none"
    require(ids and all(map(str.strip, ids)), "ids", "at least one id, none empty", empty)
    odd = [repr(name) for name in names if _BREAKING.search(name)]
    require(not odd, "ids", "one line of text each, without control characters", listed(odd))
    repeated = listed(name for name, count in Counter(ids).items() if count > 1)
    require(not repeated, "ids", "unique", f"repeated {repeated}", "Give one prediction per image.")
    if expected_ids is not None:
        wanted = set(expected_ids)
        got = _differences(wanted, {*ids})
        require(not got, "ids", f"the {len(wanted):,} expected ids", got)
    fits, hint = labels.shape == (len(ids),), "Use `scores.argmax(axis=1)` for scores."
    require(fits, "labels", f"{len(ids)} labels, one per id", f"shape {labels.shape}", hint)
    what = f"integers (N,) in 0..{len(DIAGNOSES) - 1}"
    integer = np.issubdtype(labels.dtype, np.integer)
    require(integer, "labels", what, f"dtype {labels.dtype}", error=TypeError)
    outside = labels[(labels < 0) | (labels >= len(DIAGNOSES))].tolist()
    hint = "Labels are indices; the challenge's class numbers 1..8 are one higher."
    require(not outside, "labels", what, listed(outside), hint)
    warn_if_from_one(labels, "labels")
    write_table(path, ("ID", "CLASS"), zip(ids, (labels + 1).tolist(), strict=True), quoted=False)
    return path


def _differences(wanted: set[str], found: set[str]) -> str:
    """Count and name what is missing and what is unexpected."""
    parts = {"missing": sorted(wanted - found), "unexpected": sorted(found - wanted)}
    return " and ".join(f"{len(x):,} {how} ({listed(x)})" for how, x in parts.items() if x)

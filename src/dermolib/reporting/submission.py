"""Predictions as the file that a challenge scores."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import PathLike, as_path, expected, listed, require
from dermolib.evaluation.forms import Form, differences, find_form
from dermolib.io import write_table
from dermolib.labels import LabelSpace, as_label_space, warn_if_from_one

__all__ = ["write_submission"]

_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SUM = 1e-3  # by which two probabilities of half precision may miss 1


def write_submission(
    path: PathLike,
    ids: Sequence[str],
    predictions: Any,
    *,
    form: str = "challenge",
    expected_ids: Iterable[str] | None = None,
    label_space: str | LabelSpace | Sequence[str] | None = None,
) -> Path:
    r"""Write predictions as the file of a challenge; an error leaves no partial file.

    - ``"challenge"``: ``ID,CLASS``, the number of the class, 1..8;
    - ``"isic2018"``: ``image,MEL,NV,BCC,AKIEC,BKL,DF,VASC``, the probability of each class;
    - ``"isic2019"``: ``image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK``, the same;
    - ``"milk10k"`` (ISIC 2025): ``lesion_id,AKIEC,BCC,BEN_OTH,...``, the same of each lesion;
    - ``"isic2020"``: ``image_name,target``, the probability of malignant;
    - ``"isic2024"``: ``isic_id,target``, the same.

    Numbers are written so that they read back to the bit. The rows of the forms with a column for
    each class need not sum to 1: these challenges cut each column at 0.5.

    Args:
        path: File to write; its folder is created if needed.
        ids: Id of each image (of each lesion for ``"milk10k"``), in the order of the rows.
        predictions: Probabilities (N, K), floats in 0..1, an array, a tensor or a data frame; for a
            binary form (N,) or (N, 2), benign before malignant. For ``"challenge"`` labels (N,),
            integers in 0..7, or probabilities (N, 8), of which the highest wins, the first of
            equal ones.
        form: Name in `dermolib.evaluation.FORMS`.
        expected_ids: Ids that the file must contain, in any order, such as those of the sample
            submission; not checked if None.
        label_space: What the columns or labels of `predictions` are, as
            `dermolib.labels.as_label_space` takes it; they are put in the order of the form. None
            takes the column names of a data frame, and otherwise the order of the form.

    Returns:
        `path` as a path.

    Raises:
        TypeError: An id is not text, or predictions are of another type.
        ValueError: The form is unknown, or the label space has other classes than it; there is no
            id, an id is empty, repeated or has control characters, or the ids are not the expected
            ones; predictions have another shape, are missing or outside their range; or two
            columns of a binary form do not sum to 1.
        UserWarning: The labels seem to begin at 1; a warning.

    References:
        The headers are those of https://challenge.isic-archive.com/landing/2018/47, 2019, and
        https://challenge.isic-archive.com/landing/milk10k, and of Kaggle's sample submissions of
        ISIC 2020 and 2024.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_submission(f"{folder}/answer.csv", ["ISIC_2", "ISIC_1"], [0, 7])
        ...     text = path.read_text()
        ...     path = write_submission(path, ["ISIC_3"], [[0.75, 0.25]], form="isic2024")
        ...     text, path.read_text()
        ('ID,CLASS\nISIC_2,1\nISIC_1,8\n', 'isic_id,target\nISIC_3,0.25\n')
    """
    path, known = as_path(path, "path"), find_form(form)
    ids = _check_ids(ids, expected_ids)
    order = _order(known, predictions, label_space)
    values = _as_array(predictions)
    if known.numbered and values.ndim != 2:
        rows: list[Any] = [[number] for number in _numbers(values, ids, order)]
    else:
        probabilities = _probabilities(values, ids, known, order)
        rows = probabilities.tolist()
        if known.numbered:
            rows = [[number] for number in (probabilities.argmax(axis=1) + 1).tolist()]
    lines = ([name, *row] for name, row in zip(ids, rows, strict=True))
    write_table(path, (known.id_column, *known.columns), lines, quoted=False)
    return path


def _as_array(predictions: Any) -> npt.NDArray[Any]:
    """Take a tensor of any device and precision, or whatever NumPy makes an array of."""
    if hasattr(predictions, "detach"):  # a tensor; torch need not be loaded to tell
        tensor = predictions.detach().cpu()
        predictions = tensor.double() if tensor.is_floating_point() else tensor
    try:
        return np.asarray(predictions)
    except (TypeError, ValueError) as error:
        what = "an array of predictions for each id"
        raise ValueError(expected("predictions", what, f"another ({error})")) from None


def _check_ids(ids: Sequence[str], expected_ids: Iterable[str] | None) -> list[str]:
    """Refuse ids that a table cannot hold, and others than the expected ones."""
    ids = list(ids)
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
        got = differences(wanted, ids)
        require(not got, "ids", f"the {len(wanted):,} expected ids", got)
    return ids


def _order(form: Form, predictions: Any, label_space: Any) -> npt.NDArray[np.intp]:
    """Find the place in the label space of each class of a form."""
    if label_space is None and isinstance(predictions, pd.DataFrame) and predictions.shape[1] > 1:
        label_space = [str(name) for name in predictions.columns]
    if label_space is None:
        return np.arange(len(form.codes))
    codes = [code.upper() for code in as_label_space(label_space).codes]
    wanted = [code.upper() for code in form.codes]
    got, what = differences(wanted, codes), f"the classes of the form {form.name}"
    hint = "Give predictions of a column for each of them; one of zeros says that none is of it."
    require(not got, "label_space", f"{what}, {', '.join(form.codes)}, in any order", got, hint)
    return np.array([codes.index(code) for code in wanted])


def _numbers(values: Any, ids: list[str], order: npt.NDArray[np.intp]) -> list[int]:
    """Turn labels into the numbers of classes, from 1."""
    fits, hint = values.shape == (len(ids),), "Use `scores.argmax(axis=1)` for scores."
    what = f"{len(ids)} labels, one per id"
    require(fits, "predictions", what, f"shape {values.shape}", hint)
    what = f"integers (N,) in 0..{len(order) - 1}"
    integer = np.issubdtype(values.dtype, np.integer)
    require(integer, "predictions", what, f"dtype {values.dtype}", error=TypeError)
    hint = "Labels are indices; the challenge's class numbers 1..8 are one higher."
    odd = (values < 0) | (values >= len(order))
    _refuse(odd, ids, what, lambda row: str(values[row]), hint)
    warn_if_from_one(values, "predictions")
    numbers: list[int] = (np.argsort(order)[values] + 1).tolist()
    return numbers


def _probabilities(
    values: Any, ids: list[str], form: Form, order: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Check probabilities, and put their columns in the order of the form."""
    wide = len(form.codes)
    shapes: list[tuple[int, ...]] = [(len(ids), wide)]
    shapes += [(len(ids),), (len(ids), 1)] if form.binary else []
    what = f"probabilities {' or '.join(map(str, shapes))} for the form {form.name}"
    hint = "Its classes are " + ", ".join(form.codes) + "."
    require(values.shape in shapes, "predictions", what, f"shape {values.shape}", hint)
    floats = np.issubdtype(values.dtype, np.floating)
    require(floats, "predictions", what, f"dtype {values.dtype}", error=TypeError)
    values = values.reshape(len(ids), -1).astype(np.float64)
    what = "probabilities in 0..1"
    hint = "Apply softmax or sigmoid to logits."
    _refuse(~((values >= 0) & (values <= 1)).all(axis=1), ids, what, _odd(values), hint)
    if form.binary and values.shape[1] == 2:
        sums = values.sum(axis=1)
        what = "probabilities of benign and malignant, which sum to 1"
        hint = "Pass the column of malignant alone if the two are independent."
        _refuse(abs(sums - 1) > _SUM, ids, what, lambda row: f"sum {sums[row]:g}", hint)
        return np.asarray(values[:, order[1:]])
    return values if form.binary else np.asarray(values[:, order])


def _odd(values: npt.NDArray[np.float64]) -> Callable[[int], str]:
    """Name the first value of a row that is outside 0..1."""
    return lambda row: repr(next(x for x in values[row].tolist() if not 0 <= x <= 1))


def _refuse(
    odd: npt.NDArray[np.bool_], ids: list[str], what: str, describe: Callable[[int], str], hint: str
) -> None:
    """Refuse rows, named by their number in the file and their id."""
    places = np.flatnonzero(odd).tolist()
    rows = (f"row {place + 2} ({ids[place]}): {describe(place)}" for place in places)
    got = f"{len(places):,} other ({listed(rows)})" if places else ""
    require(not places, "predictions", what, got, hint)

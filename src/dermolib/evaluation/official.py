"""The numbers of the official ISIC scorer."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import auc, average_precision_score, roc_curve

from dermolib._validation import PathLike, as_path, check_type, listed, require
from dermolib.datasets.columns import as_text, is_missing, read_csv
from dermolib.evaluation.forms import FORMS, Form, differences, find_form

__all__ = ["METRICS", "official_scores"]

METRICS: tuple[str, ...] = (
    *("accuracy", "sensitivity", "specificity", "dice", "ppv", "npv"),
    *("auc", "auc_sens_80", "pauc", "ap"),
)
"""Scores of each class."""

_ID_COLUMNS = ("image", "lesion_id")
_WEIGHTS = ("score_weight", "validation_weight")
_UNWEIGHTED = "ISIC_0035068"  # which the scorer leaves out whatever the truth says
_SENSITIVITY = 0.8
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.IGNORECASE)
_ENDING = re.compile(r"\.jpg$", re.IGNORECASE)

_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]
_Ids: TypeAlias = "pd.Series[Any]"


def official_scores(
    truth: PathLike | pd.DataFrame,
    prediction: PathLike | pd.DataFrame,
    *,
    form: str | None = None,
) -> pd.DataFrame:
    """Score an official file as the official ISIC scorer does.

    The classes are the columns of the truth. A class is predicted where its column is above 0.5,
    whatever the others say; balanced accuracy alone takes the highest column, and an image of which
    two share the maximum is wrong. Sensitivity without a positive, specificity without a negative,
    PPV without a predicted positive, NPV without a predicted negative, and Dice without either are
    1. Where a class has no positive or no negative image the scorer stops; here what needs both
    (AUC and average precision) is nan and left out of the macro average.

    Rows of the truth may have a ``score_weight``, which counts in all numbers but ``validation``,
    and a ``validation_weight``, which counts there alone; both are 1 where absent. The scorer gives
    ISIC_0035068 the weight 0.

    Args:
        truth: CSV file or data frame: ids in ``image`` or ``lesion_id``, and a column of 0 and 1
            for each class, one 1 in each row; or ``image_name`` or ``isic_id`` and ``target``; or
            ``ID`` and ``CLASS``.
        prediction: CSV file or data frame with the ids and columns of the truth, in any order;
            floats in 0..1, or a ``CLASS``.
        form: Name in `dermolib.evaluation.FORMS`, which says what ranks; None finds it by the
            columns of the truth. With a form, other columns of the truth are ignored; without, they
            are classes.

    Returns:
        Table with a row for each class (``target`` of a binary form), ``macro_average`` and
        ``aggregate``. The classes and their average have `METRICS`: ``auc_sens_80`` is the area
        under the ROC curve from where sensitivity reaches 0.8, ``pauc`` the part of it above 0.8
        (0..0.2, the score of ISIC 2024), ``dice`` is the F1 score. ``aggregate`` has
        ``balanced_accuracy`` (nan for a binary form), ``overall``, which is the score that ranks in
        this form (balanced accuracy where the form is unknown), and ``validation``, the same by the
        other weight.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: An argument is neither a path nor a data frame.
        ValueError: A file is not CSV; ids are repeated, missing, or unknown to the truth; columns
            are missing or unknown; a value is missing, no number, or outside 0..1; a column of
            probabilities holds integers alone; the truth is not one class a row, or nothing has
            weight; or the form is unknown.

    References:
        https://github.com/ImageMarkup/isic-challenge-scoring, whose rules these are;
        https://github.com/ISIC-Research/Challenge-2024-Metrics for ``pauc``.

    Examples:
        >>> truth = pd.DataFrame({"image": ["a", "b", "c"], "MEL": [1, 0, 0], "NV": [0, 1, 1]})
        >>> given = pd.DataFrame(
        ...     {"image": ["c", "b", "a"], "MEL": [0.5, 0.2, 0.9], "NV": [0.5, 0.8, 0.1]}
        ... )
        >>> scores = official_scores(truth, given)
        >>> float(scores.loc["aggregate", "balanced_accuracy"]), float(scores.loc["NV", "ppv"])
        (0.75, 1.0)
    """
    known = _read_truth(truth, form)
    values = _read_prediction(prediction, known)
    weights = known.score_weight
    rows = [_class_scores(*one, weights) for one in zip(known.values.T, values.T, strict=True)]
    table = pd.DataFrame(rows, [*known.classes], METRICS)
    table.loc["macro_average"] = table.mean()
    balanced = np.nan if known.binary else _balanced_accuracy(known.values, values, weights)
    overall = table[known.metric]["macro_average"] if known.metric in table else balanced
    table.loc["aggregate", ["balanced_accuracy", "overall", "validation"]] = [
        balanced,
        overall,
        _validation(known, values),
    ]
    return table


@dataclass(frozen=True)
class _Truth:
    form: Form | None
    id_column: str
    columns: tuple[str, ...]
    name: str
    ids: _Ids
    values: _Flags
    score_weight: _Floats
    validation_weight: _Floats

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of `values`."""
        return self.form.codes if self.form and self.form.numbered else self.columns

    @property
    def metric(self) -> str:
        """Score that ranks."""
        return self.form.metric if self.form else "balanced_accuracy"

    @property
    def binary(self) -> bool:
        """Whether there is one class against the rest."""
        return self.form is not None and self.form.binary


def _validation(truth: _Truth, values: _Floats) -> float:
    """Compute the score that ranks by the other weight; nan where nothing has any."""
    weights = truth.validation_weight
    if not weights.any():
        return np.nan
    if truth.metric not in METRICS:
        return _balanced_accuracy(truth.values, values, weights)
    pairs = zip(truth.values.T, values.T, strict=True)
    scores = pd.Series([_class_scores(*pair, weights)[truth.metric] for pair in pairs])
    return float(scores.mean())


def _balanced_accuracy(truth: _Flags, values: _Floats, weights: _Floats) -> float:
    """Average the recall of the classes that have weight; a tie of maxima is wrong."""
    highest = values == values.max(axis=1, keepdims=True)
    hit = truth & highest & (highest.sum(axis=1, keepdims=True) == 1)
    total = weights @ truth
    recalls = (weights @ hit)[total > 0] / total[total > 0]
    return float(recalls.mean()) if recalls.size else np.nan


def _class_scores(truth: _Flags, values: _Floats, weights: _Floats) -> dict[str, float]:
    """Score one class against the rest."""
    kept = weights > 0
    truth, values, weights = truth[kept], values[kept], weights[kept]
    said = values > 0.5
    tp, fn = weights[truth & said].sum(), weights[truth & ~said].sum()
    fp, tn = weights[~truth & said].sum(), weights[~truth & ~said].sum()
    return {
        "accuracy": float((tp + tn) / weights.sum()),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        **_curve_scores(truth, values, weights),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0


def _curve_scores(truth: _Flags, values: _Floats, weights: _Floats) -> dict[str, float]:
    """Score one class at all thresholds; nan where it has no positive or no negative."""
    if truth.all() or not truth.any():
        return dict.fromkeys(("auc", "auc_sens_80", "pauc", "ap"), np.nan)
    false, true, _ = roc_curve(truth, values, sample_weight=weights, drop_intermediate=False)
    place = int(np.searchsorted(true, _SENSITIVITY))
    around = slice(place - 1, place + 1)
    start = np.interp(_SENSITIVITY, true[around], false[around])
    x = np.concatenate([[start], false[place:]])
    y = np.concatenate([[_SENSITIVITY], true[place:]])
    return {
        "auc": float(auc(false, true)),
        "auc_sens_80": float(auc(x, y)),
        "pauc": float(auc(x, y - _SENSITIVITY)),
        "ap": float(average_precision_score(truth, values, sample_weight=weights)),
    }


def _read_truth(source: Any, form: str | None) -> _Truth:
    """Read the truth, and find its form and its classes."""
    known = None if form is None else find_form(form)
    name, table = _read(source, "truth", known)
    known = known or _find_form(table.columns)
    id_column = known.id_column if known else next(x for x in _ID_COLUMNS if x in table)
    columns = known.columns if known else _classes_among(table.columns)
    absent = [text for text in (id_column, *columns) if text not in table]
    what = f"a table with the columns {', '.join([id_column, *columns])}"
    hint = f"It is to be a truth of {form}." if form else ""
    require(not absent, name, what, f"one without {listed(absent)}", hint)
    require(columns, name, "a table with a column for each class", "none")
    ids = _ids(table[id_column], name)
    score, validation = (_weights(table, column, ids, name) for column in _WEIGHTS)
    require(score.any(), name, "a truth in which some image has a score_weight", "0 for all")
    values = _read_values(table, columns, ids, name, known, integers=True)
    odd = ~np.isin(values, (0, 1)).all(axis=1)
    what, hint = "a truth of 0 and 1", "The truth comes first, the prediction second."
    _refuse(odd, ids, name, what, lambda row: listed(values[row], most=20), hint)
    counts = values.sum(axis=1)
    odd = (counts != 1) & (score + validation > 0) & (len(columns) > 1)
    _refuse(odd, ids, name, "a truth of one class a row", lambda row: f"{counts[row]:g}")
    return _Truth(known, id_column, columns, name, ids, values == 1, score, validation)


def _read_prediction(source: Any, truth: _Truth) -> _Floats:
    """Read a prediction (N, K), its rows and columns in the order of the truth."""
    name, table = _read(source, "prediction")
    wanted = (truth.id_column, *truth.columns)
    got = differences(wanted, table.columns)
    hint = f"The truth is{_describe(wanted)} and the prediction{_describe(table.columns)}."
    hint = f"Score it against the truth of its own challenge. {hint}"
    require(not got, name, f"a table with the columns {', '.join(wanted)}", got, hint)
    ids = _ids(table[truth.id_column], name)
    values = _read_values(table, truth.columns, ids, name, truth.form, integers=truth.binary)
    odd = ((values < 0) | (values > 1)).any(axis=1)
    hint = "Give probabilities: the softmax or sigmoid of logits."
    _refuse(odd, ids, name, "a table of values in 0..1", _outside(values), hint)
    got = differences(truth.ids, ids)
    hint = "Predict each image of the truth once, and no other."
    require(not got, name, f"a table of the {len(truth.ids):,} ids of the truth", got, hint)
    places: npt.NDArray[np.intp] = pd.Index(ids).get_indexer(pd.Index(truth.ids))
    ordered: _Floats = values[places]
    return ordered


def _outside(values: _Floats) -> Callable[[int], str]:
    """Describe the first value of a row that is outside 0..1."""
    return lambda row: repr(next(float(x) for x in values[row] if not 0 <= x <= 1))


def _find_form(columns: Iterable[str]) -> Form | None:
    """Find the form of a truth by its columns; None where its classes are others."""
    found = {*columns}
    wide = (x for x in FORMS.values() if x.columns != x.codes)
    one = next((x for x in wide if {x.id_column, *x.columns} <= found), None)
    return one or _form_with(found - {*_WEIGHTS})


def _classes_among(columns: Iterable[str]) -> tuple[str, ...]:
    """Take what is neither an id nor a weight: the classes of a truth of no known form."""
    id_column = next((x for x in _ID_COLUMNS if x in columns), None)
    return tuple(text for text in columns if text not in (id_column, *_WEIGHTS))


def _form_with(columns: Iterable[str]) -> Form | None:
    """Find the form that has exactly these columns."""
    forms = (x for x in FORMS.values() if {x.id_column, *x.columns} == {*columns})
    return next(forms, None)


def _describe(columns: Iterable[str]) -> str:
    """Name the form of a table for an error."""
    form = _form_with(columns)
    return f" of {form.name}" if form else " of no known form"


def _read(source: Any, name: str, form: Form | None = None) -> tuple[str, pd.DataFrame]:
    """Read a table, and its name in errors; of a truth of a known form the form's columns alone."""
    what = "the path of a CSV file or a data frame"
    check_type(source, name, (str, bytes, os.PathLike, pd.DataFrame), what)
    if isinstance(source, pd.DataFrame):
        header = [str(text) for text in source.columns]
        chosen = _choose(header, name, form, truth=name == "truth")
        table = source.iloc[:, [*chosen.values()]].set_axis([*chosen], axis=1)
        table = table.set_axis(np.arange(len(table)) + 2, axis=0)
    else:
        path = as_path(source, name)
        choose = partial(_choose, name=str(path), form=form, truth=name == "truth")
        columns = read_csv(path, choose)
        name, table = str(path), pd.DataFrame(columns, index=columns.rows)
    require(len(table), name, "a table with a row for each image", "a header only")
    return name, table


def _choose(header: Sequence[str], name: str, form: Form | None, *, truth: bool) -> dict[str, int]:
    """Find the places of the columns to read."""
    twice = sorted({text for text in header if header.count(text) > 1})
    require(not twice, name, "a table with each column once", f"{listed(twice)} twice")
    places = {text: place for place, text in enumerate(header)}
    require(len(places) > 1, name, "a table of several columns", f"{listed(header)} alone")
    known = form or (_find_form(header) if truth else None)
    if known is None:
        what = f"a table of one of the forms {', '.join(FORMS)}"
        got = f"the columns {listed(map(repr, header))}"
        hint = "Ids are in `image` or `lesion_id`, and each class has a column of 0 and 1."
        require(not truth or {*_ID_COLUMNS} & places.keys(), name, what, got, hint)
        return places
    wanted = (known.id_column, *known.columns, *_WEIGHTS)
    return {text: places[text] for text in wanted if text in places}


def _ids(column: "pd.Series[Any]", name: str) -> _Ids:
    """Read ids as text without the ending .jpg, each once, by the row of each."""
    texts = [
        "" if gap else as_text(x).strip() for x, gap in zip(column, column.isna(), strict=True)
    ]
    rows = [f"row {row}" for row, text in zip(column.index, texts, strict=True) if not text]
    require(not rows, name, "a table with an id in each row", f"none in {listed(rows)}")
    ids = pd.Series([_ENDING.sub("", text) for text in texts], column.index, dtype=object)
    _refuse(ids.duplicated(), ids, name, "a table with each id once", lambda _: "again")
    return ids


def _weights(table: pd.DataFrame, column: str, ids: _Ids, name: str) -> _Floats:
    """Read the weights of images, 1 where there are none."""
    weights = np.ones(len(ids))
    if column in table:
        weights = _numbers(table, (column,), ids, name, integers=True)[:, 0]
    odd = ~(np.isfinite(weights) & (weights >= 0))
    what = f"a table whose `{column}` is 0 or more"
    _refuse(odd, ids, name, what, lambda row: f"{weights[row]}")
    return np.where(ids == _UNWEIGHTED, 0.0, weights)


def _read_values(
    table: pd.DataFrame,
    columns: Sequence[str],
    ids: _Ids,
    name: str,
    form: Form | None,
    *,
    integers: bool,
) -> _Floats:
    """Read a column for each class (N, K); numbers of classes become columns of 0 and 1."""
    if form is None or not form.numbered:
        return _numbers(table, columns, ids, name, integers=integers)
    numbers = _numbers(table, columns, ids, name, integers=True)
    classes = np.arange(1, len(form.codes) + 1)
    odd = ~np.isin(numbers[:, 0], classes)
    what = f"a table whose CLASS is 1..{len(form.codes)}"
    _refuse(odd, ids, name, what, lambda row: f"{numbers[row, 0]:g}")
    hot: _Floats = (numbers == classes).astype(np.float64)
    return hot


def _numbers(
    table: pd.DataFrame, columns: Sequence[str], ids: _Ids, name: str, *, integers: bool
) -> _Floats:
    """Read columns of numbers (N, K); a missing value is refused, and integers may be."""
    cells = {text: _cells(table[text]) for text in columns}
    gaps = np.array([[value is None for value in cells[text]] for text in columns]).T
    what, names = "a table without missing values", np.array(columns)
    _refuse(gaps.any(axis=1), ids, name, what, lambda row: listed(names[gaps[row]]))
    for text, column in cells.items():
        odd = [not _is_number(value) for value in column]
        _refuse(odd, ids, name, f"a table of numbers in {text}", _value_of(column))
    whole = [text for text in columns if not any(isinstance(x, float) for x in cells[text])]
    what = "a table of floats, as the official scorer reads no column of integers alone"
    hint = "Write 1.0 for 1; `write_submission` does."
    require(integers or not whole, name, what, f"integers in {listed(whole)}", hint)
    values: _Floats = np.array([cells[text] for text in columns], np.float64).T
    return values


def _cells(column: "pd.Series[Any]") -> list[Any]:
    """Take values as numbers: integers where all are, floats exact to the bit; None is missing."""
    values = column.astype(object).where(column.notna(), None).tolist()
    if not any(isinstance(value, str) for value in values):
        return values
    texts = [str(value).strip() for value in values]
    if all(map(_INTEGER.fullmatch, texts)):
        return [*map(int, texts)]
    return [
        float(text) if _NUMBER.fullmatch(text) else None if is_missing(text) else text
        for text in texts
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer)) and not isinstance(value, bool)


def _value_of(values: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: repr(values[row])


def _refuse(
    bad: Any, ids: _Ids, name: str, what: str, describe: Callable[[int], str], hint: str = ""
) -> None:
    """Refuse rows, named by their number in a spreadsheet and their id."""
    pairs = zip(np.flatnonzero(bad).tolist(), ids[np.asarray(bad)].items(), strict=True)
    rows = [f"row {row} ({image}): {describe(place)}" for place, (row, image) in pairs]
    require(not rows, name, what, f"{len(rows):,} other ({listed(rows)})", hint)

"""The numbers of the official ISIC scorer."""

import numpy as np
import pandas as pd
from sklearn.metrics import auc, average_precision_score, roc_curve

from dermolib._validation import PathLike
from dermolib.evaluation.files import Flags, Floats, Truth, read_prediction, read_truth

__all__ = ["METRICS", "official_scores", "official_table"]

METRICS: tuple[str, ...] = (
    *("accuracy", "sensitivity", "specificity", "dice", "ppv", "npv"),
    *("auc", "auc_sens_80", "pauc", "ap"),
)
"""Scores of each class."""

_SENSITIVITY = 0.8


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
    known = read_truth(truth, form)
    return official_table(known, read_prediction(prediction, known))


def official_table(known: Truth, values: Floats) -> pd.DataFrame:
    """Score values (N, K) of a file as `official_scores` does."""
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


def _validation(truth: Truth, values: Floats) -> float:
    """Compute the score that ranks by the other weight; nan where nothing has any."""
    weights = truth.validation_weight
    if not weights.any():
        return np.nan
    if truth.metric not in METRICS:
        return _balanced_accuracy(truth.values, values, weights)
    pairs = zip(truth.values.T, values.T, strict=True)
    scores = pd.Series([_class_scores(*pair, weights)[truth.metric] for pair in pairs])
    return float(scores.mean())


def _balanced_accuracy(truth: Flags, values: Floats, weights: Floats) -> float:
    """Average the recall of the classes that have weight; a tie of maxima is wrong."""
    highest = values == values.max(axis=1, keepdims=True)
    hit = truth & highest & (highest.sum(axis=1, keepdims=True) == 1)
    total = weights @ truth
    recalls = (weights @ hit)[total > 0] / total[total > 0]
    return float(recalls.mean()) if recalls.size else np.nan


def _class_scores(truth: Flags, values: Floats, weights: Floats) -> dict[str, float]:
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


def _curve_scores(truth: Flags, values: Floats, weights: Floats) -> dict[str, float]:
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

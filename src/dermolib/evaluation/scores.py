"""All scores of predictions, each with an interval that resamples lesions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dermolib import __version__
from dermolib._validation import check_choice, check_number, listed
from dermolib.evaluation.intervals import (
    INTERVAL_METHODS,
    Interval,
    interval_ends,
    widen_at_bounds,
)
from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.resampling import jackknife, replicates
from dermolib.evaluation.score_text import counted, markdown_text, notes_on, terminal_text
from dermolib.evaluation.smoothing import borrow_groups
from dermolib.evaluation.statistics import ScoreStatistic, statistic

__all__ = ["Scores", "score"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores with their intervals; `score` makes one.

    ``scores["balanced_accuracy"]`` and ``scores["sensitivity", "MEL"]`` are each an `Interval`;
    ``str(scores)`` is a table for terminals and logs.

    Attributes:
        table: A row for each score. ``metric`` and ``class`` name it, the class empty where it is
            of all; ``value`` is that of all images, with its interval from ``low`` to ``high``, NaN
            where undefined for the ``reason`` given, or for one group alone; ``n`` and ``groups``
            count the images and groups of the class, or all. ``few`` marks fewer than 10 groups
            behind a score: groups of the class for sensitivity, of the others for specificity,
            predicted as the class for PPV and not for NPV, the fewer of the class and the others
            for what needs both, and for averages those of the smallest class. ``undefined`` is the
            fraction of resamples in which it is undefined, which the interval leaves out.
        n: Number of images.
        groups: Number of groups that were resampled.
        level: Level of the intervals.
        method: Name of the kind of interval.
        resamples: Number of resamples.
        seed: Seed of the resampling.
        options: Operating points of the scores of curves, number of bins, and how ties are broken.
    """

    table: pd.DataFrame
    n: int
    groups: int
    level: float
    method: str
    resamples: int
    seed: int
    options: Mapping[str, Any]

    def __getitem__(self, key: str | tuple[str, str]) -> Interval:
        """Return one score: ``scores["accuracy"]``, ``scores["f1", "NV"]`` or ``scores["f1:NV"]``.

        Raises:
            KeyError: There is no such score.
        """
        metric, code = key if isinstance(key, tuple) else (key, "")
        wanted = f"{metric}:{code}" if code else metric
        names = [
            _name(*pair) for pair in zip(self.table["metric"], self.table["class"], strict=True)
        ]
        small = [name.lower() for name in names]
        if str(wanted).lower() not in small:
            metrics = [*dict.fromkeys(self.table["metric"])]
            codes = [code for code in dict.fromkeys(self.table["class"]) if code]
            known = str(wanted).partition(":")[0].lower() in metrics
            what, names = ("Classes", codes) if known else ("Scores", metrics)
            raise KeyError(f"No score {wanted!r}. {what} are {listed(names, most=len(names))}.")
        row = self.table.iloc[small.index(wanted.lower())]
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        return Interval(value, low, high, self.level, int(row["n"]), int(row["groups"]))

    def __str__(self) -> str:
        """Return a table of at most 100 columns in plain text."""
        return terminal_text(self.table, self._title(), self._notes())

    def to_markdown(self) -> str:
        """Return a table in Markdown, a row for each score."""
        return markdown_text(self.table, self._title(), self._notes())

    def to_json(self) -> str:
        """Return JSON text: the settings, and the rows of the table, null where undefined."""
        rows = [
            {name: None if value != value else value for name, value in row.items()}
            for row in self.table.to_dict("records")
        ]
        facts = {name: getattr(self, name) for name in _FACTS}
        facts = {"dermolib": __version__, **facts, "options": dict(self.options), "scores": rows}
        return json.dumps(facts, indent=2, allow_nan=False)

    def _title(self) -> str:
        """Say what was scored and what the intervals are."""
        method = "BCa" if self.method == "bca" else self.method
        sizes = f"{counted(self.n, 'image')} of {counted(self.groups, 'group')}"
        return (
            f"{sizes}; {100 * self.level:.4g} % intervals "
            f"({method}, {self.resamples:,} resamples of groups, seed {self.seed})"
        )

    def _notes(self) -> list[str]:
        """Explain marks and options."""
        at = self.options
        ranked = not self.table["reason"].str.startswith("needs probabilities, not").any()
        notes = [
            f"specificity_at_sensitivity is read at {at['sensitivity']:g}, "
            f"sensitivity_at_specificity at {at['specificity']:g}; pauc is the area above a "
            f"sensitivity of {at['pauc_above']:g}; ece has {at['bins']} bins."
        ] * ranked
        if at["ties"] == "wrong":
            notes.append("Where classes share the highest probability, none is predicted.")
        if self.groups == 1:
            notes.append("One group alone has no interval.")
        elif self.n == self.groups:
            hint = "pass `groups` if some show the same lesion or patient."
            notes.append(f"Each image is a group of its own; {hint}")
        return [*notes_on(self.table), *notes]


_FACTS = ("n", "groups", "level", "method", "resamples", "seed")


def score(
    probabilities: Any,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    values: str = "probabilities",
    resamples: int = 2000,
    level: float = 0.95,
    method: str = "smoothed",
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    pauc_above: float = 0.8,
    bins: int = 15,
    ties: str = "first",
    seed: int = 0,
) -> Scores:
    """Compute all scores of predictions, each with an interval that resamples whole lesions.

    The predicted class is that of the highest probability. Of all classes, where an average is over
    the classes that have images:

    * ``balanced_accuracy``: mean sensitivity of the classes, which is the challenge's weighted
      accuracy. A class keeps its weight, that of all images, in resamples.
    * ``accuracy``: fraction of images whose class is predicted.
    * ``macro_f1``, ``macro_roc_auc``, ``macro_average_precision``: mean of the scores of classes.
    * ``log_loss``: mean of -ln of the probability of the true class, which is clipped at 2.2e-16.
    * ``brier``: mean over images of the sum of squared differences between the probabilities and
      the truth as 0 and 1, 0..2; for two classes half of this, 0..1.
    * ``ece``: expected calibration error of the highest probability in bins of equal width, each
      with its upper bound: mean over images of the absolute difference between the mean
      probability and the accuracy of their bin.

    Of each class against the rest, with TP, FP, TN and FN its true and false positives and
    negatives:

    * ``sensitivity``: TP / (TP + FN), also called recall.
    * ``specificity``: TN / (TN + FP).
    * ``ppv``: TP / (TP + FP), also called precision.
    * ``npv``: TN / (TN + FN).
    * ``f1``: 2 TP / (2 TP + FP + FN).
    * ``roc_auc``: fraction of the pairs of an image of the class and another in which the first
      has the higher probability of the class; a tie counts one half.
    * ``average_precision``: mean of the PPV at the thresholds of the images of the class.
    * ``specificity_at_sensitivity``: highest specificity of the thresholds at which sensitivity is
      `sensitivity` or more.
    * ``sensitivity_at_specificity``: highest sensitivity of the thresholds at which specificity is
      `specificity` or more.
    * ``pauc``: area under the ROC curve above a sensitivity of `pauc_above`, 0..1 - `pauc_above`,
      the score of ISIC 2024.

    What is 0 / 0 is NaN, and so is what says nothing of the predictions: F1 of a class without
    images, and a score of a curve where all images are of one class. Of two classes the table has
    the second alone where the first would say the same.

    Args:
        probabilities: Probabilities (N, K): an array, a tensor, or a data frame whose columns are
            codes; or of the second of two classes (N,) or (N, 1), floats; or predicted classes
            (N,), integers.
        target: True classes (N,), integers in 0..K-1 or codes of the label space; or a data set,
            which has groups and a label space, too.
        groups: Group of each image (N,), such as its lesion or patient; an image whose group is
            missing is a group of its own. None takes those of the data set, or makes each image a
            group.
        label_space: Classes, as for `dermolib.ISICDataset`; None takes those of the data set or
            the data frame, or numbers.
        values: What the values are: ``"probabilities"``, whose rows sum to 1; ``"logits"``; or
            ``"independent"``, a probability of each class by itself.
        resamples: Number of resamples, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        method: Kind of interval. ``"smoothed"`` covers best where classes have few groups: in
            resamples each class borrows the weight of one group from the other classes, with the
            roles of the two classes swapped, so that three groups of a class, all of them right,
            are no certainty; bias and skewness are corrected, and quantiles are taken further out
            where few groups make most of the spread. ``"bca"`` is bias-corrected and accelerated,
            ``"percentile"`` takes quantiles as they are. A score of 0 or 1 in all resamples has the
            interval of Clopper and Pearson for its groups.
        sensitivity: Sensitivity at which specificity is read, above 0 and up to 1.
        specificity: Specificity at which sensitivity is read, above 0 and up to 1.
        pauc_above: Sensitivity above which the area under the ROC curve is taken, 0 or more and
            below 1.
        bins: Number of bins of the calibration error, 1 or more.
        ties: Where several classes share the highest probability, ``"first"`` predicts the first
            of them; ``"wrong"`` predicts none, as the official ISIC scorer does.
        seed: Seed of the resampling, 0 or more.

    Returns:
        The scores; there are no warnings, but what is undefined or rests on few groups is marked.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, a value is out of range, or an option is unknown.

    References:
        Maier-Hein et al., Metrics reloaded, Nature Methods 21, 2024,
        https://doi.org/10.1038/s41592-023-02151-z, on what each score is for; Naeini et al.,
        Obtaining well calibrated probabilities using Bayesian binning, AAAI, 2015,
        https://doi.org/10.1609/aaai.v29i1.9602, on the calibration error.

    Examples:
        >>> probabilities = [[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.6, 0.4]]
        >>> scores = score(probabilities, [0, 0, 1, 1], groups=["a", "a", "b", "c"])
        >>> scores["balanced_accuracy"].score, scores["specificity", "1"].score
        (0.75, 1.0)
    """
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_choice(method, "method", INTERVAL_METHODS)
    check_number(seed, "seed", low=0, integer=True)
    options = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "pauc_above": pauc_above,
        "bins": bins,
        "ties": ties,
    }
    predictions = read_predictions(probabilities, target, groups, label_space, values=values)
    found = statistic(predictions, **options)  # type: ignore[arg-type] # of several types
    padded = borrow_groups(predictions) if method == "smoothed" else predictions
    lender = statistic(padded, **options) if method == "smoothed" else found  # type: ignore[arg-type] # as above
    count, borrowed = predictions.num_groups, padded.borrowed
    drawn = replicates(lender, count, resamples=resamples, seed=seed, borrowed=borrowed)
    left_out = None if method == "percentile" else jackknife(lender, count, borrowed)
    ends = interval_ends(
        found.values, drawn, left_out, method=method, level=level, center=lender.values
    )
    low, high = np.where(
        (ends[0] == ends[1]) & (np.array(found.certainty) > 0),
        widen_at_bounds(found.values, ends, np.array(found.certainty), level),
        ends,
    )
    low, high = (low, high) if count > 1 else np.full((2, len(low)), np.nan)
    table = pd.DataFrame(
        {
            "metric": [metric for metric, _ in found.columns],
            "class": [code for _, code in found.columns],
            "value": found.values,
            "low": low,
            "high": high,
            "n": found.images,
            "groups": found.groups,
            "few": found.few,
            "undefined": np.isnan(drawn).mean(axis=0),
            "reason": found.reasons,
        }
    )
    return Scores(
        table=table[~_repeated(found, predictions, ties)].reset_index(drop=True),
        n=len(predictions),
        groups=predictions.num_groups,
        level=float(level),
        method=method,
        resamples=int(resamples),
        seed=int(seed),
        options=options,
    )


_MIRRORED = (
    *("sensitivity", "specificity", "ppv", "npv", "roc_auc"),
    *("specificity_at_sensitivity", "sensitivity_at_specificity"),
)
"""Scores of the first of two classes that are one of the second."""


def _repeated(found: ScoreStatistic, predictions: Predictions, ties: str) -> Any:
    """Mark the scores of the first of two classes that those of the second repeat (M,)."""
    first = predictions.codes[0]
    mirrored = len(predictions.codes) == 2 and ties == "first" and predictions.sum_to_one
    marks = [mirrored and name in _MIRRORED and code == first for name, code in found.columns]
    return np.array(marks)


def _name(metric: str, code: str) -> str:
    """Name a score in one word."""
    return f"{metric}:{code}" if code else metric

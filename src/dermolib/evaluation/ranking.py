"""Scores of one class at all thresholds, for many resamples at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from dermolib._validation import Indices

__all__ = ["Curve", "Ranking"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_TINY = np.finfo(np.float64).tiny


class Ranking:
    """The order of the probabilities of one class, sorted once for all resamples.

    What a curve makes of the negatives is asked at the thresholds of positives alone, since
    sensitivity does not change between these. A row for each threshold thus holds which groups
    have positives there, and which have negatives from there up to the next higher one; a product
    with the weights of groups counts them.

    Args:
        values: Probabilities of the class (N,).
        positive: Whether each image is of the class (N,).
        groups: Number of the group of each image (N,), 0..G-1.
        num_groups: Number of groups G.

    Attributes:
        count: Number of thresholds.
        tied: Numbers of the thresholds that negatives have, too.
    """

    def __init__(self, values: _Floats, positive: Any, groups: Indices, num_groups: int) -> None:
        """Sort the images in among the thresholds."""
        thresholds = np.unique(values[positive])
        count, rows = len(thresholds), np.searchsorted(thresholds, values, side="right") - 1
        tied = ~positive & (rows >= 0)
        tied[tied] = thresholds[rows[tied]] == values[tied]
        rows = count - 1 - rows  # the highest threshold first; `count` is below all of them
        self.count = count
        self.tied: Indices = np.unique(rows[tied])
        shape = (count + 1, num_groups)
        self._positives = counter(rows[positive], groups[positive], shape)
        self._negatives = counter(rows[~positive], groups[~positive], shape)
        places, shape = np.searchsorted(self.tied, rows[tied]), (len(self.tied), num_groups)
        self._ties = counter(places, groups[tied], shape)

    def curve(self, weights: _Floats) -> "Curve":
        """Count positives and negatives above each threshold, weights (G, R)."""
        positives, negatives = self._positives @ weights, self._negatives @ weights
        return Curve(positives, negatives, self._ties @ weights, self.tied)


@dataclass
class Curve:
    """Weights of positives and negatives at falling thresholds (T + 1, R), the last below all.

    Attributes:
        positives: Weight of the positives at each threshold.
        negatives: Weight of the negatives from each threshold up to the next higher one.
        ties: Weight of the negatives at those thresholds where there are any.
        tied: Numbers of these thresholds.
    """

    positives: _Floats
    negatives: _Floats
    ties: _Floats
    tied: Indices

    @cached_property
    def true(self) -> _Floats:
        """Weight of the true positives at each threshold; that of all positives in the end."""
        return np.cumsum(self.positives, axis=0)

    @cached_property
    def false(self) -> _Floats:
        """Weight of the false positives at each threshold; that of all negatives in the end."""
        return np.cumsum(self.negatives, axis=0)

    @cached_property
    def sensitivity(self) -> _Floats:
        """Sensitivity at each threshold."""
        return np.asarray(self.true / self.true[-1])

    def roc_auc(self) -> _Floats:
        """Compute the area under the ROC curve, in which a tie counts one half."""
        won = np.einsum("tr,tr->r", self.positives, self.false[-1] - self.false)
        won += np.einsum("tr,tr->r", self.positives[self.tied], self.ties) / 2
        return np.asarray(won / (self.true[-1] * self.false[-1]))

    def average_precision(self) -> _Floats:
        """Average the precision at the thresholds of positives."""
        precision = self.true / np.maximum(self.true + self.false, _TINY)
        found = np.einsum("tr,tr->r", self.positives, precision)
        return np.asarray(np.where(self.false[-1] > 0, found / self.true[-1], np.nan))

    def specificity_at(self, sensitivity: float) -> _Floats:
        """Compute the highest specificity at which sensitivity is reached."""
        place = np.count_nonzero(self.sensitivity < sensitivity, axis=0)
        false = np.take_along_axis(self.false, place[None], axis=0)[0]
        return np.asarray(np.where(self.true[-1] > 0, 1 - false / self.false[-1], np.nan))

    def sensitivity_at(self, specificity: float) -> _Floats:
        """Compute the highest sensitivity at which specificity is reached."""
        reached = (self.false[-1] - self.false) / self.false[-1] >= specificity
        place = np.count_nonzero(reached, axis=0)
        found = np.take_along_axis(self.sensitivity, np.maximum(place - 1, 0)[None], axis=0)[0]
        return np.asarray(np.where(self.false[-1] > 0, found * (place > 0), np.nan))

    def pauc(self, above: float) -> _Floats:
        """Compute the area under the ROC curve that lies above a sensitivity, 0..1 - above."""
        start = int(np.count_nonzero(self.sensitivity < above, axis=0).min())
        end = self.sensitivity[start:]
        begin = np.vstack([self.sensitivity[start - 1] if start else 0 * end[0], end[:-1]])
        lower, upper = np.maximum(begin, above), np.maximum(end, above)
        area = (upper - lower) * (1 - self.false[start:] / self.false[-1])
        ties = self.tied >= start
        rows = self.tied[ties] - start
        # Between two thresholds the curve rises in a straight line over the ties
        height = (upper - lower)[rows] ** 2
        rise = np.maximum((end - begin)[rows], _TINY)
        area[rows] += height / rise * self.ties[ties] / self.false[-1] / 2
        return np.asarray(area.sum(axis=0))


CURVE_SCORES: Mapping[str, Callable[[Curve, Mapping[str, float]], _Floats]] = {
    "roc_auc": lambda curve, _: curve.roc_auc(),
    "average_precision": lambda curve, _: curve.average_precision(),
    "specificity_at_sensitivity": lambda curve, at: curve.specificity_at(at["sensitivity"]),
    "sensitivity_at_specificity": lambda curve, at: curve.sensitivity_at(at["specificity"]),
    "pauc": lambda curve, at: curve.pauc(at["pauc_above"]),
}
"""Scores of one class by name, of a curve and where it is read."""


def counter(
    rows: Iterable[int], groups: Indices, shape: tuple[int, int], values: Any = None
) -> csr_array:
    """Make the matrix whose product with weights of groups (G, R) sums values over each row."""
    values = np.ones(len(groups)) if values is None else values
    return csr_array((values, (rows, groups)), shape=shape)

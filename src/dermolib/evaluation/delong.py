"""Areas under ROC curves with their covariance, clustered by lesion."""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from dermolib._validation import Indices, check_number, require
from dermolib.evaluation.intervals import Interval
from dermolib.evaluation.predictions import Predictions, as_array, as_target, number_groups

__all__ = ["DeLong", "auc_difference", "count_groups", "delong", "p_value_of"]

_ROUNDING = 1e-12

_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DeLong:
    """Areas under the ROC curves of M models on the same images, with their covariance.

    Attributes:
        auc: Area of each model (M,), 0..1.
        covariance: Covariance of the areas (M, M), by group.
        n: Number of images.
        groups: Number of groups.
    """

    auc: _Floats
    covariance: _Floats
    n: int
    groups: int

    def difference(self, first: int = 0, second: int = 1, *, level: float = 0.95) -> Interval:
        """Subtract the area of one model from that of another, with a normal interval.

        Args:
            first: Number of one model, 0..M-1.
            second: Number of the other.
            level: Level of the interval, above 0 and below 1.
        """
        check_number(level, "level", above=0, below=1)
        value, error = self._difference(first, second)
        margin = float(norm.ppf((1 + level) / 2)) * error
        return Interval(value, value - margin, value + margin, level, self.n, self.groups)

    def p_value(self, first: int = 0, second: int = 1) -> float:
        """Test whether two models have the same area, two-sided."""
        return p_value_of(*self._difference(first, second))

    def _difference(self, first: int, second: int) -> tuple[float, float]:
        """Compute a difference with its standard error."""
        for name, value in (("first", first), ("second", second)):
            check_number(value, name, low=0, high=len(self.auc) - 1, integer=True)
        contrast = np.zeros(len(self.auc))
        contrast[first] += 1
        contrast[second] -= 1
        variance = max(0.0, float(contrast @ self.covariance @ contrast))
        return float(contrast @ self.auc), variance**0.5


def delong(scores: Any, target: Any, *, groups: Any = None) -> DeLong:
    """Compute the area under the ROC curve of models with variance and covariance by lesion.

    Images of one lesion may belong to both classes. With one image per lesion this is the method of
    DeLong et al. Takes N log N steps.

    Args:
        scores: Scores of M models (N, M), or of one (N,); higher for class 1.
        target: True classes (N,), 0 or 1, both of two groups or more.
        groups: Group of each image (N,), such as its lesion; one whose group is missing is a group
            of its own. None makes each image a group.

    Returns:
        Areas and their covariance.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, a value is not finite, or a class has too few groups.

    References:
        Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53(2), 1997,
        https://doi.org/10.2307/2533958. DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988,
        https://doi.org/10.2307/2531595. Sun and Xu, Fast implementation of DeLong's algorithm,
        IEEE Signal Processing Letters 21(11), 2014, https://doi.org/10.1109/LSP.2014.2337313.

    Examples:
        >>> target = np.array([0, 0, 1, 1, 0, 1])
        >>> scores = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9])
        >>> found = delong(np.column_stack([scores, -scores]), target)
        >>> found.auc.round(3).tolist()
        [0.889, 0.111]
        >>> float(found.covariance[0, 0]) == -float(found.covariance[0, 1])
        True
    """
    given = _as_scores(scores)
    classes = as_target(target, 2)
    require(
        len(classes) == len(given), "scores", f"as many as `target`, {len(classes):,}", len(given)
    )
    positive = classes == 1
    numbers = number_groups(groups, len(classes))
    for name, count in zip((1, 0), count_groups(positive, numbers), strict=True):
        got = f"class {name} in {count}"
        require(count >= 2, "target", "classes 0 and 1, each in two groups or more", got)
    columns = np.repeat(positive[:, None], given.shape[1], axis=1)
    found = _influence(given, columns, numbers)
    covariance = found.covariance(np.ones((given.shape[1],) * 2))
    return DeLong(found.auc, covariance, len(given), int(numbers.max()) + 1)


def auc_difference(a: Predictions, b: Predictions, classes: Indices) -> tuple[float, float]:
    """Subtract the mean areas of two models over some classes: difference, standard error.

    The areas of several classes, each against the rest, covary through the groups, which all of
    them have in common.

    Args:
        a: Predictions of one model.
        b: Those of another, of the same images.
        classes: Numbers of the classes, each of which two groups or more have, and have not.
    """
    positive = a.target[:, None] == classes
    one, other = (_influence(x.probabilities[:, classes], positive, a.groups) for x in (a, b))
    both = replace(
        one,
        auc=one.auc - other.auc,
        positive=one.positive - other.positive,
        negative=one.negative - other.negative,
    )
    variance = float(both.covariance(np.eye(len(classes))).mean())
    return float(both.auc.mean()), max(0.0, variance) ** 0.5


def p_value_of(difference: float, error: float) -> float:
    """Compute the two-sided p-value of a difference with its error; above 0, 1 for no difference.

    Args:
        difference: Difference of two areas.
        error: Its standard error.
    """
    if abs(difference) < _ROUNDING:
        return 1.0
    ratio = abs(difference) / error if error > _ROUNDING else np.inf
    return max(2 * float(norm.sf(ratio)), float(np.finfo(np.float64).tiny))


@dataclass(frozen=True, eq=False)
class _Influence:
    """What each of G groups adds to the areas of C columns: by its positives and its negatives."""

    auc: _Floats
    positive: _Floats
    negative: _Floats
    with_positives: _Floats
    with_negatives: _Floats
    groups: int

    def covariance(self, same: _Floats) -> _Floats:
        """Compute the covariance of the columns (C, C); `same` is 1 where their class is the same.

        A sum over groups has Obuchowski's correction I / (I - 1), with I the groups with positives,
        those with negatives, and all of them for what the two have in common.
        """
        every = self.groups / (self.groups - 1)
        both = self.positive + self.negative
        own = (_correction(self.with_positives) - every) * (self.positive.T @ self.positive)
        own += (_correction(self.with_negatives) - every) * (self.negative.T @ self.negative)
        return np.asarray(every * (both.T @ both) + same * own)


def _correction(counts: _Floats) -> _Floats:
    return counts / (counts - 1)


def _influence(scores: _Floats, positive: _Flags, groups: Indices) -> _Influence:
    """Compute areas and the influence of each group on them, column by column."""
    areas: list[float] = []
    first: list[_Floats] = []
    second: list[_Floats] = []
    counts: list[tuple[int, int]] = []
    for column, rows in zip(scores.T, positive.T, strict=True):
        placements = _placements(column, rows)
        areas.append(float(placements[rows].mean()))
        for kind, sums in ((rows, first), (~rows, second)):
            centered = np.where(kind, placements - areas[-1], 0) / kind.sum()
            sums.append(np.bincount(groups, centered).astype(np.float64))
        counts.append(count_groups(positive=rows, groups=groups))
    with_positives, with_negatives = np.array(counts, np.float64).T
    columns = np.column_stack(first), np.column_stack(second)
    total = len(np.unique(groups))
    return _Influence(np.array(areas), *columns, with_positives, with_negatives, total)


def count_groups(positive: _Flags, groups: Indices) -> tuple[int, int]:
    """Count the groups that have positives, and those that have negatives."""
    return len(np.unique(groups[positive])), len(np.unique(groups[~positive]))


def _placements(scores: _Floats, positive: _Flags) -> _Floats:
    """Compute the fraction of the other class that each score is right of: ties count half."""
    within = np.empty(len(scores))
    for kind in (positive, ~positive):
        within[kind] = rankdata(scores[kind])
    passed = rankdata(scores) - within  # members of the other class below, by midranks
    right = np.where(positive, passed / (~positive).sum(), 1 - passed / positive.sum())
    return np.asarray(right)


def _as_scores(scores: Any) -> _Floats:
    """Check scores and return them with a column for each model."""
    given = as_array(scores, "scores")
    what = "finite numbers (N, M) or (N,)"
    require(given.dtype.kind in "iuf", "scores", what, f"dtype {given.dtype}", error=TypeError)
    given = given[:, None] if given.ndim == 1 else given
    fits = given.ndim == 2 and given.size > 0
    require(fits, "scores", what, f"shape {np.shape(scores)}")
    given = given.astype(np.float64)
    require(np.isfinite(given).all(), "scores", what, "NaN or infinity")
    return given

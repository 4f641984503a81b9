"""Declining to answer: risk against coverage, and the confidence above which errors are rare."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import psi
from scipy.stats import beta

from dermolib._validation import check_flag, check_number, require
from dermolib.evaluation.intervals import Interval, resampled_intervals, widen_at_bounds
from dermolib.evaluation.predictions import Predictions, as_array, read_predictions
from dermolib.evaluation.ranking import counter
from dermolib.evaluation.resampling import Weights
from dermolib.evaluation.statistics import predicted_classes
from dermolib.evaluation.support import FEW_GROUPS

__all__ = ["RiskCoverage", "RiskThreshold", "risk_coverage", "threshold_for_risk"]

_Floats: TypeAlias = npt.NDArray[np.float64]

_POINTS = 100  # of a curve
_STARTS = (2, 4, 8)  # one over the fractions of lesions that are answered at first


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Risk of the images that are answered, by how many are; `risk_coverage` makes one.

    Attributes:
        table: Up to 100 points from the most confident images to all: those with a confidence of
            ``threshold`` or more are answered, a fraction ``coverage`` of all, and a fraction
            ``risk`` of them is wrong, with its interval from ``low`` to ``high``; ``n`` images of
            ``groups`` lesions are answered, and ``few`` marks fewer than 10.
        aurc: Area under the curve, the mean risk over all coverages; lower is better.
        excess_aurc: What of it is due to the order: 0 if each error is less confident than each
            right answer.
    """

    table: pd.DataFrame
    aurc: Interval
    excess_aurc: Interval


@dataclass(frozen=True)
class RiskThreshold:
    """Confidence from which images are answered; `threshold_for_risk` makes one.

    Attributes:
        threshold: Images with this confidence or more are answered; NaN if none qualifies.
        risk: Risk that was asked for.
        level: Probability with which the risk is kept.
        upper: Upper confidence bound of the risk at the threshold.
        observed: Risk at the threshold on the images at hand.
        coverage: Fraction of these images that are answered.
        n: Number of images that are answered.
        groups: Number of their lesions, or other groups.
        reason: Why there is no threshold; empty if there is one.
    """

    threshold: float
    risk: float
    level: float
    upper: float
    observed: float
    coverage: float
    n: int
    groups: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Write all as values of JSON, None in place of NaN."""
        return {name: None if x != x else x for name, x in asdict(self).items()}


def risk_coverage(
    probabilities: Any,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    confidence: Any = None,
    balanced: bool = False,
    values: str = "probabilities",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> RiskCoverage:
    """Compute how often answers are wrong if only the most confident ones are given.

    Images are ranked by confidence. The area under the curve is the mean over all images of the
    risk of those that are at least as confident; images of the same confidence count as in random
    order. The excess is the area beyond that of the best order of the same answers.

    Args:
        probabilities: Predictions (N, K), see `dermolib.evaluation.score`.
        target: True classes (N,), or a data set.
        groups: Lesion of each image (N,), or its patient; None makes each image one.
        label_space: Classes; None takes those of the data set or the data frame, or numbers.
        confidence: Confidence in each answer (N,), higher is surer, such as minus
            `dermolib.evaluation.ood_score`; None takes the highest probability.
        balanced: Whether images are weighted so that each class is as common as any other, which
            weighs an error on a rare class more; the weights are those of all images, also in
            resamples. Coverage is then weighted, too.
        values: ``"probabilities"``, ``"logits"`` or ``"independent"`` probabilities.
        resamples: Number of resamples of lesions, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of the resampling, 0 or more.

    Returns:
        The curve, its area and the excess, with intervals by lesion (BCa; where no answer is wrong,
        or all are, that of Clopper and Pearson over lesions).

    Raises:
        TypeError: An argument is of another type.
        ValueError: Predictions are not as they should be, or an argument is out of range.

    References:
        Geifman and El-Yaniv, Selective classification for deep neural networks, NeurIPS, 2017,
        https://doi.org/10.48550/arXiv.1705.08500; Geifman, Uziel and El-Yaniv, Bias-reduced
        uncertainty estimation for deep neural classifiers, ICLR, 2019,
        https://doi.org/10.48550/arXiv.1805.08206.

    Examples:
        >>> probabilities = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]
        >>> curve = risk_coverage(probabilities, [0, 0, 1, 0], resamples=100)
        >>> curve.table["risk"].tolist(), curve.aurc.score, curve.excess_aurc.score
        ([0.0, 0.0, 0.0, 0.25], 0.0625, 0.0)
    """
    check_flag(balanced, "balanced")
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    found = read_predictions(probabilities, target, groups, label_space, values=values)
    sure = _confidence(found, confidence)
    weights = _class_weights(found) if balanced else np.ones(len(found))
    curve = _Curve(found, sure, weights)
    parts = resampled_intervals(
        curve.statistic, found.num_groups, resamples=resamples, level=level, seed=seed
    )
    every, low, high = parts
    table = curve.points(sure, found)
    table["risk"] = every[2:]
    ends = widen_at_bounds(every[2:], (low[2:], high[2:]), table["groups"].to_numpy(), level)
    table["low"], table["high"] = ends
    table = table[["coverage", "threshold", "risk", "low", "high", "n", "groups"]]
    areas = [
        Interval(float(value), float(start), float(end), level, len(found), found.num_groups)
        for value, start, end in zip(every[:2], low[:2], high[:2], strict=True)
    ]
    return RiskCoverage(table.assign(few=table["groups"] < FEW_GROUPS), *areas)


def threshold_for_risk(
    probabilities: Any,
    target: Any,
    *,
    risk: float = 0.1,
    level: float = 0.95,
    groups: Any = None,
    label_space: Any = None,
    confidence: Any = None,
    values: str = "probabilities",
    seed: int = 0,
) -> RiskThreshold:
    """Find the confidence from which the answers keep a chosen risk, with a guarantee.

    In each lesion one of its answered images is drawn, and the upper bound of Clopper and Pearson
    is computed for the fraction of these that is wrong. Thresholds are tried in a fixed order
    (fixed sequence testing): from those at which a half, a quarter and an eighth of the lesions
    have an answer, each at a third of 1 - `level`, on to more answers, until the bound is above the
    risk. A start with so few lesions that errors could hardly be borne is left out, and the others
    have more of the level. Of all thresholds that keep the risk the one with the most answers is
    taken.

    **What is guaranteed**: let one of the answered images of a new lesion that has any be drawn. If
    lesions at hand and new ones are exchangeable, and the network was not trained on them, it is
    wrong with a probability of `risk` or less; this holds in a fraction `level` of all draws of the
    lesions at hand. It does not hold for each class: rare classes may be wrong more often.

    Args:
        probabilities: Predictions (N, K), see `dermolib.evaluation.score`.
        target: True classes (N,), or a data set.
        risk: Fraction of wrong answers that is allowed, above 0 and below 1.
        level: Probability with which the risk is kept, above 0 and below 1.
        groups: Lesion of each image (N,), or its patient; None makes each image one.
        label_space: Classes; None takes those of the data set or the data frame, or numbers.
        confidence: As for `risk_coverage`.
        values: ``"probabilities"``, ``"logits"`` or ``"independent"`` probabilities.
        seed: Seed of the draw of an image from each lesion, 0 or more.

    Returns:
        The threshold, NaN with the reason where there is none.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Predictions are not as they should be, or an argument is out of range.

    References:
        Geifman and El-Yaniv, as for `risk_coverage`; Angelopoulos, Bates, Candes, Jordan and Lei,
        Learn then test: calibrating predictive algorithms to achieve risk control, 2021,
        https://doi.org/10.48550/arXiv.2110.01052.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> first = generator.uniform(0, 1, 2000)
        >>> target = (generator.uniform(0, 1, 2000) > first).astype(int)
        >>> found = threshold_for_risk(np.c_[first, 1 - first], target, risk=0.2)
        >>> 0.55 < found.threshold < 0.7, found.observed < found.upper <= 0.2
        (True, True)
    """
    check_number(risk, "risk", above=0, below=1)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    risk, level = float(risk), float(level)
    found = read_predictions(probabilities, target, groups, label_space, values=values)
    sure = _confidence(found, confidence)
    wrong = predicted_classes(found.probabilities) != found.target
    highest = np.full(found.num_groups, -np.inf)
    np.maximum.at(highest, found.groups, sure)
    ranked = np.sort(highest)[::-1]
    # A threshold lies just above the next lesion, so that those above it are a random draw
    cuts = np.append(np.nextafter(ranked[1:], np.inf), sure.min())

    chance = np.random.default_rng(seed).random(found.num_groups)

    def wrong_lesions(count: int) -> tuple[int, int]:
        kept = sure >= cuts[count - 1]
        total = np.bincount(found.groups[kept], minlength=found.num_groups)
        errors = np.bincount(found.groups[kept & wrong], minlength=found.num_groups)
        return int((chance * total < errors).sum()), int((total > 0).sum())

    count, upper = _walk(wrong_lesions, found.num_groups, risk, 1 - level)
    if not count:
        reason = _reason(float(wrong.mean()), found.num_groups, risk, level)
        return RiskThreshold(np.nan, risk, level, np.nan, np.nan, 0.0, 0, 0, reason)
    kept = sure >= cuts[count - 1]
    lesions = np.unique(found.groups[kept], return_inverse=True)[1]
    observed = np.bincount(lesions, wrong[kept]) / np.bincount(lesions)
    return RiskThreshold(
        *(float(cuts[count - 1]), risk, level, upper, float(observed.mean())),
        *(float(kept.mean()), int(kept.sum()), len(observed)),
    )


def _reason(observed: float, count: int, risk: float, level: float) -> str:
    """Say why no threshold keeps the risk."""
    return (
        f"no threshold has an upper bound of {risk:g} or less at the level {level:g}, with "
        f"{count:,} groups and {observed:.3g} of all answers wrong"
    )


def _walk(
    wrong: Callable[[int], tuple[int, int]], total: int, risk: float, error: float
) -> tuple[int, float]:
    """Find how many lesions can be answered within the risk, and the bound; 0 for none.

    Args:
        wrong: Function of a number of lesions that are answered that returns how many of them are
            wrong, and how many have an answer, which ties may make fewer.
        total: Number of lesions.
        risk: Risk that is allowed.
        error: Probability that a higher risk is taken for a lower one.
    """
    fewest = np.log(error) / np.log1p(-risk)  # with no error at all
    starts = [total // part for part in _STARTS if total // part >= 2 * fewest] or [total]
    error /= len(starts)
    best, bound = 0, np.nan
    for start in starts:
        steps = np.linspace(start, total, _POINTS).astype(int)
        for count in np.unique(steps).tolist():
            errors, answered = wrong(count)
            if answered < np.log(error) / np.log1p(-risk):
                continue  # ties leave too few answers to bear an error, whatever they are
            upper = _upper_bound(errors, answered, error)
            if upper > risk:
                break
            if count > best:
                best, bound = count, upper
    return best, bound


def _upper_bound(wrong: int, total: int, error: float) -> float:
    """Bound a fraction from above after Clopper and Pearson, at most wrong with `error`."""
    return 1.0 if wrong == total else float(beta.ppf(1 - error, wrong + 1, total - wrong))


class _Curve:
    """Weights and errors of images by confidence, for any weights of groups."""

    def __init__(self, found: Predictions, sure: _Floats, weights: _Floats) -> None:
        """Sum them over the images of each confidence, the highest first, and each group."""
        wrong = predicted_classes(found.probabilities) != found.target
        self._levels, rows = np.unique(-sure, return_inverse=True)
        shape = (len(self._levels), found.num_groups)
        self._images = counter(rows, found.groups, shape, weights)
        self._errors = counter(rows, found.groups, shape, weights * wrong)
        reached = np.cumsum(np.bincount(rows, weights=weights))
        targets = reached[-1] * np.arange(1, _POINTS + 1) / _POINTS
        places = np.searchsorted(reached, targets - 1e-9 * reached[-1])
        self._places = np.unique(np.minimum(places, len(reached) - 1))
        self._coverage = reached[self._places] / reached[-1]

    def statistic(self, weights: Weights) -> _Floats:
        """Compute area, excess and the risk of each point (R, 2 + points)."""
        turned = weights.T.astype(np.float64)
        images, errors = self._images @ turned, self._errors @ turned
        accepted, missed = np.cumsum(images, axis=0), np.cumsum(errors, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            risks = missed[self._places] / accepted[self._places]
            total, wrong = accepted[-1], missed[-1]
            area = _summed_risk(images, errors, accepted, missed).sum(axis=0) / total
            best = wrong - (total - wrong) * (psi(total + 1) - psi(total - wrong + 1))
            excess = area - best / total
        return np.vstack([area, excess, risks]).T

    def points(self, sure: _Floats, found: Predictions) -> pd.DataFrame:
        """List the points with their thresholds, coverages, images and groups."""
        thresholds = -self._levels[self._places]
        highest = np.full(found.num_groups, -np.inf)
        np.maximum.at(highest, found.groups, sure)
        counts = [
            len(one) - np.searchsorted(np.sort(one), thresholds, side="left")
            for one in (sure, highest)
        ]
        columns = {"coverage": self._coverage, "threshold": thresholds}
        return pd.DataFrame({**columns, "n": counts[0], "groups": counts[1]})


def _summed_risk(images: _Floats, errors: _Floats, accepted: _Floats, missed: _Floats) -> _Floats:
    """Sum the risk over the images of each confidence, as if they came in random order.

    The i-th of m images follows A accepted ones with E errors, and e m / i errors are expected up
    to it: the sum of (E + e i / m) / (A + i) is e + (E - A e / m) (psi(A + m + 1) - psi(A + 1)).
    """
    first = accepted - images
    steps = psi(accepted + 1) - psi(first + 1)
    fraction = errors / np.where(images > 0, images, 1)
    return np.asarray(errors + (missed - errors - first * fraction) * steps)


def _confidence(found: Predictions, given: Any) -> _Floats:
    """Check the confidence of each answer, or take the highest probability."""
    if given is None:
        hint = "Pass `confidence`, or probabilities."
        require(not found.classes_only, "probabilities", "floats (N, K)", "classes (N,)", hint)
        return np.asarray(found.probabilities.max(axis=1))
    sure = as_array(given, "confidence")
    what, got = f"a number for each image ({len(found):,},)", f"shape {sure.shape}"
    require(sure.dtype.kind in "iuf", "confidence", what, f"dtype {sure.dtype}", error=TypeError)
    require(sure.shape == (len(found),), "confidence", what, got)
    require(np.isfinite(sure).all(), "confidence", "finite numbers", "NaN or infinity")
    return sure.astype(np.float64)


def _class_weights(found: Predictions) -> _Floats:
    """Weight images so that each class weighs the same, 1 on average."""
    counts = np.bincount(found.target)
    return np.asarray(len(found) / (np.count_nonzero(counts) * counts[found.target]))

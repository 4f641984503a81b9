"""Confidence intervals by a bootstrap clustered by lesion."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import beta

from dermolib._validation import Indices, check_choice, check_number, require, warn
from dermolib.evaluation.predictions import number_groups
from dermolib.evaluation.resampling import (
    Floats,
    Statistic,
    Weights,
    bootstrap_weights,
    jackknife,
    replicates,
)

__all__ = [
    "INTERVAL_METHODS",
    "Interval",
    "bootstrap_interval",
    "interval_ends",
    "resampled_intervals",
    "widen_at_bounds",
]

INTERVAL_METHODS = ("smoothed", "bca", "percentile")

_FEW = 20  # groups in all

_TINY, _EPSILON = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Interval:
    """A score of all images with its confidence interval from `low` to `high`.

    Attributes:
        level: Level of the interval, 0..1.
        n: Number of images.
        groups: Number of groups that were resampled.
    """

    score: float
    low: float
    high: float
    level: float
    n: int
    groups: int


def bootstrap_interval(
    score: Callable[[Indices], float],
    groups: Any,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    method: str = "percentile",
    seed: int = 0,
) -> Interval:
    """Compute an interval of any score by resampling whole groups with replacement.

    Resamples whose score is NaN are left out. Where there are fewer than 20 groups, or all
    resamples score the same, the interval may be too narrow, and a warning says so.

    A score that weights classes should take their weights from all rows, not from those it is
    given: the interval then covers up to 3 points better. `dermolib.evaluation.score` does so, and
    marks classes with few groups.

    Args:
        score: Function of row numbers (M,), some of them repeated, that returns their score.
        groups: Group of each row (N,), such as its lesion; a row whose group is missing is a group
            of its own: None, NaN, -1, and the texts that tables have for missing values.
        resamples: Number of resamples, 1 or more.
        level: Level of the interval, above 0 and up to 1.
        method: ``"percentile"``; or ``"bca"``, which corrects for bias and skewness and calls
            `score` up to 200 times more.
        seed: Seed of the resampling, 0 or more.

    Returns:
        Score of all rows with its interval.

    Raises:
        ValueError: There is no row, the score of all rows or of all resamples is NaN, or an
            argument is out of range.

    References:
        Field and Welsh, Bootstrapping clustered data, Journal of the Royal Statistical Society B
        69(3), 2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x; for ``"bca"`` Efron, Better
        bootstrap confidence intervals, Journal of the American Statistical Association 82(397),
        1987, https://doi.org/10.1080/01621459.1987.10478410.

    Examples:
        >>> right = np.tile([1, 1, 1, 0], 20)
        >>> lesions = np.repeat(np.arange(40), 2)
        >>> interval = bootstrap_interval(lambda rows: right[rows].mean(), lesions)
        >>> interval.score, interval.groups, 0.6 < interval.low < 0.75 < interval.high < 0.9
        (0.75, 40, True)
    """
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, high=1)
    check_choice(method, "method", ("percentile", "bca"))
    check_number(seed, "seed", low=0, integer=True)
    count = np.shape(groups)[:1]
    numbers = number_groups(groups, count[0] if count else 1)
    require(len(numbers), "groups", "a group for each row (N,)", f"shape {np.shape(groups)}")
    num_groups = int(numbers.max()) + 1
    order = np.argsort(numbers, kind="stable")
    statistic = partial(_score_resamples, score, order, numbers[order])
    parts = bootstrap_weights(num_groups, resamples, seed)
    value = statistic(np.ones((1, num_groups), np.float32))[0]
    drawn = np.concatenate([statistic(draw()) for draw in parts])
    undefined = "all rows" if np.isnan(value) else "each resample" if np.isnan(drawn).all() else ""
    require(not undefined, "score", "a function that returns numbers", f"NaN for {undefined}")
    left_out = jackknife(statistic, num_groups) if method == "bca" and num_groups > 1 else None
    low, high = interval_ends(value, drawn, left_out, method=method, level=level)
    _warn_of_few(num_groups, narrow=bool(np.ptp(drawn[~np.isnan(drawn)]) == 0))
    ends = float(value[0]), float(low[0]), float(high[0])
    return Interval(*ends, float(level), len(numbers), num_groups)


def _score_resamples(
    score: Callable[[Indices], float], rows: Indices, numbers: Indices, weights: Weights
) -> Floats:
    """Call a function of row numbers, sorted by group, for each resample (R, G): scores (R, 1)."""
    with warnings.catch_warnings():
        # A resample may well be without class 0
        warnings.filterwarnings("ignore", "Expected `target` to be classes from 0")
        return np.array(
            [[score(np.repeat(rows, one[numbers].astype(np.intp)))] for one in weights],
            np.float64,
        )


def _warn_of_few(num_groups: int, *, narrow: bool) -> None:
    """Warn where an interval promises more than it can keep."""
    if num_groups < _FEW:
        warn(
            f"The interval rests on fewer than {_FEW} groups, {num_groups}, and is too narrow: one "
            "of 95 % then holds the true score in 73 to 91 % of cases."
        )
    elif narrow:
        warn(
            "All resamples score the same, so that the interval has no width. "
            "`dermolib.evaluation.score` gives one where all predictions are right."
        )


def interval_ends(
    values: Floats,
    drawn: Floats,
    left_out: Floats | None = None,
    *,
    method: str = "bca",
    level: float = 0.95,
    center: Floats | None = None,
    skewed: bool = True,
) -> tuple[Floats, Floats]:
    """Turn replicates of M values into the ends of their intervals.

    ``"percentile"`` takes quantiles of the replicates. ``"bca"`` shifts these by the bias of the
    replicates, those equal to the value counted half, and by the skewness of the jackknife.
    ``"smoothed"``, for predictions with borrowed groups, does the same, and takes quantiles further
    out where few groups make most of the spread, as Student's t does. NaN replicates are left out;
    with none left the ends are NaN. An interval always holds its value: where that lies outside of
    the replicates, it is an end.

    Args:
        values: Values of all groups (M,).
        drawn: Values of resamples (R, M).
        left_out: Values without each block of groups (B, M), see `resampling.jackknife`, which
            ``"bca"`` and ``"smoothed"`` take skewness and degrees of freedom from; without them
            they correct the bias alone.
        method: One of `INTERVAL_METHODS`.
        level: Level of the intervals, above 0 and up to 1.
        center: Values that the replicates scatter about (M,), with borrowed groups; None for
            `values`.
        skewed: Whether skewness is corrected; of the difference of two models it rests on the few
            groups that they disagree on, and is mostly noise.

    Returns:
        Low and high ends (M,).

    References:
        Hesterberg, What teachers should know about the bootstrap, The American Statistician 69(4),
        2015, https://doi.org/10.1080/00031305.2015.1089789, on quantiles further out; Efron, Better
        bootstrap confidence intervals, Journal of the American Statistical Association 82(397),
        1987, https://doi.org/10.1080/01621459.1987.10478410.
    """
    ordered = np.sort(drawn, axis=0)  # NaN last
    known = (~np.isnan(ordered)).sum(axis=0)
    tails = np.array([[(1 - level) / 2], [(1 + level) / 2]]) * np.ones(len(values))
    if method == "smoothed" and left_out is not None:
        tails = _expanded(tails, _degrees(left_out))
    if method != "percentile" and level < 1:
        bias = _bias(values if center is None else center, ordered, known)
        skewness = _acceleration(left_out) if skewed and left_out is not None else 0 * bias
        tails = _corrected(tails, bias, skewness)
    low, high = _quantiles(ordered, known, tails)
    low, high = np.fmin(low, values), np.fmax(high, values)
    undefined = np.isnan(values) | (known == 0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def _influence(left_out: Floats) -> Floats:
    """Compute how far each block moves values (B, M); 0 where that is but rounding."""
    known = np.isfinite(left_out)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, left_out, 0).sum(axis=0) / count
    influence = np.where(known, mean - left_out, 0)
    spread = np.abs(influence).max(axis=0, initial=0)
    moved = spread > 1e-9 * np.maximum(np.abs(mean), 1e-3)
    return np.asarray(np.where(moved, influence / np.where(moved, spread, 1), 0))


def _degrees(left_out: Floats) -> Floats:
    """Estimate the degrees of freedom of the spread from the kurtosis of the jackknife, 1 or more.

    Blocks of the same spread give their number less 1; a few that outweigh the others give few.
    """
    influence = _influence(left_out)
    squares, fourths = (influence**2).sum(axis=0), (influence**4).sum(axis=0)
    found = 3 * squares**2 / np.where(fourths > 0, fourths, 1) - 1
    return np.asarray(np.where(fourths > 0, np.maximum(found, 1), np.inf))


def _expanded(tails: Floats, degrees: Floats) -> Floats:
    """Move tails (2, M) as far out as quantiles of Student's t are."""
    with np.errstate(invalid="ignore"):
        wider = stdtrit(degrees, tails) * np.sqrt((degrees + 1) / degrees)
    return np.asarray(np.where(np.isinf(degrees), tails, ndtr(wider)))


def _bias(values: Floats, ordered: Floats, known: npt.NDArray[np.intp]) -> Floats:
    """Compute how far the middle of the replicates is from the values, in standard normal units."""
    below = (ordered < values).sum(axis=0) + (ordered == values).sum(axis=0) / 2
    room = 0.5 / np.maximum(known, 1)  # a value beyond all replicates would be infinitely far
    return np.asarray(ndtri(np.clip(below / np.maximum(known, 1), room, 1 - room)))


def _acceleration(left_out: Floats) -> Floats:
    """Compute the skewness of the jackknife, over 6; 0 where it does not vary."""
    influence = _influence(left_out)
    squares = (influence**2).sum(axis=0)
    return np.asarray((influence**3).sum(axis=0) / (6 * np.where(squares > 0, squares, 1) ** 1.5))


def _corrected(tails: Floats, bias: Floats, acceleration: Floats) -> Floats:
    """Correct the tails (2, M) for bias and acceleration."""
    shifted = bias + ndtri(np.clip(tails, _TINY, 1 - _EPSILON))  # far out, but not infinitely
    slope = 1 - acceleration * shifted
    # Beyond a slope of 0 the correction turns round
    moved = bias + shifted / np.where(slope > 0, slope, np.nan)
    return np.asarray(np.where(slope > 0, ndtr(moved), tails > 0.5))


def _quantiles(ordered: Floats, known: npt.NDArray[np.intp], tails: Floats) -> Floats:
    """Read quantiles (2, M) off ordered replicates (R, M), the known first, as NumPy does."""
    place = tails * np.maximum(known - 1, 0)
    before = np.floor(place).astype(np.intp)
    after = np.minimum(before + 1, np.maximum(known - 1, 0))
    first, second = (np.take_along_axis(ordered, rows, axis=0) for rows in (before, after))
    return np.asarray(first + (place - before) * (second - first))


def resampled_intervals(
    statistic: Statistic, num_groups: int, *, resamples: int, level: float, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Compute the values of a statistic and the ends of their BCa intervals (M,)."""
    values = statistic(np.ones((1, num_groups), np.float32))[0]
    drawn = replicates(statistic, num_groups, resamples=resamples, seed=seed)
    left_out = jackknife(statistic, num_groups) if num_groups > 1 else None
    return values, *interval_ends(values, drawn, left_out, level=level)


def widen_at_bounds(
    values: Floats, ends: tuple[Floats, Floats], counts: npt.NDArray[np.intp], level: float
) -> tuple[Floats, Floats]:
    """Widen intervals of fractions of 0 and 1, whose resamples are all the same.

    The far end is that of Clopper and Pearson for so many groups (M,).
    """
    tail, number = (1 - level) / 2, np.maximum(counts, 1)
    low = np.where(values == 1, beta.ppf(tail, number, 1), ends[0])
    return low, np.where(values == 0, beta.ppf(1 - tail, 1, number), ends[1])

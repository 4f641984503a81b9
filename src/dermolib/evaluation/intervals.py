"""Confidence intervals by a bootstrap clustered by lesion."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from scipy.stats import beta

from dermolib._validation import check_number, require
from dermolib.evaluation.resampling import Floats, Statistic, jackknife, replicates

__all__ = [
    "INTERVAL_METHODS",
    "Interval",
    "bootstrap_interval",
    "interval_ends",
    "resampled_intervals",
]

INTERVAL_METHODS = ("bca", "percentile")


@dataclass(frozen=True)
class Interval:
    """A score of all images with its confidence interval from `low` to `high`.

    Attributes:
        level: Fraction of resamples within the interval, 0..1.
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
    score: Callable[[npt.NDArray[np.intp]], float],
    groups: npt.ArrayLike,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute a percentile interval of a score by resampling whole groups with replacement.

    Args:
        score: Function of row numbers (M,), some of them repeated, that returns their score.
        groups: Group of each row (N,), such as its lesion; any values that can be sorted.
        resamples: Number of resamples, 1 or more.
        level: Level of the interval, above 0 and up to 1.
        seed: Seed of the resampling, 0 or more.

    Returns:
        Score of all rows with its percentile interval.

    Raises:
        ValueError: There is no row, or an argument is out of range.

    References:
        Field and Welsh, Bootstrapping clustered data, Journal of the Royal Statistical Society B
        69(3), 2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x.

    Examples:
        >>> right = np.array([1, 1, 1, 0, 1, 1, 0, 1])
        >>> lesions = np.array([0, 0, 1, 1, 2, 2, 3, 3])
        >>> interval = bootstrap_interval(lambda rows: right[rows].mean(), lesions)
        >>> interval.score, interval.low, interval.high, interval.groups
        (0.75, 0.5, 1.0, 4)
    """
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, high=1)
    check_number(seed, "seed", low=0, integer=True)
    names: npt.NDArray[Any] = np.asarray(groups)
    fits = names.ndim == 1 and len(names)
    require(fits, "groups", "a group for each row (N,)", f"shape {names.shape}")
    number, size = np.unique(names, return_inverse=True, return_counts=True)[1:]
    rows_by_group = np.split(np.argsort(number, kind="stable"), np.cumsum(size)[:-1])
    generator = np.random.default_rng(seed)
    every = float(score(np.arange(len(names))))
    scores = []
    with warnings.catch_warnings():
        # A resample may well be without class 0
        warnings.filterwarnings("ignore", "Expected `target` to be classes from 0")
        for _ in range(resamples):
            drawn = generator.integers(0, len(size), len(size))
            scores.append(score(np.concatenate([rows_by_group[group] for group in drawn])))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(every, float(low), float(high), float(level), len(names), len(size))


def interval_ends(
    values: Floats,
    drawn: Floats,
    left_out: Floats | None = None,
    *,
    method: str = "bca",
    level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Turn replicates of M values into the ends of their intervals.

    ``"percentile"`` takes quantiles of the replicates; ``"bca"`` shifts these by the bias of the
    replicates, those equal to the value counted half, and by the skewness of the jackknife. NaN
    replicates are left out; with none left the ends are NaN. An interval always holds its value:
    where that lies outside of the replicates, it is an end.

    Args:
        values: Values of all groups (M,).
        drawn: Values of resamples (R, M).
        left_out: Values without each block of groups (B, M), see `resampling.jackknife`, which
            ``"bca"`` takes the skewness from; without them it corrects the bias alone.
        method: One of `INTERVAL_METHODS`.
        level: Level of the intervals, above 0 and up to 1.

    Returns:
        Low and high ends (M,).

    References:
        Efron, Better bootstrap confidence intervals, Journal of the American Statistical
        Association 82(397), 1987, https://doi.org/10.1080/01621459.1987.10478410.
    """
    ordered = np.sort(drawn, axis=0)  # NaN last
    known = (~np.isnan(ordered)).sum(axis=0)
    tails = np.array([[(1 - level) / 2], [(1 + level) / 2]]) * np.ones(len(values))
    if method == "bca" and level < 1:
        acceleration = np.zeros(len(values)) if left_out is None else _acceleration(left_out)
        tails = _corrected(tails, _bias(values, ordered, known), acceleration)
    low, high = _quantiles(ordered, known, tails)
    undefined = np.isnan(values) | (known == 0)
    low, high = np.fmin(low, values), np.fmax(high, values)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def _bias(values: Floats, ordered: Floats, known: npt.NDArray[np.intp]) -> Floats:
    """Compute how far the middle of the replicates is from the values, in standard normal units."""
    below = (ordered < values).sum(axis=0) + (ordered == values).sum(axis=0) / 2
    room = 0.5 / np.maximum(known, 1)  # a value beyond all replicates would be infinitely far
    return np.asarray(ndtri(np.clip(below / np.maximum(known, 1), room, 1 - room)))


def _acceleration(left_out: Floats) -> Floats:
    """Compute the skewness of the jackknife, over 6; 0 where it does not vary."""
    known = np.isfinite(left_out)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, left_out, 0).sum(axis=0) / count
    influence = np.where(known, mean - left_out, 0)
    spread = np.abs(influence).max(axis=0, initial=0)
    # Rounding is no influence
    moved = spread > 1e-9 * np.maximum(np.abs(mean), 1e-3)
    scaled = np.where(moved, influence / np.where(moved, spread, 1), 0)
    squares = (scaled**2).sum(axis=0)
    return np.asarray((scaled**3).sum(axis=0) / (6 * np.where(moved, squares, 1) ** 1.5))


def _corrected(tails: Floats, bias: Floats, acceleration: Floats) -> Floats:
    """Correct the tails (2, M) for bias and acceleration."""
    shifted = bias + ndtri(tails)
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
    left_out = jackknife(statistic, num_groups)
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

"""Confidence intervals by a bootstrap clustered by lesion."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import check_number, require

__all__ = ["Interval", "bootstrap_interval"]


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

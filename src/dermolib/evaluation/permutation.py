"""Permutation of two models: which p-value their difference has if lesions could be swapped.

If two models are equally good, swapping their predictions of a whole lesion changes nothing but
the draw. Lesions of which swapping changes nothing are left out of all sums.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import comb
from scipy.stats import binom

from dermolib.evaluation.predictions import Predictions
from dermolib.evaluation.resampling import Statistic

__all__ = ["flip_signs", "swap_groups"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]
_Bytes: TypeAlias = npt.NDArray[np.uint8]

_SAME = 1e-9  # sums this close, relative to the largest, are a tie
_MULTIPLE = 1e-6  # how far sizes may be from a multiple of the least, relative to the largest
_SUMS = 20_000  # sums that are kept when all flips are enumerated
_STATES = 50 * _SUMS  # those that are merged into them at a time
_ROWS = 100  # permutations that are evaluated at once
_LEAST = float(np.finfo(np.float64).tiny)
_WORKERS = 2


def flip_signs(contributions: _Floats, *, permutations: int, seed: int) -> tuple[float, float]:
    """Test whether the sum of contributions is zero by flipping their signs, two-sided.

    All flips are enumerated where their sums take few values, as those of integers do; otherwise
    they are drawn, and the p-value has a standard error of its own.

    Args:
        contributions: What each group adds to the difference of two models (G,).
        permutations: Number of draws where not all flips can be enumerated.
        seed: Seed of the draws.

    Returns:
        p-value, above 0, and its Monte Carlo standard error, 0 for all flips.

    Examples:
        >>> p_value, error = flip_signs(np.array([1, 1, 1, 1, -1]), permutations=1000, seed=0)
        >>> p_value, error  # 12 of 32
        (0.375, 0.0)
    """
    sizes = np.abs(contributions)
    sizes = sizes[sizes > _SAME * sizes.max(initial=0)]
    if not len(sizes):
        return 1.0, 0.0
    limit = abs(contributions.sum()) - _SAME * sizes.sum()
    exact = _enumerate(sizes, limit)
    if exact is not None:
        return exact, 0.0
    sums = _flipped_sums(sizes, permutations, seed)
    return _estimate(int((np.abs(sums) >= limit).sum()), permutations)


def swap_groups(
    a: Predictions,
    b: Predictions,
    make: Callable[[Predictions], Statistic],
    *,
    permutations: int,
    seed: int,
) -> tuple[float, float]:
    """Test whether a statistic of two models differs by swapping their predictions of groups.

    A permutation for which the statistic is undefined counts as extreme.

    Args:
        a: Predictions of one model.
        b: Those of another, of the same images and groups.
        make: Function that makes a statistic of one value of predictions.
        permutations: Number of draws; as many or fewer permutations in all are enumerated.
        seed: Seed of the draws.

    Returns:
        p-value, above 0, and its Monte Carlo standard error, 0 for all permutations.
    """
    differs = np.zeros(a.num_groups, np.bool_)
    differs[a.groups[(a.probabilities != b.probabilities).any(axis=1)]] = True
    count = int(differs.sum())
    if not count:
        return 1.0, 0.0
    statistic = make(_stack(a, b, differs))

    def difference(swapped: _Bytes) -> _Floats:
        kept = np.ones((2 * len(swapped), 1))
        first, second = np.hstack([1 - swapped, swapped]), np.hstack([swapped, 1 - swapped])
        weights = np.hstack([np.vstack([first, second]), kept]).astype(np.float32)
        values = statistic(weights)[:, 0]
        return np.asarray(values[: len(swapped)] - values[len(swapped) :])

    observed = abs(difference(np.zeros((1, count), np.uint8))[0])
    exact = count < 63 and 2**count <= permutations
    width = -(-count // 8)
    draws = _all_bytes(count) if exact else _draw_bytes(width, permutations, seed)

    def extreme(part: _Bytes) -> int:
        swapped = np.unpackbits(part, axis=1, count=count)
        return int((~(np.abs(difference(swapped)) < observed - _SAME)).sum())

    with ThreadPoolExecutor(_WORKERS) as pool:
        total = sum(pool.map(extreme, draws))
    return (total / 2**count, 0.0) if exact else _estimate(total, permutations)


def _stack(a: Predictions, b: Predictions, differs: _Flags) -> Predictions:
    """Put both models into one: groups of `a` that differ, those of `b`, and one of all others."""
    count = int(differs.sum())
    numbers = np.full(len(differs), 2 * count)
    numbers[differs] = np.arange(count)
    again = differs[a.groups]
    second = numbers[b.groups[again]] + count
    return replace(
        a,
        probabilities=np.concatenate([a.probabilities, b.probabilities[again]]),
        target=np.concatenate([a.target, b.target[again]]),
        groups=np.concatenate([numbers[a.groups], second]).astype(np.intp),
        num_groups=2 * count + 1,
    )


def _enumerate(sizes: _Floats, limit: float) -> float | None:
    """Sum the probabilities of all flips of at least `limit`; None where sums are too many.

    Sums and their probabilities grow by one distinct size at a time, and equal sums are merged:
    of sizes that are multiples of the least there are few.
    """
    scale = sizes.sum()
    steps, counts = np.unique(np.round(sizes / scale, 12), return_counts=True)
    multiples = steps / steps[0]
    merge = np.abs(multiples - np.round(multiples)).max() < _MULTIPLE * multiples.max()
    if not merge and np.prod(counts + 1.0) > _SUMS:
        return None
    sums, chances = np.zeros(1), np.ones(1)
    for step, count in zip(steps, counts, strict=True):
        if len(sums) > _SUMS or len(sums) * (count + 1) > _STATES:
            return None
        places = np.arange(count + 1)
        sums = np.add.outer(sums, step * (2 * places - count)).ravel()
        chances = np.multiply.outer(chances, _binomial(count)).ravel()
        sums, which = np.unique(np.round(sums, 11), return_inverse=True)
        chances = np.bincount(which, chances).astype(np.float64)
    return min(1.0, max(_LEAST, float(chances[np.abs(sums) >= limit / scale].sum())))


def _binomial(count: int) -> _Floats:
    """Compute how probable each number of heads of a fair coin is (count + 1,)."""
    places = np.arange(count + 1)
    if count < 1000:  # exact where numbers are small, so that p-values are round
        return np.asarray(comb(count, places) * 0.5**count)
    return np.asarray(binom.pmf(places, count, 0.5))


def _flipped_sums(sizes: _Floats, permutations: int, seed: int) -> _Floats:
    """Draw sums with random signs (R,); a byte holds the signs of eight sizes."""
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    signs = 1.0 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    table, places = eights @ signs.T, np.arange(len(eights))
    parts = _draw_bytes(len(eights), permutations, seed)
    return np.concatenate([table[places, part].sum(axis=1) for part in parts])


def _draw_bytes(width: int, permutations: int, seed: int) -> Iterator[_Bytes]:
    """Draw permutations in parts (r, width); a byte holds eight groups."""
    generator = np.random.default_rng(seed)
    for start in range(0, permutations, _ROWS):
        yield generator.integers(0, 256, (min(_ROWS, permutations - start), width), np.uint8)


def _all_bytes(count: int) -> Iterator[_Bytes]:
    """List all permutations of some groups in parts (r, width); a byte holds eight groups."""
    for start in range(0, 2**count, _ROWS):
        rows = np.arange(start, min(start + _ROWS, 2**count))
        yield np.packbits((rows[:, None] >> np.arange(count) & 1).astype(np.uint8), axis=1)


def _estimate(extreme: int, permutations: int) -> tuple[float, float]:
    """Compute a p-value that counts the observed permutation, and its Monte Carlo error."""
    p = (1 + extreme) / (1 + permutations)
    return p, float((p * (1 - p) / permutations) ** 0.5)

"""Resampling of whole groups: how often each group counts, and what a statistic makes of it.

A statistic is a function of weights (R, G), how often each of G groups counts in each of R
resamples, that returns its values (R, M). Bootstrap, jackknife, permutations and subgroups differ
in the weights alone.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Statistic", "Weights", "bootstrap_weights", "jackknife", "replicates"]

Floats: TypeAlias = npt.NDArray[np.float64]
Weights: TypeAlias = npt.NDArray[np.float32]
Statistic: TypeAlias = Callable[[Weights], Floats]

_CHUNK = 50  # resamples that are drawn together, from a seed of their own
_LARGEST = 2**21  # weights that are drawn together, 16 MiB for each of their arrays
_BLOCKS = 200  # groups are left out in so many blocks, which keeps the skewness of their influence
_WORKERS = 2
_NONE: Floats = np.empty(0)


def bootstrap_weights(
    num_groups: int, resamples: int, seed: int, borrowed: Floats = _NONE
) -> Iterator[Callable[[], Weights]]:
    """Make functions that draw parts of the resamples (r, G + P), the same for each seed.

    Groups that are borrowed (P,) count as often as gamma variables of these means and of scale 1.
    """
    chunk = max(1, min(_CHUNK, _LARGEST // num_groups))
    starts = range(0, resamples, chunk)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))
    for start, own in zip(starts, seeds, strict=True):
        count = min(chunk, resamples - start)

        def draw(own: np.random.SeedSequence = own, count: int = count) -> Weights:
            generator = np.random.default_rng(own)
            drawn = generator.integers(0, num_groups, (count, num_groups))
            drawn += num_groups * np.arange(count)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=count * num_groups)
            weights = counts.reshape(count, num_groups).astype(np.float32)
            extra = generator.gamma(borrowed, size=(count, len(borrowed))).astype(np.float32)
            return np.hstack([weights, extra]) if len(borrowed) else weights

        yield draw


def replicates(
    statistic: Statistic,
    num_groups: int,
    *,
    resamples: int,
    seed: int,
    borrowed: Floats = _NONE,
) -> Floats:
    """Compute a statistic for resamples of the groups: values (R, M), in the order of the draws."""
    parts = bootstrap_weights(num_groups, resamples, seed, borrowed)
    with ThreadPoolExecutor(_WORKERS) as pool:
        return np.concatenate(list(pool.map(lambda draw: statistic(draw()), parts)))


def jackknife(statistic: Statistic, num_groups: int, borrowed: Floats = _NONE) -> Floats:
    """Compute a statistic without each block of groups in turn: values (B, M), B up to 200.

    Groups are assigned to the blocks by a fixed draw, so that their order does not matter. Those
    that are borrowed stay.
    """
    blocks = min(num_groups, _BLOCKS)
    order = np.random.default_rng(0).permutation(num_groups)
    parts = []
    for rows in np.array_split(np.arange(blocks), max(1, blocks // _CHUNK)):
        weights = np.ones((len(rows), num_groups + len(borrowed)), np.float32)
        weights[:, num_groups:] = borrowed
        for place, block in enumerate(rows):
            weights[place, order[block::blocks]] = 0
        parts.append(statistic(weights))
    return np.concatenate(parts)

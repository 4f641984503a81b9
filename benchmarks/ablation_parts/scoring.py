"""Runs to numbers: weighted accuracy of each cell, and what a level changes, with intervals."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ablation_parts.grid import FACTORS, Cell, with_level
from ablation_parts.running import Run
from dermolib import class_weights
from dermolib.evaluation import Interval, bootstrap_interval

__all__ = ["CellScore", "Effect", "Scores", "crossed_interval"]

_Values: TypeAlias = npt.NDArray[np.float64]
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class CellScore:
    """One cell over its seeds."""

    cell: Cell
    seeds: tuple[int, ...]
    interval: Interval
    by_seed: tuple[float, ...]
    accuracy: float


@dataclass(frozen=True)
class Effect:
    """What a level changes against another one, all else equal."""

    factor: str
    level: str
    against: str
    pairs: int
    lesions: Interval
    crossed: Interval
    by_seed: dict[int, float]

    @property
    def claim(self) -> str:
        """What may be said: nothing where an interval contains zero, or there is one pair alone."""
        for interval in (self.lesions, self.crossed):
            if self.pairs < 2 or interval.low <= 0 <= interval.high:
                return "no claim"
        return "higher" if self.crossed.score > 0 else "lower"


class Scores:
    """Runs against the truth."""

    def __init__(
        self, labels: npt.NDArray[np.int64], lesions: npt.NDArray[np.object_], runs: Iterable[Run]
    ) -> None:
        """Tell which answers are right."""
        counts = np.bincount(labels)
        self._weights: _Values = class_weights(counts).numpy()[labels]
        self._lesions = np.unique(lesions, return_inverse=True)[1]
        self._right: dict[tuple[Cell, int], _Values] = {
            (run.cell, run.seed): (run.probabilities.argmax(axis=1) == labels).astype(np.float64)
            for run in runs
        }

    def cells(self) -> list[CellScore]:
        """Score each cell, in the order of `FACTORS`."""
        found = {cell for cell, _ in self._right}
        return [self._cell(cell) for cell in sorted(found, key=_place)]

    def effects(self) -> list[Effect]:
        """Compare the levels of each factor two by two, where there are pairs of runs."""
        pairs = [
            (factor, level, against)
            for factor, levels in FACTORS.items()
            for against, level in itertools.combinations(levels, 2)
        ]
        return [effect for pair in pairs if (effect := self._effect(*pair)) is not None]

    def _cell(self, cell: Cell) -> CellScore:
        seeds = tuple(sorted(seed for found, seed in self._right if found == cell))
        right = np.stack([self._right[cell, seed] for seed in seeds])
        by_seed = (right * self._weights).sum(axis=1) / self._weights.sum()
        return CellScore(
            cell,
            seeds,
            self._over_lesions(right.mean(axis=0)),
            tuple(by_seed.tolist()),
            float(right.mean()),
        )

    def _effect(self, factor: str, level: str, against: str) -> Effect | None:
        keys = [
            (cell, partner, seed)
            for cell, seed in sorted(self._right, key=lambda key: (_place(key[0]), key[1]))
            if getattr(cell, factor) == level
            for partner in [with_level(cell, factor, against)]
            if (partner, seed) in self._right
        ]
        if not keys:
            return None
        differences = np.stack(
            [self._right[cell, seed] - self._right[partner, seed] for cell, partner, seed in keys]
        )
        scores = (differences * self._weights).sum(axis=1) / self._weights.sum()
        seeds = np.array([seed for *_, seed in keys])
        return Effect(
            factor,
            level,
            against,
            len(keys),
            self._over_lesions(differences.mean(axis=0)),
            crossed_interval(differences, self._weights, self._lesions),
            {int(seed): float(scores[seeds == seed].mean()) for seed in np.unique(seeds)},
        )

    def _over_lesions(self, values: _Values) -> Interval:
        weighted, weights = values * self._weights, self._weights

        def score(rows: npt.NDArray[np.intp]) -> float:
            return float(weighted[rows].sum() / weights[rows].sum())

        return bootstrap_interval(score, self._lesions, resamples=RESAMPLES, level=LEVEL)


def crossed_interval(
    values: _Values, weights: _Values, groups: npt.NDArray[np.intp], *, seed: int = 0
) -> Interval:
    """Resample groups of images and runs, each for itself, and take percentiles of the mean.

    Images are few, and runs are few: each adds an uncertainty of its own. Resampling both crosses
    them, which errs on the side of intervals that are too wide; few runs err on the other side.

    Args:
        values: What each run gives each image (P, N).
        weights: Weight of each image (N,), above 0.
        groups: Number of the group of each image (N,), 0..G-1.
        seed: Seed of the resampling.

    Returns:
        Weighted mean with its interval.

    References:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1(2), 2007,
        https://doi.org/10.1214/07-AOAS122.
    """
    runs, number = len(values), int(groups.max()) + 1
    totals = np.bincount(groups, weights, minlength=number)
    sums = np.stack([np.bincount(groups, row * weights, minlength=number) for row in values])
    generator = np.random.default_rng(seed)
    scores = []
    for _ in range(RESAMPLES):
        times = np.bincount(generator.integers(0, number, number), minlength=number)
        drawn = np.bincount(generator.integers(0, runs, runs), minlength=runs)
        scores.append(float(drawn @ sums @ times / (runs * (totals @ times))))
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    every = float(sums.sum() / (runs * totals.sum()))
    return Interval(every, float(low), float(high), LEVEL, values.shape[1], number)


def _place(cell: Cell) -> list[int]:
    return [
        levels.index(level) for level, levels in zip(cell.levels, FACTORS.values(), strict=True)
    ]

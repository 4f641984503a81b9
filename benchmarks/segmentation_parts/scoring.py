"""Masks against masks that people drew."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask
from dermolib.evaluation import bootstrap_interval
from dermolib.io import read_image, read_mask

__all__ = ["ENOUGH", "Scores", "jaccard", "score"]

ENOUGH = 0.65
"""Jaccard index under which the ISIC challenge of 2018 counted a mask as 0."""


@dataclass(frozen=True)
class Scores:
    """How well a way did on a list of images.

    Attributes:
        jaccard: Jaccard index of each image (N,).
        seconds: Time of each image (N,), without reading it.
    """

    jaccard: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """Dice coefficient of each image (N,)."""
        return 2 * self.jaccard / (1 + self.jaccard)

    @property
    def thresholded(self) -> npt.NDArray[np.float64]:
        """Jaccard index (N,), 0 where it is below `ENOUGH`."""
        return np.where(self.jaccard >= ENOUGH, self.jaccard, 0.0)

    def interval(self) -> str:
        """Word the mean Jaccard index with its 95 % interval over images."""
        mean = bootstrap_interval(
            lambda rows: float(self.jaccard[rows].mean()), np.arange(len(self.jaccard))
        )
        return f"{mean.score:.3f} ({mean.low:.3f}..{mean.high:.3f})"


def jaccard(mask: Mask, truth: Mask) -> float:
    """Compute the Jaccard index; 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def score(
    pairs: Iterable[tuple[Path, Path]], ways: dict[str, Callable[[Image], Mask]]
) -> dict[str, Scores]:
    """Run ways in turns on pairs of an image and its mask."""
    indices: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for image_path, mask_path in pairs:
        image = read_image(image_path)
        truth = read_mask(mask_path, shape=(image.shape[0], image.shape[1]))
        for name, way in ways.items():
            start = time.perf_counter()
            mask = way(image)
            seconds[name].append(time.perf_counter() - start)
            indices[name].append(jaccard(mask, truth))
    return {name: Scores(np.array(indices[name]), np.array(seconds[name])) for name in ways}

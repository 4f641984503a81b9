"""Planted recaptures of real images, and how many a way of matching two images recognizes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.auditing import find_duplicates, perceptual_hash
from dermolib.io import read_image
from recapture_parts.planting import Recapture, plant_recapture

__all__ = ["Trial", "choose_files", "planted", "transform_error", "try_match"]

Match: TypeAlias = Callable[[Image, Image], float]
"""Gives the score of two images, the more the likelier they show one lesion."""


@dataclass(frozen=True)
class Trial:
    """Scores of pairs that show one lesion and of pairs that do not, with how each was planted."""

    true: pd.DataFrame
    false: npt.NDArray[np.float64]

    def recall(self) -> float:
        """Give the fraction of true pairs that score higher than every false one."""
        return float((self.true["score"] > self.false.max()).mean())


def choose_files(data: Path, pattern: str, count: int) -> list[Path]:
    """Choose images that show different lesions, evenly spaced among all files of a pattern.

    One image of each lesion, lesions of unknown id being their own, and none that is a
    near-duplicate of another one.
    """
    files = sorted(data.glob(pattern))
    if not files:
        raise DatasetNotFoundError(data, pattern)
    table = data / "isic_challenge" / "lesion_ids.csv"
    known = pd.read_csv(table, dtype=str, keep_default_na=False, index_col="ID")["LESION_ID"]
    lesions = pd.Series([known.get(file.stem) or file.stem for file in files])
    chosen = [files[row] for row in lesions.drop_duplicates().index]
    hashes = np.stack([perceptual_hash(read_image(file)) for file in chosen])
    copies = set(find_duplicates(hashes, tolerance=0.2).pairs[:, 1].tolist())
    chosen = [file for row, file in enumerate(chosen) if row not in copies]
    places = np.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().astype(int)
    return [chosen[place] for place in places]


def planted(files: Sequence[Path], *, seed: int = 0) -> Iterator[Recapture]:
    """Yield one recapture of each image, the same for each seed."""
    for number, file in enumerate(files):
        yield plant_recapture(read_image(file), seed=[seed, number])


def try_match(
    match: Match, files: Sequence[Path], *, false_pairs: int = 1000, seed: int = 0
) -> Trial:
    """Score each image with its recapture, and images with recaptures of other lesions."""
    pairs = list(planted(files, seed=seed))
    rows = [
        {
            "id": file.stem, "score": match(pair.first, pair.second), "scale": pair.scale,
            "angle": pair.angle, "hairy": pair.hairy, "beyond": pair.beyond,
        }
        for file, pair in zip(files, pairs, strict=True)
    ]  # fmt: skip
    random = np.random.default_rng(seed)
    first = random.integers(len(pairs), size=false_pairs)
    second = (first + random.integers(1, len(pairs), size=false_pairs)) % len(pairs)
    both = zip(first.tolist(), second.tolist(), strict=True)
    false = [match(pairs[one].first, pairs[other].second) for one, other in both]
    return Trial(pd.DataFrame(rows), np.array(false))


def transform_error(pair: Recapture, matrix: npt.NDArray[np.float64]) -> float:
    """Give how far a found transform (2, 3) is off, at most, in px of the second image.

    Measured at 5 x 5 points of the second image, each taken back to the first by the true
    transform.
    """
    height, width = pair.second.shape[:2]
    grid = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
    points = np.stack(grid, axis=-1).reshape(-1, 2)
    back = cv2.invertAffineTransform(pair.matrix)
    there = (points @ back[:, :2].T + back[:, 2]) @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(there - points, axis=1).max())

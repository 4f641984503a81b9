"""The challenge's images: rows, lesion-grouped folds, and what a network is given of them."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from dermolib import ISICDataset, grouped_split, preset
from dermolib.datasets import Split

__all__ = ["Challenge", "Softened", "open_challenge", "transforms"]

_FOLDS = 4
_SPLIT_SEED = 0
_HALF = (0.5, 0.5, 0.5)

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Challenge:
    """Images of the training and of the test set that lie in a folder."""

    train: ISICDataset
    test: ISICDataset
    folds: Split


def open_challenge(root: Path) -> Challenge:
    """Open the images that are there, and split the training images into folds by lesion."""
    train, test = (_opened(root, split) for split in ("train", "test"))
    return Challenge(train, test, grouped_split(train, folds=_FOLDS, seed=_SPLIT_SEED))


def transforms(image_size: int, *, half: bool) -> tuple[Any, Any]:
    """Make the transforms of training and scoring."""
    numbers: dict[str, Any] = {"mean": _HALF, "std": _HALF} if half else {}
    return (
        preset("light", image_size=image_size, seed=0, **numbers),
        preset("evaluation", image_size=image_size, **numbers),
    )


class Softened(Dataset[dict[str, Any]]):
    """A set whose samples carry what a teacher says of them."""

    def __init__(self, parts: list[Any], soft: Probabilities) -> None:
        """Count the rows."""
        self.datasets = parts
        self.labels = soft.argmax(axis=1).astype(np.int64)
        self.ids = np.concatenate([np.asarray(part.ids) for part in parts])
        self._soft = soft
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._soft)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a sample with ``soft_label`` (K,)."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        sample = dict(self.datasets[part][row - int(self._starts[part])])
        return {**sample, "label": int(self.labels[row]), "soft_label": self._soft[row]}


def _opened(root: Path, split: str) -> ISICDataset:
    with warnings.catch_warnings():
        # The folder may hold a part of the challenge's images, and the tables list all
        warnings.simplefilter("ignore", UserWarning)
        return ISICDataset.from_challenge(root, split=split, missing="drop", metadata=True)

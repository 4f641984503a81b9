"""A Trainer in each fold of a cross-validation."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from colors import Colors, network, trainer

from dermolib.evaluation import cross_validate


class Lesions(Colors):
    """Images of which three in a row show one lesion."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.groups = np.array([f"L{row // 3}" for row in range(count)])
        self.stop_at = -1
        self.reads = [0]

    def subset(self, rows: Any) -> "Lesions":
        other = copy.copy(self)
        other.labels, other.groups = self.labels[rows], self.groups[rows]
        other.images = self.images[rows]
        return other

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.reads[0] += 1
        if self.reads[0] == self.stop_at:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_a_fold_goes_on_within_its_training(tmp_path: Path) -> None:
    def build(fold: int, folder: Path = tmp_path / "runs") -> Any:
        return trainer(network(seed=fold), seed=fold, epochs=3, output=folder / str(fold))

    data = Lesions(45)
    whole = cross_validate(lambda fold: build(fold, tmp_path / "other"), data, folds=3)
    data.reads[0], data.stop_at = 0, 30 * 3 + 15 + 30 * 2 + 4  # in the last epoch of the second

    with pytest.raises(KeyboardInterrupt):
        cross_validate(build, data, folds=3, output=tmp_path / "folds")
    assert (tmp_path / "runs" / "1" / "last.ckpt").exists()
    data.reads[0] = 0
    data.stop_at = -1
    found = cross_validate(build, data, folds=3, output=tmp_path / "folds")

    pd.testing.assert_frame_equal(found.table, whole.table, check_exact=True)
    assert data.reads[0] == 30 + 15 + 30 * 3 + 15  # one epoch of the second fold, and the third
    assert (found.probabilities.argmax(axis=1) == found.target).mean() > 0.6


def test_a_trainer_with_other_options_is_refused(tmp_path: Path) -> None:
    data = Lesions(12)
    cross_validate(lambda _: trainer(epochs=1), data, folds=2, output=tmp_path)

    with pytest.raises(ValueError, match=r"`output` to be .*epochs 1 there, 2 here"):
        cross_validate(lambda _: trainer(epochs=2), data, folds=2, output=tmp_path)

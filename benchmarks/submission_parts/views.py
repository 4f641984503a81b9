"""What a network says of an image on average over its eight symmetries."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Symmetries"]


class Symmetries(nn.Module):
    """Average a classifier's probabilities over the turns and flips of an image.

    Args:
        model: Classifier; `forward` gives the logarithm of its mean probabilities.
    """

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

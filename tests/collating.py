"""A collate function in a module of its own, where the workers of a loader can import it."""

import torch
from torch.utils.data import default_collate

from dermolib import OcclusionRemoval


class CleanBatch:
    """Stack images to a batch, and remove hair from it."""

    def __init__(self) -> None:
        """Load the network once, not for each batch."""
        self.remove = OcclusionRemoval("unet")

    def __call__(self, samples: list[torch.Tensor]) -> torch.Tensor:
        """Collate and clean."""
        cleaned: torch.Tensor = self.remove(default_collate(samples))
        return cleaned

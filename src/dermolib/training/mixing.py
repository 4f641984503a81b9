"""Mixup and cutmix: images of a batch, and their targets, blended in pairs."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from dermolib.training.batches import Batch

__all__ = ["mix"]


def mix(batch: Batch, *, mixup: float, cutmix: float, num_classes: int) -> Batch:
    """Blend each image of a batch with another one, and the targets alike.

    Where both are on, each batch gets one of them, each as often. Draws come from torch's global
    generator on the CPU.

    Args:
        batch: Batch of N images with targets.
        mixup: Both parameters of the Beta distribution that mixup draws its share from; 0 is off.
        cutmix: The same for cutmix.
        num_classes: Number of classes K.

    Returns:
        Batch with probabilities (N, K) as targets; metadata are blended by the same shares.

    References:
        Zhang et al., mixup: beyond empirical risk minimization, 2018,
        https://doi.org/10.48550/arXiv.1710.09412; Yun et al., CutMix, 2019,
        https://doi.org/10.1109/ICCV.2019.00612.
    """
    cuts = cutmix > 0 and (mixup == 0 or float(torch.rand(())) < 0.5)
    alpha = cutmix if cuts else mixup
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch.image))
    other = order.to(batch.image.device)
    if cuts:
        image, share = _pasted(batch.image, batch.image[other], share)
    else:
        image = torch.lerp(batch.image[other], batch.image, share)
    target = batch.target(num_classes)
    metadata = batch.metadata
    if metadata is not None:
        metadata = torch.lerp(metadata[other], metadata, share)
    soft = torch.lerp(target[other], target, share)
    return replace(batch, image=image, metadata=metadata, soft_label=soft)


def _pasted(image: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
    """Put a window of the other images into these; give back what share of these is left."""
    height, width = image.shape[2:]
    side = math.sqrt(1 - share)
    tall, wide = round(height * side), round(width * side)
    top = int(torch.randint(height - tall + 1, ()))
    left = int(torch.randint(width - wide + 1, ()))
    window = image.new_zeros((height, width), dtype=torch.bool)
    window[top : top + tall, left : left + wide] = True
    mixed = torch.where(window, other, image)
    return mixed, 1 - tall * wide / (height * width)

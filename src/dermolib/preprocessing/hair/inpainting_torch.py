"""The fill ``"pyramid"`` for a whole batch at once, on any device."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional

from dermolib.preprocessing.hair import inpainting as like
from dermolib.preprocessing.hair.closing import disk

__all__ = ["dilated", "enlarged", "fill_batch", "half", "trend"]


def fill_batch(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Fill images (N, 3, H, W), uint8, as ``"pyramid"`` of `fill_mask` does, up to rounding.

    Up to one masked value in four differs by one level of 255, hardly any by two. On a CPU,
    `fill_mask` image by image is several times faster.
    """
    if not len(images):
        return images
    replaced = (masks & ~masks.flatten(1).all(dim=1)[:, None, None])[:, None]
    filled = (_pyramid(images.float(), replaced) + 0.5).to(torch.uint8)
    return torch.where(replaced, filled, images)


def _pyramid(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Fill images (N, 3, H, W) in 0..255 at the reduced size, and enlarge the result."""
    height, width = images.shape[2:]
    holes = masks.float()
    factor = like.working_factor(height, width)
    if factor > 1:
        border = (0, -width % factor, 0, -height % factor)
        images = functional.pad(images, border, mode="replicate")
        holes = functional.pad(holes, border, mode="replicate")
        images = functional.avg_pool2d(images, factor)
        holes = functional.max_pool2d(holes, factor)
    filled = _fill_small(images, holes).clamp(0, 255)
    return enlarged(filled, (height, width), factor) if factor > 1 else filled


class _Ring(NamedTuple):
    """The pixels beside the masks (N, 1, H, W), which hair may shine into, as 0 and 1."""

    near: torch.Tensor  # masks and what lies within two pixels of them
    touches: torch.Tensor  # masks and what lies beside them by a side
    holes: torch.Tensor


def _fill_small(images: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
    marks = holes > 0
    ring = _Ring(dilated(marks, 2).float(), dilated(marks, 1).float(), holes)
    color, trust = _judged(images, ring)
    weights = torch.where(ring.near > holes, trust, 1 - holes)
    source = color * weights
    coarse = trend(half(source), half(weights))
    coarse = enlarged(coarse, holes.shape[2:], 2)
    detail = _smooth(source - coarse * weights, like.SIGMA)
    coarse = coarse + detail / (_smooth(weights, like.SIGMA) + like.TRUST)
    return coarse * (1 - weights) + source


def _judged(images: torch.Tensor, ring: _Ring) -> tuple[torch.Tensor, torch.Tensor]:
    """Subtract the hair's mean fraction from the pixels of the ring; rate the trust in each."""
    around, contrast = _surroundings(images, ring)
    strength = contrast * contrast
    total = strength.sum(dim=1, keepdim=True)
    limit = (like.HALO_FRACTION * total).maximum(like.HALO_LEVELS * total.sqrt())
    soft = contrast * (_blurred(images, 3, like.SOFT_SIGMA, "replicate") - around)
    low, high = like.HALO_SOFT
    trust = (high - soft.sum(dim=1, keepdim=True) / limit.clamp(min=1e-6)) / (high - low)
    trust = trust.clamp(0, 1)
    shown = contrast * (images - around)
    fraction = torch.zeros_like(contrast)
    for part in (ring.near - ring.touches, ring.touches - ring.holes):
        member = part * trust
        taken = (shown * member).sum(dim=(2, 3), keepdim=True)
        power = (strength * member).sum(dim=(2, 3), keepdim=True)
        taken = taken + like.HALO_JOINT * taken.sum(dim=1, keepdim=True)
        power = power + like.HALO_JOINT * power.sum(dim=1, keepdim=True)
        fraction += part * (taken / power.clamp(min=1e-6)).clamp(like.HALO_LEAST, like.HALO_MOST)
    return (images - fraction * contrast).clamp(0, 255), trust


def _surroundings(images: torch.Tensor, ring: _Ring) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the color around each pixel and the contrast of the hair near it."""
    shape = images.shape[2:]
    clear = 1 - ring.near
    clear_fraction, total = half(clear), half(images * clear)
    far_clear, far_hole = _far(clear_fraction), _far(half(ring.holes))
    both = ((far_clear > like.FAR_LEAST) & (far_hole > like.FAR_LEAST)).float()
    background = _far(total) * both / (far_clear + 1e-4)
    contrast = _far(half(images * ring.holes)) * both / (far_hole + 1e-4) - background
    color = _smooth(total, like.SIGMA) + like.FAR_TRUST * enlarged(background, total.shape[2:], 4)
    color = color / (_smooth(clear_fraction, like.SIGMA) + like.FAR_TRUST)
    quarter = functional.interpolate(contrast, scale_factor=2.0, mode="bilinear")
    contrast = functional.interpolate(quarter, scale_factor=4.0, mode="nearest")
    return enlarged(color, shape, 2), contrast[..., : shape[0], : shape[1]]


def trend(total: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Fill images (N, 3, H, W), given multiplied by their weights (N, 1, H, W)."""
    if max(weights.shape[2:]) <= like.COARSEST:
        mean = total.sum(dim=(2, 3), keepdim=True)
        mean = mean / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1e-9)
        return mean.expand_as(total)
    coarse = enlarged(trend(half(total), half(weights)), weights.shape[2:], 2)
    detail = _smooth(total - coarse * weights, like.SIGMA)
    return coarse + detail / (_smooth(weights, like.SIGMA) + like.TRUST)


def half(planes: torch.Tensor) -> torch.Tensor:
    """Halve planes, to which zeros are added where they have an odd side."""
    odd = (0, planes.shape[3] % 2, 0, planes.shape[2] % 2)
    return functional.avg_pool2d(functional.pad(planes, odd) if any(odd) else planes, 2)


def enlarged(
    planes: torch.Tensor, shape: torch.Size | tuple[int, int], factor: int
) -> torch.Tensor:
    """Enlarge planes by a whole factor, and crop them to a shape."""
    planes = functional.interpolate(planes, scale_factor=float(factor), mode="bilinear")
    return planes[..., : shape[0], : shape[1]]


def _smooth(planes: torch.Tensor, sigma: float) -> torch.Tensor:
    return _blurred(planes, 5, sigma, "constant")


def _far(planes: torch.Tensor) -> torch.Tensor:
    return _smooth(half(half(planes)), like.FAR_SIGMA)


def _blurred(planes: torch.Tensor, size: int, sigma: float, mode: str) -> torch.Tensor:
    """Blur by shifts; a convolution would round to 19 bits on some devices."""
    weights, reach = cv2.getGaussianKernel(size, sigma)[:, 0].tolist(), size // 2
    for dim, border in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = functional.pad(planes, border, mode=mode)
        planes = planes * weights[reach]
        for start, weight in enumerate(weights):
            if start != reach:
                planes.add_(padded.narrow(dim, start, planes.shape[dim]), alpha=weight)
    return planes


def dilated(masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Dilate masks (..., H, W), bool, with a disk."""
    union, padded = masks.clone(), functional.pad(masks, (radius,) * 4)
    for row, column in np.argwhere(disk(radius)).tolist():
        union |= padded[..., row : row + masks.shape[-2], column : column + masks.shape[-1]]
    return union

"""Masks of a whole batch that end where hair ends, on any device, as `snap` finds one."""

import torch
from torch.nn import functional

from dermolib.preprocessing.hair import snapping as like
from dermolib.preprocessing.hair.inpainting_torch import dilated, enlarged, half, trend

__all__ = ["snap_batch"]


def snap_batch(
    images: torch.Tensor, seen: torch.Tensor, steps: torch.Tensor, zones: torch.Tensor, low: int
) -> torch.Tensor:
    """Find the pixels of zones (N, h, w) that are hair.

    The images are (N, 3, H, W), uint8, what the network saw of them (N, 3, h, w), and the logits
    (N, h, w), both as floating-point numbers; returns masks (N, H, W).
    """
    size, reach = images.shape[2:], like.REACH
    planes, marks = steps[:, None], zones[:, None]
    if seen.shape[2] > size[0]:
        seen, planes, reach = images.float(), _resized(planes, size).round(), 1
        marks = _resized(marks.float(), size) > 0.002  # half a step of the 255 that `snap` has
    wide = dilated(marks, reach)
    around = _resized(_background(seen, wide), size).round()
    deviation = (images - around).abs().amax(dim=1).long()
    added = torch.from_numpy(like.deviation_steps()).to(images.device).float()
    score = _resized(planes, size).round()[:, 0] + added[deviation]
    least = min(255, low + int(like.deviation_steps()[like.PLAIN_LEVELS]))
    if wide.shape[2:] != size:
        wide = functional.interpolate(wide.float(), size, mode="nearest") > 0
    return (score >= least) & wide[:, 0]


def _resized(planes: torch.Tensor, size: torch.Size) -> torch.Tensor:
    if planes.shape[2:] == size:
        return planes
    return functional.interpolate(planes, size, mode="bilinear")


def _background(images: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
    """Estimate images below masks from cells of two by two pixels that lie outside."""
    clear = (half(wide.float()) == 0).float()
    small = (half(images) + 0.5).floor()  # as OpenCV rounds
    filled = enlarged(trend(small * clear, clear), wide.shape[2:], 2)
    return filled.round().clamp(0, 255)

"""Masks of a whole batch that end where hair ends, on any device, as `snap` finds one."""

import torch
from torch.nn import functional

from dermolib.preprocessing.hair import snapping as like
from dermolib.preprocessing.hair.inpainting_torch import dilated, enlarged, half, trend

__all__ = ["snap_batch"]


def snap_batch(
    images: torch.Tensor, seen: torch.Tensor, steps: torch.Tensor, zones: torch.Tensor, low: int
) -> torch.Tensor:
    """Find the pixels of zones (N, h, w) that are hair, and in large images its blur.

    The images are (N, 3, H, W), uint8, what the network saw of them (N, 3, h, w), and the logits
    (N, h, w), both as floating-point numbers; returns masks (N, H, W).
    """
    size, large = images.shape[2:], seen.shape[2] < images.shape[2]
    planes, marks, reach = steps[:, None], zones[:, None], like.REACH_LARGE if large else like.REACH
    if seen.shape[2] > size[0]:
        seen, planes, reach = images.float(), _resized(planes, size).round(), like.REACH_SMALL
        marks = _resized(marks.float(), size) > 0.002  # half a step of the 255 that `snap` has
    wide = dilated(marks, reach)
    around = _resized(_background(seen, wide), size).round()
    deviation = (images - around).abs().amax(dim=1, keepdim=True)
    added = torch.from_numpy(like.deviation_steps()).to(images.device).float()
    score = _resized(planes, size).round() + added[deviation.long()]
    least = min(255, low + int(like.deviation_steps()[like.PLAIN_LEVELS]))
    masks = (score >= least) & (_nearest(wide, size) if large else wide)
    if large:
        masks |= _blurred(masks, deviation, seen, wide)
    return masks[:, 0]


def _blurred(
    masks: torch.Tensor, deviation: torch.Tensor, seen: torch.Tensor, wide: torch.Tensor
) -> torch.Tensor:
    """Find the pixels near hair that deviate by more than the texture of the skin there."""
    small = functional.interpolate(masks.float(), wide.shape[2:], mode="area") >= 1 / 510
    near = dilated(small, like.BLUR_REACH)
    least = torch.where(near, _texture(seen, wide), 255.0)
    return _mean(deviation, 3).round() >= _resized(least, masks.shape[2:]).round()


def _texture(images: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
    """Give the deviation (N, 1, H, W) from which a pixel is no longer skin without marks."""
    clear = (half(wide.float()) == 0).float()
    small = (half(images) + 0.5).floor() * clear
    color = _mean(small, like.NEARBY) / (_mean(clear, like.NEARBY) + 1e-3)
    deviation = ((small - color).abs() * clear).amax(dim=1, keepdim=True)
    mean = _mean(deviation, like.AROUND) / (_mean(clear, like.AROUND) + 1e-3)
    mean = enlarged(mean, wide.shape[2:], 2)
    return (like.BLUR_TEXTURE * mean).clamp(min=like.BLUR_LEVELS).round().clamp(max=255)


def _mean(planes: torch.Tensor, side: int) -> torch.Tensor:
    """Average squares of pixels; beyond the edge, planes are mirrored as far as they go."""
    for dim in (2, 3):
        size = planes.shape[dim]
        index = torch.arange(-(side // 2), size + side // 2, device=planes.device)
        period = max(1, 2 * size - 2)
        index = index.remainder(period)
        planes = planes.index_select(dim, torch.minimum(index, period - index).clamp(0, size - 1))
    return functional.avg_pool2d(planes, side, stride=1)


def _nearest(masks: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return functional.interpolate(masks.float(), size, mode="nearest") > 0


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

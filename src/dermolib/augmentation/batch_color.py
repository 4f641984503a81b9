"""Colour of whole batches: light, hue and saturation, holes, and the form of the result.

Values are float32 in 0..255 and are not rounded between two steps. Channels are treated one by one
where that lets a compiler make one pass of many steps.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch

from dermolib.augmentation.batch_draws import Draws

__all__ = ["Channels", "find_holes", "finish", "shift_hsv", "shift_light"]

Channels: TypeAlias = Sequence[torch.Tensor]
"""Red, green and blue, each (N, S, S)."""


def shift_light(images: torch.Tensor, draws: Draws, means: torch.Tensor) -> torch.Tensor:
    """Multiply by the contrast, and add the brightness as a share of the mean.

    Args:
        images: Images (N, 3, S, S) in 0..255.
        draws: Draws with ``"contrast"`` and ``"brightness"``.
        means: Mean of each image (N,).

    Returns:
        Images of the same shape in 0..255.
    """
    added = (draws["brightness"] * means).view(-1, 1, 1, 1)
    return torch.addcmul(added, images, draws["contrast"].view(-1, 1, 1, 1)).clamp(0, 255)


def shift_hsv(channels: Channels, draws: Draws) -> Channels:
    """Shift hue, saturation and value, as OpenCV defines and scales them for 8 bits.

    A colour that has no saturation in 8 bits stays as grey as it is.

    Args:
        channels: Channels in 0..255.
        draws: Draws with ``"hue"`` (-30..30 of 180), ``"saturation"`` and ``"value"`` (of 255).

    Returns:
        Channels in 0..255.
    """
    red, green, blue = channels
    top = torch.maximum(torch.maximum(red, green), blue)
    span = top - torch.minimum(torch.minimum(red, green), blue)
    hue = _sextant(channels, top, span) + _per_sample(draws["hue"]) / 30
    saturation = span * (255 / top.clamp(min=1e-3))
    shifted = (saturation + _per_sample(draws["saturation"])).clamp(0, 255)
    saturation = torch.where(saturation < 0.5, saturation, shifted)
    top = (top + _per_sample(draws["value"])).clamp(0, 255)
    span = top * saturation / 255
    # Distance in sextants from red, green and blue, each the short way round
    from_red = torch.minimum(hue.abs(), 6 - hue)
    from_blue = torch.minimum((hue - 4).abs(), hue + 2)
    return [top - span * (away - 1).clamp(0, 1) for away in (from_red, (hue - 2).abs(), from_blue)]


def find_holes(draws: Draws, side: int) -> torch.Tensor:
    """Find the pixels whose centres lie in one of up to three holes.

    Args:
        draws: Draws with the holes: their sizes, as shares of the side, and their places, as shares
            of the way that there is for them.
        side: Height and width of the images.

    Returns:
        Masks (N, S, S), bool.
    """
    first, second, third = (
        _within(draws, number, "top", "height", side)[:, :, None]
        & _within(draws, number, "left", "width", side)[:, None, :]
        for number in range(3)
    )
    return first | second | third


def finish(
    channels: Channels,
    holes: torch.Tensor | None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    normalize: bool,
    channels_last: bool,
) -> torch.Tensor:
    """Fill holes, normalise or round, and join the channels.

    Args:
        channels: Channels in 0..255.
        holes: Masks (N, S, S), bool, of what is filled with the mean.
        mean: Mean of each channel in [0, 1].
        std: Standard deviation of each channel in [0, 1].
        normalize: Whether to take mean and standard deviation out, or to round.
        channels_last: Whether the channels of a pixel lie side by side in memory.

    Returns:
        Images (N, 3, S, S), float32 or uint8.
    """
    done = []
    for channel, middle, spread in zip(channels, mean, std, strict=True):
        if holes is not None:
            channel = torch.where(holes, float(round(255 * middle)), channel)
        if normalize:
            done.append((channel - 255 * middle) * (1 / (255 * spread)))
        else:
            done.append(channel.round().to(torch.uint8))
    return torch.stack(done, dim=-1).movedim(-1, 1) if channels_last else torch.stack(done, dim=1)


def _sextant(channels: Channels, top: torch.Tensor, span: torch.Tensor) -> torch.Tensor:
    """Hue in sextants, -1..5."""
    red, green, blue = channels
    inverse = 1 / span.clamp(min=1e-3)
    from_green = torch.where(green == top, 2 + (blue - red) * inverse, 4 + (red - green) * inverse)
    return torch.where(red == top, (green - blue) * inverse, from_green)


def _within(draws: Draws, number: int, start: str, length: str, side: int) -> torch.Tensor:
    """Tell which pixels along one axis lie in a hole (N, S)."""
    long = draws[f"hole_{number}_{length}"][:, None]
    first = draws[f"hole_{number}_{start}"][:, None] * (1 - long)
    centre = (torch.arange(side, device=long.device) + 0.5) / side
    return (centre >= first) & (centre < first + long)


def _per_sample(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)

"""Colour of whole batches: light, hue and saturation, holes, and the form of the result.

Values are float32 in 0..255 and are not rounded between two steps. Channels are treated one by one,
so that a compiler makes one pass of many steps, and by arithmetic instead of choices, each of which
takes a CPU as long as twenty other steps.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch

from dermolib.augmentation.batch_draws import Draws
from dermolib.augmentation.recipes import HOLE

__all__ = ["Channels", "finish", "shift_hsv", "shift_light", "visible"]

Channels: TypeAlias = Sequence[torch.Tensor]
"""Red, green and blue, each (N, S, S)."""


def shift_light(channels: Channels, draws: Draws, means: torch.Tensor) -> Channels:
    """Multiply by the contrast and add the brightness, then give a cast where one is drawn.

    Args:
        channels: Channels in 0..255.
        draws: Draws with ``"contrast"``, and with ``"brightness"``, as a share of the mean, or
            ``"lift"``, as a share of 255; where there is a cast, with a factor for each colour.
        means: Mean of each image (N,).

    Returns:
        Channels in 0..255.
    """
    added = draws["brightness"] * means if "brightness" in draws else draws["lift"] * 255
    factor, added = _per_sample(draws["contrast"]), _per_sample(added)
    lit = [(channel * factor).add_(added).clamp_(0, 255) for channel in channels]
    if "red" not in draws:
        return lit
    cast = (_per_sample(draws[name]) for name in ("red", "green", "blue"))
    return [channel.mul_(part).clamp_(0, 255) for channel, part in zip(lit, cast, strict=True)]


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
    high, low = torch.maximum(green, blue), torch.minimum(green, blue)
    top, bottom = torch.maximum(red, high), torch.minimum(red, low)
    span = top - bottom
    # Nearness to red in sextants: 2 at red, 1 at yellow, 0 at green, -1 at cyan, and so on back
    near = (red - bottom) + (red - high).clamp_(min=0) - (low - red).clamp_(min=0)
    hue = torch.copysign(2 - near / span.clamp(min=1e-3), green - blue)
    hue += _per_sample(draws["hue"] / 30)
    saturation = span * (255 / top.clamp(min=1e-3))
    colored = (2 * saturation).clamp_(max=1).floor_()
    saturation += colored * _per_sample(draws["saturation"])
    top = (top + _per_sample(draws["value"])).clamp_(0, 255)
    span = saturation.clamp_(0, 255).mul_(top).mul_(1 / 255)
    moved = []
    for place in (0, 2, -2):  # of red, green and blue
        away = (hue - place).abs_()
        away = torch.minimum(away, 6 - away)
        moved.append(top - away.sub_(1).clamp_(0, 1).mul_(span))
    return moved


def visible(draws: Draws, side: int) -> torch.Tensor:
    """Find the pixels whose centres lie in none of up to three holes.

    Args:
        draws: Draws with the holes: their sizes, as shares of the side, and their places, as shares
            of the way that there is for them.
        side: Height and width of the images.

    Returns:
        Flags (N, S, S), float32, 0 in a hole and 1 elsewhere.
    """
    first, second, third = (
        1
        - _within(draws, number, "top", "height", side)[:, :, None]
        * _within(draws, number, "left", "width", side)[:, None, :]
        for number in range(3)
    )
    return first.mul_(second).mul_(third)


def finish(
    channels: Channels,
    shown: torch.Tensor | None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    normalize: bool,
    channels_last: bool,
) -> torch.Tensor:
    """Fill holes, normalise or round, and join the channels.

    Args:
        channels: Channels in 0..255.
        shown: Flags (N, S, S), 0 where the colour of a hole takes the place of the image.
        mean: Mean of each channel in [0, 1].
        std: Standard deviation of each channel in [0, 1].
        normalize: Whether to take mean and standard deviation out, or to round.
        channels_last: Whether the channels of a pixel lie side by side in memory.

    Returns:
        Images (N, 3, S, S), float32 or uint8.
    """
    done = []
    for channel, fill, middle, spread in zip(channels, HOLE, mean, std, strict=True):
        if shown is not None:
            channel = (channel - fill).mul_(shown).add_(fill)
        if normalize:
            done.append((channel - 255 * middle).mul_(1 / (255 * spread)))
        else:
            done.append(channel.round().to(torch.uint8))
    return torch.stack(done, dim=-1).movedim(-1, 1) if channels_last else torch.stack(done, dim=1)


def _within(draws: Draws, number: int, start: str, length: str, side: int) -> torch.Tensor:
    """Tell which pixels along one axis lie in a hole: flags (N, S)."""
    long = draws[f"hole_{number}_{length}"][:, None]
    first = draws[f"hole_{number}_{start}"][:, None] * (1 - long)
    centre = (torch.arange(side, device=long.device) + 0.5) / side
    return ((centre >= first) & (centre < first + long)).to(torch.float32)


def _per_sample(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)

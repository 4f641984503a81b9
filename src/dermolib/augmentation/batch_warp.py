"""Geometry of whole batches: all warps of a draw composed into one map, sampled once.

Positions run from -1 to 1 between the centres of the outermost pixels, x before y. A map says for
each position of the result where in the image its colour comes from. Maps are composed on a lattice
of 61 x 61 positions, which costs little, and interpolated between them: affine maps stay exact.
"""

import math
from typing import TypeAlias

import torch
from torch.nn import functional

from dermolib.augmentation.batch_color import Channels
from dermolib.augmentation.batch_draws import NODES, Draws

__all__ = ["Positions", "gathered", "resize", "sample", "sample_masks", "spline_weights", "warp"]

Positions: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Where each pixel of the result comes from: x and y, each (N, S, S)."""

LATTICE = 61  # a side; a multiple of the five steps of the grid distortion, and one more
_RADIAN = math.pi / 180
_REFERENCE = 224  # px, at which lengths in pixels are given
_ELASTIC = 1.8  # px, standard deviation of the displacement at the reference
_NODE_DEVIATION = 151 / 315  # standard deviation of a cubic spline whose nodes have one of 1


def spline_weights() -> torch.Tensor:
    """Weights of the nodes of a cubic B-spline at the positions of the lattice.

    The nodes are 14 px apart at 224 px; smoothing white noise with this spline is smoothing it with
    a Gaussian of 8 px.

    Returns:
        Weights (LATTICE, NODES), float32; each row sums to 1.
    """
    position = torch.linspace(1, NODES - 2, LATTICE)[:, None]
    distance = (position - torch.arange(NODES)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def warp(draws: Draws, spline: torch.Tensor, side: int) -> Positions:
    """Compose the maps of each draw.

    Args:
        draws: Draws with the symmetry and the affine warp, and with all other warps or none.
        spline: Weights of the nodes of the elastic warp, `spline_weights`.
        side: Height and width of images and result in px.

    Returns:
        Positions.
    """
    axis = torch.linspace(-1, 1, LATTICE, device=spline.device)
    x, y = _affine(draws, axis[None, None, :], axis[None, :, None], side)
    if "elastic" in draws:
        x, y = _distortion(draws, x, y, side)
        # At places of the result: noise alike in all directions knows no rotation
        field = spline @ draws["elastic"] @ spline.T
        field = field * (2 * _ELASTIC / _REFERENCE / _NODE_DEVIATION)
        x, y = x + field[:, 0], y + field[:, 1]
    x, y = (
        functional.interpolate(part[:, None], size=side, mode="bilinear", align_corners=True)
        for part in _symmetry(draws, x, y)
    )
    return x[:, 0], y[:, 0]


def sample(images: torch.Tensor, positions: Positions) -> Channels:
    """Look colours up at positions, linearly between pixels, reflected at the border.

    Args:
        images: Images (N, 3, S, S), uint8 or float32.
        positions: Positions.

    Returns:
        Channels, float32.
    """
    if torch.compiler.is_compiling():
        return gathered(images, positions)
    return _sampled(images.to(torch.float32), positions, "bilinear").unbind(dim=1)


def sample_masks(masks: torch.Tensor, positions: Positions) -> torch.Tensor:
    """Look masks up at the pixels nearest to positions, reflected at the border.

    Args:
        masks: Masks (N, S, S), bool.
        positions: Positions.

    Returns:
        Masks of the same shape.
    """
    return _sampled(masks[:, None].to(torch.float32), positions, "nearest")[:, 0] > 0.5


def gathered(images: torch.Tensor, positions: Positions) -> Channels:
    """Do what `sample` does, in steps that a compiler makes one pass of, all colours included.

    Args:
        images: Images (N, 3, S, S), uint8 or float32.
        positions: Positions.

    Returns:
        Channels, float32.
    """
    (left, right, across), (upper, lower, down) = (
        _neighbours(position, images.shape[-1]) for position in positions
    )
    row = torch.arange(len(images), device=images.device)[:, None, None]
    channels = []
    for channel in range(3):
        corners = [
            images[row, channel, y, x].to(torch.float32)
            for y in (upper, lower)
            for x in (left, right)
        ]
        above = corners[0] + across * (corners[1] - corners[0])
        below = corners[2] + across * (corners[3] - corners[2])
        channels.append(above + down * (below - above))
    return channels


def _neighbours(position: torch.Tensor, side: int) -> tuple[torch.Tensor, ...]:
    """Find the pixels on both sides along one axis, and how far it is to the second."""
    span = side - 1
    place = ((position + 1) * (span / 2)).abs()
    place = place - (2 * span) * (place / (2 * span)).floor()
    place = torch.minimum(place, 2 * span - place).clamp(0, span)
    first = place.floor()
    index = first.to(torch.int64)
    return index, (index + 1).clamp(max=span), place - first


def _sampled(values: torch.Tensor, positions: Positions, mode: str) -> torch.Tensor:
    grid = torch.stack(positions, dim=1).permute(0, 2, 3, 1)
    return functional.grid_sample(
        values, grid, mode=mode, padding_mode="reflection", align_corners=True
    )


def resize(images: torch.Tensor, side: int) -> torch.Tensor:
    """Bring images to `side` px: by area where a side shrinks, linearly where it grows.

    Args:
        images: Images (N, C, H, W), float32.
        side: Height and width of the result.

    Returns:
        Images (N, C, S, S).
    """
    rows, columns = (_resizing(size, side, images.device) for size in images.shape[-2:])
    return rows @ (images @ columns.T)


def _resizing(size: int, side: int, device: torch.device) -> torch.Tensor:
    """Weights (side, size) of the pixels along one axis."""
    pixel = torch.arange(size, device=device)
    step = size / side
    start = torch.arange(side, device=device)[:, None] * step
    if side < size:
        covered = torch.minimum(start + step, pixel + 1) - torch.maximum(start, pixel)
        return covered.clamp(min=0) / step
    centre = (start + step / 2 - 0.5).clamp(0, size - 1)
    return (1 - (centre - pixel).abs()).clamp(min=0)


def _affine(draws: Draws, x: torch.Tensor, y: torch.Tensor, side: int) -> Positions:
    """Undo the shift, then the shear, both rotations and the scaling."""
    # A share of the side, which is `side` px long, while -1 to 1 are `side` - 1 px
    share = 2 * side / (side - 1)
    x = x - _per_sample(draws["shift_x"] * share)
    y = y - _per_sample(draws["shift_y"] * share)
    over, under = ((draws[name] * _RADIAN).tan() for name in ("shear_x", "shear_y"))
    size = _per_sample((1 - over * under) * draws["scale"])
    x, y = (x - _per_sample(over) * y) / size, (y - _per_sample(under) * x) / size
    angle = draws["tilt"] + draws["rotate"] if "rotate" in draws else draws["tilt"]
    along, across = _per_sample((angle * _RADIAN).cos()), _per_sample((angle * _RADIAN).sin())
    return along * x - across * y, across * x + along * y


def _distortion(draws: Draws, x: torch.Tensor, y: torch.Tensor, side: int) -> Positions:
    """Follow the distortion of a lens, or of a grid; at most one of them is drawn."""
    half = ((side - 1) / side / 2) ** 2
    # Beyond the corners the lens stays as it is there, or the image would fold over
    square = ((x * x + y * y) * half).clamp(max=0.5)
    bend = 1 + _per_sample(draws["optical"]) * (square + square * square)
    return _stretched(draws, "x", x * bend), _stretched(draws, "y", y * bend)


def _stretched(draws: Draws, axis: str, position: torch.Tensor) -> torch.Tensor:
    """Move along one axis by steps of their own in place of five equal ones."""
    steps = torch.stack([draws[f"{axis}_step_{number}"] for number in range(5)], dim=1)
    excess = steps * (5 / steps.sum(dim=1, keepdim=True)) - 1
    walked = ((position[..., None] + 1) * 2.5 - torch.arange(5, device=steps.device)).clamp(0, 1)
    return position + 0.4 * (walked * excess[:, None, None]).sum(dim=-1)


def _symmetry(draws: Draws, x: torch.Tensor, y: torch.Tensor) -> Positions:
    """Undo the flips, then the transposition."""
    x = x * (1 - 2 * _per_sample(draws["flip_columns"]))
    y = y * (1 - 2 * _per_sample(draws["flip_rows"]))
    swap = _per_sample(draws["transpose"]) > 0
    return torch.where(swap, y, x), torch.where(swap, x, y)


def _per_sample(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)

"""Hair by lightness in a whole batch at once, on any device: masks equal to those of `find_luv`.

Images are laid end to end in one long row, with so many zeros between their rows that no shift
mixes them; each step is then one operation on whole stretches of memory.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from dermolib._validation import check_number, expected
from dermolib.preprocessing.hair.lightness import STEPS_PER_UNIT, lightness
from dermolib.preprocessing.hair.luv import (
    REFERENCE_SIZE,
    check_luv_options,
    disc_rows,
    scaled_radius,
)

__all__ = ["closing_fill_batch", "keep_components", "luv_masks"]

_Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_ROUNDS = 3  # of labelling between two looks at whether labels still change, each of which waits


def luv_masks(
    images: torch.Tensor, *, radius: float, low: float, high: float, min_area: float
) -> torch.Tensor:
    """Find hair in a batch; each mask equals that of `find_luv` bit for bit.

    Args:
        images: Images (N, 3, H, W), uint8 RGB, on any device and in any memory format.
        radius: See `find_luv`, as are the others.
        low: Step of L*, 0..100, not above `high`.
        high: Step of L*, 0..100.
        min_area: Pixels at `REFERENCE_SIZE`, 0 or more.

    Returns:
        Masks (N, H, W), bool, on the same device.

    Raises:
        TypeError: `images` is no uint8 tensor or an option is no number.
        ValueError: `images` are not RGB or smaller than the disc, or an option is out of range.

    Examples:
        >>> images = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
        >>> images[1, :, :, 30] = 40
        >>> masks = luv_masks(images, radius=5, low=8, high=14, min_area=120)
        >>> masks.sum(dim=(1, 2)).tolist()
        [0, 64]
    """
    _check_images(images)
    check_luv_options(radius=radius, low=low, high=high, min_area=min_area)
    size = (images.shape[2], images.shape[3])
    pixels = scaled_radius(radius, size)
    light = _lightness(images)
    steps = _closing(light, pixels) - light
    area = min_area * (min(size) / REFERENCE_SIZE) ** 2
    # Whole numbers, since a comparison with a float would turn all steps into floats
    weak = steps > math.floor(low * STEPS_PER_UNIT)
    strong = steps > math.floor(high * STEPS_PER_UNIT)
    return keep_components(weak, strong, area)


def closing_fill_batch(images: torch.Tensor, masks: torch.Tensor, radius: int) -> torch.Tensor:
    """Give masked pixels the colour of the closing with a disc, as `closing_fill` does.

    Args:
        images: Images (N, 3, H, W), uint8 RGB; they are not modified.
        masks: Masks (N, H, W), bool, on the same device.
        radius: Radius of the disc in pixels of these images, 1 or more.

    Returns:
        Images of the same shape; pixels outside the mask are bit-identical.

    Raises:
        TypeError: `images` is no uint8 tensor, `masks` no bool tensor or `radius` no integer.
        ValueError: `images` are not RGB, `masks` have another shape or `radius` is below 1.

    Examples:
        >>> images = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
        >>> images[:, :, :, 30] = 40
        >>> closing_fill_batch(images, images[:, 0] < 100, 1).min().item()
        200
    """
    _check_images(images)
    _check_masks(masks, (images.shape[0], *images.shape[2:]))
    check_number(radius, "radius", low=1, integer=True)
    size = images.shape[2:]
    closed = _closing(images.flatten(0, 1), int(radius)).view(-1, 3, *size)
    # A closing is nowhere darker than the image, and this is four times as fast as a choice
    marks = masks[:, None].to(torch.uint8).neg()
    return torch.maximum(images, closed & marks)


def keep_components(weak: torch.Tensor, strong: torch.Tensor, min_area: float) -> torch.Tensor:
    """Keep the components of `weak` that hold a pixel of `strong` and are large enough.

    Pixels are connected by sides and corners. Runs of pixels within a row are the nodes of a graph
    whose components are found by passing on the lowest label, to neighbours and along the way to
    it, until nothing changes: the number of rounds grows with the logarithm of a component's size.

    Args:
        weak: Masks (N, H, W), bool.
        strong: Masks (N, H, W), bool, within `weak`.
        min_area: Fewest pixels of a component.

    Returns:
        Masks (N, H, W), bool.

    References:
        Zhang, Azad and Buluc, Parallel algorithms for finding connected components using linear
        algebra, Journal of Parallel and Distributed Computing 144, 2020,
        https://doi.org/10.1016/j.jpdc.2020.04.009.

    Examples:
        >>> weak = torch.tensor([[[1, 0, 0, 1], [0, 1, 0, 0]]], dtype=torch.bool)
        >>> strong = torch.tensor([[[1, 0, 0, 0], [0, 0, 0, 0]]], dtype=torch.bool)
        >>> keep_components(weak, strong, 2).int().tolist()
        [[[1, 0, 0, 0], [0, 1, 0, 0]]]
    """
    stride = weak.shape[2] + 1
    flat = _laid_out(weak)
    before = torch.zeros_like(flat)
    before[1:] = flat[:-1]
    is_start = flat & ~before
    starts = is_start.nonzero()[:, 0]
    lengths = (before & ~flat).nonzero()[:, 0] - starts
    kind = torch.int32 if flat.numel() < 2**31 else torch.int64
    number = torch.cumsum(is_start, 0, dtype=kind)  # of the last run that began, from 1 on
    root = _lowest_labels(_touching_runs(flat, number, starts, stride))
    area = torch.zeros_like(starts).scatter_add_(0, root, lengths)
    holds_strong = torch.zeros_like(starts, dtype=torch.bool)
    holds_strong[root[number[_laid_out(strong).nonzero()[:, 0]].long() - 1]] = True
    kept = ((area >= min_area) & holds_strong)[root]
    kept_from_1 = torch.cat([kept.new_zeros(1), kept])
    flat &= kept_from_1.index_select(0, number)
    return _pixels_of(flat, weak.shape).contiguous()


def _laid_out(masks: torch.Tensor) -> torch.Tensor:
    """Lay masks end to end, with zeros so that each pixel has eight neighbours of its own image."""
    count, height, width = masks.shape
    flat = masks.new_zeros((count * (height + 1) + 2) * (width + 1))
    _pixels_of(flat, masks.shape).copy_(masks)
    return flat


def _pixels_of(flat: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """View the pixels of what `_laid_out` made."""
    count, height, width = shape
    stride = width + 1
    rows = flat[stride : stride * (count * (height + 1) + 1)]
    return rows.view(count, height + 1, stride)[:, :height, 1:]


def _touching_runs(
    flat: torch.Tensor, number: torch.Tensor, starts: torch.Tensor, stride: int
) -> torch.Tensor:
    """Find for each run four that touch its first pixel, or itself instead, (4, runs).

    Of two runs that touch, one begins where it touches the other.
    """
    neighbours = []
    for row in (starts - stride, starts + stride):
        straight = torch.where(flat[row], row, starts)
        neighbours.append(torch.where(flat[row - 1], row - 1, straight))
        neighbours.append(torch.where(flat[row + 1], row + 1, starts))
    return number[torch.stack(neighbours)].long() - 1


def _lowest_labels(neighbours: torch.Tensor) -> torch.Tensor:
    """Give each node the lowest number of a node that it is connected with, however far.

    Args:
        neighbours: Some neighbours of each node (K, nodes); an edge may be listed at one end alone.
    """
    parent = torch.arange(neighbours.shape[1], device=neighbours.device)
    while True:
        last = parent
        for _ in range(_ROUNDS):
            grand = parent[parent]
            across = torch.minimum(grand[neighbours], grand)
            lowest = torch.minimum(across.amin(dim=0), grand)
            hooked = lowest.scatter_reduce(0, parent, lowest, "amin")
            parent = hooked.scatter_reduce_(
                0, parent[neighbours].flatten(), across.flatten(), "amin"
            )
        if torch.equal(parent, last):
            return parent


def _closing(planes: torch.Tensor, radius: int) -> torch.Tensor:
    """Close planes (N, H, W) with a disc, ignoring what lies outside each plane."""
    count, height, width = planes.shape
    rows, stride = height + radius, width + radius
    reach = radius * stride
    flat = planes.new_zeros(count * rows * stride + 2 * reach)
    laid = flat[reach : flat.numel() - reach].view(count, rows, stride)
    laid[:, :height, :width] = planes
    dilated = _spread(flat, stride, radius, torch.maximum)
    laid = dilated.view(count, rows, stride)
    laid[:, height:] = 255
    laid[:, :, width:] = 255
    flat = functional.pad(dilated, (reach, reach), value=255)
    eroded = _spread(flat, stride, radius, torch.minimum)
    return eroded.view(count, rows, stride)[:, :height, :width]


def _spread(flat: torch.Tensor, stride: int, radius: int, join: _Join) -> torch.Tensor:
    """Join each value with those around it in a disc; what is too close to an end is left out.

    The disc is built from its ends to its middle: what there is moves outwards, a wider row joins.
    """
    total, row = flat, flat
    width, outwards = 0, 0
    for distance, half_width in disc_rows(radius):
        row = _widened(row, 2 * width + 1, 2 * half_width + 1, 1, join)
        side = _widened(total, 1, distance, stride, join)
        sides = join(side[: -(distance + 1) * stride], side[(distance + 1) * stride :])
        width, outwards = half_width, outwards + distance
        first = outwards * stride - width
        total = join(sides, row[first : first + sides.numel()])
    return total


def _widened(values: torch.Tensor, have: int, want: int, step: int, join: _Join) -> torch.Tensor:
    """Join values with those behind them, from `have` up to `want` of them, `step` apart."""
    while have < want:
        more = min(have, want - have)
        values = join(values[: -more * step], values[more * step :])
        have += more
    return values


def _lightness(images: torch.Tensor) -> torch.Tensor:
    """Look up the lightness of images (N, 3, H, W)."""
    index = images[:, 0].to(torch.int32)
    index.mul_(256).add_(images[:, 1]).mul_(256).add_(images[:, 2])
    table = _lightness_table(images.device)
    return table.index_select(0, index.flatten()).view(index.shape)


@functools.cache
def _lightness_table(device: torch.device) -> torch.Tensor:
    """Make the lightness of all 16,777,216 colours; in a table, it is exact on every device."""
    values = np.arange(256, dtype=np.uint8)
    steps = np.empty((256, 256, 256), np.uint8)
    colours = np.empty((256, 256, 3), np.uint8)
    colours[..., 1], colours[..., 2] = values[:, None], values
    for red in values:
        colours[..., 0] = red
        steps[red] = lightness(colours)
    return torch.from_numpy(steps.reshape(-1)).to(device)


def _check_images(images: object) -> None:
    what = "a tensor of images (N, 3, H, W) of dtype uint8"
    if not isinstance(images, torch.Tensor):
        raise TypeError(expected("images", what, f"an object of type {type(images).__name__}"))
    if images.dtype != torch.uint8:
        raise TypeError(expected("images", what, f"dtype {images.dtype}"))
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(expected("images", what, f"shape {tuple(images.shape)}"))


def _check_masks(masks: object, shape: tuple[int, ...]) -> None:
    what = f"a tensor of masks {shape} of dtype bool"
    if not isinstance(masks, torch.Tensor):
        raise TypeError(expected("masks", what, f"an object of type {type(masks).__name__}"))
    if masks.dtype != torch.bool:
        raise TypeError(expected("masks", what, f"dtype {masks.dtype}", "Use `masks > 0`."))
    if tuple(masks.shape) != shape:
        raise ValueError(expected("masks", what, f"shape {tuple(masks.shape)}"))

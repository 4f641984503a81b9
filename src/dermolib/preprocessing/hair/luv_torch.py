"""Hair by lightness in a whole batch at once, on any device, bit for bit as in `find_luv`.

Images are laid end to end in one long row, with so many zeros between their rows that no shift
mixes them; each step is then one operation on whole stretches of memory.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from dermolib.preprocessing.hair.closing import REFERENCE_SIDE, disk_rows, scaled_radius
from dermolib.preprocessing.hair.lightness import STEPS_PER_UNIT, lightness
from dermolib.preprocessing.hair.luv import check_luv_options

__all__ = ["closing_fill_batch", "keep_components", "luv_masks"]

_Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_ROUNDS = 3  # of labeling between two looks at whether labels still change, each of which waits


def luv_masks(
    images: torch.Tensor, *, radius: float, low: float, high: float, min_area: float
) -> torch.Tensor:
    """Find hair in images (N, 3, H, W), uint8; each mask (H, W) is that of `find_luv`."""
    height, width = images.shape[2:]
    pixels = check_luv_options(height, width, radius, low, high, min_area)
    light = _lightness(images)
    steps = _closing(light, pixels) - light
    area = min_area * (min(height, width) / REFERENCE_SIDE) ** 2
    # Whole numbers, since a comparison with a float would turn all steps into floats
    weak = steps > math.floor(low * STEPS_PER_UNIT)
    strong = steps > math.floor(high * STEPS_PER_UNIT)
    return keep_components(weak, strong, area)


def closing_fill_batch(
    images: torch.Tensor, masks: torch.Tensor, *, radius: float = 5
) -> torch.Tensor:
    """Fill images (N, 3, H, W), uint8, with the closing, as ``"closing"`` of `fill_mask` does."""
    size = images.shape[2:]
    planes, pixels = images.flatten(0, 1), scaled_radius(radius, size)
    closed = torch.empty_like(planes)
    # A GPU takes all at once, on a CPU that would cost memory alone
    for part in range(1 if images.is_cuda else len(planes)):
        some = slice(None) if images.is_cuda else slice(part, part + 1)
        closed[some] = _closing(planes[some], pixels)
    closed = closed.view(-1, 3, *size)
    replaced = masks & ~masks.flatten(1).all(dim=1)[:, None, None]
    # A closing is nowhere darker than the image, and this is four times as fast as a choice
    return torch.maximum(images, closed & replaced[:, None].to(torch.uint8).neg())


def keep_components(weak: torch.Tensor, strong: torch.Tensor, min_area: float) -> torch.Tensor:
    """Keep components of `weak` (N, H, W) of `min_area` pixels or more that hold one of `strong`.

    Pixels are connected by sides and corners. Runs of pixels within a row are the nodes of a graph
    whose components are found by passing on the lowest label, to neighbors and along the way to it,
    until nothing changes: the number of rounds grows with the logarithm of a component's size.
    Zhang, Azad and Buluc, Parallel algorithms for finding connected components using linear
    algebra, JPDC 144, 2020, https://doi.org/10.1016/j.jpdc.2020.04.009.
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
    """Lay masks end to end, with zeros so that each pixel has eight neighbors of its own image."""
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
    neighbors = []
    for row in (starts - stride, starts + stride):
        straight = torch.where(flat[row], row, starts)
        neighbors.append(torch.where(flat[row - 1], row - 1, straight))
        neighbors.append(torch.where(flat[row + 1], row + 1, starts))
    return number[torch.stack(neighbors)].long() - 1


def _lowest_labels(neighbors: torch.Tensor) -> torch.Tensor:
    """Give each node the lowest number of all that it is connected with.

    Neighbors are (K, nodes); an edge may be listed at one of its ends only.
    """
    parent = torch.arange(neighbors.shape[1], device=neighbors.device)
    while True:
        last = parent
        for _ in range(_ROUNDS):
            grand = parent[parent]
            across = torch.minimum(grand[neighbors], grand)
            lowest = torch.minimum(across.amin(dim=0), grand)
            hooked = lowest.scatter_reduce(0, parent, lowest, "amin")
            parent = hooked.scatter_reduce_(
                0, parent[neighbors].flatten(), across.flatten(), "amin"
            )
        if torch.equal(parent, last):
            return parent


def _closing(planes: torch.Tensor, radius: int) -> torch.Tensor:
    """Close planes (N, H, W) with a disk, ignoring what lies outside each plane."""
    count, height, width = planes.shape
    rows, stride = height + radius, width + radius
    reach = radius * stride
    flat = planes.new_zeros(count * rows * stride + 2 * reach)
    laid = flat[reach : flat.numel() - reach].view(count, rows, stride)
    laid[:, :height, :width] = planes
    dilated = _dilated(flat, stride, radius, torch.maximum)
    laid = dilated.view(count, rows, stride)
    laid[:, height:] = 255
    laid[:, :, width:] = 255
    flat = functional.pad(dilated, (reach, reach), value=255)
    eroded = _dilated(flat, stride, radius, torch.minimum)
    return eroded.view(count, rows, stride)[:, :height, :width]


def _dilated(flat: torch.Tensor, stride: int, radius: int, join: _Join) -> torch.Tensor:
    """Dilate or erode with a disk; what is too close to an end is left out.

    The disk is built from its ends to its middle: what there is moves outwards, a wider row joins.
    """
    total, row = flat, flat
    width, outwards = 0, 0
    for distance, half_width in disk_rows(radius):
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
    """Tabulate the lightness of all 16,777,216 colors: exact on every device."""
    values = np.arange(256, dtype=np.uint8)
    steps = np.empty((256, 256, 256), np.uint8)
    for red in values:
        steps[red] = lightness(np.stack(np.broadcast_arrays(red, values[:, None], values), axis=2))
    return torch.from_numpy(steps.reshape(-1)).to(device)

"""Hair by lightness: where a closing of L* with a disk lifts a pixel by a large step.

The result is bit for bit that of a textbook's lightness, closing, hysteresis and smallest area.
"""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_number, require
from dermolib.preprocessing.hair.closing import REFERENCE_SIDE, closing, scaled_radius
from dermolib.preprocessing.hair.lightness import STEPS_PER_UNIT, lightness

__all__ = ["check_luv_options", "components_above", "find_luv"]

_FEW = 4  # pixels for each end of a run, below which pixels are labeled instead


def find_luv(
    image: Image, *, radius: float = 5, low: float = 8, high: float = 14, min_area: float = 120
) -> Mask:
    """Find hair in an image (H, W, 3), uint8; see `occlusion_removal` for the options."""
    height, width = image.shape[:2]
    pixels = check_luv_options(height, width, radius, low, high, min_area)
    light = lightness(image)
    # Zeros on the left and below, so that no run of pixels reaches from one row into the next
    steps = np.zeros((height + 1, width + 1), np.uint8)
    for rows, closed in closing(light, pixels):
        cv2.subtract(closed, light[rows], dst=steps[:-1, 1:][rows])
    del light, closed
    if steps.max() <= high * STEPS_PER_UNIT:
        return np.zeros((height, width), np.bool_)
    area = min_area * (min(height, width) / REFERENCE_SIDE) ** 2
    return components_above(steps, low * STEPS_PER_UNIT, high * STEPS_PER_UNIT, area)


def check_luv_options(
    height: int, width: int, radius: float, low: float, high: float, min_area: float
) -> int:
    """Refuse options that are out of range; returns the radius in pixels of the image."""
    check_number(radius, "radius", above=0, high=REFERENCE_SIDE)
    check_number(high, "high", low=0, high=100)
    check_number(low, "low", low=0, high=float(high))
    check_number(min_area, "min_area", low=0)
    pixels = scaled_radius(radius, (height, width))
    what = f"at least {2 * pixels + 1} px on each side for a disk of radius {pixels} px"
    require(min(height, width) > 2 * pixels, "image", what, f"{height} x {width} px")
    return pixels


def components_above(
    steps: npt.NDArray[np.uint8], low: float, high: float, min_area: float
) -> Mask:
    """Threshold with hysteresis: keep large components above `low` that hold a step above `high`.

    Pixels are connected by sides and corners. Steps are (H + 1, W + 1), where the first column and
    the last row are 0; the mask is (H, W). Runs of pixels within a row are joined to those that
    they touch in the row below, in a fraction of the time that pixels take.
    """
    # Loads in a tenth of a second, which whoever uses another method need not wait for
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    # NumPy makes large arrays of large pages, which are several times as fast to touch at first
    weak = np.empty_like(steps)
    cv2.threshold(steps, math.floor(low), 1, cv2.THRESH_BINARY, dst=weak)
    flat = weak.reshape(-1)
    changes = flat[1:] != flat[:-1]
    if np.count_nonzero(changes) > flat.size // _FEW:
        return _components_of_pixels(weak, steps, high, min_area)
    edges = np.flatnonzero(changes) + 1
    del changes
    starts, ends = edges[::2], edges[1::2]
    first = np.searchsorted(ends, starts + (steps.shape[1] - 1), side="right")
    last = np.searchsorted(starts, ends + (steps.shape[1] + 1), side="left")
    counts = np.maximum(last - first, 0)
    below = np.concatenate([[0], np.cumsum(counts)])
    touching = (np.ones(below[-1], np.bool_), _ranges(first, counts), below)
    graph = csr_array(touching, shape=(len(starts), len(starts)))
    count, label = connected_components(graph, directed=False)
    kept = np.bincount(label, weights=ends - starts, minlength=count) >= min_area
    # From one run up to the next: nothing between them is above `low`
    strong = np.maximum.reduceat(steps.reshape(-1), starts) > high
    kept &= np.bincount(label[strong], minlength=count) > 0
    dropped = ~kept[label]
    flat[_ranges(starts[dropped], (ends - starts)[dropped])] = 0
    mask: Mask = np.ascontiguousarray(weak[:-1, 1:]).view(np.bool_)
    return mask


def _components_of_pixels(
    weak: npt.NDArray[np.uint8], steps: npt.NDArray[np.uint8], high: float, min_area: float
) -> Mask:
    """Do the same pixel by pixel: 12 bytes for each, where runs of one pixel would take 60."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    kept = np.zeros(count, np.bool_)
    kept[label[steps > high]] = True
    kept &= stats[:, cv2.CC_STAT_AREA] >= min_area
    mask: Mask = np.empty((weak.shape[0] - 1, weak.shape[1] - 1), np.bool_)
    for row, labels in zip(mask, label, strict=False):
        np.take(kept, labels[1:], out=row)
    return mask


def _ranges(starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]) -> Any:
    """List the numbers within ranges."""
    first = np.cumsum(lengths) - lengths
    return np.repeat(starts - first, lengths) + np.arange(lengths.sum())

"""Threshold with hysteresis: components of what is above the low one, kept where they hold more."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Mask
from dermolib.preprocessing.hair.lightness import positions

__all__ = ["components_above"]

_MOST_RUNS = 1 << 15  # beyond, pixels are labelled sooner than runs


def components_above(
    steps: npt.NDArray[np.uint8], low: float, high: float, min_area: float
) -> Mask:
    """Keep the components above `low` that hold a step above `high` and are large enough.

    Args:
        steps: Steps (H + 1, W + 1), contiguous, of which the first column and the last row are 0,
            so that no run of pixels reaches from one row into the next.
        low: Steps above it belong to a component; pixels touch by sides and corners.
        high: A component is kept where one of its steps is above it.
        min_area: Smallest number of pixels of a component that is kept.

    Returns:
        Mask (H, W), bool.

    Examples:
        >>> steps = np.zeros((4, 6), np.uint8)
        >>> steps[0, 1:3], steps[1, 3], steps[0, 5] = 5, 9, 5
        >>> components_above(steps, 4, 8, 1).astype(int).tolist()
        [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    """
    # NumPy makes large arrays of large pages, which are several times as fast to touch at first
    weak = np.empty_like(steps)
    cv2.threshold(steps, math.floor(low), 1, cv2.THRESH_BINARY, dst=weak)
    flat = weak.reshape(-1)
    edges = positions(flat[1:] != flat[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    lengths = ends - starts
    label = _label_runs(weak, starts, ends)
    count = int(label.max(initial=0)) + 1
    # From one run up to the next: nothing between them is above `low`
    strong = np.maximum.reduceat(steps.reshape(-1), starts) > high
    kept = np.bincount(label, weights=lengths, minlength=count) >= min_area
    holds_strong = np.zeros(count, np.bool_)
    holds_strong[label[strong]] = True
    dropped = ~(kept & holds_strong)[label]
    flat[_positions(starts[dropped], lengths[dropped])] = 0
    mask: Mask = np.ascontiguousarray(weak[:-1, 1:]).view(np.bool_)
    return mask


def _label_runs(
    marks: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[Any]:
    """Number the components (by sides and corners) of marks, and give that of each run in a row.

    Few runs are joined to those below them in a fraction of the time that pixels take. Positions
    are those of the flat array, whose column of zeros keeps the rows apart.
    """
    if len(starts) > _MOST_RUNS:
        component = cv2.connectedComponents(marks, connectivity=8, ltype=cv2.CV_32S)[1]
        return component.reshape(-1).take(starts)
    width = marks.shape[1]
    first = np.searchsorted(ends, starts + (width - 1), side="right")
    last = np.searchsorted(starts, ends + (width + 1), side="left")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    return _joined(len(starts), upper, _positions(first, counts))


def _joined(
    count: int, one: npt.NDArray[np.intp], other: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Give each of `count` things the smallest number among all that pairs join it to.

    References:
        Zhang, Azad and Hu, FastSV: a distributed-memory connected component algorithm with fast
        convergence, SIAM PP 2020, https://doi.org/10.1137/1.9781611976137.5.
    """
    numbers = np.arange(count)
    while True:
        before = numbers.copy()
        smaller = np.minimum(numbers[one], numbers[other])
        for side in (one, other):
            np.minimum.at(numbers, before[side], smaller)
        numbers = numbers[numbers]
        if np.array_equal(numbers, before):
            return numbers


def _positions(starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]) -> Any:
    """List the positions within runs."""
    first = np.cumsum(lengths) - lengths
    return np.repeat(starts - first, lengths) + np.arange(lengths.sum())

"""The outline of a lesion that was resized to one size, and descriptors of its border."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Outline", "border_descriptors", "trace"]

_SMOOTH = 2.0  # standard deviation in px, so that the line is not a staircase of pixels
_BAND = 8.0  # px on both sides of the line, whose lightness is compared
_SECTORS = 8  # in which the ABCD rule scores the border
_FEWEST = 8  # pixels that a sector needs on both sides

_Gray = npt.NDArray[np.uint8]
_Real = npt.NDArray[np.float32]


class Outline(NamedTuple):
    """Outline of the largest component of a mask (h, w)."""

    line: npt.NDArray[np.float64]  # closed (N, 2), rows and columns at subpixel precision
    inside: npt.NDArray[np.bool_]  # True within it (h, w)
    distance: _Real  # of each pixel to it in px, on both sides (h, w)


def trace(mask: _Gray) -> Outline:
    """Trace the outline of the largest component of a mask (h, w) that does not reach its frame."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SMOOTH)
    level = float(soft.max()) / 2  # a line of single pixels has no pixel of one half
    line = max(_level_lines(soft.astype(np.float64), level), key=_area)
    outlines, _ = cv2.findContours(
        (soft >= level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    largest = max(outlines, key=lambda points: (cv2.contourArea(points), len(points)))
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), [largest], 0, (1,), cv2.FILLED)
    inside = np.asarray(filled, np.uint8) > 0
    inner, outer = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (inside, ~inside)
    )
    return Outline(line, inside, np.asarray(np.where(inside, inner, outer) - 0.5, np.float32))


def _level_lines(
    values: npt.NDArray[np.float64], level: float
) -> Iterator[npt.NDArray[np.float64]]:
    """Trace the closed lines (N, 2) of a level by marching squares.

    Pixels above the level that touch at a corner alone are apart, as they are in scikit-image;
    contourpy joins them where the mean of the four pixels is above the level.
    """
    numbers, flat = np.arange(values.size).reshape(values.shape), values.ravel()
    rows = numbers[:-1], numbers[1:]
    # Of each cell, in the order in which a line goes around
    corners = np.stack([rows[0][:, :-1], rows[0][:, 1:], rows[1][:, 1:], rows[1][:, :-1]])
    corners = corners.reshape(4, -1)
    above = flat[corners] > level
    mixed = above.any(axis=0) & ~above.all(axis=0)
    corners, above = corners[:, mixed], above[:, mixed]
    steps: dict[tuple[int, int], tuple[int, int]] = {}  # pairs of a pixel below and one above
    for first, run in itertools.product(range(4), (1, 2, 3)):
        turn = [(first + step) % 4 for step in range(run + 2)]
        found = ~above[turn[0]] & above[turn[1:-1]].all(axis=0) & ~above[turn[-1]]
        ends = corners[:, found][[*turn[:2], *turn[:-3:-1]]].tolist()
        steps |= {(a, b): (c, d) for a, b, c, d in zip(*ends, strict=True)}
    while steps:
        line = [next(iter(steps))]
        while line[-1] in steps:
            line.append(steps.pop(line[-1]))
        low, high = np.array(line).T
        part = (level - flat[low]) / (flat[high] - flat[low])
        start, end = (np.array(np.unravel_index(one, values.shape)) for one in (low, high))
        yield (start + part * (end - start)).T


def border_descriptors(
    outline: Outline, lightness: _Real, mask: _Gray, *, seen: _Gray, lit: _Gray
) -> dict[str, float]:
    """Compute the ``border_*`` descriptors of `abcd_features` from images (h, w).

    Lightness is 0..100; `mask` is 1 on all of the lesion, `seen` within the image and off the dark
    border of a dermoscope, `lit` also off the falloff of light towards that border.
    """
    steps = np.diff(outline.line, axis=0)
    lengths = np.hypot(*steps.T)
    perimeter, area = float(lengths.sum()), _area(outline.line)
    hull = cv2.convexHull(outline.line.astype(np.float32))
    rows, columns = np.nonzero(outline.inside)
    center = np.array([rows.mean(), columns.mean()])
    radii = np.hypot(*(outline.line[:-1] + steps / 2 - center).T)
    radius = np.average(radii, weights=lengths)
    differences = _differences(outline, center, lightness, mask, lit)
    return {
        "border_compactness": perimeter**2 / (4 * np.pi * area),
        "border_solidity": min(1.0, area / cv2.contourArea(hull)),
        "border_convexity": min(1.0, cv2.arcLength(hull, True) / perimeter),
        "border_radial": np.sqrt(np.average((radii - radius) ** 2, weights=lengths)) / radius,
        "border_abruptness": differences.mean() if differences.size else np.nan,
        "border_abruptness_variation": differences.std() if differences.size else np.nan,
        "border_cut": _cut(outline, seen),
    }


def _area(line: npt.NDArray[np.float64]) -> float:
    rows, columns = line.T
    return float(abs(rows[:-1] @ columns[1:] - rows[1:] @ columns[:-1])) / 2


def _differences(
    outline: Outline, center: npt.NDArray[np.float64], lightness: _Real, mask: _Gray, lit: _Gray
) -> npt.NDArray[np.float64]:
    """Compute how much lighter each sector is outside of the line than inside."""
    near = outline.distance <= _BAND
    inside = near & outline.inside & (lit > 0)
    outside = near & ~outline.inside & (mask == 0) & (lit > 0)
    rows, columns = np.indices(near.shape)
    angles = np.arctan2(rows - center[0], columns - center[1])
    sector = (np.floor(angles / (2 * np.pi) * _SECTORS) % _SECTORS).astype(np.intp)
    means, counts = [], []
    for part in (inside, outside):
        count = np.bincount(sector[part], minlength=_SECTORS)
        total = np.bincount(sector[part], weights=lightness[part], minlength=_SECTORS)
        means.append(total / np.maximum(count, 1))
        counts.append(count)
    return np.asarray((means[1] - means[0])[np.min(counts, axis=0) >= _FEWEST])


def _cut(outline: Outline, seen: _Gray) -> float:
    """Compute the fraction of the pixels along a line that border on what is not seen."""
    edge = outline.inside & (outline.distance <= 1)
    beyond = cv2.dilate(1 - seen, np.ones((5, 5), np.uint8)) > 0
    return float(beyond[edge].mean())

"""The outer line of a lesion that was brought to one size, and what it says of its border."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

__all__ = ["Outline", "border_traits", "trace"]

_SMOOTH = 2.0  # standard deviation in px, so that a line is no staircase of pixels
_BAND = 8.0  # px on both sides of the line, whose lightness is compared
_SECTORS = 8  # as many as the ABCD rule judges the border in
_FEWEST = 8  # pixels on both sides that a sector must have to be judged

_Grey = npt.NDArray[np.uint8]
_Real = npt.NDArray[np.float32]


class Outline(NamedTuple):
    """The largest piece of a mask.

    Attributes:
        line: Closed outer line (N, 2), rows and columns in parts of a pixel.
        piece: True within it (h, w).
        distance: Distance of each pixel to it in px, on both sides (h, w).
    """

    line: npt.NDArray[np.float64]
    piece: npt.NDArray[np.bool_]
    distance: _Real


def trace(mask: _Grey) -> Outline:
    """Trace the outer line of the largest piece of a mask (h, w) that does not reach its frame."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SMOOTH)
    level = float(soft.max()) / 2  # a line of single pixels has no pixel of one half
    line = max(find_contours(soft, level), key=_area)
    outlines, _ = cv2.findContours(
        (soft >= level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    largest = max(outlines, key=lambda points: (cv2.contourArea(points), len(points)))
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), [largest], 0, (1,), cv2.FILLED)
    piece = np.asarray(filled, np.uint8) > 0
    inner, outer = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (piece, ~piece)
    )
    return Outline(line, piece, np.asarray(np.where(piece, inner, outer) - 0.5, np.float32))


def border_traits(
    outline: Outline, lightness: _Real, mask: _Grey, *, seen: _Grey, lit: _Grey
) -> dict[str, float]:
    """Measure the border of a lesion; the names are those of `abcd_features`.

    Args:
        outline: Outline of its largest piece.
        lightness: Lightness (h, w), 0..100.
        mask: 1 on all of the lesion (h, w).
        seen: 1 within the image and off the dark border of a dermoscope (h, w).
        lit: The same, but for where light may fade towards that border (h, w).
    """
    steps = np.diff(outline.line, axis=0)
    lengths = np.hypot(*steps.T)
    perimeter, area = float(lengths.sum()), _area(outline.line)
    hull = cv2.convexHull(outline.line.astype(np.float32))
    rows, columns = np.nonzero(outline.piece)
    centre = np.array([rows.mean(), columns.mean()])
    radii = np.hypot(*(outline.line[:-1] + steps / 2 - centre).T)
    radius = np.average(radii, weights=lengths)
    differences = _differences(outline, centre, lightness, mask, lit)
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
    outline: Outline,
    centre: npt.NDArray[np.float64],
    lightness: _Real,
    mask: _Grey,
    lit: _Grey,
) -> npt.NDArray[np.float64]:
    """Compute by how much each sector is lighter outside of the line than inside."""
    near = outline.distance <= _BAND
    inside = near & outline.piece & (lit > 0)
    outside = near & ~outline.piece & (mask == 0) & (lit > 0)
    rows, columns = np.indices(near.shape)
    angles = np.arctan2(rows - centre[0], columns - centre[1])
    sector = (np.floor(angles / (2 * np.pi) * _SECTORS) % _SECTORS).astype(np.intp)
    means = []
    counts = []
    for side in (inside, outside):
        count = np.bincount(sector[side], minlength=_SECTORS)
        total = np.bincount(sector[side], weights=lightness[side], minlength=_SECTORS)
        means.append(total / np.maximum(count, 1))
        counts.append(count)
    return np.asarray((means[1] - means[0])[np.min(counts, axis=0) >= _FEWEST])


def _cut(outline: Outline, seen: _Grey) -> float:
    """Compute the share of the pixels along a line that lie where nothing more is seen."""
    edge = outline.piece & (outline.distance <= 1)
    beyond = cv2.dilate(1 - seen, np.ones((5, 5), np.uint8)) > 0
    return float(beyond[edge].mean())

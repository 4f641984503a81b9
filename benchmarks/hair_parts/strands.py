"""The shape of one hair: its curve, its width, and the exact share of each pixel that it covers."""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

__all__ = ["Floats", "Strand", "cover", "curve", "slow", "taper"]

Floats: TypeAlias = npt.NDArray[np.float32]
"""Values of pixels or of a whole image."""

_DIVISIONS = 6  # even, so that an edge through the middle of a pixel gives a half
_OFFSETS = (np.arange(_DIVISIONS) + 0.5) / _DIVISIONS - 0.5
_SUBPIXELS = np.stack(np.meshgrid(_OFFSETS, _OFFSETS), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Strand:
    """A hair: a centre line with what changes along it.

    Attributes:
        points: Centre line (N, 2), x and y in pixels, about one pixel apart.
        width: Full width at each point (N,), in pixels.
        rise: How far the hair is out of the skin at each point (N,), 0..1.
        tone: Factor of its colour at each point (N,).
        color: RGB (3,), 0..255.
        opacity: 0 for glass, 1 for wire.
        body: Share of its look that is its own colour; the rest tints what lies below, so that
            thin hair darkens a lesion too.
        gloss: Lightening along the middle, as a share.
        focus: Share of the light that is in focus at each point (N,), 0..1.
        shadow: Darkening that it casts, 0..1.
    """

    points: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]
    rise: npt.NDArray[np.float64]
    tone: npt.NDArray[np.float64]
    color: npt.NDArray[np.float64]
    opacity: float
    body: float
    gloss: float
    focus: npt.NDArray[np.float64]
    shadow: float


def cover(strand: Strand, height: int, width: int) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Compute the share of each pixel that lies under a strand.

    Each pixel is divided into 36, and each part lies under the strand if its middle is no farther
    from the tangent at the nearest point of the centre line than half the width.

    Args:
        strand: The strand.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Row, column and nearest point of the centre line of each pixel that is covered (N, 3); the
        share that is covered (N,), above 0 and up to 1; and how near the covered part is to the
        middle of the strand (N,), 0 at the edge and 1 in the middle.
    """
    near = np.zeros((height, width), dtype=np.uint8)
    thick = int(np.ceil(strand.width.max())) + 4
    line = np.round(strand.points).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(near, [line], isClosed=False, color=1, thickness=thick)
    pixels = np.argwhere(near)[:, ::-1].astype(np.float64)
    if not len(pixels):
        return np.empty((0, 3), np.intp), np.empty(0, np.float32), np.empty(0, np.float32)
    nearest = np.asarray(cKDTree(strand.points).query(pixels)[1], dtype=np.intp)
    way = np.gradient(strand.points, axis=0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    tangent = way[nearest]
    away = pixels - strand.points[nearest]
    parts = away[:, None, :] + _SUBPIXELS
    across = np.abs(parts[..., 0] * tangent[:, None, 1] - parts[..., 1] * tangent[:, None, 0])
    along = nearest[:, None] + (parts * tangent[:, None, :]).sum(axis=-1)
    half = strand.width[nearest][:, None] / 2
    under = (across <= half) & (along >= 0) & (along <= len(strand.points) - 1)
    count = under.sum(axis=1)
    middle = np.where(under, 1 - (across / np.maximum(half, 1e-6)) ** 2, 0).sum(axis=1)
    kept = count > 0
    where = np.column_stack([pixels[kept][:, ::-1].astype(np.intp), nearest[kept]])
    share = (count[kept] / len(_SUBPIXELS)).astype(np.float32)
    return where, share, (middle[kept] / count[kept]).astype(np.float32)


def curve(
    random: np.random.Generator, length: float, heading: float, curl: float
) -> npt.NDArray[np.float64]:
    """Walk `length` pixels with a turn that changes slowly; the first point is the origin."""
    size = max(3, round(length))
    steady = random.normal(0, curl / 100)
    turn = steady + slow(random, size, 0.0, curl / 150)
    way = heading + np.cumsum(turn)
    steps = np.stack([np.cos(way), np.sin(way)], axis=-1)
    path: npt.NDArray[np.float64] = np.cumsum(steps, axis=0) - steps[0]
    return path


def slow(
    random: np.random.Generator, size: int, mean: float, deviation: float
) -> npt.NDArray[np.float64]:
    """Draw a slowly varying function: a line through a few normal numbers."""
    knots = max(2, size // 60 + 2)
    values = random.normal(mean, deviation, knots)
    return np.interp(np.linspace(0, knots - 1, size), np.arange(knots), values)


def taper(along: npt.NDArray[np.float64], *, cut: bool) -> npt.NDArray[np.float64]:
    """Narrow the last third to a point, unless the hair was cut."""
    return np.ones_like(along) if cut else np.clip((1.02 - along) / 0.35, 0, 1) ** 0.7

"""The brushes of the synthetic images: smooth random fields, tapered strokes, uneven dots."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import expected

Field: TypeAlias = npt.NDArray[np.float32]
"""One value for each pixel (H, W), float32."""

Points: TypeAlias = npt.NDArray[np.float64]
"""Points (N, 2), x before y."""

_SHIFT = 4
_FINE_UP_TO = 512


def check_generator(value: Any, name: str = "generator") -> np.random.Generator:
    """Refuse what is not a numpy random generator."""
    if not isinstance(value, np.random.Generator):
        what = "a numpy.random.Generator"
        remedy = "Make one with `numpy.random.default_rng(seed)`."
        raise TypeError(expected(name, what, f"an object of type {type(value).__name__}", remedy))
    return value


def waves(
    u: Field, v: Field, *, cycles: float, generator: np.random.Generator, count: int = 10
) -> Field:
    """Draw a smooth random field of unit variance: plane waves of all directions, summed.

    A field of waves looks the same at every image size, since it is a function of the
    coordinates and not of the pixel grid.

    Args:
        u: First coordinate of each pixel (H, W).
        v: Second coordinate of each pixel (H, W).
        cycles: Mean number of waves in one unit of the coordinates.
        generator: Source of directions, lengths and phases.
        count: Number of waves.

    Returns:
        Field (H, W), mean 0 and variance 1 over all draws.
    """
    angles = generator.uniform(0, 2 * math.pi, count)
    lengths = 2 * math.pi * cycles * generator.uniform(0.6, 1.4, count)
    phases = generator.uniform(0, 2 * math.pi, count)
    total = np.zeros_like(u)
    for angle, length, phase in zip(angles, lengths, phases, strict=True):
        kx, ky = np.float32(length * math.cos(angle)), np.float32(length * math.sin(angle))
        total += np.cos(kx * u + ky * v + np.float32(phase))
    return total * np.float32(math.sqrt(2 / count))


def step(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high`; a `high` below `low` falls."""
    ramp = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: Field = ramp * ramp * (3 - 2 * ramp)
    return smooth


def ribbon(points: Points, widths: npt.NDArray[np.float64]) -> Points:
    """Widen a line of points (N, 2) into the outline (2N, 2) of a stroke of N widths."""
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    aside = np.column_stack([-along[:, 1], along[:, 0]]) * widths[:, None] / 2
    return np.concatenate([points + aside, (points - aside)[::-1]])


def blobs(
    centres: Points,
    radii: Points,
    angles: npt.NDArray[np.float64],
    *,
    generator: np.random.Generator,
) -> list[Points]:
    """Outline ellipses of two radii each, every one a little dented: arrays (16, 2)."""
    turn = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    dents = generator.normal(0, 0.13, (len(centres), 2, 1))
    size = 1 + dents[:, 0] * np.cos(2 * turn) + dents[:, 1] * np.sin(3 * turn)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = radii[:, :1] * size * np.cos(turn), radii[:, 1:] * size * np.sin(turn)
    outlines = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
    return list(outlines + centres[:, None])


def branching_vessel(generator: np.random.Generator) -> list[Points]:
    """Outline a vessel that enters a lesion of radius 1 and splits into ever thinner ones."""
    angle = generator.uniform(0, 2 * math.pi)
    start = 1.05 * np.array([math.cos(angle), math.sin(angle)])
    waiting = [(start, angle + math.pi + generator.normal(0, 0.3), 0.055, 0)]
    outlines: list[Points] = []
    while waiting:
        origin, direction, width, depth = waiting.pop()
        turns = direction + np.cumsum(generator.normal(0, 0.25, 10))
        stride = generator.uniform(0.55, 0.9) * 0.7**depth / 10
        walk = np.cumsum(stride * np.column_stack([np.cos(turns), np.sin(turns)]), axis=0)
        points = np.concatenate([origin[None], origin + walk])
        outlines.append(ribbon(points, np.linspace(width, width * 0.6, len(points))))
        for side in (-1, 1) if depth < 3 else ():
            joint = points[int(generator.integers(4, len(points)))]
            bend = direction + side * generator.uniform(0.3, 0.9)
            waiting.append((joint, bend, width * 0.62, depth + 1))
    return outlines


def looped_vessel(centre: Points, generator: np.random.Generator) -> Points:
    """Outline a hairpin at a point (2,) of a lesion of radius 1: out, around and back."""
    outward = math.atan2(centre[1], centre[0]) + generator.normal(0, 0.5)
    cos, sin = math.cos(outward), math.sin(outward)
    turn = np.linspace(-0.5 * math.pi, 0.5 * math.pi, 7)
    bow = np.column_stack([0.08 + 0.05 * np.cos(turn), 0.045 * np.sin(turn)])
    bow = np.concatenate([[[-0.07, -0.05]], bow, [[-0.07, 0.05]]])
    bow *= generator.uniform(0.6, 1.2, 2)
    points = bow @ np.array([[cos, sin], [-sin, cos]]) + centre
    return ribbon(points, np.full(len(points), 0.034))


def paint(
    shape: tuple[int, int], outlines: Sequence[Points], colors: Sequence[tuple[float, ...]]
) -> Field:
    """Fill outlines one over the other on a black canvas, with edges finer than a pixel.

    Args:
        shape: Height and width of the canvas, in pixels.
        outlines: Closed outlines (N, 2) in pixels, x before y, a pixel's centre at whole numbers;
            at least one.
        colors: Value of each outline for up to four channels, 0..255.

    Returns:
        Canvas (H, W, C) in 0..1; at an edge the values are scaled by the share covered.
    """
    height, width = shape
    fine = 4 if max(shape) <= _FINE_UP_TO else 2
    canvas = np.zeros((height * fine, width * fine, len(colors[0])), np.uint8)
    for outline, color in zip(outlines, colors, strict=True):
        scaled = np.rint(((outline + 0.5) * fine - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(canvas, [scaled], color, lineType=cv2.LINE_AA, shift=_SHIFT)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.reshape(height, width, -1).astype(np.float32) / np.float32(255)

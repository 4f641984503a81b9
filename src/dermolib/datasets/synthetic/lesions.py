"""Lesions of the eight diagnoses, drawn from the criteria by which dermoscopy tells them apart."""

import math

import numpy as np

from dermolib._validation import Image, Mask, check_number, require
from dermolib.datasets.synthetic.drawing import (
    Canvas,
    Field,
    Points,
    check_generator,
    develop,
    new_canvas,
    ribbon,
    step,
)
from dermolib.labels import DIAGNOSES

__all__ = ["check_image_size", "draw_lesion"]


def check_image_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Refuse a size that is not a side, or height and width, of 32 to 2048 px; return both."""
    sides = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size,) * 2
    what = "one side or (height, width) in pixels"
    require(len(sides) == 2, "image_size", what, repr(image_size))
    for side in sides:
        check_number(side, "image_size", low=32, high=2048, integer=True)
    return int(sides[0]), int(sides[1])


def draw_lesion(
    label: int,
    *,
    image_size: int | tuple[int, int] = 128,
    generator: np.random.Generator,
    view: np.random.Generator | None = None,
) -> tuple[Image, Mask]:
    """Draw a lesion of one diagnosis on skin, as a dermatoscope shows it, without hair.

    The same state of `generator` with another `view` shows the same lesion of the same patient
    from another angle, at another place, under another light.

    Args:
        label: Index of the diagnosis, 0..7, in the order of `dermolib.labels.DIAGNOSES`.
        image_size: Side of a square image, or height and width, in pixels, each in 32..2048.
        generator: Source of the lesion's looks and the skin's tone.
        view: Source of angle, place, light and skin texture; `generator` where None.

    Returns:
        Image (H, W, 3), uint8 RGB, and mask (H, W), bool, True within the lesion's border.

    Raises:
        TypeError: An argument is of another type.
        ValueError: `label` or `image_size` is out of range.

    References:
        Kittler et al., Standardization of terminology in dermoscopy/dermatoscopy, Journal of the
        American Academy of Dermatology 74(6), 2016, https://doi.org/10.1016/j.jaad.2015.12.038

    Examples:
        >>> image, mask = draw_lesion(1, image_size=64, generator=np.random.default_rng(0))
        >>> bool(image[mask].mean() < image[~mask].mean())  # a nevus is darker than skin
        True
    """
    check_number(label, "label", low=0, high=len(DIAGNOSES) - 1, integer=True)
    shape = check_image_size(image_size)
    check_generator(generator)
    view = generator if view is None else check_generator(view, "view")
    paint, size, ragged, soft = _KINDS[label]
    form = [generator.uniform(*bounds) for bounds in (size, (1.0, 1.35), ragged, soft)]
    canvas = new_canvas(shape, form, generator, view)
    paint(canvas, canvas.inside, generator)
    return develop(canvas, view), canvas.reach < 1


def _paint_melanoma(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """Several colors, an eccentric dark blotch, blue-white veil, streaks at the border."""
    blotches = step(canvas.waves(0.7) + 0.3 * canvas.waves(2.5), -0.8, 1.2)
    canvas.melanin += inside * generator.uniform(0.45, 0.85) * (0.4 + 1.5 * blotches)
    canvas.melanin += inside * 0.4 * canvas.network() * step(canvas.waves(0.8), -0.5, 0.8)
    canvas.melanin += generator.uniform(0.7, 1.7) * canvas.patch(generator.uniform(0.2, 0.6), 0.5)
    canvas.blood += generator.uniform(0.0, 0.9) * canvas.patch(generator.uniform(0.3, 0.7), 0.5)
    veil = canvas.patch(generator.uniform(0.1, 0.5), generator.uniform(0.3, 0.6))
    veil *= 0.75 + 0.25 * step(canvas.waves(3.0), -1, 1)
    canvas.cover(veil * generator.uniform(0.35, 0.75), (0.42, 0.45, 0.55))
    if generator.random() < 0.4:
        canvas.cover(0.5 * canvas.patch(0.6, 0.4), (0.84, 0.74, 0.71))
    streaks = canvas.scatter((6, 20), 0.7, 1.05)
    streaked = canvas.dots(streaks, 0.02, 0.05, stretch=generator.uniform(1, 3))
    canvas.melanin += generator.uniform(0.5, 1.2) * streaked


def _paint_nevus(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """One brown, evenly spread as network, globules or without structure, fading outwards."""
    depth = generator.uniform(0.45, 1.25)
    canvas.melanin += inside * depth * (0.55 + 0.5 * step(canvas.reach, 1.05, 0.0))
    canvas.melanin += inside * depth * (0.08 * canvas.waves(1.5) + 0.06 * canvas.waves(5.0))
    canvas.blood += inside * generator.uniform(0.0, 0.5)
    pattern = generator.choice(["network", "globules", "plain"], p=[0.6, 0.2, 0.2])
    if pattern == "network":
        canvas.melanin += inside * depth * generator.uniform(0.35, 0.7) * canvas.network()
    elif pattern == "globules":
        globules = canvas.dots(canvas.scatter((35, 70), 0, 0.95), 0.04, 0.09)
        canvas.melanin += inside * generator.uniform(0.3, 0.7) * globules
    else:
        canvas.melanin += inside * depth * 0.3


def _paint_basal_cell(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """Pearly pink, blue-grey ovoid nests, vessels that branch like a tree."""
    canvas.blood += inside * generator.uniform(0.1, 0.45) * (1 + 0.3 * canvas.waves(1.5))
    canvas.melanin += inside * generator.uniform(0.0, 0.25) * step(canvas.waves(1.2), -0.3, 1.2)
    canvas.cover(inside * generator.uniform(0.15, 0.4), (0.90, 0.78, 0.77))
    nests = canvas.dots(canvas.scatter((2, 10), 0.2, 0.85), 0.07, 0.2, stretch=1.4)
    nests = np.maximum(nests, canvas.soft(nests, 0.08)) * (0.8 + 0.2 * canvas.waves(4.0))
    canvas.cover(generator.uniform(0.4, 0.75) * canvas.soft(nests, 0.04), (0.38, 0.37, 0.42))
    if generator.random() < 0.3:
        canvas.cover(0.7 * canvas.patch(0.3, 0.3), (0.58, 0.24, 0.17))
    trees = [_branching_vessel(generator) for _ in range(int(generator.integers(2, 6)))]
    vessels = canvas.fill([branch for tree in trees for branch in tree], soft=0.02)
    canvas.cover(generator.uniform(0.45, 0.8) * vessels, (0.70, 0.16, 0.19))


def _paint_actinic(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """Strawberry: a red net around pale follicles, and scales over it."""
    spacing = generator.uniform(0.045, 0.065) / canvas.size
    openings = canvas.dots(_jittered_grid(spacing, generator), 0.16 * spacing, 0.34 * spacing)
    openings = canvas.soft(openings, 0.08 * spacing)
    red = inside * generator.uniform(0.4, 0.85) * (1 + 0.3 * canvas.waves(1.2))
    net = step(canvas.waves(0.45 / spacing), -0.8, 0.8)
    canvas.blood += red * (0.65 + 0.6 * net) * (1 - 0.5 * canvas.soft(openings, 0.2 * spacing))
    canvas.melanin += inside * generator.uniform(0.0, 0.45) * step(canvas.waves(1.0), 0.0, 1.5)
    canvas.cover(inside * openings * generator.uniform(0.3, 0.65), (0.95, 0.82, 0.64))
    scales = step(0.6 * canvas.waves(1.0) + 0.6 * canvas.waves(6.0), 0.5, 1.5)
    canvas.cover(inside * scales * generator.uniform(0.2, 0.65), (0.94, 0.89, 0.82))


def _paint_keratosis(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """Stuck on: a sharp border, furrows like a brain's, milia-like cysts and dark openings."""
    depth = generator.uniform(0.35, 1.0)
    canvas.melanin += inside * depth * (1 + 0.22 * canvas.waves(1.5) + 0.12 * canvas.waves(6.0))
    waxy = (0.66, 0.53, 0.41) if generator.random() < 0.6 else (0.55, 0.51, 0.49)
    canvas.cover(inside * generator.uniform(0.15, 0.4), waxy)
    cycles = canvas.size / (0.10 * generator.uniform(0.8, 1.3))
    furrows = np.exp(-np.square(canvas.waves(cycles) / np.float32(0.45)))
    furrows *= step(canvas.waves(1.5), -1.5, 0.5)
    # a furrow lies over the waxy layer, where more melanin would lie beneath it
    canvas.cover(inside * furrows * generator.uniform(0.2, 0.55), (0.28, 0.18, 0.12))
    openings = canvas.dots(canvas.scatter((3, 14), 0, 0.85), 0.025, 0.07)
    canvas.cover(generator.uniform(0.5, 0.9) * openings, (0.22, 0.14, 0.10))
    cysts = canvas.dots(canvas.scatter((8, 26), 0, 0.85), 0.025, 0.07)
    canvas.cover(generator.uniform(0.45, 0.8) * canvas.soft(cysts, 0.02), (0.93, 0.86, 0.74))


def _paint_dermatofibroma(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """A white patch in the center, a delicate network around it, both fading outwards."""
    rim = step(canvas.reach + 0.08 * canvas.waves(1.5), 0.25, 0.6)
    canvas.melanin += inside * generator.uniform(0.15, 0.45) * (1 + 0.3 * canvas.waves(1.3))
    canvas.melanin += inside * generator.uniform(0.25, 0.6) * rim * canvas.network()
    canvas.blood += inside * generator.uniform(0.1, 0.7)
    ragged = canvas.reach + 0.12 * canvas.waves(1.3) + 0.06 * canvas.waves(4.0)
    center = step(ragged, generator.uniform(0.5, 0.8), 0.1)
    canvas.cover(center * generator.uniform(0.5, 0.8), (0.92, 0.82, 0.82))
    lines = np.exp(-np.square(canvas.waves(2.5) / np.float32(0.25)))
    canvas.cover(0.3 * center * lines, (0.97, 0.94, 0.94))


def _paint_vascular(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """Sharply bounded lacunae from red over purple to nearly black, pale septa between them."""
    seeds = canvas.scatter((6, 24), 0, 0.95).astype(np.float32)
    fill = generator.uniform(0.9, 2.3) * generator.uniform(0.7, 1.3, len(seeds))
    bend = np.float32(0.09)
    u, v = canvas.u + bend * canvas.waves(1.5), canvas.v + bend * canvas.waves(1.5)
    nearest, second = np.full_like(u, np.inf), np.full_like(u, np.inf)
    content = np.zeros_like(u)
    for (x, y), blood in zip(seeds, fill.astype(np.float32), strict=True):
        distance = np.hypot(u - x, v - y)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        content = np.where(closer, blood, content)
        nearest = np.minimum(nearest, distance)
    lacunae = inside * step(second - nearest, -0.08, generator.uniform(0.15, 0.4))
    content = canvas.soft(content, 0.05) * (1 + 0.12 * canvas.waves(2.5))
    canvas.blood += inside * 0.5 + lacunae * content
    canvas.melanin += inside * 0.25
    purple = generator.choice([0.0, 0.35, 0.6], p=[0.5, 0.3, 0.2])
    canvas.cover(lacunae * step(content, 0.8, 2.6) * purple, (0.22, 0.10, 0.28))
    if generator.random() < 0.25:
        canvas.cover(0.85 * canvas.patch(0.4, 0.4), (0.11, 0.06, 0.10))


def _paint_squamous(canvas: Canvas, inside: Field, generator: np.random.Generator) -> None:
    """A mass of yellow-white keratin in a pink lesion, looped vessels with pale halos around it."""
    canvas.blood += inside * generator.uniform(0.25, 0.6) * (1 + 0.3 * canvas.waves(1.3))
    canvas.melanin += inside * generator.uniform(0.0, 0.35) * step(canvas.waves(1.5), -0.5, 1.0)
    around = canvas.scatter((14, 32), 0.5, 1.0)
    halos = canvas.soft(canvas.dots(around, 0.08, 0.13), 0.05)
    canvas.cover(generator.uniform(0.2, 0.45) * halos, (0.94, 0.84, 0.80))
    loops = canvas.fill([_looped_vessel(center, generator) for center in around], soft=0.018)
    canvas.cover(generator.uniform(0.5, 0.85) * loops, (0.66, 0.14, 0.17))
    mass = canvas.patch(generator.uniform(0.0, 0.3), generator.uniform(0.4, 0.65))
    mass *= step(canvas.waves(2.0) + 0.5 * canvas.waves(6.0), -2.2, 0.3)
    canvas.cover(mass * generator.uniform(0.55, 0.9), (0.91, 0.82, 0.62))
    flakes = step(canvas.waves(5.0), 0.0, 1.6)
    canvas.cover(mass * flakes * 0.6, (0.97, 0.94, 0.88))
    crust = step(canvas.waves(1.6) + 0.5 * canvas.waves(5.0), 0.4, 1.6)
    canvas.cover(mass * crust * generator.uniform(0.2, 0.75), (0.50, 0.29, 0.15))


def _jittered_grid(spacing: float, generator: np.random.Generator) -> Points:
    """Points (N, 2) over a lesion of radius 1 and its surroundings, roughly `spacing` apart."""
    line = np.arange(-1.3, 1.3, spacing)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    points[:, 0] += np.tile(np.arange(len(line)) % 2, (len(line), 1)).T.ravel() * spacing / 2
    return points + generator.normal(0, 0.18 * spacing, points.shape)


def _branching_vessel(generator: np.random.Generator) -> list[Points]:
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


def _looped_vessel(center: Points, generator: np.random.Generator) -> Points:
    """Outline a hairpin at a point (2,) of a lesion of radius 1: out, around and back."""
    outward = math.atan2(center[1], center[0]) + generator.normal(0, 0.5)
    cos, sin = math.cos(outward), math.sin(outward)
    turn = np.linspace(-0.5 * math.pi, 0.5 * math.pi, 7)
    bow = np.column_stack([0.08 + 0.05 * np.cos(turn), 0.045 * np.sin(turn)])
    bow = np.concatenate([[[-0.07, -0.05]], bow, [[-0.07, 0.05]]])
    bow *= generator.uniform(0.6, 1.2, 2)
    points = bow @ np.array([[cos, sin], [-sin, cos]]) + center
    return ribbon(points, np.full(len(points), 0.034))


# How a diagnosis is painted, and the bounds of its size, ragged and soft border (see `new_canvas`)
_KINDS = (
    (_paint_melanoma, (0.18, 0.36), (0.09, 0.18), (0.15, 0.40)),
    (_paint_nevus, (0.13, 0.30), (0.02, 0.07), (0.20, 0.50)),
    (_paint_basal_cell, (0.18, 0.32), (0.06, 0.14), (0.30, 0.60)),
    (_paint_actinic, (0.22, 0.42), (0.08, 0.18), (0.50, 0.90)),
    (_paint_keratosis, (0.16, 0.34), (0.05, 0.11), (0.06, 0.14)),
    (_paint_dermatofibroma, (0.16, 0.32), (0.02, 0.08), (0.45, 0.80)),
    (_paint_vascular, (0.09, 0.24), (0.04, 0.10), (0.08, 0.20)),
    (_paint_squamous, (0.18, 0.34), (0.08, 0.16), (0.25, 0.60)),
)

"""A lesion in the making: coordinates, bare skin, two pigments, the layers over them, the light.

Colour comes from two pigments that absorb light, melanin and blood, and from layers that lie over
them, such as keratin. Everything of a lesion is a function of coordinates in which its mean radius
is 1, so that one lesion can be seen again from elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np

from dermolib._validation import Image
from dermolib.datasets.synthetic._drawing import Field, Points, blobs, paint, step, waves

Color: TypeAlias = tuple[float, float, float]

# light that comes back where nothing absorbs, and what each pigment absorbs of red, green, blue
_WHITE = np.array([0.96, 0.89, 0.85], np.float32)
_MELANIN = np.array([0.50, 0.78, 0.95], np.float32)
_BLOOD = np.array([0.12, 0.75, 0.58], np.float32)
# share of the image's shorter side between two meshes of the pigment network
_MESH = 0.05


@dataclass(frozen=True, slots=True)
class Form:
    """Form of a lesion: its radius, its length by its width, and its border.

    `size` is the radius as a share of the image's shorter side; `ragged` is how far the border
    strays from an ellipse and `soft` how wide it fades, both as a share of the radius.
    """

    size: float
    aspect: float
    ragged: float
    soft: float


@dataclass(slots=True)
class Canvas:
    """Pixels of one lesion.

    `u` and `v` are the pixels' coordinates in units of the lesion's radius; `reach` is 0 at its
    centre and 1 at its border; `inside` falls softly from 1 to 0 across the border; `matrix`
    takes coordinates to pixels and `unit` is one unit in pixels; `size` is the radius as a share
    of the image's shorter side.
    """

    u: Field
    v: Field
    reach: Field
    inside: Field
    melanin: Field
    blood: Field
    matrix: Points
    unit: float
    size: float
    generator: np.random.Generator
    layers: list[tuple[Field, Color]] = field(default_factory=list)

    def waves(self, cycles: float) -> Field:
        """Draw a smooth random field with so many waves in one radius."""
        return waves(self.u, self.v, cycles=cycles, generator=self.generator)

    def cover(self, alpha: Field, color: Color) -> None:
        """Lay a colour over what is there, as densely as `alpha` says."""
        self.layers.append((alpha, color))

    def patch(self, away: float, radius: float) -> Field:
        """Draw a ragged patch of a radius, in any direction `away` from the centre."""
        angle = self.generator.uniform(0, 2 * math.pi)
        u = self.u - np.float32(away * math.cos(angle))
        v = self.v - np.float32(away * math.sin(angle))
        ragged = np.float32(0.25) * self.waves(1.3) + np.float32(0.12) * self.waves(4.0)
        return self.inside * step(np.hypot(u, v) / np.float32(radius) + ragged, 1.4, 0.5)

    def scatter(self, count: tuple[int, int], low: float, high: float) -> Points:
        """Draw points (N, 2) at `low` to `high` of the way to the border, evenly by area."""
        number = int(self.generator.integers(*count, endpoint=True))
        away = np.sqrt(self.generator.uniform(low**2, high**2, number))
        angle = self.generator.uniform(0, 2 * math.pi, number)
        return np.column_stack([away * np.cos(angle), away * np.sin(angle)])

    def dots(self, centres: Points, low: float, high: float, *, stretch: float = 1.0) -> Field:
        """Draw uneven dots with radii of `low` to `high`, stretched away from the centre."""
        radii = self.generator.uniform(low, high, len(centres))
        outward = np.arctan2(centres[:, 1], centres[:, 0])
        radii = np.column_stack([radii * stretch, radii])
        return self.fill(blobs(centres, radii, outward, generator=self.generator))

    def fill(self, outlines: Sequence[Points], *, soft: float = 0.012) -> Field:
        """Give the share of each pixel that outlines cover, blurred by `soft` radii."""
        pixels = [outline @ self.matrix[:, :2].T + self.matrix[:, 2] for outline in outlines]
        shape = (self.u.shape[0], self.u.shape[1])
        return self.soft(paint(shape, pixels, [(255.0,)] * len(pixels))[..., 0], soft)

    def soft(self, values: Field, radius: float) -> Field:
        """Blur by a share of the lesion's radius."""
        return blur(values, radius * self.unit)

    def network(self) -> Field:
        """Draw a honeycomb of lines around holes, its mesh the same on every lesion."""
        generator = self.generator
        cycles = self.size / (_MESH * generator.uniform(0.85, 1.2))
        bend = np.float32(generator.uniform(0.10, 0.22) / cycles)
        u, v = self.u + bend * self.waves(cycles / 2), self.v + bend * self.waves(cycles / 2)
        turn = generator.uniform(0, math.pi)
        total = np.zeros_like(u)
        for direction in (turn, turn + math.pi / 3, turn - math.pi / 3):
            kx = np.float32(2 * math.pi * cycles * math.cos(direction))
            ky = np.float32(2 * math.pi * cycles * math.sin(direction))
            total += np.cos(kx * u + ky * v)
        patchy = np.float32(0.7) + np.float32(0.3) * step(self.waves(1.0), -1.0, 1.0)
        return step(total, 1.6, -1.2) * patchy


def prepare(
    form: Form,
    shape: tuple[int, int],
    generator: np.random.Generator,
    view: np.random.Generator,
) -> Canvas:
    """Lay out coordinates, border and bare skin; `view` decides what depends on the camera."""
    unit = form.size * min(shape)
    matrix = _place(shape, unit, form.aspect, view)
    y, x = np.indices(shape, dtype=np.float32)
    x, y = x - np.float32(matrix[0, 2]), y - np.float32(matrix[1, 2])
    (a, b), (c, d) = np.linalg.inv(matrix[:, :2]).astype(np.float32)
    u, v = a * x + b * y, c * x + d * y
    reach = _reach(u, v, form.ragged, generator)
    melanin, blood = _skin(shape, generator, view)
    return Canvas(
        u=u,
        v=v,
        reach=reach,
        inside=step(reach, 1 + form.soft / 2, 1 - form.soft / 2),
        melanin=melanin,
        blood=blood,
        matrix=matrix,
        unit=unit,
        size=form.size,
        generator=generator,
    )


def develop(canvas: Canvas, view: np.random.Generator) -> Image:
    """Turn pigments and layers into an RGB image (H, W, 3), uint8, under one light."""
    pigments = canvas.melanin[..., None] * _MELANIN + canvas.blood[..., None] * _BLOOD
    image = _WHITE * np.exp(-np.maximum(pigments, 0))
    for alpha, color in canvas.layers:
        image += np.clip(alpha, 0, 1)[..., None] * (np.array(color, np.float32) - image)
    height, width = canvas.u.shape
    slope = view.uniform(-0.07, 0.07, 2)
    light = (
        1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)
    )
    cast = np.exp(view.normal(0, (0.025, 0.035, 0.055))) * view.uniform(0.86, 1.06)
    image *= light.astype(np.float32)[..., None] * cast.astype(np.float32)
    image = blur(image, view.uniform(0.0, 0.005) * min(height, width))
    image += view.standard_normal(image.shape, np.float32) * np.float32(view.uniform(0.003, 0.01))
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def blur(values: Field, sigma: float) -> Field:
    """Blur by a Gaussian; one much narrower than a pixel changes nothing."""
    if sigma < 0.2:
        return values
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def _place(
    shape: tuple[int, int], radius: float, aspect: float, view: np.random.Generator
) -> Points:
    """Matrix (2, 3) from a lesion's coordinates to pixels: turned, tilted, moved."""
    turn, lean = view.uniform(0, 2 * math.pi, 2)
    zoom, tilt = view.uniform(0.88, 1.12), view.uniform(0.88, 1.0)
    offset = view.uniform(-0.09, 0.09, 2) * min(shape)
    stretch = np.diag([math.sqrt(aspect), 1 / math.sqrt(aspect)])
    tilted = _rotation(lean) @ np.diag([1.0, tilt]) @ _rotation(-lean)
    linear = radius * zoom * tilted @ _rotation(turn) @ stretch
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]) + offset
    return np.column_stack([linear, centre])


def _rotation(angle: float) -> Points:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _reach(u: Field, v: Field, ragged: float, generator: np.random.Generator) -> Field:
    """Distance from the centre, 1 at a border that bulges and frays."""
    angle = np.arctan2(v, u)
    border = np.ones_like(u)
    for bulges in range(1, 8):
        size = np.float32(ragged * generator.normal() / math.sqrt(bulges))
        border += size * np.cos(bulges * angle + np.float32(generator.uniform(0, 2 * math.pi)))
    frayed = waves(u, v, cycles=2.5, generator=generator) * np.float32(0.35 * ragged)
    frayed += waves(u, v, cycles=6.0, generator=generator) * np.float32(0.15 * ragged + 0.01)
    return np.hypot(u, v) / np.maximum(border, np.float32(0.4)) + frayed


def _skin(
    shape: tuple[int, int], generator: np.random.Generator, view: np.random.Generator
) -> tuple[Field, Field]:
    """Melanin and blood of the skin around: light to dark, mottled, furrowed, at times freckled."""
    tone = generator.choice([0.14, 0.38, 0.85], p=[0.75, 0.17, 0.08]) * generator.uniform(0.6, 1.3)
    flush = generator.uniform(0.04, 0.30)
    side = min(shape)
    y, x = np.indices(shape, dtype=np.float32) / np.float32(side)
    mottled = waves(x, y, cycles=2.0, generator=view) + waves(x, y, cycles=6.0, generator=view)
    furrows = np.exp(-np.square(waves(x, y, cycles=13.0, generator=view) / np.float32(0.3)))
    grain = blur(view.standard_normal(shape, np.float32), side / 170) * np.float32(2)
    freckled = view.choice([0.0, 0.25], p=[0.7, 0.3])
    freckles = blur(step(waves(x, y, cycles=7.0, generator=view), 1.6, 2.8), side / 90)
    melanin = tone * (1 + 0.05 * mottled) + 0.05 * furrows + 0.02 * grain + freckled * freckles
    blood = flush * (1 + 0.16 * mottled) + 0.02 * grain
    return melanin.astype(np.float32), blood.astype(np.float32)

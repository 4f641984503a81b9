"""What the synthetic images are drawn with: random fields, strokes, dots, and layers of skin.

Color comes from two pigments that absorb light, melanin and blood, and from layers over them, such
as keratin. Everything of a lesion is a function of coordinates in which its mean radius is 1, so
that one lesion can be seen again from elsewhere and at any image size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, require

Field: TypeAlias = npt.NDArray[np.float32]
"""One value for each pixel (H, W), float32."""

Points: TypeAlias = npt.NDArray[np.float64]
"""Points (N, 2), x before y."""

Color: TypeAlias = tuple[float, float, float]

# Light that comes back where nothing absorbs, and what each pigment absorbs of red, green, blue
_WHITE = np.array([0.96, 0.89, 0.85], np.float32)
_MELANIN = np.array([0.50, 0.78, 0.95], np.float32)
_BLOOD = np.array([0.12, 0.75, 0.58], np.float32)
_MESH = 0.05  # between two meshes of the pigment network, as a fraction of the shorter side
_SHIFT = 4  # fractional bits of coordinates in OpenCV
_FINE_UP_TO = 512  # px, up to which outlines are drawn at 4 instead of 2 times the size


def check_generator(value: Any, name: str = "generator") -> np.random.Generator:
    """Refuse what is not a NumPy random generator."""
    what, got = "a numpy.random.Generator", f"an object of type {type(value).__name__}"
    hint = "Make one with `numpy.random.default_rng(seed)`."
    require(isinstance(value, np.random.Generator), name, what, got, hint, error=TypeError)
    generator: np.random.Generator = value
    return generator


def waves(u: Field, v: Field, cycles: float, generator: np.random.Generator) -> Field:
    """Draw a smooth random field, mean 0 and variance 1: ten plane waves of all directions.

    Coordinates `u` and `v` make it look the same at every image size; one unit holds `cycles`
    waves on average.
    """
    angles = generator.uniform(0, 2 * math.pi, 10)
    lengths = 2 * math.pi * cycles * generator.uniform(0.6, 1.4, 10)
    phases = generator.uniform(0, 2 * math.pi, 10)
    total = np.zeros_like(u)
    for angle, length, phase in zip(angles, lengths, phases, strict=True):
        kx, ky = np.float32(length * math.cos(angle)), np.float32(length * math.sin(angle))
        total += np.cos(kx * u + ky * v + np.float32(phase))
    return total * np.float32(math.sqrt(2 / 10))


def step(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at `low` to 1 at `high`; a `high` below `low` falls."""
    ramp = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: Field = ramp * ramp * (3 - 2 * ramp)
    return smooth


def blur(values: Field, sigma: float) -> Field:
    """Blur by a Gaussian; one much narrower than a pixel changes nothing."""
    if sigma < 0.2:
        return values
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def ribbon(points: Points, widths: npt.NDArray[np.float64]) -> Points:
    """Widen a line of points (N, 2) into the outline (2N, 2) of a stroke of N widths."""
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    aside = np.column_stack([-along[:, 1], along[:, 0]]) * widths[:, None] / 2
    return np.concatenate([points + aside, (points - aside)[::-1]])


def paint(
    shape: tuple[int, int], outlines: Sequence[Points], colors: Sequence[tuple[float, ...]]
) -> Field:
    """Fill closed outlines (N, 2) in px one over the other, with antialiased edges.

    Pixel centers are at whole numbers. Colors have up to four channels in 0..255, and the canvas
    (H, W, C) is in 0..1, black where nothing was painted.
    """
    height, width = shape
    fine = 4 if max(shape) <= _FINE_UP_TO else 2
    canvas = np.zeros((height * fine, width * fine, len(colors[0])), np.uint8)
    for outline, color in zip(outlines, colors, strict=True):
        scaled = np.rint(((outline + 0.5) * fine - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(canvas, [scaled], color, lineType=cv2.LINE_AA, shift=_SHIFT)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.reshape(height, width, -1).astype(np.float32) / np.float32(255)


@dataclass(slots=True)
class Canvas:
    """Pixels of one lesion."""

    u: Field  # coordinates of each pixel, in units of the lesion's radius
    v: Field
    reach: Field  # 0 at the center of the lesion, 1 at its border
    inside: Field  # falls softly from 1 to 0 across the border
    melanin: Field
    blood: Field
    matrix: Points  # (2, 3), from coordinates to pixels
    unit: float  # one unit in px
    size: float  # radius as a fraction of the shorter side of the image
    generator: np.random.Generator
    layers: list[tuple[Field, Color]] = field(default_factory=list)  # over the pigments

    def waves(self, cycles: float) -> Field:
        """Draw a smooth random field with so many waves in one radius."""
        return waves(self.u, self.v, cycles, self.generator)

    def cover(self, alpha: Field, color: Color) -> None:
        """Lay a color over what is there, as densely as `alpha` says."""
        self.layers.append((alpha, color))

    def patch(self, away: float, radius: float) -> Field:
        """Draw a ragged patch of a radius, in any direction `away` from the center."""
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

    def dots(self, centers: Points, low: float, high: float, *, stretch: float = 1.0) -> Field:
        """Draw dented ellipses with radii of `low` to `high`, stretched away from the center."""
        radii = self.generator.uniform(low, high, len(centers))
        outward = np.arctan2(centers[:, 1], centers[:, 0])
        turn = np.linspace(0, 2 * math.pi, 16, endpoint=False)
        dents = self.generator.normal(0, 0.13, (len(centers), 2, 1))
        size = 1 + dents[:, 0] * np.cos(2 * turn) + dents[:, 1] * np.sin(3 * turn)
        cos, sin = np.cos(outward)[:, None], np.sin(outward)[:, None]
        x = (radii * stretch)[:, None] * size * np.cos(turn)
        y = radii[:, None] * size * np.sin(turn)
        outlines = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1) + centers[:, None]
        return self.fill(list(outlines))

    def fill(self, outlines: Sequence[Points], *, soft: float = 0.012) -> Field:
        """Return the fraction of each pixel that outlines cover, blurred by `soft` radii."""
        pixels = [outline @ self.matrix[:, :2].T + self.matrix[:, 2] for outline in outlines]
        shape = (self.u.shape[0], self.u.shape[1])
        return self.soft(paint(shape, pixels, [(255.0,)] * len(pixels))[..., 0], soft)

    def soft(self, values: Field, radius: float) -> Field:
        """Blur by a fraction of the lesion's radius."""
        return blur(values, radius * self.unit)

    def network(self) -> Field:
        """Draw a pigment network: lines around holes, its mesh the same on every lesion."""
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


def new_canvas(
    shape: tuple[int, int],
    form: Sequence[float],
    generator: np.random.Generator,
    view: np.random.Generator,
) -> Canvas:
    """Lay out coordinates, border and bare skin; `view` draws what depends on the camera.

    The form of a lesion: radius as a fraction of the shorter side, length by width, how far the
    border strays from an ellipse, and how wide it fades, both in radii.
    """
    size, aspect, ragged, soft = form
    unit = size * min(shape)
    matrix = _placement(shape, unit, aspect, view)
    y, x = np.indices(shape, dtype=np.float32)
    x, y = x - np.float32(matrix[0, 2]), y - np.float32(matrix[1, 2])
    (a, b), (c, d) = np.linalg.inv(matrix[:, :2]).astype(np.float32)
    u, v = a * x + b * y, c * x + d * y
    reach = _reach(u, v, ragged, generator)
    inside = step(reach, 1 + soft / 2, 1 - soft / 2)
    melanin, blood = _skin(shape, generator, view)
    return Canvas(u, v, reach, inside, melanin, blood, matrix, unit, size, generator)


def develop(canvas: Canvas, view: np.random.Generator) -> Image:
    """Turn pigments and layers into an RGB image (H, W, 3), uint8, under one light."""
    pigments = canvas.melanin[..., None] * _MELANIN + canvas.blood[..., None] * _BLOOD
    image = _WHITE * np.exp(-np.maximum(pigments, 0))
    for alpha, color in canvas.layers:
        image += np.clip(alpha, 0, 1)[..., None] * (np.array(color, np.float32) - image)
    height, width = canvas.u.shape
    down, right = view.uniform(-0.07, 0.07, 2)
    light = 1 + down * np.linspace(-1, 1, height)[:, None] + right * np.linspace(-1, 1, width)
    cast = np.exp(view.normal(0, (0.025, 0.035, 0.055))) * view.uniform(0.86, 1.06)
    image *= light.astype(np.float32)[..., None] * cast.astype(np.float32)
    image = blur(image, view.uniform(0.0, 0.005) * min(height, width))
    image += view.standard_normal(image.shape, np.float32) * np.float32(view.uniform(0.003, 0.01))
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _placement(
    shape: tuple[int, int], radius: float, aspect: float, view: np.random.Generator
) -> Points:
    """Draw the matrix (2, 3) from a lesion's coordinates to pixels: turned, tilted, moved."""
    turn, lean = view.uniform(0, 2 * math.pi, 2)
    zoom, tilt = view.uniform(0.88, 1.12), view.uniform(0.88, 1.0)
    offset = view.uniform(-0.09, 0.09, 2) * min(shape)
    stretch = np.diag([math.sqrt(aspect), 1 / math.sqrt(aspect)])
    tilted = _rotation(lean) @ np.diag([1.0, tilt]) @ _rotation(-lean)
    linear = radius * zoom * tilted @ _rotation(turn) @ stretch
    center = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]) + offset
    return np.column_stack([linear, center])


def _rotation(angle: float) -> Points:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _reach(u: Field, v: Field, ragged: float, generator: np.random.Generator) -> Field:
    """Draw the distance from the center, 1 at a border that bulges and frays."""
    angle = np.arctan2(v, u)
    border = np.ones_like(u)
    for bulges in range(1, 8):
        size = np.float32(ragged * generator.normal() / math.sqrt(bulges))
        border += size * np.cos(bulges * angle + np.float32(generator.uniform(0, 2 * math.pi)))
    frayed = waves(u, v, 2.5, generator) * np.float32(0.35 * ragged)
    frayed += waves(u, v, 6.0, generator) * np.float32(0.15 * ragged + 0.01)
    return np.hypot(u, v) / np.maximum(border, np.float32(0.4)) + frayed


def _skin(
    shape: tuple[int, int], generator: np.random.Generator, view: np.random.Generator
) -> tuple[Field, Field]:
    """Draw melanin and blood of the skin around: mottled, furrowed, at times freckled."""
    tone = generator.choice([0.14, 0.38, 0.85], p=[0.75, 0.17, 0.08]) * generator.uniform(0.6, 1.3)
    flush = generator.uniform(0.04, 0.30)
    side = min(shape)
    y, x = np.indices(shape, dtype=np.float32) / np.float32(side)
    mottled = waves(x, y, 2.0, view) + waves(x, y, 6.0, view)
    furrows = np.exp(-np.square(waves(x, y, 13.0, view) / np.float32(0.3)))
    grain = blur(view.standard_normal(shape, np.float32), side / 170) * np.float32(2)
    freckled = view.choice([0.0, 0.25], p=[0.7, 0.3])
    freckles = blur(step(waves(x, y, 7.0, view), 1.6, 2.8), side / 90)
    melanin = tone * (1 + 0.05 * mottled) + 0.05 * furrows + 0.02 * grain + freckled * freckles
    blood = flush * (1 + 0.16 * mottled) + 0.02 * grain
    return melanin.astype(np.float32), blood.astype(np.float32)

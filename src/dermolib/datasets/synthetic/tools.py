"""Drawers of what lies on the skin or in the light: rulers, ink, patches, bubbles, dark corners.

Each draws on an image and leaves the layout to a `Frame`: where the whole picture lies, of which
the image may be a crop. Lengths are fractions of the picture's shorter side, so that one state of
the generator draws the same thing at any size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image
from dermolib.datasets.synthetic.drawing import Field, Points, blur, paint, ribbon, step

__all__ = [
    "Frame",
    "cover",
    "draw_bubbles",
    "draw_dark_corner",
    "draw_ink",
    "draw_patch",
    "draw_ruler",
    "lay",
]

_Box: TypeAlias = tuple[slice, slice]

# Light that inks let through, and how often each is seen: violet, blue, black, green
_INKS = np.array([[0.34, 0.20, 0.60], [0.22, 0.28, 0.68], [0.2, 0.2, 0.24], [0.2, 0.52, 0.42]])
_INK_FRACTIONS = (0.66, 0.2, 0.1, 0.04)
# Paper and foam of the patches in pediatric collections
_PATCHES = np.array(
    [
        [105, 195, 185],
        [25, 120, 190],
        [240, 140, 25],
        [225, 215, 40],
        [175, 170, 225],
        [45, 150, 85],
        [215, 70, 75],
        [240, 235, 225],
    ],
    np.float64,
)
_PATCH_FRACTIONS = (0.28, 0.2, 0.16, 0.12, 0.1, 0.06, 0.05, 0.03)
# Strokes of a letter or digit that is 1 high
_GLYPHS = {
    "M": (((0, 0), (0, 1), (0.4, 0.4), (0.8, 1), (0.8, 0)),),
    "m": (
        ((0, 0), (0, 0.65)),
        ((0, 0.5), (0.15, 0.65), (0.3, 0.65), (0.4, 0.5), (0.4, 0)),
        ((0.4, 0.5), (0.55, 0.65), (0.7, 0.65), (0.8, 0.5), (0.8, 0)),
    ),
    "1": (((0.1, 0.8), (0.3, 1), (0.3, 0)),),
    "2": (((0, 0.8), (0.15, 1), (0.45, 1), (0.6, 0.8), (0.6, 0.6), (0, 0), (0.6, 0)),),
    "3": (((0, 1), (0.6, 1), (0.25, 0.55), (0.6, 0.4), (0.6, 0.15), (0.4, 0), (0, 0.05)),),
    "4": (((0.45, 0), (0.45, 1), (0, 0.3), (0.65, 0.3)),),
    "5": (((0.6, 1), (0.1, 1), (0.05, 0.55), (0.4, 0.6), (0.6, 0.4), (0.6, 0.15), (0.4, 0)),),
}


class Frame(NamedTuple):
    """The whole picture, in px of the image that is drawn on: the image itself, or more.

    `turn` is the angle by which it is turned about its center.
    """

    left: float
    top: float
    width: float
    height: float
    turn: float = 0.0

    @classmethod
    def of(cls, image: Image) -> "Frame":
        """Take an image for the whole picture."""
        return cls(0.0, 0.0, image.shape[1], image.shape[0])

    @property
    def unit(self) -> float:
        """Shorter side, px."""
        return min(self.width, self.height)

    @property
    def center(self) -> Points:
        """Center (2,), x before y."""
        return np.array([self.left + self.width / 2, self.top + self.height / 2]) - 0.5

    def edge(self, generator: np.random.Generator, inward: float) -> tuple[Points, float]:
        """Choose a point `inward` units from an edge, and the angle along which the edge runs."""
        number = int(generator.choice(4, p=(0.5, 0.2, 0.15, 0.15)))
        along = generator.uniform(-0.5, 0.5)
        half = np.array([self.width, self.height]) / 2
        outward = ((0, 1), (0, -1), (1, 0), (-1, 0))[number]
        away = np.array(outward) * (half - inward * self.unit)
        run = np.array([abs(outward[1]), abs(outward[0])]) * 2 * half
        angle = self.turn + (0.0 if number < 2 else math.pi / 2)
        return self.center + (away + along * run) @ _turn(self.turn), angle


def cover(
    shape: tuple[int, ...], outlines: Sequence[Points], soft: float = 0.0
) -> tuple[_Box, Field]:
    """Return the part of an image that outlines (N, 2) touch, and how much of a pixel is covered.

    Args:
        shape: Height and width of the image, px.
        outlines: Closed outlines (N, 2) in px, pixel centers at whole numbers.
        soft: Blur of the edges, px.

    Returns:
        Rows and columns, and the fraction (h, w) of each of their pixels, 0..1.
    """
    margin = 3 * soft + 2
    points = np.concatenate(outlines) if len(outlines) else np.full((1, 2), -2 * margin)
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, (shape[1], shape[0])).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin), 0, (shape[1], shape[0])).astype(int)
    box = slice(low[1], high[1]), slice(low[0], high[0])
    if (high <= low).any():
        return (slice(0), slice(0)), np.zeros((0, 0), np.float32)
    height, width = high[1] - low[1], high[0] - low[0]
    inside = [one - low for one in outlines]
    return box, blur(paint((height, width), inside, [(255.0,)] * len(inside))[..., 0], soft)


def lay(image: Image, box: _Box, alpha: Field, color: npt.ArrayLike) -> None:
    """Lay a color (3,) or another image (h, w, 3) over a part of an image, in place."""
    part = image[box]
    if not part.size:
        return
    over = np.empty_like(part)
    if isinstance(color, np.ndarray) and color.dtype == np.uint8:
        over = np.ascontiguousarray(color)
    else:
        over[:] = np.clip(np.rint(np.asarray(color, np.float32)), 0, 255)
    image[box] = cv2.blendLinear(np.ascontiguousarray(part), over, 1 - alpha, alpha)


def draw_ruler(image: Image, frame: Frame, generator: np.random.Generator) -> Image:
    """Draw a scale: of a dermatoscope near an edge, or printed on paper that enters the picture.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        frame: Where the whole picture lies.
        generator: Source of all randomness.

    Returns:
        Image of the same size.
    """
    drawn, unit = image.copy(), frame.unit
    kind = str(generator.choice(["plain", "fine", "bold", "paper"], p=(0.45, 0.25, 0.15, 0.15)))
    inward = generator.uniform(0.05, 0.16) if kind != "paper" else generator.uniform(0.08, 0.22)
    middle, angle = frame.edge(generator, inward)
    middle = middle + 0.75 * ((frame.center - middle) @ _turn(-angle))[0] * _turn(angle)[0]
    tilt = generator.uniform(-0.6, 0.6) if kind == "bold" else generator.normal(0, 0.09)
    turn = _turn(angle + tilt)
    # Ticks of paper point outwards, those of a glass scale to the center as a rule
    inside = float(((middle - frame.center) @ turn.T)[1])
    outwards = kind == "paper" or generator.random() < 0.15
    over = 1.0 if (inside > 0) != outwards else -1.0
    place = np.diag([over, -over]) @ turn * unit  # letters are turned, never mirrored
    lines, thick = _scale(kind, generator)
    outlines = [
        ribbon(np.asarray(line) @ place + middle, np.full(len(line), max(thick * unit, 0.6)))
        for line in lines
    ]
    ink = generator.uniform(18, 85) + generator.normal(0, 5, 3) + (6, 0, -4)
    opacity, soft = generator.uniform(0.55, 1.0), generator.uniform(0.0005, 0.0025) * unit
    if kind == "paper":
        sheet = np.array([[-3, 0.0], [3, 0.0], [3, 2], [-3, 2]]) @ place + middle
        color = generator.uniform(215, 250) + generator.normal(0, 5, 3)
        shade = cover(image.shape, [sheet + 0.006 * unit], 0.012 * unit)
        lay(drawn, shade[0], shade[1] * np.float32(0.35), (40, 25, 20))
        lay(drawn, *cover(image.shape, [sheet], soft), color)
    box, alpha = cover(image.shape, outlines, soft)
    lay(drawn, box, alpha * np.float32(opacity), ink)
    return drawn


def _scale(kind: str, generator: np.random.Generator) -> tuple[list[Points], float]:
    """Lay out the lines of a scale around (0, 0), ticks upwards, in units; and their thickness."""
    gap, marks = generator.uniform(0.055, 0.1), 10
    parts = {"plain": 2, "fine": 5, "bold": 2, "paper": 1}[kind]
    if kind == "bold":
        gap, marks = generator.uniform(0.07, 0.14), int(generator.choice([10, 30]))
    if kind == "paper":
        gap, marks = generator.uniform(0.03, 0.08), 60
    tall = generator.uniform(0.3, 0.5) * gap if kind != "paper" else generator.uniform(0.6, 1) * gap
    start = -gap * marks / 2
    lines = [np.array([[start, 0.0], [-start, 0.0]])]
    for number in range(marks * parts + 1):
        x, whole = start + number * gap / parts, number % parts == 0
        long = whole and (kind != "paper" or number % 5 == 0)
        height = tall * (1.0 if long else 0.55)
        lines.append(np.array([[x, 0.0], [x, height]]))
    if kind == "paper":
        for number in range(5):
            at = np.array([start + 0.55 * gap * marks * (number / 5 + 0.25), 1.9 * tall])
            lines += _text(str(number + 1), at, 1.1 * tall)
    elif kind != "bold":
        name = str(generator.choice(["MM", "mm"]))
        lines += _text(name, np.array([start, -1.5 * tall]), 0.9 * tall)
    return lines, generator.uniform(0.0035, 0.006) * (1.7 if kind == "bold" else 1)


def _text(text: str, place: Points, height: float) -> list[Points]:
    """Write letters and digits of `_GLYPHS` from a place (2,) on, in lines."""
    steps = np.arange(len(text)) * height * 1.1
    return [
        np.array(stroke, np.float64) * height + place + (shift, 0)
        for shift, letter in zip(steps, text, strict=True)
        for stroke in _GLYPHS[letter]
    ]


def draw_ink(image: Image, frame: Frame, generator: np.random.Generator) -> Image:
    """Draw marks of a surgical pen: dots around the middle, or a line around it.

    Ink gathers in the furrows of the skin, so that a mark is many short strokes in two directions.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        frame: Where the whole picture lies.
        generator: Source of all randomness.

    Returns:
        Image of the same size.
    """
    drawn, unit = image.copy(), frame.unit
    passed = _INKS[generator.choice(len(_INKS), p=_INK_FRACTIONS)]
    passed = np.clip(passed * np.exp(generator.normal(0, 0.15, 3)), 0.05, 0.95)
    centers, size = _marks(frame, generator)
    dense = generator.uniform(0.25, 1.0)
    strokes = _strokes(centers, size, unit, generator)
    box, alpha = cover(image.shape, strokes, generator.uniform(0.0006, 0.002) * unit)
    ring = _ellipse(0.75 * size, 1.0, 0.0)[::6]
    blots = [center + ring * generator.uniform(0.5, 1.1) for center in centers]
    pool, pooled = cover(image.shape, blots, 0.22 * size)
    filled = np.float32(generator.uniform(0.05, 0.6) * dense)
    absorbing = cv2.LUT(drawn, _curves(passed))
    lay(drawn, pool, pooled * filled, absorbing[pool])
    lay(drawn, box, alpha * np.float32(0.35 + 0.6 * dense), absorbing[box])
    return drawn


def _strokes(
    centers: Points, size: float, unit: float, generator: np.random.Generator
) -> list[Points]:
    """Outline short bent strokes around each center, in two directions of furrows."""
    count = int(generator.integers(18, 60)) * min(len(centers), 8)
    furrows = generator.uniform(0, math.pi) + np.array([0, generator.uniform(0.8, 1.6)])
    spread = 0.5 * size * generator.uniform(0.6, 1.4, (len(centers), 1))
    rows = np.arange(count) % len(centers)
    middles = centers[rows] + generator.normal(0, 1, (count, 2)) * spread[rows]
    turns = generator.choice(furrows, count) + generator.normal(0, 0.16, count)
    halves = size * np.exp(generator.uniform(math.log(0.05), math.log(0.9), count))
    widths = np.maximum(unit * generator.uniform(0.0015, 0.0065, count), 0.4)
    along = np.column_stack([np.cos(turns), np.sin(turns)]) * halves[:, None]
    aside = np.column_stack([-np.sin(turns), np.cos(turns)]) * widths[:, None] / 2
    bend = along[:, ::-1] * (1, -1) * generator.normal(0, 0.18, (count, 1))
    line = np.stack([-along, bend, along], axis=1)
    thick = aside[:, None] * np.array([0.5, 1.0, 0.35])[:, None]
    outline = np.concatenate([line + thick, (line - thick)[:, ::-1]], axis=1)
    return list(middles[:, None] + outline)


def _marks(frame: Frame, generator: np.random.Generator) -> tuple[Points, float]:
    """Choose the centers (N, 2) of the marks of a pen, px, and their size, px."""
    start = generator.uniform(0, 2 * math.pi)
    line = generator.random() < 0.3
    number = int(generator.integers(24, 60)) if line else int(generator.integers(1, 8))
    sweep = generator.uniform(0.5, 2.5) if line else 2 * math.pi
    angles = start + sweep * np.arange(number) / number
    away = generator.uniform(0.36, 0.52) * np.ones(number)
    if not line:
        angles += generator.normal(0, 0.25, number)
        away *= generator.uniform(0.85, 1.15, number)
    half = np.array([frame.width, frame.height])
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * away[:, None] * half
    size = generator.uniform(0.014, 0.03) if line else generator.uniform(0.03, 0.085)
    return frame.center + ring, size * frame.unit


def _curves(passed: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Make the lookup table (1, 256, 3) of what a filter passes of red, green and blue."""
    table = np.rint(np.arange(256)[:, None] * passed)
    return table.astype(np.uint8).reshape(1, 256, 3)


def draw_patch(image: Image, frame: Frame, generator: np.random.Generator) -> Image:
    """Lay one or two colored patches over an edge: round, of paper or foam, and opaque.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        frame: Where the whole picture lies.
        generator: Source of all randomness.

    Returns:
        Image of the same size.
    """
    drawn = image.copy()
    for _ in range(2 if generator.random() < 0.2 else 1):
        (grain,) = generator.spawn(1)
        radius = generator.uniform(0.22, 0.55)
        middle, _ = frame.edge(generator, generator.uniform(-0.8, 0.05) * radius)
        color = _PATCHES[generator.choice(len(_PATCHES), p=_PATCH_FRACTIONS)]
        color = color * math.exp(generator.normal(0, 0.1)) + generator.normal(0, 8, 3)
        squash, rough = generator.uniform(0.85, 1.0), generator.uniform(2, 11)
        disk = _ellipse(radius * frame.unit, squash, generator.uniform(0, math.pi)) + middle
        soft = generator.uniform(0.0008, 0.003) * frame.unit
        shade, shadow = cover(image.shape, [disk], 0.015 * frame.unit)
        lay(drawn, shade, shadow * np.float32(generator.uniform(0.15, 0.5)), (45, 28, 22))
        box, alpha = cover(image.shape, [disk], soft)
        fibers = _grain(alpha.shape, 0.0035 * frame.unit, grain) * np.float32(rough)
        lay(drawn, box, alpha, color + fibers[..., None])
        if generator.random() < 0.12:
            hole = (disk - middle) * generator.uniform(0.3, 0.6) + middle
            other = _PATCHES[generator.integers(len(_PATCHES))]
            lay(drawn, *cover(image.shape, [hole], soft), other)
    return drawn


def _ellipse(radius: float, squash: float, lean: float) -> Points:
    turn = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    return radius * np.column_stack([np.cos(turn), squash * np.sin(turn)]) @ _turn(lean)


def _turn(angle: float) -> Points:
    """Make the matrix (2, 2) that turns rows of points."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _grain(shape: tuple[int, ...], sigma: float, generator: np.random.Generator) -> Field:
    """Draw a rough surface of variance 1 whose bumps are `sigma` px wide."""
    noise = generator.standard_normal(shape, np.float32)
    if noise.size:
        noise = blur(noise, sigma)
    return noise * np.float32(max(1.0, 2 * math.sqrt(math.pi) * sigma))


def draw_bubbles(image: Image, frame: Frame, generator: np.random.Generator) -> Image:
    """Draw air bubbles in the gel: a bright and a dark rim around skin, and reflections of a lamp.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        frame: Where the whole picture lies.
        generator: Source of all randomness.

    Returns:
        Image of the same size.
    """
    drawn, light = image.copy(), generator.uniform(0, 2 * math.pi)
    number = 1 + min(int(generator.geometric(0.25)), 14)
    corner, size = np.array([frame.left, frame.top]), np.array([frame.width, frame.height])
    middle = corner + generator.random(2) * size
    for place in range(number):
        radius = math.exp(generator.uniform(math.log(0.01), math.log(0.055)))
        if generator.random() < 0.15 or place == 0:
            radius *= generator.uniform(1.2, 2.4)
        near = place and generator.random() < 0.5
        beside = generator.normal(0, 0.08, 2) * frame.unit
        middle = middle + beside if near else corner + generator.random(2) * size
        _draw_bubble(drawn, middle, max(radius * frame.unit, 1.0), light, generator)
    return drawn


def _draw_bubble(
    image: Image, middle: Points, radius: float, light: float, generator: np.random.Generator
) -> None:
    """Draw one bubble in place; light comes from an angle."""
    stretch, lean = generator.uniform(1.0, 1.5), generator.uniform(0, math.pi)
    dents = generator.normal(0, (0.05, 0.03))
    phases = generator.uniform(0, 2 * math.pi, 2)
    dark, bright, gloss, glow = generator.uniform((0.1, 0.35, 0.3, 0.0), (0.5, 0.9, 0.95, 0.1))
    reach = 1.7 * radius + 4
    low = np.clip(np.floor(middle - reach), 0, image.shape[1::-1]).astype(int)
    high = np.clip(np.ceil(middle + reach), 0, image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    box = slice(low[1], high[1]), slice(low[0], high[0])
    y, x = np.mgrid[box].astype(np.float32)
    x, y = x - np.float32(middle[0]), y - np.float32(middle[1])
    (a, b), (c, d) = (_turn(lean) / (radius * np.array([[stretch], [1 / stretch]]))).astype("f4")
    u, v = a * x + b * y, c * x + d * y
    angle = np.arctan2(v, u)
    outline = 1 + np.float32(dents[0]) * np.cos(2 * angle + np.float32(phases[0]))
    outline += np.float32(dents[1]) * np.cos(3 * angle + np.float32(phases[1]))
    away = np.hypot(u, v) / outline
    width = max(0.035 * radius, 0.7)
    signed = (away - 1) * np.float32(radius / width)  # distance from the rim in widths of it
    facing = np.cos(angle + np.float32(lean - light))
    lit = np.float32(0.3) + np.float32(0.7) * np.square(facing)
    inner = np.exp(-np.square(signed + np.float32(1.4))) + np.exp(-np.square(signed - 2))
    lay(image, box, np.clip(glow * (away < 1), 0, 1).astype(np.float32), (255, 252, 248))
    lay(image, box, inner * np.float32(dark), (70, 50, 42))
    lay(image, box, np.exp(-np.square(signed)) * lit * np.float32(bright), (250, 247, 242))
    arc = np.exp(-np.square((away - np.float32(0.74)) / np.float32(0.07)))
    lay(image, box, arc * step(facing, 0.82, 0.97) * np.float32(gloss), (255, 255, 253))


def draw_dark_corner(image: Image, frame: Frame, generator: np.random.Generator) -> Image:
    """Darken all outside of the round field of view of a dermatoscope.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        frame: Where the whole picture lies.
        generator: Source of all randomness.

    Returns:
        Image of the same size.
    """
    diagonal = math.hypot(frame.width, frame.height) / 2
    radius = diagonal * generator.uniform(0.7, 0.94)
    fade = frame.unit * math.exp(generator.uniform(math.log(0.006), math.log(0.2)))
    middle = frame.center + generator.normal(0, 0.035, 2) * frame.unit
    opacity, level = generator.uniform(0.88, 1.0), generator.uniform(0, 20)
    x = np.arange(image.shape[1], dtype=np.float32) - np.float32(middle[0])
    y = np.arange(image.shape[0], dtype=np.float32) - np.float32(middle[1])
    away = np.sqrt(np.square(y)[:, None] + np.square(x))
    alpha = step(away, radius - fade / 2, radius + fade / 2) * np.float32(opacity)
    drawn = image.copy()
    color = level + generator.normal(0, 2, 3)
    lay(drawn, (slice(0, image.shape[0]), slice(0, image.shape[1])), alpha, color)
    return drawn

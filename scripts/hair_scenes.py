"""Training scenes of the hair network: hair of all kinds, and what looks like hair but is not.

A scene is a crop of a hair-free photograph, turned, mirrored, scaled and recoloured, over which
hair is drawn in one to three layers. Every layer has a tone, a width, a focus and an opacity of its
own. Under and over the hair lie things that the network must leave alone: rulers, ink, gel bubbles,
dark corners, vessels, dots. Lengths are in pixels of an image whose shorter side has 512; `zoom`
takes them to the pixels of the scene.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib.datasets.synthetic.drawing import Points, ribbon
from dermolib.datasets.synthetic.tools import (
    Frame,
    cover,
    draw_bubbles,
    draw_dark_corner,
    draw_ink,
    draw_patch,
    draw_ruler,
)

Image: TypeAlias = npt.NDArray[np.uint8]
Plane: TypeAlias = npt.NDArray[np.float32]

# A pixel is hair when this share of it is covered
COVERED = 0.35
# Hair that changes no channel by so many levels is neither taught nor punished
UNSEEN = 4
_FINE = 4
_SHIFT = 4
_STEPS = 26

_TONES = np.array(
    [
        [22, 18, 18],
        [45, 30, 26],
        [78, 50, 36],
        [112, 70, 46],
        [150, 92, 58],
        [196, 160, 112],
        [160, 156, 154],
        [226, 222, 214],
    ],
    np.float64,
)
_TONE_SHARES = (0.24, 0.22, 0.16, 0.12, 0.07, 0.07, 0.07, 0.05)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph (H, W, 3) and what is known of its hair: nothing, or where there is and is none.

    `hair` and `taught` (H, W) are for photographs that a trained network has looked at; without
    them there is no hair.
    """

    image: Image
    hair: npt.NDArray[np.bool_] | None = None
    taught: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene and its truth: image (S, S, 3), hair (S, S) and what is taught (S, S)."""

    image: Image
    hair: npt.NDArray[np.bool_]
    taught: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Layer:
    count: float
    width: float
    length: float
    angle: float
    spread: float
    bend: float
    sway: float
    color: npt.NDArray[np.float64]
    opacity: float
    focus: float
    gloss: float
    shadow: float
    bundle: float


def draw_scene(photograph: Photograph, size: int, generator: np.random.Generator) -> Scene:
    """Make one scene from a photograph."""
    zoom = math.exp(generator.uniform(math.log(0.55), math.log(1.7)))
    matrix = _place(photograph.image.shape[:2], size, zoom, generator)
    image = _recolor(_crop(photograph.image, size, matrix), generator)
    hair = _crop_plane(photograph.hair, size, matrix, otherwise=False)
    taught = _crop_plane(photograph.taught, size, matrix, otherwise=True)
    under = generator.random() < 0.7
    if under:
        image, taught = _distract_over(image, hair, taught, zoom, generator)
    for layer in _layers(image, generator):
        before = image
        image, cover = _grow(image, layer, zoom, generator)
        covered = cover >= COVERED
        seen = cv2.absdiff(image, before).max(axis=2) >= UNSEEN
        hair |= covered
        taught = np.where(covered, seen | (hair & taught), taught)
    if not under:
        image, taught = _distract_over(image, hair, taught, zoom, generator)
    return Scene(_photograph(image, generator), hair, taught)


def _distract_over(
    image: Image,
    hair: npt.NDArray[np.bool_],
    taught: npt.NDArray[np.bool_],
    zoom: float,
    generator: np.random.Generator,
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Draw what is not hair; hair that it hides is no longer taught."""
    changed = _distract(image, zoom, generator)
    kept = cv2.absdiff(changed, image).max(axis=2) < 2 * UNSEEN
    return changed, taught & (~hair | kept)


def _place(
    shape: tuple[int, ...], size: int, zoom: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Choose a matrix (2, 3) from the pixels of a photograph to those of a scene."""
    height, width = shape[:2]
    scale = zoom * 512 / min(height, width)
    angle = generator.uniform(0, 2 * math.pi)
    flip = generator.choice([-1, 1])
    stretch = math.exp(generator.uniform(-0.25, 0.25))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * turn @ np.diag([flip * stretch, 1 / stretch])
    # The scene may look a little beyond the photograph, which is mirrored there
    margin = 0.25 * size / scale
    centre = generator.uniform((margin, margin), (width - margin, height - margin))
    return np.column_stack([linear, np.array([size / 2, size / 2]) - linear @ centre])


def _crop(photograph: Image, size: int, matrix: npt.NDArray[np.float64]) -> Image:
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    if scale < 0.9:
        photograph = np.asarray(cv2.GaussianBlur(photograph, (0, 0), 0.4 / scale), np.uint8)
    way = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.warpAffine(
        photograph, matrix, (size, size), flags=way, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(crop, np.uint8)


def _crop_plane(
    plane: npt.NDArray[np.bool_] | None,
    size: int,
    matrix: npt.NDArray[np.float64],
    *,
    otherwise: bool,
) -> npt.NDArray[np.bool_]:
    if plane is None:
        return np.full((size, size), otherwise)
    crop = cv2.warpAffine(
        plane.astype(np.uint8) * 255, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(crop >= 128, np.bool_)


def _recolor(image: Image, generator: np.random.Generator) -> Image:
    """Change exposure, contrast, white balance and saturation."""
    gamma = math.exp(generator.normal(0, 0.18))
    gains = np.exp(generator.normal(0, 0.05, 3)) * math.exp(generator.normal(0, 0.09))
    values = 255 * (np.arange(256)[:, None] / 255) ** gamma * gains
    curve = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(1, 256, 3)
    saturation = 0.0 if generator.random() < 0.04 else generator.uniform(0.55, 1.3)
    mix = np.full((3, 3), (1 - saturation) / 3) + saturation * np.eye(3)
    return np.asarray(cv2.transform(cv2.LUT(image, curve), mix), np.uint8)


def _layers(image: Image, generator: np.random.Generator) -> list[_Layer]:
    kind = generator.choice(["none", "sparse", "dense", "faint"], p=[0.17, 0.29, 0.24, 0.30])
    if kind == "none":
        return []
    number = int(generator.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    return [_layer(str(kind), image, generator) for _ in range(number)]


def _layer(kind: str, image: Image, generator: np.random.Generator) -> _Layer:
    uniform = generator.uniform
    stubble = generator.random() < 0.18
    faint = kind == "faint"
    low, high = {"sparse": (2, 25), "dense": (30, 130), "faint": (4, 70)}[kind]
    width = math.exp(uniform(math.log(1.2), math.log(4.0 if faint else 7.0)))
    length = uniform(4, 20) * width if stubble else math.exp(uniform(math.log(60), math.log(900)))
    bend = generator.choice([0.05, 0.5, 1.2, 3.0], p=[0.25, 0.4, 0.27, 0.08])
    return _Layer(
        count=math.exp(uniform(math.log(low), math.log(high))) * (2.5 if stubble else 1),
        width=width,
        length=length,
        angle=uniform(0, 2 * math.pi),
        spread=generator.choice([0.12, 0.4, 1.0, 3.0]),
        bend=0.1 if stubble else bend,
        sway=0.0 if stubble else generator.choice([0.0, 0.15, 0.4, 1.0], p=[0.3, 0.4, 0.22, 0.08]),
        color=_tone(image, generator, faint=faint),
        opacity=uniform(0.15, 0.6) if faint else min(1.0, uniform(0.5, 1.15)),
        focus=generator.choice([0.0, uniform(0.3, 1.0), uniform(1.0, 2.2)], p=[0.4, 0.42, 0.18]),
        gloss=generator.choice([0.0, uniform(10, 90)], p=[0.55, 0.45]),
        shadow=generator.choice([0.0, uniform(0.05, 0.45)], p=[0.7, 0.3]),
        bundle=generator.choice([0.0, uniform(0.1, 0.6)], p=[0.6, 0.4]),
    )


def _tone(image: Image, generator: np.random.Generator, *, faint: bool) -> npt.NDArray[np.float64]:
    """Choose a colour of hair: one that hair has, or that of the skin, darker or lighter."""
    if generator.random() < 0.6:
        tone = _TONES[generator.choice(len(_TONES), p=_TONE_SHARES)]
        tone = tone * math.exp(generator.normal(0, 0.25)) + generator.normal(0, 6, 3)
        return np.asarray(np.clip(tone, 0, 255), np.float64)
    skin = np.median(image.reshape(-1, 3)[::7], axis=0)
    darker = generator.random() < 0.8
    factor = generator.uniform(0.2, 0.75) if darker else generator.uniform(1.15, 1.6)
    if faint and darker:
        factor = generator.uniform(0.4, 0.85)
    return np.asarray(np.clip(skin * factor + generator.normal(0, 6, 3), 0, 255), np.float64)


def _grow(
    image: Image, layer: _Layer, zoom: float, generator: np.random.Generator
) -> tuple[Image, Plane]:
    """Draw one layer of hair; give the image and the share of each pixel that it covers."""
    size = image.shape[0]
    fine = np.zeros((size * _FINE, size * _FINE), np.uint8)
    tints = np.zeros((size, size, 4), np.uint8)
    tints[..., :3] = np.rint(layer.color)
    tints[..., 3] = 255
    for points, widths in _strands(size, layer, zoom, generator):
        aside = ribbon(points, np.ones(_STEPS))[:_STEPS] - points
        scaled = ((_outline(points, aside, widths) + 0.5) * _FINE - 0.5) * 2**_SHIFT
        cv2.fillPoly(fine, [np.rint(scaled).astype(np.int32)], 255, shift=_SHIFT)
        _tint(tints, (points, aside, widths), layer, generator)
    cover = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    cover /= np.float32(255)
    if layer.shadow:
        shade = _shade(cover, zoom, generator) * np.float32(layer.shadow)
        image = _mix(image, np.zeros_like(image), shade)
    alpha: Any = cv2.GaussianBlur(cover, (0, 0), layer.focus) if layer.focus > 0.2 else cover
    alpha = alpha * (tints[..., 3].astype(np.float32) * np.float32(layer.opacity / 255))
    tones = np.ascontiguousarray(tints[..., :3])
    return _mix(image, tones, alpha), np.asarray(cover, np.float32)


def _shade(cover: Plane, zoom: float, generator: np.random.Generator) -> Plane:
    """Cast the shadow of hair: moved aside and soft."""
    x, y = generator.normal(0, 5 * zoom, 2)
    moved = cv2.warpAffine(cover, np.array([[1, 0, x], [0, 1, y]]), cover.shape[::-1])
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), generator.uniform(0.6, 4) * zoom), np.float32)


def _outline(points: Points, aside: Points, widths: npt.NDArray[np.float64]) -> Points:
    """Outline a strand whose half unit width to the side is known."""
    offset = aside * widths[:, None]
    return np.concatenate([points + offset, (points - offset)[::-1]])


def _tint(
    tints: npt.NDArray[np.uint8],
    strand: tuple[Points, Points, npt.NDArray[np.float64]],
    layer: _Layer,
    generator: np.random.Generator,
) -> None:
    """Paint the colour of a strand and its opacity, a little wider than the strand."""
    points, aside, widths = strand
    tone = np.clip(layer.color * generator.normal(1, 0.12) + generator.normal(0, 4, 3), 0, 255)
    fade = generator.uniform(0.55, 1.0)
    halves = [slice(0, _STEPS)]
    if generator.random() < 0.3:
        middle = int(generator.integers(6, _STEPS - 6))
        halves = [slice(0, middle + 1), slice(middle, _STEPS)]
    for half in halves:
        wide = _outline(points[half], aside[half], widths[half] + 2 + 4 * layer.focus)
        outline = np.rint(wide * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(tints, [outline], (*tone, 255 * fade), shift=_SHIFT)
        if layer.gloss and widths.max() > 2.5:
            shine = np.clip(tone + layer.gloss, 0, 255)
            thin = _outline(points[half], aside[half], widths[half] * 0.35)
            thin = np.rint(thin * 2**_SHIFT).astype(np.int32)
            cv2.fillPoly(tints, [thin], (*shine, 255 * fade), lineType=cv2.LINE_AA, shift=_SHIFT)
        fade *= generator.uniform(0.4, 1.0)


def _strands(
    size: int, layer: _Layer, zoom: float, generator: np.random.Generator
) -> list[tuple[Points, npt.NDArray[np.float64]]]:
    """Walk along the strands of a layer that may touch the scene."""
    reach = 0.35 * layer.length * zoom
    area = (size + 2 * reach) ** 2 / (512 * zoom) ** 2
    number = min(int(generator.poisson(layer.count * area)), 220)
    strands: list[tuple[Points, npt.NDArray[np.float64]]] = []
    for _ in range(number):
        if strands and generator.random() < layer.bundle:
            points, widths = strands[-1]
            shift = generator.normal(0, 4 * zoom, 2)
            lean = generator.normal(0, 6 * zoom, 2) * np.linspace(-1, 1, _STEPS)[:, None]
            strands.append((points + shift + lean, widths * generator.uniform(0.7, 1.3)))
        else:
            strands.append(_walk(size, reach, layer, zoom, generator))
    inside = [((p > -8) & (p < size + 8)).all(axis=1).any() for p, _ in strands]
    return [strand for strand, seen in zip(strands, inside, strict=True) if seen]


def _walk(
    size: int, reach: float, layer: _Layer, zoom: float, generator: np.random.Generator
) -> tuple[Points, npt.NDArray[np.float64]]:
    along = np.linspace(0, 1, _STEPS)
    turn = layer.angle + layer.spread * generator.normal() + layer.bend * generator.normal() * along
    waves = generator.uniform(0.5, 2.5)
    turn += (
        layer.sway * generator.normal() * np.sin(2 * math.pi * (waves * along + generator.random()))
    )
    if generator.random() < 0.06:
        turn += generator.normal(0, 1) * (along > generator.uniform(0.2, 0.8))
    stride = layer.length * zoom * generator.uniform(0.5, 1.4) / _STEPS
    points = np.cumsum(stride * np.column_stack([np.cos(turn), np.sin(turn)]), axis=0)
    points += generator.uniform(-reach, size + reach, 2) - points[_STEPS // 2]
    root, tip = generator.choice([0.0, 0.3, 1.0], 2)
    taper = np.minimum(1, 0.5 + root * 4 * along + (1 - root)) * np.minimum(
        1, 0.25 + tip * 3 * (1 - along) + (1 - tip)
    )
    width = max(layer.width * zoom * generator.uniform(0.7, 1.3), 0.8)
    return points, np.maximum(width * taper, 0.6)


def _distract(image: Image, zoom: float, generator: np.random.Generator) -> Image:
    """Draw what is not hair, each kind now and then."""
    for draw, share in ((_vessels, 0.10), (_dots, 0.12)):
        if generator.random() < share:
            image = draw(image, zoom, generator)
    frame = _frame_around(image.shape[0], zoom, generator)
    for artifact, share in (
        (draw_ruler, 0.3),
        (draw_ink, 0.2),
        (draw_bubbles, 0.25),
        (draw_patch, 0.1),
        (draw_dark_corner, 0.2),
    ):
        if generator.random() < share:
            image = artifact(image, frame, generator)
    if generator.random() < 0.15:
        image = _strips(image, zoom, generator)
    return image


def _frame_around(size: int, zoom: float, generator: np.random.Generator) -> Frame:
    """Choose where the picture lies of which a scene is a part: its middle is in the picture."""
    height, width = 512 * zoom, 512 * zoom * generator.uniform(1, 1.4)
    left, top = size / 2 - generator.random(2) * (width, height)
    return Frame(left, top, width, height, generator.uniform(0, 2 * math.pi))


def _blend(image: Image, alpha: Plane, color: npt.ArrayLike) -> Image:
    """Lay a colour over an image, as densely as `alpha` says."""
    flat = np.empty_like(image)
    flat[:] = np.clip(np.rint(np.asarray(color, np.float64)), 0, 255).astype(np.uint8)
    return _mix(image, flat, alpha)


def _mix(image: Image, other: Image, alpha: Plane) -> Image:
    return np.asarray(cv2.blendLinear(image, other, 1 - alpha, alpha), np.uint8)


def _stamp(size: int, outlines: list[Points], soft: float) -> Plane:
    """Give the share of each pixel that outlines cover, blurred."""
    alpha = np.zeros((size, size), np.float32)
    box, part = cover(alpha.shape, outlines, soft)
    alpha[box] = part
    return alpha


def _vessels(image: Image, zoom: float, generator: np.random.Generator) -> Image:
    """Draw fine crooked red vessels."""
    size = image.shape[0]
    outlines = []
    for _ in range(int(generator.integers(2, 25))):
        turns = generator.uniform(0, 6.3) + np.cumsum(generator.normal(0, 0.6, 16))
        steps = generator.uniform(2, 6) * zoom * np.column_stack([np.cos(turns), np.sin(turns)])
        points = np.cumsum(steps, axis=0) + generator.uniform(0, size, 2)
        outlines.append(ribbon(points, np.full(16, max(0.8, generator.uniform(1, 3.5) * zoom))))
    alpha = _stamp(size, outlines, generator.uniform(0.6, 1.8) * zoom)
    values = image.astype(np.float32)
    absorbed = np.array([generator.uniform(0, 0.12), 0.4, 0.35], np.float32)
    values *= 1 - alpha[..., None] * absorbed * np.float32(generator.uniform(0.3, 1.0))
    return _to_bytes(values)


def _dots(image: Image, zoom: float, generator: np.random.Generator) -> Image:
    """Draw dots, clods and short streaks: dark or light, never long."""
    size = image.shape[0]
    outlines = []
    turn = np.linspace(0, 2 * math.pi, 14)
    for _ in range(int(generator.integers(5, 80))):
        radius = generator.uniform(1, 5) * zoom
        x = radius * generator.uniform(1, 2) * np.cos(turn)
        y = radius * np.sin(turn)
        lean = generator.uniform(0, math.pi)
        cos, sin = math.cos(lean), math.sin(lean)
        outlines.append(
            np.column_stack([x * cos - y * sin, x * sin + y * cos]) + generator.uniform(0, size, 2)
        )
    alpha = _stamp(size, outlines, generator.uniform(0.5, 1.5) * zoom)
    color = (
        generator.uniform(230, 255, 3)
        if generator.random() < 0.3
        else generator.uniform(10, 110, 3)
    )
    return _blend(image, alpha * np.float32(generator.uniform(0.15, 0.9)), color)


def _strips(image: Image, zoom: float, generator: np.random.Generator) -> Image:
    """Leave a dark or light strip along some edges, as cameras and crops do."""
    size = image.shape[0]
    alpha = np.zeros((size, size), np.float32)
    for edge in range(4):
        if generator.random() < 0.5:
            thick = max(1, round(math.exp(generator.uniform(0, 2.5)) * zoom))
            np.rot90(alpha, edge)[:thick] = 1
    level = generator.uniform(0, 110) if generator.random() < 0.85 else generator.uniform(200, 255)
    return _blend(image, alpha * np.float32(generator.uniform(0.6, 1)), [level] * 3)


def _photograph(scene: Image, generator: np.random.Generator) -> Image:
    """Take the picture: focus, resolution, sharpening, noise, JPEG."""
    size = scene.shape[0]
    image: Any = scene
    if generator.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.3, 1.1))
    if generator.random() < 0.22:
        small = int(size * generator.uniform(0.4, 0.9))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
    if generator.random() < 0.2:
        soft = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.8, 2))
        amount = generator.uniform(0.2, 1.2)
        image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
    if generator.random() < 0.3:
        grain: Any = generator.standard_normal((size, size, 3), np.float32)
        if generator.random() < 0.5:
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7)
        image = _to_bytes(image.astype(np.float32) + grain * np.float32(generator.uniform(1, 7)))
    if generator.random() < 0.55:
        quality = int(generator.integers(45, 97))
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


def _to_bytes(values: npt.NDArray[np.float32]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

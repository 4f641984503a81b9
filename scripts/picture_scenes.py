"""Scenes that the picture network is trained on: photographs, moved, recolored and disturbed."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image
from dermolib.datasets.synthetic.artifacts import with_artifact
from dermolib.datasets.synthetic.hair import draw_hair
from dermolib.preprocessing.picture import SIDE

__all__ = ["ODD", "Photograph", "Scene", "draw_scene"]

_FINE = 2  # scenes are drawn at so many times their size
_BORDER_FLAGS = np.array([True, False, True, False, True, True, True])  # lie at the rim of images
ODD = 7
"""Kinds of pictures without a lesion that are drawn from nothing."""

_DRAWN = 0.35  # of the scenes with a lesion
_KINDS = {"dark_corner": 0, "hair": 1, "bubble": 3, "ruler": 4, "ink": 5, "patch": 6}

_Plane = npt.NDArray[np.float32]


class Photograph(NamedTuple):
    """An image (H, W, 3), its lesion (H, W), 0 and 255, and its flags (7,), 0 and 1."""

    image: Image
    lesion: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.float32]


class Scene(NamedTuple):
    """Image (S, S, 3), fraction of lesion (S/2, S/2), presence, flags and their weights (7,)."""

    image: Image
    lesion: _Plane
    presence: float
    flags: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    where: _Plane  # (7, S/8, S/8), fraction that a drawn artifact covers
    placed: npt.NDArray[np.float32]  # (7,), 1 for artifacts whose place is known


def draw_scene(
    photographs: list[Photograph],
    others: list[Image],
    number: int,
    generator: np.random.Generator,
    *,
    drawn: bool,
) -> Scene:
    """Draw the scene of a photograph, or now and then one without a lesion.

    With `drawn`, artifacts are drawn over a part of the scenes.
    """
    kind = generator.random()
    if kind < 0.04:
        return _odd(others, generator)
    photograph = photographs[number % len(photographs)]
    if kind < 0.10:
        found = _skin(photograph, generator)
        if found is not None:
            return found
    image, lesion, moved = _moved(photograph, generator, far=kind < 0.40)
    flags = photograph.flags.copy()
    # What lies at the rim may have been cut off; what was not there is not there now
    weights = np.where(moved & _BORDER_FLAGS & (flags > 0), 0, 1).astype(np.float32)
    if moved:
        weights[flags > 0] *= 0.3
    if generator.random() < 0.12:
        image, lesion = _vignette(image, lesion, generator)
        flags[0], weights[0], weights[2:] = 1, 0.5, weights[2:] * 0.5
    where, placed = _unplaced()
    if drawn and generator.random() < _DRAWN:
        image, lesion = _disturbed(image, lesion, flags, weights, where, placed, generator)
    else:
        image = _haired(image, flags, weights, generator)
    image = _photographed(_recolored(image, generator), generator)
    small = cv2.resize(lesion, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    return Scene(image, np.asarray(small / 255, np.float32), 1.0, flags, weights, where, placed)


def _haired(
    image: Image,
    flags: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    generator: np.random.Generator,
) -> Image:
    """Draw hair now and then where there is none; flags and weights change in place."""
    if flags[1] > 0 or generator.random() >= 0.15:
        return image
    density = float(generator.uniform(0.01, 0.08))
    flags[1], weights[1] = 1, 0.5
    return draw_hair(image, density=density, generator=generator)[0]


def _disturbed(
    image: Image,
    lesion: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    where: _Plane,
    placed: npt.NDArray[np.float32],
    generator: np.random.Generator,
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Draw one or two artifacts; flags, weights and places change in place."""
    for kind in generator.choice(list(_KINDS), int(generator.integers(1, 3)), replace=False):
        place = _KINDS[kind]
        seed = int(generator.integers(1 << 31))
        image, mask = with_artifact(image, str(kind), seed=seed, return_mask=True)
        if not mask.any():
            continue
        if flags[place] == 0:
            placed[place] = 1
        flags[place], weights[place] = 1, 0.5
        small = cv2.resize(mask.astype(np.float32), where.shape[1:], interpolation=cv2.INTER_AREA)
        where[place] = np.minimum(1, small * 4)
        if kind in ("patch", "dark_corner"):  # hides what lies beneath
            hidden = cv2.resize(mask.astype(np.uint8), lesion.shape[::-1]) > 0
            lesion = np.where(hidden, 0, lesion).astype(np.uint8)
    return image, lesion


def _unplaced() -> tuple[_Plane, npt.NDArray[np.float32]]:
    return np.zeros((7, SIDE // 8, SIDE // 8), np.float32), np.zeros(7, np.float32)


def _moved(
    photograph: Photograph, generator: np.random.Generator, *, far: bool
) -> tuple[Image, npt.NDArray[np.uint8], bool]:
    """Move, turn, mirror and stretch a photograph; says whether its rim may be lost."""
    size = SIDE * _FINE
    height, width = photograph.image.shape[:2]
    low, high, reach = (0.6, 2.0, 0.22) if far else (0.85, 1.12, 0.04)
    zoom = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    stretch = float(np.exp(generator.normal(0, 0.09)))
    turn = np.deg2rad(90 * generator.integers(4) + generator.normal(0, 12 if far else 3))
    flip = generator.choice([-1.0, 1.0])
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip * stretch, 1 / stretch])
    matrix = matrix * zoom * size / np.array([width, height])
    middle = np.array([width, height]) / 2
    if far and zoom > 1:
        rows, columns = np.nonzero(photograph.lesion > 127)
        if len(rows):
            weight = generator.uniform(0, 1)
            middle = (1 - weight) * middle + weight * np.array([columns.mean(), rows.mean()])
    target = np.full(2, size / 2) + generator.uniform(-reach, reach, 2) * size
    offset = target - matrix @ middle
    whole = np.column_stack([matrix, offset])
    black = far and zoom < 1 and generator.random() < 0.25
    border = cv2.BORDER_CONSTANT if black else cv2.BORDER_REFLECT_101
    image = cv2.warpAffine(
        photograph.image, whole, (size, size), flags=cv2.INTER_LINEAR, borderMode=border
    )
    lesion = cv2.warpAffine(
        photograph.lesion, whole, (size, size), flags=cv2.INTER_LINEAR, borderMode=border
    )
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8), np.asarray(lesion, np.uint8), far


def _skin(photograph: Photograph, generator: np.random.Generator) -> Scene | None:
    """Cut a piece of skin without a lesion; None where there is no room for one."""
    height, width = photograph.lesion.shape
    away = cv2.dilate(photograph.lesion, np.ones((25, 25), np.uint8))
    for _ in range(12):
        side = int(generator.integers(110, 260))
        top, left = generator.integers(0, height - side), generator.integers(0, width - side)
        if not away[top : top + side, left : left + side].any():
            piece = photograph.image[top : top + side, left : left + side]
            image = cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
            image = np.rot90(image, int(generator.integers(4)))
            image = _photographed(_recolored(np.ascontiguousarray(image), generator), generator)
            weights = np.where(photograph.flags > 0, 0, 0.5).astype(np.float32)
            return Scene(image, _nothing(), 0.0, photograph.flags.copy(), weights, *_unplaced())
    return None


def _odd(others: list[Image], generator: np.random.Generator) -> Scene:
    """Draw a picture that is no dermoscopic image: a photograph, one color, noise, a gradient."""
    kind = int(generator.integers(ODD))
    if kind < 4 and others:
        other = others[int(generator.integers(len(others)))]
        side = int(min(other.shape[:2]) * generator.uniform(0.4, 1))
        top = generator.integers(0, other.shape[0] - side + 1)
        left = generator.integers(0, other.shape[1] - side + 1)
        piece = other[top : top + side, left : left + side]
        image = cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    elif kind == 4:
        image = np.full((SIDE, SIDE, 3), generator.integers(0, 256, 3), np.uint8)
        if generator.random() < 0.4:
            image[:] = int(generator.choice([0, 255]))
    elif kind == 5:
        rough = generator.integers(0, 256, (int(generator.integers(2, 224)),) * 2 + (3,), np.uint8)
        image = cv2.resize(rough, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    else:
        skin = np.array([215, 170, 150]) + generator.normal(0, 20, 3)
        slope = generator.normal(0, 25, 2)
        rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        plane = (slope[0] * rows + slope[1] * columns)[..., None]
        noise = generator.normal(0, generator.uniform(0, 6), (SIDE, SIDE, 1))
        image = np.clip(skin + plane + noise, 0, 255).astype(np.uint8)
    zeros = np.zeros(7, np.float32)
    weights = np.full(7, 0.2 if kind >= 4 else 0, np.float32)
    return Scene(
        _photographed(np.asarray(image), generator), _nothing(), 0.0, zeros, weights, *_unplaced()
    )


def _nothing() -> _Plane:
    return np.zeros((SIDE // 2, SIDE // 2), np.float32)


def _vignette(
    image: Image, lesion: npt.NDArray[np.uint8], generator: np.random.Generator
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Darken what lies outside the round field of a dermoscope."""
    radius = generator.uniform(0.46, 0.68)
    center = 0.5 + generator.normal(0, 0.025, 2)
    soft = float(np.exp(generator.uniform(np.log(0.005), np.log(0.12))))
    line = (np.arange(SIDE) + 0.5) / SIDE
    far = np.hypot(line[:, None] - center[0], (line - center[1]) * generator.uniform(0.9, 1.1))
    light = np.clip((radius - far) / soft + 0.5, 0, 1)[..., None]
    dark = np.clip(generator.normal(18, 12, 3), 0, 60)
    outside = image * generator.uniform(0, 0.25) + dark
    image = np.clip(light * image + (1 - light) * outside, 0, 255).astype(np.uint8)
    large = cv2.resize(light[..., 0], lesion.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return image, np.where(large > 0.5, lesion, 0).astype(np.uint8)


def _recolored(image: Image, generator: np.random.Generator) -> Image:
    """Change the light, the camera and the skin."""
    values = image.astype(np.float32) / 255
    if generator.random() < 0.8:
        mean = values.mean((0, 1))
        gains = np.exp(generator.normal(0, 0.08, 3)) * np.exp(generator.normal(0, 0.12))
        values = values * gains.astype(np.float32)
        values = mean + (values - mean) * np.float32(np.exp(generator.normal(0, 0.18)))
        gray = values.mean(2, keepdims=True)
        values = gray + (values - gray) * np.float32(np.exp(generator.normal(0, 0.18)))
        values = np.clip(values, 0, 1) ** np.float32(np.exp(generator.normal(0, 0.18)))
    if generator.random() < 0.15:  # the gray-world balance that many pipelines apply
        values = values * (values.mean() / np.maximum(values.mean((0, 1)), 0.02))
    if generator.random() < 0.02:
        values = np.repeat(values.mean(2, keepdims=True), 3, 2)
    return np.clip(values * 255, 0, 255).astype(np.uint8)


def _photographed(image: Image, generator: np.random.Generator) -> Image:
    """Blur, add noise, shrink and compress as files do."""
    chance = generator.random(4)
    if chance[0] < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.8)), np.uint8)
    if chance[1] < 0.15:
        side = int(generator.integers(110, 200))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = np.asarray(
            cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    if chance[2] < 0.15:
        noise = generator.normal(0, generator.uniform(1, 8), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if chance[3] < 0.25:
        quality = int(generator.integers(40, 95))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image

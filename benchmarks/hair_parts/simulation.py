"""Hair drawn over hair-free dermoscopic images, and the exact fraction of each pixel under it.

This is the benchmark's own simulator; it shares no code with the one that networks are trained on,
so that a method is not judged by the hair it grew up with. A strand is a curve of slowly varying
curvature with a width, a fade where it leaves the skin, a tip that tapers or is cut, a tone along
it and a gloss across it. Its coverage is computed by dividing pixels, before focus and light
change how it looks; what the optics blur or a lesion hides is hair all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dermolib._validation import Image, Mask

__all__ = ["KINDS", "HairyImage", "Kind", "Strand", "cover", "simulate_hair"]

Floats: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.float64]

Kind: TypeAlias = Literal["dense", "sparse", "faint"]
"""How much hair and how well it can be seen."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds, in the order of the tables."""

_SIDE = 512  # shorter side in pixels for which lengths and widths below are stated
_DIVISIONS = 6  # of a pixel; even, so that an edge through the middle of a pixel gives a half
_OFFSETS = (np.arange(_DIVISIONS) + 0.5) / _DIVISIONS - 0.5
_SUBPIXELS = np.stack(np.meshgrid(_OFFSETS, _OFFSETS), axis=-1).reshape(-1, 2)

# Opaque hair under neutral light, RGB; the light of the image is laid over it
_COLORS = {
    "black": (40, 31, 31),
    "dark brown": (66, 46, 38),
    "brown": (102, 72, 52),
    "red": (128, 72, 44),
    "blond": (168, 136, 98),
    "gray": (134, 128, 124),
}
_NEUTRAL_SKIN = np.array([212.0, 168.0, 152.0])


@dataclass(frozen=True)
class HairyImage:
    """An image (H, W, 3) with hair and without, and the fraction (H, W) of a pixel under hair."""

    image: Image
    clean: Image
    coverage: Floats

    def mask(self, *, least: float = 0.5) -> Mask:
        """Return the pixels (H, W) of which hair covers at least a fraction."""
        mask: Mask = self.coverage >= least
        return mask


@dataclass(frozen=True)
class Strand:
    """A hair: a center line (N, 2) of x and y, a pixel apart, with what changes along it."""

    points: Numbers
    width: Numbers  # in pixels
    rise: Numbers  # how far the hair is out of the skin, 0..1
    tone: Numbers  # factor of its color
    color: Numbers  # RGB, 0..255
    opacity: float  # 0 for glass, 1 for wire
    body: float  # fraction of its own color; the rest tints what lies below, such as a lesion
    gloss: float  # lightening along the middle
    focus: Numbers  # fraction of the light that is in focus, 0..1
    shadow: float  # darkening that it casts, 0..1


def simulate_hair(clean: Image, kind: Kind, *, seed: int | Sequence[int]) -> HairyImage:
    """Draw hair of one kind; the same arguments give the same image.

    Kind ``"dense"`` covers about 6 to 18 % of the pixels, ``"sparse"`` 0.5 to 3 % or stubble, and
    ``"faint"`` 1 to 4 % with thin hair that differs little from the skin.
    """
    random = np.random.default_rng(seed)
    style = _STYLES[kind](random, _skin(clean))
    strands = _grow(random, style, clean.shape[0], clean.shape[1])
    return _expose(random, clean, strands)


def _skin(clean: Image) -> Numbers:
    """Estimate the color of the skin: the median of the brighter half."""
    light = clean.mean(axis=-1)
    skin: Numbers = np.median(clean[light >= np.median(light)], axis=0)
    return np.maximum(skin, 20.0)


def _pigments(
    random: np.random.Generator, skin: Numbers, weights: dict[str, float]
) -> tuple[Numbers, ...]:
    """Choose one or two colors of hair under the light of the image."""
    names = list(weights)
    share = np.array(list(weights.values()))
    chosen = random.choice(names, size=random.integers(1, 3), p=share / share.sum())
    light = np.sqrt(skin / _NEUTRAL_SKIN)
    return tuple(np.array(_COLORS[str(name)]) * light for name in chosen)


def _dense(random: np.random.Generator, skin: Numbers) -> SimpleNamespace:
    weights = {"black": 3, "dark brown": 4, "brown": 4, "red": 1, "gray": 0.7, "blond": 0.7}
    combed = random.random() < 0.5
    bundles = [  # x, y and heading; x and y as fractions
        (random.uniform(0, 1), random.uniform(0, 1), random.uniform(0, 2 * np.pi))
        for _ in range(random.integers(1, 5))
    ]
    return SimpleNamespace(
        colors=_pigments(random, skin, weights),
        target=random.uniform(0.06, 0.18),  # fraction of the pixels to cover
        most=170,
        length=(90, 620),  # in pixels of the reference side, as is the width
        width=random.uniform(1.7, 4.2),
        spread=0.28,  # of the logarithm of the width
        curl=random.uniform(0.1, 0.9),  # deviation of the turn over 100 pixels
        drift=random.uniform(0.15, 0.5) if combed else np.pi,  # of headings from the common one
        heading=random.uniform(0, 2 * np.pi),
        bundles=tuple(bundles),
        bundled=random.uniform(0.1, 0.7),  # fraction of strands in bundles
        stubble=random.choice([0.0, 0.1]),  # fraction of strands that are stubble
        opacity=(0.72, 1.0),
        body=(0.6, 1.0),
        soft=random.uniform(0, 0.35),  # fraction of strands that leave the focus
        shadow=random.choice([0.0, random.uniform(0.05, 0.3)]),
        gloss=random.uniform(0, 0.4),
    )


def _sparse(random: np.random.Generator, skin: Numbers) -> SimpleNamespace:
    weights = {"black": 3, "dark brown": 4, "brown": 4, "red": 1.5, "gray": 1, "blond": 1}
    shaved = random.random() < 0.25
    return SimpleNamespace(
        colors=_pigments(random, skin, weights),
        target=random.uniform(0.002, 0.008) if shaved else random.uniform(0.005, 0.03),
        most=60 if shaved else 24,
        length=(60, 520),
        width=random.uniform(1.5, 4.5),
        spread=0.3,
        curl=random.uniform(0.1, 0.8),
        drift=random.choice([0.3, np.pi]),
        heading=random.uniform(0, 2 * np.pi),
        bundles=((random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0, 6.3)),),
        bundled=random.choice([0.0, 0.4]),
        stubble=1.0 if shaved else random.choice([0.0, 0.3]),
        opacity=(0.65, 1.0),
        body=(0.5, 1.0),
        soft=random.uniform(0, 0.4),
        shadow=random.choice([0.0, random.uniform(0.05, 0.3)]),
        gloss=random.uniform(0, 0.4),
    )


def _faint(random: np.random.Generator, skin: Numbers) -> SimpleNamespace:
    colors = []
    for _ in range(random.integers(1, 4)):
        step = random.uniform(0.16, 0.42)
        warmth = random.uniform(0, 0.25)
        color = skin * (1 - step * np.array([1 - warmth, 1, 1 + warmth]))
        if random.random() < 0.08:  # white hair on darker skin
            color = skin + (255 - skin) * random.uniform(0.35, 0.7)
        colors.append(color)
    return SimpleNamespace(
        colors=tuple(colors),
        target=random.uniform(0.008, 0.04),
        most=90,
        length=(50, 420),
        width=random.uniform(1.2, 2.3),
        spread=0.18,
        curl=random.uniform(0.15, 1.0),
        drift=random.choice([0.35, np.pi]),
        heading=random.uniform(0, 2 * np.pi),
        bundles=((random.uniform(0, 1), random.uniform(0, 1), random.uniform(0, 6.3)),),
        bundled=random.choice([0.0, 0.3]),
        stubble=random.choice([0.0, 0.15]),
        opacity=(0.55, 0.95),
        body=(0.0, 0.8),
        soft=random.uniform(0.2, 0.7),
        shadow=0.0,
        gloss=random.uniform(0, 0.3),
    )


_STYLES = {"dense": _dense, "sparse": _sparse, "faint": _faint}


def _grow(
    random: np.random.Generator, style: SimpleNamespace, height: int, width: int
) -> list[Strand]:
    """Grow strands until they cover enough."""
    scale = min(height, width) / _SIDE
    wanted = style.target * height * width
    strands: list[Strand] = []
    while wanted > 0 and len(strands) < style.most:
        strand = _strand(random, style, height, width, scale)
        x, y = strand.points.T
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if seen.any():
            strands.append(strand)
            wanted -= float((strand.width * strand.rise)[seen].sum())
    return strands


def _strand(
    random: np.random.Generator, style: SimpleNamespace, height: int, width: int, scale: float
) -> Strand:
    short = random.random() < style.stubble
    length = random.uniform(*((9, 34) if short else style.length)) * scale
    x, y, heading = _root(random, style, height, width)
    points = _curve(random, length, heading, style.curl / scale) + np.array([x, y])
    size = len(points)
    along = np.linspace(0, 1, size)
    cut = short or random.random() < 0.4
    root = random.uniform(0.03, 0.35) * (1.0 if short else 0.3)
    thick = max(1.2, style.width * np.exp(random.normal(0, style.spread)))
    soft = random.random() < style.soft
    focus = _slow(random, size, random.uniform(-0.3, 0.9), 0.6) if soft else np.ones(size)
    return Strand(
        points=points,
        width=thick * scale * (1 - 0.08 * along) * _taper(along, cut=cut),
        rise=np.clip(along / root, 0, 1) if short or random.random() < 0.7 else np.ones(size),
        tone=np.clip(_slow(random, size, 1.0, 0.1), 0.7, 1.4) * random.uniform(0.85, 1.15),
        color=style.colors[random.integers(len(style.colors))],
        opacity=random.uniform(*style.opacity),
        body=random.uniform(*style.body),
        gloss=style.gloss * random.uniform(0, 1),
        focus=np.clip(focus, 0, 1),
        shadow=style.shadow * random.uniform(0, 1),
    )


def _root(
    random: np.random.Generator, style: SimpleNamespace, height: int, width: int
) -> tuple[float, float, float]:
    """Choose where a strand leaves the skin, in the picture or a little outside, and its way."""
    if random.random() < style.bundled:
        x, y, heading = style.bundles[random.integers(len(style.bundles))]
        place = random.normal(0, 0.06, 2)
        return (x + place[0]) * width, (y + place[1]) * height, heading + random.normal(0, 0.25)
    x, y = random.uniform(-0.25, 1.25, 2)
    return x * width, y * height, style.heading + random.uniform(-1, 1) * style.drift


def _expose(random: np.random.Generator, clean: Image, strands: list[Strand]) -> HairyImage:
    """Lay shadows, then hair out of focus, then hair in focus over the image."""
    height, width = clean.shape[:2]
    scale = min(height, width) / _SIDE
    lit = clean.astype(np.float32)
    skin = _skin(clean)
    coverage = np.zeros((height, width), dtype=np.float32)
    shadow = np.zeros((height, width), dtype=np.float32)
    sharp = np.zeros((height, width, 4), dtype=np.float32)
    soft = np.zeros((height, width, 4), dtype=np.float32)
    for strand in strands:
        where, share, middle = cover(strand, height, width)
        row, column, point = where.T
        risen = share * strand.rise[point].astype(np.float32)
        coverage[row, column] = 1 - (1 - coverage[row, column]) * (1 - risen)
        shadow[row, column] = np.maximum(shadow[row, column], risen * strand.shadow)
        tone = strand.tone[point] * (0.86 + 0.14 * middle + strand.gloss * middle**4)
        tint = lit[row, column] * np.minimum(strand.color / skin, 1)
        color = strand.body * strand.color + (1 - strand.body) * tint
        color = np.minimum(color * tone[:, None], 255).astype(np.float32)
        focus = strand.focus[point].astype(np.float32)
        _lay(sharp, (row, column), color, risen * strand.opacity * focus)
        _lay(soft, (row, column), color, risen * strand.opacity * (1 - focus))
    shift = np.column_stack([np.eye(2), random.uniform(-3, 3, 2) * scale])
    shadow = _blurred(shadow, random.uniform(1.2, 2.6) * scale)
    lit *= 1 - cv2.warpAffine(shadow, shift, (width, height))[..., None]
    for layer, blur in ((soft, random.uniform(0.9, 1.8)), (sharp, random.uniform(0.3, 0.65))):
        seen = _blurred(layer, blur * scale)
        lit = lit * (1 - seen[..., 3:]) + seen[..., :3]
    image = np.clip(np.round(lit), 0, 255).astype(np.uint8)
    return HairyImage(image=image, clean=clean, coverage=coverage)


def _lay(layer: Floats, place: tuple[Any, Any], color: Floats, opacity: Floats) -> None:
    """Lay color over a layer of premultiplied color and opacity."""
    over = np.column_stack([color * opacity[:, None], opacity])
    layer[place] = layer[place] * (1 - opacity[:, None]) + over


def _blurred(layer: Floats, deviation: float) -> Floats:
    return cv2.GaussianBlur(layer, (0, 0), deviation).astype(np.float32, copy=False)


def cover(strand: Strand, height: int, width: int) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """Compute the fraction of each pixel that lies under a strand.

    Each pixel is divided into 36, and each part lies under the strand if its middle is no farther
    from the tangent at the nearest point of the center line than half the width.

    Returns:
        Row, column and nearest point of each pixel that is covered (N, 3); the fraction that is
        covered (N,); and how near that is to the middle of the strand (N,), 0 at the edge, to 1.
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


def _curve(random: np.random.Generator, length: float, heading: float, curl: float) -> Numbers:
    """Walk `length` pixels with a turn that changes slowly; the first point is the origin."""
    size = max(3, round(length))
    steady = random.normal(0, curl / 100)
    turn = steady + _slow(random, size, 0.0, curl / 150)
    way = heading + np.cumsum(turn)
    steps = np.stack([np.cos(way), np.sin(way)], axis=-1)
    path: Numbers = np.cumsum(steps, axis=0) - steps[0]
    return path


def _slow(random: np.random.Generator, size: int, mean: float, deviation: float) -> Numbers:
    """Draw a slowly varying function: a line through a few normal numbers."""
    knots = max(2, size // 60 + 2)
    values = random.normal(mean, deviation, knots)
    return np.interp(np.linspace(0, knots - 1, size), np.arange(knots), values)


def _taper(along: Numbers, *, cut: bool) -> Numbers:
    """Narrow the last third to a point, unless the hair was cut."""
    return np.ones_like(along) if cut else np.clip((1.02 - along) / 0.35, 0, 1) ** 0.7

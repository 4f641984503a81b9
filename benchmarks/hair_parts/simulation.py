"""Hair drawn over hair-free dermoscopic images, with the exact share of each pixel that it covers.

This is the benchmark's own simulator; it shares no code with the one that networks are trained on,
so that a method is not judged by the hair it grew up with. A strand is a curve of slowly varying
curvature with a width, a fade where it leaves the skin, a tip that tapers or is cut, a tone along
it and a gloss across it. Its coverage is computed by dividing pixels, before focus and light
change how it looks; what the optics blur or a lesion hides is hair all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask
from hair_parts.strands import Floats, Strand, cover, curve, slow, taper

__all__ = ["KINDS", "HairyImage", "Kind", "jpeg_round_trip", "simulate_hair"]

Kind: TypeAlias = Literal["dense", "sparse", "faint"]
"""How much hair and how well it can be seen."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds, in the order of the tables."""

REFERENCE_SIZE = 512
"""Shorter side in pixels for which lengths and widths below are stated."""

# Opaque hair under neutral light, RGB; the light of the image is laid over it
_COLORS = {
    "black": (40, 31, 31),
    "dark brown": (66, 46, 38),
    "brown": (102, 72, 52),
    "red": (128, 72, 44),
    "blond": (168, 136, 98),
    "grey": (134, 128, 124),
}
_NEUTRAL_SKIN = np.array([212.0, 168.0, 152.0])


@dataclass(frozen=True)
class HairyImage:
    """An image with drawn hair and everything that is known about it.

    Attributes:
        image: Image with hair (H, W, 3), uint8 RGB.
        clean: The image before hair was drawn, of the same shape.
        coverage: Share of each pixel that lies under hair (H, W), 0..1, float32.
    """

    image: Image
    clean: Image
    coverage: Floats

    def mask(self, *, least: float = 0.5) -> Mask:
        """Return the pixels that hair covers by the share `least` or more (H, W)."""
        mask: Mask = self.coverage >= least
        return mask


@dataclass(frozen=True)
class _Style:
    """What the strands of one image have in common; lengths in pixels of the reference size."""

    colors: tuple[npt.NDArray[np.float64], ...]
    target: float  # share of the pixels to cover
    most: int
    length: tuple[float, float]
    width: float
    spread: float  # of the logarithm of the width
    curl: float  # standard deviation of the turn over a hundred pixels, in radians
    drift: float  # how far headings stray from the common one, in radians
    heading: float
    bundles: tuple[tuple[float, float, float], ...]  # x, y, heading; x and y as shares
    bundled: float  # share of strands in bundles
    stubble: float  # share of strands that are stubble
    opacity: tuple[float, float]
    body: tuple[float, float]
    soft: float  # share of strands that leave the focus
    shadow: float
    gloss: float


def simulate_hair(clean: Image, kind: Kind, *, seed: int | Sequence[int]) -> HairyImage:
    """Draw hair of one kind; the same arguments give the same image.

    Args:
        clean: Image (H, W, 3), uint8 RGB.
        kind: ``"dense"`` covers about 6 to 18 % of the pixels, ``"sparse"`` 0.5 to 3 % or
            stubble, ``"faint"`` 1 to 4 % with thin hair that differs little from the skin.
        seed: Seed, or several numbers that together are one.

    Returns:
        The image with hair and its coverage.
    """
    random = np.random.default_rng(seed)
    style = _STYLES[kind](random, _skin(clean))
    strands = _grow(random, style, clean.shape[0], clean.shape[1])
    return _expose(random, clean, strands)


def jpeg_round_trip(image: Image, *, quality: int) -> Image:
    """Write and read an image as JPEG of the given quality (1..100), in memory."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    back = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(back[..., ::-1])


def _skin(clean: Image) -> npt.NDArray[np.float64]:
    """Estimate the colour of the skin: the median of the brighter half."""
    light = clean.mean(axis=-1)
    skin: npt.NDArray[np.float64] = np.median(clean[light >= np.median(light)], axis=0)
    return np.maximum(skin, 20.0)


def _pigments(
    random: np.random.Generator, skin: npt.NDArray[np.float64], weights: dict[str, float]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Choose one or two colours of hair under the light of the image."""
    names = list(weights)
    share = np.array(list(weights.values()))
    chosen = random.choice(names, size=random.integers(1, 3), p=share / share.sum())
    light = np.sqrt(skin / _NEUTRAL_SKIN)
    return tuple(np.array(_COLORS[str(name)]) * light for name in chosen)


def _dense(random: np.random.Generator, skin: npt.NDArray[np.float64]) -> _Style:
    weights = {"black": 3, "dark brown": 4, "brown": 4, "red": 1, "grey": 0.7, "blond": 0.7}
    combed = random.random() < 0.5
    bundles = [
        (random.uniform(0, 1), random.uniform(0, 1), random.uniform(0, 2 * np.pi))
        for _ in range(random.integers(1, 5))
    ]
    return _Style(
        colors=_pigments(random, skin, weights),
        target=random.uniform(0.06, 0.18),
        most=170,
        length=(90, 620),
        width=random.uniform(1.7, 4.2),
        spread=0.28,
        curl=random.uniform(0.1, 0.9),
        drift=random.uniform(0.15, 0.5) if combed else np.pi,
        heading=random.uniform(0, 2 * np.pi),
        bundles=tuple(bundles),
        bundled=random.uniform(0.1, 0.7),
        stubble=random.choice([0.0, 0.1]),
        opacity=(0.72, 1.0),
        body=(0.6, 1.0),
        soft=random.uniform(0, 0.35),
        shadow=random.choice([0.0, random.uniform(0.05, 0.3)]),
        gloss=random.uniform(0, 0.4),
    )


def _sparse(random: np.random.Generator, skin: npt.NDArray[np.float64]) -> _Style:
    weights = {"black": 3, "dark brown": 4, "brown": 4, "red": 1.5, "grey": 1, "blond": 1}
    shaved = random.random() < 0.25
    return _Style(
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


def _faint(random: np.random.Generator, skin: npt.NDArray[np.float64]) -> _Style:
    colors = []
    for _ in range(random.integers(1, 4)):
        step = random.uniform(0.16, 0.42)
        warmth = random.uniform(0, 0.25)
        color = skin * (1 - step * np.array([1 - warmth, 1, 1 + warmth]))
        if random.random() < 0.08:  # white hair on darker skin
            color = skin + (255 - skin) * random.uniform(0.35, 0.7)
        colors.append(color)
    return _Style(
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


def _grow(random: np.random.Generator, style: _Style, height: int, width: int) -> list[Strand]:
    """Grow strands until they cover enough."""
    scale = min(height, width) / REFERENCE_SIZE
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
    random: np.random.Generator, style: _Style, height: int, width: int, scale: float
) -> Strand:
    short = random.random() < style.stubble
    length = random.uniform(*((9, 34) if short else style.length)) * scale
    x, y, heading = _root(random, style, height, width)
    points = curve(random, length, heading, style.curl / scale) + np.array([x, y])
    size = len(points)
    along = np.linspace(0, 1, size)
    cut = short or random.random() < 0.4
    root = random.uniform(0.03, 0.35) * (1.0 if short else 0.3)
    thick = max(1.2, style.width * np.exp(random.normal(0, style.spread)))
    soft = random.random() < style.soft
    focus = slow(random, size, random.uniform(-0.3, 0.9), 0.6) if soft else np.ones(size)
    return Strand(
        points=points,
        width=thick * scale * (1 - 0.08 * along) * taper(along, cut=cut),
        rise=np.clip(along / root, 0, 1) if short or random.random() < 0.7 else np.ones(size),
        tone=np.clip(slow(random, size, 1.0, 0.1), 0.7, 1.4) * random.uniform(0.85, 1.15),
        color=style.colors[random.integers(len(style.colors))],
        opacity=random.uniform(*style.opacity),
        body=random.uniform(*style.body),
        gloss=style.gloss * random.uniform(0, 1),
        focus=np.clip(focus, 0, 1),
        shadow=style.shadow * random.uniform(0, 1),
    )


def _root(
    random: np.random.Generator, style: _Style, height: int, width: int
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
    scale = min(height, width) / REFERENCE_SIZE
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
        _lay(sharp, row, column, color, risen * strand.opacity * focus)
        _lay(soft, row, column, color, risen * strand.opacity * (1 - focus))
    shift = random.uniform(-3, 3, 2) * scale
    lit *= 1 - _shifted(_blurred(shadow, random.uniform(1.2, 2.6) * scale), shift)[..., None]
    for layer, blur in ((soft, random.uniform(0.9, 1.8)), (sharp, random.uniform(0.3, 0.65))):
        seen = _blurred(layer, blur * scale)
        lit = lit * (1 - seen[..., 3:]) + seen[..., :3]
    image = np.clip(np.round(lit), 0, 255).astype(np.uint8)
    return HairyImage(image=image, clean=clean, coverage=coverage)


def _lay(
    layer: Floats,
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    color: Floats,
    opacity: Floats,
) -> None:
    """Lay colour over a layer of premultiplied colour and opacity."""
    over = np.column_stack([color * opacity[:, None], opacity])
    layer[row, column] = layer[row, column] * (1 - opacity[:, None]) + over


def _blurred(layer: Floats, deviation: float) -> Floats:
    return cv2.GaussianBlur(layer, (0, 0), deviation).astype(np.float32, copy=False)


def _shifted(layer: Floats, shift: npt.NDArray[np.float64]) -> Floats:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    return cv2.warpAffine(layer, matrix, layer.shape[::-1]).astype(np.float32, copy=False)

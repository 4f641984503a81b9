"""Second photographs of a lesion, made of a first one, and changed copies of an image.

A recapture is another photograph, not a copy: another part of the skin is in view, turned, nearer
or farther, under another light, in another focus, with new noise, and hair lies over one of the two
only. Where it shows skin beyond the edge of the first photograph, none is known; what is drawn
there (`BEYOND`) is chosen at random, so that a result does not hang on one of these ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image
from duplicates_parts.changes import FURTHER, PROMISED
from hair_parts.simulation import KINDS, simulate_hair

__all__ = ["BEYOND", "CHANGES", "NAMED_CHANGES", "Recapture", "plant_recapture"]

BEYOND = ("mirrored skin", "black", "round field")
"""What a recapture shows beyond the edge of the first photograph.

Skin mirrored at the edge, black, or the dark corners of a dermoscope around a round field, which
hide a part of what is known too.
"""

_AREA = (0.6, 0.9)  # of the first photograph that is in view
_SCALE = (0.7, 1.4)
_GAIN = 0.12  # deviation of the logarithm of the light, as a whole and of red against blue
_GAMMA = (0.85, 1.2)
_BLUR = (0.0, 1.5)  # px
_NOISE = (0.0, 3.0)  # gray levels
_QUALITY = (60, 95)

_Random: TypeAlias = np.random.Generator


@dataclass(frozen=True)
class Recapture:
    """Two photographs of one lesion and the true transform from pixels of the first to the second.

    A pixel (x, y) of the first, counted from the center of the corner pixel, x to the right and y
    down, is at ``scale * (cos(angle) * x - sin(angle) * y) + shift_x`` and ``scale * (sin(angle) *
    x + cos(angle) * y) + shift_y`` of the second, `angle` in degrees.
    """

    first: Image
    second: Image
    scale: float
    angle: float
    shift_x: float
    shift_y: float
    hairy: int  # which of the two has hair drawn on it, 0 or 1
    beyond: str  # of `BEYOND`

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The transform as a matrix (2, 3)."""
        cosine, sine = _turn(self.scale, self.angle)
        return np.array([[cosine, -sine, self.shift_x], [sine, cosine, self.shift_y]])


def plant_recapture(image: Image, *, seed: int | Sequence[int]) -> Recapture:
    """Make a recapture of an image; the same arguments give the same pixels.

    60 to 90 % of the area, turned by any angle, at 0.7 to 1.4 of the scale, with the light, the
    white balance and the contrast of another photograph, blurred, noisy and compressed as JPEG of
    quality 60 to 95. Hair is drawn on one of the two.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    height, width = image.shape[:2]
    side = np.sqrt(random.uniform(*_AREA))
    scale = float(np.exp(random.uniform(*np.log(_SCALE))))
    angle = float(random.uniform(-180, 180))
    columns, rows = (round(side * length * scale) for length in (width, height))
    # A window of this size anywhere in the first one, then turned about its center
    center = [(length - 1) / 2 + (random.random() - 0.5) * (1 - side) * length
              for length in (width, height)]  # fmt: skip
    cosine, sine = _turn(scale, angle)
    x = (columns - 1) / 2 - (cosine * center[0] - sine * center[1])
    y = (rows - 1) / 2 - (sine * center[0] + cosine * center[1])
    hairy, beyond = int(random.integers(2)), str(random.choice(BEYOND))
    hair: dict[str, Any] = {
        "kind": KINDS[random.integers(len(KINDS))],
        "seed": int(random.integers(2**31)),
    }
    first = image if hairy else simulate_hair(image, **hair).image
    matrix = np.array([[cosine, -sine, x], [sine, cosine, y]])
    # Hair of the second photograph is drawn at its own scale, before its light and focus
    second = _seen(image, matrix, (columns, rows), scale, beyond)
    if hairy:
        second = simulate_hair(second, **hair).image
    if beyond == "round field":
        second = _round_field(second, random)
    return Recapture(first, _exposed(second, random), scale, angle, x, y, hairy, beyond)


def _turn(scale: float, angle: float) -> tuple[float, float]:
    """Give scale times the cosine and the sine of an angle in degrees."""
    radians = np.deg2rad(angle)
    return float(scale * np.cos(radians)), float(scale * np.sin(radians))


def _seen(
    image: Image, matrix: npt.NDArray[Any], size: tuple[int, int], scale: float, beyond: str
) -> Image:
    """Resample what is in view, without aliasing."""
    if scale < 1:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1) + 0.01))
    border = cv2.BORDER_CONSTANT if beyond == "black" else cv2.BORDER_REFLECT_101
    seen = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(seen, np.uint8)


def _exposed(image: Image, random: _Random) -> Image:
    """Photograph what is in view: light, white balance, contrast, focus, noise and JPEG."""
    light, warmth, tint = random.normal(0, _GAIN, 3)
    gains = np.exp([light + warmth, light + tint / 2, light - warmth])
    levels: npt.NDArray[Any] = (
        image / 255
    ) ** 2.2 * gains  # gains act on light, not on gray levels
    levels = 255 * np.clip(levels, 0, 1) ** (random.uniform(*_GAMMA) / 2.2)
    levels = cv2.GaussianBlur(levels, (0, 0), random.uniform(*_BLUR) + 0.01)
    levels = levels + random.normal(0, random.uniform(*_NOISE), levels.shape)
    photograph = np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
    return _jpeg(photograph, int(random.integers(_QUALITY[0], _QUALITY[1] + 1)))


def _jpeg(image: Image, quality: int) -> Image:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _round_field(image: Image, random: _Random) -> Image:
    """Draw the dark corners of a dermoscope whose field is a little off the center."""
    height, width = image.shape[:2]
    radius = np.hypot(height, width) / 2 * random.uniform(0.8, 0.95)
    y, x = np.ogrid[:height, :width]
    offset = random.normal(0, 0.02, 2)
    distance = np.hypot(y - height * (0.5 + offset[0]), x - width * (0.5 + offset[1]))
    light = np.clip((radius - distance) / (0.02 * radius) + 0.5, 0, 1)[..., None]
    return np.asarray(np.rint(image * light + random.uniform(0, 12) * (1 - light)), np.uint8)


def _vignette(image: Image) -> Image:
    """Darken the corners to black around a round field."""
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) / (np.hypot(height, width) / 2)
    light = np.clip((0.9 - distance) / 0.2, 0, 1)[..., None]
    return np.asarray(np.rint(image * light), np.uint8)


def _text(image: Image) -> Image:
    """Write two lines of white text over an image, as a viewer for patients does."""
    height, width = image.shape[:2]
    written, scale = image.copy(), width / 400
    thick = max(1, round(2 * scale))
    for row, words in ((0.15, "PATIENT 0472  F 54"), (0.9, "2019-03-14  left arm")):
        place = (round(0.04 * width), round(row * height))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(written, words, place, font, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return written


def _balanced(image: Image) -> Image:
    levels = image * np.array([1.1, 1.0, 0.85])
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _noisy(image: Image) -> Image:
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return np.asarray(np.clip(np.rint(image + noise), 0, 255), np.uint8)


def _blurred(image: Image) -> Image:
    width = image.shape[1]
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2 * width / 512), np.uint8)


def _squeezed(image: Image) -> Image:
    side = min(image.shape[:2])
    size = (side, side) if image.shape[0] != image.shape[1] else (side * 3 // 4, side)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _gray(image: Image) -> Image:
    return np.asarray(
        cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8
    )


def _cropped(image: Image, fraction: float) -> Image:
    rows, columns = (max(1, round(fraction * side)) for side in image.shape[:2])
    return np.ascontiguousarray(image[rows:-rows, columns:-columns])


_BOTH = {**PROMISED, **FURTHER}
_WORST = "half the size, mirrored, rotated by 90°, JPEG 60"
_KEPT = (
    "half the size", "a quarter of the size", "JPEG of quality 60", "JPEG of quality 30",
    "brighter by 20 levels", "0.8 of the brightness", "gamma 1.2", "`shades_of_gray`",
    "`occlusion_removal`", "mirrored", "upside down", "rotated by 90°", _WORST,
    "2 % cropped on each side", "rotated by 2°", "rotated by 5°",
)  # fmt: skip

CHANGES: dict[str, Callable[[Image], Image]] = {
    **{name: _BOTH[name] for name in _KEPT},
    "5 % cropped on each side": lambda image: _cropped(image, 0.05),
    "10 % cropped on each side": lambda image: _cropped(image, 0.1),
    "squeezed by a quarter": _squeezed,
    "blurred": _blurred,
    "noisy": _noisy,
    "another white balance": _balanced,
    "gray": _gray,
    "hair drawn on it": lambda image: simulate_hair(image, "sparse", seed=int(image.sum())).image,
    "vignette drawn on it": _vignette,
    "white text written on it": _text,
}
"""The 26 changes of the experiment on copies."""

NAMED_CHANGES = (
    "2 % cropped on each side",
    "rotated by 5°",
    "vignette drawn on it",
    "white text written on it",
)
"""Those in which `find_duplicates` alone fails most often."""

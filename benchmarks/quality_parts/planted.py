"""Faults planted into dermoscopic images, harmless changes, and images of other things."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from dermolib._validation import Image

__all__ = ["BLUR", "EXPOSURE", "HARMLESS", "compressed", "read_foreign"]

_SEEN = 200  # px of the longer side that blur is given in
_GAMMA = 2.2
_LARGEST, _LEAST = 640, 64  # px of a picture of another thing

_Change = Callable[[Image, np.random.Generator], Image]


def compressed(image: Image, generator: np.random.Generator) -> Image:
    """Compress an image as JPEG of a quality in 80..95, as whoever stored it would have."""
    quality = int(generator.integers(80, 96))
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])


def _filtered(image: Image, kernel: npt.NDArray[np.float32]) -> Image:
    """Blur an image by a kernel of any size."""
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _gaussian(sigma: float) -> _Change:
    def change(image: Image, _: np.random.Generator) -> Image:
        scaled = sigma * max(image.shape[:2]) / _SEEN
        return np.asarray(cv2.GaussianBlur(image, (0, 0), scaled), np.uint8)

    return change


def _defocus(radius: float) -> _Change:
    def change(image: Image, _: np.random.Generator) -> Image:
        scaled = radius * max(image.shape[:2]) / _SEEN
        reach = int(np.ceil(scaled))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        kernel = (scaled + 0.5 - np.hypot(rows, columns)).clip(0, 1).astype(np.float32)
        return _filtered(image, kernel)

    return change


def _motion(length: float) -> _Change:
    def change(image: Image, generator: np.random.Generator) -> Image:
        scaled = length * max(image.shape[:2]) / _SEEN
        reach, angle = int(np.ceil(scaled / 2)), generator.uniform(0, np.pi)
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        step = scaled / 2 * np.array([np.cos(angle), np.sin(angle)])
        first, second = (np.rint(reach + sign * step).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, first, second, 1, 1)
        return _filtered(image, kernel)

    return change


def _exposed(stops: float) -> _Change:
    def change(image: Image, _: np.random.Generator) -> Image:
        light = np.arange(256) / 255
        table = 255 * np.clip(light**_GAMMA * 2**stops, 0, 1) ** (1 / _GAMMA)
        return np.asarray(cv2.LUT(image, table.round().astype(np.uint8)), np.uint8)

    return change


def _white_balance(image: Image, generator: np.random.Generator) -> Image:
    return np.asarray((image * generator.uniform(0.75, 1.2, 3)).clip(0, 255), np.uint8)


def _round_field(image: Image, generator: np.random.Generator) -> Image:
    """Blacken what lies outside a round field of view, and crop every second one to a square."""
    height, width = image.shape[:2]
    short = min(height, width)
    radius = short / 2 * generator.uniform(0.85, 1.25)
    row, column = np.array([height, width]) / 2 + generator.uniform(-0.05, 0.05, 2) * short
    rows, columns = np.ogrid[:height, :width]
    inside = (radius - np.hypot(rows - row, columns - column)) / generator.uniform(0.005, 0.04)
    field = np.asarray(image * (inside / short).clip(0, 1)[..., None], np.uint8)
    left = (width - short) // 2 if generator.random() < 0.5 else 0
    return np.ascontiguousarray(field[:, left : width - left])


def _part(image: Image, generator: np.random.Generator) -> Image:
    """Cut a part out of an image and turn it."""
    shape = [round(side * generator.uniform(0.4, 0.8)) for side in image.shape[:2]]
    top, left = (
        int(generator.integers(0, whole - part + 1))
        for whole, part in zip(image.shape, shape, strict=False)
    )
    return np.ascontiguousarray(np.rot90(image[top : top + shape[0], left : left + shape[1]]))


def _contrast(image: Image, generator: np.random.Generator) -> Image:
    """Make the colors of an image paler or stronger."""
    gray = image.mean(axis=2, keepdims=True)
    return np.asarray((gray + (image - gray) * generator.uniform(0.5, 1.4)).clip(0, 255), np.uint8)


def _dimmed(image: Image, generator: np.random.Generator) -> Image:
    return _exposed(generator.uniform(-1.5, 0.7))(image, generator)


BLUR: Mapping[str, _Change] = {
    **{f"Gaussian, sigma {sigma:g} px": _gaussian(sigma) for sigma in (1, 1.5, 2, 3)},
    **{f"out of focus, radius {radius} px": _defocus(radius) for radius in (2, 3, 5)},
    **{f"moved by {length} px": _motion(length) for length in (4, 8)},
}
"""Blur in px of an image whose longer side has 200 px."""

EXPOSURE: Mapping[str, _Change] = {
    f"{stops:+g} stops": _exposed(stops) for stops in (-3, -2.5, -2, -1, 1, 1.5, 2, 3)
}
"""Exposure in stops: each doubles the light."""

HARMLESS: Mapping[str, _Change] = {
    "white balance": _white_balance,
    "round field of view": _round_field,
    "a part, turned": _part,
    "paler or stronger colors": _contrast,
    "-1.5 to 0.7 stops": _dimmed,
}
"""Changes that leave a dermoscopic image one, and sharp."""


def read_foreign(root: Path) -> tuple[list[Image], list[str]]:
    """Read pictures of other things, and the folder in `root` of each: its source."""
    images, sources = [], []
    for path in sorted(root.glob("*/**/*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
            continue
        with PillowImage.open(path) as opened:
            if min(opened.size) < _LEAST:
                continue
            picture = opened.convert("RGBA")
        white = PillowImage.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        white.thumbnail((_LARGEST, _LARGEST))
        images.append(np.asarray(white.convert("RGB")))
        sources.append(path.relative_to(root).parts[0])
    return images, sources

"""Images whose true border is known: borders that are drawn, and lesions that the frame cuts."""

from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask

__all__ = ["BORDERS", "Border", "cut_lesions", "draw_border"]

Border: TypeAlias = Literal["circle", "cut circle", "corners", "frame"]
"""A circle within the image, one cut at two sides, one of which corners alone are seen, bands."""

BORDERS: tuple[Border, ...] = get_args(Border)
"""All kinds."""

_RADII = {"circle": (0.55, 0.97), "cut circle": (0.75, 0.97), "corners": (1.06, 1.3)}
_WIDTHS = (0.02, 0.12)  # of a band, as a fraction of the side


def draw_border(image: Image, kind: Border, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Draw a dark border over an image (H, W, 3) without one; returns it and its field of view.

    The field darkens towards its rim, its edge is blurred, and the border is not quite black, not
    quite neutral and not free of noise; the whole is a JPEG of quality 90.
    """
    height, width = image.shape[:2]
    distance = _frame(height, width, rng) if kind == "frame" else _circle(image, kind, rng)
    field = distance < 1
    blur = rng.uniform(0.5, 6) * height / 512
    inside = cv2.GaussianBlur(field.astype(np.float32), (0, 0), blur)[..., None]
    shade = 1 - rng.uniform(0, 0.5) * np.clip(distance, 0, 1)[..., None] ** 4
    black = rng.uniform(0, 12) + rng.uniform(0, 5, 3)
    drawn = inside * image * shade + (1 - inside) * black + rng.normal(0, 1.5, image.shape)
    return _jpeg(drawn), field


def cut_lesions(image: Image, lesion: Mask) -> Iterator[tuple[Image, Mask]]:
    """Cut an image without a border through the middle of its lesion: halves and quarters."""
    top, left = (int(np.median(where)) for where in np.nonzero(lesion))
    whole = slice(None)
    for rows in (whole, slice(None, top), slice(top, None)):
        for columns in (whole, slice(None, left), slice(left, None)):
            part = image[rows, columns]
            if part.shape != image.shape and part.size:
                yield np.ascontiguousarray(part), lesion[rows, columns]


def _circle(image: Image, kind: Border, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Compute the distance from the center in radii; squashed images have squashed circles."""
    height, width = image.shape[:2]
    radius = rng.uniform(*_RADII[kind])
    squash = rng.uniform(0.75, 1) if kind == "circle" else 1.0
    radii = np.array([radius, radius * squash])
    if kind == "cut circle":
        radii[1] = rng.uniform(1.05, 1.25)
    rng.shuffle(radii)
    room = np.maximum(0.02, 1 - radii) * 0.7
    middle = 1 + rng.uniform(-room, room)
    rows = (np.arange(height) + 0.5) / height * 2 - middle[0]
    columns = (np.arange(width) + 0.5) / width * 2 - middle[1]
    distance: npt.NDArray[np.float64] = np.hypot(rows[:, None] / radii[0], columns / radii[1])
    return distance


def _frame(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Compute the distance from the middle, 1 at slightly turned bands on one to four sides."""
    rows, columns = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    distance = np.zeros((height, width))
    sides = rng.permutation(4)[: rng.integers(1, 5)]
    for side in sides:
        along, across = (columns, rows) if side < 2 else (rows, columns)
        across = across if side % 2 else 1 - across
        edge = 1 - rng.uniform(*_WIDTHS) + rng.uniform(-0.015, 0.015) * (along - 0.5)
        distance = np.maximum(distance, np.abs(2 * across - 1) * (across > 0.5) / (2 * edge - 1))
    return distance


def _jpeg(image: npt.NDArray[np.floating]) -> Image:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])

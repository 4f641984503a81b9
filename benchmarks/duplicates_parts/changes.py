"""Changes that leave an image a duplicate, and some that go further than is promised."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as PillowImage

from dermolib import occlusion_removal, shades_of_gray
from dermolib._validation import Image

__all__ = ["FURTHER", "PROMISED", "turned"]

_CROPPED = 0.02  # of each side


def turned(image: Image) -> list[Image]:
    """Make all eight orientations of an image, itself first."""
    both = (image, image.swapaxes(0, 1))
    flips = [one[::rows, ::columns] for one in both for rows in (1, -1) for columns in (1, -1)]
    return [np.ascontiguousarray(one) for one in flips]


def _resized(image: Image, share: float) -> Image:
    width, height = (max(1, round(side * share)) for side in image.shape[1::-1])
    # Not by area: that is how the fingerprint itself begins, so that nothing would be tried
    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BICUBIC)
    return np.asarray(resized, np.uint8)


def _jpeg(image: Image, quality: int) -> Image:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])


def _light(image: Image, factor: float, offset: float = 0) -> Image:
    levels = image.astype(np.float64) * factor + offset
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _gamma(image: Image, power: float) -> Image:
    return np.asarray(np.rint(255 * (image / 255) ** power), np.uint8)


def _cropped(image: Image) -> Image:
    rows, columns = (max(1, round(side * _CROPPED)) for side in image.shape[:2])
    return np.ascontiguousarray(image[rows:-rows, columns:-columns])


def _rotated(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1)
    found = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.uint8)


def _all(image: Image, orientation: int) -> Image:
    return _jpeg(turned(_resized(image, 0.5))[orientation], 60)


PROMISED: dict[str, Callable[[Image], Image]] = {
    "half the size": lambda image: _resized(image, 0.5),
    "JPEG of quality 60": lambda image: _jpeg(image, 60),
    "mirrored": lambda image: turned(image)[1],
    "upside down": lambda image: turned(image)[2],
    "quarter turn": lambda image: turned(image)[5],
    "half turn": lambda image: turned(image)[3],
    "half the size and JPEG 60": lambda image: _all(image, 0),
    "half the size, mirrored, JPEG 60": lambda image: _all(image, 1),
    "half the size, quarter turn, JPEG 60": lambda image: _all(image, 5),
    "half the size, mirrored, quarter turn, JPEG 60": lambda image: _all(image, 4),
}
"""What a duplicate must survive."""

FURTHER: dict[str, Callable[[Image], Image]] = {
    "JPEG of quality 30": lambda image: _jpeg(image, 30),
    "a quarter of the size": lambda image: _resized(image, 0.25),
    "brighter by 20 levels": lambda image: _light(image, 1, 20),
    "0.8 of the brightness": lambda image: _light(image, 0.8),
    "gamma 1.2": lambda image: _gamma(image, 1.2),
    "`shades_of_gray`": shades_of_gray,
    "`occlusion_removal`": occlusion_removal,
    "2 % cropped on each side": _cropped,
    "turned by 2 degrees": lambda image: _rotated(image, 2),
    "turned by 5 degrees": lambda image: _rotated(image, 5),
}
"""What is not promised."""

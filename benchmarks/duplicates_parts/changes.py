"""Changes that leave an image a duplicate, and some that go further than is promised."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as PillowImage

from dermolib import occlusion_removal, shades_of_gray
from dermolib._validation import Image

__all__ = ["FURTHER", "PROMISED", "all_orientations"]


def all_orientations(image: Image) -> list[Image]:
    """Flip and rotate an image into all eight orientations, itself first."""
    both = (image, image.swapaxes(0, 1))
    flips = [one[::rows, ::columns] for one in both for rows in (1, -1) for columns in (1, -1)]
    return [np.ascontiguousarray(one) for one in flips]


def _resized(image: Image, fraction: float) -> Image:
    width, height = (max(1, round(side * fraction)) for side in image.shape[1::-1])
    # Not by area: that is how the hash itself begins, so that nothing would be tried
    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BICUBIC)
    return np.asarray(resized, np.uint8)


def _jpeg(image: Image, quality: int) -> Image:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])


def _light(image: Image, factor: float, offset: float = 0, power: float = 1) -> Image:
    levels = 255 * (image / 255) ** power * factor + offset
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _cropped(image: Image, fraction: float) -> Image:
    rows, columns = (max(1, round(side * fraction)) for side in image.shape[:2])
    return np.ascontiguousarray(image[rows:-rows, columns:-columns])


def _rotated(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1)
    found = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.uint8)


def _degraded(image: Image, orientation: int) -> Image:
    return _jpeg(all_orientations(_resized(image, 0.5))[orientation], 60)


PROMISED: dict[str, Callable[[Image], Image]] = {
    "half the size": lambda image: _resized(image, 0.5),
    "JPEG of quality 60": lambda image: _jpeg(image, 60),
    "mirrored": lambda image: all_orientations(image)[1],
    "upside down": lambda image: all_orientations(image)[2],
    "rotated by 90°": lambda image: all_orientations(image)[5],
    "rotated by 180°": lambda image: all_orientations(image)[3],
    "half the size and JPEG 60": lambda image: _degraded(image, 0),
    "half the size, mirrored, JPEG 60": lambda image: _degraded(image, 1),
    "half the size, rotated by 90°, JPEG 60": lambda image: _degraded(image, 5),
    "half the size, mirrored, rotated by 90°, JPEG 60": lambda image: _degraded(image, 4),
}
"""What a duplicate must survive."""

FURTHER: dict[str, Callable[[Image], Image]] = {
    "JPEG of quality 30": lambda image: _jpeg(image, 30),
    "a quarter of the size": lambda image: _resized(image, 0.25),
    "brighter by 20 levels": lambda image: _light(image, 1, 20),
    "0.8 of the brightness": lambda image: _light(image, 0.8),
    "gamma 1.2": lambda image: _light(image, 1, power=1.2),
    "`shades_of_gray`": shades_of_gray,
    "`occlusion_removal`": occlusion_removal,
    "2 % cropped on each side": lambda image: _cropped(image, 0.02),
    "rotated by 2°": lambda image: _rotated(image, 2),
    "rotated by 5°": lambda image: _rotated(image, 5),
}
"""What is not promised."""

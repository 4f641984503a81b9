"""The loops that users write to clean and shrink a folder, one image after the other."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import remove_small_objects

from dermolib._validation import Image
from hair_parts.scripts import luv_script

__all__ = ["SCRIPTS", "run_script"]

_Cleaner = Callable[[Image], Image]


def run_script(name: str, files: Iterable[Path], folder: Path, *, side: int) -> None:
    """Read each file, remove hair, resize, and write a JPEG, as such scripts do."""
    clean = SCRIPTS[name]
    for file in files:
        image = np.asarray(cv2.imread(str(file)), np.uint8)
        cv2.imwrite(str(folder / file.name), cv2.resize(clean(image), (side, side)))


def _opencv_bytes(image: Image) -> Image:
    """Remove hair with OpenCV's 8-bit LUV and a disk of 13 px; thresholds in its units."""
    light = cv2.cvtColor(image, cv2.COLOR_BGR2LUV)[..., 0]
    return _cleaned(image, light, 20, 36, size=13)


def _opencv_float(image: Image, *, size: int = 13) -> Image:
    """Remove hair with OpenCV's LUV in floating point, whose L* is that of the thresholds."""
    light = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LUV)[..., 0]
    return _cleaned(image, light, 8, 14, size=size)


def _scikit_image(image: Image) -> Image:
    """Remove hair with scikit-image throughout."""
    return np.ascontiguousarray(luv_script(image[..., ::-1])[0][..., ::-1])


def _cleaned(
    image: Image, light: npt.NDArray[np.generic], low: int, high: int, *, size: int
) -> Image:
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    closed = cv2.morphologyEx(np.asarray(light), cv2.MORPH_CLOSE, disk)
    difference = cv2.subtract(closed, np.asarray(light))
    mask = remove_small_objects(apply_hysteresis_threshold(difference, low, high), max_size=119)
    clean = image.copy()
    for channel in range(3):
        filled = cv2.morphologyEx(image[..., channel], cv2.MORPH_CLOSE, disk)
        clean[..., channel][mask] = filled[mask]
    return clean


SCRIPTS: dict[str, _Cleaner] = {
    "OpenCV, 8-bit LUV, disk of 13 px": _opencv_bytes,
    "OpenCV, float LUV, disk of 13 px": _opencv_float,
    "OpenCV, float LUV, disk of 21 px": partial(_opencv_float, size=21),
    "scikit-image throughout": _scikit_image,
}
"""Name in the tables to what removes hair from an image (H, W, 3), uint8 BGR."""

"""Drawn skin with a lesion, and second photographs of it under a known transform."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from dermolib._validation import Image

Matrix = npt.NDArray[np.float64]
_TINT = np.array([0.8, 1.0, 1.0], np.float32)


def draw_skin(
    seed: int, height: int = 200, width: int = 260, lesions: Sequence[tuple[int, int]] = ()
) -> Image:
    """Draw skin with a pattern of its own, and darker lesions, by default one in its center."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), (215, 170, 150), np.float32)
    for width_, depth in ((1.5, 30), (4.0, 30), (12.0, 25)):
        noise = cv2.GaussianBlur(
            rng.normal(size=(height, width)).astype(np.float32), (0, 0), width_
        )
        image -= (depth * noise / noise.std() / 2)[..., None] * _TINT
    for column, row in lesions or [(width // 2, height // 2)]:
        radius = np.hypot((x - column) / 60, (y - row) / 45) * (2 if lesions else 1)
        image -= 70 * expit(12 * (1 - radius))[..., None].astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def similarity(scale: float, angle: float, shift_x: float, shift_y: float) -> Matrix:
    """Build the matrix (2, 3) of a similarity transform, the angle in degrees."""
    turn = np.radians(angle)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])


def photograph(image: Image, matrix: Matrix, *, gain: float = 1.1, blur: float = 0.6) -> Image:
    """Photograph skin again: through a transform, under another light, slightly blurred."""
    height, width = image.shape[:2]
    border = cv2.BORDER_REFLECT_101
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=border)
    moved = cv2.GaussianBlur(moved, (0, 0), blur).astype(np.float32) * [gain, 1.0, 2 - gain]
    return np.clip(moved, 0, 255).astype(np.uint8)

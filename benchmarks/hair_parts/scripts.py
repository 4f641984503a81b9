"""What removes hair: the methods of dermolib, and the scripts that people use today.

The scripts are written from their published descriptions, with the sizes and thresholds that they
carry, in pixels and levels whatever the size of the image.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
from skimage.color.colorconv import rgb2luv
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label
from skimage.morphology import closing, disk

from dermolib import list_occlusion_methods, occlusion_removal
from dermolib._validation import Image, Mask

__all__ = ["SCRIPTS", "Remover", "luv_script", "own_removers", "removers"]

Remover: TypeAlias = Callable[[Image], tuple[Image, Mask]]
"""Image (H, W, 3) to the clean image and its mask (H, W)."""


def luv_script(image: Image) -> tuple[Image, Mask]:
    """Remove hair by the closing of the lightness in CIE LUV, with scikit-image throughout.

    On an image whose shorter side has 512 pixels this is the definition of the method ``"luv"``,
    but for the hysteresis, which joins by sides alone here.
    """
    light = rgb2luv(image)[..., 0]
    step = closing(light, disk(5)) - light
    component = label(apply_hysteresis_threshold(step, 8, 14), connectivity=2)
    large = np.bincount(component.ravel()) >= 120
    large[0] = False
    mask: Mask = large[component]
    clean = image.copy()
    for channel in range(3):
        clean[..., channel][mask] = closing(image[..., channel], disk(5))[mask]
    return clean, mask


def _black_hat(image: Image, *, size: int, blurred: bool, radius: int) -> tuple[Image, Mask]:
    """Threshold the black-hat of the gray image at 10, and fill by the method of Telea."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (size, size))
    hat = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, cross)
    mask: Mask = (cv2.GaussianBlur(hat, (3, 3), 0) if blurred else hat) > 10
    clean = cv2.inpaint(image, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA)
    return np.asarray(clean, dtype=np.uint8), mask


SCRIPTS: dict[str, Remover] = {
    "LUV script": luv_script,
    # The scripts named after DullRazor, https://doi.org/10.1016/S0010-4825(97)00020-6, whose
    # oriented closings they leave out
    "black-hat 9": partial(_black_hat, size=9, blurred=True, radius=6),
    # Notebooks of challenges
    "black-hat 17": partial(_black_hat, size=17, blurred=False, radius=1),
}
"""Scripts by their names in the tables."""


def own_removers() -> dict[str, Remover]:
    """Return the methods of dermolib with their default options."""
    return {name: partial(_remove, method=name) for name in list_occlusion_methods()}


def _remove(image: Image, *, method: str) -> tuple[Image, Mask]:
    return occlusion_removal(image, method=method, return_mask=True)


def removers() -> dict[str, Remover]:
    """Return all of them, the methods of dermolib first."""
    return {**own_removers(), **SCRIPTS}

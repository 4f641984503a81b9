"""The hair removers that people use today, written from their published descriptions.

They are what the methods of dermolib are measured against, with the sizes and thresholds that
these scripts carry, in pixels and levels whatever the size of the image.
"""

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from skimage.color.colorconv import rgb2luv
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label
from skimage.morphology import closing, disk

from dermolib._validation import Image, Mask

__all__ = ["SCRIPTS", "Remover", "black_hat_9", "black_hat_17", "luv_script"]

Remover: TypeAlias = Callable[[Image], tuple[Image, Mask]]
"""Image (H, W, 3) to the cleaned image and its mask (H, W)."""


def black_hat_9(image: Image) -> tuple[Image, Mask]:
    """Remove hair as the scripts named after DullRazor do.

    The black-hat of the grey image with a cross of 9 x 9 is smoothed over 3 x 3 and cut at 10;
    what lies above is filled by the method of Telea with a radius of 6.

    Args:
        image: Image (H, W, 3), uint8 RGB.

    Returns:
        Cleaned image and mask (H, W).

    References:
        Lee et al., DullRazor: a software approach to hair removal from images, Computers in Biology
        and Medicine 27(6), 1997, https://doi.org/10.1016/S0010-4825(97)00020-6, whose name it
        bears and whose oriented closings it leaves out; Telea, An image inpainting technique based
        on the fast marching method, Journal of Graphics Tools 9(1), 2004,
        https://doi.org/10.1080/10867651.2004.10487596.
    """
    smooth = cv2.GaussianBlur(_black_hat(image, 9), (3, 3), 0)
    return _telea(image, smooth > 10, radius=6)


def black_hat_17(image: Image) -> tuple[Image, Mask]:
    """Remove hair as notebooks of skin-lesion challenges do.

    The black-hat of the grey image with a cross of 17 x 17 is cut at 10; what lies above is filled
    by the method of Telea with a radius of 1.

    Args:
        image: Image (H, W, 3), uint8 RGB.

    Returns:
        Cleaned image and mask (H, W).
    """
    return _telea(image, _black_hat(image, 17) > 10, radius=1)


def luv_script(image: Image) -> tuple[Image, Mask]:
    """Remove hair by the closing of the lightness in CIE LUV, with scikit-image throughout.

    Where the closing of L* with a disc of radius 5 is lighter than L* by more than 8, connected to
    a pixel where it is lighter by more than 14, there is hair; what is smaller than 120 pixels is
    dropped; masked pixels take the closing of each channel. On an image whose shorter side has 512
    pixels this is the definition of the method ``"luv"``, but for the hysteresis, which joins
    by sides alone here: the two should find about the same, in a different time.

    Args:
        image: Image (H, W, 3), uint8 RGB.

    Returns:
        Cleaned image and mask (H, W).
    """
    light = rgb2luv(image)[..., 0]
    step = closing(light, disk(5)) - light
    found = apply_hysteresis_threshold(step, 8, 14)
    component = label(found, connectivity=2)
    large = np.bincount(component.ravel()) >= 120
    large[0] = False
    mask: Mask = large[component]
    clean = image.copy()
    for channel in range(3):
        clean[..., channel][mask] = closing(image[..., channel], disk(5))[mask]
    return clean, mask


def _black_hat(image: Image, size: int) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (size, size))
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, cross), dtype=np.uint8)


def _telea(image: Image, mask: Mask, *, radius: int) -> tuple[Image, Mask]:
    clean = cv2.inpaint(image, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA)
    return np.asarray(clean, dtype=np.uint8), mask


SCRIPTS: dict[str, Remover] = {
    "LUV script": luv_script,
    "black-hat 9": black_hat_9,
    "black-hat 17": black_hat_17,
}
"""Name in the tables to script."""

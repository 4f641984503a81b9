"""Lesion masks: a method outlines the lesion of a dermoscopic image."""

from typing import Any

from dermolib._validation import Image, Mask, check_image, without_shape
from dermolib.preprocessing.methods import MaskMethod, MethodChoice, pick_method
from dermolib.preprocessing.thresholds import find_by_thresholds

__all__ = ["DEFAULT_METHOD", "find_segmentation_method", "segment_lesion"]

DEFAULT_METHOD = "classical"

_METHODS = {
    method.name: method for method in (MaskMethod("classical", find_by_thresholds, own=True),)
}


def segment_lesion(image: Image, *, method: MethodChoice = DEFAULT_METHOD, **options: Any) -> Mask:
    """Outline the lesion of a dermoscopic image; the input is not modified.

    Method ``"classical"``: thresholds vote, and nothing was trained. The mask is one piece without
    holes. It is found on a small image and brought back smoothly, so that its edge is as exact as a
    96th of the longer side. Hair and the dark border of a dermoscope are left out of account. An
    image that shows nothing, of one color or black as a whole, gets a mask that is False
    everywhere. All others get a lesion, whether they have one or not. A lesion that fills the frame
    cannot be told from skin: its darker part is found.

    Memory: about 8 bytes per pixel beside the image. The same image gives the same mask.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        method: ``"classical"``, or a function from image to mask (H, W), bool, whose further
            parameters have defaults and become options.
        options: For ``"classical"``: `agreement`, the fraction of the highest vote that makes a
            pixel part of the lesion, above 0 and up to 1; lower values give larger masks.

    Returns:
        Mask (H, W), bool, True on the lesion.

    Raises:
        RuntimeError: A function fails.
        TypeError: `image` is not a uint8 array, `method` has no such option, or a function does not
            return a bool array.
        ValueError: `image` is not RGB, `method` is unknown, an option is out of range, or a
            function returns another shape or writes into the image.

    References:
        For ``"classical"``: Otsu, A threshold selection method from gray-level histograms, IEEE
        Transactions on Systems, Man, and Cybernetics 9(1), 1979,
        https://doi.org/10.1109/TSMC.1979.4310076; Celebi et al., Lesion border detection in
        dermoscopy images using ensembles of thresholding methods, Skin Research and Technology
        19(1), 2013, https://doi.org/10.1111/j.1600-0846.2012.00636.x.

    Examples:
        >>> import numpy as np
        >>> rows, columns = np.mgrid[:120, :160]
        >>> disc = (rows - 60) ** 2 + (columns - 80) ** 2 < 30**2
        >>> image = np.where(disc[..., None], (110, 70, 50), (225, 180, 160)).astype(np.uint8)
        >>> mask = segment_lesion(image)
        >>> bool((mask & disc).sum() > 0.95 * (mask | disc).sum())
        True
    """
    chosen = find_segmentation_method(method)
    complete = chosen.options(without_shape(options, image))
    return chosen(check_image(image), **complete)


def find_segmentation_method(method: MethodChoice) -> MaskMethod:
    """Find a method by its name, or make one of a function."""
    return pick_method(method, _METHODS, MaskMethod)

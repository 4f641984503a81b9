"""Lesion masks: a method outlines the lesion of a dermoscopic image."""

from typing import Any

from dermolib._validation import Image, Mask, check_image, without_shape
from dermolib.preprocessing.lesion import find_by_network
from dermolib.preprocessing.methods import MaskMethod, MethodChoice, pick_method
from dermolib.preprocessing.thresholds import find_by_thresholds

__all__ = [
    "DEFAULT_METHOD",
    "find_segmentation_method",
    "list_segmentation_methods",
    "segment_lesion",
]

DEFAULT_METHOD = "unet"  # the better one in benchmarks/segmentation.py

_METHODS = {
    method.name: method
    for method in (
        MaskMethod("classical", find_by_thresholds, own=True),
        MaskMethod("unet", find_by_network, own=True),
    )
}


def segment_lesion(image: Image, *, method: MethodChoice = DEFAULT_METHOD, **options: Any) -> Mask:
    """Outline the lesion of a dermoscopic image; the input is not modified.

    Method ``"unet"``, the default: a small network, trained on the CC0 images of ISIC 2018 task 1
    (``scripts/train_picture_network.py``), looks at the whole image, squeezed into a square, and
    gives the probability of each pixel and that there is a lesion at all. The votes of the
    classical method shift the former, most where the network is unsure: they help on images of
    sources that it has not seen. Where the latter is below `presence`, the mask is False
    everywhere, instead of an invented outline. Else it is one piece, the most probable one, without
    holes, and brought back to the size of the image smoothly. It runs in OpenCV, without torch.
    `analyze` gives the probabilities too.

    Method ``"classical"``: thresholds vote, and nothing was trained. The mask is one piece without
    holes. It is found on a small image and brought back smoothly, so that its edge is as exact as a
    96th of the longer side. Hair and the dark border of a dermoscope are left out of account. An
    image that shows nothing, of one color or black as a whole, gets a mask that is False
    everywhere. All others get a lesion, whether they have one or not. A lesion that fills the frame
    cannot be told from skin: its darker part is found.

    Memory: about 8 bytes per pixel beside the image. The same image gives the same mask.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        method: ``"unet"`` or ``"classical"``, or a function from image to mask (H, W), bool,
            whose further parameters have defaults and become options.
        options: For ``"unet"``: `threshold`, the probability from which a pixel is lesion,
            0.001..0.999, and `presence`, that from which there is a lesion at all, 0..1. For
            ``"classical"``: `agreement`, the fraction of the highest vote that makes a
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
        For ``"unet"``: Ronneberger et al., U-Net, MICCAI 2015,
        https://doi.org/10.1007/978-3-319-24574-4_28; Codella et al., Skin lesion analysis toward
        melanoma detection 2018, https://doi.org/10.48550/arXiv.1902.03368, for images and masks.
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
        >>> mask = segment_lesion(image, method="classical")
        >>> bool((mask & disc).sum() > 0.95 * (mask | disc).sum())
        True
        >>> bool(segment_lesion(np.zeros((120, 160, 3), np.uint8)).any())
        False
    """
    chosen = find_segmentation_method(method)
    complete = chosen.options(without_shape(options, image))
    return chosen(check_image(image), **complete)


def find_segmentation_method(method: MethodChoice) -> MaskMethod:
    """Find a method by its name, or make one of a function."""
    return pick_method(method, _METHODS, MaskMethod)


def list_segmentation_methods() -> list[str]:
    """List the names that `method` takes.

    Returns:
        Names, sorted.

    Examples:
        >>> list_segmentation_methods()
        ['classical', 'unet']
    """
    return sorted(_METHODS)

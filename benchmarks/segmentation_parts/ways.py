"""Ways to find a lesion: what people write in ten lines, and what was tried beside the vote."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import morphological_chan_vese

from dermolib import occlusion_removal, segment_lesion
from dermolib._validation import Image, Mask
from dermolib.io import resize_image, resize_mask
from dermolib.preprocessing import border_mask

__all__ = ["CLASSICAL", "PLAIN", "UNET", "WAYS"]

PLAIN = "Otsu on gray, largest piece"
CLASSICAL = "segment_lesion, classical"
UNET = "segment_lesion, unet"

_SIDE = 96  # px on which iterative ways work, as the classical method does
_ROUNDS = 30


classical = partial(segment_lesion, method="classical")


def ellipse(image: Image) -> Mask:
    """Draw an ellipse of half the size in the middle, without a look at the image."""
    rows, columns = (np.linspace(-2, 2, size) for size in image.shape[:2])
    inside: Mask = np.hypot(rows[:, None], columns) < 1
    return inside


def plain(image: Image) -> Mask:
    """Cut the gray image at Otsu's threshold and take the largest piece."""
    gray = rgb2gray(image)
    pieces = label(gray <= threshold_otsu(gray))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax(), np.bool_)


def blue(image: Image) -> Mask:
    """Cut the smoothed blue channel at Otsu's threshold, and take the central piece, filled."""
    return _cut(image, 255.0 - _smooth(image)[..., 2])


def saturation(image: Image) -> Mask:
    """Do the same with the saturation."""
    return _cut(image, cv2.cvtColor(_smooth(image), cv2.COLOR_RGB2HSV)[..., 1].astype(np.float64))


def from_skin(image: Image) -> Mask:
    """Do the same with the CIELAB distance to the median color of the rim of the field."""
    lab = cv2.cvtColor(_smooth(image).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    field = ~border_mask(image)
    depth = cv2.distanceTransform(np.pad(field, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rim = field & (depth <= max(2.0, 0.08 * min(field.shape)))
    return _cut(image, np.linalg.norm(lab - np.median(lab[rim], axis=0), axis=2))


def chan_vese(image: Image) -> Mask:
    """Let a contour without edges move from where `blue` begins it."""
    small = resize_image(image, (_SIDE, _SIDE))
    channel = 255.0 - _smooth(small)[..., 2]
    level = morphological_chan_vese(channel / 255, _ROUNDS, init_level_set=blue(small), smoothing=2)
    piece = _central(np.asarray(level > 0, np.bool_))
    return resize_mask(piece, (image.shape[0], image.shape[1]))


def grab_cut(image: Image) -> Mask:
    """Refine the classical mask by graph cuts: what is near its edge may change."""
    small = resize_image(image, (_SIDE, _SIDE))
    mask = classical(small)
    depth = [cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 3) for side in (mask, ~mask)]
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[depth[0] > 8] = cv2.GC_FGD
    labels[depth[1] > 8] = cv2.GC_BGD
    if not mask.any() or mask.all():
        return resize_mask(mask, (image.shape[0], image.shape[1]))
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65))
    bgr = np.ascontiguousarray(_smooth(small)[..., ::-1])
    cv2.grabCut(bgr, labels, (0, 0, 0, 0), models[0], models[1], 2, cv2.GC_INIT_WITH_MASK)
    refined = _central((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    return resize_mask(refined, (image.shape[0], image.shape[1]))


def without_hair(image: Image) -> Mask:
    """Remove hair first."""
    return classical(occlusion_removal(image, method="luv"))


def hull(image: Image) -> Mask:
    """Fill the mask of the classical method up to its convex hull."""
    mask = classical(image).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        cv2.fillConvexPoly(mask, cv2.convexHull(outline), 1)
    return mask > 0


WAYS: dict[str, Callable[[Image], Mask]] = {
    "an ellipse in the middle": ellipse,
    PLAIN: plain,
    "Otsu on blue, central piece": blue,
    "Otsu on saturation, central piece": saturation,
    "Otsu on the distance to skin": from_skin,
    "Chan-Vese from Otsu on blue": chan_vese,
    CLASSICAL: classical,
    "classical, then GrabCut": grab_cut,
    "classical after luv": without_hair,
    "convex hull of classical": hull,
    UNET: partial(segment_lesion, method="unet"),
}
"""Name of a way to a function from image to mask; the first one is what a guess is worth."""


def _smooth(image: Image) -> Image:
    deviation = max(image.shape) / 100
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def _cut(image: Image, channel: npt.NDArray[np.floating]) -> Mask:
    field = ~border_mask(image)
    values = channel[field]
    if values.min() == values.max():
        return np.zeros(field.shape, np.bool_)
    return _central((channel >= threshold_otsu(values)) & field)


def _central(mask: Mask) -> Mask:
    """Keep the piece with the highest sum of weights, which are high in the middle, and fill it."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    weights = [np.exp(-(np.linspace(-2, 2, size) ** 2) / 2) for size in mask.shape]
    sums = np.bincount(pieces.ravel(), weights=np.outer(*weights).ravel())
    sums[0] = 0
    return np.asarray(binary_fill_holes((pieces == sums.argmax()) & mask), np.bool_)

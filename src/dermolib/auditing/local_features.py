"""Keypoints of an image, by which two photographs of one lesion are recognized.

A keypoint is a spot with a size and an angle, and its descriptor is a histogram of the gradients
around it, relative to both: another zoom, turn, shift or white balance changes it little.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image
from dermolib.io import shrink_image
from dermolib.preprocessing.border import border_mask
from dermolib.preprocessing.hair.registry import occlusion_removal

__all__ = ["FEATURES", "KEYPOINTS", "PICTURE", "describe_image", "unit_descriptors"]

KEYPOINTS = 500
"""Keypoints of an image at most, those with the most contrast times area."""

PICTURE = 128
"""Rows and columns of the small gray image that is kept, squashed to a square."""

FEATURES = np.dtype([
    ("count", "u2"), ("height", "i4"), ("width", "i4"), ("points", "f4", (KEYPOINTS, 4)),
    ("descriptors", "u1", (KEYPOINTS, 128)), ("picture", "u1", (PICTURE, PICTURE)),
])  # fmt: skip
"""Local features of an image: how many keypoints it has; x, y and size in px of the image as it is
stored, and angle in degrees; descriptors; the image itself, gray and small, 0 on a dark border."""

_SIDE = 256  # px of the longer side of the image that keypoints are found in
_CONTRAST = 0.004  # a tenth of the usual threshold: skin has little contrast
_DARK = 0.5  # of the light: what is darker is border where it lies at the edge
_LEAST = 16  # px of the shorter side: a smaller image shows nothing
_RIM = 0.04  # of the longer side: width of the band inside a dark border that is left out, too


def describe_image(image: Image) -> npt.NDArray[Any]:
    """Find the keypoints of an image (H, W, 3), uint8 RGB, and describe them.

    They are SIFT keypoints of the gray image, 256 px wide at most, with the square roots of its
    descriptors. Hair is removed before, which lies another way in the next photograph. There are
    none on the dark border of a dermoscope and along it, since many images have the same border.

    Returns:
        Record of `FEATURES`; of an image without texture it has no keypoints.

    References:
        Lowe, Distinctive image features from scale-invariant keypoints, International Journal of
        Computer Vision 60(2), 2004, https://doi.org/10.1023/B:VISI.0000029664.99615.94. Square
        roots: Arandjelovic and Zisserman, Three things everyone should know to improve object
        retrieval, CVPR, 2012, https://doi.org/10.1109/CVPR.2012.6248018.
    """
    height, width = image.shape[:2]
    record = np.zeros((), FEATURES)
    record["height"], record["width"] = height, width
    small = shrink_image(image, _SIDE)
    if min(small.shape[:2]) < _LEAST:
        return record
    bald = occlusion_removal(np.ascontiguousarray(small), method="luv")
    gray = cv2.cvtColor(bald, cv2.COLOR_RGB2GRAY)
    inside = _inside(small)
    picture = cv2.resize(gray, (PICTURE, PICTURE), interpolation=cv2.INTER_AREA).clip(1)
    seen = cv2.resize(inside, (PICTURE, PICTURE), interpolation=cv2.INTER_NEAREST)
    record["picture"] = picture * seen
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST)
    found, descriptors = sift.detectAndCompute(gray, inside)
    if descriptors is None:
        return record
    strength = [one.response * one.size**2 for one in found]  # noise has small keypoints
    order = np.argsort(strength, kind="stable")[::-1][:KEYPOINTS]
    points = np.array([(*one.pt, one.size, one.angle) for one in found], np.float32)[order]
    shape = np.array(gray.shape[::-1], np.float32)
    points[:, :2] = (points[:, :2] + 0.5) * ([width, height] / shape) - 0.5
    points[:, 2] *= width / shape[0]
    roots = np.sqrt(descriptors[order] / descriptors[order].sum(axis=1, keepdims=True).clip(1e-6))
    record["count"] = len(order)
    record["points"][: len(order)] = points
    record["descriptors"][: len(order)] = np.rint(roots * 255)
    return record


def unit_descriptors(record: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give the descriptors of a record (count, 128) at length 1."""
    values = record["descriptors"][: record["count"]].astype(np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / lengths.clip(1e-6), np.float32)


def _inside(image: Image) -> npt.NDArray[np.uint8]:
    """Give 1 inside the field of view, 0 on a dark border and along it."""
    border = border_mask(image, threshold=_DARK).astype(np.uint8)
    reach = 2 * round(_RIM * max(border.shape)) + 1
    return np.asarray(1 - cv2.dilate(border, np.ones((reach, reach), np.uint8)), np.uint8)

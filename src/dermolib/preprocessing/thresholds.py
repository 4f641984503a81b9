"""Lesions found without a network: thresholds propose outlines, and plausible ones vote.

One threshold fails where a lesion is pale, has a dark core, or lies beside a shadow. So three
channels in which lesions stand out are cut at eight levels each, and the piece nearest to the
center of each cut, its holes filled, is a proposal. Six descriptors say how much it looks like what
a dermatologist would outline, and the lesion is where the proposals agree, weighted by their score.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_number
from dermolib.io import resize_image
from dermolib.preprocessing.border import border_mask

__all__ = ["AGREEMENT", "fill_largest", "find_by_thresholds", "votes_on"]

AGREEMENT = 0.45

# Lengths are in px of the small image that is looked at, whose longer side is the first of them
_SIDE = 96
_HAIR = 2  # radius of the closing that takes hair away
_BLUR = 1.0  # standard deviation
_RING = 4  # width of the rings along both sides of an outline
_FEWEST = 20  # pixels that a proposal must have, inside as well as outside
_NEAR = 0.15  # standard deviation of what a pixel is compared with, of the longer side
_CENTER = 0.25  # standard deviation of the weight of the center, of both sides
_LEVELS = np.linspace(0.12, 0.8, 8)  # of the way from the mean of the skin to that of the lesion
_FLAT = 2.0  # gray levels between these means under which a channel shows nothing
_CLOSING = 0.2  # radius that closes notches, of the root of the area
_WIDEST = 40  # px of that radius at most
_SHARPNESS = 16.0  # exponent: how much more a proposal with a higher score counts
# Least squares of the Jaccard index on the descriptors, both centered within each image, on every
# second image of ISIC 2018 task 1: they are the only constants that were fitted
_WEIGHTS = np.array([-0.93, 0.93, -0.48, 0.0096, -0.016, -0.02])

_SQUARE = np.ones((3, 3), np.uint8)

_Gray = npt.NDArray[np.uint8]
_Real = npt.NDArray[np.float32]


class _Scene(NamedTuple):
    """A small image (h, w): RGB without hair, CIELAB, the field, its inside, central weights."""

    clean: Image
    lab: _Real
    field: _Gray
    core: _Gray
    center: npt.NDArray[np.float64]


def find_by_thresholds(image: Image, *, agreement: float = AGREEMENT) -> Mask:
    """Outline the lesion of an image (H, W, 3), uint8; see `segment_lesion` for the option."""
    check_number(agreement, "agreement", above=0, high=1)
    height, width = image.shape[:2]
    votes = cv2.resize(votes_on(image, agreement), (width, height), interpolation=cv2.INTER_LINEAR)
    return fill_largest((votes >= agreement).astype(np.uint8))


def fill_largest(mask: _Gray) -> Mask:
    """Keep the largest piece of a mask (H, W) of 0 and 1, its holes filled; an empty one stays."""
    lesion = np.zeros_like(mask)
    if mask.any():
        cv2.drawContours(lesion, [_outline(mask)], 0, 1, cv2.FILLED)
    return lesion.astype(np.bool_)


def votes_on(image: Image, agreement: float = AGREEMENT) -> _Real:
    """Give each pixel of a small copy of an image its fraction of the votes, of the highest one."""
    scene = _scene(image)
    masks, descriptors = _proposals(scene)
    if not masks:
        return np.zeros(scene.field.shape, np.float32)
    scores = np.array(descriptors) @ _WEIGHTS
    weights = np.exp(_SHARPNESS * (scores - scores.max()))
    votes = (weights @ np.reshape(masks, (len(masks), -1))).reshape(scene.field.shape)
    votes /= votes.max()
    radius = min(_WIDEST, round(_CLOSING * float(np.sqrt((votes >= agreement).sum()))))
    return _closed(votes.astype(np.float32), radius) * scene.field


def _scene(image: Image) -> _Scene:
    scale = _SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = resize_image(image, (height, width))
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, _disk(_HAIR))
    clean = np.asarray(cv2.GaussianBlur(closed, (0, 0), _BLUR), np.uint8)
    lab = np.asarray(cv2.cvtColor(clean.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    field = (~border_mask(small)).astype(np.uint8)
    core = _eroded(field, _SQUARE, beyond=0)
    rows, columns = (
        np.exp(-(((np.arange(size) + 0.5) / size - 0.5) ** 2) / (2 * _CENTER**2))
        for size in field.shape
    )
    return _Scene(clean, lab, field, core, rows[:, None] * columns)


def _channels(scene: _Scene) -> list[_Real]:
    """Compute what lesions are high in: lack of blue, saturation, less blue than pixels nearby."""
    blue = 255 - scene.clean[..., 2].astype(np.float32)
    saturation = cv2.cvtColor(scene.clean, cv2.COLOR_RGB2HSV)[..., 1].astype(np.float32)
    field = scene.field.astype(np.float32)
    wide = _NEAR * max(field.shape)
    seen = np.maximum(cv2.GaussianBlur(field, (0, 0), wide), np.float32(1e-3))
    near = np.asarray(cv2.GaussianBlur(blue * field, (0, 0), wide) / seen, np.float32)
    return [blue, saturation, blue - near]


def _proposals(scene: _Scene) -> tuple[list[_Gray], list[list[float]]]:
    """Cut each channel at each level, and keep the pieces that can be judged, described."""
    masks, descriptors = [], []
    for channel in _channels(scene):
        for level in _levels(channel[scene.field > 0]):
            cut = (channel >= level).astype(np.uint8) & scene.field
            mask = _filled(_central(cut, scene.center)) & scene.field
            rest = scene.field & ~mask
            if min(cv2.countNonZero(mask), cv2.countNonZero(rest)) >= _FEWEST:
                masks.append(mask)
                descriptors.append(_descriptors(mask, rest, scene))
    return masks, descriptors


def _levels(values: _Real) -> npt.NDArray[np.float64]:
    """Compute levels between the means of the two classes that Otsu's threshold makes."""
    low, high = float(values.min()), float(values.max())
    if high - low < _FLAT:
        return np.zeros(0)
    scaled = ((values - low) * (255 / (high - low))).astype(np.uint8)
    _, above = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    lesion = above.ravel() > 0
    skin_mean, lesion_mean = float(values[~lesion].mean()), float(values[lesion].mean())
    if lesion_mean - skin_mean < _FLAT:
        return np.zeros(0)
    return np.asarray(skin_mean + _LEVELS * (lesion_mean - skin_mean))


def _descriptors(mask: _Gray, rest: _Gray, scene: _Scene) -> list[float]:
    """Measure how off the center, convex, cut off, sharp-edged and distinct a proposal is.

    The last one is how uneven the rest of the field is; colors are compared in CIELAB.
    """
    disk = _disk(_RING)
    within = mask & ~_eroded(mask, disk)
    around = np.asarray(cv2.dilate(mask, disk), np.uint8) & rest
    rest_mean, rest_deviation = cv2.meanStdDev(scene.lab, mask=rest)
    edge = np.subtract(cv2.mean(scene.lab, within), cv2.mean(scene.lab, around))
    contrast = np.subtract(cv2.mean(scene.lab, mask)[:3], rest_mean.ravel())
    cut = cv2.countNonZero(mask & ~scene.core)
    free = cv2.countNonZero(mask & ~_eroded(mask, _SQUARE) & scene.core)
    moments = cv2.moments(mask, binaryImage=True)
    area, (height, width) = moments["m00"], mask.shape
    hull = cv2.convexHull(_outline(mask))
    center = np.array([moments["m10"], moments["m01"]]) / area + 0.5
    return [
        float(np.hypot(*(center / (width, height) - 0.5))),
        area / (cv2.contourArea(hull) + len(hull)),
        cut / max(1, cut + free),
        float(np.linalg.norm(edge)),
        float(np.linalg.norm(contrast)),
        float(rest_deviation.sum()),
    ]


def _central(cut: _Gray, center: npt.NDArray[np.float64]) -> _Gray:
    """Keep the piece that has the highest sum of weights."""
    count, labels = cv2.connectedComponents(cut, connectivity=4, ltype=cv2.CV_16U)
    if count <= 2:
        return cut
    sums = np.bincount(labels.ravel(), weights=center.ravel())
    return np.asarray(labels == 1 + sums[1:].argmax(), np.uint8)


def _filled(mask: _Gray) -> _Gray:
    """Fill the holes of a mask (H, W), uint8 of 0 and 1."""
    height, width = mask.shape
    outside = np.zeros((height + 2, width + 2), np.uint8)
    outside[1:-1, 1:-1] = mask
    cv2.floodFill(outside, None, (0, 0), (2,))
    return np.asarray(outside[1:-1, 1:-1] != 2, np.uint8)


def _outline(mask: _Gray) -> npt.NDArray[np.int32]:
    """Find the outer line of the largest piece of a mask that has one."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(outlines, key=lambda line: (cv2.contourArea(line), len(line))), np.int32)


def _closed(votes: _Real, radius: int) -> _Real:
    """Close notches, as if the image went on beyond its frame as it is at the frame."""
    height, width = votes.shape
    margin = 2 * radius
    wide = cv2.copyMakeBorder(votes, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, _disk(radius))
    return np.asarray(closed, np.float32)[margin:, margin:][:height, :width]


def _eroded(mask: _Gray, element: _Gray, *, beyond: int = 1) -> _Gray:
    """Erode a mask that goes on beyond the frame, or, with 0, ends there."""
    value = (float(beyond),)
    eroded = cv2.erode(mask, element, borderType=cv2.BORDER_CONSTANT, borderValue=value)
    return np.asarray(eroded, np.uint8)


def _disk(radius: int) -> _Gray:
    size = (2 * radius + 1, 2 * radius + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)

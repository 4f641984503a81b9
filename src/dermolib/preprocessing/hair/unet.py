"""Hair found by a small network, run by OpenCV: no torch is loaded.

The weights lie beside this module twice: as safetensors, which `unet_torch` and the training script
read and write, and as ONNX, which OpenCV reads. A test holds them to the same result.
"""

import math
import threading
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_number
from dermolib.preprocessing.hair.closing import disk
from dermolib.preprocessing.hair.snapping import STEPS_PER_LOGIT, snap

__all__ = [
    "BONUS",
    "HAIRY",
    "NEAR",
    "check_unet_options",
    "find_hair",
    "find_hair_and_blur",
    "working_size",
]

_MULTIPLE = 16
_WORKING = 512
_NATIVE_UP_TO = 640
_STRIP = 1024
_MARGIN = 128
HAIRY = 0.001
"""Fraction of hair that is sure, from which an image counts as hairy."""
BONUS = 42
"""Steps by which less is asked of hair in a hairy image: probability 0.03 in place of 0.3."""
NEAR = 4
"""Pixels around sure hair in which so little is enough in other images."""

_nets = threading.local()


def find_hair(
    image: Image, *, threshold: float = 0.3, certain: float = 0.85, min_area: float = 20
) -> Mask:
    """Find hair in an image (H, W, 3), uint8; see `occlusion_removal` for the options."""
    return _find(image, threshold, certain, min_area, blur=False)


def find_hair_and_blur(image: Image, *, threshold: float, certain: float, min_area: float) -> Mask:
    """Find hair, and what its blur changes beside it in a large image."""
    return _find(image, threshold, certain, min_area, blur=True)


def _find(image: Image, threshold: float, certain: float, min_area: float, *, blur: bool) -> Mask:
    """Find hair with the network at its size, then its edges at that of the image."""
    low, high, min_area = check_unet_options(threshold, certain, min_area, image.shape[:2])
    height, width = image.shape[:2]
    working = working_size((height, width))
    small = image
    if working != (height, width):
        shrink = working[0] < height
        way = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(image, working[::-1], interpolation=way), np.uint8)
    steps = _logits(small)
    zone = _zone(steps, low, high, min_area)
    if not zone.any():
        return np.zeros((height, width), np.bool_)
    return snap(image, small, steps, zone, low, blur=blur)


def check_unet_options(
    threshold: float, certain: float, min_area: float, shape: tuple[int, int]
) -> tuple[int, int, float]:
    """Refuse options that are out of range; returns steps, and pixels where the network looks."""
    check_number(threshold, "threshold", low=0.001, high=0.999)
    check_number(certain, "certain", low=0.001, high=0.999)
    check_number(min_area, "min_area", low=0)
    area = min_area * (min(working_size(shape)) / _WORKING) ** 2
    low, high = (
        round(STEPS_PER_LOGIT * math.log(probability / (1 - probability)) + 128)
        for probability in (threshold, certain)
    )
    return low, high, area


def working_size(shape: tuple[int, int]) -> tuple[int, int]:
    """Give the size (height, width) at which the network looks at an image.

    Its shorter side is 512 for larger images, the image's own from 512 to 640, and for smaller
    ones twice the image's own up to 512.
    """
    side = min(shape)
    factor = _WORKING / side if side > _NATIVE_UP_TO else max(1.0, min(2.0, _WORKING / side))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _logits(image: Image) -> npt.NDArray[np.uint8]:
    """Give the logit of each pixel in steps; long images go through the network piece by piece."""
    if max(image.shape[:2]) <= _STRIP + 2 * _MARGIN:
        return _forward(image)
    tall = image.shape[0] >= image.shape[1]
    along = image if tall else image.swapaxes(0, 1)
    pieces = []
    for start in range(0, len(along), _STRIP):
        above = min(start, _MARGIN)
        piece = along[start - above : start + _STRIP + _MARGIN]
        steps = _forward(piece if tall else piece.swapaxes(0, 1))
        steps = steps if tall else steps.T
        pieces.append(steps[above : above + _STRIP])
    whole = np.concatenate(pieces)
    return np.ascontiguousarray(whole if tall else whole.T)


def _forward(image: Image) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    below, right = -height % _MULTIPLE, -width % _MULTIPLE
    whole = np.ascontiguousarray(image)
    if below or right:
        whole = np.asarray(
            cv2.copyMakeBorder(whole, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8
        )
    net = _net()
    net.setInput(_in_squares(whole))
    quarters = net.forward()[0]
    # Rounded and limited to 0..255 by the type
    flat = quarters.reshape(len(quarters), -1)
    values = cv2.addWeighted(flat, STEPS_PER_LOGIT, flat, 0, 128, dtype=cv2.CV_8U)
    rows, columns = quarters.shape[1:]
    square = np.empty((rows, 2, columns, 2), np.uint8)
    for row, pair in enumerate(values.reshape(2, 2, rows, columns)):
        cv2.merge((pair[0], pair[1]), dst=square[:, row])
    return square.reshape(2 * rows, 2 * columns)[:height, :width]


def _in_squares(image: Image) -> npt.NDArray[np.float32]:
    """Put the pixels of each square of two by two, of an even size, on one another as channels.

    OpenCV takes half as long for the first layer of this than for that of full size.
    """
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    squares = np.empty((1, 12, rows, columns), np.float32)
    for row in (0, 1):
        pairs = image[row::2].reshape(rows, columns, 6)
        for channel, plane in enumerate(cv2.split(pairs), 6 * row):
            np.subtract(plane, np.float32(127.5), out=squares[0, channel])
    return squares


def _net() -> cv2.dnn.Net:
    """Give this thread its own network: OpenCV's are not made for several threads at once."""
    if not hasattr(_nets, "net"):
        file = resources.files("dermolib.preprocessing.hair") / "hair_unet.onnx"
        data = np.frombuffer(file.read_bytes(), np.uint8)
        _nets.net = cv2.dnn.readNetFromONNX(data)
    net: cv2.dnn.Net = _nets.net
    return net


def _zone(steps: npt.NDArray[np.uint8], low: int, high: int, min_area: float) -> Mask:
    """Find where hair may be: more readily where an image has hair for sure."""
    sure = _pieces(steps, low, high, min_area)
    less = max(1, low - BONUS)
    if sure.mean() > HAIRY:
        return _pieces(steps, less, high - BONUS, min_area)
    near = cv2.dilate(sure.view(np.uint8), disk(NEAR)).view(np.bool_)
    zone: Mask = (steps >= less) & near
    return zone


def _pieces(steps: npt.NDArray[np.uint8], low: int, high: int, min_area: float) -> Mask:
    """Find the pieces of hair that are large enough and somewhere certain."""
    found: Any = cv2.threshold(steps, low - 1, 1, cv2.THRESH_BINARY)[1]
    # Areas of what is found, since OpenCV takes five times as long to measure the rest as well
    piece = cv2.connectedComponents(found, connectivity=8)[1]
    at = np.flatnonzero(found.view(np.bool_))  # five times as fast as of bytes
    piece_at = piece.take(at)
    kept = np.bincount(piece_at) >= min_area
    sure = np.zeros(len(kept), np.bool_)
    sure[piece_at[steps.take(at) >= high]] = True
    kept &= sure
    found.reshape(-1)[at] = kept.take(piece_at)
    mask: Mask = found.view(np.bool_)
    return mask

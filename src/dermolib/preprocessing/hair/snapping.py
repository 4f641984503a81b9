"""Masks that end where hair ends: the network says where hair may be, the image how far it reaches.

A pixel is hair where the network's logit plus the root of its deviation, in levels, from what
surrounds the hair is high enough. Edges that show stay in the mask, and pixels that look like the
skin beside them leave it.
"""

from typing import Any

import cv2
import numpy as np

from dermolib._validation import Image, Mask
from dermolib.preprocessing.hair.closing import disk
from dermolib.preprocessing.hair.inpainting import Scales, enlarged, half

__all__ = ["STEPS_PER_LOGIT", "deviation_steps", "snap"]

STEPS_PER_LOGIT = 16
"""Logits are kept in 256 steps, from -8 to 8: probabilities from 0.0003 to 0.9997."""

REACH, REACH_LARGE, REACH_SMALL = 2, 3, 1
"""Pixels by which hair may be wider than what the network found: where it looks, in images that are
larger than that, and in pixels of images that are smaller."""

PLAIN_LEVELS = 16
"""Levels of deviation at which the network's probability counts as it is."""

BLUR_REACH = 3
"""Pixels, where the network looks, by which blur may be wider than hair."""

BLUR_LEVELS, BLUR_TEXTURE = 6, 2.5
"""Deviation that is blur: levels, and multiples of the mean deviation of the skin around."""

NEARBY, AROUND = 9, 31
"""Sides, in cells of two by two pixels, over which the skin's color and its deviation are means."""


def snap(image: Image, seen: Image, steps: Any, zone: Any, low: int, *, blur: bool = False) -> Mask:
    """Find the pixels of a zone that are hair.

    Args:
        image: Image (H, W, 3).
        seen: The image as the network saw it (h, w, 3).
        steps: Logits (h, w), uint8, in steps.
        zone: Where hair may be (h, w), bool; hair may reach a little farther.
        low: Step from which a pixel that deviates by `PLAIN_LEVELS` is hair.
        blur: Whether what blur changes beside hair counts as well, where H is above h.

    Returns:
        Mask (H, W).
    """
    shape, marks = image.shape, zone.view(np.uint8)
    reach = REACH_LARGE if seen.shape[0] < shape[0] else REACH
    if seen.shape[0] > shape[0]:
        seen, steps, reach = image, _resized(steps, shape), REACH_SMALL
        marks = np.minimum(_resized(marks * np.uint8(255), shape), 1)
    wide = cv2.dilate(marks, disk(reach))
    deviation = _deviation(image, seen, wide)
    score = cv2.add(_resized(steps, shape), cv2.LUT(deviation, deviation_steps()))
    found = score >= min(255, low + int(deviation_steps()[PLAIN_LEVELS]))
    mask: Mask = found & _resized(wide, shape, cv2.INTER_NEAREST).view(np.bool_)
    if blur and seen.shape[0] < shape[0] and mask.any():
        mask |= _blurred(mask, deviation, seen, wide)
    return mask


def deviation_steps() -> Any:
    """Give the steps (256,) that a deviation of so many levels adds to a logit."""
    return np.rint(STEPS_PER_LOGIT * np.sqrt(np.arange(256))).clip(0, 255).astype(np.uint8)


def _deviation(image: Image, seen: Image, marks: Any) -> Any:
    """Measure by how much each pixel (H, W) differs from what surrounds the marks (h, w)."""
    deviation: Any = np.zeros(image.shape[:2], np.uint8)
    for channel, around in enumerate(_background(seen, marks)):
        levels = _resized(around, image.shape)
        levels = cv2.absdiff(cv2.extractChannel(image, channel), levels)
        cv2.max(levels, deviation, deviation)
    return deviation


def _blurred(mask: Mask, deviation: Any, seen: Image, marks: Any) -> Any:
    """Find the pixels near hair that deviate by more than the texture of the skin there."""
    size = marks.shape[::-1]
    small = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    near = cv2.dilate(np.minimum(small, 1), disk(BLUR_REACH))
    least = np.where(near, _texture(seen, marks), np.uint8(255))
    return cv2.blur(deviation, (3, 3)) >= _resized(least, mask.shape)


def _texture(image: Image, marks: Any) -> Any:
    """Give the deviation (H, W) from which a pixel is no longer skin without marks."""
    clear = (half(marks * np.uint8(255)) == 0).astype(np.float32)
    nearby = 1 / (cv2.blur(clear, (NEARBY, NEARBY)) + np.float32(1e-3))
    deviation: Any = np.zeros_like(clear)
    for plane in cv2.split(image):
        small = half(plane) * clear
        color = cv2.blur(small, (NEARBY, NEARBY)) * nearby
        deviation = cv2.max(deviation, cv2.absdiff(small, color) * clear)
    around = cv2.blur(clear, (AROUND, AROUND)) + np.float32(1e-3)
    mean = enlarged(cv2.blur(deviation, (AROUND, AROUND)) / around, marks.shape, 2)
    return np.rint(np.maximum(BLUR_LEVELS, BLUR_TEXTURE * mean)).clip(0, 255).astype(np.uint8)


def _resized(plane: Any, shape: tuple[int, ...], way: int = cv2.INTER_LINEAR) -> Any:
    if plane.shape == shape[:2]:
        return plane
    return cv2.resize(plane, (shape[1], shape[0]), interpolation=way)


def _background(image: Image, marks: Any) -> list[Any]:
    """Estimate each channel (H, W) below marks from cells of two by two pixels without any."""
    clear = (half(marks * np.uint8(255)) == 0).astype(np.float32)
    scales = Scales(clear)
    planes = (cv2.multiply(half(plane).astype(np.float32), clear) for plane in cv2.split(image))
    shape = (marks.shape[0], marks.shape[1])
    filled = (enlarged(scales.fill(plane), shape, 2) for plane in planes)
    return [np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in filled]

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

__all__ = ["PLAIN_LEVELS", "REACH", "STEPS_PER_LOGIT", "deviation_steps", "snap"]

STEPS_PER_LOGIT = 16
"""Logits are kept in 256 steps, from -8 to 8: probabilities from 0.0003 to 0.9997."""

REACH = 2
"""Pixels, where the network looks, by which hair may be wider than what the network found."""

PLAIN_LEVELS = 16
"""Levels of deviation at which the network's probability counts as it is."""


def snap(image: Image, seen: Image, steps: Any, zone: Any, low: int) -> Mask:
    """Find the pixels of a zone that are hair.

    Args:
        image: Image (H, W, 3).
        seen: The image as the network saw it (h, w, 3).
        steps: Logits (h, w), uint8, in steps.
        zone: Where hair may be (h, w), bool; at most `REACH` pixels around it are hair too.
        low: Step from which a pixel that deviates by `PLAIN_LEVELS` is hair.

    Returns:
        Mask (H, W).
    """
    height, width = image.shape[:2]
    marks, reach = zone.view(np.uint8), REACH
    if seen.shape[0] > height:
        seen, steps, reach = image, _resized(steps, image.shape), 1
        marks = np.minimum(_resized(marks * np.uint8(255), image.shape), 1)
    wide = cv2.dilate(marks, disk(reach))
    around = _background(seen, wide)
    deviation: Any = np.zeros((height, width), np.uint8)
    for channel, plane in enumerate(around):
        level = cv2.absdiff(cv2.extractChannel(image, channel), _resized(plane, image.shape))
        cv2.max(level, deviation, deviation)
    score = cv2.add(_resized(steps, image.shape), cv2.LUT(deviation, deviation_steps()))
    found = score >= min(255, low + int(deviation_steps()[PLAIN_LEVELS]))
    mask: Mask = found & _resized(wide, image.shape, cv2.INTER_NEAREST).view(np.bool_)
    return mask


def deviation_steps() -> Any:
    """Give the steps (256,) that a deviation of so many levels adds to a logit."""
    return np.rint(STEPS_PER_LOGIT * np.sqrt(np.arange(256))).clip(0, 255).astype(np.uint8)


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

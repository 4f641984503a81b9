"""How strongly a line answers at each place and in each of 16 directions, against the texture."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["ANGLES", "UNIT", "Evidence", "gather", "offset", "ridges"]

_Array = npt.NDArray[Any]

_DOUBLINGS = (1, 2, 4)  # eight pixels along a line are summed in three additions
_SCALES = ((0.4, 1.5), (0.5, 2.5))  # blur, and distance of the two sides, of fine and coarse hair
_FLOOR = 1.8  # levels of contrast that count as noise in a perfectly smooth place
_BLOCK = 32
_TEXTURE = 0.75  # of the noise, of what answers beyond a line's share
_LINE_SHARE = 3.5  # answers of a line over all directions, in units of its largest
_QUANTILE = 0.95
ANGLES = 16
UNIT = 16  # steps of strength in a byte for a contrast as large as the noise


@dataclass(frozen=True, slots=True)
class Evidence:
    """Answers at the halved frame: dark and light lines in both channels are four planes.

    strength (4, 16, h, w): contrast over noise, in units of 1 / `UNIT`, uint8.
    contrast (4, h, w): the largest over all directions, in levels times 128, int16.
    """

    strength: _Array
    contrast: _Array


def ridges(image: _Array, trust: float, light: float) -> tuple[_Array, _Array]:
    """Measure dark and light lines in one channel at the halved frame.

    Returns:
        Strength (2, 16, h, w) and contrast (2, h, w), see `Evidence`.
    """
    height, width = image.shape
    above = _light_beside_dark_filled(image)
    strength = np.zeros((2, ANGLES, height, width), np.uint8)
    contrast = np.zeros((2, height, width), np.int16)
    answers = np.empty_like(strength, np.int16)
    levels = image.astype(np.int16) * np.int16(16)
    for blur, distance in _SCALES:
        smooth = cv2.GaussianBlur(levels, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
        for angle, sums in enumerate(_along(smooth, math.ceil(distance))):
            here, left, right = _across(sums, angle, distance, (height, width))
            cv2.subtract(cv2.min(left, right), here, dst=answers[0, angle])
            lighter = cv2.subtract(here, cv2.max(left, right))
            cv2.min(lighter, above, dst=answers[1, angle])
        for polarity, weight in enumerate((trust, trust * light)):
            of_one = answers[polarity]
            np.maximum(contrast[polarity], of_one.max(axis=0), out=contrast[polarity])
            factor = np.float32(weight * UNIT) / (_noise(of_one) + np.float32(_FLOOR * 128))
            for target, answer in zip(strength[polarity], of_one, strict=True):
                cv2.max(target, cv2.multiply(answer, factor, dtype=cv2.CV_8U), dst=target)
    return strength, contrast


def _light_beside_dark_filled(image: _Array) -> _Array:
    """Bound the contrast of light lines: skin between two dark hairs is no light hair.

    Returns:
        What an opening takes away after a closing has filled what is dark, in levels times 90.
    """
    points = _disc(3)
    filled = cv2.morphologyEx(image, cv2.MORPH_CLOSE, points)
    above = cv2.subtract(filled, cv2.morphologyEx(filled, cv2.MORPH_OPEN, points))
    return above.astype(np.int16) * np.int16(90)


def _disc(radius: float) -> _Array:
    offset = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius**2 + 0.5).astype(np.uint8)


def offset(angle: int, distance: float) -> tuple[int, int]:
    """Give whole steps to the right and down that lead closest to `distance` along an angle."""
    turn = math.pi * angle / ANGLES
    return round(distance * math.cos(turn)), round(distance * math.sin(turn))


def _along(levels: _Array, margin: int) -> Iterator[_Array]:
    """Sum eight pixels along a line in each direction, with a margin around the image."""
    height, width = levels.shape[0] + 2 * margin, levels.shape[1] + 2 * margin
    far = margin + sum(_DOUBLINGS) + 1
    padded = cv2.copyMakeBorder(levels, far, far, far, far, cv2.BORDER_REPLICATE)
    for angle in range(ANGLES):
        sums, x, y = padded, far - margin, far - margin
        reach_x = reach_y = 0
        for doubling in _DOUBLINGS:
            right, down = offset(angle, doubling)
            from_x, from_y = max(0, -right), max(0, -down)
            rows, columns = sums.shape[0] - abs(down), sums.shape[1] - abs(right)
            one = sums[from_y : from_y + rows, from_x : from_x + columns]
            from_x, from_y = from_x + right, from_y + down
            other = sums[from_y : from_y + rows, from_x : from_x + columns]
            sums = cv2.add(one, other)
            x, y = x - max(0, -right), y - max(0, -down)
            reach_x, reach_y = reach_x + right, reach_y + down
        x, y = x - round(reach_x / 2), y - round(reach_y / 2)
        yield sums[y : y + height, x : x + width]


def _across(
    sums: _Array, angle: int, distance: float, shape: tuple[int, int]
) -> tuple[_Array, _Array, _Array]:
    """Give the line sums at each place and at both sides of it."""
    margin = math.ceil(distance)
    height, width = shape
    down, left = offset(angle, distance)

    def window(y: int, x: int) -> _Array:
        return sums[y : y + height, x : x + width]

    return (
        window(margin, margin),
        window(margin - down, margin + left),
        window(margin + down, margin - left),
    )


def _noise(answers: _Array) -> _Array:
    """Measure texture around each place: answers in more directions than a line gives.

    A line answers in few directions, so that the sum over all of them is a small multiple of the
    largest; that multiple is taken away, and dense hair is no noise to itself.
    """
    few = np.maximum(answers[:, ::2, ::2], 0)
    beyond = few.sum(axis=0, dtype=np.int32) - _LINE_SHARE * few.max(axis=0)
    height, width = beyond.shape
    block = _BLOCK // 2
    down, right = max(1, round(height / block)), max(1, round(width / block))
    rows, columns = height // down, width // right
    blocks = beyond[: rows * down, : columns * right].reshape(down, rows, right, columns)
    blocks = blocks.swapaxes(1, 2).reshape(down, right, -1)
    rank = int(_QUANTILE * blocks.shape[2])
    level: Any = np.maximum(np.partition(blocks, rank, axis=2)[..., rank], 0).astype(np.float32)
    level = cv2.GaussianBlur(level, (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    noise: _Array = cv2.resize(level * np.float32(_TEXTURE), answers.shape[:0:-1])
    return noise


def gather(channels: list[tuple[_Array, _Array]]) -> Evidence:
    """Stack planes: dark lines of each channel first, then light ones."""
    strength = [one[polarity] for polarity in (0, 1) for one, _ in channels]
    contrast = [one[polarity] for polarity in (0, 1) for _, one in channels]
    return Evidence(np.stack(strength), np.stack(contrast))

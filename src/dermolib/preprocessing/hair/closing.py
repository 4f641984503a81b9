"""Closing with a disk, at sizes that follow the image."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["REFERENCE_SIDE", "closing", "dilation", "disk", "disk_rows", "scaled_radius"]

REFERENCE_SIDE = 512
"""Shorter side in pixels of the image for which sizes are stated."""

_STRIP = 1 << 20  # bytes of rows that are closed at once
_LARGEST = 400  # radius up to which factors are searched for, that of images of 40,960 px
_LEAST = 4  # radii of rows at once, since a radius more is computed above and below them

_Bytes = npt.NDArray[np.uint8]
_Morph = Callable[..., Any]


def scaled_radius(radius: float, shape: tuple[int, ...]) -> int:
    """Scale a radius to an image (H, W, ...), rounded up: hair twice as wide is still bridged."""
    return math.ceil(radius * (min(shape[:2]) / REFERENCE_SIDE))


def disk(radius: int) -> _Bytes:
    """Draw a disk of 0 and 1: the pixels within `radius` of the middle one."""
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)


def closing(image: _Bytes, radius: int) -> Iterator[tuple[slice, _Bytes]]:
    """Close an image (H, W) or (H, W, C) with a disk, ignoring what lies outside the image.

    Yields rows and their closing, strip by strip; strips that were yielded may be overwritten.
    """
    dilated = dilation(image, radius)
    for rows in _strips(image, radius):
        yield rows, _strip_with_disk(dilated, rows, radius, 255)


def dilation(image: _Bytes, radius: int) -> _Bytes:
    """Dilate an image (H, W) or (H, W, C) with a disk of a radius of 1 or more."""
    dilated = np.empty_like(image)
    for rows in _strips(image, radius):
        dilated[rows] = _strip_with_disk(image, rows, radius, 0)
    return dilated


def _strips(image: _Bytes, radius: int) -> Iterator[slice]:
    """Cut rows so that what a strip needs stays in the cache, but most of it is the strip."""
    step = max(_LEAST * radius, _STRIP // image[0].size)
    return (slice(first, first + step) for first in range(0, len(image), step))


def _strip_with_disk(image: _Bytes, rows: slice, radius: int, beyond: int) -> _Bytes:
    """Dilate, or, where 255 lies beyond the image, erode rows with a disk."""
    above, below = min(radius, rows.start), min(radius, max(0, len(image) - rows.stop))
    near = image[rows.start - above : rows.stop + below]
    border = (radius - above, radius - below, radius, radius)
    padded = cv2.copyMakeBorder(near, *border, cv2.BORDER_CONSTANT, value=(beyond,) * 3)
    operations = (cv2.erode, cv2.min) if beyond else (cv2.dilate, cv2.max)
    return _with_disk(np.asarray(padded, np.uint8), np.empty_like(padded), radius, *operations)[0]


def _with_disk(
    image: _Bytes, spare: _Bytes, radius: int, morph: _Morph, join: _Morph
) -> tuple[_Bytes, _Bytes]:
    """Dilate or erode with a disk; the result is `radius` pixels smaller on each side."""
    for points in _factors(radius):
        inside = slice(len(points) // 2, -(len(points) // 2))
        morph(image, points, dst=spare)
        image, spare = spare[inside, inside], image[inside, inside]
    if _factors(radius):
        return image, spare
    # Row by row from the ends of the disk: what there is moves outwards, and a wider row joins
    total, row, width = image, image, 0
    for distance, half_width in disk_rows(radius):
        row = morph(row, np.ones((1, 2 * (half_width - width) + 1), np.uint8))
        total = join(morph(total, np.ones((2 * distance + 1, 1), np.uint8)), row)
        width = half_width
    return total[radius:-radius, radius:-radius], spare[radius:-radius, radius:-radius]


def disk_rows(radius: int) -> list[tuple[int, int]]:
    """List the rows where a disk widens, from its end (one pixel, not listed) to its middle.

    Each is given by its distance in rows from the one before, and its half width in pixels.
    """
    half_widths = [math.isqrt(radius**2 - row**2) for row in range(radius, -1, -1)]
    rows: list[tuple[int, int]] = []
    last = 0
    for row in range(1, radius + 1):
        if half_widths[row] > half_widths[row - 1]:
            rows.append((row - last, half_widths[row]))
            last = row
    return rows


@functools.cache
def _factors(radius: int) -> list[_Bytes]:
    """Draw the sets of points whose Minkowski sum is the disk; none where none are known."""
    if radius in _FACTORS:
        return [_drawn(text) for text in _FACTORS[radius].split(" + ")]
    return _found_factors(radius) if max(_FACTORS) < radius <= _LARGEST else []


def _drawn(text: str) -> _Bytes:
    corners = [tuple(map(int, pair.split(","))) for pair in text.split()]
    reach = max(map(max, corners))
    points = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    for x, y in corners:
        for row, column in ((x, y), (y, x)):
            points[np.ix_([reach - row, reach + row], [reach - column, reach + column])] = 1
    return points


def _found_factors(radius: int) -> list[_Bytes]:
    """Find factors of a large disk: small ones as long as they fit, and what then is left."""
    texts = {text for factors in _FACTORS.values() for text in factors.split(" + ")}
    small = [_drawn(text) for text in sorted(texts) if len(text.split()) < 4]
    small.sort(key=len, reverse=True)
    factors: list[_Bytes] = []
    left, count = disk(radius), -1
    while count < len(factors):
        count = len(factors)
        for points in small:
            less = _morphed(left, points, cv2.erode)
            if less.any() and (_morphed(less, points, cv2.dilate) == left).all():
                left = less
                factors.append(points)
    # Of what is left, rings that are so close together that the small factors fill them
    between = disk(max(1, sum(len(points) // 2 for points in factors) * 2 // 3))
    square, rings, inner = np.ones((3, 3), np.uint8), np.zeros_like(left), left
    while inner.any():
        rings |= inner - _morphed(inner, square, cv2.erode)
        inner = _morphed(inner, between, cv2.erode)
    edge = int(rings.any(axis=1).argmax())
    factors.append(np.ascontiguousarray(rings[edge : len(rings) - edge, edge : len(rings) - edge]))
    total = rings
    for points in factors[:-1]:
        total = _morphed(total, points, cv2.dilate)
    return factors if (total == disk(radius)).all() else []


def _morphed(points: _Bytes, element: _Bytes, morph: _Morph) -> _Bytes:
    """Dilate or erode points beyond which there are none."""
    result: _Bytes = morph(points, element, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return result


# Three to eight times as fast as row by row. Found by search (none for 17, whose disk is bumpy). A
# point stands for its eight mirror images, so that "0,0 1,0" is a cross of five points.
_FACTORS = {
    1: "0,0 1,0",
    2: "1,0 + 0,0 1,0",
    3: "0,0 1,0 1,1 2,0 2,1 2,2 3,0",
    4: "0,0 1,0 + 1,0 2,2 3,0",
    5: "0,0 1,0 + 0,0 2,1 3,2 3,3 4,0",
    6: "0,0 1,1 2,0 + 0,0 3,0 3,2 3,3 4,0",
    7: "1,0 + 2,0 + 3,0 3,2 3,3 4,0",
    8: "0,0 1,0 + 2,2 3,0 + 3,3 4,0",
    9: "0,0 2,0 + 1,1 2,0 + 4,0 4,2 4,3 4,4 5,0",
    10: "0,0 1,0 + 3,2 4,0 + 4,3 4,4 5,0",
    11: "1,0 + 4,2 5,0 + 4,0 4,3 4,4 5,0",
    12: "1,0 + 4,2 5,0 + 5,0 5,3 5,4 6,0",
    13: "0,0 1,0 + 0,0 3,3 5,0 + 0,0 6,2 6,3 6,4 6,5 7,0",
    14: "0,0 1,1 2,0 + 5,2 6,0 + 5,0 5,3 5,4 5,5 6,0",
    15: "0,0 1,0 + 4,2 5,0 + 6,0 7,7 8,3 8,4 8,5 9,0",
    16: "0,0 1,0 + 2,2 3,0 + 3,2 4,0 + 7,3 7,4 7,5 8,0",
    18: "0,0 1,0 + 3,3 5,0 + 5,3 6,0 + 5,2 5,4 5,5 6,0",
    19: "0,0 1,0 + 2,2 3,0 + 5,2 6,0 + 8,3 8,4 8,5 8,6 9,0",
    20: "0,0 1,0 + 3,2 4,0 + 4,4 6,0 + 8,3 8,4 8,5 8,6 9,0",
    21: "0,0 1,0 + 3,2 4,0 + 4,4 6,0 + 9,3 9,4 9,5 9,6 10,0",
    22: "0,0 1,0 + 2,2 3,0 + 3,3 4,0 + 0,0 10,10 13,4 13,5 13,6 14,0",
    23: "0,0 1,0 + 3,3 4,0 + 3,2 4,0 + 0,0 11,9 13,4 13,5 13,6 14,0",
    24: "0,0 1,0 + 3,3 4,0 + 6,2 7,0 + 10,8 11,4 11,5 11,6 12,0",
    25: "0,0 1,0 + 4,4 6,0 + 5,2 6,0 + 10,9 11,3 11,4 11,5 11,6 11,7 12,0",
    26: "0,0 1,0 + 3,3 4,0 + 0,0 4,2 5,0 + 0,0 13,10 15,4 15,5 15,6 15,7 16,0",
    27: "0,0 1,0 + 2,2 3,0 + 3,3 4,0 + 8,0 14,13 17,9 18,4 18,5 18,6 18,7 19,0",
    28: "0,0 1,0 + 2,2 3,0 + 3,3 4,0 + 8,0 14,14 16,12 18,9 19,4 19,5 19,6 19,7 20,0",
    29: "0,0 1,0 + 2,2 3,0 + 3,3 4,0 + 4,4 7,0 + 11,11 13,4 13,5 13,6 13,7 14,0",
    30: "0,0 1,0 + 3,3 4,0 + 5,3 6,0 + 0,0 11,0 15,12 16,10 18,2 18,4 18,5 18,6 18,7 19,0",
    31: "0,0 1,0 + 3,3 5,0 + 5,3 6,0 + 7,0 16,12 17,10 18,2 18,4 18,5 18,6 18,7 19,0",
    32: "0,0 1,0 + 2,2 3,0 + 6,4 7,0 + 0,0 11,0 15,15 18,11 20,3 20,5 20,6 20,7 21,0",
    33: "0,0 1,0 + 3,3 5,0 + 4,2 5,0 + 4,4 6,0 + 14,11 15,3 15,4 15,5 15,6 15,7 15,8 16,0",
    34: "0,0 1,0 + 3,3 4,0 + 3,3 5,0 + 5,5 7,0 + 13,12 16,2 16,4 16,5 16,6 16,7 16,8 17,0",
    35: (
        "0,0 1,0 + 2,0 + 2,2 3,0 + 4,0 + 3,3 4,0 + 3,3 5,0 + 13,13 14,11 15,4 15,5 15,6 "
        "15,7 15,8 16,0"
    ),
    36: (
        "0,0 1,0 + 0,0 4,0 + 3,2 4,0 + 3,3 5,0 + 0,0 18,16 19,14 20,11 21,3 21,4 21,5 "
        "21,6 21,7 21,8 22,0"
    ),
    37: "1,0 + 2,2 3,0 + 4,4 7,0 + 6,4 7,0 + 15,14 17,10 18,0 18,3 18,5 18,6 18,7 18,8 19,0",
    38: (
        "0,0 1,0 + 0,0 3,0 + 4,4 5,0 + 4,2 5,0 + 0,0 18,17 20,14 22,10 23,3 23,5 23,6 "
        "23,7 23,8 24,0"
    ),
    39: (
        "0,0 1,0 + 2,0 + 2,2 3,0 + 3,3 4,0 + 4,4 5,0 + 4,4 7,0 + 13,13 15,10 16,5 16,6 "
        "16,7 16,8 17,0"
    ),
    40: "0,0 1,0 + 3,0 + 4,4 5,0 + 5,2 6,0 + 0,0 19,18 21,15 23,11 24,3 24,5 24,6 24,7 24,8 25,0",
}

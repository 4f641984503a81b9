"""Hair by lightness: where a closing of L* with a disc lifts a pixel by a large step.

The definition is that of a textbook (lightness, closing, hysteresis, smallest area), and so is the
result, bit for bit. The time goes elsewhere than in a textbook: the lightness comes from 16-bit
tables, the disc is a sum of a few small sets of points, and components are counted by their runs.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_image, check_mask, check_number, expected
from dermolib.preprocessing.hair.components import components_above
from dermolib.preprocessing.hair.lightness import STEPS_PER_UNIT, lightness

__all__ = [
    "REFERENCE_SIZE",
    "check_luv_options",
    "closing_fill",
    "disc",
    "disc_rows",
    "find_luv",
    "scaled_radius",
]

REFERENCE_SIZE = 512
"""Shorter side in pixels for which the sizes of the methods are stated."""

_Plane = npt.NDArray[np.uint8]
_Morph = Callable[..., Any]

_STRIP_BYTES = 1 << 19  # so that what lies between stays in the cache and memory stays flat


def find_luv(image: Image, *, radius: float, low: float, high: float, min_area: float) -> Mask:
    """Find hair: True where the closing of the lightness is lighter than the image.

    The lightness L* of CIE LUV, in 256 steps, is closed with a disc. A pixel is hair where the
    closing is lighter by more than `low` and the pixel is connected, by sides and corners, through
    such pixels to one where it is lighter by more than `high`; components of fewer than `min_area`
    pixels are dropped. The image is not modified.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        radius: Radius of the disc in pixels at `REFERENCE_SIZE`, above 0 and up to that.
        low: Step of L*, 0..100, not above `high`.
        high: Step of L*, 0..100.
        min_area: Pixels at `REFERENCE_SIZE`, 0 or more.

    Returns:
        Mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array or an option is no number.
        ValueError: `image` is not RGB or smaller than the disc, or an option is out of range.

    References:
        Lee et al., DullRazor: a software approach to hair removal from images, Computers in Biology
        and Medicine 27(6), 1997, https://doi.org/10.1016/S0010-4825(97)00020-6; Canny, IEEE PAMI
        8(6), 1986, https://doi.org/10.1109/TPAMI.1986.4767851, for the threshold with hysteresis.

    Examples:
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> mask = find_luv(image, radius=5, low=8, high=14, min_area=120)
        >>> bool(mask[:, 30].all()), int(mask.sum())
        (True, 64)
    """
    check_image(image)
    check_luv_options(radius=radius, low=low, high=high, min_area=min_area)
    pixels = scaled_radius(radius, image.shape[:2])
    height, width = image.shape[:2]
    light = lightness(image)
    # Zeros on the left and below, so that no run of pixels reaches from one row into the next
    steps = np.zeros((height + 1, width + 1), np.uint8)
    closing = _Closing(light, pixels)
    for top, bottom in _strips(light, pixels):
        closed = closing.window(top, bottom, 0, width)
        cv2.subtract(closed, light[top:bottom], dst=steps[top:bottom, 1:])
    lowest, highest = low * STEPS_PER_UNIT, high * STEPS_PER_UNIT
    if steps.max() <= highest:
        return np.zeros((height, width), np.bool_)
    area = min_area * (min(height, width) / REFERENCE_SIZE) ** 2
    return components_above(steps, lowest, highest, area)


def check_luv_options(*, radius: float, low: float, high: float, min_area: float) -> None:
    """Refuse options of `find_luv` that are out of range.

    Args:
        radius: See `find_luv`, as are the others.
        low: A number in 0..`high`.
        high: A number in 0..100.
        min_area: A number of 0 or more.

    Raises:
        TypeError: An option is no number.
        ValueError: An option is out of range.
    """
    check_number(radius, "radius", above=0, high=REFERENCE_SIZE)
    check_number(high, "high", low=0, high=100)
    check_number(low, "low", low=0, high=float(high))
    check_number(min_area, "min_area", low=0)


def scaled_radius(radius: float, shape: tuple[int, ...]) -> int:
    """Scale a radius to an image, rounded up, so that hair of twice the radius is bridged.

    Args:
        radius: Radius in pixels at `REFERENCE_SIZE`, above 0.
        shape: Height and width of the image.

    Returns:
        Radius in pixels of the image, 1 or more.

    Raises:
        ValueError: The disc is larger than the image.

    Examples:
        >>> scaled_radius(5, (150, 200)), scaled_radius(5, (1024, 2048))
        (2, 10)
    """
    pixels = math.ceil(radius * (min(shape[:2]) / REFERENCE_SIZE))
    if min(shape[:2]) < 2 * pixels + 1:
        what = f"at least {2 * pixels + 1} px on each side for a disc of radius {pixels} px"
        raise ValueError(expected("image", what, f"{shape[0]} x {shape[1]} px"))
    return pixels


def disc(radius: int) -> npt.NDArray[np.uint8]:
    """Make the pixels whose centre is within `radius` of the centre of the middle one.

    Args:
        radius: Radius in pixels, 0 or more.

    Returns:
        Disc (2 radius + 1, 2 radius + 1), 1 inside and 0 outside.

    Examples:
        >>> disc(1).tolist()
        [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)


def closing_fill(image: Image, mask: Mask, radius: int) -> Image:
    """Give masked pixels the colour of the closing, channel by channel, with a disc.

    Pixels outside the mask stay bit-identical, and the input is not modified. Where masked pixels
    lie closer than the disc is wide, the closing is dark itself.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        mask: Mask (H, W), bool, True where the pixel is replaced.
        radius: Radius of the disc in pixels of this image, 1 or more.

    Returns:
        Image of the same shape.

    Raises:
        TypeError: `image` is no uint8 array, `mask` no bool array or `radius` no integer.
        ValueError: `image` is not RGB, `mask` has another shape or `radius` is below 1.

    Examples:
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> bool((closing_fill(image, image[..., 0] < 100, 1) == 200).all())
        True
    """
    check_image(image)
    check_mask(mask, image.shape[:2])
    check_number(radius, "radius", low=1, integer=True)
    image = np.ascontiguousarray(image)
    clean = np.empty_like(image)
    marks = np.ascontiguousarray(mask).view(np.uint8)
    closing = _Closing(image, radius)
    np.copyto(clean, image)
    for top, bottom, left, right in _windows(image, marks, radius):
        closed = closing.window(top, bottom, left, right)
        cv2.copyTo(closed, marks[top:bottom, left:right], clean[top:bottom, left:right])
    return clean


def _windows(image: Image, marks: _Plane, radius: int) -> list[tuple[int, int, int, int]]:
    """Cover all marks with windows: low ones where few places have marks, else high ones.

    A closing looks two radii beyond its window, so that low windows cost more for their size.
    """
    ways = []
    for rows in (4 * radius, max(4 * radius, _STRIP_BYTES // image[0].size)):
        strips = [(top, min(top + rows, len(marks))) for top in range(0, len(marks), rows)]
        windows = [
            (top, bottom, left, right)
            for top, bottom in strips
            for left, right in _occupied(marks[top:bottom], 4 * radius)
        ]
        far = 4 * radius
        cost = sum((low - top + far) * (right - left + far) for top, low, left, right in windows)
        ways.append((cost, windows))
    return min(ways)[1]


def _strips(image: npt.NDArray[np.uint8], radius: int) -> Iterator[tuple[int, int]]:
    """Cut an image into strips, each at least as high as what it takes from its neighbours."""
    rows = max(4 * radius, _STRIP_BYTES // image[0].size)
    for top in range(0, len(image), rows):
        yield top, min(top + rows, len(image))


def _occupied(marks: _Plane, gap: int) -> Iterator[tuple[int, int]]:
    """Find the ranges of columns that hold all marks and have wider gaps than `gap` between."""
    columns = np.flatnonzero(marks.any(axis=0))
    if not len(columns):
        return
    wide = np.flatnonzero(np.diff(columns) > gap)
    lefts = [columns[0], *columns[wide + 1]]
    rights = [*columns[wide], columns[-1]]
    for left, right in zip(lefts, rights, strict=True):
        yield int(left), int(right) + 1


class _Closing:
    """The closing of an image with a disc, which ignores what lies outside the image.

    Two arrays take turns, since memory that is new takes longer to touch than to fill.
    """

    def __init__(self, image: npt.NDArray[np.uint8], radius: int) -> None:
        self.image, self.radius = image, radius
        self.turns = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def window(self, top: int, bottom: int, left: int, right: int) -> npt.NDArray[np.uint8]:
        """Compute the closing within a window; it is overwritten by that of the next one."""
        radius = self.radius
        height, width = self.image.shape[:2]
        # A closing looks two radii far; beyond the image lies what changes no maximum, no minimum
        far = 2 * radius
        above, below = max(0, far - top), max(0, bottom + far - height)
        before, behind = max(0, far - left), max(0, right + far - width)
        source = self.image[
            top - far + above : bottom + far - below, left - far + before : right + far - behind
        ]
        padded, spare = self._arrays(bottom - top + 2 * far, right - left + 2 * far)
        border, black = cv2.BORDER_CONSTANT, (0, 0, 0)
        cv2.copyMakeBorder(source, above, below, before, behind, border, dst=padded, value=black)
        dilated, spare = _spread(padded, spare, radius, cv2.dilate, cv2.max)
        rows, columns = dilated.shape[:2]
        dilated[: max(0, above - radius)] = 255
        dilated[rows - max(0, below - radius) :] = 255
        dilated[:, : max(0, before - radius)] = 255
        dilated[:, columns - max(0, behind - radius) :] = 255
        return _spread(dilated, spare, radius, cv2.erode, cv2.min)[0]

    def _arrays(self, rows: int, columns: int) -> list[_Plane]:
        shape = (rows, columns, *self.image.shape[2:])
        size = math.prod(shape)
        if self.turns[0].size < size:
            self.turns = [np.empty(size, np.uint8), np.empty(size, np.uint8)]
        return [array[:size].reshape(shape) for array in self.turns]


def _spread(
    image: _Plane, spare: _Plane, radius: int, morph: _Morph, join: _Morph
) -> tuple[_Plane, _Plane]:
    """Dilate or erode with a disc; the result lacks `radius` pixels on each side."""
    if radius not in _FACTORS:
        return _spread_by_rows(image, radius, morph, join), spare[radius:-radius, radius:-radius]
    for points in _factors(radius):
        reach = len(points) // 2
        morph(image, points, dst=spare)
        image, spare = spare[reach:-reach, reach:-reach], image[reach:-reach, reach:-reach]
    return image, spare


def _spread_by_rows(image: _Plane, radius: int, morph: _Morph, join: _Morph) -> _Plane:
    """Build the disc row by row from its ends: what there is moves outwards, a wider row joins."""
    total, row, width = image, image, 0
    for distance, half_width in disc_rows(radius):
        row = morph(row, np.ones((1, 2 * (half_width - width) + 1), np.uint8))
        total = join(morph(total, np.ones((2 * distance + 1, 1), np.uint8)), row)
        width = half_width
    return total[radius:-radius, radius:-radius]


def disc_rows(radius: int) -> list[tuple[int, int]]:
    """List the rows of different width that a disc is made of, from its ends to its middle.

    The first is always one pixel wide and not listed.

    Args:
        radius: Radius in pixels, 1 or more.

    Returns:
        For each width its distance in rows from the one before, and its half width in pixels.

    Examples:
        >>> disc_rows(3)
        [(1, 2), (2, 3)]
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
def _factors(radius: int) -> list[npt.NDArray[np.uint8]]:
    """Make the sets of points whose sum, each point of one plus each of the others, is the disc."""
    factors = []
    for text in _FACTORS[radius].split(" + "):
        corners = [tuple(map(int, pair.split(","))) for pair in text.split()]
        reach = max(max(corner) for corner in corners)
        points = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
        for x, y in corners:
            for row, column in ((x, y), (y, x)):
                points[np.ix_([reach - row, reach + row], [reach - column, reach + column])] = 1
        factors.append(points)
    return factors


# Found by search (none for 17, whose disc is bumpy). A point stands for its eight mirror images,
# so that "0,0 1,0" is a cross of five points.
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

"""Dark border of dermoscopes: find the field of view and crop an image to it.

The image is looked at as a grid of at most `_CELLS` x `_CELLS` cells. A field of view is convex, so
the convex hull is drawn around all that is light, which takes in a dark lesion. What is left
outside is border where it is black and light begins along most of its edge; along a dark lesion in
a corner of an image without a border, the edge of the hull runs through the lesion instead.
"""

from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import (
    Image,
    Mask,
    also_takes_shape,
    check_choice,
    check_image,
    check_number,
    require,
)

__all__ = ["Box", "border_mask", "crop_border", "field_of_view"]

_KINDS = ("bounding", "inscribed")
_CELLS = 128  # per side; a border thinner than half a cell is not seen
_SAMPLES = 2 * _CELLS  # pixels per side that are looked at
_BRIGHT = 0.9  # fraction of cells that are darker than what stands for the light of the image
_DIMMEST = 20  # brightness under which an image is black as a whole
_PIECE = 0.02  # fraction of the grid that a light piece needs; writing on the border has less
_FEWEST = 4  # cells in a piece of border
_BLACK = 0.8  # of the threshold: what the mean of a piece of border stays under
_LIT_EDGE = 0.6  # fraction of the cells along a piece of border that are light
_LIT_LINE = 0.1  # fraction of a line of pixels that is light where the field of view begins
_LEAST = 0.4  # of the bounding box, which an inscribed rectangle keeps
_SQUARE = np.ones((3, 3), np.uint8)
_WIDE_SQUARE = np.ones((5, 5), np.uint8)


class Box(NamedTuple):
    """A part of an image in whole pixels: rows top..bottom, columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def full(cls, shape: tuple[int, ...]) -> Self:
        """Make the box that holds a whole image of this shape."""
        return cls(0, shape[0], 0, shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def crop(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Cut the box out of an image, a mask, or any other array (H, W, ...), as a view.

        Raises:
            ValueError: The box reaches beyond the array.

        Examples:
            >>> Box(top=1, bottom=3, left=0, right=1).crop(np.arange(9).reshape(3, 3)).tolist()
            [[3], [6]]
        """
        large = array.ndim >= 2 and array.shape[0] >= self.bottom and array.shape[1] >= self.right
        what = f"an array of at least {self.bottom} x {self.right}"
        require(large, "array", what, f"shape {array.shape}")
        return array[self.top : self.bottom, self.left : self.right]


@also_takes_shape
def crop_border(image: Image, *, kind: str = "bounding", threshold: float = 0.3) -> Image:
    """Crop an image to the field of view of the dermoscope; arguments as for `field_of_view`.

    Memory: about 3 bytes per pixel, the result.

    Returns:
        Image (h, w, 3), uint8, a new array; equal where no border is found.

    References:
        Gessert et al.: Skin lesion classification using ensembles of multi-resolution
        EfficientNets with meta data. MethodsX 7, 2020. https://doi.org/10.1016/j.mex.2020.100864

    Examples:
        >>> image = np.full((60, 80, 3), 200, np.uint8)
        >>> image[:10] = 0
        >>> crop_border(image).shape
        (50, 80, 3)
    """
    return field_of_view(image, kind=kind, threshold=threshold).crop(image).copy()


def field_of_view(image: Image, *, kind: str = "bounding", threshold: float = 0.3) -> Box:
    """Find the part of an image that shows skin and not the dark border of the dermoscope.

    Kind ``"bounding"``: the bounding box of the field of view. Of a circle that the frame of the
    image cuts on all sides it is the whole image; dark corners stay. Where a lesion as black as
    the border touches it, the field ends at the straight line between its light neighbours.

    Kind ``"inscribed"``: the largest rectangle within the field of view, so that no dark corner is
    left. It cuts skin away, and of a large lesion its rim. Where it would be smaller than 0.4 of
    the bounding box, the bounding box is returned.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB; it is not modified. One that is black as a
            whole has no field of view and is left as it is.
        kind: ``"bounding"`` or ``"inscribed"``.
        threshold: A pixel is dark where its largest channel is below this fraction of the light of
            the image, which is the 90th percentile of that channel; above 0 and up to 1. Higher
            values also take the shade towards the rim of the field for border.

    Returns:
        Box of at least one pixel; the whole image where no border is found.

    Raises:
        TypeError: `image` is not a uint8 array, or `threshold` is not a number.
        ValueError: `image` is not RGB, `kind` is unknown, or `threshold` is out of range.

    Examples:
        >>> rows, columns = np.mgrid[:100, :100]
        >>> circle = (rows - 50) ** 2 + (columns - 50) ** 2 < 40**2
        >>> image = np.where(circle, 200, 5).astype(np.uint8)[..., None].repeat(3, axis=2)
        >>> field_of_view(image)
        Box(top=11, bottom=90, left=11, right=90)
        >>> field_of_view(image, kind="inscribed").crop(circle).mean().item()
        1.0
    """
    check_choice(kind, "kind", _KINDS)
    found = _find(image, threshold)
    if found is None:
        return Box.full(image.shape)
    inside, level = found
    left, top, width, height = cv2.boundingRect(inside)
    bounding = Box(top, top + height, left, left + width)
    if kind == "inscribed":
        inscribed = _inscribed(inside)
        if np.prod(inscribed.shape) >= _LEAST * np.prod(bounding.shape):
            return _in_pixels(inscribed, image.shape, inside.shape)
    return _refined(image, bounding, inside.shape, level)


def border_mask(image: Image, *, threshold: float = 0.3) -> Mask:
    """Find the dark border itself: True outside the field of view, see `field_of_view`.

    Returns:
        Mask (H, W), bool; False everywhere where no border is found. Its edge is as exact as the
        grid on which it is found, about a 128th of the side.

    Examples:
        >>> image = np.full((60, 80, 3), 200, np.uint8)
        >>> image[:10] = 0
        >>> int(border_mask(image).sum())
        800
    """
    found = _find(image, threshold)
    height, width = image.shape[:2]
    if found is None:
        return np.zeros((height, width), np.bool_)
    inside, _ = found
    smooth = cv2.resize(inside * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    outside: Mask = smooth < 128
    return outside


def _find(image: Image, threshold: float) -> tuple[npt.NDArray[np.uint8], float] | None:
    """Find the cells inside the field of view, and the brightness under which a cell is dark."""
    check_image(image)
    check_number(threshold, "threshold", above=0, high=1)
    brightness = _brightness(image)
    counts = np.bincount(brightness.ravel(), minlength=256)
    light = int(np.searchsorted(counts.cumsum(), _BRIGHT * brightness.size))
    if light < _DIMMEST:
        return None
    level = threshold * light
    lit = (brightness >= level).astype(np.uint8)
    hull = _hull(lit)
    if hull is None:
        return None
    inside = 1 - _border(brightness, lit, hull, level)
    return None if inside.all() else (inside, level)


def _brightness(image: Image) -> npt.NDArray[np.uint8]:
    """Compute the largest channel of each cell.

    The mean of 2 x 2 pixels of each cell is many times faster than that of all of them.
    """
    height, width = image.shape[:2]
    lines, size = min(height, _SAMPLES), (min(width, _CELLS), min(height, _CELLS))
    rows = np.ascontiguousarray(image[np.arange(lines) * height // lines])
    samples = cv2.resize(rows, (min(width, _SAMPLES), lines), interpolation=cv2.INTER_NEAREST)
    cells = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(cells)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _hull(lit: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """Draw the convex hull of the large light pieces, or nothing where it would hold all cells."""
    opened = cv2.morphologyEx(lit, cv2.MORPH_OPEN, _SQUARE)
    if opened[:: max(1, len(opened) - 1), :: max(1, opened.shape[1] - 1)].all():
        return None  # all four corners are light
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [outline for outline in outlines if cv2.contourArea(outline) >= _PIECE * lit.size]
    if not large:
        return None
    hull = np.zeros_like(lit)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(large)), 1)
    return hull


def _border(
    brightness: npt.NDArray[np.uint8],
    lit: npt.NDArray[np.uint8],
    hull: npt.NDArray[np.uint8],
    level: float,
) -> npt.NDArray[np.uint8]:
    """Take the pieces outside the hull that are black and have light along their edge."""
    outside = 1 - hull
    outlines, _ = cv2.findContours(outside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    border = np.zeros_like(hull)
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        around = np.s_[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2]
        filled = cv2.drawContours(np.zeros_like(hull), [outline], 0, 1, cv2.FILLED)[around]
        # A piece may go round the hull, which its outline holds as well
        piece = cv2.bitwise_and(filled, outside[around])
        edge = cv2.bitwise_and(cv2.dilate(piece, _WIDE_SQUARE), hull[around])
        if (
            cv2.countNonZero(piece) >= _FEWEST
            and cv2.mean(brightness[around], piece)[0] <= _BLACK * level
            and cv2.mean(lit[around], edge)[0] >= _LIT_EDGE
        ):
            border[around] |= piece > 0
    return border


def _inscribed(inside: npt.NDArray[np.uint8]) -> Box:
    """Find the largest rectangle of cells inside, where each row of these is one run."""
    rows, columns = inside.shape
    left = np.where(inside.any(axis=1), inside.argmax(axis=1), columns)  # an empty row has no run
    right = columns - inside[:, ::-1].argmax(axis=1)
    first, last = np.arange(rows)[:, None], np.arange(rows)
    # Entry (a, b) is the run that all of the rows a..b share
    shared_left = np.maximum.accumulate(np.where(last >= first, left, 0), axis=1)
    shared_right = np.minimum.accumulate(np.where(last >= first, right, columns), axis=1)
    area = (shared_right - shared_left) * (last - first + 1)
    top, bottom = divmod(int(area.argmax()), rows)
    return Box(top, bottom + 1, int(shared_left[top, bottom]), int(shared_right[top, bottom]))


def _in_pixels(box: Box, shape: tuple[int, ...], grid: tuple[int, ...]) -> Box:
    """Turn cells into pixels, without the cells at a cut side, which may hold some border."""
    sides: list[int] = []
    for axis, (first, last) in enumerate((box[:2], box[2:])):
        size, cells = shape[axis], grid[axis]
        if size > cells and last - first > 2:
            first, last = first + (first > 0), last - (last < cells)
        sides += [-(-first * size // cells), last * size // cells]
    return Box(*sides)


def _refined(image: Image, box: Box, grid: tuple[int, ...], level: float) -> Box:
    """Turn cells into pixels: each cut side moves to where light begins, by a cell at most."""
    starts = [box[2 * axis] * image.shape[axis] // grid[axis] for axis in (0, 1)]
    stops = [-(-box[2 * axis + 1] * image.shape[axis] // grid[axis]) for axis in (0, 1)]
    sides: list[int] = []
    for axis in (0, 1):
        lines = image.swapaxes(0, axis)[:, starts[1 - axis] : stops[1 - axis]]
        size, cell = len(lines), -(-image.shape[axis] // grid[axis])
        end = _light_line(lines[::-1], size - stops[axis], cell, level)
        sides += [_light_line(lines, starts[axis], cell, level), size - end]
    return Box(*sides)


def _light_line(lines: Image, start: int, cell: int, level: float) -> int:
    """Find the first line with light within a cell of a start that is cut."""
    if start == 0:
        return 0
    first = max(0, start - cell)
    step = max(1, lines.shape[1] // _SAMPLES)
    some = lines[first : start + cell + 1, ::step]
    brightness = np.maximum(np.maximum(some[..., 0], some[..., 1]), some[..., 2])
    fractions = (brightness >= level).mean(axis=1)
    begun = np.flatnonzero(fractions >= _LIT_LINE)
    return first + int(begun[0]) if begun.size else start

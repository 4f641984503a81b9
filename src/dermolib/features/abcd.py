"""Asymmetry, border, color and diameter of a lesion, computed from an image and a mask.

Only D measures size: for A, B and C the lesion is resized to one size first, so that they do not
depend on the size of the image, and take the same time for each.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_image, check_mask, check_number, require
from dermolib.features.outline import border_descriptors, trace
from dermolib.io import resize_image, resize_mask

__all__ = ["ABCD_FEATURES", "abcd_features", "check_pixel_size"]

_SIZE = 192  # longer side of the lesion's bounding box after resizing, in px
_MARGIN = 32  # px of skin around that box
_LARGE = 1 << 22  # pixels of the box with its margin up to which any is resized in one step
_WIDER = 16  # times the pixels of the image; larger ones are those of lesions that are thin
_FINE = 1 << 10  # longer side in px of an image that is resized beforehand
_SKIN = 24  # px around the lesion that represent its skin
_BLUR = 3.0  # standard deviation in px: colors are those of spots, not of single pixels
_FOLDED = 96  # radius of the disk on which a lesion is folded, in px
_DARKEST = 10.0  # lowest lightness of skin: what is darker is the border of a dermoscope
_THICKEST = 9  # px of a hair; the dark border of a dermoscope is wider
_FALLOFF = 8  # px beside that border over which light may fall off
_FEWEST = 16  # pixels of skin below which nothing is compared to it
_PRESENT = 0.05  # fraction of the lesion from which a color counts as present
# Reference colors in CIELAB for the six names, beside skin of `_HUE`: chosen, not calibrated
_COLORS = {
    "white": (88.0, 8.0, 4.0),
    "red": (55.0, 45.0, 4.0),
    "light_brown": (56.0, 24.0, 18.0),
    "dark_brown": (34.0, 24.0, 18.0),
    "blue_gray": (45.0, 10.0, -8.0),
    "black": (15.0, 16.0, 4.0),
}
_HUE = np.array([18.0, 6.0])  # a* and b* to which the skin is shifted

_BORDER = ("compactness", "solidity", "convexity", "radial")
ABCD_FEATURES = (
    *(f"asymmetry_{name}" for name in ("least", "most", "color_least", "color_most")),
    *(f"border_{name}" for name in (*_BORDER, "abruptness", "abruptness_variation", "cut")),
    *(f"color_deviation_{name}" for name in "lab"),
    *(f"color_{name}" for name in ("contrast", "darkness", "count")),
    *(f"color_fraction_{name}" for name in _COLORS),
    "diameter_feret",
    "diameter_equivalent",
    "area_fraction",
)
"""Names of the numbers that `abcd_features` gives, in its order."""

_CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))  # of a pixel

_Lab = npt.NDArray[np.float32]
_Gray = npt.NDArray[np.uint8]


class _Lesion(NamedTuple):
    """A lesion resized to one size: CIELAB (h, w, 3), and images (h, w) of 0 and 1."""

    lab: _Lab
    mask: _Gray
    seen: _Gray  # 0 beyond the frame of the image and on the dark border of a dermoscope
    lit: _Gray  # also 0 where light may fall off towards that border


def abcd_features(image: Image, mask: Mask, *, pixel_size: float | None = None) -> dict[str, float]:
    """Describe a lesion by the ABCD rule of dermoscopy: asymmetry, border, color, diameter.

    The numbers do not depend on the position of the lesion, and hardly on 90° rotations and flips;
    those of A, B and C hardly on the size of the image either. Of a lesion that the frame cuts, the
    visible part is described: see ``border_cut``. The dark border of a dermoscope is not skin. All
    components of a mask count, but ``border_*`` describes the outline of the largest one.

    - ``asymmetry_least``, ``asymmetry_most`` (0..1): fraction of the area without a counterpart
      when the mask is folded along its two principal axes; of the better and of the worse axis.
    - ``asymmetry_color_least``, ``asymmetry_color_most`` (0 or more): mean color difference of
      counterparts; 0 where there is none.
    - ``border_compactness`` (1 or more): squared perimeter / (4 pi area); 1 is a disk.
    - ``border_solidity``, ``border_convexity`` (0..1): area by that of the convex hull; perimeter
      of the convex hull by that of the lesion.
    - ``border_radial`` (0 or more): standard deviation of the distance from the centroid to the
      outline, divided by its mean; 0 is a disk.
    - ``border_abruptness``, ``border_abruptness_variation``: how much lighter the skin along the
      outline is than the lesion along it, mean and standard deviation of eight sectors; sectors
      without both, or where light may fall off towards a dark border, are left out.
    - ``border_cut`` (0..1): fraction of the outline along the frame of the image or the dark border
      of a dermoscope.
    - ``color_deviation_l``, ``color_deviation_a``, ``color_deviation_b`` (0 or more): standard
      deviations of L*, a* and b* within the lesion.
    - ``color_contrast`` (0 or more), ``color_darkness`` (-100..100): color difference of the mean
      of the lesion and the median of the skin around it; how much lighter that skin is.
    - ``color_count`` (0..6): how many of the colors of Stolz's rule cover 5 % of the lesion.
    - ``color_fraction_white``, ``color_fraction_red``, ``color_fraction_light_brown``,
      ``color_fraction_dark_brown``, ``color_fraction_blue_gray``, ``color_fraction_black`` (0..1):
      fraction of the lesion that is nearest to this color, and not nearer to the skin around; the
      color cast of this skin is removed first.
    - ``diameter_feret``, ``diameter_equivalent`` (above 0, px or mm): longest distance of two
      points; diameter of the disk of the same area.
    - ``area_fraction`` (above 0, up to 1): fraction of the image.

    Colors and their differences are in CIELAB, after single pixels are smoothed. Memory: about 4
    bytes per pixel beside the image and the mask.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB; it is not modified.
        mask: Mask of the lesion (H, W), bool, with at least one pixel; it is not modified.
        pixel_size: Side of a pixel in mm, finite and above 0; None gives diameters in px.

    Returns:
        The numbers, in the order of `ABCD_FEATURES`. ``border_abruptness``, its variation,
        ``color_contrast`` and ``color_darkness`` are nan where the image shows no skin around, the
        first two also where all of it is next to the dark border of a dermoscope.

    Raises:
        TypeError: An argument has another type or dtype.
        ValueError: `image` is not RGB, `mask` has another size or no pixel, or `pixel_size` is out
            of range.

    References:
        Nachbar et al.: The ABCD rule of dermatoscopy. Journal of the American Academy of
        Dermatology 30(4), 1994. https://doi.org/10.1016/S0190-9622(94)70061-3

        Celebi et al.: A methodological approach to the classification of dermoscopy images.
        Computerized Medical Imaging and Graphics 31(6), 2007.
        https://doi.org/10.1016/j.compmedimag.2007.01.003

    Examples:
        >>> rows, columns = np.mgrid[:100, :100]
        >>> disk = (rows - 50) ** 2 + (columns - 40) ** 2 < 30**2
        >>> image = np.where(disk[..., None], (110, 70, 50), (225, 180, 160)).astype(np.uint8)
        >>> numbers = abcd_features(image, disk, pixel_size=0.1)
        >>> numbers["asymmetry_most"] < 0.01, round(numbers["border_compactness"], 1)
        (True, 1.0)
        >>> round(numbers["diameter_equivalent"], 1)
        6.0
    """
    check_image(image)
    check_mask(mask, (image.shape[0], image.shape[1]))
    check_pixel_size(pixel_size)
    hint = "Leave the image out, or segment the lesion again."
    require(mask.any(), "mask", "a mask with a lesion", "no pixel that is True", hint)
    lesion = _one_size(image, mask)
    outline, lightness = trace(lesion.mask), lesion.lab[..., 0]
    border = border_descriptors(outline, lightness, lesion.mask, seen=lesion.seen, lit=lesion.lit)
    diameter = _diameter(mask, 1.0 if pixel_size is None else float(pixel_size))
    numbers = {**_asymmetry(lesion), **border, **_color(lesion), **diameter}
    return {name: float(numbers[name]) for name in ABCD_FEATURES}


def check_pixel_size(value: float | None) -> None:
    """Refuse a size of a pixel that is neither None nor a finite number above 0."""
    if value is not None:
        check_number(value, "pixel_size", above=0, below=math.inf)


def _one_size(image: Image, mask: Mask) -> _Lesion:
    """Crop the lesion with a margin, which may extend beyond the frame of the image, and resize."""
    (top, bottom), (left, right) = (_span(np.asarray(mask.any(axis=axis))) for axis in (1, 0))
    scale = _SIZE / max(bottom - top, right - left)
    margin = int(np.ceil(_MARGIN / scale))
    rows, columns = (
        np.arange(first - margin, last + margin) for first, last in ((top, bottom), (left, right))
    )
    size = (round(len(rows) * scale), round(len(columns) * scale))
    height, width = mask.shape
    if len(rows) * len(columns) > max(_LARGE, _WIDER * mask.size):
        # Of a thin lesion nearly all of the square would lie beyond the frame
        fine = (max(1, height * _FINE // max(mask.shape)), max(1, width * _FINE // max(mask.shape)))
        return _one_size(resize_image(image, fine), _resized(mask, fine) > 0)
    known = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    place = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
    colors = resize_image(np.ascontiguousarray(image[place]), size).astype(np.float32) / 255
    lab = np.asarray(cv2.cvtColor(colors, cv2.COLOR_RGB2LAB), np.float32)
    seen = resize_mask(known, size).astype(np.uint8)
    lesion = _resized(mask[place] & known, size)
    blur = int(np.ceil(scale))  # px over which resizing blends neighbors
    border = _dark_border((lab[..., 0] < _DARKEST) & (lesion == 0), seen, blur)
    off, lit = (seen & (1 - _dilated(border, reach)) for reach in (blur + 1, blur + _FALLOFF))
    return _Lesion(lab, lesion, off, lit)


def _dark_border(dark: Mask, seen: _Gray, blur: int) -> _Gray:
    """Find the dark border of a dermoscope: wider than hair, and reaching the edge of the crop."""
    wide = max(_THICKEST, 2 * blur + 1)
    square = np.ones((wide, wide), np.uint8)
    broad = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, square)
    _, pieces = cv2.connectedComponents(broad)
    inside = np.pad(seen[1:-1, 1:-1], 1)
    # Some images are framed by a line of another color
    reached = np.unique(pieces[_dilated(1 - inside, blur + 1) > 0])
    border = np.isin(pieces, reached[reached > 0]).astype(np.uint8)
    # Opening removes corners
    return np.asarray(cv2.dilate(border, square), np.uint8) & dark.astype(np.uint8)


def _dilated(mask: _Gray, reach: int) -> _Gray:
    return np.asarray(cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)


def _span(line: Mask) -> tuple[int, int]:
    found = np.flatnonzero(line)
    return int(found[0]), int(found[-1]) + 1


def _resized(mask: Mask, size: tuple[int, int]) -> _Gray:
    """Resize a mask, also one so thin that no pixel of the new size is half covered."""
    soft = resize_image(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), size)[..., 0]
    return (soft >= min(128, int(soft.max()))).astype(np.uint8)


def _asymmetry(lesion: _Lesion) -> dict[str, float]:
    """Rotate the principal axes onto those of the grid, and flip it."""
    rows, columns = np.nonzero(lesion.mask)
    places = np.stack([columns, rows]).astype(np.float64)
    center = places.mean(axis=1, keepdims=True)
    axes = np.linalg.eigh(np.atleast_2d(np.cov(places, bias=True)))[1]
    radius = float(np.hypot(*(places - center)).max()) + 1
    turn = axes * radius / _FOLDED
    back = np.column_stack([turn, center - turn @ np.full((2, 1), _FOLDED)])
    size, flags = (2 * _FOLDED + 1, 2 * _FOLDED + 1), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mask, lab = (
        np.asarray(cv2.warpAffine(values, back, size, flags=flags, borderMode=border), np.float32)
        for values, border in (
            (lesion.mask.astype(np.float32), cv2.BORDER_CONSTANT),
            (_smooth(lesion.lab, lesion.mask), cv2.BORDER_REPLICATE),
        )
    )
    both = zip(*(_folded(mask, lab, axis) for axis in (0, 1)), strict=True)
    return {
        f"asymmetry_{name}{end}": extreme(values)
        for name, values in zip(("", "color_"), both, strict=True)
        for end, extreme in (("least", min), ("most", max))
    }


def _folded(mask: _Lab, lab: _Lab, axis: int) -> tuple[float, float]:
    """Return the fraction of a mask without a counterpart, and the color difference of the rest."""
    other = np.flip(mask, axis)
    both = np.minimum(mask, other)
    shared = float(both.sum())
    difference = np.linalg.norm(lab - np.flip(lab, axis), axis=2)
    color = float((difference * both).sum()) / shared if shared else 0.0
    alone = np.abs(mask - other).sum(dtype=np.float64) / (2 * mask.sum(dtype=np.float64))
    return min(1.0, float(alone)), color


def _smooth(lab: _Lab, mask: _Gray) -> _Lab:
    """Smooth the colors of a lesion without mixing in its surroundings."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), _BLUR)
    mean = cv2.GaussianBlur(lab * weight[..., None], (0, 0), _BLUR)
    return np.asarray(mean / np.maximum(total, np.float32(1e-6))[..., None], np.float32)


def _color(lesion: _Lesion) -> dict[str, float]:
    values = _smooth(lesion.lab, lesion.mask)[lesion.mask > 0].astype(np.float64)
    skin = _skin(lesion)
    contrast = skin - values.mean(axis=0)
    known = np.array([*_COLORS.values()])
    shift = np.zeros(3)
    if np.isfinite(skin).all():
        # The color cast of camera and lamp is that of the skin
        shift[1:] = _HUE - skin[1:]
        known = np.vstack([known, skin + shift])
    # Squared distances but for the square of the value, which is the same for all
    away = (known**2).sum(axis=1) - 2 * (values + shift) @ known.T
    fractions = np.bincount(away.argmin(axis=1), minlength=len(known)) / len(values)
    deviations = values.std(axis=0)
    return {
        **{f"color_deviation_{name}": deviations[place] for place, name in enumerate("lab")},
        "color_contrast": float(np.linalg.norm(contrast)),
        "color_darkness": contrast[0],
        "color_count": float((fractions[: len(_COLORS)] >= _PRESENT).sum()),
        **{f"color_fraction_{name}": fractions[place] for place, name in enumerate(_COLORS)},
    }


def _skin(lesion: _Lesion) -> npt.NDArray[np.float64]:
    """Compute the median color (3,) of the skin around a lesion, nan where there is none."""
    away = cv2.distanceTransform(1 - lesion.mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    around = (lesion.seen > 0) & (away > _BLUR) & (away <= _SKIN)
    around &= lesion.lab[..., 0] >= _DARKEST
    if np.count_nonzero(around) < _FEWEST:
        return np.full(3, np.nan)
    return np.median(lesion.lab[around], axis=0).astype(np.float64)


def _diameter(mask: Mask, pixel_size: float) -> dict[str, float]:
    rows = np.flatnonzero(mask.any(axis=1))
    ends = (mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1))
    points = np.concatenate([np.stack([one, rows], axis=1) for one in ends]).astype(np.float32)
    corners = np.concatenate([points + half for half in np.array(_CORNERS, np.float32)])
    hull = cv2.convexHull(corners)[:, 0].astype(np.float64)
    area = int(mask.sum())
    return {
        "diameter_feret": float(np.hypot(*(hull[:, None] - hull).T).max()) * pixel_size,
        "diameter_equivalent": 2 * float(np.sqrt(area / np.pi)) * pixel_size,
        "area_fraction": area / mask.size,
    }

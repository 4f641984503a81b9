"""Fills: what replaces masked pixels."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import (
    Image,
    Mask,
    check_choice,
    check_image,
    check_mask,
    name_of,
    require,
)
from dermolib.preprocessing.functions import call_foreign
from dermolib.preprocessing.hair.closing import REFERENCE_SIDE, closing, disk, scaled_radius

__all__ = [
    "FILLS",
    "FillChoice",
    "Scales",
    "check_fill",
    "enlarged",
    "fill_mask",
    "fill_with",
    "half",
    "list_fills",
]

# What `inpainting_torch` shares with this module. Lengths are in pixels of the reduced image.
LARGEST_FACTOR = 16  # a cell of more pixels could lose a single masked one to rounding
SIGMA = 1.0  # of the weights by which neighbours count, five by five pixels
TRUST = 0.03  # weight of neighbours below which the coarser scale counts for more
FAR_SIGMA = 1.2  # of the wider neighbourhood, in cells of eight pixels
FAR_TRUST = 0.003  # weight that the wider neighbourhood has within the near one
FAR_LEAST = 0.001  # fraction of pixels of one kind from which their mean color is used
SOFT_SIGMA = 0.7  # of the smoothing before a pixel near hair is judged
HALO_FRACTION = 0.1  # fraction of the hair's contrast which a pixel near hair may show
HALO_LEVELS = 16.0  # levels along the hair's contrast which it may show in any case
HALO_SOFT = (0.5, 1.5)  # multiples of these limits between which trust falls from 1 to 0
HALO_LEAST, HALO_MOST = -0.2, 0.5  # fractions of the hair's contrast that are taken out
HALO_JOINT = 0.02  # weight that all channels have in the fraction of one
COARSEST = 8  # longer side of the scale that is a single color

_INPAINT_RADIUS = 3

_Plane = npt.NDArray[np.float32]


FillChoice: TypeAlias = str | Callable[[Image, Mask], Image]
"""A name of `list_fills`, or a function from image and mask to image."""


def list_fills() -> list[str]:
    """List the names that `fill` takes.

    Returns:
        Names, sorted.

    Examples:
        >>> list_fills()
        ['closing', 'navier_stokes', 'pyramid', 'telea']
    """
    return sorted(FILLS)


def fill_mask(image: Image, mask: Mask, *, fill: FillChoice = "pyramid") -> Image:
    """Replace masked pixels by what their surroundings suggest.

    Pixels outside the mask stay bit-identical, and the input is not modified. Where nothing is
    masked the result equals the image; so it does where everything is, since there is nothing to
    fill from, and one such image should not stop a folder. Memory: about 10 bytes per pixel beside
    the image; for ``"telea"`` and ``"navier_stokes"`` 16.

    - ``"pyramid"``, the best of those measured: normalized convolution at several scales. Each
      scale is the coarser one plus the mean, over the nearest pixels, of how they differ from it,
      so that shading and borders continue beneath a hair of any width. Hair shines into the pixels
      beside a mask: within two pixels of it, the fraction of the hair's contrast that they show on
      average is subtracted, and a pixel that shows much more is not a source. An image whose
      shorter side has 896 pixels or more is filled at a size reduced by a whole factor, to 448..896
      pixels: the fill is smooth, without pores or fine noise. Color fringes of a lens that reach
      further than two pixels from a hair tint the fill.
    - ``"telea"`` and ``"navier_stokes"``: OpenCV's inpainting with a radius of 3 pixels. Pixels
      beside the mask, one at 512 pixels and more in proportion, are not sources. Wide masks show
      streaks from their edges to their middle, and time grows with the mask.
    - ``"closing"``, that of DullRazor: a closing of each channel with a disk of radius 5 pixels at
      512 pixels, in proportion elsewhere and rounded up. It suits dark hair only, takes colors
      from the lightest pixels around, and is dark itself where hairs cross or lie close together.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        mask: Mask (H, W), bool, True where the pixel is replaced. A mask that misses the edges of
            a hair leaves them in the image; one that is a pixel too wide loses little.
        fill: One of `list_fills`, or a function from image and mask to an image of the same shape,
            of which the masked pixels are used.

    Returns:
        Image of the same shape.

    Raises:
        RuntimeError: A function fails.
        TypeError: `image` is not a uint8 array, `mask` not a bool array, or a function does not
            return a uint8 array.
        ValueError: `image` is not RGB, `mask` has another shape, `fill` is unknown, or a function
            returns another shape or writes into what it is given.

    References:
        Knutsson and Westin, Normalized and differential convolution, CVPR 1993,
        https://doi.org/10.1109/CVPR.1993.341081, and Burt and Adelson, The Laplacian pyramid as a
        compact image code, IEEE Transactions on Communications 31(4), 1983,
        https://doi.org/10.1109/TCOM.1983.1095851, for ``"pyramid"``; Telea, An image inpainting
        technique based on the fast marching method, Journal of Graphics Tools 9(1), 2004,
        https://doi.org/10.1080/10867651.2004.10487596; Bertalmio, Bertozzi and Sapiro,
        Navier-Stokes, fluid dynamics, and image and video inpainting, CVPR 2001,
        https://doi.org/10.1109/CVPR.2001.990497; Lee et al., DullRazor: a software approach to
        hair removal from images, Computers in Biology and Medicine 27(6), 1997,
        https://doi.org/10.1016/S0010-4825(97)00020-6, for ``"closing"``.

    Examples:
        >>> image = np.full((64, 64, 3), (205, 165, 150), dtype=np.uint8)
        >>> hairy = image.copy()
        >>> hairy[:, 30:33] = 40
        >>> bool((fill_mask(hairy, hairy[..., 0] == 40) == image).all())
        True
    """
    check_fill(fill)
    check_image(image)
    check_mask(mask, image.shape[:2])
    return fill_with(fill, image, mask)


def check_fill(fill: FillChoice) -> None:
    """Refuse what is neither a name of a fill nor a function."""
    if not callable(fill):
        check_choice(fill, "fill", list_fills())


def fill_with(fill: FillChoice, image: Image, mask: Mask, **sizes: float) -> Image:
    """Fill, with sizes that a fill of the library takes."""
    clean = np.ascontiguousarray(image).copy()
    marks = np.ascontiguousarray(mask).view(np.uint8)
    if not 0 < cv2.countNonZero(marks) < mask.size:
        return clean
    if isinstance(fill, str):
        FILLS[fill].function(clean, marks, **sizes)
        return clean
    name = f"{name_of(fill)}(image, mask)"
    made = check_image(call_foreign(fill, clean, mask), name)
    require(made.shape == clean.shape, name, f"an image {clean.shape}", f"shape {made.shape}")
    clean[mask] = made[mask]
    return clean


def working_factor(height: int, width: int) -> int:
    """Find the whole factor by which an image is reduced for the fill ``"pyramid"``."""
    return min(LARGEST_FACTOR, max(1, int(min(height, width) / REFERENCE_SIDE + 0.25)))


def _closing(image: Image, marks: Any, *, radius: float = 5) -> None:
    """Fill with the closing of each channel with a disk, of a radius at the reference side."""
    pixels = scaled_radius(radius, image.shape)
    left, top, width, height = cv2.boundingRect(marks)
    far = 2 * pixels  # as far as a closing looks
    rows = slice(max(0, top - far), top + height + far)
    columns = slice(max(0, left - far), left + width + far)
    window = image[rows, columns]
    replaced = marks[rows, columns]
    for strip, closed in closing(window, pixels):
        cv2.copyTo(closed, replaced[strip], window[strip])


def _inpaint(image: Image, marks: Any, *, flags: int) -> None:
    if 1 in marks.shape:  # OpenCV would read beyond it, and give what lies there
        axis = marks.shape.index(1)
        three = np.repeat(image, 3, axis)
        _inpaint(three, np.repeat(marks, 3, axis), flags=flags)
        image[:] = three.take([1], axis)
        return
    guard = math.ceil(min(image.shape[:2]) / REFERENCE_SIDE)
    holes: Any = cv2.dilate(marks, disk(guard))
    filled = cv2.inpaint(image, marks if holes.all() else holes, _INPAINT_RADIUS, flags)
    cv2.copyTo(filled, marks, image)


def _pyramid(image: Image, marks: Any) -> None:
    factor = working_factor(*image.shape[:2])
    filled = _fill_small(*_reduced(image, marks, factor))
    if factor > 1:
        filled = enlarged(filled, marks.shape, factor)
    cv2.copyTo(filled, marks, image)


def _reduced(image: Image, marks: Any, factor: int) -> tuple[Any, Any]:
    """Reduce an image, and mark each pixel that any masked one goes into."""
    if factor == 1:
        return image, marks
    height, width = marks.shape
    below, right = -height % factor, -width % factor
    border = (0, below, 0, right, cv2.BORDER_REPLICATE)
    size = ((width + right) // factor, (height + below) // factor)
    fraction = cv2.copyMakeBorder(marks * np.uint8(255), *border)
    fraction = cv2.resize(fraction, size, interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(image, *border) if below or right else image
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.minimum(fraction, 1)


class _Ring(NamedTuple):
    """The pixels beside the mask, which hair may shine into."""

    at: npt.NDArray[np.intp]
    touches: npt.NDArray[np.uint8]  # whether a pixel lies beside the mask by a side
    shape: tuple[int, int]


def _fill_small(image: Image, holes: Any) -> Image:
    """Fill holes, and give the pixels within two pixels of them the colors they were taken for."""
    shape = (holes.shape[0], holes.shape[1])
    near = cv2.dilate(holes, disk(2))
    at = np.flatnonzero(near != holes)
    touches: Any = cv2.dilate(holes, disk(1)).take(at)
    ring = _Ring(at, touches, shape)
    planes = list(cv2.split(image))
    colors, trust = _judged(planes, ring, _surroundings(planes, holes, near, ring))
    weights: Any = (1 - holes).astype(np.float32)
    weights.reshape(-1)[at] = trust
    scales = Scales(half(weights))
    where = np.flatnonzero(near.view(np.bool_))  # five times as fast as of bytes
    fraction = 1 - weights.take(where)
    scale = 1 / (_smooth(weights, SIGMA).take(where) + np.float32(TRUST))
    work: Any = np.empty(shape, np.float32)
    for plane, color in zip(planes, colors, strict=True):
        source: Any = plane.astype(np.float32)
        source.reshape(-1)[at] = color
        cv2.multiply(source, weights, source)
        coarse = enlarged(scales.fill(half(source)), shape, 2)
        cv2.multiply(coarse, weights, work)
        cv2.subtract(source, work, work)
        value = _smooth(work, SIGMA).take(where) * scale
        value = (value + coarse.take(where)) * fraction
        value += source.take(where)
        plane.reshape(-1)[where] = np.clip(value, 0, 255) + np.float32(0.5)
    return cv2.merge(planes)  # type: ignore[return-value] # uint8, as the planes are


def _surroundings(
    planes: list[Any], holes: Any, near: Any, ring: _Ring
) -> Iterator[tuple[_Plane, _Plane]]:
    """Give, per channel, the color around each pixel of the ring and the contrast of the hair."""
    clear = 1 - near
    clear_fraction, hole_fraction = (_half_of(255 * mask, mask) / 255 for mask in (clear, holes))
    far_clear, far_hole = _far(clear_fraction), _far(hole_fraction)
    both = ((far_clear > FAR_LEAST) & (far_hole > FAR_LEAST)).astype(np.float32)
    far_clear, far_hole = both / (far_clear + 1e-4), both / (far_hole + 1e-4)
    scale = 1 / (_smooth(clear_fraction, SIGMA) + np.float32(FAR_TRUST))
    row, column = np.divmod(ring.at, ring.shape[1])
    quarter = ((ring.shape[0] + 3) // 4, (ring.shape[1] + 3) // 4)
    cell = row // 4 * quarter[1] + column // 4
    for plane in planes:
        total = _half_of(plane, clear)
        background = _far(total) * far_clear
        contrast = _far(_half_of(plane, holes)) * far_hole - background
        color = _smooth(total, SIGMA)
        cv2.scaleAdd(enlarged(background, color.shape, 4), FAR_TRUST, color, color)
        around = enlarged(cv2.multiply(color, scale), ring.shape, 2)
        yield (
            around.take(ring.at),
            enlarged(contrast, quarter, 2).take(cell),
        )


def _judged(
    planes: list[Any], ring: _Ring, surroundings: Iterator[tuple[_Plane, _Plane]]
) -> tuple[_Plane, _Plane]:
    """Subtract the hair's mean fraction from the pixels of the ring; rate the trust in each."""
    color, shown, contrasts = (np.empty((3, len(ring.at)), np.float32) for _ in range(3))
    soft = np.zeros(len(ring.at), np.float32)
    for channel, (plane, (around, contrast)) in enumerate(zip(planes, surroundings, strict=True)):
        color[channel] = plane.take(ring.at)
        shown[channel] = contrast * (color[channel] - around)
        contrasts[channel] = contrast
        smooth: Any = cv2.GaussianBlur(plane, (3, 3), SOFT_SIGMA, borderType=cv2.BORDER_REPLICATE)
        soft += contrast * (smooth.take(ring.at) - around)
    strength = contrasts * contrasts
    total = strength.sum(axis=0)
    limit = np.maximum(HALO_FRACTION * total, HALO_LEVELS * np.sqrt(total))
    low, high = HALO_SOFT
    trust = np.clip((high - soft / np.maximum(limit, 1e-6)) / (high - low), 0, 1)
    # One fraction for those that touch the mask and one for the others, per channel, since the
    # color of a hair spreads further in a JPEG file than its lightness
    member = np.stack([trust * (1 - ring.touches), trust * ring.touches], axis=1)
    taken, power = shown @ member, strength @ member
    taken += HALO_JOINT * taken.sum(axis=0)
    power += HALO_JOINT * power.sum(axis=0)
    fraction = np.clip(taken / np.maximum(power, 1e-6), HALO_LEAST, HALO_MOST)
    return np.clip(color - fraction[:, ring.touches] * contrasts, 0, 255), trust


class Scales:
    """Weights of the sources at all scales, shared by the three channels."""

    def __init__(self, weights: Any) -> None:
        """Reduce the weights (H, W) by halves."""
        self.weights = [weights]
        while max(self.weights[-1].shape) > COARSEST:
            self.weights.append(half(self.weights[-1]))
        self.scales = [1 / (_smooth(level, SIGMA) + np.float32(TRUST)) for level in self.weights]
        self.total = max(float(self.weights[-1].sum()), 1e-9)

    def fill(self, total: Any, level: int = 0) -> _Plane:
        """Fill a channel (H, W), given multiplied by the weights."""
        total = total.astype(np.float32, copy=False)
        weights = self.weights[level]
        if level == len(self.weights) - 1:
            return np.full(weights.shape, total.sum() / self.total, np.float32)
        coarse = enlarged(self.fill(half(total), level + 1), weights.shape, 2)
        detail: Any = cv2.multiply(coarse, weights)
        cv2.subtract(total, detail, detail)
        detail = _smooth(detail, SIGMA)
        cv2.multiply(detail, self.scales[level], detail)
        cv2.add(coarse, detail, coarse)
        filled: _Plane = coarse
        return filled


def _half_of(plane: Any, mask: Any) -> Any:
    return half(cv2.copyTo(plane, mask)).astype(np.float32)


def half(plane: Any) -> Any:
    """Halve a plane, to which zeros are added where it has an odd side."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def enlarged(plane: Any, shape: tuple[int, int], factor: int) -> Any:
    """Enlarge a plane by a whole factor, and crop it to a shape."""
    plane = cv2.resize(plane, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(plane[: shape[0], : shape[1]])


def _smooth(plane: Any, sigma: float) -> Any:
    return cv2.GaussianBlur(plane, (5, 5), sigma, borderType=cv2.BORDER_CONSTANT)


def _far(plane: Any) -> Any:
    return _smooth(half(half(plane)), FAR_SIGMA)


class Fill(NamedTuple):
    """A fill of an image, in place, where marks are 1; and the name of the one of a batch."""

    function: Callable[..., None]
    batch: str | None = None


_TORCH = "dermolib.preprocessing.hair"
FILLS = {
    "closing": Fill(_closing, f"{_TORCH}.luv_torch:closing_fill_batch"),
    "navier_stokes": Fill(partial(_inpaint, flags=cv2.INPAINT_NS)),
    "pyramid": Fill(_pyramid, f"{_TORCH}.inpainting_torch:fill_batch"),
    "telea": Fill(partial(_inpaint, flags=cv2.INPAINT_TELEA)),
}

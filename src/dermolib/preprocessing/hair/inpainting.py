"""What replaces masked pixels.

A mask says where hair is; a fill says what the skin beneath it looks like. No fill changes a pixel
outside the mask. Choice ``"pyramid"`` is the best of those measured, and the fastest but one.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_choice, check_image, check_mask
from dermolib.preprocessing.hair.lightness import positions
from dermolib.preprocessing.hair.luv import REFERENCE_SIZE, closing_fill, disc

__all__ = ["fill_mask", "list_fills"]

# What `fill_torch` shares with this module. Lengths are in pixels of the reduced image.
LARGEST_FACTOR = 16  # a cell of more pixels could lose a single masked one to rounding
SIGMA = 1.0  # of the weights by which neighbours count, five by five pixels
TRUST = 0.03  # weight of neighbours below which the coarser scale counts for more
FAR_SIGMA = 1.2  # of the wider neighbourhood, in cells of eight pixels
FAR_TRUST = 0.003  # weight that the wider neighbourhood has within the near one
FAR_LEAST = 0.001  # share of pixels of one kind from which their mean colour is used
SOFT_SIGMA = 0.7  # of the smoothing before a pixel near hair is judged
HALO_SHARE = 0.1  # share of the hair's contrast which a pixel near hair may show
HALO_LEVELS = 16.0  # levels along the hair's contrast which it may show in any case
HALO_SOFT = (0.5, 1.5)  # multiples of these limits between which trust falls from 1 to 0
HALO_LEAST, HALO_MOST = -0.2, 0.5  # shares of the hair's contrast that are taken out
HALO_JOINT = 0.02  # weight that all channels have in the share of one
COARSEST = 8  # longer side of the scale that is a single colour

_CLOSING_RADIUS = 5  # at the reference size
_INPAINT_RADIUS = 3
_STRIP_PIXELS = 1 << 17

_Plane = npt.NDArray[np.float32]


def list_fills() -> list[str]:
    """List the names that `fill` takes.

    Returns:
        Names, sorted.

    Examples:
        >>> list_fills()
        ['closing', 'navier_stokes', 'pyramid', 'telea']
    """
    return sorted(_FILLS)


def fill_mask(image: Image, mask: Mask, *, fill: str = "pyramid") -> Image:
    """Replace masked pixels by what their surroundings suggest.

    Pixels outside the mask stay bit-identical, and the input is not modified. Where nothing is
    masked the result equals the image; so it does where everything is, since there is nothing to
    fill from, and one such image shall not stop a folder.

    - ``"pyramid"``: normalised convolution at several scales. Each scale is the coarser one plus
      the mean, over the nearest pixels, of how they differ from it, so that shading and borders
      go on beneath a hair of any width. Hair shines into the pixels beside a mask: within two
      pixels of it, the share of the hair's contrast that they show on average is taken out of
      them, and a pixel that shows much more is no source. An image whose shorter side has 896
      pixels or more is filled at a size reduced by a whole factor, to 448..896 pixels: what it
      puts into the mask is smooth, without pores or noise of the finest scale. Coloured fringes
      that a lens draws further than that around a hair tint the fill.
    - ``"telea"`` and ``"navier_stokes"``: the inpainting of OpenCV with a radius of 3 pixels, the
      pixels beside the mask left out as sources, one at 512 pixels and more in proportion.
      Streaks run from the edges of wide masks to their middle, and time grows with the mask.
    - ``"closing"``: the paper's, a closing of each channel with a disc of radius 5 pixels at 512
      pixels, in proportion elsewhere and rounded up. It is for dark hair alone, takes colours
      from the lightest pixels around, and is dark itself where hairs cross or lie close.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        mask: Mask (H, W), bool, True where the pixel is replaced. A mask that misses the edges of
            a hair leaves them in the image; one that is a pixel wider loses little.
        fill: One of `list_fills`.

    Returns:
        Image of the same shape.

    Raises:
        TypeError: `image` is no uint8 array or `mask` no bool array.
        ValueError: `image` is not RGB, `mask` has another shape or `fill` is unknown.

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
    check_choice(fill, "fill", list_fills())
    check_image(image)
    check_mask(mask, image.shape[:2])
    clean = np.ascontiguousarray(image).copy()
    marks = np.ascontiguousarray(mask).view(np.uint8)
    if 0 < cv2.countNonZero(marks) < mask.size:
        _FILLS[fill](clean, marks)
    return clean


def working_factor(height: int, width: int) -> int:
    """Find the whole factor by which an image is reduced for the fill ``"pyramid"``."""
    return min(LARGEST_FACTOR, max(1, int(min(height, width) / REFERENCE_SIZE + 0.25)))


def _closing(image: Image, marks: Any) -> None:
    radius = math.ceil(_CLOSING_RADIUS * min(image.shape[:2]) / REFERENCE_SIZE)
    image[:] = closing_fill(image, marks.view(np.bool_), radius)


def _telea(image: Image, marks: Any) -> None:
    _inpaint(image, marks, cv2.INPAINT_TELEA)


def _navier_stokes(image: Image, marks: Any) -> None:
    _inpaint(image, marks, cv2.INPAINT_NS)


def _inpaint(image: Image, marks: Any, flags: int) -> None:
    guard = math.ceil(min(image.shape[:2]) / REFERENCE_SIZE)
    holes: Any = cv2.dilate(marks, disc(guard))
    if holes.all():
        holes = marks
    for window, inside in _groups(holes, _INPAINT_RADIUS + 1):
        hole = cv2.copyTo(holes[window], inside)
        filled = cv2.inpaint(np.ascontiguousarray(image[window]), hole, _INPAINT_RADIUS, flags)
        cv2.copyTo(filled, cv2.copyTo(marks[window], inside), image[window])


def _groups(holes: Any, margin: int) -> Iterator[tuple[tuple[slice, slice], Any]]:
    """Cut out windows, and which of their pixels belong to them, that do not see each other."""
    height, width = holes.shape
    reach = cv2.dilate(holes, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(reach, connectivity=8)
    boxes = stats[1:, : cv2.CC_STAT_AREA].tolist()
    if sum(across * down for _, _, across, down in boxes) > height * width:
        yield (slice(0, height), slice(0, width)), np.ones_like(holes)
        return
    for label, (left, top, across, down) in zip(range(1, count), boxes, strict=True):
        window = (slice(top, top + down), slice(left, left + across))
        yield window, (labels[window] == label).view(np.uint8)


def _pyramid(image: Image, marks: Any) -> None:
    factor = working_factor(*image.shape[:2])
    small, holes = _reduced(image, marks, factor)
    filled = _fill_small(small, holes)
    rows = max(1, _STRIP_PIXELS // (filled.shape[1] * factor**2))
    for top in range(0, len(filled), rows):
        # One row more on each side, which linear interpolation looks at
        first = max(0, top - 1)
        strip: Any = filled[first : top + rows + 1]
        strip = cv2.resize(strip, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        target = image[top * factor : (top + rows) * factor]
        start = (top - first) * factor
        strip = strip[start : start + len(target), : target.shape[1]]
        cv2.copyTo(strip, marks[top * factor : (top + rows) * factor], target)


def _reduced(image: Image, marks: Any, factor: int) -> tuple[Any, Any]:
    """Reduce an image, and mark each pixel that any masked one goes into."""
    if factor == 1:
        return image, marks
    height, width = marks.shape
    below, right = -height % factor, -width % factor
    border = (0, below, 0, right, cv2.BORDER_REPLICATE)
    size = ((width + right) // factor, (height + below) // factor)
    share = cv2.copyMakeBorder(marks * np.uint8(255), *border)
    share = cv2.resize(share, size, interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(image, *border) if below or right else image
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.minimum(share, 1)


class _Ring(NamedTuple):
    """The pixels beside the mask, which hair may shine into."""

    at: npt.NDArray[np.intp]
    touches: npt.NDArray[np.uint8]  # whether a pixel lies beside the mask by a side
    shape: tuple[int, int]


def _fill_small(image: Image, holes: Any) -> Image:
    """Fill holes, and give the pixels within two pixels of them the colours they were taken for."""
    shape = (holes.shape[0], holes.shape[1])
    near = cv2.dilate(holes, disc(2))
    at = positions((near - holes).reshape(-1).view(np.bool_))
    touches: Any = cv2.dilate(holes, disc(1)).reshape(-1).take(at)
    ring = _Ring(at, touches, shape)
    planes = list(cv2.split(image))
    colours, trust = _judged(planes, ring, _surroundings(planes, holes, near, ring))
    weights: Any = (1 - holes).astype(np.float32)
    weights.reshape(-1)[at] = trust
    scales = _Scales(_half(weights))
    where = positions(near.reshape(-1).view(np.bool_))
    share = 1 - weights.reshape(-1).take(where)
    scale = 1 / (_smooth(weights, SIGMA).reshape(-1).take(where) + np.float32(TRUST))
    work: Any = np.empty(shape, np.float32)
    for plane, colour in zip(planes, colours, strict=True):
        source: Any = plane.astype(np.float32)
        source.reshape(-1)[at] = colour
        cv2.multiply(source, weights, source)
        coarse = _enlarged(scales.fill(_half(source)), shape, 2)
        cv2.multiply(coarse, weights, work)
        cv2.subtract(source, work, work)
        value = _smooth(work, SIGMA).reshape(-1).take(where) * scale
        value = (value + coarse.reshape(-1).take(where)) * share
        value += source.reshape(-1).take(where)
        plane.reshape(-1)[where] = np.clip(value, 0, 255) + np.float32(0.5)
    return cv2.merge(planes)  # type: ignore[return-value] # uint8, as the planes are


def _surroundings(
    planes: list[Any], holes: Any, near: Any, ring: _Ring
) -> Iterator[tuple[_Plane, _Plane]]:
    """Give, per channel, the colour around each pixel of the ring and the contrast of the hair."""
    clear = 1 - near
    clear_share, hole_share = (_half_of(255 * mask, mask) / 255 for mask in (clear, holes))
    far_clear, far_hole = _far(clear_share), _far(hole_share)
    both = ((far_clear > FAR_LEAST) & (far_hole > FAR_LEAST)).astype(np.float32)
    far_clear, far_hole = both / (far_clear + 1e-4), both / (far_hole + 1e-4)
    scale = 1 / (_smooth(clear_share, SIGMA) + np.float32(FAR_TRUST))
    row, column = np.divmod(ring.at, ring.shape[1])
    quarter = ((ring.shape[0] + 3) // 4, (ring.shape[1] + 3) // 4)
    cell = row // 4 * quarter[1] + column // 4
    for plane in planes:
        total = _half_of(plane, clear)
        background = _far(total) * far_clear
        contrast = _far(_half_of(plane, holes)) * far_hole - background
        colour = _smooth(total, SIGMA)
        cv2.scaleAdd(_enlarged(background, colour.shape, 4), FAR_TRUST, colour, colour)
        around = _enlarged(cv2.multiply(colour, scale), ring.shape, 2)
        yield (
            around.reshape(-1).take(ring.at),
            _enlarged(contrast, quarter, 2).reshape(-1).take(cell),
        )


def _judged(
    planes: list[Any], ring: _Ring, surroundings: Iterator[tuple[_Plane, _Plane]]
) -> tuple[_Plane, _Plane]:
    """Take the hair's mean share out of the pixels of the ring, and say how far to trust each."""
    colour, shown, contrasts = (np.empty((3, len(ring.at)), np.float32) for _ in range(3))
    soft = np.zeros(len(ring.at), np.float32)
    for channel, (plane, (around, contrast)) in enumerate(zip(planes, surroundings, strict=True)):
        colour[channel] = plane.reshape(-1).take(ring.at)
        shown[channel] = contrast * (colour[channel] - around)
        contrasts[channel] = contrast
        smooth: Any = cv2.GaussianBlur(plane, (3, 3), SOFT_SIGMA, borderType=cv2.BORDER_REPLICATE)
        soft += contrast * (smooth.reshape(-1).take(ring.at) - around)
    strength = contrasts * contrasts
    total = strength.sum(axis=0)
    limit = np.maximum(HALO_SHARE * total, HALO_LEVELS * np.sqrt(total))
    low, high = HALO_SOFT
    trust = np.clip((high - soft / np.maximum(limit, 1e-6)) / (high - low), 0, 1)
    # One share for those that touch the mask and one for the others, per channel, since the
    # colour of a hair spreads further in a JPEG file than its lightness
    member = np.stack([trust * (1 - ring.touches), trust * ring.touches], axis=1)
    taken, power = shown @ member, strength @ member
    taken += HALO_JOINT * taken.sum(axis=0)
    power += HALO_JOINT * power.sum(axis=0)
    share = np.clip(taken / np.maximum(power, 1e-6), HALO_LEAST, HALO_MOST)
    return np.clip(colour - share[:, ring.touches] * contrasts, 0, 255), trust


class _Scales:
    """Weights of the sources at all scales, shared by the three channels."""

    def __init__(self, weights: Any) -> None:
        """Reduce the weights (H, W) by halves."""
        self.weights = [weights]
        while max(self.weights[-1].shape) > COARSEST:
            self.weights.append(_half(self.weights[-1]))
        self.scales = [1 / (_smooth(level, SIGMA) + np.float32(TRUST)) for level in self.weights]
        self.total = max(float(self.weights[-1].sum()), 1e-9)

    def fill(self, total: Any, level: int = 0) -> _Plane:
        """Fill a channel (H, W), given multiplied by the weights."""
        total = total.astype(np.float32, copy=False)
        weights = self.weights[level]
        if level == len(self.weights) - 1:
            return np.full(weights.shape, total.sum() / self.total, np.float32)
        coarse = _enlarged(self.fill(_half(total), level + 1), weights.shape, 2)
        detail: Any = cv2.multiply(coarse, weights)
        cv2.subtract(total, detail, detail)
        detail = _smooth(detail, SIGMA)
        cv2.multiply(detail, self.scales[level], detail)
        cv2.add(coarse, detail, coarse)
        filled: _Plane = coarse
        return filled


def _half_of(plane: Any, mask: Any) -> Any:
    return _half(cv2.copyTo(plane, mask)).astype(np.float32)


def _half(plane: Any) -> Any:
    """Halve a plane, to which zeros are added where it has an odd side."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _enlarged(plane: Any, shape: tuple[int, int], factor: int) -> Any:
    plane = cv2.resize(plane, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(plane[: shape[0], : shape[1]])


def _smooth(plane: Any, sigma: float) -> Any:
    return cv2.GaussianBlur(plane, (5, 5), sigma, borderType=cv2.BORDER_CONSTANT)


def _far(plane: Any) -> Any:
    return _smooth(_half(_half(plane)), FAR_SIGMA)


_FILLS: dict[str, Callable[[Image, Any], None]] = {
    "closing": _closing,
    "navier_stokes": _navier_stokes,
    "pyramid": _pyramid,
    "telea": _telea,
}

"""Removal of hair and other thin dark occlusions.

Method ``"luv"`` is that of the paper: dark hair is what a morphological closing of the lightness
fills by a large step. Sizes are given for an image whose shorter side has `REFERENCE_SIZE` pixels
and scale with the shorter side of the image at hand: lengths in proportion, areas by its square.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, overload

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._checks import check_choice, check_image, check_number, expected
from dermolib._types import Image, Mask
from dermolib.preprocessing.lightness import STEPS_PER_UNIT, lightness

__all__ = ["REFERENCE_SIZE", "list_occlusion_methods", "occlusion_mask", "occlusion_removal"]

REFERENCE_SIZE = 512
"""Shorter side in pixels for which the sizes of the methods are stated."""


def list_occlusion_methods() -> list[str]:
    """List the names that `method` takes.

    Returns:
        Names, sorted.

    Examples:
        >>> list_occlusion_methods()
        ['luv']
    """
    return sorted(_METHODS)


def occlusion_mask(image: Image, *, method: str = "luv", **options: float) -> Mask:
    """Find hair: True where a pixel is occluded. The image is not modified.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB. An image in BGR order cannot be told from
            one in RGB order; its lightness, and so the mask, would be slightly off.
        method: One of `list_occlusion_methods`.
        options: Parameters of the method, see `occlusion_removal`.

    Returns:
        Mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array, or `method` has no such option.
        ValueError: `image` is not RGB or smaller than the disc, or an option is out of range.
    """
    return _run(image, method, options)[0]


@overload
def occlusion_removal(
    image: Image, *, method: str = ..., return_mask: Literal[False] = ..., **options: float
) -> Image: ...


@overload
def occlusion_removal(
    image: Image, *, method: str = ..., return_mask: Literal[True], **options: float
) -> tuple[Image, Mask]: ...


def occlusion_removal(
    image: Image, *, method: str = "luv", return_mask: bool = False, **options: float
) -> Image | tuple[Image, Mask]:
    """Remove hair; pixels outside the mask stay bit-identical, and the input is not modified.

    Method ``"luv"``: the lightness L* of CIE LUV is closed with a disc, and where the closing is
    lighter than the image by more than `low`, connected (by sides and corners) to a pixel where
    it is lighter by more than `high`, there is hair. Components of fewer than `min_area` pixels are
    dropped. Masked pixels take the colour of the closing, channel by channel, of the RGB image with
    the same disc. It finds hair that is darker than the skin and narrower than the disc; it misses
    light and faint hair, and takes dark narrow structures for hair: ruler marks, ink, the lines of
    a coarse pigment network. Where hairs cross or lie closer than the disc is wide, the closing is
    dark itself and leaves blotches.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        method: One of `list_occlusion_methods`.
        return_mask: Whether to return the mask as well.
        options: For ``"luv"``: `radius` of the disc in pixels at `REFERENCE_SIZE`, above 0 and up
            to that (default 5; rounded up, so that hair of up to twice the radius is bridged in a
            small image too); `low` and `high`, steps of L*, 0..100, `low` not above `high`
            (defaults 8 and 14); `min_area` in pixels at `REFERENCE_SIZE`, 0 or more (default 120).

    Returns:
        Image of the same shape, or that image and its mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array, or `method` has no such option.
        ValueError: `image` is not RGB or smaller than the disc, or an option is out of range.

    References:
        Lee et al., DullRazor: a software approach to hair removal from images, Computers in Biology
        and Medicine 27(6), 1997, https://doi.org/10.1016/S0010-4825(97)00020-6, for closing and
        replacing; Canny, IEEE PAMI 8(6), 1986, https://doi.org/10.1109/TPAMI.1986.4767851, for the
        threshold with hysteresis.

    Examples:
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> clean, mask = occlusion_removal(image, method="luv", return_mask=True)
        >>> bool(mask[:, 30].all()), int(mask.sum()), int(clean.min())
        (True, 64, 200)
    """
    mask, radius = _run(image, method, options)
    clean = _fill(image, mask, radius)
    return (clean, mask) if return_mask else clean


def _run(image: Image, method: str, options: dict[str, float]) -> tuple[Mask, int]:
    check_choice(method, "method", list_occlusion_methods())
    check_image(image)
    find, defaults = _METHODS[method]
    unknown = [name for name in options if name not in defaults]
    if unknown:
        what = f"one of the options of {method!r}, {', '.join(defaults)}"
        raise TypeError(expected(unknown[0], what, "another name"))
    return find(image, **{**defaults, **options})


def _luv(
    image: Image, *, radius: float, low: float, high: float, min_area: float
) -> tuple[Mask, int]:
    check_number(radius, "radius", above=0, high=REFERENCE_SIZE)
    check_number(high, "high", low=0, high=100)
    check_number(low, "low", low=0, high=float(high))
    check_number(min_area, "min_area", low=0)
    scale = min(image.shape[:2]) / REFERENCE_SIZE
    pixels = math.ceil(radius * scale)
    if min(image.shape[:2]) < 2 * pixels + 1:
        what = f"at least {2 * pixels + 1} px on each side for a disc of radius {pixels} px"
        raise ValueError(expected("image", what, f"{image.shape[0]} x {image.shape[1]} px"))
    light = lightness(image)
    step = cv2.subtract(cv2.morphologyEx(light, cv2.MORPH_CLOSE, _disc(pixels)), light)
    weak = (step > low * STEPS_PER_UNIT).astype(np.uint8)
    strong: Mask = step > high * STEPS_PER_UNIT
    return _components(weak, strong, min_area * scale**2), pixels


def _components(weak: npt.NDArray[np.uint8], strong: Mask, min_area: float) -> Mask:
    """Keep the components of `weak` that hold a pixel of `strong` and are large enough."""
    count, component = cv2.connectedComponents(weak, connectivity=8, ltype=cv2.CV_32S)
    kept = np.zeros(count, dtype=np.bool_)
    kept[component[strong]] = True
    kept &= np.bincount(component.ravel(), minlength=count) >= min_area
    kept[0] = False
    mask: Mask = kept[component]
    return mask


def _fill(image: Image, mask: Mask, radius: int) -> Image:
    """Replace masked pixels by the closing, computed only around the mask."""
    clean = image.copy()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return clean
    # A closing looks two radii far
    margin = 2 * radius
    top, bottom = max(0, rows[0] - margin), rows[-1] + margin + 1
    left, right = max(0, columns[0] - margin), columns[-1] + margin + 1
    window = np.ascontiguousarray(image[top:bottom, left:right])
    closed = cv2.morphologyEx(window, cv2.MORPH_CLOSE, _disc(radius))
    inside = mask[top:bottom, left:right]
    clean[top:bottom, left:right][inside] = closed[inside]
    return clean


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    """Make the pixels whose centre is within `radius` of the centre of the middle one."""
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)


_Method = Callable[..., tuple[Mask, int]]
_METHODS: dict[str, tuple[_Method, dict[str, Any]]] = {
    "luv": (_luv, {"radius": 5, "low": 8, "high": 14, "min_area": 120}),
}

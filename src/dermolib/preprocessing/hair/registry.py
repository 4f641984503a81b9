"""Removal of hair and other thin occlusions: a method finds them, a fill replaces them.

Sizes are given for an image whose shorter side has `REFERENCE_SIZE` pixels and scale with the
shorter side of the image at hand: lengths in proportion, areas by its square.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, overload

import cv2
import numpy as np

from dermolib._validation import Image, Mask, check_choice, check_image, check_number, expected
from dermolib.preprocessing.hair.inpainting import fill_mask
from dermolib.preprocessing.hair.line import find_lines
from dermolib.preprocessing.hair.luv import (
    REFERENCE_SIZE,
    closing_fill,
    disc,
    find_luv,
    scaled_radius,
)
from dermolib.preprocessing.hair.unet import find_hair

__all__ = [
    "DEFAULT_METHOD",
    "REFERENCE_SIZE",
    "list_occlusion_methods",
    "margin_pixels",
    "method_options",
    "occlusion_mask",
    "occlusion_removal",
    "removal_options",
]

DEFAULT_METHOD = "unet"
"""Method that `occlusion_removal` uses when none is named: the best in ``benchmarks/hair.py``."""


# See the table of fills in benchmarks/README.md
_BEST_FILL = "pyramid"


def list_occlusion_methods() -> list[str]:
    """List the names that `method` takes.

    Returns:
        Names, sorted.

    Examples:
        >>> list_occlusion_methods()
        ['line', 'luv', 'unet']
    """
    return sorted(_METHODS)


def method_options(method: str, options: dict[str, float] | None = None) -> dict[str, float]:
    """Give all parameters of a method: those in `options`, and the defaults of the others.

    Args:
        method: One of `list_occlusion_methods`.
        options: Parameters that differ from the defaults.

    Returns:
        Value of each parameter by its name.

    Raises:
        TypeError: `method` has no such option.
        ValueError: `method` is unknown.

    Examples:
        >>> method_options("luv", {"radius": 7})
        {'radius': 7, 'low': 8, 'high': 14, 'min_area': 120}
    """
    check_choice(method, "method", list_occlusion_methods())
    defaults = _METHODS[method].defaults
    unknown = [name for name in options or {} if name not in defaults]
    if unknown:
        what = f"one of the options of {method!r}, {', '.join(defaults)}"
        raise TypeError(expected(unknown[0], what, "another name"))
    return {**defaults, **(options or {})}


def removal_options(method: str, options: dict[str, float] | None = None) -> dict[str, float]:
    """Give all parameters of a method when its mask is filled: edges of hair are taken along.

    Args:
        method: One of `list_occlusion_methods`.
        options: Parameters that differ from the defaults.

    Returns:
        Value of each parameter by its name.

    Raises:
        TypeError: `method` has no such option.
        ValueError: `method` is unknown.

    Examples:
        >>> method_options("unet")["threshold"], removal_options("unet")["threshold"]
        (0.3, 0.2)
    """
    complete = method_options(method, options)
    return {**complete, **_METHODS[method].when_filled, **(options or {})}


def occlusion_mask(image: Image, *, method: str = DEFAULT_METHOD, **options: float) -> Mask:
    """Find hair: True where a pixel is occluded. The image is not modified.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB. An image in BGR order cannot be told from
            one in RGB order; the mask would be slightly off.
        method: One of `list_occlusion_methods`.
        options: Parameters of the method, see `occlusion_removal`.

    Returns:
        Mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array, or `method` has no such option.
        ValueError: `image` is not RGB, or an option is out of range; for ``"luv"``, the image is
            smaller than the disc.
    """
    options = method_options(method, options)
    check_image(image)
    return _METHODS[method].find(np.ascontiguousarray(image), **options)


@overload
def occlusion_removal(
    image: Image,
    *,
    method: str = ...,
    fill: str | None = ...,
    margin: float = ...,
    return_mask: Literal[False] = ...,
    **options: float,
) -> Image: ...


@overload
def occlusion_removal(
    image: Image,
    *,
    method: str = ...,
    fill: str | None = ...,
    margin: float = ...,
    return_mask: Literal[True],
    **options: float,
) -> tuple[Image, Mask]: ...


def occlusion_removal(
    image: Image,
    *,
    method: str = DEFAULT_METHOD,
    fill: str | None = None,
    margin: float = 0,
    return_mask: bool = False,
    **options: float,
) -> Image | tuple[Image, Mask]:
    """Remove hair; pixels outside the mask stay bit-identical, and the input is not modified.

    Method ``"unet"`` (the default): a small network, trained on simulated hair and on hair that it
    found itself in real images (``scripts/train_hair_unet.py``). It finds dark, light and faint
    hair and leaves most rulers, bubbles, vessels and pigment networks alone. It looks at the image
    at about 512 pixels, so that hair much thinner than a pixel there is missed; bright fibres and
    scratches, and now and then a ruler's fine marks, are taken for hair. It runs in OpenCV and
    loads no torch.

    Method ``"line"``: what is thin across and long along, darker or lighter than what lies beside
    it, is hair; nothing is trained. It misses tightly curled and very short hair and hair of the
    colour beneath it, and takes a ruler's long line, pen strokes, straight vessels and the rim of
    gel for hair.

    Method ``"luv"``, that of the paper: the lightness L* of CIE LUV is closed with a disc, and
    where the closing is lighter than the image by more than `low`, connected (by sides and corners)
    to a pixel where it is lighter by more than `high`, there is hair. Components of fewer than
    `min_area` pixels are dropped. It finds hair that is darker than the skin and narrower than the
    disc; it misses light and faint hair, and takes dark narrow structures for hair: ruler marks,
    ink, the lines of a coarse pigment network. With its own fill, masked pixels take the colour of
    the closing of the RGB image with the same disc; where hairs cross or lie closer than the disc
    is wide, that is dark itself and leaves blotches.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        method: One of `list_occlusion_methods`.
        fill: What replaces masked pixels, one of `list_fills`; by default ``"closing"`` for
            ``"luv"``, as in the paper, and ``"pyramid"`` for the others.
        margin: Width in pixels at `REFERENCE_SIZE`, 0 or more, by which the mask is widened before
            it is filled. 0 replaces what was found and no more; 1 takes the blurred edges of hair
            along, which otherwise stay as a faint rim in large and sharp images.
        return_mask: Whether to return the mask as well: all that was replaced. With ``"unet"`` it
            is wider than that of `occlusion_mask`, since the edges of hair are taken along, from a
            `threshold` of 0.2 on.
        options: For ``"unet"``: `threshold`, the chance from which a pixel is hair, 0.001..0.999;
            `certain`, the chance that one pixel of each piece must reach; `min_area` of a piece.
            For ``"luv"``: `radius` of the disc in pixels, above 0 and up to `REFERENCE_SIZE`
            (rounded up, so that hair of up to twice the radius is bridged in a small image too);
            `low` and `high`, steps of L*, 0..100, `low` not above `high`; `min_area`. For
            ``"line"``: `low` and `high`, scores of a path, where 0 is what texture does by itself;
            `min_length` of a hair; `edge`, the share of its hair's contrast from which a pixel is
            hair, 0.05..0.95; `light`, the weight of lines lighter than their surroundings, 0..2.
            Lengths and areas are in pixels at `REFERENCE_SIZE`; `method_options` gives the
            defaults.

    Returns:
        Image of the same shape, or that image and its mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array, or `method` has no such option.
        ValueError: `image` is not RGB, `method` or `fill` is unknown, or an option is out of range;
            for ``"luv"``, the image is smaller than the disc.

    References:
        For ``"luv"``: Lee et al., DullRazor: a software approach to hair removal from images,
        Computers in Biology and Medicine 27(6), 1997,
        https://doi.org/10.1016/S0010-4825(97)00020-6, for closing and replacing; Canny, IEEE PAMI
        8(6), 1986, https://doi.org/10.1109/TPAMI.1986.4767851, for the threshold with hysteresis.
        For ``"unet"``: Ronneberger et al., U-Net, MICCAI 2015,
        https://doi.org/10.1007/978-3-319-24574-4_28.

    Examples:
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> clean, mask = occlusion_removal(image, method="luv", return_mask=True)
        >>> bool(mask[:, 30].all()), int(mask.sum()), int(clean.min())
        (True, 64, 200)
    """
    check_number(margin, "margin", low=0, high=REFERENCE_SIZE)
    options = removal_options(method, options)
    mask = occlusion_mask(image, method=method, **options)
    wider = margin_pixels(margin, image.shape)
    if wider and mask.any():
        mask = cv2.dilate(mask.view(np.uint8), disc(wider)).view(np.bool_)
    fill = fill or _METHODS[method].fill
    if method == "luv" and fill == "closing":
        clean = closing_fill(image, mask, scaled_radius(options["radius"], image.shape))
    else:
        clean = fill_mask(image, mask, fill=fill)
    return (clean, mask) if return_mask else clean


def margin_pixels(margin: float, shape: tuple[int, ...]) -> int:
    """Scale a margin to an image of a shape that begins with height and width, rounded.

    Args:
        margin: Width in pixels at `REFERENCE_SIZE`.
        shape: Height and width of the image, in pixels.

    Returns:
        Width in pixels of the image.

    Examples:
        >>> margin_pixels(1, (1024, 2048)), margin_pixels(1, (150, 200))
        (2, 0)
    """
    return round(margin * min(shape[:2]) / REFERENCE_SIZE)


@dataclass(frozen=True, slots=True)
class _Method:
    """A method: what finds hair, with which parameters, and what fills it unless told otherwise."""

    find: Callable[..., Mask]
    defaults: dict[str, float]
    fill: str
    when_filled: dict[str, float] = field(default_factory=dict)


_METHODS = {
    "luv": _Method(find_luv, {"radius": 5, "low": 8, "high": 14, "min_area": 120}, "closing"),
    "line": _Method(find_lines, dict(find_lines.__kwdefaults__ or {}), _BEST_FILL),
    "unet": _Method(
        find_hair,
        {"threshold": 0.3, "certain": 0.85, "min_area": 20},
        _BEST_FILL,
        {"threshold": 0.2},
    ),
}

"""Removal of hair and other thin occlusions: a method finds them, a fill replaces them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

import cv2
import numpy as np

from dermolib._validation import (
    Image,
    Mask,
    check_image,
    check_number,
    require,
    without_shape,
)
from dermolib.preprocessing.hair.closing import REFERENCE_SIDE, disk
from dermolib.preprocessing.hair.inpainting import FillChoice, check_fill, fill_with
from dermolib.preprocessing.hair.line import find_lines
from dermolib.preprocessing.hair.luv import find_luv
from dermolib.preprocessing.hair.unet import find_hair, find_hair_and_blur
from dermolib.preprocessing.methods import (
    MaskMethod,
    MethodChoice,
    check_parameters,
    json_value,
    pick_method,
)

__all__ = [
    "DEFAULT_METHOD",
    "HairMethod",
    "find_method",
    "list_occlusion_methods",
    "margin_pixels",
    "method_options",
    "occlusion_mask",
    "occlusion_removal",
    "register_hair_method",
]

DEFAULT_METHOD = "unet"  # the best in benchmarks/hair.py


@dataclass(frozen=True)
class HairMethod(MaskMethod):
    """A method that finds hair, and what fills it by default."""

    fill: FillChoice = "pyramid"
    fill_options: tuple[str, ...] = ()  # that the default fill takes as well
    wider: Callable[..., Mask] | None = None  # finds the blur beside hair as well

    def to_replace(self, image: Image, **options: Any) -> Mask:
        """Find what is replaced in an image."""
        if self.wider is None:
            return self(image, **options)
        return self.wider(np.ascontiguousarray(image), **options)

    def fingerprint(self) -> str:
        """Tell methods apart by name, foreign ones by their code and their fill too."""
        name = super().fingerprint()
        return name if self.own else f"{name} {json_value(self.fill)}"


_HERE = "dermolib.preprocessing.hair"
_METHODS = {
    method.name: method
    for method in (
        HairMethod("line", find_lines, own=True),
        HairMethod(
            "luv",
            find_luv,
            fill="closing",
            batch=f"{_HERE}.luv_torch:luv_masks",
            fill_options=("radius",),
            own=True,
        ),
        HairMethod(
            "unet",
            find_hair,
            batch=f"{_HERE}.unet_torch:unet_masks",
            wider=find_hair_and_blur,
            own=True,
        ),
    )
}


def register_hair_method(
    name: str,
    mask: Callable[..., Mask],
    *,
    batch: Callable[..., Any] | None = None,
    fill: FillChoice = "pyramid",
) -> None:
    """Make a method available by name, everywhere in this process; worker processes get it too.

    Args:
        name: Its name. One of your own methods may be replaced, none of the library.
        mask: Function from an image (H, W, 3), uint8 RGB, to the mask (H, W), bool, of what is
            hair. Its further parameters need defaults; they become options of the method.
        batch: Function from images (N, 3, H, W), a uint8 tensor on any device, to masks (N, H, W),
            a bool tensor on the same device, with the same options; `OcclusionRemoval` calls it.
            Without one, it calls `mask` image by image.
        fill: What replaces the hair unless asked otherwise, see `fill_mask`.

    Raises:
        TypeError: `name` is not a text, `mask` or `batch` not a function, or a further parameter of
            `mask` has no name or no default.
        ValueError: `name` is empty or belongs to the library, or `fill` is unknown.

    Examples:
        >>> def dark(image, *, level=60):
        ...     return image.max(axis=2) < level
        >>> register_hair_method("dark", dark)
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> int(occlusion_mask(image, method="dark").sum()), method_options("dark")
        (64, {'level': 60})
    """
    require(isinstance(name, str), "name", "a text", f"{name!r}", error=TypeError)
    own = name in _METHODS and _METHODS[name].own
    what = "a name that the library does not use, and not empty"
    require(name.strip() and not own, "name", what, f"{name!r}")
    functions = {"mask": mask} if batch is None else {"mask": mask, "batch": batch}
    for argument, function in functions.items():
        got = f"an object of type {type(function).__name__}"
        require(callable(function), argument, "a function", got, error=TypeError)
    check_parameters(mask, "mask")
    check_fill(fill)
    _METHODS[name] = HairMethod(name, mask, batch, fill=fill)


def find_method(method: MethodChoice) -> HairMethod:
    """Find a method by its name, or make one of a function."""
    return pick_method(method, _METHODS, HairMethod)


def list_occlusion_methods() -> list[str]:
    """List the names that `method` takes.

    Returns:
        Names, sorted; those of `register_hair_method` as well.

    Examples:
        >>> {"line", "luv", "unet"} <= set(list_occlusion_methods())
        True
    """
    return sorted(_METHODS)


def method_options(
    method: MethodChoice, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give all options of a method: those in `options`, and the defaults of the others.

    Args:
        method: One of `list_occlusion_methods`, or a function.
        options: Options that differ from the defaults.

    Returns:
        Value of each option by its name.

    Raises:
        TypeError: `method` has no such option.
        ValueError: `method` is unknown.

    Examples:
        >>> method_options("luv", {"radius": 7})
        {'radius': 7, 'low': 8, 'high': 14, 'min_area': 120}
    """
    return find_method(method).options(options or {})


def occlusion_mask(image: Image, *, method: MethodChoice = DEFAULT_METHOD, **options: Any) -> Mask:
    """Find hair: True where a pixel is occluded. The image is not modified.

    Memory: about 5 bytes per pixel beside the image; up to 20 for ``"luv"`` in pure noise.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB. An image in BGR order cannot be told from
            one in RGB order; the mask would be slightly off.
        method: See `occlusion_removal`.
        options: Options of the method, see `occlusion_removal`.

    Returns:
        Mask (H, W), bool.

    Raises:
        RuntimeError: A function fails.
        TypeError: `image` is not a uint8 array, `method` has no such option, or a function does not
            return a bool array.
        ValueError: `image` is not RGB, `method` is unknown, an option is out of range, a function
            returns another shape or writes into the image, or, for ``"luv"``, the image is smaller
            than the disk.
    """
    chosen = find_method(method)
    complete = chosen.options(options)
    return chosen(check_image(image), **complete)


@overload
def occlusion_removal(
    image: Image,
    *,
    method: MethodChoice = ...,
    fill: FillChoice | None = ...,
    margin: float = ...,
    return_mask: Literal[False] = ...,
    **options: Any,
) -> Image: ...


@overload
def occlusion_removal(
    image: Image,
    *,
    method: MethodChoice = ...,
    fill: FillChoice | None = ...,
    margin: float = ...,
    return_mask: Literal[True],
    **options: Any,
) -> tuple[Image, Mask]: ...


@overload
def occlusion_removal(
    image: Image,
    *,
    method: MethodChoice = ...,
    fill: FillChoice | None = ...,
    margin: float = ...,
    return_mask: bool,
    **options: Any,
) -> Image | tuple[Image, Mask]: ...


def occlusion_removal(
    image: Image,
    *,
    method: MethodChoice = DEFAULT_METHOD,
    fill: FillChoice | None = None,
    margin: float = 0,
    return_mask: bool = False,
    **options: Any,
) -> Image | tuple[Image, Mask]:
    """Remove hair; pixels outside the mask stay bit-identical, and the input is not modified.

    Memory: about 11 bytes per pixel beside the image; for ``"telea"`` and ``"navier_stokes"`` 16.
    Time grows with the pixels, for ``"luv"`` above 8,000 px on each side faster (five times as long
    a pixel at 16,000 px), and with the square of a `margin` in pixels.

    Method ``"unet"``, the default: a small network, trained on simulated hair and on hair that it
    found itself in real images (``scripts/train_hair_unet.py``). It finds dark, light and faint
    hair and leaves most rulers, bubbles, vessels and pigment networks alone. It sees the image at
    about 512 pixels, so that it misses hair much thinner than a pixel there. Where there may be
    hair, the pixels at full size decide: one that differs more from what surrounds the hair needs
    less of a probability, so that visible edges are hair and pixels like the skin are not. In an
    image of which 0.1 % is hair for sure, less sure hair is hair too. It takes bright fibers and
    scratches, and sometimes a ruler's fine marks, for hair. It runs in OpenCV, without torch.

    Method ``"line"``: what is thin across and long along, darker or lighter than what lies beside
    it, is hair; nothing is trained. It misses tightly curled, very short and very wide hair and
    hair of the color beneath it, and takes a ruler's long line, pen strokes, straight vessels and
    scratches, the rim of gel and the ridges of palms and soles for hair.

    Method ``"luv"``, that of the paper: the lightness L* of CIE LUV, in 256 steps, is closed with a
    disk. Where the closing is lighter than the image by more than `low`, connected (by sides and
    corners) to a pixel where it is lighter by more than `high`, there is hair. Components of fewer
    than `min_area` pixels are dropped. It finds hair that is darker than the skin and narrower than
    the disk. It misses light and faint hair, and takes ruler marks, ink and the lines of a coarse
    pigment network for hair. With its own fill, masked pixels take the color of the closing of the
    RGB image with the same disk, which is dark itself where hairs cross or lie close together.

    Lengths and areas are in pixels of an image whose shorter side has 512, and scale with the
    shorter side of the image at hand: lengths in proportion, areas by its square.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        method: One of `list_occlusion_methods`, or a function from image to mask (H, W), bool; see
            `register_hair_method`.
        fill: What replaces masked pixels, see `fill_mask`; by default ``"closing"`` for ``"luv"``,
            as in the paper, and ``"pyramid"`` for the others.
        margin: Length by which the mask is dilated before it is filled, 0..512. 0 replaces what was
            found and no more; 1 includes the blurred edges of hair, which otherwise stay as a
            faint rim for ``"luv"`` and ``"line"`` in large and sharp images.
        return_mask: Whether to return the mask as well: all that was replaced. With ``"unet"``, in
            images whose shorter side is above 640 pixels, that is more than `occlusion_mask` finds:
            the blur and the color fringes beside hair too, as far as they show.
        options: For ``"unet"``: `threshold`, the probability from which a pixel is hair that
            differs by 16 levels from what surrounds the hair, 0.001..0.999; `certain`, the
            probability that one pixel of each component must reach; `min_area` of a component.
            For ``"luv"``: `radius` of the disk, above 0 and up to 512
            (rounded up, so that hair of up to twice the radius is bridged in a small image too);
            `low` and `high`, steps of L*, 0..100, `low` not above `high`; `min_area`. For
            ``"line"``: `low` and `high`, scores of a path of about 200 pixels, where 0 is what
            texture does by itself, 0..3, `low` not above `high`; `min_length` of a hair; `edge`,
            the fraction of its hair's contrast from which a pixel is hair, 0.05..0.95; `light`, the
            weight of lines lighter than their surroundings, 0..2. `method_options` gives the
            defaults.

    Returns:
        Image of the same shape, or that image and its mask (H, W), bool.

    Raises:
        RuntimeError: A function fails.
        TypeError: `image` is not a uint8 array, `method` has no such option, or a function does not
            return an array of the right type.
        ValueError: `image` is not RGB, `method` or `fill` is unknown, an option is out of range, a
            function returns another shape or writes into what it is given, or, for ``"luv"``, the
            image is smaller than the disk.

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
    check_number(margin, "margin", low=0, high=REFERENCE_SIDE)
    chosen = find_method(method)
    fill = chosen.fill if fill is None else fill
    check_fill(fill)
    complete = chosen.options(without_shape(options, image))
    mask = chosen.to_replace(check_image(image), **complete)
    wider = margin_pixels(margin, image.shape)
    if wider and mask.any():
        mask = cv2.dilate(mask.view(np.uint8), disk(wider)).view(np.bool_)
    clean = fill_with(fill, image, mask, **sizes_of(chosen, fill, complete))
    return (clean, mask) if return_mask else clean


def sizes_of(method: HairMethod, fill: FillChoice, options: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the options that a method's own fill takes as well."""
    return {name: options[name] for name in method.fill_options if fill == method.fill}


def margin_pixels(margin: float, shape: tuple[int, ...]) -> int:
    """Scale a margin to an image (H, W, ...), rounded."""
    return round(margin * min(shape[:2]) / REFERENCE_SIDE)

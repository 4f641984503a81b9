"""What the values of pixels mean: their depth, and which of them are lesion."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Mask, require

__all__ = ["as_mask", "eight_bits"]

_FEW = 8  # more values than that are soft edges, fewer are classes
_DARK, _HALF, _BRIGHT = 32, 128, 224  # of 0..255
_HINT = "Write the lesion as 255 and all else as 0."


def eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Bring 16-bit values to 8 bits; 8-bit values are returned as they are.

    The largest value says how many of the 16 bits a camera used: up to 255 the values are of 8 bits
    and stay, up to 4095 they are of 12 bits, else of 16; the upper eight bits are kept.

    Examples:
        >>> [eight_bits(np.uint16([0, top])).tolist() for top in (255, 4095, 65535)]
        [[0, 255], [0, 255], [0, 255]]
    """
    if values.dtype == np.uint8:
        return values
    top = values.max(initial=0)
    shift = 0 if top <= 255 else 4 if top <= 4095 else 8
    return (values >> shift).astype(np.uint8)


def as_mask(values: npt.NDArray[Any], name: str = "mask", *, lossy: bool = False) -> Mask:
    """Find the lesion in the values of a mask, of whatever depth and color: one rule for all masks.

    1. Black, or 0, is background, and what has the one other value or color is lesion: 1, 255 or
       65535, white or red. Which one does not matter.
    2. Three to eight values or colors are classes, of which nobody knows which are lesion: refused,
       unless all grays between 0 and the largest are a thin edge (nowhere 2 x 2 pixels of one
       value, and at most half as many as of the largest), as of a mask that was halved.
    3. Such an edge and more values are soft edges, as of a mask that was resized or is a JPEG:
       lesion is what is at least half bright in its brightest channel. Refused where no pixel is,
       or where more pixels are gray than black or more than a quarter: that is an image.
    4. A transparent pixel is background. Where all that is visible has one color, the opacity is
       the mask; where the opacity is the same everywhere, it means nothing.

    Args:
        values: Values (H, W), (H, W, 1), gray and alpha (H, W, 2), RGB (H, W, 3) or RGBA (H, W, 4)
            of 8 or 16 bits; values (H, W) may have any dtype, and are read by the first rule alone
            where it has more.
        name: What they are called in errors.
        lossy: Whether values differ from what was meant, as in a JPEG: then the third rule is the
            only one for colors.

    Returns:
        Mask (H, W), bool.

    Raises:
        ValueError: The shape is that of no mask, or the rules refuse the values.

    Examples:
        >>> as_mask(np.uint16([[0, 1]])).tolist(), as_mask(np.uint8([[0, 90]])).tolist()
        ([[False, True]], [[False, True]])
        >>> as_mask(np.uint8([[0, 1, 2]]))
        Traceback (most recent call last):
        ValueError: Expected `mask` to be a mask of 0 and one other value, but got 0, 1, 2. ...
    """
    several = values.ndim == 3 and 1 <= values.shape[2] <= 4
    fits = values.ndim == 2 or (several and values.dtype in (np.bool_, np.uint8, np.uint16))
    got = f"shape {values.shape} of dtype {values.dtype}"
    require(fits, name, "a mask (H, W), or one in color (H, W, C) of 8 or 16 bits", got)
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    colors = _without_alpha(values[..., None] if values.ndim == 2 else values)
    codes = _codes(colors)
    found = _distinct(codes)
    if lossy or len(found) > _FEW or (len(found) > 2 and _has_thin_edge(colors, len(found))):
        return _bright_half(colors.max(axis=2), name)
    shown = ", ".join(_shown(code, colors) for code in sorted(found))
    kind = "value" if colors.shape[2] == 1 else "color"
    one = len(found) <= 1 + (0 in found)
    require(one, name, f"a mask of 0 and one other {kind}", shown, _HINT)
    mask: Mask = codes != 0
    return mask


def _without_alpha(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Apply the rule of transparency, and keep one channel (H, W, 1) of what is gray."""
    if values.shape[2] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1:]
        if len(_distinct(alpha, 1)) > 1:
            visible = _codes(values)[alpha[..., 0] > 0]
            one = len(_distinct(visible, 1)) == 1
            values = alpha if one else values * (alpha / alpha.max())
            values = values.astype(alpha.dtype, copy=False)
    gray = values.shape[2] == 3 and (values[..., :1] == values[..., 1:]).all()
    return values[..., :1] if gray else values


def _codes(colors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Number the colors (H, W), 0 for black."""
    if colors.shape[2] == 1:
        return colors[..., 0]
    bits = 8 * colors.dtype.itemsize
    codes: Any = colors[..., 0].astype(np.int32 if bits == 8 else np.int64)
    for channel in (1, 2):
        codes <<= bits
        codes |= colors[..., channel]
    return np.asarray(codes)


def _distinct(codes: npt.NDArray[Any], most: int = _FEW) -> list[Any]:
    """List the values, and of more than `most` some."""
    if codes.dtype in (np.uint8, np.uint16):
        count = np.iinfo(codes.dtype).max + 1
        counts = cv2.calcHist([np.ascontiguousarray(codes)], [0], None, [count], [0, count])
        return list(np.flatnonzero(counts)[: most + 1].tolist())
    found, rest = list[Any](), codes.reshape(-1)
    while rest.size and len(found) <= most:
        found.append(rest[0].item())
        rest = rest[rest != rest[0]]
    return found


def _has_thin_edge(colors: npt.NDArray[Any], count: int) -> bool:
    """Tell whether what is between black and the brightest of `count` colors lies in lines."""
    levels = colors.max(axis=2)
    found = _distinct(levels)
    between = (levels != 0) & (levels != max(found))
    equal = (levels[1:] == levels[:-1]) & between[1:]
    blocks = equal[:, 1:] & equal[:, :-1] & (levels[1:, 1:] == levels[1:, :-1])
    few = np.count_nonzero(between) <= np.count_nonzero(levels == max(found)) / 2
    return bool(len(found) == count and 0 in found and few and not blocks.any())


def _shown(code: Any, colors: npt.NDArray[Any]) -> str:
    if colors.shape[2] == 1:
        return f"{code:g}"
    bits = 8 * colors.dtype.itemsize
    channels = (code >> bits * place & (1 << bits) - 1 for place in (2, 1, 0))
    return f"({' '.join(map(str, channels))})"


def _bright_half(values: npt.NDArray[Any], name: str) -> Mask:
    known = values.dtype in (np.uint8, np.uint16)
    got = f"more than {_FEW} values of {values.dtype.itemsize * 8} bits"
    require(known, name, "a mask of 0 and one other value", got, _HINT)
    levels = eight_bits(values)
    mask: Mask = levels >= _HALF
    got = f"values up to {levels.max(initial=0)} of 255"
    require(mask.any() or not levels.any(), name, "a mask that is bright in places", got, _HINT)
    dark = int(np.count_nonzero(levels < _DARK))
    between = mask.size - dark - int(np.count_nonzero(levels >= _BRIGHT))
    what = "a mask of a bright lesion on black"
    got = f"one of which {between / max(mask.size, 1):.0%} is neither"
    require(between <= min(dark, mask.size / 4), name, what, got, _HINT)
    return mask

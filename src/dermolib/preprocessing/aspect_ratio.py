"""Images of another aspect ratio than the wanted size: squeezed, padded, or cropped.

An image is resized to an inner size, in which it fills the wanted one, fits into it, or covers it,
and is then padded or cropped evenly around its center.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import require
from dermolib.io import MAX_PIXELS

__all__ = ["FITS", "PADDING", "center", "inner_size"]

FITS = ("squeeze", "pad", "crop")
"""Ways to bring an image to a size of another aspect ratio."""

PADDING = (124, 116, 104)
"""Color of what is padded, uint8: the mean of ImageNet, which is 0 once it is normalized.

It has no edge as sharp as that of black, which looks like the border of a dermoscope, and unlike
reflected skin it shows no second lesion beside a mask that is False there.
"""


def inner_size(shape: tuple[int, ...], size: tuple[int, int], fit: str) -> tuple[int, int]:
    """Compute the size to which an image is resized before it is padded or cropped to `size`.

    Args:
        shape: Height and width of the image, in px.
        size: Height and width wanted.
        fit: One of `FITS`.

    Returns:
        Height and width: `size` itself, the largest within it, or the smallest that covers it.

    Raises:
        ValueError: What covers `size` would have more than `dermolib.io.MAX_PIXELS` pixels.

    Examples:
        >>> [inner_size((150, 200), (224, 224), fit) for fit in FITS]
        [(224, 224), (168, 224), (224, 299)]
    """
    if fit == "squeeze":
        return size
    height, width = shape[:2]
    scale = (min if fit == "pad" else max)(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    what = f"of an aspect ratio nearer to {size[0]} x {size[1]} px"
    got, hint = f"{height} x {width} px", 'Pass `fit="pad"`.'
    require(inner[0] * inner[1] <= MAX_PIXELS, "image", what, got, hint)
    return inner


def center(array: npt.NDArray[Any], size: tuple[int, int], fill: Any) -> npt.NDArray[Any]:
    """Crop or pad an array (H, W, ...) evenly to a height and width.

    Of an odd number of lines, the last one more is cropped or padded. An array of that size is
    returned as it is, the same object.

    Examples:
        >>> center(np.ones((1, 4), np.uint8), (2, 2), 0).tolist()
        [[1, 1], [0, 0]]
    """
    if array.shape[:2] == size:
        return array
    made = np.empty((*size, *array.shape[2:]), array.dtype)
    made[:] = fill
    to, of = zip(*map(_overlap, size, array.shape[:2]), strict=True)
    made[to] = array[of]
    return made


def _overlap(wanted: int, side: int) -> tuple[slice, slice]:
    """Find the lines of the result, and those of the array, that lie on each other."""
    length = min(wanted, side)
    to, of = (wanted - length) // 2, (side - length) // 2
    return slice(to, to + length), slice(of, of + length)

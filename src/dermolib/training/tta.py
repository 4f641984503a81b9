"""Test-time augmentation: the views of a batch of images whose probabilities are averaged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dermolib._validation import check_choice, require
from dermolib.training.batches import form

__all__ = ["TTA", "View", "Views", "make_views"]

View: TypeAlias = Callable[[Tensor], Tensor]
"""A function of images (N, 3, H, W) that returns as many of the same size."""

Views: TypeAlias = Callable[[Tensor], Iterator[Tensor]]
"""A function of images (N, 3, H, W) that gives their views one after another."""

_CROP = 7 / 8
_SCALES = (7 / 8, 3 / 4)


def _flips(images: Tensor) -> Iterator[Tensor]:
    """Give the images, mirrored in both directions, and turned by 180 degrees."""
    yield images
    yield images.flip(3)
    yield images.flip(2)
    yield images.flip(2, 3)


def _dihedral(images: Tensor) -> Iterator[Tensor]:
    """Give the eight symmetries of a square; of other images, the four that keep their size."""
    yield from _flips(images)
    if images.shape[2] == images.shape[3]:
        yield from _flips(images.transpose(2, 3))


def _crops(images: Tensor) -> Iterator[Tensor]:
    """Give the images, the windows at their four corners, and that at their center."""
    yield images
    height, width = (round(_CROP * size) for size in images.shape[2:])
    down, right = images.shape[2] - height, images.shape[3] - width
    for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
        yield _enlarged(images, top, left, height, width)


def _scales(images: Tensor) -> Iterator[Tensor]:
    """Give the images, and windows at their center, which enlarge what lies there."""
    yield images
    for scale in _SCALES:
        height, width = (round(scale * size) for size in images.shape[2:])
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        yield _enlarged(images, top, left, height, width)


TTA: Mapping[str, Views] = {
    "flips": _flips,
    "dihedral": _dihedral,
    "crops": _crops,
    "scales": _scales,
}
"""Views by name, each with the images themselves as the first.

- ``"flips"``: mirrored in either direction and in both, 4 views.
- ``"dihedral"``: the eight symmetries of a square, 8 views; images that are not square keep their
  size only as in ``"flips"``, which are taken for them.
- ``"crops"``: the windows of 7/8 of height and width at the four corners and the center, enlarged
  to the size of the images, 6 views.
- ``"scales"``: the windows of 7/8 and 3/4 of height and width at the center, enlarged likewise, 3
  views.
"""


def make_views(tta: "str | View | Sequence[View] | None") -> Views:
    """Make the function that gives the views of images.

    Args:
        tta: None gives the images alone; a name those of `TTA`; a function or a list of functions
            of images (N, 3, H, W) gives the images and then what each function returns of them, as
            many images of the same size.

    Raises:
        TypeError: It is neither.
        ValueError: There is no such name, or a function returns something else.

    Examples:
        >>> images = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> [view.flatten().tolist() for view in make_views("flips")(images)]
        [[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 3.0, 2.0], [2.0, 3.0, 0.0, 1.0], [3.0, 2.0, 1.0, 0.0]]
    """
    if isinstance(tta, str):
        check_choice(tta, "tta", TTA)
        return TTA[tta]
    functions: list[Any] = (
        [] if tta is None else [*tta] if isinstance(tta, (list, tuple)) else [tta]
    )
    what = f"one of {', '.join(map(repr, TTA))}, a function of images, a list of functions or None"
    fits = all(map(callable, functions)) and tta not in ([], ())
    require(fits, "tta", what, repr(tta), error=TypeError)

    def views(images: Tensor) -> Iterator[Tensor]:
        yield images
        for function in functions:
            yield _checked(function(images), images)

    return views


def _enlarged(images: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Enlarge a window to the size of the images."""
    window = images[:, :, top : top + height, left : left + width]
    size = tuple(images.shape[2:])
    return interpolate(window, size=size, mode="bilinear", align_corners=False)


def _checked(view: Any, images: Tensor) -> Tensor:
    """Refuse what a function returned that is no view of the images."""
    what = f"functions that return images {tuple(images.shape)} of dtype {images.dtype}"
    fits = isinstance(view, Tensor) and view.shape == images.shape and view.dtype == images.dtype
    require(fits, "tta", what, form(view))
    return torch.as_tensor(view)

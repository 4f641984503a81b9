"""Recipes of the presets: which transforms in which order, with which ranges and probabilities.

``docs/augmentation.md`` shows them as tables. `strong` is what the winners of ISIC challenges use,
in ranges that keep the lesion; `paper` the list of the AlexNet paper; `light` the fast one: one
warp instead of three, lookup tables instead of filters; `evaluation` has nothing random.

Lengths in pixels hold at 224 px and scale with the image between 56 and 1024 px.

References:
    The list of `paper` is that of the SIIM-ISIC 2020 winners, Ha et al., Identifying melanoma
    images using EfficientNet ensemble, 2020, https://doi.org/10.48550/arXiv.2010.05351; the second
    place of ISIC 2024 took it over, https://github.com/uchiyama33/isic-2024-2nd-place. Their ranges
    are wider (distortions up to 1.0, one hole of up to 37.5 % of the side, probabilities up to
    0.85). `strong` adds what the winners of ISIC 2019 did, Gessert et al., 2020,
    https://doi.org/10.1016/j.mex.2020.100864 (color constancy, full rotation, 80..120 %, a shear
    of 10 degrees, random resized crops), and JPEG as the fourth place of ISIC 2024 did,
    https://github.com/dungnb1333/ISIC-2024.

    Buslaev et al., Albumentations, Information 11(2), 2020, https://doi.org/10.3390/info11020125;
    DeVries and Taylor, Cutout, 2017, https://doi.org/10.48550/arXiv.1708.04552.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2

from dermolib.augmentation.transforms import (
    Affine,
    ElasticTransform,
    GridDistortion,
    OpticalDistortion,
    RandomShadesOfGray,
    Rotate,
    Transpose,
)
from dermolib.models.settings import IMAGENET_MEAN

__all__ = ["HOLE", "RECIPES", "REFERENCE_SIZE", "keeps_every_pixel"]

REFERENCE_SIZE = 224
"""Side in px at which the lengths in the tables hold."""

SCALED_SIZES = (56, 1024)
"""Sides between which lengths scale: smaller kernels vanish, larger ones are slow."""

HOLE = tuple(round(255 * mean) for mean in IMAGENET_MEAN)
"""Color of the holes of a cutout, uint8: the mean of ImageNet, however images are normalized."""

_BORDER = cv2.BORDER_REFLECT_101
_LARGEST_MEDIAN = 5  # px; OpenCV takes ten times as long for a larger one
_Range: TypeAlias = tuple[float, float]
_Recipe: TypeAlias = Callable[[int, bool], list[Any]]


def keeps_every_pixel(step: Any) -> bool:
    """Tell whether a transform leaves all of the image visible, each pixel once."""
    if isinstance(step, A.OneOf):
        return all(map(keeps_every_pixel, step.transforms))
    symmetries = (A.Transpose, A.HorizontalFlip, A.VerticalFlip)
    return isinstance(step, (A.ImageOnlyTransform, *symmetries))


def _strong(side: int, keep_size: bool) -> list[Any]:
    r = _ratio(side)
    return [
        A.CropAndPad(percent=(-0.1, 0.0), keep_size=keep_size, p=0.7),
        *_symmetries(),
        _distortion(r, lens=0.5, grid=0.4, elastic=2.5, p=0.6),
        _affine(scale=(0.8, 1.2), shift=0.1, rotate=180, shear=10, p=0.85),
        RandomShadesOfGray(strength=(0.0, 1.0), norm=6, p=0.5),
        _brightness((-0.25, 0.1), (-0.25, 0.2), p=0.75),
        A.CLAHE(clip_limit=(1, 4), tile_grid_size=(8, 8), p=0.5),
        _hsv(10, 35, 12, p=0.7),
        _filter(r, motion=9, sigma=2, noise=0.04, jpeg=(50, 90), p=0.7),
        _cutout((1, 2), (0.1, 0.22), p=0.7),
    ]


def _paper(side: int, _keep_size: bool) -> list[Any]:
    r = _ratio(side)
    return [
        *_symmetries(),
        _distortion(r, lens=0.4, grid=0.3, elastic=1.8, p=0.5),
        Rotate(limit=(-45, 45), border_mode=_BORDER, p=0.5),
        _affine(scale=(0.9, 1.1), shift=0.1, rotate=15, p=0.7),
        _brightness((-0.2, 0.1), (-0.2, 0.15), p=0.7),
        A.CLAHE(clip_limit=(1, 3), tile_grid_size=(8, 8), p=0.4),
        _hsv(8, 20, 10, p=0.5),
        _filter(r, motion=7, sigma=1.5, noise=0.025, p=0.5),
        _cutout((1, 3), (0.08, 0.18), p=0.5),
    ]


def _light(_side: int, _keep_size: bool) -> list[Any]:
    return [
        *_symmetries(),
        _affine(scale=(0.9, 1.1), shift=0.05, rotate=45, shear=5, p=0.5),
        _brightness((-0.1, 0.1), (-0.1, 0.1), by_max=True, p=0.5),
        A.MultiplicativeNoise(multiplier=(0.93, 1.07), per_channel=True, p=0.5),
    ]


RECIPES: dict[str, _Recipe] = {
    "strong": _strong,
    "paper": _paper,
    "light": _light,
    "evaluation": lambda _side, _keep_size: [],
}
"""Name of a preset to its recipe, strongest first: crops come first, holes last.

A recipe takes the side in px that lengths scale with, and whether each image keeps its size.
"""


def _symmetries() -> list[Any]:
    """Make all eight symmetries equally likely."""
    return [Transpose(p=0.5), A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]


def _distortion(r: float, *, lens: float, grid: float, elastic: float, p: float) -> Any:
    return A.OneOf(
        [
            OpticalDistortion(distort_limit=(-lens, lens), border_mode=_BORDER),
            GridDistortion(num_steps=5, distort_limit=(-grid, grid), border_mode=_BORDER),
            ElasticTransform(displacement=elastic * r, sigma=8 * r),
        ],
        p=p,
    )


def _affine(*, scale: _Range, shift: float, rotate: float, shear: float = 0, p: float) -> Any:
    return Affine(
        scale=scale,
        translate_percent=(-shift, shift),
        rotate=(-rotate, rotate),
        shear=(-shear, shear),
        keep_ratio=True,
        border_mode=_BORDER,
        p=p,
    )


def _brightness(brightness: _Range, contrast: _Range, *, by_max: bool = False, p: float) -> Any:
    return A.RandomBrightnessContrast(
        brightness_limit=brightness, contrast_limit=contrast, brightness_by_max=by_max, p=p
    )


def _hsv(hue: int, saturation: int, value: int, *, p: float) -> Any:
    limits = {"hue_shift_limit": hue, "sat_shift_limit": saturation, "val_shift_limit": value}
    return A.HueSaturationValue(**{name: (-most, most) for name, most in limits.items()}, p=p)


def _filter(
    r: float, *, motion: float, sigma: float, noise: float, jpeg: Any = None, p: float
) -> Any:
    """Choose one blur, noise or, where a range of qualities is given, JPEG."""
    steps = [
        A.MotionBlur(blur_limit=(3, _odd(motion * r))),
        A.MedianBlur(blur_limit=(3, min(_odd(5 * r), _LARGEST_MEDIAN))),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.5 * r, sigma * r)),
        A.GaussNoise(std_range=(0.01, noise)),
    ]
    return A.OneOf(steps + ([A.ImageCompression(quality_range=jpeg)] if jpeg else []), p=p)


def _cutout(holes: tuple[int, int], size: _Range, *, p: float) -> Any:
    return A.CoarseDropout(
        num_holes_range=holes, hole_height_range=size, hole_width_range=size, fill=HOLE, p=p
    )


def _ratio(side: int) -> float:
    low, high = SCALED_SIZES
    return min(max(side, low), high) / REFERENCE_SIZE


def _odd(length: float) -> int:
    return max(3, 2 * round((length - 1) / 2) + 1)

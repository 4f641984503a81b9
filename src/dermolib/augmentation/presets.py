"""Named presets of random transforms: an image, and its lesion mask, in; another draw of it out.

Every preset first brings the image to `image_size` (by area when it shrinks), so that no transform
ever works on more pixels than the network sees, then applies its random transforms, and last
normalises with the mean and standard deviation of ImageNet.

Preset ``"paper"``, the list of the AlexNet paper, in the order in which it is applied:

============================== ==== ==============================================================
Transform                      p    Range
============================== ==== ==============================================================
Transpose                      0.5  with the two flips: all eight symmetries alike
HorizontalFlip, VerticalFlip   0.5
one of three distortions       0.5
  OpticalDistortion                 coefficient -0.4..0.4
  GridDistortion                    5 steps, each stretched by -30..30 %
  ElasticTransform                  sigma 8 px, about 1.8 px of displacement (standard deviation)
Rotate                         0.5  -45..45 degrees
Affine (shift, scale, rotate)  0.7  -10..10 % of the side, 90..110 %, -15..15 degrees
RandomBrightnessContrast       0.7  brightness -20..10 % of the mean, contrast -20..15 %
CLAHE                          0.4  clip limit 1..3, 8 x 8 tiles
HueSaturationValue             0.5  -8..8 (of 180), -20..20, -10..10 (of 255)
one of four                    0.5
  MotionBlur                        3..7 px
  MedianBlur                        3..5 px
  GaussianBlur                      sigma 0.5..1.5 px
  GaussNoise                        standard deviation 1..2.5 % of 255
CoarseDropout (cutout)         0.5  1..3 holes of 8..18 % of the side, filled with ImageNet's mean
============================== ==== ==============================================================

Lengths in pixels hold at 224 px and go with `image_size` from 56 to 1024 px. What a warp uncovers
is filled by reflection, never with black. A hole of the cutout hides skin or lesion from the
network and leaves the mask as it is: it says where the lesion lies, not what is visible of it.

Preset ``"light"``: HorizontalFlip and VerticalFlip at 0.5 each, RandomRotate90 always (quarter
turns, no turn among them), RandomBrightnessContrast at 0.5 with -10..10 % each.

Preset ``"evaluation"``: nothing random.

References:
    The list is that of the SIIM-ISIC 2020 winners, Ha et al., Identifying melanoma images using
    EfficientNet ensemble, 2020, https://doi.org/10.48550/arXiv.2010.05351. Their ranges are wider
    (distortions up to 1.0, one hole of up to 37.5 % of the side); here the lesion must survive.
    Buslaev et al., Albumentations, Information 11(2), 2020, https://doi.org/10.3390/info11020125;
    DeVries and Taylor, Cutout, 2017, https://doi.org/10.48550/arXiv.1708.04552.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt

from dermolib._checks import check_choice, check_image, check_mask, check_number, expected, listed
from dermolib._types import Image, Mask

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preset", "list_presets", "preset"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet, red, green, blue, in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet, red, green, blue, in [0, 1]."""

SMALLEST = 16
_REFERENCE = 224  # side in px at which the lengths in the table hold
_LENGTHS = (56, 1024)  # sides: below, kernels vanish; above, an elastic transform takes seconds
_BORDER = cv2.BORDER_REFLECT_101
_ALWAYS = {"Resize", "Normalize", "ToTensorV2"}
_FILL = tuple(round(255 * mean) for mean in IMAGENET_MEAN)


def _odd(length: float) -> int:
    return max(3, 2 * round((length - 1) / 2) + 1)


def _paper(side: int) -> list[Any]:
    r = min(max(side, _LENGTHS[0]), _LENGTHS[1]) / _REFERENCE
    return [
        A.Transpose(p=0.5),
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        A.OneOf(
            [
                A.OpticalDistortion(distort_limit=(-0.4, 0.4), border_mode=_BORDER),
                A.GridDistortion(num_steps=5, distort_limit=(-0.3, 0.3), border_mode=_BORDER),
                A.ElasticTransform(alpha=220 * r * r, sigma=8 * r, border_mode=_BORDER),
            ],
            p=0.5,
        ),
        A.Rotate(limit=(-45, 45), border_mode=_BORDER, p=0.5),
        A.Affine(
            scale=(0.9, 1.1),
            translate_percent=(-0.1, 0.1),
            rotate=(-15, 15),
            keep_ratio=True,
            border_mode=_BORDER,
            p=0.7,
        ),
        A.RandomBrightnessContrast(
            brightness_limit=(-0.2, 0.1),
            contrast_limit=(-0.2, 0.15),
            brightness_by_max=False,
            p=0.7,
        ),
        A.CLAHE(clip_limit=(1, 3), tile_grid_size=(8, 8), p=0.4),
        A.HueSaturationValue(
            hue_shift_limit=(-8, 8), sat_shift_limit=(-20, 20), val_shift_limit=(-10, 10), p=0.5
        ),
        A.OneOf(
            [
                A.MotionBlur(blur_limit=(3, _odd(7 * r))),
                A.MedianBlur(blur_limit=(3, _odd(5 * r))),
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.5 * r, 1.5 * r)),
                A.GaussNoise(std_range=(0.01, 0.025)),
            ],
            p=0.5,
        ),
        A.CoarseDropout(
            num_holes_range=(1, 3),
            hole_height_range=(0.08, 0.18),
            hole_width_range=(0.08, 0.18),
            fill=_FILL,
            p=0.5,
        ),
    ]


def _light(_side: int) -> list[Any]:
    return [
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        A.RandomRotate90(p=1.0),
        A.RandomBrightnessContrast(
            brightness_limit=(-0.1, 0.1),
            contrast_limit=(-0.1, 0.1),
            brightness_by_max=False,
            p=0.5,
        ),
    ]


def _evaluation(_side: int) -> list[Any]:
    return []


_PRESETS: dict[str, Callable[[int], list[Any]]] = {
    "paper": _paper,
    "light": _light,
    "evaluation": _evaluation,
}


def list_presets() -> list[str]:
    """List the names that `preset` knows.

    Returns:
        Names, the strongest preset first.

    Examples:
        >>> list_presets()
        ['paper', 'light', 'evaluation']
    """
    return list(_PRESETS)


def preset(
    name: str, *, image_size: int | None, seed: int | None = None, normalize: bool = True
) -> "Preset":
    """Build the random transforms of that name, see the tables of this module.

    Args:
        name: One of `list_presets`.
        image_size: Height and width of the result in px, 16 or more; an image of other proportions
            is squeezed. None keeps the size of each image, which must then be 16 px or more a side;
            a draw with a quarter turn or a transposition swaps its height and width.
        seed: Start of the stream of draws, 0 or more: the same seed gives the same stream. None
            takes fresh entropy. In a `torch.utils.data.DataLoader` with workers, pass
            `seed_worker` too, or every worker and every epoch draws the same.
        normalize: Whether the image becomes a normalised tensor, or stays uint8.

    Returns:
        The preset, called as ``transform(image=image)`` or ``transform(image=image, mask=mask)``.

    Raises:
        TypeError: `image_size` or `seed` is not an integer.
        ValueError: The name is unknown, or a number is out of its range.

    Examples:
        >>> import numpy as np
        >>> image = np.full((150, 200, 3), 180, np.uint8)
        >>> sample = preset("evaluation", image_size=224)(image=image)
        >>> tuple(sample["image"].shape), sample["image"].dtype
        ((3, 224, 224), torch.float32)
        >>> first = preset("paper", image_size=64, seed=1, normalize=False)(image=image)["image"]
        >>> again = preset("paper", image_size=64, seed=1, normalize=False)(image=image)["image"]
        >>> first.shape, bool((first == again).all())
        ((64, 64, 3), True)
    """
    return Preset(name, image_size=image_size, seed=seed, normalize=normalize)


class Preset:
    """Random transforms of one name, with a stream of draws of their own; see `preset`.

    The draws come from this object alone: no global generator is read or moved, and the image and
    mask that come in are never written to. It pickles with its place in the stream. Threads must
    not share one; give each its own copy.

    Attributes:
        name: Name of the preset.
        image_size: Height and width of the result in px, or None where each image keeps its size.
        seed: Seed that it was built with.
        normalize: Whether the image becomes a normalised tensor.
        applied: Names of the random transforms that the last call applied, in their order.
    """

    def __init__(
        self,
        name: str,
        *,
        image_size: int | None,
        seed: int | None = None,
        normalize: bool = True,
    ) -> None:
        """Check the options and start the stream."""
        check_choice(name, "name", list_presets())
        if image_size is not None:
            check_number(image_size, "image_size", low=SMALLEST, integer=True)
        if seed is not None:
            check_number(seed, "seed", low=0, integer=True)
        self.name = name
        self.image_size = image_size
        self.seed = seed
        self.normalize = normalize
        self.applied: tuple[str, ...] = ()
        self._stream = _generators(seed)
        self._compositions: dict[int, Any] = {}

    @property
    def transforms(self) -> list[Any]:
        """Transforms of albumentations in their order, nested where one of several is drawn.

        Where each image keeps its size, these are the ones for images of 224 px.
        """
        return list(self._composition(self.image_size or _REFERENCE).transforms)

    @property
    def random(self) -> bool:
        """Whether two draws can differ."""
        return bool(_PRESETS[self.name](_REFERENCE))

    def set_random_seed(self, seed: int) -> None:
        """Start the stream of draws anew.

        Args:
            seed: 0 or more.

        Raises:
            TypeError: `seed` is not an integer.
            ValueError: `seed` is negative.
        """
        check_number(seed, "seed", low=0, integer=True)
        self._stream = _generators(seed)

    def __call__(
        self,
        *,
        image: Image,
        mask: Mask | npt.NDArray[np.uint8] | None = None,
        draw_seed: int | Sequence[int] | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """Draw once.

        Args:
            image: Image (H, W, 3), uint8 RGB.
            mask: Lesion mask (H, W), bool, or uint8 where any value above 0 is lesion.
            draw_seed: Seed of this one draw, an integer of 0 or more or several. The draw then
                depends on it alone, and the stream stays where it is. None takes the next draw of
                the stream.
            **others: Refused; albumentations would pass them through unchanged.

        Returns:
            ``image``: float32 tensor (3, S, S) with ImageNet's mean and standard deviation taken
            out, or uint8 array (S, S, 3) with ``normalize=False``; and, where a mask was given,
            ``mask``: bool tensor or array (S, S).

        Raises:
            TypeError: The image is not uint8, the mask neither bool nor uint8, or there is a
                further keyword.
            ValueError: The image is not RGB or, where its size is kept, has a side below 16 px; the
                mask has another size; or a seed is negative.
        """
        check_image(image)
        _check_call(draw_seed, others)
        data: dict[str, Any] = {"image": image}
        if mask is not None:
            data["mask"] = _as_bytes(mask, image.shape[:2])
        composition = self._composition(_side(image, self.image_size))
        composition.set_random_state(
            *(self._stream if draw_seed is None else _generators(draw_seed))
        )
        result = composition(**data)
        applied = (name for name, _ in result.pop("applied_transforms"))
        self.applied = tuple(name for name in applied if name not in _ALWAYS)
        return self._finish(result, image)

    def __repr__(self) -> str:
        """Name the options and the transforms with their probabilities."""
        options = f"image_size={self.image_size}, seed={self.seed}, normalize={self.normalize}"
        steps = "".join(f"\n    {_outline(step)}" for step in self.transforms)
        return f"preset({self.name!r}, {options}):{steps}"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the compositions: they are built again, and may hold maps of image size."""
        return {**self.__dict__, "_compositions": {}}

    def _composition(self, side: int) -> Any:
        if side not in self._compositions:
            self._compositions[side] = A.Compose(self._steps(side), save_applied_params=True)
        return self._compositions[side]

    def _steps(self, side: int) -> list[Any]:
        steps = _PRESETS[self.name](side)
        if self.image_size is not None:
            steps.insert(0, A.Resize(side, side, area_for_downscale="image_mask"))
        if self.normalize:
            steps += [A.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD), A.ToTensorV2()]
        return steps

    def _finish(self, result: dict[str, Any], image: Image) -> dict[str, Any]:
        if self.normalize:
            result["image"] = result["image"].contiguous()
        elif np.may_share_memory(result["image"], image):
            # Where no transform applies, what comes out must not be what came in.
            result["image"] = image.copy()
        if "mask" in result:
            result["mask"] = result["mask"] >= 128
        return result


def _generators(seed: int | Sequence[int] | None) -> tuple[np.random.Generator, random.Random]:
    """Make the two generators that all transforms of a composition share.

    Seeded through `Compose.set_random_seed`, each transform of albumentations 2.0.8 gets a
    generator of its own from the same seed: transpose and both flips then always fall together,
    and two of the eight symmetries are all that ever comes out.
    """
    array, scalar = np.random.SeedSequence(seed).spawn(2)
    state = int.from_bytes(scalar.generate_state(4).tobytes(), "little")
    return np.random.default_rng(array), random.Random(state)  # noqa: S311 - draws, not secrets


def _side(image: Image, image_size: int | None) -> int:
    """Return the side that lengths go with; coarse steps bound how many compositions there are."""
    if image_size is not None:
        return image_size
    side = int(min(image.shape[:2]))
    if side < SMALLEST:
        what = f"an image of {SMALLEST} px or more a side where its size is kept"
        raise ValueError(expected("image", what, f"shape {image.shape}", "Give an `image_size`."))
    low, high = _LENGTHS
    return min(max(low, round(side / low) * low), high)


def _as_bytes(mask: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Turn a mask into 0 and 255, so that shrinking by area is a majority vote."""
    if isinstance(mask, np.ndarray) and mask.dtype == np.uint8:
        mask = mask > 0
    return check_mask(mask, (shape[0], shape[1])).astype(np.uint8) * np.uint8(255)


def _check_call(draw_seed: int | Sequence[int] | None, others: dict[str, Any]) -> None:
    if others:
        what = "`image` and, where wanted, `mask` and `draw_seed`"
        remedy = "Boxes, keypoints and further images are not transformed by a preset."
        raise TypeError(expected("targets", what, listed(map("`{}`".format, others)), remedy))
    parts = draw_seed if isinstance(draw_seed, Sequence) else [draw_seed or 0]
    for part in parts:
        check_number(part, "draw_seed", low=0, integer=True)


def _outline(step: Any) -> str:
    name = f"{type(step).__name__}(p={step.p:g})"
    inner = [_outline(child) for child in getattr(step, "transforms", [])]
    return f"{name} [{', '.join(inner)}]" if inner else name

"""Presets in other people's pipelines: called as torchvision does, and as a step of albumentations.

Torchvision hands over an image by place, of one of its kinds, and takes back one of the same kind;
what follows the image is passed on, except that a mask moves with the image.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from albumentations.core.serialization import SERIALIZABLE_REGISTRY
from PIL import Image as PillowImage

from dermolib._validation import check_pillow, check_type, expected, listed, require

__all__ = ["PASSED_ON", "PipelineStep", "call_by_place"]

PASSED_ON = ("label", "id", "metadata", "applied_transforms")
"""Keywords that a preset gives back as they are; the last is a list of albumentations."""


class PipelineStep:
    """What albumentations asks of a step of its pipelines, beside drawing by name and seeds.

    Attributes:
        p: Probability of the step, that of its transforms aside.
    """

    p = 1.0
    applied: tuple[str, ...]

    @property
    def available_keys(self) -> set[str]:
        """Name the keywords that the step takes."""
        return {"image", "mask", "draw_seed", *PASSED_ON}

    @property
    def params(self) -> dict[str, Any]:
        """Say what the last call did, for ``save_applied_params`` of a pipeline."""
        return {"applied": self.applied}

    def add_targets(self, targets: Mapping[str, str]) -> None:
        """Refuse further images and masks."""
        what = "left out where a step is a preset, which draws for one image and its mask"
        raise TypeError(expected("additional_targets", what, listed(targets)))

    def set_deterministic(self, flag: bool, save_key: str = "replay") -> None:
        """Refuse to note the parameters of each transform."""
        del flag, save_key
        what, hint = "steps that can be replayed", "Pass `preset(...).transforms`."
        raise TypeError(expected("transforms", what, "a preset", hint))

    def to_dict_private(self) -> dict[str, Any]:
        """Give the options that make the step again."""
        kind: Any = type(self)  # a dataclass
        names = [one.name for one in dataclasses.fields(kind) if one.init]
        options = {name: getattr(self, name) for name in names}
        return {"__class_fullname__": f"{kind.__module__}.{kind.__name__}", **options, "p": self.p}

    @classmethod
    def can_be_loaded(cls, make: Callable[..., Any]) -> None:
        """Let `albumentations.from_dict` make such a step of its options."""

        def made(*, p: float, **options: Any) -> Any:
            del p
            return make(**options)

        SERIALIZABLE_REGISTRY[f"{cls.__module__}.{cls.__name__}"] = made


def call_by_place(draw: Callable[..., dict[str, Any]], placed: tuple[Any, ...]) -> Any:
    """Draw for an image and what follows it, or for a sample.

    Args:
        draw: Called with ``image`` and, where there is one, ``mask``.
        placed: An image, and after it labels and up to one mask; or one sample, a dictionary.

    Returns:
        The image, or all in their order, or the dictionary.
    """
    sample, *others = placed
    if isinstance(sample, Mapping):
        require(not others, "sample", "a dictionary alone", f"{len(others)} more after it")
        return _drawn(draw, **sample)
    places = [place for place, one in enumerate(others) if _is_mask(one)]
    what, hint = "followed by labels and up to one mask", "Call `preset(image=..., mask=...)`."
    require(len(places) < 2, "image", what, f"followed by {len(places)} masks or images", hint)
    drawn = _drawn(draw, image=sample, mask=others[places[0]] if places else None)
    if places:
        others[places[0]] = drawn["mask"]
    return (drawn["image"], *others) if others else drawn["image"]


def _is_mask(value: Any) -> bool:
    """Tell what may be a mask from labels and numbers, by its dimensions."""
    return getattr(value, "ndim", 0) >= 2 or isinstance(value, PillowImage.Image)


def _drawn(draw: Callable[..., dict[str, Any]], **sample: Any) -> dict[str, Any]:
    """Draw for kinds of torchvision; give back the same kinds."""
    image, mask = sample.get("image"), sample.get("mask")
    arrays = {"image": _image_array(image), "mask": None if mask is None else _mask_array(mask)}
    drawn = draw(**{**sample, **arrays})
    drawn["image"] = _like(image, drawn["image"])
    if mask is not None:
        lesion = drawn["mask"][None] if mask.ndim == 3 else drawn["mask"]
        drawn["mask"] = _like(mask, lesion)
    return drawn


def _image_array(image: Any) -> Any:
    if isinstance(image, PillowImage.Image):
        return check_pillow(image, "image")
    if not isinstance(image, torch.Tensor):
        return image
    what = "an RGB image (3, H, W) of dtype uint8, where it is a tensor"
    hint = "Put the preset before what makes floats of images."
    got = f"dtype {image.dtype}"
    require(image.dtype == torch.uint8, "image", what, got, hint, error=TypeError)
    hint = "`dermolib.BatchAugmentation` takes batches." if image.ndim == 4 else ""
    got = f"shape {tuple(image.shape)}"
    require(image.ndim == 3 and image.shape[0] == 3, "image", what, got, hint)
    return image.as_subclass(torch.Tensor).permute(1, 2, 0).cpu().numpy()


def _mask_array(mask: Any) -> Any:
    what = "a mask (H, W) or (1, H, W) as an array or tensor"
    check_type(mask, "mask", (np.ndarray, torch.Tensor), what, "Wrap it as `tv_tensors.Mask`.")
    single = mask.ndim == 2 or (mask.ndim == 3 and mask.shape[0] == 1)
    require(single, "mask", what, f"shape {tuple(mask.shape)}")
    if isinstance(mask, torch.Tensor):
        mask = mask.as_subclass(torch.Tensor).cpu().numpy()
    return mask[0] if mask.ndim == 3 else mask


def _like(given: Any, made: Any) -> Any:
    """Bring a result to the kind of what was given; what is normalized is a tensor in any case."""
    if isinstance(made, np.ndarray) and isinstance(given, PillowImage.Image):
        return PillowImage.fromarray(made)
    if isinstance(given, torch.Tensor):
        if isinstance(made, np.ndarray):
            first = made.transpose(2, 0, 1) if made.shape[2:] == (3,) else made
            made = torch.from_numpy(np.ascontiguousarray(first))
        return made.to(given.device).as_subclass(type(given))
    return made

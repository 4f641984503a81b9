"""Batches of images that a torch module takes: tensors, or one image of PIL."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

from dermolib._validation import check_choice, check_pillow, require
from dermolib.models.devices import DEVICES, pick_device

__all__ = ["as_arrays", "as_bytes", "as_tensor", "working_device"]


def working_device(device: torch.device | str | None) -> torch.device | str | None:
    """Check where a module is to work; without a GPU, ``"cuda"`` is the CPU."""
    if isinstance(device, str):
        check_choice(device.partition(":")[0], "device", DEVICES)
        device = pick_device(device) if device == "auto" else device
    cuda = device is not None and torch.device(device).type == "cuda"
    return "cpu" if cuda and not torch.cuda.is_available() else device


def as_arrays(batch: torch.Tensor) -> npt.NDArray[np.uint8]:
    """View a batch as images (N, H, W, 3) on the CPU."""
    images: npt.NDArray[np.uint8] = batch.permute(0, 2, 3, 1).cpu().numpy()
    return images


def as_tensor(images: Any) -> Any:
    """Make a tensor (3, H, W) of a PIL image; leave anything else as it is."""
    if not isinstance(images, PillowImage.Image):
        return images
    return torch.from_numpy(check_pillow(images, "images")).permute(2, 0, 1)


def as_bytes(images: Any, *, other: str) -> torch.Tensor:
    """Check images and bring them to uint8 (N, 3, H, W); `other` is the function for arrays."""
    name = "images"
    what = "a tensor of images (N, 3, H, W) or (3, H, W), uint8 or floating point in [0, 1]"
    got = f"an object of type {type(images).__name__}"
    hint = f"`{other}` takes NumPy arrays."
    require(isinstance(images, torch.Tensor), name, what, got, hint, error=TypeError)
    shape = tuple(images.shape)
    fits = images.ndim in (3, 4) and shape[-3] == 3 and 0 not in shape[-2:]
    hint = "Move the channels first with `images.movedim(-1, -3)`." if shape[-1:] == (3,) else ""
    hint = "Repeat gray with `images.repeat_interleave(3, -3)`." if shape[-3:-2] == (1,) else hint
    require(fits, name, what, f"shape {shape}", hint)
    batch: torch.Tensor = (images if images.ndim == 4 else images[None]).as_subclass(torch.Tensor)
    if batch.dtype == torch.uint8:
        return batch
    require(batch.is_floating_point(), name, what, f"dtype {batch.dtype}", error=TypeError)
    inside = ((batch >= 0) & (batch <= 1)).all()
    hint = "Divide values in [0, 255] by 255."
    require(inside, name, what, "values outside [0, 1] or NaN", hint)
    return (batch.float() * 255).round().to(torch.uint8)

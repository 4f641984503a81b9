"""What all built networks share: a record of how they were built, and a check of their input."""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.jit import (  # type: ignore[attr-defined] # documented, but not in its `__all__`
    is_scripting,
    is_tracing,
)

from dermolib._validation import expected
from dermolib.models.settings import InputSettings

__all__ = ["check_input", "finish", "forbid_inplace"]

_FORM = "input_form"


def finish(
    model: nn.Module, name: str, num_classes: int, *, expects: int | None = None, **options: Any
) -> None:
    """Record on a model how it was built, and let no module of it overwrite its input.

    The record is a flat dict of plain values, so that a checkpoint can hold it and
    ``build_model(**model.architecture)`` builds the same network again. `expects` is the size of
    images in px, where they are to have the mean and standard deviation of ImageNet.
    """
    vars(model)["architecture"] = {"name": name, "num_classes": int(num_classes), **options}
    if expects is not None:
        vars(model)["input_settings"] = InputSettings(image_size=int(expects))
    forbid_inplace(model)


def forbid_inplace(model: nn.Module) -> None:
    """Stop activations from overwriting their input, where Grad-CAM and other hooks read it."""
    for module in model.modules():
        if getattr(module, "inplace", False):
            vars(module)["inplace"] = False


def check_input(
    model: nn.Module, *, channels: int = 3, least: int = 1, exactly: int | None = None
) -> None:
    """Let a model refuse images of another form before it computes, in one sentence.

    Images have height and width of at least `least` px, or are of `exactly` so many. The hook is in
    no traced graph, leaves nothing in a compiled one, and is not in the way of TorchScript.
    """
    vars(model)[_FORM] = (channels, least, exactly and (exactly, exactly))
    model.register_forward_pre_hook(_check)


def _check(module: nn.Module, inputs: tuple[Tensor]) -> None:
    """Check the images that a model is called with."""
    if not is_scripting():
        _check_images(module, inputs)


def _check_images(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    traced = is_tracing()  # type: ignore[no-untyped-call] # torch's
    if not inputs or traced or isinstance(inputs[0], fx.Proxy):
        return
    images, (channels, least, exactly) = inputs[0], getattr(module, _FORM)
    what = f"a floating-point batch (N, {channels}, H, W)"
    if not isinstance(images, Tensor):
        got, hint = _describe(images)
        raise TypeError(expected("images", what, got, hint))
    if not images.is_floating_point():
        hint = "Scale and normalize images as preset 'evaluation' does."
        raise TypeError(expected("images", what, _got(images), hint))
    if images.ndim != 4 or images.shape[1] != channels:
        hint = _as_batch(images.shape, channels)
        raise ValueError(expected("images", what, _got(images), hint))
    patches: Any = getattr(module, "patch_embed", None)
    if getattr(patches, "strict_img_size", False):  # timm's transformers, whose size can change
        exactly = tuple(patches.img_size)
    height, width = images.shape[2:]
    if (height, width) != exactly if exactly else min(height, width) < least:
        size = "{} x {} px".format(*(exactly or (least, least)))
        size = size if exactly else f"at least {size}"
        hint = f"Resize each image to {size}."
        raise ValueError(expected("images", f"{what} of {size}", _got(images), hint))


def _got(images: Tensor) -> str:
    return f"{images.dtype} of shape {tuple(images.shape)}"


def _describe(images: Any) -> tuple[str, str]:
    """Describe what is no tensor, and how to make it one."""
    if isinstance(images, (list, tuple)) and all(isinstance(one, Tensor) for one in images):
        shapes = ", ".join(
            str(shape) for shape in dict.fromkeys(tuple(one.shape) for one in images)
        )
        hint = "Resize all images to one size and join them with `torch.stack`."
        return f"a list of tensors of shape {shapes}", hint
    return f"an object of type {type(images).__name__}", "`torch.as_tensor` makes one of an array."


def _as_batch(shape: torch.Size, channels: int) -> str:
    """Say how images of another shape become a batch, as far as the shape tells."""
    if len(shape) == 3:
        return "Join the images with `torch.stack`, or pass a single one as `images[None]`."
    if len(shape) == 4 and shape[3] == channels:
        return "Move the channels first: `images.permute(0, 3, 1, 2)`."
    if len(shape) == 4 and shape[1] == 1:
        return f"Repeat the gray channel: `images.expand(-1, {channels}, -1, -1)`."
    return f"Give each image {channels} channels, first of all."

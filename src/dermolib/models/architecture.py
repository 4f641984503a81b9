"""What all built networks share: a record of how they were built, and a check of their input."""

from typing import Any

from torch import Tensor, nn

from dermolib._validation import expected, require
from dermolib.models.settings import InputSettings

__all__ = ["check_images", "finish", "forbid_inplace"]


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


def check_images(images: Tensor, *, least: int = 1, exactly: int | None = None) -> None:
    """Refuse a batch whose height and width are below `least` or not `exactly` so many px."""
    size = f"{exactly} x {exactly} px" if exactly else f"at least {least} x {least} px"
    if not images.is_floating_point():
        hint = "Scale and normalize it as preset 'evaluation' does."
        raise TypeError(expected("images", "a floating-point batch", images.dtype, hint))
    sides = images.shape[2:]
    fits = sides == (exactly, exactly) if exactly else min(sides, default=0) >= least
    fits = fits and images.ndim == 4 and images.shape[1] == 3
    what, hint = f"a batch (N, 3, H, W) of {size}", f"Resize each image to {size}, channels first."
    require(fits, "images", what, f"shape {tuple(images.shape)}", hint)

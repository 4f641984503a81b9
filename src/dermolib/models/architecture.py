"""What all built networks share: a record of how they were built, and a check of their input."""

from typing import Any

import torch
from torch import nn

from dermolib._validation import expected, require
from dermolib.models.settings import InputSettings

__all__ = ["check_images", "describe", "finish", "forbid_inplace"]


def finish(
    model: nn.Module, name: str, num_classes: int, *, expects: int | None = None, **options: Any
) -> None:
    """Record on a model how it was built, and let no module of it overwrite its input.

    The record is a flat dict of plain values (no weights), so that a checkpoint can hold it and
    ``build_model(**model.architecture)`` builds the same network again.

    Args:
        model: Model as built; changed in place.
        name: Name that `build_model` knows.
        num_classes: Number of logits.
        expects: Height and width of the images of a network that expects ImageNet's mean and
            standard deviation, in px; None where the network itself says what it expects.
        **options: Options that `build_model` passes on, plain values that JSON can hold.
    """
    record = {"name": name, "num_classes": int(num_classes), **options}
    setattr(model, "architecture", record)  # noqa: B010 - torch types attributes as modules
    if expects is not None:
        settings = InputSettings(image_size=int(expects))
        setattr(model, "input_settings", settings)  # noqa: B010 - as above
    forbid_inplace(model)


def forbid_inplace(model: nn.Module) -> None:
    """Stop activations from overwriting their input, where Grad-CAM and other hooks read it."""
    for module in model.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010 - as above


def describe(model: nn.Module) -> str:
    """Describe a model by its record, or by its class where it has none."""
    record = getattr(model, "architecture", None)
    if record is None:
        return f"this {type(model).__name__}"
    options = ", ".join(f"{key}={value!r}" for key, value in record.items() if key != "name")
    return f"{record['name']!r} with {options}"


def check_images(images: torch.Tensor, *, least: int = 1, exactly: int | None = None) -> None:
    """Refuse a batch whose height and width are below `least` or not `exactly` so many px."""
    if not images.is_floating_point():
        hint = "Scale and normalize it as preset 'evaluation' does."
        raise TypeError(expected("images", "a floating-point batch", f"{images.dtype}", hint))
    size = f"{exactly} x {exactly}" if exactly else f"at least {least} x {least}"
    what, got = f"a batch (N, 3, H, W) of {size} px", f"shape {tuple(images.shape)}"
    require(images.ndim == 4 and images.shape[1] == 3, "images", what, got)
    height, width = images.shape[2:]
    fits = (height, width) == (exactly, exactly) if exactly else min(height, width) >= least
    require(fits, "images", what, got, f"Resize each image to {size} px.")

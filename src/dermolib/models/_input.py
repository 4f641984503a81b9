"""The check that a network makes of its input: shapes only, so that it costs nothing."""

import torch

from dermolib._validation import expected


def check_images(images: torch.Tensor, *, least: int = 1, exactly: int | None = None) -> None:
    """Refuse a batch that the network cannot take, before a layer fails with a riddle.

    Args:
        images: Batch (N, 3, H, W), floating point.
        least: Smallest height and width, in pixels.
        exactly: Height and width that the network is made for, in pixels; None for any.

    Raises:
        TypeError: The batch is not floating point.
        ValueError: The batch has another shape.
    """
    if not images.is_floating_point():
        remedy = "Scale and normalise it as preset 'evaluation' does."
        raise TypeError(expected("images", "a floating-point batch", f"{images.dtype}", remedy))
    size = f"{exactly} x {exactly}" if exactly else f"at least {least} x {least}"
    what, got = f"a batch (N, 3, H, W) of {size} px", f"shape {tuple(images.shape)}"
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(expected("images", what, got))
    height, width = images.shape[2:]
    fits = (height, width) == (exactly, exactly) if exactly else min(height, width) >= least
    if not fits:
        raise ValueError(expected("images", what, got, f"Resize each image to {size} px."))

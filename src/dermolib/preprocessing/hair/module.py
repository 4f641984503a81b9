"""Occlusion removal as a torch module: whole batches, on any device."""

import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import nn

from dermolib._validation import (
    check_masks,
    check_number,
    name_of,
)
from dermolib.preprocessing.batches import as_arrays, as_bytes, as_tensor, working_device
from dermolib.preprocessing.functions import call_foreign
from dermolib.preprocessing.hair.closing import REFERENCE_SIDE
from dermolib.preprocessing.hair.inpainting import FILLS, FillChoice, check_fill, fill_with
from dermolib.preprocessing.hair.inpainting_torch import dilated
from dermolib.preprocessing.hair.registry import (
    DEFAULT_METHOD,
    find_method,
    margin_pixels,
    sizes_of,
)
from dermolib.preprocessing.methods import MethodChoice

__all__ = ["OcclusionRemoval"]


class OcclusionRemoval(nn.Module):
    """Remove hair from a batch at once, on the device where the batch is.

    Pixels outside the mask stay bit-identical. The masks of ``"luv"`` equal those that
    `occlusion_removal` returns. Those of ``"unet"`` do up to rounding where the network sees the
    image at its own size, and nearly where the image is resized for it, since torch and OpenCV
    resize slightly differently. Methods and fills without a version for batches run on the CPU
    image by image: ``"line"``, ``"telea"``, ``"navier_stokes"``, and functions of yours. Gradients
    do not flow through, and autocast changes nothing. Memory: about 45 bytes per pixel of a batch
    on a CPU, where `occlusion_removal` needs a quarter of that.

    Use it in a ``torchvision.transforms.v2.Compose``, in a collate function, or in front of a
    network. What comes after the images, such as labels, is passed on; in a dictionary the value of
    ``"image"`` is cleaned. A PIL image of mode RGB comes back as one.

    Args:
        method: See `occlusion_removal`.
        fill: See `occlusion_removal`.
        margin: See `occlusion_removal`.
        device: Where to work: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"``; the
            result returns to where the images came from. By default that is where the images are.
            Without a GPU, ``"cuda"`` is the CPU.
        options: Options of the method, see `occlusion_removal`.

    Raises:
        RuntimeError: A function of yours fails.
        TypeError: `method` has no such option, or the images are neither uint8 nor floating point.
        ValueError: `method` or `fill` is unknown, an option is out of range, the images do not have
            three channels or have no pixels, a PIL image has another mode than RGB, or
            floating-point values are not in [0, 1].

    Shapes: (N, 3, H, W) or (3, H, W), uint8, or floating point in [0, 1]; the result has the same
    shape and dtype.

    Examples:
        >>> images = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
        >>> images[0, :, :, 30] = 40
        >>> remove = OcclusionRemoval(method="luv")
        >>> remove(images).min().item(), remove.masks(images).sum(dim=(1, 2)).tolist()
        (200, [64, 0])
    """

    def __init__(
        self,
        method: MethodChoice = DEFAULT_METHOD,
        *,
        fill: FillChoice | None = None,
        margin: float = 0,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        """Choose the method and its options."""
        super().__init__()
        self.method = find_method(method)
        self.fill = self.method.fill if fill is None else fill
        check_fill(self.fill)
        self.options = self.method.options(options)
        check_number(margin, "margin", low=0, high=REFERENCE_SIDE)
        self.margin = margin
        self.device = working_device(device)

    def extra_repr(self) -> str:
        """Name the method and its options."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"method={self.method.name!r}{options}"

    def forward(self, images: Any, *others: Any) -> Any:
        """Clean images; what follows them is passed on."""
        if isinstance(images, dict):
            cleaned: Any = {**images, "image": self._clean(images["image"])}
        else:
            cleaned = self._clean(images)
        return (cleaned, *others) if others else cleaned

    @torch.no_grad()
    def masks(self, images: torch.Tensor | PillowImage.Image) -> torch.Tensor:
        """Find what is replaced, hair and the margin: (N, H, W) or (H, W), bool."""
        given = as_tensor(images)
        batch = as_bytes(given, other="occlusion_removal")
        found = self._find(batch.to(self.device or batch.device)).to(batch.device)
        return found if given.ndim == 4 else found[0]

    @torch.no_grad()
    def _clean(self, given: Any) -> Any:
        images = as_tensor(given)
        batch = as_bytes(images, other="occlusion_removal")
        work = batch.to(self.device or batch.device)
        masks = self._find(work)
        filled = self._fill(work, masks).to(images.device)
        masks = masks.to(images.device)[:, None]
        if images.dtype != torch.uint8:
            filled = (filled.to(torch.float32) / 255).to(images.dtype)
        cleaned = torch.where(masks, filled, images.as_subclass(torch.Tensor))
        if isinstance(given, PillowImage.Image):
            return PillowImage.fromarray(as_arrays(cleaned)[0])
        return cleaned.view(images.shape).as_subclass(type(images))

    def _find(self, batch: torch.Tensor) -> torch.Tensor:
        function = self.method.batch
        shape = (batch.shape[0], *batch.shape[2:])
        with torch.autocast(batch.device.type, enabled=False):
            if function is None:
                found = np.empty(shape, np.bool_)
                for number, image in enumerate(as_arrays(batch)):
                    found[number] = self.method.to_replace(image, **self.options)
                masks = torch.from_numpy(found).to(batch.device)
            elif isinstance(function, str):
                masks = pkgutil.resolve_name(function)(batch, **self.options)
            else:
                masks = call_foreign(function, batch, **self.options)
                check_masks(masks, shape, f"{name_of(function)}(images)")
            pixels = margin_pixels(self.margin, batch.shape[2:])
            return dilated(masks, pixels) if pixels else masks

    def _fill(self, batch: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        sizes = sizes_of(self.method, self.fill, self.options)
        name = FILLS[self.fill].batch if isinstance(self.fill, str) else None
        with torch.autocast(batch.device.type, enabled=False):
            if name is None:
                filled = as_arrays(batch).copy()
                for number, mask in enumerate(masks.cpu().numpy()):
                    filled[number] = fill_with(self.fill, filled[number], mask, **sizes)
                return torch.from_numpy(filled).permute(0, 3, 1, 2).to(batch.device)
            fill: Callable[..., torch.Tensor] = pkgutil.resolve_name(name)
            return fill(batch, masks, **sizes)

"""Occlusion removal as a torch module: whole batches, on any device."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dermolib._validation import check_choice, check_number, expected
from dermolib.preprocessing.hair.inpainting_torch import fill_batch
from dermolib.preprocessing.hair.luv import REFERENCE_SIZE, disc, scaled_radius
from dermolib.preprocessing.hair.luv_torch import closing_fill_batch, luv_masks
from dermolib.preprocessing.hair.registry import DEFAULT_METHOD, margin_pixels, removal_options
from dermolib.preprocessing.hair.unet_torch import load_network, unet_masks

__all__ = ["OcclusionRemoval"]

_METHODS = ("luv", "unet")


class OcclusionRemoval(nn.Module):
    """Remove hair from a batch at once, on the device where the batch is.

    Pixels outside the mask stay bit-identical. The masks of ``"luv"`` equal those that
    `occlusion_removal` returns; those of ``"unet"`` do up to rounding where the network looks at
    the image in its own size, and nearly where the image is resized for it, since torch and OpenCV
    resize a little differently. Gradients do not flow through, and autocast changes nothing: masks
    are decisions, and the same ones everywhere.

    It takes its place in a ``torchvision.transforms.v2.Compose``, in a collate function, or before
    a network. What comes after the images, such as labels, is handed on; of a dictionary the value
    of ``"image"`` is cleaned.

    Args:
        method: ``"luv"`` or ``"unet"``; the default is that of `occlusion_removal`.
        margin: Width by which masks are widened before they are filled, see `occlusion_removal`.
        device: Where to work, such as ``"cuda"``; the result returns to where the images came from.
            By default that is where the images are. Without a GPU, ``"cuda"`` is the CPU.
        options: Parameters of the method, see `occlusion_removal`.

    Raises:
        TypeError: `method` has no such option, or the images are neither uint8 nor floating point.
        ValueError: `method` is unknown, an option is out of range, the images have no three
            channels or no pixels, or floating-point values are not in [0, 1].

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
        method: str = DEFAULT_METHOD,
        *,
        margin: float = 0,
        device: torch.device | str | None = None,
        **options: float,
    ) -> None:
        """Choose the method and its parameters."""
        super().__init__()
        check_choice(method, "method", _METHODS)
        self.method = method
        self.options = removal_options(method, options)
        check_number(margin, "margin", low=0, high=REFERENCE_SIZE)
        self.margin = margin
        self.device = _device(device)
        self.network = load_network() if method == "unet" else None
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "OcclusionRemoval":
        """Stay in evaluation mode: there is nothing to train here."""
        del mode
        super().train(False)
        return self

    def extra_repr(self) -> str:
        """Name the method and its parameters."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"method={self.method!r}{options}"

    def forward(self, images: Any, *others: Any) -> Any:
        """Clean images; what follows them is handed on."""
        if isinstance(images, dict):
            cleaned: Any = {**images, "image": self._clean(images["image"])}
        else:
            cleaned = self._clean(images)
        return (cleaned, *others) if others else cleaned

    @torch.no_grad()
    def masks(self, images: torch.Tensor) -> torch.Tensor:
        """Find what is replaced: hair, and the margin around it.

        Args:
            images: Images, as for the module.

        Returns:
            Masks (N, H, W) or (H, W), bool, on the device of the images.
        """
        batch = _bytes(images)
        found = self._find(batch.to(self.device or batch.device)).to(batch.device)
        return found if images.ndim == 4 else found[0]

    def _clean(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            batch = _bytes(images)
            work = batch.to(self.device or batch.device)
            masks = self._find(work)
            filled = self._fill(work, masks).to(images.device)
            masks = masks.to(images.device)[:, None]
            if images.dtype != torch.uint8:
                filled = (filled.to(torch.float32) / 255).to(images.dtype)
            whole = images if images.ndim == 4 else images[None]
            cleaned = torch.where(masks, filled, whole.as_subclass(torch.Tensor))
            return (cleaned if images.ndim == 4 else cleaned[0]).as_subclass(type(images))

    def _find(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(batch.device.type, enabled=False):
            if self.network is None:
                masks = luv_masks(batch, **self.options)
            else:
                masks = unet_masks(self.network.to(batch.device), batch, **self.options)
            return _widened(masks, margin_pixels(self.margin, tuple(batch.shape[2:])))

    def _fill(self, batch: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        with torch.autocast(batch.device.type, enabled=False):
            if self.method == "luv":
                radius = scaled_radius(self.options["radius"], tuple(batch.shape[2:]))
                return closing_fill_batch(batch, masks, radius)
            return fill_batch(batch, masks)


def _widened(masks: torch.Tensor, pixels: int) -> torch.Tensor:
    if not pixels:
        return masks
    kernel = torch.from_numpy(disc(pixels))[None, None].to(masks.device, torch.float32)
    return functional.conv2d(masks[:, None].float(), kernel, padding=pixels)[:, 0] > 0.5


def _device(device: torch.device | str | None) -> torch.device | None:
    if device is None:
        return None
    wanted = torch.device(device)
    lacking = wanted.type == "cuda" and not torch.cuda.is_available()
    return torch.device("cpu") if lacking else wanted


def _bytes(images: Any) -> torch.Tensor:
    """Check images and bring them to uint8 (N, 3, H, W)."""
    what = "a tensor of images (N, 3, H, W) or (3, H, W), uint8 or floating point in [0, 1]"
    if not isinstance(images, torch.Tensor):
        remedy = "`occlusion_removal` takes NumPy arrays."
        got = f"an object of type {type(images).__name__}"
        raise TypeError(expected("images", what, got, remedy))
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape[-2:]:
        remedy = "Move the channels first with `images.movedim(-1, -3)`."
        swapped = images.ndim in (3, 4) and images.shape[-1] == 3
        got = f"shape {tuple(images.shape)}"
        raise ValueError(expected("images", what, got, remedy if swapped else ""))
    batch = (images if images.ndim == 4 else images[None]).as_subclass(torch.Tensor)
    if batch.dtype == torch.uint8:
        return batch
    if not batch.is_floating_point():
        raise TypeError(expected("images", what, f"dtype {batch.dtype}"))
    inside = (batch >= 0) & (batch <= 1)
    if not inside.all():
        remedy = "Divide values in [0, 255] by 255."
        raise ValueError(expected("images", what, "values outside [0, 1] or NaN", remedy))
    return (batch.float() * 255).round().to(torch.uint8)

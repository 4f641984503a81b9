"""Lesion segmentation as a torch module: whole batches, on any device."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from dermolib._validation import Image, Mask
from dermolib.preprocessing.batches import as_arrays, as_bytes, as_tensor, working_device
from dermolib.preprocessing.lesion import (
    check_lesion_options,
    find_by_network,
    judged,
    lesion_mask,
    probability_map,
)
from dermolib.preprocessing.methods import MethodChoice
from dermolib.preprocessing.picture import SIDE, Picture
from dermolib.preprocessing.picture_weights import network_on
from dermolib.preprocessing.segmentation import DEFAULT_METHOD, find_segmentation_method

__all__ = ["LesionSegmentation"]


class LesionSegmentation(nn.Module):
    """Outline the lesions of a batch, with the network on the device where the batch is.

    The masks are those of `segment_lesion` but for single pixels at the edge, since torch and
    OpenCV resize slightly differently. The outlines that the network finds on its small grid are
    brought to the size of the images on the CPU, and ``"classical"`` and functions of yours work
    there image by image. Gradients do not flow through, and autocast changes nothing.

    What comes after the images, such as labels, is passed on; in a dictionary with ``"image"``, the
    mask is added as ``"mask"``.

    Args:
        method: See `segment_lesion`.
        device: Where to work: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"``; the
            masks return to where the images came from. By default that is where the images are.
            Without a GPU, ``"cuda"`` is the CPU.
        options: Options of the method, see `segment_lesion`.

    Raises:
        RuntimeError: A function of yours fails.
        TypeError: `method` has no such option, or the images are neither uint8 nor floating point.
        ValueError: `method` is unknown, an option is out of range, the images do not have three
            channels or have no pixels, a PIL image has another mode than RGB, or floating-point
            values are not in [0, 1].

    Shapes: (N, 3, H, W) or (3, H, W), uint8, or floating point in [0, 1], to (N, H, W) or (H, W),
    bool.

    Examples:
        >>> rows, columns = np.mgrid[:120, :160]
        >>> disc = torch.from_numpy((rows - 60) ** 2 + (columns - 80) ** 2 < 30**2)
        >>> images = torch.where(disc, 80, 200).to(torch.uint8).expand(2, 3, -1, -1)
        >>> masks = LesionSegmentation("classical")(images)
        >>> masks.shape, bool((masks[1] & disc).sum() > 0.95 * (masks[1] | disc).sum())
        (torch.Size([2, 120, 160]), True)
    """

    def __init__(
        self,
        method: MethodChoice = DEFAULT_METHOD,
        *,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        """Choose the method and its options."""
        super().__init__()
        self.method = find_segmentation_method(method)
        self.options = self.method.options(options)
        if self.method.mask is find_by_network:
            check_lesion_options(**self.options)
        self.device = working_device(device)

    def extra_repr(self) -> str:
        """Name the method and its options."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"method={self.method.name!r}{options}"

    def forward(self, images: Any, *others: Any) -> Any:
        """Outline lesions; what follows the images is passed on."""
        if isinstance(images, dict):
            found: Any = {**images, "mask": self._find(images["image"])}
        else:
            found = self._find(images)
        return (found, *others) if others else found

    @torch.no_grad()
    def probabilities(self, images: Any) -> torch.Tensor:
        """Give the network's probability of each pixel, (N, H, W) or (H, W), float32.

        They do not depend on the method.
        """
        given = as_tensor(images)
        batch = as_bytes(given, other="analyze")
        maps = np.empty((len(batch), *batch.shape[2:]), np.float32)
        for number, picture in enumerate(self._look(batch)):
            maps[number] = probability_map(picture, batch.shape[2:])
        found = torch.from_numpy(maps).to(batch.device)
        return found if given.ndim == 4 else found[0]

    @torch.no_grad()
    def _find(self, images: Any) -> torch.Tensor:
        given = as_tensor(images)
        batch = as_bytes(given, other="segment_lesion")
        masks = np.empty((len(batch), *batch.shape[2:]), np.bool_)
        for number, mask in enumerate(self._masks(batch)):
            masks[number] = mask
        found = torch.from_numpy(masks).to(batch.device)
        return found if given.ndim == 4 else found[0]

    def _masks(self, batch: torch.Tensor) -> list[Mask]:
        if self.method.mask is not find_by_network:
            return [self.method(image, **self.options) for image in as_arrays(batch)]
        return [lesion_mask(one, batch.shape[2:], **self.options) for one in self._look(batch)]

    def _look(self, batch: torch.Tensor) -> list[Picture]:
        """Let the network look at each image of a batch."""
        work = batch.to(self.device or batch.device)
        with torch.autocast(work.device.type, enabled=False):
            reading = network_on(work.device)(_squeezed(work.float()))
        logits = (reading.lesion[:, 0], reading.presence[:, 0], reading.artifacts, reading.where)
        columns = [one.sigmoid().float().cpu().numpy() for one in logits]
        pictures = (Picture(*parts) for parts in zip(*columns, strict=True))
        images: npt.NDArray[np.uint8] = as_arrays(batch)
        return [_checked(one, image) for one, image in zip(pictures, images, strict=True)]


def _checked(picture: Picture, image: Image) -> Picture:
    return judged(picture._replace(presence=float(picture.presence)), image)


def _squeezed(images: torch.Tensor) -> torch.Tensor:
    """Bring images (N, 3, H, W) to the square of the network, as `resize_image` does."""
    height, width = images.shape[2:]
    if height < SIDE or width < SIDE:
        size, way = (SIDE, SIDE), "bilinear"
        return functional.interpolate(images, size, mode=way, align_corners=False).round()
    down, across = (_area_weights(side, images) for side in (height, width))
    return (down @ images @ across.T).round()


def _area_weights(side: int, like: torch.Tensor) -> torch.Tensor:
    """Compute what part of each of so many pixels lies in each of the network's, rows of sum 1."""
    edges = torch.arange(SIDE + 1, dtype=torch.float64) * (side / SIDE)
    pixels = torch.arange(side, dtype=torch.float64)
    end = torch.minimum(edges[1:, None], pixels + 1)
    start = torch.maximum(edges[:-1, None], pixels)
    weights = (end - start).clamp_min(0) * (SIDE / side)
    return weights.to(like.device, like.dtype)

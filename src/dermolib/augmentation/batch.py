"""Augmentation of whole batches, on the device where they are."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dermolib._validation import check_choice, check_masks, check_number, expected
from dermolib.augmentation.batch_color import Channels, finish, shift_hsv, shift_light, visible
from dermolib.augmentation.batch_draws import TABLES, Draws, DrawTable
from dermolib.augmentation.batch_warp import resize, sample, sample_masks, spline_weights, warp
from dermolib.augmentation.presets import SMALLEST
from dermolib.models.normalization import IMAGENET_MEAN, IMAGENET_STD, checked_mean, checked_std

__all__ = ["BatchAugmentation"]

_Seeds: TypeAlias = torch.Tensor | npt.NDArray[np.int64] | Sequence[int]

_CHUNK = 2**18  # pixels that a CPU works on at once: with more, twice the time goes into its memory


class BatchAugmentation(nn.Module):
    """Draw once for each image of a batch, on the device where the batch is.

    A draw depends on its own seed alone: not on the place in the batch, the size of the batch or
    the device, and no generator is read or moved. The random bits are the same everywhere; pixels
    agree up to rounding. Nothing waits for a GPU and no shape depends on data, so that
    ``augment.compile()`` makes a few fused kernels of it; on a GPU, do that. Mode, autocast and
    ``half()`` change nothing; gradients do not flow through; ``state_dict`` is empty.

    ``"paper"`` draws from the table of `preset` with the same probabilities and ranges: the eight
    symmetries, one of three distortions, rotation, shift and scale, brightness and contrast, hue,
    saturation and value, cutout. ``"light"`` and ``"evaluation"`` do all that those of `preset` do.
    What is different from there:

    - All warps are composed into one map, so that pixels are interpolated once, and what a draw
      uncovers is filled by reflection of the image itself.
    - Contrast limiting (CLAHE) and blurs are left out, which need further passes over the pixels
      around each one, and noise, which needs a random number for each.
    - No draw is made again for a lesion's sake, and a small one can vanish behind a hole. Of 2,000
      real lesions one came out less than half visible, to 2 %; no image was blank.
    - Values are not rounded to 8 bits, nor shifts to whole pixels, between two steps.
    - The mean that brightness is a share of is that of the image before it is warped.
    - All images of a batch have one size, and the same seed draws something else.

    On one CPU core it takes about a tenth of the time of such steps in kornia or torchvision, which
    is why it is written here, and as long as `preset`.

    Args:
        name: ``"paper"``, ``"light"`` or ``"evaluation"``.
        image_size: Height and width of the result in px, 16 or more; an image of other proportions
            is squeezed, by area where a side shrinks. None keeps the size of the images, which must
            then be square and of 16 px or more, except for ``"evaluation"``.
        normalize: Whether images become float32 with `mean` and `std` taken out, or stay uint8.
        mean: Mean of red, green and blue, as shares of 255; ImageNet's, unless told otherwise. The
            model knows it: ``**input_settings(model).normalization`` gives both.
        std: Standard deviation of red, green and blue, as shares of 255, above 0.

    Attributes:
        name: As given, like the others.
        image_size: As given.
        normalize: As given.
        mean: As given, three numbers.
        std: As given, three numbers.

    Raises:
        TypeError: `image_size` is not an integer, or `mean` or `std` no sequence of numbers.
        ValueError: The name is unknown, or a number is out of its range.

    Examples:
        >>> images = torch.arange(4 * 3 * 64 * 64).view(4, 3, 64, 64).to(torch.uint8)
        >>> augment = BatchAugmentation("paper")
        >>> batch = augment(images, draw_seeds=[3, 1, 4, 1])
        >>> tuple(batch.shape), batch.dtype
        ((4, 3, 64, 64), torch.float32)
        >>> alone = augment(images[2:3], draw_seeds=[4])
        >>> bool((alone[0] - batch[2]).abs().max() < 1e-3)
        True
    """

    spline: torch.Tensor

    def __init__(
        self,
        name: str = "paper",
        *,
        image_size: int | None = None,
        normalize: bool = True,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Check the options and prepare the table of what is drawn."""
        super().__init__()
        check_choice(name, "name", TABLES)
        if image_size is not None:
            check_number(image_size, "image_size", low=SMALLEST, integer=True)
        self.name = name
        self.image_size = image_size
        self.normalize = normalize
        self.mean = checked_mean(mean)
        self.std = checked_std(std)
        self.table = DrawTable(name)
        self.register_buffer("spline", spline_weights(), persistent=False)

    def forward(
        self,
        images: torch.Tensor | dict[str, Any],
        masks: torch.Tensor | None = None,
        *,
        draw_seeds: _Seeds | None = None,
    ) -> Any:
        """Draw once for each image.

        Args:
            images: Images (N, 3, H, W), uint8 RGB, on any device; or a dictionary with them as
                ``"image"`` and, where wanted, masks as ``"mask"`` and seeds as ``"draw_seed"``.
                They are not written to.
            masks: Lesion masks (N, H, W), bool, warped as the images are. A hole of the cutout
                leaves them as they are.
            draw_seeds: One integer for each image (N,), any of 64 bits. ``"evaluation"`` needs
                none.

        Returns:
            Images (N, 3, S, S), or images and masks (N, S, S), bool, on the device and in the
            memory format of the images. Of a dictionary, the same dictionary anew: images and
            masks drawn, everything else handed on.

        Raises:
            TypeError: Images are no uint8 tensor, masks no bool tensor, seeds no integers or left
                out, or masks are given beside a dictionary.
            ValueError: Shapes do not fit together, or images whose size is kept are too small or
                not square.
        """
        if isinstance(images, dict):
            return self._forward_dictionary(images, masks, draw_seeds)
        _check_images(images)
        if masks is not None:
            check_masks(masks, (images.shape[0], *images.shape[2:]))
        if self.image_size is None and self.table.names:
            _check_kept(images)
        if self.spline.device != images.device:
            self.to(images.device)
        seeds = self._seeds(draw_seeds, len(images))
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._in_chunks(images, masks, seeds)

    def draws(self, draw_seeds: _Seeds) -> Draws:
        """Return the numbers that seeds draw.

        Args:
            draw_seeds: Seeds (N,), as for a batch.

        Returns:
            Values (N,), float32, by the name of each number, neutral where it is not applied.
            Angles are in degrees, lengths are shares of the side, and flags are 0 or 1;
            ``"elastic"`` holds the nodes of the elastic warp (N, 2, 19, 19).

        Raises:
            TypeError: Seeds are no integers.
            ValueError: Seeds are not one row.
        """
        with torch.no_grad():
            return dict(self.table(self._seeds(draw_seeds, None)))

    def extra_repr(self) -> str:
        """Name the options."""
        return (
            f"{self.name!r}, image_size={self.image_size}, normalize={self.normalize}, "
            f"mean={self.mean}, std={self.std}"
        )

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Follow to another device, but keep the precision: ``half()`` is for networks."""
        move: Any = super()._apply  # it carries no annotations
        return move(lambda tensor: tensor.to(fn(tensor).device), recurse)

    def _forward_dictionary(
        self, batch: dict[str, Any], masks: Any, draw_seeds: _Seeds | None
    ) -> dict[str, Any]:
        if masks is not None:
            what = "left out beside a dictionary, whose `mask` is drawn"
            raise TypeError(expected("masks", what, f"an object of type {type(masks).__name__}"))
        seeds = batch.get("draw_seed") if draw_seeds is None else draw_seeds
        drawn = self(batch.get("image"), batch.get("mask"), draw_seeds=seeds)
        if batch.get("mask") is None:
            return {**batch, "image": drawn}
        return {**batch, "image": drawn[0], "mask": drawn[1]}

    def _seeds(self, draw_seeds: _Seeds | None, count: int | None) -> torch.Tensor | None:
        if draw_seeds is None and not self.table.names:
            return None
        seeds = _checked_seeds(draw_seeds, count)
        return seeds.to(self.spline.device, non_blocking=True)

    def _in_chunks(
        self, images: torch.Tensor, masks: torch.Tensor | None, seeds: torch.Tensor | None
    ) -> Any:
        step = max(1, _CHUNK // images[0:1, 0].numel()) if len(images) else 1
        if images.device.type != "cpu" or torch.compiler.is_compiling() or len(images) <= step:
            return self._draw(images, masks, seeds)
        parts = [
            self._draw(images[at], _part(masks, at), _part(seeds, at))
            for at in (slice(start, start + step) for start in range(0, len(images), step))
        ]
        if masks is None:
            return torch.cat(parts)
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def _draw(
        self, images: torch.Tensor, masks: torch.Tensor | None, seeds: torch.Tensor | None
    ) -> Any:
        channels_last = _channels_last(images)
        side = self.image_size
        if side is not None and tuple(images.shape[2:]) != (side, side):
            images = resize(images.to(torch.float32), side)
            masks = None if masks is None else resize(masks[:, None].float(), side)[:, 0] >= 0.5
        elif masks is not None:
            masks = masks.clone()  # what comes out must not be what came in
        channels: Channels = images.to(torch.float32).unbind(dim=1)
        shown = None
        if seeds is not None and self.table.names:
            draws = self.table(seeds)
            positions = warp(draws, self.spline, images.shape[-1])
            means = images.mean(dim=(1, 2, 3), dtype=torch.float32)
            channels = shift_light(sample(images, positions), draws, means)
            masks = None if masks is None else sample_masks(masks, positions)
            if "hue" in draws:
                channels = shift_hsv(channels, draws)
                shown = visible(draws, images.shape[-1])
        done = finish(
            channels,
            shown,
            mean=self.mean,
            std=self.std,
            normalize=self.normalize,
            channels_last=channels_last,
        )
        return done if masks is None else (done, masks)


def _part(values: torch.Tensor | None, at: slice) -> torch.Tensor | None:
    return None if values is None else values[at]


def _channels_last(images: torch.Tensor) -> bool:
    return not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last)


def _check_images(images: Any) -> None:
    what = "a tensor of images (N, 3, H, W) of dtype uint8"
    if not isinstance(images, torch.Tensor):
        remedy = "`preset` takes NumPy arrays." if isinstance(images, np.ndarray) else ""
        got = f"an object of type {type(images).__name__}"
        raise TypeError(expected("images", what, got, remedy))
    if images.dtype != torch.uint8:
        remedy = "Scale values in [0, 1] with `(images * 255).round().to(torch.uint8)`."
        remedy = remedy if images.is_floating_point() else ""
        raise TypeError(expected("images", what, f"dtype {images.dtype}", remedy))
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        remedy = "Move the channels first with `images.movedim(-1, 1)`."
        remedy = remedy if images.ndim == 4 and images.shape[-1] == 3 else ""
        raise ValueError(expected("images", what, f"shape {tuple(images.shape)}", remedy))


def _check_kept(images: torch.Tensor) -> None:
    height, width = images.shape[2:]
    if height != width or height < SMALLEST:
        what = f"square and of {SMALLEST} px or more a side where their size is kept"
        got = f"{height} x {width} px"
        raise ValueError(expected("images", what, got, "Give an `image_size`."))


def _checked_seeds(draw_seeds: Any, count: int | None) -> torch.Tensor:
    what = f"one integer for each of {count} images" if count is not None else "a row of integers"
    if draw_seeds is None:
        remedy = "The same seed gives the same draw."
        raise TypeError(expected("draw_seeds", what, "None", remedy))
    seeds = torch.as_tensor(draw_seeds)
    integers = not (seeds.is_floating_point() or seeds.is_complex() or seeds.dtype == torch.bool)
    if not integers and seeds.numel():  # an empty list has no type of its own
        raise TypeError(expected("draw_seeds", what, f"dtype {seeds.dtype}"))
    if seeds.ndim != 1 or count not in (None, len(seeds)):
        raise ValueError(expected("draw_seeds", what, f"shape {tuple(seeds.shape)}"))
    return seeds.to(torch.int64)

"""Augmentation of whole batches, on the device where they are.

The parameters of each image follow from its own seed alone. Seeds are hashed with the integers of
SplitMix64, which wrap around at 64 bits on every device.

References:
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
    https://doi.org/10.1145/2660193.2660195.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from dermolib._validation import (
    check_choice,
    check_masks,
    check_number,
    check_type,
    require,
)
from dermolib.augmentation.presets import SMALLEST, check_fit
from dermolib.augmentation.recipes import HOLE
from dermolib.models.settings import IMAGENET_MEAN, IMAGENET_STD, checked_mean, checked_std
from dermolib.preprocessing.aspect_ratio import PADDING, inner_size

__all__ = ["RANGES", "BatchAugmentation"]

_Seeds: TypeAlias = torch.Tensor | npt.NDArray[np.int64] | Sequence[int]
_Channels: TypeAlias = Sequence[torch.Tensor]  # red, green and blue, each (N, S, S), in 0..255
_Parameters: TypeAlias = dict[str, torch.Tensor]
"""Name of a parameter to its values (N,), float32."""

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class _Range(NamedTuple):
    """A parameter, uniform in low..high with a probability, else neutral.

    Those of one `gate` are drawn together: one number in 0..1 is compared with all probabilities.
    """

    low: float
    high: float
    neutral: float
    gate: str
    probability: float


def _affine(p: float, *, rotation: float, shift: float, shear: float) -> dict[str, _Range]:
    limits = {"rotation": rotation, "shift_x": shift, "shift_y": shift}
    limits |= {"shear_x": shear, "shear_y": shear}
    ranges = {name: _Range(-most, most, 0, "affine", p) for name, most in limits.items()}
    return {"scale": _Range(0.9, 1.1, 1, "affine", p), **ranges}


def _holes() -> dict[str, _Range]:
    """Cut one, two or three holes, equally often, into every other image."""
    limits = {"height": (0.08, 0.18), "width": (0.08, 0.18), "top": (0, 1), "left": (0, 1)}
    return {
        f"hole_{number}_{name}": _Range(low, high, 0, "cutout", probability)
        for number, probability in enumerate((0.5, 1 / 3, 1 / 6))
        for name, (low, high) in limits.items()
    }


_SYMMETRIES = {
    name: _Range(1, 1, 0, name, 0.5) for name in ("transpose", "flip_columns", "flip_rows")
}

RANGES: dict[str, dict[str, _Range]] = {
    "paper": {
        **_SYMMETRIES,
        "lens": _Range(-0.4, 0.4, 0, "distortion", 1 / 6),
        "rotation_before": _Range(-45, 45, 0, "rotate", 0.5),
        **_affine(0.7, rotation=15, shift=0.1, shear=0),
        "brightness": _Range(-0.2, 0.1, 0, "light", 0.7),
        "contrast": _Range(0.8, 1.15, 1, "light", 0.7),
        "hue": _Range(-8, 8, 0, "color", 0.5),
        "saturation": _Range(-20, 20, 0, "color", 0.5),
        "value": _Range(-10, 10, 0, "color", 0.5),
        **_holes(),
    },
    "light": {
        **_SYMMETRIES,
        **_affine(0.5, rotation=45, shift=0.05, shear=5),
        "lift": _Range(-0.1, 0.1, 0, "light", 0.5),
        "contrast": _Range(0.9, 1.1, 1, "light", 0.5),
        **{name: _Range(0.93, 1.07, 1, "cast", 0.5) for name in ("red", "green", "blue")},
    },
    "evaluation": {},
}
"""Name of a preset to the ranges of its parameters."""


class BatchAugmentation(nn.Module):
    """Augment each image of a batch with parameters of its own, on the device of the batch.

    The parameters of an image depend on its own seed alone: not on the place in the batch, the size
    of the batch or the device, and no generator is read or moved. They are the same everywhere;
    pixels agree up to rounding. Nothing waits for a GPU and no shape depends on data, so that
    ``augment.compile()`` makes a few fused kernels of it; on a GPU, do that. Training mode,
    autocast and ``half()`` change nothing; gradients do not flow through; ``state_dict`` is empty.

    ``"paper"`` has the probabilities and ranges of that `preset` for the eight symmetries, optical
    distortion, rotation, shift, scale, brightness, contrast, hue, saturation, value and cutout;
    contrast limiting (CLAHE), blurs, noise, and distortions by a grid or an elastic field are left
    out. ``"light"`` and ``"evaluation"`` do all that those of `preset` do. What differs:

    - All warps are one, so that pixels are interpolated once; reflection fills what it uncovers.
    - No draw is repeated for the lesion's sake, and a small one can vanish behind a hole.
    - Values are not rounded to 8 bits between two steps, nor shifts to whole pixels, and brightness
      is relative to the mean of the image before it is warped.
    - All images of a batch have one size, and the same seed draws something else.

    Args:
        name: ``"paper"``, ``"light"`` or ``"evaluation"``.
        image_size: Height and width of the result in px, 16 or more, by area where a side shrinks.
            None keeps the size of the images, which must then be square and of 16 px or more,
            except for ``"evaluation"``.
        fit: As for `preset`.
        normalize: Whether images become float32, normalized with `mean` and `std`, or stay uint8.
        mean: As for `preset`, like `std`.
        std: Standard deviation of red, green and blue.

    Raises:
        TypeError: A number has the wrong type, or `mean` or `std` is not a sequence of numbers.
        ValueError: The name is unknown, or a number is out of its range.

    Examples:
        >>> images = torch.arange(4 * 3 * 64 * 64).view(4, 3, 64, 64).to(torch.uint8)
        >>> augment = BatchAugmentation("paper")
        >>> batch = augment(images, draw_seeds=[3, 1, 4, 1])
        >>> alone = augment(images[2:3], draw_seeds=[4])
        >>> bool((alone[0] - batch[2]).abs().max() < 1e-3)
        True
    """

    def __init__(
        self,
        name: str = "paper",
        *,
        image_size: int | None = None,
        fit: str = "squeeze",
        normalize: bool = True,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Check the options."""
        super().__init__()
        check_choice(name, "name", RANGES)
        if image_size is not None:
            check_number(image_size, "image_size", low=SMALLEST, integer=True)
        self.name = name
        check_fit(fit, image_size)
        self.image_size = image_size
        self.fit = fit
        self.normalize = normalize
        self.mean = checked_mean(mean)
        self.std = checked_std(std)
        self.names = tuple(RANGES[name])
        ranges = list(RANGES[name].values())
        gates = list(dict.fromkeys(one.gate for one in ranges))
        rows = [[one.low, one.high, one.neutral, one.probability] for one in ranges]
        # As integers, which stay as they are in `half()` and its like
        bits = torch.tensor(rows, dtype=torch.float32).view(-1, 4).T.contiguous().view(torch.int32)
        places = torch.tensor([gates.index(one.gate) for one in ranges], dtype=torch.int64)
        # Products in Python: a compiler would fold them into numbers of more than 64 bits
        counters = [_signed(number * _GAMMA) for number in range(1, len(gates) + len(ranges) + 1)]
        self.ranges = nn.Buffer(bits, persistent=False)
        self.gates = nn.Buffer(places, persistent=False)
        self.counters = nn.Buffer(torch.tensor(counters, dtype=torch.int64), persistent=False)

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
                ``"image"`` and, if there are, masks as ``"mask"`` and seeds as ``"draw_seed"``.
                They are not written to.
            masks: Lesion masks (N, H, W), bool, warped as the images are. A hole of the cutout
                leaves them as they are.
            draw_seeds: One integer of 64 bits for each image (N,); ``"evaluation"`` needs none.

        Returns:
            Images (N, 3, S, S), or images and masks (N, S, S), on the device and in the memory
            format of the images. For a dictionary, a copy of it, everything else passed on.

        Raises:
            TypeError: A type or dtype is wrong, seeds are missing, or masks come twice.
            ValueError: Shapes do not match, or the size of the images cannot be kept.
        """
        if isinstance(images, dict):
            return self._forward_dictionary(images, masks, draw_seeds)
        self._check_images(images)
        if masks is not None:
            check_masks(masks, (images.shape[0], *images.shape[2:]))
        seeds = self._seeds(draw_seeds, len(images), images.device) if self.names else None
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._augment(images, masks, seeds)

    def draws(self, draw_seeds: _Seeds) -> _Parameters:
        """Return the parameters that seeds (N,) draw: name to values (N,), float32.

        Values are neutral where a parameter is not applied. Angles are in degrees, lengths are
        fractions of the side, and flags are 0 or 1.
        """
        with torch.no_grad():
            return self._draw(self._seeds(draw_seeds, None, self.ranges.device))

    def _draw(self, seeds: torch.Tensor) -> _Parameters:
        """Draw for each seed (N,), int64."""
        bits = _mixed(_mixed(seeds + _signed(_GAMMA))[:, None] + self.counters)
        numbers = _top(bits, 24).to(torch.float32) * 2.0**-24
        low, high, neutral, probability = self.ranges.view(torch.float32)
        drawn = low + (high - low) * numbers[:, numbers.shape[1] - len(self.names) :]
        is_open = numbers.index_select(1, self.gates) < probability
        values = torch.where(is_open, drawn, neutral)
        return dict(zip(self.names, values.unbind(dim=1), strict=True))

    def _forward_dictionary(
        self, batch: dict[str, Any], masks: Any, draw_seeds: _Seeds | None
    ) -> dict[str, Any]:
        what = "left out beside a dictionary, which has its own `mask`"
        check_type(masks, "masks", type(None), what)
        seeds, masks = (
            batch.get("draw_seed") if draw_seeds is None else draw_seeds,
            batch.get("mask"),
        )
        drawn = self(batch.get("image"), masks, draw_seeds=seeds)
        image, mask = (drawn, {}) if masks is None else (drawn[0], {"mask": drawn[1]})
        return {**batch, "image": image, **mask}

    def _seeds(self, draw_seeds: Any, count: int | None, device: torch.device) -> torch.Tensor:
        """Check seeds, and bring them and the ranges to the device."""
        name, what = "draw_seeds", "a row of integers"
        what = what if count is None else f"one integer for each of {count} images"
        hint = "The same seed gives the same draw."
        require(draw_seeds is not None, name, what, "None", hint, error=TypeError)
        seeds = torch.as_tensor(draw_seeds)
        # An empty list has no type of its own
        fractional = seeds.is_floating_point() or seeds.is_complex() or seeds.dtype == torch.bool
        integers = not fractional or not seeds.numel()
        require(integers, name, what, f"dtype {seeds.dtype}", error=TypeError)
        fits = seeds.ndim == 1 and count in (None, len(seeds))
        require(fits, name, what, f"shape {tuple(seeds.shape)}")
        if self.ranges.device != device:
            self.to(device)
        return seeds.to(device, torch.int64, non_blocking=True)

    def _check_images(self, images: Any) -> None:
        what = "a tensor of images (N, 3, H, W) of dtype uint8"
        check_type(images, "images", torch.Tensor, what, "`preset` takes NumPy arrays.")
        got, hint = f"dtype {images.dtype}", "Images in [0, 1] are scaled by 255, then rounded."
        require(images.dtype == torch.uint8, "images", what, got, hint, error=TypeError)
        fits = images.ndim == 4 and images.shape[1] == 3 and 0 not in images.shape[2:]
        hint = "Channels come first: `images.movedim(-1, 1)`."
        require(fits, "images", what, f"shape {tuple(images.shape)}", hint)
        kept = self.image_size is None and bool(self.names)
        fits = not kept or images.shape[2] == images.shape[3] >= SMALLEST
        what = f"square and of {SMALLEST} px or more a side where their size is kept"
        got = f"{images.shape[2]} x {images.shape[3]} px"
        require(fits, "images", what, got, "Give an `image_size`.")

    def _augment(self, images: Any, masks: torch.Tensor | None, seeds: torch.Tensor | None) -> Any:
        last = images.is_contiguous(memory_format=torch.channels_last) > images.is_contiguous()
        side = self.image_size
        if side is not None and tuple(images.shape[2:]) != (side, side):
            images = self._fitted(images.to(torch.float32), side, PADDING)
            if masks is not None:
                masks = self._fitted(masks[:, None].float(), side, (0,))[:, 0] >= 0.5
        elif masks is not None:
            masks = masks.clone()  # what comes out must not be what came in
        channels: _Channels
        if seeds is None:
            channels = images.to(torch.float32).unbind(dim=1)
        else:
            drawn = self._draw(seeds)
            means = images.mean(dim=(1, 2, 3), dtype=torch.float32)
            grid = _grid(drawn, images.shape[-1])
            channels = _lit(_sampled_linearly(images, grid), drawn, means)
            if masks is not None:
                masks = _sampled(masks[:, None], grid, "nearest")[:, 0] > 0.5
            if "hue" in drawn:
                shown = _outside_holes(drawn, images.shape[-1])
                pairs = zip(_hsv_shifted(channels, drawn), HOLE, strict=True)
                channels = [(channel - fill).mul_(shown).add_(fill) for channel, fill in pairs]
        if self.normalize:
            triples = zip(channels, self.mean, self.std, strict=True)
            channels = [(one - 255 * mean).mul_(1 / (255 * std)) for one, mean, std in triples]
        else:
            channels = [channel.round().to(torch.uint8) for channel in channels]
        done = torch.stack([*channels], dim=1)
        done = done.contiguous(memory_format=torch.channels_last) if last else done
        return done if masks is None else (done, masks)

    def _fitted(self, images: torch.Tensor, side: int, fill: Sequence[float]) -> torch.Tensor:
        """Resize images (N, C, H, W), then pad or crop them evenly."""
        wanted = (side, side)
        images = _resized(images, inner_size(tuple(images.shape[2:]), wanted, self.fit))
        height, width = images.shape[2:]
        if (height, width) == wanted:
            return images
        top, left = (abs(side - height) // 2, abs(side - width) // 2)
        if self.fit == "crop":
            return images[:, :, top : top + side, left : left + side]
        color = torch.tensor(fill, device=images.device).to(images.dtype)
        padded = color.view(1, -1, 1, 1).repeat(len(images), 1, side, side)
        padded[:, :, top : top + height, left : left + width] = images
        return padded


def _resized(images: torch.Tensor, wanted: tuple[int, int]) -> torch.Tensor:
    """Resize images (N, C, H, W): by area where a side shrinks, linearly where it grows."""
    # Of the columns, then of the rows
    for size, side in zip(images.shape[:-3:-1], wanted[::-1], strict=True):
        pixel, step = torch.arange(size, device=images.device), size / side
        start = torch.arange(side, device=images.device)[:, None] * step
        if side < size:
            covered = torch.minimum(start + step, pixel + 1) - torch.maximum(start, pixel)
            weights = covered.clamp(min=0) / step
        else:
            center = (start + step / 2 - 0.5).clamp(0, size - 1)
            weights = (1 - (center - pixel).abs()).clamp(min=0)
        images = (images @ weights.T).mT
    return images


def _grid(drawn: _Parameters, side: int) -> torch.Tensor:
    """Find where each pixel comes from (N, S, S, 2): x and y, -1 to 1 between outermost centers.

    One matrix undoes shift, shear, rotations, scaling, flips and transposition, in this order. A
    lens distorts all directions equally, so it can come last.
    """
    degree = math.pi / 180
    angle = (drawn["rotation"] + drawn.get("rotation_before", 0)) * degree
    over, under = ((drawn[name] * degree).tan() for name in ("shear_x", "shear_y"))
    size, cos, sin = (1 - over * under) * drawn["scale"], angle.cos(), angle.sin()
    to_x = torch.stack([cos + sin * under, -sin - cos * over], dim=1)
    to_y = torch.stack([sin - cos * under, cos - sin * over], dim=1)
    flips = torch.stack([drawn["flip_columns"], drawn["flip_rows"]], dim=1)
    matrix = torch.stack([to_x, to_y], dim=1) * ((1 - 2 * flips) / size[:, None])[..., None]
    matrix = torch.where(_per_image(drawn["transpose"]) > 0, matrix.flip(1), matrix)
    # A fraction of the side, which is `side` px long, while -1 to 1 are `side` - 1 px
    shifts = torch.stack([drawn["shift_x"], drawn["shift_y"]], dim=1) * (2 * side / (side - 1))
    place = torch.linspace(-1, 1, side, device=size.device) - shifts[..., None]
    along, beside = (matrix[:, :, axis, None] * place[:, axis, None] for axis in (0, 1))
    grid = along[:, :, None, :] + beside[..., None]
    if "lens" in drawn:
        # Beyond the corners the lens stays as it is there, or the image would fold over
        half = ((side - 1) / side / 2) ** 2
        square = (grid * grid).sum(dim=1).mul_(half).clamp_(max=0.5)
        bend = (square * square).add_(square).mul_(_per_image(drawn["lens"])).add_(1)
        grid.mul_(bend[:, None])
    return grid.permute(0, 2, 3, 1)


def _sampled(values: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(
        values.to(torch.float32), grid, mode=mode, padding_mode="reflection", align_corners=True
    )


def _sampled_linearly(images: torch.Tensor, grid: torch.Tensor) -> _Channels:
    """Sample images linearly; for a compiler in steps that it fuses, in half of the time."""
    if not torch.compiler.is_compiling():
        return _sampled(images, grid, "bilinear").unbind(dim=1)
    span = images.shape[-1] - 1
    place = ((grid + 1) * (span / 2)).abs()
    place = place - (2 * span) * (place / (2 * span)).floor()
    place = torch.minimum(place, 2 * span - place).clamp(0, span)
    near = place.to(torch.int64)
    (left, upper), (right, lower) = near.unbind(-1), (near + 1).clamp(max=span).unbind(-1)
    across, down = (place - near).unbind(-1)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    channels = []
    for channel in range(3):
        rows = []
        for y in (upper, lower):
            first, second = (images[image, channel, y, x].to(torch.float32) for x in (left, right))
            rows.append(first + across * (second - first))
        channels.append(rows[0] + down * (rows[1] - rows[0]))
    return channels


def _lit(channels: _Channels, drawn: _Parameters, means: torch.Tensor) -> _Channels:
    """Apply contrast and brightness, and a color cast if one is drawn."""
    added = drawn["brightness"] * means if "brightness" in drawn else drawn["lift"] * 255
    factor, added = _per_image(drawn["contrast"]), _per_image(added)
    lit = [(channel * factor).add_(added).clamp_(0, 255) for channel in channels]
    if "red" in drawn:
        for channel, name in zip(lit, ("red", "green", "blue"), strict=True):
            channel.mul_(_per_image(drawn[name])).clamp_(0, 255)
    return lit


def _hsv_shifted(channels: _Channels, drawn: _Parameters) -> _Channels:
    """Shift hue, saturation and value as OpenCV defines and scales them for 8 bits.

    A color without saturation in 8 bits stays gray. Choices (`torch.where`) would be slower.
    """
    red, green, blue = channels
    high, low = torch.maximum(green, blue), torch.minimum(green, blue)
    top, bottom = torch.maximum(red, high), torch.minimum(red, low)
    span = top - bottom
    # Nearness to red in sextants: 2 at red, 1 at yellow, 0 at green, -1 at cyan, and so on back
    near = (red - bottom) + (red - high).clamp_(min=0) - (low - red).clamp_(min=0)
    hue = torch.copysign(2 - near / span.clamp(min=1e-3), green - blue)
    hue += _per_image(drawn["hue"] / 30)
    saturation = span * (255 / top.clamp(min=1e-3))
    colored = (2 * saturation).clamp_(max=1).floor_()
    saturation += colored * _per_image(drawn["saturation"])
    top = (top + _per_image(drawn["value"])).clamp_(0, 255)
    span = saturation.clamp_(0, 255).mul_(top).mul_(1 / 255)
    shifted = []
    for place in (0, 2, -2):  # of red, green and blue
        away = (hue - place).abs_()
        away = torch.minimum(away, 6 - away)
        shifted.append(top - away.sub_(1).clamp_(0, 1).mul_(span))
    return shifted


def _outside_holes(drawn: _Parameters, side: int) -> torch.Tensor:
    """Flag the pixels (N, S, S) whose centers lie in no hole: 1, else 0."""
    center = (torch.arange(side, device=drawn["hue"].device) + 0.5) / side
    shown: Any = 1
    for number in range(3):
        inside = []
        for start, length in (("top", "height"), ("left", "width")):
            long = drawn[f"hole_{number}_{length}"][:, None]
            first = drawn[f"hole_{number}_{start}"][:, None] * (1 - long)
            inside.append(((center >= first) & (center < first + long)).to(torch.float32))
        shown = shown * (1 - inside[0][:, :, None] * inside[1][:, None, :])
    return torch.as_tensor(shown)


def _per_image(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)


def _mixed(bits: torch.Tensor) -> torch.Tensor:
    """Mix 64 bits so that each depends on all."""
    bits = (bits ^ _top(bits, 34)) * _signed(_FIRST)
    bits = (bits ^ _top(bits, 37)) * _signed(_SECOND)
    return bits ^ _top(bits, 33)


def _top(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Shift the top bits down; the mask takes off the sign that comes along."""
    return (bits >> (64 - count)) & ((1 << count) - 1)


def _signed(number: int) -> int:
    """Wrap a number around to 64 bits with a sign."""
    return (number + 2**63) % 2**64 - 2**63

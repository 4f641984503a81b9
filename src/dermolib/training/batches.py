"""Batches as a training step takes them, checked once; mixup and cutmix."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dermolib._validation import listed, require
from dermolib.labels import FROM_ZERO

__all__ = ["Batch", "check_finite_images", "form", "labeled", "mix", "unpack"]

_TOLERANCE = 1e-3  # what rounding to half precision may add to a sum of probabilities


@dataclass(frozen=True)
class Batch:
    """A batch of N images.

    Attributes:
        image: Images (N, 3, H, W), float32.
        label: Classes (N,), int64, or None.
        soft_label: Target probabilities of K classes (N, K), or None.
        metadata: Metadata (N, M), float32, or None.
        ids: Image ids (N,), or None.
    """

    image: Tensor
    label: Tensor | None = None
    soft_label: Tensor | None = None
    metadata: Tensor | None = None
    ids: list[str] | None = None

    @property
    def target(self) -> Any:
        """Soft labels where there are some, classes otherwise."""
        return self.label if self.soft_label is None else self.soft_label


def unpack(batch: Any) -> Batch:
    """Read a batch: a dictionary or a pair of image and label; NumPy arrays become tensors."""
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    parts: Any = {"image": batch[0], "label": batch[1]} if pair else batch
    what = "a dictionary with `image` and `label`, or a pair of them"
    known = isinstance(parts, dict) and "image" in parts
    require(known, "batch", what, form(batch), error=TypeError)
    image, label = parts["image"], parts.get("label")
    fits = isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 4
    hint = "Give the dataset a transform that ends in one, such as `preset('evaluation')`"
    hint += ", or a `DeviceLoader` an `augment` such as `BatchAugmentation`."
    require(fits, "image", "a float tensor (N, 3, H, W)", form(image), hint, error=TypeError)
    soft = _as_tensor(parts.get("soft_label"), "soft_label", "(N, K)", image.device)
    metadata = _as_tensor(parts.get("metadata"), "metadata", "(N, M)", image.device)
    return Batch(
        image.float(),
        label=torch.as_tensor(label, device=image.device) if _is_array(label) else label,
        soft_label=soft,
        metadata=None if metadata is None else metadata.float(),
        ids=parts.get("id"),
    )


def labeled(batch: Any, num_classes: int, *, check_values: bool = False) -> Batch:
    """Read and check a batch with labels; values on a GPU are checked only if asked for."""
    ready = unpack(batch)
    hint = "Accuracy counts by it, beside `soft_label` too; use `predict` for unlabeled images."
    require(ready.label is not None, "batch", "a batch with `label`", "none", hint)
    check_values = check_values or ready.image.device.type == "cpu"
    count = len(ready.image)
    label = _as_classes(ready.label, count, num_classes, check_values=check_values)
    shape = (count, num_classes)
    soft = _as_probabilities(ready.soft_label, shape, check_values=check_values)
    if check_values:
        check_finite_images(ready)
    return replace(ready, label=label, soft_label=soft)


def check_finite_images(batch: Batch) -> None:
    """Refuse images and metadata with NaN or infinity, naming their rows or ids."""
    for name in ("image", "metadata"):
        values = getattr(batch, name)
        # A sum is faster than a look at each value, and not finite if one of them is not
        if values is not None and not bool(torch.isfinite(values.sum())):
            finite = torch.isfinite(values.flatten(1)).all(dim=1)
            rows = (~finite).nonzero().flatten().tolist()
            rows = rows if batch.ids is None else [batch.ids[row] for row in rows]
            got = f"NaN or infinity in {'row' if batch.ids is None else 'image'} {listed(rows)}"
            require(not rows, name, "finite", got, "Repair or leave out; is a transform the cause?")


def form(values: Any) -> str:
    """Describe the dtype and shape of an array, or the type of another object."""
    if not hasattr(values, "shape"):
        return f"an object of type {type(values).__name__}"
    return f"{values.dtype} of shape {tuple(values.shape)}"


def mix(batch: Batch, *, mixup: float, cutmix: float, num_classes: int) -> Batch:
    """Blend each image of a batch, its target and metadata with another one.

    Where both are on, each batch gets one of them, equally often. Draws come from torch's global
    generator on the CPU.

    References:
        Zhang et al., mixup: beyond empirical risk minimization, 2018,
        https://doi.org/10.48550/arXiv.1710.09412; Yun et al., CutMix, 2019,
        https://doi.org/10.1109/ICCV.2019.00612.
    """
    cuts = cutmix > 0 and (mixup == 0 or float(torch.rand(())) < 0.5)
    alpha = cutmix if cuts else mixup
    fraction = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch.image))
    other = order.to(batch.image.device)
    if cuts:
        image, fraction = _pasted(batch.image, batch.image[other], fraction)
    else:
        image = torch.lerp(batch.image[other], batch.image, fraction)
    target = batch.target
    if batch.soft_label is None:
        target = nn.functional.one_hot(target, num_classes).float()
    metadata = batch.metadata
    if metadata is not None:
        metadata = torch.lerp(metadata[other], metadata, fraction)
    soft = torch.lerp(target[other], target, fraction)
    return replace(batch, image=image, metadata=metadata, soft_label=soft)


def _pasted(image: Tensor, other: Tensor, fraction: float) -> tuple[Tensor, float]:
    """Paste a window of the other images; also return the fraction of these that is left."""
    height, width = image.shape[2:]
    side = math.sqrt(1 - fraction)
    tall, wide = round(height * side), round(width * side)
    top = int(torch.randint(height - tall + 1, ()))
    left = int(torch.randint(width - wide + 1, ()))
    window = image.new_zeros((height, width), dtype=torch.bool)
    window[top : top + tall, left : left + wide] = True
    mixed = torch.where(window, other, image)
    return mixed, 1 - tall * wide / (height * width)


def _as_classes(label: Any, count: int, num_classes: int, *, check_values: bool) -> Tensor:
    """Convert labels to classes (N,), int64."""
    what = f"classes (N,) in 0..{num_classes - 1}"
    fits = isinstance(label, Tensor) and not label.is_floating_point() and label.ndim == 1
    require(fits, "label", what, form(label), error=TypeError)
    got = f"{len(label)} for {count} images"
    require(len(label) == count, "label", "one class for each image", got)
    classes: Tensor = label.long()
    if check_values and (int(classes.min()) < 0 or int(classes.max()) >= num_classes):
        require(False, "label", what, listed(sorted(set(classes.tolist()))), FROM_ZERO)
    return classes


def _as_probabilities(
    soft: Tensor | None, shape: tuple[int, int], *, check_values: bool
) -> Tensor | None:
    """Convert soft labels to float32."""
    if soft is None:
        return None
    what = f"probabilities {shape}, floating point, each row of sum 1"
    require(soft.is_floating_point(), "soft_label", what, form(soft), error=TypeError)
    require(soft.shape == shape, "soft_label", what, form(soft))
    soft = soft.float()
    if check_values:
        # NaN is not 0 or more, and infinity is in no sum of 1
        fits = (soft >= 0).all(dim=1) & ((soft.sum(dim=1) - 1).abs() <= _TOLERANCE)
        row = int(fits.long().argmin())
        got = f"{[round(value, 4) for value in soft[row].tolist()]} in row {row}"
        hint = "Logits become probabilities by `softmax(dim=-1)`."
        require(fits.all(), "soft_label", what, got, hint)
    return soft


def _is_array(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "biuf"


def _as_tensor(values: Any, name: str, shape: str, device: torch.device) -> Tensor | None:
    if values is None or isinstance(values, Tensor):
        return values
    hint = f"Give each sample an array or tensor as its `{name}`; lists are collated differently."
    what = f"a tensor {shape} of numbers, or None"
    require(_is_array(values), name, what, form(values), hint, error=TypeError)
    return torch.as_tensor(values, device=device)

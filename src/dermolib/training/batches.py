"""Batches as a training step takes them, checked once; mixup and cutmix."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dermolib._validation import expected, listed, require

__all__ = ["Batch", "check_finite_images", "label_error", "labeled", "mix", "unpack"]

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
    got = f"an object of type {type(batch).__name__}"
    require(isinstance(parts, dict) and "image" in parts, "batch", what, got, error=TypeError)
    image = parts["image"]
    fits = isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 4
    what = "a float tensor (N, 3, H, W)"
    require(fits, "image", what, _form(image), _image_hint(image), error=TypeError)
    soft = _numbers(parts.get("soft_label"), "soft_label", "(N, K)", image.device)
    metadata = _numbers(parts.get("metadata"), "metadata", "(N, M)", image.device)
    label = parts.get("label")
    return Batch(
        image.float(),
        label=torch.as_tensor(label, device=image.device) if _is_array(label) else label,
        soft_label=soft.float() if soft is not None and soft.is_floating_point() else soft,
        metadata=None if metadata is None else metadata.float(),
        ids=parts.get("id"),
    )


def labeled(batch: Any, num_classes: int, *, check_values: bool = False) -> Batch:
    """Read and check a batch with labels; values on a GPU are checked only if asked for."""
    ready = unpack(batch)
    check_values = check_values or ready.image.device.type == "cpu"
    if ready.label is None:
        soft_alone = ready.soft_label is not None
        what = f"a batch with `label`{' beside `soft_label`' if soft_alone else ''}"
        got = "`soft_label` alone" if soft_alone else "none"
        hint = "Accuracy needs labels; use `predict` for unlabeled images."
        raise ValueError(expected("batch", what, got, hint))
    count = len(ready.image)
    label = _checked_label(ready.label, count, num_classes, check_values=check_values)
    if ready.soft_label is not None:
        _check_soft_label(ready.soft_label, (count, num_classes), check_values=check_values)
    if check_values:
        check_finite_images(ready)
    return replace(ready, label=label)


def label_error(found: object, num_classes: int) -> str:
    """Word that labels are not in 0..K-1."""
    hint = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
    return expected("label", f"classes (N,) in 0..{num_classes - 1}", found, hint)


def check_finite_images(batch: Batch) -> None:
    """Refuse images and metadata with NaN or infinity, naming their rows or ids."""
    for name in ("image", "metadata"):
        values = getattr(batch, name)
        # A sum is faster than a look at each value, and not finite if one of them is not
        if values is None or bool(torch.isfinite(values.sum())):
            continue
        broken = (~torch.isfinite(values.flatten(1)).all(dim=1)).nonzero().flatten().tolist()
        rows = broken if batch.ids is None else [batch.ids[row] for row in broken]
        got = f"NaN or infinity in {'row' if batch.ids is None else 'image'} {listed(rows)}"
        hint = "Repair or leave out these images; a transform may be the cause."
        require(not broken, name, "finite", got, hint)


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


def _checked_label(label: Any, count: int, num_classes: int, *, check_values: bool) -> Tensor:
    fits = isinstance(label, Tensor) and not label.is_floating_point() and label.ndim == 1
    what = f"classes (N,) in 0..{num_classes - 1}"
    require(fits, "label", what, _form(label), error=TypeError)
    if check_values and (int(label.min()) < 0 or int(label.max()) >= num_classes):
        raise ValueError(label_error(sorted(set(label.tolist())), num_classes))
    got = f"{len(label)} for {count} images"
    require(len(label) == count, "label", "one class for each image", got)
    classes: Tensor = label.long()
    return classes


def _check_soft_label(soft: Tensor, shape: tuple[int, int], *, check_values: bool) -> None:
    what = f"probabilities {shape}, floating point, each row of sum 1"
    require(soft.is_floating_point(), "soft_label", what, soft.dtype, error=TypeError)
    require(soft.shape == shape, "soft_label", what, f"shape {tuple(soft.shape)}")
    if not check_values:
        return
    # NaN is not 0 or more, and infinity is in no sum of 1
    fits = (soft >= 0).all(dim=1) & ((soft.sum(dim=1) - 1).abs() <= _TOLERANCE)
    if not bool(fits.all()):
        row = int((~fits).nonzero()[0])
        got = f"{[round(value, 4) for value in soft[row].tolist()]} in row {row}"
        hint = "Logits become probabilities by `softmax(dim=-1)`."
        raise ValueError(expected("soft_label", what, got, hint))


def _image_hint(image: Any) -> str:
    hint = "Give the dataset a transform that ends in one, such as `preset('evaluation')`"
    if getattr(image, "dtype", None) == torch.uint8:
        hint += ", or a `DeviceLoader` an `augment` such as `BatchAugmentation`"
    return f"{hint}."


def _is_array(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "biuf"


def _numbers(values: Any, name: str, shape: str, device: torch.device) -> Tensor | None:
    if values is None or isinstance(values, Tensor):
        return values
    what, got = (
        f"a tensor {shape} of numbers, or None",
        f"an object of type {type(values).__name__}",
    )
    hint = f"Give each sample an array or tensor as its `{name}`; lists are collated differently."
    require(_is_array(values), name, what, got, hint, error=TypeError)
    return torch.as_tensor(values, device=device)


def _form(values: Any) -> str:
    shape = tuple(getattr(values, "shape", ()))
    return f"{getattr(values, 'dtype', type(values).__name__)} of shape {shape}"

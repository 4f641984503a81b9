"""What a loader gives, as what a step takes: looked at once, with words for what does not fit."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dermolib._validation import expected, listed

__all__ = [
    "Batch",
    "check_finite_images",
    "check_label",
    "check_soft_label",
    "labelled",
    "out_of_range",
    "unpack",
]

_APART = 1e-3  # what rounding to half precision may add to a sum of probabilities


@dataclass(frozen=True)
class Batch:
    """A batch of N images.

    Attributes:
        image: Images (N, 3, H, W), float32.
        label: Classes (N,), int64, or None.
        soft_label: Probabilities of K classes (N, K) to train towards, or None.
        metadata: Metadata (N, M), float32, or None.
        ids: Names of the images (N,), or None.
    """

    image: Tensor
    label: Tensor | None = None
    soft_label: Tensor | None = None
    metadata: Tensor | None = None
    ids: list[str] | None = None

    def target(self, num_classes: int) -> Tensor:
        """Return what to train towards as probabilities (N, K), float32."""
        if self.soft_label is not None:
            return self.soft_label
        if self.label is None:
            raise ValueError(_unlabelled())
        return nn.functional.one_hot(self.label, num_classes).float()


def unpack(batch: Any) -> Batch:
    """Take what a step needs out of a batch.

    Args:
        batch: Dictionary with ``image`` (N, 3, H, W) and, where known, ``label`` (N,),
            ``soft_label`` (N, K), ``metadata`` (N, M) and ``id``; or a pair of image and label.
            Arrays of NumPy become tensors beside the images.

    Returns:
        The batch.

    Raises:
        TypeError: The batch is neither, its images are no float tensor, or soft labels or metadata
            are neither tensors nor arrays of numbers.
    """
    if isinstance(batch, dict) and "image" in batch:
        parts = batch
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        parts = {"image": batch[0], "label": batch[1]}
    else:
        what = "a dictionary with `image` and `label`, or a pair of them"
        raise TypeError(expected("batch", what, f"an object of type {type(batch).__name__}"))
    image = parts["image"]
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 4:
        got = f"{getattr(image, 'dtype', type(image).__name__)} of shape {_shape(image)}"
        raise TypeError(expected("image", "a float tensor (N, 3, H, W)", got, _ready_images(image)))
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


def labelled(batch: Any, num_classes: int, *, values: bool = False) -> Batch:
    """Take what a step of training or scoring needs out of a batch, and look at all of it.

    Args:
        batch: What `unpack` takes, with labels.
        num_classes: Number of classes K.
        values: Whether to look at the values on a device that has to be waited for too; those on
            the CPU are always looked at.

    Returns:
        The batch, with classes (N,), int64.

    Raises:
        TypeError: A part is of another type.
        ValueError: There are no labels, there are more or fewer than images, or values do not fit.
    """
    ready = unpack(batch)
    looks = values or ready.image.device.type == "cpu"
    if ready.label is None and ready.soft_label is not None:
        what = "a batch with `label` beside `soft_label`, by which the accuracy counts"
        raise ValueError(expected("batch", what, "`soft_label` alone"))
    label = check_label(ready.label, num_classes, values=looks)
    if len(label) != len(ready.image):
        got = f"{len(label)} for {len(ready.image)} images"
        raise ValueError(expected("label", "one class for each image", got))
    if ready.soft_label is not None:
        shape = (len(ready.image), num_classes)
        check_soft_label(ready.soft_label, shape, values=looks)
    if looks:
        check_finite_images(ready)
    return replace(ready, label=label)


def check_label(label: Any, num_classes: int, *, values: bool) -> Tensor:
    """Refuse labels that are no classes.

    Args:
        label: What a batch has under ``label``.
        num_classes: Number of classes K.
        values: Whether to look at the values too, for which a device has to be waited for.

    Returns:
        Classes (N,), int64.

    Raises:
        TypeError: They are no whole numbers (N,).
        ValueError: There are none, or one is not in 0..K-1.
    """
    if label is None:
        raise ValueError(_unlabelled())
    what = f"classes (N,) in 0..{num_classes - 1}"
    if not isinstance(label, Tensor) or label.is_floating_point() or label.ndim != 1:
        got = f"{getattr(label, 'dtype', type(label).__name__)} of shape {_shape(label)}"
        raise TypeError(expected("label", what, got))
    if values and (int(label.min()) < 0 or int(label.max()) >= num_classes):
        raise ValueError(out_of_range(sorted(set(label.tolist())), num_classes))
    return label.long()


def out_of_range(found: object, num_classes: int) -> str:
    """Word that labels are not in 0..K-1."""
    remedy = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
    return expected("label", f"classes (N,) in 0..{num_classes - 1}", found, remedy)


def check_soft_label(soft: Any, shape: tuple[int, int], *, values: bool) -> None:
    """Refuse what are no probabilities of classes.

    Args:
        soft: What a batch has under ``soft_label``.
        shape: Number of images and of classes (N, K).
        values: Whether to look at the values too, for which a device has to be waited for.

    Raises:
        TypeError: It is no tensor of floating point.
        ValueError: The shape differs, a value is negative or not finite, or a row does not sum
            to 1.
    """
    what = f"probabilities {shape}, floating point, each row of sum 1"
    if not isinstance(soft, Tensor) or not soft.is_floating_point():
        got = f"{getattr(soft, 'dtype', type(soft).__name__)}"
        raise TypeError(expected("soft_label", what, got))
    if soft.shape != shape:
        raise ValueError(expected("soft_label", what, f"shape {_shape(soft)}"))
    if not values:
        return
    # NaN is not 0 or more, and infinity is in no sum of 1
    fits = (soft >= 0).all(dim=1) & ((soft.sum(dim=1) - 1).abs() <= _APART)
    if not bool(fits.all()):
        row = int((~fits).nonzero()[0])
        got = f"{[round(value, 4) for value in soft[row].tolist()]} in row {row}"
        remedy = "Logits become probabilities by `softmax(dim=-1)`."
        raise ValueError(expected("soft_label", what, got, remedy))


def check_finite_images(batch: Batch) -> None:
    """Refuse images and metadata with NaN or infinity, by the names of their rows.

    Args:
        batch: Batch of N images.

    Raises:
        ValueError: A value is not finite.
    """
    for name in ("image", "metadata"):
        values = getattr(batch, name)
        # A sum is quicker than a look at each value, and not finite if one of them is not
        if values is None or bool(torch.isfinite(values.sum())):
            continue
        broken = (~torch.isfinite(values.flatten(1)).all(dim=1)).nonzero().flatten().tolist()
        if broken:
            rows = broken if batch.ids is None else [batch.ids[row] for row in broken]
            got = f"NaN or infinity in {'row' if batch.ids is None else 'image'} {listed(rows)}"
            remedy = "Mend or leave out these images; a transform may have made it."
            raise ValueError(expected(name, "finite", got, remedy))


def _unlabelled() -> str:
    return expected("batch", "a batch with `label`", "none", "Use `predict` for unlabelled images.")


def _ready_images(image: Any) -> str:
    if getattr(image, "dtype", None) == torch.uint8:
        return (
            "Give the dataset a transform that ends in one, such as `preset('evaluation', "
            "image_size=224)`, or a `DeviceLoader` an `augment` such as `BatchAugmentation`."
        )
    return (
        "Give the dataset a transform that ends in one, such as "
        "`preset('evaluation', image_size=224)`."
    )


def _is_array(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "biuf"


def _numbers(values: Any, name: str, shape: str, device: torch.device) -> Tensor | None:
    if values is None or isinstance(values, Tensor):
        return values
    if _is_array(values):
        return torch.as_tensor(values, device=device)
    what = f"a tensor {shape} of numbers, or None"
    got = f"an object of type {type(values).__name__}"
    remedy = (
        f"Give each sample an array or tensor as its `{name}`; lists are put together otherwise."
    )
    raise TypeError(expected(name, what, got, remedy))


def _shape(image: Any) -> tuple[int, ...]:
    return tuple(getattr(image, "shape", ()))

"""What a loader gives, as what a step takes: looked at once, with words for what does not fit."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dermolib._checks import expected, listed

__all__ = ["Batch", "check_finite_images", "check_label", "check_model", "unpack"]


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


def check_model(model: Any) -> None:
    """Refuse what is no model.

    Args:
        model: What a Trainer is given.

    Raises:
        TypeError: It is no module of torch.
    """
    if not isinstance(model, nn.Module):
        got = f"an object of type {type(model).__name__}"
        raise TypeError(expected("model", "a torch module", got, "See `build_model`."))


def unpack(batch: Any) -> Batch:
    """Take what a step needs out of a batch.

    Args:
        batch: Dictionary with ``image`` (N, 3, H, W) and, where known, ``label`` (N,),
            ``soft_label`` (N, K), ``metadata`` (N, M) and ``id``; or a pair of image and label.

    Returns:
        The batch.

    Raises:
        TypeError: The batch is neither, or its images are no float tensor.
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
        remedy = (
            "Give the dataset a transform that ends in one, such as "
            "`preset('evaluation', image_size=224)`."
        )
        raise TypeError(expected("image", "a float tensor (N, 3, H, W)", got, remedy))
    soft, metadata = parts.get("soft_label"), parts.get("metadata")
    return Batch(
        image.float(),
        label=parts.get("label"),
        soft_label=soft.float() if isinstance(soft, Tensor) else None,
        metadata=metadata.float() if isinstance(metadata, Tensor) else None,
        ids=parts.get("id"),
    )


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
        got = f"{getattr(label, 'dtype', type(label).__name__)}"
        raise TypeError(expected("label", what, got))
    if values and (int(label.min()) < 0 or int(label.max()) >= num_classes):
        remedy = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
        raise ValueError(expected("label", what, sorted(set(label.tolist())), remedy))
    return label.long()


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


def _shape(image: Any) -> tuple[int, ...]:
    return tuple(getattr(image, "shape", ()))

"""Checks of the images of a network, and of the labels beside them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils import data as torch_data

from dermolib._validation import expected, require

__all__ = ["UNKNOWN", "check_data", "checked_images", "whole_labels"]

UNKNOWN = -1
"""Label of a row that has none."""

_TRANSFORM = (
    "Give the dataset a transform such as `preset('evaluation', image_size=224)`, with "
    "`**input_settings(model).normalization` where the network has a normalization of its own."
)
_RANDOM = (
    torch_data.RandomSampler,
    torch_data.SubsetRandomSampler,
    torch_data.WeightedRandomSampler,
)


def whole_labels(labels: Any, rows: int, name: str) -> npt.NDArray[np.int64]:
    """Convert labels to integers, one for each of so many rows; -1 for NaN."""
    given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    what = f"an integer for each of {rows} rows"
    require(given.shape == (rows,), name, what, f"shape {given.shape}")
    if given.dtype.kind in "biu":
        return given.astype(np.int64)
    try:
        numbers = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = f"{given[0]!r} and others of dtype {given.dtype}"
        raise TypeError(expected(name, what, got, "Number the classes from 0.")) from error
    broken = numbers[~np.isnan(numbers) & (np.floor(numbers) != numbers) | np.isinf(numbers)]
    require(not len(broken), name, what, f"{broken[:1].sum():g}")
    return np.where(np.isnan(numbers), UNKNOWN, numbers).astype(np.int64)


def check_data(data: Any) -> bool:
    """Return whether data is a dataset of samples by number, rather than an iterable of batches."""
    if isinstance(data, torch_data.DataLoader) or hasattr(data, "batch_sampler"):
        _check_order(data)
        return False
    what = "a dataset, or an iterable of batches such as a `DataLoader`"
    hint = ""
    if isinstance(data, (np.ndarray, Tensor)):
        hint = "Pass `[{'image': torch.as_tensor(image)} for image in images]`, channels first."
    elif isinstance(data, Mapping):
        hint = "Pass `iter([batch])` for one batch."
    usable = not hint and (isinstance(data, Iterable) or hasattr(data, "__getitem__"))
    got = f"an object of type {type(data).__name__}"
    require(usable, "data", what, got, hint, error=TypeError)
    by_number = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if not by_number or isinstance(data, torch_data.IterableDataset):
        return False
    require(len(data), "data", "data with at least one image", "none")
    hint = _TRANSFORM
    if isinstance(data[0], dict) and getattr(data[0].get("image"), "ndim", 0) == 4:
        hint = "Pass `iter(batches)` where these are batches."
    what = "a dataset of dictionaries with `image` (3, H, W), floating point"
    _checked_image(data[0], 3, what, hint)
    return True


def checked_images(batch: Any) -> Tensor:
    """Return the images of a batch, or refuse it."""
    what = "data whose batches are dictionaries with `image`, images (N, 3, H, W), floating point"
    return _checked_image(batch, 4, what, _TRANSFORM)


def _checked_image(sample: Any, ndim: int, what: str, hint: str) -> Tensor:
    """Return the floating-point image of a sample or batch, or refuse what is there instead."""
    image = sample.get("image") if isinstance(sample, dict) else None
    if isinstance(image, Tensor) and image.is_floating_point() and image.ndim == ndim:
        return image
    got = f"a {type(sample).__name__} without it"
    if isinstance(sample, dict) and "image" in sample:
        shape, dtype = getattr(image, "shape", ()), getattr(image, "dtype", "no dtype")
        got = f"{type(image).__name__} {tuple(shape)} of {dtype}"
    raise TypeError(expected("data", what, got, hint))


def _check_order(loader: Any) -> None:
    """Refuse a loader whose rows come in another order than that of its dataset."""
    in_batches = getattr(loader, "batch_sampler", None)
    orders = (getattr(loader, "sampler", None), in_batches, getattr(in_batches, "sampler", None))
    shuffles = any(isinstance(one, _RANDOM) or getattr(one, "shuffle", False) for one in orders)
    hint = "Pass `shuffle=False`, or the dataset itself: features must be in its order."
    require(not shuffles, "data", "a loader in order", "one that shuffles", hint)

"""Checks of what a network is to see, and of the labels beside it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils import data as torch_data

from dermolib._validation import expected

__all__ = ["TRANSFORM", "UNKNOWN", "check_data", "kind_of", "whole_labels"]

UNKNOWN = -1
"""Label of a row that has none."""

TRANSFORM = (
    "Give the dataset a transform such as `preset('evaluation', image_size=224)`, with "
    "`**input_settings(model).normalization` where the network has a normalisation of its own."
)
"""Remedy where images are not what a network takes."""

_BY_CHANCE = (
    torch_data.RandomSampler,
    torch_data.SubsetRandomSampler,
    torch_data.WeightedRandomSampler,
)


def whole_labels(labels: Any, rows: int, name: str) -> npt.NDArray[np.int64]:
    """Refuse labels that are not one whole number for each row.

    Args:
        labels: Labels (N,); NaN where there is none.
        rows: Number of rows N.
        name: What the error calls them.

    Returns:
        Labels (N,), -1 for NaN.

    Raises:
        TypeError: They are no numbers.
        ValueError: They are more or fewer than the rows, or one has a fraction.
    """
    given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    what = f"an integer for each of {rows} rows"
    if given.shape != (rows,):
        raise ValueError(expected(name, what, f"shape {given.shape}"))
    if given.dtype.kind in "biu":
        return given.astype(np.int64)
    try:
        numbers = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = f"{given[0]!r} and others of dtype {given.dtype}"
        raise TypeError(expected(name, what, got, "Number the classes from 0.")) from error
    broken = numbers[~np.isnan(numbers) & (np.floor(numbers) != numbers) | np.isinf(numbers)]
    if len(broken):
        raise ValueError(expected(name, what, f"{broken[0]:g}"))
    return np.where(np.isnan(numbers), UNKNOWN, numbers).astype(np.int64)


def check_data(data: Any) -> bool:
    """Tell samples by number from batches one after the other, and refuse what is neither.

    Args:
        data: What `extract_features` was given.

    Returns:
        Whether it is a dataset of samples by number, rather than an iterable of batches.

    Raises:
        TypeError: It is neither, or its first sample holds no image to compute with.
        ValueError: It is empty, or a loader that shuffles.
    """
    if isinstance(data, torch_data.DataLoader) or hasattr(data, "batch_sampler"):
        _check_order(data)
        return False
    what = "a dataset, or an iterable of batches such as a `DataLoader`"
    got = f"an object of type {type(data).__name__}"
    if isinstance(data, (np.ndarray, Tensor)):
        remedy = "Pass `[{'image': torch.as_tensor(image)} for image in images]`, channels first."
        raise TypeError(expected("data", what, got, remedy))
    if isinstance(data, Mapping):
        raise TypeError(expected("data", what, got, "Pass `iter([batch])` for one batch."))
    by_number = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if by_number and not isinstance(data, torch_data.IterableDataset):
        _check_dataset(data)
        return True
    if not isinstance(data, Iterable):
        raise TypeError(expected("data", what, got))
    return False


def _check_order(loader: Any) -> None:
    """Refuse a loader whose rows come in another order than that of its dataset."""
    in_batches = getattr(loader, "batch_sampler", None)
    orders = (getattr(loader, "sampler", None), in_batches, getattr(in_batches, "sampler", None))
    if any(isinstance(one, _BY_CHANCE) or getattr(one, "shuffle", False) for one in orders):
        remedy = "Pass `shuffle=False`, or the dataset itself: features in another order belong "
        remedy += "to other images."
        raise ValueError(expected("data", "a loader in order", "one that shuffles", remedy))


def _check_dataset(data: Any) -> None:
    """Refuse samples that would fail with a riddle when they are put into batches."""
    if not len(data):
        raise ValueError(expected("data", "data with at least one image", "none"))
    sample = data[0]
    image = sample.get("image") if isinstance(sample, dict) else None
    if isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 3:
        return
    what = "a dataset of dictionaries with `image` (3, H, W), floating point"
    batches = isinstance(image, Tensor) and image.ndim == 4
    remedy = "Pass `iter(batches)` where these are batches." if batches else TRANSFORM
    raise TypeError(expected("data", what, kind_of(sample), remedy))


def kind_of(sample: Any) -> str:
    """Word what a sample or a batch has in place of an image."""
    if not isinstance(sample, dict) or "image" not in sample:
        return f"a {type(sample).__name__} without it"
    image = sample["image"]
    shape, dtype = getattr(image, "shape", ()), getattr(image, "dtype", "no dtype")
    return f"{type(image).__name__} {tuple(shape)} of {dtype}"

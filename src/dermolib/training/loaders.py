"""What a Trainer is given to loaders."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, RandomSampler, Subset

from dermolib._checks import expected
from dermolib.loaders import SeededDataset, make_loader

__all__ = ["as_loader", "check_labels", "labels_of", "shuffles"]


def as_loader(
    data: Any, name: str, *, batch_size: int, workers: int, seed: int, shuffle: bool, pin: bool
) -> Any:
    """Put a dataset into batches; what is a loader already is returned as it is.

    Args:
        data: Map-style dataset; or a loader: anything with a length that gives batches.
        name: Name of the argument, for errors.
        batch_size: Images in a batch.
        workers: Processes that load images.
        seed: Seed of the order and of the draws.
        shuffle: Whether each epoch has an order of its own.
        pin: Whether batches go to page-locked memory, from where a GPU copies them faster.

    Returns:
        Loader.

    Raises:
        TypeError: `data` has no length.
        ValueError: `data` is empty.
    """
    if not hasattr(data, "__len__"):
        what = "a dataset or loader with a length"
        raise TypeError(expected(name, what, f"an object of type {type(data).__name__}"))
    if not len(data):
        raise ValueError(expected(name, "a set with at least one image", "an empty one"))
    if isinstance(data, DataLoader) or not hasattr(data, "__getitem__"):
        return data
    return make_loader(
        data, batch_size=batch_size, workers=workers, seed=seed, shuffle=shuffle, pin_memory=pin
    )


def shuffles(loader: Any) -> bool:
    """Tell whether a loader gives its rows in another order than that of its dataset."""
    sampler = getattr(loader, "sampler", None)
    return isinstance(sampler, RandomSampler) or getattr(sampler, "shuffle", False)


def check_labels(data: Any) -> None:
    """Let a dataset some of whose rows lack a label say so in its own words.

    Args:
        data: What `labels_of` takes; a dataset that tells no labels is taken as it is.

    Raises:
        RuntimeError: Rows of a `dermolib.datasets.ISICDataset` have no label.
    """
    while isinstance(data, (DataLoader, SeededDataset, Subset)):
        data = data.dataset
    getattr(data, "labels", None)


def labels_of(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of a dataset, through loaders and subsets; None where it tells none."""
    if isinstance(data, (DataLoader, SeededDataset)):
        return labels_of(data.dataset)
    if isinstance(data, Subset):
        labels = labels_of(data.dataset)
        return None if labels is None else labels[np.asarray(data.indices)]
    labels = getattr(data, "labels", None)
    return None if labels is None else np.asarray(labels)

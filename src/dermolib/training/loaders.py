"""Datasets to loaders: batches in an order that the seed and the epoch alone decide."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Sampler, Subset

from dermolib._checks import expected
from dermolib._seeding import seed_worker

__all__ = ["SeededOrder", "labels_of", "make_loader"]


class SeededOrder(Sampler[int]):
    """A new order of the rows in each epoch, the same for any number of workers.

    Args:
        length: Number of rows.
        seed: Seed, 0 or more.
    """

    def __init__(self, length: int, seed: int) -> None:
        """Start at epoch 0."""
        self._length = length
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def __iter__(self) -> Iterator[int]:
        """Go through the rows in the order of the epoch."""
        generator = np.random.default_rng([self._seed, self._epoch])
        return iter(generator.permutation(self._length).tolist())


def make_loader(
    data: Any, name: str, *, batch_size: int, workers: int, seed: int, shuffle: bool, pin: bool
) -> DataLoader[Any]:
    """Put a dataset into batches; a loader is returned as it is.

    Args:
        data: Map-style dataset, or a loader.
        name: Name of the argument, for errors.
        batch_size: Images in a batch.
        workers: Processes that load images.
        seed: Seed of the order and of the workers.
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
    if isinstance(data, DataLoader):
        return data
    return DataLoader(
        data,
        batch_size=batch_size,
        sampler=SeededOrder(len(data), seed) if shuffle else None,
        num_workers=workers,
        worker_init_fn=seed_worker,
        generator=torch.Generator().manual_seed(seed),
        pin_memory=pin,
    )


def labels_of(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of a dataset, through loaders and subsets; None where it tells none."""
    if isinstance(data, DataLoader):
        return labels_of(data.dataset)
    if isinstance(data, Subset):
        labels = labels_of(data.dataset)
        return None if labels is None else labels[np.asarray(data.indices)]
    labels = getattr(data, "labels", None)
    return None if labels is None else np.asarray(labels)

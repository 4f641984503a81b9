"""What a Trainer is given to loaders."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, RandomSampler, Subset

from dermolib._checks import expected
from dermolib.loaders import EpochSampler, SeededDataset, make_loader
from dermolib.training.recipe import RunOptions

__all__ = [
    "EpochLoader",
    "as_loader",
    "attribute_of",
    "check_labels",
    "check_order",
    "labels_of",
    "resumable",
]


class EpochLoader:
    """Batches of one epoch after another, from any place in any of them.

    Args:
        loader: Loader whose sampler is an `EpochSampler`, which tells the order of each epoch.
        batch_size: Images in a batch.

    Attributes:
        loader: The loader.
    """

    def __init__(self, loader: Any, batch_size: int) -> None:
        """Start at the beginning of the first epoch."""
        self.loader = loader
        self._batch_size = batch_size
        self._epoch = 0
        self._done = 0

    def begin(self, epoch: int, batches: int = 0) -> None:
        """Choose where the next pass begins.

        Args:
            epoch: Number of the epoch, counted from 0.
            batches: Batches of it that have been seen.
        """
        self._epoch, self._done = epoch, batches

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Go through the rest of the epoch, and on to the next one."""
        epoch, done = self._epoch, self._done
        self.begin(epoch + 1)
        self.loader.sampler.set_epoch(epoch, skip=done * self._batch_size)
        yield from self.loader


def as_loader(
    data: Any,
    name: str,
    options: RunOptions,
    *,
    shuffle: bool,
    pin: bool,
    odds: Any = None,
) -> Any:
    """Put a dataset into batches; what is a loader already is returned as it is.

    Args:
        data: Map-style dataset; or a loader: anything with a length that gives batches.
        name: Name of the argument, for errors.
        options: Images in a batch, processes that load them, and the seed of order and draws.
        shuffle: Whether each epoch has an order of its own.
        pin: Whether batches go to page-locked memory, from where a GPU copies them faster.
        odds: How likely each row of a dataset is to be drawn (N,), or None.

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
        if odds is not None:
            what = "a dataset where `sampler` is given"
            remedy = "A loader draws by itself: see `sample_weights` of `make_loader`."
            raise TypeError(expected(name, what, "a loader", remedy))
        return data
    return make_loader(
        data,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        shuffle=shuffle,
        sample_weights=odds,
        pin_memory=pin,
    )


def resumable(loader: Any) -> Any:
    """Wrap a loader so that a run can go on within an epoch, where its order is known."""
    sampler = getattr(loader, "sampler", None)
    size = getattr(loader, "batch_size", None)
    if isinstance(sampler, EpochSampler) and size is not None:
        return EpochLoader(loader, size)
    return loader


def check_order(loader: Any) -> None:
    """Refuse a loader that gives its rows in another order than that of its dataset.

    Args:
        loader: Loader for predictions.

    Raises:
        ValueError: It shuffles.
    """
    sampler = getattr(loader, "sampler", None)
    if isinstance(sampler, RandomSampler) or getattr(sampler, "shuffle", False):
        remedy = "Pass `shuffle=False`: predictions in another order belong to other images."
        raise ValueError(expected("data", "a loader in order", "one that shuffles", remedy))


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
    return attribute_of(data, "labels")


def attribute_of(data: Any, name: str) -> npt.NDArray[Any] | None:
    """Find what a dataset tells of each row, through loaders and subsets; None where nothing."""
    if isinstance(data, (DataLoader, SeededDataset)):
        return attribute_of(data.dataset, name)
    if isinstance(data, Subset):
        values = attribute_of(data.dataset, name)
        return None if values is None else values[np.asarray(data.indices)]
    values = getattr(data, name, None)
    return None if values is None else np.asarray(values)

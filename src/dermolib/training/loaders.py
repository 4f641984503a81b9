"""What a Trainer is given to loaders."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from dermolib._validation import expected
from dermolib.datasets.loaders import EpochSampler, SeededDataset, make_loader
from dermolib.training.recipe import RunOptions

__all__ = [
    "EpochLoader",
    "as_loader",
    "attribute_of",
    "check_labels",
    "check_order",
    "drawn_labels",
    "draws_by_weight",
    "draws_evenly",
    "innermost",
    "labels_of",
    "resumable",
    "shuffles",
]

_Values: TypeAlias = npt.NDArray[Any]


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
        TypeError: `data` has no length, no rows by number, or batches for samples.
        ValueError: `data` is empty.
    """
    if not _length(data, name):
        raise ValueError(expected(name, "a set with at least one image", "an empty one"))
    if isinstance(data, DataLoader) or not hasattr(data, "__getitem__"):
        if odds is not None:
            what = "a dataset where `sampler` is given"
            remedy = "A loader draws by itself: see `sample_weights` of `make_loader`."
            raise TypeError(expected(name, what, "a loader", remedy))
        return data
    _check_dataset(data, name)
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
        ValueError: It shuffles, or draws in an order that is not known.
    """
    if shuffles(loader):
        got = "one that shuffles"
        if not isinstance(_sampler(loader), (EpochSampler, RandomSampler)):
            got = f"one with a {type(_sampler(loader)).__name__}"
        remedy = "Pass `shuffle=False`: predictions in another order belong to other images."
        raise ValueError(expected("data", "a loader in order", got, remedy))


def shuffles(loader: Any) -> bool:
    """Tell whether a loader may give its rows in another order than that of its dataset."""
    sampler = _sampler(loader)
    if isinstance(sampler, EpochSampler):
        return sampler.shuffle
    return not (sampler is None or isinstance(sampler, SequentialSampler))


def draws_by_weight(data: Any) -> bool:
    """Tell whether a loader draws some rows more often than others."""
    sampler = _sampler(data)
    return isinstance(sampler, WeightedRandomSampler) or getattr(sampler, "weighted", False) is True


def draws_evenly(data: Any) -> bool:
    """Tell whether a dataset or loader is known to give the rows of `drawn_labels` alike often."""
    sampler = _sampler(data)
    known = (DistributedSampler, RandomSampler, SequentialSampler, SubsetRandomSampler)
    return (sampler is None or isinstance(sampler, known)) and not draws_by_weight(data)


def check_labels(data: Any) -> None:
    """Let a dataset some of whose rows lack a label say so in its own words.

    Args:
        data: What `labels_of` takes; a dataset that tells no labels is taken as it is.

    Raises:
        RuntimeError: Rows of a `dermolib.datasets.ISICDataset` have no label.
    """
    getattr(innermost(data), "labels", None)


def innermost(data: Any) -> Any:
    """Find the dataset inside loaders and subsets."""
    while isinstance(data, (DataLoader, SeededDataset, Subset)):
        data = data.dataset
    return data


def labels_of(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of a dataset (N,), through loaders and subsets; None where it tells none.

    Raises:
        TypeError: They are no whole numbers.
        ValueError: They are not one for each row.
    """
    return attribute_of(data, "labels", checked=_checked_labels)


def drawn_labels(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of the rows that a dataset or loader gives, as `labels_of` does."""
    labels, sampler = labels_of(data), _sampler(data)
    if labels is None or not isinstance(sampler, SubsetRandomSampler):
        return labels
    return labels[np.asarray(sampler.indices, np.intp)]


def attribute_of(
    data: Any, name: str, *, checked: Callable[[_Values, Any], _Values | None] | None = None
) -> _Values | None:
    """Find what a dataset tells of each row, through loaders and subsets; None where nothing.

    Args:
        data: Dataset or loader.
        name: Name of the attribute.
        checked: Takes the values and the dataset that tells them, and gives those to go on with.
    """
    if isinstance(data, (DataLoader, SeededDataset)):
        return attribute_of(data.dataset, name, checked=checked)
    if isinstance(data, Subset):
        inside = attribute_of(data.dataset, name, checked=checked)
        return None if inside is None else inside[np.asarray(data.indices, np.intp)]
    told = getattr(data, name, None)
    if told is None or callable(told):
        return None
    values = np.asarray(told.detach().cpu() if isinstance(told, Tensor) else told)
    return values if checked is None else checked(values, data)


def _sampler(loader: Any) -> Any:
    """Find who decides the order; one of batches does so whatever its loader's sampler is."""
    sampler = getattr(loader, "sampler", None)
    batches = getattr(loader, "batch_sampler", None)
    if isinstance(getattr(loader, "dataset", None), IterableDataset):
        return None
    if batches is None:
        return sampler
    return batches.sampler if type(batches) is BatchSampler else batches


def _length(data: Any, name: str) -> int:
    try:
        return len(data)
    except TypeError as error:
        what = "a dataset or loader with a length"
        got = f"an object of type {type(data).__name__}"
        raise TypeError(expected(name, what, got)) from error


def _check_dataset(data: Any, name: str) -> None:
    what = "a map-style dataset, or a loader"
    if isinstance(data, (IterableDataset, Mapping, str, bytes)):
        got = f"an object of type {type(data).__name__}"
        remedy = "A set without rows by number can come as `DataLoader(dataset, batch_size=64)`."
        raise TypeError(expected(name, what, got, remedy))
    if isinstance(data, (list, tuple)) and _is_batch(data[0]):
        remedy = "A list is taken for a dataset: pass a loader, or the samples one by one."
        raise TypeError(expected(name, what, f"a {type(data).__name__} of batches", remedy))


def _is_batch(sample: Any) -> bool:
    if isinstance(sample, Mapping):
        return getattr(sample.get("image"), "ndim", None) == 4
    pair = isinstance(sample, (list, tuple)) and len(sample) == 2
    return pair and getattr(sample[0], "ndim", None) == 4


def _checked_labels(labels: _Values, data: Any) -> npt.NDArray[np.int64] | None:
    if labels.dtype == object and all(one is None for one in labels.flat):
        return None
    what = "classes (N,), whole numbers, one for each row"
    if labels.dtype.kind not in "biu":
        got = f"{labels.dtype} of shape {labels.shape}"
        raise TypeError(expected("labels", what, got, "Number the classes from 0."))
    if labels.ndim != 1:
        remedy = "Rows of one 1 become classes by `labels.argmax(axis=1)`."
        raise ValueError(expected("labels", what, f"shape {labels.shape}", remedy))
    # The length of a loader is a number of batches
    if hasattr(data, "__getitem__") and len(labels) != len(data):
        raise ValueError(expected("labels", what, f"{len(labels)} for {len(data)} rows"))
    return labels.astype(np.int64)

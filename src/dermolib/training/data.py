"""Datasets and loaders: batches of a dataset, what a loader draws, and its fingerprint."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, distributed, nn
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from dermolib._validation import require
from dermolib.datasets.device_loader import DeviceLoader
from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.loaders import EpochSampler, SeededDataset, make_loader
from dermolib.datasets.store import digest_images
from dermolib.models.devices import on_cuda
from dermolib.training.batches import form
from dermolib.training.config import TrainerOptions, digest

__all__ = [
    "EpochLoader",
    "as_loader",
    "data_fingerprint",
    "drawn_labels",
    "draws_by_weight",
    "draws_evenly",
    "image_fingerprint",
    "in_order",
    "labels_of",
    "lone_image_refused",
    "resumable",
    "shuffles",
]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class EpochLoader:
    """Batches of one epoch after another of a loader with an `EpochSampler`, from any position."""

    def __init__(self, loader: Any) -> None:
        """Start at the beginning of the first epoch."""
        self.loader = loader
        self._epoch, self._done = 0, 0

    def start_at(self, epoch: int, batches: int = 0) -> None:
        """Choose the epoch, counted from 0, of the next pass, and batches of it to leave out."""
        self._epoch, self._done = epoch, batches

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Go through the rest of the epoch, and on to the next one."""
        epoch, done = self._epoch, self._done
        self.start_at(epoch + 1)
        self.loader.sampler.set_epoch(epoch, skip=done * self.loader.batch_size)
        yield from self.loader


def as_loader(
    data: Any,
    name: str,
    options: TrainerOptions,
    *,
    shuffle: bool = False,
    sample_weights: Any = None,
) -> Any:
    """Batch a dataset; a loader, anything with a length that gives batches, is returned."""
    sized = hasattr(data, "__len__") and not _endless(data)
    require(sized, name, "a dataset or loader with a length", form(data), error=TypeError)
    require(len(data), name, "a set with at least one image", "an empty one")
    if isinstance(data, DataLoader) or not hasattr(data, "__getitem__"):
        what, hint = "a dataset where `sampler` is given", "See `sample_weights` of `make_loader`."
        require(sample_weights is None, name, what, "a loader", hint, error=TypeError)
        return data
    what = "a map-style dataset, or a loader"
    hint = "Pass a set that cannot be indexed by row as `DataLoader(dataset, batch_size=64)`."
    indexed = not isinstance(data, (IterableDataset, Mapping, str, bytes))
    require(indexed, name, what, form(data), hint, error=TypeError)
    batches = isinstance(data, (list, tuple)) and _is_batch(data[0])
    hint = "A list is taken for a dataset: pass a loader, or the samples one by one."
    require(not batches, name, what, f"a {type(data).__name__} of batches", hint, error=TypeError)
    return make_loader(
        data,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        shuffle=shuffle,
        sample_weights=sample_weights,
        pin_memory=on_cuda(options.device),
    )


def resumable(loader: Any) -> Any:
    """Wrap a loader whose order is known, so that a run can resume within an epoch."""
    known = isinstance(getattr(loader, "sampler", None), EpochSampler)
    sized = getattr(loader, "batch_size", None) is not None
    return EpochLoader(loader) if known and sized else loader


def in_order(loader: Any) -> Any:
    """Return a loader that gives its rows in the order of its dataset."""
    got = f"one that shuffles (by a {type(_sampler(loader)).__name__})"
    hint = "Pass `shuffle=False`: predictions in another order belong to other images."
    require(not shuffles(loader), "data", "a loader in order", got, hint)
    return loader


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
    """Tell whether each row of `drawn_labels` is known to be given equally often."""
    sampler = _sampler(data)
    known = (DistributedSampler, RandomSampler, SequentialSampler, SubsetRandomSampler)
    return (sampler is None or isinstance(sampler, known)) and not draws_by_weight(data)


def labels_of(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of a dataset (N,), its `labels` or `targets`; None where it has none.

    They are found through loaders, subsets, sets put together and wrappers as long as the set that
    they hold as `dataset`.
    """
    return _attribute(data, "labels")


def drawn_labels(data: Any) -> npt.NDArray[np.int64] | None:
    """Find the labels of the rows that a dataset or loader gives, as `labels_of` does."""
    labels, sampler = labels_of(data), _sampler(data)
    if labels is None or not isinstance(sampler, SubsetRandomSampler):
        return labels
    return labels[np.asarray(sampler.indices, np.intp)]


def data_fingerprint(data: Any) -> dict[str, Any] | None:
    """Describe a set by plain values, so that a run resumes with the same images alone."""
    if data is None:
        return None
    known: dict[str, Any] = {"rows": len(data)}
    for name in ("ids", "labels", "soft_labels"):
        values = _attribute(data, name)
        if values is not None:
            known[name] = digest("\n".join(map(str, np.asarray(values).tolist())))
    for holder, name in ((_innermost(data), "transform"), (data, "augment")):
        words = repr(getattr(holder, name, None))
        if " at 0x" not in words:  # an address is another one in each process
            known[name] = words
    sampler = getattr(data, "sampler", None)
    if isinstance(sampler, EpochSampler):
        weights = sampler.sampling_weights
        known["batch_size"] = getattr(data, "batch_size", None)
        known["seed"], known["shuffle"] = int(sampler.seed), bool(sampler.shuffle)
        known["sample_weights"] = None if weights is None else digest(str(weights.tolist()))
    return known


def image_fingerprint(data: Any) -> str | None:
    """Digest the images of a set: of each the size of its file, of a few all bytes.

    It is the same where a folder was copied. None for a set of yours, whose files are not known.
    """
    known = isinstance(_innermost(data), (ISICDataset, DeviceLoader))
    paths = _attribute(data, "image_paths") if known else None
    return None if paths is None else digest_images(paths)


@contextmanager
def lone_image_refused(
    model: nn.Module, frozen: Collection[nn.Module], loader: Any, *, processes: int
) -> Iterator[None]:
    """Refuse, at the first batch, a last batch of one image, which batch norm cannot learn from."""
    norms = [m for m in model.modules() if isinstance(m, _BATCH_NORMS) and m not in frozen]
    if not norms or _last_batch(loader, processes) != 1:
        yield
        return
    count = 0

    def note_count(module: nn.Module, given: tuple[Any, ...]) -> None:
        nonlocal count
        del module
        count = len(given[0])

    def norm_hook(module: nn.Module, given: tuple[Any, ...]) -> None:
        values = given[0]
        # A norm over the images alone has one value for each channel of the last one
        alone = module.training and count == values.numel() // values.shape[1]
        what = "one that leaves more than one image in the last batch"
        hint = (
            "Batch normalization learns from two or more: choose another `batch_size`, or pass a "
            "loader with `drop_last=True`."
        )
        require(not alone, "batch_size", what, "one image there", hint)

    hooks = [model.register_forward_pre_hook(note_count)]
    hooks += [norm.register_forward_pre_hook(norm_hook) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_batch(loader: Any, processes: int) -> int | None:
    """Count the images of the last batch of a process; None where that is not known."""
    if isinstance(loader, EpochLoader):
        loader = loader.loader
    size: int | None = getattr(loader, "batch_size", None)
    sampler: Any = getattr(loader, "sampler", None)
    if size is None or not hasattr(sampler, "__len__"):
        return None
    if getattr(loader, "drop_last", False):
        return int(size)
    rows = len(sampler)
    shared = isinstance(sampler, EpochSampler) and distributed.is_initialized()
    if not shared:
        rows = -(-rows // processes)
    return int(rows % size or size)


def _innermost(data: Any) -> Any:
    """Find the dataset inside loaders and subsets."""
    while isinstance(data, (DataLoader, SeededDataset, Subset)):
        data = data.dataset
    return data


def _parts(data: Any, name: str) -> npt.NDArray[Any] | None:
    """Find an attribute in the sets that are put together, or in the one that a wrapper holds."""
    if isinstance(data, ConcatDataset):
        found = [_attribute(part, name) for part in data.datasets]
        known = [one for one in found if one is not None]
        return np.concatenate(known) if known and len(known) == len(found) else None
    inside = getattr(data, "dataset", None)
    values = None if inside is None else _attribute(inside, name)
    # A wrapper of another length holds other rows
    return values if values is not None and len(values) == len(data) else None


def _attribute(data: Any, name: str) -> npt.NDArray[Any] | None:
    """Find an attribute of one value for each row, through loaders and subsets, or None."""
    if isinstance(data, (DataLoader, SeededDataset)):
        return _attribute(data.dataset, name)
    if isinstance(data, Subset):
        inside = _attribute(data.dataset, name)
        return None if inside is None else inside[np.asarray(data.indices, np.intp)]
    found = getattr(data, name, None)
    if found is None and name == "labels":
        found = getattr(data, "targets", None)
    if found is None or callable(found):
        return _parts(data, name)
    values = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found)
    return _as_integers(values, data) if name == "labels" else values


def _sampler(loader: Any) -> Any:
    """Find what decides the order; a batch sampler does so whatever its loader's sampler is."""
    batches = getattr(loader, "batch_sampler", None)
    if isinstance(getattr(loader, "dataset", None), IterableDataset):
        return None
    if batches is None:
        return getattr(loader, "sampler", None)
    return batches.sampler if type(batches) is BatchSampler else batches


def _endless(data: Any) -> bool:
    """Tell whether a loader reads a stream that has no length."""
    streams = isinstance(data, DataLoader) and isinstance(data.dataset, IterableDataset)
    return streams and not hasattr(data.dataset, "__len__")


def _is_batch(sample: Any) -> bool:
    if isinstance(sample, Mapping):
        return getattr(sample.get("image"), "ndim", None) == 4
    pair = isinstance(sample, (list, tuple)) and len(sample) == 2
    return pair and getattr(sample[0], "ndim", None) == 4


def _as_integers(labels: npt.NDArray[Any], data: Any) -> npt.NDArray[np.int64] | None:
    if labels.dtype == object and all(one is None for one in labels.flat):
        return None
    what, hint = "integer classes (N,), one for each row", "Number the classes from 0."
    integer = labels.dtype.kind in "biu"
    require(integer, "labels", what, form(labels), hint, error=TypeError)
    hint = "One-hot rows become classes by `labels.argmax(axis=1)`."
    require(labels.ndim == 1, "labels", what, form(labels), hint)
    # The length of a loader is a number of batches
    rows = len(data) if hasattr(data, "__getitem__") else len(labels)
    require(len(labels) == rows, "labels", what, f"{len(labels)} for {rows} rows")
    return labels.astype(np.int64)

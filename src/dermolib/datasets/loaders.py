"""Datasets to batches: order and random draws follow from seed, epoch and row alone."""

import multiprocessing
import re
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from dermolib._jobs import killed_worker
from dermolib._validation import Indices, check_number, expected, listed, require, warn
from dermolib.datasets.seeding import draw_seeds, seeded_sample
from dermolib.labels import warn_if_from_one

__all__ = ["EpochSampler", "SeededDataset", "explain_workers", "make_loader"]

Draw: TypeAlias = tuple[int, int]
"""Row number, and the seed of what is drawn for it."""

_OWN = ("sampler", "batch_sampler", "generator", "worker_init_fn")
_WORKER = "DataLoader worker"  # words of torch where one died or raised
_CHUNK = 1 << 16  # rows whose numbers are Python integers at a time


def make_loader(
    dataset: Any,
    *,
    batch_size: int | None = 64,
    workers: int = 0,
    seed: int = 0,
    shuffle: bool = False,
    draw_seeds: bool = False,
    sample_weights: Any = None,
    num_replicas: int | None = None,
    rank: int | None = None,
    **options: Any,
) -> DataLoader[Any]:
    """Put a dataset into batches that are the same for any number of workers.

    What a random transform draws for a sample follows from `seed`, the epoch and the row: two rows
    differ, two epochs differ, and the same seed repeats exactly with 0, 1 or many workers,
    persistent or not. Each pass through the loader is the next epoch;
    ``loader.sampler.set_epoch(3)`` goes to one, and ``set_epoch(3, skip=640)`` into one, past the
    samples that have been seen. Transforms are found as `seed_worker` finds them. Where there is
    one that it cannot seed, or none, the global generators of Python, NumPy and torch are seeded
    for each sample too, and restored afterwards where samples are made in this process.

    Under `torch.distributed` each process gets its own rows, determined when an epoch starts. With
    `shuffle`, a few rows come twice where they do not divide evenly, so that all processes take the
    same number of steps; without it, each row comes once. A loader that ``accelerator.prepare`` of
    Hugging Face accelerate was given leaves it to accelerate which process gets which batch.

    Args:
        dataset: Map-style dataset of N samples.
        batch_size: Samples in a batch, 1 or more, or None for samples one by one.
        workers: Processes that load samples; 0 loads in this one, as does, with a warning, a
            process that cannot start others: a daemonic one, or one without shared memory.
        seed: Seed of order and draws, 0 or more and below 2**63.
        shuffle: Whether each epoch has an order of its own.
        draw_seeds: Whether samples, which must be dictionaries, get the seed of their draw under
            ``"draw_seed"``, by which `dermolib.augmentation.BatchAugmentation` draws.
        sample_weights: How likely each row is to be drawn (N,), 0 or more: an epoch then draws N
            rows with replacement. See `dermolib.training.sample_weights`. None takes each row once.
        num_replicas: Number of processes that share the rows; by default that of
            `torch.distributed` where it runs, else 1.
        rank: Number of this process, 0..num_replicas - 1.
        options: Further options of `torch.utils.data.DataLoader`, such as ``pin_memory``.

    Returns:
        Loader whose ``dataset`` is a `SeededDataset` and whose ``sampler`` an `EpochSampler`.

    Raises:
        TypeError: The dataset has no length, a number is not an integer, or an option decides
            order or seeds.
        ValueError: The dataset is empty, or a number is out of range; or, in a pass through the
            loader, the samples of a batch differ in shape.
        concurrent.futures.BrokenExecutor: In a pass through the loader, a worker was killed, or
            cannot hand over its batches; a `RuntimeError`.
        UserWarning: Rows are shuffled, as for training, and their labels seem to begin at 1; a
            warning.

    Examples:
        >>> from dermolib import preset
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> image[8:20, 8:16] = 200
        >>> class Lesions(Dataset):
        ...     transform = preset("paper", image_size=32)
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, index):
        ...         return self.transform(image=image)
        >>> loaders = [make_loader(Lesions(), batch_size=4, workers=n) for n in (0, 1)]
        >>> first, again = (next(iter(loader))["image"] for loader in loaders)
        >>> bool((first == again).all()), bool((first[0] == first[1]).all())
        (True, False)
    """
    rows = not isinstance(dataset, (str, bytes)) and hasattr(dataset, "__getitem__")
    map_style = rows and hasattr(dataset, "__len__")
    what, got = "a map-style dataset, with a length and rows by number", type(dataset).__name__
    require(map_style, "dataset", what, f"an object of type {got}", error=TypeError)
    require(len(dataset), "dataset", "a set with at least one sample", "an empty one")
    decided = listed(f"`{name}`" for name in sorted({*options} & {*_OWN}))
    what = "options that leave order and seeds to `make_loader`"
    require(not decided, "options", what, decided, error=TypeError)
    check_number(1 if batch_size is None else batch_size, "batch_size", low=1, integer=True)
    check_number(workers, "workers", low=0, integer=True)
    weights: Any = {"shuffle": shuffle, "sample_weights": sample_weights}
    processes: Any = {"num_replicas": num_replicas, "rank": rank}
    sampler = EpochSampler(len(dataset), seed=seed, **weights, **processes)
    sampler.in_own_loader = False
    check_number(seed, "seed", high=2**63 - 1, integer=True)
    if shuffle:
        _check_labels(dataset)
    return _Loader(
        SeededDataset(dataset, draw_seeds=draw_seeds),
        batch_size=None if batch_size is None else int(batch_size),
        sampler=sampler,
        num_workers=int(workers),
        # Other draws still differ between workers, and torch's global generator is left alone
        generator=torch.Generator().manual_seed(int(seed)),
        **options,
    )


class _Loader(DataLoader[Any]):
    """A loader that explains what becomes of its workers, and does without where there are none."""

    def __iter__(self) -> Any:
        """Go through the batches of an epoch."""
        obstacle = _obstacle() if self.num_workers and self.multiprocessing_context is None else ""
        if obstacle:
            warn(expected("workers", f"0 in {obstacle}", f"{self.num_workers}, and takes 0"))
            self.num_workers, self.timeout = 0, 0
        with explain_workers(), self._own_pass():
            yield from super().__iter__()

    def __len__(self) -> int:
        """Return the number of batches of the next epoch of this process."""
        with self._own_pass():
            return super().__len__()

    @contextmanager
    def _own_pass(self) -> Iterator[None]:
        """Let the sampler know that it is asked by this loader."""
        sampler: Any = self.sampler
        before = getattr(sampler, "in_own_loader", True)
        sampler.in_own_loader = True
        try:
            yield
        finally:
            sampler.in_own_loader = before


@contextmanager
def explain_workers(*, kept: bool = False) -> Iterator[None]:
    """Say what to do of workers that died or cannot work, and of images that fit in no batch.

    `kept` is that of `killed_worker`.
    """
    try:
        yield
    except (AssertionError, AttributeError, EOFError, OSError, RuntimeError) as error:
        chain: list[BaseException] = []
        before: BaseException | None = error
        while before is not None and before not in chain:  # errors may be raised from each other
            chain.append(before)
            before = before.__cause__ or before.__context__
        said = isinstance(error, BrokenExecutor) and not kept  # by a loader within this block
        if said:
            raise
        try:
            explained = _other_sizes(chain) or _explained(chain, kept=kept)
        except RuntimeError as end:  # the signal of the end of a worker comes at any moment
            explained = _explained([*chain, end], kept=kept)
        if explained is None:
            raise
        raise explained from None


def _other_sizes(chain: list[BaseException]) -> Exception | None:
    """Word the error of samples that cannot be joined to a batch, here or in a worker."""
    words = " ".join(map(str, chain))
    frames = (frame for one in chain for frame, _ in traceback.walk_tb(one.__traceback__))
    if "collate" not in words and not any("collate" in frame.f_code.co_name for frame in frames):
        return None
    shapes = re.search(r"equal size, but got (\[.*?\]) at entry \d+ and (\[.*?\]) at entry", words)
    if shapes is None:
        return None
    what, got = "samples of one shape each", f"{shapes[1]} and {shapes[2]}"
    hint = "Resize all images in the transform, as `preset('evaluation', image_size=224)` does."
    return ValueError(expected("batch", what, got, hint))


def _explained(chain: list[BaseException], *, kept: bool) -> Exception | None:
    """Word an error of a loader and those that it arose from; None if it is about other things."""
    words = " ".join(map(str, chain))
    between = [one for one in chain if _is_between_processes(one)]
    if any(isinstance(one, (ConnectionError, EOFError)) for one in between):
        words += f" {_WORKER}"
        try:
            # The signal of the end of a worker may come after the end of its connection; later, it
            # would interrupt what cleans up
            time.sleep(0.5)
        except RuntimeError as end:
            words += str(end)
    what, broken = "processes that can hand over their batches", _WORKER in words
    if (broken or between) and ("Bus error" in words or "</torch_" in words):
        hint = "Enlarge /dev/shm, take smaller batches, or call again with fewer workers."
        return BrokenExecutor(expected("workers", what, "too little shared memory", hint))
    if f"{_WORKER} (pid" in words or words.endswith(_WORKER):
        return killed_worker(kept=kept)
    if "Too many open files" in words and (broken or between):
        hint = "Raise the limit (`ulimit -n 4096`), or call again with fewer workers."
        return BrokenExecutor(expected("workers", what, "too many open files", hint))
    if between:
        got, hint = f"{type(between[0]).__name__}: {between[0]}", "Call again without workers."
        what = "processes that can be started here"
        return BrokenExecutor(expected("workers", what, got, hint))
    return None


def _is_between_processes(error: BaseException) -> bool:
    """Tell an error of a loader and its workers from one of the dataset in this process."""
    frames = traceback.walk_tb(error.__traceback__)
    passed = " ".join(frame.f_globals.get("__name__", "") for frame, _ in frames)
    loads = "torch.utils.data." in passed and "torch.utils.data._utils.fetch" not in passed
    return loads and "multiprocessing." in passed


def _obstacle() -> str:
    """Word where this process is, if it can start no workers there."""
    process = multiprocessing.current_process()
    if process.daemon or type(process).__name__ == "LokyProcess":
        return "a daemonic process or a worker of joblib, which may not start others"
    try:
        multiprocessing.Lock()
    except OSError as error:
        return f"a system without shared memory ({error.strerror})"
    return ""


class EpochSampler(DistributedSampler[Any]):
    """Rows of an epoch in its order, each with the seed of its draw; arguments as of `make_loader`.

    It is a `torch.utils.data.DistributedSampler`, so that engines do not replace it by one; but it
    asks for the process group when an epoch starts, not before there is one.

    Attributes:
        epoch: Epoch of the next pass, 0 or more.
        shuffle: Whether each epoch has an order of its own.
        weighted: Whether rows are drawn by weights.
        in_own_loader: Whether what asks for rows is no loader of accelerate, which shares them out
            itself.
        sampling_weights: Probability of each row in a draw (N,), or None.

    Examples:
        >>> sampler = EpochSampler(4, seed=1)
        >>> [row for row, _ in sampler], [row for row, _ in sampler], sampler.epoch
        ([0, 1, 2, 3], [2, 0, 1, 3], 2)
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        sample_weights: Any = None,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Start before epoch 0."""
        # Not that of DistributedSampler, which refuses to be made before the process group
        replicas = 1 if num_replicas is None else num_replicas
        check_number(length, "length", low=1, integer=True)
        check_number(seed, "seed", low=0, integer=True)
        check_number(replicas, "num_replicas", low=1, integer=True)
        check_number(rank or 0, "rank", low=0, high=replicas - 1, integer=True)
        self.shuffle = shuffle
        self.in_own_loader = True
        self.seed = int(seed)
        self.epoch = 0
        self._length = length
        self.sampling_weights: npt.NDArray[np.float64] | None = None
        if sample_weights is not None:
            self.sampling_weights = _sampling_weights(sample_weights, length, shuffle)
        self.weighted = sample_weights is not None
        self._skip = 0
        self._process = None if num_replicas is None else (num_replicas, rank or 0)

    def set_epoch(self, epoch: int, *, skip: int = 0) -> None:
        """Choose the epoch of the next pass, from 0, and how many of its rows to skip as seen."""
        check_number(epoch, "epoch", low=0, integer=True)
        check_number(skip, "skip", low=0, integer=True)
        self.epoch = int(epoch)
        self._skip = int(skip)

    def __len__(self) -> int:
        """Return the number of rows of the next pass of this process."""
        return max(0, len(self._part()) - self._skip)

    def __iter__(self) -> Iterator[Draw]:
        """Go through the rows of the epoch, and on to the next one."""
        return self._draws(*self.start())

    def start(self) -> tuple[Indices, npt.NDArray[np.int64]]:
        """Begin the next pass: its rows in order, and a seed for each time."""
        order = self._order(self.epoch)
        seeds = draw_seeds(self.seed, self.epoch, _occurrences(order, self._length))
        mine = self._mine()[self._skip :]
        self.set_epoch(self.epoch + 1)
        return order[mine], seeds[mine]

    def rows(self, epoch: int) -> Indices:
        """List the rows of an epoch of this process, in its order."""
        return self._order(epoch)[self._mine()]

    def _mine(self) -> Indices:
        """List the places of this process in the order of all."""
        part = self._part()
        return np.arange(part.start, part.stop, part.step) % self._length

    def _part(self) -> range:
        """Number the places of this process, beyond the last row where some come twice."""
        replicas, rank = self._process or (1, 0)
        running = distributed.is_available() and distributed.is_initialized()
        shares = self.in_own_loader or not _accelerate_works()
        if self._process is None and running and shares:
            replicas, rank = distributed.get_world_size(), distributed.get_rank()
        padded = self._length + (-self._length % replicas if self.shuffle else 0)
        return range(rank, padded, replicas)

    def _order(self, epoch: int) -> Indices:
        """List the rows of an epoch of all processes."""
        if not self.shuffle:
            return np.arange(self._length)
        generator = np.random.default_rng([self.seed, epoch])
        if self.sampling_weights is None:
            return generator.permutation(self._length)
        return generator.choice(self._length, self._length, p=self.sampling_weights)

    def _draws(self, rows: Indices, seeds: npt.NDArray[np.int64]) -> Iterator[Draw]:
        for first in range(0, len(rows), _CHUNK):
            some = slice(first, first + _CHUNK)
            yield from zip(rows[some].tolist(), seeds[some].tolist(), strict=True)


def _accelerate_works() -> bool:
    """Tell whether there is an `Accelerator` in this process."""
    state = sys.modules.get("accelerate.state")
    return state is not None and bool(state.is_initialized())


class SeededDataset(Dataset[Any]):
    """A dataset whose samples are asked for by row and seed, and drawn by that seed alone."""

    def __init__(self, dataset: Any, *, draw_seeds: bool = False) -> None:
        """Keep the dataset; samples get the seed under ``"draw_seed"`` where asked for."""
        self.dataset = dataset
        self._draw_seeds = draw_seeds

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Any:
        """Make the sample of a row number and seed."""
        index, seed = draw
        with seeded_sample(self.dataset, seed):
            sample = self.dataset[index]
        if not self._draw_seeds:
            return sample
        what, got = "a dataset of dictionaries, which can take a `draw_seed`", type(sample).__name__
        require(isinstance(sample, dict), "dataset", what, f"one of {got}", error=TypeError)
        return {**sample, "draw_seed": seed}


def _check_labels(dataset: Any) -> None:
    """Warn of labels that seem to begin at 1, where the dataset has an attribute for them."""
    with suppress(RuntimeError):  # of an `ISICDataset` with rows that have none
        labels = getattr(dataset, "labels", None)
        known = np.asarray(labels if isinstance(labels, (list, tuple, np.ndarray)) else ())
        if known.ndim == 1 and known.dtype.kind in "iu":
            warn_if_from_one(known, "labels")


def _occurrences(rows: Indices, length: int) -> Indices:
    """Number rows so that the first occurrence of each is the row, and no other one is like it."""
    by_row = np.argsort(rows, kind="stable")
    ordered = rows[by_row]
    firsts = np.searchsorted(ordered, ordered)
    times = np.empty(len(rows), np.int64)
    times[by_row] = np.arange(len(rows)) - firsts
    return rows + length * times


def _sampling_weights(weights: Any, length: int, shuffle: bool) -> npt.NDArray[np.float64]:
    """Turn weights of rows into probabilities."""
    given = np.asarray(weights, np.float64)
    shaped = given.shape == (length,)
    fits = shaped and np.isfinite(given).all() and given.min() >= 0 and given.any()
    what = f"{length} weights of 0 or more, one for each row, not all 0"
    got = "other values" if shaped else f"an array of shape {given.shape}"
    require(fits, "sample_weights", what, got)
    hint = "Rows that are drawn at random have no order; pass `shuffle=True`."
    require(shuffle, "sample_weights", "None where `shuffle` is False", "weights", hint)
    probabilities: npt.NDArray[np.float64] = given / given.sum()
    return probabilities

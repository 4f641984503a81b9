"""Loaders: what is drawn follows from seed, epoch and row, however it is loaded."""

import errno
import os
import random
import re
import signal
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import multiprocessing
from torch.utils.data import (
    ConcatDataset,
    Dataset,
    DistributedSampler,
    Subset,
    TensorDataset,
    get_worker_info,
)
from torchvision.transforms import v2

from dermolib import ISICDataset, make_loader, preset
from dermolib.datasets.loaders import EpochSampler, SeededDataset, explain_workers
from dermolib.datasets.seeding import draw_seeds

pytestmark = [
    # From Python 3.12 on, a process with threads is warned when it forks, as loaders do by default
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
    # Four workers are tried on machines of two cores too
    pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker:UserWarning"),
]

IMAGE = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
N = 10
Key = tuple[int, bytes]


class Samples(Dataset[dict[str, Any]]):
    """The same image under each row: samples differ by row number and draw alone."""

    def __init__(self, transform: Callable[..., dict[str, Any]] | None) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index >= N:
            raise IndexError(index)
        image = IMAGE if self.transform is None else self.transform(image=IMAGE)["image"]
        return {"image": torch.from_numpy(np.ascontiguousarray(image)), "label": index}


def paper() -> Samples:
    return Samples(preset("paper", image_size=16, normalize=False))


def albumentations() -> Samples:
    return Samples(A.Compose([A.GaussNoise(p=1.0), A.HorizontalFlip(p=0.5)], seed=0))


def global_noise(image: np.ndarray[Any, Any]) -> dict[str, Any]:
    shift = random.randrange(50) + np.random.randint(50)  # noqa: S311, NPY002 - what users write
    return {"image": np.uint8(image + shift + torch.randint(50, (1,)).numpy())}


def with_globals() -> Samples:
    return Samples(global_noise)


def with_torchvision() -> Samples:
    crop = v2.RandomResizedCrop(16, antialias=True)
    return Samples(lambda image: {"image": crop(torch.from_numpy(image).movedim(2, 0)).numpy()})


def mixed() -> ConcatDataset[Any]:
    return ConcatDataset([Subset(paper(), [0, 1, 2]), Subset(with_globals(), [3, 4]), paper()])


def keys(batch: Any) -> list[Key]:
    images = batch["image"].numpy()
    return [(int(row), image.tobytes()) for row, image in zip(batch["label"], images, strict=True)]


def epoch(loader: Any) -> list[Key]:
    return [key for batch in loader for key in keys(batch)]


@pytest.mark.parametrize("make", [paper, albumentations, with_globals, with_torchvision, mixed])
def test_any_number_of_workers_draws_the_same(make: Callable[[], Dataset[Any]]) -> None:
    loaders = [
        make_loader(make(), batch_size=3, workers=workers, seed=5, shuffle=True)
        for workers in (0, 1, 2, 4)
    ]
    options: Any = {"batch_size": 3, "seed": 5, "shuffle": True}
    loaders.append(make_loader(make(), workers=2, persistent_workers=True, **options))

    epochs = [(epoch(loader), epoch(loader)) for loader in loaders]

    assert epochs[1:] == epochs[:-1]
    first, second = epochs[0]
    assert len({*first, *second}) == len(first) + len(second)


def test_a_row_draws_the_same_wherever_it_stands_in_the_order() -> None:
    shuffled, other = (epoch(make_loader(paper(), seed=seed, shuffle=True)) for seed in (0, 1))
    ordered = epoch(make_loader(paper(), batch_size=7))
    single = make_loader(paper(), batch_size=None)

    assert [row for row, _ in ordered] == list(range(N))
    assert sorted(shuffled) == sorted(ordered)
    assert [row for row, _ in shuffled] != [row for row, _ in other]
    assert not {*shuffled} & {*other}
    samples = [(sample["label"], sample["image"].numpy().tobytes()) for sample in single]
    assert samples == ordered


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("weights", [None, [1, 2] * (N // 2)])
def test_a_run_is_resumed_at_an_epoch_and_within_one(workers: int, weights: Any) -> None:
    options: Any = {"batch_size": 2, "shuffle": True, "sample_weights": weights}
    whole = make_loader(paper(), **options)
    epochs = [epoch(whole) for _ in range(3)]
    again = make_loader(paper(), workers=workers, **options)
    sampler: Any = again.sampler

    sampler.set_epoch(0, skip=6)
    sampler.set_epoch(1, skip=4)  # forgets what was to be skipped before
    length = len(again)

    assert length == 3
    assert [epoch(again), epoch(again)] == [epochs[1][4:], epochs[2]]


@pytest.mark.parametrize("make", [paper, with_globals])
def test_the_global_generators_stay_where_they_are(make: Callable[[], Dataset[Any]]) -> None:
    drawn = []
    for load in (True, False):
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002 - the one that must not move
        torch.manual_seed(3)
        if load:
            epoch(make_loader(make(), shuffle=True))
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: S311, NPY002 - likewise
    assert drawn[0] == drawn[1]


def test_a_dataset_of_tensors_and_one_without_transform_pass_unchanged(challenge: Path) -> None:
    tensors = make_loader(TensorDataset(torch.arange(4)), batch_size=2, workers=1)
    images = make_loader(ISICDataset.from_challenge(challenge), batch_size=6)

    assert torch.cat([batch[0] for batch in tensors]).tolist() == [0, 1, 2, 3]
    assert next(iter(images))["image"].shape == (6, 12, 16, 3)


def test_image_mask_and_metadata_of_a_row_stay_together(challenge: Path) -> None:
    dataset = ISICDataset.from_challenge(
        challenge, masks=True, metadata=True, transform=preset("paper", image_size=32)
    )

    batch = next(iter(make_loader(dataset, batch_size=6, workers=2, shuffle=True, seed=1)))

    rows = [list(dataset.ids).index(name) for name in batch["id"]]
    assert sorted(rows) == list(range(6))
    assert rows != list(range(6))
    assert batch["label"].tolist() == dataset.labels[rows].tolist()
    for row, metadata in zip(rows, batch["metadata"], strict=True):
        assert metadata.tolist() == dataset[row]["metadata"].tolist()
    assert batch["mask"].shape == (6, 32, 32)
    assert batch["mask"].flatten(1).any(dim=1).all()


def test_samples_can_take_the_seeds_of_their_draws() -> None:
    loader = make_loader(paper(), batch_size=N, draw_seeds=True, seed=4)

    first, second = (next(iter(loader))["draw_seed"] for _ in range(2))

    assert first.dtype == torch.int64
    assert first.tolist() == draw_seeds(4, 0, np.arange(N)).tolist()
    assert second.tolist() == draw_seeds(4, 1, np.arange(N)).tolist()


@given(length=st.integers(1, 60), replicas=st.integers(1, 7), seed=st.integers(0, 5))
def test_processes_share_the_rows_without_gap(length: int, replicas: int, seed: int) -> None:
    trained, scored = (
        [
            EpochSampler(length, seed=seed, shuffle=shuffle, num_replicas=replicas, rank=rank)
            for rank in range(replicas)
        ]
        for shuffle in (True, False)
    )

    sizes = [len(sampler) for sampler in trained]
    rows = [list(sampler) for sampler in trained]
    once = [len(sampler) for sampler in scored], [list(sampler) for sampler in scored]

    alone = dict(EpochSampler(length, seed=seed))
    assert sizes == [len(part) for part in rows] == [-(-length // replicas)] * replicas
    assert {pair for part in rows for pair in part} == set(alone.items())
    assert once[0] == [len(part) for part in once[1]]
    assert sorted(pair for part in once[1] for pair in part) == sorted(alone.items())


def _share(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    loader = make_loader(paper(), batch_size=2, shuffle=True, seed=2)
    store = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    epochs = [epoch(loader), epoch(loader)]
    torch.save(epochs, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow  # two processes that load torch: half a minute on two cores
def test_two_processes_draw_together_what_one_draws(tmp_path: Path) -> None:
    multiprocessing.spawn(_share, args=(str(tmp_path),), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]  # torch annotates neither

    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    alone = make_loader(paper(), batch_size=2, shuffle=True, seed=2)
    for number in range(2):
        together = [*parts[0][number], *parts[1][number]]
        assert len(parts[0][number]) == len(parts[1][number]) == N // 2
        assert sorted(together) == sorted(epoch(alone))


@given(seed=st.integers(0, 2**70), epoch=st.integers(0, 10**6), rows=st.integers(1, 2000))
def test_seeds_of_draws_are_different_numbers_that_presets_take(
    seed: int, epoch: int, rows: int
) -> None:
    seeds = draw_seeds(seed, epoch, np.arange(rows))
    next_epoch = draw_seeds(seed, epoch + 1, np.arange(rows))

    assert seeds.min() >= 0
    assert len({*seeds.tolist(), *next_epoch.tolist()}) == 2 * rows
    assert draw_seeds(seed, epoch, np.array([rows - 1]))[0] == seeds[-1]


def test_the_bits_of_seeds_are_even() -> None:
    seeds = draw_seeds(0, 0, np.arange(20_000))

    bits = (seeds[:, None] >> np.arange(63)) & 1

    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(bits.T) - np.eye(63)).max() < 0.04


weights = st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(any)


@given(weights=weights, seed=st.integers(0, 99), replicas=st.integers(1, 4))
def test_processes_share_the_rows_that_are_drawn_by_weight(
    weights: list[int], seed: int, replicas: int
) -> None:
    options: dict[str, Any] = {"seed": seed, "sample_weights": weights}
    alone = EpochSampler(len(weights), **options)

    parts = [
        EpochSampler(len(weights), num_replicas=replicas, rank=rank, **options).rows(3)
        for rank in range(replicas)
    ]

    rows = alone.rows(3)
    assert len(alone) == len(rows) == len(weights)
    assert [parts[n % replicas][n // replicas] for n in range(len(rows))] == rows.tolist()
    assert all(weights[row] for row in rows)


def test_rows_are_drawn_by_their_weight_and_anew_in_each_epoch() -> None:
    sampler = EpochSampler(1000, sample_weights=np.arange(1000))

    first, second = sampler.rows(0), sampler.rows(1)

    assert len(np.unique(first)) < 700
    assert len({seed for _, seed in sampler}) == 1000  # a row that comes twice is drawn twice
    assert first.mean() == pytest.approx(2000 / 3, abs=40)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, EpochSampler(1000, sample_weights=np.arange(1000)).rows(0))


def test_numbers_of_numpy_are_taken_as_those_of_python() -> None:
    options: Any = {"batch_size": np.int64(4), "workers": np.int64(0), "seed": np.int64(3)}

    loader = make_loader(paper(), **options)

    assert epoch(loader) == epoch(make_loader(paper(), batch_size=4, seed=3))


MAP_STYLE = "a map-style dataset, with a length and rows by number, but got an object of type "
WEIGHTS = "`sample_weights` to be 2 weights of 0 or more, one for each row, not all 0, but got"


@pytest.mark.parametrize(
    ("data", "options", "error", "fragment"),
    [
        ((row for row in [1]), {}, TypeError, f"{MAP_STYLE}generator."),
        ("ch", {"batch_size": 2}, TypeError, f"{MAP_STYLE}str."),
        (b"ch", {"batch_size": 2}, TypeError, f"{MAP_STYLE}bytes."),
        (Path("ch"), {"batch_size": 2}, TypeError, MAP_STYLE),
        ([], {}, ValueError, "a set with at least one sample, but got an empty one."),
        ([1], {"sampler": 1, "generator": 1}, TypeError, "but got `generator`, `sampler`."),
        ([1, 2], {"batch_size": 0}, ValueError, "`batch_size` to be an integer of 1 or more"),
        ([1, 2], {"workers": -1}, ValueError, "`workers` to be an integer of 0 or more"),
        ([1, 2], {"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
        ([1, 2], {"seed": 2**63}, ValueError, "`seed` to be an integer of up to 9.22337e+18"),
        ([1, 2], {"num_replicas": 0}, ValueError, "`num_replicas` to be an integer of 1 or more"),
        ([1, 2], {"num_replicas": 2, "rank": 2}, ValueError, "`rank` to be an integer in 0..1"),
        ([1, 2], {"sample_weights": [1]}, ValueError, f"{WEIGHTS} an array of shape (1,)."),
        *(
            ([1, 2], {"sample_weights": weights, "shuffle": True}, ValueError, WEIGHTS)
            for weights in ([1, -1], [0, 0], [1, np.nan])
        ),
        ([1, 2], {"sample_weights": [1, 1]}, ValueError, "None where `shuffle` is False, but got"),
    ],
    ids=range(17),
)
def test_options_that_do_not_fit_are_refused(
    data: Any, options: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        make_loader(data, **options)


def test_epochs_and_samples_that_do_not_fit_are_refused() -> None:
    sampler = EpochSampler(3)
    with pytest.raises(ValueError, match="`epoch` to be an integer of 0 or more, but got -1"):
        sampler.set_epoch(-1)
    with pytest.raises(ValueError, match="`skip` to be an integer of 0 or more, but got -1"):
        sampler.set_epoch(0, skip=-1)
    with pytest.raises(TypeError, match="which can take a `draw_seed`, but got one of int"):
        SeededDataset([1, 2], draw_seeds=True)[0, 5]
    assert isinstance(sampler, DistributedSampler)  # so that engines do not replace it


class Ending(Samples):
    """Rows of which one ends the worker that makes it, as a system without memory does."""

    def __getitem__(self, index: int) -> Any:
        if index == 5 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_sizes_are_named_with_the_remedy(workers: int) -> None:
    dataset: Any = [{"image": torch.zeros(3, 8, 8 + row), "label": row} for row in range(2)]
    sentence = (
        r"^Expected `batch` to be samples of one shape each, but got \[3, 8, 8\] and \[3, 8, 9\]"
    )

    with pytest.raises(
        ValueError, match=rf"{sentence}\. Resize all images .*image_size=224\)` does\.$"
    ):
        next(iter(make_loader(dataset, workers=workers)))
    with pytest.raises(RuntimeError, match="stack expects each tensor"), explain_workers():
        torch.stack([sample["image"] for sample in dataset])


def test_a_worker_that_was_killed_is_explained_in_one_sentence() -> None:
    with pytest.raises(BrokenExecutor, match=r"one that was killed, .* with fewer workers\.$"):
        list(make_loader(Ending(None), batch_size=2, workers=1))


def in_daemon(results: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loader = make_loader(Samples(None), batch_size=2, workers=2, persistent_workers=True)
        counts = [len(list(loader)), len(list(loader))]
    results.put((counts, [str(one.message) for one in caught if "workers" in str(one.message)]))


def test_a_daemonic_process_loads_by_itself_and_says_so_once() -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=in_daemon, args=(results,), daemon=True)

    process.start()
    counts, caught = results.get(timeout=120)
    process.join()

    assert counts == [5, 5]
    assert len(caught) == 1
    assert "`workers` to be 0 in a daemonic process" in caught[0]


def test_a_system_without_shared_memory_loads_without_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("multiprocessing.Lock", refuse)

    with pytest.warns(UserWarning, match="0 in a system without shared memory") as caught:
        batches = list(make_loader(Samples(None), batch_size=2, workers=2))

    assert len(batches) == 5
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."),
            "too little sh",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
            "what is finished is kept",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7) exited\nToo many open files"),
            "one that was killed",
        ),
        (
            OSError("Caught OSError in DataLoader worker process 0.\nToo many open files"),
            "ulimit -n",
        ),
    ],
)
def test_what_torch_says_of_workers_is_put_into_one_sentence(
    error: Exception, sentence: str
) -> None:
    told = pytest.raises(BrokenExecutor, match=f"^Expected `workers` to be .*{sentence}")
    with told, explain_workers(kept=True):
        raise error


@pytest.mark.parametrize(
    "error", [ConnectionResetError("of a server"), RuntimeError("shared memory of a GPU")], ids=str
)
@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_a_dataset_stay_what_they_are(error: Exception, workers: int) -> None:
    class Failing(Samples):
        def __getitem__(self, index: int) -> Any:
            raise error

    with pytest.raises(type(error), match=str(error)):
        list(make_loader(Failing(None), workers=workers))


def test_errors_that_arose_from_each_other_are_passed_on() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    with pytest.raises(RuntimeError, match="one"), explain_workers():
        raise one

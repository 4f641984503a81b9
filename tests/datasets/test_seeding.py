"""Seeds of loader workers: real loaders first, then what `seed_worker` finds in a dataset."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from dermolib import preset, seed_worker

# From Python 3.12 on, a process with threads is warned when it forks, as loaders do by default.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

IMAGE = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
WORKERS = 2


class Samples(Dataset[torch.Tensor]):
    """The same image again and again: samples differ by their draw alone."""

    def __init__(self, transform: Callable[..., dict[str, Any]]) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        if index >= len(self):
            raise IndexError(index)
        return torch.from_numpy(self.transform(image=IMAGE)["image"])


class Recorder:
    """Stands for any transform that can be seeded."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.seeds: list[int] = []

    def set_random_seed(self, seed: int) -> None:
        self.seeds.append(seed)


def paper() -> Samples:
    return Samples(preset("paper", image_size=16, seed=0, normalize=False))


def albumentations() -> Samples:
    return Samples(A.Compose([A.GaussNoise(p=1.0), A.HorizontalFlip(p=0.5)], seed=0))


def make_loader(
    dataset: Dataset[torch.Tensor],
    init: Callable[[int], None] | None,
    seed: int = 0,
    *,
    persistent: bool = False,
) -> DataLoader[torch.Tensor]:
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=WORKERS,
        worker_init_fn=init,
        generator=torch.Generator().manual_seed(seed),
        persistent_workers=persistent,
    )


def epoch(loader: DataLoader[torch.Tensor]) -> list[bytes]:
    return [sample.numpy().tobytes() for sample in loader]


def seeds_of(
    monkeypatch: pytest.MonkeyPatch, dataset: object, seed: int = 11, worker: int = 0
) -> None:
    info = SimpleNamespace(dataset=dataset, seed=seed)
    monkeypatch.setattr("torch.utils.data.get_worker_info", lambda: info)
    seed_worker(worker)


@pytest.mark.parametrize("make", [paper, albumentations])
def test_without_it_workers_and_epochs_draw_the_same(make: Callable[[], Samples]) -> None:
    loader = make_loader(make(), None)

    first, second = epoch(loader), epoch(loader)

    assert first[0::WORKERS] == first[1::WORKERS]
    assert first == second


def concatenated() -> Dataset[torch.Tensor]:
    return ConcatDataset([Subset(paper(), [0, 1, 2]), Subset(Subset(paper(), [0, 1]), [0, 1])])


@pytest.mark.parametrize("make", [paper, albumentations, concatenated])
def test_with_it_workers_and_epochs_differ_and_a_seed_repeats(
    make: Callable[[], Dataset[torch.Tensor]],
) -> None:
    loader, again, other = (make_loader(make(), seed_worker, seed) for seed in (0, 0, 1))
    kept = make_loader(make(), seed_worker, persistent=True)

    first, second = epoch(loader), epoch(loader)

    assert len({*first, *second, *epoch(other)}) == 3 * len(first)
    assert (epoch(again), epoch(again)) == (first, second)
    assert len({*epoch(kept), *epoch(kept)}) == 2 * len(first)


def test_each_transform_gets_a_seed_of_its_own_that_worker_and_epoch_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = Recorder(), Recorder()
    dataset = SimpleNamespace(transform=[one, two])

    for seed, worker in ((11, 0), (11, 1), (12, 0), (11, 0)):
        seeds_of(monkeypatch, dataset, seed, worker)

    assert len({*one.seeds, *two.seeds}) == 6
    assert one.seeds[0] == one.seeds[3]
    assert two.seeds[0] == two.seeds[3]


def test_the_own_seed_of_a_transform_is_mixed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = [Recorder(own) for own in (1, 2, 1)]

    for transform in transforms:
        seeds_of(monkeypatch, SimpleNamespace(transform=transform))

    first, other, again = (transform.seeds for transform in transforms)
    assert first == again != other


def test_each_transform_is_seeded_once_and_samples_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, in_ring, in_sample = Recorder(), Recorder(), Recorder()
    parts = [SimpleNamespace(transform=shared), SimpleNamespace(transforms=(shared,))]
    ring: list[object] = [in_ring]
    ring.append(ring)
    circle = SimpleNamespace(transforms={"ring": ring})
    circle.dataset, circle.transform = circle, [circle]
    samples = [SimpleNamespace(transform=in_sample)]  # of a dataset that is a plain list

    for dataset in (SimpleNamespace(datasets=parts), circle, samples):
        seeds_of(monkeypatch, dataset)
    seeds_of(monkeypatch, SimpleNamespace(dataset=samples))

    assert (len(shared.seeds), len(in_ring.seeds), len(in_sample.seeds)) == (1, 1, 0)


def test_objects_that_live_for_one_look_do_not_hide_those_that_come_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrapper:
        def __init__(self, transform: Recorder) -> None:
            self.transform = transform

    class Part:
        def __init__(self) -> None:
            self.inner = Recorder()

        @property
        def transforms(self) -> Wrapper:
            return Wrapper(self.inner)

    parts = [Part() for _ in range(50)]

    seeds_of(monkeypatch, SimpleNamespace(datasets=parts))

    assert all(len(part.inner.seeds) == 1 for part in parts)


def test_the_transforms_of_a_seeded_albumentations_pipeline_stay_independent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flips = [A.Transpose(p=0.5), A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    dataset = Samples(A.Compose(flips))

    seeds_of(monkeypatch, dataset)

    assert len({dataset[0].numpy().tobytes() for _ in range(100)}) == 8


NESTED = st.recursive(
    st.builds(Recorder),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.builds(lambda part: SimpleNamespace(transform=part), inner),
        st.builds(lambda part: SimpleNamespace(dataset=SimpleNamespace(datasets=[part])), inner),
    ),
    max_leaves=8,
)


def recorders(item: object) -> list[Recorder]:
    if isinstance(item, Recorder):
        return [item]
    inner = item if isinstance(item, list) else []
    inner = list(item.values()) if isinstance(item, dict) else inner
    inner = list(vars(item).values()) if isinstance(item, SimpleNamespace) else inner
    return [recorder for part in inner for recorder in recorders(part)]


@given(nested=NESTED)
@settings(max_examples=60)
def test_however_transforms_are_nested_each_is_found_once_and_seeded_differently(
    nested: object,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        seeds_of(patch, SimpleNamespace(transform=nested))

    found = recorders(nested)
    assert all(len(recorder.seeds) == 1 for recorder in found)
    assert len({recorder.seeds[0] for recorder in found}) == len(found)


def test_outside_a_worker_it_says_how_to_pass_it() -> None:
    sentence = (
        "Expected `seed_worker` to be called in a worker, but got the main process. "
        r"Pass it as `DataLoader\(..., num_workers=1 or more, worker_init_fn=seed_worker\)`."
    )
    with pytest.raises(RuntimeError, match=sentence):
        seed_worker(0)

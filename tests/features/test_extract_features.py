import errno
import json
import logging
import os
import re
import tracemalloc
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from dermolib import ISICDataset, preset
from dermolib.datasets.loaders import make_loader
from dermolib.evaluation import Features, extract_features
from dermolib.io import write_image
from drawing import noise_image


def network(*, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 8),
        )  # fmt: skip


def samples(count: int = 7, *, size: int = 8) -> list[dict[str, Any]]:
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
    return [
        {"image": image, "label": number % 3, "id": f"IMG_{number}"}
        for number, image in enumerate(images)
    ]


def assert_close(features: Features, values: Any) -> None:
    np.testing.assert_allclose(features.values, values, rtol=1e-5, atol=1e-6)


def columns(features: Features) -> list[list[Any] | None]:
    found = (features.ids, features.labels, features.groups)
    return [None if column is None else column.tolist() for column in found]


def counted(model: nn.Sequential) -> list[int]:
    """Note the size of each batch that the network is given."""
    sizes: list[int] = []
    model[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    return sizes


@pytest.fixture
def dataset(challenge: Path) -> ISICDataset:
    return ISICDataset.from_challenge(challenge, transform=preset("evaluation", image_size=16))


def test_features_are_what_the_last_linear_layer_is_given() -> None:
    model, rows = network(), samples()

    features = extract_features(model, rows, batch_size=3)

    with torch.no_grad():
        assert_close(features, model.eval()[:-1](torch.stack([one["image"] for one in rows])))
    assert features.values.dtype == np.float32
    ids = [f"IMG_{number}" for number in range(7)]
    assert columns(features) == [ids, [0, 1, 2, 0, 1, 2, 0], None]


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(1, 9))
def test_the_size_of_batches_changes_nothing(batch_size: int, count: int) -> None:
    model, rows = network(), samples(count)

    in_batches = extract_features(model, rows, batch_size=batch_size)

    assert_close(in_batches, extract_features(model, rows, batch_size=1).values)
    assert len(in_batches) == count


def test_workers_change_nothing(dataset: ISICDataset) -> None:
    random = dataset.with_transform(preset("paper", image_size=16, seed=3))

    alone, by_worker = (extract_features(network(), random, workers=count) for count in (0, 1))

    np.testing.assert_array_equal(alone.values, by_worker.values)


def test_rows_of_a_dataset_bring_their_ids_labels_and_lesions(
    dataset: ISICDataset, challenge: Path
) -> None:
    transform = preset("evaluation", image_size=16)
    test = ISICDataset.from_challenge(challenge, "test", transform=transform)
    table = dataset.table.copy()
    table.loc[2, "label"] = None

    features = extract_features(network(), dataset)
    partly = extract_features(network(), ISICDataset(table, transform=transform))

    ids, lesions = [f"IMG_{number}" for number in range(6)], dataset.groups.tolist()
    assert features.values.shape == (6, 6)
    assert columns(features) == [ids, [0, 1, 2, 7, 1, 1], lesions]
    assert columns(features.subset([4, 0]))[:2] == [["IMG_4", "IMG_0"], [1, 0]]
    np.testing.assert_array_equal(features.subset([4, 0]).values, features.values[[4, 0]])
    assert columns(partly)[1] == [0, 1, -1, 7, 1, 1]
    assert columns(extract_features(network(), test))[:2] == [["TEST_0", "TEST_1"], None]


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True},
        {"sampler": SubsetRandomSampler(range(7))},
        {"sampler": WeightedRandomSampler([1.0] * 7, 7)},
        {"batch_sampler": BatchSampler(RandomSampler(range(7)), 2, drop_last=False)},
        {"batch_size": None, "shuffle": True},
    ],
)
def test_a_loader_in_another_order_is_refused(options: dict[str, Any]) -> None:
    rows: Any = samples()
    loader: DataLoader[Any] = DataLoader(rows, **options)

    for shuffled in (loader, make_loader(samples(), shuffle=True)):
        with pytest.raises(ValueError, match="`data` to be a loader in order, but got one that sh"):
            extract_features(network(), shuffled)


class Batches(IterableDataset[Any]):
    """Batches that come one after the other, with a length."""

    def __len__(self) -> int:
        return 7

    def __iter__(self) -> Iterator[Any]:
        rows: Any = samples()
        return iter(DataLoader(rows, batch_size=2))


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(samples(), batch_size=2),  # type: ignore[arg-type] # a list has all that is asked
        make_loader(samples(), shuffle=False),
        Batches(),
        (batch for batch in Batches()),
    ],
    ids=["of torch", "of this library", "iterable dataset", "generator"],
)
def test_batches_keep_their_order(data: Any) -> None:
    features = extract_features(network(), data)

    assert_close(features, extract_features(network(), samples()).values)
    assert columns(features)[0] == [f"IMG_{number}" for number in range(7)]


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        ({"label": torch.zeros(3).long()}, r"`label` .* each of 4 rows, but got shape \(3,\)"),
        ({"label": torch.tensor([0, 1, 1, 1.5])}, "`label` .* each of 4 rows, but got 1.5"),
        ({"id": ["a", "b", "c"]}, "one `id` for each of the 4 images of a batch, but got 3"),
    ],
)
def test_a_batch_whose_labels_or_ids_do_not_fit_its_images_is_refused(
    more: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(ValueError, match=fragment):
        extract_features(network(), iter([{"image": torch.zeros(4, 3, 8, 8), **more}]))


def test_whole_labels_of_any_dtype_are_taken_and_nan_is_none() -> None:
    batch = {"image": torch.zeros(3, 3, 8, 8), "label": torch.tensor([2.0, torch.nan, 0.0])}

    assert columns(extract_features(network(), iter([batch])))[1] == [2, -1, 0]


def test_flips_average_over_an_image_and_its_mirror_image() -> None:
    model, rows = network(), samples()
    mirrored = [{**sample, "image": sample["image"].flip(-1)} for sample in rows]

    both = extract_features(model, rows, flips=True)

    pair = [extract_features(model, one).values for one in (rows, mirrored)]
    assert_close(both, (pair[0] + pair[1]) / 2)


def test_half_precision_gives_float32_nearby() -> None:
    half = extract_features(network(), samples(), precision="bf16-mixed")

    whole = extract_features(network(), samples())
    assert half.values.dtype == np.float32
    assert not np.array_equal(half.values, whole.values)
    np.testing.assert_allclose(half.values, whole.values, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(("name", "alias"), [("32-true", "float32"), ("bf16-mixed", "bfloat16")])
def test_precisions_have_the_names_of_the_trainer_too(
    dataset: ISICDataset, tmp_path: Path, name: str, alias: str
) -> None:
    model = network()
    first = extract_features(model, dataset, precision=name, cache=tmp_path / "features.npz")
    sizes = counted(model)

    again = extract_features(model, dataset, precision=alias, cache=tmp_path / "features.npz")

    np.testing.assert_array_equal(first.values, again.values)
    assert sizes == []


@pytest.mark.parametrize("name", ["16-mixed", "float16"])
def test_the_cpu_does_not_compute_with_float16(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"`precision` to be one that the CPU computes with, .*bf16"
    ):
        extract_features(network(), samples(), device="cpu", precision=name)


def test_each_layer_is_afterwards_in_the_mode_it_was_in() -> None:
    model = network()
    model.train()
    model[1].eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    broken = samples()
    broken[3]["image"] = torch.full((3, 8, 8), torch.nan)

    extract_features(model, samples())
    with pytest.raises(ValueError, match="IMG_3"):
        extract_features(model, broken)

    assert [module.training for module in model] == [True, False, True, True, True, True, True]
    assert model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)


def test_memory_holds_the_features_and_a_batch() -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 8))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def batches() -> Iterator[dict[str, Tensor]]:
        nonlocal most
        for _ in range(20):
            images = torch.zeros(8, 3, 64, 64)
            alive.append(weakref.ref(images))
            most = max(most, sum(image() is not None for image in alive))
            yield {"image": images}
            del images

    tracemalloc.start()
    features = extract_features(wide, batches())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most <= 2
    assert features.values.nbytes == 160 * 3 * 64 * 64 * 4
    assert peak < 1.4 * features.values.nbytes


def test_a_cache_replaces_the_network_the_second_time_whatever_its_last_layer(
    dataset: ISICDataset, tmp_path: Path
) -> None:
    model, cache = network(), tmp_path / "new" / "features.npz"
    other = nn.Sequential(*network()[:-1], nn.Linear(6, 3))
    sizes, none = counted(model), counted(other)

    first = extract_features(model, dataset, cache=cache)
    for again in (
        extract_features(model, dataset, cache=cache, batch_size=2),
        extract_features(other, dataset, cache=cache),
    ):
        np.testing.assert_array_equal(first.values, again.values)
        assert columns(again) == columns(first)

    assert (sizes, none) == ([6], [])
    assert [path.name for path in cache.parent.iterdir()] == ["features.npz"]


def scaled(factor: float, image: Any) -> dict[str, Tensor]:
    return {"image": torch.from_numpy(image).permute(2, 0, 1) * factor}


class Masked(nn.Conv2d):
    """A layer with a buffer that no state dict holds."""

    mean: Tensor

    def __init__(self, mean: float) -> None:
        super().__init__(3, 6, 3)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - self.mean)


def with_buffer(mean: float) -> nn.Sequential:
    model = network()
    layer = Masked(mean)
    layer.load_state_dict(model[0].state_dict())
    model[0] = layer
    return model


def replaced(dataset: ISICDataset) -> ISICDataset:
    write_image(dataset.table["image_path"][1], noise_image(12, 16, 99))
    return dataset


def touched(dataset: ISICDataset) -> ISICDataset:
    os.utime(dataset.table["image_path"][5], ns=(0, 10**18))
    return dataset


@pytest.mark.parametrize(
    ("model", "change", "options", "reason"),
    [
        (network(seed=1), None, {}, "other weights than before"),
        (with_buffer(0.5), None, {}, "other weights, layers than before"),
        (
            nn.Sequential(*network()[:2], nn.Tanh(), *network()[3:]),
            None,
            {},
            "other layers than before",
        ),
        (network(), lambda rows: rows.subset([1, 0, 2, 3, 4, 5]), {}, "images, images as seen"),
        (network(), replaced, {}, "other images"),
        (network(), touched, {}, "other images than before"),
        (
            network(),
            lambda rows: rows.with_transform(preset("evaluation", image_size=17)),
            {},
            "other transform, images as seen than before",
        ),
        (network(), None, {"flips": True}, "other flips than before"),
        (network(), None, {"precision": "bf16-mixed"}, "other precision than before"),
    ],
)
def test_a_stale_cache_is_computed_again_and_the_log_says_why(
    dataset: ISICDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    model: nn.Sequential,
    change: Any,
    options: dict[str, Any],
    reason: str,
) -> None:
    cache = tmp_path / "features.npz"
    extract_features(network(), dataset, cache=cache)
    changed = dataset if change is None else change(dataset)
    caplog.set_level(logging.INFO, "dermolib")

    features = extract_features(model, changed, cache=cache, **options)

    assert reason in caplog.text
    np.testing.assert_array_equal(
        features.values, extract_features(model, changed, **options).values
    )
    sizes = counted(model)
    extract_features(model, changed, cache=cache, **options)
    assert sizes == []


def test_a_function_made_again_finds_its_cache_and_one_that_does_something_else_does_not(
    dataset: ISICDataset, tmp_path: Path
) -> None:
    model = network()
    sizes = counted(model)
    dim, bright, again = (
        dataset.with_transform(lambda image, factor=factor: scaled(factor, image))
        for factor in (0.001, 0.004, 0.004)
    )

    *_, first, found = (
        extract_features(model, rows, cache=tmp_path / "f.npz") for rows in (dim, bright, again)
    )

    assert sizes == [6, 6]
    np.testing.assert_array_equal(first.values, found.values)
    np.testing.assert_array_equal(first.values, extract_features(model, bright).values)


def test_labels_that_were_corrected_are_not_those_of_the_cache(
    dataset: ISICDataset, tmp_path: Path
) -> None:
    model = network()
    extract_features(model, dataset, cache=tmp_path / "features.npz")
    table = dataset.table.copy()
    table.loc[0, "label"] = 5
    corrected = ISICDataset(table, transform=dataset.transform)
    sizes = counted(model)

    features = extract_features(model, corrected, cache=tmp_path / "features.npz")

    assert sizes == []
    assert columns(features)[1] == [5, 1, 2, 7, 1, 1]


def test_a_full_disk_costs_the_file_and_not_the_features(
    dataset: ISICDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)

    features = extract_features(network(), dataset, cache=tmp_path / "features.npz")

    assert len(features) == 6
    assert "No space left on device); the features are not kept" in caplog.text
    assert list(tmp_path.glob("*.npz")) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values[::-1],
        lambda values: values[:5],
        lambda values: values[:, 0],
        lambda values: values.astype(np.float64),
        lambda values: values.astype(str),
        lambda values: values * np.nan,
        lambda values: values.astype(object),
        lambda values: values[0, 0],
    ],
    ids=["order", "rows", "shape", "dtype", "texts", "NaN", "pickle", "number"],
)
def test_features_that_another_program_changed_are_computed_again(
    dataset: ISICDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any
) -> None:
    cache = tmp_path / "features.npz"
    right = extract_features(network(), dataset, cache=cache).values
    before = cache.read_bytes()
    with np.load(cache) as file:
        np.savez(cache, key=file["key"], values=change(file["values"]))
    caplog.set_level(logging.INFO, "dermolib")

    again = extract_features(network(), dataset, cache=cache).values

    np.testing.assert_array_equal(again, right)
    assert cache.read_bytes() == before
    assert "features.npz is computed again: its values changed since" in caplog.text


def test_a_cache_that_claims_more_than_it_has_takes_no_memory(
    dataset: ISICDataset, tmp_path: Path
) -> None:
    small, large = tmp_path / "small.npz", tmp_path / "large.npz"
    extract_features(network(), dataset, cache=small)
    with zipfile.ZipFile(small) as file, zipfile.ZipFile(large, "w") as other:
        values = file.read("values.npy").replace(b"(6, 6)", b"(%d, 6)" % 10**12)
        other.writestr("key.npy", file.read("key.npy"))
        other.writestr("values.npy", values)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("key.npy", bytes(1 << 24))

    extract_features(network(), dataset, cache=large)

    assert large.read_bytes() == small.read_bytes()
    with pytest.raises(ValueError, match="to be a file of features, or none yet, but got"):
        extract_features(network(), dataset, cache=tmp_path / "bomb.npz")
    (tmp_path / "nowhere.npz").symlink_to("gone")
    with pytest.raises(ValueError, match="or none yet, but got a link that leads nowhere"):
        extract_features(network(), dataset, cache=tmp_path / "nowhere.npz")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ID,CLASS\n",
        b"PK\x03\x04 not all of it",
        np.array(json.dumps({"format": "mine"})),
        np.array({"a": 1}, dtype=object),
        np.array("[" * 100_000),
        np.array(3),
    ],
    ids=["empty", "table", "damaged", "arrays of others", "pickle", "levels", "number"],
)
def test_a_file_of_something_else_is_not_overwritten(
    dataset: ISICDataset, tmp_path: Path, content: Any
) -> None:
    cache = tmp_path / "train.npz"
    if isinstance(content, bytes):
        cache.write_bytes(content)
    else:
        np.savez(cache, key=content, values=np.zeros(3))
    before = cache.read_bytes()
    sentence = f"`{cache}` to be a file of features, or none yet, but got a damaged one or"

    with pytest.raises(ValueError, match=re.escape(sentence)):
        extract_features(network(), dataset, cache=cache)

    assert cache.read_bytes() == before


@pytest.mark.parametrize(
    ("weights", "image", "sentence"),
    [
        (1.0, torch.nan, "`features of IMG_2` to be finite, but got NaN or infinity in the image"),
        (torch.nan, 1.0, "`features of IMG_0` to be finite, but got NaN or infinity from a finite"),
    ],
)
def test_features_that_are_not_finite_name_their_image(
    weights: float, image: float, sentence: str
) -> None:
    model, rows = network(), samples()
    torch.nn.utils.vector_to_parameters(
        weights * torch.nn.utils.parameters_to_vector(model[0].parameters()), model[0].parameters()
    )
    rows[2]["image"] = rows[2]["image"] * image

    with pytest.raises(ValueError, match=re.escape(sentence)):
        extract_features(model, rows, batch_size=2)


def test_an_image_without_a_name_is_named_by_its_row() -> None:
    rows = [{"image": torch.zeros(3, 8, 8)} for _ in range(4)]
    rows.append({"image": torch.full((3, 8, 8), torch.inf)})

    with pytest.raises(ValueError, match="`features of row 4` to be finite"):
        extract_features(network(), rows, batch_size=2)


class WithMetadata(nn.Module):
    """A network that takes metadata beside images."""

    takes_metadata = True

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(13, 8)

    def forward(self, images: Tensor, metadata: Tensor) -> Any:
        return self.last(metadata + images.mean())


def test_a_network_that_takes_metadata_is_given_them_and_other_metadata_make_a_cache_stale(
    dataset: ISICDataset, challenge: Path, tmp_path: Path
) -> None:
    transform, cache = dataset.transform, tmp_path / "features.npz"
    rows = ISICDataset.from_challenge(challenge, transform=transform, metadata=True)
    older = ISICDataset(rows.table.assign(age=77.0), transform=transform, metadata=True)

    features = extract_features(WithMetadata(), rows, batch_size=1, cache=cache)
    changed = extract_features(WithMetadata(), older, cache=cache)

    row = rows[3]
    expected = row["metadata"] + float(row["image"].mean())
    np.testing.assert_allclose(features.values[3], expected, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(features.values, changed.values)
    with pytest.raises(TypeError, match="Open it with `metadata=True`"):
        extract_features(WithMetadata(), dataset)


def test_unfit_data_are_refused(challenge: Path) -> None:
    raw = ISICDataset.from_challenge(challenge)
    sentences: list[tuple[type[Exception], Any, dict[str, Any], str]] = [
        (TypeError, raw, {}, "Give the dataset a transform such as"),
        (TypeError, [torch.zeros(3, 8, 8)], {}, "but got a Tensor without it"),
        (TypeError, iter([{"image": torch.zeros(3, 8, 8)}]), {}, "but got Tensor (3, 8, 8) of"),
        (TypeError, raw, {}, "`**input_settings(model).normalization` where the network has"),
        (TypeError, [{"image": None}], {}, "but got NoneType () of no dtype."),
        (TypeError, None, {}, "such as a `DataLoader`, but got an object of type NoneType."),
        (TypeError, 3, {}, "such as a `DataLoader`, but got an object of type int."),
        (TypeError, np.zeros((2, 3, 8, 8)), {}, "Pass `[{'image': torch.as_tensor(image)} for"),
        (TypeError, torch.zeros(2, 3, 8, 8), {}, "Pass `[{'image': torch.as_tensor(image)} for"),
        (TypeError, {"image": torch.zeros(2, 3, 8, 8)}, {}, "Pass `iter([batch])` for one batch."),
        (TypeError, [{"image": torch.zeros(2, 3, 8, 8)}], {}, "Pass `iter(batches)` where these"),
        (TypeError, samples(), {"flips": "no"}, "`flips` to be True or False, but got 'no'"),
        (ValueError, [], {}, "`data` to be data with at least one image, but got none"),
        (ValueError, iter([]), {}, "`data` to be data with at least one image, but got none"),
        (TypeError, samples(), {"cache": "x.npz"}, "`cache` to be None for data without files"),
        (ValueError, samples(), {"batch_size": 0}, "`batch_size` to be an integer of 1 or more"),
        (ValueError, samples(), {"workers": -1}, "`workers` to be an integer of 0 or more"),
        (ValueError, samples(), {"device": "tpu"}, "`device` to be one of 'auto', 'cpu'"),
        (ValueError, samples(), {"precision": "16"}, "`precision` to be one of '32-true'"),
    ]

    for kind, data, options, sentence in sentences:
        with pytest.raises(kind, match=re.escape(sentence)):
            extract_features(network(), data, **options)
    with pytest.raises(TypeError, match="Pass the network first"):
        extract_features(np.zeros((2, 3, 8, 8)), network())  # type: ignore[arg-type] # the mistake


def test_a_device_that_is_not_available_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ValueError, match="`device` to be one of this machine, but got 'cuda'"):
        extract_features(network(), samples(), device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="most machines have no CUDA device")
def test_a_gpu_gives_the_features_and_the_network_comes_back() -> None:
    model = network()

    features = extract_features(model, samples(), device="cuda")

    np.testing.assert_allclose(
        features.values, extract_features(model, samples(), device="cpu").values, atol=1e-3
    )
    assert next(model.parameters()).device.type == "cpu"


def test_features_print_without_their_lesions() -> None:
    features = Features(np.zeros((1, 2), np.float32), groups=np.array(["L0"], object))

    assert "L0" not in repr(features)

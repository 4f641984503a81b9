"""Images that lie on the device: the same rows and seeds as a loader's, without loading."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dermolib import BatchAugmentation, ISICDataset, Trainer, prepare
from dermolib.datasets.device_loader import DeviceLoader
from dermolib.datasets.loaders import make_loader
from drawing import noise_image

N = 300  # more than what is read at a time


def samples(count: int = N, *, size: int = 8) -> list[dict[str, Any]]:
    return [
        {
            "image": noise_image(size, size, number),
            "label": number % 8,
            "id": f"IMG_{number}",
            "mask": np.full((size, size), number % 2 == 0),
            "metadata": np.full(3, number, np.float32),
            "soft_label": np.full(8, number, np.float32),
        }
        for number in range(count)
    ]


def test_batches_are_those_of_a_loader() -> None:
    options: dict[str, Any] = {"batch_size": 64, "seed": 3, "shuffle": True}
    loader = make_loader(samples(), draw_seeds=True, **options)
    resident = DeviceLoader(samples(), device="cpu", **options)

    for _ in range(2):
        batches = list(resident)
        assert len(batches) == len(resident) == len(loader) == 5
        for batch, loaded in zip(batches, loader, strict=True):
            assert batch.keys() == loaded.keys()
            assert torch.equal(batch["image"], loaded["image"].permute(0, 3, 1, 2))
            assert batch["id"] == loaded["id"]
            for name in ("label", "soft_label", "mask", "metadata", "draw_seed"):
                assert torch.equal(batch[name], loaded[name])
                assert batch[name].dtype == loaded[name].dtype


def test_images_lie_there_once_and_batches_are_ready_for_a_network() -> None:
    loader = DeviceLoader(samples(5), device="cpu", batch_size=4)

    batch = next(iter(loader))

    assert loader.images.shape == (5, 8, 8, 3)
    assert loader.images.dtype == torch.uint8
    assert loader.labels is not None
    assert loader.labels.tolist() == [0, 1, 2, 3, 4]
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)


def test_only_images_are_needed() -> None:
    loader = DeviceLoader([{"image": noise_image(4, 5, 0)}], device="cpu")

    (batch,) = loader

    assert batch.keys() == {"image", "draw_seed"}
    assert (loader.labels, loader.ids) == (None, None)


def test_each_batch_is_augmented_by_the_seeds_of_its_rows() -> None:
    augment = BatchAugmentation("paper")
    whole = DeviceLoader(samples(6, size=32), device="cpu", batch_size=6, augment=augment)
    parts = DeviceLoader(
        samples(6, size=32), device="cpu", batch_size=2, shuffle=True, augment=augment
    )

    batch = next(iter(whole))
    by_id = {
        name: image for part in parts for name, image in zip(part["id"], part["image"], strict=True)
    }

    assert batch["image"].dtype == torch.float32
    for name, image in zip(batch["id"], batch["image"], strict=True):
        assert (by_id[name] - image).abs().max() < 1e-3


def test_an_epoch_is_taken_up_again() -> None:
    loader = DeviceLoader(samples(10), device="cpu", batch_size=2, shuffle=True)
    ids = [[batch["id"] for batch in loader] for _ in range(2)]

    loader.sampler.set_epoch(1, skip=4)

    assert len(loader) == 3
    assert [batch["id"] for batch in loader] == ids[1][2:]


def test_processes_share_the_rows() -> None:
    parts = [
        DeviceLoader(samples(10), device="cpu", shuffle=True, num_replicas=2, rank=rank)
        for rank in range(2)
    ]

    ids = [name for part in parts for batch in part for name in batch["id"]]

    assert sorted(ids) == sorted(sample["id"] for sample in samples(10))


def test_a_store_feeds_a_trainer_from_the_device(challenge: Path, tmp_path: Path) -> None:
    store = prepare(
        challenge / "Train", tmp_path / "store", steps=[], image_size=32, progress=False
    )
    dataset = ISICDataset.from_challenge(challenge, image_dir=store.path)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    options: dict[str, Any] = {"device": "cpu", "batch_size": 4}
    train = DeviceLoader(dataset, shuffle=True, augment=BatchAugmentation("paper"), **options)
    validation = DeviceLoader(dataset, augment=BatchAugmentation("evaluation"), **options)
    trainer = Trainer(
        model, epochs=2, device="cpu", class_weights="balanced", precision="32-true", progress=False
    )

    with pytest.warns(UserWarning, match="has no image of"):
        history = trainer.fit(train, validation)

    assert len(history) == 2
    assert train.sampler.epoch == 2
    assert trainer.evaluate(validation)["n"] == 6
    assert trainer.predict(validation).shape == (6, 8)


def test_a_trainer_does_not_predict_in_another_order() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    trainer = Trainer(model, device="cpu", progress=False)
    with pytest.raises(ValueError, match="Expected `data` to be a loader in order, but got one"):
        trainer.predict(DeviceLoader(samples(4), device="cpu", shuffle=True))


_WHAT = "Expected `dataset` to be a dataset of dictionaries with `image`, uint8 RGB (H, W, 3), but "
_REMEDY = "Leave the transform out: `augment` makes the images into what a network takes."


@pytest.mark.parametrize(
    ("error", "sample", "sentence"),
    [
        (TypeError, 5, f"{_WHAT}got one of int. {_REMEDY}"),
        (TypeError, {"label": 5}, f"{_WHAT}got one of dict. {_REMEDY}"),
        (TypeError, {"image": torch.zeros(3, 8, 8)}, f"{_WHAT}got one of torch.float32. {_REMEDY}"),
        (TypeError, {"image": "a.jpg"}, f"{_WHAT}got one of str. {_REMEDY}"),
        (
            ValueError,
            {"image": np.zeros((3, 8, 8), np.uint8)},
            f"{_WHAT}got images (3, 8, 8). {_REMEDY}",
        ),
        (
            ValueError,
            {"image": np.zeros((8, 9, 3), np.uint8)},
            "Expected `dataset` to be a dataset of images of one size, 8 x 8 px, but got one of "
            "8 x 9 px too. Prepare the folder with `dermolib.preprocessing.prepare`.",
        ),
        (
            TypeError,
            {"image": np.zeros((8, 8, 3), np.uint8)},
            "Expected `dataset` to be a dataset whose samples all have the same keys, but got some "
            "without label.",
        ),
    ],
)
def test_other_samples_are_refused(error: type[Exception], sample: Any, sentence: str) -> None:
    given: list[Any] = [*samples(1), sample]
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        DeviceLoader(given, device="cpu")


def test_keys_that_come_and_go_are_refused_over_parts_too() -> None:
    given = [*({"image": noise_image(4, 4, 0)} for _ in range(256)), *samples(1, size=4)]
    sentence = (
        "Expected `dataset` to be a dataset whose samples all have the same keys, but got "
        "['image', 'label', 'mask', 'metadata', 'soft_label'] after ['image']."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        DeviceLoader(given, device="cpu")


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="a set with at least one sample, but got an empty one"):
        DeviceLoader([], device="cpu")


@pytest.mark.gpu
def test_batches_on_a_gpu_are_those_on_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    here, there = (
        DeviceLoader(samples(20, size=32), device=device, shuffle=True, batch_size=8)
        for device in ("cpu", "cuda")
    )

    for batch, other in zip(here, there, strict=True):
        assert other["image"].is_cuda
        assert torch.equal(batch["image"], other["image"].cpu())
        assert torch.equal(batch["draw_seed"], other["draw_seed"].cpu())


def test_rows_drawn_by_weight_are_those_of_a_loader() -> None:
    options: dict[str, Any] = {"batch_size": 4, "seed": 3, "shuffle": True}
    options["sample_weights"] = np.arange(12)
    loader = make_loader(samples(12), **options)

    resident = DeviceLoader(samples(12), device="cpu", **options)

    for _ in range(2):
        for batch, loaded in zip(resident, loader, strict=True):
            assert batch["id"] == loaded["id"]
            assert torch.equal(batch["image"], loaded["image"].permute(0, 3, 1, 2))


def test_weights_without_shuffling_are_refused() -> None:
    with pytest.raises(ValueError, match="`sample_weights` to be None where `shuffle` is False"):
        DeviceLoader(samples(3), device="cpu", sample_weights=[1, 1, 1])


def test_a_trainer_that_is_given_bytes_says_what_makes_numbers_of_them() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    with pytest.raises(TypeError, match="or a `DeviceLoader` an `augment` such as `BatchAugm"):
        Trainer(model, device="cpu", progress=False).predict(DeviceLoader(samples(4), device="cpu"))

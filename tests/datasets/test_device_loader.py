"""Images in the memory of the device: the rows and seeds of a loader, without loading."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dermolib import BatchAugmentation, ISICDataset, Trainer, make_loader, prepare
from dermolib.datasets import DeviceLoader
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


def on_cpu(count: int, *, size: int = 8, **options: Any) -> DeviceLoader:
    return DeviceLoader(samples(count, size=size), device="cpu", **options)


def new_trainer(**options: Any) -> Trainer:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    return Trainer(model, device="cpu", progress=False, **options)


@pytest.mark.parametrize("weights", [None, np.arange(N)])
def test_batches_are_those_of_a_loader(weights: Any) -> None:
    options: dict[str, Any] = {"batch_size": 64, "seed": 3, "shuffle": True}
    options["sample_weights"] = weights
    loader = make_loader(samples(), draw_seeds=True, **options)
    device_loader = on_cpu(N, **options)

    for _ in range(2):
        batches = list(device_loader)
        assert len(batches) == len(device_loader) == len(loader) == 5
        for batch, loaded in zip(batches, loader, strict=True):
            assert batch.keys() == loaded.keys()
            assert torch.equal(batch["image"], loaded["image"].permute(0, 3, 1, 2))
            assert batch["id"] == loaded["id"]
            for name in ("label", "soft_label", "mask", "metadata", "draw_seed"):
                assert torch.equal(batch[name], loaded[name])
                assert batch[name].dtype == loaded[name].dtype


def test_images_are_kept_once_and_batches_are_ready_for_a_network() -> None:
    loader = on_cpu(5, batch_size=4)

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
    whole = on_cpu(6, size=32, batch_size=6, augment=augment)
    parts = on_cpu(6, size=32, batch_size=2, shuffle=True, augment=augment)

    batch = next(iter(whole))
    pairs = [(part["id"], part["image"]) for part in parts]
    by_id = {name: image for ids, images in pairs for name, image in zip(ids, images, strict=True)}

    assert batch["image"].dtype == torch.float32
    for name, image in zip(batch["id"], batch["image"], strict=True):
        assert (by_id[name] - image).abs().max() < 1e-3


def test_an_epoch_is_resumed() -> None:
    loader = on_cpu(10, batch_size=2, shuffle=True)
    ids = [[batch["id"] for batch in loader] for _ in range(2)]

    loader.sampler.set_epoch(1, skip=4)

    assert len(loader) == 3
    assert [batch["id"] for batch in loader] == ids[1][2:]


def test_processes_share_the_rows() -> None:
    parts = [on_cpu(10, shuffle=True, num_replicas=2, rank=rank) for rank in range(2)]

    ids = [name for part in parts for batch in part for name in batch["id"]]

    assert sorted(ids) == sorted(sample["id"] for sample in samples(10))


def test_a_store_feeds_a_trainer_from_the_device(challenge: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": [], "image_size": 32, "progress": False}
    store = prepare(challenge / "Train", tmp_path / "store", **options)
    dataset = ISICDataset.from_challenge(challenge, image_dir=store.path)
    options = {"device": "cpu", "batch_size": 4}
    train = DeviceLoader(dataset, shuffle=True, augment=BatchAugmentation("paper"), **options)
    validation = DeviceLoader(dataset, augment=BatchAugmentation("evaluation"), **options)
    trainer = new_trainer(epochs=2, class_weights="balanced", precision="32-true")

    with pytest.warns(UserWarning, match="has no image of"):
        history = trainer.fit(train, validation)

    assert len(history) == 2
    assert train.sampler.epoch == 2
    assert trainer.evaluate(validation)["n"] == 6
    assert trainer.predict(validation).shape == (6, 8)


def test_a_trainer_refuses_shuffled_rows_and_raw_bytes() -> None:
    with pytest.raises(ValueError, match="Expected `data` to be a loader in order, but got one"):
        new_trainer().predict(on_cpu(4, shuffle=True))
    with pytest.raises(TypeError, match="or a `DeviceLoader` an `augment` such as `BatchAugm"):
        new_trainer().predict(on_cpu(4))


WHAT = "dictionaries with `image`, uint8 RGB (H, W, 3), but got"


@pytest.mark.parametrize(
    ("error", "sample", "fragment"),
    [
        (TypeError, 5, f"{WHAT} one of int. Leave the transform out:"),
        (TypeError, {"label": 5}, f"{WHAT} one of dict."),
        (TypeError, {"image": torch.zeros(3, 8, 8)}, f"{WHAT} one of torch.float32."),
        (TypeError, {"image": "a.jpg"}, f"{WHAT} one of str."),
        (ValueError, {"image": np.zeros((3, 8, 8), np.uint8)}, f"{WHAT} images (3, 8, 8)."),
        (
            ValueError,
            {"image": np.zeros((8, 9, 3), np.uint8)},
            "of one size, 8 x 8 px, but got one of 8 x 9 px too. Prepare the folder with",
        ),
        (
            TypeError,
            {"image": np.zeros((8, 8, 3), np.uint8)},
            "samples all have the same keys, but got ['image'] after ['image', 'label', 'soft",
        ),
    ],
)
@pytest.mark.parametrize("before", [1, 256])  # in the same part, and in the next one
def test_other_samples_are_refused(
    error: type[Exception], sample: Any, fragment: str, before: int
) -> None:
    given: list[Any] = [*samples(before), sample]
    with pytest.raises(error, match=re.escape(fragment)):
        DeviceLoader(given, device="cpu")


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a set with at least one sample, but got an empty one"):
        on_cpu(0)
    with pytest.raises(ValueError, match="`sample_weights` to be None where `shuffle` is False"):
        on_cpu(3, sample_weights=[1, 1, 1])


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

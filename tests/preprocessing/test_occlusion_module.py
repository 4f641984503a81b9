import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors  # type: ignore[import-untyped] # no annotations published
from torchvision.transforms import v2

from collating import CleanBatch
from dermolib import OcclusionRemoval, occlusion_mask, occlusion_removal
from dermolib._validation import Image
from dermolib.datasets.synthetic.hair import draw_hair
from drawing import noise_image

METHODS = ["luv", "unet"]


def hairy_image(height: int, width: int, seed: int) -> Image:
    """Draw hair over plain skin with a little noise."""
    noise = noise_image(height, width, seed).astype(np.float32)
    skin = np.clip(np.array([205, 165, 145]) + noise / 32, 0, 255).astype(np.uint8)
    return draw_hair(skin, density=0.06, generator=np.random.default_rng(seed))[0]


def batch_of(images: list[Image]) -> torch.Tensor:
    """Stack images (H, W, 3) to a batch (N, 3, H, W)."""
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(512, 512), (520, 600)])
def test_masks_are_those_of_the_function(method: str, shape: tuple[int, int]) -> None:
    images = [hairy_image(*shape, seed) for seed in range(2)]

    masks = OcclusionRemoval(method).masks(batch_of(images))

    for mask, image in zip(masks.numpy(), images, strict=True):
        expected = occlusion_removal(image, method=method, return_mask=True)[1]
        assert expected.any()
        if method == "luv":
            np.testing.assert_array_equal(mask, expected)
        # The last digit of a sum depends on its order, and with it a pixel in ten thousand
        assert (mask != expected).mean() < 1e-4


@pytest.mark.parametrize("shape", [(150, 200), (700, 900)])
def test_where_the_network_looks_at_another_size_masks_are_nearly_those_of_the_function(
    shape: tuple[int, int],
) -> None:
    image = hairy_image(*shape, 3)

    mask = OcclusionRemoval("unet").masks(batch_of([image]))[0].numpy()

    expected = occlusion_removal(image, method="unet", return_mask=True)[1]
    assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.97


@pytest.mark.parametrize("method", METHODS)
def test_the_clean_images_are_those_of_the_function(method: str) -> None:
    images = [hairy_image(512, 512, seed) for seed in range(2)]

    cleaned = OcclusionRemoval(method)(batch_of(images))

    for clean, image in zip(cleaned, images, strict=True):
        expected = occlusion_removal(image, method=method)
        difference = np.abs(clean.permute(1, 2, 0).numpy().astype(int) - expected)
        assert (difference > 2).mean() < 2e-4


@pytest.mark.parametrize("size", [512, 1024])
def test_a_margin_widens_masks_as_in_the_function(size: int) -> None:
    image = hairy_image(size, size, 1)

    mask = OcclusionRemoval("luv", margin=1).masks(batch_of([image]))[0].numpy()

    expected = occlusion_removal(image, method="luv", margin=1, return_mask=True)[1]
    np.testing.assert_array_equal(mask, expected)
    assert mask.sum() > occlusion_mask(image, method="luv").sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_pixels_outside_the_mask_stay_bit_identical(method: str, dtype: torch.dtype) -> None:
    images = batch_of([hairy_image(256, 300, seed) for seed in range(2)])
    if dtype != torch.uint8:
        images = (images.float() / 255).to(dtype)
    before = images.clone()
    remove = OcclusionRemoval(method)

    cleaned, masks = remove(images), remove.masks(images)

    assert cleaned.dtype == dtype
    assert cleaned.shape == images.shape
    assert torch.equal(images, before)
    outside = ~masks[:, None].expand_as(images)
    assert torch.equal(cleaned[outside], images[outside])
    assert not torch.equal(cleaned, images)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_images_one_by_one(method: str) -> None:
    images = batch_of([hairy_image(128, 160, seed) for seed in range(3)])
    remove = OcclusionRemoval(method)

    whole = remove(images)

    for image, clean in zip(images, whole, strict=True):
        difference = (remove(image).int() - clean.int()).abs()
        assert (difference > 1).float().mean() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_autocast_memory_format_and_gradients_change_nothing(method: str) -> None:
    images = batch_of([hairy_image(128, 160, seed) for seed in range(2)])
    remove = OcclusionRemoval(method)
    expected = remove(images)

    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = remove(images)
    channels_last = remove(images.contiguous(memory_format=torch.channels_last))
    mirrored = remove(images.flip(3).flip(3))
    needing_gradients = remove((images.float() / 255).requires_grad_())

    assert torch.equal(under_autocast, expected)
    assert torch.equal(channels_last, expected)
    assert torch.equal(mirrored, expected)
    assert not needing_gradients.requires_grad


def test_it_takes_its_place_in_compose_and_keeps_what_follows_and_its_kind() -> None:
    image = tv_tensors.Image(batch_of([hairy_image(64, 80, 0)])[0])
    pipeline = v2.Compose([OcclusionRemoval("luv"), v2.ToDtype(torch.float32, scale=True)])

    clean, label = pipeline(image, 3)

    assert isinstance(clean, tv_tensors.Image)
    assert clean.dtype == torch.float32
    assert label == 3


def test_of_a_sample_the_image_is_cleaned() -> None:
    images = batch_of([hairy_image(64, 80, seed) for seed in range(2)])
    remove = OcclusionRemoval("luv")

    sample = remove({"image": images, "label": torch.tensor([1, 2])})

    assert torch.equal(sample["image"], remove(images))
    assert sample["label"].tolist() == [1, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_it_works_in_the_collate_function_of_a_loader(workers: int) -> None:
    images = list(batch_of([hairy_image(64, 80, seed) for seed in range(4)]))
    loader: DataLoader[torch.Tensor] = DataLoader(
        images,  # type: ignore[arg-type]  # a list is a data set for all that a loader does
        batch_size=2,
        num_workers=workers,
        collate_fn=CleanBatch(),
        multiprocessing_context="spawn" if workers else None,
    )

    batches = list(loader)

    assert torch.equal(torch.cat(batches), OcclusionRemoval("unet")(torch.stack(images)))


def test_it_pickles_and_says_what_it_does() -> None:
    images = batch_of([hairy_image(96, 96, 0)])
    remove = OcclusionRemoval("unet", threshold=0.4)

    again = pickle.loads(pickle.dumps(remove))  # noqa: S301 - made on the line itself

    assert torch.equal(again(images), remove(images))
    assert "method='unet', threshold=0.4" in repr(remove)


def test_it_stays_in_evaluation_mode_and_trains_nothing() -> None:
    images = batch_of([hairy_image(96, 96, 0)])
    remove = OcclusionRemoval("unet")
    expected = remove(images)

    model = torch.nn.Sequential(remove).train()

    assert torch.equal(model(images), expected)
    assert not any(parameter.requires_grad for parameter in remove.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_batch_stays_empty(method: str) -> None:
    images = torch.zeros(0, 3, 64, 64, dtype=torch.uint8)

    assert OcclusionRemoval(method)(images).shape == images.shape


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_cuda_means_the_cpu() -> None:
    images = batch_of([hairy_image(64, 80, 0)])

    cleaned = OcclusionRemoval("luv", device="cuda")(images)

    assert torch.equal(cleaned, OcclusionRemoval("luv")(images))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_what_the_cpu_gives(method: str) -> None:
    images = batch_of([hairy_image(512, 512, seed) for seed in range(4)])
    remove = OcclusionRemoval(method)
    masks, cleaned = remove.masks(images), remove(images)

    gpu_masks = remove.masks(images.cuda()).cpu()
    gpu_cleaned = remove(images.cuda()).cpu()

    if method == "luv":
        assert torch.equal(gpu_masks, masks)
    assert (gpu_masks != masks).float().mean() < 1e-3
    assert ((gpu_cleaned.int() - cleaned.int()).abs() > 2).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("images", "kind", "sentence"),
    [
        (np.zeros((8, 8, 3), np.uint8), TypeError, "`occlusion_removal` takes NumPy arrays."),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), TypeError, "but got dtype torch.int64."),
        (torch.zeros(1, 1, 8, 8), ValueError, "but got shape (1, 1, 8, 8)."),
        (torch.zeros(8, 8, 3), ValueError, "Move the channels first with `images.movedim(-1, -3)`"),
        (torch.zeros(1, 3, 0, 8), ValueError, "but got shape (1, 3, 0, 8)."),
        (torch.full((1, 3, 8, 8), 255.0), ValueError, "Divide values in [0, 255] by 255."),
        (torch.full((1, 3, 8, 8), torch.nan), ValueError, "but got values outside [0, 1] or NaN."),
    ],
)
def test_what_is_no_batch_of_images_is_refused(
    images: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        OcclusionRemoval("luv")(images)


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"method": "line"}, ValueError, "Expected `method` to be one of 'luv', 'unet', but got"),
        ({"method": "luv", "size": 3}, TypeError, "Expected `size` to be one of the options of"),
    ],
)
def test_an_unfit_option_is_refused(
    arguments: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        OcclusionRemoval(**arguments)

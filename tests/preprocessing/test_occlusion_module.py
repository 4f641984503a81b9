"""Hair removal from batches: against that of single images."""

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_luv import textbook_components
from torch.utils.data import DataLoader
from torchvision import tv_tensors  # type: ignore[import-untyped] # no annotations published
from torchvision.transforms import v2

from collating import CleanBatch
from dermolib import OcclusionRemoval, fill_mask, occlusion_mask, occlusion_removal
from dermolib._validation import Image

# Private: a mask of your own reaches fills of batches through no public name, nor one component
# the numbering of graphs
from dermolib.preprocessing.hair.inpainting_torch import fill_batch
from dermolib.preprocessing.hair.luv_torch import closing_fill_batch, keep_components
from drawing import hairy_image, noise_image, skin_image

METHODS = ["luv", "unet"]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def batch_of(images: list[Image]) -> torch.Tensor:
    """Stack images (H, W, 3) to a batch (N, 3, H, W)."""
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])


def hairy_batch(count: int, height: int, width: int) -> torch.Tensor:
    return batch_of([hairy_image(height, width, seed)[0] for seed in range(count)])


def images_of(batch: torch.Tensor) -> list[Image]:
    return list(batch.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("method", [*METHODS, "line"])
@pytest.mark.parametrize("shape", [(512, 512), (520, 600)])
def test_masks_and_clean_images_are_those_of_the_function(
    method: str, shape: tuple[int, int]
) -> None:
    images = hairy_batch(2, *shape)
    remove = OcclusionRemoval(method)

    masks, cleaned = remove.masks(images).numpy(), images_of(remove(images))

    for mask, clean, image in zip(masks, cleaned, images_of(images), strict=True):
        expected, true = occlusion_removal(image, method=method, return_mask=True)
        assert true.any()
        if method != "unet":
            np.testing.assert_array_equal(mask, true)
        # The last digit of a sum depends on its order, and with it a pixel in ten thousand
        assert (mask != true).mean() < 1e-4
        assert (np.abs(clean.astype(int) - expected) > 2).mean() < 2e-4


@pytest.mark.parametrize("fill", ["closing", "navier_stokes", "pyramid", "telea"])
def test_every_fill_is_that_of_the_function(fill: str) -> None:
    images = hairy_batch(2, 120, 160)

    cleaned = images_of(OcclusionRemoval("luv", fill=fill, radius=8)(images))

    for clean, image in zip(cleaned, images_of(images), strict=True):
        expected = occlusion_removal(image, method="luv", fill=fill, radius=8)
        assert np.abs(clean.astype(int) - expected).max() <= (2 if fill == "pyramid" else 0)


@settings(max_examples=15)
@given(
    height=st.integers(40, 100),
    width=st.integers(40, 100),
    seed=st.integers(0, 999),
    radius=st.integers(1, 60),
    low=st.floats(0, 14),
    min_area=st.sampled_from([0.0, 120.0, 2000.0]),
)
def test_luv_is_that_of_the_function_bit_for_bit(
    height: int, width: int, seed: int, radius: int, low: float, min_area: float
) -> None:
    shape = (height, width, seed)
    images = [noise_image(*shape), skin_image(*shape), hairy_image(*shape)[0]]
    options: Any = {"radius": radius, "low": low, "high": 14, "min_area": min_area}
    remove = OcclusionRemoval("luv", **options)

    masks, cleaned = remove.masks(batch_of(images)), remove(batch_of(images))

    for mask, clean, image in zip(masks.numpy(), images_of(cleaned), images, strict=True):
        expected = occlusion_removal(image, method="luv", return_mask=True, **options)
        np.testing.assert_array_equal(clean, expected[0])
        np.testing.assert_array_equal(mask, expected[1])


@pytest.mark.parametrize("shape", [(150, 200), (700, 900)])
def test_where_the_network_sees_another_size_masks_are_nearly_those_of_the_function(
    shape: tuple[int, int],
) -> None:
    images = hairy_batch(1, *shape)

    mask = OcclusionRemoval("unet").masks(images)[0].numpy()

    expected = occlusion_removal(images_of(images)[0], method="unet", return_mask=True)[1]
    assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.9


@pytest.mark.parametrize("size", [512, 1024])
def test_a_margin_dilates_masks_as_in_the_function(size: int) -> None:
    images = hairy_batch(1, size, size)
    image = images_of(images)[0]

    mask = OcclusionRemoval("luv", margin=1).masks(images)[0].numpy()

    expected = occlusion_removal(image, method="luv", margin=1, return_mask=True)[1]
    np.testing.assert_array_equal(mask, expected)
    assert mask.sum() > occlusion_mask(image, method="luv").sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_pixels_outside_the_mask_stay_bit_identical(method: str, dtype: torch.dtype) -> None:
    images = hairy_batch(2, 256, 300)
    if dtype != torch.uint8:
        images = (images.float() / 255).to(dtype)
    before = images.clone()
    remove = OcclusionRemoval(method)

    cleaned, masks = remove(images), remove.masks(images)

    assert cleaned.dtype == dtype
    assert torch.equal(images, before)
    assert torch.equal(cleaned.where(~masks[:, None], images), images)
    assert not torch.equal(cleaned, images)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_images_one_by_one(method: str) -> None:
    images = hairy_batch(3, 128, 160)
    remove = OcclusionRemoval(method)

    whole = remove(images)

    for image, clean in zip(images, whole, strict=True):
        difference = (remove(image).int() - clean.int()).abs()
        assert (difference > 1).float().mean() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_modes_memory_formats_and_gradients_change_nothing(method: str) -> None:
    images = hairy_batch(3, 120, 160)
    remove = OcclusionRemoval(method)
    with torch.inference_mode():
        first = remove(images)
    expected = remove(images)

    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        under_autocast = remove(images)
    layouts = [
        images.contiguous(memory_format=torch.channels_last),
        images.flip(0).flip(0),
        torch.nn.functional.pad(images, (3, 4, 5, 6))[..., 5:-6, 3:-4],
        images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    ]
    needing_gradients = remove((images.float() / 255).requires_grad_())

    for cleaned in (first, under_autocast, *map(remove, layouts)):
        assert torch.equal(cleaned, expected)
    assert not needing_gradients.requires_grad


@pytest.mark.parametrize("method", [*METHODS, "line"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_network_of_another_precision_takes_it_along_without_another_result(
    method: str, dtype: torch.dtype
) -> None:
    images = (hairy_batch(2, 120, 160).double() / 255).to(dtype)
    remove = OcclusionRemoval(method)
    network = torch.nn.Sequential(OcclusionRemoval(method), torch.nn.Identity()).to(dtype)

    cleaned, masks = network(images), remove.masks(images)

    expected = remove(images.float())
    assert cleaned.dtype == dtype
    assert masks.any()
    assert torch.equal(masks, remove.masks(images.float()))
    assert torch.equal(cleaned.movedim(1, 3)[~masks], images.movedim(1, 3)[~masks])
    assert torch.equal(cleaned, torch.where(masks[:, None], expected.to(dtype), images))


def test_it_takes_its_place_in_compose_and_keeps_what_follows_and_its_kind() -> None:
    image = tv_tensors.Image(hairy_batch(1, 64, 80)[0])
    pipeline = v2.Compose([OcclusionRemoval("luv"), v2.ToDtype(torch.float32, scale=True)])

    clean, target = pipeline(image, 3)

    assert isinstance(clean, tv_tensors.Image)
    assert clean.dtype == torch.float32
    assert target == 3


def test_of_a_sample_the_image_is_cleaned() -> None:
    images = hairy_batch(2, 64, 80)
    remove = OcclusionRemoval("luv")

    sample = remove({"image": images, "label": torch.tensor([1, 2])})

    assert torch.equal(sample["image"], remove(images))
    assert sample["label"].tolist() == [1, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_it_works_in_the_collate_function_of_a_loader(workers: int) -> None:
    images = hairy_batch(4, 64, 80)
    loader: DataLoader[torch.Tensor] = DataLoader(
        list(images),  # type: ignore[arg-type]  # a list is a data set for all that a loader does
        batch_size=2,
        num_workers=workers,
        collate_fn=CleanBatch(),
        multiprocessing_context="spawn" if workers else None,
    )

    batches = list(loader)

    assert torch.equal(torch.cat(batches), OcclusionRemoval("unet")(images))


def test_it_pickles_says_what_it_does_and_trains_nothing() -> None:
    images = hairy_batch(1, 96, 96)
    remove = OcclusionRemoval("unet", threshold=0.4)

    again = pickle.loads(pickle.dumps(remove))  # noqa: S301 - made on the line itself

    assert torch.equal(torch.nn.Sequential(again).train()(images), remove(images))
    assert not list(remove.parameters())
    assert "method='unet', threshold=0.4" in repr(remove)


@pytest.mark.parametrize("method", ["line", *METHODS])
def test_an_empty_batch_stays_empty(method: str) -> None:
    images = torch.zeros(0, 3, 64, 64, dtype=torch.uint8)

    assert OcclusionRemoval(method, margin=4)(images).shape == images.shape


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_cuda_means_the_cpu() -> None:
    images = hairy_batch(1, 64, 80)

    cleaned = OcclusionRemoval("luv", device="cuda")(images)

    assert torch.equal(cleaned, OcclusionRemoval("luv")(images))


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_what_the_cpu_gives(method: str) -> None:
    images = hairy_batch(4, 512, 512)
    remove = OcclusionRemoval(method)
    masks, cleaned = remove.masks(images), remove(images)

    with torch.autocast("cuda"):
        gpu_masks, gpu_cleaned = remove.masks(images.cuda()).cpu(), remove(images.cuda()).cpu()

    assert (gpu_masks != masks).float().mean() <= (0 if method == "luv" else 1e-3)
    assert ((gpu_cleaned.int() - cleaned.int()).abs() > 2).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("images", "kind", "fragment"),
    [
        (np.zeros((8, 8, 3), np.uint8), TypeError, "`occlusion_removal` takes NumPy arrays."),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), TypeError, "but got dtype torch.int64."),
        (torch.zeros(1, 1, 8, 8), ValueError, "but got shape (1, 1, 8, 8)."),
        (torch.zeros(8, 8, 3), ValueError, "Move the channels first with `images.movedim(-1, -3)`"),
        (torch.zeros(1, 3, 0, 8), ValueError, "but got shape (1, 3, 0, 8)."),
        (torch.full((1, 3, 8, 8), 255.0), ValueError, "Divide values in [0, 255] by 255."),
        (torch.full((1, 3, 8, 8), torch.nan), ValueError, "but got values outside [0, 1] or NaN."),
        (torch.zeros(3, 2, 9), ValueError, "for a disk of radius 1 px, but got 2 x 9 px."),
    ],
)
def test_what_is_not_a_batch_of_images_is_refused(
    images: Any, kind: type[Exception], fragment: str
) -> None:
    with pytest.raises(kind, match=re.escape(fragment)):
        OcclusionRemoval("luv")(images)


@pytest.mark.parametrize(
    ("arguments", "kind", "fragment"),
    [
        ({"method": "lub"}, ValueError, "'line', 'luv', 'unet', but got 'lub'. Did you mean 'luv'"),
        ({"method": "luv", "size": 3}, TypeError, "`size` to be one of the options of 'luv'"),
        ({"fill": "tela"}, ValueError, "but got 'tela'. Did you mean 'telea'?"),
        ({"margin": -1}, ValueError, "`margin` to be a number in 0..512"),
    ],
)
def test_an_unfit_argument_is_refused(
    arguments: dict[str, Any], kind: type[Exception], fragment: str
) -> None:
    with pytest.raises(kind, match=re.escape(fragment)):
        OcclusionRemoval(**arguments)


@settings(max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_fills_of_batches_change_nothing_outside_the_masks_and_keep_the_input(
    height: int, width: int, fraction: float, seed: int
) -> None:
    images = batch_of([noise_image(height, width, seed), noise_image(height, width, seed + 1)])
    masks = torch.from_numpy(np.random.default_rng(seed).random((2, height, width)) < fraction)
    images_before, masks_before = images.clone(), masks.clone()

    for fill in (fill_batch, closing_fill_batch):
        filled = fill(images, masks)

        assert torch.equal(filled.where(~masks[:, None], images), images)
        assert torch.equal(images, images_before)
        assert torch.equal(masks, masks_before)


@pytest.mark.parametrize("shape", [(64, 64), (150, 200), (61, 83), (5, 7), (900, 897), (1023, 901)])
def test_the_pyramid_of_a_batch_equals_that_of_images_within_two_levels(
    shape: tuple[int, int],
) -> None:
    drawn = [hairy_image(*shape, seed, density=0.08) for seed in range(3)]
    images = batch_of([image for image, _ in drawn])
    masks = torch.from_numpy(np.stack([mask for _, mask in drawn]))
    masks[2] = True

    filled = images_of(fill_batch(images, masks))

    pairs = zip(images_of(images), masks.numpy(), strict=True)
    expected = [fill_mask(image, mask) for image, mask in pairs]
    apart = np.abs(np.stack(filled).astype(int) - expected)[masks.numpy()]
    assert apart.max() <= 2
    assert (apart > 0).mean() < 0.25
    np.testing.assert_array_equal(filled[2], expected[2])


@settings(max_examples=60)
@given(
    count=st.integers(0, 3),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    fraction=st.sampled_from([0.1, 0.4, 0.6, 1.0]),
    min_area=st.floats(0, 30),
    seed=st.integers(0, 999),
)
def test_components_are_those_of_scikit_image(
    count: int, height: int, width: int, fraction: float, min_area: float, seed: int
) -> None:
    values = np.random.default_rng(seed).random((count, height, width))
    weak, strong = values < fraction, values < fraction / 20

    kept = keep_components(torch.from_numpy(weak), torch.from_numpy(strong), min_area)

    for index in range(count):
        expected = textbook_components(weak[index], strong[index], min_area)
        np.testing.assert_array_equal(kept[index].numpy(), expected)


def test_a_component_that_winds_through_the_whole_image_is_one() -> None:
    weak = torch.zeros(2, 101, 101, dtype=torch.bool)
    weak[:, ::2] = weak[:, 1::4, -1] = weak[:, 3::4, 0] = True
    strong = torch.zeros_like(weak)
    strong[0, 0, 0] = True
    area = int(weak[0].sum())
    assert area > 4000

    assert torch.equal(keep_components(weak, strong, area)[0], weak[0])
    assert not keep_components(weak, strong, area)[1].any()
    assert not keep_components(weak, strong, area + 1).any()

import re
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic import draw_hair
from dermolib.preprocessing.hair.inpainting import fill_mask
from dermolib.preprocessing.hair.inpainting_torch import fill_batch

gpu = pytest.mark.gpu


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def hairy_batch(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw soft hair over blotchy skin, and masks that miss its edges."""
    images, masks = zip(*(hairy_image(height, width, seed) for seed in range(count)), strict=True)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return batch, torch.from_numpy(np.stack(masks))


def hairy_image(height: int, width: int, seed: int) -> tuple[Image, Mask]:
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 12, (height // 16 + 2, width // 16 + 2, 3))
    blotches = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = generator.normal(0, 2, (height, width, 3))
    skin = np.clip(blotches + np.array([205, 165, 150]) + noise, 0, 255).astype(np.uint8)
    changed, mask = draw_hair(skin, density=0.08, generator=generator)
    blurred: Any = cv2.GaussianBlur(changed, (0, 0), 0.7)
    return blurred, mask


def one_by_one(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    pairs = zip(images.permute(0, 2, 3, 1).numpy(), masks.numpy(), strict=True)
    filled = np.stack([fill_mask(image, mask) for image, mask in pairs])
    return torch.from_numpy(filled).permute(0, 3, 1, 2)


def difference(filled: torch.Tensor, expected: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    both = (filled.int() - expected.int()).abs().permute(0, 2, 3, 1)
    return both[masks]


def test_a_constant_colour_under_hair_is_restored_exactly() -> None:
    images = torch.tensor([205, 165, 150], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 70, 90)
    masks = torch.zeros(2, 70, 90, dtype=torch.bool)
    masks[0, 20:24] = True
    masks[1, :, 50:55] = True
    hairy = torch.where(masks[:, None], torch.tensor(40, dtype=torch.uint8), images)

    filled = fill_batch(hairy, masks)

    assert torch.equal(filled, images)


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (150, 200), (61, 83), (5, 7), (900, 897), (1023, 901)]
)
def test_it_equals_fill_mask_within_two_levels(height: int, width: int) -> None:
    images, masks = hairy_batch(2, height, width)

    filled = fill_batch(images, masks)

    apart = difference(filled, one_by_one(images, masks), masks)
    assert int(apart.max()) <= 2
    assert float((apart > 0).float().mean()) < 0.25


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_outside_the_masks_nothing_changes_and_the_input_stays(
    height: int, width: int, share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)
    masks = torch.rand(2, height, width, generator=generator) < share
    images_before, masks_before = images.clone(), masks.clone()

    filled = fill_batch(images, masks)

    outside = ~masks[:, None].expand_as(images)
    assert filled.dtype == torch.uint8
    assert filled.shape == images.shape
    assert torch.equal(filled[outside], images[outside])
    assert torch.equal(images, images_before)
    assert torch.equal(masks, masks_before)


def test_a_batch_equals_its_images_one_by_one() -> None:
    images, masks = hairy_batch(3, 96, 80)

    filled = fill_batch(images, masks)

    alone = torch.cat([fill_batch(images[k : k + 1], masks[k : k + 1]) for k in range(3)])
    assert int((filled.int() - alone.int()).abs().max()) <= 1


def test_images_without_a_mask_and_with_a_full_one_stay_as_they_are() -> None:
    images, masks = hairy_batch(3, 48, 48)
    masks[0] = False
    masks[1] = True

    filled = fill_batch(images, masks)

    assert torch.equal(filled[:2], images[:2])
    assert not torch.equal(filled[2], images[2])


def test_a_batch_of_none_gives_a_batch_of_none() -> None:
    filled = fill_batch(
        torch.zeros(0, 3, 20, 30, dtype=torch.uint8), torch.zeros(0, 20, 30, dtype=torch.bool)
    )

    assert filled.shape == (0, 3, 20, 30)
    assert filled.dtype == torch.uint8


@pytest.mark.parametrize(
    ("dtype", "most"),
    [
        (torch.float32, 1.0),
        (torch.float64, 1.0),
        (torch.float16, 1.1),
        (torch.bfloat16, 2.0),
    ],
)
def test_floats_give_the_same_colours_and_stay_bit_identical_outside(
    dtype: torch.dtype, most: float
) -> None:
    images, masks = hairy_batch(2, 64, 80)
    floats = (images / 255).to(dtype)

    filled = fill_batch(floats, masks)

    outside = ~masks[:, None].expand_as(images)
    assert filled.dtype == dtype
    assert torch.equal(filled[outside], floats[outside])
    apart = (filled.double() * 255 - fill_batch(images, masks)).abs()
    assert float(apart.max()) <= most


def test_channels_last_gives_the_same() -> None:
    images, masks = hairy_batch(2, 64, 80)

    filled = fill_batch(images.contiguous(memory_format=torch.channels_last), masks)

    assert torch.equal(filled, fill_batch(images, masks))


def test_autocast_and_no_grad_change_nothing() -> None:
    images, masks = hairy_batch(2, 64, 80)
    floats = (images / 255).requires_grad_()
    expected = fill_batch(floats.detach(), masks)

    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        filled = fill_batch(floats, masks)

    assert torch.equal(filled, expected)
    assert not fill_batch(floats, masks).requires_grad


@gpu
def test_a_gpu_gives_the_same_within_a_level() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    images, masks = hairy_batch(4, 512, 512)

    filled = fill_batch(images.cuda(), masks.cuda()).cpu()

    assert int(difference(filled, fill_batch(images, masks), masks).max()) <= 1


def test_an_unknown_fill_is_refused() -> None:
    sentence = "Expected `fill` to be one of 'pyramid', but got 'telea'."

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_batch(*hairy_batch(1, 8, 8), fill="telea")


def test_an_array_is_refused() -> None:
    sentence = (
        "Expected `images` to be a tensor of images (N, 3, H, W), uint8 or floating point in "
        "[0, 1], but got an object of type ndarray."
    )
    wrong: Any = np.zeros((1, 3, 8, 8), np.uint8)

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_batch(wrong, torch.zeros(1, 8, 8, dtype=torch.bool))


def test_images_of_integers_are_refused() -> None:
    sentence = (
        "Expected `images` to be a tensor of images (N, 3, H, W), uint8 or floating point in "
        "[0, 1], but got dtype torch.int64."
    )

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_batch(
            torch.zeros(1, 3, 8, 8, dtype=torch.int64), torch.zeros(1, 8, 8, dtype=torch.bool)
        )


def test_channels_that_are_not_first_are_refused() -> None:
    sentence = (
        "Expected `images` to be a tensor of images (N, 3, H, W), uint8 or floating point in "
        "[0, 1], but got shape (1, 8, 8, 3)."
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_batch(torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, dtype=torch.bool))


def test_a_mask_that_is_no_tensor_is_refused() -> None:
    sentence = (
        "Expected `masks` to be a tensor of masks (1, 8, 8) of dtype bool, but got an object of "
        "type list."
    )
    wrong: Any = []

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_batch(torch.zeros(1, 3, 8, 8), wrong)


def test_a_mask_of_numbers_is_refused_with_a_remedy() -> None:
    sentence = (
        "Expected `masks` to be a tensor of masks (1, 8, 8) of dtype bool, but got dtype "
        "torch.uint8. Use `masks > 0`."
    )

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_batch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8))


def test_masks_of_another_shape_are_refused() -> None:
    sentence = (
        "Expected `masks` to be a tensor of masks (1, 8, 8) of dtype bool, but got shape "
        "(1, 1, 8, 8)."
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_batch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool))

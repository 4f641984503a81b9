import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label
from test_luv import hairy_image, skin_image

from dermolib._validation import Image
from dermolib.preprocessing.hair.luv import closing_fill, find_luv, scaled_radius
from dermolib.preprocessing.hair.luv_torch import closing_fill_batch, keep_components, luv_masks
from drawing import noise_image

DEFAULTS = {"radius": 5.0, "low": 8.0, "high": 14.0, "min_area": 120.0}


def batch_of(images: list[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).contiguous()


@settings(deadline=None, max_examples=15)
@given(
    height=st.integers(40, 100),
    width=st.integers(40, 100),
    seed=st.integers(0, 999),
    radius=st.integers(1, 60),
    low=st.floats(0, 14),
    min_area=st.sampled_from([0.0, 120.0, 2000.0]),
)
def test_masks_and_fills_are_those_of_single_images_bit_for_bit(
    height: int, width: int, seed: int, radius: int, low: float, min_area: float
) -> None:
    draws = (noise_image, skin_image, hairy_image)
    images = [draw(height, width, seed) for draw in draws]
    options = {"radius": radius, "low": low, "high": 14, "min_area": min_area}
    pixels = scaled_radius(radius, (height, width))

    masks = luv_masks(batch_of(images), **options)
    filled = closing_fill_batch(batch_of(images), masks, pixels)

    expected = [find_luv(image, **options) for image in images]
    np.testing.assert_array_equal(masks.numpy(), np.stack(expected))
    for image, mask, fill in zip(images, expected, filled.movedim(1, -1).numpy(), strict=True):
        np.testing.assert_array_equal(fill, closing_fill(image, mask, pixels))


@pytest.mark.parametrize("layout", ["channels_last", "flipped", "sliced", "permuted"])
def test_the_memory_format_plays_no_part(layout: str) -> None:
    images = batch_of([hairy_image(60, 80, seed) for seed in range(3)])
    changed = {
        "channels_last": lambda: images.to(memory_format=torch.channels_last),
        "flipped": lambda: images.flip(0).flip(0),
        "sliced": lambda: torch.nn.functional.pad(images, (3, 4, 5, 6))[..., 5:-6, 3:-4],
        "permuted": lambda: images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    }[layout]()
    masks = luv_masks(images, **DEFAULTS)

    assert masks.any()
    assert torch.equal(luv_masks(changed, **DEFAULTS), masks)
    filled = closing_fill_batch(changed, masks, 2)
    assert torch.equal(filled, closing_fill_batch(images, masks, 2))


def test_autocast_no_grad_and_inference_mode_change_nothing() -> None:
    images = batch_of([hairy_image(64, 64, seed) for seed in range(2)])
    masks = luv_masks(images, **DEFAULTS)
    filled = closing_fill_batch(images, masks, 1)

    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert torch.equal(luv_masks(images, **DEFAULTS), masks)
        assert torch.equal(closing_fill_batch(images, masks, 1), filled)
    with torch.inference_mode():
        assert torch.equal(luv_masks(images, **DEFAULTS), masks)
        assert torch.equal(closing_fill_batch(images, masks, 1), filled)


def test_the_images_are_not_modified_and_pixels_outside_the_mask_are_bit_identical() -> None:
    images = batch_of([hairy_image(64, 64, seed) for seed in range(2)])
    before = images.clone()
    masks = luv_masks(images, **DEFAULTS)

    filled = closing_fill_batch(images, masks, 1)

    assert torch.equal(images, before)
    outside = ~masks[:, None].expand_as(images)
    assert torch.equal(filled[outside], images[outside])


@pytest.mark.parametrize("high", [19.9, 20.0, 20.1])
def test_only_a_step_above_the_threshold_counts(high: float) -> None:
    images = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    images[..., 30] = 147  # darker by 51 steps, of which 2.55 are one unit of L*, which is 20 units
    images[..., 50] = 40

    for low in (0, high):
        mask = luv_masks(images, radius=5, low=low, high=high, min_area=0)[0]
        assert mask[:, 30].any() == (high < 20)
        assert mask[:, 50].all()


def test_no_images_give_no_masks() -> None:
    images = torch.zeros(0, 3, 40, 50, dtype=torch.uint8)

    masks = luv_masks(images, **DEFAULTS)

    assert masks.shape == (0, 40, 50)
    assert masks.dtype == torch.bool
    assert closing_fill_batch(images, masks, 2).shape == images.shape


def test_images_without_hair_give_empty_masks() -> None:
    assert not luv_masks(torch.full((2, 3, 40, 50), 200, dtype=torch.uint8), **DEFAULTS).any()


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 3),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    share=st.sampled_from([0.1, 0.4, 0.6, 1.0]),
    min_area=st.floats(0, 30),
    seed=st.integers(0, 999),
)
def test_components_are_those_of_scikit_image(
    count: int, height: int, width: int, share: float, min_area: float, seed: int
) -> None:
    values = np.random.default_rng(seed).random((count, height, width))
    weak, strong = values < share, values < share / 20

    kept = keep_components(torch.from_numpy(weak), torch.from_numpy(strong), min_area)

    for index in range(count):
        part = label(weak[index], connectivity=2)
        hair = weak[index] & np.isin(part, np.unique(part[strong[index]]))
        expected = hair & (np.bincount(part.ravel())[part] >= min_area)
        np.testing.assert_array_equal(kept[index].numpy(), expected)


def spiral(size: int) -> torch.Tensor:
    """Draw one path, one pixel wide, that winds inwards over half of all pixels."""
    path = torch.zeros(size, size, dtype=torch.bool)
    row, column, step, length = 0, 0, (0, 1), size - 1
    path[0, 0] = True
    for turn in range(size):
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            path[row, column] = True
        step = (step[1], -step[0])
        length -= 2 * (turn % 2) if turn > 1 else 0
        if length <= 1:
            break
    return path


def test_a_component_that_winds_through_the_whole_image_is_one() -> None:
    weak = torch.stack([spiral(101), spiral(101).flip(1).T])
    strong = torch.zeros_like(weak)
    strong[0, 0, 0] = True
    area = int(weak[0].sum())
    assert area > 4000

    assert torch.equal(keep_components(weak, strong, area)[0], weak[0])
    assert not keep_components(weak, strong, area)[1].any()
    assert not keep_components(weak, strong, area + 1).any()


@pytest.mark.parametrize(
    ("images", "kind", "got"),
    [
        (np.zeros((1, 3, 64, 64), np.uint8), TypeError, "an object of type ndarray."),
        (torch.zeros(1, 3, 64, 64), TypeError, "dtype torch.float32."),
        (torch.zeros(3, 64, 64, dtype=torch.uint8), ValueError, "shape (3, 64, 64)."),
        (torch.zeros(1, 64, 64, 3, dtype=torch.uint8), ValueError, "shape (1, 64, 64, 3)."),
    ],
)
def test_what_is_no_batch_is_refused(images: Any, kind: type[Exception], got: str) -> None:
    sentence = (
        f"Expected `images` to be a tensor of images (N, 3, H, W) of dtype uint8, but got {got}"
    )
    with pytest.raises(kind, match=re.escape(sentence)):
        luv_masks(images, **DEFAULTS)
    with pytest.raises(kind, match=re.escape(sentence)):
        closing_fill_batch(images, torch.zeros(1, 64, 64, dtype=torch.bool), 1)


@pytest.mark.parametrize(
    ("masks", "kind", "got"),
    [
        (np.zeros((1, 64, 64), np.bool_), TypeError, "an object of type ndarray."),
        (torch.zeros(1, 64, 64), TypeError, "dtype torch.float32. Use `masks > 0`."),
        (torch.zeros(1, 1, 64, 64, dtype=torch.bool), ValueError, "shape (1, 1, 64, 64)."),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, kind: type[Exception], got: str) -> None:
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    sentence = f"Expected `masks` to be a tensor of masks (1, 64, 64) of dtype bool, but got {got}"
    with pytest.raises(kind, match=re.escape(sentence)):
        closing_fill_batch(images, masks, 1)


def test_unfit_options_are_refused() -> None:
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match=re.escape("`low` to be a number in 0..14, but got 20.")):
        luv_masks(images, radius=5, low=20, high=14, min_area=120)
    with pytest.raises(ValueError, match=re.escape("for a disc of radius 1 px, but got 2 x 9 px.")):
        luv_masks(torch.zeros(1, 3, 2, 9, dtype=torch.uint8), **DEFAULTS)
    with pytest.raises(ValueError, match=re.escape("`radius` to be an integer of 1 or more")):
        closing_fill_batch(images, torch.zeros(1, 64, 64, dtype=torch.bool), 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_gives_the_masks_and_fills_of_the_cpu() -> None:
    images = batch_of([hairy_image(300, 401, seed) for seed in range(8)])
    masks = luv_masks(images, **DEFAULTS)
    filled = closing_fill_batch(images, masks, 3)

    with torch.autocast("cuda"):
        masks_there = luv_masks(images.cuda(), **DEFAULTS)
        filled_there = closing_fill_batch(images.cuda(), masks_there, 3)

    assert masks_there.is_cuda
    assert torch.equal(masks_there.cpu(), masks)
    assert torch.equal(filled_there.cpu(), filled)
    assert masks.any()

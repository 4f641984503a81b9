import re
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color.colorconv import rgb2luv
from skimage.measure import label
from skimage.morphology import closing, disk

from dermolib import list_fills, list_occlusion_methods, occlusion_mask, occlusion_removal
from dermolib._validation import Image, Mask
from dermolib.preprocessing import method_options
from drawing import noise_image


def textbook(image: Image, radius: int, low: float, high: float, min_area: float) -> Mask:
    """Follow the definition with scikit-image alone."""
    light = np.rint(2.55 * rgb2luv(image)[..., 0]).astype(np.uint8)
    step = closing(light, disk(radius), mode="ignore") - light  # never below 0
    weak, strong = step > low * 2.55, step > high * 2.55
    # apply_hysteresis_threshold joins by sides alone, which breaks a thin slanting hair
    part = label(weak, connectivity=2)
    hair = weak & np.isin(part, np.unique(part[strong]))
    sizes = np.bincount(part.ravel())
    mask: Mask = hair & (sizes[part] >= min_area)
    return mask


def hairy_image(size: int, seed: int) -> Image:
    """Draw dark curves over blotchy skin."""
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 12, (size // 16 + 1, size // 16 + 1, 3))
    skin = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    skin += np.array([205, 165, 145])
    image = np.clip(skin + generator.normal(0, 2, skin.shape), 0, 255).astype(np.uint8)
    for _ in range(6):
        points = generator.integers(0, size, (3, 2))
        width = max(1, round(size / 200))
        cv2.polylines(image, [points], False, (50, 35, 30), width, cv2.LINE_AA)
    hairy: Image = image
    return hairy


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), noise=st.booleans(), low=st.integers(1, 12))
def test_the_mask_is_that_of_the_textbook_bit_for_bit(seed: int, noise: bool, low: int) -> None:
    image = noise_image(96, 96, seed) if noise else hairy_image(96, seed)
    options = {"radius": 16, "low": low, "high": 14, "min_area": 300}

    mask = occlusion_mask(image, method="luv", **options)

    scale = 96 / 512
    np.testing.assert_array_equal(mask, textbook(image, 3, low, 14, 300 * scale**2))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999))
def test_pixels_outside_the_mask_are_bit_identical_and_the_input_is_not_modified(
    seed: int,
) -> None:
    image = hairy_image(160, seed)
    before = image.copy()

    clean, mask = occlusion_removal(image, method="luv", return_mask=True)

    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(clean[~mask], image[~mask])
    assert mask.any()
    assert not np.shares_memory(clean, image)


def test_masked_pixels_are_the_closing_of_the_whole_image() -> None:
    image = hairy_image(256, 3)

    clean, mask = occlusion_removal(image, method="luv", return_mask=True, radius=6)

    closed = np.stack([closing(image[..., c], disk(3), mode="ignore") for c in range(3)], axis=-1)
    np.testing.assert_array_equal(clean[mask], closed[mask])


def test_drawn_hair_is_found_and_gone() -> None:
    skin = np.full((512, 512, 3), (205, 165, 145), dtype=np.uint8)
    image = skin.copy()
    cv2.line(image, (40, 60), (470, 400), (50, 35, 30), 4)
    drawn = (image != skin).any(axis=2)

    clean, mask = occlusion_removal(image, method="luv", return_mask=True)

    np.testing.assert_array_equal(mask, drawn)
    np.testing.assert_array_equal(clean, skin)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_an_image_of_one_colour_is_a_fixed_point(colour: int) -> None:
    image = np.full((40, 50, 3), colour, dtype=np.uint8)

    clean, mask = occlusion_removal(image, method="luv", return_mask=True)

    assert not mask.any()
    np.testing.assert_array_equal(clean, image)


def test_what_was_cleaned_stays_nearly_clean() -> None:
    clean = occlusion_removal(hairy_image(512, 0), method="luv")

    assert occlusion_mask(clean, method="luv").mean() < 0.001


def test_sizes_scale_with_the_shorter_side() -> None:
    image = np.full((256, 400, 3), 200, dtype=np.uint8)
    image[:, 100:104] = 40
    large = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)

    mask = occlusion_mask(image, method="luv")
    large_mask = occlusion_mask(large, method="luv")

    assert mask.sum() == 256 * 4
    np.testing.assert_array_equal(large_mask[::4, ::4], mask)


def test_it_is_the_shorter_side_and_the_disc_is_rounded_up() -> None:
    image = np.full((150, 2000, 3), 200, dtype=np.uint8)
    image[:, 100:104] = 40
    image[:, 300:305] = 40

    mask = occlusion_mask(image, method="luv")

    # 5 px at 512 are 1.46 px at 150, so 2 px: a disc that bridges four pixels and not five
    assert mask[:, 100:104].all()
    assert not mask[:, 300:305].any()


def test_small_components_are_dropped() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    image[100:102, 100:150] = 40
    image[300:302, 100:140] = 40

    mask = occlusion_mask(image, method="luv", min_area=100)

    assert mask[100:102, 100:150].all()
    assert not mask[300:302].any()


def test_faint_pixels_count_only_where_they_touch_dark_ones() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    image[100, 50:250] = 175
    image[300, 50:250] = 175
    image[300, 150:170] = 40

    mask = occlusion_mask(image, method="luv", min_area=0)

    assert not mask[100].any()
    assert mask[300].sum() == 200


def test_a_smaller_image_than_the_disc_is_refused() -> None:
    sentence = "at least 3 px on each side for a disc of radius 1 px, but got 2 x 9 px."
    with pytest.raises(ValueError, match=re.escape(f"Expected `image` to be {sentence}")):
        occlusion_mask(np.zeros((2, 9, 3), dtype=np.uint8), method="luv")


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"method": "lub"}, ValueError, "but got 'lub'. Did you mean 'luv'?"),
        ({"radius": 0}, ValueError, "`radius` to be a number above 0 and up to 512, but got"),
        ({"low": 20}, ValueError, "`low` to be a number in 0..14, but got 20."),
        ({"high": 101}, ValueError, "`high` to be a number in 0..100, but got 101."),
        ({"min_area": -1}, ValueError, "`min_area` to be a number of 0 or more, but got -1."),
        ({"size": 3}, TypeError, "`size` to be one of the options of 'luv', radius, low, high"),
        ({"radius": "5"}, TypeError, "above 0 and up to 512, but got '5' of type str."),
        ({"margin": -1}, ValueError, "`margin` to be a number in 0..512, but got -1."),
        ({"fill": "tela"}, ValueError, "but got 'tela'. Did you mean 'telea'?"),
    ],
)
def test_an_unfit_option_is_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        occlusion_removal(noise_image(64, 64, 0), **{"method": "luv", **options})


@pytest.mark.parametrize("method", list_occlusion_methods())
@pytest.mark.parametrize(
    ("image", "kind", "sentence"),
    [
        (np.zeros((64, 64, 3)), TypeError, "dtype float64. Scale values in [0, 1]"),
        (np.full((8, 8, 3), np.nan), TypeError, "dtype float64. Scale values in [0, 1]"),
        (np.zeros((8, 8, 3), np.uint16), TypeError, "dtype uint16. Scale 16-bit values"),
        (np.zeros((8, 8), np.uint8), ValueError, "shape (8, 8). Repeat a grey image"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, "shape (8, 8, 4). Drop the alpha channel"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, "shape (3, 8, 8). Move the channels last"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, "shape (0, 8, 3)."),
        (torch.zeros(3, 8, 8), TypeError, "type Tensor. Convert it with `numpy.asarray`"),
        ([[0]], TypeError, "an object of type list."),
    ],
)
def test_what_is_no_rgb_image_is_refused_with_a_remedy(
    method: str, image: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        occlusion_removal(image, method=method)


@pytest.mark.parametrize("method", list_occlusion_methods())
@pytest.mark.parametrize("fill", [None, *list_fills()])
def test_every_method_and_fill_keeps_what_is_outside_the_mask(
    method: str, fill: str | None
) -> None:
    image = hairy_image(320, 4)
    before = image.copy()
    image.flags.writeable = False

    clean, mask = occlusion_removal(image, method=method, fill=fill, return_mask=True)

    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(clean[~mask], image[~mask])
    found = occlusion_mask(image, method=method)
    assert mask.any()
    assert not (found & ~mask).any()
    assert (clean[found] != image[found]).any(axis=1).mean() > 0.9


def test_what_is_replaced_takes_the_edges_of_hair_along() -> None:
    image = hairy_image(320, 4)

    mask = occlusion_removal(image, method="unet", return_mask=True)[1]

    np.testing.assert_array_equal(mask, occlusion_mask(image, method="unet", threshold=0.2))
    assert mask.sum() > occlusion_mask(image, method="unet").sum()


@pytest.mark.parametrize("method", list_occlusion_methods())
def test_the_layout_in_memory_plays_no_part(method: str) -> None:
    image = hairy_image(200, 1)
    expected = occlusion_removal(image, method=method)

    mirrored = occlusion_removal(image[:, ::-1].copy()[:, ::-1], method=method)
    in_columns = occlusion_removal(np.asfortranarray(image), method=method)

    np.testing.assert_array_equal(mirrored, expected)
    np.testing.assert_array_equal(in_columns, expected)


@pytest.mark.parametrize("method", ["line", "unet"])
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 2), (150, 200)])
def test_black_white_and_tiny_images_come_back_equal(
    method: str, level: int, shape: tuple[int, int]
) -> None:
    image = np.full((*shape, 3), level, np.uint8)

    clean, mask = occlusion_removal(image, method=method, return_mask=True)

    assert not mask.any()
    np.testing.assert_array_equal(clean, image)


@pytest.mark.parametrize("method", ["line", "unet"])
def test_hair_lighter_than_the_skin_is_found_too(method: str) -> None:
    image = np.full((512, 512, 3), (120, 80, 65), np.uint8)
    cv2.line(image, (40, 60), (470, 400), (190, 170, 150), 4, cv2.LINE_AA)
    drawn = image[..., 0] > 150

    mask = occlusion_mask(image, method=method)

    assert 2 * (mask & drawn).sum() / (mask.sum() + drawn.sum()) > 0.75


def test_a_margin_is_replaced_too_and_scales_with_the_image() -> None:
    image = np.full((1024, 1024, 3), 200, np.uint8)
    image[:, 500:508] = 40

    clean, mask = occlusion_removal(image, method="luv", margin=1.5, return_mask=True)

    assert mask.sum() == 1024 * (8 + 2 * 3)
    np.testing.assert_array_equal(clean, 200)


def test_options_are_completed_by_the_defaults() -> None:
    assert method_options("unet", {"threshold": 0.4}) == {
        "threshold": 0.4,
        "certain": 0.85,
        "min_area": 20,
    }


def test_methods_are_listed_by_name() -> None:
    assert list_occlusion_methods() == ["line", "luv", "unet"]


def test_the_default_is_the_best_of_the_benchmark() -> None:
    image = hairy_image(128, 2)

    np.testing.assert_array_equal(occlusion_mask(image), occlusion_mask(image, method="unet"))
    np.testing.assert_array_equal(
        occlusion_removal(image), occlusion_removal(image, method="unet", fill="pyramid")
    )

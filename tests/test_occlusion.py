import re
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color.colorconv import rgb2luv
from skimage.measure import label
from skimage.morphology import closing, disk

from dermolib._types import Image, Mask
from dermolib.preprocessing import (
    list_occlusion_methods,
    occlusion_mask,
    occlusion_removal,
)
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

    clean, mask = occlusion_removal(image, return_mask=True)

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
        occlusion_mask(np.zeros((2, 9, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"method": "lub"}, ValueError, "`method` to be one of 'luv', but got 'lub'."),
        ({"radius": 0}, ValueError, "`radius` to be a number above 0 and up to 512, but got"),
        ({"low": 20}, ValueError, "`low` to be a number in 0..14, but got 20."),
        ({"high": 101}, ValueError, "`high` to be a number in 0..100, but got 101."),
        ({"min_area": -1}, ValueError, "`min_area` to be a number of 0 or more, but got -1."),
        ({"size": 3}, TypeError, "`size` to be one of the options of 'luv', radius, low, high"),
        ({"radius": "5"}, TypeError, "above 0 and up to 512, but got '5' of type str."),
    ],
)
def test_an_unfit_option_is_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        occlusion_removal(noise_image(64, 64, 0), **options)


def test_a_float_image_is_refused_with_a_remedy() -> None:
    with pytest.raises(TypeError, match=re.escape("dtype float64. Scale values in [0, 1]")):
        occlusion_removal(np.zeros((64, 64, 3)))  # type: ignore[arg-type]  # the wrong dtype under test


def test_methods_are_listed_by_name() -> None:
    assert list_occlusion_methods() == sorted(list_occlusion_methods())
    assert "luv" in list_occlusion_methods()

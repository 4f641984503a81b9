import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color.colorconv import rgb2luv
from skimage.measure import label
from skimage.morphology import closing, disk

from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic import draw_hair
from dermolib.io import read_image
from dermolib.preprocessing.hair import luv
from dermolib.preprocessing.hair.luv import (
    check_luv_options,
    closing_fill,
    disc,
    disc_rows,
    find_luv,
    scaled_radius,
)
from drawing import noise_image

DEFAULTS = {"radius": 5.0, "low": 8.0, "high": 14.0, "min_area": 120.0}


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


def skin_image(height: int, width: int, seed: int) -> Image:
    """Draw blotchy skin with a little noise."""
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 12, (height // 16 + 2, width // 16 + 2, 3))
    blotches = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = blotches + np.array([205, 165, 145]) + generator.normal(0, 2, (height, width, 3))
    image: Image = np.clip(skin, 0, 255).astype(np.uint8)
    return image


def hairy_image(height: int, width: int, seed: int) -> Image:
    """Draw the hair of `dermolib.datasets` over skin."""
    generator = np.random.default_rng(seed)
    density = float(generator.uniform(0.02, 0.2))
    return draw_hair(skin_image(height, width, seed), density=density, generator=generator)[0]


@settings(deadline=None, max_examples=25)
@given(
    draw=st.sampled_from([noise_image, skin_image, hairy_image]),
    height=st.integers(40, 110),
    width=st.integers(40, 110),
    seed=st.integers(0, 999),
    radius=st.integers(1, 90),
    low=st.floats(0, 14),
    min_area=st.sampled_from([0.0, 120.0, 2000.0]),
)
def test_the_mask_is_that_of_the_textbook_bit_for_bit(
    draw: Callable[[int, int, int], Image],
    height: int,
    width: int,
    seed: int,
    radius: int,
    low: float,
    min_area: float,
) -> None:
    image = draw(height, width, seed)
    pixels = scaled_radius(radius, image.shape)

    mask = find_luv(image, radius=radius, low=low, high=14, min_area=min_area)

    scale = min(height, width) / 512
    expected = textbook(image, pixels, low, 14, min_area * scale**2)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (301, 517), (523, 3), (3, 523)])
def test_odd_sizes_and_strips_give_the_mask_of_the_textbook(height: int, width: int) -> None:
    image = hairy_image(height, width, 1)
    side = min(height, width)

    mask = find_luv(image, radius=2, low=8, high=14, min_area=120)

    pixels = scaled_radius(2, image.shape)
    expected = textbook(image, pixels, 8, 14, 120 * (side / 512) ** 2)
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()


@pytest.mark.data
def test_real_hair_gives_the_mask_of_the_textbook(data_dir: Path) -> None:
    for path in sorted((data_dir / "hairy_native").glob("*.jpg"))[::5]:
        image = read_image(path)[::4, ::4]

        mask = find_luv(image, **DEFAULTS)

        scale = min(image.shape[:2]) / 512
        expected = textbook(image, scaled_radius(5, image.shape), 8, 14, 120 * scale**2)
        np.testing.assert_array_equal(mask, expected)
        assert mask.any()


@pytest.mark.parametrize("high", [19.9, 20.0, 20.1])
def test_only_a_step_above_the_threshold_counts(high: float) -> None:
    image = np.full((64, 64, 3), 200, dtype=np.uint8)
    image[:, 30] = 147  # darker by 51 steps, of which 2.55 are one unit of L*, which is 20 units
    image[:, 50] = 40

    for low in (0, high):
        mask = find_luv(image, radius=5, low=low, high=high, min_area=0)
        assert mask[:, 30].any() == (high < 20)
        np.testing.assert_array_equal(mask, textbook(image, 1, low, high, 0))


def test_drawn_hair_is_found() -> None:
    image = np.full((512, 512, 3), (205, 165, 145), dtype=np.uint8)
    cv2.line(image, (40, 60), (470, 400), (50, 35, 30), 4)
    drawn = (image != (205, 165, 145)).any(axis=2)

    np.testing.assert_array_equal(find_luv(image, **DEFAULTS), drawn)


@pytest.mark.parametrize("colour", [0, 128, 254, 255])
def test_an_image_of_one_colour_has_no_hair(colour: int) -> None:
    assert not find_luv(np.full((40, 50, 3), colour, dtype=np.uint8), **DEFAULTS).any()


def test_small_components_and_faint_ones_are_dropped() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    image[100:102, 100:150] = 40  # 100 pixels
    image[300:302, 100:149] = 40  # 98 pixels
    image[400:402, 100:180] = 175  # faint
    image[450:452, 100:180] = 175
    image[450, 140] = 40

    mask = find_luv(image, radius=5, low=8, high=14, min_area=100)

    assert [int(mask[row].sum()) for row in (100, 300, 400, 450)] == [50, 0, 0, 80]


def test_pixels_are_connected_across_corners_and_not_across_the_border() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    for row in range(200, 260):
        image[row, row] = 175
    image[230, 230] = 40
    image[100, 511] = 40  # the next in memory is the first of the row below
    image[101, 0] = 40

    mask = find_luv(image, radius=5, low=8, high=14, min_area=2)

    assert np.diag(mask).sum() == 60
    assert mask.sum() == 60


def test_a_view_that_is_read_only_gives_the_same_and_stays_as_it_is() -> None:
    image = hairy_image(90, 110, 0)
    view = image[::-1, ::2]
    view.flags.writeable = False
    before = image.copy()

    mask = find_luv(view, **DEFAULTS)
    filled = closing_fill(view, mask, 2)

    plain = np.ascontiguousarray(view)
    np.testing.assert_array_equal(mask, find_luv(plain, **DEFAULTS))
    np.testing.assert_array_equal(filled, closing_fill(plain, mask, 2))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("radius", [*range(1, 43), 60])
def test_the_closing_is_that_with_the_disc_for_every_radius(radius: int) -> None:
    image = noise_image(2 * radius + 9, 70, radius)

    closed = closing_fill(image, np.ones(image.shape[:2], np.bool_), radius)

    np.testing.assert_array_equal(closed, cv2.morphologyEx(image, cv2.MORPH_CLOSE, disc(radius)))


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    radius=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.002, 0.1]),
    size=st.sampled_from([1, 1000, 1 << 19]),
    seed=st.integers(0, 99),
)
def test_masked_pixels_are_the_closing_of_the_whole_and_the_others_bit_identical(
    height: int, width: int, radius: int, share: float, size: int, seed: int
) -> None:
    image = noise_image(height, width, seed)
    mask = np.random.default_rng(seed).random((height, width)) < share
    before = image.copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(luv, "_STRIP_BYTES", size)
        filled = closing_fill(image, mask, radius)

    layers = [closing(image[..., c], disk(radius), mode="ignore") for c in range(3)]
    np.testing.assert_array_equal(filled[mask], np.stack(layers, axis=-1)[mask])
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(filled, image)


def test_low_strips_give_the_mask_of_one_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    image = hairy_image(200, 90, 4)
    whole = find_luv(image, **DEFAULTS)
    monkeypatch.setattr(luv, "_STRIP_BYTES", 1)

    np.testing.assert_array_equal(find_luv(image, **DEFAULTS), whole)
    assert whole.any()


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 13, 40])
def test_a_disc_is_that_of_scikit_image_and_made_of_its_rows(radius: int) -> None:
    np.testing.assert_array_equal(disc(radius), disk(radius))

    half_widths = [0]
    for distance, half_width in disc_rows(radius):
        half_widths += [half_widths[-1]] * (distance - 1) + [half_width]
    half_widths += [half_widths[-1]] * (radius + 1 - len(half_widths))
    assert (disc(radius).sum(axis=1)[: radius + 1] // 2).tolist() == half_widths


def test_a_radius_scales_with_the_shorter_side_and_is_rounded_up() -> None:
    assert scaled_radius(5, (512, 512)) == 5
    assert scaled_radius(5, (513, 2000)) == 6
    assert scaled_radius(0.1, (2000, 64, 3)) == 1


def test_an_image_smaller_than_the_disc_is_refused() -> None:
    sentence = "at least 3 px on each side for a disc of radius 1 px, but got 2 x 9 px."
    with pytest.raises(ValueError, match=re.escape(f"Expected `image` to be {sentence}")):
        find_luv(np.zeros((2, 9, 3), dtype=np.uint8), **DEFAULTS)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"radius": 0}, ValueError, "`radius` to be a number above 0 and up to 512, but got 0."),
        ({"radius": "5"}, TypeError, "a number above 0 and up to 512, but got '5' of type str."),
        ({"low": 20}, ValueError, "`low` to be a number in 0..14, but got 20."),
        ({"high": 101}, ValueError, "`high` to be a number in 0..100, but got 101."),
        ({"min_area": -1}, ValueError, "`min_area` to be a number of 0 or more, but got -1."),
    ],
)
def test_an_unfit_option_is_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        check_luv_options(**{**DEFAULTS, **options})
    with pytest.raises(kind, match=re.escape(sentence)):
        find_luv(noise_image(64, 64, 0), **{**DEFAULTS, **options})


def test_what_is_no_image_is_refused() -> None:
    sentence = "Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got"
    with pytest.raises(TypeError, match=re.escape(f"{sentence} dtype float64.")):
        find_luv(np.zeros((64, 64, 3)), **DEFAULTS)  # type: ignore[arg-type]  # under test
    with pytest.raises(ValueError, match=re.escape(f"{sentence} shape (64, 64).")):
        closing_fill(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.bool_), 1)


def test_a_mask_or_radius_that_does_not_fit_is_refused() -> None:
    image = noise_image(20, 30, 0)
    with pytest.raises(ValueError, match=re.escape("a mask (20, 30) of dtype bool, but got shape")):
        closing_fill(image, np.zeros((30, 20), np.bool_), 1)
    with pytest.raises(TypeError, match=re.escape("dtype uint8. Use `mask > 0`.")):
        closing_fill(image, np.zeros((20, 30), np.uint8), 1)
    with pytest.raises(TypeError, match=re.escape("`radius` to be an integer of 1 or more")):
        closing_fill(image, np.zeros((20, 30), np.bool_), 1.5)  # type: ignore[arg-type]  # under test
    with pytest.raises(ValueError, match=re.escape("`radius` to be an integer of 1 or more")):
        closing_fill(image, np.zeros((20, 30), np.bool_), 0)

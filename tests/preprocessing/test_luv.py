"""Hair by lightness: against scikit-image, bit for bit."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color.colorconv import rgb2luv
from skimage.measure import label
from skimage.morphology import closing as textbook_closing
from skimage.morphology import disk as textbook_disk

from dermolib import fill_mask, occlusion_mask, occlusion_removal
from dermolib._validation import Image, Mask
from dermolib.io import read_image
from dermolib.preprocessing import lightness

# Private, since whole images cannot reach every radius, and no graph of runs in particular
from dermolib.preprocessing.hair.closing import closing, disk, disk_rows
from dermolib.preprocessing.hair.luv import components_above
from drawing import hairy_image, noise_image, skin_image


def hairy(height: int, width: int, seed: int) -> Image:
    return hairy_image(height, width, seed, density=0.02 + seed % 10 / 50)[0]


def textbook_lightness(image: Image) -> npt.NDArray[np.uint8]:
    steps: npt.NDArray[np.uint8] = np.rint(2.55 * rgb2luv(image)[..., 0]).astype(np.uint8)
    return steps


def textbook_components(weak: Mask, strong: Mask, min_area: float) -> Mask:
    # apply_hysteresis_threshold joins by sides alone, which breaks a thin slanting hair
    part = label(weak, connectivity=2)
    large = np.bincount(part.ravel()) >= min_area
    mask: Mask = weak & np.isin(part, np.unique(part[strong])) & large[part]
    return mask


def textbook(image: Image, *, radius: float, low: float, high: float, min_area: float) -> Mask:
    """Follow the definition with scikit-image alone."""
    scale = min(image.shape[:2]) / 512
    light = textbook_lightness(image)
    pixels = int(np.ceil(radius * scale))
    step = textbook_closing(light, textbook_disk(pixels), mode="ignore") - light  # never below 0
    return textbook_components(step > low * 2.55, step > high * 2.55, min_area * scale**2)


DEFAULTS = {"radius": 5.0, "low": 8.0, "high": 14.0, "min_area": 120.0}


@settings(max_examples=25)
@given(
    draw=st.sampled_from([noise_image, skin_image, hairy]),
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
    options = {"radius": radius, "low": low, "high": 14, "min_area": min_area}

    mask = occlusion_mask(image, method="luv", **options)

    np.testing.assert_array_equal(mask, textbook(image, **options))


@pytest.mark.parametrize("shape", [(512, 512), (301, 517), (523, 3), (3, 523)])
def test_odd_sizes_give_the_mask_of_the_textbook(shape: tuple[int, int]) -> None:
    image, options = hairy(*shape, 3), DEFAULTS | {"radius": 2.0}

    mask = occlusion_mask(image, method="luv", **options)

    np.testing.assert_array_equal(mask, textbook(image, **options))
    assert mask.any()


@pytest.mark.data
def test_real_images_give_the_mask_of_the_textbook(data_dir: Path) -> None:
    for path in sorted((data_dir / "hairy_native").glob("*.jpg"))[::5]:
        image = read_image(path)[::4, ::4]

        mask = occlusion_mask(image, method="luv")

        np.testing.assert_array_equal(mask, textbook(image, **DEFAULTS))
        assert mask.any()


@pytest.mark.parametrize("high", [19.9, 20.0, 20.1])
def test_only_a_step_above_the_threshold_counts(high: float) -> None:
    image = np.full((64, 64, 3), 200, dtype=np.uint8)
    image[:, 30] = 147  # darker by 51 steps, of which 2.55 are one unit of L*, which is 20 units
    image[:, 50] = 40

    for low in (0, high):
        mask = occlusion_mask(image, method="luv", low=low, high=high, min_area=0)
        assert mask[:, 30].any() == (high < 20)
        assert mask[:, 50].all()


def test_drawn_hair_is_found_and_gone() -> None:
    skin = np.full((512, 512, 3), (205, 165, 145), dtype=np.uint8)
    image = skin.copy()
    cv2.line(image, (40, 60), (470, 400), (50, 35, 30), 4)

    clean, mask = occlusion_removal(image, method="luv", return_mask=True)

    np.testing.assert_array_equal(mask, (image != skin).any(axis=2))
    np.testing.assert_array_equal(clean, skin)
    assert not occlusion_mask(skin, method="luv").any()


def test_small_components_and_faint_ones_are_dropped() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    image[100:102, 100:150] = 40  # 100 pixels
    image[300:302, 100:149] = 40  # 98 pixels
    image[400:402, 100:180] = 175  # faint
    image[450:452, 100:180] = 175
    image[450, 140] = 40

    mask = occlusion_mask(image, method="luv", min_area=100)

    assert [int(mask[row].sum()) for row in (100, 300, 400, 450)] == [50, 0, 0, 80]


def test_pixels_are_connected_across_corners_and_not_across_the_border() -> None:
    image = np.full((512, 512, 3), 200, dtype=np.uint8)
    for row in range(200, 260):
        image[row, row] = 175
    image[230, 230] = 40
    image[100, 511] = 40  # the next in memory is the first of the row below
    image[101, 0] = 40

    mask = occlusion_mask(image, method="luv", min_area=2)

    assert np.diag(mask).sum() == 60
    assert mask.sum() == 60


def test_sizes_scale_with_the_shorter_side() -> None:
    image = np.full((256, 400, 3), 200, dtype=np.uint8)
    image[:, 100:104] = 40
    large = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)

    mask, large_mask = occlusion_mask(image, method="luv"), occlusion_mask(large, method="luv")

    assert mask.sum() == 256 * 4
    np.testing.assert_array_equal(large_mask[::4, ::4], mask)


def test_the_radius_follows_the_shorter_side_and_is_rounded_up() -> None:
    image = np.full((150, 2000, 3), 200, dtype=np.uint8)
    image[:, 100:104] = image[:, 300:305] = 40

    mask = occlusion_mask(image, method="luv")

    # 5 px at 512 are 1.46 px at 150, so 2 px: a disk that bridges four pixels and not five
    assert mask[:, 100:104].all()
    assert not mask[:, 300:305].any()


def test_an_image_smaller_than_the_disk_is_refused() -> None:
    sentence = "at least 3 px on each side for a disk of radius 1 px, but got 2 x 9 px."
    with pytest.raises(ValueError, match=re.escape(f"Expected `image` to be {sentence}")):
        occlusion_mask(np.zeros((2, 9, 3), dtype=np.uint8), method="luv")


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    density=st.sampled_from([0.02, 0.3, 0.5, 0.9, 1.0]),
    min_area=st.integers(1, 12),
    seed=st.integers(0, 999),
)
def test_components_are_those_of_the_textbook(
    height: int, width: int, density: float, min_area: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    steps = generator.integers(1, 30, (height, width), dtype=np.uint8)
    steps[generator.random((height, width)) > density] = 0

    mask = components_above(np.pad(steps, ((0, 1), (1, 0))), 5, 20, min_area)

    np.testing.assert_array_equal(mask, textbook_components(steps > 5, steps > 20, min_area))


@pytest.mark.parametrize("radius", [*range(1, 43), 60, 79, 157])
def test_the_closing_is_that_with_the_disk_for_every_radius_and_in_any_strips(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise_image(9 * radius + 9, 70, radius)

    expected = cv2.morphologyEx(image, cv2.MORPH_CLOSE, disk(radius))

    for size in (1, 1 << 20):
        monkeypatch.setattr("dermolib.preprocessing.hair.closing._STRIP", size)
        strips = [strip.copy() for _, strip in closing(image, radius)]
        assert (len(strips) > 1) == (size == 1)
        np.testing.assert_array_equal(np.concatenate(strips), expected)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 13, 40])
def test_a_disk_is_that_of_scikit_image_and_made_of_its_rows(radius: int) -> None:
    np.testing.assert_array_equal(disk(radius), textbook_disk(radius))

    half_widths = [0]
    for distance, half_width in disk_rows(radius):
        half_widths += [half_widths[-1]] * (distance - 1) + [half_width]
    half_widths += [half_widths[-1]] * (radius + 1 - len(half_widths))
    assert (disk(radius).sum(axis=1)[: radius + 1] // 2).tolist() == half_widths


@settings(max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    fraction=st.sampled_from([0.002, 0.1]),
    seed=st.integers(0, 99),
)
def test_masked_pixels_are_the_closing_of_the_whole_image(
    height: int, width: int, fraction: float, seed: int
) -> None:
    image = noise_image(height, width, seed)
    mask = np.random.default_rng(seed).random((height, width)) < fraction

    filled = fill_mask(image, mask, fill="closing")

    radius = int(np.ceil(5 * min(height, width) / 512))
    layers = [
        textbook_closing(image[..., channel], textbook_disk(radius), mode="ignore")
        for channel in range(3)
    ]
    expected = np.where(mask[..., None] & ~mask.all(), np.stack(layers, axis=-1), image)
    np.testing.assert_array_equal(filled, expected)


def test_the_fill_takes_the_radius_of_the_method() -> None:
    image = np.full((512, 512, 3), 200, np.uint8)
    image[100:114] = 40

    assert (occlusion_removal(image, method="luv", radius=7) == 200).all()
    np.testing.assert_array_equal(occlusion_removal(image, method="luv"), image)


def colors_of(reds: Any) -> Image:
    """Draw all colors with these reds."""
    grid = np.meshgrid(np.array(reds), np.arange(256), np.arange(256), indexing="ij")
    return np.stack(grid, axis=-1).astype(np.uint8).reshape(len(reds), -1, 3)


@pytest.mark.parametrize(("first", "wide"), [(0, True), (5, True), (10, True), (15, False)])
def test_lightness_equals_that_of_scikit_image_for_a_quarter_of_all_colors(
    first: int, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = colors_of(range(first, 256, 16))
    module = importlib.import_module("dermolib.preprocessing.hair.lightness")
    monkeypatch.setattr(module, "_WIDE_LUT", wide and module._WIDE_LUT)  # as in an older OpenCV

    np.testing.assert_array_equal(lightness(image), textbook_lightness(image))


def test_dark_colors_where_steps_are_narrow_are_exact() -> None:
    dark = np.stack(np.meshgrid(*[np.arange(32, dtype=np.uint8)] * 3), axis=-1).reshape(64, -1, 3)

    np.testing.assert_array_equal(lightness(dark), textbook_lightness(dark))


@given(height=st.integers(0, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_lightness_of_any_size_and_layout_is_exact_and_the_image_stays(
    height: int, width: int, seed: int
) -> None:
    image = noise_image(2 * height, width, seed)
    view, before = image[::2, ::-1], image.copy()
    view.flags.writeable = False

    np.testing.assert_array_equal(lightness(view), textbook_lightness(view))
    np.testing.assert_array_equal(image, before)

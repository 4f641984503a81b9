import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color.colorconv import rgb2luv

from dermolib._validation import Image
from dermolib.io import read_image
from dermolib.preprocessing.hair.lightness import lightness, positions
from drawing import noise_image

# `dermolib.preprocessing.hair.lightness` as an attribute is the function
module = importlib.import_module("dermolib.preprocessing.hair.lightness")


def textbook(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    steps: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    steps = np.rint(2.55 * rgb2luv(image)[..., 0])
    return steps


def every_colour_of(reds: range) -> Image:
    values = np.arange(256)
    grid = np.stack(np.meshgrid(np.array(reds), values, values, indexing="ij"), axis=-1)
    return grid.reshape(len(reds), -1, 3).astype(np.uint8)


@pytest.mark.parametrize("first", [0, 5, 10, 15])
def test_lightness_equals_the_rounded_luv_of_scikit_image_for_a_quarter_of_all_colours(
    first: int,
) -> None:
    image = every_colour_of(range(first, 256, 16))

    np.testing.assert_array_equal(lightness(image), textbook(image))


def test_a_colour_gets_the_same_step_as_the_first_and_as_the_second_of_a_pair() -> None:
    image = every_colour_of(range(77, 78))

    alone = lightness(np.repeat(image, 2, axis=0).transpose(1, 0, 2))

    np.testing.assert_array_equal(alone, np.repeat(textbook(image), 2, axis=0).T)


def test_dark_colours_where_steps_are_narrow_are_exact() -> None:
    dark = np.stack(np.meshgrid(*[np.arange(32, dtype=np.uint8)] * 3), axis=-1).reshape(64, -1, 3)

    np.testing.assert_array_equal(lightness(dark), textbook(dark))


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_images_of_any_size_are_exact(height: int, width: int, seed: int) -> None:
    image = noise_image(height, width, seed)

    np.testing.assert_array_equal(lightness(image), textbook(image))


@pytest.mark.parametrize("pairs", [1, 7, 64])
def test_strips_give_what_the_whole_gives(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise_image(13, 17, 3)
    whole = lightness(image)
    monkeypatch.setattr(module, "_PAIRS", pairs)

    np.testing.assert_array_equal(lightness(image), whole)


def test_an_opencv_that_looks_up_bytes_alone_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise_image(40, 50, 1)
    wide = lightness(image)
    look_up = cv2.LUT

    def narrow(index: Image, table: Image, dst: Image | None = None) -> object:
        if index.dtype != np.uint8:
            raise cv2.error("only 8-bit indices")
        return look_up(index, table, dst=dst)

    monkeypatch.setattr(cv2, "LUT", narrow)
    module._has_wide_lut.cache_clear()
    try:
        assert not module._has_wide_lut()
        np.testing.assert_array_equal(lightness(image), wide)
    finally:
        module._has_wide_lut.cache_clear()


def test_black_is_0_and_white_is_255() -> None:
    assert lightness(np.zeros((1, 1, 3), np.uint8)).item() == 0
    assert lightness(np.full((1, 1, 3), 255, np.uint8)).item() == 255


def test_an_image_without_pixels_has_no_lightness() -> None:
    assert lightness(np.zeros((0, 5, 3), np.uint8)).shape == (0, 5)


def test_a_strided_read_only_image_gives_the_same_and_stays_as_it_is() -> None:
    image = noise_image(20, 30, 0)
    view = image[::2, ::-1]
    view.flags.writeable = False
    before = image.copy()

    np.testing.assert_array_equal(lightness(view), lightness(np.ascontiguousarray(view)))
    np.testing.assert_array_equal(image, before)


@settings(deadline=None, max_examples=50)
@given(count=st.integers(0, 40), share=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 99))
def test_positions_are_those_of_numpy(count: int, share: float, seed: int) -> None:
    flags = np.random.default_rng(seed).random(count) < share

    np.testing.assert_array_equal(positions(flags), np.flatnonzero(flags))


@pytest.mark.data
def test_real_images_are_exact(data_dir: Path) -> None:
    paths = sorted((data_dir / "isic2018_task1" / "images").glob("*.jpg"))[::400]

    for path in paths:
        image = read_image(path)
        np.testing.assert_array_equal(lightness(image), textbook(image))

"""Shades of gray against the formula of its paper, on every pixel."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import shades_of_gray
from dermolib._validation import Image
from dermolib.io import read_image
from dermolib.preprocessing import correct, illuminant
from drawing import noise_image

module = importlib.import_module("dermolib.preprocessing.color")

NORMS = st.one_of(st.floats(1, 50), st.sampled_from([1, 2, 6, 300.0, 1e6, math.inf]))


def textbook_light(image: Image, p: float) -> npt.NDArray[np.float64]:
    """Compute the formula of the reference on every pixel, in floats."""
    pixels = image.reshape(-1, 3).astype(np.float64)
    largest = pixels.max(axis=0)
    if math.isinf(p):
        norms = largest
    else:
        norms = largest * np.mean((pixels / largest) ** p, axis=0) ** (1 / p)
    light: npt.NDArray[np.float64] = np.sqrt(3) * norms / np.sqrt((norms**2).sum())
    return light


def cast_image(seed: int, height: int = 7, width: int = 9) -> Image:
    tint = np.random.default_rng(seed).uniform(0.2, 1, 3)
    image = (noise_image(height, width, seed) * tint).astype(np.uint8)
    image[0, 0] = [1, 1, 1]  # so that no channel is zero everywhere
    return image


@settings(max_examples=80)
@given(seed=st.integers(0, 999), p=NORMS)
def test_light_and_pixels_are_those_of_the_textbook_formula(seed: int, p: float) -> None:
    image = cast_image(seed)
    light = textbook_light(image, p)

    corrected = shades_of_gray(image, p=p)

    assert np.abs(corrected - np.minimum(image / light, 255)).max() <= 0.5 + 1e-9
    np.testing.assert_allclose(illuminant(image, p=p), light, rtol=1e-12)
    assert np.linalg.norm(light) == pytest.approx(math.sqrt(3))


def test_norm_1_is_the_mean_and_infinity_the_largest_value() -> None:
    image = np.array([[[10, 20, 30], [50, 20, 10]]], np.uint8)

    mean, largest = illuminant(image, p=1), illuminant(image, p=math.inf)

    np.testing.assert_allclose(mean / mean[0], [1, 20 / 30, 20 / 30])
    np.testing.assert_allclose(largest / largest[0], [1, 20 / 50, 30 / 50])


def test_a_gray_world_has_equal_means_after_correction() -> None:
    image = (noise_image(60, 60, 2) * [0.8, 0.6, 0.5]).astype(np.uint8)

    means = shades_of_gray(image, p=1).mean(axis=(0, 1))

    np.testing.assert_allclose(means, means.mean(), atol=0.1)


@settings(max_examples=60)
@given(seed=st.integers(0, 999), p=NORMS)
def test_an_image_without_color_stays_as_it_is(seed: int, p: float) -> None:
    gray = np.repeat(noise_image(6, 5, seed)[..., :1], 3, axis=2)

    np.testing.assert_array_equal(shades_of_gray(gray, p=p), gray)


def test_a_black_image_stays_black_under_neutral_light() -> None:
    black = np.zeros((4, 4, 3), np.uint8)

    assert illuminant(black).tolist() == [1, 1, 1]
    assert not shades_of_gray(black).any()


def test_a_channel_that_is_zero_everywhere_stays_zero() -> None:
    image = noise_image(8, 8, 1)
    image[..., 2] = 0

    corrected = shades_of_gray(image)

    assert illuminant(image)[2] == 0
    assert not corrected[..., 2].any()
    expected = np.minimum(image[..., :2] / illuminant(image)[:2], 255)
    np.testing.assert_array_equal(corrected[..., :2], np.rint(expected))


@pytest.mark.parametrize("p", [1, 6, math.inf])
def test_one_pixel_becomes_gray_of_the_same_root_mean_square(p: float) -> None:
    pixel = np.array([[[120, 60, 30]]], np.uint8)

    assert shades_of_gray(pixel, p=p).tolist() == [[[79, 79, 79]]]


def test_any_view_gives_the_same_in_a_new_array_and_is_not_modified() -> None:
    whole = noise_image(20, 31, 4)
    view, before = whole[::-2, ::3, ::-1], whole.copy()
    view.flags.writeable = False

    result = shades_of_gray(view)

    np.testing.assert_array_equal(result, shades_of_gray(view.copy()))
    np.testing.assert_array_equal(whole, before)
    assert not np.shares_memory(correct(view, [1, 1, 1]), whole)


@pytest.mark.parametrize("strip", [1, 40, 100])
def test_strips_give_what_the_whole_gives(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise_image(13, 17, 5)
    whole = shades_of_gray(image)
    monkeypatch.setattr(module, "_STRIP", strip)

    np.testing.assert_array_equal(shades_of_gray(image), whole)


@given(light=st.lists(st.floats(0, 3), min_size=3, max_size=3), seed=st.integers(0, 99))
def test_a_strength_of_0_returns_an_equal_image(light: list[float], seed: int) -> None:
    image = noise_image(4, 6, seed)

    np.testing.assert_array_equal(correct(image, light, strength=0), image)


@pytest.mark.parametrize(
    ("pixel", "light", "strength", "corrected"),
    [
        ([60, 60, 60], (4, 0.25, 1), 0.5, [30, 120, 60]),  # strength is the power of the light
        ([60, 60, 60], (0, 2, 0.5), 1, [60, 30, 120]),  # no light leaves a channel as it is
        ([0, 1, 255], (1e-310,) * 3, 1, [0, 255, 255]),
        ([200, 100, 40], (0.5, 0.5, 0.5), 1, [255, 200, 80]),
    ],
)
def test_a_channel_is_divided_by_its_light_and_clipped(
    pixel: list[int], light: tuple[float, ...], strength: float, corrected: list[int]
) -> None:
    image = np.array([[pixel]], np.uint8)

    assert correct(image, light, strength=strength).tolist() == [[corrected]]


CALLS = [shades_of_gray, illuminant, lambda image: correct(image, [1, 1, 1])]


@pytest.mark.parametrize("call", CALLS)
def test_an_image_that_is_not_rgb_is_refused(call: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"`image` to be an RGB image .* but got shape \(2, 2\)"):
        call(np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("call", CALLS[:2])
@pytest.mark.parametrize(
    ("p", "error"),
    [(math.nan, ValueError), (0.5, ValueError), (-math.inf, ValueError), ("6", TypeError)],
)
def test_a_norm_below_1_is_refused(
    call: Callable[..., object], p: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="`p` to be a number of 1 or more, but got"):
        call(noise_image(2, 2, 0), p=p)


@pytest.mark.parametrize(
    ("light", "error", "got"),
    [
        ([1, 2], ValueError, r"shape \(2,\)"),
        ([[1, 2, 3]], ValueError, r"shape \(1, 3\)"),
        ([1, -1, 1], ValueError, r"\[1.0, -1.0, 1.0\]"),
        ([1, math.nan, 1], ValueError, r"\[1.0, nan, 1.0\]"),
        ([1, math.inf, 1], ValueError, r"\[1.0, inf, 1.0\]"),
        *((light, TypeError, "") for light in ("red", [1, "x", 2], [1, [2, 3]])),
    ],
)
def test_light_that_is_unfit_is_refused(light: Any, error: type[Exception], got: str) -> None:
    words = f"`illuminant` to be three finite numbers of 0 or more, but got {got}"
    with pytest.raises(error, match=words):
        correct(noise_image(2, 2, 0), light)


@pytest.mark.parametrize("strength", [-0.1, 1.5, math.nan])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"`strength` to be a number in 0\.\.1, but got"):
        correct(noise_image(2, 2, 0), [1, 1, 1], strength=strength)


@pytest.mark.data
def test_real_images_are_those_of_the_textbook_formula(data_dir: Path) -> None:
    for path in sorted((data_dir / "isic2018_task1" / "images").glob("*.jpg"))[::400]:
        image = read_image(path)

        corrected = shades_of_gray(image)

        exact = np.minimum(image / textbook_light(image, 6), 255)
        assert np.abs(corrected - exact).max() <= 0.5 + 1e-9

"""Hair removal by every method and fill; what is special to one is tested beside it."""

import re
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dermolib import list_fills, list_occlusion_methods, occlusion_mask, occlusion_removal
from dermolib._validation import Image
from dermolib.preprocessing import method_options
from drawing import hairy_image, noise_image

METHODS = ["line", "luv", "unet"]


@pytest.fixture(scope="module")
def hairy() -> Image:
    return hairy_image(320, 320, 4)[0]


def test_methods_and_fills_are_listed_by_name() -> None:
    assert set(METHODS) <= set(list_occlusion_methods())
    assert list_fills() == ["closing", "navier_stokes", "pyramid", "telea"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fill", [None, *list_fills()])
def test_every_method_and_fill_keeps_the_input_and_what_is_outside_the_mask(
    hairy: Image, method: str, fill: str | None
) -> None:
    before = hairy.copy()
    hairy.flags.writeable = False

    clean, mask = occlusion_removal(hairy, method=method, fill=fill, return_mask=True)

    np.testing.assert_array_equal(hairy, before)
    np.testing.assert_array_equal(clean[~mask], hairy[~mask])
    found = occlusion_mask(hairy, method=method)
    assert found.any()
    assert not (found & ~mask).any()
    assert (clean[found] != hairy[found]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_the_layout_in_memory_plays_no_part(hairy: Image, method: str) -> None:
    expected = occlusion_removal(hairy, method=method)

    for same in (hairy[:, ::-1].copy()[:, ::-1], np.asfortranarray(hairy)):
        np.testing.assert_array_equal(occlusion_removal(same, method=method), expected)


@pytest.mark.parametrize("method", METHODS)
def test_hair_that_was_removed_is_not_found_again(method: str) -> None:
    clean = occlusion_removal(hairy_image(512, 512, 0)[0], method=method)

    assert occlusion_mask(clean, method=method).mean() < 0.01


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 2), (33, 700), (150, 200)])
def test_an_image_of_one_color_is_a_fixed_point(level: int, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), level, np.uint8)

    for method in METHODS if min(shape) > 2 else ["line", "unet"]:  # "luv" refuses small images
        clean, mask = occlusion_removal(image, method=method, return_mask=True)

        assert mask.shape == shape
        assert not mask.any()
        np.testing.assert_array_equal(clean, image)


@pytest.mark.parametrize("method", ["line", "unet"])
def test_hair_lighter_than_the_skin_is_found_too(method: str) -> None:
    image = np.full((512, 512, 3), (120, 80, 65), np.uint8)
    cv2.line(image, (40, 60), (470, 400), (190, 170, 150), 4, cv2.LINE_AA)
    drawn = image[..., 0] > 150

    mask = occlusion_mask(image, method=method)

    assert 2 * (mask & drawn).sum() / (mask.sum() + drawn.sum()) > 0.75


@pytest.mark.parametrize("method", ["line", "unet"])
@pytest.mark.parametrize("factor", [0.5, 2, 3.3])
def test_the_mask_scales_and_turns_with_the_image(method: str, factor: float) -> None:
    image = hairy_image(512, 600, 5)[0]
    size = (round(600 * factor), round(512 * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

    mask = occlusion_mask(image, method=method)
    turned = occlusion_mask(np.rot90(image), method=method)
    scaled = occlusion_mask(cv2.resize(image, size, interpolation=way), method=method)  # type: ignore[arg-type]  # uint8, as the image is

    back = cv2.resize(scaled.astype(np.float32), (600, 512), interpolation=cv2.INTER_AREA) >= 0.5
    for other in (back, np.rot90(turned, -1)):
        assert 2 * (other & mask).sum() / (other.sum() + mask.sum()) > 0.8


@pytest.mark.parametrize(
    ("options", "kind", "fragment"),
    [
        ({"method": "lub"}, ValueError, "but got 'lub'. Did you mean 'luv'?"),
        ({"method": 3}, ValueError, "'line', 'luv', 'unet', but got 3."),
        ({"fill": "tela"}, ValueError, "but got 'tela'. Did you mean 'telea'?"),
        ({"margin": -1}, ValueError, "`margin` to be a number in 0..512, but got -1."),
        ({"size": 3}, TypeError, "`size` to be one of the options of 'luv', radius, low, high"),
        ({"radius": 0}, ValueError, "`radius` to be a number above 0 and up to 512, but got"),
        ({"radius": "5"}, TypeError, "above 0 and up to 512, but got '5' of type str."),
        ({"low": 20}, ValueError, "`low` to be a number in 0..14, but got 20."),
        ({"high": 101}, ValueError, "`high` to be a number in 0..100, but got 101."),
        ({"min_area": -1}, ValueError, "`min_area` to be a number of 0 or more, but got -1."),
        ({"method": "line", "high": 4}, ValueError, "`high` to be a number in 0..3, but got 4."),
        ({"method": "line", "low": 1.5}, ValueError, "`low` to be a number in 0..0.85"),
        ({"method": "line", "min_length": -1}, ValueError, "`min_length` to be a number of 0"),
        ({"method": "line", "edge": 0}, ValueError, "`edge` to be a number in 0.05..0.95"),
        ({"method": "line", "light": 3}, ValueError, "`light` to be a number in 0..2"),
        ({"method": "unet", "threshold": 0}, ValueError, "`threshold` to be a number in 0.001..0"),
        ({"method": "unet", "certain": 2}, ValueError, "`certain` to be a number in 0.001..0.999"),
        ({"method": "unet", "min_area": -1}, ValueError, "`min_area` to be a number of 0 or more"),
    ],
)
def test_an_unfit_option_is_refused(options: Any, kind: type[Exception], fragment: str) -> None:
    with pytest.raises(kind, match=re.escape(fragment)):
        occlusion_removal(noise_image(64, 64, 0), **{"method": "luv", **options})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("image", "kind", "fragment"),
    [
        (np.full((8, 8, 3), np.nan), TypeError, "dtype float64. Scale values in [0, 1]"),
        (np.zeros((8, 8), np.uint8), ValueError, "shape (8, 8). Repeat a gray image"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, "shape (0, 8, 3)."),
        (torch.zeros(3, 8, 8), TypeError, "type Tensor. Convert it with `numpy.asarray`"),
    ],
)
def test_what_is_not_an_rgb_image_is_refused_with_a_hint(
    method: str, image: Any, kind: type[Exception], fragment: str
) -> None:
    for remove in (occlusion_removal, occlusion_mask):
        with pytest.raises(kind, match=re.escape(fragment)):
            remove(image, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_found_is_what_is_replaced(hairy: Image, method: str) -> None:
    mask = occlusion_removal(hairy, method=method, return_mask=True)[1]

    np.testing.assert_array_equal(mask, occlusion_mask(hairy, method=method))


def test_a_margin_is_replaced_too_and_scales_with_the_image() -> None:
    image = np.full((1024, 1024, 3), 200, np.uint8)
    image[:, 500:508] = 40

    clean, mask = occlusion_removal(image, method="luv", margin=1.5, return_mask=True)

    assert mask.sum() == 1024 * (8 + 2 * 3)
    np.testing.assert_array_equal(clean, 200)


def test_options_are_completed_by_the_defaults() -> None:
    expected = {"threshold": 0.4, "certain": 0.85, "min_area": 20}

    assert method_options("unet", {"threshold": 0.4}) == expected


def test_the_default_is_the_best_of_the_benchmark(hairy: Image) -> None:
    best = occlusion_removal(hairy, method="unet", fill="pyramid")

    np.testing.assert_array_equal(occlusion_removal(hairy), best)
    np.testing.assert_array_equal(occlusion_mask(hairy), occlusion_mask(hairy, method="unet"))

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from dermolib import occlusion_mask
from dermolib._validation import Image, Mask
from dermolib.io import read_image
from drawing import hairy_image, noise_image


def find_lines(image: Image, **options: float) -> Mask:
    return occlusion_mask(image, method="line", **options)


def plain(size: int = 512, color: tuple[int, int, int] = (205, 165, 145)) -> Image:
    """Draw skin of one color."""
    return np.full((size, size, 3), color, np.uint8)


def with_noise(image: Image, seed: int = 0) -> Image:
    """Add noise of a few levels."""
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def dice(found: Mask, true: Mask) -> float:
    return float(2 * (found & true).sum() / max(found.sum() + true.sum(), 1))


@pytest.mark.parametrize("width", [2, 4, 7])
@pytest.mark.parametrize(
    ("skin", "hair"), [((205, 165, 145), (60, 40, 35)), ((110, 70, 60), (190, 165, 140))]
)
def test_a_straight_hair_is_found_in_its_width_dark_or_light(
    width: int, skin: Any, hair: Any
) -> None:
    image = plain(color=skin)
    cv2.line(image, (40, 60), (470, 400), hair, width, cv2.LINE_AA)
    drawn = np.abs(image.astype(int) - skin).max(axis=2) > 40

    assert dice(find_lines(with_noise(image)), drawn) > 0.8


def test_curved_and_crossing_hair_is_found() -> None:
    image = plain()
    cv2.ellipse(image, (256, 300), (180, 150), 0, 180, 350, (60, 40, 35), 4, cv2.LINE_AA)
    cv2.line(image, (100, 20), (400, 480), (60, 40, 35), 3, cv2.LINE_AA)
    drawn = image[..., 0] < 150

    assert dice(find_lines(with_noise(image)), drawn) > 0.85


def test_drawn_hair_of_all_kinds_is_found() -> None:
    pairs = [hairy_image(400, 400, seed) for seed in range(6)]

    assert np.mean([dice(find_lines(image), true) for image, true in pairs]) > 0.75


def test_disks_and_dark_corners_are_left_alone() -> None:
    image = plain()
    for x in range(60, 480, 60):
        cv2.circle(image, (x, 100), 9, (60, 40, 35), -1, cv2.LINE_AA)
    distance = np.hypot(*(np.indices(image.shape[:2]) - 255.5))
    dark = np.clip((distance - 250) / 20, 0, 1)[..., None]
    image = (image * (1 - dark)).astype(np.uint8)

    assert find_lines(with_noise(image)).mean() < 0.003


@pytest.mark.parametrize("level", [0, 128, 255])
def test_noise_has_an_empty_mask(level: int) -> None:
    assert not find_lines(with_noise(plain(300), level)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (31, 400), (2, 2)])
def test_an_image_that_is_too_small_for_hair_has_an_empty_mask(shape: tuple[int, int]) -> None:
    mask = find_lines(noise_image(*shape, 0))

    assert mask.shape == shape
    assert not mask.any()


@pytest.mark.parametrize("tall", [False, True])
def test_a_long_image_is_searched_in_pieces_that_fit_together(tall: bool) -> None:
    image = np.full((160, 1700, 3), (205, 165, 145), np.uint8)
    image[80:82] = (60, 40, 35)
    image = np.ascontiguousarray(image.swapaxes(0, 1)) if tall else image

    mask = find_lines(image)

    mask = mask.T if tall else mask
    assert mask[80:82, 10:1690].mean() > 0.95
    assert mask.mean() < 0.1


def test_options_narrow_what_is_found() -> None:
    image = plain()
    cv2.line(image, (20, 100), (490, 130), (60, 40, 35), 4, cv2.LINE_AA)
    cv2.line(image, (40, 300), (110, 330), (60, 40, 35), 4, cv2.LINE_AA)
    cv2.line(image, (20, 420), (490, 400), (250, 240, 230), 4, cv2.LINE_AA)

    everything = find_lines(image, min_length=0)

    assert everything[100:130].any()
    assert everything[300:330].any()
    assert everything[400:420].any()
    assert not find_lines(image, min_length=150)[300:330].any()
    assert not find_lines(image, light=0)[400:420].any()
    assert find_lines(image, edge=0.7).sum() < find_lines(image, edge=0.2).sum()


@pytest.mark.data
def test_hair_free_photographs_are_left_nearly_alone(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    flags = pd.read_csv(folder / "artefacts.csv").sort_values("ID")
    names = flags[flags.drop(columns="ID").sum(axis=1) == 0]["ID"][1::6]

    masks = [find_lines(read_image(folder / "images" / f"{name}.jpg")) for name in names]

    assert np.mean([mask.mean() for mask in masks]) < 0.003

"""Lesions by thresholds: drawn ones are found, and the mask of any image is one piece or empty."""

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from skimage.measure import euler_number, label

import dermolib
from dermolib._validation import Image, Mask
from dermolib.io import read_image, read_mask
from drawing import ellipse, noise_image

segment_lesion = partial(dermolib.segment_lesion, method="classical")

SKIN = (225, 180, 160)
LESION = (110, 70, 50)


def skin(height: int, width: int, seed: int = 0) -> Image:
    """Draw skin with a little noise."""
    noise = np.random.default_rng(seed).integers(-8, 9, (height, width, 3))
    return (np.array(SKIN) + noise).astype(np.uint8)


def with_lesion(image: Image, lesion: Mask, color: tuple[int, int, int] = LESION) -> Image:
    return np.where(lesion[..., None], np.array(color, np.uint8), image)


def jaccard(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("size", [(60, 90), (512, 512), (333, 701)])
def test_a_drawn_lesion_is_found(size: tuple[int, int]) -> None:
    lesion = ellipse(*size)

    mask = segment_lesion(with_lesion(skin(*size), lesion))

    assert mask.dtype == np.bool_
    assert mask.shape == size
    assert jaccard(mask, lesion) > 0.93


@settings(max_examples=40)
@given(
    middle=st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
    radii=st.tuples(st.floats(0.1, 0.35), st.floats(0.1, 0.35)),
    seed=st.integers(0, 99),
)
def test_a_lesion_is_found_in_its_place_whatever_its_size(
    middle: tuple[float, float], radii: tuple[float, float], seed: int
) -> None:
    lesion = ellipse(240, 320, middle, radii)

    mask = segment_lesion(with_lesion(skin(240, 320, seed), lesion))

    assert jaccard(mask, lesion) > 0.85


def test_a_pale_lesion_with_a_dark_core_is_found_as_a_whole() -> None:
    lesion, core = ellipse(300, 300), ellipse(300, 300, radii=(0.09, 0.08))
    image = with_lesion(with_lesion(skin(300, 300), lesion, (200, 150, 125)), core, (40, 25, 20))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    one_threshold = gray <= threshold_otsu(gray)

    mask = segment_lesion(image)

    assert jaccard(mask, lesion) > 0.9
    assert jaccard(one_threshold, lesion) < 0.3


def test_dark_corners_are_not_a_lesion() -> None:
    lesion, field = ellipse(300, 300, radii=(0.15, 0.15)), ellipse(300, 300, radii=(0.5, 0.5))
    image = np.where(field[..., None], with_lesion(skin(300, 300), lesion), np.uint8(3))

    mask = segment_lesion(image)

    assert jaccard(mask, lesion) > 0.9
    assert not (mask & ~field).any()


def test_hair_across_a_lesion_is_not_outlined() -> None:
    lesion = ellipse(400, 400)
    image = with_lesion(skin(400, 400), lesion)
    for start in range(0, 400, 80):
        cv2.line(image, (start, 0), (400 - start // 2, 399), (30, 20, 15), 4)

    assert jaccard(segment_lesion(image), lesion) > 0.85


def test_of_two_dark_spots_the_central_one_is_the_lesion() -> None:
    center = ellipse(200, 200, radii=(0.12, 0.12))
    corner = ellipse(200, 200, (0.12, 0.15), (0.11, 0.11))

    mask = segment_lesion(with_lesion(skin(200, 200), center | corner))

    assert jaccard(mask, center) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (80, 100), (300, 1)])
@pytest.mark.parametrize("color", [0, 90, SKIN, 255])
def test_an_image_that_shows_nothing_has_a_mask_that_is_false_everywhere(
    size: tuple[int, int], color: Any
) -> None:
    mask = segment_lesion(np.full((*size, 3), color, np.uint8))

    assert mask.shape == size
    assert not mask.any()


def test_of_a_lesion_that_fills_the_frame_a_part_is_found() -> None:
    light = np.linspace(0.8, 1.2, 200)[:, None, None]
    image = (np.array(LESION) * light).repeat(200, axis=1).astype(np.uint8)

    mask = segment_lesion(image)

    assert mask.any()
    assert image[mask].mean() < image[~mask].mean()


@settings(max_examples=60)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 999))
def test_the_mask_of_any_image_has_its_size_and_is_one_piece_without_holes(
    height: int, width: int, seed: int
) -> None:
    image = noise_image(height, width, seed)

    mask = segment_lesion(image)

    assert mask.shape == (height, width)
    if mask.any():
        # Pieces meet at corners too, so that holes are those of four neighbors
        assert label(mask, connectivity=2).max() == 1
        assert euler_number(np.pad(mask, 1), connectivity=2) == 1


def test_any_view_gets_the_same_mask_and_is_not_modified() -> None:
    whole = with_lesion(skin(240, 320), ellipse(240, 320))
    view, before = whole[::2, ::-1], whole.copy()
    view.flags.writeable = False

    mask = segment_lesion(view)

    np.testing.assert_array_equal(mask, segment_lesion(view.copy()))
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.rot90, lambda image: image[::-1, ::-1]])
def test_a_flipped_or_turned_image_gets_nearly_the_flipped_or_turned_mask(turn: Any) -> None:
    image = with_lesion(skin(240, 320), ellipse(240, 320, (0.45, 0.55)))

    assert jaccard(segment_lesion(turn(image)), turn(segment_lesion(image))) > 0.97


@settings(max_examples=30)
@given(low=st.floats(0.05, 1), high=st.floats(0.05, 1))
def test_a_lower_agreement_gives_a_mask_that_is_no_smaller(low: float, high: float) -> None:
    low, high = sorted((low, high))
    core, lesion = ellipse(120, 160, radii=(0.1, 0.1)), ellipse(120, 160)
    image = with_lesion(with_lesion(skin(120, 160), lesion, (180, 130, 100)), core)

    larger, smaller = (segment_lesion(image, agreement=value) for value in (low, high))

    assert smaller.any()
    assert larger.sum() >= smaller.sum()


AGREEMENT = "`agreement` to be a number above 0 and up to 1, but got"


@pytest.mark.parametrize(("agreement", "error"), [(0, ValueError), ("half", TypeError)])
def test_an_agreement_out_of_range_is_refused(agreement: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=AGREEMENT):
        segment_lesion(skin(4, 4), agreement=agreement)


@pytest.mark.data
def test_real_lesions_are_found_better_than_by_one_threshold(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    images = sorted((folder / "images").glob("*.jpg"))[1::50]
    found, plain = [], []

    for path in images:
        image = read_image(path)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        truth = read_mask(folder / "masks" / f"{path.stem}_segmentation.png")
        found.append(jaccard(segment_lesion(image), truth))
        plain.append(jaccard(gray <= threshold_otsu(gray), truth))

    assert np.mean(found) > 0.75
    assert np.mean(found) > np.mean(plain) + 0.1

"""What counts as blank, and the seed of each draw."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib._validation import Image
from dermolib.augmentation import is_blank
from dermolib.augmentation.offline import draw_seed
from dermolib.io import read_image


def pixels(*, lit: float, varied: float, side: int = 100) -> Image:
    """Make an image of which these fractions of the pixels are lit, or differ from the others."""
    image = np.zeros((side, side, 3), np.uint8)
    flat = image.reshape(-1, 3)
    flat[: round(lit * side * side), 1] = 60
    flat[: round(varied * side * side), 2] = 9
    return image


@pytest.mark.parametrize("value", [0, 24, 120, 255])
def test_an_image_of_one_colour_is_blank(value: int) -> None:
    assert is_blank(np.full((30, 40, 3), value, np.uint8))


def test_an_image_almost_all_black_is_blank() -> None:
    assert is_blank(pixels(lit=0.19, varied=0))
    assert not is_blank(pixels(lit=0.21, varied=0))


def test_an_image_almost_all_of_one_colour_is_blank() -> None:
    gray = np.full((100, 100, 3), 150, np.uint8)

    assert is_blank(gray + pixels(lit=0, varied=0.01))
    assert not is_blank(gray + pixels(lit=0, varied=0.03))


def test_a_difference_of_eight_levels_is_none() -> None:
    image = np.full((100, 100, 3), 150, np.uint8)
    image[:40] += 8

    assert is_blank(image)


def test_the_bounds_can_be_moved() -> None:
    image = pixels(lit=0.3, varied=0)

    assert is_blank(image, min_lit=0.4)
    assert is_blank(image, min_varied=0.4)
    assert not is_blank(np.zeros((9, 9, 3), np.uint8), min_lit=0, min_varied=0)


@pytest.mark.data
def test_no_real_image_is_blank(data_dir: Path) -> None:
    paths = sorted((data_dir / "isic_challenge" / "Train").glob("*.jpg"))[::40]

    assert not [path.name for path in paths if is_blank(read_image(path))]


@given(side=st.integers(1, 300), value=st.integers(0, 255))
def test_blank_does_not_depend_on_the_size(side: int, value: int) -> None:
    assert is_blank(np.full((side, 2 * side, 3), value, np.uint8))


def test_floats_and_fractions_out_of_range_are_refused() -> None:
    with pytest.raises(TypeError, match="Expected `image` to be an RGB image"):
        is_blank(np.zeros((9, 9, 3)))  # type: ignore[arg-type]
    image = np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(ValueError, match=r"Expected `min_lit` to be a number in 0..1, but got 2."):
        is_blank(image, min_lit=2)
    with pytest.raises(ValueError, match=r"Expected `min_varied` to be a number in 0..1, but got"):
        is_blank(image, min_varied=-1)


def test_the_seed_of_a_draw_is_what_it_has_always_been() -> None:
    assert draw_seed(0, "ISIC_0024306", 1, 1) == 6018188234328354788


NUMBERS = st.integers(0, 2**70)
NAMED = st.tuples(NUMBERS, st.text(), NUMBERS, NUMBERS)


@given(first=NAMED, second=NAMED)
def test_what_names_a_draw_decides_its_seed(
    first: tuple[int, str, int, int], second: tuple[int, str, int, int]
) -> None:
    assert (draw_seed(*first) == draw_seed(*second)) == (first == second)
    assert 0 <= draw_seed(*first) < 2**63

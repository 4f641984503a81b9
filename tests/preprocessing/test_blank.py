"""Which images show nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.io import read_image
from dermolib.preprocessing import is_blank


def pixels(*, lit: float, varied: float) -> Any:
    """Make an image of which these fractions of the pixels are lit, or differ from the others."""
    image = np.zeros((100, 100, 3), np.uint8)
    flat = image.reshape(-1, 3)
    flat[: round(lit * 10_000), 1] = 60
    flat[: round(varied * 10_000), 2] = 9
    return image


GRAY = np.full((100, 100, 3), 150, np.uint8)


@pytest.mark.parametrize(
    ("image", "options", "blank"),
    [
        (pixels(lit=0.19, varied=0), {}, True),
        (pixels(lit=0.21, varied=0), {}, False),
        (GRAY + pixels(lit=0, varied=0.01), {}, True),
        (GRAY + pixels(lit=0, varied=0.03), {}, False),
        (GRAY + (8 * np.eye(100, dtype=np.uint8)[..., None]), {}, True),  # too little to count
        (pixels(lit=0.3, varied=0), {"min_lit": 0.4}, True),
        (pixels(lit=0.3, varied=0), {"min_varied": 0.4}, True),
        (GRAY * 0, {"min_lit": 0, "min_varied": 0}, False),
    ],
)
def test_an_image_almost_all_black_or_of_one_color_is_blank(
    image: Any, options: dict[str, Any], blank: bool
) -> None:
    assert is_blank(image, **options) == blank


def test_skin_without_a_lesion_is_not_blank_however_even() -> None:
    generator = np.random.default_rng(0)
    skin = np.array([214, 170, 150]) + generator.normal(0, 1.5, (150, 200, 3))
    shaded = np.array([214, 170, 150]) + np.linspace(-4, 4, 200)[:, None] + np.zeros((150, 1, 3))

    for image in (skin, shaded):
        assert not is_blank(np.rint(image).astype(np.uint8))


@pytest.mark.parametrize("level", [0, 10, 253, 255])
def test_noise_on_black_or_white_is_blank(level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 3, (90, 120, 3))

    assert is_blank(np.clip(noise, 0, 255).astype(np.uint8))


@given(side=st.integers(1, 300), value=st.integers(0, 255))
def test_an_image_of_one_color_is_blank_at_any_size(side: int, value: int) -> None:
    assert is_blank(np.full((side, 2 * side, 3), value, np.uint8))


@pytest.mark.data
def test_no_real_image_is_blank(data_dir: Path) -> None:
    paths = sorted((data_dir / "isic_challenge" / "Train").glob("*.jpg"))[::40]

    assert not [path.name for path in paths if is_blank(read_image(path))]


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (GRAY / 255, {}, TypeError, "`image` to be an RGB image"),
        (GRAY, {"min_lit": 2}, ValueError, r"`min_lit` to be a number in 0\.\.1, but got 2"),
        (GRAY, {"min_varied": -1}, ValueError, r"`min_varied` to be a number in 0\.\.1, but got"),
    ],
)
def test_floats_and_fractions_out_of_range_are_refused(
    image: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        is_blank(image, **options)

"""Images of another aspect ratio: which pixels of a drawn image lie where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.augmentation.recipes import HOLE
from dermolib.io import MAX_PIXELS, resize_image
from dermolib.preprocessing.aspect_ratio import FITS, PADDING, center, inner_size
from drawing import noise_image

SIDES = st.integers(1, 300)


@pytest.mark.parametrize(
    ("fit", "rows", "expected"),
    [
        ("pad", 2, [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]),
        ("pad", 1, [[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0]]),
        ("squeeze", 2, [[1, 2, 3, 4], [5, 6, 7, 8]]),
    ],
)
def test_lines_of_padding_lie_around_an_image_and_the_odd_one_below(
    fit: str, rows: int, expected: list[list[int]]
) -> None:
    image = np.arange(1, 9).reshape(2, 4)[:rows]

    size = len(expected), 4

    assert center(image, size, 0).tolist() == expected
    assert inner_size(image.shape, size, fit) == image.shape


def test_a_crop_keeps_the_middle_of_the_longer_side() -> None:
    image = noise_image(4, 7, 0)

    assert inner_size(image.shape, (4, 4), "crop") == (4, 7)
    np.testing.assert_array_equal(center(image, (4, 4), PADDING), image[:, 1:5])


@given(height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES))
def test_an_aspect_ratio_is_kept_up_to_a_pixel_within_or_around_the_size(
    height: int, width: int, size: tuple[int, int]
) -> None:
    squeezed, within, around = (inner_size((height, width), size, fit) for fit in FITS)

    assert squeezed == size
    assert all(a <= b <= c for a, b, c in zip(within, size, around, strict=True))
    for inner in (within, around):
        scale = max(inner) / max(height, width)
        assert any(a == b for a, b in zip(inner, size, strict=True))
        assert abs(inner[0] - max(1, height * scale)) <= 0.5 + 0.5 * height / max(height, width)
        assert abs(inner[1] - max(1, width * scale)) <= 0.5 + 0.5 * width / max(height, width)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_wanted_aspect_ratio_is_resized_alone(fit: str) -> None:
    image = noise_image(60, 90, 0)
    inner = inner_size(image.shape, (20, 30), fit)

    made = center(resize_image(image, inner), (20, 30), PADDING)

    np.testing.assert_array_equal(made, resize_image(image, (20, 30)))


def test_what_would_be_cropped_from_too_many_pixels_is_refused() -> None:
    message = r"`image` to be of an aspect ratio nearer to 224 x 224 px, but got 1 x 9000 px"

    assert MAX_PIXELS < 224 * 224 * 9000
    with pytest.raises(ValueError, match=message):
        inner_size((1, 9000), (224, 224), "crop")
    assert inner_size((1, 9000), (224, 224), "pad") == (1, 224)


def test_the_padding_is_the_color_of_the_holes_of_a_cutout() -> None:
    assert PADDING == HOLE

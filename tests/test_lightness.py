import numpy as np
import pytest
from skimage.color.colorconv import rgb2luv

from dermolib.preprocessing import lightness
from drawing import noise_image


def every_colour_of(reds: range) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    values = np.arange(256)
    grid = np.stack(np.meshgrid(np.array(reds), values, values, indexing="ij"), axis=-1)
    return grid.reshape(len(reds), -1, 3).astype(np.uint8)


@pytest.mark.parametrize("first", [0, 85, 170, 251])
def test_lightness_equals_the_rounded_luv_of_scikit_image_for_every_green_and_blue(
    first: int,
) -> None:
    image = every_colour_of(range(first, 256, 64))

    textbook = np.rint(2.55 * rgb2luv(image)[..., 0])

    np.testing.assert_array_equal(lightness(image), textbook)


def test_black_is_0_and_white_is_255() -> None:
    assert lightness(np.zeros((1, 1, 3), np.uint8)).item() == 0
    assert lightness(np.full((1, 1, 3), 255, np.uint8)).item() == 255


def test_a_strided_read_only_image_gives_the_same_and_stays_as_it_is() -> None:
    image = noise_image(20, 30, 0)
    view = image[::2, ::-1]
    view.flags.writeable = False
    before = image.copy()

    np.testing.assert_array_equal(lightness(view), lightness(np.ascontiguousarray(view)))
    np.testing.assert_array_equal(image, before)

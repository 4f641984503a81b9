"""Random shades of gray: between the image as it is and the one under neutral light."""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib import shades_of_gray
from dermolib.augmentation import RandomShadesOfGray
from dermolib.preprocessing.color import correct, illuminant
from drawing import noise_image


def drawn(transform: RandomShadesOfGray, image: Any, seed: int = 0) -> Any:
    transform.set_random_seed(seed)
    return transform(image=image)["image"]


def test_a_strength_of_one_is_shades_of_gray_and_one_of_zero_is_nothing() -> None:
    image = noise_image(9, 12, 0) // np.array([1, 2, 3], np.uint8)

    whole = drawn(RandomShadesOfGray(strength=(1, 1), p=1), image)
    nothing = drawn(RandomShadesOfGray(strength=(0, 0), p=1), image)

    np.testing.assert_array_equal(whole, shades_of_gray(image))
    np.testing.assert_array_equal(nothing, image)


@given(seed=st.integers(0, 2**32 - 1), norm=st.sampled_from([1, 2.5, 6]))
def test_the_fraction_that_is_drawn_is_divided_out_of_the_image(seed: int, norm: float) -> None:
    image = noise_image(8, 8, seed) // np.array([1, 2, 3], np.uint8)
    transform = RandomShadesOfGray(strength=(0.2, 0.7), norm=norm, p=1)

    result = drawn(transform, image, seed)

    strength = transform.params["strength"]
    reference = correct(image, illuminant(image, p=norm), strength=strength)
    assert 0.2 <= strength <= 0.7
    np.testing.assert_array_equal(result, reference)


def test_draws_differ_and_the_same_seed_gives_the_same() -> None:
    image = noise_image(8, 8, 0) // np.array([1, 2, 3], np.uint8)
    transform = RandomShadesOfGray(p=1)

    draws = [drawn(transform, image, seed).tobytes() for seed in (0, 1, 2, 0)]

    assert len(set(draws)) == 3
    assert draws[0] == draws[3]


def test_it_is_a_transform_of_any_pipeline_and_leaves_mask_and_input_alone() -> None:
    image = noise_image(8, 8, 0) // np.array([1, 2, 3], np.uint8)
    kept, mask = image.copy(), np.eye(8, dtype=np.uint8)
    pipeline = A.Compose([A.HorizontalFlip(p=1), RandomShadesOfGray(strength=(1, 1), p=1)])

    result = pipeline(image=image, mask=mask)

    np.testing.assert_array_equal(result["image"], shades_of_gray(image)[:, ::-1])
    np.testing.assert_array_equal(result["mask"], mask[:, ::-1])
    np.testing.assert_array_equal(image, kept)


def test_it_survives_the_way_through_a_dictionary() -> None:
    transform = RandomShadesOfGray(strength=(0.25, 0.5), norm=2, p=0.3)

    copy = A.from_dict(A.to_dict(transform))

    assert (copy.strength, copy.norm, copy.p) == ((0.25, 0.5), 2, 0.3)


def test_a_probability_of_zero_never_applies_it() -> None:
    image = noise_image(8, 8, 0)

    assert drawn(RandomShadesOfGray(p=0), image) is image


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        *(
            ({"strength": strength}, TypeError, "`strength` to be a pair of numbers")
            for strength in (0.5, (0.1, 0.2, 0.3), {0.1, 0.2}, "ab")
        ),
        ({"strength": ("a", "b")}, TypeError, r"`strength\[0\]` to be a number in 0\.\.1"),
        ({"strength": (-1, 1)}, ValueError, r"`strength\[0\]` to be a number in 0\.\.1"),
        ({"strength": (0.5, 0.4)}, ValueError, r"`strength\[1\]` to be a number in 0\.5\.\.1"),
        ({"strength": (0, 1.5)}, ValueError, r"`strength\[1\]` to be a number in 0\.\.1"),
        ({"norm": 0.5}, ValueError, "`norm` to be a number of 1 or more"),
        ({"p": 2}, ValueError, r"`p` to be a number in 0\.\.1"),
    ],
)
def test_an_unfit_option_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RandomShadesOfGray(**options)


def test_an_image_of_floats_is_refused() -> None:
    with pytest.raises(TypeError, match="`image` to be an RGB image"):
        RandomShadesOfGray(p=1)(image=np.zeros((4, 4, 3)))

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.synthetic.hair import VISIBLE_CHANGE, draw_hair, keep_visible


def _skin(height: int = 64, width: int = 80) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    return (np.array([205, 165, 150]) + noise).astype(np.uint8)


def test_no_density_means_no_hair() -> None:
    image = _skin()

    hairy, mask = draw_hair(image, density=0, generator=np.random.default_rng(0))

    assert (hairy == image).all()
    assert hairy is not image
    assert not mask.any()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    density=st.floats(0.001, 0.5),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
)
def test_the_mask_is_exactly_where_the_image_changed(
    seed: int, density: float, height: int, width: int
) -> None:
    image = _skin(height, width)
    before = image.copy()

    hairy, mask = draw_hair(image, density=density, generator=np.random.default_rng(seed))

    change = np.abs(hairy.astype(int) - image).max(axis=2)
    assert ((change > 0) == mask).all()
    assert (change[mask] >= VISIBLE_CHANGE).all()
    assert (image == before).all()


@pytest.mark.parametrize("density", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("side", [128, 600])
def test_the_share_of_the_mask_is_near_the_density(density: float, side: int) -> None:
    image = np.full((side, side, 3), 128, np.uint8)

    shares = [
        draw_hair(image, density=density, generator=np.random.default_rng(seed))[1].mean()
        for seed in range(8)
    ]

    assert 0.6 * density < np.mean(shares) < 1.4 * density


def test_the_same_generator_state_draws_the_same_hair_and_another_does_not() -> None:
    first, again, other = (
        draw_hair(_skin(), generator=np.random.default_rng(seed))[0] for seed in (4, 4, 5)
    )

    assert (first == again).all()
    assert (first != other).any()


def test_hair_of_the_skins_own_colour_is_in_no_mask() -> None:
    image = np.full((40, 40, 3), 90, np.uint8)

    masks = [
        draw_hair(image, density=0.3, generator=np.random.default_rng(seed)) for seed in range(20)
    ]

    for hairy, mask in masks:
        assert (hairy[~mask] == 90).all()


def test_changes_below_the_threshold_are_undone_pixel_by_pixel() -> None:
    generator = np.random.default_rng(1)
    clean = generator.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    moved = np.clip(clean + generator.integers(-8, 9, clean.shape), 0, 255).astype(np.uint8)

    image, mask = keep_visible(clean, moved)

    for row in range(12):
        for column in range(9):
            pairs = zip(clean[row, column].tolist(), moved[row, column].tolist(), strict=True)
            visible = any(abs(after - before) >= VISIBLE_CHANGE for before, after in pairs)
            assert mask[row, column] == visible
            kept = moved if visible else clean
            assert (image[row, column] == kept[row, column]).all()


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        (
            {"image": np.zeros((4, 4), np.uint8)},
            ValueError,
            "Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got shape (4, 4). "
            "Repeat a grey image with `numpy.repeat(image[..., None], 3, axis=2)`.",
        ),
        (
            {"density": 0.6},
            ValueError,
            "Expected `density` to be a number in 0..0.5, but got 0.6.",
        ),
        (
            {"density": "thick"},
            TypeError,
            "Expected `density` to be a number in 0..0.5, but got 'thick' of type str.",
        ),
        (
            {"generator": 0},
            TypeError,
            "Expected `generator` to be a numpy.random.Generator, but got an object of type int. "
            "Make one with `numpy.random.default_rng(seed)`.",
        ),
    ],
)
def test_bad_arguments_are_refused(
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    arguments: dict[str, Any] = {"image": _skin(), "generator": np.random.default_rng(0)} | options
    image = arguments.pop("image")

    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        draw_hair(image, **arguments)


def test_two_images_of_different_shape_are_no_change() -> None:
    sentence = "Expected `changed` to be an image of shape (64, 80, 3), but got (64, 81, 3)."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        keep_visible(_skin(), _skin(64, 81))


@pytest.mark.parametrize("place", ["clean", "changed"])
def test_what_is_no_image_has_no_change(place: str) -> None:
    images: dict[str, Any] = {"clean": _skin(), "changed": _skin()} | {place: np.zeros((64, 80, 3))}

    sentence = (
        f"Expected `{place}` to be an RGB image (H, W, 3) of dtype uint8, but got dtype float64. "
        "Scale values in [0, 1] with `(image * 255).round().astype('uint8')`."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        keep_visible(**images)

"""From the network's grid to the lesion: smooth outlines, no invented ones, honest confidence."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import euler_number, label

from dermolib._validation import Image, Mask
from dermolib.preprocessing.lesion import (
    OPTIMISM,
    confidence,
    find_by_network,
    judged,
    lesion_mask,
    probability_map,
)
from dermolib.preprocessing.picture import Picture
from drawing import ellipse, noise_image

GRID = 96


def picture(probability: npt.NDArray[np.floating], presence: float = 0.9) -> Picture:
    """Make what the network could have seen."""
    values, where = np.zeros(7, np.float32), np.zeros((7, 4, 4), np.float32)
    return Picture(probability.astype(np.float32), presence, values, where)


def blurred(mask: Mask) -> npt.NDArray[np.float64]:
    """Give a mask of the grid probabilities, sure of all but the pixels at its edge."""
    return np.where(mask, 0.99, 0.01)


def jaccard(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("size", [(96, 96), (600, 800), (1024, 300), (40, 30)])
def test_an_outline_comes_back_to_the_size_of_the_image(size: tuple[int, int]) -> None:
    seen = picture(blurred(ellipse(GRID, GRID)))

    mask = lesion_mask(seen, size)

    assert mask.shape == size
    assert mask.dtype == np.bool_
    assert jaccard(mask, ellipse(*size)) > 0.95


def test_an_enlarged_outline_has_no_steps() -> None:
    rows = np.arange(GRID) - GRID / 2 + 0.5
    distance = 24 - np.hypot(rows[:, None], rows)  # a disk whose probability falls off at its rim
    mask = lesion_mask(picture(1 / (1 + np.exp(-distance))), (960, 960))

    rows = np.arange(960) - 479.5
    radius = np.hypot(rows[:, None], rows)
    assert mask[radius < 238.5].all()
    assert not mask[radius > 241.5].any()


def test_where_no_lesion_is_probable_none_is_outlined() -> None:
    seen = picture(blurred(ellipse(GRID, GRID)), presence=0.4)

    assert not lesion_mask(seen, (200, 200)).any()
    assert lesion_mask(seen, (200, 200), presence=0.4).any()
    assert confidence(seen, lesion_mask(seen, (200, 200))) == 0


def test_nothing_above_the_threshold_is_an_empty_mask() -> None:
    seen = picture(np.full((GRID, GRID), 0.3))

    assert not lesion_mask(seen, (50, 50)).any()
    assert lesion_mask(seen, (50, 50), threshold=0.2).all()


def test_a_lesion_that_fills_the_frame_is_true_everywhere() -> None:
    assert lesion_mask(picture(np.full((GRID, GRID), 0.9)), (300, 400)).all()


def test_the_most_probable_piece_is_the_lesion_and_its_holes_are_filled() -> None:
    large, hole = ellipse(GRID, GRID, radii=(0.3, 0.3)), ellipse(GRID, GRID, radii=(0.1, 0.1))
    other = ellipse(GRID, GRID, (0.1, 0.1), (0.09, 0.09))

    mask = lesion_mask(picture(blurred((large & ~hole) | other)), (480, 480))

    assert jaccard(mask, ellipse(480, 480, radii=(0.3, 0.3))) > 0.97


@settings(max_examples=40)
@given(seed=st.integers(0, 999), height=st.integers(1, 250), width=st.integers(1, 250))
def test_any_grid_gives_one_piece_without_holes(seed: int, height: int, width: int) -> None:
    values = np.random.default_rng(seed).random((12, 12))

    mask = lesion_mask(picture(values), (height, width))

    assert mask.shape == (height, width)
    if mask.any():
        # Pieces meet at corners too, so that holes are those of four neighbors
        assert label(mask, connectivity=2).max() == 1
        assert euler_number(np.pad(mask, 1), connectivity=2) == 1


def test_probabilities_come_back_by_their_logits() -> None:
    values = np.repeat(np.repeat([[0.1, 0.9], [0.5, 0.02]], 4, axis=0), 4, axis=1)

    found = probability_map(picture(values), (8, 8))

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, atol=0.01)
    assert probability_map(picture(values), (64, 64)).shape == (64, 64)
    middle = probability_map(picture(np.tile([0.01, 0.99], (2, 1))), (2, 6))
    assert np.all(np.diff(middle, axis=1) >= 0)


def test_confidence_is_the_jaccard_index_to_expect() -> None:
    rng, values = np.random.default_rng(0), np.full((GRID, GRID), 0.05)
    values[20:60, 20:60] = 0.8
    mask = np.zeros((GRID, GRID), np.bool_)
    mask[20:60, 20:60] = True

    truths = [rng.random(values.shape) < values for _ in range(50)]

    expected = OPTIMISM * np.mean([jaccard(mask, truth) for truth in truths])
    assert confidence(picture(values, 1.0), mask) == pytest.approx(expected, abs=0.01)
    assert confidence(picture(values, 0.5), mask) == pytest.approx(expected / 2, abs=0.01)
    assert confidence(picture(values, 1.0), ~mask) < 0.1
    assert confidence(picture(values, 1.0), np.repeat(mask, 3, axis=1)) == pytest.approx(
        confidence(picture(values, 1.0), mask), abs=1e-5
    )


def test_an_image_that_shows_nothing_has_no_lesion_whatever_the_network_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(_: Image) -> Picture:
        return picture(blurred(ellipse(GRID, GRID)), presence=1.0)

    monkeypatch.setattr("dermolib.preprocessing.lesion.look", look)

    assert find_by_network(noise_image(60, 80, 0)).any()
    for color in (0, 90, 255):
        assert not find_by_network(np.full((60, 80, 3), color, np.uint8)).any()


def test_where_the_network_is_unsure_thresholds_decide_and_where_it_is_sure_they_do_not() -> None:
    rows, columns = np.mgrid[:120, :160]
    disc = np.hypot(rows - 60, columns - 80) < 30
    image = np.where(disc[..., None], (110, 70, 50), (225, 180, 160)).astype(np.uint8)

    unsure = judged(picture(np.full((28, 28), 0.5)), image)
    sure = judged(picture(np.full((28, 28), 0.999)), image)

    found = lesion_mask(unsure, image.shape[:2])
    assert (found & disc).sum() > 0.9 * (found | disc).sum()
    assert lesion_mask(sure, image.shape[:2]).all()

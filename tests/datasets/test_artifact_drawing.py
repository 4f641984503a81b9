"""Rulers, ink, patches, hair, dark corners and bubbles that are drawn over an image."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import with_artifact
from dermolib._validation import Image
from dermolib.datasets.synthetic.artifacts import ARTIFACT_KINDS
from dermolib.datasets.synthetic.hair import VISIBLE_CHANGE
from drawing import ellipse, noise_image, skin_image

SEEDS = range(8)


@pytest.mark.parametrize("kind", ARTIFACT_KINDS)
def test_the_mask_holds_exactly_the_pixels_that_differ_visibly(kind: str) -> None:
    skin = skin_image(96, 128)
    before = skin.copy()

    for seed in SEEDS:
        drawn, mask = with_artifact(skin, kind, seed=seed, return_mask=True)

        change = cv2.absdiff(drawn, skin).max(axis=2)
        assert mask.any()
        np.testing.assert_array_equal(mask, change > 0)
        assert change[mask].min() >= VISIBLE_CHANGE
    np.testing.assert_array_equal(skin, before)


@pytest.mark.parametrize("kind", ARTIFACT_KINDS)
def test_the_same_seed_draws_the_same_and_another_draws_another(kind: str) -> None:
    skin = skin_image(64, 80)

    first, again, other = (with_artifact(skin, kind, seed=seed) for seed in (5, 5, 6))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(ARTIFACT_KINDS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**40),
)
def test_an_image_of_any_size_keeps_it_and_what_is_outside_of_the_mask(
    kind: str, height: int, width: int, seed: int
) -> None:
    image = noise_image(height, width, 0)

    drawn, mask = with_artifact(image, kind, seed=seed, return_mask=True)

    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(mask, (drawn != image).any(axis=2))


@pytest.mark.parametrize("kind", ["ruler", "ink", "patch", "dark_corner", "bubble"])
def test_one_seed_draws_the_same_thing_at_twice_the_size(kind: str) -> None:
    for seed in SEEDS:
        masks = []
        for scale in (1, 2):
            skin = np.full((150 * scale, 200 * scale, 3), (205, 165, 150), np.uint8)
            mask = with_artifact(skin, kind, seed=seed, return_mask=True)[1]
            masks.append(cv2.dilate(mask.astype(np.uint8), np.ones((3 * scale, 3 * scale))) > 0)
        large = masks[1][::2, ::2]

        overlap = (masks[0] & large).sum() / max((masks[0] | large).sum(), 1)
        assert overlap > 0.6


def skin_only(height: int = 150, width: int = 200) -> Image:
    """Draw skin of one color, on which only an artifact has contrast."""
    return np.full((height, width, 3), (205, 165, 150), np.uint8)


def test_dark_corners_are_dark_and_leave_the_middle() -> None:
    skin = skin_only()
    for seed in SEEDS:
        drawn, mask = with_artifact(skin, "dark_corner", seed=seed, return_mask=True)

        assert drawn[[0, 0, -1, -1], [0, -1, 0, -1]].max(axis=1).min() < 60
        assert not mask[60:90, 80:120].any()
        assert (drawn <= skin).all()


def test_a_patch_touches_the_border_in_one_piece_or_two_and_its_color_is_not_that_of_skin() -> None:
    for seed in SEEDS:
        drawn, mask = with_artifact(skin_only(), "patch", seed=seed, return_mask=True)

        inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9))) > 0
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert border.any()
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 <= 2
        assert np.abs(drawn[inner].mean(axis=0) - (205, 165, 150)).max() > 20


def test_ink_only_absorbs_light() -> None:
    skin = skin_image(150, 200)
    for seed in SEEDS:
        assert (with_artifact(skin, "ink", seed=seed) <= skin).all()


def test_the_ticks_of_a_ruler_are_evenly_spaced() -> None:
    skin = skin_only(300, 400)
    found = 0
    for seed in range(40):
        drawn, mask = with_artifact(skin, "ruler", seed=seed, return_mask=True)
        (x, y), sides, angle = cv2.minAreaRect(np.argwhere(mask)[:, ::-1].astype(np.float32))
        if min(sides) > 40 or max(sides) < 150:
            continue  # paper, or a scale that leaves the picture
        turn = cv2.getRotationMatrix2D((x, y), angle if sides[0] > sides[1] else angle - 90, 1)
        straight = cv2.warpAffine(drawn, turn, (400, 300), borderValue=(205, 165, 150))
        half = int(min(sides) / 2) + 1
        row = 150 - straight[int(y) - half : int(y) + half].mean(axis=(0, 2))
        row -= row.mean()
        spectrum = np.abs(np.fft.rfft(row * np.hanning(len(row))))[8:]
        found += spectrum.max() > 5 * np.median(spectrum)
    assert found >= 10


def test_bubbles_have_bright_and_dark_rims_and_cover_little() -> None:
    for seed in SEEDS:
        drawn, mask = with_artifact(skin_only(), "bubble", seed=seed, return_mask=True)

        change = drawn.astype(int).sum(axis=2) - 205 - 165 - 150
        assert change.max() > 40
        assert change.min() < -12
        assert mask.mean() < 0.25


@pytest.mark.parametrize("kind", ["ruler", "ink", "patch", "bubble"])
def test_an_artifact_spares_a_lesion_that_is_given(kind: str) -> None:
    skin, lesion = skin_image(150, 200), ellipse(150, 200)

    hidden: list[float] = []
    spared: list[float] = []
    for seed in range(30):
        for given_, found in ((None, hidden), (lesion, spared)):
            mask = with_artifact(skin, kind, seed=seed, lesion=given_, return_mask=True)[1]
            found.append(mask[lesion].mean())

    assert max(spared) < 0.1
    assert np.mean(np.array(spared) < 0.02) > 0.9
    assert np.mean(spared) <= np.mean(hidden)


def test_a_lesion_that_fills_the_image_or_is_empty_is_accepted() -> None:
    skin = skin_image(60, 60)
    for lesion in (np.ones((60, 60), np.bool_), np.zeros((60, 60), np.bool_)):
        mask = with_artifact(skin, "patch", lesion=lesion, return_mask=True)[1]
        assert mask.any()


def test_views_and_images_in_other_memory_orders_give_the_same() -> None:
    skin = skin_image(64, 80)
    for kind in ARTIFACT_KINDS:
        expected = with_artifact(skin, kind, seed=1)
        for same in (
            np.asfortranarray(skin),
            skin[::-1].copy()[::-1],
            np.repeat(skin, 2, 1)[:, ::2],
        ):
            np.testing.assert_array_equal(with_artifact(same, kind, seed=1), expected)


def test_wrong_arguments_are_refused() -> None:
    skin = skin_image(20, 20)
    with pytest.raises(
        ValueError, match=r"`kind` to be one of 'ruler', 'ink'.*Did you mean 'ruler'"
    ):
        with_artifact(skin, "rulers")
    with pytest.raises(ValueError, match="`seed` to be an integer of 0 or more"):
        with_artifact(skin, "ink", seed=-1)
    with pytest.raises(TypeError, match="`seed` to be an integer"):
        with_artifact(skin, "ink", seed=1.5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="`image` to be an RGB image"):
        with_artifact(skin / 255, "ink")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`lesion` to be a mask \(20, 20\)"):
        with_artifact(skin, "ink", lesion=np.zeros((20, 21), np.bool_))
    with pytest.raises(TypeError, match="`lesion` to be a mask"):
        with_artifact(skin, "ink", lesion=np.zeros((20, 20), np.uint8))
    with pytest.raises(TypeError, match="`return_mask` to be True or False"):
        with_artifact(skin, "ink", return_mask=1)  # type: ignore[call-overload]

"""One draw: what is left of the lesion, counted on warps with known answers."""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

# Private: the public presets draw at random, where a known answer needs a fixed warp
from dermolib.augmentation import presets
from dermolib.augmentation.presets import Augmented, TransformSequence, make_generators
from dermolib.augmentation.recipes import RECIPES


def scene(shape: tuple[int, int], rows: slice, columns: slice) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Draw skin of one color with a dark rectangle, and the rectangle's mask."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return np.where(mask[..., None], 60, 200).astype(np.uint8).repeat(3, axis=2), mask


def draw(
    steps: list[Any], image: Any, mask: Any, *, size: int | None = None, min_visibility: float = 0
) -> Augmented:
    transforms = TransformSequence(steps, size)
    return transforms.draw(image, mask, make_generators(0), min_visibility=min_visibility)


def affine(**options: Any) -> A.Affine:
    return A.Affine(border_mode=cv2.BORDER_REFLECT_101, p=1, **options)


def shifted(x: int) -> A.Affine:
    return affine(translate_px={"x": (x, x), "y": (0, 0)})


def cropped(*px: int, keep_size: bool) -> A.CropAndPad:
    crop = A.CropAndPad(px=((-10, -10),) * 4, keep_size=keep_size, p=1)
    crop.px = px  # what is random in the recipes is fixed here
    return crop


HOLE = A.CoarseDropout(
    num_holes_range=(1, 1), hole_height_range=(0.5, 0.5), hole_width_range=(0.5, 0.5), p=1
)
WHOLE = slice(None), slice(None)
CORNER = slice(0, 20), slice(0, 20)
RIGHT = slice(20, 40), slice(40, 60)


@pytest.mark.parametrize(
    ("steps", "place", "size", "visibility"),
    [
        ([shifted(10)], RIGHT, None, 0.5),  # half of it leaves the frame
        ([shifted(-20)], RIGHT, None, 1),  # a reflected copy does not count
        ([affine(scale=(0.6, 0.6))], RIGHT, None, 1),  # it shrinks inside the frame
        ([affine(scale=(0.8, 0.8))], RIGHT, None, 1),
        ([affine(scale=(2, 2))], WHOLE, None, 0.25),
        ([HOLE], WHOLE, None, 0.75),
        ([cropped(-10, 0, 0, -10, keep_size=True)], CORNER, None, 0.25),
        ([cropped(-10, 0, 0, -10, keep_size=False)], CORNER, 30, 0.25),
        ([cropped(-30, 0, 0, 0, keep_size=True), HOLE], WHOLE, None, 0.5 * 0.75),
        ([cropped(-10, 0, 0, 0, keep_size=False)], (slice(0, 5), slice(None)), 32, 0),
        ([A.VerticalFlip(p=1), A.MedianBlur(p=1)], CORNER, None, 1),
    ],
)
def test_the_visible_fraction_of_the_lesion_is_known(
    steps: list[Any], place: tuple[slice, slice], size: int | None, visibility: float
) -> None:
    image, mask = scene((60, 60), *place)

    drawn = draw(steps, image, mask, size=size)

    assert drawn.visibility == pytest.approx(visibility, abs=0.02)
    assert drawn.attempts == 1
    assert drawn.mask is not None
    assert drawn.image.shape[:2] == drawn.mask.shape == (size or 60, size or 60)
    if place is WHOLE:
        assert drawn.mask.all()


def test_a_hole_hides_the_image_and_a_reflected_copy_is_in_the_mask() -> None:
    image, mask = scene((64, 64), *WHOLE)
    assert (draw([HOLE], image, mask).image == 0).all(axis=2).mean() == 0.25
    image, mask = scene((60, 60), *RIGHT)
    reflected = draw([shifted(-20)], image, mask).mask
    assert reflected is not None
    assert reflected.sum() > 1.9 * mask.sum()


def test_a_lesion_too_small_for_a_pixel_of_the_result_counts_by_its_crop_alone() -> None:
    image, mask = scene((300, 300), slice(150, 151), slice(150, 151))

    drawn = draw([shifted(2)], image, mask, size=16)

    assert drawn.visibility == 1
    assert drawn.mask is not None
    assert not drawn.mask.any()


def test_where_neighbors_share_a_number_the_mask_is_the_same_and_the_fraction_about_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, mask = scene((61, 67), slice(10, 45), slice(40, 67))
    exact = draw([shifted(13)], image, mask)

    monkeypatch.setattr(presets, "_COUNTABLE", 1000)
    shared = draw([shifted(13)], image, mask)

    assert exact.visibility == pytest.approx(14 / 27, abs=0.001)
    assert shared.visibility == pytest.approx(exact.visibility, abs=0.15)
    np.testing.assert_array_equal(shared.mask, exact.mask)


def test_where_every_draw_loses_the_lesion_the_last_attempt_keeps_all_of_it() -> None:
    image, mask = scene((40, 40), slice(10, 20), slice(0, 10))
    steps = [A.HorizontalFlip(p=1), affine(scale=(4, 4)), A.GaussNoise(p=1)]

    drawn = draw(steps, image, mask, min_visibility=0.5)

    assert (drawn.visibility, drawn.attempts) == (1, 6)
    assert drawn.applied == ("HorizontalFlip", "GaussNoise")
    np.testing.assert_array_equal(drawn.mask, mask[:, ::-1])


@given(seed=st.integers(0, 2**40), name=st.sampled_from(["strong", "paper", "light"]))
def test_the_fraction_agrees_with_that_of_coordinates_sent_through_albumentations(
    seed: int, name: str
) -> None:
    image, mask = scene((96, 96), slice(5, 40), slice(50, 96))
    steps = [step for step in RECIPES[name](96, True) if not isinstance(step, A.CropAndPad)]
    rows, columns = np.indices((96, 96), dtype=np.float32)
    reference = A.Compose(steps, save_applied_params=True)
    reference.set_random_state(*make_generators(seed))

    sent = reference(image=image, masks=[rows, columns])

    seen = [np.rint(part).astype(int) for part in sent["masks"]]
    shown = np.ones((96, 96), bool)
    for _, params in sent["applied_transforms"]:
        for left, top, right, bottom in params.get("holes", ()):
            shown[top:bottom, left:right] = False
    found = np.zeros((96, 96), bool)
    found[seen[0][shown], seen[1][shown]] = True
    fraction = (found & mask).sum() / mask.sum()
    transforms = TransformSequence(steps, None)
    drawn = transforms.draw(image, mask, make_generators(seed), min_visibility=0)
    assert drawn.visibility is not None
    # pixels that a shrinking warp skips are missing in the plain count, up to 1 - 0.8 * 0.8 of them
    assert fraction - 1e-9 <= drawn.visibility <= min(1, fraction / 0.45 + 0.02)


@given(numbers=st.lists(st.integers(0, 2**70), min_size=1, max_size=3))
def test_generators_repeat_and_those_of_other_seeds_differ(numbers: list[int]) -> None:
    seeds = (numbers, numbers, [*numbers, 1], None, None)

    draws = [(array.random(), scalar.random()) for array, scalar in map(make_generators, seeds)]

    assert draws[0] == draws[1]
    assert len({*draws}) == 4
    assert draws[0][0] != draws[0][1]

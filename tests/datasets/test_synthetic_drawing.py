"""One draw: what is left of the lesion, counted on warps with known answers."""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.augmentation import _drawing
from dermolib.augmentation._drawing import ATTEMPTS, Drawn, Pipeline, make_generators
from dermolib.augmentation.recipes import RECIPES

BORDER = cv2.BORDER_REFLECT_101


def scene(shape: tuple[int, int], rows: slice, columns: slice) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Draw skin of one colour with a dark rectangle, and the rectangle's mask."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return np.where(mask[..., None], 60, 200).astype(np.uint8).repeat(3, axis=2), mask


def draw(
    steps: list[Any], image: Any, mask: Any, *, size: int | None = None, min_kept: float = 0
) -> Drawn:
    pipeline = Pipeline(steps, size)
    return pipeline.draw(image, mask, make_generators(0), min_kept=min_kept)


def shifted(x: int, y: int = 0) -> A.Affine:
    return A.Affine(translate_px={"x": (x, x), "y": (y, y)}, border_mode=BORDER, p=1)


def scaled(scale: float) -> A.Affine:
    return A.Affine(scale=(scale, scale), border_mode=BORDER, p=1)


def test_a_shift_that_takes_half_of_the_lesion_out_of_the_frame_keeps_half() -> None:
    image, mask = scene((60, 60), slice(20, 40), slice(40, 60))

    drawn = draw([shifted(10)], image, mask)

    assert drawn.kept == 0.5


def test_a_reflected_copy_does_not_count() -> None:
    image, mask = scene((60, 60), slice(20, 40), slice(40, 60))

    drawn = draw([shifted(-20)], image, mask)

    assert drawn.kept == 1
    assert drawn.mask is not None
    assert drawn.mask.sum() > 1.9 * mask.sum()


@pytest.mark.parametrize("scale", [0.6, 0.8, 1.0])
def test_a_lesion_that_shrinks_inside_the_frame_is_kept_whole(scale: float) -> None:
    image, mask = scene((80, 80), slice(30, 50), slice(25, 60))

    drawn = draw([scaled(scale)], image, mask)

    assert drawn.kept == pytest.approx(1, abs=0.02)


def test_a_lesion_that_fills_the_image_keeps_a_quarter_of_it_when_its_scale_is_doubled() -> None:
    image, mask = scene((80, 80), slice(None), slice(None))

    drawn = draw([scaled(2)], image, mask)

    assert drawn.kept == pytest.approx(0.25, abs=0.02)
    assert drawn.mask is not None
    assert drawn.mask.all()


def test_what_lies_under_a_hole_is_not_kept_and_stays_in_the_mask() -> None:
    image, mask = scene((64, 64), slice(None), slice(None))
    holes = A.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(0.5, 0.5), hole_width_range=(0.5, 0.5), p=1
    )

    drawn = draw([holes], image, mask)

    assert drawn.kept == 0.75
    assert drawn.mask is not None
    assert drawn.mask.all()
    assert (drawn.image == 0).all(axis=2).mean() == 0.25


@pytest.mark.parametrize("size", [None, 30])
def test_a_crop_keeps_the_share_of_the_lesion_inside_it(size: int | None) -> None:
    image, mask = scene((60, 60), slice(0, 20), slice(0, 20))
    crop = A.CropAndPad(px=((-10, -10),) * 4, keep_size=size is None, p=1)
    crop.px = (-10, 0, 0, -10)  # what is random in the recipes is fixed here

    drawn = draw([crop], image, mask, size=size)

    assert drawn.kept == 0.25
    assert drawn.image.shape[:2] == (size or 60, size or 60)


def test_a_crop_and_a_hole_multiply() -> None:
    image, mask = scene((60, 60), slice(None), slice(None))
    crop = A.CropAndPad(px=((-10, -10),) * 4, keep_size=True, p=1)
    crop.px = (-30, 0, 0, 0)
    holes = A.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(0.5, 0.5), hole_width_range=(0.5, 0.5), p=1
    )

    drawn = draw([crop, holes], image, mask)

    assert drawn.kept == pytest.approx(0.5 * 0.75, abs=0.01)


def test_a_lesion_outside_the_crop_is_lost() -> None:
    image, mask = scene((60, 60), slice(0, 5), slice(0, 60))
    crop = A.CropAndPad(px=((-10, -10),) * 4, keep_size=False, p=1)
    crop.px = (-10, 0, 0, 0)

    assert draw([crop], image, mask, size=32).kept == 0


def test_a_lesion_too_small_for_a_pixel_of_the_result_counts_by_its_crop_alone() -> None:
    image, mask = scene((300, 300), slice(150, 151), slice(150, 151))

    drawn = draw([shifted(2)], image, mask, size=16)

    assert drawn.kept == 1
    assert drawn.mask is not None
    assert not drawn.mask.any()


def test_where_neighbours_share_a_number_the_mask_is_the_same_and_the_share_about_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, mask = scene((61, 67), slice(10, 45), slice(40, 67))
    exact = draw([shifted(13)], image, mask)

    monkeypatch.setattr(_drawing, "_COUNTABLE", 1000)
    shared = draw([shifted(13)], image, mask)

    assert exact.kept == pytest.approx(14 / 27, abs=0.001)
    assert shared.kept == pytest.approx(exact.kept, abs=0.15)
    np.testing.assert_array_equal(shared.mask, exact.mask)


def test_where_every_draw_loses_the_lesion_the_last_attempt_keeps_all_of_it() -> None:
    image, mask = scene((40, 40), slice(10, 20), slice(0, 10))
    steps = [A.HorizontalFlip(p=1), scaled(4), A.GaussNoise(p=1)]

    drawn = draw(steps, image, mask, min_kept=0.5)

    assert (drawn.kept, drawn.attempts) == (1, ATTEMPTS)
    assert drawn.applied == ("HorizontalFlip", "GaussNoise")
    np.testing.assert_array_equal(drawn.mask, mask[:, ::-1])


def test_where_nothing_can_be_lost_the_whole_lesion_is_kept() -> None:
    image, mask = scene((40, 40), slice(0, 3), slice(0, 3))

    drawn = draw([A.VerticalFlip(p=1), A.MedianBlur(p=1)], image, mask, min_kept=1)

    assert (drawn.kept, drawn.attempts) == (1, 1)


@given(seed=st.integers(0, 2**40), name=st.sampled_from(["strong", "paper", "light"]))
def test_the_share_agrees_with_that_of_coordinates_sent_through_albumentations(
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
    share = (found & mask).sum() / mask.sum()
    drawn = Pipeline(steps, None).draw(image, mask, make_generators(seed), min_kept=0)
    assert drawn.kept is not None
    # pixels that a shrinking warp skips are missing in the plain count, up to 1 - 0.8 * 0.8 of them
    assert share - 1e-9 <= drawn.kept <= min(1, share / 0.45 + 0.02)


@given(
    numbers=st.lists(st.integers(0, 2**70), min_size=1, max_size=3),
)
def test_generators_repeat_and_those_of_other_seeds_differ(numbers: list[int]) -> None:
    first, second = make_generators(numbers), make_generators(numbers)
    other = make_generators([*numbers, 1])

    draws = [(array.random(), scalar.random()) for array, scalar in (first, second, other)]

    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] != draws[0][1]


def test_without_a_seed_generators_are_new_each_time() -> None:
    assert make_generators(None)[1].random() != make_generators(None)[1].random()

"""Lesion masks: methods by name or as functions, and what each refuses."""

from typing import Any

import numpy as np
import pytest

from dermolib import segment_lesion
from dermolib._validation import Image, Mask

GRAY = np.full((6, 8, 3), 128, np.uint8)


def left_part(image: Image, *, columns: int = 3) -> Mask:
    """Take the columns on the left for the lesion."""
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[:, :columns] = True
    return mask


def test_a_function_finds_the_mask_with_its_options() -> None:
    assert segment_lesion(GRAY, method=left_part).sum() == 18
    assert segment_lesion(GRAY, method=left_part, columns=1).sum() == 6


def test_the_shape_that_albumentations_hands_over_is_left_out() -> None:
    mask = segment_lesion(GRAY, method=left_part, shape=GRAY.shape)

    assert mask.sum() == 18


def writes(image: Image) -> Mask:
    image[:] = 0
    return left_part(image)


def fails(image: Image) -> Mask:
    raise KeyError(image.shape)


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((4, 4)), {}, TypeError, "`image` to be an RGB image .* dtype float64"),
        (np.zeros((4, 4), np.uint8), {}, ValueError, r"`image` to be an RGB .* shape \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), {}, ValueError, r"`image` to be an RGB .* shape \(0, 4"),
        (GRAY, {"method": "unett"}, ValueError, "`method` to be one of 'classical'"),
        (GRAY, {"method": "classical", "agree": 1}, TypeError, "`agree` .* mean 'agreement'"),
        (GRAY, {"method": left_part, "rows": 1}, TypeError, "options of 'left_part', columns"),
        (GRAY, {"method": lambda _: GRAY > 0}, ValueError, r"a mask \(6, 8\) of dtype bool"),
        (GRAY, {"method": lambda _: GRAY[..., 0]}, TypeError, r"a mask \(6, 8\) of dtype bool"),
        (GRAY, {"method": lambda: GRAY}, TypeError, "`method` to be a function of an image"),
        (GRAY, {"method": writes}, ValueError, "`writes` .* unchanged"),
        (GRAY, {"method": fails}, RuntimeError, "KeyError"),
    ],
)
def test_what_is_unfit_is_refused(
    image: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        segment_lesion(image, **options)

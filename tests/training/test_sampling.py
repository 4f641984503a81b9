import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.training import sample_weights

labels = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@given(labels)
def test_with_a_power_of_one_all_classes_come_equally_often(labels: list[int]) -> None:
    odds = sample_weights(labels)

    classes = np.unique(labels)
    shares = [odds[np.asarray(labels) == k].sum() for k in classes]
    assert odds.sum() == pytest.approx(1)
    assert shares == pytest.approx([1 / len(classes)] * len(classes))


@given(labels)
def test_with_a_power_of_zero_all_images_come_equally_often(labels: list[int]) -> None:
    assert sample_weights(labels, power=0) == pytest.approx(1 / len(labels))


@given(labels, st.floats(0, 1))
def test_an_image_is_drawn_by_the_power_of_the_size_of_its_class(
    labels: list[int], power: float
) -> None:
    odds = sample_weights(labels, power=power)

    sizes = np.array([labels.count(k) for k in labels])
    assert odds / odds[0] == pytest.approx((sizes / sizes[0]) ** -power)


@pytest.mark.parametrize(
    ("labels", "power", "kind", "sentence"),
    [
        ([], 1, ValueError, "`labels` to be classes (N,), at least one, but got (0,)."),
        ([[1]], 1, ValueError, "`labels` to be classes (N,), at least one, but got (1, 1)."),
        ([0.5], 1, TypeError, "`labels` to be whole numbers, 0 or more, but got float64."),
        ([-1], 1, TypeError, "`labels` to be whole numbers, 0 or more, but got int64."),
        ([1], 2, ValueError, "`power` to be a number in 0..1, but got 2."),
        ([1], "1", TypeError, "`power` to be a number in 0..1, but got '1' of type str."),
    ],
)
def test_unfit_labels_and_powers_are_refused(
    labels: Any, power: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        sample_weights(labels, power=power)

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student

from dermolib.evaluation.intervals import interval_ends, widen_at_bounds
from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.resampling import jackknife, replicates
from dermolib.evaluation.smoothing import borrow_groups
from dermolib.evaluation.statistics import statistic


def drawn_predictions(seed: int, images: int, classes: int) -> Predictions:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), images)
    target = generator.integers(0, classes, images)
    return read_predictions(probabilities, target, generator.integers(0, images, images))


def smoothed_ends(predictions: Predictions, *metrics: str, resamples: int = 2000) -> Any:
    padded, count = borrow_groups(predictions), predictions.num_groups
    lender = statistic(padded, metrics)
    drawn = replicates(lender, count, resamples=resamples, seed=0, borrowed=padded.borrowed)
    values = statistic(predictions, metrics).values
    left_out = jackknife(lender, count, padded.borrowed)
    return interval_ends(values, drawn, left_out, method="smoothed", center=lender.values)


def test_a_class_borrows_images_of_the_others_with_the_roles_swapped() -> None:
    probabilities = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.2, 0.3]]
    predictions = read_predictions(probabilities, [0, 1, 2], ["a", "b", "c"])

    padded = borrow_groups(predictions)

    extra = sorted(zip(padded.target[3:].tolist(), padded.probabilities[3:].tolist(), strict=True))
    assert extra == [
        (0, [0.3, 0.2, 0.5]),  # that of class 2, columns 0 and 2 swapped
        (0, [0.6, 0.3, 0.1]),
        (1, [0.2, 0.7, 0.1]),
        (1, [0.5, 0.3, 0.2]),
        (2, [0.1, 0.2, 0.7]),
        (2, [0.3, 0.1, 0.6]),
    ]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 60), st.integers(2, 5))
def test_each_class_with_images_borrows_as_many_and_its_own_stay(
    seed: int, images: int, classes: int
) -> None:
    predictions = drawn_predictions(seed, images, classes)

    padded = borrow_groups(predictions)

    np.testing.assert_array_equal(padded.target[:images], predictions.target)
    np.testing.assert_array_equal(padded.groups[:images], predictions.groups)
    np.testing.assert_array_equal(padded.probabilities[:images], predictions.probabilities)
    assert padded.num_groups == predictions.num_groups + len(padded.borrowed)
    present = set(predictions.target.tolist())
    by_class = dict.fromkeys(present, 0.0)
    for group, count in enumerate(padded.borrowed, start=predictions.num_groups):
        (place,) = set(padded.target[padded.groups == group].tolist())
        by_class[place] += count
    totals = set(np.round(list(by_class.values()), 9))
    assert totals == ({0.0} if len(present) == 1 else {round(max(totals), 9)})
    assert set(padded.target.tolist()) == present


def test_two_models_borrow_the_same_images() -> None:
    first = drawn_predictions(0, 50, 4)
    second = read_predictions(np.roll(first.probabilities, 1, axis=1), first.target, first.groups)

    padded = [borrow_groups(one) for one in (first, second)]

    for name in ("target", "groups", "borrowed"):
        np.testing.assert_array_equal(getattr(padded[0], name), getattr(padded[1], name))


def test_the_usual_weights_leave_balanced_accuracy_that_of_own_and_borrowed_images() -> None:
    mixed = drawn_predictions(1, 80, 3)
    predictions = read_predictions(mixed.probabilities, mixed.target)
    padded = borrow_groups(predictions)

    found = statistic(padded, "balanced_accuracy").values[0]

    usual = np.append(np.ones(predictions.num_groups), padded.borrowed)[padded.groups]
    right = padded.probabilities.argmax(axis=1) == padded.target
    recalls = [
        np.average(right[padded.target == k], weights=usual[padded.target == k]) for k in range(3)
    ]
    assert found == pytest.approx(np.mean(recalls), abs=1e-6)


def test_a_class_that_borrows_weighs_as_much_as_without() -> None:
    predictions = read_predictions(
        drawn_predictions(1, 80, 3).probabilities, [0] * 70 + [1] * 6 + [2] * 4
    )
    padded = borrow_groups(predictions)

    usual = np.append(np.ones(80), padded.borrowed) * padded.factors
    sums = np.bincount(padded.target, usual[padded.groups])

    assert sums == pytest.approx([70, 6, 4])


def test_three_of_three_right_is_no_certainty() -> None:
    target = [0] * 100 + [1] * 100 + [2] * 3
    preds = np.array(target)
    preds[::4] = 1 - preds[::4].clip(max=1)
    preds[200:] = 2
    predictions = read_predictions(np.eye(3)[preds], target)

    low, high = smoothed_ends(predictions, "sensitivity:2")

    assert low[0] < 0.8
    assert high[0] == 1


def test_with_many_images_the_interval_is_that_of_a_proportion() -> None:
    target = np.repeat([0, 1], 2000)
    right = np.concatenate([np.arange(2000) % 10 > 0, np.arange(2000) % 5 > 0])
    predictions = read_predictions(np.where(right, target, 1 - target), target)

    low, high = smoothed_ends(predictions, "sensitivity:0", "sensitivity:1")

    for place, hits in enumerate((1800, 1600)):
        wilson = binomtest(hits, 2000).proportion_ci(method="wilson")
        assert (low[place], high[place]) == pytest.approx((wilson.low, wilson.high), abs=0.004)


def test_all_right_has_the_interval_of_clopper_and_pearson() -> None:
    values, counts = np.array([1.0, 1.0, 0.0, 0.5]), np.array([30, 3, 30, 30])

    low, high = widen_at_bounds(values, (values, values), counts, 0.95)

    for place, count in enumerate((30, 3)):
        exact = binomtest(count, count).proportion_ci(method="exact")
        assert (low[place], high[place]) == pytest.approx((exact.low, exact.high))
    assert (low[2], high[2]) == pytest.approx((0, 1 - low[0]))
    assert low[3] == high[3] == 0.5


def test_smoothed_quantiles_lie_further_out_where_few_blocks_make_the_spread() -> None:
    drawn = np.random.default_rng(0).normal(size=(50_000, 1))
    value = np.zeros(1)
    even = np.tile([[1.0], [-1.0]], (100, 1))
    few = np.where(np.arange(200)[:, None] < 4, even, 0)

    (plain,), (far,) = (
        interval_ends(value, drawn, blocks, method="smoothed")[1] for blocks in (even, few)
    )

    assert plain == pytest.approx(1.96, abs=0.04)
    degrees = 3 * 4**2 / 4 - 1
    assert far == pytest.approx(student.ppf(0.975, degrees) * np.sqrt(1 + 1 / degrees), abs=0.04)

import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from dermolib.evaluation import risk_coverage, threshold_for_risk

Floats = npt.NDArray[np.float64]


def of_two(sure: Any, right: Any) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Make predictions of two classes that have a confidence and are right or wrong."""
    high = 0.5 + np.asarray(sure, float) / 2
    return np.c_[high, 1 - high], 1 - np.asarray(right, np.intp)


def drawn(lesions: int, seed: int) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Draw lesions of one to three images that are mostly right or wrong together."""
    generator = np.random.default_rng(seed)
    number = np.repeat(np.arange(lesions), generator.integers(1, 4, lesions))
    own = generator.uniform(0.02, 0.98, lesions)
    sure = np.clip(own[number] + generator.uniform(-0.02, 0.02, len(number)), 0, 1)
    bad = (generator.random(lesions) > 0.6 + 0.4 * own)[number] ^ (
        generator.random(len(number)) < 0.02
    )
    return *of_two(sure, ~bad), number


def test_the_area_is_the_mean_of_the_risks_at_all_coverages() -> None:
    right = [1, 0, 1, 1, 0]
    probabilities, target = of_two([0.9, 0.7, 0.5, 0.3, 0.1], right)

    curve = risk_coverage(probabilities, target, resamples=50)

    risks = [0, 1 / 2, 1 / 3, 1 / 4, 2 / 5]
    assert curve.aurc.score == pytest.approx(np.mean(risks))
    assert curve.excess_aurc.score == pytest.approx(np.mean(risks) - (1 / 4 + 2 / 5) / 5)
    assert curve.table["risk"].tolist() == pytest.approx(risks)
    assert curve.table["coverage"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert curve.table["threshold"].tolist() == pytest.approx([0.95, 0.85, 0.75, 0.65, 0.55])
    assert curve.table["n"].tolist() == [1, 2, 3, 4, 5]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=2, max_size=6))
def test_images_of_one_confidence_count_as_in_random_order(rows: list[tuple[int, int]]) -> None:
    sure, right = np.array(rows).T
    probabilities, target = of_two(sure / 4, right)
    areas = []
    for order in itertools.permutations(range(len(rows))):
        if (np.diff(sure[list(order)]) <= 0).all():
            wrong = 1 - right[list(order)]
            areas.append(np.mean(np.cumsum(wrong) / np.arange(1, len(rows) + 1)))

    curve = risk_coverage(probabilities, target, resamples=2)

    assert curve.aurc.score == pytest.approx(np.mean(areas), abs=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_the_excess_is_never_negative_and_only_the_order_of_confidence_counts(seed: int) -> None:
    probabilities, target, lesions = drawn(30, seed)
    curve = risk_coverage(probabilities, target, groups=lesions, resamples=20)

    other = np.log(probabilities.max(axis=1))
    same = risk_coverage(probabilities, target, groups=lesions, confidence=other, resamples=20)

    assert curve.excess_aurc.score >= -1e-12
    assert same.aurc == curve.aurc
    assert curve.aurc.low <= curve.aurc.score <= curve.aurc.high
    assert curve.table["risk"].iloc[-1] == pytest.approx((probabilities.argmax(1) != target).mean())


def test_an_image_that_counts_twice_is_two_images_of_one_confidence() -> None:
    probabilities, target = of_two([0.9, 0.7, 0.5, 0.3], [1, 0, 1, 0])
    rows = [0, 1, 1, 2, 3, 3]

    twice = risk_coverage(probabilities[rows], target[rows], resamples=2)
    balanced = risk_coverage(probabilities, target, balanced=True, resamples=2)

    once = risk_coverage(probabilities, target, resamples=2)
    assert balanced.aurc.score == once.aurc.score
    risks = [0, 1 / 2, 2 / 3, 2 / 4, 3 / 5, 4 / 6]
    assert twice.aurc.score == pytest.approx(np.mean(risks))


def test_balanced_risk_weighs_classes_alike() -> None:
    probabilities = np.tile([[0.9, 0.1]], (10, 1))
    target = [0] * 9 + [1]

    plain, balanced = (
        risk_coverage(probabilities, target, balanced=balanced, resamples=20)
        for balanced in (False, True)
    )

    assert plain.table["risk"].tolist() == pytest.approx([0.1])
    assert balanced.table["risk"].tolist() == pytest.approx([0.5])
    assert balanced.aurc.score == pytest.approx(0.5)


def test_images_of_one_lesion_widen_the_interval_of_the_area() -> None:
    probabilities, target, _ = drawn(120, 0)
    probabilities, target = np.repeat(probabilities, 4, axis=0), np.repeat(target, 4)
    lesions = np.repeat(np.arange(len(target) // 4), 4)

    alone = risk_coverage(probabilities, target, resamples=300).aurc
    by_lesion = risk_coverage(probabilities, target, groups=lesions, resamples=300).aurc

    assert by_lesion.high - by_lesion.low > 1.6 * (alone.high - alone.low)
    assert (by_lesion.n, by_lesion.groups) == (len(target), len(target) // 4)


def test_where_no_answer_is_wrong_the_interval_still_has_a_width() -> None:
    probabilities, target = of_two(np.linspace(0, 0.9, 40), [1] * 40)

    table = risk_coverage(probabilities, target, resamples=20).table

    exact = binomtest(0, 40).proportion_ci(0.95, method="exact")
    assert table["high"].iloc[-1] == pytest.approx(exact.high)
    assert table["few"].tolist() == [True] * 9 + [False] * 31


def test_the_bound_of_independent_images_is_that_of_clopper_and_pearson() -> None:
    generator = np.random.default_rng(1)
    sure = generator.random(400)
    probabilities, target = of_two(sure, generator.random(400) < 0.5 + sure / 2)

    found = threshold_for_risk(probabilities, target, risk=0.15)

    wrong = round(found.observed * found.n)
    exact = binomtest(wrong, found.n, alternative="less").proportion_ci(
        1 - 0.05 / 3, method="exact"
    )
    assert found.upper == pytest.approx(exact.high)
    assert found.observed < found.upper <= 0.15
    kept = probabilities.max(axis=1) >= found.threshold
    assert (int(kept.sum()), float(kept.mean())) == (found.n, found.coverage)
    assert (probabilities.argmax(axis=1) != target)[kept].mean() == pytest.approx(found.observed)


def test_the_chosen_risk_is_kept_by_lesion_as_often_as_promised() -> None:
    truth, target, number = drawn(20_000, 10_000)
    sure, wrong = truth.max(axis=1), truth.argmax(axis=1) != target
    kept, coverages = [], []
    for seed in range(120):
        probabilities, own, lesions = drawn(400, seed)
        found = threshold_for_risk(probabilities, own, risk=0.15, level=0.9, groups=lesions)
        rows = sure >= found.threshold
        sums = np.bincount(number[rows], weights=wrong[rows])
        count = np.bincount(number[rows])
        means = sums[count > 0] / count[count > 0]
        kept.append(float(means.mean()) <= 0.15 if len(means) else True)
        coverages.append(found.coverage)

    assert np.mean(kept) >= 0.9
    assert 0.2 < np.median(coverages) < 0.8  # the risk is reached by answering less, and not little


def test_a_risk_that_is_out_of_reach_is_nan_with_the_reason() -> None:
    probabilities, target = of_two(np.linspace(0, 0.9, 40), [0, 1] * 20)

    found = threshold_for_risk(probabilities, target, risk=0.05)

    assert np.isnan([found.threshold, found.upper, found.observed]).all()
    assert (found.n, found.groups, found.coverage) == (0, 0, 0)
    assert "0.05" in found.reason
    assert "40 groups" in found.reason
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["threshold"] is None


def test_all_is_answered_where_nothing_is_wrong() -> None:
    probabilities, target = of_two(np.linspace(0, 0.9, 200), [1] * 200)

    found = threshold_for_risk(probabilities, target, risk=0.1)

    assert (found.coverage, found.reason, found.observed) == (1.0, "", 0.0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"confidence": [0.5]}, ValueError, r"`confidence`.*\(4,\)"),
        ({"confidence": [0.5, 0.1, np.nan, 0]}, ValueError, r"`confidence`.*finite"),
        ({"confidence": list("abcd")}, TypeError, r"`confidence`"),
        ({"level": 1.0}, ValueError, r"`level`.*below 1"),
    ],
)
@pytest.mark.parametrize("function", [risk_coverage, threshold_for_risk])
def test_confidences_and_levels_out_of_range_are_refused(
    function: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    probabilities, target = of_two([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 1])
    with pytest.raises(error, match=words):
        function(probabilities, target, **options)


def test_classes_have_no_confidence_and_a_risk_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"`probabilities`.*Pass `confidence`"):
        risk_coverage([0, 1, 1], [0, 1, 0])
    assert risk_coverage([0, 1, 1], [0, 1, 0], confidence=[3, 2, 1], resamples=5).aurc.score > 0
    with pytest.raises(ValueError, match=r"`risk`.*above 0"):
        threshold_for_risk([[0.5, 0.5]], [0], risk=0)


def test_answers_that_are_equally_sure_have_a_threshold() -> None:
    target = np.tile([0, 1], 60)
    found = threshold_for_risk(np.eye(2)[target], target, risk=0.1)
    assert (found.threshold, found.coverage, found.observed) == (1.0, 1.0, 0.0)


def test_one_group_has_a_curve_without_a_warning() -> None:
    found = risk_coverage([[0.9, 0.1], [0.4, 0.6]], [0, 0], groups=["a", "a"], resamples=5)
    assert found.aurc.score == 0.25
    with pytest.raises(TypeError, match="`balanced` to be True or False"):
        risk_coverage([[0.9, 0.1], [0.4, 0.6]], [0, 0], balanced="yes")  # type: ignore[arg-type]

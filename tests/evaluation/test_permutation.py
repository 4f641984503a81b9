import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from dermolib.evaluation.permutation import flip_signs, swap_groups
from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.statistics import SUMS, statistic


def two_models(
    seed: int, n: int = 40, lesions: int = 12, classes: int = 3
) -> tuple[Predictions, Predictions]:
    generator = np.random.default_rng(seed)
    target = np.r_[np.arange(classes), generator.integers(0, classes, n - classes)]
    groups = np.r_[np.arange(lesions), generator.integers(0, lesions, n - lesions)]
    logits = generator.normal(size=(2, n, classes)) + 1.5 * np.eye(classes)[target]
    a, b = (read_predictions(one, target, groups, values="logits") for one in logits)
    return a, b


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_all_flips_of_signs_are_enumerated_as_a_loop_over_them_does(sizes: list[int]) -> None:
    found, error = flip_signs(np.array(sizes, np.float64) / 7, permutations=10, seed=0)

    sums = [np.dot(signs, sizes) for signs in itertools.product((-1, 1), repeat=len(sizes))]
    assert found == pytest.approx(np.mean(np.abs(sums) >= abs(sum(sizes))), abs=1e-12)
    assert error == 0


@pytest.mark.parametrize(("more", "fewer"), [(0, 1), (3, 3), (9, 2), (300, 240), (2000, 1900)])
def test_signs_of_ones_give_the_exact_binomial_test(more: int, fewer: int) -> None:
    p_value, error = flip_signs(np.r_[np.ones(more), -np.ones(fewer)], permutations=10, seed=0)

    assert p_value == pytest.approx(binomtest(more, more + fewer).pvalue, rel=1e-9)
    assert error == 0


def test_drawn_flips_agree_with_scipy_within_their_error() -> None:
    sizes = np.random.default_rng(2).normal(0.1, 1, 200)

    p_value, error = flip_signs(sizes, permutations=20_000, seed=0)

    foreign = permutation_test(
        (sizes,), np.sum, permutation_type="samples", n_resamples=20_000, vectorized=True, rng=1
    )
    assert p_value == pytest.approx(foreign.pvalue, abs=5 * error)
    assert error == pytest.approx((p_value * (1 - p_value) / 20_000) ** 0.5)


def test_a_p_value_is_never_zero_and_1_without_a_difference() -> None:
    far, error = flip_signs(np.random.default_rng(0).uniform(1, 2, 99), permutations=999, seed=0)

    assert far == 1 / 1000
    assert error > 0
    assert 0 < flip_signs(np.ones(5000), permutations=10, seed=0)[0] < 1e-300
    assert flip_signs(np.zeros(4), permutations=10, seed=0) == (1, 0)


def test_groups_of_which_both_models_say_the_same_change_nothing() -> None:
    sizes = np.random.default_rng(0).normal(0.2, 1, 50)

    alone = flip_signs(sizes, permutations=500, seed=3)

    assert flip_signs(np.r_[sizes, np.zeros(500)], permutations=500, seed=3) == alone


@pytest.mark.parametrize("metric", [*SUMS[:4], "sensitivity:1", "specificity:2"])
def test_contributions_of_groups_sum_to_the_score(metric: str) -> None:
    a, _ = two_models(0)

    found = statistic(a, metric)

    assert found.contributions()[0].sum() == pytest.approx(found.values[0], abs=1e-12)


@pytest.mark.parametrize("metric", [*SUMS[:4], "sensitivity:1", "specificity:2"])
def test_flipped_signs_and_swapped_groups_are_one_test_for_sums(metric: str) -> None:
    a, b = two_models(1)

    parts = (statistic(a, metric).contributions() - statistic(b, metric).contributions())[0]
    flipped, _ = flip_signs(parts, permutations=5000, seed=0)
    swapped, _ = swap_groups(a, b, lambda both: statistic(both, metric), permutations=5000, seed=0)

    assert flipped == pytest.approx(swapped, abs=1e-12)


@pytest.mark.parametrize("metric", ["macro_f1", "ece", "f1:0", "average_precision:1"])
def test_swapped_groups_are_enumerated_as_a_loop_over_them_does(metric: str) -> None:
    a, b = two_models(2, n=20, lesions=6)

    found, error = swap_groups(a, b, lambda both: statistic(both, metric), permutations=64, seed=0)

    values = []
    for signs in itertools.product((False, True), repeat=6):
        swap = np.array(signs)[a.groups][:, None]
        one = replace(a, probabilities=np.where(swap, b.probabilities, a.probabilities))
        two = replace(a, probabilities=np.where(swap, a.probabilities, b.probabilities))
        values.append(abs(statistic(one, metric).values[0] - statistic(two, metric).values[0]))
    assert found == pytest.approx(np.mean(np.array(values) >= values[0] - 1e-9))
    assert error == 0


def test_drawn_swaps_agree_with_all_swaps_within_their_error() -> None:
    a, b = two_models(3)

    exact, _ = swap_groups(
        a, b, lambda both: statistic(both, "macro_f1"), permutations=4096, seed=0
    )
    drawn, error = swap_groups(
        a, b, lambda both: statistic(both, "macro_f1"), permutations=4095, seed=0
    )

    assert drawn == pytest.approx(exact, abs=5 * error)
    assert error > 0

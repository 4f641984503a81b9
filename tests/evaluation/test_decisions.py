"""Decisions for weights, costs and priors, against loops, likelihoods and brute force."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from dermolib.evaluation import (
    adjust_prior,
    choose_power,
    compare_decisions,
    cross_decide,
    decide,
    estimate_prior,
    score,
)

_Floats = npt.NDArray[np.float64]
_PRIOR = np.array([0.7, 0.2, 0.07, 0.03])


def _drawn(seed: int, images: int = 1000, prior: _Floats = _PRIOR) -> tuple[_Floats, Any]:
    """Draw classes from a prior, and what is honestly believed of them where `_PRIOR` holds."""
    generator = np.random.default_rng(seed)
    target = generator.choice(len(prior), images, p=prior)
    seen = generator.normal(0, 1, (images, len(prior)))
    seen[np.arange(images), target] += 1.5
    likelihood = np.exp(1.5 * seen)  # of each class, but for a factor
    honest = likelihood * _PRIOR
    return honest / honest.sum(axis=1, keepdims=True), target


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_other_choice_has_a_lower_expected_cost(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(3), 4)
    costs = generator.normal(0, 5, (3, 3))

    chosen = decide(probabilities, costs=costs)

    def expected(choice: Any) -> float:
        rows = zip(probabilities, choice, strict=True)
        return sum(float(p[k] * costs[k, j]) for p, j in rows for k in range(3))

    everything = [expected(choice) for choice in itertools.product(range(3), repeat=4)]
    assert expected(chosen) == pytest.approx(min(everything), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_weights_are_costs_of_what_is_missed(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(5), 20)
    weights = generator.uniform(0.1, 9, 5)

    by_costs = decide(probabilities, costs=weights[:, None] * (1 - np.eye(5)))

    assert (decide(probabilities, weights) == by_costs).all()
    assert (decide(probabilities, 1 / weights) == decide(probabilities, prior=weights)).all()
    assert (decide(probabilities) == probabilities.argmax(axis=1)).all()


def test_a_tie_goes_to_the_first_class() -> None:
    even = np.full((1, 4), 0.25)

    assert decide(even).tolist() == [0]
    assert decide(even, [0, 1, 1, 0]).tolist() == [1]
    assert decide(even, costs=1 - np.eye(4)).tolist() == [0]


def test_tensors_and_logits_and_one_probability_of_two_classes_are_taken() -> None:
    logits = torch.tensor([[0.0, 3.0], [2.0, 0.0]])

    assert decide(logits, values="logits").tolist() == [1, 0]
    assert decide([0.3, 0.9], [1, 3]).tolist() == [1, 1]


def test_the_prior_is_best_for_balanced_accuracy_and_none_for_accuracy() -> None:
    probabilities, target = _drawn(0, images=30_000)
    plain, balanced = decide(probabilities), decide(probabilities, prior=_PRIOR)
    half = decide(probabilities, prior=_PRIOR, power=0.5)

    by_balance = [balanced_accuracy_score(target, chosen) for chosen in (plain, half, balanced)]
    by_accuracy = [accuracy_score(target, chosen) for chosen in (balanced, half, plain)]

    assert by_balance == sorted(by_balance)
    assert by_accuracy == sorted(by_accuracy)
    assert by_balance[2] > by_balance[0] + 0.1


def test_a_prior_moves_probabilities_by_the_rule_of_bayes() -> None:
    probabilities, _ = _drawn(1, images=5)
    old, new = _PRIOR, np.array([10, 0, 60, 30])

    found = adjust_prior(probabilities, old, new)

    for row, wanted in zip(probabilities, found, strict=True):
        parts = [p * n / 100 / o for p, n, o in zip(row, new, old, strict=True)]
        assert wanted == pytest.approx([part / sum(parts) for part in parts], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_prior_that_is_moved_comes_back(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities, old, new = (generator.dirichlet(np.ones(4), size) for size in (9, None, None))
    old, new = old + 0.01, new + 0.01

    there = adjust_prior(probabilities, old, new)

    assert np.allclose(adjust_prior(there, new, old), probabilities, atol=1e-9)
    assert np.allclose(adjust_prior(probabilities, old, 7 * old), probabilities, atol=1e-9)
    # the adjusted most likely class is the weighted one
    assert (there.argmax(axis=1) == decide(probabilities, new / old)).mean() > 0.99


def test_the_estimated_prior_has_the_highest_likelihood_and_is_near_the_truth() -> None:
    truth = np.array([0.2, 0.3, 0.4, 0.1])
    probabilities, _ = _drawn(2, images=4000, prior=truth)
    ratio = probabilities / _PRIOR

    def loss(free: _Floats) -> float:
        prior = np.exp(free) / np.exp(free).sum()
        return float(-np.log(ratio @ prior).mean())

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    found = estimate_prior(probabilities, _PRIOR)

    assert found == pytest.approx(np.exp(best.x) / np.exp(best.x).sum(), abs=1e-5)
    assert found == pytest.approx(truth, abs=0.03)
    assert found.sum() == pytest.approx(1)


def test_classes_that_look_the_same_are_warned_of() -> None:
    probabilities = np.tile([[0.5 - 1e-7, 0.5 + 1e-7]], (10, 1))

    with pytest.warns(UserWarning, match="still moves"):
        found = estimate_prior(probabilities, [1, 1])
    assert found == pytest.approx(0.5, abs=0.01)


def test_the_power_is_found_that_undoes_what_training_evened_out() -> None:
    probabilities, target = _drawn(3, images=20_000)
    evened = probabilities * _PRIOR**-0.6
    evened /= evened.sum(axis=1, keepdims=True)

    assert choose_power(probabilities, target, _PRIOR) == pytest.approx(1, abs=0.15)
    assert choose_power(evened, target, _PRIOR * 1000) == pytest.approx(0.4, abs=0.15)


def test_cross_decisions_never_use_the_targets_of_their_own_lesion() -> None:
    probabilities, target = _drawn(4, images=400)
    lesions = np.arange(400) // 4
    changed = target.copy()
    changed[:4] = (target[:4] + 1) % 4

    found, other = (
        cross_decide(probabilities, y, _PRIOR, groups=lesions) for y in (target, changed)
    )

    assert (found[:4] == other[:4]).all()
    assert (found == cross_decide(probabilities, target, _PRIOR, groups=lesions)).all()
    plain = balanced_accuracy_score(target, decide(probabilities))
    assert balanced_accuracy_score(target, found) > plain + 0.05


def test_each_of_two_lesions_is_decided_with_the_power_that_the_other_one_wants() -> None:
    probabilities, target = _drawn(6, images=4000)
    first = np.arange(4000) < 2000
    probabilities[first] *= _PRIOR**-0.9  # evened out already
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    powers = [choose_power(probabilities[rows], target[rows], _PRIOR) for rows in (first, ~first)]

    found = cross_decide(probabilities, target, _PRIOR, groups=np.where(first, "a", "b"), folds=2)

    assert powers[0] + 0.3 < powers[1]
    for rows, power in zip((~first, first), powers, strict=True):
        assert (found[rows] == decide(probabilities[rows], prior=_PRIOR, power=power)).all()


def test_decisions_are_compared_in_all_their_scores() -> None:
    probabilities, target = _drawn(5, images=300)
    lesions = np.arange(300) // 2
    rules = {"plain": {}, "balanced": {"prior": _PRIOR}, "own": np.zeros(300, int)}

    table = compare_decisions(probabilities, target, rules, groups=lesions, resamples=50)

    assert list(dict.fromkeys(table["rule"])) == ["plain", "balanced", "own"]
    values = table.set_index(["rule", "metric", "class"])["value"]
    chosen = decide(probabilities, prior=_PRIOR)
    assert values["balanced", "balanced_accuracy", ""] == pytest.approx(
        balanced_accuracy_score(target, chosen)
    )
    recalls = recall_score(target, chosen, average=None)
    assert values["balanced", "sensitivity", "2"] == pytest.approx(recalls[2])
    assert values["own", "sensitivity", "0"] == 1
    assert "log_loss" not in set(table["metric"])
    alone = score(chosen, target, groups=lesions, resamples=50).table
    pd.testing.assert_series_equal(
        table[table["rule"] == "balanced"].set_index(["metric", "class"])["low"].dropna(),
        alone.set_index(["metric", "class"])["low"].dropna(),
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weights": [1, 1], "prior": [1, 1]}, ValueError, "`weights`.*without `prior`"),
        ({"weights": [1, 1, 1]}, ValueError, r"`weights`.*\(2,\)"),
        ({"weights": [1, -1]}, ValueError, "`weights`.*0 or more"),
        ({"weights": [0, 0]}, ValueError, "`weights`.*not all"),
        ({"weights": ["a", "b"]}, TypeError, "`weights`.*numbers"),
        ({"weights": [1, np.nan]}, ValueError, "`weights`.*finite"),
        ({"prior": [1, 0]}, ValueError, "`prior`.*above 0"),
        ({"power": 0.5}, ValueError, "`power`.*without `prior`"),
        ({"prior": [1, 2], "power": np.inf}, ValueError, r"`power`.*-10\.\.10"),
        ({"costs": [0, 1]}, ValueError, r"`costs`.*\(2, 2\)"),
        ({"costs": [[0, np.inf], [1, 0]]}, ValueError, "`costs`.*finite"),
        ({"probabilities": [[0.2, 0.2]]}, ValueError, "`probabilities`.*sum to 1"),
    ],
)
def test_a_mistake_in_a_decision_is_refused(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        decide(**{"probabilities": [[0.2, 0.8]], **options})


def test_a_mistake_in_a_prior_or_a_rule_is_refused() -> None:
    pair = [[0.2, 0.8]]
    with pytest.raises(ValueError, match=r"`old`.*above 0"):
        adjust_prior(pair, [0, 1], [1, 1])
    with pytest.raises(ValueError, match=r"`new`.*0 or more"):
        adjust_prior(pair, [1, 1], [-1, 1])
    with pytest.raises(ValueError, match=r"`new`.*above 0.*1 images"):
        adjust_prior([[0.0, 1.0]], [1, 1], [1, 0])
    with pytest.raises(ValueError, match=r"`old`.*\(2,\)"):
        estimate_prior(pair, [1, 1, 1])
    with pytest.raises(ValueError, match=r"`prior`.*above 0"):
        choose_power(pair, [1], [1, 0])
    with pytest.raises(ValueError, match=r"`folds`.*up to 1"):
        cross_decide(pair, [1], [1, 1])
    with pytest.raises(ValueError, match=r"`rules`.*none"):
        compare_decisions(pair, [1], {})
    with pytest.raises(TypeError, match=r"`rules`.*name of each rule"):
        compare_decisions(pair, [1], [{}])  # type: ignore[arg-type] # refused


def test_a_power_that_overflows_is_refused() -> None:
    for power in (1e4, -np.inf, np.nan):
        with pytest.raises(ValueError, match=r"`power`.*-10\.\.10"):
            decide([[0.5, 0.5]], prior=[1, 3], power=power)

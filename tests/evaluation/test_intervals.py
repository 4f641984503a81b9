import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from dermolib import weighted_accuracy
from dermolib.evaluation import bootstrap_interval


def mean_of(values: Any) -> Any:
    return lambda rows: float(np.asarray(values)[rows].mean())


def test_rows_of_their_own_group_give_the_percentile_bootstrap_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=80)

    interval = bootstrap_interval(mean_of(values), np.arange(80), resamples=4000)

    result = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    assert interval.low == pytest.approx(result.confidence_interval.low, abs=0.02)
    assert interval.high == pytest.approx(result.confidence_interval.high, abs=0.02)
    assert (interval.score, interval.n, interval.groups) == (values.mean(), 80, 80)


def test_images_of_one_lesion_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 30), 5)

    alone = bootstrap_interval(mean_of(values), np.arange(150))
    by_lesion = bootstrap_interval(mean_of(values), np.repeat(np.arange(30), 5))

    assert by_lesion.high - by_lesion.low > 1.5 * (alone.high - alone.low)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcde")), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_the_same_seed_gives_the_same_interval_within_the_range_of_the_score(
    rows: list[tuple[int, str]], seed: int
) -> None:
    values, groups = zip(*rows, strict=True)

    first, again = (
        bootstrap_interval(mean_of(values), groups, resamples=50, seed=seed) for _ in range(2)
    )

    assert first == again
    assert 0 <= first.low <= first.high <= 1


def test_resamples_without_class_0_are_no_reason_to_warn() -> None:
    target = torch.tensor([0, 1, 2, 1, 2, 1, 2, 1])
    interval = bootstrap_interval(
        lambda rows: float(weighted_accuracy(target[rows], target[rows], num_classes=3)),
        np.arange(8),
    )
    assert interval.score == interval.low == 1


def test_a_single_group_has_no_width() -> None:
    interval = bootstrap_interval(mean_of([1, 0]), ["a", "a"])

    assert (interval.low, interval.score, interval.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("groups", "options", "sentence"),
    [
        ([], {}, "`groups` to be a group for each row (N,), but got shape (0,)."),
        ([0], {"resamples": 0}, "`resamples` to be an integer of 1 or more, but got 0."),
        ([0], {"level": 0}, "`level` to be a number above 0 and up to 1, but got 0."),
        ([0], {"seed": -1}, "`seed` to be an integer of 0 or more, but got -1."),
    ],
)
def test_unfit_arguments_are_refused(groups: list[int], options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        bootstrap_interval(mean_of([0]), groups, **options)

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from dermolib import weighted_accuracy
from dermolib.evaluation import bootstrap_interval
from dermolib.evaluation.intervals import interval_ends
from dermolib.evaluation.resampling import jackknife, replicates


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
    st.sampled_from(["percentile", "bca"]),
    st.integers(0, 99),
)
def test_the_same_seed_gives_the_same_interval_within_the_range_of_the_score(
    rows: list[tuple[int, str]], method: str, seed: int
) -> None:
    values, groups = zip(*rows, strict=True)

    with pytest.warns(UserWarning, match="fewer than 20 groups"):
        first, again = (
            bootstrap_interval(mean_of(values), groups, resamples=50, method=method, seed=seed)
            for _ in range(2)
        )

    assert first == again
    assert 0 <= first.low <= first.score <= first.high <= 1


def test_resamples_without_class_0_are_no_reason_to_warn() -> None:
    target = torch.tensor([0] + [1, 2] * 20)
    preds = torch.tensor([0] + [1, 2, 1, 1] * 10)

    interval = bootstrap_interval(
        lambda rows: float(weighted_accuracy(preds[rows], target[rows], num_classes=3)),
        np.arange(41),
    )

    assert interval.low < interval.score < interval.high


def test_unknown_lesions_are_lesions_of_their_own() -> None:
    values = np.random.default_rng(0).normal(size=60)
    unknown = np.array([None, np.nan, "", "NA"] * 10, object)
    named = [f"lesion {number}" for number in range(40)]
    rest = list(np.repeat(list("abcdefghij"), 2))

    interval = bootstrap_interval(mean_of(values), np.array([*unknown, *rest], object))

    assert interval == bootstrap_interval(mean_of(values), [*named, *rest])
    assert interval.groups == 50
    assert bootstrap_interval(mean_of(values), np.full(60, np.nan)).groups == 60


def test_the_bca_interval_of_rows_of_their_own_group_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=80)

    interval = bootstrap_interval(mean_of(values), np.arange(80), resamples=4000, method="bca")

    result = bootstrap((values,), np.mean, n_resamples=4000, random_state=1)
    assert interval.low == pytest.approx(result.confidence_interval.low, abs=0.02)
    assert interval.high == pytest.approx(result.confidence_interval.high, abs=0.02)


def test_resamples_whose_score_is_undefined_are_left_out() -> None:
    values = np.random.default_rng(0).normal(size=40)

    def of_the_first(rows: Any) -> float:
        return float(values[rows].mean()) if (rows == 0).any() else np.nan

    interval = bootstrap_interval(of_the_first, np.arange(40))

    assert -1 < interval.low < interval.score < interval.high < 1


@pytest.mark.parametrize("defined", [0, 40])
def test_scores_that_are_all_undefined_are_refused(defined: int) -> None:
    with pytest.raises(ValueError, match=r"`score` to be .* NaN for (all rows|each resample)"):
        bootstrap_interval(
            lambda rows: 1.0 if len(np.unique(rows)) == defined else np.nan, np.arange(40)
        )


def test_few_lesions_and_an_interval_without_width_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="fewer than 20 groups, 1,"):
        interval = bootstrap_interval(mean_of([1, 0]), ["a", "a"])
    with pytest.warns(UserWarning, match="no width"):
        perfect = bootstrap_interval(mean_of(np.ones(30)), np.arange(30))

    assert (interval.low, interval.score, interval.high) == (0.5, 0.5, 0.5)
    assert (perfect.low, perfect.high) == (1, 1)


@pytest.mark.parametrize(
    ("groups", "options", "sentence"),
    [
        ([], {}, "`groups` to be a group for each row (N,), but got shape (0,)."),
        ([[0, 1]], {}, "`groups` to be a group for each"),
        ([0], {"resamples": 0}, "`resamples` to be an integer of 1 or more, but got 0."),
        ([0], {"level": 0}, "`level` to be a number above 0 and up to 1, but got 0."),
        ([0], {"method": "basic"}, "`method` to be one of 'percentile', 'bca', but got 'basic'."),
        ([0], {"seed": -1}, "`seed` to be an integer of 0 or more, but got -1."),
    ],
)
def test_unfit_arguments_are_refused(groups: Any, options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        bootstrap_interval(mean_of([0]), groups, **options)


def weighted_mean(values: Any) -> Any:
    """Make a statistic of weights (R, G) of the mean of a value of each group."""
    column = np.asarray(values, np.float64)
    return lambda weights: (weights.astype(np.float64) @ column / weights.sum(axis=1))[:, None]


@pytest.mark.parametrize(("method", "name"), [("percentile", "percentile"), ("bca", "BCa")])
def test_ends_of_independent_rows_are_those_of_scipy(method: str, name: Any) -> None:
    values = np.random.default_rng(0).exponential(size=100)
    statistic = weighted_mean(values)
    drawn = replicates(statistic, 100, resamples=20_000, seed=0)

    low, high = interval_ends(
        np.array([values.mean()]), drawn, jackknife(statistic, 100), method=method
    )

    result = bootstrap((values,), np.mean, n_resamples=20_000, method=name, random_state=1)
    assert low[0] == pytest.approx(result.confidence_interval.low, abs=0.01)
    assert high[0] == pytest.approx(result.confidence_interval.high, abs=0.01)


def test_ends_are_those_of_the_published_formula() -> None:
    generator = np.random.default_rng(3)
    drawn, left_out = generator.gamma(2, size=(999, 1)), generator.gamma(2, size=(50, 1))
    value = 1.5

    low, high = interval_ends(np.array([value]), drawn, left_out, level=0.9)

    bias = norm.ppf((drawn < value).mean())
    moves = left_out.mean() - left_out
    acceleration = (moves**3).sum() / (6 * (moves**2).sum() ** 1.5)
    ends = []
    for tail in (0.05, 0.95):
        shifted = bias + norm.ppf(tail)
        ends.append(np.quantile(drawn, norm.cdf(bias + shifted / (1 - acceleration * shifted))))
    assert [low[0], high[0]] == pytest.approx(ends, abs=1e-12)


def test_replicates_equal_to_the_value_count_half_for_the_bias() -> None:
    drawn = np.array([0.0] * 25 + [1.0] * 50 + [2.0] * 25)[:, None]

    ends = interval_ends(np.array([1.0]), drawn, level=0.6)

    assert [end[0] for end in ends] == [0, 2]  # no bias: quantiles 0.2 and 0.8


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan]), min_size=1, max_size=30),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from(["percentile", "bca"]),
    st.sampled_from([0.5, 0.95, 1.0]),
)
def test_ends_hold_the_value_and_are_each_columns_own(
    replicas: list[float], value: float, method: str, level: float
) -> None:
    columns = np.array([replicas, np.zeros(len(replicas))]).T
    values, left_out = np.array([value, 0.0]), columns[:7]

    low, high = interval_ends(values, columns, left_out, method=method, level=level)

    if np.isnan(replicas).all():
        assert np.isnan([low[0], high[0]]).all()
    else:
        assert low[0] <= value <= high[0]
    assert (low[1], high[1]) == (0, 0)
    alone = interval_ends(values[:1], columns[:, :1], left_out[:, :1], method=method, level=level)
    np.testing.assert_array_equal(alone, [low[:1], high[:1]])


def test_nan_replicates_are_left_out() -> None:
    drawn = np.random.default_rng(0).normal(size=(500, 1))
    holes = np.concatenate([drawn, np.full((100, 1), np.nan)])[
        np.random.default_rng(1).permutation(600)
    ]
    value = np.array([0.1])

    assert interval_ends(value, holes) == interval_ends(value, drawn)


def test_a_value_beyond_all_replicates_is_an_end() -> None:
    low, high = interval_ends(np.array([5.0]), np.linspace(0, 4, 1000)[:, None])

    assert 3.9 < low[0] <= 4
    assert high[0] == 5


@pytest.mark.parametrize("acceleration", [-0.1, 0.0, 0.1])
def test_tails_that_are_rounded_to_all_or_nothing_have_ends(acceleration: float) -> None:
    drawn = np.random.default_rng(0).normal(size=(50, 1))
    left_out = np.array([[0.0], [0.0], [-acceleration], [0.0]])
    low, high = interval_ends(np.zeros(1), drawn, left_out, method="smoothed", level=1 - 1e-12)
    assert low[0] < 0 < high[0]

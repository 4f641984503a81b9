"""How far two splits differ: `find_shifts` itself, since `audit` fixes its permutations."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dermolib.auditing.rows import gather
from dermolib.auditing.shift import find_shifts


def frame(**columns: Any) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"id": [f"I{number}" for number in range(count)], **columns})


def shift_of(
    first: pd.DataFrame, second: pd.DataFrame, column: str, **options: Any
) -> dict[str, Any]:
    """Compare one column of two splits."""
    second = second.assign(id=[f"J{number}" for number in range(len(second))])
    table = find_shifts(gather(first, second), **options).set_index("column")
    row: dict[str, Any] = {str(name): value for name, value in table.loc[column].items()}
    return row


def ages(seed: int, count: int, middle: float) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(middle, 15, count).round()


def test_ages_are_compared_as_kolmogorov_and_smirnov_do() -> None:
    first, second = ages(0, 300, 50), ages(1, 200, 56)

    row = shift_of(frame(age=first), frame(age=second), "age")

    reference = stats.ks_2samp(first, second)
    assert row["distance"] == pytest.approx(reference.statistic)
    assert row["first_median"] == np.median(first)
    assert row["second_median"] == np.median(second)
    assert row["p_value"] == pytest.approx(reference.pvalue, abs=0.02)


def test_sexes_are_compared_by_total_variation() -> None:
    first = frame(sex=["female"] * 30 + ["male"] * 70)
    second = frame(sex=["female"] * 60 + ["male"] * 40)

    row = shift_of(first, second, "sex")

    assert row["distance"] == pytest.approx(0.3)
    assert (row["severity"], row["measure"]) == ("large", "total variation")
    assert {row["first_fraction"], row["second_fraction"]} in ({0.3, 0.6}, {0.7, 0.4})


def test_unknown_values_and_impossible_ages_are_left_out() -> None:
    first = frame(age=[30.0, np.inf, 50.0], sex=["male", "", ""], label=[1, None, 1])
    second = frame(age=[np.nan, 30.0, 50.0], sex=["", "", ""], label=[1, 1, 1])

    table = find_shifts(gather(first, second.assign(id=["x", "y", "z"]))).set_index("column")

    assert list(table.index) == ["age", "class"]
    assert table["distance"].tolist() == [0, 0]
    assert table["first_known"].tolist() == [2, 2]
    assert table["second_known"].tolist() == [2, 3]
    assert table.loc["class", "category"] == "NV"


def test_classes_are_named_by_their_codes() -> None:
    row = shift_of(frame(label=[0] * 9), frame(label=[0] * 6 + [7] * 3), "class")

    assert row["distance"] == pytest.approx(1 / 3)
    assert row["category"] in ("MEL", "SCC")


@pytest.mark.parametrize("column", ["age", "site"])
def test_splits_without_a_common_value_have_distance_one(column: str) -> None:
    first, second = frame(age=[1.0, 2.0], site=["a", "a"]), frame(age=[3.0, 9.0], site=["b", "c"])

    assert shift_of(first, second, column)["distance"] == 1


@pytest.mark.parametrize(
    ("fraction", "severity"),
    [(0.5, "none"), (0.52, "small"), (0.54, "small"), (0.6, "moderate"), (0.7, "large")],
)
def test_a_significant_distance_is_judged_by_its_size(fraction: float, severity: str) -> None:
    many = int(fraction * 20_000)
    first = frame(sex=["female"] * 10_000 + ["male"] * 10_000)
    second = frame(sex=["female"] * many + ["male"] * (20_000 - many))

    row = shift_of(first, second, "sex", permutations=99)

    assert row["distance"] == pytest.approx(fraction - 0.5)
    assert row["severity"] == severity
    assert row["p_value"] == (1 if severity == "none" else 0.01)


@pytest.mark.parametrize("column", ["lesion", "patient"])
def test_images_of_one_lesion_or_patient_are_no_independent_evidence(column: str) -> None:
    generator = np.random.default_rng(3)
    sexes = [generator.choice(["female", "male"], 20).repeat(30) for _ in range(2)]
    groups = [np.array([f"{side}{number}" for number in range(20)]).repeat(30) for side in "ab"]
    alone = [frame(sex=sex) for sex in sexes]
    grouped = [table.assign(**{column: group}) for table, group in zip(alone, groups, strict=True)]

    images = shift_of(alone[0], alone[1], "sex")
    clusters = shift_of(grouped[0], grouped[1], "sex")

    assert images["distance"] == clusters["distance"] > images["null_quantile"]
    assert clusters["distance"] <= clusters["null_quantile"]
    assert (images["severity"] != "none", clusters["severity"]) == (True, "none")


def test_without_permutations_there_is_no_null_quantile() -> None:
    row = shift_of(frame(sex=["male"] * 3), frame(sex=["female"] * 3), "sex", permutations=0)
    single = shift_of(frame(age=[30.0] * 5, lesion=["L"] * 5), frame(age=[40.0, 50.0]), "age")

    assert np.isnan([row["null_quantile"], row["p_value"], single["null_quantile"]]).all()
    assert row["severity"] == "large"


def test_every_pair_of_splits_is_compared() -> None:
    splits = {name: frame(sex=["male"]).assign(id=[name]) for name in ("a", "b", "c")}

    table = find_shifts(gather(splits, None))

    pairs = table[["first", "second"]].to_numpy().tolist()
    assert pairs == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_random_splits_are_significant_as_rarely_as_promised() -> None:
    generator = np.random.default_rng(0)
    within = 0
    for number in range(60):
        sites = generator.choice(list("abcde"), 120)
        row = shift_of(
            frame(site=sites[:80]), frame(site=sites[80:]), "site", permutations=99, seed=number
        )
        within += row["severity"] == "none"

    # 57 of 60 are to be expected; fewer than 50 would be one such test in thousands
    assert within >= 50


@settings(max_examples=40)
@given(
    first=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    second=st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_a_distance_lies_in_0_to_1_and_is_symmetric(first: list[int], second: list[int]) -> None:
    one, other = frame(label=first, age=first), frame(label=second, age=second)
    for column in ("class", "age"):
        there = shift_of(one, other, column, permutations=3)["distance"]
        back = shift_of(other, one, column, permutations=3)["distance"]

        assert there == pytest.approx(back, abs=1e-12)
        assert 0 <= there <= 1 + 1e-12
        assert (there < 1e-12) == fractions_equal(first, second)


def fractions_equal(first: list[int], second: list[int]) -> bool:
    counts = [np.bincount(values, minlength=7) for values in (first, second)]
    return bool((counts[0] * len(second) == counts[1] * len(first)).all())

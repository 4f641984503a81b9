import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from dermolib.evaluation import coverage_table


def test_coverage_counts_each_lesion_once_and_image_coverage_each_image() -> None:
    sets = np.array([[True, False], [True, False], [False, True], [False, True], [True, True]])

    table = coverage_table(sets, [0, 0, 0, 0, 1], groups=[7, 7, 7, 8, 9], label_space=["MEL", "NV"])

    row = table.set_index("class").loc["MEL"]
    assert row["coverage"] == pytest.approx((2 / 3 + 0) / 2)
    assert row["image_coverage"] == 0.5
    assert (row["n"], row["groups"], row["few"]) == (4, 2, True)
    assert table["class"].tolist() == ["", "MEL", "NV"]
    assert table.loc[0, "size"] == pytest.approx((1 + 1 + 2) / 3)
    assert table.loc[0, "single"] == pytest.approx(2 / 3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_with_an_image_for_each_lesion_all_is_a_plain_mean_and_intervals_hold_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sets, target = generator.random((40, 3)) < 0.6, generator.integers(0, 3, 40)

    table = coverage_table(sets, target, resamples=50)

    for k in range(3):
        own = sets[target == k]
        row = table.iloc[k + 1]
        expected = [own[:, k].mean(), own.sum(axis=1).mean(), (own.sum(axis=1) == 0).mean()]
        assert row[["coverage", "size", "empty"]].tolist() == pytest.approx(expected)
        assert row["image_coverage"] == pytest.approx(row["coverage"])
    assert (table["low"] <= table["coverage"]).all()
    assert (table["coverage"] <= table["high"]).all()
    assert (table["size_low"] <= table["size"]).all()
    assert (table["size"] <= table["size_high"]).all()


def test_where_all_lesions_are_covered_the_interval_is_that_of_clopper_and_pearson() -> None:
    sets = np.ones((60, 2), bool)

    table = coverage_table(sets, [0] * 60, groups=np.repeat(range(30), 2), resamples=50)

    exact = binomtest(30, 30).proportion_ci(0.95, method="exact")
    assert table[["low", "high"]].iloc[1].tolist() == pytest.approx([exact.low, exact.high])
    none = coverage_table(~sets, [0] * 60, resamples=50)
    exact = binomtest(0, 60).proportion_ci(0.95, method="exact")
    assert none[["low", "high"]].iloc[1].tolist() == pytest.approx([exact.low, exact.high])


def test_a_class_without_images_is_nan_and_marked() -> None:
    table = coverage_table(np.ones((12, 2), bool), [0] * 12, resamples=20)

    assert table[["coverage", "low", "high", "size", "image_coverage"]].iloc[2].isna().all()
    assert table["few"].tolist() == [False, False, True]
    assert table[["n", "groups"]].iloc[2].tolist() == [0, 0]


def test_probabilities_and_other_numbers_of_classes_or_rows_are_no_sets() -> None:
    sets = np.ones((4, 2), bool)
    with pytest.raises(TypeError, match=r"`sets`.*ConformalSets.predict"):
        coverage_table(sets * 0.5, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"`sets`.*shape \(4,\)"):
        coverage_table(sets[:, 0], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"`target` to be a class for each set \(4,\)"):
        coverage_table(sets, [0, 1])
    with pytest.raises(ValueError, match="`sets` to be sets of the 3 classes"):
        coverage_table(sets, [0, 1, 0, 1], label_space=["A", "B", "C"])
    with pytest.raises(ValueError, match=r"`level`.*below 1"):
        coverage_table(sets, [0, 1, 0, 1], level=1.0)


def test_codes_of_a_data_frame_name_the_rows() -> None:
    sets = pd.DataFrame(np.eye(2, dtype=bool), columns=["MEL", "NV"])

    assert coverage_table(sets, ["MEL", "NV"], resamples=20)["class"].tolist() == ["", "MEL", "NV"]


def test_rows_of_other_lengths_are_no_sets() -> None:
    with pytest.raises(ValueError, match=r"`sets`.*rows of different lengths"):
        coverage_table([[True], [True, False]], [0, 1])

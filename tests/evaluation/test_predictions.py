"""Predictions, targets and groups, as everything that judges them reads them."""

import numpy as np
import pandas as pd
import pytest

from dermolib.evaluation.predictions import number_groups, read_predictions


@pytest.mark.parametrize("missing", [None, np.nan, "", "unknown"])
def test_a_missing_group_is_a_group_of_its_own_wherever_it_stands(missing: object) -> None:
    assert number_groups(["a", "a", missing], 3).tolist() == [0, 0, 1]
    assert number_groups([missing, "b", missing, "b"], 4).tolist() == [0, 1, 2, 1]


def test_numbers_that_are_missing_are_groups_of_their_own() -> None:
    assert number_groups(np.array([7, -1, 7, -1]), 4).tolist() == [0, 1, 0, 2]
    assert number_groups(np.array([7, np.nan, 7]), 3).tolist() == [0, 1, 0]


def test_probabilities_stay_as_given_so_that_ties_stay_ties() -> None:
    values = np.array([[0.3333, 0.3333, 0.3333], [0.3333, 0.3333, 0.3334]])
    found = read_predictions(values, [0, 1])
    assert np.array_equal(found.probabilities, values)
    assert found.sum_to_one
    assert not read_predictions([[0.3, 0.3]], [0], values="independent").sum_to_one


def test_data_frames_and_columns_with_ids_are_put_in_one_order() -> None:
    probabilities = pd.DataFrame(
        {"A": [0.9, 0.2, 0.6], "B": [0.1, 0.8, 0.4]}, index=["x", "y", "z"]
    )
    target = pd.Series(["B", "A", "A"], index=["y", "z", "x"])
    groups = pd.Series(["p", "q", "p"], index=["z", "y", "x"])
    found = read_predictions(probabilities, target, groups)
    assert found.target.tolist() == [0, 1, 0]
    assert found.groups.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match=r"`target` to be of the same images .* 1 missing \(y\)"):
        read_predictions(probabilities, target.rename({"y": "other"}), groups)


def test_an_index_of_row_numbers_in_another_order_is_read_as_ids() -> None:
    probabilities = pd.DataFrame({"A": [0.9, 0.2, 0.6], "B": [0.1, 0.8, 0.4]})
    target = pd.Series([1, 0, 0], index=[1, 2, 0])
    assert read_predictions(probabilities, target).target.tolist() == [0, 1, 0]
    assert read_predictions(probabilities.to_numpy(), target).target.tolist() == [1, 0, 0]


def test_numbers_of_pandas_that_may_be_missing_are_read_as_numbers() -> None:
    table = pd.DataFrame({"A": [0.9, 0.2], "B": [0.1, 0.8]}).convert_dtypes()
    assert read_predictions(table, [0, 1]).probabilities.tolist() == [[0.9, 0.1], [0.2, 0.8]]
    table.loc[1, "A"] = pd.NA
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 row \(first: 1\)"):
        read_predictions(table, [0, 1])
    masked = np.ma.masked_array([[0.9, 0.1], [0.2, 0.8]], [[False, False], [True, False]])
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 row \(first: 1\)"):
        read_predictions(masked, [0, 1])


def test_a_target_that_is_nothing_or_huge_is_refused_in_words() -> None:
    table = pd.DataFrame({"A": [0.9, 0.2], "B": [0.1, 0.8]})
    for target, what in ((None, r"shape \(\)"), ([1e30, 0.0], r"1e\+30"), ([0.5, 1.0], r"0\.5")):
        with pytest.raises((TypeError, ValueError), match=rf"`target` to be classes.*{what}"):
            read_predictions(table, target)
    with pytest.raises(ValueError, match=r"numbers of classes up to 10,000, but got 123,456"):
        read_predictions([0, 123_456], [0, 1])
    with pytest.raises(TypeError, match="None of type NoneType"):
        read_predictions(None, [0, 1])


def test_bfloat16_probabilities_are_told_where_to_be_computed() -> None:
    torch = pytest.importorskip("torch")
    table = torch.full((2, 256), 1 / 256).bfloat16()
    table[:, 0] = 0.01
    with pytest.raises(ValueError, match=r"rows that sum to 1.*softmax in float32"):
        read_predictions(table, [0, 1])


def test_percentages_and_rounded_probabilities_get_their_remedy() -> None:
    with pytest.raises(ValueError, match=r"percentages: divide them by 100"):
        read_predictions([[90.0, 10.0], [25.5, 74.5]], [0, 1])
    with pytest.raises(ValueError, match=r"rounded probabilities by the sum of their row"):
        read_predictions([[0.33, 0.33, 0.33]], [0])

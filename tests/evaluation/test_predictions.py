"""Predictions, targets and groups, as everything that judges them reads them."""

import numpy as np
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

import pandas as pd
import pytest

from dermolib.evaluation.fitted_ids import ids_of, refuse_fitted
from dermolib.evaluation.predictions import align_probabilities


class WithIds:
    ids = ("a", "b")


def test_ids_are_those_given_or_those_of_the_data_set_and_missing_ones_count_for_nothing() -> None:
    assert ids_of(None, WithIds(), 2) == {"a", "b"}
    assert ids_of([7.0, None], WithIds(), 2) == {"7"}
    assert ids_of(None, [0, 1], 2) == frozenset()


def test_an_image_on_both_lists_is_refused_by_name() -> None:
    refuse_fitted(frozenset("ab"), frozenset("cd"), "the sets")

    with pytest.raises(
        ValueError, match=r"`ids`.*the temperature, but got 2 of 3 that did \(b, c\)"
    ):
        refuse_fitted(frozenset("abc"), frozenset("bcd"), "the temperature")


def test_columns_come_in_the_order_of_known_codes_and_other_columns_are_refused() -> None:
    table = pd.DataFrame({"NV": [0.75], "MEL": [0.25]})

    assert align_probabilities(table, ("MEL", "NV")).tolist() == [[0.25, 0.75]]
    with pytest.raises(ValueError, match="`probabilities` to be a column for each class"):
        align_probabilities(table, ("MEL", "BCC"))


def test_the_ending_of_a_file_is_no_part_of_an_id() -> None:
    assert ids_of(["ISIC_1.jpg", "ISIC_2"], None, 2) == {"ISIC_1", "ISIC_2"}

"""Which rows belong together, and texts in few arrays."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.datasets import group_names, read_table
from dermolib.datasets.groups import joined_groups


def table(**columns: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"id": list("ABCDE"), **columns})


def test_a_patient_joins_lesions() -> None:
    rows = table(lesion=["L1", "L2", "", "L3", ""], patient=["P1", "P1", "P1", "", ""])

    assert group_names(rows).tolist() == ["P1", "P1", "P1", "L3", "E"]


def test_a_lesion_joins_a_row_without_patient_to_the_patient() -> None:
    rows = table(lesion=["L1", "L1", "L2", "L2", ""], patient=["", "P1", "P1", "P2", "P2"])

    assert group_names(rows).tolist() == ["P1"] * 5


def test_missing_values_of_any_kind_join_nothing() -> None:
    rows = table(lesion=[None, None, "", "L", "L"])

    assert group_names(rows).tolist() == ["A", "B", "C", "L", "L"]


@pytest.mark.parametrize(
    "lesions", [["1", "1.0", " 1 ", "2", "02"], [1, 1.0, np.float32(1), 2, "02"]]
)
def test_a_number_is_one_lesion_however_it_is_written(lesions: list[Any]) -> None:
    frame = pd.DataFrame({"id": list("ABCDE"), "lesion": pd.Series(lesions, dtype=object)})

    assert joined_groups(frame).tolist() == [0, 0, 0, 1, 2]
    assert read_table(frame)["lesion"].tolist() == ["1", "1", "1", "2", "02"]


def test_placeholders_join_nothing() -> None:
    rows = table(lesion=["unknown", "NaN", "n/a", "None", "L"], patient=["nan", "NA", "", "", ""])

    assert len(set(joined_groups(rows))) == 5


def test_pairs_join_groups() -> None:
    rows = table(lesion=["L1", "L1", "L2", "", ""])

    groups = joined_groups(rows, np.array([[1, 2], [3, 4]]))

    assert groups[0] == groups[1] == groups[2] != groups[3] == groups[4]


def test_a_table_of_no_rows_has_no_groups() -> None:
    assert group_names(pd.DataFrame({"id": [], "lesion": []})).tolist() == []


NAMES = st.sampled_from(["", "X", "Y", "Z"])


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12))
def test_groups_are_those_of_following_every_link(rows: list[tuple[str, str]]) -> None:
    names = [f"I{row}" for row in range(len(rows))]
    lesions = [lesion for lesion, _ in rows]
    patients = [patient.lower() for _, patient in rows]  # a patient is not called as a lesion is
    frame = pd.DataFrame({"id": names, "lesion": lesions, "patient": patients})

    groups = joined_groups(frame)

    expected = list(range(len(rows)))  # the textbook way: rename until nothing changes
    for _ in rows:
        for first in range(len(rows)):
            for second in range(len(rows)):
                same = any(a and a == b for a, b in zip(rows[first], rows[second], strict=True))
                if same:
                    lowest = min(expected[first], expected[second])
                    expected[first] = expected[second] = lowest
    assert np.unique(expected, return_inverse=True)[1].tolist() == groups.tolist()
    assert (pd.factorize(group_names(frame))[0] == pd.factorize(groups)[0]).all()

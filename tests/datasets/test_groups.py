"""Which rows belong together."""

import itertools
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


PLACEHOLDERS = {"lesion": ["unknown", "NaN", "n/a", "", "L"], "patient": ["nan", "NA", "", "", ""]}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (
            {"lesion": ["L1", "L2", "", "L3", ""], "patient": ["P1", "P1", "P1", "", ""]},
            ["P1", "P1", "P1", "L3", "E"],
        ),
        (
            {"lesion": ["L1", "L1", "L2", "L2", ""], "patient": ["", "P1", "P1", "P2", "P2"]},
            ["P1"] * 5,
        ),
        ({"lesion": [None, None, "", "L", "L"]}, ["A", "B", "C", "L", "L"]),
        ({"lesion": ["L", "", "", "", ""], "parent_id": ["", "A", "B", "Z", "D"]}, [*"LLLZZ"]),
        (PLACEHOLDERS, ["A", "B", "C", "D", "L"]),
    ],
    ids=["a patient", "a lesion joins patients", "missing values", "augmented", "placeholders"],
)
def test_rows_are_joined_by_patient_lesion_and_parent(
    columns: dict[str, list[str | None]], names: list[str]
) -> None:
    assert group_names(table(**columns)).tolist() == names


@pytest.mark.parametrize(
    "lesions", [["1", "1.0", " 1 ", "2", "02"], [1, 1.0, np.float32(1), 2, "02"]]
)
def test_a_number_is_one_lesion_however_it_is_written(lesions: list[Any]) -> None:
    frame = pd.DataFrame({"id": list("ABCDE"), "lesion": pd.Series(lesions, dtype=object)})

    assert joined_groups(frame).tolist() == [0, 0, 0, 1, 2]
    assert read_table(frame)["lesion"].tolist() == ["1", "1", "1", "2", "02"]


def test_pairs_join_groups() -> None:
    groups = joined_groups(table(lesion=["L1", "L1", "L2", "", ""]), np.array([[1, 2], [3, 4]]))

    assert groups.tolist() == [0, 0, 0, 1, 1]
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
        for first, second in itertools.product(range(len(rows)), repeat=2):
            if any(a and a == b for a, b in zip(rows[first], rows[second], strict=True)):
                expected[first] = expected[second] = min(expected[first], expected[second])
    assert np.unique(expected, return_inverse=True)[1].tolist() == groups.tolist()
    assert (pd.factorize(group_names(frame))[0] == pd.factorize(groups)[0]).all()

"""Tables of several collections merged: one row per image, and what they disagree on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dermolib import ISICDataset, merge_tables
from dermolib.datasets import read_isic2018, read_isic2019, read_isic2020, read_table
from dermolib.labels import label_space_of
from releases import write_isic2018, write_isic2019, write_isic2020


def test_images_of_2018_and_2019_are_one_in_a_merged_table(tmp_path: Path) -> None:
    first = read_isic2018(write_isic2018(tmp_path / "2018"))
    second = read_isic2019(write_isic2019(tmp_path / "2019"))

    table, conflicts = merge_tables([first, second])

    assert table["id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"]
    assert table["label"].tolist() == [1, 7, 0, 1]  # akiec is SCC by the later table
    assert table["label"].dtype == np.int64
    told = conflicts[["id", "column", "kept", "other"]].to_numpy().tolist()
    assert sorted(told) == [
        ["ISIC_1", "label", 1, 0],
        ["ISIC_2", "lesion", "HAM_2", "BCN_1"],
        ["ISIC_3", "label", 0, 3],
        ["ISIC_3", "lesion", "HAM_1", "BCN_1"],
    ]
    assert {*conflicts["kept_source"]} == {"ISIC 2018"}
    assert {*conflicts["other_source"]} == {"ISIC 2019"}
    assert ISICDataset(table).labels.tolist() == [1, 7, 0, 1]


def test_a_merged_table_keeps_targets_of_one_collection(tmp_path: Path) -> None:
    first = read_isic2019(write_isic2019(tmp_path / "2019"))
    second = read_isic2020(write_isic2020(tmp_path / "2020"))

    table, _ = merge_tables([first, second])

    assert len(table) == 5  # ISIC_1 to ISIC_4, and ISIC_0 of 2020 alone
    by_id = table.set_index("id")
    assert by_id.loc["ISIC_1", "malignant"]
    assert by_id["malignant"].isna().loc["ISIC_4"]
    assert by_id.loc["ISIC_1", "patient"] == "IP_0"


def frame(ids: str, lesions: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "lesion": lesions.split("."), **columns})


def test_lesions_that_share_an_image_are_one_in_a_merged_table() -> None:
    first = frame("xz", "HAM_1.HAM_1", patient=["", "P1"])
    second = frame("xyw", "L9.L9.L8", patient=["P7", "P7", "P8"])

    table, conflicts = merge_tables([first, second])

    wanted = {"x": "HAM_1", "z": "HAM_1", "y": "HAM_1", "w": "L8"}
    assert table.set_index("id")["lesion"].to_dict() == wanted
    assert conflicts[["id", "column", "kept", "other"]].to_numpy().tolist() == [
        ["x", "lesion", "HAM_1", "L9"]
    ]
    with pytest.warns(UserWarning, match=r"several patients each \(HAM_1\)"):
        groups = ISICDataset(table.assign(image_path="-", mask_path="")).groups
    assert groups[0] == groups[1] == groups[2] != groups[3]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sex": pd.Categorical(["male"])}, {"sex": pd.Categorical(["female"])}),
        ({"age": [1]}, {"age": [1.5]}),
        ({"lesion": [np.nan]}, {"lesion": ["L1"]}),
        ({"lesion": [3]}, {"lesion": ["L1"]}),
        ({"age": [40]}, {"age": [np.nan]}),
        ({"patient": [4]}, {}),
    ],
)
def test_columns_of_any_types_merge_without_a_value_lost(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    tables = [pd.DataFrame({"id": [name], **more}) for name, more in (("a", first), ("b", second))]

    merged, conflicts = merge_tables(tables)

    assert conflicts.empty
    for column, values in first.items():
        assert str(merged[column].iloc[0]) in {str(values[0]), f"{values[0]}.0", ""}
    for column, values in second.items():
        assert str(merged[column].iloc[1]) == str(values[0])


def test_a_code_that_cannot_be_the_diagnosis_of_another_table_is_a_conflict() -> None:
    first = pd.DataFrame({"id": ["A", "B"], "diagnosis": ["akiec", "AKIEC"], "source": ["H", "H"]})
    second = pd.DataFrame({"id": ["A", "B"], "label": [1, 7], "source": ["I", "I"]})

    table, conflicts = merge_tables([first, second])

    assert table["label"].tolist() == [1, 7]
    assert conflicts.to_numpy().tolist() == [["A", "label", 1, "I", "akiec", "H"]]


@pytest.mark.parametrize(
    ("tables", "error", "fragment"),
    [
        ([], ValueError, "a list of one table or more"),
        (pd.DataFrame({"id": ["A"]}), ValueError, "one table or more, but got DataFrame"),
        ([pd.DataFrame({"ID": ["A"]}), {}], TypeError, r"`tables\[1\]` to be a data frame"),
        ([pd.DataFrame({"name": ["A"]})], ValueError, r"`tables\[0\]` to be a table with a column"),
    ],
)
def test_what_is_not_tables_is_refused(tables: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        merge_tables(tables)


def test_tables_of_two_spaces_are_merged_in_the_one_asked_for() -> None:
    ham = pd.DataFrame({"ID": ["A", "B"], "dx": ["akiec", "nv"]})
    isic = pd.DataFrame({"ID": ["A", "C"], "dx": ["SCC", "AK"]})
    tables = [read_table(isic, label_space="challenge"), read_table(ham, label_space="isic2018")]

    words = "of one label space, but got the label space challenge and the label space isic2018"
    with pytest.raises(ValueError, match=words):
        merge_tables(tables)
    table, conflicts = merge_tables(tables, label_space="challenge")
    assert table["label"].tolist() == [7, 3, 1]
    assert label_space_of(table).name == "challenge"
    assert conflicts.empty
    table, conflicts = merge_tables(tables, label_space="isic2018")
    assert table["label"].tolist() == [3, 3, 1]
    assert conflicts.empty

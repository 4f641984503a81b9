"""Files of classes, groups and other columns, brought together by id."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.evaluation.files import (
    Truth,
    as_given,
    read_answers,
    read_groups,
    read_prediction,
    read_subgroups,
    read_truth,
)

_IDS = ("a", "b", "c", "d")


def truth_of(ids: Sequence[str] = _IDS, id_column: str = "image") -> Truth:
    """Make a truth in which NV and MEL take turns."""
    nv = [number % 2 == 0 for number in range(len(ids))]
    table = pd.DataFrame({id_column: ids, "NV": nv, "MEL": [not one for one in nv]})
    return read_truth(table.astype({"NV": int, "MEL": int}), None)


def answer_of(ids: Sequence[str], nv: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame({"MEL": 1 - np.array(nv), "image": ids, "NV": nv})


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_truth_knows_its_classes_as_a_label_space_and_labels() -> None:
    truth = truth_of()

    assert truth.label_space.codes == ("NV", "MEL")
    assert truth.target.tolist() == [0, 1, 0, 1]
    assert truth.take([2, 1]).ids.tolist() == ["c", "b"]
    assert truth.take([2, 1]).target.tolist() == [0, 1]


def test_a_truth_of_one_column_is_that_class_against_the_rest() -> None:
    table = pd.DataFrame({"image": ["a", "b", "c"], "MEL": [1, 0, 0]})

    truth = read_truth(table, None)

    assert truth.label_space.codes == ("rest", "MEL")
    assert truth.target.tolist() == [1, 0, 0]


def test_a_truth_of_target_is_benign_and_malignant() -> None:
    truth = read_truth(pd.DataFrame({"isic_id": ["a", "b"], "target": [0, 1]}), None)

    assert truth.label_space.name == "binary"
    assert truth.target.tolist() == [0, 1]


@given(st.permutations(_IDS), st.permutations(_IDS))
def test_the_order_of_rows_does_not_matter(first: list[str], second: list[str]) -> None:
    value = dict(zip(_IDS, (0.1, 0.2, 0.3, 0.4), strict=True))
    answers = [answer_of(ids, [value[one] for one in ids]) for ids in (first, second)]

    known, values = read_answers(answers, truth_of())

    assert known.ids.tolist() == list(_IDS)
    for one in (*values, *(read_prediction(answer, known) for answer in answers)):
        np.testing.assert_array_equal(one[:, 0], [0.1, 0.2, 0.3, 0.4])


def test_models_may_predict_a_part_of_the_truth() -> None:
    answers = [answer_of(["d", "b"], [0.4, 0.2]), answer_of(["b", "d"], [0.3, 0.5])]

    known, (first, second) = read_answers(answers, truth_of())

    assert known.ids.tolist() == ["b", "d"]
    assert first[:, 0].tolist() == [0.2, 0.4]
    assert second[:, 0].tolist() == [0.3, 0.5]


def test_models_of_other_images_are_refused_by_some_names() -> None:
    answers = [answer_of(["a", "b"], [0.4, 0.2]), answer_of(["b", "x"], [0.3, 0.5])]

    with pytest.raises(ValueError, match=r"1 missing \(a\) and 1 unexpected \(x\)"):
        read_answers(answers, truth_of())
    with pytest.raises(ValueError, match=r"ids of truth, but got 1 other \(x\)"):
        read_answers(answers[1:] * 2, truth_of())


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("image,lesion_id", "lesion_id"),
        ("ISIC_ID,LESION", "LESION"),
        ("image_id,patient_id", "patient_id"),
        ("patient,image,lesion_id", "lesion_id"),
    ],
)
def test_groups_are_found_by_the_names_that_collections_use(
    tmp_path: Path, header: str, named: str
) -> None:
    columns = header.split(",")
    cells = {"image": "c.jpg", "ISIC_ID": "c.JPG", "image_id": "c", named: "L7.0"}
    row = ",".join(cells.get(column, "P1") for column in columns)
    other = ",".join(
        {"c.jpg": "a", "c.JPG": "a", "c": "a"}.get(x, "unknown") for x in row.split(",")
    )

    column, groups = read_groups(written(tmp_path, f"{header}\n{row}\n{other}\n"), truth_of())

    assert column == named
    assert groups.tolist() == ["", "", "L7.0", ""]


def test_rows_of_lesions_are_grouped_by_patient(tmp_path: Path) -> None:
    truth = truth_of(id_column="lesion_id")
    path = written(tmp_path, "lesion_id,isic_id,patient_id\na,1,P\na,2,P\nb,3,P\nc,4,Q\n")

    assert read_groups(path, truth)[1].tolist() == ["P", "P", "Q", ""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,LESION_ID\na,1\na,2\n", r"one LESION_ID for each id.*row 3 \(a\): 2"),
        ("image,age\na,1\n", "a column of ids and a column `lesion_id` or `patient_id`"),
        ("file,lesion\na,1\n", "a column of ids and a column"),
        ("image,lesion\nx,1\n", "ids of truth, but got x and none of them"),
        ("image,lesion\n", "ids of truth"),
        ("image,lesion\na\n", "2 fields in each row"),
        ("", "an empty file"),
    ],
)
def test_groups_that_cannot_be_read_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_groups(written(tmp_path, text), truth_of())


def test_columns_of_numbers_are_numbers_and_others_text(tmp_path: Path) -> None:
    path = written(tmp_path, "image,Age,skin tone\na,45,II\nb,unknown,\nd,70.5,III\n")

    age, tone = (read_subgroups(path, truth_of(), name) for name in ("age", "skin tone"))

    assert (age.name, tone.name) == ("Age", "skin tone")
    np.testing.assert_array_equal(age, [45, np.nan, np.nan, 70.5])
    assert tone.fillna("gap").tolist() == ["II", "gap", "gap", "III"]


@pytest.mark.parametrize(
    ("rows", "values"),
    [([[0.3, 0.7], [0.6, 0.4]], "probabilities"), ([[0.3, 0.9], [0.6, 0.4]], "independent")],
)
def test_rows_that_do_not_sum_to_one_are_independent(rows: list[list[float]], values: str) -> None:
    arguments = as_given(truth_of(["a", "b"]), np.array(rows))

    assert arguments["values"] == values
    assert arguments["probabilities"].tolist() == rows


def test_numbers_of_classes_are_given_as_classes() -> None:
    truth = read_truth(pd.DataFrame({"ID": ["a", "b"], "CLASS": [3, 1]}), None)
    values = read_prediction(pd.DataFrame({"ID": ["b", "a"], "CLASS": [2, 8]}), truth)

    arguments = as_given(truth, values)

    assert arguments["probabilities"].tolist() == [7, 1]
    assert arguments["target"].tolist() == [2, 0]

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib._validation import DatasetNotFoundError
from dermolib.datasets import COLUMNS, metadata_vectors, read_challenge_table, read_table
from dermolib.datasets.groups import group_names
from dermolib.labels import DIAGNOSES, METADATA_NAMES

HEADER = "ID,CLASS,SEX,AGE,POSITION\n"


def write(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_row_of_the_challenge_is_read_into_known_columns(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "ISIC_1,8,male,85.0,lower extremity\n")

    table = read_table(path)

    assert tuple(table) == COLUMNS
    assert table["year"].isna().all()
    row = table.drop(columns="year").iloc[0].to_dict()
    assert row == {
        "id": "ISIC_1",
        "label": 7,
        "diagnosis": "8",
        "lesion": "",
        "patient": "",
        "age": 85.0,
        "sex": "male",
        "site": "lower extremity",
        "source": "",
        "parent_id": "",
    }


@pytest.mark.parametrize("missing", ["nan", "NaN", "", "NA", "unknown", " None "])
def test_the_text_nan_and_its_kin_are_missing(tmp_path: Path, missing: str) -> None:
    table = read_table(write(tmp_path, f"{HEADER}A,1,{missing},{missing},{missing}\n"))

    assert table[["sex", "site"]].to_numpy().tolist() == [["", ""]]
    assert np.isnan(table["age"][0])


def test_a_byte_order_mark_and_any_letter_case_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path, "id,Class, sex\nA,2,FEMALE\n", "utf-8-sig")

    table = read_table(path)

    assert (table["id"][0], table["label"][0], table["sex"][0]) == ("A", 1, "female")


def test_a_table_without_classes_has_no_labels(tmp_path: Path) -> None:
    assert "label" not in read_table(write(tmp_path, "ID,AGE\nA,3\n"))


def test_a_whole_class_written_as_float_is_that_class(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "ID,CLASS\nA,2.0\n"))["label"].tolist() == [1]


def test_a_table_that_was_read_reads_as_itself(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, HEADER + "A,1,nan,nan,nan\nB,8,male,3.5,head/neck\n"))

    pd.testing.assert_frame_equal(read_table(table), table)


@given(
    st.lists(
        st.tuples(st.integers(1, 8), st.sampled_from(["male", "female", "nan"])),
        min_size=1,
        max_size=20,
    )
)
def test_no_row_is_lost_and_none_changes_its_place(rows: list[tuple[int, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["CLASS", "SEX"])
    frame.insert(0, "ID", [f"I{number}" for number in range(len(rows))])

    table = read_table(frame)

    assert table["id"].tolist() == frame["ID"].tolist()
    assert (table["label"] + 1).tolist() == frame["CLASS"].tolist()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a CSV file with a header, but got an empty file."),
        (HEADER, "a table with at least one row, but got a header only."),
        ("CLASS\n1\n", "a table with a column `ID`, but got the columns 'CLASS'. Fields are"),
        ("ID,id\nA,B\n", "a table with each column once, but got 'id' twice."),
        ("ID,CLASS,class\nA,1,2\n", "a table with each column once, but got 'class' twice."),
        ("ID,CLASS\n1,2,3\n", "2 fields in each row, as its header has, but got row 2 with 3."),
        ("ID,CLASS\nA,1\n\nB,2\n", "but got row 3 with 0."),
        ("ID,CLASS\nA\n", "but got row 2 with 1."),
        ("ID,CLASS\nA,0\n", "whose class is 1..8, but got 1 other (row 2: '0'). Known are 1 MEL"),
        ("ID,CLASS\nA,1\nB,9\nC,x\n", "but got 2 other (row 3: '9', row 4: 'x')."),
        ("ID,CLASS\nA,\n", "whose class is 1..8, but got 1 other (row 2: '')."),
        ("ID,CLASS\nA,1.5\n", "(row 2: '1.5')"),
        ("ID\nA\nB\nA\n", "in which each id stands once, but got 1 other (row 4: 'A')."),
        ("ID\n../A\n", "whose ids are plain file names, but got 1 other (row 2: '../A')."),
        ("ID\n/etc/passwd\n", "(row 2: '/etc/passwd')"),
        ("ID\nC:\\\\x\n", "(row 2: 'C:"),
        ("ID,AGE\n..,1\n", "(row 2: '..')"),
        ("ID,AGE\n,1\n", "(row 2: '')"),
        ("ID,AGE\nA\x00,1\n", "plain file names"),
        ("ID,AGE\nA,300\n", "whose ages are 0..120 years, but got 1 other (row 2: '300')."),
        ("ID,AGE\nA,old\n", "(row 2: 'old'). Write `nan` where it is not known."),
        ("ID,SEX\nA,x\n", "whose sex is female or male, but got 1 other (row 2: 'x')."),
        ('ID,SEX\n"A,x\n', "to be a CSV file, but got a parser error"),
    ],
)
def test_an_unfit_table_is_refused_by_file_row_and_remedy(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read_table(path)

    assert str(path) in str(caught.value)


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,POSITION\nA,é\n", "latin-1")

    with pytest.raises(ValueError, match=r"a CSV file in UTF-8, but got .* Save it as UTF-8\."):
        read_table(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"absent\.csv` to exist"):
        read_table(tmp_path / "absent.csv")


def test_metadata_become_numbers_with_a_flag_for_each_that_is_missing() -> None:
    frame = pd.DataFrame(
        {
            "ID": ["A", "B", "C"],
            "AGE": ["50", "nan", "0"],
            "SEX": ["female", "male", "nan"],
            "POSITION": ["head/neck", "nan", "elsewhere"],
        }
    )

    vectors = metadata_vectors(read_table(frame))

    named = [
        {name for name, value in zip(METADATA_NAMES, row, strict=True) if value} for row in vectors
    ]
    assert named == [
        {"age", "female", "head/neck"},
        {"age_missing", "site_missing"},
        {"sex_missing"},
    ]
    assert vectors[0, 0] == pytest.approx(0.5)
    assert vectors.dtype == np.float32


def test_a_group_is_the_lesion_or_the_image_or_the_source_of_the_image() -> None:
    table = pd.DataFrame(
        {"id": ["A", "B", "C"], "lesion": ["L", "", ""], "parent_id": ["", "", "B"]}
    )

    assert group_names(table).tolist() == ["L", "B", "B"]


def test_the_challenge_knows_its_lesions(challenge: Path) -> None:
    assert read_challenge_table(challenge)["lesion"].tolist() == ["L0", "L1", "", "L1", "L2", ""]
    assert read_challenge_table(challenge, "test")["lesion"].tolist() == ["", ""]


def test_labels_of_a_foreign_file_are_not_guessed_to_begin_at_0_or_1(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,LABEL,source,lesion\nA,7,HAM,x\nB,3,HAM,x\n")

    sentence = "a table with a column `CLASS` or `label`, but got LABEL. Pass `columns={'label'"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_table(path)
    for column, labels in (("label", [7, 3]), ("class", [6, 2])):
        table = read_table(path, columns={column: "LABEL"})
        assert table["label"].tolist() == labels
        assert table["lesion"].tolist() == ["x", "x"]


def test_a_group_is_followed_over_any_steps_of_augmentation() -> None:
    names = ["A", "A1", "A2", "Z1"]
    table = pd.DataFrame(
        {"id": names, "lesion": ["L", "", "", ""], "parent_id": ["", "A", "A1", "Z"]}
    )

    assert group_names(table).tolist() == ["L", "L", "L", "Z"]


def test_a_lesion_table_that_fits_no_image_is_refused(challenge: Path) -> None:
    (challenge / "lesion_ids.csv").write_text("ID,LESION_ID\nimg_0.jpg,L0\n")

    with pytest.raises(
        ValueError, match=r"lesion_ids\.csv` to be a table with the ids of the train"
    ):
        read_challenge_table(challenge)


def test_a_lesion_table_without_its_column_is_refused(challenge: Path) -> None:
    (challenge / "lesion_ids.csv").write_text("ID,LESION ID\nIMG_0,L0\n")

    with pytest.raises(ValueError, match=r"a table with a column `LESION_ID`, but got the columns"):
        read_challenge_table(challenge)


def test_images_that_the_lesion_table_lacks_are_counted(challenge: Path) -> None:
    (challenge / "lesion_ids.csv").write_text("ID,LESION_ID\nIMG_0,L0\nIMG_1,L0\n")

    with pytest.warns(UserWarning, match=r"lacks training images: 4 of 6 \(IMG_2, IMG_3"):
        table = read_challenge_table(challenge)

    assert table["lesion"].tolist() == ["L0", "L0", "", "", "", ""]


def test_a_lesion_that_the_table_tells_is_kept(challenge: Path) -> None:
    table = pd.read_csv(challenge / "metadataTrain.csv", keep_default_na=False)
    table["LESION_ID"] = ["X", "", "", "", "", ""]
    table.to_csv(challenge / "metadataTrain.csv", index=False)

    assert read_challenge_table(challenge)["lesion"].tolist() == ["X", "L1", "", "L1", "L2", ""]


def test_training_rows_need_classes(challenge: Path) -> None:
    (challenge / "metadataTrain.csv").write_text("ID,DIAGNOSIS\nIMG_0,MEL\n")

    with pytest.raises(
        ValueError, match=r"metadataTrain\.csv` to be a table with a column `CLASS`"
    ):
        read_challenge_table(challenge)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"path of a CSV file or a data frame, but got .* type dict"
    ):
        read_table({"ID": ["A"]})  # type: ignore[arg-type]  # the wrong type under test
    with pytest.raises(ValueError, match="to be a CSV file, but got a folder"):
        read_table(tmp_path)


def test_a_frame_with_a_column_twice_is_refused() -> None:
    frame = pd.DataFrame([["A", "1", "2"]], columns=["ID", "CLASS", "CLASS"])

    with pytest.raises(ValueError, match="a table with each column once, but got 'class' twice"):
        read_table(frame)


@pytest.mark.parametrize("name", ["metadataTrain.csv", "Train"])
def test_a_folder_without_the_layout_is_told_the_layout(challenge: Path, name: str) -> None:
    (challenge / name).rename(challenge / "elsewhere")

    with pytest.raises(DatasetNotFoundError, match=f"{name}` to exist.*Expected layout: metadata"):
        read_challenge_table(challenge)


@pytest.mark.data
def test_the_real_tables_hold_the_papers_counts(data_dir: Path) -> None:
    table: Any = read_challenge_table(data_dir / "isic_challenge")

    counts = np.bincount(table["label"])
    assert counts.tolist() == [3391, 9657, 2492, 650, 1968, 179, 190, 471]
    assert len(read_challenge_table(data_dir / "isic_challenge", "test")) == 6333


@pytest.mark.parametrize("lost", ["", "site", "age", "parent_id", "diagnosis"])
def test_a_table_that_was_saved_reads_as_itself_whatever_column_it_lacks(
    tmp_path: Path, lost: str
) -> None:
    text = "ID,CLASS,SEX,AGE,POSITION,LESION_ID,PATIENT_ID\nA,1,,,,L1,P1\nB,8,male,3.5,x,L1,\n"
    table = read_table(write(tmp_path, text))
    kept = table.drop(columns=lost) if lost else table
    kept.to_csv(tmp_path / "saved.csv", index=False)

    for again in (read_table(kept), read_table(tmp_path / "saved.csv")):
        columns = list(kept.columns)
        pd.testing.assert_frame_equal(again[columns], kept)


def test_a_column_that_is_named_is_taken_before_one_that_is_known() -> None:
    frame = pd.DataFrame({"id": ["A"], "lesion": ["L1"], "lesion_v2": ["L2"], "class": [3]})

    table = read_table(frame, columns={"lesion": "lesion_v2"})

    assert table[["lesion", "label"]].to_numpy().tolist() == [["L2", 2]]


def test_whole_numbers_stay_whole_beside_what_is_missing() -> None:
    frame = pd.DataFrame({"ID": [7.0, 8.0], "LESION_ID": [1.0, np.nan], "PATIENT_ID": [2, 3]})

    table = read_table(frame)

    assert table[["id", "lesion", "patient"]].to_numpy().tolist() == [
        ["7", "1", "2"],
        ["8", "", "3"],
    ]


def test_a_diagnosis_that_is_missing_makes_no_label(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,DX\nA,nan\nB,nv\nC,\n")

    table = read_table(path, vocabulary={"NV": DIAGNOSES[1]})

    assert table["label"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize("vocabulary", [3, {"nv": 1}, {1: None}])
def test_what_is_no_vocabulary_is_refused(vocabulary: Any) -> None:
    with pytest.raises(TypeError, match="`vocabulary` to be the name of a vocabulary, or codes"):
        read_table(pd.DataFrame({"ID": ["A"], "DX": ["nv"]}), vocabulary=vocabulary)


def test_columns_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(TypeError, match="`columns` to be a mapping of names here to names there"):
        read_table(pd.DataFrame({"ID": ["A"]}), columns=["ID"])  # type: ignore[arg-type]  # the wrong type under test


def test_a_column_under_two_names_is_not_chosen() -> None:
    frame = pd.DataFrame({"image": ["A"], "isic_id": ["B"]})

    with pytest.raises(ValueError, match=r"several for 'id' \(IMAGE, ISIC_ID\)\. Say which"):
        read_table(frame)
    assert read_table(frame, columns={"id": "isic_id"})["id"].tolist() == ["B"]


def test_a_target_that_is_neither_0_nor_1_is_refused() -> None:
    frame = pd.DataFrame({"ID": ["A", "B"], "target": ["1", "2"]})

    with pytest.raises(
        ValueError, match=r"whose targets are 0 and 1, but got 1 other \(row 3: '2'"
    ):
        read_table(frame, columns={"malignant": "target"})


def test_a_target_may_lack() -> None:
    frame = pd.DataFrame({"ID": ["A", "B"], "target": [True, None]})

    table = read_table(frame, columns={"malignant": "target"})

    assert table["malignant"].isna().tolist() == [False, True]


def test_a_year_outside_of_the_centuries_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"whose years are 1900\.\.2100, but got 1 other \(row 2: '19'"
    ):
        read_table(pd.DataFrame({"ID": ["A"], "YEAR": ["19"]}))

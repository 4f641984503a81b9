"""CSV files and data frames as tables, in the ways that editors and spreadsheets write them."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dermolib import DatasetNotFoundError
from dermolib.datasets import COLUMNS, group_names, metadata_vectors, read_table

# Private: the text of columns that a table does not keep, and of files without an id
from dermolib.datasets.columns import map_unique, read_csv, read_frame
from dermolib.labels import (
    DIAGNOSES,
    METADATA_NAMES,
    LabelSpace,
    as_label_space,
    label_space_of,
)

HEADER = "ID,CLASS,SEX,AGE,POSITION\n"
GOOD = "A,1,male,30,head/neck\n"


def write(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def all_columns(header: Sequence[str]) -> dict[str, int]:
    return {f"{place} {name}": place for place, name in enumerate(header)}


def texts(tmp_path: Path, data: str | bytes, **options: str) -> list[list[str]]:
    """Read all columns of a file as text."""
    columns = read_csv(write(tmp_path, data), all_columns, **options)
    return [column.tolist() for column in columns.values()]


def test_a_row_of_the_challenge_is_read_into_known_columns(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, HEADER + "ISIC_1,8,male,85.0,lower extremity\n"))

    assert tuple(table) == COLUMNS
    assert table["year"].isna().all()
    assert table.drop(columns="year").iloc[0].to_dict() == {
        "id": "ISIC_1", "label": 7, "diagnosis": "SCC", "lesion": "", "patient": "", "age": 85.0,
        "sex": "male", "site": "lower extremity", "source": "", "parent_id": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ((HEADER + GOOD).encode("utf-8-sig"), {"id": "A", "age": 30.0}),
        ((HEADER + GOOD).encode("utf-16"), {"id": "A", "age": 30.0}),
        (("\ufeff" + HEADER + GOOD).encode("utf-16-be"), {"id": "A"}),
        ((HEADER + GOOD).replace("\n", "\r\n"), {"id": "A", "site": "head/neck"}),
        ((HEADER + GOOD).rstrip(), {"site": "head/neck"}),
        (f'{HEADER}A,1,male,30,"a\nb"\n', {"site": "a\nb"}),
        (f"{HEADER}A,1,male,-0,x\n", {"age": 0.0}),
        (f"{HEADER}A,2.0,male,30,x\n", {"label": 1}),
        ("id,Class, sex\nA,2,FEMALE\n", {"id": "A", "label": 1, "sex": "female"}),
        *(
            (f"ID,Gender\nA,{text}\n", {"sex": sex})
            for sex, texts in (("female", "F f Woman W"), ("male", "M m MALE man"))
            for text in texts.split()
        ),
        *(
            (f'ID,AGE\nA,"{text}"\n', {"age": age})
            for text, age in (
                ("45,5", 45.5),
                ("85+", 85.0),
                (">85", 85.0),
                ("85 and older", 85.0),
                ("<20", 20.0),
                ("40-45", 42.5),
                ("40 \u2013 45", 42.5),
                ("40 to 45", 42.5),
                ("[40, 45)", 42.5),
                ("55 years", 55.0),
                ("55y", 55.0),
                ("~55 yrs old", 55.0),
            )
        ),
        ('"ID";"AGE"\n"A";"30"\n', {"id": "A", "age": 30.0}),
        ("ID;AGE;SITE\nA;45,5;x, y\n", {"age": 45.5, "site": "x, y"}),
        *(
            (f'ID,SITE\nA,"{text}"\n', {"site": site})
            for site, texts in (
                ("head/neck", ("Head/Neck", "head and neck", "HEAD & NECK", "head_neck")),
                ("lower extremity", ("Lower Extremity", "lower_extremities")),
                ("palms/soles", ("Palms and soles",)),
                ("leg", ("Leg",)),
            )
            for text in texts
        ),
        (f"\n , \n{HEADER}\n  \n{GOOD},,,,\n\n", {"id": "A", "site": "head/neck"}),
        (HEADER + GOOD.replace("\n", ",, \n"), {"id": "A", "site": "head/neck"}),
        (f"sep=,\n{HEADER}{GOOD}", {"id": "A", "site": "head/neck"}),
        ('\ufeff"SEP=;"\r\n"ID";"AGE"\r\n"A";"30"\r\n', {"id": "A", "age": 30.0}),
        *(
            ((HEADER + GOOD).replace(",", mark), {"id": "A", "site": "head/neck"})
            for mark in (";", "\t", "|")
        ),
        *(
            (f"{HEADER}A,1,{text},{text},{text}\n", {"sex": "", "site": "", "age": None})
            for text in (
                "nan",
                "",
                "NA",
                "unknown",
                " None ",
                "NULL",
                "null",
                "-",
                "--",
                "?",
                "-1",
                "#N/A",
                "n.a.",
                "N / A",
                "missing",
                "not available",
                "Not_Provided",
                "unspecified",
            )
        ),
    ],
)
def test_odd_files_are_read(tmp_path: Path, data: str | bytes, wanted: dict[str, Any]) -> None:
    row = read_table(write(tmp_path, data)).iloc[0]

    for name, value in wanted.items():
        assert pd.isna(row[name]) if value is None else row[name] == value
    assert not np.signbit(row["age"])


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        ("", "a CSV file with a header, but got an empty file."),
        (HEADER, "at least one row, but got a header only."),
        ("CLASS\n1\n", "a column `ID`, but got the columns 'CLASS'. Fields are separated by"),
        ((HEADER + GOOD).replace(",", "/"), "separated by commas, semicolons, tabs or bars."),
        ("sep=/\nID/AGE\nA/1\n", "first line tells one of , ; tab |, but got '/'."),
        ("<!DOCTYPE html>\n<html>\n<p>Not found</p>\n", "a column `ID`, but got"),
        ((HEADER + GOOD).encode("utf-16-le"), "a parser error (a NUL character)"),
        ("ID,CLASS\0\nA,1\n", "a parser error (a NUL character)"),
        (f"ID\n{'A,' * (1 << 23)}\n", "a parser error (a line of 16,777,216 characters or more)"),
        (f"{HEADER}A,1,male,30,Rücken\n".encode("latin-1"), "Save it as UTF-8."),
        *(
            (begin + bytes(range(256)), f"to be a CSV file, but got {words}")
            for begin, words in (
                (b"PK\x03\x04", "an Excel workbook or another zip archive. Save the sheet as CSV"),
                (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV in UTF-8."),
                (b"\x1f\x8b", "a compressed file. Unpack it first."),
                (b"PAR1", "a Parquet file. Pass the data frame of `pandas.read_parquet`."),
            )
        ),
        ("ID,id\nA,B\n", "each column once, but got 'id' twice."),
        ("ID,CLASS,class\nA,1,2\n", "each column once, but got 'class' twice."),
        ("ID,CLASS\n1,2,3\n", "2 fields in each row, as its header has, but got row 2 with 3."),
        ("ID,CLASS\n\nA,1\n,,\nB\n", "but got row 5 with 1."),
        ("ID,CLASS\nA,1,,x\n", "but got row 2 with 4."),
        ('ID,CLASS\n"A",1\n"B, C"\n', "but got row 3 with 1."),
        ("ID,CLASS\n" + "A,1\n" * 20_000 + "A\n", "but got row 20002 with 1."),
        ('ID,SEX\n"A,x\n', "to be a CSV file, but got a parser error"),
        ('"ID,SEX\nA,x\n', "to be a CSV file, but got a parser error"),
        (f"{HEADER}A,1,male,30,{LONG}\n", "field larger than field limit"),
        ("ID,AGE\nA\x00,1\n", "a CSV file, but got a parser error (a NUL character)"),
        ("ID,CLASS\nA,0\n", "class is 1..8, but got 1 other (row 2: '0'). Known are 1 MEL"),
        ("ID,CLASS\nA,1\nB,9\nC,x\n", "but got 2 other (row 3: '9', row 4: 'x')."),
        *((f"ID,CLASS\nA,{text}\n", f"(row 2: '{text}')") for text in ("", "1.5", "nan", "inf")),
        ("ID\nA\nB\nA\n", "each id appears once, but got 1 other (row 4: 'A')."),
        *(
            (f"ID,AGE\n{text},1\n", f"ids are plain file names, but got 1 other (row 2: '{text}')")
            for text in ("../A", "/etc/passwd", "..", "", ".A")
        ),
        ("ID\nC:\\\\x\n", "(row 2: 'C:"),
        ('ID,AGE\n"A\nB",1\n', "(row 2: 'A\\nB')"),
        (f"ID\n../{'x' * 100_000}\n", "file names, but got 1 other (row 2: '../xxx"),
        *(
            (f"ID,AGE\nA,{text}\n", f"ages are 0..120 years, but got 1 other (row 2: '{text}')")
            for text in ("300", "old", "inf", "-2", "45-40", "130-140", "6 months", "40s")
        ),
        ("ID,SEX\nA,x\n", "sex is female or male, but got 1 other (row 2: 'x')."),
        ("ID,YEAR\nA,19\n", "years are 1900..2100, but got 1 other (row 2: '19')"),
    ],
    ids=range(50),
)
def test_a_broken_table_is_refused_by_file_row_and_hint(
    tmp_path: Path, data: str | bytes, fragment: str
) -> None:
    path = write(tmp_path, data)

    with pytest.raises(ValueError, match=re.escape(fragment)) as caught:
        read_table(path)

    assert str(caught.value).startswith(f"Expected `{path}` to be a")
    assert len(str(caught.value)) < 800


def test_what_is_not_a_table_is_refused(tmp_path: Path) -> None:
    wrong: Any = {"ID": ["A"]}
    with pytest.raises(TypeError, match=r"path of a CSV file or a data frame, but got .* dict"):
        read_table(wrong)
    with pytest.raises(ValueError, match="to be a file, but got a folder"):
        read_table(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"absent\.csv` to exist"):
        read_table(tmp_path / "absent.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_fields_are_separated_as_told(tmp_path: Path, delimiter: str) -> None:
    data = f"ID{delimiter}AGE\nA{delimiter}5\n"

    assert texts(tmp_path, data, delimiter=delimiter) == [["A"], ["5"]]
    with pytest.raises(ValueError, match="`delimiter` to be one of ',', ';'"):
        texts(tmp_path, data, delimiter=" ")


def test_a_header_alone_has_columns_without_rows(tmp_path: Path) -> None:
    assert texts(tmp_path, "ID,AGE\n") == [[], []]


FIELDS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[("", "\r")])
@example(rows=[("", " "), ("", "\n"), ('"', "")])
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=20))
def test_what_the_csv_module_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer, full = csv.writer(text), []
    writer.writerow(("A", "B"))
    for row in rows:
        begin = text.tell()
        writer.writerow(row)
        # A line of blanks and commas alone is left out; what is quoted is not blank
        full += [row] if text.getvalue()[begin:].strip(", \t\r\n") else []

    assert list(zip(*texts(tmp_path, text.getvalue()), strict=True)) == full


CELLS = st.one_of(
    st.sampled_from(["A", "../A", "a\0", "", "nan", "-0", "300", "0", "9", "2.0", "1e400", "\n"]),
    st.text(max_size=6),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=6),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le", "cp1252"]),
    quote=st.sampled_from(["", '"']),
    header=st.sampled_from([HEADER, "id,age\n", "ID\n", "image,dx\n", ""]),
)
def test_any_table_is_read_row_by_row_or_refused_in_words(
    tmp_path: Path, rows: list[list[str]], delimiter: str, encoding: str, quote: str, header: str
) -> None:
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
    text = header.replace(",", delimiter) + "\n".join(lines)
    path = write(tmp_path, text.encode(encoding, "replace"))

    try:
        table = read_table(path, delimiter=delimiter)
    except ValueError as error:
        assert str(error).startswith("Expected `")  # noqa: PT017 - either way is right
    else:
        assert len(table) >= 1
        assert table["id"].is_unique
        assert not table["id"].str.contains(r"[/\\\0]").any()
        assert table["age"].dropna().between(0, 120).all()


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


@pytest.mark.parametrize("lost", ["", "label", "site", "age", "parent_id", "diagnosis"])
def test_a_table_that_was_read_reads_as_itself(tmp_path: Path, lost: str) -> None:
    text = "ID,CLASS,SEX,AGE,POSITION,LESION_ID,PATIENT_ID\nA,1,,,,L1,P1\nB,8,male,3.5,x,L1,\n"
    table = read_table(write(tmp_path, text))
    kept = table.drop(columns=lost) if lost else table
    kept.to_csv(tmp_path / "saved.csv", index=False)

    for again in (read_table(kept), read_table(tmp_path / "saved.csv")):
        pd.testing.assert_frame_equal(again[[*kept]], kept)


def test_a_frame_of_any_types_is_read_as_text() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.0, np.nan, 3.5],
            "t": pd.Series(["a", None, "b"], dtype="category"),
            "i": pd.Series([1, None, 3], dtype="Int64"),
            "l": [[1], [2], [3]],
        }
    )

    assert [column.tolist() for column in read_frame(frame, all_columns).values()] == [
        ["1", "", "3.5"],
        ["a", "", "b"],
        ["1", "", "3"],
        ["[1]", "[2]", "[3]"],
    ]


def test_integers_stay_integers_beside_missing_values() -> None:
    frame = pd.DataFrame({"ID": [7.0, 8.0], "LESION_ID": [1.0, np.nan], "PATIENT_ID": [2, 3]})

    table = read_table(frame)

    assert table[["id", "lesion", "patient"]].to_numpy().tolist() == [
        ["7", "1", "2"],
        ["8", "", "3"],
    ]


NUMBERED = "ID,LESION_ID,PATIENT_ID\nA,1,P1\nB,2,P1\nC,1,P2\nD,1,\nE,,P2\n"


def test_a_lesion_of_several_patients_is_warned_of_and_joined_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, NUMBERED)

    with pytest.warns(
        UserWarning, match=r"csv has 1 lesions with several patients each \(1\): a sp"
    ):
        assert read_table(path)["lesion"].tolist() == ["1", "2", "1", "1", ""]
    joined = read_table(path, lesions="within_patient")
    assert joined["lesion"].tolist() == ["P1_1", "P1_2", "P2_1", "1", ""]
    assert group_names(joined).tolist() == ["P1", "P1", "P2", "1", "P2"]
    pd.testing.assert_frame_equal(read_table(joined), joined)  # without a warning
    with pytest.raises(ValueError, match="`lesions` to be one of 'unique', 'within_patient'"):
        read_table(path, lesions="numbered")


@pytest.mark.parametrize("space", [None, "binary"])
def test_rows_are_named_as_a_spreadsheet_numbers_them(tmp_path: Path, space: str | None) -> None:
    path = write(tmp_path, "sep=;\n\nID;DIAGNOSIS;AGE\n\nA;nevus;1\n;;\nB;plant;x\n")

    with pytest.raises(ValueError, match=r"\(row 6: '(plant|x)'\)"):
        read_table(path, label_space=space)


@given(st.lists(st.sampled_from(["a", "A", " b", ""])))
def test_mapping_distinct_texts_is_mapping_each(values: list[str]) -> None:
    mapped = map_unique(str.upper, np.array(values, dtype=object))

    assert mapped.tolist() == [value.upper() for value in values]


def test_labels_of_a_foreign_file_are_not_guessed_to_begin_at_0_or_1(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,LABEL,source,lesion\nA,7,HAM,x\nB,3,HAM,x\n")

    sentence = "a table with a column `CLASS` or `label`, but got LABEL. Pass `columns={'label'"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_table(path)
    for column, labels in (("label", [7, 3]), ("class", [6, 2])):
        table = read_table(path, columns={column: "LABEL"})
        assert table["label"].tolist() == labels
        assert table["lesion"].tolist() == ["x", "x"]


def test_columns_of_other_names_are_read_by_their_meaning(tmp_path: Path) -> None:
    path = write(tmp_path, "file;type;subject\na;Nevus;P1\nb;melanoma;P1\n")
    columns = {"id": "file", "diagnosis": "type", "patient": "subject"}

    table = read_table(path, columns=columns, vocabulary="isic2020", delimiter=";")

    assert table["label"].tolist() == [1, 0]
    assert table["patient"].tolist() == ["P1", "P1"]


def test_a_column_that_is_named_is_taken_before_one_that_is_known() -> None:
    frame = pd.DataFrame({"id": ["A"], "lesion": ["L1"], "lesion_v2": ["L2"], "class": [3]})

    table = read_table(frame, columns={"lesion": "lesion_v2"})

    assert table[["lesion", "label"]].to_numpy().tolist() == [["L2", 2]]


@pytest.mark.parametrize(
    ("frame", "columns", "error", "fragment"),
    [
        ({"ID": ["A"]}, {"year": "when"}, ValueError, "a column `when`, but got the columns 'ID'"),
        ({"ID": ["A"]}, {"yeer": "when"}, ValueError, "`columns` to be one of 'label'"),
        ({"ID": ["A"]}, ["ID"], TypeError, "`columns` to be a mapping of names here to names"),
        ({"image": ["A"], "isic_id": ["B"]}, None, ValueError, "several for 'id' (IMAGE, ISIC_ID)"),
        ({"ID": ["A"], "t": ["2"]}, {"malignant": "t"}, ValueError, "targets are 0 and 1, but got"),
    ],
)
def test_columns_that_cannot_be_resolved_are_refused(
    frame: dict[str, list[str]], columns: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        read_table(pd.DataFrame(frame), columns=columns)


def test_a_diagnosis_or_target_may_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,DX,target\nA,nan,1\nB,nv,\nC,,0\n")

    table = read_table(path, vocabulary={"NV": DIAGNOSES[1]}, columns={"malignant": "target"})

    assert table["label"].isna().tolist() == [True, False, True]
    assert table["malignant"].isna().tolist() == [False, True, False]
    assert "label" not in read_table(path)


@pytest.mark.parametrize("vocabulary", [3, {"nv": 1}, {1: None}])
def test_what_is_not_a_vocabulary_is_refused(vocabulary: Any) -> None:
    with pytest.raises(TypeError, match="`vocabulary` to be the name of a vocabulary, or codes"):
        read_table(pd.DataFrame({"ID": ["A"], "DX": ["nv"]}), vocabulary=vocabulary)


def test_metadata_become_numbers_with_a_flag_for_each_missing_value() -> None:
    frame = pd.DataFrame(
        {
            "ID": ["A", "B", "C"],
            "AGE": ["50", "nan", "0"],
            "SEX": ["female", "male", "nan"],
            "POSITION": ["head/neck", "nan", "elsewhere"],
        }
    )

    vectors = metadata_vectors(read_table(frame))

    assert [
        {name for name, value in zip(METADATA_NAMES, row, strict=True) if value} for row in vectors
    ] == [{"age", "female", "head/neck"}, {"age_missing", "site_missing"}, {"sex_missing"}]
    assert vectors[0, 0] == pytest.approx(0.5)
    assert vectors.dtype == np.float32


CODED = pd.DataFrame({"id": ["a", "b", "c", "d"], "diagnosis": ["akiec", "nv", "UNK", "scc"]})


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("challenge", [-1, 1, -1, 7]),
        ("isic2018", [3, 1, -1, -1]),
        ("isic2019", [-1, 1, 8, 7]),
        ("milk10k", [0, 8, -1, 9]),
        ("binary", [-1, 0, -1, 1]),
        (["UNK", "NV"], [-1, 1, 0, -1]),
        (LabelSpace(["scc", "nevus"]), [-1, 1, -1, 0]),
    ],
)
def test_codes_become_labels_of_the_space_that_is_asked_for(
    space: Any, expected: list[int]
) -> None:
    table = read_table(CODED, label_space=space)

    assert table["label"].fillna(-1).tolist() == expected
    assert label_space_of(table) == as_label_space(space)
    assert table["diagnosis"].tolist() == CODED["diagnosis"].tolist()


def test_labels_move_to_another_space_by_their_codes() -> None:
    codes = ["", "akiec", "", "x"]
    table = read_table(pd.DataFrame({"ID": [*"abcd"], "CLASS": [1, 4, 8, 2], "dx": codes}))

    moved = read_table(table, label_space="isic2018")

    assert table["label"].tolist() == [0, 3, 7, 1]
    assert moved["label"].tolist() == [0, 3, pd.NA, 1]
    assert read_table(moved)["label"].tolist() == [0, 3, pd.NA, 1]
    assert label_space_of(read_table(moved)).name == "isic2018"
    assert read_table(table, label_space="milk10k")["label"].tolist() == [7, 0, 9, 8]
    assert "label" not in read_table(table, label_space=["BCC", "DF"])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("malignant", [0, 1, None]),
        ("target", ["0", "1.0", ""]),
        ("benign_malignant", ["benign", "malignant", "indeterminate"]),
        ("Benign_Malignant", ["Benign", "MALIGNANT", "indeterminate/benign"]),
    ],
)
def test_benign_and_malignant_come_from_the_column_of_the_target(
    column: str, values: list[Any]
) -> None:
    frame = pd.DataFrame({"image_name": [*"abc"], column: values, "diagnosis": "nevus"})

    table = read_table(frame, label_space="binary")

    assert table["label"].tolist() == [0, 1, pd.NA]
    assert table["malignant"].tolist() == [False, True, pd.NA]
    assert read_table(table, label_space=["benign", "malignant"])["label"].tolist()[:2] == [0, 1]
    assert read_table(table, label_space="challenge")["label"].tolist() == [1, 1, 1]


def test_classes_are_numbered_in_the_space_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,CLASS\na,1\nb,3\n")

    table = read_table(path, label_space=["x", "y", "z"])

    assert table[["label", "diagnosis"]].to_numpy().tolist() == [[0, "x"], [2, "z"]]
    words = r"1\.\.2, but got 1 other \(row 3: '3'\)\. Known are 1 x, 2 y"
    with pytest.raises(ValueError, match=words):
        read_table(path, label_space=["x", "y"])


def test_a_code_outside_the_space_is_refused_with_its_row() -> None:
    frame = pd.DataFrame({"ID": ["a", "b"], "diagnosis": ["NV", "moon"]})
    words = (
        r"label space isic2018, but got 1 other \(row 3: 'moon'\)\. Known are MEL.*`vocabulary=`"
    )

    with pytest.raises(ValueError, match=words):
        read_table(frame, label_space="isic2018")
    known = read_table(frame, label_space="isic2018", vocabulary={"nv": "NV", "moon": None})
    assert known["label"].tolist() == [1, pd.NA]

"""CSV files in the ways that editors and spreadsheets write them."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dermolib._validation import DatasetNotFoundError
from dermolib.datasets.columns import map_unique, read_csv, read_frame


def all_columns(header: Sequence[str]) -> dict[str, int]:
    return {f"{place} {name}": place for place, name in enumerate(header)}


def read(tmp_path: Path, data: bytes, **options: str) -> list[list[str]]:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    return [column.tolist() for column in read_csv(path, all_columns, **options).values()]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"]
)
def test_encodings_with_a_mark_are_told_apart(tmp_path: Path, encoding: str) -> None:
    text = "ID,SITE\nA,Rücken\n"
    if encoding.endswith("-bom"):
        data = ("\ufeff" + text).encode(encoding.removesuffix("-bom"))
    else:
        data = text.encode(encoding)

    assert read(tmp_path, data) == [["A"], ["Rücken"]]


@pytest.mark.parametrize("data", [b"ID\nR\xfccken\n", "ID\nA\n".encode("utf-16-le"), b"ID\xff\n"])
def test_other_encodings_are_refused_with_the_remedy(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)

    if b"\x00" in data:  # without a mark it reads as text with NUL, whose fields are no ids
        assert "\x00" in read_csv(path, all_columns).popitem()[1][0]
    else:
        with pytest.raises(ValueError, match=r"a CSV file in UTF-8, but got .* Save it as UTF-8\."):
            read_csv(path, all_columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_fields_are_separated_as_told(tmp_path: Path, delimiter: str) -> None:
    data = f"ID{delimiter}AGE\nA{delimiter}5\n".encode()

    assert read(tmp_path, data, delimiter=delimiter) == [["A"], ["5"]]


def test_another_delimiter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected `delimiter` to be one of ',', ';'"):
        read(tmp_path, b"ID\n", delimiter=" ")


def test_a_newline_inside_quotes_stays_in_its_field(tmp_path: Path) -> None:
    assert read(tmp_path, b'ID,TEXT\r\nA,"two\r\nlines"\r\nB,one\r\n') == [
        ["A", "B"],
        ["two\r\nlines", "one"],
    ]


def test_a_field_of_a_million_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a CSV file, but got a parser error \(field larger than"):
        read(tmp_path, b"ID\n" + b"A" * 1_000_000 + b"\n")


def test_a_header_alone_has_columns_without_rows(tmp_path: Path) -> None:
    assert read(tmp_path, b"ID,AGE\n") == [[], []]


@pytest.mark.parametrize("rows", [16_383, 16_384, 16_385, 40_000])
def test_no_row_is_lost_between_blocks(tmp_path: Path, rows: int) -> None:
    data = "".join(f"I{row},{row % 3}\n" for row in range(rows))

    ids, classes = read(tmp_path, b"ID,CLASS\n" + data.encode())

    assert ids == [f"I{row}" for row in range(rows)]
    assert classes == [str(row % 3) for row in range(rows)]


def test_a_short_row_of_a_late_block_is_counted_right(tmp_path: Path) -> None:
    data = b"ID,CLASS\n" + b"A,1\n" * 20_000 + b"A\n"

    with pytest.raises(ValueError, match=re.escape("but got row 20002 with 1.")):
        read(tmp_path, data)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"absent\.csv` to exist"):
        read_csv(tmp_path / "absent.csv", all_columns)
    with pytest.raises(ValueError, match="to be a CSV file, but got a folder"):
        read_csv(tmp_path, all_columns)


FIELDS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=20))
def test_what_was_written_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("A", "B"), *rows])

    columns = read(tmp_path, text.getvalue().encode())

    assert list(zip(*columns, strict=True)) == rows


def test_a_frame_of_any_types_is_read_as_text() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.0, np.nan, 3.5],
            "t": pd.Series(["a", None, "b"], dtype="category"),
            "i": pd.Series([1, None, 3], dtype="Int64"),
            "l": [[1], [2], [3]],
        }
    )

    columns = read_frame(frame, all_columns)

    assert [column.tolist() for column in columns.values()] == [
        ["1", "", "3.5"],
        ["a", "", "b"],
        ["1", "", "3"],
        ["[1]", "[2]", "[3]"],
    ]


@given(st.lists(st.sampled_from(["a", "A", " b", ""])))
def test_recoding_is_applying_to_each(values: list[str]) -> None:
    column = np.array(values, dtype=object)

    assert map_unique(str.upper, column).tolist() == [value.upper() for value in values]

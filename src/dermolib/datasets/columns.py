"""CSV files and data frames as columns of text, found by the names that collections use."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import (
    DatasetNotFoundError,
    Indices,
    check_choice,
    expected,
    listed,
    require,
)
from dermolib.io import open_file

__all__ = [
    "Columns",
    "Texts",
    "as_text",
    "clean_name",
    "find_column",
    "is_missing",
    "map_unique",
    "read_columns",
    "read_csv",
    "read_frame",
    "resolve_columns",
]

Texts: TypeAlias = npt.NDArray[np.object_]
"""Column of text (N,)."""


class Columns(dict[str, Texts]):
    """Columns of a table by name, with the row (N,) of each entry as a spreadsheet numbers it."""

    def __init__(self, columns: Mapping[str, Texts], rows: Indices) -> None:
        """Take the columns as they are."""
        super().__init__(columns)
        self.rows = rows


# Of letters and digits alone, in lower case: `N/A`, `n.a.` and `#N/A` are one
_MISSING = frozenset(
    {
        *("", "na", "nan", "nat", "nil", "none", "null", "missing", "undefined", "unspecified"),
        *("unk", "unknown", "notapplicable", "notavailable", "notknown", "notprovided"),
        *("notrecorded", "notreported", "notspecified"),
    }
)
_MISSING_NUMBERS = frozenset({"-1", "-9", "-99", "-999", "-9999"})
_CODES = frozenset({"unk", "none", "unknown"})
# Blanks and punctuation, not signs of control
_NO_LETTERS = re.compile(r"[\s!-/:-@\[-`{-~\u2013\u2014]+")
_LONGEST_MARKER = 24  # characters, with whatever stands between the letters

_DELIMITERS = (",", ";", "\t", "|")
_EMPTY = "".join(_DELIMITERS) + " \r\n"
# The first line by which a spreadsheet knows the delimiter
_SEP = re.compile(r"\"?sep=(.)\"?[,;\t|]*[\r\n]*", re.IGNORECASE)
_OTHER_FILES = {
    b"PK\x03\x04": ("an Excel workbook or another zip archive", "Save the sheet as CSV in UTF-8."),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Save the sheet as CSV in UTF-8."),
    b"PAR1": ("a Parquet file", "Pass the data frame of `pandas.read_parquet`."),
    b"\x1f\x8b": ("a compressed file", "Unpack it first."),
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LONGEST = 1 << 24  # characters of a line
_WHOLE = re.compile(r"-?\d+\.0+")

_ISIC_SITES = ("ANATOM_SITE_GENERAL", "ANATOM_SITE_GENERAL_CHALLENGE")

# The challenge's names, then those of ISIC's own tables, then those here
_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("ID", "IMAGE", "IMAGE_ID", "IMAGE_NAME", "ISIC_ID"),
    "class": ("CLASS",),
    "diagnosis": ("DIAGNOSIS", "DX"),
    "lesion": ("LESION_ID", "LESION"),
    "patient": ("PATIENT_ID", "PATIENT"),
    "age": ("AGE", "AGE_APPROX"),
    "sex": ("SEX", "GENDER"),
    "site": ("POSITION", *_ISIC_SITES, "LOCALIZATION", "SITE"),
    "year": ("YEAR",),
    "source": ("SOURCE",),
    "parent_id": ("PARENT_ID",),
}
_IDS = {"id", "parent_id", "ID", "PARENT_ID"}
# Other tables mean other things by these, so they count as written and beside `id` alone
_OWN = ("label", "malignant")


def as_text(value: Any) -> str:
    """Write a value as text: bytes decoded, and 7.0, which a gap in a column makes of 7, as 7."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def clean_name(value: Any) -> str:
    """Write the name of a lesion, patient or image as one text, however a table holds it.

    Examples:
        >>> clean_name(7.0), clean_name("7.0"), clean_name(" L7 "), clean_name("Unknown")
        ('7', '7', 'L7', '')
    """
    text = as_text(value).strip()
    if is_missing(text):
        return ""
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def is_missing(text: str, *, codes: bool = False) -> bool:
    """Tell whether a text stands for a value that is not known, in any column of any table.

    Args:
        text: Text of a field; letter case, blanks and punctuation do not matter.
        codes: Whether ``unk``, ``none`` and ``unknown`` are codes of diagnoses, and so known.

    Examples:
        >>> [is_missing(text) for text in ("", "N/A", "Not available", "?", "-1", "L-1")]
        [True, True, True, True, True, False]
        >>> is_missing("unknown"), is_missing("unknown", codes=True)
        (True, False)
    """
    text = text.strip()
    if len(text) > _LONGEST_MARKER:
        return False
    letters = _NO_LETTERS.sub("", text).lower()
    if codes and letters in _CODES:
        return False
    return letters in _MISSING or text.removesuffix(".0") in _MISSING_NUMBERS


def map_unique(function: Callable[[str], str], values: Texts) -> Texts:
    """Apply a function once to each distinct text; equal results are one object."""
    codes, texts = pd.factorize(values)
    made = np.empty(len(texts), dtype=object)
    made[:] = [function(text) for text in texts]
    return made[codes]


def read_csv(
    path: Path,
    choose: Callable[[Sequence[str]], Mapping[str, int]],
    *,
    delimiter: str | None = None,
) -> Columns:
    """Read the columns that `choose` picks from the header by name and place.

    Empty rows are left out, and so is a first line such as ``sep=;``. Without a delimiter, that of
    comma, semicolon, tab and bar is taken which makes most fields of the header, and with which
    `choose` finds its columns.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file is empty, not in UTF-8 or UTF-16, or not CSV, or a row is ragged.
    """
    if delimiter is not None:
        check_choice(delimiter, "delimiter", _DELIMITERS)
    try:
        return _read(path, choose, delimiter)
    except FileNotFoundError:
        raise DatasetNotFoundError(
            path, "a CSV file with the names of its columns in the first row"
        ) from None
    except UnicodeError as error:
        columns = _read_ids(path, choose, delimiter)
        hint = "Save it as UTF-8."
        require(columns, str(path), "a CSV file in UTF-8", error, hint)
        return columns
    except csv.Error as error:
        raise ValueError(expected(str(path), "a CSV file", f"a parser error ({error})")) from error


def _read_ids(
    path: Path, choose: Callable[[Sequence[str]], Mapping[str, int]], delimiter: str | None
) -> Columns:
    """Read a file of which ids alone are not UTF-8, as names of files need not be; else nothing."""
    try:
        columns = _read(path, choose, delimiter, errors="surrogateescape")
        for name in columns.keys() - _IDS:
            "".join(columns[name]).encode()
    except (ValueError, csv.Error):
        return Columns({}, np.arange(0))
    return columns


def read_columns(path: Path, names: Sequence[str]) -> list[Texts]:
    """Read columns by their names in any letter case; each must be there."""

    def choose(header: Sequence[str]) -> dict[str, int]:
        upper = [text.strip().upper() for text in header]
        what = f"a table with the columns {' and '.join(names)}"
        known = {name.upper() for name in names} <= set(upper)
        require(known, str(path), what, f"the columns {listed(header)}")
        return {name: upper.index(name.upper()) for name in names}

    return list(read_csv(path, choose).values())


def read_frame(
    frame: pd.DataFrame, choose: Callable[[Sequence[str]], Mapping[str, int]]
) -> Columns:
    """Take the columns that `choose` picks as text; what is missing becomes empty."""
    chosen = choose([str(name) for name in frame.columns])
    columns = {name: _column_as_text(frame.iloc[:, place]) for name, place in chosen.items()}
    return Columns(columns, np.arange(len(frame)) + 2)


def resolve_columns(
    header: Sequence[str], name: str, columns: Mapping[str, str], needed: Sequence[str]
) -> dict[str, int]:
    """Find the place of each known column in a header; arguments as of `read_table`."""
    texts = [text.strip() for text in header]
    taken = {texts.index(text) for text in columns.values() if text in texts}
    free = ["" if place in taken else text for place, text in enumerate(texts)]
    upper = [text.upper() for text in free]
    searches = [(key, names, upper) for key, names in _NAMES.items()]
    searches += [(key, (key,), free) for key in _OWN if "id" in texts]
    searches = [search for search in searches if search[0] not in columns]
    searches += [(key, (text,), texts) for key, text in columns.items()]
    places = {key: _find(name, key, names, among) for key, names, among in searches}
    chosen = {key: place for key, place in places.items() if place >= 0}
    if "class" in chosen:
        chosen.pop("label", None)
    hint = "Pass `columns={'label': NAME}` if they are 0..7, or `columns={'class': NAME}` for 1..8."
    clear = "LABEL" not in map(str.upper, texts) or {"label", "class", "diagnosis"} & set(chosen)
    require(clear, name, "a table with a column `CLASS` or `label`", "LABEL", hint)
    absent = [text for key, text in columns.items() if key not in chosen]
    found = {text for key in chosen for text in _NAMES.get(key, ())}
    absent += [text for text in needed if text not in found]
    absent += [] if "id" in chosen else ["ID"]
    hint = "Fields are separated by commas, semicolons, tabs or bars."
    named = "Say which column it is, such as `read_table(..., columns={'id': NAME})`."
    hint = hint if len(texts) == 1 else "" if columns else named
    got = f"the columns {listed(map(repr, header))}"
    require(not absent, name, f"a table with a column `{' '.join(absent[:1])}`", got, hint)
    return chosen


def find_column(header: Sequence[str], key: str, name: str) -> int:
    """Find the place of a column by the names that collections use for it; -1 where it has none."""
    return _find(name, key, _NAMES[key], [text.strip().upper() for text in header])


def _find(name: str, column: str, names: Sequence[str], header: Sequence[str]) -> int:
    """Find the place of the first name that is in the header; -1 where none is."""
    present = [text for text in names if text in header]
    if not present:
        return -1
    what, twice = "a table with each column once", header.count(present[0]) > 1
    require(not twice, name, what, f"{column!r} twice")
    got, hint = f"several for {column!r} ({listed(present)})", f"`columns={{{column!r}: ...}}`."
    clear = present[0] == names[0] or len(present) == 1
    require(clear, name, what, got, f"Say which is meant: {hint}")
    return header.index(present[0])


def _read(
    path: Path,
    choose: Callable[[Sequence[str]], Mapping[str, int]],
    delimiter: str | None,
    errors: str = "strict",
) -> Columns:
    with open_file(path) as raw:
        begin = raw.peek(4)
        for mark, (got, hint) in _OTHER_FILES.items():
            require(not begin.startswith(mark), str(path), "a CSV file", got, hint)
        encoding = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "utf-8")
        file = TextIOWrapper(raw, encoding, errors, newline="")
        row, start, line = _first_row(file, str(path))
        if told := _SEP.fullmatch(line):
            what = "a CSV file whose first line tells one of , ; tab |"
            require(told[1] in _DELIMITERS, str(path), what, repr(told[1]))
            delimiter = delimiter or told[1]
            row, start, _ = _first_row(file, str(path))
        header = _read_header(file, start, choose, delimiter)
        file.seek(header.end)
        rows = row + _full_rows(_lines(file), header, row, str(path))
        if not len(rows):
            return Columns({name: np.empty(0, object) for name in header.chosen}, rows)
        file.seek(header.end)
        frame = pd.read_csv(
            file,
            sep=header.delimiter,
            header=None,
            names=list(range(header.width)),
            usecols=sorted(set(header.chosen.values())),
            index_col=False,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            encoding_errors=errors,
        )
    if len(rows) < len(frame):
        frame = frame.iloc[rows - row - 1]
    return Columns({name: frame[at].to_numpy(object) for name, at in header.chosen.items()}, rows)


def _first_row(file: TextIO, name: str) -> tuple[int, int, str]:
    """Find the number, from 1, the position and the text of the first line that is not empty."""
    row, start = 1, file.tell()
    for line in _lines(file):
        if line.strip(_EMPTY):
            return row, start, line
        row, start = row + 1, file.tell()
    raise ValueError(expected(name, "a CSV file with a header", "an empty file"))


class _Header(NamedTuple):
    width: int
    delimiter: str
    end: int
    chosen: Mapping[str, int]


def _read_header(
    file: TextIO,
    start: int,
    choose: Callable[[Sequence[str]], Mapping[str, int]],
    delimiter: str | None,
) -> _Header:
    """Read the header by the delimiter that makes most fields and fits; else refuse it."""
    found: list[tuple[list[str], str, int]] = []
    failure = csv.Error()
    for mark in _DELIMITERS if delimiter is None else (delimiter,):
        file.seek(start)
        try:
            texts = next(csv.reader(_lines(file), strict=True, delimiter=mark))
        except csv.Error as error:
            failure = error
        else:
            found.append((texts, mark, file.tell()))
    if not found:
        raise failure
    found.sort(key=lambda one: -len(one[0]))  # stable: equal counts stay in order
    likely = [one for one in found if len(one[0]) > 1] or found[:1]
    for texts, mark, end in likely:
        with suppress(ValueError):
            return _Header(len(texts), mark, end, choose(texts))
    texts, mark, end = likely[0]
    return _Header(len(texts), mark, end, choose(texts))  # which raises


def _lines(file: TextIO) -> Iterator[str]:
    """Read line by line, as much of a file as a line of a table may have."""
    while line := file.readline(_LONGEST):
        if "\0" in line:
            raise csv.Error("a NUL character")
        if len(line) == _LONGEST:
            raise csv.Error(f"a line of {_LONGEST:,} characters or more")
        yield line


def _full_rows(lines: Iterator[str], header: _Header, above: int, name: str) -> Indices:
    """Number the rows that are not empty, from 1; refuse those of another width than the header.

    Where there are quotes, fields are counted as the csv module reads them. Rows may end in empty
    fields beyond the header's, as where each line ends with a delimiter.
    """
    width, mark, limit = header.width, header.delimiter, csv.field_size_limit()
    blank, empty, number = f"{mark} \t\r\n", [], 0
    for number, line in enumerate(lines, start=1):
        if '"' in line or len(line) > limit:
            fields = next(csv.reader(chain([line], lines), strict=True, delimiter=mark))
        elif line[0] in blank and not line.strip(blank):
            empty.append(number)
            continue
        elif line.count(mark) + 1 == width:
            continue
        else:
            fields = line.rstrip("\r\n").split(mark)
        if len(fields) < width or any(
            map(str.strip, fields[width:])
        ):  # pandas would fill or cut it silently
            what = f"a CSV file with {width} fields in each row, as its header has"
            raise ValueError(expected(name, what, f"row {above + number} with {len(fields)}"))
    return np.setdiff1d(np.arange(1, number + 1), empty, assume_unique=True)


def _column_as_text(column: "pd.Series[Any]") -> Texts:
    values = column.astype(object)
    try:
        codes, texts = pd.factorize(values)
    except TypeError:  # what cannot be hashed, such as a list
        return np.array([as_text(value) for value in values], dtype=object)
    known = np.empty(len(texts) + 1, dtype=object)
    known[:] = [*map(as_text, texts), ""]  # the last is what is missing
    return known[codes]

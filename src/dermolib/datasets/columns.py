"""CSV files and data frames as columns of text, found by the names that collections use."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, check_choice, expected, listed, require
from dermolib.io import open_file

__all__ = [
    "MISSING",
    "Texts",
    "as_text",
    "clean_name",
    "map_unique",
    "read_columns",
    "read_csv",
    "read_frame",
    "resolve_columns",
]

Texts: TypeAlias = npt.NDArray[np.object_]
"""Column of text (N,)."""

MISSING = frozenset({"", "nan", "na", "n/a", "none", "unknown", "<na>", "nat"})
"""Texts, in lower case, that mean that a value is not known."""

_DELIMITERS = (",", ";", "\t", "|")
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
    "sex": ("SEX",),
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
    if text.lower() in MISSING:
        return ""
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def map_unique(function: Callable[[str], str], values: Texts) -> Texts:
    """Apply a function once to each distinct text; equal results are one object."""
    codes, texts = pd.factorize(values)
    made = np.empty(len(texts), dtype=object)
    made[:] = [function(text) for text in texts]
    return made[codes]


def read_csv(
    path: Path, choose: Callable[[Sequence[str]], Mapping[str, int]], *, delimiter: str = ","
) -> dict[str, Texts]:
    """Read the columns that `choose` picks from the header by name and place.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file is empty, not in UTF-8 or UTF-16, or not CSV, or a row is ragged.
    """
    check_choice(delimiter, "delimiter", _DELIMITERS)
    try:
        return _read(path, choose, delimiter)
    except FileNotFoundError:
        raise DatasetNotFoundError(path, "a CSV file with columns such as ID and CLASS") from None
    except UnicodeError as error:
        columns = _read_ids(path, choose, delimiter)
        hint = "Save it as UTF-8."
        require(columns, str(path), "a CSV file in UTF-8", error, hint)
        return columns
    except csv.Error as error:
        raise ValueError(expected(str(path), "a CSV file", f"a parser error ({error})")) from error


def _read_ids(
    path: Path, choose: Callable[[Sequence[str]], Mapping[str, int]], delimiter: str
) -> dict[str, Texts]:
    """Read a file of which ids alone are not UTF-8, as names of files need not be; else nothing."""
    try:
        columns = _read(path, choose, delimiter, errors="surrogateescape")
        for name in columns.keys() - _IDS:
            "".join(columns[name]).encode()
    except (ValueError, csv.Error):
        return {}
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
) -> dict[str, Texts]:
    """Take the columns that `choose` picks as text; what is missing becomes empty."""
    chosen = choose([str(name) for name in frame.columns])
    return {name: _column_as_text(frame.iloc[:, place]) for name, place in chosen.items()}


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
    hint = "Fields are separated by commas." if len(texts) == 1 else ""
    got = f"the columns {listed(map(repr, header))}"
    require(not absent, name, f"a table with a column `{' '.join(absent[:1])}`", got, hint)
    return chosen


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
    delimiter: str,
    errors: str = "strict",
) -> dict[str, Texts]:
    with open_file(path) as raw:
        begin = raw.peek(4)
        encoding = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "utf-8")
        file = TextIOWrapper(raw, encoding, errors, newline="")
        lines = _lines(file)
        header = next(csv.reader(lines, strict=True, delimiter=delimiter), None)
        require(header is not None, str(path), "a CSV file with a header", "an empty file")
        header = header or []
        chosen = choose(header)
        for row, count in enumerate(_field_counts(lines, delimiter), start=2):
            if count != len(header):  # pandas would fill or cut it silently
                what = f"a CSV file with {len(header)} fields in each row, as its header has"
                raise ValueError(expected(str(path), what, f"row {row} with {count}"))
        file.seek(0)
        frame = pd.read_csv(
            file,
            sep=delimiter,
            header=0,
            names=list(range(len(header))),
            usecols=sorted(set(chosen.values())),
            index_col=False,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            encoding_errors=errors,
        )
    return {name: frame[place].to_numpy(object) for name, place in chosen.items()}


def _lines(file: TextIO) -> Iterator[str]:
    """Read line by line, as much of a file as a line of a table may have."""
    while line := file.readline(_LONGEST):
        if "\0" in line:
            raise csv.Error("a NUL character")
        if len(line) == _LONGEST:
            raise csv.Error(f"a line of {_LONGEST:,} characters or more")
        yield line


def _field_counts(lines: Iterator[str], delimiter: str) -> Iterator[int]:
    """Count the fields of each row; where there are quotes, as the csv module reads them."""
    limit = csv.field_size_limit()
    for line in lines:
        if '"' in line or len(line) > limit:
            yield len(next(csv.reader(chain([line], lines), strict=True, delimiter=delimiter)))
        else:
            yield line.count(delimiter) + 1 if line.rstrip("\r\n") else 0


def _column_as_text(column: "pd.Series[Any]") -> Texts:
    values = column.astype(object)
    try:
        codes, texts = pd.factorize(values)
    except TypeError:  # what cannot be hashed, such as a list
        return np.array([as_text(value) for value in values], dtype=object)
    known = np.empty(len(texts) + 1, dtype=object)
    known[:] = [*map(as_text, texts), ""]  # the last is what is missing
    return known[codes]

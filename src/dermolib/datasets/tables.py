"""CSV files and data frames to one table with known columns, every row checked."""

import os
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import PathLike, expected, listed
from dermolib.datasets.columns import chooser
from dermolib.datasets.identifiers import MISSING, clean_name
from dermolib.datasets.reading import Texts, read_csv, read_frame, recode
from dermolib.labels import DIAGNOSES, Vocabulary, as_vocabulary, find_diagnosis

__all__ = ["HasTable", "labels_of_codes", "read_table"]

_NO_DIAGNOSIS = MISSING - {"none", "unknown"}  # which are codes
_HIGHEST_AGE = 120
_YEARS = (1900, 2100)
# A name that stays inside its folder on every system, is not hidden and has no control character.
_SAFE_ID = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]+")
_SAFE_IDS = re.compile(rf"{_SAFE_ID.pattern}(?:\n{_SAFE_ID.pattern})*+")
_FLAGS = {"true": "1", "false": "0", "1.0": "1", "0.0": "0", "nan": "", "<na>": ""}


class HasTable(Protocol):
    """Whatever has a table, such as an `ISICDataset`.

    Examples:
        >>> from types import SimpleNamespace
        >>> from dermolib import audit
        >>> data = SimpleNamespace(table=pd.DataFrame({"id": ["a", "a"]}))
        >>> audit(data).failed
        ('rows',)
    """

    @property
    def table(self) -> pd.DataFrame:
        """A row for each image."""


def read_table(
    source: PathLike | pd.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    vocabulary: str | Vocabulary | None = None,
    delimiter: str = ",",
    needed: Sequence[str] = (),
    name: str = "table",
) -> pd.DataFrame:
    """Read the rows of a table into known columns, in their order.

    Known, in any letter case, are the challenge's columns ``ID``, ``CLASS`` (1..8), ``SEX``,
    ``AGE``, ``POSITION``, ``LESION_ID`` and ``PARENT_ID``, ISIC's names of the same (``image``,
    ``image_name``, ``isic_id``, ``age_approx``, ``anatom_site_general``, ``localization``, ...),
    ``PATIENT_ID``, ``YEAR``, and ``DIAGNOSIS`` or ``dx``; or a table that this function made.
    Other columns are left out. The texts ``nan``, ``na``, ``n/a``, ``none``, ``unknown`` and
    nothing at all are missing values. Rows are counted as a spreadsheet counts them: the header is
    row 1.

    Args:
        source: CSV file in UTF-8, or in UTF-16 with its byte order mark; or a data frame.
        columns: Names in the file of columns that are named otherwise, by their names here (``id``,
            ``class``, ``diagnosis``, ``malignant``, ``lesion``, ``patient``, ``age``, ``sex``,
            ``site``, ``year``, ``source``), such as ``{"id": "file_name"}``. Where ``malignant``
            (0 and 1) is given, the table has that column, bool.
        vocabulary: What the codes of ``diagnosis`` mean where there is no ``class``: a name in
            `dermolib.labels.VOCABULARIES`, or codes in any letter case to diagnoses. Without one
            a diagnosis is kept as text and makes no label.
        delimiter: What separates the fields of a file: comma, semicolon, tab or bar.
        needed: Columns that must be there, by the challenge's names.
        name: What a data frame is called in errors; a file is called by its path.

    Returns:
        Table with the columns ``id``; ``label``, 0..7, int64, or nullable where some rows have none
        (there is no such column where all lack one); ``diagnosis``, the code as published;
        ``lesion``; ``patient``; ``age`` in years, nan where missing; ``sex``, female or male;
        ``site``; ``year``, nullable; ``source``, the collection; and ``parent_id``, the id of the
        image that an augmented image was made from. Missing texts are empty.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: `source` is neither a path nor a data frame.
        ValueError: The file is empty, no CSV, without a needed column or with one twice, or a row
            has other fields than the header, a repeated or unsafe id, a class outside 1..8, an
            unknown diagnosis, an age outside 0..120 years, a year outside 1900..2100, or an unknown
            sex.

    Examples:
        >>> frame = pd.DataFrame({"image_id": ["A", "B"], "dx": ["nv", "akiec"]})
        >>> read_table(frame, vocabulary="ham10000")[["id", "label", "diagnosis"]]
          id  label diagnosis
        0  A      1        nv
        1  B   <NA>     akiec
    """
    if isinstance(source, pd.DataFrame):
        raw = read_frame(source, chooser(name, columns, needed))
    elif isinstance(source, (str, os.PathLike)):
        name = str(source)
        raw = read_csv(Path(source), chooser(name, columns, needed), delimiter=delimiter)
    else:
        what = "the path of a CSV file or a data frame"
        raise TypeError(expected("table", what, f"an object of type {type(source).__name__}"))
    if len(raw["id"]) == 0:
        raise ValueError(expected(name, "a table with at least one row", "a header only"))
    return _table(raw, name, vocabulary)


def labels_of_codes(
    codes: npt.NDArray[np.object_], vocabulary: str | Vocabulary, name: str
) -> "pd.Series[Any]":
    """Look up the labels of published codes.

    Args:
        codes: Codes (N,), empty where there is none.
        vocabulary: Vocabulary of `dermolib.labels.find_diagnosis`.
        name: File or table, for errors.

    Returns:
        Labels (N,), int64, or nullable where some rows have none.

    Raises:
        ValueError: A code is unknown, or the vocabulary is.
    """
    vocabulary = as_vocabulary(vocabulary)
    places, texts = pd.factorize(codes)
    found, unknown = np.full(len(texts), -1), np.zeros(len(texts), np.bool_)
    for place, text in enumerate(texts):
        try:
            diagnosis = find_diagnosis(text, vocabulary) if text else None
        except ValueError:
            unknown[place] = True
        else:
            found[place] = -1 if diagnosis is None else diagnosis.index
    remedy = f"Known are {listed(vocabulary, most=len(vocabulary))}."
    what = "a table whose diagnoses are in the vocabulary"
    _refuse(unknown[places], name, what, codes, remedy)
    labels = pd.Series(found[places], dtype="int64")
    return labels if (labels >= 0).all() else labels.astype("Int64").mask(labels < 0)


def _table(raw: dict[str, Texts], name: str, vocabulary: str | Vocabulary | None) -> pd.DataFrame:
    table = pd.DataFrame({"id": _ids(raw["id"], name)})
    diagnoses = _text(raw, "diagnosis", missing=_NO_DIAGNOSIS)
    if "class" in raw or "label" in raw:
        labels = _labels(raw, name)
        if labels is not None:
            table["label"] = labels
        if "class" in raw:
            diagnoses = np.where(diagnoses == "", recode(raw["class"], str.strip), diagnoses)
    elif vocabulary is not None:
        table["label"] = labels_of_codes(diagnoses, vocabulary, name)
    table["diagnosis"] = diagnoses
    if "malignant" in raw:
        table["malignant"] = _flags(raw["malignant"], name)
    table["lesion"], table["patient"] = _name(raw, "lesion"), _name(raw, "patient")
    table["age"] = _ages(_text(raw, "age"), name)
    table["sex"] = _sexes(_text(raw, "sex"), name)
    table["site"] = recode(_text(raw, "site"), str.lower)
    table["year"] = _years(_text(raw, "year"), name)
    table["source"], table["parent_id"] = _text(raw, "source"), _name(raw, "parent_id")
    return table


def _name(raw: Mapping[str, Texts], column: str) -> Texts:
    return recode(raw[column], clean_name) if column in raw else _text(raw, column)


def _text(raw: Mapping[str, Texts], column: str, missing: Set[str] = MISSING) -> Texts:
    if column not in raw:
        return np.full(len(raw["id"]), "", dtype=object)

    def clean(text: str) -> str:
        text = text.strip()
        return "" if text.lower() in missing else text

    return recode(raw[column], clean)


def _refuse(bad: npt.NDArray[np.bool_], name: str, what: str, values: Texts, remedy: str) -> None:
    if not bad.any():
        return
    rows = [f"row {row + 2}: {_short(values[row])}" for row in np.flatnonzero(bad)]
    raise ValueError(expected(name, what, f"{len(rows)} other ({listed(rows)})", remedy))


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")


def _flags(values: Texts, name: str) -> "pd.Series[Any]":
    """Read targets of 0 and 1, which some rows may lack."""
    text = recode(values, lambda value: _FLAGS.get(value.strip().lower(), value.strip()))
    lacking = text == ""
    bad = ~np.isin(text.astype(str), ["", "0", "1"])
    _refuse(bad, name, "a table whose targets are 0 and 1", text, "Leave out what is not known.")
    flags = pd.Series(text == "1", dtype=np.bool_)
    return flags.astype("boolean").mask(lacking) if lacking.any() else flags


def _ids(values: Texts, name: str) -> Texts:
    ids = np.empty(len(values), dtype=object)
    ids[:] = [text.strip() for text in values]
    text = "\n".join(ids)
    # Each by itself costs a second for 400,000
    if not _SAFE_IDS.fullmatch(text) or text.count("\n") != len(ids) - 1:
        safe = np.array([_SAFE_ID.fullmatch(text) is not None for text in ids], np.bool_)
        remedy = "An id is a file's name without its ending and may not lead out of the folder."
        _refuse(~safe, name, "a table whose ids are plain file names", ids, remedy)
    remedy = "Keep one row for each image."
    twice = pd.Series(ids).duplicated().to_numpy()
    _refuse(twice, name, "a table in which each id stands once", ids, remedy)
    return ids


def _labels(raw: dict[str, Texts], name: str) -> "pd.Series[Any] | None":
    """Read classes, which every row has, or labels of a table made here, which some may lack."""
    column, first = ("class", 1) if "class" in raw else ("label", 0)
    text = recode(raw[column], str.strip)
    numbers = _numbers(text)
    last = first + len(DIAGNOSES) - 1
    with np.errstate(invalid="ignore"):
        good = (numbers >= first) & (numbers <= last) & (numbers == np.round(numbers))
    lacking = np.zeros(len(text), np.bool_) if column == "class" else _text(raw, column) == ""
    known = ", ".join(f"{number.index + first} {number.code}" for number in DIAGNOSES)
    remedy = f"Known are {known}; leave other rows out, or the column where nothing is known."
    _refuse(~good & ~lacking, name, f"a table whose {column} is {first}..{last}", text, remedy)
    if lacking.all():
        return None
    labels = pd.Series(np.where(lacking, 0, numbers - first).astype(np.int64))
    return labels.astype("Int64").mask(lacking) if lacking.any() else labels


def _numbers(text: Texts) -> npt.NDArray[np.float64]:
    """Read numbers; nan for what is none."""
    codes, texts = pd.factorize(text)
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    made: npt.NDArray[np.float64] = numbers.to_numpy(np.float64)[codes]
    return made + 0.0  # which makes of -0 a 0


def _ages(text: Texts, name: str) -> npt.NDArray[np.float64]:
    ages = _numbers(text)
    remedy = "Write `nan` where it is not known."
    bad = (text != "") & ~((ages >= 0) & (ages <= _HIGHEST_AGE))
    _refuse(bad, name, f"a table whose ages are 0..{_HIGHEST_AGE} years", text, remedy)
    return ages


def _years(text: Texts, name: str) -> "pd.Series[Any]":
    years = _numbers(text)
    first, last = _YEARS
    lacking = text == ""
    bad = ~lacking & ~((years >= first) & (years <= last) & (years == np.round(years)))
    remedy = "Leave it empty where it is not known."
    _refuse(bad, name, f"a table whose years are {first}..{last}", text, remedy)
    return pd.Series(np.where(lacking, 0, years).astype(np.int16)).astype("Int16").mask(lacking)


def _sexes(text: Texts, name: str) -> Texts:
    sexes = recode(text, str.lower)
    bad = ~np.isin(sexes.astype(str), ["", "female", "male"])
    remedy = "Write `nan` where it is not known."
    _refuse(bad, name, "a table whose sex is female or male", text, remedy)
    return sexes

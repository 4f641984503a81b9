"""CSV files and data frames as one table with known columns, every row checked."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import (
    Indices,
    PathLike,
    as_path,
    check_choice,
    expected,
    listed,
    require,
    warn,
)
from dermolib.datasets.columns import (
    Texts,
    clean_name,
    is_missing,
    map_unique,
    read_csv,
    read_frame,
    resolve_columns,
)
from dermolib.datasets.copies import check_manifest
from dermolib.labels import (
    SITES,
    LabelSpace,
    Vocabulary,
    as_label_space,
    as_vocabulary,
    label_space_of,
)

__all__ = ["COLUMNS", "HasTable", "metadata_vectors", "place_labels", "read_table"]

COLUMNS: tuple[str, ...] = (
    *("id", "label", "diagnosis", "lesion", "patient", "age", "sex", "site", "year", "source"),
    "parent_id",
)
"""Columns of a table, in their order; ``label`` is absent where no row has a class."""

_RENAMED = ("label", "malignant", "class", *COLUMNS[2:], "id")
# A name that stays inside its folder on every system, is not hidden and has no control character
_SAFE_ID = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SAFE_IDS = re.compile(rf"{_SAFE_ID.pattern}(?:\n{_SAFE_ID.pattern})*+")
_FLAGS = {
    **{"true": "1", "false": "0"},
    **{"malignant": "1", "benign": "0", "indeterminate": ""},
    **{"indeterminate/malignant": "", "indeterminate/benign": ""},
}
_TARGETS = ("MALIGNANT", "TARGET", "BENIGN_MALIGNANT")
_WRITE_NAN = "Write `nan` where it is not known."
_ONE_OR_ZERO = "Write 0 for benign and 1 for malignant; leave out what is not known."
_LESIONS = ("unique", "within_patient")
_NUMBER = r"\d+(?:[.,]\d+)?"
# Such as `45,5`, `85+`, `> 85`, `40-45`, `55 years old` and `85 and older`
_AGE = re.compile(
    rf"(?:(?:[~<>≤≥]=?|over|under)\s*)?(?P<low>{_NUMBER})(?:\s*(?:[-\u2013\u2014]|to)\s*(?P<high>{_NUMBER}))?"
    r"\s*\+?\s*(?:y(?:ears?|rs?|/?o)?\.?)?\s*(?:old)?\s*\+?"
    r"(?:\s*(?:and|or|&)\s*(?:over|above|older|under|below|younger))?",
    re.IGNORECASE,
)
_INTERVAL = re.compile(r"[\[(](?P<low>\d+(?:\.\d+)?)\s*[,;-]\s*(?P<high>\d+(?:\.\d+)?)[\])]")
_SEXES = {
    **dict.fromkeys(("f", "w", "woman", "women", "girl"), "female"),
    **dict.fromkeys(("m", "man", "men", "boy"), "male"),
}
_BETWEEN = re.compile(r"[\W_]+(?:and[\W_]+)?")


class _Source(NamedTuple):
    """Where rows come from, to name them in errors."""

    name: str
    rows: Indices


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
    label_space: str | LabelSpace | Sequence[str] | None = None,
    lesions: str = "unique",
    delimiter: str | None = None,
    needed: Sequence[str] = (),
    name: str = "table",
) -> pd.DataFrame:
    """Read the rows of a table into known columns, in their order.

    Known, in any letter case, are the challenge's columns ``ID``, ``CLASS`` (1..8), ``SEX``,
    ``AGE``, ``POSITION``, ``LESION_ID`` and ``PARENT_ID``, ISIC's names of the same (``image``,
    ``image_name``, ``isic_id``, ``age_approx``, ``anatom_site_general``, ``localization``, ...),
    ``PATIENT_ID``, ``YEAR``, and ``DIAGNOSIS`` or ``dx``; or a table that this function made.
    Other columns are ignored, and so are empty rows. Empty fields, ``nan``, ``N/A``, ``NULL``,
    ``unknown``, ``not available``, ``-``, ``?``, ``-1`` and the like are missing values in every
    column. Rows are counted as in a spreadsheet: the header is row 1.

    An age may have a decimal comma or a unit, as in ``55 years``; a closed range such as ``40-45``
    is read as its middle, 42.5, and an open one such as ``85+`` or ``<20`` as its bound. A sex may
    be written as ``M`` or ``F``, ``man`` or ``woman``. The sites of `dermolib.labels.SITES` are
    found in any letter case, and however their words are joined: ``Head and Neck``.

    Args:
        source: CSV file in UTF-8, or in UTF-16 with its byte order mark; or a data frame.
        columns: Columns with other names in the file, by their names here (``id``, ``class``,
            ``diagnosis``, ``malignant``, ``lesion``, ``patient``, ``age``, ``sex``, ``site``,
            ``year``, ``source``), such as ``{"id": "file_name"}``. Where ``malignant`` (0 and 1) is
            given, the table has that column, bool.
        vocabulary: What the codes of ``diagnosis`` mean where there is no ``class``: a name in
            `dermolib.labels.VOCABULARIES`, or codes in any letter case to diagnoses, codes of the
            label space, or None.
        label_space: Classes of the labels: a name in `dermolib.labels.LABEL_SPACES`, a
            `dermolib.labels.LabelSpace` or a list of codes. Classes are numbered 1..K in it; where
            there are none, a row has the label of its diagnosis, see `LabelSpace.place`, or with
            ``"binary"`` that of a column ``malignant``, ``target`` or ``benign_malignant``. None is
            the space of a table that has one, else the challenge's; without a vocabulary, a
            diagnosis then is kept as text and makes no label.
        lesions: ``"within_patient"`` where lesions are numbered within each patient: a lesion 1 of
            the patient P1 is then ``P1_1``; one whose patient is not known stays as it is.
            ``"unique"`` takes the names as they are, and warns where patients have one in common.
        delimiter: Field separator of a file: comma, semicolon, tab or bar; None finds it.
        needed: Required columns, by the challenge's names.
        name: Name of a data frame in errors; a file is named by its path.

    Returns:
        Table with the columns ``id``; ``label``, 0..K-1, int64, or nullable where some rows have
        none (absent where no row has one); ``diagnosis``, the code as published;
        ``lesion``; ``patient``; ``age`` in years, nan where missing; ``sex``, female or male;
        ``site``; ``year``, nullable; ``source``, the collection; and ``parent_id``, the id of the
        image that an augmented image was made from. Missing texts are empty. Its attribute
        ``attrs["label_space"]`` has the codes and names of the classes.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: `source` is neither a path nor a data frame.
        ValueError: The file is empty, not CSV, misses a required column or has one twice, or a row
            has more or fewer fields than the header, a repeated or unsafe id, a class outside 1..K,
            an unknown diagnosis, an age outside 0..120 years, a year outside 1900..2100, or an
            unknown sex; or it is the manifest of `augment_offline`, and was changed.

    Warns:
        UserWarning: A lesion has several patients.

    Examples:
        >>> frame = pd.DataFrame({"image_id": ["A", "B"], "dx": ["nv", "akiec"]})
        >>> read_table(frame, vocabulary="ham10000")[["id", "label", "diagnosis"]]
          id  label diagnosis
        0  A      1        nv
        1  B   <NA>     akiec
    """
    what = "a mapping of names here to names there"
    got = f"an object of type {type(columns).__name__}"
    require(columns is None or isinstance(columns, Mapping), "columns", what, got, error=TypeError)
    for column in columns or {}:
        check_choice(column, "columns", _RENAMED)
    check_choice(lesions, "lesions", _LESIONS)
    readable = isinstance(source, (str, bytes, os.PathLike, pd.DataFrame))
    what, kind = "the path of a CSV file or a data frame", type(source).__name__
    require(readable, "table", what, f"an object of type {kind}", error=TypeError)
    name = name if isinstance(source, pd.DataFrame) else str(source)
    space = None if label_space is None else as_label_space(label_space)
    binary = space is not None and space.is_binary
    choose = partial(_choose, name=name, columns=columns or {}, needed=needed, binary=binary)
    if isinstance(source, pd.DataFrame):
        raw = read_frame(source, choose)
    else:
        path = as_path(source, "table")
        check_manifest(path)
        raw = read_csv(path, choose, delimiter=delimiter)
    require(len(raw["id"]), name, "a table with at least one row", "a header only")
    told = isinstance(source, pd.DataFrame) and "label_space" in source.attrs
    own = label_space_of(source) if told or space is None else space
    table = _table(raw, _Source(name, raw.rows), own, lesions)
    if (space is None and vocabulary is None) or ("label" in table and space in (None, own)):
        return table
    return place_labels(table, space or own, vocabulary, name=name, rows=raw.rows)


def place_labels(
    table: pd.DataFrame,
    space: LabelSpace,
    vocabulary: str | Vocabulary | None = None,
    *,
    name: str = "table",
    rows: Indices | None = None,
) -> pd.DataFrame:
    """Label the rows of a table of `read_table` in a space, by what is published of each.

    For benign and malignant that is the column ``malignant``, if any; else the diagnosis, and for
    rows whose diagnosis has no place in the space, the code of the label that they have in another.
    """
    own, had = label_space_of(table), table.get("label")
    source = _Source(name, np.arange(len(table)) + 2 if rows is None else rows)
    if space.is_binary and "malignant" in table:
        flags = table["malignant"].astype("boolean")
        found = flags.astype("Int8").fillna(-1).to_numpy(np.int64)
    else:
        codes, known = table["diagnosis"].to_numpy(object), had is not None
        found = _labels_of_codes(codes, space, vocabulary, source, any_code=known)
        if had is not None:
            own_codes = np.array([*own.codes, ""], object)  # the last for rows without a label
            moved = _labels_of_codes(own_codes, space, None, source, any_code=True)
            found = np.where(found < 0, moved[had.fillna(-1).to_numpy(np.int64)], found)
    placed = table.drop(columns="label", errors="ignore")
    placed.attrs = {**table.attrs, "label_space": space.to_dict()}
    if (found >= 0).any():
        placed.insert(1, "label", _nullable(found, found < 0, "int64"))
    return placed


def metadata_vectors(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Turn age, sex and site into numbers with a flag for each missing value.

    Args:
        table: Table of `dermolib.datasets.read_table`.

    Returns:
        Vectors (N, 13), float32, with the entries of `dermolib.labels.METADATA_NAMES`: age / 100, 0
        where missing; 0 or 1 elsewhere. A site that is not in `dermolib.labels.SITES` has no entry
        set, not even ``site_missing``.
    """
    age = table["age"].to_numpy(np.float32) / np.float32(100)
    sex = table["sex"].to_numpy(str)
    site = table["site"].to_numpy(str)
    columns = [np.nan_to_num(age), np.isnan(age), sex == "female", sex == ""]
    columns += [site == name for name in (*SITES, "")]
    return np.stack(columns, axis=1).astype(np.float32)


def _choose(
    header: Sequence[str],
    *,
    name: str,
    columns: Mapping[str, str],
    needed: Sequence[str],
    binary: bool,
) -> dict[str, int]:
    """Find the columns in a header; for benign and malignant also the first of their names."""
    upper = {text.strip().upper(): text.strip() for text in reversed(header)}
    targets = [upper[target] for target in _TARGETS if target in upper]
    if binary and targets and not {"malignant", "class", "label"} & {*columns}:
        columns = {**columns, "malignant": targets[0]}
    return resolve_columns(header, name=name, columns=columns, needed=needed)


def _table(raw: dict[str, Texts], source: _Source, space: LabelSpace, lesions: str) -> pd.DataFrame:
    table = pd.DataFrame({"id": _ids(raw["id"], source)})
    table.attrs["label_space"] = space.to_dict()
    diagnoses = _text(raw, "diagnosis", codes=True)
    if "class" in raw or "label" in raw:
        labels = _labels(raw, source, space)
        if labels is not None:
            table["label"] = labels
        if labels is not None and "class" in raw:
            codes = np.array(space.codes, object)[labels.to_numpy(np.int64)]
            diagnoses = np.where(diagnoses == "", codes, diagnoses)
    table["diagnosis"] = diagnoses
    if "malignant" in raw:
        table["malignant"] = _flags(raw["malignant"], source)
    patients = _name(raw, "patient")
    table["lesion"] = _lesions(_name(raw, "lesion"), patients, source.name, lesions)
    table["patient"] = patients
    age = _text(raw, "age")
    table["age"] = _numbers(age, source, age != "", "ages", 0, 120, " years", _WRITE_NAN, read=_age)
    table["sex"] = sexes = map_unique(_sex, _text(raw, "sex"))
    unknown = ~np.isin(sexes.astype(str), ["", "female", "male"])
    _refuse(unknown, source, "a table whose sex is female or male", sexes, _WRITE_NAN)
    table["site"] = map_unique(_site, _text(raw, "site"))
    year = _text(raw, "year")
    hint = "Leave it empty where it is not known."
    years = _numbers(year, source, year != "", "years", 1900, 2100, "", hint, whole=True)
    table["year"] = _nullable(years, year == "", "int16").astype("Int16")
    table["source"], table["parent_id"] = _text(raw, "source"), _text(raw, "parent_id")
    return table


def _name(raw: Mapping[str, Texts], column: str) -> Texts:
    return map_unique(clean_name, raw[column]) if column in raw else _text(raw, column)


def _text(raw: Mapping[str, Texts], column: str, *, codes: bool = False) -> Texts:
    if column not in raw:
        return np.full(len(raw["id"]), "", dtype=object)

    def clean(text: str) -> str:
        text = text.strip()
        return "" if is_missing(text, codes=codes) else text

    return map_unique(clean, raw[column])


def _lesions(lesions: Texts, patients: Texts, name: str, scope: str) -> Texts:
    """Join the lesions with their patients on request; else warn of one that has several."""
    known = (lesions != "") & (patients != "")
    if scope == "within_patient":
        return np.where(known, patients + "_" + lesions, lesions)
    pairs = pd.DataFrame({"lesion": lesions[known], "patient": patients[known]}).drop_duplicates()
    if len(torn := pairs["lesion"][pairs["lesion"].duplicated()].unique()):
        text = (
            f"{name} has {len(torn):,} lesions with several patients each ({listed(torn)}): a split"
        )
        hint = (
            "If lesions are numbered within each patient, read it with `lesions='within_patient'`."
        )
        warn(f"{text} keeps all of these patients together. {hint}")
    return lesions


def _age(text: str) -> str:
    """Write an age with a decimal comma, a unit or a range as a number, where it is one."""
    found = _AGE.fullmatch(text) or _INTERVAL.fullmatch(text)
    if not found:
        return text
    low = found["low"].replace(",", ".")
    high = (found["high"] or low).replace(",", ".")
    return str((float(low) + float(high)) / 2) if float(low) <= float(high) else text


def _sex(text: str) -> str:
    return _SEXES.get(text.lower(), text.lower())


def _site(text: str) -> str:
    """Write a site as in `SITES` where it is one of them but for how its words are joined."""
    return _SITES.get(_words(text), text.lower())


def _words(site: str) -> str:
    """Reduce a site to its words, each in the singular."""
    words = _BETWEEN.sub(" ", site.lower()).split()
    return " ".join(word.replace("ies", "y").removesuffix("s") for word in words)


_SITES = {_words(site): site for site in SITES}


def _refuse(
    bad: npt.NDArray[np.bool_], source: _Source, what: str, values: Texts, hint: str
) -> None:
    if bad.any():
        texts = ((source.rows[row], values[row]) for row in np.flatnonzero(bad))
        rows = [
            f"row {row}: {text if len(text) <= 80 else text[:80] + '…'!r}" for row, text in texts
        ]
        raise ValueError(expected(source.name, what, f"{len(rows)} other ({listed(rows)})", hint))


def _nullable(values: Any, missing: npt.NDArray[np.bool_], dtype: Any) -> "pd.Series[Any]":
    """Make a series, of the nullable kind of its dtype where values are missing."""
    series: pd.Series[Any] = pd.Series(np.where(missing, 0, values)).astype(dtype)
    if not missing.any():
        return series
    nullable: Any = {"int64": "Int64", "int16": "Int16", "bool": "boolean"}[dtype]
    return series.astype(nullable).mask(missing)


def _labels_of_codes(
    codes: Texts,
    space: LabelSpace,
    vocabulary: str | Vocabulary | None,
    source: _Source,
    *,
    any_code: bool,
) -> npt.NDArray[np.int64]:
    """Look up the labels of published codes; -1 for what has no place."""
    vocabulary = None if vocabulary is None else as_vocabulary(vocabulary)
    places, texts = pd.factorize(codes)
    found, unknown = np.full(len(texts), -1), np.zeros(len(texts), np.bool_)
    for place, text in enumerate(texts):
        try:
            label = space.place(text, vocabulary=vocabulary) if text else None
        except ValueError:
            unknown[place] = not any_code
        else:
            found[place] = -1 if label is None else label
    known = list(space.codes if vocabulary is None else vocabulary)
    hint = f"Known are {listed(known, most=len(known))}."
    if vocabulary is None:
        hint += " Leave other rows out, or say what their codes mean with `vocabulary=`."
    what = f"a table whose diagnoses are in {space if vocabulary is None else 'the vocabulary'}"
    _refuse(unknown[places], source, what, codes, hint)
    return found[places]


def _flags(values: Texts, source: _Source) -> "pd.Series[Any]":
    """Read targets of 0 and 1, which may be missing in some rows."""
    text = map_unique(
        lambda value: _FLAGS.get(value.lower(), value), map_unique(clean_name, values)
    )
    bad = ~np.isin(text.astype(str), ["", "0", "1"])
    _refuse(bad, source, "a table whose targets are 0 and 1", text, _ONE_OR_ZERO)
    return _nullable(text == "1", text == "", "bool")


def _ids(values: Texts, source: _Source) -> Texts:
    ids = np.empty(len(values), dtype=object)
    ids[:] = [text.strip() for text in values]
    text = "\n".join(ids)
    # All at once, since each by itself costs a second for 400,000
    if not _SAFE_IDS.fullmatch(text) or text.count("\n") != len(ids) - 1:
        unsafe = np.array([_SAFE_ID.fullmatch(text) is None for text in ids], np.bool_)
        hint = "An id is a file's name without its ending and may not lead out of the folder."
        _refuse(unsafe, source, "a table whose ids are plain file names", ids, hint)
    twice = pd.Series(ids).duplicated().to_numpy()
    hint = "Keep one row for each image."
    _refuse(twice, source, "a table in which each id appears once", ids, hint)
    return ids


def _labels(raw: dict[str, Texts], source: _Source, space: LabelSpace) -> "pd.Series[Any] | None":
    """Read classes, which every row has, or labels of a table made here, which may be missing."""
    column, first = ("class", 1) if "class" in raw else ("label", 0)
    text = map_unique(str.strip, raw[column])
    missing = np.zeros(len(text), np.bool_) if column == "class" else _text(raw, column) == ""
    known = ", ".join(f"{number} {code}" for number, code in enumerate(space.codes, start=first))
    hint = f"Known are {known}; leave other rows out, or the column where nothing is known."
    last = first + len(space) - 1
    numbers = _numbers(text, source, ~missing, column, first, last, "", hint, whole=True)
    return None if missing.all() else _nullable(numbers - first, missing, "int64")


def _numbers(
    text: Texts,
    source: _Source,
    known: npt.NDArray[np.bool_],
    words: str,
    low: int,
    high: int,
    unit: str,
    hint: str,
    *,
    whole: bool = False,
    read: Callable[[str], str] = str,
) -> npt.NDArray[np.float64]:
    """Read numbers; nan where not known."""
    codes, texts = pd.factorize(text)
    written: pd.Series[Any] = pd.Series([read(one) for one in texts], dtype=object)
    numbers = pd.to_numeric(written, errors="coerce").to_numpy(np.float64)
    fits = (numbers >= low) & (numbers <= high) & ~(whole & (numbers != np.round(numbers)))
    verb = "is" if words in ("class", "label") else "are"
    what = f"a table whose {words} {verb} {low}..{high}{unit}"
    _refuse(known & ~fits[codes], source, what, text, hint)
    made: npt.NDArray[np.float64] = numbers[codes] + 0.0  # which makes of -0 a 0
    return made

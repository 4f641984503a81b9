"""CSV files and data frames to one table with known columns, every row checked."""

import csv
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._checks import DatasetNotFoundError, check_choice, expected, listed
from dermolib._types import PathLike
from dermolib.diagnoses import DIAGNOSES

__all__ = [
    "METADATA_NAMES",
    "SITES",
    "group_names",
    "metadata_vectors",
    "read_challenge_table",
    "read_table",
]

SITES: tuple[str, ...] = (
    "anterior torso",
    "head/neck",
    "lateral torso",
    "lower extremity",
    "oral/genital",
    "palms/soles",
    "posterior torso",
    "upper extremity",
)
"""Sites of the body in the challenge's metadata."""

METADATA_NAMES: tuple[str, ...] = (
    "age",
    "age_missing",
    "female",
    "sex_missing",
    *SITES,
    "site_missing",
)
"""What each entry of a metadata vector means."""

_COLUMNS = {
    "ID": "id",
    "CLASS": "class",
    "SEX": "sex",
    "AGE": "age",
    "POSITION": "site",
    "LESION_ID": "lesion",
    "SOURCE_ID": "source",
}
_LAYOUT = (
    "metadataTrain.csv and metadataTest.csv beside the folders Train and Test with ID.jpg, "
    "optionally Train/ID_seg.png and lesion_ids.csv"
)
_OWN_COLUMNS = ("id", "lesion", "age", "sex", "site", "source")
_MISSING = {"", "nan", "na", "n/a", "none", "unknown"}
_HIGHEST_AGE = 120
_MOST_STEPS = 8  # of augmentation of augmented images
# A name that stays inside its folder on every system, is not hidden and has no control character.
_SAFE_ID = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]+")

Texts = pd.Series  # a column of text, empty where a value is missing


def read_table(source: PathLike | pd.DataFrame, *, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read the rows of a challenge table into known columns, in their order.

    Read are the challenge's columns ``ID`` and, where present, ``CLASS`` (1..8), ``SEX``, ``AGE``,
    ``POSITION``, ``LESION_ID`` and ``SOURCE_ID``, in any letter case, or a table that this function
    made before. The texts ``nan``, ``na``, ``n/a``, ``none``, ``unknown`` and nothing at all are
    missing values. Rows are counted as a spreadsheet counts them: the header is row 1.

    Args:
        source: CSV file in UTF-8 (with or without byte order mark), or a data frame.
        needed: Columns that must be there, by the challenge's names.

    Returns:
        Table with the columns ``id``, ``label`` (0..7; absent where there are no classes),
        ``lesion``, ``age`` in years (nan where missing), ``sex``, ``site`` and ``source``, the id
        of the image that an augmented image was made from; missing texts are empty.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file is empty, no CSV, without a needed column or with one twice, or a row
            has other fields than the header, a repeated or unsafe id, a class outside 1..8, an age
            outside 0..120 years, or an unknown sex.
    """
    if isinstance(source, pd.DataFrame):
        name, raw = "table", _as_text(source)
    elif isinstance(source, (str, os.PathLike)):
        name, raw = str(source), _read_csv(Path(source))
    else:
        what = "the path of a CSV file or a data frame"
        raise TypeError(expected("table", what, f"an object of type {type(source).__name__}"))
    raw = _rename(raw, name, own=isinstance(source, pd.DataFrame))
    for column in needed:
        if _COLUMNS[column] not in raw:
            got = f"the columns {listed(raw.columns)}"
            raise ValueError(expected(name, f"a table with a column `{column}`", got))
    if len(raw) == 0:
        raise ValueError(expected(name, "a table with at least one row", "a header only"))
    table = pd.DataFrame({"id": _ids(raw, name)})
    if "class" in raw or "label" in raw:
        table["label"] = _labels(raw, name)
    table["lesion"] = _text(raw, "lesion")
    table["age"] = _ages(raw, name)
    table["sex"] = _sexes(raw, name)
    table["site"] = _text(raw, "site").str.lower()
    table["source"] = _text(raw, "source")
    return table


def read_challenge_table(root: PathLike, split: str = "train") -> pd.DataFrame:
    """Read one side of the challenge's tables, whether its images are there or not.

    Args:
        root: Folder with ``metadataTrain.csv``, ``metadataTest.csv``, ``Train`` and ``Test``, and
            perhaps ``lesion_ids.csv`` (ID, LESION_ID).
        split: ``"train"`` or ``"test"``.

    Returns:
        Table of `read_table`, with the lesions where they are known.

    Raises:
        DatasetNotFoundError: `root` does not have the layout of the challenge.
        ValueError: A table is unfit, see `read_table`.
    """
    check_choice(split, "split", ("train", "test"))
    root = Path(root)
    side = split.capitalize()
    for path in (root, root / f"metadata{side}.csv", root / side):
        if not path.exists():
            raise DatasetNotFoundError(path, _LAYOUT)
    table = read_table(root / f"metadata{side}.csv")
    if split == "train" and "label" not in table:
        what = "a table with a column `CLASS` (1..8)"
        got = "none; other columns than ID, CLASS, SEX, AGE, POSITION and LESION_ID are not read"
        raise ValueError(expected(str(root / f"metadata{side}.csv"), what, got))
    if (root / "lesion_ids.csv").exists():
        table["lesion"] = _joined_lesions(table, root / "lesion_ids.csv", split)
    return table


def _joined_lesions(table: pd.DataFrame, path: Path, split: str) -> Texts:
    """Look up the lesion of each row; a lesion that the table itself tells comes first."""
    lesions = read_table(path, needed=("LESION_ID",)).set_index("id")["lesion"]
    unknown = ~table["id"].isin(lesions.index)
    if unknown.all() and split == "train":
        what = "a table with the ids of the training images"
        got = f"others ({listed(lesions.index)})"
        remedy = "Without their lesions, a split would put one lesion on two sides."
        raise ValueError(expected(str(path), what, got, remedy))
    if unknown.any() and split == "train":
        count = f"{int(unknown.sum())} of {len(table)} ({listed(table['id'][unknown])})"
        text = f"{path} lacks training images: {count}. Each counts as a lesion of its own."
        warnings.warn(text, stacklevel=4)
    known = table["id"].map(lesions).fillna("")
    return table["lesion"].where(table["lesion"] != "", known)


def metadata_vectors(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Turn age, sex and site into numbers with a flag for each that is missing.

    Args:
        table: Table of `read_table`.

    Returns:
        Vectors (N, 13), float32, with the meanings `METADATA_NAMES`: age in centuries, 0 where
        missing; 0 or 1 elsewhere. A site that is not in `SITES` has no entry set, not even
        ``site_missing``.
    """
    age = table["age"].to_numpy(np.float32) / np.float32(100)
    sex = table["sex"].to_numpy(str)
    site = table["site"].to_numpy(str)
    columns = [np.nan_to_num(age), np.isnan(age), sex == "female", sex == ""]
    columns += [site == name for name in SITES]
    columns += [site == ""]
    return np.stack(columns, axis=1).astype(np.float32)


def group_names(table: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Name the group of each row: its lesion, or where that is unknown the image itself.

    Args:
        table: Table with the columns ``id``, ``lesion`` and ``source`` of `read_table`.

    Returns:
        Names (N,); an augmented image has the group of the image that it was made from, over any
        number of steps.
    """
    ids, lesion, source = (table[name].to_numpy(object) for name in ("id", "lesion", "source"))
    parent = pd.Index(ids).get_indexer(pd.Index(source))  # -1 where there is none
    root = np.arange(len(table))
    for _ in range(_MOST_STEPS):
        root = np.where(parent[root] >= 0, parent[root], root)
    image = np.where(source[root] == "", ids[root], source[root])
    names: npt.NDArray[np.object_] = np.where(lesion[root] == "", image, lesion[root])
    return names


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise DatasetNotFoundError(path, "a CSV file with the columns ID, CLASS, ...") from None
    except IsADirectoryError:
        raise ValueError(expected(str(path), "a CSV file", "a folder")) from None
    except UnicodeDecodeError as error:
        remedy = "Save it as UTF-8."
        raise ValueError(expected(str(path), "a CSV file in UTF-8", error, remedy)) from error
    except csv.Error as error:
        raise ValueError(expected(str(path), "a CSV file", f"a parser error ({error})")) from error
    if not rows:
        raise ValueError(expected(str(path), "a CSV file with a header", "an empty file"))
    header, *body = rows
    for number, fields in enumerate(body, start=2):
        if len(fields) != len(header):
            what = f"a CSV file with {len(header)} fields in each row, as its header has"
            raise ValueError(expected(str(path), what, f"row {number} with {len(fields)}"))
    table = pd.DataFrame(body, columns=range(len(header)), dtype=str)
    table.columns = pd.Index(header)
    return table


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    columns = [
        ["" if pd.isna(value) else str(value) for value in frame.iloc[:, place].astype(object)]
        for place in range(frame.shape[1])
    ]
    table = pd.DataFrame(dict(enumerate(columns)), dtype=str)
    table.columns = frame.columns
    return table


def _rename(raw: pd.DataFrame, name: str, *, own: bool) -> pd.DataFrame:
    """Keep the known columns under the names used here; `own` knows a table of `read_table`."""
    names = [str(column).strip() for column in raw.columns]
    if not (own and set(_OWN_COLUMNS) <= set(names)):
        names = [_COLUMNS.get(text.upper(), f"unknown {text}") for text in names]
    known = [place for place, text in enumerate(names) if text in {*_COLUMNS.values(), "label"}]
    kept = raw.iloc[:, known]
    kept.columns = pd.Index([names[place] for place in known])
    twice = kept.columns[kept.columns.duplicated()]
    if len(twice):
        raise ValueError(expected(name, "a table with each column once", f"{twice[0]!r} twice"))
    if "id" not in kept:
        remedy = "Fields are separated by commas." if len(names) == 1 else ""
        got = f"the columns {listed(map(repr, raw.columns))}"
        raise ValueError(expected(name, "a table with a column `ID`", got, remedy))
    return kept


def _text(raw: pd.DataFrame, column: str) -> Texts:
    if column not in raw:
        return pd.Series([""] * len(raw), dtype=str)
    text = raw[column].str.strip()
    return text.where(~text.str.lower().isin(_MISSING), "").reset_index(drop=True)


def _refuse(bad: pd.Series, name: str, what: str, values: Texts, remedy: str) -> None:
    if not bad.any():
        return
    rows = [f"row {row + 2}: {values.iloc[row]!r}" for row in np.flatnonzero(bad.to_numpy())]
    raise ValueError(expected(name, what, f"{len(rows)} other ({listed(rows)})", remedy))


def _ids(raw: pd.DataFrame, name: str) -> Texts:
    ids = raw["id"].str.strip().reset_index(drop=True)
    safe = ids.str.fullmatch(_SAFE_ID.pattern)
    remedy = "An id is the name of a file without its ending and may not lead out of the folder."
    _refuse(~safe.astype(bool), name, "a table whose ids are plain file names", ids, remedy)
    remedy = "Keep one row for each image."
    _refuse(ids.duplicated(), name, "a table in which each id stands once", ids, remedy)
    return ids


def _labels(raw: pd.DataFrame, name: str) -> pd.Series:
    column, first = ("class", 1) if "class" in raw else ("label", 0)
    text = raw[column].str.strip().reset_index(drop=True)
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    last = first + len(DIAGNOSES) - 1
    good = numbers.between(first, last) & (numbers == numbers.round())
    known = ", ".join(f"{number.index + first} {number.code}" for number in DIAGNOSES)
    remedy = f"Known are {known}; leave other rows out, or the column where nothing is known."
    _refuse(~good, name, f"a table whose {column} is {first}..{last}", text, remedy)
    return (numbers - first).astype(np.int64)


def _ages(raw: pd.DataFrame, name: str) -> pd.Series:
    text = _text(raw, "age")
    ages = pd.to_numeric(text, errors="coerce").astype(float)
    good = (text == "") | ages.between(0, _HIGHEST_AGE)
    remedy = "Write `nan` where it is not known."
    _refuse(~good, name, f"a table whose ages are 0..{_HIGHEST_AGE} years", text, remedy)
    return ages


def _sexes(raw: pd.DataFrame, name: str) -> Texts:
    text = _text(raw, "sex").str.lower()
    remedy = "Write `nan` where it is not known."
    _refuse(
        ~text.isin(["", "female", "male"]),
        name,
        "a table whose sex is female or male",
        text,
        remedy,
    )
    return text

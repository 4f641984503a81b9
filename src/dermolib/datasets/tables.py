"""CSV files and data frames to one table with known columns, every row checked."""

import re
from collections.abc import Callable
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
_MISSING = {"", "nan", "na", "n/a", "none", "unknown"}
_HIGHEST_AGE = 120
# A name that stays inside its folder on every system, is not hidden and has no control character.
_SAFE_ID = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]+")

Texts = pd.Series  # a column of text, empty where a value is missing


def read_table(source: PathLike | pd.DataFrame) -> pd.DataFrame:
    """Read the rows of a challenge table into known columns, in their order.

    Read are the challenge's columns ``ID`` and, where present, ``CLASS`` (1..8), ``SEX``, ``AGE``,
    ``POSITION``, ``LESION_ID`` and ``SOURCE_ID``, in any letter case, or a table that this function
    made before. The texts ``nan``, ``na``, ``n/a``, ``none``, ``unknown`` and nothing at all are
    missing values. Rows are counted as a spreadsheet counts them: the header is row 1.

    Args:
        source: CSV file in UTF-8 (with or without byte order mark), or a data frame.

    Returns:
        Table with the columns ``id``, ``label`` (0..7; absent where there are no classes),
        ``lesion``, ``age`` in years (nan where missing), ``sex``, ``site`` and ``source``, the id
        of the image that an augmented image was made from; missing texts are empty.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file is empty, no CSV, or without ids, or a row has a repeated or unsafe
            id, a class outside 1..8, an age outside 0..120 years, or an unknown sex.
    """
    raw = _read_csv(Path(source)) if not isinstance(source, pd.DataFrame) else _as_text(source)
    name = "table" if isinstance(source, pd.DataFrame) else str(source)
    raw = _rename(raw, name)
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
    if (root / "lesion_ids.csv").exists():
        lesions = read_table(root / "lesion_ids.csv").set_index("id")["lesion"]
        table["lesion"] = table["id"].map(lesions).fillna("")
    return table


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
        Names (N,); an augmented image has the group of the image that it was made from.
    """
    lesion, source, own = (table[name].to_numpy(object) for name in ("lesion", "source", "id"))
    image = np.where(source == "", own, source)
    names: npt.NDArray[np.object_] = np.where(lesion == "", image, lesion)
    return names


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig").fillna("")
    except FileNotFoundError:
        raise DatasetNotFoundError(path, "a CSV file with the columns ID, CLASS, ...") from None
    except pd.errors.EmptyDataError:
        raise ValueError(expected(str(path), "a CSV file with a header", "an empty file")) from None
    except UnicodeDecodeError as error:
        remedy = "Save it as UTF-8."
        raise ValueError(expected(str(path), "a CSV file in UTF-8", error, remedy)) from error
    except pd.errors.ParserError as error:
        raise ValueError(expected(str(path), "a CSV file", f"a parser error ({error})")) from error


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    text = {column: frame[column].astype(object) for column in frame.columns}
    rows = {
        str(name): ["" if pd.isna(value) else str(value) for value in values]
        for name, values in text.items()
    }
    return pd.DataFrame(rows, dtype=str)


def _rename(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    names = {column: str(column).strip() for column in raw.columns}
    known = {column: _COLUMNS.get(text.upper(), text.lower()) for column, text in names.items()}
    raw = raw.rename(columns=known)
    twice = raw.columns[raw.columns.duplicated()]
    if len(twice):
        raise ValueError(expected(name, "a table with each column once", f"{twice[0]!r} twice"))
    if "id" not in raw:
        columns = listed(names.values())
        raise ValueError(expected(name, "a table with a column `ID`", f"the columns {columns}"))
    return raw


def _text(raw: pd.DataFrame, column: str) -> Texts:
    if column not in raw:
        return pd.Series([""] * len(raw), dtype=str)
    text = raw[column].str.strip()
    return text.where(~text.str.lower().isin(_MISSING), "").reset_index(drop=True)


def _refuse(
    bad: pd.Series, name: str, what: str, values: Texts, remedy: str | Callable[[], str]
) -> None:
    if not bad.any():
        return
    rows = [f"row {row + 2}: {values.iloc[row]!r}" for row in np.flatnonzero(bad.to_numpy())]
    text = remedy if isinstance(remedy, str) else remedy()
    raise ValueError(expected(name, what, f"{len(rows)} other ({listed(rows)})", text))


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

"""Files of a store of prepared images: their names, and what they hold once it was checked."""

import csv
import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError  # NumPy reads the header of a file as Python
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import DatasetNotFoundError, PathLike, expected, listed

__all__ = [
    "ANEW",
    "FORMAT",
    "IMAGES",
    "INDEX",
    "INDEX_COLUMNS",
    "LAYOUT",
    "MASKS",
    "RUN",
    "SETTINGS",
    "is_store",
    "mapped",
    "read_index",
    "read_settings",
    "settings_key",
]

FORMAT = "dermolib-store-1"
"""Name of the layout; a store of another one is refused."""

INDEX_COLUMNS = (
    "row", "id", "file", "height", "width", "top", "bottom", "left", "right", "masked_fraction",
    "size", "modified", "mask_size", "mask_modified",
)  # fmt: skip
"""Columns of the index, in their order."""

IMAGES, MASKS, INDEX, SETTINGS = "images.npy", "masks.npy", "index.csv", "store.json"
RUN = "run.jsonl"  # the journal of `prepare`

LAYOUT = f"{SETTINGS}, {INDEX} and {IMAGES}, as `dermolib.preprocessing.prepare` writes them"
_FORMS = {IMAGES: (np.uint8, 4), MASKS: (np.bool_, 3)}  # dtype and number of dimensions
ANEW = "Prepare the folder anew."
_TEXTS = ("id", "file")
_CODES = {"masked_fraction": "d"}  # of `array.array`; the other numbers are whole


def is_store(path: PathLike) -> bool:
    """Tell whether a folder is a store, done or not."""
    path = Path(path)
    return (path / SETTINGS).is_file() or all((path / name).is_file() for name in (RUN, IMAGES))


def settings_key(settings: Any) -> str:
    """Digest settings into the key of a store."""
    text = json.dumps([FORMAT, settings], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def read_settings(path: Path) -> dict[str, Any]:
    """Read how a store was made, or say that it is none, not done, or of another format."""
    try:
        content = dict(json.loads((path / SETTINGS).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        if not is_store(path):
            raise DatasetNotFoundError(path / SETTINGS, LAYOUT) from None
        what = "a store that is done"
        remedy = "Call `prepare` again with the settings of that run: it continues."
        raise ValueError(expected(str(path), what, "one that is not", remedy)) from None
    except (ValueError, TypeError):
        content = {}
    found = content.get("format")
    if found != FORMAT or content.get("key") != settings_key(content.get("settings")):
        what = f"the settings of a store of the format {FORMAT!r}"
        got = "something else" if found in (FORMAT, None) else f"those of {found!r}"
        raise ValueError(expected(str(path / SETTINGS), what, got, ANEW))
    return content


def read_index(path: Path, count: object) -> dict[str, npt.NDArray[Any]]:
    """Read the columns of the index, which must have `count` rows."""
    try:
        with (path / INDEX).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            columns = _columns(csv.reader(file))
        if len(columns["row"]) != count:
            raise ValueError(f"{len(columns['row'])} rows in place of {count}")
    except FileNotFoundError:
        raise DatasetNotFoundError(path / INDEX, LAYOUT) from None
    except (ValueError, OverflowError, csv.Error) as error:
        what = "the index of a store"
        raise ValueError(expected(str(path / INDEX), what, error, ANEW)) from error
    return columns


def _columns(rows: Iterator[list[str]]) -> dict[str, npt.NDArray[Any]]:
    """Read columns row by row, into compact arrays: half a million rows are common."""
    header = tuple(next(rows, ()))
    if header != INDEX_COLUMNS:
        raise ValueError(f"the columns {listed(header, most=len(INDEX_COLUMNS))}")
    columns: list[Any] = [[] if key in _TEXTS else array(_CODES.get(key, "q")) for key in header]
    readers = [str if name in _TEXTS else float if name in _CODES else int for name in header]
    for fields in rows:
        for column, read, text in zip(columns, readers, fields, strict=True):
            column.append(read(text))
    return {
        name: np.array(column, dtype=object if name in _TEXTS else None)
        for name, column in zip(header, columns, strict=True)
    }


def mapped(path: Path) -> npt.NDArray[Any]:
    """Map a file of NumPy; as a plain array, since each look into a `numpy.memmap` costs more."""
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DatasetNotFoundError(path, LAYOUT) from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, TokenError) as error:
        raise ValueError(expected(str(path), "an array of a store", error, ANEW)) from error
    if not isinstance(rows, np.memmap) or (rows.dtype, rows.ndim) != _FORMS[path.name]:
        raise ValueError(expected(str(path), "an array of a store", "another one", ANEW))
    return rows.view(np.ndarray)

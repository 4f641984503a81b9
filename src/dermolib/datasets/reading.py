"""CSV files and data frames to columns of text: row by row, so that memory holds what is kept."""

import codecs
import csv
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, check_choice, expected
from dermolib.datasets.identifiers import as_text

__all__ = [
    "Choice",
    "Texts",
    "read_csv",
    "read_frame",
    "recode",
]

Texts: TypeAlias = npt.NDArray[np.object_]
"""Column of text (N,)."""

Choice: TypeAlias = Callable[[Sequence[str]], Mapping[str, int]]
"""Given the header, tells which columns are kept: the name wanted and the place of each."""

_DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 16_384  # rows that are held as lists before they become arrays
# As text editors and spreadsheets write them; a file without such a mark is UTF-8
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LAYOUT = "a CSV file with the columns ID, CLASS, ..."


def read_csv(path: Path, choose: Choice, *, delimiter: str = ",") -> dict[str, Texts]:
    """Read some columns of a CSV file, whose rows must all have as many fields as its header.

    Args:
        path: File in UTF-8, or in UTF-16 with its byte order mark.
        choose: Chooses the columns.
        delimiter: Comma, semicolon, tab or bar.

    Returns:
        Columns of text, all of one length.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file is empty, in another encoding, or no CSV.
    """
    check_choice(delimiter, "delimiter", _DELIMITERS)
    try:
        with _uncollected(), path.open(encoding=_encoding(path), newline="") as file:
            return _read(path, csv.reader(file, strict=True, delimiter=delimiter), choose)
    except FileNotFoundError:
        raise DatasetNotFoundError(path, _LAYOUT) from None
    except IsADirectoryError:
        raise ValueError(expected(str(path), "a CSV file", "a folder")) from None
    except UnicodeError as error:
        remedy = "Save it as UTF-8."
        raise ValueError(expected(str(path), "a CSV file in UTF-8", error, remedy)) from error
    except csv.Error as error:
        raise ValueError(expected(str(path), "a CSV file", f"a parser error ({error})")) from error


def read_frame(frame: pd.DataFrame, choose: Choice) -> dict[str, Texts]:
    """Take some columns of a data frame as text; what is missing becomes empty.

    Args:
        frame: Data frame of any types.
        choose: Chooses the columns.

    Returns:
        Columns of text, all of one length.
    """
    chosen = choose([str(name) for name in frame.columns])
    return {name: _as_text(frame.iloc[:, place]) for name, place in chosen.items()}


def recode(values: Texts, function: Callable[[str], str]) -> Texts:
    """Apply a function to each text of a column, once for each that is different.

    Equal texts of the result are one object, whatever those of the column are.

    Args:
        values: Column of text (N,).
        function: Text to text.

    Returns:
        Column of text (N,).

    Examples:
        >>> recode(np.array(["A ", "A ", "b"], object), str.strip).tolist()
        ['A', 'A', 'b']
    """
    codes, texts = pd.factorize(values)
    made = np.empty(len(texts), dtype=object)
    made[:] = [function(text) for text in texts]
    return made[codes]


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        begin = file.read(4)
    return next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "utf-8")


def _read(path: Path, rows: Iterator[list[str]], choose: Choice) -> dict[str, Texts]:
    header = next(rows, None)
    if header is None:
        raise ValueError(expected(str(path), "a CSV file with a header", "an empty file"))
    chosen = choose(header)
    take = _taker(list(chosen.values()))
    known: dict[str, str] = {}
    blocks: list[list[Texts]] = []
    while block := _block(path, rows, len(header), take, first=2 + _BLOCK * len(blocks)):
        blocks.append([_shared(column, known) for column in zip(*block, strict=True)])
    if not blocks:
        return {name: np.empty(0, dtype=object) for name in chosen}
    return {
        name: np.concatenate([block[place] for block in blocks])
        for place, name in enumerate(chosen)
    }


def _taker(places: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(places) == 1:
        return lambda row: (row[places[0]],)
    take: Any = itemgetter(*places)
    return take  # type: ignore[no-any-return]  # it gives a tuple where there are two or more


def _block(
    path: Path,
    rows: Iterator[list[str]],
    wanted: int,
    take: Callable[[list[str]], tuple[str, ...]],
    *,
    first: int,
) -> list[tuple[str, ...]]:
    """Read the fields that are kept of some rows; the others are let go row by row."""
    block: list[tuple[str, ...]] = []
    for fields in islice(rows, _BLOCK):
        if len(fields) != wanted:
            what = f"a CSV file with {wanted} fields in each row, as its header has"
            got = f"row {first + len(block)} with {len(fields)}"
            raise ValueError(expected(str(path), what, got))
        block.append(take(fields))
    return block


def _shared(values: tuple[str, ...], known: dict[str, str]) -> Texts:
    """Make an array in which equal texts of a column with few of them are one object."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    codes, texts = pd.factorize(column)
    if len(texts) > len(values) // 2:
        return column
    texts[:] = [known.setdefault(text, text) for text in texts]
    return texts[codes]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for cycles among millions of texts, which have none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _as_text(column: "pd.Series[Any]") -> Texts:
    values = column.astype(object)
    try:
        codes, texts = pd.factorize(values)
    except TypeError:  # what cannot be hashed, such as a list
        return np.array([as_text(value) for value in values], dtype=object)
    known = np.empty(len(texts) + 1, dtype=object)
    known[:] = [*map(as_text, texts), ""]  # the last is what is missing
    return known[codes]

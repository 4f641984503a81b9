"""Truth files of the challenges with a column for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import expected, listed
from dermolib.datasets.reading import Texts, read_csv
from dermolib.datasets.tables import read_table
from dermolib.labels import VOCABULARIES

__all__ = ["read_onehot"]

_ID = "IMAGE"


def read_onehot(path: Path, vocabulary: str) -> pd.DataFrame:
    """Read a truth with the column ``image`` and one for each class, of which one is 1.

    Args:
        path: CSV file.
        vocabulary: Name in `dermolib.labels.VOCABULARIES`, whose codes are the columns.

    Returns:
        Table of `dermolib.datasets.read_table` with the codes as diagnoses.

    Raises:
        DatasetNotFoundError: There is no such file.
        ValueError: The file has no column of a class, or a row has not one class.
    """
    known = VOCABULARIES[vocabulary]

    def choose(header: Sequence[str]) -> dict[str, int]:
        upper = [text.strip().upper() for text in header]
        twice = next((text for text in upper if upper.count(text) > 1), None)
        if twice is not None:
            got = f"{twice!r} twice"
            raise ValueError(expected(str(path), "a truth with each column once", got))
        chosen = {text: place for place, text in enumerate(upper) if text.lower() in known}
        if _ID not in upper or not chosen:
            what = "a truth with the columns image, " + ", ".join(map(str.upper, known))
            raise ValueError(expected(str(path), what, f"the columns {listed(header)}"))
        return {_ID: upper.index(_ID), **chosen}

    columns = read_csv(path, choose)
    ids = columns.pop(_ID)
    flags = np.stack([_flags(path, values) for values in columns.values()], axis=1)
    wrong = np.flatnonzero(flags.sum(axis=1) != 1)
    if len(wrong):
        rows = listed(f"row {row + 2}: {ids[row]!r}" for row in wrong)
        what = "a truth in which one class of each row is 1"
        raise ValueError(expected(str(path), what, f"{len(wrong)} other ({rows})"))
    codes = np.array(list(columns), dtype=object)[flags.argmax(axis=1)] if len(ids) else ids
    frame = pd.DataFrame({"ID": ids, "DIAGNOSIS": codes})
    return read_table(frame, vocabulary=vocabulary, name=str(path))


def _flags(path: Path, values: Texts) -> npt.NDArray[np.bool_]:
    codes, texts = pd.factorize(values)
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    odd = ~np.isin(numbers, (0, 1))
    if odd.any():
        row = int(np.flatnonzero(odd[codes])[0])
        got = f"{values[row]!r} in row {row + 2}"
        raise ValueError(expected(str(path), "a truth of 0 and 1", got))
    flags: npt.NDArray[np.bool_] = (numbers == 1)[codes]
    return flags

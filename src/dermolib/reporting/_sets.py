"""Any data as sets with names: data sets, tables or bare values, alone or side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import expected, listed
from dermolib.datasets.tables import HasTable
from dermolib.reporting._style import COLORS

UNKNOWN = "unknown"
"""Word for what a table leaves empty."""

# As columns are read: "" in a table of dermolib, "unknown" in the files of HAM10000
_UNKNOWN_WORDS = {"", UNKNOWN}


OneSet: TypeAlias = HasTable | pd.DataFrame | pd.Series | Sequence[Any] | npt.NDArray[Any]
"""A data set, its table, or bare values."""

Sets: TypeAlias = OneSet | Mapping[str, OneSet]
"""One set, or several by their name."""


@dataclass(frozen=True)
class Part:
    """One of the sets that a figure shows.

    Attributes:
        name: What the legend calls it, "" where it is alone.
        argument: What an error calls it.
        table: Its table; None for bare values.
        values: Bare values; None where there is a table.
    """

    name: str
    argument: str
    table: pd.DataFrame | None
    values: Any = None


def parts_of(data: Sets, other: OneSet | None = None) -> list[Part]:
    """Name the sets that were given: as a mapping does, or as one set and perhaps a second."""
    if isinstance(data, Mapping):
        if other is not None:
            remedy = "Put all sets into the mapping."
            what = "left out where `data` is a mapping"
            raise TypeError(expected("other", what, f"a {type(other).__name__}", remedy))
        return _named(data)
    if other is None:
        return [_part("", "data", data)]
    names = [getattr(given, "split", None) for given in (data, other)]
    if not all(isinstance(name, str) for name in names) or names[0] == names[1]:
        names = ["first", "second"]
    return [_part(str(names[0]), "data", data), _part(str(names[1]), "other", other)]


def has_column(parts: Sequence[Part], *names: str) -> bool:
    """Whether a set has one of the columns; bare values are the column that is asked for."""
    return any(part.table is None or {*names} & {*part.table.columns} for part in parts)


def columns_of(parts: Sequence[Part], name: str, what: str) -> list["pd.Series[Any]"]:
    """Give a column of each set, all of it missing in a set that lacks it; one has to have it."""
    if not has_column(parts, name):
        raise ValueError(lacking(parts, f"a column `{name}`"))
    return [column_of(part, name, what) for part in parts]


def column_of(part: Part, name: str, what: str) -> "pd.Series[Any]":
    """Give a column of a set, all of it missing where the table lacks it."""
    if part.table is not None and name not in part.table.columns:
        return pd.Series(np.nan, index=range(len(part.table)), dtype=object)
    values = part.values if part.table is None else part.table[name]
    try:
        shape = np.shape(values)
    except ValueError as error:  # of lists within a list, of several lengths
        raise ValueError(expected(part.argument, what, f"other values: {error}")) from error
    if len(shape) != 1:
        raise ValueError(expected(part.argument, what, f"shape {shape}"))
    if isinstance(values, list | tuple):
        # what is empty or mixed keeps its values as they are
        return pd.Series(values, dtype=object)
    return pd.Series(values if hasattr(values, "to_numpy") else np.asarray(values))


def lacking(parts: Sequence[Part], what: str) -> str:
    """Word the error for tables of which none has a column that is needed."""
    known = dict.fromkeys(
        str(name) for part in parts if part.table is not None for name in part.table.columns
    )
    remedy = "Read files with the functions of `dermolib.datasets`."
    got = f"the columns {listed(known, most=12)}" if known else "no column"
    return expected("data", f"a table with {what}", got, remedy)


def count_words(values: "pd.Series[Any]", argument: str, what: str) -> Counter[str]:
    """Count words; an empty one, a missing value and "unknown" are one and the same."""
    counts = values.value_counts(sort=False, dropna=False)
    # what is missing is a number (nan), None or pandas.NA
    odd = [word for word in counts.index if not isinstance(word, str) and is_known(word)]
    if odd:
        raise TypeError(expected(argument, what, listed(odd)))
    words: Counter[str] = Counter()
    for word, count in counts.items():
        if count:  # a category may have none
            words[str(word) if is_known(word) else UNKNOWN] += int(count)
    return words


def is_known(word: Any) -> bool:
    """Whether a value of a column of text says anything."""
    if isinstance(word, str):
        return word.strip().lower() not in _UNKNOWN_WORDS
    return not (pd.api.types.is_scalar(word) and bool(pd.isna(word)))


def by_frequency(counts: Sequence[Counter[str]]) -> list[str]:
    """Order words from frequent to rare, equal ones by name, and the unknown ones last."""
    total: Counter[str] = sum(counts, Counter())
    return sorted(total, key=lambda word: (word == UNKNOWN, -total[word], word))


def _named(sets: Mapping[Any, OneSet]) -> list[Part]:
    what = f"a mapping from names to 1..{len(COLORS)} sets"
    if not 1 <= len(sets) <= len(COLORS):
        raise ValueError(expected("data", what, f"{len(sets)} sets"))
    # matplotlib leaves what begins with an underscore out of a legend
    odd = [name for name in sets if not isinstance(name, str) or name.strip()[:1] in {"", "_"}]
    if odd:
        remedy = "A name is text that does not begin with an underscore."
        raise ValueError(expected("data", what, f"the name {odd[0]!r}", remedy))
    return [_part(name, f"data[{name!r}]", given) for name, given in sets.items()]


def _part(name: str, argument: str, given: OneSet) -> Part:
    table = given if isinstance(given, pd.DataFrame) else getattr(given, "table", None)
    if isinstance(table, pd.DataFrame):
        return Part(name, argument, table)
    return Part(name, argument, None, given)

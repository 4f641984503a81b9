"""What exploration figures draw: tables or bare values, one data set alone or several by name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import check_choice, listed, require
from dermolib.datasets.tables import HasTable
from dermolib.labels import DIAGNOSES
from dermolib.reporting._style import COLORS

UNKNOWN = "unknown"
CODES = [diagnosis.code for diagnosis in DIAGNOSES]

_LABELS = f"a table whose labels are integers in 0..{len(DIAGNOSES) - 1}"
_DIAGNOSES = 'a table whose diagnoses are text, "" where unknown'


# a data set, its table, or bare values; one, or several by name
Data: TypeAlias = HasTable | pd.DataFrame | pd.Series | Sequence[Any] | npt.NDArray[Any]
NamedData: TypeAlias = Data | Mapping[str, Data]


class Source(NamedTuple):
    """One of the data sets of a figure, with a table or else with bare values."""

    name: str  # in the legend, "" where it is alone
    argument: str  # in an error
    table: pd.DataFrame | None
    values: Any = None


def sources_of(data: NamedData, other: Data | None = None) -> list[Source]:
    """Name the data sets: by the mapping, else by their splits where these differ."""
    if isinstance(data, Mapping):
        what, got = "left out where `data` is a mapping", f"a {type(other).__name__}"
        require(other is None, "other", what, got, "Add it to the mapping.", error=TypeError)
        names: list[Any] = [*data]
        # matplotlib leaves what begins with an underscore out of a legend
        odd = [x for x in names if not isinstance(x, str) or x.strip()[:1] in {"", "_"}]
        what = f"a mapping from 1..{len(COLORS)} names, none starting with an underscore, to data"
        got = f"the names {listed(map(repr, names), most=9)}" if names else "no name"
        require(1 <= len(names) <= len(COLORS) and not odd, "data", what, got)
        return [_source(name, f"data[{name!r}]", given) for name, given in data.items()]
    if other is None:
        return [_source("", "data", data)]
    names = [getattr(given, "split", None) for given in (data, other)]
    if not all(isinstance(name, str) for name in names) or names[0] == names[1]:
        names = ["first", "second"]
    return [_source(names[0], "data", data), _source(names[1], "other", other)]


def _source(name: str, argument: str, given: Data) -> Source:
    table = given if isinstance(given, pd.DataFrame) else getattr(given, "table", None)
    if isinstance(table, pd.DataFrame):
        return Source(name, argument, table)
    return Source(name, argument, None, given)


def has_column(sources: Sequence[Source], *names: str) -> bool:
    """Whether a data set has one of the columns; bare values are the column that is asked for."""
    return any(source.table is None or {*names} & {*source.table.columns} for source in sources)


def require_column(sources: Sequence[Source], *names: str) -> None:
    """Refuse tables of which none has one of the columns."""
    tables = [source.table for source in sources if source.table is not None]
    columns = dict.fromkeys(str(name) for table in tables for name in table.columns)
    what = f"a table with a column {' or '.join(f'`{name}`' for name in names)}"
    got = f"the columns {listed(columns, most=12)}" if columns else "no column"
    hint = "Read files with the functions of `dermolib.datasets`."
    require(has_column(sources, *names), "data", what, got, hint)


def column_of(source: Source, name: str, what: str) -> "pd.Series[Any]":
    """Return a column as objects, all of it missing where the table does not have it."""
    if source.table is not None and name not in source.table.columns:
        return pd.Series(np.nan, index=range(len(source.table)), dtype=object)
    values = np.asarray(source.values if source.table is None else source.table[name], object)
    require(values.ndim == 1, source.argument, what, f"shape {values.shape}")
    return pd.Series(values)


def words_of(
    source: Source, name: str, what: str, kind: type[Any] | tuple[type[Any], ...] = str
) -> "pd.Series[Any]":
    """Return a column of text; what is missing, empty or "unknown" becomes "unknown"."""
    values = column_of(source, name, what)
    values = values.where(values.notna(), UNKNOWN)
    odd = [repr(x) for x in values if not isinstance(x, kind) or isinstance(x, bool)]
    require(not odd, source.argument, what, listed(dict.fromkeys(odd)), error=TypeError)
    empty = {x for x in set(values) if isinstance(x, str) and x.strip().lower() in ("", UNKNOWN)}
    return values.mask(values.isin(empty), UNKNOWN)


def by_frequency(counts: pd.DataFrame) -> pd.DataFrame:
    """Sort rows from frequent to rare, equal ones by name, and "unknown" last."""
    total = counts.sum(axis=1)
    return counts.loc[sorted(total.index, key=lambda x: (x == UNKNOWN, -total[x], x))]


def count_by_diagnosis(sources: Sequence[Source], by: str | None) -> bool:
    """Whether to count diagnoses as published: if asked for, or where no row has a label."""
    if by is not None:
        check_choice(by, "by", ("label", "diagnosis"))
        require_column(sources, by)
        return by == "diagnosis"
    # a table of dermolib, which has ids, has no labels where no row has one
    if not has_column(sources, "id"):
        require_column(sources, "label", "diagnosis")
    labeled = any(
        x.table is None or ("label" in x.table and x.table["label"].notna().any()) for x in sources
    )
    return not labeled and has_column(sources, "diagnosis")


def classes_of(
    source: Source, by_diagnosis: bool, names: Sequence[str] = CODES
) -> "pd.Series[Any]":
    """Name the class of each row of a table, "unknown" where it has none."""
    if by_diagnosis:
        return words_of(source, "diagnosis", _DIAGNOSES)
    labels = column_of(source, "label", _LABELS)
    # integers come as floats or objects where some are missing, and a column of none has no type
    labels = labels.convert_dtypes() if labels.notna().any() else labels.astype("Int64")
    integer, got = pd.api.types.is_integer_dtype(labels.dtype), f"labels of dtype {labels.dtype}"
    require(integer, source.argument, _LABELS, got, error=TypeError)
    odd = labels[~labels.between(0, len(names) - 1) & labels.notna()]
    require(odd.empty, source.argument, _LABELS, f"labels {listed(odd)}")
    indices = labels.fillna(len(names)).to_numpy(np.intp)
    return pd.Series(np.array([*names, UNKNOWN], object)[indices])


def as_counts(values: Any, name: str, *, ndim: int) -> npt.NDArray[np.int64]:
    """Return a vector (K,) or a square matrix (K, K) of counts; refuse anything else."""
    counts = np.asarray(values)
    what = "a matrix of counts (K, K)" if ndim == 2 else "counts (K,)"
    integer = counts.size == 0 or np.issubdtype(counts.dtype, np.integer)
    require(integer, name, f"{what}, integers", f"dtype {counts.dtype}", error=TypeError)
    fits = counts.size and counts.shape == counts.shape[:1] * ndim
    require(fits, name, what, f"shape {counts.shape}")
    require(counts.min() >= 0, name, f"{what} of 0 or more", counts.min())
    return counts.astype(np.int64)


def class_names(names: Sequence[str] | None, number: int) -> list[str]:
    """Return the names of classes: the given ones, else the codes of eight, else indices."""
    if names is None:
        return CODES if number == len(CODES) else [str(index) for index in range(number)]
    got = f"{len(names)}: {listed(names)}"
    require(len(names) == number, "names", f"{number} names, one per class", got)
    return [str(name) for name in names]

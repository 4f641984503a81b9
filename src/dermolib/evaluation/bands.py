"""Columns of any kind as subgroups: texts, flags, years, and numbers cut into bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dermolib._validation import Indices, check_number, listed, require
from dermolib.datasets.columns import as_text, is_missing, map_unique
from dermolib.evaluation.resampling import Floats

__all__ = ["cut", "read_columns"]

_AGES = (30, 45, 60, 75)
_AGE_NAMES = ("age", "age_approx")
_FEW_VALUES = 8  # numbers of so many values are subgroups as they are
_QUANTILES = 4
_MOST = 50  # a column of more texts names images rather than subgroups
_MISSING = "missing"


def read_columns(by: Any, target: Any, count: int) -> dict[str, "pd.Series[Any]"]:
    """Take columns of a table, or make them of what is given, by their names."""
    table: Any = getattr(target, "table", None)
    listing = isinstance(by, (list, tuple)) and all(isinstance(name, str) for name in by)
    names = [by] if isinstance(by, str) else [*by] if listing else []
    if isinstance(by, str) or (names and table is not None and {*names} <= {*table.columns}):
        what = "values (N,), or a name of a column of the data set that `target` is"
        require(table is not None, "by", what, repr(by))
        absent = [name for name in names if name not in table]
        got, hint = listed(absent), f"It has {listed(getattr(table, 'columns', ()), most=20)}."
        require(not absent, "by", "a column of the data set", got, hint)
        by = {name: table[name] for name in names}
    if not isinstance(by, (Mapping, pd.DataFrame)):
        by = {getattr(by, "name", None) or "subgroup": by}
    require(len(by), "by", "one column or more", "none")
    return {str(name): _series(one, str(name), count) for name, one in by.items()}


def _series(values: Any, name: str, count: int) -> "pd.Series[Any]":
    """Take a value for each image."""
    found = values if isinstance(values, pd.Series) else np.asarray(values)
    what = f"a value of {name} for each image ({count:,},)"
    require(found.shape == (count,), "by", what, f"shape {found.shape}")
    series: pd.Series[Any] = pd.Series(found).reset_index(drop=True)
    categories = isinstance(series.dtype, pd.CategoricalDtype)
    return series.astype(object).infer_objects() if categories else series.infer_objects()


def cut(column: "pd.Series[Any]", name: str, bands: Any) -> tuple[Indices, tuple[str, ...]]:
    """Number the subgroup of each image (N,), and name the subgroups; missing is the last."""
    given: Any = bands.get(name) if isinstance(bands, Mapping) else bands
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.dt.year
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers: Floats = np.array(column.astype("Float64").to_numpy(na_value=np.nan), np.float64)
        edges = _edges(numbers, name, given)
        if len(edges):
            return _banded(numbers, edges)
        order = {as_text(number): number for number in np.unique(numbers[~np.isnan(numbers)])}
    else:
        what, mapped = (
            f"bands of columns of numbers, which {name} is not",
            isinstance(bands, Mapping),
        )
        require(given is None or not mapped, "bands", what, repr(given))
        order = {}
    texts = column.astype(object).where(column.notna(), "").map(as_text).to_numpy(object)
    texts = map_unique(lambda text: "" if is_missing(text) else text.strip(), texts)
    names = sorted({*texts} - {""}, key=lambda text: (order.get(text, 0), text))
    what, hint = f"up to {_MOST} different values of {name}", "Pass `bands` for numbers."
    require(len(names) <= _MOST, "by", what, f"{len(names):,}", hint)
    return _numbered(texts, [*names, ""], [*names, _MISSING])


def _numbered(
    values: Any, ordered: Sequence[Any], names: Sequence[str]
) -> tuple[Indices, tuple[str, ...]]:
    """Number values by their places in an order, without the places that no image has."""
    places = pd.Index(ordered).get_indexer(pd.Index(values))
    there, numbers = np.unique(places, return_inverse=True)
    return numbers.astype(np.intp), tuple(names[place] for place in there)


def _edges(numbers: Floats, name: str, given: Any) -> Floats:
    """Find where numbers are cut; nowhere if there are few values."""
    known = numbers[np.isfinite(numbers)]
    if given is None and len(np.unique(known)) <= _FEW_VALUES:
        return np.empty(0)
    if given is None and name.lower() in _AGE_NAMES:
        return np.array(_AGES, np.float64)
    if given is None or isinstance(given, (int, np.integer)):
        count = _QUANTILES if given is None else given
        check_number(count, "bands", low=2, high=_MOST, integer=True)
        return np.unique(np.quantile(known, np.arange(1, count) / count)) if len(known) else known
    edges: Floats = np.asarray(given)
    what = "a number of bands, or edges that rise"
    fits = edges.ndim == 1 and edges.size and edges.dtype.kind in "iuf"
    require(fits and np.isfinite(edges).all() and (np.diff(edges) > 0).all(), "bands", what, given)
    return edges.astype(np.float64)


def _banded(numbers: Floats, edges: Floats) -> tuple[Indices, tuple[str, ...]]:
    """Cut numbers at edges, each the first of its band."""
    whole = not (edges % 1).any()
    ends = [f"-{end - 1:g}" if whole else f" to <{end:g}" for end in edges[1:]]
    between = [f"{start:g}{end}" for start, end in zip(edges[:-1], ends, strict=True)]
    names = [f"<{edges[0]:g}", *between, f"{edges[-1]:g}+", _MISSING]
    places = np.searchsorted(edges, numbers, side="right")
    places[np.isnan(numbers)] = len(names) - 1
    return _numbered(places, range(len(names)), names)

"""Files of true and predicted classes, of groups and of other columns, brought together by id."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, as_path, check_type, listed, require
from dermolib.datasets.columns import (
    Texts,
    as_text,
    clean_name,
    find_column,
    is_missing,
    map_unique,
    read_csv,
)
from dermolib.evaluation.forms import FORMS, Form, differences, find_form
from dermolib.evaluation.predictions import TOLERANCE
from dermolib.labels import LabelSpace, as_label_space

__all__ = [
    "Flags",
    "Floats",
    "Truth",
    "as_given",
    "read_answers",
    "read_groups",
    "read_prediction",
    "read_subgroups",
    "read_truth",
]

_ID_COLUMNS = ("image", "lesion_id")
_WEIGHTS = ("score_weight", "validation_weight")
_UNWEIGHTED = "ISIC_0035068"  # which the scorer leaves out whatever the truth says
_INTEGER = re.compile(r"[+-]?\d{1,300}")  # of more digits Python makes no integer
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.IGNORECASE)
_ENDING = re.compile(r"\.jpg$", re.IGNORECASE)

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Ids: TypeAlias = "pd.Series[Any]"


@dataclass(frozen=True, eq=False)
class Truth:
    """True classes of N images.

    Attributes:
        form: Official form of the file; None where the classes are others.
        id_column: Column of the ids.
        columns: Columns after that.
        name: Path of the file, or what errors call a data frame.
        ids: Ids (N,) by the row of each.
        values: One row for each image (N, K), True in the column of its class.
        score_weight: How much each image counts (N,).
        validation_weight: How much each image counts in the other score (N,).
    """

    form: Form | None
    id_column: str
    columns: tuple[str, ...]
    name: str
    ids: Ids
    values: Flags
    score_weight: Floats
    validation_weight: Floats

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of `values`."""
        return self.form.codes if self.form and self.form.numbered else self.columns

    @property
    def metric(self) -> str:
        """Score that ranks."""
        return self.form.metric if self.form else "balanced_accuracy"

    @property
    def binary(self) -> bool:
        """Whether there is one class against the rest."""
        return self.form is not None and self.form.binary

    @property
    def label_space(self) -> LabelSpace:
        """Label space of the classes; one column is a class against the rest."""
        codes = self.form.codes if self.form else self.columns
        return as_label_space(list(codes if len(codes) > 1 else ("rest", *codes)))

    @property
    def target(self) -> Indices:
        """Class of each image (N,), a label of the space."""
        one = self.values.shape[1] == 1
        return self.values[:, 0].astype(np.intp) if one else self.values.argmax(axis=1)

    def take(self, rows: Any) -> Self:
        """Keep some images."""
        names = ("values", "score_weight", "validation_weight")
        kept = {name: getattr(self, name)[rows] for name in names}
        return replace(self, ids=self.ids.iloc[rows], **kept)


def read_truth(source: Any, form: str | None) -> Truth:
    """Read the truth, and find its form and its classes."""
    known = None if form is None else find_form(form)
    name, table = _read(source, "truth", known)
    known = known or _find_form(table.columns)
    id_column = known.id_column if known else next(x for x in _ID_COLUMNS if x in table)
    columns = known.columns if known else _classes_among(table.columns)
    absent = [text for text in (id_column, *columns) if text not in table]
    what = f"a table with the columns {', '.join([id_column, *columns])}"
    hint = f"It is to be a truth of {form}." if form else ""
    require(not absent, name, what, f"one without {listed(absent)}", hint)
    require(columns, name, "a table with a column for each class", "none")
    ids = _ids(table[id_column], name)
    score, validation = (_weights(table, column, ids, name) for column in _WEIGHTS)
    require(score.any(), name, "a truth in which some image has a score_weight", "0 for all")
    values = _read_values(table, columns, ids, name, known, integers=True)
    odd = ~np.isin(values, (0, 1)).all(axis=1)
    what, hint = "a truth of 0 and 1", "The truth comes first, the prediction second."
    _refuse(odd, ids, name, what, lambda row: listed(values[row], most=20), hint)
    counts = values.sum(axis=1)
    odd = (counts != 1) & (score + validation > 0) & (len(columns) > 1)
    _refuse(odd, ids, name, "a truth of one class a row", lambda row: f"{counts[row]:g}")
    return Truth(known, id_column, columns, name, ids, values == 1, score, validation)


def read_prediction(source: Any, truth: Truth) -> Floats:
    """Read a prediction (N, K), its rows and columns in the order of the truth."""
    name, ids, values = _read_rows(source, truth)
    got = differences(truth.ids, ids)
    hint = "Predict each image of the truth once, and no other."
    require(not got, name, f"a table of the {len(truth.ids):,} ids of the truth", got, hint)
    return _ordered(values, ids, truth.ids)


def read_answers(sources: Sequence[Any], truth: Truth) -> tuple[Truth, list[Floats]]:
    """Read predictions of the same images (N, K) by several models, and the truth of these.

    The truth may have more images; the rows and columns of all come out in its order.
    """
    found = [_read_rows(source, truth) for source in sources]
    first, ids, _ = found[0]
    for name, others, _ in found[1:]:
        got = differences(ids, others)
        hint = "Compare models on the same images."
        require(not got, name, f"a table of the {len(ids):,} ids of {first}", got, hint)
    unknown = sorted({*ids} - {*truth.ids})
    what, got = f"a table of ids of {truth.name}", f"{len(unknown):,} other ({listed(unknown)})"
    require(not unknown, first, what, got)
    known = truth.take(np.flatnonzero(truth.ids.isin(ids)))
    return known, [_ordered(values, others, known.ids) for _, others, values in found]


def read_groups(path: Any, truth: Truth) -> tuple[str, Texts]:
    """Read the group of each image (N,) by its id, and the name of the column: lesion or patient.

    Rows of a lesion are identified by ``lesion_id``, so that their groups are patients. An image
    that is not in the file, or has no group there, gets an empty name.
    """
    keys = ("patient",) if _by_lesion(truth) else ("lesion", "patient")

    def find(header: Sequence[str], name: str) -> int:
        places = [find_column(header, key, name) for key in keys]
        return next((place for place in places if place >= 0), -1)

    what = " or ".join(f"`{key}_id`" for key in keys)
    column, found = _read_column(path, truth, find, what)
    return column, map_unique(clean_name, found)


def read_subgroups(path: Any, truth: Truth, column: str) -> "pd.Series[Any]":
    """Read a column (N,) by the ids of the truth: numbers where all are, else text.

    An image that is not in the file, or has no value there, has nan.
    """

    def find(header: Sequence[str], _: str) -> int:
        small = [text.strip().lower() for text in header]
        return small.index(column.lower()) if column.lower() in small else -1

    name, found = _read_column(path, truth, find, f"`{column}`")
    values: pd.Series[Any] = pd.Series([None if is_missing(text) else text for text in found])
    numbers = pd.to_numeric(values, errors="coerce")
    whole = bool((numbers.isna() == values.isna()).all())
    return (numbers.astype(float) if whole else values).rename(name)


def as_given(truth: Truth, values: Floats) -> dict[str, Any]:
    """Return the arguments of `score` for values (N, K) of a file: classes of the form of numbers.

    Values are independent where the rows of a file do not sum to 1, as the challenges allow.
    """
    numbered = truth.form is not None and truth.form.numbered
    several = values.shape[1] > 1
    independent = several and bool((np.abs(values.sum(axis=1) - 1) > TOLERANCE).any())
    return {
        "probabilities": values.argmax(axis=1) if numbered else values,
        "target": truth.target,
        "label_space": truth.label_space,
        "values": "independent" if independent else "probabilities",
    }


def _read_column(
    path: Any, truth: Truth, find: Callable[[Sequence[str], str], int], what: str
) -> tuple[str, Texts]:
    """Read the name of a column, and its values (N,) by the ids of the truth; empty where none."""
    names: list[str] = []

    def choose(header: Sequence[str]) -> dict[str, int]:
        key, texts = "lesion" if _by_lesion(truth) else "id", [text.strip() for text in header]
        same = truth.id_column in texts
        place = texts.index(truth.id_column) if same else find_column(header, key, str(path))
        places = {"ID": place, "value": find(header, str(path))}
        wanted = f"a table with a column of ids and a column {what}"
        require(min(places.values()) >= 0, str(path), wanted, f"the columns {listed(header)}")
        names[:] = [header[places["value"]].strip()]
        return places

    columns = read_csv(as_path(path, "path"), choose)
    table = pd.DataFrame(columns, index=columns.rows)
    ids = pd.Series([_ENDING.sub("", x.strip()) for x in table["ID"]], table.index, dtype=object)
    table = pd.DataFrame(
        {"id": ids, "value": [x.strip() for x in table["value"]]}
    ).drop_duplicates()
    twice = table["id"].duplicated() & (table["id"] != "")
    wanted = f"a table with one {names[0]} for each id"
    _refuse(twice, table["id"], str(path), wanted, lambda row: table["value"].iloc[row])
    values = table.set_index("id")["value"]
    known = truth.ids.isin(values.index)
    wanted, got = (
        f"a table of ids of {truth.name}",
        f"{listed(table['id'], most=3)} and none of them",
    )
    require(known.any(), str(path), wanted, got)
    return names[0], values.reindex(truth.ids).fillna("").to_numpy(object)


def _by_lesion(truth: Truth) -> bool:
    return truth.id_column == "lesion_id"


def _read_rows(source: Any, truth: Truth) -> tuple[str, Ids, Floats]:
    """Read the name of a prediction, its ids, and its values with columns as in the truth."""
    name, table = _read(source, "prediction")
    wanted = (truth.id_column, *truth.columns)
    got = differences(wanted, table.columns)
    hint = f"The truth is{_describe(wanted)} and the prediction{_describe(table.columns)}."
    hint = f"Score it against the truth of its own challenge. {hint}"
    require(not got, name, f"a table with the columns {', '.join(wanted)}", got, hint)
    ids = _ids(table[truth.id_column], name)
    values = _read_values(table, truth.columns, ids, name, truth.form, integers=truth.binary)
    odd = ((values < 0) | (values > 1)).any(axis=1)
    hint = "Give probabilities: the softmax or sigmoid of logits."
    _refuse(odd, ids, name, "a table of values in 0..1", _outside(values), hint)
    return name, ids, values


def _ordered(values: Floats, ids: Ids, wanted: Ids) -> Floats:
    """Put rows in the order of other ids."""
    places: npt.NDArray[np.intp] = pd.Index(ids).get_indexer(pd.Index(wanted))
    ordered: Floats = values[places]
    return ordered


def _outside(values: Floats) -> Callable[[int], str]:
    """Describe the first value of a row that is outside 0..1."""
    return lambda row: repr(next(float(x) for x in values[row] if not 0 <= x <= 1))


def _find_form(columns: Iterable[str]) -> Form | None:
    """Find the form of a truth by its columns; None where its classes are others."""
    found = {*columns}
    wide = (x for x in FORMS.values() if x.columns != x.codes)
    one = next((x for x in wide if {x.id_column, *x.columns} <= found), None)
    return one or _form_with(found - {*_WEIGHTS})


def _classes_among(columns: Iterable[str]) -> tuple[str, ...]:
    """Take what is neither an id nor a weight: the classes of a truth of no known form."""
    id_column = next((x for x in _ID_COLUMNS if x in columns), None)
    return tuple(text for text in columns if text not in (id_column, *_WEIGHTS))


def _form_with(columns: Iterable[str]) -> Form | None:
    """Find the form that has exactly these columns."""
    forms = (x for x in FORMS.values() if {x.id_column, *x.columns} == {*columns})
    return next(forms, None)


def _describe(columns: Iterable[str]) -> str:
    """Name the form of a table for an error."""
    form = _form_with(columns)
    return f" of {form.name}" if form else " of no known form"


def _read(source: Any, name: str, form: Form | None = None) -> tuple[str, pd.DataFrame]:
    """Read a table, and its name in errors; of a truth of a known form the form's columns alone."""
    what = "the path of a CSV file or a data frame"
    check_type(source, name, (str, bytes, os.PathLike, pd.DataFrame), what)
    if isinstance(source, pd.DataFrame):
        header = [str(text) for text in source.columns]
        chosen = _choose(header, name, form, truth=name == "truth")
        table = source.iloc[:, [*chosen.values()]].set_axis([*chosen], axis=1)
        table = table.set_axis(np.arange(len(table)) + 2, axis=0)
    else:
        path = as_path(source, name)
        choose = partial(_choose, name=str(path), form=form, truth=name == "truth")
        columns = read_csv(path, choose)
        name, table = str(path), pd.DataFrame(columns, index=columns.rows)
    require(len(table), name, "a table with a row for each image", "a header only")
    return name, table


def _choose(header: Sequence[str], name: str, form: Form | None, *, truth: bool) -> dict[str, int]:
    """Find the places of the columns to read."""
    twice = sorted({text for text in header if header.count(text) > 1})
    require(not twice, name, "a table with each column once", f"{listed(twice)} twice")
    places = {text: place for place, text in enumerate(header)}
    require(len(places) > 1, name, "a table of several columns", f"{listed(header)} alone")
    known = form or (_find_form(header) if truth else None)
    if known is None:
        what = f"a table of one of the forms {', '.join(FORMS)}"
        got = f"the columns {listed(map(repr, header))}"
        hint = "Ids are in `image` or `lesion_id`, and each class has a column of 0 and 1."
        require(not truth or {*_ID_COLUMNS} & places.keys(), name, what, got, hint)
        return places
    wanted = (known.id_column, *known.columns, *_WEIGHTS)
    return {text: places[text] for text in wanted if text in places}


def _ids(column: "pd.Series[Any]", name: str) -> Ids:
    """Read ids as text without the ending .jpg, each once, by the row of each."""
    texts = [
        "" if gap else as_text(x).strip() for x, gap in zip(column, column.isna(), strict=True)
    ]
    rows = [f"row {row}" for row, text in zip(column.index, texts, strict=True) if not text]
    require(not rows, name, "a table with an id in each row", f"none in {listed(rows)}")
    ids = pd.Series([_ENDING.sub("", text) for text in texts], column.index, dtype=object)
    _refuse(ids.duplicated(), ids, name, "a table with each id once", lambda _: "again")
    return ids


def _weights(table: pd.DataFrame, column: str, ids: Ids, name: str) -> Floats:
    """Read the weights of images, 1 where there are none."""
    weights = np.ones(len(ids))
    if column in table:
        weights = _numbers(table, (column,), ids, name, integers=True)[:, 0]
    odd = ~(np.isfinite(weights) & (weights >= 0))
    what = f"a table whose `{column}` is 0 or more"
    _refuse(odd, ids, name, what, lambda row: f"{weights[row]}")
    return np.where(ids == _UNWEIGHTED, 0.0, weights)


def _read_values(
    table: pd.DataFrame,
    columns: Sequence[str],
    ids: Ids,
    name: str,
    form: Form | None,
    *,
    integers: bool,
) -> Floats:
    """Read a column for each class (N, K); numbers of classes become columns of 0 and 1."""
    if form is None or not form.numbered:
        return _numbers(table, columns, ids, name, integers=integers)
    numbers = _numbers(table, columns, ids, name, integers=True)
    classes = np.arange(1, len(form.codes) + 1)
    odd = ~np.isin(numbers[:, 0], classes)
    what = f"a table whose CLASS is 1..{len(form.codes)}"
    _refuse(odd, ids, name, what, lambda row: f"{numbers[row, 0]:g}")
    hot: Floats = (numbers == classes).astype(np.float64)
    return hot


def _numbers(
    table: pd.DataFrame, columns: Sequence[str], ids: Ids, name: str, *, integers: bool
) -> Floats:
    """Read columns of numbers (N, K); a missing value is refused, and integers may be."""
    cells = {text: _cells(table[text]) for text in columns}
    gaps = np.array([[value is None for value in cells[text]] for text in columns]).T
    what, names = "a table without missing values", np.array(columns)
    _refuse(gaps.any(axis=1), ids, name, what, lambda row: listed(names[gaps[row]]))
    for text, column in cells.items():
        odd = [not _is_number(value) for value in column]
        _refuse(odd, ids, name, f"a table of numbers in {text}", _value_of(column))
    whole = [text for text in columns if not any(isinstance(x, float) for x in cells[text])]
    what = "a table of floats, as the official scorer reads no column of integers alone"
    hint = "Write 1.0 for 1; `write_submission` does."
    require(integers or not whole, name, what, f"integers in {listed(whole)}", hint)
    values: Floats = np.array([cells[text] for text in columns], np.float64).T
    return values


def _cells(column: "pd.Series[Any]") -> list[Any]:
    """Take values as numbers: integers where all are, floats exact to the bit; None is missing."""
    values = column.astype(object).where(column.notna(), None).tolist()
    if not any(isinstance(value, str) for value in values):
        return values
    texts = [str(value).strip() for value in values]
    if all(map(_INTEGER.fullmatch, texts)):
        return [*map(int, texts)]
    return [
        float(text) if _NUMBER.fullmatch(text) else None if is_missing(text) else text
        for text in texts
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer)) and not isinstance(value, bool)


def _value_of(values: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: repr(values[row])


def _refuse(
    bad: Any, ids: Ids, name: str, what: str, describe: Callable[[int], str], hint: str = ""
) -> None:
    """Refuse rows, named by their number in a spreadsheet and their id."""
    pairs = zip(np.flatnonzero(bad).tolist(), ids[np.asarray(bad)].items(), strict=True)
    rows = [f"row {row} ({image}): {describe(place)}" for place, (row, image) in pairs]
    require(not rows, name, what, f"{len(rows):,} other ({listed(rows)})", hint)

"""Which classes there are, and how many images of each."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from dermolib._validation import check_choice, expected, listed
from dermolib.labels import DIAGNOSES
from dermolib.reporting._bars import Bars, draw_bars
from dermolib.reporting._sets import (
    UNKNOWN,
    OneSet,
    Part,
    Sets,
    by_frequency,
    column_of,
    count_words,
    has_column,
    lacking,
    parts_of,
)
from dermolib.reporting._style import check_counts, class_names, plural

__all__ = ["exploration_table", "plot_class_counts"]

_LABELS = f"a table whose labels are whole numbers in 0..{len(DIAGNOSES) - 1}"
_CODES = 'a table whose diagnoses are words, "" where unknown'
_CODE_OF = np.array([*(diagnosis.code for diagnosis in DIAGNOSES), UNKNOWN], dtype=object)


def plot_class_counts(
    data: Sets,
    other: OneSet | None = None,
    *,
    by: str | None = None,
    names: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw the share of each class, with the number of its images beside the bar.

    A table is counted by its labels, rows without one under "unknown". Where no row has one, it is
    counted by its diagnoses as published, frequent ones first; of more than 24 codes, the 23 most
    frequent have a bar and the others share one. A set in which no class is known has no bars, and
    the legend says so.

    Args:
        data: A data set, a table with the column ``label`` (0..7, missing or nan where unknown) or
            ``diagnosis`` (codes, ``""`` where unknown), or the counts of K classes (K,), whole
            numbers; or a mapping, see `plot_ages`.
        other: A second one to compare with, see `plot_ages`.
        by: ``"label"`` or ``"diagnosis"``; labels where a row of some set has one, if None.
        names: Names of the K classes, or of the eight labels; the diagnoses' codes for eight of
            them where None.
        axes: Where to draw; a new figure where None.

    Returns:
        The axes drawn on. They say "no data" where there is no image of known class.

    Raises:
        TypeError: Counts or labels are no whole numbers, a diagnosis is no text, or `axes` is no
            axes.
        ValueError: Counts are empty or negative, sets are of different numbers of classes, a label
            is not in 0..7, there are not K names or two are the same, `by` is another word, or no
            table has the column.

    Examples:
        >>> axes = plot_class_counts([30, 10], names=["nevus", "melanoma"])
        >>> [text.get_text() for text in axes.texts]
        ['30 (75.0 %)', '10 (25.0 %)']
        >>> table = pd.DataFrame({"diagnosis": ["nv", "akiec", "nv", ""]})
        >>> [label.get_text() for label in plot_class_counts(table).get_yticklabels()]
        ['nv', 'akiec', 'unknown']
    """
    return draw_bars(count_classes(parts_of(data, other), by=by, names=names), axes)


def exploration_table(counts: npt.ArrayLike) -> pd.DataFrame:
    """Tabulate the images of each diagnosis.

    Args:
        counts: Images of each diagnosis (8,), whole numbers, in the order of
            `dermolib.labels.DIAGNOSES`.

    Returns:
        Table of eight rows with the columns ``number`` (1-8), ``code``, ``name``, ``count`` and
        ``share`` (of all images, 0..1; nan where there is none).

    Raises:
        TypeError: Counts are no whole numbers.
        ValueError: There are not eight counts, or one is negative.

    Examples:
        >>> table = exploration_table([3391, 9657, 2492, 650, 1968, 179, 190, 471])
        >>> print(table.head(2).to_string(index=False, float_format="{:.3f}".format))
         number code              name  count  share
              1  MEL          Melanoma   3391  0.178
              2   NV Melanocytic nevus   9657  0.508
    """
    counts = check_counts(counts, "counts", ndim=1)
    if len(counts) != len(DIAGNOSES):
        raise ValueError(expected("counts", f"{len(DIAGNOSES)} counts", len(counts)))
    total = int(counts.sum())
    return pd.DataFrame(
        {
            "number": [diagnosis.number for diagnosis in DIAGNOSES],
            "code": [diagnosis.code for diagnosis in DIAGNOSES],
            "name": [diagnosis.name for diagnosis in DIAGNOSES],
            "count": counts,
            "share": counts / total if total else np.full(len(counts), np.nan),
        }
    )


def count_classes(
    parts: Sequence[Part], *, by: str | None = None, names: Sequence[str] | None = None
) -> Bars:
    """Count the classes of sets."""
    published = by_diagnosis(parts, by)
    if published and names is not None:
        what = "left out where classes are counted by their published codes"
        raise ValueError(expected("names", what, listed(names)))
    classes = class_names(names, _class_number(parts))
    if len({*classes}) < len(classes):
        raise ValueError(expected("names", "names that differ", listed(classes, most=len(classes))))
    counts, notes = [], []
    for part, words in zip(parts, class_words(parts, published), strict=True):
        if words is None:
            numbers = check_counts(part.values, part.argument, ndim=1).tolist()
            counted = Counter(dict(zip(classes, numbers, strict=True)))
        else:
            counted = count_words(words, part.argument, _CODES)
            if not published:
                counted = _renamed(counted, classes)
        known = counted.total() > counted[UNKNOWN]
        counts.append(counted if known else Counter())
        rows = plural(counted[UNKNOWN], "image")
        what = "diagnosis" if published else "label"
        notes.append("" if known or not counted.total() else f"{rows} of unknown {what}")
    order = by_frequency(counts)
    if not published:
        order = list(dict.fromkeys([*classes, *(word for word in order if word == UNKNOWN)]))
    return Bars("Classes", "image", order, [part.name for part in parts], counts, notes)


def by_diagnosis(parts: Sequence[Part], by: str | None) -> bool:
    """Tell whether sets are counted by their diagnoses as published, or else by their labels."""
    if by is not None:
        check_choice(by, "by", ("label", "diagnosis"))
        if not has_column(parts, by):
            raise ValueError(lacking(parts, f"a column `{by}`"))
        return by == "diagnosis"
    # a table of dermolib, which has ids, lacks labels where no row has one
    if not has_column(parts, "label", "diagnosis", "id"):
        raise ValueError(lacking(parts, "a column `label` or `diagnosis`"))
    return not _has_labels(parts) and has_column(parts, "diagnosis")


def _has_labels(parts: Sequence[Part]) -> bool:
    """Whether some row of some set has a label; bare counts are those of labels."""
    return any(
        part.table is None or ("label" in part.table and part.table["label"].notna().any())
        for part in parts
    )


def class_words(parts: Sequence[Part], published: bool) -> list["pd.Series[Any] | None"]:
    """Name the class of each row of each table; None for a set of bare counts."""
    words: list[pd.Series[Any] | None] = []
    for part in parts:
        if part.table is None:
            words.append(None)
        elif published:
            words.append(column_of(part, "diagnosis", _CODES))
        else:
            words.append(_codes(column_of(part, "label", _LABELS), part.argument))
    return words


def _codes(labels: "pd.Series[Any]", argument: str) -> "pd.Series[Any]":
    """Name the class of each label, "unknown" for a missing one."""
    if labels.isna().all():
        return pd.Series(UNKNOWN, index=labels.index, dtype=object)
    # pandas reads whole numbers as floats, or as objects, where some are missing
    whole = labels.convert_dtypes()
    if not pd.api.types.is_integer_dtype(whole.dtype):
        raise TypeError(expected(argument, _LABELS, f"labels of dtype {labels.dtype}"))
    labels = whole
    missing = len(DIAGNOSES)
    odd = labels[(labels < 0) | (labels >= missing)]
    if len(odd):
        raise ValueError(expected(argument, _LABELS, f"labels {listed(odd)}"))
    indices = labels.fillna(missing) if labels.hasnans else labels
    return pd.Series(_CODE_OF[indices.to_numpy(np.int64)], index=labels.index, dtype=object)


def _renamed(counts: Counter[str], classes: Sequence[str]) -> Counter[str]:
    renamed: Counter[str] = Counter()
    for code, name in zip(_CODE_OF, [*classes, UNKNOWN], strict=True):
        renamed[name] += counts[code]
    return renamed


def _class_number(parts: Sequence[Part]) -> int:
    """Count the classes that all sets share: those of bare counts, else the eight diagnoses."""
    number: int | None = None if all(part.table is None for part in parts) else len(DIAGNOSES)
    for part in parts:
        if part.table is None:
            here = len(check_counts(part.values, part.argument, ndim=1))
            number = here if number is None else number
            if here != number:
                what = f"counts of {number} classes, as another set has"
                raise ValueError(expected(part.argument, what, here))
    return len(DIAGNOSES) if number is None else number

"""A data set at a glance: ages, sexes, sites and classes, training against test images."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from dermolib._checks import expected, listed
from dermolib.diagnoses import DIAGNOSES
from dermolib.reporting._style import (
    FIRST,
    SECOND,
    add_legend,
    check_counts,
    class_names,
    dress,
    new_figure,
    on_axes,
    say_no_data,
)

__all__ = [
    "exploration_table",
    "plot_ages",
    "plot_class_counts",
    "plot_exploration",
    "plot_sexes",
    "plot_sites",
]

_OLDEST = 130
_AGE_STEP = 5
_MISSING = "missing"
_SEXES = ("female", "male")
_COLUMNS = ("age", "sex", "site")


def plot_ages(train: npt.ArrayLike, test: npt.ArrayLike, *, axes: Axes | None = None) -> Figure:
    """Draw how ages are distributed, training against test images.

    Bars are five years wide and show shares of the images of known age, so that sets of different
    size compare; the legend names how many ages are known and how many are missing.

    Args:
        train: Ages of the training images in years (N,), nan where missing.
        test: Ages of the test images in years (M,), nan where missing.
        axes: Where to draw; a new figure where None.

    Returns:
        The figure drawn on. It says "no data" where no age is known.

    Raises:
        TypeError: Ages are no numbers.
        ValueError: Ages are not one-dimensional or one is not in 0..130.

    Examples:
        >>> figure = plot_ages([30, 45, np.nan], [50])
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['train (n = 2, 1 missing)', 'test (n = 1, 0 missing)']
    """
    sets = {"train": _check_ages(train, "train"), "test": _check_ages(test, "test")}
    figure, axes = on_axes(axes)
    dress(axes, title="Age", x="age (years)", y="share of images of known age (%)")
    known = {name: ages[~np.isnan(ages)] for name, ages in sets.items()}
    oldest = max((ages.max() for ages in known.values() if ages.size), default=None)
    if oldest is None:
        say_no_data(axes)
        return figure
    edges = np.arange(0, oldest + 2 * _AGE_STEP, _AGE_STEP) - _AGE_STEP / 2
    for (name, ages), color in zip(known.items(), (FIRST, SECOND), strict=True):
        shares = 100 * np.histogram(ages, edges)[0] / max(ages.size, 1)
        label = f"{name} (n = {ages.size:,}, {sets[name].size - ages.size:,} missing)"
        # one filled and one drawn as a line: two fills would mix to a third colour
        filled = name == "train"
        axes.stairs(shares, edges, fill=filled, color=color, linewidth=2, label=label)
    axes.set_ylim(0, 1.2 * axes.dataLim.ymax)
    add_legend(axes, loc="upper left")
    return figure


def plot_sexes(train: Sequence[str], test: Sequence[str], *, axes: Axes | None = None) -> Figure:
    """Draw the shares of the sexes, missing values among them, training against test images.

    Args:
        train: ``"female"``, ``"male"`` or ``""`` for each training image; another word gets a bar
            of its own.
        test: The same for each test image.
        axes: Where to draw; a new figure where None.

    Returns:
        The figure drawn on. It says "no data" where there is no image.

    Raises:
        TypeError: A value is neither text nor missing.

    Examples:
        >>> figure = plot_sexes(["female", "male", ""], ["male"])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['female', 'male', 'missing']
    """
    sets = _count_words(train=train, test=test)
    figure, axes = on_axes(axes)
    dress(axes, title="Sex", x="", y="share of images (%)")
    others = sorted({word for words in sets.values() for word in words} - {*_SEXES, _MISSING})
    _draw_shares(axes, sets, [*_SEXES, *others, _MISSING], across=True)
    return figure


def plot_sites(train: Sequence[str], test: Sequence[str], *, axes: Axes | None = None) -> Figure:
    """Draw the shares of the sites on the body, the most frequent first, missing values last.

    Args:
        train: Site of each training image, ``""`` where missing.
        test: Site of each test image, ``""`` where missing.
        axes: Where to draw; a new figure where None.

    Returns:
        The figure drawn on. It says "no data" where there is no image.

    Raises:
        TypeError: A value is neither text nor missing.

    Examples:
        >>> figure = plot_sites(["head/neck", "back", "back"], ["back", ""])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['back', 'head/neck', 'missing']
    """
    sets = _count_words(train=train, test=test)
    figure, axes = on_axes(axes)
    dress(axes, title="Site", x="share of images (%)", y="", grid="x")
    total = sets["train"] + sets["test"]
    # equal counts stand in the order of their names, whatever the order of the rows
    order = sorted(total, key=lambda word: (word == _MISSING, -total[word], word))
    _draw_shares(axes, sets, order, across=False)
    return figure


def plot_class_counts(
    counts: npt.ArrayLike, *, names: Sequence[str] | None = None, axes: Axes | None = None
) -> Figure:
    r"""Draw the number of images of each class, with the number and its share on every bar.

    Args:
        counts: Images of each class (K,), whole numbers.
        names: Names of the K classes; the diagnoses' codes for eight of them where None.
        axes: Where to draw; a new figure where None.

    Returns:
        The figure drawn on. It says "no data" where all counts are 0.

    Raises:
        TypeError: Counts are no whole numbers.
        ValueError: Counts are empty or negative, or there are not K names.

    Examples:
        >>> figure = plot_class_counts([30, 10], names=["nevus", "melanoma"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['30\n75.0 %', '10\n25.0 %']
    """
    counts = check_counts(counts, "counts", ndim=1)
    labels = class_names(names, len(counts))
    figure, axes = on_axes(axes)
    total = int(counts.sum())
    dress(axes, title=f"Classes of {total:,} images", x="diagnosis", y="images")
    if total == 0:
        say_no_data(axes)
        return figure
    bars = axes.bar(labels, counts, color=FIRST, width=0.7)
    texts = [f"{count:,}\n{100 * count / total:.1f} %" for count in counts]
    axes.bar_label(bars, texts, fontsize=8, padding=2)
    axes.margins(y=0.16)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def exploration_table(counts: npt.ArrayLike) -> pd.DataFrame:
    """Tabulate the images of each diagnosis.

    Args:
        counts: Images of each diagnosis (8,), whole numbers, in the order of
            `dermolib.diagnoses.DIAGNOSES`.

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


def plot_exploration(train_table: pd.DataFrame, test_table: pd.DataFrame) -> Figure:
    """Draw ages, sexes, sites and classes of a data set in one figure.

    Args:
        train_table: A row for each training image with the columns ``age`` (years, nan where
            missing), ``sex`` and ``site`` (text, ``""`` where missing) and ``label`` (0..7).
        test_table: A row for each test image with the columns ``age``, ``sex`` and ``site``.

    Returns:
        The figure, with four axes.

    Raises:
        TypeError: Labels are no whole numbers, or a column holds values of another type.
        ValueError: A column is missing, or a label is not in 0..7.

    Examples:
        >>> rows = pd.DataFrame({"age": [50.0], "sex": ["male"], "site": [""], "label": [1]})
        >>> [axes.get_title() for axes in plot_exploration(rows, rows).axes]
        ['Age', 'Sex', 'Site', 'Classes of 1 images']
    """
    _check_columns(train_table, "train_table", (*_COLUMNS, "label"))
    _check_columns(test_table, "test_table", _COLUMNS)
    labels = _check_labels(train_table["label"])
    figure = new_figure(12, 8.5)
    (ages, sexes), (sites, classes) = figure.subplots(2, 2)
    plot_ages(train_table["age"].to_numpy(), test_table["age"].to_numpy(), axes=ages)
    plot_sexes(list(train_table["sex"]), list(test_table["sex"]), axes=sexes)
    plot_sites(list(train_table["site"]), list(test_table["site"]), axes=sites)
    plot_class_counts(np.bincount(labels, minlength=len(DIAGNOSES)), axes=classes)
    return figure


def _check_ages(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    what = f"ages (N,) in years, 0..{_OLDEST} or nan"
    try:
        ages = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        remedy = "Read the text `nan` as a missing value with `pandas.to_numeric`."
        raise TypeError(expected(name, what, f"other values: {error}", remedy)) from error
    if ages.ndim != 1:
        raise ValueError(expected(name, what, f"shape {ages.shape}"))
    odd = ages[(ages < 0) | (ages > _OLDEST)]
    if odd.size:
        raise ValueError(expected(name, what, listed(odd.tolist())))
    return ages


def _count_words(**sets: Sequence[Any]) -> dict[str, Counter[str]]:
    """Count the words of each set; an empty word and a missing value are one and the same."""
    counted = {}
    for name, words in sets.items():
        known = ["" if not isinstance(word, str) and pd.isna(word) else word for word in words]
        odd = [word for word in known if not isinstance(word, str)]
        if odd:
            raise TypeError(expected(name, 'words, "" where missing', listed(odd)))
        counted[name] = Counter(word or _MISSING for word in known)
    return counted


def _draw_shares(
    axes: Axes, sets: dict[str, Counter[str]], order: Sequence[str], *, across: bool
) -> None:
    """Draw two bars for each word, side by side or one below the other."""
    if not any(sets.values()):
        say_no_data(axes)
        return
    places = np.arange(len(order))
    for (name, words), shift, color in zip(sets.items(), (-0.2, 0.2), (FIRST, SECOND), strict=True):
        total = words.total()
        shares = np.array([100 * words[word] / max(total, 1) for word in order])
        draw: Any = axes.bar if across else axes.barh
        bars = draw(places + shift, shares, 0.38, color=color, label=f"{name} (n = {total:,})")
        axes.bar_label(bars, [f"{share:.1f}" for share in shares], fontsize=8, padding=2)
    if across:
        axes.set_xticks(places, order)
        axes.margins(y=0.12)
        add_legend(axes, loc="best")
    else:
        axes.set_yticks(places, order)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        add_legend(axes, loc="lower right")


def _check_columns(table: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        what = f"a table with the columns {', '.join(columns)}"
        raise ValueError(expected(name, what, f"none named {listed(lacking)}"))


def _check_labels(column: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    what = f"a table whose labels are whole numbers in 0..{len(DIAGNOSES) - 1}"
    if not pd.api.types.is_integer_dtype(column.dtype):
        raise TypeError(expected("train_table", what, f"labels of dtype {column.dtype}"))
    labels = column.to_numpy(dtype=np.int64)
    odd = labels[(labels < 0) | (labels >= len(DIAGNOSES))]
    if odd.size:
        raise ValueError(expected("train_table", what, f"labels {listed(odd.tolist())}"))
    return labels

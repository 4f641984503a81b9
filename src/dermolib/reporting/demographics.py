"""Who and where: ages, sexes and sites of any data, one set or several side by side."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from dermolib._validation import expected, listed
from dermolib.reporting._bars import Bars, draw_bars
from dermolib.reporting._sets import (
    UNKNOWN,
    OneSet,
    Part,
    Sets,
    by_frequency,
    columns_of,
    count_words,
    parts_of,
)
from dermolib.reporting._style import (
    COLORS,
    add_legend_below,
    dress,
    on_axes,
    one_line,
    plural,
    say_no_data,
)

__all__ = ["plot_ages", "plot_sexes", "plot_sites"]

_OLDEST = 130
_AGE_STEP = 5
_SEXES = ("female", "male")
_AGES = f"ages (N,) in years, 0..{_OLDEST} or nan"
_WORDS = 'words (N,), "" where unknown'


def plot_ages(data: Sets, other: OneSet | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw how ages are distributed.

    Bars are five years wide and show shares of the images of known age, so that sets of different
    size compare. The legend counts known and unknown ages, and for one set the labels of the axes
    do. The first set is filled, the others are outlines.

    Args:
        data: A data set, a table with the column ``age`` (years, nan where unknown), or ages
            (N,); or a mapping from names to up to eight of these.
        other: A second one to compare with. The names are then the sides of the data sets
            (``split``) where these differ, else "first" and "second".
        axes: Where to draw; a new figure where None.

    Returns:
        The axes drawn on. They say "no data" where no age is known.

    Raises:
        TypeError: Ages are no numbers, or `axes` is no axes.
        ValueError: Ages are not one-dimensional or one is not in 0..130, or no table has the
            column.

    Examples:
        >>> axes = plot_ages({"train": [30, 45, np.nan], "test": [50]})
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['train (n = 2, 1 unknown)', 'test (n = 1, 0 unknown)']
        >>> plot_ages([30, 45, np.nan]).get_xlabel()
        'age (years); 1 unknown'
    """
    return draw_ages(parts_of(data, other), axes)


def plot_sexes(data: Sets, other: OneSet | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the shares of the sexes, unknown ones among them.

    Args:
        data: A data set, a table with the column ``sex``, or words (N,): ``"female"``, ``"male"``
            or ``""`` where unknown; another word gets a bar of its own. Or a mapping, see
            `plot_ages`.
        other: A second one to compare with, see `plot_ages`.
        axes: Where to draw; a new figure where None.

    Returns:
        The axes drawn on. They say "no data" where there is no image.

    Raises:
        TypeError: A value is neither text nor missing, or `axes` is no axes.
        ValueError: Values are not one-dimensional, or no table has the column.

    Examples:
        >>> axes = plot_sexes(["female", "male", "male", ""])
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['female', 'male', 'unknown']
        >>> [text.get_text() for text in axes.texts]
        ['1 (25.0 %)', '2 (50.0 %)', '1 (25.0 %)']
    """
    return draw_bars(count_sexes(parts_of(data, other)), axes)


def plot_sites(data: Sets, other: OneSet | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the shares of the sites on the body, the most frequent first, unknown ones last.

    Of more than 24 sites, the 23 most frequent have a bar and the others share one.

    Args:
        data: A data set, a table with the column ``site``, or words (N,), ``""`` where unknown;
            or a mapping, see `plot_ages`.
        other: A second one to compare with, see `plot_ages`.
        axes: Where to draw; a new figure where None.

    Returns:
        The axes drawn on. They say "no data" where there is no image.

    Raises:
        TypeError: A value is neither text nor missing, or `axes` is no axes.
        ValueError: Values are not one-dimensional, or no table has the column.

    Examples:
        >>> axes = plot_sites(["head/neck", "back", "back"], ["back", ""])
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['back', 'head/neck', 'unknown']
    """
    return draw_bars(count_sites(parts_of(data, other)), axes)


def draw_ages(parts: Sequence[Part], axes: Axes | None) -> Axes:
    """Draw the ages of sets."""
    columns = columns_of(parts, "age", _AGES)
    pairs = zip(columns, parts, strict=True)
    sets = [_check_ages(column, part.argument) for column, part in pairs]
    _, axes = on_axes(axes)
    known = [ages[~np.isnan(ages)] for ages in sets]
    alone = len(parts) == 1 and not parts[0].name
    unknown = sum(ages.size for ages in sets) - sum(ages.size for ages in known)
    x = f"age (years); {unknown:,} unknown" if alone and unknown else "age (years)"
    of = plural(known[0].size, "image") if alone and known[0].size else "images"
    dress(axes, title="Age", x=x, y=f"share of {of} of known age (%)")
    if not any(ages.size for ages in known):
        say_no_data(axes, f"{plural(unknown, 'image')} of unknown age" if unknown else "")
        return axes
    oldest = max(ages.max() for ages in known if ages.size)
    edges = np.arange(0, oldest + 2 * _AGE_STEP, _AGE_STEP) - _AGE_STEP / 2
    entries = []
    for place, (part, ages) in enumerate(zip(parts, known, strict=True)):
        shares = 100 * np.histogram(ages, edges)[0] / max(ages.size, 1)
        # one filled and the others drawn as lines: two fills would mix to a third colour
        style: dict[str, Any] = {"fill": place == 0, "color": COLORS[place], "linewidth": 2}
        axes.stairs(shares, edges, **style)
        text = f"n = {ages.size:,}, {sets[place].size - ages.size:,} unknown"
        entries.append(Patch(**style, label=f"{one_line(part.name)} ({text})"))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.08 * axes.dataLim.ymax)
    if not alone:
        add_legend_below(axes, entries)
    return axes


def count_sexes(parts: Sequence[Part]) -> Bars:
    """Count the sexes of sets."""
    counts = _count(parts, "sex")
    others = sorted({word for words in counts for word in words} - {*_SEXES, UNKNOWN})
    return _bars("Sex", [*_SEXES, *others, UNKNOWN], parts, counts)


def count_sites(parts: Sequence[Part]) -> Bars:
    """Count the sites of sets."""
    counts = _count(parts, "site")
    return _bars("Site", by_frequency(counts), parts, counts)


def _count(parts: Sequence[Part], name: str) -> list[Counter[str]]:
    columns = columns_of(parts, name, _WORDS)
    pairs = zip(columns, parts, strict=True)
    return [count_words(column, part.argument, _WORDS) for column, part in pairs]


def _bars(title: str, words: list[str], parts: Sequence[Part], counts: list[Counter[str]]) -> Bars:
    names = [part.name for part in parts]
    return Bars(title, "image", words, names, counts, [""] * len(names))


def _check_ages(values: "pd.Series[Any]", argument: str) -> npt.NDArray[np.float64]:
    try:
        ages = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        remedy = "Read the text `nan` as a missing value with `pandas.to_numeric`."
        raise TypeError(expected(argument, _AGES, f"other values: {error}", remedy)) from error
    odd = ages[(ages < 0) | (ages > _OLDEST)]
    if odd.size:
        raise ValueError(expected(argument, _AGES, listed(odd.tolist())))
    return ages

"""Exploration of metadata: ages, sexes, sites, classes, and images per lesion."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from dermolib._validation import check_choice, check_number, expected, listed, require
from dermolib.datasets.columns import is_missing
from dermolib.datasets.tables import HasTable
from dermolib.labels import LabelSpace, as_label_space, label_space_of
from dermolib.reporting._class_sheet import Rows, draw_sheet, sheet_rows, sheet_size
from dermolib.reporting._style import (
    COLORS,
    SMALL,
    add_legend,
    annotate_empty,
    as_counts,
    axes_or_new,
    class_names,
    new_figure,
    plural,
    shorten,
    style_axes,
)

__all__ = [
    "exploration_table",
    "plot_ages",
    "plot_class_counts",
    "plot_class_sheet",
    "plot_exploration",
    "plot_images_per_lesion",
    "plot_sexes",
    "plot_sites",
]

# a data set, its table, or bare values; one, or several by name
_Data: TypeAlias = HasTable | pd.DataFrame | pd.Series | Sequence[Any] | npt.NDArray[Any]
_NamedData: TypeAlias = _Data | Mapping[str, _Data]

_UNKNOWN = "unknown"
_DIAGNOSES = 'a table whose diagnoses are text, "" where unknown'
_OLDEST = 130  # years
_AGE_BIN = 5  # years
_AGES = f"ages (N,) in years, 0..{_OLDEST} or nan"
_WORDS = 'text (N,), "" where unknown'
_LESIONS = 'lesion ids (N,), "" where unknown'
_SEXES = ("female", "male")
_LARGEST_LESION = 9  # images; larger ones share a bar
_MOST_BARS = 24
_FEWEST_BARS = 5  # that fill the axes
_LONGEST_WORD, _LONGEST_NAME = 40, 24  # letters of a bar and of a legend entry
_WIDTH = 13.0  # inches of the figure of all


def plot_ages(data: _NamedData, other: _Data | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the distribution of ages in bins of five years.

    Bars are percentages of the images of known age, so that data sets of any size compare. The
    legend counts known and unknown ages; for one data set the labels of the axes do. The first data
    set is filled, the others are outlines.

    Args:
        data: A data set, a table with the column ``age`` (years, nan where unknown), or ages
            (N,); or a mapping from names to up to eight of these.
        other: A second one to compare with. The names are then the splits of the data sets
            (``split``) where these differ, else "first" and "second".
        axes: Where to draw; a new figure if None.

    Returns:
        The axes drawn on. They say "no data" where nothing is known.

    Raises:
        TypeError: Values or `axes` are of another type.
        ValueError: Values are not (N,) or out of range (0..130), or no table has the column.

    Examples:
        >>> axes = plot_ages({"train": [30, 45, np.nan], "test": [50]})
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['train (n = 2, 1 unknown)', 'test (n = 1, 0 unknown)']
        >>> plot_ages([30, 45, np.nan]).get_xlabel()
        'age (years); 1 unknown'
    """
    return _age_chart(_sources_of(data, other)).draw(axes)


def plot_sexes(data: _NamedData, other: _Data | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the percentage of each sex, "unknown" last.

    Args:
        data: Like that of `plot_ages`, with the column ``sex`` or text (N,): ``"female"``,
            ``"male"`` or ``""`` where unknown; another word gets a bar of its own.
        other: See `plot_ages`, as for `axes`, the return value and errors.
        axes: Where to draw.

    Examples:
        >>> axes = plot_sexes(["female", "male", "male", ""])
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['female', 'male', 'unknown']
        >>> [text.get_text() for text in axes.texts]
        ['1 (25.0 %)', '2 (50.0 %)', '1 (25.0 %)']
    """
    return _sex_chart(_sources_of(data, other)).draw(axes)


def plot_sites(data: _NamedData, other: _Data | None = None, *, axes: Axes | None = None) -> Axes:
    """Draw the percentage of each body site, the most frequent first, "unknown" last.

    Of more than 24 sites, the 23 most frequent have a bar and the others share one.

    Args:
        data: Like that of `plot_ages`, with the column ``site`` or text (N,), ``""`` where unknown.
        other: See `plot_ages`, as for `axes`, the return value and errors.
        axes: Where to draw.

    Examples:
        >>> axes = plot_sites(["head/neck", "back", "back"], ["back", ""])
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['back', 'head/neck', 'unknown']
    """
    return _word_chart(_sources_of(data, other), "Site").draw(axes)


def plot_images_per_lesion(
    data: _NamedData, other: _Data | None = None, *, axes: Axes | None = None
) -> Axes:
    r"""Draw how many lesions have one image, how many two, and so on.

    Lesions of ten or more images share one bar, named by the highest number. An image of unknown
    lesion counts for none; how many these are is noted below. Every row of a table counts,
    augmented ones too.

    Args:
        data: Like that of `plot_ages`, with the column ``lesion`` (``""`` where unknown), or names
            or numbers of lesions (N,).
        other: See `plot_ages`, as for `axes`, the return value and errors.
        axes: Where to draw.

    Examples:
        >>> axes = plot_images_per_lesion(["L1", "L2", "L2", "L3", ""])
        >>> [text.get_text() for text in axes.texts]
        ['2 (66.7 %)', '1 (33.3 %)']
        >>> axes.get_xlabel()
        '% of 3 lesions\n1 image of unknown lesion'
    """
    return _lesion_chart(_sources_of(data, other)).draw(axes)


def plot_class_counts(
    data: _NamedData,
    other: _Data | None = None,
    *,
    by: str | None = None,
    names: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw the percentage of each class, with the number of its images beside the bar.

    A table is counted by its labels, rows without one under "unknown". Where no row has one, it is
    counted by its diagnoses as published, frequent ones first; of more than 24, the 23 most
    frequent have a bar and the others share one. A data set in which no class is known has no bars,
    and the legend says so.

    Args:
        data: Like that of `plot_ages`, with the column ``label`` (0..K-1, missing or nan where
            unknown) or ``diagnosis`` (codes, ``""`` where unknown), or the counts of K classes
            (K,), integers.
        other: See `plot_ages`, as for `axes` and the return value.
        by: ``"label"`` or ``"diagnosis"``; labels where a row of some data set has one, if None.
        names: Unique names of the K classes; if None, the codes of the label space of a table, and
            of counts the codes of the challenge for eight classes, else their indices.
        axes: Where to draw.

    Raises:
        TypeError: Counts or labels are not integers, or a diagnosis or `axes` is of another type.
        ValueError: Counts are empty or negative, data sets have different classes, a label,
            `by` or `names` is out of range, or no table has the column.

    Examples:
        >>> axes = plot_class_counts([30, 10], names=["nevus", "melanoma"])
        >>> [text.get_text() for text in axes.texts]
        ['30 (75.0 %)', '10 (25.0 %)']
        >>> table = pd.DataFrame({"diagnosis": ["nv", "akiec", "nv", ""]})
        >>> [label.get_text() for label in plot_class_counts(table).get_yticklabels()]
        ['nv', 'akiec', 'unknown']
    """
    return _class_chart(_sources_of(data, other), by=by, names=names).draw(axes)


def exploration_table(
    counts: npt.ArrayLike, *, label_space: str | LabelSpace | Sequence[str] = "challenge"
) -> pd.DataFrame:
    """Tabulate the images of each class.

    Args:
        counts: Images of each class (K,), integers, such as ``dataset.class_counts()``.
        label_space: The classes, such as ``dataset.label_space``.

    Returns:
        Table of K rows with the columns ``number`` (1..K), ``code``, ``name``, ``count`` and
        ``fraction`` (of all images, 0..1; nan where there is none).

    Raises:
        TypeError: Counts are not integers.
        ValueError: There are not K counts, or one is negative.

    Examples:
        >>> table = exploration_table([3391, 9657, 2492, 650, 1968, 179, 190, 471])
        >>> print(table.head(2).to_string(index=False, float_format="{:.3f}".format))
         number code              name  count  fraction
              1  MEL          Melanoma   3391     0.178
              2   NV Melanocytic nevus   9657     0.508
    """
    counts = as_counts(counts, "counts", ndim=1)
    space = as_label_space(label_space)
    what = f"{len(space)} counts, one for each class of {space}"
    require(len(counts) == len(space), "counts", what, len(counts))
    table = pd.DataFrame({"number": range(1, len(space) + 1), "code": space.codes})
    return table.assign(name=space.names, count=counts, fraction=counts / (counts.sum() or np.nan))


def plot_class_sheet(
    data: HasTable | pd.DataFrame,
    *,
    images: int = 6,
    by: str | None = None,
    seed: int = 0,
    axes: Axes | None = None,
) -> Axes:
    r"""Show a row of images for each class, beside its code and the number of its images.

    Images are fitted into cells of 4 to 3 without the transform of a data set. A file that is
    missing or unreadable leaves its cell gray with the reason on it, and the title counts these.
    Which images are drawn follows from the seed, the class and the order of its rows.

    Args:
        data: A data set, or a table with the columns ``image_path`` and ``label`` or ``diagnosis``.
        images: Images to show of each class, 1..24; all where it has fewer.
        by: ``"label"``: a row for each class, and one named "unknown" for rows
            without a label, alone where no row has one; ``"diagnosis"``: a row for each of the 24
            most frequent; labels where there are any, if None.
        seed: Seed of the draw, 0 or more.
        axes: Where to draw; a new figure if None, which grows with the sheet.

    Returns:
        The axes drawn on. They say "no data" where there is no image.

    Raises:
        TypeError: `data` has no table, or `images`, `seed` or a label is not an integer.
        ValueError: `images`, `seed`, `by` or a label is out of range, or a column is missing.

    Examples:
        >>> table = pd.DataFrame({"label": [1, 1, 0], "image_path": ["a.jpg", "b.jpg", ""]})
        >>> axes = plot_class_sheet(table, images=2)
        >>> [label.get_text() for label in axes.get_yticklabels()][:3]
        ['MEL\n1', 'NV\n2', 'BCC\n0']
        >>> axes.get_title()
        'Images of each class (up to 2 shown, 3 unreadable)'
    """
    check_number(images, "images", low=1, high=24, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    source, *others = _sources_of(data)
    found, got = source.table is not None and not others, f"an object of type {type(data).__name__}"
    require(found, "data", "a data set or a table", got, error=TypeError)
    rows = _sheet_rows(source, images=images, by=by, seed=seed)
    return draw_sheet(rows, axes, images=images, name=source.name)


def plot_exploration(
    data: _NamedData, other: _Data | None = None, *, images: int = 0, seed: int = 0
) -> dict[str, Axes]:
    """Draw all that a table says about its images in one figure.

    It shows what `plot_ages`, `plot_sexes`, `plot_images_per_lesion`, `plot_sites` and
    `plot_class_counts` show, and on request the sheet of `plot_class_sheet` below. Axes for which
    no data set has the column say so.

    Args:
        data: A data set or a table with some of the columns ``age``, ``sex``, ``site``,
            ``lesion``, ``label`` and ``diagnosis``; or a mapping from names to up to eight.
        other: A second one to compare with, see `plot_ages`.
        images: Images of each class of the first data set to show, 0..24; with 0, no file is read.
        seed: Seed of the draw of these images.

    Returns:
        The axes under the names ``"age"``, ``"sex"``, ``"lesion"``, ``"site"``, ``"class"``, and
        with images ``"sheet"``, all of one figure. `save_figure` takes them as they are.

    Raises:
        TypeError: A data set has no table, or a column holds values of another type.
        ValueError: No data set has any of the columns, or a value is out of range.

    Examples:
        >>> rows = pd.DataFrame({"age": [50.0], "sex": ["male"], "site": [""], "label": [1]})
        >>> axes = plot_exploration(rows)
        >>> [part.get_title() for part in axes.values()]
        ['Age', 'Sex', 'Images per lesion', 'Site', 'Class']
        >>> axes["lesion"].texts[0].get_text()
        'no data: no column `lesion`'
    """
    check_number(images, "images", low=0, high=24, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    sources = _sources_of(data, other)
    for source in sources:
        what, got = "a data set or a table", f"an object of type {type(source.values).__name__}"
        require(source.table is not None, source.argument, what, got, error=TypeError)
    _require_column(sources, "age", "sex", "site", "lesion", "label", "diagnosis")
    charts = {
        "age": _chart(_age_chart, sources, "Age", "age"),
        "sex": _chart(_sex_chart, sources, "Sex", "sex"),
        "lesion": _chart(_lesion_chart, sources, "Images per lesion", "lesion"),
        "site": _chart(partial(_word_chart, title="Site"), sources, "Site", "site"),
        "class": _chart(_class_chart, sources, "Class", "label", "diagnosis"),
    }
    rows = _sheet_rows(sources[0], images=images, seed=seed) if images else {}
    heights = {name: chart.height for name, chart in charts.items()}
    axes = _arrange(heights, len(sources), sheet_size(rows) if images else None)
    for name, chart in charts.items():
        chart.draw(axes[name])
    if images:
        draw_sheet(rows, axes["sheet"], images=images, name=sources[0].name)
    return axes


class _Source(NamedTuple):
    """One of the data sets of a figure, with a table or else with bare values."""

    name: str  # in the legend, "" where it is alone
    argument: str  # in an error
    table: pd.DataFrame | None
    values: Any = None


def _sources_of(data: _NamedData, other: _Data | None = None) -> list[_Source]:
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


def _source(name: str, argument: str, given: _Data) -> _Source:
    table = given if isinstance(given, pd.DataFrame) else getattr(given, "table", None)
    if isinstance(table, pd.DataFrame):
        return _Source(name, argument, table)
    return _Source(name, argument, None, given)


def _has_column(sources: Sequence[_Source], *names: str) -> bool:
    """Whether a data set has one of the columns; bare values are the column that is asked for."""
    return any(source.table is None or {*names} & {*source.table.columns} for source in sources)


def _require_column(sources: Sequence[_Source], *names: str) -> None:
    """Refuse tables of which none has one of the columns."""
    tables = [source.table for source in sources if source.table is not None]
    columns = dict.fromkeys(str(name) for table in tables for name in table.columns)
    what = f"a table with a column {' or '.join(f'`{name}`' for name in names)}"
    got = f"the columns {listed(columns, most=12)}" if columns else "no column"
    hint = "Read files with the functions of `dermolib.datasets`."
    require(_has_column(sources, *names), "data", what, got, hint)


def _column_of(source: _Source, name: str, what: str) -> "pd.Series[Any]":
    """Return a column as objects, all of it missing where the table does not have it."""
    if source.table is not None and name not in source.table.columns:
        return pd.Series(np.nan, index=range(len(source.table)), dtype=object)
    values = np.asarray(source.values if source.table is None else source.table[name], object)
    require(values.ndim == 1, source.argument, what, f"shape {values.shape}")
    return pd.Series(values)


def _words_of(
    source: _Source, name: str, what: str, kind: type[Any] | tuple[type[Any], ...] = str
) -> "pd.Series[Any]":
    """Return a column of text; what is missing becomes "unknown"."""
    values = _column_of(source, name, what)
    values = values.where(values.notna(), _UNKNOWN)
    odd = [repr(x) for x in values if not isinstance(x, kind) or isinstance(x, bool)]
    require(not odd, source.argument, what, listed(dict.fromkeys(odd)), error=TypeError)
    texts, codes = [x for x in set(values) if isinstance(x, str)], name == "diagnosis"
    empty = [x for x in texts if is_missing(x, codes=codes) or x.strip().lower() == _UNKNOWN]
    return values.mask(values.isin(empty), _UNKNOWN)


def _by_frequency(counts: pd.DataFrame) -> pd.DataFrame:
    """Sort rows from frequent to rare, equal ones by name, and "unknown" last."""
    total = counts.sum(axis=1)
    return counts.loc[sorted(total.index, key=lambda x: (x == _UNKNOWN, -total[x], x))]


def _count_by_diagnosis(sources: Sequence[_Source], by: str | None) -> bool:
    """Whether to count diagnoses as published: if asked for, or where no row has a label."""
    if by is not None:
        check_choice(by, "by", ("label", "diagnosis"))
        _require_column(sources, by)
        return by == "diagnosis"
    # a table of dermolib, which has ids, has no labels where no row has one
    if not _has_column(sources, "id"):
        _require_column(sources, "label", "diagnosis")
    labeled = any(
        x.table is None or ("label" in x.table and x.table["label"].notna().any()) for x in sources
    )
    return not labeled and _has_column(sources, "diagnosis")


def _classes_of(source: _Source, by_diagnosis: bool, names: Sequence[str]) -> "pd.Series[Any]":
    """Name the class of each row of a table, "unknown" where it has none."""
    if by_diagnosis:
        return _words_of(source, "diagnosis", _DIAGNOSES)
    what = f"a table whose labels are integers in 0..{len(names) - 1}"
    labels = _column_of(source, "label", what)
    # integers come as floats or objects where some are missing, and a column of none has no type
    labels = labels.convert_dtypes() if labels.notna().any() else labels.astype("Int64")
    integer, got = pd.api.types.is_integer_dtype(labels.dtype), f"labels of dtype {labels.dtype}"
    require(integer, source.argument, what, got, error=TypeError)
    odd = labels[~labels.between(0, len(names) - 1) & labels.notna()]
    require(odd.empty, source.argument, what, f"labels {listed(odd)}")
    indices = labels.fillna(len(names)).to_numpy(np.intp)
    return pd.Series(np.array([*names, _UNKNOWN], object)[indices])


class _BarChart(NamedTuple):
    """Bars of words; a data set of which nothing is known has counts of 0."""

    title: str
    unit: str  # what is counted, singular
    counts: pd.DataFrame  # a row for each word, a column for each data set
    notes: Sequence[str]  # what the legend says of each data set beside its size
    ylabel: str = ""

    @property
    def height(self) -> float:
        """Height of axes in which no bar touches the number of the next, in inches."""
        bars, sets = _join_rare(self.counts).shape
        return max(_FEWEST_BARS, bars) * max(0.27, 0.17 * sets + 0.06)

    def draw(self, axes: Axes | None) -> Axes:
        """Draw a bar for each word and data set; all images of a data set are 100 %."""
        counts = _join_rare(self.counts)
        names, totals = list(counts), counts.sum().tolist()
        alone = names == [""]
        axes = axes_or_new(axes, height=self.height + 1 + (0 if alone else 0.2 * len(names)))
        xlabel = f"% of {self.unit}s" if self.unit else ""
        if alone and totals[0]:
            # a note in a line of its own: the layout does not see how long a label is
            xlabel = "\n".join([f"% of {plural(totals[0], self.unit)}", *filter(None, self.notes)])
        style_axes(axes, title=self.title, xlabel=xlabel, ylabel=self.ylabel, grid="x")
        if not any(totals):
            annotate_empty(axes, ", ".join(dict.fromkeys(filter(None, self.notes))))
            return axes
        # a data set of which nothing is known is in the legend alone
        drawn = [number for number, total in enumerate(totals) if total]
        positions, thickness = np.arange(len(counts)), 0.8 / len(drawn)
        for slot, number in enumerate(drawn):
            column = counts[names[number]]
            percent = 100 * column / totals[number]
            offset = (slot - (len(drawn) - 1) / 2) * thickness
            bars = axes.barh(positions + offset, percent, 0.95 * thickness, color=COLORS[number])
            texts = [f"{count:,} ({x:.1f} %)" for count, x in zip(column, percent, strict=True)]
            axes.bar_label(bars, texts, fontsize=SMALL, padding=3)
        words = [shorten(word, _LONGEST_WORD) for word in counts.index]
        axes.set_yticks(positions, words, parse_math=False)
        # few bars are no thicker than those of other figures
        margin = 0.5 + max(0, _FEWEST_BARS - len(words)) / 2
        axes.set_ylim(len(words) - 1 + margin, -margin)
        axes.set_xlim(0, 1.3 * axes.dataLim.xmax)  # room for the numbers beside the bars
        if not alone:
            entries = []
            for name, total, note, color in zip(names, totals, self.notes, COLORS, strict=False):
                size = plural(total, self.unit) if total or not note else ""
                text = "; ".join(filter(None, [size, note]))
                entries.append(Patch(color=color, label=f"{shorten(name, _LONGEST_NAME)} ({text})"))
            add_legend(axes, entries)
        return axes


class _AgeChart(NamedTuple):
    """Ages of each data set by its name, nan where unknown."""

    ages: dict[str, npt.NDArray[np.float64]]
    height: float = 0.0

    def draw(self, axes: Axes | None) -> Axes:
        """Draw histograms: one filled, as two fills would mix to a third color."""
        axes = axes_or_new(axes)
        known = {name: ages[~np.isnan(ages)] for name, ages in self.ages.items()}
        unknown = {name: np.isnan(ages).sum() for name, ages in self.ages.items()}
        alone = [*known] == [""]
        xlabel = f"age (years); {unknown['']:,} unknown" if alone and unknown[""] else "age (years)"
        images = plural(known[""].size, "image") if alone and known[""].size else "images"
        style_axes(axes, title="Age", xlabel=xlabel, ylabel=f"% of {images} of known age", grid="y")
        oldest = max((ages.max() for ages in known.values() if ages.size), default=None)
        if oldest is None:
            total = sum(unknown.values())
            annotate_empty(axes, f"{plural(total, 'image')} of unknown age" if total else "")
            return axes
        edges = np.arange(0, oldest + 2 * _AGE_BIN, _AGE_BIN) - _AGE_BIN / 2
        entries: list[Patch] = []
        for (name, ages), color in zip(known.items(), COLORS, strict=False):
            percent = 100 * np.histogram(ages, edges)[0] / max(ages.size, 1)
            style: dict[str, Any] = {"fill": not entries, "color": color, "linewidth": 2}
            axes.stairs(percent, edges, **style)
            text = f"{shorten(name, _LONGEST_NAME)} (n = {ages.size:,}, {unknown[name]:,} unknown)"
            entries.append(Patch(**style, label=text))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.08 * axes.dataLim.ymax)
        if not alone:
            add_legend(axes, entries)
        return axes


def _chart(
    read: Callable[..., _BarChart | _AgeChart],
    sources: Sequence[_Source],
    title: str,
    *columns: str,
) -> _BarChart | _AgeChart:
    """Read a chart; without a column to read, one that says so."""
    if _has_column(sources, *columns):
        return read(sources)
    note = f"no column {' or '.join(f'`{name}`' for name in columns)}"
    return _BarChart(title, "", pd.DataFrame({"": []}, dtype=int), [note])


def _age_chart(sources: Sequence[_Source]) -> _AgeChart:
    _require_column(sources, "age")
    return _AgeChart({source.name: _read_ages(source) for source in sources})


def _read_ages(source: _Source) -> npt.NDArray[np.float64]:
    values = _column_of(source, "age", _AGES)
    try:
        ages = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        hint = "Read the text `nan` as a missing value with `pandas.to_numeric`."
        got = f"other values: {error}"
        raise TypeError(expected(source.argument, _AGES, got, hint)) from error
    odd = ages[(ages < 0) | (ages > _OLDEST)].tolist()
    require(not odd, source.argument, _AGES, listed(odd))
    return ages


def _sex_chart(sources: Sequence[_Source]) -> _BarChart:
    chart = _word_chart(sources, "Sex")
    others = sorted({*chart.counts.index} - {*_SEXES, _UNKNOWN})
    rows = [*_SEXES, *others, _UNKNOWN]
    return chart._replace(counts=chart.counts.reindex(rows, fill_value=0))


def _word_chart(sources: Sequence[_Source], title: str) -> _BarChart:
    column = title.lower()
    _require_column(sources, column)
    counts = _side_by_side({x.name: _words_of(x, column, _WORDS).value_counts() for x in sources})
    return _BarChart(title, "image", _by_frequency(counts), [""] * len(sources))


def _side_by_side(counts: Mapping[str, "pd.Series[int]"]) -> pd.DataFrame:
    """Put counts in columns, a row for each value, 0 where a data set does not have it."""
    return pd.DataFrame(counts).fillna(0).astype(int)


def _join_rare(counts: pd.DataFrame) -> pd.DataFrame:
    """Join the rows beyond the first 23 in one, except "unknown"."""
    known = counts.drop(index=_UNKNOWN, errors="ignore")
    if len(known) <= _MOST_BARS:
        return counts
    rest = known[_MOST_BARS - 1 :]
    joined = rest.sum().to_frame(f"{len(rest)} others").T
    return pd.concat([known[: _MOST_BARS - 1], joined, counts[len(known) :]])


def _lesion_chart(sources: Sequence[_Source]) -> _BarChart:
    _require_column(sources, "lesion")
    lesions = {x.name: _words_of(x, "lesion", _LESIONS, (str, Real)) for x in sources}
    sizes = {name: column[column != _UNKNOWN].value_counts() for name, column in lesions.items()}
    most, last = max(size.max() if size.size else 0 for size in sizes.values()), _LARGEST_LESION + 1
    clipped = {name: size.clip(upper=last).value_counts() for name, size in sizes.items()}
    counts = _side_by_side(clipped)
    counts = counts.reindex(range(1, min(most, last) + 1), fill_value=0)
    counts.index = counts.index.map(lambda n: f"{n} to {most}" if most > n == last else f"{n}")
    unknown = [(column == _UNKNOWN).sum() for column in lesions.values()]
    notes = [f"{plural(number, 'image')} of unknown lesion" if number else "" for number in unknown]
    return _BarChart("Images per lesion", "lesion", counts, notes, "images per lesion")


def _class_chart(
    sources: Sequence[_Source], *, by: str | None = None, names: Sequence[str] | None = None
) -> _BarChart:
    by_diagnosis = _count_by_diagnosis(sources, by)
    what = "left out where classes are counted by their published codes"
    require(names is None or not by_diagnosis, "names", what, listed(names or []))
    labeled = [x for x in sources if x.table is None or "label" in x.table]
    known = {tuple(_own_classes(x)) for x in labeled or sources[:1]}
    what = "data sets of the same classes"
    got, hint = " and ".join(map(listed, sorted(known))), "Read them with the same `label_space=`."
    require(len(known) == 1, "data", what, got, hint)
    classes = list(*known) if names is None else class_names(names, len(*known))
    unique = len({*classes}) == len(classes)
    require(unique, "names", "unique", listed(classes, most=len(classes)))
    columns = {x.name: _count_classes(x, by_diagnosis, classes) for x in sources}
    counts = _side_by_side(columns)
    unknown: pd.Series[int] = counts.reindex([_UNKNOWN], fill_value=0).sum()
    hidden = counts.sum() == unknown  # no class is known
    of = "of unknown diagnosis" if by_diagnosis else "of unknown label"
    notes = [f"{plural(n, 'image')} {of}" if n else "" for n in unknown.where(hidden, 0)]
    counts.loc[:, hidden] = 0
    counts = _by_frequency(counts[counts.any(axis=1)])
    if not by_diagnosis:
        order = dict.fromkeys([*classes, *counts.index])
        counts = counts.reindex(list(order), fill_value=0)
    return _BarChart("Class", "image", counts, notes)


def _own_classes(source: _Source) -> list[str]:
    """Name the classes of a data set by its label space, or by the number of its counts."""
    if source.table is not None:
        return list(label_space_of(source.table).codes)
    return class_names(None, len(as_counts(source.values, source.argument, ndim=1)))


def _count_classes(source: _Source, by_diagnosis: bool, classes: list[str]) -> "pd.Series[int]":
    if source.table is None:
        return pd.Series(np.asarray(source.values), classes)
    return _classes_of(source, by_diagnosis, classes).value_counts()


def _sheet_rows(source: _Source, *, images: int, by: str | None = None, seed: int = 0) -> Rows:
    """Draw images of each class, of all of the label space where these are labels."""
    _require_column([source], "image_path")
    by_diagnosis = _count_by_diagnosis([source], by)
    codes = _own_classes(source)
    classes = _classes_of(source, by_diagnosis, codes)
    found = [*_by_frequency(classes.value_counts().to_frame()).index]
    every = codes + [_UNKNOWN] * (_UNKNOWN in found)
    order = found if by_diagnosis or found in ([], [_UNKNOWN]) else every
    table: Any = source.table
    return sheet_rows(classes, table["image_path"], order, images=images, seed=seed)


def _arrange(
    heights: dict[str, float], sets: int, sheet: tuple[float, float] | None
) -> dict[str, Axes]:
    """Make axes as high as their bars need: three above, two below, the sheet at the bottom."""
    rows = [["age", "sex", "lesion"], ["site", "class"]]
    # inches of the legend; of title, ticks and label; and of the axes
    tall = [0.2 * sets + 1.15 + max(2.4, *(heights[x] for x in row)) for row in rows]
    if sheet is not None:
        rows.append(["sheet"])
        tall.append(sheet[1] * min(1, (_WIDTH - 0.5) / sheet[0]))
    # rows of their own: long names of sites take no room from the axes above
    nested: Any = [[[row]] for row in rows]
    return new_figure(_WIDTH, sum(tall)).subplot_mosaic(nested, height_ratios=tall)

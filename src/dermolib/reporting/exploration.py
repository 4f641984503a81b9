"""A data set at a glance, in one figure: ages, sexes, sites, classes, lesions, and images."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from dermolib._validation import check_number, expected
from dermolib.reporting._bars import Bars, draw_bars, folded
from dermolib.reporting._sets import OneSet, Part, Sets, has_column, lacking, parts_of
from dermolib.reporting._style import dress, new_airy_figure, say_no_data
from dermolib.reporting.class_sheet import draw_sheet, sheet_rows, sheet_size
from dermolib.reporting.classes import count_classes
from dermolib.reporting.demographics import count_sexes, count_sites, draw_ages
from dermolib.reporting.per_lesion import count_lesions

__all__ = ["plot_exploration"]

_COLUMNS = ("age", "sex", "site", "lesion", "label", "diagnosis")
_WIDTH = 13.0  # inches
_AROUND = 1.15  # inches above and below axes: title, ticks and label
_LOWEST = 2.4  # inches of axes


def plot_exploration(
    data: Sets, other: OneSet | None = None, *, images: int = 0, seed: int = 0
) -> dict[str, Axes]:
    """Draw all that a table tells of its images in one figure.

    It shows what `plot_ages`, `plot_sexes`, `plot_images_per_lesion`, `plot_sites` and
    `plot_class_counts` show, and on request the sheet of `plot_class_sheet` below. Axes for which
    no set has the column say so.

    Args:
        data: A data set or a table with some of the columns ``age``, ``sex``, ``site``,
            ``lesion``, ``label`` and ``diagnosis``; or a mapping from names to up to eight of
            these.
        other: A second one to compare with, see `plot_ages`.
        images: Images of each class of the first set to show, 0..24; with 0, no file is read.
        seed: Seed of the draw of these images.

    Returns:
        The axes under the names ``"age"``, ``"sex"``, ``"lesion"``, ``"site"``, ``"class"``, and
        with images ``"sheet"``, all of one figure. `save_figure` takes them as they are.

    Raises:
        TypeError: A set has no table, labels are no whole numbers, or a column holds values of
            another type.
        ValueError: No set has any of the columns, or a value is out of range.

    Examples:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"age": [50.0], "sex": ["male"], "site": [""], "label": [1]})
        >>> axes = plot_exploration(rows)
        >>> [part.get_title() for part in axes.values()]
        ['Age', 'Sex', 'Images of a lesion', 'Site', 'Classes']
        >>> axes["lesion"].texts[0].get_text()
        'no data: no column `lesion`'
    """
    check_number(images, "images", low=0, high=24, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    parts = parts_of(data, other)
    _check_tables(parts)
    counted = {
        "sex": _counted(parts, count_sexes, "Sex", "sex"),
        "lesion": _counted(parts, count_lesions, "Images of a lesion", "lesion"),
        "site": _counted(parts, count_sites, "Site", "site"),
        "class": _counted(parts, count_classes, "Classes", "label", "diagnosis"),
    }
    rows = sheet_rows(parts[0], images=images, seed=seed) if images else []
    axes = _arrange(counted, parts, sheet_size(rows) if images else None)
    if has_column(parts, "age"):
        draw_ages(parts, axes["age"])
    else:
        _say_absent(axes["age"], "Age", "age")
    for name, bars in counted.items():
        if isinstance(bars, Bars):
            draw_bars(bars, axes[name])
        else:
            _say_absent(axes[name], *bars)
    if images:
        draw_sheet(rows, axes["sheet"], images=images, name=parts[0].name)
    return axes


def _counted(
    parts: Sequence[Part], count: Callable[[Sequence[Part]], Bars], title: str, *columns: str
) -> Bars | tuple[str, ...]:
    """Count what some set has a column for; else the title and the columns that lack."""
    return folded(count(parts)) if has_column(parts, *columns) else (title, *columns)


def _arrange(
    counted: dict[str, Bars | tuple[str, ...]],
    parts: Sequence[Part],
    sheet: tuple[float, float] | None,
) -> dict[str, Axes]:
    """Make axes as high as their bars need: three above, two below, the sheet at the bottom."""
    legend = 0.2 * len(parts) + _AROUND
    high = {name: bars.height for name, bars in counted.items() if isinstance(bars, Bars)}
    heights = [
        legend + max(_LOWEST, *(high.get(name, 0) for name in names))
        for names in (("sex", "lesion"), ("site", "class"))
    ]
    if sheet is not None:
        heights.append(sheet[1] * min(1, (_WIDTH - 0.5) / sheet[0]))
    figure = new_airy_figure(_WIDTH, sum(heights))
    # rows of their own: long names of sites take no room from the axes above
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    names = [("age", "sex", "lesion"), ("site", "class"), ("sheet",)]
    return {
        name: axes
        for place, inside in enumerate(names[: len(heights)])
        for name, axes in zip(
            inside,
            rows[place, 0].subgridspec(1, len(inside)).subplots(squeeze=False)[0],
            strict=True,
        )
    }


def _say_absent(axes: Axes, title: str, *columns: str) -> None:
    dress(axes, title=title, x="", y="", grid="none")
    say_no_data(axes, f"no column {' or '.join(f'`{name}`' for name in columns)}")


def _check_tables(parts: Sequence[Part]) -> None:
    for part in parts:
        if part.table is None:
            got = f"an object of type {type(part.values).__name__}"
            raise TypeError(expected(part.argument, "a data set or a table", got))
    if not has_column(parts, *_COLUMNS):
        raise ValueError(lacking(parts, f"some of the columns {', '.join(_COLUMNS)}"))

"""What each class looks like: a row of images for each, drawn from a seed."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from dermolib._validation import check_number, expected
from dermolib.datasets.store import load_image
from dermolib.datasets.tables import HasTable
from dermolib.io import resize_image
from dermolib.labels import DIAGNOSES
from dermolib.reporting._sets import (
    UNKNOWN,
    Part,
    by_frequency,
    count_words,
    is_known,
    lacking,
    parts_of,
)
from dermolib.reporting._style import TEXT, dress, on_axes, one_line, say_no_data
from dermolib.reporting.classes import by_diagnosis, class_words

__all__ = ["plot_class_sheet"]

_HEIGHT, _WIDTH = 180, 240  # px of an image, in the proportions of most of ISIC
_GAP = 8  # px
_PX_PER_INCH = 170  # of a new figure
_MOST = 24  # classes
_LONGEST = 20  # letters of a class
_GREY = np.uint8(232)


@dataclass(frozen=True)
class SheetRow:
    """A class, how many images it has, and the paths of those to show."""

    name: str
    count: int
    paths: list[Any]


def plot_class_sheet(
    data: HasTable | pd.DataFrame,
    *,
    images: int = 6,
    by: str | None = None,
    seed: int = 0,
    axes: Axes | None = None,
) -> Axes:
    r"""Show a row of images for each class, beside its code and the number of its images.

    Images are fitted into cells of 4 to 3 as they are, without the transform of a data set. A file
    that is not there or cannot be read leaves its cell grey with the reason on it, and the title
    counts these. Which images are drawn follows from the seed, the class and the order of its rows.

    Args:
        data: A data set, or a table with the column ``image_path`` and ``label`` or ``diagnosis``.
        images: Images of each class to show, 1..24; all where it has fewer.
        by: ``"label"`` or ``"diagnosis"``; labels where there are any, if None. By label, all
            eight diagnoses have a row, and rows without a label one named "unknown", which is alone
            where no row has a label; by diagnosis, the 24 most frequent have one.
        seed: Seed of the draw, 0 or more.
        axes: Where to draw; a new figure where None, which grows with the sheet.

    Returns:
        The axes drawn on. They say "no data" where there is no image.

    Raises:
        TypeError: `data` has no table, `images` or `seed` is no integer, or labels are none.
        ValueError: `images` or `seed` is out of range, a label is not in 0..7, `by` is another
            word, or the table lacks a column.

    Examples:
        >>> table = pd.DataFrame({"label": [1, 1, 0], "image_path": ["a.jpg", "b.jpg", ""]})
        >>> axes = plot_class_sheet(table, images=2)
        >>> [label.get_text() for label in axes.get_yticklabels()][:3]
        ['MEL\n1', 'NV\n2', 'BCC\n0']
        >>> axes.get_title()
        'Images of each class (at most 2 shown, 3 not readable)'
    """
    check_number(images, "images", low=1, high=24, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    parts = parts_of(data)
    if len(parts) != 1 or parts[0].table is None:
        got = f"an object of type {type(data).__name__}"
        raise TypeError(expected("data", "a data set or a table", got))
    rows = sheet_rows(parts[0], images=images, by=by, seed=seed)
    return draw_sheet(rows, axes, images=images, name=parts[0].name)


def sheet_rows(part: Part, *, images: int, by: str | None = None, seed: int = 0) -> list[SheetRow]:
    """Draw images of each class; one class does not change what is drawn of another."""
    if part.table is None or "image_path" not in part.table.columns:
        raise ValueError(lacking([part], "a column `image_path`"))
    published = by_diagnosis([part], by)
    (words,) = class_words([part], published)
    if words is None or not len(words):
        return []
    counts = count_words(words, part.argument, "a table whose diagnoses are words")
    order = by_frequency([counts])
    if not published and order != [UNKNOWN]:
        codes = [diagnosis.code for diagnosis in DIAGNOSES]
        order = codes + [UNKNOWN] * (UNKNOWN in counts)
    # what is missing, empty or "unknown" is one class
    known = {word: word if is_known(word) else UNKNOWN for word in words.unique()}
    classes = pd.Series(words.map(known).to_numpy(object))
    indices = classes.groupby(classes).indices
    paths = part.table["image_path"].to_numpy(object)
    rows = []
    for name in order:
        at = indices.get(name, np.empty(0, np.intp))
        generator = np.random.default_rng((seed, zlib.crc32(name.encode())))
        chosen = np.sort(generator.permutation(len(at))[:images])
        rows.append(SheetRow(name, len(at), list(paths[at[chosen]])))
    return rows


def sheet_size(rows: list[SheetRow]) -> tuple[float, float]:
    """Give width and height of a figure of the sheet, in inches."""
    height, width = _shape(rows)
    # letters on the left, the title above
    return max(width / _PX_PER_INCH + 0.9, 4.5), height / _PX_PER_INCH + 0.5


def draw_sheet(rows: list[SheetRow], axes: Axes | None, *, images: int, name: str = "") -> Axes:
    """Draw rows of images; classes beyond the 24th are counted in the title."""
    width, height = sheet_size(rows)
    _, axes = on_axes(axes, width=width, height=height)
    title = "Images of each class" + (f", {one_line(name)}" if name else "")
    dress(axes, title=title, x="", y="", grid="none")
    if not rows:
        say_no_data(axes)
        return axes
    rows, more = rows[:_MOST], len(rows[_MOST:])
    canvas = np.full((*_shape(rows), 3), 255, np.uint8)
    lost = [
        _show(axes, canvas, path, place, column)
        for place, row in enumerate(rows)
        for column, path in enumerate(row.paths or [None])
    ]
    told = [f"at most {images} shown"]
    told += [f"{sum(lost)} not readable"] if any(lost) else []
    told += [f"{more} rarer left out"] if more else []
    axes.title.set(text=f"{title} ({', '.join(told)})", parse_math=False)
    axes.imshow(canvas, interpolation="antialiased")
    middles = [place * (_HEIGHT + _GAP) + _HEIGHT / 2 for place in range(len(rows))]
    names = [f"{one_line(row.name, _LONGEST)}\n{row.count:,}" for row in rows]
    axes.set_yticks(middles, names, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def _shape(rows: list[SheetRow]) -> tuple[int, int]:
    """Give height and width of a sheet in which all images have their cell, in px."""
    columns = max((len(row.paths) for row in rows), default=0)
    down = max(len(rows[:_MOST]), 1) * (_HEIGHT + _GAP) - _GAP
    return down, max(columns, 1) * (_WIDTH + _GAP) - _GAP


def _show(axes: Axes, canvas: npt.NDArray[np.uint8], path: object, place: int, column: int) -> bool:
    """Put an image into its cell, or say why there is none; whether one is lost."""
    top, left = place * (_HEIGHT + _GAP), column * (_WIDTH + _GAP)
    cell = canvas[top : top + _HEIGHT, left : left + _WIDTH]
    reason = "no image" if path is None else _fill(cell, path)
    if reason:
        middle = (left + _WIDTH / 2, top + _HEIGHT / 2)
        axes.text(*middle, reason, ha="center", va="center", color="0.4", fontsize=TEXT - 1)
    return path is not None and bool(reason)


def _fill(cell: npt.NDArray[np.uint8], path: object) -> str:
    """Fit an image into a cell; the reason where it cannot be read."""
    cell[:] = _GREY
    if not isinstance(path, str) or not path:
        return "no file"
    try:
        image = load_image(path)
    except FileNotFoundError:
        return "not found"
    except (OSError, ValueError):
        return "not readable"
    scale = min(_HEIGHT / image.shape[0], _WIDTH / image.shape[1])
    height = min(max(round(image.shape[0] * scale), 1), _HEIGHT)
    width = min(max(round(image.shape[1] * scale), 1), _WIDTH)
    top, left = (_HEIGHT - height) // 2, (_WIDTH - width) // 2
    cell[:] = 255
    cell[top : top + height, left : left + width] = resize_image(image, (height, width))
    return ""

"""A sheet of images, a row for each class."""

import zlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from dermolib.datasets.store import load_image
from dermolib.io import resize_image
from dermolib.reporting._style import SMALL, annotate_empty, axes_or_new, shorten, style_axes

_HEIGHT, _WIDTH = 180, 240  # px of an image, in the proportions of most of ISIC
_GAP = 8  # px
_PX_PER_INCH = 170  # of a new figure
_MOST = 24  # classes
_LONGEST = 20  # letters of a class
_GRAY = np.uint8(232)


# the number of images of each class, and the paths of those to show
Rows: TypeAlias = dict[str, tuple[int, list[Any]]]


def sheet_rows(
    classes: "pd.Series[Any]", paths: "pd.Series[Any]", order: list[str], *, images: int, seed: int
) -> Rows:
    """Draw images of each class; one class does not change what is drawn of another."""
    indices = dict[Any, Any](classes.groupby(classes).indices)
    rows = {}
    for name in order:
        found = indices.get(name, np.empty(0, np.intp))
        generator = np.random.default_rng((seed, zlib.crc32(name.encode(errors="surrogatepass"))))
        chosen = np.sort(generator.permutation(len(found))[:images])
        rows[name] = len(found), paths.iloc[found[chosen]].tolist()
    return rows


def sheet_size(rows: Rows) -> tuple[float, float]:
    """Return width and height of a figure of the sheet, in inches."""
    height, width = _canvas_shape(rows)
    # letters on the left, the title above
    return max(width / _PX_PER_INCH + 0.9, 4.5), height / _PX_PER_INCH + 0.5


def draw_sheet(rows: Rows, axes: Axes | None, *, images: int, name: str = "") -> Axes:
    """Draw rows of images; classes beyond the 24th are counted in the title."""
    width, height = sheet_size(rows)
    axes = axes_or_new(axes, width=width, height=height)
    title = "Images of each class" + (f", {shorten(name, 40)}" if name else "")
    style_axes(axes, title=title, grid="")
    if not rows:
        annotate_empty(axes)
        return axes
    more = len(rows) - _MOST
    rows = dict(list(rows.items())[:_MOST])
    canvas = np.full((*_canvas_shape(rows), 3), 255, np.uint8)
    lost = 0
    for number, (_, paths) in enumerate(rows.values()):
        for column, path in enumerate(paths or [None]):
            top, left = number * (_HEIGHT + _GAP), column * (_WIDTH + _GAP)
            reason = _fill(canvas[top : top + _HEIGHT, left : left + _WIDTH], path)
            if reason:
                x, y = left + _WIDTH / 2, top + _HEIGHT / 2
                axes.text(x, y, reason, ha="center", va="center", color="0.4", fontsize=SMALL)
                lost += path is not None
    title += f" (up to {images} shown" + (f", {lost} unreadable" if lost else "")
    axes.title.set_text(title + (f", {more} rarer classes not shown)" if more > 0 else ")"))
    axes.imshow(canvas, interpolation="antialiased")
    centers = _HEIGHT / 2 + (_HEIGHT + _GAP) * np.arange(len(rows))
    names = [f"{shorten(name, _LONGEST)}\n{count:,}" for name, (count, _) in rows.items()]
    axes.set_yticks(centers, names, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def _canvas_shape(rows: Rows) -> tuple[int, int]:
    """Return height and width of a sheet in which all images have their cell, in px."""
    columns = max([1, *(len(paths) for _, paths in rows.values())])
    down = min(max(len(rows), 1), _MOST)
    return down * (_HEIGHT + _GAP) - _GAP, columns * (_WIDTH + _GAP) - _GAP


def _fill(cell: npt.NDArray[np.uint8], path: object) -> str:
    """Fit an image into a cell; return the reason where there is none."""
    if path is None:
        return "no image"
    cell[:] = _GRAY
    if not isinstance(path, str) or not path:
        return "no file"
    try:
        image = load_image(path)
    except FileNotFoundError:
        return "not found"
    except (OSError, ValueError):
        return "unreadable"
    scale = min(_HEIGHT / image.shape[0], _WIDTH / image.shape[1])
    height = min(max(round(image.shape[0] * scale), 1), _HEIGHT)
    width = min(max(round(image.shape[1] * scale), 1), _WIDTH)
    top, left = (_HEIGHT - height) // 2, (_WIDTH - width) // 2
    cell[:] = 255
    cell[top : top + height, left : left + width] = resize_image(image, (height, width))
    return ""

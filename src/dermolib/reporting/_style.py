"""How every figure looks: colours that all eyes tell apart, a light grid, no global state."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from dermolib._validation import expected, listed
from dermolib.labels import DIAGNOSES

Counts: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers of 0 or more."""

# Okabe and Ito's palette, told apart by people with any kind of colour blindness
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8C7A00")
FIRST, SECOND = COLORS[0], COLORS[1]

TEXT = 9
_TITLE = 11
_EDGE = 0.1  # inches


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches whose parts arrange themselves."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def new_airy_figure(width: float, height: float) -> Figure:
    """Make such a figure with more room at its edges, for words that reach them."""
    figure = new_figure(width, height)
    figure.set_layout_engine("constrained", w_pad=_EDGE, h_pad=_EDGE)
    return figure


def on_axes(axes: Axes | None, *, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Give the axes to draw on and the figure they belong to, both new where None are given."""
    if axes is None:
        figure = new_airy_figure(width, height)
        return figure, figure.add_subplot()
    if not isinstance(axes, Axes):
        got = f"an object of type {type(axes).__name__}"
        remedy = "Make some with `figure.add_subplot()`."
        raise TypeError(expected("axes", "axes of matplotlib", got, remedy))
    owner: Any = axes.figure
    while isinstance(owner, SubFigure):
        owner = owner.figure
    return owner, axes


def dress(axes: Axes, *, title: str, x: str, y: str, grid: str = "y") -> None:
    """Give axes their title, their labels and a light grid behind the data."""
    axes.set_title(title, fontsize=_TITLE)
    axes.set_xlabel(x, fontsize=TEXT)
    axes.set_ylabel(y, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid in {"x", "both"}:
        axes.xaxis.grid(visible=True, color="0.9", linewidth=0.8)
    if grid in {"y", "both"}:
        axes.yaxis.grid(visible=True, color="0.9", linewidth=0.8)


def add_legend(axes: Axes, **options: Any) -> None:
    """Name what is drawn."""
    axes.legend(fontsize=TEXT - 1, frameon=False, **options)


def add_legend_below(axes: Axes, handles: Sequence[Artist]) -> None:
    """Name what is drawn below the axes, where it hides nothing."""
    texts = [str(handle.get_label()) for handle in handles]
    # two entries of more letters would not fit side by side into a figure of the usual width
    columns = 2 if len(texts) > 1 and max(map(len, texts)) <= 40 else 1
    legend = axes.legend(
        handles,
        texts,
        fontsize=TEXT - 1,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.5,  # of the letters' height: below ticks and label of the axis
        ncols=columns,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def say_no_data(axes: Axes, reason: str = "") -> None:
    """Write on empty axes that they are empty for want of data."""
    text = f"no data: {reason}" if reason else "no data"
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color="0.4",
        fontsize=TEXT,
        parse_math=False,
    )
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])


def one_line(text: object, most: int = 40) -> str:
    """Bring text of any length and lines into one line of so many letters, its middle left out."""
    words = " ".join(str(text).split())
    if len(words) <= most:
        return words
    # names that begin alike often differ at their end
    end = most // 3
    return f"{words[: most - 1 - end]}…{words[-end:]}"


def plural(number: int, unit: str) -> str:
    """Count units in words: ``1 image``, ``1,200 images``."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


def show_image(axes: Axes, pixels: npt.NDArray[Any], title: str = "") -> None:
    """Show an image, or a mask as black and white, without ticks."""
    if pixels.dtype == np.bool_:
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(pixels, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(title, fontsize=TEXT)


def check_counts(values: Any, name: str, *, ndim: int) -> Counts:
    """Refuse what is not an array of whole numbers of 0 or more with one row at least."""
    counts = np.asarray(values)
    what = "a matrix of counts (K, K)" if ndim == 2 else "counts (K,)"
    if not np.issubdtype(counts.dtype, np.integer) and counts.size > 0:
        raise TypeError(expected(name, f"{what} of whole numbers", f"dtype {counts.dtype}"))
    square = ndim == 1 or counts.shape[:1] == counts.shape[1:]
    if counts.ndim != ndim or counts.size == 0 or not square:
        raise ValueError(expected(name, what, f"shape {counts.shape}"))
    if counts.min() < 0:
        raise ValueError(expected(name, f"{what} of 0 or more", counts.min()))
    return counts.astype(np.int64)


def class_names(names: Sequence[str] | None, number: int) -> list[str]:
    """Give the names of classes: the given ones, else the diagnoses' codes, else indices."""
    if names is None:
        if number == len(DIAGNOSES):
            return [diagnosis.code for diagnosis in DIAGNOSES]
        return [str(index) for index in range(number)]
    if len(names) != number:
        got = f"{len(names)}: {listed(names)}"
        raise ValueError(expected("names", f"{number} names, one for each class", got))
    return [str(name) for name in names]

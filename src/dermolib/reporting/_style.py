"""How every figure looks: colours that all eyes tell apart, a light grid, no global state."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from dermolib._checks import expected, listed
from dermolib.diagnoses import DIAGNOSES

Counts: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers of 0 or more."""

# Okabe and Ito's palette, told apart by people with any kind of colour blindness
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8C7A00")
FIRST, SECOND = COLORS[0], COLORS[1]

_TEXT = 9
_TITLE = 11


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches whose parts arrange themselves."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def on_axes(axes: Axes | None, *, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Give the axes to draw on and the figure they belong to, both new where None are given."""
    if axes is None:
        figure = new_figure(width, height)
        return figure, figure.add_subplot()
    owner: Any = axes.figure
    while isinstance(owner, SubFigure):
        owner = owner.figure
    return owner, axes


def dress(axes: Axes, *, title: str, x: str, y: str, grid: str = "y") -> None:
    """Give axes their title, their labels and a light grid behind the data."""
    axes.set_title(title, fontsize=_TITLE)
    axes.set_xlabel(x, fontsize=_TEXT)
    axes.set_ylabel(y, fontsize=_TEXT)
    axes.tick_params(labelsize=_TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid in {"x", "both"}:
        axes.xaxis.grid(visible=True, color="0.9", linewidth=0.8)
    if grid in {"y", "both"}:
        axes.yaxis.grid(visible=True, color="0.9", linewidth=0.8)


def add_legend(axes: Axes, **options: Any) -> None:
    """Name what is drawn."""
    axes.legend(fontsize=_TEXT - 1, frameon=False, **options)


def say_no_data(axes: Axes) -> None:
    """Write on empty axes that they are empty for want of data."""
    axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color="0.4")


def show_image(axes: Axes, pixels: npt.NDArray[Any], title: str = "") -> None:
    """Show an image, or a mask as black and white, without ticks."""
    if pixels.dtype == np.bool_:
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(pixels, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(title, fontsize=_TEXT)


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

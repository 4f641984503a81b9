"""Look and words of all figures: colors for everyone, a light grid, names of classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dermolib._validation import listed, printable, require
from dermolib.labels import LABEL_SPACES

# Okabe and Ito's palette, safe for any kind of color blindness
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8C7A00")

CODES = list(LABEL_SPACES["challenge"].codes)
TEXT = 9  # points
SMALL = 8
_TITLE = 11
_PAD = 0.1  # inches


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches, laid out without pyplot."""
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=_PAD, h_pad=_PAD)
    return figure


def axes_or_new(axes: Axes | None, *, width: float = 6.4, height: float = 4.0) -> Axes:
    """Return the given axes, or those of a new figure."""
    if axes is None:
        return new_figure(width, height).add_subplot()
    got, hint = f"an object of type {type(axes).__name__}", "Use `figure.add_subplot()`."
    require(isinstance(axes, Axes), "axes", "matplotlib axes", got, hint, error=TypeError)
    return axes


def style_axes(axes: Axes, *, title: str, xlabel: str = "", ylabel: str = "", grid: str) -> None:
    """Set title, labels, and a light grid behind the data along "x", "y", "both" or "" for none."""
    axes.set_title(printable(title), fontsize=_TITLE, parse_math=False)
    axes.set_xlabel(xlabel, fontsize=TEXT)
    axes.set_ylabel(ylabel, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        if grid in ("both", axis.axis_name):
            axis.grid(visible=True, color="0.9", linewidth=0.8)


def add_legend(axes: Axes, handles: Sequence[Artist], **options: Any) -> None:
    """Add a legend below the axes, where it hides nothing."""
    texts = [str(handle.get_label()) for handle in handles]
    # two longer entries do not fit side by side beneath narrow axes
    columns = 2 if len(texts) > 1 and max(map(len, texts)) <= 24 else 1
    # below the ticks and the label of the axis, in font heights
    options |= {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4.5}
    legend = axes.legend(handles=handles, ncols=columns, fontsize=SMALL, frameon=False, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def annotate_empty(axes: Axes, reason: str = "") -> None:
    """Write "no data", and why, on empty axes."""
    text = f"no data: {reason}" if reason else "no data"
    style: dict[str, Any] = {"color": "0.4", "fontsize": TEXT, "parse_math": False}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **style)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])


def shorten(text: object, width: int) -> str:
    """Fit text in one line by cutting its middle: similar names often differ at their ends."""
    line = printable(" ".join(str(text).split()))
    end = width // 3
    return line if len(line) <= width else f"{line[: width - 1 - end]}…{line[-end:]}"


def plural(number: int, unit: str) -> str:
    """Count units in words: ``1 image``, ``1,200 images``."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


def as_counts(values: Any, name: str, *, ndim: int) -> npt.NDArray[np.int64]:
    """Return a vector (K,) or a square matrix (K, K) of counts; refuse anything else."""
    counts = np.asarray(values)
    what = "a matrix of counts (K, K)" if ndim == 2 else "counts (K,)"
    integer = counts.size == 0 or np.issubdtype(counts.dtype, np.integer)
    require(integer, name, f"{what}, integers", f"dtype {counts.dtype}", error=TypeError)
    fits = counts.size and counts.shape == counts.shape[:1] * ndim
    require(fits, name, what, f"shape {counts.shape}")
    require(counts.min() >= 0, name, f"{what} of 0 or more", counts.min())
    return counts.astype(np.int64)


def class_names(names: Sequence[str] | None, number: int) -> list[str]:
    """Return the names of classes: the given ones, else the codes of eight, else indices."""
    if names is None:
        return CODES if number == len(CODES) else [str(index) for index in range(number)]
    got = f"{len(names)}: {listed(names)}"
    require(len(names) == number, "names", f"{number} names, one per class", got)
    return list(map(printable, names))

"""Reliability diagrams: what was predicted against what was observed."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dermolib.evaluation.calibration import reliability_table
from dermolib.evaluation.predictions import read_predictions
from dermolib.evaluation.support import FEW_GROUPS
from dermolib.reporting._style import (
    COLORS,
    SMALL,
    add_legend,
    axes_or_new,
    plural,
    style_axes,
)

__all__ = ["plot_reliability"]

_WIDTH, _HEIGHT = 4.8, 5.8  # inches
_PALE = "0.88"


def plot_reliability(
    probabilities: Any,
    target: Any,
    *,
    groups: Any = None,
    label: str | int | None = None,
    bins: int = 15,
    kind: str = "confidence",
    level: float = 0.95,
    label_space: Any = None,
    values: str = "probabilities",
    title: str | None = None,
    axes: Axes | None = None,
) -> Figure:
    r"""Draw a reliability diagram: below the diagonal, a model is too confident.

    A point is a bin of images, with the interval of its groups; hollow where these are fewer than
    10. Gray bars are the fraction of the images in each bin of equal width. The calibration error
    and its number of bins are written above.

    Args:
        probabilities: Probabilities (N, K), see `dermolib.evaluation.score`.
        target: True classes (N,), or a data set.
        groups: Group of each image (N,), such as its lesion.
        label: Class, by its code or place, that is judged against the rest; None judges the
            highest probability of each image.
        bins: Number of bins, 1 or more.
        kind: Kind of bins, ``"confidence"`` or ``"adaptive"``, see `reliability_table`.
        level: Level of the intervals, above 0 and below 1.
        label_space: Classes, see `dermolib.evaluation.score`.
        values: What the values are, see `dermolib.evaluation.score`.
        title: Title, such as the name of the model.
        axes: Where to draw; a new figure if None.

    Returns:
        The figure drawn on.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or classes were given in place of probabilities.

    Examples:
        >>> probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
        >>> figure = plot_reliability(probabilities, [0, 1, 1, 0], bins=10)
        >>> figure.axes[0].texts[0].get_text()
        'ECE 0.400 (10 bins)\n4 images'
    """
    given = read_predictions(probabilities, target, groups, label_space, values=values)
    options: dict[str, Any] = {"groups": groups, "label": label, "bins": bins, "level": level}
    options |= {"label_space": label_space, "values": values}
    table = reliability_table(probabilities, target, kind=kind, **options)
    even = reliability_table(probabilities, target, **options)
    axes = axes_or_new(axes, width=_WIDTH, height=_HEIGHT)
    code = given.codes[label] if isinstance(label, (int, np.integer)) else label
    title = title or ("Reliability" if code is None else f"Reliability of {code}")
    xlabel = "highest probability" if code is None else f"probability of {code}"
    style_axes(axes, title=title, xlabel=xlabel, ylabel="observed fraction", grid="both")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    edges = [0, *even["bin_high"]]
    axes.stairs(even["n"] / len(given), edges, fill=True, color=_PALE, zorder=0.6)
    axes.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, zorder=1)
    for few, rows in table[table["n"] > 0].groupby("few"):
        _draw_points(axes, rows, few=bool(few))
    kinds = " of equal size" if kind == "adaptive" else ""
    gap = ((table["predicted"] - table["observed"]).abs() * table["n"]).sum() / len(given)
    several = given.num_groups < len(given)
    lines = (
        f"ECE {gap:.3f} ({plural(len(table), 'bin')}{kinds})",
        plural(len(given), "image") + (f", {plural(given.num_groups, 'group')}" if several else ""),
    )
    # between title and diagram, where no point is
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": SMALL}
    axes.text(0.5, 1.02, "\n".join(lines), transform=axes.transAxes, **style)
    size = axes.title.get_fontsize()
    axes.set_title(axes.get_title(), fontsize=size, pad=32, parse_math=False)
    add_legend(axes, _handles(level, few=bool(table.loc[table["n"] > 0, "few"].any())))
    return axes.figure.figure  # also of axes in a subfigure


def _draw_points(axes: Axes, rows: pd.DataFrame, *, few: bool) -> None:
    """Draw the bins with their intervals; hollow and pale where their groups are few."""
    x, y = rows["predicted"], rows["observed"]
    reach = [y - rows["low"], rows["high"] - y]
    axes.errorbar(
        x,
        y,
        yerr=np.clip(reach, 0, 1),
        fmt="o",
        color=COLORS[0],
        markersize=5,
        markerfacecolor="white" if few else COLORS[0],
        elinewidth=1,
        alpha=0.5 if few else 1,
        clip_on=False,
        zorder=3,
    )


def _handles(level: float, *, few: bool) -> list[Artist]:
    """Make the entries of the legend."""
    style: dict[str, Any] = {"color": COLORS[0], "linestyle": "", "marker": "o", "markersize": 5}
    handles: list[Artist] = [Line2D([], [], **style, label=f"bin, {100 * level:g} % interval")]
    if few:
        label = f"of fewer than {FEW_GROUPS} groups"
        handles.append(Line2D([], [], **style, markerfacecolor="white", alpha=0.5, label=label))
    handles.append(Line2D([], [], linestyle="--", color="0.5", label="perfect calibration"))
    handles.append(Patch(color=_PALE, label="fraction of images"))
    return handles

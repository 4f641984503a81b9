"""Figure of how far drawn artifacts move the predictions of a model."""

import pandas as pd
from matplotlib.axes import Axes

from dermolib._validation import check_choice, check_type, listed, printable, require
from dermolib.reporting._style import COLORS, add_legend, axes_or_new, style_axes

__all__ = ["plot_sensitivity"]

_NEEDED = ("kind", "metric", "class", "value", "low", "high", "covered", "mirrored")
_LABELS = {
    "change": "probability that moves to other classes",
    "top_class": "fraction of images with another most likely class",
}


def plot_sensitivity(
    table: pd.DataFrame,
    *,
    metric: str = "change",
    axes: Axes | None = None,
    title: str = "What drawn artifacts change",
) -> Axes:
    """Draw how far each kind of artifact moves the predictions of a model, the furthest on top.

    A point is the mean of all images with its interval; a hollow diamond the same pixels in the
    color of skin; the dashed line the mirrored image, which means nothing. What lies right of both
    is the look of the artifact.

    Args:
        table: What `dermolib.evaluation.artifact_sensitivity` returns.
        metric: ``"change"``, ``"top_class"``, or the shift of a class, such as ``"shift:MEL"``.
        axes: Axes to draw on; None makes a new figure.
        title: Title.

    Returns:
        The axes.

    Raises:
        TypeError: `table` is not a data frame, or `axes` not axes.
        ValueError: `table` is another table, or has no such metric.

    Examples:
        >>> import numpy as np
        >>> from dermolib.evaluation import artifact_sensitivity
        >>> skin = [np.full((48, 64, 3), (205, 165, 150 + n), np.uint8) for n in range(10)]
        >>> def darkness(images):
        ...     return [float((image.max(axis=2) < 100).mean()) for image in images]
        >>> table = artifact_sensitivity(darkness, skin, kinds=["bubble", "dark_corner"])
        >>> axes = plot_sensitivity(table)
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['bubble', 'dark corner']
    """
    check_type(table, "table", pd.DataFrame, "a table of `artifact_sensitivity`")
    missing = [name for name in _NEEDED if name not in table]
    what = "a table of `artifact_sensitivity`"
    require(not missing and len(table), "table", what, f"one without {listed(missing) or 'rows'}")
    names = table["metric"].str.cat(table["class"], sep=":").str.removesuffix(":")
    check_choice(metric, "metric", dict.fromkeys(names))
    rows = table[names == metric].sort_values("value", key=abs, kind="stable")
    drawn = axes_or_new(axes, width=6.4, height=1.9 + 0.36 * len(rows))
    label = _LABELS.get(metric, f"mean shift of the probability of {metric.partition(':')[2]}")
    style_axes(drawn, title=title, xlabel=printable(label), grid="x")
    places = range(len(rows))
    ends = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    points, *_ = drawn.errorbar(
        rows["value"], places, xerr=ends, fmt="o", color=COLORS[0], capsize=3
    )
    points.set_label("artifact")
    (skin,) = drawn.plot(
        rows["covered"], places, "D", color=COLORS[4], fillstyle="none", label="color of skin"
    )
    line = drawn.axvline(
        rows["mirrored"].iloc[0], color="0.4", linestyle="--", linewidth=1, label="mirrored image"
    )
    drawn.set_yticks(places, [printable(kind).replace("_", " ") for kind in rows["kind"]])
    drawn.set_ylim(-0.6, len(rows) - 0.4)
    drawn.xaxis.get_label().set_parse_math(False)
    if not metric.startswith("shift"):
        drawn.set_xlim(left=0)
    add_legend(drawn, [points, skin, line])
    return drawn

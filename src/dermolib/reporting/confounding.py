"""Figure of what artifacts go with."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from dermolib._validation import check_choice, check_type, listed, require
from dermolib.auditing.confounding import ASSOCIATION_COLUMNS, ASSOCIATIONS
from dermolib.reporting._style import SMALL, TEXT, annotate_empty, axes_or_new, shorten, style_axes

__all__ = ["plot_confounding"]

_LARGEST = 3.0  # log2 of the ratio from which on the color stays the same
# Light at both ends, so that black text can be read on it
_COLORS = LinearSegmentedColormap.from_list("less and more", ["#5AA9E0", "#FFFFFF", "#F2A93B"])
_NAME = 18  # characters of a class or artifact


def plot_confounding(
    associations: pd.DataFrame,
    *,
    by: str = "class",
    axes: Axes | None = None,
    title: str = "Artifacts against all other images",
) -> Axes:
    """Draw how much more or less often each artifact is seen in each class, split or source.

    A cell has the fraction of the images that show the artifact, and the ratio to all other images
    with its interval. It is orange where the artifact is more frequent and blue where it is less,
    the more so the further the ratio is from 1, and bold where that is significant and moderate or
    large.

    Args:
        associations: What `dermolib.auditing.artifact_associations` returns, or the
            ``associations`` of a report of `dermolib.audit`.
        by: What to draw, ``"class"``, ``"split"`` or ``"source"``.
        axes: Axes to draw on; None makes a new figure.
        title: Title.

    Returns:
        The axes.

    Raises:
        TypeError: `associations` is not a table, or `axes` is of another type.
        ValueError: The table has other columns, or `by` is unknown.

    Examples:
        >>> from dermolib.auditing import artifact_associations
        >>> images = pd.DataFrame({"id": range(40), "label": [0] * 20 + [1] * 20})
        >>> patches = pd.DataFrame({"id": range(40), "patches": [0] * 19 + [1] * 21})
        >>> axes = plot_confounding(artifact_associations(patches, images))
        >>> axes.texts[0].get_text().splitlines()[0]
        '100.0%'
    """
    check_choice(by, "by", ASSOCIATIONS)
    what = "a table of `artifact_associations`"
    check_type(associations, "associations", pd.DataFrame, what)
    absent = [name for name in ASSOCIATION_COLUMNS if name not in associations]
    require(not absent, "associations", what, f"one without the columns {listed(absent)}")
    table = associations[associations["by"] == by]
    values, artifacts = [*table["value"].unique()], [*table["artifact"].unique()]
    size: dict[str, float] = {
        "width": 2.2 + 1.15 * max(len(values), 3),
        "height": 1.6 + 0.5 * len(artifacts),
    }
    drawn = axes_or_new(axes, **size)
    style_axes(drawn, title=title, grid="")
    if not len(table):
        annotate_empty(drawn, f"no two values of {by}")
        return drawn
    colors = np.full((len(artifacts), len(values)), np.nan)
    for row in table.to_dict("records"):
        place = artifacts.index(row["artifact"]), values.index(row["value"])
        with np.errstate(divide="ignore"):
            colors[place] = np.log2(row["ratio"])
        _write(drawn, place, row)
    limits: dict[str, Any] = {"vmin": -_LARGEST, "vmax": _LARGEST}
    drawn.imshow(colors.clip(-_LARGEST, _LARGEST), cmap=_COLORS, aspect="auto", **limits)
    images = table.drop_duplicates("value").set_index("value")["images"]
    labels = [f"{shorten(value, _NAME)}\n{images[value]:,} images" for value in values]
    names = [shorten(str(name).replace("_", " "), _NAME) for name in artifacts]
    style: dict[str, Any] = {"fontsize": TEXT, "parse_math": False}
    drawn.set_xticks(range(len(values)), labels, **style)
    drawn.set_yticks(range(len(artifacts)), names, **style)
    drawn.tick_params(length=0)
    drawn.spines[:].set_visible(False)
    drawn.set_xticks(np.arange(1, len(values)) - 0.5, minor=True)
    drawn.set_yticks(np.arange(1, len(artifacts)) - 0.5, minor=True)
    drawn.grid(visible=True, which="minor", color="white", linewidth=2)
    drawn.tick_params(which="minor", length=0)
    return drawn


def _write(axes: Axes, place: tuple[int, int], row: dict[Any, Any]) -> None:
    """Write fraction, ratio and interval into a cell."""
    counts = row["severity"] in ("moderate", "large")
    ratio, low, high = (
        f"{row[name]:#.2g}".rstrip(".") for name in ("ratio", "ratio_low", "ratio_high")
    )
    text = f"{row['fraction']:.1%}\n\N{MULTIPLICATION SIGN}{ratio} ({low}..{high})"
    style: dict[str, Any] = {"fontsize": SMALL - 1, "ha": "center", "va": "center"}
    weight, color = ("bold", "black") if counts else ("normal", "0.35")
    axes.text(place[1], place[0], text, weight=weight, color=color, **style)

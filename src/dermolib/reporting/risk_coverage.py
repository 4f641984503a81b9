"""Figure of risk against coverage."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from dermolib._validation import check_type, printable, require
from dermolib.evaluation.selective import RiskCoverage
from dermolib.reporting._style import COLORS, add_legend, axes_or_new, style_axes

__all__ = ["plot_risk_coverage"]

_LEAST = 0.05  # highest risk that is shown even if all are lower


def plot_risk_coverage(
    curves: RiskCoverage | Mapping[str, RiskCoverage],
    *,
    axes: Axes | None = None,
    title: str = "Risk of the images that are answered",
) -> Axes:
    """Draw the fraction of wrong answers against the fraction of images that are answered.

    Each line has its interval as a band, where 10 lesions or more are answered, and its area with
    interval in the legend.

    Args:
        curves: What `dermolib.evaluation.risk_coverage` returns, or several by name.
        axes: Axes to draw on; None makes a new figure.
        title: Title.

    Returns:
        The axes.

    Raises:
        TypeError: `curves` or `axes` is of another type.
        ValueError: There is no curve.

    Examples:
        >>> from dermolib.evaluation import risk_coverage
        >>> probabilities = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]
        >>> axes = plot_risk_coverage(risk_coverage(probabilities, [0, 0, 1, 0], resamples=100))
        >>> axes.lines[0].get_ydata().tolist()
        [0.0, 0.0, 0.0, 0.25]
    """
    named = {"": curves} if isinstance(curves, RiskCoverage) else curves
    what = "a curve of `risk_coverage`, or a mapping from names to curves"
    check_type(named, "curves", Mapping, what)
    require(named, "curves", "at least one curve", "none")
    for name, curve in named.items():
        check_type(curve, f"curves[{name!r}]", RiskCoverage, "a curve of `risk_coverage`")
    drawn = axes_or_new(axes, width=6.4, height=4.4 + 0.2 * len(named))
    labels = {"xlabel": "coverage: images that are answered", "ylabel": "risk: wrong answers"}
    style_axes(drawn, title=title, **labels, grid="both")
    handles, highest = [], _LEAST
    for number, (name, curve) in enumerate(named.items()):
        table, area, color = curve.table, curve.aurc, COLORS[number % len(COLORS)]
        text = f"area {area.score:.3f} ({area.low:.3f}..{area.high:.3f})"
        text = f"{printable(name)}: {text}" if name else text
        handles += drawn.plot(table["coverage"], table["risk"], color=color, label=text)
        sure = table[~table["few"]]
        band: dict[str, Any] = {"color": color, "alpha": 0.18, "linewidth": 0}
        drawn.fill_between(sure["coverage"], sure["low"], sure["high"], **band)
        highest = max(highest, table["risk"].max(), sure["high"].max() if len(sure) else 0)
    drawn.set(xlim=(0, 1), ylim=(0, min(1, 1.05 * highest)))
    for axis in (drawn.xaxis, drawn.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    add_legend(drawn, handles)
    return drawn

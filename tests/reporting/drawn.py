"""What a figure shows, as text and numbers."""

import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def steps(axes: Axes) -> list[Any]:
    return [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def figure_of(axes: Axes) -> Figure:
    figure = axes.figure.figure
    assert isinstance(figure, Figure)
    return figure


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written on a figure, and where; ticks beyond the end of an axis are not drawn."""
    figure.draw_without_rendering()
    beyond = {
        text
        for axes in figure.findobj(Axes)
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for text in (tick.label1, tick.label2)
    }
    found = [text for text in figure.findobj(Text) if text not in beyond and text.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in found if text.get_text()]


def assert_readable(figure: Figure) -> None:
    """No text is drawn over another one or over the edge of the figure."""
    drawn = drawn_texts(figure)
    overlapping = [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(drawn, 2)
        if first.padded(-1).overlaps(second.padded(-1))
    ]
    whole = figure.bbox.padded(1)
    outside = [text for text, box in drawn if not all(whole.contains(*xy) for xy in box.corners())]
    assert overlapping == []
    assert outside == []

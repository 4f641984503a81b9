"""Horizontal bars: the share of each word, its number beside, for one set or several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from dermolib.reporting._sets import UNKNOWN
from dermolib.reporting._style import (
    COLORS,
    TEXT,
    add_legend_below,
    dress,
    on_axes,
    one_line,
    plural,
    say_no_data,
)

_MOST = 24  # words with bars of their own
_FEWEST = 5  # words that fill the axes
_LONGEST = 40  # letters of a word
_ROOM = 1.3  # for the numbers beside the bars


@dataclass(frozen=True)
class Bars:
    """What a figure of bars shows.

    Attributes:
        title: What stands above.
        unit: What is counted, singular.
        words: Words in the order of their bars.
        names: Name of each set, "" for one alone.
        counts: Number of each word, for each set; empty for a set of which nothing is known.
        notes: What the legend says of each set beside its size.
        y: What the words are, where the title does not say so.
    """

    title: str
    unit: str
    words: list[str]
    names: list[str]
    counts: list[Counter[str]]
    notes: list[str]
    y: str = ""

    @property
    def height(self) -> float:
        """Height of axes in which no bar touches the number of the next, in inches."""
        return max(_FEWEST, len(self.words)) * max(0.27, 0.17 * len(self.names) + 0.06)

    @property
    def legend_height(self) -> float:
        """Height of the legend, in inches."""
        return 0.2 * len(self.names) if self.names != [""] else 0.0


def folded(bars: Bars) -> Bars:
    """Join the words beyond the first 23 in one bar, but for the unknown ones."""
    words = [word for word in bars.words if word != UNKNOWN]
    if len(words) <= _MOST:
        return bars
    kept, rest = words[: _MOST - 1], words[_MOST - 1 :]
    joined = f"{len(rest)} others"
    counts = []
    for counted in bars.counts:
        fewer = Counter({word: counted[word] for word in [*kept, UNKNOWN]})
        fewer[joined] = sum(counted[word] for word in rest)
        counts.append(fewer)
    unknown = [UNKNOWN] if UNKNOWN in bars.words else []
    return replace(bars, words=[*kept, joined, *unknown], counts=counts)


def draw_bars(bars: Bars, axes: Axes | None) -> Axes:
    """Draw a bar for each word and set; all images of a set are 100 %."""
    bars = folded(bars)
    _, axes = on_axes(axes, height=bars.height + bars.legend_height + 1.0)
    totals = [counts.total() for counts in bars.counts]
    dress(axes, title=bars.title, x=_share_of(bars, totals), y=bars.y, grid="x")
    if not any(totals):
        say_no_data(axes, ", ".join(dict.fromkeys(note for note in bars.notes if note)))
        return axes
    # a set of which nothing is known stands in the legend alone
    drawn = [number for number, total in enumerate(totals) if total]
    places, thickness = np.arange(len(bars.words)), 0.8 / len(drawn)
    for slot, number in enumerate(drawn):
        counts, total = bars.counts[number], totals[number]
        shift = (slot - (len(drawn) - 1) / 2) * thickness
        shares = [100 * counts[word] / total for word in bars.words]
        patches = axes.barh(places + shift, shares, 0.95 * thickness, color=COLORS[number])
        pairs = zip(bars.words, shares, strict=True)
        texts = [f"{counts[word]:,} ({share:.1f} %)" for word, share in pairs]
        axes.bar_label(patches, texts, fontsize=TEXT - 1, padding=3)
    axes.set_yticks(places, [one_line(word, _LONGEST) for word in bars.words], parse_math=False)
    # few bars are no thicker than those of other figures
    beside = max(0, _FEWEST - len(places)) / 2
    axes.set_ylim(len(places) - 0.5 + beside, -0.5 - beside)
    axes.set_xlim(0, _ROOM * axes.dataLim.xmax)
    if bars.names != [""]:
        add_legend_below(axes, _entries(bars, totals))
    return axes


def _share_of(bars: Bars, totals: Sequence[int]) -> str:
    if bars.names != [""] or not totals[0]:
        return f"share of {bars.unit}s (%)"
    # in a line of its own: the layout does not see how long a label is
    note = f"\n{bars.notes[0]}" if bars.notes[0] else ""
    return f"share of {plural(totals[0], bars.unit)} (%){note}"


def _entries(bars: Bars, totals: Sequence[int]) -> list[Patch]:
    entries = []
    for name, total, note, color in zip(bars.names, totals, bars.notes, COLORS, strict=False):
        size = [plural(total, bars.unit)] if total or not note else []
        text = "; ".join([*size, note] if note else size)
        entries.append(Patch(color=color, label=f"{one_line(name)} ({text})"))
    return entries

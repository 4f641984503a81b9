"""The tables on the page of an audit: classes, gaps, sizes and shifts."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dermolib.auditing.words import WIDTH, aligned, images, percent, plain
from dermolib.labels import DIAGNOSES

__all__ = ["class_lines", "gap_lines", "shift_lines", "size_lines"]

_ACROSS = 4  # sides beside each other, so that a line has its width
_LONGEST = 14
_SIZES = 5
_LEGEND = (
    "Distance: 0 alike, 1 nothing in common; for ages the largest gap between the shares up to an "
    "age (Kolmogorov-Smirnov), else the share of images that would have to change their value "
    "(total variation). By chance: what 95 of 100 random splits by patient, lesion or image stay "
    "within. Beyond chance, a distance is small below 0.05 and large from 0.15 on. p: share of "
    "random splits that reach the distance."
)


def class_lines(counts: pd.DataFrame) -> list[str]:
    """Show how many images of each class each side has."""
    names = {diagnosis.code: diagnosis.name for diagnosis in DIAGNOSES}
    lines: list[str] = []
    for chosen in _blocks(list(counts.columns)):
        part = counts[chosen]
        if not part.loc["unknown"].any():
            part = part.drop(index="unknown")
        known = part.drop(index="unknown", errors="ignore").sum()
        rows = [["", "", *[plain(name, _LONGEST) for name in chosen]]]
        for code, row in part.iterrows():
            cells = [_class_cell(str(code), int(row[name]), int(known[name])) for name in chosen]
            word = "no label" if code == "unknown" else names.get(str(code), "")
            rows.append(["" if code == "unknown" else str(code), word, *cells])
        lines += aligned(rows, left=2)
    return lines


def _class_cell(code: str, count: int, known: int) -> str:
    if code == "unknown":
        return f"{count:,}         "
    return f"{count:,} {f'({percent(count, known)})':>8}" if known else "-"


def gap_lines(gaps: pd.DataFrame) -> list[str]:
    """Show how many rows lack each piece of metadata."""
    sides = list(dict.fromkeys(gaps["side"]))
    columns = list(dict.fromkeys(gaps["column"]))
    cells = {
        (side, column): (int(missing), int(total))
        for side, column, missing, total in gaps.itertuples(index=False)
    }
    lines: list[str] = []
    for chosen in _blocks(sides):
        rows = [["", *[plain(name, _LONGEST) for name in chosen]]]
        for column in columns:
            rows.append([column, *[_gap_cell(*cells[side, column]) for side in chosen]])
        lines += aligned(rows)
    return lines


def _gap_cell(missing: int, total: int) -> str:
    if missing == total:
        return "all lack it" if total else "-"
    return f"{missing:,} {f'({percent(missing, total)})':>8}" if missing else "none"


def size_lines(sizes: pd.DataFrame, sides: Sequence[str]) -> list[str]:
    """Show the most frequent sizes of each side, in pixels."""
    lines: list[str] = []
    for side in sides:
        part = sizes[sizes["side"] == side]
        total = int(part["images"].sum())
        if not total:
            continue
        kinds = "1 kind" if len(part) == 1 else f"{len(part):,} kinds"
        lines.append(f"  {plain(side)}: {images(total)} of {kinds}")
        rows = [
            [f"  {images(count)}", f"{width:,} x {height:,} px, {mode}, {form}"]
            for height, width, mode, form, count in part.head(_SIZES)[
                ["height", "width", "mode", "format", "images"]
            ].itertuples(index=False)
        ]
        lines += aligned(rows, left=2)
        if len(part) > _SIZES:
            rest = part.iloc[_SIZES:]
            lines.append(f"    {images(int(rest['images'].sum()))} of {len(rest):,} other kinds")
    return [*lines, "  Width x height."] if lines else ["  no file was read"]


def shift_lines(shifts: pd.DataFrame) -> list[str]:
    """Show how far sides are from each other, and read it in words."""
    if shifts.empty:
        return ["  nothing to compare"]
    lines: list[str] = []
    for (first, second), part in shifts.groupby(["first", "second"], sort=False):
        lines.append(f"  {plain(first)} and {plain(second)}:")
        rows = [["", "distance", "by chance", "p"]]
        readings = [""]
        for row in part.to_dict("records"):
            chance = "-" if math.isnan(row["chance"]) else f"{row['chance']:.3f}"
            p_value = "-" if math.isnan(row["p_value"]) else f"{row['p_value']:.3f}"
            rows.append([f"  {row['column']}", f"{row['distance']:.3f}", chance, p_value])
            readings.append(_reading(row))
        table = aligned(rows)
        widest = max(map(len, table)) + 2
        for line, reading in zip(table, readings, strict=True):
            lines += _beside(line.ljust(widest), reading)
    return [*lines, *textwrap.wrap(_LEGEND, WIDTH, initial_indent="  ", subsequent_indent="  ")]


def _beside(begin: str, words: str) -> Iterator[str]:
    wrapped = textwrap.wrap(words, WIDTH - len(begin)) or [""]
    yield f"{begin}{wrapped[0]}".rstrip()
    yield from (f"{' ' * len(begin)}{line}" for line in wrapped[1:])


def _reading(row: Mapping[Any, Any]) -> str:
    words = {
        "none": "no more than chance",
        "small": "a small shift",
        "moderate": "a moderate shift",
        "large": "a large shift",
    }
    begin = words[row["reading"]]
    if row["column"] == "age":
        return f"{begin}; medians {row['first_median']:g} and {row['second_median']:g} years"
    if row["reading"] == "none":
        return begin
    shares = f"{row['first_share']:.1%} and {row['second_share']:.1%}".replace("%", " %")
    return f"{begin}; most in {plain(row['largest'])}: {shares}"


def _blocks(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + _ACROSS] for start in range(0, len(names), _ACROSS))

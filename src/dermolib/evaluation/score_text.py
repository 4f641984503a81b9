"""Tables of scores as text: for a terminal or log, and in Markdown."""

import textwrap
from collections.abc import Iterable
from typing import Any, TypeAlias

import pandas as pd

from dermolib._validation import printable

__all__ = ["counted", "markdown_text", "notes_on", "terminal_text"]

_WIDTH = 100
_OFTEN = 0.05  # fraction of resamples without a score that is worth a mark

_Row: TypeAlias = Any  # of `DataFrame.itertuples`
_Column: TypeAlias = list[str]


def terminal_text(table: pd.DataFrame, title: str, notes: Iterable[str]) -> str:
    """Lay out a table of scores within 100 columns, that of the classes in blocks.

    Args:
        table: See `dermolib.evaluation.Scores`; what is undefined for all classes is left out.
        title: First line.
        notes: Sentences below.
    """
    table = table.rename(columns={"class": "code"})
    overall = [row for row in _rows(table[table["code"] == ""]) if not row.reason]
    parts = [_wrap([title]), _block([[row.metric for row in overall], [*map(_cell, overall)]])]
    classes = table[table["code"] != ""]
    defined = classes[classes["reason"] == ""]["metric"]
    names = [name for name in classes["metric"].unique() if name in set(defined)]
    codes = classes[classes["metric"] == "f1"]  # which all classes have
    columns = [_class_column(classes, name, codes["code"]) for name in names]
    labels = [["class", *map(printable, codes["code"])]]
    counts = [[name, *(f"{x:,}" for x in codes[own])] for name, own in _COUNTS]
    parts += [_block(block) for block in _packed(labels, [*counts, *columns])]
    parts += [_wrap(notes)]
    return "\n\n".join(part for part in parts if part)


_COUNTS = (("images", "n"), ("groups", "groups"))


def markdown_text(table: pd.DataFrame, title: str, notes: Iterable[str]) -> str:
    """Write a table of scores in Markdown, a row for each.

    Args:
        table: See `dermolib.evaluation.Scores`.
        title: Sentence above.
        notes: Sentences below, a paragraph each.
    """
    head = "| score | class | value | interval | images | groups |\n|:--|:--|--:|:--|--:|--:|"
    rows = [
        f"| {row.metric} | {_escape(row.code)} | {_value(row)} | {_ends(row)}{_marks(row)} "
        f"| {row.n:,} | {row.groups:,} |"
        for row in _rows(table.rename(columns={"class": "code"}))
    ]
    return "\n\n".join([_escape(title), "\n".join([head, *rows]), *map(_escape, notes)]) + "\n"


def counted(number: int, noun: str) -> str:
    """Write a number of things.

    Examples:
        >>> counted(1, "image"), counted(7528, "image")
        ('1 image', '7,528 images')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def notes_on(table: pd.DataFrame) -> list[str]:
    """Explain the marks of a table, and why scores are undefined."""
    notes = []
    shown = table[table["reason"] == ""]
    if shown["few"].any():
        notes.append("* Based on fewer than 10 groups: the interval may well be too narrow.")
    if (shown["undefined"] > _OFTEN).any():
        often = f"more than {_OFTEN:.0%} of the resamples".replace("%", " %")
        notes.append(f"! Undefined in {often}, which the interval leaves out.")
    for reason, rows in table[table["reason"] != ""].groupby("reason", sort=False):
        because = f"there is {reason}" if str(reason).startswith("no image") else str(reason)
        because = _BECAUSE.get(because, because)
        notes.append(f"Undefined, as {because}: {', '.join(dict.fromkeys(rows['metric']))}.")
    return notes


_BECAUSE = {
    "needs probabilities, not classes": "classes were given, not probabilities",
    "needs probabilities that sum to 1": "probabilities do not sum to 1",
    "one class alone": "all images are of one class",
}


def _rows(table: pd.DataFrame) -> list[_Row]:
    """List the rows of a table."""
    return [*table.itertuples()]


def _value(row: _Row) -> str:
    return "undefined" if row.reason else f"{row.value:.3f}"


def _ends(row: _Row) -> str:
    known = row.low == row.low
    return "" if row.reason else f"{row.low:.3f}-{row.high:.3f}" if known else "no interval"


def _marks(row: _Row) -> str:
    """Mark a score that few groups are behind, or that is often undefined."""
    marks = "*" * bool(row.few) + "!" * (row.undefined > _OFTEN)
    return "" if row.reason else marks


def _cell(row: _Row) -> str:
    """Write a score with its interval and marks."""
    return _value(row) if row.reason else f"{_value(row)} ({_ends(row)}){_marks(row)}"


def _class_column(classes: pd.DataFrame, name: str, codes: Iterable[str]) -> _Column:
    """Write the scores of all classes by one metric, empty where a class has none."""
    rows = _rows(classes[classes["metric"] == name])
    cells = {row.code: _cell(row) for row in rows}
    return [name, *(cells.get(code, "") for code in codes)]


def _packed(labels: list[_Column], columns: list[_Column]) -> list[list[_Column]]:
    """Deal columns out to blocks that are narrow enough, each beginning with the labels."""
    blocks: list[list[_Column]] = []
    for column in columns:
        if not blocks or _width([*blocks[-1], column]) > _WIDTH:
            blocks.append([*labels])
        blocks[-1].append(column)
    return blocks


def _width(columns: list[_Column]) -> int:
    """Compute the width of columns with two blanks between."""
    return sum(max(map(len, column), default=0) + 2 for column in columns) - 2


def _block(columns: list[_Column]) -> str:
    """Write columns next to each other; numbers end their column, rows without scores go."""
    widths = [max(map(len, column), default=0) for column in columns]
    rows = [row for row in zip(*columns, strict=True) if any(row[1:])]
    lines = []
    for row in rows:
        cells = [
            text.rjust(width) if text.replace(",", "").isdigit() else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _wrap(sentences: Iterable[str]) -> str:
    """Break sentences into lines."""
    return "\n".join(textwrap.fill(printable(one), _WIDTH) for one in sentences)


def _escape(text: str) -> str:
    """Write text so that Markdown shows it as it is."""
    for sign in "\\|*_`<":
        text = text.replace(sign, f"\\{sign}")
    return printable(text)

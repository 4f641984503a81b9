"""The page of an audit, as text or HTML from one template."""

import base64
import hashlib
import math
import re
import textwrap
from functools import partial
from importlib.resources import files
from itertools import combinations, count
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from dermolib import __version__
from dermolib._validation import listed, printable
from dermolib.auditing.quality import QUALITY_FLAGS
from dermolib.auditing.thumbnails import Thumbnails, arrange
from dermolib.labels import label_space_of

__all__ = ["percent", "render", "select", "short"]

_WIDTH = 100  # columns of the text
_ACROSS = 4  # splits beside each other in text
_MOST = 5  # examples of each finding
_CLASSES = 100  # classes of the table
_VALUES = 24  # classes, splits or sources that artifacts are shown for
_NAME = 14  # characters of the name of a split in the head of a table
_MAX_BYTES = 16_000_000  # of all pictures of a page, which a browser still opens at once
_NOT_PICTURED = {
    "missing", "unreadable", "empty split", "no id", "duplicate id", "impossible value",
    "multiple patients",
}  # fmt: skip
_BY = {
    "lesion": "same lesion",
    "patient": "same patient",
    "id": "same id",
    "origin": "augmented copies",
    "identical": "identical file",
    "near": "near-duplicate",
    "recapture": "lesion under two ids",
    "shared skin": "neighboring lesion",
    "any": "any of these",
}

_Rows: TypeAlias = list[list[str]]


def render(report: Any, form: str, *, most: int = 0) -> str:
    """Render the page of an `AuditReport`, whose module imports this one, as text or HTML.

    HTML shows pictures of up to `most` rows of each finding.
    """
    from jinja2 import (  # only a page needs it
        Environment,
        PackageLoader,
        StrictUndefined,
        select_autoescape,
    )

    environment = Environment(
        loader=PackageLoader("dermolib.auditing", "templates"),
        autoescape=select_autoescape(default=form == "html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    thumbnails = Thumbnails(report.files[: len(report.files) * bool(most)], limit=_MAX_BYTES)
    script = files("dermolib.auditing").joinpath("templates/page.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    environment.filters |= {
        "align": _align,
        "anchor": _anchor,
        "code": _code,
        "fill": _fill,
        "heat_rows": _heat_rows,
        "short": short,
    }
    environment.tests["pictured"] = lambda kind: kind not in _NOT_PICTURED
    environment.globals |= {
        "arrange": arrange,
        "associations": _associations,
        "classes": _classes,
        "combinations": combinations,
        "contents": _contents,
        "flagged": _flagged,
        "leaks": _leaks,
        "limit_bytes": _MAX_BYTES,
        "listed": listed,
        "missing": _missing,
        "most": _MOST,
        "most_pictures": most,
        "named_artifact": _named,
        "next": partial(next, count(1)),
        "placed": _placed,
        "script": script,
        "script_digest": base64.b64encode(digest).decode("ascii"),
        "select": select,
        "shifts": _shifts,
        "strongest": _strongest,
        "thumbnails": thumbnails,
        "version": __version__,
        "zip": zip,
    }
    page = environment.get_template("report.jinja").render(report=report, form=form)
    page = printable(page.rstrip(), keep="\n")
    if not thumbnails.shown:
        return page
    start, end, rest = page.rpartition("</body>")
    # Base64 is printable, and 20 MB of it take seconds to look through
    return f"{start}{_definitions(thumbnails)}{end}{rest}"


def _definitions(thumbnails: Thumbnails) -> str:
    """Write the pictures, each once, however many pairs it is in."""
    pictures = "\n".join(
        f'<image id="{one.name}" width="{one.width}" height="{one.height}" '
        f'preserveAspectRatio="none" href="{one.uri}"/>'
        for one in thumbnails.shown
    )
    return f'<svg class="defs" aria-hidden="true"><defs>\n{pictures}\n</defs></svg>\n'


def _anchor(title: str) -> str:
    """Turn a title into a name that a link can have."""
    return "-".join(title.split(" (")[0].lower().split())


def _contents(report: Any) -> list[tuple[str, int | None]]:
    """List the sections, and how many findings each has."""
    counts = report.counts
    recaptures = len(report.recaptures) if "recaptures" in report.checked else None
    confounding = counts["confounding"] if "artifacts" in report.checked else None
    return [
        ("Data leakage between splits", counts["leaks"]),
        ("Second photographs of one lesion", recaptures),
        ("Conflicting labels", counts["conflicts"]),
        ("Duplicates within a split", counts["duplicates"]),
        ("Files and rows", counts["files"] + counts["rows"]),
        ("Image quality", counts["quality"]),
        ("Classes", None),
        ("Missing metadata", counts["metadata"]),
        ("Image sizes", None),
        ("Distribution shift between splits", counts["shift"]),
        ("Artifacts and what they go with", confounding),
        ("Not checked", len(report.unchecked)),
    ]


def _placed(row: dict[str, Any]) -> str:
    """Say how the second photograph was taken in comparison with the first."""
    turned = round(abs((row["angle"] + 180) % 360 - 180))
    return f"zoom {row['scale']:.2f}, turned {turned}°"


def _code(words: str) -> str:
    """Set names of functions in HTML as code."""
    from markupsafe import Markup, escape  # as jinja2, which needs it

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704 - escaped


def _fill(words: str, indent: int = 0) -> str:
    """Wrap a paragraph of the text page."""
    hang = " " * (indent + 2 if indent else 0)
    return textwrap.fill(words, _WIDTH, initial_indent=" " * indent, subsequent_indent=hang)


def _align(rows: _Rows, indent: int, left: int) -> str:
    """Align a text table: `left` columns to the left, then up to four others beside each other."""
    lines = []
    for start in range(left, len(rows[0]), _ACROSS):
        part = [[*row[:left], *row[start : start + _ACROSS]] for row in rows]
        widths = [max(map(len, column)) for column in zip(*part, strict=True)]
        for row in part:
            cells = [
                cell.ljust(width) if place < left else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(f"{' ' * indent}{'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def short(text: object, most: int = 40) -> str:
    """Shorten a text and replace control characters, which may move a cursor."""
    shown = "".join(one if one.isprintable() else "?" for one in str(text))
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def percent(count: int, total: int) -> str:
    """Format a fraction so that neither a trace becomes 0% nor a gap disappears in 100%."""
    if not 0 < count < total:
        return f"{100 * (count > 0)}%"
    return f"{min(max(100 * count / total, 0.1), 99.9):.1f}%"


def _cell(count: int, total: int) -> str:
    return f"{count:,} {f'({percent(count, total)})':>7}" if count else "0"


def select(table: pd.DataFrame, /, **values: Any) -> pd.DataFrame:
    """Choose the rows with these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _leaks(report: Any, first: str, second: str) -> _Rows:
    """Tabulate how many images two splits share, by what."""
    leaks = select(report.leaks, first=first, second=second).to_dict("records")
    counts = {row["by"]: (row["first_images"], row["second_images"]) for row in leaks}
    gaps = report.missing_values
    gaps = gaps[gaps["split"].isin([first, second]) & (gaps["missing"] == gaps["images"])]
    totals = report.splits[first], report.splits[second]
    rows = [["images shared, by", short(first, _NAME), short(second, _NAME)]]
    for by, words in _BY.items():
        if by not in counts:
            rows.append([words, *["not checked"] * 2])
        elif by in set(gaps["column"]):
            rows.append([words, *["unknown"] * 2])
        else:
            rows.append([words, *(_cell(*one) for one in zip(counts[by], totals, strict=True))])
    return rows


def _classes(counts: pd.DataFrame) -> _Rows:
    """Tabulate how many images of each class each split has."""
    space = label_space_of(counts)
    names = {
        code: name for code, name in zip(space.codes, space.names, strict=True) if code != name
    }
    rows = [["", "", *(short(name, _NAME) for name in counts)]]
    known = counts.drop(index="unknown")
    labeled, more = known.sum(), len(known) - _CLASSES
    for code, row in known[:_CLASSES].iterrows():
        cells = [_cell(*one) if one[1] else "-" for one in zip(row, labeled, strict=True)]
        rows.append([str(code), names.get(str(code), ""), *cells])
    if more > 0:
        others = zip(known[_CLASSES:].sum(), labeled, strict=True)
        rows.append(["", f"{more:,} more classes", *(_cell(*one) for one in others)])
    unknown = list(counts.loc["unknown"])
    return rows + [["", "no label", *(f"{count:,}{' ' * 8}" for count in unknown)]] * any(unknown)


def _missing(gaps: pd.DataFrame) -> _Rows:
    """Tabulate how many rows of each split miss each piece of metadata."""
    rows = [["", *(short(name, _NAME) for name in gaps["split"].unique())]]
    for column, part in gaps.groupby("column", sort=False):
        counts = zip(part["missing"], part["images"], strict=True)
        rows.append(
            [str(column), *("all missing" if 0 < n == m else _cell(n, m) for n, m in counts)]
        )
    return rows


def _flagged(report: Any) -> list[tuple[str, str, pd.DataFrame]]:
    """List the images of each split with each flag of `AuditReport.flagged`, the worst first."""
    found = report.flagged
    parts = []
    for split in report.splits:
        for flag in QUALITY_FLAGS[1:]:
            here = [flag in some for some in found["flags"]]
            rows = select(found[np.array(here, np.bool_)], split=split)
            rows = rows.sort_values([flag, "id"], ascending=[False, True], kind="stable")
            captions = [f"score {score:.2f}" for score in rows[flag]]
            parts.append((split, flag.replace("_", " "), rows.assign(caption=captions)))
    return [part for part in parts if len(part[2])]


def _shifts(shifts: pd.DataFrame) -> _Rows:
    """Tabulate the shifts of a pair of splits."""
    rows = [["", "", "distance", "null 95%", "p"]]
    for row in shifts.to_dict("records"):
        words = f"{row['severity']} shift" if row["severity"] != "none" else "not significant"
        if row["column"] == "age":
            words += f"; medians {row['first_median']:g} and {row['second_median']:g} years"
        elif row["severity"] != "none":
            fractions = f"{row['first_fraction']:.1%} and {row['second_fraction']:.1%}"
            words += f"; most in {short(row['category'], 24)}: {fractions}"
        numbers = (row["distance"], row["null_quantile"], row["p_value"])
        cells = ["-" if math.isnan(number) else f"{number:.3f}" for number in numbers]
        rows.append([row["column"], words, *cells])
    return rows


def _named(artifact: object) -> str:
    """Write the name of an artifact in words."""
    return short(str(artifact).replace("_", " "))


def _times(ratio: float) -> str:
    """Format a ratio in two figures; a huge one, of very few images, says no more than that."""
    if math.isnan(ratio):
        return "-"
    if 1000 < ratio < math.inf:
        return "1,000+"
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 20 else f"{ratio:,.0f}"


def _associations(report: Any, by: str) -> dict[str, Any]:
    """Tabulate the ratios of artifacts (rows) for the values of a column."""
    table = select(report.associations, by=by)
    values, more = [*table["value"].unique()], 0
    if len(values) > _VALUES:
        values, more = values[:_VALUES], len(values) - _VALUES
    rows = []
    for artifact, part in table.groupby("artifact", sort=False):
        found = part.set_index("value").to_dict("index")
        overall = float(report.artifacts[str(artifact)].mean())
        cells = [_association(found[value]) if value in found else {} for value in values]
        rows.append({"name": _named(artifact), "overall": f"{overall:.1%}", "cells": cells})
    return {"values": [*map(short, values)], "rows": rows, "more": more}


def _association(row: Any) -> dict[str, str]:
    """Word the cell of an association."""
    counts = row["severity"] in ("moderate", "large")
    direction = "more" if row["difference"] > 0 else "less"
    return {
        "fraction": f"{row['fraction']:.1%}",
        "ratio": _times(row["ratio"]),
        "ends": f"{_times(row['ratio_low'])} to {_times(row['ratio_high'])}",
        "mark": "*" if counts else "",
        "state": f"{direction} {row['severity']}" if row["severity"] != "none" else "unsure",
    }


def _heat_rows(found: dict[str, Any]) -> _Rows:
    """Tabulate associations as text."""
    rows = [["", "all", *found["values"]]]
    for row in found["rows"]:
        cells = [
            f"{cell['mark']}{cell['ratio']} ({cell['ends']})" if cell else "-"
            for cell in row["cells"]
        ]
        rows.append([row["name"], row["overall"], *cells])
    return rows


def _strongest(report: Any, by: str) -> pd.DataFrame:
    """List the associations that count, those first whose ratio is surely far from 1."""
    table = select(report.associations, by=by)
    table = table[table["severity"].isin(["moderate", "large"])]
    less = table["difference"] < 0
    nearest = table["ratio_low"].where(~less, 1 / table["ratio_high"])
    order = table.assign(nearest=nearest, large=table["severity"] == "large")
    return order.sort_values(["large", "nearest"], ascending=False, kind="stable")

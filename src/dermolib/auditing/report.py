"""What an audit found: tables, a page as text or HTML, JSON, and an exit code."""

import json
import math
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from typing import Any, TypeAlias

import pandas as pd

from dermolib._validation import (
    PathLike,
    as_path,
    check_number,
    listed,
    printable,
    require,
    to_python,
)
from dermolib.auditing.images import BLANK, MASK_STATES
from dermolib.io import whole_file
from dermolib.labels import label_space_of

__all__ = ["DEFAULT_FINDINGS", "FINDINGS", "AuditReport"]

FINDINGS: tuple[str, ...] = (
    "leaks", "conflicts", "duplicates", "files", "rows", "metadata", "shift",
)  # fmt: skip
"""Findings that can make an audit fail."""

DEFAULT_FINDINGS: tuple[str, ...] = FINDINGS[:5]
"""Findings that fail an audit by default; all are faults, none may be intended."""

_FORMAT = "dermolib-audit-1"
_WIDTH = 100  # columns of the page
_ACROSS = 4  # splits beside each other in text
_MOST = 5  # examples of each finding
_CLASSES = 100  # classes of the table
_NAME = 14  # characters of the name of a split in the head of a table
_BY = {
    "lesion": "same lesion",
    "patient": "same patient",
    "id": "same id",
    "origin": "augmented copies",
    "identical": "identical file",
    "near": "near-duplicate",
    "any": "any of these",
}
_NEEDS = {"conflicts": "labels", "duplicates": "duplicates", "files": "images"}
_FILES = ("missing", "unreadable")
_MASKS = MASK_STATES[2:]
_FILE_KINDS = (*_FILES, BLANK, *_MASKS)
_CLAUSES = {
    "conflicts": "conflicting labels",
    "duplicates": "duplicate pairs within a split",
    "files": "missing or unreadable files",
    "rows": "faulty rows",
    "metadata": "metadata columns with missing values",
    "shift": "shifted distributions",
}

_Rows: TypeAlias = list[list[str]]


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """What `audit` found; as text, a page for a person to read.

    Tables name splits in the columns ``first`` and ``second``, ``split`` or ``splits``.

    Attributes:
        splits: Number of images of each split.
        leaks: How many images of two splits share something: ``first_images`` and
            ``second_images`` ``by`` ``"lesion"``, ``"patient"``, ``"id"``, ``"origin"``,
            ``"identical"``, ``"near"`` or ``"any"``.
        shared_lesions: Lesions in two splits: ``lesion``, ``first_ids``, ``second_ids`` and their
            numbers, ``first_count`` and ``second_count``.
        shared_patients: Patients in two splits, likewise.
        shared_ids: Ids in two splits, likewise.
        shared_origins: Images in two splits of which one is an augmented copy of the other, or both
            of a third, likewise.
        duplicates: Pairs of images that show the same, within a split or between two: ids, lesions
            and classes; ``kind`` is ``"identical"`` (to the byte) or ``"near"``, ``distance`` that
            of their hashes, ``relation`` ``"same lesion"``, ``"different lesions"`` or ``"lesion
            unknown"``. Of many identical files each is paired with the first of its split, class
            and diagnosis.
        conflicts: Conflicting labels of one ``"lesion"``, ``"image"``, or pair of ``"identical"``
            or ``"near"`` duplicates (``kind``): ``lesion``, ``ids``, ``splits``, ``classes`` (the
            diagnosis as published of an image without a label), ``distance``.
        problems: Files that are ``"missing"`` or ``"unreadable"`` (``kind``), images and masks that
            are a ``"blank image"``, ``"empty mask"``, ``"full mask"``, ``"missing mask"`` or
            ``"unreadable mask"``, and rows of the kinds
            ``"empty split"``, ``"no id"``, ``"duplicate id"``, ``"impossible value"`` and
            ``"multiple patients"``: ``id``, ``image_path``, ``reason``, ``detail``.
        notes: Remarks on files that are read nevertheless: ``id``, ``image_path``, ``note``.
        class_counts: Images of each class (row) in each split (column); ``unknown`` last.
        missing_values: Number of ``images`` and of those with ``missing`` value, by ``column``.
        sizes: Number of ``images`` of each ``height``, ``width``, ``mode`` and ``format``.
        shifts: How far two splits differ in each ``column``: ``distance`` in 0..1 by ``measure``,
            ``null_quantile`` (95 % quantile of the distance between random splits by patient,
            lesion or image), ``p_value``, ``severity`` (``"none"``, ``"small"``, ``"moderate"`` or
            ``"large"``), number of values in each split, medians of ages, and the category whose
            fractions differ most.
        files: ``state``, ``height``, ``width``, ``size`` in bytes, ``mode`` and ``format`` of each
            file.
        checked: ``"labels"`` where any label or diagnosis is known, ``"images"`` where files were
            read, ``"duplicates"`` where images were compared, ``"masks"`` where masks were read.
        unchecked: What was not checked, in sentences.
        fail_on: Findings that make the exit code 1.
    """

    splits: dict[str, int]
    leaks: pd.DataFrame
    shared_lesions: pd.DataFrame
    shared_patients: pd.DataFrame
    shared_ids: pd.DataFrame
    shared_origins: pd.DataFrame
    duplicates: pd.DataFrame
    conflicts: pd.DataFrame
    problems: pd.DataFrame
    notes: pd.DataFrame
    class_counts: pd.DataFrame
    missing_values: pd.DataFrame
    sizes: pd.DataFrame
    shifts: pd.DataFrame
    files: pd.DataFrame
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    fail_on: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind in `FINDINGS`.

        Duplicates are those within a split that are not known to show one lesion; a shift counts
        where it is moderate or large.
        """
        shared = (self.shared_lesions, self.shared_patients, self.shared_ids, self.shared_origins)
        between = self.duplicates["first"] != self.duplicates["second"]
        separable = ~between & (self.duplicates["relation"] != "same lesion")
        of_file = self.problems["kind"].isin(_FILE_KINDS)
        return {
            "leaks": sum(map(len, shared)) + int(between.sum()),
            "conflicts": len(self.conflicts),
            "duplicates": int(separable.sum()),
            "files": int(of_file.sum()),
            "rows": int((~of_file).sum()),
            "metadata": int((self.missing_values["missing"] > 0).sum()),
            "shift": int(self.shifts["severity"].isin(["moderate", "large"]).sum()),
        }

    @property
    def failed(self) -> tuple[str, ...]:
        """Findings of `fail_on` that there are."""
        counts = self.counts
        return tuple(name for name in self.fail_on if counts[name])

    @property
    def ok(self) -> bool:
        """Whether there is no finding of `fail_on`."""
        return not self.failed

    @property
    def exit_code(self) -> int:
        """0 where the audit is ok, else 1, for the exit of a program."""
        return 0 if self.ok else 1

    @property
    def verdict(self) -> str:
        """The result in one sentence, as at the top of the page."""
        found, failed = _clauses(self), self.failed
        others = [found[name] for name in DEFAULT_FINDINGS if name in found and name not in failed]
        beside = f" (also found: {'; '.join(others)})" if others else ""
        if failed:
            return f"FAILED: {'; '.join(found[name] for name in failed)}{beside}."
        skipped = {name for name, check in _NEEDS.items() if check not in self.checked}
        skipped |= {"leaks"} if len(self.splits) == 1 else set()
        absent = [name for name in self.fail_on if name not in skipped]
        words = [f"no {', '.join(absent)}"] if absent else []
        words += [f"{name} not checked" for name in self.fail_on if name in skipped]
        start = "PASSED: " if words else "NOT JUDGED: `fail_on` is empty"
        return f"{start}{'; '.join(words)}{beside}."

    def __str__(self) -> str:
        """Return the page as text of up to 100 columns."""
        return _page(self, html=False)

    def __repr__(self) -> str:
        """Say what was audited and what of it failed."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        return printable(f"AuditReport({splits}; {', '.join(self.failed) or 'ok'})")

    def to_html(self) -> str:
        """Return the page as an HTML document, complete in itself."""
        return _page(self, html=True)

    def to_json(self, *, most: int | None = None) -> str:
        """Return everything but `files` as JSON.

        Args:
            most: How many rows of each table to write, 0 or more; all where None. Their full number
                is given in any case.

        Returns:
            Text of a JSON object; what is not known is null.

        Raises:
            ValueError: `most` is negative.
        """
        if most is not None:
            check_number(most, "most", low=0, integer=True)
        names = ("ok", "verdict", "exit_code", "failed", "counts")
        content = {"format": _FORMAT} | {name: getattr(self, name) for name in names} | vars(self)
        content |= {"class_counts": self.class_counts.to_dict()}
        del content["files"]
        for name, table in content.items():
            if isinstance(table, pd.DataFrame):
                rows = table[:most].astype(object).to_dict("records")
                content[name] = {"count": len(table), "rows": rows}
        return json.dumps(_with_nulls(content), indent=1, allow_nan=False)

    def save(self, path: PathLike) -> None:
        """Write the page or the JSON to a file, whole or not at all.

        Args:
            path: File that ends in ``.json``, or in ``.html`` or ``.txt`` for the page.

        Raises:
            ValueError: The file has another extension.
        """
        path = as_path(path, "path")
        writers = {".json": self.to_json, ".html": self.to_html, ".txt": self.__str__}
        extension, what = path.suffix.lower(), "a file ending in .json, .html or .txt"
        require(extension in writers, "path", what, str(path))
        with whole_file(path) as temporary:
            # An id may hold what no encoding knows, as names of files may
            text = writers[extension]()
            temporary.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")


def _with_nulls(value: Any) -> Any:
    """Convert values of NumPy and pandas to those of JSON; unknown ones become None."""
    if isinstance(value, dict):
        return {str(key): _with_nulls(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_nulls(one) for one in value]
    value = to_python(value)
    unknown = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if unknown else value


def _clauses(report: AuditReport) -> dict[str, str]:
    """Word the findings that there are."""
    counts = report.counts
    clauses = {name: f"{words}: {counts[name]:,}" for name, words in _CLAUSES.items()}
    kinds = report.problems["kind"]
    parts = {_CLAUSES["files"]: _FILES, "blank images": (BLANK,), "faulty lesion masks": _MASKS}
    numbers = {words: int(kinds.isin(some).sum()) for words, some in parts.items()}
    clauses["files"] = "; ".join(f"{words}: {n:,}" for words, n in numbers.items() if n)
    empty = [_short(name) for name, count in report.splits.items() if not count]
    if empty:
        faulty = counts["rows"] - len(empty)
        others = f"; {_CLAUSES['rows']}: {faulty:,}" if faulty else ""
        clauses["rows"] = f"empty splits: {listed(empty)}{others}"
    if counts["leaks"]:
        clauses["leaks"] = _worst_leak(report)
    return {name: clauses[name] for name in FINDINGS if counts[name]}


def _worst_leak(report: AuditReport) -> str:
    """Name the pair of splits of which the second shares the largest fraction with the first."""
    leaks = report.leaks.assign(total=report.leaks["second"].map(report.splits))
    rows = leaks[leaks["by"] == "any"].to_dict("records")
    worst = max(rows, key=lambda row: row["second_images"] / max(row["total"], 1))
    first, second, count, total = (worst[k] for k in ("first", "second", "second_images", "total"))
    by_lesion = _select(leaks, first=first, second=second, by="lesion")["second_images"].sum()
    what = "a lesion" if by_lesion == count else "a lesion, patient or image"
    images = f"{count:,} of {total:,} images of {_short(second)} ({_percent(count, total)})"
    return f"{images} share {what} with {_short(first)}"


def _page(report: AuditReport, *, html: bool) -> str:
    """Render the template as text or HTML."""
    from jinja2 import Environment, StrictUndefined, select_autoescape  # only a page needs it

    environment = Environment(
        autoescape=select_autoescape(default_for_string=html),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (_align, _fill, _short)
    environment.filters |= {function.__name__[1:]: function for function in filters}
    tables = (_classes, _leaks, _missing, _select, _shifts)
    environment.globals |= {function.__name__[1:]: function for function in tables}
    environment.globals |= {
        "combinations": combinations,
        "listed": listed,
        "most": _MOST,
        "zip": zip,
    }
    template = files("dermolib.auditing").joinpath("report.jinja").read_text(encoding="utf-8")
    page = environment.from_string(template).render(report=report, html=html)
    return printable(page.rstrip(), keep="\n")


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


def _short(text: object, most: int = 40) -> str:
    """Shorten a text and replace control characters, which may move a cursor."""
    shown = "".join(one if one.isprintable() else "?" for one in str(text))
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _percent(count: int, total: int) -> str:
    """Format a fraction so that neither a trace becomes 0% nor a gap disappears in 100%."""
    if not 0 < count < total:
        return f"{100 * (count > 0)}%"
    return f"{min(max(100 * count / total, 0.1), 99.9):.1f}%"


def _cell(count: int, total: int) -> str:
    return f"{count:,} {f'({_percent(count, total)})':>7}" if count else "0"


def _select(table: pd.DataFrame, /, **values: Any) -> pd.DataFrame:
    """Choose the rows with these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _leaks(report: AuditReport, first: str, second: str) -> _Rows:
    """Tabulate how many images two splits share, by what."""
    leaks = _select(report.leaks, first=first, second=second).to_dict("records")
    counts = {row["by"]: (row["first_images"], row["second_images"]) for row in leaks}
    gaps = report.missing_values
    gaps = gaps[gaps["split"].isin([first, second]) & (gaps["missing"] == gaps["images"])]
    totals = report.splits[first], report.splits[second]
    rows = [["images shared, by", _short(first, _NAME), _short(second, _NAME)]]
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
    rows = [["", "", *(_short(name, _NAME) for name in counts)]]
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
    rows = [["", *(_short(name, _NAME) for name in gaps["split"].unique())]]
    for column, part in gaps.groupby("column", sort=False):
        counts = zip(part["missing"], part["images"], strict=True)
        rows.append(
            [str(column), *("all missing" if 0 < n == m else _cell(n, m) for n, m in counts)]
        )
    return rows


def _shifts(shifts: pd.DataFrame) -> _Rows:
    """Tabulate the shifts of a pair of splits."""
    rows = [["", "", "distance", "null 95%", "p"]]
    for row in shifts.to_dict("records"):
        words = f"{row['severity']} shift" if row["severity"] != "none" else "not significant"
        if row["column"] == "age":
            words += f"; medians {row['first_median']:g} and {row['second_median']:g} years"
        elif row["severity"] != "none":
            fractions = f"{row['first_fraction']:.1%} and {row['second_fraction']:.1%}"
            words += f"; most in {_short(row['category'], 24)}: {fractions}"
        numbers = (row["distance"], row["null_quantile"], row["p_value"])
        cells = ["-" if math.isnan(number) else f"{number:.3f}" for number in numbers]
        rows.append([row["column"], words, *cells])
    return rows

"""The words of an audit: a page that a person reads, with the remedy for each finding."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from dermolib.auditing.rows import NO_IMAGE
from dermolib.auditing.tables import class_lines, gap_lines, shift_lines, size_lines
from dermolib.auditing.words import USUAL_FINDINGS, WIDTH, images, percent, plain, some

if TYPE_CHECKING:
    from dermolib.auditing.report import AuditReport

__all__ = ["page", "verdict"]

_MOST = 5  # examples of each finding
_BY = {
    "lesion": "same lesion",
    "patient": "same patient",
    "id": "same id",
    "origin": "augmented copies",
    "identical": "identical file",
    "near": "near-duplicate",
    "any": "any of these",
}
_SHARED = {
    "lesion": ("lesions", "shared_lesions"),
    "patient": ("patients", "shared_patients"),
    "id": ("ids", "shared_ids"),
    "origin": ("images with augmented copies", "shared_origins"),
}
_LABELS = {
    "lesion": "lesions with several labels",
    "image": "images with several labels",
    "identical": "identical files with different labels",
    "near": "near-duplicates with different labels",
}
_COUNTED = {
    "conflicts": (
        "lesion or picture has labels at odds",
        "lesions or pictures have labels at odds",
    ),
    "duplicates": (
        "pair of one picture within a side is not known to be one lesion",
        "pairs of one picture within a side are not known to be one lesion",
    ),
    "files": ("file is missing or unreadable", "files are missing or unreadable"),
    "rows": ("row is faulty", "rows are faulty"),
    "metadata": ("column of metadata has gaps", "columns of metadata have gaps"),
    "shift": ("distribution is shifted", "distributions are shifted"),
}
_LEAK_REMEDY = (
    "Split anew with `grouped_split`, which keeps every lesion on one side, or leave the shared "
    "images out of the side that judges. Until then a score on that side says nothing reliable "
    "about new lesions."
)
_NEAR = (
    "Near-duplicates are found by what images look like. Look at the pairs before you act: two "
    "lesions may look alike, above all where an image shows little."
)
_TORN = (
    "Give both images of such a pair one lesion id, or leave one of them out; else a split by "
    "lesion may put one picture on two sides."
)
_CONFLICT = (
    "Look up the diagnosis, or leave these images out: one of the labels is wrong, or they do not "
    "show the same lesion."
)
_FILES = (
    'Fetch such files again, or leave their rows out; `missing="drop"` does so where a file lacks. '
    "Mend faulty rows in the table."
)


def page(report: "AuditReport") -> str:
    """Write the page.

    Args:
        report: What was found.

    Returns:
        Text of several lines of up to 100 columns, without a line break at its end.
    """
    sides = [f"{plain(name)} ({images(count)})" for name, count in report.sides.items()]
    unchecked = (line for words in report.unchecked for line in _bullet(plain(words, 300)))
    sections = [
        ("Leaks between sides", _leaks(report)),
        ("Labels at odds", _conflicts(report)),
        ("Duplicates within a side", _within(report)),
        ("Files and rows", [*_problems(report.problems), *_notes(report.notes)]),
        ("Classes", class_lines(report.class_counts)),
        ("Metadata that lacks", gap_lines(report.gaps)),
        ("Sizes and modes of the images", size_lines(report.sizes, list(report.sides))),
        ("Shift between sides", shift_lines(report.shifts)),
        ("Not checked", list(unchecked)),
    ]
    lines = textwrap.wrap(f"Audit of {some(sides, most=20)}", WIDTH)
    lines += ["", *textwrap.wrap(verdict(report), WIDTH)]
    for title, content in sections:
        lines += ["", title.upper(), *(content or ["  none"])]
    return "\n".join(lines)


def verdict(report: "AuditReport") -> str:
    """Sum the audit up in one sentence.

    Args:
        report: What was found.

    Returns:
        The sentence.
    """
    counts = report.counts
    clauses = {"leaks": _worst_leak(report.leaks, report.sides)}
    for name, (one, many) in _COUNTED.items():
        clauses[name] = f"{counts[name]:,} {one if counts[name] == 1 else many}"
    clauses["rows"] = _faulty(report.problems, counts["rows"])
    asked = [clauses[name] for name in report.failed]
    others = [
        clauses[name] for name in USUAL_FINDINGS if counts[name] and name not in report.failed
    ]
    if not report.fail_on:
        beside = f" (found: {'; '.join(others)})" if others else ""
        return f"NOT JUDGED: nothing was asked about{beside}."
    beside = f" (found as well: {'; '.join(others)})" if others else ""
    if asked:
        return f"NOT FIT AS IT IS: {'; '.join(asked)}{beside}."
    return f"FIT, as far as it was checked: {_absent(report)}{beside}."


def _faulty(problems: pd.DataFrame, count: int) -> str:
    """Name the sides without images, and count the other faulty rows."""
    empty = problems["side"][problems["kind"] == NO_IMAGE].tolist()
    words = [f"{plain(name)} has no image" for name in empty]
    if count > len(empty):
        one, many = _COUNTED["rows"]
        words.append(f"{count - len(empty):,} {one if count - len(empty) == 1 else many}")
    return "; ".join(words)


def _absent(report: "AuditReport") -> str:
    """Say what was looked for and not found, and what could not be looked for."""
    reasons = {}
    if len(report.sides) == 1:
        reasons["leaks"] = "leaks not looked for, since there is one side only"
    if "labels" not in report.checked:
        reasons["conflicts"] = "conflicts not looked for, since no label is known"
    looked_for = [name for name in report.fail_on if name not in reasons]
    words = [f"no {', '.join(looked_for)}"] if looked_for else []
    return "; ".join([*words, *(reasons[name] for name in report.fail_on if name in reasons)])


def _worst_leak(leaks: pd.DataFrame, sides: dict[str, int]) -> str:
    """Name the pair of sides of which the second shares most with the first."""
    found = leaks[(leaks["by"] == "any") & (leaks["second_images"] > 0)].to_dict("records")
    if not found:
        return ""
    worst = max(found, key=lambda row: row["second_images"] / sides[row["second"]])
    pair = _of_pair(leaks, worst["first"], worst["second"])
    by_lesion = int(pair["second_images"][pair["by"] == "lesion"].sum())
    what = "a lesion" if by_lesion == worst["second_images"] else "a lesion, patient or picture"
    count = _part(worst["second_images"], sides, worst["second"])
    return f"{count} share {what} with {plain(worst['first'])}"


def _part(count: int, sides: dict[str, int], name: str) -> str:
    total = sides[name]
    return f"{count:,} of {total:,} images of {plain(name)} ({percent(count, total)})"


def _of_pair(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    return table[(table["first"] == first) & (table["second"] == second)]


def _leaks(report: "AuditReport") -> list[str]:
    if len(report.sides) == 1:
        return ["  nothing to compare: there is one side only"]
    lines: list[str] = []
    for first, second in combinations(report.sides, 2):
        lines.append(f"  {plain(first)} and {plain(second)}:")
        part = _of_pair(report.leaks, first, second)
        counts = dict(
            zip(
                part["by"],
                zip(part["first_images"], part["second_images"], strict=True),
                strict=True,
            )
        )
        for by, words in _BY.items():
            cell = _leak_cell(report, (first, second), by, counts)
            lines += textwrap.wrap(f"    {words:<19}{cell}", WIDTH, subsequent_indent=" " * 23)
        lines += _shared_examples(report, first, second)
        lines += _pair_examples(_of_pair(report.duplicates, first, second))
    if report.counts["leaks"]:
        lines += _remedy(_LEAK_REMEDY)
    if (report.leaks["second_images"][report.leaks["by"] == "near"] > 0).any():
        lines += _remedy(_NEAR, title="Note")
    return lines


def _leak_cell(
    report: "AuditReport", pair: tuple[str, str], by: str, counts: dict[str, tuple[int, int]]
) -> str:
    if by not in counts:
        return "not looked for"
    gaps = report.gaps[report.gaps["side"].isin(pair) & (report.gaps["column"] == by)]
    if (gaps["missing"] == gaps["images"]).any():
        return "not known"
    one, other = counts[by]
    if not (one or other):
        return "none"
    there, here = (
        _part(count, report.sides, name) for count, name in zip((one, other), pair, strict=True)
    )
    return f"{here}, {there.replace(' images', '')}"


def _shared_examples(report: "AuditReport", first: str, second: str) -> Iterator[str]:
    for column, (word, name) in _SHARED.items():
        table = _of_pair(getattr(report, name), first, second)
        if table.empty:
            continue
        yield f"    {word} on both sides: {len(table):,}{_such(len(table))}"
        for row in table.head(_MOST).to_dict("records"):
            there, here = (_ids(row[f"{side}_ids"]) for side in ("first", "second"))
            value = "" if column == "id" else f"{plain(row[column])}: "
            words = f"{value}{there} in {plain(first)}; {here} in {plain(second)}"
            yield from _bullet(words, indent=6)


def _such(count: int) -> str:
    return ", such as" if count > _MOST else ""


def _ids(ids: Sequence[str]) -> str:
    return some([plain(name) for name in ids], most=3)


def _pair_examples(pairs: pd.DataFrame) -> Iterator[str]:
    """Show pairs of one picture: those of different lesions first, the nearest first."""
    if pairs.empty:
        return
    rank = pairs["relation"].map({"different lesions": 0, "lesion unknown": 1, "same lesion": 2})
    ordered = pairs.assign(rank=rank).sort_values(
        ["rank", "distance", "first_id", "second_id"], kind="stable"
    )
    kinds = Counter(zip(ordered["kind"], ordered["relation"], strict=True))
    listed = "; ".join(f"{count:,} {kind}, {relation}" for (kind, relation), count in kinds.items())
    number = f"{len(pairs):,} pair{'s' if len(pairs) > 1 else ''}"
    yield from textwrap.wrap(
        f"{number} of one picture ({listed}){_such(len(pairs))}",
        WIDTH,
        initial_indent="    ",
        subsequent_indent="      ",
    )
    for row in ordered.head(_MOST).to_dict("records"):
        distance = "identical" if row["kind"] == "identical" else f"distance {row['distance']:.3f}"
        one, other = (
            f"{plain(row[f'{side}_id'])} ({row[f'{side}_class'] or 'no label'})"
            for side in ("first", "second")
        )
        yield from _bullet(f"{one} and {other}: {distance}, {row['relation']}", indent=6)


def _conflicts(report: "AuditReport") -> list[str]:
    if "labels" not in report.checked:
        return ["  not known"]
    lines: list[str] = []
    table = report.conflicts
    for kind, title in _LABELS.items():
        part = table[table["kind"] == kind]
        if part.empty:
            continue
        lines.append(f"  {title}: {len(part):,}{_such(len(part))}")
        for row in part.head(_MOST).to_dict("records"):
            labelled = zip(row["ids"], row["sides"], row["classes"], strict=True)
            ids = some(
                [f"{plain(name)} ({plain(side)}, {plain(one)})" for name, side, one in labelled]
            )
            value = f"{plain(row['lesion'])}: " if kind == "lesion" else ""
            lines += _bullet(f"{value}{ids}", indent=4)
    return [*lines, *_remedy(_CONFLICT)] if lines else lines


def _within(report: "AuditReport") -> list[str]:
    if "duplicates" not in report.checked:
        return ["  not looked for"]
    lines: list[str] = []
    for name in report.sides:
        part = _of_pair(report.duplicates, name, name)
        if not part.empty:
            lines += [f"  {plain(name)}:", *_pair_examples(part)]
    if report.counts["duplicates"]:
        lines += _remedy(_TORN)
    return lines


def _problems(problems: pd.DataFrame) -> list[str]:
    lines: list[str] = []
    for key, part in problems.groupby(["side", "kind", "reason"], sort=False):
        side, kind, reason = map(str, key)
        if kind == NO_IMAGE:
            lines.append(f"  {plain(side)} has no image")
            continue
        lines.append(f"  {plain(side)}, {kind}: {len(part):,} ({plain(reason, 80)})")
        lines += _examples(part["id"].tolist(), part["detail"].tolist())
    return [*lines, *_remedy(_FILES)] if lines else lines


def _notes(notes: pd.DataFrame) -> list[str]:
    lines: list[str] = []
    for key, part in notes.groupby(["side", "note"], sort=False):
        side, note = map(str, key)
        lines.append(f"  {plain(side)}, read all the same: {len(part):,} ({note})")
        lines += _examples(part["id"].tolist(), [])
    return lines


def _examples(ids: Sequence[str], details: Sequence[str]) -> Iterator[str]:
    if any(details[:_MOST]):
        for name, detail in zip(ids[:_MOST], details, strict=False):
            yield from _bullet(f"{plain(name)}: {plain(detail, 120)}", indent=4)
    else:
        yield from _bullet(some([plain(name) for name in ids], most=_MOST), indent=4)


def _bullet(words: str, *, indent: int = 2) -> list[str]:
    begin = " " * indent
    return textwrap.wrap(words, WIDTH, initial_indent=f"{begin}- ", subsequent_indent=f"{begin}  ")


def _remedy(words: str, *, title: str = "Remedy") -> list[str]:
    return textwrap.wrap(f"{title}: {words}", WIDTH, initial_indent="  ", subsequent_indent="    ")

"""The audit of a data set: what leaks from one side to another, and what is wrong with each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dermolib._validation import Indices, check_choice, check_number, expected
from dermolib.auditing.images import (
    conflicts,
    file_table,
    no_pairs,
    notes,
    problems,
    same_pictures,
    size_counts,
)
from dermolib.auditing.inspection import Inspection, inspect_images
from dermolib.auditing.leakage import SHARED, leak_counts, pairs_of_sides, shared
from dermolib.auditing.report import AuditReport
from dermolib.auditing.shift import SHIFT_COLUMNS, find_shifts
from dermolib.auditing.splits import METADATA, UNKNOWN, Sides, class_name, gather
from dermolib.auditing.words import FINDINGS, USUAL_FINDINGS
from dermolib.datasets.tables import HasTable
from dermolib.labels import DIAGNOSES

__all__ = ["FINDINGS", "AuditReport", "audit"]


class _Asked(NamedTuple):
    """Which checks were asked for."""

    images: bool
    duplicates: bool


Side: TypeAlias = HasTable | pd.DataFrame


def audit(
    train: Side | Mapping[str, Side],
    test: Side | None = None,
    *,
    images: bool = True,
    duplicates: bool = True,
    tolerance: float = 0.08,
    fail_on: Iterable[str] = USUAL_FINDINGS,
    workers: int = 1,
    progress: bool = True,
    seed: int = 0,
) -> AuditReport:
    """Check the sides of a data set against each other, and each by itself.

    Between any two sides: lesions, patients and ids that both have, images made from images of the
    other side, identical files, near-duplicates, and how far ages, sexes, sites, classes and
    collections differ. On each side: duplicates that a split by lesion would tear apart, labels at
    odds, files that lack or cannot be read, repeated ids, impossible values, sizes and modes, class
    counts, and gaps. An age outside 0..120 years, a label above 7, and a side without any image are
    findings of ``"rows"``; a label that is below 0 or not whole is refused.

    Labels are at odds where two images of one lesion or picture have different ones, or, where one
    of the two has none, different diagnoses as published by the same source.

    The result does not depend on the order of the rows, nor on the number of workers. Nothing is
    written, and no file makes the audit stop. What could not be checked is said.

    Args:
        train: `ISICDataset` or table with the column ``id`` and any of ``label``, ``diagnosis``,
            ``lesion``, ``patient``, ``age``, ``sex``, ``site``, ``year``, ``source``, ``parent_id``
            and ``image_path`` (empty for a missing file); or a mapping of names to such, for any
            number of sides. A lesion or patient ``"1.0"`` is 1, and one such as ``"nan"``,
            ``"N/A"``, ``"none"`` or ``"unknown"`` is not known.
        test: The second side.
        images: Whether to read the files.
        duplicates: Whether to look for images that show the same picture.
        tolerance: How far the fingerprints of near-duplicates may be apart, 0..0.5, see
            `find_duplicates`.
        fail_on: Which findings make the exit code 1, of `FINDINGS`: by default ``"leaks"``,
            ``"conflicts"``, ``"duplicates"``, ``"files"`` and ``"rows"``, and further
            ``"metadata"`` and ``"shift"``.
        workers: Number of parallel workers that read files, 1 or more.
        progress: Whether to draw a progress bar on the standard error.
        seed: Seed of the random splits that shifts are measured against, 0 or more.

    Returns:
        What was found.

    Raises:
        TypeError: A side is no dataset and no table, or a column has values of another kind.
        ValueError: A table has no column ``id``, a label is no whole number of 0 or more, or an
            argument is out of range.

    References:
        Why a lesion on both sides makes a score too good: Kaufman et al., Leakage in data mining,
        ACM TKDD 6(4), 2012, https://doi.org/10.1145/2382577.2382579. Shifts against random splits
        of whole groups: Gail et al., Statistics in Medicine 15(11), 1996,
        https://doi.org/10.1002/(SICI)1097-0258(19960615)15:11%3C1069::AID-SIM220%3E3.0.CO;2-Q.

    Examples:
        >>> train = pd.DataFrame({"id": ["a", "b", "c"], "lesion": ["L1", "L2", "L2"]})
        >>> test = pd.DataFrame({"id": ["d", "e"], "lesion": ["L2", "L3"]})
        >>> report = audit(train, test)
        >>> report.shared_lesions[["lesion", "first_ids", "second_ids"]].to_dict("records")
        [{'lesion': 'L2', 'first_ids': ('b', 'c'), 'second_ids': ('d',)}]
        >>> report.exit_code
        1
    """
    fail_on = _findings(fail_on)
    check_number(workers, "workers", low=1, integer=True)
    check_number(tolerance, "tolerance", low=0, high=0.5)
    check_number(seed, "seed", low=0, integer=True)
    sides = gather(train, test)
    rows = _rows_with_files(sides) if images else np.empty(0, np.intp)
    paths = sides.column("image_path")[rows].tolist()
    shown = progress and bool(paths)
    found = inspect_images(paths, hashes=duplicates, workers=workers, progress=shown)
    lists = {column: shared(sides, column) for column in SHARED}
    by = {column: flags for column, (_, flags) in lists.items()}
    checked = [name for name, asked in (("images", images), ("duplicates", duplicates)) if asked]
    checked = checked if len(rows) else []
    if any(sides.known(column).any() for column in ("label", "diagnosis")):
        checked.insert(0, "labels")
    pairs = no_pairs(sides)
    if "duplicates" in checked:
        pairs = same_pictures(sides, rows, found, tolerance=tolerance)
        by["identical"] = pairs.between(sides, identical=True)
        by["near"] = pairs.between(sides, identical=False)
    files = file_table(sides, rows, found)
    shifts = find_shifts(sides, seed=seed)
    return AuditReport(
        sides=dict(zip(sides.names, sides.sizes(), strict=True)),
        leaks=leak_counts(sides, by),
        shared_lesions=lists["lesion"][0],
        shared_patients=lists["patient"][0],
        shared_ids=lists["id"][0],
        shared_origins=lists["origin"][0],
        duplicates=pairs.table(sides),
        conflicts=conflicts(sides, pairs),
        problems=problems(sides, rows, found),
        notes=notes(sides, rows, found),
        class_counts=_class_counts(sides),
        gaps=_gaps(sides),
        sizes=size_counts(files),
        shifts=shifts,
        files=files,
        checked=tuple(checked),
        unchecked=tuple(_unchecked(sides, rows, found, shifts, _Asked(images, duplicates))),
        fail_on=fail_on,
    )


def _findings(fail_on: Iterable[str]) -> tuple[str, ...]:
    if isinstance(fail_on, str):
        remedy = f"Write `[{fail_on!r}]`."
        raise TypeError(expected("fail_on", "several findings", "one text", remedy))
    fail_on = tuple(fail_on)
    for name in fail_on:
        check_choice(name, "fail_on", FINDINGS)
    return tuple(name for name in FINDINGS if name in fail_on)


def _rows_with_files(sides: Sides) -> Indices:
    """Choose the rows of the sides whose tables name files."""
    having = [number for number, given in enumerate(sides.given) if "image_path" in given]
    return np.flatnonzero(np.isin(sides.side, having))


def _class_counts(sides: Sides) -> pd.DataFrame:
    labels = sides.column("label")
    known = sorted({*range(len(DIAGNOSES)), *labels.tolist()} - {UNKNOWN})
    counts = {
        name: [int((labels[sides.rows_of(number)] == label).sum()) for label in (*known, UNKNOWN)]
        for number, name in enumerate(sides.names)
    }
    index = pd.Index([*map(class_name, known), "unknown"], name="class")
    return pd.DataFrame(counts, index=index)


def _gaps(sides: Sides) -> pd.DataFrame:
    rows = []
    for number, name in enumerate(sides.names):
        part = sides.rows_of(number)
        for column in METADATA:
            missing = int((~sides.known(column)[part]).sum())
            rows.append((name, column, missing, len(part)))
    return pd.DataFrame(rows, columns=pd.Index(["side", "column", "missing", "images"]))


def _unchecked(
    sides: Sides, rows: Indices, found: Inspection, shifts: pd.DataFrame, asked: _Asked
) -> Iterator[str]:
    """Say what was not checked."""
    if len(sides.names) == 1:
        yield "Leaks: there is one side alone. Audit it with the others to find what they share."
    for number, name in enumerate(sides.names):
        if not len(sides.rows_of(number)):
            yield f"{name}: it has no image, so that there is nothing to check or to compare."
        yield from _unknown(sides, number, name)
    yield from _unread(sides, asked)
    yield from _uncompared(sides, rows, found, asked)
    known = set(zip(shifts["first"], shifts["second"], shifts["column"], strict=True))
    for pair in pairs_of_sides(sides):
        first, second = (sides.names[side] for side in pair)
        lacking = [name for name in SHIFT_COLUMNS if (first, second, name) not in known]
        if lacking:
            words = f"Shift of {', '.join(lacking)} between {first} and {second}"
            yield f"{words}: one of the two has no values."
    yield "Lesion masks: not read."


def _unknown(sides: Sides, number: int, name: str) -> Iterator[str]:
    part = sides.rows_of(number)
    total = len(part)
    for column, word in (("patient", "Patients"), ("lesion", "Lesions")):
        unknown = int((~sides.known(column)[part]).sum())
        if total and unknown == total:
            yield f"{word} of {name}: none is known, so that shared ones cannot be found."
        elif unknown:
            yield f"{word} of {name}: not known for {unknown:,} of {total:,} images."
    unlabelled = int((~sides.known("label")[part]).sum())
    if unlabelled:
        yield f"Labels of {name}: {unlabelled:,} of {total:,} images have none."


def _unread(sides: Sides, asked: _Asked) -> Iterator[str]:
    if not asked.images:
        yield "Files: not read, as asked, so that the same picture may stand on both sides."
        return
    for number, name in enumerate(sides.names):
        if "image_path" not in sides.given[number]:
            yield f"Files of {name}: its table has no column `image_path`."
    if not asked.duplicates:
        yield "Images that show the same picture: not looked for, as asked."


def _uncompared(sides: Sides, rows: Indices, found: Inspection, asked: _Asked) -> Iterator[str]:
    if not asked.duplicates:
        return
    unread = np.bincount(sides.side[rows[~found.ok]], minlength=len(sides.names))
    for name, count in zip(sides.names, unread.tolist(), strict=True):
        if count:
            words = "missing or unreadable, so that nothing is known of what they show"
            yield f"Images of {name}: {count:,} are {words}."
    flat = int((found.ok & ~found.hash.any(axis=1)).sum())
    if flat:
        words = "of one colour or nearly so, compared byte for byte alone"
        yield f"Images without features: {flat:,} {words}."

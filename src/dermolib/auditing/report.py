"""What an audit found: tables, a page as text or HTML, JSON, and an exit code."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
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
from dermolib.auditing.page import percent, render, select, short
from dermolib.auditing.quality import QUALITY_FLAGS
from dermolib.io import whole_file

__all__ = ["DEFAULT_FINDINGS", "FINDINGS", "AuditReport"]

FINDINGS: tuple[str, ...] = (
    "leaks", "conflicts", "duplicates", "files", "rows", "metadata", "shift", "confounding",
    "quality",
)  # fmt: skip
"""Findings that can make an audit fail."""

DEFAULT_FINDINGS: tuple[str, ...] = FINDINGS[:5]
"""Findings that fail an audit by default; all are faults, none may be intended."""

_FORMAT = "dermolib-audit-1"
_NEEDS = {"conflicts": "labels", "duplicates": "duplicates", "files": "images",
          "confounding": "artifacts", "quality": "images"}  # fmt: skip
_COUNTED = ("moderate", "large")
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
    "confounding": "artifacts that go with a class, split or source",
    "quality": "images of doubtful quality",
}


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """What `audit` found; as text, a page for a person to read.

    Tables name splits in the columns ``first`` and ``second``, ``split`` or ``splits``.

    Attributes:
        splits: Number of images of each split.
        leaks: How many images of two splits share something: ``first_images`` and
            ``second_images`` ``by`` ``"lesion"``, ``"patient"``, ``"id"``, ``"origin"``,
            ``"identical"``, ``"near"``, ``"recapture"`` (a lesion that the other split has under
            another id), ``"shared skin"`` (a patient of whom the other has a neighboring lesion),
            or ``"any"``.
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
        recaptures: Pairs of images that show one lesion under two names (``kind``
            ``"recapture"``), or neighboring lesions of one patient (``"shared skin"``), within a
            split or between two, those that agree most first: ids, lesions, classes, and the
            columns of `find_recaptures` from ``score`` on. No pair of `duplicates`, and no
            neighbors whose patient is known; empty where recaptures were not searched.
        conflicts: Conflicting labels of one ``"lesion"``, ``"image"``, pair of ``"identical"``
            or ``"near"`` duplicates, or of lesions that ``"recapture"`` pairs join (``kind``):
            ``lesion``, ``ids``, ``splits``, ``classes`` (the diagnosis as published of an image
            without a label), ``distance``.
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
        artifacts: Probability or flag of each artifact (column) of each image, with its ``split``
            and ``id``; NaN where not known, and empty where artifacts were not asked for.
        associations: What artifacts go with, in the columns of
            `dermolib.auditing.artifact_associations`.
        artifact_scores: What a classifier reaches that sees the artifacts alone, see
            `dermolib.auditing.artifact_only_score`; empty where it cannot be told.
        quality: Scores of each image that was read, 0..1, see `image_quality`: ``blank``,
            ``blurred``, ``underexposed``, ``overexposed`` and ``not_dermoscopic``, and its
            ``flags``, those whose score is above 0.5.
        files: ``state``, ``height``, ``width``, ``size`` in bytes, ``mode`` and ``format`` of each
            file.
        checked: ``"labels"`` where any label or diagnosis is known, ``"images"`` where files were
            read, ``"duplicates"`` where images were compared, ``"recaptures"`` where second
            photographs were searched, ``"artifacts"`` where artifacts are known, ``"masks"`` where
            masks were read.
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
    recaptures: pd.DataFrame
    conflicts: pd.DataFrame
    problems: pd.DataFrame
    notes: pd.DataFrame
    class_counts: pd.DataFrame
    missing_values: pd.DataFrame
    sizes: pd.DataFrame
    shifts: pd.DataFrame
    artifacts: pd.DataFrame
    associations: pd.DataFrame
    artifact_scores: pd.DataFrame
    quality: pd.DataFrame
    files: pd.DataFrame
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    fail_on: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind in `FINDINGS`.

        Duplicates are those within a split that are not known to show one lesion, and recaptures
        within a split; recaptures between two are leaks. A shift or the association of an
        artifact counts where it is moderate or large. A blank image is one of the files.
        """
        shared = (self.shared_lesions, self.shared_patients, self.shared_ids, self.shared_origins)
        between, torn = (
            table["first"] != table["second"] for table in (self.duplicates, self.recaptures)
        )
        separable = ~between & (self.duplicates["relation"] != "same lesion")
        of_file = self.problems["kind"].isin(_FILE_KINDS)
        return {
            "leaks": sum(map(len, shared)) + int(between.sum()) + int(torn.sum()),
            "conflicts": len(self.conflicts),
            "duplicates": int(separable.sum()) + int((~torn).sum()),
            "files": int(of_file.sum()),
            "rows": int((~of_file).sum()),
            "metadata": int((self.missing_values["missing"] > 0).sum()),
            "shift": int(self.shifts["severity"].isin(_COUNTED).sum()),
            "confounding": int(self.associations["severity"].isin(_COUNTED).sum()),
            "quality": len(self.flagged),
        }

    @property
    def flagged(self) -> pd.DataFrame:
        """Rows of `quality` with any flag but blank, which is a problem of the file."""
        kept = [bool(set(flags) & set(QUALITY_FLAGS[1:])) and "blank" not in flags
                for flags in self.quality["flags"]]  # fmt: skip
        return self.quality[np.array(kept, np.bool_)]

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
        return render(self, "text")

    def __repr__(self) -> str:
        """Say what was audited and what of it failed."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        return printable(f"AuditReport({splits}; {', '.join(self.failed) or 'ok'})")

    def to_html(self, *, most: int = 100) -> str:
        """Return the page as an HTML document, complete in itself.

        Findings in images come with small pictures of these, read again from where the audit read
        them: a pair beside each other, the second image laid on the first, to overlay and to blink,
        and a checkbox; the confirmed pairs are saved as CSV, as `join_groups` takes it. All but the
        saving works without JavaScript. Nothing is loaded from a network.

        Args:
            most: Of how many rows of each finding to show pictures, 0 for a page without any. All
                pictures together take up to 16 MB; the page says how many were left out.

        Returns:
            Text of the document.

        Raises:
            ValueError: `most` is negative.
        """
        check_number(most, "most", low=0, integer=True)
        return render(self, "html", most=most)

    def to_json(self, *, most: int | None = None) -> str:
        """Return everything as JSON, without `files`, `artifacts`, and `quality` without a flag.

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
        content |= {"class_counts": self.class_counts.to_dict(), "quality": self.flagged}
        del content["files"], content["artifacts"]
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
    clauses["files"] = _numbered(numbers)
    empty = [short(name) for name, count in report.splits.items() if not count]
    if empty:
        faulty = counts["rows"] - len(empty)
        others = f"; {_CLAUSES['rows']}: {faulty:,}" if faulty else ""
        clauses["rows"] = f"empty splits: {listed(empty)}{others}"
    if counts["leaks"]:
        clauses["leaks"] = _worst_leak(report)
    if torn := int((report.recaptures["first"] == report.recaptures["second"]).sum()):
        numbers = {_CLAUSES["duplicates"]: counts["duplicates"] - torn}
        numbers["recaptures within a split"] = torn
        clauses["duplicates"] = _numbered(numbers)
    return {name: clauses[name] for name in FINDINGS if counts[name]}


def _numbered(numbers: dict[str, int]) -> str:
    """Word the numbers that are not 0."""
    return "; ".join(f"{words}: {n:,}" for words, n in numbers.items() if n)


def _worst_leak(report: AuditReport) -> str:
    """Name the pair of splits of which the second shares the largest fraction with the first."""
    leaks = report.leaks.assign(total=report.leaks["second"].map(report.splits))
    rows = leaks[leaks["by"] == "any"].to_dict("records")
    worst = max(rows, key=lambda row: row["second_images"] / max(row["total"], 1))
    first, second, count, total = (worst[k] for k in ("first", "second", "second_images", "total"))
    by_lesion = select(leaks, first=first, second=second, by="lesion")["second_images"].sum()
    what = "a lesion" if by_lesion == count else "a lesion, patient or image"
    images = f"{count:,} of {total:,} images of {short(second)} ({percent(count, total)})"
    return f"{images} share {what} with {short(first)}"

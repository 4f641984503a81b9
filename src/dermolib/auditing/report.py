"""What an audit found: tables to work with, a page to read, JSON and an exit code for machines."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib._validation import PathLike, check_number, expected
from dermolib.auditing.page import page, verdict
from dermolib.auditing.words import FINDINGS
from dermolib.io import whole_file

__all__ = ["AuditReport"]

_FORMAT = "dermolib-audit-1"
_TABLES = (
    "leaks", "shared_lesions", "shared_patients", "shared_ids", "shared_origins", "duplicates",
    "conflicts", "problems", "notes", "gaps", "sizes", "shifts",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """What `audit` found; as text, a page that a person reads.

    Tables name sides in the columns ``first`` and ``second``, ``side`` or ``sides``.

    Attributes:
        sides: Number of images of each side.
        leaks: How many images of two sides share something: ``first``, ``second``, ``by``
            (``"lesion"``, ``"patient"``, ``"id"``, ``"origin"``, ``"identical"``, ``"near"`` or
            ``"any"``), ``first_images``, ``second_images``.
        shared_lesions: Lesions on two sides: ``lesion``, ``first_ids``, ``second_ids`` and how
            many these are, ``first_count``, ``second_count``.
        shared_patients: Patients on two sides, likewise.
        shared_ids: Ids on two sides, likewise.
        shared_origins: Images on two sides of which at least one was made from the other, or both
            from a third, likewise.
        duplicates: Pairs that show the same picture, within a side and between sides: ids, lesions
            and classes of both; ``kind`` is ``"identical"`` (to the byte) or ``"near"``,
            ``distance`` that of their fingerprints, ``relation`` ``"same lesion"``,
            ``"different lesions"`` or ``"lesion unknown"``. Of many identical files each is paired
            with the first of its side, class and diagnosis.
        conflicts: Labels at odds: ``kind`` (``"lesion"``, ``"image"``, ``"identical"`` or
            ``"near"``), ``lesion``, ``ids``, ``sides``, ``classes`` (the diagnosis as published
            of an image without a label), ``distance``.
        problems: Files that lack or cannot be read, and faulty rows: ``side``, ``id``,
            ``image_path``, ``kind`` (``"missing"``, ``"unreadable"``, ``"no image"`` of an empty
            side, ``"no id"``, ``"repeated id"``, ``"impossible value"`` or ``"several
            patients"``), ``reason``, ``detail``.
        notes: What is to be known of files that are read all the same: ``side``, ``id``,
            ``image_path``, ``note``.
        class_counts: Images of each class (row) on each side (column); ``unknown`` last.
        gaps: Rows without a value: ``side``, ``column``, ``missing``, ``images``.
        sizes: Images of each ``height``, ``width``, ``mode`` and ``format`` on each side.
        shifts: How far two sides are apart in each ``column``: ``distance`` in 0..1 by ``measure``,
            ``chance`` (what 95 of 100 random splits by patient, lesion or image stay within),
            ``p_value``, ``reading`` (``"none"``, ``"small"``, ``"moderate"`` or ``"large"``), how
            many values each side knows, medians of ages, and the value whose shares differ most.
        files: What was found of each file: ``side``, ``id``, ``image_path``, ``state``,
            ``height``, ``width``, ``size`` in bytes, ``mode``, ``format``.
        checked: ``"labels"`` where any label or diagnosis is known, ``"images"`` where files were
            read, ``"duplicates"`` where pictures were compared.
        unchecked: What was not checked, in sentences.
        fail_on: Findings that make the exit code 1.
    """

    sides: dict[str, int]
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
    gaps: pd.DataFrame
    sizes: pd.DataFrame
    shifts: pd.DataFrame
    files: pd.DataFrame
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    fail_on: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each kind in `FINDINGS`.

        Duplicates are those within a side that are not known to show one lesion; a shift counts
        where it is moderate or large.
        """
        shared = (self.shared_lesions, self.shared_patients, self.shared_ids, self.shared_origins)
        between = self.duplicates["first"] != self.duplicates["second"]
        torn = ~between & (self.duplicates["relation"] != "same lesion")
        of_file = self.problems["kind"].isin(["missing", "unreadable"])
        return {
            "leaks": sum(map(len, shared)) + int(between.sum()),
            "conflicts": len(self.conflicts),
            "duplicates": int(torn.sum()),
            "files": int(of_file.sum()),
            "rows": int((~of_file).sum()),
            "metadata": int((self.gaps["missing"] > 0).sum()),
            "shift": int(self.shifts["reading"].isin(["moderate", "large"]).sum()),
        }

    @property
    def failed(self) -> tuple[str, ...]:
        """Findings of `fail_on` that there are."""
        counts = self.counts
        return tuple(name for name in FINDINGS if name in self.fail_on and counts[name])

    @property
    def ok(self) -> bool:
        """Whether nothing was found of what `fail_on` names."""
        return not self.failed

    @property
    def exit_code(self) -> int:
        """0 where the audit is ok, else 1, for the exit of a program."""
        return 0 if self.ok else 1

    @property
    def verdict(self) -> str:
        """The audit in one sentence, as it stands at the top of the page."""
        return verdict(self)

    def __str__(self) -> str:
        """Write the page, of up to 100 columns."""
        return page(self)

    def __repr__(self) -> str:
        """Say what was audited and what of it failed."""
        sides = ", ".join(f"{name} {count:,}" for name, count in self.sides.items())
        return f"AuditReport({sides}; {', '.join(self.failed) or 'ok'})"

    def to_json(self, *, most: int | None = None) -> str:
        """Write everything but `files` as JSON.

        Args:
            most: How many rows of each table to write, 0 or more; all where None. The number of
                rows stands beside them in any case.

        Returns:
            Text of a JSON object; what is not known is null.

        Raises:
            ValueError: `most` is negative.
        """
        if most is not None:
            check_number(most, "most", low=0, integer=True)
        content: dict[str, Any] = {
            "format": _FORMAT,
            "ok": self.ok,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "fail_on": list(self.fail_on),
            "failed": list(self.failed),
            "counts": self.counts,
            "sides": self.sides,
            "class_counts": self.class_counts.to_dict(),
            "checked": list(self.checked),
            "unchecked": list(self.unchecked),
        }
        for name in _TABLES:
            table: pd.DataFrame = getattr(self, name)
            content[name] = {"count": len(table), "rows": list(_rows(table[:most]))}
        return json.dumps(_known(content), indent=1, allow_nan=False)

    def save(self, path: PathLike) -> None:
        """Write the page or the JSON to a file, whole or not at all.

        Args:
            path: File that ends in ``.json``, or in ``.txt`` for the page.

        Raises:
            ValueError: The file has another ending.
        """
        path = Path(path)
        writers = {".json": self.to_json, ".txt": self.__str__}
        if path.suffix.lower() not in writers:
            raise ValueError(expected("path", "a file ending in .json or .txt", str(path)))
        text = writers[path.suffix.lower()]()
        with whole_file(path) as temporary:
            # An id may hold what no encoding knows, as names of files may
            temporary.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")


def _rows(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    names = [str(name) for name in table.columns]
    columns = [table[name].astype(object).tolist() for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _known(value: Any) -> Any:
    """Bring values of NumPy and pandas to those of JSON; what is not known becomes None."""
    if isinstance(value, dict):
        return {str(key): _known(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA:
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value

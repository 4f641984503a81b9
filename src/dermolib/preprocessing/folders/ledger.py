"""The books of a folder of clean images: with which settings, what is done, and the table of it."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._jobs import describe_differences
from dermolib._validation import expected, listed
from dermolib.io import whole_file

__all__ = ["BOOKS", "COLUMNS", "Ledger", "Record"]

COLUMNS = ("file", "output", "height", "width", "share_masked", "error")
"""Columns of the table, in their order."""

BOOKS = ("hair.json", "hair.jsonl", "hair.csv")
"""Files of the books: the settings, the journal and the table."""

_COMMAND = "dermolib hair"


@dataclass(frozen=True)
class Record:
    """What became of one image; with neither height nor error it is only claimed.

    Attributes:
        file: Path relative to the source, with slashes.
        run: Digest of the settings.
        output: Path of the clean image relative to the destination.
        mask: Path of the mask relative to the destination, empty where there is none.
        size: Bytes of the source, -1 where unknown.
        modified: Time of the source's last change in nanoseconds, -1 where unknown.
        height: Height in px, 0 where there is no clean image.
        width: Width in px, 0 where there is no clean image.
        share_masked: Share of masked pixels, 0..1.
        error: Why there is no clean image, empty where there is one.
    """

    file: str
    run: str
    output: str
    mask: str
    size: int = -1
    modified: int = -1
    height: int = 0
    width: int = 0
    share_masked: float = 0.0
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether there is a clean image."""
        return self.height > 0

    def line(self) -> bytes:
        """Write the record as a line of the journal."""
        return f"{json.dumps(vars(self))}\n".encode("ascii")

    def row(self) -> tuple[str, ...]:
        """Write the record as a row of the table."""
        if not self.done:
            return (self.file, "", "", "", "", self.error)
        share = f"{self.share_masked:.6f}"
        return (self.file, self.output, str(self.height), str(self.width), share, "")


class Ledger:
    """The books that lie beside the clean images.

    ``hair.json`` holds the settings. ``hair.jsonl`` is a journal: each image is claimed before the
    first is written and noted when it is done, so that a killed run leaves no file of which nobody
    knows who wrote it. Of several lines on an image the last one counts. ``hair.csv`` is the table,
    written last. Of the journal only the places of the lines are kept in memory.

    Args:
        folder: Destination.
        settings: What decides the bytes of the run, as JSON values.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Take the folder and the settings; nothing is read or written yet."""
        self.settings = {"command": _COMMAND, **settings}
        text = json.dumps(self.settings, sort_keys=True)
        self.run = hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
        self.folder = folder
        self._settings, self._journal, self.table = (folder / name for name in BOOKS)
        self._places: dict[str, int] = {}
        self._end = 0

    def load(self, *, overwrite: bool) -> None:
        """Read what earlier runs noted; nothing is written.

        Args:
            overwrite: Whether an earlier run may have had other settings.

        Raises:
            ValueError: The folder holds a run with other settings, files by these names that are no
                books, or a journal that cannot be read.
        """
        names = [name for name in BOOKS if (self.folder / name).exists()]
        if not names:
            return
        found = _read(self._settings)
        if found.get("command") != _COMMAND:
            what = "a folder of this command or a new one"
            got = f"{self.folder} with another {listed(names)}"
            remedy = "Choose another folder: what no run wrote is never written over."
            raise ValueError(expected("destination", what, got, remedy))
        if found != self.settings and not overwrite:
            raise ValueError(self._other_settings(found))
        self._load_journal()

    def records(self, files: Iterable[str]) -> Iterator[Record | None]:
        """Look up the last record of each image, None where no run knows it."""
        if not self._places:
            yield from (None for _ in files)
            return
        with self._journal.open("rb") as journal:
            for file in files:
                place = self._places.get(file)
                if place is None:
                    yield None
                else:
                    journal.seek(place)
                    yield Record(**json.loads(journal.readline()))

    def others(self, files: Iterable[str]) -> list[str]:
        """List the images of earlier runs that are not among `files`, sorted."""
        return sorted(self._places.keys() - set(files))

    def open(self, claims: Iterable[Record]) -> None:
        """Write down the settings and the images that are to be cleaned.

        Args:
            claims: A record for each image. With the first one the table of an earlier run goes:
                where there is a table, the work is finished.
        """
        with whole_file(self._settings) as temporary:
            text = json.dumps(self.settings, indent=2, sort_keys=True)
            temporary.write_text(f"{text}\n", encoding="utf-8")
        if self._journal.exists():
            # A run that was killed while it wrote leaves a line without its end
            os.truncate(self._journal, self._end)
        with self._journal.open("ab") as journal:
            for claim in claims:
                self.table.unlink(missing_ok=True)
                self._places[claim.file] = journal.tell()
                journal.write(claim.line())

    def add(self, record: Record) -> None:
        """Note what became of an image."""
        with self._journal.open("ab") as journal:
            self._places[record.file] = journal.tell()
            journal.write(record.line())

    def finish(self, files: Sequence[str]) -> npt.NDArray[np.float64]:
        """Write the table, whole, and bring the journal into its order.

        Args:
            files: Images in the order of the table, each with a record.

        Returns:
            Share masked of each image (N,), nan where there is no clean image.
        """
        shares = np.full(len(files), np.nan)
        with (
            whole_file(self._journal) as new_journal,
            new_journal.open("wb") as lines,
            whole_file(self.table) as new_table,
            new_table.open(
                "w", encoding="utf-8", newline="", errors="surrogateescape"
            ) as table,  # a file name may hold bytes that are no text
        ):
            rows = csv.writer(table, lineterminator="\n")
            rows.writerow(COLUMNS)
            records = filter(None, self.records([*files, *self.others(files)]))
            for number, record in enumerate(records):
                lines.write(record.line())
                if number < len(files):
                    rows.writerow(record.row())
                    shares[number] = record.share_masked if record.done else np.nan
        return shares

    def _other_settings(self, found: Mapping[str, Any]) -> str:
        """Word which settings differ, and what to do."""
        differ = describe_differences({**found}, self.settings)
        what = "a new folder or one of the same settings"
        remedy = "Choose another folder, or `overwrite` to make everything in this one anew."
        return expected("destination", what, f"{self.folder} of others ({listed(differ)})", remedy)

    def _load_journal(self) -> None:
        if not self._journal.exists():
            return
        with self._journal.open("rb") as journal:
            for number, line in enumerate(journal, start=1):
                if not line.endswith(b"\n"):
                    break
                self._places[self._file_of(line, number)] = self._end
                self._end += len(line)

    def _file_of(self, line: bytes, number: int) -> str:
        """Find the image of a line; what others changed may be wrong about more than one."""
        try:
            return Record(**json.loads(line)).file
        except (TypeError, ValueError):
            what = "a file with the record of an image in each line"
            remedy = "Choose another folder, or delete this one to clean its images again."
            got = f"line {number} that is none"
            raise ValueError(expected(str(self._journal), what, got, remedy)) from None


def _read(path: Path) -> dict[str, Any]:
    """Read settings; empty where there are none."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

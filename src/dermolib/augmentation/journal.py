"""A folder that a run fills file by file, can be interrupted at any moment, and continued."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dermolib._jobs import TEMPORARY, describe_differences
from dermolib._validation import expected, listed
from dermolib.io import whole_file

__all__ = ["COLUMNS", "RunFolder"]

COLUMNS = (
    "ID",
    "CLASS",
    "SEX",
    "AGE",
    "POSITION",
    "LESION_ID",
    "SOURCE_ID",
    "COPY",
    "SEED",
    "ATTEMPTS",
    "PRESET",
    "TRANSFORMS",
    "FILE",
    "MASK_FILE",
)
"""Columns of a manifest, in their order."""

Row = dict[str, str]

_SETTINGS = "run.json"
_PROGRESS = "progress.jsonl"
_MANIFEST = "manifest.csv"


class RunFolder:
    """The destination of a run: its settings, its progress and at the end its manifest.

    Args:
        path: Folder, made where missing.
        settings: What decides the bytes of the run, as JSON values.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Take the folder and the settings; nothing is read or written yet."""
        self.path = path
        self.settings = dict(settings)

    def check(self) -> None:
        """Refuse a folder that holds something else; nothing is written.

        Raises:
            ValueError: It is a file, or holds something else or a run with other settings.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(expected("destination", "a folder", f"the file {self.path}"))
        if (self.path / _SETTINGS).exists():
            self._compare()
        else:
            self._check_empty()

    def open(self, names: Iterable[str]) -> dict[str, Row]:
        """Claim the folder for this run, or find what the same run finished before.

        Args:
            names: Files that the run will write, so that halves of them can be cleared away.

        Returns:
            Manifest rows of finished copies by id.

        Raises:
            ValueError: The folder holds something else, a run with other settings, or notes of its
                progress that cannot be read.
        """
        self.check()
        if not (self.path / _SETTINGS).exists():
            self._claim()
        self._clear({*names, _SETTINGS, _PROGRESS, _MANIFEST})
        rows = {row["ID"]: row for row in self._recorded() if self._is_there(row)}
        self._write_progress(rows.values())
        return rows

    def add(self, rows: Iterable[Row]) -> None:
        """Note finished copies."""
        with (self.path / _PROGRESS).open("a", encoding="utf-8") as file:
            file.writelines(_line(row) for row in rows)

    def finish(self, rows: Iterable[Row]) -> Path:
        """Write the manifest, whole, and drop the notes on the progress.

        Returns:
            Path of the manifest.
        """
        with (
            whole_file(self.path / _MANIFEST) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (self.path / _PROGRESS).unlink()
        return self.path / _MANIFEST

    def _check_empty(self) -> None:
        present = sorted(self.path.iterdir()) if self.path.exists() else []
        others = [path.name for path in present if not path.name.startswith(".")]
        if others:
            what = "an empty folder or one of the same run"
            got = f"{self.path} with {len(others)} other files ({listed(others)})"
            remedy = "Choose a new folder: nothing that exists is written over."
            raise ValueError(expected("destination", what, got, remedy))

    def _claim(self) -> None:
        with whole_file(self.path / _SETTINGS) as temporary:
            text = json.dumps(self.settings, indent=2, sort_keys=True)
            temporary.write_text(f"{text}\n", encoding="utf-8")

    def _compare(self) -> None:
        try:
            found = json.loads((self.path / _SETTINGS).read_text(encoding="utf-8"))
        except ValueError:  # of the decoder of JSON or of UTF-8
            found = None
        wanted = json.loads(json.dumps(self.settings))
        if found == wanted:
            return
        found = found if isinstance(found, dict) else {}
        differ = describe_differences(found, wanted)
        what = "an empty folder or one of the same run"
        remedy = "Choose a new folder, delete this one, or call with its settings to continue it."
        got = f"{self.path} of another run ({listed(differ)})"
        raise ValueError(expected("destination", what, got, remedy))

    def _clear(self, names: set[str]) -> None:
        for path in self.path.glob(".*"):
            match = TEMPORARY.fullmatch(path.name)
            if match and f"{match['stem']}{match['suffix']}" in names:
                path.unlink()

    def _recorded(self) -> list[Row]:
        manifest, progress = self.path / _MANIFEST, self.path / _PROGRESS
        rows: list[Row] = []
        if manifest.exists():
            with manifest.open(encoding="utf-8", newline="") as file:
                found: list[Any] = list(csv.DictReader(file))
            rows += [_checked(row, manifest, place) for place, row in enumerate(found, start=2)]
        if progress.exists():
            # A run that is killed while it writes leaves the last line without its end.
            whole = progress.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
            rows += [_checked(_read(line), progress, at) for at, line in enumerate(whole, start=1)]
        return rows

    def _is_there(self, row: Row) -> bool:
        return all((self.path / row[key]).exists() for key in ("FILE", "MASK_FILE") if row[key])

    def _write_progress(self, rows: Iterable[Row]) -> None:
        with whole_file(self.path / _PROGRESS) as temporary:
            temporary.write_text("".join(map(_line, rows)), encoding="utf-8")


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _checked(row: Any, path: Path, place: int) -> Row:
    """Refuse what is not a row: notes that others changed may be wrong about more than one file."""
    if isinstance(row, dict) and row.keys() == {*COLUMNS}:
        values = row.values()
        if all(isinstance(value, str) for value in values):
            return row
    what = "a file with a copy's row in each line"
    remedy = "Delete the file to draw its copies again."
    raise ValueError(expected(str(path), what, f"line {place} that is none", remedy))


def _line(row: Row) -> str:
    return f"{json.dumps(row)}\n"

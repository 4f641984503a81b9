"""Work on the images of a folder: each becomes other files, resumably, with a row of a table."""

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import cv2

from dermolib._jobs import Job, Record, describe_failure
from dermolib._validation import listed, printable, require
from dermolib.io import check_file, check_names, digest_file, remove_halves

__all__ = ["IMAGE_FORMATS", "FolderWork", "Outcome", "check_beside", "check_targets", "run_work"]

IMAGE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}  # others become PNG
# Of an image or a function of the user, not of a disk
_FAILURES = (ValueError, TypeError, RuntimeError, FileNotFoundError, MemoryError, cv2.error)
_NAMED = 100  # failures that a report names; the table has all
_FIELDS = {
    "error": str,
    **dict.fromkeys(("height", "width", "size", "modified"), int),
    "digests": list,
}


@dataclass(frozen=True)
class FolderWork:
    """What becomes of the images of a folder, and where it goes.

    Subclasses name the files that an image becomes (`FILES` are the fields of its record that do),
    make them, and fill the other fields of its record, of which `FOUND` holds what stands for
    nothing yet. `TABLE` is the name of the table, and `COLUMNS` are the fields that it shows.
    """

    source: Path
    destination: Path

    FILES: ClassVar[tuple[str, ...]] = ("output",)
    FOUND: ClassVar[Mapping[str, Any]] = {}
    TABLE: ClassVar[str] = ""
    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def names(self, file: str) -> dict[str, str]:
        """Name the files that an image becomes, relative to the destination; empty for none."""
        raise NotImplementedError

    def process(self, path: Path, targets: Sequence[Path]) -> Record:
        """Make the files of an image; returns its height, its width, and the fields of `FOUND`."""
        raise NotImplementedError

    def folders(self) -> list[Path]:
        """List the folders of what is made, the destination first."""
        return [self.destination]

    def fields(self) -> dict[str, type]:
        """Give the types of the fields of a record."""
        found = {name: type(value) for name, value in self.FOUND.items()}
        return {**dict.fromkeys(self.FILES, str), **_FIELDS, **found}

    def targets(self, file: str) -> list[Path]:
        """List the files that an image becomes."""
        return [self.destination / name for name in self.names(file).values() if name]

    def record(self, file: str) -> Record:
        """Claim a file: with neither height nor error, a run has begun it at most."""
        unknown = {"size": -1, "modified": -1, "height": 0, "width": 0}
        return {
            "file": file,
            **self.names(file),
            **unknown,
            **self.FOUND,
            "error": "",
            "digests": [],
        }


@dataclass(frozen=True)
class Outcome:
    """What became of the images of a run; of the failures the first 100 with their reasons."""

    processed: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    orphaned: tuple[str, ...]


def check_beside(source: Path, folder: Path, name: str) -> None:
    """Refuse a folder in the source or around it, where a run would read what it writes."""
    apart = not (folder.is_relative_to(source) or source.is_relative_to(folder))
    what = "a folder neither inside the source nor around it"
    got = f"{folder} for the source {source}"
    require(apart, name, what, got, "Choose a folder beside the source.")


def check_targets(files: Sequence[str], work: FolderWork, sheet: Path | None = None) -> None:
    """Refuse images that would become one file, on any file system."""
    targets = [(file, name) for file in files for name in work.names(file).values() if name]
    if sheet is not None:
        path = Path(os.path.relpath(sheet, work.destination)).as_posix()
        targets.insert(0, ("the contact sheet", path))
    check_names(targets, "source")


def run_work(
    job: Job,
    work: FolderWork,
    files: Sequence[str],
    *,
    overwrite: bool,
    errors: str,
    workers: int,
    progress: bool,
    note: Callable[[Record], None],
) -> Outcome:
    """Make of each image what a job that is open has not made yet, then the table.

    Args:
        job: The job, opened.
        work: What is made.
        files: Images, relative to the source.
        overwrite: Whether everything is made again.
        errors: ``"record"``, or ``"raise"`` to stop at the first image that fails.
        workers: Number of parallel workers.
        progress: Whether a bar is shown.
        note: Gets each record as it is made.

    Returns:
        What became of the images.

    Raises:
        ValueError: The destination has files that no run wrote, or an image failed.
    """
    intact = job.intact(files, work.targets, workers=workers, progress=progress)
    todo = _claim(job, files, work, set() if overwrite else intact)
    skipped, failures, failed = len(files) - len(todo), list[tuple[str, str]](), 0
    calls = ((file, work) for file in todo)
    for record in job.map(
        _work_on, calls, workers=workers, total=len(files), done=skipped, progress=progress
    ):
        job.add([record])
        if record["error"] and errors == "raise":
            named = printable(record["file"]) in record["error"]
            where = "" if named else f" It was {record['file']}."
            raise ValueError(printable(f"{record['error']}{where}"))
        note(record)
        failed += bool(record["error"])
        if record["error"] and len(failures) < _NAMED:
            failures.append((record["file"], record["error"]))
    orphaned = sorted(job.keys() - set(files))
    job.write_table(work.TABLE, work.COLUMNS, _rows(job, work, files))
    job.finish([*files, *orphaned])
    return Outcome(len(todo), skipped, failed, tuple(failures), tuple(orphaned))


def _claim(job: Job, files: Sequence[str], work: FolderWork, intact: Container[str]) -> list[str]:
    """List the images to work on, and note that what they become is ours before it is written."""
    target, path = job.folder, job.folder / work.TABLE
    todo, outdated = list[str](), list[tuple[Path, list[str]]]()
    foreign = [path] if path.exists() and not job.path.exists() else []
    for file, record in zip(files, job.records(files), strict=True):
        names = work.names(file)
        # An image that failed has no files
        known = record is not None and not record["error"]
        ours = {"", *(record[name] for name in work.FILES)} if record and known else {""}
        new = (target / name for name in names.values() if name not in ours)
        foreign += [one for one in new if os.path.lexists(one)]
        if record and file in intact and job.is_current(file) and _is_done(record, work):
            continue
        todo.append(file)
        outdated += _outdated(target, file, record, names) if record else []
    what = "a folder without other files of the same names"
    got = f"{len(foreign)} that no run wrote ({listed(foreign)})"
    hint = "Move them away, or choose another folder: what no run wrote is never overwritten."
    require(not foreign, "destination", what, got, hint)
    written = chain([work.TABLE], *(work.names(file).values() for file in files))
    remove_halves(work.folders(), written)
    for one, digests in outdated:
        if one.is_file() and (not digests or digest_file(one) in digests):
            one.unlink()
    if todo:
        path.unlink(missing_ok=True)  # where there is a table, the work is finished
        job.add(map(work.record, todo))
    return todo


def _outdated(
    target: Path, file: str, record: Record, names: Mapping[str, str]
) -> list[tuple[Path, list[str]]]:
    """List what an earlier run made under another ending, with its digests."""
    if record["output"] == names["output"]:
        return []
    old = PurePosixPath(record["output"])
    # Anyone may have changed the journal: nothing else is deleted on its word
    known = old.suffix in {*IMAGE_FORMATS, PurePosixPath(file).suffix}
    same = known and old.with_suffix("") == PurePosixPath(file).with_suffix("")
    return [(target / old, record["digests"])] if same else []


def _is_done(record: Record, work: FolderWork) -> bool:
    """Tell whether an image was made of the source as it is now, by size and time of change."""
    try:
        source = (work.source / record["file"]).stat()
    except OSError:
        return False
    same = (source.st_size, source.st_mtime_ns) == (record["size"], record["modified"])
    return bool(record["height"]) and same


def _work_on(file: str, work: FolderWork) -> Record:
    """Work on one image file; one that fails loses what an earlier run made of it.

    An error in writing, such as a full disk, passes through.
    """
    record, targets = work.record(file), work.targets(file)
    path = work.source / file
    try:
        check_file(path)
        state = path.stat()  # taken before the file is read
        record |= {"size": state.st_size, "modified": state.st_mtime_ns}
        found = work.process(path, targets)
    except _FAILURES as error:
        for target in targets:
            target.unlink(missing_ok=True)
        return record | {"error": describe_failure(error, work.source)}
    return record | found | {"digests": [digest_file(target) for target in targets]}


def _rows(job: Job, work: FolderWork, files: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Give the row of each image; one that failed has its name and the reason."""
    for record in filter(None, job.records(files)):
        kept = work.COLUMNS if record["height"] else ("file", "id", "error")
        cells = {name: record[name] for name in kept if name in record}
        yield tuple(_cell(cells.get(name, "")) for name in work.COLUMNS)


def _cell(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value

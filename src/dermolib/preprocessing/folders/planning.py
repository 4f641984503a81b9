"""What a run over a folder has to do, and what it must not touch."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from dermolib._jobs import TEMPORARY
from dermolib._validation import expected, listed
from dermolib.preprocessing.folders.cleaning import Cleaning
from dermolib.preprocessing.folders.contact_sheet import is_contact_sheet
from dermolib.preprocessing.folders.ledger import BOOKS, Ledger, Record

__all__ = ["Plan", "check_apart", "check_names", "check_sheet", "clear_halves", "plan"]


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        todo: Images to clean.
        outdated: Clean images of earlier runs under names that the new ones do not have.
    """

    todo: list[str]
    outdated: list[Path]


def check_apart(source: Path, destination: Path, masks: Path | None) -> None:
    """Refuse folders of which a run would read what it writes, or write one file twice.

    Args:
        source: Folder of the images, resolved.
        destination: Folder of the clean images, resolved.
        masks: Folder of the masks, resolved, or None.

    Raises:
        ValueError: One that is written lies in the source or around it, both are one, or one is a
            file.
    """
    named = {"destination": destination} | ({} if masks is None else {"masks": masks})
    for name, folder in named.items():
        if folder.exists() and not folder.is_dir():
            raise ValueError(expected(name, "a folder", f"the file {folder}"))
        if folder.is_relative_to(source) or source.is_relative_to(folder):
            what = "a folder neither inside the source nor around it"
            got = f"{folder} for the source {source}"
            raise ValueError(expected(name, what, got, "Choose a folder beside the source."))
    if masks == destination:
        what = "a folder apart from the clean images"
        raise ValueError(expected("masks", what, f"the destination {destination}"))


def check_sheet(sheet: Path, source: Path) -> None:
    """Refuse a path for the contact sheet where it would harm something.

    Args:
        sheet: Path of the contact sheet, resolved.
        source: Folder of the images, resolved.

    Raises:
        ValueError: It is no PNG, lies in the source, or is a file that is no contact sheet.
    """
    if sheet.suffix.lower() != ".png":
        raise ValueError(expected("contact_sheet", "a file ending in .png", str(sheet)))
    if sheet.is_relative_to(source):
        what = "a file outside the source"
        raise ValueError(expected("contact_sheet", what, str(sheet)))
    if sheet.exists() and not is_contact_sheet(sheet):
        what = "a new file or an earlier contact sheet"
        remedy = "Choose another name: no other file is written over."
        raise ValueError(expected("contact_sheet", what, str(sheet), remedy))


def check_names(files: Iterable[str], cleaning: Cleaning, sheet: Path | None) -> None:
    """Refuse images whose clean images or masks would be one file.

    Names that differ in case alone count as one, on every system: what works on one would lose
    files on another.

    Args:
        files: Images, relative to the source.
        cleaning: Where they go.
        sheet: Path of the contact sheet, resolved, or None.

    Raises:
        ValueError: Two images, or an image and the contact sheet, share a file.
    """
    taken: dict[str, str] = {}
    if sheet is not None:
        taken[_key(os.path.relpath(sheet, cleaning.destination))] = "the contact sheet"
    for file in files:
        for target in cleaning.targets(file):
            other = taken.setdefault(_key(target), file)
            if other != file:
                what = "a folder whose images keep apart under their new names"
                got = f"{other} and {file}, which would both be {target} in the destination"
                remedy = "Rename one of them, or exclude it."
                raise ValueError(expected("source", what, got, remedy))


def _key(name: str) -> str:
    """Reduce a name to what file systems that ignore case and Unicode forms tell apart."""
    return unicodedata.normalize("NFC", Path(name).as_posix()).casefold()


def plan(files: Sequence[str], cleaning: Cleaning, ledger: Ledger, *, overwrite: bool) -> Plan:
    """Find what is left to do, and refuse to write over what no run wrote.

    Args:
        files: Images, relative to the source.
        cleaning: How and where.
        ledger: Books of the destination, loaded.
        overwrite: Whether to do what is done again.

    Returns:
        The plan.

    Raises:
        ValueError: Files that no run wrote are in the way.
    """
    todo: list[str] = []
    outdated: list[Path] = []
    foreign: list[Path] = []
    for file, record in zip(files, ledger.records(files), strict=True):
        foreign += _foreign(file, record, cleaning)
        if overwrite or not _is_done(record, cleaning):
            todo.append(file)
            outdated += _outdated(record, cleaning)
    if foreign:
        what = "a folder without other files of the same names"
        remedy = "Choose another folder: what no run wrote is never written over."
        got = f"{len(foreign)} that no run wrote ({listed(foreign)})"
        raise ValueError(expected("destination", what, got, remedy))
    return Plan(todo, outdated)


def _foreign(file: str, record: Record | None, cleaning: Cleaning) -> Iterator[Path]:
    """Find what lies where a run will write and is not from an earlier one."""
    known = () if record is None else (record.output, record.mask)
    for name in cleaning.targets(file):
        if name not in known and os.path.lexists(cleaning.destination / name):
            yield cleaning.destination / name


def _is_done(record: Record | None, cleaning: Cleaning) -> bool:
    """Tell whether the same settings have made of the same source what is still there."""
    if record is None or not record.done or record.run != cleaning.run:
        return False
    try:
        source = (cleaning.source / record.file).stat()
        made = [(cleaning.destination / name).stat() for name in cleaning.targets(record.file)]
    except FileNotFoundError:
        return False
    same = (source.st_size, source.st_mtime_ns) == (record.size, record.modified)
    return same and all(state.st_size for state in made)  # a power cut may leave empty files


def _outdated(record: Record | None, cleaning: Cleaning) -> Iterator[Path]:
    """Find the clean image of an earlier run, if the new one will have another ending."""
    if record is None or record.output == cleaning.output(record.file):
        return
    old = PurePosixPath(record.output)
    # The journal is a file that anyone may have changed: nothing else is deleted on its word
    if old.with_suffix("") == PurePosixPath(record.file).with_suffix(""):
        yield cleaning.destination / old


def clear_halves(cleaning: Cleaning, files: Iterable[str]) -> None:
    """Delete the temporary files that a killed run left behind.

    Args:
        cleaning: Where it wrote.
        files: Images, relative to the source.
    """
    halves: dict[str, list[Path]] = {}
    for folder in {cleaning.destination, cleaning.destination / (cleaning.masks or ".")}:
        for path in folder.rglob(".*-*"):
            match = TEMPORARY.fullmatch(path.name)
            if match:
                whole = path.with_name(f"{match['stem']}{match['suffix']}")
                name = os.path.relpath(whole, cleaning.destination)
                halves.setdefault(Path(name).as_posix(), []).append(path)
    if not halves:
        return
    for name in chain(BOOKS, *(cleaning.targets(file) for file in files)):
        for path in halves.get(name, ()):
            path.unlink(missing_ok=True)

"""Public collections of dermoscopic images to a folder: fetched, checked, unpacked, on request."""

import errno
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from dermolib._jobs import exclusive_lock, explain_disk_full
from dermolib._validation import PathLike, check_choice, check_number, expected
from dermolib.datasets.download.collections import (
    Archive,
    Collection,
    find_collection,
    list_collections,
)
from dermolib.datasets.download.fetch import Patience, Remote, Stopped, digest_of, fetch, forget
from dermolib.datasets.download.journal import Journal, Record
from dermolib.datasets.download.names import LEDGER
from dermolib.datasets.download.part import check_part
from dermolib.datasets.download.threads import in_threads
from dermolib.datasets.download.unpacking import check_zip, unpacked

__all__ = ["Download", "DownloadedFile", "download", "list_collections"]

_SMALL = 1 << 26  # bytes: what is smaller is digested anew by each call, larger by its time
_TITLES = {"sha256": "SHA-256", "md5": "MD5"}


@dataclass(frozen=True)
class DownloadedFile:
    """One file of a collection, in its place.

    Attributes:
        name: Name as published.
        path: The file, or the folder that it was unpacked to.
        size: Size of the published file in bytes; 0 where only its folder was found.
        sha256: SHA-256 of it in hexadecimal; empty where only its folder was found.
        checked: How it was checked, in words.
        fetched: Whether this call fetched it.
    """

    name: str
    path: Path
    size: int
    sha256: str
    checked: str
    fetched: bool


@dataclass(frozen=True)
class Download:
    """What `download` has brought to a folder; printed, it says how each file was checked.

    Attributes:
        collection: The collection.
        folder: Folder of the files.
        files: The files that were asked for.
    """

    collection: Collection
    folder: Path
    files: tuple[DownloadedFile, ...]

    def __str__(self) -> str:
        """Say what was done, and under which licence the images are."""
        new = sum(file.fetched for file in self.files)
        done = f"{new} fetched" if new else "nothing to do: all are there"
        lines = [f"{self.collection.title}: {len(self.files)} files in {self.folder}, {done}"]
        for file in self.files:
            size = f"{file.size:,} bytes, " if file.size else ""
            lines.append(f"  {file.path.name}: {size}checked by {file.checked}")
        lines.append(f"Licence: {self.collection.licence}. Cite {self.collection.citation}.")
        return "\n".join(lines)


def download(
    collection: str | Collection,
    destination: PathLike,
    *,
    parts: Sequence[str] | None = None,
    workers: int = 4,
    unpack: bool = True,
    keep: bool = False,
    progress: bool = True,
    patience: Patience | None = None,
) -> Download:
    """Fetch a public collection into a folder, in the layout of its publisher.

    Nothing else in the library fetches a collection: it happens where this is called. A file takes
    its place when it is whole and checked: by the digest that is published; where none is, by its
    size and the CRC of each file inside, and ``downloads.json`` notes the SHA-256 that later calls
    hold it to. Until then it is ``NAME.part``, from which the same call goes on after Ctrl-C, a
    kill or a broken line. An archive is unpacked to a folder of its name, which appears whole.

    A file or folder that is in its place already is neither fetched nor changed. A file is checked
    all the same; a folder that was not unpacked by this function is taken as it is, and the result
    says so. Of a folder that was, the number and size of the files are looked at.

    Args:
        collection: One of `list_collections`, or the description of another collection.
        destination: Folder of the files, made where missing; one call works on it at a time.
        parts: Parts of the collection, such as ``["training"]``; None for all.
        workers: Number of files that are fetched or unpacked at a time, 1 or more.
        unpack: Whether zip files are unpacked.
        keep: Whether zip files stay when they have been unpacked.
        progress: Whether a progress bar is shown.
        patience: How often and how long servers are tried; None for the defaults.

    Returns:
        The files, where they are, and how each was checked.

    Raises:
        ConnectionError: A server cannot be reached, refuses, or does not give a file whole.
        FileExistsError: `destination` is a file, or lies in one.
        OSError: The disk is full.
        TypeError: `destination` is no path, or `parts` no list.
        ValueError: The collection or a part of it is unknown, `parts` is empty, another call works
            on the folder, something of another kind lies in the place of a file, a file that came
            or that lies there is not the published one, or an archive holds what may not be
            unpacked.

    Examples:
        >>> download("isic2017", "data")
        Traceback (most recent call last):
        ValueError: Expected `collection` to be one of 'isic2018', 'isic2019', 'isic2020',
        'ham10000', but got 'isic2017'. Did you mean 'isic2019'?
    """
    if not isinstance(collection, Collection):
        collection = find_collection(collection)
    files = _chosen(collection, parts)
    check_number(workers, "workers", low=1, integer=True)
    folder = _folder(destination)
    with exclusive_lock(folder):
        run = _Run(folder, files, unpack=unpack, keep=keep, patience=patience, progress=progress)
        with explain_disk_full(folder), run.bar:
            done = in_threads(run.obtain, files, workers=workers, stop=run.stop)
    return Download(collection, folder, tuple(done))


def _chosen(collection: Collection, parts: Sequence[str] | None) -> list[Archive]:
    if isinstance(parts, str):
        remedy = f"Write `[{parts!r}]` for this one."
        raise TypeError(expected("parts", "a list of names", repr(parts), remedy))
    if parts is None:
        return list(collection.files)
    if not isinstance(parts, Iterable):
        raise TypeError(expected("parts", "a list of names", repr(parts)))
    parts = list(parts)
    if not parts:
        remedy = "Leave `parts` out for the whole collection."
        raise ValueError(expected("parts", "a list of names, one or more", "none", remedy))
    for part in parts:
        check_choice(part, "parts", collection.parts)
    return [file for file in collection.files if file.part in parts]


def _folder(destination: object) -> Path:
    if not isinstance(destination, (str, os.PathLike)):
        raise TypeError(expected("destination", "the path of a folder", repr(destination)))
    folder = Path(destination)
    for place in (folder, *folder.parents):
        if os.path.lexists(place) and not place.is_dir():
            got, remedy = f"the file {place}", "Name another folder."
            what = "a folder, or not there"
            raise FileExistsError(expected("destination", what, got, remedy))
    return folder


def _check_kind(path: Path, *, folder: bool) -> None:
    """Refuse what is neither missing nor of the kind that belongs there; a link to nowhere too."""
    if os.path.lexists(path) and not (path.is_dir() if folder else path.is_file()):
        what = f"a {'folder' if folder else 'file'}, or not there"
        remedy = "Move it away, and call again."
        raise ValueError(expected(str(path), what, "something else", remedy))


class _Run:
    """One call of `download`: the journal of the folder, the bar, and the way of each file."""

    def __init__(
        self,
        folder: Path,
        files: Sequence[Archive],
        *,
        unpack: bool,
        keep: bool,
        patience: Patience | None,
        progress: bool,
    ) -> None:
        self.folder, self.unpack, self.keep = folder, unpack, keep
        self.patience = patience or Patience()
        self.journal = Journal(folder)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        for file in files:
            _check_kind(self._target(file), folder=self._target(file).name != file.name)
        missing = [file for file in files if not self._is_there(file)]
        for file in missing:
            _check_kind(folder / file.name, folder=False)
            check_part(self._part(file))
        self._check_room(missing)
        total = sum(file.size or 0 for file in missing)
        self.bar = tqdm(total=total, unit="B", unit_scale=True, disable=not progress)

    def obtain(self, file: Archive) -> DownloadedFile:
        """Bring a file to its place."""
        if self._is_there(file):
            done = self._found(file)
            forget(self._part(file))  # of a run that was killed at the very end
            return done
        archive = self.folder / file.name
        if archive.exists():
            record, source = self._check_file(file), archive
        else:
            record, source = self._fetch(file), self._part(file)
        try:
            record = self._place(file, record, source)
        except ValueError as error:
            if source == archive:
                raise
            forget(source)
            raise ValueError(f"{error} It was thrown away: call again to fetch it.") from error
        return self._described(file, record, fetched=source != archive)

    def _target(self, file: Archive) -> Path:
        return self.folder / (file.target if self.unpack else file.name)

    def _part(self, file: Archive) -> Path:
        return self.folder / f"{file.name}.part"

    def _is_there(self, file: Archive) -> bool:
        target = self._target(file)
        return any(target.iterdir()) if target.is_dir() else target.exists()

    def _described(self, file: Archive, record: Record, *, fetched: bool) -> DownloadedFile:
        target = self._target(file)
        return DownloadedFile(
            file.name, target, record.size, record.sha256, record.checked, fetched
        )

    def _check_room(self, missing: Sequence[Archive]) -> None:
        """Refuse a disk without room before hours are spent; unpacking takes the size once more."""
        need = sum(file.size or 0 for file in missing)
        if self.unpack:
            need += max((file.size or 0 for file in missing if file.target != file.name), default=0)
        need -= sum(p.stat().st_size for p in map(self._part, missing) if p.exists())
        free = shutil.disk_usage(self.folder).free
        if need > free:
            what = f"on a disk with {need:,} free bytes ({self.folder})"
            remedy = "Free some space, or name other `parts`."
            sentence = expected("destination", what, f"one with {free:,}", remedy)
            raise OSError(errno.ENOSPC, sentence)

    def _found(self, file: Archive) -> DownloadedFile:
        target = self._target(file)
        if file.target == file.name or not self.unpack:
            return self._described(file, self._check_file(file), fetched=False)
        record = self.journal.get(file.name)
        if record is None or not record.files:
            words = "nobody: its folder was there before"
            return DownloadedFile(file.name, target, 0, "", words, fetched=False)
        files, size = _measured(target)
        if files < record.files or size < record.bytes:
            what = f"the {record.files:,} files of {record.bytes:,} bytes that were unpacked"
            remedy = "Move the folder away, and it is fetched again."
            raise ValueError(expected(str(target), what, f"{files:,} of {size:,}", remedy))
        return self._described(file, record, fetched=False)

    def _check_file(self, file: Archive) -> Record:
        """Check a file that lies there: against what is published, or what was fetched first."""
        path, record = self.folder / file.name, self.journal.get(file.name)
        state = path.stat()
        known = record is not None and (record.size, record.modified) == (
            state.st_size,
            state.st_mtime_ns,
        )
        if record is not None and known and state.st_size > _SMALL:
            return record
        sha256, wanted = digest_of(path, "sha256"), self._wanted(file)
        algorithm, _, digest = (wanted or "sha256:").partition(":")
        seen = sha256 if algorithm == "sha256" else digest_of(path, algorithm)
        if (digest and seen != digest.lower()) or file.size not in (None, state.st_size):
            what = f"the file of {self._origin(file)}"
            got = f"another one of {state.st_size:,} bytes"
            remedy = "Move it away, and it is fetched again."
            raise ValueError(expected(str(path), what, got, remedy))
        if record is None:
            words = self._words(file) if digest or file.size else "nobody: it was there before"
            record = Record(state.st_size, sha256, words, fetched=False)
        record = replace(record, modified=state.st_mtime_ns)
        self.journal.put(file.name, record)
        return record

    def _first(self, file: Archive) -> Record | None:
        """Look up the first download of a file that has no published digest."""
        record = self.journal.get(file.name)
        fetched = record is not None and record.fetched
        return record if fetched and file.digest is None else None

    def _wanted(self, file: Archive) -> str | None:
        first = self._first(file)
        return file.digest if first is None else f"sha256:{first.sha256}"

    def _origin(self, file: Archive) -> str:
        if self._first(file) is None:
            return "its publisher"
        return "the first download, as downloads.json has it"

    def _words(self, file: Archive) -> str:
        if file.digest is not None:
            return f"the published {_TITLES[file.digest.partition(':')[0]]}"
        if self._first(file) is not None:
            return "the SHA-256 of the first download"
        size = f"its size as {'the server states' if file.size is None else 'published'}"
        inside = ", and the CRC of each file in it" if file.name.endswith(".zip") else ""
        return f"{size}{inside}, without a digest"

    def _fetch(self, file: Archive) -> Record:
        wanted, words, part = self._wanted(file), self._words(file), self._part(file)
        remedy = "" if self._first(file) is None else _way_out(self.folder, file.name)
        fetched = fetch(
            Remote(file.name, file.urls, file.size, wanted, self._origin(file), remedy),
            part,
            patience=self.patience,
            wait=self.stop.wait,
            advance=self._advance,
            state=self._count if file.size is None else None,
        )
        modified = part.stat().st_mtime_ns
        return Record(fetched.size, fetched.sha256, words, fetched=True, modified=modified)

    def _advance(self, count: int) -> None:
        with self.lock:
            self.bar.update(count)

    def _count(self, size: int) -> None:
        with self.lock:
            self.bar.total = (self.bar.total or 0) + size
            self.bar.refresh()

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _place(self, file: Archive, record: Record, source: Path) -> Record:
        """Unpack what has come, or move it; noted before it shows, as a kill may part the two."""
        archive = self.folder / file.name
        if file.target != file.name and self.unpack:
            self.bar.set_postfix_str(f"unpacking {file.target}")
            with unpacked(source, self._target(file), go_on=self._go_on) as content:
                record = replace(record, files=content.files, bytes=content.bytes)
                self.journal.put(file.name, record)
            if self.keep and source != archive:
                source.replace(archive)
        else:
            if file.target != file.name:
                check_zip(source, go_on=self._go_on)
            self.journal.put(file.name, record)
            source.replace(archive)
        forget(self._part(file))
        return record


def _way_out(folder: Path, name: str) -> str:
    return (
        f"To take the file that is there now, delete the entry {name!r} in {folder / LEDGER}, or "
        "that file, and call again."
    )


def _measured(folder: Path) -> tuple[int, int]:
    """Count the files of a folder and their bytes."""
    sizes = [
        entry.stat(follow_symlinks=False).st_size
        for place, _, _ in os.walk(folder)
        for entry in os.scandir(place)
        if entry.is_file(follow_symlinks=False)
    ]
    return len(sizes), sum(sizes)

"""Public collections of dermoscopic images: downloaded, checked and unpacked on request."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from dermolib._jobs import Job, Record, is_silent
from dermolib._validation import (
    PathLike,
    as_path,
    check_choice,
    check_number,
    listed,
    printable,
    require,
)
from dermolib.datasets.download.collections import (
    JOURNAL,
    Archive,
    Collection,
    digest_title,
    find_collection,
)
from dermolib.datasets.download.http import (
    Part,
    RetryPolicy,
    Stopped,
    check_digest,
    discard_part,
    transfer,
)
from dermolib.datasets.download.unpacking import check_zip, find_changed, unpacked

__all__ = ["Download", "DownloadedFile", "download"]

_SMALL = 1 << 26  # bytes: smaller files are hashed again by each call, larger ones known by time
_FIELDS = {
    **{"size": int, "sha256": str, "check": str, "downloaded": bool},
    **{"modified": int, "contents": dict},
}
_AWAY = "Move it away, and call again."
_JOIN = 1.0  # s that all threads get to end; one that waits for a silent server does nothing more
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class DownloadedFile:
    """One file of a collection, in its place.

    Attributes:
        name: Name as published.
        path: The file, or the folder that it was unpacked to.
        size: Size of the published file in bytes; 0 where only its folder was found.
        sha256: SHA-256 of it in hexadecimal; empty where only its folder was found.
        check: How it was checked, in words.
        downloaded: Whether this call downloaded it.
    """

    name: str
    path: Path
    size: int
    sha256: str
    check: str
    downloaded: bool


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
        """Say what was done, and under which license the images are."""
        new = sum(file.downloaded for file in self.files)
        done = f"{new} downloaded" if new else "nothing to do: all are there"
        lines = [f"{self.collection.title}: {len(self.files)} files in {self.folder}, {done}"]
        for file in self.files:
            size = f"{file.size:,} bytes, " if file.size else ""
            lines.append(f"  {file.path.name}: {size}{file.check}")
        lines.append(f"License: {self.collection.license}. Cite {self.collection.citation}.")
        return "\n".join(map(printable, lines))


def download(
    collection: str | Collection,
    destination: PathLike,
    *,
    parts: Sequence[str] | None = None,
    workers: int = 4,
    unpack: bool = True,
    keep: bool = False,
    progress: bool = True,
    retry: RetryPolicy | None = None,
) -> Download:
    """Download a public collection into a folder, in the layout of its publisher.

    Nothing else in the library downloads a collection. A file takes its place when it is complete
    and checked: by the digest that is published; where none is, by its size and the CRC of each
    file inside, and ``downloads.jsonl`` records the SHA-256 that later calls require of it. Until
    then it is ``NAME.part``, from which the same call resumes after Ctrl-C, a kill or a broken
    connection. An archive is unpacked to a folder of its name, which appears complete.

    A file or folder that is in its place already is neither downloaded nor changed. A file is
    checked all the same; a folder that was not unpacked by this function is taken as it is, and the
    result says so. Of a folder that was, each file is checked by its size and CRC. What is larger
    than 64 MB, as a file or as an archive, is not read again where size and time are the same.

    Args:
        collection: One of `list_collections`, or the description of another collection.
        destination: Folder of the files, made where missing; one call works on it at a time.
        parts: Parts of the collection, such as ``["training"]``; None for all.
        workers: Number of files that are downloaded or unpacked at a time, 1 or more.
        unpack: Whether zip files are unpacked.
        keep: Whether zip files stay when they have been unpacked.
        progress: Whether a progress bar is shown.
        retry: How often and how long servers are tried; None for the defaults.

    Returns:
        The files, where they are, and how each was checked.

    Raises:
        ConnectionError: A server cannot be reached, refuses, or does not send a whole file.
        FileExistsError: `destination` is a file, or lies in one.
        OSError: The disk is full.
        TypeError: `destination` is not a path, or `parts` not a list.
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
    files = _select(collection, parts)
    check_number(workers, "workers", low=1, integer=True)
    folder = _check_destination(destination)
    job = Job(folder, kind="download", settings={}, key="name", fields=_FIELDS, journal=JOURNAL)
    with job.open():
        run = _Run(job, unpack=unpack, keep=keep, retry=retry or RetryPolicy())
        run.check_places(files)
        with tqdm(unit="B", unit_scale=True, disable=is_silent(progress)) as run.bar:
            done = _in_threads(run.obtain, files, workers=workers, stop=run.stop)
    return Download(collection, folder, tuple(done))


def _select(collection: Collection, parts: Any) -> list[Archive]:
    if parts is None:
        return list(collection.files)
    several = isinstance(parts, Iterable) and not isinstance(parts, str)
    hint = f"Write `[{parts!r}]` for this one." if isinstance(parts, str) else ""
    require(several, "parts", "a list of names", repr(parts), hint, error=TypeError)
    parts, hint = list(parts), "Leave `parts` out for the whole collection."
    require(parts, "parts", "a list of names, one or more", "none", hint)
    for part in parts:
        check_choice(part, "parts", collection.parts)
    return [file for file in collection.files if file.part in parts]


def _check_destination(destination: PathLike) -> Path:
    is_path = isinstance(destination, (str, os.PathLike))
    require(is_path, "destination", "the path of a folder", repr(destination), error=TypeError)
    folder = as_path(destination, "destination")
    for place in (folder, *folder.parents):
        free, hint = place.is_dir() or not os.path.lexists(place), "Name another folder."
        what, got = "a folder, or missing", f"the file {place}"
        require(free, "destination", what, got, hint, error=FileExistsError)
    return folder


class _Run:
    """One call of `download`: how each file comes to its place."""

    def __init__(self, job: Job, *, unpack: bool, keep: bool, retry: RetryPolicy) -> None:
        self.job, self.unpack, self.keep, self.retry = job, unpack, keep, retry
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.sizes: dict[str, tuple[int, int]] = {}  # of each file, in bytes: received, total
        self.bar = tqdm(disable=True)

    def check_places(self, files: Sequence[Archive]) -> None:
        """Refuse places that are taken and a disk without room, before hours are spent."""
        for file in files:
            _check_kind(self._target(file), folder=self._unpacks(file))
        missing = [file for file in files if not self._is_there(file)]
        for file in missing:
            _check_kind(self.job.folder / file.name, folder=False)
            is_link = self._target(file).is_symlink()  # to an empty folder
            require(not is_link, str(self._target(file)), "a folder, or missing", "a link", _AWAY)
            self.sizes[file.name] = Part(self._part(file)).size, file.size or 0
        need = sum(max(total - size, 0) for size, total in self.sizes.values())
        # Unpacking takes the size once more
        need += max((file.size or 0 for file in missing if self._unpacks(file)), default=0)
        free = shutil.disk_usage(self.job.folder).free
        if need > free:
            words = f"one with {free:,} free bytes where these `parts` need {need:,}"
            raise OSError(errno.ENOSPC, words)

    def obtain(self, file: Archive) -> DownloadedFile:
        """Bring a file to its place."""
        archive, part, downloaded = self.job.folder / file.name, self._part(file), False
        if self._is_there(file):
            record = self._check_target(file)
            discard_part(part)  # of a run that was killed at the very end
        elif archive.exists():
            record = self._place(file, self._check_file(file), archive)
        else:
            record, downloaded = self._transfer(file), True
            try:
                record = self._place(file, record, part)
            except ValueError as error:
                discard_part(part)
                raise ValueError(f"{error} It was deleted: call again to download it.") from error
        known = {key: record[key] for key in ("size", "sha256", "check")}
        return DownloadedFile(file.name, self._target(file), **known, downloaded=downloaded)

    def _unpacks(self, file: Archive) -> bool:
        return self.unpack and file.target != file.name

    def _target(self, file: Archive) -> Path:
        return self.job.folder / (file.target if self.unpack else file.name)

    def _part(self, file: Archive) -> Path:
        return self.job.folder / f"{file.name}.part"

    def _is_there(self, file: Archive) -> bool:
        target = self._target(file)
        return any(target.iterdir()) if target.is_dir() else target.exists()

    def _check_target(self, file: Archive) -> Record:
        """Check a file that is there, or the files of a folder."""
        if not self._unpacks(file):
            return self._check_file(file)
        record, target = self.job.get(file.name), self._target(file)
        if record is None or not record["contents"]:
            return {"size": 0, "sha256": "", "check": "not checked: the folder was there before"}
        contents = {name: [*known] for name, known in record["contents"].items()}
        changed = find_changed(
            target,
            contents,
            always=record["size"] <= _SMALL,
            check_cancelled=self._check_cancelled,
        )
        what = f"a folder with the {len(contents):,} files as they were unpacked"
        got = f"{len(changed):,} missing or changed ({listed(changed)})"
        hint = "Move the folder away, and it is downloaded again."
        require(not changed, str(target), what, got, hint)
        if contents != record["contents"]:
            self.job.add([record | {"contents": contents}])
        return record

    def _check_file(self, file: Archive) -> Record:
        """Check a file that is there: against what is published, or the first download."""
        path, record = self.job.folder / file.name, self.job.get(file.name)
        size, modified = path.stat().st_size, path.stat().st_mtime_ns
        state = {"size": size, "modified": modified}
        if record is not None and size > _SMALL and state.items() <= record.items():
            return record
        known, origin, check = self._known(file)
        sha256, other = check_digest(known, path)
        matches = not other and file.size in (None, size)
        got, hint = f"another one of {size:,} bytes", "Move it away, and it is downloaded again."
        require(matches, str(path), origin, got, hint)
        if record is None:
            check = check if file.digest or file.size else "not checked: it was there before"
            record = _record(file, path, sha256, check, downloaded=False)
            self.job.add([record])
        elif record["modified"] != modified:
            self.job.add([record | state])
        return record

    def _known(self, file: Archive) -> tuple[Archive, str, str]:
        """Say what decides: the file with its digest, whose that is, and the check in words."""
        first = self.job.get(file.name)
        if file.digest is None and first is not None and first["downloaded"]:
            known = replace(file, digest=f"sha256:{first['sha256']}")
            return (
                known,
                f"the file of the first download (see {JOURNAL})",
                "matches the first download",
            )
        check = f"matches the published {digest_title(file)}"
        if file.digest is None:
            size = "size that the server states" if file.size is None else "published size"
            inside = " and the CRC of each file in it" if file.name.endswith(".zip") else ""
            check = f"matches the {size}{inside}; no digest is published"
        return file, "the published file", check

    def _transfer(self, file: Archive) -> Record:
        known, origin, check = self._known(file)
        way_out = (
            f"To take the file that is there now, delete the line of {file.name!r} in "
            f"{self.job.path}, or that file, and call again."
        )
        sha256 = transfer(
            known,
            self._part(file),
            retry=self.retry,
            wait=self.stop.wait,
            report=partial(self._report, file.name),
            origin=origin,
            hint="" if known is file else way_out,
        )
        return _record(file, self._part(file), sha256, check, downloaded=True)

    def _report(self, name: str, size: int, total: int | None) -> None:
        with self.lock:
            self.sizes[name] = size, total or 0
            self.bar.total = sum(total for _, total in self.sizes.values())
            self.bar.update(sum(size for size, _ in self.sizes.values()) - self.bar.n)

    def _check_cancelled(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _place(self, file: Archive, record: Record, source: Path) -> Record:
        """Unpack or move a file; recorded before it shows, as a kill may come in between."""
        archive = self.job.folder / file.name
        if self._unpacks(file):
            self.bar.set_postfix_str(printable(f"unpacking {file.target}"))
            target, check = self._target(file), self._check_cancelled
            with unpacked(source, target, check_cancelled=check) as contents:
                record = {**record, "contents": contents}
                self.job.add([record])
            if self.keep and source != archive:
                source.replace(archive)
        else:
            if file.target != file.name:
                check_zip(source, check_cancelled=self._check_cancelled)
            self.job.add([record])
            source.replace(archive)
        discard_part(self._part(file))
        return record


def _record(file: Archive, path: Path, sha256: str, check: str, *, downloaded: bool) -> Record:
    state = path.stat()
    values: tuple[Any, ...] = (
        file.name,
        state.st_size,
        sha256,
        check,
        downloaded,
        state.st_mtime_ns,
        {},
    )
    return dict(zip(("name", *_FIELDS), values, strict=True))


def _check_kind(path: Path, *, folder: bool) -> None:
    """Refuse what is neither missing nor of the kind that belongs there; a link to nowhere too."""
    fits = (path.is_dir() if folder else path.is_file()) or not os.path.lexists(path)
    what = f"a {'folder' if folder else 'file'}, or missing"
    require(fits, str(path), what, "something else", _AWAY)


def _in_threads(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    workers: int,
    stop: threading.Event,
) -> list[_Result]:
    """Call a function on many items; the first error ends all, and sets `stop`.

    The threads are daemons: a silent server does not keep a process that was interrupted.
    """
    futures = [Future[_Result]() for _ in items]
    todo = iter(list(zip(futures, items, strict=True)))  # one for all threads

    def work() -> None:
        for future, item in todo:
            if stop.is_set():
                return
            try:
                future.set_result(function(item))
            except BaseException as error:  # raised again where the caller waits
                future.set_exception(error)
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for future in as_completed(futures):
            future.result()
    finally:
        stop.set()
        end = time.monotonic() + _JOIN
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
    return [future.result() for future in futures]

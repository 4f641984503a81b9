"""One engine for resumable work on many files into one folder."""

import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import cv2
from tqdm import tqdm

from dermolib._validation import expected, listed, require
from dermolib.io import explain_disk_full, parse_json, remove_halves, whole_file

_LOCK = ".lock"
_BLOCK = 8  # tasks for each worker at a time, where a joblib backend only returns lists
_WORDED = (ValueError, TypeError, OSError, cv2.error)  # their words tell what they are
_Result = TypeVar("_Result")

Record = dict[str, Any]


class Job:
    """Resumable work on many files into one folder, with its progress in a journal (JSON Lines).

    The first line of the journal names the kind of job and its settings; each further line is the
    record of a finished key, of which the last one counts. Records above the last line of settings
    are of earlier runs with other settings: they tell which files are ours, and are not current. A
    torn last line of a killed run is ignored. Memory holds the keys and the places of their lines.

    Args:
        folder: Destination, made where missing.
        kind: Names the tool, so that a journal of another one is never taken for its own.
        settings: What decides the bytes of the results, as JSON values.
        key: Name of the field that tells records apart, a text.
        fields: Names of the other fields of a record.
        journal: Name of the journal.
        files: Names of the files that the job writes into its folder; any other one that is not
            hidden is refused. None lets other files lie in the folder.

    Attributes:
        folder: Folder of the job.
        path: The journal.
        fresh: Whether nothing was recorded with these settings yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kind: str,
        settings: Mapping[str, Any],
        key: str,
        fields: Collection[str],
        journal: str = "run.jsonl",
        files: Collection[str] | None = None,
    ) -> None:
        """Describe the job; nothing is read or written yet."""
        self.folder, self.path = folder, folder / journal
        self.fresh = True
        self._key, self._fields, self._files = key, {key, *fields}, files
        self._header = {"kind": kind, "settings": json.loads(json.dumps(settings))}
        self._places: dict[str, int] = {}
        self._start = self._end = 0
        self._lock = threading.Lock()

    @contextmanager
    def open(self, *, overwrite: bool | None = None) -> Iterator["Job"]:
        """Open the folder for this run alone, to begin the job or to continue it.

        Inside the block other runs are kept out, OpenCV computes on one thread, and a full disk is
        explained. Opening writes nothing; what a killed run left half written is removed.

        Args:
            overwrite: Whether the folder may hold a run of other settings; None where a job gives
                no such choice.

        Yields:
            The job, with what earlier runs recorded.

        Raises:
            ValueError: The destination is a file, holds something else or a run of other settings,
                another run works on it, or its journal is damaged.
            OSError: The destination cannot be written, or the disk is full.
        """
        check_folder(self.folder, "destination")
        with exclusive_lock(self.folder), explain_disk_full(self.folder), one_thread():
            if self._files is not None:
                self._check_files(self._files)
            self._load(overwrite)
            remove_halves([self.folder], [self.path.name, *(self._files or ())])
            yield self

    def start(self) -> None:
        """Write the settings; what was recorded before is not current from here on."""
        line = _line(self._header)
        if self.path.exists():
            self._append([line])
        else:
            with whole_file(self.path) as temporary:
                temporary.write_bytes(line)
            self._end = len(line)
        self._start, self.fresh = self._end - len(line), False

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Record finished keys; the lines are on the disk when the call returns."""
        with self._lock:
            if self.fresh:
                self.start()
            place, places = self._end, dict[str, int | None]()

            def lines() -> Iterator[bytes]:
                nonlocal place
                for record in records:
                    places[record[self._key]] = place if len(record) > 1 else None
                    line = _line(record)
                    place += len(line)
                    yield line

            self._append(lines())
            self._note(places)

    def forget(self, keys: Iterable[str]) -> None:
        """Note that keys are no longer finished, before anything of theirs is overwritten."""
        self.add({self._key: key} for key in keys)

    def records(self, keys: Iterable[str]) -> Iterator[Record | None]:
        """Look up the last record of each key, None for unknown ones."""
        if not self._places:
            yield from (None for _ in keys)
            return
        with self.path.open("rb") as file:
            for key in keys:
                place = self._places.get(key)
                if place is not None:
                    file.seek(place)
                yield None if place is None else json.loads(file.readline())

    def get(self, key: str) -> Record | None:
        """Look up the last record of one key."""
        return next(self.records([key]))

    def keys(self) -> AbstractSet[str]:
        """Give all keys that have a record."""
        return self._places.keys()

    def is_current(self, key: str) -> bool:
        """Tell whether a key was recorded with the settings of this run."""
        return not self.fresh and self._places.get(key, -1) > self._start

    def map(
        self,
        function: Callable[..., _Result],
        tasks: Iterable[tuple[Any, ...]],
        *,
        workers: int,
        total: int,
        done: int,
        ordered: bool = True,
        count: Callable[[_Result], int] = lambda _: 1,
        progress: bool = True,
    ) -> Generator[_Result, None, None]:
        """Call a function on many tasks as `run_tasks` does, under a bar of `total` images."""
        with (
            tqdm(total=total, initial=done, unit="image", disable=not progress) as bar,
            closing(run_tasks(function, tasks, workers=workers, ordered=ordered)) as results,
        ):
            for result in results:
                yield result
                bar.update(count(result))

    def finish(self, keys: Sequence[str]) -> None:
        """Keep the records of these keys alone, in this order, those that are current last."""
        current = [key for key in keys if self.is_current(key)]
        earlier = [key for key in keys if key in self._places and not self.is_current(key)]
        groups = [({**self._header, "settings": None}, earlier)] if earlier else []
        places: dict[str, int] = {}
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            for header, group in (*groups, (self._header, current)):
                start = file.tell()
                file.write(_line(header))
                for key, record in zip(group, self.records(group), strict=True):
                    places[key] = file.tell()
                    file.write(_line(record))
            end = file.tell()
        self._places, self._start, self._end, self.fresh = places, start, end, False

    def _check_files(self, names: Collection[str]) -> None:
        """Refuse files that are not the job's; without a journal, all that are not hidden."""
        ours = {*names, self.path.name} if self.path.exists() else set[str]()
        found = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        if found - ours:
            self._refuse_files(sorted(found - ours))

    def _refuse_files(self, names: list[str]) -> NoReturn:
        what = "a new folder or that of the same job"
        got = f"{self.folder} with {len(names)} other files ({listed(names)})"
        hint = "Choose another folder: files that the job did not write are never overwritten."
        raise ValueError(expected("destination", what, got, hint))

    def _load(self, overwrite: bool | None) -> None:
        """Read the journal of earlier runs, and refuse one of another kind or other settings."""
        if not os.path.lexists(self.path):
            return
        header: Record | None = None
        with suppress(IsADirectoryError), self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    header = self._take(line, number) or header
        if header is None:
            self._refuse_files([self.path.name])
        differences = describe_differences(header["settings"] or {}, self._header["settings"])
        self.fresh = bool(differences)
        ways = (
            "pass `overwrite` to make everything in it again",
            "call with its settings to continue it",
        )
        way = ways[overwrite is None]
        got = f"{self.folder} of another run ({listed(differences, most=8)})"
        what, hint = "a new folder or that of the same run", f"Choose another folder, or {way}."
        require(not differences or overwrite, "destination", what, got, hint)

    def _take(self, line: bytes, number: int) -> Record | None:
        """Note the place of a line; returns the line where it is one of settings."""
        place, self._end = self._end, self._end + len(line)
        try:
            content = parse_json(line)
            names = content.keys()
            if number == 1 and content["kind"] != self._header["kind"]:
                raise KeyError
        except (ValueError, AttributeError, KeyError):
            names = None
        if names == self._header.keys():
            self._start = place
            return dict(content)
        if number == 1:
            self._refuse_files([self.path.name])
        if names not in (self._fields, {self._key}) or not isinstance(content[self._key], str):
            what, got = "a journal with one record in each line", f"a damaged line {number}"
            hint = "Choose another folder, or delete this file and what it lists to start over."
            raise ValueError(expected(str(self.path), what, got, hint))
        self._note({content[self._key]: place if names == self._fields else None})
        return None

    def _note(self, places: Mapping[str, int | None]) -> None:
        for key, place in places.items():
            if place is None:
                self._places.pop(key, None)
            else:
                self._places[key] = place

    def _append(self, lines: Iterable[bytes]) -> None:
        with self.path.open("r+b") as file:
            file.seek(self._end)
            file.truncate()  # what a full disk or a kill cut off
            file.writelines(lines)
            end = file.tell()
        self._end = end


def _line(record: Mapping[str, Any] | None) -> bytes:
    return f"{json.dumps(record)}\n".encode("ascii")


def check_folder(folder: Path, name: str, hint: str = "") -> None:
    """Refuse a place where no folder can be made, or no file in it."""
    place = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    require(place.is_dir(), name, "a folder", f"the file {place}")
    what = "in a folder that can be written"
    allowed = os.access(place, os.W_OK | os.X_OK)
    require(allowed, name, what, folder, hint, error=PermissionError)


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the length of the block; a killed run keeps nobody out.

    The folder is made where missing; where the block leaves it empty, it is removed again.

    Raises:
        ValueError: Another run works on the folder.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which only jobs need

    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        what = "a folder that no other run is working on"
        hint = "Wait for that run to end, or stop it; then the same call continues its work."
        raise ValueError(expected("destination", what, f"{folder} of one", hint)) from None
    try:
        yield
    finally:
        # A system that keeps open files from being deleted keeps this empty one
        with suppress(PermissionError):
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        if made and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenCV compute on one thread for the length of the block.

    Workers are what a run is spread over: threads inside them would fight for the cores, and their
    number could decide the last bit of a network's output. Joblib limits other libraries alone.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # also before workers fork: they would wait for threads they do not have
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def init_worker() -> None:
    """Prepare a worker process: one thread, and Ctrl-C is left to the process that runs it."""
    cv2.setNumThreads(1)
    if type(multiprocessing.current_process()).__name__ == "LokyProcess":
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_tasks(
    function: Callable[..., _Result],
    tasks: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    ordered: bool = True,
) -> Generator[_Result, None, None]:
    """Call an importable function on many tasks, on joblib's active backend.

    The default backend is worker processes; a cluster behind joblib takes all workers it has.
    Results come one by one, so that memory stays flat, in the order of the tasks or as they are
    ready.
    """
    from joblib import Parallel, delayed  # half a second, which a single image need not wait for

    calls = (delayed(function)(*task) for task in tasks)
    kind = "generator" if ordered else "generator_unordered"
    with warnings.catch_warnings():
        # Workers of an earlier run grow when they import what this one needs, and joblib, which
        # takes that for a leak, puts new ones in their place: nothing that a user can act on
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            pool = Parallel(n_jobs=workers, return_as=kind)
        except ValueError:
            # The backends of Ray and of multiprocessing only return lists
            pool = Parallel(n_jobs=workers)
            while block := list(itertools.islice(calls, _BLOCK * workers)):
                yield from pool(block)
        else:
            yield from pool(calls)


def describe_failure(error: BaseException, folder: Path) -> str:
    """Word why a file failed: on one line, and the same wherever its folder lies."""
    text = " ".join(str(error).split())
    if not text or not (isinstance(error, _WORDED) or text.startswith("Expected `")):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    return text.replace(f"{folder}{os.sep}", "")


def library_versions(*packages: str) -> dict[str, str]:
    """Give the versions of the packages that decide the bytes of an image, for settings."""
    names = ("dermolib", "numpy", "pillow", *packages)
    return {name: version(name) for name in names} | {"opencv": cv2.__version__}


def fingerprint(settings: Any) -> str:
    """Digest JSON values, the same for the same ones in any order of keys."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def describe_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Word in which settings two runs differ, each as ``key THERE there, HERE here``."""
    return [
        f"{key} {found.get(key)!r} there, {wanted.get(key)!r} here"
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]

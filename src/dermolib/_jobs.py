"""One engine for resumable work on many files into one folder."""

import hashlib
import itertools
import json
import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar

import cv2
from tqdm import tqdm

from dermolib._validation import expected, listed, printable, require, warn
from dermolib.io import (
    check_target,
    digest_file,
    explain_disk_full,
    is_file,
    open_file,
    parse_json,
    remove_halves,
    whole_file,
    write_table,
)

LOCK = ".dermolib.lock"
"""Name of the file that keeps other runs out of a folder."""

_BLOCK = 8  # tasks for each worker at a time, where a joblib backend only returns lists
_CHECKED = 256  # keys whose files are compared at a time
_KEPT = ": what is finished is kept"
_TABLES, _CHECKSUM = "tables", b', "crc32": '
_WORDED = (ValueError, TypeError, OSError, cv2.error)  # their words tell what they are
_Result = TypeVar("_Result")

Record = dict[str, Any]


class Job:
    """Resumable work on many files into one folder, with its progress in a journal (JSON Lines).

    The first line of the journal names the kind of job and its settings; each further line is the
    record of a finished key, of which the last one counts. Records above the last line of settings
    are of earlier runs with other settings: they tell which files are ours, and are not current. A
    torn last line of a killed run is ignored. Memory holds the keys and the places of their lines.

    Nothing in the folder is trusted blindly. Each line ends with a checksum of itself and of its
    settings, and a record has fields of known types. What a record says of the files of its key is
    one list, ``digests``, of digests in the order in which the job names them: no path is taken
    from a journal. The last line of a finished journal notes the tables in the same way.

    Args:
        folder: Destination, made where missing.
        kind: Names the tool, so that a journal of another one is never taken for its own.
        settings: What decides the bytes of the results, as JSON values.
        key: Name of the field that tells records apart, a text.
        fields: Types of the other fields of a record by their names; ``"digests": list`` among them
            where `intact` is to compare files.
        journal: Name of the journal.
        files: Names of the files that the job writes into its folder; any other one that is not
            hidden is refused. None lets other files lie in the folder.
        tables: Names of the tables that the job writes before it is finished.
        argument: Name of the argument that holds the folder, for errors.

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
        fields: Mapping[str, type],
        journal: str = "run.jsonl",
        files: Collection[str] | None = None,
        tables: Collection[str] = (),
        argument: str = "destination",
    ) -> None:
        """Describe the job; nothing is read or written yet."""
        self._argument = argument
        self.folder, self.path = folder, folder / journal
        self.fresh = True
        self._key, self._files, self._names = key, files, tables
        texts = {key: str}
        header: dict[str, Any] = {"kind": str, "settings": (dict, NoneType)}
        self._lines = ({**texts, **fields}, texts, header, {_TABLES: dict})  # types of their values
        self._header = {"kind": kind, "settings": json.loads(json.dumps(settings))}
        self._places: dict[str, int] = {}
        self._tables: dict[str, str] = {}  # digests by name, where nothing was recorded since
        self._start = self._end = self._seed = 0
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
                another run works on it, its journal is damaged, or a table of it was changed.
            OSError: The destination cannot be written, or the disk is full.
        """
        check_folder(self.folder, self._argument)
        locked = exclusive_lock(self.folder, self._argument)
        with locked, explain_disk_full(self.folder), one_thread():
            check_target(self.path)
            if self._files is not None:
                self._check_files(self._files)
            self._load(overwrite)
            self._compare_tables()
            remove_halves([self.folder], [self.path.name, *(self._files or ())])
            yield self

    def read_finished(self) -> None:
        """Read the journal of a finished job to look up its records; nothing is locked or written.

        Raises:
            ValueError: There is none, whatever its settings, it is damaged, or a table was changed.
        """
        if self.folder.is_dir():
            self._load(overwrite=True)
        whole = self._compare_tables()
        what = f"the folder of a finished job, with its {self.path.name} and tables"
        hint = "Call the job again with its settings, or into another folder."
        require(
            whole and self._tables.keys() == {*self._names},
            str(self.folder),
            what,
            "another one",
            hint,
        )

    def _compare_tables(self) -> bool:
        """Refuse tables that were changed; tells whether all that are noted are there."""
        noted = {name: digest for name, digest in self._tables.items() if name in self._names}
        whole, changed = _compare([self.folder / name for name in noted], [*noted.values()])
        _refuse_changed(changed, self._argument)
        return whole

    def start(self) -> None:
        """Write the settings; what was recorded before is not current from here on."""
        line = _line(self._header)
        self._seed, self._tables = zlib.crc32(line), {}
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
                    line = _line(record, self._seed)
                    place += len(line)
                    yield line

            self._append(lines())
            self._note(places)
            self._tables = {} if places else self._tables

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
                yield None if place is None else _content(file.readline())

    def get(self, key: str) -> Record | None:
        """Look up the last record of one key."""
        return next(self.records([key]))

    def keys(self) -> AbstractSet[str]:
        """Give all keys that have a record."""
        return self._places.keys()

    def is_current(self, key: str) -> bool:
        """Tell whether a key was recorded with the settings of this run."""
        return not self.fresh and self._places.get(key, -1) > self._start

    def intact(
        self,
        keys: Collection[str],
        files: Callable[[str], Sequence[Path]],
        *,
        workers: int = 1,
        progress: bool = False,
    ) -> set[str]:
        """Compare the files of keys, by their bytes, with the digests that were recorded.

        Args:
            keys: Keys of the job.
            files: Names the files of a key, in the order of their digests.
            workers: Number of threads.
            progress: Whether a progress bar is shown.

        Returns:
            The keys of which all files are as they were recorded, and thus done.

        Raises:
            ValueError: Files were changed since: they may hold what a user did by hand. Those that
                are missing or empty are to be made again, and those of a key without digests.
        """
        known = zip(keys, self.records(keys), strict=True)
        left = ((key, record["digests"]) for key, record in known if record and record["digests"])
        same, changed = set[str](), list[Path]()
        with (
            tqdm(total=len(keys), desc="checking", leave=False, disable=is_silent(progress)) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            while block := list(itertools.islice(left, _CHECKED)):
                compared = pool.map(lambda one: _compare(files(one[0]), one[1]), block)
                for (key, _), (is_same, others) in zip(block, compared, strict=True):
                    if is_same:
                        same.add(key)
                    changed += others
                    bar.update()
        _refuse_changed(changed, self._argument)
        return same

    def write_table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a table into the folder, of which `finish` notes the digest."""
        if self._tables:  # a kill before `finish` leaves another one than noted
            self._tables = {}
            self._append([_line({_TABLES: {}}, self._seed)])
        write_table(self.folder / name, header, rows)

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
            tqdm(total=total, initial=done, unit="image", disable=is_silent(progress)) as bar,
            closing(
                run_tasks(function, tasks, workers=workers, ordered=ordered, kept=True)
            ) as results,
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
                start, line = file.tell(), _line(header)
                seed = zlib.crc32(line)
                file.write(line)
                for key, record in zip(group, self.records(group), strict=True):
                    places[key] = file.tell()
                    file.write(_line(record or {}, seed))
            tables = {name: digest_file(self.folder / name) for name in self._names}
            if tables:
                file.write(_line({_TABLES: tables}, seed))
            end = file.tell()
        self._places, self._start, self._end, self.fresh = places, start, end, False
        self._seed, self._tables = seed, tables

    def _check_files(self, names: Collection[str]) -> None:
        """Refuse files that are not the job's; without a journal, all that are not hidden."""
        ours = {*names, self.path.name} if self.path.exists() else set[str]()
        with os.scandir(self.folder) as entries:
            found = {one.name: is_file(one) for one in entries if not one.name.startswith(".")}
        others = [name for name, fits in found.items() if name not in ours or not fits]
        if others:
            self._refuse_files(sorted(others))

    def _refuse_files(self, names: list[str]) -> NoReturn:
        what = "a new folder or that of the same job"
        got = f"{self.folder} with {len(names)} other files ({listed(names)})"
        hint = "Choose another folder, or move away what the job did not write: it stays as it is."
        raise ValueError(expected(self._argument, what, got, hint))

    def _load(self, overwrite: bool | None) -> None:
        """Read the journal of earlier runs, and refuse one of another kind or other settings."""
        if not os.path.lexists(self.path):
            return
        # Records would be appended to whatever it leads to
        hint = "Move that file here in the place of the link."
        own = not self.path.is_symlink()
        require(own, str(self.path), "a journal in the folder itself", "a link", hint)
        header: Record | None = None
        with open_file(self.path) as file:
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
        require(not differences or overwrite, self._argument, what, got, hint)

    def _take(self, line: bytes, number: int) -> Record | None:
        """Note the place of a line; returns the line where it is one of settings."""
        place, self._end = self._end, self._end + len(line)
        content = self._checked(line)
        if content is None and number == 1:
            self._refuse_files([self.path.name])
        if content is None:
            what, got = "a journal with one record in each line", f"a damaged line {number}"
            hint = "Delete this line and call again: what it was about is made again, or named."
            raise ValueError(expected(str(self.path), what, got, hint))
        if content.keys() == self._header.keys():
            self._start, self._seed = place, zlib.crc32(line)
            return content
        self._tables = content.get(_TABLES, {})
        if _TABLES not in content:
            self._note({content[self._key]: place if len(content) > 1 else None})
        return None

    def _checked(self, line: bytes) -> Record | None:
        """Read a line; None where it is not one that this job writes below its settings."""
        is_header = line.startswith(b'{"kind": ')
        try:
            content = _content(line, 0 if is_header else self._seed)
        except ValueError:
            return None
        types = next((one for one in self._lines if one.keys() == content.keys()), None)
        fits = types and all(map(_fits, content.values(), map(types.get, content)))
        ours = not is_header or content.get("kind") == self._header["kind"]
        return content if fits and ours and (is_header or self._seed) else None

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


def _line(record: Mapping[str, Any], seed: int = 0) -> bytes:
    start = json.dumps(record)[:-1].encode("ascii")
    return b"%s%s%d}\n" % (start, _CHECKSUM, zlib.crc32(start, seed))


def _content(line: bytes, seed: int | None = None) -> Record:
    """Parse a line, and with a seed check it: any fault is a `ValueError`."""
    start, _, end = line.rpartition(_CHECKSUM)
    if seed is not None and end != b"%d}\n" % zlib.crc32(start, seed):
        raise ValueError(end)
    return dict(parse_json(start + b"}"))


def _fits(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and (not isinstance(value, float) or math.isfinite(value))


def _compare(paths: Sequence[Path], digests: Sequence[object]) -> tuple[bool, list[Path]]:
    """Tell whether files are those of some digests, and list those that are others, not empty."""
    found = [digest_file(path) if path.exists() else None for path in paths]
    others = zip(paths, found, itertools.chain(digests, itertools.repeat(None)), strict=False)
    changed = [
        path
        for path, one, noted in others
        # A link that leads nowhere is a change as well
        if one != noted and (path.stat().st_size if one else os.path.lexists(path))
    ]
    return found == [*digests], changed


def _refuse_changed(paths: Sequence[Path], argument: str) -> None:
    got = f"{len(paths)} that were changed since ({listed(paths)})"
    hint = "Move them away, and call again: then they are made again."
    require(not paths, argument, "a folder of files as the job wrote them", got, hint)


def check_folder(folder: Path, name: str, hint: str = "") -> None:
    """Refuse a place where no folder can be made, or no file in it."""
    place = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    require(place.is_dir(), name, "a folder", f"the file {place}")
    what = "in a folder that can be written"
    allowed = os.access(place, os.W_OK | os.X_OK)
    require(allowed, name, what, folder, hint, error=PermissionError)


@contextmanager
def exclusive_lock(folder: Path, argument: str = "destination") -> Iterator[None]:
    """Keep other runs out of a folder for the length of the block; a killed run keeps nobody out.

    The folder is made where missing; where the block leaves it empty, it is removed again.

    Raises:
        ValueError: Another run works on the folder, or it has a file of others by the lock's name.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which only jobs need

    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    # A run that was killed leaves an empty one, which nobody misses
    ours = not path.is_symlink() and path.is_file() and not path.stat().st_size
    hint = "Move it away: what no run wrote is never overwritten."
    require(ours or not os.path.lexists(path), str(path), "missing", "another file", hint)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        what = "a folder that no other run is working on"
        hint = "Wait for that run to end, or stop it; then the same call continues its work."
        raise ValueError(expected(argument, what, f"{folder} of one", hint)) from None
    try:
        yield
    finally:
        # A system that keeps open files from being deleted keeps this empty one
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
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


def is_silent(progress: bool) -> bool:
    """Tell whether no bar is shown: none is wanted, or the program has no stream for it."""
    return not progress or sys.stderr is None


def killed_worker(*, kept: bool = False) -> BrokenExecutor:
    """Word that the system killed a worker; `kept` where the next call continues the work."""
    got = "one that was killed, most often because memory ran out"
    hint = f"Call again with fewer workers{_KEPT if kept else ''}."
    return BrokenExecutor(expected("workers", "processes that run to their end", got, hint))


def run_tasks(
    function: Callable[..., _Result],
    tasks: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    ordered: bool = True,
    kept: bool = False,
) -> Generator[_Result, None, None]:
    """Call an importable function on many tasks, on joblib's active backend.

    The default backend is worker processes; a cluster behind joblib takes all workers it has.
    Results come one by one, so that memory stays flat, in the order of the tasks or as they are
    ready. `kept` says that the next call continues where this one ends early.

    Raises:
        BrokenExecutor: A worker was killed.
        MemoryError: A task ran out of memory.
    """
    from joblib import Parallel, delayed  # half a second, which a single image need not wait for

    calls = (delayed(_call)(os.getpid(), function, task) for task in tasks)
    kind = "generator" if ordered else "generator_unordered"
    # A task has its images for itself: in memory they need no files in a folder for temporary ones
    options: dict[str, Any] = {"n_jobs": _allowed(workers), "max_nbytes": None}
    options |= {"backend": "loky"} if _waits_for_the_dead() else {}
    with warnings.catch_warnings(), _worded_ends(kept=kept), _told_of_the_dead():
        # Workers of an earlier run grow when they import what this one needs, and joblib, which
        # takes that for a leak, puts new ones in their place: nothing that a user can act on
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            pool = Parallel(**options, return_as=kind)
        except ValueError:
            # The backend of Ray only returns lists
            pool = Parallel(**options)
            while block := list(itertools.islice(calls, _BLOCK * workers)):
                yield from pool(block)
        else:
            with _unheard():  # or each worker that is still importing would print a traceback
                results = pool(calls)
            yield from results


@contextmanager
def _unheard() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C, nor does this one for as long."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if not main or handler is None:  # nothing that Python could put back
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _allowed(workers: int) -> int:
    """Take one worker where the system allows no more."""
    if workers == 1 or not multiprocessing.current_process().daemon:
        return workers
    what, got = "1 in a daemonic process, which may not start others", f"{workers}, and takes 1"
    warn(expected("workers", what, got))
    return 1


def _waits_for_the_dead() -> bool:
    """Tell whether the backend would wait for ever for a worker that was killed."""
    from joblib.parallel import get_active_backend

    return type(get_active_backend()[0]).__name__ == "MultiprocessingBackend"


@contextmanager
def _told_of_the_dead() -> Iterator[None]:
    """Let joblib's backend of Dask hand over what failed there, for which it waits for ever."""
    from joblib.parallel import get_active_backend

    backend: Any = get_active_backend()[0]
    if type(backend).__name__ != "DaskDistributedBackend":
        yield
        return
    submit, retrieve = backend.submit, backend.retrieve_result_callback

    def submitted(batch: Any, callback: Any = None) -> Any:
        future = submit(batch, callback)
        future.add_done_callback(lambda done: callback(done) if done.exception() else None)
        return future

    backend.submit = submitted
    backend.retrieve_result_callback = lambda out: (
        out.result() if isinstance(out, Future) else retrieve(out)
    )
    try:
        yield
    finally:
        del backend.submit, backend.retrieve_result_callback


@contextmanager
def _worded_ends(*, kept: bool) -> Iterator[None]:
    """Say of a worker that was killed, cannot begin or has too little memory what to do."""
    try:
        yield
    except BrokenExecutor as error:
        if error.__cause__ is None:
            raise killed_worker(kept=kept) from None
        # Joblib has the traceback of the worker as text
        *_, last = str(error.__cause__).strip('"\n').splitlines()
        got = f"one that stopped ({last})"
        hint = "Define functions of yours in a module that can be imported, or take 1 worker."
        what = "processes that can import what they run"
        raise BrokenExecutor(expected("workers", what, got, hint)) from None
    except MemoryError as error:
        got = str(error) or "too many for it"
        hint = f"Call again with fewer workers or smaller images{_KEPT if kept else ''}."
        raise MemoryError(
            expected("workers", "as many as memory suffices for", got, hint)
        ) from None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of Dask, which need not be installed
            raise killed_worker(kept=kept) from None
        raise


def _call(caller: int, function: Callable[..., _Result], task: tuple[Any, ...]) -> _Result:
    """Call a function in a worker; an error that could not reach its caller becomes one that can.

    Where an error arrives that cannot be unpickled, joblib takes the workers for dead.
    """
    from joblib import wrap_non_picklable_objects

    init_worker()
    try:
        return function(*task)
    except Exception as error:
        if os.getpid() == caller:
            raise
        try:
            pickle.loads(pickle.dumps(wrap_non_picklable_objects(error)))  # noqa: S301 - our own
        except Exception:
            said = " ".join([str(error), *getattr(error, "__notes__", [])])
            raise RuntimeError(printable(f"{type(error).__name__}: {said}")) from None
        raise


def init_worker() -> None:
    """Prepare a worker process: one thread, and Ctrl-C is left to the process that runs it."""
    cv2.setNumThreads(1)
    own = type(multiprocessing.current_process()).__name__ == "LokyProcess"
    if own and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def describe_failure(error: BaseException, folder: Path) -> str:
    """Word why a file failed: on one line, and the same wherever its folder lies."""
    text = printable(" ".join(str(error).split()))
    if not text or not (isinstance(error, _WORDED) or text.startswith("Expected `")):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    return text.replace(f"{printable(folder)}{os.sep}", "")


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

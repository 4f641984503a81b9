"""What all runs into a folder share: one at a time, parallel tasks of one thread, a full disk."""

import errno
import itertools
import multiprocessing
import re
import signal
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import cv2

from dermolib._validation import expected

__all__ = ["TEMPORARY", "differing", "explained", "one_thread", "only_run", "run_tasks", "settle"]

TEMPORARY = re.compile(r"\.(?P<stem>.+)-[0-9a-f]{12}(?P<suffix>\.\w+)")
"""Names of the files that `images.whole_file` writes before it renames them."""

_LOCK = ".lock"
_BLOCK = 8  # tasks for each worker at a time, where a backend of joblib gives lists alone
_FULL = (errno.ENOSPC, errno.EDQUOT)
_Result = TypeVar("_Result")


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the length of the block; a killed run keeps nobody out.

    Args:
        folder: Destination of the run, made where missing.

    Raises:
        ValueError: Another run works on the folder.
    """
    # A tenth of a second, which only runs over folders need
    from filelock import FileLock, Timeout

    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        what = "a folder that no other run is working on"
        remedy = "Wait for that run to end, or stop it; then the same call continues its work."
        raise ValueError(expected("destination", what, f"{folder} of one", remedy)) from None
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
def explained(folder: Path) -> Iterator[None]:
    """Say of a full disk what has become of the run, and how to go on.

    Args:
        folder: Destination of the run.

    Raises:
        OSError: The disk is full; with the number that the system gave.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        got = error.strerror
        remedy = "Free some space and call again: what is finished is kept."
        sentence = expected("destination", f"on a disk with room ({folder})", got, remedy)
        raise OSError(error.errno, sentence) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenCV compute on one thread for the length of the block.

    Workers are what a run is spread over: threads inside them would fight for the cores, and their
    number could decide the last bit of a network's output. Joblib limits other libraries alone.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # also before workers fork: they would wait for threads that they lack
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def settle() -> None:
    """Make a worker process quiet: it knows nothing of what surrounds the run."""
    cv2.setNumThreads(1)
    if type(multiprocessing.current_process()).__name__ == "LokyProcess":
        # Ctrl-C reaches every process; the one that runs the others ends them, without their words
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_tasks(
    function: Callable[..., _Result],
    tasks: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    ordered: bool = True,
) -> Generator[_Result, None, None]:
    """Call a function on many tasks through joblib, on its active backend, worker processes else.

    Results come one by one, so that memory stays flat.

    Args:
        function: Importable function.
        tasks: Arguments of each call.
        workers: Number of parallel workers, 1 or more; a cluster behind joblib takes all it has.
        ordered: Whether results come in the order of the tasks, or as they are ready.

    Yields:
        What each call returned.
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
            # The backends of Ray and of multiprocessing give lists alone
            pool = Parallel(n_jobs=workers)
            while block := list(itertools.islice(calls, _BLOCK * workers)):
                yield from pool(block)
        else:
            yield from pool(calls)


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Word in which settings two runs differ, each as ``key THERE there, HERE here``."""
    return [
        f"{key} {found.get(key)!r} there, {wanted.get(key)!r} here"
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]

"""The folder of a run: one run at a time, and what an earlier one has left is put aside."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dermolib._jobs import TEMPORARY, exclusive_lock
from dermolib._validation import expected

__all__ = ["BEFORE_NAME", "BEST_NAME", "HISTORY_NAME", "check_output", "left", "put_aside", "used"]

BEST_NAME = "best.pt"
"""Name of the file with the best weights in the folder of a run."""

HISTORY_NAME = "history.csv"
"""Name of the file with a row for each epoch."""

BEFORE_NAME = "before"
"""Name of the folder, within that of a run, to which files of the finished run before it go."""

_WRITTEN = ("best", "history")
_EVENTS = "tensorboard/events.out.tfevents.*"


def check_output(output: Any) -> Path | None:
    """Refuse what cannot be the folder of a run.

    Args:
        output: Path, or None.

    Returns:
        The path, or None.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty, a file or below a file.
    """
    if output is None:
        return None
    what = "a folder for the run"
    if not isinstance(output, (str, os.PathLike)):
        raise TypeError(expected("output", what, f"{output!r} of type {type(output).__name__}"))
    if not os.fspath(output):
        remedy = "Pass '.' for the working directory, or None to keep nothing."
        raise ValueError(expected("output", what, "an empty path", remedy))
    path = Path(output)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            got = f"{path}, " + ("a file" if part == path else f"below the file {part}")
            raise ValueError(expected("output", what, got, "Take another name."))
    return path


@contextmanager
def used(folder: Path, *, first: bool) -> Iterator[None]:
    """Make the folder, without what killed runs were writing there, and keep other runs out.

    Args:
        folder: Folder of the run.
        first: Whether this is the first of the processes that share the run.

    Raises:
        ValueError: Another run trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        yield
        return
    with ExitStack() as stack:
        # A file system without locks trains as well
        with suppress(NotImplementedError):
            try:
                stack.enter_context(exclusive_lock(folder))
            except ValueError:
                what = "a folder that no other run is training in"
                remedy = "Wait for that run to end, stop it, or take another `output`."
                raise ValueError(expected("output", what, f"{folder} of one", remedy)) from None
        for path in folder.iterdir():
            part = TEMPORARY.fullmatch(path.name)
            if part is not None and part["stem"] in _WRITTEN:
                path.unlink(missing_ok=True)
        yield


def left(folder: Path) -> list[Path]:
    """List the results that a run has left in its folder."""
    results = [folder / BEST_NAME, folder / HISTORY_NAME, *folder.glob(_EVENTS)]
    return [path for path in results if path.exists()]


def put_aside(folder: Path, paths: list[Path]) -> None:
    """Move the results of an earlier run out of the way; those without weights are removed.

    Args:
        folder: Folder of the run.
        paths: What `left` listed before this run has written anything.
    """
    if folder / BEST_NAME not in paths:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    before = folder / BEFORE_NAME
    shutil.rmtree(before, ignore_errors=True)
    for path in paths:
        target = before / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)

"""Kill preparations at each point at which they change something on the disk, and go on.

Run as ``python killing.py SOURCE MASKS FOLDER``, in a process of its own, since it forks and hears
of all that Python opens. It prints how many points there were, and fails where one did harm.
"""

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from dermolib import prepare
from dermolib.preprocessing import packing, steps

EVENTS = {"open", "os.remove", "os.rename", "os.mkdir"}
UNTIL_ROWS = 17


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but the lock, which a killed run cannot take away."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def arm(folder: Path, point: int) -> None:
    """Let the process kill itself after some changes of files in a folder, also halfway a row."""
    left = iter(range(point))
    put, reserve = packing.RowWriter._put, packing._reserve

    def tick() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if changes(folder, event, arguments):
            tick()

    def put_half(self: packing.RowWriter, name: str, row: int, values: Any) -> None:
        halfway = values.copy()
        halfway[len(values) // 2 :] = 0
        put(self, name, row, halfway)
        tick()
        put(self, name, row, values)
        if name == packing.RECORDS:
            tick()

    def reserve_later(file: IO[bytes], size: int) -> None:
        tick()
        reserve(file, size)

    sys.addaudithook(hear)
    setattr(packing.RowWriter, "_put", put_half)  # noqa: B010 - of a process that ends soon
    packing._reserve = reserve_later


def changes(folder: Path, event: str, arguments: tuple[Any, ...]) -> bool:
    """Tell whether what Python is about to do changes something in a folder."""
    if event not in EVENTS or not str(arguments[0]).startswith(str(folder)):
        return False
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def killed(folder: Path, point: int, call: Callable[[], None]) -> bool:
    """Make a call in a process that is killed at a point; False where there are not so many."""
    child = os.fork()
    if child == 0:
        arm(folder, point)
        call()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    return True


class Killing:
    """Runs of one source, of new and of old settings, and what becomes of them.

    Args:
        source: Folder of the images.
        masks: Folder of their masks.
        folder: Folder for all that is made.
    """

    def __init__(self, source: Path, masks: Path, folder: Path) -> None:
        """Make what uninterrupted runs make."""
        self.source, self.masks, self.folder = source, masks, folder
        self.new(folder / "new")
        self.old(folder / "old")
        self.wanted = {name: bytes_of(folder / name) for name in ("new", "old")}

    def new(self, folder: Path, *, overwrite: bool = False, source: Path | None = None) -> None:
        """Prepare with the settings that all runs end with."""
        self._run(folder, source, steps=["shades_of_gray"], overwrite=overwrite)

    def old(self, folder: Path) -> None:
        """Prepare with the settings of a run before."""
        self._run(folder, None, steps=["crop_border"])

    def _run(self, folder: Path, source: Path | None, **options: Any) -> None:
        source = source or self.source
        prepare(source, folder, image_size=12, masks=self.masks, progress=False, **options)

    def fresh(self) -> int:
        """Kill runs into new folders; what is done is not read again when they go on."""
        for point in itertools.count():
            folder, source = self.folder / f"fresh{point}", self.folder / f"source{point}"
            shutil.copytree(self.source, source)
            more = killed(folder, point, lambda f=folder, s=source: self.new(f, source=s))  # type: ignore[misc]  # defaults bind now
            if more:
                poison(source, folder)
                self.new(folder, source=source)
            assert bytes_of(folder) == self.wanted["new"], point
            if not more:
                return point
        raise AssertionError

    def overwriting(self, before: Path) -> int:
        """Kill runs that make something anew, until rows are written as in a new folder."""
        for point in range(UNTIL_ROWS):
            folder = self.folder / f"{before.name}{point}"
            shutil.copytree(before, folder)
            more = killed(folder, point, lambda f=folder: self.new(f, overwrite=True))  # type: ignore[misc]  # as above
            for name, call in (("old", self.old), ("new", self.new)):
                other = self.folder / f"{before.name}{point}{name}"
                shutil.copytree(folder, other)
                with suppress(ValueError):  # of another run; but never a file that lacks
                    call(other)
                    assert bytes_of(other) == self.wanted[name], (point, name)
            self.new(folder, overwrite=True)
            assert more
            assert bytes_of(folder) == self.wanted["new"], point
        return UNTIL_ROWS


def poison(source: Path, folder: Path) -> None:
    """Spoil the images that are done without changing their size and time."""
    with suppress(FileNotFoundError, ValueError, EOFError):
        records = np.load(folder / packing.RECORDS)
        files = sorted(path for path in source.rglob("*") if path.is_file())
        for record, path in zip(records, files, strict=True):
            if record["done"]:
                path.write_bytes(bytes(record["size"]))
                os.utime(path, ns=(record["modified"], record["modified"]))


def main(source: Path, masks: Path, folder: Path) -> None:
    """Kill runs into new folders, over a finished store, and over another run that was killed."""
    steps._TRIED = 8  # to try the steps out would take most of the time
    killing = Killing(source, masks, folder)
    points = {"fresh": killing.fresh(), "finished": killing.overwriting(folder / "old")}
    half = folder / "half"
    assert killed(half, 34, lambda: killing.old(half))
    (half / ".lock").unlink()
    points["half"] = killing.overwriting(half)
    print(json.dumps(points))  # noqa: T201 - for the test that runs this


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))

"""Kill a job at each point at which it changes something on the disk, and go on.

Run as ``python killing.py JOB FOLDER``, in a process of its own, since it forks and hears of all
that Python opens. It prints how many points there were, and fails where one did harm.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from dermolib.datasets.download.http import Part
from dermolib.preprocessing import prepare, steps
from resumable import JOBS, Resumable, files_of, write_inputs

EVENTS = {"open", "os.remove", "os.rename", "os.mkdir", "os.rmdir"}
UNTIL_RESULTS = 14


def arm(folder: Path, point: int) -> None:
    """Let the process kill itself after some changes of files in a folder, also halfway a block."""
    left = iter(range(point))
    write_row, append = prepare._write_row, Part.append

    def tick() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not str(arguments[0]).startswith(str(folder)):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
            tick()

    def write_half(task: Any, name: str, row: int, values: Any) -> None:
        halfway = values.copy()
        halfway[len(values) // 2 :] = 0
        write_row(task, name, row, halfway)
        tick()
        write_row(task, name, row, values)

    def append_halves(self: Part, block: bytes) -> None:
        append(self, block[: len(block) // 2])
        tick()
        append(self, block[len(block) // 2 :])

    sys.addaudithook(hear)
    prepare._write_row = write_half
    setattr(Part, "append", append_halves)  # noqa: B010 - of a process that ends soon


def killed(folder: Path, point: int, call: Callable[[], object]) -> bool:
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


def kill_new_runs(job: Resumable, inputs: Any, folder: Path) -> int:
    """Kill runs into new folders; each goes on to the bytes of an uninterrupted run."""
    job.run(inputs, folder / "whole")
    wanted = files_of(folder / "whole")
    for point in itertools.count():
        target = folder / f"new{point}"
        more = killed(target, point, partial(job.run, inputs, target))
        for file, data in files_of(target).items():
            journal = job.in_place or file.endswith(".jsonl")
            assert journal or wanted.get(file, data) == data, (point, file)
        job.run(inputs, target)
        assert files_of(target) == wanted, point
        if not more:
            return point
    raise AssertionError


def kill_overwriting(job: Resumable, inputs: Path, folder: Path) -> None:
    """Kill runs that make a folder of other settings again, until results are written.

    Neither call ever takes results of the one for those of the other.
    """
    calls = {name: partial(job.run, inputs, other=name == "old") for name in ("new", "old")}
    for name, call in calls.items():
        call(folder / f"whole {name}")
    wanted = {name: files_of(folder / f"whole {name}") for name in calls}
    for point in range(UNTIL_RESULTS):
        target = folder / f"over{point}"
        shutil.copytree(folder / "whole old", target)
        assert killed(target, point, partial(calls["new"], target, overwrite=True))
        for name, call in calls.items():
            other = folder / f"over{point}{name}"
            shutil.copytree(target, other)
            with suppress(ValueError):  # of another run; but never a file that is missing
                call(other)
                assert files_of(other) == wanted[name], (point, name)
        calls["new"](target, overwrite=True)
        assert files_of(target) == wanted["new"], point


def main(name: str, folder: Path) -> None:
    """Kill one job wherever it can be killed."""
    steps._TRIED = 8  # to try the steps out would take most of the time
    job = JOBS[name]
    write_inputs(folder)
    with job.serving(folder) as inputs:
        inputs = inputs or folder
        print(kill_new_runs(job, inputs, folder))  # noqa: T201 - for the test that runs this
        if job.overwrites:
            kill_overwriting(job, inputs, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

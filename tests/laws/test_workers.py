"""Laws of parallel work: a worker that is killed costs a sentence, and nothing that is finished."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest

from dermolib import abcd_table, augment_offline, prepare, remove_hair_from_folder
from dermolib._jobs import run_tasks
from dermolib.io import read_image
from dying import Flip, dark, die_once, exhaust, refuse
from resumable import Rows, files_of, write_inputs

SENTENCE = (
    r"^Expected `workers` to be processes that run to their end, but got one that was killed, most "
    r"often because memory ran out\. Call again with fewer workers"
)


def _prepare(inputs: Path, out: Path, flag: str) -> None:
    steps = [partial(die_once, flag=flag)]
    prepare(inputs / "in", out, steps=steps, image_size=12, workers=2, progress=False)


def _hair(inputs: Path, out: Path, flag: str) -> None:
    method = partial(dark, flag=flag)
    remove_hair_from_folder(inputs / "in", out, method=method, workers=2, progress=False)


def _offline(inputs: Path, out: Path, flag: str) -> None:
    rows = Rows(inputs)
    augment_offline(rows, out, factors={"AK": 3}, preset=Flip(flag), workers=2, progress=False)


def _features(inputs: Path, out: Path, flag: str) -> None:
    paths = sorted((inputs / "in").rglob("*.*"))
    samples = [{"id": path.stem, "image": read_image(path)} for path in paths]
    table = abcd_table(samples, segment=partial(dark, flag=flag), workers=2, progress=False)
    out.mkdir(exist_ok=True)
    table.to_csv(out / "table.csv")


CALLS: dict[str, tuple[Callable[[Path, Path, str], None], str]] = {
    "prepare": (_prepare, ": what is finished is kept"),
    "hair": (_hair, ": what is finished is kept"),
    "offline": (_offline, ": what is finished is kept"),
    "features": (_features, ""),
}


@pytest.mark.slow  # fresh processes import everything again
@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "loky") for name in CALLS), ("prepare", "multiprocessing")]
)
def test_a_killed_worker_is_explained_and_the_next_call_in_the_same_process_goes_on(
    name: str, backend: str, tmp_path: Path
) -> None:
    call, kept = CALLS[name]
    write_inputs(tmp_path)
    flag = tmp_path / "flag"
    call(tmp_path, tmp_path / "whole", str(flag))
    wanted = files_of(tmp_path / "whole")
    flag.write_text(str(os.getpid()))

    with joblib.parallel_config(backend=backend):
        with pytest.raises(BrokenExecutor, match=rf"{SENTENCE}{kept}\.$") as raised:
            call(tmp_path, tmp_path / "out", str(flag))
        call(tmp_path, tmp_path / "out", str(flag))

    assert raised.value.__suppress_context__
    assert not flag.exists()
    assert files_of(tmp_path / "out") == wanted


def test_an_error_that_cannot_be_unpickled_is_told_in_its_words() -> None:
    with pytest.raises(RuntimeError, match=r"^StubbornError: no mask\. The sample is 1\.$"):
        list(run_tasks(refuse, [(1,)], workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_finds_too_little_memory_is_told_what_to_do(workers: int) -> None:
    words = (
        r"^Expected `workers` .*but got Unable to allocate.*Call again with fewer workers or sma"
    )
    with pytest.raises(MemoryError, match=words) as raised:
        list(run_tasks(exhaust, [(1,)], workers=workers))

    assert raised.value.__suppress_context__


def test_workers_are_started_deaf_to_ctrl_c_and_this_process_hears_it_again() -> None:
    heard = [signal.getsignal(signal.SIGINT)]

    def tasks() -> Iterator[tuple[int]]:
        heard.append(signal.getsignal(signal.SIGINT))
        yield (-1,)

    done = list(run_tasks(abs, tasks(), workers=2))

    assert done == [1]
    assert heard == [signal.default_int_handler, signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) == heard[0]


def _import_nowhere() -> Any:
    raise ModuleNotFoundError("No module named 'mine'")


class Foreign:
    """Stands for an object of a module that workers cannot import."""

    def __reduce__(self) -> Any:
        """Fail where it arrives."""
        return _import_nowhere, ()


def test_what_workers_cannot_import_is_named() -> None:
    words = r"processes that can import what they run, but got .*No module named 'mine'.*1 worker"
    with pytest.raises(BrokenExecutor, match=words):
        list(run_tasks(id, [(Foreign(),), (Foreign(),)], workers=2))


_DAEMONIC = """
import multiprocessing, sys, warnings
from pathlib import Path
from operator import add
from dermolib._jobs import run_tasks
def work():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        done = list(run_tasks(add, [(1, 1), (2, 2)], workers=2))
        print(done, *(str(one.message) for one in seen))
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    process.join()
    print(process.exitcode)
"""


def test_a_daemonic_process_works_alone_and_says_so() -> None:
    words = (
        "Expected `workers` to be 1 in a daemonic process, which may not start others, but got 2"
    )
    command = [sys.executable, "-W", "error", "-c", _DAEMONIC]

    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert done.stdout == f"[2, 4] {words}, and takes 1.\n0\n"
    assert done.stderr == ""


def _nested(inputs: Path, out: Path) -> None:
    prepare(inputs / "in", out, steps=[], image_size=12, workers=2, progress=False)


@pytest.mark.slow  # fresh processes import everything again
def test_a_job_runs_in_a_worker_of_another_call(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    calls = [joblib.delayed(_nested)(tmp_path, tmp_path / f"out{n}") for n in range(2)]

    joblib.Parallel(n_jobs=2)(calls)

    assert files_of(tmp_path / "out0") == files_of(tmp_path / "out1") != {}

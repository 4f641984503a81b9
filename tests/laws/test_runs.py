"""What runs into folders share: the lock, threads, tasks on joblib, and a full disk in words."""

import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import joblib
import pytest

from dermolib._jobs import differing, explained, one_thread, only_run, run_tasks

_HOLD = """
import os, signal, sys
from pathlib import Path
from dermolib._jobs import only_run
with only_run(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def add(left: int, right: int) -> int:
    return left + right


def test_a_folder_takes_one_run_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sentence = (
        f"Expected `destination` to be a folder that no other run is working on, but got {folder} "
        "of one. Wait for that run to end, or stop it; then the same call continues its work."
    )

    with (
        only_run(folder),
        pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"),
        only_run(folder),
    ):
        raise AssertionError

    with only_run(folder):
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_killed_run_keeps_nobody_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    result = subprocess.run(command, check=False)  # noqa: S603 - this interpreter, our code
    assert result.returncode == -signal.SIGKILL

    with only_run(tmp_path):
        locked = list(tmp_path.iterdir())

    assert [path.name for path in locked] == [".lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_without_a_file_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_run(tmp_path / "new"):
        raise KeyError
    with only_run(tmp_path / "kept"):
        (tmp_path / "kept" / "file").touch()

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with one_thread():
            inside = cv2.getNumThreads()

        assert (inside, cv2.getNumThreads()) == (1, 2)
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_tasks_run_on_the_active_backend_and_keep_their_order(backend: str) -> None:
    tasks = [(number, 1) for number in range(40)]

    with joblib.parallel_backend(backend):
        results = list(run_tasks(add, tasks, workers=2))

    assert results == list(range(1, 41))


def test_results_may_come_as_they_are_ready() -> None:
    results = list(run_tasks(add, [(1, 1), (2, 2)], workers=1, ordered=False))

    assert sorted(results) == [2, 4]


def test_a_full_disk_is_explained_and_keeps_its_number(tmp_path: Path) -> None:
    sentence = (
        f"Expected `destination` to be on a disk with room ({tmp_path}), but got No space left on "
        "device. Free some space and call again: what is finished is kept."
    )

    with pytest.raises(OSError, match=re.escape(sentence)) as raised, explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert raised.value.errno == errno.ENOSPC


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match=r"^denied$"), explained(tmp_path):
        raise PermissionError("denied")


def test_settings_that_differ_are_named() -> None:
    found, wanted = {"seed": 0, "size": 224, "old": 1}, {"seed": 0, "size": 256}

    words = differing(found, wanted)

    assert words == ["old 1 there, None here", "size 224 there, 256 here"]

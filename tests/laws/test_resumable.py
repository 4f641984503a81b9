"""Laws of all resumable jobs: the same bytes however they are interrupted, whole files only."""

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest

import killing
from dermolib._jobs import LOCK, exclusive_lock
from resumable import JOBS, Resumable, files_of, write_inputs

POINTS = [0, 1, 2, 3, 5, 8, 11]
Call = Callable[..., Any]


def jobs(which: str = "run", *, points: bool = False) -> pytest.MarkDecorator:
    """Run a test on each job for which an attribute holds, at each point of interruption."""
    names = [name for name, job in JOBS.items() if getattr(job, which)]
    if not points:
        return pytest.mark.parametrize("name", names)
    pairs = [(name, point) for name in names for point in POINTS if point < JOBS[name].changes]
    return pytest.mark.parametrize(("name", "point"), pairs)


@pytest.fixture
def job(name: str) -> Resumable:
    return JOBS[name]


@pytest.fixture
def run(job: Resumable, tmp_path: Path) -> Iterator[Call]:
    """Give what runs a job into a folder; what it reads is afterwards as it was."""
    write_inputs(tmp_path / "inputs")
    before = files_of(tmp_path / "inputs")
    with job.serving(tmp_path / "inputs") as inputs:
        yield partial(job.run, inputs or tmp_path / "inputs")
    assert files_of(tmp_path / "inputs") == before


@pytest.fixture
def whole(run: Call, tmp_path: Path) -> dict[str, bytes]:
    """Give the files of an uninterrupted run."""
    run(tmp_path / "whole")
    return files_of(tmp_path / "whole")


def interrupt(call: Call, folder: Path, point: int, error: BaseException) -> str:
    """Make a call during which the file system raises at a change of the files in its folder."""
    left = iter(range(point))
    opened, replaced = Path.open, Path.replace

    def tick(path: Path) -> None:
        if path.is_relative_to(folder) and path.name != LOCK and next(left, None) is None:
            raise error

    def open_(self: Path, mode: str = "r", *options: Any, **named: Any) -> Any:
        if mode.strip("bt") != "r":
            tick(self)
        return opened(self, mode, *options, **named)

    def replace(self: Path, target: Path) -> Path:
        tick(self)
        return replaced(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_)
        patch.setattr(Path, "replace", replace)
        with pytest.raises(type(error)) as raised:
            call(folder)
    assert getattr(raised.value, "errno", None) == getattr(error, "errno", None)
    return str(raised.value)


@jobs()
@pytest.mark.slow  # about fifty processes for each job
def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - this interpreter, our code
        [sys.executable, killing.__file__, name, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= JOBS[name].kills


@jobs("journal", points=True)
def test_a_full_disk_is_explained_and_the_next_call_goes_on(
    run: Call, whole: dict[str, bytes], tmp_path: Path, point: int
) -> None:
    out = tmp_path / "out"
    words = interrupt(run, out, point, OSError(errno.ENOSPC, "No space left on device"))
    assert f"on a disk with room ({out})" in words
    assert "Free some space and call again: what is finished is kept" in words

    run(out)

    assert files_of(out) == whole


@jobs(points=True)
def test_ctrl_c_ends_a_run_and_the_next_call_goes_on(
    run: Call, whole: dict[str, bytes], tmp_path: Path, point: int
) -> None:
    out = tmp_path / "out"
    interrupt(run, out, point, KeyboardInterrupt())

    run(out)

    assert files_of(out) == whole


@jobs()
def test_a_finished_run_is_found_done(run: Call, whole: dict[str, bytes], tmp_path: Path) -> None:
    written = {file: (tmp_path / "whole" / file).stat().st_mtime_ns for file in whole}

    run(tmp_path / "whole")

    assert files_of(tmp_path / "whole") == whole
    again = {file: (tmp_path / "whole" / file).stat().st_mtime_ns for file in whole}
    assert {Path(file).suffix for file in whole if again[file] != written[file]} <= {
        ".csv",
        ".jsonl",
    }


@jobs()
@pytest.mark.parametrize(
    "backend",
    ["threading", "multiprocessing", pytest.param("loky", marks=pytest.mark.slow)],
)  # fresh processes import everything again
def test_any_number_of_workers_on_any_backend_writes_the_same_bytes(
    run: Call, whole: dict[str, bytes], tmp_path: Path, backend: str
) -> None:
    with joblib.parallel_config(backend=backend):
        run(tmp_path / "out", workers=2)

    assert files_of(tmp_path / "out") == whole


@jobs("journal")
def test_a_progress_bar_is_shown_on_the_standard_error_where_one_is_wanted(
    run: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")

    run(tmp_path / "loud", progress=True)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err


@jobs("journal")
def test_a_second_run_on_the_same_folder_is_refused(run: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = f"to be a folder that no other run is working on, but got {out}"

    with exclusive_lock(out):
        with pytest.raises(ValueError, match=words):
            run(out)
        assert [path.name for path in out.iterdir()] == [LOCK]


@jobs("settings")
def test_other_settings_are_refused_by_what_differs(
    run: Call, whole: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"another run \(.* there, .* here\)"):
        run(tmp_path / "whole", other=True)

    assert files_of(tmp_path / "whole") == whole


@jobs("overwrites", points=True)
def test_a_folder_of_other_settings_is_made_again_on_request(
    run: Call, whole: dict[str, bytes], tmp_path: Path, point: int
) -> None:
    out, again = tmp_path / "out", partial(run, overwrite=True)
    run(out, other=True)
    interrupt(again, out, point, KeyboardInterrupt())

    again(out)

    assert files_of(out) == whole


@jobs()
def test_files_of_others_are_never_touched(
    job: Resumable, run: Call, whole: dict[str, bytes], tmp_path: Path
) -> None:
    overwrite = {"overwrite": True} if job.overwrites else {}
    for number, file in enumerate(["notes.txt", ".hidden", *whole]):
        out = tmp_path / f"out{number}"
        (out / file).parent.mkdir(parents=True)
        (out / file).write_bytes(b"of others")
        refused = False
        try:
            run(out, **overwrite)
        except ValueError:
            refused = True
        assert refused or job.shares or file == ".hidden"
        assert (out / file).read_bytes() == b"of others"


@jobs("journal")
@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("text", ["", "{}", '{"kind": "other", "settings": {}}\n'])
def test_a_journal_of_another_tool_is_not_taken_for_its_own(
    run: Call, tmp_path: Path, text: str
) -> None:
    (journal,) = (
        path
        for path in (tmp_path / "whole").iterdir()
        if path.suffix == ".jsonl" or path.name == "run.json"
    )
    journal.write_text(text)

    with pytest.raises(ValueError, match="Expected `"):
        run(tmp_path / "whole")

    assert journal.read_text() == text

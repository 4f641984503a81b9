"""A law of every environment: a job runs in it to the same bytes, or ends in one sentence.

Each row runs a small job in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resumable import JOBS, files_of, write_inputs

JOB = """
import sys
from pathlib import Path
{before}
def work():
    from dermolib import prepare
    {call}
if __name__ == "__main__":
    work()
"""
# As the job of `resumable`, which loads torch: that ends without a working directory
PREPARE = (
    'prepare(Path(sys.argv[1], "in"), Path(sys.argv[2]), steps=["shades_of_gray"], image_size=12, '
    'masks=Path(sys.argv[1], "masks"), workers={workers}, progress={progress})'
)
# What the process does before and around the job, its environment, and its command line
ENVIRONMENTS: dict[str, dict[str, object]] = {
    "64 open files": {
        "before": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
        "workers": 2,
    },
    "no folder for temporary files": {"set": {"TMPDIR": "/nonexistent/folder"}, "workers": 2},
    "the C locale": {"set": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}},
    "without docstrings": {"options": ["-OO"]},
    "warnings as errors": {"options": ["-W", "error"]},
    "no standard streams": {"before": "sys.stdout = sys.stderr = None", "progress": True},
    "no working directory": {
        "before": "import os; os.mkdir(sys.argv[2] + 'x')"
        "; os.chdir(sys.argv[2] + 'x'); os.rmdir(sys.argv[2] + 'x')"
    },
    "a private mask of modes": {"before": "import os; os.umask(0o077)"},
}


@pytest.mark.slow  # each imports everything again
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_job_runs_in_any_environment_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    given = ENVIRONMENTS[name]
    inputs = tmp_path / "a folder\nwith # 100 %"
    write_inputs(inputs)
    for folder in (inputs, *inputs.rglob("*/")):
        folder.chmod(0o555)
    JOBS["prepare"].run(inputs, tmp_path / "here")
    call = PREPARE.format(**{"workers": 1, "progress": False, **given})
    script = tmp_path / "job.py"
    script.write_text(JOB.format(before=given.get("before", ""), call=call))
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
    variables = {**os.environ, "PYTHONPATH": paths, **dict(given.get("set", {}))}  # type: ignore[call-overload] # a table of many types

    done = subprocess.run(  # noqa: S603 - this interpreter, our code
        [sys.executable, *map(str, given.get("options", ())), script, inputs, tmp_path / "there"],  # type: ignore[call-overload] # as above
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_a_reader_that_has_read_enough_ends_nothing(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("ID,CLASS\na,1\nb,2\n")
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(  # noqa: S603 - this interpreter, our code
        [sys.executable, "-m", "dermolib", "audit", table],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (0, "")

"""The command ``dermolib`` in this process."""

import re
import shlex

import pytest

from dermolib.cli import main


def run(words: str) -> int:
    """Run the command with the words of a shell; returns its exit code."""
    try:
        return main(shlex.split(words))
    except SystemExit as error:
        return int(error.code or 0)


def mistake_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of a call that ends with the exit code 2 and has no output."""
    code = run(words)

    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    line = re.fullmatch("dermolib[a-z ]*: ([^\n]*)\n", shown.err)
    assert line is not None, shown.err
    return line[1]

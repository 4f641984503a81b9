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


def check_mistake(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a call ends with the exit code 2, one line on the standard error and no output."""
    code = run(words)

    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert re.fullmatch(f"dermolib[a-z ]*: [^\n]*{re.escape(sentence)}[^\n]*\n", shown.err)

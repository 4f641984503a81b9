"""The command ``dermolib`` in this process."""

import shlex

from dermolib.cli import main


def run(words: str) -> int:
    """Run the command with the words of a shell; returns its exit code."""
    try:
        return main(shlex.split(words))
    except SystemExit as error:
        return int(error.code or 0)

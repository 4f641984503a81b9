"""Words of the command line: options of methods, and what is said on the standard error."""

import argparse
import sys

__all__ = ["FAILED", "option", "say"]

FAILED = 1
"""Exit status where something failed."""


def say(given: argparse.Namespace, sentence: str, code: int) -> int:
    """Say a sentence in the name of the command, and pass the exit status on."""
    sys.stderr.write(f"dermolib {given.command}: {sentence}\n")
    return code


def option(text: str) -> tuple[str, float | str]:
    """Read ``NAME=VALUE``; a value that is a number becomes one."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier() or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, but got {text!r}")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value

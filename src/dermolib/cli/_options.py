"""What the commands share: common options, values such as ``radius=6``, and what is printed."""

import argparse
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["FAILED", "add_common", "call", "fail", "key_value", "show"]

FAILED = 1
"""Exit code where something failed."""

_Result = TypeVar("_Result")


def add_common(parser: argparse.ArgumentParser, *, workers: int = 1) -> None:
    """Add the options of all commands."""
    text = f"parallel workers (default: {workers})"
    parser.add_argument("--workers", metavar="N", type=int, default=workers, help=text)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no report")


def call(function: Callable[..., _Result], given: argparse.Namespace, **others: Any) -> _Result:
    """Call a function with the options that have the names of its parameters, and others."""
    names = vars(given).keys() & inspect.signature(function).parameters
    named = {name: getattr(given, name) for name in names}
    return function(**{**named, "progress": not given.quiet, **others})


def show(given: argparse.Namespace, report: object) -> None:
    """Print a report unless ``--quiet``; a character missing from the terminal becomes ``?``."""
    from dermolib._validation import printable

    if given.quiet or sys.stdout is None:  # a program without a console has none
        return
    encoding = sys.stdout.encoding or "utf-8"
    text = printable(f"{report}\n", keep="\n")
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # of a reader such as `head` that has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(given: argparse.Namespace, sentence: str, code: int) -> int:
    """Print a sentence to the standard error, and return the exit code."""
    from dermolib._validation import printable

    if sys.stderr is not None:
        sys.stderr.write(f"dermolib {given.command}: {printable(sentence)}\n")
    return code


def key_value(text: str) -> tuple[str, float | str]:
    """Read ``NAME=VALUE``; a value that is a number becomes one."""
    name, _, value = text.partition("=")
    if not name.isidentifier() or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, but got {text!r}")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value

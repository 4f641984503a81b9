"""The command ``dermolib``: each of its commands is a module of this package.

What a command needs is imported when it runs, so that ``dermolib --help`` answers at once.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor

import dermolib
from dermolib.cli import audit, download, hair, prepare
from dermolib.cli._words import FAILED, say

__all__ = ["main"]

_MISTAKE, _STOPPED = 2, 130
_COMMANDS = (download, audit, hair, prepare)  # in the order of the pipeline
_CONTINUES = "What is finished stays; the same command continues from there."
_PATHS = (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``dermolib``.

    Args:
        arguments: Words of the command line after the name of the program; None takes those of
            this process.

    Returns:
        0 where all went well, 1 where something failed, 2 after a mistake in the call, and 130
        after Ctrl-C. Each but 0 comes with a sentence on the standard error.

    Raises:
        SystemExit: The parser met a mistake (2), or was asked for help or the version (0).

    Examples:
        >>> main(["hair", "no_such_folder", "clean"])
        2
    """
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except KeyboardInterrupt:
        return say(given, f"stopped. {_CONTINUES}", _STOPPED)
    except _PATHS as error:
        return say(given, str(error), _MISTAKE)
    except (ImportError, TypeError, ValueError) as error:
        if not str(error).startswith("Expected `"):
            raise  # a fault of ours, whose traceback is of use
        return say(given, str(error), _MISTAKE)
    except BrokenExecutor:
        words = "a worker process was killed, which happens where memory runs out."
        return say(given, f"{words} {_CONTINUES} Try fewer workers.", FAILED)
    except OSError as error:
        return say(given, f"{str(error).rstrip('.')}. {_CONTINUES}", FAILED)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dermolib", description="Dermoscopy components on the command line."
    )
    parser.add_argument("--version", action="version", version=f"dermolib {dermolib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser

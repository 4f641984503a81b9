"""The command ``dermolib``: each of its commands is a module of this package.

What a command needs is imported when it is used, so that ``dermolib --help`` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import NoReturn

import dermolib
from dermolib.cli import audit, compare, download, hair, prepare, score, segment
from dermolib.cli._options import FAILED, fail

__all__ = ["main"]

_MISTAKE, _STOPPED = 2, 130
_COMMANDS = {
    "download": download,
    "audit": audit,
    "hair": hair,
    "segment": segment,
    "prepare": prepare,
    "score": score,
    "compare": compare,
}
_CONTINUES = "What is finished stays; the same command continues from there."
_PATHS = (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``dermolib``.

    Args:
        arguments: Words of the command line after the name of the program; None takes those of
            this process.

    Returns:
        0 where all went well, 1 where something failed, 2 after a mistake in the call, and 130
        after Ctrl-C. Non-zero codes print one sentence to the standard error.

    Raises:
        SystemExit: The parser met a mistake (2), or was asked for help or the version (0).

    Examples:
        >>> main(["hair", "no_such_folder", "clean"])
        2
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    given = argparse.Namespace(command=" ".join(arguments[:1]))
    try:
        given = _parser(arguments).parse_args(arguments)
        code: int = given.run(given)
    except KeyboardInterrupt:
        return fail(given, f"stopped. {_CONTINUES}", _STOPPED)
    except _PATHS as error:
        return fail(given, str(error), _MISTAKE)
    except (BrokenExecutor, MemoryError) as error:
        return fail(given, str(error) or f"too little memory. {_CONTINUES}", FAILED)
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        if not str(error).startswith("Expected `"):
            raise  # a fault of ours, whose traceback is of use
        return fail(given, str(error), _MISTAKE)
    except OSError as error:
        return fail(given, f"{str(error).rstrip('.')}. {_CONTINUES}", FAILED)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one sentence rather than the usage."""
        from dermolib._validation import printable

        self.exit(
            _MISTAKE,
            f"{self.prog}: {printable(message).removesuffix('.')}. See `{self.prog} --help`.\n",
        )


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; options of commands that are not called would load what these need."""
    parser = _Parser(prog="dermolib", description="Dermoscopy components on the command line.")
    parser.add_argument("--version", action="version", version=f"dermolib {dermolib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        command.set_defaults(run=module.run, parser=command)
        if name in arguments:
            module.add_options(command)
    return parser

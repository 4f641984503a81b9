"""The command ``dermolib``: one small parser and one function for each of its commands.

What a command needs is imported when it runs, so that ``dermolib --help`` answers at once.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor

import dermolib

__all__ = ["main"]

_FAILED, _MISTAKE, _STOPPED = 1, 2, 130
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
        return _say(given, f"stopped. {_CONTINUES}", _STOPPED)
    except _PATHS as error:
        return _say(given, str(error), _MISTAKE)
    except (TypeError, ValueError) as error:
        if not str(error).startswith("Expected `"):
            raise  # a fault of ours, whose traceback is of use
        return _say(given, str(error), _MISTAKE)
    except BrokenExecutor:
        words = "a worker process was killed, which happens where memory runs out."
        return _say(given, f"{words} {_CONTINUES} Try fewer workers.", _FAILED)
    except OSError as error:
        return _say(given, f"{error}. {_CONTINUES}", _FAILED)
    return code


def _say(given: argparse.Namespace, sentence: str, code: int) -> int:
    sys.stderr.write(f"dermolib {given.command}: {sentence}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dermolib", description="Dermoscopy components on the command line."
    )
    parser.add_argument("--version", action="version", version=f"dermolib {dermolib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_hair(commands)
    _add_prepare(commands)
    return parser


def _add_hair(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "hair",
        help="remove hair from all images of a folder",
        description="Remove hair from all images of a folder and its subfolders. The same command "
        "continues an interrupted run. The exit status is 1 where images failed.",
    )
    add = parser.add_argument
    add("source", metavar="IN", help="folder of images")
    add("destination", metavar="OUT", help="folder for the clean images and the table hair.csv")
    add("--method", metavar="NAME", help="how hair is found; a wrong name lists those there are")
    add("--fill", metavar="NAME", help="what replaces hair")
    add("--masks", metavar="DIR", help="write masks, PNG files of 0 and 255, to this folder")
    add("--contact-sheet", metavar="FILE", help="draw before, mask and after of 12 images (PNG)")
    add("--workers", metavar="N", type=int, default=1, help="parallel workers (default: 1)")
    add("--overwrite", action="store_true", help="make everything of earlier runs anew")
    add("--quality", metavar="Q", type=int, default=95, help="JPEG quality (default: 95)")
    add("--suffix", metavar=".png", help="write all images in this format; .png is lossless")
    add(
        "--exclude",
        metavar="PATTERN",
        action="append",
        help="leave out images of such names, instead of the masks of the challenges; repeatable",
    )
    add(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_option,
        help="parameter of the method, such as radius=6; repeatable",
    )
    add("--quiet", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=_hair)


def _add_prepare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "prepare",
        help="prepare all images of a folder in one store that opens by memory map",
        description="Take all images of a folder and its subfolders through the steps, in their "
        "order, resize them, and pack them in one store. The same command continues an interrupted "
        "run, and finds a finished one done.",
    )
    add = parser.add_argument
    add("source", metavar="IN", help="folder of images")
    add("destination", metavar="OUT", help="folder of the store")
    add(
        "--image-size",
        metavar="S",
        type=int,
        nargs="+",
        required=True,
        help="height and width in px, or one number for both",
    )
    add(
        "--step",
        metavar="NAME[:OPTION=VALUE,...]",
        action="append",
        default=[],
        type=_step,
        help="crop_border, occlusion_removal or shades_of_gray, such as "
        "occlusion_removal:method=luv,radius=6; repeatable, in the order given",
    )
    add("--masks", metavar="DIR", help="folder of the lesion masks, packed alongside")
    add("--workers", metavar="N", type=int, default=1, help="parallel workers (default: 1)")
    add("--skip-errors", action="store_true", help="finish without the images that fail")
    add("--overwrite", action="store_true", help="replace a store of other settings or images")
    add("--quiet", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=_prepare)


def _step(text: str) -> tuple[str, dict[str, float | str]]:
    name, _, options = text.partition(":")
    return name, dict(_option(option) for option in options.split(",") if option)


def _prepare(given: argparse.Namespace) -> int:
    from functools import partial

    from dermolib.preprocessing import STEPS, prepare

    # An unknown name goes through as it is, to be refused with the known ones
    steps = [
        partial(STEPS[name], **options) if name in STEPS else name for name, options in given.step
    ]
    size = given.image_size
    store = prepare(
        given.source,
        given.destination,
        steps=steps,
        image_size=size[0] if len(size) == 1 else size,
        masks=given.masks,
        errors="skip" if given.skip_errors else "raise",
        overwrite=given.overwrite,
        workers=given.workers,
        progress=not given.quiet,
    )
    if not given.quiet:
        sys.stdout.write(f"{store}\n")
    return 0


def _option(text: str) -> tuple[str, float | str]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier() or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, but got {text!r}")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _hair(given: argparse.Namespace) -> int:
    from dermolib._checks import expected
    from dermolib.folders.hair import remove_hair_from_folder

    for name, _ in given.option:
        if name in inspect.signature(remove_hair_from_folder).parameters:
            what = "a parameter of the method"
            raise ValueError(expected("--option", what, name, "See `dermolib hair --help`."))
    chosen = {} if given.exclude is None else {"exclude": given.exclude}
    report = remove_hair_from_folder(
        given.source,
        given.destination,
        method=given.method,
        fill=given.fill,
        masks=given.masks,
        contact_sheet=given.contact_sheet,
        suffix=given.suffix,
        quality=given.quality,
        overwrite=given.overwrite,
        workers=given.workers,
        progress=not given.quiet,
        **chosen,
        **dict(given.option),
    )
    if not given.quiet:
        sys.stdout.write(f"{report}\n")
    if report.failed:
        total = report.done + report.skipped + report.failed
        words = f"{report.failed:,} of {total:,} images failed; {report.csv} names the reasons."
        return _say(given, words, _FAILED)
    return 0

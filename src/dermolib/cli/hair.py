"""The command ``dermolib hair``: hair removed from all images of a folder."""

import argparse
import inspect
import sys

from dermolib.cli._words import FAILED, option, say

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
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
        type=option,
        help="parameter of the method, such as radius=6; repeatable",
    )
    add("--quiet", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from dermolib._validation import expected
    from dermolib.preprocessing.folders import remove_hair_from_folder

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
        return say(given, words, FAILED)
    return 0

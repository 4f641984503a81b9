"""Outline the lesions of all images of a folder and its subfolders, and note their artifacts.

The mask of IN/a/b.jpg is OUT/a/b.png; segment.csv has a row for each image. The same command
continues an interrupted run. The exit code is 1 where images failed.
"""

import argparse
import inspect

from dermolib.cli._options import FAILED, add_common, call, fail, key_value, show

SUMMARY = "outline the lesions of all images of a folder"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.preprocessing.segmentation import DEFAULT_METHOD, list_segmentation_methods

    methods = list_segmentation_methods()
    add = parser.add_argument
    add("source", metavar="IN", help="folder of images")
    add("destination", metavar="OUT", help="folder for the masks (PNG) and the table segment.csv")
    text = f"how lesions are found: {', '.join(methods)} (default: {DEFAULT_METHOD})"
    add("--method", metavar="NAME", choices=methods, default=argparse.SUPPRESS, help=text)
    text = "option of the method, such as threshold=0.4 or presence=0.3; repeatable"
    add("--option", metavar="NAME=VALUE", action="append", type=key_value, default=[], help=text)
    text = "leave out images of such names, instead of masks of the challenges; repeatable"
    add("--exclude", metavar="PATTERN", action="append", default=argparse.SUPPRESS, help=text)
    add("--overwrite", action="store_true", help="make everything of earlier runs again")
    add_common(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.preprocessing.lesion_folder import segment_folder

    options = dict(given.option)
    for name in options.keys() & inspect.signature(segment_folder).parameters:
        given.parser.error(f"expected --option of the method, but got {name}")
    report = call(segment_folder, given, **options)
    show(given, report)
    if report.failed:
        total = report.found + report.empty + report.skipped + report.failed
        words = f"{report.failed:,} of {total:,} images failed; {report.csv} names the reasons."
        return fail(given, words, FAILED)
    return 0

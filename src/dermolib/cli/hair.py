"""Remove hair from all images of a folder and its subfolders.

The same command continues an interrupted run. The exit code is 1 where images failed.
"""

import argparse
import inspect

from dermolib.cli._options import FAILED, add_common, call, fail, key_value, show

SUMMARY = "remove hair from all images of a folder"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.preprocessing.hair.inpainting import list_fills
    from dermolib.preprocessing.hair.registry import DEFAULT_METHOD, list_occlusion_methods

    methods, fills = list_occlusion_methods(), list_fills()
    text = f"how hair is found: {', '.join(methods)} (default: {DEFAULT_METHOD})"
    add = parser.add_argument
    add("source", metavar="IN", help="folder of images")
    add("destination", metavar="OUT", help="folder for the clean images and the table hair.csv")
    add("--method", metavar="NAME", choices=methods, help=text)
    text = f"what replaces hair: {', '.join(fills)} (default: that of the method)"
    add("--fill", metavar="NAME", choices=fills, help=text)
    text = "option of the method, such as radius=6; repeatable"
    add("--option", metavar="NAME=VALUE", action="append", type=key_value, default=[], help=text)
    add("--masks", metavar="DIR", help="write masks, PNG files of 0 and 255, to this folder")
    add("--contact-sheet", metavar="FILE", help="draw before, mask and after of 12 images (PNG)")
    add("--quality", metavar="Q", type=int, default=95, help="JPEG quality (default: 95)")
    add("--suffix", metavar=".png", help="write all images in this format; .png is lossless")
    text = "leave out images of such names, instead of masks of the challenges; repeatable"
    add("--exclude", metavar="PATTERN", action="append", default=argparse.SUPPRESS, help=text)
    add("--overwrite", action="store_true", help="make everything of earlier runs again")
    add_common(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.preprocessing.folders import remove_hair_from_folder

    options = dict(given.option)
    for name in options.keys() & inspect.signature(remove_hair_from_folder).parameters:
        given.parser.error(f"expected --option of the method, but got {name}")
    report = call(remove_hair_from_folder, given, **options)
    show(given, report)
    if report.failed:
        total = report.done + report.skipped + report.failed
        words = f"{report.failed:,} of {total:,} images failed; {report.csv} names the reasons."
        return fail(given, words, FAILED)
    return 0

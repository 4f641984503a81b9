"""Prepare all images of a folder and its subfolders in one memory-mapped store.

Each image goes through the steps, in their order, and is resized. The same command continues an
interrupted run, and finds a finished one done.
"""

import argparse
from functools import partial
from typing import Any

from dermolib.cli._options import add_common, call, key_value, show

SUMMARY = "prepare all images of a folder in one memory-mapped store"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.preprocessing.aspect_ratio import FITS
    from dermolib.preprocessing.steps import STEPS

    add = parser.add_argument
    add("source", metavar="IN", help="folder of images")
    add("destination", metavar="OUT", help="folder of the store")
    text = "height and width in px, or one number for both"
    add("--image-size", metavar="S", type=int, nargs="+", required=True, help=text)
    text = "what is done to images of another aspect ratio"
    add("--fit", choices=FITS, default="squeeze", help=f"{text}; squeeze by default")
    text = f"{', '.join(STEPS)}, such as crop_border:threshold=0.2; repeatable, in the order given"
    metavar = "NAME[:OPTION=VALUE,...]"
    add("--step", metavar=metavar, action="append", type=_step, default=[], help=text)
    add("--masks", metavar="DIR", help="folder of the lesion masks, packed alongside")
    add("--skip-errors", action="store_true", help="finish without the images that fail")
    add("--overwrite", action="store_true", help="replace a store of other settings or images")
    add_common(parser)


def _step(text: str) -> Any:
    """Read a step; an unknown name is returned as it is, to be refused with the known ones."""
    from dermolib.preprocessing.steps import STEPS

    name, _, options = text.partition(":")
    pairs = [key_value(part) for part in options.split(",") if part]
    return partial(STEPS[name], **dict(pairs)) if name in STEPS else name


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.preprocessing.prepare import prepare

    size = given.image_size[0] if len(given.image_size) == 1 else given.image_size
    errors = "skip" if given.skip_errors else "raise"
    store = call(prepare, given, steps=given.step, image_size=size, errors=errors)
    show(given, store)
    return 0

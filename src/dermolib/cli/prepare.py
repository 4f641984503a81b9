"""The command ``dermolib prepare``: a folder of images to one store."""

import argparse
import sys

from dermolib.cli._words import option

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
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
    parser.set_defaults(run=_run)


def _step(text: str) -> tuple[str, dict[str, float | str]]:
    name, _, options = text.partition(":")
    return name, dict(option(part) for part in options.split(",") if part)


def _run(given: argparse.Namespace) -> int:
    from functools import partial

    from dermolib.preprocessing import STEPS
    from dermolib.preprocessing.prepare import prepare

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

"""Download a public collection into a folder, check it and unpack it.

The same command continues an interrupted run, and finds a finished one done.
"""

import argparse

from dermolib.cli._options import add_common, call, show

SUMMARY = "download a public collection: ISIC 2018, 2019, 2020 or HAM10000"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.datasets.download.collections import list_collections

    add = parser.add_argument
    add("collection", metavar="NAME", nargs="?", help=f"one of {', '.join(list_collections())}")
    add("destination", metavar="DIR", nargs="?", help="folder of the files")
    add("--list", action="store_true", help="list the collections, or the files of one, and end")
    add("--part", metavar="PART", action="append", help="part of it, such as training; repeatable")
    add("--keep", action="store_true", help="keep the zip files when they are unpacked")
    add("--no-unpack", action="store_true", help="leave the zip files as they are")
    add_common(parser, workers=4)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.datasets.download.collections import list_files
    from dermolib.datasets.download.run import download

    if given.list:
        names = {"destination": "DIR", "part": "--part", "workers": "--workers", "keep": "--keep"}
        names |= {"no_unpack": "--no-unpack", "quiet": "--quiet"}
        default = given.parser.get_default
        others = [names[name] for name in names if getattr(given, name) != default(name)]
        if others:
            words = ", ".join(others)
            given.parser.error(f"expected --list alone or with NAME, but got {words} as well")
        show(given, list_files(given.collection))
        return 0
    if given.destination is None:
        got = f"{given.collection!r} alone" if given.collection else "neither"
        given.parser.error(f"expected NAME and DIR, but got {got}; --list shows the collections")
    show(given, call(download, given, parts=given.part, unpack=not given.no_unpack))
    return 0

"""The command ``dermolib download``: a public collection to a folder."""

import argparse
import sys

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "download",
        help="fetch a public collection: ISIC 2018, 2019, 2020 or HAM10000",
        description="Fetch a public collection into a folder, check it and unpack it. The same "
        "command continues an interrupted run, and finds a finished one done.",
    )
    add = parser.add_argument
    add("collection", metavar="NAME", nargs="?", help="isic2018, isic2019, isic2020 or ham10000")
    add("destination", metavar="DIR", nargs="?", help="folder of the files")
    add("--list", action="store_true", help="list the collections, or the files of one, and end")
    add(
        "--part", metavar="PART", action="append", help="a part of it, such as training; repeatable"
    )
    add("--workers", metavar="N", type=int, help="files at a time (default: 4)")
    add("--keep", action="store_true", help="keep the zip files when they are unpacked")
    add("--no-unpack", action="store_true", help="leave the zip files as they are")
    add("--quiet", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from dermolib._validation import expected
    from dermolib.datasets.download import list_collections, list_files

    if given.list:
        _check_alone(given)
        sys.stdout.write(f"{list_files(given.collection)}\n")
        return 0
    if given.destination is None:
        what = f"two words, such as `{list_collections()[1]} data`"
        got = repr(given.collection) if given.collection else "none"
        raise ValueError(expected("NAME DIR", what, got, "`--list` shows the collections."))
    return _download(given)


def _check_alone(given: argparse.Namespace) -> None:
    from dermolib._validation import expected

    options = {
        "DIR": given.destination,
        "--part": given.part,
        "--workers": given.workers,
        "--keep": given.keep,
        "--no-unpack": given.no_unpack,
        "--quiet": given.quiet,
    }
    others = [name for name, value in options.items() if value not in (None, False)]
    if others:
        got, remedy = f"it with {' and '.join(others)}", "Leave out one or the other."
        raise ValueError(expected("--list", "alone or with NAME", got, remedy))


def _download(given: argparse.Namespace) -> int:
    from dermolib.datasets.download.run import download

    done = download(
        given.collection,
        given.destination,
        parts=given.part,
        workers=4 if given.workers is None else given.workers,
        unpack=not given.no_unpack,
        keep=given.keep,
        progress=not given.quiet,
    )
    if not given.quiet:
        sys.stdout.write(f"{done}\n")
    return 0

"""The command ``dermolib audit``: what leaks between the sides of a data set, and what is wrong."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dermolib.cli._words import FAILED, say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["add"]

_NEVER = "nothing"
_COLLECTIONS = ("challenge", "ham10000", "isic2018", "isic2019", "isic2020", "isic2024")
_OTHER_TASKS = ("task1", "task2")  # of ISIC 2018, whose sides tell nothing of task 3


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "audit",
        help="find what leaks between training and test, and what is wrong with the files",
        description="Audit all sides in the folder of a collection, or the CSV files of one side "
        "or two: lesions, patients, ids and pictures on both sides, labels at odds, files that "
        "lack or cannot be read, gaps, and shifts. The exit status is 1 where something is found "
        "that --fail-on names.",
    )
    add = parser.add_argument
    add("train", metavar="TRAIN", help="folder of a collection, or a CSV file")
    add("test", metavar="TEST", nargs="?", help="CSV file of the other side")
    add(
        "--collection",
        metavar="NAME",
        help=f"what the folder holds: {', '.join(_COLLECTIONS)} (default: {_COLLECTIONS[0]})",
    )
    add(
        "--images",
        metavar="DIR",
        help="folder of the images of CSV files, a store of `prepare`, or an HDF5 file; without it "
        "the tables alone are checked",
    )
    add("--test-images", metavar="DIR", help="that of TEST, where it is another one")
    add("--no-images", action="store_true", help="do not read any image")
    add("--workers", metavar="N", type=int, default=1, help="parallel workers (default: 1)")
    add("--json", metavar="FILE", help="write all findings to this file, ending in .json")
    add(
        "--fail-on",
        metavar="WHAT",
        nargs="+",
        help="what makes the exit status 1: leaks, conflicts, duplicates, files, rows (all these "
        f"by default), metadata, shift, or {_NEVER}",
    )
    add("--quiet", action="store_true", help="no progress bar and no page")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from pathlib import Path

    from dermolib._validation import expected
    from dermolib.auditing.run import audit

    if given.json is not None and not _writable(Path(given.json)):
        raise ValueError(
            expected("--json", "a file ending in .json that can be written", given.json)
        )
    _check(given)
    fail_on = _chosen(given.fail_on)
    sides = _folder(given) if Path(given.train).is_dir() else _files(given)
    report = audit(
        sides,
        images=not given.no_images,
        workers=given.workers,
        progress=not given.quiet,
        fail_on=fail_on,
    )
    if given.json is not None:
        report.save(given.json)
    if not given.quiet:
        # A name may have characters that the terminal lacks, which is no reason to lose the page
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(f"{report}\n".encode(encoding, "replace").decode(encoding))
    if report.failed:
        return say(given, report.verdict, FAILED)
    return 0


def _writable(path: "Path") -> bool:
    """Tell early whether the report can be written, since an audit may take an hour."""
    place = next(folder for folder in path.absolute().parents if folder.exists())
    return (
        path.suffix.lower() == ".json"
        and not path.is_dir()
        and place.is_dir()
        and os.access(place, os.W_OK)
    )


def _chosen(fail_on: list[str] | None) -> Sequence[str]:
    from dermolib._validation import check_choice, expected
    from dermolib.auditing.words import FINDINGS, USUAL_FINDINGS

    if fail_on is None:
        return USUAL_FINDINGS
    for name in fail_on:
        check_choice(name, "--fail-on", (*FINDINGS, _NEVER))
    findings = [name for name in fail_on if name != _NEVER]
    if findings and len(findings) < len(fail_on):
        what = f"findings, or {_NEVER!r} alone"
        raise ValueError(expected("--fail-on", what, repr(" ".join(fail_on))))
    return findings


def _check(given: argparse.Namespace) -> None:
    """Refuse options that contradict each other, before anything is read."""
    from pathlib import Path

    from dermolib._validation import expected

    if given.no_images and (given.images or given.test_images):
        remedy = "Leave one of the two out."
        raise ValueError(
            expected("--no-images", "given without a folder of images", "both", remedy)
        )
    is_folder = Path(given.train).is_dir()
    if given.collection is not None and not is_folder:
        what = "given for the folder of a collection"
        remedy = "Leave it out beside CSV files, or name the folder."
        raise ValueError(expected("--collection", what, f"it for {given.train}", remedy))
    if is_folder:
        lone = {"TEST": given.test, "--images": given.images, "--test-images": given.test_images}
        for name, value in lone.items():
            if value is not None:
                what = "left out beside the folder of a collection, which has its sides in it"
                remedy = "Give the CSV files of both sides to audit others."
                raise ValueError(expected(name, what, value, remedy))
    elif given.test is None and given.test_images:
        raise ValueError(expected("--test-images", "given beside TEST", "it alone"))
    _check_place("--images", given.images)
    _check_place("--test-images", given.test_images)


def _check_place(name: str, place: str | None) -> None:
    """Refuse a file that cannot hold images; a place that is not there is told when looked at."""
    from pathlib import Path

    from dermolib._validation import expected
    from dermolib.io import ENDINGS

    if place is None or Path(place).suffix.lower() in ENDINGS:
        return
    if Path(place).exists() and not Path(place).is_dir():
        what = f"a folder, a store of `prepare`, or an HDF5 file ({', '.join(ENDINGS)})"
        raise ValueError(expected(name, what, f"the file {place}"))


def _folder(given: argparse.Namespace) -> "dict[str, pd.DataFrame]":
    """Read the sides of a collection; all but the challenge may lack those that judge."""
    from dermolib import datasets
    from dermolib._validation import check_choice

    name = _COLLECTIONS[0] if given.collection is None else given.collection
    check_choice(name, "--collection", _COLLECTIONS)
    if name == "challenge":
        read = datasets.read_challenge_table
        return {side: read(given.train, side) for side in ("train", "test")}
    if name == "ham10000":
        return {"train": datasets.read_ham10000(given.train)}
    read = getattr(datasets, f"read_{name}")
    sides = {"train": read(given.train)}
    for side in ("validation", "test") if name == "isic2018" else ("test",):
        if _has(given.train, side):
            sides[side] = read(given.train, side)
    return sides


def _has(root: str, side: str) -> bool:
    """Tell whether anything of a side is there; what is there and cannot be read is to be told."""
    with os.scandir(root) as entries:
        names = [entry.name.lower() for entry in entries]
    return any(side in name and not any(other in name for other in _OTHER_TASKS) for name in names)


def _files(given: argparse.Namespace) -> "dict[str, pd.DataFrame]":
    """Read one CSV file or two."""
    from dermolib.datasets import read_table

    sides = {"train": _with_images(read_table(given.train), given.images)}
    if given.test is not None:
        folder = given.test_images or given.images
        sides["test"] = _with_images(read_table(given.test), folder)
    return sides


def _with_images(table: "pd.DataFrame", folder: str | None) -> "pd.DataFrame":
    from dermolib.datasets.files import find_files

    if folder is None or "image_path" in table.columns:
        return table
    found = find_files(table, folder, masks=False)
    return table.assign(image_path=found.images.to_numpy(object))

"""Find what leaks between the splits of a data set, and what is wrong with its tables and images.

Audits all splits in the folder of a collection, or the CSV files of one split or two: lesions,
patients, ids and pictures in both splits, conflicting labels, missing and unreadable files, missing
metadata, shifts, and with --artifacts the classes that artifacts go with. The exit code is 1 where
something is found that --fail-on names.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermolib.cli._options import FAILED, add_common, fail, show

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "find data leakage between splits, and what is wrong with tables and images"

_NEVER = "nothing"
_OTHER_TASKS = ("task1", "task2")  # of ISIC 2018, whose splits say nothing of task 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.auditing.report import DEFAULT_FINDINGS, FINDINGS
    from dermolib.datasets.readers import list_readers
    from dermolib.labels import LABEL_SPACES

    add = parser.add_argument
    add("train", metavar="TRAIN", help="folder of a collection, or a CSV file")
    add("test", metavar="TEST", nargs="?", help="CSV file of the other split")
    text = f"what the folder holds: {', '.join(list_readers())} (default: challenge)"
    add("--collection", metavar="NAME", choices=list_readers(), help=text)
    text = f"classes: {', '.join(LABEL_SPACES)}, or codes with commas (default: the collection's)"
    add("--label-space", metavar="NAME", type=_label_space, help=text)
    text = (
        "folder of the images of CSV files, a store of `prepare`, or an HDF5 file; without it the "
        "tables alone are checked"
    )
    add("--images", metavar="DIR", type=_images, help=text)
    text = "that of TEST, where it is another one"
    add("--test-images", metavar="DIR", type=_images, help=text)
    add("--no-images", action="store_true", help="do not read any image")
    text = "search second photographs of one lesion under another lesion id, which takes minutes"
    add("--recaptures", action="store_true", help=text)
    text = "look for rulers, ink, patches and other artifacts, and for what they go with"
    add("--artifacts", action="store_true", help=text)
    text = "CSV file of ids and probabilities or flags of artifacts, to take these instead"
    add("--artifact-table", metavar="FILE", type=_table, help=text)
    add("--json", metavar="FILE", type=_json, help="write all findings to this file (.json)")
    text = "write a page with pictures of the findings to this file (.html)"
    add("--html", metavar="FILE", type=_html, help=text)
    text = (
        f"findings that make the exit code 1: {', '.join(FINDINGS)}, or {_NEVER} (default: "
        f"{' '.join(DEFAULT_FINDINGS)})"
    )
    names = (*FINDINGS, _NEVER)
    add("--fail-on", metavar="WHAT", nargs="+", choices=names, default=DEFAULT_FINDINGS, help=text)
    add_common(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.auditing.run import audit

    _check(given)
    report = audit(
        _read_collection(given) if Path(given.train).is_dir() else _read_tables(given),
        images=not given.no_images,
        recaptures=given.recaptures,
        artifacts=given.artifact_table or given.artifacts,
        workers=given.workers,
        progress=not given.quiet,
        fail_on=[name for name in given.fail_on if name != _NEVER],
    )
    for path in (given.json, given.html):
        if path is not None:
            report.save(path)
    show(given, report)
    return fail(given, report.verdict, FAILED) if report.failed else 0


def _table(text: str) -> Path:
    """Refuse a table that is not there before the images are read."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"expected a CSV file, but got {text}")
    return Path(text)


def _json(text: str) -> Path:
    return _writable(text, ".json")


def _html(text: str) -> Path:
    return _writable(text, ".html")


def _writable(text: str, ending: str) -> Path:
    """Check early that the report can be written, since an audit may take an hour."""
    path = Path(text)
    place = next(folder for folder in path.absolute().parents if folder.exists())
    fits = path.is_file() or not os.path.lexists(path)
    free = place.is_dir() and os.access(place, os.W_OK) and fits
    if not free or path.suffix.lower() != ending:
        what = f"expected a file ending in {ending} that can be written"
        raise argparse.ArgumentTypeError(f"{what}, but got {text}")
    return path


def _label_space(text: str) -> Any:
    """Look up a label space, or make one of codes."""
    from dermolib.labels import as_label_space

    try:
        return as_label_space(text.split(",") if "," in text else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _images(text: str) -> str:
    """Refuse a file that cannot hold images; a missing folder is reported when it is read."""
    from dermolib.io import ENDINGS

    path = Path(text)
    if path.exists() and not path.is_dir() and path.suffix.lower() not in ENDINGS:
        what = f"expected a folder, a store of `prepare`, or an HDF5 file ({', '.join(ENDINGS)})"
        raise argparse.ArgumentTypeError(f"{what}, but got the file {text}")
    return text


def _check(given: argparse.Namespace) -> None:
    """Refuse options that contradict each other, before anything is read."""
    from dermolib._validation import DatasetNotFoundError

    if not Path(given.train).exists():
        table = "a CSV file with the names of its columns in the first row"
        layout = f"the folder of a collection, or {table}"
        raise DatasetNotFoundError(Path(given.train), layout)
    folder = Path(given.train).is_dir()
    lone = {"TEST": given.test, "--images": given.images, "--test-images": given.test_images}
    beside = [name for name, value in lone.items() if value is not None]
    error = given.parser.error
    if _NEVER in given.fail_on and len(given.fail_on) > 1:
        error(f"expected --fail-on findings, or {_NEVER!r} alone, but got both")
    asked = given.artifacts or given.artifact_table
    if "confounding" in given.fail_on and not asked:
        error("expected --fail-on confounding with --artifacts or --artifact-table")
    if given.no_images:
        _check_without_images(given)
    if given.collection and not folder:
        error(f"expected --collection with the folder of a collection, but got {given.train}")
    if folder and beside:
        error(f"expected the folder of a collection alone, but got {beside[0]} as well")
    if given.test_images and not given.test:
        error("expected --test-images with TEST, but got it alone")


def _check_without_images(given: argparse.Namespace) -> None:
    """Refuse what needs images."""
    if given.images or given.test_images:
        given.parser.error("expected --no-images without a folder of images, but got both")
    for name in ("recaptures", "artifacts"):
        if getattr(given, name):
            given.parser.error(f"expected --{name} with images, but got --no-images as well")


def _read_collection(given: argparse.Namespace) -> "dict[str, pd.DataFrame]":
    """Read the splits of a collection; all but the challenge may have the training split alone."""
    from dermolib._validation import DatasetNotFoundError
    from dermolib.datasets.readers import find_reader

    reader = find_reader(given.collection or "challenge")
    first, *others = reader.splits
    needed = reader.name == "challenge"
    found = [first, *(split for split in others if needed or _has(given.train, split))]
    space = given.label_space
    try:
        return {split: reader.table(given.train, split, label_space=space) for split in found}
    except DatasetNotFoundError as error:
        other = "" if given.collection else "; name another collection with `--collection`"
        raise DatasetNotFoundError(error.path, error.layout + other) from None


def _has(root: str, split: str) -> bool:
    """Tell whether anything of a split is there; what cannot be read is then reported."""
    names = [path.name.lower() for path in Path(root).iterdir()]
    found = [name for name in names if split in name or _means(name, split)]
    return any(not any(task in name for task in _OTHER_TASKS) for name in found)


def _means(name: str, split: str) -> bool:
    """Tell whether a folder such as `val` or `dev` is one of this split."""
    from dermolib.datasets.splits import as_split

    try:
        return as_split(name, [split]) == split
    except ValueError:
        return False


def _read_tables(given: argparse.Namespace) -> "dict[str, pd.DataFrame]":
    """Read one CSV file or two."""
    from dermolib.datasets.files import find_files
    from dermolib.datasets.tables import read_table

    images = {"train": given.images, "test": given.test_images or given.images}
    paths = {"train": given.train, "test": given.test}
    space = given.label_space
    tables = {
        split: read_table(path, label_space=space)
        for split, path in paths.items()
        if path is not None
    }
    for split, table in tables.items():
        if images[split] is not None and "image_path" not in table.columns:
            found = find_files(table, images[split], masks=False)
            paths = {"image_path": found.images, "mask_path": found.masks}
            tables[split] = table.assign(**{name: p.to_numpy(object) for name, p in paths.items()})
    known = any("image_path" in table.columns for table in tables.values())
    for name in ("recaptures", "artifacts"):
        if getattr(given, name) and not known:
            given.parser.error(f"expected --{name} with --images, but got tables alone")
    return tables

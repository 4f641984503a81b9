"""Where the files of a collection lie, however its archives were unpacked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import DatasetNotFoundError, expected, listed
from dermolib.datasets.files import find_images, find_masks
from dermolib.datasets.tables import read_table
from dermolib.io import ENDINGS

__all__ = [
    "finished",
    "first_folder",
    "first_of",
    "found_in",
    "listed_images",
    "without_shrunk",
]

_SHRUNK = "_downsampled"
_TAIL = "_segmentation"


def found_in(root: Path, names: Sequence[str]) -> list[Path]:
    """Find which of several names are there; an archive may have unpacked to a folder in itself."""
    paths = [path for name in names for path in (root / name / Path(name).name, root / name)]
    return [path for path in paths if path.exists()]


def first_of(root: Path, names: Sequence[str], layout: str) -> Path:
    """Find the first file of several names, or say which layout was expected."""
    found = [path for path in found_in(root, names) if path.is_file()]
    if not found:
        raise DatasetNotFoundError(root / names[0], layout)
    return found[0]


def first_folder(root: Path, names: Sequence[str], layout: str, *, needed: bool) -> list[Path]:
    """Find the first place of several that has images; a list of none where none is needed."""
    found = found_in(root, names)
    for place in found:
        if place.suffix.lower() in ENDINGS or any(_is_image(path) for path in place.iterdir()):
            return [place]
    if found and needed:
        return found[:1]
    if needed:
        raise DatasetNotFoundError(root / names[0], layout)
    return []


def listed_images(folders: Sequence[Path]) -> pd.DataFrame:
    """Make a table of the images, or masks, of the first folder, for what has no table."""
    if not folders:
        raise ValueError(expected("root", "a folder with images or masks", "neither"))
    files = sorted(path for path in folders[0].iterdir() if _is_image(path))
    names = [path.stem.removesuffix(_TAIL) for path in files]
    if not names:
        raise ValueError(expected(str(folders[0]), "a folder of images ID.jpg", "none"))
    return read_table(pd.DataFrame({"ID": names}), name=str(folders[0]))


def without_shrunk(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Take off what ends the ids of some images of ISIC 2019."""
    table["id"] = table["id"].str.removesuffix(_SHRUNK)
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        remedy = f"The ending {_SHRUNK} means nothing."
        what = "a table in which each id stands once"
        raise ValueError(expected(str(path), what, f"{listed(twice)} twice", remedy))
    return table


def finished(
    table: pd.DataFrame, source: str, year: int, images: Sequence[Path], masks: Sequence[Path] = ()
) -> pd.DataFrame:
    """Add what is the same for all rows, and find their files, of which there may be none."""
    table["source"] = source
    table["year"] = pd.Series(np.full(len(table), year), dtype="Int16")
    table["image_path"] = find_images(table, images)
    table["mask_path"] = find_masks(table, masks[:1] or images)
    return table


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg", ".png")

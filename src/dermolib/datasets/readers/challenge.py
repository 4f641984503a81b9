"""The ISIC challenge of the paper: eight classes, with lesions where they are known."""

import os
from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import add_files, add_lesions
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_challenge_table"]

_LAYOUT = (
    "metadataTrain.csv and metadataTest.csv beside the folders Train and Test with ID.jpg, "
    "optionally Train/ID_seg.png and lesion_ids.csv"
)


@register_reader(
    "challenge",
    title="the challenge of the paper",
    labels="classes 1 to 8",
    splits=("train", "test"),
    about=About(
        images="25,331 dermoscopic (18,998 to train, 6,333 to test)",
        groups="lesions, of most images",
        masks="where you add them",
        license="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#2019",
    ),
)
def read_challenge_table(
    root: PathLike, split: str = "train", *, images: bool = True
) -> pd.DataFrame:
    """Read one split of the challenge's tables, whether its images are there or not.

    Args:
        root: Folder with ``metadataTrain.csv``, ``metadataTest.csv``, ``Train`` and ``Test``, and
            perhaps ``lesion_ids.csv`` (ID, LESION_ID).
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the folder of the images must exist.

    Returns:
        Table of `dermolib.datasets.read_table`, with the lesions where they are known, and with
        ``image_path`` and ``mask_path``, empty where there is no file.

    Raises:
        DatasetNotFoundError: `root` does not have the layout of the challenge.
        ValueError: A table is invalid, or the split is unknown.
    """
    split = as_split(split, ("train", "test"))
    root, part = Path(root), split.capitalize()
    path = root / f"metadata{part}.csv"
    folders = [root / part] if images or (root / part).exists() else []
    for place in (root, path, *folders):
        if not place.exists():
            raise DatasetNotFoundError(place, _LAYOUT)
    table = read_table(path)
    got = "none; other columns than ID, CLASS, SEX, AGE, POSITION and LESION_ID are not read"
    labeled = split == "test" or "label" in table
    require(labeled, str(path), "a table with a column `CLASS` (1..8)", got)
    if os.path.lexists(root / "lesion_ids.csv"):
        add_lesions(table, root / "lesion_ids.csv", split)
    return add_files(table, "challenge", 2019, folders)

"""The ISIC challenge of 2020: melanoma or not, with patients."""

from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.columns import read_columns
from dermolib.datasets.groups import join_lesions
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    PARTS,
    add_files,
    find_places,
    first_file,
    first_folder,
)
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_isic2020"]


@register_reader(
    "isic2020",
    title="ISIC 2020",
    labels="what the diagnosis says, and the column `malignant`",
    splits=("train", "test"),
    about=About(
        images="44,108 dermoscopic (33,126 to train, 10,982 to test)",
        groups="patients and lesions",
        masks="none",
        license="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#2020",
    ),
)
def read_isic2020(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2020, which asks for melanoma alone.

    Where ``ISIC_2020_Training_Duplicates.csv`` is beside the table, the images of a pair are of one
    lesion, so that a split keeps them together.

    Args:
        root: Folder with ``ISIC_2020_Training_GroundTruth_v2.csv`` (or the first version, or
            ``train.csv``) and ``train``, or with ``ISIC_2020_Test_Metadata.csv`` (or ``test.csv``)
            and its images.
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, with patients, and for training rows with the column
        ``malignant``, bool: the target of the challenge. Most rows are of the diagnosis
        ``unknown`` and have no label.

    References:
        Rotemberg et al., A patient-centric dataset of images and metadata, Scientific Data 8, 2021,
        https://doi.org/10.1038/s41597-021-00815-z.
    """
    split = as_split(split, ("train", "test"))
    root, prefix = Path(root), f"ISIC_2020_{PARTS[split]}"
    names = {
        "train": [f"{prefix}_GroundTruth_v2.csv", f"{prefix}_GroundTruth.csv", "train.csv"],
        "test": [f"{prefix}_Metadata.csv", "test.csv"],
    }[split]
    places = [f"{prefix}_JPEG/{split}", f"{prefix}_JPEG", f"{prefix}_Input"]
    places += [f"{prefix}_JPEG/{prefix}_Input", f"jpeg/{split}", split]
    layout = f"{names[0]} beside {split} or {places[0]}"
    path = first_file(root, names, layout)
    if split == "train":
        table = read_table(path, columns={"malignant": "target"}, vocabulary="isic2020")
        for pairs in find_places(root, ["ISIC_2020_Training_Duplicates.csv"])[:1]:
            _join_duplicates(table, pairs)
    else:
        table = read_table(path)
    folders = first_folder(root, places, layout, needed=images)
    return add_files(table, "ISIC 2020", 2020, folders)


def _join_duplicates(table: pd.DataFrame, path: Path) -> None:
    """Give both images of each published pair of duplicates one lesion."""
    columns = read_columns(path, ("image_name_1", "image_name_2"))
    edges = np.stack(
        [pd.Index(table["id"]).get_indexer(pd.Index(names)) for names in columns], axis=1
    )
    table["lesion"] = join_lesions(table, edges[(edges >= 0).all(axis=1)])

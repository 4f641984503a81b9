"""The ISIC challenge of 2019: eight classes and what is none of them."""

from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    PARTS,
    add_files,
    drop_downsampled,
    find_places,
    first_file,
    first_folder,
    read_truth,
)
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_isic2019"]


@register_reader(
    "isic2019",
    title="ISIC 2019",
    labels="eight classes; `UNK` has a label in the space `isic2019` alone",
    splits=("train", "test"),
    about=About(
        images="33,569 dermoscopic (25,331 to train, 8,238 to test)",
        groups="lesions, of most training images",
        masks="none",
        license="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#2019",
    ),
)
def read_isic2019(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2019.

    Ids are without the ``_downsampled`` that ends some of them. Rows of the class ``UNK`` have no
    label: their diagnosis is none of the eight. Patients are not published; lesions are, for most
    images of the training set.

    Args:
        root: Folder with ``ISIC_2019_Training_Input``, ``ISIC_2019_Training_GroundTruth.csv`` and
            ``ISIC_2019_Training_Metadata.csv``, or the same of ``Test``.
        split: ``"train"`` or ``"test"``; the ground truth of the test set may be missing.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, whose errors are those here.

    References:
        Combalia et al., BCN20000: dermoscopic lesions in the wild, 2019,
        https://doi.org/10.48550/arXiv.1908.02288.
    """
    split = as_split(split, ("train", "test"))
    root, prefix = Path(root), f"ISIC_2019_{PARTS[split]}"
    layout = f"{prefix}_Metadata.csv and {prefix}_GroundTruth.csv beside {prefix}_Input"
    folders = first_folder(root, [f"{prefix}_Input"], layout, needed=images)
    path = first_file(root, [f"{prefix}_Metadata.csv"], layout)
    table = drop_downsampled(read_table(path), path)
    truth = find_places(root, [f"{prefix}_GroundTruth.csv"])
    if split == "train" and not truth:
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth.csv", layout)
    if truth:
        table = _with_labels(table, truth[0])
    return add_files(table, "ISIC 2019", 2019, folders)


def _with_labels(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Take labels and codes of a ground truth with the ids of the table, in any order."""
    truth = drop_downsampled(read_truth(path, "isic2019"), path)
    rows = pd.Index(truth["id"]).get_indexer(pd.Index(table["id"]))
    others = pd.Index(truth["id"]).difference(pd.Index(table["id"]))
    absent = table["id"][rows < 0]
    got = f"{len(absent)} of them missing ({listed(absent)})" if len(absent) else ""
    got = got or f"{len(others)} others ({listed(others)})"
    same = absent.empty and others.empty
    require(same, str(path), "a ground truth of the ids of the metadata", got)
    found = truth.iloc[rows].reset_index(drop=True)
    if "label" in found:
        table.insert(1, "label", found["label"])
    return table.assign(diagnosis=found["diagnosis"])

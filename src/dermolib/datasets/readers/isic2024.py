"""The ISIC challenge of 2024: crops of total-body photographs, malignant or not."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import add_files, find_places, first_file, first_folder
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_isic2024"]


@register_reader(
    "isic2024",
    title="ISIC 2024",
    labels="as ISIC 2020; images come from one HDF5 file (`pip install 'dermolib[hdf5]'`)",
    splits=("train", "test"),
    about=About(
        images="401,059 crops of total-body photographs",
        groups="patients; lesions, of few images",
        masks="none",
        license="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#2024",
    ),
)
def read_isic2024(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2024, whose images are crops of total-body photographs.

    Args:
        root: Folder with ``train-metadata.csv`` and ``train-image.hdf5`` or ``train-image/image``
            (or the same of ``test``), as the competition gave them; or with
            ``ISIC_2024_Training_GroundTruth.csv`` and ``ISIC_2024_Training_Input``, as the archive
            does, where ``ISIC_2024_Training_Supplement.csv`` adds diagnoses and lesions, and
            ``metadata.csv`` patients, age, sex and site.
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, with patients where known, and for training rows with
        the column ``malignant``, bool: the target of the challenge. Most rows are ``Benign``
        without more and have no label.

    References:
        Kurtansky et al., The SLICE-3D dataset, Scientific Data 11, 2024,
        https://doi.org/10.1038/s41597-024-03743-w.
    """
    split = as_split(split, ("train", "test"))
    root = Path(root)
    layout = f"{split}-metadata.csv beside {split}-image.hdf5 or {split}-image/image"
    truth = find_places(root, ["ISIC_2024_Training_GroundTruth.csv"]) if split == "train" else []
    if truth and not (root / "train-metadata.csv").exists():
        table = _read_archive(root, truth[0])
    else:
        path = first_file(root, [f"{split}-metadata.csv"], layout)
        names = {"diagnosis": "iddx_full", "malignant": "target"} if split == "train" else None
        table = read_table(path, columns=names, vocabulary="isic2024" if names else None)
    places = [f"{split}-image.hdf5", f"{split}-image/image", f"{split}-image"]
    places += ["ISIC_2024_Training_Input"] if split == "train" else []
    folders = first_folder(root, places, layout, needed=images)
    return add_files(table, "ISIC 2024", 2024, folders)


def _read_archive(root: Path, truth: Path) -> pd.DataFrame:
    """Read the tables of the ISIC archive, of which the ground truth alone is needed."""
    table = read_table(truth, columns={"malignant": "malignant"})
    for path in find_places(root, ["ISIC_2024_Training_Supplement.csv"])[:1]:
        more = read_table(path, columns={"diagnosis": "iddx_full"}, vocabulary="isic2024")
        _join(table, more, ("label", "diagnosis", "lesion"))
    for path in find_places(root, ["metadata.csv"])[:1]:
        _join(table, read_table(path), ("patient", "age", "sex", "site"))
    return table


def _join(table: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str]) -> None:
    """Take columns of another table with the same ids, where it knows more."""
    rows = pd.Index(others["id"]).get_indexer(pd.Index(table["id"]))
    for column in columns:
        if column in others:
            known = others[column].iloc[rows].reset_index(drop=True)
            table[column] = known.where(rows >= 0, table.get(column, pd.NA))

"""The ISIC challenge of 2018: seven classes (task 3) and lesion masks (task 1)."""

from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    PARTS,
    add_files,
    add_lesions,
    find_places,
    first_folder,
    image_table,
    read_truth,
)
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table
from dermolib.io import open_file

__all__ = ["read_isic2018"]

_LONGEST = 10_000  # bytes of a header


@register_reader(
    "isic2018",
    title="ISIC 2018",
    labels="as HAM10000; none with `task=1`, which has lesion masks",
    splits=("train", "validation", "test"),
    about=About(
        images="11,720 dermoscopic (task 3), 3,694 (task 1)",
        groups="lesions, of the training images of task 3",
        masks="all images of task 1",
        license="CC BY-NC 4.0 (task 3), CC0 (task 1)",
        url="https://challenge.isic-archive.com/data/#2018",
    ),
)
def read_isic2018(
    root: PathLike, split: str = "train", *, task: int = 3, images: bool = True
) -> pd.DataFrame:
    """Read the challenge of 2018: task 3, diagnoses, or task 1, lesion masks.

    Args:
        root: Folder with ``ISIC2018_Task3_Training_Input``, the folder or file
            ``ISIC2018_Task3_Training_GroundTruth`` and perhaps
            ``ISIC2018_Task3_Training_LesionGroupings.csv``; or for task 1 with
            ``ISIC2018_Task1-2_Training_Input`` and ``ISIC2018_Task1_Training_GroundTruth``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        task: 3, or 1. Task 1 has no diagnoses.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`. ``AKIEC`` has no label, see `read_ham10000`.

    References:
        Codella et al., Skin lesion analysis toward melanoma detection 2018, 2019,
        https://doi.org/10.48550/arXiv.1902.03368.
    """
    split = as_split(split, PARTS)
    require(task in (1, 3), "task", "1 or 3", repr(task), "Task 2 has no readers.")
    root, part = Path(root), PARTS[split]
    if task == 1:
        name, masks = f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth"
        folders = first_folder(root, [name], f"{name} beside {masks}", needed=images)
        truth = find_places(root, [masks])
        return add_files(image_table([*folders, *truth]), "ISIC 2018", 2018, folders, truth)
    prefix = f"ISIC2018_Task3_{part}"
    layout = f"{prefix}_Input beside {prefix}_GroundTruth/{prefix}_GroundTruth.csv"
    names = [f"{prefix}_Input", f"{prefix}_Images"]
    folders = first_folder(root, names, layout, needed=images)
    names = [f"{prefix}_GroundTruth/{prefix}_GroundTruth.csv", f"{prefix}_GroundTruth.csv"]
    truth = find_places(root, names)
    if not truth and (split == "train" or not folders):
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth", layout)
    table = _read_truth(truth[0]) if truth else image_table(folders)
    for path in find_places(root, [f"{prefix}_LesionGroupings.csv"])[:1]:
        add_lesions(table, path, split)
    return add_files(table, "ISIC 2018", 2018, folders)


def _read_truth(path: Path) -> pd.DataFrame:
    """Read a column for each class, or the code of each image, as the truth of the test set has."""
    with open_file(path) as file:
        coded = b",dx" in file.readline(_LONGEST).lower()
    return read_table(path, vocabulary="isic2018") if coded else read_truth(path, "isic2018")

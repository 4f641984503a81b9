"""The ISIC challenge of 2017: melanoma, seborrheic keratosis and nevus, with lesion masks."""

from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.datasets.columns import Columns
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    find_places,
    first_folder,
    onehot_codes,
    optional_columns,
)
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_isic2017"]

_PARTS = {"train": "Training", "validation": "Validation", "test": "Test_v2"}
_CLASSES = ("melanoma", "seborrheic_keratosis")


@register_reader(
    "isic2017",
    title="ISIC 2017",
    labels="melanoma, seborrheic keratosis (as BKL) and nevus",
    splits=("train", "validation", "test"),
    about=About(
        images="2,750 dermoscopic (2,000 to train, 150 to validate, 600 to test)",
        groups="unknown",
        masks="all images, in part 1",
        license="CC0",
        url="https://challenge.isic-archive.com/data/#2017",
    ),
)
def read_isic2017(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2017: part 3, diagnoses, with the masks of part 1.

    Most of its images are also in ISIC 2018 and 2019: audit before you test on one of them.

    Args:
        root: Folder with ``ISIC-2017_Training_Data`` and
            ``ISIC-2017_Training_Part3_GroundTruth.csv``; perhaps with
            ``ISIC-2017_Training_Data_metadata.csv``, there or among the images, and
            ``ISIC-2017_Training_Part1_GroundTruth``; or the same of ``Validation`` or ``Test_v2``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`; the diagnosis is ``melanoma``, ``seborrheic_keratosis``
        or, where it is neither, ``nevus``.

    References:
        Codella et al., Skin lesion analysis toward melanoma detection, 2017,
        https://doi.org/10.48550/arXiv.1710.05006.
    """
    split = as_split(split, _PARTS)
    root, prefix = Path(root), f"ISIC-2017_{_PARTS[split]}"
    layout = f"{prefix}_Part3_GroundTruth.csv beside {prefix}_Data"
    truth = find_places(root, [f"{prefix}_Part3_GroundTruth.csv"])
    if not truth:
        raise DatasetNotFoundError(root / f"{prefix}_Part3_GroundTruth.csv", layout)
    folders = first_folder(root, [f"{prefix}_Data"], layout, needed=images)
    table = _read_truth(truth[0])
    name = f"{prefix}_Data_metadata.csv"
    beside = find_places(root, [f"{prefix}_Data"])
    for path in [path for place in (root, *beside) if (path := place / name).exists()][:1]:
        table = _with_metadata(table, path)
    masks = find_places(root, [f"{prefix}_Part1_GroundTruth"])
    return add_files(table, "ISIC 2017", 2017, folders, masks)


def _read_truth(path: Path) -> pd.DataFrame:
    """Read the two columns of the challenge, of which a nevus has none."""
    columns = optional_columns(path, ["image_id", *_CLASSES])
    what = f"a ground truth with the columns image_id, {', '.join(_CLASSES)}"
    require(len(columns) == 3, str(path), what, f"{listed(columns) or 'none'} of them")
    ids = columns.pop("image_id")
    neither = [
        "1" if {first.strip(), second.strip()} <= {"0", "0.0"} else "0"
        for first, second in zip(*(columns[name] for name in _CLASSES), strict=True)
    ]
    flags = Columns({**columns, "nevus": np.array(neither, object)}, columns.rows)
    frame = pd.DataFrame({"id": ids, "diagnosis": onehot_codes(path, ids, flags)})
    return read_table(frame, vocabulary="isic2017", name=str(path))


def _with_metadata(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add age and sex by the names of the images."""
    more = read_table(path, columns={"age": "age_approximate"}).set_index("id")
    lost = table["id"][~table["id"].isin(more.index)]
    what = "metadata of all images of the ground truth"
    require(lost.empty, str(path), what, f"{len(lost)} of them missing ({listed(lost)})")
    known = more.loc[table["id"]]
    return table.assign(age=known["age"].to_numpy(), sex=known["sex"].to_numpy(object))

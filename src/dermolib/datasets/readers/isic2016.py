"""The ISIC challenge of 2016: malignant or not, with lesion masks."""

import csv
from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import PARTS, add_files, find_places, first_folder
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table
from dermolib.io import read_bytes

__all__ = ["read_isic2016"]

_MALIGNANT = {
    **{"benign": "benign", "0": "benign", "0.0": "benign"},
    **{"malignant": "malignant", "1": "malignant", "1.0": "malignant"},
}


@register_reader(
    "isic2016",
    title="ISIC 2016",
    labels="benign and malignant",
    splits=("train", "test"),
    label_space="binary",
    about=About(
        images="1,279 dermoscopic (900 to train, 379 to test)",
        groups="unknown",
        masks="all images, in part 1",
        license="CC0",
        url="https://challenge.isic-archive.com/data/#2016",
    ),
)
def read_isic2016(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2016: part 3, malignant or not, with the masks of part 1.

    Most of its images are also in ISIC 2017, 2018 and 2019: audit before you test on one of them.

    Args:
        root: Folder with ``ISBI2016_ISIC_Part3_Training_Data`` and
            ``ISBI2016_ISIC_Part3_Training_GroundTruth.csv``, a table without a header, or the same
            of ``Test``; perhaps with ``ISBI2016_ISIC_Part1_Training_GroundTruth``, the masks; or
            the same of part 3B, whose masks are beside the images.
        split: ``"train"`` or ``"test"``.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, in the label space ``"binary"``, with the column
        ``malignant``, bool.

    References:
        Gutman et al., Skin lesion analysis toward melanoma detection, 2016,
        https://doi.org/10.48550/arXiv.1605.01397.
    """
    split = as_split(split, ("train", "test"))
    root, part = Path(root), PARTS[split]
    prefixes = [f"ISBI2016_ISIC_Part{number}_{part}" for number in ("3", "3B")]
    layout = f"{prefixes[0]}_GroundTruth.csv beside {prefixes[0]}_Data"
    truth = find_places(root, [f"{prefix}_GroundTruth.csv" for prefix in prefixes])
    if not truth:
        raise DatasetNotFoundError(root / f"{prefixes[0]}_GroundTruth.csv", layout)
    table = _read_truth(truth[0])
    names = [f"{prefix}_Data" for prefix in prefixes]
    folders = first_folder(root, names, layout, needed=images)
    masks = find_places(root, [f"ISBI2016_ISIC_Part1_{part}_GroundTruth"])
    return add_files(table, "ISIC 2016", 2016, folders, masks)


def _read_truth(path: Path) -> pd.DataFrame:
    """Read rows of an image and its class, which have no header."""
    lines = read_bytes(path).decode("utf-8-sig", "replace").splitlines()
    rows = [(number, row) for number, row in enumerate(csv.reader(lines), start=1) if any(row)]
    odd = [
        f"row {number}: {','.join(row)!r}"
        for number, row in rows
        if len(row) != 2 or row[1].strip().lower() not in _MALIGNANT
    ]
    what = "a table without a header, of an image and `benign` or `malignant`, 0 or 1"
    require(rows and not odd, str(path), what, f"{len(odd)} other ({listed(odd)})" if odd else "no")
    frame = pd.DataFrame(
        [(name, _MALIGNANT[found.strip().lower()]) for _, (name, found) in rows],
        columns=["id", "malignant"],
    ).assign(diagnosis=lambda table: table["malignant"])
    return read_table(frame, label_space="binary", name=str(path))

"""BCN20000: 18,946 dermoscopic images of the Hospital Clínic of Barcelona, eight classes."""

from pathlib import Path

import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import add_files, drop_endings, first_file, first_folder
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_bcn20000"]


@register_reader(
    "bcn20000",
    title="BCN20000",
    labels="the eight classes; none in the test split",
    splits=("train", "test"),
    about=About(
        images="18,946 dermoscopic",
        groups="lesions",
        masks="none",
        license="CC BY-NC 4.0",
        url="https://figshare.com/articles/journal_contribution/24140028/1",
    ),
)
def read_bcn20000(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read BCN20000 as figshare publishes it.

    Many of its images are in ISIC 2019 too, under other ids: merged tables need
    `dermolib.auditing.find_duplicates` before a split.

    Args:
        root: Folder with ``bcn_20k_train.csv`` and ``BCN_20k_train/bcn_20k_train/BCN_....jpg``, or
            the same of ``test``.
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, with lesions.

    References:
        Hernández-Pérez et al., BCN20000, Scientific Data 11, 2024,
        https://doi.org/10.1038/s41597-024-03387-w; names of columns in the code of its authors,
        https://github.com/imatge-upc/BCN20000.
    """
    split = as_split(split, ("train", "test"))
    root, name = Path(root), f"bcn_20k_{split}"
    upper = name.replace("bcn", "BCN")
    layout = f"{name}.csv beside {upper}/{name} with BCN_0000000001.jpg"
    path = first_file(root, [f"{name}.csv", f"{upper}.csv"], layout)
    table = read_table(path, columns={"id": "bcn_filename"}, vocabulary="isic2019")
    places = [f"{upper}/{name}", upper, name]
    folders = first_folder(root, places, layout, needed=images)
    return add_files(drop_endings(table, path), "BCN20000", 2024, folders)

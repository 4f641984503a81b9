"""Rows of images that offline augmentation made, checked against the rows they were made from."""

from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, expected, listed
from dermolib.datasets.files import find_files, present
from dermolib.datasets.tables import read_table

__all__ = ["read_augmented"]

_MANIFEST = "manifest.csv"
_OF_THE_SOURCE = ("diagnosis", "malignant", "lesion", "patient", "year", "source")


def read_augmented(folder: Path, sources: pd.DataFrame, *, masks: bool) -> pd.DataFrame | None:
    """Read a manifest and find its files.

    Args:
        folder: Folder of `dermolib.augmentation.augment_offline`.
        sources: Table of the rows that may have been augmented.
        masks: Whether a mask is needed for each image.

    Returns:
        Table of the augmented rows with what is known of their sources; None where there is none.

    Raises:
        DatasetNotFoundError: There is no manifest.
        FileNotFoundError: A file of the manifest lacks.
        ValueError: A source is not among the rows, a class is another one than that of the source,
            or ids stand on both sides.
    """
    path = folder / _MANIFEST
    if not path.exists():
        raise DatasetNotFoundError(path, "the folder of augment_offline")
    if len(path.read_text(encoding="utf-8").splitlines()) == 1:
        return None
    made = read_table(path)
    found = find_files(made, folder, masks=masks)
    made["image_path"], made["mask_path"] = found.images, found.masks
    present(made, found.place, missing="error", masks=masks)
    origin = made["parent_id"]
    foreign = origin[~origin.isin(sources["id"])]
    if len(foreign):
        remedy = "Augment the training rows after the split, into a folder of their own."
        what = "a manifest whose sources are all among these rows"
        got = f"{len(foreign)} others ({listed(foreign)})"
        raise ValueError(expected(str(path), what, got, remedy))
    rows = pd.Index(sources["id"]).get_indexer(pd.Index(origin))
    other_class = made["label"].to_numpy() != sources["label"].to_numpy()[rows]
    if other_class.any():
        what = "a manifest whose images have the class of their source"
        got = f"others ({listed(made['id'][other_class])})"
        raise ValueError(expected(str(path), what, got))
    known = made["id"].isin(sources["id"])
    if known.any():
        got = f"known ones ({listed(made['id'][known])})"
        raise ValueError(expected(str(folder), "a folder of new ids", got))
    for column in _OF_THE_SOURCE:
        if column in sources:
            made[column] = sources[column].iloc[rows].reset_index(drop=True)
    return made

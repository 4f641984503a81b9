"""MILK10k: a clinical and a dermoscopic image of each lesion, eleven classes."""

from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, check_choice, listed, require
from dermolib.datasets.columns import map_unique
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    PARTS,
    add_files,
    drop_kinds,
    find_places,
    first_file,
    optional_columns,
    optional_numbers,
    read_truth,
    with_isic_sites,
)
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import place_labels, read_table
from dermolib.labels import LABEL_SPACES

__all__ = ["read_milk10k"]

_MONET = (
    "MONET_ulceration_crust",
    "MONET_hair",
    "MONET_vasculature_vessels",
    "MONET_erythema",
    "MONET_pigmented",
    "MONET_gel_water_drop_fluid_dermoscopy_liquid",
    "MONET_skin_markings_pen_ink_purple_pen",
)


@register_reader(
    "milk10k",
    title="MILK10k (ISIC 2025)",
    labels="eleven classes; none in the test split",
    splits=("train", "test"),
    label_space="milk10k",
    about=About(
        images="5,719 dermoscopic and 5,719 clinical (5,240 pairs to train, 479 to test)",
        groups="lesions",
        masks="none",
        license="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#milk10k",
    ),
)
def read_milk10k(
    root: PathLike, split: str = "train", *, kind: str | None = None, images: bool = True
) -> pd.DataFrame:
    """Read MILK10k, the challenge of 2025: two images of each lesion.

    A row is an image. Samples of both images of a lesion come from
    `dermolib.datasets.PairDataset`, of a table of each kind.

    Args:
        root: Folder with ``MILK10k_Training_Input/LESION/ID.jpg``,
            ``MILK10k_Training_Metadata.csv`` and ``MILK10k_Training_GroundTruth.csv``, or the same
            of ``Test``, which has no ground truth.
        split: ``"train"`` or ``"test"``; test rows have no label.
        kind: Images to read: ``"dermoscopic"``, ``"clinical"`` or None for both.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, in the label space ``"milk10k"``, with the sites of ISIC
        where they are the same, and with the columns ``image_type``, ``clinical: close-up`` or
        ``dermoscopic``; ``skin_tone`` from 0, very dark, to 5, very light, nullable; and seven
        ``MONET_...``, the published probabilities of concepts, float64.

    References:
        MILK study team, MILK10k, ISIC Archive, 2025, https://doi.org/10.34970/648456. Files and
        columns: https://challenge.isic-archive.com/landing/milk10k. Concepts: Kim et al., Nature
        Medicine 30, 2024, https://doi.org/10.1038/s41591-024-02887-x.
    """
    split = as_split(split, ("train", "test"))
    check_choice(kind or "clinical", "kind", ("clinical", "dermoscopic"))
    root, prefix = Path(root), f"MILK10k_{PARTS[split]}"
    layout = f"{prefix}_Input/LESION/ID.jpg beside {prefix}_Metadata.csv"
    layout += f" and {prefix}_GroundTruth.csv" if split == "train" else ""
    folders = find_places(root, [f"{prefix}_Input"])[:1]
    if images and not folders:
        raise DatasetNotFoundError(root / f"{prefix}_Input", layout)
    path = first_file(root, [f"{prefix}_Metadata.csv"], layout)
    table = read_table(path, needed=("LESION_ID",), label_space="milk10k")
    table = with_isic_sites(_with_extras(table, path))
    truth = find_places(root, [f"{prefix}_GroundTruth.csv"])
    if split == "train" and not truth:
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth.csv", layout)
    if truth:
        table = _with_diagnoses(table, truth[0])
    return drop_kinds(add_files(table, "MILK10k", 2025, folders), kind)


def _with_extras(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add the kind of each image, the tone of the skin, and the probabilities of concepts."""
    kinds = optional_columns(path, ["image_type"])
    what = "a table with the column `image_type`"
    require("image_type" in kinds, str(path), what, "one without")
    tones = optional_numbers(path, ["skin_tone_class"], 0, 5)
    table["image_type"] = map_unique(str.strip, kinds["image_type"])
    table["skin_tone"] = tones.get("skin_tone_class", pd.Series(np.nan, table.index)).astype("Int8")
    return table.assign(**optional_numbers(path, _MONET, 0, 1))


def _with_diagnoses(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Take the diagnosis of each lesion from a ground truth with a row for each."""
    truth = read_truth(path, "milk10k", "lesion_id", label_space="milk10k").set_index("id")
    absent = table["lesion"][~table["lesion"].isin(truth.index)].unique()
    what = "a ground truth of all lesions of the metadata"
    require(not len(absent), str(path), what, f"{len(absent)} of them missing ({listed(absent)})")
    known = table.assign(diagnosis=table["lesion"].map(truth["diagnosis"]))
    return place_labels(known, LABEL_SPACES["milk10k"], name=str(path))

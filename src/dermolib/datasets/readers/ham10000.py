"""HAM10000: 10,015 dermoscopic images of seven classes."""

from pathlib import Path

import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    find_places,
    first_file,
    first_folder,
    with_isic_sites,
)
from dermolib.datasets.tables import read_table

__all__ = ["read_ham10000"]


@register_reader(
    "ham10000",
    title="HAM10000",
    labels="seven classes; `akiec`, which may be AK or SCC, has no label in the eight",
    about=About(
        images="10,015 dermoscopic",
        groups="lesions",
        masks="all images",
        license="CC BY-NC 4.0",
        url="https://doi.org/10.7910/DVN/DBW86T",
    ),
)
def read_ham10000(root: PathLike, *, images: bool = True) -> pd.DataFrame:
    """Read HAM10000 as the Harvard Dataverse or its mirrors unpack it.

    Its code ``akiec`` is actinic keratosis or squamous cell carcinoma in situ, which cannot be told
    apart there: such rows have no label. `dermolib.datasets.merge_tables` with ISIC 2019, which has
    the same images, gives them theirs.

    Args:
        root: Folder with ``HAM10000_metadata`` (or ``.csv``, ``.tab``), the folders
            ``HAM10000_images_part_1`` and ``HAM10000_images_part_2`` or one folder of all images,
            and perhaps ``HAM10000_segmentations_lesion_tschandl`` with the masks.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, with the sites of ISIC where they are the same.

    References:
        Tschandl et al., The HAM10000 dataset, Scientific Data 5, 2018,
        https://doi.org/10.1038/sdata.2018.161.
    """
    root = Path(root)
    layout = "HAM10000_metadata beside the folders of the images"
    path = first_file(root, [f"HAM10000_metadata{end}" for end in (".csv", ".tab", "")], layout)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        delimiter = "\t" if "\t" in file.readline() else ","
    table = read_table(path, vocabulary="ham10000", delimiter=delimiter)
    table = with_isic_sites(table)
    parts = [[f"{ham}_images_part_{part}" for ham in ("HAM10000", "ham10000")] for part in (1, 2)]
    folders = [folder for names in parts for folder in find_places(root, names)[:1]]
    if not folders:
        names = ["HAM10000_images", "images", "."]
        folders = first_folder(root, names, layout, needed=images)
    masks = find_places(root, ["HAM10000_segmentations_lesion_tschandl", "masks"])
    return add_files(table, "HAM10000", 2018, folders, masks)

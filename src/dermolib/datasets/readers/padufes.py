"""PAD-UFES-20: 2,298 photographs of smartphones, six classes, with patients."""

from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    drop_endings,
    find_places,
    first_file,
    first_folder,
    optional_numbers,
    with_isic_sites,
)
from dermolib.datasets.tables import read_table

__all__ = ["read_padufes"]


@register_reader(
    "padufes",
    title="PAD-UFES-20",
    labels="six classes; Bowen's disease counts as SCC",
    label_space="padufes",
    about=About(
        images="2,298 clinical (smartphone)",
        groups="patients and lesions",
        masks="none",
        license="CC BY 4.0",
        url="https://doi.org/10.17632/zr7vgbcyr2.1",
    ),
)
def read_padufes(root: PathLike, *, images: bool = True) -> pd.DataFrame:
    """Read PAD-UFES-20, clinical photographs that were taken with smartphones.

    These are no dermoscopic images: methods for hair or borders of dermoscopy were not made for
    them. Numbers of lesions repeat between patients, so a lesion is named by both, as in the names
    of the files: ``PAT_8_15``.

    Args:
        root: Folder with ``metadata.csv`` and the folders ``imgs_part_1``, ``imgs_part_2`` and
            ``imgs_part_3``, which may lie in ``images`` or be one folder ``images``.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, in the label space ``"padufes"``, with patients, with
        the sites of ISIC where they are the same, and with the column ``skin_type``, that of
        Fitzpatrick, 1 to 6, nullable.

    References:
        Pacheco et al., PAD-UFES-20, Data in Brief 32, 2020,
        https://doi.org/10.1016/j.dib.2020.106221; files at https://doi.org/10.17632/zr7vgbcyr2.1,
        regions of the body at https://github.com/labcin-ufes/PAD-UFES-20.
    """
    root = Path(root)
    layout = "metadata.csv beside imgs_part_1, imgs_part_2 and imgs_part_3 with IMG_ID.png"
    path = first_file(root, ["metadata.csv"], layout)
    names = {"id": "img_id", "diagnosis": "diagnostic", "sex": "gender", "site": "region"}
    table = read_table(
        path,
        columns=names,
        vocabulary="padufes",
        label_space="padufes",
        lesions="within_patient",
        needed=("LESION_ID", "PATIENT_ID"),
    )
    table = with_isic_sites(drop_endings(table, path))
    skin = optional_numbers(path, ["fitspatrick"], 1, 6)
    table["skin_type"] = skin.get("fitspatrick", pd.Series(np.nan, table.index)).astype("Int8")
    parts = [f"imgs_part_{number}" for number in (1, 2, 3)]
    found = [find_places(root, [part, f"images/{part}"]) for part in parts]
    folders = [places[0] for places in found if places]
    if not folders:
        folders = first_folder(root, ["images", "imgs", "."], layout, needed=images)
    return add_files(table, "PAD-UFES-20", 2020, folders)

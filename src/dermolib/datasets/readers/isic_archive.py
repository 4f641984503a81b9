"""What the archive's own tool downloads: images of any collection with their metadata."""

from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.columns import map_unique
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    drop_kinds,
    first_file,
    first_folder,
    optional_columns,
)
from dermolib.datasets.tables import place_labels, read_table
from dermolib.labels import LABEL_SPACES

__all__ = ["read_isic_archive"]

_LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))
_MALIGNANT = {"Malignant": True, "Benign": False}


@register_reader(
    "isic_archive",
    title="ISIC Archive, any collection",
    labels="what the levels of the diagnosis say, and the column `malignant`",
    about=About(
        images="as many as were asked for, of any kind",
        groups="patients and lesions, of some images",
        masks="none",
        license="of each image, in `metadata.csv`",
        url="https://github.com/ImageMarkup/isic-cli",
    ),
)
def read_isic_archive(
    root: PathLike, *, kind: str | None = None, images: bool = True
) -> pd.DataFrame:
    """Read what ``isic image download FOLDER`` or a download of the archive's web page leaves.

    Args:
        root: Folder with ``metadata.csv`` and the images ``ISIC_....jpg``, or with these in a
            folder ``images``.
        kind: Images to read, as the column ``image_type`` has them, such as ``"dermoscopic"`` or
            ``"clinical: close-up"``, or the word before the colon, such as ``"clinical"``. None
            reads all.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, with the columns ``image_type``, and ``malignant``,
        nullable, missing where the lesion is indeterminate. The diagnosis is all levels that are
        published, as in ``Benign::Benign melanocytic proliferations::Nevus``.

    References:
        Files and columns: https://github.com/ImageMarkup/isic-cli and
        https://github.com/ImageMarkup/isic-metadata.
    """
    root = Path(root)
    layout = "metadata.csv beside ISIC_0000000.jpg or a folder `images` of them"
    path = first_file(root, ["metadata.csv"], layout)
    columns = optional_columns(path, (*_LEVELS, "image_type"))
    table = read_table(path)
    kinds = columns.pop("image_type", np.full(len(table), "", object))
    table["image_type"] = map_unique(str.strip, kinds)
    if columns:
        levels = zip(*columns.values(), strict=True)
        table["diagnosis"] = ["::".join(filter(None, map(str.strip, row))) for row in levels]
        first = pd.Series(columns["diagnosis_1"], dtype=object).str.strip()
        table["malignant"] = first.map(_MALIGNANT).astype("boolean")
        table = place_labels(table, LABEL_SPACES["challenge"], "isic2024", name=str(path))
    folders = first_folder(root, [".", "images"], layout, needed=images)
    return drop_kinds(add_files(table, "ISIC Archive", None, folders), kind)

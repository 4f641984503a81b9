"""Any table with a column of image names and a column of 0 and 1 for each class."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import PathLike, listed, require
from dermolib.datasets.columns import Columns, Texts, read_csv
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    drop_endings,
    first_folder,
    onehot_codes,
)
from dermolib.datasets.tables import place_labels, read_table
from dermolib.labels import as_label_space

__all__ = ["read_onehot"]

_IDS = ("image", "image_id", "image_name", "isic_id", "id", "filename", "file", "img_id")
_LAYOUT = "one CSV file with a column of images and a column of 0 and 1 for each class"


@register_reader(
    "onehot",
    title="any one-hot CSV",
    labels="the columns of 0 and 1",
    label_space=None,
    about=About(
        images="yours",
        groups="as your table says",
        masks="yours",
        license="yours",
        url="",
    ),
)
def read_onehot(
    root: PathLike,
    *,
    image: str | None = None,
    classes: Sequence[str] | None = None,
    images: bool = True,
) -> pd.DataFrame:
    """Read a table with a column of 0 and 1 for each class, of which one is 1 in each row.

    Args:
        root: CSV file beside its images, or the folder of both. Images lie in this folder, or in
            its folder ``images`` or that of the name of the file, named as in the table, with or
            without their endings.
        image: Column of the images; where not given, the first of ``image``, ``image_id``,
            ``image_name``, ``isic_id``, ``id``, ``filename``, ``file`` and ``img_id``, else the
            first of all.
        classes: Columns of the classes, in the order of the labels; where not given, all columns
            that have 0 and 1 alone.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, in the label space of the columns; sex, age, site,
        lesion and patient are read where `dermolib.datasets.read_table` knows their columns.

    Raises:
        ValueError: There are several CSV files or none, fewer than two columns of classes, or a row
            without a class or with several.
    """
    path = _find_table(Path(root))
    columns = read_csv(path, partial(_all_columns, path=path))
    name = _id_column(list(columns), image, path)
    found = list(classes or (one for one in columns if one != name and _is_flag(columns[one])))
    unknown = [one for one in found if one not in columns]
    got = f"one without {listed(unknown)}"
    require(not unknown, str(path), f"a table with the columns {listed(found)}", got)
    what, hint = "a table with two columns of 0 and 1 or more", "Name them: `classes=[...]`."
    require(len(found) > 1, str(path), what, listed(found) or "none", hint)
    table = read_table(path, columns={"id": name})
    flags = Columns({one: columns[one] for one in found}, columns.rows)
    table["diagnosis"] = onehot_codes(path, columns[name], flags)
    table = place_labels(drop_endings(table, path), as_label_space(found), name=str(path))
    folder = path.parent
    folders = first_folder(folder, ["images", path.stem, "."], _LAYOUT, needed=images)
    return add_files(table, path.stem, None, folders)


def _find_table(root: Path) -> Path:
    """Find the one table of a folder."""
    if not root.is_dir():
        return root
    found = sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv")
    names = listed(path.name for path in found) or "none"
    hint = "Give the path of the file as `root`."
    require(len(found) == 1, str(root), f"a folder with {_LAYOUT}", names, hint)
    return found[0]


def _all_columns(header: Sequence[str], *, path: Path) -> dict[str, int]:
    """Find the place of each column, each of which must have a name of its own."""
    texts = [text.strip() for text in header]
    twice = [text for text in texts if texts.count(text) > 1]
    require(not twice, str(path), "a table with each column once", f"{listed(twice)} twice")
    require(len(texts) > 1, str(path), "a table of several columns", listed(texts))
    return {text: place for place, text in enumerate(texts)}


def _id_column(header: list[str], image: str | None, path: Path) -> str:
    """Choose the column of the images."""
    known = {text.strip().lower(): text for text in reversed(header)}
    wanted = (image.strip().lower(),) if image else _IDS
    found = [known[name] for name in wanted if name in known]
    what = f"a table with the column {image}"
    require(found or not image, str(path), what, f"the columns {listed(header)}")
    return found[0] if found else header[0]


def _is_flag(values: Texts) -> bool:
    """Tell whether a column has 0 and 1 alone."""
    texts = pd.Series(values, dtype=object)
    numbers: npt.NDArray[np.float64] = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
    return bool(np.isin(numbers, (0, 1)).all())

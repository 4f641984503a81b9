"""Images in one folder for each class, as many shared sets have them."""

from collections import Counter
from pathlib import Path, PurePosixPath

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table
from dermolib.io import list_images
from dermolib.labels import LabelSpace

__all__ = ["read_class_folders"]

_SPLITS = ("train", "validation", "test")
_LAYOUT = "a folder of images for each class, perhaps in folders train, validation and test"


@register_reader(
    "class_folders",
    title="one folder for each class",
    labels="the names of the folders",
    splits=_SPLITS,
    label_space=None,
    about=About(images="yours", groups="unknown", masks="none", license="yours", url=""),
)
def read_class_folders(
    root: PathLike, split: str = "train", *, images: bool = True
) -> pd.DataFrame:
    """Read images whose folder names their class.

    Lesions and patients are unknown in this layout, so each image counts as a lesion of its own: a
    split of it may well have one lesion on both sides. Join a table that knows them with
    `dermolib.merge_tables`.

    Args:
        root: Folder with ``CLASS/NAME.jpg``, or with ``train/CLASS/NAME.jpg`` and perhaps the same
            of ``validation`` (or ``val``, ``valid``, ...) and ``test``.
        split: ``"train"``, ``"validation"`` or ``"test"``; without folders of these names, all
            images are of ``"train"``.
        images: Whether to give the paths of the images, which must exist in any case.

    Returns:
        Table as of `read_challenge_table`. Ids are the names of the files; those that several
        files of the split have become their paths, with ``_`` between folders. The classes are
        those folders that have images in any split, sorted.

    Raises:
        ValueError: There are fewer than two classes, or an image is in none.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetNotFoundError(root, _LAYOUT)
    folders = _split_folders(root)
    if split not in folders:
        raise DatasetNotFoundError(root / split, _LAYOUT)
    files = {name: list_images(folder.resolve()).files for name, folder in folders.items()}
    classes = {PurePosixPath(file).parts[0] for some in files.values() for file in some}
    loose = sorted(one for some in files.values() for one in some if "/" not in one)
    what = f"a folder whose images are in {_LAYOUT}"
    require(not loose, str(root), what, f"{len(loose)} beside them ({listed(loose)})")
    what, got = "a folder with two classes or more", listed(classes) or "none"
    require(len(classes) > 1, str(root), what, got, f"Expected layout: {_LAYOUT}.")
    paths = [PurePosixPath(file) for file in files[split]]
    times = Counter(path.stem for path in paths)
    frame = pd.DataFrame(
        {
            "id": [p.stem if times[p.stem] == 1 else "_".join(p.parts) for p in paths],
            "diagnosis": [path.parts[0] for path in paths],
        }
    )
    table = read_table(frame, label_space=LabelSpace(sorted(classes)), name=str(folders[split]))
    table["source"], table["mask_path"] = root.name, ""
    table["image_path"] = [str(folders[split] / path) if images else "" for path in paths]
    return table


def _split_folders(root: Path) -> dict[str, Path]:
    """Find the folders of splits by any of their names; without any, all is for training."""
    found: dict[str, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        try:
            split = as_split(folder.name, _SPLITS)
        except ValueError:
            continue
        what, got = f"a folder with one folder of {split}", f"{found.get(split)} and {folder.name}"
        require(split not in found, str(root), what, got)
        found[split] = folder
    return found or {"train": root}

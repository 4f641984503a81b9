"""Where the image and the lesion mask of each row lie: in folders, or in a store."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._checks import DatasetNotFoundError, expected, listed
from dermolib._types import PathLike
from dermolib.store import PreparedStore, is_store

__all__ = ["MAKE_FILES", "Found", "find_files", "present"]

MAKE_FILES = "Make these files, named as the ids of the rows."
"""Remedy where images of another kind lack."""

_LEAVE_OUT = 'Fetch them, or pass `missing="drop"` to leave their rows out.'
_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Found:
    """Paths of the rows, as `dermolib.store.load_image` and `dermolib.store.load_mask` take them.

    Attributes:
        place: Folder or store of the images.
        images: Path of each image (N,), empty where there is none.
        masks: Path of each mask (N,), empty where there is none.
        stored: Whether they lie in a store.
    """

    place: Path
    images: pd.Series
    masks: pd.Series
    stored: bool


def find_files(
    rows: pd.DataFrame,
    image_dir: PathLike | PreparedStore,
    mask_dir: PathLike | None = None,
    *,
    masks: bool,
) -> Found:
    """Find image and mask of each row.

    Args:
        rows: Table with the column ``id``.
        image_dir: Folder of the images, or a store.
        mask_dir: Folder of the masks; that of the images where not given. A store has its own.
        masks: Whether masks are needed.

    Returns:
        Paths of the rows.

    Raises:
        DatasetNotFoundError: A folder is not there.
        ValueError: A store is not done, or lacks masks that are needed.
    """
    store = _opened(image_dir)
    if store is not None:
        return _stored(rows, store, masks=masks)
    images = Path(str(image_dir))
    return Found(
        place=images,
        images=_paths(rows, images, "", _ENDINGS),
        masks=_paths(rows, images if mask_dir is None else Path(mask_dir), "_seg", (".png",)),
        stored=False,
    )


def _opened(place: PathLike | PreparedStore) -> PreparedStore | None:
    """Open a store; None for a folder of images."""
    if isinstance(place, PreparedStore):
        return place
    return PreparedStore(place) if is_store(place) else None


def _stored(rows: pd.DataFrame, store: PreparedStore, *, masks: bool) -> Found:
    if masks and not store.has_masks:
        remedy = "Prepare the folder with `masks=`: what steps cut, masks must be cut by too."
        raise ValueError(expected(str(store.path), "a store with masks", "one without", remedy))
    numbers = store.find(rows["id"])
    ways = (store.image_path, store.mask_path)
    images, found = (
        pd.Series([way(number) if number >= 0 else "" for number in numbers], dtype=str)
        for way in ways
    )
    return Found(place=store.path, images=images, masks=found, stored=True)


def _paths(rows: pd.DataFrame, folder: Path, tail: str, endings: tuple[str, ...]) -> pd.Series:
    """Find the file of each row; empty where there is none."""
    if not folder.is_dir():
        raise DatasetNotFoundError(folder, f"a folder with ID{tail}{endings[0]} for each row")
    found: dict[str, tuple[int, str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, ending = os.path.splitext(entry.name)  # noqa: PTH122 - 400,000 Path objects cost seconds
            if ending.lower() in endings and entry.is_file():
                rank = (endings.index(ending.lower()), entry.name)
                found[stem] = min(rank, found.get(stem, rank))
    nothing = (0, "")
    names = (found.get(f"{name}{tail}", nothing)[1] for name in rows["id"])
    return pd.Series([str(folder / name) if name else "" for name in names], dtype=str)


def present(
    rows: pd.DataFrame, folder: Path, *, missing: str, masks: bool, remedy: str = _LEAVE_OUT
) -> npt.NDArray[np.bool_]:
    """Tell which rows have their files, and say of the others what is wanted to be said.

    Args:
        rows: Table with the columns ``id``, ``image_path`` and ``mask_path``.
        folder: Folder or store of the images, for the words.
        missing: ``"error"`` or ``"drop"``.
        masks: Whether a row needs a mask too.
        remedy: What to do, for the error.

    Returns:
        Flags (N,).

    Raises:
        FileNotFoundError: A row lacks a file and `missing` is ``"error"``.
    """
    kept: npt.NDArray[np.bool_] = rows["image_path"].to_numpy(str) != ""
    kind = "an image"
    if masks:
        kept = kept & (rows["mask_path"].to_numpy(str) != "")
        kind = "an image and a mask"
    lacking = listed(rows["id"][~kept])
    if kept.all():
        return kept
    count = f"{int((~kept).sum())} of {len(rows)} lack it ({lacking})"
    if missing == "error":
        sentence = expected(str(folder), f"a folder with {kind} for each row", count, remedy)
        raise FileNotFoundError(sentence)
    warnings.warn(f"Left out rows without {kind} in {folder}: {count}.", stacklevel=4)
    return kept

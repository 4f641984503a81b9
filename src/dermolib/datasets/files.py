"""Where image and lesion mask of each row lie: in folders, in a store, or in an HDF5 file."""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, expected, listed, outside
from dermolib.datasets.store import PreparedStore, is_store
from dermolib.io import ENDINGS as HDF5_ENDINGS
from dermolib.io import contained, hdf5_path

__all__ = [
    "MAKE_FILES",
    "Found",
    "find_files",
    "find_images",
    "find_masks",
    "locate",
    "present",
]

MAKE_FILES = "Make these files, named as the ids of the rows."
"""Remedy where images of another kind lack."""

_LEAVE_OUT = 'Fetch them, or pass `missing="drop"` to leave their rows out.'
_PATHS = ("image_path", "mask_path")
_ENDINGS = (".jpg", ".jpeg", ".png")
_MASK_TAILS = ("_seg", "_segmentation")
_SHRUNK = "_downsampled"  # ends the names of some files of ISIC 2019, and means nothing


@dataclass(frozen=True)
class Found:
    """Paths of the rows, as `load_image` and `load_mask` of `dermolib.datasets.store` take them.

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
    image_dir: PathLike | PreparedStore | Sequence[PathLike],
    mask_dir: PathLike | None = None,
    *,
    masks: bool,
) -> Found:
    """Find image and mask of each row.

    A file belongs to the row whose id is its name without ending, or without ``_downsampled`` and
    ending.

    Args:
        rows: Table with the column ``id``.
        image_dir: Folder of the images, a store, an HDF5 file, or several folders and files.
        mask_dir: Folder of the masks, ``ID_seg.png`` or ``ID_segmentation.png``; that of the images
            where not given. A store has its own.
        masks: Whether masks are needed.

    Returns:
        Paths of the rows.

    Raises:
        DatasetNotFoundError: A folder is not there.
        ValueError: A store is not done, or lacks masks that are needed.
    """
    if isinstance(image_dir, (str, os.PathLike, PreparedStore)):
        store = _opened(image_dir)
        if store is not None:
            return _stored(rows, store, masks=masks)
        places = [Path(str(image_dir))]
    else:
        places = [Path(place) for place in image_dir]
        if not places:
            raise ValueError(expected("image_dir", "a folder, or several", "none"))
    folders = places if mask_dir is None else [Path(mask_dir)]
    return Found(
        place=places[0],
        images=find_images(rows, places),
        masks=find_masks(rows, folders),
        stored=False,
    )


def find_images(rows: pd.DataFrame, places: Sequence[Path]) -> pd.Series:
    """Find the image of each row in the first of several folders and HDF5 files that has it.

    Args:
        rows: Table with the column ``id``.
        places: Folders and HDF5 files.

    Returns:
        Paths (N,), empty where there is none.

    Raises:
        DatasetNotFoundError: A place is not there.
    """
    return _first(
        rows,
        (
            _in_hdf5(rows, place) if _is_hdf5(place) else _paths(rows, place, ("",), _ENDINGS)
            for place in places
        ),
    )


def find_masks(rows: pd.DataFrame, places: Sequence[Path]) -> pd.Series:
    """Find the mask of each row in the first of several folders that has it.

    Args:
        rows: Table with the column ``id``.
        places: Folders; HDF5 files among them have no masks.

    Returns:
        Paths (N,), empty where there is none.

    Raises:
        DatasetNotFoundError: A folder is not there.
    """
    folders = [place for place in places if not _is_hdf5(place)]
    return _first(rows, (_paths(rows, folder, _MASK_TAILS, (".png",)) for folder in folders))


def _first(rows: pd.DataFrame, found: Iterable[pd.Series]) -> pd.Series:
    """Take the path of each row from the first of several places that has one."""
    paths: pd.Series | None = None
    for more in found:
        paths = more if paths is None else paths.where(paths != "", more)
    return pd.Series([""] * len(rows), dtype=str) if paths is None else paths


def _is_hdf5(place: Path) -> bool:
    return place.suffix.lower() in HDF5_ENDINGS and not place.is_dir()


def _in_hdf5(rows: pd.DataFrame, file: Path) -> pd.Series:
    names = rows["id"].to_list()
    there = contained(file, names)
    begin = hdf5_path(file, "")
    return pd.Series(
        [begin + name if has else "" for name, has in zip(names, there.tolist(), strict=True)],
        dtype=str,
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


def _paths(
    rows: pd.DataFrame, folder: Path, tails: Sequence[str], endings: tuple[str, ...]
) -> pd.Series:
    """Find the file of each row; empty where there is none."""
    if not folder.is_dir():
        raise DatasetNotFoundError(folder, f"a folder with ID{tails[0]}{endings[0]} for each row")
    found = _listed(folder, endings)
    ends = [tail for name in tails for tail in (name, f"{_SHRUNK}{name}")]
    paths = (
        next((path for tail in ends if (path := found.get(f"{name}{tail}"))), "")
        for name in rows["id"]
    )
    return pd.Series(list(paths), dtype=str)


def _listed(folder: Path, endings: tuple[str, ...]) -> dict[str, str]:
    """List files by their name without ending; of several, that of the first ending is taken."""
    ranked: dict[str, tuple[int, str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, ending = os.path.splitext(entry.name)  # noqa: PTH122 - 400,000 Path objects cost seconds
            if ending.lower() in endings and entry.is_file():
                rank = (endings.index(ending.lower()), entry.name)
                ranked[stem] = min(rank, ranked.get(stem, rank))
    return {stem: f"{folder}{os.sep}{name}" for stem, (_, name) in ranked.items()}


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
    warnings.warn(f"Left out rows without {kind} in {folder}: {count}.", stacklevel=outside())
    return kept


def locate(
    rows: pd.DataFrame,
    table: PathLike | pd.DataFrame,
    image_dir: PathLike | Sequence[PathLike] | PreparedStore | None,
    mask_dir: PathLike | None,
    *,
    masks: bool,
) -> Path:
    """Add the paths of the files to rows that were read from a table.

    Args:
        rows: Rows; the columns ``image_path`` and ``mask_path`` are added in place, empty where
            there is no file.
        table: What they were read from; a table of a reader knows its files.
        image_dir: Place of the images, see `find_files`; None for the paths of the table.
        mask_dir: Folder of the masks.
        masks: Whether masks are needed.

    Returns:
        Place of the images, for words.

    Raises:
        DatasetNotFoundError: A folder is not there.
        ValueError: There are neither paths nor a folder, or a store is unfit.
    """
    given = _own_paths(table)
    if image_dir is None and given is None:
        remedy = "Give the folder of the images."
        raise ValueError(expected("image_dir", "a folder", "none, and no paths", remedy))
    if image_dir is None:
        for name, paths in (given or {}).items():
            rows[name] = paths
        first = next((path for path in rows["image_path"] if path), "")
        return Path(first).parent
    found = find_files(rows, image_dir, mask_dir, masks=masks)
    rows["image_path"], rows["mask_path"] = found.images, found.masks
    if given is not None and mask_dir is None and not found.stored:
        found_masks = rows["mask_path"].to_numpy(object)
        rows["mask_path"] = np.where(found_masks == "", given["mask_path"], found_masks)
    return found.place


def _own_paths(table: PathLike | pd.DataFrame) -> dict[str, npt.NDArray[np.object_]] | None:
    if not isinstance(table, pd.DataFrame) or not set(_PATHS) <= set(table.columns):
        return None
    return {name: np.where(table[name].isna(), "", table[name].to_numpy(object)) for name in _PATHS}

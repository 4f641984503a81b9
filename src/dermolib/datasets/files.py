"""Where the image and lesion mask of each row are: in folders, in a store, or in an HDF5 file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, as_path, listed, require, warn
from dermolib.datasets.columns import read_columns
from dermolib.datasets.copies import MANIFEST, copies_job
from dermolib.datasets.store import PreparedStore, is_store
from dermolib.datasets.tables import read_table
from dermolib.io import ENDINGS as HDF5_ENDINGS
from dermolib.io import contained, hdf5_path, is_file
from dermolib.labels import label_space_of

__all__ = [
    "DOWNSAMPLED",
    "IMAGE_SUFFIXES",
    "MASK_TAILS",
    "Found",
    "drop_missing",
    "find_files",
    "find_images",
    "find_masks",
    "read_augmented",
    "resolve_paths",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Suffixes of the images of a collection, the preferred one first."""

MASK_TAILS = ("_seg", "_segmentation")
"""What follows the id in the name of a lesion mask, before ``.png``."""

DOWNSAMPLED = "_downsampled"
"""Ends the names of some files of ISIC 2019, and means nothing."""

_PATHS = ("image_path", "mask_path")
_FETCH = 'Fetch them, or pass `missing="drop"` to leave their rows out.'
_OF_THE_PARENT = ("diagnosis", "malignant", "lesion", "patient", "year", "source")


class Found(NamedTuple):
    """Paths of the rows, as `load_image` and `load_mask` of `dermolib.datasets.store` take them."""

    place: Path
    """Folder or store of the images."""
    images: pd.Series
    """Path of each image (N,), empty where there is none."""
    masks: pd.Series
    """Path of each mask (N,), empty where there is none."""
    stored: bool = False
    """Whether they are in a store."""


def find_files(
    rows: pd.DataFrame,
    image_dir: PathLike | PreparedStore | Sequence[PathLike],
    mask_dir: PathLike | None = None,
    *,
    masks: bool,
) -> Found:
    """Find the image and mask of each row: files named ID or ID_downsampled, or rows of a store."""
    if isinstance(image_dir, PreparedStore):
        return _in_store(rows, image_dir, masks=masks)
    several = isinstance(image_dir, Sequence) and not isinstance(image_dir, (str, bytes))
    given: Any = image_dir if several else [image_dir]
    places = [as_path(place, "image_dir") for place in given]
    if not several and is_store(places[0]):
        return _in_store(rows, PreparedStore(places[0]), masks=masks)
    require(places, "image_dir", "a folder, or several", "none")
    folders = places if mask_dir is None else [as_path(mask_dir, "mask_dir")]
    return Found(places[0], find_images(rows, places), find_masks(rows, folders))


def find_images(rows: pd.DataFrame, places: Sequence[Path]) -> pd.Series:
    """Find the image of each row in the first folder or HDF5 file that has it; empty for none."""
    paths = pd.Series([""] * len(rows), dtype=str)
    for place in places:
        found = _in_hdf5 if _is_hdf5(place) else _in_folder
        paths = paths.where(paths != "", found(rows, place))
    return paths


def find_masks(rows: pd.DataFrame, places: Sequence[Path]) -> pd.Series:
    """Find the mask of each row in the first folder that has it; HDF5 files have none."""
    paths = pd.Series([""] * len(rows), dtype=str)
    for place in places:
        if not _is_hdf5(place):
            found = _in_folder(rows, place, MASK_TAILS, (".png",))
            paths = paths.where(paths != "", found)
    return paths


def resolve_paths(
    rows: pd.DataFrame,
    table: PathLike | pd.DataFrame,
    image_dir: PathLike | Sequence[PathLike] | PreparedStore | None,
    mask_dir: PathLike | None,
    *,
    masks: bool,
) -> Path:
    """Add the paths that a table has, or that are found, to its rows; return where images are."""
    own: dict[str, npt.NDArray[np.object_]] = {}
    if isinstance(table, pd.DataFrame) and {*_PATHS} <= {*table}:
        columns = ((name, table[name]) for name in _PATHS)
        own = {name: np.where(paths.isna(), "", paths.to_numpy(object)) for name, paths in columns}
    if image_dir is None:
        hint = "Give the folder of the images."
        require(own, "image_dir", "a folder", "none, and no paths", hint)
        for name, paths in own.items():
            rows[name] = paths
        return Path(next(filter(None, rows["image_path"]), "")).parent
    found = find_files(rows, image_dir, mask_dir, masks=masks)
    rows["image_path"], rows["mask_path"] = found.images, found.masks
    if own and mask_dir is None and not found.stored:
        rows["mask_path"] = np.where(found.masks == "", own["mask_path"], found.masks)
    return found.place


def drop_missing(
    rows: pd.DataFrame, folder: Path, *, missing: str, masks: bool, hint: str = _FETCH
) -> npt.NDArray[np.bool_]:
    """Tell which rows have their files (N,); refuse the others, or warn of them."""
    kept: npt.NDArray[np.bool_] = rows["image_path"].to_numpy(str) != ""
    kind = "an image and a mask" if masks else "an image"
    if masks:
        kept = kept & (rows["mask_path"].to_numpy(str) != "")
    if kept.all():
        return kept
    count = f"{int((~kept).sum())} of {len(rows)} without ({listed(rows['id'][~kept])})"
    what = f"a folder with {kind} for each row"
    require(missing == "drop", str(folder), what, count, hint, error=FileNotFoundError)
    warn(f"Left out rows without {kind} in {folder}: {count}.")
    return kept


def read_augmented(folder: Path, parents: pd.DataFrame, *, masks: bool) -> pd.DataFrame | None:
    """Read the manifest of `augment_offline` and find its files; None where it has no row."""
    path, job = folder / MANIFEST, copies_job(folder, {})
    if not path.exists():
        raise DatasetNotFoundError(path, "the folder of augment_offline")
    job.read_finished()
    if not job.keys():
        return None
    sources = read_columns(path, ("PARENT_ID",))[0]
    made = read_table(path, label_space=label_space_of(parents)).assign(
        parent_id=sources
    )  # ids, also those that look like gaps
    found = find_files(made, folder, masks=masks)
    made["image_path"], made["mask_path"] = found.images, found.masks
    drop_missing(made, found.place, missing="error", masks=masks)
    files = zip(made["id"], found.images, found.masks, strict=True)
    outputs = {name: [Path(file) for file in paths if file] for name, *paths in files}
    lost = sorted(outputs.keys() - job.intact(outputs, outputs.__getitem__))
    what, got = "a folder with the files of each copy", f"{len(lost)} without ({listed(lost)})"
    hint = "Call `augment_offline` again with its settings: what is missing is made again."
    require(not lost, str(folder), what, got, hint)
    rows = pd.Index(parents["id"]).get_indexer(pd.Index(made["parent_id"]))
    foreign = made["parent_id"][rows < 0]
    what, got = "a manifest of copies of these rows", f"{len(foreign)} others ({listed(foreign)})"
    hint = "Augment the training rows after the split, into a folder of their own."
    require(foreign.empty, str(path), what, got, hint)
    others = made["id"][made["label"].to_numpy() != parents["label"].to_numpy()[rows]]
    what = "a manifest whose images have the class of their parent"
    require(others.empty, str(path), what, f"others ({listed(others)})")
    known = made["id"][made["id"].isin(parents["id"])]
    require(known.empty, str(folder), "a folder of new ids", f"known ones ({listed(known)})")
    for column in _OF_THE_PARENT:
        if column in parents:
            made[column] = parents[column].iloc[rows].reset_index(drop=True)
    return made


def _is_hdf5(place: Path) -> bool:
    return place.suffix.lower() in HDF5_ENDINGS and not place.is_dir()


def _in_hdf5(rows: pd.DataFrame, file: Path) -> pd.Series:
    names = rows["id"].to_list()
    begin = hdf5_path(file, "")
    found = zip(names, contained(file, names).tolist(), strict=True)
    return pd.Series([begin + name if has else "" for name, has in found], dtype=str)


def _in_store(rows: pd.DataFrame, store: PreparedStore, *, masks: bool) -> Found:
    what, hint = "a store with masks", "Prepare the folder with `masks=`, since steps crop both."
    require(store.has_masks or not masks, str(store.path), what, "one without", hint)
    numbers = store.find(rows["id"])

    def paths(path: Any) -> pd.Series:
        return pd.Series([path(number) if number >= 0 else "" for number in numbers], dtype=str)

    return Found(store.path, paths(store.image_path), paths(store.mask_path), stored=True)


def _in_folder(
    rows: pd.DataFrame,
    folder: Path,
    tails: Sequence[str] = ("",),
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> pd.Series:
    """Find the file of each row; empty where there is none."""
    if not folder.is_dir():
        raise DatasetNotFoundError(folder, f"a folder with ID{tails[0]}{suffixes[0]} for each row")
    ranked: dict[str, tuple[int, str]] = {}  # by name without suffix, the preferred suffix first
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - 400,000 Path objects cost seconds
            if suffix.lower() in suffixes and is_file(entry):
                rank = (suffixes.index(suffix.lower()), entry.name)
                ranked[stem] = min(rank, ranked.get(stem, rank))
    begin = f"{folder}{os.sep}"
    ends = [tail for name in tails for tail in (name, f"{DOWNSAMPLED}{name}")]
    found = (
        next((begin + ranked[name + tail][1] for tail in ends if name + tail in ranked), "")
        for name in rows["id"]
    )
    return pd.Series(list(found), dtype=str)

"""Where the image and lesion mask of each row are: in folders, in a store, or in an HDF5 file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import (
    DatasetNotFoundError,
    PathLike,
    as_path,
    listed,
    printable,
    require,
    warn,
)
from dermolib.datasets.columns import read_columns, read_csv
from dermolib.datasets.copies import MANIFEST, copies_job
from dermolib.datasets.store import PreparedStore, is_store
from dermolib.datasets.tables import read_table
from dermolib.io import ENDINGS as HDF5_ENDINGS
from dermolib.io import MASK_TAILS, SUFFIXES, ImageFolder, drop_ending, find_keys, hdf5_path
from dermolib.labels import label_space_of

__all__ = [
    "Found",
    "Place",
    "drop_missing",
    "find_files",
    "find_images",
    "find_masks",
    "open_places",
    "read_augmented",
    "resolve_paths",
]

Place: TypeAlias = ImageFolder | Path
"""A folder of images, whose files have been listed, or an HDF5 file."""

_PATHS = ("image_path", "mask_path")
_SHOWN = 3
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
    """Find the image and mask of each row: files as `ImageFolder` finds them, or rows of a store.

    A `mask_dir` is taken for a folder of masks, in which the id alone may be a name.
    """
    if isinstance(image_dir, PreparedStore):
        return _in_store(rows, image_dir, masks=masks)
    several = isinstance(image_dir, Sequence) and not isinstance(image_dir, (str, bytes))
    given: Any = image_dir if several else [image_dir]
    places = [as_path(place, "image_dir") for place in given]
    if not several and is_store(places[0]):
        return _in_store(rows, PreparedStore(places[0]), masks=masks)
    require(places, "image_dir", "a folder, or several", "none")
    opened = open_places(places)
    own = [] if mask_dir is None else open_places([as_path(mask_dir, "mask_dir")])
    images = find_images(rows, opened)
    found = find_masks(rows, own or opened, images=images, own=bool(own))
    return Found(places[0], images, found)


def open_places(places: Sequence[Place]) -> list[Place]:
    """List the folders among places, so that images and masks are found in one listing."""
    ready: list[Place] = []
    for place in places:
        ready.append(
            ImageFolder(place) if isinstance(place, Path) and not _is_hdf5(place) else place
        )
    return ready


def find_images(rows: pd.DataFrame, places: Sequence[Place]) -> pd.Series:
    """Find the image of each row in the first place that has it; empty for none.

    Subfolders are for what no place has itself.
    """
    paths, places = np.full(len(rows), "", object), open_places(places)
    for below in (False, True):
        for place in places:
            todo = np.flatnonzero(paths == "")
            if len(todo):
                ids = rows["id"].to_numpy(object)[todo].tolist()
                paths[todo] = _images_in(place, ids, below=below)
    return _checked(rows, paths, places)


def find_masks(
    rows: pd.DataFrame,
    places: Sequence[Place],
    *,
    images: pd.Series | None = None,
    own: bool = False,
) -> pd.Series:
    """Find the mask of each row in the first folder that has it; HDF5 files have none.

    Args:
        rows: Rows with their ids (N,).
        places: Folders.
        images: Path of the image of each row (N,), which is never its own mask.
        own: Whether they are folders of masks, in which the id alone may be a name.
    """
    paths = np.full(len(rows), "", object)
    folders = [place for place in open_places(places) if isinstance(place, ImageFolder)]
    beside = np.full(len(rows), "", object) if images is None else images.to_numpy(object)
    for below in (False, True):
        for folder in folders:
            todo = np.flatnonzero(paths == "")
            if len(todo):
                ids = rows["id"].to_numpy(object)[todo].tolist()
                paths[todo] = folder.masks(ids, beside[todo].tolist(), own=own, below=below)
    return _checked(rows, paths, places)


def resolve_paths(
    rows: pd.DataFrame,
    table: PathLike | pd.DataFrame,
    image_dir: PathLike | Sequence[PathLike] | PreparedStore | None,
    mask_dir: PathLike | None,
    *,
    masks: bool,
) -> Path:
    """Add the paths that a table has, or that are found, to its rows.

    Returns the folder in which files are missing, if any are.
    """
    own = _own_paths(table) if image_dir is None or isinstance(table, pd.DataFrame) else {}
    if image_dir is None:
        hint = "Give the folder of the images, or a column `image_path`."
        require("image_path" in own, "image_dir", "a folder", "none, and no paths", hint)
        for name in _PATHS:
            rows[name] = own.get(name, np.full(len(rows), "", object))
        return Path(next(filter(None, rows["image_path"]), "")).parent
    found = find_files(rows, image_dir, mask_dir, masks=masks)
    rows["image_path"], rows["mask_path"] = found.images, found.masks
    if "mask_path" in own and mask_dir is None and not found.stored:
        rows["mask_path"] = np.where(found.masks == "", own["mask_path"], found.masks)
    if masks and mask_dir is not None and (rows["image_path"] != "").all():
        return as_path(mask_dir, "mask_dir")
    return found.place


def _own_paths(table: PathLike | pd.DataFrame) -> dict[str, npt.NDArray[np.object_]]:
    """Read the columns of paths that a table has: texts, empty where missing."""
    if isinstance(table, pd.DataFrame):
        columns = {name: table[name] for name in _PATHS if name in table}
    else:
        path = as_path(table, "table")
        texts = read_csv(path, lambda header: {n: header.index(n) for n in _PATHS if n in header})
        columns = {name: pd.Series(values, dtype=object) for name, values in texts.items()}
    return {name: _path_texts(name, column) for name, column in columns.items()}


def _path_texts(name: str, column: pd.Series) -> npt.NDArray[np.object_]:
    """Write paths as texts."""
    paths = np.where(column.isna(), "", column.to_numpy(object))
    for row in (row for row, path in enumerate(paths) if type(path) is not str):
        fits = isinstance(paths[row], (str, bytes, os.PathLike))
        got = f"{paths[row]!r} in row {row + 2}"
        require(fits, name, "a column of paths", got, error=TypeError)
        paths[row] = os.fsdecode(paths[row])
    return paths


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
    if not kept.any():
        count += _looked_for(rows, folder)
    what = f"a folder with {kind} for each row"
    require(missing == "drop", str(folder), what, count, hint, error=FileNotFoundError)
    warn(f"Left out rows without {kind} in {folder}: {count}.")
    return kept


def _looked_for(rows: pd.DataFrame, place: Path) -> str:
    """Say which name was looked for, and which are there."""
    name = rows["id"].iloc[0]
    if is_store(place):
        names = PreparedStore(place).ids[:_SHOWN].tolist()
    elif _is_hdf5(place):
        names = find_keys(place)[:_SHOWN]
    else:
        of_mask = (rows["image_path"] != "").any()
        name = drop_ending(name) + (f"{MASK_TAILS[0]}.png" if of_mask else SUFFIXES[0])
        names = ImageFolder(place).sample() if place.is_dir() else []
    return f", looking for {printable(name)} among {listed(names) if names else 'no files'}"


def read_augmented(folder: Path, parents: pd.DataFrame, *, masks: bool) -> pd.DataFrame | None:
    """Read the manifest of `augment_offline` and find its files; None where it has no row."""
    path, job = folder / MANIFEST, copies_job(folder, {})
    if not path.exists():
        raise DatasetNotFoundError(path, "the folder of augment_offline")
    job.read_finished()
    if not job.keys():
        return None
    sources = read_columns(path, ("PARENT_ID",))[0]
    made = read_table(path, label_space=label_space_of(parents))
    made["parent_id"] = sources  # ids, also those that look like gaps
    own, ids = ImageFolder(folder), made["id"].to_list()
    made["image_path"] = images = own.images(ids)
    made["mask_path"] = own.masks(ids, images, own=False)
    drop_missing(made, folder, missing="error", masks=masks)
    files = zip(ids, images, made["mask_path"], strict=True)
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


def _images_in(place: Place, ids: list[str], *, below: bool) -> list[str]:
    if isinstance(place, ImageFolder):
        return place.images(ids, below=below)
    keys = [] if below else find_keys(place, ids)
    return [hdf5_path(place, key) if key else "" for key in keys] or [""] * len(ids)


def _checked(
    rows: pd.DataFrame, paths: npt.NDArray[np.object_], places: Sequence[Place]
) -> pd.Series:
    """Refuse one file for two rows, which an id with an ending and one without would have."""
    found = [path for path in paths.tolist() if path]
    if len({*found}) < len(found):
        ids: dict[str, str] = {}
        for path, name in zip(paths, rows["id"], strict=True):
            other = ids.setdefault(path, name) if path else name
            got = f"{path} alone for {other} and {name}"
            require(other == name, str(places[0]), "a place with a file for each row", got)
    return pd.Series(paths, dtype=str)


def _in_store(rows: pd.DataFrame, store: PreparedStore, *, masks: bool) -> Found:
    what, hint = "a store with masks", "Prepare the folder with `masks=`, since steps crop both."
    require(store.has_masks or not masks, str(store.path), what, "one without", hint)
    numbers = store.find(rows["id"])

    def paths(path: Any) -> pd.Series:
        found = [path(number) if number >= 0 else "" for number in numbers]
        return _checked(rows, np.array(found, object), [store.path])

    return Found(store.path, paths(store.image_path), paths(store.mask_path), stored=True)

"""Prepared images in one file that opens by memory map: written by `prepare`, read by datasets.

A store is a folder. ``images.npy`` holds all images (N, H, W, 3), uint8 RGB, and ``masks.npy``,
where there are lesion masks, all of them (N, H, W), bool: files of NumPy that anyone can open with
``numpy.load(..., mmap_mode="r")``. ``index.csv`` says which row is which image, and ``store.json``
how they were made. It is written last: a folder without it is no store, or one that is not done.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._jobs import describe_differences
from dermolib._validation import (
    DatasetNotFoundError,
    Image,
    Indices,
    Mask,
    PathLike,
    check_choice,
    check_mask,
    expected,
    listed,
)
from dermolib.datasets.store_files import (
    ANEW,
    FORMAT,
    IMAGES,
    INDEX_COLUMNS,
    LAYOUT,
    MASKS,
    is_store,
    mapped,
    read_index,
    read_settings,
)
from dermolib.io import read_hdf5, read_hdf5_bytes, read_image, read_mask, split_path

__all__ = [
    "FORMAT",
    "INDEX_COLUMNS",
    "PreparedStore",
    "content_digest",
    "is_store",
    "load_image",
    "load_mask",
]

_ROW = re.compile(r"(?P<file>.*[/\\](?:images|masks)\.npy)#(?P<row>\d+)", re.DOTALL)


class PreparedStore:
    """Prepared images of one size, opened by memory map: nothing is read before it is asked for.

    It pickles as its path. Images come out as copies, which may be written to.

    Args:
        path: Folder of the store.
        expect: Settings that the store must have been made with, by their names in `settings`; the
            others may be anything.

    Attributes:
        path: Folder of the store, absolute.
        settings: How the images were made: ``steps``, ``image_size``, ``masks``, ``versions``.
        key: Digest of the settings: two stores with the same key were made alike.
        ids: Ids (N,): names of the files without folder and ending, in the order of the files.
        files: Files (N,), relative to the folder that was prepared, with slashes.
        row_numbers: Row of each image in ``images.npy`` (N,).
        images: All rows of ``images.npy`` (R, H, W, 3), read-only; `row_numbers` are those in use.
        image_size: Height and width of the images, in px.
        has_masks: Whether the store has lesion masks.

    Raises:
        DatasetNotFoundError: There is no store, or one that is not done.
        ValueError: The store has another format or other settings than expected, or a file of it is
            damaged.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from dermolib.io import write_image
        >>> from dermolib import prepare
        >>> with TemporaryDirectory() as folder:
        ...     write_image(f"{folder}/in/a.png", np.full((64, 48, 3), 200, np.uint8))
        ...     store = prepare(
        ...         f"{folder}/in", f"{folder}/store", steps=[], image_size=32, progress=False
        ...     )
        ...     image = store["a"]
        >>> len(store), image.shape, int(image.max())
        (1, (32, 32, 3), 200)
    """

    def __init__(self, path: PathLike, *, expect: Mapping[str, Any] | None = None) -> None:
        """Open the index; the images are mapped."""
        self.path = Path(path).absolute()
        content = read_settings(self.path)
        self.settings: dict[str, Any] = content["settings"]
        self.key: str = content["key"]
        self._check_expected({} if expect is None else dict(expect))
        self._rows = read_index(self.path, content.get("images"))
        self.row_numbers: Indices = self._rows["row"]
        self.ids: npt.NDArray[Any] = self._rows["id"]
        self.files: npt.NDArray[Any] = self._rows["file"]
        self._place = {name: place for place, name in enumerate(self.ids)}
        height, width = self.settings["image_size"]
        self.image_size: tuple[int, int] = (height, width)
        self.has_masks = bool(self.settings["masks"])
        self.images: npt.NDArray[np.uint8] = self._opened(IMAGES)
        self._masks = self._opened(MASKS) if self.has_masks else None

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of the index.

        Args:
            name: ``"height"`` and ``"width"`` of the file in px; ``"top"``, ``"bottom"``,
                ``"left"`` and ``"right"`` of the part that ``crop_border`` kept, in px of the file
                unless a step of yours changed the size before; ``"masked_fraction"`` by hair
                removal, 0..1; or another of `INDEX_COLUMNS`.

        Returns:
            Values (N,).

        Raises:
            ValueError: There is no such column.
        """
        check_choice(name, "name", INDEX_COLUMNS)
        return self._rows[name]

    def find(self, ids: Iterable[str]) -> Indices:
        """Look up images.

        Args:
            ids: Ids.

        Returns:
            Number of each image, 0..N-1, and -1 where the store has none.

        Raises:
            TypeError: `ids` is one text instead of several.
        """
        if isinstance(ids, str):
            raise TypeError(expected("ids", "a list of ids", "one text", f"Write `[{ids!r}]`."))
        return np.array([self._place.get(name, -1) for name in ids], dtype=np.intp)

    def image(self, number: int) -> Image:
        """Copy an image out of the map.

        Args:
            number: Number of the image, 0..N-1.

        Returns:
            Image (H, W, 3), uint8 RGB.

        Raises:
            IndexError: There is no such image.
        """
        image: Image = self.images[self._row(number)].copy()
        return image

    def mask(self, number: int) -> Mask:
        """Copy a lesion mask out of the map.

        Args:
            number: Number of the image, 0..N-1.

        Returns:
            Mask (H, W), bool.

        Raises:
            IndexError: There is no such image.
            RuntimeError: The store has no masks.
        """
        if self._masks is None:
            remedy = "Prepare the folder with `masks=`."
            raise RuntimeError(expected("store", "one with masks", str(self.path), remedy))
        mask: Mask = self._masks[self._row(number)].copy()
        return mask

    def image_path(self, number: int) -> str:
        """Name an image so that `load_image` finds it, until the store is made anew."""
        return f"{self.path / IMAGES}#{self._row(number)}"

    def mask_path(self, number: int) -> str:
        """Name a mask so that `load_mask` finds it; empty where the store has none."""
        return f"{self.path / MASKS}#{self._row(number)}" if self.has_masks else ""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        """Go through the ids."""
        return iter(self.ids)

    def __getitem__(self, name: str) -> Image:
        """Copy an image out of the map by its id.

        Raises:
            KeyError: There is no image of that id.
        """
        return self.image(self._place[name])

    def __repr__(self) -> str:
        """Say how many images of which size, made by which steps, and where they are."""
        height, width = self.image_size
        steps = ", ".join(step["step"] for step in self.settings["steps"]) or "no steps"
        return f"PreparedStore({len(self)} images of {height} x {width} px, {steps}, {self.path})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path: a map cannot travel, and what it shows lies there."""
        return type(self), (self.path,)

    def _check_expected(self, expect: dict[str, Any]) -> None:
        for name in expect:
            check_choice(name, "expect", self.settings)
        wanted = json.loads(json.dumps(expect, default=np.generic.item))
        if others := describe_differences({name: self.settings[name] for name in expect}, wanted):
            what = "a store made with the expected settings"
            got = f"one of others ({listed(others)})"
            raise ValueError(expected(str(self.path), what, got, ANEW))

    def _opened(self, name: str) -> npt.NDArray[Any]:
        """Map a file, and check that it holds the rows of the index."""
        rows, last = mapped(self.path / name), self.row_numbers.max()
        if rows.shape[1:3] != self.image_size or len(rows) <= last:
            what = f"the row {last} and those before it of {self.image_size} px"
            raise ValueError(expected(str(self.path / name), what, f"shape {rows.shape}", ANEW))
        return rows

    def _row(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise IndexError(expected("number", f"an image in 0..{len(self) - 1}", number))
        return int(self.row_numbers[number])


def load_image(path: PathLike) -> Image:
    """Read an image: a file, a row of a store as `PreparedStore.image_path` names it, or of HDF5.

    Args:
        path: Path of a file, of ``images.npy`` with ``#`` and the number of a row, or of an HDF5
            file with ``#`` and an id.

    Returns:
        Image (H, W, 3), uint8 RGB.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read as an image, or the store is damaged.
    """
    row = _row_of(path)
    if row is not None:
        return np.array(row)
    return read_image(path) if split_path(path) is None else read_hdf5(path)


def load_mask(path: PathLike, *, shape: tuple[int, int]) -> Mask:
    """Read a mask: a file, or a row of a store as `PreparedStore.mask_path` names it.

    Args:
        path: Path of a file, or of ``masks.npy`` with ``#`` and the number of a row.
        shape: Height and width that it must have, in px.

    Returns:
        Mask (H, W), bool.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read as a mask, or its size is not `shape`.
    """
    row = _row_of(path)
    if row is None:
        return read_mask(path, shape=shape)
    return check_mask(np.array(row), (shape[0], shape[1]), str(path))


def content_digest(path: PathLike) -> bytes:
    """Digest what a path of `load_image` or `load_mask` holds.

    Args:
        path: Path of a file, a row of a store, or an image of an HDF5 file.

    Returns:
        SHA-256 of the bytes of the file, row or image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read.
    """
    row = _row_of(path)
    if row is not None:
        return hashlib.sha256(np.ascontiguousarray(row).data).digest()
    if split_path(path) is not None:
        return hashlib.sha256(read_hdf5_bytes(path)).digest()
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(expected(str(path), "a readable file", error)) from error


def _row_of(path: PathLike) -> npt.NDArray[Any] | None:
    """Look up a row of a store; None for a path of a file."""
    match = _ROW.fullmatch(str(path))
    if match is None:
        return None
    file, number = match["file"], int(match["row"])
    try:
        state = os.stat(file)  # noqa: PTH116 - a Path costs as much as all the rest, for each image
    except FileNotFoundError:
        raise DatasetNotFoundError(Path(file), LAYOUT) from None
    # A store that is made anew is another file under the same name
    rows: npt.NDArray[Any] = _mapped_once(file, state.st_ino, state.st_mtime_ns)
    if number >= len(rows):
        remedy = "Open the store again: it was made anew."
        raise ValueError(expected(str(path), f"one of {len(rows)} rows", "one beyond", remedy))
    return rows[number]  # type: ignore[no-any-return]  # a row is an array again


@functools.lru_cache(maxsize=8)
def _mapped_once(file: str, _inode: int, _modified: int) -> npt.NDArray[Any]:
    return mapped(Path(file))

"""Prepared images in one memory-mapped file: written by `prepare`, read by datasets.

A store is a folder. ``images.npy`` holds all images (N, H, W, 3), uint8 RGB, and ``masks.npy``,
where there are lesion masks, all of them (N, H, W), bool: files of NumPy that anyone can open with
``numpy.load(..., mmap_mode="r")``. ``index.csv`` says which row is which image, with a checksum of
each row, and ``store.json`` how they were made, with the digest of the index. It is written last: a
folder without it is no store, or an incomplete one. What another program changed is noticed: the
index and the settings when the store is opened, a row when it is read.
"""

import functools
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from tokenize import TokenError  # NumPy reads the header of a file as Python
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._jobs import describe_differences, fingerprint
from dermolib._validation import (
    DatasetNotFoundError,
    Image,
    Indices,
    Mask,
    PathLike,
    as_path,
    check_choice,
    check_mask,
    check_number,
    expected,
    listed,
    printable,
    require,
)
from dermolib.io import (
    check_target,
    digest_file,
    match_ids,
    parse_json,
    read_bytes,
    read_hdf5,
    read_hdf5_bytes,
    read_image,
    read_mask,
    split_path,
)

__all__ = [
    "CHECKSUMS",
    "FORMAT",
    "IMAGES",
    "INDEX",
    "INDEX_COLUMNS",
    "MASKS",
    "SETTINGS",
    "PreparedStore",
    "content_digest",
    "digest_images",
    "file_states",
    "is_store",
    "load_image",
    "load_mask",
    "map_rows",
    "read_noted",
    "row_checksum",
    "row_checksums",
    "settings_key",
]

FORMAT = "dermolib-store-2"
"""Name of the layout; a store of another one is refused."""

IMAGES, MASKS, INDEX, SETTINGS = "images.npy", "masks.npy", "index.csv", "store.json"

INDEX_COLUMNS = (
    "row", "id", "file", "height", "width", "top", "bottom", "left", "right", "masked_fraction",
    "size", "modified", "mask_size", "mask_modified", "checksum", "mask_checksum",
)  # fmt: skip
"""Columns of the index, in their order."""

CHECKSUMS = {IMAGES: "checksum", MASKS: "mask_checksum"}
"""Columns of the checksums of the rows, by the name of the array."""

_INDEX_TYPES: dict[str, Any] = {
    **dict.fromkeys(INDEX_COLUMNS, "int64"),
    "id": object,
    "file": object,
    "masked_fraction": object,  # text becomes exactly the number that was written
}
_ARRAYS = {IMAGES: (np.uint8, 4), MASKS: (np.bool_, 3)}  # dtype and number of dimensions
_COMPARED = 32  # images of a set of which all bytes are compared
_LAYOUT = f"{SETTINGS}, {INDEX} and {IMAGES}, as `dermolib.preprocessing.prepare` writes them"
_AGAIN = "Prepare the folder again, with `overwrite`."
_UNIQUE = ("row", "id", "file")
_ORDERED = (("top", "bottom"), ("left", "right"))
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("row", "top", "left", "size", "mask_size"), (0, np.inf)),
    **dict.fromkeys(("height", "width"), (1, np.inf)),
    **dict.fromkeys(CHECKSUMS.values(), (0, 2**32 - 1)),
    "masked_fraction": (0, 1),
}
_CHECKED = 256  # rows of a task
_ROW = re.compile(r"(?P<file>.*[/\\](?:images|masks)\.npy)#(?P<row>\d+)", re.DOTALL)


class PreparedStore:
    """Prepared images of one size, memory-mapped: nothing is read before it is asked for.

    It pickles as its path. Images come out as writable copies.

    Args:
        path: Folder of the store.
        expect: Settings that the store must have been made with, by their names in `settings`; the
            others may be anything.

    Attributes:
        path: Folder of the store, absolute.
        settings: How the images were made: ``steps``, ``image_size``, ``fit``, ``masks``,
            ``versions``.
        key: Digest of the settings: two stores with the same key were made the same way.
        digests: Digests (SHA-256) of the files beside the arrays, by their names.
        ids: Ids (N,): names of the files without folder and ending, in the order of the files.
        files: Files (N,), relative to the folder that was prepared, with slashes.
        row_numbers: Row of each image in ``images.npy`` (N,).
        images: All rows of ``images.npy`` (R, H, W, 3), read-only; `row_numbers` are those in use.
        image_size: Height and width of the images, in px.
        has_masks: Whether the store has lesion masks.

    Raises:
        DatasetNotFoundError: There is no store.
        ValueError: The store is incomplete, has another format or other settings than expected, or
            a file of it is damaged: its index and settings are compared with their digests, and the
            sizes of its arrays with both. A row is compared with its checksum when it is read;
            `images` is not.

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
        self.path = as_path(path, "path").absolute()
        content = _read_settings(self.path)
        self.settings: dict[str, Any] = content["settings"]
        self.key: str = content["key"]
        self.digests: dict[str, str] = content["digests"]
        for name in expect or {}:
            check_choice(name, "expect", self.settings)
        wanted = json.loads(json.dumps(dict(expect or {}), default=np.generic.item))
        others = describe_differences({name: self.settings[name] for name in wanted}, wanted)
        what, got = "a store made with the expected settings", f"others ({listed(others)})"
        require(not others, str(self.path), what, got, _AGAIN)
        self._rows = _read_index(self.path, content)
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
        """Return a column (N,) of the index.

        Args:
            name: ``"height"`` and ``"width"`` of the file in px; ``"top"``, ``"bottom"``,
                ``"left"`` and ``"right"`` of the part that ``crop_border`` kept, in px of the file
                unless a step of yours changed the size before; ``"masked_fraction"`` by hair
                removal, 0..1; or another of `INDEX_COLUMNS`. Others are a ValueError.
        """
        check_choice(name, "name", INDEX_COLUMNS)
        return self._rows[name]

    def find(self, ids: Iterable[str]) -> Indices:
        """Look up the number of each id, 0..N-1, and -1 where the store has no such image.

        Where no image has the very id, an ending of it, letter case, the composition of letters and
        ``_downsampled`` do not matter; an id that may then mean two images is a ValueError.
        """
        one, hint = isinstance(ids, str), f"Write `[{ids!r}]`."
        require(not one, "ids", "a list of ids", "one string", hint, error=TypeError)
        names = match_ids([*ids], self._place, self.path)
        return np.array([self._place.get(name, -1) for name in names], dtype=np.intp)

    def image(self, number: int) -> Image:
        """Copy an image (H, W, 3), uint8 RGB, by its number, 0..N-1; else an IndexError.

        A row that was changed since it was written is a ValueError.
        """
        row, path = self._row(number), self.image_path(number)
        return _checked_copy(self.images[row], self._rows["checksum"][number], self.key, path)

    def mask(self, number: int) -> Mask:
        """Copy the lesion mask (H, W), bool, of an image; a RuntimeError without masks."""
        if self._masks is None:
            hint = "Prepare the folder with `masks=`."
            raise RuntimeError(expected("store", "one with masks", str(self.path), hint))
        row, path = self._row(number), self.mask_path(number)
        return _checked_copy(self._masks[row], self._rows["mask_checksum"][number], self.key, path)

    def find_damaged(self, *, workers: int = 1) -> Indices:
        """Read all rows, and find the images that were changed since they were written.

        `dermolib.prepare` makes them again.

        Args:
            workers: Number of threads, 1 or more.

        Returns:
            Numbers of the images whose rows or masks are not what their checksums say (K,).
        """
        check_number(workers, "workers", low=1, integer=True)
        damaged = np.zeros(len(self), np.bool_)
        for name in (IMAGES, MASKS) if self.has_masks else (IMAGES,):
            path = self.path / name
            found = row_checksums(path, self.row_numbers, self.key, workers=workers)
            damaged |= found != self._rows[CHECKSUMS[name]]
        return np.flatnonzero(damaged)

    def image_path(self, number: int) -> str:
        """Name an image so that `load_image` finds it, until the store is made again."""
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
        """Copy an image by its id; an unknown one is a KeyError."""
        return self.image(self._place[name])

    def __repr__(self) -> str:
        """Say how many images of which size, made by which steps, and where they are."""
        height, width = self.image_size
        steps = ", ".join(step["step"] for step in self.settings["steps"]) or "no steps"
        size = f"{len(self)} images of {height} x {width} px"
        return printable(f"PreparedStore({size}, {steps}, {self.path})")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path: a map cannot travel, and what it shows lies there."""
        return type(self), (self.path,)

    def _opened(self, name: str) -> npt.NDArray[Any]:
        """Map a file, and check that it holds the rows of the index."""
        rows, last = map_rows(self.path / name), self.row_numbers.max()
        what = f"at least {last + 1} rows of {self.image_size} px"
        fits = rows.shape[1:3] == self.image_size and len(rows) > last
        require(fits, str(self.path / name), what, f"shape {rows.shape}", _AGAIN)
        return rows

    def _row(self, number: int) -> int:
        what = f"an image in 0..{len(self) - 1}"
        require(0 <= number < len(self), "number", what, number, error=IndexError)
        return int(self.row_numbers[number])


def load_image(path: PathLike) -> Image:
    """Read an image: a file, or what `PreparedStore.image_path` or an HDF5 path names."""
    row = _row_of(path)
    if row is not None:
        return row
    return read_image(path) if split_path(path) is None else read_hdf5(path)


def load_mask(path: PathLike, *, shape: tuple[int, int]) -> Mask:
    """Read a mask of a shape (H, W): a file, or what `PreparedStore.mask_path` names."""
    row = _row_of(path)
    if row is None:
        return read_mask(path, shape=shape)
    return check_mask(row, (shape[0], shape[1]), str(path))


def content_digest(path: PathLike) -> bytes:
    """Digest (SHA-256) the bytes of the file, row or HDF5 image that a path names."""
    row = _row_of(path)
    if row is not None:
        return hashlib.sha256(row.data).digest()
    if split_path(path) is not None:
        return hashlib.sha256(read_hdf5_bytes(path)).digest()
    return bytes.fromhex(digest_file(path))


def row_checksum(row: npt.NDArray[Any], key: str) -> int:
    """Compute the checksum of a row: CRC-32 of the key of its settings, then of its bytes."""
    return zlib.crc32(np.ascontiguousarray(row).data, zlib.crc32(key.encode()))


def row_checksums(
    path: Path, numbers: Indices, key: str, *, workers: int = 1
) -> npt.NDArray[np.int64]:
    """Compute the checksums of some rows of an array, in threads.

    Each part maps the file for itself, so that memory stays flat.
    """

    def part(some: Indices) -> list[int]:
        rows = map_rows(path)
        return [row_checksum(rows[number], key) for number in some]

    parts = [numbers[at : at + _CHECKED] for at in range(0, len(numbers), _CHECKED)]
    with ThreadPoolExecutor(workers) as pool:
        return np.fromiter(chain.from_iterable(pool.map(part, parts)), np.int64, len(numbers))


def _checked_copy(row: npt.NDArray[Any], checksum: int, key: str, path: str) -> npt.NDArray[Any]:
    """Copy a row, and refuse one that is not what was written."""
    copy = np.array(row, order="C")
    if row_checksum(copy, key) != checksum:
        what, hint = (
            "the row that was written",
            "Prepare the folder again: it makes that row again.",
        )
        raise ValueError(expected(path, what, "other bytes", hint))
    return copy


def file_states(paths: Iterable[PathLike]) -> Iterator[tuple[str, os.stat_result]]:
    """Look up the file of each path of `load_image`, and its state: that of a store once."""
    states: dict[str, os.stat_result] = {}
    for path in paths:
        row, joined = _ROW.fullmatch(str(path)), split_path(path)
        file = row["file"] if row else joined[0] if joined else str(path)
        if file not in states:
            states[file] = os.stat(file)  # noqa: PTH116 - a Path costs as much as all the rest
        yield file, states[file]


def digest_images(paths: Sequence[Any] | npt.NDArray[Any]) -> str:
    """Digest the images of a set: of each the size of its file, of a few all bytes.

    It is the same where a folder was copied.
    """
    states = zip(paths, file_states(paths), strict=True)
    # A store and an HDF5 file grow by other images too
    sizes = [state.st_size for path, (file, state) in states if path == file]
    rows = np.unique(np.linspace(0, len(paths) - 1, _COMPARED).astype(np.intp))
    text = str([sizes, *(content_digest(paths[row]).hex() for row in rows)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _row_of(path: PathLike) -> npt.NDArray[Any] | None:
    """Copy a row of a store; None for a path of a file."""
    match = _ROW.fullmatch(str(path))
    if match is None:
        return None
    file, number = match["file"], int(match["row"])
    try:
        state = os.stat(file)  # noqa: PTH116 - a Path costs as much as all the rest, for each image
    except FileNotFoundError:
        raise DatasetNotFoundError(Path(file), _LAYOUT) from None
    # A store that is made again is another file under the same name
    rows, checksums, key = _mapped_once(file, state.st_ino, state.st_mtime_ns)
    fits = number < len(rows) and checksums[number] >= 0
    what, hint = "a row of the index", "Open the store again: it has changed since."
    require(fits, str(path), what, f"another one of {len(rows)}", hint)
    return _checked_copy(rows[number], checksums[number], key, str(path))


@functools.lru_cache(maxsize=8)
def _mapped_once(
    file: str, _inode: int, _modified: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], str]:
    """Map a file of a store, with the checksum of each row, -1 for unused ones, and their key."""
    path = Path(file)
    rows = map_rows(path)
    content = _read_settings(path.parent)
    index = _read_index(path.parent, content)
    checksums = np.full(max(len(rows), index["row"].max() + 1), -1)
    checksums[index["row"]] = index[CHECKSUMS[path.name]]
    return rows, checksums, content["key"]


def is_store(path: PathLike) -> bool:
    """Tell whether a folder is a store, complete or not."""
    settings, journal, images = (Path(path, name) for name in (SETTINGS, "run.jsonl", IMAGES))
    return settings.is_file() or (journal.is_file() and images.is_file())


def settings_key(settings: Any) -> str:
    """Digest settings into the key of a store."""
    return fingerprint([FORMAT, settings])


def _read_settings(path: Path) -> dict[str, Any]:
    """Read how a store was made, or say that it is none, incomplete, or of another format."""
    check_target(path / SETTINGS)
    if not (path / SETTINGS).exists():
        if not is_store(path):
            raise DatasetNotFoundError(path / SETTINGS, _LAYOUT)
        hint = "Call `prepare` again with the settings of that run: it continues."
        what, got = "a complete store", "one that is not finished"
        raise ValueError(expected(str(path), what, got, hint))
    try:
        content = dict(parse_json(read_bytes(path / SETTINGS)))
    except (ValueError, TypeError):
        content = {}
    found = content.get("format")
    intact = found == FORMAT and content.get("key") == settings_key(content.get("settings"))
    what = f"the settings of a store of the format {FORMAT!r}"
    got = "something else" if found in (FORMAT, None) else f"those of {found!r}"
    intact = intact and _are_settings(content["settings"])
    intact = intact and isinstance(content.get("digests"), dict)
    require(intact, str(path / SETTINGS), what, got, _AGAIN)
    return content


def _are_settings(settings: Any) -> bool:
    """Tell whether settings are of the types that `prepare` writes."""
    match settings:
        case {
            "steps": [*steps],
            "image_size": [int(), int()],
            "fit": str(),
            "masks": bool(),
            "versions": {},
        }:
            return all(isinstance(s, dict) and isinstance(s.get("step"), str) for s in steps)
    return False


def read_noted(path: Path, digests: Mapping[str, Any]) -> bytes:
    """Read a file of a store, which must be as it was when the store was finished."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise DatasetNotFoundError(path, _LAYOUT) from None
    same = hashlib.sha256(data).hexdigest() == digests.get(path.name)
    what = "the file that the store was finished with"
    require(same, str(path), what, "another one", _AGAIN)
    return data


def _read_index(path: Path, content: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Read the columns of the index, and check them."""
    data = read_noted(path / INDEX, content["digests"])
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            dtype=_INDEX_TYPES,
            na_filter=False,
            skip_blank_lines=False,
            encoding_errors="surrogateescape",
        )
        if "masked_fraction" in frame:
            frame["masked_fraction"] = frame["masked_fraction"].astype(np.float64)
    except (ValueError, OverflowError) as error:
        what = "the index of a store"
        raise ValueError(expected(str(path / INDEX), what, str(error).strip(), _AGAIN)) from error
    got = f"the columns {listed(frame, most=len(INDEX_COLUMNS))}"
    if (*frame,) == INDEX_COLUMNS:
        got = ", ".join(_index_faults(frame, content.get("images")))
    require(not got, str(path / INDEX), "the index of a store", got, _AGAIN)
    return {name: frame[name].to_numpy(copy=True) for name in INDEX_COLUMNS}


def _index_faults(frame: pd.DataFrame, count: object) -> Iterator[str]:
    """Say what is wrong with an index."""
    if len(frame) != count:
        yield f"{len(frame)} rows in place of {count}"
    yield from (f"the same {name} twice" for name in _UNIQUE if not frame[name].is_unique)
    for name, (low, high) in _RANGES.items():
        if not frame[name].between(low, high).all():
            yield f"a {name} out of range"
    for start, end in _ORDERED:
        if (frame[start] >= frame[end]).any():
            yield f"a {end} that is not beyond its {start}"


def map_rows(path: Path) -> npt.NDArray[Any]:
    """Map an array of a store; a plain array, since each look into a `numpy.memmap` costs more."""
    what = "an array of a store"
    check_target(path)
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DatasetNotFoundError(path, _LAYOUT) from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, TokenError) as error:
        raise ValueError(expected(str(path), what, error, _AGAIN)) from error
    fits = isinstance(rows, np.memmap) and (rows.dtype, rows.ndim) == _ARRAYS[path.name]
    # Rows are written at their distance from the end
    fits = fits and rows.flags.c_contiguous and path.stat().st_size == rows.offset + rows.nbytes
    require(fits, str(path), what, "another one", _AGAIN)
    return np.asarray(rows)

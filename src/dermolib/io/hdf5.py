"""Images in HDF5 files, each as the bytes of a file under its id."""

import functools
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermolib._validation import DatasetNotFoundError, Image, PathLike, expected, require
from dermolib.io.files import check_file
from dermolib.io.images import decode_image
from dermolib.io.lookup import match_ids

if TYPE_CHECKING:
    import h5py

__all__ = ["ENDINGS", "find_keys", "hdf5_path", "read_hdf5", "read_hdf5_bytes", "split_path"]

ENDINGS = (".hdf5", ".h5")
"""Endings of files that are taken for HDF5."""

_JOINED = re.compile(
    rf"(.*?(?:{'|'.join(map(re.escape, ENDINGS))}))#(.*)", re.IGNORECASE | re.DOTALL
)
_LAYOUT = "an HDF5 file with the encoded bytes of each image under its id"
_AGAIN = "Fetch the file again."
_MOST_BYTES = 1 << 30  # of one encoded image; no camera makes as many


def hdf5_path(file: PathLike, key: str) -> str:
    """Name an image of an HDF5 file: the path of the file, ``#`` and the id."""
    return f"{file}#{key}"


def split_path(path: PathLike) -> tuple[str, str] | None:
    """Split what `hdf5_path` joined; None for the path of another file.

    The path is cut at the first ``#`` that follows an ending of HDF5, so that an id may have one.

    Examples:
        >>> split_path("images.hdf5#A#1"), split_path("images.png")
        (('images.hdf5', 'A#1'), None)
    """
    joined = _JOINED.fullmatch(str(path))
    return None if joined is None else (joined[1], joined[2])


def find_keys(file: PathLike, ids: Sequence[str] | None = None) -> list[str]:
    """Find the name in an HDF5 file of each id (N,) by `match_ids`, or list all names.

    Raises what `read_hdf5_bytes` and `match_ids` raise.
    """
    opened = _opened(file)
    import h5py

    names: list[bytes] = []
    order = {"idx_type": h5py.h5.INDEX_NAME, "order": h5py.h5.ITER_NATIVE}
    with _explained(file, _LAYOUT):
        # In the order in which they lie, and as bytes: a fourth of the time of `keys()`
        opened.id.links.iterate(names.append, **order)
    known = dict.fromkeys(name.decode("utf-8", "surrogateescape") for name in names)
    return [*known] if ids is None else match_ids(ids, known, file)


def read_hdf5(path: PathLike) -> Image:
    """Read an image of an HDF5 file, by its `hdf5_path`, as `read_image` reads one of its own.

    Raises:
        ValueError: As `read_hdf5_bytes`, or the bytes are no image.
    """
    return decode_image(read_hdf5_bytes(path), str(path))


def read_hdf5_bytes(path: PathLike) -> bytes:
    """Read the encoded bytes of an image of an HDF5 file.

    Args:
        path: Path of `hdf5_path`.

    Returns:
        Bytes of an image file.

    Raises:
        DatasetNotFoundError: There is no such file.
        ImportError: h5py is not installed.
        ValueError: The file is not an HDF5 file, or has no such image.
    """
    file, key = split_path(path) or (str(path), "")
    opened = _opened(file)
    what = f"an HDF5 file with the bytes of {key!r}"
    # Only what lies in this file is read: a link may lead to any other
    import h5py

    with _explained(file, what):
        own = isinstance(opened.get(key, getlink=True), h5py.HardLink)
        require(own, file, what, "one without")
        item = opened[key]
        # Neither in other files, nor more than an image can have
        own = isinstance(item, h5py.Dataset) and not (item.external or item.is_virtual)
        require(own and item.nbytes <= _MOST_BYTES, file, what, "something else")
        value: Any = item[()]
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()


@contextmanager
def _explained(file: PathLike, what: str) -> Iterator[None]:
    """Say of whatever h5py does not understand which file it is in."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, UnicodeError) as error:
        raise ValueError(expected(str(file), what, f"a damaged one ({error})", _AGAIN)) from error


def _opened(file: PathLike) -> "h5py.File":
    """Open a file once for each process: the handle of another process is of no use."""
    try:
        check_file(file)
        state = os.stat(file)  # noqa: PTH116 - a Path costs more than the rest, for each image
    except FileNotFoundError:
        raise DatasetNotFoundError(Path(file), _LAYOUT) from None
    return _opened_once(str(file), state.st_ino, state.st_mtime_ns, os.getpid())


@functools.lru_cache(maxsize=4)
def _opened_once(file: str, _inode: int, _modified: int, _process: int) -> "h5py.File":
    try:
        import h5py
    except ImportError as error:
        sentence = expected("h5py", "installed to read HDF5 files", "none")
        raise ImportError(f"{sentence} Call `pip install 'dermolib[hdf5]'`.") from error
    try:
        return h5py.File(file, "r", locking=False)
    except OSError as error:
        raise ValueError(expected(file, "an HDF5 file", error)) from error

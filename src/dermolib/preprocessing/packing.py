"""The files of a store while it is made: rows of fixed size, each written in its place."""

import csv
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask
from dermolib.datasets.store_files import IMAGES, INDEX, INDEX_COLUMNS, MASKS
from dermolib.io import whole_file

__all__ = ["RECORD", "RECORDS", "Packing", "RowWriter", "write_table"]

RECORDS = "records.npy"
"""File with a record of each row that is done; it goes when the store is done."""

RECORD = np.dtype(
    [
        ("done", "?"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("top", "<i4"),
        ("bottom", "<i4"),
        ("left", "<i4"),
        ("right", "<i4"),
        ("share_masked", "<f8"),
        ("size", "<i8"),
        ("modified", "<i8"),
        ("mask_size", "<i8"),
        ("mask_modified", "<i8"),
    ]
)
"""What is noted of a row: written after its pixels, so that a row noted as done is."""

_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL)  # of a file system that reserves nothing


@dataclass(frozen=True)
class Packing:
    """Where the rows of a store lie.

    Attributes:
        folder: Folder of the store.
        count: Number of rows N.
        image_size: Height and width of the images, in px.
        masks: Whether there are masks.
    """

    folder: Path
    count: int
    image_size: tuple[int, int]
    masks: bool

    @property
    def arrays(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Dtype and shape of each file, by its name."""
        images = {IMAGES: (np.dtype(np.uint8), (self.count, *self.image_size, 3))}
        masks = {MASKS: (np.dtype(np.bool_), (self.count, *self.image_size))}
        # The records are made last: where they are, the others are
        return images | (masks if self.masks else {}) | {RECORDS: (RECORD, (self.count,))}

    def records(self) -> npt.NDArray[Any] | None:
        """Read what is noted of the rows; None where the files are not there, or others."""
        for name, (dtype, shape) in self.arrays.items():
            try:
                found = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return None
            if found.dtype != dtype or found.shape != shape:
                return None
        noted: npt.NDArray[Any] = np.load(self.folder / RECORDS, allow_pickle=False)
        return noted

    def create(self) -> None:
        """Make the files, without a row, and reserve their space: a disk too small is found now.

        Raises:
            OSError: The disk is too small; what was made of the files is gone.
        """
        self._delete()
        try:
            for name, (dtype, shape) in self.arrays.items():
                with (self.folder / name).open("xb") as file:
                    _write_header(file, dtype, shape)
                    _reserve(file, file.tell() + dtype.itemsize * prod(shape))
        except OSError:
            self._delete()
            raise

    def _delete(self) -> None:
        for name in self.arrays:
            (self.folder / name).unlink(missing_ok=True)

    def forget(self, rows: Iterable[int]) -> None:
        """Note that rows are not done any more, before anything is written in their places.

        Args:
            rows: Numbers of the rows.
        """
        with self.writer() as writer:
            for row in rows:
                writer.note(row, np.zeros(1, RECORD))

    @contextmanager
    def writer(self) -> Iterator["RowWriter"]:
        """Open the files for writing rows; any number of processes may do so at once."""
        with ExitStack() as stack:
            files: dict[str, IO[bytes]] = {
                name: stack.enter_context((self.folder / name).open("r+b", buffering=0))
                for name in self.arrays
            }
            yield RowWriter(files)

    def write_index(self, ids: Sequence[str], files: Sequence[str]) -> int:
        """Write the index of the rows that are done, whole.

        Args:
            ids: Id of each row (N,).
            files: File of each row (N,).

        Returns:
            Number of rows that are done.
        """
        records = np.load(self.folder / RECORDS, mmap_mode="r", allow_pickle=False)
        done = np.flatnonzero(records["done"]).tolist()

        def rows() -> Iterator[tuple[Any, ...]]:
            for row in done:
                noted = [records[row][name].item() for name in INDEX_COLUMNS[3:]]
                yield row, ids[row], files[row], *noted

        write_table(self.folder / INDEX, INDEX_COLUMNS, rows())
        return len(done)


class RowWriter:
    """Writes rows in their places.

    Args:
        files: Open files by name.
    """

    def __init__(self, files: dict[str, IO[bytes]]) -> None:
        """Find where the rows begin."""
        self._files = files
        self._starts = {name: _start(file) for name, file in files.items()}

    def write(self, row: int, image: Image, mask: Mask | None, record: npt.NDArray[Any]) -> None:
        """Write a row: its pixels, its mask, and then that it is done.

        Args:
            row: Number of the row.
            image: Image (H, W, 3), uint8 RGB.
            mask: Mask (H, W), bool, or None where the store has none.
            record: Record (1,) of the dtype `RECORD`.
        """
        self._put(IMAGES, row, image)
        if mask is not None:
            self._put(MASKS, row, mask)
        self.note(row, record)

    def note(self, row: int, record: npt.NDArray[Any]) -> None:
        """Write what is known of a row.

        Args:
            row: Number of the row.
            record: Record (1,) of the dtype `RECORD`.
        """
        self._put(RECORDS, row, record)

    def _put(self, name: str, row: int, values: npt.NDArray[Any]) -> None:
        # Written, not mapped: pages of a map count as memory of the process
        file = self._files[name]
        file.seek(self._starts[name] + row * values.nbytes)
        data = np.ascontiguousarray(values).view(np.uint8).reshape(-1).data
        while data:
            data = data[file.write(data) :]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole, whatever bytes the names of files in it are made of.

    Args:
        path: Target.
        header: Names of the columns.
        rows: Values of each row.
    """
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file,
    ):
        # Left to itself, the writer leaves a carriage return in a name without quotes
        table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        table.writerow(header)
        table.writerows(rows)


def _write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write the header of a file of NumPy."""
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _reserve(file: IO[bytes], size: int) -> None:
    """Make a file as long as it will be, of zeros that have their place on the disk."""
    file.truncate(size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


def _start(file: IO[bytes]) -> int:
    """Find the end of the header of a file of NumPy."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()

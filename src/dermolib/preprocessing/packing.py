"""The files of a store while it is made: rows of fixed size, each written in its place."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dermolib._types import Image, Mask
from dermolib.images import whole_file
from dermolib.store import IMAGES, INDEX, INDEX_COLUMNS, MASKS

__all__ = ["RECORD", "RECORDS", "Packing", "RowWriter"]

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
    def arrays(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """Dtype and shape of each file, by its name."""
        arrays: dict[str, tuple[Any, tuple[int, ...]]] = {
            IMAGES: (np.uint8, (self.count, *self.image_size, 3)),
            RECORDS: (RECORD, (self.count,)),
        }
        if self.masks:
            arrays[MASKS] = (np.bool_, (self.count, *self.image_size))
        return arrays

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
            OSError: The disk is too small.
        """
        for name, (dtype, shape) in self.arrays.items():
            path = self.folder / name
            path.unlink(missing_ok=True)
            try:
                np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
                if hasattr(os, "posix_fallocate"):
                    with path.open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError:
                path.unlink(missing_ok=True)
                raise

    @contextmanager
    def writer(self) -> Iterator["RowWriter"]:
        """Open the files for writing rows; any number of processes may do so at once."""
        with ExitStack() as stack:
            files: dict[str, IO[bytes]] = {
                name: stack.enter_context((self.folder / name).open("r+b", buffering=0))
                for name in self.arrays
            }
            yield RowWriter(files)

    def write_index(self, ids: Sequence[str], files: Sequence[str]) -> None:
        """Write the index of the rows that are done, whole.

        Args:
            ids: Id of each row (N,).
            files: File of each row (N,).
        """
        records = np.load(self.folder / RECORDS, mmap_mode="r", allow_pickle=False)
        with (
            whole_file(self.folder / INDEX) as temporary,
            temporary.open(
                "w", encoding="utf-8", newline="", errors="surrogateescape"
            ) as file,  # a file name may hold bytes that are no text
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(INDEX_COLUMNS)
            for row in np.flatnonzero(records["done"]).tolist():
                noted = records[row]
                values = [noted[name].item() for name in INDEX_COLUMNS[3:]]
                table.writerow([row, ids[row], files[row], *values])


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
        self._put(RECORDS, row, record)

    def _put(self, name: str, row: int, values: npt.NDArray[Any]) -> None:
        # Written, not mapped: pages of a map count as memory of the process
        file = self._files[name]
        file.seek(self._starts[name] + row * values.nbytes)
        data = np.ascontiguousarray(values).view(np.uint8).reshape(-1).data
        while data:
            data = data[file.write(data) :]


def _start(file: IO[bytes]) -> int:
    """Find the end of the header of a file of NumPy."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()

"""Every image of a table read once: whether it can be read, its size, and what tells it apart."""

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from tqdm import tqdm

from dermolib._jobs import init_worker, one_thread, run_tasks
from dermolib._validation import Image, check_number, expected
from dermolib.auditing.hashing import HASH_BYTES, perceptual_hash
from dermolib.datasets.store import load_image
from dermolib.io import MAX_PIXELS, decode_image, read_hdf5_bytes, split_path

__all__ = [
    "NOTES",
    "STATES",
    "Inspection",
    "inspect_images",
]

STATES: tuple[str, ...] = ("ok", "missing", "unreadable")
"""What can become of an image, in the order of the numbers in `Inspection.state`."""

NOTES: tuple[str, ...] = (
    "holds several pictures, of which the first is read",
    "is a link to a file outside of its folder",
    "has the ending of another format",
    "has an orientation tag, which is not applied",
)
"""What can be said of an image that is read all the same; bit 0 first in `Inspection.notes`."""

_MISSING, _UNREADABLE = 1, 2
_SEVERAL, _LINK, _ENDING, _TURNED = 1, 2, 4, 8
_DIGEST_BYTES = 16
_RECORD = np.dtype(
    [
        ("state", np.uint8),
        ("notes", np.uint8),
        ("height", np.int32),
        ("width", np.int32),
        ("mode", "S6"),
        ("format", "S5"),
        ("size", np.int64),
        ("digest", np.uint8, (_DIGEST_BYTES,)),
        ("hashed", np.bool_),
        ("hash", np.uint8, (HASH_BYTES,)),
    ]
)
_BLOCK = 32  # images for each task, so that handing them out costs nothing
_MOST_BYTES = 1 << 30  # of one file; no camera makes as many
_ORIENTATION = 0x0112  # number of the tag in EXIF
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")  # those that `decode_image` takes
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),  # JPEG with further pictures behind the first
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
}
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Inspection:
    """What was found of each image, in compact arrays: a hundred bytes for each.

    Attributes:
        records: Structured array (N,) with the fields of the properties.
        reasons: For each row that is not ok, what is wrong in words that files share, and the
            particulars of this one, by its number.
    """

    records: npt.NDArray[Any]
    reasons: dict[int, tuple[str, str]]

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """Place in `STATES` of each image (N,)."""
        return self._field("state")

    @property
    def notes(self) -> npt.NDArray[np.uint8]:
        """Bits of `NOTES` of each image (N,)."""
        return self._field("notes")

    @property
    def digest(self) -> npt.NDArray[np.uint8]:
        """BLAKE2b of the bytes of the file, or of the pixels of a row of a store (N, 16)."""
        return self._field("digest")

    @property
    def hashed(self) -> npt.NDArray[np.bool_]:
        """Whether the image has a perceptual hash (N,)."""
        return self._field("hashed")

    @property
    def hash(self) -> npt.NDArray[np.uint8]:
        """Perceptual hash of each image (N, HASH_BYTES), 0 where it has none."""
        return self._field("hash")

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Whether the image was read (N,)."""
        return np.asarray(self.state == 0)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return ``"height"`` and ``"width"`` in px, ``"size"`` in bytes, ``"mode"``, ``"format"``.

        Args:
            name: Which of them.

        Returns:
            Values (N,); 0 or empty where the header could not be read.
        """
        values = self._field(name)
        return values.astype(str) if values.dtype.kind == "S" else values

    def _field(self, name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = self.records[name]
        return values

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.records)


def inspect_images(
    paths: Iterable[str], *, hashes: bool = True, workers: int = 1, progress: bool = True
) -> Inspection:
    """Read each image once: its bytes, its header, and all its pixels.

    A file that cannot be read is a finding, never an error. An image of more than
    `dermolib.io.MAX_PIXELS` is refused by its header, before anything is decoded. The result
    is the same for any number of workers.

    Args:
        paths: Paths (N,) of image files or of images in an HDF5 file; empty for a missing file.
            Images are found in the order in which these come, whatever the index of a Series.
        hashes: Whether to compute perceptual hashes.
        workers: Number of parallel workers, 1 or more.
        progress: Whether to draw a progress bar on the standard error.

    Returns:
        What was found of each image.

    Raises:
        TypeError: `paths` is a single path.
        ValueError: `workers` is below 1.

    Examples:
        >>> found = inspect_images(["", "no_such_file.jpg"], progress=False)
        >>> [STATES[state] for state in found.state], found.reasons[1]
        (['missing', 'missing'], ('there is no such file', ''))
    """
    check_number(workers, "workers", low=1, integer=True)
    if isinstance(paths, (str, bytes, os.PathLike)):
        remedy = "Put it into a list."
        raise TypeError(expected("paths", "several paths", f"{paths!r} alone", remedy))
    paths = list(paths)
    records = np.zeros(len(paths), _RECORD)
    reasons: dict[int, tuple[str, str]] = {}
    todo = [row for row, path in enumerate(paths) if path]
    for row in sorted(set(range(len(paths))).difference(todo)):
        records[row]["state"] = _MISSING
        reasons[row] = ("no file was found", "")
    tasks = (
        ([str(paths[row]) for row in todo[start : start + _BLOCK]], hashes)
        for start in range(0, len(todo), _BLOCK)
    )
    with one_thread(), tqdm(total=len(todo), unit="image", disable=not progress) as bar:
        place = 0
        for block, words in run_tasks(_inspect_block, tasks, workers=workers):
            rows = todo[place : place + len(block)]
            records[rows] = block
            reasons |= {rows[number]: said for number, said in words.items()}
            place += len(block)
            bar.update(len(block))
    return Inspection(records, dict(sorted(reasons.items())))


def _inspect_block(
    paths: list[str], hashes: bool
) -> tuple[npt.NDArray[Any], dict[int, tuple[str, str]]]:
    init_worker()
    records = np.zeros(len(paths), _RECORD)
    reasons = {}
    with warnings.catch_warnings():
        # Pillow warns of tags that it does not understand, and of sizes that are checked here
        warnings.simplefilter("ignore")
        for number, path in enumerate(paths):
            try:
                _inspect(path, records[number : number + 1], hashes=hashes)
            except _UnfitError as error:
                records[number]["state"] = error.state
                reasons[number] = (error.reason, error.detail)
    return records, reasons


class _UnfitError(Exception):
    """An image that cannot be read, with the reason in words."""

    def __init__(self, reason: str, detail: object = "", *, state: int = _UNREADABLE) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.state = reason, _one_line(detail), state


def _one_line(detail: object) -> str:
    return " ".join(str(detail).split())[:200]


class _Header(NamedTuple):
    """What a file says of itself before anything is decoded."""

    width: int
    height: int
    mode: str
    format: str
    several: bool
    turned: bool


def _inspect(path: str, record: npt.NDArray[Any], *, hashes: bool) -> None:
    """Fill the record of one image, as far as it can be read."""
    data = _read(path)
    if data is None:
        image, digested = _stored(path), None
        record["size"], record["format"], record["mode"] = image.nbytes, b"store", b"RGB"
        record["height"], record["width"] = image.shape[:2]
    else:
        digested = data
        record["size"] = len(data)
        record["notes"] = _notes_of_path(path)
        image = _decoded(path, data, record)
    content: Any = np.ascontiguousarray(image).data if digested is None else digested
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
    record["digest"] = np.frombuffer(digest, np.uint8)
    if hashes:
        record["hash"] = perceptual_hash(image)
        record["hashed"] = True


def _read(path: str) -> bytes | None:
    """Read the bytes of an image; None for a row of a store, which has none of its own."""
    try:
        if split_path(path) is not None and not os.path.lexists(path):
            return read_hdf5_bytes(path)
        if "#" in path and not os.path.lexists(path):
            return None
        return _file_bytes(path)
    except FileNotFoundError:
        raise _UnfitError("there is no such file", state=_MISSING) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, no such id in HDF5
        words = getattr(error, "strerror", None) or error
        raise _UnfitError("the system could not read it", words) from None


def _file_bytes(path: str) -> bytes:
    state = os.stat(path)  # noqa: PTH116 - a Path for each of 400,000 costs seconds
    if not stat.S_ISREG(state.st_mode):
        raise _UnfitError("it is no file, but a folder or a device")
    if state.st_size > _MOST_BYTES:
        raise _UnfitError("it is too large", f"{state.st_size:,} bytes")
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return file.read(_MOST_BYTES)


def _stored(path: str) -> Image:
    try:
        return load_image(path)
    except FileNotFoundError:
        raise _UnfitError("there is no such file", state=_MISSING) from None
    except (OSError, ValueError) as error:
        raise _UnfitError("the store has no such image", error) from None


def _notes_of_path(path: str) -> int:
    if split_path(path) is not None or not os.path.islink(path):  # noqa: PTH114 - as above
        return 0
    folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - as above
    return 0 if os.path.realpath(path).startswith(os.path.join(folder, "")) else _LINK  # noqa: PTH118


def _decoded(path: str, data: bytes, record: npt.NDArray[Any]) -> Image:
    """Decode an image whose header allows it, and note what the header says."""
    if not data:
        raise _UnfitError("it is empty")
    header = _header(data)
    record["width"], record["height"] = header.width, header.height
    record["mode"], record["format"] = header.mode.encode(), header.format.encode()
    record["notes"] |= _notes_of_header(path, header)
    if header.width * header.height > MAX_PIXELS:
        size = f"{header.width:,} x {header.height:,} px, at most {MAX_PIXELS:,} in all are decoded"
        raise _UnfitError("it has too many pixels", size)
    if header.mode in ("I", "F"):
        raise _UnfitError("its values have 32 bits, whose range is unknown")
    try:
        return decode_image(data, path)
    except Exception as error:  # decoders fail in ways of their own on broken files
        reason = f"it is damaged or cut off ({header.format})"
        raise _UnfitError(reason, error.__cause__ or type(error).__name__) from None


def _header(data: bytes) -> _Header:
    try:
        with PillowImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            name = image.format or ""
            several = bool(getattr(image, "is_animated", False))
            turned = name == "JPEG" and image.getexif().get(_ORIENTATION, 1) != 1
            return _Header(*image.size, image.mode, name, several, turned)
    except PillowImage.DecompressionBombError as error:
        raise _UnfitError("it has too many pixels", error) from None
    except Exception as error:  # as for decoders
        raise _UnfitError(*_other_kind(data, error)) from None


def _other_kind(data: bytes, error: Exception) -> tuple[str, str]:
    """Say what a file is that is no image."""
    begin = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith(_PAGE):
        return "it is a web page, such as an error message, and no image", ""
    if begin.startswith(_POINTER):
        return "it is a pointer of Git LFS and no image", ""
    known = not isinstance(error, UnidentifiedImageError)
    return "it is no image of a known format", type(error).__name__ if known else ""


def _notes_of_header(path: str, header: _Header) -> int:
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122 - as above
    named = split_path(path) is None and ending not in _ENDINGS.get(header.format, (ending,))
    several = header.several and header.format != "MPO"
    return several * _SEVERAL | named * _ENDING | header.turned * _TURNED


def note_words(notes: int) -> Iterator[str]:
    """Give the words of `NOTES` whose bits are set."""
    return (words for bit, words in enumerate(NOTES) if notes >> bit & 1)

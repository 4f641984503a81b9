"""Image files read once: whether they can be read, their size and format, digest and hash."""

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from tqdm import tqdm

from dermolib._jobs import is_silent, one_thread, run_tasks
from dermolib._validation import Image, Indices, check_number, require
from dermolib.auditing.hashing import HASH_BYTES, perceptual_hash
from dermolib.auditing.quality import LIMIT, QUALITY_FLAGS, scores_of
from dermolib.auditing.rows import Splits
from dermolib.datasets.store import load_image, load_mask
from dermolib.io import (
    MAX_PIXELS,
    decode_image,
    read_bytes,
    read_hdf5_bytes,
    read_orientation,
    split_path,
)

__all__ = [
    "BLANK", "MASK_STATES", "NOTES", "STATES", "Inspection", "file_problems", "file_table",
    "inspect_images", "note_table", "quality_table", "size_counts",
]  # fmt: skip

MASK_STATES: tuple[str, ...] = (
    "", "ok", "empty mask", "full mask", "missing mask", "unreadable mask",
)  # fmt: skip
"""States of a lesion mask, the first where there is none or where its image is not ok;
`Inspection.mask` holds indices into them."""

STATES: tuple[str, ...] = ("ok", "missing", "unreadable")
"""States of an image file; `Inspection.state` holds indices into them."""

NOTES: tuple[str, ...] = (
    "contains several frames, of which the first is read",
    "is a link to a file outside its folder",
    "has the file extension of another format",
    "has an orientation tag, which is not applied",
    "has a mask with another orientation tag",
)
"""Remarks on files that are read nevertheless."""

BLANK = "blank image"
"""Kind of problem of an image that is read and shows nothing."""

_NO_MASK, _MASK_OK, _EMPTY, _FULL, _MASK_MISSING, _MASK_UNREADABLE = range(6)
_MASK_REASONS = {_EMPTY: "no pixel is lesion", _FULL: "every pixel is lesion"}
_OK, _MISSING, _UNREADABLE = range(3)
_FRAMES, _LINK, _EXTENSION, _ORIENTED, _OTHERWISE = NOTES
_RECORD = np.dtype([
    ("state", "u1"), ("height", "i4"), ("width", "i4"), ("mode", "U6"), ("format", "U5"),
    ("size", "i8"), ("digest", "u1", 16), ("hash", "u1", HASH_BYTES),
    ("quality", "f4", len(QUALITY_FLAGS)), ("mask", "u1"),
])  # fmt: skip
_BLOCK = 32  # images of one task, so that handing out tasks costs nothing
_MAX_BYTES = 1 << 30  # of one file; no camera makes as many
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")  # those that `decode_image` takes
_WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_LFS_POINTER = b"version https://git-lfs"

_Remarks: TypeAlias = dict[int, Any]


@dataclass(frozen=True)
class Inspection:
    """What was found of each of N image files, in compact arrays: about a hundred bytes each.

    Attributes:
        state: Index into `STATES` (N,).
        height: Height in px (N,), 0 where the header cannot be read.
        width: Width in px, likewise.
        mode: Mode as Pillow names it, such as ``"RGB"``, else empty.
        format: Format as Pillow names it, such as ``"JPEG"``, or ``"store"``, else empty.
        size: Size in bytes (N,).
        digest: BLAKE2b of the file, or of the pixels of an image in a store (N, 16).
        hash: Perceptual hash (N, HASH_BYTES), 0 where there is none.
        quality: Scores of `QUALITY_FLAGS` (N, 5), see `image_quality`; 0 where an image is not ok.
        mask: Index into `MASK_STATES` (N,).
        reasons: Why an image is not ok, by its number: a reason that files share, and details.
        notes: Remarks of `NOTES` on images that are ok, by their number.
        mask_reasons: Why a mask is not ok, by the number of its image, likewise.
    """

    state: npt.NDArray[np.uint8]
    height: npt.NDArray[np.int32]
    width: npt.NDArray[np.int32]
    mode: npt.NDArray[Any]
    format: npt.NDArray[Any]
    size: npt.NDArray[np.int64]
    digest: npt.NDArray[np.uint8]
    hash: npt.NDArray[np.uint8]
    quality: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    reasons: dict[int, tuple[str, str]]
    notes: dict[int, list[str]]
    mask_reasons: dict[int, tuple[str, str]]

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Whether the image can be read (N,)."""
        return np.asarray(self.state == 0)

    @property
    def blank(self) -> npt.NDArray[np.bool_]:
        """Whether an image that is ok shows nothing (N,), see `image_quality`."""
        return self.quality[:, 0] > LIMIT


def inspect_images(
    paths: Iterable[str],
    *,
    masks: Iterable[str] = (),
    hashes: bool = True,
    workers: int = 1,
    progress: bool = True,
) -> Inspection:
    """Read each image once: its bytes, its header, and all its pixels; and its lesion mask.

    A file that cannot be read is a finding, never an error. An image of more than
    `dermolib.io.MAX_PIXELS` is refused by its header. The number of workers changes nothing.

    Args:
        paths: Paths (N,) as in the column ``image_path`` of a dataset, empty for a missing file.
            They are taken in their order, whatever the index of a Series.
        masks: Paths of their lesion masks (N,) as in the column ``mask_path``, empty where there is
            none, or no paths at all.
        hashes: Whether to compute perceptual hashes.
        workers: Number of parallel workers, 1 or more.
        progress: Whether to show a progress bar on the standard error.

    Returns:
        What was found of each image.

    Raises:
        TypeError: `paths` is a single path.
        ValueError: `workers` is below 1, or `masks` and `paths` differ in number.

    Examples:
        >>> found = inspect_images(["", "no_such_file.jpg"], progress=False)
        >>> [STATES[state] for state in found.state], found.reasons[1]
        (['missing', 'missing'], ('file not found', ''))
    """
    check_number(workers, "workers", low=1, integer=True)
    single = isinstance(paths, (str, bytes, os.PathLike))
    hint = "Put it into a list."
    require(not single, "paths", "several paths", f"{paths!r} alone", hint, error=TypeError)
    paths = list(paths)
    masks = list(masks) or [""] * len(paths)
    what = f"one mask for each of {len(paths)} images"
    require(len(masks) == len(paths), "masks", what, f"{len(masks)}")
    records = np.zeros(len(paths), _RECORD)
    records["state"] = _MISSING
    todo = [row for row, path in enumerate(paths) if path]
    reasons: _Remarks = {row: ("no file found", "") for row, path in enumerate(paths) if not path}
    notes: _Remarks = {}
    mask_reasons: _Remarks = {}
    blocks = [todo[start : start + _BLOCK] for start in range(0, len(todo), _BLOCK)]
    tasks = (([(str(paths[row]), str(masks[row])) for row in rows], hashes) for rows in blocks)
    with one_thread(), tqdm(total=len(todo), unit="image", disable=is_silent(progress)) as bar:
        done = run_tasks(_inspect_block, tasks, workers=workers)
        for rows, (records[rows], failed, noted, faulty) in zip(blocks, done, strict=True):
            mask_reasons |= {rows[number]: reason for number, reason in faulty.items()}
            reasons |= {rows[number]: reason for number, reason in failed.items()}
            notes |= {rows[number]: remarks for number, remarks in noted.items()}
            bar.update(len(rows))
    columns = {name: records[name] for name in records.dtype.names or ()}
    reasons = dict(sorted(reasons.items()))
    return Inspection(**columns, reasons=reasons, notes=notes, mask_reasons=mask_reasons)


class _UnreadableError(Exception):
    """An image that cannot be read, with a reason and details."""


def _inspect_block(
    paths: list[tuple[str, str]], hashes: bool
) -> tuple[npt.NDArray[Any], _Remarks, _Remarks, _Remarks]:
    records = np.zeros(len(paths), _RECORD)
    reasons: _Remarks = {}
    notes: _Remarks = {}
    mask_reasons: _Remarks = {}
    for number, (path, mask_path) in enumerate(paths):
        record, remarks = records[number : number + 1], list[str]()
        try:
            # Pillow warns of tags that it does not understand, and of sizes that are checked here
            with warnings.catch_warnings(action="ignore"):
                image = _inspect(path, mask_path, record, remarks)
        except FileNotFoundError:
            record["state"], failure = _MISSING, ("file not found", "")
        except _UnreadableError as error:
            record["state"], failure = _UNREADABLE, error.args
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path, no such id or row
            detail = str(getattr(error, "strerror", None) or error)
            record["state"], failure = _UNREADABLE, ("cannot be opened", detail)
        if record["state"] != _OK:
            reasons[number] = failure[0], " ".join(failure[1].split())[:200]
            continue
        notes |= {number: remarks} if remarks else {}
        record["quality"] = scores_of(image)
        record["hash"] = perceptual_hash(image) if hashes else 0
        record["mask"], *reason = _inspect_mask(mask_path, image.shape[:2])
        mask_reasons |= {number: tuple(reason)} if any(reason) else {}
    return records, reasons, notes, mask_reasons


def _inspect_mask(path: str, shape: tuple[int, int]) -> tuple[int, str, str]:
    """Give the state of a mask, and the reason and details where it is not ok."""
    if not path:
        return _NO_MASK, "", ""
    try:
        with warnings.catch_warnings(action="ignore"):
            mask = load_mask(path, shape=shape)
    except FileNotFoundError:
        return _MASK_MISSING, "file not found", path
    except (OSError, ValueError) as error:  # ValueError: no mask, of another size, damaged
        return _MASK_UNREADABLE, "cannot be read as the mask of its image", str(error)
    if mask.all() or not mask.any():
        state = _FULL if mask.all() else _EMPTY
        return state, _MASK_REASONS[state], ""
    return _MASK_OK, "", ""


def _inspect(path: str, mask: str, record: npt.NDArray[Any], notes: list[str]) -> Image:
    """Fill the record of one image, as far as it can be read."""
    content: Any = _read(path)
    if content is None:
        image = load_image(path)
        record["size"], record["format"], record["mode"] = image.nbytes, "store", "RGB"
        record["height"], record["width"] = image.shape[:2]
        content = np.ascontiguousarray(image).data
    else:
        record["size"] = len(content)
        image = _decode(path, content, record, notes)
        record["height"], record["width"] = image.shape[:2]  # as stored, which a header may turn
        notes += _orientation_notes(content, mask)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    record["digest"] = np.frombuffer(digest, np.uint8)
    return image


def _read(path: str) -> bytes | None:
    """Read the bytes of an image; None for an image in a store, which has none of its own."""
    if "#" in path and not os.path.lexists(path):
        return None if split_path(path) is None else read_hdf5_bytes(path)
    state = os.stat(path)  # noqa: PTH116 - a Path for each of 400,000 costs seconds
    if not stat.S_ISREG(state.st_mode):
        raise _UnreadableError("a folder or a device, not a file", "")
    if state.st_size > _MAX_BYTES:
        raise _UnreadableError("too large", f"{state.st_size:,} bytes")
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return file.read(_MAX_BYTES)


def _decode(path: str, data: bytes, record: npt.NDArray[Any], notes: list[str]) -> Image:
    """Decode an image whose header allows it, and note what the header says."""
    if not data:
        raise _UnreadableError("empty file", "")
    try:
        with PillowImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            form, mode, (width, height) = image.format or "", image.mode, image.size
            record["width"], record["height"] = width, height
            record["mode"], record["format"] = mode, form
            notes += _notes(path, image)
    except PillowImage.DecompressionBombError as error:
        raise _UnreadableError("too many pixels", str(error)) from None
    except Exception as error:  # decoders fail in ways of their own on broken files
        raise _UnreadableError(*_other_kind(data, error)) from None
    if width * height > MAX_PIXELS:
        detail = f"{width:,} x {height:,} px, the limit is {MAX_PIXELS:,} px in all"
        raise _UnreadableError("too many pixels", detail)
    if mode in ("I", "F"):
        raise _UnreadableError("32-bit values of unknown range", "")
    try:
        return decode_image(data, path)
    except Exception as error:  # as above
        detail = str(error.__cause__ or type(error).__name__)
        raise _UnreadableError(f"damaged or truncated ({form})", detail) from None


def _notes(path: str, image: PillowImage.Image) -> Iterator[str]:
    form = {"MPO": "JPEG"}.get(image.format or "", image.format)  # JPEG with images behind it
    if image.format != "MPO" and getattr(image, "is_animated", False):
        yield _FRAMES
    if split_path(path) is None:
        if os.path.islink(path):  # noqa: PTH114 - as above
            folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - as above
            if not os.path.realpath(path).startswith(os.path.join(folder, "")):  # noqa: PTH118
                yield _LINK
        extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - as above
        if PillowImage.registered_extensions().get(extension) != form:
            yield _EXTENSION


def _orientation_notes(data: bytes, mask: str) -> Iterator[str]:
    orientation = read_orientation(data)
    if orientation != 1:
        yield _ORIENTED
    try:
        other = read_orientation(read_bytes(mask)) if mask else orientation
    except (OSError, ValueError):  # it is not there, or in a store
        return
    if other != orientation:
        yield _OTHERWISE


def _other_kind(data: bytes, error: Exception) -> tuple[str, str]:
    """Say what a file is that is not an image."""
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_WEB_PAGE):
        return "a web page, such as an error message, not an image", ""
    if start.startswith(_LFS_POINTER):
        return "a Git LFS pointer, not an image", ""
    known = not isinstance(error, UnidentifiedImageError)
    return "not an image of a known format", type(error).__name__ if known else ""


def file_problems(splits: Splits, rows: Indices, found: Inspection) -> Iterator[tuple[str, ...]]:
    """Yield split, id, image path, kind, reason and detail of each image or mask that is not ok."""
    for number, (reason, detail) in found.reasons.items():
        yield (*splits.where(rows[number]), STATES[found.state[number]], reason, detail)
    for number in np.flatnonzero(found.blank).tolist():
        yield (*splits.where(rows[number]), BLANK, "almost all of one color, black or white", "")
    for number, (reason, detail) in found.mask_reasons.items():
        yield (*splits.where(rows[number]), MASK_STATES[found.mask[number]], reason, detail)


def note_table(splits: Splits, rows: Indices, found: Inspection) -> pd.DataFrame:
    """List the remarks on files that are read nevertheless."""
    noted = [
        (*splits.where(rows[number]), note)
        for number, notes in found.notes.items()
        for note in notes
    ]
    return pd.DataFrame(noted, columns=pd.Index(["split", "id", "image_path", "note"]))


def file_table(splits: Splits, rows: Indices, found: Inspection) -> pd.DataFrame:
    """Describe each file by its state, size and format."""
    split = np.array(splits.names, dtype=object)[splits["split"][rows]]
    state = np.array(STATES, dtype=object)[found.state]
    table = pd.DataFrame({"split": pd.Categorical(split, pd.Index(splits.names))})
    for name in ("id", "image_path"):
        table[name] = splits[name][rows]
    table["state"] = pd.Categorical(state, pd.Index(STATES))
    for name in ("height", "width", "size", "mode", "format"):
        table[name] = getattr(found, name)
    return table.astype({"mode": "category", "format": "category"})


def quality_table(splits: Splits, rows: Indices, found: Inspection) -> pd.DataFrame:
    """Give the scores and the flags of each image that is ok."""
    ok = found.ok
    table = pd.DataFrame({name: splits[name][rows[ok]] for name in ("split", "id", "image_path")})
    names = np.array(splits.names, dtype=object)[table["split"].to_numpy(int)]
    table["split"] = pd.Categorical(names, pd.Index(splits.names))
    scores = found.quality[ok]
    table[list(QUALITY_FLAGS)] = scores
    kinds = {key: _flags(key) for key in range(1 << len(QUALITY_FLAGS))}
    keys = (scores > LIMIT) @ (1 << np.arange(len(QUALITY_FLAGS)))
    table["flags"] = pd.Series([kinds[key] for key in keys.tolist()], dtype=object)
    return table


def _flags(key: int) -> tuple[str, ...]:
    """Name the flags whose bits are set; images of the same flags refer to one tuple."""
    return tuple(flag for bit, flag in enumerate(QUALITY_FLAGS) if key >> bit & 1)


def size_counts(files: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each size, mode and format in each split, the most frequent first."""
    keys = ["split", "height", "width", "mode", "format"]
    counts = files[files["state"] == "ok"].groupby(keys, observed=True).size()
    table = counts.rename("images").reset_index()
    table = table.astype({"split": object, "mode": object, "format": object})
    order = ["split", "images", *keys[1:]]
    return table.sort_values(
        order, ascending=[name != "images" for name in order], ignore_index=True
    )

"""A zip file from elsewhere to a folder: complete and inside that folder, or not at all."""

import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dermolib._validation import expected, require
from dermolib.io import check_names

__all__ = ["Content", "check_zip", "unpacked"]

_BLOCK = 1 << 20
_ALWAYS = 100_000_000  # bytes that any archive may unpack to
_RATIO = 100  # beyond that, bytes for each one of the archive; tables shrink to a tenth
_LOCAL_HEADER = 30  # bytes before the name of each entry
_LONGEST_NAME = 255  # bytes, the bound of common file systems
_DEEPEST = 32  # nested folders
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_KINDS = {0, stat.S_IFREG, stat.S_IFDIR}
_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError, zlib.error)


class Content(NamedTuple):
    """Number of files in an archive, and their size together in bytes."""

    files: int
    bytes: int


@contextmanager
def unpacked(
    archive: Path, folder: Path, *, check_cancelled: Callable[[], object] = lambda: None
) -> Iterator[Content]:
    """Unpack a zip file beside `folder`, which appears complete when the block ends well.

    A folder inside that has the name of `folder` and holds all the rest is left out, and so is
    ``__MACOSX``. Nothing is written before all names, kinds and sizes have been checked, and what
    an earlier run left unfinished is deleted. `check_cancelled` is called after each block; what it
    raises ends the work, and nothing is left of it.

    Raises:
        ValueError: The archive is damaged, or holds what may not be unpacked: a name that leads out
            of the folder or that two files share, a link or a device, a file with a password, or
            far more bytes than an archive of its size has.
    """
    temporary = folder.with_name(f".{folder.name}-unpacking")
    _remove(temporary)
    try:
        yield _extract(archive, folder.name, temporary, check_cancelled)
        temporary.rename(folder)
    finally:
        _remove(temporary)


def check_zip(archive: Path, *, check_cancelled: Callable[[], object] = lambda: None) -> Content:
    """Check all that `unpacked` checks, and write nothing."""
    return _extract(archive, archive.stem, None, check_cancelled)


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _extract(
    archive: Path, top: str, target: Path | None, check_cancelled: Callable[[], object]
) -> Content:
    """Read all files, and write them to the new folder `target` unless it is None."""
    try:
        with _opened(archive) as file:
            plan = _plan(archive, file, top)
            if target is not None:
                target.mkdir()
            for name, info in plan.items():
                path = Path(os.devnull) if target is None else target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb" if target is None else "xb") as output:
                    for block in _blocks(archive, file, info):
                        output.write(block)
                        check_cancelled()
    except _BROKEN as error:
        raise _damaged(archive, error) from error
    return Content(len(plan), sum(info.file_size for info in plan.values()))


def _opened(archive: Path) -> ZipFile:
    try:
        return ZipFile(archive)
    except ValueError as error:
        raise _damaged(archive, error) from error


def _blocks(archive: Path, file: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """Read a file block by block; its size must be what the archive claims, and so its CRC."""
    count = 0
    with file.open(info) as source:
        while block := source.read(_BLOCK):
            count += len(block)
            yield block
    # Python returns no more than the archive claims, and accepts less
    if count != info.file_size:
        words = f"{info.filename!r} has {count:,} bytes instead of {info.file_size:,}"
        raise _damaged(archive, words)


def _damaged(archive: Path, error: object) -> ValueError:
    words = str(error).rstrip(".") or type(error).__name__
    return ValueError(expected(archive.name, "a whole zip file", f"one that is damaged ({words})"))


def _plan(archive: Path, file: ZipFile, top: str) -> dict[str, ZipInfo]:
    """Decide where each file goes, relative to the folder, or refuse the archive."""
    _check_sizes(archive, file)
    # What Python shows as the name ends before the first NUL
    named = [(info, info.orig_filename.replace("\\", "/")) for info in file.infolist()]
    named = [(info, name) for info, name in named if not name.startswith("__MACOSX/")]
    files = [name for _, name in named if not name.endswith("/")]
    check_names(zip(files, files, strict=True), archive.name, "Get another archive.")
    for info, name in named:
        _check_length(archive, name)
        _check_kind(archive, info)
    plan = {name: info for info, name in named if not name.endswith("/")}
    require(plan, archive.name, "an archive with files", "one without")
    nested = all(name.startswith(f"{top}/") for name in plan)
    return {name.removeprefix(f"{top}/") if nested else name: info for name, info in plan.items()}


def _check_length(archive: Path, name: str) -> None:
    parts = name.removesuffix("/").split("/")
    what = f"an archive of names of up to {_LONGEST_NAME} bytes in up to {_DEEPEST} folders"
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    fits = len(parts) <= _DEEPEST and longest <= _LONGEST_NAME
    require(fits, archive.name, what, repr(f"{name[:40]}…"))


def _check_kind(archive: Path, info: ZipInfo) -> None:
    kind, stored = stat.S_IFMT(info.external_attr >> 16), (ZIP_STORED, ZIP_DEFLATED)
    for allowed, what in [
        (kind in _KINDS, "of files and folders, without links and devices"),
        (not info.flag_bits & _ENCRYPTED, "without passwords"),
        (info.compress_type in stored, "of files that are stored or deflated"),
    ]:
        require(allowed, archive.name, f"an archive {what}", repr(info.filename))


def _check_sizes(archive: Path, file: ZipFile) -> None:
    """Refuse what unpacks to far too much, at once or by entries that share their bytes."""
    size = archive.stat().st_size
    most, total = max(_ALWAYS, _RATIO * size), sum(info.file_size for info in file.infolist())
    what = f"an archive that unpacks to at most {most:,} bytes, as one of {size:,} may"
    require(total <= most, archive.name, what, f"one that claims {total:,}")
    end = 0
    what = "an archive whose files do not share bytes"
    for info in sorted(file.infolist(), key=lambda info: info.header_offset):
        require(info.header_offset >= end, archive.name, what, repr(info.filename))
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    if end > size:
        raise _damaged(archive, "its files reach beyond its end")

"""A zip file from elsewhere to a folder: complete and inside that folder, or not at all."""

import os
import re
import shutil
import stat
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dermolib._validation import expected, require

__all__ = ["Content", "check_zip", "unpacked"]

# Windows drops what ends in a space or a dot; what leads out of a folder ends in a dot as well
PLAIN = re.compile(r"[^\x00-\x1f\x7f/\\:]*[^\x00-\x1f\x7f/\\: .]")
"""Names of files and folders that mean the same on all systems."""

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


def fold_case(name: object) -> str:
    """Spell a name as file systems do that ignore case and the composition of letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold())


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
    entries: dict[str, tuple[PurePosixPath, ZipInfo]] = {}
    unique = "an archive without two files of one name"
    for info in file.infolist():
        path = _safe_path(archive, info)
        if path.parts[0] == "__MACOSX":
            continue
        _check_kind(archive, info)
        if not info.is_dir():
            first = entries.setdefault(fold_case(path), (path, info))[1]
            require(first is info, archive.name, unique, repr(str(path)))
    paths = [path for path, _ in entries.values()]
    for path in paths:
        clash = any(fold_case(parent) in entries for parent in path.parents)
        require(not clash, archive.name, unique, repr(str(path)))
    require(paths, archive.name, "an archive with files", "one without")
    nested = all(len(path.parts) > 1 and path.parts[0] == top for path in paths)
    return {str(path.relative_to(top) if nested else path): info for path, info in entries.values()}


def _safe_path(archive: Path, info: ZipInfo) -> PurePosixPath:
    # What Python shows as the name ends before the first NUL
    name = info.orig_filename.replace("\\", "/")
    parts = name.removesuffix("/").split("/")
    what = "an archive of plain names that stay inside its folder"
    plain = all(map(PLAIN.fullmatch, parts))
    require(plain, archive.name, what, repr(info.orig_filename))
    what = f"an archive of names of up to {_LONGEST_NAME} bytes in up to {_DEEPEST} folders"
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    fits = len(parts) <= _DEEPEST and longest <= _LONGEST_NAME
    require(fits, archive.name, what, repr(f"{name[:40]}…"))
    return PurePosixPath(*parts)


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

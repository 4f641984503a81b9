"""A zip file from elsewhere to a folder: complete and inside that folder, or not at all."""

import glob
import os
import re
import secrets
import stat
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeAlias
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dermolib._validation import expected, require
from dermolib.io import check_names, checksum, is_hidden, open_file

__all__ = ["Contents", "check_zip", "find_changed", "unpacked"]

_BLOCK = 1 << 20
_ALWAYS = 100_000_000  # bytes that any archive may unpack to
_RATIO = 100  # beyond that, bytes for each one of the archive; tables shrink to a tenth
_LOCAL_HEADER = 30  # bytes before the name of each entry
_DEEPEST = 32  # nested folders
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UNFINISHED = re.compile(r"-[0-9a-f]{12}")  # end of the name of a folder while it is unpacked
_KINDS = {0, stat.S_IFREG, stat.S_IFDIR}
_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError, zlib.error)


Contents: TypeAlias = dict[str, list[int]]
"""Size, CRC-32 and time of change (ns) of each file of an archive, by its name in the folder."""


@contextmanager
def unpacked(
    archive: Path, folder: Path, *, check_cancelled: Callable[[], object] = lambda: None
) -> Iterator[Contents]:
    """Unpack a zip file beside `folder`, which appears complete when the block ends well.

    A folder inside that has the name of `folder` and holds all the rest is left out, and so are
    hidden files and folders (`dermolib.io.is_hidden`). Nothing is written before all names, kinds
    and sizes have been checked, and what an earlier run left unfinished is deleted, but no file
    that the archive does not have. `check_cancelled` is called after each block; what it raises
    ends the work, and nothing is left of it.

    Raises:
        ValueError: The archive is damaged, or holds what may not be unpacked: a name that leads out
            of the folder or that two files share, a link or a device, a file with a password, or
            far more bytes than an archive of its size has.
    """
    temporary = folder.with_name(f".{folder.name}-{secrets.token_hex(6)}")
    names: set[str] = set()
    try:
        with _planned(archive, folder.name) as (file, plan):
            names.update(plan)
            for left in folder.parent.glob(f".{glob.escape(folder.name)}-*"):
                if _UNFINISHED.fullmatch(left.name.removeprefix(f".{folder.name}")):
                    _remove(left, names)
            contents = _extract(archive, file, plan, temporary, check_cancelled)
        yield contents
        temporary.rename(folder)
    finally:
        _remove(temporary, names)


def check_zip(archive: Path, *, check_cancelled: Callable[[], object] = lambda: None) -> Contents:
    """Check all that `unpacked` checks, and write nothing."""
    with _planned(archive, archive.stem) as (file, plan):
        return _extract(archive, file, plan, None, check_cancelled)


def find_changed(
    folder: Path, contents: Contents, *, always: bool, check_cancelled: Callable[[], object]
) -> list[str]:
    """List the files of an unpacked folder that are missing or are others.

    Files are read where their size or time is another, and `always` all; the times in `contents`
    become those of the files.
    """
    changed = []
    for name, known in contents.items():
        try:
            with open_file(folder / name) as file:
                state = os.fstat(file.fileno())
                found = [state.st_size, known[1], state.st_mtime_ns]
                if always or found != known:
                    found[1] = checksum(file, after_block=check_cancelled)
        except (FileNotFoundError, ValueError):
            found = []
        if found[:2] != known[:2]:
            changed.append(name)
        else:
            known[2] = found[2]
    return changed


def _remove(folder: Path, names: Container[str]) -> None:
    """Delete files of these names, and then empty folders; links are not followed."""
    for place, _, files in () if folder.is_symlink() else os.walk(folder, topdown=False):
        for path in (Path(place, file) for file in files):
            if path.relative_to(folder).as_posix() in names:
                path.unlink()
        with suppress(OSError):  # where files of others are in it
            Path(place).rmdir()


@contextmanager
def _planned(archive: Path, top: str) -> Iterator[tuple[ZipFile, dict[str, ZipInfo]]]:
    """Open an archive with a plan of its files; whatever is damaged in it is one error."""
    try:
        with open_file(archive) as stream, _opened(archive, stream) as file:
            yield file, _plan(archive, file, top)
    except _BROKEN as error:
        raise _damaged(archive, error) from error


def _opened(archive: Path, stream: IO[bytes]) -> ZipFile:
    try:
        return ZipFile(stream)
    except ValueError as error:
        raise _damaged(archive, error) from error


def _extract(
    archive: Path,
    file: ZipFile,
    plan: dict[str, ZipInfo],
    target: Path | None,
    check_cancelled: Callable[[], object],
) -> Contents:
    """Read all files, and write them to the new folder `target` unless it is None."""
    if target is not None:
        target.mkdir()
    contents = {}
    for name, info in plan.items():
        path = Path(os.devnull) if target is None else target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if target is None else "xb") as output:
            for block in _blocks(archive, file, info):
                output.write(block)
                check_cancelled()
        contents[name] = [info.file_size, info.CRC, path.stat().st_mtime_ns]
    return contents


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
    named = [(info, name) for info, name in named if not _is_hidden(name)]
    files = [name for _, name in named if not name.endswith("/")]
    check_names(zip(files, files, strict=True), archive.name, "Get another archive.")
    for info, name in named:
        depth, what = name.count("/"), f"an archive of up to {_DEEPEST} nested folders"
        require(depth <= _DEEPEST, archive.name, what, f"one of {depth}")
        _check_kind(archive, info)
    plan = {name: info for info, name in named if not name.endswith("/")}
    require(plan, archive.name, "an archive with files", "one without")
    nested = all(name.startswith(f"{top}/") for name in plan)
    return {name.removeprefix(f"{top}/") if nested else name: info for name, info in plan.items()}


def _is_hidden(name: str) -> bool:
    """Tell whether an entry is hidden; one that leads out of the folder is not, but refused."""
    return any(is_hidden(part) for part in name.split("/") if part.strip(". "))


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

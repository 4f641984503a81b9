"""A zip file from elsewhere to a folder: whole and inside that folder, or not at all."""

import re
import shutil
import stat
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dermolib._validation import expected

__all__ = ["Content", "check_zip", "unpacked"]

_BLOCK = 1 << 20
_ALWAYS = 100_000_000  # bytes that any archive may unpack to
_RATIO = 100  # beyond that, bytes for each one of the archive; tables shrink to a tenth
_LOCAL_HEADER = 30  # bytes before the name of each entry
_LONGEST_NAME = 255  # bytes, the bound of common file systems
_DEEPEST = 32  # folders in each other
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_KINDS = {0, stat.S_IFREG, stat.S_IFDIR}
_BROKEN = (BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError, zlib.error)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Content:
    """What an archive holds.

    Attributes:
        files: Number of files.
        bytes: Their size together.
    """

    files: int
    bytes: int


@contextmanager
def unpacked(
    archive: Path, folder: Path, *, go_on: Callable[[], object] | None = None
) -> Iterator[Content]:
    """Unpack a zip file beside `folder`, which appears whole when the block ends well.

    A folder inside that has the name of `folder` and holds all the rest is left out, and so is
    ``__MACOSX``. Nothing is written before all names, kinds and sizes have been looked at, and
    what an earlier run left unfinished is thrown away.

    Args:
        archive: Zip file.
        folder: Target, which is missing or empty.
        go_on: Called after each block; what it raises ends the work, and nothing is left of it.

    Yields:
        Number and size of the files.

    Raises:
        OSError: The files cannot be written.
        ValueError: The archive is damaged, or holds what may not be unpacked: a name that leads out
            of the folder or that two files share, a link or a device, a file with a password, or
            far more bytes than an archive of its size has.
    """
    temporary = folder.with_name(f".{folder.name}-unpacking")
    _remove(temporary)
    try:
        with _opened(archive) as file:
            plan = _planned(archive, file, folder.name)
            temporary.mkdir()
            for name, info in plan.items():
                _write(archive, file, info, temporary / name, go_on)
        yield _content(plan)
        temporary.rename(folder)
    finally:
        _remove(temporary)


def check_zip(archive: Path, *, go_on: Callable[[], object] | None = None) -> Content:
    """Check all that `unpacked` checks, and write nothing.

    Args:
        archive: Zip file.
        go_on: Called after each block; what it raises ends the work.

    Returns:
        Number and size of the files.

    Raises:
        ValueError: The archive is damaged or holds what may not be unpacked.
    """
    with _opened(archive) as file:
        plan = _planned(archive, file, archive.stem)
        for info in plan.values():
            for _ in _blocks(archive, file, info, go_on):
                pass
    return _content(plan)


def _content(plan: dict[str, ZipInfo]) -> Content:
    return Content(len(plan), sum(info.file_size for info in plan.values()))


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


@contextmanager
def _opened(archive: Path) -> Iterator[ZipFile]:
    try:
        file = ZipFile(archive)
    except (*_BROKEN, ValueError) as error:
        raise ValueError(_damaged(archive, error)) from error
    with file:
        yield file


def _damaged(archive: Path, error: object) -> str:
    words = str(error).rstrip(".") or type(error).__name__
    return expected(archive.name, "a whole zip file", f"one that is damaged ({words})")


def _planned(archive: Path, file: ZipFile, top: str) -> dict[str, ZipInfo]:
    """Say where each file goes, relative to the folder, or refuse the archive."""
    _check_sizes(archive, file)
    files: dict[str, tuple[PurePosixPath, ZipInfo]] = {}
    for info in file.infolist():
        path = _safe_path(archive, info)
        if path.parts[0] == "__MACOSX":
            continue
        _check_kind(archive, info)
        if not info.is_dir() and files.setdefault(_folded(path), (path, info))[1] is not info:
            raise _refusal(archive, "without two files of one name", str(path))
    for path, _ in files.values():
        if any(_folded(parent) in files for parent in path.parents):
            raise _refusal(archive, "without two files of one name", str(path))
    if not files:
        raise ValueError(expected(archive.name, "an archive with files", "one without"))
    paths = [path for path, _ in files.values()]
    nested = all(len(path.parts) > 1 and path.parts[0] == top for path in paths)
    return {str(path.relative_to(top) if nested else path): info for path, info in files.values()}


def _refusal(archive: Path, what: str, name: str) -> ValueError:
    return ValueError(expected(archive.name, f"an archive {what}", repr(name)))


def _folded(path: PurePosixPath) -> str:
    """Spell a path as file systems do that tell neither case nor composed letters apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _safe_path(archive: Path, info: ZipInfo) -> PurePosixPath:
    # What Python shows as the name ends before the first NUL
    name = info.orig_filename.replace("\\", "/")
    parts = name.removesuffix("/").split("/")
    # Windows drops what ends in a space or a point; the points that lead out end in one as well
    odd = any(not part or part.endswith((" ", ".")) for part in parts)
    if odd or ":" in name or _CONTROL.search(name):
        what = "whose names stay inside its folder and are plain"
        raise _refusal(archive, what, info.orig_filename)
    if len(parts) > _DEEPEST or max(map(_bytes, parts)) > _LONGEST_NAME:
        what = f"of names of up to {_LONGEST_NAME} bytes in up to {_DEEPEST} folders"
        raise _refusal(archive, what, f"{name[:40]}…")
    return PurePosixPath(*parts)


def _bytes(part: str) -> int:
    return len(part.encode("utf-8", "surrogatepass"))


def _check_kind(archive: Path, info: ZipInfo) -> None:
    if stat.S_IFMT(info.external_attr >> 16) not in _KINDS:
        raise _refusal(archive, "of files and folders, without links and devices", info.filename)
    if info.flag_bits & _ENCRYPTED:
        raise _refusal(archive, "without passwords", info.filename)
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise _refusal(archive, "of files that are stored or deflated", info.filename)


def _check_sizes(archive: Path, file: ZipFile) -> None:
    """Refuse what unpacks to far too much, at once or by entries that share their bytes."""
    size = archive.stat().st_size
    most = max(_ALWAYS, _RATIO * size)
    total = sum(info.file_size for info in file.infolist())
    if total > most:
        what = f"an archive that unpacks to at most {most:,} bytes, as one of {size:,} may"
        raise ValueError(expected(archive.name, what, f"one that claims {total:,}"))
    end = 0
    for info in sorted(file.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _refusal(archive, "whose files do not share bytes", info.filename)
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    if end > size:
        raise ValueError(_damaged(archive, "its files reach beyond its end"))


def _write(
    archive: Path, file: ZipFile, info: ZipInfo, path: Path, go_on: Callable[[], object] | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        for block in _blocks(archive, file, info, go_on):
            target.write(block)


def _blocks(
    archive: Path, file: ZipFile, info: ZipInfo, go_on: Callable[[], object] | None
) -> Iterator[bytes]:
    """Read a file block by block; its size and CRC are those that the archive claims."""
    count = 0
    try:
        with file.open(info) as source:
            while block := source.read(_BLOCK):
                count += len(block)
                yield block
                if go_on is not None:
                    go_on()
    except _BROKEN as error:
        raise ValueError(_damaged(archive, error)) from error
    # Python hands out no more than the archive claims, and does not mind less
    if count != info.file_size:
        words = f"{info.filename!r} has {count:,} bytes in place of {info.file_size:,}"
        raise ValueError(_damaged(archive, words))

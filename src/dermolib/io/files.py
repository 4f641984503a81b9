"""Files of every kind: regular ones alone are read, and each is written whole or not at all."""

import csv
import errno
import hashlib
import itertools
import json
import os
import re
import secrets
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePath
from typing import IO, Any

from dermolib._validation import PathLike, as_path, expected
from dermolib.io.names import LONGEST

__all__ = [
    "TEMPORARY",
    "check_file",
    "check_target",
    "checksum",
    "digest_file",
    "explain_disk_full",
    "is_file",
    "open_file",
    "parse_json",
    "read_bytes",
    "remove_halves",
    "whole_file",
    "write_table",
]

TEMPORARY = re.compile(r"\.(?P<stem>.+)-[0-9a-f]{12}(?P<suffix>\.\w+)")
"""Names of the files that `whole_file` writes before it renames them."""

_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: PathLike) -> None:
    """Refuse what is not a file: a folder, pipe, device, socket, or links that lead in a circle.

    For paths that another library opens, which could wait there for ever.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: There is something else, or it cannot be reached.
    """
    with _explained(path):
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path costs as much again, for each image
    if not stat.S_ISREG(mode):
        got = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(expected(str(path), "a file", got))


def open_file(path: PathLike) -> BufferedReader:
    """Open a file to read its bytes; raises what `check_file` does."""
    check_file(path)
    with _explained(path):
        # Without waiting, should a pipe have taken its place since
        return open(path, "rb", opener=_without_waiting)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def _explained(path: PathLike) -> Iterator[None]:
    """Say of a path what is wrong with it, but where there is nothing."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a null byte is a `ValueError`
        got = getattr(error, "strerror", None) or error
        raise ValueError(expected(str(path), "a readable file", got)) from error


def read_bytes(path: PathLike) -> bytes:
    """Read a file whole; raises what `check_file` does."""
    with open_file(path) as file, _explained(path):
        return file.read()


def digest_file(path: PathLike) -> str:
    """Digest (SHA-256, hexadecimal) the bytes of a file; raises what `check_file` does."""
    with open_file(path) as file, _explained(path):
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(
    file: IO[bytes], size: int = sys.maxsize, *, after_block: Callable[[], object] = lambda: None
) -> int:
    """Compute the CRC-32 of an open file from where it stands, of at most `size` bytes."""
    total = 0
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        total, size = zlib.crc32(block, total), size - len(block)
        after_block()
    return total


def parse_json(data: bytes | str) -> Any:
    """Read JSON; whatever is wrong with it, its depth and its numbers too, is a `ValueError`."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("JSON of too many levels") from None


@contextmanager
def whole_file(path: PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well.

    After an error inside the block, `path` is what it was before and the temporary file is gone.
    The folder of `path` is made where missing. Of a link, the link is replaced.

    Raises:
        ValueError: What lies at `path` is not a file.
    """
    path = as_path(path, "path")
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_stem(path)}-{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explain_disk_full(folder: Path) -> Iterator[None]:
    """Say of a full disk what has become of the run, and how to continue."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        hint = "Free some space and call again: what is finished is kept."
        what = f"on a disk with room ({folder})"
        raise OSError(error.errno, expected("destination", what, error.strerror, hint)) from error


def check_target(path: PathLike) -> None:
    """Refuse a place for a file where something else lies, a link that leads nowhere too."""
    if not os.path.lexists(path):
        return
    try:
        check_file(path)
    except FileNotFoundError:
        raise ValueError(expected(str(path), "a file", "a link that leads nowhere")) from None


def is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry of a folder is a file; a link that leads in a circle is none."""
    # The entry would raise; the other costs more for each file
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()  # noqa: PTH113


def _stem(path: PurePath) -> str:
    """Give the stem in the name of the temporary file, which may be 14 bytes longer."""
    stem, most = os.fsencode(path.stem), LONGEST - 14 - len(os.fsencode(path.suffix))
    return path.stem if len(stem) <= most else hashlib.sha256(stem).hexdigest()


def remove_halves(folders: Sequence[Path], names: Iterable[str]) -> None:
    """Delete what a killed run left of `whole_file` in folders and their subfolders.

    Only of files by these names, which are relative to the first folder, is anything deleted.
    """
    halves: dict[str, list[Path]] = {}
    for path in itertools.chain.from_iterable(folder.rglob(".*-*") for folder in {*folders}):
        if match := TEMPORARY.fullmatch(path.name):
            whole = path.with_name(f"{match['stem']}{match['suffix']}")
            name = Path(os.path.relpath(whole, folders[0])).as_posix()
            halves.setdefault(name, []).append(path)
    for name in names if halves else ():
        whole = Path(name)
        for path in halves.get(whole.with_name(f"{_stem(whole)}{whole.suffix}").as_posix(), ()):
            path.unlink(missing_ok=True)


def write_table(
    path: PathLike,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    quoted: bool = True,
    ending: str = "\n",
) -> None:
    """Write a CSV file whole: UTF-8, in which names that are not UTF-8 keep their bytes.

    Args:
        path: File to write.
        header: Names of the columns.
        rows: Rows of text and numbers.
        quoted: Whether all text is quoted, rather than what needs it alone.
        ending: What ends a line.

    Raises:
        ValueError: A text has half of a character, which no file can hold.
    """
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file,
    ):
        # Quoting what needs it, the writer may leave a lone carriage return in a name without
        table = csv.writer(
            file,
            lineterminator=ending,
            quoting=csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL,
        )
        try:
            table.writerow(header)
            table.writerows(rows)
        except UnicodeEncodeError as error:
            what = "a table of text that UTF-8 or a file's name can hold"
            raise ValueError(expected(str(path), what, error)) from error

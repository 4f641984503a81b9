"""What tests remember of a folder, to see whether it stays as it was."""

from pathlib import Path
from typing import NamedTuple


class Snapshot(NamedTuple):
    """Files of a folder by path, and when and as what each was written."""

    data: dict[str, bytes]
    written: dict[str, tuple[int, int]]


def snapshot(folder: Path) -> Snapshot:
    """Read all files of a folder and its subfolders."""
    paths = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    states = {name: path.stat() for name, path in paths.items()}
    return Snapshot(
        {name: path.read_bytes() for name, path in paths.items()},
        {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()},
    )

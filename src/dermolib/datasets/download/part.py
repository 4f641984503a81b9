"""The part of a file that has come so far, and a note of the version that it belongs to.

Both lie on the disk, so that another process can go on where one was killed.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dermolib._validation import expected

__all__ = ["Part", "check_part", "forget"]

_KINDS = {"total": int, "etag": str, "modified": str}


class Part:
    """A partial file.

    Args:
        path: Where it is; the note lies beside it, with ``.json`` after the name.
        advance: Told the bytes that come, those that were there, and, as a negative number, those
            that are thrown away.

    Attributes:
        path: Where it is.
        size: Bytes that have come.
        note: What the server said of the version: ``total`` bytes, ``etag``, ``modified``; what it
            did not say is left out.

    Raises:
        ValueError: A file of someone else has its name.
    """

    def __init__(self, path: Path, advance: Callable[[int], object]) -> None:
        """Look at what is there."""
        check_part(path)
        self.path, self._advance = path, advance
        self.size = path.stat().st_size if path.exists() else 0
        self.note = _read(_note_of(path))
        advance(self.size)

    @property
    def version(self) -> str:
        """What names the version, as `If-Range` takes it; empty where nothing does."""
        return str(self.note.get("etag") or self.note.get("modified") or "")

    def discard(self) -> None:
        """Throw away what has come."""
        forget(self.path)
        self._advance(-self.size)
        self.size, self.note = 0, {}

    def describe(self, note: dict[str, Any]) -> None:
        """Note what the server says of the version, before the first byte of it is written."""
        self.note = {key: value for key, value in note.items() if value not in (None, "")}
        _note_of(self.path).write_text(json.dumps(self.note), encoding="utf-8")
        self.path.touch()

    def append(self, block: bytes) -> None:
        """Add what came; it lies with the system when this returns, whatever becomes of us."""
        with self.path.open("ab", buffering=0) as file:
            left = memoryview(block)
            while left:
                left = left[file.write(left) :]
        self.size += len(block)
        self._advance(len(block))


def check_part(path: Path) -> None:
    """Refuse a file that no call has left, since it would be written to or deleted.

    Args:
        path: Where a partial file is, or would be.

    Raises:
        ValueError: What lies there is no file, or one without a note.
    """
    note = _note_of(path)
    odd = any(os.path.lexists(place) and not place.is_file() for place in (path, note))
    if odd or (path.exists() and not note.exists()):
        what = f"what an earlier call has left, with its note {note.name} beside it"
        got = "no file in one of these places" if odd else "a file without one"
        raise ValueError(expected(str(path), what, got, "Move it away, and call again."))


def forget(path: Path) -> None:
    """Delete a partial file and its note, where they are; a file without a note is not ours."""
    if _note_of(path).is_file():
        path.unlink(missing_ok=True)
        _note_of(path).unlink()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read(path: Path) -> dict[str, Any]:
    """Read a note; a damaged one is as good as none."""
    try:
        note = dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
    return {key: note[key] for key, kind in _KINDS.items() if isinstance(note.get(key), kind)}

"""What was fetched into a folder, in a small file beside it: sizes, digests, what was unpacked."""

import json
import threading
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dermolib._jobs import TEMPORARY
from dermolib._validation import expected
from dermolib.datasets.download.names import LEDGER
from dermolib.io import whole_file

__all__ = ["Journal", "Record"]

_FORMAT = "dermolib-downloads-1"


@dataclass(frozen=True)
class Record:
    """What is known of one file that was fetched, or found in its place.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 in hexadecimal.
        checked: How it was checked, in words.
        fetched: Whether it was fetched; False for a file that was there before.
        modified: Time of its last change in ns, by which a later call knows it again.
        files: Number of files that were unpacked from it.
        bytes: Their size together.
    """

    size: int
    sha256: str
    checked: str
    fetched: bool
    modified: int = 0
    files: int = 0
    bytes: int = 0


class Journal:
    """The records of a folder; each change is on the disk when the call returns.

    Args:
        folder: Folder of the files.

    Raises:
        ValueError: The file of the records is damaged.
    """

    def __init__(self, folder: Path) -> None:
        """Read what earlier calls have noted."""
        self._path = folder / LEDGER
        for path in folder.iterdir():  # what a killed call had begun to write
            match = TEMPORARY.fullmatch(path.name)
            if match and f"{match['stem']}{match['suffix']}" == LEDGER:
                path.unlink()
        self._lock = threading.Lock()
        self._records = self._read()

    def get(self, name: str) -> Record | None:
        """Look up a file; None for one that was neither fetched nor found."""
        with self._lock:
            return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        """Note a file."""
        with self._lock:
            self._records[name] = record
            files = {key: asdict(value) for key, value in sorted(self._records.items())}
            text = json.dumps({"format": _FORMAT, "files": files}, indent=1)
            with whole_file(self._path) as temporary:
                temporary.write_text(f"{text}\n", encoding="utf-8")

    def _read(self) -> dict[str, Record]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"the format {content['format']!r}")
            return {name: _record(values) for name, values in content["files"].items()}
        except FileNotFoundError:
            return {}
        except (IsADirectoryError, ValueError, TypeError, KeyError, AttributeError) as error:
            what = "the file that `download` writes"
            got = f"another one ({type(error).__name__}: {error})"
            remedy = "Delete it: files that lie there are then taken as found, and checked anew."
            raise ValueError(expected(str(self._path), what, got, remedy)) from error


def _record(values: dict[str, object]) -> Record:
    record = Record(**values)  # type: ignore[arg-type]  # checked in the next line
    wrong = [f.name for f in fields(Record) if type(getattr(record, f.name)) is not f.type]
    if wrong:
        raise TypeError(f"another type of {', '.join(wrong)}")
    return record

"""The folder of offline copies: the job that writes it, and what is checked where it is read."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dermolib._jobs import Job
from dermolib.io import open_file

__all__ = ["COLUMNS", "MANIFEST", "check_manifest", "copies_job"]

COLUMNS = (
    *("ID", "CLASS", "SEX", "AGE", "POSITION", "LESION_ID", "PARENT_ID", "COPY", "SEED"),
    *("ATTEMPTS", "PRESET", "TRANSFORMS", "FILE", "MASK_FILE"),
)
"""Columns of the manifest."""

MANIFEST = "manifest.csv"
"""Name of the table of the copies in a folder."""

_KIND = "dermolib augment_offline"


def copies_job(
    folder: Path, settings: Mapping[str, Any], files: Collection[str] | None = None
) -> Job:
    """Describe the job of `augment_offline` in a folder; arguments as of `Job`."""
    fields = {**dict.fromkeys(COLUMNS[1:], str), "digests": list}
    return Job(
        folder,
        kind=_KIND,
        settings=settings,
        key="ID",
        fields=fields,
        files=files,
        tables=[MANIFEST],
    )


def check_manifest(path: Path) -> None:
    """Refuse the manifest of a folder of copies that is not as `augment_offline` wrote it."""
    job = copies_job(path.parent, {})
    if path.name == MANIFEST and path.exists() and job.path.is_file():
        with open_file(job.path) as file:
            ours = _KIND.encode() in file.readline(2 * len(_KIND))
        if ours:  # the folder may be that of another job
            job.read_finished()

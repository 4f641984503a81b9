"""Artifacts of dermoscopic images: which ones an image shows, and the table of a collection."""

import hashlib
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from dermolib._jobs import (
    Job,
    describe_failure,
    is_silent,
    library_versions,
    one_thread,
    run_tasks,
)
from dermolib._validation import Image, PathLike, as_path, check_image, check_number, listed, warn
from dermolib.datasets.given_images import read_given
from dermolib.datasets.store import content_digest, load_image
from dermolib.io import check_source, list_images
from dermolib.preprocessing.picture import look

__all__ = ["ARTIFACTS", "artifact_table", "detect_artifacts", "name_artifacts", "network_digest"]

ARTIFACTS = ("dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink", "patches")
"""What an image may show beside skin and lesion, in the order of every table. The names mean dark
corners of the dermoscope, hair, the border of the gel and bubbles in it, a ruler, ink, and colored
patches."""

_BLOCK = 16  # images of one task
_Value = TypeVar("_Value")


def detect_artifacts(image: Image) -> dict[str, float]:
    """Detect what an image shows beside skin and lesion; the input is not modified.

    A small network looks at the whole image, squeezed into a square (see `segment_lesion`). Its
    probabilities are calibrated: of images with 0.8 for a ruler, four in five show one. They are
    those of the hand-made flags of ISIC 2018 task 1, with its notion of what counts. Memory: about
    1 byte per pixel.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.

    Returns:
        Probability of each of `ARTIFACTS`, 0..1, in their order.

    Raises:
        TypeError: `image` is not a uint8 array.
        ValueError: `image` is not RGB.

    Examples:
        >>> found = detect_artifacts(np.full((60, 80, 3), 200, np.uint8))
        >>> tuple(found) == ARTIFACTS, all(0 <= value <= 1 for value in found.values())
        (True, True)
    """
    return name_artifacts(look(check_image(image)).artifacts)


def name_artifacts(values: Any) -> dict[str, Any]:
    """Give what the network says of each artifact by its name; numbers become Python's own."""
    numbers = values.tolist() if values.ndim == 1 else values
    return dict(zip(ARTIFACTS, numbers, strict=True))


def network_digest() -> str:
    """Digest the network's file: another network gives other values."""
    file = resources.files("dermolib.preprocessing") / "picture.onnx"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def artifact_table(
    images: Any,
    *,
    workers: int = 1,
    cache: PathLike | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Detect the artifacts of many images, one row for each, in their order.

    The values are those of `detect_artifacts`, and do not depend on the number of workers; images
    are in memory only while they are looked at. An image that cannot be read has a row of nan, and
    a warning says which and why.

    Args:
        images: `dermolib.ISICDataset`; a table with ``id`` and ``image_path``; a folder, of which
            all images are taken, in subfolders too, without masks; paths; or arrays (H, W, 3),
            uint8 RGB.
        workers: Number of parallel workers, 1 or more.
        cache: Folder for a journal of what was found, by the digest of each image and the version
            of the network: a further call looks only at images that are not in it, wherever they
            lie, and continues one that was interrupted. By default nothing is kept.
        progress: Whether to show a progress bar on the standard error.

    Returns:
        Table with the columns `ARTIFACTS`, float64 in 0..1, whose index is named ``id``: of a
        dataset or table its ids; of files their names without endings, or their paths where these
        repeat (within the folder, if one was given); of arrays their numbers.

    Raises:
        DatasetNotFoundError: There is no such folder.
        TypeError: `images` are none of these, or `workers` is not an integer.
        ValueError: An image is not RGB, a folder has no images, `workers` is below 1, or `cache`
            holds something else or a call that goes on.

    Warns:
        UserWarning: Images cannot be read: their rows are nan.

    Examples:
        >>> gray = np.full((60, 80, 3), 128, np.uint8)
        >>> table = artifact_table([gray, gray[:40]], progress=False)
        >>> table.shape, bool(table.loc["0", "ruler"] == detect_artifacts(gray)["ruler"])
        ((2, 7), True)
    """
    check_number(workers, "workers", low=1, integer=True)
    ids, items = _read_images(images)
    values = np.empty((len(items), len(ARTIFACTS)))
    failures = dict[int, str]()
    with _open_cache(cache) as job, one_thread():
        known = _known(items, job, workers)
        todo = [row for row, one in enumerate(known) if one is None]
        for row, one in enumerate(known):
            values[row] = np.nan if one is None else one
        blocks = [todo[start : start + _BLOCK] for start in range(0, len(todo), _BLOCK)]
        tasks = (([items[row] for row in rows], job is not None) for rows in blocks)
        total, done = len(items), len(items) - len(todo)
        with tqdm(total=total, initial=done, unit="image", disable=is_silent(progress)) as bar:
            found = run_tasks(_look_at_block, tasks, workers=workers, kept=job is not None)
            for rows, seen in zip(blocks, found, strict=True):
                values[rows] = [one.values for one in seen]
                failures |= {row: one.error for row, one in zip(rows, seen, strict=True)}
                if job is not None:
                    job.add(one.record() for one in seen if not one.error)
                bar.update(len(rows))
    table = pd.DataFrame(values, columns=list(ARTIFACTS))
    table.index = pd.Index(ids, name="id", dtype=object)
    _warn_failures(ids, failures)
    return table


class _Seen(NamedTuple):
    """What was found in an image: seven numbers, its digest, or why it cannot be read."""

    values: list[float]
    digest: str
    error: str

    def record(self) -> dict[str, Any]:
        return {"digest": self.digest, "artifacts": self.values}


def _read_images(images: Any) -> tuple[Sequence[str], Sequence[Any]]:
    """Give the ids and the paths or arrays of what was given, a folder too."""
    if not isinstance(images, str | bytes | os.PathLike):
        given = read_given(images)
        return given.ids, given.items
    root = check_source(as_path(images, "images"))
    files = list_images(root).files
    stems = [Path(file).stem for file in files]
    return stems if len({*stems}) == len(files) else files, [str(root / file) for file in files]


@contextmanager
def _open_cache(cache: PathLike | None) -> Iterator[Job | None]:
    if cache is None:
        yield None
        return
    job = Job(
        as_path(cache, "cache"),
        kind="dermolib artifacts",
        settings={"network": network_digest(), "versions": library_versions()},
        key="digest",
        fields={"artifacts": list},
        journal="artifacts.jsonl",
        argument="cache",
    )
    with job.open(overwrite=True):  # values of another network are not current, and found again
        yield job


def _known(items: Sequence[Any], job: Job | None, workers: int) -> list[list[float] | None]:
    """Look the values of each image up; without a journal, nothing needs to be read for that."""
    if job is None or job.fresh:
        return [None] * len(items)
    blocks = (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))
    tasks = ((block,) for block in blocks)
    digests = [*itertools.chain(*run_tasks(_digest_block, tasks, workers=workers))]
    current = [one if job.is_current(one) else "" for one in digests]
    records = job.records(current)
    return [None if record is None else _checked(record["artifacts"]) for record in records]


def _checked(values: list[Any]) -> list[float] | None:
    """Take values from a journal; None where they are not what a network gives."""
    numbers = [one for one in values if isinstance(one, float) and 0 <= one <= 1]
    return numbers if len(numbers) == len(values) == len(ARTIFACTS) else None


def _look_at_block(items: list[Any], keyed: bool) -> list[_Seen]:
    return [_look_at(one, keyed=keyed) for one in items]


def _look_at(item: Any, *, keyed: bool) -> _Seen:
    """Look at an image; why one cannot be read is a finding, not an error."""
    try:
        if isinstance(item, str) and not item:
            raise ValueError("no file found")
        with warnings.catch_warnings(action="ignore"):  # of tags that Pillow does not understand
            image = item if isinstance(item, np.ndarray) else load_image(item)
        values = [float(one) for one in look(image).artifacts]
        return _Seen(values, _digest_of(item) if keyed else "", "")
    except (OSError, ValueError) as error:
        return _Seen([np.nan] * len(ARTIFACTS), "", describe_failure(error, Path(str(item)).parent))


def _digest_block(items: list[Any]) -> list[str]:
    return [_digest_or_nothing(one) for one in items]


def _digest_or_nothing(item: Any) -> str:
    try:
        return _digest_of(item)
    except (OSError, ValueError):
        return ""  # looking at it will say why


def _digest_of(item: Any) -> str:
    """Digest a file, or the size and pixels of an array."""
    if not isinstance(item, np.ndarray):
        return content_digest(item).hex() if str(item) else ""
    digest = hashlib.sha256(str(item.shape).encode())
    digest.update(np.ascontiguousarray(item).data)
    return digest.hexdigest()


def _warn_failures(ids: Sequence[str], failures: dict[int, str]) -> None:
    reasons = [f"{ids[row]}: {error}" for row, error in failures.items() if error]
    if reasons:
        what = f"{len(reasons)} of {len(ids)} images cannot be read ({listed(reasons)})"
        warn(f"{what}; their rows are nan.")

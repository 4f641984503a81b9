"""The images of the benchmark: their fingerprints, lesions and classes."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermolib._validation import DatasetNotFoundError, Indices
from dermolib.auditing.hashing import HASH_BYTES, perceptual_hash
from dermolib.io import read_image

__all__ = ["Collection", "cut_hashes", "read_collection", "task_files"]

_SHARES = (0.4, 0.9)  # of the sides of an image that a cut keeps


@dataclass(frozen=True)
class Collection:
    """The images of the challenge.

    Attributes:
        files: Files of the training images, then of the test images.
        test: Whether each is a test image (N,).
        lesions: Number of the lesion of each (N,).
        classes: Class of each as the data set gives it (N,), empty for test images.
    """

    files: list[Path]
    test: npt.NDArray[np.bool_]
    lesions: npt.NDArray[np.intp]
    classes: npt.NDArray[np.str_]


def read_collection(data: Path, limit: int | None = None) -> Collection:
    """List the images of the challenge at hand and what is known of them.

    Args:
        data: Folder of the data.
        limit: Take at most so many images of each side.

    Returns:
        The images.

    Raises:
        DatasetNotFoundError: There are none.
    """
    folder = data / "isic_challenge"
    sides = [sorted((folder / side).glob("*.jpg"))[:limit] for side in ("Train", "Test")]
    if not all(sides):
        layout = "lesion_ids.csv, metadataTrain.csv, Train/ID.jpg and Test/ID.jpg"
        raise DatasetNotFoundError(folder, layout)
    files = [file for side in sides for file in side]
    lesions = _column(folder / "lesion_ids.csv", "LESION_ID")
    classes = _column(folder / "metadataTrain.csv", "CLASS")
    # A lesion that is not known is one of its own
    names = [lesions.get(file.stem, "") or file.stem for file in files]
    return Collection(
        files,
        np.repeat([False, True], [len(side) for side in sides]),
        np.asarray(np.unique(names, return_inverse=True)[1], np.intp),
        np.array([classes.get(file.stem, "") for file in files]),
    )


def task_files(data: Path, limit: int | None = None) -> list[Path]:
    """List the images of ISIC 2018 task 1."""
    return sorted((data / "isic2018_task1" / "images").glob("*.jpg"))[:limit]


def cut_hashes(files: Sequence[Path], count: int) -> tuple[npt.NDArray[np.uint8], Indices]:
    """Compute fingerprints that are as real ones are: those of parts cut out of real images.

    Args:
        files: Image files.
        count: Number of fingerprints wanted.

    Returns:
        Fingerprints (count, 64), and the number of the file of each. As many parts are cut out of
        each image, at random places and with both sides 0.4 to 0.9 of its own.
    """
    rng = np.random.default_rng(0)
    each = -(-count // len(files))
    hashes = np.empty((len(files), each, HASH_BYTES), np.uint8)
    for number, file in enumerate(files):
        image = read_image(file)
        for place in range(each):
            height, width = (round(side * rng.uniform(*_SHARES)) for side in image.shape[:2])
            top = rng.integers(image.shape[0] - height + 1)
            left = rng.integers(image.shape[1] - width + 1)
            part = image[top : top + height, left : left + width]
            hashes[number, place] = perceptual_hash(part)
    return hashes.reshape(-1, HASH_BYTES)[:count], np.arange(count) // each


def _column(path: Path, name: str) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["ID"]: row[name] for row in csv.DictReader(file)}

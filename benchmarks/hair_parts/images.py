"""The images of the benchmark, and which of them may choose parameters and which report."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import read_image, read_mask

__all__ = [
    "PARTS",
    "Part",
    "artefact_ids",
    "default_data",
    "hair_free_ids",
    "load",
    "part_of",
    "spread",
]

Part: TypeAlias = Literal["tuning", "reporting"]
"""Images that choose parameters and train, or images that judge."""

PARTS: tuple[Part, ...] = get_args(Part)
"""Both parts."""

_FOLDER = "isic2018_task1"


def default_data() -> Path:
    """Return the folder of the data: DERMOLIB_DATA, else ``../shared/data`` beside the project."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("DERMOLIB_DATA", beside))


def part_of(ids: Sequence[str], part: Part) -> list[str]:
    """Return every second of the sorted ids: the first, third, … tune, the others report.

    Args:
        ids: Ids of one list of images, in any order.
        part: The part.

    Returns:
        The ids of that part, sorted.
    """
    return sorted(ids)[PARTS.index(part) :: 2]


def hair_free_ids(data: Path, part: Part) -> list[str]:
    """Return the images without any artefact, on which hair is drawn."""
    flags = _artefacts(data)
    return part_of([name for name, flag in flags.items() if not any(flag.values())], part)


def artefact_ids(data: Path, part: Part) -> list[str]:
    """Return the images that have artefacts (rulers, gel, ink, corners), but no hair."""
    flags = _artefacts(data)
    chosen = [name for name, flag in flags.items() if any(flag.values()) and not flag["hair"]]
    return part_of(chosen, part)


def spread(ids: list[str], limit: int | None) -> list[str]:
    """Return at most `limit` ids, evenly spaced, since neighbours often come from one camera."""
    if limit is None or limit >= len(ids):
        return ids
    return [ids[index] for index in np.linspace(0, len(ids) - 1, limit).round().astype(int)]


def load(data: Path, name: str) -> tuple[Image, Mask]:
    """Read an image and the mask of its lesion."""
    image = read_image(data / _FOLDER / "images" / f"{name}.jpg")
    lesion = data / _FOLDER / "masks" / f"{name}_segmentation.png"
    return image, read_mask(lesion, shape=(image.shape[0], image.shape[1]))


def _artefacts(data: Path) -> dict[str, dict[str, int]]:
    """Read which artefacts each image has, by id."""
    path = data / _FOLDER / "artefacts.csv"
    if not path.exists():
        layout = "artefacts.csv, images/ID.jpg and masks/ID_segmentation.png"
        raise DatasetNotFoundError(data / _FOLDER, layout)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("ID"): {name: int(value) for name, value in row.items()} for row in rows}

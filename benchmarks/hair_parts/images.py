"""The images of the benchmark, and which of them may choose parameters and which report."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import read_image, read_mask

__all__ = ["PARTS", "Part", "artifact_ids", "default_data", "hair_free_ids", "load", "part_of"]

Part: TypeAlias = Literal["tuning", "reporting"]
"""Images that choose parameters and train, or images that report."""

PARTS: tuple[Part, ...] = get_args(Part)
"""Both parts."""

_FOLDER = "isic2018_task1"


def default_data() -> Path:
    """Return the folder of the data: DERMOLIB_DATA, else ``../shared/data`` beside the project."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("DERMOLIB_DATA", beside))


def part_of(ids: Iterable[str], part: Part) -> list[str]:
    """Return every second of the sorted ids: the first, third, ... tune, the others report."""
    return sorted(ids)[PARTS.index(part) :: 2]


def hair_free_ids(data: Path, part: Part, limit: int | None) -> list[str]:
    """Return images without any artifact, evenly spaced, since neighbors often share a camera."""
    flags = _artifacts(data)
    ids = part_of(flags.index[~flags.any(axis=1)], part)
    places = np.linspace(0, len(ids) - 1, min(limit or len(ids), len(ids)))
    return [ids[place] for place in places.round().astype(int)]


def artifact_ids(data: Path, part: Part, limit: int | None, seed: int) -> list[str]:
    """Return at most 100 images that have artifacts (rulers, gel, ink, corners), but no hair."""
    flags = _artifacts(data)
    ids = part_of(flags.index[flags.any(axis=1) & (flags["hair"] == 0)], part)
    size = min(len(ids), limit or 100, 100)
    return sorted(np.random.default_rng(seed).choice(ids, size, replace=False).tolist())


def load(data: Path, name: str) -> tuple[Image, Mask]:
    """Read an image and the mask of its lesion."""
    image = read_image(data / _FOLDER / "images" / f"{name}.jpg")
    lesion = data / _FOLDER / "masks" / f"{name}_segmentation.png"
    return image, read_mask(lesion, shape=(image.shape[0], image.shape[1]))


def _artifacts(data: Path) -> pd.DataFrame:
    """Read which artifacts each image has, by id."""
    path = data / _FOLDER / "artefacts.csv"
    if not path.exists():
        layout = "artefacts.csv, images/ID.jpg and masks/ID_segmentation.png"
        raise DatasetNotFoundError(data / _FOLDER, layout)
    return pd.read_csv(path, index_col="ID")

"""The images of the benchmark: their flags, their reading by eye, their lesions."""

import csv
from dataclasses import dataclass
from pathlib import Path

from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import read_image, read_mask
from hair_parts.images import Part, part_of

__all__ = ["Sample", "challenge_samples", "flagged_samples", "load"]

_FLAGGED = "isic2018_task1"
_CHALLENGE = "isic_challenge"
_READING = Path(__file__).with_name("reading.csv")


@dataclass(frozen=True)
class Sample:
    """An image and what is known of its border.

    Attributes:
        image: File of the image.
        lesion: File of the mask of its lesion.
        flagged: Whether the data set flags it as dark_corner.
        border: What was read by eye: a ``"clear"`` border, about one per cent of the image or more;
            a ``"trace"`` of one, black corners of a few pixels or a thin line; ``"none"``.
    """

    image: Path
    lesion: Path
    flagged: bool = False
    border: str = "none"


def flagged_samples(data: Path, part: Part) -> list[Sample]:
    """List the images of ISIC 2018 task 1 in one part, sorted by id."""
    folder = data / _FLAGGED
    if not (folder / "artefacts.csv").exists():
        layout = "artefacts.csv, images/ID.jpg and masks/ID_segmentation.png"
        raise DatasetNotFoundError(folder, layout)
    flags = {row["ID"]: row["dark_corner"] == "1" for row in _rows(folder / "artefacts.csv")}
    reading = {row["ID"]: row["border"] for row in _rows(_READING)}
    return [
        Sample(
            folder / "images" / f"{name}.jpg",
            folder / "masks" / f"{name}_segmentation.png",
            flags[name],
            reading.get(name, "none"),
        )
        for name in part_of(list(flags), part)
    ]


def challenge_samples(data: Path) -> list[Sample]:
    """List the training images of the challenge that have a mask of the lesion."""
    folder = data / _CHALLENGE / "Train"
    images = sorted(folder.glob("*.jpg"))
    if not images:
        raise DatasetNotFoundError(folder, "ID.jpg and ID_seg.png")
    return [Sample(image, image.with_name(f"{image.stem}_seg.png")) for image in images]


def load(sample: Sample) -> tuple[Image, Mask]:
    """Read an image and the mask of its lesion."""
    image = read_image(sample.image)
    return image, read_mask(sample.lesion, shape=(image.shape[0], image.shape[1]))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

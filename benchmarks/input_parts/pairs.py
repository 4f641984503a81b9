"""Real images and the masks of their lesions, as the benchmarks read them."""

from pathlib import Path
from typing import TypeAlias

from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import read_image, read_mask

__all__ = ["Pair", "challenge_pairs", "read_pair", "task_pairs"]

Pair: TypeAlias = tuple[Path, Path]
"""Path of an image and of the mask of its lesion."""


def task_pairs(data: Path) -> list[Pair]:
    """List the images of ISIC 2018 task 1, sorted."""
    return _pairs(data / "isic2018_task1", "images/{}.jpg", "masks/{}_segmentation.png")


def challenge_pairs(data: Path) -> list[Pair]:
    """List the training images of the challenge, sorted."""
    return _pairs(data / "isic_challenge" / "Train", "{}.jpg", "{}_seg.png")


def read_pair(image: Path, mask: Path) -> tuple[Image, Mask]:
    """Read an image (H, W, 3) and the mask of its lesion (H, W)."""
    pixels = read_image(image)
    return pixels, read_mask(mask, shape=(pixels.shape[0], pixels.shape[1]))


def _pairs(folder: Path, image: str, mask: str) -> list[Pair]:
    found = [(path, folder / mask.format(path.stem)) for path in folder.glob(image.format("*"))]
    if not found:
        raise DatasetNotFoundError(folder, f"{image.format('ID')} and {mask.format('ID')}")
    return sorted(pair for pair in found if pair[1].exists())

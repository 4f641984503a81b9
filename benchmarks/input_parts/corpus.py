"""Folders of large JPEG files, made from the images at hand."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from dermolib._validation import DatasetNotFoundError
from dermolib.io import read_image, write_image

__all__ = ["make_corpus"]

_DIFFERENT = 96


def make_corpus(data: Path, folder: Path, *, count: int, side: int = 1024) -> Path:
    """Write images of one size as JPEG at quality 90; after 96 different ones, copies of these.

    Args:
        data: Folder with ``isic2018_task1``.
        folder: Folder to write to.
        count: Number of files.
        side: Height and width in px; the images of 512 px are enlarged.

    Returns:
        The folder.

    Raises:
        DatasetNotFoundError: There are no images.
    """
    source = data / "isic2018_task1" / "images"
    files = sorted(source.glob("*.jpg"))
    if not files:
        raise DatasetNotFoundError(source, "ID.jpg for each image")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [files[place] for place in np.linspace(0, len(files) - 1, _DIFFERENT).astype(int)]
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if number < _DIFFERENT:
            image = cv2.resize(
                read_image(chosen[number]), (side, side), interpolation=cv2.INTER_CUBIC
            )
            write_image(path, image.astype(np.uint8), quality=90)
        else:
            shutil.copyfile(folder / f"{number % _DIFFERENT:05d}.jpg", path)
    return folder

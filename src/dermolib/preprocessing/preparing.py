"""Some images of a folder to their rows of a store: the work of one task of a preparation."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._checks import expected
from dermolib._runs import settle
from dermolib._types import Image, Mask
from dermolib.images import read_image, read_mask, resize_image, resize_mask
from dermolib.preprocessing.packing import RECORD, Packing
from dermolib.preprocessing.steps import Pipeline

__all__ = ["Failure", "Preparing", "noted_states", "prepare_block", "state", "states"]

Failure: TypeAlias = tuple[int, str]
"""Number of a row, and why there is none."""

_MASK_TAILS = ("_seg.png", "_segmentation.png", ".png")
_NOT_PREPARED = (ValueError, TypeError, OSError, MemoryError, cv2.error)
_STATES = ("size", "modified", "mask_size", "mask_modified")


@dataclass(frozen=True)
class Preparing:
    """How the images are prepared, and where they lie and go.

    Attributes:
        source: Folder of the images, resolved.
        masks: Folder of the lesion masks, resolved, or None for no masks.
        pipeline: What is done to each image.
        packing: Where the rows go.
    """

    source: Path
    masks: Path | None
    pipeline: Pipeline
    packing: Packing


def prepare_block(block: list[tuple[int, str]], preparing: Preparing) -> tuple[int, list[Failure]]:
    """Prepare some images and write their rows; an error in writing passes through.

    Args:
        block: Row and file of each image.
        preparing: How and where.

    Returns:
        Number of images, and the rows that could not be prepared with the reasons.
    """
    settle()
    failures: list[Failure] = []
    with preparing.packing.writer() as writer:
        for row, file in block:
            record = np.zeros(1, RECORD)
            try:
                image, mask = _prepare_file(file, preparing, record)
            except _NOT_PREPARED as error:
                failures.append((row, _reason(error, preparing)))
            else:
                writer.write(row, image, mask, record)
    return len(block), failures


def _prepare_file(
    file: str, preparing: Preparing, record: npt.NDArray[Any]
) -> tuple[Image, Mask | None]:
    path = preparing.source / file
    noted = record[0]
    for name, value in zip(_STATES, states(file, preparing), strict=True):
        noted[name] = value  # taken before the file is read
    image = read_image(path)
    noted["height"], noted["width"] = image.shape[:2]
    mask = None
    if preparing.masks is not None:
        found = _mask_of(file, preparing.masks)
        if found is None:
            what = f"a folder with the mask of {file}"
            raise FileNotFoundError(expected("masks", what, "none"))
        mask = read_mask(found, shape=(image.shape[0], image.shape[1]))
    done = preparing.pipeline.run(image, mask)
    for name in ("top", "bottom", "left", "right"):
        noted[name] = getattr(done.box, name)
    noted["share_masked"], noted["done"] = done.share_masked, True
    size = preparing.packing.image_size
    resized = None if done.mask is None else resize_mask(done.mask, size)
    return resize_image(done.image, size), resized


def states(file: str, preparing: Preparing) -> tuple[int, int, int, int]:
    """Tell one version of an image, and of its mask, from another."""
    found = None if preparing.masks is None else _mask_of(file, preparing.masks)
    mask = (0, 0) if found is None else state(found)
    return (*state(preparing.source / file), *mask)


def noted_states(noted: Any) -> tuple[int, ...]:
    """Read the states that a record holds, in the form of `states`."""
    return tuple(int(noted[name]) for name in _STATES)


def state(path: Path) -> tuple[int, int]:
    """Give size and time of change of a file, -1 and -1 where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _mask_of(file: str, folder: Path) -> Path | None:
    path = PurePosixPath(file)
    for place in dict.fromkeys((folder / path.parent, folder)):
        for tail in _MASK_TAILS:
            if (place / f"{path.stem}{tail}").is_file():
                return place / f"{path.stem}{tail}"
    return None


def _reason(error: BaseException, preparing: Preparing) -> str:
    """Word why an image failed: on one line, and the same wherever the source lies."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(f"{preparing.source}{os.sep}", "")

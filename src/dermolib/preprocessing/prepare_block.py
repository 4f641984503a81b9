"""Some images of a folder to their rows of a store: the work of one task of a preparation."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._jobs import init_worker
from dermolib._validation import Image, Mask, expected, listed
from dermolib.io import read_image, read_mask, resize_image, resize_mask
from dermolib.preprocessing.packing import RECORD, Packing, RowWriter
from dermolib.preprocessing.steps import Pipeline

__all__ = ["STATES", "Failure", "Preparing", "prepare_block", "states"]

Failure: TypeAlias = tuple[int, str]
"""Number of a row, and why there is none."""

STATES = ("size", "modified", "mask_size", "mask_modified")
"""What tells one version of an image and of its mask from another, by its names in a record."""

_MASK_TAILS = ("_seg.png", "_segmentation.png", ".png")
_WORDED = (ValueError, TypeError, OSError, cv2.error)  # their words tell what they are


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


def prepare_block(
    block: list[tuple[int, str]], preparing: Preparing
) -> tuple[int, list[Failure], OSError | None]:
    """Prepare some images and write their rows.

    Args:
        block: Row and file of each image.
        preparing: How and where.

    Returns:
        Number of images, the rows that could not be prepared with the reasons, and an error in
        writing that ended the block: a pool of processes may hang where a task raises.
    """
    init_worker()
    failures: list[Failure] = []
    try:
        with preparing.packing.writer() as writer:
            for row, file in block:
                failures += _prepare_row(row, file, preparing, writer)
    except OSError as error:
        return len(block), failures, error
    return len(block), failures, None


def _prepare_row(row: int, file: str, preparing: Preparing, writer: RowWriter) -> list[Failure]:
    record = np.zeros(1, RECORD)
    try:
        image, mask = _prepare_file(file, preparing, record)
    except Exception as error:  # no image may end the run of the others
        return [(row, _reason(error, preparing))]
    writer.write(row, image, mask, record)
    return []


def _prepare_file(
    file: str, preparing: Preparing, record: npt.NDArray[Any]
) -> tuple[Image, Mask | None]:
    path = preparing.source / file
    noted = record[0]
    for name, value in zip(STATES, states(file, preparing), strict=True):
        noted[name] = value  # taken before the file is read
    image = read_image(path)
    noted["height"], noted["width"] = image.shape[:2]
    mask = None
    if preparing.masks is not None:
        found = _mask_of(file, preparing)
        if found is None:
            what = f"a folder with the mask of {file}"
            names = (f"{PurePosixPath(file).stem}{tail}" for tail in _MASK_TAILS)
            remedy = f"Name it one of {listed(names)}."
            raise FileNotFoundError(expected("masks", what, "none", remedy))
        mask = read_mask(found, shape=(image.shape[0], image.shape[1]))
    done = preparing.pipeline.run(image, mask)
    for name in ("top", "bottom", "left", "right"):
        noted[name] = getattr(done.box, name)
    noted["share_masked"], noted["done"] = done.share_masked, True
    size = preparing.packing.image_size
    resized = None if done.mask is None else resize_mask(done.mask, size)
    return resize_image(done.image, size), resized


def states(file: str, preparing: Preparing) -> tuple[int, int, int, int]:
    """Give size and time of change of an image and its mask: -1 where there is none, 0 unasked."""
    if preparing.masks is None:
        return (*_state(preparing.source / file), 0, 0)
    return (*_state(preparing.source / file), *_state(_mask_of(file, preparing)))


def _state(path: Path | None) -> tuple[int, int]:
    try:
        found = path.stat() if path else None
    except FileNotFoundError:
        found = None
    return (found.st_size, found.st_mtime_ns) if found else (-1, -1)


def _mask_of(file: str, preparing: Preparing) -> Path | None:
    """Find the mask of an image, which is never the image itself."""
    path = PurePosixPath(file)
    image, folder = preparing.source / file, preparing.masks or preparing.source
    for place in dict.fromkeys((folder / path.parent, folder)):
        for tail in _MASK_TAILS:
            mask = place / f"{path.stem}{tail}"
            if mask != image and mask.is_file():
                return mask
    return None


def _reason(error: BaseException, preparing: Preparing) -> str:
    """Word why an image failed: on one line, and the same wherever the source lies."""
    text = " ".join(str(error).split())
    if not text or not isinstance(error, _WORDED):
        text = ": ".join(filter(None, (type(error).__name__, text)))
    return text.replace(f"{preparing.source}{os.sep}", "")

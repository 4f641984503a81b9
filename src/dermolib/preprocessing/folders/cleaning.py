"""One image file to the same file without hair: the work of one task of a folder."""

import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from dermolib._jobs import init_worker
from dermolib._validation import Image, Mask, expected
from dermolib.io import read_image, whole_file, write_image, write_mask
from dermolib.preprocessing.folders.ledger import Record
from dermolib.preprocessing.hair.registry import REFERENCE_SIZE, occlusion_removal

__all__ = ["FORMATS", "Cleaning", "clean_file", "remove", "try_out"]

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
"""Endings that can be written, and their formats; images of other endings become PNG."""

_NOT_READ = (ValueError, FileNotFoundError, MemoryError, cv2.error)


@dataclass(frozen=True)
class Cleaning:
    """How the images of a folder are cleaned, and where they go.

    Attributes:
        source: Folder of the images, resolved.
        destination: Folder of the clean images, resolved.
        masks: Folder of the masks relative to the destination, or None for no masks.
        suffix: Ending of all clean images, or None to keep that of each.
        quality: JPEG quality, 1..100.
        arguments: Keyword arguments of `occlusion_removal`, as pairs.
        run: Digest of the settings.
    """

    source: Path
    destination: Path
    masks: str | None
    suffix: str | None
    quality: int
    arguments: tuple[tuple[str, Any], ...]
    run: str

    def output(self, file: str) -> str:
        """Name the clean image of `file`, relative to the destination."""
        path = PurePosixPath(file)
        if self.suffix is not None:
            return str(path.with_suffix(self.suffix))
        return file if path.suffix.lower() in FORMATS else str(path.with_suffix(".png"))

    def mask(self, file: str) -> str:
        """Name the mask of `file`, relative to the destination; empty for no masks."""
        if self.masks is None:
            return ""
        return str(PurePosixPath(self.masks, file).with_suffix(".png"))

    def targets(self, file: str) -> list[str]:
        """List the files that cleaning `file` writes, relative to the destination."""
        return [name for name in (self.output(file), self.mask(file)) if name]


def remove(image: Image, cleaning: Cleaning) -> tuple[Image, Mask]:
    """Remove hair from one image.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        cleaning: How.

    Returns:
        Clean image (H, W, 3) and mask (H, W), bool.
    """
    return occlusion_removal(image, return_mask=True, **dict(cleaning.arguments))


def clean_file(file: str, cleaning: Cleaning) -> Record:
    """Clean one image file; what it writes appears whole or not at all.

    A file that cannot be read or cleaned gets a record with the reason, and what an earlier run
    made of it is deleted. An error in writing, such as a full disk, passes through.

    Args:
        file: Path of the image relative to the source, with slashes.
        cleaning: How and where.

    Returns:
        What was done.
    """
    init_worker()
    claim = Record(file, cleaning.run, cleaning.output(file), cleaning.mask(file))
    try:
        claim = _with_state(claim, cleaning.source / file)
        image = read_image(cleaning.source / file)
        clean, mask = remove(image, cleaning)
        _write(file, cleaning, clean, mask)
    except _NOT_READ as error:
        for name in cleaning.targets(file):
            (cleaning.destination / name).unlink(missing_ok=True)
        return replace(claim, error=_reason(error, cleaning))
    height, width = mask.shape
    return replace(claim, height=height, width=width, share_masked=float(mask.mean()))


def try_out(cleaning: Cleaning) -> None:
    """Refuse settings that the method does not take, before anything is written.

    Args:
        cleaning: Settings, tried on a blank image.

    Raises:
        TypeError: The method has no such option.
        ValueError: The method is unknown or an option is out of range.
    """
    remove(np.full((REFERENCE_SIZE, REFERENCE_SIZE, 3), 128, np.uint8), cleaning)


def _with_state(record: Record, path: Path) -> Record:
    """Note what tells one version of a file from another; taken before the file is read."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(expected(str(path), "a file", "a pipe or a device"))
    return replace(record, size=state.st_size, modified=state.st_mtime_ns)


def _write(file: str, cleaning: Cleaning, clean: Image, mask: Mask) -> None:
    source, output = cleaning.source / file, cleaning.destination / cleaning.output(file)
    if cleaning.masks is not None:
        write_mask(cleaning.destination / cleaning.mask(file), mask)
    kept = FORMATS.get(source.suffix.lower()) == FORMATS[output.suffix.lower()]
    if kept and not mask.any():
        with whole_file(output) as temporary:
            shutil.copyfile(source, temporary)
    else:
        write_image(output, clean, quality=cleaning.quality)


def _reason(error: BaseException, cleaning: Cleaning) -> str:
    """Word why a file failed: on one line, and the same wherever the source lies."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(f"{cleaning.source}{os.sep}", "")

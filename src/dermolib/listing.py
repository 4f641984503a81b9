"""Which files of a folder are images to work on, found in subfolders as well."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path, PurePosixPath

from dermolib._checks import DatasetNotFoundError, expected
from dermolib._types import PathLike

__all__ = ["EXCLUDED", "SUFFIXES", "Listing", "check_source", "list_images"]

EXCLUDED = (
    "*_seg.png",
    "*_segmentation.png",
    "*_superpixels.png",
    "*_attribute_*.png",
    "*_hair.png",
)
"""Names under which the challenges, the synthetic one too, keep masks beside their images."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of images, in any case."""


@dataclass(frozen=True)
class Listing:
    """Images of a folder, and how many files are none.

    Attributes:
        files: Paths relative to the folder, with slashes, sorted.
        excluded: How many images a pattern left out.
        ignored: How many files are no images, or hidden.
    """

    files: list[str]
    excluded: int
    ignored: int


def check_source(source: PathLike) -> Path:
    """Refuse what is no folder, and resolve it."""
    root = Path(source)
    if not root.exists():
        raise DatasetNotFoundError(root, "a folder of images, in subfolders or not")
    if not root.is_dir():
        remedy = "Read a single image with `dermolib.images.read_image`."
        raise ValueError(expected("source", "a folder of images", f"the file {root}", remedy))
    return root.resolve()


def list_images(root: Path, *, exclude: Sequence[str] = EXCLUDED) -> Listing:
    """List the images of a folder and its subfolders, also those behind links.

    Files and folders whose names begin with a dot are ignored: what systems and editors leave
    behind has the endings of images too.

    Args:
        root: Folder, resolved.
        exclude: Patterns with ``*`` and ``?``, in any case, of names or of paths relative to the
            folder.

    Returns:
        The images, sorted by path.

    Raises:
        TypeError: `exclude` is one text instead of several, or none at all.
        OSError: A subfolder cannot be read.
    """
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        one = isinstance(exclude, str)
        remedy = f"Write `[{exclude!r}]`." if one else "Write `()` to leave out none."
        got = "one text" if one else repr(exclude)
        raise TypeError(expected("exclude", "a list of patterns", got, remedy))
    left_out = [re.compile(translate(pattern.lower())) for pattern in exclude]
    files, excluded, ignored = [], 0, 0
    for file in _walk(root):
        path = PurePosixPath(file)
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            ignored += 1
        elif any(p.match(text.lower()) for p in left_out for text in (path.name, file)):
            excluded += 1
        else:
            files.append(file)
    return Listing(sorted(files), excluded, ignored)


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root, onerror=_pass_on, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _leads_back(Path(folder), name)
        ]
        start = Path(folder).relative_to(root)
        yield from ((start / name).as_posix() for name in names)


def _leads_back(folder: Path, name: str) -> bool:
    """Tell whether a folder is a link to one that it lies in: such a walk would not end."""
    path = folder / name
    return path.is_symlink() and folder.resolve().is_relative_to(path.resolve())


def _pass_on(error: OSError) -> None:
    raise error

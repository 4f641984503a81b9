"""Images of a folder and its subfolders."""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermolib._validation import DatasetNotFoundError, PathLike, as_path, require

__all__ = ["EXCLUDED", "SUFFIXES", "Listing", "check_source", "list_images"]

EXCLUDED = (
    *("*_seg.png", "*_segmentation.png", "*_superpixels.png", "*_attribute_*.png"),
    "*_hair.png",
)
"""Names under which the challenges, the synthetic one too, keep masks beside their images."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of images, in any case."""


class Listing(NamedTuple):
    """Images of a folder: sorted paths with slashes, relative to it; and how many files are none.

    `excluded` counts the images that a pattern left out, `ignored` files that are not images, or
    hidden.
    """

    files: list[str]
    excluded: int
    ignored: int


def check_source(source: PathLike) -> Path:
    """Refuse what is not a folder, and resolve it."""
    root = as_path(source, "source")
    if not root.exists():
        raise DatasetNotFoundError(root, "a folder of images, in subfolders or not")
    hint = "Read a single image with `dermolib.io.read_image`."
    require(root.is_dir(), "source", "a folder of images", f"the file {root}", hint)
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
        ValueError: There are no images.
        OSError: A subfolder cannot be read.
    """
    one = isinstance(exclude, str)
    hint = f"Write `[{exclude!r}]`." if one else "Write `()` to leave out none."
    several = not one and isinstance(exclude, Sequence)
    got = "one text" if one else repr(exclude)
    require(several, "exclude", "a list of patterns", got, hint, error=TypeError)
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
    what = f"a folder with images ({', '.join(SUFFIXES)})"
    got = f"{root} with none (excluded: {excluded}, other files: {ignored})"
    require(files, "source", what, got)
    return Listing(sorted(files), excluded, ignored)


def _walk(root: Path) -> Iterator[str]:
    def pass_on(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(root, onerror=pass_on, followlinks=True):
        folder = Path(place)
        visible = (name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if not _leads_back(folder / name)]
        yield from ((folder.relative_to(root) / name).as_posix() for name in names)


def _leads_back(path: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in: such a walk would not end."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())

"""Images of a folder and its subfolders."""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermolib._validation import DatasetNotFoundError, PathLike, as_path, require

__all__ = [
    "DOWNSAMPLED",
    "EXCLUDED",
    "MASK_TAILS",
    "SUFFIXES",
    "Listing",
    "check_source",
    "is_hidden",
    "list_images",
    "walk",
]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""Endings of images, in any case, the preferred one first."""

MASK_TAILS = ("_seg", "_segmentation", "_mask", "_lesion")
"""What follows the id in the name of a lesion mask, in any case, the preferred one first."""

DOWNSAMPLED = "_downsampled"
"""Ends the names of some files of ISIC 2019, and means nothing."""

EXCLUDED = (
    *("*_seg.*", "*_segmentation.*", "*_mask.*", "*_lesion.[!j]*"),
    *("*_hair.png", "*_superpixels.png", "*_attribute_*.png"),
)
"""Names of masks that lie beside their images; a JPEG named ``_lesion`` is an image."""


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

    Hidden files and folders (`is_hidden`) are ignored: what systems and editors leave behind has
    the endings of images too.

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
    left_out = re.compile("|".join(translate(pattern.lower()) for pattern in exclude) or "(?!)")
    files, excluded, ignored = [], 0, 0
    for file in walk(root):
        path = PurePosixPath(file)
        if is_hidden(path.name) or path.suffix.lower() not in SUFFIXES:
            ignored += 1
        elif any(left_out.match(text.lower()) for text in (path.name, file)):
            excluded += 1
        else:
            files.append(file)
    what = f"a folder with images ({', '.join(SUFFIXES)})"
    got = f"{root} with none (excluded: {excluded}, other files: {ignored})"
    require(files, "source", what, got)
    return Listing(sorted(files), excluded, ignored)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is one that systems leave behind.

    Its name begins with a dot, as that of ``._ISIC_1.jpg``, which macOS writes beside an image on
    other systems' disks, or it is the folder ``__MACOSX`` of an archive.
    """
    return name.startswith(".") or name == "__MACOSX"


def walk(root: Path, *, strict: bool = True) -> Iterator[str]:
    """Go through the files of a folder and its subfolders, but hidden ones, relative to it.

    Unless `strict`, a subfolder that cannot be read is left out, rather than an OSError.
    """

    def pass_on(error: OSError) -> None:
        if strict:
            raise error

    for place, folders, names in os.walk(root, onerror=pass_on, followlinks=True):
        folder = Path(place)
        visible = (name for name in folders if not is_hidden(name))
        folders[:] = [name for name in visible if not _leads_back(folder / name)]
        below = folder.relative_to(root).as_posix()
        begin = "" if below == "." else f"{below}/"
        yield from (begin + name for name in names)


def _leads_back(path: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in: such a walk would not end."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())

"""Which file, or which name in a store, an id means: as it is written, or but for what slips in."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.io.files import is_file
from dermolib.io.listing import DOWNSAMPLED, MASK_TAILS, SUFFIXES, is_hidden, walk
from dermolib.io.names import fold_case

__all__ = ["ImageFolder", "drop_ending", "loose_id", "match_ids"]

_RANKS = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
_LOSSY = (".jpg", ".jpeg")
_FOR_MASKS = re.compile(r"mask|seg|ground.?truth|annotation", re.IGNORECASE)
_SHOWN = 3


def drop_ending(name: str) -> str:
    """Remove the ending of an image, if any, from a name."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in _RANKS else name


def loose_id(name: str) -> str:
    """Spell an id, or a name, without its ending, ``_downsampled``, case and composition.

    Examples:
        >>> {loose_id(name) for name in ("ISIC_1", "isic_1.JPG", "ISIC_1_downsampled.jpg")}
        {'isic_1'}
    """
    name = drop_ending(name)
    return (name.lower() if name.isascii() else fold_case(name)).removesuffix(DOWNSAMPLED)


def match_ids(ids: Sequence[str], names: Collection[str], place: object) -> list[str]:
    """Find the name of each id: the same, but for an ending, or else that of the same `loose_id`.

    Args:
        ids: Ids (N,).
        names: Names without ending.
        place: Where they are, in errors.

    Returns:
        Names (N,), empty where there is none.

    Raises:
        ValueError: An id may mean several names.
    """
    found = [name if name in names else "" for name in ids]
    todo = [row for row, name in enumerate(found) if not name]
    for row in todo:
        name = drop_ending(ids[row])
        found[row] = name if name in names else ""
    todo = [row for row in todo if not found[row]]
    if not todo or not names:
        return found
    loose = {loose_id(ids[row]): list[str]() for row in todo}
    for name in names:
        if (fitting := loose.get(loose_id(name))) is not None:
            fitting.append(name)
    for row in todo:
        fitting = loose[loose_id(ids[row])]
        _check_one(fitting, ids[row], place)
        found[row] = (*fitting, "")[0]
    return found


def _check_one(fitting: Sequence[str], name: str, place: object) -> None:
    hint = "Move the others away, or name the file of each row in a column `image_path`."
    what, got = f"a place with one file for {name}", f"{len(fitting)} ({listed(fitting)})"
    require(len(fitting) <= 1, str(place), what, got, hint)


class ImageFolder:
    """Images and masks of a folder and its subfolders, found by ids; each is listed once at most.

    An image is named by its id and an ending of `SUFFIXES`; a mask by the id, one of `MASK_TAILS`
    and such an ending, and in a folder of masks by the id alone as well. Where no file has the very
    name, an ending of the id, letter case, the composition of letters and ``_downsampled`` do not
    matter. Of several files of one id in a folder, the ending or tail that comes first is taken,
    of masks one that is not a JPEG; in several folders, they are refused. Hidden files are ignored.

    Args:
        path: The folder.

    Raises:
        DatasetNotFoundError: There is no such folder.
    """

    def __init__(self, path: PathLike) -> None:
        """List the folder itself."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise DatasetNotFoundError(self.path, f"a folder with ID{SUFFIXES[0]} for each row")
        self._names: list[str] = []
        self._has_folders = False
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if _ends_as_image(name) and is_file(entry):
                    self._names.append(name)
                elif not (self._has_folders or is_hidden(name)):
                    # The entry would raise for a link that leads in a circle
                    self._has_folders = os.path.isdir(entry.path)  # noqa: PTH112 - as texts
        self._folders: dict[str, list[str]] | None = None

    def images(self, ids: Sequence[str], *, below: bool = False) -> list[str]:
        """Find the path of the image of each id; empty where there is none.

        Args:
            ids: Ids (N,).
            below: Whether to look in the subfolders, but those for masks, rather than the folder.
        """
        files: Iterable[str] = self._names
        if below:
            folders = self._below().items()
            kept = (names for name, names in folders if not _FOR_MASKS.search(name))
            files = (file for names in kept for file in names)
        index = _Index(((_stem(file), file) for file in files), lambda file: _RANKS[_ending(file)])
        return self._paths(index, ids)

    def masks(
        self,
        ids: Sequence[str],
        images: Sequence[str],
        *,
        own: bool,
        below: bool = False,
        folder: str = "",
    ) -> list[str]:
        """Find the path of the mask of each id; empty where there is none.

        Args:
            ids: Ids (N,).
            images: Path of the image of each id (N,), which is never its own mask.
            own: Whether this is a folder of masks.
            below: Whether to look in the subfolders rather than the folder itself.
            folder: A subfolder in which to look rather than in the folder itself.
        """
        files: Iterable[str] = self._names
        if below or folder:
            folders = self._below()
            some = folders.values() if below else [folders.get(folder, [])]
            files = (file for names in some for file in names)
        index = _Index(_mask_ids(files, own=own), _mask_rank)
        return self._paths(index, ids, images)

    def sample(self) -> list[str]:
        """Name a few images, of the folder itself if it has any, or else whatever is there."""
        below = (file for names in self._below().values() for file in names)
        images = sorted(self._names or below)
        others = (path.name for path in self.path.iterdir() if not is_hidden(path.name))
        return (images or sorted(others))[:_SHOWN]

    def _below(self) -> dict[str, list[str]]:
        """List the files of the subfolders, by subfolder."""
        if self._folders is None:
            self._folders = {}
            for file in walk(self.path, strict=False) if self._has_folders else ():
                folder, _, name = file.rpartition("/")
                if folder and _ends_as_image(name):
                    self._folders.setdefault(folder, []).append(file)
        return self._folders

    def _paths(self, index: "_Index", ids: Sequence[str], images: Sequence[str] = ()) -> list[str]:
        """Find the path of each id, but that of its image; of several files the one it names."""
        begin, found = f"{self.path}{os.sep}", match_ids(ids, index.files, self.path)
        paths = [begin + index.files[name] if name else "" for name in found]
        same = enumerate(zip(paths, images, strict=False))
        doubtful = {row for row, (path, image) in same if path == image != ""}
        if index.several:
            doubtful |= {row for row, name in enumerate(found) if name in index.several}
        for row in doubtful:
            files = [begin + file for file in index.several.get(found[row], ())]
            files = [file for file in files if file not in images[row : row + 1]]
            scattered = len({*map(os.path.dirname, files)}) > 1
            _check_one(files if scattered else [], ids[row], self.path)
            named = [file for file in files if os.path.basename(file) == ids[row]]  # noqa: PTH119 - as texts
            paths[row] = (*named, *files, "")[0]
        return paths


class _Index:
    """Files by the ids that they may have, and those of which several have one."""

    def __init__(
        self, pairs: Iterable[tuple[str, str]], rank: Callable[[str], tuple[int, ...] | int]
    ) -> None:
        self.files: dict[str, str] = {}
        self.several: dict[str, list[str]] = {}
        for name, file in pairs:
            known = self.files.setdefault(name, file)
            if known is not file:
                self.several.setdefault(name, [known]).append(file)
        for name, group in self.several.items():
            group.sort(key=lambda file: (rank(file), file))
            self.files[name] = group[0]


def _stem(file: str) -> str:
    stem = file.rpartition(".")[0]
    return stem.rpartition("/")[2] if "/" in stem else stem


def _ending(file: str) -> str:
    return file[file.rfind(".") :].lower()


def _ends_as_image(name: str) -> bool:
    return _ending(name) in _RANKS and not is_hidden(name)


def _mask_ids(files: Iterable[str], *, own: bool) -> Iterator[tuple[str, str]]:
    """Go through the ids of which files may be masks, with the file of each."""
    for file in files:
        stem = _stem(file)
        if (low := stem.lower()).endswith(MASK_TAILS):
            tail = next(tail for tail in MASK_TAILS if low.endswith(tail))
            yield stem[: -len(tail)], file
        if own or ("/" in file and _FOR_MASKS.search(file.rpartition("/")[0])):
            yield stem, file


def _mask_rank(file: str) -> tuple[int, ...]:
    low, ending = _stem(file).lower(), _ending(file)
    tails = [rank for rank, tail in enumerate(MASK_TAILS) if low.endswith(tail)]
    return (*tails, len(MASK_TAILS))[0], ending in _LOSSY, _RANKS[ending]

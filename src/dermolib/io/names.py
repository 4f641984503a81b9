"""Names of files that every system can hold and keep apart."""

import re
import unicodedata
from collections.abc import Iterable

from dermolib._validation import require

__all__ = ["LONGEST", "check_names", "fold_case", "is_portable"]

LONGEST = 255
"""Bytes of a name on the file systems in use."""

# Of the surrogates, those alone that stand for a byte which is not UTF-8 can be in a name
_CHARACTERS = re.compile(r'[^\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udc7f\udd00-\udfff]+')
_DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9¹²³]) *(?:\..*)?", re.IGNORECASE
)
_WHAT = "files of plain names that every system can hold and keep apart"


def is_portable(name: str) -> bool:
    """Tell whether a name means the same file or folder on all systems.

    Examples:
        >>> [is_portable(name) for name in ("ISIC_1.jpg", "aux.png", "a?.png", "a.", "..")]
        [True, False, False, False, False]
    """
    return bool(_CHARACTERS.fullmatch(name)) and not _is_reserved(name)


def _is_reserved(name: str) -> bool:
    # Windows drops what ends in a space or a dot; what leads out of a folder ends in a dot as well
    return name.endswith((" ", ".")) or bool(_DEVICE.fullmatch(name))


def fold_case(name: object) -> str:
    """Spell a name as file systems do that ignore case and the composition of letters.

    Examples:
        >>> fold_case("E\u0301.PNG") == fold_case("é.png")
        True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold())


def check_names(
    files: Iterable[tuple[str, str]],
    argument: str,
    hint: str = "Rename one of them, or exclude it.",
    *,
    written: bool = True,
) -> None:
    """Refuse files of which some system could not hold one, or would lose one to another.

    Args:
        files: Name of each file and the name that it gets, with slashes.
        argument: What they belong to in the error.
        hint: What to do about it.
        written: Whether files are written by these names, so that each character counts.

    Raises:
        ValueError: A name is not plain on every system, two of the new names differ in letter case
            or the composition of letters alone, or a new name is also that of a folder.
    """
    taken: dict[str, str] = {}
    for file, name in files:
        parts = file.split("/")
        portable = all(map(is_portable, parts)) if written else not any(map(_is_reserved, parts))
        require(portable, argument, _WHAT, f"{file!r}, which not every system can", hint)
        size = max(len(part.encode("utf-8", "surrogateescape")) for part in name.split("/"))
        got = f"{file}, of which a name of {size} bytes would be made, more than {LONGEST}"
        require(not written or size <= LONGEST, argument, _WHAT, got, hint)
        key = fold_case(name)
        got = f"{taken.get(key)} and {file}, which would both be {name} on some systems"
        require(key not in taken, argument, _WHAT, got, hint)
        taken[key] = file
    for name, file in taken.items():
        for place in (match.start() for match in re.finditer("/", name)):
            other = taken.get(name[:place], file)
            got = f"{other} and {file}, of which one would be a folder in place of the other"
            require(other == file, argument, _WHAT, got, hint)

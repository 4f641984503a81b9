"""What may be said of the files of a collection, so that each has a place of its own in a folder.

A description may come from a file or from elsewhere: its names are no more trusted than those in
an archive, and are refused before a server is asked.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from dermolib._validation import check_number, expected

__all__ = [
    "LEDGER",
    "check_digest",
    "check_name",
    "check_part_name",
    "check_places",
    "check_size",
    "check_urls",
]

LEDGER = "downloads.json"
"""Name of the file that notes what was fetched into a folder."""

_LONGEST = 200  # bytes: the names of temporary files are longer, and file systems take 255
_ODD = re.compile(r"[\x00-\x1f\x7f/\\:]")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}|md5:[0-9a-fA-F]{32}")
_SCHEMES = ("https://", "http://")


def check_name(name: Any) -> None:
    """Refuse a name, or that of its unpacked folder, which leads elsewhere or is ours.

    Args:
        name: Name of a file.

    Raises:
        TypeError: It is no text.
        ValueError: It may not be the name of a file of a collection.
    """
    what = f"a plain file name of up to {_LONGEST} bytes that begins with no point"
    if not isinstance(name, str):
        raise TypeError(expected("name", what, repr(name)))
    for place in (name, name.removesuffix(".zip")):
        if not _is_plain(place):
            raise ValueError(expected("name", what, repr(name)))
        if _folded(place) == LEDGER or _folded(place).endswith((".part", ".part.json")):
            what = f"none of {LEDGER}, *.part and *.part.json, which `download` writes itself"
            raise ValueError(expected("name", what, repr(name)))


def check_part_name(part: Any) -> None:
    """Refuse what is not a name of a part.

    Args:
        part: Part of a collection.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty.
    """
    if not isinstance(part, str):
        raise TypeError(expected("part", "a name", repr(part)))
    if not part:
        raise ValueError(expected("part", "a name", repr(part)))


def check_places(names: Iterable[str]) -> None:
    """Refuse files that would lie in one place, also where a disk tells no capitals apart.

    Args:
        names: Names of the files of a collection.

    Raises:
        ValueError: Two of them, or of the folders that they unpack to, are one.
    """
    owners: dict[str, str] = {}
    for name in names:
        places = {_folded(name), _folded(name.removesuffix(".zip"))}
        taken = sorted(owners[place] for place in places if place in owners)
        if taken:
            what = "without two of one name or unpacked folder, however it is spelled"
            raise ValueError(expected("files", what, f"{taken[0]!r} and {name!r}"))
        owners.update(dict.fromkeys(places, name))


def check_urls(urls: Any) -> None:
    """Refuse what is not a tuple of addresses on the web.

    Args:
        urls: Addresses of one file.

    Raises:
        TypeError: They are no tuple of texts.
        ValueError: There is none, or one is not of http or https.
    """
    what = "a tuple of addresses of https:// or http://, one or more"
    if not isinstance(urls, tuple) or not all(isinstance(url, str) for url in urls):
        remedy = f"Write `({urls!r},)` for this one." if isinstance(urls, str) else ""
        raise TypeError(expected("urls", what, repr(urls), remedy))
    if not urls or not all(url.startswith(_SCHEMES) for url in urls):
        raise ValueError(expected("urls", what, repr(urls)))


def check_size(size: Any) -> None:
    """Refuse what is neither None nor a number of bytes.

    Args:
        size: Size of a file.

    Raises:
        TypeError: It is no integer.
        ValueError: It is negative.
    """
    if size is not None:
        check_number(size, "size", low=0, integer=True)


def check_digest(digest: Any) -> None:
    """Refuse what is neither None nor a digest of a known kind.

    Args:
        digest: Digest of a file.

    Raises:
        TypeError: It is no text.
        ValueError: It is no SHA-256 or MD5 of the right length.
    """
    if digest is None:
        return
    sentence = expected(
        "digest", "sha256: and 64 or md5: and 32 hexadecimal digits, or None", repr(digest)
    )
    if not isinstance(digest, str):
        raise TypeError(sentence)
    if not _DIGEST.fullmatch(digest):
        raise ValueError(sentence)


def _is_plain(name: str) -> bool:
    # Windows drops what ends in a space or a point; what begins with a point is hidden, or ours
    ends = bool(name) and not name.startswith(".") and not name.endswith((" ", "."))
    return ends and not _ODD.search(name) and _bytes(name) <= _LONGEST


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _folded(name: str) -> str:
    """Spell a name as file systems do that tell neither case nor composed letters apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

"""The public collections that can be downloaded, and what is known of each of their files."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dermolib._validation import check_choice, check_number, require
from dermolib.io import fold_case, is_portable

__all__ = ["Archive", "Collection", "find_collection", "list_collections", "list_files"]

JOURNAL = "downloads.jsonl"
"""Name of the file that records what was downloaded into a folder."""

_LONGEST = 200  # bytes: the names of temporary files are longer, and file systems take 255
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}|md5:[0-9a-fA-F]{32}")
# Readers know them by these names
_ELSEWHERE = {
    "isic2024": "it is at https://challenge.isic-archive.com/data/#2024.",
    "challenge": "its organizers have its tables, and its images are those of 'isic2019', part "
    "'training'.",
}


@dataclass(frozen=True)
class Archive:
    """One file of a collection.

    Attributes:
        name: File name of up to 200 bytes; one that ends in .zip unpacks to the folder of that name
            without the ending, any other is used as it is.
        part: Part of the collection that it belongs to.
        urls: Its addresses, http or https; one that refuses gives way to the next.
        size: Size in bytes, or None where none is published.
        digest: ``"sha256:…"`` or ``"md5:…"``, or None where none is published.

    Raises:
        TypeError: One of them is of another type.
        ValueError: The name leads out of the folder or is one that `download` needs itself, there
            is no address, or the size or the digest is malformed.

    Examples:
        >>> Archive("../table.csv", "all", ("https://example.org/table.csv",))
        Traceback (most recent call last):
        ValueError: Expected `name` to be a plain file name of up to 200 bytes without a leading
        dot, but got '../table.csv'.
    """

    name: str
    part: str
    urls: tuple[str, ...]
    size: int | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be true of a file, before anything is downloaded."""
        what, got = f"a plain file name of up to {_LONGEST} bytes without a leading dot", self.name
        require(isinstance(self.name, str), "name", what, repr(got), error=TypeError)
        plain = all(map(_is_plain, (self.name, self.target)))
        require(plain, "name", what, repr(got))
        ours = any(map(_is_ours, (self.name, self.target)))
        what = f"none of {JOURNAL}, *.part and *.part.json, which `download` writes itself"
        require(not ours, "name", what, repr(got))
        require(isinstance(self.part, str), "part", "a name", repr(self.part), error=TypeError)
        require(self.part, "part", "a name", repr(self.part))
        urls: Any = self.urls
        what = "a tuple of addresses of https:// or http://, one or more"
        hint = f"Write `({urls!r},)` for this one." if isinstance(urls, str) else ""
        texts = isinstance(urls, tuple) and all(isinstance(url, str) for url in urls)
        require(texts, "urls", what, repr(urls), hint, error=TypeError)
        web = all(url.startswith(("https://", "http://")) for url in urls)
        require(urls and web, "urls", what, repr(urls))
        if self.size is not None:
            check_number(self.size, "size", low=0, integer=True)
        if self.digest is not None:
            what, text = "sha256: and 64 or md5: and 32 hexadecimal digits, or None", self.digest
            require(isinstance(text, str), "digest", what, repr(text), error=TypeError)
            require(_DIGEST.fullmatch(text), "digest", what, repr(text))

    @property
    def target(self) -> str:
        """Name of the unpacked folder or of the file itself, which a reader opens."""
        return self.name.removesuffix(".zip")


@dataclass(frozen=True)
class Collection:
    """A public collection of images.

    Attributes:
        name: Name to ask for.
        title: Name as published.
        page: Page of its publisher.
        license: License of the images.
        citation: DOI, or address of the paper, that users must cite.
        files: Its files, one or more, of which no two share a name or an unpacked folder, also
            where these differ in case alone.

    Raises:
        TypeError: One of them is of another type.
        ValueError: There are no files, or two of them share a place.
    """

    name: str
    title: str
    page: str
    license: str
    citation: str
    files: tuple[Archive, ...]

    def __post_init__(self) -> None:
        """Refuse files that would overwrite each other, before anything is downloaded."""
        for key in ("name", "title", "page", "license", "citation"):
            value = getattr(self, key)
            require(isinstance(value, str), key, "a text", repr(value), error=TypeError)
        got: Any = self.files
        what = "a tuple of `Archive`, one or more"
        archives = isinstance(got, tuple) and all(isinstance(file, Archive) for file in got)
        require(archives, "files", what, repr(got), error=TypeError)
        require(got, "files", what, "none")
        owners: dict[str, str] = {}
        for file in got:
            places = {fold_case(file.name), fold_case(file.target)}
            owner = next((owners[place] for place in places if place in owners), None)
            what = "without two that share a name or an unpacked folder in any spelling"
            require(owner is None, "files", what, f"{owner!r} and {file.name!r}")
            owners.update(dict.fromkeys(places, file.name))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts, in the order of the files."""
        return tuple(dict.fromkeys(file.part for file in self.files))


def list_collections() -> list[str]:
    """List the collections that can be downloaded.

    Returns:
        Their names.

    Examples:
        >>> list_collections()
        ['isic2018', 'isic2019', 'isic2020', 'ham10000']
    """
    return list(_collections())


def find_collection(name: str) -> Collection:
    """Look up a collection.

    Args:
        name: One of `list_collections`.

    Returns:
        The collection and its files.

    Raises:
        ValueError: There is no such collection, or it is known and cannot be downloaded; those that
            can are listed.

    Examples:
        >>> find_collection("isic2019").parts
        ('training', 'test')
    """
    known, hint = _collections(), ""
    spelled = "".join(letter for letter in str(name).casefold() if letter.isalnum())
    if spelled in _ELSEWHERE:
        hint = f"It cannot be downloaded here; {_ELSEWHERE[spelled]}"
    elif spelled in known and name != spelled:
        hint = f"Did you mean {spelled!r}?"
    what = f"one of {', '.join(map(repr, known))}"
    require(not hint, "collection", what, repr(name), hint)
    check_choice(name, "collection", known)
    return known[name]


def list_files(name: str | None = None) -> str:
    """Describe all collections, or the files of one, as a person reads it.

    Args:
        name: One of `list_collections`; None for a line about each.

    Returns:
        One line for each collection or file.

    Raises:
        ValueError: There is no such collection.

    Examples:
        >>> print(list_files("ham10000").splitlines()[1])
        images            1,366,522,108  MD5      HAM10000_images_part_1.zip
    """
    if name is None:
        return "\n".join(f"{item.name}  {_summary(item)}" for item in _collections().values())
    collection = find_collection(name)
    lines = [_summary(collection)]
    for file in collection.files:
        size = "size unknown" if file.size is None else f"{file.size:,}"
        lines.append(f"{file.part:<16} {size:>14}  {digest_title(file) or '-':<7}  {file.name}")
    return "\n".join(lines)


def digest_title(file: Archive) -> str:
    """Name the kind of the published digest; empty where none is."""
    return {"sha256": "SHA-256", "md5": "MD5"}.get((file.digest or "").partition(":")[0], "")


def _summary(collection: Collection) -> str:
    size = sum(file.size or 0 for file in collection.files)
    unknown = sum(file.size is None for file in collection.files)
    more = f" and {unknown} files of unknown size" if unknown else ""
    return (
        f"{collection.title}: {size / 1e9:.1f} GB{more}; parts {', '.join(collection.parts)}; "
        f"{collection.license}; {collection.page}"
    )


def _is_plain(name: str) -> bool:
    # What begins with a dot is hidden, or ours
    short = len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
    return is_portable(name) and short and not name.startswith(".")


def _is_ours(name: str) -> bool:
    return fold_case(name) == JOURNAL or fold_case(name).endswith((".part", ".part.json"))


@cache
def _collections() -> dict[str, Collection]:
    """Read the table of collections beside this module."""
    table = files("dermolib.datasets.download").joinpath("collections.toml")
    known = tomllib.loads(table.read_text(encoding="utf-8"))
    return {name: _collection(name, **entry) for name, entry in known.items()}


def _collection(name: str, *, urls: list[str], files: list[str], **about: Any) -> Collection:
    archives = []
    for part, file, size, digest, *number in map(str.split, files):
        addresses = tuple(url.format(name=file, id="".join(number)) for url in urls)
        known = (None if size == "-" else int(size), None if digest == "-" else digest)
        archives.append(Archive(file, part, addresses, *known))
    return Collection(name, **about, files=tuple(archives))

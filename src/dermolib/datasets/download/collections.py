"""The public collections that can be fetched, and what is known of each of their files.

A digest stands here where one is published: by the archive itself (Harvard Dataverse shows an MD5),
or by two or more projects that fetched the file and check against it; the one file with a single
witness says so. Where none is published the digest is None, and what comes is recorded.
"""

from dataclasses import dataclass

from dermolib._validation import check_choice, expected
from dermolib.datasets.download.names import (
    check_digest,
    check_name,
    check_part_name,
    check_places,
    check_size,
    check_urls,
)

__all__ = ["Archive", "Collection", "find_collection", "list_collections", "list_files"]

# The organisers serve the same files from both places; the second is the older one
_ISIC = (
    "https://isic-archive.s3.amazonaws.com/challenges",
    "https://isic-challenge-data.s3.amazonaws.com",
)
_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
_CC_BY_NC = "CC BY-NC 4.0"
# Readers know them by these names
_ELSEWHERE = {
    "isic2024": "it is at https://challenge.isic-archive.com/data/#2024.",
    "challenge": "its organisers have its tables, and its images are those of 'isic2019', part "
    "'training'.",
}


@dataclass(frozen=True)
class Archive:
    """One file of a collection.

    Attributes:
        name: Plain name of the file, up to 200 bytes; one that ends in .zip unpacks to the folder
            of that name without the ending, any other is used as it is.
        part: Part of the collection that it belongs to.
        urls: Where it is, http or https; one that refuses gives way to the next.
        size: Size in bytes, or None where none is published.
        digest: ``"sha256:…"`` or ``"md5:…"``, or None where none is published.

    Raises:
        TypeError: One of them is of another type.
        ValueError: The name leads elsewhere or is one that `download` needs itself, there is no
            address, or the size or the digest cannot be one.

    Examples:
        >>> Archive("../table.csv", "all", ("https://example.org/table.csv",))
        Traceback (most recent call last):
        ValueError: Expected `name` to be a plain file name of up to 200 bytes that begins with no
        point, but got '../table.csv'.
    """

    name: str
    part: str
    urls: tuple[str, ...]
    size: int | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be true of a file, before anything is fetched."""
        check_name(self.name)
        check_part_name(self.part)
        check_urls(self.urls)
        check_size(self.size)
        check_digest(self.digest)

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
        licence: Licence of the images.
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
    licence: str
    citation: str
    files: tuple[Archive, ...]

    def __post_init__(self) -> None:
        """Refuse files that would overwrite each other, before anything is fetched."""
        for key in ("name", "title", "page", "licence", "citation"):
            if not isinstance(getattr(self, key), str):
                raise TypeError(expected(key, "a text", repr(getattr(self, key))))
        what = "a tuple of `Archive`, one or more"
        files: object = self.files
        if not isinstance(files, tuple) or not all(isinstance(file, Archive) for file in files):
            raise TypeError(expected("files", what, repr(files)))
        if not files:
            raise ValueError(expected("files", what, "none"))
        check_places(file.name for file in self.files)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts, in the order of the files."""
        return tuple(dict.fromkeys(file.part for file in self.files))


def list_collections() -> list[str]:
    """List the collections that can be fetched.

    Returns:
        Their names.

    Examples:
        >>> list_collections()
        ['isic2018', 'isic2019', 'isic2020', 'ham10000']
    """
    return list(_COLLECTIONS)


def find_collection(name: str) -> Collection:
    """Look up a collection.

    Args:
        name: One of `list_collections`.

    Returns:
        The collection and its files.

    Raises:
        ValueError: There is no such collection, or it is known and cannot be fetched; those that
            can are listed.

    Examples:
        >>> find_collection("isic2019").parts
        ('training', 'test')
    """
    remedy = _remedy(name)
    if remedy:
        what = f"one of {', '.join(map(repr, _COLLECTIONS))}"
        raise ValueError(expected("collection", what, repr(name), remedy))
    check_choice(name, "collection", _COLLECTIONS)
    return _COLLECTIONS[name]


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
        return "\n".join(f"{item.name}  {_summary(item)}" for item in _COLLECTIONS.values())
    collection = find_collection(name)
    lines = [_summary(collection)]
    for file in collection.files:
        size = "size unknown" if file.size is None else f"{file.size:,}"
        digest = (file.digest or "none").partition(":")[0]
        kind = {"sha256": "SHA-256", "md5": "MD5", "none": "-"}[digest]
        lines.append(f"{file.part:<16} {size:>14}  {kind:<7}  {file.name}")
    return "\n".join(lines)


def _remedy(name: object) -> str:
    """Say where a known collection is that is not fetched here, or how it is spelled."""
    spelled = "".join(letter for letter in str(name).casefold() if letter.isalnum())
    if spelled in _ELSEWHERE:
        return f"It cannot be fetched here; {_ELSEWHERE[spelled]}"
    if spelled in _COLLECTIONS and name != spelled:
        return f"Did you mean {spelled!r}?"
    return ""


def _summary(collection: Collection) -> str:
    size = sum(file.size or 0 for file in collection.files)
    unknown = sum(file.size is None for file in collection.files)
    more = f" and {unknown} files of unknown size" if unknown else ""
    parts = ", ".join(collection.parts)
    return (
        f"{collection.title}: {size / 1e9:.1f} GB{more}; parts {parts}; {collection.licence}; "
        f"{collection.page}"
    )


def _isic(
    year: int, part: str, name: str, *, size: int | None = None, digest: str | None = None
) -> Archive:
    urls = tuple(f"{place}/{year}/{name}" for place in _ISIC)
    return Archive(name, part, urls, size, digest)


def _dataverse(part: str, name: str, file: str, *, size: int, md5: str) -> Archive:
    return Archive(name, part, (f"{_DATAVERSE}/{file}",), size, f"md5:{md5}")


_ISIC_2018 = Collection(
    "isic2018",
    "ISIC Challenge 2018, tasks 1 and 3",
    "https://challenge.isic-archive.com/data/#2018",
    f"task 1 CC0, task 3 {_CC_BY_NC}",
    "doi:10.1038/sdata.2018.161 and arXiv:1902.03368",
    (
        _isic(
            2018,
            "task1-training",
            "ISIC2018_Task1-2_Training_Input.zip",
            size=11_165_358_566,
            digest="sha256:80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f",
        ),
        _isic(
            2018,
            "task1-training",
            "ISIC2018_Task1_Training_GroundTruth.zip",
            size=27_402_895,
            digest="sha256:99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
        ),
        _isic(
            2018,
            "task1-validation",
            "ISIC2018_Task1-2_Validation_Input.zip",
            size=239_231_159,
            digest="sha256:0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797",
        ),
        _isic(
            2018,
            "task1-validation",
            "ISIC2018_Task1_Validation_GroundTruth.zip",
            size=759_706,
            digest="sha256:f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285",
        ),
        _isic(
            2018,
            "task1-test",
            "ISIC2018_Task1-2_Test_Input.zip",
            digest="sha256:e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d",
        ),
        _isic(
            2018,
            "task1-test",
            "ISIC2018_Task1_Test_GroundTruth.zip",
            digest="sha256:2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82",
        ),
        _isic(2018, "task3-training", "ISIC2018_Task3_Training_Input.zip", size=2_771_732_744),
        _isic(
            2018,
            "task3-training",
            "ISIC2018_Task3_Training_GroundTruth.zip",
            digest="md5:8302427e4ce0c107559531b9f444abe9",
        ),
        _isic(
            2018,
            "task3-training",
            "ISIC2018_Task3_Training_LesionGroupings.csv",
            digest="md5:9517b6aa6902d6c27e234bac8279a64a",  # a single witness
        ),
        _isic(2018, "task3-validation", "ISIC2018_Task3_Validation_Input.zip"),
        _isic(2018, "task3-validation", "ISIC2018_Task3_Validation_GroundTruth.zip"),
        _isic(2018, "task3-test", "ISIC2018_Task3_Test_Input.zip"),
        _isic(2018, "task3-test", "ISIC2018_Task3_Test_GroundTruth.zip"),
    ),
)

_ISIC_2019 = Collection(
    "isic2019",
    "ISIC Challenge 2019",
    "https://challenge.isic-archive.com/data/#2019",
    _CC_BY_NC,
    "doi:10.1038/sdata.2018.161, arXiv:1710.05006 and arXiv:1908.02288",
    (
        _isic(
            2019,
            "training",
            "ISIC_2019_Training_Input.zip",
            size=9_771_618_190,
            digest="sha256:5075020b720c8f1b9b7f3ff85326c55ce0435e5906c41fbd338994feef886df1",
        ),
        _isic(
            2019,
            "training",
            "ISIC_2019_Training_GroundTruth.csv",
            size=1_291_479,
            digest="sha256:aa88e9638fe4df9ef330dc4ba22fa4bd475c44af692fffb870c73091ab25cdcd",
        ),
        _isic(
            2019,
            "training",
            "ISIC_2019_Training_Metadata.csv",
            size=1_214_351,
            digest="sha256:d93994a8ed201d474de9a7af7e17ec30929cbc4a5220659ecbde17cbe83e9316",
        ),
        _isic(2019, "test", "ISIC_2019_Test_Input.zip"),
        _isic(2019, "test", "ISIC_2019_Test_GroundTruth.csv"),
        _isic(2019, "test", "ISIC_2019_Test_Metadata.csv"),
    ),
)

_ISIC_2020 = Collection(
    "isic2020",
    "SIIM-ISIC Challenge 2020",
    "https://challenge.isic-archive.com/data/#2020",
    _CC_BY_NC,
    "doi:10.34970/2020-ds01 and doi:10.1038/s41597-021-00815-z",
    (
        _isic(2020, "training", "ISIC_2020_Training_JPEG.zip", size=24_707_698_022),
        _isic(
            2020,
            "training",
            "ISIC_2020_Training_GroundTruth_v2.csv",
            size=2_387_418,
            digest="sha256:a1c7c97c59e5f49232dfe3b6f6817efaaee5dbf9bcb4ce584c1889e641be5c4e",
        ),
        _isic(
            2020,
            "training",
            "ISIC_2020_Training_Duplicates.csv",
            size=11_500,
            digest="sha256:ddfd6c2d42430bd3581f3b2116bdb1433462a7109c715a02bf7f51115fcfabce",
        ),
        _isic(2020, "test", "ISIC_2020_Test_JPEG.zip"),
        _isic(2020, "test", "ISIC_2020_Test_Metadata.csv"),
    ),
)

_HAM10000 = Collection(
    "ham10000",
    "HAM10000, Harvard Dataverse version 4",
    "https://doi.org/10.7910/DVN/DBW86T",
    _CC_BY_NC,
    "doi:10.1038/sdata.2018.161, and doi:10.1038/s41591-020-0942-0 for the segmentations",
    (
        _dataverse(
            "images",
            "HAM10000_images_part_1.zip",
            "3172585",
            size=1_366_522_108,
            md5="4639bfa73ab251610530a97c898e6e46",
        ),
        _dataverse(
            "images",
            "HAM10000_images_part_2.zip",
            "3172584",
            size=1_403_566_547,
            md5="da43d6cc50f6613013be07e8986b384b",
        ),
        _dataverse(
            "metadata",
            "HAM10000_metadata.csv",
            # Dataverse would convert the table, and publishes the digest of the original
            "4338392?format=original",
            size=690_218,
            md5="8f85fb1aa29d80a2797247e434deb79d",
        ),
        _dataverse(
            "segmentations",
            "HAM10000_segmentations_lesion_tschandl.zip",
            "3838943",
            size=10_808_743,
            md5="6e8d252e09cfdb0189199f15985a5b84",
        ),
    ),
)

_COLLECTIONS = {
    collection.name: collection for collection in (_ISIC_2018, _ISIC_2019, _ISIC_2020, _HAM10000)
}

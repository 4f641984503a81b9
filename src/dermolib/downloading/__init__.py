"""A name to a folder: public collections fetched, checked and unpacked, on request alone."""

from dermolib._fetch import Patience
from dermolib.downloading.archives import (
    Archive,
    Collection,
    find_collection,
    list_collections,
    list_files,
)
from dermolib.downloading.run import Download, DownloadedFile, download

__all__ = [
    "Archive",
    "Collection",
    "Download",
    "DownloadedFile",
    "Patience",
    "download",
    "find_collection",
    "list_collections",
    "list_files",
]

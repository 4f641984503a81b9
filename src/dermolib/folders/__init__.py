"""Folders to folders: work on every image file, parallel and resumable."""

from dermolib.folders.hair import remove_hair_from_folder
from dermolib.folders.report import FolderReport

__all__ = ["FolderReport", "remove_hair_from_folder"]

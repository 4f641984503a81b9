"""Lesion masks for folders: every image file to the mask of its lesion, resumable, with a table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from dermolib._jobs import Job, Record, check_folder, library_versions
from dermolib._validation import (
    PathLike,
    as_path,
    check_choice,
    check_number,
    check_type,
    printable,
)
from dermolib.io import EXCLUDED, check_source, list_images, read_image, write_mask
from dermolib.preprocessing.artifacts import ARTIFACTS, name_artifacts, network_digest
from dermolib.preprocessing.folder_work import (
    FolderWork,
    check_beside,
    check_targets,
    run_work,
)
from dermolib.preprocessing.functions import check_sendable
from dermolib.preprocessing.lesion import confidence, lesion_mask, look_for_lesion
from dermolib.preprocessing.methods import MaskMethod, MethodChoice, json_value
from dermolib.preprocessing.segmentation import (
    DEFAULT_METHOD,
    find_segmentation_method,
    segment_lesion,
)

__all__ = ["SegmentationReport", "segment_folder"]

_JOURNAL = "segment.jsonl"


@dataclass(frozen=True)
class SegmentationReport:
    """What became of the images of a folder; as text, a summary of a few lines.

    Attributes:
        found: Images in which this run found a lesion.
        empty: Images in which this run found none: their masks are black.
        skipped: Images that an earlier run had done.
        failed: Images that could not be read or segmented.
        failures: The first 100 of these, each with the reason; the table has all.
        excluded: Images that a pattern left out.
        ignored: Files that are not images, or hidden.
        orphaned: Images that an earlier run did and that are no longer in the source; their masks
            stay, without a row in the table.
        csv: Path of the table.
    """

    found: int
    empty: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    excluded: int
    ignored: int
    orphaned: int
    csv: Path

    def __str__(self) -> str:
        """Sum up in two to five lines."""
        found = f"{self.found:,} with a lesion, {self.empty:,} without one"
        lines = [f"Images: {found}, {self.skipped:,} done before, {self.failed:,} failed."]
        if self.excluded or self.ignored:
            files = f"{self.excluded:,} by their names, {self.ignored:,} that are not images"
            lines.append(f"Left out: {files}.")
        if self.orphaned:
            lines.append(f"Masks whose image is gone: {self.orphaned:,}.")
        if self.failed:
            more = f" (and {self.failed - 1:,} more in the table)" if self.failed > 1 else ""
            lines.append(f"Failed: {': '.join(self.failures[0])}{more}")
        return "\n".join(map(printable, [*lines, f"Table: {self.csv}"]))


def segment_folder(
    source: PathLike,
    destination: PathLike,
    *,
    method: MethodChoice = DEFAULT_METHOD,
    exclude: Sequence[str] = EXCLUDED,
    overwrite: bool = False,
    errors: str = "record",
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> SegmentationReport:
    """Outline the lesions of all images of a folder and its subfolders; the source stays as it is.

    Each mask is a PNG file of 0 and 255 with the relative path of its image, so that
    ``ISICDataset(table, images, masks=True, mask_dir=destination)`` finds it.

    ``segment.csv`` in the destination has one row for each image, sorted by path: file, id (its
    name without ending), output, height, width, area_fraction of the mask (0..1), confidence (see
    `Analysis`, whatever the method), the probability of each of `ARTIFACTS`, and error. An image
    that cannot be read or segmented has a row with the reason and no mask. The table is written
    last: where it is, the run is finished.

    Files appear whole or not at all, and the same call continues an interrupted run. An image is
    done when the same settings have made its mask of a source of the same size and time of change,
    and the mask holds the bytes that were written; one that failed is tried again.
    ``segment.jsonl`` beside the table is the journal of the runs. Files that no run wrote are never
    overwritten, nor masks and a table that were changed since: the call names them. All files are
    the same bytes for any number of workers.

    Args:
        source: Folder of images: JPEG, PNG, TIFF, BMP, GIF and WebP, told by their endings in any
            case. Other files, and files and folders with names that begin with a dot, are ignored.
        destination: Folder for the masks: new, of the same run, or without files of the same names.
        method: See `segment_lesion`. The code of a function of yours is part of the settings, so
            that its source must be readable.
        exclude: Patterns with ``*`` and ``?``, in any case, of the names or relative paths of
            images to leave out; by default the masks that the challenges keep beside images.
        overwrite: Whether to make everything again that earlier runs made, of whatever settings;
            what was changed since is named all the same.
        errors: ``"record"`` notes images that fail and goes on, ``"raise"`` stops at the first.
        workers: Number of parallel workers, 1 or more.
        progress: Whether a progress bar is shown.
        options: Options of the method, see `segment_lesion`.

    Returns:
        Counts, failures, and the path of the table.

    Raises:
        TypeError: A number is not an integer, the method does not take an option or it is not a
            number or a text, or `exclude` is one text.
        FileNotFoundError: The source is not there.
        ValueError: The source is a file or has no images; the destination lies in the source or
            around it, holds other files of these names or changed ones, a run with other settings,
            or one that goes on; the journal is damaged; two images would become one file; a setting
            is unknown or out of range; or, with ``errors="raise"``, an image failed.
        RuntimeError: A function of yours fails on a gray image of 64 x 64 px, which it is tried on.
        OSError: A folder cannot be read or written, or the disk is full.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from dermolib.io import read_mask, write_image
        >>> rows, columns = np.mgrid[:120, :160]
        >>> disc = (rows - 60) ** 2 + (columns - 80) ** 2 < 30**2
        >>> image = np.where(disc[..., None], (110, 70, 50), (225, 180, 160)).astype(np.uint8)
        >>> with TemporaryDirectory() as folder:
        ...     write_image(f"{folder}/in/a.png", image)
        ...     report = segment_folder(
        ...         f"{folder}/in", f"{folder}/out", method="classical", progress=False
        ...     )
        ...     mask = read_mask(f"{folder}/out/a.png")
        >>> report.found, report.failed, bool(mask[60, 80]), bool(mask[5, 5])
        (1, 0, True, False)
    """
    check_number(workers, "workers", low=1, integer=True)
    check_choice(errors, "errors", ("record", "raise"))
    root, target = check_source(source), Path(os.path.realpath(as_path(destination, "destination")))
    check_folder(target, "destination")
    check_beside(root, target, "destination")
    chosen = find_segmentation_method(method)
    for name, value in options.items():
        check_type(value, name, (int, float, str, np.number), "a number or a text")
    complete = chosen.options(options)
    if workers > 1:
        check_sendable(chosen.mask)
    work = _Segmenting(root, target, chosen, complete)
    listing = list_images(root, exclude=exclude)
    check_targets(listing.files, work)
    # Refuses what the method does not take, before anything is written
    segment_lesion(np.full((64, 64, 3), 128, np.uint8), method=chosen, **complete)
    settings = {
        "method": chosen.fingerprint(),
        "options": {name: json_value(value) for name, value in sorted(complete.items())},
        "network": network_digest(),
        "versions": library_versions(),
    }
    fields, tables = work.fields(), [work.TABLE]
    job = Job(
        target,
        kind="dermolib segment",
        settings=settings,
        key="file",
        fields=fields,
        journal=_JOURNAL,
        tables=tables,
    )
    found = 0

    def note(record: Record) -> None:
        nonlocal found
        found += record["area_fraction"] > 0

    with job.open(overwrite=overwrite):
        outcome = run_work(
            job,
            work,
            listing.files,
            overwrite=overwrite,
            errors=errors,
            workers=workers,
            progress=progress,
            note=note,
        )
    return SegmentationReport(
        found=found,
        empty=outcome.processed - found - outcome.failed,
        skipped=outcome.skipped,
        failed=outcome.failed,
        failures=outcome.failures,
        excluded=listing.excluded,
        ignored=listing.ignored,
        orphaned=len(outcome.orphaned),
        csv=target / work.TABLE,
    )


@dataclass(frozen=True)
class _Segmenting(FolderWork):
    """How the lesions of a folder are outlined."""

    method: MaskMethod
    options: Mapping[str, Any]

    FOUND: ClassVar[Mapping[str, Any]] = {
        "id": "",
        **dict.fromkeys(("area_fraction", "confidence", *ARTIFACTS), 0.0),
    }
    TABLE = "segment.csv"
    COLUMNS = ("file", "id", "output", "height", "width", *list(FOUND)[1:], "error")

    def names(self, file: str) -> dict[str, str]:
        """Name the mask of a file, relative to the destination."""
        return {"output": str(PurePosixPath(file).with_suffix(".png"))}

    def record(self, file: str) -> Record:
        """Claim a file, whose id is known beforehand."""
        return super().record(file) | {"id": PurePosixPath(file).stem}

    def process(self, path: Path, targets: Sequence[Path]) -> Record:
        """Outline the lesion of one image, with one look of the network."""
        image = read_image(path)
        picture = look_for_lesion(image)
        if self.method.own and self.method.name == DEFAULT_METHOD:
            mask = lesion_mask(picture, image.shape[:2], **self.options)
        else:
            mask = self.method(image, **self.options)
        write_mask(targets[0], mask)
        height, width = mask.shape
        sizes = {"height": height, "width": width, "area_fraction": float(mask.mean())}
        return {
            **sizes,
            "confidence": confidence(picture, mask),
            **name_artifacts(picture.artifacts),
        }

"""Hair removal for folders: every image file to its clean file, resumable, with a table."""

import inspect
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dermolib._jobs import (
    Job,
    Record,
    check_folder,
    library_versions,
)
from dermolib._validation import (
    Image,
    Mask,
    PathLike,
    as_path,
    check_choice,
    check_number,
    check_type,
    printable,
    require,
)
from dermolib.io import (
    EXCLUDED,
    check_source,
    list_images,
    read_image,
    whole_file,
    write_image,
    write_mask,
)
from dermolib.preprocessing.contact_sheet import (
    is_contact_sheet,
    sheet_entry,
    spread_ranks,
    write_contact_sheet,
)
from dermolib.preprocessing.folder_work import (
    IMAGE_FORMATS,
    FolderWork,
    check_beside,
    check_targets,
    run_work,
)
from dermolib.preprocessing.functions import check_sendable
from dermolib.preprocessing.hair.inpainting import FillChoice
from dermolib.preprocessing.hair.registry import (
    DEFAULT_METHOD,
    find_method,
    occlusion_removal,
)
from dermolib.preprocessing.methods import MethodChoice, json_value

__all__ = ["FolderReport", "remove_hair_from_folder"]

_JOURNAL = "hair.jsonl"
_SHOWN = 12  # images on a contact sheet


@dataclass(frozen=True)
class FolderReport:
    """What became of the images of a folder; as text, a summary of a few lines.

    Attributes:
        cleaned: Images from which hair was removed in this run.
        unchanged: Images in which this run found no hair.
        skipped: Images that an earlier run had done.
        failed: Images that could not be read or cleaned.
        failures: The first 100 of these, each with the reason; the table has all.
        excluded: Images that a pattern left out.
        ignored: Files that are not images, or hidden.
        orphaned: Images that an earlier run did and that are no longer in the source; their clean
            images stay, without a row in the table.
        mean_masked_fraction: Mean fraction of masked pixels over all clean images, 0..1, or nan.
        max_masked_fraction: The largest such fraction.
        csv: Path of the table.
        contact_sheet: Path of the contact sheet, None where there is none.
    """

    cleaned: int
    unchanged: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    excluded: int
    ignored: int
    orphaned: int
    mean_masked_fraction: float
    max_masked_fraction: float
    csv: Path
    contact_sheet: Path | None

    @property
    def done(self) -> int:
        """Images that this run cleaned or found without hair."""
        return self.cleaned + self.unchanged

    def __str__(self) -> str:
        """Sum up in two to six lines."""
        found = f"{self.cleaned:,} cleaned, {self.unchanged:,} without hair"
        lines = [f"Images: {found}, {self.skipped:,} done before, {self.failed:,} failed."]
        if self.done or self.skipped:
            mean, most = self.mean_masked_fraction, self.max_masked_fraction
            lines.append(f"Masked: {mean:.2%} of an image on average, {most:.2%} at most.")
        if self.excluded or self.ignored:
            files = f"{self.excluded:,} by their names, {self.ignored:,} that are not images"
            lines.append(f"Left out: {files}.")
        if self.orphaned:
            lines.append(f"Clean images whose source is gone: {self.orphaned:,}.")
        if self.failed:
            more = f" (and {self.failed - 1:,} more in the table)" if self.failed > 1 else ""
            lines.append(f"Failed: {': '.join(self.failures[0])}{more}")
        sheet = "" if self.contact_sheet is None else f", contact sheet: {self.contact_sheet}"
        return "\n".join(map(printable, [*lines, f"Table: {self.csv}{sheet}"]))


def remove_hair_from_folder(
    source: PathLike,
    destination: PathLike,
    *,
    method: MethodChoice | None = None,
    fill: FillChoice | None = None,
    masks: PathLike | None = None,
    contact_sheet: PathLike | None = None,
    suffix: str | None = None,
    quality: int = 95,
    exclude: Sequence[str] = EXCLUDED,
    overwrite: bool = False,
    errors: str = "record",
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> FolderReport:
    """Remove hair from all images of a folder and its subfolders; the source is never changed.

    Each clean image gets the relative path of its source. JPEG and PNG keep their format, other
    formats become ``.png``; ``suffix=".png"`` writes PNG throughout, and then pixels outside the
    mask are bit-identical. A JPEG that is written again is not: at quality 95 compression moves the
    pixels outside the mask by 0.2 of 255 levels on average, and 1 in 1,000 by more than 4. An image
    in which no hair is found is copied byte for byte where its format stays, with metadata, alpha
    channel and color profile. Files that are written hold the pixels alone.

    ``hair.csv`` in the destination has one row for each image, sorted by path: file, output,
    height, width, masked_fraction (0..1) and error. An image that cannot be read or cleaned has a
    row with the reason and no clean image. The table is written last: where it is, the run is
    finished.

    Files appear whole or not at all, and the same call continues an interrupted run. An image is
    done when the same settings have made it of a source of the same size and time of change, and
    its files hold the bytes that were written; one that failed is tried again. ``hair.jsonl``
    beside the table is the journal of the runs, with the digest (SHA-256) of each file. Files that
    no run wrote are never overwritten, nor clean images, masks and a table that were changed since:
    the call names them. Missing and empty ones are made again. A second run at the same time is
    refused.

    All files are the same bytes for any number of workers: each computes on one thread. Images run
    in parallel on the active joblib backend, worker processes by default, and memory holds the
    paths of the images, not what became of them.

    Args:
        source: Folder of images: JPEG, PNG, TIFF, BMP, GIF and WebP, told by their endings in any
            case. Other files, and files and folders with names that begin with a dot, are ignored.
        destination: Folder for the clean images: new, of the same run, or without files of the
            same names.
        method: See `occlusion_removal`; None takes its default. The code of a function of yours is
            part of the settings, so that its source must be readable.
        fill: What replaces masked pixels, see `occlusion_removal`; None takes its default.
        masks: Folder for the masks, PNG files of 0 and 255 with the relative paths of the images;
            None writes none. It may lie in the destination.
        contact_sheet: Path of a PNG that shows before, mask and after of up to 12 images, at even
            steps from the most masked to the least; None draws none.
        suffix: ``".png"``, ``".jpg"`` or ``".jpeg"`` for all clean images, or None to keep formats.
        quality: JPEG quality, 1..100.
        exclude: Patterns with ``*`` and ``?``, in any case, of the names or relative paths of
            images to leave out; by default the masks that the challenges keep beside images.
        overwrite: Whether to make everything again that earlier runs made, of whatever settings;
            what was changed since is named all the same.
        errors: ``"record"`` notes images that fail and goes on, ``"raise"`` stops at the first.
        workers: Number of parallel workers, 1 or more.
        progress: Whether a progress bar is shown.
        options: `margin` and parameters of the method, see `occlusion_removal`.

    Returns:
        Counts, failures, and the path of the table.

    Raises:
        TypeError: A number is not an integer, an option is neither a number nor a text or the
            method does not take it, or `exclude` is one text.
        FileNotFoundError: The source is not there.
        ValueError: The source is a file or has no images; destination or masks lie in the source
            or around it, hold other files of these names or changed ones, a run with other
            settings, or one that goes on; the journal is damaged; two images would become one file,
            or a name of one is not one on every system; `contact_sheet` would harm a file; a
            setting is unknown or out of range; or, with ``errors="raise"``, an image failed.
        RuntimeError: A function of yours fails on an image of 512 x 512 px, which it is tried on.
        OSError: A folder cannot be read or written, or the disk is full.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from dermolib.io import write_image
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> with TemporaryDirectory() as folder:
        ...     write_image(f"{folder}/in/a.png", image)
        ...     report = remove_hair_from_folder(
        ...         f"{folder}/in", f"{folder}/out", method="luv", progress=False
        ...     )
        ...     clean = read_image(f"{folder}/out/a.png")
        >>> report.cleaned, report.failed, report.max_masked_fraction, int(clean.min())
        (1, 0, 0.015625, 200)
    """
    check_number(workers, "workers", low=1, integer=True)
    check_number(quality, "quality", low=1, high=100, integer=True)
    check_choice(errors, "errors", ("record", "raise"))
    if suffix is not None:
        check_choice(suffix, "suffix", IMAGE_FORMATS)
    root, target = check_source(source), Path(os.path.realpath(as_path(destination, "destination")))
    masks_folder = None if masks is None else Path(os.path.realpath(as_path(masks, "masks")))
    sheet = None if contact_sheet is None else _sheet_path(contact_sheet)
    _check_places(root, target, masks_folder, sheet)
    mask_path = None
    if masks_folder is not None:
        mask_path = Path(os.path.relpath(masks_folder, target)).as_posix()
    arguments = _arguments(method, fill, options)
    if workers > 1:
        for function in (arguments["method"].mask, arguments["method"].fill, fill):
            check_sendable(function)
    remove: Any = partial(occlusion_removal, return_mask=True, **arguments)
    cleaning = _Cleaning(root, target, mask_path, suffix, int(quality), remove)
    listing = list_images(root, exclude=exclude)
    files = listing.files
    check_targets(files, cleaning, sheet)
    # Refuses what the method does not take, before anything is written
    remove(np.full((512, 512, 3), 128, np.uint8))
    settings = {
        # As JSON values of which equal ones look equal
        "arguments": {name: json_value(value) for name, value in arguments.items()},
        **{"masks": mask_path, "quality": int(quality), "suffix": suffix},
        "versions": library_versions(),
    }
    names: dict[str, Any] = {
        "key": "file",
        "fields": cleaning.fields(),
        "journal": _JOURNAL,
        "tables": [cleaning.TABLE],
    }
    job = Job(target, kind="dermolib hair", settings=settings, **names)
    cleaned = 0

    def note(record: Record) -> None:
        nonlocal cleaned
        cleaned += record["masked_fraction"] > 0

    with job.open(overwrite=overwrite):
        outcome = run_work(
            job,
            cleaning,
            files,
            overwrite=overwrite,
            errors=errors,
            workers=workers,
            progress=progress,
            note=note,
        )
        fractions = _masked_fractions(job, files)
        shown = sheet and _draw_sheet(sheet, files, fractions, cleaning)
    known = fractions[~np.isnan(fractions)] if outcome.failed < len(files) else fractions
    return FolderReport(
        cleaned=cleaned,
        unchanged=outcome.processed - cleaned - outcome.failed,
        skipped=outcome.skipped,
        failed=outcome.failed,
        failures=outcome.failures,
        excluded=listing.excluded,
        ignored=listing.ignored,
        orphaned=len(outcome.orphaned),
        mean_masked_fraction=float(known.mean()),
        max_masked_fraction=float(known.max()),
        csv=target / cleaning.TABLE,
        contact_sheet=shown,
    )


@dataclass(frozen=True)
class _Cleaning(FolderWork):
    """How the images of a folder are cleaned, and where they go; `masks` is relative."""

    masks: str | None
    suffix: str | None
    quality: int
    remove: Callable[[Image], tuple[Image, Mask]]

    FILES = ("output", "mask")
    FOUND: ClassVar[Mapping[str, Any]] = {"masked_fraction": 0.0}
    TABLE = "hair.csv"
    COLUMNS = ("file", "output", "height", "width", "masked_fraction", "error")

    def names(self, file: str) -> dict[str, str]:
        """Name the clean image of a file and its mask, if any, relative to the destination."""
        path = PurePosixPath(file)
        kept = self.suffix is None and path.suffix.lower() in IMAGE_FORMATS
        output = file if kept else str(path.with_suffix(self.suffix or ".png"))
        mask = self.masks and str(PurePosixPath(self.masks, file).with_suffix(".png"))
        return {"output": output, "mask": mask or ""}

    def folders(self) -> list[Path]:
        """List the folders of what is made, the destination first."""
        return [self.destination, self.destination / (self.masks or ".")]

    def process(self, path: Path, targets: Sequence[Path]) -> Record:
        """Remove the hair of one image."""
        clean, mask = self.remove(read_image(path))
        output, *masks = targets
        for one in masks:
            write_mask(one, mask)
        kept = IMAGE_FORMATS.get(path.suffix.lower()) == IMAGE_FORMATS[output.suffix.lower()]
        if kept and not mask.any():
            with whole_file(output) as temporary:
                shutil.copyfile(path, temporary)
        else:
            write_image(output, clean, quality=self.quality)
        height, width = mask.shape
        return {"height": height, "width": width, "masked_fraction": float(mask.mean())}


def _arguments(
    method: MethodChoice | None, fill: FillChoice | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Gather what `occlusion_removal` gets; workers know no name that was registered here."""
    known = inspect.signature(occlusion_removal).parameters
    for name, value in options.items():
        own = name not in known or name == "margin"
        require(own, name, "left to the run over the folder", repr(value), error=TypeError)
        check_type(value, name, (int, float, str, np.number), "a number or a text")
    filled = {} if fill is None else {"fill": fill}
    chosen = find_method(DEFAULT_METHOD if method is None else method)
    return {"method": chosen} | filled | dict(sorted(options.items()))


def _sheet_path(contact_sheet: PathLike) -> Path:
    """Resolve the folder of the contact sheet: a link in its place is replaced, not followed."""
    path = as_path(contact_sheet, "contact_sheet").absolute()
    return Path(os.path.realpath(path.parent), path.name)


def _check_places(source: Path, destination: Path, masks: Path | None, sheet: Path | None) -> None:
    """Refuse places where a run would read what it writes, or harm other files."""
    for name, folder in {"destination": destination, "masks": masks}.items():
        if folder is not None:
            check_folder(folder, name)
            check_beside(source, folder, name)
    what = "a folder apart from the clean images"
    require(masks != destination, "masks", what, f"the destination {destination}")
    if sheet is None:
        return
    name = "contact_sheet"
    check_folder(sheet.parent, name)
    require(sheet.suffix.lower() == ".png", name, "a file ending in .png", sheet)
    require(not sheet.is_relative_to(source), name, "a file outside the source", sheet)
    new = not os.path.lexists(sheet) or is_contact_sheet(sheet)
    hint = "Choose another name: no other file is overwritten."
    require(new, name, "a new file or an earlier contact sheet", sheet, hint)


def _masked_fractions(job: Job, files: Sequence[str]) -> npt.NDArray[np.float64]:
    """Look up the masked fraction of each image, nan where there is none."""
    records = filter(None, job.records(files))
    return np.array([one["masked_fraction"] if one["height"] else np.nan for one in records])


def _draw_sheet(
    path: Path, files: list[str], fractions: npt.NDArray[np.float64], cleaning: _Cleaning
) -> Path | None:
    """Draw some images; their masks are found again, since a run need not write any."""
    entries = []
    for file in (files[place] for place in spread_ranks(fractions, count=_SHOWN)):
        before, after = read_image(cleaning.source / file), read_image(cleaning.targets(file)[0])
        entries.append(sheet_entry(file, before, cleaning.remove(before)[1], after))
    if entries:
        write_contact_sheet(path, entries)
    return path if entries else None

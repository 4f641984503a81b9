"""Hair removal for folders: every image file to its clean file, resumable, with a table."""

import inspect
import os
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._jobs import (
    Job,
    Record,
    check_folder,
    describe_failure,
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
    listed,
    printable,
    require,
)
from dermolib.io import (
    EXCLUDED,
    check_file,
    check_names,
    check_source,
    digest_file,
    list_images,
    read_image,
    remove_halves,
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
from dermolib.preprocessing.functions import check_sendable
from dermolib.preprocessing.hair.inpainting import FillChoice
from dermolib.preprocessing.hair.registry import (
    DEFAULT_METHOD,
    find_method,
    occlusion_removal,
)
from dermolib.preprocessing.methods import MethodChoice, json_value

__all__ = ["FolderReport", "remove_hair_from_folder"]

_JOURNAL, _TABLE = "hair.jsonl", "hair.csv"
_COLUMNS = ("file", "output", "height", "width", "masked_fraction", "error")
_FIELDS = {
    **dict.fromkeys(("output", "mask", "error"), str),
    **dict.fromkeys(("height", "width", "size", "modified"), int),
    **{"masked_fraction": float, "digests": list},
}
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}  # others become PNG
# Of an image or a function of the user, not of a disk
_FAILURES = (ValueError, TypeError, RuntimeError, FileNotFoundError, MemoryError, cv2.error)
_NAMED = 100  # failures that a report names; the table has all
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
        check_choice(suffix, "suffix", _FORMATS)
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
    _check_names(files, cleaning, sheet)
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
        "fields": _FIELDS,
        "journal": _JOURNAL,
        "tables": [_TABLE],
    }
    job = Job(target, kind="dermolib hair", settings=settings, **names)
    with job.open(overwrite=overwrite):
        intact = job.intact(files, cleaning.targets, workers=workers, progress=progress)
        todo = _claim(job, files, cleaning, set() if overwrite else intact)
        skipped = len(files) - len(todo)
        cleaned, failures, failed = 0, list[tuple[str, str]](), 0
        calls = ((file, cleaning) for file in todo)
        for record in job.map(
            _clean_file, calls, workers=workers, total=len(files), done=skipped, progress=progress
        ):
            job.add([record])
            if record["error"] and errors == "raise":
                named = printable(record["file"]) in record["error"]
                where = "" if named else f" It was {record['file']}."
                raise ValueError(printable(f"{record['error']}{where}"))
            cleaned += record["masked_fraction"] > 0
            failed += bool(record["error"])
            if record["error"] and len(failures) < _NAMED:
                failures.append((record["file"], record["error"]))
        orphaned = sorted(job.keys() - set(files))
        fractions = _write_table(job, files)
        job.finish([*files, *orphaned])
        shown = sheet and _draw_sheet(sheet, files, fractions, cleaning)
    known = fractions[~np.isnan(fractions)] if failed < len(files) else fractions
    return FolderReport(
        cleaned=cleaned,
        unchanged=len(todo) - cleaned - failed,
        skipped=skipped,
        failed=failed,
        failures=tuple(failures),
        excluded=listing.excluded,
        ignored=listing.ignored,
        orphaned=len(orphaned),
        mean_masked_fraction=float(known.mean()),
        max_masked_fraction=float(known.max()),
        csv=target / _TABLE,
        contact_sheet=shown,
    )


@dataclass(frozen=True)
class _Cleaning:
    """How the images of a folder are cleaned, and where they go; `masks` is relative."""

    source: Path
    destination: Path
    masks: str | None
    suffix: str | None
    quality: int
    remove: Callable[[Image], tuple[Image, Mask]]

    def names(self, file: str) -> dict[str, str]:
        """Name the clean image of a file and its mask, if any, relative to the destination."""
        path = PurePosixPath(file)
        kept = self.suffix is None and path.suffix.lower() in _FORMATS
        output = file if kept else str(path.with_suffix(self.suffix or ".png"))
        mask = self.masks and str(PurePosixPath(self.masks, file).with_suffix(".png"))
        return {"output": output, "mask": mask or ""}

    def targets(self, file: str) -> list[Path]:
        """List the files that cleaning a file writes."""
        return [self.destination / name for name in self.names(file).values() if name]

    def record(self, file: str) -> Record:
        """Claim a file: with neither height nor error, a run has begun it at most."""
        unknown = {"size": -1, "modified": -1, "height": 0, "width": 0, "masked_fraction": 0.0}
        return {"file": file, **self.names(file), **unknown, "error": "", "digests": []}


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
            apart = not (folder.is_relative_to(source) or source.is_relative_to(folder))
            what = "a folder neither inside the source nor around it"
            got = f"{folder} for the source {source}"
            require(apart, name, what, got, "Choose a folder beside the source.")
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


def _check_names(files: Sequence[str], cleaning: _Cleaning, sheet: Path | None) -> None:
    """Refuse images whose clean images or masks would be one file, on any file system."""
    targets = [(file, name) for file in files for name in cleaning.names(file).values() if name]
    if sheet is not None:
        path = Path(os.path.relpath(sheet, cleaning.destination)).as_posix()
        targets.insert(0, ("the contact sheet", path))
    check_names(targets, "source")


def _claim(
    job: Job, files: Sequence[str], cleaning: _Cleaning, intact: Container[str]
) -> list[str]:
    """List the images to clean, and note that what they become is ours before it is written."""
    target, table = job.folder, job.folder / _TABLE
    todo, outdated = list[str](), list[tuple[Path, list[str]]]()
    foreign = [table] if table.exists() and not job.path.exists() else []
    for file, record in zip(files, job.records(files), strict=True):
        names = cleaning.names(file)
        # An image that failed has no files
        known = record is not None and not record["error"]
        ours = {"", record["output"], record["mask"]} if record and known else {""}
        new = (target / name for name in names.values() if name not in ours)
        foreign += [path for path in new if os.path.lexists(path)]
        if record and file in intact and job.is_current(file) and _is_done(record, cleaning):
            continue
        todo.append(file)
        if record and record["output"] != names["output"]:
            old = PurePosixPath(record["output"])
            # Anyone may have changed the journal: nothing else is deleted on its word
            known = old.suffix in {*_FORMATS, PurePosixPath(file).suffix}
            if known and old.with_suffix("") == PurePosixPath(file).with_suffix(""):
                outdated.append((target / old, record["digests"]))
    what = "a folder without other files of the same names"
    got = f"{len(foreign)} that no run wrote ({listed(foreign)})"
    hint = "Move them away, or choose another folder: what no run wrote is never overwritten."
    require(not foreign, "destination", what, got, hint)
    written = chain([_TABLE], *(cleaning.names(file).values() for file in files))
    remove_halves([target, target / (cleaning.masks or ".")], written)
    for path, digests in outdated:
        if path.is_file() and (not digests or digest_file(path) in digests):
            path.unlink()
    if todo:
        table.unlink(missing_ok=True)  # where there is a table, the work is finished
        job.add(map(cleaning.record, todo))
    return todo


def _is_done(record: Record, cleaning: _Cleaning) -> bool:
    """Tell whether an image was made of the source as it is now, by size and time of change."""
    try:
        source = (cleaning.source / record["file"]).stat()
    except OSError:
        return False
    same = (source.st_size, source.st_mtime_ns) == (record["size"], record["modified"])
    return bool(record["height"]) and same


def _clean_file(file: str, cleaning: _Cleaning) -> Record:
    """Clean one image file; one that fails loses what an earlier run made of it.

    An error in writing, such as a full disk, passes through.
    """
    record = cleaning.record(file)
    path = cleaning.source / file
    try:
        check_file(path)
        state = path.stat()  # taken before the file is read
        record |= {"size": state.st_size, "modified": state.st_mtime_ns}
        clean, mask = cleaning.remove(read_image(path))
        _write(path, cleaning, cleaning.targets(file), clean, mask)
    except _FAILURES as error:
        for target in cleaning.targets(file):
            target.unlink(missing_ok=True)
        return record | {"error": describe_failure(error, cleaning.source)}
    height, width = mask.shape
    record["digests"] = [digest_file(target) for target in cleaning.targets(file)]
    return record | {"height": height, "width": width, "masked_fraction": float(mask.mean())}


def _write(
    source: Path, cleaning: _Cleaning, targets: Sequence[Path], clean: Image, mask: Mask
) -> None:
    output, *masks = targets
    for path in masks:
        write_mask(path, mask)
    kept = _FORMATS.get(source.suffix.lower()) == _FORMATS[output.suffix.lower()]
    if kept and not mask.any():
        with whole_file(output) as temporary:
            shutil.copyfile(source, temporary)
    else:
        write_image(output, clean, quality=cleaning.quality)


def _write_table(job: Job, files: Sequence[str]) -> npt.NDArray[np.float64]:
    """Write the table; returns the masked fraction of each image, nan where there is none."""
    fractions = np.full(len(files), np.nan)

    def rows() -> Iterator[tuple[Any, ...]]:
        for number, record in enumerate(filter(None, job.records(files))):
            if record["height"]:
                fractions[number] = record["masked_fraction"]
                record["masked_fraction"] = round(record["masked_fraction"], 6)
                yield tuple(record[name] for name in _COLUMNS)
            else:
                yield (record["file"], "", "", "", "", record["error"])

    job.write_table(_TABLE, _COLUMNS, rows())
    return fractions


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

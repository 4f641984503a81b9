"""Hair removal for folders: every image file to its clean file, resumable, with a table."""

import inspect
import os
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dermolib._jobs import exclusive_lock, explain_disk_full, one_thread, run_tasks
from dermolib._validation import PathLike, check_choice, check_number, expected
from dermolib.io import (
    EXCLUDED,
    SUFFIXES,
    Listing,
    check_source,
    list_images,
    read_image,
)
from dermolib.preprocessing.folders.cleaning import (
    FORMATS,
    Cleaning,
    clean_file,
    remove,
    try_out,
)
from dermolib.preprocessing.folders.contact_sheet import (
    SheetEntry,
    spread_ranks,
    write_contact_sheet,
)
from dermolib.preprocessing.folders.ledger import Ledger, Record
from dermolib.preprocessing.folders.planning import (
    check_apart,
    check_names,
    check_sheet,
    clear_halves,
    plan,
)
from dermolib.preprocessing.folders.report import FolderReport, Tally
from dermolib.preprocessing.hair.registry import occlusion_removal

__all__ = ["FolderReport", "remove_hair_from_folder"]

_PACKAGES = ("dermolib", "numpy", "pillow")
_SHOWN = 12  # images on a contact sheet


def remove_hair_from_folder(
    source: PathLike,
    destination: PathLike,
    *,
    method: str | None = None,
    fill: str | None = None,
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
    in which no hair is found is copied byte for byte where its format stays, so with everything
    that the file holds besides 8-bit RGB: metadata, an alpha channel, a colour profile. Files that
    are written anew hold the pixels alone.

    ``hair.csv`` in the destination has one row for each image, sorted by path: file, output,
    height, width, share_masked (0..1) and error. An image that cannot be read or cleaned has a row
    with the reason and no clean image. The table is written last: where it is, the run is finished.

    Files appear whole or not at all, and the same call continues an interrupted run. An image is
    done when the same settings have made it of a source of the same size and time of change; one
    that failed is tried again. ``hair.json`` and ``hair.jsonl`` beside the table are the books for
    that. What no run wrote is never written over. A destination takes one run at a time; a second
    one is refused.

    Clean images, masks and the table are the same bytes for any number of workers: each computes on
    one thread. Images run in parallel on the joblib backend that is active, worker processes by
    default, and memory holds the paths of the images, not what became of them.

    Args:
        source: Folder of images: JPEG, PNG, TIFF, BMP, GIF and WebP, told by their endings in any
            case. Other files, and files and folders with names that begin with a dot, are ignored.
        destination: Folder for the clean images: new, of the same run, or without files of the
            same names.
        method: One of `list_occlusion_methods`; None takes the default of `occlusion_removal`.
        fill: What replaces masked pixels, see `occlusion_removal`; None takes its default.
        masks: Folder for the masks, PNG files of 0 and 255 with the relative paths of the images;
            None writes none. It may lie in the destination.
        contact_sheet: Path of a PNG that shows before, mask and after of up to 12 images, at even
            steps from the most masked to the least; None draws none.
        suffix: ``".png"``, ``".jpg"`` or ``".jpeg"`` for all clean images, or None to keep formats.
        quality: JPEG quality, 1..100.
        exclude: Patterns with ``*`` and ``?``, in any case, of the names or relative paths of
            images to leave out. The default leaves out the masks that the challenges keep beside
            images.
        overwrite: Whether to make everything anew that earlier runs made, of whatever settings.
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
        ValueError: The source is a file or has no images; another run works on the destination;
            destination or masks lie in the source or around it; two images would become one file;
            the destination holds a run with other settings, or something in the way;
            `contact_sheet` would harm a file; a setting is unknown or out of range; or, with
            ``errors="raise"``, an image failed.
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
        >>> report.cleaned, report.failed, report.max_share, int(clean.min())
        (1, 0, 0.015625, 200)
    """
    check_number(workers, "workers", low=1, integer=True)
    check_choice(errors, "errors", ("record", "raise"))
    arguments = _arguments(method, fill, options)
    root, target = check_source(source), Path(destination).resolve()
    masks_folder = None if masks is None else Path(masks).resolve()
    sheet = None if contact_sheet is None else Path(contact_sheet).resolve()
    _check_places(root, target, masks_folder, sheet)
    settings = _settings(arguments, masks_folder, target, suffix, quality)
    ledger = Ledger(target, settings)
    cleaning = Cleaning(
        root, target, settings["masks"], suffix, int(quality), arguments, ledger.run
    )
    listing = list_images(root, exclude=exclude)
    _check_some(root, listing)
    check_names(listing.files, cleaning, sheet)
    try_out(cleaning)
    with exclusive_lock(target), explain_disk_full(target), one_thread():
        ledger.load(overwrite=overwrite)
        todo = _claim(listing.files, cleaning, ledger, overwrite=overwrite)
        tally = Tally()
        calls = ((file, cleaning) for file in todo)
        total, skipped = len(listing.files), len(listing.files) - len(todo)
        with (
            tqdm(total=total, initial=skipped, unit="image", disable=not progress) as bar,
            closing(run_tasks(clean_file, calls, workers=workers)) as records,
        ):
            for record in records:
                ledger.add(record)
                if record.error and errors == "raise":
                    raise ValueError(record.error)
                tally.count(record)
                bar.update()
        shares = ledger.finish(listing.files)
        shown = None if sheet is None else _draw_sheet(sheet, listing.files, shares, cleaning)
    known = shares[~np.isnan(shares)]
    return FolderReport(
        cleaned=tally.cleaned,
        unchanged=tally.unchanged,
        skipped=skipped,
        failed=tally.failed,
        failures=tuple(tally.failures),
        excluded=listing.excluded,
        ignored=listing.ignored,
        orphaned=len(ledger.others(listing.files)),
        mean_share=float(known.mean()) if known.size else float("nan"),
        max_share=float(known.max()) if known.size else float("nan"),
        csv=ledger.table,
        contact_sheet=shown,
    )


def _arguments(
    method: str | None, fill: str | None, options: dict[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """Gather what `occlusion_removal` gets; the default method by its name, for the books."""
    known = inspect.signature(occlusion_removal).parameters
    for name, value in options.items():
        if name in known and name != "margin":
            raise TypeError(expected(name, "left to the run over the folder", repr(value)))
        if not isinstance(value, (int, float, str, np.number)):
            got = f"an object of type {type(value).__name__}"
            raise TypeError(expected(name, "a number or a text", got))
    if method is None:
        method = known["method"].default
    filled = {} if fill is None else {"fill": fill}
    return tuple(({"method": method} | filled | dict(sorted(options.items()))).items())


def _settings(
    arguments: tuple[tuple[str, Any], ...],
    masks: Path | None,
    destination: Path,
    suffix: str | None,
    quality: int,
) -> dict[str, Any]:
    """Gather what decides the bytes of a run, as JSON values of which equal ones look equal."""
    check_number(quality, "quality", low=1, high=100, integer=True)
    if suffix is not None:
        check_choice(suffix, "suffix", FORMATS)
    versions = {name: version(name) for name in _PACKAGES} | {"opencv": cv2.__version__}
    return {
        "arguments": {name: _plain(value) for name, value in arguments},
        "masks": None if masks is None else Path(os.path.relpath(masks, destination)).as_posix(),
        "quality": int(quality),
        "suffix": suffix,
        "versions": versions,
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, bool)) else float(value)


def _check_places(source: Path, destination: Path, masks: Path | None, sheet: Path | None) -> None:
    check_apart(source, destination, masks)
    if sheet is not None:
        check_sheet(sheet, source)
    folders = {"destination": destination, "masks": masks, "contact_sheet": sheet and sheet.parent}
    for name, folder in folders.items():
        if folder is not None and not _can_write(folder):
            what = "in a folder that can be written"
            raise PermissionError(expected(name, what, str(folder)))


def _can_write(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _check_some(source: Path, listing: Listing) -> None:
    if not listing.files:
        what = f"a folder with images ({', '.join(SUFFIXES)})"
        got = f"{source} with none (excluded: {listing.excluded}, other files: {listing.ignored})"
        raise ValueError(expected("source", what, got))


def _claim(files: list[str], cleaning: Cleaning, ledger: Ledger, *, overwrite: bool) -> list[str]:
    """Make the destination that of this run, and list the images to clean."""
    work = plan(files, cleaning, ledger, overwrite=overwrite)
    clear_halves(cleaning, files)
    for path in work.outdated:
        path.unlink(missing_ok=True)
    ledger.open(
        Record(file, cleaning.run, cleaning.output(file), cleaning.mask(file)) for file in work.todo
    )
    return work.todo


def _draw_sheet(
    path: Path, files: list[str], shares: npt.NDArray[np.float64], cleaning: Cleaning
) -> Path | None:
    """Draw some images; their masks are found again, since a run need not write any."""
    entries = []
    for place in spread_ranks(shares, count=_SHOWN):
        file = files[place]
        before = read_image(cleaning.source / file)
        after = read_image(cleaning.destination / cleaning.output(file))
        entries.append(SheetEntry.shrink(file, before, remove(before, cleaning)[1], after))
    if not entries:
        return None
    write_contact_sheet(path, entries)
    return path

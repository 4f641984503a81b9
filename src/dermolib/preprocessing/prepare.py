"""A folder of images to one packed store: decoded, cleaned and resized once, read many times."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from dermolib._jobs import (
    TEMPORARY,
    describe_differences,
    exclusive_lock,
    explain_disk_full,
    one_thread,
    run_tasks,
)
from dermolib._validation import (
    DatasetNotFoundError,
    PathLike,
    check_choice,
    check_number,
    expected,
    listed,
)
from dermolib.datasets.store import PreparedStore
from dermolib.datasets.store_files import (
    FORMAT,
    IMAGES,
    INDEX,
    MASKS,
    RUN,
    SETTINGS,
    settings_key,
)
from dermolib.io import EXCLUDED, MAX_PIXELS, SUFFIXES, check_source, list_images, whole_file
from dermolib.preprocessing.packing import RECORDS, Packing, write_table
from dermolib.preprocessing.prepare_block import STATES, Failure, Preparing, prepare_block, states
from dermolib.preprocessing.steps import Pipeline, Step

__all__ = ["prepare"]

_FAILED = "failed.csv"
_FILES = (IMAGES, MASKS, RECORDS, INDEX, SETTINGS, RUN, _FAILED)
_OURS = "dermolib-store-"
_PACKAGES = ("dermolib", "numpy", "pillow")
_BLOCK = 16  # images of a task, so that sending it costs little
_TASKS = 8  # for each worker at least, so that none waits long for the others


def prepare(
    source: PathLike,
    destination: PathLike,
    *,
    steps: Iterable[Step],
    image_size: int | tuple[int, int],
    masks: PathLike | None = None,
    exclude: Sequence[str] = EXCLUDED,
    errors: str = "raise",
    overwrite: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> PreparedStore:
    """Prepare all images of a folder and its subfolders, in one store that opens by memory map.

    Each image is decoded, taken through `steps`, resized (`dermolib.io.resize_image`) and
    written in its row. A `dermolib.datasets.ISICDataset` takes the store in place of the folder of
    images and gives the samples that it would have made of them. The layout is that of
    `dermolib.datasets.store`, in files of NumPy that others can open as well.

    The store is the same bytes for any number of workers: each computes on one thread. Images run
    in parallel on the joblib backend that is active, worker processes by default, which write into
    the store themselves; on a cluster, all machines must see both folders under the same paths.
    Memory holds the names of the images, not what became of them.

    The same call continues an interrupted run, also one that was killed or ran out of disk, and
    does not do again what is done; of a finished store it returns that store, at once. A store
    made with other steps, sizes or versions, or whose source has changed, is never mixed or written
    over: the call says what differs. That a file has changed is told by its size and time of
    change. A destination takes one run at a time; a second is refused.

    Args:
        source: Folder of images: JPEG, PNG, TIFF, BMP, GIF and WebP, told by their endings in any
            case. Files and folders with names that begin with a dot are ignored.
        destination: Folder of the store: new, empty, or that of the same run.
        steps: What is done to each image before it is resized, in this order: ``"crop_border"``,
            ``"occlusion_removal"`` or ``"shades_of_gray"`` by name, functions from image to image,
            and partial functions with options: the paper's is
            ``partial(occlusion_removal, method="luv")``. A function of yours must lie in a module;
            its code is part of what tells stores apart.
        image_size: Height and width in px, or one number for both; an image of other proportions is
            squeezed.
        masks: Folder of the lesion masks, ``ID_seg.png``, ``ID_segmentation.png`` or ``ID.png`` in
            it or in the subfolder of the image, which are cut and resized like their images.
        exclude: Patterns with ``*`` and ``?``, in any case, of the names or relative paths of
            images to leave out. The default leaves out the masks that the challenges keep beside
            images.
        errors: ``"raise"`` refuses to finish a store of which images failed, after all others are
            done, and lists the failed ones in ``failed.csv`` (file, error); ``"skip"`` finishes it
            without them, with the same list, and returns that store from then on.
        overwrite: Whether a store, or a run that has not ended, may be replaced where it is one of
            other settings or another source, or cannot be returned: its source has changed, a file
            of it is damaged, or images failed.
        workers: Number of parallel workers, 1 or more.
        progress: Whether a progress bar is shown.

    Returns:
        The store.

    Raises:
        TypeError: A number is not an integer, or a step is none.
        FileNotFoundError: The source or the folder of masks is not there.
        ValueError: The source is a file or has no images; two images have one id; the destination
            holds something else, or a store or run of other settings or of another source; another
            run works on it; images failed and `errors` is ``"raise"``, or all failed; or an
            argument is unfit.
        OSError: A folder cannot be read or written, or the disk is full.

    References:
        Memory maps of the .npy format, https://numpy.org/doc/stable/reference/generated/
        numpy.lib.format.html.

    Examples:
        >>> from functools import partial
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from dermolib.io import write_image
        >>> from dermolib import occlusion_removal
        >>> image = np.full((64, 64, 3), 200, dtype=np.uint8)
        >>> image[:, 30] = 40
        >>> steps = [partial(occlusion_removal, method="luv"), "shades_of_gray"]
        >>> with TemporaryDirectory() as folder:
        ...     write_image(f"{folder}/in/a.png", image)
        ...     store = prepare(
        ...         f"{folder}/in", f"{folder}/out", steps=steps, image_size=32, progress=False
        ...     )
        ...     clean = store["a"]
        >>> clean.shape, int(clean.min()), float(store.column("share_masked")[0])
        ((32, 32, 3), 200, 0.015625)
    """
    check_number(workers, "workers", low=1, integer=True)
    check_choice(errors, "errors", ("raise", "skip"))
    size = _size(image_size)
    root, target = check_source(source), Path(destination).absolute()
    mask_root = None if masks is None else _mask_folder(Path(masks))
    _check_target(target)
    with one_thread():
        pipeline = Pipeline(steps, masks=mask_root is not None)
    files = _files(root, exclude)
    ids = _ids(files, root)
    settings = {
        "steps": pipeline.settings(),
        "image_size": list(size),
        "masks": mask_root is not None,
        "versions": {name: version(name) for name in _PACKAGES} | {"opencv": cv2.__version__},
    }
    run = {"format": FORMAT, **settings, "images": len(files), "names": _digest(files)}
    packing = Packing(target, len(files), size, mask_root is not None)
    preparing = Preparing(root, mask_root, pipeline, packing)
    with exclusive_lock(target), explain_disk_full(target), one_thread():
        _claim(target, run, overwrite=overwrite)
        if (target / SETTINGS).exists():
            try:
                return _finished(preparing, errors)
            except (ValueError, FileNotFoundError):
                if not overwrite:
                    raise
                _begin(target, run)
        todo = _remaining(files, preparing)
        with tqdm(
            total=len(files), initial=len(files) - len(todo), unit="image", disable=not progress
        ) as bar:
            failures = _work(files, todo, preparing, workers, bar)
        _report(target, files, failures, errors)
        content = {
            "format": FORMAT,
            "images": packing.write_index(ids, files),
            "key": settings_key(settings),
            "settings": settings,
            "run": run,
        }
        _write_json(target / SETTINGS, content)
        return _tidied(PreparedStore(target))


def _size(image_size: Any) -> tuple[int, int]:
    several = isinstance(image_size, Sequence) and not isinstance(image_size, (str, bytes))
    pair = image_size if several else (image_size, image_size)
    if len(pair) != 2:
        what = "a number of px, or height and width"
        raise ValueError(expected("image_size", what, repr(image_size)))
    for side in pair:
        check_number(side, "image_size", low=1, integer=True)
    height, width = int(pair[0]), int(pair[1])
    if height * width > MAX_PIXELS:
        what = f"at most {MAX_PIXELS:,} pixels"
        raise ValueError(expected("image_size", what, f"{height} x {width}"))
    return height, width


def _mask_folder(folder: Path) -> Path:
    if not folder.exists():
        raise DatasetNotFoundError(folder, "a folder with a mask ID_seg.png for each image")
    if not folder.is_dir():
        raise ValueError(expected("masks", "a folder of lesion masks", f"the file {folder}"))
    return folder.resolve()


def _check_target(folder: Path) -> None:
    """Refuse a place where no folder can be made, or no file in it."""
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not place.is_dir():
        raise ValueError(expected("destination", "a folder", f"the file {place}"))
    if not os.access(place, os.W_OK):
        what = "in a folder that can be written"
        remedy = (
            "A finished store is opened with `dermolib.PreparedStore`, for which reading is enough."
        )
        raise PermissionError(expected("destination", what, str(folder), remedy))


def _files(root: Path, exclude: Sequence[str]) -> list[str]:
    listing = list_images(root, exclude=exclude)
    if not listing.files:
        what = f"a folder with images ({', '.join(SUFFIXES)})"
        got = f"{root} with none (excluded: {listing.excluded}, other files: {listing.ignored})"
        raise ValueError(expected("source", what, got))
    return listing.files


def _ids(files: list[str], root: Path) -> list[str]:
    ids = [PurePosixPath(file).stem for file in files]
    known: dict[str, str] = {}
    for name, file in zip(ids, files, strict=True):
        if known.setdefault(name, file) != file:
            what = "a folder whose images have different names"
            got = f"{known[name]} and {file} in {root}, which both have the id {name}"
            remedy = "Rename one of them, or exclude it."
            raise ValueError(expected("source", what, got, remedy))
    return ids


def _digest(files: list[str]) -> str:
    text = "\n".join(files).encode("utf-8", errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _claim(folder: Path, run: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder that of this run, or find that it is; refuse what is in the way."""
    found = _found_run(folder)
    _clear(folder, ours=found is not None)
    if found is not None and found != run and not overwrite:
        what = "a new folder or that of the same run"
        got = f"{folder} of another one ({listed(describe_differences(found, run), most=8)})"
        remedy = "Choose another folder, or `overwrite` to make this one anew."
        raise ValueError(expected("destination", what, got, remedy))
    if found != run:
        _begin(folder, run)


def _begin(folder: Path, run: dict[str, Any]) -> None:
    """Leave nothing of another run, in an order that a kill between any two may interrupt."""
    # Records first, or they would be taken for those of this run; while a store has no other
    # settings than its own, its other files are its own too
    (folder / RECORDS).unlink(missing_ok=True)
    _write_json(folder / RUN, run)
    for name in (SETTINGS, IMAGES, MASKS, INDEX, _FAILED):
        (folder / name).unlink(missing_ok=True)


def _clear(folder: Path, *, ours: bool) -> None:
    """Refuse a folder with files of others, and delete what a killed run left half written."""
    others, halves = [], []
    for path in folder.iterdir():
        half = TEMPORARY.fullmatch(path.name)
        if half and f"{half['stem']}{half['suffix']}" in _FILES:
            halves.append(path)
        elif not (ours and path.name in _FILES) and not path.name.startswith("."):
            others.append(path.name)
    if others:
        what = "an empty folder or that of a store"
        got = f"{folder} with other files ({listed(sorted(others))})"
        remedy = "Choose a new folder: nothing that exists is written over."
        raise ValueError(expected("destination", what, got, remedy))
    for path in halves:
        path.unlink()


def _found_run(folder: Path) -> dict[str, Any] | None:
    """Read which run made the store or has begun it; None where there is neither."""
    for name in (SETTINGS, RUN):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            found = dict(content["run"] if name == SETTINGS else content)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # Other tools have files of these names as well
        return found if str(found.get("format")).startswith(_OURS) else None
    return None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path) as temporary:
        text = json.dumps(content, indent=2, sort_keys=True)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def _finished(preparing: Preparing, errors: str) -> PreparedStore:
    """Open a finished store, unless its source has changed or images lack that must be there."""
    folder = preparing.packing.folder
    store = PreparedStore(folder)
    noted = zip(store.files, *(store.column(name) for name in STATES), strict=True)
    changed = [file for file, *was in noted if list(states(file, preparing)) != was]
    if changed:
        what = "the store of a source that has not changed"
        got = f"{folder}, since when {len(changed)} images or masks did ({listed(changed)})"
        remedy = "Pass `overwrite` to make it anew."
        raise ValueError(expected("destination", what, got, remedy))
    if errors == "raise" and (folder / _FAILED).exists():
        report = folder / _FAILED
        with report.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            _, *failed = csv.reader(file)
        remedy = 'Mend these files and `overwrite`, or pass `errors="skip"` to do without.'
        raise ValueError(_failed_words(folder, failed, remedy))
    return _tidied(store)


def _tidied(store: PreparedStore) -> PreparedStore:
    """Delete what was needed until the store was done."""
    for name in (RECORDS, RUN):
        (store.path / name).unlink(missing_ok=True)
    return store


def _remaining(files: list[str], preparing: Preparing) -> list[int]:
    """List the rows that are not done, or whose files have changed since."""
    records = preparing.packing.records()
    if records is None:
        preparing.packing.create()
        return list(range(len(files)))
    changed = [
        row
        for row in np.flatnonzero(records["done"]).tolist()
        if states(files[row], preparing) != tuple(records[list(STATES)][row])
    ]
    preparing.packing.forget(changed)
    records["done"][changed] = False
    return np.flatnonzero(~records["done"]).tolist()


def _work(
    files: list[str], todo: list[int], preparing: Preparing, workers: int, bar: Any
) -> list[Failure]:
    size = max(1, min(_BLOCK, len(todo) // (_TASKS * workers)))
    failures: list[Failure] = []
    errors: list[OSError] = []
    # After an error no block is begun, and those that were are waited for: nothing goes on writing
    blocks = takewhile(lambda _: not errors, _blocks(files, todo, size, preparing))
    with closing(run_tasks(prepare_block, blocks, workers=workers)) as results:
        for count, failed, error in results:
            failures += failed
            errors += [error] if error else []
            bar.update(count)
    if errors:
        raise errors[0]
    return failures


def _blocks(
    files: list[str], todo: list[int], size: int, preparing: Preparing
) -> Iterator[tuple[Any, ...]]:
    for first in range(0, len(todo), size):
        rows = todo[first : first + size]
        yield [(row, files[row]) for row in rows], preparing


def _report(folder: Path, files: list[str], failures: list[Failure], errors: str) -> None:
    """List the images that failed, and stop unless the user does without them."""
    (folder / _FAILED).unlink(missing_ok=True)
    if not failures:
        return
    rows = [(files[row], reason) for row, reason in sorted(failures)]
    write_table(folder / _FAILED, ("file", "error"), rows)
    if errors == "raise":
        remedy = 'Mend these files and call again, or pass `errors="skip"` to do without.'
        raise ValueError(_failed_words(folder, rows, remedy))
    if len(failures) == len(files):
        raise ValueError(_failed_words(folder, rows, "There is nothing to prepare."))


def _failed_words(folder: Path, failed: Sequence[Sequence[str]], remedy: str) -> str:
    shown = "; ".join(f"{file}: {reason}" for file, reason in failed[:3])
    more = f"; {folder / _FAILED} names all" if len(failed) > 3 else ""
    got = f"{len(failed)} that cannot be prepared ({shown}{more})"
    return expected("source", "a folder of images that can be prepared", got, remedy)

"""A folder of images to one packed store: decoded, cleaned and resized once, read many times."""

import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dermolib._jobs import (
    Job,
    Record,
    check_folder,
    describe_failure,
    library_versions,
    one_thread,
)
from dermolib._validation import (
    DatasetNotFoundError,
    Image,
    Mask,
    PathLike,
    as_path,
    check_choice,
    check_number,
    expected,
    listed,
    require,
)
from dermolib.datasets.store import (
    CHECKSUMS,
    FORMAT,
    IMAGES,
    INDEX,
    INDEX_COLUMNS,
    MASKS,
    SETTINGS,
    PreparedStore,
    map_rows,
    read_noted,
    row_checksum,
    row_checksums,
    settings_key,
)
from dermolib.io import (
    EXCLUDED,
    MASK_TAILS,
    MAX_PIXELS,
    ImageFolder,
    check_names,
    check_source,
    digest_file,
    list_images,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    whole_file,
    write_table,
)
from dermolib.preprocessing.aspect_ratio import FITS, PADDING, center, inner_size
from dermolib.preprocessing.steps import Pipeline, Step

__all__ = ["prepare"]

_FAILED = "failed.csv"
_OR_SKIP = 'or pass `errors="skip"` to do without.'
_FIELDS = {name: float if name == "masked_fraction" else int for name in INDEX_COLUMNS[3:]}
_STATES = ("size", "modified", "mask_size", "mask_modified")  # tell versions of files apart
_BLOCK = 16  # images of a task, so that sending it costs little
_TASKS = 8  # for each worker at least, so that none waits long for the others
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL)  # of a file system that reserves nothing


def prepare(
    source: PathLike,
    destination: PathLike,
    *,
    steps: Iterable[Step],
    image_size: int | tuple[int, int],
    fit: str = "squeeze",
    masks: PathLike | None = None,
    exclude: Sequence[str] = EXCLUDED,
    errors: str = "raise",
    overwrite: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> PreparedStore:
    """Prepare all images of a folder and its subfolders, in one memory-mapped store.

    Each image is decoded, taken through `steps`, resized (`dermolib.io.resize_image`) and
    written in its row. A `dermolib.datasets.ISICDataset` takes the store in place of the folder of
    images and gives the samples that it would have made of them. The layout is that of
    `PreparedStore`, in files of NumPy that others can open as well.

    The store is the same bytes for any number of workers: each computes on one thread. Images run
    in parallel on the joblib backend that is active, worker processes by default, which write into
    the store themselves; on a cluster, all machines must see both folders under the same paths.

    The same call continues an interrupted run, also one that was killed or ran out of disk; a
    finished store it returns. In both, each row is compared with its checksum (CRC-32), and those
    that another program changed are made again; index and settings that were changed are refused.
    To open a store without reading it, use `PreparedStore`, which compares a row when it is read. A
    store made with other steps, sizes or versions,
    or whose source has changed (by size or time of change), is never mixed or overwritten: the call
    says what differs. A second run at the same time is refused.

    Args:
        source: Folder of images, as `dermolib.remove_hair_from_folder` takes it.
        destination: Folder of the store: new, empty, or that of the same run.
        steps: What is done to each image before it is resized, in this order: ``"crop_border"``,
            ``"occlusion_removal"`` or ``"shades_of_gray"`` by name, functions from image to image,
            and partial functions with options: the paper's is
            ``partial(occlusion_removal, method="luv")``. A function of yours must lie in a module;
            its code is part of what tells stores apart.
        image_size: Height and width in px, or one number for both.
        fit: What is done to an image of another aspect ratio: ``"squeeze"`` makes both sides fit;
            ``"pad"`` keeps its aspect ratio and all of it, between bars of the mean color of
            ImageNet (124, 116, 104), where the mask is False; ``"crop"`` keeps its aspect ratio and
            what lies around its center, so that a lesion near an edge is lost. A network must see
            images of one `fit` in training and prediction.
        masks: Folder of the lesion masks, which are cut and resized like their images. They are
            found as by `dermolib.ISICDataset`, ``ID_seg.png`` or ``ID.png`` for example, in the
            subfolder of the image first, then in the folder itself, then in any subfolder.
        exclude: Patterns of images to leave out, see `dermolib.remove_hair_from_folder`.
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
            holds something else, a store or run of other settings or of another source, or one that
            goes on; images failed and `errors` is ``"raise"``, or all failed; or an argument is
            unfit.
        OSError: A folder cannot be read or written, or the disk is full.

    References:
        The .npy format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.

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
        >>> clean.shape, int(clean.min()), float(store.column("masked_fraction")[0])
        ((32, 32, 3), 200, 0.015625)
    """
    check_number(workers, "workers", low=1, integer=True)
    check_choice(errors, "errors", ("raise", "skip"))
    check_choice(fit, "fit", FITS)
    size = _size(image_size)
    root, target = check_source(source), as_path(destination, "destination").absolute()
    mask_root = None if masks is None else Path(os.path.realpath(as_path(masks, "masks")))
    if mask_root is not None and not mask_root.exists():
        raise DatasetNotFoundError(mask_root, "a folder with a mask ID_seg.png for each image")
    is_folder = mask_root is None or mask_root.is_dir()
    require(is_folder, "masks", "a folder of lesion masks", f"the file {mask_root}")
    hint = "A finished store opens with `dermolib.PreparedStore`, for which reading is enough."
    check_folder(target, "destination", hint)
    with one_thread():
        pipeline = Pipeline(steps, masks=mask_root is not None)
    files = list_images(root, exclude=exclude).files
    ids = [PurePosixPath(file).stem for file in files]
    check_names(zip(files, ids, strict=True), "source", written=False)
    settings = {
        "steps": pipeline.settings(),
        "image_size": list(size),
        "fit": fit,
        "masks": mask_root is not None,
        "versions": library_versions(),
    }
    names = hashlib.sha256("\n".join(files).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    job = Job(
        target,
        kind="dermolib prepare",
        settings={"format": FORMAT, **settings, "images": len(files), "names": names},
        key="file",
        fields=_FIELDS,
        files=(IMAGES, MASKS, INDEX, SETTINGS, _FAILED),
    )
    task = _Task(
        root, mask_root, pipeline, target, (len(files), *size), fit, settings_key(settings)
    )
    found = _find_masks(task, files)
    with job.open(overwrite=overwrite):
        again = job.fresh
        if not again and os.path.lexists(target / SETTINGS):
            try:
                store = _finished(task, settings, found, errors)
            except (ValueError, FileNotFoundError):
                if not overwrite:
                    raise
                again = True
            else:
                if not len(store.find_damaged(workers=workers)):
                    return store
                (target / SETTINGS).unlink()
        if again or not task.has_arrays() or not any(map(job.is_current, files)):
            _begin(job, task)
        failures = _work(job, found, task, workers, progress=progress)
        _report(target, failures, len(files), errors)
        job.finish([file for file in files if job.is_current(file)])
        rows = enumerate(zip(ids, job.records(files), strict=True))
        done = ((row, name, *(r[key] for key in INDEX_COLUMNS[2:])) for row, (name, r) in rows if r)
        write_table(target / INDEX, INDEX_COLUMNS, done)
        images = len(files) - len(failures)
        noted = [target / name for name in (INDEX, _FAILED)]
        digests = {path.name: digest_file(path) for path in noted if path.exists()}
        content = {"format": FORMAT, "images": images, "key": task.key}
        content |= {"digests": digests}
        with whole_file(target / SETTINGS) as temporary:
            text = json.dumps({**content, "settings": settings}, indent=2, sort_keys=True)
            temporary.write_text(f"{text}\n", encoding="utf-8")
        return PreparedStore(target)


@dataclass(frozen=True)
class _Task:
    """How the images are prepared, where they lie (resolved), and where their rows go."""

    source: Path
    masks: Path | None
    pipeline: Pipeline
    folder: Path
    shape: tuple[int, int, int]  # images, height, width
    fit: str
    key: str  # of the settings

    def arrays(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Give dtype and shape of each array by the name of its file."""
        images: tuple[Any, tuple[int, ...]] = (np.dtype(np.uint8), (*self.shape, 3))
        return {IMAGES: images} | (
            {} if self.masks is None else {MASKS: (np.dtype("?"), self.shape)}
        )

    def has_arrays(self) -> bool:
        """Tell whether the files of the arrays are there and whole."""
        try:
            shapes = [map_rows(self.folder / name).shape for name in self.arrays()]
        except (ValueError, FileNotFoundError):
            return False
        return shapes == [shape for _, shape in self.arrays().values()]

    def states(self, file: str, mask: str) -> tuple[int, ...]:
        """Give size and time of change of an image and its mask: -1 where missing, 0 unasked."""
        image = _state(self.source / file)
        return (*image, 0, 0) if self.masks is None else (*image, *_state(mask))


def _find_masks(task: _Task, files: Sequence[str]) -> dict[str, str]:
    """Find the mask of each image, which is never the image itself; empty where there is none."""
    if task.masks is None:
        return dict.fromkeys(files, "")
    folder = ImageFolder(task.masks)
    found = dict.fromkeys(files, "")
    parents: dict[str, list[str]] = {}
    for file in files:
        parents.setdefault(file.rpartition("/")[0], []).append(file)
    looks: list[tuple[list[str], dict[str, Any]]]
    looks = [(group, {"folder": parent}) for parent, group in parents.items() if parent]
    for group, place in [*looks, ([*files], {}), ([*files], {"below": True})]:
        todo = [file for file in group if not found[file]]
        ids = [PurePosixPath(file).stem for file in todo]
        images = [str(task.source / file) for file in todo]
        found.update(zip(todo, folder.masks(ids, images, own=True, **place), strict=True))
    return found


def _size(image_size: Any) -> tuple[int, int]:
    several = isinstance(image_size, Sequence) and not isinstance(image_size, (str, bytes))
    pair = image_size if several else (image_size, image_size)
    what = "a number of px, or height and width"
    require(len(pair) == 2, "image_size", what, repr(image_size))
    for side in pair:
        check_number(side, "image_size", low=1, integer=True)
    height, width = map(int, pair)
    got = f"{height} x {width}"
    require(height * width <= MAX_PIXELS, "image_size", f"at most {MAX_PIXELS:,} pixels", got)
    return height, width


def _finished(
    task: _Task, settings: Mapping[str, Any], masks: Mapping[str, str], errors: str
) -> PreparedStore:
    """Open a finished store, unless its source has changed or images that must be there failed."""
    store = PreparedStore(task.folder, expect=settings)
    noted = zip(store.files, *(store.column(name) for name in _STATES), strict=True)
    changed = [
        file for file, *state in noted if task.states(file, masks.get(file, "")) != tuple(state)
    ]
    what = "the store of a source that has not changed"
    got = f"{task.folder}, since when {len(changed)} images or masks did ({listed(changed)})"
    require(not changed, "destination", what, got, "Pass `overwrite` to make it again.")
    if errors == "raise" and len(store) < len(masks):
        text = read_noted(task.folder / _FAILED, store.digests)
        lines = io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")
        _, *failed = csv.reader(lines)
        raise _failed(task.folder, failed, f"Repair these files and `overwrite`, {_OR_SKIP}")
    return store


def _begin(job: Job, task: _Task) -> None:
    """Leave nothing of another run, and reserve the space: a disk too small is found now."""
    for name in (SETTINGS, INDEX, _FAILED, IMAGES, MASKS):  # the settings first: no store is half
        (task.folder / name).unlink(missing_ok=True)
    job.start()
    try:
        for name, (dtype, shape) in task.arrays().items():
            path = task.folder / name
            np.lib.format.open_memmap(path, "w+", dtype, shape)
            with path.open("r+b") as file:
                _reserve(file, path.stat().st_size)
    except OSError:
        for name in task.arrays():
            (task.folder / name).unlink(missing_ok=True)
        raise


def _reserve(file: IO[bytes], size: int) -> None:
    try:
        getattr(os, "posix_fallocate", lambda *_: None)(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def _work(
    job: Job, masks: Mapping[str, str], task: _Task, workers: int, *, progress: bool
) -> list[tuple[str, str]]:
    """Prepare what is not done, or whose files have changed; list what failed with the reasons."""
    kept = _kept_rows(job, masks, task, workers)
    todo = [(row, *files) for row, files in enumerate(masks.items()) if row not in kept]
    changed = [file for _, file, _ in todo if job.is_current(file)]
    if changed:
        job.forget(changed)
    size = max(1, min(_BLOCK, len(todo) // (_TASKS * workers)))
    failures: list[tuple[str, str]] = []
    errors: list[OSError] = []
    # After an error no block is begun, and those that were are waited for: nothing goes on writing
    blocks = ((todo[at : at + size], task) for at in range(0, len(todo), size))
    calls = takewhile(lambda _: not errors, blocks)
    for records, failed, error in job.map(
        _prepare_block,
        calls,
        workers=workers,
        total=len(masks),
        done=len(masks) - len(todo),
        count=lambda block: len(block[0]) + len(block[1]),
        progress=progress,
    ):
        job.add(records)
        failures += failed
        errors += [error] if error else []
    if errors:
        raise errors[0]
    return failures


def _kept_rows(job: Job, masks: Mapping[str, str], task: _Task, workers: int) -> set[int]:
    """Find the rows that were made of files which have not changed, and hold what was written."""
    found = [
        (row, record[CHECKSUMS[IMAGES]], record[CHECKSUMS[MASKS]])
        for row, (file, record) in enumerate(zip(masks, job.records(masks), strict=True))
        if record and job.is_current(file)
        if task.states(file, masks[file]) == tuple(record[name] for name in _STATES)
    ]
    rows, *columns = np.array(found, np.int64).reshape(-1, 3).T
    kept = np.ones(len(rows), np.bool_)
    for name, noted in zip(task.arrays(), columns, strict=False):  # without masks, the first
        kept &= row_checksums(task.folder / name, rows, task.key, workers=workers) == noted
    return {*rows[kept].tolist()}


def _prepare_block(
    block: list[tuple[int, str, str]], task: _Task
) -> tuple[list[Record], list[tuple[str, str]], OSError | None]:
    """Prepare some images and write their rows.

    Returns the records, the images that failed with the reasons, and an error in writing that ended
    the block: a pool of processes may hang where a task raises.
    """
    records: list[Record] = []
    failures: list[tuple[str, str]] = []
    try:
        for row, file, path in block:
            try:
                image, mask, record = _prepare_file(file, path, task)
            except Exception as error:  # no image may end the run of the others
                failures.append((file, describe_failure(error, task.source)))
                continue
            _write_row(task, IMAGES, row, image)
            if mask is not None:
                _write_row(task, MASKS, row, mask)
            records.append(record)
    except OSError as error:
        return records, failures, error
    return records, failures, None


def _prepare_file(file: str, mask_path: str, task: _Task) -> tuple[Image, Mask | None, Record]:
    states = dict(zip(_STATES, task.states(file, mask_path), strict=True))  # before they are read
    image = read_image(task.source / file)
    height, width = image.shape[:2]
    mask = None
    if task.masks is not None:
        stem = PurePosixPath(file).stem
        hint = f"Name it {', '.join(f'{stem}{tail}.png' for tail in MASK_TAILS)} or {stem}.png."
        what = f"a folder with the mask of {file}"
        require(mask_path, "masks", what, "none", hint, error=FileNotFoundError)
        mask = read_mask(mask_path, shape=(height, width))
    done = task.pipeline.run(image, mask)
    fraction = {"masked_fraction": done.masked_fraction}
    record = {"file": file, "height": height, "width": width, **done.box._asdict(), **fraction}
    size = task.shape[1:]
    inner = inner_size(done.image.shape, size, task.fit)
    pixels = center(resize_image(done.image, inner), size, PADDING)
    resized = None if done.mask is None else center(resize_mask(done.mask, inner), size, False)
    checksums = {"checksum": row_checksum(pixels, task.key), "mask_checksum": 0}
    if resized is not None:
        checksums["mask_checksum"] = row_checksum(resized, task.key)
    return pixels, resized, record | states | checksums


def _write_row(task: _Task, name: str, row: int, values: npt.NDArray[Any]) -> None:
    """Write a row in its place. Not mapped: pages of a map count as memory of the process."""
    dtype, shape = task.arrays()[name]
    size = dtype.itemsize * prod(shape[1:])
    with (task.folder / name).open("r+b") as file:
        file.seek((row - shape[0]) * size, os.SEEK_END)
        file.write(np.ascontiguousarray(values).data)


def _state(path: Path | str) -> tuple[int, int]:
    try:
        found = Path(path).stat() if path else None
    except OSError:
        found = None
    return (found.st_size, found.st_mtime_ns) if found else (-1, -1)


def _report(folder: Path, failures: list[tuple[str, str]], total: int, errors: str) -> None:
    """List the images that failed, and stop unless the user does without them."""
    (folder / _FAILED).unlink(missing_ok=True)
    if failures:
        failures = sorted(failures)
        write_table(folder / _FAILED, ("file", "error"), failures)
        if errors == "raise":
            raise _failed(folder, failures, f"Repair these files and call again, {_OR_SKIP}")
        if len(failures) == total:
            raise _failed(folder, failures, "There is nothing to prepare.")


def _failed(folder: Path, failed: Sequence[Sequence[str]], hint: str) -> ValueError:
    shown = "; ".join(f"{file}: {reason}" for file, reason in failed[:3])
    more = f"; {folder / _FAILED} names all" if len(failed) > 3 else ""
    got = f"{len(failed)} that cannot be prepared ({shown}{more})"
    return ValueError(expected("source", "a folder of images that can be prepared", got, hint))

"""Offline ("physical") augmentation: new image files for the classes that have too few.

This is the way of the AlexNet paper, without its black images, and guarded against copies of rows
that are not for training. It has two limits that a preset in the loader does not have: a network
sees the same copies in every epoch, and a copy of a JPEG has the artifacts of a second compression,
which the images of other classes do not have.
"""

import hashlib
import inspect
import json
import pickle
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from pickle import PickleError
from typing import Any, Protocol

import numpy as np
import pandas as pd

from dermolib._jobs import Record, fingerprint, library_versions
from dermolib._validation import (
    Image,
    Mask,
    PathLike,
    as_path,
    check_choice,
    check_image,
    check_mask,
    check_number,
    check_type,
    expected,
    listed,
    require,
)
from dermolib.augmentation.presets import SMALLEST, Preset, list_presets, make_generators
from dermolib.augmentation.presets import preset as build_preset
from dermolib.datasets.copies import COLUMNS, MANIFEST, copies_job
from dermolib.datasets.store import content_digest, load_image, load_mask
from dermolib.io import check_names, digest_file, write_image, write_mask
from dermolib.labels import Diagnosis, LabelSpace, as_label_space, label_space_of
from dermolib.preprocessing.blank import is_blank

__all__ = ["Augmentable", "augment_offline", "draw_seed", "plan_offline"]

_READ = ("id", "label", "lesion", "age", "sex", "site", "image_path", "mask_path")
_ATTEMPTS = 20
_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png")
_HINT = "Look at the file, and leave its row out of the table if it shows no lesion."


class Augmentable(Protocol):
    """What can be augmented: rows of known columns, and what they are for."""

    @property
    def table(self) -> pd.DataFrame:
        """Rows with the columns of `dermolib.datasets.ISICDataset.table`.

        ``id``, ``label``, ``lesion``, ``age`` in years (nan where missing), ``sex``, ``site``,
        ``image_path``, ``mask_path`` (texts are empty where missing), and where there are augmented
        rows ``parent_id``.
        """

    @property
    def split(self) -> str:
        """Split of the rows; only ``"train"`` can be augmented."""


def plan_offline(
    counts: Any,
    *,
    factors: Mapping[Any, int],
    label_space: str | LabelSpace | Sequence[str] = "challenge",
) -> dict[Any, int]:
    """Count the images of each class after augmentation: those of today times its factor.

    Args:
        counts: Images of each class today: a mapping from label to count, or the counts in the
            order of the labels, 0..7 for the challenge.
        factors: Integer factor of 1 or more of the classes to be augmented. A class is named by its
            key in `counts`, or by a `dermolib.labels.Diagnosis` or its code.
        label_space: Classes whose codes name labels, see `dermolib.labels.as_label_space`.

    Returns:
        Images of each class after augmentation, in the order of `counts`; a class without a factor
        stays as it is.

    Raises:
        TypeError: A count or a factor is not an integer, `counts` are not counts but, say, a data
            set, or `factors` is not a mapping.
        ValueError: A number is out of its range, a class is unknown, or named twice.

    Examples:
        >>> counts = [3391, 9657, 2492, 650, 1968, 179, 190, 471]
        >>> after = plan_offline(counts, factors={"AK": 3, "DF": 7, "VASC": 6, "SCC": 3})
        >>> after[3], after[5], after[6], after[7], sum(after.values())
        (1950, 1253, 1140, 1413, 23264)
    """
    now = _counts(counts)
    for label, count in now.items():
        check_number(count, f"counts[{label!r}]", low=0, integer=True)
    times = _factors(factors, list(now), as_label_space(label_space).codes)
    return {label: int(count) * times.get(label, 1) for label, count in now.items()}


def augment_offline(
    dataset: Augmentable,
    destination: PathLike,
    *,
    factors: Mapping[Any, int],
    preset: str | Callable[..., Any] = "paper",
    image_size: int | None = None,
    fit: str = "squeeze",
    seed: int = 0,
    workers: int = 1,
    held_out: Augmentable | None = None,
    progress: bool = True,
) -> Path:
    """Write augmented copies of the training images of some classes, and a manifest of them.

    A class with factor k gets k - 1 new files for each of its images; the originals are neither
    copied nor changed. A copy is named ``ID_aug1``, ``ID_aug2``, ... with the suffix of its source
    (``.png`` for formats other than JPEG and PNG; JPEG at quality 95), and where the source has a
    lesion mask, ``ID_aug1_seg.png`` is that mask after the same draw. A draw that `is_blank`, or
    that loses the whole lesion mask, is repeated, 20 times at most.

    ``manifest.csv`` has one row for each new file: the challenge's columns ID, CLASS (label + 1),
    SEX, AGE, POSITION (missing values as ``nan``) and LESION_ID, then PARENT_ID, COPY, SEED (the
    `draw_seed` that repeats the draw), ATTEMPTS, PRESET, TRANSFORMS (those applied), FILE and
    MASK_FILE. It is written last.

    The bytes of a file depend on its source, the settings and the versions of the libraries alone,
    not on the number of workers or on other rows. Files appear whole or not at all, and the same
    call continues an interrupted run and ends with the same bytes. ``run.jsonl`` in the folder
    identifies the run: by its settings, its rows and the content of its source files, which every
    call reads for that, but not by where they lie. A second run at the same time is refused.
    Sources run in parallel on the joblib backend that is active, worker processes by default; on a
    cluster, all machines must see the sources and the destination under the same paths.

    Args:
        dataset: Training images, for example a `dermolib.datasets.ISICDataset`.
        destination: Folder for the new files: new, empty, or that of the same run. Copies of other
            versions of the images, such as those without hair, need a folder of their own.
        factors: Integer factor of 1 or more for the classes to be augmented, see `plan_offline`.
        preset: Name of a random preset of `dermolib.augmentation.list_presets`; or a transform of
            your own: a `Preset` with ``normalize=False``, a pipeline of albumentations, or an
            object that is called as ``transform(image=image, mask=mask, draw_seed=seed)`` and
            returns a dictionary with a uint8 ``image`` and, if a mask was given, a bool ``mask``.
        image_size: Height and width of the new files in px. None keeps the size of each source,
            swapped where the draw transposes; a draw of many megapixels takes seconds. A transform
            of your own sets the size itself.
        fit: What is done to an image that is not square, see `dermolib.preset`.
        seed: Seed of the run, 0 or more.
        workers: Number of parallel workers, 1 or more.
        held_out: Validation or test rows that may share no image with `dataset`, and no lesion or
            patient that is known.
        progress: Whether a progress bar is shown.

    Returns:
        Path of the manifest.

    Raises:
        TypeError: A number is not an integer, `factors` is not a mapping, `dataset` or `held_out`
            has no table of rows, or `preset` cannot be pickled or described.
        FileNotFoundError: An image or a mask is missing.
        ValueError: The rows are not for training, have no class or no image, are augmented already,
            or share an image, a lesion or a patient with `held_out`; an id of a copy exists; the
            preset draws nothing at random; the destination holds something else or another run, or
            another run works on it; a source is blank, cannot be read, or is too small to keep its
            size; or a factor, class or number is invalid.
    """
    check_number(seed, "seed", low=0, integer=True)
    check_number(workers, "workers", low=1, integer=True)
    transform, description = _transform(preset, image_size, fit)
    codes = _codes(dataset)
    table = _training_rows(dataset, len(codes))
    times = _factors(factors, [*range(len(codes))], codes)
    tasks = _tasks(table, times)
    known = {*table["id"]} | (set() if held_out is None else _held_out_ids(table, held_out))
    copies = {task.name(copy): task.files(copy) for task in tasks for copy in task.copies}
    taken = [name for name in copies if name in known]
    got = f"{len(taken)} known ones ({listed(taken)})"
    hint = "Rename these images, or leave them out with `subset`."
    require(not taken, "dataset", "a set whose copies get new ids", got, hint)
    named = [(task.parent, name) for task in tasks for c in task.copies for name in task.files(c)]
    check_names(filter(all, named), "dataset", hint)

    sources = [path for task in tasks for path in (task.image_path, task.mask_path) if path]
    folder = as_path(destination, "destination")
    rows = [[*task.files(1), task.copies, task.values] for task in tasks]
    outputs = {name: [folder / file for file in files if file] for name, files in copies.items()}
    names = (path.name for paths in outputs.values() for path in paths)
    job = copies_job(
        folder,
        {
            "factors": {codes[label]: factor for label, factor in sorted(times.items())},
            "image_size": None if image_size is None else int(image_size),
            "fit": fit,
            "preset": description,
            "seed": int(seed),
            # By their content: the same rows may come with other images
            "source_files": fingerprint([content_digest(path).hex() for path in sources]),
            "source_rows": fingerprint(rows),
            "versions": library_versions("albumentations"),
        },
        {MANIFEST, *names},
    )
    keeps_size = image_size is None and isinstance(preset, str)
    config = _SampleConfig(folder.absolute(), transform, description, keeps_size, int(seed))
    with job.open():
        if job.fresh:
            job.start()  # from here on the files in the folder are known to be ours
        done = job.intact(outputs, outputs.__getitem__, workers=workers, progress=progress)
        left = (task.without(done) for task in tasks)
        calls = ((task, config) for task in left if task.copies)
        counts: dict[str, Any] = {"total": len(copies), "done": len(done), "progress": progress}
        for made in job.map(
            _make_copies, calls, workers=workers, ordered=False, count=len, **counts
        ):
            job.add(made)
        records = (record or {} for record in job.records(copies))
        lines = ([record[column] for column in COLUMNS] for record in records)
        job.write_table(MANIFEST, COLUMNS, lines)
        job.finish([*copies])
    return folder / MANIFEST


def draw_seed(seed: int, parent: str, copy: int, attempt: int) -> int:
    """Derive the seed of one draw, 0..2**63 - 1, from what names it and from nothing else."""
    name = json.dumps([seed, parent, copy, attempt])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class _SampleConfig:
    """How the copies of a job are drawn, and the folder that they are written to."""

    folder: Path
    transform: bytes  # pickled
    preset: str
    keeps_size: bool
    seed: int


@dataclass(frozen=True)
class _CopyTask:
    """One source image, its mask if any, the numbers of its copies, and their manifest columns."""

    parent: str
    image_path: str
    mask_path: str
    copies: tuple[int, ...]
    values: dict[str, str]

    def name(self, copy: int) -> str:
        """Return the id of a copy."""
        return f"{self.parent}_aug{copy}"

    def files(self, copy: int) -> tuple[str, str]:
        """Return the file names of a copy and of its mask, empty where the source has none."""
        suffix = Path(self.image_path).suffix.lower()
        image = f"{self.name(copy)}{suffix if suffix in _KEPT_SUFFIXES else '.png'}"
        return image, f"{self.name(copy)}_seg.png" if self.mask_path else ""

    def without(self, names: Container[str]) -> "_CopyTask":
        """Leave out the copies of these ids."""
        left = tuple(copy for copy in self.copies if self.name(copy) not in names)
        return replace(self, copies=left)


def _transform(preset: Any, image_size: int | None, fit: str) -> tuple[bytes, str]:
    """Look up a preset or take a transform: pickled, and what identifies it."""
    what, hint = "one that draws at random", "Its copies would all be the same image."
    if isinstance(preset, str):
        check_choice(preset, "preset", list_presets())
        transform = build_preset(preset, image_size=image_size, fit=fit, normalize=False)
        require(transform.random, "preset", what, repr(preset), hint)
        return pickle.dumps(transform), preset
    require(getattr(preset, "random", True), "preset", what, repr(preset), hint)
    what = "left out beside a transform, which sets the size itself"
    require(image_size is None, "image_size", what, image_size)
    require(fit == "squeeze", "fit", what, repr(fit))
    kind, what = type(preset).__name__, "a name, or a transform that can be pickled and described"
    hint = "Define a class with a `__repr__` at the top of a module."
    require(callable(preset), "preset", what, f"an object of type {kind}", error=TypeError)
    try:
        return pickle.dumps(preset), f"{kind} {fingerprint(_description(preset))}"
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError, PickleError) as error:
        raise TypeError(expected("preset", what, f"a {kind}: {error}", hint)) from error


def _description(transform: Any) -> Any:
    """Describe a transform by JSON values that are the same in every process."""
    if hasattr(transform, "to_dict"):
        return transform.to_dict()
    if inspect.isfunction(transform):
        return [transform.__module__, transform.__qualname__, inspect.getsource(transform)]
    text = repr(transform)
    if " at 0x" in text:
        raise ValueError(text)
    return text


def _counts(counts: Any) -> dict[Any, int]:
    # A map-style data set has no `__iter__`: it is refused before it reads an image
    if hasattr(counts, "__iter__"):
        now = dict(counts.items() if hasattr(counts, "items") else enumerate(counts))
        if all(map(np.isscalar, now.values())):
            return now
    what = "the number of images of each class, as a mapping or in the order of the labels"
    hint = "Pass `dataset.class_counts()` for a data set."
    raise TypeError(expected("counts", what, f"an object of type {type(counts).__name__}", hint))


def _codes(dataset: Augmentable) -> list[str]:
    """Give the codes of the label space of a data set, the challenge's where it names none."""
    return list(label_space_of(dataset).codes)


def _factors(factors: Mapping[Any, int], labels: list[Any], codes: Sequence[str]) -> dict[Any, int]:
    """Look up the label of each class that has a factor."""
    check_type(factors, "factors", Mapping, "a mapping from classes to factors")
    times: dict[Any, int] = {}
    for key, factor in factors.items():
        code = key.code if isinstance(key, Diagnosis) else key
        index = codes.index(code) if isinstance(code, str) and code in codes else code
        label = next((label for label in (code, index) if label in labels), None)
        what = f"a mapping from {listed(labels, most=10)}, or from codes of these classes"
        require(label is not None, "factors", what, f"the class {code!r}")
        check_number(factor, f"factors[{code!r}]", low=1, integer=True)
        what = "a mapping with one factor for each class"
        require(label not in times, "factors", what, f"two for {code!r}")
        times[label] = int(factor)
    return times


def _table(dataset: Augmentable, name: str) -> pd.DataFrame:
    table: Any = getattr(dataset, "table", None)
    fits = isinstance(table, pd.DataFrame) and isinstance(getattr(dataset, "split", None), str)
    what = "a data set with `table` and `split`, such as a `dermolib.datasets.ISICDataset`"
    require(fits, name, what, f"an object of type {type(dataset).__name__}", error=TypeError)
    return pd.DataFrame(table)


def _training_rows(dataset: Augmentable, classes: int) -> pd.DataFrame:
    table = _table(dataset, "dataset")
    hint = "Split by lesion first, then augment the training split alone."
    rows = f"{dataset.split!r} ({len(table)} rows: {listed(table['id'])})"
    require(dataset.split == "train", "dataset.split", "'train'", rows, hint)
    absent = [column for column in _READ if column not in table.columns]
    what = f"a table with the columns {', '.join(_READ)}"
    require(not absent, "dataset.table", what, f"one without {listed(absent)}")
    leave = "Leave these rows out with `subset`."
    parents = table.get("parent_id", pd.Series("", table.index)).fillna("")
    labels = f"rows with a label in 0..{classes - 1}"
    labelled = "Take the others: `dataset.subset(dataset.labelled)`."
    for bad, what, got, hint in (
        (~table["label"].isin(range(classes)), labels, "without one", labelled),
        (parents != "", "original images only", "that are augmented already", leave),
        (table["image_path"].fillna("") == "", "rows with an image file", "without one", leave),
    ):
        ids = table["id"][bad]
        require(not len(ids), "dataset", what, f"{len(ids)} rows {got} ({listed(ids)})", hint)
    return table


def _held_out_ids(table: pd.DataFrame, held_out: Augmentable) -> set[str]:
    """Give the ids of rows that share no image, lesion or patient with the training rows."""
    other = _table(held_out, "held_out")
    hint = "Split with `dermolib.datasets.grouped_split`, which keeps lesions and patients apart."
    for column, words in (("id", "images"), ("lesion", "lesions"), ("patient", "patients")):
        shared = sorted(_known(table, column) & _known(other, column))
        what, got = f"a set without {words} of the training set", f"{len(shared)} of them"
        require(not shared, "held_out", what, f"{got} ({listed(shared)})", hint)
    return {*other["id"]}


def _known(table: pd.DataFrame, column: str) -> set[str]:
    return {*table[column].dropna()} - {""} if column in table.columns else set()


def _tasks(table: pd.DataFrame, times: Mapping[int, int]) -> list[_CopyTask]:
    tasks = []
    for row in table[table["label"].isin(times)].to_dict("records"):
        values = {"CLASS": str(int(row["label"]) + 1), "SEX": row["sex"] or "nan"}
        values |= {"AGE": str(float(row["age"])), "POSITION": row["site"] or "nan"}
        values["LESION_ID"] = row["lesion"]
        copies = tuple(range(1, times[int(row["label"])]))
        if copies:
            paths = row["image_path"], row["mask_path"]
            tasks.append(_CopyTask(row["id"], *paths, copies, values))
    return tasks


def _make_copies(task: _CopyTask, config: _SampleConfig) -> list[Record]:
    """Draw and write the copies of one source, each file whole or not at all; returns their rows.

    A draw that `is_blank`, or that loses the whole lesion mask, is repeated.
    """
    image = load_image(task.image_path)
    height, width = image.shape[:2]
    mask = load_mask(task.mask_path, shape=(height, width)) if task.mask_path else None
    path, what = task.image_path, f"an image of {SMALLEST} px or more a side where its size is kept"
    hint = "Give an `image_size`, or leave its row out of the table."
    fits = not config.keeps_size or min(height, width) >= SMALLEST
    require(fits, path, what, f"{height} x {width} px", hint)
    require(not is_blank(image), path, "an image with something in it", "a blank one", _HINT)
    return [_make_copy(task, config, copy, image, mask) for copy in task.copies]


def _make_copy(
    task: _CopyTask, config: _SampleConfig, copy: int, image: Image, mask: Mask | None
) -> Record:
    transform = _own_transform(config.transform, threading.get_ident())
    for attempt in range(1, _ATTEMPTS + 1):
        seed = draw_seed(config.seed, task.parent, copy, attempt)
        drawn, lesion, applied = _drawn(transform, image, mask, seed)
        lost = mask is not None and lesion is not None and mask.any() and not lesion.any()
        shown = not lost and not is_blank(drawn)
        if shown:
            break
    what = f"an image of which one of {_ATTEMPTS} draws shows its lesion"
    require(shown, task.image_path, what, "none", _HINT)
    image_file, mask_file = task.files(copy)
    if lesion is not None:
        write_mask(config.folder / mask_file, lesion)
    write_image(config.folder / image_file, drawn)
    row = {"PARENT_ID": task.parent, "COPY": str(copy), "SEED": str(seed), "ATTEMPTS": str(attempt)}
    row |= {"PRESET": config.preset, "TRANSFORMS": " ".join(applied)}
    files = {"FILE": image_file, "MASK_FILE": mask_file}
    digests = [digest_file(config.folder / file) for file in task.files(copy) if file]
    return {"ID": task.name(copy), **task.values, **row, **files, "digests": digests}


@lru_cache(maxsize=32)
def _own_transform(data: bytes, _thread: int) -> Any:
    """Unpickle a transform once for each thread: it is not for sharing between threads."""
    return pickle.loads(data)  # noqa: S301 - pickled by the call that runs this job


def _drawn(
    transform: Any, image: Image, mask: Mask | None, seed: int
) -> tuple[Image, Mask | None, tuple[str, ...]]:
    """Draw with a seed: an image, its mask if there is one, and the names of what was applied."""
    data: dict[str, Any] = {"image": image} if mask is None else {"image": image, "mask": mask}
    of_others = hasattr(transform, "set_random_state") and not isinstance(transform, Preset)
    if of_others:  # of albumentations, whose masks are of bytes
        transform.set_random_state(*make_generators(seed))
        drawn = transform(**{key: value.astype(np.uint8) for key, value in data.items()})
        drawn["mask"] = np.asarray(drawn.get("mask", 0)) > 0
    else:
        drawn = transform(**data, draw_seed=seed)
    pixels = check_image(drawn["image"], "preset(...)['image']")
    lesion = None
    if mask is not None:
        lesion = check_mask(drawn.get("mask"), pixels.shape[:2], "preset(...)['mask']")
    recorded = tuple(name for name, _ in drawn.get("applied_transforms", ()))
    return pixels, lesion, getattr(transform, "applied", recorded)

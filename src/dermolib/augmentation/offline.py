"""Offline ("physical") augmentation: new image files for the classes that have too few.

This is the way of the AlexNet paper, without its black images, and guarded against copies of rows
that are not for training. It has two limits that a preset in the loader has not: a network sees the
same copies in every epoch, and a copy of a JPEG carries the marks of a second compression, which
the images of other classes lack.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, overload

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from dermolib._jobs import exclusive_lock, explain_disk_full, one_thread, run_tasks
from dermolib._validation import PathLike, check_choice, check_number, expected, listed
from dermolib.augmentation.copies import CopyTask, Drawing, make_copies
from dermolib.augmentation.journal import RunFolder
from dermolib.augmentation.presets import Preset, list_presets
from dermolib.datasets.store import content_digest
from dermolib.labels import DIAGNOSES, Diagnosis

__all__ = ["Augmentable", "augment_offline", "plan_offline"]

_READ = ("id", "label", "lesion", "age", "sex", "site", "image_path", "mask_path")
_PACKAGES = ("dermolib", "albumentations", "numpy", "pillow")


class Augmentable(Protocol):
    """What can be augmented: rows of known columns, and what they are for."""

    @property
    def table(self) -> pd.DataFrame:
        """Rows with the columns of `dermolib.datasets.ISICDataset.table`.

        ``id``, ``label`` (0..7), ``lesion`` (empty where unknown), ``age`` in years (nan where
        missing), ``sex`` and ``site`` (empty where missing), ``image_path``, ``mask_path`` (empty
        where there is none), and where there are augmented rows ``made_from``.
        """

    @property
    def split(self) -> str:
        """What the rows are for; ``"train"`` can be augmented."""


@overload
def plan_offline(counts: Mapping[Any, int], *, factors: Mapping[Any, int]) -> dict[Any, int]: ...
@overload
def plan_offline(
    counts: Sequence[int] | npt.NDArray[np.integer[Any]], *, factors: Mapping[Any, int]
) -> dict[int, int]: ...
def plan_offline(counts: Any, *, factors: Mapping[Any, int]) -> dict[Any, int]:
    """Count the images of each class after augmentation: those of today times its factor.

    Args:
        counts: Images of each class today: a mapping from label to count, or the counts in the
            order of the labels, 0..7 for the challenge.
        factors: Whole factor of 1 or more of the classes to be augmented. A class is named by its
            key in `counts`, or by a `dermolib.labels.Diagnosis` or its code.

    Returns:
        Images of each class after augmentation, in the order of `counts`; a class without a factor
        stays as it is.

    Raises:
        TypeError: A count or a factor is not an integer, `counts` are no counts but, say, a data
            set, or `factors` is no mapping.
        ValueError: A count is negative, a factor is below 1, a class is unknown, or two factors
            name the same class.

    Examples:
        >>> counts = [3391, 9657, 2492, 650, 1968, 179, 190, 471]
        >>> after = plan_offline(counts, factors={"AK": 3, "DF": 7, "VASC": 6, "SCC": 3})
        >>> after[3], after[5], after[6], after[7], sum(after.values())
        (1950, 1253, 1140, 1413, 23264)
    """
    now = _counts(counts)
    for label, count in now.items():
        check_number(count, f"counts[{label!r}]", low=0, integer=True)
    times = _factors(factors, list(now))
    return {label: int(count) * times.get(label, 1) for label, count in now.items()}


def augment_offline(
    dataset: Augmentable,
    destination: PathLike,
    *,
    factors: Mapping[Any, int],
    preset: str = "paper",
    image_size: int | None = None,
    seed: int = 0,
    workers: int = 1,
    held_out: Augmentable | None = None,
    progress: bool = True,
) -> Path:
    """Write augmented copies of the training images of some classes, and a manifest of them.

    A class with factor k gets k - 1 new files for each of its images; the originals are neither
    copied nor changed. A copy is named ``ID_aug1``, ``ID_aug2``, ... with the ending of its source
    (``.png`` for formats other than JPEG and PNG; JPEG at quality 95), and where the source has a
    lesion mask, ``ID_aug1_seg.png`` is that mask after the same draw. A draw that `is_blank`, or
    that loses the whole lesion mask, is drawn again, 20 times at most.

    ``manifest.csv`` has one row for each new file: the challenge's columns ID, CLASS (1..8), SEX,
    AGE, POSITION (missing values as ``nan``) and LESION_ID, then SOURCE_ID, COPY, SEED (the
    `draw_seed` that repeats the draw), ATTEMPTS, PRESET, TRANSFORMS (those applied), FILE and
    MASK_FILE. It is written last.

    The bytes of a file depend on its source, the settings and the versions of the libraries alone,
    not on the number of workers or on other rows. Files appear whole or not at all, and the same
    call continues an interrupted run without making a finished file again and ends with the same
    bytes. ``run.json`` in the folder tells it that the run is the same: by its settings, its rows
    and the content of its source files, which every call reads for that, but not by where they lie.
    A destination takes one run at a time; a second one is refused. Sources run in parallel on the
    joblib backend that is active, worker processes by default; on a cluster, all machines must see
    the sources and the destination under the same paths.

    Args:
        dataset: Training images, for example a `dermolib.datasets.ISICDataset`.
        destination: Folder for the new files: new, empty, or that of the same run. Copies of other
            versions of the images, such as those without hair, need a folder of their own.
        factors: Whole factor of 1 or more for the classes to be augmented, named by label 0..7,
            code, or `dermolib.labels.Diagnosis`; see `plan_offline`.
        preset: Name of a random preset of `dermolib.augmentation.list_presets`.
        image_size: Height and width of the new files in px. None keeps the size of each source,
            height and width swapped where the draw transposes; give a size for images of many
            megapixels, of which a draw at full size takes seconds.
        seed: Seed of the run, 0 or more.
        workers: Number of parallel workers, 1 or more.
        held_out: Validation or test rows that may share no image with `dataset`, and no lesion or
            patient that is known.
        progress: Whether a progress bar is shown.

    Returns:
        Path of the manifest.

    Raises:
        TypeError: A number is not an integer, `factors` is no mapping, or `dataset` or `held_out`
            has no table of rows.
        FileNotFoundError: An image or a mask is not there.
        ValueError: The rows are not for training, have no class or no image, or are augmented
            already; they share an image, a lesion or a patient with `held_out`; another run works
            on the destination; an id of a copy exists; the preset draws nothing at random; the
            destination holds something else, another run, or notes that cannot be read; a source
            is blank, cannot be read, or is too small to be drawn at its own size; or a factor,
            class or number is unfit.
    """
    check_number(seed, "seed", low=0, integer=True)
    check_number(workers, "workers", low=1, integer=True)
    _check_preset(preset, image_size)
    table = _training_rows(dataset)
    if held_out is not None:
        _check_apart(table, _table(held_out, "held_out"))
    times = _factors(factors, [diagnosis.index for diagnosis in DIAGNOSES])
    tasks = _tasks(table, times)
    others = [] if held_out is None else list(held_out.table["id"])
    _check_new(tasks, {*table["id"], *others})

    settings = {
        "factors": {DIAGNOSES[label].code: factor for label, factor in sorted(times.items())},
        "image_size": None if image_size is None else int(image_size),
        "preset": preset,
        "seed": int(seed),
        "source_files": _digest_files(tasks),
        "source_rows": _digest_rows(tasks),
        "versions": {name: version(name) for name in _PACKAGES} | {"opencv": cv2.__version__},
    }
    folder = RunFolder(Path(destination), settings)
    names = [name for task in tasks for copy in task.copies for name in task.files(copy)]
    drawing = Drawing(folder.path.absolute(), preset, image_size, int(seed))
    copies = [task.name(copy) for task in tasks for copy in task.copies]
    folder.check()
    with exclusive_lock(folder.path), explain_disk_full(folder.path), one_thread():
        rows = folder.open(names)
        calls = ((task, drawing) for task in _remaining(tasks, rows))
        with (
            tqdm(total=len(copies), initial=len(rows), unit="image", disable=not progress) as bar,
            closing(run_tasks(make_copies, calls, workers=workers, ordered=False)) as results,
        ):
            for made in results:
                folder.add(made)
                bar.update(len(made))
                rows.update((row["ID"], row) for row in made)
        return folder.finish(rows[name] for name in copies)


def _counts(counts: Any) -> dict[Any, int]:
    # A map-style data set has no `__iter__`: it is refused before it reads an image
    if hasattr(counts, "__iter__"):
        now = dict(counts.items() if hasattr(counts, "items") else enumerate(counts))
        if all(map(np.isscalar, now.values())):
            return now
    what = "the number of images of each class, as a mapping or in the order of the labels"
    got = f"an object of type {type(counts).__name__}"
    remedy = "Pass `dataset.class_counts()` for a data set."
    raise TypeError(expected("counts", what, got, remedy))


def _factors(factors: Mapping[Any, int], labels: list[Any]) -> dict[Any, int]:
    if not isinstance(factors, Mapping):
        what = "a mapping from classes to factors"
        raise TypeError(expected("factors", what, f"an object of type {type(factors).__name__}"))
    times: dict[Any, int] = {}
    for key, factor in factors.items():
        label = _label(key, labels)
        check_number(factor, f"factors[{_name(key)}]", low=1, integer=True)
        if label in times:
            what = "a mapping with one factor for each class"
            raise ValueError(expected("factors", what, f"two for {_name(key)}"))
        times[label] = int(factor)
    return times


def _label(key: Any, labels: list[Any]) -> Any:
    named = [item for item in DIAGNOSES if key in (item, item.code)]
    for label in [key, *((item.index, item.code)[way] for item in named for way in (0, 1))]:
        if label in labels:
            return label
    what = f"a mapping from {listed(labels, most=10)}, or from codes of these classes, to factors"
    raise ValueError(expected("factors", what, f"the class {_name(key)}"))


def _name(key: Any) -> str:
    return key.code if isinstance(key, Diagnosis) else repr(key)


def _check_preset(name: str, image_size: int | None) -> None:
    check_choice(name, "preset", list_presets())
    if not Preset(name, image_size=image_size).random:
        remedy = "Its copies would all be the same image."
        raise ValueError(expected("preset", "one that draws at random", repr(name), remedy))


def _table(dataset: Augmentable, name: str) -> pd.DataFrame:
    table = getattr(dataset, "table", None)
    if not isinstance(table, pd.DataFrame) or not isinstance(getattr(dataset, "split", None), str):
        what = "a data set with `table` and `split`, such as a `dermolib.datasets.ISICDataset`"
        raise TypeError(expected(name, what, f"an object of type {type(dataset).__name__}"))
    return table


def _training_rows(dataset: Augmentable) -> pd.DataFrame:
    table = _table(dataset, "dataset")
    if dataset.split != "train":
        remedy = "Split by lesion first, then augment the training side alone."
        rows = f"{dataset.split!r} ({len(table)} rows: {listed(table['id'])})"
        raise ValueError(expected("dataset.split", "'train'", rows, remedy))
    for column in _READ:
        if column not in table.columns:
            what = f"a table with the column `{column}`"
            got = f"the columns {listed(table.columns, most=len(_READ))}"
            raise ValueError(expected("dataset.table", what, got))
    known = table["label"].isin([diagnosis.index for diagnosis in DIAGNOSES])
    what = f"rows with a label in 0..{len(DIAGNOSES) - 1}"
    remedy = "Take the others: `dataset.subset(dataset.labelled)`."
    _refuse(table, ~known, what, "without one", remedy)
    if "made_from" in table.columns:
        made = table["made_from"].fillna("") != ""
        _refuse(table, made, "original images alone", "that are augmented already")
    _refuse(table, table["image_path"].fillna("") == "", "rows with an image file", "without one")
    return table


def _refuse(
    table: pd.DataFrame,
    bad: Any,
    what: str,
    got: str,
    remedy: str = "Leave these rows out with `subset`.",
) -> None:
    if bad.any():
        ids = table["id"][bad]
        raise ValueError(
            expected("dataset", what, f"{len(ids)} rows {got} ({listed(ids)})", remedy)
        )


def _check_apart(table: pd.DataFrame, held_out: pd.DataFrame) -> None:
    for column, words in (("id", "images"), ("lesion", "lesions"), ("patient", "patients")):
        shared = sorted(_known(table, column) & _known(held_out, column))
        if shared:
            what = f"a set without {words} of the training set"
            got = f"{len(shared)} of them ({listed(shared)})"
            remedy = (
                "Split with `dermolib.datasets.grouped_split`, which keeps lesions and patients "
                "together."
            )
            raise ValueError(expected("held_out", what, got, remedy))


def _known(table: pd.DataFrame, column: str) -> set[str]:
    return {*table[column].dropna()} - {""} if column in table.columns else set()


def _tasks(table: pd.DataFrame, times: Mapping[int, int]) -> list[CopyTask]:
    tasks = []
    for row in table[table["label"].isin(times)].to_dict("records"):
        values = {
            "CLASS": str(int(row["label"]) + 1),
            "SEX": row["sex"] or "nan",
            "AGE": str(float(row["age"])),
            "POSITION": row["site"] or "nan",
            "LESION_ID": row["lesion"],
        }
        copies = tuple(range(1, times[int(row["label"])]))
        tasks.append(CopyTask(row["id"], row["image_path"], row["mask_path"], copies, values))
    return [task for task in tasks if task.copies]


def _check_new(tasks: list[CopyTask], known: set[str]) -> None:
    names = [task.name(copy) for task in tasks for copy in task.copies]
    taken = [name for name in names if name in known]
    if taken:
        what = "a set whose copies get new ids"
        remedy = "Rename these images, or leave them out with `subset`."
        raise ValueError(
            expected("dataset", what, f"{len(taken)} known ones ({listed(taken)})", remedy)
        )


def _digest_rows(tasks: list[CopyTask]) -> str:
    digest = hashlib.sha256()
    for task in tasks:
        names = [task.files(copy) for copy in task.copies]
        digest.update(json.dumps([task.source, names, task.values]).encode())
    return digest.hexdigest()


def _digest_files(tasks: list[CopyTask]) -> str:
    """Identify the sources by their content: the same rows may come with other pictures."""
    digest = hashlib.sha256()
    for task in tasks:
        for path in (task.image_path, task.mask_path):
            digest.update(content_digest(path) if path else bytes(digest.digest_size))
    return digest.hexdigest()


def _remaining(tasks: list[CopyTask], rows: Mapping[str, Any]) -> Iterator[CopyTask]:
    for task in tasks:
        copies = tuple(copy for copy in task.copies if task.name(copy) not in rows)
        if copies:
            yield replace(task, copies=copies)

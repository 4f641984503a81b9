"""Offline ("physical") augmentation: new image files for the classes that have too few.

This is the way of the AlexNet paper, without its black images, and guarded against copies of rows
that are not for training. It has two limits that a preset in the loader does not have: a network
sees the same copies in every epoch, and a copy of a JPEG has the artifacts of a second compression,
which the images of other classes do not have.
"""

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import PickleError
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._jobs import Job, fingerprint, library_versions, write_table
from dermolib._validation import PathLike, check_choice, check_number, expected, listed, require
from dermolib.augmentation.copies import CopyTask, SampleConfig, make_copies
from dermolib.augmentation.presets import Preset, list_presets
from dermolib.datasets.store import content_digest
from dermolib.labels import DIAGNOSES, Diagnosis

__all__ = ["Augmentable", "augment_offline", "plan_offline"]

_READ = ("id", "label", "lesion", "age", "sex", "site", "image_path", "mask_path")
_COLUMNS = (
    *("ID", "CLASS", "SEX", "AGE", "POSITION", "LESION_ID", "PARENT_ID", "COPY", "SEED"),
    *("ATTEMPTS", "PRESET", "TRANSFORMS", "FILE", "MASK_FILE"),
)
_MANIFEST = "manifest.csv"


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
        factors: Integer factor of 1 or more of the classes to be augmented. A class is named by its
            key in `counts`, or by a `dermolib.labels.Diagnosis` or its code.

    Returns:
        Images of each class after augmentation, in the order of `counts`; a class without a factor
        stays as it is.

    Raises:
        TypeError: A count or a factor is not an integer, `counts` are not counts but, say, a data
            set, or `factors` is not a mapping.
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
    times = _factors(factors, list(now), [diagnosis.code for diagnosis in DIAGNOSES])
    return {label: int(count) * times.get(label, 1) for label, count in now.items()}


def augment_offline(
    dataset: Augmentable,
    destination: PathLike,
    *,
    factors: Mapping[Any, int],
    preset: str | Callable[..., Any] = "paper",
    image_size: int | None = None,
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
    call continues an interrupted run without making a finished file again and ends with the same
    bytes. ``run.jsonl`` in the folder identifies the run: by its settings, its rows and the content
    of its source files, which every call reads for that, but not by where they lie. A destination
    takes one run at a time; a second one is refused. Sources run in parallel on the joblib backend
    that is active, worker processes by default; on a cluster, all machines must see the sources and
    the destination under the same paths.

    Args:
        dataset: Training images, for example a `dermolib.datasets.ISICDataset`.
        destination: Folder for the new files: new, empty, or that of the same run. Copies of other
            versions of the images, such as those without hair, need a folder of their own.
        factors: Integer factor of 1 or more for the classes to be augmented, named by label, code,
            or `dermolib.labels.Diagnosis`; see `plan_offline`.
        preset: Name of a random preset of `dermolib.augmentation.list_presets`; or a transform of
            your own: a `Preset` with ``normalize=False``, a pipeline of albumentations, or an
            object that is called as ``transform(image=image, mask=mask, draw_seed=seed)`` and
            returns a dictionary with a uint8 ``image`` and, if a mask was given, a bool ``mask``.
        image_size: Height and width of the new files in px. None keeps the size of each source,
            height and width swapped where the draw transposes; give a size for images of many
            megapixels, of which a draw at full size takes seconds. A transform of your own sets the
            size itself.
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
    transform, description = _transform(preset, image_size)
    codes = _codes(dataset)
    table = _training_rows(dataset, len(codes))
    times = _factors(factors, [*range(len(codes))], codes)
    tasks = _tasks(table, times)
    known = {*table["id"]}
    if held_out is not None:
        other = _table(held_out, "held_out")
        _check_held_out(table, other)
        known |= {*other["id"]}
    copies = {task.name(copy): task.files(copy) for task in tasks for copy in task.copies}
    taken = [name for name in copies if name in known]
    got = f"{len(taken)} known ones ({listed(taken)})"
    hint = "Rename these images, or leave them out with `subset`."
    require(not taken, "dataset", "a set whose copies get new ids", got, hint)

    sources = [path for task in tasks for path in (task.image_path, task.mask_path)]
    folder = Path(destination)
    job = Job(
        folder,
        kind="dermolib augment_offline",
        settings={
            "factors": {codes[label]: factor for label, factor in sorted(times.items())},
            "image_size": None if image_size is None else int(image_size),
            "preset": description,
            "seed": int(seed),
            # By their content: the same rows may come with other images
            "source_files": fingerprint([content_digest(path).hex() for path in sources if path]),
            "source_rows": fingerprint(
                [[*task.files(1), task.copies, task.values] for task in tasks]
            ),
            "versions": library_versions("albumentations"),
        },
        key="ID",
        fields=_COLUMNS[1:],
        files={_MANIFEST, *(name for names in copies.values() for name in names if name)},
    )
    keeps_size = image_size is None and isinstance(preset, str)
    config = SampleConfig(folder.absolute(), transform, description, keeps_size, int(seed))
    with job.open():
        if job.fresh:
            job.start()  # from here on the files in the folder are known to be ours
        done = {
            name
            for (name, files), record in zip(copies.items(), job.records(copies), strict=True)
            if record is not None and all((folder / file).exists() for file in files if file)
        }
        left = (task.without(done) for task in tasks)
        calls = ((task, config) for task in left if task.copies)
        counts: dict[str, Any] = {"total": len(copies), "done": len(done), "progress": progress}
        for rows in job.map(
            make_copies, calls, workers=workers, ordered=False, count=len, **counts
        ):
            job.add(rows)
        job.finish([*copies])
        records = (record or {} for record in job.records(copies))
        lines = ([record[column] for column in _COLUMNS] for record in records)
        write_table(folder / _MANIFEST, _COLUMNS, lines)
    return folder / _MANIFEST


def _transform(preset: Any, image_size: int | None) -> tuple[bytes, str]:
    """Look up a preset or take a transform: pickled, and what identifies it."""
    if isinstance(preset, str):
        check_choice(preset, "preset", list_presets())
        transform = Preset(preset, image_size=image_size, normalize=False)
        hint = "Its copies would all be the same image."
        require(transform.random, "preset", "one that draws at random", repr(preset), hint)
        return pickle.dumps(transform), preset
    what, hint = "one that draws at random", "Its copies would all be the same image."
    require(getattr(preset, "random", True), "preset", what, repr(preset), hint)
    what = "left out beside a transform, which sets the size itself"
    require(image_size is None, "image_size", what, image_size)
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
    space = getattr(dataset, "label_space", None)
    return [diagnosis.code for diagnosis in DIAGNOSES] if space is None else list(space.codes)


def _factors(factors: Mapping[Any, int], labels: list[Any], codes: Sequence[str]) -> dict[Any, int]:
    """Look up the label of each class that has a factor."""
    what, got = "a mapping from classes to factors", f"an object of type {type(factors).__name__}"
    require(isinstance(factors, Mapping), "factors", what, got, error=TypeError)
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
    unlabeled = ~table["label"].isin(range(classes))
    hint = "Take the others: `dataset.subset(dataset.labelled)`."
    _refuse(table, unlabeled, f"rows with a label in 0..{classes - 1}", "without one", hint)
    hint = "Leave these rows out with `subset`."
    if "parent_id" in table:
        made = table["parent_id"].fillna("") != ""
        _refuse(table, made, "original images only", "that are augmented already", hint)
    missing = table["image_path"].fillna("") == ""
    _refuse(table, missing, "rows with an image file", "without one", hint)
    return table


def _refuse(table: pd.DataFrame, bad: Any, what: str, got: str, hint: str) -> None:
    ids = table["id"][bad]
    require(not len(ids), "dataset", what, f"{len(ids)} rows {got} ({listed(ids)})", hint)


def _check_held_out(table: pd.DataFrame, held_out: pd.DataFrame) -> None:
    hint = (
        "Split with `dermolib.datasets.grouped_split`, which keeps lesions and patients together."
    )
    for column, words in (("id", "images"), ("lesion", "lesions"), ("patient", "patients")):
        shared = sorted(_known(table, column) & _known(held_out, column))
        what, got = f"a set without {words} of the training set", f"{len(shared)} of them"
        require(not shared, "held_out", what, f"{got} ({listed(shared)})", hint)


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

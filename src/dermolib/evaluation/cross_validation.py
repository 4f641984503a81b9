"""Cross-validation by lesion: each image is predicted by a model that has not seen its lesion."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._jobs import Job, fingerprint
from dermolib._validation import (
    Indices,
    PathLike,
    as_path,
    check_flag,
    check_number,
    require,
)
from dermolib.datasets.splits import grouped_split
from dermolib.datasets.store import digest_images
from dermolib.evaluation.predictions import as_probabilities, as_target, number_groups
from dermolib.io import digest_file, read_bytes, write_table
from dermolib.labels import LabelSpace, known_label_space

__all__ = ["CrossValidation", "Model", "cross_validate"]

_FIXED = ("id", "lesion", "fold", "label")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object: another in each run
_TABLE, _EXTRA = "predictions.csv", "extra.csv"

_Floats: TypeAlias = npt.NDArray[np.float64]


class Model(Protocol):
    """A model that can be fitted and can predict, such as a `dermolib.Trainer`."""

    def fit(self, train: Any, validation: Any = None, /) -> Any:
        """Train on a data set."""

    def predict(self, data: Any, /) -> Any:
        """Compute probabilities (N, K)."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Out-of-fold predictions: those of each image by a model that has not seen its lesion.

    Attributes:
        table: A row for each image, in the order of the data set: ``id``, ``lesion`` (its group),
            ``fold``, ``label`` and the probability of each class, by its code.
        extra: Mean over the folds of the probabilities (M, K) of the extra data set, or None.
        label_space: Classes of the data set; None where it names none.
    """

    table: pd.DataFrame
    extra: _Floats | None = None
    label_space: LabelSpace | None = None

    @property
    def probabilities(self) -> _Floats:
        """Probabilities (N, K)."""
        return self.table.iloc[:, len(_FIXED) :].to_numpy(np.float64)

    @property
    def target(self) -> Indices:
        """True classes (N,)."""
        return self.table["label"].to_numpy(np.intp)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of each image (N,)."""
        return self.table["lesion"].to_numpy(object)


def cross_validate(
    build: Callable[[int], Model],
    dataset: Any,
    *,
    folds: "int | Sequence[Any]" = 5,
    seed: int = 0,
    only: Collection[int] | None = None,
    train_transform: Any = None,
    evaluation_transform: Any = None,
    validation: float | None = None,
    extra: Any = None,
    predict_options: Mapping[str, Any] | None = None,
    output: PathLike | None = None,
    resume: bool = True,
) -> CrossValidation:
    """Train a model without each fold in turn, and predict the fold that it has not seen.

    Folds are split by lesion and patient, see `dermolib.grouped_split`. What learns from the result
    - a decision rule, a calibration, a student, an ensemble - learns from answers to unseen images.

    With `output`, each fold has a folder ``fold-0``, ``fold-1``, ... in it, into which its
    predictions are written whole; the same call goes on after the last finished fold, and folds may
    be computed at the same time by calls with `only`. ``predictions.csv`` in `output` is the table
    of the result. An unfinished fold goes on where its model does: give each `Trainer` an `output`
    of its own, such as ``f"runs/{fold}"``.

    Args:
        build: Function of the number of the fold, from 0, that returns a new untrained model, such
            as a `dermolib.Trainer`: an object with ``fit(train)``, or ``fit(train, validation)``,
            and ``predict(data)``, which returns probabilities (N, K). It is called for finished
            folds as well, whose ``configuration`` has to be that of the model, if it has one.
        dataset: Data set with labels, such as `dermolib.ISICDataset`. Images that were made from
            others (``parent_id`` in its table) are trained on and not predicted.
        folds: Number of folds, 2 or more; or row numbers of each fold, as `dermolib.grouped_split`
            and `dermolib.datasets.load_split` return them, which have to be apart by group.
        seed: Seed of the folds, 0 or more.
        only: Folds that are computed; the result has their images alone. None computes all.
        train_transform: Transform of the images that are trained on; None leaves that of the set.
        evaluation_transform: Transform of the images that are predicted; likewise.
        validation: Fraction, above 0 and below 1, of the images outside the fold that ``fit`` gets
            as a validation set in place of training on them, split by lesion. The fold itself
            never chooses an epoch. None gives no validation set.
        extra: Further data set, such as the test images, that the model of each fold predicts.
        predict_options: Options of ``predict``, such as ``{"tta": "dihedral"}``.
        output: Folder of the predictions; None keeps them in memory alone.
        resume: Whether finished folds in `output` are read; otherwise they are computed again.

    Returns:
        The out-of-fold predictions.

    Raises:
        TypeError: An argument is of another type, or the model has not both methods.
        ValueError: An argument is out of range, a group is in two folds, predictions are unfit, or
            `output` holds those of another configuration or of other images.
        RuntimeError: Rows of the data set have no label.

    Examples:
        >>> class Rows(list):  # a data set of lesion numbers
        ...     labels = property(lambda rows: np.array(rows) % 2)
        ...     groups = property(lambda rows: np.array(rows))
        ...     subset = lambda rows, which: Rows(rows[one] for one in which)
        >>> class Frequency:  # says how common the second class is
        ...     def fit(self, train): self.value = train.labels.mean()
        ...     def predict(self, data): return np.full(len(data), self.value)
        >>> found = cross_validate(lambda fold: Frequency(), Rows(range(8)), folds=2)
        >>> found.table.columns.tolist(), found.probabilities.shape
        (['id', 'lesion', 'fold', 'label', '0', '1'], (8, 2))
    """
    what, got = "a function of the number of a fold", f"a {type(build).__name__}"
    require(callable(build), "build", what, got, error=TypeError)
    check_flag(resume, "resume")
    data = _Data(dataset, extra, train_transform, evaluation_transform, validation, seed)
    splits = _splits(data, folds, seed)
    folder = None if output is None else as_path(output, "output")
    if folder is not None:
        _check_table(folder / _TABLE)
    numbers = _numbers(only, len(splits))
    run = _Run(build, data, splits, dict(predict_options or {}), folder, resume)
    parts = [run.fold(number) for number in numbers]
    table = pd.concat([part for part, _ in parts])
    table = table.iloc[np.argsort(np.concatenate([data.predicted(splits[k]) for k in numbers]))]
    table = table.reset_index(drop=True)
    if folder is not None and len(numbers) == len(splits):
        _write(folder / _TABLE, table)
    more = [one.to_numpy(np.float64) for _, one in parts if one is not None]
    mean = np.mean(more, axis=0) if more else None
    return CrossValidation(table, mean, data.label_space)


class _Data:
    """A data set with its transforms, and what a fold trains on and predicts."""

    def __init__(
        self,
        dataset: Any,
        extra: Any,
        train_transform: Any,
        evaluation_transform: Any,
        validation: float | None,
        seed: int,
    ) -> None:
        # In the class or the object, since labels raise where some are missing
        known = {*dir(type(dataset)), *getattr(dataset, "__dict__", ())}
        what = "a data set with `labels`, `groups` and `subset`, such as an `ISICDataset`"
        fits = {"labels", "groups", "subset"} <= known
        require(fits, "dataset", what, f"a {type(dataset).__name__}", error=TypeError)
        if validation is not None:
            check_number(validation, "validation", above=0, below=1)
        self.dataset, self.label_space = dataset, known_label_space(dataset)
        labels = np.asarray(dataset.labels)
        count = len(self.label_space) if self.label_space else int(labels.max(initial=0)) + 1
        self.labels = as_target(labels, max(2, count), "labels of the data set")
        self.groups = np.asarray(dataset.groups, object)
        self.ids = _ids(dataset)
        table: Any = getattr(dataset, "table", None)
        made = table is not None and "parent_id" in table
        origin = table["parent_id"].to_numpy(object) if made else np.full(len(self.ids), "")
        self._is_original = pd.isna(origin) | (origin == "")
        self._sets = {
            "train": _transformed(dataset, train_transform, "train_transform"),
            "evaluation": _transformed(dataset, evaluation_transform, "evaluation_transform"),
        }
        self.extra = None
        if extra is not None:
            self.extra = _transformed(extra, evaluation_transform, "evaluation_transform")
        self._validation, self._seed = validation, seed

    def predicted(self, rows: Indices) -> Indices:
        """Leave out the images that were made from others."""
        return np.asarray(rows[self._is_original[rows]], np.intp)

    def training_sets(self, rows: Indices) -> list[Any]:
        """Make the training set of rows, and the validation set where one is wanted."""
        if self._validation is None:
            return [self._sets["train"].subset(rows)]
        fractions = (1 - self._validation, self._validation)
        split = grouped_split(
            self._sets["train"].subset(rows), fractions=fractions, seed=self._seed
        )
        train, validation = (rows[part] for part in split)
        return [self._sets["train"].subset(train), self.evaluation_set(self.predicted(validation))]

    def evaluation_set(self, rows: Indices) -> Any:
        """Make the set of rows that are predicted."""
        return self._sets["evaluation"].subset(rows)

    def settings(self, train: Indices, rows: Indices) -> dict[str, Any]:
        """Describe what a fold trains on and predicts."""
        given = {
            f"{name} transform": _words(one.transform)
            for name, one in self._sets.items()
            if hasattr(one, "transform")
        }
        known = {
            "images": _images(self._sets["train"]),
            "trained on": fingerprint(
                [list(map(str, self.ids[train])), self.labels[train].tolist()]
            ),
            "predicted": fingerprint(list(map(str, self.ids[rows]))),
            "validation": None
            if self._validation is None
            else [float(self._validation), self._seed],
        }
        if self.extra is not None:
            known["extra"] = fingerprint(list(map(str, _ids(self.extra))))
            known["extra images"] = _images(self.extra)
        return {**given, **known}


@dataclass(frozen=True)
class _Run:
    """The folds of a cross-validation, each computed or read."""

    build: Callable[[int], Model]
    data: _Data
    splits: list[Indices]
    options: dict[str, Any]
    folder: Path | None
    resume: bool
    models: list[Any] = field(default_factory=list)

    def fold(self, number: int) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Compute the predictions of a fold and of the extra set, or read them."""
        model, key = self._built(number), str(number)
        for name in ("fit", "predict"):
            what, got = "a function that returns a model with `fit` and `predict`", type(model)
            require(callable(getattr(model, name, None)), "build", what, got, error=TypeError)
        if self.folder is None:
            return self._computed(model, number)
        place = self.folder / f"fold-{number}"
        settings = self._settings(model, number)
        fields: dict[str, type] = {"digests": list}
        job = Job(
            place,
            kind="cross-validation",
            settings=settings,
            key="fold",
            fields=fields,
            argument="output",
        )
        paths = [place / _TABLE, *([place / _EXTRA] if self.data.extra is not None else [])]
        with job.open(overwrite=True if not self.resume else None):
            done = self.resume and job.is_current(key) and bool(job.intact([key], lambda _: paths))
            if not done:
                if job.fresh or not self.resume:
                    job.start()
                tables = self._computed(model, number)
                for path, table in zip(paths, tables, strict=False):
                    _write(path, table)
                job.add([{"fold": key, "digests": [digest_file(path) for path in paths]}])
            first, *rest = map(_read, paths)
        return first, rest[0] if rest else None

    def _built(self, number: int) -> Any:
        """Build the model of a fold, another one than those of the folds before."""
        model = self.build(number)
        hint = "The model of a fold has seen the other folds."
        again = any(model is one for one in self.models)
        require(not again, "build", "a function that returns a new model", "the same one", hint)
        self.models.append(model)
        return model

    def _settings(self, model: Any, number: int) -> dict[str, Any]:
        known = getattr(model, "configuration", None)
        known = dict(known) if isinstance(known, Mapping) else {"model": _words(model)}
        rows = self.splits[number]
        options = {"predict_options": _words(self.options)}
        return {**self.data.settings(self._outside(number), rows), **options, **_plain(known)}

    def _outside(self, number: int) -> Indices:
        others = [rows for place, rows in enumerate(self.splits) if place != number]
        return np.sort(np.concatenate(others))

    def _computed(self, model: Model, number: int) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Train and predict."""
        data, rows = self.data, self.data.predicted(self.splits[number])
        model.fit(*data.training_sets(self._outside(number)))
        found = self._predicted(model, data.evaluation_set(rows), f"predictions of fold {number}")
        fixed = (data.ids[rows], data.groups[rows], np.full(len(rows), number), data.labels[rows])
        table = pd.concat([pd.DataFrame(dict(zip(_FIXED, fixed, strict=True))), found], axis=1)
        if data.extra is None:
            return table, None
        more = self._predicted(model, data.extra, f"predictions of the extra set by fold {number}")
        return table, more

    def _predicted(self, model: Model, data: Any, name: str) -> pd.DataFrame:
        found = as_probabilities(model.predict(data, **self.options), name)
        space = self.data.label_space
        count = len(space) if space else found.shape[1]
        what = f"probabilities ({len(data)}, {count})"
        require(found.shape == (len(data), count), name, what, f"shape {found.shape}")
        known = found.shape[1] > self.data.labels.max(initial=0)
        require(known, name, "a column for each class of the labels", f"shape {found.shape}")
        return pd.DataFrame(found, columns=list(space.codes if space else map(str, range(count))))


def _splits(data: _Data, folds: Any, seed: int) -> list[Indices]:
    """Split the rows, or check rows of folds that were given."""
    if isinstance(folds, (int, np.integer, float, bool)):
        check_number(folds, "folds", low=2, integer=True)
        return [np.sort(rows) for rows in grouped_split(data.dataset, folds=int(folds), seed=seed)]
    what = "a number of folds, or row numbers of each"
    fits = isinstance(folds, Sequence) and not isinstance(folds, str) and len(folds) > 1
    require(fits, "folds", what, f"a {type(folds).__name__}", error=TypeError)
    splits = [np.sort(np.asarray(rows)) for rows in folds]
    whole = all(rows.ndim == 1 and rows.size and rows.dtype.kind in "iu" for rows in splits)
    require(whole, "folds", what, "an empty fold or other values")
    rows, count = np.concatenate(splits), len(data.labels)
    fits = rows.min() >= 0 and rows.max() < count and len(np.unique(rows)) == len(rows)
    require(fits, "folds", f"row numbers in 0..{count - 1}, each once", "others or some twice")
    groups = number_groups(data.groups, count)
    torn = sum(len(np.unique(groups[rows])) for rows in splits) - len(np.unique(groups[rows]))
    got = f"{torn:,} groups in more than one"
    require(torn <= 0, "folds", "folds of different groups", got, "Split with `grouped_split`.")
    return splits


def _numbers(only: Any, count: int) -> list[int]:
    """List the folds that are computed."""
    if only is None:
        return list(range(count))
    what = f"numbers of folds in 0..{count - 1}"
    fits = isinstance(only, Collection) and not isinstance(only, str) and len(only)
    require(fits, "only", what, repr(only), error=TypeError)
    for number in only:
        check_number(number, "only", low=0, high=count - 1, integer=True)
    return sorted({int(number) for number in only})


def _check_table(path: Path) -> None:
    """Refuse to overwrite a file that no cross-validation wrote."""
    if path.exists():
        start = ",".join(f'"{name}"' for name in _FIXED).encode()
        what = "a folder whose `predictions.csv` is of a cross-validation, or missing"
        ours = read_bytes(path).startswith(start)
        require(ours, "output", what, f"{path}, another file", "Move it away.")


def _transformed(dataset: Any, transform: Any, name: str) -> Any:
    if transform is None:
        return dataset
    fits = hasattr(dataset, "with_transform")
    require(fits, name, "None for a data set without `with_transform`", repr(transform))
    return dataset.with_transform(transform)


def _ids(dataset: Any) -> npt.NDArray[np.object_]:
    """Find the ids of the images; row numbers as text where there are none."""
    ids = getattr(dataset, "ids", None)
    return np.asarray(list(map(str, range(len(dataset)))) if ids is None else ids, object)


def _images(dataset: Any) -> str | None:
    """Digest the images of a set whose files are known."""
    paths = getattr(dataset, "image_paths", None)
    return None if paths is None else digest_images(paths)


def _words(value: Any) -> str:
    """Describe an object without its address, which is another one in each process."""
    return _ADDRESS.sub("", repr(value))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what JSON holds, and describe the rest."""
    kinds = (str, int, float, bool, type(None), list, dict)
    return {
        str(name): one if isinstance(one, kinds) else _words(one) for name, one in values.items()
    }


def _write(path: Path, table: Any) -> None:
    write_table(path, list(table), table.itertuples(index=False))


def _read(path: Path) -> pd.DataFrame:
    """Read a table that was written here, to the last bit."""
    texts: Any = pd.read_csv(
        path, dtype=object, keep_default_na=False, encoding_errors="surrogateescape"
    )
    kinds = {"id": object, "lesion": object, "fold": np.int64, "label": np.int64}
    columns = {name: texts[name].to_numpy(object) for name in texts}
    return pd.DataFrame(
        {name: values.astype(kinds.get(name, np.float64)) for name, values in columns.items()}
    )

"""Fit a kernel SVM by lesion: choose its parameters, calibrate it, and say what it is worth."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from dermolib._validation import (
    Indices,
    PathLike,
    check_choice,
    check_flag,
    check_number,
    expected,
    listed,
)
from dermolib.evaluation.intervals import Interval, bootstrap_interval
from dermolib.evaluation.svm import FittedSVM, Splits, checked_values, svm_classifier
from dermolib.features.embedding_checks import whole_labels
from dermolib.features.embeddings import Features, extract_features
from dermolib.labels import DIAGNOSES
from dermolib.metrics.weighted_accuracy import weighted_accuracy

__all__ = ["fit_svm", "lesion_splits"]

_log = logging.getLogger(__name__)

_INNER = 3  # folds that choose parameters and calibrate
_MOST_EXACT = 20_000  # rows; the time of an exact machine grows with their square or faster
_LANDMARKS = 1_000
_NOT_JUDGED = -1
_PRICES = (1.0, 3.0)
_WIDTHS = (0.1, 0.3)  # beside the number of features, which is the summed variance of scaled ones


def fit_svm(
    data: Any,
    model: nn.Module | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    num_classes: int = len(DIAGNOSES),
    grid: Mapping[str, Sequence[Any]] | None = None,
    components: int | None = None,
    landmarks: int | str | None = "auto",
    calibrated: bool = True,
    folds: int | None = 4,
    workers: int = 1,
    seed: int = 0,
    cache: PathLike | None = None,
    **extraction: Any,
) -> FittedSVM:
    """Fit a kernel SVM to features, choose its parameters, and estimate what it is worth.

    Whatever is chosen, calibrated or estimated, all images of a lesion stay on one side: the best
    parameters by weighted accuracy in three folds of the training rows, the calibration in three
    folds of these, and the estimate in `folds` folds of all rows, each of which does all of it
    anew. A class of one lesion alone cannot be put on two sides: it stays among the rows to train
    on, is hardly ever predicted, and is left out of the estimate, which the log says.

    Args:
        data: `Features` with labels, or what `extract_features` takes, of which the features are
            extracted by `model`.
        model: Network, where `data` are images.
        groups: Lesion or patient of each row (N,); those of `data` where they tell. A row without
            one (None or NaN) is a lesion of its own. Where no two rows show one lesion,
            ``numpy.arange(N)``.
        num_classes: Number of classes K, 2 or more.
        grid: Values to try for ``C`` and ``gamma`` of `svm_classifier`; where not given, 1 and 3
            for C, and 0.1 / D and 0.3 / D for gamma.
        components: Number of principal components, see `svm_classifier`.
        landmarks: Rows that approximate the kernel, see `svm_classifier`; ``"auto"`` takes 1,000
            for more than 20,000 rows, which the log says, and else the exact kernel.
        calibrated: Whether there are to be probabilities.
        folds: Folds of the estimate, 2 or more; None makes none, which takes a fifth of the time.
        workers: Threads that try parameters, 1 or more.
        seed: Seed of folds and landmarks, 0 or more.
        cache: File to keep features in, see `extract_features`.
        **extraction: Further options of `extract_features`, such as ``device`` and ``batch_size``;
            ``workers`` here are not those that load images.

    Returns:
        Fitted machine with what was chosen and its estimate.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Labels or groups lack, rows have no label, labels are not whole, out of range
            or of one class, features are not (N, D) or not finite, there are fewer lesions than
            folds, or a number is out of range.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(120) % 3
        >>> values = generator.normal(size=(120, 4)) + 3 * np.eye(3, 4)[labels]
        >>> features = Features(values.astype(np.float32), labels=labels)
        >>> fitted = fit_svm(features, groups=np.arange(120) // 2, grid={"C": (1, 10)})
        >>> fitted.predict_proba(features).shape, fitted.estimate.score > 0.9
        ((120, 8), True)
    """
    check_number(num_classes, "num_classes", low=2, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    check_number(workers, "workers", low=1, integer=True)
    check_flag(calibrated, "calibrated")
    if folds is not None:
        check_number(folds, "folds", low=2, integer=True)
    features = _featured(data, model, cache, extraction)
    values = checked_values(features)
    labels = _checked_labels(features, num_classes)
    lesions = _checked_groups(features, groups, max(_INNER, folds or 0))
    if components is not None:
        most = min(values.shape[1], len(values) // 3)  # of rows, an inner fold has as many
        check_number(components, "components", low=1, high=most, integer=True)
    options = {"components": components, "calibrated": calibrated, "seed": seed}
    options["landmarks"] = _pick_landmarks(landmarks, len(values))
    recipe = _Recipe(num_classes, _checked_grid(grid, values.shape[1]), options, workers)
    _tell_of_single_lesions(labels, lesions)
    estimate = None
    if folds is not None:
        predicted = np.full_like(labels, _NOT_JUDGED)
        for train, test in lesion_splits(labels, lesions, folds, seed):
            fitted = recipe.fit(values[train], labels[train], lesions[train])
            predicted[test] = fitted.predict(values[test])
        estimate = _judged(predicted, labels, lesions, num_classes)
    return replace(recipe.fit(values, labels, lesions), estimate=estimate)


@dataclass(frozen=True)
class _Recipe:
    """How a machine is fitted to rows: parameters chosen, then calibrated."""

    num_classes: int
    grid: dict[str, list[Any]]
    options: dict[str, Any]
    workers: int

    def fit(
        self, values: npt.NDArray[Any], labels: npt.NDArray[np.int64], lesions: Indices
    ) -> FittedSVM:
        splits = lesion_splits(labels, lesions, _INNER, self.options["seed"])
        chosen = self._choose(values, labels, splits)
        pipeline = svm_classifier(**self.options, **chosen, splits=splits).fit(values, labels)
        return FittedSVM(pipeline, self.num_classes, chosen)

    def _choose(
        self, values: npt.NDArray[Any], labels: npt.NDArray[np.int64], splits: Splits
    ) -> dict[str, Any]:
        candidates = [dict(candidate) for candidate in ParameterGrid(self.grid)]
        if len(candidates) == 1:
            return candidates[0]
        # Threads, since the machines compute without Python's lock, and need no copy of the rows
        scores = Parallel(n_jobs=self.workers, prefer="threads")(
            delayed(_score)(
                svm_classifier(**{**self.options, "calibrated": False}, **candidate),
                values,
                labels,
                split,
                self.num_classes,
            )
            for candidate in candidates
            for split in splits
        )
        means = np.reshape(scores, (len(candidates), len(splits))).mean(axis=1)
        return candidates[int(means.argmax())]


def _score(
    machine: Pipeline,
    values: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    split: tuple[Indices, Indices],
    num_classes: int,
) -> float:
    train, test = split
    predicted = machine.fit(values[train], labels[train]).predict(values[test])
    return _weighted_accuracy(predicted, labels[test], num_classes)


def lesion_splits(labels: npt.NDArray[np.int64], lesions: Indices, folds: int, seed: int) -> Splits:
    """Deal lesions out so that each class is to train on in every split.

    Args:
        labels: Labels (N,).
        lesions: Number of the lesion of each row (N,).
        folds: Number of splits, 2 or more.
        seed: Seed of the order.

    Returns:
        Row numbers to train on and to test on, pair by pair. Rows of a class of one lesion alone
        are on no test side; every other row is on one.
    """
    # Not StratifiedGroupKFold, which takes a minute for 379,000 lesions, and may put the two
    # lesions of a rare class on one side, so that no machine of that split knows the class
    lesions, size = np.unique(lesions, return_inverse=True, return_counts=True)[1:]
    counts = np.bincount(labels)
    common_first = np.argsort(-counts[labels], kind="stable")
    kind = np.zeros(len(size), np.intp)
    kind[lesions[common_first]] = labels[common_first]  # of several classes the rarest
    shuffled = np.random.default_rng(seed).permutation(len(size))
    dealt = shuffled[np.lexsort((-size[shuffled], kind[shuffled]))]
    fold = np.empty(len(size), np.intp)
    fold[dealt] = np.arange(len(size)) % folds
    fold[np.bincount(kind)[kind] == 1] = -1
    side = fold[lesions]
    return [(np.flatnonzero(side != one), np.flatnonzero(side == one)) for one in range(folds)]


def _weighted_accuracy(
    predicted: npt.NDArray[Any], labels: npt.NDArray[np.int64], num_classes: int
) -> float:
    preds, target = torch.as_tensor(predicted, dtype=torch.int64), torch.as_tensor(labels)
    return float(weighted_accuracy(preds, target, num_classes=num_classes))


def _judged(
    predicted: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    lesions: Indices,
    num_classes: int,
) -> Interval:
    judged = np.flatnonzero(predicted != _NOT_JUDGED)
    preds, target = predicted[judged], labels[judged]
    return bootstrap_interval(
        lambda rows: _weighted_accuracy(preds[rows], target[rows], num_classes), lesions[judged]
    )


def _featured(
    data: Any, model: nn.Module | None, cache: PathLike | None, extraction: dict[str, Any]
) -> Features:
    if isinstance(data, (np.ndarray, Tensor, pd.DataFrame)):
        what, got = (
            "`Features`, or images and a network",
            f"an object of type {type(data).__name__}",
        )
        remedy = "Pass `Features(values, labels=labels)` for features of your own."
        raise TypeError(expected("data", what, got, remedy))
    if not isinstance(data, Features):
        if model is None:
            what, got = "a network to extract features of the images", "None"
            raise TypeError(expected("model", what, got, "Or give `Features` in their place."))
        return extract_features(model, data, cache=cache, **extraction)
    given = {"model": model, "cache": cache, **extraction}
    spare = [f"`{name}`" for name, value in given.items() if value is not None]
    if spare:
        what = "images, where options to extract features are given"
        raise TypeError(expected("data", what, f"`Features` and {listed(spare)}"))
    return data


def _checked_labels(features: Features, num_classes: int) -> npt.NDArray[np.int64]:
    what = f"features with labels in 0..{num_classes - 1}"
    if features.labels is None:
        raise ValueError(expected("data", what, "features without labels"))
    labels = whole_labels(features.labels, len(features), "labels")
    if (labels < 0).any():
        got = f"{(labels < 0).sum()} of {len(labels)} rows without one"
        remedy = "Take the others: `features.subset(numpy.flatnonzero(features.labels >= 0))`."
        raise ValueError(expected("data", what, got, remedy))
    if labels.max() >= num_classes:
        raise ValueError(expected("data", what, f"the label {labels.max()}"))
    if len(np.unique(labels)) < 2:
        raise ValueError(expected("data", "features of two classes or more", "those of one"))
    return labels


def _checked_groups(features: Features, groups: npt.ArrayLike | None, folds: int) -> Indices:
    """Number the lesions."""
    names: Any = features.groups if groups is None else groups
    what = f"the lesion of each row ({len(features)},)"
    if names is None:
        remedy = "Give `dataset.groups`, or `numpy.arange(N)` where no two rows show one lesion."
        raise ValueError(expected("groups", what, "None", remedy))
    # A list as objects, since NumPy would make the text "nan" of NaN beside texts
    names = np.asarray(names, None if hasattr(names, "dtype") else object)
    if names.shape != (len(features),):
        raise ValueError(expected("groups", what, f"shape {names.shape}"))
    numbers = _numbered(names)
    count = int(numbers.max()) + 1
    if count < 2 * folds:
        what = f"{2 * folds} lesions or more, for {folds} folds"
        raise ValueError(expected("groups", what, count))
    return numbers


def _numbered(names: npt.NDArray[Any]) -> Indices:
    """Number names in their order, and each one that is unknown for itself."""
    unknown = pd.isna(names)
    numbers: Indices = np.empty(len(names), np.intp)
    try:
        known, numbers[~unknown] = np.unique(names[~unknown], return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(name).__name__ for name in names[~unknown]})
        what = "names of one type, or None or NaN for a lesion that is unknown"
        raise TypeError(expected("groups", what, listed(kinds))) from error
    numbers[unknown] = len(known) + np.arange(unknown.sum())
    return numbers


def _pick_landmarks(landmarks: int | str | None, rows: int) -> int | None:
    if not isinstance(landmarks, str):
        return landmarks
    check_choice(landmarks, "landmarks", ("auto",))
    if rows <= _MOST_EXACT:
        return None
    _log.info(
        "%d rows are too many for an exact kernel machine, which is approximated from %d of them",
        rows,
        _LANDMARKS,
    )
    return _LANDMARKS


def _checked_grid(grid: Mapping[str, Sequence[Any]] | None, width: int) -> dict[str, list[Any]]:
    if grid is None:
        grid = {"C": _PRICES, "gamma": [share / width for share in _WIDTHS]}
    if not isinstance(grid, Mapping):
        remedy = "Pass one such as `{'C': (1, 10)}`."
        raise TypeError(expected("grid", "values by name", f"{grid!r}", remedy))
    tried = {name: _several(values, name) for name, values in grid.items()}
    for name, values in tried.items():
        check_choice(name, "grid", ("C", "gamma"))
        if not values:
            raise ValueError(expected(f"grid[{name!r}]", "one value or more", "none"))
        for value in values:
            svm_classifier(**{name: value})
    return tried


def _several(values: Any, name: str) -> list[Any]:
    if isinstance(values, Iterable) and not isinstance(values, str):
        return list(values)
    remedy = f"Pass `({values!r},)` to take it alone."
    raise TypeError(expected(f"grid[{name!r}]", "several values to try", f"{values!r}", remedy))


def _tell_of_single_lesions(labels: npt.NDArray[np.int64], lesions: Indices) -> None:
    pairs = np.unique(np.stack([labels, lesions]), axis=1)
    alone = np.flatnonzero(np.bincount(pairs[0]) == 1)
    if len(alone):
        _log.warning(
            "Classes of one lesion alone cannot be calibrated or judged: %s. "
            "They are in all training rows, and are hardly ever predicted.",
            listed(alone),
        )

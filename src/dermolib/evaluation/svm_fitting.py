"""Fit a kernel SVM by lesion: tune, calibrate, and estimate its score."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import ParameterGrid
from torch import Tensor, nn

from dermolib._validation import (
    Indices,
    PathLike,
    check_choice,
    check_flag,
    check_number,
    expected,
    listed,
    require,
)
from dermolib.evaluation.intervals import bootstrap_interval
from dermolib.evaluation.svm import FittedSVM, Splits, checked_values, svm_classifier
from dermolib.features.embedding_checks import whole_labels
from dermolib.features.embeddings import Features, extract_features
from dermolib.labels import DIAGNOSES
from dermolib.metrics.weighted_accuracy import weighted_accuracy

__all__ = ["fit_svm", "lesion_splits"]

_log = logging.getLogger(__name__)

_INNER = 3  # folds that tune and calibrate
_MOST_EXACT = 20_000  # rows; the time of an exact kernel grows with their square or faster
_LANDMARKS = 1_000
_NOT_TESTED = -1
_GRID = {"C": (1.0, 3.0), "gamma": (0.1, 0.3)}  # gamma times the number of features


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
    """Fit a kernel SVM to features, tune its parameters, and estimate its weighted accuracy.

    All images of a lesion stay in one fold, in each of three nested steps: parameters are tuned by
    weighted accuracy in three folds of the training rows, calibration uses the same three folds,
    and the estimate repeats both in each of `folds` folds of all rows. A class with a single lesion
    stays among the training rows, is hardly ever predicted, and is left out of the estimate, which
    the log reports.

    Args:
        data: `Features` with labels, or what `extract_features` takes, of which the features are
            extracted by `model`.
        model: Network, where `data` are images.
        groups: Lesion or patient of each row (N,); by default those of `data`. A row without one
            (None or NaN) is a lesion of its own. Pass ``numpy.arange(N)`` where each lesion has one
            row.
        num_classes: Number of classes K, 2 or more.
        grid: Values to try for ``C`` and ``gamma`` of `svm_classifier`; by default 1 and 3 for C,
            and 0.1 / D and 0.3 / D for gamma.
        components: Number of principal components, see `svm_classifier`.
        landmarks: Rows that approximate the kernel, see `svm_classifier`; ``"auto"`` takes 1,000
            for more than 20,000 rows, which the log reports, and else the exact kernel.
        calibrated: Whether there are to be probabilities.
        folds: Folds of the estimate, 2 or more; None skips it, which takes a fifth of the time.
        workers: Threads that try parameters, 1 or more.
        seed: Seed of folds and landmarks, 0 or more.
        cache: File to keep features in, see `extract_features`.
        **extraction: Further options of `extract_features`, such as ``device`` and ``batch_size``;
            ``workers`` here are not those that load images.

    Returns:
        Fitted SVM with the chosen parameters and the estimate.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Labels or groups are missing, labels are not integers, out of range or of one
            class, features are not (N, D) or not finite, there are fewer lesions than folds, or a
            number is out of range.

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
        most = min(values.shape[1], len(values) // 3)  # an inner fold has a third of the rows
        check_number(components, "components", low=1, high=most, integer=True)
    options = {"components": components, "calibrated": calibrated, "seed": seed}
    options["landmarks"] = _pick_landmarks(landmarks, len(values))
    candidates = _candidates(grid, values.shape[1])
    _warn_of_single_lesions(labels, lesions)

    def fit(rows: Indices) -> FittedSVM:
        return _tuned(
            values[rows], labels[rows], lesions[rows], num_classes, candidates, options, workers
        )

    estimate = None
    if folds is not None:
        predicted = np.full_like(labels, _NOT_TESTED)
        for train, test in lesion_splits(labels, lesions, folds, seed):
            predicted[test] = fit(train).predict(values[test])
        tested = np.flatnonzero(predicted != _NOT_TESTED)
        preds, target = predicted[tested], labels[tested]
        estimate = bootstrap_interval(
            lambda rows: _weighted_accuracy(preds[rows], target[rows], num_classes),
            lesions[tested],
        )
    return replace(fit(np.arange(len(labels))), estimate=estimate)


def _tuned(
    values: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    lesions: Indices,
    num_classes: int,
    candidates: list[dict[str, Any]],
    options: dict[str, Any],
    workers: int,
) -> FittedSVM:
    """Choose the best candidate in inner folds, then fit and calibrate it on all rows."""
    splits = lesion_splits(labels, lesions, _INNER, options["seed"])

    def score(candidate: dict[str, Any], train: Indices, test: Indices) -> float:
        svm = svm_classifier(**{**options, "calibrated": False}, **candidate)
        predicted = svm.fit(values[train], labels[train]).predict(values[test])
        return _weighted_accuracy(predicted, labels[test], num_classes)

    best = 0
    if len(candidates) > 1:
        # Threads, since an SVM computes without Python's lock, and needs no copy of the rows
        scores = Parallel(n_jobs=workers, prefer="threads")(
            delayed(score)(candidate, *split) for candidate in candidates for split in splits
        )
        best = int(np.reshape(scores, (len(candidates), -1)).mean(axis=1).argmax())
    pipeline = svm_classifier(**options, **candidates[best], splits=splits).fit(values, labels)
    return FittedSVM(pipeline, num_classes, candidates[best])


def lesion_splits(labels: npt.NDArray[np.int64], lesions: Indices, folds: int, seed: int) -> Splits:
    """Split rows into folds by lesion, so that every training fold contains every class.

    Rows of a class with a single lesion are in no test fold; every other row is in one.
    """
    # Not StratifiedGroupKFold, which takes a minute for 379,000 lesions, and like `grouped_split`
    # may put both lesions of a rare class into one fold, so that its SVM does not know the class
    lesions, size = np.unique(lesions, return_inverse=True, return_counts=True)[1:]
    counts = np.bincount(labels)
    common_first = np.argsort(-counts[labels], kind="stable")
    kind = np.zeros(len(size), np.intp)
    kind[lesions[common_first]] = labels[common_first]  # of several classes the rarest
    shuffled = np.random.default_rng(seed).permutation(len(size))
    order = shuffled[np.lexsort((-size[shuffled], kind[shuffled]))]
    fold = np.empty(len(size), np.intp)
    fold[order] = np.arange(len(size)) % folds
    fold[np.bincount(kind)[kind] == 1] = -1
    fold = fold[lesions]
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds)]


def _weighted_accuracy(
    predicted: npt.NDArray[Any], labels: npt.NDArray[np.int64], num_classes: int
) -> float:
    preds, target = torch.as_tensor(predicted, dtype=torch.int64), torch.as_tensor(labels)
    return float(weighted_accuracy(preds, target, num_classes=num_classes))


def _featured(
    data: Any, model: nn.Module | None, cache: PathLike | None, extraction: dict[str, Any]
) -> Features:
    got = f"an object of type {type(data).__name__}"
    plain = isinstance(data, (np.ndarray, Tensor, pd.DataFrame))
    what, hint = "`Features`, or images and a network", "Pass `Features(values, labels=labels)`."
    require(not plain, "data", what, got, hint, error=TypeError)
    if not isinstance(data, Features):
        if model is None:
            what = "a network to extract features of the images"
            raise TypeError(expected("model", what, "None", "Or pass `Features` as `data`."))
        return extract_features(model, data, cache=cache, **extraction)
    given = {"model": model, "cache": cache, **extraction}
    spare = [f"`{name}`" for name, value in given.items() if value is not None]
    what = "images, where options to extract features are given"
    require(not spare, "data", what, f"`Features` and {listed(spare)}", error=TypeError)
    return data


def _checked_labels(features: Features, num_classes: int) -> npt.NDArray[np.int64]:
    what = f"features with labels in 0..{num_classes - 1}"
    require(features.labels is not None, "data", what, "features without labels")
    labels = whole_labels(features.labels, len(features), "labels")
    missing = int((labels < 0).sum())
    hint = "Take the others: `features.subset(numpy.flatnonzero(features.labels >= 0))`."
    require(not missing, "data", what, f"{missing} of {len(labels)} rows without one", hint)
    require(labels.max() < num_classes, "data", what, f"the label {labels.max()}")
    several = len(np.unique(labels)) > 1
    require(several, "data", "features of two classes or more", "those of one")
    return labels


def _checked_groups(features: Features, groups: npt.ArrayLike | None, folds: int) -> Indices:
    """Number the lesions in the order of their names, and each unknown one for itself."""
    names: Any = features.groups if groups is None else groups
    what = f"the lesion of each row ({len(features)},)"
    hint = "Pass `dataset.groups`, or `numpy.arange(N)` where each lesion has one row."
    require(names is not None, "groups", what, "None", hint)
    # A list as objects, since NumPy would make the text "nan" of NaN beside texts
    names = np.asarray(names, None if hasattr(names, "dtype") else object)
    require(names.shape == (len(features),), "groups", what, f"shape {names.shape}")
    unknown = pd.isna(names)
    numbers: Indices = np.empty(len(names), np.intp)
    try:
        known, numbers[~unknown] = np.unique(names[~unknown], return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(name).__name__ for name in names[~unknown]})
        what = "names of one type, or None or NaN for an unknown lesion"
        raise TypeError(expected("groups", what, listed(kinds))) from error
    numbers[unknown] = len(known) + np.arange(unknown.sum())
    count = int(numbers.max()) + 1
    what = f"{2 * folds} lesions or more, for {folds} folds"
    require(count >= 2 * folds, "groups", what, count)
    return numbers


def _pick_landmarks(landmarks: int | str | None, rows: int) -> int | None:
    if not isinstance(landmarks, str):
        return landmarks
    check_choice(landmarks, "landmarks", ("auto",))
    if rows <= _MOST_EXACT:
        return None
    text = "%d rows are too many for an exact kernel, which is approximated from %d of them"
    _log.info(text, rows, _LANDMARKS)
    return _LANDMARKS


def _candidates(grid: Mapping[str, Sequence[Any]] | None, width: int) -> list[dict[str, Any]]:
    """List the combinations of a grid."""
    if grid is None:
        grid = {**_GRID, "gamma": [value / width for value in _GRID["gamma"]]}
    hint = "Pass one such as `{'C': (1, 10)}`."
    given: Any = grid
    is_mapping = isinstance(given, Mapping)
    require(is_mapping, "grid", "values by name", repr(given), hint, error=TypeError)
    tried: dict[str, list[Any]] = {}
    for name, values in given.items():
        several = isinstance(values, Iterable) and not isinstance(values, str)
        what, hint = "several values to try", f"Pass `({values!r},)` for a single one."
        require(several, f"grid[{name!r}]", what, repr(values), hint, error=TypeError)
        check_choice(name, "grid", _GRID)
        tried[name] = list(values)
        require(tried[name], f"grid[{name!r}]", "one value or more", "none")
        for value in tried[name]:
            svm_classifier(**{name: value})
    return [dict(candidate) for candidate in ParameterGrid(tried)]


def _warn_of_single_lesions(labels: npt.NDArray[np.int64], lesions: Indices) -> None:
    pairs = np.unique(np.stack([labels, lesions]), axis=1)
    single = np.flatnonzero(np.bincount(pairs[0]) == 1)
    if len(single):
        _log.warning(
            "Classes with a single lesion cannot be calibrated or tested: %s. "
            "They are in all training rows, and are hardly ever predicted.",
            listed(single),
        )

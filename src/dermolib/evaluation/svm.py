"""Kernel SVM on the features of a network: scaled, class-balanced, calibrated, fitted by lesion."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from dermolib._validation import (
    Indices,
    PathLike,
    check_choice,
    check_flag,
    check_number,
    check_type,
    expected,
    listed,
    printable,
    require,
)
from dermolib.evaluation.intervals import Interval
from dermolib.evaluation.scores import score
from dermolib.features.embeddings import Features as Features
from dermolib.features.embeddings import extract_features as extract_features
from dermolib.features.embeddings import whole_labels
from dermolib.labels import known_label_space
from dermolib.metrics.weighted_accuracy import weighted_accuracy

__all__ = ["FittedSVM", "fit_svm", "lesion_splits", "svm_classifier"]

_log = logging.getLogger(__name__)

_Values: TypeAlias = npt.NDArray[Any]
_Labels: TypeAlias = npt.NDArray[np.int64]
_Splits: TypeAlias = Sequence[tuple[Indices, Indices]]  # to train on, and to calibrate or test on

_FOLDS = 3  # that tune and calibrate
_MOST_EXACT = 20_000  # rows; the time of an exact kernel grows with their square or faster
_LANDMARKS = 1_000
_NOT_TESTED = -1
_GRID = {"C": (1.0, 3.0), "gamma": (0.1, 0.3)}  # gamma times the number of features


def svm_classifier(
    *,
    C: float = 1.0,  # noqa: N803 - the name that scikit-learn and the literature give it
    gamma: float | str = "scale",
    components: int | None = None,
    landmarks: int | None = None,
    calibrated: bool = True,
    splits: _Splits | None = None,
    class_weight: Mapping[int, float] | str | None = "balanced",
    seed: int = 0,
) -> Pipeline:
    """Build a multi-class kernel SVM on features: a scikit-learn pipeline that is not yet fitted.

    Features are scaled to mean 0 and variance 1, optionally projected to their principal
    components, and classified by an SVM with the kernel exp(-gamma d^2). Its training time grows
    with the square of the rows or faster: minutes for 7,500 rows. With `landmarks` the kernel is
    approximated (Nystroem) and the SVM is linear, in time and memory that grow with the rows.

    Calibration fits a logistic curve for each class to rows that the SVM was not trained on, and
    averages the SVMs of all splits. Images of one lesion on both sides of a split make it
    overconfident: pass `splits` by lesion, as `fit_svm` does.

    Args:
        C: Inverse regularization strength, above 0.
        gamma: Kernel coefficient (inverse width), above 0, or ``"scale"``: one over the summed
            variance of the SVM's input.
        components: Number of principal components, 1 or more; None keeps the features.
        landmarks: Number of rows that approximate the kernel, 1 or more; None computes it exactly.
        calibrated: Whether ``predict_proba`` gives calibrated probabilities; without, there is
            only ``decision_function``.
        splits: Pairs of row numbers to train and to calibrate on; None takes three stratified
            folds, which is right where each lesion has one row.
        class_weight: Weight by class, above 0; ``"balanced"`` for equal total weights; or None.
        seed: Seed of the landmarks and components, 0 or more.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A number is out of range, or there are no splits.

    References:
        Cortes and Vapnik, Support-vector networks, Machine Learning 20, 1995,
        https://doi.org/10.1007/BF00994018; Platt, Probabilistic outputs for support vector
        machines, Advances in Large Margin Classifiers, 1999; Williams and Seeger, Using the Nystrom
        method to speed up kernel machines, NIPS, 2000.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(90) % 3
        >>> values = generator.normal(size=(90, 4)) + 3 * np.eye(3, 4)[labels]
        >>> svm = svm_classifier(C=1).fit(values, labels)
        >>> svm.predict_proba(values).shape, svm.score(values, labels) > 0.9
        ((90, 3), True)
    """
    check_number(C, "C", above=0)
    if isinstance(gamma, str):
        check_choice(gamma, "gamma", ("scale",))
    else:
        check_number(gamma, "gamma", above=0)
    for name, value in (("components", components), ("landmarks", landmarks)):
        if value is not None:
            check_number(value, name, low=1, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    check_flag(calibrated, "calibrated")
    weights, state = _checked_weights(class_weight), _state(seed)
    folds = _FOLDS if splits is None else _checked_splits(splits)
    svm: Any = SVC(C=C, gamma=gamma, class_weight=weights, cache_size=500)
    if landmarks is not None:
        linear = LinearSVC(C=C, class_weight=weights, dual=False)
        svm = make_pipeline(_Landmarks(landmarks, gamma, state), linear)
    if calibrated:
        svm = CalibratedClassifierCV(svm, cv=folds)
    steps = [("scale", StandardScaler())]
    if components is not None:
        steps.append(("components", PCA(components, random_state=state)))
    return Pipeline([*steps, ("svm", svm)])


def _checked_weights(weights: Any) -> Any:
    if isinstance(weights, str):
        check_choice(weights, "class_weight", ("balanced",))
    elif weights is not None:
        what, hint = "'balanced', None or a weight by class", "Pass such as `{0: 1.0, 1: 5.0}`."
        check_type(weights, "class_weight", Mapping, what, hint)
        for name, weight in weights.items():
            check_number(weight, f"class_weight[{name!r}]", above=0)
    return weights


def _checked_splits(splits: Any) -> list[tuple[Indices, Indices]]:
    what, hint = "pairs of row numbers to train and to calibrate on", "Pass None for three folds."
    check_type(splits, "splits", Iterable, what, hint)
    pairs: list[Any] = [
        tuple(map(np.asarray, pair)) if isinstance(pair, Iterable) else pair for pair in splits
    ]
    require(pairs, "splits", what, "none", hint)
    for number, pair in enumerate(pairs):
        fits = isinstance(pair, tuple) and len(pair) == 2 and all(map(_are_rows, pair))
        require(fits, f"splits[{number}]", what, repr(pair))
    return [(train.astype(np.intp), test.astype(np.intp)) for train, test in pairs]


def _are_rows(rows: _Values) -> bool:
    return rows.ndim == 1 and rows.size > 0 and rows.dtype.kind in "iu"


def _state(seed: int) -> int:
    """Reduce a seed to the 32 bits that scikit-learn takes."""
    return seed if seed < 1 << 32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


class _Landmarks(TransformerMixin, BaseEstimator):  # type: ignore[misc] # untyped
    """Nystroem's map with `SVC`'s gamma "scale", and never more landmarks than rows."""

    def __init__(self, landmarks: int, gamma: float | str, seed: int) -> None:
        self.landmarks = landmarks
        self.gamma = gamma
        self.seed = seed

    def fit(self, values: npt.NDArray[Any], target: Any = None) -> Self:
        """Draw the landmarks."""
        del target
        scale = 1 / float(values.shape[1] * values.var()) if self.gamma == "scale" else self.gamma
        count = min(self.landmarks, len(values))
        self.map_ = Nystroem(gamma=scale, n_components=count, random_state=self.seed).fit(values)
        return self

    def transform(self, values: npt.NDArray[Any]) -> Any:
        """Map rows to the landmarks."""
        return self.map_.transform(values)


@dataclass(frozen=True, eq=False)
class FittedSVM:
    """A fitted SVM that knows all classes, in their order.

    Attributes:
        pipeline: Fitted pipeline of `svm_classifier`.
        num_classes: Number of classes K.
        chosen: Parameters of `svm_classifier` that were chosen.
        estimate: Weighted accuracy of the whole procedure on other lesions, with its interval; None
            where none was wanted.
    """

    pipeline: Pipeline
    num_classes: int
    chosen: dict[str, Any]
    estimate: Interval | None = None

    def predict_proba(self, features: Features | _Values) -> npt.NDArray[np.float64]:
        """Compute probabilities of the classes.

        Args:
            features: Features of images, or their values (N, D).

        Returns:
            Probabilities (N, K), each row with the sum 1; 0 for a class without a training row.

        Raises:
            RuntimeError: The SVM is not calibrated.
            TypeError: The features are not numbers.
            ValueError: They have another shape, or one is not finite.
        """
        what, able = "called on a calibrated SVM", hasattr(self.pipeline, "predict_proba")
        hint = "Fit it with `calibrated=True`."
        require(able, "predict_proba", what, "one that is not", hint, error=RuntimeError)
        values = _finite_values(features, self.pipeline.n_features_in_)
        found = np.zeros((len(values), self.num_classes))
        found[:, self.pipeline.classes_] = self.pipeline.predict_proba(values)
        return found

    def predict(self, features: Features | _Values) -> _Labels:
        """Predict classes by the margins, averaged over the SVMs of all splits.

        With balanced class weights this aims at weighted accuracy, where each class counts the same
        however rare it is. Errors are those of `predict_proba`.

        Args:
            features: Features of images, or their values (N, D).

        Returns:
            Classes (N,), 0..K-1.
        """
        given = _finite_values(features, self.pipeline.n_features_in_)
        values, last = self.pipeline[:-1].transform(given), self.pipeline[-1]
        calibrated = getattr(last, "calibrated_classifiers_", None)
        svms = [last] if calibrated is None else [part.estimator for part in calibrated]
        margins = np.sum([self._margins(svm, values) for svm in svms], axis=0)
        known: Any = self.pipeline.classes_
        return np.asarray(known[margins[:, known].argmax(axis=1)])

    def _margins(self, svm: Any, values: _Values) -> _Values:
        found = svm.decision_function(values)
        if found.ndim == 1:  # of two classes scikit-learn gives the second alone
            found = np.stack([-found, found], axis=1)
        # A class without training rows in this split gets the lowest margin
        margins = np.repeat(found.min(axis=1, keepdims=True), self.num_classes, axis=1)
        margins[:, svm.classes_] = found
        return margins


def fit_svm(
    data: Any,
    model: nn.Module | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    num_classes: int | None = None,
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
    weighted accuracy in three folds of the training rows, calibration uses the same folds, and the
    estimate repeats both in each of `folds` folds of all rows. A class with a single lesion stays
    among the training rows and is left out of the estimate, which the log reports.

    Args:
        data: `Features` with labels, or images as `extract_features` takes them.
        model: Network, where `data` are images.
        groups: Lesion or patient of each row (N,); by default those of `data`. A row without one
            (None or NaN) is a lesion of its own. Pass ``numpy.arange(N)`` where each lesion has one
            row.
        num_classes: Number of classes K, 2 or more; None takes that of the label space of `data`,
            and else of the labels.
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
        ((120, 3), True)
    """
    given = {"seed": (seed, 0), "workers": (workers, 1)}
    given |= {} if num_classes is None else {"num_classes": (num_classes, 2)}
    given |= {} if folds is None else {"folds": (folds, 2)}
    for name, (value, low) in given.items():
        check_number(value, name, low=low, integer=True)
    check_flag(calibrated, "calibrated")
    features = _features_of(data, model, cache, extraction)
    values = _finite_values(features)
    space = known_label_space(features) or known_label_space(data)
    known = None if space is None else len(space)
    what, got = f"{known}, the number of classes of {space}", num_classes
    require(None in (known, num_classes) or known == num_classes, "num_classes", what, got)
    labels, num_classes = _known_labels(features, num_classes or known)
    lesions = _numbered_lesions(features, groups, max(_FOLDS, folds or 0))
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
        tested = predicted != _NOT_TESTED
        codes = [*map(str, range(num_classes))]
        unseen = predicted[tested], labels[tested]
        scores = score(*unseen, groups=lesions[tested], label_space=codes)
        estimate = scores["balanced_accuracy"]
    return replace(fit(np.arange(len(labels))), estimate=estimate)


def _tuned(
    values: _Values,
    labels: _Labels,
    lesions: Indices,
    num_classes: int,
    candidates: list[dict[str, Any]],
    options: dict[str, Any],
    workers: int,
) -> FittedSVM:
    """Choose the best candidate in inner folds, then fit and calibrate it on all rows."""
    splits = lesion_splits(labels, lesions, _FOLDS, options["seed"])

    def score(candidate: dict[str, Any], train: Indices, test: Indices) -> float:
        svm = svm_classifier(**{**options, "calibrated": False}, **candidate)
        predicted = svm.fit(values[train], labels[train]).predict(values[test])
        return _recall(predicted, labels[test], num_classes)

    best = 0
    if len(candidates) > 1:
        # Threads, since an SVM computes without Python's lock, and needs no copy of the rows
        scores = Parallel(n_jobs=workers, require="sharedmem")(
            delayed(score)(candidate, *split) for candidate in candidates for split in splits
        )
        best = int(np.reshape(scores, (len(candidates), -1)).mean(axis=1).argmax())
    pipeline = svm_classifier(**options, **candidates[best], splits=splits).fit(values, labels)
    return FittedSVM(pipeline, num_classes, candidates[best])


def lesion_splits(labels: _Labels, lesions: Indices, folds: int, seed: int) -> _Splits:
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


def _recall(predicted: _Values, labels: _Labels, num_classes: int) -> float:
    """Compute the weighted accuracy of arrays."""
    preds, target = torch.as_tensor(predicted, dtype=torch.int64), torch.as_tensor(labels)
    return float(weighted_accuracy(preds, target, num_classes=num_classes))


def _features_of(
    data: Any, model: Any, cache: PathLike | None, extraction: dict[str, Any]
) -> Features:
    given = {"model": model, "cache": cache, **extraction}
    spare = [f"`{name}`" for name, value in given.items() if value is not None]
    if isinstance(data, Features):
        what = "images, where options to extract features are given"
        require(not spare, "data", what, f"`Features` and {listed(spare)}", error=TypeError)
        return data
    what = "a network to extract features of the images"
    hint = "Or pass `Features(values, labels=labels)` as `data`."
    check_type(model, "model", nn.Module, what, hint)
    return extract_features(model, data, cache=cache, **extraction)


def _finite_values(features: Features | _Values, width: int | None = None) -> _Values:
    """Return the finite values (N, D) of `Features` or an array; `width` None takes any D."""
    ids = features.ids if isinstance(features, Features) else None
    values = np.asarray(features.values if isinstance(features, Features) else features)
    what = f"an array (N, {width or 'D'}) of one row or more"
    numeric = values.dtype.kind in "fiu"
    require(numeric, "features", f"{what} of numbers", f"dtype {values.dtype}", error=TypeError)
    fits = values.ndim == 2 and values.size and values.shape[1] == (width or values.shape[1])
    require(fits, "features", what, f"shape {values.shape}")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        name = f"row {broken[0]}" if ids is None else ids[broken[0]]
        got = f"NaN or infinity in {len(broken)} of {len(values)} rows"
        hint = "Leave such rows out, and check where their features come from."
        raise ValueError(expected(f"features of {name}", "finite", got, hint))
    return values


def _known_labels(features: Features, num_classes: int | None) -> tuple[_Labels, int]:
    """Return labels and the number of classes, that of the labels where none is given."""
    ending = "0..K-1" if num_classes is None else f"0..{num_classes - 1}"
    what = f"features of two classes or more with labels in {ending}"
    require(features.labels is not None, "data", what, "features without labels")
    labels = whole_labels(features.labels, len(features), "labels")
    missing = int((labels < 0).sum())
    hint = "Take the others: `features.subset(numpy.flatnonzero(features.labels >= 0))`."
    require(not missing, "data", what, f"{missing} of {len(labels)} rows without one", hint)
    known = np.unique(labels)
    count = int(known[-1]) + 1 if num_classes is None else num_classes
    fits = len(known) > 1 and known[-1] < count
    require(fits, "data", what, f"the labels {listed(known, most=count + 1)}")
    return labels, count


def _numbered_lesions(features: Features, groups: npt.ArrayLike | None, folds: int) -> Indices:
    """Number the lesions in the order of their names, and each unknown one for itself."""
    names: Any = features.groups if groups is None else groups
    what = f"the lesion of each row ({len(features)},)"
    hint = "Pass `dataset.groups`, or `numpy.arange(N)` where each lesion has one row."
    # A list as objects, since NumPy would make the text "nan" of NaN beside texts
    names = np.asarray(names, None if hasattr(names, "dtype") else object)
    got = "None" if names.ndim == 0 else f"shape {names.shape}"
    require(names.shape == (len(features),), "groups", what, got, hint)
    kind = pd.api.types.infer_dtype(names, skipna=True)
    what = "names of one type, or None or NaN for an unknown lesion"
    one_type = kind not in ("mixed", "mixed-integer")
    require(one_type, "groups", what, f"several types ({kind})", error=TypeError)
    numbers: Indices
    numbers, known = pd.factorize(names, sort=True)
    unknown = numbers < 0
    numbers[unknown] = len(known) + np.arange(unknown.sum())
    count, what = len(known) + int(unknown.sum()), f"{2 * folds} lesions or more, for {folds} folds"
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
    check_type(grid, "grid", Mapping, "values by name", "Pass one such as `{'C': (1, 10)}`.")
    tried: dict[str, list[Any]] = {}
    for name, values in grid.items():
        check_choice(name, "grid", _GRID)
        what, hint = "one value to try or more", f"Pass `({values!r},)` for a single one."
        kinds = () if isinstance(values, str) else Iterable
        check_type(values, f"grid[{name!r}]", kinds, what, hint)
        tried[name] = list(values)
        require(tried[name], f"grid[{name!r}]", what, "none")
        for value in tried[name]:
            svm_classifier(**{name: value})
    return [dict(candidate) for candidate in ParameterGrid(tried)]


def _warn_of_single_lesions(labels: _Labels, lesions: Indices) -> None:
    pairs = np.unique(np.stack([labels, lesions]), axis=1)
    single = np.flatnonzero(np.bincount(pairs[0]) == 1)
    if len(single):
        text = "Classes with a single lesion cannot be calibrated or tested: %s. They are in all "
        _log.warning(
            text + "training rows, and are hardly ever predicted.", printable(listed(single))
        )

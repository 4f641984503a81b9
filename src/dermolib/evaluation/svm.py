"""Kernel SVM on the features of a network: scaled, class-balanced, calibrated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from dermolib._validation import (
    Indices,
    check_choice,
    check_flag,
    check_number,
    expected,
    require,
)
from dermolib.evaluation.intervals import Interval
from dermolib.features.embeddings import Features as Features
from dermolib.features.embeddings import extract_features as extract_features

__all__ = ["FittedSVM", "svm_classifier"]

Splits: TypeAlias = Sequence[tuple[Indices, Indices]]
"""Pairs of row numbers: to train on, and to calibrate or test on."""

_FOLDS = 3


def svm_classifier(
    *,
    C: float = 1.0,  # noqa: N803 - the name that scikit-learn and the literature give it
    gamma: float | str = "scale",
    components: int | None = None,
    landmarks: int | None = None,
    calibrated: bool = True,
    splits: Splits | None = None,
    class_weight: Mapping[int, float] | str | None = "balanced",
    seed: int = 0,
) -> Pipeline:
    """Build a multi-class kernel SVM on features: a scikit-learn pipeline that is not yet fitted.

    Features are scaled to mean 0 and variance 1, optionally projected to their principal
    components, and classified by an SVM with the kernel exp(-gamma d^2). Its training time grows
    with the square of the rows or faster: minutes for 7,500 rows, hopeless for 400,000. With
    `landmarks` the kernel is approximated (Nystroem) and the SVM is linear, in time and memory that
    grow with the rows.

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
        splits: Pairs of row numbers to train on and to calibrate on; None takes three stratified
            folds, which is right where each lesion has one row.
        class_weight: Weights of the classes, above 0; ``"balanced"`` for equal total weights; or
            None.
        seed: Seed of the landmarks and components, 0 or more.

    Returns:
        Pipeline with the steps of scikit-learn.

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


def _checked_weights(weights: Any) -> dict[Any, float] | str | None:
    if weights is None:
        return None
    if isinstance(weights, str):
        check_choice(weights, "class_weight", ("balanced",))
        return weights
    what, hint = "'balanced', None or a weight by class", "Pass one such as `{0: 1.0, 1: 5.0}`."
    is_mapping = isinstance(weights, Mapping)
    require(is_mapping, "class_weight", what, repr(weights), hint, error=TypeError)
    for name, weight in weights.items():
        check_number(weight, f"class_weight[{name!r}]", above=0)
    return dict(weights)


def _checked_splits(splits: Any) -> list[tuple[Indices, Indices]]:
    what, hint = (
        "pairs of row numbers, to train on and to calibrate on",
        "Pass None for three folds.",
    )
    several = isinstance(splits, Iterable)
    require(several, "splits", what, repr(splits), hint, error=TypeError)
    pairs: list[Any] = list(splits)
    require(pairs, "splits", what, "none", hint)
    for number, pair in enumerate(pairs):
        is_pair = isinstance(pair, (tuple, list, np.ndarray)) and len(pair) == 2
        pairs[number] = tuple(np.asarray(rows) for rows in pair) if is_pair else ()
        fits = [rows.ndim == 1 and rows.size and rows.dtype.kind in "iu" for rows in pairs[number]]
        require(is_pair and all(fits), f"splits[{number}]", what, repr(pair))
    return [(train.astype(np.intp), test.astype(np.intp)) for train, test in pairs]


def _state(seed: int) -> int:
    """Reduce a seed to the 32 bits that scikit-learn takes."""
    return seed if seed < 1 << 32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


class _Landmarks(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
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
        estimate: Weighted accuracy of the whole procedure on lesions that it was not trained on,
            with its interval; None where none was wanted.
    """

    pipeline: Pipeline
    num_classes: int
    chosen: dict[str, Any]
    estimate: Interval | None = None

    def predict_proba(
        self, features: Features | npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float64]:
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
        what, hint = "called on a calibrated SVM", "Fit it with `calibrated=True`."
        able = hasattr(self.pipeline, "predict_proba")
        require(able, "predict_proba", what, "one that is not", hint, error=RuntimeError)
        values = checked_values(features, self.pipeline.n_features_in_)
        found = np.zeros((len(values), self.num_classes))
        found[:, self.pipeline.classes_] = self.pipeline.predict_proba(values)
        return found

    def predict(self, features: Features | npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """Predict classes by the margins, averaged over the SVMs of all splits.

        With balanced class weights this aims at weighted accuracy, where each class counts the same
        however rare it is; the class with the largest probability is mostly the most frequent one.
        Errors are those of `predict_proba`.

        Args:
            features: Features of images, or their values (N, D).

        Returns:
            Classes (N,), 0..K-1.
        """
        given = checked_values(features, self.pipeline.n_features_in_)
        values = self.pipeline[:-1].transform(given)
        last = self.pipeline[-1]
        calibrated = getattr(last, "calibrated_classifiers_", None)
        svms = [last] if calibrated is None else [part.estimator for part in calibrated]
        margins = np.sum([self._margins(svm, values) for svm in svms], axis=0)
        known: npt.NDArray[np.int64] = self.pipeline.classes_
        decided: npt.NDArray[np.int64] = known[margins[:, known].argmax(axis=1)]
        return decided

    def _margins(self, svm: Any, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        found = svm.decision_function(values)
        if found.ndim == 1:  # of two classes scikit-learn gives the second alone
            found = np.stack([-found, found], axis=1)
        # A class without training rows in this split gets the lowest margin
        margins = np.repeat(found.min(axis=1, keepdims=True), self.num_classes, axis=1)
        margins[:, svm.classes_] = found
        return margins


def checked_values(features: Any, width: int | None = None) -> npt.NDArray[Any]:
    """Return the finite values (N, D) of `Features` or an array; `width` None takes any D."""
    whole = isinstance(features, Features)
    values = np.asarray(features.values if whole else features)
    what = f"an array (N, {width or 'D'}) of one row or more"
    numeric = values.dtype.kind in "fiu"
    require(numeric, "features", f"{what} of numbers", f"dtype {values.dtype}", error=TypeError)
    fits = values.ndim == 2 and values.size and values.shape[1] == (width or values.shape[1])
    require(fits, "features", what, f"shape {values.shape}")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        known = whole and features.ids is not None
        name = features.ids[broken[0]] if known else f"row {broken[0]}"
        others = f", as in {len(broken)} of {len(values)} rows" if len(broken) > 1 else ""
        hint = "Leave such rows out, and check where their features come from."
        what, got = "finite", f"NaN or infinity{others}"
        raise ValueError(expected(f"features of {name}", what, got, hint))
    return values

"""Kernel machines on the features of a network: scaled, balanced, calibrated, judged by lesion."""

from collections.abc import Mapping, Sequence
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

from dermolib._checks import check_choice, check_number, expected
from dermolib._types import Indices
from dermolib.evaluation.features import Features
from dermolib.evaluation.intervals import Interval

__all__ = ["FittedSVM", "svm_classifier"]

Splits: TypeAlias = Sequence[tuple[Indices, Indices]]
"""Row numbers to train on and to calibrate or test on, pair by pair."""

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

    Features are brought to mean 0 and variance 1, rotated to their principal components where
    wanted, and separated by a machine with the kernel exp(-gamma d^2). Its time grows with the
    square of the rows or faster: minutes for 7,500 rows, hopeless for 400,000. With `landmarks` the
    kernel is approximated from so many rows, and a linear machine separates the result, in time and
    memory that grow with the rows.

    Calibration fits a logistic curve for each class to rows that its machine has not seen, and
    averages the machines of all splits. Images of one lesion on both sides of a split make it
    overconfident: give `splits` by lesion, as `fit_svm` does.

    Args:
        C: Price of a row on the wrong side, above 0.
        gamma: Width of the kernel, above 0, or ``"scale"``: one over the summed variance of what
            the machine is given.
        components: Number of principal components, 1 or more; None keeps the features.
        landmarks: Rows that approximate the kernel, 1 or more; None computes it exactly.
        calibrated: Whether ``predict_proba`` gives calibrated probabilities; without, there is
            ``decision_function`` alone.
        splits: Row numbers to train on and to calibrate on, pair by pair; None takes three
            stratified folds, which is right where no two rows show one lesion.
        class_weight: Weights of the classes, ``"balanced"`` for those that make all classes weigh
            the same, or None.
        seed: Seed of the landmarks, the components and the folds, 0 or more.

    Returns:
        Pipeline with the steps of scikit-learn.

    Raises:
        TypeError: A number is of another type.
        ValueError: A number is out of range.

    References:
        Cortes and Vapnik, Support-vector networks, Machine Learning 20, 1995,
        https://doi.org/10.1007/BF00994018; Platt, Probabilistic outputs for support vector
        machines, Advances in Large Margin Classifiers, 1999; Williams and Seeger, Using the Nystrom
        method to speed up kernel machines, NIPS, 2000.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.arange(90) % 3
        >>> values = generator.normal(size=(90, 4)) + 3 * np.eye(3, 4)[labels]
        >>> machine = svm_classifier(C=1).fit(values, labels)
        >>> machine.predict_proba(values).shape, machine.score(values, labels) > 0.9
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
    machine: Any = SVC(C=C, gamma=gamma, class_weight=class_weight, cache_size=500)
    if landmarks is not None:
        linear = LinearSVC(C=C, class_weight=class_weight, dual=False)
        machine = make_pipeline(_Landmarks(landmarks, gamma, seed), linear)
    if calibrated:
        machine = CalibratedClassifierCV(machine, cv=_FOLDS if splits is None else list(splits))
    steps = [("scale", StandardScaler())]
    if components is not None:
        steps.append(("components", PCA(components, random_state=seed)))
    return Pipeline([*steps, ("machine", machine)])


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
    """A fitted machine that knows all classes, in their order.

    Attributes:
        pipeline: Fitted pipeline of `svm_classifier`.
        num_classes: Number of classes K.
        chosen: Parameters of `svm_classifier` that were chosen.
        estimate: Weighted accuracy of the whole procedure on rows of lesions that it was not
            trained on, with its interval; None where none was wanted.
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
            RuntimeError: The machine is not calibrated.
        """
        if not hasattr(self.pipeline, "predict_proba"):
            what, got = "called on a calibrated machine", "one that is not"
            remedy = "Fit it with `calibrated=True`."
            raise RuntimeError(expected("predict_proba", what, got, remedy))
        found = np.zeros((len(features), self.num_classes))
        found[:, self.pipeline.classes_] = self.pipeline.predict_proba(_values(features))
        return found

    def predict(self, features: Features | npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """Decide for a class by the margins of the machines, averaged.

        With balanced class weights this aims at weighted accuracy, where each class counts the same
        however rare it is; the class with the largest probability is mostly the most frequent one.

        Args:
            features: Features of images, or their values (N, D).

        Returns:
            Classes (N,), 0..K-1.
        """
        values = self.pipeline[:-1].transform(_values(features))
        last = self.pipeline[-1]
        calibrated = getattr(last, "calibrated_classifiers_", None)
        machines = [last] if calibrated is None else [part.estimator for part in calibrated]
        margins = np.sum([self._margins(machine, values) for machine in machines], axis=0)
        known: npt.NDArray[np.int64] = self.pipeline.classes_
        decided: npt.NDArray[np.int64] = known[margins[:, known].argmax(axis=1)]
        return decided

    def _margins(self, machine: Any, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        found = machine.decision_function(values)
        if found.ndim == 1:  # of two classes scikit-learn gives the second alone
            found = np.stack([-found, found], axis=1)
        # A class that this machine has not seen stands beside the one that it finds least likely
        margins = np.repeat(found.min(axis=1, keepdims=True), self.num_classes, axis=1)
        margins[:, machine.classes_] = found
        return margins


def _values(features: Features | npt.NDArray[Any]) -> npt.NDArray[Any]:
    return features.values if isinstance(features, Features) else np.asarray(features)

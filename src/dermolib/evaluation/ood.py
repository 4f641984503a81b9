"""Images that are unlike those a network knows: scores, a detector, and how well it works."""

from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logsumexp, softmax
from sklearn.covariance import ledoit_wolf

from dermolib._validation import (
    Indices,
    check_choice,
    check_number,
    check_type,
    listed,
    require,
)
from dermolib.evaluation.conformal import quantile_by_group
from dermolib.evaluation.fitted_ids import ids_of, refuse_fitted
from dermolib.evaluation.intervals import resampled_intervals
from dermolib.evaluation.predictions import Predictions, as_array, number_groups
from dermolib.evaluation.resampling import Weights
from dermolib.evaluation.statistics import statistic
from dermolib.evaluation.support import FEW_GROUPS

__all__ = ["OODDetector", "ood_score", "score_unknowns"]

_Floats: TypeAlias = npt.NDArray[np.float64]

_METHODS = ("energy", "mahalanobis", "msp")


def ood_score(
    features_or_logits: Any,
    *,
    method: str = "energy",
    reference: Any = None,
    reference_target: Any = None,
    temperature: float = 1.0,
) -> _Floats:
    """Score how unlike the known images each image is: **higher is more unknown**.

    * ``"energy"``: minus the logarithm of the summed exponentials of the logits.
    * ``"msp"``: one minus the maximum softmax probability, 0..1.
    * ``"mahalanobis"``: squared Mahalanobis distance of features to the nearest class mean, with
      one covariance of all classes, shrunken after Ledoit and Wolf, so that it also exists where
      there are fewer images than features.

    Args:
        features_or_logits: Logits (N, K), or features (N, D) for ``"mahalanobis"``, such as those
            of `dermolib.evaluation.extract_features`. Probabilities have no energy.
        method: One of the above.
        reference: Features (M, D) of known images, those of training, for ``"mahalanobis"`` alone.
        reference_target: Their classes (M,), integers; None takes them for one class.
        temperature: What logits are divided by, above 0; energy is multiplied by it in the end.

    Returns:
        Scores (N,).

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, a value is not finite, or `reference` does not go with the
            method.

    References:
        Liu, Wang, Owens and Li, Energy-based out-of-distribution detection, NeurIPS, 2020,
        https://doi.org/10.48550/arXiv.2010.03759; Hendrycks and Gimpel, A baseline for detecting
        misclassified and out-of-distribution examples in neural networks, ICLR, 2017,
        https://doi.org/10.48550/arXiv.1610.02136; Lee, Lee, Lee and Shin, A simple unified
        framework for detecting out-of-distribution samples and adversarial attacks, NeurIPS, 2018,
        https://doi.org/10.48550/arXiv.1807.03888; Ledoit and Wolf, A well-conditioned estimator for
        large-dimensional covariance matrices, Journal of Multivariate Analysis 88(2), 2004,
        https://doi.org/10.1016/S0047-259X(03)00096-4.

    Examples:
        >>> ood_score([[8.0, 0.0], [1.0, 1.0]], method="msp").round(4).tolist()
        [0.0003, 0.5]
    """
    model = _Model(method, temperature)
    model.fit(reference, reference_target)
    return model.score(features_or_logits)


class OODDetector:
    """Out-of-distribution detector: what scores above a threshold is unknown.

    A fraction `tpr` of known images that the network was not trained on passes the threshold.
    As with `dermolib.evaluation.ConformalSets` it is found by lesion: a random image of a new known
    lesion passes with a probability of `tpr` or more, whatever the method. How many unknown images
    pass, too, depends on what they are: see `score_unknowns`.

    Args:
        method: As for `ood_score`.
        temperature: As for `ood_score`.
        tpr: Fraction of known images that pass, above 0 and below 1; known is positive.

    Attributes:
        threshold: Highest score of an image that passes as known.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range.

    References:
        Bates, Candes, Lei, Romano and Sesia, Testing for outliers with conformal p-values, Annals
        of Statistics 51(1), 2023, https://doi.org/10.1214/22-AOS2244.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> known = generator.normal(size=(200, 5)) + 6 * np.eye(5)[np.arange(200) % 5]
        >>> detector = OODDetector("energy").fit(known)
        >>> detector.predict([[6.0, 0, 0, 0, 0], [0.5, 0, 0, 0.5, 0]]).tolist()
        [False, True]
    """

    threshold: float = np.nan
    _ids: frozenset[str] = frozenset()
    _groups: frozenset[str] = frozenset()

    def __init__(
        self, method: str = "energy", *, temperature: float = 1.0, tpr: float = 0.95
    ) -> None:
        """Check the options."""
        check_number(tpr, "tpr", above=0, below=1)
        self._model = _Model(method, temperature)
        self.method, self.temperature, self.tpr = method, float(temperature), float(tpr)

    def fit(
        self,
        known: Any,
        *,
        groups: Any = None,
        ids: Any = None,
        reference: Any = None,
        reference_target: Any = None,
    ) -> Self:
        """Find the threshold.

        Args:
            known: Features or logits (N, D) of known images that the network was not trained on,
                and that are not among `reference`.
            groups: Lesion of each of them (N,), or its patient; None makes each image one.
            ids: Ids of these images (N,), so that `predict` can refuse them.
            reference: As for `ood_score`.
            reference_target: As for `ood_score`.

        Returns:
            The object itself.

        Raises:
            TypeError: An argument is of another type.
            ValueError: As for `ood_score`, or there are too few lesions for `tpr`.
        """
        self._model.fit(reference, reference_target)
        scores = self._model.score(known, "known")
        numbers = number_groups(groups, len(scores))
        threshold = quantile_by_group(scores, numbers, self.tpr)
        count = int(numbers.max()) + 1
        what = f"images of enough groups for a `tpr` of {self.tpr:g}"
        got = f"{count:,}, which can have {count / (count + 1):.3g} at most"
        require(np.isfinite(threshold), "known", what, got)
        self.threshold, self._ids = threshold, ids_of(ids, None, len(scores))
        self._groups = ids_of(groups, None, len(scores), name="groups")
        return self

    def score(self, features_or_logits: Any) -> _Floats:
        """Score images (N,), as `ood_score` does: higher is more unknown.

        Raises:
            RuntimeError: `fit` was not called.
            TypeError: An argument is of another type.
            ValueError: A shape does not fit, or a value is not finite.
        """
        if np.isnan(self.threshold):
            raise RuntimeError("Call `fit` of the detector before it is used.")
        return self._model.score(features_or_logits)

    def predict(
        self, features_or_logits: Any, *, ids: Any = None, groups: Any = None
    ) -> npt.NDArray[np.bool_]:
        """Find the images that are unknown (N,), bool.

        Args:
            features_or_logits: As for `ood_score`.
            ids: Ids of the images (N,); those that the threshold was found on are refused. Give
                these, or `groups`, wherever the answers are judged.
            groups: Lesion of each image (N,), by the same names as in `fit`, refused likewise.

        Raises:
            RuntimeError: `fit` was not called.
            TypeError: An argument is of another type.
            ValueError: As for `score`, or images are among those of `fit`.
        """
        scores = self.score(features_or_logits)
        refuse_fitted(self._ids, ids_of(ids, None, len(scores)), "the detector")
        names = ids_of(groups, None, len(scores), name="groups")
        refuse_fitted(self._groups, names, "the detector", name="groups")
        return np.asarray(scores > self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Write options and threshold as values of JSON, without the ids; see `from_dict`.

        For ``"mahalanobis"`` with D features these are D (D + classes) numbers more.

        Raises:
            RuntimeError: `fit` was not called.
        """
        if np.isnan(self.threshold):
            raise RuntimeError("Call `fit` of the detector before `to_dict`.")
        found = {name: getattr(self, name) for name in (*_OPTIONS, "threshold")}
        parts = {"means": self._model.means, "whitening": self._model.whitening}
        return found | {name: one.tolist() for name, one in parts.items() if one is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a fitted detector of what `to_dict` wrote.

        Raises:
            TypeError: It is not a mapping, or a value is of another type.
            ValueError: A name is missing, or a value is out of range.
        """
        what = "a mapping that `to_dict` made"
        check_type(values, "values", Mapping, what)
        arrays = ("means", "whitening") if values.get("method") == "mahalanobis" else ()
        missing = [name for name in (*_OPTIONS, "threshold", *arrays) if name not in values]
        require(not missing, "values", what, f"no {listed(missing)}")
        one = cls(**{name: values[name] for name in _OPTIONS})
        check_number(values["threshold"], "threshold", above=-np.inf, below=np.inf)
        one.threshold = float(values["threshold"])
        if arrays:
            means, whitening = (_matrix(values[name], name) for name in arrays)
            fits = whitening.shape == (means.shape[1],) * 2
            require(fits, "whitening", "(D, D), as many as means", f"shape {whitening.shape}")
            one._model.means, one._model.whitening = means, whitening
        return one

    def __repr__(self) -> str:
        """Name the options and the threshold."""
        return (
            f"OODDetector({self.method!r}, temperature={self.temperature:g}, tpr={self.tpr:g}, "
            f"threshold {self.threshold:.4g})"
        )


_LARGEST = 1e100  # whose square is a number still
_OPTIONS = ("method", "temperature", "tpr")


def score_unknowns(
    known: Any,
    unknown: Any,
    *,
    groups: Any = None,
    unknown_groups: Any = None,
    tpr: float = 0.95,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute how well a score separates unknown images from known ones.

    As in the literature, **known is positive**: the true positive rate is the fraction of known
    images that pass, the false positive rate that of unknown images that pass, too. The AUROC is
    the same either way: the fraction of pairs in which the unknown image has the higher score, ties
    counted one half.

    Args:
        known: Scores (N,) of known images that the network was not trained on, higher for more
            unknown, see `ood_score`.
        unknown: Scores (M,) of unknown images.
        groups: Lesion of each known image (N,); None makes each image one.
        unknown_groups: Group of each unknown image (M,), such as the picture a tile is cut from.
        tpr: True positive rate at which the false positive rate is read, above 0 and below 1.
        resamples: Number of resamples of groups, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of the resampling, 0 or more.

    Returns:
        A row for the ``metric`` ``"roc_auc"`` and one for ``"fpr_at_tpr"``: ``value`` with its BCa
        interval from ``low`` to ``high``, numbers of images ``known`` and ``unknown`` and of their
        groups, ``known_groups`` and ``unknown_groups``, and ``few`` for fewer than 10 of either.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, a score is not finite, or an argument is out of range.

    Examples:
        >>> table = score_unknowns([0.1, 0.2, 0.3, 0.4], [0.35, 0.8], tpr=0.75, resamples=100)
        >>> dict(zip(table["metric"], table["value"]))
        {'roc_auc': 0.875, 'fpr_at_tpr': 0.0}
    """
    check_number(tpr, "tpr", above=0, below=1)
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    inside, outside = _vector(known, "known"), _vector(unknown, "unknown")
    numbers = number_groups(groups, len(inside))
    others = number_groups(unknown_groups, len(outside))
    known_groups, other_groups = int(numbers.max()) + 1, int(others.max()) + 1
    places = np.unique(np.r_[inside, outside], return_inverse=True)[1]
    likely = 1 - (places + 1) / (places.max() + 2)  # of being known; the order is what matters
    found = Predictions(
        np.c_[1 - likely, likely],
        np.r_[np.ones(len(inside), np.intp), np.zeros(len(outside), np.intp)],
        np.r_[numbers, known_groups + others],
        known_groups + other_groups,
        ("unknown", "known"),
    )
    names = ["roc_auc:known", "specificity_at_sensitivity:known"]
    scores = statistic(found, names, sensitivity=tpr)

    def both(weights: Weights) -> _Floats:
        return np.abs(scores(weights) - [0, 1])

    ends = resampled_intervals(both, found.num_groups, resamples=resamples, level=level, seed=seed)
    table = pd.DataFrame({"metric": ["roc_auc", "fpr_at_tpr"]})
    table[["value", "low", "high"]] = np.column_stack(ends)
    table["known"], table["unknown"] = len(inside), len(outside)
    table["known_groups"], table["unknown_groups"] = known_groups, other_groups
    return table.assign(few=min(known_groups, other_groups) < FEW_GROUPS)


class _Model:
    """A method with its options, and for Mahalanobis the class means and a whitening."""

    means: _Floats | None = None
    whitening: _Floats | None = None

    width = 0  # of the logits, once some were scored

    def __init__(self, method: str, temperature: float) -> None:
        check_choice(method, "method", _METHODS)
        check_number(temperature, "temperature", above=0, below=np.inf)
        self._method, self._temperature = method, float(temperature)

    def fit(self, reference: Any, target: Any) -> None:
        """Take the means and the covariance of the reference, if the method needs one."""
        needed, given = self._method == "mahalanobis", reference is not None
        what = "features (M, D) of known images" if needed else f"None for {self._method!r}"
        require(needed == given, "reference", what, "features" if given else "None")
        if not needed:
            hint = "It goes with `reference`."
            require(target is None, "reference_target", "None", "classes", hint)
            return
        values = _matrix(reference, "reference")
        classes = _classes(target, len(values))
        names, number = np.unique(classes, return_inverse=True)
        what, got = "more images than classes", f"{len(values)} of {len(names)} classes"
        require(len(values) > len(names), "reference", what, got)
        sums = np.zeros((len(names), values.shape[1]))
        np.add.at(sums, number, values)
        self.means = sums / np.bincount(number)[:, None]
        covariance, _ = ledoit_wolf(values - self.means[number], assume_centered=True)
        what, hint = "features that vary within classes", "All images of a class are the same."
        require(np.trace(covariance) > 0, "reference", what, "constant ones", hint)
        # squared lengths after whitening W are Mahalanobis distances: W W' is the precision
        self.whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T

    def score(self, given: Any, name: str = "features_or_logits") -> _Floats:
        """Score images (N,)."""
        values = _matrix(given, name)
        if self.means is not None and self.whitening is not None:
            what = f"features (N, {self.means.shape[1]}), as many as of the reference"
            got = f"shape {values.shape}"
            require(values.shape[1] == self.means.shape[1], name, what, got)
            means = self.means @ self.whitening
            moved = values @ self.whitening
            distances = [((moved - mean) ** 2).sum(axis=1) for mean in means]
            return np.asarray(np.min(distances, axis=0))
        what, got = "logits (N, K) of two classes or more", f"shape {values.shape}"
        require(values.shape[1] > 1, name, what, got)
        sums_to_one = (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3)
        hint = "Take the outputs before the softmax; for 'msp' their logarithms serve, too."
        require(not sums_to_one, name, what, "probabilities, whose rows sum to 1", hint)
        what = f"logits (N, {self.width}), as many as in `fit`"
        require(self.width in (0, values.shape[1]), name, what, got)
        self.width = values.shape[1]
        scaled = values / self._temperature
        if self._method == "msp":
            return np.asarray(1 - softmax(scaled, axis=1).max(axis=1))
        return np.asarray(-self._temperature * logsumexp(scaled, axis=1))


def _matrix(given: Any, name: str) -> _Floats:
    """Check features or logits (N, D): an array, a tensor, a data frame, or `Features`."""
    values = getattr(given, "values", given)
    found = as_array(values if isinstance(values, np.ndarray) else given, name)
    what = "features or logits (N, D), finite numbers"
    require(found.dtype.kind in "iuf", name, what, f"dtype {found.dtype}", error=TypeError)
    require(found.ndim == 2 and found.size, name, what, f"shape {found.shape}")
    found = found.astype(np.float64)
    fits = np.isfinite(found).all() and np.abs(found).max() < _LARGEST
    require(fits, name, what, f"NaN, infinity or {_LARGEST:g} and more")
    return found


def _vector(given: Any, name: str) -> _Floats:
    """Check scores (N,)."""
    found = as_array(given, name)
    what = "scores (N,), finite numbers"
    require(found.dtype.kind in "iuf", name, what, f"dtype {found.dtype}", error=TypeError)
    hint = "Compute them with `ood_score`."
    require(found.ndim == 1 and found.size, name, what, f"shape {found.shape}", hint)
    require(np.isfinite(found).all(), name, what, "NaN or infinity")
    return found.astype(np.float64)


def _classes(given: Any, count: int) -> Indices:
    """Check the classes of the reference (M,); None is one class."""
    if given is None:
        return np.zeros(count, np.intp)
    found = as_array(given, "reference_target")
    what = f"classes ({count:,},), integers"
    got = f"dtype {found.dtype}"
    require(found.dtype.kind in "iu", "reference_target", what, got, error=TypeError)
    require(found.shape == (count,), "reference_target", what, f"shape {found.shape}")
    return found.astype(np.intp)

"""Every score of predictions as a function of how often each group counts."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from dermolib._validation import Indices, check_choice, check_number, check_type, require
from dermolib.evaluation.predictions import Predictions
from dermolib.evaluation.ranking import CURVE_SCORES, Ranking, counter
from dermolib.evaluation.resampling import Weights
from dermolib.evaluation.support import FEW_GROUPS, Support

__all__ = [
    "CLASS_METRICS",
    "OVERALL_METRICS",
    "SUMS",
    "ScoreStatistic",
    "confidence_bins",
    "predicted_classes",
    "statistic",
]

OVERALL_METRICS: tuple[str, ...] = (
    *("balanced_accuracy", "accuracy", "macro_f1", "macro_roc_auc", "macro_average_precision"),
    *("log_loss", "brier", "ece"),
)
"""Scores of all classes together."""

CLASS_METRICS: tuple[str, ...] = (
    *("sensitivity", "specificity", "ppv", "npv", "f1", "roc_auc", "average_precision"),
    *("specificity_at_sensitivity", "sensitivity_at_specificity", "pauc"),
)
"""Scores of each class against the rest."""

SUMS = ("balanced_accuracy", "accuracy", "log_loss", "brier", "sensitivity", "specificity")
"""Scores to which each group adds something whatever the predictions for the others."""

_MACRO = {f"macro_{name}": name for name in ("f1", "roc_auc", "average_precision")}
_KNOWN = (*OVERALL_METRICS, *CLASS_METRICS)
_EPSILON = float(np.finfo(np.float64).eps)  # where scikit-learn clips probabilities, too
_LARGEST = 2**21  # numbers in a table of thresholds and resamples, 16 MiB

_Floats: TypeAlias = npt.NDArray[np.float64]
_Part: TypeAlias = tuple[str, int]  # a metric and the number of its class, -1 for all classes


def statistic(
    predictions: Predictions,
    metrics: str | Iterable[str] | None = None,
    *,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    pauc_above: float = 0.8,
    bins: int = 15,
    ties: str = "first",
) -> "ScoreStatistic":
    """Prepare scores of predictions for any number of resamples of their groups.

    Args:
        predictions: What `dermolib.evaluation.predictions.read_predictions` returns.
        metrics: Names in `OVERALL_METRICS` and `CLASS_METRICS`; one of a class alone has its code
            after a colon, as ``"roc_auc:MEL"``. None takes all.
        sensitivity: Sensitivity at which specificity is read, above 0 and up to 1.
        specificity: Specificity at which sensitivity is read, above 0 and up to 1.
        pauc_above: Sensitivity above which the area under the ROC curve is taken, 0 or more.
        bins: Number of bins of the calibration error, 1 or more.
        ties: Where several classes share the highest probability, ``"first"`` predicts the first of
            them; ``"wrong"`` predicts none, as the official ISIC scorer does.

    Returns:
        Function of weights of groups (R, G) that returns scores (R, M), NaN where undefined.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A metric or a class is unknown, or an option is out of range.
    """
    check_number(sensitivity, "sensitivity", above=0, high=1)
    check_number(specificity, "specificity", above=0, high=1)
    check_number(pauc_above, "pauc_above", low=0, below=1)
    check_number(bins, "bins", low=1, integer=True)
    check_choice(ties, "ties", ("first", "wrong"))
    at = {"sensitivity": sensitivity, "specificity": specificity, "pauc_above": pauc_above}
    parts = [part for name in _names(metrics) for part in _parts(name, predictions.codes)]
    return ScoreStatistic(predictions, [*dict.fromkeys(parts)], at, bins, ties)


class ScoreStatistic:
    """Scores of predictions as a function of how often each of their groups counts.

    `statistic` makes one.

    Attributes:
        columns: Metric and code of the class of each score (M,); the code is empty where the score
            is of all classes.
        values: Scores of all images (M,), NaN where undefined.
        reasons: Why each is undefined (M,), empty where it is not.
        images: Number of images of its class, or of all (M,).
        groups: Number of groups of its class, or of all (M,).
        certainty: Number of groups of a proportion that is as certain (M,), see
            `Support.certainty`.
        few: Whether fewer than `FEW_GROUPS` groups are behind it (M,), see `Support.fewest`.
    """

    def __init__(
        self,
        predictions: Predictions,
        parts: list[_Part],
        at: Mapping[str, float],
        bins: int,
        ties: str,
    ) -> None:
        """Sum over groups what is linear in the weights, and sort what is ranked."""
        codes, target = predictions.codes, predictions.target
        self.columns = tuple((name, codes[place] if place >= 0 else "") for name, place in parts)
        self._parts, self._at = parts, at
        predicted = predicted_classes(predictions.probabilities, ties=ties)
        support = Support(predictions, predicted)
        self.reasons = tuple(support.reason(*part) for part in parts)
        self.images = tuple(support.images(place) for _, place in parts)
        self.groups = tuple(support.groups(place) for _, place in parts)
        self.certainty = tuple(support.certainty(*part) for part in parts)
        self.few = tuple(support.fewest(*part) < FEW_GROUPS for part in parts)
        self._present = np.flatnonzero(support.counts).tolist()
        usual = np.ones((1, predictions.num_groups), np.float32)
        usual[0, predictions.num_groups - len(predictions.borrowed) :] = predictions.borrowed
        self._factors = predictions.factors[:, None] if len(predictions.factors) else None
        counts = np.bincount(target, self._turned(usual)[predictions.groups, 0], len(codes))
        self._class_weights = np.divide(1, counts, out=np.zeros(len(codes)), where=counts > 0)
        self._linear = _linear(predictions, predicted, bins)
        self._wanted = self._curve_parts()
        self._rankings = {
            place: Ranking(
                predictions.probabilities[:, place],
                target == place,
                predictions.groups,
                predictions.num_groups,
            )
            for place in sorted({place for _, place in self._wanted})
        }
        longest = max((ranking.count for ranking in self._rankings.values()), default=1)
        self._step = max(1, _LARGEST // longest)
        self.values: _Floats = self(usual)[0]

    def __call__(self, weights: Weights) -> _Floats:
        """Compute the scores (R, M) of resamples in which each group counts so often (R, G)."""
        starts = range(0, len(weights), self._step)
        return np.concatenate([self._scores(weights[start:][: self._step]) for start in starts])

    def _scores(self, weights: Weights) -> _Floats:
        """Compute the scores (R, M) of so many resamples as fit into memory at a time."""
        turned = self._turned(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _linear_scores(self._linear @ turned, self._class_weights)
            for place, ranking in self._rankings.items():
                curve = ranking.curve(turned)
                for name in (name for name, one in self._wanted if one == place):
                    found[name, place] = CURVE_SCORES[name](curve, self._at)
        undefined = np.full(len(weights), np.nan)
        for macro, name in _MACRO.items():
            parts = [found[name, place] for place in self._present if (name, place) in found]
            found[macro, -1] = np.mean(parts, axis=0) if parts else undefined
        pairs = zip(self._parts, self.reasons, strict=True)
        return np.column_stack([undefined if reason else found[part] for part, reason in pairs])

    def contributions(self) -> _Floats:
        """Compute what each group adds to each score (M, G), 0 but for scores that are sums.

        The sums are those in `SUMS`, with the number of images of each class as it is.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _contributions(self._linear.toarray(), self._class_weights)
        nothing = np.zeros(self._linear.shape[1])
        pairs = zip(self._parts, self.reasons, strict=True)
        return np.array([nothing if why else found.get(part, nothing) for part, why in pairs])

    def _turned(self, weights: Weights) -> _Floats:
        """Put groups first (G, R), as products with sparse matrices take them."""
        turned = np.ascontiguousarray(weights.T, np.float64)
        return turned if self._factors is None else turned * self._factors

    def _curve_parts(self) -> list[_Part]:
        """Collect the scores of curves that columns, or means over classes, are made of."""
        wanted = set()
        for (name, place), reason in zip(self._parts, self.reasons, strict=True):
            places = self._present if name in _MACRO else [place]
            wanted |= {(_MACRO.get(name, name), int(one)) for one in places if not reason}
        return sorted((name, place) for name, place in wanted if name in CURVE_SCORES)


def predicted_classes(probabilities: _Floats, *, ties: str = "first") -> Indices:
    """Choose the class of the highest probability of each image (N,), -1 for none.

    Args:
        probabilities: Probabilities (N, K).
        ties: See `statistic`.

    Examples:
        >>> predicted_classes(np.array([[0.2, 0.8], [0.5, 0.5]]), ties="wrong").tolist()
        [1, -1]
    """
    predicted: Indices = probabilities.argmax(axis=1)
    if ties == "wrong":
        highest = probabilities.max(axis=1, keepdims=True)
        predicted[(probabilities == highest).sum(axis=1) > 1] = -1
    return predicted


def confidence_bins(confidence: _Floats, bins: int) -> Indices:
    """Find the bin of each confidence among bins of equal width, each with its upper bound.

    Examples:
        >>> confidence_bins(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist()
        [0, 0, 1, 1]
    """
    places = np.searchsorted(np.linspace(0, 1, bins + 1), confidence) - 1
    return np.asarray(np.maximum(places, 0))


def _names(metrics: Any) -> list[str]:
    """List names of metrics."""
    if metrics is None:
        return [*OVERALL_METRICS, *CLASS_METRICS]
    what = "the name of a score, or a list of names"
    fits = isinstance(metrics, Iterable)
    require(fits, "metric", what, f"a {type(metrics).__name__}", error=TypeError)
    names = [metrics] if isinstance(metrics, str) else [*metrics]
    require(names, "metric", what, "an empty list")
    for name in names:
        check_type(name, "metric", str, "the name of a score")
    return names


def _parts(name: str, codes: tuple[str, ...]) -> list[_Part]:
    """Read the name of a metric, with or without the code of a class."""
    metric, colon, code = name.partition(":")
    if metric in OVERALL_METRICS and not colon:
        return [(metric, -1)]
    check_choice(metric if metric in CLASS_METRICS else name, "metric", _KNOWN)
    if not colon:
        return [(metric, place) for place in range(len(codes))]
    same = [one for one in codes if one.lower() == code.strip().lower()]
    check_choice(same[0] if same else code, f"{metric}:CLASS", codes)
    return [(metric, codes.index(same[0]))]


def _linear(predictions: Predictions, predicted: Indices, bins: int) -> csr_array:
    """Make the matrix that counts classes and sums losses, (3 K + 2 + bins, G)."""
    target, values = predictions.target, predictions.probabilities
    count, images = values.shape[1], np.arange(len(target))
    hit, said = predicted == target, predicted >= 0
    chosen = values[images, target]
    loss = -np.log(np.clip(chosen, _EPSILON, 1 - _EPSILON))
    truth = np.eye(count)[target]
    brier = ((values - truth) ** 2).sum(axis=1) / (2 if count == 2 else 1)
    confidence = values.max(axis=1)
    entries = [
        (images, target, None),
        (np.flatnonzero(said), count + predicted[said], None),
        (np.flatnonzero(hit), 2 * count + target[hit], None),
        (images, np.full_like(images, 3 * count), loss),
        (images, np.full_like(images, 3 * count + 1), brier),
        (images, 3 * count + 2 + confidence_bins(confidence, bins), confidence - hit),
    ]
    rows = np.concatenate([places for _, places, _ in entries])
    numbers = np.concatenate(
        [np.ones(len(which)) if one is None else one for which, _, one in entries]
    )
    groups = predictions.groups[np.concatenate([which for which, *_ in entries])]
    return counter(rows, groups, (3 * count + 2 + bins, predictions.num_groups), numbers)


def _linear_scores(sums: _Floats, class_weights: _Floats) -> dict[_Part, _Floats]:
    """Compute what needs no order of the images from the sums of `_linear` (3 K + 2 + bins, R)."""
    count = len(class_weights)
    true, said, hit = sums[: 3 * count].reshape(3, count, -1)
    total = true.sum(axis=0)
    loss, brier, gaps = sums[3 * count], sums[3 * count + 1], sums[3 * count + 2 :]
    rejected = total - true - said + hit  # true negatives
    by_class = {
        "sensitivity": hit / true,
        "specificity": rejected / (total - true),
        "ppv": hit / said,
        "npv": rejected / (total - said),
        "f1": np.where(true > 0, 2 * hit / (true + said), np.nan),
    }
    found = {(name, k): row[k] for name, row in by_class.items() for k in range(count)}
    found["balanced_accuracy", -1] = class_weights @ hit / (class_weights @ true)
    found["accuracy", -1] = hit.sum(axis=0) / total
    found["log_loss", -1], found["brier", -1] = loss / total, brier / total
    found["ece", -1] = np.abs(gaps).sum(axis=0) / total
    return found


def _contributions(sums: _Floats, class_weights: _Floats) -> dict[_Part, _Floats]:
    """Compute what each group adds to the scores in `SUMS` from its sums of `_linear`."""
    count = len(class_weights)
    true, said, hit = sums[: 3 * count].reshape(3, count, -1)
    images, total = true.sum(axis=1), true.sum()
    rejected = true.sum(axis=0) - true - said + hit
    found = {("sensitivity", k): hit[k] / images[k] for k in range(count)}
    found |= {("specificity", k): rejected[k] / (total - images[k]) for k in range(count)}
    found["balanced_accuracy", -1] = class_weights @ hit / (class_weights @ images)
    found["accuracy", -1] = hit.sum(axis=0) / total
    found["log_loss", -1], found["brier", -1] = sums[3 * count : 3 * count + 2] / total
    return found

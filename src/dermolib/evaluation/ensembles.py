"""Ensembles: means of the predictions of several models, and which models to take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from dermolib._validation import check_choice, check_number, listed, require
from dermolib.datasets.splits import grouped_split
from dermolib.evaluation.predictions import (
    Predictions,
    as_probabilities,
    in_one_order,
    order_columns,
    read_predictions,
)
from dermolib.evaluation.statistics import statistic
from dermolib.labels import LabelSpace, as_label_space, known_label_space

__all__ = ["Ensemble", "average_predictions", "select_ensemble"]

_MEANS = ("arithmetic", "geometric", "rank")
_LOWER_IS_BETTER = ("log_loss", "brier", "ece")
_SMALLEST = 1e-12  # a lower probability counts as this in a geometric mean

_Floats: TypeAlias = npt.NDArray[np.float64]
_Score: TypeAlias = Callable[[_Floats, Any], float]
_Models: TypeAlias = "Sequence[Any] | Mapping[str, Any]"


def average_predictions(
    predictions: _Models,
    *,
    how: str = "arithmetic",
    weights: "Sequence[float] | Mapping[str, float] | None" = None,
) -> _Floats:
    """Average the probabilities of several models for the same images.

    A row of NaN says that a model has not predicted an image, such as one that it was trained on:
    the mean is then over the other models, with their weights.

    Args:
        predictions: Probabilities (N, K) of each model, arrays, tensors or data frames, in a list
            or by the names of the models.
        how: ``"arithmetic"`` is the mean of the probabilities. ``"geometric"`` is that of their
            logarithms, so that a class needs some probability of all models. ``"rank"`` is that of
            the ranks, 0..1, of the images by the probability of each class, for models whose
            probabilities are not comparable; it depends on which images are ranked together and
            forgets how common classes are. Rows of the last two are normalized to sum to 1.
        weights: Weight of each model, 0 or more, at least one above 0, in the order of the models
            or by name (names of a list are ``"0"``, ``"1"``, ...; one that is not among them has
            weight 0); None weighs them equally.

    Returns:
        Probabilities (N, K), rows of sum 1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no model, shapes differ, a value is no probability or NaN beside
            others in a row, no model of weight above 0 has predicted an image, or `weights` or
            `how` are unfit.

    Examples:
        >>> first, second = [[0.9, 0.1], [0.5, 0.5]], [[0.5, 0.5], [np.nan, np.nan]]
        >>> average_predictions([first, second])
        array([[0.7, 0.3],
               [0.5, 0.5]])
        >>> average_predictions([first, second], how="geometric")[0].round(2)
        array([0.75, 0.25])
    """
    check_choice(how, "how", _MEANS)
    names, stacked = _stacked(predictions)
    factors = _weights(weights, names)
    known = ~np.isnan(stacked[:, :, 0])
    total = factors @ known
    rows = np.flatnonzero(total == 0)
    got = f"none for {len(rows):,} (first: {listed(rows, most=3)})"
    what, hint = "models of which one or more have predicted each image", "Leave these images out."
    require(not len(rows), "predictions", what, got, hint)
    terms = np.where(known[:, :, None], _terms(stacked, how), 0.0)
    mean = np.einsum("m,mnk->nk", factors, terms) / total[:, None]
    if how == "geometric":
        mean = np.exp(mean)
    elif how == "rank":
        mean = mean.round(12)  # equal means stay equal
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """An ensemble that `select_ensemble` chose, and what to expect of it.

    Attributes:
        weights: Weight of each model by its name, together 1; 0 for one that was not chosen.
        picks: Names of the models as they were chosen, one after another.
        metric: Name of the score.
        score: Honest estimate: the score of `probabilities`.
        optimistic_score: Score of the ensemble on the images that it was chosen on.
        best_model: Model with the highest score alone.
        best_score: Honest estimate of taking the best model alone, in the same way as `score`.
        probabilities: Probabilities (N, K) of each image by an ensemble that was chosen without
            its fold; they go into `dermolib.evaluation.score`.
    """

    weights: dict[str, float]
    picks: tuple[str, ...]
    metric: str
    score: float
    optimistic_score: float
    best_model: str
    best_score: float
    probabilities: _Floats

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the chosen models, in the order of the models."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    def __str__(self) -> str:
        """Give the weights and the scores, the honest one first."""
        parts = ", ".join(f"{name} {self.weights[name]:.3g}" for name in self.names)
        return (
            f"{self.metric} {self.score:.4f}, cross-validated "
            f"({self.optimistic_score:.4f} on the images used for selection; "
            f"the best model alone {self.best_score:.4f}): {parts}"
        )


def select_ensemble(
    predictions: _Models,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    metric: "str | Callable[[Any, Any], float]" = "balanced_accuracy",
    size: int = 20,
    folds: int = 5,
    seed: int = 0,
) -> Ensemble:
    """Choose an ensemble by greedy forward selection with replacement.

    From none, the model is added, again and again, with which the mean of the probabilities has the
    highest score, the first of equals; a model may be added several times. Of the ensembles on the
    way the best is taken, the smallest of equals. Its score on the images that chose it is too
    good. The honest estimate repeats the choice without each fold of the images, split by group,
    and scores what these ensembles say of the fold that had no part in their choice.

    The predictions have to be of images that no model was trained on, as those of
    `dermolib.evaluation.cross_validate` are.

    Args:
        predictions: Probabilities (N, K) of each model, in a list or by name, as in
            `average_predictions`; each model has predicted each image.
        target: True classes (N,), or a data set, as in `dermolib.evaluation.score`.
        groups: Group of each image (N,), such as its lesion; None makes each image a group, unless
            the target is a data set.
        label_space: Classes of the target, where it has codes.
        metric: Name of a score, such as ``"roc_auc:MEL"``, or a function of probabilities (N, K)
            and target (N,) of which a higher value is better.
        size: Most models that are added, 1 or more.
        folds: Number of folds of the estimate, 2 or more.
        seed: Seed of the folds, 0 or more.

    Returns:
        The ensemble; ``average_predictions(others, weights=ensemble.weights)`` applies it.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Predictions are unfit or missing, an argument is out of range, there are fewer
            groups than folds, or the score is undefined for all models.

    References:
        Caruana et al., Ensemble selection from libraries of models, ICML 2004,
        https://doi.org/10.1145/1015330.1015432.

    Examples:
        >>> target = np.tile([0, 1], 10)
        >>> right = np.eye(2)[target] * 0.8 + 0.1
        >>> models = {"wrong": 1 - right, "right": right}
        >>> ensemble = select_ensemble(models, target)
        >>> ensemble.weights, ensemble.score
        ({'wrong': 0.0, 'right': 1.0}, 1.0)
    """
    check_number(size, "size", low=1, integer=True)
    check_number(folds, "folds", low=2, integer=True)
    named, label_space = _named(predictions), _classes(predictions, target, label_space)
    given = [*named.items(), ("target", target), ("groups", groups)]
    *models, target, groups = in_one_order(given)
    codes = None if label_space is None else as_label_space(label_space).codes
    names, stacked = _stacked(dict(zip(named, models, strict=True)), whole=True, codes=codes)
    first = read_predictions(stacked[0], target, groups, label_space)
    what = f"up to {first.num_groups}, the number of groups"
    require(folds <= first.num_groups, "folds", what, folds)
    score = _scorer(metric, first)
    alone = np.array([score(one, first.target) for one in stacked])
    what, got = "a score that is defined for one or more models", f"{metric!r}, which is NaN"
    require(not np.isnan(alone).all(), "metric", what, got)
    picks = _picked(stacked, first.target, score, size)
    crossed, single = np.empty_like(stacked[0]), np.empty_like(stacked[0])
    table = pd.DataFrame({"label": first.target, "lesion": first.groups.astype(str)})
    for rows, fold in grouped_split(table, folds=folds, seed=seed).rounds():
        others, target_of = stacked[:, rows], first.target[rows]
        crossed[fold] = stacked[_picked(others, target_of, score, size)][:, fold].mean(axis=0)
        single[fold] = stacked[_picked(others, target_of, score, 1)[0], fold]
    counts = np.bincount(picks, minlength=len(names)) / len(picks)
    sign = _sign(metric)
    return Ensemble(
        weights=dict(zip(names, counts.tolist(), strict=True)),
        picks=tuple(names[place] for place in picks),
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "score"),
        score=sign * score(crossed, first.target),
        optimistic_score=sign * score(stacked[picks].mean(axis=0), first.target),
        best_model=names[int(np.nanargmax(alone))],
        best_score=sign * score(single, first.target),
        probabilities=crossed,
    )


def _picked(stacked: _Floats, target: Any, score: _Score, size: int) -> list[int]:
    """Choose models one after another; returns the beginning of the list with the best score."""
    total = np.zeros_like(stacked[0])
    picks: list[int] = []
    scores: list[float] = []
    for count in range(1, size + 1):
        found = [score((total + one) / count, target) for one in stacked]
        best = int(np.argmax(np.nan_to_num(found, nan=-np.inf)))
        total += stacked[best]
        picks.append(best)
        scores.append(found[best])
    return picks[: int(np.argmax(np.nan_to_num(scores, nan=-np.inf))) + 1]


def _scorer(metric: Any, predictions: Predictions) -> _Score:
    """Make a function of probabilities and target of which a higher value is better."""
    if callable(metric):
        return lambda values, target: _number(metric(values, target))
    sign = _sign(metric)
    found = statistic(predictions, metric).columns
    what, hint = "a score with one value", f"Name a class: `{metric}:{predictions.codes[0]}`."
    require(len(found) == 1, "metric", what, f"{metric!r}, one for each class", hint)

    def score(values: _Floats, target: Any) -> float:
        together = np.zeros(len(target), np.intp)  # one group, as nothing is resampled
        changed: dict[str, Any] = {"probabilities": values, "target": target}
        one = replace(predictions, **changed, groups=together, num_groups=1)
        return sign * float(statistic(one, metric).values[0])

    return score


def _number(value: Any) -> float:
    """Take the number that a metric returns."""
    got = f"a {type(value).__name__}"
    what = "a function of probabilities and target that returns a number"
    fits = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"
    require(fits, "metric", what, got, error=TypeError)
    return float(value)


def _sign(metric: Any) -> int:
    return -1 if metric in _LOWER_IS_BETTER else 1


def _named(predictions: Any) -> dict[str, Any]:
    """Name the predictions of models."""
    by_name = isinstance(predictions, Mapping)
    what = "a list of predictions, or a dictionary of them"
    fits = by_name or isinstance(predictions, (list, tuple))
    require(fits, "predictions", what, f"a {type(predictions).__name__}", error=TypeError)
    require(len(predictions), "predictions", "those of one model or more", "none")
    names = [str(name) for name in (predictions if by_name else range(len(predictions)))]
    different = len({*names}) == len(names)
    require(different, "predictions", "models of different names", listed(names))
    return dict(zip(names, predictions.values() if by_name else predictions, strict=True))


def _classes(predictions: Any, target: Any, label_space: Any) -> Any:
    """Find the classes: those given, of the data set, or the columns of a data frame."""
    label_space = known_label_space(target) if label_space is None else label_space
    frames = [one for one in _named(predictions).values() if isinstance(one, pd.DataFrame)]
    several = [[*map(str, one)] for one in frames if one.shape[1] > 1]
    return several[0] if label_space is None and several else label_space


def _stacked(
    predictions: Any, *, whole: bool = False, codes: Sequence[str] | None = None
) -> tuple[list[str], _Floats]:
    """Check models and stack their probabilities (M, N, K); rows of NaN stay, unless refused."""
    named = _named(predictions)
    names = [*named]
    models = _in_one_order(in_one_order([*named.items()]), codes)
    checked = [
        _checked(one, f"predictions[{name}]", whole=whole)
        for name, one in zip(names, models, strict=True)
    ]
    got = f"shapes {listed(dict.fromkeys(one.shape for one in checked))}"
    fits = len({one.shape for one in checked}) == 1
    require(fits, "predictions", "of the same images and classes", got)
    return names, np.stack(checked)


def _in_one_order(models: Sequence[Any], codes: Sequence[str] | None = None) -> list[Any]:
    """Put the columns of data frames in the order of the classes, or of the first of them."""
    if codes is not None:
        space = LabelSpace(codes)
        return [
            order_columns(one, space, "predictions")[0]
            if isinstance(one, pd.DataFrame) and one.shape[1] > 1
            else one
            for one in models
        ]
    frames = [one for one in models if isinstance(one, pd.DataFrame)]
    for frame in frames:
        got = f"{listed(frames[0])} and {listed(frame)}"
        fits = sorted(map(str, frame)) == sorted(map(str, frames[0]))
        require(fits, "predictions", "data frames with the same columns", got)
    return [one[list(frames[0])] if isinstance(one, pd.DataFrame) else one for one in models]


def _checked(given: Any, name: str, *, whole: bool) -> _Floats:
    """Check the probabilities of a model; unless they are whole, rows of NaN may be among them."""
    given = given.detach().cpu().double().numpy() if hasattr(given, "detach") else given
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):  # which is worded there
        return as_probabilities(given, name)
    missing = np.isnan(values.reshape(len(values), -1)).all(axis=1) if values.size else None
    if whole or missing is None or not missing.any() or missing.all():
        return as_probabilities(given, name)
    known = as_probabilities(values[~missing], name)
    every = np.full((len(values), known.shape[1]), np.nan)
    every[~missing] = known
    return every


def _weights(weights: Any, names: list[str]) -> _Floats:
    """Put the weights in the order of the models."""
    if weights is None:
        return np.ones(len(names))
    if isinstance(weights, Mapping):
        unknown = [name for name in map(str, weights) if name not in names]
        hint = f"The models are {listed(names)}."
        require(not unknown, "weights", "weights of the models", listed(unknown), hint)
        by_name = {str(name): weight for name, weight in weights.items()}
        weights = [by_name.get(name, 0.0) for name in names]
    found = np.asarray(weights)
    what = f"{len(names)} finite weights of 0 or more, at least one above 0"
    numbers = found.dtype.kind in "iuf"
    require(numbers, "weights", what, f"dtype {found.dtype}", error=TypeError)
    fits = found.shape == (len(names),) and np.isfinite(found).all() and (found >= 0).all()
    require(fits and found.any(), "weights", what, found.tolist())
    return found.astype(np.float64)


def _terms(stacked: _Floats, how: str) -> _Floats:
    """Turn probabilities (M, N, K) into what is averaged."""
    if how == "geometric":
        return np.log(np.maximum(stacked, _SMALLEST))
    if how == "rank":
        known = (~np.isnan(stacked)).sum(axis=1, keepdims=True)
        ranks = rankdata(stacked, axis=1, nan_policy="omit")
        return np.asarray((ranks - 0.5) / np.maximum(known, 1))
    return stacked

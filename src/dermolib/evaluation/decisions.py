"""From probabilities to classes: decisions for any weights or costs, and for another prior."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, check_number, check_type, require, warn
from dermolib.evaluation.predictions import as_array, as_probabilities, read_predictions
from dermolib.evaluation.scaling import grouped_folds
from dermolib.evaluation.scores import score

__all__ = [
    "adjust_prior",
    "choose_power",
    "compare_decisions",
    "cross_decide",
    "decide",
    "estimate_prior",
]

_POWERS = tuple((np.arange(21) / 20).tolist())
_ROUNDS = 2_000
_CLOSE = 1e-9
_STRONGEST = 10  # a higher power leaves the rarest class alone, and overflows
_Floats = npt.NDArray[np.float64]


def decide(
    probabilities: Any,
    weights: Any = None,
    *,
    prior: Any = None,
    power: float = 1.0,
    costs: Any = None,
    values: str = "probabilities",
) -> Indices:
    """Choose the class of each image that is best on average, if the probabilities are calibrated.

    Give one of `weights`, `prior` and `costs`; without any, the most likely class is chosen, which
    is best for accuracy. An exact tie goes to the first class.

    Args:
        probabilities: Probabilities (N, K), see `score`; calibrated ones, as by
            `TemperatureScaling`.
        weights: What a right answer in each class is worth (K,), 0 or more: chooses the highest
            probability times weight, which is best for the weighted accuracy.
        prior: Fraction of each class among the images that the probabilities were calibrated on, or
            its count (K,), above 0: the weights are 1 / prior, best for the balanced accuracy.
        power: Power of the prior, as from `choose_power`: the weights are 1 / prior ** power. Less
            than 1 where training evened the classes out in part.
        costs: What each decision costs (K, K), in any unit, true classes as rows and decisions as
            columns: chooses the lowest expected cost.
        values: What the values are, see `score`.

    Returns:
        Classes (N,), 0..K-1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or several of the three are given.

    References:
        Elkan, The foundations of cost-sensitive learning, IJCAI 2001,
        https://dl.acm.org/doi/10.5555/1642194.1642224; Menon et al., Long-tail learning via logit
        adjustment, 2021, https://doi.org/10.48550/arXiv.2007.07314 (prior and power).

    Examples:
        A melanoma (the second class) that is missed costs ten times what a false alarm does:

        >>> probabilities = [[0.95, 0.05], [0.85, 0.15], [0.4, 0.6]]
        >>> decide(probabilities).tolist()
        [0, 0, 1]
        >>> decide(probabilities, costs=[[0, 1], [10, 0]]).tolist()
        [0, 1, 1]
        >>> decide(probabilities, prior=[900, 100]).tolist()
        [0, 1, 1]
    """
    found = as_probabilities(probabilities, values=values)
    several = sum(one is not None for one in (weights, prior, costs))
    require(several < 2, "weights", "given without `prior` and `costs`", f"{several} of the three")
    check_number(power, "power", low=-_STRONGEST, high=_STRONGEST)
    what = "1 without `prior`"
    require(prior is not None or power == 1, "power", what, power)
    count = found.shape[1]
    if costs is not None:
        table = as_array(costs, "costs")
        _check_numbers(table, "costs", (count, count), "of each decision (columns) for each class")
        return np.asarray((found @ table.astype(np.float64)).argmin(axis=1))
    if prior is not None:
        return np.asarray((found * _prior(prior, "prior", count) ** -power).argmax(axis=1))
    worth = np.ones(count) if weights is None else as_array(weights, "weights")
    _check_numbers(worth, "weights", (count,), "of 0 or more, one for each class")
    require((worth >= 0).all() and worth.any(), "weights", "0 or more, not all of them 0", worth)
    return np.asarray((found * worth).argmax(axis=1))


def adjust_prior(
    probabilities: Any, old: Any, new: Any, *, values: str = "probabilities"
) -> _Floats:
    """Move probabilities to a clinic where the classes are as frequent as `new` says.

    This is Bayes' rule, where images of a class look the same in both places.

    Args:
        probabilities: Probabilities (N, K), calibrated where the classes are as in `old`.
        old: Fraction or count of each class (K,), above 0, where the model was calibrated.
        new: The same for the other place, 0 or more, as from `estimate_prior`.
        values: What the values are, see `score`.

    Returns:
        Probabilities (N, K).

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or an image has no class left.

    References:
        Saerens et al., Adjusting the outputs of a classifier to new a priori probabilities, Neural
        Computation 14, 2002, https://doi.org/10.1162/089976602753284446.

    Examples:
        Melanomas are 10 of 100 here and 1 of 100 there:

        >>> adjust_prior([[0.5, 0.5]], old=[0.9, 0.1], new=[0.99, 0.01]).round(4).tolist()
        [[0.9167, 0.0833]]
    """
    found = as_probabilities(probabilities, values=values)
    before = _prior(old, "old", found.shape[1])
    return _adjusted(found, before, _prior(new, "new", found.shape[1], least=0))


def estimate_prior(probabilities: Any, old: Any, *, values: str = "probabilities") -> _Floats:
    """Estimate how frequent the classes are in another clinic, from its images without labels.

    This maximizes the likelihood by Saerens' algorithm (EM). It wants calibrated probabilities and
    images of each class that look the same in both places; otherwise rare classes are
    underestimated. You must ensure the first; the second cannot be seen from probabilities.

    Args:
        probabilities: Probabilities (N, K) of the other place, calibrated where classes are as
            in `old`.
        old: Fraction or count of each class (K,), above 0, where the model was calibrated.
        values: What the values are, see `score`.

    Returns:
        Fraction of each class (K,).

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused.

    References:
        Saerens et al., 2002, see `adjust_prior`; Alexandari et al., Maximum likelihood with
        bias-corrected calibration is hard-to-beat at label shift adaptation, ICML 2020,
        https://doi.org/10.48550/arXiv.1901.06852.

    Examples:
        Of ten images, eight surely of the first class:

        >>> probabilities = [[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 2
        >>> estimate_prior(probabilities, old=[0.5, 0.5]).round(4).tolist()
        [0.8, 0.2]
    """
    found = as_probabilities(probabilities, values=values)
    before = _prior(old, "old", found.shape[1])
    prior = before
    for _ in range(_ROUNDS):
        latest = _adjusted(found, before, prior).mean(axis=0)
        moved = np.abs(latest - prior).max()
        prior = latest
        if moved < _CLOSE:
            return np.asarray(prior)
    warn(f"The prior still moves by {moved:.1g} after {_ROUNDS:,} rounds: classes look the same.")
    return np.asarray(prior)


def choose_power(
    probabilities: Any,
    target: Any,
    prior: Any,
    *,
    label_space: Any = None,
    values: str = "probabilities",
) -> float:
    """Choose the exponent of the prior in `decide` that gives the best balanced accuracy.

    Powers 0, 0.05, ..., 1 are tried; scores are averaged over five neighbors, and the lowest of
    the best is taken. What was chosen on some images is too good on the same ones: see
    `cross_decide`.

    Args:
        probabilities: Probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        prior: Fraction or count of each class (K,) in training, above 0.
        label_space: Classes, see `score`.
        values: What the values are, see `score`.

    Returns:
        The power, 0..1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused.

    Examples:
        >>> probabilities = np.tile([[0.9, 0.1], [0.7, 0.3]], (10, 1))
        >>> choose_power(probabilities, np.tile([0, 1], 10), prior=[80, 20])
        0.75
    """
    given = read_predictions(probabilities, target, None, label_space, values=values)
    return _best_power(given.probabilities, given.target, _prior(prior, "prior", len(given.codes)))


def cross_decide(
    probabilities: Any,
    target: Any,
    prior: Any,
    *,
    groups: Any = None,
    folds: int = 5,
    seed: int = 0,
    label_space: Any = None,
    values: str = "probabilities",
) -> Indices:
    """Decide each fold with the power of the prior that is best on the other folds.

    So the score of the decisions is honest for a rule whose power is chosen on all images.

    Args:
        probabilities: Probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        prior: Fraction or count of each class (K,) in training, above 0.
        groups: Group of each image (N,), such as its lesion, that is never split.
        folds: Number of folds, 2 or more.
        seed: Seed of the folds, 0 or more.
        label_space: Classes, see `score`.
        values: What the values are, see `score`.

    Returns:
        Classes (N,), 0..K-1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or there are fewer groups than folds.

    Examples:
        >>> probabilities = np.tile([[0.9, 0.1], [0.7, 0.3]], (10, 1))
        >>> cross_decide(probabilities, np.tile([0, 1], 10), prior=[80, 20])[:4].tolist()
        [0, 1, 0, 1]
    """
    given = read_predictions(probabilities, target, groups, label_space, values=values)
    fractions = _prior(prior, "prior", len(given.codes))
    chosen = np.zeros(len(given), np.intp)
    for rows in grouped_folds(given.groups, folds, seed):
        rest = given.take(np.setdiff1d(np.arange(len(given)), rows))
        power = _best_power(rest.probabilities, rest.target, fractions)
        chosen[rows] = (given.probabilities[rows] * fractions**-power).argmax(axis=1)
    return chosen


def compare_decisions(
    probabilities: Any,
    target: Any,
    rules: Mapping[str, Any],
    *,
    groups: Any = None,
    label_space: Any = None,
    values: str = "probabilities",
    **options: Any,
) -> pd.DataFrame:
    """Score several decisions on the same images: what one of them gains and costs elsewhere.

    Args:
        probabilities: Probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        rules: For each name of a rule the options of `decide`, such as ``{"prior": counts}`` or
            ``{}``, or the chosen classes (N,), as from `cross_decide`.
        groups: Group of each image (N,), such as its lesion.
        label_space: Classes, see `score`.
        values: What the values are, see `score`.
        options: Options of `score`, such as ``resamples``.

    Returns:
        The tables of `score` of all rules, with the column ``rule`` first, without scores that need
        probabilities.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or there is no rule.

    Examples:
        >>> probabilities = np.tile([[0.9, 0.1], [0.7, 0.3], [0.9, 0.1], [0.7, 0.3]], (10, 1))
        >>> rules = {"most likely": {}, "balanced": {"prior": [0.8, 0.2]}}
        >>> table = compare_decisions(probabilities, np.tile([0, 1, 0, 0], 10), rules)
        >>> table[table["class"].eq("1") & table["metric"].eq("sensitivity")]["value"].tolist()
        [0.0, 1.0]
    """
    what = "options of `decide`, or classes (N,), by the name of each rule"
    check_type(rules, "rules", Mapping, what)
    require(rules, "rules", what, "none")
    given = read_predictions(probabilities, target, groups, label_space, values=values)
    tables = []
    for name, rule in rules.items():
        chosen = rule
        if isinstance(rule, Mapping):
            chosen = decide(given.probabilities, **{"values": "independent", **rule})
        scores = score(
            chosen, given.target, groups=given.groups, label_space=given.codes, **options
        )
        table = scores.table
        table.insert(0, "rule", str(name))
        tables.append(table[~table["reason"].str.startswith("needs probabilities")])
    return pd.concat(tables, ignore_index=True)


def _best_power(found: _Floats, target: Indices, prior: _Floats) -> float:
    """Find the power of the best balanced accuracy, smoothed over neighbors."""
    recalls = 1 / np.bincount(target, minlength=len(prior))[target]
    scores = [recalls[(found * prior**-power).argmax(axis=1) == target].sum() for power in _POWERS]
    smooth = np.convolve(np.pad(scores, 2, mode="edge"), np.ones(5), mode="valid")
    return float(_POWERS[int((smooth > smooth.max() - 1e-9).argmax())])


def _adjusted(found: _Floats, old: _Floats, new: _Floats) -> _Floats:
    """Multiply by the ratio of the priors."""
    moved = found * (new / old)
    sums = moved.sum(axis=1, keepdims=True)
    what = "above 0 for a class that each image may be of"
    require((sums > 0).all(), "new", what, f"0 for all of {int((sums == 0).sum()):,} images")
    return np.asarray(moved / sums)


def _prior(given: Any, name: str, count: int, *, least: float | None = None) -> _Floats:
    """Check fractions or counts of classes (K,), and make them sum to 1."""
    found = as_array(given, name)
    _check_numbers(found, name, (count,), "a fraction or count of each class")
    fits = (found > 0).all() if least is None else (found >= least).all() and found.sum() > 0
    what = "numbers above 0" if least is None else "numbers of 0 or more, not all of them 0"
    require(fits, name, what, found)
    return np.asarray(found / found.sum(), np.float64)


def _check_numbers(found: npt.NDArray[Any], name: str, shape: tuple[int, ...], what: str) -> None:
    """Refuse what is not finite numbers of a shape."""
    what = f"numbers {shape}, {what}"
    require(found.dtype.kind in "iuf", name, what, f"dtype {found.dtype}", error=TypeError)
    require(found.shape == shape, name, what, f"shape {found.shape}")
    require(np.isfinite(found).all(), name, f"finite {what}", found)

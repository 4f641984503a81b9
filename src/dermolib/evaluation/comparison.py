"""Comparison of models on the same images, paired by lesion."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from dermolib._validation import check_choice, check_number, check_type, expected, listed, require
from dermolib.evaluation.delong import auc_difference, count_groups, p_value_of
from dermolib.evaluation.intervals import interval_ends
from dermolib.evaluation.permutation import flip_signs, swap_groups
from dermolib.evaluation.predictions import Predictions
from dermolib.evaluation.resampling import Weights, jackknife, replicates
from dermolib.evaluation.same_images import read_models
from dermolib.evaluation.smoothing import borrow_groups
from dermolib.evaluation.statistics import SUMS, ScoreStatistic, predicted_classes, statistic
from dermolib.evaluation.support import FEW_GROUPS

__all__ = ["Comparison", "McNemar", "compare", "compare_all", "holm", "mcnemar"]

_AREAS = ("roc_auc", "macro_roc_auc")
_RANKED = (
    *("average_precision", "macro_average_precision", "pauc"),
    *("specificity_at_sensitivity", "sensitivity_at_specificity"),
)

_MANY_GROUPS = 30  # from which the areas of a class are close to normal, see benchmarks/null.py

_Floats: TypeAlias = npt.NDArray[np.float64]
_Models: TypeAlias = dict[str, Predictions]


@dataclass(frozen=True)
class Comparison:
    """A score of two models on the same images, and how sure its difference is.

    Attributes:
        metric: Name of the score.
        difference: Score of `a` minus that of `b`.
        low: Low end of the interval of the difference.
        high: High end.
        p_value: Two-sided p-value of no difference, above 0.
        a: Score of the first model.
        b: Score of the second.
        level: Level of the interval.
        n: Number of images.
        groups: Number of groups.
        test: What the p-value is from.
        p_error: Monte Carlo standard error of the p-value, 0 where nothing is drawn.
        few: Whether fewer than 10 groups are behind a part of the score, such as those of a rare
            class; the interval may then be too narrow.
        margin: Difference that would not matter, if one was given.
        equivalence: Interval of level 2 level - 1, which equivalence is judged by, with a margin.
    """

    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    a: float
    b: float
    level: float
    n: int
    groups: int
    test: str
    p_error: float
    few: bool = False
    margin: float | None = None
    equivalence: tuple[float, float] | None = None

    @property
    def equivalent(self) -> bool | None:
        """Whether the models are equivalent within the margin; None without one."""
        if self.margin is None or self.equivalence is None:
            return None
        low, high = self.equivalence
        return -self.margin < low and high < self.margin

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name."""
        interval = None if self.equivalence is None else [*self.equivalence]
        return asdict(self) | {"equivalence": interval, "equivalent": self.equivalent}

    def to_json(self) -> str:
        """Return all numbers as JSON, those that are undefined as null."""
        found = self.to_dict().items()
        plain = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in found}
        return json.dumps(plain)

    def __str__(self) -> str:
        """Say what was found."""
        way = "higher" if self.difference > 0 else "lower"
        differs = abs(self.difference) > 0
        what = f"is {abs(self.difference):.3f} {way} for a than for b" if differs else "is the same"
        error = f" ± {self.p_error:.2g}" if self.p_error else ""
        sentence = (
            f"{self.metric} {what} ({self.a:.3f} and {self.b:.3f}; {100 * self.level:g} % interval "
            f"of the difference {self.low:+.3f}..{self.high:+.3f}), {_p_text(self.p_value)}{error} "
            f"by {self.test}, {self.n:,} images of {self.groups:,} groups."
        )
        return " ".join(filter(None, [sentence, self._equivalence_text(), self._few_text()]))

    def _equivalence_text(self) -> str:
        if self.equivalence is None:
            return ""
        low, high = self.equivalence
        what = "The two are equivalent" if self.equivalent else "Equivalence is not shown"
        interval = f"the {200 * self.level - 100:g} % interval is {low:+.3f}..{high:+.3f}"
        return f"{what} within ±{self.margin:g}: {interval}."

    def _few_text(self) -> str:
        what = f"Fewer than {FEW_GROUPS} groups are behind a part of the score"
        return f"{what}: the interval may be too narrow." if self.few else ""


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models, by group.

    Attributes:
        only_a: Number of images that `a` alone classifies correctly.
        only_b: Number of images that `b` alone classifies correctly.
        chi2: Statistic of Yang et al., which has one degree of freedom; NaN without a difference.
        p_value: Exact two-sided p-value, by group.
        n: Number of images.
        groups: Number of groups.
    """

    only_a: int
    only_b: int
    chi2: float
    p_value: float
    n: int
    groups: int

    def __str__(self) -> str:
        """Say what was found."""
        return (
            f"a alone is right on {self.only_a:,} images, b alone on {self.only_b:,}: "
            f"{_p_text(self.p_value)}, {self.n:,} images of {self.groups:,} groups."
        )


def compare(
    a: Any,
    b: Any,
    target: Any,
    *,
    groups: Any = None,
    metric: str = "balanced_accuracy",
    label_space: Any = None,
    values: str = "probabilities",
    margin: float | None = None,
    resamples: int = 2000,
    permutations: int = 20_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare a score of two models on the same images, paired by lesion.

    The interval resamples groups, the same for both models (``"smoothed"``, see
    `dermolib.evaluation.score`, without a correction of skewness). The p-value does not come from
    these resamples. It is that of a permutation test, in which the predictions of the two models
    for a whole group are swapped or not: exact where the permutations can be enumerated, otherwise
    of `permutations` draws. Scores that rank images are tested with ranks in place of
    probabilities, so that the models need not have the same scale. Areas under ROC curves are
    tested by the method of DeLong et al., clustered by group, or where a class has fewer than 30
    groups by permutation of ranks.

    Args:
        a: Predictions of one model, as for `dermolib.evaluation.score`. Data frames and columns
            whose index holds ids are put in the same order; others are taken row by row.
        b: Predictions of the other.
        target: True classes (N,), or a data set.
        groups: Group of each image (N,), such as its lesion; one whose group is missing is a group
            of its own. None takes those of the data set, or makes each image a group.
        metric: Name of a score in `dermolib.evaluation.score`; one of a class has its code after a
            colon, such as ``"roc_auc:MEL"``.
        label_space: Classes, as for `dermolib.datasets.ISICDataset`.
        values: ``"probabilities"``, ``"logits"`` or ``"independent"``.
        margin: Difference that would not matter, above 0; the models are equivalent if the interval
            of level 2 level - 1 lies within it, which is two one-sided tests.
        resamples: Number of resamples of the groups, 1 or more.
        permutations: Number of permutations where not all are enumerated, 1 or more.
        level: Level of the interval, above 0 and below 1; above 0.5 with a margin.
        seed: Seed of resamples and permutations, 0 or more.

    Returns:
        Difference with interval and p-value.

    Raises:
        TypeError: An argument is of another type.
        ValueError: The models are of different images, a value is missing or out of range, the
            metric is unknown or undefined here, or all images are of one group.

    References:
        Field and Welsh, Bootstrapping clustered data, 2007,
        https://doi.org/10.1111/j.1467-9868.2007.00593.x. Phipson and Smyth, Permutation p-values
        should never be zero, 2010, https://doi.org/10.2202/1544-6115.1585. Venkatraman and Begg,
        A distribution-free procedure for comparing receiver operating characteristic curves from a
        paired experiment, 1996, https://doi.org/10.1093/biomet/83.4.835. Bandos, Rockette and Gur,
        A permutation test sensitive to differences in areas for comparing ROC curves from a paired
        design, 2005, https://doi.org/10.1002/sim.2149. Obuchowski, Nonparametric
        analysis of clustered ROC curve data, 1997, https://doi.org/10.2307/2533958. Schuirmann, A
        comparison of the two one-sided tests procedure, 1987, https://doi.org/10.1007/BF01068419.

    Examples:
        >>> target = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> found = compare([0, 0, 0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1, 0, 0], target)
        >>> found.difference, found.p_value  # b is wrong on four images that a has right
        (0.5, 0.125)
    """
    options = _Options(metric, margin, resamples, permutations, level, seed)
    models = read_models({"a": a, "b": b}, target, groups, label_space, values)
    return _compare(models, [("a", "b")], options)[0]


def compare_all(
    models: Mapping[str, Any],
    target: Any,
    *,
    against: str | None = None,
    groups: Any = None,
    metric: str = "balanced_accuracy",
    label_space: Any = None,
    values: str = "probabilities",
    margin: float | None = None,
    resamples: int = 2000,
    permutations: int = 20_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a score of several models in pairs, with p-values corrected for their number.

    Args:
        models: Predictions of two models or more by name; see `compare` for these and all other
            arguments.
        target: True classes (N,), or a data set.
        against: Name of the model that the others are compared with; None compares all pairs.
        groups: Group of each image (N,).
        metric: Name of a score.
        label_space: Classes.
        values: What the predictions are.
        margin: Difference that would not matter.
        resamples: Number of resamples.
        permutations: Number of permutations.
        level: Level of each interval by itself; intervals are not corrected.
        seed: Seed.

    Returns:
        Table with a row for each pair, which has the names ``a`` and ``b``, their scores
        ``value_a`` and ``value_b``, ``difference``, ``low``, ``high``, ``p_value``, ``p_holm``
        (corrected after Holm), with a margin ``equivalent``, ``n`` and ``groups``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There are fewer than two models, `against` is none of them, or as for `compare`.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
        Statistics 6(2), 1979, https://www.jstor.org/stable/4615733.

    Examples:
        >>> target = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> models = {"ours": target, "old": [0, 1, 1, 1, 1, 1, 0, 0], "same": target}
        >>> table = compare_all(models, target, against="ours")
        >>> table[["a", "difference", "p_value", "p_holm"]].values.tolist()
        [['old', -0.625, 0.0625, 0.125], ['same', 0.0, 1.0, 1.0]]
    """
    options = _Options(metric, margin, resamples, permutations, level, seed)
    what = "predictions of two models or more by name"
    check_type(models, "models", Mapping, what)
    names = [str(name) for name in models]
    twice = len({*names}) < len(names)
    require(not twice, "models", "models of different names", listed(names))
    models = dict(zip(names, models.values(), strict=True))
    require(len(names) >= 2, "models", what, f"{len(names)}")
    if against is not None:
        against = str(against)
        check_choice(against, "against", names)
    read = read_models(models, target, groups, label_space, values)
    others = [(name, against) for name in names if name != against]
    pairs = [*itertools.combinations(names, 2)] if against is None else others
    found = _compare(read, pairs, options)  # type: ignore[arg-type] # `against` is a name here
    rows = []
    for (first, second), one in zip(pairs, found, strict=True):
        row = {"a": first, "b": second, "value_a": one.a, "value_b": one.b}
        rows.append(row | {k: getattr(one, k) for k in ("difference", "low", "high", "p_value")})
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p_value"].to_numpy())
    if margin is not None:
        table["equivalent"] = [one.equivalent for one in found]
    return table.assign(n=found[0].n, groups=found[0].groups)


def mcnemar(
    a: Any,
    b: Any,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    values: str = "probabilities",
    permutations: int = 20_000,
    seed: int = 0,
) -> McNemar:
    """Test by group whether two models are right equally often.

    With one image per group the p-value is that of the exact McNemar test. With several, the signs
    of how many more images of a group `a` has right are flipped in all ways; the variance of that
    is what the statistic of Yang et al. divides by.

    Args:
        a: Predictions of one model; see `compare` for all arguments.
        b: Predictions of the other.
        target: True classes (N,), or a data set.
        groups: Group of each image (N,).
        label_space: Classes.
        values: What the predictions are.
        permutations: Number of permutations in the rare case that not all are enumerated.
        seed: Seed of these.

    Returns:
        Counts, statistic and p-value.

    Raises:
        TypeError: An argument is of another type.
        ValueError: As for `compare`.

    References:
        Yang, Sun and Hardin, A note on the tests for clustered matched-pair binary data,
        Biometrical Journal 52(5), 2010, https://doi.org/10.1002/bimj.201000035.

    Examples:
        >>> found = mcnemar([1, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1])
        >>> found.only_a, found.only_b, found.chi2, found.p_value
        (4, 1, 1.8, 0.375)
        >>> lesions = ["a", "a", "b", "b", "c"]  # and of three lesions, two are better
        >>> found = mcnemar([1, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], groups=lesions)
        >>> found.p_value
        0.5
    """
    _check_draws(permutations, seed)
    read = read_models({"a": a, "b": b}, target, groups, label_space, values)
    truth, numbers = read["a"].target, read["a"].groups
    right = {k: predicted_classes(one.probabilities) == truth for k, one in read.items()}
    only_a, only_b = right["a"] & ~right["b"], right["b"] & ~right["a"]
    more = np.bincount(numbers, only_a.astype(np.float64) - only_b).astype(np.float64)
    p_value, _ = flip_signs(more, permutations=permutations, seed=seed)
    squares = float((more**2).sum())
    chi2 = float(more.sum() ** 2 / squares) if squares else np.nan
    counts = int(only_a.sum()), int(only_b.sum())
    return McNemar(*counts, chi2, p_value, len(truth), read["a"].num_groups)


class _Draws(TypedDict):
    """Options of a permutation test."""

    permutations: int
    seed: int


@dataclass(frozen=True)
class _Options:
    """Checked options of a comparison."""

    metric: str
    margin: float | None
    resamples: int
    permutations: int
    level: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse what is of another type or out of range."""
        check_type(self.metric, "metric", str, "the name of a score")
        check_number(self.resamples, "resamples", low=1, integer=True)
        _check_draws(self.permutations, self.seed)
        check_number(self.level, "level", above=0 if self.margin is None else 0.5, below=1)
        if self.margin is not None:
            check_number(self.margin, "margin", above=0, below=np.inf)


def _check_draws(permutations: int, seed: int) -> None:
    check_number(permutations, "permutations", low=1, integer=True)
    check_number(seed, "seed", low=0, integer=True)


def _compare(
    models: _Models, pairs: Iterable[tuple[str, str]], options: _Options
) -> list[Comparison]:
    """Compare pairs of models, resampling all models together once."""
    first = next(iter(models.values()))
    what = "images of two groups or more"
    require(first.num_groups >= 2, "groups", what, f"{first.num_groups}")
    scores = {name: _score(name, one, options.metric) for name, one in models.items()}

    padded = {name: borrow_groups(one) for name, one in models.items()}
    lenders = {name: statistic(one, options.metric) for name, one in padded.items()}

    def every(weights: Weights) -> _Floats:
        return np.column_stack([one(weights) for one in lenders.values()])

    count, borrowed = first.num_groups, next(iter(padded.values())).borrowed
    draws = {"resamples": options.resamples, "seed": options.seed}
    drawn = replicates(every, count, **draws, borrowed=borrowed)
    left_out = jackknife(every, count, borrowed)
    places = {name: place for place, name in enumerate(models)}
    found = []
    for a, b in pairs:
        columns = [places[b], places[a]]
        one, other = (float(scores[name].values[0]) for name in (a, b))
        drawn_difference, left_out_difference = (np.diff(x[:, columns]) for x in (drawn, left_out))
        center = lenders[a].values - lenders[b].values
        ends = partial(_ends, one - other, drawn_difference, left_out_difference, center)
        low, high = ends(level=options.level)
        p_value, p_error, test = _test(models[a], models[b], scores[a], scores[b], options)
        comparison = Comparison(
            metric=options.metric,
            difference=one - other,
            low=low,
            high=high,
            p_value=p_value,
            a=one,
            b=other,
            level=options.level,
            n=len(first),
            groups=first.num_groups,
            test=test,
            p_error=p_error,
            few=scores[a].few[0] or scores[b].few[0],
        )
        if options.margin is not None:
            inner = ends(level=2 * options.level - 1)
            comparison = replace(comparison, margin=options.margin, equivalence=inner)
        found.append(comparison)
    return found


def _score(name: str, predictions: Predictions, metric: str) -> ScoreStatistic:
    """Prepare the score of one model, and refuse one that is undefined or of many classes."""
    found = statistic(predictions, metric)
    if len(found.columns) > 1:
        hint = f"Add a class, as {metric + ':' + predictions.codes[0]!r}."
        raise ValueError(expected("metric", "a score that is one number", repr(metric), hint))
    reason = found.reasons[0] or ("" if np.isfinite(found.values[0]) else "undefined")
    require(not reason, "metric", f"a score that is defined for `{name}`", f"{metric!r}: {reason}")
    return found


def _ends(
    difference: float, drawn: _Floats, left_out: _Floats, center: _Floats, *, level: float
) -> tuple[float, float]:
    """Compute the interval of a difference from its replicates (R, 1) and its jackknife (B, 1)."""
    options: dict[str, Any] = {"method": "smoothed", "center": center, "skewed": False}
    low, high = interval_ends(np.array([difference]), drawn, left_out, level=level, **options)
    return float(low[0]), float(high[0])


def _test(
    a: Predictions, b: Predictions, one: ScoreStatistic, other: ScoreStatistic, options: _Options
) -> tuple[float, float, str]:
    """Compute a p-value and its Monte Carlo error, and say what it is from."""
    metric, code = one.columns[0]
    draws = _Draws(permutations=options.permutations, seed=options.seed)
    places = np.flatnonzero(np.bincount(a.target, minlength=len(a.codes)))
    if metric in _AREAS:
        classes = np.array([a.codes.index(code)]) if code else places
        sizes = [count_groups(a.target == place, a.groups) for place in classes]
        if np.min(sizes) >= _MANY_GROUPS:
            return p_value_of(*auc_difference(a, b, classes)), 0.0, "DeLong by group"
    if metric in SUMS:
        found = flip_signs((one.contributions() - other.contributions())[0], **draws)
    else:
        ranked = metric in (*_RANKED, *_AREAS)
        pair = (_ranks(a), _ranks(b)) if ranked else (a, b)
        found = swap_groups(*pair, lambda both: statistic(both, options.metric), **draws)
    kind = f"{options.permutations:,} permutations" if found[1] else "exact permutation"
    return *found, f"{kind} by group"


def _ranks(predictions: Predictions) -> Predictions:
    """Put ranks in the place of probabilities, class by class."""
    ranks = rankdata(predictions.probabilities, axis=0) / len(predictions)
    return replace(predictions, probabilities=ranks)


def holm(p_values: _Floats) -> _Floats:
    """Correct p-values for their number after Holm."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def _p_text(p_value: float) -> str:
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"

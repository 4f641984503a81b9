"""Scores of subgroups, and whether the gaps between them are more than the draw of the images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, check_number, listed, require
from dermolib.evaluation.bands import cut, read_columns
from dermolib.evaluation.intervals import interval_ends, widen_at_bounds
from dermolib.evaluation.predictions import Predictions, in_one_order, read_predictions
from dermolib.evaluation.resampling import Floats, Statistic, Weights, jackknife, replicates
from dermolib.evaluation.smoothing import borrow_groups
from dermolib.evaluation.statistics import statistic

__all__ = ["score_subgroups"]

_CHUNK = 50  # permutations that are computed together
_EQUAL = 1e-12  # gaps that differ less are equal

_Flags: TypeAlias = npt.NDArray[np.bool_]
_Row: TypeAlias = dict[str, Any]


def score_subgroups(
    probabilities: Any,
    target: Any,
    by: Any,
    *,
    groups: Any = None,
    metric: Any = "balanced_accuracy",
    label_space: Any = None,
    values: str = "probabilities",
    bands: Any = None,
    min_size: int = 10,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each subgroup of each column, and the largest gap between the subgroups of a column.

    Intervals are those of `dermolib.evaluation.score` of the images of a subgroup alone, in
    resamples of all groups. A missing value is a subgroup of its own, ``missing``. Years are taken
    of dates. Numbers of more than eight values are cut into four bands with as many images each,
    ages at 30, 45, 60 and 75.

    The largest gap is that of the highest and the lowest value of subgroups which are not marked as
    few, on images of the classes that all of these have, since a mean over other classes is another
    score; its note names the classes where they are not all. Its interval is that of the difference
    of these two subgroups, in the same resamples; as they were chosen for being far apart, the gap
    is too large on average. The p-value takes that into account: it is how often the largest gap is
    as large where groups of images (lesions) change places between subgroups, those of each class
    among themselves, as if predictions depended on the true class alone (equalized odds).

    Args:
        probabilities: Predictions as for `dermolib.evaluation.score`.
        target: True classes (N,), or a data set.
        by: Column (N,) of text, numbers, flags or dates; a data frame or mapping of several; or
            names of columns in the table of the data set.
        groups: Group of each image (N,), such as its lesion; None makes each image a group.
        metric: Name of a score, such as ``"accuracy"`` or ``"roc_auc:MEL"``; a list of such; or
            ``"all"``. A score of each class, such as ``"sensitivity"``, has a row for each.
        label_space: Classes, as for `dermolib.evaluation.score`.
        values: What the predictions are, as for `dermolib.evaluation.score`.
        bands: Where numbers are cut: edges, such as ``[30, 60]``, or a number of bands with as many
            images each; a mapping gives them by column.
        min_size: Number of groups, 2 or more, below which a subgroup is marked as few.
        resamples: Number of resamples and of permutations, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of all resampling, 0 or more.

    Returns:
        Table with ``column``, ``subgroup``, ``metric``, ``class`` (empty for a score of all),
        ``value``, ``low``, ``high``, ``n`` images and ``groups``, of the class where there is one;
        ``few``; ``gap``, True in the rows of the largest gaps, whose subgroup is ``highest vs
        lowest``; ``p_value``, for gaps; and ``note``, which says what is undefined and which
        classes a subgroup does not have. What is undefined is NaN.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There are not as many values as images, a column has more than 50 texts, the
            data set has no such column, or an option is out of range.

    References:
        Hardt, Price and Srebro, Equality of opportunity in supervised learning, NeurIPS 2016,
        https://doi.org/10.48550/arXiv.1610.02413 (equalized odds).

    Examples:
        >>> target = np.tile([0, 1], 40)
        >>> sex = np.repeat(["female", "male"], 40)
        >>> wrong = (sex == "male") & (np.arange(80) % 8 == 1)  # five melanomas of 20
        >>> table = score_subgroups(target - wrong, target, {"sex": sex}, metric="sensitivity:1")
        >>> table[["subgroup", "value", "n", "gap"]]
                 subgroup  value   n    gap
        0          female   1.00  20  False
        1            male   0.75  20  False
        2  female vs male   0.25  40   True
        >>> bool(table["p_value"][2] < 0.1)
        True
    """
    check_number(min_size, "min_size", low=2, integer=True)
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    given = [("probabilities", probabilities), ("target", target), ("groups", groups)]
    named = [*by.items()] if isinstance(by, Mapping) else [("by", by)]
    probabilities, target, groups, *found = in_one_order([*given, *named])
    by = dict(zip(by, found, strict=True)) if isinstance(by, Mapping) else found[0]
    predictions = read_predictions(probabilities, target, groups, label_space, values=values)
    metrics = None if isinstance(metric, str) and metric == "all" else metric
    options = _Options(metrics, min_size, resamples, level, seed)
    rows: list[_Row] = []
    columns = read_columns(by, target, len(predictions))
    unknown = [name for name in bands if name not in columns] if isinstance(bands, Mapping) else []
    require(not unknown, "bands", f"bands of {listed(columns)}", listed(unknown))
    for name, column in columns.items():
        numbers, names = cut(column, name, bands)
        parts = [_Part(predictions, numbers == place, options) for place in range(len(names))]
        for one, part in zip(names, parts, strict=True):
            rows += [{"column": name, **row} for row in part.rows(one, predictions)]
        gaps = _Gaps(predictions, numbers, parts, options)
        rows += [{"column": name, **row} for row in gaps.rows(names)]
    return pd.DataFrame(rows).astype({"few": bool, "gap": bool})


class _Options(NamedTuple):
    metrics: Any
    min_size: int
    resamples: int
    level: float
    seed: int


class _Part:
    """Some of the images: their scores, and these of resamples."""

    def __init__(self, predictions: Predictions, kept: _Flags, options: _Options) -> None:
        """Compute the scores of all resamples."""
        self.options, self.predictions = options, predictions.take(kept)
        scores = statistic(self.predictions, options.metrics)
        self.columns, self.reasons, self.values = scores.columns, scores.reasons, scores.values
        count, codes = predictions.num_groups, predictions.codes
        self.certainty = np.array(scores.certainty)
        padded = borrow_groups(self.predictions)
        lender, draws = statistic(padded, options.metrics), options.resamples
        self.center, borrowed = lender.values, padded.borrowed
        self.drawn = replicates(
            lender, count, resamples=draws, seed=options.seed, borrowed=borrowed
        )
        self.left_out = jackknife(lender, count, borrowed)
        pairs = np.unique(self.predictions.target * count + self.predictions.groups)
        self.images = np.bincount(self.predictions.target, minlength=len(codes))
        self.groups = np.bincount(pairs // count, minlength=len(codes))
        self.num_groups = len(np.unique(self.predictions.groups))
        sizes = {code: pair for code, *pair in zip(codes, self.images, self.groups, strict=True)}
        sizes[""] = [len(self.predictions), self.num_groups]
        self.sizes = np.array([sizes[code] for _, code in self.columns])

    @property
    def few(self) -> _Flags:
        """Whether each score (M,) is of too few groups."""
        return np.asarray(self.sizes[:, 1] < self.options.min_size)

    def of_classes(self, classes: Indices) -> "_Part":
        """Keep the images of some classes."""
        kept = np.isin(self.predictions.target, classes)
        return self if kept.all() else _Part(self.predictions, kept, self.options)

    def rows(self, name: str, everything: Predictions) -> list[_Row]:
        """Make a row for each score."""
        level, parts = self.options.level, (self.values, self.drawn, self.left_out)
        ends = interval_ends(*parts, method="smoothed", level=level, center=self.center)
        wide = widen_at_bounds(self.values, ends, self.certainty, level)
        low, high = np.where((ends[0] == ends[1]) & (self.certainty > 0), wide, ends)
        there = np.bincount(everything.target, minlength=len(self.images)) > 0
        codes = np.array(everything.codes, object)
        found = {
            "no image": codes[there & (self.images == 0)],
            "few groups": codes[(self.groups > 0) & (self.groups < self.options.min_size)],
        }
        notes = [f"{what} of {listed(some, most=12)}" for what, some in found.items() if len(some)]
        return [
            {
                **_entry(name, column, self.values[place], low[place], high[place]),
                **_sizes(self.sizes[place]),
                "few": self.few[place],
                **_NO_GAP,
                "note": self.reasons[place] or ("" if column[1] else "; ".join(notes)),
            }
            for place, column in enumerate(self.columns)
        ]


class _Gaps:
    """The largest gaps between subgroups that are not few, on the classes that all of them have."""

    def __init__(
        self, predictions: Predictions, numbers: Indices, parts: list[_Part], options: _Options
    ) -> None:
        """Find the subgroups and classes, and score those again whose classes are others."""
        self.options, self.columns = options, parts[0].columns
        self.places = [n for n, part in enumerate(parts) if part.num_groups >= options.min_size]
        large = [parts[place] for place in self.places]
        has = np.array([part.images > 0 for part in large]).reshape(-1, len(predictions.codes))
        self.common = np.flatnonzero(has.all(axis=0))
        codes = listed(np.array(predictions.codes, object)[self.common], most=12)
        self.note = "" if len(self.common) == has.any(axis=0).sum() else f"on images of {codes}"
        self.why = "" if len(self.common) else "no class is in all subgroups"
        if len(large) < 2:
            self.why = f"fewer than two subgroups of {options.min_size} groups or more"
        if self.why:
            return
        self.parts = [part.of_classes(self.common) for part in large]
        few = np.array([part.few for part in large])
        self.known = np.where(few, np.nan, [part.values for part in self.parts])
        kept = np.isin(numbers, self.places) & np.isin(predictions.target, self.common)
        self.p_values = _p_values(
            predictions.take(kept), numbers[kept], self.places, np.isfinite(self.known), options
        )

    def rows(self, names: Sequence[str]) -> list[_Row]:
        """Make a row for each score."""
        return [self._row(place, names) for place in range(len(self.columns))]

    def _row(self, place: int, names: Sequence[str]) -> _Row:
        column, why = self.columns[place], self.why or "defined in fewer than two subgroups"
        known = [] if self.why else np.flatnonzero(np.isfinite(self.known[:, place])).tolist()
        if len(known) < 2:
            row = _entry("largest gap", column, np.nan, np.nan, np.nan)
            return {**row, **_sizes((0, 0)), "few": True, **_NO_GAP, "gap": True, "note": why}
        known.sort(key=lambda part: -self.known[part, place])
        pair = [self.parts[known[0]], self.parts[known[-1]]]
        value, drawn, left_out, center = (
            np.subtract(*(getattr(part, name)[..., [place]] for part in pair))
            for name in ("values", "drawn", "left_out", "center")
        )
        smoothed: _Row = {"method": "smoothed", "level": self.options.level, "center": center}
        (low,), (high,) = interval_ends(value, drawn, left_out, **smoothed)
        named = " vs ".join(names[self.places[part]] for part in (known[0], known[-1]))
        return {
            **_entry(named, column, value[0], low, high),
            **_sizes(pair[0].sizes[place] + pair[1].sizes[place]),
            **{"few": False, "gap": True, "p_value": self.p_values[place], "note": self.note},
        }


_NO_GAP = {"gap": False, "p_value": np.nan}


def _entry(subgroup: str, column: tuple[str, str], value: Any, low: Any, high: Any) -> _Row:
    """Begin a row with what it is about, its value and the ends of its interval."""
    names = ("subgroup", "metric", "class", "value", "low", "high")
    return dict(zip(names, (subgroup, *column, value, low, high), strict=True))


def _sizes(sizes: Any) -> _Row:
    return {"n": int(sizes[0]), "groups": int(sizes[1])}


def _p_values(
    predictions: Predictions,
    numbers: Indices,
    places: Sequence[int],
    known: _Flags,
    options: _Options,
) -> Floats:
    """Compute how often the largest gap of each score (M,) is as large after permutations.

    The images of a group in one subgroup change places together, with those of the same classes.
    """
    pairs = predictions.groups * (max(places) + 1) + numbers
    cells, groups = np.unique(pairs, return_inverse=True)
    mixed = replace(predictions, groups=groups, num_groups=len(cells))
    compute = _with_own_classes(mixed, options.metrics)
    labels, strata = cells % (max(places) + 1), _strata(mixed)
    observed = _largest_gaps(compute, labels[None], places, known)
    generator = np.random.default_rng(options.seed)
    reached = np.zeros(len(observed[0]))
    for start in range(0, options.resamples, _CHUNK):
        drawn = np.tile(labels, (min(_CHUNK, options.resamples - start), 1))
        for rows in strata:
            drawn[:, rows] = generator.permuted(drawn[:, rows], axis=1)
        gaps = _largest_gaps(compute, drawn, places, known)
        reached += (gaps >= observed - _EQUAL).sum(axis=0)
    return np.asarray((1 + reached) / (1 + options.resamples))


def _with_own_classes(predictions: Predictions, metrics: Any) -> Statistic:
    """Compute scores of which balanced accuracy gives each class the same weight in each subgroup.

    That of all images has fixed weights, by which the classes of a subgroup count unequally.
    """
    scores = statistic(predictions, metrics)
    names = [name for name, _ in scores.columns]
    if "balanced_accuracy" not in names:
        return scores
    place = names.index("balanced_accuracy")
    present = np.unique(predictions.target)
    recalls = statistic(predictions, [f"sensitivity:{predictions.codes[one]}" for one in present])

    def compute(weights: Weights) -> Floats:
        found = scores(weights)
        found[:, place] = recalls(weights).mean(axis=1)
        return found

    return compute


def _strata(predictions: Predictions) -> list[Indices]:
    """List the groups of each class; those of several classes by the first and the last of them."""
    low = np.full(predictions.num_groups, len(predictions.codes))
    high = np.zeros(predictions.num_groups, int)
    np.minimum.at(low, predictions.groups, predictions.target)
    np.maximum.at(high, predictions.groups, predictions.target)
    stratum = low * len(predictions.codes) + high
    return [np.flatnonzero(stratum == one) for one in np.unique(stratum)]


def _largest_gaps(
    compute: Statistic, labels: Indices, places: Sequence[int], known: _Flags
) -> Floats:
    """Compute the largest gap (R, M) between subgroups, given that of each group (R, G)."""
    found = np.array([compute((labels == place).astype(np.float32)) for place in places])
    found[~np.broadcast_to(known[:, None], found.shape)] = np.nan
    return np.asarray(np.fmax.reduce(found) - np.fmin.reduce(found))

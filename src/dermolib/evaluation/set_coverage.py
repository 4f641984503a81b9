"""How often prediction sets hold the true class, and how large they are, with intervals."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, check_number, require
from dermolib.evaluation.intervals import resampled_intervals, widen_at_bounds
from dermolib.evaluation.predictions import as_array, as_target, number_groups
from dermolib.evaluation.resampling import Weights
from dermolib.evaluation.support import FEW_GROUPS
from dermolib.labels import LabelSpace, as_label_space, known_label_space

__all__ = ["coverage_table"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]


def coverage_table(
    sets: Any,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute coverage and size of prediction sets for all classes together and for each class.

    All but `image_coverage` is of a random image of a random lesion, which is what
    `dermolib.evaluation.ConformalSets` guarantees: each lesion counts as one.

    Args:
        sets: Whether the set of an image holds a class (N, K), bool.
        target: True classes (N,), or a data set.
        groups: Lesion of each image (N,), or its patient; None makes each image one.
        label_space: Classes; None takes those of the data set or the data frame, or numbers.
        resamples: Number of resamples of lesions, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of the resampling, 0 or more.

    Returns:
        A row for all classes, whose ``class`` is empty, and one for each class: ``coverage`` with
        its interval from ``low`` to ``high`` (BCa; where all or none are covered, that of Clopper
        and Pearson over lesions), ``image_coverage`` counted by image, mean ``size`` of a set with
        its interval from ``size_low`` to ``size_high``, fraction of ``empty`` sets and of sets of a
        ``single`` class, numbers of images ``n`` and of ``groups``, and ``few`` for fewer than
        10 groups. Values are NaN without images.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sets and classes differ in number, or an argument is out of range.

    References:
        Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the
        binomial, Biometrika 26(4), 1934, https://doi.org/10.1093/biomet/26.4.404.

    Examples:
        >>> sets = np.array([[True, False], [True, True], [False, True], [False, False]])
        >>> table = coverage_table(sets, [0, 0, 1, 1], resamples=100)
        >>> table[["class", "coverage", "size", "empty", "single"]].values.tolist()
        [['', 0.75, 1.0, 0.25, 0.5], ['0', 1.0, 1.5, 0.0, 0.5], ['1', 0.5, 0.5, 0.5, 0.5]]
    """
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    held, classes, numbers, codes = _read(sets, target, groups, label_space)
    count = len(codes)
    num_groups = int(numbers.max()) + 1
    hit = held[np.arange(len(held)), classes]
    sizes = held.sum(axis=1)
    measures = np.array([hit, sizes, sizes == 0, sizes == 1], np.float64)
    kinds = [np.flatnonzero(classes >= 0), *(np.flatnonzero(classes == k) for k in range(count))]
    sums = [_by_group(measures[:, rows], numbers[rows], num_groups) for rows in kinds]
    parts, present = np.array([part for part, _ in sums]), np.array([one for _, one in sums])

    def statistic(weights: Weights) -> _Floats:
        total = present @ weights.T  # (kinds, R)
        with np.errstate(invalid="ignore"):
            means = parts @ weights.T / total[:, None]
        return np.asarray(means.reshape(-1, len(weights)).T)

    found = resampled_intervals(statistic, num_groups, resamples=resamples, level=level, seed=seed)
    values, low, high = (one.reshape(len(kinds), -1) for one in found)
    table = pd.DataFrame({"class": ["", *codes]})
    lesions = present.sum(axis=1).astype(int)
    table["coverage"] = values[:, 0]
    ends = widen_at_bounds(values[:, 0], (low[:, 0], high[:, 0]), lesions, level)
    table["low"], table["high"] = ends
    table["image_coverage"] = [hit[rows].mean() if len(rows) else np.nan for rows in kinds]
    table["size"], table["size_low"], table["size_high"] = values[:, 1], low[:, 1], high[:, 1]
    table["empty"], table["single"] = values[:, 2], values[:, 3]
    table["n"], table["groups"] = [len(rows) for rows in kinds], lesions
    return table.assign(few=lesions < FEW_GROUPS)


def _read(
    sets: Any, target: Any, groups: Any, label_space: Any
) -> tuple[_Flags, Indices, Indices, tuple[str, ...]]:
    """Check sets, classes and groups; name the classes."""
    if hasattr(target, "labels"):
        label_space = known_label_space(target) if label_space is None else label_space
        groups = getattr(target, "groups", None) if groups is None else groups
        target = target.labels
    if label_space is None and isinstance(sets, pd.DataFrame):
        label_space = [str(code) for code in sets.columns]
    held = as_array(sets, "sets")
    what, got = "whether a set holds a class (N, K), bool", f"dtype {held.dtype}"
    hint = "Pass what `ConformalSets.predict` returns, not the probabilities."
    require(held.dtype == np.bool_, "sets", what, got, hint, error=TypeError)
    fits = held.ndim == 2 and held.size and held.shape[1] > 1
    require(fits, "sets", what, f"shape {held.shape}")
    space: LabelSpace | None = None if label_space is None else as_label_space(label_space)
    count = held.shape[1]
    what = f"sets of the {len(space) if space else count} classes of {space}"
    require(space is None or len(space) == count, "sets", what, f"shape {held.shape}")
    classes = as_target(target, space or count)
    what, got = f"a class for each set ({len(held):,},)", f"shape ({len(classes):,},)"
    require(len(classes) == len(held), "target", what, got)
    codes = space.codes if space else tuple(map(str, range(count)))
    return held, classes, number_groups(groups, len(held)), codes


def _by_group(measures: _Floats, groups: Indices, num_groups: int) -> tuple[_Floats, _Floats]:
    """Average measures (M, N) over the images of each group (M, G); mark groups that have any."""
    sizes = np.bincount(groups, minlength=num_groups)
    sums = [np.bincount(groups, weights=one, minlength=num_groups) for one in measures]
    return np.array(sums) / np.maximum(sizes, 1), (sizes > 0).astype(np.float64)

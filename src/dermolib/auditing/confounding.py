"""Confounding: which artifacts go with which class, split or source, and what they give away."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv, ndtri, stdtrit

from dermolib._validation import (
    Indices,
    PathLike,
    as_path,
    check_choice,
    check_number,
    listed,
    require,
)
from dermolib.auditing.rows import Splits, gather
from dermolib.auditing.shift import LARGE, SMALL
from dermolib.datasets.columns import Columns, find_column, is_missing, read_csv, read_frame
from dermolib.datasets.splits import grouped_split
from dermolib.datasets.tables import HasTable
from dermolib.preprocessing.artifacts import ARTIFACTS, artifact_table

__all__ = [
    "ASSOCIATIONS",
    "ASSOCIATION_COLUMNS",
    "artifact_associations",
    "artifact_only_score",
    "artifact_rows",
    "detect",
    "find_confounding",
]

ASSOCIATIONS: tuple[str, ...] = ("class", "split", "source")
"""What artifacts may go with."""

ASSOCIATION_COLUMNS: tuple[str, ...] = (
    "by", "value", "artifact", "fraction", "rest", "ratio", "ratio_low", "ratio_high",
    "difference", "difference_low", "difference_high", "p_value", "adjusted_p", "severity",
    "images", "groups", "rest_images", "rest_groups", "note",
)  # fmt: skip
"""Columns of `artifact_associations`."""

_SCORE_COLUMNS = ("class", "value", "low", "high", "chance", "images", "groups", "note")
_FEW = 10  # groups, of which less is known than an interval says
_MODERATE_RATIO, _LARGE_RATIO = 1.5, 3.0
_TRIFLE = 0.01  # difference of fractions below which none is more than small
_LEVEL = 0.05  # of the adjusted p-value
_TINY = 1e-9
_SMALLEST_P = -100.0  # power of ten

_Floats: TypeAlias = npt.NDArray[np.float64]
_Split: TypeAlias = HasTable | pd.DataFrame
_Row: TypeAlias = dict[str, Any]


def artifact_associations(
    artifacts: pd.DataFrame | PathLike,
    train: _Split | Mapping[str, _Split],
    test: _Split | None = None,
    *,
    by: Iterable[str] = ASSOCIATIONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare how often each artifact is in the images of a class, split or source with the rest.

    A network may learn an artifact in place of the lesion where the two go together, and a score
    may be of the artifact where splits or sources differ in it. The ratio is the fraction of the
    images of a class that show the artifact, over that of all other images. Unlike the risk of the
    class where the artifact is seen, it does not change with how many images of the class were
    collected.

    Probabilities count as soft counts: their mean estimates the fraction without bias as far as
    they are calibrated, where counts above a threshold miss most of what is rare. Flags of 0 and 1
    are counted as they are.

    Intervals and p-values are by patient where known, else by lesion, else by image. The interval
    of a fraction is that of Clopper and Pearson for the number of independent images that vary as
    much (Korn and Graubard); those of ratio and difference are combined from both fractions (MOVER)
    and stay valid where a count is zero. The p-value is the level at which the interval of the
    difference reaches 0. It is corrected by the method of Holm over all rows, since artifacts and
    classes depend on each other in unknown ways.

    Args:
        artifacts: Probability in 0..1 or flag of each artifact (column) for each image (row), as
            `dermolib.preprocessing.artifact_table` makes them, or a CSV file of such. Ids are in
            the index or in a column ``id``; a missing value is not known. Where any of the seven
            artifacts is a column, others are left out.
        train: As for `dermolib.audit`.
        test: As for `dermolib.audit`.
        by: What to compare by, of `ASSOCIATIONS`. Of two values, such as a training and a test
            split, the second alone is compared with the first.
        level: Level of the intervals, above 0 and below 1.

    Returns:
        Table with the columns of `ASSOCIATION_COLUMNS`: the ``fraction`` of the images with this
        ``value`` that show the artifact, and that of the ``rest``; their ``ratio`` and
        ``difference``; ``severity``, ``"none"`` where the adjusted p-value is above 0.05, else
        ``"large"`` from a difference of 0.15 or a ratio of 3 (or 1/3) on, ``"moderate"`` from 0.05
        or 1.5 on, but ``"small"`` below a difference of 0.01; numbers of ``images`` and ``groups``;
        and ``note``, which marks few groups. A ratio over 0 is infinite, or NaN where both
        fractions are 0. A value that no image has, or that all images have, is not in the table.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: A split is neither a dataset nor a table.
        ValueError: A value is outside of 0..1, an id has two different rows, no id of the artifacts
            is one of the images, or an option is out of range.

    References:
        Bissoto et al., (De)constructing bias on skin lesion datasets, CVPR workshops 2019,
        https://doi.org/10.1109/CVPRW.2019.00335, on what such artifacts give away; Korn and
        Graubard, Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data, Survey Methodology 24(2), 1998; Donner and Zou, Closed-form
        confidence intervals for functions of the normal mean and standard deviation, Statistical
        Methods in Medical Research 21(4), 2012, https://doi.org/10.1177/0962280210383082; Holm, A
        simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics
        6(2), 1979.

    Examples:
        >>> images = pd.DataFrame({"id": range(200), "label": [0] * 80 + [1] * 120})
        >>> patches = pd.DataFrame({"id": range(200), "patches": [0] * 80 + [0, 1, 1] * 40})
        >>> found = artifact_associations(patches, images)
        >>> found[["value", "artifact", "fraction", "rest", "severity"]].round(2)
          value artifact  fraction  rest severity
        0    NV  patches      0.67   0.0    large
        >>> bool(found["ratio_low"][0] > 5), bool(found["adjusted_p"][0] < 1e-6)
        (True, True)
    """
    check_number(level, "level", above=0, below=1)
    single = isinstance(by, str)
    require(not single, "by", "several names", "one text", f"Write `[{by!r}]`.", error=TypeError)
    by = tuple(by)
    for name in by:
        check_choice(name, "by", ASSOCIATIONS)
    splits = gather(train, test)
    names, values = artifact_rows(artifacts, splits)
    return _find_associations(splits, names, values, by=by, level=level)


def artifact_only_score(
    artifacts: pd.DataFrame | PathLike,
    train: _Split | Mapping[str, _Split],
    test: _Split | None = None,
    *,
    folds: int = 5,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score a classifier that sees the artifacts alone, which should not beat chance.

    Logistic regression with balanced weights of the classes predicts the class from the artifacts,
    cross-validated by patient or lesion over all labeled images. Its balanced accuracy is what a
    network may reach without looking at the lesion. Classes of fewer groups than there are folds
    are left out.

    Args:
        artifacts: As for `artifact_associations`; an image with a missing value is left out.
        train: As for `dermolib.audit`.
        test: As for `dermolib.audit`.
        folds: Number of folds, 2 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of the folds, 0 or more.

    Returns:
        Table whose first row, with an empty ``class``, has the balanced accuracy (``value``) with
        its interval from ``low`` to ``high`` beside ``chance``, and the numbers of ``images`` and
        ``groups``; the other rows have the sensitivity of each class; ``note`` names the classes
        that were left out, and marks few groups.

    Raises:
        DatasetNotFoundError: There is no such file.
        TypeError: A split is neither a dataset nor a table.
        ValueError: Fewer than two classes have enough groups, or as for `artifact_associations`.

    Examples:
        >>> images = pd.DataFrame({"id": range(200), "label": [0] * 80 + [1] * 120})
        >>> patches = pd.DataFrame({"id": range(200), "patches": [0] * 80 + [0, 1, 1] * 40})
        >>> artifact_only_score(patches, images)[["class", "value", "chance"]].round(2)
          class  value  chance
        0         0.83     0.5
        1   MEL   1.00     0.5
        2    NV   0.67     0.5
    """
    check_number(folds, "folds", low=2, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)
    splits = gather(train, test)
    values = artifact_rows(artifacts, splits)[1]
    found = _score(splits, values, folds=folds, level=level, seed=seed)
    what = f"images of two classes or more with {folds} groups each, all artifacts known"
    require(len(found), "train", what, "fewer")
    return found


def artifact_rows(
    artifacts: pd.DataFrame | PathLike, splits: Splits
) -> tuple[tuple[str, ...], _Floats]:
    """Read the artifacts of each row: their names, and values (N, A), NaN where not known."""
    columns, name = _read(artifacts)
    ids = pd.Index([text.strip() for text in columns.pop("id")])
    numbers = {key: _numbers(texts, key, name) for key, texts in columns.items()}
    table = pd.DataFrame(numbers, index=ids)
    table = table[~table.reset_index().duplicated().to_numpy()]
    twice = table.index[table.index.duplicated()].unique().tolist()
    got = f"several of {listed(map(repr, twice))}"
    require(not twice, name, "a table with one row for each id", got)
    places = table.index.get_indexer(pd.Index(splits["id"]))
    hint = "An id is the name of a file without its extension."
    got = f"others ({listed(table.index)})"
    require((places >= 0).any() or not len(splits), name, "a table with ids of images", got, hint)
    values = table.to_numpy(np.float64)[places]
    values[places < 0] = np.nan
    return tuple(map(str, table.columns)), values


def detect(
    splits: Splits, rows: Indices, *, workers: int, progress: bool
) -> tuple[tuple[str, ...], _Floats] | None:
    """Detect the artifacts of the images of some rows, as `artifact_rows` gives them."""
    if not len(rows):
        return None
    paths = splits["image_path"][rows].tolist()
    values = np.full((len(splits), len(ARTIFACTS)), np.nan)
    values[rows] = artifact_table(paths, workers=workers, progress=progress).to_numpy()
    return ARTIFACTS, values


def _read(artifacts: Any) -> tuple[Columns, str]:
    """Read the ids and the artifacts as text, and name the table for errors."""
    if isinstance(artifacts, pd.DataFrame):
        lower = [str(name).strip().lower() for name in artifacts.columns]
        table = artifacts if "id" in lower else artifacts.rename_axis("id").reset_index()
        return read_frame(table, lambda header: _places(header, "artifacts")), "artifacts"
    path = as_path(artifacts, "artifacts")
    return read_csv(path, lambda header: _places(header, str(path))), str(path)


def _places(header: Sequence[str], name: str) -> dict[str, int]:
    """Find the places of the ids and of the artifacts: the known ones, else all."""
    texts = [text.strip() for text in header]
    place = find_column(texts, "id", name)
    others = [text for number, text in enumerate(texts) if number != place]
    chosen = [text for text in others if text in ARTIFACTS] or others
    what = "a table of ids and artifacts, each column once"
    fits = (
        place >= 0 and chosen and len({*chosen}) == len(chosen) and not {"id", "split"} & {*chosen}
    )
    require(fits, name, what, f"the columns {listed(map(repr, header))}")
    return {"id": place} | {text: texts.index(text) for text in chosen}


def _numbers(texts: npt.NDArray[np.object_], column: str, name: str) -> _Floats:
    """Read probabilities and flags; a missing one is NaN."""
    flags = {"true": 1.0, "false": 0.0}
    codes, distinct = pd.factorize(texts)
    plain = pd.Series([flags.get(text.strip().lower(), text) for text in distinct], dtype=object)
    numbers = np.array(pd.to_numeric(plain, errors="coerce"), np.float64)
    unknown = np.array([is_missing(text) for text in distinct], np.bool_)
    numbers[unknown] = np.nan
    with np.errstate(invalid="ignore"):
        wrong = ~unknown & ~((numbers >= 0) & (numbers <= 1))
    got = repr(distinct[wrong.argmax()]) if wrong.any() else ""
    require(not got, name, f"a table whose column {column!r} has numbers in 0..1", got)
    return numbers[codes]


class Confounding(NamedTuple):
    """What an audit finds of artifacts, and in sentences what could not be checked."""

    artifacts: pd.DataFrame
    associations: pd.DataFrame
    scores: pd.DataFrame
    unchecked: tuple[str, ...]


def find_confounding(
    splits: Splits, found: tuple[tuple[str, ...], _Floats] | None, *, asked: bool, seed: int
) -> Confounding:
    """Make the tables of `AuditReport` of what `artifact_rows` found; empty ones of None."""
    names, values = found or ((), np.empty((len(splits), 0)))
    if found is None:
        why = "no image can be read" if asked else "not searched (option `artifacts`)"
        unchecked = [f"Artifacts and what they go with: {why}."]
        scores = pd.DataFrame(columns=pd.Index(_SCORE_COLUMNS))
    else:
        unchecked, scores = [*_unknown(splits, values)], _score(splits, values, seed=seed)
    rows = {
        "split": np.array(splits.names, object)[splits["split"]],
        "id": splits["id"],
        **dict(zip(names, values.T, strict=True)),
    }
    artifacts = pd.DataFrame(rows)[: len(splits) if found else 0]
    return Confounding(
        artifacts, _find_associations(splits, names, values), scores, tuple(unchecked)
    )


def _unknown(splits: Splits, values: _Floats) -> Iterator[str]:
    """Say of how many images artifacts are not known."""
    unknown = np.asarray(np.isnan(values).any(axis=1))
    for number, name in enumerate(splits.names):
        rows = splits.rows_of(number)
        if count := int(unknown[rows].sum()):
            yield f"Artifacts of {name}: unknown for {count:,} of {len(rows):,} images."


def _find_associations(
    splits: Splits,
    names: Sequence[str],
    values: _Floats,
    *,
    by: Iterable[str] = ASSOCIATIONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Make the table of `artifact_associations` for the artifacts (N, A) of all rows."""
    groups = _groups(splits)
    rows: list[_Row] = []
    for column in by:
        codes, levels = _levels(splits, column)
        for place in range(len(levels))[len(levels) == 2 :]:
            within = np.where(codes < 0, -1, codes == place)
            for artifact, name in enumerate(names):
                row = _compared(values[:, artifact], within, groups, level)
                rows += [{"by": column, "value": levels[place], "artifact": name} | row] * bool(row)
    table = pd.DataFrame(rows, columns=pd.Index(ASSOCIATION_COLUMNS))
    table["adjusted_p"] = _holm(table["p_value"].to_numpy(np.float64))
    sizes = (table[name] for name in ("adjusted_p", "difference", "ratio"))
    table["severity"] = [*map(_severity, *sizes)]
    return table


def _groups(splits: Splits) -> Indices:
    """Number the group (N,) of each row: its patient, else its lesion, else the image itself."""
    kind = np.where(splits.known("patient"), 0, np.where(splits.known("lesion"), 1, 2))
    name = np.choose(kind, [splits[column] for column in ("patient", "lesion", "origin")])
    return np.asarray(pd.factorize(pd.factorize(name)[0] * 3 + kind)[0], np.intp)


def _levels(splits: Splits, column: str) -> tuple[Indices, list[str]]:
    """Number the values of a column (N,), -1 where not known, and name them."""
    if column == "split":
        return splits["split"], list(splits.names)
    values = pd.Series(splits["label" if column == "class" else column])
    known = splits.known("label" if column == "class" else column)
    codes, levels = pd.factorize(values.where(known), sort=True)
    named = [splits.class_name(int(one)) if column == "class" else str(one) for one in levels]
    return np.asarray(codes, np.intp), named


class _Estimate(NamedTuple):
    """A fraction, and the number of independent images that vary as much."""

    fraction: float
    size: float
    images: int
    groups: int

    def ends(self, tail: Any) -> tuple[Any, Any]:
        """Compute the ends of Clopper and Pearson with this much left out at each of them."""
        count, size = self.fraction * self.size, self.size
        with np.errstate(invalid="ignore"):
            low = betaincinv(count, size - count + 1, tail) if self.fraction > 0 else 0 * tail
            high = betaincinv(count + 1, size - count, 1 - tail) if self.fraction < 1 else 1
        usable = size > 0
        return (low if usable else 0 * tail), (high if usable else 0 * tail + 1)


def _estimate(values: _Floats, groups: Indices, level: float) -> _Estimate:
    """Estimate the fraction of soft counts in groups of images, with its effective size.

    The size is that of Korn and Graubard, with their correction for few groups. It is at most the
    number of images, and that of the groups where all are equal.
    """
    _, place = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    number, images = len(counts), len(values)
    # What is but rounding of 0 or 1 would have no interval
    mean = float(sums.sum() / images)
    fraction = mean if _TINY < mean < 1 - _TINY else float(round(mean))
    if number == 1:
        return _Estimate(fraction, 0.0, images, 1)
    off = sums - fraction * counts
    variance = (off**2).sum() * number / (number - 1) / images**2
    even = variance <= 1e-15
    size = number if even else min(fraction * (1 - fraction) / variance, images)
    tail = (1 + level) / 2
    correction = (ndtri(tail) / stdtrit(number - 1, tail)) ** 2
    return _Estimate(fraction, float(size * correction), images, number)


def _compared(values: _Floats, within: Indices, groups: Indices, level: float) -> _Row:
    """Compare the images within (1) with the others (0); nothing where either has none."""
    known = ~np.isnan(values)
    parts = [np.flatnonzero(known & (within == place)) for place in (1, 0)]
    if not all(map(len, parts)):
        return {}
    one, rest = (_estimate(values[rows], groups[rows], level) for rows in parts)
    tail = (1 - level) / 2
    few = [what for what, part in (("", one), ("in the rest", rest)) if part.groups < _FEW]
    return {
        "fraction": one.fraction,
        "rest": rest.fraction,
        **dict(zip(("ratio", "ratio_low", "ratio_high"), _ratio(one, rest, tail), strict=True)),
        "difference": one.fraction - rest.fraction,
        "difference_low": one.fraction - rest.fraction - _reach(one, rest, tail),
        "difference_high": one.fraction - rest.fraction + _reach(rest, one, tail),
        "p_value": _p_value(one, rest),
        **{"images": one.images, "groups": one.groups},
        **{"rest_images": rest.images, "rest_groups": rest.groups},
        "note": " and ".join(f"few groups {what}".strip() for what in few),
    }


def _reach(one: _Estimate, rest: _Estimate, tail: Any) -> Any:
    """Compute how far the lower end of the difference is from it, by MOVER."""
    low, high = one.ends(tail)[0], rest.ends(tail)[1]
    return np.hypot(one.fraction - low, high - rest.fraction)


def _ratio(one: _Estimate, rest: _Estimate, tail: float) -> tuple[float, float, float]:
    """Divide two fractions, with the ends of the interval by MOVER."""
    first, second = one.fraction, rest.fraction
    (low, high), (rest_low, rest_high) = one.ends(tail), rest.ends(tail)
    if not first and not second:
        return float("nan"), 0.0, float("inf")
    product = first * second
    own, other = low * (2 * first - low), rest_high * (2 * second - rest_high)
    # The ratio at which the lower end of `first - ratio * second` is 0, of which `other` may be 0
    lowest = own / (product + np.sqrt(max(product**2 - own * other, 0))) if own else 0.0
    own, other = high * (2 * first - high), rest_low * (2 * second - rest_low)
    highest = _over(product + np.sqrt(max(product**2 - own * other, 0)), other)
    return _over(first, second), float(lowest), highest


def _over(value: float, divisor: float) -> float:
    return float(value / divisor) if divisor else float("inf")


def _p_value(one: _Estimate, rest: _Estimate) -> float:
    """Find the level at which the interval of the difference reaches 0, by bisection."""
    larger, smaller = sorted((one, rest), key=lambda part: -part.fraction)
    difference = larger.fraction - smaller.fraction
    powers = _SMALLEST_P, 0.0
    if not difference or _reach(larger, smaller, 0.5) >= difference:
        return 1.0
    for _ in range(60):
        middle = sum(powers) / 2
        reaches = _reach(larger, smaller, 10**middle / 2) >= difference
        powers = (middle, powers[1]) if reaches else (powers[0], middle)
    return float(10 ** powers[1])


def _holm(p_values: _Floats) -> _Floats:
    """Correct p-values for their number, whatever they depend on."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(p_values[order] * factors, 1))
    return adjusted


def _severity(p_value: float, difference: float, ratio: float) -> str:
    """Judge an association by its size, where it is significant."""
    if not p_value <= _LEVEL:
        return "none"
    size = abs(difference)
    by_difference = np.digitize(size, (SMALL, LARGE))
    by_ratio = np.digitize(max(ratio, _over(1, ratio)), (_MODERATE_RATIO, _LARGE_RATIO))
    place = max(by_difference, by_ratio) if size >= _TRIFLE else 0
    return ("small", "moderate", "large")[int(place)]


def _score(
    splits: Splits, values: _Floats, *, folds: int = 5, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Make the table of `artifact_only_score`; empty where fewer than two classes are left."""
    groups = _groups(splits)
    known = np.flatnonzero(splits.known("label") & ~np.isnan(values).any(axis=1))
    labels = splits["label"][known]
    classes, number = np.unique(labels, return_inverse=True)
    pairs = np.unique(np.stack([number, groups[known]]), axis=1)
    enough = np.bincount(pairs[0], minlength=len(classes)) >= folds
    kept = known[enough[number]]
    if enough.sum() < 2:
        return pd.DataFrame(columns=pd.Index(_SCORE_COLUMNS))
    labels, groups = splits["label"][kept], groups[kept]
    right = _predicted(values[kept], labels, groups, folds, seed) == labels
    parts = [
        _estimate(right[labels == one].astype(np.float64), groups[labels == one], level)
        for one in classes[enough]
    ]
    ends = np.array([part.ends((1 - level) / 2) for part in parts], np.float64)
    fractions = np.array([part.fraction for part in parts])
    value, count = float(fractions.mean()), len(parts)
    reach = np.sqrt(((ends - fractions[:, None]) ** 2).sum(axis=0)) / count
    absent = [splits.class_name(int(one)) for one in classes[~enough]]
    note = f"without {listed(absent, most=12)}, of fewer than {folds} groups" if absent else ""
    whole = ("", value, value - reach[0], value + reach[1], 1 / count, len(kept))
    rows = [(*whole, len(np.unique(groups)), note)]
    for label, part, (low, high) in zip(classes[enough], parts, ends.tolist(), strict=True):
        few = "few groups" if part.groups < _FEW else ""
        sizes = (1 / count, part.images, part.groups, few)
        rows.append((splits.class_name(int(label)), part.fraction, low, high, *sizes))
    return pd.DataFrame(rows, columns=pd.Index(_SCORE_COLUMNS))


def _predicted(
    values: _Floats, labels: npt.NDArray[np.int64], groups: Indices, folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Predict the class of each image from its artifacts by a model fitted on other folds."""
    from sklearn.linear_model import LogisticRegression  # which takes half a second to load

    table = pd.DataFrame({"label": labels, "lesion": [f"group {one}" for one in groups]})
    predicted = np.empty_like(labels)
    for train, test in grouped_split(table, folds=folds, seed=seed).rounds():
        model = LogisticRegression(class_weight="balanced", max_iter=1000)
        predicted[test] = model.fit(values[train], labels[train]).predict(values[test])
    return predicted

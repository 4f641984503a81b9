"""Conformal prediction sets whose coverage is guaranteed for each class, calibrated by lesion."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from dermolib._validation import (
    check_choice,
    check_flag,
    check_number,
    check_type,
    listed,
    require,
    warn,
)
from dermolib.evaluation.fitted_ids import ids_of, refuse_fitted
from dermolib.evaluation.predictions import (
    Predictions,
    align_probabilities,
    read_numbers,
    read_predictions,
)
from dermolib.evaluation.scaling import grouped_folds
from dermolib.evaluation.support import FEW_GROUPS
from dermolib.labels import LabelSpace

__all__ = ["ConformalSets", "cross_conformal", "quantile_by_group"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Flags: TypeAlias = npt.NDArray[np.bool_]

_ALWAYS = 1.0  # threshold that no score exceeds
_METHODS = ("lac", "aps")
_FEW = ("refuse", "include")
_EMPTY = ("keep", "top")


class ConformalSets:
    """Sets of classes that hold the true one with a chosen probability.

    A set holds each class whose score is at most the threshold of the class; the higher the score,
    the worse the class fits the image. Thresholds are quantiles of the scores of true classes on
    images that the network was not trained on.

    Images of one lesion are not independent, so lesions are what is counted: in its lesion each
    image weighs one over their number, and a lesion that is still to come weighs as one whole
    lesion with an infinite score (hierarchical conformal prediction of Lee, Barber and Willett).
    With one image per lesion this is the usual quantile, the ceil((n + 1) coverage)-th smallest of
    n scores. **What is guaranteed**: let one image be drawn from a new lesion of the class, where
    lesions for calibration and new ones are exchangeable. On average over calibrations, its set
    holds the class with a probability of `coverage` or more, for any number of lesions and any
    network. It holds for each class with `per_class`; without, only for a lesion of any class, and
    rare classes can be far below. Not guaranteed are: the mean over images, where lesions with many
    images are harder; each subgroup; another clinic. Around the guarantee one calibration with n
    lesions varies by about sqrt(coverage (1 - coverage) / n).

    Where the lesions are too few for the coverage, n < coverage / (1 - coverage), each set holds
    the class: `thresholds` is 1, and a warning says what coverage n lesions can have.

    Args:
        coverage: Probability that a set holds the true class, above 0 and below 1.
        per_class: Whether it holds for each class (Mondrian) or over all of them only.
        method: Score of a class: ``"lac"``, one minus its probability (least ambiguous sets: the
            smallest on average); or ``"aps"``, the total probability of the classes that are more
            likely (adaptive sets: larger for harder images, and never empty). Nothing is drawn, so
            that an image has one set; ties only make sets larger.
        few: What to do about a class of fewer than 10 lesions: ``"refuse"``, or ``"include"`` it
            in each set, so that no set is of a single other class.
        empty: Whether a set may be empty (``"keep"``: an image unlike any class) or then holds the
            most likely class (``"top"``: coverage only rises).

    Attributes:
        codes: Codes of the classes (K,).
        thresholds: Largest score with which a class is in a set (K,), 0..1; 1 is always.
        lesions: Number of lesions, or other groups, that each threshold rests on (K,).

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range.

    References:
        Lee, Barber and Willett, Distribution-free inference with hierarchical data, 2023,
        https://doi.org/10.48550/arXiv.2306.06342; Dunn, Wasserman and Ramdas, Distribution-free
        prediction sets for two-layer hierarchical models, Journal of the American Statistical
        Association 118, 2023, https://doi.org/10.1080/01621459.2022.2060112; Sadinle, Lei and
        Wasserman, Least ambiguous set-valued classifiers with bounded error levels, Journal of the
        American Statistical Association 114, 2019, https://doi.org/10.1080/01621459.2017.1395341;
        Romano, Sesia and Candes, Classification with valid and adaptive coverage, NeurIPS, 2020,
        https://doi.org/10.48550/arXiv.2006.02544.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> target = generator.integers(0, 3, 600)
        >>> logits = generator.normal(size=(600, 3)) + 2 * np.eye(3)[target]
        >>> probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        >>> sets = ConformalSets(coverage=0.9).fit(probabilities[:300], target[:300])
        >>> held = sets.predict(probabilities[300:])
        >>> held.shape, bool(held[np.arange(300), target[300:]].mean() > 0.85)
        ((300, 3), True)
    """

    codes: tuple[str, ...] = ()
    thresholds: _Floats
    lesions: npt.NDArray[np.intp]
    _ids: frozenset[str] = frozenset()
    _groups: frozenset[str] = frozenset()

    def __init__(
        self,
        coverage: float = 0.9,
        *,
        per_class: bool = True,
        method: str = "lac",
        few: str = "refuse",
        empty: str = "keep",
    ) -> None:
        """Check the options."""
        check_number(coverage, "coverage", above=0, below=1)
        check_flag(per_class, "per_class")
        check_choice(method, "method", _METHODS)
        check_choice(few, "few", _FEW)
        check_choice(empty, "empty", _EMPTY)
        self.coverage = float(coverage)
        self.per_class = bool(per_class)
        self.method = method
        self.few = few
        self.empty = empty

    def fit(
        self,
        probabilities: Any,
        target: Any,
        *,
        groups: Any = None,
        label_space: Any = None,
        ids: Any = None,
        values: str = "probabilities",
    ) -> Self:
        """Find the thresholds on images that the network was not trained on.

        Args:
            probabilities: Predictions (N, K), see `dermolib.evaluation.score`.
            target: True classes (N,), or a data set.
            groups: Lesion of each image (N,), or its patient; None makes each image one.
            label_space: Classes; None takes those of the data set or the data frame, or numbers.
            ids: Ids of the images (N,), so that `predict` can refuse them; None takes those of the
                data set.
            values: ``"probabilities"``, ``"logits"`` or ``"independent"`` probabilities.

        Returns:
            The object itself.

        Raises:
            TypeError: An argument is of another type.
            ValueError: Predictions are not as they should be, or a class has fewer than 10 lesions
                (`few` says otherwise).
        """
        found = read_predictions(probabilities, target, groups, label_space, values=values)
        hint = "Sets need probabilities, not the predicted classes."
        require(not found.classes_only, "probabilities", "floats (N, K)", "classes (N,)", hint)
        scores = _scores(found.probabilities, self.method)
        own = scores[np.arange(len(found)), found.target]
        count = len(found.codes)
        rows = [np.flatnonzero(found.target == k) for k in range(count)]
        rows = rows if self.per_class else [np.arange(len(found))] * count
        lesions = np.array([len(np.unique(found.groups[row])) for row in rows], np.intp)
        self._check_lesions(found, lesions)
        thresholds = [quantile_by_group(own[row], found.groups[row], self.coverage) for row in rows]
        self.thresholds = np.minimum(thresholds, _ALWAYS)
        self.thresholds[lesions < FEW_GROUPS] = _ALWAYS
        self.codes, self.lesions = found.codes, lesions
        groups = getattr(target, "groups", None) if groups is None else groups
        self._ids = ids_of(ids, target, len(found))
        self._groups = ids_of(groups, None, len(found), name="groups")
        return self

    def predict(
        self,
        probabilities: Any,
        *,
        ids: Any = None,
        groups: Any = None,
        values: str = "probabilities",
    ) -> _Flags:
        """Find the set of each image.

        Args:
            probabilities: Predictions (N, K) in the order of `codes`, or a data frame with them.
            ids: Ids of the images (N,); those that the thresholds were found on are refused. Give
                these, or `groups`, wherever the sets are judged.
            groups: Lesion of each image (N,), by the same names as in `fit`, refused likewise.
            values: As for `fit`.

        Returns:
            Whether the set of an image holds a class (N, K), bool.

        Raises:
            RuntimeError: `fit` was not called.
            TypeError: An argument is of another type.
            ValueError: Predictions are not as they should be, or images are among those of `fit`.
        """
        self._check_fitted()
        found = align_probabilities(probabilities, self.codes, values=values)
        refuse_fitted(self._ids, ids_of(ids, None, len(found)), "the sets")
        names = ids_of(groups, None, len(found), name="groups")
        refuse_fitted(self._groups, names, "the sets", name="groups")
        held: _Flags = _scores(found, self.method) <= self.thresholds
        if self.empty == "top":
            none = ~held.any(axis=1)
            held[none, found[none].argmax(axis=1)] = True
        return held

    def to_dict(self) -> dict[str, Any]:
        """Write options and thresholds as values of JSON, without the ids; see `from_dict`.

        Raises:
            RuntimeError: `fit` was not called.
        """
        self._check_fitted()
        names = ("coverage", "per_class", "method", "few", "empty")
        options = {name: getattr(self, name) for name in names}
        columns = {name: getattr(self, name).tolist() for name in ("thresholds", "lesions")}
        return {**options, "codes": list(self.codes), **columns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make fitted sets of what `to_dict` wrote.

        Raises:
            TypeError: It is not a mapping, or a value is of another type.
            ValueError: A name is missing, or a value is out of range.

        Examples:
            >>> probabilities = np.tile([[0.75, 0.25], [0.25, 0.75]], (20, 1))
            >>> sets = ConformalSets(0.8).fit(probabilities, [0, 1] * 20)
            >>> again = ConformalSets.from_dict(sets.to_dict())
            >>> again.thresholds.tolist(), again.predict([[0.7, 0.3], [0.8, 0.2]]).tolist()
            ([0.25, 0.25], [[False, False], [True, False]])
        """
        check_type(values, "values", Mapping, "a mapping that `to_dict` made")
        names = ("coverage", "per_class", "method", "few", "empty", "codes", "thresholds")
        missing = [name for name in (*names, "lesions") if name not in values]
        require(not missing, "values", "a mapping that `to_dict` made", f"no {listed(missing)}")
        one = cls(**{name: values[name] for name in names[:5]})
        one.codes = LabelSpace(values["codes"]).codes
        for name, what, high in (
            ("thresholds", "numbers in 0..1", _ALWAYS),
            ("lesions", "0 or more", np.inf),
        ):
            found = read_numbers(values[name], name, (len(one.codes),))
            fits = ((found >= 0) & (found <= high)).all()
            require(fits, name, f"{what}, of each class", found.tolist())
            setattr(one, name, found if name == "thresholds" else found.astype(np.intp))
        return one

    def __repr__(self) -> str:
        """Name the options that are not the usual ones, and the thresholds once there are some."""
        usual = {"per_class": True, "method": "lac", "few": "refuse", "empty": "keep"}
        texts = [f"{k}={getattr(self, k)!r}" for k in usual if getattr(self, k) != usual[k]]
        if self.codes:
            pairs = zip(self.codes, self.thresholds, strict=True)
            texts.append("thresholds: " + ", ".join(f"{code} {t:.3g}" for code, t in pairs))
        return f"ConformalSets({', '.join([f'{self.coverage:g}', *texts])})"

    def _check_fitted(self) -> None:
        if not self.codes:
            raise RuntimeError("Call `fit` of the sets before `predict` or `to_dict`.")

    def _check_lesions(self, found: Predictions, lesions: npt.NDArray[np.intp]) -> None:
        """Refuse classes of fewer than 10 lesions; warn of those with too few for the coverage."""
        names: Sequence[str] = found.codes if self.per_class else ["all classes together"]
        counts = dict(zip(names, lesions.tolist(), strict=False))
        few = [f"{count:,} of {name}" for name, count in counts.items() if count < FEW_GROUPS]
        what = f"{FEW_GROUPS} lesions or more of each class" if self.per_class else "10 lesions"
        hint = (
            'Pass `few="include"` to have the class in each set, or `per_class=False` for coverage '
            "of all classes together only."
        )
        hint = hint if self.per_class else 'Pass `few="include"` to have each class in each set.'
        require(self.few == "include" or not few, "target", what, listed(few, most=12), hint)
        always = {
            name: count
            for name, count in counts.items()
            if count >= FEW_GROUPS and np.ceil(_exact((count + 1) * self.coverage)) > count
        }
        if always and self.few == "refuse":
            most = min(always.values())
            warn(
                f"Each set holds {listed(always, most=12)}: {most:,} lesions can have a coverage "
                f"of {most / (most + 1):.3g} at most, but `coverage` is {self.coverage:g}."
            )


def cross_conformal(
    probabilities: Any,
    target: Any,
    *,
    groups: Any = None,
    label_space: Any = None,
    sets: ConformalSets | None = None,
    folds: int = 10,
    seed: int = 0,
    values: str = "probabilities",
) -> _Flags:
    """Find the set of each image with thresholds from the other folds of lesions.

    This judges sets on all images at hand, none of which had a part in its own thresholds; with
    halves, one for the thresholds and one to be judged, the coverage of a class with 30 lesions in
    each varies by 7.7 points. To predict, fit on all of them.

    Args:
        probabilities: Predictions (N, K) of images that the network was not trained on.
        target: True classes (N,), or a data set.
        groups: Lesion of each image (N,), or its patient; None makes each image one.
        label_space: Classes; None takes those of the data set or the data frame, or numbers.
        sets: Sets with the options that are wanted, which stay as they are; None takes
            ``ConformalSets()``.
        folds: Number of folds, 2 or more.
        seed: Seed of the folds, 0 or more.
        values: As for `ConformalSets.fit`.

    Returns:
        Whether the set of an image holds a class (N, K), bool.

    Raises:
        TypeError: An argument is of another type.
        ValueError: As for `ConformalSets.fit`, or there are fewer groups than folds.

    References:
        Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74,
        2015, https://doi.org/10.1007/s10472-013-9368-4.

    Examples:
        >>> probabilities = np.tile([[0.75, 0.25], [0.25, 0.75]], (20, 1))
        >>> cross_conformal(probabilities, [0, 1] * 20).sum(axis=0).tolist()
        [20, 20]
    """
    sets = ConformalSets() if sets is None else sets
    check_type(sets, "sets", ConformalSets, "a `ConformalSets` with the options that are wanted")
    found = read_predictions(probabilities, target, groups, label_space, values=values)
    hint = "Sets need probabilities, not the predicted classes."
    require(not found.classes_only, "probabilities", "floats (N, K)", "classes (N,)", hint)
    kind = "probabilities" if values == "logits" else values
    held = np.zeros(found.probabilities.shape, np.bool_)
    for rows in grouped_folds(found.groups, folds, seed):
        others = found.take(np.setdiff1d(np.arange(len(found)), rows))
        fitted = copy(sets).fit(
            others.probabilities,
            others.target,
            groups=others.groups,
            label_space=found.codes,
            values=kind,
        )
        held[rows] = fitted.predict(found.probabilities[rows], values=kind)
    return held


def quantile_by_group(scores: _Floats, groups: npt.NDArray[np.intp], level: float) -> float:
    """Find the score that a random image of a new group exceeds with at most 1 - `level`.

    Each of G groups weighs 1 / (G + 1), spread evenly over its images, and the new group weighs
    1 / (G + 1) at infinity: where the others do not reach the level, the quantile is infinite.

    Args:
        scores: Scores (N,).
        groups: Numbers of the groups (N,).
        level: Level above 0 and below 1.

    Examples:
        >>> quantile_by_group(np.arange(1.0, 20), np.arange(19), 0.9)  # the 18th of 19
        18.0
        >>> quantile_by_group(np.array([1.0, 9, 2]), np.array([0, 0, 1]), 0.5)
        2.0
        >>> quantile_by_group(np.arange(8.0), np.arange(8), 0.9)
        inf
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    reached = _exact(np.cumsum(1 / sizes[number[order]]))
    place = int(np.searchsorted(reached, _exact((len(sizes) + 1) * level)))
    return float(scores[order[place]]) if place < len(scores) else np.inf


def _exact(values: Any) -> Any:
    """Drop what rounding adds, which would move a quantile that is met exactly."""
    return np.round(values, 9)


def _scores(probabilities: _Floats, method: str) -> _Floats:
    """Compute how badly each class fits (N, K), 0..1."""
    if method == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    before = np.zeros_like(ranked)
    before[:, 1:] = np.cumsum(ranked, axis=1)[:, :-1]
    # Classes as likely as one another have what is before the first of them
    for place in range(1, ranked.shape[1]):
        tied = ranked[:, place] == ranked[:, place - 1]
        before[tied, place] = before[tied, place - 1]
    scores = np.empty_like(before)
    np.put_along_axis(scores, order, before, axis=1)
    return np.clip(scores, 0, 1)

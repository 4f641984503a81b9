"""Calibrators: temperature and vector scaling, fitted on images that are not scored afterwards."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, brentq, minimize
from scipy.special import log_softmax, softmax
from sklearn.model_selection import GroupKFold

from dermolib._validation import (
    Indices,
    check_call,
    check_choice,
    check_number,
    check_type,
    listed,
    require,
    warn,
)
from dermolib.evaluation.fitted_ids import ids_of, refuse_fitted
from dermolib.evaluation.predictions import (
    Predictions,
    as_array,
    read_numbers,
    read_predictions,
)
from dermolib.evaluation.support import FEW_GROUPS
from dermolib.labels import LabelSpace

__all__ = ["TemperatureScaling", "VectorScaling", "cross_calibrate", "grouped_folds"]

_COLDEST, _HOTTEST = 0.01, 100.0
_ZERO = float(np.finfo(np.float64).eps)  # what a probability of 0 counts as, as in scikit-learn
_UNDERFLOW = float(np.finfo(np.float64).tiny)  # the same for logits, whose softmax may vanish
_VALUES = ("probabilities", "logits")
_Floats = npt.NDArray[np.float64]


class _Scaling(ABC):
    """What calibrators have in common: reading, and refusing images that they were fitted on."""

    method: ClassVar[str]
    fitted: ClassVar[tuple[str, ...]]
    """Names of the attributes that `fit` sets, numbers or vectors."""

    def __init__(self, *, values: str | None = None) -> None:
        """Remember what the values are; None is settled by `fit`."""
        if values is not None:
            check_choice(values, "values", _VALUES)
        self._asked = self.values = values
        self._codes: tuple[str, ...] = ()
        self._seen: frozenset[str] = frozenset()

    @abstractmethod
    def _fit(self, logits: _Floats, given: Predictions) -> None:
        """Fit to log probabilities (N, K)."""

    @abstractmethod
    def _scale(self, logits: _Floats) -> _Floats:
        """Scale log probabilities (N, K)."""

    def fit(
        self,
        predictions: Any,
        target: Any,
        *,
        groups: Any = None,
        ids: Any = None,
        label_space: Any = None,
    ) -> Self:
        """Fit to the predictions of a validation split, by the least log loss.

        Args:
            predictions: Logits or probabilities (N, K), see `score`. A probability of 0
                counts as 2.2e-16.
            target: True classes (N,), or a data set, which has ids, groups and a label space, too.
            groups: Group of each image (N,), such as its lesion.
            ids: Id of each image (N,). `transform` refuses these ids and groups.
            label_space: Classes, see `score`.

        Returns:
            The calibrator itself.

        Raises:
            TypeError: An argument is of another type.
            ValueError: A value or shape is refused, or all images are of one class.
        """
        if hasattr(target, "labels"):
            ids = getattr(target, "ids", None) if ids is None else ids
            groups = getattr(target, "groups", None) if groups is None else groups
        self.values = self._asked or _values_of(predictions)
        given = read_predictions(
            predictions, target, groups, label_space, values=self.values, name="predictions"
        )
        got, what = "classes (N,)", "logits or probabilities (N, K)"
        require(not given.classes_only, "predictions", what, got)
        classes = np.unique(given.target)
        got = f"{len(given)} of {given.codes[classes[0]]} alone"
        require(len(classes) > 1, "target", "images of two classes or more", got)
        names = _names(ids, groups, len(given))
        own = given.probabilities[np.arange(len(given)), given.target]
        if self.values == "probabilities" and (own == 0).any():
            count = int((own == 0).sum())
            warn(
                f"The true class of {count:,} images has probability 0, which counts as 2.2e-16 "
                "and weighs much: fit to logits, or to probabilities that were not rounded."
            )
        self._fit(_logits(given.probabilities, self.values), given)
        self._codes = given.codes
        self._seen = frozenset(_digest(kind, one) for kind in names for one in names[kind])
        return self

    def transform(self, predictions: Any, *, ids: Any = None, groups: Any = None) -> _Floats:
        """Calibrate predictions of other images than those fitted on.

        Args:
            predictions: Logits or probabilities (N, K), as for `fit`.
            ids: Id of each image (N,), or the data set they are of, which has groups, too. Give
                these wherever the result is scored.
            groups: Group of each image (N,), by the same names as in `fit`.

        Returns:
            Calibrated probabilities (N, K).

        Raises:
            RuntimeError: `fit` was not called.
            TypeError: An argument is of another type.
            ValueError: An image, or another of its group, was used in `fit`; or a value or shape is
                refused.
        """
        if not self._codes:
            raise RuntimeError("Call `fit` before `transform`.")
        if hasattr(ids, "ids"):
            groups = getattr(ids, "groups", None) if groups is None else groups
            ids = ids.ids
        values = self.values or "logits"
        found = as_array(predictions, "predictions")
        hint = "Fit to what you transform."
        odd = values == "logits" and _sum_to_one(found)
        require(not odd, "predictions", "logits, as in `fit`", "probabilities", hint)
        odd = values == "probabilities" and _beyond_one(found)
        require(not odd, "predictions", "probabilities, as in `fit`", "values beyond 0..1", hint)
        dummy = np.zeros(len(found) if found.ndim else 0, np.intp)
        space = LabelSpace(self._codes)
        given = read_predictions(predictions, dummy, None, space, values=values, name="predictions")
        got, what = "classes (N,)", f"{values} (N, {len(space)})"
        require(not given.classes_only, "predictions", what, got)
        for kind, names in _names(ids, groups, len(given)).items():
            known = frozenset(one for one in names if _digest(kind, one) in self._seen)
            refuse_fitted(known, names, "the calibration", name=kind)
        return np.asarray(softmax(self._scale(_logits(given.probabilities, values)), axis=1))

    def __repr__(self) -> str:
        """Name what was fitted."""
        found = {name: getattr(self, name) for name in self.fitted}
        texts = [
            f"{name} {np.array2string(np.asarray(value), precision=3)}"
            for name, value in found.items()
            if np.size(value)
        ]
        return f"{type(self).__name__}({', '.join(texts)})"

    def to_dict(self) -> dict[str, Any]:
        """Write the fitted calibrator as JSON values, for a checkpoint or an export.

        Raises:
            RuntimeError: `fit` was not called.
        """
        if not self._codes:
            raise RuntimeError("Call `fit` before `to_dict`.")
        found = {name: np.asarray(getattr(self, name)).tolist() for name in self.fitted}
        shared = {"method": self.method, "values": self.values, "codes": list(self._codes)}
        return {**shared, **found, "fitted_on": sorted(self._seen)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read a calibrator that `to_dict` wrote.

        Raises:
            TypeError: `state` is not a mapping.
            ValueError: It is of another method, or an entry is missing.
        """
        check_type(state, "state", Mapping, "what `to_dict` wrote")
        wanted = ("method", "values", "codes", *cls.fitted)
        missing = [name for name in wanted if name not in state]
        require(not missing, "state", "what `to_dict` wrote", f"none of {listed(missing)}")
        require(state["method"] == cls.method, "method", repr(cls.method), repr(state["method"]))
        made = cls(values=state["values"])
        made._codes = LabelSpace(state["codes"]).codes
        for name in cls.fitted:
            shape = () if name == "temperature" else (len(made._codes),)
            value = read_numbers(state[name], name, shape)
            require(name != "temperature" or (value > 0).all(), name, "above 0", value)
            setattr(made, name, value if value.ndim else float(value))
        seen = state.get("fitted_on", ())
        fits = isinstance(seen, (list, tuple)) and all(isinstance(one, str) for one in seen)
        require(fits, "fitted_on", "a list of text", repr(seen), error=TypeError)
        made._seen = frozenset(seen)
        return made


class TemperatureScaling(_Scaling):
    """Divide logits by one temperature, which keeps the order of the classes.

    One number is fitted, so some dozen lesions suffice. scikit-learn's, ``CalibratedClassifierCV(
    method="temperature")``, finds the same from 1.8 on, but wants the estimator itself.

    Args:
        values: ``"logits"`` or ``"probabilities"``; None takes rows in 0..1 that sum to 1 for
            probabilities and any others for logits, when fitted.

    Attributes:
        temperature: The temperature, 0.01..100; above 1 where the model was overconfident.

    References:
        Guo et al., On calibration of modern neural networks, ICML 2017,
        https://doi.org/10.48550/arXiv.1706.04599.

    Examples:
        A model that gives 0.88 to what is right in three of four images:

        >>> logits = np.tile([[2.0, 0.0]], (40, 1))
        >>> target = np.tile([0, 0, 0, 1], 10)
        >>> scaling = TemperatureScaling().fit(logits, target)
        >>> round(scaling.temperature, 4), scaling.transform(logits)[0].round(4).tolist()
        (1.8205, [0.75, 0.25])
    """

    method = "temperature"
    fitted = ("temperature",)

    def __init__(self, *, values: str | None = None) -> None:
        """Start from the temperature 1."""
        super().__init__(values=values)
        self.temperature = 1.0

    def _fit(self, logits: _Floats, given: Predictions) -> None:
        """Find the temperature of the least log loss."""
        self.temperature = _best_temperature(logits, given.target)
        if given.num_groups < FEW_GROUPS:
            warn(
                f"The temperature is fitted to {given.num_groups} groups, fewer than {FEW_GROUPS}."
            )
        if self.temperature == _COLDEST:
            warn(
                f"The temperature is at its bound of {_COLDEST:g}: the most likely class is right "
                "in every image, so that these cannot say how often it is wrong."
            )
        if self.temperature == _HOTTEST:
            warn(
                f"The temperature is at its bound of {_HOTTEST:g}: the probabilities are no better "
                "than equal ones. Check that classes and images are in order."
            )

    def _scale(self, logits: _Floats) -> _Floats:
        """Divide by the temperature."""
        return logits / self.temperature


class VectorScaling(_Scaling):
    """Scale and shift the log probability of each class, which may change the order of classes.

    Scales and shifts are drawn to those of `TemperatureScaling` by a ridge. Two numbers are fitted
    for each class, so a class of fewer than 10 groups is refused.

    Args:
        penalty: Strength of the ridge, 0 or more: how much a scale that is off by its whole value,
            or a shift of 1, costs, in halves of a log loss of 1 in one image. 0 fits freely.
        values: See `TemperatureScaling`.

    Attributes:
        scales: Factor of each class (K,), 0 or more.
        shifts: Number added to each class (K,).

    References:
        Guo et al., On calibration of modern neural networks, ICML 2017,
        https://doi.org/10.48550/arXiv.1706.04599.

    Examples:
        A model that gives the second class too little:

        >>> probabilities = np.tile([[0.8, 0.2], [0.6, 0.4]], (50, 1))
        >>> target = np.tile([0, 0, 1, 1], 25)
        >>> scaling = VectorScaling().fit(probabilities, target)
        >>> bool(scaling.shifts[1] > scaling.shifts[0])
        True
    """

    method = "vector"
    fitted = ("scales", "shifts")

    def __init__(self, *, penalty: float = 1.0, values: str | None = None) -> None:
        """Keep the strength of the ridge."""
        check_number(penalty, "penalty", low=0, below=np.inf)
        super().__init__(values=values)
        self.penalty = float(penalty)
        self.scales: _Floats = np.ones(0)
        self.shifts: _Floats = np.zeros(0)

    def _fit(self, logits: _Floats, given: Predictions) -> None:
        """Find scales and shifts of the least log loss and ridge."""
        pairs = np.unique(np.stack([given.target, given.groups]), axis=1)
        count = np.bincount(pairs[0], minlength=len(given.codes))
        few = listed(
            (
                f"{n} of {code}"
                for code, n in zip(given.codes, count, strict=True)
                if n < FEW_GROUPS
            ),
            most=8,
        )
        what = f"images of {FEW_GROUPS} groups or more of each class"
        require(not few, "target", what, few, "Use `TemperatureScaling`.")
        start = 1 / _best_temperature(logits, given.target)
        hot = np.eye(len(count))[given.target]

        def loss(vector: _Floats) -> tuple[float, _Floats]:
            scales, shifts = np.split(vector, 2)
            found = log_softmax(start * scales * logits + shifts, axis=1)
            ridge = self.penalty * np.concatenate([scales - 1, shifts])
            rest = np.exp(found) - hot
            slope = np.concatenate([(rest * start * logits).sum(axis=0), rest.sum(axis=0)]) + ridge
            whole = -(found * hot).sum() + ridge @ ridge / (2 * self.penalty or 1)
            return whole / len(hot), slope / len(hot)

        first = np.concatenate([np.ones(len(count)), np.zeros(len(count))])
        bounds = Bounds(np.repeat([0, -np.inf], len(count)), np.inf)
        best = minimize(
            loss,
            first,
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9},
        )
        self.scales, shifts = start * best.x[: len(count)], best.x[len(count) :]
        self.shifts = shifts - shifts.mean()

    def _scale(self, logits: _Floats) -> _Floats:
        """Scale and shift."""
        return logits * self.scales + self.shifts


def cross_calibrate(
    predictions: Any,
    target: Any,
    *,
    groups: Any = None,
    method: Callable[[], Any] = TemperatureScaling,
    folds: int = 5,
    seed: int = 0,
    label_space: Any = None,
) -> _Floats:
    """Calibrate the predictions of each fold with a calibrator fitted to the other folds.

    Args:
        predictions: Logits or probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        groups: Group of each image (N,), such as its lesion, that is never split.
        method: Calibrator class, or a function that makes one.
        folds: Number of folds, 2 or more.
        seed: Seed of the folds, 0 or more.
        label_space: Classes, see `score`.

    Returns:
        Calibrated probabilities (N, K).

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or there are fewer groups than folds.

    Examples:
        >>> logits = np.tile([[2.0, 0.0]], (80, 1))
        >>> target = np.tile([0, 0, 0, 1], 20)
        >>> calibrated = cross_calibrate(logits, target)
        >>> bool((calibrated[:, 0] < 0.85).all())
        True
    """
    what, got = "`TemperatureScaling`, or what makes a calibrator", f"a {type(method).__name__}"
    require(callable(method), "method", what, got, error=TypeError)
    check_call(method, ())
    values = _values_of(predictions)
    given = read_predictions(
        predictions, target, groups, label_space, values=values, name="predictions"
    )
    logits = _logits(given.probabilities, values)
    calibrated = np.empty_like(logits)
    for rows in grouped_folds(given.groups, folds, seed):
        others = np.setdiff1d(np.arange(len(given)), rows)
        made = method()
        check_type(made, "method", _Scaling, what)
        made._asked = "logits"
        made.fit(
            logits[others],
            given.target[others],
            groups=given.groups[others],
            label_space=given.codes,
        )
        calibrated[rows] = made.transform(logits[rows], groups=given.groups[rows])
    return calibrated


def grouped_folds(groups: Indices, folds: int, seed: int) -> Iterator[Indices]:
    """Deal whole groups, numbered from 0, out to folds; yield the rows of each fold."""
    check_number(folds, "folds", low=2, integer=True)
    check_number(seed, "seed", low=0, integer=True)
    count = len(np.unique(groups))
    require(count >= folds, "folds", f"up to {count}, the number of groups", folds)
    splitter = GroupKFold(folds, shuffle=True, random_state=seed)
    for _, rows in splitter.split(groups, groups=groups):
        yield np.asarray(rows, np.intp)


def _values_of(predictions: Any) -> str:
    """Take rows in 0..1 that sum to 1 for probabilities; other rows in 0..1 are refused as such."""
    found = as_array(predictions, "predictions")
    within = found.dtype.kind not in "iuf" or ((found >= 0) & (found <= 1)).all()
    return "probabilities" if within else "logits"


def _sum_to_one(found: npt.NDArray[Any]) -> bool:
    """Find out whether rows of several values are probabilities."""
    several = found.ndim == 2 and min(found.shape) > 1 and found.dtype.kind == "f"
    return bool(several and (found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=1e-3))


def _beyond_one(found: npt.NDArray[Any]) -> bool:
    """Find out whether rows of several finite values are no probabilities."""
    floats = found.ndim == 2 and found.dtype.kind == "f" and np.isfinite(found).all()
    return bool(floats and ((found < 0) | (found > 1)).any())


def _logits(probabilities: _Floats, values: str) -> _Floats:
    """Take logs, (N, K): the logits but for a constant of each row."""
    return np.log(np.maximum(probabilities, _ZERO if values == "probabilities" else _UNDERFLOW))


def _names(ids: Any, groups: Any, count: int) -> dict[str, frozenset[str]]:
    """Collect the ids of images and the names of their groups that are known."""
    return {
        "ids": ids_of(ids, None, count),
        "groups": ids_of(groups, None, count, name="groups") - {"-1"},
    }


def _digest(kind: str, name: str) -> str:
    """Digest a name, so that a file of a calibrator carries none of a patient."""
    return hashlib.blake2b(f"{kind} {name}".encode(), digest_size=8).hexdigest()


def _best_temperature(logits: _Floats, target: Indices) -> float:
    """Find the temperature of the least log loss, which is convex in its inverse."""
    own = logits[np.arange(len(target)), target]

    def slope(log_inverse: float) -> float:
        chances = softmax(np.exp(log_inverse) * logits, axis=1)
        return float(((chances * logits).sum(axis=1) - own).mean())

    flat = np.ptp(logits, axis=1).max() < 1e-12
    if flat:
        return 1.0
    low, high = -np.log(_HOTTEST), -np.log(_COLDEST)
    if slope(low) >= 0:
        return _HOTTEST
    if slope(high) <= 0:
        return _COLDEST
    return float(np.exp(-brentq(slope, low, high, xtol=1e-13)))

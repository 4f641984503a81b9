"""Temperature and vector scaling, against scikit-learn and SciPy."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dermolib.evaluation import (
    TemperatureScaling,
    VectorScaling,
    calibration_error,
    cross_calibrate,
)
from dermolib.labels import LABEL_SPACES

_Floats = npt.NDArray[np.float64]


def _drawn(seed: int, images: int = 600, classes: int = 4, factor: float = 2.0) -> Any:
    """Draw logits that are too large by a factor, and classes from the honest ones."""
    generator = np.random.default_rng(seed)
    honest = generator.normal(0, 2, (images, classes))
    chances = softmax(honest, axis=1).cumsum(axis=1)
    target = (chances > generator.random((images, 1))).argmax(axis=1)
    return factor * honest, target


class _Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no annotations
    """A classifier of scikit-learn whose features are its logits."""

    def fit(self, _: _Floats, target: Any) -> Any:
        self.classes_ = np.unique(target)
        return self

    def predict(self, features: _Floats) -> Any:
        return self.classes_[features.argmax(axis=1)]

    def decision_function(self, features: _Floats) -> _Floats:
        return features


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8),
    reason="scikit-learn has temperature scaling from 1.8 on",
)
def test_the_temperature_is_that_of_scikit_learn() -> None:
    logits, target = _drawn(0)
    frozen = FrozenEstimator(_Logits().fit(logits, target))
    reference = CalibratedClassifierCV(frozen, method="temperature").fit(logits, target)

    found = TemperatureScaling().fit(logits, target).transform(logits)

    assert np.allclose(found, reference.predict_proba(logits), atol=1e-6)


def test_the_temperature_of_two_classes_is_a_logistic_regression_without_intercept() -> None:
    logits, target = _drawn(1, classes=2)
    margin = logits[:, 1:] - logits[:, :1]
    reference = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(margin, target)

    found = TemperatureScaling().fit(logits, target).temperature

    assert found == pytest.approx(1 / reference.coef_.item(), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.2, 8), seed=st.integers(0, 100))
def test_logits_times_a_factor_have_a_temperature_times_it(factor: float, seed: int) -> None:
    logits, target = _drawn(seed, images=200)

    one, other = (TemperatureScaling().fit(f * logits, target) for f in (1.0, factor))

    assert other.temperature == pytest.approx(factor * one.temperature, rel=1e-8)
    assert np.allclose(one.transform(logits), other.transform(factor * logits), atol=1e-9)


def test_the_order_of_classes_stays_and_the_loss_and_error_fall_on_other_images() -> None:
    logits, target = _drawn(2, images=4000, factor=3)
    fit, rest = slice(0, 1000), slice(1000, None)

    scaling = TemperatureScaling().fit(logits[fit], target[fit])
    found = scaling.transform(logits[rest])

    before = softmax(logits[rest], axis=1)
    assert scaling.temperature == pytest.approx(3, rel=0.15)
    assert (found.argmax(axis=1) == before.argmax(axis=1)).all()
    assert np.allclose(found.sum(axis=1), 1)
    assert log_loss(target[rest], found) < log_loss(target[rest], before)
    before_error, error = (calibration_error(p, target[rest]) for p in (before, found))
    assert error < before_error / 3


def _fit_to_codes(frame: pd.DataFrame, target: Any) -> TemperatureScaling:
    codes = LABEL_SPACES["challenge"].codes
    given_ones = (frame, [codes[k] for k in target])
    return TemperatureScaling().fit(*given_ones, label_space="challenge")


def test_logits_probabilities_tensors_frames_and_codes_give_the_same() -> None:
    logits, target = _drawn(3, classes=8)
    probabilities = softmax(logits, axis=1)
    codes = LABEL_SPACES["challenge"].codes
    frame = pd.DataFrame(probabilities, columns=codes)[[*codes[::-1]]]

    wanted = TemperatureScaling().fit(logits, target)
    others = [
        (TemperatureScaling().fit(probabilities, target), probabilities),
        (TemperatureScaling().fit(torch.tensor(logits), torch.tensor(target)), logits),
        (_fit_to_codes(frame, target), frame),
    ]

    for scaling, values in others:
        assert scaling.temperature == pytest.approx(wanted.temperature, rel=1e-9)
        assert np.allclose(scaling.transform(values), wanted.transform(logits), atol=1e-10)


def test_one_logit_of_two_classes_is_scaled() -> None:
    logits, target = _drawn(4, classes=2)
    margin = logits[:, 1] - logits[:, 0]

    found = TemperatureScaling().fit(margin, target)

    assert found.temperature == pytest.approx(TemperatureScaling().fit(logits, target).temperature)
    assert found.transform(margin).shape == (600, 2)


def test_all_right_is_bounded_and_warned_of() -> None:
    logits = 3 * np.eye(3)[np.arange(30) % 3]

    with pytest.warns(UserWarning, match="right in every image"):
        scaling = TemperatureScaling().fit(logits, np.arange(30) % 3)

    assert scaling.temperature == 0.01
    assert np.isfinite(scaling.transform(logits)).all()


def test_no_better_than_chance_is_bounded_and_warned_of() -> None:
    logits = 3 * np.eye(3)[np.arange(30) % 3]

    with pytest.warns(UserWarning, match="no better than equal"):
        scaling = TemperatureScaling().fit(logits, (np.arange(30) + 1) % 3)

    assert scaling.temperature == 100
    assert TemperatureScaling().fit(0 * logits - 1, np.arange(30) % 3).temperature == 1


def test_few_lesions_are_warned_of() -> None:
    logits, target = _drawn(5, images=90)

    with pytest.warns(UserWarning, match="9 groups, fewer than 10"):
        TemperatureScaling().fit(logits, target, groups=np.arange(90) % 9)


def test_a_true_class_of_probability_0_is_warned_of() -> None:
    probabilities = np.tile([[0.9, 0.1], [0.1, 0.9]], (500, 1))
    target = np.tile([0, 1, 0, 1, 0, 1, 0, 0], 125)

    with pytest.warns(UserWarning, match="1 images has probability 0"):
        scaling = TemperatureScaling().fit([*probabilities, [1, 0]], [*target, 1])
    logs = np.array([0, np.log(2.0**-52)])
    assert scaling.transform([[1, 0]])[0] == pytest.approx(softmax(logs / scaling.temperature))


def test_vector_scaling_of_two_classes_is_a_logistic_regression() -> None:
    logits, target = _drawn(6, classes=2)
    logs = log_softmax(logits, axis=1)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(logs, target)

    scaling = VectorScaling(penalty=0).fit(logits, target)

    assert scaling.scales * [-1, 1] == pytest.approx(reference.coef_[0], rel=1e-3)
    assert np.allclose(scaling.transform(logits), reference.predict_proba(logs), atol=1e-5)


def test_vector_scaling_reaches_the_least_loss_of_another_optimizer() -> None:
    logits, target = _drawn(7, classes=3, images=300)
    logits += [0, 1, -1]
    logs = log_softmax(logits, axis=1)
    temperature = TemperatureScaling().fit(logits, target).temperature

    def objective(vector: _Floats) -> float:
        scales, shifts = vector[:3], vector[3:]
        found = log_softmax(logs * scales + shifts, axis=1)[np.arange(300), target]
        ridge = ((scales * temperature - 1) ** 2).sum() + (shifts**2).sum()
        return float(-found.sum() + 5 / 2 * ridge)

    scaling = VectorScaling(penalty=5).fit(logits, target)
    reference = minimize(
        objective,
        np.ones(6) / 2,
        method="Nelder-Mead",
        options={"maxiter": 20_000, "xatol": 1e-9, "fatol": 1e-10, "maxfev": 20_000},
    )

    assert scaling.scales == pytest.approx(reference.x[:3], abs=1e-4)
    assert scaling.shifts == pytest.approx(reference.x[3:], abs=1e-4)
    honest = VectorScaling(penalty=0).fit(logits, target)
    assert honest.shifts[2] - honest.shifts[1] == pytest.approx(1, abs=0.5)


def test_a_strong_ridge_gives_the_temperature() -> None:
    logits, target = _drawn(8)

    vector = VectorScaling(penalty=1e9).fit(logits, target)

    temperature = TemperatureScaling().fit(logits, target)
    assert vector.scales == pytest.approx(1 / temperature.temperature, rel=1e-5)
    assert np.allclose(vector.transform(logits), temperature.transform(logits), atol=1e-5)


def test_vector_scaling_refuses_classes_of_few_lesions() -> None:
    logits, target = _drawn(9, classes=8)
    target[target == 5] = 4
    groups = np.where(target == 6, 10_000 + np.arange(600) % 9, np.arange(600))

    with pytest.raises(ValueError, match=r"`target`.*10 groups.*0 of DF, 9 of VASC.*Temperature"):
        VectorScaling().fit(logits, target, groups=groups, label_space="challenge")


def test_images_and_lesions_that_were_fitted_on_are_refused() -> None:
    logits, target = _drawn(10, images=100)
    ids = [f"ISIC_{number:07}" for number in range(100)]
    lesions = [f"L{number // 2}" for number in range(98)] + ["", None]
    scaling = TemperatureScaling().fit(logits, target, ids=ids, groups=lesions)

    with pytest.raises(
        ValueError,
        match=r"`ids`.*no part in fitting the calibration.*got 2 of.*ISIC_0000007.*validation",
    ):
        scaling.transform(logits[:3], ids=["ISIC_0000007", "new", "ISIC_0000099"])
    with pytest.raises(
        ValueError, match=r"`groups`.*no part in fitting the calibration.*got 1 of 2 that did .L48"
    ):
        scaling.transform(logits[:2], ids=["new", "newer"], groups=["L48", "L99"])
    # an unknown lesion is no lesion that was seen
    numbered = TemperatureScaling().fit(logits, target, groups=np.r_[-1, -1, np.arange(98)])
    assert numbered.transform(logits[:2], groups=[-1, 98]).shape == (2, 4)
    assert scaling.transform(logits[:2], ids=["new", "newer"], groups=["", None]).shape == (2, 4)


def test_a_data_set_brings_its_ids_and_lesions() -> None:
    logits, target = _drawn(11, images=60, classes=8)

    class Data:
        label_space = LABEL_SPACES["challenge"]

        def __init__(self, start: int) -> None:
            self.labels = target
            self.ids = np.array([f"I{start + number}" for number in range(60)], object)
            self.groups = np.array([f"L{(start + number) // 2}" for number in range(60)], object)

    scaling = TemperatureScaling().fit(logits, Data(0))

    assert scaling.transform(logits, ids=Data(60)).shape == (60, 8)
    with pytest.raises(ValueError, match=r"`ids`.*no part in fitting the calibration.*got 60 of"):
        scaling.transform(logits, ids=Data(0))
    with pytest.raises(ValueError, match=r"`groups`.*no part in fitting the calibration.*got 1 of"):
        scaling.transform(logits[:1], ids=["new"], groups=["L3"])


@pytest.mark.parametrize("method", [TemperatureScaling, VectorScaling])
def test_a_calibrator_goes_through_json_and_still_refuses(method: Any) -> None:
    logits, target = _drawn(12)
    scaling = method().fit(logits, target, ids=np.arange(600))

    again = method.from_dict(json.loads(json.dumps(scaling.to_dict())))

    assert (again.transform(logits) == scaling.transform(logits)).all()
    with pytest.raises(ValueError, match=r"`ids`.*no part in fitting the calibration.*got 1 of"):
        again.transform(logits[:1], ids=[599])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "vector"}, "`method`.*'temperature'"),
        ({"temperature": float("nan")}, "`temperature`.*finite"),
        ({"temperature": -1.0}, "`temperature`.*above 0"),
        ({"temperature": [1.0, 2.0]}, "`temperature`.*shape"),
        ({"codes": None}, "`state`.*codes"),
    ],
)
def test_a_broken_state_is_refused(change: Any, words: str) -> None:
    state = TemperatureScaling().fit(*_drawn(0)).to_dict() | change
    state = {name: value for name, value in state.items() if value is not None}

    with pytest.raises(ValueError, match=words):
        TemperatureScaling.from_dict(state)


def test_cross_calibration_never_fits_to_the_lesion_it_scores() -> None:
    logits, target = _drawn(13, images=300)
    lesions = np.arange(300) // 3
    changed = target.copy()
    changed[:3] = (target[:3] + 1) % 4

    found, other = (cross_calibrate(logits, y, groups=lesions) for y in (target, changed))

    assert (found[:3] == other[:3]).all()  # their own targets have no say
    assert (found != other).any()
    order = np.random.default_rng(0).permutation(300)
    wanted = calibration_error(TemperatureScaling().fit(logits, target).transform(logits), target)
    assert calibration_error(found, target) == pytest.approx(wanted, abs=0.03)
    assert cross_calibrate(logits[order], target[order], method=VectorScaling).shape == (300, 4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": np.zeros(40, int)}, ValueError, "`target`.*two classes.*40 of 0 alone"),
        ({"predictions": np.zeros(40, int)}, ValueError, "`predictions`.*classes"),
        ({"predictions": np.full((40, 2), 0.9)}, ValueError, "sum to 1"),
        ({"predictions": np.full((40, 2), np.nan)}, ValueError, "finite"),
        ({"ids": ["a"]}, ValueError, r"`ids`.*\(40,\)"),
        ({"groups": ["a"]}, ValueError, "`groups`"),
    ],
)
def test_a_mistake_in_fitting_is_refused(options: Any, error: Any, words: str) -> None:
    logits, target = _drawn(0, images=40, classes=2)

    with pytest.raises(error, match=words):
        TemperatureScaling().fit(**{"predictions": logits, "target": target, **options})


def test_a_mistake_in_transforming_is_refused() -> None:
    logits, target = _drawn(0)
    scaling = TemperatureScaling().fit(logits, target)

    with pytest.raises(RuntimeError, match=r"`fit` before `transform`"):
        TemperatureScaling().transform(logits)
    with pytest.raises(RuntimeError, match=r"`fit` before `to_dict`"):
        VectorScaling().to_dict()
    with pytest.raises(ValueError, match=r"`predictions`.*logits, as in `fit`"):
        scaling.transform(softmax(logits, axis=1))
    with pytest.raises(ValueError, match="column for each class"):
        scaling.transform(logits[:, :3])
    with pytest.raises(ValueError, match=r"`predictions`.*classes"):
        scaling.transform(target)
    with pytest.raises(ValueError, match=r"`values`.*'logits'"):
        TemperatureScaling(values="odds")
    with pytest.raises(ValueError, match=r"`penalty`.*0 or more"):
        VectorScaling(penalty=-1)
    with pytest.raises(ValueError, match=r"`folds`.*up to 600"):
        cross_calibrate(logits, target, folds=601)


def test_a_calibrator_that_is_fitted_again_forgets_what_it_was_fitted_to() -> None:
    logits, target = _drawn(14)
    scaling = TemperatureScaling().fit(logits, target, ids=np.arange(600))

    scaling.fit(softmax(logits, axis=1), target, ids=np.arange(600, 1200))

    wanted = TemperatureScaling().fit(logits, target)
    assert scaling.temperature == pytest.approx(wanted.temperature, rel=1e-9)
    found = scaling.transform(softmax(logits, axis=1), ids=np.arange(600))
    assert np.allclose(found, wanted.transform(logits), atol=1e-9)


def test_cross_calibration_takes_a_calibrator_of_either_kind_of_values() -> None:
    logits, target = _drawn(15)
    probabilities = softmax(logits, axis=1)

    wanted = cross_calibrate(logits, target)

    for values in ("logits", "probabilities"):

        def make(values: str = values) -> TemperatureScaling:
            return TemperatureScaling(values=values)

        assert np.allclose(cross_calibrate(probabilities, target, method=make), wanted, atol=1e-9)
    with pytest.raises(TypeError, match=r"`method`.*TemperatureScaling"):
        cross_calibrate(logits, target, method=dict)


@pytest.mark.parametrize("value", [None, "hot", {}, [["a"]], float("nan")])
def test_a_state_that_was_changed_is_refused_in_words(value: object) -> None:
    logits = np.tile([[2.0, 0.0], [0.0, 1.0]], (20, 1))
    state = TemperatureScaling().fit(logits, np.tile([0, 1, 1, 1], 10)).to_dict()
    for name in ("temperature", "fitted_on", "codes"):
        with pytest.raises((TypeError, ValueError), match=f"Expected `{name}`"):
            TemperatureScaling.from_dict(state | {name: value})
    with pytest.raises((TypeError, ValueError), match="Expected `predictions`"):
        TemperatureScaling.from_dict(state).transform(value)


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected `method`"):
        cross_calibrate([[0.5, 0.5]], [0], method="temperature")  # type: ignore[arg-type]


def test_a_calibrator_is_shown_with_what_was_fitted() -> None:
    assert repr(TemperatureScaling()) == "TemperatureScaling(temperature 1.)"
    assert repr(VectorScaling()) == "VectorScaling()"

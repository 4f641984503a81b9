"""Scores of weighted groups, against scikit-learn, torchmetrics and rows that are repeated."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torchmetrics.functional import classification

from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.resampling import jackknife, replicates
from dermolib.evaluation.statistics import (
    CLASS_METRICS,
    OVERALL_METRICS,
    confidence_bins,
    predicted_classes,
    statistic,
)

Scores: TypeAlias = dict[tuple[str, str], float]


def drawn(seed: int, classes: int, images: int = 60, decimals: int = 2) -> Predictions:
    """Draw predictions that are better than chance, with ties where they are rounded."""
    generator = np.random.default_rng(seed)
    target = np.r_[np.arange(classes), generator.integers(0, classes, images - classes)]
    values = generator.dirichlet(np.ones(classes), images) + np.eye(classes)[target] / 2
    counts = generator.multinomial(10**decimals, values / values.sum(axis=1, keepdims=True))
    groups = generator.integers(0, 20, images)
    return read_predictions(counts / 10**decimals, target, groups)


def scores_of(predictions: Predictions, **options: Any) -> Scores:
    """Name the scores of all images, without those that are undefined."""
    found = statistic(predictions, **options)
    pairs = zip(found.columns, found.values.tolist(), strict=True)
    return {column: value for column, value in pairs if value == value}


def of_sklearn(predictions: Predictions) -> Scores:
    """Compute what scikit-learn has, for the classes that have images."""
    target, values = predictions.target, predictions.probabilities
    predicted, every = values.argmax(axis=1), range(values.shape[1])
    present = np.unique(target)
    probabilities = values[:, 1] if len(every) == 2 else values
    f1 = metrics.f1_score(target, predicted, labels=present, average=None)
    found = {
        ("balanced_accuracy", ""): metrics.recall_score(
            target, predicted, labels=present, average="macro"
        ),
        ("accuracy", ""): metrics.accuracy_score(target, predicted),
        ("macro_f1", ""): f1.mean(),
        ("log_loss", ""): metrics.log_loss(target, values, labels=[*every]),
        ("brier", ""): metrics.brier_score_loss(target, probabilities, labels=[*every]),
    }
    for place, one in zip(present.tolist(), f1, strict=True):
        found["f1", str(place)] = one
    for place in present.tolist() if len(present) > 1 else []:
        found |= _of_curve(target == place, values[:, place], str(place))
    for name in ("roc_auc", "average_precision"):
        parts = [value for (one, _), value in found.items() if one == name]
        found |= {(f"macro_{name}", ""): np.mean(parts)} if parts else {}
    for place in every:
        found |= _of_class(target == place, predicted == place, str(place))
    return {key: float(value) for key, value in found.items()}


def _of_curve(truth: Any, values: Any, code: str) -> Scores:
    """Compute what scikit-learn's curves say of one class."""
    false, true, _ = metrics.roc_curve(truth, values, drop_intermediate=False)
    # As ISIC 2024's scorer: classes and order reversed, then scikit-learn's scaling undone
    scaled = metrics.roc_auc_score(~truth, -values, max_fpr=0.2)
    pauc = 0.02 + 2 * (0.2 - 0.02) * (scaled - 0.5)
    return {
        ("roc_auc", code): metrics.roc_auc_score(truth, values),
        ("average_precision", code): metrics.average_precision_score(truth, values),
        ("specificity_at_sensitivity", code): (1 - false)[true >= 0.95].max(),
        ("sensitivity_at_specificity", code): true[(1 - false) >= 0.95].max(),
        ("pauc", code): pauc,
    }


def _of_class(truth: Any, said: Any, code: str) -> Scores:
    """Compute what scikit-learn says of one predicted class, without what is 0 / 0."""
    found: Scores = {}
    for name, score, positive, rows in (
        ("sensitivity", metrics.recall_score, True, truth.any()),
        ("specificity", metrics.recall_score, False, not truth.all()),
        ("ppv", metrics.precision_score, True, said.any()),
        ("npv", metrics.precision_score, False, not said.all()),
    ):
        if rows:
            found[name, code] = score(truth, said, pos_label=positive)
    return found


def calibration_error(predictions: Predictions, bins: int) -> float:
    """Compute the expected calibration error as Naeini et al. define it, bin by bin."""
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.probabilities.argmax(axis=1) == predictions.target
    total = 0.0
    for place in range(bins):
        rows = (confidence > place / bins) & (confidence <= (place + 1) / bins)
        if rows.any():
            total += rows.mean() * abs(right[rows].mean() - confidence[rows].mean())
    return total


def repeated(predictions: Predictions, weights: npt.NDArray[Any]) -> Predictions:
    """Repeat the images of each group as often as its weight says."""
    rows = np.repeat(np.arange(len(predictions)), weights[predictions.groups].astype(int))
    return predictions.take(rows)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("classes", [2, 3, 6, 11])
def test_scores_are_those_of_scikit_learn(classes: int, decimals: int) -> None:
    predictions = drawn(classes, classes, 90, decimals)
    found = scores_of(predictions)
    assert found.pop(("ece", "")) == pytest.approx(calibration_error(predictions, 15), abs=1e-12)
    assert found == pytest.approx(of_sklearn(predictions), abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 9999), classes=st.integers(2, 6), images=st.integers(7, 30))
def test_classes_may_be_absent_or_never_predicted(seed: int, classes: int, images: int) -> None:
    generator = np.random.default_rng(seed)
    kept = generator.permutation(classes)[: generator.integers(1, classes + 1)]
    predictions = drawn(seed, classes, images, 1)
    predictions = predictions.take(np.isin(predictions.target, kept))
    found = scores_of(predictions)
    assert found.pop(("ece", "")) == pytest.approx(calibration_error(predictions, 15), abs=1e-12)
    assert found == pytest.approx(of_sklearn(predictions), abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 9999), classes=st.integers(2, 6), decimals=st.integers(1, 4))
def test_a_weight_is_how_often_a_group_is_repeated(seed: int, classes: int, decimals: int) -> None:
    predictions = drawn(seed, classes, 40, decimals)
    weights = np.random.default_rng(seed).integers(0, 4, (3, predictions.num_groups))
    weights[0] = 1
    statistic_ = statistic(predictions)
    for row, values in zip(weights, statistic_(weights.astype(np.float32)), strict=True):
        again = repeated(predictions, row)
        found = dict(zip(statistic_.columns, values.tolist(), strict=True))
        fixed = found.pop(("balanced_accuracy", ""))
        true, right = (
            np.bincount(classes_, minlength=classes)
            for classes_ in (
                again.target,
                again.target[again.probabilities.argmax(axis=1) == again.target],
            )
        )
        every = 1 / np.bincount(predictions.target, minlength=classes)
        assert fixed == pytest.approx((every @ right) / (every @ true), abs=1e-12, nan_ok=True)
        same = scores_of(again)
        for column, value in found.items():
            if column[0].startswith("macro_") and len({*again.target}) < classes:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(same.get(column, np.nan), abs=1e-12, nan_ok=True)


BY_CLASS: list[tuple[str, Any, float]] = [
    ("roc_auc", classification.multiclass_auroc, 1e-12),
    ("average_precision", classification.multiclass_average_precision, 1e-12),
    ("f1", classification.multiclass_f1_score, 1e-12),
    # These divide in single precision
    ("sensitivity", classification.multiclass_recall, 1e-7),
    ("specificity", classification.multiclass_specificity, 1e-7),
    ("ppv", classification.multiclass_precision, 1e-7),
    ("npv", classification.multiclass_negative_predictive_value, 1e-7),
]
AT: list[tuple[str, Any, str]] = [
    (
        "specificity_at_sensitivity",
        classification.multiclass_specificity_at_sensitivity,
        "min_sensitivity",
    ),
    (
        "sensitivity_at_specificity",
        classification.multiclass_sensitivity_at_specificity,
        "min_specificity",
    ),
]


@pytest.fixture
def in_double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("in_double_precision")
@pytest.mark.parametrize("decimals", [2, 9])
@pytest.mark.parametrize("classes", [2, 3, 8, 11])
def test_scores_are_those_of_torchmetrics(classes: int, decimals: int) -> None:
    predictions = drawn(classes, classes, 120, decimals)
    found = scores_of(predictions)
    given_ = torch.tensor(predictions.probabilities), torch.tensor(predictions.target)
    for name, function, tolerance in BY_CLASS:
        theirs = function(*given_, num_classes=classes, average=None).tolist()
        ours = [found.get((name, str(place)), 0.0) for place in range(classes)]
        assert ours == pytest.approx(theirs, abs=tolerance), name
    for name, function, option in AT:
        theirs = function(*given_, num_classes=classes, **{option: 0.95})[0].tolist()
        ours = [found[name, str(place)] for place in range(classes)]
        assert ours == pytest.approx(theirs, abs=1e-12), name


@pytest.mark.usefixtures("in_double_precision")
def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    predictions = drawn(0, 4, 200, 9)  # no confidence on the edge of a bin
    given_ = torch.tensor(predictions.probabilities), torch.tensor(predictions.target)
    theirs = classification.multiclass_calibration_error(*given_, num_classes=4, n_bins=12)
    assert scores_of(predictions, bins=12)["ece", ""] == pytest.approx(float(theirs), abs=1e-6)


def test_where_curves_are_read_can_be_chosen() -> None:
    # MEL at 0.9, 0.7 and 0.3, others at 0.8, 0.5, 0.2 and 0.1
    values = [0.9, 0.7, 0.3, 0.8, 0.5, 0.2, 0.1]
    predictions = read_predictions(values, [1, 1, 1, 0, 0, 0, 0])
    at = {"sensitivity": 0.6, "specificity": 1.0, "pauc_above": 1 / 3}
    found = scores_of(predictions, **at)
    assert found["specificity_at_sensitivity", "1"] == 3 / 4
    assert found["sensitivity_at_specificity", "1"] == 1 / 3
    # 1/3 of the height at one false positive of four, 1/3 at two
    assert found["pauc", "1"] == pytest.approx((3 / 4 + 2 / 4) / 3)
    assert scores_of(predictions, pauc_above=0.0)["pauc", "1"] == pytest.approx(9 / 12)


def test_a_score_at_a_sensitivity_that_none_but_all_reach_is_read_there() -> None:
    predictions = read_predictions([0.2, 0.9, 0.8], [1, 0, 0])
    found = scores_of(predictions)
    assert found["specificity_at_sensitivity", "1"] == 0.0
    assert found["sensitivity_at_specificity", "1"] == 0.0


def test_resamples_are_the_same_however_many_are_computed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictions = drawn(0, 3)
    drawn_ = np.random.default_rng(0).integers(0, 3, (23, predictions.num_groups))
    weights = drawn_.astype(np.float32)
    together = statistic(predictions)(weights)
    monkeypatch.setattr("dermolib.evaluation.statistics._LARGEST", 1)
    alone = statistic(predictions)(weights)
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-14)


def test_images_without_weight_do_not_count() -> None:
    predictions = drawn(3, 4)
    values, target = predictions.probabilities.copy(), predictions.target.copy()
    odd = predictions.groups == 0
    values[odd] = np.roll(values[odd], 1, axis=1)
    other = read_predictions(values, target, predictions.groups)
    assert (other.groups == predictions.groups).all()
    weights = np.ones((1, predictions.num_groups), np.float32)
    weights[0, 0] = 0
    one, two = (statistic(given_)(weights) for given_ in (predictions, other))
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)


def test_undefined_for_all_images_is_undefined_in_every_resample() -> None:
    predictions = drawn(0, 3)
    predictions = predictions.take(predictions.target != 2)
    found = statistic(predictions)
    values = replicates(found, predictions.num_groups, resamples=20, seed=0)
    undefined = np.array([bool(reason) for reason in found.reasons])
    assert np.isnan(values[:, undefined]).all()
    assert np.isnan(jackknife(found, predictions.num_groups)[:, undefined]).all()
    assert (np.isnan(found.values) == undefined).all()


def test_no_image_is_a_reason() -> None:
    found = statistic(drawn(0, 3).take(slice(0, 0)))
    assert {*found.reasons} == {"no image"}
    assert np.isnan(found.values).all()


def test_columns_are_the_metrics_asked_for_in_this_order() -> None:
    found = statistic(drawn(0, 3), ["f1:2", "ece", "sensitivity", "f1:2"])
    codes = [("f1", "2"), ("ece", ""), *(("sensitivity", str(place)) for place in range(3))]
    assert found.columns == tuple(codes)
    every = scores_of(drawn(0, 3))
    assert found.values.tolist() == pytest.approx([every[column] for column in codes], abs=1e-15)


def test_no_name_is_known_twice() -> None:
    names = [*OVERALL_METRICS, *CLASS_METRICS]
    assert len({*names}) == len(names) == 18


def test_a_metric_of_one_class_is_named_with_its_code() -> None:
    predictions = read_predictions([0.2, 0.9, 0.4], [0, 1, 1], label_space="binary")
    found = statistic(predictions, "sensitivity:Malignant")
    assert found.columns == (("sensitivity", "malignant"),)
    assert found.values.tolist() == [0.5]


def test_unknown_metrics_and_classes_list_the_known_ones() -> None:
    predictions = drawn(0, 3)
    with pytest.raises(ValueError, match=r"`metric`.*'macro_f1'.*'roc_acu'.*'roc_auc'"):
        statistic(predictions, "roc_acu")
    with pytest.raises(ValueError, match=r"`roc_auc:CLASS`.*'0', '1', '2'.*'MEL'"):
        statistic(predictions, "roc_auc:MEL")
    with pytest.raises(ValueError, match=r"`metric`.*'accuracy:0'"):
        statistic(predictions, "accuracy:0")
    with pytest.raises(TypeError, match=r"`metric`.*the name of a score"):
        statistic(predictions, [1])  # type: ignore[list-item]


def test_what_ties_predict_can_be_chosen() -> None:
    values = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert predicted_classes(values).tolist() == [0, 1]
    assert predicted_classes(values, ties="wrong").tolist() == [-1, 1]
    predictions = read_predictions(values, [0, 1])
    assert scores_of(predictions, ties="wrong")["accuracy", ""] == 0.5
    assert scores_of(predictions, ties="wrong")["specificity", "1"] == 1.0


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    assert confidence_bins(np.array([0, 0.25, 0.5, 0.75, 1]), 4).tolist() == [0, 0, 1, 2, 3]


def test_exactly_reached_is_reached() -> None:
    # One of 20 of the class below all others but one, one of 20 others above all of the class
    values = [0.2, *[0.6] * 19, 0.9, *[0.3] * 18, 0.1]
    found = scores_of(read_predictions(values, [1] * 20 + [0] * 20))
    assert found["specificity_at_sensitivity", "1"] == 19 / 20
    assert found["sensitivity_at_specificity", "1"] == 19 / 20


def test_a_resample_without_a_class_or_of_one_alone_has_no_score_of_it() -> None:
    predictions = drawn(0, 3)
    predictions = read_predictions(predictions.probabilities, predictions.target)
    found = statistic(predictions, [name for name in CLASS_METRICS if name not in ("ppv", "npv")])
    without, alone = found(np.array([predictions.target != 2, predictions.target == 0], np.float32))
    missing = [code == "2" and name != "specificity" for name, code in found.columns]
    assert np.isnan(without).tolist() == missing
    known = {("sensitivity", "0"), ("f1", "0"), ("specificity", "1"), ("specificity", "2")}
    assert {
        column for column, value in zip(found.columns, alone, strict=True) if value == value
    } == known


def test_pauc_begins_within_a_tie() -> None:
    # At 0.5 sensitivity rises from 1/4 to 1, and the false positives from 0 to 1/2
    predictions = read_predictions([0.9, 0.5, 0.5, 0.5, 0.5, 0.1], [1, 1, 1, 1, 0, 0])
    # At a sensitivity of 0.8 the false positives are at 11/15 of these
    start = 11 / 15 * 0.5
    expected = (0.5 - start) * 0.2 / 2 + 0.5 * 0.2
    assert scores_of(predictions)["pauc", "1"] == pytest.approx(expected, abs=1e-12)

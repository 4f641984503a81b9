"""Scores of weighted groups, against scikit-learn on rows that are really repeated."""

from typing import Any

import numpy as np
import pytest

from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.statistics import predicted_classes, statistic


def drawn(seed: int, classes: int, images: int = 60, decimals: int = 2) -> Predictions:
    """Draw predictions that are better than chance, with ties where they are rounded."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, classes, images)
    values = generator.dirichlet(np.ones(classes), images) + np.eye(classes)[target] / 2
    values = np.round(values, decimals) + 0.1**decimals
    groups = generator.integers(0, images // 3, images)
    return read_predictions(values / values.sum(axis=1, keepdims=True), target, groups)


def by_column(found: Any, weights: Any = None) -> dict[tuple[str, str], float]:
    """Name the scores of one resample."""
    values = found.values if weights is None else found(weights)[0]
    return dict(zip(found.columns, values.tolist(), strict=True))


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_a_weight_is_the_number_of_times_that_a_group_is_repeated(classes: int) -> None:
    predictions = drawn(classes, classes)
    weights = np.random.default_rng(0).integers(0, 4, (1, predictions.num_groups))
    rows = np.repeat(np.arange(len(predictions)), weights[0][predictions.groups])
    found = statistic(predictions)(weights.astype(np.float32))[0]
    again = statistic(predictions.take(rows)).values
    fixed = statistic(predictions).columns.index(("balanced_accuracy", ""))
    kept = np.arange(len(found)) != fixed  # its class weights are those of all images
    np.testing.assert_allclose(found[kept], again[kept], rtol=0, atol=1e-12)


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


def test_what_ties_predict_can_be_chosen() -> None:
    values = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert predicted_classes(values).tolist() == [0, 1]
    assert predicted_classes(values, ties="wrong").tolist() == [-1, 1]

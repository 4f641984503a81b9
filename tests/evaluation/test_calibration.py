"""Calibration error and reliability by bins, against torchmetrics, SciPy and loops."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from dermolib.evaluation import calibration_error, reliability_table
from dermolib.labels import LABEL_SPACES

_Floats = npt.NDArray[np.float64]


def _drawn(seed: int, images: int = 400, classes: int = 5, sharpness: float = 1.0) -> Any:
    """Draw probabilities, and classes from these; a sharpness above 1 is too sure."""
    generator = np.random.default_rng(seed)
    honest = generator.dirichlet(np.full(classes, 0.4), images) + 1e-9
    honest /= honest.sum(axis=1, keepdims=True)
    target = (honest.cumsum(axis=1) > generator.random((images, 1))).argmax(axis=1)
    given_ones = honest**sharpness
    return given_ones / given_ones.sum(axis=1, keepdims=True), target


def _loop(predicted: _Floats, observed: npt.NDArray[np.bool_], bins: int) -> float:
    """Add up the gaps of bins of equal width, one after the other."""
    error = 0.0
    for number in range(bins):
        inside = (predicted > number / bins) & (predicted <= (number + 1) / bins)
        inside |= (number == 0) & (predicted == 0)
        if inside.any():
            error += inside.mean() * abs(predicted[inside].mean() - observed[inside].mean())
    return error


def test_a_hand_made_error_is_found() -> None:
    probabilities = [[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]]

    # (0.95, 0.95): half right, gap 0.45; (0.65, 0.65): all right, gap 0.35
    assert calibration_error(probabilities, [0, 1, 0, 1], bins=10) == pytest.approx(0.4, abs=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 100])
@pytest.mark.parametrize("seed", range(4))
def test_confidence_agrees_with_torchmetrics(seed: int, bins: int) -> None:
    probabilities, target = _drawn(seed, sharpness=1.7)

    single = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(target), num_classes=5, n_bins=bins
    )  # in float32
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    double = binary_calibration_error(torch.tensor(confidence), torch.tensor(right), bins)

    found = calibration_error(probabilities, target, bins=bins)
    assert found == pytest.approx(float(single), abs=1e-6)
    assert found == pytest.approx(float(double), abs=1e-12)


@pytest.mark.parametrize("bins", [3, 15])
def test_classwise_is_the_mean_of_each_class_against_the_rest(bins: int) -> None:
    probabilities, target = _drawn(1, sharpness=2)

    by_torchmetrics = [
        float(binary_calibration_error(torch.tensor(column), torch.tensor(target == k), bins))
        for k, column in enumerate(probabilities.T)
    ]
    by_loop = [_loop(column, target == k, bins) for k, column in enumerate(probabilities.T)]

    found = calibration_error(probabilities, target, bins=bins, kind="classwise")
    assert found == pytest.approx(np.mean(by_torchmetrics), abs=1e-12)
    assert found == pytest.approx(np.mean(by_loop), abs=1e-12)


def test_adaptive_bins_hold_equal_numbers_of_images() -> None:
    probabilities, target = _drawn(2, images=600, sharpness=2)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target

    parts = np.array_split(np.argsort(confidence), 12)
    by_loop = np.mean([abs(confidence[part].mean() - right[part].mean()) for part in parts])

    found = calibration_error(probabilities, target, bins=12, kind="adaptive")
    assert found == pytest.approx(by_loop, abs=1e-12)
    table = reliability_table(probabilities, target, bins=12, kind="adaptive")
    assert table["n"].tolist() == [50] * 12


@pytest.mark.parametrize("kind", ["confidence", "classwise", "adaptive"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 20), digits=st.integers(1, 6))
def test_the_order_of_images_does_not_matter_even_with_ties(
    kind: str, seed: int, bins: int, digits: int
) -> None:
    probabilities, target = _drawn(seed, images=40, classes=3)
    first = probabilities[:, :2].round(digits) * (1 - 10.0**-digits)
    probabilities = np.column_stack([first, 1 - first.sum(axis=1)]).clip(0, 1)
    order = np.random.default_rng(seed).permutation(40)

    error = calibration_error(probabilities, target, bins=bins, kind=kind)

    again = calibration_error(probabilities[order], target[order], bins=bins, kind=kind)
    assert 0 <= error <= 1
    assert again == pytest.approx(error, abs=1e-12)


def test_honest_probabilities_have_a_small_error_and_sharpened_ones_a_large_one() -> None:
    for kind in ("confidence", "classwise", "adaptive"):
        honest = calibration_error(*_drawn(0, images=20_000), kind=kind)
        sharpened = calibration_error(*_drawn(0, images=20_000, sharpness=3), kind=kind)
        assert honest < 0.015
        assert sharpened > 4 * honest


def test_the_table_adds_up_to_the_error() -> None:
    probabilities, target = _drawn(3, sharpness=2)

    table = reliability_table(probabilities, target, bins=20)
    gaps = (table["predicted"] - table["observed"]).abs() * table["n"] / table["n"].sum()

    assert len(table) == 20
    assert table["n"].sum() == 400
    assert gaps.sum() == pytest.approx(calibration_error(probabilities, target, bins=20))
    empty = table[table["n"] == 0]
    assert len(empty) >= 4  # the highest of five is 0.2 or more
    assert empty[["predicted", "observed", "low", "high"]].isna().to_numpy().all()


def test_one_class_is_judged_against_the_rest_by_code_or_place() -> None:
    probabilities, target = _drawn(3, classes=8)

    by_code = reliability_table(probabilities, target, label="BCC", label_space="challenge")
    by_place = reliability_table(probabilities, target, label=2)

    assert by_code.equals(by_place)
    inside = (probabilities[:, 2] >= 2 / 15) & (probabilities[:, 2] < 3 / 15)
    assert by_place["observed"][2] == pytest.approx((target[inside] == 2).mean())
    assert by_place["predicted"][2] == pytest.approx(probabilities[inside, 2].mean())
    assert by_place["n"][2] == inside.sum() > 20


def test_intervals_of_single_images_are_those_of_wilson() -> None:
    probabilities, target = _drawn(4)

    table = reliability_table(probabilities, target, bins=8, level=0.9).dropna()

    assert len(table) > 4
    for row in table.to_dict("records"):
        test = binomtest(round(row["observed"] * row["n"]), row["n"])
        wanted = test.proportion_ci(0.9, method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_copies_of_an_image_in_one_group_add_nothing() -> None:
    probabilities, target = _drawn(5, images=60)
    groups = np.arange(60)

    once = reliability_table(probabilities, target, groups=groups, bins=5)
    twice = reliability_table(*(np.repeat(a, 3, axis=0) for a in (probabilities, target)), bins=5)
    grouped = reliability_table(
        *(np.repeat(a, 3, axis=0) for a in (probabilities, target)),
        groups=np.repeat(groups, 3),
        bins=5,
    )

    columns = ["groups", "low", "high", "observed", "few"]
    found, wanted = (table[columns].to_numpy(float) for table in (grouped, once))
    assert np.allclose(found, wanted, equal_nan=True)
    assert (grouped["n"] == 3 * once["n"]).all()
    narrower = (twice["high"] - twice["low"]) < (once["high"] - once["low"])
    assert narrower[once["n"] > 0].all()


def test_a_bin_whose_images_are_all_right_still_has_an_interval() -> None:
    table = reliability_table(np.tile([0.9, 0.1], (30, 1)), np.zeros(30, int), bins=1)

    assert table["observed"].item() == 1
    assert table["low"].item() == pytest.approx(
        binomtest(30, 30).proportion_ci(method="wilson").low
    )
    assert not table["few"].item()
    one_lesion = reliability_table(
        np.tile([0.9, 0.1], (30, 1)), np.zeros(30, int), groups=[7] * 30, bins=1
    )
    assert one_lesion["low"].item() < 0.25
    assert one_lesion["few"].item()


def test_a_data_set_brings_its_groups_and_classes() -> None:
    class Data:
        labels = np.array([0, 1, 2, 0])
        groups = np.array(["a", "a", "b", ""])
        label_space = LABEL_SPACES["isic2018"]

    probabilities = np.eye(7)[[0, 1, 2, 0]] * 0.93 + 0.01

    table = reliability_table(probabilities, Data(), bins=1)

    assert (table["n"].item(), table["groups"].item()) == (4, 3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bins": 0}, ValueError, "`bins`.*1 or more"),
        ({"bins": 2.5}, TypeError, "`bins`.*integer"),
        ({"kind": "ace"}, ValueError, "`kind`.*'adaptive'"),
        ({"probabilities": [[0.2, 0.2]]}, ValueError, "`probabilities`.*sum to 1"),
        ({"probabilities": [[2.0, -1.0]]}, ValueError, "`probabilities`.*0..1"),
        ({"probabilities": [[np.nan, 0.5]]}, ValueError, "`probabilities`.*finite"),
        ({"probabilities": np.zeros((0, 2)), "target": []}, ValueError, "`probabilities`"),
        ({"probabilities": np.array([1])}, ValueError, "`probabilities`.*classes"),
        ({"target": [0, 1]}, ValueError, "`target` differ"),
    ],
)
def test_a_mistake_in_an_error_is_refused(options: Any, error: Any, words: str) -> None:
    given_ones = {"probabilities": [[0.2, 0.8]], "target": [1], **options}

    with pytest.raises(error, match=words):
        calibration_error(**given_ones)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"kind": "classwise"}, ValueError, "`kind`.*'confidence'"),
        ({"level": 1}, ValueError, "`level`.*below 1"),
        ({"label": 2}, ValueError, "`label`.*0..1"),
        ({"label": "MEL"}, ValueError, "`label`.*'0', '1'"),
        ({"groups": ["a", "b"]}, ValueError, "`groups`"),
    ],
)
def test_a_mistake_in_a_table_is_refused(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        reliability_table([[0.2, 0.8]], [1], **options)

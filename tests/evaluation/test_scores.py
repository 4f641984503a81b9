"""Scores with intervals: what they are, what is undefined, and how they read."""

import json
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.evaluation import Scores, score
from dermolib.evaluation.official import official_scores
from dermolib.evaluation.statistics import CLASS_METRICS, OVERALL_METRICS

CODES = ["MEL", "NV", "DF"]
TARGET = [0, 0, 0, 1, 1, 1, 1, 2]
PROBABILITIES = [
    [0.6, 0.3, 0.1],
    [0.4, 0.5, 0.1],
    [0.5, 0.2, 0.3],
    [0.1, 0.8, 0.1],
    [0.2, 0.7, 0.1],
    [0.5, 0.4, 0.1],
    [0.3, 0.6, 0.1],
    [0.2, 0.2, 0.6],
]
LESIONS = ["a", "a", "b", "c", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def scores() -> Scores:
    return score(PROBABILITIES, TARGET, groups=LESIONS, label_space=CODES, resamples=200)


def drawn(seed: int, classes: int, images: int) -> tuple[np.ndarray[Any, Any], Any, Any]:
    """Draw probabilities, targets and groups."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, classes, images)
    values = generator.dirichlet(np.ones(classes), images) + np.eye(classes)[target] / 3
    groups = generator.integers(0, images // 2, images)
    return values / values.sum(axis=1, keepdims=True), target, groups


def test_eight_images_counted_by_hand(scores: Scores) -> None:
    found = {
        key: scores[key].score
        for key in ("balanced_accuracy", "accuracy", "sensitivity:MEL", "ppv:MEL", "npv:MEL")
    }
    assert found == {
        "balanced_accuracy": pytest.approx((2 / 3 + 3 / 4 + 1) / 3),
        "accuracy": 6 / 8,
        "sensitivity:MEL": pytest.approx(2 / 3),
        "ppv:MEL": pytest.approx(2 / 3),
        "npv:MEL": 4 / 5,
    }
    # MEL 0.6, 0.4, 0.5 against 0.1, 0.2, 0.5, 0.3, 0.2: 13 pairs won and one tied
    assert scores["roc_auc", "MEL"].score == pytest.approx(13.5 / 15)
    assert scores["specificity_at_sensitivity", "MEL"].score == 4 / 5
    assert scores["sensitivity_at_specificity", "MEL"].score == pytest.approx(1 / 3)


def test_an_interval_holds_its_score_and_counts_images_and_groups(scores: Scores) -> None:
    one = scores["sensitivity", "MEL"]
    assert one.low <= one.score <= one.high
    assert (one.level, one.n, one.groups) == (0.95, 3, 2)
    assert (scores["accuracy"].n, scores["accuracy"].groups) == (8, 6)


def test_every_score_of_every_class_has_a_row(scores: Scores) -> None:
    pairs = [(name, "") for name in OVERALL_METRICS]
    pairs += [(name, code) for name in CLASS_METRICS for code in CODES]
    assert [*zip(scores.table["metric"], scores.table["class"], strict=True)] == pairs


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = score([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]], [0, 0], resamples=20)
    assert caught == []
    assert found.table["few"].any()
    assert "no image of class 1" in set(found.table["reason"])


@settings(max_examples=15)
@given(seed=st.integers(0, 99), classes=st.integers(2, 5))
def test_intervals_hold_their_scores_and_the_seed_decides(seed: int, classes: int) -> None:
    probabilities, target, groups = drawn(seed, classes, 40)
    first, second = (
        score(probabilities, target, groups=groups, resamples=60, seed=seed).table for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)
    known = first[first["reason"] == ""]
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    assert first[first["reason"] != ""][["value", "low", "high"]].isna().all(axis=None)


def test_the_order_of_images_does_not_matter() -> None:
    probabilities, target, groups = drawn(1, 3, 60)
    order = np.random.default_rng(0).permutation(60)
    one = score(probabilities, target, groups=groups, resamples=10).table["value"]
    other = score(probabilities[order], target[order], groups=groups[order], resamples=10)
    np.testing.assert_allclose(one, other.table["value"], rtol=0, atol=1e-12)


def test_more_groups_make_shorter_intervals() -> None:
    probabilities, target, _ = drawn(0, 3, 600)
    widths = [
        score(probabilities, target, groups=np.arange(600) // size)["accuracy"] for size in (1, 20)
    ]
    assert all(0.05 < one.high - one.low < 0.12 for one in widths)
    clones = np.repeat(np.arange(30), 20)  # 30 images, 20 times each
    many = score(probabilities[clones], target[clones])["accuracy"]
    few = score(probabilities[clones], target[clones], groups=clones)["accuracy"]
    assert few.high - few.low > 3 * (many.high - many.low)


def test_the_official_scorer_agrees_by_its_rule_of_ties() -> None:
    generator = np.random.default_rng(0)
    target = np.r_[0:3, generator.integers(0, 3, 60)]
    values = np.round(generator.dirichlet(np.ones(3), 63) * 4) + 1
    values /= values.sum(axis=1, keepdims=True)
    names = [f"i{row}" for row in range(63)]
    truth = pd.DataFrame(np.eye(3)[target], columns=CODES).assign(image=names)
    given_ = pd.DataFrame(values, columns=CODES).assign(image=names)
    official = official_scores(truth, given_)
    found = score(values, target, label_space=CODES, ties="wrong", resamples=10)
    assert found["balanced_accuracy"].score == pytest.approx(
        official.loc["aggregate", "balanced_accuracy"], abs=1e-12
    )
    for code in CODES:
        for name, theirs in (("roc_auc", "auc"), ("average_precision", "ap"), ("pauc", "pauc")):
            assert found[name, code].score == pytest.approx(official.loc[code, theirs], abs=1e-12)


@pytest.mark.parametrize(
    ("target", "metric", "code", "reason"),
    [
        ([0, 0, 1, 1], "sensitivity", "DF", "no image of class DF"),
        ([0, 0, 1, 1], "f1", "DF", "no image of class DF"),
        ([0, 0, 1, 1], "roc_auc", "DF", "no image of class DF"),
        ([0, 0, 1, 1], "ppv", "DF", "class DF is never predicted"),
        ([0, 0, 0, 0], "specificity", "MEL", "one class alone"),
        ([0, 0, 0, 0], "average_precision", "MEL", "one class alone"),
        ([0, 0, 0, 0], "macro_roc_auc", "", "one class alone"),
    ],
)
def test_undefined_is_nan_with_its_reason(
    target: list[int], metric: str, code: str, reason: str
) -> None:
    values = [[0.8, 0.2, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.6, 0.4, 0]]
    found = score(values, target, label_space=CODES, resamples=20)
    row = found.table[(found.table["metric"] == metric) & (found.table["class"] == code)].iloc[0]
    assert row["reason"] == reason
    assert row[["value", "low", "high"]].isna().all()
    assert math.isnan(found[metric, code].score)


def test_an_average_is_over_the_classes_that_have_images() -> None:
    values = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7], [0.6, 0.4, 0]]
    found = score(values, [0, 1, 1, 0], label_space=CODES, resamples=20)
    assert found["balanced_accuracy"].score == 0.75
    assert found["macro_f1"].score == pytest.approx((1 + 2 / 3) / 2)
    assert found["roc_auc", "MEL"].score == 1.0
    assert found["roc_auc", "NV"].score == 3 / 4
    assert found["macro_roc_auc"].score == 7 / 8


def test_predicted_classes_have_no_scores_of_probabilities() -> None:
    found = score([0, 1, 1, 2], [0, 1, 2, 2], label_space=CODES, resamples=20)
    assert found["balanced_accuracy"].score == pytest.approx((1 + 1 + 0.5) / 3)
    reasons = found.table.set_index("metric")["reason"]
    assert {*reasons[["roc_auc", "log_loss", "ece", "pauc"]]} == {
        "needs probabilities, not classes"
    }
    assert "classes were given, not probabilities" in str(found)


def test_independent_probabilities_have_no_scores_of_a_distribution() -> None:
    found = score([[0.9, 0.8], [0.1, 0.3]], [0, 1], values="independent", resamples=20)
    reasons = found.table.set_index("metric")["reason"]
    assert {*reasons[["log_loss", "brier", "ece"]]} == {"needs probabilities that sum to 1"}
    assert found["roc_auc", "0"].score == 1.0
    assert found["roc_auc", "1"].score == 0.0


def test_of_two_classes_the_second_alone_is_shown_where_both_say_the_same() -> None:
    found = score([0.2, 0.9, 0.4, 0.8], [0, 1, 1, 0], label_space="binary", resamples=20)
    shown = found.table.groupby("class")["metric"].apply(list)
    assert shown["malignant"] == [*CLASS_METRICS]
    assert shown["benign"] == ["f1", "average_precision", "pauc"]


def test_a_score_with_fewer_than_ten_groups_behind_it_is_marked() -> None:
    target = np.r_[np.zeros(30, int), np.ones(9, int)]
    found = score(np.where(target, 0.8, 0.3), target, label_space="binary", resamples=50)
    few = found.table[found.table["few"]]
    assert {"balanced_accuracy", "macro_f1", "sensitivity", "roc_auc", "ppv"} <= {*few["metric"]}
    assert not {"accuracy", "log_loss", "specificity", "npv"} & {*few["metric"]}
    assert "* Based on fewer than 10 groups" in str(found)
    target = np.r_[target, 1]
    found = score(np.where(target, 0.8, 0.3), target, label_space="binary", resamples=50)
    assert not found.table["few"].any()
    assert "fewer" not in str(found)


def test_resamples_without_a_class_are_counted_and_left_out() -> None:
    target = np.r_[np.zeros(30, int), 1]
    found = score(
        np.where(target, 0.8, 0.3), target, label_space="binary", resamples=1000, method="bca"
    )
    row = found.table.set_index("metric").loc["sensitivity"]
    assert row["undefined"] == pytest.approx((1 - 1 / 31) ** 31, abs=0.05)
    # 1 of 1 right, after Clopper and Pearson
    assert (row["low"], row["high"]) == (pytest.approx(0.025), 1.0)
    assert "! Undefined in more than 5 % of the resamples" in str(found)


def test_text_fits_into_100_columns_of_ascii() -> None:
    codes = ["AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC"]
    probabilities, target, groups = drawn(0, 11, 400)
    found = score(probabilities, target, groups=groups, label_space=codes, resamples=50)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    assert text.startswith("400 images of ")
    for word in [*OVERALL_METRICS, *CLASS_METRICS, *codes, "smoothed", "95 %"]:
        assert word in text
    one = found["sensitivity", "MEL"]
    assert f"{one.score:.3f} ({one.low:.3f}-{one.high:.3f})" in text


def test_json_has_settings_and_null_for_nan() -> None:
    found = score([0.2, 0.9], [0, 0], label_space="binary", resamples=20, level=0.9, seed=3)
    facts = json.loads(found.to_json())
    assert facts["level"] == 0.9
    assert (facts["n"], facts["groups"], facts["resamples"], facts["seed"]) == (2, 2, 20, 3)
    assert facts["options"]["ties"] == "first"
    rows = {(row["metric"], row["class"]): row for row in facts["scores"]}
    assert rows["roc_auc", "malignant"]["value"] is None
    assert rows["roc_auc", "malignant"]["reason"] == "no image of class malignant"
    assert rows["accuracy", ""]["value"] == 0.5


def test_markdown_has_a_row_for_each_score(scores: Scores) -> None:
    lines = scores.to_markdown().splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    assert len(rows) == len(scores.table)
    one = scores["accuracy"]
    assert f"| accuracy |  | 0.750 | {one.low:.3f}-{one.high:.3f}* | 8 | 6 |" in rows
    assert all(row.count("|") == 7 for row in rows)


def test_a_data_set_brings_its_groups_and_label_space() -> None:
    class Labelled:
        labels = np.array([0, 1, 1])
        groups = ("a", "a", None)
        label_space = "binary"

    found = score([0.1, 0.7, 0.2], Labelled(), resamples=20)
    assert (found.groups, found["sensitivity", "malignant"].score) == (2, 0.5)


def test_logits_are_scored_as_their_softmax() -> None:
    probabilities, target, _ = drawn(2, 3, 50)
    found = score(np.log(probabilities) + 3, target, values="logits", resamples=20)
    same = score(probabilities, target, resamples=20)
    np.testing.assert_allclose(found.table["value"], same.table["value"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "`resamples`.*1 or more"),
        ({"level": 1.0}, "`level`.*above 0 and below 1"),
        ({"method": "normal"}, "`method`.*'bca'"),
        ({"sensitivity": 0.0}, "`sensitivity`.*above 0"),
        ({"specificity": 1.1}, "`specificity`.*above 0"),
        ({"pauc_above": 1.0}, "`pauc_above`.*below 1"),
        ({"bins": 0}, "`bins`.*1 or more"),
        ({"ties": "last"}, "`ties`.*'first', 'wrong'"),
        ({"seed": -1}, "`seed`.*0 or more"),
        ({"groups": ["a"]}, "`groups`.*a group for each image"),
        ({"values": "odds"}, "`values`.*'logits'"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(PROBABILITIES, TARGET, **options)


def test_an_unknown_score_is_a_key_error_that_suggests_one(scores: Scores) -> None:
    with pytest.raises(KeyError, match=r"balanced_acuracy.*Scores are balanced_accuracy, accuracy"):
        scores["balanced_acuracy"]
    with pytest.raises(KeyError, match=r"sensitivity:MLE.*Classes are "):
        scores["sensitivity", "MLE"]


def test_one_image_is_written_as_one() -> None:
    found = score([[0.9, 0.1]], [0], label_space="binary", resamples=5)
    text = str(found)
    assert text.startswith("1 image of 1 group; 95 % ")
    assert found["f1", "benign"].score == 1.0
    assert "malignant       0       0  1.000" in text
    assert "undefined" in text.split("malignant")[1]


def test_one_group_has_scores_without_intervals() -> None:
    found = score([[0.9, 0.1], [0.8, 0.2]], [0, 1], groups=["a", "a"], resamples=5)
    assert found["accuracy"].score == 0.5
    assert found.table[["low", "high"]].isna().all(axis=None)
    assert "0.500 (no interval)*" in str(found)
    assert "One group alone has no interval." in str(found)
    assert json.loads(found.to_json())["scores"][0]["low"] is None

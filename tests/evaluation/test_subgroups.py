"""Scores of subgroups, and the gaps between them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from dermolib.evaluation import score, score_subgroups

_QUICK: dict[str, Any] = {"resamples": 60}


def scored(*given: Any, **options: Any) -> Any:
    return score_subgroups(*given, **options)


def drawn(count: int = 240, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Draw probabilities of three classes, targets, lesions of two images, and a column."""
    generator = np.random.default_rng(seed)
    lesions = np.arange(count) // 2
    target = generator.integers(0, 3, count // 2)[lesions]
    column = generator.choice(["female", "male", ""], count // 2, p=[0.5, 0.4, 0.1])[lesions]
    logits = 1.5 * np.eye(3)[target] + generator.normal(size=(count, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, target, lesions, column


def test_each_subgroup_has_the_scores_of_its_images_alone() -> None:
    probabilities, target, lesions, column = drawn()
    metrics = ["balanced_accuracy", "log_loss", "roc_auc:1"]

    table = scored(probabilities, target, column, groups=lesions, metric=metrics, **_QUICK)

    found = table[~table["gap"]].set_index(["subgroup", "metric"])
    assert [*table["subgroup"].unique()[:3]] == ["female", "male", "missing"]
    for name in ("female", "male", "missing"):
        rows = column == name.replace("missing", "")
        some, true = probabilities[rows], target[rows]
        references = [
            balanced_accuracy_score(true, some.argmax(axis=1)),
            log_loss(true, some),
            roc_auc_score(true == 1, some[:, 1]),
        ]
        np.testing.assert_allclose(found.loc[name, "value"], references, rtol=1e-12)
        assert (found.loc[name, "low"] <= found.loc[name, "value"]).all()
        assert (found.loc[name, "high"] >= found.loc[name, "value"]).all()
        sizes = found.loc[(name, "log_loss"), ["n", "groups"]].tolist()
        assert sizes == [rows.sum(), len(set(lesions[rows]))]
        assert found.loc[(name, "roc_auc"), "n"] == (true == 1).sum()


def test_the_intervals_are_those_of_score() -> None:
    probabilities, target, lesions, _ = drawn()
    metrics = ["balanced_accuracy", "roc_auc:1"]

    table = scored(probabilities, target, ["x"] * 240, groups=lesions, metric=metrics, **_QUICK)

    scores = score(probabilities, target, groups=lesions, **_QUICK)
    for name, (_, row) in zip(metrics, table.iterrows(), strict=False):
        wanted = scores[name]
        assert (row["low"], row["high"]) == pytest.approx((wanted.low, wanted.high), rel=1e-12)


def test_the_largest_gap_is_that_of_the_highest_and_the_lowest_subgroup() -> None:
    probabilities, target, lesions, column = drawn()

    table = scored(probabilities, target, column, groups=lesions, **_QUICK)

    values = table[~table["gap"]].set_index("subgroup")["value"].sort_values()
    (gap,) = table[table["gap"]].to_dict("records")
    assert gap["subgroup"] == f"{values.index[-1]} vs {values.index[0]}"
    assert gap["value"] == pytest.approx(values.iloc[-1] - values.iloc[0])
    assert gap["low"] < gap["value"] < gap["high"]
    assert table["p_value"].notna().tolist() == table["gap"].tolist()


def test_the_interval_of_a_gap_is_of_the_same_resamples() -> None:
    # Each lesion is in both subgroups with the same answers, so that no resample has a gap
    target = np.tile([0, 1], 40)
    right = np.random.default_rng(0).random(80) < 0.7
    twice = np.concatenate([np.where(right, target, 1 - target)] * 2)
    lesions = np.tile(np.arange(80), 2)
    column = np.repeat(["near", "far"], 80)

    table = scored(twice, np.tile(target, 2), column, groups=lesions, **_QUICK)

    gap = table.iloc[-1]
    assert (gap["value"], gap["low"], gap["high"], gap["p_value"]) == (0, 0, 0, 1)


def test_a_gap_is_on_the_classes_that_all_subgroups_have() -> None:
    # Class 2 is always wrong, and seen in one clinic alone: no reason to blame the clinic
    target = np.concatenate([np.tile([0, 1], 20), np.tile([0, 1, 2], 20)])
    predicted = np.where(target == 2, 0, target)
    predicted[:2] = [1, 0]
    clinic = np.repeat(["a", "b"], [40, 60])

    table = scored(predicted, target, {"clinic": clinic}, label_space=["X", "Y", "Z"])

    first, second, gap = table.to_dict("records")
    assert (first["value"], first["note"]) == (pytest.approx(0.95), "no image of Z")
    assert (second["value"], second["note"]) == (pytest.approx(2 / 3), "")
    assert (gap["subgroup"], gap["note"]) == ("b vs a", "on images of X, Y")
    assert gap["value"] == pytest.approx(0.05)
    assert gap["n"] == 80


def test_p_values_of_columns_without_effect_are_uniform() -> None:
    # Classes are rarer in some subgroups and have other scores: no effect of the column itself
    found = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        target = generator.integers(0, 2, 150)
        column = np.where(generator.random(150) < 0.2 + 0.5 * target, "a", "b")
        right = generator.random(150) < np.where(target == 1, 0.5, 0.9)
        predicted, options = np.where(right, target, 1 - target), {"resamples": 99, "seed": seed}
        table = scored(predicted, target, column, metric="accuracy", **options)
        found.append(table["p_value"].iloc[-1])

    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) < 0.15


def test_another_mix_of_classes_is_no_gap_of_balanced_accuracy() -> None:
    # Class 1 is right half of the time in both, and four times as frequent in one
    target = np.repeat([0, 1, 0, 1], [40, 10, 10, 40])
    predicted = target * (np.arange(100) % 2)
    column = np.repeat(["a", "b"], 50)

    gap = scored(predicted, target, column, **_QUICK).iloc[-1]

    assert (gap["value"], gap["p_value"]) == (0, 1)


def test_a_p_value_is_never_zero() -> None:
    target, column = np.tile([0, 1], 60), np.repeat(["a", "b"], 60)
    predicted = np.where(column == "a", target, 1 - target)

    assert scored(predicted, target, column, resamples=49)["p_value"].iloc[-1] == 1 / 50


def test_an_effect_on_one_class_is_found() -> None:
    generator = np.random.default_rng(0)
    target = generator.integers(0, 2, 400)
    column = generator.choice(["light", "dark"], 400)
    right = generator.random(400) < np.where((target == 1) & (column == "dark"), 0.5, 0.9)

    table = scored(np.where(right, target, 1 - target), target, column, resamples=300)

    assert table.iloc[-1]["subgroup"] == "light vs dark"
    assert table.iloc[-1]["p_value"] < 0.01
    assert table.iloc[-1]["low"] > 0


def test_small_subgroups_are_marked_and_left_out_of_the_gap() -> None:
    target = np.tile([0, 1], 50)
    column = np.array(["a"] * 50 + ["b"] * 41 + ["c"] * 9)
    predicted = np.where(column == "c", 1 - target, target)

    table = scored(predicted, target, column, **_QUICK)

    assert table["few"].tolist() == [False, False, True, False]
    assert table["value"].tolist() == [1, 1, 0, 0]
    bare = scored(predicted, target, column, min_size=60, **_QUICK).iloc[-1]
    assert np.isnan([bare["value"], bare["low"], bare["p_value"]]).all()
    assert bare["note"] == "fewer than two subgroups of 60 groups or more"


def test_a_score_of_a_class_is_marked_by_the_groups_of_that_class() -> None:
    target = np.array(([0] * 30 + [1] * 20) + ([0] * 46 + [1] * 4))
    column = np.repeat(["a", "b"], 50)

    table = scored(target, target, column, metric=["sensitivity"], **_QUICK)

    few = table.set_index(["subgroup", "class"])["few"]
    assert [few["a", "1"], few["b", "1"], few["b", "0"]] == [False, True, False]
    gap = table[table["gap"] & (table["class"] == "1")].iloc[0]
    assert gap["note"] == "defined in fewer than two subgroups"
    assert np.isnan(gap["value"])


def test_no_class_in_all_subgroups_is_no_gap() -> None:
    target = np.repeat([0, 1], 20)

    gap = scored(target, target, target, **_QUICK).iloc[-1]

    assert (np.isnan(gap["value"]), gap["note"]) == (True, "no class is in all subgroups")


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pd.Series([5, 29, 30, 44.5, 75, 90, 60, 59, 31, np.nan], name="age"), None),
        (pd.Series([5, 29, 30, 44.5, 75, 90, 60, 59, 31, np.nan], name="AGE_APPROX"), None),
        (np.array([True, False] * 5), ["False", "True"]),
        (np.array([10, 9] * 5), ["9", "10"]),
        (pd.Series([2019, None] * 5, dtype="Int16"), ["2019", "missing"]),
        (pd.to_datetime(["2019-05-06", "2020-01-01"] * 5), ["2019", "2020"]),
        (pd.Categorical(["x", None] * 5), ["x", "missing"]),
        (["x ", "x", "N/A", None, "unknown"] * 2, ["x", "missing"]),
        (np.arange(10), ["<2.25", "2.25 to <4.5", "4.5 to <6.75", "6.75+"]),
        ([None] * 10, ["missing"]),
    ],
)
def test_columns_of_any_kind_are_subgroups(column: Any, names: list[str] | None) -> None:
    target = np.tile([0, 1], 5)

    table = scored(target, target, column, **_QUICK)

    ages = ["<30", "30-44", "45-59", "60-74", "75+", "missing"]
    assert table["subgroup"][~table["gap"]].tolist() == (names or ages)
    assert table["n"][~table["gap"]].sum() == 10


def test_bands_are_those_that_are_given() -> None:
    target, size = np.tile([0, 1], 10), np.arange(20)
    columns = {"size": size, "other": size}

    table = scored(target, target, columns, bands={"size": [3, 8.5]}, **_QUICK)
    halves = scored(target, target, columns, bands=2, **_QUICK)

    of_size = table[(table["column"] == "size") & ~table["gap"]]
    assert of_size["subgroup"].tolist() == ["<3", "3 to <8.5", "8.5+"]
    assert of_size["n"].tolist() == [3, 6, 11]
    assert (table["column"] == "other").sum() == 5
    assert halves["n"][~halves["gap"]].tolist() == [10] * 4


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_images_does_not_matter(order: list[int]) -> None:
    probabilities, target, lesions, column = drawn(60)
    every = scored(probabilities, target, column, groups=lesions, min_size=2, **_QUICK)

    moved = scored(
        probabilities[order],
        target[order],
        column[order],
        groups=lesions[order],
        min_size=2,
        **_QUICK,
    )

    np.testing.assert_allclose(moved["value"], every["value"], rtol=1e-9)
    assert moved[["subgroup", "n", "groups", "few"]].equals(
        every[["subgroup", "n", "groups", "few"]]
    )


def test_columns_of_a_data_set_are_given_by_their_names() -> None:
    table = pd.DataFrame({"sex": ["female", "male"] * 20, "source": "ham", "age": 50.0})
    data = SimpleNamespace(labels=np.repeat([0, 1], 20), groups=None, table=table)

    one = scored(data.labels, data, "sex", **_QUICK)
    both = scored(data.labels, data, ["sex", "age"], **_QUICK)

    assert one["subgroup"].tolist() == ["female", "male", "female vs male"]
    assert both["column"].unique().tolist() == ["sex", "age"]
    assert both["subgroup"].iloc[3:].tolist() == ["50", "largest gap"]


def test_all_scores_are_there() -> None:
    probabilities, target, lesions, column = drawn()

    table = scored(probabilities, target, column, groups=lesions, metric="all", resamples=20)

    assert {"balanced_accuracy", "ece", "roc_auc"} <= {*table["metric"]}
    assert table[~table["few"]]["value"].notna().all()


def test_the_same_seed_gives_the_same_table() -> None:
    arguments = drawn()
    tables = [
        scored(*arguments[:2], arguments[3], groups=arguments[2], seed=seed, **_QUICK)
        for seed in (1, 1, 2)
    ]

    assert tables[0].equals(tables[1])
    for name in ("low", "p_value"):
        assert not tables[0][name].equals(tables[2][name])


@pytest.mark.parametrize(
    ("by", "options", "sentence"),
    [
        (["a"] * 3, {}, r"`by` to be a value of subgroup for each image \(4,\), but got shape"),
        ({}, {}, "`by` to be one column or more, but got none"),
        ("sex", {}, "a name of a column of the data set that `target` is, but got 'sex'"),
        ([[1, 2]] * 4, {}, r"for each image \(4,\), but got shape \(4, 2\)"),
        ([1, 2, 3, 4], {"bands": [3, 1]}, "`bands` to be a number of bands, or edges that rise"),
        ([1, 2, 3, 4], {"bands": "age"}, "`bands` to be a number of bands, or edges that rise"),
        ([1, 2, 3, 4], {"bands": 1}, r"`bands` to be an integer in 2\.\.50, but got 1"),
        ({"a": [1, 2, 3, 4]}, {"bands": {"b": 2}}, "`bands` to be bands of a, but got b"),
        ({"a": list("abcd")}, {"bands": {"a": 2}}, "columns of numbers, which a is not"),
        (list("abab"), {"min_size": 1}, "`min_size` to be an integer of 2 or more"),
        (list("abab"), {"resamples": 0}, "`resamples` to be an integer of 1 or more"),
        (list("abab"), {"level": 1}, "`level` to be a number above 0 and below 1"),
        (list("abab"), {"metric": "accurate"}, "Did you mean 'accuracy'"),
    ],
)
def test_a_mistake_is_one_sentence(by: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        scored([0, 1, 0, 1], [0, 1, 0, 1], by, **{**_QUICK, **options})


def test_a_column_of_ids_or_an_unknown_column_is_refused() -> None:
    target = np.tile([0, 1], 30)
    data = SimpleNamespace(labels=target, groups=None, table=pd.DataFrame({"sex": ["f"] * 60}))

    with pytest.raises(ValueError, match="up to 50 different values of id, but got 60"):
        scored(target, target, {"id": [f"ISIC_{n}" for n in range(60)]}, **_QUICK)
    with pytest.raises(ValueError, match="a column of the data set, but got age"):
        scored(target, data, "age", **_QUICK)


@pytest.mark.parametrize("metric", [[], 3])
def test_what_names_no_score_is_refused(metric: object) -> None:
    with pytest.raises((TypeError, ValueError), match="`metric` to be the name of a score"):
        score_subgroups([[0.9, 0.1]] * 4, [0, 1] * 2, ["a"] * 4, metric=metric)


def test_a_column_with_ids_is_put_in_the_order_of_the_predictions() -> None:
    ids = [f"i{row}" for row in range(40)]
    probabilities = pd.DataFrame(np.tile([[0.9, 0.1], [0.4, 0.6]], (20, 1)), index=ids)
    sex = pd.Series(["female"] * 20 + ["male"] * 20, index=ids, name="sex")
    target = pd.Series([0, 1] * 10 + [1, 0] * 10, index=ids)
    ordered = score_subgroups(probabilities, target, sex, resamples=5)
    turned = (sex.iloc[::-1], {"sex": sex.iloc[::-1]}, pd.DataFrame({"sex": sex}).iloc[::-1])
    for by in turned:
        pd.testing.assert_frame_equal(
            score_subgroups(probabilities, target.iloc[::-1], by, resamples=5), ordered
        )
    assert ordered["value"].tolist()[:2] == [1.0, 0.0]

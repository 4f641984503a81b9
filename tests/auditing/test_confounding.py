"""What artifacts go with: ratios and intervals by lesion, and what artifacts alone give away."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from dermolib import audit
from dermolib.auditing import (
    ASSOCIATION_COLUMNS,
    ASSOCIATIONS,
    artifact_associations,
    artifact_only_score,
)
from dermolib.io import write_image
from dermolib.preprocessing import ARTIFACTS, artifact_table

NV, MEL = 1, 0  # labels of the challenge


def images(labels: Any, **columns: Any) -> pd.DataFrame:
    ids = [f"I{number:05d}" for number in range(len(labels))]
    return pd.DataFrame({"id": ids, "label": labels, **columns})


def flags(table: pd.DataFrame, values: Any, name: str = "patches") -> pd.DataFrame:
    return pd.DataFrame({name: np.asarray(values)}, index=pd.Index(table["id"], name="id"))


def counted(first: tuple[int, int], second: tuple[int, int], **columns: Any) -> dict[str, Any]:
    """Compare nevi with melanomas, of each of which some of all show the artifact."""
    table = images([NV] * first[1] + [MEL] * second[1], **columns)
    shown = [1] * first[0] + [0] * (first[1] - first[0])
    shown += [1] * second[0] + [0] * (second[1] - second[0])
    found = artifact_associations(flags(table, shown), table)
    assert found["value"].tolist() == ["NV"]
    return {str(name): value for name, value in found.iloc[0].items()}


def test_fractions_ratio_and_difference_are_those_of_the_counts() -> None:
    row = counted((30, 120), (8, 80))

    assert (row["fraction"], row["rest"]) == (0.25, 0.1)
    assert row["ratio"] == pytest.approx(2.5)
    assert row["difference"] == pytest.approx(0.15)
    assert row["ratio_low"] < 2.5 < row["ratio_high"]
    assert [row[name] for name in ("images", "groups", "rest_images", "rest_groups")] == [
        120, 120, 80, 80,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second"),
    [((30, 120), (8, 80)), ((9, 40), (1, 300)), ((3, 25), (20, 2000)), ((500, 900), (250, 600))],
)
def test_the_p_value_is_about_that_of_fisher(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    row = counted(first, second)

    counts = np.array([[count, total - count] for count, total in (first, second)])
    fisher = stats.fisher_exact(counts).pvalue
    assert np.log(row["p_value"]) == pytest.approx(np.log(fisher), rel=0.25, abs=0.7)
    assert (row["p_value"] < 0.05) == (row["difference_low"] > 0)
    assert (row["p_value"] < 0.05) == (row["ratio_low"] > 1)


def test_the_interval_of_a_fraction_is_that_of_clopper_and_pearson() -> None:
    row = counted((0, 50), (3000, 3000))  # so many that the rest has no width

    correction = (1.96 / stats.t.ppf(0.975, 49)) ** 2
    high = stats.beta.ppf(0.975, 1, 50 * correction)
    assert row["difference_high"] + 1 == pytest.approx(high, abs=0.002)


def test_images_of_one_lesion_count_once() -> None:
    once = counted((10, 40), (2, 40))
    lesions = [f"L{number // 3}" for number in range(240)]
    thrice = counted((30, 120), (6, 120), lesion=lesions)
    apart = counted((30, 120), (6, 120))

    ends = [(row["ratio_low"], row["ratio_high"], row["p_value"]) for row in (once, thrice)]
    assert ends[1] == pytest.approx(ends[0])
    assert (thrice["images"], thrice["groups"]) == (120, 40)
    assert apart["ratio_low"] > thrice["ratio_low"]
    assert apart["p_value"] < thrice["p_value"] / 10


def test_the_size_of_clustered_images_is_that_of_korn_and_graubard() -> None:
    shown, of_all = np.array([3, 0, 1, 2, 0, 0]), np.array([3, 3, 2, 2, 4, 1])
    nevi = [value for s, n in zip(shown, of_all, strict=True) for value in [1] * s + [0] * (n - s)]
    table = images([NV] * 15 + [MEL] * 4000)
    table["lesion"] = [f"L{n}" for n in np.arange(6).repeat(of_all)] + [""] * 4000

    row = artifact_associations(flags(table, nevi + [0] * 4000), table).iloc[0]

    fraction = 6 / 15
    variance = 6 / 5 * ((shown - fraction * of_all) ** 2).sum() / 15**2
    size = (
        fraction * (1 - fraction) / variance * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 5)) ** 2
    )
    low = stats.beta.ppf(0.025, 6 / 15 * size, size - 6 / 15 * size + 1)
    assert row["difference_low"] == pytest.approx(low, abs=1e-4)


def test_patients_count_before_lesions() -> None:
    lesions = [f"L{number // 2}" for number in range(240)]
    patients = [f"P{number // 6}" for number in range(240)]

    row = counted((30, 120), (6, 120), lesion=lesions, patient=patients)

    assert (row["groups"], row["rest_groups"]) == (20, 20)


@pytest.mark.parametrize(
    ("first", "second", "ratio", "low", "high"),
    [
        ((0, 60), (20, 60), 0.0, (0, 0), (0.05, 0.5)),
        ((20, 60), (0, 60), np.inf, (2, 50), (np.inf, np.inf)),
        ((0, 60), (0, 60), np.nan, (0, 0), (np.inf, np.inf)),
        ((60, 60), (60, 60), 1.0, (0.9, 1), (1, 1.1)),
        ((60, 60), (0, 60), np.inf, (8, 50), (np.inf, np.inf)),
    ],
)
def test_zero_and_full_cells_have_intervals(
    first: tuple[int, int], second: tuple[int, int], ratio: float, low: Any, high: Any
) -> None:
    row = counted(first, second)

    assert row["ratio"] == pytest.approx(ratio, nan_ok=True)
    assert low[0] <= row["ratio_low"] <= low[1]
    assert high[0] <= row["ratio_high"] <= high[1]
    assert -1 <= row["difference_low"] <= row["difference"] <= row["difference_high"] <= 1
    assert (row["p_value"] < 0.001) == (first[0] / first[1] != second[0] / second[1])


def test_one_lesion_says_nothing() -> None:
    row = counted((30, 30), (0, 200), lesion=["L"] * 30 + [""] * 200)

    assert (row["difference"], row["ratio"]) == (1, np.inf)
    assert row["p_value"] == 1
    assert row["difference_low"] < 0
    assert (row["severity"], row["note"]) == ("none", "few groups")


@example([(0, 0, 0.0), (1, 0, 5e-324), (1, 1, 5e-324)])
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.floats(0, 1)), min_size=2, max_size=60
    )
)
def test_every_interval_holds_its_value(rows: list[tuple[int, int, float]]) -> None:
    labels, lesions, values = map(list, zip(*rows, strict=True))
    table = images(labels, lesion=[f"L{number}" for number in lesions])

    found = artifact_associations(flags(table, values), table)

    for row in found.to_dict("records"):
        assert -1 <= row["difference_low"] <= row["difference"] + 1e-12
        assert row["difference"] - 1e-12 <= row["difference_high"] <= 1
        assert 0 <= row["p_value"] <= row["adjusted_p"] <= 1
        if not np.isnan(row["ratio"]):
            assert 0 <= row["ratio_low"] <= row["ratio"] * (1 + 1e-9)
            assert row["ratio"] <= row["ratio_high"] * (1 + 1e-9)


def test_p_values_are_corrected_after_holm_over_all_rows() -> None:
    generator = np.random.default_rng(0)
    table = images(generator.integers(0, 4, 600), source=["a", "b", "c"] * 200)
    artifacts = pd.DataFrame(generator.random((600, 3)) < [[0.1, 0.4, 0.7]], columns=[*"xyz"])
    artifacts = artifacts.set_index(table["id"])
    artifacts.loc[table["label"].to_numpy() == 2, "x"] |= (
        generator.random((table["label"] == 2).sum()) < 0.15
    )

    found = artifact_associations(artifacts, table).sort_values("p_value")

    assert len(found) == 3 * (4 + 3)
    wanted = [min(1, p * (21 - place)) for place, p in enumerate(found["p_value"])]
    assert found["adjusted_p"].tolist() == pytest.approx([*itertools.accumulate(wanted, max)])


def test_probabilities_count_as_soft_counts() -> None:
    table = images([NV] * 100 + [MEL] * 100)
    soft = [0.3, 0.1] * 50 + [0.1] * 100

    row = artifact_associations(flags(table, soft), table).iloc[0]

    assert (row["fraction"], row["rest"]) == pytest.approx((0.2, 0.1))
    assert row["adjusted_p"] == pytest.approx(row["p_value"])


def test_missing_artifacts_and_unknown_labels_are_left_out() -> None:
    table = images([NV, NV, MEL, MEL, None])
    artifacts = flags(table, [1.0, np.nan, 0.0, 0.0, 1.0])

    row = artifact_associations(artifacts[:4], table, by=["class"]).iloc[0]

    assert (row["images"], row["rest_images"], row["fraction"]) == (1, 2, 1.0)


def test_each_value_is_compared_with_all_others_and_of_two_the_second_with_the_first() -> None:
    train = images([0, 1, 2, 0, 1, 2], source=["a", "b", "c"] * 2)
    test = train.assign(id=[f"J{number}" for number in range(6)])
    artifacts = pd.concat([flags(train, [0, 1, 0, 0, 1, 0]), flags(test, [1] * 6)])

    found = artifact_associations(artifacts, train, test)

    assert [*found.columns] == [*ASSOCIATION_COLUMNS]
    values = found.groupby("by", sort=False)["value"].agg(list).to_dict()
    assert values == {"class": ["MEL", "NV", "BCC"], "split": ["test"], "source": ["a", "b", "c"]}
    assert [*values] == [*ASSOCIATIONS]
    split = found.set_index("by").loc["split"]
    assert (split["fraction"], split["rest"]) == pytest.approx((1, 1 / 3))


def test_a_single_class_has_nothing_to_compare() -> None:
    table = images([NV] * 20)

    found = artifact_associations(flags(table, [0, 1] * 10), table)

    assert not len(found)
    assert [*found.columns] == [*ASSOCIATION_COLUMNS]


def test_severity_takes_size_and_significance() -> None:
    cases = {
        ((300, 1000), (100, 1000)): "large",
        ((90, 1000), (20, 1000)): "large",
        ((400, 2000), (260, 2000)): "moderate",
        ((1050, 2000), (960, 2000)): "small",
        ((3, 10), (1, 10)): "none",
        ((90, 20000), (20, 20000)): "small",
    }

    assert {case: counted(*case)["severity"] for case in cases} == cases


def test_the_order_of_rows_and_artifacts_from_a_file_change_nothing(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    table = images(generator.integers(0, 3, 90), lesion=[f"L{n % 40}" for n in range(90)])
    artifacts = flags(table, generator.random(90).round(3))
    path = tmp_path / "artifacts.csv"
    artifacts.assign(confidence=7).reset_index().to_csv(path, index=False)
    shuffled = table.sample(frac=1, random_state=1)

    found = artifact_associations(artifacts, table)

    pd.testing.assert_frame_equal(artifact_associations(path, shuffled), found)
    other = artifacts.sample(frac=1, random_state=2).reset_index()
    pd.testing.assert_frame_equal(artifact_associations(other, table), found)


@pytest.mark.parametrize(
    ("artifacts", "message"),
    [
        (pd.DataFrame({"id": ["I00000"], "ink": [1.5]}), r"'ink' has numbers in 0\.\.1"),
        (pd.DataFrame({"id": ["I00000"], "ink": ["much"]}), r"numbers in 0\.\.1.*'much'"),
        (pd.DataFrame({"id": ["other"], "ink": [1]}), "ids of images.*other"),
        (pd.DataFrame({"id": ["I00000", "I00000"], "ink": [1, 0]}), "one row for each id.*I00000"),
        (pd.DataFrame({"id": ["I00000"]}), "a table of ids and artifacts"),
        (pd.DataFrame({"id": ["I00000"], "split": [1]}), "a table of ids and artifacts"),
    ],
)
def test_tables_of_artifacts_that_cannot_be_are_refused(
    artifacts: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ValueError, match=f"`artifacts`.*{message}"):
        artifact_associations(artifacts, images([0, 1]))


def test_options_out_of_range_are_refused() -> None:
    table = images([0, 1])
    artifacts = flags(table, [0, 1])
    with pytest.raises(ValueError, match=r"`by`.*'class', 'split', 'source'"):
        artifact_associations(artifacts, table, by=["site"])
    with pytest.raises(TypeError, match=r"`by`.*several"):
        artifact_associations(artifacts, table, by="class")
    with pytest.raises(ValueError, match=r"`level`.*below 1"):
        artifact_associations(artifacts, table, level=1)
    with pytest.raises(ValueError, match=r"`folds`.*2 or more"):
        artifact_only_score(artifacts, table, folds=1)
    with pytest.raises(TypeError, match=r"`seed`"):
        artifact_only_score(artifacts, table, seed=0.5)  # type: ignore[arg-type] # refused
    with pytest.raises(ValueError, match="two classes or more with 5 groups"):
        artifact_only_score(artifacts, table)


def draw_set(
    seed: int, effect: float, *, lesions: int = 150, images_of_each: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw lesions of three classes, all images of which show an artifact or none does."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 3, lesions).repeat(images_of_each)
    lesion = np.arange(lesions).repeat(images_of_each)
    table = images(label, lesion=[f"L{number}" for number in lesion])
    chance = generator.random((lesions, 2)).repeat(images_of_each, axis=0)
    shown = chance < 0.3 + effect * np.stack([label == 0, label == 1], axis=1)
    return table, pd.DataFrame(shown, columns=["ruler", "ink"], index=table["id"])


def test_artifacts_of_each_class_give_it_away_and_others_do_not() -> None:
    table, artifacts = draw_set(0, 0.7)
    _, noise = draw_set(1, 0.0)

    told, chance = artifact_only_score(artifacts, table), artifact_only_score(noise, table)

    assert told["class"].tolist() == ["", "MEL", "NV", "BCC"]
    assert (told["chance"] == 1 / 3).all()
    assert told["low"][0] > 0.6
    assert told["value"][0] == pytest.approx(told["value"][1:].mean())
    assert chance["low"][0] < 1 / 3 < chance["high"][0]
    assert (told["images"][0], told["groups"][0]) == (300, 150)


def test_a_rare_class_weighs_as_much_as_a_common_one() -> None:
    table = images([MEL] * 20 + [NV] * 400)
    shown = [1] * 16 + [0] * 4 + [1] * 60 + [0] * 340  # of those shown, most are nevi

    found = artifact_only_score(flags(table, shown), table).set_index("class")["value"]

    assert found.round(2).to_dict() == {"": 0.82, "MEL": 0.8, "NV": 0.85}


def test_lesions_are_in_one_fold_so_that_none_is_recognized_again() -> None:
    # Each lesion has a value of its own, by which a model of the same lesions would know it
    generator = np.random.default_rng(5)
    table, _ = draw_set(2, 0.0, lesions=60, images_of_each=8)
    values = generator.random((60, 5)).repeat(8, axis=0)

    found = artifact_only_score(pd.DataFrame(values, columns=[*"abcde"], index=table["id"]), table)

    assert found["low"][0] < 1 / 3


def test_classes_of_few_lesions_are_left_out_of_the_score() -> None:
    table, artifacts = draw_set(0, 0.5)
    table.loc[:5, "label"], table.loc[:5, "lesion"] = 7, "one"

    found = artifact_only_score(artifacts, table)

    assert found["class"].tolist() == ["", "MEL", "NV", "BCC"]
    assert found["note"][0] == "without SCC, of fewer than 5 groups"


def test_the_audit_tells_what_artifacts_go_with() -> None:
    table, artifacts = draw_set(0, 0.6)
    train, test = (table[table.index % 4 // 2 == part] for part in (0, 1))

    report = audit(train, test, artifacts=artifacts, progress=False, fail_on=["confounding"])

    pd.testing.assert_frame_equal(
        report.associations, artifact_associations(artifacts, train, test)
    )
    pd.testing.assert_frame_equal(
        report.artifact_scores, artifact_only_score(artifacts, train, test)
    )
    counted = report.associations["severity"].isin(["moderate", "large"])
    assert report.counts["confounding"] == counted.sum() > 2
    assert report.failed == ("confounding",)
    assert "artifacts that go with a class, split or source" in report.verdict
    assert "artifacts" in report.checked
    assert [*report.artifacts] == ["split", "id", "ruler", "ink"]
    assert len(report.artifacts) == len(table)
    content = json.loads(report.to_json())
    assert content["associations"]["count"] == len(report.associations)
    assert "artifacts" not in content


def test_the_page_tells_what_artifacts_go_with() -> None:
    table, artifacts = draw_set(0, 0.6)

    text = str(audit(table, artifacts=artifacts, progress=False))
    page = audit(table, artifacts=artifacts, progress=False).to_html()

    row = artifact_associations(artifacts, table).iloc[0]
    assert (row["artifact"], row["value"]) == ("ruler", "MEL")
    cell = f"{row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
    assert f"*{cell}" in text
    assert f"<b>{row['fraction']:.1%}*</b><span>&times;{cell}</span>" in page
    words = f"ruler with MEL: {row['fraction']:.1%} of {row['images']} images against"
    assert words in page
    assert words in " ".join(text.split())
    assert "a classifier reaches a balanced accuracy of" in page
    assert "chance is 0.33" in page


def test_artifacts_that_are_not_given_are_not_checked() -> None:
    report = audit(draw_set(0, 0.6)[0], progress=False)

    assert not len(report.associations) + len(report.artifact_scores) + len(report.artifacts)
    assert "Artifacts and what they go with: not searched (option `artifacts`)." in report.unchecked
    assert "ARTIFACTS AND WHAT THEY GO WITH\n  not checked\n" in str(report)


def test_artifacts_are_detected_in_the_images(tmp_path: Path) -> None:
    table = images([0, 1] * 4)
    generator = np.random.default_rng(0)
    paths = [str(tmp_path / f"{one}.png") for one in table["id"]]
    for path in paths[:-1]:
        write_image(path, generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    table = table.assign(image_path=paths)

    report = audit({"a": table, "b": table[:3].assign(id="x")}, artifacts=True, progress=False)

    wanted = artifact_table(paths[:-1], progress=False)
    first = report.artifacts[report.artifacts["split"] == "a"].set_index("id")
    assert [*first.columns] == ["split", *ARTIFACTS]
    assert first.index.tolist() == table["id"].tolist()
    np.testing.assert_array_equal(first[:7][[*ARTIFACTS]], wanted)
    assert first[7:][[*ARTIFACTS]].isna().all(axis=None)
    assert "Artifacts of a: unknown for 1 of 8 images." in report.unchecked
    assert {*report.associations["by"]} == {"class", "split"}


def test_artifacts_need_images() -> None:
    report = audit(images([0, 1]), artifacts=True, progress=False)

    assert "Artifacts and what they go with: no image can be read." in report.unchecked
    assert "artifacts" not in report.checked
    with pytest.raises(ValueError, match=r"`artifacts`.*a table where `images` is False"):
        audit(images([0, 1]), artifacts=True, images=False)


def test_images_without_artifacts_are_told() -> None:
    table, artifacts = draw_set(0, 0.6)

    report = audit(table, artifacts=artifacts[:280], progress=False)

    assert "Artifacts of train: unknown for 20 of 300 images." in report.unchecked


def test_a_huge_ratio_is_written_in_few_figures() -> None:
    table = images([NV] * 20 + [MEL] * 20)
    artifacts = flags(table, [0.1] * 20 + [1e-5] * 20)

    report = audit(table, artifacts=artifacts, progress=False)

    assert report.associations["ratio_high"].max() > 1e50
    assert "1,000+ (0.23 to 1,000+)" in str(report)


def test_names_from_tables_are_escaped() -> None:
    table, artifacts = draw_set(0, 0.6)
    hostile = "<script>alert(1)</script>"
    table["source"] = [hostile, "b", "c"] * 100
    artifacts = artifacts.rename(columns={"ink": "<b>ink\x1b[31m"})

    report = audit(table, artifacts=artifacts, progress=False)

    assert hostile not in report.to_html()
    assert "<b>ink" not in report.to_html()
    assert "\x1b" not in report.to_html() + str(report)


@pytest.mark.slow  # 4,000 data sets
@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_intervals_hold_the_truth_and_tests_are_wrong_as_rarely_as_they_say(rate: float) -> None:
    generator = np.random.default_rng(0)
    covered = np.zeros(3)
    for _ in range(1000):
        row = drawn_row(generator, rate, rate)
        other = drawn_row(generator, rate, 2 * rate)
        covered += [
            row["p_value"] < 0.05,
            other["difference_low"] <= -rate <= other["difference_high"],
            other["ratio_low"] <= 0.5 <= other["ratio_high"],
        ]

    assert covered[0] / 1000 < 0.06
    assert (covered[1:] / 1000 > 0.94).all()


def drawn_row(generator: np.random.Generator, nevi: float, melanomas: float) -> "pd.Series[Any]":
    """Compare 60 nevi of 1 to 4 images each with 200 melanomas; lesions have their own rates."""
    lesions = np.repeat(np.arange(260), generator.integers(1, 5, 260))
    labels = np.where(lesions < 60, NV, MEL)
    middle: npt.NDArray[np.float64] = np.where(np.arange(260) < 60, nevi, melanomas)
    own = generator.beta(2 * middle, 2 * (1 - middle))
    table = images(labels, lesion=[f"L{number}" for number in lesions])
    shown = generator.random(len(lesions)) < own[lesions]
    return artifact_associations(flags(table, shown), table, by=["class"]).iloc[0]

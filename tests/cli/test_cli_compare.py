"""The command that compares predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from command import mistake_of, run
from dermolib.evaluation import compare, compare_all

_CLASSES = ["MEL", "NV", "BCC"]
_COMMAND = "compare good.csv fair.csv --truth truth.csv --groups lesions.csv --resamples 200"


@pytest.fixture(autouse=True)
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Write a truth, three answers in orders of their own, and lesions; returns their values."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    target = generator.integers(0, 3, 90)
    ids = np.array([f"ISIC_{number}" for number in range(90)])
    truth = pd.DataFrame(np.eye(3, dtype=int)[target], columns=_CLASSES)
    truth.insert(0, "image", ids)
    truth.to_csv("truth.csv", index=False)
    lesions = np.arange(90) // 2
    pd.DataFrame({"image": ids, "lesion": lesions}).to_csv("lesions.csv", index=False)
    found: dict[str, Any] = {"target": target, "groups": lesions}
    for name, signal in {"good": 2.5, "fair": 1.5, "poor": 0.5}.items():
        logits = signal * np.eye(3)[target] + generator.normal(size=(90, 3))
        values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        frame = pd.DataFrame(values, columns=_CLASSES)
        frame.insert(1, "image", ids)
        frame.sample(frac=1, random_state=len(found)).to_csv(f"{name}.csv", index=False)
        found[name] = values
    return found


def test_two_models_are_compared_by_lesion_whatever_the_order_of_rows(
    drawn: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_COMMAND) == 0

    shown = capsys.readouterr().out
    found = compare(
        drawn["good"],
        drawn["fair"],
        drawn["target"],
        groups=drawn["groups"],
        label_space=_CLASSES,
        resamples=200,
    )
    assert " ".join(str(found).split()) in " ".join(shown.split())
    assert "90 images of 45 groups" in shown
    assert shown.startswith("a  good.csv\nb  fair.csv\n")
    assert f"a - b  {found.difference:+.3f}  ({found.low:+.3f} to {found.high:+.3f})" in shown
    assert "Groups are by lesion of lesions.csv." in shown


def test_several_models_are_compared_in_pairs_after_holm(
    drawn: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "compare good.csv fair.csv poor.csv --truth truth.csv --metric roc_auc:MEL --json"

    assert run(words) == 0

    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    models = {letter: drawn[name] for letter, name in zip("abc", ("good", "fair", "poor"))}  # noqa: B905
    table = compare_all(models, drawn["target"], metric="roc_auc:MEL", label_space=_CLASSES)
    assert found["files"] == {"a": "good.csv", "b": "fair.csv", "c": "poor.csv"}
    read = pd.DataFrame(found["comparisons"])[[*table.columns]]
    pd.testing.assert_frame_equal(read, table, check_exact=False, rtol=1e-9)


@pytest.mark.parametrize("third", ["", " poor.csv"])
def test_what_is_printed_fits_a_log(third: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{_COMMAND.replace('fair.csv', f'fair.csv{third}')} --margin 0.5"

    assert run(words) == 0

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "equivalent" in shown


def test_json_has_all_numbers_of_a_comparison(
    drawn: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{_COMMAND} --json --margin 0.01 --seed 4") == 0

    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    (row,) = found["comparisons"]
    wanted = compare(
        drawn["good"],
        drawn["fair"],
        drawn["target"],
        groups=drawn["groups"],
        label_space=_CLASSES,
        resamples=200,
        margin=0.01,
        seed=4,
    )
    assert (row["a"], row["b"], row["equivalent"]) == ("a", "b", wanted.equivalent)
    for name in ("difference", "low", "high", "p_value"):
        assert row[name] == pytest.approx(getattr(wanted, name), rel=1e-9)
    assert (row["value_a"], row["value_b"]) == pytest.approx((wanted.a, wanted.b))
    assert (found["metric"], found["seed"]) == ("balanced_accuracy", 4)


def test_images_that_no_model_predicts_are_left_out_of_the_truth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("good", "fair"):
        frame = pd.read_csv(f"{name}.csv").sort_values("image")
        frame[:60].to_csv(f"{name}.csv", index=False)

    assert run("compare good.csv fair.csv --truth truth.csv --resamples 50") == 0

    shown = capsys.readouterr().out
    assert "60 of the 90 images of truth.csv." in shown
    assert "Each image is a group of its own; pass --groups" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("good.csv --truth truth.csv", "expected 2 to 26 files to compare, but got 1"),
        ("good.csv fair.csv", "the following arguments are required: --truth"),
        ("good.csv gone.csv --truth truth.csv", "Expected `gone.csv` to exist, but it does not."),
        ("good.csv part.csv --truth truth.csv", "1 missing (ISIC_0). Compare models on the same"),
        ("good.csv fair.csv --truth fair.csv", "The truth comes first"),
        ("good.csv fair.csv --truth truth.csv --metric f1", "a score that is one number"),
        ("good.csv fair.csv --truth truth.csv --metric acc", "Expected `metric` to be one of "),
        (
            "good.csv fair.csv --truth truth.csv --margin 0",
            "`margin` to be a finite number above 0",
        ),
        ("good.csv lesions.csv --truth truth.csv", "`lesions.csv` to be a table with the columns"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv("good.csv")
    frame[frame["image"] != "ISIC_0"].to_csv("part.csv", index=False)

    assert sentence in mistake_of(f"compare {words}", capsys)

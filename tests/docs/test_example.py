"""The examples as a user runs them, on few images and a small network."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermolib.evaluation import official_scores
from dermolib.labels import LABEL_SPACES

_SCRIPT = Path(__file__).parents[2] / "examples" / "isic_challenge.py"
_SMALL = ["--model", "custom_cnn", "--image-size", "16", "--epochs", "1", "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Expected `predictions` to be classes from 0")  # 62 predictions
def test_the_whole_pipeline_leaves_figures_scores_and_a_submission(tmp_path: Path) -> None:
    output = tmp_path / "run"

    main = runpy.run_path(str(_SCRIPT))["main"]
    report = main([*_SMALL, "--limit", "160", "--output", str(output)])

    figures = {path.stem for path in (output / "figures").glob("*.png")}
    confusion = {"confusion_with_augmentation", "confusion_without_augmentation"}
    others = {"augmented", "exploration", "hair_removal", "loss_curves", "overfit"}
    assert figures == confusion | others
    for name in figures:
        Image.open(output / "figures" / f"{name}.png").verify()
    assert json.loads((output / "metrics.json").read_text()) == report
    submission = pd.read_csv(output / "submission.csv")
    assert list(submission.columns) == ["ID", "CLASS"]
    assert submission["CLASS"].between(1, 8).all()
    assert len(submission) == report["images"]["test"]
    split = pd.read_csv(output / "split.csv")
    assert split.groupby("LESION")["SPLIT"].nunique().max() == 1
    for scores in report["validation"].values():
        interval = scores["interval"]
        assert interval["low"] <= scores["weighted_accuracy"] <= interval["high"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere"], "Expected `nowhere` to exist, but it does not."),
        (["--model", "alexnett"], "Did you mean 'alexnet'?"),
        (["--learning-rate", "-1"], "`learning_rate` to be a finite number above 0, but got -1.0."),
        (["--limit", "0"], "expected a whole number of 1 or more, but got 0"),
        (["--output", __file__], "`--output` to be a new or empty folder"),
    ],
)
def test_a_mistake_gets_one_sentence_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(_SCRIPT), "--output", "run", *arguments])

    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(_SCRIPT), run_name="__main__")

    assert stop.value.code
    assert sentence in f"{stop.value}{capsys.readouterr().err}"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .* set has no image of BEN_OTH, INF, MAL_OTH")  # not drawn
def test_pairs_of_images_are_trained_on_and_submitted_by_lesion(tmp_path: Path) -> None:
    output = tmp_path / "run"

    main = runpy.run_path(str(_SCRIPT.with_name("pairs_milk10k.py")))["main"]
    scores = main(["--epochs", "2", "--lesions", "32", "--device", "cpu", "--output", str(output)])

    assert 0 <= scores["macro_f1"] <= 1
    assert (scores["train"], scores["test"]) == (24, 8)
    submission = pd.read_csv(output / "submission.csv")
    lesions = {path.name for path in (output / "drawn" / "MILK10k_Test_Input").iterdir()}
    assert {*submission["lesion_id"]} == lesions
    assert list(submission.columns[1:]) == list(LABEL_SPACES["milk10k"].codes)
    np.testing.assert_allclose(submission.iloc[:, 1:].sum(axis=1), 1, atol=1e-4)
    split = pd.read_csv(output / "split.csv")
    assert split["SPLIT"].value_counts().to_dict() == {"train": 24, "validation": 8}
    with pytest.raises(ValueError, match="`--output` to be a new or empty folder"):
        main(["--output", str(output)])


@pytest.mark.slow
def test_a_binary_task_goes_from_its_table_to_the_official_file_and_score(tmp_path: Path) -> None:
    output = tmp_path / "run"

    main = runpy.run_path(str(_SCRIPT.with_name("binary_task.py")))["main"]
    report = main(["--patients", "80", "--epochs", "1", "--device", "cpu", "--output", str(output)])

    assert report["interval"][0] <= report["auc"] <= report["interval"][1]
    assert report["patients"] == 20
    submission = pd.read_csv(output / "submission.csv")
    test = pd.read_csv(output / "drawn" / "test.csv")
    assert list(submission.columns) == ["image_name", "target"]
    assert submission["image_name"].tolist() == test["image_name"].tolist()
    assert submission["target"].between(0, 1).all()
    truth = submission.assign(
        target=[0.0, 1.0] * (len(submission) // 2) + [0.0] * (len(submission) % 2)
    )
    assert 0 <= official_scores(truth, submission, form="isic2020")["auc"].iloc[0] <= 1
    with pytest.raises(ValueError, match="`--output` to be a new or empty folder"):
        main(["--output", str(output)])

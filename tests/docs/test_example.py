"""The example as a person runs it, on few images and a small network."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from PIL import Image

_SCRIPT = Path(__file__).parents[2] / "examples" / "isic_challenge.py"
_SMALL = ["--model", "custom_cnn", "--image-size", "16", "--epochs", "1", "--device", "cpu"]


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("isic_challenge", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_whole_road_leaves_figures_scores_and_a_submission(tmp_path: Path) -> None:
    output = tmp_path / "run"

    report = load_example().main([*_SMALL, "--limit", "160", "--output", str(output)])

    figures = {path.name for path in (output / "figures").glob("*.png")}
    assert figures == {
        "augmented.png",
        "confusion_with_augmentation.png",
        "confusion_without_augmentation.png",
        "exploration.png",
        "hair_removal.png",
        "loss_curves.png",
        "overfit.png",
    }
    for name in figures:
        Image.open(output / "figures" / name).verify()
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
def test_a_mistake_is_told_in_one_sentence_before_anything_is_written(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    result = subprocess.run(  # noqa: S603 - this interpreter, with a script of this repository
        [sys.executable, str(_SCRIPT), "--output", "run", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())

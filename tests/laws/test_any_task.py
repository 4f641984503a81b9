"""Law of label spaces: any task goes from a table to an official file and its score."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dermolib import ISICDataset, Trainer, audit, build_model, grouped_split, preset
from dermolib.datasets import read_table
from dermolib.evaluation import official_scores
from dermolib.io import write_image
from dermolib.labels import LABEL_SPACES, LabelSpace, as_label_space
from dermolib.reporting import plot_class_counts, write_submission
from drawing import noise_image

TASKS: dict[str, tuple[Any, str | None]] = {
    "challenge": ("challenge", "challenge"),
    "isic2018": ("isic2018", "isic2018"),
    "isic2019": ("isic2019", "isic2019"),
    "isic2020": ("binary", "isic2020"),
    "isic2024": ("binary", "isic2024"),
    "milk10k": ("milk10k", "milk10k"),
    "padufes": ("padufes", None),
    "own": (LabelSpace(["wart", "naevus", "other"]), None),
}


def draw(root: Path, space: LabelSpace) -> Path:
    """Write a table with eight images of each class, of two patients each."""
    codes = [code for code in space.codes for _ in range(8)]
    ids = [f"IMG_{number}" for number in range(len(codes))]
    for number, name in enumerate(ids):
        write_image(root / "images" / f"{name}.png", noise_image(16, 16, number))
    patients = [f"P{number // 4}" for number in range(len(codes))]
    table = pd.DataFrame({"image_name": ids, "patient_id": patients})
    if space.is_binary:
        table["target"] = [space.index(code) for code in codes]
    else:
        table["diagnosis"] = codes
    table.to_csv(root / "table.csv", index=False)
    return root / "table.csv"


@pytest.mark.filterwarnings("ignore:Expected `predictions` to be classes from 0")  # few predictions
@pytest.mark.parametrize("task", TASKS)
def test_any_task_goes_from_its_table_to_its_official_file_and_score(
    task: str, tmp_path: Path
) -> None:
    space, form = as_label_space(TASKS[task][0]), TASKS[task][1]
    path = draw(tmp_path, space)
    look = preset("evaluation", image_size=16)
    data = ISICDataset(path, tmp_path / "images", label_space=space, transform=look)

    split = grouped_split(data, fractions=(0.5, 0.5), seed=0)
    train, test = data.subset(split[0]), data.subset(split[1], split="validation")
    logits = 1 if task == "isic2024" else len(space)
    model = build_model("custom_cnn", num_classes=logits, image_size=16)
    trainer = Trainer(model, epochs=1, batch_size=16, device="cpu", progress=False)
    rows = trainer.fit(train, test).rows
    trainer.save(tmp_path / "model.pt")
    loaded = Trainer.load(tmp_path / "model.pt", device="cpu", progress=False)
    probabilities = loaded.predict(test)

    assert data.label_space == loaded.label_space == space
    assert data.class_counts().tolist() == [8] * len(space)
    assert rows[0]["validation_weighted_accuracy"] == pytest.approx(
        loaded.evaluate(test)["weighted_accuracy"]
    )
    assert probabilities.shape == (len(test), len(space))
    assert torch.equal(probabilities, trainer.predict(test))
    report = audit(train, test, images=False)
    assert list(report.class_counts.index) == [*space.codes, "unknown"]
    labels = [text.get_text() for text in plot_class_counts(data.table).get_yticklabels()]
    assert labels == list(space.codes)
    if form is None:
        return
    ids, answer = list(test.ids), tmp_path / "answer.csv"
    write_submission(answer, ids, probabilities, form=form, expected_ids=ids, label_space=space)
    if form == "challenge":
        classes = pd.read_csv(answer)["CLASS"].to_numpy()
        assert classes.tolist() == (probabilities.argmax(dim=1) + 1).tolist()
        return
    truth = pd.read_csv(answer)
    flags = np.eye(len(space))[test.labels]
    truth.iloc[:, 1:] = flags[:, 1:] if space.is_binary else flags
    assert np.isfinite(official_scores(truth, answer, form=form).to_numpy(float)).any()
    truth.to_csv(tmp_path / "truth.csv", index=False)
    perfect = official_scores(tmp_path / "truth.csv", truth, form=form)
    assert perfect["auc"].dropna().eq(1).all()


def test_a_table_keeps_its_codes_through_every_space() -> None:
    codes = [code for code in LABEL_SPACES["milk10k"].codes for _ in range(2)]
    table = pd.DataFrame({"id": [f"I{number}" for number in range(22)], "diagnosis": codes})

    there = read_table(table, label_space="milk10k")
    for name in LABEL_SPACES:
        moved = read_table(there, label_space=name)
        back = read_table(moved, label_space="milk10k")
        assert moved["diagnosis"].tolist() == codes
        assert back["label"].tolist() == there["label"].tolist()

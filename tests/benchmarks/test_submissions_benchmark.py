"""The parts of the submissions: what members and students learn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from dermolib import make_synthetic_challenge
from submission_parts.data import Softened, open_challenge
from submission_parts.runs import Plan, Student, by_folds, sharpened, whole


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    return make_synthetic_challenge(folder, images_per_class=10, image_size=48, seed=0)


def test_samples_carry_what_the_teacher_says(root: Path) -> None:
    challenge = open_challenge(root)
    count, row = len(challenge.train) + len(challenge.test), len(challenge.train) + 1
    soft = np.random.default_rng(0).dirichlet(np.ones(8), count).astype(np.float32)

    data = Softened([challenge.train, challenge.test], soft)

    assert data[row]["id"] == challenge.test.ids[1] == data.ids[row]
    assert (data[row]["soft_label"] == soft[row]).all()
    assert data[row]["label"] == soft[row].argmax() == data.labels[row]
    assert len(data) == count


def test_a_teachers_probabilities_are_divided_by_the_class_fractions(root: Path) -> None:
    challenge = open_challenge(root)
    found = np.random.default_rng(0).dirichlet(np.ones(8), 5)

    divided = sharpened(challenge, found, 0.5)

    counts = challenge.train.class_counts()
    expected = found / (counts / counts.sum()) ** 0.5
    assert np.allclose(divided, expected / expected.sum(axis=1, keepdims=True))


@pytest.mark.slow  # three short trainings
def test_a_student_never_sees_the_labels_of_the_fold(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = open_challenge(root)
    options: dict[str, Any] = {"batch_size": 16, "progress": False, "device": "cpu"}
    plan = Plan(image_size=32, half=True, epochs=1, options={**options, "class_weights": None})
    seen: list[Softened] = []
    original = Softened.__init__

    def spied(self: Softened, *arguments: Any) -> None:
        original(self, *arguments)
        seen.append(self)

    monkeypatch.setattr(Softened, "__init__", spied)

    def member(fold: int) -> Student:
        return Student(plan.trainer(_tiny(), tmp_path / f"member-{fold}", seed=fold))

    teacher = by_folds(member, challenge, plan, tmp_path / "members", only=[0])
    fold = challenge.train.subset(challenge.folds[0])
    taught = [sharpened(challenge, one) for one in (teacher.probabilities, teacher.extra)]
    transform = plan.transforms()[0]
    sets = [one.with_transform(transform) for one in (fold, challenge.test)]

    def student(_: int) -> Student:
        return Student(plan.trainer(_tiny(), tmp_path / "student", seed=0), sets, taught)

    by_folds(student, challenge, plan, tmp_path / "students", only=[0])

    assert teacher.table["id"].tolist() == fold.ids.tolist()
    (data,) = seen
    place = {name: row for row, name in enumerate(data.ids)}
    of_fold = np.stack([data[place[name]]["soft_label"] for name in fold.ids])
    assert np.allclose(of_fold, taught[0], atol=1e-6)
    others = np.setdiff1d(np.arange(len(challenge.train)), challenge.folds[0])
    rows = [data[place[name]] for name in challenge.train.ids[others]]
    hard = np.eye(8)[challenge.train.labels[others]]
    assert (np.stack([row["soft_label"] for row in rows]) == hard).all()


@pytest.mark.slow  # a short training
def test_a_finished_run_is_read_and_not_trained_again(root: Path, tmp_path: Path) -> None:
    challenge = open_challenge(root)
    options: dict[str, Any] = {"batch_size": 16, "progress": False, "device": "cpu"}
    plan = Plan(image_size=32, half=True, epochs=1, options={**options, "class_weights": None})
    first = whole(Student(plan.trainer(_tiny(), tmp_path / "run", seed=0)), challenge, plan)
    (tmp_path / "run" / "test.npy").unlink()
    kept = (tmp_path / "run" / "best.pt").read_bytes()

    again = whole(Student(plan.trainer(_tiny(), tmp_path / "run", seed=0)), challenge, plan)

    assert np.allclose(again, first, atol=1e-6)
    assert (tmp_path / "run" / "best.pt").read_bytes() == kept
    assert not (tmp_path / "run" / "run-1").exists()


def _tiny() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8))

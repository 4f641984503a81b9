"""The parts of the submissions: symmetries, targets and the decision rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dermolib import make_synthetic_challenge
from submission_parts.data import Softened, open_challenge
from submission_parts.decision import best_power, crossfitted, decide, weighted
from submission_parts.runs import Plan, Symmetries, known, sharpened, student, trained


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    return make_synthetic_challenge(folder, images_per_class=10, image_size=48, seed=0)


def test_an_image_and_its_rotations_and_flips_get_the_same_probabilities() -> None:
    torch.manual_seed(0)
    model = Symmetries(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)))
    image = torch.rand(1, 3, 4, 4)

    found = model(image)

    assert torch.allclose(model(torch.rot90(image, 1, (2, 3)).flip(3)), found, atol=1e-6)
    assert torch.allclose(found.exp().sum(), torch.tensor(1.0))


def test_a_rare_class_wins_by_the_power_of_its_fraction() -> None:
    probabilities, counts = np.array([[0.6, 0.4]]), np.array([90, 10])

    assert [decide(probabilities, counts, power)[0] for power in (0.0, 0.5)] == [0, 1]
    assert weighted(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])) == 0.75


def test_a_fold_is_decided_without_its_own_labels() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), 60)
    target, counts = generator.integers(0, 3, 60), np.array([40, 15, 5])
    folds = [np.arange(0, 30), np.arange(30, 60)]
    other = target.copy()
    other[folds[0]] = (other[folds[0]] + 1) % 3

    first, second = (crossfitted(probabilities, y, counts, folds) for y in (target, other))

    assert (first[folds[0]] == second[folds[0]]).all()
    power = best_power(probabilities[folds[1]], target[folds[1]], counts)
    assert (first[folds[0]] == decide(probabilities[folds[0]], counts, power)).all()


def test_folds_share_no_lesion_and_samples_carry_what_the_teacher_says(root: Path) -> None:
    challenge = open_challenge(root)
    count, row = len(challenge.train) + len(challenge.test), len(challenge.train) + 1
    soft = np.random.default_rng(0).dirichlet(np.ones(8), count).astype(np.float32)

    data = Softened([challenge.train, challenge.test], soft)

    assert data[row]["id"] == challenge.test.ids[1] == data.ids[row]
    assert (data[row]["soft_label"] == soft[row]).all()
    assert data[row]["label"] == soft[row].argmax() == data.labels[row]
    assert len(data) == count
    lesions = [set(challenge.train.groups[rows]) for rows in challenge.folds]
    assert sum(map(len, lesions)) == len(set.union(*lesions))
    rows = [*challenge.outside(1), *challenge.folds[1]]
    assert sorted(rows) == list(range(len(challenge.train)))


@pytest.mark.slow  # two short trainings
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

    member = trained(challenge, _tiny(), plan, tmp_path / "member", fold=0, seed=0)
    student(challenge, _tiny(), plan, tmp_path / "s", teacher=member, fold=0, seed=0)

    rows, others = challenge.folds[0], challenge.outside(0)
    assert np.isnan(member["train"][others]).all()
    targets = np.stack([seen[0][int(row)]["soft_label"] for row in rows])
    assert np.allclose(targets, sharpened(challenge, member)["train"][rows], atol=1e-6)
    hard = np.eye(8)[challenge.train.labels[others]]
    assert (np.stack([seen[0][int(row)]["soft_label"] for row in others]) == hard).all()
    again = known(tmp_path / "member")
    assert again is not None
    assert (again["test"] == member["test"]).all()


def _tiny() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8))

"""Submissions to the challenge, trained on the images at hand, each with its estimate.

    python benchmarks/submissions.py --data DIR --work DIR
    python benchmarks/submissions.py --data DIR --work DIR --only member-1

Members, EfficientNet-Lite0 from ImageNet with age, sex and site, are each trained without one of
four lesion-grouped folds and predict the fold that they have not seen: from these predictions come
the decision rule and the estimates. `single.csv` is one network of the same kind and `alexnet.csv`
an AlexNet from random weights. These two are students: they learn from all labels, and see the test
images without labels but with what the members say of them. The estimate of the AlexNet is made in
the same way, with a fold in the place of the test images. `best.csv` is the mean of the members and
of the first student.

Each run goes on where it was cut off, and parts may run at the same time (`--only`).
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermolib import Trainer
from dermolib.evaluation import (
    CrossValidation,
    average_predictions,
    choose_power,
    cross_decide,
    score,
)
from dermolib.io import whole_file
from dermolib.reporting import write_submission
from hair_parts.images import default_data
from submission_parts.data import Challenge, open_challenge
from submission_parts.runs import (
    POWER,
    Plan,
    Probabilities,
    Student,
    alexnet,
    by_folds,
    lite,
    sharpened,
    whole,
)

_LITE_LAYERS = ("conv_stem", "bn1", "blocks.0", "blocks.1")
_LITE = Plan(
    image_size=160,
    half=True,
    epochs=8,
    options={
        "batch_size": 32,
        "learning_rate": 1.5e-3,
        "weight_decay": 0.02,
        "sampler": 0.7,
        "class_weights": None,
        "label_smoothing": 0.05,
        "freeze": [f"backbone.model.{name}" for name in _LITE_LAYERS],
    },
)
_ALEXNET = Plan(
    image_size=128,
    half=False,
    epochs=12,
    options={
        "batch_size": 128,
        "learning_rate": 5e-4,
        "weight_decay": 0.05,
        "sampler": 0.7,
        "class_weights": None,
    },
)
_STUDENT_EPOCHS = 6  # of a third more images
_FURTHER_EPOCHS = 8
_MEMBERS = 2  # of the four folds
_RESULTS = Path(__file__).parent / "results"


class _Runs:
    """All runs, each of which finds what it learns from in the folders of others."""

    def __init__(self, challenge: Challenge, work: Path) -> None:
        self.challenge, self.work = challenge, work
        self.named: dict[str, Callable[[], Any]] = {
            **{f"member-{fold}": partial(self.members, [fold]) for fold in range(_MEMBERS)},
            "alexnet-0": self.first_alexnet,
            "alexnet": self.alexnet,
            "single": self.single,
        }

    def members(self, only: Sequence[int] = range(_MEMBERS)) -> CrossValidation:
        """Train members on labels, each without a fold."""

        def member(fold: int) -> Student:
            return Student(_LITE.trainer(lite(0), self.work / f"member-{fold}", seed=fold))

        return self._by_folds(member, _LITE, "members", only)

    def first_alexnet(self) -> CrossValidation:
        """Train a student that sees the images of fold 0 with what its member says of them."""
        teacher = self.members([0])
        fold = self.challenge.train.subset(self.challenge.folds[0])

        def build(_: int) -> Student:
            trainer = _ALEXNET.trainer(alexnet(), self.work / "alexnet-0", seed=20)
            given = [teacher.probabilities, teacher.extra]
            return self._student(trainer, _ALEXNET, [fold, self.challenge.test], given)

        return self._by_folds(build, _ALEXNET, "alexnet-folds", [0])

    def alexnet(self) -> Probabilities:
        """Train the AlexNet of the estimate on, with all labels."""
        plan = replace(_ALEXNET, epochs=_FURTHER_EPOCHS)
        model = alexnet()
        Trainer.load(self.work / "alexnet-0" / "best.pt", model=model)
        return self._whole(plan.trainer(model, self.work / "alexnet", seed=20), plan)

    def single(self) -> Probabilities:
        """Train one network of the members' kind with all labels."""
        plan = replace(_LITE, epochs=_STUDENT_EPOCHS)
        return self._whole(plan.trainer(lite(0), self.work / "single", seed=10), plan)

    def _by_folds(self, build: Any, plan: Plan, name: str, only: Sequence[int]) -> CrossValidation:
        folder = self.work / name
        return by_folds(build, self.challenge, plan, folder, only=list(only))

    def _whole(self, trainer: Trainer, plan: Plan) -> Probabilities:
        given = [self.members().extra]
        return whole(
            self._student(trainer, plan, [self.challenge.test], given), self.challenge, plan
        )

    def _student(self, trainer: Trainer, plan: Plan, sets: list[Any], given: Any) -> Student:
        transform = plan.transforms()[0]
        taught = [sharpened(self.challenge, one) for one in given]
        return Student(trainer, [one.with_transform(transform) for one in sets], taught)


def _estimates(runs: _Runs) -> dict[str, Any]:
    """Score what was predicted of folds whose labels were not seen."""
    found, counts = runs.members(), runs.challenge.train.class_counts()
    given = (found.probabilities, found.target, counts)
    student = runs.first_alexnet()
    return {
        "power": choose_power(*given),
        "estimates": {
            "member, argmax": _scored(found.probabilities.argmax(axis=1), found),
            "member, rule chosen on other lesions": _scored(
                cross_decide(*given, groups=found.groups), found
            ),
            "alexnet, fold 0": _scored(student.probabilities.argmax(axis=1), student),
        },
    }


def _scored(preds: Any, found: CrossValidation) -> dict[str, Any]:
    scores = score(preds, found.target, groups=found.groups, label_space=found.label_space)
    one = scores["balanced_accuracy"]
    return {"score": one.score, "low": one.low, "high": one.high, "n": one.n}


def _write(runs: _Runs, results: Path) -> None:
    judged, challenge = _estimates(runs), runs.challenge
    ids = list(challenge.test.ids)
    # The students were taught probabilities that are divided by `POWER` already; the AlexNet's own
    # estimate is highest as it is
    single = sharpened(challenge, runs.single(), max(judged["power"] - POWER, 0.0))
    members = sharpened(challenge, runs.members().extra, judged["power"])
    answers = {
        "alexnet": runs.alexnet().argmax(axis=1),
        "single": single.argmax(axis=1),
        "best": average_predictions([members, single], weights=[_MEMBERS, 1]).argmax(axis=1),
    }
    for name, preds in answers.items():
        write_submission(results / f"{name}.csv", ids, preds, expected_ids=ids)
    judged["class counts"] = {
        name: np.bincount(preds, minlength=8).tolist() for name, preds in answers.items()
    }
    with whole_file(results / "submissions.json") as temporary:
        temporary.write_text(json.dumps(judged, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(judged, indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that are not finished, and write the submissions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--data", type=Path, default=None, help="folder of the real data")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the submissions")
    parser.add_argument("--only", help="one part alone, such as member-0; writes no submission")
    parser.add_argument("--threads", type=int, default=None, help="threads of the CPU")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    challenge = open_challenge((options.data or default_data()) / "isic_challenge")
    runs = _Runs(challenge, options.work)
    if options.only is not None and options.only not in runs.named:
        parser.error(f"--only takes one of {', '.join(runs.named)}")
    for name, run in runs.named.items():
        if options.only in (None, name):
            start = time.perf_counter()
            run()
            print(f"{name}: {(time.perf_counter() - start) / 60:.1f} min")
    if options.only is None:
        _write(runs, options.results)


_Plain = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()

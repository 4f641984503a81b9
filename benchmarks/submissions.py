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
from dermolib.evaluation import bootstrap_interval
from dermolib.io import whole_file
from dermolib.reporting import write_submission
from hair_parts.images import default_data
from submission_parts.data import Challenge, open_challenge
from submission_parts.decision import best_power, crossfitted, weighted
from submission_parts.runs import POWER, Plan, alexnet, known, lite, sharpened, student, trained

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


def _runs(challenge: Challenge, work: Path) -> dict[str, Callable[[], Any]]:
    """Name the runs, in an order in which each finds what it learns from."""

    def member(fold: int) -> None:
        trained(challenge, lite(0), _LITE, work / f"member-{fold}", fold=fold, seed=fold)

    def first_alexnet() -> None:
        folder, teacher = work / "alexnet-0", _known(work / "member-0")
        student(challenge, alexnet(), _ALEXNET, folder, teacher=teacher, fold=0, seed=20)

    def whole_alexnet() -> None:
        # The network of the estimate has seen fewer labels; it learns on from there
        model = Trainer.load(work / "alexnet-0" / "best.pt").model
        plan, teacher = replace(_ALEXNET, epochs=_FURTHER_EPOCHS), _mean(_members(work))
        student(challenge, model, plan, work / "alexnet", teacher=teacher, fold=None, seed=20)

    def single() -> None:
        plan, teacher = replace(_LITE, epochs=_STUDENT_EPOCHS), _mean(_members(work))
        student(challenge, lite(0), plan, work / "single", teacher=teacher, fold=None, seed=10)

    members = {f"member-{fold}": partial(member, fold) for fold in range(_MEMBERS)}
    return {**members, "alexnet-0": first_alexnet, "alexnet": whole_alexnet, "single": single}


def _known(folder: Path) -> dict[str, Any]:
    found = known(folder)
    if found is None:
        raise SystemExit(f"{folder} holds no finished run: leave out --only, or run it first.")
    return found


def _members(work: Path) -> list[dict[str, Any]]:
    return [_known(work / f"member-{fold}") for fold in range(_MEMBERS)]


def _mean(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the mean of the members that have not seen an image's label; all alike where none."""
    means = {}
    for split in ("train", "test"):
        stacked = np.stack([one[split] for one in found])
        unseen = ~np.isnan(stacked)
        known_sum = np.where(unseen, stacked, 0).sum(axis=0)
        means[split] = np.where(unseen.any(axis=0), known_sum / unseen.sum(axis=0).clip(1), 1 / 8)
    return means


def _estimates(challenge: Challenge, work: Path) -> dict[str, Any]:
    """Score what was predicted of folds whose labels were not seen."""
    folds = challenge.folds[:_MEMBERS]
    rows = np.concatenate(folds)
    places = np.split(np.arange(len(rows)), np.cumsum([len(fold) for fold in folds])[:-1])
    unseen = _mean(_members(work))["train"][rows]
    target, counts = challenge.train.labels[rows], np.asarray(challenge.train.class_counts())
    lesions = np.asarray(challenge.train.groups)[rows]
    rules = {
        "member, argmax": unseen.argmax(axis=1),
        "member, rule chosen on the other folds": crossfitted(unseen, target, counts, places),
    }
    found = {name: _scored(preds, target, lesions) for name, preds in rules.items()}
    if (alone := known(work / "alexnet-0")) is not None:
        first = places[0]
        preds = alone["train"][rows[first]].argmax(axis=1)
        found["alexnet, fold 0"] = _scored(preds, target[first], lesions[first])
    return {"power": best_power(unseen, target, counts), "estimates": found}


def _scored(preds: Any, target: Any, lesions: Any) -> dict[str, Any]:
    found = bootstrap_interval(lambda rows: weighted(preds[rows], target[rows]), lesions)
    return {"score": found.score, "low": found.low, "high": found.high, "n": found.n}


def _write(challenge: Challenge, work: Path, results: Path) -> None:
    judged = _estimates(challenge, work)
    ids = list(challenge.test.ids)
    mean = _mean(_members(work))["test"]
    # The students were taught probabilities that are divided by `POWER` already; the AlexNet's own
    # estimate is highest as it is
    left = max(judged["power"] - POWER, 0.0)
    single = sharpened(challenge, {"test": _known(work / "single")["test"]}, left)["test"]
    members = sharpened(challenge, {"test": mean}, judged["power"])["test"]
    answers = {
        "alexnet": _known(work / "alexnet")["test"].argmax(axis=1),
        "single": single.argmax(axis=1),
        "best": (_MEMBERS * members + single).argmax(axis=1),
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
    runs = _runs(challenge, options.work)
    if options.only is not None and options.only not in runs:
        parser.error(f"--only takes one of {', '.join(runs)}")
    for name, run in runs.items():
        if options.only in (None, name):
            start = time.perf_counter()
            run()
            print(f"{name}: {(time.perf_counter() - start) / 60:.1f} min")
    if options.only is None:
        _write(challenge, options.work, options.results)


_Plain = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()

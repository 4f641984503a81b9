"""Time and memory of scores with intervals, next to a plain loop over scikit-learn's functions.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --rounds 1 --loop 2

Predictions are drawn: of 25,000 images of eight classes as frequent as HAM10000's and ISIC 2019's,
of 19,000 lesions; and of 401,059 images of 1,042 patients, 393 images malignant, as ISIC 2024 has.
`dermolib.evaluation.score` computes all scores with 2,000 resamples of lesions or patients on two
cores. The loop computes the same scores of a few resamples, and its time is multiplied. Both take
turns, each in a process of its own, so that a busy machine slows both; figures are medians over
rounds. What scikit-learn warns of, a resample without a malignant image, is its own.
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from input_parts.measuring import in_fresh_process
from tables import markdown

Drawn: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Probabilities (N, K), target (N,) and groups (N,)."""

FREQUENCIES = (0.18, 0.51, 0.13, 0.035, 0.105, 0.01, 0.01, 0.02)
MALIGNANT = (1 - 393 / 401_059, 393 / 401_059)
TASKS = {
    "25,000 images, 8 classes, 19,000 lesions": (25_000, 19_000, FREQUENCIES),
    "401,059 images, 2 classes, 1,042 patients": (401_059, 1_042, MALIGNANT),
}


def draw(images: int, groups: int, frequencies: tuple[float, ...]) -> Drawn:
    """Draw predictions; the images of a lesion are of one class where lesions are many."""
    generator = np.random.default_rng(0)
    group = np.r_[np.arange(groups), generator.integers(0, groups, images - groups)]
    count, many = len(frequencies), groups > images / 10
    target = generator.choice(count, groups if many else images, p=frequencies)
    target = target[group] if many else target
    logits = generator.normal(size=(images, count)) + 2 * np.eye(count)[target]
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True), target, group


def measure(task: str, resamples: int) -> dict[str, float]:
    """Compute all scores with intervals; give seconds, those of all processors, and MB."""
    from dermolib.evaluation import score

    values, target, groups = draw(*TASKS[task])
    score(values[:500], target[:500], groups=groups[:500], resamples=2)  # imports what it needs
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is that from here on
    before, start, busy = _memory("VmRSS"), time.perf_counter(), time.process_time()
    score(values, target, groups=groups, resamples=resamples)
    return {
        "seconds": time.perf_counter() - start,
        "processors": time.process_time() - busy,
        "memory": _memory("VmHWM") - before,
    }


def measure_loop(task: str, resamples: int, few: int) -> dict[str, float]:
    """Compute the scores of a few resamples in a loop; give the seconds of all, and MB."""
    values, target, groups = draw(*TASKS[task])
    rows = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    generator = np.random.default_rng(0)
    loop_scores(values[:500], target[:500])
    Path("/proc/self/clear_refs").write_text("5")
    before, start, busy = _memory("VmRSS"), time.perf_counter(), time.process_time()
    for _ in range(few):
        chosen = np.concatenate([rows[one] for one in generator.integers(0, len(rows), len(rows))])
        loop_scores(values[chosen], target[chosen])
    return {
        "seconds": (time.perf_counter() - start) * resamples / few,
        "processors": (time.process_time() - busy) * resamples / few,
        "memory": _memory("VmHWM") - before,
    }


def loop_scores(values: npt.NDArray[np.float64], target: npt.NDArray[np.intp]) -> list[Any]:
    """Compute the scores of one resample as a project writes it, with scikit-learn."""
    from sklearn import metrics

    predicted, classes = values.argmax(axis=1), [*range(values.shape[1])]
    found: list[Any] = [
        metrics.balanced_accuracy_score(target, predicted),
        metrics.accuracy_score(target, predicted),
        metrics.f1_score(target, predicted, average=None, labels=classes, zero_division=np.nan),
        metrics.precision_score(
            target, predicted, average=None, labels=classes, zero_division=np.nan
        ),
        metrics.multilabel_confusion_matrix(target, predicted, labels=classes),
        metrics.log_loss(target, values, labels=classes),
        metrics.brier_score_loss(
            target, values if len(classes) > 2 else values[:, 1], labels=classes
        ),
    ]
    confidence = values.max(axis=1)
    gaps = np.bincount(np.int64(confidence * 15), confidence - (predicted == target), 16)
    found.append(np.abs(gaps).sum() / len(target))
    for one in classes:
        truth, column = target == one, values[:, one]
        false, true, _ = metrics.roc_curve(truth, column, drop_intermediate=False)
        found += [
            metrics.auc(false, true),
            metrics.average_precision_score(truth, column),
            (1 - false)[true >= 0.95].max(initial=0),
            true[false <= 0.05].max(initial=0),
            metrics.roc_auc_score(~truth, -column, max_fpr=0.2),
        ]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure all and print a table."""
    parser = argparse.ArgumentParser(description="Time scores with intervals.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds measured (default 3)")
    parser.add_argument("--resamples", type=int, default=2000, help="resamples (default 2000)")
    parser.add_argument("--loop", type=int, default=5, help="resamples of the loop (default 5)")
    options = parser.parse_args(arguments)
    rows = []
    for task in TASKS:
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(in_fresh_process(measure, task, options.resamples, cores=2))
            theirs.append(
                in_fresh_process(measure_loop, task, options.resamples, options.loop, cores=2)
            )
        for name, found in ((f"`score`, {task}", ours), ("loop over scikit-learn", theirs)):
            middle = {key: median(one[key] for one in found) for key in found[0]}
            ratio = median(b["seconds"] / a["seconds"] for a, b in zip(ours, found, strict=True))
            rows.append(
                [
                    name,
                    f"{middle['seconds']:,.1f}",
                    f"{middle['processors']:,.1f}",
                    f"{ratio:,.0f}",
                    f"{middle['memory']:,.0f}",
                ]
            )
    print(markdown(("", "seconds", "seconds of processors", "times", "MB"), rows))
    load = f"{os.cpu_count()} processors, load of the last minute {os.getloadavg()[0]:.1f}"
    print(
        f"{options.resamples:,} resamples; those of the loop are {options.loop}, its time "
        f"multiplied. {load}."
    )


def _memory(name: str) -> float:
    """Read a figure of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()

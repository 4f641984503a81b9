"""How often intervals hold the true score, simulated with lesions as in HAM10000.

One command prints the table and writes it to ``benchmarks/results``::

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --repetitions 100 --cases "300 images"

Each repetition draws a test set: as many lesions of each class as HAM10000 has for so many images,
1 to 6 images of each (75 % have one), and two networks of a balanced accuracy of about 0.77 and
0.80 whose logits are those of the class, of the lesion and of the image, with errors in common. The
true scores are those of very many lesions. Finished parts are kept in ``--work``, so that the
command goes on where it was stopped.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit, softmax
from scipy.stats import norm
from scipy.stats import t as student

from dermolib.evaluation.intervals import interval_ends
from dermolib.evaluation.predictions import Predictions
from dermolib.evaluation.resampling import Statistic, Weights, jackknife, replicates
from dermolib.evaluation.smoothing import borrow_groups
from dermolib.evaluation.statistics import statistic
from dermolib.io import whole_file

CODES = ("NV", "MEL", "BKL", "BCC", "AKIEC", "VASC", "DF")
IMAGES = np.array([6705, 1113, 1099, 514, 327, 142, 115])  # of HAM10000
METRICS = (
    *("balanced_accuracy", "accuracy", "roc_auc:MEL", "macro_roc_auc", "sensitivity:MEL"),
    *("sensitivity:DF", "macro_f1", "macro_average_precision", "log_loss"),
)
DIFFERENCES = ("balanced_accuracy", "roc_auc:MEL")
NAMES = (*METRICS, *(f"difference of {name}" for name in DIFFERENCES))

_SIZES = np.arange(1, 7)  # images of a lesion
_FRACTIONS = np.append(0.75, 0.25 * 0.27 ** np.arange(5) / (0.27 ** np.arange(5)).sum())
_MEAN = float(_SIZES @ _FRACTIONS)  # 1.34, as 10,015 images of 7,470 lesions
_EASY = np.array([2.75, 1.75, 1.9, 2.2, 1.7, 2.9, 2.1])  # logit of the true class
_HARD = np.array([2.75, 1.75, 1.9, 2.2, 0.8, 1.2, 0.8])
_OF_LESION = 0.7  # fraction of the variance of logits that images of a lesion have in common
_OF_BOTH = 0.75  # fraction that the two networks have in common
_BETTER = 0.12
_POPULATION = 20_000  # lesions of each class that the true scores are computed from
_PART = 20  # repetitions of a part
_LEVEL = 0.95

_Floats: TypeAlias = npt.NDArray[np.float64]
_Ends: TypeAlias = tuple[_Floats, _Floats]
_Pair: TypeAlias = tuple[Predictions, Predictions]
_Generator: TypeAlias = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A kind of test set: number of images, how hard classes are, and whether counts are drawn."""

    images: int
    hard: bool = False
    drawn: bool = False

    @property
    def lesions(self) -> npt.NDArray[np.intp]:
        """Number of lesions of each class on average."""
        counts = np.round(self.images * IMAGES / IMAGES.sum() / _MEAN).astype(np.intp)
        return np.asarray(np.maximum(counts, 2))


CASES = {
    "300 images": Case(300),
    "1,500 images": Case(1500),
    "5,000 images": Case(5000),
    "300 images, rare classes hard": Case(300, hard=True),
    "300 images, classes drawn": Case(300, drawn=True),
}


def simulate(counts: npt.NDArray[np.intp], generator: _Generator, *, hard: bool) -> _Pair:
    """Draw the predictions of two networks for so many lesions of each class."""
    of_lesion = np.repeat(np.arange(len(CODES)), counts)
    sizes = generator.choice(_SIZES, len(of_lesion), p=_FRACTIONS)
    groups = np.repeat(np.arange(len(of_lesion)), sizes)
    target = of_lesion[groups]

    def noise(fraction: float) -> _Floats:
        lesions = generator.normal(size=(len(of_lesion), len(CODES)))[groups]
        images = generator.normal(size=(len(groups), len(CODES)))
        both = np.sqrt(_OF_LESION) * lesions + np.sqrt(1 - _OF_LESION) * images
        return np.asarray(np.sqrt(fraction) * both)

    common = noise(_OF_BOTH)
    networks = []
    for better in (0, _BETTER):
        logits = common + noise(1 - _OF_BOTH)
        logits[np.arange(len(target)), target] += (_HARD if hard else _EASY)[target] + better
        networks.append(Predictions(softmax(logits, axis=1), target, groups, len(of_lesion), CODES))
    return networks[0], networks[1]


class Scored:
    """All scores of the first network, and differences of the second from it."""

    def __init__(self, pair: _Pair) -> None:
        """Prepare both networks."""
        self._parts = statistic(pair[0], METRICS), statistic(pair[1], DIFFERENCES)
        self._places = [METRICS.index(name) for name in DIFFERENCES]

    def __call__(self, weights: Weights) -> _Floats:
        """Compute the scores (R, M) of resamples (R, G)."""
        first, second = (part(weights) for part in self._parts)
        return np.asarray(np.hstack([first, second - first[:, self._places]]))


@cache
def true_scores(case: Case) -> _Floats:
    """Compute the scores of very many lesions, in the proportions of the case (M,)."""
    counts = np.full(len(CODES), _POPULATION)
    pair = simulate(counts, np.random.default_rng(1), hard=case.hard)
    proportions = case.lesions / case.lesions.max()
    weights = np.array([np.repeat(one, counts) for one in (proportions, 0 * proportions + 1)])
    as_drawn, even = Scored(pair)(weights.astype(np.float32))
    # The weights of classes are those of the population
    balanced = np.array(["balanced_accuracy" in name for name in NAMES])
    return np.asarray(np.where(balanced, even, as_drawn))


def all_ends(pair: _Pair, resamples: int, seed: int) -> dict[str, _Ends]:
    """Compute intervals of all scores by each method."""
    groups = pair[0].num_groups
    found = Scored(pair)
    values = found(np.ones((1, groups), np.float32))[0]
    drawn = replicates(found, groups, resamples=resamples, seed=seed)
    left_out = jackknife(found, groups)
    ends = partial(interval_ends, values, level=_LEVEL)
    return {
        "percentile": ends(drawn, method="percentile"),
        "BCa": ends(drawn, left_out, method="bca"),
        "expanded": ends(drawn, left_out, method="smoothed", center=values),
        "jackknife-t, logit": jackknife_ends(values, left_out),
        "stratified": ends(stratified(found, pair[0], resamples, seed), method="percentile"),
        "smoothed": smoothed_ends(pair, values, resamples, seed),
    }


def smoothed_ends(pair: _Pair, values: _Floats, resamples: int, seed: int) -> _Ends:
    """Compute intervals as `score` does, and those of differences as `compare` does."""
    padded = borrow_groups(pair[0]), borrow_groups(pair[1])
    groups, borrowed, lender = pair[0].num_groups, padded[0].borrowed, Scored(padded)
    drawn = replicates(lender, groups, resamples=resamples, seed=seed, borrowed=borrowed)
    left_out = jackknife(lender, groups, borrowed)
    center = lender(np.append(np.ones(groups), borrowed)[None].astype(np.float32))[0]
    ends = partial(
        interval_ends, values, drawn, left_out, method="smoothed", level=_LEVEL, center=center
    )
    differences = np.array([name.startswith("difference") for name in NAMES])
    low, high = np.where(differences, ends(skewed=False), ends())
    return low, high


def stratified(found: Statistic, predictions: Predictions, resamples: int, seed: int) -> _Floats:
    """Resample the lesions of each class by themselves."""
    generator = np.random.default_rng(seed)
    classes = np.zeros(predictions.num_groups, np.intp)
    classes[predictions.groups] = predictions.target
    weights = np.zeros((resamples, len(classes)), np.float32)
    for place in np.unique(classes):
        groups = np.flatnonzero(classes == place)
        fractions = np.full(len(groups), 1 / len(groups))
        weights[:, groups] = generator.multinomial(len(groups), fractions, size=resamples)
    return found(weights)


def jackknife_ends(values: _Floats, left_out: _Floats) -> _Ends:
    """Compute intervals from the jackknife and Student's t: of logits, of what is in 0..1."""
    influence = left_out.mean(axis=0) - left_out
    blocks = len(influence)
    spread = np.sqrt((influence**2).sum(axis=0) * (blocks - 1) / blocks)
    fourths = np.maximum((influence**4).sum(axis=0), 1e-300)
    degrees = np.maximum(3 * (influence**2).sum(axis=0) ** 2 / fourths - 1, 1)
    reach = student.ppf((1 + _LEVEL) / 2, degrees) * spread
    plain = np.array([name.startswith(("difference", "log_loss")) for name in NAMES])
    inner = np.clip(values, 1e-6, 1 - 1e-6)
    slope = inner * (1 - inner)
    ends = [
        np.where(plain, values + way * reach, expit(logit(inner) + way * reach / slope))
        for way in (-1, 1)
    ]
    return ends[0], ends[1]


def run_part(name: str, start: int, stop: int, resamples: int) -> dict[str, Any]:
    """Count how often intervals hold the true scores in some repetitions of a case."""
    case = CASES[name]
    sums: dict[str, Any] = {}
    truth = true_scores(case)
    for repetition in range(start, stop):
        generator = np.random.default_rng([case.images, case.hard, case.drawn, repetition])
        counts = case.lesions
        if case.drawn:
            counts = np.maximum(generator.multinomial(counts.sum(), counts / counts.sum()), 1)
        pair = simulate(counts, generator, hard=case.hard)
        for method, (low, high) in all_ends(pair, resamples, repetition).items():
            here = np.array([(low <= truth) & (truth <= high), truth < low, high - low])
            sums[method] = sums.get(method, 0) + here
    return {
        "case": name,
        "start": start,
        "count": stop - start,
        "resamples": resamples,
        "sums": {method: np.asarray(one).tolist() for method, one in sums.items()},
    }


def summarize(parts: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a table of coverage and width, a row for each case, score and method."""
    rows = []
    for name in CASES:
        own = [part for part in parts if part["case"] == name]
        count = sum(part["count"] for part in own)
        for method in own[0]["sums"] if own else ():
            covered, below, width = sum(np.array(part["sums"][method]) for part in own) / count
            for place, metric in enumerate(NAMES):
                rows.append(
                    {
                        "case": name,
                        "score": metric,
                        "method": method,
                        "coverage": covered[place],
                        "too_high": below[place],
                        "width": width[place],
                        "true": true_scores(CASES[name])[place],
                        "repetitions": count,
                        "resamples": own[0]["resamples"],
                    }
                )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """Write coverage in % and mean width, a column for each method."""
    methods = list(dict.fromkeys(table["method"]))
    lines = []
    for name in dict.fromkeys(table["case"]):
        own = table[table["case"] == name]
        count = int(own["repetitions"].max())
        error = 100 * norm.ppf(0.975) * np.sqrt(_LEVEL * (1 - _LEVEL) / count)
        lines += [f"{name}, {count:,} repetitions (simulation error ±{error:.1f} points):", ""]
        lines += [f"| score | {' | '.join(methods)} |", f"| --- |{' ---: |' * len(methods)}"]
        for metric in dict.fromkeys(own["score"]):
            rows = own[own["score"] == metric]
            pairs = zip(rows["coverage"], rows["width"], strict=True)
            cells = [f"{100 * covered:.1f} ({width:.3f})" for covered, width in pairs]
            lines.append(f"| {metric} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def read_parts(path: Path, resamples: int) -> list[dict[str, Any]]:
    """Read the parts that are finished."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = [json.loads(line) for line in lines if line.endswith("}}")]
    return [part for part in parts if part["resamples"] == resamples]


def missing(
    names: list[str], repetitions: int, done: list[dict[str, Any]]
) -> Iterator[tuple[str, int, int]]:
    """Go through the parts that are not finished."""
    known = {(part["case"], part["start"]) for part in done}
    for name in names:
        for start in range(0, repetitions, _PART):
            if (name, start) not in known:
                yield name, start, min(start + _PART, repetitions)


def main(arguments: list[str] | None = None) -> None:
    """Simulate, print the table and write it."""
    parser = argparse.ArgumentParser(description="Measure the coverage of intervals.")
    parser.add_argument("--repetitions", type=int, default=500, help="test sets (default 500)")
    parser.add_argument("--resamples", type=int, default=1000, help="of each (default 1000)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--work", type=Path, default=Path("runs/coverage.jsonl"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    parts = read_parts(given.work, given.resamples)
    given.work.parent.mkdir(parents=True, exist_ok=True)
    run = partial(run_part, resamples=given.resamples)
    todo = [*missing(given.cases, given.repetitions, parts)]
    with given.work.open("a", encoding="utf-8") as kept, ProcessPoolExecutor(given.workers) as pool:
        apply = pool.map if given.workers > 1 else map
        for part in apply(run, *(zip(*todo, strict=True) if todo else [()] * 3)):
            kept.write(json.dumps(part) + "\n")
            kept.flush()
            parts.append(part)
    table = summarize(parts)
    text = markdown(table)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in (("md", text), ("csv", table.to_csv(index=False, float_format="%.4f"))):
        with whole_file(given.output / f"coverage.{name}") as path:
            path.write_text(content, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

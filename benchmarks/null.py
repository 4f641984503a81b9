"""The benchmark of p-values under the null: two models that are equally good.

    python benchmarks/null.py --output runs/null --images 300 --repetitions 2000
    python benchmarks/null.py --output runs/null --table benchmarks/results/null

A p-value is right if a fraction of 0.05 of those under the null is 0.05 or less. Lesions are drawn
with the classes and numbers of images of HAM10000; the logits of two models vary by lesion and by
image, in part together. The same tests without lesions stand beside: each image a group.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from dermolib.evaluation.comparison import compare
from dermolib.evaluation.delong import auc_difference, p_value_of
from dermolib.evaluation.permutation import flip_signs, swap_groups
from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.statistics import statistic
from tables import markdown

Floats: TypeAlias = npt.NDArray[np.float64]
Drawn: TypeAlias = tuple[list[Floats], npt.NDArray[np.intp], npt.NDArray[np.intp]]

HAM10000 = {
    "MEL": (1113, 614),
    "NV": (6705, 5403),
    "BCC": (514, 327),
    "AK": (327, 228),
    "BKL": (1099, 727),
    "DF": (115, 73),
    "VASC": (142, 98),
}
"""Images and lesions of each class."""

_SIGNAL = 3.5  # logit of the true class
_TOGETHER, _LESION, _IMAGE = 1.0, 1.0, 0.7  # spread that models have in common, by lesion, by image
_PERMUTATIONS = 199  # of which a fraction of exactly 0.05 is 0.05 or less
_STABLE = 10  # drawn sets of which p-values of 1,000 and 20,000 draws are compared
_LEVEL = 0.05
_BY = ("lesion", "image")


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure p-values of equally good models.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the p-values")
    parser.add_argument("--images", type=int, nargs="*", default=[], help="images of each set")
    parser.add_argument("--repetitions", type=int, default=2000, help="sets that are drawn")
    parser.add_argument("--stable", action="store_true", help="compare numbers of draws")
    parser.add_argument("--table", type=Path, help="write the tables to this path, .md and .csv")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    for images in given.images:
        simulate(images, given.repetitions, given.output / f"{images}.csv")
    if given.stable:
        stability().to_csv(given.output / "stable.csv", index=False)
    if given.table:
        write_tables(given.output, given.table)


def draw(images: int, seed: int) -> Drawn:
    """Draw logits of two equally good models, true classes, and lesions."""
    generator = np.random.default_rng(seed)
    counts = np.array([*HAM10000.values()], np.float64)
    classes = generator.choice(len(counts), images, p=counts[:, 1] / counts[:, 1].sum())
    sizes = 1 + generator.poisson((counts[:, 0] / counts[:, 1] - 1)[classes])
    lesions = np.repeat(np.arange(images), sizes)[:images]
    target = classes[lesions]
    shape = images, len(counts)
    together = _SIGNAL * np.eye(len(counts))[target]
    together = together + _TOGETHER * generator.normal(size=shape)[lesions]
    models = [
        together
        + _LESION * generator.normal(size=shape)[lesions]
        + _IMAGE * generator.normal(size=shape)
        for _ in range(2)
    ]
    return models, target, lesions


def p_values(a: Predictions, b: Predictions, *, by_lesion: bool) -> dict[str, float]:
    """Compute the p-value of each test, by lesion also of those that are seldom run by image."""
    sums = ["balanced_accuracy", "accuracy"]
    parts = statistic(a, sums).contributions() - statistic(b, sums).contributions()
    flips = [flip_signs(part, permutations=_PERMUTATIONS, seed=0)[0] for part in parts]
    found = dict(zip(("permutation, balanced accuracy", "McNemar"), flips, strict=True))
    found["DeLong, melanoma"] = _delong(a, b, ["MEL"])
    found["DeLong, macro average"] = _delong(a, b, a.codes)
    if by_lesion:
        found["DeLong, dermatofibroma"] = _delong(a, b, ["DF"])
        found["permutation, macro F1"] = _swaps(a, b, "macro_f1")
        one, other = (
            replace(x, probabilities=rankdata(x.probabilities, axis=0) / len(x)) for x in (a, b)
        )
        found["permutation of ranks, melanoma"] = _swaps(one, other, "roc_auc:MEL")
        found["permutation of ranks, macro average"] = _swaps(one, other, "macro_roc_auc")
    return found


def simulate(images: int, repetitions: int, path: Path) -> None:
    """Write the p-values of every test, by lesion and by image; go on where a file ends."""
    done = len(pd.read_csv(path)) if path.exists() else 0
    for seed in range(done, repetitions):
        models, target, lesions = draw(images, seed)
        row: dict[str, float] = {}
        for name, groups in zip(_BY, (lesions, None), strict=True):
            a, b = (_read(one, target, groups) for one in models)
            found = p_values(a, b, by_lesion=groups is not None)
            row |= {f"{test}, by {name}": value for test, value in found.items()}
        table = pd.DataFrame([row])
        table.to_csv(path, mode="a", header=not path.exists(), index=False)


def stability() -> pd.DataFrame:
    """Compare p-values of 1,000 and 20,000 resamples, and of 1,000 and 20,000 permutations."""
    rows = []
    for seed in range(_STABLE):
        models, target, lesions = draw(300, seed)
        for metric in ("balanced_accuracy", "macro_f1", "roc_auc:MEL"):
            options: dict[str, Any] = {
                **{"groups": lesions, "metric": metric, "values": "logits"},
                **{"label_space": [*HAM10000]},
            }
            run = partial(compare, models[0], models[1], target, **options)
            first, more = (run(resamples=count) for count in (1000, 20_000))
            other = run(resamples=1, seed=1)
            rows.append(
                {
                    "metric": metric,
                    "p": first.p_value,
                    "p of 20,000 resamples": more.p_value,
                    "p of another seed": other.p_value,
                    "Monte Carlo error": first.p_error,
                }
            )
    return pd.DataFrame(rows)


def write_tables(folder: Path, path: Path) -> None:
    """Write fractions below 0.05 as Markdown and CSV, and how stable p-values are."""
    found = pd.concat([_fractions(one) for one in sorted(folder.glob("[0-9]*.csv"))])
    found.to_csv(path.with_suffix(".csv"), index=False)
    fractions = found.set_index(["test", "images", "groups"])["fraction"].to_dict()
    columns = [(size, by) for size in sorted(set(found["images"])) for by in _BY]
    head = ["test", *(f"{size:,} images, by {by}" for size, by in columns)]
    rows = []
    for test in dict.fromkeys(found["test"]):
        values = [fractions.get((test, *column), np.nan) for column in columns]
        rows.append([test, *("" if np.isnan(x) else f"{100 * x:.1f}" for x in values)])
    parts = [f"p-values of 0.05 or less under the null, %\n\n{markdown(head, rows)}"]
    if (folder / "stable.csv").exists():
        parts.append(_stable_text(pd.read_csv(folder / "stable.csv")))
    path.with_suffix(".md").write_text("\n".join(parts), encoding="utf-8")


def _fractions(path: Path) -> pd.DataFrame:
    """Count the p-values of 0.05 or less of one file."""
    table = pd.read_csv(path)
    rows = []
    for column in table:
        test, _, by = str(column).rpartition(", by ")
        known = table[column].dropna()
        if known.empty:
            continue
        fraction = float((known <= _LEVEL).mean())
        error = (fraction * (1 - fraction) / len(known)) ** 0.5
        numbers = {"repetitions": len(known), "fraction": fraction, "error": round(error, 4)}
        rows.append({"images": int(path.stem), "test": test, "groups": by, **numbers})
    return pd.DataFrame(rows)


def _stable_text(table: pd.DataFrame) -> str:
    head = ["score", "1,000 and 20,000 resamples", "two seeds of 20,000 permutations"]
    rows = []
    for metric, part in table.groupby("metric", sort=False):
        resamples = (part["p"] - part["p of 20,000 resamples"]).abs().max()
        seeds = (part["p"] - part["p of another seed"]).abs().max()
        rows.append([str(metric), f"{resamples:.4f}", f"{seeds:.4f}"])
    return f"Largest difference between two p-values of the same data\n\n{markdown(head, rows)}"


def _read(logits: Floats, target: Any, groups: Any) -> Predictions:
    return read_predictions(logits, target, groups, [*HAM10000], values="logits")


def _swaps(a: Predictions, b: Predictions, metric: str) -> float:
    """Compute the p-value of swapped lesions."""
    make = partial(statistic, metrics=metric)
    return swap_groups(a, b, make, permutations=_PERMUTATIONS, seed=0)[0]


def _delong(a: Predictions, b: Predictions, codes: Iterable[str]) -> float:
    """Compute the p-value of the mean area of those classes that two groups or more have."""
    places = [a.codes.index(code) for code in codes]
    known = [place for place in places if _two_groups(a, place)]
    return p_value_of(*auc_difference(a, b, np.array(known))) if known else np.nan


def _two_groups(predictions: Predictions, place: int) -> bool:
    return len(np.unique(predictions.groups[predictions.target == place])) >= 2


if __name__ == "__main__":
    main()

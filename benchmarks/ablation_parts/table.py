"""Scores of the runs, what each level changes, with intervals: as a table, as text and drawn."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from ablation_parts.runs import FACTORS
from dermolib import class_weights
from dermolib.evaluation import Interval, compare, score
from dermolib.evaluation.comparison import holm
from dermolib.preprocessing.hair.registry import DEFAULT_METHOD

__all__ = ["crossed_interval", "csv_text", "draw_effects", "markdown", "scores"]

_Values: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = list[dict[str, Any]]
_RESAMPLES = 2000
_LEVEL = 0.95
_COLUMNS = ["kind", *FACTORS, "comparison", "runs", "seeds", "value", "low", "high"]
_COLUMNS += ["low_with_runs", "high_with_runs", "by_seed", "accuracy", "p_value", "p_holm", "claim"]


def scores(runs: pd.DataFrame, preds: Any, labels: Any, lesions: Any) -> Rows:
    """Score each cell, and compare the levels of each factor where there are pairs of runs.

    All runs of a cell or of a level count together, as if their images were more of each lesion.

    Args:
        runs: Level of each factor and ``seed``, a row for each run (R).
        preds: Class that each run predicts of each image (R, N).
        labels: Class of each image (N,).
        lesions: Lesion of each image (N,).

    Returns:
        Rows of the table: cells, then differences, in the order of `FACTORS`.
    """
    places = [[levels.index(one) for one in runs[name]] for name, levels in FACTORS.items()]
    order = np.lexsort([runs["seed"].tolist(), *reversed(places)])
    runs, preds = runs.iloc[order].reset_index(drop=True), np.asarray(preds)[order]
    right = (preds == labels).astype(np.float64)
    groups = np.unique(lesions, return_inverse=True)[1]
    weights = class_weights(np.bincount(labels)).numpy()[labels]
    rows: Rows = []
    for cell, part in runs.groupby(list(FACTORS), sort=False):
        row = dict(zip(FACTORS, cell, strict=True), kind="cell", runs=len(part))
        target, same = np.tile(labels, len(part)), np.tile(groups, len(part))
        found = score(preds[part.index].ravel(), target, groups=same, resamples=_RESAMPLES)
        row |= _ends(found["balanced_accuracy"]) | _by_seed(
            right[part.index], part["seed"], weights
        )
        rows.append({**row, "accuracy": found["accuracy"].score})
    for factor, levels in FACTORS.items():
        others = [name for name in runs if name != factor]
        for against, level in itertools.combinations(levels, 2):
            first, second = (runs[runs[factor] == one].reset_index() for one in (level, against))
            pairs = first.merge(second, on=others)
            if len(pairs):
                rows_of = [pairs[name].to_numpy() for name in ("index_x", "index_y")]
                target, same = np.tile(labels, len(pairs)), np.tile(groups, len(pairs))
                a, b = (preds[one].ravel() for one in rows_of)
                paired = compare(a, b, target, groups=same, resamples=_RESAMPLES)
                gained = right[rows_of[0]] - right[rows_of[1]]
                row = {"value": paired.difference, "low": paired.low, "high": paired.high}
                row |= _by_seed(gained, pairs["seed"], weights) | {"p_value": paired.p_value}
                wide = crossed_interval(gained, weights, groups)
                row |= {"low_with_runs": wide.low, "high_with_runs": wide.high}
                row["claim"] = _claim(row) if len(pairs) > 1 else "no claim"
                row["runs"] = 2 * len(pairs)
                rows.append({"kind": factor, "comparison": f"{level} - {against}", **row})
    effects = [row for row in rows if row["kind"] != "cell"]
    for row, corrected in zip(
        effects, holm(np.array([row["p_value"] for row in effects])), strict=True
    ):
        row["p_holm"] = float(corrected)
        row["claim"] = row["claim"] if corrected < 1 - _LEVEL else "no claim"
    return rows


def csv_text(rows: Rows) -> str:
    """Write cells and differences as one table, a row each."""
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["seeds"] = [" ".join(map(str, values)) for values in table["seeds"]]
    table["by_seed"] = [" ".join(f"{one:.6f}" for one in values) for values in table["by_seed"]]
    return table.to_csv(index=False, float_format="%.6f")


def _ends(found: Interval) -> dict[str, float]:
    return {"value": found.score, "low": found.low, "high": found.high}


def _by_seed(values: _Values, seeds: pd.Series, weights: _Values) -> dict[str, Any]:
    """Compute a weighted mean over the images and runs of each seed."""
    of_run = pd.Series(values @ weights / weights.sum())
    by_seed = of_run.groupby(seeds.to_numpy()).mean()
    return {"seeds": by_seed.index.tolist(), "by_seed": by_seed.tolist()}


def _claim(row: dict[str, Any]) -> str:
    """Say nothing where an interval contains zero."""
    lows, highs = (np.array([row[end], row[f"{end}_with_runs"]]) for end in ("low", "high"))
    if ((lows <= 0) & (highs >= 0)).any():
        return "no claim"
    return "higher" if row["value"] > 0 else "lower"


def crossed_interval(
    values: _Values, weights: _Values, groups: npt.NDArray[np.intp], *, seed: int = 0
) -> Interval:
    """Resample groups of images and runs, each for itself, and take percentiles of the mean.

    Images are few, and runs are few: each adds an uncertainty of its own. Resampling both crosses
    them, which errs on the side of intervals that are too wide; few runs err on the other side.

    Args:
        values: What each run gives each image (P, N).
        weights: Weight of each image (N,), above 0.
        groups: Number of the group of each image (N,), 0..G-1.
        seed: Seed of the resampling.

    Returns:
        Weighted mean with its interval.

    References:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1(2), 2007,
        https://doi.org/10.1214/07-AOAS122.
    """
    runs, number = len(values), int(groups.max()) + 1
    totals = np.bincount(groups, weights, minlength=number)
    sums = np.stack([np.bincount(groups, row * weights, minlength=number) for row in values])
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        times = np.bincount(generator.integers(0, number, number), minlength=number)
        repeats = np.bincount(generator.integers(0, runs, runs), minlength=runs)
        drawn.append(float(repeats @ sums @ times / (runs * (totals @ times))))
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    every = float(sums.sum() / (runs * totals.sum()))
    return Interval(every, float(low), float(high), _LEVEL, values.shape[1], number)


def markdown(settings: dict[str, Any], facts: pd.DataFrame, rows: Rows, *, command: str) -> str:
    """Write what was run, the cells, the differences, and how to read them."""
    cells, effects = (
        [row for row in rows if (row["kind"] == "cell") is one] for one in (True, False)
    )
    of_effects = (
        [
            row["kind"],
            row["comparison"],
            str(row["runs"] // 2),
            f"{row['value']:+.3f}",
            f"{row['low']:+.3f}..{row['high']:+.3f}",
            f"{row['low_with_runs']:+.3f}..{row['high_with_runs']:+.3f}",
            ", ".join(f"{value:+.3f}" for value in row["by_seed"]),
            *(f"{row[name]:.2g}" for name in ("p_value", "p_holm")),
            row["claim"],
        ]
        for row in effects
    )
    of_cells = (
        [
            *(row[factor] for factor in FACTORS),
            ", ".join(map(str, row["seeds"])),
            f"{row['value']:.3f} ({row['low']:.3f}..{row['high']:.3f})",
            ", ".join(f"{value:.3f}" for value in row["by_seed"]),
            f"{row['accuracy']:.3f}",
        ]
        for row in cells
    )
    head = ["factor", "difference", "pairs of runs", "mean", "95 %, lesions resampled"]
    head += ["95 %, lesions and runs resampled", "by seed", "p", "p (Holm)", "claim"]
    parts = [
        f"# Ablation\n\n```console\n{command}\n```",
        _table(["", ""], _setting(settings, facts), right=0),
        "## What a level changes\n\nDifference of weighted accuracy, all else equal.",
        _table(head, of_effects, right=8),
        "## Cells\n\nWeighted accuracy, mean of the seeds; 95 % interval resampled by lesion.",
        _table([*FACTORS, "seeds", "weighted accuracy", "by seed", "accuracy"], of_cells),
        _NOTES.format(method=DEFAULT_METHOD, resamples=_RESAMPLES, effects=len(effects)),
    ]
    return "\n\n".join(parts) + "\n"


def draw_effects(rows: Rows) -> Figure:
    """Draw each difference with both intervals; what contains zero is gray."""
    effects = [row for row in rows if row["kind"] != "cell"]
    figure = Figure(figsize=(7.2, 1 + 0.34 * len(effects)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="0.3", linewidth=0.8)
    for place, row in enumerate(effects):
        color = "0.55" if row["claim"] == "no claim" else "#0072B2"
        wide = row["low_with_runs"], row["high_with_runs"]
        axes.hlines(place, *wide, color=color, linewidth=1.2)
        axes.hlines(place, row["low"], row["high"], color=color, linewidth=4, alpha=0.45)
        axes.plot(row["value"], place, "o", color=color, markersize=5)
    axes.set_yticks(
        range(len(effects)), [f"{row['kind']}: {row['comparison']}" for row in effects], fontsize=9
    )
    axes.invert_yaxis()
    axes.set_xlabel(
        "difference of weighted accuracy, gray where nothing is claimed\n"
        "(95 %: thick with lesions resampled, thin with lesions and runs)",
        fontsize=9,
    )
    axes.tick_params(labelsize=9)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _setting(settings: dict[str, Any], facts: pd.DataFrame) -> Iterable[list[str]]:
    splits, recipe = settings["splits"], settings["recipe"]
    for name, split in splits.items():
        counts = ", ".join(f"{count:,}" for count in split["classes"])
        text = f"{split['images']:,} images of {split['lesions']:,} lesions; by class {counts}"
        yield [f"{name} split", text]
    yield [
        "split",
        f"by lesion, stratified, {settings['held_out']:.0%} held out, "
        f"seed {settings['split_seed']}; one split for all runs",
    ]
    parameters = ", ".join(f"{count:,}" for count in sorted(set(facts["parameters"])))
    weights = recipe["weights"] or "random weights"
    yield ["model", f"{recipe['model']} from {weights}, {parameters} parameters"]
    size, images = recipe["image_size"], recipe["steps"] * recipe["batch_size"]
    yield [
        "recipe",
        f"{size} x {size} px, {recipe['steps']} steps of {recipe['batch_size']} images in every "
        f"run ({images / splits['train']['images']:.1f} times the training split), AdamW, one "
        f"cycle up to {recipe['learning_rate']:g}, weight decay {recipe['weight_decay']:g}, "
        f"gradients of a norm up to {recipe['gradient_clip']:g}, "
        f"{recipe['precision']} on {recipe['device']}",
    ]
    yield ["scored", "the weights of the last step; nothing was chosen on the validation split"]
    yield [
        "runs and time",
        f"{len(facts)} runs, {facts['seconds'].sum() / 60:.0f} minutes for training and predicting "
        f"and {facts['preparation_seconds'].sum() / 60:.0f} for preparing images, on "
        f"{' or '.join(map(str, sorted(set(facts['threads']))))} thread(s)",
    ]
    yield ["versions", ", ".join(f"{name} {v}" for name, v in settings["versions"].items())]


_NOTES = """\
- Levels: `none` of hair leaves images as they are, `luv` is the paper's method, `default` that \
of `occlusion_removal`, `{method}`. `light` and `paper` are presets, drawn again each time an \
image is seen; `paper-offline` has the copies of rare classes that the paper made once (actinic \
keratosis x3, dermatofibroma x7, vascular x6, squamous x3), drawn by `paper` at the size that the \
network sees, again for each seed, of training images alone, and draws nothing further. `sampler` \
draws all classes equally often, with plain cross-entropy; `weights` weighs the loss by class. \
Color constancy is `shades_of_gray`, after the removal of hair; metadata is `MetadataFusion` of \
age, sex and site.
- All runs make the same number of steps. Copies therefore do not make training longer: they take \
the place of other images.
- Intervals are bias-corrected ones of {resamples:,} resamples, of whole lesions. A difference \
pairs runs that differ in one factor alone and have the same seed. Its p-value exchanges the \
predictions of the two levels for whole lesions, in all pairs of runs at once, and is corrected \
after Holm for there being {effects} differences. A claim needs a corrected p-value below 0.05 \
and both intervals on one side of zero, also the one for which pairs of runs are resampled beside \
lesions (Owen 2007, <https://doi.org/10.1214/07-AOAS122>), which for three pairs is too narrow.
- One split, one network and one length of training: another network or a longer training may \
give other differences. Where the interval contains zero, the levels were not shown to differ, \
which is not to say that they are alike."""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 3) -> str:
    rule = ["---" if column < len(head) - right else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))

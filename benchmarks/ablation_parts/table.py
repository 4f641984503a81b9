"""Scores as Markdown, as CSV, and as a picture."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ablation_parts.grid import FACTORS
from ablation_parts.running import Run
from ablation_parts.scoring import RESAMPLES, CellScore, Effect
from dermolib.evaluation import Interval
from dermolib.io import whole_file
from dermolib.preprocessing.hair.registry import DEFAULT_METHOD

__all__ = ["csv_text", "draw_effects", "markdown", "write_text"]

_COLUMNS = [
    "kind",
    *FACTORS,
    "comparison",
    "runs",
    "seeds",
    "value",
    "low",
    "high",
    "low_with_runs",
    "high_with_runs",
    "by_seed",
    "accuracy",
    "claim",
]


_EFFECTS = [
    "factor",
    "difference",
    "pairs of runs",
    "mean",
    "95 %, lesions resampled",
    "95 %, lesions and runs resampled",
    "by seed",
    "claim",
]


def markdown(
    configuration: dict[str, Any],
    runs: Sequence[Run],
    cells: Sequence[CellScore],
    effects: Sequence[Effect],
    *,
    command: str,
) -> str:
    """Write what was run, the cells, the effects, and how to read them."""
    parts = [
        f"# Ablation\n\n```console\n{command}\n```",
        _table(["", ""], _setting(configuration, runs), right=0),
        "## What a level changes\n\nDifference of weighted accuracy, all else equal.",
        _table(
            _EFFECTS,
            map(_effect_row, effects),
            right=6,
        ),
        "## Cells\n\nWeighted accuracy, mean of the seeds; 95 % interval resampled by lesion.",
        _table([*FACTORS, "seeds", "weighted accuracy", "by seed", "accuracy"], map(_row, cells)),
        _notes(effects),
    ]
    return "\n\n".join(parts) + "\n"


def csv_text(cells: Iterable[CellScore], effects: Iterable[Effect]) -> str:
    """Write cells and differences as one table, a row each."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in cells:
        levels = dict(zip(FACTORS, cell.cell.levels, strict=True))
        numbers = _numbers(cell.interval, cell.by_seed, seeds=cell.seeds, runs=len(cell.seeds))
        writer.writerow({"kind": "cell", **levels, **numbers, "accuracy": f"{cell.accuracy:.6f}"})
    for effect in effects:
        row = _numbers(
            effect.lesions,
            effect.by_seed.values(),
            seeds=tuple(effect.by_seed),
            runs=2 * effect.pairs,
        )
        row |= {
            "low_with_runs": f"{effect.crossed.low:.6f}",
            "high_with_runs": f"{effect.crossed.high:.6f}",
        }
        comparison = f"{effect.level} - {effect.against}"
        writer.writerow(
            {"kind": effect.factor, "comparison": comparison, **row, "claim": effect.claim}
        )
    return file.getvalue()


def draw_effects(effects: Sequence[Effect]) -> Figure:
    """Draw each difference with both intervals; what contains zero is grey."""
    figure = Figure(figsize=(7.2, 1 + 0.34 * len(effects)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="0.3", linewidth=0.8)
    for place, effect in enumerate(effects):
        color = "0.55" if effect.claim == "no claim" else "#0072B2"
        wide, narrow = effect.crossed, effect.lesions
        axes.plot([wide.low, wide.high], [place, place], color=color, linewidth=1.2)
        axes.plot([narrow.low, narrow.high], [place, place], color=color, linewidth=4, alpha=0.45)
        axes.plot(effect.lesions.score, place, "o", color=color, markersize=5)
    names = [f"{effect.factor}: {effect.level} - {effect.against}" for effect in effects]
    axes.set_yticks(range(len(effects)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(
        "difference of weighted accuracy, grey where nothing is claimed\n"
        "(95 %: thick with lesions resampled, thin with lesions and runs)",
        fontsize=9,
    )
    axes.tick_params(labelsize=9)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _setting(configuration: dict[str, Any], runs: Sequence[Run]) -> Iterable[list[str]]:
    sides = configuration["sides"]
    recipe = configuration["recipe"]
    for name, side in sides.items():
        counts = ", ".join(f"{count:,}" for count in side["classes"])
        yield [
            f"{name} side",
            f"{side['images']:,} images of {side['lesions']:,} lesions; by class {counts}",
        ]
    yield [
        "split",
        f"by lesion, stratified, {configuration['held_out']:.0%} held out, "
        f"seed {configuration['split_seed']}; one split for all runs",
    ]
    weights = recipe["weights"] or "random weights"
    parameters = ", ".join(sorted({f"{run.facts['parameters']:,}" for run in runs}))
    yield ["model", f"{recipe['model']} from {weights}, {parameters} parameters"]
    size, places = recipe["image_size"], recipe["steps"] * recipe["batch_size"]
    yield [
        "recipe",
        f"{size} x {size} px, {recipe['steps']} steps of {recipe['batch_size']} images in every "
        f"run ({places / sides['train']['images']:.1f} times the training side), AdamW, one cycle "
        f"up to {recipe['learning_rate']:g}, weight decay {recipe['weight_decay']:g}, gradients "
        f"of a norm up to {recipe['gradient_clip']:g}, {recipe['precision']} on {recipe['device']}",
    ]
    yield ["scored", "the weights of the last step; nothing was chosen by the validation side"]
    threads = " or ".join(map(str, sorted({run.facts["threads"] for run in runs})))
    seconds = sum(run.facts["seconds"] for run in runs)
    before = sum(run.facts["preparation_seconds"] for run in runs)
    yield [
        "runs and time",
        f"{len(runs)} runs, {seconds / 60:.0f} minutes for training and predicting and "
        f"{before / 60:.0f} for preparing images, on {threads} thread(s)",
    ]
    yield ["versions", ", ".join(f"{name} {v}" for name, v in configuration["versions"].items())]


def _notes(effects: Sequence[Effect]) -> str:
    return "\n".join(
        [
            "- Levels: `none` of hair leaves images as they are, `luv` is the paper's method, "
            f"`default` that of `occlusion_removal`, `{DEFAULT_METHOD}`. `light` and `paper` are "
            "presets, drawn anew each time an image is seen; `paper-offline` has the copies of "
            "rare classes that the paper made once (actinic keratosis x3, dermatofibroma x7, "
            "vascular x6, squamous x3), drawn by `paper` at the size that the network sees, anew "
            "for each seed, on the training side alone, and draws nothing further. `sampler` draws "
            "all classes equally often, with plain cross-entropy; `weights` weighs the loss by "
            "class. Colour constancy is `shades_of_gray`, after the removal of hair; metadata is "
            "`MetadataFusion` of age, sex and site.",
            "- All runs make the same number of steps. Copies therefore do not make training "
            "longer: they take the place of other images.",
            f"- Intervals are percentiles of {RESAMPLES:,} resamples, of whole lesions. A "
            "difference pairs runs that differ in one factor alone and have the same seed; a claim "
            "also needs the interval for which pairs of runs are resampled beside lesions (Owen "
            "2007, <https://doi.org/10.1214/07-AOAS122>), which for three pairs is too narrow.",
            f"- No interval is corrected for there being {len(effects)} of them: of twenty "
            "differences that are none, one would be claimed.",
            "- One split, one network and one length of training: another network or a longer "
            "training may give other differences. Where the interval contains zero, the levels "
            "were not shown to differ, which is not to say that they are alike.",
        ]
    )


def _effect_row(effect: Effect) -> list[str]:
    return [
        effect.factor,
        f"{effect.level} - {effect.against}",
        str(effect.pairs),
        f"{effect.lesions.score:+.3f}",
        _signed(effect.lesions),
        _signed(effect.crossed),
        ", ".join(f"{value:+.3f}" for value in effect.by_seed.values()),
        effect.claim,
    ]


def _row(cell: CellScore) -> list[str]:
    interval = cell.interval
    return [
        *cell.cell.levels,
        ", ".join(map(str, cell.seeds)),
        f"{interval.score:.3f} ({interval.low:.3f}..{interval.high:.3f})",
        ", ".join(f"{value:.3f}" for value in cell.by_seed),
        f"{cell.accuracy:.3f}",
    ]


def _numbers(
    interval: Interval, by_seed: Iterable[float], *, seeds: Sequence[int], runs: int
) -> dict[str, str]:
    return {
        "runs": str(runs),
        "seeds": " ".join(map(str, seeds)),
        "value": f"{interval.score:.6f}",
        "low": f"{interval.low:.6f}",
        "high": f"{interval.high:.6f}",
        "by_seed": " ".join(f"{value:.6f}" for value in by_seed),
    }


def _signed(interval: Interval) -> str:
    return f"{interval.low:+.3f}..{interval.high:+.3f}"


def _table(head: list[str], rows: Iterable[list[str]], *, right: int = 3) -> str:
    rule = ["---" if column < len(head) - right else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))

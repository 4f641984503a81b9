"""The results as a Markdown table and as plain values for JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib.evaluation import bootstrap_interval
from hair_parts.evaluation import SOURCES, WIDE, FillScores, Scores
from hair_parts.simulation import KINDS
from hair_parts.timing import DECODERS, Timing

__all__ = ["fill_table", "markdown", "remover_table", "to_values"]

_Row = tuple[str, list[str]]


def remover_table(scores: dict[str, Scores], timings: dict[int, Timing]) -> str:
    """Write one table: a row for each measure, a column for each remover.

    Args:
        scores: Name to scores.
        timings: Number of threads to timing; may be empty.

    Returns:
        Markdown.
    """
    columns = list(scores.values())
    rows = [
        *_by_kind("Dice", columns, lambda score: score.dice, ".3f"),
        ("**Dice, mean of the three**", [f"**{score.mean_dice.mean():.3f}**" for score in columns]),
        ("95 % interval over images", [_interval(score.mean_dice) for score in columns]),
        (
            f"Dice, mean, hair from coverage {WIDE} on",
            [f"{_mean(score.dice_wide):.3f}" for score in columns],
        ),
        ("recall, mean", [f"{_mean(score.recall):.3f}" for score in columns]),
        ("precision, mean", [f"{_mean(score.precision):.3f}" for score in columns]),
        *_by_kind("PSNR in hair, dB", columns, lambda score: score.psnr, ".1f"),
        ("**PSNR in hair, mean, dB**", [f"**{_mean(score.psnr):.1f}**" for score in columns]),
        ("PSNR off hair, dB", [_decibels(score.psnr_outside) for score in columns]),
        *_shares("no hair: image masked", [score.masked for score in columns]),
        *_shares("no hair: lesion masked", [score.masked_lesion for score in columns]),
        *_shares("flagged hair = 0: lesion changed", [score.changed_lesion for score in columns]),
        *_times(list(scores), timings),
    ]
    return _table(["", *scores], rows)


def fill_table(scores: dict[str, dict[str, FillScores]], method: str) -> str:
    """Write one table: a row for each fill and source of masks, a column for each measure.

    Args:
        scores: Fill to source of the mask to scores.
        method: Name of the method whose masks were taken.

    Returns:
        Markdown.
    """
    labels = dict(zip(SOURCES, ("true", "true and 2 px more", f"`{method}`"), strict=True))
    head = ["fill", "mask", *(f"PSNR {kind}" for kind in KINDS), "**PSNR mean**"]
    head += [*(f"SSIM {kind}" for kind in KINDS), "**SSIM mean**"]
    rows: list[_Row] = []
    for source, label in labels.items():
        for fill, by_source in scores.items():
            score = by_source[source]
            cells = [label, *(f"{np.mean(score.psnr[kind]):.1f}" for kind in KINDS)]
            cells += [f"**{_mean(score.psnr):.2f}**"]
            cells += [*(f"{np.mean(score.ssim[kind]):.3f}" for kind in KINDS)]
            cells += [f"**{_mean(score.ssim):.3f}**"]
            rows.append((f"`{fill}`", cells))
    return _table(head, rows)


def markdown(
    setting: dict[str, Any],
    scores: dict[str, Scores],
    timings: dict[int, Timing],
    fills: dict[str, dict[str, FillScores]],
) -> str:
    """Write everything that was measured, with what the measures mean.

    Args:
        setting: What was run, for the first lines.
        scores: Name to scores.
        timings: Number of threads to timing; may be empty.
        fills: Fill to source of the mask to scores; may be empty.

    Returns:
        Markdown.
    """
    head = "\n".join(f"- {name}: {value}" for name, value in setting.items())
    parts = ["# Hair removal", head, remover_table(scores, timings), _NOTES]
    if timings:
        parts.append(_decoders(timings))
    if fills:
        parts += ["## Fills", fill_table(fills, str(setting["default method"])), _FILL_NOTES]
    return "\n\n".join(parts) + "\n"


_NOTES = f"""\
A pixel is hair where drawn strands cover half of it or more, before focus and translucence change
how it looks; the row with coverage {WIDE} shows how much Dice depends on where hair ends. Dice,
recall, precision and PSNR are means over images; a mask that is empty has precision 0. *PSNR in
hair* compares with the image before hair was drawn, at these pixels; *off hair* does so for all
pixels that drawing left as they were, pooled: "equal" means that not one of them changed. Shares
are means over images, with the 95th percentile and the worst image. *untouched* does nothing."""

_FILL_NOTES = """\
PSNR and SSIM are those of the pixels that hair covers by half or more, whatever mask the fill got.
The true mask leaves the blurred rims of hair outside, from which a fill takes its colours."""


def to_values(
    setting: dict[str, Any],
    scores: dict[str, Scores],
    timings: dict[int, Timing],
    fills: dict[str, dict[str, FillScores]],
    ids: dict[str, Sequence[str]],
) -> dict[str, Any]:
    """Collect everything that was measured as plain values, image by image.

    Args:
        setting: What was run.
        scores: Name to scores.
        timings: Number of threads to timing; may be empty.
        fills: Fill to source of the mask to scores; may be empty.
        ids: The images of each list, in the order of the scores.

    Returns:
        Values that JSON can hold.
    """
    return {
        "setting": setting,
        "ids": {name: list(images) for name, images in ids.items()},
        "removers": {name: asdict(score) for name, score in scores.items()},
        "milliseconds": {str(threads): timing for threads, timing in timings.items()},
        "fills": {
            fill: {source: asdict(score) for source, score in by_source.items()}
            for fill, by_source in fills.items()
        },
    }


def _by_kind(
    title: str,
    columns: list[Scores],
    values: Callable[[Scores], dict[str, list[float]]],
    form: str,
) -> list[_Row]:
    return [
        (f"{title}, {kind}", [f"{np.mean(values(score)[kind]):{form}}" for score in columns])
        for kind in KINDS
    ]


def _mean(values: dict[str, list[float]]) -> float:
    return float(np.mean([np.mean(values[kind]) for kind in KINDS]))


def _interval(values: npt.NDArray[np.float64]) -> str:
    interval = bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(len(values)))
    return f"{interval.low:.3f}..{interval.high:.3f}"


def _decibels(value: float) -> str:
    return "equal" if np.isinf(value) else f"{value:.1f}"


def _shares(title: str, columns: list[list[float]]) -> list[_Row]:
    if not columns or not columns[0]:
        return []
    cells = []
    for values in columns:
        numbers = (np.mean(values), np.percentile(values, 95), np.max(values))
        cells.append(" / ".join(f"{100 * number:.2f}" for number in numbers))
    return [(f"{title}, % (mean / 95th / worst)", cells)]


def _times(names: list[str], timings: dict[int, Timing]) -> list[_Row]:
    rows = []
    for threads, timing in timings.items():
        label = f"{threads} thread" + ("s" if threads > 1 else "")
        rows.append((f"ms per megapixel, {label}", _cells(names, timing, "ms")))
        for decoder in DECODERS:
            rows.append((f"time over {decoder}, {label}", _cells(names, timing, decoder)))
    return rows


def _cells(names: list[str], timing: Timing, key: str) -> list[str]:
    return [f"{timing[name][key]:.2f}" if name in timing else "" for name in names]


def _decoders(timings: dict[int, Timing]) -> str:
    taken = (
        f"{timing[decoder]['ms']:.2f} ms with {decoder} ({threads})"
        for threads, timing in timings.items()
        for decoder in DECODERS
    )
    return f"""\
Times are for hairy images of 1024 x 1024, and one thread is measured in processor time on one core,
more by the clock. Decoding a megapixel of the same files, JPEG quality 90, which takes one thread
always, in the runs with (n) threads: {", ".join(taken)}."""


def _table(head: list[str], rows: list[_Row]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join([title, *cells])} |" for title, cells in rows]
    return "\n".join(lines)

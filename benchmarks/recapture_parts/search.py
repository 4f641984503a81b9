"""What `find_recaptures` finds among planted recaptures and confirmed ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib.io import write_image
from recapture_parts.harness import planted, transform_error
from recapture_parts.planting import Recapture

__all__ = ["CONFIRMED", "REFUTED", "outcome", "ranks", "recall_at_no_false", "write_planted"]

CONFIRMED = (
    ("ISIC_0033481", "ISIC_0033421"),
    ("ISIC_0029036", "ISIC_0027027"),
    ("ISIC_0025226", "ISIC_0030074"),
    ("ISIC_0024602", "ISIC_0032283"),
    ("ISIC_0024437", "ISIC_0031299"),
    ("ISIC_0033374", "ISIC_0033417"),
)
"""Pairs of HAM10000 that show one lesion under two ids, confirmed by others."""

REFUTED = (("ISIC_0025323", "ISIC_0025141"), ("ISIC_0025947", "ISIC_0029023"))
"""Pairs that look like it and are not."""


def write_planted(files: Sequence[Path], folder: Path, *, seed: int = 0) -> list[Recapture]:
    """Write the first photographs and the second ones, in this order, as files without loss."""
    pairs = list(planted(files, seed=seed))
    for number, pair in enumerate(pairs):
        for place, image in ((number, pair.first), (number + len(pairs), pair.second)):
            write_image(folder / f"{place:05d}.png", image)
    return pairs


def outcome(table: pd.DataFrame, pairs: Sequence[Recapture]) -> pd.DataFrame:
    """Describe each planted pair: its score (0 if not found), and the error of its transform."""
    true = table[table["second_row"] - table["first_row"] == len(pairs)]
    by_first = {int(found["first_row"]): found for found in true.to_dict("records")}
    rows = []
    for number, pair in enumerate(pairs):
        row: dict[str, Any] = {
            "scale": pair.scale, "turn": abs(pair.angle), "hairy": pair.hairy,
            "beyond": pair.beyond, "score": 0.0, "error": np.inf,
        }  # fmt: skip
        if number in by_first:
            found = by_first[number]
            row |= {"score": found["score"], "error": transform_error(pair, _matrix(found))}
        rows.append(row)
    return pd.DataFrame(rows)


def recall_at_no_false(
    table: pd.DataFrame, scores: npt.NDArray[np.float64], *, drawn: int | None = None
) -> float:
    """Give the fraction of planted pairs with scores (N,) above those of all false pairs.

    Args:
        table: What `find_recaptures` found among 2 N images, from a score of 0 on.
        scores: Of the planted pairs.
        drawn: Number of false pairs, drawn of all that there are; all of them if not given.
    """
    count = len(scores)
    false = table[table["second_row"] - table["first_row"] != count]
    if drawn is not None:
        random = np.random.default_rng(0)
        first = random.integers(2 * count, size=2 * drawn)
        second = random.integers(2 * count, size=2 * drawn)
        different = np.flatnonzero(first % count != second % count)[:drawn]
        keys = {*zip(first[different].tolist(), second[different].tolist(), strict=True)}
        rows = zip(false["first_row"], false["second_row"], strict=True)
        false = false[[pair in keys or pair[::-1] in keys for pair in rows]]
    highest = float(false["score"].max()) if len(false) else 0.0
    return float((scores > highest).mean())


def ranks(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> list[int | None]:
    """Give the place of each pair in a table, the first is 1, or None where it is not found."""
    ends = zip(table["first"], table["second"], strict=True)
    places = {frozenset(pair): place for place, pair in enumerate(ends, start=1)}
    return [places.get(frozenset(pair)) for pair in pairs]


def _matrix(found: Mapping[Any, Any]) -> npt.NDArray[np.float64]:
    """Make the matrix (2, 3) of a found transform."""
    radians = np.deg2rad(found["angle"])
    cosine, sine = found["scale"] * np.cos(radians), found["scale"] * np.sin(radians)
    return np.array([[cosine, -sine, found["shift_x"]], [sine, cosine, found["shift_y"]]])

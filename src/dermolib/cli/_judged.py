"""What the commands that judge predictions have in common: options, files, and notes on them."""

import argparse
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dermolib.evaluation.files import Floats, Truth

__all__ = ["Judged", "add_judged", "json_text", "judge", "metric_of", "wrap"]

_WIDTH = 100
_OURS = {"auc": "roc_auc:malignant", "pauc": "pauc:malignant", "dice": "macro_f1"}


class Judged(NamedTuple):
    """Predictions of one model or more, and what is judged with them.

    Attributes:
        truth: True classes of the images that count.
        models: Predictions of each model as `dermolib.evaluation.score` takes them.
        options: Arguments that all functions take: ``target``, ``groups``, ``label_space``,
            ``values``, ``resamples`` and ``seed``.
        notes: What was made of the files.
    """

    truth: "Truth"
    models: list[Any]
    options: dict[str, Any]
    notes: list[str]


def add_judged(parser: argparse.ArgumentParser, truth: str) -> None:
    """Add the options of both commands."""
    from dermolib.evaluation.forms import FORMS

    add = parser.add_argument
    text = f"form of the files: {', '.join(FORMS)} (default: by the columns of {truth})"
    add("--form", metavar="NAME", choices=FORMS, help=text)
    text = "CSV file with an id and a lesion (or patient) in each row; these are resampled whole"
    add("--groups", metavar="FILE", help=text)
    add("--resamples", metavar="N", type=int, default=2000, help="resamples (default: 2000)")
    add("--seed", metavar="N", type=int, default=0, help="seed of the resampling (default: 0)")
    add("--json", action="store_true", help="print JSON rather than tables")
    parser.set_defaults(quiet=False)


def judge(given: argparse.Namespace, truth: "Truth", models: Sequence["Floats"]) -> Judged:
    """Bring together what functions take, of the images that count in the official score."""
    import numpy as np

    from dermolib.evaluation.files import as_given, read_groups

    notes, weights = [], truth.score_weight
    kept = np.flatnonzero(weights > 0)
    if len(kept) < len(weights):
        left_out = len(weights) - len(kept)
        notes.append(f"{_count(left_out, 'image')} with a score_weight of 0 left out.")
    if len(np.unique(weights[kept])) > 1:
        notes.append("Each image counts once, whatever its score_weight.")
    truth = truth.take(kept)
    arguments = [as_given(truth, values[kept]) for values in models]
    kinds = {one["values"] for one in arguments}
    if "independent" in kinds:
        text = "Probabilities do not sum to 1 in each row, and are taken as independent."
        notes.append(text)
    groups = None
    if given.groups:
        column, groups = read_groups(given.groups, truth)
        alone = int((groups == "").sum())
        text = f"Groups are by {column} of {given.groups}"
        text += f"; {_count(alone, 'image')} without one, each a group of its own" if alone else ""
        notes.append(f"{text}.")
    options = {
        **{name: arguments[0][name] for name in ("target", "label_space")},
        **{"groups": groups, "values": max(kinds, key="independent".__eq__)},
        **{"resamples": given.resamples, "seed": given.seed},
    }
    return Judged(truth, [one["probabilities"] for one in arguments], options, notes)


def metric_of(truth: "Truth") -> str:
    """Name the score that ranks in a form as `dermolib.evaluation.score` does."""
    return _OURS.get(truth.metric, truth.metric)


def json_text(values: Any) -> str:
    """Write JSON, and what is undefined as null, since JSON has no nan."""
    return json.dumps(_without_nan(values), indent=2, allow_nan=False)


def wrap(sentences: Iterable[str]) -> str:
    """Break sentences into lines for a terminal or a log; a path is not broken."""
    return "\n".join(
        textwrap.fill(one, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for one in sentences
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s'[: number != 1]}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    return value if value == value else None

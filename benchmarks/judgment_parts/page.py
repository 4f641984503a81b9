"""The page of the worked judgment, made of the results alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

__all__ = ["render"]

_TEMPLATE = Path(__file__).with_name("page.md")
_SHOWN = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_roc_auc": "macro AUC",
    "sensitivity:MEL": "sensitivity for melanoma",
    "roc_auc:MEL": "AUC for melanoma",
    "sensitivity:DF": "sensitivity for dermatofibroma",
}
_METHODS = {
    "bca": "bias-corrected and accelerated",
    "percentile": "percentiles",
    "smoothed": "smoothed by lesions borrowed from other classes",
}


def render(results: Mapping[str, Any], ablation: pd.DataFrame) -> str:
    """Write the page in Markdown, from the results and the table of the ablation."""
    environment = Environment(  # noqa: S701 - Markdown of numbers, no HTML
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {
        "n": lambda value: f"{value:,}",
        "percent": lambda value: f"{100 * value:.1f} %",
        "f2": lambda value: f"{value:.2f}",
        "f3": lambda value: f"{value:.3f}",
        "p": _p,
        "interval": _interval,
        "difference": lambda row: (
            f"{row['difference']:+.3f} ({row['low']:+.3f}..{row['high']:+.3f})"
        ),
    }
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    effects = ablation[ablation["kind"] != "cell"].rename(columns={"value": "difference"})
    names = {"models": [*results["scores"]], "method_name": _METHODS[results["method"]]}
    return template.render(results, shown=_SHOWN, ablation=effects.to_dict("records"), **names)


def _interval(row: Mapping[str, Any]) -> str:
    value = row.get("value", row.get("coverage"))
    if value is None:
        return "undefined"
    star = "*" if row.get("few") else ""
    return f"{value:.3f} ({row['low']:.3f}..{row['high']:.3f}){star}"


def _p(value: float) -> str:
    if value < 1e-300:
        return "below 1e-300"
    return f"{value:.1g}" if value < 1e-3 else f"{value:.3f}"

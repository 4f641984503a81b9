"""What is computed of each model: scores, comparisons, calibration, sets, subgroups, abstention."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import mannwhitneyu

from dermolib.evaluation import (
    ConformalSets,
    TemperatureScaling,
    VectorScaling,
    calibration_error,
    compare,
    compare_all,
    compare_decisions,
    coverage_table,
    cross_calibrate,
    cross_decide,
    decide,
    score,
    score_subgroups,
    threshold_for_risk,
)
from dermolib.evaluation.predictions import read_predictions
from dermolib.evaluation.resampling import replicates
from dermolib.evaluation.scaling import grouped_folds
from dermolib.evaluation.statistics import statistic
from dermolib.labels import DIAGNOSES

__all__ = ["Judged", "judge"]

_CODES = [diagnosis.code for diagnosis in DIAGNOSES]
_METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "macro_roc_auc")
_PROPER = ("log_loss", "brier", "ece")
_COVERAGE = 0.9
_FOLDS = 5
_HALVES = 100  # random halves by lesion
_HAIR = 0.01  # of the pixels
_MARGIN = 0.02
_RISKS = (0.05, 0.1, 0.15)
_SETS: dict[str, dict[str, Any]] = {
    "all classes together": {"per_class": False},
    "per class": {},
    "per class, adaptive": {"method": "aps"},
}

Probabilities: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """Images that no model was trained on, and what each model says of them.

    Attributes:
        models: Probabilities (N, K) of each model by its name.
        target: True classes (N,).
        lesions: Lesion of each image (N,).
        table: Rows of the images (N) in the table of the data set, with the fractions of pixels
            masked as ``hair`` and as ``border``.
        best: Name of the model whose calibration, sets and subgroups are shown.
        counts: Images of each class (K,) that the models were trained on.
    """

    models: Mapping[str, Probabilities]
    target: npt.NDArray[np.int64]
    lesions: npt.NDArray[Any]
    table: pd.DataFrame
    best: str
    counts: npt.NDArray[np.int64]

    @property
    def common(self) -> dict[str, Any]:
        """Arguments of everything that judges."""
        return {"groups": self.lesions, "label_space": _CODES}

    def calibrated(self, name: str) -> Probabilities:
        """Scale each fold by the temperature of the others, so that no image is its own teacher."""
        return cross_calibrate(self.models[name], self.target, folds=_FOLDS, **self.common)


def judge(judged: Judged) -> dict[str, Any]:
    """Compute all results, plain values only."""
    lesions = [len(set(judged.lesions[judged.target == place])) for place in range(len(_CODES))]
    scored = {
        name: score(values, judged.target, **judged.common)
        for name, values in judged.models.items()
    }
    first = next(iter(scored.values()))
    return {
        "images": len(judged.target),
        "lesions": len(set(judged.lesions)),
        "codes": _CODES,
        "class_images": np.bincount(judged.target, minlength=len(_CODES)).tolist(),
        "class_lesions": lesions,
        "best": judged.best,
        "margin": _MARGIN,
        "method": first.method,
        "resamples": first.resamples,
        "scores": {name: _by_name(found.table) for name, found in scored.items()},
        "comparisons": {metric: _comparisons(judged, metric) for metric in _METRICS},
        "replicates": _replicates(judged),
        "calibration": {name: _calibration(judged, name) for name in judged.models},
        "decisions": _decisions(judged),
        "coverage": _COVERAGE,
        "halves": _HALVES,
        "sets": {name: _sets(judged, options) for name, options in _SETS.items()},
        "subgroups": _subgroups(judged),
        "abstention": _abstention(judged),
    }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn rows into values of JSON, null where undefined."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        {str(name): value.item() if isinstance(value, np.generic) else value
         for name, value in row.items()}
        for row in rows
    ]  # fmt: skip


def _by_name(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Name each score, those of a class with its code."""
    rows = _plain(table[["metric", "class", "value", "low", "high", "few"]])
    return {":".join(filter(None, [row.pop("metric"), row.pop("class")])): row for row in rows}


def _comparisons(judged: Judged, metric: str) -> list[dict[str, Any]]:
    options: dict[str, Any] = {"metric": metric, "margin": _MARGIN}
    return _plain(compare_all(judged.models, judged.target, **options, **judged.common))


def _replicates(judged: Judged) -> list[dict[str, Any]]:
    """Test replicates of the bootstrap by ranks, which is the mistake, beside `compare`."""
    names = [*judged.models][-2:]
    a, b = (judged.models[name] for name in names)
    rows = []
    for resamples in (200, 1000, 5000):
        drawn = []
        for seed, one in enumerate((a, b)):
            found = read_predictions(one, judged.target, judged.lesions, _CODES)
            of = statistic(found, "balanced_accuracy")
            drawn.append(replicates(of, found.num_groups, resamples=resamples, seed=seed)[:, 0])
        paired = compare(a, b, judged.target, resamples=resamples, **judged.common)
        ranks = float(mannwhitneyu(drawn[0], drawn[1]).pvalue)
        row = {"a": names[0], "b": names[1], "resamples": resamples, "ranks": ranks}
        rows.append({**row, "compare": paired.p_value})
    return rows


def _calibration(judged: Judged, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    both = {"before": judged.models[name], "after": judged.calibrated(name)}
    for when, values in both.items():
        scores = _by_name(score(values, judged.target, **judged.common).table)
        found[when] = {metric: scores[metric] for metric in _PROPER} | {
            kind: calibration_error(values, judged.target, kind=kind)
            for kind in ("classwise", "adaptive")
        }
    whole = TemperatureScaling().fit(judged.models[name], judged.target)
    return {**found, "temperature": float(whole.temperature)}


def _decisions(judged: Judged) -> dict[str, Any]:
    """Decide by the highest probability, and by the highest expected weighted accuracy."""
    values = judged.models[judged.best]
    vector = cross_calibrate(
        values, judged.target, method=VectorScaling, folds=_FOLDS, **judged.common
    )
    rules = {
        "most likely class": values.argmax(axis=1),
        "weighted, temperature": decide(judged.calibrated(judged.best), prior=judged.counts),
        "weighted, vector scaling": decide(vector, prior=judged.counts),
        "power of the counts": cross_decide(
            values, judged.target, judged.counts, groups=judged.lesions
        ),
    }
    table = compare_decisions(values, judged.target, rules, **judged.common)
    named = {name: _by_name(table[table["rule"] == name].drop(columns="rule")) for name in rules}
    against = compare_all(rules, judged.target, against=next(iter(rules)), **judged.common)
    return {"rules": named, "differences": _plain(against)}


def _sets(judged: Judged, options: dict[str, Any]) -> dict[str, Any]:
    """Count sets whose thresholds come from the other folds, and those of random halves."""
    numbers = read_predictions(judged.target, judged.target, judged.lesions, _CODES).groups

    def predict(rows: Rows) -> npt.NDArray[np.bool_]:
        fit = np.setdiff1d(np.arange(len(numbers)), rows)
        sets, values = (
            ConformalSets(_COVERAGE, few="include", **options),
            judged.models[judged.best],
        )
        sets.fit(values[fit], judged.target[fit], groups=judged.lesions[fit], label_space=_CODES)
        return sets.predict(values[rows])

    held = np.zeros((len(numbers), len(_CODES)), bool)
    for rows in grouped_folds(numbers, _FOLDS, 0):
        held[rows] = predict(rows)
    table = _plain(coverage_table(held, judged.target, **judged.common))
    means = []
    for seed in range(_HALVES):
        rows = next(iter(grouped_folds(numbers, 2, seed)))
        found = coverage_table(
            predict(rows),
            judged.target[rows],
            groups=judged.lesions[rows],
            label_space=_CODES,
            resamples=1,
        )
        means.append(found["coverage"].to_numpy(np.float64))
    halves = np.nanmean(means, axis=0).tolist()
    keys = ("coverage", "low", "high", "size", "few")
    return {
        row["class"] or "all": {key: row[key] for key in keys} | {"halves": half}
        for row, half in zip(table, halves, strict=True)
    }


def _subgroups(judged: Judged) -> list[dict[str, Any]]:
    table = judged.table
    by: dict[str, Any] = {name: table[name].to_numpy() for name in ("age", "sex", "site")}
    by["hair"] = np.where(table["hair"] > _HAIR, "more than 1 % of the pixels", "less")
    by["dark border"] = np.where(table["border"] > 0, "yes", "no")
    metrics = ["balanced_accuracy", "accuracy"]
    values = judged.models[judged.best]
    return _plain(score_subgroups(values, judged.target, by, metric=metrics, **judged.common))


def _abstention(judged: Judged) -> list[dict[str, Any]]:
    """Find the threshold of each risk on half of the lesions, and count on the other half."""
    scaled = judged.calibrated(judged.best)
    numbers = read_predictions(judged.target, judged.target, judged.lesions, _CODES).groups
    fit, rows = grouped_folds(numbers, 2, 0)
    sure, right = scaled.max(axis=1), scaled.argmax(axis=1) == judged.target
    found = []
    for risk in _RISKS:
        one = threshold_for_risk(
            scaled[fit],
            judged.target[fit],
            risk=risk,
            groups=judged.lesions[fit],
            label_space=_CODES,
        )
        answered = sure[rows] >= one.threshold
        wrong = 1 - right[rows][answered].mean() if answered.any() else None
        known = np.isfinite(one.threshold)
        row = {"risk": risk, "threshold": one.threshold if known else None, "reason": one.reason}
        found.append({**row, "answered": float(answered.mean()), "wrong": wrong})
    return found

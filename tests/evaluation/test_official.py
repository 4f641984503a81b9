"""The official scorer's numbers, against its rules in exact fractions, written another way."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from dermolib.evaluation import FORMS, METRICS, official_scores

THREE = ("A", "B", "C")
NAN = float("nan")


class Case:
    """True classes and values of some images, as the two files of a challenge."""

    def __init__(
        self,
        labels: Sequence[int],
        values: npt.ArrayLike,
        codes: Sequence[str] = THREE,
        *,
        score: Sequence[float] | None = None,
        validation: Sequence[float] | None = None,
        ids: Sequence[str] | None = None,
        named: Sequence[str] | None = None,
        column: str = "image",
        metric: str = "balanced_accuracy",
        order: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    ) -> None:
        """Make the tables; `named` are the ids of the prediction, `order` rearranges it."""
        self.labels, self.codes, self.metric = [*labels], [*codes], metric
        self.values = np.asarray(values, np.float64)
        self.ids = [f"ISIC_{place:07}" for place in range(len(labels))] if ids is None else [*ids]
        left = np.array([name != "ISIC_0035068" for name in self.ids])
        ones = [1.0] * len(labels)
        self.score = np.array(ones if score is None else score) * left
        self.validation = np.array(ones if validation is None else validation) * left
        hot = {code: [float(x == k) for x in labels] for k, code in enumerate(codes)}
        self.truth = pd.DataFrame({column: self.ids, **hot})
        if score is not None:
            self.truth["score_weight"] = score
        if validation is not None:
            self.truth["validation_weight"] = validation
        columns = dict(zip(codes, self.values.T, strict=True))
        self.prediction = order(pd.DataFrame({column: named or self.ids, **columns}))


def _drawn(seed: int, codes: Sequence[str], images: int, **options: Any) -> Case:
    """Draw a case whose values have ties where they are rounded."""
    generator = np.random.default_rng(seed)
    labels = np.r_[np.arange(len(codes)), generator.integers(len(codes), size=images)]
    logits = generator.normal(size=(len(labels), len(codes)))
    logits[np.arange(len(labels)), labels] += 1.5
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    digits = options.pop("digits", None)
    if options.pop("weighted", False):
        options["score"] = generator.integers(0, 3, len(labels)) / 2
        options["validation"] = generator.integers(0, 2, len(labels)).astype(float)
        options["score"][: len(codes)] = options["validation"][: len(codes)] = 1.0
    return Case(labels, values if digits is None else values.round(digits), codes, **options)


def _ranked(order: str) -> Case:
    """Make one class of a column that falls along the letters p and n; `=` joins a tie."""
    letters, value, values = [], 1.0, []
    for letter in order:
        if letter != "=":
            letters.append(letter)
            values.append(value)
            value -= 1 / 64
        else:
            value = values[-1]
    column = np.array(values)
    labels = [0 if letter == "p" else 1 for letter in letters]
    return Case(labels, np.c_[column, 1 - column], ("A", "B"))


_FAIR = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4]]
_TRUE = [0, 1, 2, 1, 0]
_HALF, _ABOVE = 0.5, float(np.nextafter(0.5, 1))

CASES: dict[str, Case] = {
    "perfect": Case(_TRUE, np.eye(3)[_TRUE]),
    "all wrong": Case(_TRUE, np.eye(3)[[1, 2, 0, 0, 2]]),
    "ordinary": Case(_TRUE, _FAIR),
    "one value everywhere": Case(_TRUE, np.full((5, 3), 0.3)),
    "one half everywhere": Case(_TRUE, np.full((5, 3), _HALF)),
    "a hair above one half": Case(_TRUE, np.full((5, 3), _ABOVE)),
    "zero everywhere": Case(_TRUE, np.zeros((5, 3))),
    "one everywhere": Case(_TRUE, np.ones((5, 3))),
    "the true class shares the maximum": Case(
        _TRUE, [[0.4, 0.4, 0.2], [0.1, 0.6, 0.3], [0.4, 0.2, 0.4], *_FAIR[3:]]
    ),
    "two wrong classes share the maximum": Case(
        _TRUE, [[0.2, 0.4, 0.4], [0.4, 0.2, 0.4], *_FAIR[2:]]
    ),
    "a difference of one bit is no tie": Case(
        _TRUE, [[_ABOVE, _HALF, 0.0], [_ABOVE, _HALF, 0.0], *_FAIR[2:]]
    ),
    "several classes above one half": Case(
        _TRUE, [[0.9, 0.8, 0.1], [0.7, 0.6, 0.9], [0.6, 0.6, 0.6], *_FAIR[3:]]
    ),
    "no class above one half": Case(_TRUE, np.array(_FAIR) / 2),
    "rows of other sums": Case(_TRUE, np.array(_FAIR) ** 2),
    "a class that is never predicted": Case(_TRUE, np.array(_FAIR) * [1, 1, 0.1]),
    "two images": Case([0, 1], [[0.6, 0.4], [0.7, 0.3]], ("A", "B")),
    "weight 0": Case(_TRUE, _FAIR, score=[1, 1, 1, 0, 0]),
    "fractional weights": Case(_TRUE, _FAIR, score=[0.5, 2, 1, 0.25, 3]),
    "validation by other images": Case(
        [*_TRUE, *_TRUE],
        [*_FAIR, *np.roll(_FAIR, 1, axis=1)],
        score=[1] * 5 + [0] * 5,
        validation=[0] * 5 + [1] * 5,
    ),
    "the image that the scorer leaves out": Case(
        _TRUE, _FAIR, ids=["ISIC_0035067", "b", "c", "ISIC_0035068", "e"]
    ),
    "columns in another order": Case(
        _TRUE, _FAIR, order=lambda table: table[["C", "A", "image", "B"]]
    ),
    "rows in another order": Case(_TRUE, _FAIR, order=lambda table: table.iloc[[3, 0, 4, 2, 1]]),
    "names of files": Case(
        _TRUE, _FAIR, ids=[*"abcde"], named=["a.jpg", "b.JPG", "c", "d.jpg", "e"]
    ),
    "tiny values": Case(_TRUE, np.array(_FAIR) * 1e-300),
    "one positive of fifty": Case(
        [0, *[1] * 49], np.c_[np.linspace(0.9, 0.1, 50), np.linspace(0.1, 0.9, 50)], ("A", "B")
    ),
    "sensitivity 0.8 is a point of the curve": _ranked("ppnppnnnpnn"),
    "the curve runs level at 0.8": _ranked("pnppnpnnnnnpnn"),
    "the curve jumps over 0.8": _ranked("ppnp=n=p=nnpnn"),
    "one tie of all": _ranked("p=n=p=n=n"),
    "positives last": _ranked("nnnnppp"),
    "tenths with many ties": _drawn(1, THREE, 60, digits=1),
    "hundredths with weights": _drawn(2, THREE, 60, digits=2, weighted=True),
    "seven classes": _drawn(3, FORMS["isic2018"].codes, 200),
    "seven classes with weights and ties": _drawn(
        4, FORMS["isic2018"].codes, 200, digits=1, weighted=True
    ),
    "nine classes": _drawn(5, FORMS["isic2019"].codes, 300, digits=3, weighted=True),
    "eleven classes": _drawn(
        6, FORMS["milk10k"].codes, 300, column="lesion_id", metric="dice", digits=2
    ),
    "eleven classes with weights": _drawn(
        7, FORMS["milk10k"].codes, 300, column="lesion_id", metric="dice", weighted=True
    ),
}
"""Cases that the official scorer scores as well."""

STOPS: dict[str, Case] = {
    "a class without images": Case([0, 1, 0], _FAIR[:3]),
    "one image": Case([1], [[0.2, 0.7, 0.1]]),
    "a class whose image has weight 0": Case(_TRUE, _FAIR, score=[1, 1, 0, 1, 1]),
    "no image has a weight of validation": Case(_TRUE, _FAIR, validation=[0] * 5),
}
"""Cases at which the official scorer stops with an error of its own."""


def _points(truth: Sequence[bool], values: Any, weights: Any) -> list[tuple[Fraction, Fraction]]:
    """Walk the ROC curve in exact fractions: false and true positive rate at each threshold."""
    rows = [(float(v), t, Fraction(float(w))) for v, t, w in zip(values, truth, weights)]
    totals = [sum(w for _, t, w in rows if t == kind) for kind in (False, True)]
    thresholds = sorted({v for v, _, w in rows if w}, reverse=True)
    points = [(Fraction(0), Fraction(0))]
    for threshold in thresholds:
        above = [sum(w for v, t, w in rows if v >= threshold and t == k) for k in (False, True)]
        points.append((Fraction(above[0], 1) / totals[0], Fraction(above[1], 1) / totals[1]))
    return points


def _above(points: list[tuple[Fraction, Fraction]], floor: Fraction) -> tuple[Fraction, Fraction]:
    """Integrate the curve where it is at 0.8 or higher: all below it, and what is above `floor`."""
    under = over = Fraction(0)
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if y1 < floor or (y0 < floor and y1 == floor):
            continue
        if y0 < floor:
            x0, y0 = x0 + (x1 - x0) * (floor - y0) / (y1 - y0), floor
        under += (x1 - x0) * (y0 + y1) / 2
        over += (x1 - x0) * (y0 + y1 - 2 * floor) / 2
    return under, over


def _average_precision(truth: Sequence[bool], values: Any, weights: Any) -> Fraction:
    rows = [(float(v), t, Fraction(float(w))) for v, t, w in zip(values, truth, weights) if w]
    positive = sum(w for _, t, w in rows if t)
    total = Fraction(0)
    for threshold in {v for v, _, _ in rows}:
        chosen = sum(w for v, _, w in rows if v >= threshold)
        right = sum(w for v, t, w in rows if v >= threshold and t)
        gained = sum(w for v, t, w in rows if v == threshold and t)
        total += Fraction(right) / chosen * gained / positive
    return total


def _class_reference(truth: Sequence[bool], values: Any, weights: Any) -> dict[str, float]:
    """Score one class by loops over its images."""
    count = {(t, p): Fraction(0) for t in (True, False) for p in (True, False)}
    for flag, value, weight in zip(truth, values, weights):
        count[flag, bool(value > 0.5)] += Fraction(float(weight))
    tp, fn, fp, tn = (
        count[k] for k in ((True, True), (True, False), (False, True), (False, False))
    )
    scores = {
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
        "sensitivity": tp / (tp + fn) if tp + fn else 1,
        "specificity": tn / (tn + fp) if tn + fp else 1,
        "dice": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1,
        "ppv": tp / (tp + fp) if tp + fp else 1,
        "npv": tn / (tn + fn) if tn + fn else 1,
    }
    if tp + fn and tn + fp:
        points = _points(truth, values, weights)
        area = _above(points, Fraction(0))[0]
        under, over = _above(points, Fraction(4, 5))
        scores |= {"auc": area, "auc_sens_80": under, "pauc": over}
        scores["ap"] = _average_precision(truth, values, weights)
    return {name: float(scores.get(name, NAN)) for name in METRICS}


def _balanced_reference(case: Case, weights: Any) -> float:
    recalls = []
    for number in range(len(case.codes)):
        rows = [row for row, label in enumerate(case.labels) if label == number and weights[row]]
        if rows:
            right = [row for row in rows if _winner(case.values[row]) == number]
            recalls.append(sum(weights[row] for row in right) / sum(weights[row] for row in rows))
    return sum(recalls) / len(recalls) if recalls else NAN


def _winner(values: Any) -> int | None:
    first, second = sorted(range(len(values)), key=lambda place: -values[place])[:2]
    return None if values[first] == values[second] else first


def _reference(case: Case) -> pd.DataFrame:
    """Make the whole table."""

    def table(weights: Any) -> pd.DataFrame:
        rows = {}
        for number, code in enumerate(case.codes):
            truth = [label == number for label in case.labels]
            rows[code] = _class_reference(truth, case.values[:, number], weights)
        made = pd.DataFrame(rows).T
        made.loc["macro_average"] = [np.nanmean(made[[name]].to_numpy()) for name in METRICS]
        return made

    made = table(case.score)
    balanced = [_balanced_reference(case, weights) for weights in (case.score, case.validation)]
    ranks = [balanced[0], balanced[1]]
    if case.metric in METRICS:
        ranks[0] = made.loc["macro_average", case.metric]
        ranks[1] = table(case.validation).loc["macro_average", case.metric]
    for name, value in zip(("balanced_accuracy", "overall", "validation"), [balanced[0], *ranks]):
        made.loc["aggregate", name] = value
    return made


@pytest.mark.parametrize("name", CASES | STOPS)
def test_every_number_is_that_of_the_scorers_rules_in_exact_fractions(
    name: str, tmp_path: Path
) -> None:
    case = (CASES | STOPS)[name]
    paths = tmp_path / "truth.csv", tmp_path / "prediction.csv"
    case.truth.to_csv(paths[0], index=False)
    case.prediction.to_csv(paths[1], index=False)

    scores = official_scores(*paths)

    pd.testing.assert_frame_equal(scores, _reference(case), rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(official_scores(case.truth, case.prediction), scores)

"""The official scorer's numbers, against its rules in exact fractions, written another way."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

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
        _TRUE, _FAIR, ids=[f"ISIC_003506{last}" for last in range(5, 10)]
    ),
    "columns in another order": Case(
        _TRUE, _FAIR, order=lambda table: table[["C", "A", "image", "B"]]
    ),
    "rows in another order": Case(_TRUE, _FAIR, order=lambda table: table.iloc[[3, 0, 4, 2, 1]]),
    "names of files": Case(
        _TRUE, _FAIR, ids=[*"abcde"], named=["a.jpg", "b.JPG", "c", "d.jpg", "e"]
    ),
    "tiny values": Case(_TRUE, np.array(_FAIR) * 1e-60),
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
    "seven classes": _drawn(3, FORMS["isic2018"].codes, 50),
    "seven classes with weights and ties": _drawn(
        4, FORMS["isic2018"].codes, 50, digits=1, weighted=True
    ),
    "nine classes": _drawn(5, FORMS["isic2019"].codes, 60, digits=3, weighted=True),
    "eleven classes": _drawn(
        6, FORMS["milk10k"].codes, 60, column="lesion_id", metric="dice", digits=2
    ),
    "eleven classes with weights": _drawn(
        7, FORMS["milk10k"].codes, 60, column="lesion_id", metric="dice", weighted=True
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


def _rows(truth: Sequence[bool], values: Any, weights: Any) -> list[tuple[float, bool, Fraction]]:
    triples = zip(values, truth, weights, strict=True)
    return [(float(value), flag, Fraction(float(weight))) for value, flag, weight in triples]


def _points(truth: Sequence[bool], values: Any, weights: Any) -> list[tuple[Fraction, Fraction]]:
    """Walk the ROC curve in exact fractions: false and true positive rate at each threshold."""
    rows = [
        (float(v), t, Fraction(float(w))) for v, t, w in zip(values, truth, weights, strict=True)
    ]
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
    for (x0, y0), (x1, y1) in pairwise(points):
        if y1 < floor or (y0 < floor and y1 == floor):
            continue
        if y0 < floor:
            x0, y0 = x0 + (x1 - x0) * (floor - y0) / (y1 - y0), floor
        under += (x1 - x0) * (y0 + y1) / 2
        over += (x1 - x0) * (y0 + y1 - 2 * floor) / 2
    return under, over


def _average_precision(truth: Sequence[bool], values: Any, weights: Any) -> Fraction:
    rows = [
        (float(v), t, Fraction(float(w)))
        for v, t, w in zip(values, truth, weights, strict=True)
        if w
    ]
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
    for flag, value, weight in zip(truth, values, weights, strict=True):
        count[flag, bool(value > 0.5)] += Fraction(float(weight))
    tp, fn, fp, tn = (
        count[k] for k in ((True, True), (True, False), (False, True), (False, False))
    )
    scores = {
        "accuracy": (tp + tn) / (tp + tn + fp + fn) if any(weights) else NAN,
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
    return _mean(recalls)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NAN


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
        made.loc["macro_average"] = [_mean(made[name].tolist()) for name in METRICS]
        return made

    made, other = table(case.score), table(case.validation)
    balanced = [_balanced_reference(case, weights) for weights in (case.score, case.validation)]
    ranks = balanced
    if case.metric in METRICS:
        ranks = [float(x[case.metric].to_numpy()[-1]) for x in (made, other)]
    columns = ["balanced_accuracy", "overall", "validation"]
    made.loc["aggregate", columns] = [balanced[0], *ranks]
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


def _target(values: Sequence[float], truth: Sequence[float], name: str) -> tuple[Any, Any]:
    ids = [f"i{place}" for place in range(len(truth))]
    return (
        pd.DataFrame({name: ids, "target": truth, "lesion_id": "L", "age": 50}),
        pd.DataFrame({name: ids, "target": values}),
    )


@pytest.mark.parametrize(
    ("falling", "area"),
    [
        ("pppppnnnnn", 0.2),  # every positive before every negative
        ("nnnnnppppp", 0.0),
        ("ppppnpnnnn", 0.16),  # one negative before the last fifth of the positives
        ("ppppnnnnnp", 0.0),
        ("p=p=p=p=p=n=n=n=n=n", 0.02),  # the diagonal
        ("pppp=p=n=n=n=n=n", 0.05),  # a straight line from (0, 3/5) to (1, 1), above 4/5
        ("pppnpppppnnpnnp", 0.04),  # level at 8/10, then 2/5 of the negatives at 9/10
    ],
)
def test_the_score_of_isic_2024_is_the_area_between_the_curve_and_a_sensitivity_of_0_8(
    falling: str, area: float
) -> None:
    ranked = _ranked(falling)
    truth = [float(label == 0) for label in ranked.labels]

    scores = official_scores(*_target(ranked.values[:, 0].tolist(), truth, "isic_id"))

    assert [*scores.index] == ["target", "macro_average", "aggregate"]
    assert scores.loc["aggregate", "overall"] == pytest.approx(area, abs=1e-15)
    assert np.isnan(scores["balanced_accuracy"].to_numpy()).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_partial_area_is_that_of_scikit_learn_with_both_classes_turned_around(
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    truth = np.r_[0.0, 1.0, generator.integers(0, 2, 200)]
    values = (0.3 * truth + 0.7 * generator.random(202)).round(1 + seed)

    scores = official_scores(*_target(values.tolist(), truth.tolist(), "isic_id"))

    standardized = roc_auc_score(1 - truth, -values, max_fpr=0.2)
    least, most = 0.2**2 / 2, 0.2
    area = least + (2 * standardized - 1) * (most - least)
    assert scores.loc["aggregate", "overall"] == pytest.approx(area, abs=1e-12)


def test_isic_2020_ranks_by_the_area_under_the_curve_and_takes_integers() -> None:
    scores = official_scores(*_target([0, 1, 1, 0, 1], [0, 1, 0, 1, 1], "image_name"))

    assert scores.loc["aggregate", "overall"] == pytest.approx((0.5 + 0 + 0.5 + 1 + 0.5 + 1) / 6)


def test_the_classes_of_the_challenge_are_scored_by_their_mean_recall() -> None:
    ids = [*"abcd"]
    truth = pd.DataFrame({"ID": ids, "CLASS": [1, 1, 2, 8], "AGE": 40})

    scores = official_scores(truth, pd.DataFrame({"ID": ids, "CLASS": [1, 2, 2, 8]}))

    assert scores.loc["aggregate", "overall"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert [scores[x]["NV"] for x in ("sensitivity", "specificity", "ppv")] == [1, 2 / 3, 1 / 2]
    assert scores["sensitivity"][["SCC", "AK"]].tolist() == [1, 1]  # AK has no image


def _files(truth: str, prediction: str, folder: Path) -> tuple[Path, Path]:
    for name, text in {"truth.csv": truth, "prediction.csv": prediction}.items():
        (folder / name).write_text(text.replace(" ", "\n"))
    return folder / "truth.csv", folder / "prediction.csv"


_TRUTH = "image,A,B x,1,0 y,0,1 z,1,0"
_2018, _2019 = ("image," + ",".join(FORMS[name].columns) for name in ("isic2018", "isic2019"))


@pytest.mark.parametrize(
    ("truth", "prediction", "found"),
    [
        (_TRUTH, "image,A,B x,.7,.3 y,.2,.8", "the 3 ids of the truth, but got 1 missing (z)."),
        (_TRUTH, "image,A,B x,.7,.3 y,.2,.8 z,.1,.9 w,.1,.9", "got 1 unexpected (w). Predict each"),
        (
            _TRUTH,
            "image,A,B x,.7,.3 y,.2,.8 x.jpg,.1,.9",
            "once, but got 1 other (row 4 (x): again",
        ),
        (_TRUTH, "image,A,B x,.7,.3 ,.2,.8", "an id in each row, but got none in row 3."),
        (_TRUTH, "image,A x,.7 y,.2", "columns image, A, B, but got 1 missing (B)."),
        (_TRUTH, "image,A,B,C x,.7,.2,.1 y,.2,.8,0", "A, B, but got 1 unexpected (C)."),
        (_TRUTH, "ID,A,B x,.7,.3", "got 1 missing (image) and 1 unexpected (ID)."),
        (
            _TRUTH,
            "image,A,B x,.7,.3 y,,.8",
            "without missing values, but got 1 other (row 3 (y): A)",
        ),
        (_TRUTH, "image,A,B x,.7,NaN y,NA,.8 z,.1,.2", "got 2 other (row 2 (x): B, row 3 (y): A)"),
        (
            _TRUTH,
            "image,A,B x,.7,.3 y,.2,high",
            "numbers in B, but got 1 other (row 3 (y): 'high')",
        ),
        (_TRUTH, "image,A,B x,1,.3 y,0,.8 z,0,.1", "integers in A. Write 1.0 for 1; `write_subm"),
        (
            _TRUTH,
            "image,A,B x,1.5,.3 y,-.2,.8 z,.1,.1",
            "row 2 (x): 1.5, row 3 (y): -0.2). Give pro",
        ),
        (
            _TRUTH,
            "image,A,B x,inf,.3 y,.2,.8 z,.1,.1",
            "values in 0..1, but got 1 other (row 2 (x):",
        ),
        (_TRUTH, "image,A,A x,.7,.3", "each column once, but got A twice."),
        (_TRUTH, "image,A,B", "a row for each image, but got a header only."),
        (_TRUTH, "image x", "a table of several columns, but got image alone."),
        (
            f"{_2018} x,1,0,0,0,0,0,0",
            f"{_2019} x{',.1' * 9}",
            "of isic2018 and the prediction of i",
        ),
        ("image,A,B x,1,1", "", "one class a row, but got 1 other (row 2 (x): 2)"),
        (
            "image,A,B x,1,0 y,.5,.5",
            "",
            "a truth of 0 and 1, but got 1 other (row 3 (y): 0.5, 0.5)",
        ),
        (
            "image,A,B x,1,0 x,0,1",
            "",
            "truth.csv` to be a table with each id once, but got 1 other (r",
        ),
        ("image,A,B,score_weight x,1,0,-1", "", "`score_weight` is 0 or more, but got 1 other (ro"),
        ("image,A,B,score_weight x,1,0,0", "", "some image has a score_weight, but got 0 for all."),
        ("image,score_weight x,1", "", "a column for each class, but got none."),
        ("dx,A,B x,1,0", "", "one of the forms challenge, isic2018, isic2019, isic2020, isic2024,"),
        ("ID,CLASS x,9", "", "a table whose CLASS is 1..8, but got 1 other (row 2 (x): 9)."),
        (
            "isic_id,target x,2",
            "",
            "a truth of 0 and 1, but got 1 other (row 2 (x): 2.0). The truth comes",
        ),
    ],
)
def test_what_the_scorer_refuses_or_cannot_mean_is_one_sentence_that_names_it(
    truth: str, prediction: str, found: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(found)) as error:
        official_scores(*_files(truth, prediction, tmp_path))

    assert str(error.value).startswith(f"Expected `{tmp_path}")


def test_a_form_takes_its_columns_of_the_truth_and_refuses_the_truth_of_another_year() -> None:
    case = CASES["seven classes"]
    truth = case.truth.assign(lesion="L1")

    scores = official_scores(truth, case.prediction, form="isic2018")

    pd.testing.assert_frame_equal(scores, official_scores(case.truth, case.prediction))
    with pytest.raises(
        ValueError, match=r"one without AK, SCC, UNK. It is to be a truth of isic2019"
    ):
        official_scores(truth, case.prediction, form="isic2019")
    with pytest.raises(
        ValueError, match=r"`form` to be one of 'challenge', 'isic2018', .*'milk10k'"
    ):
        official_scores(truth, case.prediction, form="isic2021")
    with pytest.raises(TypeError, match=r"`truth` to be the path of a CSV file or a data frame"):
        official_scores(7, case.prediction)  # type: ignore[arg-type]


def test_rows_are_numbered_as_a_spreadsheet_does_after_empty_ones(tmp_path: Path) -> None:
    files = _files(_TRUTH, "sep=; image;A;B ;; x;.7;.3 y;.2;2", tmp_path)

    with pytest.raises(ValueError, match=re.escape("row 4 (y): 2")):
        official_scores(*files)


def test_numbers_of_a_file_are_read_exactly(tmp_path: Path) -> None:
    value = 0.1 + 0.2  # 0.30000000000000004, one bit above 0.3
    files = _files(_TRUTH, f"image,A,B x,{value!r},0.3 y,0.3,{value!r} z,0.3,0.3", tmp_path)

    scores = official_scores(*files)

    assert scores.loc["aggregate", "balanced_accuracy"] == (1 / 2 + 1) / 2


def test_a_frame_of_text_or_without_all_classes_of_numbers_is_read_as_its_file_is() -> None:
    case = CASES["ordinary"]
    text = case.prediction.map(str)

    scores = official_scores(case.truth.astype({"A": int}), text)

    pd.testing.assert_frame_equal(scores, official_scores(case.truth, case.prediction))
    with pytest.raises(ValueError, match=r"numbers in A, but got 5 other \(row 2 .*: True"):
        official_scores(case.truth, case.prediction.assign(A=True))

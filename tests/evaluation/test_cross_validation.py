import copy
import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from dermolib import grouped_split
from dermolib.evaluation import cross_validate


class Points:
    """Points (N, 2) of three classes, one or two of each lesion."""

    def __init__(self, count: int, *, seed: int = 0, transform: Any = None) -> None:
        generator = np.random.default_rng(seed)
        self.groups = np.array([f"L{number}" for number in generator.integers(0, count, count)])
        of_lesion = dict(zip(np.unique(self.groups), np.arange(count) % 3, strict=False))
        self.labels = np.array([of_lesion[name] for name in self.groups])
        self.ids = np.array([f"I{row:03d}" for row in range(count)])
        self.features = generator.normal(size=(count, 2)) + self.labels[:, None]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, rows: Any) -> "Points":
        other = copy.copy(self)
        for name in ("groups", "labels", "ids", "features"):
            setattr(other, name, getattr(self, name)[rows])
        return other

    def with_transform(self, transform: Any) -> "Points":
        other = copy.copy(self)
        other.transform = transform
        return other


class Logistic:
    """A logistic regression that notes what it was given."""

    def __init__(self, strength: float = 1.0) -> None:
        self.configuration = {"C": strength}
        self.model = LogisticRegression(C=strength)
        self.seen: list[list[Points]] = []
        self.asked: list[Points] = []

    def fit(self, *sets: Points) -> None:
        self.seen.append([*sets])
        self.model.fit(sets[0].features, sets[0].labels)

    def predict(self, data: Points, *, sharpness: float = 1.0) -> Any:
        self.asked.append(data)
        found = self.model.predict_proba(data.features) ** sharpness
        return found / found.sum(axis=1, keepdims=True)


class Fold:
    """Builds models and keeps them by fold."""

    def __init__(self, make: Callable[[], Any] = Logistic) -> None:
        self.make = make
        self.models: dict[int, Any] = {}

    def __call__(self, fold: int) -> Any:
        self.models[fold] = self.make()
        return self.models[fold]

    @property
    def trained(self) -> list[int]:
        return [fold for fold, model in self.models.items() if model.seen]


DATA = Points(90)


def test_the_probabilities_are_those_of_scikit_learns_cross_val_predict() -> None:
    found = cross_validate(Fold(), DATA, folds=4, seed=2)

    fold_of = np.empty(90, int)
    for number, rows in enumerate(grouped_split(DATA, folds=4, seed=2)):
        fold_of[rows] = number
    expected = cross_val_predict(
        LogisticRegression(),
        DATA.features,
        DATA.labels,
        cv=PredefinedSplit(fold_of),
        method="predict_proba",
    )
    assert np.allclose(found.probabilities, expected, atol=1e-12)
    assert found.table["fold"].tolist() == fold_of.tolist()
    assert found.table["id"].tolist() == DATA.ids.tolist()
    assert found.target.tolist() == DATA.labels.tolist()
    assert found.groups.tolist() == DATA.groups.tolist()
    assert list(found.table)[4:] == ["0", "1", "2"]


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 5), st.integers(0, 50), st.one_of(st.none(), st.floats(0.1, 0.5)))
def test_no_model_sees_a_lesion_that_it_predicts(
    folds: int, seed: int, validation: float | None
) -> None:
    build = Fold()

    cross_validate(build, DATA, folds=folds, seed=seed, validation=validation)

    for model in build.models.values():
        (sets,), (asked,) = model.seen, model.asked
        seen = [set(one.groups) for one in sets]
        assert len(sets) == (1 if validation is None else 2)
        assert not set.union(*seen) & set(asked.groups)
        assert len(set.union(*seen)) == sum(map(len, seen))
        assert sum(map(len, [*sets, asked])) == 90


def test_each_set_has_its_transform_and_predict_its_options() -> None:
    build = Fold()
    extra = Points(7, seed=5)

    found = cross_validate(
        build,
        DATA,
        folds=3,
        train_transform="augmenting",
        evaluation_transform="plain",
        validation=0.2,
        extra=extra,
        predict_options={"sharpness": 3.0},
    )

    for model in build.models.values():
        assert [one.transform for one in model.seen[0]] == ["augmenting", "plain"]
        assert [one.transform for one in model.asked] == ["plain", "plain"]
    of_folds = [model.predict(extra, sharpness=3.0) for model in build.models.values()]
    assert found.extra is not None
    assert np.allclose(found.extra, np.mean(of_folds, axis=0), atol=1e-15)
    assert DATA.transform is None


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    extra = Points(7, seed=5)
    whole = cross_validate(Fold(), DATA, folds=3, extra=extra)
    failing = Fold()

    class Broken(Logistic):
        def predict(self, data: Points, *, sharpness: float = 1.0) -> Any:
            if len(failing.models) == 2:
                raise KeyboardInterrupt
            return super().predict(data, sharpness=sharpness)

    failing.make = Broken
    with pytest.raises(KeyboardInterrupt):
        cross_validate(failing, DATA, folds=3, extra=extra, output=tmp_path)
    resumed, again = Fold(), Fold()

    found = cross_validate(resumed, DATA, folds=3, extra=extra, output=tmp_path)
    read = cross_validate(again, DATA, folds=3, extra=extra, output=tmp_path)

    assert resumed.trained == [1, 2]
    assert again.trained == []
    for one in (found, read):
        pd.testing.assert_frame_equal(one.table, whole.table, check_exact=True)
        assert one.extra is not None
        assert whole.extra is not None
        assert one.extra.tolist() == whole.extra.tolist()
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = [[float(row[code]) for code in "012"] for row in rows]
    assert written == whole.probabilities.tolist()


def test_folds_that_were_computed_apart_come_together(tmp_path: Path) -> None:
    whole = cross_validate(Fold(), DATA, folds=3)
    for number in (2, 0):
        part = cross_validate(Fold(), DATA, folds=3, only=[number], output=tmp_path)
        assert set(part.table["fold"]) == {number}
        assert not (tmp_path / "predictions.csv").exists()
    build = Fold()

    found = cross_validate(build, DATA, folds=3, output=tmp_path)

    assert build.trained == [1]
    assert found.table.equals(whole.table)


def test_resume_false_computes_again(tmp_path: Path) -> None:
    cross_validate(Fold(), DATA, folds=2, output=tmp_path)
    same, other = Fold(), Fold(lambda: Logistic(0.01))

    cross_validate(same, DATA, folds=2, output=tmp_path, resume=False)
    found = cross_validate(other, DATA, folds=2, output=tmp_path, resume=False)

    assert same.trained == other.trained == [0, 1]
    assert found.table.equals(cross_validate(other, DATA, folds=2).table)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"build": Fold(lambda: Logistic(0.5))}, "C 1.0 there, 0.5 here"),
        ({"dataset": Points(90, seed=1)}, "trained on"),
        ({"seed": 1}, "trained on"),
        ({"folds": 2}, "trained on"),
        ({"validation": 0.2}, "validation None there"),
        ({"train_transform": "flips"}, "train transform 'None' there"),
        ({"predict_options": {"sharpness": 2.0}}, "predict_options"),
        ({"extra": Points(3)}, "extra None there"),
    ],
    ids=range(8),
)
def test_a_folder_of_another_cross_validation_is_refused(
    options: dict[str, Any], fragment: str, tmp_path: Path
) -> None:
    usual: dict[str, Any] = {"build": Fold(), "dataset": DATA, "folds": 3, "output": tmp_path}
    cross_validate(**usual)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}

    with pytest.raises(ValueError, match=re.escape("`output` to be a new folder")) as caught:
        cross_validate(**{**usual, **options})

    assert fragment in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == before


def test_changed_and_foreign_files_are_refused(tmp_path: Path) -> None:
    cross_validate(Fold(), DATA, folds=2, output=tmp_path)
    path = tmp_path / "fold-1" / "predictions.csv"
    text = path.read_text()
    path.write_text(text.replace('"L', '"M'))

    with pytest.raises(ValueError, match="`output` to be a folder of files as the job wrote them"):
        cross_validate(Fold(), DATA, folds=2, output=tmp_path)
    path.write_text(text)
    cross_validate(Fold(), DATA, folds=2, output=tmp_path)
    (tmp_path / "predictions.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"`predictions\.csv` is of a cross-validation"):
        cross_validate(Fold(), DATA, folds=2, output=tmp_path)


def test_images_made_from_others_are_trained_on_and_not_predicted() -> None:
    data = Points(40)
    data.groups[20:] = data.groups[:20]
    data.labels[20:] = data.labels[:20]

    class Copied(Points):
        @property
        def table(self) -> pd.DataFrame:
            origin = [""] * 20 + [f"I{row:03d}" for row in range(20)]
            place = [int(name[1:]) for name in self.ids]
            return pd.DataFrame(
                {
                    "id": self.ids,
                    "label": self.labels,
                    "lesion": self.groups,
                    "parent_id": [origin[one] for one in place],
                }
            )

    data.__class__ = Copied
    build = Fold()

    found = cross_validate(build, data, folds=2, validation=0.3)

    assert found.table["id"].tolist() == [f"I{row:03d}" for row in range(20)]
    for model in build.models.values():
        train, validation = model.seen[0]
        assert any(name >= "I020" for name in train.ids)
        assert all(name < "I020" for name in validation.ids)


def test_folds_of_ones_own_are_taken() -> None:
    folds = grouped_split(DATA, folds=3, seed=4)

    found = cross_validate(Fold(), DATA, folds=folds)

    assert found.table.equals(cross_validate(Fold(), DATA, folds=3, seed=4).table)


UNFIT = Points(6)
UNFIT.labels = np.array([0, 1, -1, 0, 1, 2])
TORN = [np.arange(0, 90, 2), np.arange(1, 90, 2)]


class Fixed(Logistic):
    """Says what it is asked to say."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def predict(self, data: Points, *, sharpness: float = 1.0) -> Any:
        del sharpness
        return self.answer(len(data))


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"build": Logistic()}, TypeError, "`build` to be a function of the number of a fold"),
        ({"build": lambda fold: fold}, TypeError, "a model with `fit` and `predict`"),
        ({"dataset": [1, 2]}, TypeError, "`dataset` to be a data set with `labels`"),
        ({"dataset": UNFIT}, ValueError, "Leave images without a label out"),
        ({"folds": 1}, ValueError, "`folds` to be an integer of 2 or more"),
        ({"folds": "five"}, TypeError, "`folds` to be a number of folds, or row numbers"),
        ({"folds": [[0, 1], [1, 2]]}, ValueError, "`folds` to be row numbers in 0..89, each once"),
        ({"folds": TORN}, ValueError, "`folds` to be folds of different groups"),
        ({"folds": 1000}, ValueError, "rows of at least 1000 groups"),
        ({"only": [3]}, ValueError, "`only` to be an integer in 0..2"),
        ({"only": []}, TypeError, "`only` to be numbers of folds in 0..2"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
        ({"validation": 1.0}, ValueError, "`validation` to be a number above 0 and below 1"),
        ({"resume": 1}, TypeError, "`resume` to be True or False"),
        ({"output": 3}, TypeError, "`output` to be a path"),
        ({"build": lambda _: Fixed(lambda n: np.full((n, 3), 0.5))}, ValueError, "sum to 1"),
        ({"build": lambda _: Fixed(lambda n: np.full((n + 1, 3), 1 / 3))}, ValueError, "fold 0"),
        ({"build": lambda _: Fixed(lambda n: np.full((n, 2), 0.5))}, ValueError, "each class"),
        ({"build": lambda _: Fixed(lambda n: np.full((n, 3), np.nan))}, ValueError, "finite"),
    ],
    ids=range(19),
)
def test_unfit_arguments_are_refused(
    options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    given = {"build": Fold(), "dataset": DATA, "folds": 3, **options}

    with pytest.raises(error, match=re.escape(fragment)):
        cross_validate(**given)


def test_one_model_for_all_folds_is_refused() -> None:
    model = Logistic()
    with pytest.raises(ValueError, match=r"`build`.*a new model.*the same one"):
        cross_validate(lambda _: model, Points(60), folds=3)

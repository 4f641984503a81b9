import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from dermolib import ISICDataset, build_model, make_synthetic_challenge, preset
from dermolib.evaluation import Features, fit_svm, svm, svm_classifier
from dermolib.evaluation.svm import lesion_splits

ONE = {"C": (1.0,)}


def clouds(counts: tuple[int, ...] = (60, 30, 30), *, distance: float = 3.0, seed: int = 0) -> Any:
    """Draw clouds of points, one for each class, two points for each lesion."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    values = generator.normal(size=(len(labels), 8))
    values[np.arange(len(labels)), labels] += distance
    lesions = np.concatenate([100 * number + np.arange(n) // 2 for number, n in enumerate(counts)])
    order = generator.permutation(len(labels))
    return Features(
        values[order].astype(np.float32),
        labels=labels[order],
        groups=lesions[order].astype(str).astype(object),
    )


def fit(data: Any, **options: Any) -> Any:
    """Fit one kind of SVM without an estimate, unless other options are given."""
    return fit_svm(data, **{"grid": ONE, "folds": None, **options})


def test_the_pipeline_is_that_of_scikit_learn() -> None:
    data = clouds()

    ours = svm_classifier(C=2.0, gamma=0.1, components=3, class_weight=None)

    by_hand = make_pipeline(
        StandardScaler(),
        PCA(3, random_state=0),
        CalibratedClassifierCV(SVC(C=2.0, gamma=0.1), cv=3),
    )
    np.testing.assert_allclose(
        ours.fit(data.values, data.labels).predict_proba(data.values),
        by_hand.fit(data.values, data.labels).predict_proba(data.values),
    )


def test_landmarks_come_near_to_the_exact_kernel_and_more_than_rows_are_all_rows() -> None:
    data, other = clouds(), clouds(seed=1)

    exact, near, every = (
        svm_classifier(landmarks=count, seed=1).fit(data.values, data.labels)
        for count in (None, 100, 10_000)
    )

    for svm_of_some in (near, every):
        agreeing = exact.predict(other.values) == svm_of_some.predict(other.values)
        assert agreeing.mean() > 0.9


def test_balanced_classes_raise_the_recall_of_a_rare_one() -> None:
    data, other = clouds((200, 12), distance=1.5), clouds((100, 100), distance=1.5, seed=1)

    balanced, plain = (
        svm_classifier(calibrated=False, class_weight=weight).fit(data.values, data.labels)
        for weight in ("balanced", None)
    )

    rare = other.labels == 1
    recalls = [svm.predict(other.values[rare]).mean() for svm in (balanced, plain)]
    assert recalls[0] > recalls[1] + 0.1


@settings(max_examples=60)
@given(
    lesions_of_class=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    folds=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_no_lesion_is_on_both_sides_and_every_training_fold_has_every_class(
    lesions_of_class: list[int], folds: int, seed: int
) -> None:
    kinds = np.repeat(np.arange(len(lesions_of_class)), lesions_of_class)
    sizes = np.random.default_rng(seed).integers(1, 5, len(kinds))
    labels, lesions = np.repeat(kinds, sizes), np.repeat(np.arange(len(kinds)) * 3, sizes)

    splits = lesion_splits(labels, lesions, folds, seed)

    alone = np.flatnonzero(np.asarray(lesions_of_class) == 1)
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested) == np.flatnonzero(~np.isin(labels, alone)).tolist()
    for train, test in splits:
        assert not set(lesions[train]) & set(lesions[test])
        assert set(labels[train]) == set(labels)
        assert len(train) + len(test) == len(labels)


def test_folds_have_as_many_rows_of_each_class_and_of_two_labels_the_rarer_counts() -> None:
    labels = np.repeat([0, 1, 2], [300, 60, 9])
    several = np.array([0, 0, 0, 0, 0, 0, 1, 1])

    splits = lesion_splits(labels, np.arange(369), 3, 0)
    halves = lesion_splits(several, np.array([0, 1, 2, 3, 4, 5, 4, 5]), 2, 0)

    assert [np.bincount(labels[test]).tolist() for _, test in splits] == [[100, 20, 3]] * 3
    assert all((several[test] == 1).sum() == 1 for _, test in halves)


def test_lesions_stay_in_one_fold_in_tuning_calibration_and_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = clouds()
    numbers = np.unique(data.groups, return_inverse=True)[1]
    made: list[tuple[int, int]] = []

    def noted(
        labels: npt.NDArray[np.int64], lesions: npt.NDArray[np.intp], folds: int, seed: int
    ) -> Any:
        splits = lesion_splits(labels, lesions, folds, seed)
        made.append((len(labels), folds))
        assert set(lesions) <= set(numbers)
        assert all(not set(lesions[train]) & set(lesions[test]) for train, test in splits)
        return splits

    monkeypatch.setattr(svm, "lesion_splits", noted)

    fit_svm(data, grid={"C": (1, 10)}, folds=2)

    assert [folds for _, folds in made] == [2, 3, 3, 3]
    assert [rows for rows, _ in made] == [120, *(n for n, _ in made[1:3]), 120]


def test_features_that_only_identify_lesions_score_no_better_than_chance() -> None:
    generator = np.random.default_rng(0)
    places = generator.normal(size=(60, 8)) * 5
    lesions = np.repeat(np.arange(60), 4)
    labels = np.repeat(generator.permutation(np.arange(60) % 2), 4)
    values = (places[lesions] + generator.normal(size=(240, 8)) * 0.01).astype(np.float32)
    options: Any = {"grid": {"C": (100,)}, "folds": 4, "num_classes": 2}

    by_lesion, by_image = (
        fit(Features(values, labels=labels), groups=groups, **options).estimate.score
        for groups in (lesions, np.arange(240))
    )

    assert by_lesion < 0.65
    assert by_image > 0.95


def test_the_estimate_is_what_new_lesions_score() -> None:
    data, new = clouds((150, 80, 80), distance=2), clouds((500, 500, 500), distance=2, seed=1)

    fitted: Any = fit_svm(data, num_classes=3)

    score = balanced_accuracy_score(new.labels, fitted.predict(new))
    assert fitted.estimate.low - 0.02 < score < fitted.estimate.high + 0.02
    assert (fitted.estimate.n, fitted.estimate.groups) == (310, 155)
    assert fitted.chosen["C"] in (1, 3)
    assert fitted.chosen["gamma"] in (0.1 / 8, 0.3 / 8)


def test_probabilities_stand_in_the_order_of_all_classes() -> None:
    data = clouds()
    moved = Features(data.values, labels=np.array([1, 4, 6])[data.labels], groups=data.groups)

    fitted = fit(moved, num_classes=8)

    found = fitted.predict_proba(moved)
    assert found.shape == (120, 8)
    assert fit(moved).num_classes == 7  # as many as the labels tell
    assert (found[:, [0, 2, 3, 5, 7]] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (fitted.predict(moved) == moved.labels).mean() > 0.9
    assert fitted.estimate is None


def test_probabilities_are_calibrated() -> None:
    data, new = (
        clouds((600, 200, 120), distance=1.5),
        clouds((3000, 1000, 600), distance=1.5, seed=1),
    )

    fitted = fit(data, num_classes=3)

    found = fitted.predict_proba(new)
    for number in range(3):
        for low in (0.0, 0.2, 0.4, 0.6, 0.8):
            inside = (found[:, number] >= low) & (found[:, number] < low + 0.2)
            if inside.sum() > 100:
                fraction = (new.labels[inside] == number).mean()
                assert abs(fraction - found[inside, number].mean()) < 0.15


def test_a_decision_weighs_a_rare_class_like_a_frequent_one() -> None:
    data, new = clouds((400, 20), distance=1.5), clouds((300, 300), distance=1.5, seed=1)

    fitted = fit(data, num_classes=2)

    found = fitted.predict(new), fitted.predict_proba(new).argmax(axis=1)
    decided, likeliest = (balanced_accuracy_score(new.labels, labels) for labels in found)
    assert decided > likeliest + 0.1


def test_a_class_with_a_single_lesion_is_trained_on_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = clouds((60, 30, 2))

    fitted = fit(data, folds=4, num_classes=3)

    assert "Classes with a single lesion cannot be calibrated or tested: 2." in caplog.text
    assert fitted.estimate.n == 90
    assert (fitted.predict(clouds((60, 30), seed=1)) == 2).mean() < 0.1


def test_calibration_leaves_decisions_nearly_as_they_are() -> None:
    data, new = clouds((200, 60, 30), distance=2), clouds((200, 200, 200), distance=2, seed=1)

    with_curves, without = (
        fit(data, calibrated=calibrated).predict(new) for calibrated in (True, False)
    )

    assert (with_curves == without).mean() > 0.9


def test_without_calibration_the_svm_predicts_by_its_margins() -> None:
    data = clouds()

    fitted = fit(data, folds=4, calibrated=False, num_classes=3)

    assert fitted.estimate.score > 0.9
    np.testing.assert_array_equal(fitted.predict(data), fitted.pipeline.predict(data.values))
    assert fitted.pipeline.decision_function(data.values).shape == (120, 3)
    with pytest.raises(RuntimeError, match="Fit it with `calibrated=True`"):
        fitted.predict_proba(data)


def test_many_rows_take_landmarks_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "dermolib")
    few = fit(clouds())
    monkeypatch.setattr(svm, "_MOST_EXACT", 100)
    monkeypatch.setattr(svm, "_LANDMARKS", 50)
    exact = fit(clouds(), landmarks=None)
    assert caplog.text == ""

    fitted = fit(clouds())

    assert "120 rows are too many for an exact kernel" in caplog.text
    assert "approximated from 50 of them" in caplog.text
    assert (fitted.predict(clouds(seed=1)) == clouds(seed=1).labels).mean() > 0.9
    np.testing.assert_array_equal(few.predict_proba(clouds()), exact.predict_proba(clouds()))


def test_the_same_seed_gives_the_same_svm_with_any_number_of_workers() -> None:
    data = clouds(distance=1.5)

    one, two = (fit_svm(data, workers=workers, landmarks=30, seed=3) for workers in (1, 2))

    assert (one.estimate, one.chosen) == (two.estimate, two.chosen)
    np.testing.assert_array_equal(one.predict_proba(data), two.predict_proba(data))


def test_one_call_goes_from_images_to_a_fitted_svm(tmp_path: Path) -> None:
    root = tmp_path / "challenge"
    make_synthetic_challenge(root, images_per_class=12, image_size=32, seed=0)
    dataset = ISICDataset.from_challenge(root, transform=preset("evaluation", image_size=32))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model("custom_cnn", image_size=32)

    fitted: Any = fit_svm(dataset, model, grid=ONE, folds=2, cache=tmp_path / "f.npz", batch_size=8)

    again = fit_svm(dataset, model, grid=ONE, folds=2, cache=tmp_path / "f.npz")
    assert fitted.estimate == again.estimate
    assert fitted.estimate.n == len(dataset)
    assert fitted.estimate.groups == len(set(dataset.groups))


@pytest.mark.parametrize(
    ("changes", "error", "fragment"),
    [
        ({"labels": None}, ValueError, "labels in 0..K-1, but got features without labels"),
        ({"labels": np.repeat([0, -1], 60)}, ValueError, "got 60 of 120 rows without one. Take"),
        ({"labels": np.where(np.arange(120) < 40, np.nan, 1)}, ValueError, "got 40 of 120 rows"),
        (
            {"labels": np.zeros(120, int)},
            ValueError,
            "of two classes or more with labels in 0..K-1, but got the labels 0.",
        ),
        ({"labels": np.arange(50) % 3}, ValueError, "`labels` to be an integer for each of 120"),
        ({"labels": np.arange(120) % 3 + 0.5}, ValueError, "for each of 120 rows, but got 0.5"),
        ({"labels": np.array(list("abc") * 40)}, TypeError, "Number the classes from 0."),
        ({"groups": None}, ValueError, "Pass `dataset.groups`, or `numpy.arange(N)` where each"),
        ({"values": np.zeros(120)}, ValueError, "`features` to be an array (N, D) of one row or"),
        ({"values": np.zeros((0, 8))}, ValueError, "of one row or more, but got shape (0, 8)."),
        ({"values": np.full((120, 2), "a")}, TypeError, "row or more of numbers, but got dtype"),
    ],
)
def test_unfit_features_are_refused(
    changes: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        fit_svm(dataclasses.replace(clouds(), **changes))


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"groups": [1, 2]}, ValueError, "`groups` to be the lesion of each row (120,), but got"),
        ({"groups": np.arange(120) // 20}, ValueError, "8 lesions or more, for 4 folds, but got 6"),
        ({"groups": [1, "a"] * 60}, TypeError, "for an unknown lesion, but got several types"),
        ({"folds": 1}, ValueError, "`folds` to be an integer of 2 or more"),
        ({"num_classes": 1}, ValueError, "`num_classes` to be an integer of 2 or more"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more"),
        ({"landmarks": "all"}, ValueError, "`landmarks` to be one of 'auto'"),
        ({"landmarks": 0}, ValueError, "`landmarks` to be an integer of 1 or more"),
        ({"components": 0}, ValueError, "`components` to be an integer in 1..8, but got 0."),
        ({"components": 9}, ValueError, "`components` to be an integer in 1..8, but got 9."),
        ({"calibrated": "no"}, TypeError, "`calibrated` to be True or False"),
        ({"grid": {"c": (1,)}}, ValueError, "`grid` to be one of 'C', 'gamma', but got 'c'."),
        (
            {"grid": {"C": ()}},
            ValueError,
            "`grid['C']` to be one value to try or more, but got none",
        ),
        ({"grid": {"C": (0,)}}, ValueError, "`C` to be a number above 0"),
        ({"grid": {"gamma": ("auto",)}}, ValueError, "`gamma` to be one of 'scale'"),
        ({"grid": {"gamma": (-1,)}}, ValueError, "`gamma` to be a number above 0"),
        (
            {"grid": {"C": 5}},
            TypeError,
            "to try or more, but got an object of type int. Pass `(5,)`",
        ),
        ({"grid": {"gamma": "scale"}}, TypeError, "Pass `('scale',)` for a single one."),
        ({"grid": [1]}, TypeError, "`grid` to be values by name, but got an object of type list"),
        ({"cache": "f.npz", "flips": True}, TypeError, "but got `Features` and `cache`, `flips`."),
    ],
)
def test_unfit_options_are_refused(
    options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        fit_svm(clouds(), **options)


def test_features_of_another_shape_and_those_that_are_not_finite_are_refused() -> None:
    data = clouds()
    fitted = fit(data)
    broken = data.values.copy()
    broken[[5, 7], 1] = np.nan, -np.inf
    named = Features(broken, np.array([f"IMG_{n}" for n in range(120)]), data.labels)
    sentences: list[tuple[Any, str]] = [
        (data.values[:, :2], "`features` to be an array (N, 8) of one row or more, but got shape"),
        (data.values[0], "but got shape (8,)."),
        (data.values[:0], "but got shape (0, 8)."),
        (broken, "`features of row 5` to be finite, but got NaN or infinity in 2 of 120 rows."),
        (named, "`features of IMG_5` to be finite"),
    ]

    for values, sentence in sentences:
        for method in (fitted.predict, fitted.predict_proba):
            with pytest.raises(ValueError, match=re.escape(sentence)):
                method(values)
    with pytest.raises(ValueError, match="`features of IMG_5` to be finite"):
        fit_svm(named)


def test_rows_of_unknown_lesions_are_lesions_of_their_own() -> None:
    data, rows = clouds(), np.arange(120)
    names: Any = [f"unknown {row}" if row < 20 else data.groups[row] for row in rows]
    nan, none = ([value if row < 20 else names[row] for row in rows] for value in (np.nan, None))
    numbers = np.where(rows < 20, np.nan, rows // 2)

    groupings: Any = (names, nan, none, np.array(none, object), numbers)
    *alike, other = (
        fit(data, folds=4, groups=groups, num_classes=3).estimate.groups for groups in groupings
    )

    assert other == 20 + 50
    assert len({*alike}) == 1


def test_seeds_beyond_32_bits_differ_and_repeat() -> None:
    data = clouds()

    one, other, again = (
        svm_classifier(seed=seed, landmarks=5, components=4)
        .fit(data.values, data.labels)
        .predict_proba(data.values)
        for seed in (2**40, 2**40 + 1, 2**40)
    )

    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"splits": 5}, TypeError, "`splits` to be pairs of row numbers to train and to calib"),
        ({"splits": []}, ValueError, "but got none. Pass None for three folds."),
        ({"splits": [([], [])]}, ValueError, "`splits[0]` to be pairs of row numbers"),
        ({"splits": [([0, 1], [2]), 5]}, ValueError, "`splits[1]` to be pairs of row numbers"),
        ({"class_weight": 5}, TypeError, "`class_weight` to be 'balanced', None or a weight by"),
        ({"class_weight": "even"}, ValueError, "`class_weight` to be one of 'balanced', but got"),
        ({"class_weight": {0: -1}}, ValueError, "`class_weight[0]` to be a number above 0, but"),
        ({"calibrated": "no"}, TypeError, "`calibrated` to be True or False, but got 'no'"),
        ({"calibrated": None}, TypeError, "`calibrated` to be True or False, but got None"),
    ],
)
def test_an_svm_that_could_not_be_fitted_is_refused_when_it_is_built(
    options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        svm_classifier(**options)


def test_weights_by_class_and_splits_of_lists_reach_the_svm() -> None:
    data = clouds()
    rows = np.arange(120)
    splits = [(rows[rows % 2 == side].tolist(), rows[rows % 2 != side]) for side in (0, 1)]

    svm = svm_classifier(class_weight={0: 1.0, 1: 2.0, 2: 5.0}, splits=splits)

    assert svm[-1].estimator.class_weight == {0: 1.0, 1: 2.0, 2: 5.0}
    fitted = svm.fit(data.values, data.labels)
    assert len(fitted[-1].calibrated_classifiers_) == 2


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_plain_array_and_images_without_a_network_are_refused(kind: Any) -> None:
    data = clouds()
    labels: Any = data.labels

    with pytest.raises(TypeError, match=re.escape("pass `Features(values, labels=labels)` as")):
        fit_svm(kind(data.values), labels)
    with pytest.raises(TypeError, match="`model` to be a network to extract features"):
        fit_svm([{"image": torch.zeros(3, 8, 8)}])

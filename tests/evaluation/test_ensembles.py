import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gmean, rankdata
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from dermolib import grouped_split
from dermolib.evaluation import average_predictions, select_ensemble

NAN = np.nan


def drawn(models: int, images: int, classes: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), (models, images))


def answers(
    target: Any, skill: float, generator: np.random.Generator, classes: int = 3
) -> np.ndarray[Any, Any]:
    logits = generator.normal(size=(len(target), classes)) + skill * np.eye(classes)[target]
    return np.asarray(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def test_the_arithmetic_mean_is_that_of_numpy() -> None:
    models = drawn(4, 9)
    weights = [1, 0, 2, 5]

    assert np.allclose(average_predictions([*models]), models.mean(axis=0), atol=1e-15)
    found = average_predictions([*models], weights=weights)
    assert np.allclose(found, np.average(models, axis=0, weights=weights), atol=1e-15)


def test_the_geometric_mean_is_that_of_scipy_divided_by_its_sums() -> None:
    models, weights = drawn(4, 9), [1, 0, 2, 5]

    found = average_predictions([*models], how="geometric", weights=weights)

    mean = gmean(models, axis=0, weights=np.array(weights)[:, None, None])
    assert np.allclose(found, mean / mean.sum(axis=1, keepdims=True), atol=1e-14)


def test_the_mean_of_ranks_ranks_the_images_of_two_classes_as_their_mean_rank_does() -> None:
    models = drawn(3, 40, classes=2)
    target = np.arange(40) % 2

    found = average_predictions([*models], how="rank")

    ranks = rankdata(models[:, :, 1], axis=1).mean(axis=0)
    assert roc_auc_score(target, found[:, 1]) == roc_auc_score(target, ranks)
    assert np.allclose(found[:, 1], (ranks - 0.5) / 40, atol=1e-14)
    assert np.allclose(found.sum(axis=1), 1)
    scaled = np.stack([models[0] ** 3 / (models[0] ** 3).sum(axis=1, keepdims=True), *models[1:]])
    assert np.allclose(average_predictions([*scaled], how="rank"), found, atol=1e-14)


@given(st.sampled_from(["arithmetic", "geometric", "rank"]), st.integers(1, 5), st.integers(0, 99))
def test_rows_sum_to_1_and_the_order_of_the_models_does_not_matter(
    how: str, count: int, seed: int
) -> None:
    models = drawn(count, 7, seed=seed)
    weights = np.random.default_rng(seed).random(count) + 0.1

    found = average_predictions([*models], how=how, weights=weights.tolist())

    assert np.allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    turned = average_predictions([*models[::-1]], how=how, weights=weights[::-1].tolist())
    assert np.allclose(turned, found, atol=1e-12)


@pytest.mark.parametrize("how", ["arithmetic", "geometric", "rank"])
def test_equal_models_give_what_one_gives(how: str) -> None:
    model = drawn(1, 7)[0]

    found = average_predictions([model] * 3, how=how)

    assert np.allclose(found, average_predictions([model], how=how), atol=1e-14)
    assert how == "rank" or np.allclose(found, model, atol=1e-14)


@pytest.mark.parametrize("how", ["arithmetic", "geometric", "rank"])
def test_an_image_is_averaged_over_the_models_that_have_predicted_it(how: str) -> None:
    models = drawn(3, 6)
    partial = models.copy()
    partial[1, 2:] = NAN
    partial[2, :4] = NAN

    found = average_predictions([*partial], how=how, weights=[1, 2, 4])

    assert np.allclose(found.sum(axis=1), 1)
    if how != "rank":  # in which an image is ranked among the others
        for rows, which in (([0, 1], [0, 1]), ([2, 3], [0]), ([4, 5], [0, 2])):
            own = average_predictions(
                [models[one][rows] for one in which],
                how=how,
                weights=[[1, 2, 4][one] for one in which],
            )
            assert np.allclose(found[rows], own, atol=1e-14)


def test_weights_go_by_name_and_columns_of_data_frames_by_code() -> None:
    first, second = drawn(2, 5)
    codes = ["MEL", "NV", "BCC"]
    frames = {
        "a": pd.DataFrame(first, columns=codes),
        "b": pd.DataFrame(second, columns=codes)[codes[::-1]],
    }

    found = average_predictions(frames, weights={"b": 3.0, "a": 1.0})

    assert np.allclose(found, (first + 3 * second) / 4, atol=1e-15)
    alone = average_predictions([first, second], weights={"1": 1.0})
    assert np.allclose(alone, second, atol=1e-15)


def test_tensors_of_half_precision_are_taken() -> None:
    tensor = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.bfloat16)

    assert average_predictions([tensor, tensor.double()]).tolist() == tensor.tolist()


@pytest.mark.parametrize(
    ("predictions", "options", "error", "fragment"),
    [
        ([], {}, ValueError, "`predictions` to be those of one model or more"),
        (np.full((2, 2), 0.5), {}, TypeError, "`predictions` to be a list of predictions"),
        ([[[0.5, 0.5]], [[0.5, 0.5]] * 2], {}, ValueError, "of the same images and classes"),
        ([[[0.5, NAN]]], {}, ValueError, "`predictions[0]` to be finite"),
        ({"a": [[0.5, 0.6]]}, {}, ValueError, "`predictions[a]` to be rows that sum to 1"),
        ([[[NAN, NAN], [0.5, 0.5]]] * 2, {}, ValueError, "none for 1 (first: 0)"),
        ([[[0.5, 0.5]], [[0.5, 0.5]]], {"weights": [1]}, ValueError, "`weights` to be 2 finite"),
        ([[[0.5, 0.5]]], {"weights": [-1]}, ValueError, "`weights` to be 1 finite weights"),
        ([[[0.5, 0.5]]], {"weights": [0.0]}, ValueError, "at least one above 0"),
        ([[[0.5, 0.5]]], {"weights": ["a"]}, TypeError, "`weights` to be 1 finite"),
        ([[[0.5, 0.5]]], {"weights": {"b": 1}}, ValueError, "`weights` to be weights of the"),
        ([[[0.5, 0.5]]], {"how": "harmonic"}, ValueError, "`how` to be one of 'arithmetic'"),
        (["a"], {}, TypeError, "`predictions[0]` to be numbers"),
        (
            [pd.DataFrame({"a": [0.5], "b": [0.5]}), pd.DataFrame({"a": [0.5], "c": [0.5]})],
            {},
            ValueError,
            "data frames with the same columns",
        ),
    ],
)
def test_unfit_predictions_and_weights_are_refused(
    predictions: Any, options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        average_predictions(predictions, **options)


def textbook(models: Any, target: Any, size: int) -> list[int]:
    """Caruana's loop, written out with scikit-learn's score."""
    picks: list[int] = []
    path: list[float] = []
    for _ in range(size):
        scores = [
            balanced_accuracy_score(target, models[[*picks, one]].mean(axis=0).argmax(axis=1))
            for one in range(len(models))
        ]
        picks.append(int(np.argmax(scores)))
        path.append(max(scores))
    return picks[: int(np.argmax(path)) + 1]


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_that_of_the_loop_in_the_paper(seed: int) -> None:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 3, 120)
    models = np.stack([answers(target, skill, generator) for skill in (0.3, 0.8, 1.0, 1.0)])

    found = select_ensemble([*models], target, size=8)

    picks = textbook(models, target, 8)
    assert [int(name) for name in found.picks] == picks
    assert found.weights == {str(one): picks.count(one) / len(picks) for one in range(4)}
    mean = average_predictions([*models], weights=found.weights)
    score = balanced_accuracy_score(target, mean.argmax(axis=1))
    assert found.optimistic_score == pytest.approx(score)
    honest = balanced_accuracy_score(target, found.probabilities.argmax(axis=1))
    assert found.score == pytest.approx(honest)


def test_a_lower_log_loss_is_better() -> None:
    generator = np.random.default_rng(0)
    target = generator.integers(0, 3, 90)
    models = {"poor": answers(target, 0.1, generator), "good": answers(target, 3.0, generator)}

    found = select_ensemble(models, target, metric="log_loss", size=5)

    assert found.best_model == "good"
    assert found.weights["good"] > 0.5
    assert found.best_score == pytest.approx(log_loss(target, models["good"]))
    assert found.optimistic_score <= found.best_score + 1e-12


def test_a_function_of_ones_own_decides() -> None:
    generator = np.random.default_rng(0)
    target = generator.integers(0, 2, 60)
    models = [answers(target, skill, generator, 2) for skill in (0.5, 2.0)]

    def auc(values: Any, truth: Any) -> float:
        return float(roc_auc_score(truth, values[:, 1]))

    found = select_ensemble(models, target, metric=auc, size=4)
    named = select_ensemble(models, target, metric="roc_auc:1", size=4)

    assert found.metric == "auc"
    assert found.picks == named.picks
    assert found.score == pytest.approx(named.score, abs=1e-12)


def test_each_fold_is_answered_by_an_ensemble_chosen_on_other_lesions_alone() -> None:
    generator = np.random.default_rng(3)
    lesions = np.repeat(np.arange(60), 2)
    target = np.repeat(generator.integers(0, 2, 60), 2)
    models = np.stack([answers(target, 0.5, generator, 2) for _ in range(6)])

    found = select_ensemble([*models], target, groups=lesions, size=6, folds=4, seed=5)

    table = pd.DataFrame({"label": target, "lesion": lesions.astype(str)})
    expected = np.full_like(models[0], NAN)
    for others, fold in grouped_split(table, folds=4, seed=5).rounds():
        assert not {*lesions[others]} & {*lesions[fold]}
        picks = textbook(models[:, others], target[others], 6)
        expected[fold] = models[picks][:, fold].mean(axis=0)
    assert np.allclose(found.probabilities, expected, atol=1e-15)


def test_models_of_pure_chance_seem_good_and_the_estimate_says_that_they_are_not() -> None:
    generator = np.random.default_rng(1)
    target = generator.integers(0, 2, 200)
    models = [answers(target, 0.0, generator, 2) for _ in range(40)]

    found = select_ensemble(models, target, size=10)

    assert found.optimistic_score > 0.6
    assert abs(found.score - 0.5) < 0.08
    assert found.score < found.optimistic_score
    assert f"balanced_accuracy {found.score:.4f}, cross-validated" in str(found)
    assert set(found.names) == set(found.picks)


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"size": 0}, ValueError, "`size` to be an integer of 1 or more"),
        ({"folds": 1}, ValueError, "`folds` to be an integer of 2 or more"),
        ({"folds": 9}, ValueError, "`folds` to be up to 4, the number of groups"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
        ({"metric": "auc"}, ValueError, "`metric` to be one of"),
        ({"metric": "roc_auc"}, ValueError, "`metric` to be a score with one value"),
        ({"target": [0, 1, 0]}, ValueError, "differ in length"),
        ({"target": [0, 0, 0, 0], "metric": "macro_roc_auc"}, ValueError, "which is NaN"),
        ({"predictions": [[[NAN, NAN], *[[0.5, 0.5]] * 3]]}, ValueError, "predictions[0]"),
        ({"groups": [0, 1]}, ValueError, "`groups` to be a group for each image"),
    ],
)
def test_unfit_selections_are_refused(
    options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    given = {"predictions": [[[0.5, 0.5]] * 4], "target": [0, 1, 0, 1], "folds": 2, **options}

    with pytest.raises(error, match=re.escape(fragment)):
        select_ensemble(given.pop("predictions"), given.pop("target"), **given)


def test_columns_of_data_frames_are_put_in_the_order_of_the_classes() -> None:
    target = np.tile(["A", "B", "C"], 10)
    right = pd.DataFrame(np.tile(np.eye(3) * 0.7 + 0.1, (10, 1)), columns=["A", "B", "C"])
    turned = {"turned": right[["C", "A", "B"]]}
    assert select_ensemble(turned, target, label_space=["A", "B", "C"], size=1).score == 1.0
    assert select_ensemble(turned, target, size=1).score == 1.0


def test_rows_of_data_frames_are_averaged_by_their_ids() -> None:
    first = pd.DataFrame({"A": [0.9, 0.2], "B": [0.1, 0.8]}, index=["x", "y"])
    assert average_predictions([first, first.iloc[::-1]]).tolist() == first.to_numpy().tolist()


def test_what_is_no_score_is_refused_in_words() -> None:
    right, target = np.tile(np.eye(2), (5, 1)), np.tile([0, 1], 5)
    metrics: tuple[Any, ...] = (lambda *_: "a", lambda *_: None, lambda *_: np.ones(2))
    for metric in metrics:
        with pytest.raises(TypeError, match=r"`metric` to be a function.* returns a number"):
            select_ensemble([right], target, metric=metric)
    with pytest.raises(ValueError, match="one image or more"):
        average_predictions([right[:0]])

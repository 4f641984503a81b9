import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dermolib import WeightedAccuracy, class_weights, weighted_accuracy
from dermolib.metrics import CHALLENGE_TEST_COUNTS

labels = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


def tensors(pairs: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    preds, target = zip(*pairs, strict=True)
    return torch.tensor(preds), torch.tensor(target)


def test_the_challenges_weights_come_from_its_test_counts() -> None:
    published = [
        0.7005531, 0.24592265, 0.95261733, 3.64804147,
        1.20674543, 13.19375, 12.56547619, 5.04219745,
    ]  # fmt: skip

    assert class_weights(CHALLENGE_TEST_COUNTS).tolist() == pytest.approx(published, abs=5e-9)
    assert sum(CHALLENGE_TEST_COUNTS) == 6333


@pytest.mark.parametrize("guess", range(8))
def test_a_constant_prediction_of_one_class_scores_one_over_k(guess: int) -> None:
    target = torch.repeat_interleave(torch.arange(8), torch.tensor(CHALLENGE_TEST_COUNTS))
    preds = torch.full_like(target, guess)

    from_target = weighted_accuracy(preds, target, num_classes=8)
    given_weights = weighted_accuracy(
        preds, target, num_classes=8, class_weights=class_weights(CHALLENGE_TEST_COUNTS)
    )

    assert from_target.item() == pytest.approx(1 / 8)
    assert given_weights.item() == pytest.approx(1 / 8)


# scikit-learn warns of classes that are absent or alone, which is what is compared here
@pytest.mark.filterwarnings(
    "ignore:y_pred contains classes not in y_true:UserWarning",
    "ignore:A single label was found in:UserWarning",
)
@given(labels)
def test_without_weights_it_is_the_balanced_accuracy_of_scikit_learn(
    pairs: list[tuple[int, int]],
) -> None:
    preds, target = tensors(pairs)

    score = weighted_accuracy(preds, target, num_classes=8)

    assert score.item() == pytest.approx(balanced_accuracy_score(target, preds))


@given(labels, st.lists(st.floats(0.1, 20), min_size=8, max_size=8))
def test_with_weights_it_is_the_weighted_fraction_of_correct_images(
    pairs: list[tuple[int, int]], weights: list[float]
) -> None:
    preds, target = tensors(pairs)

    score = weighted_accuracy(preds, target, num_classes=8, class_weights=weights)

    of_image = np.array(weights)[target.numpy()]
    assert score.item() == pytest.approx(accuracy_score(target, preds, sample_weight=of_image))


@settings(deadline=None)
@given(labels, st.randoms(use_true_random=False))
def test_any_order_and_any_split_into_batches_give_the_same_number(
    pairs: list[tuple[int, int]], random: Any
) -> None:
    whole = weighted_accuracy(*tensors(pairs), num_classes=8)
    random.shuffle(pairs)
    cut = random.randint(0, len(pairs))
    metric = WeightedAccuracy(8)

    for part in (pairs[:cut], pairs[cut:]):
        if part:
            metric.update(*tensors(part))

    assert metric.compute().item() == whole.item()


def test_states_of_processes_add_up() -> None:
    preds, target = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0])
    first, second, whole = (WeightedAccuracy(2) for _ in range(3))
    first.update(preds[:1], target[:1])
    second.update(preds[1:], target[1:])
    whole.update(preds, target)

    for name in ("correct", "total"):
        added = getattr(first, name) + getattr(second, name)
        assert torch.equal(added, getattr(whole, name))
    reductions = {getattr(reduction, "__name__", "") for reduction in whole._reductions.values()}
    assert reductions == {"dim_zero_sum"}


def test_a_class_without_targets_is_left_out() -> None:
    preds, target = torch.tensor([0, 2, 1]), torch.tensor([0, 0, 1])

    assert weighted_accuracy(preds, target, num_classes=3).item() == pytest.approx(0.75)


def test_scores_predict_the_highest() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2], [5.0, -1.0, 2.0]])

    assert weighted_accuracy(scores, torch.tensor([1, 0]), num_classes=3).item() == 1.0


def test_a_tie_predicts_the_first_or_counts_as_wrong() -> None:
    scores, target = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 2])

    first = weighted_accuracy(scores, target, num_classes=3)
    wrong = weighted_accuracy(scores, target, num_classes=3, ties="wrong")

    assert (first.item(), wrong.item()) == (1.0, 0.5)


def test_it_pickles_and_resets() -> None:
    metric = WeightedAccuracy(2, class_weights=[1, 3])
    metric.update(torch.tensor([0, 0]), torch.tensor([0, 1]))

    copy = pickle.loads(pickle.dumps(metric))  # noqa: S301 - made in this line

    assert copy.compute().item() == 0.25
    copy.reset()
    assert copy.total.sum() == 0


def test_arrays_of_numpy_are_taken_too() -> None:
    score = weighted_accuracy(np.array([0, 1]), np.array([0, 1]), num_classes=2)  # type: ignore[arg-type]  # tensors are promised, arrays are understood

    assert score.item() == 1.0


def test_no_image_is_no_score() -> None:
    nothing = torch.tensor([], dtype=torch.int64)

    with pytest.raises(RuntimeError, match="called after `update` with an image of weight above 0"):
        weighted_accuracy(nothing, nothing, num_classes=2)


@pytest.mark.parametrize(
    ("preds", "target", "kind", "sentence"),
    [
        ([0.5], [0], TypeError, "`preds` to be classes (N,) in 0..1, but got dtype torch.float32."),
        ([0], [0.0], TypeError, "`target` to be classes (N,) in 0..1, but got dtype"),
        ([2], [0], ValueError, "`preds` to be classes (N,) in 0..1, but got 2..2."),
        ([0], [-1], ValueError, "`target` to be classes (N,) in 0..1, but got -1..-1."),
        ([[0.1, 0.2, 0.3]], [0], ValueError, "`preds` to be scores (N, 2), but got shape (1, 3)."),
        ([[0.1, float("nan")]], [0], ValueError, "`preds` to be scores without NaN, but got NaN."),
        ([0, 1], [0], ValueError, "`preds` and `target` differ in length: 2 vs 1."),
        ([0], [[0]], ValueError, "`target` to be classes (N,) in 0..1, but got shape (1, 1)."),
    ],
)
def test_unfit_predictions_are_refused(
    preds: Any, target: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        weighted_accuracy(torch.tensor(preds), torch.tensor(target), num_classes=2)


@pytest.mark.parametrize("name", ["preds", "target"])
def test_what_is_not_a_tensor_is_refused_with_how_to_convert_it(name: str) -> None:
    given_values: dict[str, Any] = {"preds": torch.tensor([0]), "target": torch.tensor([0])}
    given_values[name] = np.array([0])

    with pytest.raises(TypeError, match=rf"`{name}` to be .* type ndarray\. Use `torch\.as_tens"):
        WeightedAccuracy(2).update(**given_values)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1.0], "2 weights, one for each class, but got shape (1,)."),
        ([1.0, -1.0], "finite weights of 0 or more, at least one above 0, but got [1.0, -1.0]."),
        ([0.0, 0.0], "at least one above 0, but got [0.0, 0.0]."),
        ([1.0, float("inf")], "but got [1.0, inf]."),
    ],
)
def test_unfit_weights_are_refused(weights: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        WeightedAccuracy(2, weights)


def test_unfit_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`num_classes` to be an integer of 2 or more, but got 1"):
        WeightedAccuracy(1)
    with pytest.raises(ValueError, match="`ties` to be one of 'first', 'wrong', but got 'last'"):
        WeightedAccuracy(2, ties="last")


def test_an_absent_class_has_weight_0_and_the_weights_of_all_images_are_n() -> None:
    counts = torch.tensor([10, 0, 30])

    weights = class_weights(counts)

    assert weights.tolist() == [2.0, 0.0, pytest.approx(2 / 3)]
    assert (weights * counts).sum().item() == pytest.approx(40)


@pytest.mark.parametrize(
    ("counts", "kind"),
    [([], TypeError), ([1.5], TypeError), ([0, 0], ValueError), ([-1, 2], ValueError)],
)
def test_unfit_counts_are_refused(counts: list[float], kind: type[Exception]) -> None:
    with pytest.raises(kind, match="Expected `counts` to be"):
        class_weights(counts)  # type: ignore[arg-type]  # the wrong numbers under test

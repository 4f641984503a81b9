import pickle
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch import Tensor
from torchmetrics import MetricCollection

from dermolib import WeightedAccuracy, class_weights, weighted_accuracy
from dermolib.metrics import CHALLENGE_TEST_COUNTS

CASES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


def tensors(pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    preds, target = zip(*pairs, strict=True)
    return torch.tensor(preds), torch.tensor(target)


def score(preds: Any, target: Any, num_classes: int = 8, **options: Any) -> float:
    pair = torch.as_tensor(preds), torch.as_tensor(target)
    return weighted_accuracy(*pair, num_classes=num_classes, **options).item()


def test_the_challenges_weights_come_from_its_test_counts() -> None:
    published = [
        0.7005531, 0.24592265, 0.95261733, 3.64804147,
        1.20674543, 13.19375, 12.56547619, 5.04219745,
    ]  # fmt: skip

    assert class_weights(CHALLENGE_TEST_COUNTS).tolist() == pytest.approx(published, abs=5e-9)
    assert sum(CHALLENGE_TEST_COUNTS) == 6333


@pytest.mark.parametrize("weights", [None, class_weights(CHALLENGE_TEST_COUNTS)])
@pytest.mark.parametrize("guess", range(8))
def test_a_constant_prediction_of_one_class_scores_one_over_k(guess: int, weights: Any) -> None:
    target = torch.repeat_interleave(torch.arange(8), torch.tensor(CHALLENGE_TEST_COUNTS))

    found = score(torch.full_like(target, guess), target, class_weights=weights)

    assert found == pytest.approx(1 / 8)


@pytest.mark.filterwarnings("ignore:Expected `target` to be classes from 0")  # drawn so
# scikit-learn warns of classes that are absent or alone, which is what is compared here
@pytest.mark.filterwarnings(
    "ignore:y_pred contains classes not in y_true:UserWarning",
    "ignore:A single label was found in:UserWarning",
)
@given(CASES, st.lists(st.floats(0.1, 20), min_size=8, max_size=8))
def test_it_is_the_balanced_accuracy_or_with_weights_the_weighted_accuracy_of_scikit_learn(
    pairs: list[tuple[int, int]], weights: list[float]
) -> None:
    preds, target = tensors(pairs)
    of_image = np.array(weights)[target.numpy()]

    assert score(preds, target) == pytest.approx(
        balanced_accuracy_score(target.numpy(), preds.numpy())
    )
    weighted = accuracy_score(target.numpy(), preds.numpy(), sample_weight=of_image)
    assert score(preds, target, class_weights=weights) == pytest.approx(weighted)


@pytest.mark.filterwarnings("ignore:Expected `target` to be classes from 0")  # drawn so
@given(CASES, st.randoms(use_true_random=False))
def test_any_order_any_batches_and_any_processes_give_the_same_number(
    pairs: list[tuple[int, int]], random: Any
) -> None:
    whole = score(*tensors(pairs))
    random.shuffle(pairs)
    cut = random.randint(0, len(pairs))
    parts = [part for part in (pairs[:cut], pairs[cut:]) if part]
    batches, processes = WeightedAccuracy(8), [WeightedAccuracy(8) for _ in parts]
    for process, part in zip(processes, parts, strict=True):
        batches.update(*tensors(part))
        process.update(*tensors(part))
    together = WeightedAccuracy(8)
    together.update(*(torch.zeros(0, dtype=torch.int64) for _ in range(2)))
    for name, reduce in together._reductions.items():  # what torchmetrics does between processes
        assert callable(reduce)
        states = torch.stack([getattr(process, name) for process in processes])
        setattr(together, name, reduce(states))

    assert batches.compute().item() == together.compute().item() == whole


@pytest.mark.parametrize(
    ("preds", "target", "options", "expected"),
    [
        ([0, 2, 1], [0, 0, 1], {}, 0.75),  # class 2 has no target and is left out
        ([[0.1, 0.7, 0.2], [5.0, -1.0, 2.0]], [1, 0], {}, 1.0),
        ([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [0, 2], {}, 1.0),
        ([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [0, 2], {"ties": "wrong"}, 0.5),
        (np.array([0, 1]), np.array([0, 1]), {}, 1.0),
    ],
    ids=["absent class", "scores", "tie to the first", "tie is wrong", "arrays"],
)
def test_the_highest_score_of_an_image_counts(
    preds: Any, target: Any, options: dict[str, Any], expected: float
) -> None:
    assert score(preds, target, 3, **options) == pytest.approx(expected)


def test_it_pickles_and_resets() -> None:
    metric = WeightedAccuracy(2, class_weights=[1, 3])
    metric.update(torch.tensor([0, 0]), torch.tensor([0, 1]))

    copy = pickle.loads(pickle.dumps(metric))  # noqa: S301 - made in this line

    assert copy.compute().item() == 0.25
    copy.reset()
    assert copy.total.sum() == 0


SCORES = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]]), torch.tensor([0, 1])
TIED = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 2])
OPTIONS: dict[str, dict[str, Any]] = {
    "first": {},
    "wrong": {"ties": "wrong"},
    "weighted": {"class_weights": [1.0, 5.0, 2.0]},
    "weighted wrong": {"class_weights": [1.0, 5.0, 2.0], "ties": "wrong"},
    "other weights": {"class_weights": [4.0, 2.0, 1.0], "ties": "wrong"},
}


@pytest.mark.parametrize(
    "batches", [[SCORES, TIED], [TIED, SCORES], [SCORES, SCORES, TIED]], ids=range(3)
)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("change", ["none", "clone", "pickle", "reset", "forward"])
def test_in_a_collection_each_metric_has_the_score_that_it_has_alone(
    batches: list[tuple[Tensor, Tensor]], order: int, change: str
) -> None:
    alone = {name: WeightedAccuracy(3, **options) for name, options in OPTIONS.items()}
    names = list(OPTIONS)[::order]
    collection = MetricCollection({name: WeightedAccuracy(3, **OPTIONS[name]) for name in names})
    if change == "reset":
        collection.update(*SCORES)
        collection.compute()
        collection.reset()

    for preds, target in batches:
        if change == "forward":
            collection(preds, target)
        else:
            collection.update(preds, target)
        if change == "clone":
            collection = collection.clone()
        if change == "pickle":
            collection = pickle.loads(pickle.dumps(collection))  # noqa: S301 - made in this line
        for metric in alone.values():
            metric.update(preds, target)

    found = {name: value.item() for name, value in collection.compute().items()}
    assert found == {name: metric.compute().item() for name, metric in alone.items()}
    assert len(set(found.values())) == len(OPTIONS)
    grouped = change != "forward"  # whose first call forms no groups
    assert not grouped or len(collection.compute_groups) == 1  # the counts are the same for all


@pytest.mark.parametrize("ties", ["first", "wrong"])
def test_counts_of_two_processes_are_those_of_one(ties: str) -> None:
    first, second, whole = (WeightedAccuracy(3, ties=ties) for _ in range(3))
    first.update(*SCORES)
    second.update(*TIED)
    for batch in (SCORES, TIED):
        whole.update(*batch)

    first.merge_state(second)

    assert first.compute().item() == whole.compute().item()


def test_a_score_is_drawn_between_0_and_1() -> None:
    metric = WeightedAccuracy(3)
    metric.update(*SCORES)

    _, axes = metric.plot()
    _, several = metric.plot([torch.tensor(0.25), torch.tensor(0.75)])

    low, high = axes.get_ylim()
    assert -0.2 < low <= 0
    assert 1 <= high < 1.2
    assert axes.lines[0].get_ydata()[0] == pytest.approx(0.5)
    assert several.lines[0].get_ydata().tolist() == [0.25, 0.75]
    plt.close("all")


def test_no_image_is_no_score() -> None:
    nothing = torch.tensor([], dtype=torch.int64)

    with pytest.raises(RuntimeError, match="called after `update` with an image of weight above 0"):
        score(nothing, nothing, 2)


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
        score(preds, target, 2)


@pytest.mark.parametrize("name", ["preds", "target"])
def test_what_is_not_a_tensor_is_refused_with_how_to_convert_it(name: str) -> None:
    values: dict[str, Any] = dict.fromkeys(("preds", "target"), torch.tensor([0]))
    values[name] = np.array([0])

    with pytest.raises(TypeError, match=rf"`{name}` to be .* type ndarray\. Use `torch\.as_tens"):
        WeightedAccuracy(2).update(**values)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_classes": 1}, "`num_classes` to be an integer of 2 or more, but got 1"),
        ({"ties": "last"}, "`ties` to be one of 'first', 'wrong', but got 'last'"),
        *(
            ({"class_weights": weights}, f"`class_weights` to be 2 finite weights of .* {weights}")
            for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("inf")])
        ),
    ],
)
def test_unfit_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("[", r"\[")):
        WeightedAccuracy(**{"num_classes": 2, **options})


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
    with pytest.raises(kind, match="Expected `counts` to be integers of 0 or more"):
        class_weights(counts)


FROM_ONE = (
    "to be classes from 0, but got 1..2 and no 0. Labels begin at 0: the challenge's files hold"
)


LABELS = pd.Series([2, 0, 2, 0, 2, 3])


@pytest.mark.parametrize(
    "counts",
    [LABELS.value_counts(), *(LABELS.astype(kind).value_counts() for kind in ("Int64", "category")),
     LABELS.astype(float).value_counts(), Counter(LABELS.tolist())],
    ids=range(5),
)  # fmt: skip
def test_counts_by_label_are_put_in_the_order_of_labels(counts: Any) -> None:
    assert class_weights(counts).tolist() == [1.0, 0.0, pytest.approx(2 / 3), 2.0]
    metric = WeightedAccuracy(4, class_weights=1 / pd.Series(counts))
    assert metric.class_weights is not None
    assert metric.class_weights.tolist() == [0.5, 0.0, pytest.approx(1 / 3), 1.0]


@pytest.mark.parametrize(
    ("counts", "error", "fragment"),
    [
        (
            pd.Series(["NV", "MEL", "NV"]).value_counts(),
            TypeError,
            "but got numbers by 'NV', 'MEL'. O",
        ),
        (pd.DataFrame({"a": [0], "b": [1]}).value_counts(), TypeError, "got numbers by (0, 1). O"),
        (pd.Series([3, 4], index=[-1, 0]), TypeError, "got numbers by -1, 0. Order them as labels"),
        (pd.Series([3, 4], index=[1, 1]), ValueError, "got numbers by 1, 1."),
        ({}, TypeError, "got numbers by none."),
        (LABELS.value_counts(normalize=True), TypeError, "to be integers of 0 or more"),
    ],
    ids=range(6),
)
def test_counts_by_other_names_than_labels_are_refused(
    counts: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        class_weights(counts)


def test_a_whole_set_of_targets_from_1_is_warned_of_and_a_batch_is_not() -> None:
    metric, target = WeightedAccuracy(3), torch.tensor([1, 2, 2])

    assert metric(target, target).item() == 1
    for call in (metric.compute, partial(weighted_accuracy, target, target, num_classes=3)):
        with pytest.warns(UserWarning, match=re.escape(f"`target` {FROM_ONE}")) as caught:
            call()
        assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    with pytest.warns(UserWarning, match=re.escape(f"`labels` {FROM_ONE}")):
        class_weights([0, 3, 4])
    metric.update(torch.tensor([0]), torch.tensor([0]))
    assert metric.compute().item() == 1


def test_a_target_of_k_names_the_mistake() -> None:
    with pytest.raises(ValueError, match=r"in 0\.\.2, but got 1\.\.3\. Labels begin at 0"):
        WeightedAccuracy(3).update(torch.tensor([0, 0]), torch.tensor([1, 3]))

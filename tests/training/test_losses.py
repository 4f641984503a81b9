"""The loss, against torch's and against its formula."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dermolib.training import ClassificationLoss

K = 5
seeds = st.integers(0, 10**6)


def drawn(seed: int, rows: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw logits, classes, probabilities and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, K, generator=generator) * 3
    label = torch.randint(K, (rows,), generator=generator)
    soft = torch.rand(rows, K, generator=generator)
    return logits, label, soft / soft.sum(1, keepdim=True), torch.rand(K, generator=generator) + 0.1


@given(seed=seeds, smoothing=st.floats(0, 1), weighted=st.booleans())
def test_cross_entropy_is_that_of_torch(seed: int, smoothing: float, weighted: bool) -> None:
    logits, label, soft, weights = drawn(seed)
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6}

    for target, weights_of in ((label, weights if weighted else None), (soft, None)):
        loss = ClassificationLoss(weights_of, label_smoothing=smoothing)(logits, target)
        reference = nn.CrossEntropyLoss(weights_of, label_smoothing=smoothing)(logits, target)
        torch.testing.assert_close(loss, reference, **close)


@given(seed=seeds, gamma=st.floats(0, 5), weighted=st.booleans())
def test_certain_probabilities_are_classes(seed: int, gamma: float, weighted: bool) -> None:
    logits, label, _, weights = drawn(seed)
    loss = ClassificationLoss(weights if weighted else None, gamma=gamma)

    soft = nn.functional.one_hot(label, K).float()

    torch.testing.assert_close(loss(logits, soft), loss(logits, label))


@given(seed=seeds, gamma=st.floats(0.1, 5))
def test_focal_loss_is_its_formula_and_never_above_cross_entropy(seed: int, gamma: float) -> None:
    logits, label, _, weights = drawn(seed)

    loss = ClassificationLoss(weights, gamma=gamma)(logits, label)

    p = logits.double().softmax(1)[torch.arange(len(label)), label]
    w = weights.double()[label]
    expected = float((-w * (1 - p) ** gamma * p.log()).sum() / w.sum())
    assert float(loss) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert 0 <= loss <= ClassificationLoss(weights)(logits, label)


def test_a_blend_of_two_images_weighs_by_its_fractions() -> None:
    soft, weights = torch.tensor([[0.25, 0.75]]), torch.tensor([1.0, 5.0])

    loss = ClassificationLoss(weights)(torch.zeros(1, 2), soft)

    assert float(loss) == pytest.approx(float(torch.tensor(2.0).log()))
    assert not ClassificationLoss(weights).state_dict()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_certain_answer_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)

    loss = ClassificationLoss(gamma=gamma)(logits, torch.tensor([0, 0]))
    loss.backward()

    assert loss > 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize(
    ("weights", "target"),
    [
        (torch.tensor([0.0, 1.0]), torch.tensor([0, 0, 0])),
        (torch.tensor([0.0, 1.0]), torch.tensor([[1.0, 0.0]] * 3)),
        (None, torch.zeros(3, 2)),
    ],
)
def test_a_batch_without_weight_teaches_nothing(
    weights: Tensor | None, target: Tensor, gamma: float, smoothing: float
) -> None:
    logits = torch.randn(3, 2, requires_grad=True)

    loss = ClassificationLoss(weights, gamma=gamma, label_smoothing=smoothing)(logits, target)
    loss.backward()

    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()

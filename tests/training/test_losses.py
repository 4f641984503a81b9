import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dermolib.training import ClassificationLoss

K = 5


def drawn(seed: int, rows: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw logits, classes, probabilities and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, K, generator=generator) * 3
    label = torch.randint(K, (rows,), generator=generator)
    soft = torch.rand(rows, K, generator=generator)
    return logits, label, soft / soft.sum(1, keepdim=True), torch.rand(K, generator=generator) + 0.1


@given(seed=st.integers(0, 10**6), smoothing=st.floats(0, 1), weighted=st.booleans())
def test_the_loss_of_classes_is_that_of_torch(seed: int, smoothing: float, weighted: bool) -> None:
    logits, label, _, weights = drawn(seed)
    given_weights = weights if weighted else None

    loss = ClassificationLoss(given_weights, label_smoothing=smoothing)(logits, label)

    reference = nn.CrossEntropyLoss(given_weights, label_smoothing=smoothing)(logits, label)
    torch.testing.assert_close(loss, reference, rtol=1e-4, atol=1e-6)


@given(seed=st.integers(0, 10**6), smoothing=st.floats(0, 1))
def test_the_loss_of_probabilities_is_that_of_torch(seed: int, smoothing: float) -> None:
    logits, _, soft, _ = drawn(seed)

    loss = ClassificationLoss(label_smoothing=smoothing)(logits, soft)

    reference = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, soft)
    torch.testing.assert_close(loss, reference, rtol=1e-4, atol=1e-6)


@given(seed=st.integers(0, 10**6), gamma=st.floats(0, 5), weighted=st.booleans())
def test_certain_probabilities_are_classes(seed: int, gamma: float, weighted: bool) -> None:
    logits, label, _, weights = drawn(seed)
    criterion = ClassificationLoss(weights if weighted else None, gamma=gamma)

    soft = nn.functional.one_hot(label, K).float()

    torch.testing.assert_close(criterion(logits, soft), criterion(logits, label))


@given(seed=st.integers(0, 10**6), gamma=st.floats(0.1, 5))
def test_focal_loss_is_its_formula(seed: int, gamma: float) -> None:
    logits, label, _, weights = drawn(seed)

    loss = ClassificationLoss(weights, gamma=gamma)(logits, label)

    total = carried = 0.0
    for row, k in zip(logits.double().softmax(1).tolist(), label.tolist(), strict=True):
        weight = float(weights[k])
        total += -weight * (1 - row[k]) ** gamma * float(torch.tensor(row[k]).log())
        carried += weight
    assert float(loss) == pytest.approx(total / carried, rel=1e-3, abs=1e-6)


@given(seed=st.integers(0, 10**6))
def test_focal_loss_is_never_above_cross_entropy(seed: int) -> None:
    logits, label, _, _ = drawn(seed)

    focal, plain = (ClassificationLoss(gamma=gamma)(logits, label) for gamma in (2.0, 0.0))

    assert 0 <= focal <= plain


def test_a_blend_of_two_images_weighs_by_its_shares() -> None:
    logits = torch.zeros(1, 2)
    soft, weights = torch.tensor([[0.25, 0.75]]), torch.tensor([1.0, 5.0])

    loss = ClassificationLoss(weights)(logits, soft)

    assert float(loss) == pytest.approx(float(torch.tensor(2.0).log()))


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
        (torch.ones(2), torch.zeros(3, 2)),
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


def test_weights_are_no_part_of_a_state() -> None:
    assert not ClassificationLoss(torch.ones(3)).state_dict()

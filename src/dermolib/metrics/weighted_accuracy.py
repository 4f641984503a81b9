"""Weighted accuracy: the challenge's score, in which every diagnosis counts the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from dermolib._validation import check_choice, check_number, expected, require

__all__ = ["CHALLENGE_TEST_COUNTS", "WeightedAccuracy", "class_weights", "weighted_accuracy"]

CHALLENGE_TEST_COUNTS: tuple[int, ...] = (1130, 3219, 831, 217, 656, 60, 63, 157)
"""Images of each diagnosis in the challenge's test set of 6,333, in the order of `DIAGNOSES`."""


def class_weights(counts: Sequence[int] | np.ndarray[Any, Any] | Tensor) -> Tensor:
    """Compute the weight of an image of each class that gives all classes the same total weight.

    The weight of a class with n of the N images is N / (K n), where K counts the classes that have
    images; one without gets 0. The weights of all images sum to N.

    Args:
        counts: Images of each class (C,), 0 or more.

    Returns:
        Weights (C,), float64.

    Raises:
        TypeError: The counts are not integers.
        ValueError: There is no count, a negative one, or none above 0.

    Examples:
        >>> class_weights(CHALLENGE_TEST_COUNTS)[:3]
        tensor([0.7006, 0.2459, 0.9526], dtype=torch.float64)
    """
    numbers = torch.as_tensor(counts)
    got = f"dtype {numbers.dtype}"
    require(_is_integer(numbers), "counts", "integers", got, error=TypeError)
    fits = numbers.ndim == 1 and len(numbers) and int(numbers.min()) >= 0 and int(numbers.max())
    require(fits, "counts", "numbers of images, at least one above 0", counts)
    present = numbers > 0
    weights = numbers.sum() / (present.sum() * numbers.clamp(min=1).double())
    return torch.where(present, weights, 0.0)


class WeightedAccuracy(Metric):
    """Weighted categorization accuracy: the weight of the correct images divided by that of all.

    WA = Σ wᵢ [yᵢ = fᵢ] / Σ wᵢ, where an image has the weight of its true class. By default the
    weights come from the targets, see `class_weights`, which makes WA the mean recall of the
    classes that have targets: a constant prediction of one class scores 1 / K. A class that is
    predicted but has no target is left out of the mean (as in scikit-learn; torchmetrics' macro
    recall counts it as 0). The state is two integers for each class, so batches, processes and
    order do not matter.

    Args:
        num_classes: Number of classes K, 2 or more.
        class_weights: Weight of an image of each class (K,), 0 or more; None takes them from the
            targets. The challenge's own are ``class_weights(CHALLENGE_TEST_COUNTS)``.
        ties: Where several classes share the highest score, ``"first"`` predicts the lowest of
            them, as in a submission of labels; ``"wrong"`` predicts none, as the official ISIC
            scorer does.
        kwargs: Options of `torchmetrics.Metric`.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range.

    References:
        Cassidy et al., Analysis of the ISIC image datasets, Medical Image Analysis 75, 2022,
        https://doi.org/10.1016/j.media.2021.102305, on balanced scoring of ISIC data.

    Examples:
        >>> metric = WeightedAccuracy(2)
        >>> metric.update(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    correct: Tensor
    total: Tensor

    def __init__(
        self,
        num_classes: int,
        class_weights: Sequence[float] | np.ndarray[Any, Any] | Tensor | None = None,
        *,
        ties: str = "first",
        **kwargs: Any,
    ) -> None:
        """Check the options and start at no images."""
        super().__init__(**kwargs)
        check_number(num_classes, "num_classes", low=2, integer=True)
        check_choice(ties, "ties", ("first", "wrong"))
        self.num_classes = int(num_classes)
        self.class_weights = _checked_weights(class_weights, self.num_classes)
        self.ties = ties
        for name in ("correct", "total"):
            zeros = torch.zeros(self.num_classes, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            preds: Classes (N,), integers in 0..K-1, or scores (N, K), where the highest wins.
            target: True classes (N,), integers in 0..K-1.

        Raises:
            TypeError: Classes are not integers.
            ValueError: Shapes do not fit, a class is out of range, or a score is NaN.
        """
        _check_classes(target, "target", self.num_classes)
        predicted = _predicted(preds, self.num_classes, self.ties)
        if len(predicted) != len(target):
            sizes = f"{len(predicted)} vs {len(target)}"
            raise ValueError(f"`preds` and `target` differ in length: {sizes}.")
        right = predicted == target
        self.total += torch.bincount(target, minlength=self.num_classes)
        self.correct += torch.bincount(target[right], minlength=self.num_classes)

    def compute(self) -> Tensor:
        """Return the score of all images seen: a float64 scalar in 0..1.

        Raises:
            RuntimeError: No image was counted, or only such of weight 0.
        """
        # On the CPU, since some devices have no float64
        correct, total = self.correct.cpu().double(), self.total.cpu().double()
        if self.class_weights is None:
            present = total > 0
            score = (correct[present] / total[present]).mean()
        else:
            score = (self.class_weights * correct).sum() / (self.class_weights * total).sum()
        what = "called after `update` with an image of weight above 0"
        require(not torch.isnan(score), "compute", what, "no such image", error=RuntimeError)
        return score


def weighted_accuracy(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    class_weights: Sequence[float] | np.ndarray[Any, Any] | Tensor | None = None,
    ties: str = "first",
) -> Tensor:
    """Score predictions in one call; arguments and errors are those of `WeightedAccuracy`.

    Args:
        preds: Classes (N,), integers in 0..K-1, or scores (N, K), where the highest wins.
        target: True classes (N,), integers in 0..K-1.
        num_classes: Number of classes K, 2 or more.
        class_weights: Weight of an image of each class (K,), or None.
        ties: ``"first"`` or ``"wrong"``.

    Returns:
        Float64 scalar in 0..1.

    Examples:
        >>> target = torch.tensor([0, 0, 0, 1])
        >>> weighted_accuracy(torch.tensor([0, 0, 0, 0]), target, num_classes=2).item()
        0.5
    """
    metric = WeightedAccuracy(num_classes, class_weights, ties=ties)
    preds, target = torch.as_tensor(preds), torch.as_tensor(target)
    metric.to(target.device).update(preds.to(target.device), target)
    return metric.compute()


def _checked_weights(weights: Any, num_classes: int) -> Tensor | None:
    if weights is None:
        return None
    name, numbers = "class_weights", torch.as_tensor(weights, dtype=torch.float64).detach().cpu()
    what, got = f"{num_classes} weights, one for each class", f"shape {tuple(numbers.shape)}"
    require(numbers.shape == (num_classes,), name, what, got)
    fits = bool(torch.isfinite(numbers).all()) and float(numbers.min()) >= 0 and numbers.any()
    require(fits, name, "finite weights of 0 or more, at least one above 0", numbers.tolist())
    return numbers


def _predicted(preds: Any, num_classes: int, ties: str) -> Tensor:
    """Turn classes or scores into classes; -1 is a tie that counts as wrong."""
    if not isinstance(preds, Tensor) or preds.ndim != 2:
        _check_classes(preds, "preds", num_classes)
        return torch.as_tensor(preds)
    fits = preds.shape[1] == num_classes
    require(fits, "preds", f"scores (N, {num_classes})", f"shape {tuple(preds.shape)}")
    has_nan = preds.is_floating_point() and bool(torch.isnan(preds).any())
    require(not has_nan, "preds", "scores without NaN", "NaN")
    best = preds == preds.amax(dim=1, keepdim=True)
    # torch.argmax does not say which of several equal maxima it returns, so they are ranked
    rank = torch.arange(num_classes, 0, -1, device=preds.device)
    first = (best * rank).argmax(dim=1)
    return torch.where(best.sum(dim=1) > 1, -1, first) if ties == "wrong" else first


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _check_classes(values: Any, name: str, num_classes: int) -> None:
    what, got = (
        f"classes (N,) in 0..{num_classes - 1}",
        f"an object of type {type(values).__name__}",
    )
    if not isinstance(values, Tensor):
        raise TypeError(expected(name, "a tensor", got, "Use `torch.as_tensor`."))
    require(_is_integer(values), name, what, f"dtype {values.dtype}", error=TypeError)
    require(values.ndim == 1, name, what, f"shape {tuple(values.shape)}")
    if len(values):
        low, high = int(values.min()), int(values.max())
        require(low >= 0 and high < num_classes, name, what, f"{low}..{high}")

"""Weighted accuracy: the challenge's score, in which every diagnosis counts the same."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.plot import plot_single_or_multi_val

from dermolib._validation import check_choice, check_number, check_type, listed, require
from dermolib.labels import FROM_ZERO, warn_if_from_one

__all__ = [
    "CHALLENGE_TEST_COUNTS",
    "WeightedAccuracy",
    "by_label",
    "class_weights",
    "weighted_accuracy",
]

CHALLENGE_TEST_COUNTS: tuple[int, ...] = (1130, 3219, 831, 217, 656, 60, 63, 157)
"""Images of each diagnosis in the challenge's test set of 6,333, in the order of `DIAGNOSES`."""

_Numbers: TypeAlias = (
    "Sequence[float] | np.ndarray[Any, Any] | Tensor | pd.Series[Any] | Mapping[int, float]"
)


def class_weights(counts: _Numbers) -> Tensor:
    """Compute the weight of an image of each class that gives all classes the same total weight.

    The weight of a class with n of the N images is N / (K n), where K counts the classes that have
    images; one without gets 0. The weights of all images sum to N.

    Args:
        counts: Images of each class (C,), 0 or more, in the order of the labels; or a series or a
            dictionary of them by label, as ``value_counts()`` of a series of labels and a
            ``collections.Counter`` have them, in any order.

    Returns:
        Weights (C,), float64.

    Raises:
        TypeError: The counts are not integers, or are by other names than labels.
        ValueError: There is no count, a negative one, or none above 0.
        UserWarning: The counted labels seem to begin at 1; a warning.

    Examples:
        >>> class_weights(CHALLENGE_TEST_COUNTS)[:3]
        tensor([0.7006, 0.2459, 0.9526], dtype=torch.float64)
        >>> class_weights({2: 1, 0: 3})
        tensor([0.6667, 0.0000, 2.0000], dtype=torch.float64)
    """
    numbers, what = (
        torch.as_tensor(by_label(counts, "counts")),
        "integers of 0 or more, at least one above 0",
    )
    require(_is_integer(numbers), "counts", what, f"dtype {numbers.dtype}", error=TypeError)
    require(numbers.ndim == 1 and numbers.any() and numbers.min() >= 0, "counts", what, counts)
    present = numbers > 0
    warn_if_from_one(present.nonzero().flatten(), "labels")
    weights = numbers.sum() / (present.sum() * numbers.clamp(min=1).double())
    return torch.where(present, weights, 0.0)


def by_label(numbers: Any, name: str) -> Any:
    """Put a series or dictionary of numbers by label in the order of labels, 0 where one has none.

    Raises:
        TypeError: It is by other names than labels.
        ValueError: A label is twice.
    """
    if not isinstance(numbers, (pd.Series, Mapping)):
        return numbers
    series = pd.Series(numbers)
    labels, what = np.asarray(series.index.tolist()), "one number for each class 0..K-1"
    fits = labels.ndim == 1 and labels.size and labels.dtype.kind in "biuf"
    whole = fits and labels.min() >= 0 and (labels == labels.astype(np.int64)).all()
    got = f"numbers by {listed(map(repr, series.index)) or 'none'}"
    hint = "Order them as labels are: `.reindex(label_space.codes, fill_value=0).to_numpy()`."
    require(whole, name, what, got, hint, error=TypeError)
    require(series.index.is_unique, name, what, got)
    ordered = series.set_axis(labels.astype(np.int64))
    return np.asarray(ordered.reindex(range(int(labels.max()) + 1), fill_value=0).tolist())


class WeightedAccuracy(Metric):
    """Weighted categorization accuracy: the weight of the correct images divided by that of all.

    WA = Σ wᵢ [yᵢ = fᵢ] / Σ wᵢ, where an image has the weight of its true class. By default the
    weights come from the targets, see `class_weights`: WA is then the mean recall of the classes
    that have targets (as in scikit-learn; torchmetrics' macro recall counts others as 0), and a
    constant prediction scores 1 / K. Batches, processes and order do not matter.

    Args:
        num_classes: Number of classes K, 2 or more.
        class_weights: Weight of an image of each class (K,), 0 or more, in the order of the labels
            or by label, as the counts of `class_weights`; None takes them from the targets. The
            challenge's own are ``class_weights(CHALLENGE_TEST_COUNTS)``.
        ties: Where several classes share the highest score, ``"first"`` predicts the first of
            them; ``"wrong"`` predicts none, as the official ISIC scorer does.
        kwargs: Options of `torchmetrics.Metric`.

    Attributes:
        warns: Whether `compute` warns of targets that seem to be numbered from 1.

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
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    # Options decide in `compute` alone: a `MetricCollection` lets metrics whose counts are equal
    # after the first batch have them in common
    correct: Tensor
    tied: Tensor  # those of the correct images that share their highest score with another class
    total: Tensor

    def __init__(
        self,
        num_classes: int,
        class_weights: "_Numbers | None" = None,
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
        self.warns = True
        for name in ("correct", "tied", "total"):
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
        predicted, tied = _predicted(preds, self.num_classes)
        if (number := len(predicted)) != len(target):
            raise ValueError(f"`preds` and `target` differ in length: {number} vs {len(target)}.")
        right = predicted == target
        self.total += torch.bincount(target, minlength=self.num_classes)
        self.correct += torch.bincount(target[right], minlength=self.num_classes)
        self.tied += torch.bincount(target[right & tied], minlength=self.num_classes)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Count a batch and return its score; a batch may well be without class 0."""
        warns, self.warns = self.warns, False
        try:
            return super().forward(*args, **kwargs)
        finally:
            self.warns = warns

    def compute(self) -> Tensor:
        """Return the score of all images seen: a float64 scalar in 0..1.

        Raises:
            RuntimeError: No image was counted, or only such of weight 0.
            UserWarning: The targets seem to be numbered from 1, as the challenge's classes are; a
                warning.
        """
        if self.warns:
            warn_if_from_one(self.total.nonzero().flatten(), "target")
        # On the CPU, since some devices have no float64
        correct, tied, total = (
            counts.cpu().double() for counts in (self.correct, self.tied, self.total)
        )
        if self.ties == "wrong":
            correct = correct - tied
        if self.class_weights is None:
            present = total > 0
            score = (correct[present] / total[present]).mean()
        else:
            score = (self.class_weights * correct).sum() / (self.class_weights * total).sum()
        what, seen = "called after `update` with an image of weight above 0", not score.isnan()
        require(seen, "compute", what, "no such image", error=RuntimeError)
        return score

    def plot(self, val: "Tensor | Sequence[Tensor] | None" = None, ax: Any = None) -> Any:
        """Draw one score or several in a row, such as those of the epochs, in 0..1.

        Args:
            val: Score or scores of `compute` or `forward`; None computes that of all images seen.
            ax: Axes of Matplotlib to draw into; None makes a figure.

        Returns:
            Figure and axes of Matplotlib.
        """
        return plot_single_or_multi_val(
            self.compute() if val is None else val,
            ax=ax,
            higher_is_better=self.higher_is_better,
            lower_bound=self.plot_lower_bound,
            upper_bound=self.plot_upper_bound,
            name=type(self).__name__,
        )


def weighted_accuracy(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    class_weights: "_Numbers | None" = None,
    ties: str = "first",
) -> Tensor:
    """Score predictions in one call; arguments and errors are those of `WeightedAccuracy`.

    Args:
        preds: Predictions, see `WeightedAccuracy.update`.
        target: True classes (N,), integers in 0..K-1.
        num_classes: Number of classes K, 2 or more.
        class_weights: See `WeightedAccuracy`.
        ties: See `WeightedAccuracy`.

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
    weights = by_label(weights, "class_weights")
    numbers = torch.as_tensor(weights, dtype=torch.float64).detach().cpu()
    fits = numbers.shape == (num_classes,) and numbers.isfinite().all() and numbers.min() >= 0
    what = f"{num_classes} finite weights of 0 or more, at least one above 0"
    require(fits and numbers.any(), "class_weights", what, numbers.tolist())
    return numbers


def _predicted(preds: Any, num_classes: int) -> tuple[Tensor, Tensor]:
    """Turn classes or scores into classes, the first of equals, and tell which are ties."""
    if not isinstance(preds, Tensor) or preds.ndim != 2:
        _check_classes(preds, "preds", num_classes)
        classes = torch.as_tensor(preds)
        return classes, torch.zeros_like(classes, dtype=torch.bool)
    what, got = f"scores (N, {num_classes})", f"shape {tuple(preds.shape)}"
    require(preds.shape[1] == num_classes, "preds", what, got)
    require(not preds.isnan().any(), "preds", "scores without NaN", "NaN")
    best = preds == preds.amax(dim=1, keepdim=True)
    # torch.argmax does not say which of several equal maxima it returns, so they are ranked
    rank = torch.arange(num_classes, 0, -1, device=preds.device)
    return (best * rank).argmax(dim=1), best.sum(dim=1) > 1


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _check_classes(values: Any, name: str, num_classes: int) -> None:
    check_type(values, name, Tensor, "a tensor", "Use `torch.as_tensor`.")
    what = f"classes (N,) in 0..{num_classes - 1}"
    require(_is_integer(values), name, what, f"dtype {values.dtype}", error=TypeError)
    require(values.ndim == 1, name, what, f"shape {tuple(values.shape)}")
    low, high = (int(end) for end in values.aminmax()) if len(values) else (0, 0)
    require(low >= 0 and high < num_classes, name, what, f"{low}..{high}", FROM_ZERO)

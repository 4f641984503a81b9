"""Loss functions: cross-entropy and focal loss, class-weighted, smoothed, with soft targets."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LOSSES", "ClassificationLoss"]


class ClassificationLoss(nn.Module):
    """Cross-entropy or focal loss of hard or soft targets.

    With class probabilities p, a target t of sum 1, smoothed to t' = (1 - ε) t + ε / K, and weights
    w, an image has the loss Σₖ wₖ t'ₖ (1 - pₖ)^g (-log pₖ). The mean over a batch divides by the
    sum of Σₖ wₖ tₖ, so that with g = 0 it is that of `torch.nn.CrossEntropyLoss`; where that sum
    is 0, the loss is 0.

    Args:
        class_weights: Weight of each class (K,), 0 or more, or None for 1.
        gamma: Exponent g of the focal loss, 0 or more; 0 is cross-entropy.
        label_smoothing: Fraction ε of the target that is spread evenly over all classes, 0..1.

    References:
        Lin et al., Focal loss for dense object detection, 2017,
        https://doi.org/10.1109/ICCV.2017.324; Szegedy et al., Rethinking the Inception architecture
        for computer vision, 2016, https://doi.org/10.1109/CVPR.2016.308.

    Examples:
        >>> logits, label = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> plain, focal = ClassificationLoss(), ClassificationLoss(gamma=2.0)
        >>> round(float(plain(logits, label)), 3), round(float(focal(logits, label)), 3)
        (0.127, 0.002)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        class_weights: Tensor | None = None,
        *,
        gamma: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        """Keep the options, which `Trainer` has checked."""
        super().__init__()
        weights = None if class_weights is None else class_weights.float()
        # Not part of a state dict: a resumed run is given them again
        self.register_buffer("class_weights", weights, persistent=False)
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss of a batch.

        Args:
            logits: Logits (N, K), floating point.
            target: Classes (N,), integer, or probabilities (N, K).

        Returns:
            Loss, a scalar.
        """
        classes = logits.shape[1]
        hard = target.ndim == 1
        soft = nn.functional.one_hot(target, classes).to(logits.dtype) if hard else target
        log_p = logits.log_softmax(dim=1)
        smoothed = (1 - self.label_smoothing) * soft + self.label_smoothing / classes
        losses = -smoothed * log_p
        if self.gamma:
            # Not 0, where the gradient of a power below 1 is infinite
            easy = (1 - log_p.exp()).clamp(min=torch.finfo(log_p.dtype).tiny)
            losses = losses * easy**self.gamma
        if self.class_weights is not None:
            soft, losses = soft * self.class_weights, losses * self.class_weights
        total = soft.sum()
        empty = total == 0
        # Divide by 1 there: `where` passes on the NaN gradient of what it does not choose
        mean = losses.sum() / torch.where(empty, torch.ones_like(total), total)
        return torch.where(empty, torch.zeros_like(mean), mean)


LOSSES: dict[str, Callable[[Tensor | None, Any], nn.Module]] = {
    "cross_entropy": lambda weights, options: ClassificationLoss(
        weights, label_smoothing=options.label_smoothing
    ),
    "focal": lambda weights, options: ClassificationLoss(
        weights, gamma=options.focal_gamma, label_smoothing=options.label_smoothing
    ),
}
"""Losses by name, made of class weights (K,) or None and the `TrainerOptions`."""

"""One training step, one scoring step: the model as Lightning runs it."""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from dermolib._checks import expected
from dermolib.metrics import WeightedAccuracy

__all__ = ["ClassifierModule", "unpack"]


def unpack(batch: Any) -> tuple[Tensor, Tensor | None]:
    """Take image and label out of a batch.

    Args:
        batch: Dictionary with ``image`` (N, 3, H, W) and, where known, ``label`` (N,); or a pair.

    Returns:
        Images and labels, or None for labels that are not there.

    Raises:
        TypeError: The batch is neither, or its images are no float tensor.
    """
    if isinstance(batch, dict) and "image" in batch:
        image, label = batch["image"], batch.get("label")
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        image, label = batch
    else:
        what = "a dictionary with `image` and `label`, or a pair of them"
        raise TypeError(expected("batch", what, f"an object of type {type(batch).__name__}"))
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 4:
        got = f"{getattr(image, 'dtype', type(image).__name__)} of shape {tuple(image.shape)}"
        remedy = (
            "Give the dataset a transform that ends in one, such as "
            "`preset('evaluation', image_size=224)`."
        )
        raise TypeError(expected("image", "a float tensor (N, 3, H, W)", got, remedy))
    return image.float(), label


class ClassifierModule(lightning.LightningModule):
    """A classifier with its loss, optimiser and metrics.

    Args:
        model: Takes images (N, 3, H, W), gives logits (N, K).
        num_classes: Number of classes K.
        optimizer: ``"sgd"`` or ``"adamw"``.
        learning_rate: Learning rate, the highest one under a schedule.
        momentum: Momentum of SGD.
        weight_decay: Weight decay.
        schedule: ``"constant"``, ``"cosine"`` or ``"onecycle"``.
        class_weights: Weight of each class in the loss of training (K,), or None. The loss of
            validation is plain cross-entropy, so that runs can be compared.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        optimizer: str,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        schedule: str,
        class_weights: Tensor | None,
    ) -> None:
        """Keep the model and make the metrics."""
        super().__init__()
        self.model = model
        self.num_classes = num_classes
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._schedule = schedule
        weight = None if class_weights is None else class_weights.float()
        self.loss = nn.CrossEntropyLoss(weight=weight)
        self.weighted_accuracy = WeightedAccuracy(num_classes)
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (N, K), float32."""
        logits: Tensor = self.model(image.contiguous(memory_format=torch.channels_last))
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            what = f"a model with logits (N, {self.num_classes})"
            remedy = "Build it with the same `num_classes` that the Trainer has."
            raise ValueError(expected("model", what, f"{tuple(logits.shape)}", remedy))
        return logits.float()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute the loss of a batch."""
        image, label = self._labelled(batch)
        logits = self(image)
        loss: Tensor = self.loss(logits, label)
        right = (logits.detach().argmax(dim=1) == label).float().mean()
        numbers = {"train_loss": loss.detach(), "train_accuracy": right}
        self.log_dict(numbers, on_step=False, on_epoch=True, batch_size=len(label), sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Stop a run whose loss is no number any more."""
        loss = self.trainer.callback_metrics.get("train_loss")
        if loss is not None:
            self._check_finite("train_loss", loss)

    def _check_finite(self, name: str, values: Tensor) -> None:
        if not bool(torch.isfinite(values).all()):
            remedy = "Lower `learning_rate`, or look for NaN in the images."
            raise RuntimeError(expected(name, "finite", "NaN or infinity", remedy))

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Score a batch."""
        image, label = self._labelled(batch)
        logits = self(image)
        self._check_finite("logits", logits)
        self.weighted_accuracy.update(logits, label)
        self.accuracy.update(logits, label)
        numbers: dict[str, Any] = {
            "validation_loss": nn.functional.cross_entropy(logits, label),
            "validation_weighted_accuracy": self.weighted_accuracy,
            "validation_accuracy": self.accuracy,
        }
        self.log_dict(numbers, on_step=False, on_epoch=True, batch_size=len(label), sync_dist=True)
        count = float(len(label))
        self.log("validation_n", count, on_epoch=True, reduce_fx="sum", sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute probabilities (N, K), float32, on the CPU."""
        probabilities: Tensor = self(unpack(batch)[0]).softmax(dim=1)
        self._check_finite("probabilities", probabilities)
        return probabilities.cpu()

    def configure_optimizers(self) -> Any:
        """Make the optimiser and, unless it is constant, the schedule."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        rate, decay = self._learning_rate, self._weight_decay
        optimizer: torch.optim.Optimizer
        if self._optimizer == "sgd":
            optimizer = torch.optim.SGD(
                parameters, lr=rate, momentum=self._momentum, weight_decay=decay
            )
        else:
            optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        if self._schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler: torch.optim.lr_scheduler.LRScheduler
        if self._schedule == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        else:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, rate, total_steps=steps, cycle_momentum=False
            )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _labelled(self, batch: Any) -> tuple[Tensor, Tensor]:
        image, found = unpack(batch)
        label: Any = found
        if label is None:
            what = "a batch with `label`"
            raise ValueError(
                expected("batch", what, "none", "Use `predict` for unlabelled images.")
            )
        what = f"classes (N,) in 0..{self.num_classes - 1}"
        if not isinstance(label, Tensor) or label.is_floating_point() or label.ndim != 1:
            got = f"{getattr(label, 'dtype', type(label).__name__)}"
            raise TypeError(expected("label", what, got))
        # On a GPU the first batch is looked at alone, since each look waits for the device
        if label.device.type == "cpu" or self.global_step == 0:
            self._check_range(label, what)
        return image, label.long()

    def _check_range(self, label: Tensor, what: str) -> None:
        if int(label.min()) < 0 or int(label.max()) >= self.num_classes:
            remedy = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
            raise ValueError(expected("label", what, sorted(set(label.tolist())), remedy))

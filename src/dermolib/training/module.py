"""One training step, one scoring step: the model as Lightning runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from dermolib._validation import expected
from dermolib.metrics.weighted_accuracy import WeightedAccuracy
from dermolib.training.batches import Batch, check_finite_images, labelled, unpack
from dermolib.training.fitness import check_logits
from dermolib.training.losses import ClassificationLoss
from dermolib.training.mixing import mix
from dermolib.training.optimizers import frozen_modules, make_optimizer, make_schedule
from dermolib.training.recipe import Recipe

__all__ = ["ClassifierModule"]

_SUMS = "train_sums"


class ClassifierModule(lightning.LightningModule):
    """A classifier with its loss, optimiser and metrics.

    What is drawn in a step of training follows from the seed, the epoch, the batch and the process
    alone, so that a run that goes on draws what it would have drawn.

    Args:
        model: Takes images (N, 3, H, W), gives logits (N, K); metadata (N, M) are its second
            argument where it has an attribute ``takes_metadata`` that is true.
        num_classes: Number of classes K.
        recipe: How it is trained.
        class_weights: Weight of each class in the loss of training (K,), or None. The loss of
            validation is plain cross-entropy, so that runs can be compared.
        seed: Seed of the run.
        channels_last: Whether images go to the model in channels-last memory.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        recipe: Recipe,
        class_weights: Tensor | None = None,
        seed: int = 0,
        channels_last: bool = True,
    ) -> None:
        """Keep the model and make the metrics."""
        super().__init__()
        if channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        self.num_classes = num_classes
        self.recipe = recipe
        self.learning_rate = recipe.learning_rate  # where Lightning's finder looks for it
        self.loss = ClassificationLoss(
            class_weights,
            gamma=recipe.focal_gamma if recipe.loss == "focal" else 0.0,
            label_smoothing=recipe.label_smoothing,
        )
        self.weighted_accuracy = WeightedAccuracy(num_classes)
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        # Lightning's own mean over processes divides by a rounded number of images
        self.validation_loss = MeanMetric()
        self.stops = True  # whether a number that is none ends the run
        self.kept: Path | None = None  # where the last state of the run lies
        self._seed = seed
        self._memory = torch.channels_last if channels_last else torch.contiguous_format
        self.still: Sequence[nn.Module] = frozen_modules(model, recipe.freeze)
        self._sums: Tensor | None = None  # loss, right answers and images of the epoch so far
        self._before = [0.0, 0.0, 0.0]  # the same of its part before a run went on

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits (N, K), float32."""
        image = batch.image.contiguous(memory_format=self._memory)
        if not getattr(self.model, "takes_metadata", False):
            return check_logits(self.model(image), len(image), self.num_classes)
        if batch.metadata is None:
            remedy = "Make the dataset with `metadata=True`."
            raise ValueError(expected("batch", "a batch with `metadata`", "none", remedy))
        return check_logits(self.model(image, batch.metadata), len(image), self.num_classes)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Seed what the step draws, and keep frozen layers from learning statistics."""
        numbers = [self._seed, self.current_epoch, batch_idx, self.global_rank]
        state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
        self._seed_device(int(state[0] >> np.uint64(1)))
        for module in self.still:
            module.training = False

    def _seed_device(self, seed: int) -> None:
        """Seed the generators that a step draws from; torch's own call costs a millisecond more."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute the loss of a batch."""
        ready, label = self._labelled(batch)
        if self.recipe.mixup or self.recipe.cutmix:
            ready = mix(
                ready,
                mixup=self.recipe.mixup,
                cutmix=self.recipe.cutmix,
                num_classes=self.num_classes,
            )
        logits = self(ready)
        if not logits.requires_grad:
            remedy = "Leave `detach` and `torch.no_grad` out of its `forward`."
            what = "a model whose logits have a gradient"
            raise ValueError(expected("model", what, "logits without one", remedy))
        loss: Tensor = self.loss(logits, label if ready.soft_label is None else ready.soft_label)
        if loss.device.type == "cpu":
            self._check_finite("train_loss", loss)
        self._add(loss.detach(), logits.detach(), label)
        return loss

    def epoch_numbers(self) -> dict[str, float]:
        """Return ``train_loss`` and ``train_accuracy`` of the epoch so far, over all processes."""
        loss, right, count = self._reduced()
        numbers = {"train_loss": loss / count, "train_accuracy": right / count}
        self._check_finite("train_loss", torch.tensor(numbers["train_loss"]))
        return numbers

    def clear_epoch(self) -> None:
        """Forget the numbers of the epoch."""
        self._sums, self._before = None, [0.0, 0.0, 0.0]

    def check_state(self) -> None:
        """Refuse to go on, or to be kept, after a loss or a step that made no numbers."""
        if self._sums is not None:
            self._check_finite("train_loss", self._sums[0])
        norms = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        self._check_finite("weights", torch.stack(norms).sum())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the numbers of the epoch so far."""
        checkpoint[_SUMS] = self._reduced()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the numbers of the epoch so far, in one process for all."""
        self.clear_epoch()
        if self.global_rank == 0:
            self._before = list(checkpoint[_SUMS])

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Score a batch."""
        ready, label = self._labelled(batch)
        logits = self(ready)
        self._check_finite("logits", logits)
        self.weighted_accuracy.update(logits, label)
        self.accuracy.update(logits, label)
        size = len(logits)
        self.validation_loss.update(nn.functional.cross_entropy(logits, label), size)
        numbers: dict[str, Any] = {
            "validation_loss": self.validation_loss,
            "validation_weighted_accuracy": self.weighted_accuracy,
            "validation_accuracy": self.accuracy,
        }
        self.log_dict(numbers, on_step=False, on_epoch=True, batch_size=size)
        self.log("validation_n", float(size), on_epoch=True, reduce_fx="sum", sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute probabilities (N, K), float32, on the CPU."""
        ready = unpack(batch)
        if ready.image.device.type == "cpu":
            check_finite_images(ready)
        probabilities: Tensor = self(ready).softmax(dim=1)
        self._check_finite("probabilities", probabilities)
        return probabilities.cpu()

    def configure_optimizers(self) -> Any:
        """Make the optimiser and, unless it is constant, the schedule."""
        whole = isinstance(self.trainer.strategy, (SingleDeviceStrategy, DDPStrategy))
        fused = whole and str(self.trainer.precision) != "16-mixed"
        optimizer = make_optimizer(self.model, self.recipe, fused=fused)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = make_schedule(optimizer, self.recipe, steps)
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients; Lightning refuses to with one kernel, even where nothing is scaled."""
        if gradient_clip_val is not None and optimizer.defaults["fused"]:
            nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(
                optimizer,
                gradient_clip_val=gradient_clip_val,
                gradient_clip_algorithm=gradient_clip_algorithm,
            )

    def _labelled(self, batch: Any) -> tuple[Batch, Tensor]:
        """Look at a batch; on a GPU at the first alone, since each look waits for the device."""
        ready = labelled(batch, self.num_classes, values=self.global_step == 0)
        label: Any = ready.label
        return ready, label

    def _add(self, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        count = torch.full_like(loss, len(logits))
        right = (logits.argmax(dim=1) == label).sum()
        step = torch.stack([loss * count, right.to(loss.dtype), count])
        exact = step if step.device.type == "mps" else step.double()
        self._sums = exact if self._sums is None else self._sums + exact

    def _reduced(self) -> list[float]:
        sums = torch.zeros(3, device=self.device) if self._sums is None else self._sums
        here = sums + torch.tensor(self._before, device=sums.device, dtype=sums.dtype)
        everywhere: Any = self.trainer.strategy.reduce(here, reduce_op="sum")
        return [float(value) for value in everywhere]

    def _check_finite(self, name: str, values: Tensor) -> None:
        if self.stops and not bool(torch.isfinite(values).all()):
            remedy = "Lower `learning_rate`, or clip the gradient (`gradient_clip=1.0`)."
            if self.kept is not None and self.global_step:  # else there is nothing to go on from
                remedy += f" The state before is kept in {self.kept}."
            raise RuntimeError(expected(name, "finite", "NaN or infinity", remedy))

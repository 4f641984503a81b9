"""Lightning module: one training step, one scoring step, one prediction step of a classifier."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from dermolib._validation import expected, require, warn
from dermolib.labels import warn_if_from_one
from dermolib.metrics.weighted_accuracy import WeightedAccuracy
from dermolib.models.weights import check_finite, first_broken, own_constants
from dermolib.training.batches import Batch, check_finite_images, form, labeled, mix, unpack
from dermolib.training.config import TrainerOptions
from dermolib.training.logits import float32_logits
from dermolib.training.losses import LOSSES
from dermolib.training.optimizers import frozen_modules, make_optimizer, make_schedule
from dermolib.training.tta import Views, make_views

__all__ = ["ClassifierModule", "NotFiniteError"]

_SUMS = "train_sums"
_PIXEL = 20.0  # above what any usual normalization gives
_SUM = 1e-3  # what rounding to half precision may add to a sum of probabilities
# What torch says, computed and compiled, of a view that would need a copy
_OF_VIEW = ("view size is not compatible", "Cannot view a tensor")


class NotFiniteError(RuntimeError):
    """A loss, an output or a weight is NaN or infinite."""


class _State:
    """What a forward pass in training changes: torch's generators and the buffers of the model."""

    def __init__(self, module: lightning.LightningModule) -> None:
        self._generator = torch.get_rng_state()
        self._on_gpu = torch.cuda.get_rng_state() if module.device.type == "cuda" else None
        self._buffers = [(one, one.clone()) for one in module.buffers()]

    def restore(self) -> None:
        torch.set_rng_state(self._generator)
        if self._on_gpu is not None:
            torch.cuda.set_rng_state(self._on_gpu)
        for own, value in self._buffers:
            own.copy_(value)


class ClassifierModule(lightning.LightningModule):
    """A classifier with its loss, optimizer and metrics.

    What a training step draws follows from the seed, the epoch, the batch and the process alone, so
    that a resumed run draws what it would have drawn.

    The validation loss is plain cross-entropy, so that runs can be compared.
    """

    def __init__(
        self,
        model: nn.Module,
        options: TrainerOptions,
        class_weights: Tensor | None = None,
        *,
        compiled: bool = False,
        views: Views | None = None,
    ) -> None:
        """Keep the model and make the metrics; `views` are what `predict_step` averages over."""
        super().__init__()
        self._views = views or make_views(None)
        if options.channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        # As functions, since an average deep-copies the module, and loggers cannot be copied
        self.options: Callable[[], TrainerOptions] = lambda: options
        self._call: Any = (
            torch.compile(lambda *inputs: model(*inputs)) if compiled else model.__call__
        )
        loss = options.loss
        self.loss: Any = LOSSES[loss](class_weights, options) if isinstance(loss, str) else loss
        self.num_classes = int(options.num_classes or 0)  # settled before a run
        self._looked = False  # whether a batch was looked at for what trains badly
        self.weighted_accuracy = WeightedAccuracy(self.num_classes)
        self.accuracy = MulticlassAccuracy(self.num_classes, average="micro")
        # Lightning's own mean over processes divides by a rounded number of images
        self.validation_loss = MeanMetric()
        self.stop_at_nan = True
        self.warns_of_labels = False  # whether the labels of the first epoch are looked at
        self.warns_of_scored_labels = True
        self._ends: Tensor | None = None  # lowest and negative highest label of the first epoch
        self.own = own_constants(model)
        self._kept = frozenset(model.state_dict())  # a buffer that is not saved may hold anything
        self.frozen_modules = frozen_modules(model, options.freeze)
        self._memory = torch.channels_last if options.channels_last else torch.contiguous_format
        self._has_run = False  # whether the model has computed a batch in training
        self._sums: Tensor | None = None  # loss, correct answers and images of the epoch so far
        self._resumed_sums = [0.0, 0.0, 0.0]  # the same of the part before a run was resumed

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits (N, K), float32."""
        inputs = [batch.image.contiguous(memory_format=self._memory)]
        if getattr(self.model, "takes_metadata", False):
            what, hint = "a batch with `metadata`", "Make the dataset with `metadata=True`."
            require(batch.metadata is not None, "batch", what, "none", hint)
            inputs += [batch.metadata]  # type: ignore[list-item]  # not None, as just checked
        logits = self._as_logits(self._computed(inputs), len(batch.image))
        if not self._looked:
            self._looked = True
            _warn_of_unfit(batch.image, logits)
        return logits

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Seed what the step draws, and fix the statistics of frozen layers."""
        numbers = [self.options().seed, self.current_epoch, batch_idx, self.global_rank]
        state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
        seed = int(state[0] >> np.uint64(1))
        # The generators that a step draws from; `torch.manual_seed` takes a millisecond more
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)
        for module in self.frozen_modules:
            module.training = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute the loss of a batch."""
        ready = self._labeled(batch)
        mixed = {"mixup": self.options().mixup, "cutmix": self.options().cutmix}
        if any(mixed.values()):
            ready = mix(ready, num_classes=self.num_classes, **mixed)
        logits = self(ready)
        hint = "Leave `detach` and `torch.no_grad` out of its `forward`."
        what = "a model whose logits have a gradient"
        require(logits.requires_grad, "model", what, "logits without one", hint)
        loss = self.loss(logits, ready.target)
        if not (isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad):
            what = "a callable that returns a scalar tensor with a gradient"
            many = isinstance(loss, Tensor) and loss.ndim > 0
            got = f"{self.loss!r}, which returned {form(loss) if many else repr(loss)}"
            hint = "Return its `.mean()`." if many else ""
            raise TypeError(expected("loss", what, got, hint))
        if loss.device.type == "cpu":
            self._stop_if_nan("train_loss", loss)
        self._add(loss.detach(), logits.detach(), ready.label)
        if self.warns_of_labels:
            self._note(ready.label)
        return loss

    def epoch_metrics(self) -> dict[str, float]:
        """Return ``train_loss`` and ``train_accuracy`` of the epoch so far, over all processes."""
        loss, correct, count = self._reduced()
        metrics = {"train_loss": loss / count, "train_accuracy": correct / count}
        self._stop_if_nan("train_loss", torch.tensor(metrics["train_loss"]))
        return metrics

    def reset_epoch(self) -> None:
        """Forget the sums of the epoch."""
        self._sums, self._resumed_sums = None, [0.0, 0.0, 0.0]

    def stop_if_broken(self) -> None:
        """Raise in all processes after a loss or a step that was not finite in one of them."""
        loss = self._sums is not None and not bool(torch.isfinite(self._sums[0]))
        broken = loss or bool(self.broken())
        if self.trainer.strategy.reduce_boolean_decision(broken, all=False):
            self._stop("train_loss" if loss else "weights")

    def broken(self) -> str:
        """Name the first weight with NaN or infinity, or buffer of weights; empty if none has."""
        buffers = (one for one in self.model.named_buffers() if one[0] in self._kept)
        return first_broken([*self.model.named_parameters(), *buffers], self.own)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums of the epoch so far, unless there is nothing that should be saved."""
        self.stop_if_broken()
        checkpoint[_SUMS] = self._reduced()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of the epoch so far, in one process for all."""
        path, hint = str(self.trainer.ckpt_path), "Pass `resume=False` to start over."
        for key in ("state_dict", "current_model_state"):  # the second where these are averages
            named = checkpoint.get(key, {}).items()
            weights = [(name.removeprefix("model."), one) for name, one in named]
            check_finite(weights, path, self.own, hint=hint)
        self.reset_epoch()
        if self.global_rank == 0:
            self._resumed_sums = list(checkpoint[_SUMS])

    def on_train_epoch_end(self) -> None:
        """Warn once of labels that seem to begin at 1."""
        if self._ends is not None:
            ends: Any = self.trainer.strategy.reduce(self._ends, reduce_op="min")
            self._ends, self.warns_of_labels = None, False
            warn_if_from_one(ends.abs(), "label")

    def on_validation_epoch_start(self) -> None:
        """Let the score warn of labels that seem to begin at 1, in the first whole validation."""
        self.weighted_accuracy.warns = (
            self.warns_of_scored_labels and not self.trainer.sanity_checking
        )

    def on_validation_epoch_end(self) -> None:
        """Leave it at one warning."""
        self.warns_of_scored_labels &= self.trainer.sanity_checking

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Score a batch."""
        ready = self._labeled(batch)
        with float32_logits(self.model, self.num_classes):
            logits: Tensor = self(ready)
        label: Any = ready.label
        self._stop_if_nan("logits", logits)
        self.weighted_accuracy.update(logits, label)
        self.accuracy.update(logits, label)
        size = len(logits)
        self.validation_loss.update(nn.functional.cross_entropy(logits, label), size)
        metrics: dict[str, Any] = {
            "validation_loss": self.validation_loss,
            "validation_weighted_accuracy": self.weighted_accuracy,
            "validation_accuracy": self.accuracy,
        }
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=size)
        self.log("validation_n", float(size), on_epoch=True, reduce_fx="sum", sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Compute probabilities (N, K), float32, on the CPU."""
        ready = unpack(batch)
        if ready.image.device.type == "cpu":
            check_finite_images(ready)
        every = [
            self(replace(ready, image=view)).softmax(dim=1) for view in self._views(ready.image)
        ]
        probabilities = every[0] if len(every) == 1 else torch.stack(every).mean(dim=0)
        self._stop_if_nan("probabilities", probabilities)
        return probabilities.cpu()

    def configure_optimizers(self) -> Any:
        """Make the optimizer and, unless the rate is constant, the schedule."""
        whole = isinstance(self.trainer.strategy, (SingleDeviceStrategy, DDPStrategy))
        fused = whole and str(self.trainer.precision) != "16-mixed"
        optimizer = make_optimizer(self.model, self.options(), fused=fused)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = make_schedule(optimizer, self.options(), steps)
        return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients; Lightning refuses to with a fused step, even where nothing is scaled."""
        if gradient_clip_val is not None and optimizer.defaults.get("fused"):
            nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _computed(self, inputs: list[Tensor]) -> Any:
        """Call the model, from now on without channels-last memory where a `view` in it fails."""
        last = self._memory is torch.channels_last
        before = _State(self) if last and self.training and not self._has_run else None
        try:
            output = self._call(*inputs)
        except RuntimeError as error:
            if not (last and any(words in str(error) for words in _OF_VIEW)):
                raise
            self._memory = torch.contiguous_format
            self.model.to(memory_format=self._memory)
            if before is not None:
                before.restore()
            output = self._call(*(one.contiguous() for one in inputs))
            got = "one with a `view` of its feature maps, which runs without `channels_last`"
            hint = "Pass `channels_last=False`, or use `flatten` or `reshape` in place of `view`."
            warn(expected("model", "one for channels-last images", got, hint))
        self._has_run |= self.training
        return output

    def _labeled(self, batch: Any) -> Batch:
        """Check a batch; on a GPU, which each check has to wait for, values at the first alone."""
        return labeled(batch, self.num_classes, check_values=self.global_step == 0)

    def _as_logits(self, output: Any, count: int) -> Tensor:
        """Return the output of the model as logits (N, K), float32."""
        what, shape = f"a model with logits (N, {self.num_classes})", (count, self.num_classes)
        fits = isinstance(output, Tensor) and output.is_floating_point()
        hint = "Return the logits alone, of the same `num_classes` that the Trainer has."
        require(fits, "model", what, form(output), hint, error=TypeError)
        if output.shape == (count, 1) and self.num_classes == 2:
            output = torch.cat([torch.zeros_like(output), output], dim=1)
        space = self.options().label_space
        if space is not None:
            what += f", the classes of {space}"
            hint = "Build it with `build_model(..., num_classes=len(dataset.label_space))`."
        require(output.shape == shape, "model", what, f"{form(output)}, N being {count}", hint)
        logits: Tensor = output.float()
        return logits

    def _add(self, loss: Tensor, logits: Tensor, label: Any) -> None:
        count = torch.full_like(loss, len(logits))
        correct = (logits.argmax(dim=1) == label).sum()
        step = torch.stack([loss * count, correct.to(loss.dtype), count])
        exact = step if step.device.type == "mps" else step.double()
        self._sums = exact if self._sums is None else self._sums + exact

    def _note(self, label: Any) -> None:
        """Note the lowest and the highest label, without making a device wait."""
        ends = torch.stack([label.min(), -label.max()])
        self._ends = ends if self._ends is None else torch.minimum(self._ends, ends)

    def _reduced(self) -> list[float]:
        sums = torch.zeros(3, device=self.device) if self._sums is None else self._sums
        here = sums + torch.tensor(self._resumed_sums, device=sums.device, dtype=sums.dtype)
        everywhere: Any = self.trainer.strategy.reduce(here, reduce_op="sum")
        return [float(value) for value in everywhere]

    def _stop_if_nan(self, name: str, values: Tensor) -> None:
        if self.stop_at_nan and not bool(torch.isfinite(values).all()):
            self._stop(name)

    def _stop(self, name: str) -> NoReturn:
        got, broken = "NaN or infinity", self.broken()
        if self.global_step:
            got += f" after step {self.global_step}, in epoch {self.current_epoch + 1}"
        got += f", first in `{broken}`" if broken else ""
        hint = "Lower `learning_rate`, or clip the gradient (`gradient_clip=1.0`)."
        raise NotFiniteError(expected(name, "finite", got, hint))


def _warn_of_unfit(image: Tensor, logits: Tensor) -> None:
    """Warn of a batch whose pixels are not normalized, or whose logits are probabilities."""
    highest = float(image.max())
    if highest > _PIXEL:
        what, got = "normalized images, about -3..3", f"values up to {highest:g}"
        hint = "Divide by 255 and normalize, as `preset('evaluation')` does."
        warn(expected("image", what, got, hint))
    sums_to_one = ((logits.sum(dim=1) - 1).abs() < _SUM).all()
    between = (logits > 0) & (logits < 1)
    if bool(sums_to_one & (logits >= 0).all() & between.any()):
        what, got = "a model with logits", "rows of sum 1 in 0..1, which are probabilities"
        hint = "Leave the softmax out: the loss and `predict` apply it."
        warn(expected("model", what, got, hint))

"""Fit, score and predict with a classifier of images."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dermolib._validation import PathLike, check_number, require
from dermolib.labels import known_label_space
from dermolib.models.weights import check_finite, own_constants
from dermolib.training.checkpoint import plain_module, read_checkpoint, write_checkpoint
from dermolib.training.config import TrainerOptions, run_config
from dermolib.training.data import (
    as_loader,
    data_fingerprint,
    image_fingerprint,
    in_order,
    labels_of,
)
from dermolib.training.history import History, LearningRates
from dermolib.training.sampling import loss_weights, sampling_weights, warn_of_absent_classes
from dermolib.training.tta import View, make_views

__all__ = ["Trainer"]

_SCORES = ("loss", "accuracy", "weighted_accuracy", "n")
_COLUMNS = ("epoch", "learning_rate", "train_loss", *(f"validation_{name}" for name in _SCORES[:3]))
# Options that `overfit_batch` does not replace by plain ones
_KEPT = "num_classes device devices num_nodes strategy precision channels_last seed progress"


@dataclass(frozen=True, eq=False, repr=False)
class Trainer(TrainerOptions):
    """Train a classifier on Lightning, keep its best weights, score it and predict with it.

    Device and precision choose themselves. The seed fixes the order of the images, drop-out and
    the random transforms of datasets given here; torch's global generator is restored. A dataset
    is batched here; a loader is used as it is. Losses, optimizers and schedules are chosen by name
    or given as objects; a run with your own objects resumes exactly as well. Options are attributes
    that do not change. See the guide on training.

    Args:
        model: Maps images (N, 3, H, W), float32, to logits (N, K), and is trained in place. For two
            classes it may have one logit (N, 1), that of the second class: z counts as the logits
            (0, z), whose softmax is the sigmoid of z. A model with a true attribute
            ``takes_metadata`` is given the metadata (N, M) as well. After `fit` with validation it
            has the weights of the epoch with the highest weighted accuracy, the first of equals. It
            is left in training mode: call ``model.eval()`` before using it outside of the Trainer.
        OPTIONS

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range, or the machine lacks the device or precision.
        UserWarning: Both `class_weights` and `sampler` are given; a warning.
    """

    model: nn.Module = field(kw_only=False)

    def __post_init__(self) -> None:
        """Check the model and the options."""
        plain_module(self.model)
        super().__post_init__()
        _ = self._constants
        own = [] if not isinstance(self.loss, nn.Module) else self.loss.parameters()
        shared = set(map(id, self.model.parameters()))
        learning = any(p.requires_grad and id(p) not in shared for p in own)
        what, got = "a loss without parameters that learn", f"{type(self.loss).__name__} with some"
        hint = "Make them a part of the model, or call `requires_grad_(False)` on the loss."
        require(not learning, "loss", what, got, hint)

    @property
    def configuration(self) -> dict[str, Any]:
        """Options that decide how a run ends, apart from the images, as plain values by name.

        `dermolib.evaluation.cross_validate` compares its folds by it.
        """
        return run_config(self, self.model)

    def fit(self, train: Any, validation: Any = None, *, resume: bool | str = True) -> History:
        """Train for all epochs, then load the best weights.

        The `output` folder holds ``last.ckpt``, from which a run that was cut off resumes when the
        same call is made again, with the same weights and history as if nothing had happened;
        ``best.pt``, the best weights so far, which `load` reads; ``history.csv``; a TensorBoard
        log; and ``run.json``, which lists them. The state, that of your own optimizer, schedule,
        loss and callbacks included, is saved at the start, after each epoch and every `save_every`
        steps, within an epoch for datasets and loaders of `make_loader` and `DeviceLoader`, whose
        order is known. On SIGTERM it is saved after the step and the process ends with 143. A
        finished run leaves no ``last.ckpt`` (see `keep_state`); the next one trains from the start,
        and after its first step moves the results of the earlier one to a folder ``run-1``,
        ``run-2`` and so on. Files that no run has written are never touched. One run trains in a
        folder at a time.

        The first batch of `validation` is scored before the first step. On a GPU, where each check
        has to wait for the device, values are checked then and in the first step only.

        Args:
            train: Dataset or loader of batches ``{"image": (N, 3, H, W) float, "label": (N,)}``;
                with ``soft_label`` (N, K) the loss takes these probabilities as its target.
            validation: The same; None trains without scoring and keeps the last weights.
            resume: Whether an unfinished run in `output` is resumed; otherwise a new one starts,
                which keeps the results of that one, but not its state. ``"prolong"`` goes on with a
                finished run of fewer `epochs` as if it had had these from the start: one that was
                trained with `keep_state` and a constant rate, or your own schedule.

        Returns:
            One row for each epoch, see `History`.

        Raises:
            TypeError: A batch has another form, or your own loss, optimizer or schedule returns
                something else than it should.
            ValueError: A set is empty or needed labels are missing, model or values do not fit,
                another run trains in the folder, or it holds files of others, a changed run or an
                unfinished one of another configuration or of other images.
            RuntimeError: Rows of a dataset have no label; or loss or weights are no longer finite,
                which is checked before they are saved or returned: the model then has the weights
                of the state before in `output`, or else those of the best epoch, where there are.
            OSError: The disk is full; what was saved before is kept.
            UserWarning: A class has no image, or labels seem to begin at 1; a warning, which comes
                after the first epoch where the labels of a loader are not known before.
        """
        known, what = isinstance(resume, bool) or resume == "prolong", "True, False or 'prolong'"
        require(known, "resume", what, repr(resume))
        if resume == "prolong":
            self._check_prolonged()
        what, scored = "None without a validation set", validation is not None
        fits = self.early_stopping is None or scored
        require(fits, "early_stopping", what, self.early_stopping)
        from dermolib.training import run

        hint = "Build it again, or load other weights."
        check_finite(self.model.state_dict().items(), "model", self._constants, hint=hint)
        scoring = as_loader(validation, "validation", self) if scored else None
        self._settle_on(train=train, validation=validation)
        loader, weights = self._training_set(train, validation)
        sets: dict[str, Any] = {}
        for name, data in (("training set", train), ("validation set", validation)):
            sets[name] = data_fingerprint(data)
            if self.output is not None:  # else nothing resumes
                sets[f"images of the {name}"] = image_fingerprint(data)
        with run.seeded(train, self.seed):
            rows = run.train(
                self.model,
                self,
                loader,
                scoring,
                class_weights=weights,
                metadata={
                    "class_names": list(self.class_names or ()),
                    "config": {**run_config(self, self.model), **sets},
                },
                resume=resume,
                save=self.save,
            )
        return History([{name: row[name] for name in _COLUMNS if name in row} for row in rows])

    def evaluate(self, data: Any) -> dict[str, float]:
        """Score the model.

        Args:
            data: Dataset or loader with labels.

        Returns:
            ``loss``, plain cross-entropy; ``accuracy``; ``weighted_accuracy``, which weights the
            classes of `data` equally; and ``n``, the number of images.

        Raises:
            TypeError: A batch has another form.
            ValueError: The set is empty, or its batches have no labels.
            RuntimeError: Rows of the dataset have no label.
        """
        self._settle_on(data=data)
        labels_of(data)  # missing ones raise before an image is read
        loader = as_loader(data, "data", self)
        from dermolib.training import run

        with run.seeded(data, self.seed):
            scores = run.score(self.model, self, loader)
        return {name: float(scores[f"validation_{name}"]) for name in _SCORES}

    def predict(self, data: Any, *, tta: "str | View | Sequence[View] | None" = None) -> Tensor:
        """Compute the probabilities of the classes.

        The last layer, if it is a `torch.nn.Linear`, computes in float32 whatever the precision of
        the others, so that rounding makes no ties between classes; in `evaluate`, too.

        Args:
            data: Dataset or loader; labels are not needed and not read.
            tta: Test-time augmentation, whose views' probabilities are averaged: ``"flips"``,
                ``"dihedral"``, ``"crops"`` or ``"scales"``, see `dermolib.training.TTA`; or a
                function or a list of functions of images (N, 3, H, W) that each return one more
                view, of the same size. Metadata are the same for each view. None takes the images
                as they are.

        Returns:
            Probabilities (N, K), float32, in the order of `data`.

        Raises:
            TypeError: A batch has another form, or `tta` is neither.
            ValueError: The set is empty, its loader shuffles, or a view has another size.
            RuntimeError: A probability is not finite.
        """
        views = make_views(tta)
        self._settle_on(data=data)
        loader = in_order(as_loader(data, "data", self))
        from dermolib.training import run

        with run.seeded(data, self.seed):
            return run.predict(self.model, self, loader, views)

    def overfit_batch(
        self, batch: Any, epochs: int = 200, *, learning_rate: float = 0.001
    ) -> History:
        """Check that the model can overfit one batch: the paper's test before training.

        A copy of the model is trained on the batch alone with SGD and cross-entropy; the model
        itself is unchanged. Every 10 epochs a line is written to standard error, unless the
        Trainer was made with ``progress=False``. It ends early when the loss falls below 0.01.

        Args:
            batch: A batch, ``{"image": (N, 3, H, W) float, "label": (N,)}``; the paper uses 64.
            epochs: Maximum number of epochs, 1 or more.
            learning_rate: Learning rate, above 0.

        Returns:
            A row for each epoch: ``epoch``, ``loss`` and ``accuracy``, as training sees them, so
            with drop-out active.

        Raises:
            TypeError: The batch has another form.
            ValueError: The batch has no labels, or an argument is out of range.
        """
        self._settle_on()
        kept = {name: getattr(self, name) for name in _KEPT.split()}
        options: dict[str, Any] = {"optimizer": "sgd", "schedule": "constant", "weight_decay": 0.0}
        options |= {**kept, "epochs": epochs, "learning_rate": learning_rate}
        trial = Trainer(copy.deepcopy(self.model), **options)
        from dermolib.training import run

        with run.seeded(None, self.seed):
            return History(run.overfit(trial.model, trial, batch))

    def find_learning_rate(
        self, train: Any, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100
    ) -> LearningRates:
        """Train a copy of model and loss with rising learning rates, to see which ones work.

        All options are those of `fit` but the schedule, the weight average and layer-wise rates.

        Args:
            train: Dataset or loader, as for `fit`.
            lowest: Learning rate of the first step, above 0.
            highest: Learning rate of the last step, above `lowest`.
            steps: Number of steps, 20 or more.

        Returns:
            Rates, losses, and a suggestion for the highest rate of `fit`.

        Raises:
            ValueError: An argument is out of range, or the training set as in `fit`.
            UserWarning: The loss falls nowhere, so there is no suggestion; a warning.
        """
        check_number(lowest, "lowest", above=0)
        check_number(highest, "highest", above=lowest)
        check_number(steps, "steps", low=20, integer=True)
        self._settle_on(train=train)
        loader, weights = self._training_set(train)
        from dermolib.training import run

        rising = run.exponential_schedule(lowest, highest, steps)
        model, loss = copy.deepcopy((self.model, self.loss))
        changed: dict[str, Any] = {"schedule": rising, "warmup": None, "epochs": steps}
        trial = replace(self, model=model, loss=loss, sampler=None, **changed)
        with run.seeded(train, self.seed):
            return run.find_rates(model, trial, loader, weights)

    def save(self, path: PathLike) -> None:
        """Write weights, class names, label space, options and how the model was built, atomically.

        Args:
            path: Target file.

        Raises:
            ValueError: The path is a folder, or weights are NaN or infinite. Buffers of your own
                that were so when the Trainer was made, such as a mask for attention, may be.
        """
        self._settle_on()
        config = run_config(self, self.model)
        names = list(self.class_names or ())
        write_checkpoint(Path(path), self.model, names, config, self._constants)

    @classmethod
    def load(cls, path: PathLike, *, model: nn.Module | None = None, **options: Any) -> "Trainer":
        """Read what `save` wrote. Nothing in the file is executed.

        Args:
            path: File of `save`.
            model: Module to load the weights into, for one that `build_model` did not build.
            options: Options of the Trainer, such as `device`; they are not stored.

        Returns:
            Trainer with the stored model, class names and label space.

        Raises:
            FileNotFoundError: There is no such file.
            TypeError: Classes are among the options, which the file stores.
            ValueError: The file was not written by `save`, or its weights do not fit the model or
                are not finite; the model is unchanged.
        """
        decided = sorted({"num_classes", "class_names", "label_space"} & set(options))
        what, hint = "options that the file does not store", "Leave it out."
        require(not decided, "options", what, f"`{', '.join(decided)}`", hint, error=TypeError)
        model, names, space = read_checkpoint(Path(path), model)
        return cls(model, class_names=names, label_space=space, **options)

    def _check_prolonged(self) -> None:
        """Refuse what cannot go on as if it had had more epochs from the start."""
        what, hint = "a folder for `resume='prolong'`", "Pass the `output` of the finished run."
        require(self.output is not None, "output", what, None, hint)
        what = "'constant' without `warmup`, or your own, for `resume='prolong'`"
        steady = self.schedule == "constant" and not self.warmup
        hint = "A rate that has fallen with the epochs cannot go on as if there had been more."
        fits = steady or not isinstance(self.schedule, str)
        require(fits, "schedule", what, repr(self.schedule), hint)

    @cached_property
    def _constants(self) -> frozenset[str]:
        """Name the buffers that held NaN or infinity when the Trainer was made, and may."""
        return own_constants(self.model)

    def _settle_on(self, **sets: Any) -> None:
        """Settle the classes by the label spaces of sets, or else by the model."""
        for name, data in sets.items():
            self.settle_classes(known_label_space(data), name)
        built = getattr(self.model, "architecture", None) or {}
        outputs = built.get("num_classes")
        self.settle_count(2 if outputs == 1 else outputs)

    def _training_set(self, train: Any, validation: Any = None) -> tuple[Any, Tensor | None]:
        """Batch a training set and weigh its classes."""
        warn_of_absent_classes(self, train, validation)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Expected `labels` to be classes from 0")  # as said
            weights = sampling_weights(self, train)
            loader = as_loader(train, "train", self, shuffle=True, sample_weights=weights)
            return loader, loss_weights(self, train)


# The options are described where they are declared
_OPTIONS = (TrainerOptions.__doc__ or "").partition("Args:")[2].strip()
Trainer.__doc__ = (Trainer.__doc__ or "").replace("OPTIONS", _OPTIONS)

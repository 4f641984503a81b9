"""Fit, score and predict with a classifier of images."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from dermolib._validation import PathLike, check_number
from dermolib.labels import DIAGNOSES
from dermolib.models.devices import check_device, pick_precision
from dermolib.training.balance import Balance
from dermolib.training.checkpoint import load_classifier, names_of_classes, write_checkpoint
from dermolib.training.engine import Place
from dermolib.training.fitness import check_trainable
from dermolib.training.folder import check_output
from dermolib.training.history import History, LearningRates
from dermolib.training.identity import data_sets
from dermolib.training.loaders import check_labels, check_order
from dermolib.training.recipe import Recipe, RunOptions
from dermolib.training.setup import Setup

__all__ = ["Trainer"]

_SCORES = ("loss", "accuracy", "weighted_accuracy", "n")
_COLUMNS = ("epoch", "learning_rate", "train_loss", *(f"validation_{name}" for name in _SCORES[:3]))


class Trainer:
    """Train a classifier on Lightning, keep its best weights, score it and predict with it.

    Device and precision choose themselves. The seed fixes the order of the images, drop-out and
    the random transforms of datasets given here; torch's global generator is left as it was. A
    dataset is put into batches here; a loader is used as it is. See the guide on training.

    Args:
        model: Takes images (N, 3, H, W), float32, gives logits (N, K). It is trained in place. One
            with a true attribute ``takes_metadata`` is given the metadata (N, M) as well.
        num_classes: Number of classes K.
        class_names: Names of the classes (K,), stored with the model; the codes of the eight
            diagnoses where there are eight classes.
        optimizer: ``"adamw"`` or ``"sgd"``.
        learning_rate: Learning rate above 0, the highest one under a schedule.
        momentum: Momentum of SGD, 0..1.
        weight_decay: Weight decay, 0 or more; biases and scales of normalisation have none.
        schedule: ``"onecycle"`` (up and down to 0), ``"cosine"`` (down to 0) or ``"constant"``.
        warmup: Share of the steps in which the rate rises, 0..1, below 1 of one cycle; None is 0.25
            of one cycle, 0.05 before a cosine, and 0 before a constant rate.
        freeze: Beginnings of the names of layers to leave as they are, statistics included, such
            as ``["features.0"]``.
        layer_rates: Factors of the learning rate by the beginning of a name, above 0; the longest
            that fits counts.
        layer_decay: Factor from each layer to the one before it, above 0 and at most 1.
        loss: ``"cross_entropy"`` or ``"focal"``.
        focal_gamma: Exponent of the focal loss, 0 or more.
        label_smoothing: Share of the target that all classes get alike, 0..1.
        class_weights: Weights of the classes in the loss (K,); ``"balanced"`` for those that make
            all classes of the training set weigh the same; ``"auto"`` for the same where the
            training set tells its labels and nothing draws by weights; or None.
        sampler: ``"balanced"`` to draw all classes equally often, a power 0..1 to draw an image of
            a class of n by n^-power (see `sample_weights`), or None to draw each image once.
        mixup: Parameter of the Beta distribution of mixup, 0 for none.
        cutmix: The same for cutmix; with both, a batch gets one of them.
        ema: Decay, above 0 and below 1, of a running average of the weights over the steps, which
            is what is scored and kept; or None.
        gradient_clip: Norm above 0 to which the gradient of a step is shortened, or None.
        accumulate: Batches whose gradients make one step, 1 or more.
        epochs: Epochs of `fit`.
        early_stopping: Epochs without a better weighted accuracy after which `fit` ends, or None.
        batch_size: Images in a batch of one process.
        workers: Processes that load images; 0 loads in this one.
        output: Folder of the run, see `fit`. None keeps nothing.
        save_every: Steps between two states within an epoch, or None for one after each epoch.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        devices: Devices of a machine as Lightning takes them: a number, a list or ``"auto"``.
        num_nodes: Number of machines.
        strategy: Lightning's strategy, such as ``"ddp"``, or ``"auto"``.
        precision: ``"auto"``, ``"float32"``, ``"float16"`` or ``"bfloat16"``, the last two with
            float32 weights; Lightning's names ``"32-true"``, ``"16-mixed"`` and ``"bf16-mixed"``
            too.
        channels_last: Whether images lie channel by channel, which most devices are quicker with.
        compile: Whether `torch.compile` makes the model quicker, after minutes of its own.
        seed: Seed of the run, 0 or more.
        progress: Whether to show progress on a terminal.

    Attributes:
        model: The model; after `fit` with validation it has the weights of the epoch with the
            highest weighted accuracy (the first of equals). It is left in training mode: call
            ``model.eval()`` before using it outside of the Trainer.
        class_names: Names of the classes.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range, or the machine lacks the device or precision.
        UserWarning: Both `class_weights` and `sampler` are given; a warning.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int = len(DIAGNOSES),
        class_names: Sequence[str] | None = None,
        optimizer: str = "adamw",
        learning_rate: float = 5e-4,
        momentum: float = 0.9,
        weight_decay: float = 0.02,
        schedule: str = "onecycle",
        warmup: float | None = None,
        freeze: Sequence[str] = (),
        layer_rates: Mapping[str, float] | None = None,
        layer_decay: float = 1.0,
        loss: str = "cross_entropy",
        focal_gamma: float = 2.0,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | np.ndarray[Any, Any] | Tensor | str | None = "auto",
        sampler: str | float | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        ema: float | None = None,
        gradient_clip: float | None = 1.0,
        accumulate: int = 1,
        epochs: int = 30,
        early_stopping: int | None = None,
        batch_size: int = 64,
        workers: int = 0,
        output: PathLike | None = None,
        save_every: int | None = None,
        device: str = "auto",
        devices: int | str | list[int] = 1,
        num_nodes: int = 1,
        strategy: Any = "auto",
        precision: str = "auto",
        channels_last: bool = True,
        compile: bool = False,  # noqa: A002 - the name that torch has for it
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        """Check and keep the options."""
        check_trainable(model)
        check_device(device)
        self.model = model
        self.class_names = names_of_classes(class_names, num_classes)
        self.num_classes = len(self.class_names)
        recipe = Recipe(
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            warmup=warmup,
            freeze=freeze,
            layer_rates={} if layer_rates is None else layer_rates,
            layer_decay=layer_decay,
            loss=loss,
            focal_gamma=focal_gamma,
            label_smoothing=label_smoothing,
            mixup=mixup,
            cutmix=cutmix,
            ema=ema,
            gradient_clip=gradient_clip,
            accumulate=accumulate,
        )
        options = RunOptions(
            epochs=epochs,
            batch_size=batch_size,
            workers=workers,
            early_stopping=early_stopping,
            output=check_output(output),
            save_every=save_every,
            compile=compile,
            seed=seed,
            progress=progress,
        )
        shared: dict[str, Any] = {"devices": devices, "num_nodes": num_nodes, "strategy": strategy}
        self._setup = Setup(
            class_names=self.class_names,
            recipe=recipe,
            balance=Balance(class_weights, sampler, self.class_names),
            place=Place(device=device, precision=pick_precision(device, precision), **shared),
            options=options,
            channels_last=channels_last,
        )

    def fit(self, train: Any, validation: Any = None, *, resume: bool = True) -> History:
        """Train for all epochs, then take the best weights.

        The `output` folder holds ``last.ckpt``, from which a run that was cut off goes on when the
        same call is made again, with the same weights and history as if nothing had happened;
        ``best.pt``, the best weights so far, which `load` reads; ``history.csv``; and a TensorBoard
        log. The state is written at the start, after each epoch and every `save_every` steps,
        within an epoch for datasets and loaders of `make_loader` and `DeviceLoader`, whose order
        is known. On SIGTERM it is written after the step and the process ends with 143. A run that
        has ended leaves no ``last.ckpt``; the next one trains anew, and moves the results of the
        last one that ended to the folder ``before``. One run trains in a folder at a time.

        The first batch of `validation` is scored before the first step. A GPU, which each look
        has to wait for, is asked in that and the first step alone whether values are unfit.

        Args:
            train: Dataset or loader of batches ``{"image": (N, 3, H, W) float, "label": (N,)}``;
                with ``soft_label`` (N, K) the loss takes these probabilities as its target.
            validation: The same; None trains without scoring and keeps the last weights.
            resume: Whether an unfinished run in `output` goes on; without, it is replaced.

        Returns:
            One row for each epoch, see `History`.

        Raises:
            TypeError: A batch has another form.
            ValueError: A set is empty or does not tell labels that are needed, model or values do
                not fit, another run trains in the folder, or it holds a damaged one or an
                unfinished one of another configuration.
            RuntimeError: Rows of a dataset have no label, or the loss is not finite any more; the
                state before it is kept.
            OSError: The disk is full; what was saved before is kept.
            UserWarning: A class has no image; a warning.
        """
        from dermolib.training import run

        check_labels(validation)
        setup = self._setup
        setup.options.check(validation)
        given = validation is not None
        scored = setup.loader(validation, "validation") if given else None
        loader, weights = setup.training_set(train, validation)
        config = {**setup.configuration(self.model), **data_sets(train, validation)}
        with run.seeded(train, setup.options.seed):
            rows = run.train(
                setup.module(self.model, weights),
                loader,
                scored,
                place=setup.place,
                options=setup.options,
                facts={"class_names": list(self.class_names), "config": config},
                resume=resume,
                save=self.save,
            )
        return History([{name: row[name] for name in _COLUMNS if name in row} for row in rows])

    def evaluate(self, data: Any) -> dict[str, float]:
        """Score the model.

        Args:
            data: Dataset or loader with labels.

        Returns:
            ``loss``, cross-entropy; ``accuracy``; ``weighted_accuracy``, which weighs the classes
            of `data` alike; and ``n``, the number of images.

        Raises:
            TypeError: A batch has another form.
            ValueError: The set is empty, or its batches have no labels.
            RuntimeError: Rows of the dataset have no label.
        """
        check_labels(data)
        setup = self._setup
        loader = setup.loader(data, "data")
        from dermolib.training.run import score, seeded

        with seeded(data, setup.options.seed):
            module, progress = setup.module(self.model), setup.options.progress
            scores = score(module, loader, place=setup.place, progress=progress)
        return {name: float(scores[f"validation_{name}"]) for name in _SCORES}

    def predict(self, data: Any) -> Tensor:
        """Compute the probabilities of the classes.

        Args:
            data: Dataset or loader; labels are not needed and not read.

        Returns:
            Probabilities (N, K), float32, in the order of `data`.

        Raises:
            TypeError: A batch has another form.
            ValueError: The set is empty, or its loader shuffles.
            RuntimeError: A probability is not finite.
        """
        setup = self._setup
        loader = setup.loader(data, "data")
        check_order(loader)
        from dermolib.training.run import predict, seeded

        with seeded(data, setup.options.seed):
            module, progress = setup.module(self.model), setup.options.progress
            return predict(module, loader, place=setup.place, progress=progress)

    def overfit_batch(
        self, batch: Any, epochs: int = 200, *, learning_rate: float = 0.001
    ) -> History:
        """Check that the model can learn one batch by heart: the paper's test before training.

        A copy of the model is trained on the batch alone with SGD and cross-entropy; the model
        itself stays as it is. Every 10 epochs a line is written to standard error, unless the
        Trainer was made with ``progress=False``. It ends early when the loss falls below 0.01.

        Args:
            batch: A batch, ``{"image": (N, 3, H, W) float, "label": (N,)}``; the paper takes 64.
            epochs: Most epochs, 1 or more.
            learning_rate: Learning rate, above 0.

        Returns:
            A row for each epoch: ``epoch``, ``loss`` and ``accuracy``, as training sees them, so
            with drop-out active.

        Raises:
            TypeError: The batch has another form.
            ValueError: The batch has no labels, or an argument is out of range.
        """
        check_number(epochs, "epochs", low=1, integer=True)
        from dermolib.training.run import overfit, seeded

        setup = replace(self._setup, recipe=Recipe.plain_sgd(learning_rate))
        with seeded(None, setup.options.seed):
            module, lines = setup.module(copy.deepcopy(self.model)), setup.options.progress
            return History(overfit(module, batch, place=setup.place, epochs=epochs, lines=lines))

    def find_learning_rate(
        self, train: Any, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100
    ) -> LearningRates:
        """Train a copy of the model through rising learning rates, to see which suit it.

        The recipe is that of `fit` without schedule, average and factors of layers.

        Args:
            train: What `fit` takes.
            lowest: Learning rate of the first step, above 0.
            highest: Learning rate of the last step, above `lowest`.
            steps: Steps, 20 or more.

        Returns:
            Rates, losses, and a suggestion for the highest rate of `fit`.

        Raises:
            ValueError: An argument is out of range, or the training set as in `fit`.
            UserWarning: The loss falls nowhere, so there is no suggestion; a warning.
        """
        from dermolib.training.finder import Rates, find_learning_rate
        from dermolib.training.run import seeded

        setup, tried = self._setup, Rates(lowest, highest, steps)
        loader, weights = setup.training_set(train)
        with seeded(train, setup.options.seed):
            module = setup.module(copy.deepcopy(self.model), weights)
            return find_learning_rate(module, loader, tried, place=setup.place)

    def save(self, path: PathLike) -> None:
        """Write weights, class names, options and how the model was built, whole or not at all.

        Args:
            path: Target file.
        """
        config = self._setup.configuration(self.model)
        write_checkpoint(Path(path), self.model, list(self.class_names), config)

    @classmethod
    def load(cls, path: PathLike, *, model: nn.Module | None = None, **options: Any) -> "Trainer":
        """Read what `save` wrote. Nothing in the file is executed.

        Args:
            path: File of `save`.
            model: Module to take the weights, for one that `build_model` did not build.
            options: Options of the Trainer, such as `device`; they are not stored.

        Returns:
            Trainer with the stored model and class names.

        Raises:
            FileNotFoundError: There is no such file.
            TypeError: Classes are among the options; the file tells them.
            ValueError: The file is none of `save`, or its weights do not fit the model, which is
                left as it was.
        """
        return cls(**load_classifier(Path(path), model, options))

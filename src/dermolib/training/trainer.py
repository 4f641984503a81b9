"""Fit, score and predict with a classifier of images."""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dermolib._checks import check_choice, check_number, expected
from dermolib._seeding import seed_transforms
from dermolib._types import PathLike
from dermolib.diagnoses import DIAGNOSES
from dermolib.metrics import WeightedAccuracy
from dermolib.metrics import class_weights as balanced_weights
from dermolib.training.checkpoint import read_checkpoint, write_checkpoint
from dermolib.training.engine import check_device, make_engine, pick_precision, quiet
from dermolib.training.history import History
from dermolib.training.loaders import as_loader, check_labels, labels_of, shuffles

if TYPE_CHECKING:
    import lightning

    from dermolib.training.module import ClassifierModule

__all__ = ["Trainer"]

_OPTIMIZERS = ("sgd", "adamw")
_SCHEDULES = ("constant", "cosine", "onecycle")
_LEARNED = 0.01  # mean loss below which a batch is learned by heart
_COLUMNS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "validation_weighted_accuracy",
)


class Trainer:
    """Train a classifier on Lightning, keep its best weights, score it and predict with it.

    Device and precision choose themselves. The seed fixes the order of the images, drop-out and
    the random transforms of datasets given here; torch's global generator is left as it was. A
    dataset is put into batches here; a `DataLoader` is used as it is.

    Args:
        model: Takes images (N, 3, H, W), float32, gives logits (N, K). It is trained in place.
        num_classes: Number of classes K.
        class_names: Names of the classes (K,), stored with the model; the codes of the eight
            diagnoses where there are eight classes.
        optimizer: ``"sgd"`` or ``"adamw"``.
        learning_rate: Learning rate above 0, the highest one under a schedule.
        momentum: Momentum of SGD, 0..1.
        weight_decay: Weight decay, 0 or more.
        schedule: ``"constant"``, ``"cosine"`` (down to 0) or ``"onecycle"`` (up and down to 0).
        gradient_clip: Norm above 0 to which the gradient of a step is shortened, or None.
        epochs: Epochs of `fit`.
        batch_size: Images in a batch.
        workers: Processes that load images; 0 loads in this one.
        class_weights: Weights of the classes in the loss (K,), ``"balanced"`` for those that make
            all classes of the training set weigh the same, or None.
        output: Folder for ``best.pt``, which `load` reads, and the CSV and TensorBoard logs; those
            of an earlier run there are replaced. None keeps nothing.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"auto"``, ``"32-true"``, ``"16-mixed"`` or ``"bf16-mixed"``.
        seed: Seed of the run, 0 or more.
        progress: Whether to show progress on a terminal.

    Attributes:
        model: The model; after `fit` with validation it has the weights of the epoch with the
            highest weighted accuracy (the first of equals). It is left in training mode: call
            ``model.eval()`` before using it outside of the Trainer.
        class_names: Names of the classes.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range, or the machine lacks the device.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int = len(DIAGNOSES),
        class_names: Sequence[str] | None = None,
        optimizer: str = "sgd",
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "constant",
        gradient_clip: float | None = None,
        epochs: int = 30,
        batch_size: int = 64,
        workers: int = 0,
        class_weights: Sequence[float] | np.ndarray[Any, Any] | Tensor | str | None = None,
        output: PathLike | None = None,
        device: str = "auto",
        precision: str = "auto",
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        """Check and keep the options."""
        if not isinstance(model, nn.Module):
            got = f"an object of type {type(model).__name__}"
            raise TypeError(expected("model", "a torch module", got, "See `build_model`."))
        check_number(num_classes, "num_classes", low=2, integer=True)
        check_choice(optimizer, "optimizer", _OPTIMIZERS)
        check_number(learning_rate, "learning_rate", above=0)
        check_number(momentum, "momentum", low=0, high=1)
        check_number(weight_decay, "weight_decay", low=0)
        check_choice(schedule, "schedule", _SCHEDULES)
        if gradient_clip is not None:
            check_number(gradient_clip, "gradient_clip", above=0)
        check_number(epochs, "epochs", low=1, integer=True)
        check_number(batch_size, "batch_size", low=1, integer=True)
        check_number(workers, "workers", low=0, integer=True)
        check_number(seed, "seed", low=0, integer=True)
        check_device(device)
        self.model = model
        self.num_classes = int(num_classes)
        self.class_names = _names(class_names, self.num_classes)
        self._recipe: dict[str, Any] = {
            "optimizer": optimizer,
            "learning_rate": float(learning_rate),
            "momentum": float(momentum),
            "weight_decay": float(weight_decay),
            "schedule": schedule,
        }
        self._gradient_clip = gradient_clip
        self._epochs = int(epochs)
        self._batch_size = int(batch_size)
        self._workers = int(workers)
        self._class_weights = _checked_weights(class_weights, self.num_classes)
        self._output = None if output is None else Path(output)
        self._device = device
        self._precision = pick_precision(device, precision)
        self._seed = int(seed)
        self._progress = progress

    def fit(self, train: Any, validation: Any = None) -> History:
        """Train for all epochs, then take the best weights.

        Args:
            train: Dataset or loader of batches ``{"image": (N, 3, H, W) float, "label": (N,)}``.
            validation: The same; None trains without scoring and keeps the last weights.

        Returns:
            One row for each epoch, see `History`.

        Raises:
            TypeError: A batch has another form.
            ValueError: A set is empty, the weights need labels that the training set does not tell,
                or the output of the model does not fit the classes.
            RuntimeError: Rows of a dataset have no label, or the loss is not finite any more.
        """
        from dermolib.training.callbacks import KeepRows, best_checkpoint

        for data in (train, validation):
            check_labels(data)
        module = self._module(self._loss_weights(train))
        loader = self._loader(train, "train", shuffle=True)
        scored = None
        if validation is not None:
            scored = self._loader(validation, "validation", shuffle=False)
        keep = KeepRows()
        with self._folder() as folder, self._seeded(train), quiet():
            best = None if validation is None else best_checkpoint(folder)
            callbacks = [keep] if best is None else [keep, best]
            engine = self._engine(callbacks, epochs=self._epochs, output=self._output)
            try:
                engine.fit(module, loader, scored)
            except SystemExit:
                # What Lightning makes of Ctrl-C
                raise KeyboardInterrupt from None
            if best is not None:
                stored = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
                module.load_state_dict(stored["state_dict"])
                Path(best.best_model_path).unlink()
        if self._output is not None:
            self.save(self._output / "best.pt")
        return History([{name: row[name] for name in _COLUMNS if name in row} for row in keep.rows])

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
        loader = self._loader(data, "data", shuffle=False)
        with self._seeded(data), quiet():
            scores = self._engine([]).validate(self._module(None), loader, verbose=False)[0]
        names = ("loss", "accuracy", "weighted_accuracy", "n")
        return {name: float(scores[f"validation_{name}"]) for name in names}

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
        loader = self._loader(data, "data", shuffle=False)
        if shuffles(loader):
            remedy = "Pass `shuffle=False`: predictions in another order belong to other images."
            raise ValueError(expected("data", "a loader in order", "one that shuffles", remedy))
        with self._seeded(data), quiet():
            batches = self._engine([]).predict(self._module(None), loader)
        return torch.cat([torch.as_tensor(batch) for batch in batches or []])

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
        check_number(learning_rate, "learning_rate", above=0)
        from dermolib.training.callbacks import KeepRows

        recipe = {"optimizer": "sgd", "learning_rate": learning_rate, "schedule": "constant"}
        module = self._module(None, model=copy.deepcopy(self.model), **recipe)
        keep = KeepRows(lines=self._progress, stop_below=_LEARNED)
        only: Any = [batch]
        loader: DataLoader[Any] = DataLoader(only, batch_size=None)
        with self._seeded(None), quiet():
            self._engine([keep], epochs=epochs, progress=False).fit(module, loader)
        names = {"epoch": "epoch", "loss": "train_loss", "accuracy": "train_accuracy"}
        return History([{name: row[names[name]] for name in names} for row in keep.rows])

    def save(self, path: PathLike) -> None:
        """Write weights, class names and how the model was built, whole or not at all.

        Args:
            path: Target file.
        """
        write_checkpoint(Path(path), self.model, list(self.class_names))

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
            ValueError: The file is none of `save`, or its weights do not fit the model.
        """
        model, class_names = read_checkpoint(Path(path), model)
        return cls(model, num_classes=len(class_names), class_names=class_names, **options)

    def _module(
        self, class_weights: Tensor | None, *, model: nn.Module | None = None, **recipe: Any
    ) -> "ClassifierModule":
        from dermolib.training.module import ClassifierModule

        model = (model or self.model).to(memory_format=torch.channels_last)
        return ClassifierModule(
            model,
            num_classes=self.num_classes,
            class_weights=class_weights,
            **{**self._recipe, **recipe},
        )

    def _engine(
        self,
        callbacks: list[Any],
        *,
        epochs: int = 1,
        output: Path | None = None,
        progress: bool | None = None,
    ) -> "lightning.Trainer":
        return make_engine(
            device=self._device,
            precision=self._precision,
            epochs=epochs,
            progress=self._progress if progress is None else progress,
            callbacks=callbacks,
            gradient_clip=self._gradient_clip,
            output=output,
        )

    def _loader(self, data: Any, name: str, *, shuffle: bool) -> Any:
        return as_loader(
            data,
            name,
            batch_size=self._batch_size,
            workers=self._workers,
            seed=self._seed,
            shuffle=shuffle,
            pin=self._on_gpu(),
        )

    def _on_gpu(self) -> bool:
        return self._device in ("auto", "cuda") and torch.cuda.is_available()

    @contextmanager
    def _seeded(self, data: Any) -> Iterator[None]:
        """Seed everything random about a run, and leave torch's generator as it was."""
        # One device by its number: torch would warn where it has to choose, and reseed them all
        gpu = self._on_gpu()
        with torch.random.fork_rng(devices=[0] if gpu else []):
            torch.default_generator.manual_seed(self._seed)
            if gpu:
                torch.cuda.manual_seed(self._seed)
            seed_transforms(data, self._seed)
            yield

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        if self._output is not None:
            yield self._output
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def _loss_weights(self, train: Any) -> Tensor | None:
        if not isinstance(self._class_weights, str):
            return self._class_weights
        labels = labels_of(train)
        if labels is None:
            what = "a dataset with `labels` for balanced class weights"
            got = f"an object of type {type(train).__name__}"
            raise ValueError(expected("train", what, got, "Pass the weights as numbers."))
        return balanced_weights(np.bincount(labels, minlength=self.num_classes))


def _checked_weights(given: Any, num_classes: int) -> Tensor | str | None:
    if given is None:
        return None
    if isinstance(given, str):
        check_choice(given, "class_weights", ("balanced",))
        return given
    return WeightedAccuracy(num_classes, given).class_weights


def _names(class_names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    if class_names is None:
        known = num_classes == len(DIAGNOSES)
        return tuple(d.code for d in DIAGNOSES) if known else tuple(map(str, range(num_classes)))
    if len(class_names) != num_classes:
        what = f"{num_classes} names, one for each class"
        raise ValueError(expected("class_names", what, f"{len(class_names)}"))
    return tuple(map(str, class_names))

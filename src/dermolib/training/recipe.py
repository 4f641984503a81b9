"""How a network is to be trained: the options of a run, checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dermolib._validation import check_choice, check_flag, check_number, expected, plain

__all__ = ["LOSSES", "OPTIMIZERS", "SCHEDULES", "Recipe", "RunOptions"]

OPTIMIZERS = ("sgd", "adamw")
"""Optimisers by name."""

SCHEDULES = ("constant", "cosine", "onecycle")
"""Schedules of the learning rate by name."""

_INF = float("inf")

_RISES = {"constant": 0.0, "cosine": 0.05, "onecycle": 0.25}

LOSSES = ("cross_entropy", "focal")
"""Losses by name."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of `Trainer` that decide what a step does.

    Attributes:
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Learning rate above 0, the highest one under a schedule.
        momentum: Momentum of SGD, 0..1.
        weight_decay: Weight decay, 0 or more.
        schedule: One of `SCHEDULES`.
        warmup: Share of the steps in which the rate rises, 0..1, below 1 under one cycle; None is
            that of the schedule.
        freeze: Beginnings of the names of layers that stay as they are.
        layer_rates: Factor of the learning rate by the beginning of a name, above 0.
        layer_decay: Factor from each layer to the one before it, above 0 and at most 1.
        loss: One of `LOSSES`.
        focal_gamma: Exponent of the focal loss, 0 or more.
        label_smoothing: Share of the target that all classes get alike, 0..1.
        mixup: Both parameters of the Beta distribution of mixup, 0 for none.
        cutmix: The same for cutmix.
        ema: Decay of the average of the weights, above 0 and below 1, or None.
        gradient_clip: Norm above 0 to which the gradient of a step is shortened, or None.
        accumulate: Batches of one step, 1 or more.

    Raises:
        TypeError: An option is of another type.
        ValueError: An option is out of range.
    """

    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    momentum: float = 0.9
    weight_decay: float = 0.02
    schedule: str = "onecycle"
    warmup: float | None = None
    freeze: Sequence[str] = ()
    layer_rates: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float | None = None
    gradient_clip: float | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        """Make each option one of plain Python, which a checkpoint may hold, and check it."""
        _make_plain(self)
        check_choice(self.optimizer, "optimizer", OPTIMIZERS)
        check_choice(self.schedule, "schedule", SCHEDULES)
        check_choice(self.loss, "loss", LOSSES)
        check_number(self.learning_rate, "learning_rate", above=0, below=_INF)
        for name in ("weight_decay", "focal_gamma", "mixup", "cutmix"):
            check_number(getattr(self, name), name, low=0, below=_INF)
        for name in ("momentum", "rise", "label_smoothing"):
            check_number(getattr(self, name), name.replace("rise", "warmup"), low=0, high=1)
        if self.schedule == "onecycle":
            # One cycle has to fall, too
            check_number(self.rise, "warmup", low=0, below=1)
        check_number(self.layer_decay, "layer_decay", above=0, high=1)
        check_number(self.accumulate, "accumulate", low=1, integer=True)
        if self.gradient_clip is not None:
            check_number(self.gradient_clip, "gradient_clip", above=0)
        if self.ema is not None:
            check_number(self.ema, "ema", above=0, below=1)
        _check_names(self.freeze)
        _check_rates(self.layer_rates)

    @classmethod
    def plain_sgd(cls, learning_rate: float) -> "Recipe":
        """Return a recipe of nothing but steps of gradient descent with momentum."""
        return cls(
            learning_rate=learning_rate, optimizer="sgd", schedule="constant", weight_decay=0.0
        )

    @property
    def rise(self) -> float:
        """Share of the steps in which the rate rises: `warmup`, or what the schedule has."""
        return _RISES[self.schedule] if self.warmup is None else self.warmup

    def plain(self) -> dict[str, Any]:
        """Return the options as plain values, which a checkpoint holds."""
        return {**asdict(self), "freeze": list(self.freeze), "layer_rates": dict(self.layer_rates)}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run needs to know that is no matter of a single step.

    Attributes:
        epochs: Epochs.
        batch_size: Images in a batch of one process.
        workers: Processes that load images.
        early_stopping: Epochs without a better score after which it ends, or None.
        output: Folder of the run, or None.
        save_every: Steps between two states within an epoch, or None.
        compile: Whether the model is compiled.
        seed: Seed, 0 or more and below 2**63.
        progress: Whether to show progress.

    Raises:
        TypeError: An option is of another type.
        ValueError: An option is out of range.
    """

    epochs: int
    batch_size: int
    workers: int
    early_stopping: int | None = None
    output: Path | None = None
    save_every: int | None = None
    compile: bool = False
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        """Make each option one of plain Python and check it."""
        _make_plain(self)
        for name in ("epochs", "batch_size", "early_stopping", "save_every"):
            value = getattr(self, name)
            if value is not None or name in ("epochs", "batch_size"):
                check_number(value, name, low=1, integer=True)
        for name in ("workers", "seed"):
            check_number(getattr(self, name), name, low=0, integer=True)
        check_number(self.seed, "seed", high=2**63 - 1, integer=True)
        for name in ("compile", "progress"):
            check_flag(getattr(self, name), name)

    def check(self, validation: Any) -> None:
        """Refuse to stop by a score where nothing is scored.

        Args:
            validation: Validation set, or None.

        Raises:
            ValueError: There is none, and the run is to stop early.
        """
        if self.early_stopping is not None and validation is None:
            what = "None without a validation set"
            raise ValueError(expected("early_stopping", what, self.early_stopping))


def _make_plain(options: Recipe | RunOptions) -> None:
    for option in fields(options):
        object.__setattr__(options, option.name, plain(getattr(options, option.name)))


def _check_names(freeze: Any) -> None:
    what = "a list of beginnings of the names of parameters, such as ['features.0', 'blocks.1']"
    if isinstance(freeze, str) or not isinstance(freeze, Sequence):
        raise TypeError(expected("freeze", what, f"{freeze!r}"))
    if not all(isinstance(name, str) for name in freeze):
        raise TypeError(expected("freeze", what, f"{list(freeze)!r}"))


def _check_rates(rates: Any) -> None:
    if not isinstance(rates, Mapping) or not all(isinstance(name, str) for name in rates):
        what = "factors by the beginning of a name, such as {'features': 0.1}"
        raise TypeError(expected("layer_rates", what, f"{rates!r}"))
    for name, factor in rates.items():
        check_number(factor, f"layer_rates[{name!r}]", above=0, below=_INF)

"""Options of `Trainer`: the name, default, description and check of each, in one place."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dermolib._validation import (
    PathLike,
    as_path,
    check_choice,
    check_flag,
    check_number,
    listed,
    require,
    takes,
    to_python,
    warn,
)
from dermolib.labels import DIAGNOSES, LabelSpace, as_label_space
from dermolib.metrics.weighted_accuracy import WeightedAccuracy, by_label
from dermolib.models.devices import check_device, pick_precision
from dermolib.training.losses import LOSSES
from dermolib.training.optimizers import OPTIMIZERS, WARMUP

__all__ = ["TrainerOptions", "digest", "run_config", "warn_of_both"]

_count = partial(check_number, low=1, integer=True)
_positive = partial(check_number, above=0, below=float("inf"))
_nonnegative = partial(check_number, low=0, below=float("inf"))
_fraction = partial(check_number, low=0, high=1)


def _named(names: Iterable[str], signature: str, hint: str) -> Callable[[Any, str], None]:
    arguments = signature.partition(" -> ")[0].count(",") + 1

    def name_or_callable(value: Any, name: str) -> None:
        if isinstance(value, str):
            check_choice(value, name, names)
            return
        what = f"one of {', '.join(map(repr, names))}, or a callable {signature}"
        got = f"an object of type {type(value).__name__}"
        require(callable(value), name, what, got, hint, error=TypeError)
        got = f"{value!r}, which takes other arguments"
        # Calling a module takes anything, and hands it on
        function = value.forward if isinstance(value, nn.Module) else value
        fits = takes(function, placed=range(arguments))
        require(fits, name, what, got, hint, error=TypeError)

    return name_or_callable


def _loss(value: Any, name: str) -> None:
    what, hint = "a loss that can be called", "Pass an instance of it."
    require(not isinstance(value, type), name, what, f"the {value!r}", hint, error=TypeError)
    hint = "Pass a function or module that takes both."
    _named(LOSSES, "(logits, target) -> scalar", hint)(value, name)


def _prefixes(value: Any, name: str) -> None:
    what = "a list of prefixes of parameter names, such as ['features.0', 'blocks.1']"
    fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    require(fits, name, what, repr(value), error=TypeError)


def _layer_rates(value: Any, name: str) -> None:
    what = "factors by prefix of the parameter names, such as {'features': 0.1}"
    fits = isinstance(value, Mapping) and all(isinstance(prefix, str) for prefix in value)
    require(fits, name, what, repr(value), error=TypeError)
    for prefix, factor in value.items():
        _positive(factor, f"{name}[{prefix!r}]")


def _class_weights(value: Any, name: str) -> list[float] | None:
    if isinstance(value, str):
        check_choice(value, name, ("auto", "balanced"))
        return None
    value = by_label(value, name)
    numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    what = "one number for each class, 'auto', 'balanced' or None"
    require(numbers.dtype.kind in "biuf", name, what, repr(value), error=TypeError)
    weights: list[float] = numbers.tolist()
    return weights


def _sampler(value: Any, name: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    error = ValueError if number or isinstance(value, str) else TypeError
    fits = 0 <= value <= 1 if number else isinstance(value, str) and value == "balanced"
    require(fits, name, "'balanced', a power in 0..1, or None", repr(value), error=error)


def _instances(kind: str, what: str) -> Callable[[Any, str], list[Any]]:
    def listed_instances(value: Any, name: str) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        for one in values:
            from lightning.pytorch import callbacks, loggers  # take seconds to import

            wanted = {"Callback": callbacks.Callback, "Logger": loggers.Logger}[kind]
            hint = "Pass an instance of it." if isinstance(one, type) else ""
            got = f"{one!r} in it" if isinstance(value, list) else repr(one)
            require(isinstance(one, wanted), name, what, got, hint, error=TypeError)
        return values

    return listed_instances


def _output(value: Any, name: str) -> Path:
    what, given = "a folder for the run", f"{value!r} of type {type(value).__name__}"
    require(isinstance(value, (str, os.PathLike)), name, what, given, error=TypeError)
    hint = "Pass '.' for the working directory, or None to keep nothing."
    require(os.fspath(value), name, what, "an empty path", hint)
    path = as_path(value, name)
    found = next((part for part in (path, *path.parents) if os.path.lexists(part)), path)
    kind = "file" if found.exists() else "broken link"
    got = f"{path}, " + (f"a {kind}" if found == path else f"below the {kind} {found}")
    fits = found.is_dir() or not os.path.lexists(found)
    require(fits, name, what, got, "Choose another path.")
    return path


def _devices(value: Any, name: str) -> None:
    many = isinstance(value, list)
    numbers = value if many else [value]
    what = "a number of devices, 1 or more, a list of device numbers, -1 for all, or 'auto'"
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in numbers)
    got = f"{value!r} of type {type(value).__name__}"
    text = isinstance(value, str)  # such as "0,1", which Lightning reads
    require(whole or text, name, what, got, error=TypeError)
    fits = text or ((value and min(value) >= 0) if many else (value >= 1 or value == -1))
    require(fits, name, what, repr(value))


def _option(
    default: Any,
    check: Callable[[Any, str], Any] | None = None,
    *,
    optional: bool = False,
    fingerprint: bool = True,
) -> Any:
    """Declare an option by default and check, which takes value and name and may convert the value.

    It may be None where that is the default or `optional`; `fingerprint` tells whether it decides
    how a run ends, and so which unfinished run is resumed.
    """
    optional = optional or default is None
    metadata = {"check": check, "optional": optional, "fingerprint": fingerprint}
    return field(default=default, metadata=metadata)


_OWN = {
    "loss": ("class_weights", "label_smoothing"),
    "optimizer": ("learning_rate", "momentum", "weight_decay"),
    "schedule": ("warmup",),
}
"""Options by the object that takes their place."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainerOptions:
    """The options of a `Trainer`, checked.

    Args:
        num_classes: Number of classes K, 2 or more; None takes it from `label_space`,
            `class_names`, the first data with a `label_space`, or a model of `build_model`; 8 where
            none of them tells.
        class_names: Names of the classes (K,), stored with the model; None uses the codes of the
            label space; where there is none, those of the eight diagnoses where K is 8, else
            numbers.
        label_space: Classes of the labels: a name in `dermolib.labels.LABEL_SPACES`, a
            `dermolib.labels.LabelSpace` or a list of codes, stored with the model; None takes that
            of the first data that have one. Data of another one are refused.
        loss: Training loss, ``"cross_entropy"`` or ``"focal"``; or a module or function from logits
            (N, K) and target to a scalar. The target is the classes (N,), int64, or with mixup,
            cutmix or soft labels the probabilities (N, K).
        focal_gamma: Exponent of the focal loss, 0 or more.
        label_smoothing: Fraction of the target that is spread evenly over all classes, 0..1.
        class_weights: Weights of the classes in a named loss (K,); ``"balanced"`` for weights
            inverse to class size; ``"auto"`` for the same where the training set exposes its labels
            and nothing draws by weights; or None.
        sampler: ``"balanced"`` to draw all classes equally often, a power 0..1 to draw an image of
            a class of n images in proportion to n^-power (see `sample_weights`), or None to draw
            each image once.
        optimizer: ``"adamw"`` or ``"sgd"``; or a callable from parameters (a list, or groups with
            `layer_rates` or `layer_decay`) to an optimizer, which sets learning rate, momentum and
            weight decay itself, such as ``functools.partial(torch.optim.Adam, lr=1e-3)``.
        learning_rate: Learning rate above 0, the highest one under a schedule.
        momentum: Momentum of SGD, 0..1.
        weight_decay: Weight decay, 0 or more; biases and normalization parameters have none.
        schedule: ``"onecycle"`` (up, then down to 0), ``"cosine"`` (down to 0) or ``"constant"``,
            which step after each optimizer step; or a callable from the optimizer to a scheduler of
            torch, which steps after each epoch, or to Lightning's dictionary, such as
            ``{"scheduler": ..., "interval": "step"}``, which steps as it says.
        warmup: Fraction of the steps in which the rate of a named schedule rises, 0..1, below 1 for
            one cycle; None is 0.25 for one cycle, 0.05 before a cosine, 0 before a constant rate.
        freeze: Prefixes of the names of layers to keep fixed, batch statistics included, such as
            ``["features.0"]``.
        layer_rates: Factors of the learning rate by prefix of the parameter names, above 0; the
            longest matching prefix counts.
        layer_decay: Factor of the learning rate from each layer to the one before it, above 0 and
            at most 1.
        mixup: Both parameters of the Beta distribution of mixup, 0 for none.
        cutmix: The same for cutmix; with both on, each batch gets one of them.
        ema: Decay, above 0 and below 1, of an exponential moving average of the weights over the
            steps, which is what is scored and kept; or None.
        gradient_clip: Norm above 0 that gradients are clipped to, or None.
        accumulate: Batches whose gradients are accumulated for one step, 1 or more.
        epochs: Epochs of `fit`.
        early_stopping: Epochs without a higher weighted accuracy after which `fit` ends, or None.
        batch_size: Images in a batch of one process.
        workers: Processes that load images; 0 loads in this one.
        callbacks: Lightning callbacks of `fit`; their state is saved with that of the run.
        logger: Lightning logger of `fit`, or a list of them; None writes a TensorBoard log to
            `output`.
        output: Folder of the run, see `fit`; None keeps nothing.
        save_every: Steps between two saved states within an epoch; None saves after each epoch.
        keep_state: Whether a finished run keeps ``last.ckpt``, so that
            ``fit(..., resume="prolong")`` can go on with more epochs.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        devices: Devices per machine as Lightning takes them: a number, a list or ``"auto"``.
        num_nodes: Number of machines.
        strategy: Lightning strategy, such as ``"ddp"``, or ``"auto"``.
        precision: ``"auto"``, ``"float32"``, ``"float16"`` or ``"bfloat16"``, the last two with
            float32 weights; Lightning's names ``"32-true"``, ``"16-mixed"`` and ``"bf16-mixed"``
            too.
        channels_last: Whether images use channels-last memory, faster on most devices; a model with
            a `view` of its feature maps, which needs plain memory, runs in that, with a warning.
        compile: Whether `torch.compile` speeds up training, after minutes of compilation.
        seed: Seed of the run, 0 or more.
        progress: Whether to show progress on a terminal.
    """

    num_classes: int | None = _option(
        None, partial(check_number, low=2, integer=True), fingerprint=False
    )
    class_names: Sequence[str] | None = _option(None, fingerprint=False)
    label_space: str | LabelSpace | Sequence[str] | None = _option(None, fingerprint=False)
    loss: str | Callable[[Tensor, Tensor], Tensor] = _option("cross_entropy", _loss)
    focal_gamma: float = _option(2.0, _nonnegative)
    label_smoothing: float = _option(0.0, _fraction)
    class_weights: Sequence[float] | np.ndarray[Any, Any] | Tensor | str | None = _option(
        "auto", _class_weights, optional=True
    )
    sampler: str | float | None = _option(None, _sampler)
    optimizer: str | Callable[[Any], torch.optim.Optimizer] = _option(
        "adamw",
        _named(
            OPTIMIZERS,
            "(params) -> torch.optim.Optimizer",
            "Pass one such as `functools.partial(torch.optim.Adam, lr=1e-3)`.",
        ),
    )
    learning_rate: float = _option(5e-4, _positive)
    momentum: float = _option(0.9, _fraction)
    weight_decay: float = _option(0.02, _nonnegative)
    schedule: str | Callable[[torch.optim.Optimizer], Any] = _option(
        "onecycle",
        _named(
            WARMUP,
            "(optimizer) -> LRScheduler",
            "Pass one such as `functools.partial(torch.optim.lr_scheduler.StepLR, step_size=4)`.",
        ),
    )
    warmup: float | None = _option(None, _fraction)
    freeze: Sequence[str] = _option((), _prefixes)
    layer_rates: Mapping[str, float] | None = _option(None, _layer_rates)
    layer_decay: float = _option(1.0, partial(check_number, above=0, high=1))
    mixup: float = _option(0.0, _nonnegative)
    cutmix: float = _option(0.0, _nonnegative)
    ema: float | None = _option(None, partial(check_number, above=0, below=1))
    gradient_clip: float | None = _option(1.0, partial(check_number, above=0), optional=True)
    accumulate: int = _option(1, _count)
    epochs: int = _option(30, _count)
    early_stopping: int | None = _option(None, _count)
    batch_size: int = _option(64, _count)
    workers: int = _option(0, partial(check_number, low=0, integer=True), fingerprint=False)
    callbacks: Sequence[Any] = _option(
        (), _instances("Callback", "a list of Lightning callbacks"), fingerprint=False
    )
    logger: Any = _option(
        None, _instances("Logger", "a Lightning logger, or a list of them"), fingerprint=False
    )
    output: PathLike | None = _option(None, _output, fingerprint=False)
    save_every: int | None = _option(None, _count, fingerprint=False)
    keep_state: bool = _option(False, check_flag, fingerprint=False)
    device: str = _option("auto", fingerprint=False)
    devices: int | str | list[int] = _option(1, _devices)
    num_nodes: int = _option(1, _count)
    strategy: Any = _option("auto")
    precision: str = _option("auto")
    channels_last: bool = _option(True, check_flag, fingerprint=False)
    compile: bool = _option(False, check_flag, fingerprint=False)
    seed: int = _option(0, partial(check_number, low=0, high=2**63 - 1, integer=True))
    progress: bool = _option(True, check_flag, fingerprint=False)

    def __post_init__(self) -> None:
        """Check each option and keep it as plain Python values, which a checkpoint may hold."""
        for option in fields(TrainerOptions):
            value, check = to_python(getattr(self, option.name)), option.metadata["check"]
            if check is not None and not (value is None and option.metadata["optional"]):
                converted = check(value, option.name)
                value = value if converted is None else converted
            self._set(option.name, value)
        check_device(self.device)
        self._set("precision", pick_precision(self.device, self.precision))
        space = None if self.label_space is None else as_label_space(self.label_space)
        names = None if self.class_names is None else _checked_names(self.class_names)
        self._set("_named", names)
        self._settle(space, "label_space")
        self._set("layer_rates", self.layer_rates or {})
        if self.schedule == "onecycle" and self.warmup is not None:
            check_number(self.warmup, "warmup", low=0, below=1)  # one cycle has to fall, too
        what, hint = "a number of processes", "A CPU cannot be counted: pass 1."
        require(self.devices != -1 or self.device != "cpu", "devices", what, self.devices, hint)
        if isinstance(self.class_weights, list) and self.num_classes is not None:
            WeightedAccuracy(self.num_classes, self.class_weights)
        for name in _OWN:
            self._check_beside(name)
        own = {name: getattr(self, name) for name in _OWN}
        # Now, since a run changes the state of a loss
        self._set(
            "_contents",
            {
                f"content of {name}": digest(repr(_content(value)))
                for name, value in own.items()
                if not isinstance(value, str)
            },
        )
        if self.class_weights not in (None, "auto") and self.sampler is not None:
            warn_of_both("`sampler`")

    def settle_classes(self, space: LabelSpace | None, name: str) -> None:
        """Take the label space of data where none is known yet; refuse another one."""
        own, what = self.label_space, "data of the label space that the Trainer has"
        hint = f"Open them with `label_space={getattr(own, 'name', '') or '...'!r}`."
        fits = space is None or own is None or own == space
        require(fits, name, f"{what}, {own}", f"{space}", hint)
        if space is not None and own is None:
            self._settle(space, name)

    def settle_count(self, count: int | None) -> int:
        """Take the number of classes of a model where neither options nor data tell it."""
        number = int(self.num_classes or count or len(DIAGNOSES))  # the usual ones
        if self.num_classes is None:
            self._set("num_classes", number)
            self._settle(None, "label_space")
        return number

    def _settle(self, space: LabelSpace | None, name: str) -> None:
        """Let number, names and label space agree, and fill in what was left open."""
        names: tuple[str, ...] | None = vars(self)["_named"]
        known = space.codes if space is not None else names
        count = self.num_classes or (None if known is None else len(known))
        if space is not None:
            hint = "Leave `num_classes` out, or give a wrapper a `label_space` of its own."
            what = f"{len(space)}, the number of classes of {space} of `{name}`"
            require(count == len(space), "num_classes", what, count, hint)
        if names is not None:
            what = f"{count} names, one for each class"
            require(len(names) == count, "class_names", what, f"{len(names)}")
            _check_order(names, space)
        usual = None if count is None else tuple(map(str, range(count)))
        if count == len(DIAGNOSES):
            usual = tuple(diagnosis.code for diagnosis in DIAGNOSES)
        settled = names or known or usual
        for option, value in (
            ("num_classes", count),
            ("class_names", settled),
            ("label_space", space),
        ):
            self._set(option, value)

    def _check_beside(self, name: str) -> None:
        """Refuse options that an object of the user's own would leave without effect."""
        usual = {option.name: (option.default, None) for option in fields(TrainerOptions)}
        given = [f"`{one}`" for one in _OWN[name] if getattr(self, one) not in usual[one]]
        what, got = (
            "a name beside options that it takes",
            f"{' and '.join(given)} beside an object of your own",
        )
        fits = isinstance(getattr(self, name), str) or not given
        require(fits, name, what, got, "Pass them to that object.")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def warn_of_both(other: str) -> None:
    """Warn that classes are weighed in the loss and by something else."""
    message = (
        f"`class_weights` and {other} both upweight rare classes; together they have made models "
        "collapse. Leave one of them out."
    )
    warn(message)


def run_config(options: TrainerOptions, model: nn.Module) -> dict[str, Any]:
    """Describe by plain values what decides, besides the images, how a run ends."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    space = options.label_space
    return {
        **{
            option.name: _plain_words(getattr(options, option.name))
            for option in fields(TrainerOptions)
            if option.metadata["fingerprint"]
        },
        **vars(options)["_contents"],
        "label_space": space.to_dict() if isinstance(space, LabelSpace) else None,
        "model": getattr(model, "architecture", None) or type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": digest(str(shapes)),
    }


def digest(text: str) -> str:
    """Shorten a text to a fingerprint of 16 characters."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _qualified_name(value: Any) -> str:
    """Name an object by its own qualified name, or that of its class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', None)}.{named.__qualname__}"


def _plain_words(value: Any) -> Any:
    """Return plain values as they are, other objects by qualified name and repr."""
    if value is None or isinstance(value, (str, int, float, list, dict)):
        return value
    name = _qualified_name(value)
    # An address is another one in each process
    words = "" if hasattr(value, "__qualname__") else re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
    return words if words.startswith(name) else f"{name} {words}".strip()


_PARTS: list[tuple[Any, Callable[[Any], Iterable[Any]]]] = [
    (
        nn.Module,
        lambda module: [
            *([vars(part)[name] for name in _public(part)] for part in module.modules()),
            *module.parameters(),
            *module.buffers(),
        ],
    ),
    (partial, lambda given: [given.func, given.args, given.keywords]),
    (MethodType, lambda method: [method.__func__, method.__self__]),
    (
        FunctionType,
        lambda function: [
            function.__code__,
            function.__defaults__,
            function.__kwdefaults__,
            *(cell.cell_contents for cell in function.__closure__ or () if cell != CellType()),
        ],
    ),
    (CodeType, lambda code: [code.co_code.hex(), code.co_names, code.co_consts]),
    (Mapping, lambda mapping: [*mapping, *mapping.values()]),
    ((list, tuple), list),
    ((set, frozenset), lambda values: sorted(values, key=repr)),
]
"""What the content of an object is of, by its type."""


def _public(module: nn.Module) -> list[str]:
    return sorted(name for name in vars(module) if name[0] != "_" and name != "training")


def _content(value: Any, outer: tuple[int, ...] = ()) -> Any:
    """Describe what an object computes with: its state, arguments, code and closure."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.ndarray):
        return _content(value.tolist())
    if isinstance(value, Tensor):
        # What learns is a part of the model, which may start at random and is saved
        fixed = torch.empty(0) if value.requires_grad else value.cpu().to_dense().resolve_conj()
        data = fixed.contiguous().flatten().view(torch.uint8).numpy().data
        return str(value.dtype), tuple(value.shape), hashlib.sha256(data).hexdigest()
    if value is None or isinstance(value, (str, int, float, complex, bytes)):
        return value
    take = next((take for kind, take in _PARTS if isinstance(value, kind)), None)
    if take is None or id(value) in outer:  # a function may be in its own closure
        return _qualified_name(value)
    return [_content(part, (*outer, id(value))) for part in take(value)]


def _checked_names(given: Any) -> tuple[str, ...]:
    """Return names of classes as texts, no two the same."""
    what, hint = "a list of names, one for each class", "Pass a list, in the order of labels."
    is_list = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, (str, bytes))
    got = f"an object of type {type(given).__name__}"
    require(is_list, "class_names", what, got, hint, error=TypeError)
    names = [str(name) for name in given]
    repeated = sorted({name for name in names if names.count(name) > 1})
    require(not repeated, "class_names", what, f"{listed(repeated)} more than once")
    return tuple(names)


def _check_order(names: Sequence[str], space: LabelSpace | None) -> None:
    """Refuse names of a label space in another order than its own; other words may be any."""
    if space is None:
        return
    every = {one.lower() for one in (*space.codes, *space.names)}
    what = f"the classes of {space} in its order, {listed(space.codes, most=12)}"
    for place, pair in enumerate(zip(space.codes, space.names, strict=True)):
        others = every - {one.lower() for one in pair}
        got = f"{names[place]} in place {place + 1}"
        require(names[place].lower() not in others, "class_names", what, got)

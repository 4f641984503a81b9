"""Runs of Lightning: training from its start or a saved state, scoring, prediction, rate search."""

import atexit
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, distributed, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from dermolib._validation import expected, require, warn
from dermolib.datasets.loaders import explain_workers
from dermolib.datasets.seeding import seed_transforms
from dermolib.io import explain_disk_full
from dermolib.training.callbacks import (
    BestWeights,
    HistoryWriter,
    RunState,
    StateFile,
    WeightAverage,
)
from dermolib.training.checkpoint import read_checkpoint
from dermolib.training.config import TrainerOptions
from dermolib.training.data import drawn_labels, lone_image_refused, resumable
from dermolib.training.folder import BEST_NAME, LOG_NAME, STATE_NAME, RunFolder
from dermolib.training.history import LearningRates
from dermolib.training.logits import float32_logits
from dermolib.training.module import ClassifierModule, NotFiniteError
from dermolib.training.optimizers import frozen
from dermolib.training.tta import Views

__all__ = ["exponential_schedule", "find_rates", "overfit", "predict", "score", "seeded", "train"]

_LEARNED = 0.01  # mean loss below which a batch is overfitted
_SCORE = "validation_weighted_accuracy"
_WARM_UP = 10  # first losses of the rate search, means of few
_FALL = 0.99  # fraction of the loss below which it has fallen
_MOMENTUM = 0.98  # of the running mean of losses
_DIVERGED = 4.0  # multiple of the lowest loss above which the rate search ends
_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
_ABOUT_ITSELF = (
    # Advice on speed, which is the caller's choice of `workers`
    r".*does not have many workers which may be a bottleneck",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Training without validation is a documented choice
    r"You defined a `validation_step` but have no `val_dataloader`",
    # The order of the rest of an epoch is known here
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # A deprecation between Lightning and torch, which no caller can mend
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
)


def train(
    model: nn.Module,
    options: TrainerOptions,
    loader: Any,
    validation: Any,
    *,
    class_weights: Tensor | None,
    metadata: dict[str, Any],
    resume: bool | str,
    save: Callable[[Path], None],
) -> list[dict[str, float]]:
    """Train from the start or from a saved state, and load the best weights; a row per epoch.

    The metadata are what an unfinished run is compared by; `save` writes the weights of the model.
    """
    _check_launch(options)
    unknown = [drawn_labels(data) is None for data in (loader, validation)]
    loader, output = resumable(loader), options.output
    writes = output is not None
    module = ClassifierModule(model, options, class_weights, compiled=options.compile)
    with ExitStack() as stack:
        path = Path(output or stack.enter_context(tempfile.TemporaryDirectory()))
        folder = RunFolder(path, log=writes and options.logger is None)
        state = RunState(folder, loader, metadata, options.save_every, writes=writes)
        history = HistoryWriter(folder if writes else None)
        average = [] if options.ema is None else [WeightAverage(decay=options.ema)]
        best = BestWeights(path / BEST_NAME, lambda _: save(folder.temporary(BEST_NAME)))
        stopping = _early_stopping(options)
        engine = _engine(
            options,
            callbacks=[*options.callbacks, history, best, *average, *stopping, state],
            gradient_clip_val=options.gradient_clip,
            accumulate_grad_batches=options.accumulate,
            max_epochs=options.epochs,
            logger=options.logger or [],
            num_sanity_val_steps=1,  # tells faults of the validation set before the first step
        )
        stack.enter_context(explain_disk_full(path))
        stack.enter_context(folder.open(first=engine.is_global_zero))
        stack.enter_context(frozen(model, options.freeze))
        fixed, processes = module.frozen_modules, engine.world_size
        stack.enter_context(lone_image_refused(model, fixed, loader, processes=processes))
        prolong = resume == "prolong"
        start = folder.unfinished(metadata, prolong=prolong) if resume and writes else None
        if start is None and engine.is_global_zero:
            folder.begin()
        if folder.log:
            engine.loggers = [_RunLog(folder)]
        module.warns_of_labels, module.warns_of_scored_labels = unknown
        module.train()  # a model that was used in between is in evaluation mode
        try:
            with explain_workers(kept=writes):
                engine.fit(module, loader, validation, ckpt_path=start, weights_only=True)
        except NotFiniteError as error:
            error.args = (f"{error} {_restore(module, folder)}".rstrip(),)
            raise
        _finish(engine, module, folder, save, scored=validation is not None)
        if engine.is_global_zero:
            folder.finish(keep_state=writes and options.keep_state)
    return history.rows


class _RunLog(TensorBoardLogger):
    """A TensorBoard log that writes nothing but files with the id of the run in their names."""

    def __init__(self, folder: RunFolder) -> None:
        suffix = f".{folder.run}"
        super().__init__(folder.path, name=LOG_NAME, version="", filename_suffix=suffix)

    @property
    def log_dir(self) -> str:
        """The folder as it is called: Lightning replaces what looks like a variable in it."""
        return self.root_dir

    def save(self) -> None:
        """Write no ``hparams.yaml``, which would be empty."""


def score(model: nn.Module, options: TrainerOptions, loader: Any) -> dict[str, Any]:
    """Score a model; see `Trainer.evaluate`."""
    module = ClassifierModule(model, options)
    return dict(_engine(options).validate(module, loader, verbose=False)[0])


def predict(model: nn.Module, options: TrainerOptions, loader: Any, views: Views) -> Tensor:
    """Compute probabilities; see `Trainer.predict`. Several processes take the rows in turn."""
    engine, module = _engine(options), ClassifierModule(model, options, views=views)
    # Where there are fewer rows than processes
    module.allow_zero_length_dataloader_with_multiple_devices = True
    with float32_logits(model, module.num_classes):
        batches: Any = engine.predict(module, loader) or []
    own = torch.cat([torch.empty(0, module.num_classes), *batches])
    if engine.world_size == 1:
        return own
    parts: list[Any] = [None] * engine.world_size
    distributed.all_gather_object(parts, own)
    rows = torch.empty(sum(map(len, parts)), own.shape[1])
    for rank, part in enumerate(parts):
        rows[rank :: engine.world_size] = part
    return rows


def overfit(model: nn.Module, options: TrainerOptions, batch: Any) -> list[dict[str, float]]:
    """Train on one batch; see `Trainer.overfit_batch`."""
    history = HistoryWriter(lines=options.progress, stop_below=_LEARNED)
    only: Any = [batch]
    loader: DataLoader[Any] = DataLoader(only, batch_size=None)
    module = ClassifierModule(model, options).train()
    engine = _engine(options, bar=False, max_epochs=options.epochs, callbacks=[history])
    engine.fit(module, loader)
    names = {"epoch": "epoch", "loss": "train_loss", "accuracy": "train_accuracy"}
    return [{name: row[names[name]] for name in names} for row in history.rows]


def exponential_schedule(lowest: float, highest: float, steps: int) -> Callable[[Any], Any]:
    """Make a schedule of rising rates, the same for all parameters, for `find_rates`."""

    def schedule(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        for group in optimizer.param_groups:
            group["lr"] = lowest
        # The first step has the lowest rate, the last one the highest
        factors = [(highest / lowest) ** ((k + 1) / steps if k else 0.0) for k in range(steps)]
        rising = LambdaLR(optimizer, lambda step: factors[min(step, steps - 1)])
        return {"scheduler": rising, "interval": "step"}

    return schedule


class _RateSearch(lightning.Callback):
    """Note the rate and the running mean of the loss at each step, until the loss diverges."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, batch
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, batch
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self._mean = _MOMENTUM * self._mean + (1 - _MOMENTUM) * float(outputs["loss"])
        loss = self._mean / (1 - _MOMENTUM ** len(self.rates))
        diverged = bool(self.losses) and loss > _DIVERGED * min(self.losses)
        trainer.should_stop = trainer.strategy.broadcast(diverged)
        self.losses.append(loss)


def find_rates(
    model: nn.Module, options: TrainerOptions, loader: Any, class_weights: Tensor | None
) -> LearningRates:
    """Train through rising rates; see `Trainer.find_learning_rate`.

    References:
        Smith, Cyclical learning rates, 2017, https://doi.org/10.1109/WACV.2017.58.
    """
    module = ClassifierModule(model, options, class_weights).train()
    module.stop_at_nan = False  # the highest rates are there to diverge
    search = _RateSearch()
    with frozen(model, options.freeze):
        _engine(
            options,
            bar=False,
            callbacks=[search],
            gradient_clip_val=options.gradient_clip,
            accumulate_grad_batches=options.accumulate,
            max_epochs=options.epochs,
            max_steps=options.epochs,
        ).fit(module, loader)
    losses = np.asarray(search.losses)
    diverged = np.flatnonzero(~np.isfinite(losses))
    end = diverged[0] if len(diverged) else len(losses)
    suggestion = _suggested(search.rates[:end], losses[:end])
    if suggestion is None:
        what = f"one that falls between the rates {search.rates[0]:g} and {search.rates[-1]:g}"
        hint = "Pass a higher `highest` or more `steps`."
        warn(expected("loss", what, "none", hint))
    return LearningRates(tuple(search.rates[:end]), tuple(losses[:end].tolist()), suggestion)


def _suggested(rates: list[float], losses: Any) -> float | None:
    """Find the steepest fall along the logarithm of the rate, whose steps are equal."""
    settled = losses[_WARM_UP:]
    if not len(settled) or settled.min() > _FALL * settled[0]:
        return None
    return rates[_WARM_UP + int(np.diff(settled).argmin())]


@contextmanager
def seeded(data: Any, seed: int) -> Iterator[None]:
    """Seed a run, keep Lightning quiet, and restore torch's generator and Ctrl-C afterwards."""
    # One device by its number: torch would warn where it has to choose, and reseed them all
    gpu = torch.cuda.is_available()
    devices = [torch.cuda.current_device()] if gpu else []
    with torch.random.fork_rng(devices=devices), quiet(), _ctrl_c(), explain_workers():
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.manual_seed(seed)
        seed_transforms(data, seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Lightning's tips and its remarks on its own defaults inside the block."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _ABOUT_ITSELF:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt`, where Lightning exits and disables its handler."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)


def _engine(
    options: TrainerOptions, *, bar: bool = True, callbacks: Any = (), **settings: Any
) -> lightning.Trainer:
    """Set up a Lightning trainer for one call."""
    plugins: list[Any] = [StateFile()]
    if _single_process(options):
        # Else a SLURM allocation of several tasks would be taken for a distributed run
        plugins.append(LightningEnvironment())
    else:
        _leave_group_at_exit()
    shown = bar and options.progress and sys.stderr.isatty()
    usual: dict[str, Any] = {"max_epochs": 1, "logger": [], "num_sanity_val_steps": 0}
    return lightning.Trainer(
        accelerator="gpu" if options.device == "cuda" else options.device,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        plugins=plugins,
        precision=options.precision,  # type: ignore[arg-type]  # a literal of many names there, checked here
        callbacks=list(callbacks),
        # Lightning wants both announced where a user gives them
        enable_checkpointing=any(isinstance(one, Checkpoint) for one in callbacks),
        enable_progress_bar=shown or any(isinstance(one, ProgressBar) for one in callbacks),
        enable_model_summary=False,
        log_every_n_steps=10,
        **{**usual, **settings},
    )


def _early_stopping(options: TrainerOptions) -> list[Any]:
    if options.early_stopping is None:
        return []
    # After validation, since Lightning would check after the state is saved
    when: dict[str, Any] = {"mode": "max", "check_on_train_epoch_end": False}
    return [EarlyStopping(_SCORE, patience=options.early_stopping, **when)]


def _single_process(options: TrainerOptions) -> bool:
    one = options.devices in (1, "1")
    one = one or (isinstance(options.devices, list) and len(options.devices) == 1)
    return one and options.num_nodes == 1 and options.strategy == "auto"


def _check_launch(options: TrainerOptions) -> None:
    """Refuse processes of `torchrun` that would each train alone."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    alone = _single_process(options) and distributed.is_torchelastic_launched()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", started))
    what = f"{here}, as many processes as `torchrun` has started on this machine"
    hint = f"Pass `devices={here}, num_nodes={started // here}, strategy='ddp'`."
    require(not alone or started == 1, "devices", what, options.devices, hint)


@cache
def _leave_group_at_exit() -> None:
    """Leave the process group before the process ends: threads of gloo may abort it otherwise."""
    atexit.register(_leave_group)


def _leave_group() -> None:
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _restore(module: ClassifierModule, folder: RunFolder) -> str:
    """Give a model with broken weights those of the state before; word what it has."""
    state, best = (folder.path / name for name in (STATE_NAME, BEST_NAME))
    kept = f"The state before is kept in {state}." if state.exists() else ""
    if folder.starting:  # that state is of an earlier run
        state, kept = folder.temporary(STATE_NAME), ""
    if not module.broken():
        return kept
    if state.exists():
        saved = torch.load(state, weights_only=True, map_location="cpu", mmap=True)["state_dict"]
        own = {name: value for name, value in saved.items() if name.startswith("model.")}
        module.load_state_dict(own, strict=False)
        return f"The model has its last finite weights. {kept}"
    if best.exists():
        read_checkpoint(best, module.model, module.own)
        return "The model has the weights of the best epoch before."
    return "The model is left with such weights: build it again."


def _finish(
    engine: Any,
    module: ClassifierModule,
    folder: RunFolder,
    save: Callable[[Path], None],
    *,
    scored: bool,
) -> None:
    """Load the best weights, or save the last ones."""
    model = module.model
    if engine.is_global_zero:
        if scored:
            read_checkpoint(folder.check(BEST_NAME), model, module.own)
        else:
            save(folder.temporary(BEST_NAME))
            folder.commit()
    if scored and engine.world_size > 1:
        # Not from the file: another machine may not see it, and without an output no process does
        model.load_state_dict(engine.strategy.broadcast(model.state_dict()))
    engine.strategy.barrier()

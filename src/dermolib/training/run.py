"""One run of training, from where it stands to its best weights."""

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from dermolib._jobs import explain_disk_full
from dermolib.datasets.seeding import seed_transforms
from dermolib.training.callbacks import Average, KeepBest, KeepRows
from dermolib.training.checkpoint import read_checkpoint
from dermolib.training.engine import Place, check_launch, make_engine, quiet
from dermolib.training.fitness import lone_image_refused
from dermolib.training.folder import BEST_NAME, HISTORY_NAME, left, used
from dermolib.training.loaders import resumable
from dermolib.training.module import ClassifierModule
from dermolib.training.optimizers import frozen
from dermolib.training.recipe import RunOptions
from dermolib.training.state import RunState, check_same_run

__all__ = ["overfit", "predict", "score", "seeded", "train"]

_LEARNED = 0.01  # mean loss below which a batch is learned by heart
_SCORE = "validation_weighted_accuracy"


def train(
    module: ClassifierModule,
    loader: Any,
    validation: Any,
    *,
    place: Place,
    options: RunOptions,
    facts: dict[str, Any],
    resume: bool,
    save: Callable[[Path], None],
) -> list[dict[str, float]]:
    """Train, from the start or from where an unfinished run stands, and take the best weights.

    Args:
        module: Module.
        loader: Loader of the training set.
        validation: Loader of the validation set, or None.
        place: Where it computes.
        options: Options of the run.
        facts: Names of the classes, and the configuration by which an unfinished run is known.
        resume: Whether an unfinished run in the folder goes on.
        save: Writes the weights of the model to a path.

    Returns:
        A row for each epoch.
    """
    check_launch(place)
    loader = resumable(loader)
    recipe, keeps = module.recipe, options.output is not None
    with ExitStack() as stack:
        folder = options.output or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        state = RunState(folder, loader, facts, every=options.save_every, keeps=keeps)
        rows = KeepRows(folder / HISTORY_NAME if keeps else None)
        average = [] if recipe.ema is None else [Average(decay=recipe.ema)]
        best = KeepBest(folder / BEST_NAME, save)
        engine = make_engine(
            place,
            epochs=options.epochs,
            progress=options.progress,
            callbacks=[rows, best, *average, *_stopping(options), state],
            gradient_clip=recipe.gradient_clip,
            accumulate=recipe.accumulate,
            output=options.output,
            look=True,
        )
        stack.enter_context(explain_disk_full(folder))
        if keeps:
            stack.enter_context(used(folder, first=engine.is_global_zero))
            state.earlier = left(folder)
        stack.enter_context(frozen(module.model, recipe.freeze))
        stack.enter_context(_compiled(module.model, on=options.compile))
        processes = engine.world_size
        stack.enter_context(
            lone_image_refused(module.model, module.still, loader, processes=processes)
        )
        start = _start(state.path, facts, resume=resume and keeps)
        module.kept = state.path if keeps else None
        module.train()  # a model that was used in between is in evaluation mode
        engine.fit(module, loader, validation, ckpt_path=start, weights_only=True)
        _finish(engine, module.model, state, save, scored=validation is not None)
    return rows.rows


def score(module: ClassifierModule, loader: Any, *, place: Place, progress: bool) -> dict[str, Any]:
    """Score a model; see `Trainer.evaluate`."""
    engine = make_engine(place, epochs=1, progress=progress, callbacks=[])
    return dict(engine.validate(module, loader, verbose=False)[0])


def predict(module: ClassifierModule, loader: Any, *, place: Place, progress: bool) -> Tensor:
    """Compute probabilities; see `Trainer.predict`. Several processes share the rows in turn."""
    engine = make_engine(place, epochs=1, progress=progress, callbacks=[])
    # Where there are fewer rows than processes
    module.allow_zero_length_dataloader_with_multiple_devices = True
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


def overfit(
    module: ClassifierModule,
    batch: Any,
    *,
    place: Place,
    epochs: int,
    lines: bool,
) -> list[dict[str, float]]:
    """Train on one batch; see `Trainer.overfit_batch`."""
    keep = KeepRows(lines=lines, stop_below=_LEARNED)
    only: Any = [batch]
    loader: DataLoader[Any] = DataLoader(only, batch_size=None)
    module.train()
    make_engine(place, epochs=epochs, progress=False, callbacks=[keep]).fit(module, loader)
    names = {"epoch": "epoch", "loss": "train_loss", "accuracy": "train_accuracy"}
    return [{name: row[names[name]] for name in names} for row in keep.rows]


@contextmanager
def seeded(data: Any, seed: int) -> Iterator[None]:
    """Seed what is random about a run, leave torch's generator as it was; Ctrl-C is heard."""
    # One device by its number: torch would warn where it has to choose, and reseed them all
    gpu = torch.cuda.is_available()
    devices = [torch.cuda.current_device()] if gpu else []
    with torch.random.fork_rng(devices=devices), quiet(), _ctrl_c():
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.manual_seed(seed)
        seed_transforms(data, seed)
        yield


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Let Ctrl-C be a `KeyboardInterrupt`, heard by whom it was before.

    Lightning makes an exit of it, and keeps it from being heard again.
    """
    heard = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and heard is not None:
            signal.signal(signal.SIGINT, heard)


def _stopping(options: RunOptions) -> list[Any]:
    if options.early_stopping is None:
        return []
    # After validation, since Lightning would have it look after the state is saved
    when: dict[str, Any] = {"mode": "max", "check_on_train_epoch_end": False}
    return [EarlyStopping(_SCORE, patience=options.early_stopping, **when)]


@contextmanager
def _compiled(model: nn.Module, *, on: bool) -> Iterator[None]:
    """Compile the model for the length of the block; one that already is stays as it is."""
    if not on or model._compiled_call_impl is not None:
        yield
        return
    model.compile()
    try:
        yield
    finally:
        model._compiled_call_impl = None


def _start(path: Path, facts: dict[str, Any], *, resume: bool) -> Path | None:
    """Find the state to go on from."""
    if not (resume and path.exists()):
        return None
    check_same_run(path, facts)
    return path


def _finish(
    engine: Any, model: nn.Module, state: RunState, save: Callable[[Path], None], *, scored: bool
) -> None:
    """Take the best weights, or keep the last ones, and let the run be over."""
    best = state.path.with_name(BEST_NAME)
    if engine.is_global_zero:
        if scored:
            read_checkpoint(best, model)
        else:
            save(best)
    if scored and engine.world_size > 1:
        # Not from the file: another machine may not see it, and without an output no process does
        model.load_state_dict(engine.strategy.broadcast(model.state_dict()))
    engine.strategy.barrier()
    if engine.is_global_zero:
        state.path.unlink(missing_ok=True)

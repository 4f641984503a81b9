"""Lightning callbacks of a run: history, best weights, weight average, and the saved state."""

import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from tqdm import tqdm

from dermolib._validation import printable
from dermolib.io import write_table
from dermolib.training.checkpoint import (
    METADATA_KEY,
    refusal,
    without_numpy,
    write_content,
)
from dermolib.training.data import EpochLoader
from dermolib.training.folder import HISTORY_NAME, STATE_NAME, RunFolder

__all__ = ["BestWeights", "HistoryWriter", "RunState", "StateFile", "WeightAverage"]

_LINE_EVERY = 10
_log = logging.getLogger(__name__)


class WeightAverage(WeightAveraging):
    """An average of the weights that survives a failed validation and a resumed last epoch.

    The decay rises with the number of averaged steps n as (1 + n) / (10 + n), up to `decay`, so
    that a short run does not keep its first weights, as in `tf.train.ExponentialMovingAverage`.
    The loss takes no part: its state is not averaged, and it need not be one that can be copied.

    References:
        https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage (`num_updates`)
    """

    _validating = False  # whether the model holds the average

    def __init__(self, decay: float) -> None:
        """Average all weights and buffers at each step."""

        def average(averaged: Any, current: Any, count: Tensor) -> None:
            done = int(count)
            rising = min(decay, (1 + done) / (10 + done))
            for own, new in zip(averaged, current, strict=True):
                if own.is_floating_point():  # not by `lerp`, which makes NaN of equal infinities
                    own.mul_(rising).add_(new, alpha=1 - rising)
                else:
                    own.copy_(new)

        super().__init__(multi_avg_fn=average)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Copy the weights."""
        with _without_loss(pl_module):
            super().setup(trainer, pl_module, stage)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *given: Any) -> None:
        """Average the weights."""
        with _without_loss(pl_module):
            super().on_train_batch_end(trainer, pl_module, *given)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the model the average."""
        with _without_loss(pl_module):
            super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Score the average."""
        with _without_loss(pl_module):
            super().on_validation_epoch_start(trainer, pl_module)
        self._validating = True

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the model its own weights back."""
        with _without_loss(pl_module):
            super().on_validation_epoch_end(trainer, pl_module)
        self._validating = False

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the average, beside which the loss keeps its state."""
        state = checkpoint["state_dict"]
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["state_dict"] = {**state, **checkpoint["state_dict"]}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Restore the average."""
        state = checkpoint["state_dict"].items()
        averaged = {name: value for name, value in state if not name.startswith("loss.")}
        super().on_load_checkpoint(trainer, pl_module, {**checkpoint, "state_dict": averaged})

    def on_exception(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Give the model its own weights back where scoring failed."""
        if self._validating:
            self.on_validation_epoch_end(trainer, pl_module)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the model the average also where a resumed run had no step left."""
        self.on_train_end(trainer, pl_module)


@contextmanager
def _without_loss(module: Any) -> Iterator[None]:
    loss, module.loss = module.loss, None
    try:
        yield
    finally:
        module.loss = loss


class BestWeights(lightning.Callback):
    """Write the weights of the epoch with the highest weighted accuracy, the first of equals.

    In the list of callbacks it comes before `WeightAverage`, which gives the model its own weights
    back when the scores are known.
    """

    def __init__(self, path: Path, save: Callable[[Path], None]) -> None:
        """Start without a best epoch."""
        self._path, self._save, self._score = path, save, -1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the score of the best epoch so far."""
        return {"score": self._score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the score of the best epoch so far."""
        self._score = float(state_dict["score"])

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the weights if they are the best so far."""
        if trainer.sanity_checking:
            return
        score = float(pl_module.weighted_accuracy.compute())
        if score > self._score:
            self._score = score
            pl_module.stop_if_broken()
            if trainer.is_global_zero:
                self._save(self._path)


class HistoryWriter(lightning.Callback):
    """Keep the metrics of each epoch as a row, also in a folder, and as lines to standard error.

    The run ends early when the training loss falls below `stop_below`.
    """

    def __init__(
        self,
        folder: RunFolder | None = None,
        *,
        lines: bool = False,
        stop_below: float = -math.inf,
    ) -> None:
        """Start without rows."""
        self.rows: list[dict[str, float]] = []
        self._folder, self._lines, self._stop_below = folder, lines, stop_below

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a resumed run."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Make the row of the epoch, after validation."""
        trained = pl_module.epoch_metrics()
        pl_module.reset_epoch()
        pl_module.log_dict(trained, sync_dist=True)  # which leaves equal values as they are
        rates = [float(group["lr"]) for group in trainer.optimizers[0].param_groups]
        row = {"epoch": trainer.current_epoch + 1, "learning_rate": max(rates), **trained}
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row.update({name: logged[name] for name in sorted(logged) if name not in trained})
        self.rows.append(row)
        if self._folder is not None and trainer.is_global_zero:
            table = pd.DataFrame(self.rows)
            cells = table.astype(object).where(table.notna(), "").to_numpy().tolist()
            path = self._folder.temporary(HISTORY_NAME)
            write_table(path, [*map(str, table)], cells, quoted=False)
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if row["train_loss"] < self._stop_below:
            trainer.should_stop = last = True
        if self._lines and (last or trainer.current_epoch % _LINE_EVERY == 0):
            loss, accuracy = row["train_loss"], row["train_accuracy"]
            line = f"epoch {row['epoch']:4d}: loss {loss:.4f}, accuracy {accuracy:.3f}"
            tqdm.write(line, file=sys.stderr)


class StateFile(TorchCheckpointIO):
    """Write states directly to their place, not through memory and a temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, *_: Any, **__: Any) -> None:
        """Write a state."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)  # for a user's `ModelCheckpoint`
        write_content(without_numpy(checkpoint), Path(path))


class RunState(lightning.Callback):
    """Save the state of a run: at the start, after each epoch, within epochs, and on SIGTERM.

    With each state the files of the others take their places; the first one waits for the first
    step. A run resumes within an epoch of an `EpochLoader` alone. In the list of callbacks it comes
    last, so that it saves the state of all others.
    """

    def __init__(
        self, folder: RunFolder, loader: Any, metadata: dict[str, Any], every: Any, *, writes: bool
    ) -> None:
        """Start without a position."""
        self._folder, self._loader, self._metadata = folder, loader, metadata
        self._every, self._writes = every, writes
        self._terminated = False  # whether SIGTERM came
        self._state: dict[str, Any] = {}
        self._position: tuple[int, int] | None = None  # epoch, and batches of it that are done

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the metadata and the position."""
        del pl_module
        position = {"position": list(self._position or (0, 0)), "stopped": trainer.should_stop}
        checkpoint[METADATA_KEY] = {**self._metadata, **position}
        self._state = checkpoint

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Restore the position."""
        del pl_module
        epoch, batches = checkpoint[METADATA_KEY]["position"]
        # A run that stopped early, and was cut off before it was over, has no epoch left
        trainer.should_stop = bool(checkpoint[METADATA_KEY]["stopped"])
        self._position = (epoch, batches)
        if isinstance(self._loader, EpochLoader):
            self._loader.start_at(epoch, batches)

    def on_sanity_check_start(self, *_: Any) -> None:
        """Handle SIGTERM from the sanity check on."""
        self._handle_sigterm()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Save the state before the first step, and handle SIGTERM."""
        if self._position is None:
            self._save(trainer, pl_module, (0, 0))
        self._handle_sigterm()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the state within an epoch, between two steps of the optimizer."""
        del outputs, batch
        if self._folder.starting and trainer.global_step:
            self._folder.commit()
        done = batch_idx + 1
        last = done >= trainer.num_training_batches
        if (
            last
            or done % trainer.accumulate_grad_batches
            or not isinstance(self._loader, EpochLoader)
        ):
            return
        terminated = self._terminated_anywhere(trainer)
        due = self._every is not None and trainer.global_step % self._every == 0
        if terminated or due:
            self._save(trainer, pl_module, (trainer.current_epoch, done))
            if trainer.is_global_zero:
                self._folder.commit()
        if terminated:
            self._exit()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the state between two epochs."""
        self._save(trainer, pl_module, (trainer.current_epoch + 1, 0))
        if trainer.is_global_zero:
            self._folder.commit()
        if self._terminated_anywhere(trainer):
            self._exit()

    def _handle_sigterm(self) -> None:
        if self._writes and threading.current_thread() is threading.main_thread():
            # Lightning's own would end inside validation, where one of several processes would wait
            # for the others for ever; it restores the former one
            signal.signal(signal.SIGTERM, self._note_sigterm)

    def _note_sigterm(self, *_: Any) -> None:
        self._terminated = True

    def _terminated_anywhere(self, trainer: Any) -> bool:
        if not self._writes or trainer.world_size == 1:
            return self._terminated
        return bool(trainer.strategy.reduce_boolean_decision(self._terminated, all=False))

    def _save(self, trainer: Any, pl_module: Any, position: tuple[int, int]) -> None:
        self._position = position
        if not self._writes:
            pl_module.stop_if_broken()  # as saving does
            return
        # One name for all processes, of which the first alone writes
        path = trainer.strategy.broadcast(self._folder.temporary(STATE_NAME))
        trainer.save_checkpoint(path)
        first = trainer.is_global_zero
        refused = trainer.strategy.broadcast(refusal(path, self._state) if first else "")
        self._state = {}
        if refused:
            raise TypeError(refused)

    def _exit(self) -> None:
        path = self._folder.path / STATE_NAME
        _log.warning(
            "Ended by SIGTERM; the same call resumes from the state in %s", printable(path)
        )
        raise SystemExit(128 + signal.SIGTERM)

"""What Lightning reports back during a run."""

import math
import sys
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from tqdm import tqdm

__all__ = ["KeepRows", "best_checkpoint"]

_LINE_EVERY = 10


class KeepRows(lightning.Callback):
    """Keep the numbers of each epoch as a row.

    Args:
        lines: Whether to write a line to standard error in the first and every tenth epoch.
        stop_below: Training loss below which the run ends early.
    """

    def __init__(self, *, lines: bool = False, stop_below: float = -math.inf) -> None:
        """Start without rows."""
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._lines = lines
        self._stop_below = stop_below

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's signature
        """Make the row of the epoch; validation has come before."""
        row: dict[str, float] = {
            "epoch": trainer.current_epoch + 1,
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
        }
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row.update({name: numbers[name] for name in sorted(numbers)})
        self.rows.append(row)
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if row["train_loss"] < self._stop_below:
            trainer.should_stop = last = True
        if self._lines and (last or trainer.current_epoch % _LINE_EVERY == 0):
            loss, accuracy = row["train_loss"], row["train_accuracy"]
            line = f"epoch {row['epoch']:4d}: loss {loss:.4f}, accuracy {accuracy:.3f}"
            tqdm.write(line, file=sys.stderr)


def best_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keep the weights of the epoch with the highest weighted accuracy, the first of equals.

    Args:
        folder: Folder of the run; the file is ``best.ckpt`` in it.

    Returns:
        Lightning callback.
    """
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="validation_weighted_accuracy",
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
    )

"""What Lightning reports back during a run."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.pytorch.callbacks import EMAWeightAveraging
from tqdm import tqdm

from dermolib.io import whole_file

__all__ = ["Average", "KeepBest", "KeepRows"]

_LINE_EVERY = 10


class Average(EMAWeightAveraging):
    """The running average of the weights, which the model has in the end."""

    _swapped = False  # whether the model has the average, to be scored

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Give the model its own weights back where scoring was cut off."""
        del trainer, exception
        if self._swapped:
            self._swap_models(pl_module)

    def _swap_models(self, pl_module: Any) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Give the model the average also where a run goes on that had no step left."""
        self.on_train_end(trainer, pl_module)


class KeepBest(lightning.Callback):
    """Write the weights of the epoch with the highest weighted accuracy, the first of equals.

    In the list of callbacks it comes before an average of the weights, which gives the model its
    own back when the scores are known.

    Args:
        path: File that is written anew, whole, for each better epoch.
        save: Writes the weights that the model has to a path.
    """

    def __init__(self, path: Path, save: Callable[[Path], None]) -> None:
        """Start without a best epoch."""
        super().__init__()
        self._path = path
        self._save = save
        self._score = -1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the score of the best epoch so far."""
        return {"score": self._score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the score of the best epoch so far."""
        self._score = float(state_dict["score"])

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the weights if they are the best so far."""
        if trainer.sanity_checking:
            return
        score = float(pl_module.weighted_accuracy.compute())
        if score <= self._score:
            return
        self._score = score
        if trainer.is_global_zero:
            self._save(self._path)


class KeepRows(lightning.Callback):
    """Keep the numbers of each epoch as a row.

    Args:
        path: CSV file that is written anew, whole, after each epoch; None writes none.
        lines: Whether to write a line to standard error in the first and every tenth epoch.
        stop_below: Training loss below which the run ends early.
    """

    def __init__(
        self, path: Path | None = None, *, lines: bool = False, stop_below: float = -math.inf
    ) -> None:
        """Start without rows."""
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._lines = lines
        self._stop_below = stop_below

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far, for a run that is to go on."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a run that goes on."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Make the row of the epoch; validation has come before."""
        trained = pl_module.epoch_numbers()
        pl_module.clear_epoch()
        pl_module.log_dict(trained, sync_dist=True)  # which leaves what is alike as it is
        row: dict[str, float] = {
            "epoch": trainer.current_epoch + 1,
            "learning_rate": max(
                float(group["lr"]) for group in trainer.optimizers[0].param_groups
            ),
            **trained,
        }
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row.update({name: found[name] for name in sorted(found) if name not in trained})
        self.rows.append(row)
        if self._path is not None and trainer.is_global_zero:
            with whole_file(self._path) as temporary:
                pd.DataFrame(self.rows).to_csv(temporary, index=False)
        self._tell(trainer, row)

    def _tell(self, trainer: lightning.Trainer, row: dict[str, float]) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if row["train_loss"] < self._stop_below:
            trainer.should_stop = last = True
        if self._lines and (last or trainer.current_epoch % _LINE_EVERY == 0):
            loss, accuracy = row["train_loss"], row["train_accuracy"]
            line = f"epoch {row['epoch']:4d}: loss {loss:.4f}, accuracy {accuracy:.3f}"
            tqdm.write(line, file=sys.stderr)

"""What a training run measured."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

__all__ = ["History", "LearningRates"]


@dataclass
class History:
    """Plain rows, one for each epoch, counted from 1.

    Attributes:
        rows: For each epoch a dictionary of numbers. `Trainer.fit` writes ``epoch``,
            ``learning_rate``, ``train_loss`` and, where there is validation, ``validation_loss``,
            ``validation_accuracy`` and ``validation_weighted_accuracy``; `Trainer.overfit_batch`
            writes ``epoch``, ``loss`` and ``accuracy``.

    Examples:
        >>> history = History([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.5}])
        >>> history.column("train_loss")
        [2.0, 1.5]
    """

    rows: list[dict[str, float]] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """Return one number of each epoch that has it."""
        return [row[name] for row in self.rows if name in row]

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a data frame, one column for each name."""
        return pd.DataFrame(self.rows)

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        """Go through the rows."""
        return iter(self.rows)


@dataclass(frozen=True)
class LearningRates:
    """What `Trainer.find_learning_rate` has seen.

    Attributes:
        rates: Learning rates that were tried (S,), rising.
        losses: Running mean of the loss at each (S,); both end where the loss explodes.
        suggestion: Rate at which the loss falls fastest, or None where it falls nowhere.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None

"""Which learning rates a network can be trained with: a short run through all of them."""

import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.tuner import lr_finder
from lightning.pytorch.tuner.tuning import Tuner

from dermolib._validation import check_number, expected, outside
from dermolib.training.engine import Place, make_engine
from dermolib.training.history import LearningRates
from dermolib.training.module import ClassifierModule
from dermolib.training.optimizers import frozen

__all__ = ["Rates", "find_learning_rate"]

_SETTLING = 10  # losses at the lower end that are a mean of few
_FALL = 0.99  # share of the loss below which it has fallen
_MEMORY = 0.98  # share of the running mean of losses that Lightning keeps at each step


@dataclass(frozen=True)
class Rates:
    """A range of learning rates to try.

    Attributes:
        lowest: Lowest rate, above 0.
        highest: Highest rate, above `lowest`.
        steps: Number of rates, 20 or more.

    Raises:
        TypeError: One is no number.
        ValueError: One is out of range.
    """

    lowest: float
    highest: float
    steps: int

    def __post_init__(self) -> None:
        """Check the range."""
        check_number(self.lowest, "lowest", above=0)
        check_number(self.highest, "highest", above=self.lowest)
        check_number(self.steps, "steps", low=2 * _SETTLING, integer=True)


def find_learning_rate(
    module: ClassifierModule, loader: Any, tried: Rates, *, place: Place
) -> LearningRates:
    """Train through rising rates; see `Trainer.find_learning_rate`.

    Args:
        module: Module with a model that may be changed.
        loader: Loader of the training set.
        tried: Rates to try.
        place: Where it computes.

    Returns:
        Rates and losses.

    References:
        Smith, Cyclical learning rates, 2017, https://doi.org/10.1109/WACV.2017.58.
    """
    recipe = module.recipe
    module.train().stops = False  # the highest rates are there to explode
    # Lightning keeps the weights from before in a file
    with (
        _no_bar(),
        tempfile.TemporaryDirectory() as folder,
        frozen(module.model, recipe.freeze),
    ):
        engine = make_engine(
            place,
            epochs=math.ceil(tried.steps * recipe.accumulate / len(loader)),
            progress=False,
            callbacks=[],
            gradient_clip=recipe.gradient_clip,
            accumulate=recipe.accumulate,
            folder=Path(folder),
        )
        limits: dict[str, Any] = {"min_lr": tried.lowest, "max_lr": tried.highest}
        found: Any = Tuner(engine).lr_find(
            module, loader, num_training=tried.steps, update_attr=False, **limits
        )
    rates, losses = _seen(found.results["lr"], found.results["loss"])
    suggestion = _suggested(rates, losses)
    if suggestion is None:
        what = f"one that falls between the rates {tried.lowest:g} and {tried.highest:g}"
        remedy = "Take a higher `highest` or more `steps`."
        warnings.warn(expected("loss", what, "none", remedy), UserWarning, stacklevel=outside())
    return LearningRates(tuple(rates.tolist()), tuple(losses.tolist()), suggestion)


def _seen(rates: list[float], losses: list[float]) -> tuple[Any, Any]:
    """Cut off what is no number, and mend the mean: Lightning counts one step too many."""
    steps = np.arange(1, len(losses) + 1)
    means = np.asarray(losses) * (1 - _MEMORY ** (steps + 1)) / (1 - _MEMORY**steps)
    broken = np.flatnonzero(~np.isfinite(means))
    end = broken[0] if len(broken) else len(means)
    return np.asarray(rates)[:end], means[:end]


def _suggested(rates: Any, losses: Any) -> float | None:
    """Find the steepest fall along the logarithm of the rate, in which the rates are even."""
    settled = losses[_SETTLING:]
    if not len(settled) or settled.min() > _FALL * settled[0]:
        return None
    falls = np.diff(settled)
    return float(rates[_SETTLING + int(falls.argmin())])


@contextmanager
def _no_bar() -> Iterator[None]:
    """Keep the finder from drawing a progress bar, for which it has no switch."""
    module: Any = lr_finder
    drawn = module.tqdm
    module.tqdm = partial(drawn, disable=True)
    try:
        yield
    finally:
        module.tqdm = drawn

"""How the classes of a training set are made to count: by the loss, or by how often they come."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dermolib._checks import check_choice, check_number, expected, listed, outside
from dermolib.metrics import WeightedAccuracy
from dermolib.metrics import class_weights as balanced_weights
from dermolib.training.loaders import labels_of
from dermolib.training.sampling import sample_weights

__all__ = ["Balance"]

_WEIGHTS = ("auto", "balanced")
_SAMPLERS = ("balanced",)


@dataclass(frozen=True)
class Balance:
    """What `Trainer` does about classes of different size.

    Attributes:
        class_weights: Weights in the loss (K,), ``"auto"``, ``"balanced"`` or None.
        sampler: ``"balanced"``, a power, or None.
        class_names: Names of the K classes.

    Raises:
        TypeError: An option is of another type.
        ValueError: An option is out of range.
    """

    class_weights: Any
    sampler: Any
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the options, and warn where both are on."""
        if isinstance(self.class_weights, str):
            check_choice(self.class_weights, "class_weights", _WEIGHTS)
        elif self.class_weights is not None:
            WeightedAccuracy(len(self.class_names), self.class_weights)
        if isinstance(self.sampler, str):
            check_choice(self.sampler, "sampler", _SAMPLERS)
        elif self.sampler is not None:
            check_number(self.sampler, "sampler", low=0, high=1)
        both = self.sampler is not None and self.class_weights is not None
        if both and not self._automatic:
            message = (
                "`class_weights` and `sampler` both make rare classes count more: together they "
                "have made models collapse. Leave one of them out."
            )
            warnings.warn(message, UserWarning, stacklevel=outside())

    @property
    def _automatic(self) -> bool:
        return isinstance(self.class_weights, str) and self.class_weights == "auto"

    def plain(self) -> dict[str, Any]:
        """Return the options as plain values, which a checkpoint holds."""
        given = self.class_weights
        weights = given if given is None or isinstance(given, str) else np.asarray(given).tolist()
        return {"class_weights": weights, "sampler": self.sampler}

    def check(self, train: Any, validation: Any) -> None:
        """Look at the labels of both sets, where they tell them, before the first epoch.

        Args:
            train: Training set.
            validation: Validation set, or None.

        Raises:
            ValueError: A label is no class.
        """
        count = len(self.class_names)
        for data in (train, validation):
            _check_range(labels_of(data), count)
        labels = labels_of(train)
        if labels is None:
            return
        counts = np.bincount(labels, minlength=count)
        absent = [name for name, n in zip(self.class_names, counts, strict=True) if not n]
        if absent:
            message = (
                f"The training set has no image of {listed(absent)}, which the model cannot learn. "
                "Split again with `grouped_split`, or leave the class out."
            )
            warnings.warn(message, UserWarning, stacklevel=outside())

    def loss_weights(self, train: Any) -> Tensor | None:
        """Return the weights of the classes in the loss (K,), or None.

        Args:
            train: Training set.

        Raises:
            ValueError: The weights need labels that the training set does not tell.
        """
        given, count = self.class_weights, len(self.class_names)
        if given is None:
            return None
        if not isinstance(given, str):
            return WeightedAccuracy(count, given).class_weights
        if self._automatic and self.sampler is not None:
            return None
        labels = labels_of(train)
        if labels is None:
            if self._automatic:
                return None
            raise ValueError(_untold(train, "balanced class weights", "the weights as numbers"))
        return balanced_weights(np.bincount(labels, minlength=count))

    def odds(self, train: Any) -> npt.NDArray[np.float64] | None:
        """Return how likely each row is to be drawn (N,), or None for each one once.

        Args:
            train: Training set.

        Raises:
            ValueError: The sampler needs labels that the training set does not tell.
        """
        if self.sampler is None:
            return None
        labels = labels_of(train)
        if labels is None:
            remedy = "a loader of `make_loader` with `sample_weights`"
            raise ValueError(_untold(train, "a balanced sampler", remedy))
        power = 1.0 if isinstance(self.sampler, str) else float(self.sampler)
        return sample_weights(labels, power=power)


def _check_range(labels: Any, count: int) -> None:
    if labels is None or (int(labels.min()) >= 0 and int(labels.max()) < count):
        return
    what = f"classes (N,) in 0..{count - 1}"
    remedy = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
    raise ValueError(expected("label", what, listed(np.unique(labels)), remedy))


def _untold(train: Any, purpose: str, instead: str) -> str:
    what = f"a dataset with `labels` for {purpose}"
    got = f"an object of type {type(train).__name__}"
    return expected("train", what, got, f"Pass {instead}.")

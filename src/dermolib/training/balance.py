"""How the classes of a training set are made to count: by the loss, or by how often they come."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dermolib._validation import check_choice, expected, listed, outside, plain
from dermolib.metrics.weighted_accuracy import WeightedAccuracy
from dermolib.metrics.weighted_accuracy import class_weights as balanced_weights
from dermolib.training.batches import out_of_range
from dermolib.training.loaders import drawn_labels, draws_by_weight, draws_evenly, labels_of
from dermolib.training.sampling import sample_weights

__all__ = ["Balance"]

_WEIGHTS = ("auto", "balanced")


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
        """Make the options plain, check them, and warn where both are on."""
        object.__setattr__(self, "class_weights", _plain_weights(self.class_weights))
        object.__setattr__(self, "sampler", plain(self.sampler))
        if isinstance(self.class_weights, str):
            check_choice(self.class_weights, "class_weights", _WEIGHTS)
        elif self.class_weights is not None:
            WeightedAccuracy(len(self.class_names), self.class_weights)
        _check_sampler(self.sampler)
        if self.sampler is not None:
            self._warn_of_both("`sampler`")

    @property
    def _automatic(self) -> bool:
        return isinstance(self.class_weights, str) and self.class_weights == "auto"

    def plain(self) -> dict[str, Any]:
        """Return the options as plain values, which a checkpoint holds."""
        return {"class_weights": self.class_weights, "sampler": self.sampler}

    def check(self, train: Any, validation: Any) -> None:
        """Look at the labels of both sets, where they tell them, before the first epoch.

        Args:
            train: Training set.
            validation: Validation set, or None.

        Raises:
            ValueError: A label is no class.
        """
        count = len(self.class_names)
        sets = {
            "training": (drawn_labels(train), "which the model cannot learn"),
            "validation": (drawn_labels(validation), "of which its scores tell nothing"),
        }
        for labels, _ in sets.values():
            _check_range(labels, count)
        for name, (labels, harm) in sets.items():
            absent = [] if labels is None else sorted(set(range(count)) - set(labels.tolist()))
            if absent:
                message = (
                    f"The {name} set has no image of "
                    f"{listed(self.class_names[k] for k in absent)}, {harm}. "
                    "Split again with `grouped_split`, or leave the class out."
                )
                warnings.warn(message, UserWarning, stacklevel=outside())

    def loss_weights(self, train: Any) -> Tensor | None:
        """Return the weights of the classes in the loss (K,), or None.

        Args:
            train: Training set.

        Raises:
            ValueError: The weights need labels that the training set does not tell.
            UserWarning: The training set is a loader that draws by weights already; a warning.
        """
        given, count = self.class_weights, len(self.class_names)
        if given is None or (self._automatic and not self._even(train)):
            return None
        if draws_by_weight(train):
            self._warn_of_both("a loader that draws by weights")
        if not isinstance(given, str):
            return WeightedAccuracy(count, given).class_weights
        labels = drawn_labels(train)
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
        _check_range(labels, len(self.class_names))
        if labels is None:
            remedy = "a loader of `make_loader` with `sample_weights`"
            raise ValueError(_untold(train, "a balanced sampler", remedy))
        if not len(labels):
            return None
        power = 1.0 if isinstance(self.sampler, str) else float(self.sampler)
        return sample_weights(labels, power=power)

    def _even(self, train: Any) -> bool:
        return self.sampler is None and draws_evenly(train)

    def _warn_of_both(self, other: str) -> None:
        if self.class_weights is None or self._automatic:
            return
        message = (
            f"`class_weights` and {other} both make rare classes count more: together they "
            "have made models collapse. Leave one of them out."
        )
        warnings.warn(message, UserWarning, stacklevel=outside())


def _plain_weights(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return plain(given)
    numbers = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    if numbers.dtype.kind not in "biuf":
        what = "numbers, one for each class, 'auto', 'balanced' or None"
        raise TypeError(expected("class_weights", what, repr(given)))
    return numbers.tolist()


def _check_sampler(sampler: Any) -> None:
    number = isinstance(sampler, (int, float)) and not isinstance(sampler, bool)
    if sampler is None or (number and 0 <= sampler <= 1):
        return
    if isinstance(sampler, str) and sampler == "balanced":
        return
    what = "'balanced', a power in 0..1, or None"
    kind = ValueError if number or isinstance(sampler, str) else TypeError
    raise kind(expected("sampler", what, repr(sampler)))


def _check_range(labels: Any, count: int) -> None:
    if labels is None or not len(labels) or (int(labels.min()) >= 0 and int(labels.max()) < count):
        return
    raise ValueError(out_of_range(listed(np.unique(labels)), count))


def _untold(train: Any, purpose: str, instead: str) -> str:
    what = f"a dataset with `labels` for {purpose}"
    got = f"an object of type {type(train).__name__}"
    return expected("train", what, got, f"Pass {instead}.")

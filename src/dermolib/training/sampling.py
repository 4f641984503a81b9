"""Class imbalance: class weights in the loss, and how often the images of a class are drawn."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dermolib._validation import check_number, expected, listed, require, warn
from dermolib.labels import FROM_ZERO, from_one, warn_if_from_one
from dermolib.metrics.weighted_accuracy import WeightedAccuracy
from dermolib.metrics.weighted_accuracy import class_weights as balanced_weights
from dermolib.training.batches import form
from dermolib.training.config import TrainerOptions, warn_of_both
from dermolib.training.data import drawn_labels, draws_by_weight, draws_evenly, labels_of

__all__ = ["loss_weights", "sample_weights", "sampling_weights", "warn_of_absent_classes"]

_WEIGHTS = "Give it them, or pass the weights as numbers, or `class_weights=None`."


def sample_weights(labels: Any, *, power: float = 1.0) -> npt.NDArray[np.float64]:
    """Compute sampling weights that draw images of small classes more often.

    An image of a class of n images has the weight n^-power: with 1 all classes are drawn equally
    often, with 0 all images are, and values between repeat rare images less.

    Args:
        labels: Class of each image (N,), integers, 0 or more.
        power: Exponent, 0..1.

    Returns:
        Probability of each image (N,), float64, of sum 1.

    Raises:
        TypeError: `power` is not a number, or labels are not integers.
        ValueError: `power` is out of range, or there are no labels.
        UserWarning: The labels seem to begin at 1; a warning.

    References:
        Mahajan et al., Exploring the limits of weakly supervised pretraining, 2018,
        https://doi.org/10.1007/978-3-030-01216-8_12, for powers below 1.

    Examples:
        >>> sample_weights([0, 0, 0, 1]).round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
    """
    check_number(power, "power", low=0, high=1)
    classes = np.asarray(labels)
    fits = classes.ndim == 1 and len(classes)
    require(fits, "labels", "classes (N,), at least one", classes.shape)
    fits = np.issubdtype(classes.dtype, np.integer) and int(classes.min()) >= 0
    require(fits, "labels", "integers of 0 or more", classes.dtype, error=TypeError)
    warn_if_from_one(classes, "labels")
    counts = np.bincount(classes)
    weights = counts[classes] ** -float(power)
    return np.asarray(weights / weights.sum(), np.float64)


def warn_of_absent_classes(options: TrainerOptions, train: Any, validation: Any) -> None:
    """Warn of classes without an image, where labels are known and are classes."""
    sets = {
        "training": (train, "which the model cannot learn"),
        "validation": (validation, "which its scores leave out"),
    }
    drawn = {name: _as_classes(drawn_labels(data), options) for name, (data, _) in sets.items()}
    for name, labels in drawn.items():
        names = enumerate(options.class_names or ())
        known = labels is not None and len(labels) > 0  # an empty set is refused later
        absent = [one for k, one in names if known and k not in labels]
        if absent:
            split = "Split again with `grouped_split`, or leave the class out."
            hint = from_one(labels) or split
            warn(f"The {name} set has no image of {listed(absent)}, {sets[name][1]}. {hint}")


def loss_weights(options: TrainerOptions, train: Any) -> Tensor | None:
    """Compute the class weights of the loss (K,), or None."""
    given, count = options.class_weights, int(options.num_classes or 0)
    automatic = isinstance(given, str) and given == "auto"
    even = options.sampler is None and draws_evenly(train)
    if given is None or not isinstance(options.loss, str) or (automatic and not even):
        return None
    if not automatic and draws_by_weight(train):
        warn_of_both("a loader that draws by weights")
    if not isinstance(given, str):
        return WeightedAccuracy(count, given).class_weights
    labels = drawn_labels(train)
    if labels is None and automatic:
        what, hint = "a set with `labels` or `targets` (N,) for class_weights='auto'", _WEIGHTS
        warn(expected("train", what, f"{form(train)} without, so classes weigh the same", hint))
        return None
    what, hint = (
        "a dataset with `labels` or `targets` (N,) for balanced class weights",
        _WEIGHTS,
    )
    require(labels is not None, "train", what, form(train), hint)
    return balanced_weights(np.bincount(np.asarray(labels), minlength=count))


def sampling_weights(options: TrainerOptions, train: Any) -> npt.NDArray[np.float64] | None:
    """Compute the probability of each row to be drawn (N,), or None for each one once."""
    if options.sampler is None:
        return None
    labels: Any = _as_classes(labels_of(train), options)
    what = "a dataset with `labels` or `targets` (N,) for a balanced sampler"
    hint = "Give it them, or pass a loader of `make_loader` with `sample_weights`."
    require(labels is not None, "train", what, form(train), hint)
    power = 1.0 if isinstance(options.sampler, str) else float(options.sampler)
    return sample_weights(labels, power=power) if len(labels) else None


def _as_classes(labels: Any, options: TrainerOptions) -> Any:
    """Return labels that are in 0..K-1, or None."""
    count = int(options.num_classes or 0)
    known = labels is None or np.isin(labels, range(count)).all()
    what = f"classes (N,) in 0..{count - 1}"
    require(known, "label", what, known or listed(np.unique(labels)), FROM_ZERO)
    return labels

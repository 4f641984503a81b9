"""How often an image is drawn, by the size of its class."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import check_number, expected

__all__ = ["sample_weights"]


def sample_weights(labels: Any, *, power: float = 1.0) -> npt.NDArray[np.float64]:
    """Compute how likely each image is to be drawn so that small classes come more often.

    An image of a class of n images has the weight n^-power: with 1 all classes come equally often,
    with 0 all images do, and between them lies a compromise that repeats rare images less.

    Args:
        labels: Class of each image (N,), whole numbers, 0 or more.
        power: 0..1.

    Returns:
        Probability of each image (N,), float64, of sum 1.

    Raises:
        TypeError: `power` is no number, or labels are no whole numbers.
        ValueError: `power` is out of range, or there are no labels.

    References:
        Mahajan et al., Exploring the limits of weakly supervised pretraining, 2018,
        https://doi.org/10.1007/978-3-030-01216-8_12, for powers below 1.

    Examples:
        >>> sample_weights([0, 0, 0, 1]).round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
    """
    check_number(power, "power", low=0, high=1)
    classes = np.asarray(labels)
    if classes.ndim != 1 or not len(classes):
        raise ValueError(expected("labels", "classes (N,), at least one", f"{classes.shape}"))
    if not np.issubdtype(classes.dtype, np.integer) or int(classes.min()) < 0:
        raise TypeError(expected("labels", "whole numbers, 0 or more", f"{classes.dtype}"))
    counts = np.bincount(classes)
    weights = counts[classes] ** -float(power)
    return np.asarray(weights / weights.sum(), np.float64)

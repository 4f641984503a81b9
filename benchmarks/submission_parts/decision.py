"""From probabilities to the class that the weighted accuracy wants."""

import numpy as np
import numpy.typing as npt
import torch

from dermolib import weighted_accuracy
from dermolib.labels import DIAGNOSES

__all__ = ["POWERS", "best_power", "crossfitted", "decide", "weighted"]

POWERS = tuple(np.arange(0.0, 1.01, 0.05).round(2).tolist())
"""Powers of the class sizes that are tried."""

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


def decide(probabilities: Floats, counts: Integers, power: float) -> Integers:
    """Choose the class with the highest probability over (its fraction of the training set)^power.

    A network that was trained on images as they come gives most to the mean of the recalls with
    power 1; one whose sampling has evened the classes out already, with less.

    References:
        Menon et al., Long-tail learning via logit adjustment, 2021,
        https://doi.org/10.48550/arXiv.2007.07314.
    """
    fractions = counts / counts.sum()
    return np.asarray((probabilities / fractions**power).argmax(axis=1))


def weighted(preds: Integers, target: Integers) -> float:
    """Compute the weighted accuracy, the mean recall of the classes that have targets."""
    pair = (torch.as_tensor(values, dtype=torch.int64) for values in (preds, target))
    return float(weighted_accuracy(*pair, num_classes=len(DIAGNOSES)))


def best_power(probabilities: Floats, target: Integers, counts: Integers) -> float:
    """Find the power with the highest weighted accuracy; scores are smoothed over neighbors."""
    scores = [weighted(decide(probabilities, counts, power), target) for power in POWERS]
    padded = np.pad(scores, 2, mode="edge")
    smooth = np.convolve(padded, np.ones(5) / 5, mode="valid")
    return float(POWERS[int(smooth.argmax())])


def crossfitted(
    probabilities: Floats, target: Integers, counts: Integers, folds: list[npt.NDArray[np.intp]]
) -> Integers:
    """Decide each fold with the power that is best on the other ones."""
    preds = np.zeros(len(target), np.int64)
    for rows in folds:
        others = np.setdiff1d(np.concatenate(folds), rows)
        power = best_power(probabilities[others], target[others], counts)
        preds[rows] = decide(probabilities[rows], counts, power)
    return preds

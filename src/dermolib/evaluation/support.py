"""What a score rests on: its images and groups, and why there is none."""

import numpy as np
import numpy.typing as npt

from dermolib._validation import Indices
from dermolib.evaluation.predictions import Predictions

__all__ = ["FEW_GROUPS", "Support"]

FEW_GROUPS = 10
"""Groups below which an interval promises more than it can keep."""

_PROPER = ("log_loss", "brier", "ece")
_CURVES = ("roc_auc", "average_precision", "pauc")


class Support:
    """Images and groups of each class, and of each predicted class.

    Args:
        predictions: Checked predictions.
        predicted: Predicted classes (N,), -1 for none.
    """

    def __init__(self, predictions: Predictions, predicted: Indices) -> None:
        """Count images and groups."""
        self._predictions = predictions
        places = range(len(predictions.codes))
        target = predictions.target
        self.counts: Indices = np.array([np.count_nonzero(target == k) for k in places])
        self._said = [np.count_nonzero(predicted == k) for k in places]
        self._groups = {
            "of": [self._count_groups(target == k) for k in places],
            "rest": [self._count_groups(target != k) for k in places],
            "ppv": [self._count_groups(predicted == k) for k in places],
            "npv": [self._count_groups(predicted != k) for k in places],
        }
        self._all = self._count_groups(target >= 0)

    def _count_groups(self, rows: npt.NDArray[np.bool_]) -> int:
        """Count the groups of some images."""
        return int(np.count_nonzero(np.bincount(self._predictions.groups[rows])))

    def images(self, place: int) -> int:
        """Count the images of a class, or all of them for -1."""
        return len(self._predictions) if place < 0 else int(self.counts[place])

    def groups(self, place: int) -> int:
        """Count the groups that have images of a class, or all of them for -1."""
        return self._all if place < 0 else self._groups["of"][place]

    def fewest(self, name: str, place: int) -> int:
        """Count the groups behind a score, where it has several parts those of the smallest.

        These are the groups of the class for sensitivity, of the others for specificity, those
        predicted as the class, or not, for PPV and NPV, and the fewer of the class and the others
        for all other scores of a class. Scores that average over classes have their smallest.
        """
        if place < 0:
            kept = np.flatnonzero(self.counts).tolist()
            part = "sensitivity" if name == "balanced_accuracy" else name.removeprefix("macro_")
            averages = part != name and len(kept)
            return min(self.fewest(part, one) for one in kept) if averages else self._all
        if name in ("ppv", "npv"):
            return self._groups[name][place]
        of, rest = self._groups["of"][place], self._groups["rest"][place]
        return {"sensitivity": of, "specificity": rest}.get(name, min(of, rest))

    def certainty(self, name: str, place: int) -> int:
        """Count the groups of a proportion that is as certain as a score; 0 for no proportion.

        Where all is right, an average over classes is as certain as so many groups in one:
        the number of classes times the harmonic mean of their groups.
        """
        if name in _PROPER:
            return 0
        kept = np.flatnonzero(self.counts).tolist()
        part = "sensitivity" if name == "balanced_accuracy" else name.removeprefix("macro_")
        if place >= 0 or part == name or not kept:
            return self.fewest(name, place)
        by_class = np.array([self.fewest(part, one) for one in kept], np.float64)
        return int(len(kept) ** 2 / (1 / np.maximum(by_class, 1)).sum())

    def reason(self, name: str, place: int) -> str:
        """Say why a score of all images is undefined; empty if it is not."""
        read = name.removeprefix("macro_")
        ranks = read in _CURVES or "_at_" in read
        if not len(self._predictions):
            return "no image"
        if self._predictions.classes_only and (ranks or name in _PROPER):
            return "needs probabilities, not classes"
        if name in _PROPER:
            return "" if self._predictions.sum_to_one else "needs probabilities that sum to 1"
        if place < 0:
            return "one class alone" if ranks and np.count_nonzero(self.counts) < 2 else ""
        return self._class_reason(name, place)

    def _class_reason(self, name: str, place: int) -> str:
        """Say why a score of one class is undefined; empty if it is not."""
        code, total = self._predictions.codes[place], len(self._predictions)
        if name == "ppv":
            return "" if self._said[place] else f"class {code} is never predicted"
        if name == "npv":
            return "" if self._said[place] < total else f"class {code} is always predicted"
        if name != "specificity" and not self.counts[place]:
            return f"no image of class {code}"
        alone = self.counts[place] == total and name not in ("sensitivity", "f1")
        return "one class alone" if alone else ""

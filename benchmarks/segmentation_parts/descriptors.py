"""What the ABCD descriptors are worth alone: a classifier under a split by lesion."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermolib.evaluation import bootstrap_interval
from dermolib.features import ABCD_FEATURES

__all__ = ["descriptor_rows"]

_FOLDS = 5


def descriptor_rows(
    tables: dict[str, pd.DataFrame],
    labels: npt.NDArray[np.int64],
    lesions: npt.NDArray[np.object_],
) -> Iterator[list[str]]:
    """Classify by the descriptors of each table, and by those of single letters of the first.

    Args:
        tables: Name of the masks to the table of descriptors (N, ...), rows in the same order.
        labels: Class of each row (N,).
        lesions: Lesion of each row (N,).

    Yields:
        Masks, descriptors, classifier, and balanced accuracy with its interval over lesions.
    """
    logistic = make_pipeline(
        SimpleImputer(),
        StandardScaler(),
        LogisticRegression(class_weight="balanced", max_iter=5000),
    )
    boosting = HistGradientBoostingClassifier(
        class_weight="balanced", max_iter=150, learning_rate=0.05, random_state=0
    )
    every = list(ABCD_FEATURES)
    runs = [(masks, "all", every, "logistic", logistic) for masks in tables]
    runs += [(masks, "all", every, "boosting", boosting) for masks in tables]
    first = next(iter(tables))
    for letter, names in _letters().items():
        runs.append((first, letter, names, "logistic", logistic))
    for masks, what, names, kind, model in runs:
        features = tables[masks][names].to_numpy()
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
        found = cross_val_predict(model, features, labels, groups=lesions, cv=folds)
        yield [masks, f"{what} ({len(names)})", kind, _interval(found, labels, lesions)]


def _letters() -> dict[str, list[str]]:
    starts = {"A": ("asymmetry",), "B": ("border",), "C": ("color",), "D": ("diameter", "area")}
    return {
        letter: [name for name in ABCD_FEATURES if name.startswith(start)]
        for letter, start in starts.items()
    }


def _interval(
    found: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], lesions: npt.NDArray[np.object_]
) -> str:
    def balanced(rows: npt.NDArray[np.intp]) -> float:
        right, truth = found[rows] == labels[rows], labels[rows]
        return float(np.mean([right[truth == number].mean() for number in np.unique(truth)]))

    accuracy = bootstrap_interval(balanced, lesions)
    return f"{accuracy.score:.3f} ({accuracy.low:.3f}..{accuracy.high:.3f})"

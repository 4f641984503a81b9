"""Predictions of several models, put in the order of the same images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dermolib.evaluation.predictions import Predictions, as_array, in_one_order, read_predictions

__all__ = ["read_models"]


def read_models(
    models: Mapping[str, Any], target: Any, groups: Any, label_space: Any, values: str
) -> dict[str, Predictions]:
    """Check the predictions of several models of the same images.

    Data frames and columns whose index holds ids are put in the order of the first of them.

    Args:
        models: Predictions by the name of the model.
        target: See `read_predictions`, as all others.
        groups: Groups.
        label_space: Classes.
        values: What the predictions are.

    Returns:
        Predictions of each model, of the same images, groups and classes.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Ids differ, or as for `read_predictions`.
    """
    others = [("target", target), ("groups", groups)]
    *given, target, groups = in_one_order([*models.items(), *others])
    label_space = _classes(given, target, label_space)
    return {
        name: read_predictions(one, target, groups, label_space, values=values, name=name)
        for name, one in zip(models, given, strict=True)
    }


def _classes(given: list[Any], target: Any, label_space: Any) -> Any:
    """Find the classes of all models: those given, named by columns, or as many as there are."""
    if label_space is not None or getattr(target, "label_space", None) is not None:
        return label_space
    for one in given:
        if isinstance(one, pd.DataFrame) and one.shape[1] > 1:
            return [*map(str, one.columns)]
    arrays = [as_array(one, "probabilities") for one in given]
    widths = [one.shape[1] for one in arrays if one.ndim == 2 and one.shape[1] > 1]
    classes = [one for one in (*arrays, as_array(target, "target")) if one.ndim == 1 and one.size]
    highest = [int(one.max()) for one in classes if one.dtype.kind in "iu"]
    count = max(widths, default=0) or max([1, *highest]) + 1
    return [*map(str, range(count))]

"""Predictions of several models, put in the order of the same images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dermolib._validation import expected
from dermolib.evaluation.forms import differences
from dermolib.evaluation.predictions import Predictions, as_array, read_predictions

__all__ = ["read_models"]


def read_models(
    models: Mapping[str, Any], target: Any, groups: Any, label_space: Any, values: str
) -> dict[str, Predictions]:
    """Check the predictions of several models of the same images.

    Data frames and columns whose index holds ids, unique and other than 0..N-1, are put in the
    order of the first of them.

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
    *given, target, groups = _align({**models, "target": target, "groups": groups})
    label_space = _classes(given, target, label_space)
    return {
        name: read_predictions(one, target, groups, label_space, values=values, name=name)
        for name, one in zip(models, given, strict=True)
    }


def _align(given: dict[str, Any]) -> list[Any]:
    """Put what has ids in the order of the first that has."""
    with_ids = [name for name, one in given.items() if _has_ids(one)]
    if not with_ids:
        return [*given.values()]
    first = with_ids[0]
    ids = given[first].index
    for name in with_ids[1:]:
        got = differences(map(str, ids), map(str, given[name].index))
        if got or len(ids) != len(given[name]):
            what = f"of the same images as `{first}`, by the ids in their index"
            raise ValueError(expected(name, what, got or "ids of other types"))
        given[name] = given[name].loc[ids]
    return [*given.values()]


def _has_ids(given: Any) -> bool:
    """Tell whether the index of a data frame or column holds ids."""
    if not isinstance(given, (pd.DataFrame, pd.Series)) or not given.index.is_unique:
        return False
    return not given.index.equals(pd.RangeIndex(len(given)))


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

"""Images that something was fitted on are not judged by it: their ids are kept and refused."""

from typing import Any

import numpy as np

from dermolib._validation import listed, require
from dermolib.datasets.columns import clean_name

__all__ = ["ids_of", "refuse_fitted"]


def ids_of(ids: Any, target: Any, count: int) -> frozenset[str]:
    """Collect the ids of images; none where there are none.

    Args:
        ids: Ids (N,), or None for those of the data set.
        target: Data set that may have ids, or something else.
        count: Number of images N.

    Raises:
        ValueError: There are not as many ids as images.

    Examples:
        >>> sorted(ids_of(["ISIC_2", "ISIC_1", ""], None, 3))
        ['ISIC_1', 'ISIC_2']
    """
    found = getattr(target, "ids", None) if ids is None else ids
    if found is None:
        return frozenset()
    shape = np.shape(found)
    require(shape == (count,), "ids", f"an id for each image ({count:,},)", f"shape {shape}")
    return frozenset(map(clean_name, np.asarray(found, object).tolist())) - {""}


def refuse_fitted(fitted: frozenset[str], ids: frozenset[str], what: str) -> None:
    """Refuse images that something was fitted on.

    Args:
        fitted: Ids of the images that it was fitted on.
        ids: Ids of the images to be judged.
        what: What was fitted, such as "the sets".

    Raises:
        ValueError: An image is among both.

    Examples:
        >>> refuse_fitted(frozenset({"a", "b"}), frozenset({"c"}), "the sets")
        >>> refuse_fitted(frozenset({"a", "b"}), frozenset({"b", "c"}), "the sets")
        Traceback (most recent call last):
            ...
        ValueError: Expected `ids` to be images that took no part in fitting the sets, but got ...
    """
    both = sorted(fitted & ids)
    got = f"{len(both):,} of {len(ids):,} that did ({listed(both, most=3)})"
    hint = "Fit on a validation split and judge on another one, with no lesion in both."
    require(not both, "ids", f"images that took no part in fitting {what}", got, hint)

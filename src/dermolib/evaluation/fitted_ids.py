"""Images that something was fitted on are not judged by it: their ids are kept and refused."""

from typing import Any

import numpy as np

from dermolib._validation import listed, require
from dermolib.datasets.columns import clean_name

__all__ = ["ids_of", "refuse_fitted"]


def ids_of(ids: Any, target: Any, count: int, *, name: str = "ids") -> frozenset[str]:
    """Collect the ids of images, or the names of their groups; none where there are none.

    Args:
        ids: Ids (N,), or None for those of the data set.
        target: Data set that may have ids, or something else.
        count: Number of images N.
        name: Name of the argument in errors.

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
    one = "an id" if name == "ids" else "a group"
    require(shape == (count,), name, f"{one} for each image ({count:,},)", f"shape {shape}")
    missing = {""} if name == "ids" else {"", "-1"}
    names = (clean_name(one) for one in np.asarray(found, object).tolist())
    return frozenset(one[:-4] if one.lower().endswith(".jpg") else one for one in names) - missing


def refuse_fitted(
    fitted: frozenset[str], ids: frozenset[str], what: str, *, name: str = "ids"
) -> None:
    """Refuse images that something was fitted on.

    Args:
        fitted: Ids of the images that it was fitted on.
        ids: Ids of the images to be judged.
        what: What was fitted, such as "the sets".
        name: ``"ids"``, or ``"groups"`` where these are names of groups.

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
    images = "images" if name == "ids" else f"{name} of images"
    require(not both, name, f"{images} that took no part in fitting {what}", got, hint)

"""Images as a user may hand them over: a dataset, a table, paths, or arrays."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dermolib._validation import check_image, listed, require
from dermolib.datasets.columns import clean_name

__all__ = ["GivenImages", "read_given"]


class GivenImages(NamedTuple):
    """Ids of N images, their paths (empty where there is none) or arrays, and their table if any.

    Ids of paths are the file names without endings, or the paths where these repeat; those of
    arrays are their numbers.
    """

    ids: Sequence[str]
    items: Sequence[Any]
    table: pd.DataFrame | None


def read_given(images: Any, *, hint: str = "") -> GivenImages:
    """Read what was given as images; `hint` says what to do with a single path."""
    table = getattr(images, "table", images)
    if not isinstance(table, pd.DataFrame):
        items = _as_items(images, hint)
        return GivenImages(_ids_of(items), items, None)
    for name in ("id", "image_path"):
        got = f"the columns {listed(table)}"
        what = f"a table with the column `{name}`"
        advice = "Open it with `dermolib.ISICDataset`."
        require(name in table, "images", what, got, advice, error=TypeError)
    paths = table["image_path"].map(_as_path).tolist()
    return GivenImages(table["id"].map(str).tolist(), paths, table)


def _as_path(value: Any) -> Any:
    """Give the path of a row of a table, empty where it has none."""
    return value if isinstance(value, str | Path) else clean_name(value)


def _as_items(images: Any, hint: str) -> list[Any]:
    """Make a list of paths or of arrays, and refuse what is neither."""
    single = isinstance(images, str | bytes | Path) or getattr(images, "ndim", 4) != 4
    what = "a dataset, a table, paths or images"
    hint = hint if isinstance(images, str | Path) else "Put a single one into a list."
    got = f"an object of type {type(images).__name__}"
    fits = isinstance(images, Iterable) and not single
    fits |= isinstance(images, pd.Series)
    require(fits, "images", what, got, hint, error=TypeError)
    items = list(images)
    for number, one in enumerate(items):
        if not isinstance(one, str | Path):
            check_image(one, f"images[{number}]")
    return items


def _ids_of(items: Sequence[Any]) -> list[str]:
    """Name images: paths by their stems where these differ, arrays by their numbers."""
    if not all(isinstance(one, str | Path) for one in items):
        return [*map(str, range(len(items)))]
    stems = [Path(one).stem for one in items]
    return stems if len({*stems}) == len(stems) else [*map(str, items)]

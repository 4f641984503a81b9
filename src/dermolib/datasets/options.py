"""What the ways to open a dataset take."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import pandas as pd

from dermolib._validation import PathLike
from dermolib.datasets.store import PreparedStore

__all__ = ["Options", "Read", "Transform"]

Transform = Callable[..., dict[str, Any]]
"""Called with the keywords ``image`` and, where the dataset has masks, ``mask``; returns both."""


class Read(NamedTuple):
    """Rows of a reader of this package."""

    rows: pd.DataFrame


class Options(TypedDict, total=False):
    """What every way to open a dataset takes, see `ISICDataset`.

    With `image_dir`, images come from there: a folder of cleaned ones, in which case the masks stay
    where they were, or a store.
    """

    transform: Transform | None
    missing: str
    masks: bool
    metadata: bool
    image_dir: PathLike | PreparedStore | None

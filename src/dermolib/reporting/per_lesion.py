"""How many images show one and the same lesion: what a random split would tear apart."""

from collections import Counter
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from dermolib._validation import expected
from dermolib.reporting._bars import Bars, draw_bars
from dermolib.reporting._sets import OneSet, Part, Sets, columns_of, is_known, parts_of
from dermolib.reporting._style import plural

__all__ = ["plot_images_per_lesion"]

_SINGLE = 9  # numbers of images with a bar of their own
_LESIONS = 'names or numbers of lesions (N,), "" where unknown'


def plot_images_per_lesion(
    data: Sets, other: OneSet | None = None, *, axes: Axes | None = None
) -> Axes:
    r"""Draw how many lesions have one image, how many two, and so on.

    From ten images on, all lesions share one bar, whose name ends with the highest number. An image
    of unknown lesion counts for none; how many these are stands below. Every row of a table counts,
    augmented ones too.

    Args:
        data: A data set, a table with the column ``lesion`` (``""`` where unknown), or names or
            numbers of lesions (N,); or a mapping, see `plot_ages`.
        other: A second one to compare with, see `plot_ages`.
        axes: Where to draw; a new figure where None.

    Returns:
        The axes drawn on. They say "no data" where no lesion is known.

    Raises:
        TypeError: A value is neither text, nor a number, nor missing, or `axes` is no axes.
        ValueError: Values are not one-dimensional, or no table has the column.

    Examples:
        >>> axes = plot_images_per_lesion(["L1", "L2", "L2", "L3", ""])
        >>> [text.get_text() for text in axes.texts]
        ['2 (66.7 %)', '1 (33.3 %)']
        >>> axes.get_xlabel()
        'share of 3 lesions (%)\n1 image of unknown lesion'
    """
    return draw_bars(count_lesions(parts_of(data, other)), axes)


def count_lesions(parts: Sequence[Part]) -> Bars:
    """Count the lesions of sets by their images."""
    columns = columns_of(parts, "lesion", _LESIONS)
    sizes = [_sizes(column, part) for column, part in zip(columns, parts, strict=True)]
    most = max((int(size.max()) for size in sizes if size.size), default=0)
    words = [str(number) for number in range(1, min(most, _SINGLE) + 1)]
    if most > _SINGLE:
        first = _SINGLE + 1
        words.append(f"{first} to {most}" if most > first else str(first))
    counts, notes = [], []
    for column, size in zip(columns, sizes, strict=True):
        binned = np.bincount(np.minimum(size, _SINGLE + 1), minlength=len(words) + 1)[1:]
        counts.append(Counter(dict(zip(words, binned.tolist(), strict=True))))
        unknown = len(column) - int(size.sum())
        notes.append(f"{plural(unknown, 'image')} of unknown lesion" if unknown else "")
    names = [part.name for part in parts]
    return Bars("Images of a lesion", "lesion", words, names, counts, notes, y="images of a lesion")


def _sizes(values: "pd.Series[Any]", part: Part) -> npt.NDArray[np.int64]:
    """Count the images of each lesion."""
    counts = values.value_counts(sort=False)
    odd = [
        name for name in counts.index if not isinstance(name, str | Real) or isinstance(name, bool)
    ]
    if odd:
        raise TypeError(expected(part.argument, _LESIONS, f"{odd[0]!r}"))
    known = [is_known(name) for name in counts.index]
    sizes = np.asarray(counts, np.int64)
    # a category may have no image
    return sizes[np.array(known, np.bool_) & (sizes > 0)]

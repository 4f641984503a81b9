"""The ABCD descriptors of many lesions as a table for scikit-learn."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import pandas as pd
from tqdm import tqdm

from dermolib._jobs import is_silent, one_thread, run_tasks
from dermolib._validation import Image, Mask, check_number, listed, printable, require, warn
from dermolib.features.abcd import ABCD_FEATURES, abcd_features, check_pixel_size

__all__ = ["Samples", "abcd_table"]

_Segment: TypeAlias = Callable[[Image], Mask]

_SAMPLES = "samples: dictionaries with `image`, `id` and, where there is one, `mask`"


class Samples(Protocol):
    """Samples by number with a length: a dataset of torch, or a list."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """Return the sample of a row."""
        ...


def abcd_table(
    samples: Samples | Iterable[dict[str, Any]],
    *,
    segment: _Segment | None = None,
    pixel_size: float | None = None,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute the descriptors of many lesions, one row for each sample, in their order.

    The values do not depend on the number of workers, and images are in memory only while they are
    processed. A sample with an empty mask, its own or the one found, gets a row of nan; a warning
    reports how many.

    Args:
        samples: Dataset, list, series, or any other iterable, of dictionaries with ``image``
            (H, W, 3), uint8 RGB, ``id``, and where there is one ``mask`` (H, W), bool: an
            `ISICDataset` without a transform, for example, opened with ``masks=True``.
        segment: Finds the mask of a sample that has none, such as
            `dermolib.preprocessing.segment_lesion`; importable, where there are several workers.
        pixel_size: Side of a pixel in mm, finite and above 0, see `abcd_features`.
        workers: Number of worker processes, 1 or more.
        progress: Whether a bar is shown on the standard error.

    Returns:
        Table with the columns `ABCD_FEATURES`, float64, whose index is named ``id``.

    Raises:
        TypeError: A sample is not a dictionary with image and id, `samples` is a dictionary itself
            or a table, `segment` is not callable, or `workers` is not an integer.
        ValueError: A sample has no mask and `segment` is not given, its image or mask is invalid,
            or an option is out of range; a message about a sample names it.
        Exception: Whatever `segment` raises; the message, or a note to it, names the sample.

    Examples:
        >>> mask = np.zeros((60, 80), np.bool_)
        >>> mask[20:40, 30:60] = True
        >>> image = np.where(mask[..., None], 90, 200).astype(np.uint8).repeat(3, axis=2)
        >>> table = abcd_table([{"id": "IMG_0", "image": image, "mask": mask}], progress=False)
        >>> table.loc["IMG_0", ["diameter_feret", "area_fraction"]].round(3).tolist()
        [36.056, 0.125]
    """
    check_number(workers, "workers", low=1, integer=True)
    check_pixel_size(pixel_size)
    usable = hasattr(samples, "__getitem__") or isinstance(samples, Iterable)
    usable &= not isinstance(samples, Mapping | pd.DataFrame)
    got, hint = f"an object of type {type(samples).__name__}", "Put a single sample into a list."
    require(usable, "samples", _SAMPLES, got, hint, error=TypeError)
    what, hint = "a function from an image to its mask", "Pass the function itself."
    callable_or_none = segment is None or callable(segment)
    require(callable_or_none, "segment", what, repr(segment), hint, error=TypeError)
    tasks = ((single, segment, pixel_size) for single in _one_by_one(samples))
    total = len(samples) if isinstance(samples, Sized) else None
    ids, rows = [], []
    with one_thread(), tqdm(total=total, unit="image", disable=is_silent(progress)) as bar:
        for name, row in run_tasks(_describe, tasks, workers=workers):
            ids.append(name)
            rows.append(row)
            bar.update()
    values = np.array(rows, np.float64).reshape(-1, len(ABCD_FEATURES))
    index = pd.Index(ids, name="id", dtype=object)
    table = pd.DataFrame(values, index=index, columns=list(ABCD_FEATURES))
    empty = table.index[table.isna().all(axis=1)]
    if len(empty):
        what = f"{len(empty)} of {len(table)} masks are empty ({listed(empty)})"
        warn(f"{what}; their rows are nan.")
    return table


def _one_by_one(samples: Any) -> Iterator[Any]:
    """Yield sequences of one sample each: of a dataset one row, which its worker reads."""
    if isinstance(samples, pd.Series):
        samples = samples.tolist()  # its square brackets look up labels of its index
    if not (hasattr(samples, "__getitem__") and hasattr(samples, "__len__")):
        yield from ([sample] for sample in samples)
        return
    subset = getattr(samples, "subset", lambda rows: [samples[rows[0]]])
    # Datasets of torch end where their length says so, but may be iterated for ever
    yield from (subset([row]) for row in range(len(samples)))


def _describe(
    single: Any, segment: _Segment | None, pixel_size: float | None
) -> tuple[str, list[float]]:
    sample = single[0]
    is_dict = isinstance(sample, dict)
    got = f"the keys {listed(sample)}" if is_dict else type(sample).__name__
    require(is_dict and {"image", "id"} <= sample.keys(), "samples", _SAMPLES, got, error=TypeError)
    name, mask = str(sample["id"]), sample.get("mask")
    hint = "Open the dataset with `masks=True`, or pass `segment=segment_lesion`."
    known = mask is not None or segment is not None
    require(known, "samples", "samples with a mask", f"{name} without one", hint)
    try:
        if mask is None and segment is not None:
            mask = segment(sample["image"])
        if isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and not mask.any():
            return name, [np.nan] * len(ABCD_FEATURES)
        numbers = abcd_features(sample["image"], cast(Mask, mask), pixel_size=pixel_size)
    except Exception as error:
        try:
            named = type(error)(printable(f"{name}: {error}"))
        except Exception:  # the type may take other arguments than a message
            error.add_note(printable(f"The sample is {name}."))
            raise error from None
        raise named from error
    return name, [numbers[feature] for feature in ABCD_FEATURES]

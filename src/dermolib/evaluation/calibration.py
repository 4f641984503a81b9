"""Whether probabilities are what they say: calibration error and reliability by bins."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from dermolib._validation import Indices, check_choice, check_number, require
from dermolib.evaluation.predictions import Predictions, read_predictions
from dermolib.evaluation.statistics import confidence_bins
from dermolib.evaluation.support import FEW_GROUPS

__all__ = ["calibration_error", "reliability_table"]

_KINDS = ("confidence", "classwise", "adaptive")
_Floats = npt.NDArray[np.float64]


class _Pair(NamedTuple):
    """What was predicted of each image, 0..1, and whether it came true."""

    predicted: _Floats
    observed: _Floats


def calibration_error(
    probabilities: Any,
    target: Any,
    *,
    bins: int = 15,
    kind: str = "confidence",
    label_space: Any = None,
    values: str = "probabilities",
) -> float:
    """Compute the expected calibration error (ECE): the mean gap between predicted and observed.

    Images are put in bins by what was predicted of them; the gap of a bin is that between the mean
    prediction and the fraction that came true. Bins count by their images. An error near 0 needs
    many images: with few, there are gaps by chance alone, and more so with more bins.

    Args:
        probabilities: Probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        bins: Number of bins, 1 or more.
        kind: ``"confidence"``: the highest probability of an image, and whether its class is right,
            in bins of equal width, each with its upper edge; ``"adaptive"``: the same in bins
            of equal numbers of images, where equal values stay in one bin; ``"classwise"``: the
            mean over classes of the error of each against the rest, in bins of equal width.
        label_space: Classes, see `score`.
        values: What the values are, see `score`.

    Returns:
        The error, 0..1.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or classes were given in place of probabilities.

    References:
        Naeini et al., AAAI 2015, https://doi.org/10.1609/aaai.v29i1.9602, and Guo et al., ICML
        2017, https://doi.org/10.48550/arXiv.1706.04599 (confidence); Kull et al., NeurIPS 2019,
        https://doi.org/10.48550/arXiv.1910.12656 (classwise); Nguyen and O'Connor, EMNLP 2015,
        https://doi.org/10.18653/v1/D15-1182, and Nixon et al., 2019,
        https://doi.org/10.48550/arXiv.1904.01685 (adaptive).

    Examples:
        Four images at 0.9, of which two are right:

        >>> probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
        >>> round(calibration_error(probabilities, [0, 1, 1, 0]), 6)
        0.4
    """
    check_number(bins, "bins", low=1, integer=True)
    check_choice(kind, "kind", _KINDS)
    given = _read(probabilities, target, None, label_space, values)
    classes: list[int | None] = [*range(len(given.codes))] if kind == "classwise" else [None]
    return float(np.mean([_error(_pair(given, place), bins, kind) for place in classes]))


def reliability_table(
    probabilities: Any,
    target: Any,
    *,
    groups: Any = None,
    label: str | int | None = None,
    bins: int = 15,
    kind: str = "confidence",
    level: float = 0.95,
    label_space: Any = None,
    values: str = "probabilities",
) -> pd.DataFrame:
    """Compare what was predicted with what was observed, bin by bin.

    Args:
        probabilities: Probabilities (N, K), see `score`.
        target: True classes (N,), or a data set.
        groups: Group of each image (N,), such as its lesion.
        label: Class, by its code or place, that is judged against the rest; None judges the
            highest probability of each image.
        bins: Number of bins, 1 or more.
        kind: ``"confidence"`` for bins of equal width, ``"adaptive"`` for bins of equal numbers of
            images, see `calibration_error`.
        level: Level of the intervals, above 0 and below 1.
        label_space: Classes, see `score`.
        values: What the values are, see `score`.

    Returns:
        A row for each bin, with its edges ``bin_low`` and ``bin_high``, the numbers ``n`` of
        images and ``groups``, the mean ``predicted`` probability and the ``observed`` fraction with
        its interval ``low`` to ``high``, and whether it has ``few`` groups, fewer than 10. An empty
        bin has NaN. Intervals are Wilson's, of as many independent images as would vary as much as
        the groups do; where all images of a bin came true, or none, those of a group count as one.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A value or shape is refused, or classes were given in place of probabilities.

    References:
        Wilson, Journal of the American Statistical Association 22, 1927,
        https://doi.org/10.1080/01621459.1927.10502953; Dean and Pagano, Journal of Survey
        Statistics and Methodology 3, 2015, https://doi.org/10.1093/jssam/smv024.

    Examples:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
        >>> table = reliability_table(probabilities, [0, 0, 1, 0], bins=2)
        >>> table.round(3)[["n", "predicted", "observed", "few"]].to_dict("records")[1]
        {'n': 4, 'predicted': 0.725, 'observed': 0.75, 'few': True}
    """
    check_number(bins, "bins", low=1, integer=True)
    check_choice(kind, "kind", ("confidence", "adaptive"))
    check_number(level, "level", above=0, below=1)
    given = _read(probabilities, target, groups, label_space, values)
    pair = _pair(given, _place(label, given.codes))
    edges, places = _bins(pair.predicted, bins, kind)
    count = np.bincount(places, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):  # an empty bin is 0 / 0
        predicted = _sums(places, pair.predicted, len(count)) / count
        observed = _sums(places, pair.observed, len(count)) / count
    sizes, num_groups = _effective_sizes(places, pair.observed, given.groups, len(count))
    low, high = _wilson(observed, sizes, level)
    columns = {
        "bin_low": edges[:-1],
        "bin_high": edges[1:],
        "n": count,
        "groups": num_groups,
        "predicted": predicted,
        "observed": observed,
        "low": low,
        "high": high,
        "few": num_groups < FEW_GROUPS,
    }
    return pd.DataFrame(columns)


def _read(
    probabilities: Any, target: Any, groups: Any, label_space: Any, values: str
) -> Predictions:
    """Check predictions, and that they are probabilities."""
    given = read_predictions(probabilities, target, groups, label_space, values=values)
    hint = "A class says nothing of how likely it is."
    require(not given.classes_only, "probabilities", "probabilities (N, K)", "classes (N,)", hint)
    return given


def _place(label: str | int | None, codes: tuple[str, ...]) -> int | None:
    """Find the place of a class."""
    if label is None:
        return None
    if isinstance(label, str):
        check_choice(label, "label", codes)
        return codes.index(label)
    check_number(label, "label", low=0, high=len(codes) - 1, integer=True)
    return int(label)


def _pair(given: Predictions, place: int | None) -> _Pair:
    """Take the probability of one class, or the highest, and what came true."""
    if place is not None:
        return _Pair(given.probabilities[:, place], (given.target == place).astype(np.float64))
    chosen = given.probabilities.argmax(axis=1)
    right = (chosen == given.target).astype(np.float64)
    return _Pair(given.probabilities.max(axis=1), right)


def _bins(values: _Floats, bins: int, kind: str) -> tuple[_Floats, Indices]:
    """Choose edges (B + 1,) and the bin of each value; a value on an edge is in the lower bin."""
    if kind != "adaptive":
        return np.linspace(0, 1, bins + 1), confidence_bins(values, bins)
    ordered = np.sort(values)
    lasts = [part[-1] for part in np.array_split(ordered, min(bins, len(ordered)))]
    edges = np.append(ordered[0], np.unique(lasts))
    return edges, np.searchsorted(edges[1:-1], values).astype(np.intp)


def _sums(places: Indices, values: _Floats, count: int) -> _Floats:
    """Sum values by place."""
    return np.bincount(places, values, minlength=count).astype(np.float64)


def _error(pair: _Pair, bins: int, kind: str) -> float:
    """Compute the mean gap of one reliability diagram."""
    edges, places = _bins(pair.predicted, bins, kind)
    gaps = _sums(places, pair.predicted - pair.observed, len(edges) - 1)
    return float(np.abs(gaps).sum() / len(places))


def _effective_sizes(
    places: Indices, observed: _Floats, groups: Indices, count: int
) -> tuple[_Floats, Indices]:
    """Count the independent images that vary as much as the groups of each bin, and the groups."""
    keys, rows = np.unique(groups * count + places, return_inverse=True)
    of_bin = keys % count
    sizes = np.bincount(rows).astype(np.float64)
    total = _sums(of_bin, sizes, count)
    with np.errstate(invalid="ignore", divide="ignore"):  # empty bins, and those of one outcome
        fraction = _sums(places, observed, count) / total
        rest = np.bincount(rows, observed) - fraction[of_bin] * sizes
        independent = fraction * (1 - fraction) * total**2 / _sums(of_bin, rest**2, count)
        fewest = total**2 / _sums(of_bin, sizes**2, count)  # as if the images of a group were one
    num_groups = np.bincount(of_bin, minlength=count)
    extreme = (fraction == 0) | (fraction == 1) | (num_groups < 2)
    return np.where(extreme, fewest, np.clip(independent, fewest, total)), num_groups


def _wilson(fraction: _Floats, n: _Floats, level: float) -> tuple[_Floats, _Floats]:
    """Compute Wilson's interval of fractions of n independent images."""
    z = ndtri((1 + level) / 2)
    middle = (fraction + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(fraction * (1 - fraction) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)

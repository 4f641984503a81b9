"""Predictions with their targets and groups, checked once for everything that judges them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from dermolib._validation import Indices, check_choice, listed, require
from dermolib.datasets.columns import clean_name, map_unique
from dermolib.evaluation.forms import differences
from dermolib.labels import LabelSpace, as_label_space, from_one, known_label_space

__all__ = [
    "TOLERANCE",
    "Predictions",
    "align_probabilities",
    "as_array",
    "as_probabilities",
    "as_target",
    "in_one_order",
    "number_groups",
    "order_columns",
    "read_numbers",
    "read_predictions",
]

_VALUES = ("probabilities", "logits", "independent")

TOLERANCE = (
    1e-3  # how far the sum of a row may be from 1: float16 is, as are files of four decimals
)

_MOST_CLASSES = 10_000  # a number above is no class, but an id

_Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Checked predictions of N images and K classes.

    Attributes:
        probabilities: Probabilities (N, K), float64, as given: ties stay ties.
        target: True classes (N,), 0..K-1.
        groups: Number of the group of each image (N,), 0..G-1.
        num_groups: Number of groups G.
        codes: Codes of the classes (K,).
        classes_only: Whether classes were given in place of probabilities.
        borrowed: How often each of the last groups counts on average (P,), where these are
            borrowed, see `dermolib.evaluation.smoothing.borrow_groups`; empty where none are.
        factors: What each group then counts by (G,), which keeps the weight of each class.
    """

    probabilities: _Floats
    target: Indices
    groups: Indices
    num_groups: int
    codes: tuple[str, ...]
    classes_only: bool = False
    borrowed: _Floats = field(default_factory=lambda: np.empty(0))
    factors: _Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.target)

    @property
    def sum_to_one(self) -> bool:
        """Whether each row sums to 1, as far as files and half precision can."""
        return bool((np.abs(self.probabilities.sum(axis=1) - 1) <= TOLERANCE).all())

    def take(self, rows: Any) -> Self:
        """Keep some images; groups keep their numbers, so that resamples stay paired."""
        kept = {name: getattr(self, name)[rows] for name in ("probabilities", "target", "groups")}
        return replace(self, **kept)


def read_predictions(
    probabilities: Any,
    target: Any,
    groups: Any = None,
    label_space: Any = None,
    *,
    values: str = "probabilities",
    name: str = "probabilities",
) -> Predictions:
    """Check predictions, targets and groups.

    Data frames and columns whose index holds ids are put in the same order, see `in_one_order`.

    Args:
        probabilities: Probabilities (N, K): an array, a tensor, or a data frame whose columns are
            codes; or of the second of two classes (N,) or (N, 1), floats; or predicted classes
            (N,), integers.
        target: True classes (N,), integers in 0..K-1 or codes of the label space; or a data set,
            which has groups and a label space, too.
        groups: Group of each image (N,), such as its lesion; an image whose group is missing is a
            group of its own. None makes each image a group.
        label_space: Classes, as for `dermolib.datasets.ISICDataset`; None takes those of the data
            set or the data frame, or else numbers.
        values: What the values are: ``"probabilities"``, whose rows sum to 1; ``"logits"``; or
            ``"independent"``, a probability of each class by itself.
        name: Name of the probabilities in errors.

    Returns:
        The checked predictions.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, there is no image, ids differ, or a value is NaN or out of
            range.
    """
    check_choice(values, "values", _VALUES)
    named = in_one_order([(name, probabilities), ("target", target), ("groups", groups)])
    probabilities, target, groups = named
    if hasattr(target, "labels"):
        label_space = known_label_space(target) if label_space is None else label_space
        groups = getattr(target, "groups", None) if groups is None else groups
        target = target.labels
    space = None if label_space is None else as_label_space(label_space)
    given = probabilities
    if isinstance(given, pd.DataFrame) and given.shape[1] > 1:
        given, space = order_columns(given, space, name)
    found = as_array(given, name)
    classes_only = found.ndim == 1 and found.dtype.kind in "iu"
    if classes_only:
        count = len(space) if space else _count(found, target)
        found = _one_hot(as_target(found, space or count, name), count)
    found = as_probabilities(found, name, values=values)
    if space is not None:
        what, got = f"a column for each class of {space}", f"shape {found.shape}"
        require(found.shape[1] == len(space), name, what, got)
    classes = as_target(target, space or found.shape[1])
    _check_lengths(len(found), len(classes), name, "target")
    numbers = number_groups(groups, len(classes))
    codes = space.codes if space else tuple(map(str, range(found.shape[1])))
    count = int(numbers.max(initial=-1)) + 1
    return Predictions(found, classes, numbers, count, codes, classes_only)


def as_probabilities(
    given: Any, name: str = "probabilities", *, values: str = "probabilities"
) -> _Floats:
    """Check the values of predictions and turn them into probabilities (N, K), float64.

    Probabilities stay as they are: to divide rows by their sums would break ties between images.

    Args:
        given: Values (N, K); or those of the second of two classes, (N,) or (N, 1).
        name: Name of the argument in errors.
        values: See `read_predictions`.

    Raises:
        TypeError: They are not numbers.
        ValueError: The shape is another, there is no image, or a value is NaN or out of range.
    """
    found = as_array(given, name)
    what = "numbers (N, K), or (N,) of the second of two classes"
    require(found.dtype.kind in "iuf", name, what, _kind(found), error=TypeError)
    found = found.astype(np.float64)
    found = found[:, None] if found.ndim == 1 else found
    fits = found.ndim == 2 and found.size
    require(fits, name, f"{what}, of one image or more", f"shape {np.shape(given)}")
    missing = ~np.isfinite(found).all(axis=1)
    got = f"NaN or infinity in {_rows(missing)}"
    require(not missing.any(), name, "finite numbers", got, "Leave these images out of both.")
    if found.shape[1] == 1:
        found = np.hstack([-found, found] if values == "logits" else [1 - found, found])
        found[:, 0] *= values != "logits"  # the logits (0, z)
    if values == "logits":
        return np.asarray(softmax(found, axis=1))
    odd = ((found < 0) | (found > 1)).any(axis=1)
    hint = "Outputs of a network need a softmax, or `values='logits'` where there is this option."
    if (found >= 0).all() and np.allclose(found.sum(axis=1), 100, atol=100 * TOLERANCE):
        hint = "These are percentages: divide them by 100."
    require(not odd.any(), name, "values in 0..1", f"others in {_rows(odd)}", hint)
    if values == "independent":
        return found
    sums = found.sum(axis=1)
    odd = np.abs(sums - 1) > TOLERANCE
    worst = sums[np.abs(sums - 1).argmax()]
    got = f"a sum of {worst:.4g} ({_rows(odd)})"
    hint = (
        "Divide rounded probabilities by the sum of their row. Where there is the option `values`, "
        "pass `'independent'` for a sigmoid of each class, `'logits'` for logits."
    )
    if _is_bfloat16(found):
        hint = "Compute the softmax in float32: bfloat16 is too coarse."
    require(not odd.any(), name, "rows that sum to 1", got, hint)
    return found


def align_probabilities(
    given: Any, codes: Sequence[str], *, values: str = "probabilities"
) -> _Floats:
    """Check predictions (N, K) of known classes; those of a data frame are put in their order.

    Args:
        given: Predictions, as for `read_predictions`, but no classes.
        codes: Codes of the classes (K,).
        values: See `read_predictions`.

    Raises:
        TypeError: They are not numbers.
        ValueError: The classes are others, or a value is; see `as_probabilities`.

    Examples:
        >>> align_probabilities(pd.DataFrame({"NV": [0.75], "MEL": [0.25]}), ("MEL", "NV"))
        array([[0.25, 0.75]])
    """
    check_choice(values, "values", _VALUES)
    if isinstance(given, pd.DataFrame) and given.shape[1] > 1:
        given, _ = order_columns(given, LabelSpace(codes))
    found = as_probabilities(given, values=values)
    what, got = f"a column for each of {listed(codes, most=12)}", f"shape {found.shape}"
    require(found.shape[1] == len(codes), "probabilities", what, got)
    return found


def as_target(given: Any, classes: LabelSpace | int, name: str = "target") -> Indices:
    """Check classes (N,), integers in 0..K-1 or codes of a label space, and return integers.

    Args:
        given: Classes (N,).
        classes: Label space, or number of classes K.
        name: Name of the argument in errors.

    Raises:
        TypeError: They are neither integers nor codes.
        ValueError: The shape is another, one is missing, or one is no class.
    """
    found, count = as_array(given, name), classes if isinstance(classes, int) else len(classes)
    what = f"classes (N,), integers in 0..{count - 1}"
    if found.dtype.kind in "OUS" and isinstance(classes, LabelSpace):
        require(found.ndim == 1, name, what, f"shape {found.shape}")
        texts = [value if isinstance(value, str) else clean_name(value) for value in found.tolist()]
        missing = np.array([not text.strip() for text in texts])
        got = f"none in {_rows(missing)}"
        require(not missing.any(), name, f"a code of {classes} in each row", got)
        found = np.array([classes.index(text) for text in texts], np.intp)
    whole = found.dtype.kind == "f" and found.ndim == 1 and len(found)
    if whole:
        hint = "Leave images without a label out."
        odd = ~np.isfinite(found)
        require(not odd.any(), name, what, f"NaN or infinity in {_rows(odd)}", hint)
        odd = (found % 1 != 0) | (np.abs(found) > _MOST_CLASSES)
        require(not odd.any(), name, what, f"{listed(found[odd][:1])} in {_rows(odd)}")
        found = found.astype(np.intp)
    hint = "Pass `label_space` for codes." if found.dtype.kind in "OUS" and found.ndim else ""
    require(found.dtype.kind in "iub", name, what, _kind(found), hint, error=TypeError)
    require(found.ndim == 1, name, what, f"shape {found.shape}")
    found = found.astype(np.intp)
    odd = (found < 0) | (found >= count)
    hint = "Leave images without a label out." if (found < 0).any() else from_one(found)
    require(not odd.any(), name, what, f"{listed(np.unique(found[odd]))} in {_rows(odd)}", hint)
    return found


def number_groups(groups: Any, count: int) -> Indices:
    """Number the groups of `count` images from 0; a missing one is a group of its own.

    Args:
        groups: Names, numbers or None (N,), where NaN, -1, empty text and the markers that tables
            have for missing values are missing; None makes each image a group.
        count: Number of images N.

    Raises:
        ValueError: There are not as many groups as images.

    Examples:
        >>> number_groups(["a", None, "a", ""], 4).tolist()
        [0, 1, 0, 2]
    """
    if groups is None:
        return np.arange(count, dtype=np.intp)
    found = as_array(groups, "groups")
    what = f"a group for each image ({count:,},)"
    require(found.shape == (count,), "groups", what, f"shape {found.shape}")
    if found.dtype.kind in "OUS":
        found = map_unique(clean_name, np.where(pd.isna(found), "", found.astype(object)))
        missing = found == ""
    else:
        missing = pd.isna(found) | (found == -1)
    numbers = pd.factorize(found)[0].astype(np.intp)
    numbers[missing] = count + np.arange(int(missing.sum()))
    return pd.factorize(numbers)[0].astype(np.intp)


def as_array(given: Any, name: str) -> npt.NDArray[Any]:
    """Make an array of a sequence, a column, a data frame or a tensor, on any device.

    What is masked, or missing in numbers of pandas, is NaN.
    """
    if isinstance(given, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(given.astype(np.float64), np.nan))
    if isinstance(given, pd.DataFrame) and _has_nullable_numbers(given):
        return given.to_numpy(np.float64, na_value=np.nan)
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        # NumPy has no bfloat16
        given = (given.float() if "bfloat16" in str(given.dtype) else given).numpy()
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        require(False, name, "an array", "rows of different lengths")
        raise


def read_numbers(given: Any, name: str, shape: tuple[int, ...]) -> _Floats:
    """Check finite numbers of a shape, such as those that JSON held.

    Args:
        given: Numbers.
        name: Name in errors.
        shape: Shape that they have to have.

    Raises:
        TypeError: They are no numbers.
        ValueError: The shape is another, or one is NaN or infinite.

    Examples:
        >>> read_numbers([1, 0.5], "thresholds", (2,))
        array([1. , 0.5])
    """
    found, what = as_array(given, name), f"finite numbers of shape {shape}"
    require(found.dtype.kind in "iuf", name, what, _kind(found), error=TypeError)
    require(found.shape == shape, name, what, f"shape {found.shape}")
    require(np.isfinite(found).all(), name, what, "NaN or infinity")
    return found.astype(np.float64)


def in_one_order(given: Sequence[tuple[str, Any]]) -> list[Any]:
    """Put data frames and columns whose index holds ids in the order of the first of them.

    An index 0..N-1 says nothing, unless another one has the same numbers in another order. All else
    stays as it is.

    Args:
        given: Data frames, columns and anything else, each after its name in errors.

    Raises:
        ValueError: Ids differ.

    Examples:
        >>> first, second = pd.Series([1, 2], index=["a", "b"]), pd.Series([4, 3], index=["b", "a"])
        >>> in_one_order([("first", first), ("second", second)])[1].tolist()
        [3, 4]
    """
    found = [one for _, one in given]
    indexes = {
        place: one.index
        for place, one in enumerate(found)
        if isinstance(one, (pd.DataFrame, pd.Series)) and one.index.is_unique
    }
    named = [place for place, index in indexes.items() if not _counts_rows(index)]
    shuffled = (_counts_rows(pd.Index(np.sort(_numbers_of(indexes[place])))) for place in named)
    named = [*indexes] if any(shuffled) else named
    ids = [[*map(str, indexes[place])] for place in named]
    for place, own in zip(named[1:], ids[1:], strict=True):
        got = differences(ids[0], own)
        what = f"of the same images as `{given[named[0]][0]}`, by the ids in their index"
        hint = "Pass arrays if the rows are in the same order."
        require(not got, given[place][0], what, got, hint)
        found[place] = found[place].iloc[pd.Index(own).get_indexer(pd.Index(ids[0]))]
    return found


def _counts_rows(index: "pd.Index[Any]") -> bool:
    """Tell whether an index is 0..N-1."""
    return len(index) > 0 and index.equals(pd.RangeIndex(len(index)))


def _numbers_of(index: "pd.Index[Any]") -> npt.NDArray[Any]:
    """Take the integers of an index; none of any other."""
    return index.to_numpy() if pd.api.types.is_integer_dtype(index) else np.empty(0, np.intp)


def _has_nullable_numbers(table: pd.DataFrame) -> bool:
    """Tell whether all columns hold numbers, and some of them those of pandas."""
    kinds = [*table.dtypes]
    numbers = all(pd.api.types.is_numeric_dtype(x) and not _is_bool(x) for x in kinds)
    return numbers and any(isinstance(x, pd.api.extensions.ExtensionDtype) for x in kinds)


def _is_bool(kind: Any) -> bool:
    return bool(pd.api.types.is_bool_dtype(kind))


def _kind(found: npt.NDArray[Any]) -> str:
    """Name the type of values that are not numbers."""
    if found.dtype != np.object_:
        return f"dtype {found.dtype}"
    odd = found.item() if found.ndim == 0 else next(iter(found.flat), None)
    return f"{'objects such as ' if found.ndim else ''}{odd!r:.40} of type {type(odd).__name__}"


def _is_bfloat16(found: _Floats) -> bool:
    """Find out whether values were rounded to the 8 bits of bfloat16."""
    return not (found.astype(np.float32).view(np.uint32) & 0xFFFF).any()


def _one_hot(classes: Indices, count: int) -> _Floats:
    """Give the predicted class of each image the probability 1 (N, K)."""
    found = np.zeros((len(classes), count))
    found[np.arange(len(classes)), classes] = 1
    return found


def order_columns(
    table: pd.DataFrame, space: LabelSpace | None, name: str = "probabilities"
) -> tuple[npt.NDArray[Any], LabelSpace]:
    """Put columns in the order of a label space, which they name where none is given."""
    codes = [str(code) for code in table.columns]
    space = space or as_label_space(codes)
    small = {code.lower(): place for place, code in enumerate(codes)}
    fits = sorted(small) == sorted(code.lower() for code in space.codes)
    require(fits, name, f"a column for each class of {space}", listed(codes, most=12))
    return as_array(table, name)[:, [small[code.lower()] for code in space.codes]], space


def _count(found: npt.NDArray[Any], target: Any) -> int:
    """Count the classes of predicted and true classes."""
    values = np.asarray(target)
    known = values if values.dtype.kind in "iu" and values.size else found
    highest = max(int(found.max(initial=0)), int(known.max(initial=0)))
    what = f"probabilities, or numbers of classes up to {_MOST_CLASSES:,}"
    require(highest <= _MOST_CLASSES, "probabilities", what, f"{highest:,}")
    return max(2, highest + 1)


def _check_lengths(first: int, second: int, name: str, other: str) -> None:
    if first != second:
        raise ValueError(f"`{name}` and `{other}` differ in length: {first:,} vs {second:,}.")


def _rows(odd: Any) -> str:
    """Count and name rows."""
    rows = np.flatnonzero(odd)
    return f"{len(rows):,} row{'s'[: len(rows) != 1]} (first: {listed(rows, most=3)})"

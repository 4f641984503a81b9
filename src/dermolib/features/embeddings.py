"""Features of images: the output of a network before its last layer, for other classifiers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils import data as torch_data

from dermolib._validation import (
    Indices,
    PathLike,
    check_flag,
    check_number,
    check_type,
    expected,
    listed,
    require,
)
from dermolib.datasets.loaders import explain_workers, make_loader
from dermolib.features.embedding_cache import cache_key, read_cache, write_cache
from dermolib.labels import LabelSpace, known_label_space
from dermolib.models.devices import check_float16, pick_device, plain_precision
from dermolib.models.feature_extractor import FeatureExtractor

__all__ = ["Features", "extract_features", "whole_labels"]

_PRECISIONS: dict[str, torch.dtype | None] = {
    "32-true": None,
    "16-mixed": torch.float16,
    "bf16-mixed": torch.bfloat16,
}
_UNKNOWN = -1  # label of a row that has none
_TRANSFORM = (
    "Give the dataset a transform such as `preset('evaluation', image_size=224)`, with "
    "`**input_settings(model).normalization` where the network has a normalization of its own."
)
_ARRAY = "Pass `[{'image': torch.as_tensor(image)} for image in images]`, channels first."
_HINTS: dict[type, str] = {
    np.ndarray: _ARRAY,
    Tensor: _ARRAY,
    Mapping: "Pass `iter([batch])` for one batch.",
    pd.DataFrame: "Open it with `dermolib.ISICDataset`.",
}
_IN_ORDER = "Pass `shuffle=False`, or the dataset itself: features must be in its order."
_RANDOM = (
    torch_data.RandomSampler,
    torch_data.SubsetRandomSampler,
    torch_data.WeightedRandomSampler,
)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of images, row by row.

    Attributes:
        values: Features (N, D), float32, all finite.
        ids: Ids (N,), None where the images have none.
        labels: Labels (N,), -1 for a row without one; None where no row has one.
        groups: Lesion or patient of each row (N,), None where unknown.
        label_space: Classes of the labels, None where unknown.
    """

    values: npt.NDArray[np.float32]
    ids: npt.NDArray[Any] | None = None
    labels: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[Any] | None = field(default=None, repr=False)
    label_space: LabelSpace | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def subset(self, indices: npt.ArrayLike) -> "Features":
        """Take the rows of these numbers (M,), in their order."""
        rows: Indices = np.asarray(indices, np.intp)
        columns = (self.ids, self.labels, self.groups)
        others: list[Any] = [None if column is None else column[rows] for column in columns]
        return replace(Features(self.values[rows], *others), label_space=self.label_space)


def extract_features(
    model: nn.Module,
    data: Any,
    *,
    batch_size: int = 64,
    workers: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    flips: bool = False,
    cache: PathLike | None = None,
) -> Features:
    """Run images through a network up to its last linear layer.

    The network runs in evaluation mode and without gradients, and is afterwards on the device and
    in the mode, layer by layer, that it was in before. Memory holds the features (4 N D bytes) and
    a batch. Up to rounding, the values do not depend on `batch_size` and `workers`. Random
    transforms draw as in the first epoch of `dermolib.make_loader`.

    With `cache` the features are kept in a file, which is written whole or not at all, and read
    from there the next time. The file records the weights, buffers and layers of the network up to
    its last linear layer, the ids, the names, sizes and modification times of the image files, the
    ``repr`` of the transform, eight of the images as the network sees them, `flips` and
    `precision`, and a digest of the features. Where one of these differs, the features are computed
    again, the log reports why, and the file is replaced. Other changes are not noticed, such as a
    transform that treats other images differently under the same ``repr``. Labels and groups are
    always those of the dataset.

    Args:
        model: Network that takes images (N, 3, H, W) and ends in a linear layer, such as those of
            `dermolib.build_model`.
        data: `dermolib.ISICDataset` with a transform that returns normalized tensors; any other
            map-style dataset of such samples; or an iterable of their batches, such as a
            `torch.utils.data.DataLoader` that does not shuffle.
        batch_size: Images in a batch, 1 or more; that of a loader is its own.
        workers: Processes that load images; 0 loads in this one.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"`` for a GPU where there is one.
        precision: ``"float32"``, ``"float16"`` (not on the CPU) or ``"bfloat16"``, or Lightning's
            names ``"32-true"``, ``"16-mixed"`` and ``"bf16-mixed"``; features are float32 anyway.
        flips: Whether features are the mean of those of an image and its mirror image.
        cache: File to keep the features in; for a `dermolib.ISICDataset` alone.

    Returns:
        Features of the images, in the order of the data.

    Raises:
        TypeError: The data, their samples or an argument are of another type, or a cache is wanted
            for data without files.
        ValueError: The data are empty or a loader that shuffles, labels or ids do not fit the
            images, the network has no linear layer, features are not finite, the device or the
            precision is not available, or `cache` is a file of something else.

    References:
        Razavian et al., CNN features off-the-shelf, CVPR workshops, 2014,
        https://doi.org/10.1109/CVPRW.2014.131.

    Examples:
        >>> from dermolib import build_model
        >>> images = torch.rand(5, 3, 64, 64)
        >>> samples = [{"image": image, "label": n % 2} for n, image in enumerate(images)]
        >>> features = extract_features(build_model("custom_cnn", image_size=64), samples)
        >>> features.values.shape, features.values.dtype, features.labels.tolist()
        ((5, 32), dtype('float32'), [0, 1, 0, 1, 0])
    """
    check_number(batch_size, "batch_size", low=1, integer=True)
    check_number(workers, "workers", low=0, integer=True)
    check_flag(flips, "flips")
    place = pick_device(device)
    precision = plain_precision(precision, _PRECISIONS)
    check_float16(precision, on_cpu=place.type == "cpu")
    hint = "Pass the network first. See `build_model`."
    check_type(model, "model", nn.Module, "a torch module", hint)
    by_number, table = _is_dataset(data), getattr(data, "table", None)
    got, hint = f"a path and a {type(data).__name__}", "Use an `ISICDataset`, or save the features."
    possible = cache is None or table is not None
    require(possible, "cache", "None for data without files", got, hint, error=TypeError)
    key = {} if cache is None else cache_key(model, data, flips=bool(flips), precision=precision)
    values = None if cache is None else read_cache(cache, key, len(data.table))
    if values is not None:
        return _described(values, data)
    # Every process of a distributed run gets all rows
    loader = partial(make_loader, batch_size=batch_size, workers=workers, num_replicas=1, rank=0)
    batches, rows = (loader(data), len(data)) if by_number else (data, 0)
    with _ready(model, place) as network, explain_workers():
        found = _collected(
            batches, lambda batch: _features(network, batch, place, precision, flips=flips), rows
        )
    if cache is not None:
        write_cache(cache, key, found.values)
    if table is None:
        return replace(found, label_space=known_label_space(data))
    return _described(found.values, data)


def whole_labels(labels: Any, rows: int, name: str) -> npt.NDArray[np.int64]:
    """Convert labels to integers, one for each of so many rows; -1 for NaN."""
    given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    what = f"an integer for each of {rows} rows"
    require(given.shape == (rows,), name, what, f"shape {given.shape}")
    try:
        numbers = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = f"{given[0]!r} and others of dtype {given.dtype}"
        raise TypeError(expected(name, what, got, "Number the classes from 0.")) from error
    broken = numbers[~np.isnan(numbers) & ((np.floor(numbers) != numbers) | np.isinf(numbers))]
    require(not len(broken), name, what, listed(broken, most=1))
    return np.where(np.isnan(numbers), _UNKNOWN, numbers).astype(np.int64)


def _is_dataset(data: Any) -> bool:
    """Tell a dataset of samples by number from batches, and refuse what is neither."""
    if isinstance(data, torch_data.DataLoader) or hasattr(data, "batch_sampler"):
        require(not _shuffles(data), "data", "a loader in order", "one that shuffles", _IN_ORDER)
        return False
    by_number = hasattr(data, "__getitem__")
    hint = next((hint for kind, hint in _HINTS.items() if isinstance(data, kind)), "")
    what, got = "a dataset, or an iterable of batches such as a `DataLoader`", type(data).__name__
    usable = not hint and (by_number or isinstance(data, Iterable))
    require(usable, "data", what, f"an object of type {got}", hint, error=TypeError)
    if (
        not by_number
        or not hasattr(data, "__len__")
        or isinstance(data, torch_data.IterableDataset)
    ):
        return False
    require(len(data), "data", "data with at least one image", "none")
    first = data[0]
    are_batches = isinstance(first, dict) and getattr(first.get("image"), "ndim", 0) == 4
    hint = "Pass `iter(batches)` where these are batches." if are_batches else _TRANSFORM
    _image(first, "a dataset of dictionaries with `image` (3, H, W), floating point", 3, hint)
    return True


def _shuffles(loader: Any) -> bool:
    in_batches = getattr(loader, "batch_sampler", None)
    orders = (getattr(loader, "sampler", None), in_batches, getattr(in_batches, "sampler", None))
    return any(isinstance(one, _RANDOM) or getattr(one, "shuffle", False) for one in orders)


def _image(sample: Any, what: str, ndim: int, hint: str = _TRANSFORM) -> Tensor:
    """Return the floating-point image of a sample or batch, or refuse what is there instead."""
    known = isinstance(sample, dict) and "image" in sample
    image = sample["image"] if known else None
    if isinstance(image, Tensor) and image.is_floating_point() and image.ndim == ndim:
        return image
    shape, dtype = tuple(getattr(image, "shape", ())), getattr(image, "dtype", "no dtype")
    got = f"{type(image).__name__} {shape} of {dtype}"
    got = got if known else f"a {type(sample).__name__} without it"
    raise TypeError(expected("data", what, got, hint))


def _collected(
    batches: Iterable[Any], compute: Callable[[Any], npt.NDArray[np.float32]], rows: int
) -> Features:
    """Collect features batch by batch, in one array that grows in place; `rows` is 0 if unknown."""
    values, count = np.empty((0, 0), np.float32), 0
    ids: list[str] = []
    labels: list[npt.NDArray[np.int64]] = []
    labeled = False
    for batch in batches:
        block = compute(batch)
        number, names = len(block), batch.get("id")
        if names is not None:
            what = f"data with one `id` for each of the {number} images of a batch"
            require(len(names) == number, "data", what, len(names))
            ids += map(str, names)
        _check_finite(block, batch, count)
        if not count:
            values = np.empty((max(rows, number), block.shape[1]), np.float32)
        elif count + number > len(values):
            # Large blocks are moved by the system rather than copied, so that both never coexist
            values.resize(((count + number) * 5 // 4, block.shape[1]), refcheck=False)
        values[count : count + number] = block
        count += number
        labeled = labeled or "label" in batch
        labels.append(whole_labels(batch.get("label", [np.nan] * number), number, "label"))
    require(count, "data", "data with at least one image", "none")
    values.resize((count, values.shape[1]), refcheck=False)
    names = np.array(ids) if len(ids) == count else None
    return Features(values, names, np.concatenate(labels) if labeled else None)


def _described(values: npt.NDArray[np.float32], dataset: Any) -> Features:
    """Add the ids, labels and groups of a dataset with a table to its features."""
    table = dataset.table
    labels = table["label"].fillna(_UNKNOWN).to_numpy(np.int64) if "label" in table else None
    if labels is not None and (labels == _UNKNOWN).all():
        labels = None
    ids = table["id"].to_numpy(object).astype(str)
    return Features(values, ids, labels, dataset.groups, known_label_space(dataset))


def _features(
    network: FeatureExtractor, batch: Any, place: torch.device, precision: str, *, flips: bool
) -> npt.NDArray[np.float32]:
    what = "data whose batches are dictionaries with `image`, images (N, 3, H, W), floating point"
    images = _image(batch, what, 4).to(place, torch.float32, non_blocking=True)
    others = []
    if network.takes_metadata:
        what, hint = (
            "data with `metadata`, which the network takes",
            "Open it with `metadata=True`.",
        )
        require("metadata" in batch, "data", what, "none", hint, error=TypeError)
        others = [batch["metadata"].to(place, torch.float32)]
    dtype = _PRECISIONS[precision]
    context = nullcontext() if dtype is None else torch.autocast(place.type, dtype)
    with torch.inference_mode(), context:
        values: Tensor = network(images, *others).float()
        if flips:
            values = (values + network(images.flip(-1), *others).float()) / 2
        return values.cpu().numpy()


@contextmanager
def _ready(model: nn.Module, place: torch.device) -> Iterator[FeatureExtractor]:
    """Move a model to a device and to evaluation mode for the length of the block."""
    modes = {module: module.training for module in model.modules()}
    home = next((parameter.device for parameter in model.parameters()), place)
    try:
        model.to(place).eval()
        yield FeatureExtractor(model).eval()
    finally:
        model.to(home)
        for module, mode in modes.items():
            module.training = mode


def _check_finite(values: npt.NDArray[np.float32], batch: dict[str, Any], before: int) -> None:
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        row = int(broken[0])
        name = batch["id"][row] if "id" in batch else f"row {before + row}"
        got, hint = "NaN or infinity in the image itself", "Check its file and the transform."
        if bool(torch.isfinite(batch["image"][row]).all()):
            got, hint = "NaN or infinity from a finite image", "Check the weights of the network."
        raise ValueError(expected(f"features of {name}", "finite", got, hint))

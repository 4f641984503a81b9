"""Features of images: the output of a network before its last layer, for other classifiers."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dermolib._validation import Indices, PathLike, check_flag, check_number, expected, require
from dermolib.datasets.loaders import make_loader
from dermolib.features.embedding_cache import cache_key, read_cache, write_cache
from dermolib.features.embedding_checks import UNKNOWN, check_data, checked_images, whole_labels
from dermolib.models.devices import check_float16, pick_device, plain_precision
from dermolib.models.feature_extractor import FeatureExtractor

__all__ = ["Features", "extract_features"]

_PRECISIONS: dict[str, torch.dtype | None] = {
    "32-true": None,
    "16-mixed": torch.float16,
    "bf16-mixed": torch.bfloat16,
}


@dataclass(frozen=True, eq=False)
class Features:
    """Features of images, row by row.

    Attributes:
        values: Features (N, D), float32, all finite.
        ids: Ids (N,), None where the images have none.
        labels: Labels (N,), -1 for a row without one; None where no row has one.
        groups: Lesion or patient of each row (N,), None where unknown.
    """

    values: npt.NDArray[np.float32]
    ids: npt.NDArray[Any] | None = None
    labels: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[Any] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def subset(self, indices: npt.ArrayLike) -> "Features":
        """Take some rows.

        Args:
            indices: Row numbers (M,), in the order wanted.

        Returns:
            Features of these rows.
        """
        rows: Indices = np.asarray(indices, np.intp)
        others: list[Any] = [
            None if column is None else column[rows]
            for column in (self.ids, self.labels, self.groups)
        ]
        return Features(self.values[rows], *others)


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
    from there the next time, without running the network. The file records the weights, buffers and
    layers of the network up to its last linear layer, the ids, the names, sizes and modification
    times of the image files, the ``repr`` of the transform, eight of the images as the network sees
    them, `flips` and `precision`. Where one of these differs, the features are computed again, the
    log reports why, and the file is replaced. Other changes are not noticed, such as a transform
    that treats other images differently under the same ``repr``. Labels and groups are always those
    of the dataset.

    Args:
        model: Network that takes images (N, 3, H, W) and ends in a linear layer, such as those of
            `dermolib.build_model`.
        data: `dermolib.ISICDataset` with a transform that returns normalized tensors; any other
            map-style dataset of such samples; or an iterable of their batches, such as a
            `torch.utils.data.DataLoader` that does not shuffle.
        batch_size: Images in a batch, 1 or more; that of a loader is its own.
        workers: Processes that load images; 0 loads in this one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"auto"`` takes a GPU where there
            is one.
        precision: ``"float32"``, ``"float16"`` (not on the CPU) or ``"bfloat16"``, or Lightning's
            names ``"32-true"``, ``"16-mixed"`` and ``"bf16-mixed"``. The features are float32 all
            the same.
        flips: Whether features are the mean of those of an image and its mirror image, which takes
            twice the time.
        cache: File to keep the features in; for a `dermolib.ISICDataset` alone.

    Returns:
        Features of the images, in the order of the data.

    Raises:
        TypeError: The data, their samples or an argument are of another type, or a cache is wanted
            for data without files.
        ValueError: The data are empty or a loader that shuffles, a batch has more or fewer labels
            or ids than images, a label is not an integer, the network has no linear layer, features
            are not finite, the device or the precision is not available, or `cache` is a file of
            something else.

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
    got, hint = (
        f"an object of type {type(model).__name__}",
        "Pass the network first. See `build_model`.",
    )
    require(isinstance(model, nn.Module), "model", "a torch module", got, hint, error=TypeError)
    is_dataset = check_data(data)
    table = getattr(data, "table", None)
    got, hint = (
        f"a path and a {type(data).__name__}",
        "Use an `ISICDataset`, or save the `Features`.",
    )
    possible = table is not None or cache is None
    require(possible, "cache", "None for data without files", got, hint, error=TypeError)
    key = None
    if cache is not None:
        key = cache_key(model, data, flips=bool(flips), precision=precision)
        values = read_cache(cache, key)
        if values is not None:
            return _described(values, data)
    # Every process of a distributed run gets all rows
    loader = partial(make_loader, batch_size=batch_size, workers=workers, num_replicas=1, rank=0)
    batches = loader(data) if is_dataset else data
    rows = _Rows(len(data) if is_dataset else 0)
    with _ready(model, place) as network:
        for batch in batches:
            rows.add(_features(network, batch, place, precision, flips=flips), batch)
    found = rows.done()
    if table is not None:
        found = _described(found.values, data)
    if cache is not None and key is not None:
        write_cache(cache, key, found.values)
    return found


class _Rows:
    """Features that come batch by batch, in one array that grows in place."""

    def __init__(self, expected_rows: int) -> None:
        self._expected = expected_rows  # 0 where unknown
        self._values: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._count = 0
        self._ids: list[str] = []
        self._labels: list[npt.NDArray[np.int64]] = []
        self._labelled = False

    def add(self, values: Tensor, batch: dict[str, Any]) -> None:
        """Append the features of a batch, which must be finite."""
        stop = self._count + len(values)
        names = () if batch.get("id") is None else batch["id"]
        what = f"data with one `id` for each of the {len(values)} images of a batch"
        complete = batch.get("id") is None or len(names) == len(values)
        require(complete, "data", what, len(names))
        finite = torch.isfinite(values).all(dim=1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise ValueError(_not_finite(batch, row, self._count + row))
        self._reserve(stop, values.shape[1])
        self._values[self._count : stop] = values.numpy()
        self._count = stop
        self._ids += [str(name) for name in names]
        self._labelled = self._labelled or "label" in batch
        labels = batch.get("label", torch.full((len(values),), UNKNOWN))
        self._labels.append(whole_labels(labels, len(values), "label"))

    def done(self) -> Features:
        """Return all rows."""
        require(self._count, "data", "data with at least one image", "none")
        self._values.resize((self._count, self._values.shape[1]), refcheck=False)
        ids = np.array(self._ids) if len(self._ids) == self._count else None
        return Features(self._values, ids, np.concatenate(self._labels) if self._labelled else None)

    def _reserve(self, rows: int, width: int) -> None:
        if not self._count:
            self._values = np.empty((max(rows, self._expected), width), np.float32)
        elif rows > len(self._values):
            # Large blocks are moved by the system rather than copied, so that both never coexist
            self._values.resize((rows + rows // 4, width), refcheck=False)


def _described(values: npt.NDArray[np.float32], dataset: Any) -> Features:
    """Add the ids, labels and groups of a dataset with a table to its features."""
    table = dataset.table
    labels = table["label"].fillna(UNKNOWN).to_numpy(np.int64) if "label" in table else None
    if labels is not None and (labels == UNKNOWN).all():
        labels = None
    ids = table["id"].to_numpy(object).astype(str)
    return Features(values, ids, labels, dataset.groups)


def _features(
    network: FeatureExtractor, batch: Any, place: torch.device, precision: str, *, flips: bool
) -> Tensor:
    images = checked_images(batch).to(place, torch.float32, non_blocking=True)
    others = [_metadata(batch).to(place, torch.float32)] if network.takes_metadata else []
    dtype = _PRECISIONS[precision]
    context = nullcontext() if dtype is None else torch.autocast(place.type, dtype)
    with torch.inference_mode(), context:
        values: Tensor = network(images, *others).float()
        if flips:
            values = (values + network(images.flip(-1), *others).float()) / 2
        return values.cpu()


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


def _metadata(batch: dict[str, Any]) -> Tensor:
    what, hint = "data with `metadata`, which the network takes", "Open it with `metadata=True`."
    require("metadata" in batch, "data", what, "none", hint, error=TypeError)
    metadata: Tensor = batch["metadata"]
    return metadata


def _not_finite(batch: dict[str, Any], row: int, number: int) -> str:
    name = batch["id"][row] if "id" in batch else f"row {number}"
    whole = bool(torch.isfinite(batch["image"][row]).all())
    got = "NaN or infinity from a finite image" if whole else "NaN or infinity in the image itself"
    hint = "Check the weights of the network." if whole else "Check its file and the transform."
    return expected(f"features of {name}", "finite", got, hint)

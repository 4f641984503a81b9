"""All images in the memory of the device: batches without workers or the CPU."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dermolib._validation import check_number, require
from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.loaders import EpochSampler, make_loader
from dermolib.labels import known_label_space

__all__ = ["DeviceLoader"]

_KEPT = ("image", "label", "soft_label", "mask", "metadata")
_READ = 256  # samples that are stacked on the host before they go to the device


class DeviceLoader:
    """Read a dataset once, keep its images on the device, and give batches of them from there.

    A GPU of 80 GB holds 400,000 images of 224 x 224 px, which are 60 GB. Reading is fastest from a
    store of `dermolib.preprocessing.prepare`. The order of the rows and the seeds of their draws
    are those of `make_loader` with the same seed.

    Args:
        dataset: Map-style dataset whose samples are dictionaries with ``image``, uint8 RGB
            (H, W, 3), of one size, without a transform; ``label``, ``soft_label``, ``mask``,
            ``metadata`` and ``id`` are kept where all samples have them.
        device: Where the images are kept; by default a GPU where there is one.
        batch_size: Images in a batch, 1 or more.
        augment: Called with each batch, for instance a `dermolib.augmentation.BatchAugmentation`,
            which draws by the seeds under ``"draw_seed"``; None leaves images as they are.
        workers: Processes that read the dataset, once.
        seed: Seed of order and draws, 0 or more.
        shuffle: Whether each epoch has an order of its own.
        sample_weights: How likely each row is to be drawn (N,), see `make_loader`.
        num_replicas: Number of processes that share the rows; each keeps all images.
        rank: Number of this process.

    Attributes:
        ids: Ids (N,), None where samples have none.
        image_paths: Those of an `ISICDataset` (N,), else None.
        sampler: Sampler, of which ``set_epoch`` goes to an epoch, see `make_loader`.
        augment: What each batch is called with.

    A batch is a dictionary: ``image`` (B, 3, H, W), uint8 in channels-last memory, unless `augment`
    makes something else of it; ``draw_seed`` (B,); and, where samples have them, ``label`` (B,),
    ``soft_label`` (B, K), ``mask`` (B, H, W), bool, ``metadata`` (B, M) and ``id``, a list.

    Raises:
        TypeError: Samples are not such dictionaries, or a number is not an integer.
        ValueError: The dataset is empty, images differ in size, or a number is out of range.
        torch.OutOfMemoryError: The device is too small for the images.

    Examples:
        >>> samples = [{"image": np.full((8, 8, 3), n, np.uint8), "label": n} for n in range(5)]
        >>> loader = DeviceLoader(samples, device="cpu", batch_size=2, shuffle=True, seed=1)
        >>> [batch["label"].tolist() for batch in loader]
        [[4, 0], [1, 2], [3]]
    """

    def __init__(
        self,
        dataset: Any,
        *,
        device: torch.device | str | None = None,
        batch_size: int = 64,
        augment: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        workers: int = 0,
        seed: int = 0,
        shuffle: bool = False,
        sample_weights: Any = None,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Read the samples."""
        check_number(batch_size, "batch_size", low=1, integer=True)
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(chosen if device is None else device)
        self.augment = augment
        self.batch_size = int(batch_size)
        self.label_space = known_label_space(dataset)
        self.image_paths = dataset.image_paths if isinstance(dataset, ISICDataset) else None
        loader = make_loader(dataset, batch_size=_READ, workers=workers, collate_fn=list)
        rows: Any = {"shuffle": shuffle, "sample_weights": sample_weights}
        processes: Any = {"num_replicas": num_replicas, "rank": rank}
        self.sampler = EpochSampler(len(dataset), seed=seed, **rows, **processes)
        self.batch_sampler = self.sampler  # where Lightning looks for who decides the order
        self._columns: dict[str, Tensor] = {}
        ids: list[str] = []
        for first, samples in zip(range(0, len(dataset), _READ), loader, strict=True):
            shape = tuple(self.images.shape[1:]) if first else ()
            for name, part in _stacked(samples, self._columns, shape).items():
                if first == 0:
                    whole = (len(dataset), *part.shape[1:])
                    self._columns[name] = torch.empty(whole, dtype=part.dtype, device=self.device)
                self._columns[name][first : first + len(part)] = part
            ids += [sample["id"] for sample in samples if "id" in sample]
        self.ids: npt.NDArray[np.object_] | None = (
            np.array(ids, dtype=object) if len(ids) == len(dataset) else None
        )

    @property
    def images(self) -> Tensor:
        """All images (N, H, W, 3), uint8, on the device."""
        return self._columns["image"]

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """Labels (N,), None where samples have none."""
        labels = self._columns.get("label")
        return None if labels is None else labels.cpu().numpy()

    def __len__(self) -> int:
        """Return the number of batches of the next epoch."""
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Go through the batches of the next epoch."""
        rows, seeds = self.sampler.start()
        # Once for the epoch: a copy for each batch would make the device wait for the host
        there = torch.from_numpy(rows).to(self.device)
        seeds_there = torch.from_numpy(seeds).to(self.device)
        for first in range(0, len(rows), self.batch_size):
            part = slice(first, first + self.batch_size)
            batch = self._batch(rows[part], there[part])
            batch["draw_seed"] = seeds_there[part]
            yield batch if self.augment is None else self.augment(batch)

    def _batch(self, rows: npt.NDArray[np.intp], there: Tensor) -> dict[str, Any]:
        batch: dict[str, Any] = {
            name: column.index_select(0, there) for name, column in self._columns.items()
        }
        batch["image"] = batch["image"].permute(0, 3, 1, 2)
        if self.ids is not None:
            batch["id"] = self.ids[rows].tolist()
        return batch


def _stacked(
    samples: list[Any], keys: Collection[str], shape: tuple[int, ...]
) -> dict[str, Tensor]:
    """Stack samples of the given keys and size, or those of the first sample, on the host."""
    what = "a dataset of dictionaries with `image`, uint8 RGB (H, W, 3)"
    hint = "Leave the transform out: `augment` makes the images into what a network takes."
    for sample in samples:
        image = sample.get("image") if isinstance(sample, dict) else None
        kind = getattr(image, "dtype", type(sample if image is None else image).__name__)
        fits = kind in (np.uint8, torch.uint8)
        require(fits, "dataset", what, f"one of {kind}", hint, error=TypeError)
        found = tuple(sample["image"].shape)
        require(found[2:] == (3,), "dataset", what, f"images {found}", hint)
        shape = shape or found
        one = f"a dataset of images of one size, {shape[0]} x {shape[1]} px"
        resize = "Prepare the folder with `prepare`."
        require(found == shape, "dataset", one, f"one of {found[0]} x {found[1]} px too", resize)
        own = [name for name in _KEPT if name in sample]
        keys = keys or own
        same = "a dataset whose samples all have the same keys"
        require({*own} == {*keys}, "dataset", same, f"{own} after {[*keys]}", error=TypeError)
    return {
        name: torch.from_numpy(np.stack([np.asarray(sample[name]) for sample in samples]))
        for name in keys
    }

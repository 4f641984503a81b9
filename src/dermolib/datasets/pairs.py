"""Two images of each lesion as one sample: a dermoscopic and a clinical one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import check_type, listed, require
from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.transforming import Transform
from dermolib.labels import LabelSpace

__all__ = ["PairDataset"]

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    _Base: TypeAlias = Dataset[dict[str, Any]]
else:
    _Base = object  # as ISICDataset


class PairDataset(_Base):
    """Lesions with two images each: a map-style dataset whose samples are dictionaries.

    A sample is that of `first`, with the image of `second` beside it and the name of the lesion as
    ``id``. Each of the two has its own files, store and transform; labels, groups and metadata are
    those of `first`.

    Args:
        first: Dataset with one image of each lesion, such as
            ``ISICDataset.from_milk10k(root, kind="dermoscopic")``.
        second: Dataset with one image of each of these lesions, in any order; others are left out.
        name: Key of the second image in a sample.

    Attributes:
        datasets: The two, their rows in the same order.

    Raises:
        TypeError: One of the two is not an `ISICDataset`.
        ValueError: A lesion is unknown or has several images in one of the two, or has none in
            `second`.

    Examples:
        >>> import tempfile
        >>> from dermolib.io import write_image
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a", "b"):
        ...         write_image(f"{folder}/{name}.png", image)
        ...     tables = [pd.DataFrame({"id": [name], "lesion": ["L"]}) for name in ("a", "b")]
        ...     pairs = PairDataset(*(ISICDataset(table, folder) for table in tables))
        ...     sample = pairs[0]
        >>> repr(pairs).partition(":")[0], sorted(sample), sample["id"]
        ('PairDataset(1 lesions', ['clinical', 'id', 'image'], 'L')
    """

    def __init__(self, first: ISICDataset, second: ISICDataset, *, name: str = "clinical") -> None:
        """Find the image of each lesion of the first in the second."""
        lesions, others = _lesions(first, "first"), _lesions(second, "second")
        taken = name in ("image", "label", "id", "mask", "metadata")
        require(not taken, "name", "a key that a sample does not have", repr(name))
        rows = pd.Index(others).get_indexer(pd.Index(lesions))
        absent = lesions[rows < 0]
        got = f"{len(absent)} of {len(lesions)} without ({listed(absent)})"
        hint = "Take the others: `first.subset(rows)`."
        require(not len(absent), "second", "a set with an image of each lesion", got, hint)
        self.datasets = (first, second.subset(rows))
        self._name = name

    def __repr__(self) -> str:
        """Say how many pairs there are, and what their images come from."""
        first, second = self.datasets
        return f"PairDataset({len(self)} lesions: image of {first}, {self._name} of {second})"

    @property
    def table(self) -> pd.DataFrame:
        """Table of the first, with the lesion as ``id``."""
        return self.datasets[0].table.assign(id=self.ids)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,), see `ISICDataset.labels`."""
        return self.datasets[0].labels

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Lesions (N,)."""
        return self.datasets[0].table["lesion"].to_numpy(object)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Patient of each lesion (N,), or the lesion where that is unknown."""
        return self.datasets[0].groups

    @property
    def label_space(self) -> LabelSpace:
        """Classes of the labels."""
        return self.datasets[0].label_space

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Count the lesions (K,) of each class."""
        return self.datasets[0].class_counts()

    def subset(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], *, split: str | None = None
    ) -> "PairDataset":
        """Take some lesions, as `ISICDataset.subset` takes rows."""
        first, second = (dataset.subset(indices, split=split) for dataset in self.datasets)
        return PairDataset(first, second, name=self._name)

    def with_transform(self, transform: Transform | None) -> "PairDataset":
        """Return the same lesions with another transform, which each image goes through alone."""
        first, second = (dataset.with_transform(transform) for dataset in self.datasets)
        return PairDataset(first, second, name=self._name)

    def __len__(self) -> int:
        """Return the number of lesions."""
        return len(self.datasets[0])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read both images of a lesion; see `ISICDataset`."""
        first, second = self.datasets
        sample = first[index]
        sample[self._name] = second[index]["image"]
        sample["id"] = str(first.table["lesion"].iloc[int(index)])
        return sample


def _lesions(dataset: Any, name: str) -> npt.NDArray[np.object_]:
    """Name the lesion of each row, of which each must be known and in one row."""
    check_type(dataset, name, ISICDataset, "an `ISICDataset` with one image of each lesion")
    lesions = dataset.table["lesion"]
    what, hint = "a set with one image of each lesion", 'Read one kind, such as `kind="clinical"`.'
    unknown = dataset.table["id"][lesions == ""]
    require(unknown.empty, name, what, f"images without a lesion ({listed(unknown)})", hint)
    twice = lesions[lesions.duplicated()].unique()
    require(not len(twice), name, what, f"several of some ({listed(twice)})", hint)
    names: npt.NDArray[np.object_] = lesions.to_numpy(object)
    return names

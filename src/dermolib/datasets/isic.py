"""Images, masks and metadata of a collection as a dataset of samples."""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import (
    Indices,
    PathLike,
    check_choice,
    expected,
    listed,
    printable,
    require,
)
from dermolib.datasets.files import drop_missing, find_files, read_augmented, resolve_paths
from dermolib.datasets.groups import group_names
from dermolib.datasets.readers import find_reader, list_readers
from dermolib.datasets.splits import as_split
from dermolib.datasets.store import PreparedStore, load_image, load_mask
from dermolib.datasets.tables import metadata_vectors, read_table
from dermolib.datasets.transforming import Transform, check_transform, transformed
from dermolib.labels import LabelSpace, as_label_space, label_space_of

__all__ = ["ISICDataset"]

if TYPE_CHECKING:
    from torch.utils.data import ConcatDataset, Dataset

    _Base: TypeAlias = Dataset[dict[str, Any]]
else:
    _Base = object  # loaders ask for length and rows alone, and reading a table needs no torch

_OPTIONS = ("image_dir", "transform", "missing", "masks", "metadata", "mask_dir")


class _Checked(NamedTuple):
    """Rows that a reader has just checked."""

    rows: pd.DataFrame


class _Collections(type):
    """Gives the dataset a method ``from_NAME`` for each registered collection."""

    def __getattr__(cls: Any, name: str) -> "Callable[..., ISICDataset]":
        collection = name.removeprefix("from_")
        if collection == name or collection not in list_readers():
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        opener, read = partial(cls.from_collection, collection), find_reader(collection).read
        first = f"Open {collection!r}, see `from_collection`, with the layout and options of"
        opener.__doc__ = f"{first} `{read.__name__}`.\n\n    {read.__doc__}"
        return opener

    def __dir__(cls) -> Iterable[str]:
        return [*super().__dir__(), *(f"from_{name}" for name in list_readers())]


class ISICDataset(_Base, metaclass=_Collections):
    """Rows of a table with their images: a map-style dataset whose samples are dictionaries.

    A sample has ``image`` (the result of the transform; uint8 RGB (H, W, 3) without one), ``label``
    (0..K-1; absent where not all rows have one), ``id``, with ``metadata=True`` the vector
    ``metadata`` (13,), float32, and with ``masks=True`` the lesion mask ``mask``, bool (H, W).
    The order of the rows is the order of the table.

    Args:
        table: CSV file or data frame of `dermolib.datasets.read_table`, or a table of one of the
            readers, such as `dermolib.datasets.read_isic2019`, or of several, joined by
            `dermolib.datasets.merge_tables`.
        image_dir: Folder with an image for each row, or several such folders, in which the first
            is taken that has it; a store of `dermolib.preprocessing.prepare`, whose masks are then
            those of the samples; or an HDF5 file. The name of a file is the id and an ending of an
            image; how else it may be written, and what is searched, says
            `dermolib.io.ImageFolder`. None takes the columns ``image_path`` and, if there is one,
            ``mask_path`` of the table, which those of the readers have.
        transform: Called as ``transform(image=image)``, or ``transform(image=image, mask=mask)``
            with masks; what it returns replaces both. Every preset of `dermolib.augmentation` and
            every albumentations pipeline has this form. A transform of torchvision is called as its
            datasets do: with an image of PIL, and with masks, where it has to be of version 2, a
            ``torchvision.tv_tensors.Mask`` after it.
        missing: ``"error"`` refuses a table with a missing image (or mask, with ``masks=True``);
            ``"drop"`` leaves such rows out, warns how many, and keeps their ids in `dropped`.
        masks: Whether samples have the lesion mask, from a file such as ``ID_seg.png`` or
            ``ID_mask.bmp``, read by the rule of `dermolib.io.as_mask`.
        metadata: Whether samples have age, sex and site, see `dermolib.datasets.metadata_vectors`.
        mask_dir: Folder of the masks, in which ``ID.png`` is one as well; where not given, they are
            looked for in `image_dir`.
        split: What the rows are for: ``"train"``, ``"validation"`` or ``"test"``, or another name
            of these that `dermolib.datasets.as_split` knows. Only training rows can be augmented
            offline.
        label_space: Classes of the labels: a name in `dermolib.labels.LABEL_SPACES`, such as
            ``"binary"``, a `dermolib.labels.LabelSpace` or a list of codes, see `read_table`; that
            of the table where not given, which is the challenge's unless it says otherwise.

    Attributes:
        table: One row for each sample: the columns of `dermolib.datasets.read_table` with
            ``image_path`` and ``mask_path``. Changing it does not change the samples: make a
            dataset of the changed table.
        dropped: Ids that ``missing="drop"`` left out.
        split: What the rows are for.
        label_space: Classes of the labels.

    Raises:
        DatasetNotFoundError: The table or a folder does not exist.
        FileNotFoundError: The image or mask of a row is missing and `missing` is ``"error"``.
        ValueError: The table is invalid, see `dermolib.datasets.read_table`.
    """

    def __init__(
        self,
        table: PathLike | pd.DataFrame,
        image_dir: PathLike | Sequence[PathLike] | PreparedStore | None = None,
        *,
        transform: Transform | None = None,
        missing: str = "error",
        masks: bool = False,
        metadata: bool = False,
        mask_dir: PathLike | None = None,
        split: str = "train",
        label_space: str | LabelSpace | Sequence[str] | None = None,
    ) -> None:
        """Read the table and find the files of its rows."""
        check_choice(missing, "missing", ("error", "drop"))
        self.split = as_split(split)
        given: Any = table
        if isinstance(given, _Checked):
            rows = given = given.rows
        else:
            rows = read_table(table, label_space=label_space)
        self.label_space = label_space_of(rows)
        place = resolve_paths(rows, given, image_dir, mask_dir, masks=masks)
        kept = drop_missing(rows, place, missing=missing, masks=masks)
        self.dropped: tuple[str, ...] = tuple(rows["id"][~kept])
        self._with_masks = masks
        check_transform(transform, masks=masks)
        self.transform = transform
        self._with_metadata = metadata
        self._take(rows if kept.all() else rows[kept].reset_index(drop=True))

    @classmethod
    def from_collection(
        cls,
        name: str,
        root: PathLike,
        split: str = "train",
        *,
        label_space: str | LabelSpace | Sequence[str] | None = None,
        **options: Any,
    ) -> Self:
        """Open a published collection, real or synthetic.

        Each collection also has a method of its own: ``ISICDataset.from_isic2019(root)`` is
        ``ISICDataset.from_collection("isic2019", root)``.

        Args:
            name: One of `dermolib.datasets.list_readers`, such as ``"challenge"``, ``"ham10000"``,
                ``"isic2018"``, ``"isic2019"``, ``"isic2020"`` or ``"isic2024"``.
            root: Folder in the layout of its reader, see `dermolib.datasets.read_challenge_table`
                and the others.
            split: A published split of the collection; test rows may have no label.
            label_space: As of the class; that of the collection where not given. Rows whose
                diagnosis has no place in it have no label, see `unplaced`.
            options: `transform`, `missing`, `masks` and `metadata` of the class; `image_dir` where
                the images come from elsewhere, such as a folder of cleaned ones, in which case the
                masks stay those of `root`, or a store; and options of the reader, such as
                ``task=1`` of `dermolib.datasets.read_isic2018`.

        Raises:
            DatasetNotFoundError: `root` does not have the layout of the collection.
            FileNotFoundError: The file of a row is missing and `missing` is ``"error"``.
            ValueError: The collection or split is unknown, or a table is invalid.
        """
        reader = find_reader(name)
        split = as_split(split, reader.splits)
        own = {key: options.pop(key) for key in {*options} - {*_OPTIONS}}
        own["images"] = options.get("image_dir") is None
        space = None if label_space is None else as_label_space(label_space)
        rows: Any = _Checked(reader.table(root, split, label_space=space, **own))
        return cls(rows, split=split, **options)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,), 0..K-1, places in `label_space`.

        Raises:
            RuntimeError: Some rows have no label.
        """
        codes = listed(f"{code} ({count})" for code, count in self.unplaced.items())
        no_place = f", as {self.label_space} has no place for {codes}" if codes else ""
        if self._labels is None:
            hint = "Test rows are predicted, not scored."
            got = f"none{no_place}"
            raise RuntimeError(expected("labels", "read from a table with classes", got, hint))
        without = self.table["id"][self._labels < 0]
        got = f"{len(without)} of {len(self)} rows without one ({listed(without)}){no_place}"
        hint = "Take the others: `dataset.subset(dataset.labelled)`."
        require(self.has_labels, "labels", "known for all rows", got, hint, error=RuntimeError)
        return self._labels

    @property
    def unplaced(self) -> dict[str, int]:
        """Number of rows of each diagnosis that has no place in `label_space`."""
        codes = self.table["diagnosis"]
        if self._labels is not None:
            codes = codes[self._labels < 0]
        return {str(code): int(count) for code, count in codes[codes != ""].value_counts().items()}

    @property
    def has_labels(self) -> bool:
        """Whether all rows have a label."""
        return self._labels is not None and bool((self._labels >= 0).all())

    @property
    def labelled(self) -> Indices:
        """Row numbers of the rows that have a label."""
        return np.flatnonzero([] if self._labels is None else self._labels >= 0)

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Ids (N,)."""
        return self.table["id"].to_numpy(object)

    @property
    def image_paths(self) -> npt.NDArray[np.object_]:
        """Image paths (N,), of files or of rows of a store or an HDF5 file."""
        return np.array([_unpacked(path) for path in self._image_paths], object)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Patient of each row (N,), or its lesion where that is unknown, or its id.

        Rows that share a patient or a lesion have one group. An augmented image belongs to the
        group of the image that it was made from.
        """
        return group_names(self.table)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Count the rows (K,) of each class, in the order of `label_space`.

        Rows without label count for none.

        Raises:
            RuntimeError: The table has no classes.
        """
        labels = self.labels if self._labels is None else self._labels
        return np.bincount(labels[labels >= 0], minlength=len(self.label_space)).astype(np.int64)

    def subset(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], *, split: str | None = None
    ) -> "ISICDataset":
        """Take some rows as a dataset of their own, with everything else as here.

        Args:
            indices: Row numbers, 0..N-1, in the order wanted.
            split: What these rows are for; as here where not given.

        Raises:
            TypeError: `indices` are not integers.
            IndexError: A row number is outside of the table.
        """
        rows = np.asarray(indices)
        whole = not rows.size or np.issubdtype(rows.dtype, np.integer)
        hint = "Find those of a mask with `numpy.flatnonzero`." if rows.dtype == bool else ""
        require(whole, "indices", "row numbers", f"dtype {rows.dtype}", hint, error=TypeError)
        rows = rows.astype(np.intp).reshape(-1)
        low, high = (rows.min(), rows.max()) if rows.size else (0, -1)
        what, inside = f"row numbers in 0..{len(self) - 1}", low >= 0 and high < len(self)
        require(inside, "indices", what, f"{low}..{high}", error=IndexError)
        other = copy.copy(self)
        other.split = self.split if split is None else as_split(split)
        other._take(self.table.iloc[rows].reset_index(drop=True))
        return other

    def with_transform(self, transform: Transform | None) -> "ISICDataset":
        """Return the same rows with another transform, of the form that the class asks for."""
        check_transform(transform, masks=self._with_masks)
        other = copy.copy(self)
        other.transform = transform
        return other

    def with_images(self, folder: PathLike | PreparedStore) -> "ISICDataset":
        """Return the same rows with their images from elsewhere, such as cleaned or prepared ones.

        Args:
            folder: Folder with an image for each row, named as in the class, or a store of
                `dermolib.preprocessing.prepare`; the masks stay, except that a store has its own.

        Raises:
            DatasetNotFoundError: There is no such folder.
            FileNotFoundError: A row has no image there.
            ValueError: A store is incomplete, or has no masks where samples need them.
        """
        rows = self.table.copy()
        found = find_files(rows, folder, masks=self._with_masks)
        rows["image_path"] = found.images
        if found.stored:
            rows["mask_path"] = found.masks
        hint = "Make these files, named as the ids of the rows."
        drop_missing(rows, found.place, missing="error", masks=False, hint=hint)
        other = copy.copy(self)
        other._take(rows)
        return other

    def with_augmented(self, folder: PathLike) -> "ISICDataset":
        """Append the images that offline augmentation made of these rows.

        Args:
            folder: Folder with the images and the ``manifest.csv`` of
                `dermolib.augmentation.augment_offline`.

        Returns:
            Dataset of these rows, then the augmented ones, if any; an augmented image has the group
            of the image that it was made from.

        Raises:
            DatasetNotFoundError: There is no manifest.
            FileNotFoundError: A file of the manifest is missing.
            RuntimeError: These rows are not for training, or some have no label.
            ValueError: A copy is of an image that is not among these rows, and would leak from
                another split; has another class than its original; or has the id of a row.
        """
        what, training = "'train' to take augmented images", self.split == "train"
        require(training, "split", what, repr(self.split), error=RuntimeError)
        if not self.has_labels:
            _ = self.labels  # says how many are missing, and what to do
        made = read_augmented(Path(folder), self.table, masks=self._with_masks)
        other = copy.copy(self)
        if made is not None:
            other._take(pd.concat([self.table, made], ignore_index=True))
        return other

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._ids)

    def __add__(self, other: "Dataset[dict[str, Any]]") -> "ConcatDataset[dict[str, Any]]":
        """Put the samples of another dataset behind these, as every dataset of torch does."""
        from torch.utils.data import ConcatDataset  # reading a table needs no torch

        return ConcatDataset([self, other])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one sample.

        Args:
            index: Row number, 0..N-1, or negative from the end; an integer of NumPy or a tensor of
                one too, as ``torch.utils.data.Subset(dataset, torch.randperm(N))`` passes it.

        Raises:
            IndexError: There is no such row.
            TypeError: `index` is not an integer.
            ValueError: The image or mask cannot be read, or they differ in size.
        """
        index = _row_number(index)
        if not -len(self) <= index < len(self):  # how a loop over the samples ends
            raise IndexError(expected("index", f"a row number below {len(self)}", index))
        image = load_image(_unpacked(self._image_paths[index]))
        parts: dict[str, Any] = {"image": image}
        if self._with_masks:
            height, width = image.shape[:2]
            mask_path = _unpacked(self._mask_paths[index])
            parts["mask"] = load_mask(mask_path, shape=(height, width))
        if self.transform is not None:
            parts = transformed(self.transform, parts)
        sample = {**parts, "id": _unpacked(self._ids[index])}
        if self._labels is not None and self._all_labelled:
            sample["label"] = int(self._labels[index])
        if self._metadata is not None:
            sample["metadata"] = self._metadata[index].copy()
        return sample

    def __repr__(self) -> str:
        """Say how many samples there are, of which split, and from where."""
        # One pass over the texts: a `Path` for each of 400,000 rows takes seconds
        parents = (os.path.dirname(_unpacked(path)) for path in self._image_paths)  # noqa: PTH120
        folders = list(dict.fromkeys(parents))
        where = Path(folders[0]) if folders else "nowhere"
        where = f"{where} and {len(folders) - 1:,} more" if len(folders) > 1 else where
        return printable(f"ISICDataset({len(self)} images for {self.split}, from {where})")

    def _take(self, rows: pd.DataFrame) -> None:
        rows.attrs["label_space"] = self.label_space.to_dict()
        self.table = rows
        # Worker processes share the memory of arrays; a list of texts would be copied page by page
        # as it is read, since that changes the count of references of each text
        self._ids, self._image_paths, self._mask_paths = (
            np.array([text.encode("utf-8", "surrogateescape") for text in rows[name]], np.bytes_)
            for name in ("id", "image_path", "mask_path")
        )
        self._labels = None
        if "label" in rows.columns:
            # A copy, since torch warns of arrays that cannot be written to
            self._labels = rows["label"].fillna(-1).to_numpy(np.int64, copy=True)
        self._all_labelled = self.has_labels
        self._metadata = metadata_vectors(rows) if self._with_metadata else None


def _row_number(index: Any) -> int:
    """Read an integer, of Python, NumPy or torch."""
    number = np.asarray(index)
    whole = number.ndim == 0 and number.dtype.kind in "iu"
    hint = "Take several rows with `subset`."
    require(whole, "index", "a row number", repr(index), hint, error=TypeError)
    return int(number)


def _unpacked(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")

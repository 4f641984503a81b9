"""Images, masks and metadata of the challenge as a dataset of samples."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, PathLike, check_choice, expected, listed
from dermolib.datasets.augmented import read_augmented
from dermolib.datasets.files import MAKE_FILES, find_files, locate, present
from dermolib.datasets.groups import group_names
from dermolib.datasets.metadata import metadata_vectors
from dermolib.datasets.options import Options, Read, Transform
from dermolib.datasets.packed import PackedTexts
from dermolib.datasets.readers.releases import (
    read_challenge_table,
    read_ham10000,
    read_isic2018,
    read_isic2019,
    read_isic2020,
    read_isic2024,
)
from dermolib.datasets.store import PreparedStore, load_image, load_mask
from dermolib.datasets.tables import read_table
from dermolib.labels import DIAGNOSES

__all__ = ["ISICDataset"]

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    _Base: TypeAlias = Dataset[dict[str, Any]]
else:
    _Base = object  # loaders ask for length and rows alone, and reading a table needs no torch

_SPLITS = ("train", "validation", "test")


class ISICDataset(_Base):
    """Rows of a table with their images: a map-style dataset whose samples are dictionaries.

    A sample has ``image`` (what the transform makes of it; uint8 RGB (H, W, 3) without one),
    ``label`` (0..7; absent where not all rows have one), ``id``, with ``metadata=True`` the vector
    ``metadata`` (13,), float32, and with ``masks=True`` the lesion mask ``mask``, bool (H, W).
    The order of the rows is the order of the table.

    Args:
        table: CSV file or data frame of `dermolib.datasets.read_table`, or a table of one of the
            readers, such as `dermolib.datasets.read_isic2019`, or of several, joined by
            `dermolib.datasets.merge_tables`.
        image_dir: Folder with a file ``ID.jpg``, ``ID.jpeg`` or ``ID.png`` (in any letter case, in
            this order of preference) for each row, or several such folders; a store of
            `dermolib.preprocessing.prepare`, whose masks are then those of the samples; or an HDF5
            file. None takes the paths of the table, which those of the readers have.
        transform: Called as ``transform(image=image)``, or ``transform(image=image, mask=mask)``
            with masks; what it returns replaces both. Every preset of `dermolib.augmentation` and
            every albumentations pipeline has this form.
        missing: ``"error"`` refuses a table of which an image (or a mask, with ``masks=True``)
            lacks; ``"drop"`` leaves such rows out, warns how many, and keeps their ids in
            `dropped`.
        masks: Whether samples carry the lesion mask from ``ID_seg.png`` or
            ``ID_segmentation.png``, bright for lesion.
        metadata: Whether samples carry age, sex and site, see
            `dermolib.datasets.metadata_vectors`.
        mask_dir: Folder of the masks; `image_dir` where not given.
        split: What the rows are for: ``"train"``, ``"validation"`` or ``"test"``. Only training
            rows can be augmented offline.

    Attributes:
        table: One row for each sample: the columns of `dermolib.datasets.read_table` with
            ``image_path`` and ``mask_path``. Samples do not follow changes that are made in it:
            make a dataset of the changed table.
        dropped: Ids that ``missing="drop"`` left out.
        split: What the rows are for.

    Raises:
        DatasetNotFoundError: The table or a folder does not exist.
        FileNotFoundError: Rows lack their image or mask and `missing` is ``"error"``.
        ValueError: The table is unfit, see `dermolib.datasets.read_table`.
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
    ) -> None:
        """Read the table and find the files of its rows."""
        check_choice(missing, "missing", ("error", "drop"))
        check_choice(split, "split", _SPLITS)
        # What a reader has just read need not be checked again
        given: Any = table
        rows = given.rows if isinstance(given, Read) else read_table(table)
        own = given.rows if isinstance(given, Read) else table
        place = locate(rows, own, image_dir, mask_dir, masks=masks)
        kept = present(rows, place, missing=missing, masks=masks)
        self.dropped: tuple[str, ...] = tuple(rows["id"][~kept])
        self.split = split
        self.transform = transform
        self._with_masks = masks
        self._with_metadata = metadata
        self._take(rows if kept.all() else rows[kept].reset_index(drop=True))

    @classmethod
    def from_challenge(
        cls, root: PathLike, split: str = "train", **options: Unpack[Options]
    ) -> Self:
        """Open the folder of the challenge, real or synthetic.

        Args:
            root: Folder of `dermolib.datasets.read_challenge_table`. Where ``lesion_ids.csv`` lies
                in it, rows know their lesion.
            split: ``"train"`` or ``"test"``; test rows have no label.
            options: `transform`, `missing`, `masks`, `metadata` of the class, and `image_dir`:
                where the images are to come from another folder, such as that of cleaned images, in
                which case the masks stay those of `root`; or from a store.

        Returns:
            Dataset of the rows of one side.

        Raises:
            DatasetNotFoundError: `root` does not have the layout of the challenge.
            FileNotFoundError: Rows lack their file and `missing` is ``"error"``.
            ValueError: A table is unfit.
        """
        return cls._open(read_challenge_table(root, split), split, options)

    @classmethod
    def from_ham10000(cls, root: PathLike, **options: Unpack[Options]) -> Self:
        """Open HAM10000, see `dermolib.datasets.read_ham10000` and `from_challenge`."""
        return cls._open(read_ham10000(root, images=_there(options)), "train", options)

    @classmethod
    def from_isic2018(
        cls, root: PathLike, split: str = "train", *, task: int = 3, **options: Unpack[Options]
    ) -> Self:
        """Open ISIC 2018, see `dermolib.datasets.read_isic2018` and `from_challenge`."""
        table = read_isic2018(root, split, task=task, images=_there(options))
        return cls._open(table, split, options)

    @classmethod
    def from_isic2019(
        cls, root: PathLike, split: str = "train", **options: Unpack[Options]
    ) -> Self:
        """Open ISIC 2019, see `dermolib.datasets.read_isic2019` and `from_challenge`."""
        return cls._open(read_isic2019(root, split, images=_there(options)), split, options)

    @classmethod
    def from_isic2020(
        cls, root: PathLike, split: str = "train", **options: Unpack[Options]
    ) -> Self:
        """Open ISIC 2020, see `dermolib.datasets.read_isic2020` and `from_challenge`."""
        return cls._open(read_isic2020(root, split, images=_there(options)), split, options)

    @classmethod
    def from_isic2024(
        cls, root: PathLike, split: str = "train", **options: Unpack[Options]
    ) -> Self:
        """Open ISIC 2024, see `dermolib.datasets.read_isic2024` and `from_challenge`."""
        return cls._open(read_isic2024(root, split, images=_there(options)), split, options)

    @classmethod
    def _open(cls, table: pd.DataFrame, split: str, options: Options) -> Self:
        rows: Any = Read(table)  # which only the readers of this package make
        return cls(rows, split=split, **options)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,), 0..7.

        Raises:
            RuntimeError: Some rows have no label.
        """
        if self._labels is None:
            remedy = "Test rows are predicted, not scored."
            raise RuntimeError(expected("labels", "read from a table with classes", "none", remedy))
        if not self.has_labels:
            lacking = f"{int((self._labels < 0).sum())} of {len(self)} rows without one"
            remedy = "Take the others: `dataset.subset(dataset.labelled)`."
            raise RuntimeError(expected("labels", "known for all rows", lacking, remedy))
        return self._labels

    @property
    def has_labels(self) -> bool:
        """Whether all rows have a label."""
        return self._labels is not None and bool((self._labels >= 0).all())

    @property
    def labelled(self) -> Indices:
        """Row numbers of the rows that have a label."""
        if self._labels is None:
            return np.empty(0, np.intp)
        return np.flatnonzero(self._labels >= 0)

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Ids (N,)."""
        return self.table["id"].to_numpy(object)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Patient of each row (N,), or its lesion where that is unknown, or its id.

        Rows that share a patient or a lesion have one group. An augmented image belongs to the
        group of the image that it was made from.
        """
        return group_names(self.table)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Count the rows of each diagnosis.

        Returns:
            Counts (8,) in the order of `dermolib.labels.DIAGNOSES`; rows without label are in
            none.

        Raises:
            RuntimeError: The table has no classes.
        """
        labels = self.labels if self._labels is None else self._labels
        return np.bincount(labels[labels >= 0], minlength=len(DIAGNOSES)).astype(np.int64)

    def subset(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]], *, split: str | None = None
    ) -> "ISICDataset":
        """Take some rows as a dataset of their own.

        Args:
            indices: Row numbers, 0..N-1, in the order wanted.
            split: What these rows are for; as here where not given.

        Returns:
            Dataset of these rows with everything else as here.

        Raises:
            TypeError: `indices` are not integers.
            IndexError: A row number is outside of the table.
        """
        rows = np.asarray(indices)
        if rows.size and not np.issubdtype(rows.dtype, np.integer):
            raise TypeError(expected("indices", "row numbers", f"dtype {rows.dtype}"))
        rows = rows.astype(np.intp).reshape(-1)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            what = f"row numbers in 0..{len(self) - 1}"
            raise IndexError(expected("indices", what, f"{rows.min()}..{rows.max()}"))
        other = self._copy(split=split)
        other._take(self.table.iloc[rows].reset_index(drop=True))
        return other

    def with_transform(self, transform: Transform | None) -> "ISICDataset":
        """Return the same rows with another transform."""
        other = self._copy(split=None)
        other.transform = transform
        return other

    def with_images(self, folder: PathLike | PreparedStore) -> "ISICDataset":
        """Return the same rows with their images from elsewhere, such as cleaned or prepared ones.

        Args:
            folder: Folder with an image for each row, named as in the class, or a store of
                `dermolib.preprocessing.prepare`.

        Returns:
            Dataset of these rows; the masks stay where they are, but those of a store come along.

        Raises:
            DatasetNotFoundError: There is no such folder.
            FileNotFoundError: A row has no image there.
            ValueError: A store is not done, or lacks the masks that samples carry.
        """
        rows = self.table.copy()
        found = find_files(rows, folder, masks=self._with_masks)
        rows["image_path"] = found.images
        if found.stored:
            rows["mask_path"] = found.masks
        present(rows, found.place, missing="error", masks=False, remedy=MAKE_FILES)
        other = self._copy(split=None)
        other._take(rows)
        return other

    def with_augmented(self, folder: PathLike) -> "ISICDataset":
        """Append the images that offline augmentation made of these rows.

        Args:
            folder: Folder with the images and the ``manifest.csv`` of
                `dermolib.augmentation.augment_offline`.

        Returns:
            Dataset of these rows, then the augmented ones, if any; an augmented image has the group
            of its source.

        Raises:
            DatasetNotFoundError: There is no manifest.
            FileNotFoundError: A file of the manifest lacks.
            RuntimeError: These rows are not for training, or some lack a label.
            ValueError: The manifest names a source that is not among these rows, so that its
                images would leak from another split; an image has another class than its source;
                or ids stand on both sides.
        """
        if self.split != "train":
            raise RuntimeError(
                expected("split", "'train' to take augmented images", repr(self.split))
            )
        if not self.has_labels:
            _ = self.labels  # says how many lack one, and what to do
        made = read_augmented(Path(folder), self.table, masks=self._with_masks)
        other = self._copy(split=None)
        if made is not None:
            other._take(pd.concat([self.table, made], ignore_index=True))
        return other

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one sample.

        Args:
            index: Row number, 0..N-1, or negative from the end.

        Returns:
            Sample as a dictionary, see the class.

        Raises:
            IndexError: There is no such row.
            TypeError: `index` is no integer.
            ValueError: The image or mask cannot be read, or they differ in size.
        """
        if isinstance(index, (bool, np.bool_)) or not isinstance(index, (int, np.integer)):
            remedy = "Take several rows with `subset`."
            raise TypeError(expected("index", "a row number", repr(index), remedy))
        if not -len(self) <= index < len(self):
            raise IndexError(expected("index", f"a row number below {len(self)}", index))
        image = load_image(self._image_paths[index])
        parts: dict[str, Any] = {"image": image}
        if self._with_masks:
            height, width = image.shape[:2]
            parts["mask"] = load_mask(self._mask_paths[index], shape=(height, width))
        if self.transform is not None:
            parts = _transformed(self.transform, parts)
        sample = {**parts, "id": self._ids[index]}
        if self._labels is not None and self._all_labelled:
            sample["label"] = int(self._labels[index])
        if self._metadata is not None:
            sample["metadata"] = self._metadata[index].copy()
        return sample

    def __repr__(self) -> str:
        """Say how many samples there are, of which split, and from where."""
        where = Path(self._image_paths[0]).parent if len(self) else "nowhere"
        return f"ISICDataset({len(self)} images for {self.split}, from {where})"

    def _copy(self, *, split: str | None) -> "ISICDataset":
        other = copy.copy(self)
        if split is not None:
            check_choice(split, "split", _SPLITS)
            other.split = split
        return other

    def _take(self, rows: pd.DataFrame) -> None:
        self.table = rows
        # What samples are made of lies in few arrays, which worker processes share
        self._ids = PackedTexts(rows["id"].to_numpy(object))
        self._image_paths = PackedTexts(rows["image_path"].to_numpy(object))
        self._mask_paths = PackedTexts(rows["mask_path"].to_numpy(object))
        self._labels = None
        if "label" in rows.columns:
            # A copy, since torch warns of arrays that cannot be written to
            self._labels = rows["label"].fillna(-1).to_numpy(np.int64, copy=True)
        self._all_labelled = self.has_labels
        self._metadata = metadata_vectors(rows) if self._with_metadata else None


def _there(options: Options) -> bool:
    """Tell whether the images must lie where they were published."""
    return options.get("image_dir") is None


def _transformed(transform: Transform, parts: dict[str, Any]) -> dict[str, Any]:
    made: Any = transform(**parts)
    if not isinstance(made, dict) or not parts.keys() <= made.keys():
        what = f"a function that returns a dictionary with {' and '.join(parts)}"
        got = f"the keys {listed(made)}" if isinstance(made, dict) else type(made).__name__
        remedy = "Wrap it: `lambda image: {'image': transform(image)}`."
        raise TypeError(expected("transform", what, got, remedy))
    return made

"""Images, masks and metadata of the challenge as a dataset of samples."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch.utils.data import Dataset

from dermolib._checks import DatasetNotFoundError, check_choice, expected, listed
from dermolib._types import PathLike
from dermolib.datasets.files import MAKE_FILES, find_files, present
from dermolib.datasets.tables import (
    group_names,
    metadata_vectors,
    read_challenge_table,
    read_table,
)
from dermolib.diagnoses import DIAGNOSES
from dermolib.store import PreparedStore, load_image, load_mask

__all__ = ["ISICDataset", "Transform"]

Transform = Callable[..., dict[str, Any]]
"""Called with the keywords ``image`` and, where the dataset has masks, ``mask``; returns both."""

_SPLITS = ("train", "validation", "test")


class ISICDataset(Dataset[dict[str, Any]]):
    """Rows of a table with their images: a map-style dataset whose samples are dictionaries.

    A sample has ``image`` (what the transform makes of it; uint8 RGB (H, W, 3) without one),
    ``label`` (0..7; absent in a table without classes), ``id``, with ``metadata=True`` the vector
    ``metadata`` (13,), float32, and with ``masks=True`` the lesion mask ``mask``, bool (H, W).
    The order of the rows is the order of the table.

    Args:
        table: CSV file or data frame with the challenge's columns, see
            `dermolib.datasets.read_table`.
        image_dir: Folder with a file ``ID.jpg``, ``ID.jpeg`` or ``ID.png`` (in any letter case, in
            this order of preference) for each row; or a store of `dermolib.preprocessing.prepare`,
            whose masks are then those of the samples.
        transform: Called as ``transform(image=image)``, or ``transform(image=image, mask=mask)``
            with masks; what it returns replaces both. Every preset of `dermolib.augmentation` and
            every albumentations pipeline has this form.
        missing: ``"error"`` refuses a table of which an image (or a mask, with ``masks=True``)
            lacks; ``"drop"`` leaves such rows out, warns how many, and keeps their ids in
            `dropped`.
        masks: Whether samples carry the lesion mask from ``ID_seg.png``, bright for lesion.
        metadata: Whether samples carry age, sex and site, see
            `dermolib.datasets.metadata_vectors`.
        mask_dir: Folder of the masks; `image_dir` where not given.
        split: What the rows are for: ``"train"``, ``"validation"`` or ``"test"``. Only training
            rows can be augmented offline.

    Attributes:
        table: One row for each sample: the columns of `dermolib.datasets.read_table` with
            ``image_path`` and ``mask_path``.
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
        image_dir: PathLike | PreparedStore,
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
        rows = read_table(table)
        found = find_files(rows, image_dir, mask_dir, masks=masks)
        rows["image_path"], rows["mask_path"] = found.images, found.masks
        kept = present(rows, found.place, missing=missing, masks=masks)
        self.dropped: tuple[str, ...] = tuple(rows["id"][~kept])
        self.split = split
        self.transform = transform
        self._with_masks = masks
        self._with_metadata = metadata
        self._take(rows[kept])

    @classmethod
    def from_challenge(
        cls,
        root: PathLike,
        split: str = "train",
        *,
        transform: Transform | None = None,
        missing: str = "error",
        masks: bool = False,
        metadata: bool = False,
        image_dir: PathLike | PreparedStore | None = None,
    ) -> "ISICDataset":
        """Open the folder of the challenge, real or synthetic.

        Args:
            root: Folder with ``metadataTrain.csv``, ``metadataTest.csv``, ``Train`` and ``Test``.
                Where ``lesion_ids.csv`` (ID, LESION_ID) lies beside them, rows know their lesion.
            split: ``"train"`` or ``"test"``; test rows have no label.
            transform: See the class.
            missing: See the class.
            masks: See the class.
            metadata: See the class.
            image_dir: Folder of the images where it is not the one in `root`, for example one of
                cleaned images, in which case the masks stay those in `root`; or a store.

        Returns:
            Dataset of the rows of one side.

        Raises:
            DatasetNotFoundError: `root` does not have the layout of the challenge.
            FileNotFoundError: Rows lack their file and `missing` is ``"error"``.
            ValueError: A table is unfit.
        """
        table = read_challenge_table(root, split)
        folder = Path(root) / split.capitalize()
        return cls(
            table,
            folder if image_dir is None else image_dir,
            transform=transform,
            missing=missing,
            masks=masks,
            metadata=metadata,
            mask_dir=folder,
            split=split,
        )

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels (N,), 0..7.

        Raises:
            RuntimeError: The table has no classes.
        """
        if self._labels is None:
            remedy = "Test rows are predicted, not scored."
            raise RuntimeError(expected("labels", "read from a table with classes", "none", remedy))
        return self._labels

    @property
    def has_labels(self) -> bool:
        """Whether the table has classes."""
        return self._labels is not None

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Ids (N,)."""
        return self._ids

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Lesion of each row (N,); a row of unknown lesion is a group of its own, named by its id.

        An augmented image belongs to the group of the image that it was made from.
        """
        return group_names(self.table)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Count the rows of each diagnosis.

        Returns:
            Counts (8,) in the order of `dermolib.diagnoses.DIAGNOSES`.

        Raises:
            RuntimeError: The table has no classes.
        """
        return np.bincount(self.labels, minlength=len(DIAGNOSES)).astype(np.int64)

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
        other._take(self.table.iloc[rows])
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
            RuntimeError: These rows are not for training.
            ValueError: The manifest names a source that is not among these rows, so that its
                images would leak from another split; an image has another class than its source;
                or ids stand on both sides.
        """
        folder = Path(folder)
        if self.split != "train":
            raise RuntimeError(
                expected("split", "'train' to take augmented images", repr(self.split))
            )
        if not (folder / "manifest.csv").exists():
            raise DatasetNotFoundError(folder / "manifest.csv", "the folder of augment_offline")
        if len((folder / "manifest.csv").read_text(encoding="utf-8").splitlines()) == 1:
            return self._copy(split=None)
        made = ISICDataset(folder / "manifest.csv", folder, masks=self._with_masks)
        foreign = made.table["source"][~made.table["source"].isin(self.table["id"])]
        if len(foreign):
            remedy = "Augment the training rows after the split, into a folder of their own."
            what = "a manifest whose sources are all among these rows"
            got = f"{len(foreign)} others ({listed(foreign)})"
            raise ValueError(expected(str(folder / "manifest.csv"), what, got, remedy))
        sources = pd.Index(self._ids).get_indexer(pd.Index(made.table["source"]))
        other_class = made.labels != self.labels[sources]
        if other_class.any():
            what = "a manifest whose images have the class of their source"
            ids = made.table["id"][other_class]
            raise ValueError(
                expected(str(folder / "manifest.csv"), what, f"others ({listed(ids)})")
            )
        made.table["lesion"] = self.table["lesion"].to_numpy(object)[sources]
        both = pd.concat([self.table, made.table], ignore_index=True)
        if both["id"].duplicated().any():
            twice = listed(both["id"][both["id"].duplicated()])
            raise ValueError(expected(str(folder), "a folder of new ids", f"known ones ({twice})"))
        other = self._copy(split=None)
        other._take(both)
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
            ValueError: The image or mask cannot be read, or they differ in size.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(expected("index", f"a row number below {len(self)}", index))
        image = load_image(self._image_paths[index])
        parts: dict[str, Any] = {"image": image}
        if self._with_masks:
            height, width = image.shape[:2]
            parts["mask"] = load_mask(self._mask_paths[index], shape=(height, width))
        if self.transform is not None:
            parts = _transformed(self.transform, parts)
        sample = {**parts, "id": str(self._ids[index])}
        if self._labels is not None:
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
        self.table = rows.reset_index(drop=True)
        self._ids: npt.NDArray[np.object_] = self.table["id"].to_numpy(object, copy=True)
        self._image_paths = self.table["image_path"].to_numpy(object)
        self._mask_paths = self.table["mask_path"].to_numpy(object)
        self._labels = None
        if "label" in self.table.columns:
            # A copy, since torch warns of arrays that cannot be written to
            self._labels = self.table["label"].to_numpy(np.int64, copy=True)
        self._metadata = metadata_vectors(self.table) if self._with_metadata else None


def _transformed(transform: Transform, parts: dict[str, Any]) -> dict[str, Any]:
    made: Any = transform(**parts)
    if not isinstance(made, dict) or not parts.keys() <= made.keys():
        what = f"a function that returns a dictionary with {' and '.join(parts)}"
        got = f"the keys {listed(made)}" if isinstance(made, dict) else type(made).__name__
        remedy = "Wrap it: `lambda image: {'image': transform(image)}`."
        raise TypeError(expected("transform", what, got, remedy))
    return made

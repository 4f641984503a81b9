"""The images of a run: split by lesion, prepared once for each level, copied where asked for."""

import hashlib
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from ablation_parts.grid import Cell
from dermolib import (
    ISICDataset,
    augment_offline,
    grouped_split,
    occlusion_removal,
    prepare,
    shades_of_gray,
)
from dermolib._validation import Image, Indices
from dermolib.augmentation import Preset
from dermolib.datasets import metadata_vectors
from dermolib.datasets.store import PreparedStore
from dermolib.training.sampling import sample_weights

__all__ = ["FACTORS_OF_COPIES", "Challenge", "Drawn", "order_of"]

FACTORS_OF_COPIES = {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3}
"""Factors of the paper's Figure 5."""

_STEPS: dict[str, list[Any]] = {
    "none": [],
    "luv": [partial(occlusion_removal, method="luv")],
    "default": [occlusion_removal],
}


class Drawn(Dataset[dict[str, Any]]):
    """Images in memory, as many times and in the order that is wanted."""

    def __init__(
        self,
        images: Image,
        table: Any,
        transform: Preset,
        *,
        order: Indices | None = None,
        metadata: bool = False,
    ) -> None:
        """Look up labels and metadata."""
        self.transform = transform
        self._images = images
        self._order = np.arange(len(images)) if order is None else order
        self.labels: npt.NDArray[np.int64] = table["label"].to_numpy(np.int64)[self._order]
        self._metadata = metadata_vectors(table) if metadata else None

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self._order)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """Draw one sample."""
        row = self._order[place]
        image = self.transform(image=self._images[row])["image"]
        sample = {"image": image, "label": int(self.labels[place])}
        if self._metadata is not None:
            sample["metadata"] = self._metadata[row]
        return sample


def order_of(
    labels: npt.NDArray[np.int64], places: int, *, balanced: bool, seed: int
) -> npt.NDArray[np.intp]:
    """Choose which image stands at each place of a run."""
    generator = np.random.default_rng([seed, 1])
    if balanced:
        return generator.choice(len(labels), places, p=sample_weights(labels))
    rounds = -(-places // len(labels))
    return np.concatenate([generator.permutation(len(labels)) for _ in range(rounds)])[:places]


class Challenge:
    """The training images of a challenge in two sides that share no lesion."""

    def __init__(
        self,
        data: Path,
        output: Path,
        *,
        image_size: int,
        held_out: float,
        split_seed: int,
        workers: int = 1,
    ) -> None:
        """Read the table and split it."""
        inside = data / "isic_challenge"
        self._root = inside if inside.is_dir() else data
        self._output = output
        self._size = image_size
        self._workers = workers
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Left out rows")  # the table says how many there are
            dataset = ISICDataset.from_challenge(self._root, missing="drop")
        train, held = grouped_split(dataset, fractions=(1 - held_out, held_out), seed=split_seed)
        self.train = dataset.subset(train)
        self.validation = dataset.subset(held, split="validation")
        self._kept: tuple[tuple[str, str], tuple[Image, Image]] | None = None

    def facts(self) -> dict[str, Any]:
        """Return what tells these sides from others, as plain values."""
        sides = {"train": self.train, "validation": self.validation}
        facts: dict[str, Any] = {}
        for name, side in sides.items():
            rows = zip(side.ids, side.groups, side.labels, strict=True)
            text = "\n".join(f"{id_} {group} {label}" for id_, group, label in rows)
            facts[name] = {
                "images": len(side),
                "lesions": len(set(side.groups)),
                "classes": side.class_counts().tolist(),
                "digest": hashlib.sha256(text.encode()).hexdigest()[:16],
            }
        return facts

    def training_set(self, cell: Cell, transform: Preset, *, places: int, seed: int) -> Drawn:
        """Put together what one run trains on."""
        images, _ = self._images(cell)
        table = self.train.table
        if cell.augmentation == "paper-offline":
            images, table = self._with_copies(cell, images, seed)
        labels = table["label"].to_numpy(np.int64)
        order = order_of(labels, places, balanced=cell.balancing == "sampler", seed=seed)
        return Drawn(images, table, transform, order=order, metadata=cell.metadata == "on")

    def validation_set(self, cell: Cell, transform: Preset) -> Drawn:
        """Put together what one run is scored on, in the order of the validation side."""
        _, images = self._images(cell)
        return Drawn(images, self.validation.table, transform, metadata=cell.metadata == "on")

    def _images(self, cell: Cell) -> tuple[Image, Image]:
        """Read the images of both sides, unless they are those that were read last."""
        key = (cell.hair, cell.constancy)
        if self._kept is None or self._kept[0] != key:
            store = self._store(cell)
            sides = (self.train, self.validation)
            first, second = (_stacked(side.with_images(store)) for side in sides)
            self._kept = (key, (first, second))
        return self._kept[1]

    def _store(self, cell: Cell) -> PreparedStore:
        steps = [*_STEPS[cell.hair], *([shades_of_gray] if cell.constancy == "on" else [])]
        return prepare(
            self._root / "Train",
            self._output / "stores" / f"{cell.hair}_{cell.constancy}",
            steps=steps,
            image_size=self._size,
            workers=self._workers,
            progress=sys.stderr.isatty(),
        )

    def _with_copies(self, cell: Cell, images: Image, seed: int) -> tuple[Image, Any]:
        """Append the copies of rare classes, drawn anew for each seed."""
        folder = self._output / "copies" / f"{cell.hair}_{cell.constancy}_seed{seed}"
        train = self.train.with_images(self._store(cell))
        augment_offline(
            train,
            folder,
            factors=FACTORS_OF_COPIES,
            preset="paper",
            seed=seed,
            workers=self._workers,
            held_out=self.validation,
            progress=sys.stderr.isatty(),
        )
        both = train.with_augmented(folder)
        copies = [both[row]["image"] for row in range(len(train), len(both))]
        return np.concatenate([images, *(copy[None] for copy in copies)]), both.table


def _stacked(dataset: ISICDataset) -> Image:
    return np.stack([dataset[row]["image"] for row in range(len(dataset))])

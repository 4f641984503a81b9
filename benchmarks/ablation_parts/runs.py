"""Which runs there are, and one run: images prepared, a network trained, and its predictions."""

import hashlib
import itertools
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from dermolib import (
    ISICDataset,
    MetadataFusion,
    Trainer,
    augment_offline,
    build_model,
    grouped_split,
    input_settings,
    occlusion_removal,
    prepare,
    preset,
    shades_of_gray,
)
from dermolib._validation import Image, Indices, check_choice
from dermolib.augmentation import Preset
from dermolib.datasets import metadata_vectors
from dermolib.training.sampling import sample_weights

__all__ = ["FACTORS", "Cell", "Challenge", "Recipe", "cells_of", "train"]

FACTORS: dict[str, tuple[str, ...]] = {
    "hair": ("none", "luv", "default"),
    "augmentation": ("none", "light", "paper", "paper-offline"),
    "balancing": ("sampler", "weights"),
    "constancy": ("off", "on"),
    "metadata": ("off", "on"),
}
"""Name of each factor to its levels; a difference is that of a later level and an earlier one."""

_COPIES = {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3}  # factors of the paper's Figure 5
_HAIR: dict[str, list[Any]] = {
    "none": [],
    "luv": [partial(occlusion_removal, method="luv")],
    "default": [occlusion_removal],
}


class Cell(NamedTuple):
    """One level of each factor, see `FACTORS`."""

    hair: str
    augmentation: str
    balancing: str
    constancy: str = "off"
    metadata: str = "off"


def cells_of(
    levels: Mapping[str, Sequence[str]], base: Cell, extras: Iterable[str] = ()
) -> list[Cell]:
    """List the cells of a full grid, and those that differ from a base cell in one factor alone."""
    for factor, known in FACTORS.items():
        check_choice(getattr(base, factor), factor, known)
    grid = list(itertools.starmap(Cell, itertools.product(*(levels[f] for f in FACTORS))))
    grid += [base._replace(**{factor: level}) for factor in extras for level in FACTORS[factor]]
    return list(dict.fromkeys(grid))


@dataclass(frozen=True)
class Recipe:
    """What all runs have in common."""

    model: str
    weights: str | None
    image_size: int
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    gradient_clip: float
    device: str
    precision: str


class InMemory(Dataset[dict[str, Any]]):
    """Images in memory, as many times and in the order that is wanted."""

    def __init__(
        self, images: Image, table: Any, transform: Preset, *, order: Indices, metadata: bool
    ) -> None:
        """Look up labels and metadata."""
        self.transform = transform
        self.labels: npt.NDArray[np.int64] = table["label"].to_numpy(np.int64)[order]
        self._images, self._order = images, order
        self._metadata = metadata_vectors(table) if metadata else None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Draw one sample."""
        row = self._order[index]
        image = self.transform(image=self._images[row])["image"]
        sample = {"image": image, "label": int(self.labels[index])}
        return sample if self._metadata is None else {**sample, "metadata": self._metadata[row]}


class Challenge:
    """The training images of a challenge in two splits that share no lesion."""

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
        self._output, self._size = output, image_size
        self._options: dict[str, Any] = {"workers": workers, "progress": sys.stderr.isatty()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Left out rows")  # the table says how many there are
            dataset = ISICDataset.from_challenge(self._root, missing="drop")
        train, held = grouped_split(dataset, fractions=(1 - held_out, held_out), seed=split_seed)
        self.train = dataset.subset(train)
        self.validation = dataset.subset(held, split="validation")
        self._kept: tuple[tuple[str, str], tuple[Image, Image]] | None = None

    def facts(self) -> dict[str, Any]:
        """Return what tells these splits from others, as plain values."""
        facts: dict[str, Any] = {}
        for name, split in (("train", self.train), ("validation", self.validation)):
            rows = zip(split.ids, split.groups, split.labels, strict=True)
            text = "\n".join(f"{id_} {group} {label}" for id_, group, label in rows)
            facts[name] = {
                "images": len(split),
                "lesions": len(set(split.groups)),
                "classes": split.class_counts().tolist(),
                "digest": hashlib.sha256(text.encode()).hexdigest()[:16],
            }
        return facts

    def training_set(self, cell: Cell, transform: Preset, *, count: int, seed: int) -> InMemory:
        """Put together the images that one run trains on, each time that it sees one."""
        images, table = self._images(cell)[0], self.train.table
        if cell.augmentation == "paper-offline":
            images, table = self._with_copies(cell, images, seed)
        labels, generator = table["label"].to_numpy(np.int64), np.random.default_rng([seed, 1])
        if cell.balancing == "sampler":
            order = generator.choice(len(labels), count, p=sample_weights(labels))
        else:
            rounds = -(-count // len(labels))
            order = np.concatenate([generator.permutation(len(labels)) for _ in range(rounds)])
        metadata = cell.metadata == "on"
        return InMemory(images, table, transform, order=order[:count], metadata=metadata)

    def validation_set(self, cell: Cell, transform: Preset) -> InMemory:
        """Put together what one run is scored on, in the order of the validation split."""
        images, table = self._images(cell)[1], self.validation.table
        order, metadata = np.arange(len(images)), cell.metadata == "on"
        return InMemory(images, table, transform, order=order, metadata=metadata)

    def _images(self, cell: Cell) -> tuple[Image, Image]:
        """Read the images of both splits, unless they are those that were read last."""
        key = (cell.hair, cell.constancy)
        if self._kept is None or self._kept[0] != key:
            store = self._store(cell)
            both = (split.with_images(store) for split in (self.train, self.validation))
            first, second = (_stacked(one, range(len(one))) for one in both)
            self._kept = (key, (first, second))
        return self._kept[1]

    def _store(self, cell: Cell) -> Any:
        steps = [*_HAIR[cell.hair], *([shades_of_gray] if cell.constancy == "on" else [])]
        folder = self._output / "stores" / f"{cell.hair}_{cell.constancy}"
        options = {"steps": steps, "image_size": self._size, **self._options}
        return prepare(self._root / "Train", folder, **options)

    def _with_copies(self, cell: Cell, images: Image, seed: int) -> tuple[Image, Any]:
        """Append the copies of rare classes, drawn again for each seed."""
        folder = self._output / "copies" / f"{cell.hair}_{cell.constancy}_seed{seed}"
        train = self.train.with_images(self._store(cell))
        options = {"preset": "paper", "seed": seed, "held_out": self.validation, **self._options}
        augment_offline(train, folder, factors=_COPIES, **options)
        both = train.with_augmented(folder)
        return np.concatenate([images, _stacked(both, range(len(train), len(both)))]), both.table


def _stacked(dataset: ISICDataset, rows: Iterable[int]) -> Image:
    return np.stack([dataset[row]["image"] for row in rows])


def train(
    challenge: Challenge, recipe: Recipe, cell: Cell, seed: int, *, workers: int = 0
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Train one network; give the probabilities of its last weights, and what else is of interest.

    The images are those of the validation split, in its order.
    """
    started = time.perf_counter()
    extra = {"image_size": recipe.image_size} if recipe.model == "custom_cnn" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(recipe.model, weights=recipe.weights, **extra)
        model = MetadataFusion(model) if cell.metadata == "on" else model
    options: dict[str, Any] = {"image_size": recipe.image_size}
    options |= input_settings(model).normalization
    online = cell.augmentation if cell.augmentation in ("light", "paper") else "evaluation"
    transform, count = preset(online, seed=seed, **options), recipe.steps * recipe.batch_size
    training = challenge.training_set(cell, transform, count=count, seed=seed)
    validation = challenge.validation_set(cell, preset("evaluation", **options))
    prepared = time.perf_counter()
    trainer = Trainer(
        model,
        optimizer="adamw",
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        schedule="onecycle",
        gradient_clip=recipe.gradient_clip,
        epochs=1,
        batch_size=recipe.batch_size,
        workers=workers,
        class_weights="balanced" if cell.balancing == "weights" else None,
        device=recipe.device,
        precision=recipe.precision,
        seed=seed,
        progress=False,
    )
    with warnings.catch_warnings():
        # A small data set may lack a class, which is no news after the first run
        warnings.filterwarnings("ignore", "The training set has no image of")
        history = trainer.fit(training)
    probabilities = trainer.predict(validation).numpy()
    return probabilities, {
        "seconds": round(time.perf_counter() - prepared, 2),
        "preparation_seconds": round(prepared - started, 2),
        "train_loss": history.rows[-1]["train_loss"],
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "drawn_classes": np.bincount(training.labels, minlength=probabilities.shape[1]).tolist(),
    }

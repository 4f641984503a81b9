"""One run: a network built, trained for a fixed number of steps, and asked about the other side."""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ablation_parts.grid import Cell
from ablation_parts.images import Challenge
from dermolib import Trainer, build_model, preset
from dermolib.models.fusion import MetadataFusion
from dermolib.models.settings import input_settings

__all__ = ["Recipe", "Run", "train"]


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


@dataclass(frozen=True)
class Run:
    """What came out of one run."""

    cell: Cell
    seed: int
    probabilities: npt.NDArray[np.float32]
    facts: dict[str, Any]


def train(challenge: Challenge, recipe: Recipe, cell: Cell, seed: int, *, workers: int = 0) -> Run:
    """Train one network; the weights of the last step are those that are scored."""
    started = time.perf_counter()
    model = _model(recipe, cell, seed)
    options: dict[str, Any] = {
        "image_size": recipe.image_size,
        **input_settings(model).normalization,
    }
    online = {"light": "light", "paper": "paper"}.get(cell.augmentation, "evaluation")
    places = recipe.steps * recipe.batch_size
    training = challenge.training_set(
        cell, preset(online, seed=seed, **options), places=places, seed=seed
    )
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
    facts = {
        "seconds": round(time.perf_counter() - prepared, 2),
        "preparation_seconds": round(prepared - started, 2),
        "train_loss": history.rows[-1]["train_loss"],
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "drawn_classes": np.bincount(training.labels, minlength=probabilities.shape[1]).tolist(),
    }
    return Run(cell, seed, probabilities, facts)


def _model(recipe: Recipe, cell: Cell, seed: int) -> nn.Module:
    extra = {"image_size": recipe.image_size} if recipe.model == "custom_cnn" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(recipe.model, weights=recipe.weights, **extra)
        return MetadataFusion(model) if cell.metadata == "on" else model

"""What a run is, in plain values: checkpoints hold them, and unfinished runs are known by them."""

import hashlib
from typing import Any

import numpy as np
from torch import nn

from dermolib.training.balance import Balance
from dermolib.training.engine import Place
from dermolib.training.loaders import attribute_of
from dermolib.training.recipe import Recipe, RunOptions

__all__ = ["configuration", "training_set"]


def configuration(
    model: nn.Module,
    recipe: Recipe,
    balance: Balance,
    place: Place,
    options: RunOptions,
) -> dict[str, Any]:
    """Describe what decides, besides the images, how a run ends.

    Args:
        model: Model.
        recipe: How it is trained.
        balance: What is done about classes of different size.
        place: Where it computes.
        options: Options of the run.

    Returns:
        Plain values by name.
    """
    return {
        **recipe.plain(),
        **balance.plain(),
        "model": getattr(model, "architecture", None) or type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": options.epochs,
        "early_stopping": options.early_stopping,
        "batch_size": options.batch_size,
        "devices": [str(place.devices), place.num_nodes, str(place.strategy)],
        "precision": place.precision,
        "seed": options.seed,
    }


def training_set(data: Any) -> dict[str, Any]:
    """Describe a training set by plain values, so that a run goes on with the same one alone.

    Args:
        data: What `Trainer.fit` is given.

    Returns:
        Number of rows or batches, and digests of the ids and labels, where there are any.
    """
    facts: dict[str, Any] = {"rows": len(data)}
    for name in ("ids", "labels"):
        values = attribute_of(data, name)
        if values is not None:
            text = "\n".join(map(str, np.asarray(values).tolist()))
            facts[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return facts

"""What a run is, in plain values: checkpoints hold them, and unfinished runs are known by them."""

import hashlib
from typing import Any

import numpy as np
from torch import nn

from dermolib.datasets.loaders import EpochSampler
from dermolib.training.balance import Balance
from dermolib.training.engine import Place
from dermolib.training.loaders import attribute_of, innermost
from dermolib.training.recipe import Recipe, RunOptions

__all__ = ["configuration", "data_sets"]


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
        "layers": _digest(
            str([(name, tuple(value.shape)) for name, value in model.state_dict().items()])
        ),
        "epochs": options.epochs,
        "early_stopping": options.early_stopping,
        "batch_size": options.batch_size,
        "devices": [str(place.devices), place.num_nodes, str(place.strategy)],
        "precision": place.precision,
        "seed": options.seed,
    }


def data_sets(train: Any, validation: Any) -> dict[str, Any]:
    """Describe the images by plain values, so that a run goes on with the same ones alone.

    Args:
        train: What `Trainer.fit` is given.
        validation: The same; or None.

    Returns:
        For each set the number of rows or batches; digests of the ids, labels and soft labels,
        where it tells them; the transforms, where they say in words what they do; and for a loader
        whose order is known what decides it.
    """
    return {"training set": _data_set(train), "validation set": _data_set(validation)}


def _data_set(data: Any) -> dict[str, Any] | None:
    if data is None:
        return None
    facts: dict[str, Any] = {"rows": len(data)}
    for name in ("ids", "labels", "soft_labels"):
        values = attribute_of(data, name)
        if values is not None:
            facts[name] = _digest("\n".join(map(str, np.asarray(values).tolist())))
    for holder, name in ((innermost(data), "transform"), (data, "augment")):
        words = repr(getattr(holder, name, None))
        if " at 0x" not in words:  # an address is another one in each process
            facts[name] = words
    sampler = getattr(data, "sampler", None)
    if isinstance(sampler, EpochSampler):
        odds = sampler.sampling_weights
        facts["batch_size"] = getattr(data, "batch_size", None)
        facts["seed"], facts["shuffle"] = int(sampler.seed), bool(sampler.shuffle)
        facts["sample_weights"] = None if odds is None else _digest(str(odds.tolist()))
    return facts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

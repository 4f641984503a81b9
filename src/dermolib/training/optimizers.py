"""Which parameters learn, how fast, and by which optimiser and schedule."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dermolib._validation import expected, listed
from dermolib.training.recipe import Recipe

__all__ = ["frozen", "frozen_modules", "make_optimizer", "make_schedule", "parameter_groups"]


@contextmanager
def frozen(model: nn.Module, beginnings: Sequence[str]) -> Iterator[None]:
    """Keep parameters from learning for the length of the block.

    Args:
        model: Model; its parameters learn again afterwards where they did before.
        beginnings: Beginnings of names: ``"features.1"`` is that layer, and no ``"features.10"``.

    Raises:
        ValueError: A beginning fits no parameter, or none is left to learn.
    """
    named = list(model.named_parameters())
    _check_known([name for name, _ in named], "freeze", beginnings)
    held = [
        parameter
        for name, parameter in named
        if parameter.requires_grad and any(_begins(name, given) for given in beginnings)
    ]
    if held and len(held) == sum(parameter.requires_grad for _, parameter in named):
        what = "some parameters left to learn"
        raise ValueError(expected("freeze", what, f"all {len(held)} of them frozen"))
    modes = [(module, module.training) for module in frozen_modules(model, beginnings)]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode


def frozen_modules(model: nn.Module, beginnings: Sequence[str]) -> list[nn.Module]:
    """List the modules below these names, whose statistics and drop-out stand still as well."""
    return [
        module
        for name, module in model.named_modules()
        if name and any(_begins(name, given) for given in beginnings)
    ]


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Group the parameters that learn by learning rate and weight decay.

    Vectors (biases, and the scales of normalisation) decay under no recipe. The layers of
    `layer_decay` are those by which timm orders its networks; else each with a matrix is one.

    Args:
        model: Model.
        recipe: Recipe of the run.

    Returns:
        Groups as `torch.optim` takes them.

    Raises:
        ValueError: A name of `layer_rates` begins no parameter, or nothing learns.

    References:
        Howard and Ruder, Universal language model fine-tuning, 2018,
        https://doi.org/10.18653/v1/P18-1031, for rates that fall with depth.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        what = "a model with parameters that learn"
        raise ValueError(expected("model", what, "one whose `requires_grad` are all False"))
    _check_learning(model, recipe.layer_rates)
    _check_known([name for name, _ in named], "layer_rates", recipe.layer_rates)
    scales = _layer_scales(model, recipe.layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        scale = _factor(name, recipe.layer_rates) * scales.get(id(parameter), 1.0)
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": recipe.learning_rate * scale, "weight_decay": decay}
        for (scale, decay), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def make_optimizer(
    model: nn.Module, recipe: Recipe, *, fused: bool = False
) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe.

    Args:
        model: Model, on its device.
        recipe: Recipe of the run.
        fused: Whether a step is one kernel, where the device has it: several times as quick for
            a network of many weights. Not for gradients that are scaled or in pieces.
    """
    groups = parameter_groups(model, recipe)
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    fused = fused and devices <= {"cpu", "cuda"}
    rate = recipe.learning_rate
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=rate, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """Make the schedule of a recipe, a step of it for each step of the optimiser.

    Args:
        optimizer: Optimiser.
        recipe: Recipe of the run.
        steps: Steps of the whole run.

    Returns:
        Schedule; None where the rate stays.

    References:
        Smith and Topin, Super-convergence, 2019, https://doi.org/10.1117/12.2520589 (one cycle);
        Loshchilov and Hutter, SGDR, 2017, https://doi.org/10.48550/arXiv.1608.03983 (cosine).
    """
    if recipe.schedule == "constant" and recipe.rise == 0:
        return None
    if recipe.schedule == "onecycle":
        # torch divides by the length of the rise, counted from the first step to the highest
        flat = recipe.rise * steps == 1
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=steps,
            pct_start=recipe.rise * (1 - 1e-6) if flat else float(recipe.rise),
            cycle_momentum=False,
        )
    rising = math.ceil(recipe.rise * steps)
    falls = recipe.schedule == "cosine"

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = (step - rising) / max(1, steps - rising)
        return (1 + math.cos(math.pi * done)) / 2 if falls else 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _begins(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning}.")


def _check_known(
    names: list[str], option: str, beginnings: Sequence[str] | Mapping[str, Any]
) -> None:
    lost = [given for given in beginnings if not any(_begins(name, given) for name in names)]
    if lost:
        tops = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
        what = f"beginnings of the model's parameters, such as {listed(tops)}"
        raise ValueError(expected(option, what, listed(map(repr, lost))))


def _check_learning(model: nn.Module, rates: Mapping[str, float]) -> None:
    for given in rates:
        below = [p.requires_grad for name, p in model.named_parameters() if _begins(name, given)]
        if below and not any(below):
            what = "factors for parameters that learn"
            got = f"one for {given!r}, which is frozen"
            remedy = "Leave it out here, or out of `freeze`."
            raise ValueError(expected("layer_rates", what, got, remedy))


def _factor(name: str, rates: Mapping[str, float]) -> float:
    """Find the factor of the longest beginning that fits."""
    fitting = [given for given in rates if _begins(name, given)]
    return float(rates[max(fitting, key=len)]) if fitting else 1.0


def _layer_scales(model: nn.Module, decay: float) -> dict[int, float]:
    if decay == 1:
        return {}
    ordered = next((part for part in model.modules() if hasattr(part, "group_matcher")), None)
    if ordered is None:
        depths = _depths(model)
        return {key: decay ** (max(depths.values()) - depth) for key, depth in depths.items()}
    # Seconds to import, and needed for this option alone
    from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # it is public, and not marked so

    groups = param_groups_layer_decay(ordered, layer_decay=decay)
    return {id(p): float(group["lr_scale"]) for group in groups for p in group["params"]}


def _depths(model: nn.Module) -> dict[int, int]:
    """Count the layers before each parameter; normalisation belongs to the layer before it."""
    depths: dict[int, int] = {}
    depth, layer = 0, ""
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        if parameter.ndim > 1 and owner != layer:
            depth, layer = depth + 1, owner
        depths[id(parameter)] = depth
    return depths

"""Optimizers, schedules of the learning rate, and which parameters learn how fast."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from dermolib._validation import listed, require
from dermolib.training.checkpoint import without_numpy

__all__ = [
    "OPTIMIZERS",
    "WARMUP",
    "frozen",
    "frozen_modules",
    "make_optimizer",
    "make_schedule",
]

WARMUP = {"onecycle": 0.25, "cosine": 0.05, "constant": 0.0}
"""Schedules by name, with the fraction of the steps in which the rate rises by default."""

OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Any, bool], torch.optim.Optimizer]] = {
    "adamw": lambda groups, options, fused: torch.optim.AdamW(
        groups, lr=options.learning_rate, fused=fused
    ),
    "sgd": lambda groups, options, fused: torch.optim.SGD(
        groups, lr=options.learning_rate, momentum=options.momentum, fused=fused
    ),
}
"""Optimizers by name, made of parameter groups, the `TrainerOptions` and whether to fuse."""


@contextmanager
def frozen(model: nn.Module, prefixes: Collection[str]) -> Iterator[None]:
    """Keep the parameters with these prefixes from learning inside the block."""
    named = list(model.named_parameters())
    _check_prefixes(model, "freeze", prefixes)
    held = [
        parameter
        for name, parameter in named
        if parameter.requires_grad and _matching(name, prefixes)
    ]
    learning = sum(parameter.requires_grad for _, parameter in named)
    some = not held or len(held) < learning
    require(some, "freeze", "some parameters left to learn", f"all {len(held)} of them frozen")
    modes = [(module, module.training) for module in frozen_modules(model, prefixes)]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode


def frozen_modules(model: nn.Module, prefixes: Collection[str]) -> list[nn.Module]:
    """List the modules with these prefixes, whose statistics and drop-out are fixed as well."""
    return [module for name, module in model.named_modules() if _matching(name, prefixes)]


def make_optimizer(model: nn.Module, options: Any, *, fused: bool = False) -> torch.optim.Optimizer:
    """Make the optimizer of `TrainerOptions`.

    A fused step is one kernel, several times as fast for a network of many weights; it does not
    work for scaled or sharded gradients.
    """
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    got = "one whose parameters are all frozen (`requires_grad` is False)"
    require(learning, "model", "a model with parameters that learn", got)
    _check_prefixes(model, "layer_rates", options.layer_rates)
    for prefix in options.layer_rates:
        what, got = "factors for parameters that learn", f"one for {prefix!r}, which is frozen"
        hint = "Leave it out here, or out of `freeze`."
        require(any(_matching(n, [prefix]) for n in learning), "layer_rates", what, got, hint)
    layers = _layer_factors(model, options.layer_decay)
    factors = {
        id(p): _rate_factor(name, options.layer_rates) * layers.get(id(p), 1.0)
        for name, p in learning.items()
    }
    if not isinstance(options.optimizer, str):
        return _users_optimizer(options.optimizer, list(learning.values()), factors)
    fused = fused and {p.device.type for p in learning.values()} <= {"cpu", "cuda"}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for p in learning.values():
        decay = options.weight_decay if p.ndim > 1 else 0.0
        groups.setdefault((factors[id(p)], decay), []).append(p)
    given = [
        {"params": group, "lr": options.learning_rate * factor, "weight_decay": decay}
        for (factor, decay), group in sorted(groups.items(), key=lambda item: item[0])
    ]
    return OPTIMIZERS[options.optimizer](given, options, fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, options: Any, steps: int
) -> dict[str, Any] | None:
    """Make the schedule of `TrainerOptions` for a run of so many steps, as Lightning takes it.

    References:
        Smith and Topin, Super-convergence, 2019, https://doi.org/10.1117/12.2520589 (one cycle);
        Loshchilov and Hutter, SGDR, 2017, https://doi.org/10.48550/arXiv.1608.03983 (cosine).
    """
    schedule = options.schedule
    if not isinstance(schedule, str):
        made = schedule(optimizer)
        config = made if isinstance(made, dict) else {"scheduler": made, "interval": "epoch"}
        found = config.get("scheduler")
        fits = isinstance(found, LRScheduler) and not isinstance(found, ReduceLROnPlateau)
        what = "a callable that returns a torch scheduler which needs no metric"
        got = f"{schedule!r}, which returned {made!r}"
        require(fits, "schedule", what, got, error=TypeError)
        # From the start, since a resumed run has Python's numbers, which NumPy's may round unlike
        own = {name: value for name, value in vars(found).items() if name != "optimizer"}
        vars(found).update(without_numpy(own))
        _drop_numpy(optimizer)
        return config
    warmup = WARMUP[schedule] if options.warmup is None else float(options.warmup)
    if schedule == "constant" and warmup == 0:
        return None
    if schedule == "onecycle":
        return {"scheduler": _one_cycle(optimizer, warmup, steps), "interval": "step"}
    rising = math.ceil(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = (step - rising) / max(1, steps - rising)
        return (1 + math.cos(math.pi * done)) / 2 if schedule == "cosine" else 1.0

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def _one_cycle(optimizer: torch.optim.Optimizer, warmup: float, steps: int) -> OneCycleLR:
    # torch divides by the steps from the first to the highest rate, which must not be 0
    fraction = warmup * (1 - 1e-6) if warmup * steps == 1 else warmup
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=fraction, cycle_momentum=False)


def _users_optimizer(
    make: Callable[[Any], torch.optim.Optimizer],
    parameters: list[nn.Parameter],
    factors: dict[int, float],
) -> torch.optim.Optimizer:
    """Make a user's optimizer, and scale the learning rates that it has chosen."""
    groups: dict[float, list[nn.Parameter]] = {}
    for p in parameters:
        groups.setdefault(factors[id(p)], []).append(p)
    grouped = [{"params": group} for group in groups.values()]
    optimizer = make(parameters if len(grouped) == 1 else grouped)
    what = "a callable that returns a torch.optim.Optimizer"
    got = f"{make!r}, which returned {optimizer!r}"
    fits = isinstance(optimizer, torch.optim.Optimizer)
    require(fits, "optimizer", what, got, error=TypeError)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    what = "a callable whose optimizer has exactly the parameters given to it"
    got, hint = f"{make!r}, whose optimizer has others", "Fix parameters with `freeze`."
    require(sorted(held) == sorted(map(id, parameters)), "optimizer", what, got, hint)
    for group in optimizer.param_groups:
        scales = {factors[id(p)] for p in group["params"]}
        what = "a callable that keeps the groups of `layer_rates` and `layer_decay` apart"
        got = f"{make!r}, which put several of them into one"
        require(len(scales) <= 1, "optimizer", what, got, "Pass the groups on as they are.")
        group["lr"] = group["lr"] * max(scales, default=1.0)
    _drop_numpy(optimizer)
    return optimizer


def _drop_numpy(optimizer: torch.optim.Optimizer) -> None:
    """Turn the numbers of NumPy in the groups of an optimizer into Python's own."""
    for group in optimizer.param_groups:
        own = {name: value for name, value in group.items() if name != "params"}
        group.update(without_numpy(own))


def _matching(name: str, prefixes: Collection[str]) -> list[str]:
    """List the prefixes of a name that are whole parts of it."""
    return [prefix for prefix in prefixes if f"{name}.".startswith(f"{prefix}.")]


def _check_prefixes(model: nn.Module, option: str, prefixes: Collection[str]) -> None:
    names = [name for name, _ in model.named_parameters()]
    unknown = [one for one in prefixes if not any(_matching(name, [one]) for name in names)]
    tops = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    what = f"prefixes of the model's parameter names, such as {listed(tops)}"
    require(not unknown, option, what, listed(map(repr, unknown)))


def _rate_factor(name: str, rates: dict[str, float]) -> float:
    """Find the factor of the longest matching prefix."""
    matching = _matching(name, rates)
    return float(rates[max(matching, key=len)]) if matching else 1.0


def _layer_factors(model: nn.Module, decay: float) -> dict[int, float]:
    """Find the factor of each parameter by its layer, the last one having 1."""
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
    """Count the layers before each parameter; normalization belongs to the layer before it."""
    depths: dict[int, int] = {}
    depth, layer = 0, ""
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        if parameter.ndim > 1 and owner != layer:
            depth, layer = depth + 1, owner
        depths[id(parameter)] = depth
    return depths

"""Optimizers, layer-wise learning rates, frozen layers and schedules."""

import math
import re
from typing import Any

import pytest
import torch
from colors import Colors, trainer, weights
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dermolib import MetadataFusion, build_model

# The optimizer and schedule that `fit` uses, which it does not show
from dermolib.training.optimizers import frozen, make_optimizer, make_schedule


class Layered(nn.Module):
    """Layers of which one name begins another."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.ModuleDict(
                {"1": nn.Conv2d(3, 4, 3), "10": nn.Conv2d(4, 4, 3), "norm": nn.BatchNorm2d(4)}
            )
            self.head = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.features["norm"](self.features["10"](self.features["1"](image)))
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


def settings(model: nn.Module, name: str, **options: Any) -> dict[str, float]:
    """Find a setting of the optimizer for each parameter, which is in one group, by name."""
    fitted = trainer(model, **{"learning_rate": 1.0, "weight_decay": 0.1, **options})
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    groups = make_optimizer(model, fitted).param_groups
    found = [(names[id(p)], group[name]) for group in groups for p in group["params"]]
    assert sorted(key for key, _ in found) == sorted(names.values())
    return dict(found)


def test_the_optimizer_is_that_of_its_name() -> None:
    for name, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
        assert type(make_optimizer(Layered(), trainer(optimizer=name))) is kind
    assert set(settings(Layered(), "momentum", momentum=0.7).values()) == {0.7}


def test_vectors_do_not_decay() -> None:
    decays = settings(Layered(), "weight_decay")

    decaying = {name for name, decay in decays.items() if decay}
    assert decaying == {"features.1.weight", "features.10.weight", "head.weight"}


def test_the_longest_prefix_of_whole_names_decides_the_rate() -> None:
    factors = {"features": 0.1, "features.1": 0.5, "head.bias": 2.0}

    found = settings(Layered(), "lr", layer_rates=factors)

    rates = {"features.1": 0.5, "features.10": 0.1, "features.norm": 0.1}
    wanted = {f"{n}.{part}": rate for n, rate in rates.items() for part in ("weight", "bias")}
    assert found == pytest.approx({**wanted, "head.weight": 1.0, "head.bias": 2.0})


def test_rates_fall_by_a_factor_from_layer_to_layer() -> None:
    plain = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))
    rates = settings(plain, "lr", layer_decay=0.5, layer_rates={"0": 0.1})
    assert list(rates.values())[::2] == pytest.approx([0.1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])

    rates = settings(Layered(), "lr", layer_decay=0.5)

    names = ("features.1.weight", "features.10.weight", "features.norm.bias", "head.bias")
    assert [rates[name] for name in names] == [0.25, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("name", ["alexnet", "custom_cnn"])
def test_rates_fall_in_the_networks_of_this_package(name: str) -> None:
    rates = settings(build_model(name, num_classes=3), "lr", layer_decay=0.5).values()

    assert len(set(rates)) > 3
    assert max(rates) == 1


def test_layers_of_timm_are_its_own_also_behind_metadata() -> None:
    model = MetadataFusion(build_model("timm/tf_efficientnet_lite0", num_classes=3), num_classes=3)

    rates = settings(model, "lr", layer_decay=0.5)

    assert {math.log2(rate) % 1 for rate in rates.values()} == {0}
    assert min(rates.values()) == 0.5**16
    assert all(rate == 1 for key, rate in rates.items() if not key.startswith("backbone"))


TOPS = "features.1, features.10, features.norm, head.weight, head.bias, but got 'feature'."
PREFIXES = f"to be prefixes of the model's parameter names, such as {TOPS}"
FROZEN: dict[str, Any] = {"freeze": ["features"], "layer_rates": {"features.1": 1}}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"freeze": ["feature"]}, f"`freeze` {PREFIXES}"),
        ({"layer_rates": {"feature": 0.1}}, f"`layer_rates` {PREFIXES}"),
        (FROZEN, "'features.1', which is frozen. Leave it out here, or out of `freeze`."),
        ({"freeze": ["features", "head"]}, "some parameters left to learn, but got all 8 of them"),
    ],
)
def test_names_that_do_not_fit_are_refused(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer(Layered(), **options).fit(Colors(8))


def test_a_model_of_which_nothing_learns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a model with parameters that learn, but got one whose"):
        trainer(Layered().requires_grad_(False)).fit(Colors(8))


def test_frozen_layers_and_their_statistics_are_fixed_and_learn_again_afterwards() -> None:
    model = Layered()
    model.features["10"].bias.requires_grad_(False)
    before = weights(model)

    trainer(model, freeze=["features.1", "features.norm"], epochs=2).fit(Colors(16), Colors(8))

    for name, value in model.state_dict().items():
        fixed = name.startswith(("features.1.", "features.norm", "features.10.bias"))
        assert torch.equal(value, before[name]) == fixed, name
    held = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert held == ["features.10.bias"]
    assert all(module.training for module in model.modules())


def test_after_an_error_frozen_layers_learn_again() -> None:
    model = Layered()

    with pytest.raises(InterruptedError), frozen(model, ["features"]):
        raise InterruptedError

    assert all(parameter.requires_grad for parameter in model.parameters())


def rates(steps: int, model: nn.Module | None = None, **options: Any) -> list[list[float]]:
    """Drive a schedule through all steps of a run; the rates of each group."""
    fitted = trainer(**{"learning_rate": 1.0, **options})
    optimizer = make_optimizer(nn.Linear(1, 1) if model is None else model, fitted)
    schedule = make_schedule(optimizer, fitted, steps)
    found = []
    for step in range(steps):
        found.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        if schedule is not None and step + 1 < steps:
            schedule["scheduler"].step()
    return [list(group) for group in zip(*found, strict=True)]


@given(
    steps=st.integers(1, 60),
    warmup=st.none() | st.floats(0, 1, exclude_max=True) | st.just(0),
    schedule=st.sampled_from(["onecycle", "cosine", "constant"]),
)
def test_rates_stay_between_zero_and_the_highest(
    steps: int, warmup: float | None, schedule: str
) -> None:
    found = rates(steps, schedule=schedule, warmup=warmup)[0]

    assert all(0 <= rate <= 1 + 1e-9 for rate in found)
    assert any(rate > 0 for rate in found)


def test_one_cycle_rises_for_a_quarter_and_falls_to_nothing() -> None:
    found = rates(100, schedule="onecycle")[0]

    assert found[0] == pytest.approx(1 / 25)
    assert found.index(max(found)) == 24
    assert max(found) == pytest.approx(1)
    assert found[-1] < 1e-5


def test_a_cosine_and_a_constant_rate_are_their_formulas_after_the_warm_up() -> None:
    found = rates(40, schedule="cosine", warmup=0.25)[0]

    assert found[:10] == pytest.approx([step / 11 for step in range(1, 11)])
    falling = [(1 + math.cos(math.pi * step / 30)) / 2 for step in range(30)]
    assert found[10:] == pytest.approx(falling)
    assert rates(8, schedule="constant")[0] == [1.0] * 8
    warm = rates(8, schedule="constant", warmup=0.5)[0]
    assert warm == pytest.approx([0.2, 0.4, 0.6, 0.8, *[1.0] * 4])


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_groups_keep_their_proportions_under_a_schedule(schedule: str) -> None:
    found = rates(10, Layered(), schedule=schedule, layer_rates={"features": 0.1})

    for step in zip(*found, strict=True):
        assert min(step) == pytest.approx(0.1 * max(step), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_ends_far_below_its_peak(schedule: str, optimizer: str) -> None:
    fitted = trainer(schedule=schedule, optimizer=optimizer, learning_rate=0.01)

    found = fitted.fit(Colors(48)).column("learning_rate")

    assert found[-1] < 0.1 * max(found)


@pytest.mark.parametrize("count", [3, 8, 32])
def test_short_runs_have_a_schedule_too(count: int) -> None:
    assert len(trainer(schedule="onecycle", epochs=1).fit(Colors(count))) == 1


def test_one_cycle_uses_the_momentum_that_was_asked_for() -> None:
    slow, fast = (
        trainer(schedule="onecycle", momentum=momentum, epochs=2).fit(Colors(24)).rows
        for momentum in (0.0, 0.9)
    )

    assert slow != fast


def test_a_clipped_gradient_makes_small_steps() -> None:
    fitted = trainer(gradient_clip=1e-6, momentum=0, epochs=1)
    before = weights(fitted.model)

    fitted.fit(Colors(16))

    after = fitted.model.state_dict()
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert 0 < moved.norm().item() < 1e-6

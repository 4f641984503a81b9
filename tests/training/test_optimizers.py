import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_trainer import Colours, network, trainer
from torch import nn

from dermolib import MetadataFusion, Trainer, build_model
from dermolib.training.optimizers import (
    frozen,
    frozen_modules,
    make_optimizer,
    make_schedule,
    parameter_groups,
)
from dermolib.training.recipe import Recipe, RunOptions


class Layered(nn.Module):
    """Layers with names of which one begins another."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.ModuleDict(
                {"1": nn.Conv2d(3, 4, 3), "10": nn.Conv2d(4, 4, 3), "norm": nn.BatchNorm2d(4)}
            )
            self.head = nn.Linear(4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.features["norm"](self.features["10"](self.features["1"](image)))
        logits: torch.Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


def settings(model: nn.Module, name: str, **options: Any) -> dict[str, float]:
    """Find a setting of the optimiser for each parameter by name."""
    recipe = Recipe(learning_rate=1.0, weight_decay=0.1, **options)
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    groups = parameter_groups(model, recipe)
    return {names[id(p)]: group[name] for group in groups for p in group["params"]}


def test_each_parameter_is_in_one_group() -> None:
    model = Layered()

    groups = parameter_groups(model, Recipe(layer_rates={"features": 0.1}))

    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))


def test_vectors_do_not_decay() -> None:
    decays = settings(Layered(), "weight_decay")

    assert {name for name, decay in decays.items() if decay} == {
        "features.1.weight",
        "features.10.weight",
        "head.weight",
    }


def test_the_longest_beginning_decides_the_rate() -> None:
    rates = {"features": 0.1, "features.10": 0.5, "head.bias": 2.0}

    found = settings(Layered(), "lr", layer_rates=rates)

    assert found == pytest.approx(
        {
            "features.1.weight": 0.1,
            "features.1.bias": 0.1,
            "features.10.weight": 0.5,
            "features.10.bias": 0.5,
            "features.norm.weight": 0.1,
            "features.norm.bias": 0.1,
            "head.weight": 1.0,
            "head.bias": 2.0,
        }
    )


def test_a_beginning_is_a_whole_name() -> None:
    assert settings(Layered(), "lr", layer_rates={"features.1": 0.1})["features.10.weight"] == 1


def test_rates_fall_by_a_factor_from_layer_to_layer() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))

    rates = settings(model, "lr", layer_decay=0.5)

    ratios = {rates[f"{layer}.weight"] / rates[f"{layer + 1}.weight"] for layer in range(4)}
    assert ratios == {0.5}
    assert max(rates.values()) == 1


def test_normalisation_belongs_to_the_layer_before_it() -> None:
    rates = settings(Layered(), "lr", layer_decay=0.5)

    assert [rates[f"{name}.weight"] for name in ("features.1", "features.10")] == [0.25, 0.5]
    assert rates["features.norm.bias"] == 0.5
    assert rates["head.bias"] == 1


@pytest.mark.parametrize("name", ["alexnet", "custom_cnn"])
def test_rates_fall_in_the_networks_of_this_package(name: str) -> None:
    model = build_model(name, num_classes=3)

    rates = list(settings(model, "lr", layer_decay=0.5).values())

    assert len(set(rates)) > 3
    assert max(rates) == 1


def test_layers_of_timm_are_its_own_also_behind_metadata() -> None:
    model = MetadataFusion(build_model("timm/tf_efficientnet_lite0", num_classes=3), num_classes=3)

    rates = settings(model, "lr", layer_decay=0.5)

    assert {math.log2(rate) % 1 for rate in rates.values()} == {0}
    assert min(rates.values()) == 0.5**16
    assert all(rate == 1 for key, rate in rates.items() if not key.startswith("backbone"))


def test_layer_decay_and_rates_multiply() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    rates = settings(model, "lr", layer_decay=0.5, layer_rates={"0": 0.1})

    assert rates["0.weight"] / rates["1.weight"] == pytest.approx(0.05)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_is_that_of_its_name(name: str, kind: type[Any]) -> None:
    optimizer = make_optimizer(Layered(), Recipe(optimizer=name, momentum=0.7))

    assert type(optimizer) is kind
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.7}


@pytest.mark.parametrize("option", ["layer_rates", "freeze"])
def test_names_that_begin_nothing_are_told_with_those_that_do(option: str) -> None:
    given_names: Any = {"feature": 0.1} if option == "layer_rates" else ["feature"]
    sentence = (
        f"Expected `{option}` to be beginnings of the model's parameters, such as features.1, "
        "features.10, features.norm, head.weight, head.bias, but got 'feature'."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        trainer(Layered(), **{option: given_names}).fit(Colours(8))


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"freeze": "head"}, TypeError, "`freeze` to be a list of beginnings of the names of"),
        ({"freeze": [1]}, TypeError, "`freeze` to be a list of beginnings of the names of para"),
        ({"layer_rates": ["head"]}, TypeError, "`layer_rates` to be factors by the beginning of"),
        (
            {"layer_rates": {"head": 0}},
            ValueError,
            "`layer_rates['head']` to be a finite number ab",
        ),
        ({"layer_decay": 0}, ValueError, "`layer_decay` to be a number above 0 and up to 1, but"),
        ({"warmup": 2}, ValueError, "`warmup` to be a number in 0..1, but got 2."),
        ({"ema": 1.5}, ValueError, "`ema` to be a number above 0 and below 1, but got 1.5."),
        ({"ema": 1.0}, ValueError, "`ema` to be a number above 0 and below 1, but got 1.0."),
        ({"learning_rate": math.inf}, ValueError, "`learning_rate` to be a finite number above 0"),
        ({"weight_decay": math.inf}, ValueError, "`weight_decay` to be a finite number of 0 or"),
        ({"focal_gamma": math.inf}, ValueError, "`focal_gamma` to be a finite number of 0 or mo"),
        ({"mixup": math.inf}, ValueError, "`mixup` to be a finite number of 0 or more, but got i"),
        ({"cutmix": math.inf}, ValueError, "`cutmix` to be a finite number of 0 or more, but got"),
        (
            {"layer_rates": {"head": math.inf}},
            ValueError,
            "`layer_rates['head']` to be a finite number above 0, but got inf.",
        ),
        (
            {"schedule": "onecycle", "warmup": 1},
            ValueError,
            "`warmup` to be a number of 0 or more and below 1, but got 1.",
        ),
        ({"seed": 2**63}, ValueError, "`seed` to be an integer of up to 9.22337e+18, but got"),
        ({"progress": "no"}, TypeError, "`progress` to be True or False, but got 'no' of type s"),
        ({"compile": 1}, TypeError, "`compile` to be True or False, but got 1 of type int."),
        ({"accumulate": 0}, ValueError, "`accumulate` to be an integer of 1 or more, but got 0."),
        ({"early_stopping": 0}, ValueError, "`early_stopping` to be an integer of 1 or more"),
        ({"save_every": 0}, ValueError, "`save_every` to be an integer of 1 or more, but got 0."),
        ({"loss": "hinge"}, ValueError, "`loss` to be one of 'cross_entropy', 'focal', but got"),
        ({"mixup": -1}, ValueError, "`mixup` to be a finite number of 0 or more, but got -1."),
    ],
)
def test_unfit_options_are_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        trainer(**options)


@pytest.mark.parametrize("rates", [None, 0, [], False])
def test_rates_of_layers_are_a_mapping(rates: Any) -> None:
    with pytest.raises(TypeError, match="`layer_rates` to be factors by the beginning of a name"):
        Recipe(layer_rates=rates)


def test_options_of_numpy_become_those_of_python() -> None:
    given_options: dict[str, Any] = {
        "optimizer": np.str_("sgd"),
        "learning_rate": np.float32(0.5),
        "ema": np.float64(0.5),
        "accumulate": np.int64(2),
        "freeze": (np.str_("head"),),
        "layer_rates": {np.str_("features"): np.float64(0.1)},
    }
    counts: dict[str, Any] = {
        "epochs": np.int32(2),
        "batch_size": np.int64(4),
        "workers": np.int64(0),
        "seed": np.int64(3),
    }

    recipe, run = Recipe(**given_options), RunOptions(**counts)

    values = [recipe.optimizer, recipe.learning_rate, recipe.ema, recipe.accumulate]
    assert values == ["sgd", 0.5, 0.5, 2]
    assert [type(value) for value in values] == [str, float, float, int]
    assert [type(name) for name in (*recipe.freeze, *recipe.layer_rates)] == [str, str]
    assert type(recipe.layer_rates["features"]) is float
    assert {type(n) for n in (run.epochs, run.batch_size, run.workers, run.seed)} == {int}


def test_what_options_of_numpy_trained_can_be_loaded(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "learning_rate": np.float32(0.1),
        "epochs": np.int64(1),
        "batch_size": np.int64(4),
        "seed": np.int64(3),
        "class_weights": np.array([1.0, 2.0, 1.0]),
        "layer_rates": {np.str_("5"): np.float64(0.5)},
    }

    trainer(output=tmp_path, **options).fit(Colours(8), Colours(8))

    assert len(Trainer.load(tmp_path / "best.pt", model=network()).class_names) == 3


def test_a_rate_for_a_frozen_layer_is_refused_as_one() -> None:
    model, recipe = Layered(), Recipe(freeze=["features"], layer_rates={"features.1": 0.1})
    sentence = (
        "Expected `layer_rates` to be factors for parameters that learn, but got one for "
        "'features.1', which is frozen. Leave it out here, or out of `freeze`."
    )

    with (
        frozen(model, recipe.freeze),
        pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"),
    ):
        parameter_groups(model, recipe)


def test_a_model_of_which_nothing_learns_is_refused() -> None:
    model = Layered().requires_grad_(False)

    with pytest.raises(ValueError, match=r"a model with parameters that learn, but got one whose"):
        trainer(model).fit(Colours(8))
    with pytest.raises(ValueError, match=r"some parameters left to learn, but got all 8 of th"):
        trainer(Layered(), freeze=["features", "head"]).fit(Colours(8))


def test_frozen_layers_stay_as_they_are_with_their_statistics() -> None:
    model = Layered()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    trainer(model, freeze=["features.1", "features.norm"], epochs=2).fit(Colours(16), Colours(8))

    for name, value in model.state_dict().items():
        still = name.startswith(("features.1.", "features.norm"))
        assert torch.equal(value, before[name]) == still, name


def test_after_training_frozen_layers_learn_again_where_they_did() -> None:
    model = Layered()
    model.features["10"].bias.requires_grad_(False)

    trainer(model, freeze=["features"], epochs=1).fit(Colours(8))

    still = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert still == ["features.10.bias"]
    assert all(module.training for module in model.modules())


def test_after_an_error_frozen_layers_learn_again() -> None:
    model = Layered()

    with pytest.raises(InterruptedError), frozen(model, ["features"]):
        raise InterruptedError

    assert all(parameter.requires_grad for parameter in model.parameters())


def test_modules_below_a_frozen_name_are_found() -> None:
    model = Layered()

    assert frozen_modules(model, ["features.1"]) == [model.features["1"]]
    assert frozen_modules(model, []) == []


def rates(steps: int, **options: Any) -> list[float]:
    """Drive a schedule through all steps of a run."""
    recipe = Recipe(optimizer="sgd", learning_rate=1.0, **options)
    optimizer = make_optimizer(nn.Linear(1, 1), recipe)
    schedule = make_schedule(optimizer, recipe, steps)
    found = []
    for step in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if schedule is not None and step + 1 < steps:
            schedule.step()
    return found


@given(
    steps=st.integers(1, 60),
    warmup=st.none() | st.floats(0, 1, exclude_max=True) | st.just(0),
    schedule=st.sampled_from(["onecycle", "cosine", "constant"]),
)
def test_rates_stay_between_zero_and_the_highest(
    steps: int, warmup: float | None, schedule: str
) -> None:
    found = rates(steps, schedule=schedule, warmup=warmup)

    assert all(0 <= rate <= 1 + 1e-9 for rate in found)
    assert any(rate > 0 for rate in found)


def test_one_cycle_rises_for_a_quarter_and_falls_to_nothing() -> None:
    found = rates(100, schedule="onecycle")

    assert found[0] == pytest.approx(1 / 25)
    assert found.index(max(found)) == 24
    assert max(found) == pytest.approx(1)
    assert found[-1] < 1e-5


def test_a_cosine_is_its_formula_after_its_warm_up() -> None:
    found = rates(40, schedule="cosine", warmup=0.25)

    assert found[:10] == pytest.approx([step / 11 for step in range(1, 11)])
    falling = [(1 + math.cos(math.pi * step / 30)) / 2 for step in range(30)]
    assert found[10:] == pytest.approx(falling)


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    assert rates(8, schedule="constant") == [1.0] * 8
    assert rates(8, schedule="constant", warmup=0.5) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, *[1.0] * 4]
    )


def test_groups_keep_their_proportions_under_a_schedule() -> None:
    for schedule in ("onecycle", "cosine"):
        recipe = Recipe(schedule=schedule, layer_rates={"features": 0.1})
        optimizer = make_optimizer(Layered(), recipe)
        scheduler = make_schedule(optimizer, recipe, 10)
        assert scheduler is not None
        for _ in range(9):
            optimizer.step()
            scheduler.step()
            found = sorted({float(group["lr"]) for group in optimizer.param_groups})
            assert found[0] / found[-1] == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("count", [3, 8, 32])
def test_short_runs_have_a_schedule_too(count: int) -> None:
    options: dict[str, Any] = {"schedule": "onecycle", "epochs": 1, "batch_size": 8}
    history = trainer(**options).fit(Colours(count))

    assert len(history) == 1

"""Options of the Trainer: what is refused, what they become, and where they are described."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colors import Colors, network, trainer

from dermolib import Trainer
from dermolib.training.config import TrainerOptions  # declares what Trainer's signature shows

SAMPLER = "`sampler` to be 'balanced', a power in 0..1, or None, but got "
COUNT = "to be an integer of 1 or more"
FINITE = "to be a finite number of 0 or more, but got"
PREFIXES = "to be a list of prefixes of parameter names"
OWN_LOSS = torch.nn.CrossEntropyLoss()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"num_classes": 1}, ValueError, "`num_classes` to be an integer of 2 or more"),
        ({"num_classes": 3.0}, TypeError, "`num_classes` to be an integer of 2 or more"),
        ({"num_classes": "3"}, TypeError, "`num_classes` to be an integer of 2 or more"),
        ({"class_names": ["a"]}, ValueError, "`class_names` to be 3 names, one for each class"),
        ({"class_names": "abc"}, TypeError, "but got an object of type str. Pass a list, in the"),
        (
            {"class_names": dict.fromkeys("abc")},
            TypeError,
            "but got an object of type dict. Pass a lis",
        ),
        ({"class_names": ["a", "b", "a"]}, ValueError, "but got a more than once."),
        ({"loss": "hinge"}, ValueError, "`loss` to be one of 'cross_entropy', 'focal'"),
        ({"loss": None}, TypeError, "-> scalar, but got an object of type NoneType"),
        ({"loss": OWN_LOSS, "class_weights": "balanced"}, ValueError, "got `class_weights` beside"),
        ({"loss": OWN_LOSS, "label_smoothing": 0.1}, ValueError, "but got `label_smoothing` besid"),
        ({"focal_gamma": math.inf}, ValueError, f"`focal_gamma` {FINITE}"),
        ({"class_weights": {"a": 1}}, TypeError, "`class_weights` to be one number for each cla"),
        ({"class_weights": ["a", "b", "c"]}, TypeError, "`class_weights` to be one number for e"),
        ({"class_weights": "even"}, ValueError, "`class_weights` to be one of 'auto', 'balanced'"),
        ({"class_weights": [1, 2]}, ValueError, "`class_weights` to be 3 finite weights"),
        ({"class_weights": [1.0, -1.0, 1.0]}, ValueError, "`class_weights` to be 3 finite wei"),
        ({"sampler": "auto"}, ValueError, f"{SAMPLER}'auto'."),
        ({"sampler": 2}, ValueError, f"{SAMPLER}2."),
        ({"sampler": math.nan}, ValueError, f"{SAMPLER}nan."),
        ({"sampler": True}, TypeError, f"{SAMPLER}True."),
        ({"sampler": [0.5]}, TypeError, f"{SAMPLER}[0.5]."),
        ({"optimizer": "adam"}, ValueError, "'sgd', but got 'adam'. Did you mean 'adamw'"),
        ({"optimizer": 1}, TypeError, "or a callable (params) -> torch.optim.Optimizer, but got"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` to be a finite number above 0, but"),
        ({"learning_rate": math.inf}, ValueError, "`learning_rate` to be a finite number above 0"),
        ({"momentum": 2}, ValueError, "`momentum` to be a number in 0..1, but got 2."),
        ({"weight_decay": -1}, ValueError, f"`weight_decay` {FINITE} -1."),
        ({"schedule": "step"}, ValueError, "`schedule` to be one of 'onecycle', 'cosine'"),
        ({"warmup": 2}, ValueError, "`warmup` to be a number in 0..1, but got 2."),
        ({"schedule": "onecycle", "warmup": 1}, ValueError, "`warmup` to be a number of 0 or more"),
        ({"freeze": "head"}, TypeError, f"`freeze` {PREFIXES}"),
        ({"freeze": [1]}, TypeError, f"`freeze` {PREFIXES}"),
        ({"layer_rates": ["head"]}, TypeError, "`layer_rates` to be factors by prefix of the"),
        ({"layer_rates": 0}, TypeError, "`layer_rates` to be factors by prefix of the parameter"),
        ({"layer_rates": {"a": 0}}, ValueError, "`layer_rates['a']` to be a finite number above"),
        ({"layer_decay": 0}, ValueError, "`layer_decay` to be a number above 0 and up to 1, but"),
        ({"mixup": -1}, ValueError, f"`mixup` {FINITE} -1."),
        ({"cutmix": math.inf}, ValueError, f"`cutmix` {FINITE} inf."),
        ({"ema": 1.0}, ValueError, "`ema` to be a number above 0 and below 1, but got 1.0."),
        ({"gradient_clip": 0}, ValueError, "`gradient_clip` to be a number above 0, but got 0."),
        ({"accumulate": 0}, ValueError, f"`accumulate` {COUNT}, but got 0."),
        ({"epochs": 0}, ValueError, f"`epochs` {COUNT}, but got 0."),
        ({"early_stopping": 0}, ValueError, f"`early_stopping` {COUNT}, but got 0."),
        ({"batch_size": 0}, ValueError, f"`batch_size` {COUNT}, but got 0."),
        ({"save_every": 0}, ValueError, f"`save_every` {COUNT}, but got 0."),
        ({"workers": -1}, ValueError, "`workers` to be an integer of 0 or more, but got -1."),
        ({"callbacks": print}, TypeError, "`callbacks` to be a list of Lightning callbacks, but"),
        ({"callbacks": [1]}, TypeError, "`callbacks` to be a list of Lightning callbacks, but got"),
        ({"logger": "csv"}, TypeError, "`logger` to be a Lightning logger, or a list of them, bu"),
        ({"output": ""}, ValueError, "`output` to be a folder for the run, but got an empty path"),
        ({"output": 5}, TypeError, "`output` to be a folder for the run, but got 5 of type int."),
        ({"output": __file__}, ValueError, "test_config.py, a file. Choose another path."),
        ({"output": f"{__file__}/run"}, ValueError, "/run, below the file "),
        ({"device": "gpu"}, ValueError, "`device` to be one of 'auto', 'cpu', 'cuda', 'mps'"),
        ({"devices": 0}, ValueError, "`devices` to be a number of devices, 1 or more, a list of"),
        ({"devices": 2.5}, TypeError, "-1 for all, or 'auto', but got 2.5 of type float."),
        ({"devices": []}, ValueError, "-1 for all, or 'auto', but got []."),
        ({"devices": -1}, ValueError, "`devices` to be a number of processes, but got -1. A CPU"),
        ({"num_nodes": 0}, ValueError, f"`num_nodes` {COUNT}, but got 0."),
        ({"precision": "16"}, ValueError, "`precision` to be one of 'auto', '32-true'"),
        ({"precision": "float16"}, ValueError, "`precision` to be one that the CPU computes with"),
        ({"channels_last": 1}, TypeError, "`channels_last` to be True or False, but got 1"),
        ({"compile": 1}, TypeError, "`compile` to be True or False, but got 1 of type int."),
        ({"progress": "no"}, TypeError, "`progress` to be True or False, but got 'no' of type s"),
        ({"seed": 0.5}, TypeError, "`seed` to be an integer"),
        ({"seed": 2**63}, ValueError, "`seed` to be an integer in 0..9.22337e+18, but got"),
        ({"model": "alexnet"}, TypeError, "`model` to be a torch module, but got an object of"),
        ({"model": torch.compile(network())}, TypeError, "the wrapper that `torch.compile` retu"),
        (
            {"model": torch.nn.DataParallel(network())},
            TypeError,
            "the wrapper `DataParallel`. Pass its `",
        ),
    ],
    ids=str,
)
def test_unfit_options_are_refused(options: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        trainer(**options)


def test_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ValueError, match=r"`device` to be one of this machine, but got 'cuda'\."):
        trainer(device="cuda")


@pytest.mark.parametrize(
    ("device", "cuda", "bfloat16", "precision"),
    [
        ("cuda", True, True, "bf16-mixed"),
        ("auto", True, False, "16-mixed"),
        ("auto", False, True, "bf16-mixed"),
        ("cpu", True, False, "32-true"),
    ],
)
def test_the_precision_is_the_fastest_that_the_device_has(
    monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool, bfloat16: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    capabilities = {"avx512_bf16": bfloat16}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    assert trainer(device=device, precision="auto").precision == precision
    for name, lightning in (("float32", "32-true"), ("bfloat16", "bf16-mixed")):
        assert trainer(precision=name).precision == lightning


def test_a_gpu_without_bfloat16_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)

    with pytest.raises(ValueError, match=r"that this GPU computes with, but got 'bf16-mixed'"):
        trainer(device="cuda", precision="bfloat16")


def test_each_option_is_described_where_it_is_declared_and_in_the_trainer() -> None:
    described = re.findall(r"^ {8}(\w+): ", TrainerOptions.__doc__ or "", re.MULTILINE)
    documented = re.findall(r"^ {8}(\w+): ", Trainer.__doc__ or "", re.MULTILINE)

    names = [option.name for option in dataclasses.fields(TrainerOptions)]
    assert described == names
    assert documented[: len(names) + 1] == ["model", *names]


def test_options_are_attributes_that_do_not_change() -> None:
    fitted = trainer(learning_rate=0.5)

    assert (fitted.learning_rate, fitted.class_names) == (0.5, ("0", "1", "2"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.learning_rate = 1.0  # type: ignore[misc]  # the change under test


def test_options_of_numpy_become_those_of_python_and_can_be_loaded(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "optimizer": np.str_("sgd"),
        "learning_rate": np.float32(0.5),
        "ema": np.float64(0.5),
        "accumulate": np.int64(2),
        "epochs": np.int64(1),
        "batch_size": np.int64(4),
        "seed": np.int64(3),
        "freeze": (np.str_("0"),),
        "layer_rates": {np.str_("5"): np.float64(0.1)},
        "class_weights": pd.Series([2.0, 1.0, 1.0], index=[1, 0, 2]),
    }

    fitted = trainer(output=tmp_path, **options)
    fitted.fit(Colors(8), Colors(8))

    kinds = {name: type(getattr(fitted, name)) for name in options}
    assert kinds == {
        **dict.fromkeys(["learning_rate", "ema"], float),
        **dict.fromkeys(["accumulate", "epochs", "batch_size", "seed"], int),
        **dict.fromkeys(["freeze", "class_weights"], list),
        "optimizer": str,
        "layer_rates": dict,
    }
    assert fitted.class_weights == [1.0, 2.0, 1.0]
    assert [type(name) for name in (*fitted.freeze, *(fitted.layer_rates or {}))] == [str, str]
    assert Trainer.load(tmp_path / "best.pt", model=network()).num_classes == 3

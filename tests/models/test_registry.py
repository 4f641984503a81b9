import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from dermolib import build_model
from dermolib.models import resnet

SMALL = "timm/mobilenetv3_small_050"


@pytest.mark.parametrize(
    ("name", "options", "recorded"),
    [
        (SMALL, {"drop_rate": 0.25, "in_chans": 3}, {"drop_rate": 0.25, "in_chans": 3}),
        ("timm/vit_tiny_patch16_224", {"img_size": (64, 32)}, {"img_size": [64, 32]}),
    ],
)
def test_a_model_of_timm_is_built_with_its_options_and_rebuilt_from_its_record(
    name: str, options: dict[str, Any], recorded: dict[str, Any]
) -> None:
    with torch.device("meta"):
        model: Any = build_model(name, num_classes=5, **options)
        again: Any = build_model(**model.architecture)

    shapes, others = (
        {key: value.shape for key, value in one.state_dict().items()} for one in (model, again)
    )
    assert model.architecture == {"name": name, "num_classes": 5, **recorded} == again.architecture
    assert shapes == others
    assert name != SMALL or again.drop_rate == 0.25


def test_a_model_of_timm_computes_what_timms_own_does_and_nothing_works_in_place() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL).eval()
    usual = timm.create_model(SMALL.removeprefix("timm/"), num_classes=8).eval()
    usual.load_state_dict(model.state_dict())
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(model(images), usual(images))
    loss = functional.cross_entropy(model.train()(images), torch.arange(4))
    assert all(gradient.any() for gradient in torch.autograd.grad(loss, [*model.parameters()]))
    assert any(getattr(layer, "inplace", False) for layer in usual.modules())
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_models_are_imported_without_timm_and_torchvision() -> None:
    script = (
        "import sys, dermolib.models\n"
        "sys.exit(', '.join({'timm', 'torchvision', 'lightning'} & set(sys.modules)))"
    )

    done = subprocess.run(  # noqa: S603 # the command is this interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stderr.strip() == ""


class Plain(nn.Sequential):
    """A network of a user."""

    def __init__(self, num_classes: int, *, width: int = 4) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(12, width), nn.ReLU(inplace=True), nn.Linear(width, num_classes)
        )


def test_a_function_builds_a_network_with_options_and_weights(tmp_path: Path) -> None:
    model = build_model(Plain, num_classes=3, width=7)
    torch.save(model.state_dict(), tmp_path / "own.pth")

    again = build_model(Plain, num_classes=3, width=7, weights=tmp_path / "own.pth")

    images = torch.ones(2, 3, 2, 2)
    assert torch.equal(model(images), again(images))
    assert model(images).shape == (2, 3)
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())
    assert not hasattr(model, "architecture")
    with pytest.raises(ValueError, match=r"weights of this Plain, .* of another shape"):
        build_model(Plain, weights=tmp_path / "own.pth", width=6)
    with pytest.raises(TypeError, match="`name` to be a function that returns a torch module, but"):
        build_model(lambda **_: None)  # type: ignore[arg-type] # the mistake


@pytest.mark.parametrize(
    ("function", "options", "fragment"),
    [
        (nn.Linear, {}, "`Linear(num_classes=...)`, but got one that takes in_features, out_feat"),
        (lambda n: Plain(n), {}, "`<lambda>(num_classes=...)`, but got one that takes n."),
        (lambda: Plain(8), {}, "`<lambda>(num_classes=...)`, but got one that takes nothing."),
        (Plain, {"widht": 3}, "`Plain(num_classes=..., widht=...)`, but got one that takes num_cl"),
    ],
)
def test_a_function_that_does_not_take_what_it_is_given_is_named(
    function: Any, options: dict[str, Any], fragment: str
) -> None:
    sentence = f"to be a function that can be called as {fragment}"
    with pytest.raises(TypeError, match=re.escape(sentence)):
        build_model(function, **options)


@pytest.mark.parametrize(
    ("name", "error", "fragment"),
    [
        ("resnet19", ValueError, "'resnet152', 'timm/<any .*Did you mean 'resnet18'"),
        ("timm/mobilenetv3_small_050.nobody", ValueError, "Did you mean .*_050.lamb_in1k'"),
        ("timm/hf-hub:somebody/something", ValueError, r"a name from `timm.list_models\(\)`"),
        ("timm/resnet51", ValueError, "Did you mean 'timm/resnet51q', .*'timm/resnet50'"),
        (50, TypeError, "the name of a model, or a function that builds one, .* type int"),
    ],
)
def test_an_unknown_name_is_refused_with_the_close_ones(
    name: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=f"`name` to be .*{fragment}"):
        build_model(name)


@pytest.mark.parametrize(
    ("name", "options", "error", "fragment"),
    [
        ("alexnet", {"depth": 18, "heads": 2}, TypeError, r".variant, head., but got depth, heads"),
        ("resnet18", {"depth": 50}, TypeError, r"'resnet18' \(it takes none\), but got depth"),
        ("resnet", {"image_size": 50}, TypeError, r"'resnet' \(depth\), but got image_size"),
        ("fusion", {"layers": 3}, TypeError, r"dropout, backbone_<option>\), but got layers"),
        ("fusion", {"backbone": "resnet18", "backbone_depth": 3}, TypeError, "none.*got depth"),
        ("fusion", {"backbone_weights": "DEFAULT"}, TypeError, "got backbone_weights. Build a net"),
        (
            "fusion",
            {"backbone": resnet},
            TypeError,
            "`backbone` to be the name of a model, .*first",
        ),
        (SMALL, {"pretrained": True}, TypeError, "got pretrained. Choose weights with `weights`"),
        (SMALL, {"drop_rate": {1, 2}}, TypeError, "plain values that a checkpoint can hold, .*set"),
        (SMALL, {"depht": 5}, TypeError, "timm's 'mobilenetv3_small_050', but got depht .*keyword"),
        (SMALL, {"num_classes": 0}, ValueError, "`num_classes` to be an integer of 1 or more"),
    ],
)
def test_an_option_that_the_model_does_not_take_is_refused(
    name: str, options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=f"Expected .*{fragment}"):
        build_model(name, **options)

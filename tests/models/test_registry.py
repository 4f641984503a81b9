import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dermolib import MetadataFusion, build_model, list_models
from dermolib.models import alexnet, custom_cnn, resnet

SMALL = "timm/mobilenetv3_small_050"


def architecture(model: nn.Module) -> dict[str, Any]:
    record = model.architecture
    assert isinstance(record, dict)
    return record


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in model.state_dict().items()}


def test_the_own_models_are_listed_in_order() -> None:
    assert list_models() == [
        "alexnet",
        "custom_cnn",
        "fusion",
        "resnet",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
    ]


@pytest.mark.parametrize("name", list_models())
def test_every_listed_model_is_built_and_rebuilt_from_its_architecture(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=5)
        again = build_model(**json.loads(json.dumps(architecture(model))))

    assert architecture(again) == architecture(model)
    assert shapes(again) == shapes(model)
    assert model(torch.zeros(2, 3, 224, 224, device="meta")).shape == (2, 5)


@pytest.mark.parametrize(
    ("by_name", "direct"),
    [
        (
            lambda: build_model("alexnet", variant="krizhevsky", head="replace"),
            lambda: alexnet(variant="krizhevsky", head="replace"),
        ),
        (
            lambda: build_model("custom_cnn", num_classes=3, image_size=50, dropout=0),
            lambda: custom_cnn(3, image_size=50, dropout=0),
        ),
        (
            lambda: build_model("fusion", num_classes=3, backbone="resnet18", hidden=5),
            lambda: MetadataFusion(resnet(depth=18), num_classes=3, hidden=5),
        ),
        (lambda: build_model("resnet"), lambda: resnet()),
        (lambda: build_model("resnet", depth=34), lambda: resnet(depth=34)),
        (lambda: build_model("resnet101"), lambda: resnet(depth=101)),
    ],
    ids=["alexnet", "custom_cnn", "fusion", "resnet", "resnet depth=34", "resnet101"],
)
def test_a_model_built_by_name_is_the_one_that_its_builder_builds(
    by_name: Any, direct: Any
) -> None:
    with torch.device("meta"):
        model, reference = by_name(), direct()

    assert architecture(model) == architecture(reference)
    assert shapes(model) == shapes(reference)


@settings(deadline=None, max_examples=10)
@given(num_classes=st.integers(1, 40), image_size=st.integers(8, 64), dropout=st.floats(0, 1))
def test_a_rebuilt_model_takes_the_weights_and_computes_the_same(
    num_classes: int, image_size: int, dropout: float
) -> None:
    model = custom_cnn(num_classes, image_size=image_size, dropout=dropout).eval()
    images = torch.ones(1, 3, image_size, image_size)

    again = build_model(**json.loads(json.dumps(architecture(model)))).eval()
    again.load_state_dict(model.state_dict())

    assert torch.equal(again(images), model(images))


def test_a_model_of_timm_is_built_with_its_options_and_rebuilt() -> None:
    model = build_model(SMALL, num_classes=5, drop_rate=0.25, in_chans=3)

    again = build_model(**json.loads(json.dumps(architecture(model))))

    assert architecture(model) == {
        "name": SMALL,
        "num_classes": 5,
        "drop_rate": 0.25,
        "in_chans": 3,
    }
    assert architecture(again) == architecture(model)
    assert shapes(again) == shapes(model)
    assert again.drop_rate == 0.25


def test_a_model_of_timm_computes_what_timms_own_computes() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL).eval()
    reference = timm.create_model(SMALL.removeprefix("timm/"), num_classes=8).eval()
    reference.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        logits, expected = model(images), reference(images)

    torch.testing.assert_close(logits, expected)


def test_every_parameter_of_a_model_of_timm_gets_a_gradient_and_nothing_works_in_place() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL)
    usual = timm.create_model(SMALL.removeprefix("timm/"))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    loss = functional.cross_entropy(model(images), torch.arange(4))
    gradients = torch.autograd.grad(loss, list(model.parameters()))

    assert all(gradient.any() for gradient in gradients)
    assert any(getattr(layer, "inplace", False) for layer in usual.modules())
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_an_option_given_as_a_tuple_is_built_from_what_the_record_holds() -> None:
    with torch.device("meta"):
        model = build_model("timm/vit_tiny_patch16_224", img_size=(64, 32))
        again = build_model(**architecture(model))

    assert architecture(model)["img_size"] == [64, 32]
    assert shapes(again) == shapes(model)


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
        build_model(Plain, weights=tmp_path / "own.pth", width=7)
    with pytest.raises(TypeError, match="`name` to be a function that returns a torch module, but"):
        build_model(lambda **_: None)  # type: ignore[arg-type] # the mistake


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


def test_a_number_of_classes_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="`num_classes` to be an integer of 1 or more, but got 0"):
        build_model(SMALL, num_classes=0)


@pytest.mark.parametrize(
    ("name", "options", "fragment"),
    [
        (
            "alexnet",
            {"depth": 18, "heads": 2},
            r"'alexnet' \(variant, head\), but got depth, heads",
        ),
        ("resnet18", {"depth": 50}, r"'resnet18' \(it takes none\), but got depth"),
        ("resnet", {"image_size": 50}, r"'resnet' \(depth\), but got image_size"),
        ("fusion", {"layers": 3}, r"metadata_dropout, backbone_<option>\), but got layers"),
        ("fusion", {"backbone": "custom_cnn", "backbone_depth": 3}, "'custom_cnn' .* got depth"),
        ("fusion", {"backbone_weights": "DEFAULT"}, "but got backbone_weights. Build a network"),
        ("fusion", {"backbone": resnet}, "the name of a model, .*Pass a network to `MetadataF"),
        (SMALL, {"pretrained": True}, "but got pretrained. Choose weights with `weights`"),
        (SMALL, {"drop_rate": {1, 2}}, "plain values that a checkpoint can hold, but got .*set"),
        (SMALL, {"depht": 5}, "timm's 'mobilenetv3_small_050', but got depht .*unexpected keyword"),
    ],
)
def test_an_option_that_the_model_does_not_take_is_refused(
    name: str, options: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(TypeError, match=f"Expected `.*{fragment}"):
        build_model(name, **options)

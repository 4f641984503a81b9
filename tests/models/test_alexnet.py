import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision.models import AlexNet  # type: ignore[import-untyped] # no annotations published

from dermolib.models import alexnet

VARIANTS = ["torchvision", "krizhevsky"]


def built_without_memory(**options: Any) -> nn.Module:
    with torch.device("meta"):
        return alexnet(**options)


def coarse_images(number: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(number, 3, 8, 8, generator=generator) * 4 - 2
    return functional.interpolate(blocks, size=(size, size))


@pytest.mark.parametrize(
    ("variant", "head", "count"),
    [
        ("torchvision", "append", 61_108_848),
        ("torchvision", "replace", 57_036_616),
        ("krizhevsky", "append", 60_973_232),
        ("krizhevsky", "replace", 56_901_000),
    ],
)
def test_the_number_of_parameters_is_exact(variant: str, head: str, count: int) -> None:
    model = built_without_memory(variant=variant, head=head)

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@settings(deadline=None, max_examples=10)
@given(num_classes=st.integers(1, 50), height=st.integers(63, 300), width=st.integers(63, 300))
def test_any_image_from_63_px_up_gives_one_logit_for_each_class(
    num_classes: int, height: int, width: int
) -> None:
    model = built_without_memory(num_classes=num_classes)

    logits = model(torch.zeros(2, 3, height, width, device="meta"))

    assert logits.shape == (2, num_classes)
    assert sum(p.numel() for p in model.parameters()) == 61_100_840 + 1001 * num_classes


def test_krizhevsky_has_the_layers_of_the_table() -> None:
    model = built_without_memory(variant="krizhevsky")

    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.ndim > 1]

    assert shapes == [
        (96, 3, 11, 11),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
        (4096, 9216),
        (4096, 4096),
        (1000, 4096),
        (8, 1000),
    ]
    assert model(torch.zeros(2, 3, 227, 227, device="meta")).shape == (2, 8)


def test_krizhevsky_drops_behind_both_hidden_layers_and_torchvision_before_them() -> None:
    kinds = {
        variant: [
            type(layer).__name__
            for layer in built_without_memory(variant=variant)
            .get_submodule("classifier")
            .children()
        ]
        for variant in VARIANTS
    }

    assert kinds["krizhevsky"] == [
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
    ]
    assert kinds["torchvision"] == [
        "Dropout",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
        "ReLU",
        "Linear",
    ]


def test_the_network_behind_the_head_computes_what_torchvisions_alexnet_computes() -> None:
    torch.manual_seed(0)
    model = alexnet(num_classes=3).eval()
    reference = AlexNet().eval()
    own = {key: value for key, value in model.state_dict().items() if "head" not in key}
    reference.load_state_dict(own)
    images = coarse_images(2, 70)

    with torch.no_grad():
        logits, outputs = model(images), reference(images)

    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    expected = functional.linear(outputs, head.weight, head.bias)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("variant", "size"), [("torchvision", 63), ("krizhevsky", 227)])
def test_every_parameter_gets_a_gradient_and_no_relu_works_in_place(
    variant: Any, size: int
) -> None:
    torch.manual_seed(0)
    model = alexnet(variant=variant)
    seen: list[object] = []
    for layer in model.get_submodule("features").children():
        layer.register_full_backward_hook(lambda *found: seen.append(found))
    images = coarse_images(2, size).requires_grad_()

    loss = functional.cross_entropy(model(images), torch.tensor([1, 5]))
    gradients = torch.autograd.grad(loss, [images, *model.parameters()])

    assert all(gradient.any() for gradient in gradients)
    assert len(seen) == 13
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_training_from_scratch_moves_at_once_where_the_usual_initialisation_stays() -> None:
    torch.manual_seed(0)
    model, usual = alexnet().eval(), AlexNet(num_classes=8).eval()
    images, labels = coarse_images(8, 63), torch.arange(8)
    parameters = list(model.parameters())
    with torch.no_grad():
        spreads = [network(images).std(0).mean() for network in (model, usual)]

    losses = []
    for _ in range(3):
        loss = functional.cross_entropy(model(images), labels)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=1e-3)

    assert losses[0] == pytest.approx(math.log(8), abs=0.3)
    assert losses[0] - losses[-1] > 0.15
    assert spreads[0] > 0.05 > 0.002 > spreads[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_initial_weights_have_the_documented_spread_and_repeat_with_the_seed(variant: Any) -> None:
    torch.manual_seed(0)
    model = alexnet(variant=variant)

    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    }

    for name, layer in layers.items():
        gain = 2 if isinstance(layer, nn.Conv2d) else 1
        spread = (gain / layer.weight[0].numel()) ** 0.5 if name != "head" else 0.01
        assert layer.weight.std().item() == pytest.approx(spread, rel=0.05), name
        assert not layer.state_dict()["bias"].any(), name
    torch.manual_seed(0)
    again = alexnet(variant=variant)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("head", ["append", "replace"])
def test_the_model_knows_how_it_was_built(variant: str, head: str) -> None:
    model = built_without_memory(num_classes=5, variant=variant, head=head)

    assert model.architecture == {
        "name": "alexnet",
        "num_classes": 5,
        "variant": variant,
        "head": head,
    }


def test_the_network_can_be_traced_symbolically() -> None:
    model = built_without_memory()

    traced = torch.fx.symbolic_trace(model)

    assert traced(torch.zeros(1, 3, 63, 63, device="meta")).shape == (1, 8)


@pytest.mark.parametrize(
    ("variant", "shape", "message"),
    [
        (
            "torchvision",
            (1, 3, 62, 80),
            "Expected `images` to be a batch (N, 3, H, W) of at least 63 x 63 px, but got "
            "shape (1, 3, 62, 80). Resize each image to at least 63 x 63 px.",
        ),
        (
            "torchvision",
            (1, 1, 80, 80),
            "Expected `images` to be a batch (N, 3, H, W) of at least 63 x 63 px, but got "
            "shape (1, 1, 80, 80).",
        ),
        (
            "torchvision",
            (3, 80, 80),
            "Expected `images` to be a batch (N, 3, H, W) of at least 63 x 63 px, but got "
            "shape (3, 80, 80).",
        ),
        (
            "krizhevsky",
            (2, 3, 224, 224),
            "Expected `images` to be a batch (N, 3, H, W) of 227 x 227 px, but got "
            "shape (2, 3, 224, 224). Resize each image to 227 x 227 px.",
        ),
    ],
    ids=["too small", "grey", "no batch", "another size"],
)
def test_a_batch_that_does_not_fit_is_refused_with_its_shape(
    variant: str, shape: tuple[int, ...], message: str
) -> None:
    model = built_without_memory(variant=variant)

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(torch.zeros(shape, device="meta"))


def test_a_batch_of_bytes_is_refused() -> None:
    model = built_without_memory()

    message = (
        "Expected `images` to be a floating-point batch, but got torch.uint8. "
        "Scale and normalise it as preset 'evaluation' does."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        model(torch.zeros(1, 3, 80, 80, dtype=torch.uint8, device="meta"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"variant": "torchvison"},
            "Expected `variant` to be one of 'torchvision', 'krizhevsky', but got 'torchvison'. "
            "Did you mean 'torchvision'?",
        ),
        (
            {"head": "both"},
            "Expected `head` to be one of 'append', 'replace', but got 'both'.",
        ),
        (
            {"num_classes": 0},
            "Expected `num_classes` to be an integer of 1 or more, but got 0.",
        ),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        alexnet(**options)  # type: ignore[arg-type] # the wrong value is the point


def test_a_number_of_classes_that_is_no_integer_is_refused() -> None:
    message = "Expected `num_classes` to be an integer of 1 or more, but got 8.0 of type float."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        alexnet(num_classes=8.0)  # type: ignore[arg-type] # the wrong type is the point

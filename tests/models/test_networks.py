"""What every network of this package keeps to."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import (  # type: ignore[import-untyped] # no annotations published
    AlexNet,
    resnet18,
)

from dermolib.models import alexnet, custom_cnn, resnet

BUILDERS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any], int]] = {
    "alexnet": (alexnet, {"variant": "torchvision", "head": "append"}, 63),
    "alexnet replace": (alexnet, {"variant": "torchvision", "head": "replace"}, 63),
    "krizhevsky": (alexnet, {"variant": "krizhevsky", "head": "append"}, 227),
    "krizhevsky replace": (alexnet, {"variant": "krizhevsky", "head": "replace"}, 227),
    "custom_cnn": (custom_cnn, {"image_size": 32, "dropout": 0.3}, 32),
    "resnet18": (resnet, {"depth": 18}, 33),
    "resnet50": (resnet, {"depth": 50}, 33),
}


def without_memory(build: Callable[..., nn.Module], **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(**options)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def noise(number: int, size: int) -> Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


def coarse_images(number: int, size: int) -> Tensor:
    blocks = torch.rand(number, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 4 - 2
    return functional.interpolate(blocks, size=(size, size))


@pytest.mark.parametrize(
    ("build", "options", "expected"),
    [
        (alexnet, {}, 61_108_848),
        (alexnet, {"head": "replace"}, 57_036_616),
        (alexnet, {"variant": "krizhevsky"}, 60_973_232),
        (alexnet, {"variant": "krizhevsky", "head": "replace"}, 56_901_000),
        (custom_cnn, {}, 1_981_928),
        (resnet, {"depth": 18}, 11_180_616),
        (resnet, {"depth": 34}, 21_288_776),
        (resnet, {"depth": 50}, 23_524_424),
        (resnet, {"depth": 101}, 42_516_552),
        (resnet, {"depth": 152}, 58_160_200),
    ],
)
def test_the_number_of_parameters_is_exact(
    build: Callable[..., nn.Module], options: dict[str, Any], expected: int
) -> None:
    assert count(without_memory(build, **options)) == expected


@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_records_how_it_was_built_and_can_be_traced(name: str) -> None:
    build, options, size = BUILDERS[name]
    model = without_memory(build, num_classes=5, **options)

    record = {"name": name, **options} if build is resnet else {"name": build.__name__, **options}
    record.pop("depth", None)
    assert model.architecture == {"num_classes": 5, **record}
    traced = torch.fx.symbolic_trace(model)
    assert traced(torch.zeros(1, 3, size, size, device="meta")).shape == (1, 5)


@pytest.mark.parametrize("name", ["alexnet", "krizhevsky", "custom_cnn", "resnet18", "resnet50"])
def test_every_parameter_gets_a_gradient_which_hooks_can_read_at_every_relu(name: str) -> None:
    torch.manual_seed(0)
    build, options, size = BUILDERS[name]
    model = build(**options)
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.ReLU, nn.Conv2d))]
    seen: list[object] = []
    for layer in layers:
        layer.register_full_backward_hook(lambda *found: seen.append(found))
    batch = coarse_images(4, size).requires_grad_()

    loss = functional.cross_entropy(model(batch), torch.arange(4))
    gradients = torch.autograd.grad(loss, [batch, *model.parameters()])

    assert all(gradient.any() for gradient in gradients)
    assert len(seen) >= len(layers)
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_a_gradient_hook_at_the_batch_norm_that_ends_a_block_of_resnet_fails_as_documented() -> (
    None
):
    model = resnet(depth=18)
    model.get_submodule("layer4.1.bn2").register_full_backward_hook(lambda *_: None)

    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        model(noise(2, 64))


@settings(deadline=None, max_examples=10)
@given(classes=st.integers(1, 50), height=st.integers(63, 300), width=st.integers(63, 300))
def test_images_of_any_size_give_one_logit_for_each_class(
    classes: int, height: int, width: int
) -> None:
    images = torch.zeros(2, 3, height, width, device="meta")

    for build, options in ((alexnet, {}), (resnet, {"depth": 18})):
        model = without_memory(build, num_classes=classes, **options)
        assert model(images).shape == (2, classes)


@settings(deadline=None, max_examples=20)
@given(classes=st.integers(1, 30), image_size=st.integers(8, 300))
def test_the_first_linear_layer_of_the_custom_cnn_follows_the_image_size(
    classes: int, image_size: int
) -> None:
    model = without_memory(custom_cnn, num_classes=classes, image_size=image_size)

    logits = model(torch.zeros(2, 3, image_size, image_size, device="meta"))

    convolutions = 7_168 + 295_040 + 73_792
    linear = (64 * (image_size // 8) ** 2 + 1) * 32 + 33 * classes
    assert logits.shape == (2, classes)
    assert count(model) == convolutions + linear


def test_the_custom_cnn_has_the_shapes_of_the_table_and_flattens_to_50176_values() -> None:
    model = without_memory(custom_cnn)
    shapes: list[tuple[int, ...]] = []
    for layer in [*model.get_submodule("features"), *model.get_submodule("classifier")]:  # type: ignore[misc] # both are nn.Sequential
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(output.shape))

    model(torch.zeros(2, 3, 224, 224, device="meta"))

    maps = [(2, 256, 112, 112), (2, 128, 56, 56), (2, 64, 28, 28)]
    assert [tuple(shape) for shape in shapes] == [*maps, (2, 50_176), (2, 32), (2, 8)]


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.modules() if not [*layer.children()]]


def test_layers_come_in_the_order_of_the_papers() -> None:
    block = ["Conv2d", "MaxPool2d", "Dropout", "ReLU"]
    hidden = ["Linear", "ReLU", "Dropout"]
    custom = custom_cnn(image_size=8, dropout=0.1)
    ours, theirs = (
        without_memory(alexnet, variant=variant).get_submodule("classifier")
        for variant in ("krizhevsky", "torchvision")
    )

    assert kinds(custom) == [*block * 3, "Flatten", "Linear", "Linear"]
    assert {layer.p for layer in custom.modules() if isinstance(layer, nn.Dropout)} == {0.1}
    assert kinds(ours) == [*hidden * 2, "Linear"]
    assert kinds(theirs) == ["Dropout", *hidden, "Linear", "ReLU", "Linear"]


def test_krizhevsky_has_the_filters_of_the_table() -> None:
    model = without_memory(alexnet, variant="krizhevsky")

    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.ndim > 1]

    filters = [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3)]
    sizes = [(9216, 4096), (4096, 4096), (4096, 1000), (1000, 8)]
    assert shapes == [*filters, (256, 192, 3, 3), *((out, into) for into, out in sizes)]


def test_alexnet_before_its_head_computes_what_torchvisions_does() -> None:
    torch.manual_seed(0)
    model, reference = alexnet(num_classes=3).eval(), AlexNet().eval()
    state = model.state_dict()
    head = [state.pop("head.weight"), state.pop("head.bias")]
    reference.load_state_dict(state)

    with torch.no_grad():
        logits, outputs = model(coarse_images(2, 70)), reference(coarse_images(2, 70))

    torch.testing.assert_close(logits, functional.linear(outputs, *head), rtol=1e-4, atol=1e-5)


def test_resnet_computes_what_torchvisions_does() -> None:
    torch.manual_seed(0)
    model, reference = resnet(depth=18).eval(), resnet18(num_classes=8).eval()
    reference.load_state_dict(model.state_dict())

    with torch.no_grad():
        torch.testing.assert_close(model(noise(2, 64)), reference(noise(2, 64)))


def test_the_custom_cnn_computes_the_plain_formula() -> None:
    torch.manual_seed(0)
    model = custom_cnn(image_size=16).eval()
    *filters, hidden_weight, hidden_bias, weight, bias = [p.detach() for p in model.parameters()]
    values = noise(3, 16)
    for kernel, offset in zip(filters[::2], filters[1::2], strict=True):
        values = functional.max_pool2d(functional.conv2d(values, kernel, offset, padding=1), 2)
        values = values.clamp(min=0)

    expected = (values.reshape(3, -1) @ hidden_weight.T + hidden_bias) @ weight.T + bias

    with torch.no_grad():
        torch.testing.assert_close(model(noise(3, 16)), expected, rtol=1e-4, atol=1e-5)


def test_alexnet_learns_at_once_from_scratch_where_the_usual_initialization_stays() -> None:
    torch.manual_seed(0)
    model, usual = alexnet().eval(), AlexNet(num_classes=8).eval()
    images, labels = coarse_images(8, 63), torch.arange(8)
    with torch.no_grad():
        spreads = [network(images).std(0).mean() for network in (model, usual)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss: Any = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(math.log(8), abs=0.3)
    assert losses[0] - losses[-1] > 0.15
    assert spreads[0] > 0.05 > 0.002 > spreads[1]


@pytest.mark.parametrize("variant", ["torchvision", "krizhevsky"])
def test_initial_weights_have_the_documented_spread_and_repeat_with_the_seed(variant: Any) -> None:
    torch.manual_seed(0)
    model = alexnet(variant=variant)
    torch.manual_seed(0)
    again = alexnet(variant=variant)

    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            gain = 2 if isinstance(layer, nn.Conv2d) else 1
            spread = (gain / layer.weight[0].numel()) ** 0.5 if name != "head" else 0.01
            assert layer.weight.std().item() == pytest.approx(spread, rel=0.05), name
            assert not layer.state_dict()["bias"].any(), name
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("name", "shape", "fragment"),
    [
        ("alexnet", (1, 3, 62, 80), "of at least 63 x 63 px, but got shape .1, 3, 62, 80.. Resize"),
        ("alexnet", (1, 1, 80, 80), "of at least 63 x 63 px, but got shape .1, 1, 80, 80"),
        ("alexnet", (3, 80, 80), "of at least 63 x 63 px, but got shape .3, 80, 80"),
        ("krizhevsky", (2, 3, 224, 224), "of 227 x 227 px, but got .*Resize each image to 227"),
        ("custom_cnn", (1, 3, 32, 16), "of 32 x 32 px, but got shape .1, 3, 32, 16"),
    ],
)
def test_a_batch_of_another_shape_is_refused(
    name: str, shape: tuple[int, ...], fragment: str
) -> None:
    build, options, _ = BUILDERS[name]
    model = without_memory(build, **options)

    with pytest.raises(ValueError, match=rf"`images` to be a batch \(N, 3, H, W\) {fragment}"):
        model(torch.zeros(shape, device="meta"))
    with pytest.raises(TypeError, match=r"`images` to be a floating-point batch, but got .*uint8"):
        model(torch.zeros(shape, dtype=torch.uint8, device="meta"))


@pytest.mark.parametrize(
    ("build", "options", "error", "fragment"),
    [
        (alexnet, {"variant": "torchvison"}, ValueError, "`variant` .*Did you mean 'torchvision'"),
        (alexnet, {"head": "both"}, ValueError, "`head` to be one of 'append', 'replace'"),
        (alexnet, {"num_classes": 0}, ValueError, "`num_classes` to be an integer of 1 or more"),
        (alexnet, {"num_classes": 8.0}, TypeError, "`num_classes` .*8.0 of type float"),
        (custom_cnn, {"image_size": 7}, ValueError, "`image_size` to be an integer of 8 or more"),
        (custom_cnn, {"image_size": "224"}, TypeError, "`image_size` .*'224' of type str"),
        (custom_cnn, {"dropout": 1.5}, ValueError, r"`dropout` to be a number in 0\.\.1"),
        (custom_cnn, {"num_classes": -1}, ValueError, "`num_classes` to be an integer of 1"),
        (resnet, {"depth": 20}, ValueError, "`depth` to be one of 18, 34, 50, 101, 152"),
        (resnet, {"depth": 50.0}, TypeError, "`depth` to be an integer, but got 50.0"),
        (resnet, {"num_classes": 0}, ValueError, "`num_classes` to be an integer of 1 or more"),
    ],
)
def test_options_out_of_range_are_refused(
    build: Callable[..., nn.Module], options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        build(**options)

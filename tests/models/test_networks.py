"""What every network of this package keeps to, and what makes each of them the one it is."""

import copy
import json
import math
import pickle
import re
import warnings
from functools import partial
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

from dermolib import MetadataFusion, build_model, list_models
from dermolib.models import alexnet, custom_cnn, resnet

# Name, options, smallest images in px, number of parameters with eight classes
NETWORKS: list[tuple[str, dict[str, Any], int, int]] = [
    ("alexnet", {"variant": "torchvision", "head": "append"}, 63, 61_108_848),
    ("alexnet", {"variant": "torchvision", "head": "replace"}, 63, 57_036_616),
    ("alexnet", {"variant": "krizhevsky", "head": "append"}, 227, 60_973_232),
    ("alexnet", {"variant": "krizhevsky", "head": "replace"}, 227, 56_901_000),
    ("custom_cnn", {"image_size": 224, "dropout": 0.3}, 224, 1_981_928),
    ("custom_cnn", {"image_size": 32, "dropout": 0.1}, 32, 409_064),
    ("resnet18", {}, 33, 11_180_616),
    ("resnet34", {}, 33, 21_288_776),
    ("resnet50", {}, 33, 23_524_424),
    ("resnet101", {}, 33, 42_516_552),
    ("resnet152", {}, 33, 58_160_200),
]
VIT = "timm/vit_tiny_patch16_224"
DIRECT: dict[str, Any] = {"alexnet": alexnet, "custom_cnn": custom_cnn}
every_network = pytest.mark.parametrize(("name", "options", "size", "count"), NETWORKS)


def architecture(model: nn.Module) -> dict[str, Any]:
    record = model.architecture
    assert isinstance(record, dict)
    return record


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in model.state_dict().items()}


def without_memory(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, **options)


def coarse_images(number: int, size: int) -> Tensor:
    blocks = torch.rand(number, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 4 - 2
    return functional.interpolate(blocks, size=(size, size))


def test_the_networks_are_listed_in_order_and_all_of_them_are_tested_here() -> None:
    names = ["alexnet", "custom_cnn", "fusion", "resnet"]

    assert list_models() == names + [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
    assert {*list_models()} - {name for name, *_ in NETWORKS} == {"fusion", "resnet"}
    assert shapes(without_memory("resnet")) == shapes(without_memory("resnet50"))


@every_network
def test_a_network_is_what_its_builder_builds_records_how_and_can_be_traced(
    name: str, options: dict[str, Any], size: int, count: int
) -> None:
    model = without_memory(name, num_classes=5, **options)
    again = without_memory(**json.loads(json.dumps(architecture(model))))
    with torch.device("meta"):
        depth = name.removeprefix("resnet")
        direct = DIRECT[name](5, **options) if name in DIRECT else resnet(5, depth=int(depth))

    assert architecture(model) == {"name": name, "num_classes": 5, **options}
    assert architecture(again) == architecture(direct) == architecture(model)
    assert shapes(again) == shapes(direct) == shapes(model)
    traced = torch.fx.symbolic_trace(model)
    assert traced(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 5)
    assert sum(value.numel() for value in without_memory(name, **options).parameters()) == count


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        (name, options, size)
        for name, options, size, _ in NETWORKS
        if name in ("resnet18", "resnet50") or options.get("head") == "append" or size == 32
    ],
)
def test_every_parameter_gets_a_gradient_which_hooks_can_read_at_every_relu(
    name: str, options: dict[str, Any], size: int
) -> None:
    torch.manual_seed(0)
    model = build_model(name, **options)
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
        model(coarse_images(2, 64))


@settings(max_examples=15)
@given(classes=st.integers(1, 50), height=st.integers(63, 300), width=st.integers(63, 300))
def test_images_of_any_size_give_one_logit_for_each_class(
    classes: int, height: int, width: int
) -> None:
    images = torch.zeros(2, 3, height, width, device="meta")
    square, linear = images[..., :63, :63], (64 * 7**2 + 1) * 32 + 33 * classes

    for name in ("alexnet", "resnet18"):
        assert without_memory(name, num_classes=classes)(images).shape == (2, classes)
    custom = without_memory("custom_cnn", num_classes=classes, image_size=63)
    assert custom(square).shape == (2, classes)
    assert sum(value.numel() for value in custom.parameters()) == 376_000 + linear


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.modules() if not [*layer.children()]]


def test_layers_come_in_the_order_and_sizes_of_the_papers() -> None:
    block, hidden = ["Conv2d", "MaxPool2d", "Dropout", "ReLU"], ["Linear", "ReLU", "Dropout"]
    custom = without_memory("custom_cnn", dropout=0.1)
    ours, theirs = (
        without_memory("alexnet", variant=variant) for variant in ("krizhevsky", "torchvision")
    )
    outputs: list[tuple[int, ...]] = []
    for layer in [*custom.get_submodule("features"), *custom.get_submodule("classifier")]:  # type: ignore[misc] # both are nn.Sequential
        layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output.shape))

    custom(torch.zeros(2, 3, 224, 224, device="meta"))

    maps = [(2, 256, 112, 112), (2, 128, 56, 56), (2, 64, 28, 28)]
    assert outputs == [*maps, (2, 50_176), (2, 32), (2, 8)]
    assert kinds(custom) == [*block * 3, "Flatten", "Linear", "Linear"]
    assert {layer.p for layer in custom.modules() if isinstance(layer, nn.Dropout)} == {0.1}
    assert kinds(ours.get_submodule("classifier")) == [*hidden * 2, "Linear"]
    assert kinds(theirs.get_submodule("classifier")) == [
        "Dropout", *hidden, "Linear", "ReLU", "Linear",
    ]  # fmt: skip
    filters = [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3)]
    sizes = [(4096, 9216), (4096, 4096), (1000, 4096), (8, 1000)]
    weights = [tuple(value.shape) for value in ours.parameters() if value.ndim > 1]
    assert weights == [*filters, (256, 192, 3, 3), *sizes]


def test_networks_compute_what_torchvisions_and_the_plain_formula_do() -> None:
    torch.manual_seed(0)
    residual, model, custom = resnet(depth=18), alexnet(), custom_cnn(image_size=16)
    for network in (residual, model, custom):
        network.eval()
    theirs, reference = resnet18(num_classes=8).eval(), AlexNet().eval()
    theirs.load_state_dict(residual.state_dict())
    state = model.state_dict()
    head = [state.pop("head.weight"), state.pop("head.bias")]
    reference.load_state_dict(state)
    images, values = coarse_images(2, 70), coarse_images(3, 16)
    *filters, hidden_weight, hidden_bias, weight, bias = [p.detach() for p in custom.parameters()]

    with torch.no_grad():
        torch.testing.assert_close(residual(images), theirs(images))
        expected = functional.linear(reference(images), *head)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
        logits = custom(values)
    for kernel, offset in zip(filters[::2], filters[1::2], strict=True):
        values = functional.max_pool2d(functional.conv2d(values, kernel, offset, padding=1), 2)
        values = values.clamp(min=0)
    expected = (values.reshape(3, -1) @ hidden_weight.T + hidden_bias) @ weight.T + bias
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


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
    ("name", "options", "shape", "fragment"),
    [
        (
            "alexnet",
            {},
            (1, 3, 62, 80),
            r"of at least 63 x 63 px, .*\(1, 3, 62, 80\).*Resize each im",
        ),
        ("alexnet", {"variant": "krizhevsky"}, (2, 3, 224, 224), "of 227 x 227 px, .*Resize each"),
        ("custom_cnn", {"image_size": 32}, (1, 3, 32, 16), "of 32 x 32 px, .*to 32 x 32 px"),
        (VIT, {"img_size": (64, 32)}, (1, 3, 32, 64), r"of 64 x 32 px, .*\(1, 3, 32, 64\)"),
        (VIT, {"in_chans": 1}, (1, 3, 224, 224), "Give each image 1 channels"),
        ("resnet18", {}, (1, 3, 0, 64), r"of at least 1 x 1 px, .*\(1, 3, 0, 64\)"),
    ],
    ids=["small", "krizhevsky", "custom_cnn", "vit", "gray", "empty"],
)
def test_images_of_another_size_are_refused_with_that_of_the_network(
    name: str, options: dict[str, Any], shape: tuple[int, ...], fragment: str
) -> None:
    model = without_memory(name, **options)

    with pytest.raises(ValueError, match=rf"`images` to be a floating-point batch .*{fragment}"):
        model(torch.zeros(shape, device="meta"))


@pytest.mark.parametrize("fused", [False, True], ids=["alone", "fused"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alexnet", {}), ("alexnet", {"variant": "krizhevsky"}), ("custom_cnn", {}),
        ("resnet18", {}), ("timm/mobilenetv3_small_050", {}), (VIT, {}),
    ],
    ids=["alexnet", "krizhevsky", "custom_cnn", "resnet", "timm", "vit"],
)  # fmt: skip
def test_a_batch_of_another_form_is_refused_in_one_sentence_with_the_remedy(
    name: str, options: dict[str, Any], fused: bool
) -> None:
    model = without_memory(name, **options)
    if fused:
        with torch.device("meta"):
            model = MetadataFusion(model)
    zeros = partial(torch.zeros, device="meta")
    sizes = [zeros(3, 227, 227), zeros(3, 228, 227)]
    given: list[tuple[Any, type[Exception], str]] = [
        (zeros(2, 227, 227, 3), ValueError, "(2, 227, 227, 3). Move the channels first: `images.p"),
        (zeros(2, 1, 227, 227), ValueError, "(2, 1, 227, 227). Repeat the gray channel: `images.e"),
        (zeros(2, 4, 227, 227), ValueError, "(2, 4, 227, 227). Give each image 3 channels"),
        (zeros(3, 227, 227), ValueError, "(3, 227, 227). Join the images with `torch.stack`, or"),
        (zeros(2, 3, 227, 227, dtype=torch.uint8), TypeError, "uint8 of shape (2, 3, 227, 227). S"),
        (sizes, TypeError, "a list of tensors of shape (3, 227, 227), (3, 228, 227). Resize all"),
        ("photo.jpg", TypeError, "an object of type str. `torch.as_tensor` makes one"),
    ]

    for images, error, words in given:
        sentence = f"Expected `images` to be a floating-point batch (N, 3, H, W), but got .*{words}"
        sentence = re.escape(sentence).replace(re.escape(".*"), ".*")
        with pytest.raises(error, match=f"^{sentence}"):
            model(images)


def test_the_check_of_images_is_in_the_way_of_no_graph_compiled_traced_or_scripted() -> None:
    model = custom_cnn(image_size=8).eval()
    images = torch.ones(2, 3, 8, 8)
    expected = model(images)

    outer = torch.fx.symbolic_trace(nn.Sequential(nn.Identity(), model))
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))  # noqa: S301 # what this test wrote
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are deprecated, and still used for deployment
        trace: Any = torch.jit.trace
        others = [torch.jit.script(model), trace(model, images)]

    for one in (outer, compiled, copied, *others):
        assert torch.equal(one(images), expected)
    compiled = torch.compile(model, backend="eager")
    for one in (copied, compiled):
        with pytest.raises(ValueError, match="of 8 x 8 px"):
            one(torch.ones(2, 3, 9, 9))


@pytest.mark.parametrize(
    ("build", "options", "error", "fragment"),
    [
        (alexnet, {"num_classes": 0}, ValueError, "`num_classes` to be an integer of 1 or more"),
        (custom_cnn, {"num_classes": -1}, ValueError, "`num_classes` to be an integer of 1"),
        (resnet, {"num_classes": 0}, ValueError, "`num_classes` to be an integer of 1 or more"),
        (alexnet, {"variant": "torchvison"}, ValueError, "`variant` .*Did you mean 'torchvision'"),
        (alexnet, {"head": "both"}, ValueError, "`head` to be one of 'append', 'replace'"),
        (alexnet, {"num_classes": 8.0}, TypeError, "`num_classes` .*8.0 of type float"),
        (custom_cnn, {"image_size": 7}, ValueError, "`image_size` to be an integer of 8 or more"),
        (custom_cnn, {"image_size": "224"}, TypeError, "`image_size` .*'224' of type str"),
        (custom_cnn, {"dropout": 1.5}, ValueError, r"`dropout` to be a number in 0\.\.1"),
        (resnet, {"depth": 20}, ValueError, "`depth` to be one of 18, 34, 50, 101, 152"),
        (resnet, {"depth": 50.0}, TypeError, "`depth` to be an integer, but got 50.0"),
    ],
)
def test_options_out_of_range_are_refused(
    build: Any, options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        build(**options)

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dermolib.models import custom_cnn


def test_the_network_of_the_table_has_its_exact_number_of_parameters() -> None:
    model = custom_cnn()

    assert sum(parameter.numel() for parameter in model.parameters()) == 1_981_928


def test_the_shapes_are_those_of_the_table_and_the_flatten_gives_50176_values() -> None:
    with torch.device("meta"):
        model = custom_cnn()
        images = torch.zeros(2, 3, 224, 224)
    shapes: list[tuple[int, ...]] = []
    for layer in [*model.get_submodule("features"), *model.get_submodule("classifier")]:  # type: ignore[misc] # both are nn.Sequential
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(output.shape))

    model(images)

    assert [tuple(shape) for shape in shapes] == [
        (2, 256, 112, 112),
        (2, 128, 56, 56),
        (2, 64, 28, 28),
        (2, 50_176),
        (2, 32),
        (2, 8),
    ]


def test_a_block_is_convolution_pooling_dropout_relu_and_only_linear_layers_follow() -> None:
    model = custom_cnn(image_size=8)

    kinds = [type(layer).__name__ for layer in model.modules() if not [*layer.children()]]

    block = ["Conv2d", "MaxPool2d", "Dropout", "ReLU"]
    assert kinds == [*block, *block, *block, "Flatten", "Linear", "Linear"]


@settings(deadline=None, max_examples=20)
@given(num_classes=st.integers(1, 30), image_size=st.integers(8, 300))
def test_the_first_linear_layer_follows_the_image_size(num_classes: int, image_size: int) -> None:
    with torch.device("meta"):
        model = custom_cnn(num_classes, image_size=image_size)
        logits = model(torch.zeros(2, 3, image_size, image_size))

    count = sum(parameter.numel() for parameter in model.parameters())
    convolutions = 7_168 + 295_040 + 73_792
    linear = (64 * (image_size // 8) ** 2 + 1) * 32 + 33 * num_classes
    assert logits.shape == (2, num_classes)
    assert count == convolutions + linear


def test_the_logits_are_those_of_the_plain_formula() -> None:
    torch.manual_seed(0)
    model = custom_cnn(image_size=16).eval()
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        logits = model(images)

    *filters, hidden_weight, hidden_bias, weight, bias = [p.detach() for p in model.parameters()]
    values = images
    for kernel, offset in zip(filters[::2], filters[1::2], strict=True):
        values = functional.max_pool2d(functional.conv2d(values, kernel, offset, padding=1), 2)
        values = values.clamp(min=0)
    flat = values.reshape(3, -1)
    expected = (flat @ hidden_weight.T + hidden_bias) @ weight.T + bias
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient_and_no_relu_works_in_place() -> None:
    torch.manual_seed(0)
    model = custom_cnn(image_size=32)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    loss = functional.cross_entropy(model(images), torch.arange(4))
    gradients = torch.autograd.grad(loss, list(model.parameters()))

    assert all(gradient.any() for gradient in gradients)
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_dropout_is_that_of_the_option() -> None:
    model = custom_cnn(image_size=8, dropout=0.1)

    assert {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)} == {0.1}


def test_the_network_can_be_traced_symbolically() -> None:
    model = custom_cnn(image_size=8).eval()
    images = torch.ones(1, 3, 8, 8)

    traced = torch.fx.symbolic_trace(model)

    torch.testing.assert_close(traced(images), model(images))


@pytest.mark.parametrize("shape", [(1, 3, 32, 16), (1, 3, 16, 16)])
def test_a_batch_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    model = custom_cnn(image_size=32)

    message = (
        f"Expected `images` to be a batch (N, 3, H, W) of 32 x 32 px, but got shape {shape}. "
        "Resize each image to 32 x 32 px."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(torch.zeros(shape))


def test_a_batch_of_bytes_is_refused() -> None:
    model = custom_cnn(image_size=32)

    message = "Expected `images` to be a floating-point batch, but got torch.uint8. "
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image_size": 7},
            "Expected `image_size` to be an integer of 8 or more, but got 7.",
        ),
        ({"dropout": 1.5}, "Expected `dropout` to be a number in 0..1, but got 1.5."),
        (
            {"num_classes": -1},
            "Expected `num_classes` to be an integer of 1 or more, but got -1.",
        ),
    ],
)
def test_a_number_outside_its_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        custom_cnn(**options)  # type: ignore[arg-type] # the wrong value is the point


def test_a_size_that_is_no_integer_is_refused() -> None:
    message = "Expected `image_size` to be an integer of 8 or more, but got '224' of type str."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        custom_cnn(image_size="224")  # type: ignore[arg-type] # the wrong type is the point

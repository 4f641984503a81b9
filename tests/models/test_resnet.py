import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18  # type: ignore[import-untyped] # no annotations published

from dermolib.models import resnet


def images(number: int, size: int) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("depth", "count"),
    [
        (18, 11_180_616),
        (34, 21_288_776),
        (50, 23_524_424),
        (101, 42_516_552),
        (152, 58_160_200),
    ],
)
def test_the_number_of_parameters_is_exact(depth: int, count: int) -> None:
    with torch.device("meta"):
        model = resnet(depth=depth)

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@settings(deadline=None, max_examples=5)
@given(num_classes=st.integers(1, 50), size=st.integers(32, 256))
def test_any_image_gives_one_logit_for_each_class(num_classes: int, size: int) -> None:
    with torch.device("meta"):
        model = resnet(num_classes, depth=18)
        logits = model(torch.zeros(2, 3, size, size))

    assert logits.shape == (2, num_classes)


def test_the_network_computes_what_torchvisions_computes() -> None:
    torch.manual_seed(0)
    model, reference = resnet(depth=18).eval(), resnet18(num_classes=8).eval()
    reference.load_state_dict(model.state_dict())

    with torch.no_grad():
        logits, expected = model(images(2, 64)), reference(images(2, 64))

    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("depth", [18, 50])
def test_every_parameter_gets_a_gradient_which_hooks_can_read_at_every_relu(depth: int) -> None:
    torch.manual_seed(0)
    model = resnet(depth=depth)
    seen: list[object] = []
    for layer in model.modules():
        if isinstance(layer, (nn.ReLU, nn.Conv2d)):
            layer.register_full_backward_hook(lambda *found: seen.append(found))
    batch = images(3, 33).requires_grad_()

    loss = functional.cross_entropy(model(batch), torch.tensor([1, 5, 7]))
    gradients = torch.autograd.grad(loss, [batch, *model.parameters()])

    assert all(gradient.any() for gradient in gradients)
    assert len(seen) > depth
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


def test_a_gradient_hook_at_the_batch_norm_that_ends_a_block_fails_as_documented() -> None:
    model = resnet(depth=18)
    model.get_submodule("layer4.1.bn2").register_full_backward_hook(lambda *_: None)

    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        model(images(2, 64))


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_model_knows_how_it_was_built(depth: int) -> None:
    with torch.device("meta"):
        model = resnet(5, depth=depth)

    assert model.architecture == {"name": f"resnet{depth}", "num_classes": 5}


def test_an_unknown_depth_is_refused_with_the_known_ones() -> None:
    message = "Expected `depth` to be one of 18, 34, 50, 101, 152, but got 20."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resnet(depth=20)


def test_a_depth_that_is_no_integer_is_refused() -> None:
    message = "Expected `depth` to be an integer, but got 50.0 of type float."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        resnet(depth=50.0)  # type: ignore[arg-type] # the wrong type is the point


def test_a_number_of_classes_below_one_is_refused() -> None:
    message = "Expected `num_classes` to be an integer of 1 or more, but got 0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resnet(0)

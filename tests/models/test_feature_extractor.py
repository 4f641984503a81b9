import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dermolib import build_model
from dermolib.models import FeatureExtractor

LITE = "timm/tf_efficientnet_lite0"


def images(number: int, size: int) -> Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


def alexnet_features(model: Any, batch: Tensor) -> Tensor:
    flat: Tensor = torch.flatten(model.avgpool(model.features(batch)), 1)
    for layer in list(model.classifier)[:-1]:
        flat = layer(flat)
    return flat


def custom_cnn_features(model: Any, batch: Tensor) -> Tensor:
    flatten, hidden, _ = model.classifier
    values: Tensor = hidden(flatten(model.features(batch)))
    return values


def resnet_features(model: Any, batch: Tensor) -> Tensor:
    values: Tensor = model.maxpool(model.relu(model.bn1(model.conv1(batch))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        values = stage(values)
    return values.mean((2, 3))


def lite_features(model: Any, batch: Tensor) -> Tensor:
    values: Tensor = model.bn2(model.conv_head(model.blocks(model.bn1(model.conv_stem(batch)))))
    return values.mean((2, 3))


@pytest.mark.parametrize(
    ("name", "options", "by_hand", "layer", "size"),
    [
        ("alexnet", {"head": "append"}, alexnet_features, "classifier.6", 4096),
        ("alexnet", {"head": "replace"}, alexnet_features, "classifier.6", 4096),
        ("custom_cnn", {"image_size": 64}, custom_cnn_features, "classifier.2", 32),
        ("resnet18", {}, resnet_features, "fc", 512),
        (LITE, {}, lite_features, "classifier", 1280),
    ],
    ids=["alexnet append", "alexnet replace", "custom_cnn", "resnet18", "lite"],
)
def test_the_features_are_what_the_last_linear_layer_is_given(
    name: str,
    options: dict[str, Any],
    by_hand: Callable[[Any, Tensor], Tensor],
    layer: str,
    size: int,
) -> None:
    torch.manual_seed(0)
    model = build_model(name, **options).eval()
    batch = images(2, 64)

    features = FeatureExtractor(model)

    assert (features.layer, features.size) == (layer, size)
    with torch.no_grad():
        torch.testing.assert_close(features(batch), by_hand(model, batch))


def test_the_last_layer_on_the_features_gives_the_logits() -> None:
    torch.manual_seed(0)
    model: Any = build_model("resnet18").eval()
    batch = images(2, 64)

    with torch.no_grad():
        logits = model.fc(FeatureExtractor(model)(batch))

    torch.testing.assert_close(logits, model(batch))


@given(hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4), classes=st.integers(1, 9))
def test_any_chain_of_linear_layers_is_cut_before_the_last(hidden: list[int], classes: int) -> None:
    sizes = [12, *hidden, classes]
    layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    chain = nn.Sequential(nn.Flatten(), *layers)
    batch = images(2, 2)

    features = FeatureExtractor(chain)

    assert torch.equal(features(batch), chain[:-1](batch))
    assert torch.equal(layers[-1](features(batch)), chain(batch))


def test_the_model_is_left_as_it_is_and_its_layers_are_shared() -> None:
    model: Any = build_model("resnet18")
    names = list(model.state_dict())

    features: Any = FeatureExtractor(model)

    assert list(model.state_dict()) == names
    assert features.model.layer4 is model.layer4
    assert [name for name, _ in features.model.named_parameters()] == [
        name for name, _ in model.named_parameters() if not name.startswith("fc.")
    ]


def test_what_trains_the_features_trains_the_model() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 8))
    features = FeatureExtractor(model)
    before = model[1].weight.clone()

    features(images(2, 2)).sum().backward()
    torch.optim.SGD(features.parameters(), lr=0.1).step()

    assert not torch.equal(model[1].weight, before)
    assert torch.equal(model[:2](images(2, 2)), features(images(2, 2)))


def test_every_parameter_of_the_features_gets_a_gradient() -> None:
    torch.manual_seed(0)
    features = FeatureExtractor(build_model("alexnet"))

    gradients = torch.autograd.grad(features(images(2, 64)).sum(), list(features.parameters()))

    assert all(gradient.any() for gradient in gradients)


def test_the_features_come_in_bfloat16_under_autocast() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 8))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = FeatureExtractor(model)(images(2, 2))

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), model[:2](images(2, 2)), rtol=0.05, atol=0.05)


def test_moving_the_features_to_another_precision_moves_the_model() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5), nn.Linear(5, 8))
    features = FeatureExtractor(model)

    features.double()

    assert features(images(2, 2).double()).dtype == torch.float64
    assert {value.dtype for value in model[2].parameters()} == {torch.float64}


def pickled(module: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(module))  # noqa: S301 # its own pickle


@pytest.mark.parametrize("again", [copy.deepcopy, pickled])
def test_the_features_are_copied_and_pickled(again: Callable[[nn.Module], Any]) -> None:
    torch.manual_seed(0)
    features = FeatureExtractor(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 8)))

    assert torch.equal(again(features)(images(2, 2)), features(images(2, 2)))


def test_a_single_linear_layer_gives_its_input() -> None:
    rows = torch.ones(2, 4)

    assert torch.equal(FeatureExtractor(nn.Linear(4, 3))(rows), rows)


def test_what_the_model_takes_beside_images_is_handed_on() -> None:
    class Joined(nn.Module):
        takes_metadata = True

        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(3, 2)

        def forward(self, rows: Tensor, metadata: Tensor) -> Tensor:
            logits: Tensor = self.last(rows + metadata)
            return logits

    features = FeatureExtractor(Joined())

    assert features.takes_metadata
    assert torch.equal(features(torch.ones(2, 3), torch.ones(2, 3)), torch.full((2, 3), 2.0))
    assert torch.equal(
        features(torch.ones(2, 3), metadata=torch.ones(2, 3)), torch.full((2, 3), 2.0)
    )


def gated() -> nn.Module:
    """Build a network whose last linear layer does not give the logits."""
    gate = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), nn.Unflatten(1, (12, 1, 1)))
    return nn.Sequential(gate, nn.Conv2d(12, 8, 1), nn.Flatten())


def misnamed() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 8))
    model.penultimate_layer = "fc"  # type: ignore[assignment] # torch types attributes so
    return model


@pytest.mark.parametrize(
    ("model", "error", "fragment"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten()), ValueError, "from an `nn.Linear`, but"),
        (gated(), ValueError, r"'0.1', but got \(2, 8\) instead of \(2, 12\).*`penultimate_layer`"),
        (misnamed(), ValueError, "`penultimate_layer` .* but got 'fc'. The last is '2'"),
        ("resnet18", TypeError, "`model` to be a torch module, but got an object of type str"),
    ],
    ids=["convolutions", "gate", "name", "text"],
)
def test_what_has_no_features_is_refused(model: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        FeatureExtractor(model)(images(2, 2))

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


def images(number: int, size: int = 2) -> Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


def chain(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), *between, nn.Linear(5, 8))


def resnet_features(model: Any, batch: Tensor) -> Tensor:
    values: Tensor = model.maxpool(model.relu(model.bn1(model.conv1(batch))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        values = stage(values)
    return values.mean((2, 3))


BY_HAND: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "alexnet": lambda model, batch: model.classifier[:-1](
        model.avgpool(model.features(batch)).flatten(1)
    ),
    "custom_cnn": lambda model, batch: model.classifier[:-1](model.features(batch)),
    "resnet18": resnet_features,
    "timm/tf_efficientnet_lite0": lambda model, batch: model.bn2(
        model.conv_head(model.blocks(model.bn1(model.conv_stem(batch))))
    ).mean((2, 3)),
}


@pytest.mark.parametrize(
    ("name", "options", "layer", "size"),
    [
        ("alexnet", {"head": "append"}, "classifier.6", 4096),
        ("alexnet", {"head": "replace"}, "classifier.6", 4096),
        ("custom_cnn", {"image_size": 64}, "classifier.2", 32),
        ("resnet18", {}, "fc", 512),
        ("timm/tf_efficientnet_lite0", {}, "classifier", 1280),
    ],
)
def test_the_features_are_what_the_last_linear_layer_is_given_and_each_parameter_trains(
    name: str, options: dict[str, Any], layer: str, size: int
) -> None:
    torch.manual_seed(0)
    model: Any = build_model(name, **options).eval()
    names, batch = list(model.state_dict()), images(2, 64)

    features = FeatureExtractor(model)

    assert (features.layer, features.size) == (layer, size)
    found = features(batch)
    torch.testing.assert_close(found, BY_HAND[name](model, batch))
    assert all(one.any() for one in torch.autograd.grad(found.sum(), [*features.parameters()]))
    assert list(model.state_dict()) == names
    if name == "resnet18":
        torch.testing.assert_close(model.fc(found), model(batch))
        assert features.model.get_submodule("layer4") is model.layer4
        trained = [key for key, _ in model.named_parameters() if not key.startswith("fc.")]
        assert [key for key, _ in features.model.named_parameters()] == trained


@given(hidden=st.lists(st.integers(1, 9), max_size=4), classes=st.integers(1, 9))
def test_any_chain_of_linear_layers_is_cut_before_the_last(hidden: list[int], classes: int) -> None:
    layers = [nn.Linear(*pair) for pair in pairwise([12, *hidden, classes])]
    network = nn.Sequential(nn.Flatten(), *layers)

    features = FeatureExtractor(network)

    assert torch.equal(features(images(2)), network[:-1](images(2)))
    assert torch.equal(layers[-1](features(images(2))), network(images(2)))


def test_what_trains_or_moves_the_features_trains_and_moves_the_model() -> None:
    model = chain(nn.BatchNorm1d(5))
    features, before = FeatureExtractor(model), model(images(2))

    features(images(2))[:, 0].square().sum().backward()
    torch.optim.SGD(features.parameters(), lr=0.1).step()
    assert not torch.equal(model(images(2)), before)
    features.double()

    assert features(images(2).double()).dtype == torch.float64
    assert {value.dtype for value in model[2].parameters()} == {torch.float64}


def test_the_features_come_in_bfloat16_under_autocast() -> None:
    model = chain()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = FeatureExtractor(model)(images(2))

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), model[:2](images(2)), rtol=0.05, atol=0.05)


def test_the_features_are_copied_and_pickled() -> None:
    features = FeatureExtractor(chain())

    pickled = pickle.loads(pickle.dumps(features))  # noqa: S301 - its own pickle

    for again in (copy.deepcopy(features), pickled):
        assert torch.equal(again(images(2)), features(images(2)))


def test_what_the_model_takes_beside_images_is_handed_on() -> None:
    class Joined(nn.Module):
        takes_metadata = True

        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(3, 2)

        def forward(self, rows: Tensor, metadata: Tensor) -> Tensor:
            logits: Tensor = self.last(rows + metadata)
            return logits

    features, rows = FeatureExtractor(Joined()), torch.ones(2, 3)

    assert features.takes_metadata
    assert torch.equal(features(rows, rows), 2 * rows)
    assert torch.equal(features(rows, metadata=rows), 2 * rows)


def gated() -> nn.Module:
    """Build a network whose last linear layer does not give the logits."""
    gate = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), nn.Unflatten(1, (12, 1, 1)))
    return nn.Sequential(gate, nn.Conv2d(12, 8, 1), nn.Flatten())


def misnamed() -> nn.Module:
    model = chain()
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
        FeatureExtractor(model)(images(2))

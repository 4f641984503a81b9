"""Load weights into a model, all but its last layer or an error; and are weights finite?"""

import logging
import os
from collections.abc import Callable, Collection, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dermolib._jobs import check_folder
from dermolib._validation import PathLike, check_type, expected, listed, printable, require
from dermolib.io import digest_file
from dermolib.models.weight_files import StateDict, read_state_dict, without_prefixes

__all__ = [
    "DEFAULT",
    "check_finite",
    "first_broken",
    "last_layer",
    "load_weights",
    "own_constants",
]

DEFAULT = "DEFAULT"

_IMAGENET_CLASSES = 1000
_STATISTICS = ("running_mean", "running_var")  # names that normalization gives its buffers
_FETCH = "Download the file by other means and pass its path as `weights`."
_log = logging.getLogger(__name__)


def load_weights(
    model: nn.Module,
    weights: PathLike | None,
    *,
    heads: Collection[str] = (),
    published: str | None = None,
    convert: Callable[[StateDict, StateDict], StateDict] | None = None,
) -> None:
    """Fill a model with weights in place; an error leaves it as it was.

    A file may hold all weights of exactly this model, or all but those of its `heads`, layers which
    keep their initial values where the file has none or those of another number of classes.
    `published` names the network whose weights torchvision publishes; `convert` translates a file
    that does not fit as it is, given the state dicts of the file and of the model.
    """
    if weights is None:
        return
    check_type(weights, "weights", (str, os.PathLike), "None, 'DEFAULT' or a path")
    path = _published(model, published) if weights == DEFAULT else Path(weights)
    own = model.state_dict()
    found = without_prefixes(read_state_dict(path), own, path)
    rest = _without_other_heads(found, own, heads)
    if convert is not None and _differences(own, rest, heads):
        _log.info("Converting %s, whose tensors are not those of the model", printable(path))
        found = convert(found, own)
        rest = _without_other_heads(found, own, heads)
    what = f"weights of {_describe(model)}, whose last layer alone may be another"
    hint = "Build the model with the name and options that the file was saved from."
    differences = _differences(own, rest, heads)
    require(not differences, str(path), what, f"keys {differences}", hint)
    others = [key for key, value in rest.items() if not _is_alike(value, own[key])]
    what, got = "numbers of the kind of the model's", f"others in {listed(others, most=3)}"
    require(not others, str(path), what, got, "Save the model again.")
    rest = {key: value.to(own[key].dtype) for key, value in rest.items()}
    hint = "Download or save the file again."
    check_finite(rest.items(), str(path), own_constants(model), hint=hint)
    # What may be missing was checked: heads, and counters that old files do not have
    model.load_state_dict(rest, strict=False)
    _report_heads(path, own, found, rest, heads)


def last_layer(model: nn.Module, num_classes: int) -> list[str]:
    """Name the last layer of a classifier that has a row of weights for each class, if any has."""
    layers = [one for one in model.named_modules() if isinstance(one[1], (nn.Linear, nn.Conv2d))]
    return [name for name, one in layers if len(one.weight) == num_classes][-1:]


def own_constants(model: nn.Module) -> frozenset[str]:
    """Name the buffers that hold NaN or infinity on purpose, such as a mask for attention.

    Those are all that do before training, but for the statistics of normalization.
    """
    buffers = [one for one in model.named_buffers() if not one[0].endswith(_STATISTICS)]
    return frozenset(name for name, value in buffers if first_broken([(name, value)]))


def first_broken(tensors: Iterable[tuple[str, Any]], own: Collection[str] = ()) -> str:
    """Name the first tensor with NaN or infinity that is not in `own`; empty if all are finite."""
    values = {name: one.detach() for name, one in tensors if name not in own and _is_real(one)}
    # It overflows where a value is far too large as well; the norm of the largest is much slower
    if bool(torch.isfinite(nn.utils.get_total_norm(values.values()))):
        return ""
    found = (name for name, value in values.items() if not bool(torch.isfinite(value).all()))
    return next(found, "")


def check_finite(
    tensors: Iterable[tuple[str, Any]], name: str, own: Collection[str], *, hint: str
) -> None:
    """Refuse weights with NaN or infinity in another tensor than those of `own`."""
    broken = first_broken(tensors, own)
    require(not broken, name, "finite weights", f"NaN or infinity, first in `{broken}`", hint)


def _is_real(value: Any) -> bool:
    """Whether this is a tensor of values that can be infinite; lazy ones have no values yet."""
    known = isinstance(value, Tensor) and not nn.parameter.is_lazy(value)
    return known and value.numel() > 0 and (value.is_floating_point() or value.is_complex())


def _describe(model: nn.Module) -> str:
    """Describe a model by its record, or by its class where it has none."""
    record = dict(getattr(model, "architecture", {}))
    if not record:
        return f"this {type(model).__name__}"
    name = record.pop("name")
    return f"{name!r} with {', '.join(f'{key}={value!r}' for key, value in record.items())}"


def _published(model: nn.Module, name: str | None) -> Path:
    """Download a file into torch's hub cache unless it is there; check its digest either way."""
    got = f"'{DEFAULT}', and none are published for {_describe(model)}"
    require(name, "weights", "None or a path", got)
    # Seconds to import, and needed for this address alone
    from torchvision.models import (  # type: ignore[import-untyped] # no annotations published
        get_model_weights,
    )

    address = get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir(), "checkpoints", address.rpartition("/")[2])
    digest = path.stem.rpartition("-")[2]
    what = f"the published file at {address}, whose SHA-256 begins with {digest}"
    if not path.exists():
        check_folder(path.parent, "TORCH_HOME", "Set it to a folder that can be written.")
        path.parent.mkdir(parents=True, exist_ok=True)
        _log.info("Downloading %s to %s", address, printable(path))
        try:
            torch.hub.download_url_to_file(address, str(path), hash_prefix=digest)
        except (OSError, HTTPException) as error:
            reachable = f"a file that can be downloaded from {address}"
            raise ConnectionError(expected("weights", reachable, error, _FETCH)) from error
        except RuntimeError as error:  # the digest differs, and torch has removed the file
            raise ValueError(expected("weights", what, "another file", _FETCH)) from error
    actual = digest_file(path)
    hint = "Delete the file to download it again."
    require(actual.startswith(digest), str(path), what, f"SHA-256 {actual[:16]}…", hint)
    return path


def _is_alike(value: Tensor, own: Tensor) -> bool:
    """Tell whether numbers are real, and not counts where the model's are not."""
    return not value.is_complex() and value.is_floating_point() >= own.is_floating_point()


def _head_of(key: str, heads: Collection[str]) -> str:
    """Name the head that a tensor belongs to, empty if to none."""
    return next((head for head in heads if key.startswith(f"{head}.")), "")


def _without_other_heads(found: StateDict, own: StateDict, heads: Collection[str]) -> StateDict:
    """Leave out the heads of a file that are for other classes, or of other layers."""
    of_heads = {key: head for key in found if (head := _head_of(key, heads))}
    others = {h for key, h in of_heads.items() if key not in own or _differ(found[key], own[key])}
    return {key: value for key, value in found.items() if of_heads.get(key) not in others}


def _differ(value: Tensor, own: Tensor) -> bool:
    """Whether a tensor differs from the model's in its number of rows alone, one for each class."""
    return value.shape[1:] == own.shape[1:] and value.shape != own.shape


def _report_heads(
    path: Path, own: StateDict, found: StateDict, rest: StateDict, heads: Collection[str]
) -> None:
    """Log which layers keep their initial values; loudly unless their classes were ImageNet's."""
    kept = sorted({_head_of(key, heads) for key in own if key not in rest} - {""})
    if not kept:
        return
    left_out = (value for key, value in found.items() if key not in rest and value.ndim > 1)
    classes = {len(value) for value in left_out}
    level = logging.INFO if classes <= {_IMAGENET_CLASSES} else logging.WARNING
    there = f"{listed(f'{one:,}' for one in sorted(classes))} classes" if classes else "it has none"
    text = f"Loaded {path} without a last layer ({there}): `{listed(kept)}` is left as initialized"
    _log.log(level, "%s", printable(text))


def _differences(own: StateDict, found: StateDict, heads: Collection[str]) -> str:
    """List the tensors of a file that are missing, unexpected or of another shape."""
    optional = {*heads} - {_head_of(key, heads) for key in found}
    missing = [
        key
        for key in own
        if not (key in found or _head_of(key, optional) or key.endswith("num_batches_tracked"))
    ]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in found.items()
        if key in own and value.shape != own[key].shape
    ]
    unexpected = [key for key in found if key not in own]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    return "; ".join(f"{len(keys)} {kind} ({listed(keys, most=3)})" for kind, keys in kinds if keys)

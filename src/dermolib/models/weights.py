"""Load weights into a model, all of them or an error, and tell whether weights are finite."""

import logging
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dermolib._jobs import check_folder
from dermolib._validation import PathLike, check_type, expected, listed, printable, require
from dermolib.io import check_file, digest_file, open_file

__all__ = ["DEFAULT", "check_finite", "first_broken", "load_weights", "own_constants"]

DEFAULT = "DEFAULT"

_IMAGENET_CLASSES = 1000
_STATISTICS = ("running_mean", "running_var")  # names that normalization gives its buffers
_ENDINGS = (".pth", ".pt", ".safetensors")
_NESTED = ("state_dict", "model")
_DEEPEST = 8  # state dicts in state dicts; one that holds itself would never end
_FETCH = "Download the file by other means and pass its path as `weights`."
_log = logging.getLogger(__name__)

StateDict: TypeAlias = Mapping[str, Tensor]


def load_weights(
    model: nn.Module,
    weights: PathLike | None,
    *,
    fresh: Collection[str] = (),
    published: str | None = None,
    rename: Callable[[StateDict, StateDict], StateDict] | None = None,
) -> None:
    """Fill a model with weights in place; an error leaves it as it was.

    A file may hold all weights of exactly this model, or those of its ImageNet original: there the
    `fresh` layers are absent or have 1000 outputs, and keep their initial values. `published` names
    the network whose weights torchvision publishes; `rename` translates the names of a file, given
    the state dicts of the file and of the model.
    """
    if weights is None:
        return
    check_type(weights, "weights", (str, os.PathLike), "None, 'DEFAULT' or a path")
    path = _published(model, published) if weights == DEFAULT else Path(weights)
    own, found = model.state_dict(), _state_dict(path)
    if rename is not None:
        found = rename(found, own)
    found = {
        key: value
        for key, value in found.items()
        if not (_layer(key) in fresh and key in own and _is_imagenet(value, own[key]))
    }
    what = f"weights of {_describe(model)}, or ImageNet weights of this network"
    hint = "Build the model with the name and options that the file was saved from."
    differences = _differences(own, found, fresh)
    require(not differences, str(path), what, f"keys {differences}", hint)
    others = [key for key, value in found.items() if not _is_alike(value, own[key])]
    what, got = "numbers of the kind of the model's", f"others in {listed(others, most=3)}"
    require(not others, str(path), what, got, "Save the model again.")
    found = {key: value.to(own[key].dtype) for key, value in found.items()}
    hint = "Download or save the file again."
    check_finite(found.items(), str(path), own_constants(model), hint=hint)
    # What may be missing was checked: fresh layers, and counters that old files do not have
    model.load_state_dict(found, strict=False)


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


def _state_dict(path: Path) -> StateDict:
    content = _read(path)
    for _ in range(_DEEPEST):
        inner = [content.get(key) for key in _NESTED] if isinstance(content, Mapping) else []
        content = next((one for one in inner if isinstance(one, Mapping)), content)
    what, hint = "a state dict of tensors", "Save `model.state_dict()`, alone or as 'state_dict'."
    known = isinstance(content, Mapping)
    got = "an empty one" if known else f"an object of type {type(content).__name__}"
    require(known and content, str(path), what, got, hint)
    others = [key for key, value in content.items() if not _is_plain(value)]
    require(not others, str(path), what, f"other values under {listed(others)}", hint)
    return {str(key): value for key, value in content.items()}


def _is_plain(value: Any) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided
    return dense and not (value.is_meta or value.is_quantized)


def _read(path: Path) -> Any:
    ending = path.suffix.lower()
    what, hint = "a file ending in .pth, .pt or .safetensors", "Pass 'DEFAULT' for published ones."
    require(ending in _ENDINGS, "weights", what, repr(str(path)), hint)
    require(path.exists(), "weights", "an existing file", repr(str(path)), error=FileNotFoundError)
    check_file(path)
    try:
        _check_sums(path)
        if ending == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # torch warns of pickles that it did not write, and then refuses most of them
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # a damaged file may fail in any way, with any words
        got = f"{path.stat().st_size} bytes that cannot be read as such"
        hint = "Download or save the file again."
        code = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and code:
            got = f"a pickle that calls `{code[1]}`, which was not run"
            hint = "Save `model.state_dict()` alone, or as .safetensors."
        raise ValueError(expected(str(path), "a file of plain tensors", got, hint)) from error


def _check_sums(path: Path) -> None:
    """Read a zip file, as torch writes, for its sums, which torch does not look at."""
    with open_file(path) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for info in filter(lambda info: info.CRC, archive.infolist()):  # may have none
                    with archive.open(info) as member:
                        while member.read(1 << 20):
                            pass


def _is_alike(value: Tensor, own: Tensor) -> bool:
    """Tell whether numbers are real, and not counts where the model's are not."""
    return not value.is_complex() and value.is_floating_point() >= own.is_floating_point()


def _is_imagenet(value: Tensor, own: Tensor) -> bool:
    """Tell the ImageNet classifier of a file, unless the model has the same."""
    return value.shape != own.shape and value.shape[:1] == (_IMAGENET_CLASSES,)


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _differences(own: StateDict, found: StateDict, fresh: Collection[str]) -> str:
    """List the tensors of a file that are missing, unexpected or of another shape."""
    optional = () if any(_layer(key) in fresh for key in found) else fresh
    missing = [
        key
        for key in own
        if not (key in found or _layer(key) in optional or key.endswith("num_batches_tracked"))
    ]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in found.items()
        if key in own and value.shape != own[key].shape
    ]
    unexpected = [key for key in found if key not in own]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    return "; ".join(f"{len(keys)} {kind} ({listed(keys, most=3)})" for kind, keys in kinds if keys)

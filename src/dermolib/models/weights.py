"""Load weights into a model: from a file, or from torchvision's hub; all of them or an error."""

import hashlib
import logging
import os
import pickle
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dermolib._validation import PathLike, expected, listed, require
from dermolib.models.architecture import describe

__all__ = ["DEFAULT", "load_weights"]

DEFAULT = "DEFAULT"

_IMAGENET_CLASSES = 1000
_FETCH = "Download the file by other means and pass its path as `weights`."
_log = logging.getLogger(__name__)

StateDict: TypeAlias = Mapping[str, Tensor]


def load_weights(
    model: nn.Module,
    weights: PathLike | None,
    *,
    fresh: Collection[str] = (),
    url: Callable[[], str] | None = None,
    rename: Callable[[StateDict, StateDict], StateDict] | None = None,
) -> None:
    """Fill a model with weights; an error leaves it as it was.

    A file may hold all weights of exactly this model, or those of its ImageNet original: there the
    `fresh` layers are absent or have 1000 outputs, and keep their initial values. A state dict may
    be nested under the keys ``state_dict`` or ``model``.

    Args:
        model: Model; changed in place.
        weights: None for no change, ``"DEFAULT"`` for the file at `url`, or the path of a file
            ending in .pth, .pt or .safetensors.
        fresh: Names of the layers that ImageNet weights do not fill.
        url: Returns the address of the published weights; None where there are none.
        rename: Translates the names of a file, given the state dicts of the file and of the model.

    Raises:
        ConnectionError: The published weights cannot be downloaded.
        FileNotFoundError: There is no such file.
        TypeError: `weights` is not a path.
        ValueError: There are no published weights, or the file cannot be read, is not the one that
            was published, would run code, or belongs to another network.
    """
    if weights is None:
        return
    got = f"an object of type {type(weights).__name__}"
    is_path = isinstance(weights, (str, os.PathLike))
    require(is_path, "weights", "None, 'DEFAULT' or a path", got, error=TypeError)
    path = _published(model, url) if weights == DEFAULT else Path(weights)
    own = model.state_dict()
    found = _state_dict(path)
    if rename is not None:
        found = rename(found, own)
    # The ImageNet classifier of a file is left out, unless the model has the same
    found = {
        key: value
        for key, value in found.items()
        if not (_layer(key) in fresh and key in own and _is_imagenet(value, own[key]))
    }
    _check_match(path, model, found, fresh)
    # What may be missing was checked: fresh layers, and counters that old files do not have
    model.load_state_dict(found, strict=False)


def _published(model: nn.Module, url: Callable[[], str] | None) -> Path:
    """Download a file into torch's hub cache unless it is there; check its digest either way."""
    if url is None:
        got = f"'{DEFAULT}', and none are published for {describe(model)}"
        raise ValueError(expected("weights", "None or a path", got))
    address = url()
    path = Path(torch.hub.get_dir(), "checkpoints", address.rpartition("/")[2])
    digest = path.stem.rpartition("-")[2]
    what = f"the published file at {address}, whose SHA-256 begins with {digest}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _log.info("Downloading %s to %s", address, path)
        try:
            torch.hub.download_url_to_file(address, str(path), hash_prefix=digest)
        except (OSError, HTTPException) as error:
            text = expected(
                "weights", f"a file that can be downloaded from {address}", error, _FETCH
            )
            raise ConnectionError(text) from error
        except RuntimeError as error:  # the digest differs, and torch has removed the file
            raise ValueError(expected("weights", what, "another file", _FETCH)) from error
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    hint = "Delete the file to download it again."
    require(actual.startswith(digest), str(path), what, f"SHA-256 {actual[:16]}…", hint)
    return path


def _state_dict(path: Path) -> StateDict:
    content = _read(path)
    while isinstance(content, Mapping):
        nested = [content.get(key) for key in ("state_dict", "model")]
        if not any(isinstance(value, Mapping) for value in nested):
            break
        content = next(value for value in nested if isinstance(value, Mapping))
    name, what = str(path), "a state dict of tensors"
    got = f"an object of type {type(content).__name__}" if content else "an empty one"
    require(isinstance(content, Mapping) and content, name, what, got)
    others = [key for key, value in content.items() if not isinstance(value, Tensor)]
    hint = "Save `model.state_dict()`, alone or under the key 'state_dict'."
    require(not others, name, what, f"other values under {listed(others)}", hint)
    return {str(key): value for key, value in content.items()}


def _read(path: Path) -> Any:
    ending = path.suffix.lower()
    what, hint = "a file ending in .pth, .pt or .safetensors", "Pass 'DEFAULT' for published ones."
    require(ending in {".pth", ".pt", ".safetensors"}, "weights", what, repr(str(path)), hint)
    found = path.is_file()
    require(found, "weights", "an existing file", repr(str(path)), error=FileNotFoundError)
    try:
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


def _is_imagenet(value: Tensor, own: Tensor) -> bool:
    return value.shape != own.shape and value.shape[:1] == (_IMAGENET_CLASSES,)


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _check_match(path: Path, model: nn.Module, found: StateDict, fresh: Collection[str]) -> None:
    """Refuse tensors that are missing, unexpected or of another shape."""
    own = model.state_dict()
    optional = set() if any(_layer(key) in fresh for key in found) else set(fresh)
    differences = {
        "missing": [
            key
            for key in own
            if key not in found
            and _layer(key) not in optional
            and not key.endswith("num_batches_tracked")
        ],
        "unexpected": [key for key in found if key not in own],
        "of another shape": [
            f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
            for key, value in found.items()
            if key in own and value.shape != own[key].shape
        ],
    }
    got = "; ".join(
        f"{len(keys)} {kind} ({listed(keys, most=3)})" for kind, keys in differences.items() if keys
    )
    what = f"weights of {describe(model)}, or ImageNet weights of this network"
    hint = "Build the model with the name and options that the file was saved from."
    require(not got, str(path), what, f"keys {got}", hint)

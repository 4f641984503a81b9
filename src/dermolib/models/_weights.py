"""Weights into a model: from a file, or from torchvision's hub; all of them or a clear error."""

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

from dermolib._validation import PathLike, expected, listed
from dermolib.models._architecture import described

DEFAULT = "DEFAULT"

_IMAGENET_CLASSES = 1000
_log = logging.getLogger(__name__)

StateDict: TypeAlias = Mapping[str, Tensor]
Rename: TypeAlias = Callable[[StateDict, StateDict], StateDict]


def load_weights(
    model: nn.Module,
    weights: PathLike | None,
    *,
    fresh: Collection[str] = (),
    url: Callable[[], str] | None = None,
    rename: Rename | None = None,
) -> None:
    """Fill a model with weights; an error leaves it as it was.

    A file may hold all weights of exactly this model, or those of its ImageNet original: there the
    `fresh` layers are absent or have 1000 outputs, and keep the values that they were given when
    the model was built. A state dict may lie one or more levels deep, under the keys ``state_dict``
    or ``model``.

    Args:
        model: Model that carries its ``architecture``; changed in place.
        weights: None for no change, ``"DEFAULT"`` for the file at `url`, or the path of a file
            ending in .pth, .pt or .safetensors.
        fresh: Names of the layers that ImageNet weights do not fill.
        url: Gives the address of the published weights; None where there are none.
        rename: Translates the names of a file, given the state dicts of the file and of the model.

    Raises:
        ConnectionError: The published weights cannot be fetched.
        FileNotFoundError: There is no such file.
        TypeError: `weights` is no path.
        ValueError: There are no published weights, or the file cannot be read, is not the one that
            was published, would run code, or belongs to another network.
    """
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike)):
        got = f"an object of type {type(weights).__name__}"
        raise TypeError(expected("weights", "None, 'DEFAULT' or a path", got))
    path = _published(model, url) if weights == DEFAULT else Path(weights)
    own = model.state_dict()
    found = _state_dict(path)
    if rename is not None:
        found = rename(found, own)
    chosen = _chosen(found, own, fresh)
    _check_match(path, model, chosen, own, fresh)
    # what may be missing has been checked above: fresh layers, and counters that old files lack
    model.load_state_dict(chosen, strict=False)


def _published(model: nn.Module, url: Callable[[], str] | None) -> Path:
    if url is None:
        got = f"'{DEFAULT}', and none are published for {described(model)}"
        raise ValueError(expected("weights", "None or a path", got))
    return _hub_file(url())


def _hub_file(url: str) -> Path:
    """Fetch a file into torch's hub cache unless it is there, and check its digest either way."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    digest = path.stem.rpartition("-")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _log.info("Downloading %s to %s", url, path)
        _download(url, path, digest)
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not actual.startswith(digest):
        remedy = "Delete the file, and it is fetched again."
        what = f"the published file, whose SHA-256 begins with {digest}"
        raise ValueError(expected(str(path), what, f"SHA-256 {actual[:16]}…", remedy))
    return path


def _download(url: str, path: Path, digest: str) -> None:
    remedy = "Fetch the file by other means and give its path as `weights`."
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (OSError, HTTPException) as error:
        message = expected("weights", f"a file that can be fetched from {url}", error, remedy)
        raise ConnectionError(message) from error
    except RuntimeError as error:
        # torch's words for a digest that differs; it has removed the file again
        what = f"the published file at {url}, whose SHA-256 begins with {digest}"
        raise ValueError(expected("weights", what, "another file", remedy)) from error


def _state_dict(path: Path) -> StateDict:
    content = _read(path)
    while True:
        inner = [content.get(key) for key in ("state_dict", "model")] if _is_dict(content) else []
        nested = [value for value in inner if _is_dict(value)]
        if not nested:
            break
        content = nested[0]
    if not _is_dict(content) or not content:
        got = f"an object of type {type(content).__name__}" if content else "an empty one"
        raise ValueError(expected(str(path), "a state dict of tensors", got))
    others = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        got = f"other values under {listed(others)}"
        remedy = "Save `model.state_dict()`, alone or under the key 'state_dict'."
        raise ValueError(expected(str(path), "a state dict of tensors", got, remedy))
    return {str(key): value for key, value in content.items()}


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def _read(path: Path) -> Any:
    if path.suffix.lower() not in {".pth", ".pt", ".safetensors"}:
        remedy = "The word 'DEFAULT' stands for the published weights."
        what = "a file ending in .pth, .pt or .safetensors"
        raise ValueError(expected("weights", what, repr(str(path)), remedy))
    if not path.is_file():
        raise FileNotFoundError(expected("weights", "an existing file", repr(str(path))))
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # torch warns of pickles that it did not write, and then refuses most of them
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise ValueError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and code:
        got = f"a pickle that calls `{code[1]}`, which was not run"
        remedy = "Save `model.state_dict()` alone, or as .safetensors."
    else:
        got = f"{path.stat().st_size} bytes that cannot be read as such"
        remedy = "Fetch or save the file again."
    return expected(str(path), "a file of plain tensors", got, remedy)


def _chosen(found: StateDict, own: StateDict, fresh: Collection[str]) -> StateDict:
    """Leave out the ImageNet classifier of a file, unless the model has the same."""
    return {
        key: value
        for key, value in found.items()
        if not (_layer(key) in fresh and key in own and _is_imagenet_classifier(value, own[key]))
    }


def _is_imagenet_classifier(value: Tensor, own: Tensor) -> bool:
    return value.shape != own.shape and value.shape[:1] == (_IMAGENET_CLASSES,)


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _check_match(
    path: Path, model: nn.Module, chosen: StateDict, own: StateDict, fresh: Collection[str]
) -> None:
    without = set() if any(_layer(key) in fresh for key in chosen) else set(fresh)
    missing = [
        key
        for key in own
        if key not in chosen
        and _layer(key) not in without
        and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in chosen if key not in own]
    reshaped = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in chosen.items()
        if key in own and value.shape != own[key].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    faults = [
        f"{len(keys)} {kind} ({listed(keys, most=3)})" for kind, keys in kinds.items() if keys
    ]
    if faults:
        what = f"weights of {described(model)}, or ImageNet weights of this network"
        remedy = "Build the model with the name and options that the file was saved from."
        raise ValueError(expected(str(path), what, f"keys {'; '.join(faults)}", remedy))

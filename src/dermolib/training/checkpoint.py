"""Files of torch: models without code, and the state of a run."""

import copy
import io
import pickle
import zipfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermolib._jobs import describe_differences
from dermolib._validation import expected, listed, require, to_python
from dermolib.io import check_file, whole_file
from dermolib.labels import LabelSpace
from dermolib.models.registry import build_model
from dermolib.models.weights import check_finite, own_constants

__all__ = [
    "METADATA_KEY",
    "check_parts",
    "load_content",
    "plain_module",
    "read_checkpoint",
    "refusal",
    "without_numpy",
    "write_checkpoint",
    "write_content",
]

METADATA_KEY = "dermolib"
"""Key in the state of a run for its configuration, class names and position."""

_FORMAT = "dermolib-checkpoint-1"
_LEVELS = 100  # of values in values, far more than any state has
_DAMAGED = "Use another copy of the file: this one was changed."
_PARTS = {"format", "architecture", "class_names", "state_dict"}


def plain_module(model: Any) -> nn.Module:
    """Return a module that is not a wrapper of torch's, which renames its weights."""
    got, hint = f"an object of type {type(model).__name__}", "See `build_model`."
    require(isinstance(model, nn.Module), "model", "a torch module", got, hint, error=TypeError)
    wrapped = any(name.startswith("_orig_mod.") for name in model.state_dict())
    got = "the wrapper that `torch.compile` returned"
    hint = "Pass the model itself with `compile=True`, or compile it in place: `model.compile()`."
    require(not wrapped, "model", "the model itself", got, hint, error=TypeError)
    parallel = isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    got = f"the wrapper `{type(model).__name__}`"
    hint = "Pass its `.module`, with `devices=` and `strategy='ddp'` for several GPUs."
    require(not parallel, "model", "the model itself", got, hint, error=TypeError)
    plain: nn.Module = model
    return plain


def write_checkpoint(
    path: Path,
    model: nn.Module,
    class_names: list[str],
    config: dict[str, Any],
    own: Collection[str] = (),
) -> None:
    """Write weights, class names, options and how `build_model` built the model, atomically.

    Weights must be finite, but for those in `own`, see `own_constants`.
    """
    weights = model.state_dict()
    hint = "Load the weights of an earlier state, or build the model again."
    check_finite(weights.items(), "model", own, hint=hint)
    content = {
        "format": _FORMAT,
        "architecture": getattr(model, "architecture", None),
        "class_names": class_names,
        "config": config,
        "state_dict": {name: value.cpu() for name, value in weights.items()},
    }
    hint = f"Name a file in it, such as {path / 'model.pt'}."
    require(not path.is_dir(), "path", "a file", f"the folder {path}", hint)
    with whole_file(path) as temporary:
        write_content(content, temporary)


def write_content(content: Any, path: Path) -> None:
    """Write tensors and plain values; a full disk raises the `OSError` of the system."""
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:
        # torch reports a position in its archive instead of what the system said
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def without_numpy(value: Any) -> Any:
    """Turn numbers and strings of NumPy into Python's own; containers keep their kind."""
    if isinstance(value, np.generic):
        return to_python(value)
    if isinstance(value, dict):
        items = {without_numpy(key): without_numpy(one) for key, one in value.items()}
        copied = copy.copy(value)  # which keeps the versions that torch notes in a state dict
        copied.clear()
        copied.update(items)
        return copied
    if type(value) in (list, tuple):
        return type(value)(without_numpy(one) for one in value)
    return value


def refusal(path: Path, state: Mapping[str, Any]) -> str:
    """Word which object has a state that does not load from the file; empty if all of it does."""
    if not path.is_file() or _loads(path):
        return ""
    weights = state.get("state_dict", {})
    parts = {
        "loss": {name: value for name, value in weights.items() if name.startswith("loss.")},
        "model": weights,
        "optimizer": state.get("optimizer_states"),
        "schedule": state.get("lr_schedulers"),
        **state.get("callbacks", {}),
        **state,
    }
    for owner, part in parts.items():
        found = _unloadable(without_numpy(part))
        if found is not None:
            kind = found if isinstance(found, type) else type(found)
            got = f"{'the class' if kind is found else 'a'} {kind.__module__}.{kind.__qualname__}"
            what = "an object whose state is of tensors, numbers, texts, lists and dictionaries"
            hint = "Return those from its `state_dict`, or train without `output`."
            return expected(owner, what, f"{got} in its state", hint)
    return ""


def _unloadable(value: Any) -> Any:
    """Find the innermost part of a state that does not load, None if there is none."""
    buffer = io.BytesIO()
    with suppress(Exception):  # what pickle cannot write raises whatever its class raises
        torch.save(value, buffer)
        buffer.seek(0)
        if _loads(buffer):
            return None
    within = [*value, *value.values()] if isinstance(value, dict) else value
    parts = within if isinstance(within, (list, tuple)) else []
    return next((found for part in parts if (found := _unloadable(part)) is not None), value)


def _loads(file: Any) -> bool:
    try:
        torch.load(file, weights_only=True, map_location="cpu", mmap=isinstance(file, Path))
    except pickle.UnpicklingError:
        return False
    return True


def read_checkpoint(
    path: Path, model: nn.Module | None, own: Collection[str] = ()
) -> tuple[nn.Module, list[str], LabelSpace | None]:
    """Read a file of `write_checkpoint` into the model, or the one it describes; run no code."""
    model = model if model is None else plain_module(model)
    content = load_content(path, "a checkpoint of `Trainer.save`", "")
    fits = isinstance(content, dict) and content.keys() >= _PARTS and content["format"] == _FORMAT
    hint = "Load plain weights with `build_model(..., weights=PATH)`."
    what = f"a checkpoint of `Trainer.save` ({_FORMAT})"
    require(fits, str(path), what, "other content", hint)
    names, weights, built = (
        content[name] for name in ("class_names", "state_dict", "architecture")
    )
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    distinct = texts and len(set(names)) == len(names) >= 2
    require(distinct, str(path), what, "one without the names of two or more classes", _DAMAGED)
    require(isinstance(weights, Mapping), str(path), what, "one without weights", _DAMAGED)
    space = _stored_space(content.get("config"), path, what, len(names))
    if model is None:
        model = _built(built, path, len(names))
    # Before any is loaded, since torch changes those that fit
    misfits = describe_differences(_forms(weights), _forms(model.state_dict()))
    got = f"other weights: {listed(misfits)}"
    require(not misfits, str(path), "a checkpoint of this model", got)
    hint = "Load another file, or train again."
    check_finite(weights.items(), str(path), own_constants(model) | {*own}, hint=hint)
    model.load_state_dict(weights)
    return model, names, space


def _stored_space(config: Any, path: Path, what: str, count: int) -> LabelSpace | None:
    """Read the label space among the options of a checkpoint."""
    stored = config.get("label_space") if isinstance(config, dict) else None
    if stored is None:
        return None
    space = None
    with suppress(TypeError, ValueError):
        space = LabelSpace(**stored)
    fits = space is not None and len(space) == count
    require(fits, str(path), what, "one with another label space", _DAMAGED)
    return space


def load_content(path: Path, what: str, hint: str, *, mmap: bool = False) -> Any:
    """Load a file of torch whose parts are whole, without code."""
    check_parts(path, what, hint)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=mmap)
    except Exception as error:  # torch passes on whatever a broken file makes its readers raise
        raise ValueError(expected(str(path), what, _damage(error), hint)) from error
    require(_is_flat(content), str(path), what, f"one of more than {_LEVELS} levels", hint)
    return content


def check_parts(path: Path, what: str, hint: str) -> None:
    """Compare the checksums of a file of torch, which torch does not."""
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # as above
        raise ValueError(expected(str(path), what, _damage(error), hint)) from error
    require(not broken, str(path), what, f"a file whose part {broken} is damaged", hint)


def _damage(error: Exception) -> str:
    return f"a file that does not load ({type(error).__name__})"


def _is_flat(value: Any, level: int = 0) -> bool:
    """Tell whether values are nested so little that they can be compared and printed."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if not isinstance(value, (list, tuple, set)):
        return True
    return level < _LEVELS and all(_is_flat(one, level + 1) for one in value)


def _built(architecture: Any, path: Path, num_classes: int) -> nn.Module:
    """Build the network that a checkpoint describes."""
    what = "a checkpoint of a model that `build_model` built"
    hint = "Build the module yourself and pass it as `model`."
    described = isinstance(architecture, dict)
    require(described, str(path), what, "one of another module", hint)
    got = f"one of {architecture.get('num_classes')!r} classes with {num_classes} names"
    # As texts, since comparing a tensor gives a tensor; two classes may have one logit
    fitting = {str(num_classes), *(["1"] if num_classes == 2 else [])}
    matches = str(architecture.get("num_classes")) in fitting
    require(matches, str(path), what, got, _DAMAGED)
    try:
        # The file names the network alone: its `weights` could name any file or address
        return build_model(**{**architecture, "weights": None})
    except Exception as error:  # whatever a network raises about options of another type or size
        got = f"one that cannot be built: {str(error).removesuffix('.')}"
        raise ValueError(expected(str(path), what, got, hint)) from error


def _forms(weights: Mapping[Any, Any]) -> dict[str, Any]:
    """Map the names of weights to their shapes, to the kinds of those that are not plain floats."""
    forms: dict[str, Any] = {}
    for name, value in weights.items():
        forms[str(name)] = type(value).__name__
        if isinstance(value, torch.Tensor):
            shape, plain = tuple(value.shape), value.layout == torch.strided
            floats = plain and value.is_floating_point()
            forms[str(name)] = shape if floats else (shape, str(value.dtype), str(value.layout))
    return forms

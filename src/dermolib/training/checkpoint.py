"""Files of training: models without code, the state of a run, and the folder of a run."""

import copy
import io
import pickle
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermolib._jobs import describe_differences, exclusive_lock
from dermolib._validation import expected, listed, require, to_python
from dermolib.io import TEMPORARY, whole_file
from dermolib.models.registry import build_model
from dermolib.models.weights import check_finite, own_constants

__all__ = [
    "BEST_NAME",
    "HISTORY_NAME",
    "METADATA_KEY",
    "STATE_NAME",
    "archive_results",
    "locked",
    "plain_module",
    "read_checkpoint",
    "refusal",
    "results",
    "unfinished_run",
    "without_numpy",
    "write_checkpoint",
    "write_content",
]

BEST_NAME = "best.pt"
"""File name of the best weights in the folder of a run."""

HISTORY_NAME = "history.csv"
"""File name of the table with a row for each epoch."""

STATE_NAME = "last.ckpt"
"""File name of the state from which a run resumes."""

METADATA_KEY = "dermolib"
"""Key in the state of a run for its configuration, class names and position."""

_FORMAT = "dermolib-checkpoint-1"
_ARCHIVE = "before"
_PARTS = {"format", "architecture", "class_names", "state_dict"}


def plain_module(model: Any) -> nn.Module:
    """Return a module that is not the wrapper of `torch.compile`, which renames its weights."""
    got, hint = f"an object of type {type(model).__name__}", "See `build_model`."
    require(isinstance(model, nn.Module), "model", "a torch module", got, hint, error=TypeError)
    wrapped = any(name.startswith("_orig_mod.") for name in model.state_dict())
    got = "the wrapper that `torch.compile` returned"
    hint = "Pass the model itself with `compile=True`, or compile it in place: `model.compile()`."
    require(not wrapped, "model", "the model itself", got, hint, error=TypeError)
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
) -> tuple[nn.Module, list[str]]:
    """Read a file of `write_checkpoint` into the model, or the one it describes; run no code."""
    model = model if model is None else plain_module(model)
    content = _load(path, "a checkpoint of `Trainer.save`", "", mmap=False)
    fits = isinstance(content, dict) and content.keys() >= _PARTS and content["format"] == _FORMAT
    hint = "Load plain weights with `build_model(..., weights=PATH)`."
    what = f"a checkpoint of `Trainer.save` ({_FORMAT})"
    require(fits, str(path), what, "other content", hint)
    if model is None:
        built, what = content["architecture"], "a checkpoint of a model that `build_model` built"
        hint = "Build the module yourself and pass it as `model`."
        require(isinstance(built, dict), str(path), what, "one of another module", hint)
        # The file names the network alone: its `weights` could name any file or address
        model = build_model(**{**built, "weights": None})
    # Before any is loaded, since torch changes those that fit
    shapes = [_shapes(weights) for weights in (content["state_dict"], model.state_dict())]
    misfits = describe_differences(*shapes)
    got = f"other weights: {listed(misfits)}"
    require(not misfits, str(path), "a checkpoint of this model", got)
    hint = "Load another file, or train again."
    check_finite(content["state_dict"].items(), str(path), own_constants(model) | {*own}, hint=hint)
    model.load_state_dict(content["state_dict"])
    return model, list(content["class_names"])


def unfinished_run(folder: Path, metadata: dict[str, Any]) -> Path | None:
    """Find the state of a run of this configuration; refuse another or a damaged one."""
    path, best = folder / STATE_NAME, folder / BEST_NAME
    if not path.exists():
        return None
    what, hint = "the state of a run", "Pass `resume=False` to start over, which replaces it."
    content = _load(path, what, hint, mmap=True)
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()  # compares checksums, which torch does not
    require(not broken, str(path), what, f"a file whose part {broken} is damaged", hint)
    found: Any = content.get(METADATA_KEY) if isinstance(content, dict) else None
    known = isinstance(found, dict) and found.keys() >= {"config", "class_names", "position"}
    require(known, str(path), what, "one of another version or program", hint)
    flat = [{"class_names": run["class_names"], **run["config"]} for run in (found, metadata)]
    differences = "; ".join(describe_differences(*flat))
    what = f"a folder without an unfinished run of another configuration ({folder})"
    hint = "Use the same options, another `output`, or `resume=False` to start over."
    require(not differences, "output", what, differences, hint)
    scored = content.get("callbacks", {}).get("BestWeights", {}).get("score", -1.0) >= 0
    hint = "Restore it, or pass `resume=False` to start over."
    complete = best.exists() or not scored
    require(complete, str(best), "the best weights of the run", "no file", hint)
    return path


@contextmanager
def locked(folder: Path, *, first: bool) -> Iterator[None]:
    """Make the folder of a run, keep other runs out, and remove what killed ones left half done.

    Only the first of the processes that share a run does the last two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        yield
        return
    with ExitStack() as stack:
        # A file system without locks trains as well
        with suppress(NotImplementedError):
            try:
                stack.enter_context(exclusive_lock(folder))
            except ValueError:
                what = "a folder that no other run is training in"
                hint = "Wait for that run to end, stop it, or choose another `output`."
                raise ValueError(expected("output", what, f"{folder} of one", hint)) from None
        for path in folder.iterdir():
            part = TEMPORARY.fullmatch(path.name)
            if part is not None and part["stem"] in ("best", "history"):
                path.unlink(missing_ok=True)
        yield


def results(folder: Path) -> list[Path]:
    """List the results that a run has left in its folder."""
    logs = folder.glob("tensorboard/events.out.tfevents.*")
    return [path for path in (folder / BEST_NAME, folder / HISTORY_NAME, *logs) if path.exists()]


def archive_results(folder: Path, paths: list[Path]) -> None:
    """Move the results of an earlier run aside; those without weights are removed."""
    if folder / BEST_NAME not in paths:
        for path in paths:
            path.unlink(missing_ok=True)
        return
    before = folder / _ARCHIVE
    shutil.rmtree(before, ignore_errors=True)
    for path in paths:
        target = before / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _load(path: Path, what: str, hint: str, *, mmap: bool) -> Any:
    try:
        return torch.load(path, weights_only=True, map_location="cpu", mmap=mmap)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch passes on whatever a broken file makes its readers raise
        got = f"a file that does not load ({type(error).__name__})"
        raise ValueError(expected(str(path), what, got, hint)) from error


def _shapes(weights: Any) -> dict[str, tuple[int, ...]]:
    """Map the names of weights to their shapes."""
    found = weights if isinstance(weights, Mapping) else {}
    return {name: tuple(getattr(value, "shape", ())) for name, value in found.items()}

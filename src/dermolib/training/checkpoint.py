"""A trained model as one file that holds no code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dermolib._checks import check_number, expected
from dermolib.diagnoses import DIAGNOSES
from dermolib.images import whole_file
from dermolib.models import build_model

__all__ = ["names_of_classes", "read_checkpoint", "write_checkpoint", "write_content"]

_FORMAT = "dermolib-checkpoint-1"


def write_checkpoint(
    path: Path, model: nn.Module, class_names: list[str], config: dict[str, Any]
) -> None:
    """Write weights, class names, options and how the model was built, whole or not at all.

    Args:
        path: Target file.
        model: Module; `build_model` has noted on it how it was built.
        class_names: Names of the classes (K,).
        config: Options of the run, plain values.
    """
    content = {
        "format": _FORMAT,
        "architecture": getattr(model, "architecture", None),
        "class_names": class_names,
        "config": config,
        "state_dict": {name: value.cpu() for name, value in model.state_dict().items()},
    }
    with whole_file(path) as temporary:
        write_content(content, temporary)


def write_content(content: Any, path: Path) -> None:
    """Write what `torch.load` reads, and let a full disk say so in its own words.

    Args:
        content: Tensors and plain values.
        path: Target file.

    Raises:
        OSError: The system does not write it.
    """
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:
        # torch tells of a place in its archive instead of what the system has said
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_checkpoint(path: Path, model: nn.Module | None) -> tuple[nn.Module, list[str]]:
    """Read a file of `write_checkpoint`; nothing in it is executed.

    Args:
        path: File.
        model: Module to take the weights; None builds the one that the file describes.

    Returns:
        Module with the stored weights, and the names of the classes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of `write_checkpoint`, or its weights do not fit the model.
    """
    content = _content(path)
    if model is None:
        model = _rebuild(path, content["architecture"])
    try:
        model.load_state_dict(content["state_dict"])
    except (RuntimeError, TypeError) as error:
        what = "a checkpoint of this model"
        raise ValueError(expected(str(path), what, f"other weights: {error}")) from error
    return model, list(content["class_names"])


def names_of_classes(given: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Name the classes: as given, by the codes of the eight diagnoses, or by number.

    Args:
        given: Names (K,), or None.
        num_classes: Number of classes K.

    Raises:
        TypeError: Their number is no integer.
        ValueError: It is below 2, or there are not as many names.
    """
    check_number(num_classes, "num_classes", low=2, integer=True)
    if given is None:
        known = num_classes == len(DIAGNOSES)
        return tuple(d.code for d in DIAGNOSES) if known else tuple(map(str, range(num_classes)))
    if len(given) != num_classes:
        what = f"{num_classes} names, one for each class"
        raise ValueError(expected("class_names", what, f"{len(given)}"))
    return tuple(map(str, given))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise
    except Exception as error:  # torch passes on whatever a broken file makes its readers raise
        what = "a checkpoint of `Trainer.save`"
        got = f"a file that does not load ({type(error).__name__})"
        raise ValueError(expected(str(path), what, got)) from error
    parts = {"architecture", "class_names", "state_dict"}
    whole = isinstance(content, dict) and content.keys() >= parts
    if not whole or content.get("format") != _FORMAT:
        what = f"a checkpoint of `Trainer.save` ({_FORMAT})"
        remedy = "Load plain weights with `build_model(..., weights=PATH)`."
        raise ValueError(expected(str(path), what, "another content", remedy))
    return dict(content)


def _rebuild(path: Path, architecture: dict[str, Any] | None) -> nn.Module:
    if not isinstance(architecture, dict):
        what = "a checkpoint of a model that `build_model` built"
        remedy = "Build the module yourself and pass it as `model`."
        raise ValueError(expected(str(path), what, "one of another module", remedy))
    # The file tells the network alone: its `weights` could name any file or address
    built: nn.Module = build_model(**{**architecture, "weights": None})
    return built

"""A trained model as one file that holds no code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermolib._jobs import describe_differences
from dermolib._validation import check_number, expected, listed
from dermolib.io import whole_file
from dermolib.labels import DIAGNOSES
from dermolib.models.registry import build_model
from dermolib.training.fitness import check_trainable

__all__ = [
    "load_classifier",
    "names_of_classes",
    "read_checkpoint",
    "write_checkpoint",
    "write_content",
]

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

    Raises:
        ValueError: The path is a folder.
    """
    content = {
        "format": _FORMAT,
        "architecture": getattr(model, "architecture", None),
        "class_names": class_names,
        "config": config,
        "state_dict": {name: value.cpu() for name, value in model.state_dict().items()},
    }
    if path.is_dir():
        remedy = f"Name a file in it, such as {path / 'model.pt'}."
        raise ValueError(expected("path", "a file", f"the folder {path}", remedy))
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
        TypeError: `model` is no module, or what `torch.compile` made of one.
        ValueError: The file is none of `write_checkpoint`, or its weights do not fit the model,
            which is left as it was.
    """
    if model is not None:
        check_trainable(model)
    content = _content(path)
    if model is None:
        model = _rebuild(path, content["architecture"])
    # Before any is taken, since torch changes those that fit
    others = _misfits(content["state_dict"], model.state_dict())
    if others:
        got = f"other weights: {listed(others)}"
        raise ValueError(expected(str(path), "a checkpoint of this model", got))
    model.load_state_dict(content["state_dict"])
    return model, list(content["class_names"])


def load_classifier(
    path: Path, model: nn.Module | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Read a file as arguments of `Trainer`.

    Args:
        path: File of `write_checkpoint`.
        model: Module to take the weights, or None.
        options: Further arguments by name.

    Returns:
        Arguments by name.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The classes are among the options, or `model` is no module.
        ValueError: As `read_checkpoint`.
    """
    decided = [name for name in ("num_classes", "class_names") if name in options]
    if decided:
        what = "options that the file does not tell"
        remedy = "Leave it out: the classes are stored with the weights."
        raise TypeError(expected("options", what, f"`{decided[0]}`", remedy))
    model, names = read_checkpoint(path, model)
    return {**options, "model": model, "num_classes": len(names), "class_names": names}


def names_of_classes(given: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Name the classes: as given, by the codes of the eight diagnoses, or by number.

    Args:
        given: Names (K,), or None.
        num_classes: Number of classes K.

    Raises:
        TypeError: Their number is no integer, or they are no sequence of names.
        ValueError: It is below 2, there are not as many names, or two are alike.
    """
    check_number(num_classes, "num_classes", low=2, integer=True)
    if given is None:
        known = num_classes == len(DIAGNOSES)
        return tuple(d.code for d in DIAGNOSES) if known else tuple(map(str, range(num_classes)))
    what = f"{num_classes} names, one for each class"
    names: Any = given
    if isinstance(names, (str, bytes)) or not isinstance(names, (Sequence, np.ndarray)):
        remedy = "Pass a list, in the order of the labels."
        got = f"an object of type {type(given).__name__}"
        raise TypeError(expected("class_names", what, got, remedy))
    names = [str(name) for name in names]
    if len(names) != num_classes:
        raise ValueError(expected("class_names", what, f"{len(names)}"))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(expected("class_names", what, f"{listed(twice)} more than once"))
    return tuple(names)


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


def _misfits(found: Any, wanted: Mapping[str, Any]) -> list[str]:
    """Name the weights that one side lacks, or that differ in shape."""
    if not isinstance(found, Mapping):
        return [f"an object of type {type(found).__name__}"]
    shapes = [
        {name: tuple(getattr(value, "shape", ())) for name, value in weights.items()}
        for weights in (found, wanted)
    ]
    return describe_differences(*shapes)


def _rebuild(path: Path, architecture: dict[str, Any] | None) -> nn.Module:
    if not isinstance(architecture, dict):
        what = "a checkpoint of a model that `build_model` built"
        remedy = "Build the module yourself and pass it as `model`."
        raise ValueError(expected(str(path), what, "one of another module", remedy))
    # The file tells the network alone: its `weights` could name any file or address
    built: nn.Module = build_model(**{**architecture, "weights": None})
    return built

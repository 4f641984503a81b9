"""What all built models share: they know how they were built, and no activation works in place."""

from collections.abc import Mapping
from typing import Any

from torch import nn

_ATTRIBUTE = "architecture"
_INPLACE = "inplace"


def finish(model: nn.Module, name: str, num_classes: int, **options: Any) -> None:
    """Record on the model how it was built, and let no module of it overwrite its input.

    The record is a flat dict of plain values (no weights), so that a checkpoint can hold it and
    ``build_model(**model.architecture)`` builds the same network again. An activation that
    overwrites its input destroys what Grad-CAM and other hooks read there.

    Args:
        model: Model as built; changed in place.
        name: Name that `build_model` knows.
        num_classes: Number of logits.
        **options: Options that `build_model` passes on, plain values that JSON can hold.
    """
    setattr(model, _ATTRIBUTE, {"name": name, "num_classes": int(num_classes), **options})
    for module in model.modules():
        if getattr(module, _INPLACE, False):
            setattr(module, _INPLACE, False)


def described(model: nn.Module) -> str:
    """Put the record of a model in words, for an error sentence."""
    record: Mapping[str, Any] = getattr(model, _ATTRIBUTE)
    options = ", ".join(f"{key}={value!r}" for key, value in record.items() if key != "name")
    return f"{record['name']!r} with {options}"

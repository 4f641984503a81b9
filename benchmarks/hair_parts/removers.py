"""Every remover of the tables by name: the methods of dermolib, then the scripts of today."""

import inspect
from functools import partial

from dermolib import list_occlusion_methods, occlusion_removal
from dermolib._validation import Image, Mask
from hair_parts.scripts import SCRIPTS, Remover

__all__ = ["default_method", "own_removers", "removers"]


def default_method() -> str:
    """Return the method that `occlusion_removal` takes when none is named."""
    return str(inspect.signature(occlusion_removal).parameters["method"].default)


def own_removers() -> dict[str, Remover]:
    """Return the methods of dermolib with their default options."""
    return {name: partial(_remove, method=name) for name in list_occlusion_methods()}


def removers() -> dict[str, Remover]:
    """Return all removers, the methods of dermolib first."""
    return {**own_removers(), **SCRIPTS}


def _remove(image: Image, *, method: str) -> tuple[Image, Mask]:
    return occlusion_removal(image, method=method, return_mask=True)

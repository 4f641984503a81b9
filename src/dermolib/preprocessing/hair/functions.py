"""Methods and fills that users write: how they are named, told apart, and called."""

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from dermolib._validation import expected, require

__all__ = ["call_foreign", "check_sendable", "fingerprint", "name_of"]


def name_of(function: Callable[..., Any]) -> str:
    """Name a function, that of a `functools.partial`, or the class of another callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__qualname__)


def call_foreign(function: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    """Call a function with copies of arrays, and refuse one that changes them."""
    given = [array.copy() for array in arrays]
    made = function(*given, **options)
    kept = all(map(np.array_equal, given, arrays))
    what = "a function that leaves what it is given unchanged"
    require(kept, name_of(function), what, "one that writes into it", "Work on a copy.")
    return made


def check_sendable(function: Any) -> None:
    """Refuse a function that cannot reach worker processes."""
    from joblib import wrap_non_picklable_objects  # half a second, which workers take anyway

    try:
        pickle.dumps(wrap_non_picklable_objects(function))
    except Exception as error:
        what = "a function that can be sent to worker processes"
        got = f"one that cannot be pickled ({error})"
        hint = "Use one worker, or create what it refers to within the function."
        raise TypeError(expected(name_of(function).rpartition(".")[2], what, got, hint)) from error


def fingerprint(function: Callable[..., Any]) -> str:
    """Tell functions apart by where they are defined, what is bound to them, and their code."""
    bound = ""
    while isinstance(function, functools.partial):
        bound += f" {function.args} {sorted(function.keywords.items())}"
        function = function.func
    definition = function if hasattr(function, "__qualname__") else type(function)
    try:
        source = inspect.getsource(definition)
    except (OSError, TypeError):
        what, hint = "a function whose source can be read", "Define it in a file."
        raise TypeError(expected(name_of(function), what, "one without", hint)) from None
    digest = hashlib.sha256((source + bound).encode()).hexdigest()[:16]
    return f"{definition.__module__}:{definition.__qualname__} {digest}"

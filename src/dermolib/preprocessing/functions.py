"""Methods and fills that users write: how they are named, distinguished, and called."""

import copyreg
import dis
import functools
import hashlib
import pickle
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from dermolib._validation import expected, name_of, require

__all__ = ["call_foreign", "check_sendable", "fingerprint"]

_VALUES = (int, float, complex, str, bytes, np.generic)


def call_foreign(function: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    """Call a function with copies of arrays or tensors; refuse one that fails or changes them."""
    given = [one.copy() if isinstance(one, np.ndarray) else one.clone() for one in arrays]
    try:
        made = function(*given, **options)
    except Exception as error:
        what = f"a function that can take values of the shape {tuple(arrays[0].shape)}"
        got = f"{type(error).__name__}: {error}".removesuffix(".")
        raise RuntimeError(expected(name_of(function), what, got)) from error
    kept = all((one == array).all() for one, array in zip(given, arrays, strict=True))
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
        raise TypeError(expected(name_of(function), what, got, hint)) from error


def fingerprint(function: Callable[..., Any]) -> str:
    """Tell functions apart by name, code and all they hold, the same in every process.

    What cannot be pickled, such as a lock, counts by its type.
    """
    named = function
    while isinstance(named, functools.partial):
        named = named.func
    named = named if hasattr(named, "__qualname__") else type(named)
    return f"{named.__module__}:{named.__qualname__} {_digest(function, {}).hex()[:16]}"


def _digest(value: Any, seen: dict[int, tuple[Any, bytes]]) -> bytes:
    """Digest a value; one within itself counts as nothing."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or value is ... or isinstance(value, _VALUES):
        text = value if isinstance(value, bytes) else repr(value).encode()
        return hashlib.sha256(kind.encode() + text).digest()
    if id(value) not in seen:
        seen[id(value)] = (value, b"")
        parts: list[Any] = [_digest(one, seen) for one in _parts(value)]
        if isinstance(value, (set, frozenset, dict)):
            parts.sort()
        state = hashlib.sha256(kind.encode())
        for part in parts:
            state.update(part.ljust(32))
        seen[id(value)] = (value, state.digest())
    return seen[id(value)][1]


def _parts(value: Any) -> Any:
    """Take a value apart into what decides what it does."""
    if isinstance(value, FunctionType):
        return _parts_of_function(value)
    if isinstance(value, CodeType):
        table = getattr(value, "co_exceptiontable", b"")
        return (value.co_code, value.co_consts, value.co_names, table)
    if isinstance(value, type):
        return _parts_of_class(value)
    if type(value) in (tuple, list, set, frozenset):
        return value
    if type(value) is dict:
        return value.items()
    if hasattr(value, "untyped_storage"):  # a tensor, whose pickle holds an address
        value = value.detach().cpu().numpy()
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return (str(value.dtype), value.shape, value.tobytes())
    return _parts_of_object(value)


def _parts_of_function(function: FunctionType) -> Iterator[Any]:
    yield from (function.__module__, function.__qualname__, function.__code__)
    yield from (function.__defaults__, function.__kwdefaults__, vars(function))
    cells = function.__closure__ or ()
    yield from (cell.cell_contents for cell in cells if cell != CellType())
    own = function.__module__
    for name in _globals_read(function.__code__):
        value = function.__globals__.get(name)
        helper = isinstance(value, (FunctionType, type)) and value.__module__ == own
        if helper or isinstance(value, (*_VALUES, tuple, np.ndarray)):
            yield (name, value)


def _globals_read(code: CodeType) -> list[str]:
    """List the globals that a code reads; those that it also sets are its memory."""
    names: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "STORE_GLOBAL": set()}
    codes = [code]
    for one in codes:
        codes += (constant for constant in one.co_consts if isinstance(constant, CodeType))
        for step in dis.get_instructions(one):
            if step.opname in names:
                names[step.opname].add(step.argval)
    return sorted(names["LOAD_GLOBAL"] - names["STORE_GLOBAL"])


def _parts_of_class(kind: type) -> Iterator[Any]:
    for one in kind.__mro__:
        yield from (one.__module__, one.__qualname__)
        for name, value in sorted(vars(one).items()):
            # Also within class methods, static methods and properties
            value = getattr(value, "__func__", getattr(value, "fget", value))
            plain = isinstance(value, (*_VALUES, tuple, np.ndarray))
            if isinstance(value, FunctionType) or (plain and not name.startswith("__")):
                yield (name, value)


def _parts_of_object(value: Any) -> list[Any]:
    names = [getattr(value, name, None) for name in ("__module__", "__name__", "__wrapped__")]
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        state = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:
        state = "" if isinstance(value, ModuleType) else getattr(value, "__dict__", "")
    if isinstance(state, tuple):
        return [tuple(one) if isinstance(one, Iterator) else one for one in state]
    return [*names, state]

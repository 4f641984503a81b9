"""Files of weights: read without running code, out of the usual wrappers and prefixes."""

import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor

from dermolib._validation import expected, listed, printable, require
from dermolib.io import check_file, open_file

__all__ = ["StateDict", "read_state_dict", "without_prefixes"]

StateDict: TypeAlias = Mapping[str, Tensor]

_ENDINGS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar")
# Averages over training come first, as in timm, since they are what was validated
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema")
_NESTED = (*_AVERAGES, "state_dict", "model_state_dict", "model")
_DEEPEST = 8  # state dicts in state dicts; one that holds itself would never end
# What torch's own wrappers call the module inside: parallel ones, `compile`, FSDP, checkpointing
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_log = logging.getLogger(__name__)


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a file; of several state dicts in it, an average over training."""
    content = _read(path)
    what, hint = "a state dict of tensors", "Save `model.state_dict()`, alone or as 'state_dict'."
    for _ in range(_DEEPEST):
        inner = _state_dicts(content)
        if not inner:
            break
        got = f"one each under {listed(map(repr, inner))}"
        require(inner[0] in _NESTED or len(inner) == 1, str(path), what, got, hint)
        if len(inner) > 1:
            _log.info("Taking %r of %s in %s", inner[0], listed(map(repr, inner)), printable(path))
        content = content[inner[0]]
    known = isinstance(content, Mapping)
    got = "an empty one" if known else f"an object of type {type(content).__name__}"
    require(known and content, str(path), what, got, hint)
    others = [key for key, value in content.items() if not _is_plain(value)]
    require(not others, str(path), what, f"other values under {listed(others)}", hint)
    return {str(key): value for key, value in content.items()}


def without_prefixes(found: StateDict, own: Collection[str], path: Path) -> StateDict:
    """Name the tensors of a file as the model does, without what wrappers put before the names.

    Wrappers of torch may stand anywhere in a name. Beside them one prefix of any words is removed,
    the one under which most tensors of the model are found: the attribute of a larger module, such
    as Lightning's, that held the network. Tensors beside it that the model does not have, such as
    the weights of a loss, are left out.
    """
    parts = {part for key in own for part in key.split(".")}
    wrappers = [part for part in _WRAPPERS if part not in parts]
    bare = {key: ".".join(p for p in key.split(".") if p not in wrappers) for key in found}
    prefix = _prefix({name: found[key] for key, name in bare.items()}, own, path)
    names = {key: name.removeprefix(prefix) for key, name in bare.items()}
    removed = {key: _removed(key, name, wrappers) for key, name in names.items() if key != name}
    if not removed:
        return found
    first: dict[str, str] = {}
    what, hint = "tensors of one network", "Save the state dict of the network alone."
    for key, name in names.items():
        got = f"both `{first.setdefault(name, key)}` and `{key}`"
        require(first[name] == key, str(path), what, got, hint)
    fronts = tuple(one for key, one in removed.items() if key.startswith(one))
    beside = [key for key in names if fronts and not key.startswith(fronts) and key not in own]
    text = f"Removed {listed(sorted({f'`{one}`' for one in removed.values()}))} from the names of "
    text += f"{len(removed)} tensors of {path}"
    text += f", and left out {listed(beside)}" if beside else ""
    _log.info("%s", printable(text))
    return {name: found[key] for key, name in names.items() if key not in beside}


def _removed(key: str, name: str, wrappers: Collection[str]) -> str:
    """Word what was removed from a name: a prefix, or wrappers in its midst."""
    if key.endswith(f".{name}"):
        return key.removesuffix(name)
    return "".join(f"{part}." for part in key.split(".") if part in wrappers)


def _prefix(found: StateDict, own: Collection[str], path: Path) -> str:
    """Find the prefix under which most tensors of a model are in a file, empty if few are."""
    places = _places(found, own)
    if not places:  # names that are yet to be converted: what all begin with is no part of one
        levels = zip(*(name.split(".")[:-1] for name in found), strict=False)
        return "".join(f"{level[0]}." for level in takewhile(lambda one: len({*one}) == 1, levels))
    most = max(map(len, places.values()))
    best = [place for place, held in places.items() if len(held) == most]
    if "" in best or 2 * most < len(own):
        return ""
    one = places[best[0]]
    others = [place for place in best[1:] if not _are_equal(one, places[place])]
    got = f"other tensors under each of {listed(f'`{place}`' for place in [best[0], *others])}"
    hint = "Save the state dict of the network that you want alone."
    require(not others, str(path), "tensors of one network", got, hint)
    return best[0]


def _places(found: StateDict, own: Collection[str]) -> dict[str, dict[str, Tensor]]:
    """Map each prefix to the tensors of the model that a file has under it."""
    places: dict[str, dict[str, Tensor]] = {}
    for name, value in found.items():
        parts = name.split(".")
        for number in range(len(parts)):
            key = ".".join(parts[number:])
            if key in own:
                places.setdefault(name.removesuffix(key), {})[key] = value
    return places


def _are_equal(one: StateDict, other: StateDict) -> bool:
    same = one.keys() == other.keys()
    return same and all(torch.equal(value, other[key]) for key, value in one.items())


def _state_dicts(content: Any) -> list[str]:
    """List the keys of the state dicts in an object, the usual ones first in their order."""
    if not isinstance(content, Mapping):
        return []
    usual = [key for key in _NESTED if isinstance(content.get(key), Mapping)]
    inner = {key: one for key, one in content.items() if isinstance(one, Mapping) and one}
    others = [key for key, one in inner.items() if all(map(_is_plain, one.values()))]
    return [*usual, *(key for key in others if key not in usual)]


def _is_plain(value: Any) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided
    return dense and not (value.is_meta or value.is_quantized)


def _read(path: Path) -> Any:
    ending = path.suffix.lower()
    what, hint = (
        f"a file ending in {listed(_ENDINGS, most=9)}",
        "Pass 'DEFAULT' for published ones.",
    )
    require(ending in _ENDINGS, "weights", what, repr(str(path)), hint)
    require(path.exists(), "weights", "an existing file", repr(str(path)), error=FileNotFoundError)
    check_file(path)
    try:
        _check_sums(path)
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


def _check_sums(path: Path) -> None:
    """Read a zip file, as torch writes, for its sums, which torch does not look at."""
    with open_file(path) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for info in filter(lambda info: info.CRC, archive.infolist()):  # may have none
                    with archive.open(info) as member:
                        while member.read(1 << 20):
                            pass

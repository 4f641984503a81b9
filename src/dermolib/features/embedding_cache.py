"""Features in a file, with a record of what they were computed from, so that none is stale."""

import glob
import hashlib
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dermolib._validation import PathLike, expected, printable, require
from dermolib.datasets.loaders import SeededDataset
from dermolib.datasets.seeding import draw_seeds
from dermolib.datasets.store import file_states
from dermolib.io import TEMPORARY, open_file, parse_json, whole_file
from dermolib.models.feature_extractor import FeatureExtractor

__all__ = ["cache_key", "read_cache", "write_cache"]

_log = logging.getLogger(__name__)

_FORMAT = "dermolib-features-2"
_DIGEST = "values"  # in the note: of the features and all else in it
_SEEN = 8  # images that are hashed as the network sees them
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of functions: another in each run


def cache_key(model: nn.Module, dataset: Any, *, flips: bool, precision: str) -> dict[str, Any]:
    """Describe what features follow from, the same for the same network, images and options."""
    # Without the last layer, which is new wherever a network gets other classes. Not the state
    # dict, which leaves out buffers that are not persistent, such as a mean of images
    before = FeatureExtractor(model)
    tensors = chain(before.named_parameters(), before.named_buffers())
    layers = (type(model).__qualname__, _ADDRESS.sub("", repr(before)), before.layer)
    known = [name for name in ("age", "sex", "site") if name in dataset.table]
    metadata = dataset.table[known].to_csv(index=False) if before.takes_metadata else ""
    return {
        "format": _FORMAT,
        "weights": _hash(part for name, tensor in tensors for part in _contents(tensor, name)),
        "layers": _hash(layers),
        "images": _hash(_files(dataset.table)),
        "metadata": _hash([metadata]),
        "transform": _hash([_ADDRESS.sub("", repr(getattr(dataset, "transform", None)))]),
        "images as seen": _hash(_seen(dataset)),
        "flips": flips,
        "precision": precision,
    }


def read_cache(path: PathLike, key: dict[str, Any], rows: int) -> npt.NDArray[np.float32] | None:
    """Read features (N, D) of N rows that were computed from the same; None where there are none.

    A file of features that changed since it was written counts as none; any other is refused.
    """
    path, others = Path(path), list[str]()
    try:
        with open_file(path) as stream, zipfile.ZipFile(stream) as file:
            found = _note(file)
            others = [name for name in key if found.get(name) != key[name]]
            values = None if others else _values(file, found, rows)
    except FileNotFoundError:  # what cannot be written fails now rather than after hours
        got = "a link that leads nowhere"
        require(not path.is_symlink(), str(path), "a file of features, or none yet", got)
        path.parent.mkdir(parents=True, exist_ok=True)
        return None
    except Exception as error:  # a damaged file may fail in any way, with any words
        what, got = "a file of features, or none yet", "a damaged one or something else"
        hint = "Move it away, or name another file as `cache`."
        raise ValueError(expected(str(path), what, got, hint)) from error
    if values is None:
        why = f"other {', '.join(others)} than before" if others else "its values changed since"
        _log.info("%s", printable(f"{path} is computed again: {why}"))
    return values


def write_cache(path: PathLike, key: dict[str, Any], values: npt.NDArray[np.float32]) -> None:
    """Write features whole or not at all; a failure is logged, so that they are not lost for it."""
    path = Path(path)
    try:
        for half in path.parent.glob(f".{glob.escape(path.stem)}-*"):  # of runs that were killed
            match = TEMPORARY.fullmatch(half.name)
            if match and match["stem"] + match["suffix"] == path.name:
                half.unlink()
        with whole_file(path) as temporary, temporary.open("wb") as file:
            note = json.dumps({**key, _DIGEST: _digest(key, values)})
            np.savez(file, allow_pickle=False, key=np.array(note), values=values)
    except OSError as error:
        _log.error(
            "%s; the features are not kept", printable(f"{path} cannot be written ({error})")
        )


def _note(file: zipfile.ZipFile) -> dict[str, Any]:
    """Read what features were computed from, as this module writes it."""
    # Stored as they are, so that no array is larger than the file
    if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
        raise ValueError("compressed")
    found = dict(parse_json(str(_array(file, "key"))))
    if not found["format"].startswith(_FORMAT.rstrip("0123456789")):
        raise ValueError(found["format"])
    return found


def _values(
    file: zipfile.ZipFile, found: dict[str, Any], rows: int
) -> npt.NDArray[np.float32] | None:
    """Read features; None where they are not what was written."""
    try:
        values: npt.NDArray[np.float32] = _array(file, "values")
    except Exception:  # as above
        return None
    fits = values.dtype == np.float32 and values.shape[:-1] == (rows,)
    whole = fits and found.pop(_DIGEST, None) == _digest(found, values)
    return values if whole and np.isfinite(values).all() else None


def _array(file: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with file.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _digest(key: dict[str, Any], values: npt.NDArray[np.float32]) -> str:
    content = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    return _hash([json.dumps(key, sort_keys=True), str(values.shape), content])


def _hash(parts: Iterable[str | memoryview]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _contents(tensor: Tensor, name: str = "") -> Iterable[str | memoryview]:
    yield f"{name} {tensor.dtype} {tuple(tensor.shape)}"
    yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _files(table: Any) -> Iterable[str]:
    paths = table["image_path"].tolist()
    for name, path, (file, state) in zip(table["id"], paths, file_states(paths), strict=True):
        place = str(path).removeprefix(os.path.dirname(file))  # noqa: PTH120 - faster than a Path
        yield f"{name}\0{place}\0{state.st_size} {state.st_mtime_ns}"


def _seen(dataset: Any) -> Iterable[str | memoryview]:
    """Yield a few images, drawn as `make_loader` does in its first epoch."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, _SEEN).astype(np.intp))
    seeded = SeededDataset(dataset)
    for draw in zip(rows.tolist(), draw_seeds(0, 0, rows).tolist(), strict=True):
        yield from _contents(seeded[draw]["image"])

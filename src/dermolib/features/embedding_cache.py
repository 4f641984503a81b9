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

from dermolib._validation import PathLike, expected, printable
from dermolib.datasets.loaders import SeededDataset
from dermolib.datasets.seeding import draw_seeds
from dermolib.io import TEMPORARY, split_path, whole_file
from dermolib.models.feature_extractor import FeatureExtractor

__all__ = ["cache_key", "read_cache", "write_cache"]

_log = logging.getLogger(__name__)

_FORMAT = "dermolib-features-1"
_SEEN = 8  # images that are hashed as the network sees them
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of functions: another in each run
_ROW_OF_STORE = re.compile(r"(.*\.npy)#\d+", re.DOTALL)


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


def read_cache(path: PathLike, key: dict[str, Any]) -> npt.NDArray[np.float32] | None:
    """Read features (N, D) that were computed from the same; None where there are none."""
    path = Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)  # fails now rather than after hours
        return None
    try:
        # Opened here, since NumPy leaves a damaged file open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = dict(json.loads(str(file["key"])))
            if found.get("format") != _FORMAT:
                raise ValueError(found.get("format"))
            others = [name for name in key if found.get(name) != key[name]]
            if not others:
                values: npt.NDArray[np.float32] = file["values"]
                return values
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what, got = "a file of features, or none yet", "a damaged one or something else"
        hint = "Move it away, or name another file as `cache`."
        raise ValueError(expected(str(path), what, got, hint)) from error
    _log.info("%s is computed again: other %s than before", printable(path), ", ".join(others))
    return None


def write_cache(path: PathLike, key: dict[str, Any], values: npt.NDArray[np.float32]) -> None:
    """Write features whole or not at all; a failure is logged, so that they are not lost for it."""
    path = Path(path)
    try:
        for half in path.parent.glob(f".{glob.escape(path.stem)}-*"):  # of runs that were killed
            match = TEMPORARY.fullmatch(half.name)
            if match and match["stem"] + match["suffix"] == path.name:
                half.unlink()
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, key=np.array(json.dumps(key)), values=values)
    except OSError as error:
        _log.error(
            "%s; the features are not kept", printable(f"{path} cannot be written ({error})")
        )


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
    state: dict[str, str] = {}  # of a store or an HDF5 file once, not for each of its rows
    for name, path in zip(table["id"], table["image_path"], strict=True):
        row, joined = _ROW_OF_STORE.fullmatch(str(path)), split_path(path)
        file = row[1] if row else joined[0] if joined else str(path)
        if file not in state:
            found = os.stat(file)  # noqa: PTH116 - a Path costs as much as all the rest
            state[file] = f"{found.st_size} {found.st_mtime_ns}"
        place = str(path).removeprefix(os.path.dirname(file))  # noqa: PTH120 - as above
        yield f"{name}\0{place}\0{state[file]}"


def _seen(dataset: Any) -> Iterable[str | memoryview]:
    """Yield a few images, drawn as `make_loader` does in its first epoch."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, _SEEN).astype(np.intp))
    seeded = SeededDataset(dataset)
    for draw in zip(rows.tolist(), draw_seeds(0, 0, rows).tolist(), strict=True):
        yield from _contents(seeded[draw]["image"])

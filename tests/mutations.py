"""What other programs, editors, full disks and tired people do to files: drawn by Hypothesis."""

import csv
import io
import json
import math
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

_RAW = "what replaces a value of JSON"
_JSON = (
    '""', '"x"', '"../x"', '"a\\nb"', '"\\u0000"', '"\\ud800"', "null", "true", "0", "1", "-1",
    "1.5", "1e999", "NaN", "-Infinity", "[]", "{}", "[1]", '{"a": 1}', "9" * 5000,
    "[" * 100_000 + "]" * 100_000,
)  # fmt: skip
_CELLS = (
    "", "x", "0", "1", "2", "-1", "1.5", "nan", "inf", "1e400", "9" * 5000, "../x", "/x", "a\nb",
    'a"b', "=1+1", "\x1b[31m", "\x00", "\u202e", "ISIC_0",
)  # fmt: skip
_VALUES: tuple[Callable[[Any], Any], ...] = (
    lambda _: None, lambda _: True, lambda _: -1, lambda _: 10**30, lambda _: math.nan,
    lambda _: "x", lambda _: [], lambda _: {}, lambda _: [1], lambda _: {"x": 1},
    lambda _: {1: {2: 3}}, lambda _: np.zeros(3), lambda _: np.zeros((0, 2)), lambda one: [one],
    str, lambda one: one * math.nan, lambda one: one.reshape(1, *one.shape),
    lambda one: one.astype("float16"), lambda one: one[:-1],
)  # fmt: skip
_SIMILAR: tuple[Callable[[Any], Any], ...] = (
    lambda one: one + 1, lambda one: -one, lambda one: np.roll(one, 1), lambda one: one[::-1],
)  # fmt: skip


def change_bytes(draw: Draw, data: bytes) -> tuple[str, bytes]:
    """Do to the bytes of a file what a bad disk, a full one or a broken transfer does."""
    size = max(len(data), 1)
    # Hypothesis prefers small numbers, and a header is small: the rest is drawn by spread ones
    spread = st.integers(0, 2**32).map(lambda number: number * 2_654_435_761 % 2**32 % size)
    place = spread | spread | st.integers(0, min(size - 1, 200))
    kind: str = draw(st.sampled_from(["flip", "flip", "flips", "cut", "append", "empty", "zeros"]))
    if kind == "empty" or not data:
        return "empty", b""
    if kind == "cut":
        return kind, data[: draw(place)]
    if kind == "append":
        return kind, data + draw(st.binary(min_size=1, max_size=40) | st.just(data))
    changed = bytearray(data)
    if kind == "zeros":
        begin = draw(place)
        end = min(begin + draw(st.sampled_from([1, 16, 512, 4096])), size)
        changed[begin:end] = bytes(end - begin)
        return kind, bytes(changed)
    for _ in range(1 if kind == "flip" else draw(st.integers(2, 20))):
        changed[draw(place)] ^= 1 << draw(st.integers(0, 7))
    return kind, bytes(changed)


def change_lines(draw: Draw, data: bytes) -> tuple[str, bytes]:
    """Do to lines what an editor or a merge does."""
    lines = data.splitlines(keepends=True)
    kinds = ["swap lines", "double line", "delete line", "utf-16", "crlf", "bom", "blank line"]
    kind: str = draw(st.sampled_from(kinds))
    if kind == "utf-16":
        return kind, data.decode("utf-8", "replace").encode("utf-16")
    if kind == "crlf":
        return kind, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if kind == "bom" or len(lines) < 2:
        return "bom", b"\xef\xbb\xbf" + data
    one, two = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    if kind == "swap lines":
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == "double line":
        lines.insert(two, lines[one])
    elif kind == "blank line":
        lines.insert(one, b"\n")
    else:
        del lines[one]
    return kind, b"".join(lines)


def change_cell(draw: Draw, data: bytes) -> tuple[str, bytes]:
    """Replace one cell of a table by something else, or by another one of the table."""
    text = data.decode("utf-8", "surrogateescape")
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    row, cells = draw(st.sampled_from(rows)), [cell for row in rows for cell in row]
    row[draw(st.integers(0, len(row) - 1))] = draw(
        st.sampled_from([*_CELLS, *dict.fromkeys(cells)])
    )
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n" if b"\r\n" in data else "\n").writerows(rows)
    return "cell", out.getvalue().encode("utf-8", "surrogateescape")


def change_json(draw: Draw, data: bytes) -> tuple[str, bytes]:
    """Replace a value somewhere in a file of JSON or of lines of JSON, or leave it out."""
    lines = data.splitlines() if data.count(b"}\n{") else [data]
    number = draw(st.integers(0, len(lines) - 1))
    tree = [json.loads(lines[number])]
    holder, key = _place(draw, tree)
    raw = draw(st.sampled_from([*_JSON, ""]))
    if not raw and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = _RAW
    text = json.dumps(tree[0]).replace(json.dumps(_RAW), raw or "{}")
    lines[number] = text.encode()
    return "json", b"\n".join(lines) + b"\n"


def change_values(draw: Draw, path: Path) -> str:
    """Rewrite a file of arrays or tensors consistently, with another value, type, shape or key."""
    reading, writing = _CONTAINERS[path.suffix]
    tree = [reading(path)]
    holder, key = _place(draw, tree)
    kind = draw(st.sampled_from(["value", "value", "value", "leave out", "rename"]))
    if kind == "value" or not isinstance(holder, dict):
        change = draw(st.sampled_from(_VALUES) | st.sampled_from(_SIMILAR))
        try:
            holder[key] = _to_kind(change(_to_numpy(holder[key])), holder[key])
        except (TypeError, ValueError, AttributeError, IndexError, KeyError):
            holder[key] = None
    else:
        value = holder.pop(key)
        if kind == "rename":
            holder[f"{key}x"] = value
    try:
        writing(tree[0], path)
    except (TypeError, ValueError, AttributeError):  # what this kind of file cannot hold
        path.write_bytes(b"")
        return "empty"
    return "values"


def replace_file(draw: Draw, path: Path, outside: Path) -> str:
    """Put something that is not a file of its own in the place of a file."""
    kinds = ["delete", "folder", "fifo", "socket", "link", "link to other", "dangling", "loop"]
    kind: str = draw(st.sampled_from(kinds))
    data = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
        (path / "notes.txt").write_bytes(b"of others")
    elif kind in ("fifo", "socket"):
        os.mknod(path, 0o600 | (stat.S_IFIFO if kind == "fifo" else stat.S_IFSOCK))
    elif kind != "delete":
        target = outside / path.name if kind != "loop" else path
        target.parent.mkdir(exist_ok=True)
        if kind == "link":
            target.write_bytes(data)
        elif kind == "link to other":
            target.write_bytes(data[: len(data) // 2] + b"of others")
        path.symlink_to(target)
    return kind


def add_file(draw: Draw, path: Path) -> str:
    """Add a file of others beside a file, under a name as other programs choose them."""
    names = (".lock", "notes.txt", ".DS_Store", "{}.bak", "{}~", ".{}.swp", "copy of {}", "0.png")
    name = draw(st.sampled_from(names)).format(path.name)
    path.with_name(name).write_bytes(b"of others")
    return "foreign file"


def mutate(draw: Draw, path: Path, *, others: list[Path], older: Path, outside: Path) -> str:
    """Change a file in some way; returns the kind of the change.

    Args:
        draw: Draws from a strategy.
        path: The file.
        others: Files that it may change places with.
        older: An earlier version of the file, which need not be there.
        outside: Folder for what links lead to.
    """
    state = path.stat()
    ways: list[Any] = ["bytes", "bytes", "bytes", "replace", "add", "swap"]
    ways += ["older"] * older.is_file()
    ways += ["lines", "cell", "cell"] * (path.suffix == ".csv")
    ways += ["lines", "json", "json"] * (path.suffix in (".json", ".jsonl"))
    ways += ["values", "values", "values"] * (path.suffix in _CONTAINERS)
    way: str = draw(st.sampled_from(ways))
    if way == "replace":
        return replace_file(draw, path, outside)
    if way == "add":
        return add_file(draw, path)
    if way == "swap":
        other, data = draw(st.sampled_from(others)), path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        kind = way
    elif way == "older":
        shutil.copyfile(older, path)
        kind = way
    elif way == "values":
        kind = change_values(draw, path)
    else:
        changes = {"bytes": change_bytes, "lines": change_lines, "cell": change_cell}
        kind, data = {**changes, "json": change_json}[way](draw, path.read_bytes())
        path.write_bytes(data)
    if draw(st.booleans()):
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        return f"{kind}, same time"
    return kind


def _place(draw: Draw, tree: list[Any]) -> tuple[Any, Any]:
    """Find a place in nested containers: what holds it, and its key there."""
    holder: Any = tree
    key: Any = 0
    while isinstance(holder[key], (dict, list)) and holder[key] and draw(st.integers(0, 4)):
        holder = holder[key]
        keys = [*holder] if isinstance(holder, dict) else range(len(holder))
        key = draw(st.sampled_from(keys))
    return holder, key


def _to_numpy(value: Any) -> Any:
    return value.numpy().copy() if hasattr(value, "numpy") else value


def _to_kind(value: Any, first: Any) -> Any:
    """Make an array what it stands in for: a tensor where that was one."""
    if isinstance(value, np.ndarray) and not isinstance(first, (np.ndarray, np.generic)):
        import torch

        return torch.from_numpy(np.ascontiguousarray(value))
    return value


def _read_torch(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True)


def _write_torch(content: Any, path: Path) -> None:
    import torch

    torch.save(content, path)


def _read_tensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _write_tensors(content: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(content, path)


def _read_npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _write_npz(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **content)


def _write_npy(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, content)


_CONTAINERS: dict[str, tuple[Callable[[Path], Any], Callable[[Any, Path], None]]] = {
    ".pt": (_read_torch, _write_torch),
    ".ckpt": (_read_torch, _write_torch),
    ".safetensors": (_read_tensors, _write_tensors),
    ".npz": (_read_npz, _write_npz),
    ".npy": (np.load, _write_npy),
}

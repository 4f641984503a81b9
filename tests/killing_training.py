"""Kill training at points at which it reads an image or changes something on the disk, and resume.

Run as ``python killing_training.py FOLDER STRIDE NAME...``, in a process of its own, since it forks
and hears of all that Python opens. For each set of options NAME it kills at each STRIDE-th point,
prints how often, and fails where a resumed run ended otherwise than one that was left alone.
"""

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from colors import Colors, network, same
from torch import Tensor

from dermolib import Trainer, make_loader
from dermolib.datasets.device_loader import DeviceLoader
from dermolib.training import callbacks, checkpoint

EVENTS = {"open", "os.remove", "os.rename", "os.mkdir"}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed": {"mixup": 0.4, "cutmix": 0.6, "accumulate": 2, "sampler": 0.7, "class_weights": None},
    "averaged": {"ema": 0.7, "precision": "bf16-mixed", "label_smoothing": 0.1},
    "early": {"early_stopping": 1, "learning_rate": 1e-9, "epochs": 9},
    "alone": {"ema": 0.7, "optimizer": "sgd", "schedule": "cosine", "layer_rates": {"0": 0.1}},
    "loader": {},
    "on device": {"save_every": 2},
    "again": {},
}
"""Options by name; "alone" trains without validation, "again" in the folder of a finished run, and
"loader" and "on device" with loaders of their own.
"""


class Read(Colors):
    """Images that tell when one of them is read."""

    tick: Callable[[], None] = staticmethod(lambda: None)

    def __getitem__(self, index: int) -> dict[str, Any]:
        type(self).tick()
        return super().__getitem__(index)


class Stored(Colors):
    """The same as bytes, as they lie on a device."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = (self.images[index].permute(1, 2, 0) * 40 + 100).clamp(0, 255).byte()
        return {"image": image.numpy(), "label": int(self.labels[index])}


def scaled(batch: dict[str, Any]) -> dict[str, Any]:
    """Make bytes numbers, where `DeviceLoader` would augment."""
    Read.tick()
    image: Tensor = batch["image"]
    return {**batch, "image": image.float() / 255}


def training_set(name: str) -> Any:
    """Make what named options train on."""
    shuffled: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 5}
    if name == "on device":
        return DeviceLoader(Stored(18), device="cpu", augment=scaled, **shuffled)
    return make_loader(Read(18), **shuffled) if name == "loader" else Read(18)


def fit(folder: Path, name: str) -> None:
    """Train by named options, from where the folder stands, and write what came out beside it."""
    options: dict[str, Any] = {"epochs": 2, "save_every": 1, "precision": "float32"}
    options |= {"learning_rate": 0.05, "batch_size": 4, "device": "cpu", "progress": False}
    options |= OPTIONS[name]
    fitted = Trainer(network(dropout=0.3), num_classes=3, output=folder, **options)
    history = fitted.fit(training_set(name), None if name == "alone" else Read(6, seed=1))
    result = {"weights": fitted.model.state_dict(), "rows": history.rows}
    torch.save(result, folder.with_suffix(".pt"))


def arm(folder: Path, point: int) -> None:
    """Let the process kill itself at a point: an image, a change of a file, half a file."""
    left = iter(range(point))
    write = checkpoint.write_content

    def tick() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not str(arguments[0]).startswith(f"{folder}/"):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
            tick()

    def write_halves(content: Any, path: Path) -> None:
        write(content, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        tick()
        path.write_bytes(whole)

    sys.addaudithook(hear)
    Read.tick = staticmethod(tick)
    checkpoint.write_content = write_halves
    setattr(callbacks, "write_content", write_halves)  # noqa: B010 - of a process that ends soon


def in_child(call: Callable[[], None]) -> int:
    """Make a call in a process of its own; give back its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(folder: Path) -> tuple[Any, ...]:
    """Read all that a run has left."""
    result = torch.load(folder.with_suffix(".pt"), weights_only=True)
    best = torch.load(folder / "best.pt", weights_only=True)["state_dict"]
    files = sorted(path.name for path in folder.iterdir())
    kept = [path.read_bytes() for path in sorted(folder.glob("run-*/[bh]*"))]
    history = (folder / "history.csv").read_bytes()
    return result["weights"], best, result["rows"], files, history, kept


def finished(folder: Path) -> int:
    """Count the runs that have ended in a folder; after the last one a call makes another."""
    marks = [*folder.glob("run.json"), *folder.glob("run-*/run.json")]
    return sum(json.loads(path.read_text())["finished"] for path in marks)


def begin(folder: Path, name: str) -> int:
    """Let as many runs end in a folder as are to lie there before."""
    if name == "again":
        assert in_child(partial(fit, folder, name)) == 0
    return int(name == "again")


def fit_killed(folder: Path, name: str, point: int) -> None:
    """Train, and be killed at a point."""
    arm(folder, point)
    fit(folder, name)


def main(root: Path, stride: int, names: list[str]) -> None:
    """Kill runs of named options, and let each resume."""
    torch.set_num_threads(1)
    kills: dict[str, int] = {}
    for name in names:
        earlier = begin(root / name, name)
        assert in_child(partial(fit, root / name, name)) == 0
        weights, best, *others = outcome(root / name)
        for point in itertools.count(len(name) % stride, stride):
            folder = root / f"{name}{point}"
            begin(folder, name)
            ended = in_child(partial(fit_killed, folder, name, point))
            assert ended in (0, -signal.SIGKILL)
            if ended == 0:
                break
            for left in (folder / "last.ckpt", folder / "best.pt"):
                if left.exists():
                    torch.load(left, weights_only=True)  # is whole
            if finished(folder) > earlier:
                continue
            assert in_child(partial(fit, folder, name)) == 0
            found, found_best, *found_others = outcome(folder)
            assert same(found, weights), (name, point)
            assert same(found_best, best), (name, point)
            assert found_others == others, (name, point)
            kills[name] = kills.get(name, 0) + 1
    print(json.dumps(kills))  # noqa: T201 - for the test that runs this


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

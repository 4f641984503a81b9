"""Two processes that train together on the CPU: to the end, asked to end, and killed.

``python -m torch.distributed.run --nproc-per-node 2 training_together.py FOLDER`` trains, scores
and predicts, and writes what each process got into the folder. ``python training_together.py
FOLDER`` forks the processes itself, ends them by signals at some points, lets them go on, prints
how often, and fails where they ended otherwise than those that were left alone.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from colors import Colors, network, same
from torch import nn

from dermolib import Trainer
from dermolib.training import callbacks, checkpoint
from killing_training import in_child

TRAIN, VALIDATION, CLASSES = 16, 7, 3

OPTIONS: dict[str, Any] = {
    "num_classes": CLASSES,
    "epochs": 3,
    "learning_rate": 0.05,
    "class_weights": None,
    "device": "cpu",
    "precision": "float32",
    "progress": False,
}
"""What one process and two have in common; the batches of two are half as large."""

TOGETHER: dict[str, Any] = {**OPTIONS, "batch_size": 4, "devices": 2, "strategy": "ddp"}

MOMENTS = [
    (signal.SIGTERM, 1, 0),
    (signal.SIGTERM, 0, 13),
    (signal.SIGTERM, 1, 9),
    (signal.SIGKILL, 1, 9),
    (signal.SIGKILL, 0, 24),
    (signal.SIGKILL, 1, 34),
]
"""Signals, the process that gets them, and before which image.

The first process reads four images of validation as a look before it trains, the other one three;
an epoch of each has eight.
"""


class Read(Colors):
    """Images that note which of them are read, and do something when one is."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        super().__init__(count, seed=seed)
        self.reads: list[int] = []

    def __getitem__(self, index: int) -> dict[str, Any]:
        tick()
        self.reads.append(index)
        return super().__getitem__(index)


tick: Callable[[], None] = lambda: None  # noqa: E731 - a process that is to be ended has another


def trained(folder: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """Train, score and predict."""
    train, validation = Read(TRAIN), Read(VALIDATION, seed=1)
    fitted = Trainer(network(), output=folder, **options)
    rows = fitted.fit(train, validation).rows
    return {
        "rows": rows,
        "weights": fitted.model.state_dict(),
        "train": train.reads,
        "validation": validation.reads[-len(set(validation.reads)) :],  # of the last epoch
        "scores": fitted.evaluate(validation),
        "predicted": fitted.predict(validation),
        "one row": fitted.predict(Read(1, seed=1)),
    }


def left_alone(folder: Path) -> None:
    """Train as one of the processes of `torch.distributed.run`, with and without an output."""
    written: list[str] = []
    write = checkpoint.write_content

    def note(content: Any, path: Path) -> None:
        written.append(path.name)
        write(content, path)

    checkpoint.write_content = note
    setattr(callbacks, "write_content", note)  # noqa: B010 - of a process that ends soon
    rank = int(os.environ["RANK"])
    torch.save(trained(folder / "run", TOGETHER), folder / f"kept{rank}.pt")
    torch.save(written, folder / f"written{rank}.pt")
    torch.save(trained(None, TOGETHER), folder / f"lost{rank}.pt")


def as_process(rank: int, port: int, call: Callable[[int], None]) -> None:
    """Be one of two processes; end with what `sys.exit` was given, and with 1 after an error."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    place |= {"GROUP_RANK": 0, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}
    try:
        call(rank)
    except SystemExit as stop:
        os._exit(stop.code if isinstance(stop.code, int) else 1)
    except BaseException:  # of a process whose neighbour was killed
        traceback.print_exc()
        os._exit(1)


def both(call: Callable[[int], None]) -> list[int]:
    """Make a call in two processes; the exit code of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            as_process(rank, port, call)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def fit(folder: Path, arm: Callable[[int], None] | None, rank: int) -> None:
    """Train as one process of two, and write what came out."""
    if arm is not None:
        arm(rank)
    model: nn.Module = network(dropout=0.3)
    fitted = Trainer(model, output=folder, save_every=1, **TOGETHER)
    rows = fitted.fit(Read(TRAIN), Read(VALIDATION, seed=1)).rows
    torch.save({"rows": rows, "weights": model.state_dict()}, f"{folder}{rank}.pt")


def armed(number: int, process: int, point: int) -> Callable[[int], None]:
    """Let one of the processes send itself a signal before it reads an image."""

    def arm(rank: int) -> None:
        global tick
        left = iter(range(point))

        def send() -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), number)

        tick = send if rank == process else tick

    return arm


def results(folder: Path) -> list[dict[str, Any]]:
    """Read what both processes ended with."""
    return [torch.load(f"{folder}{rank}.pt", weights_only=True) for rank in range(2)]


def main(folder: Path) -> None:
    """End processes by signals, and let them go on."""
    torch.set_num_threads(1)
    whole = folder / "whole"
    assert both(partial(fit, whole, None)) == [0, 0]
    wanted = results(whole)
    for number, process, point in MOMENTS:
        run, arm = folder / f"run{number}-{point}", armed(number, process, point)
        ended = both(partial(fit, run, arm))
        if number == signal.SIGTERM:
            assert ended == [143, 143], ended
        else:
            assert (ended[process], ended[1 - process]) == (-signal.SIGKILL, 1), ended
        assert in_child(partial(torch.load, run / "last.ckpt", weights_only=True)) == 0
        assert both(partial(fit, run, None)) == [0, 0]
        for found, there in zip(results(run), wanted, strict=True):
            assert found["rows"] == there["rows"], (number, point)
            assert same(found["weights"], there["weights"]), (number, point)
    print(len(MOMENTS))  # noqa: T201 - for the test that runs this


if __name__ == "__main__":
    (left_alone if "RANK" in os.environ else main)(Path(sys.argv[1]))

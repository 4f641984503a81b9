"""What kills the worker that runs it, once; in a module of its own, which workers import."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np


def die_once(value: Any, flag: str) -> Any:
    """Kill this process where a file is there, whose text is the process that is spared."""
    path = Path(flag)
    try:
        spared = path.read_text()
    except FileNotFoundError:  # never there, or another worker has just died of it
        return value
    if spared != str(os.getpid()):
        path.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def dark(image: Any, flag: str) -> Any:
    """Mask what is dark, and die once."""
    return die_once(image, flag).mean(axis=2) < 60


class Flip:
    """Flips an image at random, and dies once."""

    def __init__(self, flag: str) -> None:
        """Take the path of the flag."""
        self.flag = flag

    def __repr__(self) -> str:
        """Name what decides the result."""
        return "Flip()"

    def __call__(self, image: Any, mask: Any, draw_seed: int) -> dict[str, Any]:
        """Flip an image and its mask."""
        step = int(np.random.default_rng(draw_seed).choice([-1, 1]))
        return {"image": die_once(image, self.flag)[::step].copy(), "mask": mask[::step].copy()}


class StubbornError(Exception):
    """An error that cannot be unpickled: its class takes two arguments."""

    def __init__(self, words: str, number: int) -> None:
        """Take two arguments."""
        super().__init__(words)
        self.number = number


def refuse(number: int) -> int:
    """Raise an error that cannot be unpickled."""
    error = StubbornError("no mask.", number)
    error.add_note("The sample is 1.")
    raise error


def exhaust(number: int) -> None:
    """Ask for more memory than there is."""
    np.zeros((number, 1 << 58))

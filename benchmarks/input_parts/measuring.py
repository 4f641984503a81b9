"""Calls in processes of their own: their processor time, their time by the clock, their memory."""

import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Cost", "in_fresh_process", "median_ratio", "peak_memory", "timed"]

_EVERY = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Attributes:
        cpu: Processor time of the process and its children in s.
        wall: Time by the clock in s.
    """

    cpu: float
    wall: float


def in_fresh_process(function: Callable[..., Any], *args: Any, cores: int = 1) -> Any:
    """Call a function in a new process that has so many cores.

    Args:
        function: Importable function.
        args: Its arguments.
        cores: Number of cores.

    Returns:
        What the function returns.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _pin, (cores,)) as pool:
        return pool.submit(function, *args).result()


def timed(function: Callable[..., Any], *args: Any, **options: Any) -> Cost:
    """Call a function and take the times."""
    cpu, wall = _processor_time(), time.perf_counter()
    function(*args, **options)
    return Cost(_processor_time() - cpu, time.perf_counter() - wall)


def median_ratio(above: list[float], below: list[float]) -> float:
    """Give the median of the ratios of pairs that were measured in turn."""
    return float(np.median(np.array(above) / np.array(below)))


def peak_memory(function: Callable[..., Any], *args: Any, **options: Any) -> float:
    """Call a function and watch the memory of this process and all that it starts.

    Args:
        function: What to call.
        args: Its arguments.
        options: Its keyword arguments.

    Returns:
        Peak of the sum of what the processes have for themselves (proportional set size), in MB.
    """
    peak = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, sum(map(_own_memory, _family(os.getpid()))))
            time.sleep(_EVERY)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function(*args, **options)
    finally:
        done.set()
        watcher.join()
    return peak


def _pin(cores: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _processor_time() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _family(root: int) -> list[int]:
    """List a process and its descendants."""
    found = [root]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it ended meanwhile
                continue
    return found


def _own_memory(process: int) -> float:
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    except OSError:  # it ended meanwhile
        pass
    return 0.0

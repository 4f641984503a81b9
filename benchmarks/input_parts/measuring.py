"""What the benchmarks of the input side measure on, and how: time and memory of calls."""

import multiprocessing
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dermolib._validation import DatasetNotFoundError
from dermolib.io import read_image, write_image

__all__ = [
    "Cost",
    "in_fresh_process",
    "make_corpus",
    "median_ratio",
    "peak_memory",
    "take_turns",
    "timed",
]

_EVERY = 0.02  # seconds between two looks at the memory


_DIFFERENT = 96  # images of a corpus; the others are copies of these


def make_corpus(data: Path, folder: Path, *, count: int, side: int = 1024) -> Path:
    """Write images of ISIC 2018 task 1, enlarged to one size, as JPEG at quality 90."""
    source = data / "isic2018_task1" / "images"
    files = sorted(source.glob("*.jpg"))
    if not files:
        raise DatasetNotFoundError(source, "ID.jpg for each image")
    folder.mkdir(parents=True, exist_ok=True)
    for number, place in enumerate(np.linspace(0, len(files) - 1, _DIFFERENT).astype(int)[:count]):
        image = read_image(files[place])
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        write_image(folder / f"{number:05d}.jpg", np.asarray(large, np.uint8), quality=90)
    for number in range(_DIFFERENT, count):
        copied = folder / f"{number % _DIFFERENT:05d}.jpg"
        shutil.copyfile(copied, folder / f"{number:05d}.jpg")
    return folder


class Cost(NamedTuple):
    """Processor time of a call and the processes that it started, and time by the clock, in s."""

    cpu: float
    wall: float


def in_fresh_process(function: Callable[..., Any], *args: Any, cores: int = 1) -> Any:
    """Call an importable function in a new process that has so many cores."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _pin, (cores,)) as pool:
        return pool.submit(function, *args).result()


def timed(function: Callable[..., Any], *args: Any, **options: Any) -> Cost:
    """Call a function and take the times."""
    cpu, wall = _processor_time(), time.perf_counter()
    function(*args, **options)
    return Cost(_processor_time() - cpu, time.perf_counter() - wall)


def take_turns(ways: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Give the processor time of ways by turns, in s for each of the images that they count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = _processor_time()
            count = way()
            if turn:  # the first one warms up
                times[name].append((_processor_time() - start) / count)
    return times


def median_ratio(above: list[float], below: list[float]) -> float:
    """Give the median of the ratios of pairs that were measured in turn."""
    return float(np.median(np.array(above) / np.array(below)))


def peak_memory(function: Callable[..., Any], *args: Any, **options: Any) -> float:
    """Call a function; gives the peak memory of this process and all that it starts, in MB.

    The memory of a process is what it has for itself (proportional set size).
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

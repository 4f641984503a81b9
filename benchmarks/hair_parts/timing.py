"""Time of every remover against the decoding of the same JPEG file.

From the folder ``benchmarks``::

    python -m hair_parts.timing --threads 1

Decoders and removers take turns on the same image, so that a busy machine slows all of them; times
are medians over rounds, ratios are medians of the ratios within a round. One thread on one core is
measured in processor time, which other programs do not lengthen, more threads by the clock.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from PIL import Image as PillowImage

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.io import read_image
from hair_parts.images import default_data
from hair_parts.removers import removers

__all__ = ["TIMED", "Timing", "time_removers"]

Timing: TypeAlias = dict[str, dict[str, float]]
"""Name to milliseconds per megapixel, ``"ms"``, and ratios to the decoders, by their names."""

TIMED = ("ISIC_0000115", "ISIC_0000443", "ISIC_0012660")
"""The hairy images of more than 1024 px, dense, thin and sparse."""

DECODERS = ("cv2.imdecode", "Pillow")
_SIZE = 1024
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def time_removers(data: Path, names: list[str], *, threads: int, rounds: int = 7) -> Timing:
    """Time removers at 1024 x 1024 in a fresh process that has `threads` cores.

    Args:
        data: Folder with ``hairy_native``.
        names: Names of removers.
        threads: Number of threads and of processor cores.
        rounds: Number of rounds; the first one more, which warms up, is not counted.

    Returns:
        Timing of decoders and removers.
    """
    # The libraries read their number of threads once, when they are loaded
    with _environment(dict.fromkeys(_VARIABLES, str(threads))):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, _pin, (threads,)) as pool:
            return pool.submit(_measure, data, names, threads, rounds).result()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _pin(threads: int) -> None:
    cv2.setNumThreads(threads)
    # Whatever starts threads of its own has to share these cores
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _measure(data: Path, names: list[str], threads: int, rounds: int) -> Timing:
    known = removers()
    clock = time.process_time if threads == 1 else time.perf_counter
    files = [_file(data / "hairy_native" / f"{name}.jpg") for name in TIMED]
    by_name: dict[str, list[list[float]]] = {}
    for number, file in enumerate(files):
        image = _pillow(file)
        calls: dict[str, Callable[[], object]] = {
            "cv2.imdecode": partial(cv2.imdecode, file, cv2.IMREAD_COLOR),
            "Pillow": partial(_pillow, file),
            **{name: partial(known[name], image) for name in names},
        }
        for turn in range(rounds + 1):
            for name, call in calls.items():
                seconds = _seconds(call, clock)
                if turn:
                    by_name.setdefault(name, [[] for _ in files])[number].append(seconds)
    taken = {name: np.array(seconds) for name, seconds in by_name.items()}
    return {name: _summary(seconds, taken) for name, seconds in taken.items()}


def _summary(seconds: Any, taken: dict[str, Any]) -> dict[str, float]:
    """Take the median over rounds, then the mean over files."""
    megapixels = _SIZE**2 / 1e6
    summary = {"ms": float(np.median(seconds, axis=1).mean()) * 1e3 / megapixels}
    for decoder in DECODERS:
        summary[decoder] = float(np.median(seconds / taken[decoder], axis=1).mean())
    return summary


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _file(path: Path) -> Image:
    """Cut the middle square, scale it to 1024 x 1024 and encode it as JPEG of quality 90."""
    if not path.exists():
        raise DatasetNotFoundError(path, f"hairy_native with {', '.join(TIMED)}")
    image = read_image(path)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side, ::-1]
    scaled = cv2.resize(square, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _pillow(file: Image) -> Image:
    with PillowImage.open(BytesIO(file.tobytes())) as image:
        return np.array(image)


def main() -> None:
    """Print the timing as JSON."""
    parser = argparse.ArgumentParser(description="Time hair removers against JPEG decoding.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the data")
    parser.add_argument("--threads", type=int, default=1, help="threads and cores (default 1)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default 7)")
    parser.add_argument("--methods", nargs="+", default=list(removers()), help="names")
    given = parser.parse_args()
    timing = time_removers(given.data, given.methods, threads=given.threads, rounds=given.rounds)
    print(json.dumps(timing, indent=2))


if __name__ == "__main__":
    main()

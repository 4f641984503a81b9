"""Time of every remover against the decoding of the same JPEG file; prints JSON.

Decoders and removers take turns on the same image, so that a busy machine slows all of them; times
are medians over rounds, ratios are medians of the ratios within a round. One thread on one core is
measured in processor time, which other programs do not lengthen, more threads by the clock.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from PIL import Image as PillowImage

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.io import read_image
from hair_parts.scripts import removers

__all__ = ["DECODERS", "Timing", "time_removers"]

Timing: TypeAlias = dict[str, dict[str, float]]
"""Name to milliseconds per megapixel, ``"ms"``, and ratios to the decoders, by their names."""

# The hairy images that are larger than the crop, which is taken at native size
_TIMED = ("ISIC_0000042", "ISIC_0000115", "ISIC_0000443", "ISIC_0012660")
DECODERS = ("cv2.imdecode", "Pillow")
_SIZE = 1024
_QUALITY = 92
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def time_removers(data: Path, names: list[str], *, threads: int) -> Timing:
    """Time removers at 1024 x 1024 in a fresh process that has `threads` threads and cores."""
    command = [sys.executable, "-m", "hair_parts.timing", str(data), str(threads), *names]
    # The libraries read their number of threads once, when they are loaded
    environment = {**os.environ, **dict.fromkeys(_VARIABLES, str(threads))}
    folder = Path(__file__).parents[1]
    made = subprocess.run(  # noqa: S603 - this module
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
    )
    timing: Timing = json.loads(made.stdout)
    return timing


def _measure(data: Path, threads: int, names: list[str], rounds: int = 7) -> Timing:
    cv2.setNumThreads(threads)
    # Whatever starts threads of its own has to share these cores
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    clock = time.process_time if threads == 1 else time.perf_counter
    known = removers()
    by_name: dict[str, list[list[float]]] = {}
    for number, name in enumerate(_TIMED):
        file = _file(data / "hairy_native" / f"{name}.jpg")
        image = _pillow(file)
        calls: dict[str, Callable[[], object]] = {
            "cv2.imdecode": partial(cv2.imdecode, file, cv2.IMREAD_COLOR),
            "Pillow": partial(_pillow, file),
            **{name: partial(known[name], image) for name in names},
        }
        for turn in range(rounds + 1):
            for called, call in calls.items():
                start = clock()
                call()
                if turn:  # the first one warms up
                    by_name.setdefault(called, [[] for _ in _TIMED])[number].append(clock() - start)
    taken = {name: np.array(seconds) for name, seconds in by_name.items()}
    return {name: _summary(seconds, taken) for name, seconds in taken.items()}


def _summary(seconds: Any, taken: dict[str, Any]) -> dict[str, float]:
    """Take the median over rounds, then the mean over files."""
    summary = {"ms": float(np.median(seconds, axis=1).mean()) * 1e9 / _SIZE**2}
    for decoder in DECODERS:
        summary[decoder] = float(np.median(seconds / taken[decoder], axis=1).mean())
    return summary


def _file(path: Path) -> Image:
    """Cut the middle out of an image at native size and encode it as JPEG."""
    if not path.exists():
        raise DatasetNotFoundError(path, f"hairy_native with {', '.join(_TIMED)}")
    image = read_image(path)
    top, left = (image.shape[0] - _SIZE) // 2, (image.shape[1] - _SIZE) // 2
    crop = np.ascontiguousarray(image[top : top + _SIZE, left : left + _SIZE, ::-1])
    return np.asarray(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def _pillow(file: Image) -> Image:
    with PillowImage.open(BytesIO(file.tobytes())) as image:
        return np.array(image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time hair removers against JPEG decoding.")
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("threads", type=int, help="threads and cores")
    parser.add_argument("names", nargs="+", help="removers")
    given = parser.parse_args()
    print(json.dumps(_measure(given.data, given.threads, given.names), indent=2))

"""Time of the steps against the decoding of the same JPEG file."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from border_parts.images import Sample, load
from dermolib import crop_border, shades_of_gray
from dermolib.preprocessing import field_of_view

__all__ = ["time_steps"]

_SIZE = 1024
_IMAGES = 6  # with a border, and as many without
_ROUNDS = 15
_DECODER = "cv2.imdecode"


def time_steps(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Time the steps at 1024 x 1024, on one thread, in turns.

    Args:
        samples: Samples, of which the first with a clear border and the first without are taken.

    Returns:
        Name of a step to its milliseconds and its time over that of decoding, medians.
    """
    times: dict[str, tuple[float, float]] = {}
    for what in ("clear", "none"):
        taken: dict[str, list[float]] = {}
        for sample in [sample for sample in samples if sample.border == what][:_IMAGES]:
            _take_turns(sample, taken)
        decoding = np.array(taken[_DECODER])
        label = "border" if what == "clear" else "no border"
        for name, seconds in taken.items():
            ratio = float(np.median(np.array(seconds) / decoding))
            times[f"{name}, {label}"] = float(np.median(seconds)) * 1e3, ratio
    return times


def _take_turns(sample: Sample, taken: dict[str, list[float]]) -> None:
    image = cv2.resize(load(sample)[0], (_SIZE, _SIZE), interpolation=cv2.INTER_CUBIC)
    file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    pixels = np.asarray(image, np.uint8)
    calls: dict[str, Callable[[], object]] = {
        _DECODER: partial(cv2.imdecode, file, cv2.IMREAD_COLOR),
        "a copy of the image": pixels.copy,
        "field_of_view, bounding": partial(field_of_view, pixels),
        "field_of_view, inscribed": partial(field_of_view, pixels, kind="inscribed"),
        "crop_border": partial(crop_border, pixels),
        "shades_of_gray": partial(shades_of_gray, pixels),
    }
    for turn in range(_ROUNDS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first warms up
                taken.setdefault(name, []).append(time.perf_counter() - start)

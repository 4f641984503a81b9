"""Memory and time of the functions on arrays, against the size and the shape of the image.

    python benchmarks/memory.py
    python benchmarks/memory.py --shapes

The first takes the peak of memory above that before the call, which holds the image, and the time
of the processor, each in a process of its own after a call on a small image that loads what is
needed. The second takes the time on images of other shapes and with other masks as their pixels
become four and sixteen times as many.
"""

import argparse
import ctypes
import gc
import io
import pkgutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask
from dermolib.io import MAX_PIXELS
from input_parts.measuring import in_fresh_process
from tables import markdown

_SIDES = (2000, 8000, 16_000)
_PIXELS = (1 << 14, 1 << 16, 1 << 18)
_FASTER = 6  # times the time for four times the pixels, from which on it is marked
_SECONDS = 0.05  # that say nothing

_Marks = npt.NDArray[np.uint8]


class Scene(NamedTuple):
    """What the functions are given."""

    image: Image
    hair: Mask
    lesion: Mask
    file: str = ""


def draw(height: int, width: int, pattern: str = "") -> Scene:
    """Draw a lesion and hair with noise, of the same look at every size, or a dark pattern."""
    generator, rows, columns = np.random.default_rng(0), *np.mgrid[:512, :512]
    lesion = (((rows - 256) / 150) ** 2 + ((columns - 240) / 110) ** 2 < 1).astype(np.uint8)
    small = np.where(lesion[..., None], (130, 90, 70), (215, 170, 150)).astype(np.uint8)
    hair = np.zeros((512, 512), np.uint8)
    for start, middle, end in generator.uniform(-100, 612, (24, 3)):
        line = np.array([[start, -20], [middle, 256], [end, 532]], np.int32)
        cv2.polylines(hair, [line], False, (1,), 3)
    small[hair > 0] = 50
    size = (width, height)
    image: Image = np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), 1), size), np.uint8)
    noise = generator.integers(0, 12, (251, width, 3), np.uint8)
    for first in range(0, height, 251):
        image[first : first + 251] += noise[: height - first]
    masks: list[Any] = [cv2.resize(one, size, interpolation=0) for one in (hair, lesion)]
    if pattern:
        masks = [PATTERNS[pattern](height, width)] * 2
        image[masks[0] > 0] = 40
    return Scene(image, *(one.view(np.bool_) for one in masks))


def _lines(
    height: int, width: int, *, down: int = 1, right: int = 1, spine: bool = False
) -> _Marks:
    marks = np.zeros((height, width), np.uint8)
    marks[::down, ::right] = 1
    marks[0] |= spine
    return marks


def _checks(height: int, width: int) -> _Marks:
    return np.asarray(np.indices((height, width)).sum(axis=0) % 2, np.uint8)


def _spiral(height: int, width: int) -> _Marks:
    """Draw rings that a gap and a bridge make one long line."""
    marks = np.zeros((height, width), np.uint8)
    for inset in range(0, (min(height, width) - 5) // 2, 4):
        part = marks[inset : height - inset, inset : width - inset]
        part[0] = part[-1] = part[:, 0] = part[:, -1] = 1
        part[1, 0], part[2, :5] = 0, 1
    return marks


def _corners(height: int, width: int) -> _Marks:
    marks = np.zeros((height, width), np.uint8)
    marks[0, 0] = marks[-1, -1] = 1
    return marks


PATTERNS: dict[str, Callable[[int, int], _Marks]] = {
    "comb": partial(_lines, right=2, spine=True),
    "dots": partial(_lines, down=2, right=2),
    "all": _lines,
    "checks": _checks,
    "spiral": _spiral,
    "corners": _corners,
}
SHAPES: dict[str, tuple[str, Callable[[int], tuple[int, int]]]] = {
    "1 x N": ("", lambda pixels: (1, pixels)),
    "N x 1": ("", lambda pixels: (pixels, 1)),
    "2 x N, all": ("all", lambda pixels: (2, pixels // 2)),
    "N x 2, corners": ("corners", lambda pixels: (pixels // 2, 2)),
    "48 x N": ("", lambda pixels: (48, pixels // 48)),
    **{name: (name, lambda pixels: (int(pixels**0.5),) * 2) for name in PATTERNS},
}


def _call(path: str, *names: str, **options: Any) -> Callable[[Scene], Any]:
    """Make a call of a function with parts of a scene."""

    def call(scene: Scene) -> Any:
        return pkgutil.resolve_name(path)(*(getattr(scene, name) for name in names), **options)

    return call


def _remove_in_torch(scene: Scene, *, method: str) -> Any:
    import torch

    from dermolib import OcclusionRemoval

    torch.set_num_threads(1)
    images = torch.from_numpy(scene.image).permute(2, 0, 1)
    return OcclusionRemoval(method=method)(images)


def _write(scene: Scene, *, name: str) -> Any:
    from dermolib.io import write_image

    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, name), scene.image)


def _augment(scene: Scene) -> Any:
    from dermolib import preset

    return preset("paper", image_size=224)(image=scene.image)["image"]


def _plot(scene: Scene) -> Any:
    from dermolib.reporting import plot_occlusion

    figure = plot_occlusion([scene.image], [scene.hair], [scene.image])
    figure.savefig(io.BytesIO(), format="png")


_METHODS = ("luv", "line", "unet")
_MASK, _REMOVE = "dermolib:occlusion_mask", "dermolib:occlusion_removal"
_FILLS = ("closing", "pyramid", "telea", "navier_stokes")
CALLS: dict[str, Callable[[Scene], Any]] = {
    **{f'occlusion_mask, "{name}"': _call(_MASK, "image", method=name) for name in _METHODS},
    **{f'occlusion_removal, "{name}"': _call(_REMOVE, "image", method=name) for name in _METHODS},
    'occlusion_removal, "luv", margin=2': _call(_REMOVE, "image", method="luv", margin=2),
    **{
        f'fill_mask, "{name}"': _call("dermolib:fill_mask", "image", "hair", fill=name)
        for name in _FILLS
    },
    **{
        f'OcclusionRemoval, "{name}", on the CPU': partial(_remove_in_torch, method=name)
        for name in ("luv", "unet")
    },
    "shades_of_gray": _call("dermolib:shades_of_gray", "image"),
    "crop_border": _call("dermolib:crop_border", "image"),
    "border_mask": _call("dermolib.preprocessing.border:border_mask", "image"),
    **{
        f'segment_lesion, "{name}"': _call("dermolib:segment_lesion", "image", method=name)
        for name in ("unet", "classical")
    },
    "analyze": _call("dermolib.preprocessing:analyze", "image"),
    "detect_artifacts": _call("dermolib.preprocessing:detect_artifacts", "image"),
    "abcd_features": _call("dermolib:abcd_features", "image", "lesion"),
    "perceptual_hash": _call("dermolib.auditing:perceptual_hash", "image"),
    "resize_image": _call("dermolib.io:resize_image", "image", size=(224, 224)),
    "is_blank": _call("dermolib.preprocessing.blank:is_blank", "image"),
    "write_image, PNG": partial(_write, name="0.png"),
    "write_image, JPEG": partial(_write, name="0.jpg"),
    "read_image, PNG": _call("dermolib.io:read_image", "file"),
    "read_image, JPEG": _call("dermolib.io:read_image", "file"),
    'preset, "paper"': _augment,
    "plot_occlusion": _plot,
}


def measure(name: str, height: int, width: int) -> tuple[float, float]:
    """Give the bytes per pixel at the peak above the start, and the seconds of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "1.jpg" if "JPEG" in name else "1.png")
        for scene in (draw(96, 96), draw(height, width)):
            if name.startswith("read_"):
                cv2.imwrite(str(path), scene.image)
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # so that what was freed does not hide what is needed
            Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
            begin, start = _memory("VmRSS"), time.process_time()
            CALLS[name](scene._replace(file=str(path)))
            seconds, peak = time.process_time() - start, _memory("VmHWM") - begin
    return peak / (height * width), seconds


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10


def growth(name: str, shape: str) -> list[str]:
    """Give the seconds of the processor for each number of pixels, or why there are none."""
    cv2.setNumThreads(1)
    pattern, sides = SHAPES[shape]
    taken: list[float] = []
    for pixels in _PIXELS:
        scene = draw(*sides(pixels), pattern)
        start = time.process_time()
        try:
            CALLS[name](scene)
        except ValueError as error:
            return [f"refused: {error}"]
        taken.append(time.process_time() - start)
    faster = taken[-1] > max(_SECONDS, _FASTER * taken[-2])
    return [*(f"{seconds:.3f} s" for seconds in taken), "more than the pixels" if faster else ""]


def main() -> int:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=_SIDES)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--shapes", action="store_true", help="other shapes and masks instead")
    given = parser.parse_args()
    names = [name for name in CALLS if name.startswith(tuple(given.only))]
    if given.shapes:
        heads = ["function", "shape", *(f"{pixels:,} px" for pixels in _PIXELS), ""]
        files = ("read_", "write_", "plot_")
        pairs = [(name, shape) for name in names for shape in SHAPES if not name.startswith(files)]
        print(
            markdown(heads, ([f"`{name}`", shape, *growth(name, shape)] for name, shape in pairs))
        )
        return 0
    heads = [f"{side:,} px: {what}" for side in given.sides for what in ("bytes/px", "ns/px")]
    print(markdown(["function", *heads], (_row(name, given.sides) for name in names)))
    return 0


def _row(name: str, sides: list[int]) -> list[str]:
    row = [f"`{name}`"]
    for side in sides:
        if name.startswith("read_") and side**2 > MAX_PIXELS:
            row += ["refused", ""]
            continue
        size, seconds = in_fresh_process(measure, name, side, side)
        row += [f"{size:.1f}", f"{1e9 * seconds / side**2:.1f}"]
    print(*row, file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())

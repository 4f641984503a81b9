"""The benchmark of hair removal: every method of dermolib and the scripts of today, in one table.

    python benchmarks/hair.py --output hair.md hair.json
    python benchmarks/hair.py --part tuning --limit 6 --no-timing
    python benchmarks/hair.py --gallery hair.png

Hair of three kinds is drawn on hair-free images of ISIC 2018 task 1, so that the true mask and the
image below are known. The sorted ids of these images are dealt alternately: the first, third, and
so on choose parameters and may train (``--part tuning``), the others report.
"""

import argparse
import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import whole_file
from hair_parts.evaluation import Drawing, run_fills, run_lesions, run_removers
from hair_parts.gallery import draw_gallery
from hair_parts.images import PARTS, artefact_ids, default_data, hair_free_ids, spread
from hair_parts.removers import default_method, own_removers, removers
from hair_parts.scripts import Remover
from hair_parts.table import markdown, to_values
from hair_parts.timing import Timing, time_removers

_LESIONS = 100
_PACKAGES = ("dermolib", "opencv-python-headless", "numpy", "scikit-image")


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = _parser()
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        if given.gallery is not None:
            draw_gallery(given.data, given.gallery)
        else:
            _measure(given, arguments or sys.argv[1:])
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _measure(given: argparse.Namespace, arguments: list[str]) -> None:
    known = removers()
    names = given.methods or list(known)
    chosen: dict[str, Remover] = {name: known[name] for name in names}
    every = {**chosen, "untouched": _untouched}
    ids = spread(hair_free_ids(given.data, given.part), given.limit)
    lesions = _sample(given.data, given.part, given.seed, given.limit)
    drawing = Drawing(data=given.data, seed=given.seed, jpeg=given.jpeg)
    scores = run_removers(drawing, ids, every)
    run_lesions(given.data, lesions, every, scores)
    default = default_method()
    fills = run_fills(drawing, ids, own_removers()[default]) if given.fills else {}
    timings: dict[int, Timing] = {}
    if given.timing:
        timings = {threads: time_removers(given.data, names, threads=threads) for threads in (1, 2)}
    setting = {
        "command": shlex.join(["python", "benchmarks/hair.py", *arguments]),
        "images with drawn hair": f"{len(ids)} of part {given.part}, 3 kinds each",
        "images flagged hair = 0 with other artefacts": len(lesions),
        "seed": given.seed,
        "JPEG quality after drawing": given.jpeg or "no JPEG",
        "default method": default,
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }
    text = markdown(setting, scores, timings, fills)
    print(text)
    values = to_values(setting, scores, timings, fills, {"hair_free": ids, "lesions": lesions})
    for path in given.output:
        _write(path, text, values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure hair removal on drawn hair.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--part", choices=PARTS, default="reporting", help="images that are used")
    parser.add_argument("--limit", type=_positive, help="use at most so many images of each list")
    parser.add_argument("--methods", nargs="+", choices=list(removers()), help="only these")
    parser.add_argument("--seed", type=int, default=0, help="seed of the hair (default 0)")
    parser.add_argument("--jpeg", type=_quality, help="JPEG quality of a round trip after drawing")
    parser.add_argument("--no-timing", dest="timing", action="store_false", help="take no times")
    parser.add_argument("--no-fills", dest="fills", action="store_false", help="no table of fills")
    parser.add_argument(
        "--output", type=_table_file, nargs="+", default=[], help="files ending in .md or .json"
    )
    parser.add_argument("--gallery", type=_picture_file, help="draw eight real images, no table")
    return parser


def _positive(text: str) -> int:
    return _within(text, 1, 10**6)


def _quality(text: str) -> int:
    return _within(text, 1, 100)


def _within(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"expected an integer in {low}..{high}, but got {text}")
    return int(text)


def _table_file(text: str) -> Path:
    return _ending(text, (".md", ".json"))


def _picture_file(text: str) -> Path:
    return _ending(text, (".png", ".jpg"))


def _ending(text: str, endings: tuple[str, ...]) -> Path:
    if Path(text).suffix not in endings:
        what = " or ".join(endings)
        raise argparse.ArgumentTypeError(f"expected a file ending in {what}, but got {text}")
    return Path(text)


def _untouched(image: Image) -> tuple[Image, Mask]:
    """Remove nothing: what every remover has to beat."""
    return image, np.zeros(image.shape[:2], dtype=np.bool_)


def _sample(data: Path, part: Any, seed: int, limit: int | None) -> list[str]:
    ids = artefact_ids(data, part)
    size = min(len(ids), limit or _LESIONS, _LESIONS)
    chosen = np.random.default_rng(seed).choice(len(ids), size=size, replace=False)
    return [ids[index] for index in sorted(chosen)]


def _write(path: Path, text: str, values: dict[str, Any]) -> None:
    content = text if path.suffix == ".md" else json.dumps(values, indent=1) + "\n"
    with whole_file(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

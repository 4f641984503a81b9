"""The benchmark of the presets: their cost beside albumentations, and what is left of lesions.

    python benchmarks/presets.py --data DIR --output presets.md
    python benchmarks/presets.py --no-lesions
    python benchmarks/presets.py --data DIR --gallery FOLDER

Times are of images drawn on the spot, and need no data; lesions are counted on all real images with
a mask, which takes some minutes; the gallery is sixteen draws of one real image by each preset.
"""

import argparse
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from dermolib import list_presets
from dermolib._validation import DatasetNotFoundError
from dermolib.augmentation import Preset
from dermolib.io import read_image, whole_file
from dermolib.reporting.plots import plot_samples, save_figure
from preset_parts.lesions import Survival, find_pairs, measure
from preset_parts.speed import COST_SIZES, Cost, Timing, time_parts, time_presets

_PACKAGES = ("dermolib", "albumentations", "opencv-python-headless", "numpy", "torch")
_GALLERY = "ISIC_0024310"
_WAYS = ("draw_seed", "stream", "mask", "stock", "plain")


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if given.gallery is not None:
            draw_gallery(given.data, given.image, given.gallery)
            return
        pairs = find_pairs(given.data)[:: given.every] if given.lesions else []
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA, or use --no-lesions.")
    parts = [_setting(), _speed(time_presets(given.draws)), _costs(time_parts(given.rounds))]
    if pairs:
        parts.append(_lesions(measure(pairs, ["strong", "paper"], [0, 0.5])))
    text = "\n\n".join(parts)
    print(text)
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def draw_gallery(data: Path, name: str, folder: Path) -> None:
    """Draw sixteen draws of one real image by each preset, each into a file of its own.

    Args:
        data: Folder of the data.
        name: Id of an image of the challenge's training set.
        folder: Folder of the pictures.

    Raises:
        DatasetNotFoundError: The image is not there.
    """
    path = data / "isic_challenge" / "Train" / f"{name}.jpg"
    if not path.exists():
        raise DatasetNotFoundError(path, "isic_challenge/Train/ID.jpg")
    image = read_image(path)
    for preset in list_presets():
        transform = Preset(preset, image_size=224, seed=0, normalize=False)
        draws = [transform(image=image)["image"] for _ in range(16)]
        save_figure(plot_samples(draws), folder / f"{preset}.png", dpi=110)


def _setting() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{platform.machine()}, {os.cpu_count()} cores, one thread; {versions}"


def _speed(timings: Iterable[Timing]) -> str:
    head = ["preset", "image", "result", "bare, ms", *(f"{way}, ms" for way in _WAYS)]
    head += [*(f"{way} / bare" for way in _WAYS), "of paper"]
    return _table(head, ([*_speed_row(timing)] for timing in timings))


def _speed_row(timing: Timing) -> Iterator[str]:
    yield timing.preset
    yield f"{timing.source[1]} x {timing.source[0]}"
    yield str(timing.image_size)
    yield f"{timing.bare:.2f}"
    for way in _WAYS:
        yield f"{timing.milliseconds[way]:.2f}" if way in timing.milliseconds else ""
    for way in _WAYS:
        yield "{:.3f} ({:.3f})".format(*timing.ratios[way]) if way in timing.ratios else ""
    yield f"{timing.of_paper:.2f}"


def _costs(costs: list[Cost]) -> str:
    totals = {
        name: sum(cost.chance * cost.milliseconds[0] for cost in costs if cost.preset == name)
        for name in list_presets()
    }
    head = ["preset", "transform", "chance", *(f"ms at {side} px" for side in COST_SIZES)]
    head.append(f"share of a draw at {COST_SIZES[0]} px")
    rows = (
        [
            cost.preset,
            cost.transform,
            f"{cost.chance:.3g}",
            *(f"{value:.3f}" for value in cost.milliseconds),
            f"{100 * cost.chance * cost.milliseconds[0] / totals[cost.preset]:.0f} %",
        ]
        for cost in costs
    )
    return _table(head, rows)


def _lesions(results: Iterable[Survival]) -> str:
    head = [
        "preset",
        "min_visibility",
        "draws",
        "smallest share",
        "0.1 %",
        "1 %",
        "below 0.5",
        "lost",
    ]
    head += ["blank", "drawn again", "ended careful"]
    rows = (
        [
            result.preset,
            f"{result.min_visibility:g}",
            f"{result.images:,}",
            *(f"{share:.3f}" for share in (result.smallest, *result.low)),
            *map(str, (result.below_half, result.lost, result.blank)),
            *map(str, (result.again, result.careful)),
        ]
        for result in results
    )
    return _table(head, rows)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _parser() -> argparse.ArgumentParser:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("DERMOLIB_DATA", beside))
    parser = argparse.ArgumentParser(description="Measure the presets of augmentation.")
    parser.add_argument("--data", type=Path, default=data, help="folder of the real images")
    parser.add_argument("--draws", type=int, default=300, help="draws that are timed (default 300)")
    parser.add_argument("--rounds", type=int, default=60, help="draws of each transform alone")
    parser.add_argument("--no-lesions", dest="lesions", action="store_false", help="times alone")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image with a mask")
    parser.add_argument("--output", type=Path, help="file for the tables, in Markdown")
    parser.add_argument("--gallery", type=Path, help="draw sixteen draws into a folder, no tables")
    parser.add_argument("--image", default=_GALLERY, help="id of the image of the gallery")
    return parser


if __name__ == "__main__":
    main()

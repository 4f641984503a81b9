"""The benchmark of the presets: their cost beside albumentations, and what is left of lesions.

    python benchmarks/presets.py --data DIR --output presets.md
    python benchmarks/presets.py --no-lesions

Times are of synthetic images, and need no data; lesions are counted on all real images with a mask,
which takes some minutes.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any, TypeAlias

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import torch

from dermolib import list_presets, preset
from dermolib._validation import DatasetNotFoundError
from dermolib.augmentation.presets import make_generators
from dermolib.datasets.synthetic import draw_sample
from dermolib.io import whole_file
from dermolib.preprocessing import is_blank
from input_parts.pairs import Pair, challenge_pairs, read_pair, task_pairs
from tables import markdown

# Height and width of images, as the challenge or HAM10000 has them, and side of the result
_SETTINGS = (((150, 200), 224), ((450, 600), 224), ((450, 600), 512))
_SIDES = (224, 512)  # px at which single transforms are timed
_PACKAGES = ("dermolib", "albumentations", "opencv-python-headless", "numpy", "torch")
_Call: TypeAlias = Callable[[], Any]


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("DERMOLIB_DATA", beside))
    parser = argparse.ArgumentParser(description="Measure the presets of augmentation.")
    parser.add_argument("--data", type=Path, default=data, help="folder of the real images")
    parser.add_argument("--draws", type=int, default=300, help="draws that are timed (default 300)")
    parser.add_argument("--rounds", type=int, default=60, help="draws of each transform alone")
    parser.add_argument("--no-lesions", dest="lesions", action="store_false", help="times only")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image with a mask")
    parser.add_argument("--output", type=Path, help="file for the tables, in Markdown")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        pairs = []
        if given.lesions:
            pairs = [*challenge_pairs(given.data), *task_pairs(given.data)][:: given.every]
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA, or use --no-lesions.")
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    parts = [f"{platform.machine()}, {os.cpu_count()} cores, one thread; {versions}\n"]
    parts += [time_presets(given.draws), time_transforms(given.rounds)]
    if pairs:
        parts.append(count_lesions(pairs, ["strong", "paper"], [0, 0.5]))
    text = "\n".join(parts)
    print(text, end="")
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def time_presets(draws: int) -> str:
    """Time every preset beside `A.Compose` of the same transforms (bare) from the same generators.

    Each draw is made in all ways in turn, in an order that rotates, and gives the same bits; the
    time is that of the processor. Ratios are medians over draws.
    """
    rows = []
    for (height, width), image_size in _SETTINGS:
        drawn = draw_sample(0, image_size=(height, width), generator=np.random.default_rng(0))
        paper = 0.0
        for name in sorted(list_presets(), key="paper".__ne__):
            ways = _ways(name, image_size, drawn.image, drawn.mask)
            turns = [_in_turn(ways, seed) for seed in range(draws + 1)][1:]  # the first warms up
            seconds = {way: np.array([turn[way] for turn in turns]) for way in ways}
            paper = paper or float(seconds["draw_seed"].sum())
            pairs = (("draw_seed", "bare"), ("mask", "bare mask"), ("stock", "bare"))
            ratios = [f"{np.median(seconds[way] / seconds[base]):.3f}" for way, base in pairs]
            bare = 1e3 * float(np.median(seconds["bare"]))
            of_paper = float(seconds["draw_seed"].sum()) / paper
            size = [f"{width} x {height}", str(image_size), f"{bare:.2f}"]
            rows.append([name, *size, *ratios, f"{of_paper:.2f}"])
    head = ["preset", "image", "result", "bare, ms", "draw_seed", "with mask", "stock", "of paper"]
    return markdown(head, rows)


def _ways(name: str, image_size: int, image: Any, mask: Any) -> dict[str, Callable[[int], _Call]]:
    """Give for each way what makes its call from a seed; what it costs to make is not timed."""
    transform = preset(name, image_size=image_size)
    masked = preset(name, image_size=image_size, min_visibility=0)
    bare = A.Compose(transform.transforms)
    stock = A.Compose([_stock(step) for step in transform.transforms])

    def seeded(pipeline: Any, seed: int, **data: Any) -> _Call:
        pipeline.set_random_state(*make_generators(seed))
        return partial(pipeline, image=image, **data)

    return {
        "bare": partial(seeded, bare),
        "stock": partial(seeded, stock),
        "bare mask": partial(seeded, bare, mask=mask.astype(np.uint8) * np.uint8(255)),
        "draw_seed": lambda seed: partial(transform, image=image, draw_seed=seed),
        "mask": lambda seed: partial(masked, image=image, mask=mask, draw_seed=seed),
    }


def _stock(step: Any) -> Any:
    """Build albumentations' own transform of what dermolib has in a faster form."""
    if hasattr(step, "transforms"):
        return A.OneOf([_stock(child) for child in step.transforms], p=step.p)
    name = type(step).__name__
    if not type(step).__module__.startswith("dermolib") or not hasattr(A, name):
        return step
    if name == "ElasticTransform":
        # white noise, divided by its largest value, of about 4.3 deviations, is smoothed
        alpha = step.displacement * 2 * step.sigma * np.pi**0.5 * 4.3
        return A.ElasticTransform(alpha=alpha, sigma=step.sigma, border_mode=step.border_mode)
    stock = getattr(A, name)
    known = signature(stock).parameters
    options = {key: value for key, value in vars(step).items() if key in known}
    return stock(**{key: value for key, value in options.items() if value is not None})


def _in_turn(ways: dict[str, Callable[[int], _Call]], seed: int) -> dict[str, float]:
    """Call each way once, in an order that rotates, and check that all gave the same image."""
    names = list(ways)
    start = seed % len(names)
    taken, images = {}, {}
    for way in names[start:] + names[:start]:
        taken[way], images[way] = _clocked(ways[way](seed))
    for way, drawn in images.items():
        same = torch.allclose(drawn["image"], images["bare"]["image"], rtol=0, atol=1e-6)
        if way != "stock" and not same:  # elastic warps are drawn otherwise there
            raise RuntimeError(f"{way} draws another image than albumentations for seed {seed}.")
    return taken


def time_transforms(rounds: int) -> str:
    """Time each transform of each preset alone, where it is applied: medians over draws."""
    parts = {side: [*_parts(side)] for side in _SIDES}
    images = {
        side: draw_sample(0, image_size=side, generator=np.random.default_rng(0)).image
        for side in _SIDES
    }
    rows = []
    for index, (name, step, probability) in enumerate(parts[_SIDES[0]]):
        times = []
        for side in _SIDES:
            pixels: Any = images[side]
            pixels = pixels.astype(np.float32) if isinstance(step, A.ToTensorV2) else pixels
            call = partial(parts[side][index][1], force_apply=True, image=pixels)
            times.append(1e3 * np.median([_clocked(call)[0] for _ in range(rounds + 1)][1:]))
        kind = type(step).__name__
        rows.append([name, kind, f"{probability:.3g}", *(f"{value:.3f}" for value in times)])
    head = ["preset", "transform", "probability", *(f"ms at {side} px" for side in _SIDES)]
    return markdown(head, rows)


def _parts(side: int) -> Iterator[tuple[str, Any, float]]:
    for name in list_presets():
        for step in preset(name, image_size=side).transforms:
            inner = getattr(step, "transforms", None)
            for part in inner or [step]:
                yield name, part, step.p / len(inner) if inner else step.p


def _clocked(call: _Call) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def count_lesions(pairs: Sequence[Pair], names: Sequence[str], fractions: Sequence[float]) -> str:
    """Draw once of every image with each preset and `min_visibility`, and count what is left."""
    transforms = [
        preset(name, image_size=224, normalize=False, min_visibility=fraction)
        for name in names
        for fraction in fractions
    ]
    results: list[list[tuple[float, bool, int]]] = [[] for _ in transforms]
    for number, pair in enumerate(pairs):
        image, mask = read_pair(*pair)
        for transform, found in zip(transforms, results, strict=True):
            drawn = transform(image=image, mask=mask, draw_seed=number)
            if transform.visibility is not None:
                blank = is_blank(drawn["image"])
                found.append((transform.visibility, blank, transform.attempts))
    rows = []
    for transform, found in zip(transforms, results, strict=True):
        visible, blanks, attempts = map(np.array, zip(*found, strict=True))
        low = (visible.min(), *np.percentile(visible, [0.1, 1]))
        counts = (visible < 0.5, visible == 0, blanks, attempts > 1, attempts == 6)
        shown = [*(f"{value:.3f}" for value in low), *(f"{one.sum()}" for one in counts)]
        options = f"{transform.min_visibility:g}"
        rows.append([transform.name, options, f"{len(found):,}", *shown])
    head = ["preset", "min_visibility", "draws", "smallest fraction", "0.1 %", "1 %", "below 0.5"]
    return markdown([*head, "lost", "blank", "repeated", "ended careful"], rows)


if __name__ == "__main__":
    main()

"""What a preset costs: beside bare albumentations, beside the plainest evaluation, and in parts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, TypeAlias

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import torch

from dermolib import list_presets
from dermolib._validation import Image, Mask
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD, Preset
from dermolib.augmentation.sequence import make_generators
from dermolib.datasets.synthetic import draw_sample

__all__ = ["COST_SIZES", "SETTINGS", "Cost", "Timing", "time_parts", "time_presets"]

SETTINGS = (((150, 200), 224), ((450, 600), 224), ((450, 600), 512))
"""Height and width of images, as the challenge or HAM10000 has them, and side of the result."""

COST_SIZES = (224, 512)
"""Sides at which single transforms are timed, in px."""

_MEAN, _STD = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
_Call: TypeAlias = Callable[[], Any]
_Way: TypeAlias = Callable[[int], _Call]


@dataclass(frozen=True)
class Timing:
    """Medians over draws of one preset on images of one size.

    Attributes:
        preset: Name of the preset.
        source: Height and width of the images, in px.
        image_size: Side of the result, in px.
        bare: Milliseconds of `A.Compose` of the same transforms, its generators set beforehand;
            the way `stock` is that of albumentations' own transforms of the same names.
        ratios: Name of a way to call the preset to its time over that of `bare`: median over draws
            of the ratio, and ratio of the sums.
        milliseconds: The same ways to their time, median over draws.
        of_paper: Time of `draw_seed` over that of the preset `paper`, ratio of the sums.
    """

    preset: str
    source: tuple[int, int]
    image_size: int
    bare: float
    ratios: dict[str, tuple[float, float]]
    milliseconds: dict[str, float]
    of_paper: float


@dataclass(frozen=True)
class Cost:
    """One transform of a preset.

    Attributes:
        preset: Name of the preset.
        transform: Name of the transform.
        chance: Probability that a draw applies it.
        milliseconds: Time where it is applied, median, for each of `COST_SIZES`.
    """

    preset: str
    transform: str
    chance: float
    milliseconds: tuple[float, ...]


def time_presets(draws: int) -> list[Timing]:
    """Time every preset on drawn images, beside albumentations with the same draws.

    Each draw is made by all ways in turn, in an order that rotates, from the same generators, and
    gives the same bits; the time is that of the processor, in one thread.

    Args:
        draws: Number of draws of each preset and size.

    Returns:
        One timing for each preset and size of image.
    """
    _use_one_thread()
    return [timing for setting in SETTINGS for timing in _time_setting(*setting, draws=draws)]


def _time_setting(source: tuple[int, int], image_size: int, *, draws: int) -> Iterator[Timing]:
    ways = {name: _ways(name, image_size, *sample(source)) for name in list_presets()}
    rows = [{name: _in_turn(ways[name], seed) for name in ways} for seed in range(draws + 1)]
    # the first draw of each warms up
    paper = sum(row["paper"]["draw_seed"] for row in rows[1:])
    for name in ways:
        seconds = {way: np.array([row[name][way] for row in rows[1:]]) for way in ways[name]}
        yield Timing(name, source, image_size, *_summary(seconds, paper))


def _ways(name: str, image_size: int, image: Image, mask: Mask) -> dict[str, _Way]:
    """Make what gives the call of a way for a seed; what it costs to make is not timed."""
    preset = Preset(name, image_size=image_size)
    masked = Preset(name, image_size=image_size, min_visibility=0)
    bare = A.Compose(preset.transforms)
    stock = A.Compose([_stock(step) for step in preset.transforms])
    marks = mask.view(np.uint8) * np.uint8(255)

    def seeded(pipeline: Any, seed: int, **data: Any) -> _Call:
        pipeline.set_random_state(*make_generators(seed))
        return partial(pipeline, **data)

    def stream(seed: int) -> _Call:
        preset._stream = make_generators(seed)  # so that the stream draws what the others draw
        return partial(preset, image=image)

    ways: dict[str, _Way] = {
        "bare": partial(seeded, bare, image=image),
        "stock": partial(seeded, stock, image=image),
        "draw_seed": lambda seed: partial(preset, image=image, draw_seed=seed),
        "stream": stream,
        "bare mask": partial(seeded, bare, image=image, mask=marks),
        "mask": lambda seed: partial(masked, image=image, mask=mask, draw_seed=seed),
    }
    if name == "evaluation":
        ways["plain"] = lambda _: partial(_plain, image, image_size)
    return ways


def _stock(step: Any) -> Any:
    """Make albumentations' own transform of what dermolib has in a faster form."""
    inner = getattr(step, "transforms", None)
    if inner:
        return A.OneOf([_stock(child) for child in inner], p=step.p)
    name = type(step).__name__
    if not type(step).__module__.startswith("dermolib") or not hasattr(A, name):
        return step
    if name == "ElasticTransform":
        # white noise, divided by its largest value, of about 4.3 deviations, is smoothed
        alpha = step.displacement * 2 * step.sigma * np.pi**0.5 * 4.3
        return A.ElasticTransform(alpha=alpha, sigma=step.sigma, border_mode=step.border_mode)
    stock = getattr(A, name)
    names = set(signature(stock).parameters)
    options = {
        key: value for key, value in vars(step).items() if key in names and value is not None
    }
    return stock(**options)


def _in_turn(ways: dict[str, _Way], seed: int) -> dict[str, float]:
    """Call each way once, in an order that rotates, and check that all gave the same image."""
    names = list(ways)
    start = seed % len(names)
    taken, images = {}, {}
    for way in names[start:] + names[:start]:
        taken[way], result = _clocked(ways[way](seed))
        images[way] = result["image"]
    for way, drawn in images.items():
        # Elastic warps are drawn otherwise
        if way != "stock" and not torch.allclose(drawn, images["bare"], rtol=0, atol=1e-6):
            raise RuntimeError(f"{way} draws another image than albumentations for seed {seed}.")
    return taken


def _summary(
    seconds: dict[str, Any], paper: float
) -> tuple[float, dict[str, tuple[float, float]], dict[str, float], float]:
    pairs = {way: "bare mask" if way == "mask" else "bare" for way in seconds if "bare" not in way}
    ratios = {
        way: (
            float(np.median(seconds[way] / seconds[base])),
            float(seconds[way].sum() / seconds[base].sum()),
        )
        for way, base in pairs.items()
    }
    milliseconds = {way: 1e3 * float(np.median(values)) for way, values in seconds.items()}
    return milliseconds["bare"], ratios, milliseconds, float(seconds["draw_seed"].sum() / paper)


def time_parts(rounds: int) -> list[Cost]:
    """Time each transform of each preset alone, where it is applied.

    Args:
        rounds: Number of draws of each, of which the median counts.

    Returns:
        One cost for each transform, in the order of the presets.
    """
    _use_one_thread()
    columns: list[list[float]] = []
    for side in COST_SIZES:
        image, _ = sample((side, side))
        columns.append([_median(step, image, rounds) for _, step, _ in _parts(side)])
    return [
        Cost(name, type(step).__name__, chance, tuple(times))
        for (name, step, chance), *times in zip(_parts(COST_SIZES[0]), *columns, strict=True)
    ]


def _parts(side: int) -> Iterator[tuple[str, Any, float]]:
    for name in list_presets():
        for step in Preset(name, image_size=side).transforms:
            inner = getattr(step, "transforms", None)
            for part in inner or [step]:
                yield name, part, step.p / len(inner) if inner else step.p


def _median(step: Any, image: Image, rounds: int) -> float:
    pixels: Any = image.astype(np.float32) if isinstance(step, A.ToTensorV2) else image
    call = partial(step, force_apply=True, image=pixels)
    seconds = [_clocked(call)[0] for _ in range(rounds + 1)]
    return 1e3 * float(np.median(seconds[1:]))


def sample(shape: tuple[int, int]) -> tuple[Image, Mask]:
    """Draw the image, and the mask of its lesion, that everything is timed on."""
    drawn = draw_sample(0, image_size=shape, generator=np.random.default_rng(0))
    return drawn.image, drawn.mask


def _plain(image: Image, side: int) -> dict[str, torch.Tensor]:
    """Resize and normalise as a script without any library of transforms does."""
    way = cv2.INTER_AREA if max(image.shape[:2]) > side else cv2.INTER_LINEAR
    small = cv2.resize(image, (side, side), interpolation=way).astype(np.float32) / 255
    return {"image": torch.from_numpy(((small - _MEAN) / _STD).transpose(2, 0, 1))}


def _clocked(call: _Call) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def _use_one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

"""Speed of augmentation of whole batches, against kornia and torchvision.

    python benchmarks/batch_augmentation.py
    python benchmarks/batch_augmentation.py --device cuda --batch 512 --compile
    python benchmarks/batch_augmentation.py --lesions DIR

Each candidate does what `dermolib.augmentation.BatchAugmentation("paper")` does, as nearly as it
can, on the same random images that already lie on the device, and ends with float32 images that
are normalised. They take turns, so that a busy machine slows all of them; times are medians over
rounds, ratios are medians of the ratios within a round. kornia is left out where it is missing.

With ``--lesions`` nothing is timed: real images with a lesion mask (``isic_challenge/Train`` in
DIR) are drawn once each, and what is left of their lesions is counted.
"""

import argparse
import importlib
import importlib.util
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch
from torchvision.transforms import v2

from dermolib import BatchAugmentation, preset
from dermolib._validation import DatasetNotFoundError
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD, is_blank
from dermolib.augmentation.batch_color import visible
from dermolib.augmentation.batch_warp import warp
from dermolib.io import read_image, read_mask, whole_file

Candidate: TypeAlias = Callable[[torch.Tensor], Any]
"""What is timed: images (N, 3, S, S), uint8, in, and a batch out."""

_OWN = "BatchAugmentation"
_WARM_UP = 2
_MEAN, _STD = list(IMAGENET_MEAN), list(IMAGENET_STD)


def main(arguments: list[str] | None = None) -> None:
    """Time all candidates and print a table."""
    parser = argparse.ArgumentParser(description="Time augmentation of whole batches.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--batch", type=int, default=64, help="images in a batch (default 64)")
    parser.add_argument("--size", type=int, default=224, help="side in pixels (default 224)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds timed (default 9)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own choice)")
    parser.add_argument("--compile", action="store_true", help="time the compiled module too")
    parser.add_argument("--lesions", type=Path, help="count what is left of lesions in this folder")
    parser.add_argument("--pairs", type=int, default=2000, help="images counted (default 2000)")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device was found, so nothing was measured.")
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    if given.lesions is not None:
        lines = [*survival(given.lesions, given.pairs, given.size)]
    else:
        images = torch.randint(0, 256, (given.batch, 3, given.size, given.size), dtype=torch.uint8)
        found = candidates(given.device, compiled=given.compile)
        seconds = take_turns(found, images.to(given.device), given.rounds)
        lines = [_setting(given), "", *table(seconds, given.batch)]
    print("\n".join(lines))
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def candidates(device: str, *, compiled: bool) -> dict[str, Candidate]:
    """Build what is timed.

    Args:
        device: Where the images lie.
        compiled: Whether the compiled module is among them.

    Returns:
        Name to candidate; the first is what the others are compared with.
    """
    found: dict[str, Candidate] = {_OWN: _seeded(BatchAugmentation("paper").to(device))}
    if compiled:
        module = BatchAugmentation("paper").to(device)
        module.compile()
        found[f"{_OWN}, compiled"] = _seeded(module)
    if importlib.util.find_spec("kornia") is not None:
        found["kornia, parameters for each image"] = _kornia(device)
    found["torchvision v2, image by image"] = _torchvision(device)
    if device == "cpu":
        found["preset of albumentations, image by image"] = _albumentations()
    return found


def _seeded(augment: BatchAugmentation) -> Candidate:
    """Draw anew in each call."""
    calls = iter(range(10**9))

    def call(images: torch.Tensor) -> Any:
        start = next(calls) * len(images)
        return augment(
            images, draw_seeds=torch.arange(start, start + len(images), device=images.device)
        )

    return call


def _kornia(device: str) -> Candidate:
    """Stand in for what kornia lacks.

    A thin-plate spline takes the place of the grid distortion; quarter turns that of transposition.
    """
    library: Any = importlib.import_module("kornia.augmentation")
    warp = {"padding_mode": "reflection", "align_corners": True}
    nearly_zero = torch.tensor([-1e-3, 1e-3])
    steps = library.AugmentationSequential(
        library.RandomRotation90(times=(1, 1), resample="nearest", p=0.5),
        library.RandomHorizontalFlip(p=0.5),
        library.RandomVerticalFlip(p=0.5),
        library.RandomFisheye(nearly_zero, nearly_zero, torch.tensor([-0.4, 0.4]), p=1 / 6),
        library.RandomThinPlateSpline(scale=0.06, p=1 / 6, **warp),
        library.RandomElasticTransform((49, 49), (8.0, 8.0), (0.1, 0.1), p=1 / 6, **warp),
        library.RandomAffine(45.0, p=0.5, **warp),
        library.RandomAffine(15.0, (0.1, 0.1), (0.9, 1.1), p=0.7, **warp),
        library.RandomBrightness((0.8, 1.1), p=0.7),
        library.RandomContrast((0.8, 1.15), p=0.7),
        library.RandomHue((-8 / 180, 8 / 180), p=0.5),
        library.RandomSaturation((0.92, 1.08), p=0.5),
        library.RandomErasing(scale=(0.01, 0.06), ratio=(0.5, 2.0), value=0.45, p=0.5),
        library.Normalize(torch.tensor(_MEAN), torch.tensor(_STD)),
        data_keys=["input"],
    ).to(device)

    def call(images: torch.Tensor) -> Any:
        with torch.no_grad():
            return steps(images.to(torch.float32) / 255)

    return call


def _torchvision(device: str) -> Candidate:
    """Stand in for what torchvision lacks.

    A change of perspective takes the place of lens and grid distortion; what is uncovered is black.
    """
    linear = v2.InterpolationMode.BILINEAR
    steps = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.5),
            v2.RandomApply([v2.Lambda(lambda image: image.transpose(-1, -2))], 0.5),
            v2.RandomApply([v2.ElasticTransform(alpha=100.0, sigma=8.0)], 1 / 6),
            v2.RandomPerspective(0.2, p=1 / 3),
            v2.RandomApply([v2.RandomRotation(45, interpolation=linear)], 0.5),
            v2.RandomApply(
                [v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), interpolation=linear)], 0.7
            ),
            v2.RandomApply([v2.ColorJitter(brightness=(0.8, 1.1), contrast=(0.8, 1.15))], 0.7),
            v2.RandomApply([v2.ColorJitter(saturation=0.08, hue=8 / 180)], 0.5),
            v2.RandomErasing(0.5, scale=(0.01, 0.06), ratio=(0.5, 2.0), value=[124, 116, 104]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _STD),
        ]
    ).to(device)
    return lambda images: torch.stack([steps(image) for image in images])


def _albumentations() -> Candidate:
    transform = preset("paper", image_size=None, seed=0)

    def call(images: torch.Tensor) -> Any:
        arrays = images.movedim(1, -1).contiguous().numpy()
        return torch.stack([transform(image=array)["image"] for array in arrays])

    return call


def take_turns(
    found: dict[str, Candidate], images: torch.Tensor, rounds: int
) -> dict[str, list[float]]:
    """Time candidates in turn on the same images.

    Args:
        found: Name to candidate.
        images: Images on their device.
        rounds: Rounds after those that warm up.

    Returns:
        Name to the seconds of each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for number in range(_WARM_UP + rounds):
        for name, call in found.items():
            taken = _seconds(call, images)
            if number >= _WARM_UP:
                seconds[name].append(taken)
    return seconds


def _seconds(call: Candidate, images: torch.Tensor) -> float:
    _wait(images.device)
    start = time.perf_counter()
    call(images)
    _wait(images.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(seconds: dict[str, list[float]], batch: int) -> list[str]:
    """Word the result.

    Args:
        seconds: Name to the seconds of each round.
        batch: Images in a batch.

    Returns:
        Lines of a Markdown table.
    """
    first = next(iter(seconds.values()))
    lines = ["| | ms per image | images per second | time against the first |", "| --- " * 4 + "|"]
    for name, taken in seconds.items():
        ratio = median(one / other for one, other in zip(taken, first, strict=True))
        each = median(taken) / batch
        digits = max(0, 2 - math.floor(math.log10(1000 * each)))
        lines.append(f"| {name} | {1000 * each:.{digits}f} | {1 / each:,.0f} | {ratio:.2f} |")
    return lines


def survival(data: Path, count: int, size: int) -> Iterator[str]:
    """Draw real images once each, and count what is left of their lesions.

    Args:
        data: Folder of the data.
        count: Most images, taken evenly from all.
        size: Side of the images in px.

    Yields:
        Lines of a Markdown table.

    Raises:
        DatasetNotFoundError: There are no images with masks.
    """
    folder = data / "isic_challenge" / "Train"
    paths = sorted(folder.glob("*_seg.png"))
    if not paths:
        raise DatasetNotFoundError(folder, "isic_challenge/Train/ID.jpg and ID_seg.png")
    chosen = [paths[number * len(paths) // count] for number in range(min(count, len(paths)))]
    yield "| | images | smallest | 1 % below | mean | below 0.5 | blank |"
    yield "| --- " * 7 + "|"
    augment = BatchAugmentation("paper", normalize=False)
    load = preset("evaluation", image_size=size, normalize=False)
    areas, seen, blank = [], [], 0
    for number, path in enumerate(chosen):
        mask = read_mask(path)
        image = read_image(path.with_name(path.name.replace("_seg.png", ".jpg")))
        small = load(image=image, mask=mask)
        lesion = torch.from_numpy(small["mask"])
        batch = torch.from_numpy(small["image"]).movedim(-1, 0)[None]
        drawn, marked = augment(batch, lesion[None], draw_seeds=[number])
        areas.append(float(marked.sum() / lesion.sum()))
        seen.append(_seen(augment, lesion, number))
        blank += is_blank(drawn[0].movedim(0, -1).numpy())
    for name, values in (("area of the mask", areas), ("lesion still seen", seen)):
        share = np.array(values)
        yield (
            f"| {name} | {len(share)} | {share.min():.2f} | {np.percentile(share, 1):.2f} "
            f"| {share.mean():.3f} | {(share < 0.5).sum()} | {blank} |"
        )


def _seen(augment: BatchAugmentation, lesion: torch.Tensor, seed: int) -> float:
    """Tell what share of a lesion is seen: of blocks of 4 x 4 px, those that some pixel shows."""
    side = len(lesion)
    draws = augment.draws([seed])
    place = torch.stack(warp(draws, augment.spline, side)).view(2, -1)
    place = ((place + 1) / 2 * (side - 1)).round().long() % (2 * side - 2)
    column, row = torch.minimum(place, 2 * side - 2 - place)
    shown = visible(draws, side).flatten() > 0
    blocks = -(-side // 4)
    met = torch.zeros(blocks * blocks, dtype=torch.bool)
    met[(row // 4 * blocks + column // 4)[shown]] = True
    every = met.view(blocks, blocks).repeat_interleave(4, 0).repeat_interleave(4, 1)
    return float(lesion[every[:side, :side]].sum() / lesion.sum())


def _setting(given: argparse.Namespace) -> str:
    cuda = given.device == "cuda"
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    return (
        f"{device}, torch {torch.__version__}, "
        f"batches of {given.batch} images of {given.size} px, {given.rounds} rounds"
    )


if __name__ == "__main__":
    main()

"""Speed of augmentation of whole batches, compared with kornia and torchvision.

    python benchmarks/batch_augmentation.py
    python benchmarks/batch_augmentation.py --device cuda --batch 512 --compile

Each candidate does what `dermolib.augmentation.BatchAugmentation("paper")` does, as nearly as it
can, on the same random images that already lie on the device, and ends with normalized float32
images. They take turns, so that a busy machine slows all of them; times are medians over rounds,
ratios are medians of the ratios within a round. kornia is left out if it is not installed.
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeAlias

import torch
from torchvision.transforms import v2

from dermolib import BatchAugmentation, preset
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD
from tables import markdown

Candidate: TypeAlias = Callable[[torch.Tensor], Any]
"""What is timed, called with images (N, 3, S, S), uint8."""

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
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device was found, so nothing was measured.")
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    cuda = given.device == "cuda"
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    images = torch.randint(0, 256, (given.batch, 3, given.size, given.size), dtype=torch.uint8)
    found = candidates(given.device, compiled=given.compile)
    size = f"batches of {given.batch} images of {given.size} px, {given.rounds} rounds"
    print(f"{device}, torch {torch.__version__}, {size}\n")
    print(table(found, images.to(given.device), given.rounds))


def candidates(device: str, *, compiled: bool) -> dict[str, Candidate]:
    """Build what is timed; the first is what the others are compared with."""
    found: dict[str, Candidate] = {"BatchAugmentation": _seeded(BatchAugmentation("paper"))}
    if compiled:
        module = BatchAugmentation("paper").to(device)
        module.compile()
        found["BatchAugmentation, compiled"] = _seeded(module)
    if importlib.util.find_spec("kornia") is not None:
        found["kornia, parameters for each image"] = _kornia(device)
    found["torchvision v2, image by image"] = _torchvision()
    if device == "cpu":
        found["preset of albumentations, image by image"] = _albumentations()
    return found


def _seeded(augment: BatchAugmentation) -> Candidate:
    """Draw with new seeds in each call."""
    calls = iter(range(10**9))

    def call(images: torch.Tensor) -> Any:
        start = next(calls) * len(images)
        seeds = torch.arange(start, start + len(images), device=images.device)
        return augment(images, draw_seeds=seeds)

    return call


def _kornia(device: str) -> Candidate:
    """Build the same of kornia, with rotations by 90 degrees in place of the transposition."""
    library: Any = importlib.import_module("kornia.augmentation")
    warp = {"padding_mode": "reflection", "align_corners": True}
    nearly_zero = torch.tensor([-1e-3, 1e-3])
    steps = library.AugmentationSequential(
        library.RandomRotation90(times=(1, 1), resample="nearest", p=0.5),
        library.RandomHorizontalFlip(p=0.5),
        library.RandomVerticalFlip(p=0.5),
        library.RandomFisheye(nearly_zero, nearly_zero, torch.tensor([-0.4, 0.4]), p=1 / 6),
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
    return torch.no_grad()(lambda images: steps(images.to(torch.float32) / 255))


def _torchvision() -> Candidate:
    """Build the same of torchvision, with a change of perspective in place of the lens."""
    linear = v2.InterpolationMode.BILINEAR
    affine = v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), interpolation=linear)
    steps = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.5),
            v2.RandomApply([v2.Lambda(lambda image: image.transpose(-1, -2))], 0.5),
            v2.RandomPerspective(0.2, p=1 / 6),
            v2.RandomApply([v2.RandomRotation(45, interpolation=linear)], 0.5),
            v2.RandomApply([affine], 0.7),
            v2.RandomApply([v2.ColorJitter(brightness=(0.8, 1.1), contrast=(0.8, 1.15))], 0.7),
            v2.RandomApply([v2.ColorJitter(saturation=0.08, hue=8 / 180)], 0.5),
            v2.RandomErasing(0.5, scale=(0.01, 0.06), ratio=(0.5, 2.0), value=[124, 116, 104]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _STD),
        ]
    )
    return lambda images: torch.stack([steps(image) for image in images])


def _albumentations() -> Candidate:
    transform = preset("paper", image_size=None, seed=0)

    def call(images: torch.Tensor) -> Any:
        arrays = images.movedim(1, -1).contiguous().numpy()
        return torch.stack([transform(image=array)["image"] for array in arrays])

    return call


def table(found: dict[str, Candidate], images: torch.Tensor, rounds: int) -> str:
    """Time candidates in turn on the same images, and format a Markdown table."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for number in range(_WARM_UP + rounds):
        for name, call in found.items():
            taken = _seconds(call, images)
            if number >= _WARM_UP:
                seconds[name].append(taken)
    first = next(iter(seconds.values()))
    rows = []
    for name, values in seconds.items():
        ratio = median(one / other for one, other in zip(values, first, strict=True))
        each = median(values) / len(images)
        rows.append([name, f"{1000 * each:#.3g}", f"{1 / each:,.0f}", f"{ratio:.2f}"])
    return markdown(["", "ms per image", "images per second", "time against the first"], rows)


def _seconds(call: Candidate, images: torch.Tensor) -> float:
    wait: Callable[[], Any] = torch.cuda.synchronize if images.is_cuda else lambda: None
    wait()
    start = time.perf_counter()
    call(images)
    wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

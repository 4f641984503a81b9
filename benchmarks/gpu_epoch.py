"""Speed of training from images that lie on the device, against one fixed batch in memory.

    python benchmarks/gpu_epoch.py
    python benchmarks/gpu_epoch.py --store DIR

AlexNet is trained with bfloat16 autocast, channels last and SGD: on one fixed random batch, and on
batches that are picked from uint8 images on the device and augmented by
`BatchAugmentation("paper")`, as it is and compiled. The images are random, or those of a prepared
store (``images.npy`` in DIR). All take turns; figures are medians over repeats, ratios medians of
the ratios within a repeat. It needs a CUDA device; it can be checked anywhere, in float32, with
``--device cpu --images 512 --batch 64 --steps 2 --repeats 1``.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dermolib import BatchAugmentation, build_model
from dermolib.io import whole_file

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Images and labels."""

_EPOCH = 18_998  # images in the training set of the challenge
_CLASSES = 8
_WARM_UP = 2


def main(arguments: list[str] | None = None) -> None:
    """Measure all ways to feed the network and print a table."""
    parser = argparse.ArgumentParser(description="Measure an epoch from images on the device.")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for checking")
    parser.add_argument("--store", type=Path, help="folder with images.npy (default: random)")
    parser.add_argument("--images", type=int, default=_EPOCH, help=f"at most (default {_EPOCH})")
    parser.add_argument("--size", type=int, default=224, help="side of random images in px")
    parser.add_argument("--batch", type=int, default=512, help="images in a batch (default 512)")
    parser.add_argument("--steps", type=int, default=37, help="steps in a repeat (default 37)")
    parser.add_argument("--repeats", type=int, default=7, help="repeats (default 7)")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled way out")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    given = parser.parse_args(arguments)
    if given.device != "cpu" and not torch.cuda.is_available():
        parser.error(
            "no CUDA device was found, so nothing was measured; "
            "`--device cpu --images 512 --batch 64 --steps 2 --repeats 1` runs a small check."
        )
    torch.backends.cudnn.benchmark = True
    images, labels = load(given.store, given.images, given.size, given.device)
    if len(images) < given.batch:
        parser.error(f"--batch must not be above the {len(images)} images that there are.")
    ways = feeds(images, labels, given.batch, compiled=not given.no_compile)
    seconds = take_turns(ways, images.device, steps=given.steps, repeats=given.repeats)
    lines = [setting(given, images), "", *table(seconds, given.steps * given.batch)]
    print("\n".join(lines))
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(store: Path | None, count: int, size: int, device: str) -> Batch:
    """Bring images (N, S, S, 3) uint8 of a store, or random ones, to the device; draw labels."""
    if store is None:
        images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device)
    else:
        # Copy on write, since torch warns of arrays that are read-only
        file = np.load(store / "images.npy", mmap_mode="c")
        images = torch.from_numpy(file[:count]).to(device)
    return images, torch.randint(0, _CLASSES, (len(images),), device=device)


def feeds(
    images: torch.Tensor, labels: torch.Tensor, batch: int, *, compiled: bool
) -> dict[str, Iterator[Batch]]:
    """Build the ways to feed the network, by name; the first is the reference."""
    evaluation, paper = BatchAugmentation("evaluation"), BatchAugmentation("paper")
    paper = paper.to(images.device)
    fixed = evaluation(images[:batch].permute(0, 3, 1, 2)), labels[:batch]
    ways = {
        "one fixed batch": itertools.repeat(fixed),
        "from the device, evaluation": drawn(images, labels, batch, evaluation),
        "from the device, paper": drawn(images, labels, batch, paper),
    }
    if compiled:
        fast = BatchAugmentation("paper").to(images.device)
        fast.compile()
        ways["from the device, paper, compiled"] = drawn(images, labels, batch, fast)
    return ways


def drawn(
    images: torch.Tensor, labels: torch.Tensor, batch: int, augment: BatchAugmentation
) -> Iterator[Batch]:
    """Pick whole batches in an order that is new in each epoch, and augment them."""
    count = len(images)
    for epoch in itertools.count():
        order = torch.randperm(count, device=images.device)
        for start in range(0, count - batch + 1, batch):
            rows = order[start : start + batch]
            # The channels of a pixel lie side by side, and stay so
            picked = images.index_select(0, rows).permute(0, 3, 1, 2)
            yield augment(picked, draw_seeds=rows + epoch * count), labels[rows]


def take_turns(
    ways: dict[str, Iterator[Batch]], device: torch.device, *, steps: int, repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Time each way in turn; seconds of each repeat with training and without, by name."""
    step = training_step(device)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(_WARM_UP + repeats):
        for name, batches in ways.items():
            trained = timed(lambda batches=batches: step(*next(batches)), steps, device)  # type: ignore[misc] # a default binds the loop's value
            fed = timed(partial(next, batches), steps, device)
            if number >= _WARM_UP:
                seconds[name].append((trained, fed))
    return seconds


def training_step(device: torch.device) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Make a step of AlexNet."""
    model: nn.Module = build_model("alexnet", num_classes=_CLASSES)
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload] # torch leaves this form out of its annotations
    cuda = device.type == "cuda"
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=cuda)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        # A CPU without instructions for bfloat16 takes fifteen times as long with it
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            loss: Any = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def timed(call: Callable[[], Any], steps: int, device: torch.device) -> float:
    """Time so many calls in s."""
    start = finished(device)
    for _ in range(steps):
        call()
    return finished(device) - start


def finished(device: torch.device) -> float:
    """Wait for the device; the time in s."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def table(seconds: dict[str, list[tuple[float, float]]], images: int) -> list[str]:
    """Make a Markdown table of repeats of so many images."""
    first = [trained for trained, _ in next(iter(seconds.values()))]
    lines = [
        f"| images | images per second | speed against the first | seconds for {_EPOCH:,} images "
        "| of which without training |",
        "| --- " * 5 + "|",
    ]
    for name, taken in seconds.items():
        each = median(trained for trained, _ in taken) / images
        ratio = median(one / other for one, (other, _) in zip(first, taken, strict=True))
        fed = median(fed for _, fed in taken) / images
        figures = (
            f"{1 / each:,.0f}",
            f"{ratio:.3f}",
            f"{each * _EPOCH:.2f}",
            f"{fed * _EPOCH:.2f}",
        )
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return lines


def setting(given: argparse.Namespace, images: torch.Tensor) -> str:
    """Name the device, the versions and the sizes in one line."""
    cuda = images.is_cuda
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    precision = "bfloat16" if cuda else "float32"
    source = "random" if given.store is None else "stored"
    return (
        f"{device}, torch {torch.__version__}, AlexNet, {precision}, batches of {given.batch}, "
        f"{len(images):,} {source} images of {images.shape[1]} px, "
        f"{given.repeats} repeats of {given.steps} steps"
    )


if __name__ == "__main__":
    main()

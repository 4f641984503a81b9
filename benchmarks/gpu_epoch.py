"""Speed of training from images that lie on the device, against one fixed batch in memory.

    python benchmarks/gpu_epoch.py
    python benchmarks/gpu_epoch.py --store DIR

AlexNet is trained with bfloat16 autocast, channels last and SGD: on one fixed random batch, and on
batches that are picked from uint8 images on the device and drawn by `BatchAugmentation("paper")`,
as it is and compiled. The images are random, or those of a prepared store (``images.npy`` in DIR).
All take turns; figures are medians over repeats, ratios medians of the ratios within a repeat. It
needs a CUDA device; ``--device cpu --images 512 --batch 64 --steps 2 --repeats 1`` runs it
anywhere, in float32, to check that it works.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dermolib import BatchAugmentation, build_model
from dermolib.io import whole_file

Batches: TypeAlias = Iterator[tuple[torch.Tensor, torch.Tensor]]
"""Images that are normalised, and labels."""

_EPOCH = 18_998  # images in the training set of the challenge
_CLASSES = 8
_WARM_UP = 2


@dataclass(frozen=True)
class Stored:
    """Images and labels on the device.

    Attributes:
        images: Images (N, S, S, 3), uint8.
        labels: Labels (N,).
    """

    images: torch.Tensor
    labels: torch.Tensor


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
    stored = load(given.store, given.images, given.size, given.device)
    if len(stored.images) < given.batch:
        parser.error(f"--batch must not be above the {len(stored.images)} images that there are.")
    ways = feeds(stored, given.batch, compiled=not given.no_compile)
    seconds = take_turns(ways, stored, steps=given.steps, repeats=given.repeats)
    lines = [setting(given, stored), "", *table(seconds, given.steps * given.batch)]
    print("\n".join(lines))
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(store: Path | None, count: int, size: int, device: str) -> Stored:
    """Bring images to the device, and make labels up.

    Args:
        store: Folder with ``images.npy``, or None for random images.
        count: Most images.
        size: Side of random images in px.
        device: Where to.

    Returns:
        Images and labels.
    """
    if store is None:
        images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device)
    else:
        # Copy on write, since torch warns of arrays that are read-only
        file = np.load(store / "images.npy", mmap_mode="c")
        images = torch.from_numpy(file[:count]).to(device)
    return Stored(images, torch.randint(0, _CLASSES, (len(images),), device=device))


def feeds(stored: Stored, batch: int, *, compiled: bool) -> dict[str, Batches]:
    """Build the ways to feed the network.

    Args:
        stored: Images and labels.
        batch: Images in a batch.
        compiled: Whether to compile the augmentation too.

    Returns:
        Name to batches without end; the first is what the others are compared with.
    """
    device = stored.images.device
    ways = {
        "one fixed batch": _fixed(stored, batch),
        "from the device, evaluation": _drawn(stored, batch, BatchAugmentation("evaluation")),
        "from the device, paper": _drawn(stored, batch, BatchAugmentation("paper").to(device)),
    }
    if compiled:
        augment = BatchAugmentation("paper").to(device)
        augment.compile()
        ways["from the device, paper, compiled"] = _drawn(stored, batch, augment)
    return ways


def _fixed(stored: Stored, batch: int) -> Batches:
    images = stored.images[:batch].permute(0, 3, 1, 2)
    drawn = BatchAugmentation("evaluation")(images)
    while True:
        yield drawn, stored.labels[:batch]


def _drawn(stored: Stored, batch: int, augment: BatchAugmentation) -> Batches:
    """Pick whole batches of an order that is new in each epoch, and draw them."""
    count = len(stored.images)
    epoch = 0
    while True:
        order = torch.randperm(count, device=stored.images.device)
        for start in range(0, count - batch + 1, batch):
            rows = order[start : start + batch]
            # The channels of a pixel lie side by side, and stay so
            images = stored.images.index_select(0, rows).permute(0, 3, 1, 2)
            yield augment(images, draw_seeds=rows + epoch * count), stored.labels[rows]
        epoch += 1


def take_turns(
    ways: dict[str, Batches], stored: Stored, *, steps: int, repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Train in turn with each way, and draw batches without training.

    Args:
        ways: Name to batches.
        stored: Images and labels, for their device.
        steps: Steps in a repeat.
        repeats: Repeats after those that warm up.

    Returns:
        Name to the seconds of each repeat, with training and without.
    """
    device = stored.images.device
    step = _training(device)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(_WARM_UP + repeats):
        for name, batches in ways.items():
            trained = _seconds(lambda batches=batches: step(*next(batches)), steps, device)  # type: ignore[misc] # a default binds the loop's value
            drawn = _seconds(lambda batches=batches: next(batches), steps, device)  # type: ignore[misc] # as above
            if number >= _WARM_UP:
                seconds[name].append((trained, drawn))
    return seconds


def _training(device: torch.device) -> Callable[[torch.Tensor, torch.Tensor], Any]:
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


def _seconds(call: Callable[[], Any], steps: int, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(seconds: dict[str, list[tuple[float, float]]], images: int) -> list[str]:
    """Word the result.

    Args:
        seconds: Name to the seconds of each repeat, with training and without.
        images: Images in a repeat.

    Returns:
        Lines of a Markdown table.
    """
    first = [trained for trained, _ in next(iter(seconds.values()))]
    lines = [
        f"| images | images per second | speed against the first | seconds for {_EPOCH:,} images "
        "| of which without training |",
        "| --- " * 5 + "|",
    ]
    for name, taken in seconds.items():
        each = median(trained for trained, _ in taken) / images
        ratio = median(one / other for one, (other, _) in zip(first, taken, strict=True))
        alone = median(drawn for _, drawn in taken) / images
        lines.append(
            f"| {name} | {1 / each:,.0f} | {ratio:.3f} | {each * _EPOCH:.2f} "
            f"| {alone * _EPOCH:.2f} |"
        )
    return lines


def setting(given: argparse.Namespace, stored: Stored) -> str:
    """Name the device, the versions and the sizes.

    Args:
        given: Options.
        stored: Images and labels.

    Returns:
        One line.
    """
    cuda = stored.images.is_cuda
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    precision = "bfloat16" if cuda else "float32"
    source = "random" if given.store is None else "stored"
    return (
        f"{device}, torch {torch.__version__}, AlexNet, {precision}, batches of {given.batch}, "
        f"{len(stored.images):,} {source} images of {stored.images.shape[1]} px, "
        f"{given.repeats} repeats of {given.steps} steps"
    )


if __name__ == "__main__":
    main()

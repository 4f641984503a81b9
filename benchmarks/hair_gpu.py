"""Speed of hair removal on a CUDA device: images per second of whole batches.

    python benchmarks/hair_gpu.py

Needs no image files: hair of all kinds is drawn on skin-colored images. Where there is no CUDA
device, it says so and ends with exit code 2.
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from dermolib import OcclusionRemoval
from dermolib._validation import Image
from dermolib.io import whole_file
from hair_parts.simulation import KINDS, simulate_hair

_DIFFERENT = 24
_WARM_UP = 3


def main(arguments: list[str] | None = None) -> None:
    """Measure each method and print one line for it."""
    parser = argparse.ArgumentParser(description="Measure hair removal on a CUDA device.")
    parser.add_argument("--methods", nargs="+", default=["luv", "unet"], help="of OcclusionRemoval")
    parser.add_argument("--size", type=int, default=512, help="side in pixels (default 512)")
    parser.add_argument("--batch", type=int, default=256, help="images in a batch (default 256)")
    parser.add_argument("--rounds", type=int, default=20, help="batches timed (default 20)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("no CUDA device was found, so nothing was measured.")
    batch = hairy_batch(given.batch, given.size).pin_memory()
    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, batches of {given.batch} x 3 x {given.size}²")
    figures = {method: measure(method, batch, given.rounds) for method in given.methods}
    for method, figure in figures.items():
        print(
            f"{method}: {figure['on device']:,.0f} images/s on the device, "
            f"{figure['with transfer']:,.0f} with the transfers, peak {figure['peak GiB']:.2f} GiB"
        )
    if given.output is not None:
        setting = {"device": device, "torch": torch.__version__, "batch": given.batch}
        values = {"setting": setting | {"size": given.size}, "images/s": figures}
        with whole_file(given.output) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def hairy_batch(count: int, size: int) -> torch.Tensor:
    """Draw hair of all kinds on skin with a lesion, (N, 3, size, size) uint8; images repeat."""
    images = []
    for number in range(min(count, _DIFFERENT)):
        drawn = simulate_hair(_skin(size, number), KINDS[number % len(KINDS)], seed=number)
        images.append(torch.from_numpy(drawn.image).permute(2, 0, 1))
    return torch.stack([images[number % len(images)] for number in range(count)]).contiguous()


def _skin(size: int, seed: int) -> Image:
    """Paint a brown spot on light skin, both with some texture."""
    random = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(random.normal(0, 1, (size, size, 1)), (0, 0), size / 150)
    texture = texture.reshape(size, size, 1) * 4 / texture.std()
    grid = np.linspace(-1, 1, size)
    spot = 1 / (1 + np.exp(12 * (np.hypot(grid[:, None], grid) - random.uniform(0.3, 0.6))))
    color = np.array([220, 170, 155]) - spot[..., None] * np.array([110, 100, 100])
    painted: Image = np.clip(color + texture, 0, 255).astype(np.uint8)
    return painted


def measure(method: str, batch: torch.Tensor, rounds: int) -> dict[str, float]:
    """Time a method in images per second, median over rounds, with and without the transfers."""
    removal = OcclusionRemoval(method)
    there = batch.to("cuda")
    torch.cuda.reset_peak_memory_stats()
    inside, across = [], []
    for _ in range(_WARM_UP + rounds):
        inside.append(_milliseconds(lambda: removal(there)))
        across.append(_milliseconds(lambda: removal(batch.to("cuda", non_blocking=True)).cpu()))
    return {
        "on device": len(batch) / median(inside[_WARM_UP:]) * 1e3,
        "with transfer": len(batch) / median(across[_WARM_UP:]) * 1e3,
        "peak GiB": torch.cuda.max_memory_allocated() / 2**30,
    }


def _milliseconds(call: Any) -> float:
    event: Any = torch.cuda.Event  # its constructor carries no annotations
    start, end = event(enable_timing=True), event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


if __name__ == "__main__":
    main()

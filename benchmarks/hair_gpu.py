"""Speed of hair removal on a CUDA device: images per second of whole batches.

    python benchmarks/hair_gpu.py

Needs no image files: hair of all kinds is drawn on skin-coloured pictures. Where there is no CUDA
device, it says so and ends with exit code 2.
"""

import argparse
import contextlib
import importlib
import json
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from dermolib._validation import Image
from dermolib.io import whole_file
from hair_parts.simulation import KINDS, simulate_hair

_DIFFERENT = 24
_WARM_UP = 3
_PRECISIONS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main(arguments: list[str] | None = None) -> None:
    """Measure each method and print one line for it."""
    parser = argparse.ArgumentParser(description="Measure hair removal on a CUDA device.")
    parser.add_argument("--methods", nargs="+", default=["luv", "unet"], help="of OcclusionRemoval")
    parser.add_argument("--size", type=int, default=512, help="side in pixels (default 512)")
    parser.add_argument("--batch", type=int, default=256, help="images in a batch (default 256)")
    parser.add_argument("--rounds", type=int, default=20, help="batches timed (default 20)")
    parser.add_argument(
        "--precision", choices=list(_PRECISIONS), default="float32", help="autocast"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("no CUDA device was found, so nothing was measured.")
    batch = hairy_batch(given.batch, given.size).pin_memory()
    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, batches of {given.batch} x 3 x {given.size}²")
    figures = {}
    for method in given.methods:
        torch.cuda.empty_cache()
        figure = measure(method, batch, given.rounds, _PRECISIONS[given.precision])
        figures[method] = figure
        print(
            f"{method}: {figure['on device']:,.0f} images/s on the device, "
            f"{figure['with transfer']:,.0f} with the way there and back, "
            f"peak {figure['peak GiB']:.2f} GiB"
        )
    if given.output is not None:
        setting = {"device": device, "torch": torch.__version__, "batch": given.batch}
        setting |= {"size": given.size, "precision": given.precision}
        with whole_file(given.output) as temporary:
            values = {"setting": setting, "images/s": figures}
            temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def hairy_batch(count: int, size: int) -> torch.Tensor:
    """Draw hair of all kinds on pictures of skin with a lesion; pictures repeat after a while.

    Args:
        count: Number of images N.
        size: Side in pixels.

    Returns:
        Batch (N, 3, size, size), uint8.
    """
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


def measure(
    method: str, batch: torch.Tensor, rounds: int, precision: torch.dtype | None
) -> dict[str, float]:
    """Time a method on the device, with and without the transfer of the images.

    Args:
        method: Method of `OcclusionRemoval`.
        batch: Batch (N, 3, H, W) in pinned memory, uint8.
        rounds: Number of batches that are timed, after some that warm up.
        precision: Type for autocast, or None for none.

    Returns:
        Images per second ``"on device"`` and ``"with transfer"``, medians over rounds, and
        ``"peak GiB"`` of device memory that tensors took.
    """
    module: Any = importlib.import_module("dermolib.preprocessing")
    removal = module.OcclusionRemoval(method=method).to("cuda").eval()
    cast = (
        contextlib.nullcontext() if precision is None else torch.autocast("cuda", dtype=precision)
    )
    there = batch.to("cuda")
    torch.cuda.reset_peak_memory_stats()
    inside, across = [], []
    with torch.inference_mode(), cast:
        for number in range(_WARM_UP + rounds):
            near = _milliseconds(lambda: removal(there))
            far = _milliseconds(lambda: removal(batch.to("cuda", non_blocking=True)).cpu())
            if number >= _WARM_UP:
                inside.append(near)
                across.append(far)
    return {
        "on device": len(batch) / median(inside) * 1e3,
        "with transfer": len(batch) / median(across) * 1e3,
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

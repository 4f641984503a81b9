"""What the index of keypoints costs among many images, and what its cells lose."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib.auditing import shortlist
from dermolib.auditing.local_features import describe_image
from dermolib.auditing.shortlist import build_index, unique_pairs, vote
from dermolib.io import read_image

__all__ = ["cost", "describe", "recall"]

_BLOCK = 128
_NOISE = 12  # steps of 255 of a descriptor: as between two photographs of one spot
_VOTED = 4  # blocks of which the votes are timed

Block = npt.NDArray[np.void]


def describe(images: pd.DataFrame) -> Block:
    """Describe all images."""
    return np.stack([describe_image(read_image(path)) for path in images["image_path"]])


def recall(features: Block, groups: npt.NDArray[np.intp], folder: Path, neighbors: int) -> float:
    """Give the fraction of the shortlist of an exact search that the search in cells gives too."""
    np.save(folder / "all.npy", features)
    found = []
    for in_cell in (shortlist._IN_CELL, 10**9):
        usual, shortlist._IN_CELL = shortlist._IN_CELL, in_cell
        try:
            index = build_index([folder / "all.npy"], folder / "index.npy")
        finally:
            shortlist._IN_CELL = usual
        pairs = unique_pairs([vote(features, 0, index, groups, neighbors)])
        found.append({(int(one), int(other)) for one, other, _ in pairs})
    return len(found[0] & found[1]) / len(found[1])


def cost(features: Block, number: int, folder: Path) -> dict[str, float]:
    """Time the index of so many images, made of these with noise, and the votes of some."""
    paths = []
    for count, block in enumerate(_noisy(features, number)):
        paths.append(folder / f"{count:05d}.npy")
        np.save(paths[-1], block)
    start = time.perf_counter()
    index = build_index(paths, folder / "index.npy")
    built = time.perf_counter() - start
    chosen = np.linspace(0, len(paths) - 1, _VOTED).astype(int)
    groups = np.arange(number) % len(features)  # copies of one image are no candidates
    start = time.perf_counter()
    voters = 0
    for place in chosen:
        block = np.load(paths[place])
        voters += len(block)
        vote(block, int(place) * _BLOCK, index, groups, 10)
    voted = time.perf_counter() - start
    size = index.path.stat().st_size / 1e6
    return {"index, s": built, "votes, ms for each": 1000 * voted / voters, "index, MB": size}


def _noisy(features: Block, number: int) -> Iterator[Block]:
    """Yield blocks of so many images, copies of these whose descriptors have noise."""
    rng = np.random.default_rng(0)
    for start in range(0, number, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, number)) % len(features)
        block = features[rows].copy()
        noise = rng.integers(-_NOISE, _NOISE + 1, block["descriptors"].shape, np.int16)
        block["descriptors"] = np.clip(block["descriptors"] + noise, 0, 255)
        yield block

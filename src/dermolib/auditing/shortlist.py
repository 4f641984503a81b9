"""Which images may show one lesion: those whose keypoints have each other as nearest neighbors.

Every keypoint votes for the images of the nearest keypoints among all others. Few of its votes are
right where an image has a second photograph, but these agree on a turn and a zoom and fall on one
image, while wrong ones scatter over all. Nothing is trained and nothing downloaded.

Keypoints lie in cells, by the signs of the leading components of their descriptors, and are
compared with those of their own cell and of the next likely ones. Cells hold as many keypoints
whatever the number of images, so that time grows as N log N.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dermolib._validation import Indices
from dermolib.auditing.local_features import unit_descriptors

__all__ = ["CANDIDATES", "Index", "build_index", "nearest_features", "unique_pairs", "vote"]

CANDIDATES = np.dtype([("first", "i4"), ("second", "i4"), ("votes", "f4")])
"""Two images that may show one lesion, by number, and how much speaks for it."""

_VOTERS = 300  # keypoints of an image that vote, the strongest
_IN_CELL = 1500  # keypoints of a cell, about
_MOST_BITS = 20
_TURNED = 2  # further cells that are searched, beyond the components nearest to 0
_NEAREST = 2  # keypoints that one votes for
_NONE = -2.0  # cosine of a keypoint of the same group
_STEPS = 127  # of a component, from 0 to 1
_POWER = 4  # of the cosine: the weight of a vote
_TURNS, _ZOOMS = 12, 9  # bins of 30 degrees, and of a factor of 2
_HALVES = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))  # shifts of the bins
_ROWS, _ENTRIES = 2048, 8192  # keypoints whose similarities are in memory at once
_WHITE = 256  # components of features of a network that are kept
_FEATURE_ROWS = 1024  # rows of features that are compared with all at once
# Components of the basis below that vary most over the skin in HAM10000, the first most
_COMPONENTS = (
    1, 2, 9, 34, 3, 25, 17, 4, 10, 66, 42, 41, 33, 11, 36, 8,
    74, 50, 35, 49, 12, 98, 32, 89, 114, 44, 73, 19, 43, 106, 18, 82,
)  # fmt: skip

_Floats = npt.NDArray[np.float32]
_Block = npt.NDArray[Any]


def _basis() -> _Floats:
    """Build the components (128, D): cosines over the 4 x 4 places, a Fourier basis over angles."""
    places = np.cos(np.pi / 4 * np.outer(np.arange(4), np.arange(4) + 0.5))
    turns = np.pi / 4 * np.arange(8)
    waves = [np.ones(8), *(wave(k * turns) for k in (1, 2, 3) for wave in (np.cos, np.sin))]
    angles = np.stack([*waves, np.cos(4 * turns)])
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    angles /= np.linalg.norm(angles, axis=1, keepdims=True)
    every = np.einsum("ua,vb,wc->uvwabc", places, places, angles).reshape(128, 128)
    return np.asarray(every[list(_COMPONENTS)].T, np.float32)


_ENTRY = np.dtype(
    [("values", "i1", len(_COMPONENTS)), ("image", "i4"), ("size", "f4"), ("angle", "f4")]
)


_BASIS = _basis()


class Index(NamedTuple):
    """Keypoints of all images by cell, in a file that is mapped into memory where it is used."""

    path: Path  # of M records of `_ENTRY`
    center: _Floats  # of the components (D,)
    starts: Indices  # of the cells, and the end of the last (cells + 1,)

    def cells(self, components: _Floats) -> tuple[Indices, Indices]:
        """Give the cell of keypoints (M,), and which signs are likeliest the other way (M, 2)."""
        bits = (len(self.starts) - 1).bit_length() - 1
        return _cells(components - self.center, bits)


def _cells(centered: _Floats, bits: int) -> tuple[Indices, Indices]:
    leading = centered[:, :bits]
    code = (leading > 0) @ (1 << np.arange(bits))
    return code.astype(np.intp), np.argsort(np.abs(leading), axis=1, kind="stable")[:, :_TURNED]


def build_index(blocks: Sequence[Path], path: Path) -> Index:
    """Write the keypoints of blocks of features, files of `FEATURES`, into one file by cell."""
    strongest, total = [np.empty((0, len(_COMPONENTS)), np.float32)], 0
    for block in map(_open, blocks):
        total += int(np.minimum(block["count"], _VOTERS).sum())
        strongest.append(_voters(block, 0, 1)[2])
    center = np.median(np.vstack(strongest), axis=0) if total else strongest[0].sum(axis=0)
    bits = max(0, min(_MOST_BITS, round(math.log2(max(total, 1) / _IN_CELL))))
    sizes = np.zeros(1 << bits, np.intp)
    for _, cells in _entries(blocks, center, bits):
        sizes += np.bincount(cells, minlength=len(sizes))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    whole = np.lib.format.open_memmap(path, "w+", _ENTRY, (total,))
    # Writing into a map kills the process where the disk is full
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    free = starts[:-1].copy()
    for entries, cells in _entries(blocks, center, bits):
        order = np.argsort(cells, kind="stable")
        found, first, counts = np.unique(cells[order], return_index=True, return_counts=True)
        places = np.arange(len(cells)) - np.repeat(first, counts) + np.repeat(free[found], counts)
        whole[places] = entries[order]
        free[found] += counts
    whole.flush()
    return Index(path, np.asarray(center, np.float32), starts)


def vote(block: _Block, start: int, index: Index, groups: Indices, neighbors: int) -> _Block:
    """Find the images of other groups that the keypoints of a block's images vote for.

    Args:
        block: `FEATURES` (B,) of images that follow each other.
        start: Number of the first of them.
        index: Keypoints of all images.
        groups: Group of each image (N,), by number; images of one group are no candidates.
        neighbors: Candidates of an image at most.

    Returns:
        `CANDIDATES`, for each image those with the most votes first.
    """
    images, points, components = _voters(block, start, _VOTERS)
    nearest, cosine = _nearest(images, components, index, groups)
    rows, ranks = np.nonzero(nearest >= 0)
    entry = np.load(index.path, mmap_mode="r")[nearest[rows, ranks]]
    turn = (entry["angle"] - points[rows, 3]) % 360 / 360 * _TURNS
    zoom = entry["size"] - np.log2(points[rows, 2].clip(1e-3))
    weight = cosine[rows, ranks].clip(0) ** _POWER
    pair = images[rows].astype(np.int64) * len(groups) + entry["image"]
    return _candidates(pair, turn, zoom, weight, len(groups), neighbors)


def _candidates(
    pair: npt.NDArray[np.int64],
    turn: _Floats,
    zoom: _Floats,
    weight: _Floats,
    count: int,
    neighbors: int,
) -> _Block:
    """Add up the votes of pairs of images that agree on a turn and a zoom, and keep the best."""
    keys, sums = [], []
    for half_turn, half_zoom in _HALVES:
        turns = np.floor(turn + half_turn).astype(np.int64) % _TURNS
        zooms = np.floor(zoom + half_zoom).astype(np.int64).clip(-(_ZOOMS // 2), _ZOOMS // 2)
        key = (pair * _TURNS + turns) * _ZOOMS + zooms + _ZOOMS // 2
        names, place = np.unique(key, return_inverse=True)
        keys.append(names // (_TURNS * _ZOOMS))
        sums.append(np.bincount(place, weight, len(names)))
    key, total = np.concatenate(keys), np.concatenate(sums)
    order = np.lexsort((-total, key))
    best = order[np.diff(key[order], prepend=-1) != 0]
    found = np.empty(len(best), CANDIDATES)
    found["first"], found["second"] = np.divmod(key[best], count)
    found["votes"] = total[best]
    order = np.lexsort((found["second"], -found["votes"], found["first"]))
    return _first_of_each(found[order], neighbors)


def _first_of_each(found: _Block, number: int) -> _Block:
    """Keep so many rows of each `first`, which are sorted by it."""
    begin = np.searchsorted(found["first"], found["first"])
    kept: _Block = found[np.arange(len(found)) - begin < number]
    return kept


def unique_pairs(found: Sequence[_Block]) -> _Block:
    """Join candidates, each pair of images once with its most votes, sorted by both."""
    pairs = np.concatenate([np.empty(0, CANDIDATES), *found])
    both = np.sort(np.stack([pairs["first"], pairs["second"]]), axis=0)
    pairs["first"], pairs["second"] = both
    pairs = pairs[np.lexsort((-pairs["votes"], *both[::-1]))]
    key = pairs["first"].astype(np.int64) << 32 | pairs["second"]
    joined: _Block = pairs[np.diff(key, prepend=-1) != 0]
    return joined


def nearest_features(values: npt.NDArray[Any], groups: Indices, neighbors: int) -> Iterator[_Block]:
    """Yield the images of other groups with the nearest features (N, D), a block at a time.

    Features are those of a network; their principal components are scaled to equal variance and
    compared by the angle between them, exactly.
    """
    if not len(values):
        return
    white = _whitened(np.asarray(values, np.float32))
    number = min(neighbors, len(white))
    for start in range(0, len(white), _FEATURE_ROWS):
        cosine = white[start : start + _FEATURE_ROWS] @ white.T
        cosine[groups[start : start + _FEATURE_ROWS, None] == groups] = -2
        nearest = np.argpartition(-cosine, number - 1, axis=1)[:, :number]
        best = np.take_along_axis(cosine, nearest, axis=1)
        rows, ranks = np.nonzero(best > -2)
        found = np.empty(len(rows), CANDIDATES)
        found["first"], found["second"] = start + rows, nearest[rows, ranks]
        found["votes"] = best[rows, ranks]
        yield found


def _whitened(values: _Floats) -> _Floats:
    values = values - values.mean(axis=0)
    variance, axes = np.linalg.eigh(values.T @ values / max(len(values), 1))
    kept = np.flatnonzero(variance > variance.max(initial=0) * 1e-6)[-_WHITE:]
    white = values @ axes[:, kept] / np.sqrt(variance[kept])
    return np.asarray(white / np.linalg.norm(white, axis=1, keepdims=True).clip(1e-9), np.float32)


def _open(path: Path) -> _Block:
    return np.asarray(np.load(path, mmap_mode="r"))


def _voters(block: _Block, start: int, number: int) -> tuple[Indices, _Floats, _Floats]:
    """Give image, points (M, 4) and components (M, D) of the strongest keypoints of each image."""
    counts = np.minimum(block["count"], number).astype(np.intp)
    images = start + np.repeat(np.arange(len(block)), counts)
    points = [one["points"][:count] for one, count in zip(block, counts, strict=True)]
    parts = [
        unit_descriptors(one)[:count] @ _BASIS for one, count in zip(block, counts, strict=True)
    ]
    empty = np.empty((0, 4), np.float32), np.empty((0, len(_COMPONENTS)), np.float32)
    return images, np.vstack([empty[0], *points]), np.vstack([empty[1], *parts])


def _entries(
    blocks: Sequence[Path], center: _Floats, bits: int
) -> Iterator[tuple[_Block, Indices]]:
    """Yield the entries of each block, and their cells."""
    start = 0
    for block in map(_open, blocks):
        images, points, components = _voters(block, start, _VOTERS)
        start += len(block)
        entries = np.empty(len(images), _ENTRY)
        entries["values"] = np.rint(_direction(components - center) * _STEPS)
        entries["image"], entries["angle"] = images, points[:, 3]
        entries["size"] = np.log2(points[:, 2].clip(1e-3))
        yield entries, _cells(components - center, bits)[0]


def _direction(centered: _Floats) -> _Floats:
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(centered / lengths.clip(1e-6), np.float32)


def _nearest(
    images: Indices, components: _Floats, index: Index, groups: Indices
) -> tuple[Indices, _Floats]:
    """Find the nearest entries (M, 2) of other groups, -1 where there are none, and the cosines."""
    entries = np.load(index.path, mmap_mode="r")
    queries = _direction(components - index.center)
    cells, weakest = index.cells(components)
    own = groups[images]
    nearest = np.full((len(images), _NEAREST), -1)
    cosine = np.full((len(images), _NEAREST), _NONE, np.float32)
    for probe in range(1 + weakest.shape[1]):
        near = cells ^ (1 << weakest[:, probe - 1]) if probe else cells
        order = np.argsort(near, kind="stable")
        for cell in np.split(order, np.flatnonzero(np.diff(near[order])) + 1):
            low, high = index.starts[near[cell[:1]].sum() :][:2]
            for first in range(low, high, _ENTRIES):
                there = entries[first : min(first + _ENTRIES, high)]
                values = there["values"].astype(np.float32).T / _STEPS
                for start in range(0, len(cell), _ROWS):
                    rows = cell[start : start + _ROWS]
                    similar = queries[rows] @ values
                    similar[own[rows, None] == groups[there["image"]]] = _NONE
                    best, place = _largest(similar)
                    _merge(rows, best, first + place, cosine, nearest)
    return nearest, cosine


def _largest(similar: _Floats) -> tuple[_Floats, Indices]:
    """Give the largest values of each row and their columns; `similar` is overwritten."""
    rows = np.arange(len(similar))
    places = np.empty((len(similar), _NEAREST), np.intp)
    values = np.empty((len(similar), _NEAREST), np.float32)
    for rank in range(_NEAREST):
        places[:, rank] = similar.argmax(axis=1)
        values[:, rank] = similar[rows, places[:, rank]]
        similar[rows, places[:, rank]] = _NONE
    return values, places


def _merge(
    rows: Indices, values: _Floats, places: Indices, best: _Floats, nearest: Indices
) -> None:
    """Keep the larger ones of what was found before and now."""
    values = np.hstack([best[rows], values])
    places = np.hstack([nearest[rows], np.where(values[:, _NEAREST:] > _NONE, places, -1)])
    order = np.argsort(-values, axis=1, kind="stable")[:, :_NEAREST]
    best[rows] = np.take_along_axis(values, order, axis=1)
    nearest[rows] = np.take_along_axis(places, order, axis=1)

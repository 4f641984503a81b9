"""The benchmark of near-duplicates: are copies found, what else is found, and how long it takes.

    python benchmarks/duplicates.py --data DIR

Four tables in Markdown: time; changed copies of real images that are recognized; pairs among the
images of the challenge, by lesion; pairs by split. The usual hash of 64 bits is given the same
eight orientations, and all pairs are compared by products of matrices.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, Image, Indices
from dermolib.auditing import HASH_BYTES, Duplicates, find_duplicates, perceptual_hash
from dermolib.auditing.hashing import SCALE, orientations
from dermolib.datasets import read_challenge_table
from dermolib.io import read_image
from duplicates_parts.changes import FURTHER, PROMISED, all_orientations
from duplicates_parts.plain import all_pairs, sign_distances, sign_hash
from hair_parts.images import default_data
from tables import markdown

_TOLERANCE = 0.1  # the default
_TOLERANCES = (0.06, 0.08, 0.1, 0.12, 0.15, 0.2)
_BITS = (0, 2, 4, 6, 8, 10)  # of the usual hash; 10 is what its users often take
_EVERY = 5  # of the images of the challenge are changed
_KEPT = (0.4, 0.9)  # fraction of the sides of an image in a part that is cut out

_Hashes = npt.NDArray[np.uint8]


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the search for near-duplicates.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--limit", type=int, help="use at most so many images of each folder")
    parser.add_argument("--rows", type=int, default=400_000, help="hashes to search at once")
    # Time comes first: the peak memory tells nothing once another table took more
    tables = {"time": _time, "copies": _copies, "lesions": _lesions, "splits": _splits}
    parser.add_argument("--only", choices=tables, help="make one of the tables alone")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        images = read_collection(given.data, given.limit)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    hashes = np.stack([perceptual_hash(read_image(file)) for file in images["image_path"]])
    for name in [given.only] if given.only else tables:
        print(name, file=sys.stderr)
        print(tables[name](images, hashes, given), flush=True)


def read_collection(data: Path, limit: int | None = None) -> pd.DataFrame:
    """List the images of the challenge that are there; one of unknown lesion is a lesion itself."""
    splits = [read_challenge_table(data / "isic_challenge", name) for name in ("train", "test")]
    images = pd.concat([table[table["image_path"] != ""][:limit] for table in splits], keys=[0, 1])
    names = images["lesion"].where(images["lesion"] != "", images["id"])
    images = images.assign(lesion=pd.factorize(names)[0], split=images.index.get_level_values(0))
    return images.sort_values(["split", "id"], ignore_index=True)


def cut_hashes(files: Sequence[str], count: int) -> tuple[_Hashes, Indices]:
    """Compute hashes (count, 64) of parts cut out of images at random, and the file of each."""
    rng = np.random.default_rng(0)
    each = -(-count // len(files))
    hashes = np.empty((len(files), each, HASH_BYTES), np.uint8)
    for number, file in enumerate(files):
        image = read_image(file)
        for place in range(each):
            height, width = (round(side * rng.uniform(*_KEPT)) for side in image.shape[:2])
            top = rng.integers(image.shape[0] - height + 1)
            left = rng.integers(image.shape[1] - width + 1)
            part = image[top : top + height, left : left + width]
            hashes[number, place] = perceptual_hash(part)
    return hashes.reshape(-1, HASH_BYTES)[:count], np.arange(count) // each


def _copies(images: pd.DataFrame, _: _Hashes, given: argparse.Namespace) -> str:
    tasks = sorted((given.data / "isic2018_task1" / "images").glob("*.jpg"))[: given.limit]
    small, large = (
        [read_image(file) for file in files]
        for files in (images["image_path"].iloc[::_EVERY], tasks)
    )
    signs = np.array([[sign_hash(one) for one in all_orientations(image)] for image in small])
    rows = []
    for name, change in {**PROMISED, **FURTHER}.items():
        copies = [change(image) for image in small]
        bits = np.bitwise_count(signs ^ np.array([[sign_hash(one)] for one in copies])).min(axis=1)
        distances = _distances(small, copies), _distances(large, map(change, large))
        cells = [name + (" (not promised)" if name in FURTHER else "")]
        for some in distances:
            cells += [_percent(some <= _TOLERANCE)]
            cells += [f"{np.quantile(some, 0.99):.3f} / {some.max():.3f}"]
        rows.append([*cells, *(_percent(bits <= most) for most in (4, 10))])
    head = ["change"]
    for count, size in ((len(small), "200 x 150"), (len(large), "512 x 512")):
        head += [f"found, % of {count:,} images of {size} px", "distance, 99 % / largest"]
    return markdown([*head, "64 bits, up to 4 differ, 200 x 150 px", "up to 10"], rows)


def _distances(images: Sequence[Image], copies: Any) -> npt.NDArray[np.float64]:
    """Compute the distance of each copy from its original."""
    hashes, changed = (np.stack([*map(perceptual_hash, some)]) for some in (images, copies))
    eight = np.stack(list(orientations(hashes))).view(np.int8).astype(int)
    squares = ((eight - changed.view(np.int8).astype(int)) ** 2).sum(axis=2)
    return np.asarray(np.sqrt(squares.min(axis=0)) / SCALE)


def _lesions(images: pd.DataFrame, hashes: _Hashes, _: argparse.Namespace) -> str:
    lesions = images["lesion"].to_numpy()
    different = (len(lesions) ** 2 - (np.bincount(lesions) ** 2).sum()) / 2
    found = find_duplicates(hashes, tolerance=max(_TOLERANCES), most=len(hashes))
    chosen = {
        f"hash, tolerance {most}": found.pairs[found.distances <= most] for most in _TOLERANCES
    }
    files = images["image_path"]
    signs = np.array([[*map(sign_hash, all_orientations(read_image(file)))] for file in files])
    bits = np.concatenate([*sign_distances(signs, signs[:, 0])])
    for most in _BITS:
        chosen[f"64 bits, up to {most} differ"] = np.argwhere(np.triu(bits <= most, 1))
    rows = []
    for name, pairs in chosen.items():
        same = int((lesions[pairs[:, 0]] == lesions[pairs[:, 1]]).sum())
        others = len(pairs) - same
        rows.append([name, f"{same:,}", f"{others:,}", f"{1e6 * others / different:.3g}"])
    head = [f"pairs among {len(lesions):,} images", "of the same lesion", "of different lesions"]
    return markdown([*head, "of a million pairs of different lesions"], rows)


def _splits(images: pd.DataFrame, hashes: _Hashes, _: argparse.Namespace) -> str:
    pairs = find_duplicates(hashes).pairs
    split, lesion, label = (images[name].to_numpy()[pairs] for name in ("split", "lesion", "label"))
    same = lesion[:, 0] == lesion[:, 1]
    rows = []
    for number, name in enumerate(("both in training", "training and test", "both in test")):
        here = split.sum(axis=1) == number
        conflicts = (label[here, 0] != label[here, 1]).sum() if number == 0 else "not known"
        counts = [here.sum(), (here & same).sum(), (here & ~same).sum(), conflicts]
        rows.append([name, *map(str, counts)])
    head = [f"pairs within {_TOLERANCE}", "all", "same lesion", "different lesions"]
    return markdown([*head, "different classes"], rows)


def _time(images: pd.DataFrame, hashes: _Hashes, given: argparse.Namespace) -> str:
    files = images["image_path"].tolist()
    cuts, sources = cut_hashes(files, given.rows)
    lesions = images["lesion"].to_numpy()[sources]
    _, *cost = _timed(lambda: [perceptual_hash(read_image(file)) for file in files])
    rows = [[f"read and hash {len(files):,} images, one process", *cost, ""]]
    found, *cost = _timed(partial(find_duplicates, cuts))
    different = (np.diff(lesions[found.pairs]) != 0).sum()
    words = f"{len(found.pairs):,}, {different} of different lesions"
    rows.append([f"`find_duplicates`, all {len(cuts):,} cut ones", *cost, words])
    equal = hashes[:1].repeat(len(hashes), axis=0)
    found, *cost = _timed(partial(find_duplicates, equal))
    rows.append([f"`find_duplicates`, {len(equal):,} equal ones", *cost, f"{len(found.pairs):,}"])
    for name, some in (("hashes", hashes), ("cut ones", cuts[::10])):
        found, *cost = _timed(partial(find_duplicates, some))
        plain, *plain_cost = _timed(partial(all_pairs, some, _TOLERANCE))
        words = f"{len(found.pairs):,}, {'the same' if _equal(found, plain) else 'others'}"
        rows.append([f"`find_duplicates`, {len(some):,} {name}", *cost, words])
        rows.append([f"all pairs of {len(some):,} {name}", *plain_cost, f"{len(plain.pairs):,}"])
    return markdown(["time", "s", "s of CPU", "MB more than before", "pairs"], rows)


def _equal(found: Duplicates, plain: Duplicates) -> bool:
    order = np.lexsort((plain.pairs[:, 1], plain.pairs[:, 0]))
    return np.array_equal(found.pairs, plain.pairs[order]) and np.array_equal(
        found.distances, plain.distances[order]
    )


def _timed(call: Callable[[], Any]) -> tuple[Any, str, str, str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, spent = time.perf_counter(), time.process_time()
    result = call()
    seconds, spent = time.perf_counter() - start, time.process_time() - spent
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return result, f"{seconds:.1f}", f"{spent:.1f}", f"{more:.0f}"


def _percent(values: npt.NDArray[np.bool_]) -> str:
    return f"{100 * values.mean():.2f}"


if __name__ == "__main__":
    main()

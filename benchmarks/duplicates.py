"""The benchmark of near-duplicates: are copies found, what else is found, and how long it takes.

    python benchmarks/duplicates.py --data DIR
    python benchmarks/duplicates.py --data DIR --sheet pairs.jpg

Four tables in Markdown: time; changed copies of real images that are recognised; pairs among the
images of the challenge, by lesion; where those pairs lie. The plain hash of 64 bits is given the
same eight orientations, and all pairs are compared by the fastest plain way there is, products of
matrices. The sheet shows the nearest pairs of different lesions; keep it to yourself where the
licence of the images asks for that.
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

from dermolib._validation import DatasetNotFoundError, Image, Indices
from dermolib.auditing import duplicates
from dermolib.auditing.duplicates import Duplicates, find_duplicates
from dermolib.auditing.hashing import SCALE, orientations, perceptual_hash
from dermolib.io import read_image, resize_image, write_image
from duplicates_parts.changes import FURTHER, PROMISED, turned
from duplicates_parts.collection import Collection, cut_hashes, read_collection, task_files
from duplicates_parts.plain import all_pairs, sign_distances, sign_hash
from hair_parts.images import default_data

_TOLERANCE = 0.1  # the default
_TOLERANCES = (0.06, 0.08, 0.1, 0.12, 0.15, 0.2)
_BITS = (0, 2, 4, 6, 8, 10)  # of the plain hash; 10 is what its users often take
# Time comes first: the most memory ever held tells nothing once another table took more
_TABLES = ("time", "copies", "lesions", "sides")
_EVERY = 5  # of the images of the challenge are changed
_SHOWN = 10
_TILE = (150, 200)

_Hashes = npt.NDArray[np.uint8]


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the search for near-duplicates.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--limit", type=int, help="use at most so many images of each folder")
    parser.add_argument("--rows", type=int, default=400_000, help="fingerprints to search at once")
    parser.add_argument("--only", choices=_TABLES, help="make one of the tables alone")
    parser.add_argument("--sheet", type=Path, help="draw pairs of different lesions, no tables")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        collection = read_collection(given.data, given.limit)
        hashes = np.stack([perceptual_hash(read_image(file)) for file in collection.files])
        if given.sheet is not None:
            _draw(given.sheet, collection, hashes)
            return
        tasks = task_files(given.data, given.limit)
        tables: dict[str, Callable[[], str]] = {
            "time": partial(_time_table, collection, hashes, given.rows),
            "copies": partial(_recall_table, collection.files[::_EVERY], tasks),
            "lesions": partial(_false_table, collection, hashes),
            "sides": partial(_place_table, collection, hashes),
        }
        for name in [given.only] if given.only else _TABLES:
            print(tables[name](), flush=True)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _recall_table(files: Sequence[Path], tasks: Sequence[Path]) -> str:
    images, larger = ([read_image(file) for file in some] for some in (files, tasks))
    hashes = np.stack([perceptual_hash(image) for image in images])
    signs = np.array([[sign_hash(one) for one in turned(image)] for image in images])
    others = np.stack([perceptual_hash(image) for image in larger])
    rows = []
    for name, change in {**PROMISED, **FURTHER}.items():
        _say(name)
        copies = [change(image) for image in images]
        distances = _distances(hashes, copies)
        beside = _distances(others, [change(image) for image in larger])
        bits = np.bitwise_count(signs ^ np.array([[sign_hash(one)] for one in copies])).min(axis=1)
        rows.append(
            [
                name + (" (not promised)" if name in FURTHER else ""),
                _percent(distances <= _TOLERANCE),
                f"{np.quantile(distances, 0.99):.3f} / {distances.max():.3f}",
                _percent(beside <= _TOLERANCE),
                f"{np.quantile(beside, 0.99):.3f} / {beside.max():.3f}",
                *(_percent(bits <= most) for most in (4, 10)),
            ]
        )
    head = [
        "change",
        f"found, % of {len(files)} images of 200 x 150 px",
        "distance, 99 % / largest",
        f"found, % of {len(tasks)} images of 512 x 512 px",
        "distance, 99 % / largest",
        "64 bits, up to 4 differ, 200 x 150 px",
        "up to 10",
    ]
    return _table(head, rows)


def _distances(hashes: _Hashes, copies: Sequence[Image]) -> npt.NDArray[np.float64]:
    """Compute the distance of each copy from its original."""
    changed = np.stack([perceptual_hash(image) for image in copies]).view(np.int8).astype(int)
    eight = np.stack(list(orientations(hashes))).view(np.int8).astype(int)
    return np.asarray(np.sqrt(((eight - changed) ** 2).sum(axis=2).min(axis=0)) / SCALE)


def _false_table(collection: Collection, hashes: _Hashes) -> str:
    lesions = collection.lesions
    sizes = np.bincount(lesions)
    foreign = (len(lesions) ** 2 - (sizes**2).sum()) / 2
    rows = []
    found = find_duplicates(hashes, tolerance=max(_TOLERANCES), most=len(hashes))
    for tolerance in _TOLERANCES:
        pairs = found.pairs[found.distances <= tolerance]
        rows.append([f"fingerprint, tolerance {tolerance}", *_by_lesion(lesions[pairs], foreign)])
    _say("the plain hash of all orientations")
    turns = [[sign_hash(one) for one in turned(read_image(file))] for file in collection.files]
    signs = np.array(turns)
    pairs, bits = _sign_pairs(signs, max(_BITS))
    for most in _BITS:
        rows.append(
            [f"64 bits, up to {most} differ", *_by_lesion(lesions[pairs[bits <= most]], foreign)]
        )
    head = [
        f"pairs among {len(lesions):,} images",
        "of the same lesion",
        "of different lesions",
        "of a million pairs of different lesions",
    ]
    return _table(head, rows)


def _sign_pairs(signs: npt.NDArray[np.uint64], most: int) -> tuple[Indices, _Hashes]:
    pairs, bits, start = [], [], 0
    for block in sign_distances(signs, signs[:, 0]):
        first, second = np.nonzero(block <= most)
        later = first + start < second
        first, second = first[later], second[later]
        pairs.append(np.stack([first + start, second], axis=1))
        bits.append(block[first, second])
        start += len(block)
    return np.concatenate(pairs), np.concatenate(bits)


def _by_lesion(lesions: Indices, foreign: float) -> list[str]:
    same = int((lesions[:, 0] == lesions[:, 1]).sum())
    others = len(lesions) - same
    return [f"{same:,}", f"{others:,}", f"{1e6 * others / foreign:.3g}"]


def _place_table(collection: Collection, hashes: _Hashes) -> str:
    found = find_duplicates(hashes)
    sides = collection.test[found.pairs].sum(axis=1)
    same = collection.lesions[found.pairs[:, 0]] == collection.lesions[found.pairs[:, 1]]
    classes = collection.classes[found.pairs]
    rows = []
    for number, name in ((0, "both in training"), (1, "training and test"), (2, "both in test")):
        here = sides == number
        conflicts = (classes[here, 0] != classes[here, 1]).sum() if number == 0 else "not known"
        counts = [here.sum(), (here & same).sum(), (here & ~same).sum(), conflicts]
        rows.append([name, *map(str, counts)])
    head = [f"pairs within {_TOLERANCE}", "all", "same lesion", "different lesions"]
    return _table([*head, "different classes"], rows)


def _time_table(collection: Collection, hashes: _Hashes, count: int) -> str:
    _say("time")
    cuts, sources = cut_hashes(collection.files, count)
    reading = _timed(lambda: [perceptual_hash(read_image(file)) for file in collection.files])
    rows = [[f"read and hash {len(hashes):,} images, one process", *reading[1:], "", ""]]
    lesions = collection.lesions[sources]
    rows.append(_search_row(f"`find_duplicates`, all {len(cuts):,} cut ones", cuts, lesions))
    crowd = hashes[:1].repeat(len(hashes), axis=0)
    rows.append(_search_row(f"`find_duplicates`, {len(crowd):,} equal ones", crowd))
    for name, some in (
        (f"the {len(hashes):,} fingerprints", hashes),
        (f"{len(cuts) // 10:,} of the cut ones", cuts[::10]),
    ):
        plain = _timed(partial(all_pairs, some, _TOLERANCE))
        row = _search_row(f"`find_duplicates`, {name}", some)
        row[4] += ", the same" if _equal(find_duplicates(some), plain[0]) else ", others"
        rows.append(row)
        rows.append([f"all pairs of {name}", *plain[1:], f"{len(plain[0].pairs):,}", ""])
    head = ["time", "s", "s of CPU", "MB more than before", "pairs", "compared by traits"]
    return _table(head, rows)


def _search_row(name: str, hashes: _Hashes, lesions: Indices | None = None) -> list[str]:
    compared = []
    exact = duplicates._exact

    def counted(rotated: Any, codes: Any, candidates: npt.NDArray[np.bool_]) -> Any:
        compared.append(candidates.size)
        return exact(rotated, codes, candidates)

    duplicates._exact = counted
    try:
        found, *measured = _timed(partial(find_duplicates, hashes))
    finally:
        duplicates._exact = exact
    pairs = f"{len(found.pairs):,}"
    if lesions is not None:
        pairs += f", {(np.diff(lesions[found.pairs]) != 0).sum()} of different lesions"
    return [name, *measured, pairs, f"{100 * sum(compared) / (len(hashes) ** 2 / 2):.2f} %"]


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


def _draw(path: Path, collection: Collection, hashes: _Hashes) -> None:
    """Draw the nearest pairs of different lesions, two pairs a row."""
    found = find_duplicates(hashes, tolerance=max(_TOLERANCES))
    lesions = collection.lesions[found.pairs]
    foreign = np.flatnonzero(lesions[:, 0] != lesions[:, 1])
    nearest = foreign[found.distances[foreign].argsort(kind="stable")][:_SHOWN]
    tiles = []
    for pair in nearest:
        files = [collection.files[row] for row in found.pairs[pair]]
        print(f"{found.distances[pair]:.3f} {' '.join(file.stem for file in files)}")
        shown = [resize_image(read_image(file), _TILE) for file in files]
        tiles.append(np.pad(np.hstack(shown), ((4, 4), (4, 4), (0, 0)), constant_values=255))
    tiles += [np.full_like(tiles[0], 255)] * (len(tiles) % 2)
    write_image(path, np.vstack([np.hstack(tiles[i : i + 2]) for i in range(0, len(tiles), 2)]))


def _percent(values: npt.NDArray[np.bool_]) -> str:
    return f"{100 * values.mean():.2f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _say(what: str) -> None:
    print(what, file=sys.stderr)


if __name__ == "__main__":
    main()

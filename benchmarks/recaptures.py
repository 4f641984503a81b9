"""The benchmark of recaptures: are second photographs and changed copies found, and at what cost.

    python benchmarks/recaptures.py planted --data DIR --output DIR
    python benchmarks/recaptures.py confirmed --data DIR --output DIR --workers 2
    python benchmarks/recaptures.py calibrate --data DIR --output DIR
    python benchmarks/recaptures.py scale --data DIR --output DIR --workers 2
    python benchmarks/recaptures.py index --data DIR --output DIR --count 2000
    python benchmarks/recaptures.py copies --data DIR --output DIR
    python benchmarks/recaptures.py table --output DIR

`planted` searches 500 images and one planted recapture of each; `confirmed` searches the images of
the challenge that are there for pairs that were confirmed; `calibrate` fits the score to those of
its pairs that were looked at, and says how many pairs of a score are true; `scale` searches 1,000,
3,000 and all of these for time and memory; `index` times the index of up to 100,000 images, made of
those with noise, and compares its shortlist with an exact one; `copies` compares real images with
26 changed copies of them, by each way that is installed, and writes the distances; `table` makes a
table of all that were written, at equal false pairs.
"""

import argparse
import inspect
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pandas as pd

from dermolib._validation import DatasetNotFoundError
from dermolib.auditing import find_recaptures
from dermolib.io import read_image
from duplicates import read_collection
from hair_parts.images import default_data
from input_parts.measuring import in_fresh_process, peak_memory
from recapture_parts.calibration import aligned, by_score, fit, judged, within_lesions
from recapture_parts.copies import found_copies, largest_distance, measure, our_ways, peers
from recapture_parts.harness import choose_files
from recapture_parts.index_scale import cost, describe, recall
from recapture_parts.planting import CHANGES, NAMED_CHANGES
from recapture_parts.search import (
    CONFIRMED,
    REFUTED,
    outcome,
    ranks,
    recall_at_no_false,
    write_planted,
)
from tables import markdown

_FALSE_PER_MILLION = 10  # false pairs at which ways are compared
_FOLDERS = {512: "isic2018_task1/images/*.jpg", 200: "isic_challenge/T*/*[0-9].jpg"}

_MIN_SCORE = float(inspect.signature(find_recaptures).parameters["min_score"].default)
_RIGHT = 0.02  # of 512 px that a transform may be off


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the search for recaptures.")
    tables: dict[str, Callable[[argparse.Namespace], None]] = {
        "planted": _planted,
        "confirmed": _confirmed,
        "calibrate": _calibrate,
        "scale": _scale,
        "index": _index,
        "copies": _copies,
        "table": _table,
    }
    parser.add_argument("table", choices=tables)
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is measured")
    parser.add_argument("--size", type=int, choices=_FOLDERS, default=512, help="width of images")
    parser.add_argument("--count", type=int, help="images to use")
    parser.add_argument("--workers", type=int, default=1, help="processes of the search")
    parser.add_argument("--seed", type=int, default=0, help="of the planted recaptures")
    parser.add_argument("--ways", nargs="*", help="only ways whose names begin like this")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    try:
        tables[given.table](given)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _planted(given: argparse.Namespace) -> None:
    files = choose_files(given.data, _FOLDERS[given.size], given.count or 500)
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_planted(files, Path(folder), seed=given.seed)
        paths = sorted(Path(folder).glob("*.png"))
        start = time.perf_counter()
        table = find_recaptures(paths, min_score=0, workers=given.workers)
        seconds = time.perf_counter() - start
    result = outcome(table, pairs)
    table.to_csv(given.output / "planted_pairs.csv", index=False)
    result.to_csv(given.output / "planted_outcome.csv", index=False)
    scores = result["score"].to_numpy()
    found = result[scores >= _MIN_SCORE]
    others = table[table["second_row"] - table["first_row"] != len(pairs)]
    right = result["error"] <= _RIGHT * 512
    errors = result.loc[right, "error"]
    every = len(pairs) * (len(pairs) - 1) * 2
    rows = [
        [
            "recall at 0 false of 1,000 pairs",
            f"{recall_at_no_false(table, scores, drawn=1000):.3f}",
        ],
        [f"recall at 0 false of all {every:,} pairs", f"{recall_at_no_false(table, scores):.3f}"],
        ["recall at the default score", f"{len(found) / len(pairs):.3f}"],
        ["false pairs at the default score", f"{(others['score'] >= _MIN_SCORE).sum()}"],
        ["of the found, with the right transform", f"{right[found.index].mean():.3f}"],
        [
            "error of right transforms, px, median / 95 %",
            f"{errors.median():.2f} / {errors.quantile(0.95):.2f}",
        ],
        ["time, s", f"{seconds:.0f}"],
    ]
    print(markdown([f"{len(pairs)} planted recaptures, {given.size} px", ""], rows))
    print(markdown(["planted", "pairs", "recall at the default score"], _by_kind(result)))


def _by_kind(result: pd.DataFrame) -> Iterator[list[str]]:
    """Count what was found of each kind of planted pairs."""
    kinds = {
        "hair on": result["hairy"].map({0: "the first", 1: "the second"}),
        "beyond the edge:": result["beyond"],
        "scale": pd.cut(result["scale"], [0.69, 0.85, 1.15, 1.41]),
        "turned by": pd.cut(result["turn"], [-0.1, 20, 90, 180]),
    }
    found = result["score"] >= _MIN_SCORE
    for name, values in kinds.items():
        for value, some in found.groupby(values, observed=True):
            yield [f"{name} {value}", f"{len(some)}", f"{some.mean():.3f}"]


def _confirmed(given: argparse.Namespace) -> None:
    images = read_collection(given.data, given.count)
    seconds, memory, table = in_fresh_process(_search, images, given.workers, cores=given.workers)
    table.to_csv(given.output / "confirmed_pairs.csv", index=False)
    places = ranks(table, CONFIRMED)
    rows = [
        [f"confirmed among the first {most:,}", f"{_within(places, most)} of {len(CONFIRMED)}"]
        for most in (50, 200, len(table))
    ]
    rows += [
        ["places of the confirmed", ", ".join(str(place) for place in places)],
        ["places of the refuted", ", ".join(str(place) for place in ranks(table, REFUTED))],
        ["pairs at the default score", f"{(table['score'] >= _MIN_SCORE).sum():,}"],
        [f"time with {given.workers} workers, s", f"{seconds:.0f}"],
        ["peak memory, MB", f"{memory:.0f}"],
    ]
    print(markdown([f"{len(images):,} images of the challenge", ""], rows))


def _calibrate(given: argparse.Namespace) -> None:
    images = read_collection(given.data, given.count).reset_index(drop=True)
    table = pd.read_csv(given.output / "confirmed_pairs.csv")
    labels = judged(table)
    across = aligned(images, zip(table["first_row"], table["second_row"], strict=True))
    within = aligned(images, within_lesions(images))
    weights, intercept = fit(across, labels, within)
    names = ["log(inliers)", "fine", "coarse", "intercept"]
    print(
        markdown(
            ["weight of", ""], zip(names, [f"{w:.1f}" for w in (*weights, intercept)], strict=True)
        )
    )
    bands = by_score(table, labels).reset_index().astype(str)
    print(markdown([*bands.columns], bands.to_numpy().tolist()))
    found, every = len(within), len(within_lesions(images))
    print(f"{found:,} of {every:,} pairs within published lesions have an alignment.")


def _scale(given: argparse.Namespace) -> None:
    images = read_collection(given.data)
    rows = []
    for count in (1000, 3000, len(images)):
        some = images.sample(min(count, len(images)), random_state=0).sort_index()
        cost = in_fresh_process(_search, some, given.workers, cores=given.workers)
        seconds, memory, table = cost
        each = 1000 * seconds / len(some)
        rows.append([f"{len(some):,}", f"{seconds:.0f}", f"{each:.0f}", f"{memory:.0f}"])
        rows[-1].append(f"{len(table):,}")
    head = [f"images, {given.workers} workers", "s", "ms for each", "peak memory, MB", "pairs"]
    print(markdown(head, rows))


def _index(given: argparse.Namespace) -> None:
    images = read_collection(given.data, given.count).reset_index(drop=True)
    features = describe(images)
    groups = pd.factorize(images["lesion"])[0]
    with tempfile.TemporaryDirectory(dir=given.output) as folder:
        kept = recall(features, groups, Path(folder), 10)
    print(
        f"{kept:.3f} of the exact shortlist of {len(images):,} images are in that of the cells.\n"
    )
    costs = []
    for number in (len(images), 10_000, 100_000):
        with tempfile.TemporaryDirectory(dir=given.output) as folder:
            costs.append({"images": number} | cost(features, number, Path(folder)))
    print(markdown([*costs[0]], [[f"{value:,.0f}" for value in one.values()] for one in costs]))


def _search(images: pd.DataFrame, workers: int) -> tuple[float, float, pd.DataFrame]:
    """Search images: gives the time in s, the peak memory in MB, and what was found."""
    tables: list[pd.DataFrame] = []
    images = images.assign(lesion=images["lesion"].astype(str)).reset_index(drop=True)
    start = time.perf_counter()
    memory = peak_memory(
        lambda: tables.append(find_recaptures(images, min_score=0, workers=workers))
    )
    return time.perf_counter() - start, memory, tables[0]


def _within(places: list[int | None], most: int) -> int:
    return sum(place is not None and place <= most for place in places)


def _copies(given: argparse.Namespace) -> None:
    files = choose_files(given.data, _FOLDERS[given.size], given.count or 400)
    images = [read_image(file) for file in files]
    makers = {**our_ways(), **peers()}
    chosen = [name for name in makers if not given.ways or name.startswith(tuple(given.ways))]
    ways = {name: makers[name]() for name in chosen}
    for name, table in measure(ways, images).items():
        file = f"copies_{given.size}_{name.replace(' ', '_')}.csv.gz"
        table = table.assign(way=name, default=ways[name].default, images=len(images))
        table.to_csv(given.output / file, index=False)


def _table(given: argparse.Namespace) -> None:
    columns: dict[tuple[int, str], dict[str, str]] = {}
    for file in sorted(given.output.glob(f"copies_{given.size}_*.csv.gz")):
        table = pd.read_csv(file)
        way, most = str(table["way"][0]), int(table["false_pairs"][0])
        largest = largest_distance(table, round(most * _FALSE_PER_MILLION / 1e6))
        fractions, _ = found_copies(table, largest)
        by_default, false = found_copies(table, float(table["default"][0]))
        cells = {name: f"{100 * fractions[name]:.0f}" for name in CHANGES}
        cells["mean of all"] = f"{100 * fractions.mean():.1f}"
        cells |= {
            f"{name}, at its default": f"{100 * by_default[name]:.0f}" for name in NAMED_CHANGES
        }
        cells["mean of all, at its default"] = f"{100 * by_default.mean():.1f}"
        cells["false pairs of a million, at its default"] = f"{1e6 * false / most:.0f}"
        cells["images"] = f"{table['images'][0]}"
        columns[-round(1000 * fractions.mean()), way] = cells
    ways = [way for _, way in sorted(columns)]
    chosen = [columns[key] for key in sorted(columns)]
    rows = []
    for name in chosen[0]:
        bold = f"**{name}**" if name in NAMED_CHANGES else name
        rows.append([bold, *(column[name] for column in chosen)])
    print(markdown([f"copies found, %, {given.size} px", *ways], rows))


if __name__ == "__main__":
    main()

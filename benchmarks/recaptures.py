"""The benchmark of recaptures: are second photographs and changed copies found, and at what cost.

    python benchmarks/recaptures.py copies --data DIR --output DIR
    python benchmarks/recaptures.py table --output DIR

`copies` compares real images with 26 changed copies of them, by each way that is installed, and
writes the distances; `table` makes a table of all that were written, at equal false pairs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas as pd

from dermolib._validation import DatasetNotFoundError
from dermolib.io import read_image
from hair_parts.images import default_data
from recapture_parts.copies import found_copies, largest_distance, measure, our_ways, peers
from recapture_parts.harness import choose_files
from recapture_parts.planting import CHANGES, NAMED_CHANGES
from tables import markdown

_FALSE_PER_MILLION = 10  # false pairs at which ways are compared
_FOLDERS = {512: "isic2018_task1/images/*.jpg", 200: "isic_challenge/T*/*[0-9].jpg"}


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the search for recaptures.")
    tables: dict[str, Callable[[argparse.Namespace], None]] = {"copies": _copies, "table": _table}
    parser.add_argument("table", choices=tables)
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is measured")
    parser.add_argument("--size", type=int, choices=_FOLDERS, default=512, help="width of images")
    parser.add_argument("--count", type=int, default=400, help="images to use")
    parser.add_argument("--ways", nargs="*", help="only ways whose names begin like this")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    try:
        tables[given.table](given)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _copies(given: argparse.Namespace) -> None:
    files = choose_files(given.data, _FOLDERS[given.size], given.count)
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
        allowed = round(most * _FALSE_PER_MILLION / 1e6)
        fractions, _ = found_copies(table, largest_distance(table, allowed))
        by_default, false = found_copies(table, float(table["default"][0]))
        cells = {name: f"{100 * fractions[name]:.0f}" for name in CHANGES}
        cells["mean of all"] = f"{100 * fractions.mean():.1f}"
        cells["mean at its default"] = f"{100 * by_default.mean():.1f}"
        cells["false pairs of a million at its default"] = f"{1e6 * false / most:.0f}"
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

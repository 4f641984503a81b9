"""Preparing a folder against the loops that users write: speed, two workers, memory; checking.

One command prints the tables::

    python benchmarks/prepare.py --data DIR

Images are 1024 x 1024, JPEG at quality 90. Scripts and `prepare` take turns on the same files, on
one core, in processor time, so that a busy machine does not favor one; one and two workers take
turns by the clock, and need a machine that does nothing else.
"""

import argparse
import json
import shutil
import tempfile
import warnings
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from dermolib import PreparedStore, occlusion_removal, prepare, preset
from dermolib.datasets.store import INDEX_COLUMNS, row_checksum
from dermolib.io import digest_file, write_image, write_table
from hair_parts.images import default_data
from input_parts.measuring import (
    in_fresh_process,
    make_corpus,
    median_ratio,
    peak_memory,
    take_turns,
    timed,
)
from input_parts.scripts import SCRIPTS, run_script
from tables import markdown

_SIDE = 224
_READ = "rows read, each compared with its checksum"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure dermolib.preprocessing.prepare.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--images", type=int, default=96, help="images of a round on one core")
    parser.add_argument("--many", type=int, default=800, help="images of a round with workers")
    parser.add_argument("--stored", type=int, default=20_000, help="images of the store to check")
    parser.add_argument("--memory", type=int, nargs="*", default=[200, 2000], help="images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        corpus = make_corpus(given.data, place / "images", count=given.images)
        print_speed(in_fresh_process(measure_speed, corpus, place, given.rounds))
        if given.many:
            corpus = make_corpus(given.data, place / "many", count=given.many)
            print_workers(measure_workers(corpus, place, given.rounds), given.many)
        print_memory(given.data, place, *given.memory)
        if given.stored:
            print_checks(in_fresh_process(measure_checks, place / "checked", given), given.stored)


def paper_steps(source: Path, destination: Path, *, workers: int = 1) -> None:
    """Prepare a folder with the steps of the paper; what was there before goes."""
    shutil.rmtree(destination, ignore_errors=True)
    steps = [partial(occlusion_removal, method="luv")]
    prepare(source, destination, steps=steps, image_size=_SIDE, workers=workers, progress=False)


def measure_speed(corpus: Path, place: Path, rounds: int) -> dict[str, list[float]]:
    """Give the processor time of each script, and of `prepare`, in s an image, round by round."""
    # Users see the warnings of scikit-image once; the tables need not
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    files = sorted(corpus.iterdir())
    (place / "written").mkdir()

    def script(name: str) -> int:
        some = files[::8] if "scikit" in name else files  # that one takes a second an image
        run_script(name, some, place / "written", side=_SIDE)
        return len(some)

    def prepared() -> int:
        paper_steps(corpus, place / "store")
        return len(files)

    scripts = {name: partial(script, name) for name in SCRIPTS}
    return take_turns({"prepare": prepared, **scripts}, rounds)


def print_speed(times: dict[str, list[float]]) -> None:
    """Print the table of one core."""
    rows = []
    for name, values in times.items():
        ratio = "" if name == "prepare" else f"{median_ratio(values, times['prepare']):.1f}"
        rows.append([name, f"{1000 * np.median(values):.1f}", ratio])
    head = ["", "ms an image, one core", "images/s of `prepare` over it"]
    print(markdown(head, rows), flush=True)


def measure_workers(corpus: Path, place: Path, rounds: int) -> dict[int, list[float]]:
    """Give the time by the clock with one and two workers, in s, round by round."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, values in times.items():
            values.append(timed(paper_steps, corpus, place / "store", workers=workers).wall)
    return times


def print_workers(times: dict[int, list[float]], count: int) -> None:
    """Print the table of workers."""
    rows = [
        [str(n), f"{count / np.median(values):.0f}", f"{median_ratio(times[1], values):.2f}"]
        for n, values in times.items()
    ]
    print(markdown(["workers", f"images/s, {count} images, starting included", "over one"], rows))


def print_memory(data: Path, place: Path, *counts: int) -> None:
    """Print the table of memory."""
    rows = []
    for count in counts:
        corpus = make_corpus(data, place / f"memory{count}", count=count)
        store = place / "store"
        peaks = [in_fresh_process(_peak, corpus, store, workers, cores=2) for workers in (1, 2)]
        rows.append([f"{count:,}", *(f"{peak:.0f}" for peak in peaks)])
    print(markdown(["images", "peak memory, one worker, MB", "two workers, MB"], rows))


def write_store(folder: Path, count: int) -> None:
    """Write a store of noise, as `prepare` would: the time to check it is that of any other."""
    prepare(make_noise(folder / "in"), folder / "store", steps=[], image_size=_SIDE, progress=False)
    store = folder / "store"
    one, key = PreparedStore(store).image(0), PreparedStore(store).key
    rows = np.lib.format.open_memmap(store / "images.npy", "w+", np.uint8, (count, *one.shape))
    first = pd.read_csv(store / "index.csv").iloc[0].to_dict()
    lines = []
    for row in range(count):
        one[0, :2] = np.frombuffer(row.to_bytes(6, "little"), np.uint8).reshape(2, 3)
        rows[row] = one
        names = {"row": row, "id": f"ISIC_{row:07}", "file": f"ISIC_{row:07}.png"}
        lines.append([*(first | names | {"checksum": row_checksum(one, key)}).values()])
    write_table(store / "index.csv", INDEX_COLUMNS, lines)
    content = json.loads((store / "store.json").read_text())
    content |= {"images": count, "digests": {"index.csv": digest_file(store / "index.csv")}}
    (store / "store.json").write_text(json.dumps(content))


def make_noise(folder: Path) -> Path:
    """Write one image."""
    write_image(
        folder / "a.png", np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), "u1")
    )
    return folder


def measure_checks(folder: Path, given: argparse.Namespace) -> dict[str, list[float]]:
    """Give the processor time of each way to a store, in s an image, round by round."""
    write_store(folder, given.stored)
    path = folder / "store"
    augment = preset("strong", image_size=_SIDE)

    def opened() -> int:
        return len(PreparedStore(path))

    def copied() -> int:
        images = PreparedStore(path).images
        return len([np.array(images[row]).shape for row in range(len(images))])

    def read() -> int:
        store = PreparedStore(path)
        return len([store.image(number).shape for number in range(len(store))])

    def augmented() -> int:
        store = PreparedStore(path)
        return len([augment(image=store.image(number)) for number in range(200)])

    def checked() -> int:
        store = PreparedStore(path)
        return len(store) - len(store.find_damaged())

    ways = {
        "opened: settings, index and their digests": opened,
        "rows copied, not checked": copied,
        _READ: read,
        "rows checked (`find_damaged`)": checked,
        "rows read, then the preset `strong`": augmented,
    }
    return take_turns(ways, given.rounds)


def print_checks(times: dict[str, list[float]], count: int) -> None:
    """Print the table of what checking a store costs."""
    rows = [
        [name, f"{1e6 * np.median(values):.1f}", f"{median_ratio(values, times[_READ]):.2f}"]
        for name, values in times.items()
    ]
    print(markdown([f"store of {count:,} images", "us an image", "over rows read"], rows))


def _peak(corpus: Path, destination: Path, workers: int) -> float:
    peak = peak_memory(paper_steps, corpus, destination, workers=workers)
    # Idle workers would keep this process for five minutes
    get_reusable_executor().shutdown()
    return peak


if __name__ == "__main__":
    main()

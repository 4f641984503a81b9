"""The folder of Figure 5 of the paper, made for real: counts, blank images, a kill, a cluster.

One command makes the copies of the rare classes three times, in whole, killed and continued, and on
a Dask cluster of two processes of this machine, compares their bytes, and prints the tables::

    python benchmarks/figure5.py --data DIR
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from dermolib import ISICDataset, augment_offline, plan_offline
from dermolib.augmentation import is_blank
from dermolib.io import read_image, read_mask
from dermolib.labels import DIAGNOSES
from hair_parts.images import default_data

FACTORS = {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3}


def main() -> None:
    """Make the folders, compare them, and print."""
    parser = argparse.ArgumentParser(description="Make the folder of Figure 5 of the paper.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the data")
    parser.add_argument("--kill-after", type=int, default=700, help="files before the kill")
    parser.add_argument("--into", type=Path, help="run into this folder and do nothing else")
    given = parser.parse_args()
    dataset = open_dataset(given.data)
    if given.into is not None:
        augment(dataset, given.into)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        start = time.perf_counter()
        augment(dataset, place / "whole")
        seconds = time.perf_counter() - start
        print_counts(dataset, place / "whole", seconds)
        whole = digests(place / "whole")
        print("\n| run | files | kept from before the kill | same bytes |")
        print("| --- | ---: | ---: | --- |")
        before = kill(given.data, place / "killed", given.kill_after)
        augment(dataset, place / "killed")
        after = states(place / "killed")
        kept = sum(after[name] == state for name, state in before.items())
        same = digests(place / "killed") == whole
        print(f"| killed with {len(before)} finished, continued | {len(whole)} | {kept} | {same} |")
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as machines,
            Client(machines) as client,
            joblib.parallel_backend("dask", client=client),
        ):
            augment(dataset, place / "cluster")
        same = digests(place / "cluster") == whole
        print(f"| on a Dask cluster of two processes | {len(whole)} | | {same} |")


def open_dataset(data: Path) -> ISICDataset:
    """Open the images at hand, with their masks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Left out rows")
        return ISICDataset.from_challenge(data / "isic_challenge", masks=True, missing="drop")


def augment(dataset: ISICDataset, folder: Path) -> None:
    """Make the copies of the rare classes."""
    augment_offline(dataset, folder, factors=FACTORS, workers=2, progress=False)


def print_counts(dataset: ISICDataset, folder: Path, seconds: float) -> None:
    """Print the classes before and after, and what the new images show."""
    manifest = pd.read_csv(folder / "manifest.csv")
    made = np.bincount(manifest["CLASS"] - 1, minlength=len(DIAGNOSES))
    counts = dataset.class_counts()
    plan = plan_offline(counts, factors=FACTORS)
    print("\n| class | images | copies, from the manifest | together | planned |")
    print("| --- | ---: | ---: | ---: | ---: |")
    names = [diagnosis.name for diagnosis in DIAGNOSES]
    rows = zip(names, counts, made, plan.values(), strict=True)
    for name, *numbers in [*rows, ("all", counts.sum(), made.sum(), sum(plan.values()))]:
        count, new, planned = map(int, numbers)
        print(f"| {name} | {count:,} | {new:,} | {count + new:,} | {planned:,} |")
    blank = sum(is_blank(read_image(folder / name)) for name in manifest["FILE"])
    lost = sum(not read_mask(folder / name).any() for name in manifest["MASK_FILE"].dropna())
    again = int((manifest["ATTEMPTS"] > 1).sum())
    together = dataset.with_augmented(folder)
    groups = dict(zip(dataset.ids, dataset.groups, strict=True))
    apart = sum(
        groups[source] != group
        for source, group in zip(together.table["made_from"], together.groups, strict=True)
        if source
    )
    print(
        f"\n{made.sum():,} copies in {seconds:.0f} s with two workers. Blank: {blank}. Lesion "
        f"lost: {lost}. Drawn again since blank: {again}. Apart from their lesion's group: {apart}."
    )


def kill(data: Path, folder: Path, files: int) -> dict[str, tuple[int, int]]:
    """Start a run, kill it and its workers, and give the state of the files that were done."""
    command = [sys.executable, __file__, "--data", str(data), "--into", str(folder)]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - this script
    while process.poll() is None and len(list(folder.glob("*_aug*"))) < files:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    journal = (folder / "run.jsonl").read_text().split("\n")[1:-1]  # the first has the settings
    names = {json.loads(line)[key] for line in journal for key in ("FILE", "MASK_FILE")}
    return {name: state for name, state in states(folder).items() if name in names}


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Give what changes when a file is written again."""
    found = {path.name: path.stat() for path in folder.glob("[!.]*")}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in found.items()}


def digests(folder: Path) -> dict[str, str]:
    """Digest all files of a folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("[!.]*")
    }


if __name__ == "__main__":
    main()

"""The folder of Figure 5 of the paper, made for real: counts, blank images, a kill, a cluster.

One command makes the copies of the rare classes three times, without interruption, killed and
continued, and on a Dask cluster of two processes of this machine, and compares their bytes::

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
from dermolib.io import read_image, read_mask
from dermolib.labels import DIAGNOSES
from dermolib.preprocessing import is_blank
from hair_parts.images import default_data
from tables import markdown

FACTORS = {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3}


def main() -> None:
    """Make the folders, compare them, and print."""
    parser = argparse.ArgumentParser(description="Make the folder of Figure 5 of the paper.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the data")
    parser.add_argument("--kill-after", type=int, default=700, help="files before the kill")
    parser.add_argument("--into", type=Path, help="run into this folder and do nothing else")
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Left out rows")
        folder = given.data / "isic_challenge"
        dataset = ISICDataset.from_challenge(folder, masks=True, missing="drop")
    if given.into is not None:
        augment(dataset, given.into)
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        start = time.perf_counter()
        augment(dataset, place / "whole")
        print(f"Two workers took {time.perf_counter() - start:.0f} s.")
        print_counts(dataset, place / "whole")
        whole = digests(place / "whole")
        before = kill(given.data, place / "killed", given.kill_after)
        augment(dataset, place / "killed")
        after = states(place / "killed")
        kept = sum(after[name] == state for name, state in before.items())
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as machines,
            Client(machines) as client,
            joblib.parallel_backend("dask", client=client),
        ):
            augment(dataset, place / "cluster")
        same = [str(digests(place / name) == whole) for name in ("killed", "cluster")]
        killed = f"killed with {len(before)} files finished, of which {kept} stayed, continued"
        cluster = "on a Dask cluster of two processes"
        print(markdown(["run", "same bytes"], [[killed, same[0]], [cluster, same[1]]]))


def augment(dataset: ISICDataset, folder: Path) -> None:
    """Make the copies of the rare classes."""
    augment_offline(dataset, folder, factors=FACTORS, workers=2, progress=False)


def print_counts(dataset: ISICDataset, folder: Path) -> None:
    """Print the classes before and after, and what the new images show."""
    manifest = pd.read_csv(folder / "manifest.csv")
    made = np.bincount(manifest["CLASS"] - 1, minlength=len(DIAGNOSES))
    counts = dataset.class_counts()
    plan = [*plan_offline(counts, factors=FACTORS).values()]
    table = np.stack([counts, made, counts + made, plan], axis=1)
    names = [*(diagnosis.name for diagnosis in DIAGNOSES), "all"]
    lines = zip(names, [*table, table.sum(axis=0)], strict=True)
    head = ["class", "images", "copies, from the manifest", "together", "planned"]
    print(markdown(head, ([name, *(f"{number:,}" for number in row)] for name, row in lines)))
    blank = sum(is_blank(read_image(folder / name)) for name in manifest["FILE"])
    lost = sum(not read_mask(folder / name).any() for name in manifest["MASK_FILE"].dropna())
    together = dataset.with_augmented(folder)
    groups = dict(zip(dataset.ids, dataset.groups, strict=True))
    copies = zip(together.ids[len(dataset) :], together.groups[len(dataset) :], strict=True)
    apart = sum(groups[name.rpartition("_aug")[0]] != group for name, group in copies)
    print(f"Blank: {blank}. Lesion lost: {lost}. Apart from their lesion's group: {apart}.\n")


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

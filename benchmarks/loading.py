"""Loading a prepared store against a bare loop over the same bytes, and against the JPEG files.

One command prints the table::

    python benchmarks/loading.py --data DIR

All ways take turns on the same images, on one core, in processor time: a dataset over a store with
the preset ``"evaluation"`` at 224 px; a loop that copies each image out of the memory map and calls
the same transform; a dataset over the JPEG files of 1024 x 1024 with the same steps. The last two
rows put samples into batches of 64, by `make_loader` and by a plain `torch.utils.data.DataLoader`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from dermolib import ISICDataset, make_loader, occlusion_removal, prepare, preset
from dermolib._validation import Image
from hair_parts.images import default_data
from input_parts.measuring import in_fresh_process, make_corpus, median_ratio
from tables import markdown

_SIDE = 224
_EVALUATION = preset("evaluation", image_size=_SIDE)


class BareDataset(Dataset[dict[str, Any]]):
    """The least that a loader needs: a copy out of the map, and the transform."""

    def __init__(self, images: Image) -> None:
        """Keep the map."""
        self.images = images

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Copy and transform."""
        return {**_EVALUATION(image=np.array(self.images[index])), "label": 0, "id": "IMG"}


def cleaned(image: Image) -> dict[str, Any]:
    """Do for one image what the store holds done."""
    return _EVALUATION(image=occlusion_removal(image, method="luv"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure loading from a prepared store.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each measurement")
    parser.add_argument("--images", type=int, default=256, help="images of a round")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_corpus(given.data, place / "images", count=given.images)
        times = in_fresh_process(measure, place, given.rounds)
    bare = times["bare loop over the map"]
    rows = [
        [name, f"{1000 * np.median(values):.3f}", f"{median_ratio(bare, values):.2f}"]
        for name, values in times.items()
    ]
    print(markdown(["on one core", "ms an image", "images/s over the bare loop"], rows))
    files, store = times["JPEG files, the same steps"], times["store"]
    print(f"\nThe store gives {median_ratio(files, store):.0f} times the images/s of the files.")


def measure(place: Path, rounds: int) -> dict[str, list[float]]:
    """Give the processor time of each way in s an image, round by round."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    steps = [partial(occlusion_removal, method="luv")]
    store = prepare(
        place / "images", place / "store", steps=steps, image_size=_SIDE, progress=False
    )
    table = pd.DataFrame({"ID": store.ids, "CLASS": 1})
    stored = ISICDataset(table, store, transform=_EVALUATION)
    files = ISICDataset(table, place / "images", transform=lambda image: cleaned(image))
    bare = BareDataset(np.load(store.path / "images.npy", mmap_mode="r"))
    every = range(len(store))
    ways: dict[str, Callable[[], Any]] = {
        "bare loop over the map": lambda: [bare[number]["label"] for number in every],
        "store": lambda: [stored[number]["label"] for number in every],
        "JPEG files, the same steps": lambda: [files[number]["label"] for number in every[::8]],
        "bare dataset in a DataLoader": lambda: [
            len(batch["id"]) for batch in DataLoader(bare, batch_size=64)
        ],
        "store in make_loader": lambda: [
            len(batch["id"]) for batch in make_loader(stored, batch_size=64)
        ],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            count = sum(way()) if "oader" in name else len(way())
            if turn:  # the first one warms up
                times[name].append((time.process_time() - start) / count)
    return times


if __name__ == "__main__":
    main()

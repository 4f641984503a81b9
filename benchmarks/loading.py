"""Loading a prepared store against a bare loop over the same bytes, and against the JPEG files.

    python benchmarks/loading.py --data DIR

All ways take turns on the same images, on one core, in processor time: a dataset over a store with
the preset ``"evaluation"`` at 224 px; a loop that copies each image out of the memory map and calls
the same transform; a dataset over the JPEG files of 1024 x 1024 with the same steps. The last two
rows put samples into batches of 64, by `make_loader` and by a plain `torch.utils.data.DataLoader`.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable
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
from input_parts.measuring import in_fresh_process, make_corpus, median_ratio, take_turns
from tables import markdown

_SIDE = 224
_EVALUATION = preset("evaluation", image_size=_SIDE)


class _Bare(Dataset[dict[str, Any]]):
    """The least that a loader needs: a copy out of the map, and the transform."""

    def __init__(self, images: Image) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**_EVALUATION(image=np.array(self.images[index])), "label": 0, "id": "IMG"}


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
    clean = partial(occlusion_removal, method="luv")
    settings: Any = {"steps": [clean], "image_size": _SIDE, "progress": False}
    store = prepare(place / "images", place / "store", **settings)
    table = pd.DataFrame({"ID": store.ids, "CLASS": 1})
    stored = ISICDataset(table, store, transform=_EVALUATION)
    original = place / "images"
    files = ISICDataset(table, original, transform=lambda image: _EVALUATION(image=clean(image)))
    bare = _Bare(np.load(store.path / "images.npy", mmap_mode="r"))
    every = range(len(store))
    ways: dict[str, Callable[[], int]] = {
        "bare loop over the map": lambda: len([bare[number]["label"] for number in every]),
        "store": lambda: len([stored[number]["label"] for number in every]),
        "JPEG files, the same steps": lambda: len([files[n]["label"] for n in every[::8]]),
        "bare dataset in a DataLoader": lambda: _count(DataLoader(bare, batch_size=64)),
        "store in make_loader": lambda: _count(make_loader(stored, batch_size=64)),
    }
    return take_turns(ways, rounds)


def _count(loader: Iterable[Any]) -> int:
    return sum(len(batch["id"]) for batch in loader)


if __name__ == "__main__":
    main()

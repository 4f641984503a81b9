"""A table of 401,059 rows, the shape of ISIC 2024: opened, split, and read by forked workers.

Rows are drawn: 55 columns, 1,042 patients, 0.1 % malignant, images of 16 px in one HDF5 file. The
other column is what a project writes for itself: pandas and lists, and scikit-learn's
`StratifiedGroupKFold`.

    python benchmarks/large_table.py
"""

import argparse
import gc
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from input_parts.measuring import in_fresh_process

ROWS = 401_059
_SITES = ["lower extremity", "head/neck", "posterior torso", "anterior torso", "upper extremity"]
_CODES = {
    "Benign": 0.9973,
    "Benign::Benign melanocytic proliferations::Nevus": 0.0017,
    "Malignant::Malignant adnexal epithelial proliferations::Basal cell carcinoma": 4e-4,
    "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma in situ": 4e-4,
    "Malignant::Malignant epidermal proliferations::Squamous cell carcinoma, Invasive": 2e-4,
}


def write(root: Path, rows: int) -> None:
    """Write the table and the file of the images."""
    import h5py

    generator = np.random.default_rng(0)
    pixels = io.BytesIO()
    PillowImage.fromarray(np.full((16, 16, 3), 150, np.uint8)).save(pixels, "JPEG")
    data = np.void(pixels.getvalue())
    codes = generator.choice([*_CODES], rows, p=[*_CODES.values()])
    known = generator.random(rows) < 0.055
    columns: dict[str, Any] = {
        "isic_id": [f"ISIC_{17 * row + 15_670:07d}" for row in range(rows)],
        "target": [int(code.startswith("Malignant")) for code in codes],
        "patient_id": [f"IP_{patient:07d}" for patient in generator.integers(1042, size=rows)],
        "age_approx": generator.choice(["", "45.0", "50.0", "60.0", "85.0"], rows),
        "sex": generator.choice(["male", "female", ""], rows),
        "anatom_site_general": generator.choice([*_SITES, ""], rows),
        "lesion_id": [f"IL_{row:07d}" if has else "" for row, has in enumerate(known)],
        "iddx_full": codes,
        **{f"tbp_lv_{number}": generator.random(rows) for number in range(47)},
    }
    table = pd.DataFrame(columns)
    table.to_csv(root / "train-metadata.csv", index=False, float_format="%.6f")
    with h5py.File(root / "train-image.hdf5", "w", libver="latest") as images:
        for name in columns["isic_id"]:
            images.create_dataset(name, data=data)


def _memory(file: str, *names: str) -> float:
    """Add figures of a process in MB."""
    lines = Path("/proc", file).read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(names)) / 1024


def _measured(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Call a function; return its result, the seconds, and the MB at the peak above the start."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
    begin, start = _memory("self/status", "VmRSS"), time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    return result, seconds, _memory("self/status", "VmHWM") - begin


def _by_dermolib(root: Path) -> Any:
    from dermolib import ISICDataset

    return ISICDataset.from_isic2024(root)


def _by_hand(root: Path) -> Any:
    return pd.read_csv(root / "train-metadata.csv", low_memory=False).to_dict("records")


_WAYS = {"dermolib": _by_dermolib, "hand": _by_hand}
_PRIVATE = ("Private_Clean", "Private_Dirty")  # what a process shares with nobody


def opened(root: Path, kind: str) -> tuple[float, float]:
    """Open the dataset; give seconds and MB."""
    import h5py  # noqa: F401 - imported before the clock runs, as pandas is

    import dermolib.datasets  # noqa: F401 - as above

    return _measured(lambda: _WAYS[kind](root))[1:]


def split(root: Path, kind: str, by: str) -> tuple[float, float, float]:
    """Split by patient or lesion; give seconds, MB and the largest deviation in points."""
    from sklearn.model_selection import StratifiedGroupKFold

    from dermolib import grouped_split
    from dermolib.datasets import group_names

    table = _by_dermolib(root).table
    table["label"] = table["malignant"].astype(int)
    if by == "lesion":
        table["patient"] = ""
    if kind == "dermolib":
        found, seconds, memory = _measured(lambda: grouped_split(table))
        return seconds, memory, 100 * found.largest_deviation
    labels, groups = table["label"].to_numpy(), pd.factorize(group_names(table))[0]
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    (train, test), seconds, memory = _measured(lambda: next(splitter.split(labels, labels, groups)))
    off = [abs(labels[rows].mean() - labels.mean()) for rows in (train, test)]
    return seconds, memory, 100 * float(max(off))


def audited(rows: int, kind: str) -> tuple[float, float, int]:
    """Audit a table without images; give processor seconds, MB in all, and lines of the page.

    Kinds of lesions: "half as many", whose labels are drawn, so that a quarter of the rows is a
    conflict; "own", one for each row; and "one" for all.
    """
    from dermolib import audit

    generator = np.random.default_rng(0)
    lesions: dict[str, Any] = {
        "half as many": generator.integers(rows // 2, size=rows),
        "own": np.arange(rows),
        "one": np.zeros(rows, int),
    }
    columns: dict[str, Any] = {
        "id": [f"ISIC_{row:07d}" for row in range(rows)],
        "lesion": [f"IL_{lesion:07d}" for lesion in lesions[kind]],
        "patient": [f"IP_{patient:07d}" for patient in generator.integers(1042, size=rows)],
        "label": generator.integers(8, size=rows),
        "age": generator.choice([np.nan, 45.0, 60.0, 85.0], rows),
        "sex": generator.choice(["male", "female", ""], rows),
        "site": generator.choice(_SITES, rows),
    }
    table = pd.DataFrame(columns)
    del columns, lesions
    train, test = table[: rows * 4 // 5], table[rows * 4 // 5 :]
    start = time.process_time()
    page = str(audit(train, test, images=False, progress=False))
    return time.process_time() - start, _memory("self/status", "VmHWM"), page.count("\n") + 1


class _WithoutImages:
    """Reads what a sample is made of, but not the image, which takes the same in all ways."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        own = self.dataset
        if isinstance(own, list):
            return {"id": own[index]["isic_id"], "label": own[index]["target"]}
        return {"id": own._ids[index].decode(), "label": len(own._image_paths[index])}


def workers(root: Path, kind: str) -> list[float]:
    """Read all rows three times with two forked workers; give the MB of their own after each."""
    from torch.utils.data import DataLoader  # 500 MB that an audit does without

    dataset: Any = _WithoutImages(_WAYS[kind](root))
    gc.collect()
    options: Any = {"persistent_workers": True, "multiprocessing_context": "fork"}
    loader = DataLoader(dataset, batch_size=1024, num_workers=2, **options)
    own = []
    for _ in range(3):
        batches = iter(loader)
        for _ in batches:
            pass
        files = [f"{worker.pid}/smaps_rollup" for worker in batches._workers]  # type: ignore[attr-defined]  # workers have no public name
        own.append(float(np.mean([_memory(file, *_PRIVATE) for file in files])))
    return own


def main() -> int:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, given.rows)
        print(f"{given.rows:,} rows, medians of {given.repeats}\n")
        print("| what | dermolib | by hand |\n|---|---|---|")
        runs: dict[str, list[Any]] = {kind: [] for kind in _WAYS}
        for _ in range(given.repeats):
            for kind, found in runs.items():
                found.append(in_fresh_process(opened, root, kind, cores=2))
        told = ("{:.1f} s, {:.0f} MB".format(*np.median(runs[kind], axis=0)) for kind in runs)
        print(f"| open | {' | '.join(told)} |", flush=True)
        words = "{:.1f} s, {:.0f} MB, off by {:.4f} points"
        for by in ("patient", "lesion"):
            found = [in_fresh_process(split, root, kind, by, cores=2) for kind in runs]
            told = (words.format(*values) for values in found)
            print(f"| split 80/20 by {by} | {' | '.join(told)} |", flush=True)
        found = [in_fresh_process(workers, root, kind, cores=2) for kind in runs]
        told = (", ".join(f"{own:.0f}" for own in values) for values in found)
        print(f"| MB of a worker's own after epoch 1, 2, 3 | {' | '.join(told)} |")
    print("\n| audit of 1,000,000 rows, lesions | processor | process | page |\n|---|---|---|---|")
    for lesions in ("half as many", "own", "one"):
        seconds, memory, lines = in_fresh_process(audited, 1_000_000, lesions, cores=2)
        print(f"| {lesions} | {seconds:.0f} s | {memory:.0f} MB | {lines} lines |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

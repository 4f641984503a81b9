"""The resumable jobs of the library, each on a few small images, for the laws that all obey."""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dermolib._jobs as engine  # whose lines are forged
from dermolib import augment_offline, prepare, remove_hair_from_folder
from dermolib.io import write_image, write_mask
from dermolib.preprocessing import artifact_table, segment_folder
from drawing import noise_image
from fetch_server import serving

NOTES = {"downloads.jsonl"}
"""Files that name times, which differ between runs."""


@dataclass(frozen=True)
class Resumable:
    """One job.

    Attributes:
        run: Runs it: inputs, folder, and the options `workers`, `other` (settings) and `overwrite`.
        serving: Gives the inputs where they need more than files; takes the folder of the images.
        changes: Number of changes of files, at each of which it can be interrupted, at least.
        kills: Number of changes on the disk, at each of which it can be killed, at least.
        settings: Whether runs of other settings are refused.
        overwrites: Whether it takes `overwrite`.
        shares: Whether files of others may lie in its folder.
        in_place: Whether results grow in their places, rather than to appear complete.
        journal: Whether it locks the folder and records its progress there; a file of one piece
            needs neither.
    """

    run: Callable[..., Any]
    serving: Callable[[Path], Any] = nullcontext
    changes: int = 12
    kills: int = 40
    settings: bool = True
    overwrites: bool = False
    shares: bool = False
    in_place: bool = False
    journal: bool = True


def write_inputs(folder: Path) -> None:
    """Write three images with a dark line, in subfolders too, and their lesion masks."""
    for seed, file in enumerate(["a.png", "b.jpg", "sub/c.png"]):
        image = noise_image(40 + seed, 50, seed) // 8 + np.uint8(180)
        image[:, 20] = 20
        write_image(folder / "in" / file, image)
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[10:30, 10:40] = True
        write_mask(folder / "masks" / f"{Path(file).stem}.png", mask)


def files_of(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but a lock, which a killed run cannot take away."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".dermolib.lock", *NOTES}
    }


def forge(journal: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the records of a journal, or what `change` returns of them, with right checksums."""
    lines, seed = [], 0
    for line in journal.read_text().splitlines():
        content = json.loads(line)
        del content["crc32"]
        is_header = content.keys() == {"kind", "settings"}
        content = change(content) or content
        lines.append(engine._line(content, 0 if is_header else seed))
        seed = zlib.crc32(lines[-1]) if is_header else seed
    journal.write_bytes(b"".join(lines))


def _prepare(
    inputs: Path, folder: Path, *, workers: int = 1, other: bool = False, **options: Any
) -> None:
    prepare(
        inputs / "in",
        folder,
        steps=["crop_border" if other else "shades_of_gray"],
        image_size=12,
        masks=inputs / "masks",
        workers=workers,
        **{"progress": False, **options},
    )


def _remove_hair(
    inputs: Path, folder: Path, *, workers: int = 1, other: bool = False, **options: Any
) -> None:
    remove_hair_from_folder(
        inputs / "in",
        folder,
        method="luv",
        masks=folder / "masks",
        quality=70 if other else 95,
        workers=workers,
        **{"progress": False, **options},
    )


def _segment(
    inputs: Path, folder: Path, *, workers: int = 1, other: bool = False, **options: Any
) -> None:
    segment_folder(
        inputs / "in",
        folder,
        method="classical",
        agreement=0.6 if other else 0.45,
        workers=workers,
        **{"progress": False, **options},
    )


def _cache_artifacts(inputs: Path, folder: Path, *, workers: int = 1, **options: Any) -> None:
    artifact_table(inputs / "in", cache=folder, workers=workers, **{"progress": False, **options})


class Rows:
    """Stands for a data set of the images, all of one class."""

    split = "train"

    def __init__(self, inputs: Path) -> None:
        """List the images."""
        import pandas as pd

        files = sorted(path for path in (inputs / "in").rglob("*") if path.is_file())
        names = [path.stem for path in files]
        self.table = pd.DataFrame({"id": names, "label": 3, "lesion": "", "age": 30.0})
        self.table["sex"] = self.table["site"] = ""
        self.table["image_path"] = [str(path) for path in files]
        self.table["mask_path"] = [str(inputs / "masks" / f"{name}.png") for name in names]


def _augment(
    inputs: Path, folder: Path, *, workers: int = 1, other: bool = False, progress: bool = False
) -> None:
    augment_offline(
        Rows(inputs),
        folder,
        factors={"AK": 3},
        image_size=32,
        seed=int(other),
        workers=workers,
        progress=progress,
    )


@contextmanager
def _served(inputs: Path) -> Iterator[Any]:
    import io
    import zipfile

    from dermolib.datasets.download import Archive, Collection

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted((inputs / "in").rglob("*.*")):
            archive.writestr(f"Input/{path.name}", path.read_bytes())
    contents = {"Input.zip": buffer.getvalue(), "Table.csv": b"a,b\n" * 50}
    with serving() as server:
        files = (Archive(name, "all", (server.put(name, data),)) for name, data in contents.items())
        yield Collection("own", "", "", "", "", tuple(files))


def _download(collection: Any, folder: Path, *, workers: int = 1, progress: bool = False) -> None:
    from dermolib import download

    download(collection, folder, workers=workers, progress=progress)


def _seen(image: Any) -> dict[str, Any]:
    import torch

    return {"image": torch.from_numpy(image[:32, :32].copy()).permute(2, 0, 1) / 255}


def _cache_features(inputs: Path, folder: Path, *, workers: int = 1, other: bool = False) -> Any:
    import torch

    from dermolib import ISICDataset
    from dermolib.evaluation import extract_features

    torch.set_num_threads(1)  # a process that is forked to be killed cannot start others
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4), torch.nn.Linear(4, 2))
    dataset = ISICDataset(Rows(inputs).table, transform=_seen)
    cache = folder / "features.npz"
    options: dict[str, Any] = {"flips": other, "workers": workers - 1, "device": "cpu"}
    return extract_features(model, dataset, cache=cache, **options)


JOBS = {
    "prepare": Resumable(_prepare, overwrites=True, in_place=True),
    "hair": Resumable(_remove_hair, overwrites=True, shares=True),
    "segment": Resumable(_segment, kills=30, overwrites=True, shares=True),
    "artifacts": Resumable(_cache_artifacts, changes=2, kills=8, settings=False, shares=True),
    "offline": Resumable(_augment),
    "download": Resumable(_download, _served, settings=False, shares=True),
    "features": Resumable(
        _cache_features, changes=2, kills=2, settings=False, shares=True, journal=False
    ),
}

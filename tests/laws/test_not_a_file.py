"""A law of every path: a pipe, device, socket, folder or odd link is named at once, not waited for.

Each entry makes what a call needs, and gives the path that something else takes, and the call.
"""

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colors import Colors, trainer
from torch import nn

from dermolib import ISICDataset, PreparedStore, Trainer, audit, build_model, grouped_split
from dermolib._jobs import LOCK  # no public name gives it
from dermolib.cli import main
from dermolib.datasets import load_split, read_table
from dermolib.io import hdf5_path, read_hdf5, read_image, read_mask, write_image, write_mask
from dermolib.reporting import plot_samples, save_figure, write_submission
from resumable import JOBS, Rows, write_inputs
from waiting import at_once

KINDS = ("pipe", "device", "socket", "folder", "loop", "link to nowhere")
LIMIT = 60  # s, after which a call is taken to wait for ever
IMAGE = np.full((8, 8, 3), 99, np.uint8)
Entry = tuple[Path, Callable[[], object]]


def put(kind: str, path: Path) -> None:
    """Put something at a path that is not a file."""
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as one, pytest.MonkeyPatch.context() as patch:
            patch.chdir(path.parent)  # the paths of sockets must be short
            one.bind(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"device": "/dev/zero", "loop": path.name, "link to nowhere": "nowhere"}
        path.symlink_to(targets[kind])


def _rows(folder: Path) -> pd.DataFrame:
    write_inputs(folder)
    return Rows(folder).table


def _write(call: Callable[[Path], object], name: str) -> Callable[[Path], Entry]:
    """Make the entry of a call that writes a file."""
    return lambda folder: (folder / name, lambda: call(folder / name))


def _read(call: Callable[[Path], object], name: str) -> Callable[[Path], Entry]:
    """Make the entry of a call that reads a file alone."""
    return _write(call, name)


def _store(name: str) -> Callable[[Path], Entry]:
    def entry(folder: Path) -> Entry:
        write_inputs(folder)
        JOBS["prepare"].run(folder, folder / "out")
        return folder / "out" / name, lambda: np.array(PreparedStore(folder / "out").images)

    return entry


def _job(job: str, name: str) -> Callable[[Path], Entry]:
    """Make the entry of a file that a finished job left behind, or that it reads."""

    def entry(folder: Path) -> Entry:
        write_inputs(folder)
        if not name.startswith("in"):
            JOBS[job].run(folder, folder / "out")
        options = {"errors": "raise"} if job in ("hair", "segment") else {}
        path = folder / name if name.startswith(("in/", "masks/")) else folder / "out" / name
        path.parent.mkdir(exist_ok=True)
        return path, lambda: JOBS[job].run(folder, folder / "out", **options)

    return entry


def _dataset(column: str) -> Callable[[Path], Entry]:
    def entry(folder: Path) -> Entry:
        table = _rows(folder)
        dataset = ISICDataset(table, masks=True)
        return Path(table[column][0]), lambda: dataset[0]

    return entry


def _sheet(folder: Path) -> Entry:
    from dermolib import remove_hair_from_folder

    write_inputs(folder)
    options: dict[str, Any] = {"method": "luv", "contact_sheet": folder / "a.png"}
    call = remove_hair_from_folder
    return folder / "a.png", lambda: call(folder / "in", folder / "out", progress=False, **options)


def _challenge(name: str) -> Callable[[Path], Entry]:
    def entry(folder: Path) -> Entry:
        from dermolib.datasets import read_challenge_table

        (folder / "Train").mkdir()
        write_image(folder / "Train" / "a.jpg", IMAGE)
        (folder / "metadataTrain.csv").write_text("ID,CLASS\na,1\n")
        return folder / name, lambda: read_challenge_table(folder, "train")

    return entry


def _cached(folder: Path) -> Entry:
    write_inputs(folder)
    return folder / "features.npz", lambda: JOBS["features"].run(folder, folder)


def _loaded(folder: Path) -> Entry:
    return folder / "a.pt", lambda: Trainer.load(folder / "a.pt", model=nn.Linear(2, 2))


def _trained(name: str) -> Callable[[Path], Entry]:
    def entry(folder: Path) -> Entry:
        (folder / "run").mkdir()
        options: dict[str, Any] = {"output": folder / "run", "epochs": 1}
        return folder / "run" / name, lambda: trainer(**options).fit(Colors(6), Colors(3))

    return entry


def _command(words: str, name: str) -> Callable[[Path], Entry]:
    def entry(folder: Path) -> Entry:
        (folder / "t.csv").write_text("ID,CLASS\na,1\nb,2\n")
        write_inputs(folder)

        def call() -> None:
            with suppress(SystemExit):
                main(words.format(folder).split())

        return folder / name, call

    return entry


def _split(path: Path) -> None:
    table = pd.DataFrame({"id": list("abcd"), "label": 0, "lesion": ""})
    grouped_split(table, fractions=[0.5, 0.5]).save(path)


ENTRIES: dict[str, Callable[[Path], Entry]] = {
    "read_image": _read(read_image, "a.png"),
    "read_mask": _read(read_mask, "a.png"),
    "read_hdf5": _read(lambda path: read_hdf5(hdf5_path(path, "a")), "a.h5"),
    "read_table": _read(read_table, "a.csv"),
    "load_split": _read(lambda path: load_split(path, pd.DataFrame({"id": ["a"]})), "a.csv"),
    "weights": _read(lambda path: build_model("alexnet", num_classes=8, weights=path), "a.pt"),
    "safetensors": _read(
        lambda path: build_model("alexnet", num_classes=8, weights=path), "a.safetensors"
    ),
    "Trainer.load": _loaded,
    "dataset image": _dataset("image_path"),
    "dataset mask": _dataset("mask_path"),
    "challenge table": _challenge("metadataTrain.csv"),
    "challenge lesions": _challenge("lesion_ids.csv"),
    "contact sheet": _sheet,
    "feature cache": _cached,
    **{f"store {name}": _store(name) for name in ("store.json", "index.csv", "images.npy")},
    **{
        f"{job} {name}": _job(job, name)
        for job, names in {
            "prepare": (
                "in/a.png",
                "masks/a.png",
                "run.jsonl",
                LOCK,
                "store.json",
                "masks.npy",
            ),
            "hair": (
                "in/a.png",
                "hair.jsonl",
                LOCK,
                "hair.csv",
                "a.png",
                "./masks/a.png",
            ),
            "segment": ("in/a.png", "segment.jsonl", LOCK, "segment.csv", "a.png"),
            "artifacts": ("artifacts.jsonl", LOCK),
            "offline": ("run.jsonl", LOCK, "manifest.csv", "a_aug1.png"),
        }.items()
        for name in names
    },
    **{f"run {name}": _trained(name) for name in ("last.ckpt", "best.pt", "history.csv", LOCK)},
    "write_image": _write(lambda path: write_image(path, IMAGE), "a.png"),
    "write_mask": _write(lambda path: write_mask(path, IMAGE[..., 0] > 0), "a.png"),
    "write_submission": _write(lambda path: write_submission(path, ["a"], [1]), "a.csv"),
    "save_figure": _write(lambda path: save_figure(plot_samples([IMAGE]), path), "a.png"),
    "Split.save": _write(_split, "a.csv"),
    "Report.save": _write(
        lambda path: audit({"train": pd.DataFrame({"id": ["a"], "label": [0]})}).save(path),
        "a.json",
    ),
    "Trainer.save": _write(lambda path: trainer().save(path), "a.pt"),
    "score --groups": _command("score {0}/t.csv {0}/t.csv --groups {0}/a.csv", "a.csv"),
    "compare FILE": _command("compare {0}/t.csv {0}/a.csv --truth {0}/t.csv", "a.csv"),
    "audit TRAIN": _command("audit {0}/a.csv", "a.csv"),
    "audit --json": _command("audit {0}/t.csv --json {0}/a.json", "a.json"),
    "prepare IN": _command("prepare {0}/in {0}/out --image-size 8", "in"),
    "hair --contact-sheet": _command("hair {0}/in {0}/out --contact-sheet {0}/a.png", "a.png"),
}
# Here a folder may hold images
FOLDERS = ("prepare in/a.png", "hair in/a.png", "segment in/a.png", "prepare IN", "audit TRAIN")
CASES = [
    (name, kind)
    for name in ENTRIES
    for kind in KINDS
    if (name, kind) not in {(name, "folder") for name in FOLDERS}
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_not_a_file_is_named_at_once(
    name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    path, call = ENTRIES[name](tmp_path)
    if path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    put(kind, path)
    words = ""

    with at_once(LIMIT):
        try:
            call()
        except (OSError, ValueError) as error:
            words = str(error)
    words += capsys.readouterr().err

    no_file = kind == "link to nowhere" and "No such file" in words
    assert "xpected " in words or no_file, words
    assert path.name in words or os.path.realpath(path) in words
    assert os.path.lexists(path)
    assert path.is_symlink() or not path.is_file()

"""Folders to stores: the same bytes however they are made, every interruption, every refusal."""

import csv
import errno
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import cv2
import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

import killing
from dermolib import crop_border, occlusion_removal, prepare, shades_of_gray
from dermolib._jobs import exclusive_lock
from dermolib._validation import DatasetNotFoundError, Image
from dermolib.datasets.store import PreparedStore, is_store, load_image
from dermolib.datasets.synthetic import draw_hair
from dermolib.io import (
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    whole_file,
    write_image,
    write_mask,
)
from dermolib.preprocessing import prepare_block as preparing
from dermolib.preprocessing.border import Box
from dermolib.preprocessing.packing import RECORD, RECORDS, Packing, RowWriter
from dermolib.preprocessing.steps import Pipeline
from drawing import noise_image

FILES = ["a.jpg", "b.png", "scan.tif", "sub/c.PNG", "sub/deep/d.bmp"]
IDS = ["a", "b", "scan", "c", "d"]
LUV = partial(occlusion_removal, method="luv")
STEPS = ["crop_border", LUV, "shades_of_gray"]
SAME = "Expected `destination` to be a new folder or that of the same run, but got "


@dataclass
class Snapshot:
    """Files of a folder by path, and when and as what each was written."""

    data: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, tuple[int, int]] = field(default_factory=dict)


def snapshot(folder: Path) -> Snapshot:
    paths = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return Snapshot(
        {name: path.read_bytes() for name, path in paths.items()},
        {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in paths.items()},
    )


def framed(seed: int, height: int = 60, width: int = 70) -> Image:
    """Draw reddish skin with a hair in a dark frame."""
    shade = np.random.default_rng(seed).integers(0, 9, (height, width, 1))
    image: Image = (shade + np.array([200, 150, 130])).astype(np.uint8)
    image[:, width // 2] = 40
    image[: 5 + seed] = image[-4:] = 2
    image[:, :7] = 2
    return image


def write_any(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write five images of several sizes in five formats, and masks beside their folder."""
    for seed, (file, name) in enumerate(zip(FILES, IDS, strict=True)):
        write_any(tmp_path / "in" / file, framed(seed, height=50 + seed))
        mask = np.random.default_rng(seed).random((50 + seed, 70)) < 0.5
        write_mask(tmp_path / "masks" / f"{name}_seg.png", mask)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / ".a.jpg").write_text("left by a system")
    return tmp_path / "in"


def run(source: Path, destination: Path, **options: Any) -> PreparedStore:
    """Prepare without a progress bar, by steps that leave no pixel alone and take little time."""
    steps = ["crop_border", "shades_of_gray"]
    given_options: dict[str, Any] = {"steps": steps, "image_size": (12, 16), "progress": False}
    return prepare(source, destination, **{**given_options, **options})


def failed(folder: Path) -> dict[str, str]:
    with (folder / "failed.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["error"] for row in csv.DictReader(file)}


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note the names of the images that are read."""
    names: list[str] = []

    def read(path: Path) -> Image:
        names.append(path.name)
        return read_image(path)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "read_image", read)
        yield names


def test_a_row_is_the_image_after_its_steps_resized(source: Path, tmp_path: Path) -> None:
    before = snapshot(source)

    store = run(source, tmp_path / "out", steps=STEPS)

    assert store.ids.tolist() == IDS
    assert store.files.tolist() == FILES
    for number, file in enumerate(FILES):
        by_hand = read_image(source / file)
        for function in (crop_border, LUV, shades_of_gray):
            by_hand = function(by_hand)
        np.testing.assert_array_equal(store.image(number), resize_image(by_hand, (12, 16)))
    assert snapshot(source) == before


@settings(max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_an_image_of_any_size_fills_a_row_of_any_size(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    size: tuple[int, int],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    image = noise_image(height, width, seed)
    write_image(folder / "in" / "a.png", image)
    write_mask(folder / "in" / "a_seg.png", image[..., 0] > 99)

    store = run(folder / "in", folder / "out", steps=[], image_size=size, masks=folder / "in")

    np.testing.assert_array_equal(store["a"], resize_image(image, size))
    np.testing.assert_array_equal(store.mask(0), resize_mask(image[..., 0] > 99, size))


def test_one_number_is_height_and_width(source: Path, tmp_path: Path) -> None:
    assert run(source, tmp_path / "one", image_size=np.int64(9)).image_size == (9, 9)
    assert run(source, tmp_path / "two", image_size=[9, 11]).images.shape == (5, 9, 11, 3)


def test_masks_are_cut_and_resized_like_their_images(source: Path, tmp_path: Path) -> None:
    store = run(source, tmp_path / "out", masks=tmp_path / "masks")

    for number, (file, name) in enumerate(zip(FILES, IDS, strict=True)):
        box = Box(*(int(store.column(side)[number]) for side in Box._fields))
        image = read_image(source / file)
        np.testing.assert_array_equal(box.crop(image), crop_border(image))
        assert box.shape != image.shape[:2]
        mask = read_mask(tmp_path / "masks" / f"{name}_seg.png")
        np.testing.assert_array_equal(store.mask(number), resize_mask(box.crop(mask), (12, 16)))
    assert store.has_masks


def test_the_index_says_what_the_steps_did(source: Path, tmp_path: Path) -> None:
    store = run(source, tmp_path / "out", steps=STEPS, masks=tmp_path / "masks")

    assert store.column("height").tolist() == [50, 51, 52, 53, 54]
    assert store.column("width").tolist() == [70] * 5
    for number, file in enumerate(FILES):
        cropped = crop_border(read_image(source / file))
        _, hair = occlusion_removal(cropped, method="luv", return_mask=True)
        assert hair.any()
        assert store.column("share_masked")[number] == hair.mean()
        found = (source / file).stat()
        assert store.column("size")[number] == found.st_size
        assert store.column("modified")[number] == found.st_mtime_ns
        mask = (tmp_path / "masks" / f"{IDS[number]}_seg.png").stat()
        assert store.column("mask_size")[number] == mask.st_size
        assert store.column("mask_modified")[number] == mask.st_mtime_ns


@pytest.mark.parametrize(
    "names",
    [
        ["{}_seg.png", "{}_segmentation.png", "{}.png"],
        ["{}_segmentation.png", "{}.png"],
        ["{}.png"],
        ["sub/{}_seg.png", "{}_seg.png"],
        ["sub/{}.png", "{}_seg.png"],
    ],
)
def test_a_mask_is_looked_for_beside_its_image_and_under_the_names_of_the_challenges(
    tmp_path: Path, names: list[str]
) -> None:
    write_image(tmp_path / "in" / "sub" / "x.jpg", noise_image(8, 8, 0))
    for number, name in enumerate(names):
        mask = np.zeros((8, 8), np.bool_)
        mask[number] = True
        write_mask(tmp_path / "masks" / name.format("x"), mask)

    store = run(tmp_path / "in", tmp_path / "out", steps=[], image_size=8, masks=tmp_path / "masks")

    assert store.mask(0)[0].all()


def test_an_image_is_not_its_own_mask(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "x.png", noise_image(8, 8, 0))

    with pytest.raises(ValueError, match=r"to be a folder with the mask of x\.png, but got none"):
        run(tmp_path / "in", tmp_path / "out", masks=tmp_path / "in")


def test_images_of_the_real_kind_keep_what_hair_removal_does(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    skin = np.full((96, 128, 3), (205, 165, 150), np.uint8)
    for name in "ab":
        image = draw_hair(skin, density=0.08, generator=generator)[0]
        write_image(tmp_path / "in" / f"{name}.png", image)

    store = run(tmp_path / "in", tmp_path / "out", steps=["occlusion_removal"], image_size=64)

    for name in "ab":
        clean = occlusion_removal(read_image(tmp_path / "in" / f"{name}.png"))
        np.testing.assert_array_equal(store[name], resize_image(clean, (64, 64)))


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_any_number_of_workers_on_any_backend_writes_the_same_bytes(
    source: Path, tmp_path: Path, backend: str
) -> None:
    (source / "broken.jpg").write_bytes(b"")
    options: dict[str, Any] = {"masks": tmp_path / "masks", "errors": "skip", "steps": STEPS}
    run(source, tmp_path / "one", **options)

    with joblib.parallel_config(backend=backend):
        run(source, tmp_path / "two", workers=2, **options)

    assert snapshot(tmp_path / "two").data == snapshot(tmp_path / "one").data


def test_many_images_go_to_workers_in_blocks_that_lose_none(tmp_path: Path) -> None:
    for number in range(300):
        write_image(tmp_path / "in" / f"{number:03}.png", noise_image(2, 2, number))
    options: dict[str, Any] = {"steps": [], "image_size": 2}

    one = run(tmp_path / "in", tmp_path / "one", **options)
    with joblib.parallel_config(backend="threading"):
        run(tmp_path / "in", tmp_path / "three", workers=3, **options)

    assert snapshot(tmp_path / "three").data == snapshot(tmp_path / "one").data
    for number in range(0, 300, 7):
        np.testing.assert_array_equal(one.image(number), noise_image(2, 2, number))


def test_workers_leave_ctrl_c_to_the_process_that_runs_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LokyProcess:
        """Stands for a worker process of joblib."""

    here = Packing(tmp_path, 1, (4, 4), masks=False)
    here.create()
    handlers: list[tuple[Any, Any]] = []
    monkeypatch.setattr(multiprocessing, "current_process", LokyProcess)
    monkeypatch.setattr(signal, "signal", lambda *given: handlers.append(given))

    preparing.prepare_block([(0, "a.jpg")], preparing.Preparing(source, None, Pipeline([]), here))

    assert handlers == [(signal.SIGINT, signal.SIG_IGN)]


def test_opencv_keeps_its_threads(source: Path, tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        run(source, tmp_path / "out")
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_runs_that_are_killed_anywhere_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    for seed, file in enumerate(["a.png", "b.jpg", "sub/c.png"]):
        write_image(tmp_path / "in" / file, noise_image(20 + seed, 30, seed))
        write_mask(
            tmp_path / "masks" / f"{Path(file).stem}.png", np.ones((20 + seed, 30), np.bool_)
        )
    (tmp_path / "out").mkdir()
    folders = [str(tmp_path / name) for name in ("in", "masks", "out")]

    result = subprocess.run(  # noqa: S603 - this interpreter, our code
        [sys.executable, killing.__file__, *folders], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    points = json.loads(result.stdout)
    assert points["fresh"] > 40
    assert points["finished"] == points["half"] == killing.UNTIL_ROWS


def test_a_finished_store_is_returned_at_once_and_not_touched(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    first = run(source, tmp_path / "out", **options)
    before = snapshot(tmp_path / "out")

    with counted(monkeypatch) as read:
        again = run(source, tmp_path / "out", **options)
        run(source, tmp_path / "out", overwrite=True, workers=2, errors="skip", **options)

    assert read == []
    assert snapshot(tmp_path / "out") == before
    assert again.path == first.path
    np.testing.assert_array_equal(again.images, first.images)


def test_a_store_of_a_source_that_was_moved_is_the_same(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out", masks=tmp_path / "masks")
    before = snapshot(tmp_path / "out")
    source.rename(tmp_path / "elsewhere")
    (tmp_path / "masks").rename(tmp_path / "others")
    (tmp_path / "out").rename(tmp_path / "moved")

    run(tmp_path / "elsewhere", tmp_path / "moved", masks=tmp_path / "others")

    assert snapshot(tmp_path / "moved") == before


def interrupt(
    source: Path,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: str = "c.PNG",
    **options: Any,
) -> None:
    """Begin a run that is stopped where an image is read, as by Ctrl-C."""

    def read(path: Path) -> Image:
        if path.name == at:
            raise KeyboardInterrupt
        return read_image(path)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "read_image", read)
        with pytest.raises(KeyboardInterrupt):
            run(source, destination, **options)


def test_a_run_that_was_stopped_does_the_rest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    run(source, tmp_path / "whole", **options)
    interrupt(source, tmp_path / "out", monkeypatch, **options)
    assert sorted(snapshot(tmp_path / "out").data) == [
        "images.npy", "masks.npy", "records.npy", "run.json",
    ]  # fmt: skip

    with counted(monkeypatch) as read:
        run(source, tmp_path / "out", **options)

    assert read == ["c.PNG", "d.bmp"]
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "whole").data


def touch_image(source: Path, _: Path) -> None:
    os.utime(source / "b.png", ns=(1, 1))


def change_image(source: Path, _: Path) -> None:
    found = (source / "b.png").stat()
    write_image(source / "b.png", framed(7, height=51))
    os.utime(source / "b.png", ns=(found.st_mtime_ns, found.st_mtime_ns))


def change_mask(_: Path, masks: Path) -> None:
    write_mask(masks / "b_seg.png", np.ones((51, 70), np.bool_))


def move_mask(_: Path, masks: Path) -> None:
    write_mask(masks / "b.png", np.ones((51, 70), np.bool_))
    (masks / "b_seg.png").unlink()


CHANGES = [touch_image, change_image, change_mask, move_mask]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_while_a_run_has_not_ended_is_done_again(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, Path], None],
) -> None:
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    interrupt(source, tmp_path / "out", monkeypatch, **options)
    change(source, tmp_path / "masks")

    with counted(monkeypatch) as read:
        run(source, tmp_path / "out", **options)

    assert read == ["b.png", "c.PNG", "d.bmp"]
    run(source, tmp_path / "fresh", **options)
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "fresh").data


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_since_a_store_was_done_is_named_and_made_anew_on_request(
    source: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    run(source, tmp_path / "out", **options)
    before = snapshot(tmp_path / "out")
    change(source, tmp_path / "masks")
    sentence = (
        "Expected `destination` to be the store of a source that has not changed, but got "
        f"{tmp_path / 'out'}, since when 1 images or masks did (b.png). Pass `overwrite` to make "
        "it anew."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", **options)
    assert snapshot(tmp_path / "out") == before

    run(source, tmp_path / "out", overwrite=True, **options)

    run(source, tmp_path / "fresh", **options)
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "fresh").data


def test_a_row_whose_image_broke_is_not_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(source, tmp_path / "out", monkeypatch)
    (source / "b.png").write_bytes(b"")

    store = run(source, tmp_path / "out", errors="skip")

    assert store.ids.tolist() == ["a", "scan", "c", "d"]
    assert list(failed(tmp_path / "out")) == ["b.png"]


def test_a_row_that_was_begun_again_is_not_taken_for_done(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(source, tmp_path / "out", monkeypatch)
    data, found = (source / "a.jpg").read_bytes(), (source / "a.jpg").stat()
    write_image(source / "a.jpg", framed(9))
    put = RowWriter._put

    def half(writer: RowWriter, name: str, row: int, values: Any) -> None:
        put(writer, name, row, values)
        if name == "images.npy":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RowWriter, "_put", half)
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path / "out")
    (source / "a.jpg").write_bytes(data)
    os.utime(source / "a.jpg", ns=(found.st_mtime_ns, found.st_mtime_ns))

    run(source, tmp_path / "out")

    run(source, tmp_path / "fresh")
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "fresh").data


@pytest.mark.parametrize("name", ["records.npy", "images.npy", "masks.npy"])
@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_files_that_were_cut_are_made_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    run(source, tmp_path / "whole", **options)
    interrupt(source, tmp_path / "out", monkeypatch, **options)
    (tmp_path / "out" / name).write_bytes((tmp_path / "out" / name).read_bytes()[:size])

    run(source, tmp_path / "out", **options)

    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "whole").data


@pytest.mark.parametrize("other", [np.zeros(5), np.zeros(4, RECORD)])
def test_records_of_other_rows_are_made_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    run(source, tmp_path / "whole")
    interrupt(source, tmp_path / "out", monkeypatch)
    np.save(tmp_path / "out" / RECORDS, other)

    run(source, tmp_path / "out")

    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "whole").data


def test_a_run_json_that_was_cut_is_that_of_nobody(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(source, tmp_path / "out", monkeypatch)
    path = tmp_path / "out" / "run.json"
    path.write_bytes(path.read_bytes()[:-9])
    before = snapshot(tmp_path / "out")
    sentence = (
        f"Expected `destination` to be an empty folder or that of a store, but got "
        f"{tmp_path / 'out'} with other files (images.npy, records.npy, run.json). Choose a new "
        "folder: nothing that exists is written over."
    )
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            run(source, tmp_path / "out", overwrite=overwrite)
    assert snapshot(tmp_path / "out") == before


def test_halves_of_a_killed_run_are_cleared_and_other_hidden_files_stay(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = [".index-0123456789ab.txt", ".other-0123456789ab.csv", ".DS_Store"]
    for name in (*kept, ".index-0123456789ab.csv", ".run-0123456789ab.json"):
        (out / name).write_bytes(b"half")

    run(source, out)

    hidden = {name for name in snapshot(out).data if name.startswith(".")}
    assert hidden == set(kept)


def test_a_store_that_was_killed_as_it_was_done_is_cleared_up(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    (tmp_path / "out" / "run.json").write_bytes(b"left")
    (tmp_path / "out" / RECORDS).write_bytes(b"left")

    run(source, tmp_path / "out")

    assert snapshot(tmp_path / "out") == before


def more_files(source: Path) -> None:
    write_image(source / "new.png", framed(1))


def fewer_files(source: Path) -> None:
    (source / "b.png").unlink()


def renamed_file(source: Path) -> None:
    (source / "b.png").rename(source / "bb.png")


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        (more_files, r"images 5 there, 6 here, names '\w{16}' there, '\w{16}' here"),
        (fewer_files, r"images 5 there, 4 here, names '\w{16}' there, '\w{16}' here"),
        (renamed_file, r"names '\w{16}' there, '\w{16}' here"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_other_files_are_another_run(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    differ: str,
    done: bool,
) -> None:
    if done:
        run(source, tmp_path / "out")
    else:
        interrupt(source, tmp_path / "out", monkeypatch)
    before = snapshot(tmp_path / "out")
    change(source)
    start = re.escape(f"{SAME}{tmp_path / 'out'} of another one (")
    rest = re.escape("). Choose another folder, or `overwrite` to make this one anew.")
    with pytest.raises(ValueError, match=f"^{start}{differ}{rest}$"):
        run(source, tmp_path / "out")
    assert snapshot(tmp_path / "out") == before

    run(source, tmp_path / "out", overwrite=True)

    run(source, tmp_path / "fresh")
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "fresh").data


@pytest.mark.parametrize(
    ("options", "differ"),
    [
        ({"image_size": 16}, "image_size [12, 16] there, [16, 16] here"),
        ({"masks": "masks"}, "masks False there, True here"),
        (
            {"steps": []},
            "steps [{'options': {'p': 6.0}, 'step': 'shades_of_gray'}] there, [] here",
        ),
        (
            {"steps": [partial(shades_of_gray, p=math.inf)]},
            "steps [{'options': {'p': 6.0}, 'step': 'shades_of_gray'}] there, [{'step': "
            "'shades_of_gray', 'options': {'p': 'inf'}}] here",
        ),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_other_settings_are_refused_until_everything_is_made_anew(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    differ: str,
    done: bool,
) -> None:
    first: dict[str, Any] = {"steps": ["shades_of_gray"]}
    options = {**first, **options}
    if "masks" in options:
        options["masks"] = tmp_path / "masks"
    if done:
        run(source, tmp_path / "out", **first)
    else:
        interrupt(source, tmp_path / "out", monkeypatch, **first)
    before = snapshot(tmp_path / "out")
    sentence = (
        f"{SAME}{tmp_path / 'out'} of another one ({differ}). Choose another folder, or "
        "`overwrite` to make this one anew."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", **options)
    assert snapshot(tmp_path / "out") == before

    run(source, tmp_path / "out", overwrite=True, **options)

    run(source, tmp_path / "fresh", **options)
    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "fresh").data


def test_another_version_is_another_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "out")
    monkeypatch.setattr(cv2, "__version__", "0.0.0")

    with pytest.raises(ValueError, match=r"versions \{.*\} there, \{.*'opencv': '0\.0\.0'.*here"):
        run(source, tmp_path / "out")


def test_a_store_of_another_format_is_another_run(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    path = tmp_path / "out" / "store.json"
    path.write_text(path.read_text().replace("dermolib-store-1", "dermolib-store-0"))

    with pytest.raises(
        ValueError, match=r"\(format 'dermolib-store-0' there, 'dermolib-store-1' here\)"
    ):
        run(source, tmp_path / "out")
    assert len(run(source, tmp_path / "out", overwrite=True)) == 5


@pytest.mark.parametrize("name", ["images.npy", "index.csv"])
def test_a_damaged_store_is_refused_and_made_anew_on_request(
    source: Path, tmp_path: Path, name: str
) -> None:
    run(source, tmp_path / "out")
    before = snapshot(tmp_path / "out").data
    for damage in (b"", None):
        path = tmp_path / "out" / name
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises((ValueError, FileNotFoundError), match=f"{name}` to "):
            run(source, tmp_path / "out")

        run(source, tmp_path / "out", overwrite=True)

        assert snapshot(tmp_path / "out").data == before


def test_a_foreign_folder_is_refused_and_not_touched(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for name in ("notes.txt", "images.npy", ".index-0123456789ab.csv"):
        (out / name).write_text("precious")
    before = snapshot(out)
    sentence = (
        f"Expected `destination` to be an empty folder or that of a store, but got {out} with "
        "other files (images.npy, notes.txt, sub). Choose a new folder: nothing that exists is "
        "written over."
    )
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            run(source, out, overwrite=overwrite)
    assert snapshot(out) == before
    assert (out / "sub").is_dir()


@pytest.mark.parametrize("name", ["store.json", "run.json", "index.csv", "failed.csv"])
@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"run": 3}', '{"format": "other-1"}', "a,b\n"])
def test_files_named_like_ours_are_not_ours(
    source: Path, tmp_path: Path, name: str, text: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(text)
    (out / "images.npy").write_text("precious")

    with pytest.raises(ValueError, match=rf"with other files \(.*{re.escape(name)}.*\)\. Choose"):
        run(source, out, overwrite=True)

    assert snapshot(out).data == {name: text.encode(), "images.npy": b"precious"}


@pytest.mark.parametrize("name", ["store.json", "run.json"])
def test_a_folder_named_like_a_file_of_ours_is_not_ours(
    source: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)

    with pytest.raises(ValueError, match=rf"with other files \({re.escape(name)}\)"):
        run(source, tmp_path / "out", overwrite=True)


def test_another_file_beside_a_store_is_refused_and_not_touched(
    source: Path, tmp_path: Path
) -> None:
    run(source, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("precious")
    before = snapshot(tmp_path / "out")

    with pytest.raises(ValueError, match=r"with other files \(notes\.txt\)"):
        run(source, tmp_path / "out", overwrite=True, image_size=3)

    assert snapshot(tmp_path / "out") == before


def test_a_second_run_on_the_same_destination_is_told(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sentence = (
        f"Expected `destination` to be a folder that no other run is working on, but got {out} of "
        "one. Wait for that run to end, or stop it; then the same call continues its work."
    )
    with exclusive_lock(out):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            run(source, out)
        assert sorted(snapshot(out).data) == [".lock"]

    assert len(run(source, out)) == 5


def full_sentence(out: Path) -> str:
    return (
        f"Expected `destination` to be on a disk with room ({out}), but got No space left on "
        "device. Free some space and call again: what is finished is kept."
    )


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_disk_too_small_is_told_before_anything_is_prepared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {"masks": tmp_path / "masks"}
    calls = iter(range(call))
    reserve = os.posix_fallocate

    def full(descriptor: int, offset: int, size: int) -> None:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(descriptor, offset, size)

    with monkeypatch.context() as patch, counted(monkeypatch) as read:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match=f"{re.escape(full_sentence(out))}$") as raised:
            run(source, out, **options)

    assert raised.value.errno == errno.ENOSPC
    assert read == []
    assert list(snapshot(out).data) == ["run.json"]  # nothing that takes room
    run(source, out, **options)
    run(source, tmp_path / "whole", **options)
    assert snapshot(out).data == snapshot(tmp_path / "whole").data


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_system_that_reserves_nothing_gets_its_store_all_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    run(source, tmp_path / "whole")

    def unable(*_: int) -> None:
        raise OSError(number, "not here")

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", unable)
    run(source, tmp_path / "out")

    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "whole").data


class Stingy:
    """A file on a disk that takes few bytes at a time, and none any more when there is no room."""

    def __init__(self, file: IO[bytes], room: list[int]) -> None:
        self._file = file
        self._room = room

    def write(self, data: memoryview) -> int:
        taken = min(len(data), 100, self._room[0])
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room[0] -= taken
        return self._file.write(data[:taken])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def stingy(room: int) -> Callable[..., Any]:
    """Make what opens the files of a store, of which that of the images has little room."""
    writer = Packing.writer
    left = [room]

    @contextmanager
    def opened(packing: Packing) -> Iterator[RowWriter]:
        with writer(packing) as plain:
            files: dict[str, Any] = dict(plain._files)
            files["images.npy"] = Stingy(files["images.npy"], left)
            for file in files.values():
                file.seek(0)
            yield RowWriter(files)

    return opened


ROW = 12 * 16 * 3


@pytest.mark.parametrize("room", [0, ROW - 1, ROW, 2 * ROW + 50])
@pytest.mark.parametrize("backend", ["sequential", "threading", "multiprocessing"])
def test_a_disk_that_fills_ends_the_run_and_the_next_one_ends_with_the_same_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, backend: str
) -> None:
    out = tmp_path / "out"
    run(source, tmp_path / "whole")
    workers = 1 if backend == "sequential" else 2
    with monkeypatch.context() as patch, joblib.parallel_config(backend=backend):
        patch.setattr(Packing, "writer", stingy(room))
        with pytest.raises(OSError, match=f"{re.escape(full_sentence(out))}$"):
            run(source, out, workers=workers)
    done = int(np.load(out / RECORDS)["done"].sum())
    assert done == room // ROW or (workers == 2 and done < 5)  # each worker has that room

    with counted(monkeypatch) as read:
        run(source, out)

    assert len(read) == 5 - done
    assert snapshot(out).data == snapshot(tmp_path / "whole").data


def test_nothing_more_is_begun_where_a_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        write_image(tmp_path / "in" / f"{number}.png", noise_image(12, 16, number))
    monkeypatch.setattr(Packing, "writer", stingy(2 * ROW))

    with counted(monkeypatch) as read, pytest.raises(OSError, match="No space left"):
        run(tmp_path / "in", tmp_path / "out", steps=[])

    assert len(read) == 3


def test_writes_that_take_a_part_are_gone_on_with(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "whole", masks=tmp_path / "masks")
    monkeypatch.setattr(Packing, "writer", stingy(1 << 30))

    run(source, tmp_path / "out", masks=tmp_path / "masks")

    assert snapshot(tmp_path / "out").data == snapshot(tmp_path / "whole").data


@pytest.mark.parametrize("name", ["index.csv", "store.json", "failed.csv"])
def test_a_disk_that_fills_at_the_end_loses_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (source / "broken.jpg").write_bytes(b"")
    run(source, tmp_path / "whole", errors="skip")
    out = tmp_path / "out"

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        with whole_file(path) as temporary:
            yield temporary

    with monkeypatch.context() as patch:
        for module in ("packing", "preparation"):
            patch.setattr(f"dermolib.preprocessing.{module}.whole_file", full)
        with pytest.raises(OSError, match=re.escape(full_sentence(out))):
            run(source, out, errors="skip")

    with counted(monkeypatch) as read:
        run(source, out, errors="skip")

    assert read == ["broken.jpg"]
    assert snapshot(out).data == snapshot(tmp_path / "whole").data


def write_broken(source: Path, masks: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Add files that cannot be prepared, and say why by name."""
    (source / "empty.png").write_bytes(b"")
    (source / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (source / "cut.jpg").write_bytes((source / "a.jpg").read_bytes()[:600])
    (source / "link.png").symlink_to(source / "nothing.png")
    for name in ("alone", "small", "ones", "locked", "huge", "odd"):
        write_image(source / "sub" / f"{name}.png", framed(0))
        write_mask(masks / f"{name}_seg.png", np.ones((60, 70), np.bool_))
    (masks / "alone_seg.png").unlink()
    write_mask(masks / "small_seg.png", np.ones((3, 3), np.bool_))
    write_any(masks / "ones_seg.png", np.ones((60, 70, 3), np.uint8))

    def read(path: Path) -> Image:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied", str(path))
        if path.name == "huge.png":
            raise MemoryError
        if path.name == "odd.png":
            raise RuntimeError("two\n  lines")
        return read_image(path)

    monkeypatch.setattr(preparing, "read_image", read)
    return {
        "cut.jpg": r"Expected `cut\.jpg` to be a readable image file, but got .*",
        "empty.png": r"Expected `empty\.png` to be an image file, but got 0 bytes that no .*",
        "link.png": r"\[Errno 2\] No such file or directory: 'link\.png'",
        "page.jpg": r"Expected `page\.jpg` to be an image file, but got 28 bytes that no .*",
        "sub/alone.png": r"Expected `masks` to be a folder with the mask of sub/alone\.png, but "
        r"got none\. Name it one of alone_seg\.png, alone_segmentation\.png, alone\.png\.",
        "sub/huge.png": "MemoryError",
        "sub/locked.png": r"\[Errno 13\] Permission denied: 'sub/locked\.png'",
        "sub/odd.png": "RuntimeError: two lines",
        "sub/ones.png": r"Expected `.*ones_seg\.png` to be a mask of 0 and 255, but got values up "
        r"to 1 alone\. Multiply the values of a mask of 0 and 1 by 255\.",
        "sub/small.png": r"Expected `.*small_seg\.png` to be a mask of size \(60, 70\), but got "
        r"\(3, 3\)\. A mask must have the size of its image\.",
    }


def test_images_that_cannot_be_prepared_are_listed_after_all_others_are_done(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, masks = tmp_path / "out", tmp_path / "masks"
    with monkeypatch.context() as patch:
        reasons = write_broken(source, masks, patch)
        first = [*reasons][:3]
        with pytest.raises(ValueError, match="10 that cannot be prepared") as raised:
            run(source, out, masks=masks)
    words = failed(out)

    assert list(words) == sorted(reasons)
    for file, reason in words.items():
        assert re.fullmatch(reasons[file], reason), reason
    shown = "; ".join(f"{file}: {words[file]}" for file in first)
    assert str(raised.value) == (
        "Expected `source` to be a folder of images that can be prepared, but got 10 that cannot "
        f"be prepared ({shown}; {out / 'failed.csv'} names all). Mend these files and call again, "
        'or pass `errors="skip"` to do without.'
    )
    assert is_store(out)
    for file in reasons:
        (source / file).unlink()
        write_image(source / file, framed(3))
        write_mask(masks / f"{Path(file).stem}_seg.png", np.ones((60, 70), np.bool_))

    with counted(monkeypatch) as read:
        store = run(source, out, masks=masks)

    assert sorted(read) == sorted(Path(file).name for file in reasons)
    assert len(store) == 15
    assert not (out / "failed.csv").exists()
    run(source, tmp_path / "fresh", masks=masks)
    assert snapshot(out).data == snapshot(tmp_path / "fresh").data


def test_a_store_can_do_without_what_cannot_be_prepared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, masks = tmp_path / "out", tmp_path / "masks"
    with monkeypatch.context() as patch:
        reasons = write_broken(source, masks, patch)
        store = run(source, out, masks=masks, errors="skip")

    assert list(failed(out)) == sorted(reasons)
    assert store.ids.tolist() == IDS
    assert store.files.tolist() == FILES
    assert len(store.images) == 15
    everything = sorted([*FILES, *reasons])
    assert store.row_numbers.tolist() == [everything.index(file) for file in FILES]
    alone = run(source, tmp_path / "alone", masks=masks, exclude=[Path(f).name for f in reasons])
    for number, name in enumerate(IDS):
        np.testing.assert_array_equal(store[name], alone[name])
        np.testing.assert_array_equal(load_image(store.image_path(number)), alone[name])
        np.testing.assert_array_equal(store.mask(number), alone.mask(number))
    assert run(source, out, masks=masks, errors="skip").ids.tolist() == IDS


def test_a_store_that_does_without_images_is_refused_where_all_are_wanted(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (source / "empty.png").write_bytes(b"")
    run(source, out, errors="skip")
    before = snapshot(out)
    sentence = (
        "Expected `source` to be a folder of images that can be prepared, but got 1 that cannot "
        f"be prepared (empty.png: {failed(out)['empty.png']}). Mend these files and `overwrite`, "
        'or pass `errors="skip"` to do without.'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, out)
    assert snapshot(out) == before
    write_image(source / "empty.png", framed(2))

    store = run(source, out, overwrite=True)

    assert store.ids.tolist() == ["a", "b", "empty", "scan", "c", "d"]
    run(source, tmp_path / "fresh")
    assert snapshot(out).data == snapshot(tmp_path / "fresh").data


def test_a_run_that_failed_can_be_finished_without_what_failed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match="but got 1 that cannot be prepared"):
        run(source, tmp_path / "out")

    with counted(monkeypatch) as read:
        store = run(source, tmp_path / "out", errors="skip")

    assert read == ["empty.png"]
    assert len(store) == 5


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_a_folder_of_which_nothing_can_be_prepared_makes_no_store(
    tmp_path: Path, errors: str
) -> None:
    for name in "ab":
        (tmp_path / f"in_{name}.png").write_bytes(b"")
    remedy = {
        "raise": 'Mend these files and call again, or pass `errors="skip"` to do without.',
        "skip": "There is nothing to prepare.",
    }
    start = "Expected `source` to be a folder of images that can be prepared, but got 2 that "
    with pytest.raises(ValueError, match=f"^{re.escape(start)}.*{re.escape(remedy[errors])}$"):
        run(tmp_path, tmp_path / "out", errors=errors)
    with pytest.raises(ValueError, match="a store that is done"):
        PreparedStore(tmp_path / "out")


def choosy(image: Image) -> Image:
    if image.shape[0] == 52:
        raise ZeroDivisionError("division by zero")
    return image[: image.shape[0] - image.shape[0] % 2]


def test_a_step_that_fails_on_an_image_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="but got 3 that cannot be prepared"):
        run(source, tmp_path / "out", steps=[choosy], masks=tmp_path / "masks")

    assert failed(tmp_path / "out") == {
        "b.png": f"Expected `{__name__}:choosy` to be a step that keeps the size (51, 70), since "
        "there is a mask, but got (50, 70). Of the steps that cut, `crop_border` alone can cut a "
        "mask as well.",
        "scan.tif": f"Expected `{__name__}:choosy` to be a step that can take an image of 52 x 70 "
        "px, but got ZeroDivisionError: division by zero.",
        "sub/c.PNG": f"Expected `{__name__}:choosy` to be a step that keeps the size (53, 70), "
        "since there is a mask, but got (52, 70). Of the steps that cut, `crop_border` alone can "
        "cut a mask as well.",
    }


def halved(image: Image) -> Image:
    return np.ascontiguousarray(image[::2])


def test_a_step_that_cannot_keep_masks_is_refused_before_anything_is_prepared(
    source: Path, tmp_path: Path
) -> None:
    sentence = (
        f"Expected `{__name__}:halved` to be a step that keeps the size (256, 256), since there is "
        "a mask, but got (128, 256). Of the steps that cut, `crop_border` alone can cut a mask as "
        "well."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", steps=[halved], masks=tmp_path / "masks")
    assert not (tmp_path / "out").exists()
    assert len(run(source, tmp_path / "out", steps=[halved])) == 5


def test_one_image_is_enough(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", framed(0))

    store = run(tmp_path / "in", tmp_path / "out", workers=3)

    assert store.ids.tolist() == ["a"]


def test_the_smallest_image_goes_through_what_can_take_it(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", np.full((1, 1, 3), (9, 200, 100), np.uint8))
    steps = ["crop_border", "shades_of_gray", "occlusion_removal"]

    store = run(tmp_path / "in", tmp_path / "out", steps=steps, image_size=3)

    image = read_image(tmp_path / "in" / "a.png")
    wanted = occlusion_removal(shades_of_gray(crop_border(image)))
    np.testing.assert_array_equal(store["a"], resize_image(wanted, (3, 3)))
    assert (store.column("height")[0], store.column("bottom")[0]) == (1, 1)


@pytest.mark.parametrize(
    ("first", "second"), [("a.jpg", "sub/a.png"), ("a.jpg", "a.png"), ("x/a.jpg", "y/a.jpg")]
)
def test_two_images_of_one_id_are_refused(tmp_path: Path, first: str, second: str) -> None:
    for file in (first, second):
        write_image(tmp_path / "in" / file, framed(0))
    sentence = (
        f"Expected `source` to be a folder whose images have different names, but got {first} and "
        f"{second} in {tmp_path / 'in'}, which both have the id a. Rename one of them, or exclude "
        "it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(run(tmp_path / "in", tmp_path / "out", exclude=[second])) == 1


ODD = [
    "with space.png",
    " .png",
    "ümlaut.png",
    "雪.JPG",
    "#.png",
    "images.npy#3.jpg",
    'quo"te,comma.png',
    "line\nbreak.png",
    "carriage\rreturn.png",
    "tab\t.png",
    "-flag.PnG",
    "a.b.c.png",
    "%s {0}.png",
    os.fsdecode(b"caf\xe9.png"),
    "\u2028.png",
    "é.png",
]


@pytest.mark.parametrize("broken", [False, True])
def test_odd_names_are_kept(tmp_path: Path, broken: bool) -> None:
    for seed, name in enumerate(ODD):
        write_any(tmp_path / "in" / "odd #sub" / name, noise_image(8, 8, seed))
    names = [f"odd #sub/{name}" for name in ODD]
    if broken:
        for name in ODD:
            (tmp_path / "in" / "odd #sub" / f"broken {name}").write_bytes(b"")

    store = run(tmp_path / "in", tmp_path / "out", steps=[], image_size=8, errors="skip")

    assert sorted(store.files) == sorted(names)
    for number, file in enumerate(store.files):
        wanted = read_image(tmp_path / "in" / file)
        np.testing.assert_array_equal(store.image(number), wanted)
        np.testing.assert_array_equal(store[Path(file).stem], wanted)
        np.testing.assert_array_equal(load_image(store.image_path(number)), wanted)
    assert b"caf\xe9.png" in (tmp_path / "out" / "index.csv").read_bytes()
    if broken:
        with pytest.raises(ValueError, match="but got 16 that cannot be prepared"):
            run(tmp_path / "in", tmp_path / "out", steps=[], image_size=8)


def test_links_are_followed(source: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "far" / "x.png", framed(5))
    (source / "linked").symlink_to(tmp_path / "far")
    (source / "y.png").symlink_to(tmp_path / "far" / "x.png")
    (source / "sub" / "loop").symlink_to(source)
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "out").mkdir()
    (tmp_path / "outlink").symlink_to(tmp_path / "out")

    store = run(tmp_path / "link", tmp_path / "outlink")

    assert store.ids.tolist() == ["a", "b", "x", "scan", "c", "d", "y"]
    np.testing.assert_array_equal(store["x"], store["y"])
    assert len(PreparedStore(tmp_path / "out")) == 7


def test_images_that_go_by_the_names_of_masks_are_left_out(source: Path, tmp_path: Path) -> None:
    write_mask(source / "a_seg.png", np.ones((50, 70), np.bool_))
    write_mask(source / "b_segmentation.png", np.ones((51, 70), np.bool_))

    assert run(source, tmp_path / "out").ids.tolist() == IDS
    assert run(source, tmp_path / "some", exclude=["*.tif", "*_seg*", "sub/*"]).ids.tolist() == [
        "a", "b",
    ]  # fmt: skip


def test_a_progress_bar_is_shown_on_the_standard_error(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt(source, tmp_path / "out", monkeypatch)
    assert capsys.readouterr() == ("", "")

    run(source, tmp_path / "out", progress=True)

    shown = capsys.readouterr()
    assert "3/5" in shown.err
    assert "5/5" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (
            {"workers": 0},
            ValueError,
            "Expected `workers` to be an integer of 1 or more, but got 0.",
        ),
        (
            {"workers": "2"},
            TypeError,
            "Expected `workers` to be an integer of 1 or more, but got '2' of type str.",
        ),
        (
            {"errors": "record"},
            ValueError,
            "Expected `errors` to be one of 'raise', 'skip', but got 'record'.",
        ),
        (
            {"exclude": "*.png"},
            TypeError,
            "Expected `exclude` to be a list of patterns, but got one text. Write `['*.png']`.",
        ),
        (
            {"image_size": 0},
            ValueError,
            "Expected `image_size` to be an integer of 1 or more, but got 0.",
        ),
        (
            {"image_size": (12, 1.5)},
            TypeError,
            "Expected `image_size` to be an integer of 1 or more, but got 1.5 of type float.",
        ),
        (
            {"image_size": "224"},
            TypeError,
            "Expected `image_size` to be an integer of 1 or more, but got '224' of type str.",
        ),
        (
            {"image_size": b"ab"},
            TypeError,
            "Expected `image_size` to be an integer of 1 or more, but got b'ab' of type bytes.",
        ),
        (
            {"image_size": None},
            TypeError,
            "Expected `image_size` to be an integer of 1 or more, but got None of type NoneType.",
        ),
        (
            {"image_size": True},
            TypeError,
            "Expected `image_size` to be an integer of 1 or more, but got True of type bool.",
        ),
        (
            {"image_size": (1, 2, 3)},
            ValueError,
            "Expected `image_size` to be a number of px, or height and width, but got (1, 2, 3).",
        ),
        (
            {"image_size": 2**62},
            ValueError,
            f"Expected `image_size` to be at most 89,478,485 pixels, but got {2**62} x {2**62}.",
        ),
        (
            {"steps": "crop_border"},
            TypeError,
            "Expected `steps` to be a list of steps in their order, but got 'crop_border'. Write "
            "them between `[` and `]`, with options by `functools.partial`.",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else "",
)
def test_a_setting_that_is_unfit_is_refused_before_anything_is_written(
    source: Path,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[Exception],
    sentence: str,
) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    sentence = (
        f"Expected `{tmp_path / 'gone'}` to exist, but it does not. Expected layout: a folder of "
        "images, in subfolders or not."
    )
    with pytest.raises(DatasetNotFoundError, match=f"^{re.escape(sentence)}$"):
        run(tmp_path / "gone", tmp_path / "out")


def test_a_source_that_is_a_file_is_refused(source: Path, tmp_path: Path) -> None:
    sentence = (
        f"Expected `source` to be a folder of images, but got the file {source / 'a.jpg'}. Read a "
        "single image with `dermolib.io.read_image`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source / "a.jpg", tmp_path / "out")


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a_seg.png").touch()
    (tmp_path / "in" / "notes.txt").touch()
    sentence = (
        "Expected `source` to be a folder with images (.bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, "
        f".webp), but got {tmp_path / 'in'} with none (excluded: 1, other files: 1)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_that_are_not_there_are_refused(source: Path, tmp_path: Path) -> None:
    sentence = (
        f"Expected `{tmp_path / 'gone'}` to exist, but it does not. Expected layout: a folder with "
        "a mask ID_seg.png for each image."
    )
    with pytest.raises(DatasetNotFoundError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", masks=tmp_path / "gone")


def test_masks_that_are_a_file_are_refused(source: Path, tmp_path: Path) -> None:
    file = source / "a.jpg"
    sentence = f"Expected `masks` to be a folder of lesion masks, but got the file {file}."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / "out", masks=file)


def test_a_destination_that_is_a_link_to_nothing_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    with pytest.raises(ValueError, match=r"to be a folder, but got the file .*link\.$"):
        run(source, tmp_path / "link")


@pytest.mark.parametrize("place", ["file", "file/deeper"])
def test_a_destination_that_is_a_file_is_refused(source: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("precious")
    sentence = f"Expected `destination` to be a folder, but got the file {tmp_path / 'file'}."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(source, tmp_path / place)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_destination_that_cannot_be_written_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    access = os.access
    # who runs the tests may be allowed everything
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and access(path, mode))
    sentence = (
        "Expected `destination` to be in a folder that can be written, but got "
        f"{locked / 'out'}. A finished store is opened with `dermolib.PreparedStore`, for which "
        "reading is enough."
    )
    with pytest.raises(PermissionError, match=f"^{re.escape(sentence)}$"):
        run(source, locked / "out")


def test_a_destination_among_the_images_is_refused(source: Path) -> None:
    before = snapshot(source)

    with pytest.raises(ValueError, match=r"with other files \(a\.jpg, b\.png, notes\.txt, scan"):
        run(source, source)

    assert snapshot(source) == before


def test_files_of_a_packing_are_those_that_numpy_writes(tmp_path: Path) -> None:
    packing_here = Packing(tmp_path, 3, (2, 5), masks=True)

    packing_here.create()

    for name, (dtype, shape) in packing_here.arrays.items():
        np.save(tmp_path / "by_numpy.npy", np.zeros(shape, dtype))
        assert (tmp_path / name).read_bytes() == (tmp_path / "by_numpy.npy").read_bytes()


@settings(max_examples=40)
@given(
    rows=st.lists(st.integers(0, 6), unique=True, max_size=7),
    forgotten=st.lists(st.integers(0, 6), max_size=3),
)
def test_rows_are_noted_in_any_order_and_forgotten(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], forgotten: list[int]
) -> None:
    here = Packing(tmp_path_factory.mktemp("packing"), 7, (2, 3), masks=True)
    here.create()
    with here.writer() as writer:
        for row in rows:
            record = np.zeros(1, RECORD)
            record["done"], record["height"] = True, row
            writer.write(row, noise_image(2, 3, row), np.full((2, 3), row % 2 == 0), record)

    here.forget(forgotten)

    records = here.records()
    assert records is not None
    done = set(rows) - set(forgotten)
    assert set(np.flatnonzero(records["done"])) == done
    images = np.load(here.folder / "images.npy")
    masks = np.load(here.folder / "masks.npy")
    for row in rows:
        np.testing.assert_array_equal(images[row], noise_image(2, 3, row))
        assert masks[row].all() == (row % 2 == 0)
    assert here.write_index(["i"] * 7, ["f"] * 7) == len(done)


def test_a_block_says_how_many_images_it_had_and_what_failed(source: Path, tmp_path: Path) -> None:
    here = Packing(tmp_path, 2, (4, 4), masks=False)
    here.create()
    (source / "b.png").write_bytes(b"")
    how = preparing.Preparing(source, None, Pipeline([]), here)

    count, failures, error = preparing.prepare_block([(0, "a.jpg"), (1, "b.png")], how)
    (tmp_path / "images.npy").unlink()
    lost = preparing.prepare_block([(0, "a.jpg")], how)

    assert (count, error) == (2, None)
    assert isinstance(lost[2], FileNotFoundError)
    assert [row for row, _ in failures] == [1]
    assert np.load(tmp_path / RECORDS)["done"].tolist() == [True, False]


@pytest.mark.data
def test_real_images_and_their_masks_are_prepared(data_dir: Path, tmp_path: Path) -> None:
    images = sorted((data_dir / "isic2018_task1" / "images").iterdir())[40:44]
    (tmp_path / "in").mkdir()
    for path in images:
        shutil.copy(path, tmp_path / "in")

    store = run(
        tmp_path / "in",
        tmp_path / "out",
        steps=STEPS,
        masks=data_dir / "isic2018_task1" / "masks",
        image_size=64,
    )

    for number, path in enumerate(images):
        wanted = shades_of_gray(LUV(crop_border(read_image(path))))
        np.testing.assert_array_equal(store.image(number), resize_image(wanted, (64, 64)))
        assert store.mask(number).any()

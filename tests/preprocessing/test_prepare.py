"""Folders to stores: what a row holds, what is done again, every failing image and refusal."""

import csv
import errno
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import crop_border, occlusion_removal, prepare, shades_of_gray
from dermolib._validation import DatasetNotFoundError, Image
from dermolib.datasets.store import PreparedStore, is_store, load_image
from dermolib.io import read_image, read_mask, resize_image, resize_mask, write_image, write_mask
from dermolib.preprocessing import Box
from dermolib.preprocessing import prepare as preparing
from drawing import noise_image, write_any
from resumable import forge
from snapshots import snapshot

FILES = ["a.jpg", "b.png", "scan.tif", "sub/c.PNG", "sub/deep/d.bmp"]
IDS = ["a", "b", "scan", "c", "d"]
LUV = partial(occlusion_removal, method="luv")
STEPS = ["crop_border", LUV, "shades_of_gray"]


def framed(seed: int, height: int = 60, width: int = 70) -> Image:
    """Draw reddish skin with a hair in a dark frame."""
    shade = np.random.default_rng(seed).integers(0, 9, (height, width, 1))
    image: Image = (shade + np.array([200, 150, 130])).astype(np.uint8)
    image[:, width // 2] = 40
    image[: 5 + seed] = image[-4:] = 2
    image[:, :7] = 2
    return image


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


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "masks"


def run(source: Path, destination: Path, **options: Any) -> PreparedStore:
    """Prepare without a progress bar, by steps that leave no pixel alone and take little time."""
    steps = ["crop_border", "shades_of_gray"]
    given_options: dict[str, Any] = {"steps": steps, "image_size": (12, 16), "progress": False}
    return prepare(source, destination, **{**given_options, **options})


def assert_as_if_new(source: Path, out: Path, **options: Any) -> None:
    """Compare a folder with the store of a single run."""
    run(source, out.with_name("fresh"), **options)
    assert snapshot(out).data == snapshot(out.with_name("fresh")).data


def failed(folder: Path) -> dict[str, str]:
    with (folder / "failed.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["error"] for row in csv.DictReader(file)}


def same(image: Image) -> Image:
    return image


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


def test_a_row_is_the_image_after_its_steps_resized(source: Path, out: Path) -> None:
    before = snapshot(source)

    store = run(source, out, steps=STEPS)

    assert (store.ids.tolist(), store.files.tolist()) == (IDS, FILES)
    for number, file in enumerate(FILES):
        by_hand = shades_of_gray(LUV(crop_border(read_image(source / file))))
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


def test_masks_are_cut_and_resized_like_their_images(source: Path, masks: Path, out: Path) -> None:
    store = run(source, out, masks=masks)

    for number, (file, name) in enumerate(zip(FILES, IDS, strict=True)):
        box = Box(*(int(store.column(side)[number]) for side in Box._fields))
        image, mask = read_image(source / file), read_mask(masks / f"{name}_seg.png")
        np.testing.assert_array_equal(box.crop(image), crop_border(image))
        assert box.shape != image.shape[:2]
        np.testing.assert_array_equal(store.mask(number), resize_mask(box.crop(mask), (12, 16)))
    assert store.has_masks


def test_the_index_says_what_the_steps_did(source: Path, masks: Path, out: Path) -> None:
    store = run(source, out, steps=STEPS, masks=masks)

    assert store.column("height").tolist() == [50, 51, 52, 53, 54]
    assert store.column("width").tolist() == [70] * 5
    for number, (file, name) in enumerate(zip(FILES, IDS, strict=True)):
        cropped = crop_border(read_image(source / file))
        _, hair = occlusion_removal(cropped, method="luv", return_mask=True)
        assert hair.any()
        assert store.column("masked_fraction")[number] == hair.mean()
        for path, start in ((source / file, ""), (masks / f"{name}_seg.png", "mask_")):
            found = path.stat()
            assert store.column(f"{start}size")[number] == found.st_size
            assert store.column(f"{start}modified")[number] == found.st_mtime_ns


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


def test_an_image_is_not_its_own_mask(tmp_path: Path, out: Path) -> None:
    write_image(tmp_path / "in" / "x.png", noise_image(8, 8, 0))

    with pytest.raises(ValueError, match=r"to be a folder with the mask of x\.png, but got none"):
        run(tmp_path / "in", out, masks=tmp_path / "in")


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


def test_a_finished_store_is_returned_at_once_and_not_touched(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(source, out, masks=masks)
    before = snapshot(out)

    with counted(monkeypatch) as read:
        again = run(source, out, masks=masks)
        run(source, out, overwrite=True, workers=2, errors="skip", masks=masks)

    assert read == []
    assert snapshot(out) == before
    assert again.path == first.path
    np.testing.assert_array_equal(again.images, first.images)


def test_a_store_of_a_source_that_was_moved_is_the_same(
    source: Path, masks: Path, tmp_path: Path, out: Path
) -> None:
    run(source, out, masks=masks)
    before = snapshot(out)

    moved = [path.rename(tmp_path / f"moved {path.name}") for path in (source, out, masks)]
    run(moved[0], moved[1], masks=moved[2])

    assert snapshot(moved[1]) == before


def interrupt(
    source: Path, destination: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> None:
    """Begin a run that is stopped where ``c.PNG`` is read, as by Ctrl-C."""

    def read(path: Path) -> Image:
        if path.name == "c.PNG":
            raise KeyboardInterrupt
        return read_image(path)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "read_image", read)
        with pytest.raises(KeyboardInterrupt):
            run(source, destination, **options)


def set_time(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


def change_image(source: Path, _: Path) -> None:
    modified = (source / "b.png").stat().st_mtime_ns
    write_image(source / "b.png", framed(7, height=51))
    set_time(source / "b.png", modified)


def move_mask(_: Path, masks: Path) -> None:
    write_mask(masks / "b.png", np.ones((51, 70), np.bool_))
    (masks / "b_seg.png").unlink()


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "the time of an image": lambda source, _: set_time(source / "b.png", 1),
    "the size of an image": change_image,
    "a mask": lambda _, masks: write_mask(masks / "b_seg.png", np.ones((51, 70), np.bool_)),
    "the name of a mask": move_mask,
}


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_a_run_that_was_stopped_does_the_rest_and_what_has_changed_since(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch, change: str | None
) -> None:
    interrupt(source, out, monkeypatch, masks=masks)
    assert sorted(snapshot(out).data) == ["images.npy", "masks.npy", "run.jsonl"]
    if change:
        CHANGES[change](source, masks)

    with counted(monkeypatch) as read:
        run(source, out, masks=masks)

    assert read == (["b.png"] if change else []) + ["c.PNG", "d.bmp"]
    assert_as_if_new(source, out, masks=masks)


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_since_a_store_was_done_is_named_and_made_again_on_request(
    source: Path, masks: Path, out: Path, change: str
) -> None:
    run(source, out, masks=masks)
    before = snapshot(out)
    CHANGES[change](source, masks)
    words = r"did \(b\.png\)\. Pass `overwrite` to make it again\."
    with pytest.raises(ValueError, match=words):
        run(source, out, masks=masks)
    assert snapshot(out) == before

    run(source, out, overwrite=True, masks=masks)

    assert_as_if_new(source, out, masks=masks)


def test_a_row_whose_image_broke_is_not_kept(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(source, out, monkeypatch)
    (source / "b.png").write_bytes(b"")

    store = run(source, out, errors="skip")

    assert store.ids.tolist() == ["a", "scan", "c", "d"]
    assert list(failed(out)) == ["b.png"]


def test_a_row_that_was_begun_again_is_not_taken_for_done(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(source, out, monkeypatch)
    data, modified = (source / "a.jpg").read_bytes(), (source / "a.jpg").stat().st_mtime_ns
    write_image(source / "a.jpg", framed(9))
    write_row = preparing._write_row

    def half(*row: Any) -> None:
        write_row(*row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_write_row", half)
        with pytest.raises(KeyboardInterrupt):
            run(source, out)
    (source / "a.jpg").write_bytes(data)
    set_time(source / "a.jpg", modified)

    run(source, out)

    assert_as_if_new(source, out)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_files_that_were_cut_are_made_again(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    interrupt(source, out, monkeypatch, masks=masks)
    (out / name).write_bytes((out / name).read_bytes()[:size])

    run(source, out, masks=masks)

    assert_as_if_new(source, out, masks=masks)


FILE_CHANGES: dict[str, Callable[[Path], object]] = {
    "more": lambda source: write_image(source / "new.png", framed(1)),
    "fewer": lambda source: (source / "b.png").unlink(),
    "renamed": lambda source: (source / "b.png").rename(source / "bb.png"),
    "same": lambda _: None,
    "format": lambda source: forge(
        source.with_name("out") / "run.jsonl",
        lambda line: line.get("settings", {}).update(format="dermolib-store-0"),
    ),
}
GRAY = r"steps \[{'step': 'shades_of_gray', 'options': {'p': 6.0}}\] there, "
WHITE_PATCH = partial(shades_of_gray, p=math.inf)


@pytest.mark.parametrize(
    ("kind", "options", "differ"),
    [
        ("more", {}, r"images 5 there, 6 here, names '\w{16}' there, '\w{16}' here"),
        ("fewer", {}, r"images 5 there, 4 here, names '\w{16}' there, '\w{16}' here"),
        ("renamed", {}, r"names '\w{16}' there, '\w{16}' here"),
        ("format", {}, "format 'dermolib-store-0' there, 'dermolib-store-2' here"),
        ("same", {"image_size": 16}, r"image_size \[12, 16\] there, \[16, 16\] here"),
        ("same", {"fit": "pad"}, "fit 'squeeze' there, 'pad' here"),
        ("same", {"masks": "masks"}, "masks False there, True here"),
        ("same", {"steps": []}, rf"{GRAY}\[\] here"),
        ("same", {"steps": [WHITE_PATCH]}, rf"{GRAY}.*{{'p': 'inf'}}}}\] he"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_other_settings_or_files_are_refused_until_everything_is_made_again(
    source: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: dict[str, Any],
    differ: str,
    done: bool,
) -> None:
    first: dict[str, Any] = {"steps": ["shades_of_gray"]}
    options = first | options | ({"masks": out.parent / "masks"} if "masks" in options else {})
    if done:
        run(source, out, **first)
    else:
        interrupt(source, out, monkeypatch, **first)
    FILE_CHANGES[kind](source)
    before = snapshot(out)
    with pytest.raises(ValueError, match=rf"of another run \({differ}"):
        run(source, out, **options)
    assert snapshot(out) == before

    run(source, out, overwrite=True, **options)

    assert_as_if_new(source, out, **options)


@pytest.mark.parametrize("name", ["images.npy", "index.csv"])
@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_store_is_refused_and_made_again_on_request(
    source: Path, out: Path, name: str, damage: bytes | None
) -> None:
    run(source, out)
    before = snapshot(out).data
    (out / name).unlink()
    if damage is not None:
        (out / name).write_bytes(damage)
    with pytest.raises((ValueError, FileNotFoundError), match=f"{name}` to "):
        run(source, out)

    run(source, out, overwrite=True)

    assert snapshot(out).data == before


def write_over(path: Path, place: int) -> None:
    """Change some bytes of a file, whose size and time of change stay."""
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(place, os.SEEK_END)
        file.write(bytes(range(40)))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("workers", [1, 2])
def test_rows_that_others_changed_are_made_again_and_no_others(
    source: Path,
    masks: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    done: bool,
    name: str,
    workers: int,
) -> None:
    run(source, out, masks=masks)
    before = snapshot(out).data
    if not done:
        (out / "store.json").unlink()
    write_over(out / name, -50)

    threads = joblib.parallel_config(backend="threading")
    with counted(monkeypatch) as read, threads:
        store = run(source, out, masks=masks, workers=workers)

    assert read == ["d.bmp"]
    assert snapshot(out).data == before
    assert not len(store.find_damaged())


def test_rows_of_another_source_with_the_same_settings_are_not_taken(
    source: Path, tmp_path: Path, out: Path
) -> None:
    run(source, out)
    before = snapshot(out).data
    shutil.copytree(source, tmp_path / "other")  # with the times of change
    image = framed(9, height=50)
    write_any(tmp_path / "other" / "a.jpg", image)
    other = run(tmp_path / "other", tmp_path / "theirs")

    for names in (["images.npy"], ["run.jsonl"], ["images.npy", "run.jsonl"]):
        for name in names:
            shutil.copy(other.path / name, out / name)
        run(source, out)
        (out / "store.json").unlink()
        run(source, out)
        assert snapshot(out).data == before
    shutil.copytree(other.path, out, dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"since when 1 images or masks did \(a\.jpg\)"):
        run(source, out)


def test_settings_of_another_store_of_the_same_rows_are_refused(source: Path, out: Path) -> None:
    run(source, out, steps=[])
    other = run(source, out.with_name("other"), steps=[same])
    shutil.copy(other.path / "store.json", out)

    with pytest.raises(ValueError, match=r"the expected settings, but got others \(steps \[\{"):
        run(source, out, steps=[])


def test_a_folder_in_the_place_of_a_file_is_refused(source: Path, out: Path) -> None:
    run(source, out)
    (out / "store.json").unlink()
    (out / "store.json").mkdir()

    with pytest.raises(ValueError, match=r"1 other files \(store\.json\)\. Choose another"):
        run(source, out, overwrite=True)


@pytest.mark.parametrize("text", [None, "", "notes", '"file","error"\n"a\n'])
def test_a_list_of_failed_images_that_others_changed_is_refused(
    source: Path, out: Path, text: str | None
) -> None:
    (source / "empty.png").write_bytes(b"")
    run(source, out, errors="skip")
    (out / "failed.csv").unlink()
    if text is not None:
        (out / "failed.csv").write_text(text)

    with pytest.raises((ValueError, DatasetNotFoundError), match=r"^Expected `.*failed\.csv` to "):
        run(source, out)
    assert len(run(source, out, errors="skip")) == 5


@pytest.mark.parametrize("call", [0, 1])
def test_a_disk_too_small_is_reported_before_anything_is_prepared(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls = iter(range(call))
    reserve = os.posix_fallocate

    def full(descriptor: int, offset: int, size: int) -> None:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(descriptor, offset, size)

    with monkeypatch.context() as patch, counted(monkeypatch) as read:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="on a disk with room") as raised:
            run(source, out, masks=masks)

    assert raised.value.errno == errno.ENOSPC
    assert read == []
    assert list(snapshot(out).data) == ["run.jsonl"]  # nothing that takes room
    run(source, out, masks=masks)
    assert_as_if_new(source, out, masks=masks)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_system_that_reserves_nothing_gets_its_store_all_the_same(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def unable(*_: int) -> None:
        raise OSError(number, "not here")

    with monkeypatch.context() as patch:
        if number is None:
            patch.delattr(os, "posix_fallocate")
        else:
            patch.setattr(os, "posix_fallocate", unable)
        run(source, out)

    assert_as_if_new(source, out)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_within_a_row_ends_the_run_and_begins_no_more(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    source = tmp_path / "in"
    for number in range(200):
        write_image(source / f"{number:03}.png", noise_image(12, 16, number))
    room, write_row = iter(range(20)), preparing._write_row

    def write(task: Any, name: str, row: int, image: Image) -> None:
        if next(room, None) is None:
            write_row(task, name, row, np.zeros_like(image))
            raise OSError(errno.ENOSPC, "No space left on device")
        write_row(task, name, row, image)

    threads = joblib.parallel_config(backend="threading")
    with monkeypatch.context() as patch, counted(monkeypatch) as read, threads:
        patch.setattr(preparing, "_write_row", write)
        with pytest.raises(OSError, match="on a disk with room"):
            run(source, out, steps=[], workers=workers)
    assert len(read) < 100

    with counted(monkeypatch) as read:
        run(source, out, steps=[])

    assert len(read) == 180
    assert_as_if_new(source, out, steps=[])


def write_broken(source: Path, masks: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Add files that cannot be prepared, and say why by name."""
    (source / "empty.png").write_bytes(b"")
    (source / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (source / "cut.jpg").write_bytes((source / "a.jpg").read_bytes()[:600])
    (source / "link.png").symlink_to(source / "nothing.png")
    for name in ("alone", "small", "parts", "locked", "huge", "odd"):
        write_image(source / "sub" / f"{name}.png", framed(0))
        write_mask(masks / f"{name}_seg.png", np.ones((60, 70), np.bool_))
    (masks / "alone_seg.png").unlink()
    write_mask(masks / "small_seg.png", np.ones((3, 3), np.bool_))
    write_any(masks / "parts_seg.png", (np.arange(60) % 3).astype(np.uint8)[:, None].repeat(70, 1))

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
        r"got none\. Name it alone_seg\.png, .*, alone_lesion\.png or alone\.png\.",
        "sub/huge.png": "MemoryError",
        "sub/locked.png": r"\[Errno 13\] Permission denied: 'sub/locked\.png'",
        "sub/odd.png": "RuntimeError: two lines",
        "sub/parts.png": r"Expected `.*parts_seg\.png` to be a mask of 0 and one other value, but "
        r"got 0, 1, 2\. Write the lesion as 255 and all else as 0\.",
        "sub/small.png": r"Expected `.*small_seg\.png` to be a mask of size \(60, 70\), but got "
        r"\(3, 3\)\. A mask must have the size of its image\.",
    }


def test_images_that_cannot_be_prepared_are_listed_after_all_others_are_done(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        reasons = write_broken(source, masks, patch)
        with pytest.raises(ValueError, match="10 that cannot be prepared") as raised:
            run(source, out, masks=masks)
    words = failed(out)

    assert list(words) == sorted(reasons)
    for file, reason in words.items():
        assert re.fullmatch(reasons[file], reason), reason
    shown = "; ".join(f"{file}: {words[file]}" for file in [*reasons][:3])
    assert f"10 that cannot be prepared ({shown}; {out / 'failed.csv'} names" in str(raised.value)
    assert str(raised.value).endswith('or pass `errors="skip"` to do without.')
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
    assert_as_if_new(source, out, masks=masks)


def test_a_store_can_do_without_what_cannot_be_prepared(
    source: Path, masks: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        reasons = write_broken(source, masks, patch)
        store = run(source, out, masks=masks, errors="skip")

    assert list(failed(out)) == sorted(reasons)
    assert (store.ids.tolist(), store.files.tolist(), len(store.images)) == (IDS, FILES, 15)
    everything = sorted([*FILES, *reasons])
    assert store.row_numbers.tolist() == [everything.index(file) for file in FILES]
    exclude = [Path(file).name for file in reasons]
    alone = run(source, out.with_name("alone"), masks=masks, exclude=exclude)
    for number, name in enumerate(IDS):
        np.testing.assert_array_equal(store[name], alone[name])
        np.testing.assert_array_equal(load_image(store.image_path(number)), alone[name])
        np.testing.assert_array_equal(store.mask(number), alone.mask(number))
    assert run(source, out, masks=masks, errors="skip").ids.tolist() == IDS


def test_a_store_that_does_without_images_is_refused_where_all_are_wanted(
    source: Path, out: Path
) -> None:
    (source / "empty.png").write_bytes(b"")
    run(source, out, errors="skip")
    before = snapshot(out)
    words = rf"cannot be prepared \(empty\.png: {failed(out)['empty.png']}\)\. Repair these"
    with pytest.raises(ValueError, match=words):
        run(source, out)
    assert snapshot(out) == before
    write_image(source / "empty.png", framed(2))

    store = run(source, out, overwrite=True)

    assert store.ids.tolist() == ["a", "b", "empty", "scan", "c", "d"]
    assert_as_if_new(source, out)


def test_a_run_that_failed_can_be_finished_without_what_failed(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match="but got 1 that cannot be prepared"):
        run(source, out)

    with counted(monkeypatch) as read:
        store = run(source, out, errors="skip")

    assert read == ["empty.png"]
    assert len(store) == 5


@pytest.mark.parametrize(
    ("errors", "hint"),
    [("raise", "Repair these files and call again"), ("skip", "There is nothing to prepare")],
)
def test_a_folder_of_which_nothing_can_be_prepared_makes_no_store(
    tmp_path: Path, out: Path, errors: str, hint: str
) -> None:
    for name in "ab":
        (tmp_path / f"in_{name}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=f"but got 2 that cannot be prepared.*{hint}"):
        run(tmp_path, out, errors=errors)
    with pytest.raises(ValueError, match="a complete store"):
        PreparedStore(out)


def choosy(image: Image) -> Image:
    if image.shape[0] == 52:
        raise ZeroDivisionError("division by zero")
    return image[: image.shape[0] - image.shape[0] % 2]


def test_a_step_that_fails_on_an_image_is_named(source: Path, masks: Path, out: Path) -> None:
    with pytest.raises(ValueError, match="but got 3 that cannot be prepared"):
        run(source, out, steps=[choosy], masks=masks)

    start = f"Expected `{__name__}:choosy` to be a step that "
    mask = "since there is a mask, but got"
    hint = "Of the steps that cut, `crop_border` alone can cut a mask as well."
    assert failed(out) == {
        "b.png": f"{start}keeps the size (51, 70), {mask} (50, 70). {hint}",
        "scan.tif": f"{start}can take an image of 52 x 70 px, but got ZeroDivisionError: division "
        "by zero.",
        "sub/c.PNG": f"{start}keeps the size (53, 70), {mask} (52, 70). {hint}",
    }


def halved(image: Image) -> Image:
    return np.ascontiguousarray(image[::2])


def test_a_step_that_cannot_keep_masks_is_refused_before_anything_is_prepared(
    source: Path, masks: Path, out: Path
) -> None:
    words = r":halved` to be a step that keeps the size \(256, 256\), since there is a mask"
    with pytest.raises(ValueError, match=words):
        run(source, out, steps=[halved], masks=masks)
    assert not out.exists()
    assert len(run(source, out, steps=[halved])) == 5


def test_the_smallest_image_goes_through_what_can_take_it(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", np.full((1, 1, 3), (9, 200, 100), np.uint8))
    steps = ["crop_border", "shades_of_gray", "occlusion_removal"]

    store = run(tmp_path / "in", tmp_path / "out", steps=steps, image_size=3, workers=3)

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
    words = f"keep apart, but got {first} and {second}, which would both be a on .*Rename"
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(run(tmp_path / "in", tmp_path / "out", exclude=[second])) == 1


ODD = [
    "with space.png", " .png", "ümlaut.png", "雪.JPG", "#.png", "images.npy#3.jpg",
    'quo"te,comma.png', "line\nbreak.png", "carriage\rreturn.png", "tab\t.png", "-flag.PnG",
    "a.b.c.png", "%s {0}.png", os.fsdecode(b"caf\xe9.png"), "\u2028.png", "é.png",
]  # fmt: skip


@pytest.mark.parametrize("broken", [False, True])
def test_odd_names_are_kept(tmp_path: Path, out: Path, broken: bool) -> None:
    for seed, name in enumerate(ODD):
        write_any(tmp_path / "in" / "odd #sub" / name, noise_image(8, 8, seed))
        if broken:
            (tmp_path / "in" / "odd #sub" / f"broken {name}").write_bytes(b"")

    store = run(tmp_path / "in", out, steps=[], image_size=8, errors="skip")

    assert sorted(store.files) == sorted(f"odd #sub/{name}" for name in ODD)
    for number, file in enumerate(store.files):
        wanted = read_image(tmp_path / "in" / file)
        np.testing.assert_array_equal(store.image(number), wanted)
        np.testing.assert_array_equal(store[Path(file).stem], wanted)
        np.testing.assert_array_equal(load_image(store.image_path(number)), wanted)
    assert b"caf\xe9.png" in (out / "index.csv").read_bytes()
    if broken:
        with pytest.raises(ValueError, match="but got 16 that cannot be prepared"):
            run(tmp_path / "in", out, steps=[], image_size=8)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more, but got 0"),
        ({"workers": "2"}, TypeError, "`workers` to be an integer of 1 or more, but got '2'"),
        ({"errors": "record"}, ValueError, "`errors` to be one of 'raise', 'skip'"),
        ({"exclude": "*.png"}, TypeError, "`exclude` to be a list of patterns, but got one text"),
        ({"image_size": 0}, ValueError, "`image_size` to be an integer of 1 or more"),
        ({"image_size": (12, 1.5)}, TypeError, "`image_size` .* but got 1.5 of type float"),
        ({"image_size": "224"}, TypeError, "`image_size` .* but got '224' of type str"),
        ({"image_size": b"ab"}, TypeError, "`image_size` .* but got b'ab' of type bytes"),
        ({"image_size": None}, TypeError, "`image_size` .* but got None of type NoneType"),
        ({"image_size": True}, TypeError, "`image_size` .* but got True of type bool"),
        ({"image_size": (1, 2, 3)}, ValueError, "`image_size` to be a number of px, or height a"),
        ({"fit": "stretch"}, ValueError, "`fit` to be one of 'squeeze', 'pad', 'crop'"),
        ({"image_size": 2**62}, ValueError, "`image_size` to be at most 89,478,485 pixels"),
        ({"steps": "crop_border"}, TypeError, "`steps` to be a list of steps in their order"),
        ({"masks": "gone"}, DatasetNotFoundError, "gone` to exist.* a mask ID_seg.png for each"),
        ({"masks": "in/a.jpg"}, ValueError, "`masks` to be a folder of lesion masks, but got the"),
    ],
)
def test_a_setting_that_is_unfit_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    if "masks" in options:
        options = {"masks": tmp_path / options["masks"]}
    with pytest.raises(error, match=words):
        run(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_destination_that_cannot_be_written_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    access = os.access
    # who runs the tests may be allowed everything
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and access(path, mode))
    words = r"can be written, .* opens with `dermolib\.PreparedS"
    with pytest.raises(PermissionError, match=words):
        run(source, locked / "out")


@pytest.mark.data
def test_real_images_and_their_masks_are_prepared(data_dir: Path, tmp_path: Path) -> None:
    images = sorted((data_dir / "isic2018_task1" / "images").iterdir())[40:44]
    (tmp_path / "in").mkdir()
    for path in images:
        shutil.copy(path, tmp_path / "in")

    masks = data_dir / "isic2018_task1" / "masks"
    store = run(tmp_path / "in", tmp_path / "out", steps=STEPS, masks=masks, image_size=64)

    for number, path in enumerate(images):
        wanted = shades_of_gray(LUV(crop_border(read_image(path))))
        np.testing.assert_array_equal(store.image(number), resize_image(wanted, (64, 64)))
        assert store.mask(number).any()

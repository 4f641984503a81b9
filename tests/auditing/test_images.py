"""Every file is read once, and none of them stops the reading."""

import io
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage
from PIL import ImageFile

from dermolib import audit, prepare
from dermolib.auditing import HASH_BYTES, NOTES, STATES, Inspection, inspect_images, perceptual_hash
from dermolib.auditing.images import MASK_STATES
from dermolib.io import MAX_PIXELS, read_image, write_image, write_mask
from drawing import lesion_image, noise_image


def inspect(*paths: Path | str, **options: Any) -> Inspection:
    return inspect_images([str(path) for path in paths], progress=False, **options)


def state_of(path: Path | str) -> tuple[str, str, str]:
    """Return the state of one file, and the reason and details where it is not ok."""
    found = inspect(path)
    return STATES[found.state[0]], *found.reasons.get(0, ("", ""))


def jpeg(path: Path) -> bytes:
    write_image(path, noise_image(40, 60, 0))
    return path.read_bytes()


def png_of_size(width: int, height: int) -> bytes:
    """Write a PNG file of which only the header says how large it is."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("hashes", [True, False])
def test_an_image_is_described(tmp_path: Path, hashes: bool) -> None:
    data = jpeg(tmp_path / "a.jpg")
    expected = perceptual_hash(read_image(tmp_path / "a.jpg"))

    found = inspect_images(iter([str(tmp_path / "a.jpg")]), hashes=hashes, progress=False)

    assert found.ok.tolist() == [True]
    assert [*found.height, *found.width, *found.size] == [40, 60, len(data)]
    assert [*found.mode, *found.format] == ["RGB", "JPEG"]
    assert found.digest.any()
    np.testing.assert_array_equal(found.hash, [expected if hashes else np.zeros(HASH_BYTES)])
    assert (found.notes, found.reasons) == ({}, {})


@pytest.mark.parametrize("index", [[2, 1, 0], ["a", "b", "c"], [7, 7, 7]])
def test_paths_are_taken_in_their_order_whatever_the_index(
    tmp_path: Path, index: list[object]
) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for number, path in enumerate(paths):
        write_image(path, noise_image(20 + number, 30, number))

    found = inspect_images(pd.Series(paths, index=index), progress=False)

    assert found.height.tolist() == [20, 21, 22]
    np.testing.assert_array_equal(found.digest, inspect(*paths).digest)


@pytest.mark.parametrize("path", ["a.jpg", b"a.jpg", Path("a.jpg")], ids=repr)
def test_a_single_path_is_refused(path: Any) -> None:
    sentence = r"`paths` to be several paths, but got .*a\.jpg.* alone\. Put it into a list\.$"

    with pytest.raises(TypeError, match=sentence):
        inspect_images(path, progress=False)


def test_equal_files_have_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg(tmp_path / "a.jpg"))
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + b"\0")

    found = inspect(*(tmp_path / f"{name}.jpg" for name in "abc"))

    assert (found.digest[0] == found.digest[1]).all()
    assert (found.digest[0] != found.digest[2]).any()
    assert (found.hash[0] == found.hash[2]).all()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jpg", b"", "empty file"),
        ("a.jpg", b"<!DOCTYPE html><p>404", "a web page, such as an error message, not an image"),
        ("a.jpg", b"\xef\xbb\xbf\n <HTML><body>Sign in", "a web page"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a.jpg", b"\0" * 900, "not an image of a known format"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0", "not an image of a known format"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not an image of a known format"),
        ("a.png", png_of_size(30_000, 30_000), "too many pixels"),
        ("a.png", png_of_size(10_000, 9_000), f"too many pixels: 10,000 x 9,000 px, the limit is "
                                              f"{MAX_PIXELS:,} px in all"),
        ("a.png", png_of_size(40, 60), "damaged or truncated (PNG)"),
    ],
)  # fmt: skip
def test_an_unreadable_file_has_its_reason(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)

    state, *reasons = state_of(tmp_path / name)

    assert state == "unreadable"
    assert ": ".join(reasons).startswith(reason)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "bmp", "gif", "webp"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_unreadable_however_late_whatever_another_library_has_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fraction: float,
    extension: str,
    lenient: bool,
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", lenient)
    path = tmp_path / f"a.{extension}"
    PillowImage.fromarray(noise_image(40, 60, 0)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])

    assert state_of(path)[0] == "unreadable"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


def test_blank_images_and_masks_without_a_lesion_or_without_skin_are_known(tmp_path: Path) -> None:
    image, mask = lesion_image(40, 60)
    masks = {"ok": mask, "empty": mask & False, "full": mask | True, "small": mask[1:]}
    for name, one in masks.items():
        write_mask(tmp_path / f"{name}.png", one)
    (tmp_path / "text.png").write_text("no mask")
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "white.png", np.full((40, 60, 3), 255, np.uint8))
    write_image(tmp_path / "black.jpg", np.zeros((40, 60, 3), np.uint8))
    given = ["", "ok.png", "empty.png", "full.png", "gone.png", "text.png", "small.png"]
    images = ["a.png"] * 7 + ["white.png", "black.jpg", "gone.png"]
    masks_given = [*(name and str(tmp_path / name) for name in given), "", "", "ok.png"]

    found = inspect(*(tmp_path / name for name in images), masks=masks_given)

    states = ["", "ok", "empty mask", "full mask", "missing mask", *["unreadable mask"] * 2]
    assert [MASK_STATES[one] for one in found.mask] == [*states, "", "", ""]
    assert found.blank.tolist() == [False] * 7 + [True, True, False]
    assert [*found.mask_reasons] == [2, 3, 4, 5, 6]
    assert found.mask_reasons[2] == ("no pixel is lesion", "")
    assert "(40, 60)" in found.mask_reasons[6][1]
    assert list(found.reasons) == [9]


def test_as_many_masks_as_images_are_asked_for() -> None:
    with pytest.raises(ValueError, match="`masks` to be one mask for each of 2 images, but got 1"):
        inspect("a.png", "b.png", masks=["a.png"])


def test_what_is_no_file_is_missing_or_unreadable(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole, which takes no room on the disk
    PillowImage.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "dead.jpg").symlink_to("gone.jpg")
    names = ("gone.jpg", "gone/a.jpg", "b#1.jpg", "dead.jpg", "folder.jpg", "pipe.jpg", "nul\0.jpg")
    paths = [tmp_path / name for name in (*names, "x" * 5000, "huge.jpg", "float.tif")]

    found = inspect("", *paths)

    assert found.state.tolist() == [1] * 5 + [2] * 6
    assert [": ".join(filter(None, reason)) for reason in found.reasons.values()] == [
        "no file found",
        *["file not found"] * 4,
        *["a folder or a device, not a file"] * 2,
        "cannot be opened: embedded null byte",
        "cannot be opened: File name too long",
        "too large: 1,073,741,825 bytes",
        "32-bit values of unknown range",
    ]


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "png", "tif", "tiff", "bmp", "gif", "webp"])
def test_every_format_that_datasets_read_is_known(tmp_path: Path, extension: str) -> None:
    PillowImage.fromarray(noise_image(20, 30, 0)).save(tmp_path / f"a#1.{extension}")

    found = inspect(tmp_path / f"a#1.{extension}")

    assert (found.reasons, found.notes) == ({}, {})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_the_mode_of_the_file_is_reported(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    values = np.arange(600, dtype=np.uint16).reshape(20, 30)
    made = PillowImage.fromarray(values) if mode == "I;16" else PillowImage.new(mode, (30, 20))
    made.save(path)

    assert inspect(path).mode.tolist() == [mode]


def test_remarks_are_made_on_files_that_are_read_nevertheless(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    jpeg(folder / "a.jpg")
    jpeg(tmp_path / "images_of_others" / "a.jpg")
    (folder / "inside.jpg").symlink_to("a.jpg")
    (folder / "outside.jpg").symlink_to("../images_of_others/a.jpg")
    frames = [PillowImage.fromarray(noise_image(20, 30, seed)) for seed in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "still.gif")
    frames[0].save(folder / "a.png")
    (folder / "a.png").rename(folder / "png.jpg")
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    frames[0].save(folder / "rotated.jpg", exif=exif)
    names = ("still.gif", "animated.gif", "inside.jpg", "outside.jpg", "png.jpg", "rotated.jpg")

    found = inspect(*(folder / name for name in names))

    assert found.ok.all()
    assert found.notes == {1: [NOTES[0]], 3: [NOTES[1]], 4: [NOTES[2]], 5: [NOTES[3]]}
    np.testing.assert_array_equal(found.hash[0], found.hash[1])
    assert found.height[5] == 20


@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(("tag", "of_mask"), [(1, 1), (6, 6), (3, 1), (1, 8)])
def test_an_orientation_is_named_in_every_format_and_where_that_of_the_mask_differs(
    tmp_path: Path, form: str, tag: int, of_mask: int
) -> None:
    for name, orientation in (("a", tag), ("m", of_mask)):
        exif = PillowImage.Exif()
        exif[0x0112] = orientation
        PillowImage.fromarray(noise_image(20, 30, 0)).save(tmp_path / f"{name}.{form}", exif=exif)
    path, mask = str(tmp_path / f"a.{form}"), str(tmp_path / f"m.{form}")

    found = inspect_images([path] * 3, masks=[mask, "", "gone.png"], progress=False)
    report = audit(pd.DataFrame({"id": ["a"], "image_path": [path], "mask_path": [mask]}))

    turned, different = [NOTES[3]] * (tag != 1), [NOTES[4]] * (tag != of_mask)
    expected = {0: turned + different, 1: turned, 2: turned}
    assert found.notes == {number: notes for number, notes in expected.items() if notes}
    assert (found.height.tolist(), found.width.tolist()) == ([20] * 3, [30] * 3)
    assert report.notes["note"].tolist() == turned + different


def test_an_image_of_a_store_is_known_by_its_pixels(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 0)):
        write_image(tmp_path / "in" / f"{name}.png", noise_image(40, 40, seed))
    store = prepare(tmp_path / "in", tmp_path / "store", steps=[], image_size=32, progress=False)
    paths = [store.image_path(number) for number in range(3)]

    found = inspect(*paths, paths[0].replace("#0", "#7"), tmp_path / "gone" / "images.npy#0")

    assert found.state.tolist() == [0, 0, 0, 2, 1]
    assert found.format[:3].tolist() == ["store"] * 3
    assert found.size[:3].tolist() == [32 * 32 * 3] * 3
    assert (found.digest[0] == found.digest[2]).all()
    assert (found.digest[0] != found.digest[1]).any()
    assert found.reasons[3][0] == "cannot be opened"


def test_a_row_of_a_store_that_others_changed_is_reported(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / "in" / f"{number}.png", noise_image(32, 32, number))
    store = prepare(tmp_path / "in", tmp_path / "store", steps=[], image_size=32, progress=False)
    with (store.path / "images.npy").open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"changed")

    found = inspect(*(store.image_path(number) for number in range(3)))

    assert found.ok.tolist() == [True, True, False]
    reason, detail = found.reasons[2]
    assert reason == "cannot be opened"
    assert f"`{store.image_path(2)}` to be the row that was written, but got other bytes" in detail


def test_an_image_of_an_hdf5_file_is_read_by_its_id(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="an optional reader of ISIC 2024")
    data = jpeg(tmp_path / "a.jpg")
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["A"] = np.void(data)

    found = inspect(*(f"{tmp_path / 'images.hdf5'}#{name}" for name in "AB"), tmp_path / "a.jpg")

    assert found.ok.tolist() == [True, False, True]
    assert (found.digest[0] == found.digest[2]).all()
    assert not found.notes


def test_the_same_is_found_with_any_number_of_workers(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(70)]
    for number in range(0, 70, 2):
        write_image(paths[number], noise_image(9, 8 + number, number))
    (tmp_path / "5.png").write_bytes(b"no image")

    one, two = (vars(inspect(*paths, workers=workers)) for workers in (1, 2))

    for name in one:
        np.testing.assert_equal(one[name], two[name])
    assert (one["state"] == 0).sum() == 35


@pytest.mark.parametrize("error", [IndexError("deep"), MemoryError(), RuntimeError("of a codec")])
def test_a_decoder_that_fails_in_its_own_way_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    jpeg(tmp_path / "a.jpg")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("dermolib.auditing.images.decode_image", fail)

    assert state_of(tmp_path / "a.jpg")[:2] == ("unreadable", "damaged or truncated (JPEG)")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_file_with_an_inverted_byte_never_stops_the_reading(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(noise_image(9, 11, 0)).save(buffer, format=form)
    data = buffer.getvalue()
    places = range(0, len(data), max(1, len(data) // 60))
    for place in places:
        inverted = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        (tmp_path / f"{place}.bin").write_bytes(inverted)

    found = inspect(*(tmp_path / f"{place}.bin" for place in places))

    assert set(found.reasons) == set(np.flatnonzero(~found.ok).tolist())


def test_workers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("`workers` to be an integer of 1 or more")):
        inspect(workers=0)

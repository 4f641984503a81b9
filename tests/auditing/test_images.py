"""Every file is read once, and none of them stops the reading."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage

from dermolib import prepare
from dermolib.auditing.hashing import HASH_BYTES, perceptual_hash
from dermolib.auditing.images import NOTES, STATES, Inspection, inspect_images
from dermolib.io import MAX_PIXELS, read_image, write_image
from drawing import noise_image


def inspect(*paths: Path | str, **options: bool) -> Inspection:
    return inspect_images([str(path) for path in paths], progress=False, **options)


def state_of(path: Path) -> tuple[str, str]:
    """Give the state of one file and what is wrong with it."""
    found = inspect(path)
    return STATES[found.state[0]], found.reasons.get(0, ("", ""))[0]


def notes_of(path: Path) -> list[str]:
    return inspect(path).notes.get(0, [])


def jpeg(path: Path) -> bytes:
    write_image(path, noise_image(40, 60, 0))
    return path.read_bytes()


def png_of_size(width: int, height: int) -> bytes:
    """Write a PNG file of which the header alone says how large it is."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_an_image_is_described_by_size_mode_format_bytes_digest_and_hash(tmp_path: Path) -> None:
    data = jpeg(tmp_path / "a.jpg")

    found = inspect(tmp_path / "a.jpg")

    assert found.ok.tolist() == [True]
    assert [getattr(found, name).tolist() for name in ("height", "width")] == [[40], [60]]
    assert [getattr(found, name).tolist() for name in ("mode", "format")] == [["RGB"], ["JPEG"]]
    assert found.size.tolist() == [len(data)]
    assert found.digest.any()
    expected = perceptual_hash(read_image(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(found.hash[0], expected)
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


def test_paths_that_come_one_by_one_are_inspected(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg")

    found = inspect_images((str(path) for path in [tmp_path / "a.jpg"]), progress=False)

    assert found.ok.tolist() == [True]


@pytest.mark.parametrize("path", ["a.jpg", b"a.jpg", Path("a.jpg")], ids=repr)
def test_a_single_path_is_refused(path: Any) -> None:
    sentence = (
        r"^Expected `paths` to be several paths, but got .*a\.jpg.* alone\. Put it into a list\.$"
    )
    with pytest.raises(TypeError, match=sentence):
        inspect_images(path, progress=False)


def test_without_hashes_files_are_read_all_the_same(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")

    found = inspect(tmp_path / "a.jpg", tmp_path / "b.jpg", hashes=False)

    assert found.ok.tolist() == [True, False]
    assert found.digest[0].any()
    assert not found.hash.any()
    assert found.hash.shape == (2, HASH_BYTES)


def test_equal_files_have_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg(tmp_path / "a.jpg"))
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + b"\0")

    found = inspect(*(tmp_path / f"{name}.jpg" for name in "abc"))

    assert (found.digest[0] == found.digest[1]).all()
    assert (found.digest[0] != found.digest[2]).any()
    assert (found.hash[0] == found.hash[2]).all()


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    found = inspect("", tmp_path / "gone.jpg", tmp_path / "gone" / "a.jpg")

    assert found.state.tolist() == [STATES.index("missing")] * 3
    assert [reason for reason, _ in found.reasons.values()] == [
        "no file found",
        "file not found",
        "file not found",
    ]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jpg", b"", "empty file"),
        ("a.jpg", b"<!DOCTYPE html><p>404", "a web page, such as an error message, not"),
        ("a.jpg", b"\xef\xbb\xbf\n <HTML><body>Sign in", "a web page"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a.jpg", b"\0" * 900, "not an image of a known format"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0", "not an image of a known format"),
        ("a.png", png_of_size(30_000, 30_000), "too many pixels"),
        ("a.png", png_of_size(10_000, 9_000), "too many pixels"),
        ("a.png", png_of_size(40, 60), "damaged or truncated (PNG)"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not an image of a known format"),
    ],
)
def test_what_is_no_image_is_told_by_what_it_is(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)

    state, words = state_of(tmp_path / name)

    assert state == "unreadable"
    assert words.startswith(reason)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_unreadable_however_late(tmp_path: Path, share: float) -> None:
    data = jpeg(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data[: int(share * len(data))])

    assert state_of(tmp_path / "a.jpg")[0] == "unreadable"


def test_a_bomb_is_refused_by_its_header_and_its_size_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(10_000, 9_000))

    found = inspect(tmp_path / "a.png")

    assert found.reasons[0] == (
        "too many pixels",
        f"10,000 x 9,000 px, the limit is {MAX_PIXELS:,} px in all",
    )


def test_a_folder_a_pipe_and_an_impossible_name_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    os.mkfifo(tmp_path / "b.jpg")

    found = inspect(tmp_path / "a.jpg", tmp_path / "b.jpg", "nul\0.jpg", "x" * 5000)

    assert found.state.tolist() == [STATES.index("unreadable")] * 4
    assert found.reasons[0][0] == found.reasons[1][0] == "a folder or a device, not a file"
    assert found.reasons[2][0] == found.reasons[3][0] == "cannot be opened"


def test_a_file_larger_than_any_camera_makes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole, which takes no room on the disk

    assert inspect(tmp_path / "a.jpg").reasons[0] == ("too large", "1,073,741,825 bytes")


def test_values_of_32_bits_are_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "a.tif")

    assert state_of(tmp_path / "a.tif") == (
        "unreadable",
        "32-bit values of unknown range",
    )


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "gif", "webp"])
def test_every_format_that_datasets_read_is_known(tmp_path: Path, ending: str) -> None:
    PillowImage.fromarray(noise_image(20, 30, 0)).save(tmp_path / f"a.{ending}")

    found = inspect(tmp_path / f"a.{ending}")

    assert found.reasons == {}
    assert not found.notes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_the_mode_of_the_file_is_told(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    values = np.arange(600, dtype=np.uint16).reshape(20, 30)
    made = PillowImage.fromarray(values) if mode == "I;16" else PillowImage.new(mode, (30, 20))
    made.save(path)

    assert inspect(path).mode.tolist() == [mode]


def test_an_animation_is_read_as_its_first_frame_and_told(tmp_path: Path) -> None:
    frames = [PillowImage.fromarray(noise_image(20, 30, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.gif")

    found = inspect(tmp_path / "a.gif", tmp_path / "b.gif")

    assert found.ok.all()
    assert notes_of(tmp_path / "a.gif") == [NOTES[0]]
    np.testing.assert_array_equal(found.hash[0], found.hash[1])


def test_a_link_out_of_the_folder_is_told_and_one_inside_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    jpeg(folder / "a.jpg")
    jpeg(tmp_path / "images_of_others" / "a.jpg")
    (folder / "inside.jpg").symlink_to("a.jpg")
    (folder / "outside.jpg").symlink_to("../images_of_others/a.jpg")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")

    assert notes_of(folder / "inside.jpg") == []
    assert notes_of(folder / "outside.jpg") == [NOTES[1]]
    assert state_of(folder / "nowhere.jpg")[0] == "missing"


def test_the_ending_of_another_format_is_told(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise_image(20, 30, 0))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")

    assert state_of(tmp_path / "a.jpg") == ("ok", "")
    assert notes_of(tmp_path / "a.jpg") == [NOTES[2]]


def test_an_orientation_tag_is_told(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.fromarray(noise_image(20, 30, 0)).save(tmp_path / "a.jpg", exif=exif)

    assert notes_of(tmp_path / "a.jpg") == [NOTES[3]]
    assert inspect(tmp_path / "a.jpg").height.tolist() == [20]


def test_a_row_of_a_store_is_known_by_its_pixels(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 0)):
        write_image(tmp_path / "in" / f"{name}.png", noise_image(40, 40, seed))
    store = prepare(tmp_path / "in", tmp_path / "store", steps=[], image_size=32, progress=False)

    found = inspect(*(store.image_path(number) for number in range(3)))

    assert found.ok.all()
    assert found.format.tolist() == ["store"] * 3
    assert found.size.tolist() == [32 * 32 * 3] * 3
    assert (found.digest[0] == found.digest[2]).all()
    assert (found.digest[0] != found.digest[1]).any()


def test_a_row_that_a_store_lacks_is_a_finding(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", noise_image(40, 40, 0))
    store = prepare(tmp_path / "in", tmp_path / "store", steps=[], image_size=32, progress=False)
    beyond = store.image_path(0).replace("#0", "#7")

    found = inspect(beyond, tmp_path / "gone" / "images.npy#0")

    assert [STATES[state] for state in found.state] == ["unreadable", "missing"]
    assert found.reasons[0][0] == "no such image in the store"


def test_a_file_with_a_number_sign_is_a_file(tmp_path: Path) -> None:
    jpeg(tmp_path / "a#1.jpg")

    assert state_of(tmp_path / "a#1.jpg") == ("ok", "")
    assert state_of(tmp_path / "b#1.jpg")[0] == "missing"


def test_an_image_of_an_hdf5_file_is_read_by_its_id(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="an optional reader of ISIC 2024")
    data = jpeg(tmp_path / "a.jpg")
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["A"] = np.void(data)

    found = inspect(f"{tmp_path / 'images.hdf5'}#A", tmp_path / "a.jpg")
    lacking = inspect(f"{tmp_path / 'images.hdf5'}#B")

    assert found.ok.all()
    assert (found.digest[0] == found.digest[1]).all()
    assert not found.notes
    assert not lacking.ok.any()


def test_the_same_is_found_with_any_number_of_workers(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(70)]
    for number in range(0, 70, 2):
        write_image(paths[number], noise_image(9, 8 + number, number))
    (tmp_path / "5.png").write_bytes(b"no image")

    one, two = (inspect_images(paths, workers=workers, progress=False) for workers in (1, 2))

    for name, values in vars(one).items():
        np.testing.assert_equal(values, vars(two)[name])
    assert len(one) == 70
    assert one.ok.sum() == 35


@pytest.mark.parametrize("error", [IndexError("deep"), MemoryError(), RuntimeError("of a codec")])
def test_a_decoder_that_fails_in_its_own_way_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    jpeg(tmp_path / "a.jpg")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("dermolib.auditing.images.decode_image", fail)

    assert state_of(tmp_path / "a.jpg") == ("unreadable", "damaged or truncated (JPEG)")


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_file_with_a_byte_turned_never_stops_the_reading(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(noise_image(9, 11, 0)).save(buffer, format=form)
    data = buffer.getvalue()
    places = range(0, len(data), max(1, len(data) // 60))
    for place in places:
        (tmp_path / f"{place}.bin").write_bytes(flip(data, place))

    found = inspect(*(tmp_path / f"{place}.bin" for place in places))

    assert set(found.reasons) == set(np.flatnonzero(~found.ok).tolist())


def test_workers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`workers` to be an integer of 1 or more, but got 0"):
        inspect_images([], workers=0, progress=False)

"""Images in HDF5 files: read as from files of their own, and nothing else is read."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dermolib._validation import DatasetNotFoundError
from dermolib.datasets.store import content_digest, load_image
from dermolib.io import (
    ENDINGS,
    find_keys,
    hdf5,
    hdf5_path,
    read_hdf5,
    read_image,
    split_path,
    write_image,
)
from drawing import noise_image

h5py: Any = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a JPEG in two ways, and what is none."""
    write_image(tmp_path / "a.jpg", noise_image(12, 16, 0))
    data = (tmp_path / "a.jpg").read_bytes()
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["void"] = np.void(data)
        file["bytes"] = np.frombuffer(data, np.uint8)
        file["A#1"] = np.void(data)
        file["html"] = np.void(b"<html>Not found</html>")
        file["text"] = "text"
        file.create_group("group")
        file["soft"] = h5py.SoftLink("/void")
        file["outside"] = h5py.ExternalLink("other.hdf5", "/void")
        packed = file.create_dataset(
            "packed", (8,), "uint8", chunks=(8,), compression=32004, allow_unknown_filter=True
        )
        packed.id.write_direct_chunk((0,), b"packed")
        elsewhere = [(str(tmp_path / "a.jpg"), 0, 8)]
        file.create_dataset("elsewhere", (8,), "uint8", external=elsewhere)
    return tmp_path / "images.hdf5"


@pytest.mark.parametrize("key", ["void", "bytes", "A#1"])
def test_an_image_is_that_of_its_file(file: Path, key: str) -> None:
    path = hdf5_path(file, key)

    np.testing.assert_array_equal(load_image(path), read_image(file.with_name("a.jpg")))
    assert hdf5.read_hdf5_bytes(path) == file.with_name("a.jpg").read_bytes()
    assert content_digest(path) == content_digest(file.with_name("a.jpg"))


@given(
    folder=st.text("a#/.\n"),
    ending=st.sampled_from([*ENDINGS, *map(str.upper, ENDINGS)]),
    key=st.text(),
)
@example(folder="", ending=".h5", key="A#1")
@example(folder="", ending=".h5", key="a.hdf5#1")
def test_what_was_joined_is_split_again_whatever_the_id(folder: str, ending: str, key: str) -> None:
    file = f"{folder}images{ending}"

    assert split_path(hdf5_path(file, key)) == (file, key)


@pytest.mark.parametrize("path", ["a.jpg", "a#1.jpg", "images.npy#7", "a.hdf5", "a.hdf5.npy#7", ""])
def test_the_path_of_another_file_is_not_split(path: str) -> None:
    assert split_path(path) is None


def test_what_a_file_has_is_told(file: Path) -> None:
    assert find_keys(file, ["void", "A\udcff", "bytes"]) == ["void", "", "bytes"]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("nothing", "an HDF5 file with the bytes of 'nothing', but got one without."),
        ("group", "with the bytes of 'group', but got something else."),
        ("elsewhere", "with the bytes of 'elsewhere', but got something else."),
        ("text", "images.hdf5#text` to be an image file, but got 4 bytes that no image decoder"),
        ("soft", "with the bytes of 'soft', but got one without."),
        ("outside", "with the bytes of 'outside', but got one without."),
        ("packed", "with the bytes of 'packed', but got a damaged one ("),
        (".", "with the bytes of '.', but got a damaged one (Unable to get link info"),
        ("A\udcff", "with the bytes of 'A\\udcff', but got a damaged one ('utf-8' codec"),
        ("html", "images.hdf5#html` to be an image file, but got 22 bytes that no image decoder"),
    ],
)
def test_what_is_no_image_of_the_file_is_refused(file: Path, key: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_hdf5(hdf5_path(file, key))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "page.hdf5").write_bytes(b"<html>")

    with pytest.raises(ValueError, match=r"page\.hdf5` to be an HDF5 file, but got"):
        find_keys(tmp_path / "page.hdf5", ["a"])
    with pytest.raises(DatasetNotFoundError, match=r"absent\.hdf5` to exist"):
        find_keys(tmp_path / "absent.hdf5", ["a"])


def test_a_file_whose_list_of_images_is_damaged_is_named(file: Path) -> None:
    data = file.read_bytes()
    file.with_name("other.hdf5").write_bytes(data.replace(b"BTLF", b"XXXX"))

    with pytest.raises(ValueError, match=r"other\.hdf5` to be an HDF5 file .* got a damaged one"):
        find_keys(file.with_name("other.hdf5"), ["void"])


def test_a_file_that_was_made_anew_is_opened_again(file: Path) -> None:
    path = hdf5_path(file, "void")
    first = read_hdf5(path)
    write_image(file.with_name("b.jpg"), noise_image(12, 16, 1))
    new = file.with_name("new.hdf5")
    with h5py.File(new, "w") as other:
        other["void"] = np.void(file.with_name("b.jpg").read_bytes())

    new.replace(file)

    assert (read_hdf5(path) != first).any()


def test_without_h5py_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hdf5._opened_once.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)

    with pytest.raises(ImportError, match=r"Call `pip install 'dermolib\[hdf5\]'`\."):
        find_keys(file, ["a"])


def test_an_id_is_found_however_it_is_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in ("A_downsampled", "b", "C.jpg"):
            file[name] = np.void(b"1")

    found = find_keys(tmp_path / "a.hdf5", ["A", "B", "C", "D", "b.png"])

    assert found == ["A_downsampled", "b", "C.jpg", "", "b"]
    assert sorted(find_keys(tmp_path / "a.hdf5")) == ["A_downsampled", "C.jpg", "b"]

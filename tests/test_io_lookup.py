"""Files and names that ids mean, however they are written."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.io import MASK_TAILS, SUFFIXES, ImageFolder, match_ids


def folder_of(root: Path, *files: str) -> ImageFolder:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return ImageFolder(root)


def relative(root: Path, paths: list[str]) -> list[str]:
    return [Path(path).relative_to(root).as_posix() if path else "" for path in paths]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *[("ISIC_1", f"ISIC_1{suffix}") for suffix in SUFFIXES],
        ("ISIC_1", "ISIC_1.TIFF"),
        ("ISIC_1.jpg", "ISIC_1.jpg"),
        ("ISIC_1.JPG", "isic_1.png"),
        ("ISIC_1", "isic_1.jpg"),
        ("É1", f"{unicodedata.normalize('NFD', 'é1')}.jpg"),
        ("ISIC_1", "ISIC_1_downsampled.jpg"),
        ("ISIC_1_downsampled", "ISIC_1.jpg"),
        ("a.b", "a.b.png"),
    ],
)
def test_an_image_is_found_however_its_id_is_written(tmp_path: Path, name: str, file: str) -> None:
    folder = folder_of(tmp_path, file, f"._{file}", "other.png", "notes.txt")

    assert relative(tmp_path, folder.images([name, "absent"])) == [file, ""]


@pytest.mark.parametrize("tail", MASK_TAILS)
@pytest.mark.parametrize("ending", [".png", ".BMP", ".tif", ".jpg"])
def test_a_mask_is_found_by_each_of_its_names(tmp_path: Path, tail: str, ending: str) -> None:
    names = [f"A{tail}{ending}", f"b{tail.title()}{ending}", f"C_downsampled{tail}{ending}"]
    folder = folder_of(tmp_path, *names, "A.jpg", "D.jpg", f"._D{tail}{ending}")

    found = folder.masks(["A", "B", "C", "D"], [""] * 4, own=False)

    assert relative(tmp_path, found) == [*names, ""]


def test_the_very_name_is_taken_before_one_that_is_nearly_the_same(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "A.png", "a.png", "A_downsampled.jpg", "A.jpg", "below/A.jpg")

    found = folder.images(["A", "a", "A_downsampled", "A.png"])

    expected = ["A.jpg", "a.png", "A_downsampled.jpg"]
    assert relative(tmp_path, found[:3]) == expected
    with pytest.raises(ValueError, match=r"one file for A_DOWNSAMPLED, but got 3 \("):
        folder.images(["A_DOWNSAMPLED"])


def test_the_ending_of_an_id_chooses_among_several_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "A.png", "A.jpg", "B.tif", "B.bmp")

    found = folder.images(["A", "A.png", "B.tif"])

    assert relative(tmp_path, found) == ["A.jpg", "A.png", "B.tif"]


def test_a_mask_is_rather_not_a_jpeg_and_never_its_image(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "A.jpg", "A.png", "B.png", "C_seg.jpg", "C_seg.png", "C_mask.png")
    images = [str(tmp_path / name) for name in ("A.jpg", "B.png", "C.jpg")]

    own = folder.masks(["A", "B", "C"], images, own=True)
    beside = folder.masks(["A", "B", "C"], images, own=False)

    assert relative(tmp_path, own) == ["A.png", "", "C_seg.png"]
    assert relative(tmp_path, beside) == ["", "", "C_seg.png"]


def test_subfolders_are_searched_but_those_for_masks_and_hidden_ones(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        *["MEL/A.jpg", "NV/deep/B.png", "masks/A.png", "masks/C.png", "NV/deep/B_lesion.bmp"],
        *["__MACOSX/D.jpg", ".trash/D.jpg", "MEL/._D.jpg"],
    )

    images = folder.images(["A", "b", "C", "D"], below=True)
    masks = folder.masks(["A", "b", "C", "D"], images, own=False, below=True)

    assert relative(tmp_path, images) == ["MEL/A.jpg", "NV/deep/B.png", "", ""]
    assert relative(tmp_path, masks) == ["masks/A.png", "NV/deep/B_lesion.bmp", "masks/C.png", ""]
    assert not any(folder.images(["A", "B"]))
    assert relative(tmp_path, folder.masks(["B"], [""], own=True, folder="NV/deep")) == [
        "NV/deep/B_lesion.bmp"
    ]


def test_files_of_one_name_in_several_subfolders_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a/A.jpg", "b/A.png", "a/B.jpg", "a/B.png")
    files = ", ".join(str(tmp_path / file) for file in ("a/A.jpg", "b/A.png"))

    assert relative(tmp_path, folder.images(["B"], below=True)) == ["a/B.jpg"]
    sentence = f"to be a place with one file for A, but got 2 ({files}). Move the others away"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        folder.images(["A"], below=True)


def test_a_subfolder_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    folder_of(tmp_path, "a/A.jpg", "locked/B.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        found = ImageFolder(tmp_path).images(["A"], below=True)
    finally:
        (tmp_path / "locked").chmod(0o700)

    assert relative(tmp_path, found) == ["a/A.jpg"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["b.jpg", "a.png", "d.bmp", "c.tif", "below/0.jpg"], ["a.png", "b.jpg", "c.tif"]),
        (["x/a.png", "notes.txt"], ["x/a.png"]),
        (["notes.txt", "images.zip", ".hidden"], ["images.zip", "notes.txt"]),
        ([], []),
    ],
)
def test_a_few_names_show_what_lies_there(
    tmp_path: Path, files: list[str], expected: list[str]
) -> None:
    assert folder_of(tmp_path, *files).sample() == expected


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    scan = os.scandir

    def count(path: str) -> object:
        listed.append(str(path))
        return scan(path)

    folder_of(tmp_path, "A.jpg", "a/B.jpg", "b/C.jpg")
    monkeypatch.setattr(os, "scandir", count)

    folder = ImageFolder(tmp_path)
    images = folder.images(["A", "B"])
    folder.masks(["A", "B"], images, own=False)
    assert listed == [str(tmp_path)]
    for _ in range(2):
        folder.images(["B"], below=True)
        folder.masks(["B"], [""], own=True, below=True)

    assert len(listed) == 4  # and the folder itself again, on the way to the others


@given(st.lists(st.text("aAéE.1_", min_size=1, max_size=4), unique=True, max_size=8))
def test_each_name_is_found_by_itself_whatever_the_others_are(names: list[str]) -> None:
    assert match_ids(names, names, "store") == names

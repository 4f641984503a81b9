"""Folders of images to folders of lesion masks, with a table; resuming is tested in the laws."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dermolib import segment_lesion
from dermolib._validation import Image, Mask
from dermolib.io import read_image, read_mask, write_image
from dermolib.preprocessing import ARTIFACTS, detect_artifacts, segment_folder
from drawing import lesion_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two images with a lesion, one that shows nothing, and a broken one."""
    image, _ = lesion_image(90, 120)
    write_image(tmp_path / "in" / "a.jpg", image)
    write_image(tmp_path / "in" / "sub" / "b.png", image[:, ::-1].copy())
    write_image(tmp_path / "in" / "black.png", np.zeros((40, 50, 3), np.uint8))
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8 torn")
    return tmp_path / "in"


def segment(folder: Path, out: str = "out", **options: Any) -> Any:
    return segment_folder(folder, folder.parent / out, **{"progress": False, **options})


def test_each_image_becomes_a_mask_and_a_row(folder: Path) -> None:
    report = segment(folder, method="classical")

    out = folder.parent / "out"
    table = pd.read_csv(report.csv, index_col="id", keep_default_na=False)
    assert (report.found, report.empty, report.skipped, report.failed) == (2, 1, 0, 1)
    assert table["file"].tolist() == ["a.jpg", "black.png", "broken.jpg", "sub/b.png"]
    assert table["output"].tolist() == ["a.png", "black.png", "", "sub/b.png"]
    for name, file, mask in zip(table.index, table["file"], table["output"], strict=True):
        if name != "broken":
            image, found = read_image(folder / file), read_mask(out / mask)
            np.testing.assert_array_equal(found, segment_lesion(image, method="classical"))
            assert float(table.loc[name, "area_fraction"]) == pytest.approx(found.mean(), abs=1e-6)
            artifacts = table.loc[name, list(ARTIFACTS)].astype(float).to_dict()
            assert artifacts == pytest.approx(detect_artifacts(image), abs=1e-6)
            assert 0 <= float(table.loc[name, "confidence"]) <= 1
    assert not read_mask(out / "black.png").any()
    assert "broken.jpg" in str(table.loc["broken", "error"])
    assert "Images: 2 with a lesion, 1 without one, 0 done before, 1 failed." in str(report)


def test_the_default_method_is_that_of_the_function(folder: Path) -> None:
    segment(folder)

    image = read_image(folder / "sub" / "b.png")
    found = read_mask(folder.parent / "out" / "sub" / "b.png")
    np.testing.assert_array_equal(found, segment_lesion(image))


def test_what_is_done_is_skipped_and_another_setting_refused(folder: Path) -> None:
    segment(folder, method="classical")

    again = segment(folder, method="classical")

    assert (again.found, again.empty, again.skipped, again.failed) == (0, 0, 3, 1)
    with pytest.raises(ValueError, match=r"`destination` .* another run"):
        segment(folder, method="classical", agreement=0.6)
    assert segment(folder, method="classical", agreement=0.6, overwrite=True).found == 2


def left_part(image: Image, *, columns: int = 3) -> Mask:
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[:, :columns] = True
    return mask


def test_a_function_of_yours_finds_the_masks(folder: Path) -> None:
    report = segment(folder, method=left_part, columns=5)

    table = pd.read_csv(report.csv, index_col="id")
    assert table.loc["a", "area_fraction"] == pytest.approx(5 / 120, abs=1e-6)


def test_the_first_failure_is_raised_where_asked(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        segment(folder, method="classical", errors="raise")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "unett"}, ValueError, "`method` to be one of"),
        ({"method": "classical", "threshold": 0.5}, TypeError, "`threshold` to be one of the opt"),
        ({"method": "classical", "agreement": 2}, ValueError, "`agreement` to be a number above 0"),
        ({"threshold": 0}, ValueError, r"`threshold` to be a number in 0\.001\.\.0\.999"),
        ({"presence": "high"}, TypeError, r"`presence` to be a number in 0\.\.1"),
        ({"presence": None}, TypeError, "`presence` to be a number or a text"),
        ({"errors": "ignore"}, ValueError, "`errors` to be one of"),
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more"),
        ({"out": "in/masks"}, ValueError, "`destination` to be a folder neither inside"),
        ({"method": lambda image: image}, TypeError, "dtype bool"),
    ],
)
def test_what_is_unfit_for_a_folder_is_refused_before_anything_is_written(
    folder: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        segment(folder, **options)

    assert not (folder.parent / "out").exists()

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skin import draw_skin, photograph, similarity

from dermolib._validation import Image
from dermolib.auditing import RECAPTURE_COLUMNS, Duplicates, find_recaptures

MATRIX = similarity(1.15, 25, 20, -60)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Give eight lesions, and second photographs of the first two."""
    skins = [draw_skin(seed) for seed in range(8)]
    return [
        *skins,
        photograph(skins[0], MATRIX),
        photograph(skins[1], similarity(0.8, -70, 0, 190)),
    ]


def rows(found: pd.DataFrame) -> list[list[int]]:
    return sorted(found[["first_row", "second_row"]].to_numpy().tolist())


def find(images: Any, **options: Any) -> pd.DataFrame:
    return find_recaptures(images, progress=False, **options)


def test_second_photographs_are_found_with_their_transform(images: list[Image]) -> None:
    found = find(images)
    assert rows(found) == [[0, 8], [1, 9]]
    assert tuple(found.columns) == RECAPTURE_COLUMNS
    one = found.set_index("first_row").loc[0]
    assert (one["first"], one["second"], one["kind"]) == ("0", "8", "recapture")
    assert one["scale"] == pytest.approx(1.15, rel=0.01)
    assert one["angle"] == pytest.approx(25, abs=0.5)
    assert [one["shift_x"], one["shift_y"]] == pytest.approx([20, -60], abs=2)
    assert one["score"] > 0.95
    assert one["inliers"] >= 20


@settings(max_examples=8, deadline=None)
@given(
    scale=st.floats(0.7, 1.4),
    angle=st.floats(-180, 180),
    seed=st.integers(0, 99),
    gain=st.floats(0.9, 1.1),
)
def test_any_turn_zoom_and_light_is_recovered(
    scale: float, angle: float, seed: int, gain: float
) -> None:
    skin = draw_skin(seed)
    center = similarity(scale, angle, 0, 0) @ [130, 100, 0]
    matrix = similarity(scale, angle, *(np.array([130, 100]) - center))
    found = find([skin, photograph(skin, matrix, gain=gain)])
    assert rows(found) == [[0, 1]]
    one = found.iloc[0]
    mapped = similarity(*(one[name] for name in ("scale", "angle", "shift_x", "shift_y")))
    corners = np.array([[70, 55, 1], [190, 55, 1], [190, 145, 1], [70, 145, 1]]).T
    assert np.abs(mapped @ corners - matrix @ corners).max() < 3


def test_neither_order_nor_workers_change_a_pair(images: list[Image]) -> None:
    order = np.random.default_rng(0).permutation(len(images))
    found, other = find(images), find([images[row] for row in order], workers=2)
    ends = order[other[["first_row", "second_row"]].to_numpy()]
    assert np.sort(np.sort(ends, axis=1), axis=0).tolist() == rows(found)
    assert sorted(other["inliers"]) == sorted(found["inliers"])
    assert other[["score", "agreement"]].equals(found[["score", "agreement"]])


def test_pairs_within_a_group_are_left_out(images: list[Image]) -> None:
    groups = ["L0", "L1", *["" for _ in range(6)], "L0", None]
    found = find(images, groups=groups)
    assert rows(found) == [[1, 9]]
    assert found[["first_group", "second_group"]].to_numpy().tolist() == [["L1", ""]]


def test_features_of_a_network_may_make_the_shortlist(images: list[Image]) -> None:
    features = np.random.default_rng(0).normal(size=(10, 6))
    features[8] = features[0] + 0.01
    assert rows(find(images, features=features, neighbors=1)) == [[0, 8]]


def test_neighboring_lesions_are_shared_skin() -> None:
    scene = draw_skin(3, 240, 480, lesions=[(160, 120), (300, 120)])
    left, right = (np.ascontiguousarray(scene[:, start : start + 320]) for start in (0, 140))
    found = find([left, photograph(right, similarity(1, 0, 3, 2)), photograph(left, MATRIX)])
    kinds = zip(found["first_row"], found["second_row"], found["kind"], strict=True)
    assert {(0, 1, "shared skin"), (0, 2, "recapture")} <= {*kinds}


def test_metadata_of_a_table_agree_differ_or_are_unknown(
    images: list[Image], tmp_path: Path
) -> None:
    from dermolib.io import write_image

    paths = []
    for number in (0, 1, 8, 9):
        paths.append(tmp_path / f"image_{number}.png")
        write_image(paths[-1], images[number])
    table = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "image_path": list(map(str, paths)),
            "lesion": ["L1", "L2", "L3", "L4"],
            "age": [40.0, 50.0, 45.0, 60.0],
            "sex": ["male", "female", "male", "female"],
        }
    )
    found = find(table).set_index("first")
    assert found["second"].to_dict() == {"a": "c", "b": "d"}
    assert found["metadata"].to_dict() == {"a": "agree", "b": "differ"}
    assert found.loc["a", "second_group"] == "L3"
    assert set(find(paths)["metadata"]) == {"unknown"}
    assert set(find(paths)["first"]) == {"image_0", "image_1"}


def test_missing_paths_and_metadata_of_a_table_are_named_or_unknown(
    images: list[Image], tmp_path: Path
) -> None:
    from dermolib.io import write_image

    for number in (0, 8):
        write_image(tmp_path / f"{number}.png", images[number])
    paths = [str(tmp_path / "0.png"), pd.NA, float("nan"), str(tmp_path / "8.png")]
    columns: dict[str, Any] = {
        "id": [*"abcd"],
        "image_path": paths,
        "sex": [pd.NA, "male", "male", "male"],
        "age": ["unknown", 40, 40, "unknown"],
        "site": pd.Categorical(["n/a", "back", "back", "back"]),
    }
    table = pd.DataFrame(columns)
    with pytest.warns(UserWarning, match=r"2 of 4 images cannot be read \(b, c\)"):
        found = find(table)
    assert rows(found) == [[0, 3]]
    assert found["metadata"].tolist() == ["unknown"]


def test_a_folder_that_was_emptied_gives_what_the_new_images_show(
    images: list[Image], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    assert rows(find([images[0], images[8]], destination=folder)) == [[0, 1]]
    shutil.rmtree(folder)
    assert rows(find([images[2], images[3]], destination=folder)) == []


@pytest.mark.parametrize("name", ["index.npy", "features-00000.npy", "notes.txt"])
def test_files_of_others_stay_as_they_are(images: list[Image], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match="destination"):
        find(images[:2], destination=tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_in_the_folder_is_replaced(images: list[Image], tmp_path: Path) -> None:
    folder, other = tmp_path / "work", tmp_path / "other"
    find(images[:2], destination=folder)
    other.write_text("mine")
    (folder / "index.npy").unlink()
    (folder / "index.npy").symlink_to(other)
    find(images[:2], destination=folder)
    assert other.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="files are never sparse there")
def test_a_full_disk_is_an_error_before_the_index_is_mapped(
    images: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match=r"destination.*room"):
            find(images, destination=tmp_path)
    assert not (tmp_path / "index.npy").exists()
    assert rows(find(images, destination=tmp_path)) == [[0, 8], [1, 9]]


def test_an_interrupted_call_is_continued_to_the_same_result(
    images: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dermolib.auditing import recaptures

    monkeypatch.setattr(recaptures, "_IMAGES", 3)
    monkeypatch.setattr(recaptures, "_PAIRS", 5)
    whole = find(images)
    folder, calls = tmp_path / "work", []
    from dermolib.auditing.geometry import align

    def stop(*records: Any) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return align(*records)

    monkeypatch.setattr(recaptures, "align", stop)
    with pytest.raises(KeyboardInterrupt):
        find(images, destination=folder)
    monkeypatch.setattr(recaptures, "align", align)
    monkeypatch.setattr(recaptures, "describe_image", None)  # features are not computed twice
    pd.testing.assert_frame_equal(find(images, destination=folder), whole)
    with pytest.raises(ValueError, match="destination"):
        find(images[:5], destination=folder)
    shutil.rmtree(folder)


def test_images_without_texture_or_alone_are_in_no_pair() -> None:
    gray = np.full((60, 80, 3), 128, np.uint8)
    for images in ([], [draw_skin(0)], [gray, gray, gray], [gray[:1, :1], gray[:2]]):
        found = find(images)
        assert len(found) == 0
        assert tuple(found.columns) == RECAPTURE_COLUMNS


def test_equal_images_are_all_connected() -> None:
    found = find([draw_skin(0)] * 9, neighbors=2)
    pairs = found[["first_row", "second_row"]].to_numpy()
    assert set(Duplicates(pairs, np.zeros(len(pairs))).groups(9)) == {0}
    assert found["agreement"].min() > 0.98


def test_a_common_round_field_of_view_makes_no_pair() -> None:
    y, x = np.mgrid[:200, :260]
    field = (np.hypot(x - 130, y - 100) < 98)[..., None]
    images = [np.where(field, draw_skin(seed), 3).astype(np.uint8) for seed in range(6)]
    assert len(find(images)) == 0


def test_a_common_ruler_makes_no_pair() -> None:
    images = [draw_skin(seed) for seed in range(6)]
    for image in images:
        for number in range(20):
            length = 18 if number % 5 == 0 else 9
            cv2.line(image, (10 + 12 * number, 180), (10 + 12 * number, 180 - length), (20,) * 3, 1)
    assert len(find(images)) == 0


def test_a_common_text_makes_no_pair_and_hides_no_copy() -> None:
    images = [draw_skin(seed) for seed in range(6)]
    for image in images:
        for row, color in ((30, 255), (190, 0)):
            cv2.putText(image, "CLINIC 12.03.2019", (8, row), 0, 0.8, (color,) * 3, 2)
    copy = cv2.GaussianBlur(images[0], (0, 0), 1)
    assert rows(find([*images, copy])) == [[0, 6]]


def test_files_that_cannot_be_read_are_named(images: list[Image], tmp_path: Path) -> None:
    from dermolib.io import write_image

    for number in (0, 8):
        write_image(tmp_path / f"good_{number}.png", images[number])
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = [tmp_path / name for name in ("good_0.png", "broken.png", "good_8.png", "gone.png")]
    with pytest.warns(UserWarning, match=r"2 of 4 images cannot be read \(broken, gone\)"):
        found = find(paths)
    assert rows(found) == [[0, 2]]


@pytest.mark.parametrize(
    ("images", "options", "error", "match"),
    [
        ("photos", {}, TypeError, "images.*List the files of a folder"),
        (Path("photos"), {}, TypeError, "images.*List the files of a folder"),
        (3, {}, TypeError, "images"),
        (np.zeros((9, 9, 3), np.uint8), {}, TypeError, "images"),
        ([np.zeros((9, 9), np.uint8)], {}, ValueError, r"images\[0\]"),
        (pd.DataFrame({"id": ["a"]}), {}, TypeError, "image_path"),
        (["a.png"], {"groups": ["x", "y"]}, ValueError, "groups"),
        (["a.png"], {"features": np.zeros((2, 3))}, ValueError, "features"),
        (["a.png"], {"groups": "a"}, TypeError, "groups"),
        (["a.png"], {"groups": 3}, TypeError, "groups"),
        (["a.png"], {"groups": {"a.png": "x"}}, TypeError, "groups"),
        (["a.png"], {"features": np.full((1, 3), np.nan)}, ValueError, "features"),
        (["a.png"], {"features": np.full((1, 3), 1e300)}, ValueError, "features"),
        (["a.png", "b.png"], {"features": [[1, 2], [3]]}, ValueError, "features"),
        (["a.png"], {"destination": 7}, TypeError, "destination"),
        (["a.png"], {"neighbors": 0}, ValueError, "neighbors"),
        (["a.png"], {"min_score": 2}, ValueError, "min_score"),
        (["a.png"], {"workers": 0}, ValueError, "workers"),
    ],
)
def test_what_is_no_input_is_refused(
    images: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        find(images, **options)

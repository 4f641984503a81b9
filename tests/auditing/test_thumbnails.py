"""The second image of a pair lies on the first, whatever was done to it."""

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib._validation import Image

# Of the room alone; the page shows pictures only in a browser
from dermolib.auditing.thumbnails import Layout, Thumbnail, Thumbnails, arrange
from dermolib.io import write_image


def draw(height: int, width: int, seed: int = 0) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def picture(width: int, height: int) -> Thumbnail:
    return Thumbnail("a", "data:", width, height, np.zeros((16, 16), np.float32))


def listed(folder: Path, **images: Image | None) -> Thumbnails:
    """Write images and list them as an audit does; None is a file that has gone since."""
    for name, image in images.items():
        if image is not None:
            write_image(folder / f"{name}.png", image)
    paths = [str(folder / f"{name}.png") for name in images]
    files = pd.DataFrame({"split": "train", "id": [*images], "image_path": paths, "state": "ok"})
    return Thumbnails(files, limit=1 << 20)


def shown(listed: Thumbnails, name: str) -> Thumbnail:
    found = listed.get("train", name)
    assert found is not None
    return found


def matrix(layout: Layout) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Read the matrix (2, 3) of an SVG, which lists its columns."""
    text = re.fullmatch(r"matrix\((.*)\)", layout.matrix)
    assert text
    return np.array([float(value) for value in text[1].split()]).reshape(3, 2).T


ROW = {"scale": 1.0, "angle": 0.0, "shift_x": 0.0, "shift_y": 0.0}


def test_a_crop_is_drawn_where_it_was_cut_out() -> None:
    row = ROW | {"scale": 2.0, "shift_x": -20.0, "shift_y": -10.0}

    layout = arrange(row, picture(100, 80), picture(60, 40))

    # Pixels of the crop are half as large; the center of its first one is that of pixel (10, 5)
    assert layout.matrix == "matrix(0.5 0 0 0.5 10.25 5.25)"
    assert layout.box == "0.0 0.0 100.0 80.0"


def test_a_wider_photograph_is_shown_beyond_the_first_up_to_half_its_size() -> None:
    row = ROW | {"scale": 0.1, "shift_x": 45.0, "shift_y": 36.0}

    assert arrange(row, picture(100, 80), picture(100, 80)).box == "-50.0 -40.0 200.0 160.0"


@given(
    point=st.tuples(st.integers(0, 99), st.integers(0, 79)),
    scale=st.floats(0.3, 3),
    angle=st.floats(-180, 180),
    shift=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
)
def test_a_point_of_the_second_image_is_drawn_on_that_of_the_first(
    point: tuple[int, int],
    scale: float,
    angle: float,
    shift: tuple[float, float],
) -> None:
    row = {"scale": scale, "angle": angle, "shift_x": shift[0], "shift_y": shift[1]}
    x, y = point
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    there = scale * (cos * x - sin * y) + shift[0], scale * (sin * x + cos * y) + shift[1]

    layout = arrange(row, picture(100, 80), picture(120, 90))

    # A pixel's center has half coordinates on the page
    drawn = matrix(layout) @ [there[0] + 0.5, there[1] + 0.5, 1]
    np.testing.assert_allclose(drawn, [point[0] + 0.5, point[1] + 0.5], atol=0.02)


@pytest.mark.parametrize("rotations", [0, 1, 2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_flipped_rotated_smaller_copy_is_drawn_on_its_image(
    tmp_path: Path, rotations: int, flipped: bool
) -> None:
    first = draw(60, 80)
    copy = cv2.resize(first, (40, 30), interpolation=cv2.INTER_AREA)
    copy = np.ascontiguousarray(np.rot90(copy[:, ::-1] if flipped else copy, rotations))
    pictures = listed(tmp_path, first=first, copy=np.asarray(copy, np.uint8))

    layout = arrange({}, shown(pictures, "first"), shown(pictures, "copy"))

    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    by_centers = np.linalg.inv(half) @ np.vstack([matrix(layout), [0, 0, 1]]) @ half
    drawn = cv2.warpAffine(copy, by_centers[:2], (80, 60), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(drawn.astype(int) - first.astype(int)).mean() < 3
    assert layout.box == "0.0 0.0 80.0 60.0"


def test_a_picture_is_small_and_made_once(tmp_path: Path) -> None:
    pictures = listed(tmp_path, large=draw(900, 1200), small=draw(30, 40))

    large, small = shown(pictures, "large"), shown(pictures, "small")

    assert (large.width, large.height) == (1200, 900)
    assert shown(pictures, "large") is large
    assert pictures.shown == [large, small]
    assert large.name != small.name
    assert pictures.size == len(large.uri) + len(small.uri) < 30_000


def test_what_cannot_be_shown_has_no_picture(tmp_path: Path) -> None:
    pictures = listed(tmp_path, gone=None)
    twice = pd.DataFrame({"split": "train", "id": "a", "image_path": ["b", "c"], "state": "ok"})

    assert pictures
    assert pictures.get("train", "gone") is None
    assert pictures.get("train", "other") is None
    assert not Thumbnails(twice, limit=1)  # nobody knows which of the two is meant
    assert not Thumbnails(twice[:1].assign(id=""), limit=1)
    assert not Thumbnails(twice[:1].assign(state="missing"), limit=1)

"""The field of view and the dark border: found where they are drawn, and nowhere else."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import crop_border
from dermolib._validation import Image, Mask
from dermolib.io import read_image, read_mask
from dermolib.preprocessing import Box, border_mask, field_of_view
from drawing import ellipse, noise_image

module = importlib.import_module("dermolib.preprocessing.border")

KINDS = ["bounding", "inscribed"]
SKIN = (205, 160, 140)


def skin(height: int, width: int, seed: int = 0) -> Image:
    """Draw skin with a little noise."""
    noise = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    return (np.array(SKIN) + noise).astype(np.uint8)


def framed(image: Image, field: Mask, seed: int = 0) -> Image:
    """Blacken what is outside the field, but for a little noise."""
    black = np.random.default_rng(seed).integers(0, 12, image.shape, dtype=np.uint8)
    return np.where(field[..., None], image, black)


def with_lesion(image: Image, lesion: Mask, color: tuple[int, int, int] = (45, 28, 25)) -> Image:
    return np.where(lesion[..., None], np.array(color, np.uint8), image)


def untouched(image: Image, **options: Any) -> bool:
    full = Box.full(image.shape)
    return not border_mask(image, **options).any() and all(
        field_of_view(image, kind=kind, **options) == full for kind in KINDS
    )


@pytest.mark.parametrize("side", Box._fields)
@pytest.mark.parametrize(("height", "width"), [(60, 90), (512, 512), (701, 333)])
def test_one_black_band_is_cut_off_to_the_pixel(side: str, height: int, width: int) -> None:
    cut = {"top": 13, "bottom": height - 13, "left": 13, "right": width - 13}
    box = Box.full((height, width))._replace(**{side: cut[side]})
    field = np.zeros((height, width), np.bool_)
    box.crop(field)[:] = True

    image = framed(skin(height, width), field)

    assert field_of_view(image) == box
    assert field_of_view(image, kind="inscribed").crop(field).all()


def test_a_frame_on_all_sides_is_cut_off_and_the_rest_is_bit_identical() -> None:
    image = skin(400, 600)
    box = Box(top=21, bottom=377, left=40, right=571)
    field = np.zeros((400, 600), np.bool_)
    box.crop(field)[:] = True

    cropped = crop_border(framed(image, field))

    np.testing.assert_array_equal(cropped, box.crop(image))


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((100, 120), Box(0, 100, 1, 120)),  # a line, where a cell is a pixel
        ((8, 8), Box(2, 8, 0, 8)),
        ((3000, 4000), Box(101, 2850, 333, 3777)),
    ],
)
def test_a_border_is_cut_off_to_the_pixel_at_any_size(shape: tuple[int, int], box: Box) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    box.crop(image)[:] = SKIN

    assert field_of_view(image) == box


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(40, 400),
    width=st.integers(40, 400),
    middle=st.tuples(st.floats(0.45, 0.55), st.floats(0.45, 0.55)),
    radii=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    seed=st.integers(0, 99),
)
def test_the_field_is_found_in_its_place_whatever_its_size(
    height: int, width: int, middle: tuple[float, float], radii: tuple[float, float], seed: int
) -> None:
    field = ellipse(height, width, middle, radii)
    image = framed(skin(height, width, seed), field, seed)

    bounding, inscribed = (field_of_view(image, kind=kind) for kind in KINDS)

    cells = 2 * (1 / min(height, 128) + 1 / min(width, 128))
    assert bounding.crop(field).sum() >= 0.98 * field.sum()
    assert np.prod(bounding.shape) <= (1 + 4 * cells) * np.prod(true_box(field).shape)
    if np.prod(inscribed.shape) < 0.9 * np.prod(bounding.shape):
        assert inscribed.crop(field).mean() >= 0.99
    assert (border_mask(image) != ~field).mean() <= cells


def true_box(field: Mask) -> Box:
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def test_dark_corners_stay_in_the_bounding_box_and_leave_the_inscribed_one() -> None:
    field = ellipse(450, 600, (0.5, 0.5), (0.62, 0.6))
    image = framed(skin(450, 600), field)

    bounding, inscribed = (field_of_view(image, kind=kind) for kind in KINDS)

    assert bounding == Box.full(image.shape)
    assert inscribed.crop(field).all()
    assert np.prod(inscribed.shape) > 0.6 * field.sum()


def test_the_inscribed_square_of_a_circle_keeps_two_thirds_of_it() -> None:
    field = ellipse(128, 128, (0.5, 0.5), (0.5, 0.5))

    box = field_of_view(framed(skin(128, 128), field), kind="inscribed")

    assert box.crop(field).all()
    assert np.prod(box.shape) / field.sum() == pytest.approx(2 / np.pi, abs=0.03)


def test_a_field_whose_inscribed_rectangle_is_too_small_is_cropped_to_its_bounding_box() -> None:
    rows, columns = np.mgrid[:120, :120]
    triangle = rows >= columns  # its largest rectangle is a quarter of the square
    image = framed(skin(120, 120), triangle)

    bounding, inscribed = (field_of_view(image, kind=kind) for kind in KINDS)

    assert border_mask(image).mean() > 0.4
    assert inscribed == bounding
    assert min(bounding.shape) >= 118


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 999))
def test_the_inscribed_rectangle_is_the_largest_of_all(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, columns + 1, (rows, 2)), axis=1)
    inside = (ends[:, :1] <= np.arange(columns)) & (np.arange(columns) < ends[:, 1:])
    inside[0] = True

    box = module._inscribed(inside.astype(np.uint8))

    assert box.crop(inside).all()
    assert np.prod(box.shape) == largest_by_trial(inside)


def largest_by_trial(inside: npt.NDArray[np.bool_]) -> int:
    rows, columns = inside.shape
    return max(
        (bottom - top) * (right - left)
        for top in range(rows)
        for bottom in range(top + 1, rows + 1)
        for left in range(columns)
        for right in range(left + 1, columns + 1)
        if inside[top:bottom, left:right].all()
    )


def shaded(part: Any, color: Any, image: Image | None = None) -> Image:
    """Paint a part of an image, by default of skin."""
    image = skin(300, 400) if image is None else image
    image[part] = color
    return image


BLACK = np.zeros((200, 300, 3), np.uint8)
UNTOUCHED = {
    "skin": skin(300, 400),
    "noise": noise_image(200, 200, 0),
    "black": BLACK,
    "nearly black": BLACK + np.uint8(19),
    "white": BLACK + np.uint8(255),
    "dim": skin(200, 300) // 8,
    "a black pixel": BLACK[:1, :1],
    "a gray pixel": BLACK[:1, :1] + np.uint8(30),
    "a brown lesion along a side": shaded(np.s_[:, :150], (58, 35, 30)),
    # Darker than the threshold of 0.3, and lighter than a border is
    "a shade that is not black": shaded(np.s_[:40], 55),
    "a dark corner of three cells": shaded(np.s_[:2, :2], 0, skin(100, 100)),
    "light specks alone": shaded(np.s_[::4, ::2], 200, np.zeros((128, 128, 3), np.uint8)),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_an_image_without_a_border_comes_back_equal_and_new(name: str) -> None:
    image = UNTOUCHED[name]

    assert untouched(image)
    for kind in KINDS:
        cropped = crop_border(image, kind=kind)
        np.testing.assert_array_equal(cropped, image)
        assert not np.shares_memory(cropped, image)


def test_an_image_that_is_black_as_a_whole_has_no_field_of_view() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[20:] = 19

    assert untouched(image)
    image[20:] = 20
    assert field_of_view(image) == Box(20, 100, 0, 100)


@pytest.mark.parametrize("middle", [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (0.5, 1)])
@pytest.mark.parametrize("radius", [0.15, 0.4, 0.6])
def test_a_dark_lesion_in_a_corner_or_at_a_side_is_not_a_border(
    middle: tuple[float, float], radius: float
) -> None:
    lesion = ellipse(300, 400, middle, (radius, radius))

    assert untouched(with_lesion(skin(300, 400), lesion, (12, 8, 8)))


def test_a_dark_lesion_that_touches_the_border_belongs_to_the_field() -> None:
    field = ellipse(300, 300, (0.5, 0.5), (0.45, 0.45))
    lesion = ellipse(300, 300, (0.5, 0.12), (0.1, 0.1)) & field
    image = framed(with_lesion(skin(300, 300), lesion, (12, 8, 8)), field)

    box = field_of_view(image)

    assert box.crop(lesion).sum() >= 0.85 * lesion.sum()
    assert (border_mask(image) & lesion).sum() <= 0.15 * lesion.sum()


def test_a_higher_threshold_takes_the_shade_for_border() -> None:
    image = shaded(np.s_[:40], 70)

    assert untouched(image)
    assert field_of_view(image, threshold=0.5) == Box(40, 300, 0, 400)


def test_writing_or_a_light_line_across_the_border_is_not_part_of_the_field() -> None:
    field = ellipse(400, 400, (0.5, 0.5), (0.4, 0.4))
    written, lined = (framed(skin(400, 400), field) for _ in range(2))
    box = field_of_view(written)
    cv2.putText(written, "12:03", (290, 395), cv2.FONT_HERSHEY_SIMPLEX, 1, (250, 40, 40), 3)
    cv2.line(lined, (200, 200), (399, 399), SKIN, 3)

    assert field_of_view(written) == field_of_view(lined) == box


def test_a_border_of_whole_cells_has_an_exact_mask() -> None:
    image = shaded(np.s_[:40], 0, skin(512, 512))

    np.testing.assert_array_equal(border_mask(image), np.arange(512)[:, None] < np.full(512, 40))
    assert border_mask(shaded(np.s_[:3, :3], 0, skin(100, 100))).sum() == 6  # of nine cells


@pytest.mark.parametrize("light", [0.15, 0.4, 1.2])
def test_the_field_does_not_depend_on_the_light(light: float) -> None:
    field = ellipse(300, 400, (0.5, 0.5), (0.45, 0.6))
    flat = np.where(field[..., None], np.array(SKIN), 2)

    box = field_of_view((flat * light).astype(np.uint8))

    assert box == field_of_view(flat.astype(np.uint8))
    assert box != Box.full(field.shape)


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 99))
def test_tiny_images_give_a_box_within_them(height: int, width: int, seed: int) -> None:
    image = noise_image(height, width, seed)
    image[np.random.default_rng(seed).random((height, width)) < 0.5] = 0

    for kind in KINDS:
        box = field_of_view(image, kind=kind)
        assert 0 <= box.top < box.bottom <= height
        assert 0 <= box.left < box.right <= width
        assert crop_border(image, kind=kind).shape == (*box.shape, 3)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_narrow_field_in_a_narrow_image_keeps_a_pixel_or_more(width: int) -> None:
    image = np.zeros((200, 12, 3), np.uint8)
    image[:, 5 : 5 + width] = 200

    for kind in KINDS:
        assert min(field_of_view(image, kind=kind).shape) >= 1


def test_any_view_gives_the_same_and_is_not_modified() -> None:
    whole = framed(skin(700, 900), ellipse(700, 900, (0.5, 0.5), (0.4, 0.4)))
    view = whole[::-1, ::2, ::-1]
    view.flags.writeable = False
    before = whole.copy()

    for kind in KINDS:
        box = field_of_view(view, kind=kind, threshold=0.2)
        assert box == field_of_view(view.copy(), kind=kind, threshold=0.2)
        cropped = crop_border(view, kind=kind, threshold=0.2)
        np.testing.assert_array_equal(cropped, box.crop(view))
        cropped[:] = 0
    mask = border_mask(view)
    np.testing.assert_array_equal(mask, border_mask(view.copy()))
    np.testing.assert_array_equal(whole, before)


def test_a_box_crops_the_mask_of_the_image_alike() -> None:
    mask = np.arange(30).reshape(5, 6) % 2 == 0
    box = Box(top=1, bottom=4, left=2, right=6)

    np.testing.assert_array_equal(box.crop(mask), mask[1:4, 2:6])
    assert box.crop(np.zeros((5, 6, 3))).shape == (*box.shape, 3)
    assert (box.shape, Box.full(mask.shape)) == ((3, 4), Box(0, 5, 0, 6))


@pytest.mark.parametrize("shape", [(3, 9), (9, 4), (9,)])
def test_a_box_that_reaches_beyond_the_array_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`array` to be an array of at least 4 x 5, but got shape"):
        Box(0, 4, 0, 5).crop(np.zeros(shape))


THRESHOLD = "`threshold` to be a number above 0 and up to 1"


@pytest.mark.parametrize("function", [field_of_view, crop_border, border_mask])
@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        *((skin(9, 9), {"threshold": t}, ValueError, THRESHOLD) for t in (0, -0.1, 1.1, math.nan)),
        (skin(9, 9), {"threshold": None}, TypeError, f"{THRESHOLD}, but got None"),
        (skin(9, 9), {"kind": "inscribd"}, ValueError, "`kind` to be .* Did you mean 'inscribed'"),
        (np.zeros((4, 4, 3)), {}, TypeError, "`image` to be an RGB image .* but got dtype float64"),
    ],
)
def test_what_is_unfit_is_refused(
    function: Callable[..., object], image: Any, options: Any, error: type[Exception], words: str
) -> None:
    if function is border_mask and "kind" in options:
        error, words = TypeError, "unexpected keyword"
    with pytest.raises(error, match=words):
        function(image, **options)


CLEAR = ["0000004", "0000140", "0000170", "0000281", "0000290", "0001133", "0015142", "0015638"]


@pytest.mark.data
@pytest.mark.parametrize("name", CLEAR)
def test_real_borders_are_found_and_no_lesion_is_cropped(data_dir: Path, name: str) -> None:
    folder = data_dir / "isic2018_task1"
    image = read_image(folder / "images" / f"ISIC_{name}.jpg")
    lesion = read_mask(folder / "masks" / f"ISIC_{name}_segmentation.png", shape=image.shape[:2])

    box = field_of_view(image)

    assert border_mask(image).mean() > 0.01
    assert box.crop(lesion).sum() >= 0.995 * lesion.sum()
    assert field_of_view(image, kind="inscribed") != Box.full(image.shape)


@pytest.mark.data
def test_of_real_images_flagged_as_free_of_artefacts_none_is_cropped(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    rows = [row.split(",") for row in (folder / "artefacts.csv").read_text().split()[1:]]
    clean = [name for name, *flags in rows if "1" not in flags]

    for name in clean:
        image = read_image(folder / "images" / f"{name}.jpg")
        assert field_of_view(image) == Box.full(image.shape)

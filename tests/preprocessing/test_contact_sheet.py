"""The contact sheet: which images it shows, and where they stand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib._validation import Image
from dermolib.io import read_image, write_image
from dermolib.preprocessing.contact_sheet import (
    SheetEntry,
    is_contact_sheet,
    sheet_entry,
    spread_ranks,
    write_contact_sheet,
)

BLUE, RED, GREY = (0, 0, 255), (255, 0, 0), (200, 200, 200)


def plain(height: int, width: int, color: tuple[int, int, int]) -> Image:
    return np.full((height, width, 3), color, np.uint8)


def entry(name: str = "a.png", *, height: int = 100, width: int = 256) -> SheetEntry:
    mask = np.zeros((height, width), np.bool_)
    mask[:, : width // 2] = True
    return sheet_entry(name, plain(height, width, BLUE), mask, plain(height, width, RED))


def test_images_are_chosen_at_even_steps_from_the_most_masked_to_the_least() -> None:
    fractions = [0.0, 0.5, 0.1, np.nan, 0.4, 0.2, 0.3]

    assert spread_ranks(fractions, count=3).tolist() == [1, 6, 0]
    assert spread_ranks(fractions, count=99).tolist() == [1, 4, 6, 5, 2, 0]
    ranks = spread_ranks([0.0, 0.5] * 50, count=100).tolist()
    assert ranks == [*range(1, 100, 2), *range(0, 100, 2)]
    assert spread_ranks([np.nan], count=2).tolist() == []
    assert spread_ranks([], count=2).tolist() == []


@settings(deadline=None, max_examples=50)
@given(
    fractions=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan")))), count=st.integers(1, 20)
)
def test_chosen_images_are_different_in_order_and_include_both_ends(
    fractions: list[float], count: int
) -> None:
    chosen = spread_ranks(fractions, count=count)

    known = [value for value in fractions if not np.isnan(value)]
    values = [fractions[place] for place in chosen]
    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(known))
    assert values == sorted(values, reverse=True)
    assert not known or values[0] == max(known)
    assert len(chosen) < 2 or values[-1] == min(known)


def test_each_column_shows_before_mask_and_after_from_top_to_bottom(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "sheet.png", [entry(), entry("b.png")])

    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape == (8 + 40 + 3 * 108 + 8, 64 + 2 * 264, 3)
    for left in (64, 64 + 264):
        for row, (at_left, at_right) in enumerate(
            [(BLUE, BLUE), ((255,) * 3, (0,) * 3), (RED,) * 2]
        ):
            middle = 8 + 40 + row * 108 + 50
            assert sheet[middle, left].tolist() == list(at_left)
            assert sheet[middle, left + 255].tolist() == list(at_right)
            assert sheet[middle, left + 258].tolist() == list(GREY)
            assert sheet[middle + 54, left].tolist() == list(GREY)


def test_more_than_six_images_go_on_in_a_second_band(tmp_path: Path) -> None:
    entries = [entry(height=256)] * 6 + [entry(height=10)] * 2

    write_contact_sheet(tmp_path / "sheet.png", entries)

    sheet = read_image(tmp_path / "sheet.png")
    first, second = 40 + 3 * 264 + 8, 40 + 3 * 18 + 8
    assert sheet.shape == (first + second + 8, 64 + 6 * 264, 3)
    assert sheet[8 + first + 40 + 5, 64].tolist() == list(BLUE)
    assert sheet[8 + first + 40 + 5, 64 + 2 * 264].tolist() == list(GREY)


def test_panels_keep_their_shape_and_are_never_enlarged() -> None:
    sizes = {(1024, 2048): (128, 256), (2000, 1000): (256, 128), (40, 30): (40, 30)}

    for (height, width), small in (sizes | {(1, 3000): (1, 256)}).items():
        shown = entry(height=height, width=width)
        assert [panel.shape[:2] for panel in shown.panels] == [small] * 3


def test_a_hair_of_less_than_a_pixel_is_still_seen() -> None:
    mask = np.zeros((2048, 2048), np.bool_)
    mask[:, 1003:1005] = True  # between the pixels that a thinned-out image would keep
    image = plain(2048, 2048, BLUE)

    shown = sheet_entry("a.png", image, mask, image)

    assert shown.masked_fraction == pytest.approx(2 / 2048)
    assert (shown.panels[1].max(axis=(1, 2)) > 50).all()


def test_a_long_name_stays_over_its_panel_and_any_letter_can_be_drawn(tmp_path: Path) -> None:
    names = ["folder/" * 40 + "end.jpg", "caf\udce9.jpg", "皮膚.png", "ä.png"]

    write_contact_sheet(tmp_path / "long.png", [entry(name) for name in names[:1]])
    write_contact_sheet(tmp_path / "all.png", [entry(name) for name in names])

    captions = read_image(tmp_path / "long.png")[8:28, 64:]
    assert (captions[:, :200] != GREY).any()
    assert (captions[:, 257:] == GREY).all()


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        write_contact_sheet(tmp_path / name, [entry()])

    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_contact_sheet_is_known_from_other_files(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "sheet.png", [entry()])
    write_image(tmp_path / "photo.png", plain(8, 8, RED))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "sheet.png").read_bytes()[:30])

    assert is_contact_sheet(tmp_path / "sheet.png")
    for name in ("photo.png", "text.png", "cut.png", "gone.png"):
        assert not is_contact_sheet(tmp_path / name)

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import texts, ticks
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dermolib._validation import Image
from dermolib.datasets import read_table
from dermolib.io import write_image
from dermolib.labels import DIAGNOSES
from dermolib.reporting import plot_class_sheet
from dermolib.reporting._class_sheet import sheet_rows  # a figure does not say which files it shows

CODES = [diagnosis.code for diagnosis in DIAGNOSES]
RED, BLUE = (200, 20, 20), (20, 20, 200)


def cell(axes: Axes, row: int, column: int) -> Image:
    pixels = np.asarray(axes.images[0].get_array())
    top, left = row * 188, column * 248
    return pixels[top : top + 180, left : left + 240]


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Write two red melanomas, 4 to 3, and a blue nevus, square."""
    for name, color, size in (("a", RED, (30, 40)), ("b", RED, (60, 80)), ("c", BLUE, (20, 20))):
        write_image(tmp_path / f"{name}.png", np.full((*size, 3), color, np.uint8))
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    return pd.DataFrame(
        {"label": [0, 0, 1], "diagnosis": ["mel", "mel", "nv"], "image_path": paths}
    )


def test_each_class_has_a_row_with_its_code_and_count(table: pd.DataFrame) -> None:
    axes = plot_class_sheet(table, images=3)

    counts = [2, 1, 0, 0, 0, 0, 0, 0]
    assert ticks(axes) == [f"{code}\n{count}" for code, count in zip(CODES, counts, strict=True)]
    assert texts(axes) == ["no image"] * 6
    assert axes.get_title() == "Images of each class (up to 3 shown)"


def test_images_fill_their_cells_in_their_own_proportions(table: pd.DataFrame) -> None:
    axes = plot_class_sheet(table)

    assert (cell(axes, 0, 0) == RED).all()
    assert (cell(axes, 0, 1) == RED).all()
    blue = (cell(axes, 1, 0) == BLUE).all(axis=2)
    assert blue[:, 30:210].all()
    assert not blue[:, :30].any()
    assert not blue[:, 210:].any()
    assert (cell(axes, 1, 1) == 255).all()


def test_no_more_images_are_shown_than_asked_for(table: pd.DataFrame) -> None:
    axes = plot_class_sheet(table, images=1)

    pixels = np.asarray(axes.images[0].get_array())
    assert pixels.shape == (8 * 188 - 8, 240, 3)
    assert ticks(axes)[0] == "MEL\n2"


def test_a_data_set_is_shown_without_its_transform(table: pd.DataFrame) -> None:
    data = SimpleNamespace(table=table, transform=None)

    shown = np.asarray(plot_class_sheet(data).images[0].get_array())

    assert np.array_equal(shown, np.asarray(plot_class_sheet(table).images[0].get_array()))


def test_cells_say_why_a_file_cannot_be_read(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    paths = [str(tmp_path / "page.jpg"), str(tmp_path / "none.jpg"), ""]

    axes = plot_class_sheet(table.assign(image_path=paths, label=[0, 1, 2]))

    assert texts(axes)[:3] == ["unreadable", "not found", "no file"]
    assert axes.get_title() == "Images of each class (up to 6 shown, 3 unreadable)"
    assert (cell(axes, 0, 0) == 232).all()


def test_rows_without_a_label_have_a_row_of_their_own(table: pd.DataFrame) -> None:
    some = table.assign(label=pd.array([0, None, None], dtype="Int64"))

    assert ticks(plot_class_sheet(some))[-1] == "unknown\n2"
    assert ticks(plot_class_sheet(table.drop(columns=["label", "diagnosis"]).assign(id="a"))) == [
        "unknown\n3"
    ]


def test_published_codes_have_rows_by_frequency(table: pd.DataFrame) -> None:
    unlabeled = table.drop(columns="label")

    assert ticks(plot_class_sheet(unlabeled)) == ["mel\n2", "nv\n1"]
    assert ticks(plot_class_sheet(table, by="diagnosis")) == ["mel\n2", "nv\n1"]
    blank = unlabeled.assign(diagnosis=pd.array(["", None, "nv"], dtype=object))
    assert ticks(plot_class_sheet(blank)) == ["nv\n1", "unknown\n2"]


def test_of_many_codes_the_24_most_frequent_are_shown_and_the_others_counted() -> None:
    codes = [f"code {number:02}" for number in range(30) for _ in range(30 - number)]
    table = pd.DataFrame({"diagnosis": codes, "image_path": ""})

    axes = plot_class_sheet(table, images=1)

    assert ticks(axes)[-1] == "code 23\n7"
    assert axes.get_title().endswith("(up to 1 shown, 24 unreadable, 6 rarer classes not shown)")


def test_a_table_without_rows_has_no_data(table: pd.DataFrame) -> None:
    assert texts(plot_class_sheet(table.iloc[:0])) == ["no data"]


def test_a_name_given_to_the_set_stands_above(table: pd.DataFrame) -> None:
    axes = plot_class_sheet({"mine": table})  # type: ignore[arg-type] # one set by its name

    assert axes.get_title().startswith("Images of each class, mine (")


def test_axes_given_are_drawn_on(table: pd.DataFrame) -> None:
    own = Figure().add_subplot()

    assert plot_class_sheet(table, axes=own) is own
    assert len(own.images) == 1


def drawn_of(classes: list[Any], **options: Any) -> dict[str, list[int]]:
    """Row numbers of the images that are drawn of each class."""
    numbers = pd.Series(range(len(classes)))
    rows = sheet_rows(pd.Series(classes, dtype=object), numbers, CODES, **options)
    return {name: drawn for name, (_, drawn) in rows.items()}


@given(
    st.lists(st.sampled_from(CODES), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(0, 100),
)
@settings(max_examples=50)
def test_images_are_of_their_class_each_once_and_follow_from_the_seed(
    classes: list[str], images: int, seed: int
) -> None:
    drawn = drawn_of(classes, images=images, seed=seed)

    assert drawn == drawn_of(classes, images=images, seed=seed)
    for code in CODES:
        rows = drawn[code]
        assert len(rows) == len(set(rows)) == min(images, classes.count(code))
        assert all(classes[row] == code for row in rows)


def test_other_classes_do_not_change_what_is_drawn_of_one() -> None:
    mixed = CODES[:4] * 50

    alone = drawn_of(["BCC"] * 50, images=5, seed=0)["BCC"]

    assert drawn_of(mixed, images=5, seed=0)["BCC"] == [4 * row + 2 for row in alone]


def test_another_seed_draws_other_images() -> None:
    assert drawn_of(["NV"] * 1000, images=6, seed=0) != drawn_of(["NV"] * 1000, images=6, seed=1)


@pytest.mark.parametrize(
    ("data", "options", "kind", "found"),
    [
        ([1, 2], {}, TypeError, "`data` to be a data set or a table"),
        ({"a": pd.DataFrame(), "b": pd.DataFrame()}, {}, TypeError, "an object of type dict"),
        (pd.DataFrame({"label": [1]}), {}, ValueError, "a column `image_path`"),
        (pd.DataFrame({"image_path": [""]}), {}, ValueError, "a column `label` or `diagnosis`"),
        (pd.DataFrame(), {"images": 25}, ValueError, "`images` to be an integer in 1..24"),
        (pd.DataFrame(), {"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(
    data: Any, options: dict[str, Any], kind: type[Exception], found: str
) -> None:
    with pytest.raises(kind, match=found):
        plot_class_sheet(data, **options)


def test_rows_are_the_classes_of_the_label_space() -> None:
    frame = pd.DataFrame({"id": [*"ab"], "diagnosis": ["inf", "mel"]})
    table = read_table(frame, label_space=["MEL", "INF", "DF"]).assign(image_path="")

    assert ticks(plot_class_sheet(table)) == ["MEL\n1", "INF\n1", "DF\n0"]

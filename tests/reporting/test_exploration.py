import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_sets import outside, overlapping

from dermolib.io import write_image
from dermolib.reporting import plot_exploration, save_figure

KEYS = ["age", "sex", "lesion", "site", "class"]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def rows(number: int, **columns: Any) -> pd.DataFrame:
    table = {"age": 50.0, "sex": "male", "site": "head/neck", "label": 1, "lesion": "L"} | columns
    return pd.DataFrame(table, index=range(number))


def figure_of(axes: dict[str, Axes]) -> Figure:
    figures = {part.get_figure(root=True) for part in axes.values()}
    (figure,) = figures
    assert isinstance(figure, Figure)
    return figure


def test_one_figure_has_five_parts() -> None:
    table = rows(3, label=[0, 1, 1], sex=["male", "", "female"], age=[np.nan, 40, 50])

    axes = plot_exploration(table)

    assert list(axes) == KEYS
    titles = [part.get_title() for part in axes.values()]
    assert titles == ["Age", "Sex", "Images of a lesion", "Site", "Classes"]
    assert texts(axes["class"])[:3] == ["1 (33.3 %)", "2 (66.7 %)", "0 (0.0 %)"]
    assert texts(axes["lesion"])[-1] == "1 (100.0 %)"
    assert len(figure_of(axes).axes) == 5


def test_data_sets_are_compared_by_their_sides() -> None:
    train = SimpleNamespace(table=rows(3), split="train")
    test = SimpleNamespace(table=rows(2).drop(columns="label").assign(id="a"), split="test")

    axes = plot_exploration(train, test)

    legend = axes["class"].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "train (3 images)",
        "test (2 images of unknown label)",
    ]


def test_parts_of_which_no_set_has_the_column_say_so() -> None:
    axes = plot_exploration(pd.DataFrame({"site": ["back"]}))

    assert {name: texts(part) for name, part in axes.items()} == {
        "age": ["no data: no column `age`"],
        "sex": ["no data: no column `sex`"],
        "lesion": ["no data: no column `lesion`"],
        "site": ["1 (100.0 %)"],
        "class": ["no data: no column `label` or `diagnosis`"],
    }


def test_a_table_without_rows_has_no_data_anywhere() -> None:
    axes = plot_exploration(rows(1, image_path="").iloc[:0], images=2)

    assert {text for part in axes.values() for text in texts(part)} == {"no data"}


def test_images_of_the_first_set_are_shown_on_request(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    table = rows(2, image_path=str(tmp_path / "a.png"))

    axes = plot_exploration({"mine": table, "other": rows(1)}, images=2)

    assert list(axes) == [*KEYS, "sheet"]
    assert axes["sheet"].get_title() == "Images of each class, mine (at most 2 shown)"
    assert len(axes["sheet"].images) == 1


def test_without_images_no_file_is_read() -> None:
    axes = plot_exploration(rows(2, image_path="nowhere.jpg"))

    assert not any(part.images for part in axes.values())


def test_exploring_does_not_touch_the_tables() -> None:
    train, test = rows(4, image_path=""), rows(2)
    before = train.copy(), test.copy()

    plot_exploration(train, test, images=1)

    pd.testing.assert_frame_equal(train, before[0])
    pd.testing.assert_frame_equal(test, before[1])


def test_the_axes_are_saved_as_they_are_returned(tmp_path: Path) -> None:
    axes = plot_exploration(rows(2), rows(3))

    save_figure(axes, tmp_path / "a.png", dpi=40)
    save_figure(figure_of(axes), tmp_path / "b.png", dpi=40)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_figure_of_any_axes_saves_all_of_them(tmp_path: Path) -> None:
    figure = plot_exploration(rows(2))["age"].figure

    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "a.png", dpi=40)
    assert len(figure.axes) == len(KEYS)


@pytest.mark.parametrize("sets", [1, 2, 4])
def test_no_text_of_the_figure_stands_on_another_or_is_cut_off(sets: int) -> None:
    generator = np.random.default_rng(0)
    size = 2000
    table = rows(
        size,
        age=generator.integers(0, 18, size) * 5.0,
        sex=generator.choice(["female", "male", ""], size),
        site=generator.choice([f"place {n} of a name that is long" for n in range(30)], size),
        label=generator.integers(0, 8, size),
        lesion=generator.choice([*(f"L{n}" for n in range(200)), ""], size),
        image_path="",
    )
    data = {f"collection {number}": table for number in range(sets)} if sets > 1 else table

    figure = figure_of(plot_exploration(data, images=3))

    assert overlapping(figure) == []
    assert outside(figure) == []


@pytest.mark.data
def test_the_figure_of_the_real_challenge_has_its_class_counts(data_dir: Path) -> None:
    raw = pd.read_csv(data_dir / "isic_challenge" / "metadataTrain.csv")
    table = pd.DataFrame({"label": raw["CLASS"] - 1, "age": raw["AGE"]})

    axes = plot_exploration(table)

    assert texts(axes["class"])[:2] == ["3,391 (17.8 %)", "9,657 (50.8 %)"]


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "sentence"),
    [
        (
            [[1, 2]],
            {},
            TypeError,
            "Expected `data` to be a data set or a table, but got an object of type list.",
        ),
        (
            [rows(1), [1, 2]],
            {},
            TypeError,
            "Expected `other` to be a data set or a table, but got an object of type list.",
        ),
        (
            [pd.DataFrame({"ID": ["a"]})],
            {},
            ValueError,
            "Expected `data` to be a table with some of the columns age, sex, site, lesion, "
            "label, diagnosis, but got the columns ID. "
            "Read files with the functions of `dermolib.datasets`.",
        ),
        (
            [rows(1, label=8)],
            {},
            ValueError,
            "Expected `data` to be a table whose labels are whole numbers in 0..7, "
            "but got labels 8.",
        ),
        (
            [rows(1)],
            {"images": 25},
            ValueError,
            "Expected `images` to be an integer in 0..24, but got 25.",
        ),
        (
            [rows(1)],
            {"images": 2},
            ValueError,
            "Expected `data` to be a table with a column `image_path`, "
            "but got the columns age, sex, site, label, lesion. "
            "Read files with the functions of `dermolib.datasets`.",
        ),
        (
            [rows(1)],
            {"seed": 1.5},
            TypeError,
            "Expected `seed` to be an integer of 0 or more, but got 1.5 of type float.",
        ),
    ],
)
def test_what_cannot_be_explored_is_refused(
    arguments: list[Any], options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        plot_exploration(*arguments, **options)

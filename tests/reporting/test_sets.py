"""What all plots of data share: which data they take, and how sets are named and told apart."""

import itertools
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from dermolib.reporting import (
    plot_ages,
    plot_class_counts,
    plot_exploration,
    plot_images_per_lesion,
    plot_sexes,
    plot_sites,
)
from dermolib.reporting._sets import count_words

PLOTS = [plot_ages, plot_sexes, plot_sites, plot_class_counts, plot_images_per_lesion]
COLUMN = dict(zip(PLOTS, ["age", "sex", "site", "label", "lesion"], strict=True))
TABLE = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "age": [40.0, 45.0, 45.0, np.nan],
        "sex": ["male", "male", "female", ""],
        "site": ["head/neck", "palms/soles", "", "head/neck"],
        "label": pd.array([0, 1, 1, None], dtype="Int64"),
        "lesion": ["L1", "L2", "L2", ""],
    }
)
BARE: dict[Any, Any] = {
    plot_ages: [40, 45, 45, None],
    plot_sexes: ["male", "male", "female", None],
    plot_sites: ("head/neck", "palms/soles", np.nan, "head/neck"),
    plot_class_counts: [1, 2, 0, 0, 0, 0, 0, 0],
    plot_images_per_lesion: np.array(["L1", "L2", "L2", ""]),
}


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def look(axes: Axes) -> tuple[list[str], list[Any], str]:
    bars = [patch.get_bbox().bounds for patch in axes.patches if hasattr(patch, "get_bbox")]
    steps = [
        patch.get_data().values.tolist() for patch in axes.patches if hasattr(patch, "get_data")
    ]
    return [text.get_text() for text in axes.texts], bars + steps, axes.get_xlabel()


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written on a figure, and where; ticks beyond the end of an axis are not drawn."""
    figure.draw_without_rendering()
    beyond = {
        text
        for axes in figure.findobj(Axes)
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for text in (tick.label1, tick.label2)
    }
    texts = [text for text in figure.findobj(Text) if text not in beyond and text.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that are drawn over each other."""
    return [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(drawn_texts(figure), 2)
        if first.padded(-1).overlaps(second.padded(-1))
    ]


def outside(figure: Figure) -> list[str]:
    """Texts that reach over the edge of the figure."""
    whole = figure.bbox.padded(1)
    return [
        text
        for text, box in drawn_texts(figure)
        if not (whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1))
    ]


@pytest.mark.parametrize("plot", PLOTS)
def test_a_data_set_and_its_table_give_the_same_figure(plot: Callable[..., Axes]) -> None:
    data = SimpleNamespace(table=TABLE)

    assert look(plot(data)) == look(plot(TABLE))


@pytest.mark.parametrize("plot", [plot for plot in PLOTS if plot is not plot_class_counts])
def test_bare_values_give_the_figure_of_a_table_with_this_column(
    plot: Callable[..., Axes],
) -> None:
    assert look(plot(BARE[plot])) == look(plot(TABLE))


@pytest.mark.parametrize("plot", PLOTS)
def test_axes_of_ones_own_are_drawn_on_and_returned(plot: Callable[..., Axes]) -> None:
    figure = Figure()
    outer = figure.add_subfigure(figure.add_gridspec(1, 2)[0])
    own = outer.subplots()

    drawn = plot(TABLE, axes=own)

    assert drawn is own
    assert own.patches
    assert figure.findobj(Axes) == [own]


@pytest.mark.parametrize("plot", PLOTS)
def test_the_data_are_not_touched(plot: Callable[..., Axes]) -> None:
    table = TABLE.copy()

    plot(table, table)

    pd.testing.assert_frame_equal(table, TABLE)


@pytest.mark.parametrize("plot", PLOTS)
def test_the_order_of_rows_and_their_index_do_not_matter(plot: Callable[..., Axes]) -> None:
    other = TABLE.iloc[::-1].set_axis(["x", "x", "y", "z"])

    assert look(plot(other)) == look(plot(TABLE))


@pytest.mark.parametrize("plot", PLOTS)
def test_categories_and_texts_of_any_dtype_give_the_same_figure(plot: Callable[..., Axes]) -> None:
    texts = ["sex", "site", "lesion"]
    category, string = (
        TABLE.astype(dict.fromkeys(texts, dtype)) for dtype in ("category", "string")
    )
    plain = TABLE.astype(dict.fromkeys(texts, object))
    missing = plain.assign(
        sex=np.array([*plain["sex"][:3], None]),
        site=plain["site"].where(plain["site"] != "", np.nan),
        lesion=np.array([*plain["lesion"][:3], pd.NA]),
    )

    for text in texts:
        category[text] = category[text].cat.add_categories(["of no image"])
    for table in (category, string, plain, missing):
        assert look(plot(table)) == look(plot(TABLE))


@pytest.mark.parametrize("plot", PLOTS)
def test_a_second_set_is_named_by_its_side_or_by_its_place(plot: Callable[..., Axes]) -> None:
    train, test = (SimpleNamespace(table=TABLE, split=name) for name in ("train", "test"))

    assert [text.split(" ")[0] for text in legend(plot(train, test))] == ["train", "test"]
    assert [text.split(" ")[0] for text in legend(plot(train, train))] == ["first", "second"]
    assert [text.split(" ")[0] for text in legend(plot(TABLE, test))] == ["first", "second"]
    assert legend(plot(TABLE)) == []


@pytest.mark.parametrize("plot", PLOTS)
def test_a_mapping_names_up_to_eight_sets(plot: Callable[..., Axes]) -> None:
    names = [f"set {number} of $\\frac" for number in range(8)]

    axes = plot(dict.fromkeys(names, TABLE))

    assert [text.split(" (")[0] for text in legend(axes)] == names
    colors = {patch.get_facecolor() for patch in axes.patches} | {
        patch.get_edgecolor() for patch in axes.patches
    }
    assert len(colors) >= 8
    axes.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr] # it has one


@pytest.mark.parametrize("plot", PLOTS)
def test_a_set_that_lacks_the_column_is_unknown_beside_one_that_has_it(
    plot: Callable[..., Axes],
) -> None:
    axes = plot({"one": TABLE, "other": TABLE[["id"]]})

    assert re.search(r"4 unknown|4 images", legend(axes)[1])


@pytest.mark.parametrize("plot", PLOTS)
def test_a_table_of_other_columns_is_refused(plot: Callable[..., Axes]) -> None:
    column = {plot_class_counts: "label` or `diagnosis"}.get(plot, COLUMN[plot])
    sentence = (
        f"Expected `data` to be a table with a column `{column}`, but got the columns ID, CLASS. "
        "Read files with the functions of `dermolib.datasets`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        plot(pd.DataFrame({"ID": ["a"], "CLASS": [1]}))


@pytest.mark.parametrize("plot", PLOTS)
def test_tables_without_rows_and_tables_without_columns_differ(plot: Callable[..., Axes]) -> None:
    assert look(plot(TABLE.iloc[:0]))[0] == ["no data"]
    with pytest.raises(ValueError, match=r"but got no column\."):
        plot(pd.DataFrame())


@pytest.mark.parametrize("plot", PLOTS)
def test_one_row_is_drawn(plot: Callable[..., Axes]) -> None:
    texts, shapes, _ = look(plot(TABLE.iloc[:1]))

    assert shapes
    assert "no data" not in texts


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        ({}, "Expected `data` to be a mapping from names to 1..8 sets, but got 0 sets."),
        (
            {str(number): TABLE for number in range(9)},
            "Expected `data` to be a mapping from names to 1..8 sets, but got 9 sets.",
        ),
        (
            {"_a": TABLE},
            "Expected `data` to be a mapping from names to 1..8 sets, but got the name '_a'. "
            "A name is text that does not begin with an underscore.",
        ),
        (
            {"": TABLE},
            "Expected `data` to be a mapping from names to 1..8 sets, but got the name ''. "
            "A name is text that does not begin with an underscore.",
        ),
        (
            {1: TABLE},
            "Expected `data` to be a mapping from names to 1..8 sets, but got the name 1. "
            "A name is text that does not begin with an underscore.",
        ),
    ],
)
@pytest.mark.parametrize("plot", [*PLOTS, plot_exploration])
def test_a_mapping_of_other_sets_is_refused(
    plot: Callable[..., Any], sets: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        plot(sets)


def test_a_second_set_beside_a_mapping_is_refused() -> None:
    sentence = (
        "Expected `other` to be left out where `data` is a mapping, but got a DataFrame. "
        "Put all sets into the mapping."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plot_ages({"a": TABLE}, TABLE)


@pytest.mark.parametrize("values", [[["a"], ["b", "c"]], [["a"]], "male", 3])
def test_values_that_are_no_list_are_refused(values: Any) -> None:
    with pytest.raises(
        ValueError, match=r'^Expected `data` to be words \(N,\), "" where unknown, but got '
    ):
        plot_sexes(values)


@pytest.mark.parametrize("plot", [plot_sexes, plot_sites, plot_images_per_lesion])
def test_lists_within_a_column_are_refused(plot: Callable[..., Axes]) -> None:
    # the word of pandas before 3.0 stands beside that of dermolib
    with pytest.raises(TypeError, match=r"but got \['a'\]\.$|unhashable type: 'list'"):
        plot(pd.Series([["a"], "b"]))


@given(st.lists(st.sampled_from(["a", "b", "", "unknown", "Unknown ", None, np.nan, pd.NA])))
def test_words_are_counted_as_python_counts_them(words: list[Any]) -> None:
    counts = count_words(pd.Series(words, dtype=object), "data", "words")

    known = [word for word in words if word is not pd.NA and word in ("a", "b")]
    assert counts["a"] == known.count("a")
    assert counts["b"] == known.count("b")
    assert counts["unknown"] == len(words) - len(known)


@pytest.mark.parametrize("sets", [1, 2, 8])
@pytest.mark.parametrize("plot", PLOTS)
def test_no_text_stands_on_another_or_is_cut_off(plot: Callable[..., Axes], sets: int) -> None:
    generator = np.random.default_rng(0)
    size = 3000
    table = pd.DataFrame(
        {
            "age": generator.integers(0, 18, size) * 5.0,
            "sex": generator.choice(["female", "male", "other", ""], size),
            "site": generator.choice(
                [f"place {n} of a name that is long, very" for n in range(40)], size
            ),
            "label": generator.integers(0, 8, size),
            "lesion": generator.choice([*(f"L{n}" for n in range(300)), ""], size),
        }
    )
    data = {f"collection {number}": table for number in range(sets)} if sets > 1 else table

    figure = plot(data).figure

    assert isinstance(figure, Figure)
    assert overlapping(figure) == []
    assert outside(figure) == []

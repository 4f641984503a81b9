"""Figures of metadata: what they count, which data they take, and how data sets compare."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import assert_readable, figure_of, legend, steps, texts, ticks, widths
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dermolib.datasets import read_table
from dermolib.io import write_image
from dermolib.labels import DIAGNOSES
from dermolib.reporting import (
    exploration_table,
    plot_ages,
    plot_class_counts,
    plot_exploration,
    plot_images_per_lesion,
    plot_sexes,
    plot_sites,
    save_figure,
)

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
    plot_images_per_lesion: np.array(["L1", "L2", "L2", ""]),
}
TABLE_1 = [3391, 9657, 2492, 650, 1968, 179, 190, 471]  # of the paper
CODES = [diagnosis.code for diagnosis in DIAGNOSES]

Plot = Callable[..., Axes]
every_plot = pytest.mark.parametrize("plot", PLOTS)


def labeled(*labels: int | None) -> pd.DataFrame:
    return pd.DataFrame({"label": pd.array(list(labels), dtype="Int64")})


def published(*codes: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": range(len(codes)), "diagnosis": codes})


def lesions(*sizes: int) -> list[str]:
    return [f"L{number}" for number, size in enumerate(sizes) for _ in range(size)]


def large_table(sites: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    names = [f"place {n} of a name that is long, very" for n in range(sites)]
    columns = {
        "age": generator.integers(0, 18, 3000) * 5.0,
        "sex": generator.choice(["female", "male", "other", ""], 3000),
        "site": generator.choice(names, 3000),
        "label": generator.integers(0, 8, 3000),
        "lesion": generator.choice([*(f"L{n}" for n in range(300)), ""], 3000),
    }
    return pd.DataFrame(columns | {"image_path": ""})


def look(axes: Axes) -> tuple[Any, ...]:
    histograms = [step.values.tolist() for step in steps(axes)]
    return texts(axes), ticks(axes), widths(axes), histograms, axes.get_xlabel()


# Ages


def test_ages_are_percentages_of_the_known_ones_in_bins_of_five_years() -> None:
    axes = plot_ages({"train": [40, 45, 45, np.nan], "test": [45, 85]})

    train, test = steps(axes)
    assert train.edges.tolist() == [-2.5 + 5 * number for number in range(19)]
    assert np.flatnonzero(train.values).tolist() == [8, 9]
    assert train.values[[8, 9]] == pytest.approx([100 / 3, 200 / 3])
    assert test.values[[9, 17]].tolist() == [50, 50]
    assert legend(axes) == ["train (n = 3, 1 unknown)", "test (n = 2, 0 unknown)"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("age (years)", "% of images of known age")


def test_ages_of_one_data_set_are_counted_at_the_axes() -> None:
    axes = plot_ages([40, 45, 45, np.nan])

    assert axes.get_xlabel() == "age (years); 1 unknown"
    assert axes.get_ylabel() == "% of 3 images of known age"
    assert plot_ages([40]).get_xlabel() == "age (years)"


def test_the_first_data_set_is_filled_and_the_others_are_outlines() -> None:
    axes = plot_ages({"a": [40], "b": [40], "c": [40]})

    assert [patch.get_fill() for patch in axes.patches] == [True, False, False]
    assert len({patch.get_edgecolor() for patch in axes.patches}) == 3


@given(st.lists(st.floats(0, 130) | st.just(float("nan")), max_size=30))
@settings(max_examples=20)
def test_ages_agree_with_pandas_and_sum_to_100_percent(ages: list[float]) -> None:
    first = steps(plot_ages(ages, [130]))[0]

    binned = pd.cut(pd.Series(ages, dtype=float), first.edges, right=False)
    counts = binned.value_counts(sort=False).to_numpy()
    assert first.values == pytest.approx(100 * counts / max(counts.sum(), 1))
    assert sum(counts) == sum(not np.isnan(age) for age in ages)


# Sexes and sites


def test_sexes_are_percentages_of_all_images_with_the_unknown_ones_last() -> None:
    axes = plot_sexes(["male", "male", "female", ""], ["other", "", None, np.nan])

    assert ticks(axes) == ["female", "male", "other", "unknown"]
    assert widths(axes) == [25, 50, 0, 25, 0, 0, 25, 75]
    assert texts(axes)[:4] == ["1 (25.0 %)", "2 (50.0 %)", "0 (0.0 %)", "1 (25.0 %)"]
    assert legend(axes) == ["first (4 images)", "second (4 images)"]
    assert axes.get_xlabel() == "% of images"


def test_sites_come_by_frequency_and_the_unknown_ones_last() -> None:
    axes = plot_sites(["", "", "", "back", "arm", "arm"], ["leg"])

    assert ticks(axes) == ["arm", "back", "leg", "unknown"]
    assert widths(axes) == pytest.approx([100 / 3, 50 / 3, 0, 50, 0, 0, 100, 0])
    low, high = axes.get_ylim()
    assert low > high  # the most frequent one is on top


def test_sites_of_one_data_set_are_counted_at_the_axis() -> None:
    assert plot_sites(["arm"]).get_xlabel() == "% of 1 image"
    assert plot_sites(["arm"] * 1200).get_xlabel() == "% of 1,200 images"


def test_a_data_set_without_images_has_no_bars_but_a_name() -> None:
    axes = plot_sexes({"some": ["male"], "none": []})

    assert widths(axes) == [0, 100, 0]
    assert legend(axes) == ["some (1 image)", "none (0 images)"]


SITES = [*(f"site {number}" for number in range(40)), "", "NULL", "Unknown ", "N/A", None, pd.NA]


@given(st.lists(st.lists(st.sampled_from(SITES), min_size=1), min_size=1, max_size=4))
@settings(max_examples=25)
def test_bars_agree_with_python_and_sum_to_100_percent(data: list[list[Any]]) -> None:
    axes = plot_sites({f"set {number}": words for number, words in enumerate(data)})

    percent = np.array(widths(axes)).reshape(len(data), -1)
    assert percent.sum(axis=1) == pytest.approx(100)
    assert percent.shape[1] == len(ticks(axes)) <= 25
    for words, row in zip(data, percent, strict=True):
        drawn = dict(zip(ticks(axes), row, strict=True))
        names = [word if str(word) in SITES[:40] else "unknown" for word in words]
        for name in {*names} & {*drawn}:
            assert drawn[name] == pytest.approx(100 * names.count(name) / len(names))


def test_of_many_sites_the_rare_ones_share_a_bar_before_the_unknown_ones() -> None:
    words = [f"site {number:02}" for number in range(30) for _ in range(30 - number)]

    axes = plot_sites([*words, ""])

    assert ticks(axes)[21:] == ["site 21", "site 22", "7 others", "unknown"]
    rest = sum(30 - number for number in range(23, 30))
    assert widths(axes)[-2:] == pytest.approx([100 * rest / 466, 100 / 466])
    assert len(ticks(plot_sites([f"site {number}" for number in range(24)]))) == 24


def test_long_names_keep_their_start_and_their_end_in_one_line() -> None:
    (tick,) = ticks(plot_sites(["left  upper\nextremity " + "very " * 20 + "far away"]))

    assert len(tick) == 40
    assert tick.startswith("left upper extremity very")
    assert tick.endswith("far away")


# Images per lesion


def test_lesions_are_counted_by_their_images() -> None:
    axes = plot_images_per_lesion([*lesions(1, 3, 1, 1), "", ""])

    assert ticks(axes) == ["1", "2", "3"]
    assert texts(axes) == ["3 (75.0 %)", "0 (0.0 %)", "1 (25.0 %)"]
    assert axes.get_xlabel() == "% of 4 lesions\n2 images of unknown lesion"
    assert axes.get_ylabel() == "images per lesion"


def test_lesions_of_ten_or_more_images_share_a_bar_named_by_the_highest_number() -> None:
    axes = plot_images_per_lesion(lesions(9, 10, 12, 23))

    assert ticks(axes)[8:] == ["9", "10 to 23"]
    assert widths(axes)[8:] == [25, 75]
    assert ticks(plot_images_per_lesion(lesions(10)))[-1] == "10"
    assert ticks(plot_images_per_lesion(lesions(9)))[-1] == "9"


def test_data_sets_share_the_bars_of_the_largest_lesion_among_them() -> None:
    axes = plot_images_per_lesion({"a": lesions(2), "b": [*lesions(11, 1), ""]})

    assert ticks(axes)[9:] == ["10 to 11"]
    assert widths(axes)[:10] == [0, 100, 0, 0, 0, 0, 0, 0, 0, 0]
    assert widths(axes)[10:] == [50, 0, 0, 0, 0, 0, 0, 0, 0, 50]
    assert legend(axes) == ["a (1 lesion)", "b (2 lesions; 1 image of unknown lesion)"]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=25)
def test_bars_of_lesions_agree_with_a_histogram(sizes: list[int], more: int) -> None:
    shown = widths(plot_images_per_lesion([*lesions(*sizes), *[""] * more]))

    reference = np.histogram(sizes, [*range(1, 11), 31])[0]
    assert shown == pytest.approx(100 * reference[: len(shown)] / len(sizes))
    assert sum(shown) == pytest.approx(100)


@pytest.mark.parametrize(
    "numbers", [[7, 7, 8], [7.0, 7.0, 8.0, np.nan], pd.array([7, 7, 8, None], dtype="Int64")]
)
def test_lesions_may_be_numbers(numbers: Any) -> None:
    axes = plot_images_per_lesion(pd.DataFrame({"lesion": numbers}))

    assert texts(axes) == ["1 (50.0 %)", "1 (50.0 %)"]


# Classes


def test_class_counts_stand_beside_their_bars() -> None:
    axes = plot_class_counts(TABLE_1)

    assert texts(axes)[:2] == ["3,391 (17.8 %)", "9,657 (50.8 %)"]
    assert widths(axes) == pytest.approx([100 * count / 18_998 for count in TABLE_1])
    assert ticks(axes) == CODES
    assert axes.get_xlabel() == "% of 18,998 images"
    assert texts(plot_class_counts([7])) == ["7 (100.0 %)"]
    assert ticks(plot_class_counts(range(1, 12))) == [str(number) for number in range(11)]


@given(st.lists(st.integers(0, 7) | st.none(), min_size=1).filter(lambda x: set(x) != {None}))
@settings(max_examples=25)
def test_labels_are_counted_as_numpy_counts_them(labels: list[int | None]) -> None:
    axes = plot_class_counts(labeled(*labels))

    known = np.bincount([label for label in labels if label is not None], minlength=8)
    assert widths(axes)[:8] == pytest.approx(100 * known / len(labels))
    assert sum(widths(axes)) == pytest.approx(100)
    assert ticks(axes) == [*CODES, *["unknown"] * (None in labels)]


@pytest.mark.parametrize(
    "labels",
    [[0.0, 1.0, np.nan, 1.0], pd.Series([0, 1, None, 1], dtype=object)],
    ids=["floats", "objects"],
)
def test_integer_labels_with_missing_ones_are_read_from_any_type(labels: Any) -> None:
    axes = plot_class_counts(pd.DataFrame({"label": labels}))

    assert ticks(axes) == [*CODES, "unknown"]
    assert widths(axes) == [25, 50, 0, 0, 0, 0, 0, 0, 25]


@pytest.mark.parametrize("missing", [labeled(None, None)["label"], [np.nan, np.nan]])
def test_a_table_whose_labels_are_all_missing_is_counted_by_its_published_codes(
    missing: Any,
) -> None:
    table = published("nv", "akiec").assign(label=missing)

    axes = plot_class_counts(table)

    assert ticks(axes) == ["akiec", "nv"]
    assert texts(axes) == ["1 (50.0 %)", "1 (50.0 %)"]
    assert texts(plot_class_counts(table, by="label")) == ["no data: 2 images of unknown label"]
    assert ticks(plot_class_counts(table, labeled(0))) == CODES


def test_published_codes_come_by_frequency_where_there_are_no_labels_or_on_request() -> None:
    axes = plot_class_counts(published("nv", "akiec", "nv", "", None, "nv", "UNK"))

    assert ticks(axes) == ["nv", "UNK", "akiec", "unknown"]
    assert widths(axes) == pytest.approx([300 / 7, 100 / 7, 100 / 7, 200 / 7])
    table = published("nv", "akiec").assign(label=labeled(1, None)["label"])
    assert ticks(plot_class_counts(table)) == [*CODES, "unknown"]
    assert ticks(plot_class_counts(table, by="diagnosis")) == ["akiec", "nv"]


def test_a_data_set_in_which_no_class_is_known_is_in_the_legend_alone() -> None:
    axes = plot_class_counts({"train": labeled(0, 1), "test": pd.DataFrame({"id": ["a"]})})

    assert widths(axes) == [50, 50, 0, 0, 0, 0, 0, 0]
    assert legend(axes) == ["train (2 images)", "test (1 image of unknown label)"]


def test_counts_compare_with_a_table_and_take_names() -> None:
    axes = plot_class_counts({"paper": TABLE_1, "mine": labeled(0, None)})
    assert ticks(axes) == [*CODES, "unknown"]
    assert widths(axes)[9:] == [50, 0, 0, 0, 0, 0, 0, 0, 50]

    names = [f"class {number}" for number in range(7)] + ["MEL"]
    axes = plot_class_counts({"a": labeled(0, 7, 7, 7), "b": TABLE_1}, names=names)
    assert ticks(axes) == names
    assert widths(axes)[:8] == [25, 0, 0, 0, 0, 0, 0, 75]


def test_a_class_named_unknown_has_one_bar() -> None:
    axes = plot_class_counts([1, 3], names=["nevus", "unknown"])

    assert ticks(axes) == ["nevus", "unknown"]
    assert widths(axes) == [25, 75]


def test_the_table_is_table_1_of_the_paper() -> None:
    table = exploration_table(TABLE_1)

    assert list(table) == ["number", "code", "name", "count", "fraction"]
    assert table["number"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert table["name"].tolist() == [diagnosis.name for diagnosis in DIAGNOSES]
    assert table["count"].tolist() == TABLE_1
    assert table["fraction"].tolist() == pytest.approx(np.array(TABLE_1) / 18_998)
    assert exploration_table([0] * 8)["fraction"].isna().all()


# What all of them share


NO_DATA: list[tuple[Plot, Any, str]] = [
    *((plot, TABLE.iloc[:0], "") for plot in PLOTS),
    *((plot, [], "") for plot in BARE),
    (plot_class_counts, [0, 0], ""),
    (plot_ages, [np.nan, None], ": 2 images of unknown age"),
    (plot_ages, {"a": [np.nan], "b": []}, ": 1 image of unknown age"),
    (plot_images_per_lesion, ["", ""], ": 2 images of unknown lesion"),
    (plot_class_counts, pd.DataFrame({"id": ["a", "b"]}), ": 2 images of unknown label"),
    (plot_class_counts, published("", ""), ": 2 images of unknown diagnosis"),
]


@pytest.mark.parametrize(("plot", "data", "reason"), NO_DATA)
def test_axes_without_data_say_so(plot: Plot, data: Any, reason: str) -> None:
    axes = plot(data)

    assert texts(axes) == [f"no data{reason}"]
    assert not list(axes.patches)


@every_plot
def test_a_data_set_its_table_and_bare_values_give_the_same_figure(plot: Plot) -> None:
    assert look(plot(SimpleNamespace(table=TABLE))) == look(plot(TABLE))
    if plot in BARE:
        assert look(plot(BARE[plot])) == look(plot(TABLE))


@every_plot
def test_axes_given_are_drawn_on_and_returned(plot: Plot) -> None:
    figure = Figure()
    own = figure.add_subfigure(figure.add_gridspec(1, 2)[0]).subplots()

    assert plot(TABLE, axes=own) is own
    assert own.patches
    assert figure.findobj(Axes) == [own]


@every_plot
def test_the_data_are_not_changed(plot: Plot) -> None:
    table = TABLE.copy()

    plot(table, table)

    pd.testing.assert_frame_equal(table, TABLE)


@every_plot
def test_the_order_of_rows_and_their_index_do_not_matter(plot: Plot) -> None:
    other = TABLE.iloc[::-1].set_axis(["x", "x", "y", "z"])

    assert look(plot(other)) == look(plot(TABLE))


@every_plot
def test_text_of_any_dtype_gives_the_same_figure(plot: Plot) -> None:
    names = ["sex", "site", "lesion"]
    category, string, objects = (
        TABLE.astype(dict.fromkeys(names, dtype)) for dtype in ("category", "string", object)
    )
    for name in names:
        category[name] = category[name].cat.add_categories(["of no image"])
    missing = objects.assign(
        sex=np.array([*objects["sex"][:3], None]),
        site=objects["site"].where(objects["site"] != "", np.nan),
        lesion=np.array([*objects["lesion"][:3], pd.NA]),
    )

    for table in (category, string, objects, missing):
        assert look(plot(table)) == look(plot(TABLE))


@every_plot
def test_a_second_data_set_is_named_by_its_split_or_by_its_place(plot: Plot) -> None:
    train, test = (SimpleNamespace(table=TABLE, split=name) for name in ("train", "test"))

    assert [text.split(" ")[0] for text in legend(plot(train, test))] == ["train", "test"]
    assert [text.split(" ")[0] for text in legend(plot(train, train))] == ["first", "second"]
    assert [text.split(" ")[0] for text in legend(plot(TABLE, test))] == ["first", "second"]
    assert legend(plot(TABLE)) == []


@every_plot
def test_a_mapping_names_up_to_eight_data_sets(plot: Plot) -> None:
    names = [f"set {number} of $\\frac" for number in range(8)]

    axes = plot(dict.fromkeys(names, TABLE.replace("head/neck", r"$\frac{1}$")))

    assert [text.split(" (")[0] for text in legend(axes)] == names
    colors = {patch.get_facecolor() for patch in axes.patches}
    assert len(colors | {patch.get_edgecolor() for patch in axes.patches}) >= 8
    figure_of(axes).draw_without_rendering()


@every_plot
def test_a_data_set_without_the_column_is_unknown_beside_one_that_has_it(plot: Plot) -> None:
    axes = plot({"one": TABLE, "other": TABLE[["id"]]})

    assert re.search(r"4 unknown|4 images", legend(axes)[1])


@every_plot
def test_one_row_is_drawn(plot: Plot) -> None:
    axes = plot(TABLE.iloc[:1])

    assert axes.patches
    assert "no data" not in texts(axes)


# All in one figure


def test_one_figure_has_five_parts() -> None:
    axes = plot_exploration(TABLE)

    titles = {name: part.get_title() for name, part in axes.items()}
    assert list(titles) == ["age", "sex", "lesion", "site", "class"]
    assert list(titles.values()) == ["Age", "Sex", "Images per lesion", "Site", "Class"]
    for part, plot in zip(axes.values(), [*PLOTS[:2], *PLOTS[:1:-2], PLOTS[3]], strict=False):
        assert look(part) == look(plot(TABLE))
    assert figure_of(axes["age"]).axes == list(axes.values())


def test_data_sets_are_compared_by_their_splits() -> None:
    train = SimpleNamespace(table=TABLE, split="train")
    test = SimpleNamespace(table=TABLE[["id", "age"]], split="test")

    axes = plot_exploration(train, test)

    assert legend(axes["class"]) == ["train (4 images)", "test (4 images of unknown label)"]


def test_parts_of_which_no_data_set_has_the_column_say_so() -> None:
    axes = plot_exploration(pd.DataFrame({"site": ["back"]}))

    assert {name: texts(part) for name, part in axes.items()} == {
        "age": ["no data: no column `age`"],
        "sex": ["no data: no column `sex`"],
        "lesion": ["no data: no column `lesion`"],
        "site": ["1 (100.0 %)"],
        "class": ["no data: no column `label` or `diagnosis`"],
    }


def test_a_table_without_rows_has_no_data_anywhere() -> None:
    axes = plot_exploration(TABLE.iloc[:0].assign(image_path=""), images=2)

    assert {text for part in axes.values() for text in texts(part)} == {"no data"}


def test_images_of_the_first_data_set_are_shown_on_request(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    table = TABLE.assign(image_path=str(tmp_path / "a.png"))

    axes = plot_exploration({"mine": table, "other": TABLE}, images=2)

    assert axes["sheet"].get_title() == "Images of each class, mine (up to 2 shown)"
    assert len(axes["sheet"].images) == 1
    without = plot_exploration(table.assign(image_path="nowhere.jpg"))
    assert not any(part.images for part in without.values())


def test_the_axes_are_saved_as_they_are_returned(tmp_path: Path) -> None:
    axes = plot_exploration(TABLE, TABLE)

    save_figure(axes, tmp_path / "a.png", dpi=40)
    save_figure(figure_of(axes["age"]), tmp_path / "b.png", dpi=40)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("number", "length"), [(1, 0), (2, 9), (2, 10), (2, 50), (8, 9)])
@pytest.mark.parametrize("plot", [*PLOTS, plot_exploration])
def test_no_text_is_drawn_over_another_or_cut_off(
    plot: Callable[..., Any], number: int, length: int
) -> None:
    table = large_table(sites=40)
    names = [f"{n:n<{length}}" for n in range(number)]

    axes = plot(dict.fromkeys(names, table) if number > 1 else table)

    assert_readable(figure_of(axes if isinstance(axes, Axes) else axes["age"]))


def test_no_text_of_the_figure_with_images_is_drawn_over_another() -> None:
    assert_readable(figure_of(plot_exploration(large_table(sites=9), images=3)["sheet"]))


@pytest.mark.data
def test_the_figure_of_the_real_challenge_has_its_class_counts(data_dir: Path) -> None:
    raw = pd.read_csv(data_dir / "isic_challenge" / "metadataTrain.csv")
    table = pd.DataFrame({"label": raw["CLASS"] - 1, "age": raw["AGE"]})

    axes = plot_exploration(table)

    assert texts(axes["class"])[:2] == ["3,391 (17.8 %)", "9,657 (50.8 %)"]


# What is refused


@every_plot
def test_a_table_without_the_column_is_refused(plot: Plot) -> None:
    column = {plot_class_counts: "label` or `diagnosis"}.get(plot, COLUMN[plot])
    found = f"a column `{column}`, but got the columns ID, CLASS."
    with pytest.raises(ValueError, match=re.escape(found)):
        plot(pd.DataFrame({"ID": ["a"], "CLASS": [1]}))
    with pytest.raises(ValueError, match=r"but got no column\."):
        plot(pd.DataFrame())


@pytest.mark.parametrize("plot", [*PLOTS, plot_exploration])
@pytest.mark.parametrize(
    ("data", "got"),
    [
        ({}, "no name"),
        ({str(number): TABLE for number in range(9)}, "the names '0', '1', '2', '3', '4', '5'"),
        *(({name: TABLE}, f"the names {name!r}.") for name in ("_a", "", 1)),
    ],
)
def test_a_mapping_of_anything_else_is_refused(
    plot: Callable[..., Any], data: Any, got: str
) -> None:
    found = f"1..8 names, none starting with an underscore, to data, but got {got}"
    with pytest.raises(ValueError, match=re.escape(found)):
        plot(data)


FLOAT = pd.DataFrame({"label": [0.5, np.nan]})
REFUSED: list[tuple[Callable[..., Any], list[Any], dict[str, Any], type[Exception], str]] = [
    (plot_ages, [{"a": TABLE}, TABLE], {}, TypeError, "`other` to be left out"),
    *((plot, [TABLE], {"axes": Figure()}, TypeError, "`axes` to be matplotlib") for plot in PLOTS),
    (plot_ages, [[[30.0]]], {}, ValueError, "years, 0..130 or nan, but got shape (1, 1)"),
    (plot_ages, [[30, -1, np.inf]], {}, ValueError, "0..130 or nan, but got -1.0, inf."),
    (plot_ages, [["old"]], {}, TypeError, "could not convert string to float: 'old'"),
    *((plot_sexes, [x], {}, ValueError, "text (N,)") for x in ([["a"]], "male", 3)),
    *((plot, [{"a": ["b", 1, 2]}], {}, TypeError, "`data['a']`") for plot in PLOTS[1:3]),
    *((plot, [[["a"], "b"]], {}, TypeError, "got ['a']") for plot in [*PLOTS[1:3], PLOTS[4]]),
    (plot_images_per_lesion, [["L1", True]], {}, TypeError, "lesion ids (N,)"),
    (plot_images_per_lesion, [["L1", b"L1"]], {}, TypeError, "got b'L1'"),
    (plot_class_counts, [[1, 2]], {"names": ["a"]}, ValueError, "2 names, one per class"),
    (plot_class_counts, [[1, 2]], {"names": ["a", "a"]}, ValueError, "`names` to be unique"),
    (plot_class_counts, [published("nv")], {"names": ["a"]}, ValueError, "`names` to be left out"),
    (plot_class_counts, [[1, 2], [1, 2, 3]], {}, ValueError, "but got 0, 1 and 0, 1, 2. Read"),
    (
        plot_class_counts,
        [{"a": [1, 2], "b": TABLE}],
        {},
        ValueError,
        "the same classes, but got 0, 1 and MEL, NV",
    ),
    (plot_class_counts, [TABLE], {"by": "klass"}, ValueError, "one of 'label', 'diagnosis'"),
    (plot_class_counts, [TABLE], {"by": "diagnosis"}, ValueError, "a column `diagnosis`"),
    (plot_class_counts, [labeled(0, 8, -1, None)], {}, ValueError, "0..7, but got labels 8, -1."),
    (
        plot_class_counts,
        [FLOAT],
        {},
        TypeError,
        "integers in 0..7, but got labels of dtype Float64",
    ),
    (plot_class_counts, [published("nv", 3)], {}, TypeError, "diagnoses are text"),
    *(
        (use, [counts], {}, kind, f"`{name}` to be counts (K,){got}")
        for use, name in ((plot_class_counts, "data"), (exploration_table, "counts"))
        for counts, kind, got in (
            ([], ValueError, ", but got shape (0,)."),
            ([[1]], ValueError, ", but got shape (1, 1)."),
            ([1, -2], ValueError, " of 0 or more, but got -2."),
            ([1.5, 2.0], TypeError, ", integers, but got dtype float64."),
        )
    ),
    (
        exploration_table,
        [[1, 2]],
        {},
        ValueError,
        "`counts` to be 8 counts, one for each class of the label space challenge, but got 2.",
    ),
    (plot_exploration, [[1, 2]], {}, TypeError, "`data` to be a data set or a table"),
    (plot_exploration, [TABLE, [1, 2]], {}, TypeError, "`other` to be a data set or a table"),
    (plot_exploration, [TABLE[["id"]]], {}, ValueError, "a column `age` or `sex` or `site`"),
    (plot_exploration, [labeled(8)], {}, ValueError, "but got labels 8."),
    (plot_exploration, [TABLE], {"images": 25}, ValueError, "`images` to be an integer in 0..24"),
    (plot_exploration, [TABLE], {"images": 2}, ValueError, "a column `image_path`"),
    (plot_exploration, [TABLE], {"seed": 1.5}, TypeError, "`seed` to be an integer of 0 or more"),
]


@pytest.mark.parametrize(("call", "arguments", "options", "kind", "found"), REFUSED)
def test_wrong_arguments_are_refused(
    call: Callable[..., Any],
    arguments: list[Any],
    options: dict[str, Any],
    kind: type[Exception],
    found: str,
) -> None:
    with pytest.raises(kind, match=re.escape(found)):
        call(*arguments, **options)


def test_classes_of_a_table_are_those_of_its_label_space() -> None:
    frame = pd.DataFrame({"id": [*"abc"], "diagnosis": ["inf", "sccka", "mel"], "image_path": ""})
    table = read_table(frame, label_space=["MEL", "INF", "SCCKA"]).assign(image_path="")
    binary = read_table(frame, label_space="binary")

    assert ticks(plot_class_counts(table)) == ["MEL", "INF", "SCCKA"]
    assert ticks(plot_class_counts(table, names=["x", "y", "z"])) == ["x", "y", "z"]
    words = "same classes, but got MEL, INF, SCCKA and benign, malignant. Read them with the same"
    with pytest.raises(ValueError, match=words):
        plot_class_counts(table, binary)
    told = exploration_table([1, 3], label_space="binary")
    assert told[["number", "code", "count"]].to_numpy().tolist() == [
        [1, "benign", 1],
        [2, "malignant", 3],
    ]

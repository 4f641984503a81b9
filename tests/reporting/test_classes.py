import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dermolib.labels import DIAGNOSES
from dermolib.reporting import exploration_table, plot_class_counts

TABLE_1 = [3391, 9657, 2492, 650, 1968, 179, 190, 471]
CODES = [diagnosis.code for diagnosis in DIAGNOSES]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def labelled(*labels: int | None) -> pd.DataFrame:
    return pd.DataFrame({"label": pd.array(list(labels), dtype="Int64")})


def published(*codes: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": range(len(codes)), "diagnosis": codes})


def test_class_counts_stand_beside_their_bars() -> None:
    axes = plot_class_counts(TABLE_1)

    assert texts(axes)[:2] == ["3,391 (17.8 %)", "9,657 (50.8 %)"]
    assert widths(axes) == pytest.approx([100 * count / 18_998 for count in TABLE_1])
    assert ticks(axes) == CODES
    assert axes.get_xlabel() == "share of 18,998 images (%)"


def test_one_class_alone_is_drawn() -> None:
    assert texts(plot_class_counts([7])) == ["7 (100.0 %)"]


def test_more_than_eight_classes_are_numbered() -> None:
    axes = plot_class_counts(range(1, 12))

    assert ticks(axes) == [str(number) for number in range(11)]


def test_a_table_is_counted_by_its_labels_and_a_class_without_image_has_a_bar_of_0() -> None:
    axes = plot_class_counts(labelled(0, 1, 1, 7))

    assert ticks(axes) == CODES
    assert widths(axes) == [25, 50, 0, 0, 0, 0, 0, 25]
    assert texts(axes)[2] == "0 (0.0 %)"


def test_rows_without_a_label_are_the_last_bar() -> None:
    axes = plot_class_counts(labelled(0, None, None, 1))

    assert ticks(axes) == [*CODES, "unknown"]
    assert widths(axes)[-1] == 50


@given(st.lists(st.integers(0, 7) | st.none(), min_size=1).filter(lambda x: set(x) != {None}))
@settings(max_examples=25)
def test_labels_are_counted_as_numpy_counts_them_and_sum_to_100_percent(
    labels: list[int | None],
) -> None:
    axes = plot_class_counts(labelled(*labels))

    known = np.bincount([label for label in labels if label is not None], minlength=8)
    assert widths(axes)[:8] == pytest.approx(100 * known / len(labels))
    assert sum(widths(axes)) == pytest.approx(100)


def test_labels_of_integers_and_of_missing_floats_alone_are_read() -> None:
    assert widths(plot_class_counts(pd.DataFrame({"label": [0, 1]})))[:2] == [50, 50]
    nothing = pd.DataFrame({"label": [np.nan, np.nan]})
    assert texts(plot_class_counts(nothing)) == ["no data: 2 images of unknown label"]


@pytest.mark.parametrize(
    "labels",
    [[0.0, 1.0, np.nan, 1.0], pd.Series([0, 1, None, 1], dtype=object)],
    ids=["floats", "objects"],
)
def test_whole_labels_with_missing_ones_are_read_from_any_type(labels: Any) -> None:
    axes = plot_class_counts(pd.DataFrame({"label": labels}))

    assert ticks(axes) == [*CODES, "unknown"]
    assert widths(axes) == [25, 50, 0, 0, 0, 0, 0, 0, 25]


@pytest.mark.parametrize("missing", [labelled(None, None)["label"], [np.nan, np.nan]])
def test_a_table_whose_labels_are_all_missing_is_counted_by_its_published_codes(
    missing: Any,
) -> None:
    table = published("nv", "akiec").assign(label=missing)

    axes = plot_class_counts(table)

    assert ticks(axes) == ["akiec", "nv"]
    assert texts(axes) == ["1 (50.0 %)", "1 (50.0 %)"]
    assert texts(plot_class_counts(table, by="label")) == ["no data: 2 images of unknown label"]
    assert ticks(plot_class_counts(table, labelled(0))) == CODES


def test_a_table_without_labels_is_counted_by_its_published_codes() -> None:
    axes = plot_class_counts(published("nv", "akiec", "nv", "", None, "nv", "UNK"))

    assert ticks(axes) == ["nv", "UNK", "akiec", "unknown"]
    assert widths(axes) == pytest.approx([300 / 7, 100 / 7, 100 / 7, 200 / 7])


def test_published_codes_are_counted_on_request_where_there_are_labels() -> None:
    table = published("nv", "akiec").assign(label=labelled(1, None)["label"])

    assert ticks(plot_class_counts(table)) == [*CODES, "unknown"]
    assert ticks(plot_class_counts(table, by="diagnosis")) == ["akiec", "nv"]


def test_a_table_in_which_no_class_is_known_has_no_data() -> None:
    unlabelled = pd.DataFrame({"id": ["a", "b"]})

    assert texts(plot_class_counts(unlabelled)) == ["no data: 2 images of unknown label"]
    assert texts(plot_class_counts(published("", ""))) == ["no data: 2 images of unknown diagnosis"]
    assert texts(plot_class_counts([0, 0])) == ["no data"]


def test_a_set_in_which_no_class_is_known_stands_in_the_legend_alone() -> None:
    axes = plot_class_counts({"train": labelled(0, 1), "test": pd.DataFrame({"id": ["a"]})})

    assert widths(axes) == [50, 50, 0, 0, 0, 0, 0, 0]
    assert legend(axes) == ["train (2 images)", "test (1 image of unknown label)"]


def test_counts_compare_with_a_table() -> None:
    axes = plot_class_counts({"paper": TABLE_1, "mine": labelled(0, None)})

    assert ticks(axes) == [*CODES, "unknown"]
    assert widths(axes)[9:] == [50, 0, 0, 0, 0, 0, 0, 0, 50]


def test_labels_and_counts_take_names_of_ones_own() -> None:
    names = [f"class {number}" for number in range(7)] + ["MEL"]

    axes = plot_class_counts({"a": labelled(0, 7, 7, 7), "b": TABLE_1}, names=names)

    assert ticks(axes) == names
    assert widths(axes)[:8] == [25, 0, 0, 0, 0, 0, 0, 75]


def test_a_class_named_unknown_has_one_bar() -> None:
    axes = plot_class_counts([1, 3], names=["nevus", "unknown"])

    assert ticks(axes) == ["nevus", "unknown"]
    assert widths(axes) == [25, 75]


def test_the_table_is_table_1_of_the_paper() -> None:
    table = exploration_table(TABLE_1)

    assert list(table) == ["number", "code", "name", "count", "share"]
    assert table["number"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert table["name"].tolist() == [diagnosis.name for diagnosis in DIAGNOSES]
    assert table["count"].sum() == 18_998
    assert table["share"].iloc[5] == pytest.approx(179 / 18_998)


@given(st.lists(st.integers(0, 10**6), min_size=8, max_size=8).filter(any))
def test_shares_sum_to_1_and_agree_with_pandas(counts: list[int]) -> None:
    table = exploration_table(counts)

    labels = pd.Series(np.repeat(np.arange(8), np.minimum(counts, 50)))
    small = exploration_table(np.minimum(counts, 50))
    reference = labels.value_counts(normalize=True).reindex(range(8), fill_value=0)
    assert table["share"].sum() == pytest.approx(1)
    assert small["share"].to_numpy() == pytest.approx(reference.to_numpy())


def test_a_table_without_images_has_no_shares() -> None:
    assert exploration_table([0] * 8)["share"].isna().all()


@pytest.mark.parametrize(
    ("counts", "kind", "what"),
    [
        ([], ValueError, "counts (K,), but got shape (0,)."),
        ([[1]], ValueError, "counts (K,), but got shape (1, 1)."),
        ([1, -2], ValueError, "counts (K,) of 0 or more, but got -2."),
        ([1.5, 2.0], TypeError, "counts (K,) of whole numbers, but got dtype float64."),
    ],
)
@pytest.mark.parametrize(
    ("use", "name"), [(plot_class_counts, "data"), (exploration_table, "counts")]
)
def test_what_is_no_count_is_refused(
    use: Callable[[Any], Any], name: str, counts: Any, kind: type[Exception], what: str
) -> None:
    # an empty list may be a list of anything, and has no data
    with pytest.raises(kind, match=f"^{re.escape(f'Expected `{name}` to be {what}')}$"):
        use(counts)


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda: plot_class_counts([1, 2], names=["a"]),
            ValueError,
            "Expected `names` to be 2 names, one for each class, but got 1: a.",
        ),
        (
            lambda: plot_class_counts([1, 2], names=["a", "a"]),
            ValueError,
            "Expected `names` to be names that differ, but got a, a.",
        ),
        (
            lambda: plot_class_counts(published("nv"), names=["a"]),
            ValueError,
            "Expected `names` to be left out where classes are counted by their published codes, "
            "but got a.",
        ),
        (
            lambda: plot_class_counts([1, 2], [1, 2, 3]),
            ValueError,
            "Expected `other` to be counts of 2 classes, as another set has, but got 3.",
        ),
        (
            lambda: plot_class_counts({"a": [1, 2], "b": labelled(1)}),
            ValueError,
            "Expected `data['a']` to be counts of 8 classes, as another set has, but got 2.",
        ),
        (
            lambda: plot_class_counts(labelled(1), by="klass"),
            ValueError,
            "Expected `by` to be one of 'label', 'diagnosis', but got 'klass'.",
        ),
        (
            lambda: plot_class_counts(labelled(1), by="diagnosis"),
            ValueError,
            "Expected `data` to be a table with a column `diagnosis`, but got the columns label. "
            "Read files with the functions of `dermolib.datasets`.",
        ),
        (
            lambda: plot_class_counts(labelled(0, 8, -1, None)),
            ValueError,
            "Expected `data` to be a table whose labels are whole numbers in 0..7, "
            "but got labels 8, -1.",
        ),
        (
            lambda: plot_class_counts(pd.DataFrame({"label": [0.5, np.nan]})),
            TypeError,
            "Expected `data` to be a table whose labels are whole numbers in 0..7, "
            "but got labels of dtype float64.",
        ),
        (
            lambda: plot_class_counts(published("nv", 3)),
            TypeError,
            'Expected `data` to be a table whose diagnoses are words, "" where unknown, but got 3.',
        ),
        (
            lambda: exploration_table([1, 2]),
            ValueError,
            "Expected `counts` to be 8 counts, but got 2.",
        ),
    ],
)
def test_what_is_no_class_is_refused(
    call: Callable[[], Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        call()

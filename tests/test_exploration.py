import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from dermolib.diagnoses import DIAGNOSES
from dermolib.reporting import (
    exploration_table,
    plot_ages,
    plot_class_counts,
    plot_exploration,
    plot_sexes,
    plot_sites,
)

_TABLE_1 = [3391, 9657, 2492, 650, 1968, 179, 190, 471]


def _texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def _legend(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def _steps(figure: Figure) -> list[Any]:
    return [patch.get_data() for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]


def _rows(number: int, **columns: Any) -> pd.DataFrame:
    table = {"age": 50.0, "sex": "male", "site": "head/neck", "label": 1} | columns
    return pd.DataFrame(table, index=range(number))


def test_ages_are_shares_of_the_known_ones_in_bars_of_five_years() -> None:
    figure = plot_ages([40, 45, 45, np.nan], [45, 85])

    train, test = _steps(figure)
    assert train.edges.tolist() == [-2.5 + 5 * place for place in range(19)]
    assert np.flatnonzero(train.values).tolist() == [8, 9]
    assert train.values[[8, 9]] == pytest.approx([100 / 3, 200 / 3])
    assert test.values[[9, 17]].tolist() == [50, 50]
    assert _legend(figure.axes[0]) == ["train (n = 3, 1 missing)", "test (n = 2, 0 missing)"]
    assert figure.axes[0].get_xlabel() == "age (years)"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, 130) | st.just(float("nan")), max_size=30))
def test_ages_agree_with_pandas_and_sum_to_100_percent(ages: list[float]) -> None:
    figure = plot_ages(ages, [130])

    train = _steps(figure)[0]
    binned = pd.cut(pd.Series(ages, dtype=float), train.edges, right=False)
    counts = binned.value_counts(sort=False).to_numpy()
    assert train.values == pytest.approx(100 * counts / max(counts.sum(), 1))
    assert sum(counts) == sum(not np.isnan(age) for age in ages)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_ages([np.nan, np.nan], []),
        lambda: plot_sexes([], []),
        lambda: plot_sites([], []),
        lambda: plot_class_counts([0, 0]),
    ],
    ids=["ages", "sexes", "sites", "classes"],
)
def test_axes_without_data_say_so(draw: Callable[[], Figure]) -> None:
    assert _texts(draw().axes[0]) == ["no data"]


def test_sexes_are_shares_of_all_images_with_the_missing_ones_last() -> None:
    figure = plot_sexes(["male", "male", "female", ""], ["other", "", None, np.nan])  # type: ignore[list-item] # pandas gives missing text in several forms

    axes = figure.axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["female", "male", "other", "missing"]
    assert _texts(axes) == ["25.0", "50.0", "0.0", "25.0", "0.0", "0.0", "25.0", "75.0"]
    assert _legend(axes) == ["train (n = 4)", "test (n = 4)"]
    assert axes.get_ylabel() == "share of images (%)"


def test_sites_come_by_frequency_and_the_missing_ones_last() -> None:
    figure = plot_sites(["", "", "", "back", "arm", "arm"], ["leg"])

    axes = figure.axes[0]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ticks == ["arm", "back", "leg", "missing"]
    assert _texts(axes) == ["33.3", "16.7", "0.0", "50.0", "0.0", "0.0", "100.0", "0.0"]
    assert axes.get_xlabel() == "share of images (%)"


def test_one_side_without_images_has_no_bars() -> None:
    axes = plot_sexes(["male"], []).axes[0]

    assert _texts(axes) == ["0.0", "100.0", "0.0", "0.0", "0.0", "0.0"]


def test_class_counts_stand_on_their_bars() -> None:
    axes = plot_class_counts(_TABLE_1).axes[0]

    assert _texts(axes)[:2] == ["3,391\n17.8 %", "9,657\n50.8 %"]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == [diagnosis.code for diagnosis in DIAGNOSES]
    assert axes.get_title() == "Classes of 18,998 images"


def test_one_class_alone_is_drawn() -> None:
    assert _texts(plot_class_counts([7]).axes[0]) == ["7\n100.0 %"]


def test_a_figure_of_ones_own_is_drawn_on() -> None:
    figure = Figure()
    outer = figure.add_subfigure(figure.add_gridspec(1, 2)[0])
    axes = outer.add_subfigure(outer.add_gridspec(1, 2)[1]).add_subplot()

    drawn = plot_class_counts([1, 2], names=["a", "b"], axes=axes)

    assert drawn is figure
    assert len(axes.patches) == 2


def test_the_table_is_table_1_of_the_paper() -> None:
    table = exploration_table(_TABLE_1)

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


def test_the_exploration_figure_has_four_parts_with_labels() -> None:
    train = _rows(3, label=[0, 1, 1], sex=["male", "", "female"], age=[np.nan, 40, 50])

    figure = plot_exploration(train, _rows(2).drop(columns="label"))

    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Age", "Sex", "Site", "Classes of 3 images"]
    assert _texts(figure.axes[3])[:3] == ["1\n33.3 %", "2\n66.7 %", "0\n0.0 %"]


def test_exploring_does_not_touch_the_tables() -> None:
    train, test = _rows(4), _rows(2)
    before = train.copy(), test.copy()

    plot_exploration(train, test)

    pd.testing.assert_frame_equal(train, before[0])
    pd.testing.assert_frame_equal(test, before[1])


@pytest.mark.parametrize(
    ("ages", "kind", "sentence"),
    [
        (
            [[30.0]],
            ValueError,
            "Expected `train` to be ages (N,) in years, 0..130 or nan, but got shape (1, 1).",
        ),
        (
            [30, -1, np.inf],
            ValueError,
            "Expected `train` to be ages (N,) in years, 0..130 or nan, but got -1.0, inf.",
        ),
        (
            ["old"],
            TypeError,
            "Expected `train` to be ages (N,) in years, 0..130 or nan, but got other values: "
            "could not convert string to float: 'old'. "
            "Read the text `nan` as a missing value with `pandas.to_numeric`.",
        ),
    ],
)
def test_what_is_no_age_is_refused(ages: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        plot_ages(ages, [30])


@pytest.mark.parametrize("plot", [plot_sexes, plot_sites])
def test_what_is_no_word_is_refused(plot: Callable[[Any, Any], Figure]) -> None:
    sentence = 'Expected `test` to be words, "" where missing, but got 1, 2.'
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plot(["male"], ["male", 1, 2])


@pytest.mark.parametrize(
    ("counts", "kind", "sentence"),
    [
        ([], ValueError, "Expected `counts` to be counts (K,), but got shape (0,)."),
        ([[1]], ValueError, "Expected `counts` to be counts (K,), but got shape (1, 1)."),
        ([1, -2], ValueError, "Expected `counts` to be counts (K,) of 0 or more, but got -2."),
        (
            [1.5, 2.0],
            TypeError,
            "Expected `counts` to be counts (K,) of whole numbers, but got dtype float64.",
        ),
    ],
)
@pytest.mark.parametrize("use", [plot_class_counts, exploration_table])
def test_what_is_no_count_is_refused(
    use: Callable[[Any], Any], counts: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        use(counts)


def test_names_and_counts_must_match() -> None:
    sentence = "Expected `names` to be 2 names, one for each class, but got 1: a."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        plot_class_counts([1, 2], names=["a"])


def test_the_table_wants_eight_counts() -> None:
    with pytest.raises(ValueError, match=r"^Expected `counts` to be 8 counts, but got 2\.$"):
        exploration_table([1, 2])


@pytest.mark.parametrize(
    ("train", "test", "kind", "sentence"),
    [
        (
            _rows(1).drop(columns=["age", "label"]),
            _rows(1),
            ValueError,
            "Expected `train_table` to be a table with the columns age, sex, site, label, "
            "but got none named age, label.",
        ),
        (
            _rows(1),
            _rows(1).drop(columns="sex"),
            ValueError,
            "Expected `test_table` to be a table with the columns age, sex, site, "
            "but got none named sex.",
        ),
        (
            _rows(1, label=8),
            _rows(1),
            ValueError,
            "Expected `train_table` to be a table whose labels are whole numbers in 0..7, "
            "but got labels 8.",
        ),
        (
            _rows(1, label=0.0),
            _rows(1),
            TypeError,
            "Expected `train_table` to be a table whose labels are whole numbers in 0..7, "
            "but got labels of dtype float64.",
        ),
    ],
)
def test_a_table_that_lacks_something_is_refused(
    train: pd.DataFrame, test: pd.DataFrame, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        plot_exploration(train, test)

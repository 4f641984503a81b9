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
from matplotlib.patches import Rectangle, StepPatch

from dermolib.reporting import plot_ages, plot_sexes, plot_sites


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def steps(axes: Axes) -> list[Any]:
    return [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_ages_are_shares_of_the_known_ones_in_bars_of_five_years() -> None:
    axes = plot_ages({"train": [40, 45, 45, np.nan], "test": [45, 85]})

    train, test = steps(axes)
    assert train.edges.tolist() == [-2.5 + 5 * place for place in range(19)]
    assert np.flatnonzero(train.values).tolist() == [8, 9]
    assert train.values[[8, 9]] == pytest.approx([100 / 3, 200 / 3])
    assert test.values[[9, 17]].tolist() == [50, 50]
    assert legend(axes) == ["train (n = 3, 1 unknown)", "test (n = 2, 0 unknown)"]
    assert axes.get_xlabel() == "age (years)"
    assert axes.get_ylabel() == "share of images of known age (%)"


def test_ages_of_one_set_are_counted_at_the_axes() -> None:
    axes = plot_ages([40, 45, 45, np.nan])

    assert axes.get_xlabel() == "age (years); 1 unknown"
    assert axes.get_ylabel() == "share of 3 images of known age (%)"
    assert plot_ages([40]).get_xlabel() == "age (years)"


def test_the_first_set_is_filled_and_the_others_are_outlines() -> None:
    axes = plot_ages({"a": [40], "b": [40], "c": [40]})

    assert [patch.get_fill() for patch in axes.patches] == [True, False, False]
    assert len({patch.get_edgecolor() for patch in axes.patches}) == 3


@given(st.lists(st.floats(0, 130) | st.just(float("nan")), max_size=30))
@settings(max_examples=20)
def test_ages_agree_with_pandas_and_sum_to_100_percent(ages: list[float]) -> None:
    axes = plot_ages(ages, [130])

    first = steps(axes)[0]
    binned = pd.cut(pd.Series(ages, dtype=float), first.edges, right=False)
    counts = binned.value_counts(sort=False).to_numpy()
    assert first.values == pytest.approx(100 * counts / max(counts.sum(), 1))
    assert sum(counts) == sum(not np.isnan(age) for age in ages)


def test_all_ages_unknown_is_said() -> None:
    assert texts(plot_ages([np.nan, None])) == ["no data: 2 images of unknown age"]
    assert texts(plot_ages({"a": [np.nan], "b": []})) == ["no data: 1 image of unknown age"]


@pytest.mark.parametrize("plot", [plot_ages, plot_sexes, plot_sites])
def test_axes_without_data_say_so(plot: Callable[..., Axes]) -> None:
    axes = plot([])

    assert texts(axes) == ["no data"]
    assert not list(axes.patches)
    assert texts(plot([], [])) == ["no data"]


def test_sexes_are_shares_of_all_images_with_the_unknown_ones_last() -> None:
    axes = plot_sexes(["male", "male", "female", ""], ["other", "", None, np.nan])

    assert ticks(axes) == ["female", "male", "other", "unknown"]
    assert widths(axes) == [25, 50, 0, 25, 0, 0, 25, 75]
    assert texts(axes)[:4] == ["1 (25.0 %)", "2 (50.0 %)", "0 (0.0 %)", "1 (25.0 %)"]
    assert legend(axes) == ["first (4 images)", "second (4 images)"]
    assert axes.get_xlabel() == "share of images (%)"


def test_sites_come_by_frequency_and_the_unknown_ones_last() -> None:
    axes = plot_sites(["", "", "", "back", "arm", "arm"], ["leg"])

    assert ticks(axes) == ["arm", "back", "leg", "unknown"]
    assert widths(axes) == pytest.approx([100 / 3, 50 / 3, 0, 50, 0, 0, 100, 0])
    low, high = axes.get_ylim()
    assert low > high  # the most frequent one stands on top


def test_sites_of_one_set_are_counted_at_the_axis() -> None:
    assert plot_sites(["arm"]).get_xlabel() == "share of 1 image (%)"
    assert plot_sites(["arm"] * 1200).get_xlabel() == "share of 1,200 images (%)"


def test_a_set_without_images_has_no_bars_but_a_name() -> None:
    axes = plot_sexes({"some": ["male"], "none": []})

    assert widths(axes) == [0, 100, 0]
    assert legend(axes) == ["some (1 image)", "none (0 images)"]


@given(
    st.lists(
        st.lists(st.sampled_from([*(f"site {number}" for number in range(40)), ""]), min_size=1),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25)
def test_the_bars_of_each_set_sum_to_100_percent_however_many_sites(sets: list[list[str]]) -> None:
    axes = plot_sites({f"set {number}": words for number, words in enumerate(sets)})

    shares = np.array(widths(axes)).reshape(len(sets), -1)
    assert shares.sum(axis=1) == pytest.approx(100)
    assert shares.shape[1] == len(ticks(axes)) <= 25


def test_of_many_sites_the_rare_ones_share_a_bar_before_the_unknown_ones() -> None:
    words = [f"site {number:02}" for number in range(30) for _ in range(30 - number)]

    axes = plot_sites([*words, ""])

    assert ticks(axes)[21:] == ["site 21", "site 22", "7 others", "unknown"]
    rest = sum(30 - number for number in range(23, 30))
    assert widths(axes)[-2:] == pytest.approx([100 * rest / 466, 100 / 466])


def test_24_sites_have_a_bar_each() -> None:
    assert len(ticks(plot_sites([f"site {number}" for number in range(24)]))) == 24


def test_long_names_keep_their_beginning_and_their_end_in_one_line() -> None:
    (tick,) = ticks(plot_sites(["left  upper\nextremity " + "very " * 20 + "far away"]))

    assert len(tick) == 40
    assert tick.startswith("left upper extremity very")
    assert tick.endswith("far away")


def test_signs_of_formulas_are_drawn_as_they_are() -> None:
    axes = plot_sites({"$\\frac$": [r"$\frac{1}$"]})

    axes.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr] # it has one

    assert ticks(axes) == [r"$\frac{1}$"]


@pytest.mark.parametrize("plot", [plot_ages, plot_sexes, plot_sites])
def test_what_is_no_axes_is_not_drawn_on(plot: Callable[..., Axes]) -> None:
    sentence = (
        "Expected `axes` to be axes of matplotlib, but got an object of type Figure. "
        "Make some with `figure.add_subplot()`."
    )

    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plot([None], axes=Figure())


@pytest.mark.parametrize(
    ("ages", "kind", "sentence"),
    [
        (
            [[30.0]],
            ValueError,
            "Expected `data` to be ages (N,) in years, 0..130 or nan, but got shape (1, 1).",
        ),
        (
            [30, -1, np.inf],
            ValueError,
            "Expected `data` to be ages (N,) in years, 0..130 or nan, but got -1.0, inf.",
        ),
        (
            ["old"],
            TypeError,
            "Expected `data` to be ages (N,) in years, 0..130 or nan, but got other values: "
            "could not convert string to float: 'old'. "
            "Read the text `nan` as a missing value with `pandas.to_numeric`.",
        ),
    ],
)
def test_what_is_no_age_is_refused(ages: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        plot_ages(ages)


@pytest.mark.parametrize("plot", [plot_sexes, plot_sites])
def test_what_is_no_word_is_refused(plot: Callable[..., Axes]) -> None:
    sentence = "Expected `data['test']` to be words (N,), \"\" where unknown, but got 1, 2."
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plot({"train": ["male"], "test": ["male", 1, 2]})

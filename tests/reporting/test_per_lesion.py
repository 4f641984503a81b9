import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dermolib.reporting import plot_images_per_lesion


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]


def lesions(*sizes: int) -> list[str]:
    return [f"L{number}" for number, size in enumerate(sizes) for _ in range(size)]


def test_lesions_are_counted_by_their_images() -> None:
    axes = plot_images_per_lesion([*lesions(1, 3, 1, 1), "", ""])

    assert ticks(axes) == ["1", "2", "3"]
    assert texts(axes) == ["3 (75.0 %)", "0 (0.0 %)", "1 (25.0 %)"]
    assert axes.get_xlabel() == "share of 4 lesions (%)\n2 images of unknown lesion"
    assert axes.get_ylabel() == "images of a lesion"


def test_from_ten_images_on_lesions_share_a_bar_that_ends_with_the_highest_number() -> None:
    axes = plot_images_per_lesion(lesions(9, 10, 12, 23))

    assert ticks(axes)[8:] == ["9", "10 to 23"]
    assert widths(axes)[8:] == [25, 75]
    assert ticks(plot_images_per_lesion(lesions(10)))[-1] == "10"
    assert ticks(plot_images_per_lesion(lesions(9)))[-1] == "9"


def test_sets_share_the_words_of_the_largest_lesion_among_them() -> None:
    axes = plot_images_per_lesion({"a": lesions(2), "b": [*lesions(11, 1), ""]})

    assert len(ticks(axes)) == 10
    assert ticks(axes)[-1] == "10 to 11"
    assert widths(axes)[:10] == [0, 100, 0, 0, 0, 0, 0, 0, 0, 0]
    assert widths(axes)[10:] == [50, 0, 0, 0, 0, 0, 0, 0, 0, 50]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "a (1 lesion)",
        "b (2 lesions; 1 image of unknown lesion)",
    ]


def test_a_table_of_unknown_lesions_has_no_data() -> None:
    assert texts(plot_images_per_lesion(["", ""])) == ["no data: 2 images of unknown lesion"]
    assert texts(plot_images_per_lesion([])) == ["no data"]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=25)
def test_bars_agree_with_a_histogram_and_sum_to_100_percent(sizes: list[int], more: int) -> None:
    axes = plot_images_per_lesion([*lesions(*sizes), *[""] * more])

    reference = np.histogram(sizes, [*range(1, 11), 31])[0]
    shown = widths(axes)
    assert shown == pytest.approx(100 * reference[: len(shown)] / len(sizes))
    assert sum(shown) == pytest.approx(100)


@pytest.mark.parametrize(
    "numbers", [[7, 7, 8], [7.0, 7.0, 8.0, np.nan], pd.array([7, 7, 8, None], dtype="Int64")]
)
def test_lesions_may_be_numbers(numbers: Any) -> None:
    axes = plot_images_per_lesion(pd.DataFrame({"lesion": numbers}))

    assert texts(axes) == ["1 (50.0 %)", "1 (50.0 %)"]


@pytest.mark.parametrize("odd", [True, b"L1"])
def test_what_is_no_name_of_a_lesion_is_refused(odd: Any) -> None:
    what = 'names or numbers of lesions (N,), "" where unknown'
    sentence = f"Expected `data` to be {what}, but got {odd!r}."

    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plot_images_per_lesion(["L1", odd])

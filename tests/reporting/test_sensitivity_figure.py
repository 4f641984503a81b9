import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from dermolib._validation import Image
from dermolib.evaluation import artifact_sensitivity
from dermolib.reporting import plot_sensitivity
from dermolib.reporting._style import new_figure
from drawing import skin_image


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Ask a model that looks at dark and at violet pixels."""

    def model(images: list[Image]) -> list[list[float]]:
        dark = [float((image.max(axis=2) < 90).mean()) for image in images]
        violet = [float((image[..., 2] > image[..., 0]).mean()) * 0.9 for image in images]
        return [[1 - d * 0.1 - v, d * 0.1, v] for d, v in zip(dark, violet, strict=True)]

    images = [skin_image(48, 64, seed) for seed in range(12)]
    return artifact_sensitivity(model, images, label_space=["NV", "A$_b", "C"], resamples=50)


def test_kinds_are_drawn_with_value_interval_and_both_controls(table: pd.DataFrame) -> None:
    axes = plot_sensitivity(table)

    rows = table[table["metric"] == "change"].set_index("kind").sort_values("value", kind="stable")
    labels = [label.get_text().replace(" ", "_") for label in axes.get_yticklabels()]
    assert labels == rows.index.tolist()
    points, *_, skin, line = axes.lines
    np.testing.assert_array_equal(points.get_xdata(), rows["value"])
    np.testing.assert_array_equal(skin.get_xdata(), rows["covered"])
    np.testing.assert_array_equal(line.get_xdata(), rows["mirrored"].iloc[0])
    bars = axes.containers[0].lines[2][0].get_segments()  # type: ignore[attr-defined] # error bars
    np.testing.assert_allclose([bar[:, 0] for bar in bars], rows[["low", "high"]])
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["artifact", "color of skin", "mirrored image"]
    axes.figure.canvas.draw()


def test_the_shift_of_a_class_and_given_axes_are_drawn(table: pd.DataFrame) -> None:
    axes: Axes = new_figure(5, 4).add_subplot()

    assert plot_sensitivity(table, metric="shift:A$_b", axes=axes, title="$ x") is axes

    assert axes.get_xlabel().endswith("of A$_b")
    assert axes.get_title() == "$ x"
    axes.figure.canvas.draw()
    plot_sensitivity(table, metric="top_class")


def test_what_is_no_table_of_sensitivity_or_no_metric_of_it_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="`table` to be a table of `artifact_sensitivity`"):
        plot_sensitivity([1])  # type: ignore[arg-type] # the mistake itself
    with pytest.raises(ValueError, match="one without covered, mirrored"):
        plot_sensitivity(table.drop(columns=["covered", "mirrored"]))
    with pytest.raises(ValueError, match="one without rows"):
        plot_sensitivity(table[:0])
    with pytest.raises(
        ValueError, match=r"`metric` to be one of 'change', 'top_class', 'shift:NV'"
    ):
        plot_sensitivity(table, metric="shift")

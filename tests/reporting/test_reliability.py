"""Reliability diagrams show what the table says."""

from typing import Any

import numpy as np
import pytest
from drawn import assert_readable, legend, texts
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from dermolib.evaluation import calibration_error, reliability_table
from dermolib.reporting import plot_reliability, save_figure


def _drawn(images: int = 500, sharpness: float = 2.0) -> Any:
    generator = np.random.default_rng(0)
    honest = generator.dirichlet(np.full(8, 0.5), images) + 1e-9
    honest /= honest.sum(axis=1, keepdims=True)
    target = (honest.cumsum(axis=1) > generator.random((images, 1))).argmax(axis=1)
    sharp = honest**sharpness
    return sharp / sharp.sum(axis=1, keepdims=True), target


def _points(figure: Figure) -> Any:
    """Find the points with their intervals, few or not."""
    axes = figure.axes[0]
    points = [bars.lines[0].get_xydata() for bars in axes.containers]  # type: ignore[attr-defined] # error bars
    ends = [bars.lines[2][0].get_segments() for bars in axes.containers]  # type: ignore[attr-defined] # error bars
    return np.concatenate(points), np.concatenate(ends)


@pytest.mark.parametrize("kind", ["confidence", "adaptive"])
@pytest.mark.parametrize("label", [None, "BCC"])
def test_points_and_intervals_are_those_of_the_table(kind: str, label: str | None) -> None:
    probabilities, target = _drawn()
    shared: Any = {"groups": np.arange(500) // 2, "label": label, "label_space": "challenge"}
    table = reliability_table(probabilities, target, kind=kind, **shared)

    points, ends = _points(plot_reliability(probabilities, target, kind=kind, **shared))

    rows = table[table["n"] > 0].sort_values("few", kind="stable")
    assert np.allclose(points, rows[["predicted", "observed"]])
    assert np.allclose(ends[:, :, 1], rows[["low", "high"]])


def test_the_error_its_bins_and_the_numbers_are_written() -> None:
    probabilities, target = _drawn()
    error = calibration_error(probabilities, target, bins=9)

    figure = plot_reliability(probabilities, target, bins=9, groups=np.arange(500) // 2)

    assert texts(figure.axes[0]) == [f"ECE {error:.3f} (9 bins)\n500 images, 250 groups"]
    adaptive = plot_reliability(probabilities, target, bins=9, kind="adaptive").axes[0]
    error = calibration_error(probabilities, target, bins=9, kind="adaptive")
    assert texts(adaptive) == [f"ECE {error:.3f} (9 bins of equal size)\n500 images"]


def test_bars_are_the_fraction_of_images_in_bins_of_equal_width() -> None:
    probabilities, target = _drawn()

    for kind in ("confidence", "adaptive"):
        figure = plot_reliability(probabilities, target, bins=10, kind=kind)
        (steps,) = [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
        counts, edges, _ = steps.get_data()
        wanted = np.histogram(probabilities.max(axis=1), np.arange(11) / 10)[0]
        assert np.allclose(counts, wanted / 500)
        assert np.allclose(edges, np.arange(11) / 10)


def test_bins_of_few_groups_are_hollow_and_explained() -> None:
    probabilities, target = _drawn()
    many = plot_reliability(probabilities, target, bins=1).axes[0]
    few = plot_reliability(probabilities, target, bins=1, groups=np.arange(500) % 9).axes[0]

    assert legend(many) == ["bin, 95 % interval", "perfect calibration", "fraction of images"]
    assert legend(few)[1] == "of fewer than 10 groups"
    faces = [axes.containers[0].lines[0].get_markerfacecolor() for axes in (many, few)]  # type: ignore[attr-defined] # error bars
    assert faces[0] != "white"
    assert faces[1] == "white"


@pytest.mark.parametrize("images", [1, 12, 500])
@pytest.mark.parametrize("options", [{}, {"label": 2}, {"kind": "adaptive"}])
def test_everything_is_readable(images: int, options: Any) -> None:
    probabilities, target = _drawn(images)

    assert_readable(
        plot_reliability(probabilities, target, groups=np.arange(images) // 2, **options)
    )


def test_it_draws_on_given_axes_with_a_title_of_any_text(tmp_path: Any) -> None:
    probabilities, target = _drawn()
    whole = Figure(figsize=(9, 6), layout="constrained")
    left, right = whole.subplots(1, 2)

    one = plot_reliability(probabilities, target, axes=left, title="ResNet-18 $5\n")
    other = plot_reliability(probabilities, target, axes=right, label=1)

    assert one is other is whole
    assert left.get_title() == "ResNet-18 $5\\n"
    assert right.get_title() == "Reliability of 1"
    save_figure(whole, tmp_path / "reliability.png", dpi=40)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"axes": "here"}, TypeError, "`axes`"),
        ({"label": "MEL"}, ValueError, "`label`"),
        ({"kind": "classwise"}, ValueError, "`kind`"),
        ({"probabilities": np.zeros((0, 2)), "target": []}, ValueError, "`probabilities`"),
        ({"probabilities": np.array([1])}, ValueError, "`probabilities`.*classes"),
    ],
)
def test_a_mistake_is_refused(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        plot_reliability(**{"probabilities": [[0.2, 0.8]], "target": [1], **options})

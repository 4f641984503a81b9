import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn import texts, ticks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from dermolib.reporting import (
    plot_confusion,
    plot_exploration,
    plot_history,
    plot_occlusion,
    plot_overfit,
    plot_samples,
    save_figure,
)

_IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
_MASK = np.arange(12 * 16).reshape(12, 16) % 4 == 0


def _lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axes.lines
    }


def test_occlusion_shows_before_mask_and_after_in_rows() -> None:
    result = np.where(_MASK[..., None], np.uint8(9), _IMAGE)
    tall = np.zeros((20, 10, 3), np.uint8)

    figure = plot_occlusion([_IMAGE, tall], [_MASK, np.zeros((20, 10), bool)], [result, tall])

    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["before", "mask (25.0 %)", "after", "before", "mask (0.0 %)", "after"]
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    for array, given_one in zip(shown[:3], (_IMAGE, _MASK, result), strict=True):
        assert (array == given_one).all()


def test_a_large_image_is_shown_reduced_at_its_own_coordinates() -> None:
    image = np.full((2050, 4100, 3), 90, np.uint8)
    mask = np.zeros((2050, 4100), np.bool_)
    mask[:1025] = True

    figure = plot_occlusion([image], [mask], [image])

    assert figure.axes[1].get_title() == "mask (50.0 %)"
    for axes in figure.axes:
        (shown,) = axes.images
        assert np.asarray(shown.get_array()).shape[:2] in ((512, 1025), (513, 1025))
        assert tuple(shown.get_extent()) == (-0.5, 4099.5, 2049.5, -0.5)
    assert np.asarray(figure.axes[1].images[0].get_array())[:250].all()


def test_samples_fill_rows_from_the_left() -> None:
    figure = plot_samples([_IMAGE] * 5, titles=list("abcde"), columns=3)

    assert [axes.get_title() for axes in figure.axes] == list("abcde")
    places = [axes.get_subplotspec() for axes in figure.axes]
    found = [(place.rowspan.start, place.colspan.start) for place in places if place is not None]
    assert found == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_fewer_samples_than_columns_leave_no_gap() -> None:
    spec = plot_samples([_IMAGE], columns=4).axes[0].get_subplotspec()

    assert spec is not None
    assert spec.get_gridspec().ncols == 1


def test_histories_are_drawn_as_lines_and_lacking_values_left_out() -> None:
    rows = [
        {"epoch": 0, "train_loss": 2.0, "validation_loss": 2.5},
        {"epoch": 1, "train_loss": 1.5},
        {
            "epoch": 2,
            "train_loss": 1.0,
            "validation_loss": 2.0,
            "validation_weighted_accuracy": 0.4,
        },
    ]

    losses, accuracies = plot_history({"with": rows, "without": rows[:1]}).axes

    assert _lines(losses) == {
        "with, training (as optimized)": ([0, 1, 2], [2.0, 1.5, 1.0]),
        "with, validation": ([0, 2], [2.5, 2.0]),
        "without, training (as optimized)": ([0], [2.0]),
        "without, validation": ([0], [2.5]),
    }
    assert _lines(accuracies) == {"with": ([2], [0.4])}
    assert (losses.get_xlabel(), losses.get_ylabel()) == ("epoch", "loss")
    assert accuracies.get_ylim() == (0, 1)


def test_a_long_history_has_no_markers_and_a_single_epoch_has() -> None:
    long = plot_history({"a": [{"epoch": epoch, "train_loss": 1.0} for epoch in range(50)]})
    short = plot_history({"a": [{"epoch": 0, "train_loss": 1.0}]})

    assert long.axes[0].lines[0].get_marker() == ""
    assert short.axes[0].lines[0].get_marker() == "o"


def test_more_runs_than_colors_are_still_drawn() -> None:
    rows = [{"epoch": 0, "train_loss": 1.0}]

    figure = plot_history({str(run): rows for run in range(11)})

    assert len(figure.axes[0].lines) == 11


def test_a_history_without_values_says_so() -> None:
    assert [texts(axes) for axes in plot_history({"a": []}).axes] == [["no data"]] * 2
    assert [texts(axes) for axes in plot_overfit([]).axes] == [["no data"]] * 2


def test_overfitting_is_drawn_as_loss_and_accuracy() -> None:
    rows = [{"epoch": 1, "loss": 2.0, "accuracy": 0.1}, {"epoch": 10, "loss": 0.5, "accuracy": 1.0}]

    losses, accuracies = plot_overfit(rows).axes

    assert list(_lines(losses).values()) == [([1, 10], [2.0, 0.5])]
    assert list(_lines(accuracies).values()) == [([1, 10], [0.1, 1.0])]
    assert losses.get_legend() is None


def test_confusion_colors_are_the_rows_shares_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth, guess = generator.integers(0, 8, 400), generator.integers(0, 8, 400)

    axes = plot_confusion(confusion_matrix(truth, guess)).axes[0]

    shares = confusion_matrix(truth, guess, normalize="true")
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(shares)
    assert texts(axes) == [str(count) for count in confusion_matrix(truth, guess).ravel()]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert ticks(axes)[:2] == ["MEL", "NV"]


def _luminance(color: Any) -> float:
    red, green, blue = mpl.colors.to_rgb(color)
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@settings(deadline=None, max_examples=15)
@given(
    hnp.arrays(
        np.int64, st.integers(1, 4).map(lambda side: (side, side)), elements=st.integers(0, 10**5)
    )
)
def test_every_number_of_a_confusion_matrix_is_readable(matrix: Any) -> None:
    axes = plot_confusion(matrix).axes[0]

    image = axes.images[0]
    shares = np.asarray(image.get_array()).ravel()
    assert len(axes.texts) == matrix.size
    for share, text in zip(shares, axes.texts, strict=True):
        light, dark = sorted(
            (_luminance(image.cmap(image.norm(share))[:3]), _luminance(text.get_color())),
            reverse=True,
        )
        # contrast that the Web Content Accessibility Guidelines ask of text (level AA)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_a_class_without_images_has_an_uncolored_row() -> None:
    axes = plot_confusion([[0, 0], [1, 3]]).axes[0]

    assert np.asarray(axes.images[0].get_array()).tolist() == [[0, 0], [0.25, 0.75]]


def test_a_confusion_matrix_is_drawn_where_asked() -> None:
    figure = Figure()
    axes = figure.add_subplot()

    assert plot_confusion([[1]], axes=axes) is figure
    assert len(axes.images) == 1


def test_a_confusion_matrix_has_the_title_given() -> None:
    titles = [plot_confusion([[1]], title=title).axes[0].get_title() for title in (None, "", "b")]

    assert titles == ["Confusion matrix", "", "b"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 30])
def test_epochs_have_whole_numbers_alone(epochs: int) -> None:
    rows = [{"epoch": epoch + 1, "train_loss": 1.0, "loss": 1.0} for epoch in range(epochs)]

    for figure in (plot_history({"a": rows}), plot_overfit(rows)):
        low, high = figure.axes[0].get_xlim()
        shown = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
        assert shown
        assert all(tick == round(tick) for tick in shown)


@pytest.mark.parametrize("runs", [1, 2, 8])
def test_the_legend_covers_no_point_and_lies_within_the_figure(runs: int) -> None:
    rows = [
        {"epoch": epoch, "train_loss": 1.0, "validation_loss": 2.0} for epoch in range(1, 6)
    ] + [{"epoch": 6, "validation_weighted_accuracy": 0.5}]
    figure = plot_history({f"run {run}, with augmentation": rows for run in range(runs)}, note="n")

    figure.draw_without_rendering()

    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        box = legend.get_window_extent()
        assert not box.overlaps(axes.get_window_extent())
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0)
        assert axes.get_window_extent().height > 0.35 * figure.bbox.height


def test_points_of_training_are_open_and_those_of_validation_filled() -> None:
    rows = [{"epoch": 1, "train_loss": 1.0, "validation_loss": 2.0}]

    train, validation = plot_history({"a": rows}).axes[0].lines

    assert train.get_markerfacecolor() == "white"
    assert validation.get_markerfacecolor() == validation.get_color()


def test_a_note_stands_below_the_axes_in_lines_that_fit() -> None:
    rows = [{"epoch": 1, "train_loss": 1.0}]
    note = "The training loss weighs classes; that of validation does not. " * 5

    figure = plot_history({"a": rows}, note=note)

    figure.draw_without_rendering()
    assert figure.get_supxlabel().split() == note.split()
    (text,) = (text for text in figure.texts if text.get_text() == figure.get_supxlabel())
    assert text.get_window_extent().width < figure.bbox.width
    assert plot_history({"a": rows}).get_supxlabel() == ""


def test_rows_may_come_one_by_one() -> None:
    rows = [{"epoch": 1, "train_loss": 1.0, "loss": 2.0}]

    assert len(plot_history({"a": iter(rows)}).axes[0].lines) == 1
    assert len(plot_overfit(iter(rows)).axes[0].lines) == 1


def _exploration() -> dict[str, Axes]:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": generator.integers(4, 18, 60) * 5.0,
            "sex": generator.choice(["female", "male", ""], 60),
            "site": generator.choice(["head/neck", "lateral torso", ""], 60),
            "label": generator.integers(0, 8, 60),
        }
    )
    return plot_exploration(table, table)


def _history() -> Figure:
    rows = [{"epoch": epoch, "train_loss": 1 / epoch} for epoch in range(1, 6)]
    return plot_history({"a": rows, "b": rows[:3]}, note="n")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_confusion(np.arange(64).reshape(8, 8)),
        _exploration,
        _history,
        lambda: plot_occlusion([_IMAGE] * 2, [_MASK] * 2, [_IMAGE] * 2),
    ],
    ids=["confusion", "exploration", "history", "occlusion"],
)
def test_a_figure_saved_again_gives_the_same_bytes(
    tmp_path: Path, draw: Callable[[], Figure | dict[str, Axes]], ending: str
) -> None:
    figure = draw()

    for name in ("one", "two"):
        save_figure(figure, tmp_path / f"{name}.{ending}", dpi=40)

    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert first == second


def test_axes_are_saved_with_the_whole_figure_that_they_are_in(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    inner = figure.add_subfigure(figure.add_gridspec(1, 2)[1]).add_subplot()
    figure.add_subplot().plot([1, 2])

    save_figure(figure, tmp_path / "whole.png", dpi=40)
    save_figure(inner, tmp_path / "axes.png", dpi=40)
    save_figure({"part": inner}, tmp_path / "named.png", dpi=40)

    whole, *others = (tmp_path / f"{name}.png" for name in ("whole", "axes", "named"))
    assert {path.read_bytes() for path in others} == {whole.read_bytes()}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("one", "two"):
        save_figure(plot_overfit([{"epoch": 1, "loss": 1.0}]), tmp_path / f"{name}.{ending}")

    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert first == second
    assert b"Date" not in first
    assert b"atplotlib" not in first or ending != "png"


def test_a_saved_figure_has_150_dots_per_inch_by_default(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))

    save_figure(figure, tmp_path / "new" / "a.png")
    save_figure(figure, tmp_path / "b.png", dpi=50)

    sizes = [mpl.image.imread(tmp_path / name).shape[:2] for name in ("new/a.png", "b.png")]
    assert sizes == [(150, 300), (50, 100)]


def test_a_figure_that_fails_to_draw_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    path = tmp_path / "a.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)

    with pytest.raises(OSError, match="disk full"):
        save_figure(Figure(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_leaves_pyplot_and_its_state_alone() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy(); "
        "from dermolib.reporting import plot_confusion; plot_confusion([[1]]); "
        "sys.exit('matplotlib.pyplot' in sys.modules or before != matplotlib.rcParams.copy())"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 # the code above


_FLOAT = np.zeros((12, 16, 3))
REFUSED: list[tuple[Callable[..., Any], list[Any], type[Exception], str]] = [
    (plot_occlusion, [[], [], []], ValueError, "of one length, 1 or more, but got 0, 0 and 0."),
    (
        plot_occlusion,
        [[_IMAGE], [_MASK], []],
        ValueError,
        "one length, 1 or more, but got 1, 1 and 0.",
    ),
    (plot_occlusion, [[_FLOAT], [_MASK], [_IMAGE]], TypeError, "`images` to be an RGB image"),
    (plot_occlusion, [[_IMAGE], [_MASK], [_FLOAT]], TypeError, "`results` to be an RGB image"),
    (plot_occlusion, [[_IMAGE], [_MASK.T], [_IMAGE]], ValueError, "`masks` to be a mask (12, 16)"),
    (plot_occlusion, [[_IMAGE], [_MASK], [_IMAGE[:6]]], ValueError, "those before, (12, 16, 3)"),
    (plot_samples, [[]], ValueError, "of one length, 1 or more, but got 0 and 0."),
    (plot_samples, [[_FLOAT]], TypeError, "`images` to be an RGB image (H, W, 3)"),
    (
        partial(plot_samples, titles=["a", "b"]),
        [[_IMAGE]],
        ValueError,
        "1 or more, but got 1 and 2.",
    ),
    (partial(plot_samples, columns=0), [[_IMAGE]], ValueError, "`columns` to be an integer of 1"),
    (plot_history, [[{"epoch": 1}]], TypeError, "`{'run': history}`"),
    (plot_history, [{}], ValueError, "`histories` to be at least one run"),
    (plot_history, [{"a": 3}], TypeError, "`histories['a']` to be rows with the key `epoch`"),
    (plot_history, [{"a": [{"epoch": 0}, {"loss": 1.0}]}], ValueError, "but got row 1 with loss."),
    (plot_overfit, ["epoch"], TypeError, "but got row 0 of type str."),
    (plot_overfit, [[{}]], ValueError, "but got row 0 with no key."),
    (plot_confusion, [[[1, 2]]], ValueError, "counts (K, K), but got shape (1, 2)."),
    (plot_confusion, [[]], ValueError, "counts (K, K), but got shape (0,)."),
    (plot_confusion, [[[-1]]], ValueError, "counts (K, K) of 0 or more, but got -1."),
    (plot_confusion, [[[0.5]]], TypeError, "integers, but got dtype float64."),
    (partial(plot_confusion, names=["a", "b"]), [[[1]]], ValueError, "one per class, but got 2"),
    (save_figure, [Figure(), "a.jpeg"], ValueError, "a file ending in .png, .svg or .pdf"),
    (save_figure, ["a", "a.png"], TypeError, "`figure` to be a matplotlib Figure or its axes"),
    (save_figure, [{}, "a.png"], TypeError, "but got an object of type dict."),
    (partial(save_figure, dpi=5), [Figure(), "a.png"], ValueError, "an integer in 20..1200"),
]


@pytest.mark.parametrize(("call", "arguments", "kind", "found"), REFUSED)
def test_wrong_arguments_are_refused(
    call: Callable[..., Any], arguments: list[Any], kind: type[Exception], found: str
) -> None:
    with pytest.raises(kind, match=re.escape(found)):
        call(*arguments)

"""Results as figures: pictures before and after, loss curves, confusion; and figures as files."""

import io
import pickle
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dermolib._validation import (
    Image,
    Mask,
    PathLike,
    check_image,
    check_mask,
    check_number,
    expected,
)
from dermolib.io import whole_file
from dermolib.reporting._style import (
    COLORS,
    add_legend,
    check_counts,
    class_names,
    dress,
    new_figure,
    on_axes,
    say_no_data,
    show_image,
)

__all__ = [
    "plot_confusion",
    "plot_history",
    "plot_occlusion",
    "plot_overfit",
    "plot_samples",
    "save_figure",
]

_DPI = 150
_NOTE_WIDTH = 150  # letters of a line of the note below two axes
# what a file says of its making, and would differ from day to day or from version to version
_UNSIGNED = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# luminance from which black and white stand out equally: (1 + .05) / (L + .05) = (L + .05) / .05
_EQUAL_CONTRAST = (1.05 * 0.05) ** 0.5 - 0.05
_Row = Mapping[str, float]


def plot_occlusion(
    images: Sequence[Image], masks: Sequence[Mask], results: Sequence[Image]
) -> Figure:
    """Show images before and after occlusion removal, with the mask between, a row for each.

    Args:
        images: Images (H, W, 3), uint8 RGB, of any sizes.
        masks: Mask (H, W), bool, of each image: what was replaced.
        results: Image (H, W, 3), uint8 RGB, after removal, of each image.

    Returns:
        The figure, with three axes for each image; the mask's title is its share of the image.

    Raises:
        TypeError: Images are not uint8 or masks are not bool.
        ValueError: There is no image, the numbers differ, or a shape does.

    Examples:
        >>> image = np.full((8, 8, 3), 200, np.uint8)
        >>> mask = np.eye(8, dtype=bool)
        >>> [axes.get_title() for axes in plot_occlusion([image], [mask], [image]).axes]
        ['before', 'mask (12.5 %)', 'after']
    """
    _check_same_length(images=images, masks=masks, results=results)
    for image, mask, result in zip(images, masks, results, strict=True):
        check_image(image, "images")
        check_image(result, "results")
        check_mask(mask, image.shape[:2], "masks")
        if result.shape != image.shape:
            what = f"images of the shape of those before, {image.shape}"
            raise ValueError(expected("results", what, f"shape {result.shape}"))
    figure = new_figure(7.5, 2.6 * len(images))
    grid = figure.subplots(len(images), 3, squeeze=False)
    for row, image, mask, result in zip(grid, images, masks, results, strict=True):
        show_image(row[0], image, "before")
        show_image(row[1], mask, f"mask ({100 * mask.mean():.1f} %)")
        show_image(row[2], result, "after")
    return figure


def plot_samples(
    images: Sequence[Image], *, titles: Sequence[str] | None = None, columns: int = 4
) -> Figure:
    """Show images in a grid.

    Args:
        images: Images (H, W, 3), uint8 RGB, of any sizes.
        titles: A title for each image.
        columns: Images in one row.

    Returns:
        The figure, with one axes for each image.

    Raises:
        TypeError: An image is not uint8 or `columns` no integer.
        ValueError: There is no image, one is not RGB, or the number of titles differs.

    Examples:
        >>> image = np.full((8, 8, 3), 200, np.uint8)
        >>> len(plot_samples([image] * 5, columns=3).axes)
        5
    """
    check_number(columns, "columns", low=1, integer=True)
    texts = [""] * len(images) if titles is None else titles
    _check_same_length(images=images, titles=texts)
    for image in images:
        check_image(image, "images")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(2.2 * columns, 2.2 * rows + (0.3 * rows if titles is not None else 0))
    for place, (image, text) in enumerate(zip(images, texts, strict=True), start=1):
        show_image(figure.add_subplot(rows, columns, place), image, str(text))
    return figure


def plot_history(histories: Mapping[str, Iterable[_Row]], *, note: str | None = None) -> Figure:
    """Draw how runs learned: losses on the left, weighted accuracy of validation on the right.

    Args:
        histories: Rows of each run by its name. A row has the key ``epoch`` and any of
            ``train_loss``, ``validation_loss`` and ``validation_weighted_accuracy`` (0..1); what
            lacks in a row is left out of its line.
        note: Remark written below the axes. The training loss is the one that was optimised, which
            may weigh classes or smooth labels where the loss of validation does not; then the two
            lines are not on one scale, and here is the place to say so.

    Returns:
        The figure, with two axes; those without a value say "no data".

    Raises:
        TypeError: `histories` is no mapping, or a run no rows.
        ValueError: There is no run, or a row has no ``epoch``.

    Examples:
        >>> rows = [{"epoch": 0, "train_loss": 2.1}, {"epoch": 1, "train_loss": 1.7}]
        >>> figure = plot_history({"plain": rows})
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [2.1, 1.7]
    """
    if not isinstance(histories, Mapping):
        what = "a mapping from the name of each run to its rows"
        got = f"an object of type {type(histories).__name__}"
        remedy = "Name a single run with `{'run': history}`."
        raise TypeError(expected("histories", what, got, remedy))
    if not histories:
        raise ValueError(expected("histories", "at least one run", "none"))
    runs = {name: _check_rows(rows, f"histories[{name!r}]") for name, rows in histories.items()}
    # the legend below the axes names two lines for each run
    figure = new_figure(11, 4.2 + 0.35 * len(runs))
    losses, accuracies = figure.subplots(1, 2)
    dress(losses, title="Loss", x="epoch", y="loss", grid="both")
    title = "Weighted accuracy of validation"
    dress(accuracies, title=title, x="epoch", y="weighted accuracy", grid="both")
    for place, (name, rows) in enumerate(runs.items()):
        color = COLORS[place % len(COLORS)]
        _draw_line(losses, rows, "train_loss", f"{name}, train (as optimised)", color, dashed=True)
        _draw_line(losses, rows, "validation_loss", f"{name}, validation", color)
        _draw_line(accuracies, rows, "validation_weighted_accuracy", name, color)
    accuracies.set_ylim(0, 1)
    for axes in (losses, accuracies):
        _finish_lines(axes)
    if note:
        figure.supxlabel(textwrap.fill(note, _NOTE_WIDTH), fontsize=8, color="0.3")
    return figure


def plot_overfit(rows: Iterable[_Row]) -> Figure:
    """Draw how a model learned one batch by heart: loss on the left, accuracy on the right.

    Args:
        rows: Rows with the key ``epoch`` and any of ``loss`` and ``accuracy`` (0..1).

    Returns:
        The figure, with two axes; those without a value say "no data".

    Raises:
        TypeError: A row is no mapping.
        ValueError: A row has no ``epoch``.

    Examples:
        >>> figure = plot_overfit([{"epoch": 10, "loss": 0.3, "accuracy": 0.9}])
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss', 'accuracy']
    """
    rows = _check_rows(rows, "rows")
    figure = new_figure(9, 3.6)
    for axes, key, color in zip(figure.subplots(1, 2), ("loss", "accuracy"), COLORS, strict=False):
        title = f"{key.capitalize()} on a single batch"
        dress(axes, title=title, x="epoch", y=key, grid="both")
        _draw_line(axes, rows, key, "", color)
        _finish_lines(axes)
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[1].set_ylim(0, 1.05)
    return figure


def plot_confusion(
    matrix: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw a confusion matrix: colour is the share of a true class, numbers are images.

    Args:
        matrix: Images by true class (rows) and predicted class (columns), (K, K), whole numbers.
        names: Names of the K classes; the diagnoses' codes for eight of them where None.
        title: What stands above, such as the name of the model; "Confusion" where None.
        axes: Where to draw; a new figure where None.

    Returns:
        The figure drawn on. A class without images has an uncoloured row.

    Raises:
        TypeError: The matrix holds no whole numbers.
        ValueError: The matrix is not square, is empty or negative, or there are not K names.

    Examples:
        >>> figure = plot_confusion([[8, 2], [1, 9]], names=["nevus", "melanoma"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['8', '2', '1', '9']
    """
    counts = check_counts(matrix, "matrix", ndim=2)
    labels = class_names(names, len(counts))
    side = max(4.0, 0.75 * len(counts) + 1.5)
    figure, axes = on_axes(axes, width=side + 0.8, height=side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = "Confusion" if title is None else title
    dress(axes, title=title, x="predicted class", y="true class", grid="none")
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 4 else 0)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), count in np.ndenumerate(counts):
        color = _readable_on(drawn.cmap(drawn.norm(shares[row, column])))
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=8)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label("share of the true class", fontsize=9)
    return figure


def save_figure(
    figure: Figure | Axes | Mapping[str, Axes], path: PathLike, *, dpi: int = _DPI
) -> None:
    """Write a figure whole or not at all; saved again, it gives the same bytes.

    What is written is a copy, because drawing moves the parts of a figure a little every time. A
    figure that cannot be pickled, which those of this module can, is written itself, and a later
    file of it may differ.

    Args:
        figure: Figure to write, or axes of it: what a function of this package returns.
        path: Target, ending in ``.png``, ``.svg`` or ``.pdf``; its folder is made where missing.
        dpi: Pixels of each inch, 20..1200.

    Raises:
        TypeError: `figure` is no figure nor axes, or `dpi` no integer.
        ValueError: The path ends otherwise, or `dpi` is out of range.

    Examples:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "samples.png"
        ...     save_figure(plot_samples([np.zeros((8, 8, 3), np.uint8)]), path)
        ...     path.exists()
        True
    """
    whole = _figure_of(figure)
    check_number(dpi, "dpi", low=20, high=1200, integer=True)
    ending = Path(path).suffix.lower()
    if ending not in _UNSIGNED:
        raise ValueError(expected("path", "a file ending in .png, .svg or .pdf", str(path)))
    # without a salt of its own, every SVG names its parts anew
    with whole_file(path) as temporary, mpl.rc_context({"svg.hashsalt": "dermolib"}):
        _copied(whole).savefig(temporary, dpi=dpi, metadata=_UNSIGNED[ending])


def _figure_of(given: object) -> Figure:
    """Find the figure that axes belong to."""
    axes = next(iter(given.values()), None) if isinstance(given, Mapping) else given
    if isinstance(axes, Axes):
        return on_axes(axes)[0]
    if isinstance(given, Figure):
        return given
    got = f"an object of type {type(given).__name__}"
    raise TypeError(expected("figure", "a matplotlib Figure or its axes", got))


class _FigurePickler(pickle.Pickler):
    """Pickles a figure without its window: pyplot would open a second one for the copy."""

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, Figure):
            return NotImplemented
        parts: Any = thing.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        make, arguments, state, *_ = parts
        state.pop("_restore_to_pylab", None)
        return make, arguments, state


def _copied(figure: Figure) -> Figure:
    data = io.BytesIO()
    try:
        _FigurePickler(data).dump(figure)
    except (pickle.PicklingError, AttributeError, TypeError):  # of functions, files and locks
        return figure
    copy: Figure = pickle.loads(data.getvalue())  # noqa: S301 - the bytes were made above
    return copy


def _readable_on(color: npt.ArrayLike) -> str:
    """Black or white, whichever stands out more from a colour (WCAG 2.2, relative luminance)."""
    rgb = np.asarray(color, np.float64)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > _EQUAL_CONTRAST else "white"


def _check_same_length(**sequences: Sequence[object]) -> None:
    lengths = {name: len(values) for name, values in sequences.items()}
    first = next(iter(lengths))
    if lengths[first] == 0:
        raise ValueError(expected(first, "at least one image", "none"))
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{length} {name}" for name, length in lengths.items())
        names = " and ".join(lengths)
        raise ValueError(expected(names, "of one length", got))


def _check_rows(rows: Iterable[_Row], name: str) -> list[_Row]:
    what = "rows with the key `epoch`"
    if not isinstance(rows, Iterable):
        raise TypeError(expected(name, what, f"an object of type {type(rows).__name__}"))
    rows = list(rows)
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(expected(name, what, f"row {place} of type {type(row).__name__}"))
        if "epoch" not in row:
            got = f"row {place} with {', '.join(row) or 'no key'}"
            raise ValueError(expected(name, what, got))
    return rows


def _draw_line(
    axes: Axes,
    rows: Sequence[_Row],
    key: str,
    label: str,
    color: str,
    *,
    dashed: bool = False,
) -> None:
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    if points:
        x, y = zip(*points, strict=True)
        # a single epoch is no line, so its point is marked
        marker = "o" if len(points) < 20 else ""
        style, fill = ("--", "white") if dashed else ("-", color)
        (line,) = axes.plot(x, y, style, color=color, label=label, linewidth=1.6)
        line.set(marker=marker, markersize=4, markerfacecolor=fill)


def _finish_lines(axes: Axes) -> None:
    if not axes.lines:
        say_no_data(axes)
    elif axes.get_legend_handles_labels()[1]:
        # outside it hides no point, and its lines are long enough to tell dashes from a marker
        add_legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.14), handlelength=4.5)
    # one tick is enough: of a single epoch, two would lie between epochs
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

"""Figures of images and results, and how a figure becomes a file."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
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
    as_path,
    check_image,
    check_mask,
    check_number,
    printable,
    require,
)
from dermolib.io import resize_image, whole_file
from dermolib.reporting._style import (
    COLORS,
    SMALL,
    TEXT,
    add_legend,
    annotate_empty,
    as_counts,
    axes_or_new,
    class_names,
    new_figure,
    style_axes,
)

__all__ = [
    "plot_confusion",
    "plot_history",
    "plot_occlusion",
    "plot_overfit",
    "plot_samples",
    "save_figure",
]

_ROWS = "rows with the key `epoch`"
_SHOWN = 1024  # px of the longer side of an image that are shown, up to twice as many
_WHITE_TEXT = 0.712  # fraction from which white stands out more than black from the color map
# what a file says of its making, and would differ from day to day or from version to version
_UNSIGNED = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_Row = Mapping[str, float]


def plot_occlusion(
    images: Sequence[Image], masks: Sequence[Mask], results: Sequence[Image]
) -> Figure:
    """Show images before and after hair removal, with the mask between, a row for each.

    Images of 2,048 px and more are shown reduced to between 1,024 and 2,048 px.

    Args:
        images: Images (H, W, 3), uint8 RGB, of any sizes.
        masks: Mask (H, W), bool, of each image: what was replaced.
        results: Image (H, W, 3), uint8 RGB, after removal, of each image.

    Returns:
        The figure, with three axes for each image; the mask's title gives its area.

    Raises:
        TypeError: Images are not uint8 or masks are not bool.
        ValueError: There is no image, or the lengths or shapes differ.

    Examples:
        >>> image = np.full((8, 8, 3), 200, np.uint8)
        >>> mask = np.eye(8, dtype=bool)
        >>> [axes.get_title() for axes in plot_occlusion([image], [mask], [image]).axes]
        ['before', 'mask (12.5 %)', 'after']
    """
    got = f"{len(images)}, {len(masks)} and {len(results)}"
    same = 0 < len(images) == len(masks) == len(results)
    require(same, "images, masks and results", "of one length, 1 or more", got)
    for image, mask, result in zip(images, masks, results, strict=True):
        check_image(image, "images")
        check_image(result, "results")
        check_mask(mask, image.shape[:2], "masks")
        what = f"images of the shape of those before, {image.shape}"
        require(result.shape == image.shape, "results", what, f"shape {result.shape}")
    figure = new_figure(7.5, 2.6 * len(images))
    grid = figure.subplots(len(images), 3, squeeze=False)
    for row, image, mask, result in zip(grid, images, masks, results, strict=True):
        _show_image(row[0], image, "before")
        _show_image(row[1], mask, f"mask ({100 * mask.mean():.1f} %)")
        _show_image(row[2], result, "after")
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
        TypeError: An image is not uint8 or `columns` is not an integer.
        ValueError: There is no image, one is not RGB, or the number of titles differs.

    Examples:
        >>> image = np.full((8, 8, 3), 200, np.uint8)
        >>> len(plot_samples([image] * 5, columns=3).axes)
        5
    """
    check_number(columns, "columns", low=1, integer=True)
    texts = [""] * len(images) if titles is None else titles
    got = f"{len(images)} and {len(texts)}"
    require(0 < len(images) == len(texts), "images and titles", "of one length, 1 or more", got)
    for image in images:
        check_image(image, "images")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(2.2 * columns, (2.2 if titles is None else 2.5) * rows)
    for number, (image, text) in enumerate(zip(images, texts, strict=True), start=1):
        _show_image(figure.add_subplot(rows, columns, number), image, str(text))
    return figure


def plot_history(histories: Mapping[str, Iterable[_Row]], *, note: str | None = None) -> Figure:
    """Draw learning curves: losses on the left, validation weighted accuracy on the right.

    Args:
        histories: Rows of each run by its name. A row has the key ``epoch`` and any of
            ``train_loss``, ``validation_loss`` and ``validation_weighted_accuracy`` (0..1).
        note: Remark below the axes. The training loss is the one that was optimized, which may
            weight classes or smooth labels where the validation loss does not; then the two
            are not on one scale, and here is the place to say so.

    Returns:
        The figure, with two axes; those without a value say "no data".

    Raises:
        TypeError: `histories` is not a mapping, or a run is not made of rows.
        ValueError: There is no run, or a row has no ``epoch``.

    Examples:
        >>> rows = [{"epoch": 0, "train_loss": 2.1}, {"epoch": 1, "train_loss": 1.7}]
        >>> figure = plot_history({"plain": rows})
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [2.1, 1.7]
    """
    what = "a mapping from the name of each run to its rows"
    got, hint = f"an object of type {type(histories).__name__}", "Use `{'run': history}` for one."
    require(isinstance(histories, Mapping), "histories", what, got, hint, error=TypeError)
    require(histories, "histories", "at least one run", "none")
    runs = {name: _read_rows(rows, f"histories[{name!r}]") for name, rows in histories.items()}
    # the legend below the axes names two lines for each run
    figure = new_figure(11, 4.2 + 0.35 * len(runs))
    losses, scores = figure.subplots(1, 2)
    style_axes(losses, title="Loss", xlabel="epoch", ylabel="loss", grid="both")
    title = "Validation weighted accuracy"
    style_axes(scores, title=title, xlabel="epoch", ylabel="weighted accuracy", grid="both")
    for number, (run, rows) in enumerate(runs.items()):
        name = printable(run)
        color = COLORS[number % len(COLORS)]
        _draw_line(losses, rows, "train_loss", f"{name}, training (as optimized)", color, "--")
        _draw_line(losses, rows, "validation_loss", f"{name}, validation", color)
        _draw_line(scores, rows, "validation_weighted_accuracy", name, color)
    scores.set_ylim(0, 1)
    for axes in (losses, scores):
        _finish_lines(axes)
    if note:
        text = textwrap.fill(printable(note), width=150)
        figure.supxlabel(text, fontsize=SMALL, color="0.3").set_parse_math(False)
    return figure


def plot_overfit(rows: Iterable[_Row]) -> Figure:
    """Draw how a model overfits one batch: loss on the left, accuracy on the right.

    Args:
        rows: Rows with the key ``epoch`` and any of ``loss`` and ``accuracy`` (0..1).

    Returns:
        The figure, with two axes; those without a value say "no data".

    Raises:
        TypeError: A row is not a mapping.
        ValueError: A row has no ``epoch``.

    Examples:
        >>> figure = plot_overfit([{"epoch": 10, "loss": 0.3, "accuracy": 0.9}])
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss', 'accuracy']
    """
    rows = _read_rows(rows, "rows")
    figure = new_figure(9, 3.6)
    for axes, key, color in zip(figure.subplots(1, 2), ("loss", "accuracy"), COLORS, strict=False):
        title = f"{key.capitalize()} on a single batch"
        style_axes(axes, title=title, xlabel="epoch", ylabel=key, grid="both")
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
    """Draw a confusion matrix: numbers are images, color is their fraction of the true class.

    Args:
        matrix: Images by true class (rows) and predicted class (columns), (K, K), integers.
        names: Names of the K classes; if None, the codes of the diagnoses for eight classes, else
            their indices.
        title: Title, such as the name of the model; "Confusion matrix" if None.
        axes: Where to draw; a new figure if None.

    Returns:
        The figure drawn on. A class without images has an uncolored row.

    Raises:
        TypeError: The matrix does not hold integers.
        ValueError: The matrix is not square, is empty or negative, or there are not K names.

    Examples:
        >>> figure = plot_confusion([[8, 2], [1, 9]], names=["nevus", "melanoma"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['8', '2', '1', '9']
    """
    counts = as_counts(matrix, "matrix", ndim=2)
    labels = class_names(names, len(counts))
    size = max(4.0, 0.75 * len(counts) + 1.5)
    axes = axes_or_new(axes, width=size + 0.8, height=size)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = "Confusion matrix" if title is None else title
    style_axes(axes, title=title, xlabel="predicted class", ylabel="true class", grid="")
    drawn = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    rotation = 45 if len(labels) > 4 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if fractions[row, column] > _WHITE_TEXT else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=SMALL)
    figure = axes.figure.figure  # also of axes in a subfigure
    figure.colorbar(drawn, ax=axes, shrink=0.8).set_label("fraction of true class", fontsize=TEXT)
    return figure


def save_figure(
    figure: Figure | Axes | Mapping[str, Axes], path: PathLike, *, dpi: int = 150
) -> None:
    """Write a figure whole or not at all; saved again, it gives the same bytes.

    Args:
        figure: Figure to write, or axes of it: what a function of this package returns.
        path: File to write, ending in ``.png``, ``.svg`` or ``.pdf``; its folder is created if
            needed.
        dpi: Pixels per inch, 20..1200.

    Raises:
        TypeError: `figure` is neither a figure nor axes, or `dpi` is not an integer.
        ValueError: The path ends otherwise, or `dpi` is out of range.

    Examples:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "samples.png"
        ...     save_figure(plot_samples([np.zeros((8, 8, 3), np.uint8)]), path)
        ...     path.exists()
        True
    """
    found: Any = next(iter(figure.values()), None) if isinstance(figure, Mapping) else figure
    what, got = "a matplotlib Figure or its axes", f"an object of type {type(figure).__name__}"
    require(isinstance(found, (Figure, Axes)), "figure", what, got, error=TypeError)
    check_number(dpi, "dpi", low=20, high=1200, integer=True)
    path = as_path(path, "path")
    suffix = path.suffix.lower()
    require(suffix in _UNSIGNED, "path", "a file ending in .png, .svg or .pdf", str(path))
    whole = found if isinstance(found, Figure) else found.figure.figure
    # the layout moves axes a little every time it is drawn, so they are put back afterwards
    before = [
        (axes, axes.get_in_layout(), axes.get_position(original=True))
        for axes in whole.findobj(Axes)
    ]
    # without a fixed salt, element ids of an SVG differ every time
    with whole_file(path) as temporary, mpl.rc_context({"svg.hashsalt": "dermolib"}):
        whole.savefig(temporary, dpi=dpi, metadata=_UNSIGNED[suffix])
    for axes, in_layout, position in before:
        axes.set_position(position)
        axes.set_in_layout(in_layout)


def _show_image(axes: Axes, pixels: npt.NDArray[Any], title: str) -> None:
    """Show an image, or a mask as black and white, without ticks."""
    is_mask = pixels.dtype == np.bool_
    (height, width), sharp = pixels.shape[:2], "nearest" if is_mask else None
    step = max(height, width) // _SHOWN
    if step > 1:  # matplotlib would take some 70 bytes for each pixel
        size = (max(1, height // step), max(1, width // step))
        pixels = pixels[::step, ::step] if is_mask else resize_image(pixels, size)
    edges = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation=sharp, extent=edges)
    axes.set_axis_off()
    axes.set_title(printable(title), fontsize=TEXT, parse_math=False)


def _read_rows(rows: Iterable[_Row], name: str) -> list[_Row]:
    """Return rows as a list; refuse any without an epoch."""
    given: Any = rows
    found: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    for number, row in enumerate(found):
        got = f"row {number} of type {type(row).__name__}"
        require(isinstance(row, Mapping), name, _ROWS, got, error=TypeError)
        require("epoch" in row, name, _ROWS, f"row {number} with {', '.join(row) or 'no key'}")
    return found


def _draw_line(
    axes: Axes, rows: Sequence[_Row], key: str, label: str, color: str, style: str = "-"
) -> None:
    """Draw a value by epoch, without the rows that do not have it."""
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    if points:
        x, y = zip(*points, strict=True)
        (line,) = axes.plot(x, y, style, color=color, label=label, linewidth=1.6)
        # a single epoch is no line, so its point is marked
        line.set(marker="o" if len(points) < 20 else "", markersize=4)
        line.set_markerfacecolor(color if style == "-" else "white")


def _finish_lines(axes: Axes) -> None:
    """Add a legend, or say that there is no data."""
    handles, _ = axes.get_legend_handles_labels()
    if not axes.lines:
        annotate_empty(axes)
    elif handles:
        add_legend(axes, handles, handlelength=4.5)  # long enough to tell dashes from a marker
    # one tick is enough: of a single epoch, two would lie between epochs
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
